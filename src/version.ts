import { readFileSync } from 'node:fs'

/** Our own version, from package.json: it lies beside `src` in a checkout and beside `dist` in the package. */
export function ownVersion(): string {
  for (const up of ['../', '../../'])
    try {
      return (JSON.parse(readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8')) as { version: string }).version
    } catch {
      continue
    }
  return 'unknown'
}

/** The release of Kafka Connect whose REST API workers speak; tools hide commands that are newer than it. */
const CONNECT_VERSION = '4.3.1'

/** The version that Kafka Connect's tools read: theirs in front, ours behind it. */
export function connectVersion(own: string): string {
  return `${CONNECT_VERSION}-colloquy-${own}`
}
