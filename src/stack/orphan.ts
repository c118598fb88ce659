import { readFileSync } from 'node:fs'
import type { Environment } from './java.ts'

/** How soon an orphan notices. */
const LOOK_EVERY_MS = 500

/**
 * npm passes SIGINT and SIGTERM on to us, but cannot when it is killed with SIGKILL: then we would run on with nobody to stop us. Calls back once when we were
 * started by npm and npm, or the shell in between, has gone. Returns a function to stop watching.
 */
export function whenOrphaned(env: Environment, callback: () => void): () => void {
  if (env.npm_lifecycle_event === undefined) return () => {}
  const born = ancestry()
  const timer = setInterval(() => {
    if (ancestry() === born) return
    clearInterval(timer)
    callback()
  }, LOOK_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** Our parent and its parent: npm is one of them. Only the first if the system does not have the second in a file. */
function ancestry(): string {
  const parent = process.ppid
  try {
    // The name, in brackets, may hold anything; after it come the state and the parent's id.
    const afterName = readFileSync(`/proc/${parent}/stat`, 'utf8').split(') ').at(-1) ?? ''
    return `${parent} ${afterName.split(' ')[1]}`
  } catch {
    return String(parent)
  }
}
