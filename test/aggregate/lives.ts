/** Aggregators in processes of their own, for tests that kill them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { AggregatorParts } from '../../src/aggregate/run.ts'
import type { Harness } from './harness.ts'

const script = fileURLToPath(new URL('child.ts', import.meta.url))
const children = new Set<Child>()

export async function killAll(): Promise<void> {
  await Promise.all([...children].map(each => each.kill()))
}

export interface Child {
  /** Resolves at the n-th transaction from now, or when the process has ended. */
  transactions(n: number): Promise<void>
  readonly seen: number
  kill(): Promise<void>
  /** SIGTERM. */
  stop(): Promise<void>
}

export function child(
  h: Harness,
  stack: { brokers: string; registry: string },
  more: Partial<AggregatorParts['options']> = {},
): Child {
  const options = { groupId: h.names.series, lingerMs: 5, maxRecords: 60, sessionTimeoutMs: 1_000, ...more }
  const args = JSON.stringify({ ...stack, names: h.names, options })
  const process_: ChildProcess = spawn(process.execPath, [script, args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>(resolve => process_.once('exit', () => resolve()))
  const end = async (signal: NodeJS.Signals) => {
    process_.kill(signal)
    await ended
    children.delete(made)
  }
  let seen = 0
  let waiting: { n: number; resolve: () => void }[] = []
  if (process_.stdout !== null) {
    createInterface(process_.stdout).on('line', () => {
      seen++
      for (const { n, resolve } of waiting) if (seen >= n) resolve()
      waiting = waiting.filter(({ n }) => seen < n)
    })
  }
  const made: Child = {
    transactions: n => Promise.race([ended, new Promise<void>(resolve => waiting.push({ n: seen + n, resolve }))]),
    get seen() {
      return seen
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  }
  children.add(made)
  return made
}
