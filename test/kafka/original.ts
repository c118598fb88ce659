/** kafkajs as it is published, beside the repaired one: to show that a test would fail without the repair. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** A module of kafkajs fresh from disk; what the process uses is left as it is. */
export function original<T>(file: string): T {
  const path = require.resolve(file)
  const used = require.cache[path]
  delete require.cache[path]
  try {
    return require(path) as T
  } finally {
    if (used === undefined) delete require.cache[path]
    else require.cache[path] = used
  }
}

/** The module that the process uses. */
export function used<T>(file: string): T {
  return require(file) as T
}

export function sha256Of(file: string): string {
  return createHash('sha256')
    .update(readFileSync(require.resolve(file)))
    .digest('hex')
    .slice(0, 16)
}
