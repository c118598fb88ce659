/** The published kafkajs next to the fixed one: to show that a test would fail without the fix. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'
import type * as kafkajs from 'kafkajs'

const require = createRequire(import.meta.url)

/** A module of kafkajs fresh from disk; the process's own copy is not changed. */
export function original(file: string): unknown {
  const path = require.resolve(file)
  const used = require.cache[path]
  delete require.cache[path]
  try {
    return require(path) as unknown
  } finally {
    if (used === undefined) delete require.cache[path]
    else require.cache[path] = used
  }
}

/** All of kafkajs as published, in a copy that shares nothing with the process's own. */
export function originalKafkajs(): typeof kafkajs {
  const home = dirname(require.resolve('kafkajs/package.json')) + sep
  const inUse = Object.entries(require.cache).filter(([file]) => file.startsWith(home))
  for (const [file] of inUse) delete require.cache[file]
  try {
    return require('kafkajs') as typeof kafkajs
  } finally {
    for (const file of Object.keys(require.cache)) if (file.startsWith(home)) delete require.cache[file]
    for (const [file, module] of inUse) require.cache[file] = module
  }
}

/** The module that the process uses. */
export function used(file: string): unknown {
  return require(file) as unknown
}

export function sha256Of(file: string): string {
  return createHash('sha256')
    .update(readFileSync(require.resolve(file)))
    .digest('hex')
    .slice(0, 16)
}
