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
