/** Folders of connectors that are not built in: named by a path, or by their name below `connectors/` of a checkout. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** `connectors/` of a checkout; null in the package, where it is compiled. */
export const OWN_CONNECTORS: string | null = import.meta.url.endsWith('.ts')
  ? fileURLToPath(new URL('../../connectors', import.meta.url))
  : null

/** A file of the connector's folder; null if it does not exist. */
export function partOf(name: string, part: 'simulator' | 'subject'): string | null {
  const isName = /^[a-z0-9-]+$/.test(name)
  const folders = [resolve(name), ...(isName && OWN_CONNECTORS !== null ? [join(OWN_CONNECTORS, name)] : [])]
  const files = folders.flatMap(folder => ['.ts', '.js'].map(ending => join(folder, part + ending)))
  return files.find(file => existsSync(file)) ?? null
}
