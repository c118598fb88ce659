import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Package {
  /** Folder of package.json. */
  readonly root: string
  readonly version: string
  /** The commit it was packed from; absent in a checkout. */
  readonly gitHead?: string
}

/** package.json lies beside `src` in a checkout and beside `dist` in the package. */
function ownPackage(): Package | null {
  for (const up of ['../', '../../'])
    try {
      const root = fileURLToPath(new URL(up, import.meta.url))
      const { version, gitHead } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as Package
      return { root, version, ...(gitHead === undefined ? {} : { gitHead }) }
    } catch {
      continue
    }
  return null
}

/** Our own version, from package.json. */
export function ownVersion(): string {
  return ownPackage()?.version ?? 'unknown'
}

const SHORT = 10

/** The commit that runs, shortened: what the package was packed from, or what the checkout has checked out; null where neither is known. */
export function ownCommit(): string | null {
  const own = ownPackage()
  return (own?.gitHead ?? (own === null ? null : headOf(own.root)))?.slice(0, SHORT) ?? null
}

/** Such as `0.1.0 (5148728a1b)`. */
export function versionText(): string {
  const commit = ownCommit()
  return commit === null ? ownVersion() : `${ownVersion()} (${commit})`
}

/** The commit of a checkout, read from its files: asking git would take a process, and git. null: no checkout. */
export function headOf(root: string): string | null {
  try {
    const place = resolve(root, '.git')
    // In a further work tree `.git` is a file that names the folder.
    const folder = statSync(place).isDirectory() ? place : resolve(root, lineOf(place).replace(/^gitdir: /, ''))
    const head = lineOf(resolve(folder, 'HEAD'))
    if (!head.startsWith('ref: ')) return commitIn(head)
    const ref = head.slice('ref: '.length)
    const common = resolve(folder, optional(resolve(folder, 'commondir')) ?? '.')
    const loose = optional(resolve(folder, ref)) ?? optional(resolve(common, ref))
    if (loose !== null) return commitIn(loose)
    const packed = readFileSync(resolve(common, 'packed-refs'), 'utf8').split('\n')
    return commitIn(packed.find(line => line.endsWith(` ${ref}`)) ?? '')
  } catch {
    return null
  }
}

function lineOf(file: string): string {
  return readFileSync(file, 'utf8').split('\n')[0]?.trim() ?? ''
}

function optional(file: string): string | null {
  try {
    return lineOf(file)
  } catch {
    return null
  }
}

function commitIn(text: string): string | null {
  return /^[0-9a-f]{40,64}/.exec(text)?.[0] ?? null
}

/** The release of Kafka Connect whose REST API workers speak; tools hide commands that are newer than it. */
const CONNECT_VERSION = '4.3.1'

/** The version that Kafka Connect's tools read: theirs in front, ours behind it. */
export function connectVersion(own: string): string {
  return `${CONNECT_VERSION}-colloquy-${own}`
}
