/** The processes under test: the product's binary with its roles, each under a guard that takes it along when the harness dies. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Child, startChild } from '../../src/stack/child.ts'
import type { Order, Point } from './points.ts'
import { own } from '../support/product.ts'
import { pause } from './cluster.ts'

const ENTRY = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const POINTS = new URL('points.ts', import.meta.url).href
/** The contract's time from SIGTERM to the end, and a moment for a laden machine to notice. */
const STOP_MS = 11_000
const LINES = 400

export type Role = 'worker' | 'aggregator' | 'server'

export interface Life {
  readonly role: Role
  readonly name: string
  /** `http://127.0.0.1:N` once it listens; rejects when it ends before. */
  base(): Promise<string>
  readonly gone: () => boolean
  readonly exited: Promise<number>
  /** The newest lines of its log. */
  readonly lines: readonly string[]
  /** Waits until it can do its work, or for so long. */
  ready(patienceMs: number): Promise<void>
  /** An end that nobody asked for: its exit code. */
  readonly unasked: () => number | null
  kill(): Promise<void>
  freeze(): void
  thaw(): void
  /** SIGTERM. @returns how it ended; `slow` when it had to be killed. */
  terminate(): Promise<{ code: number; slow: boolean }>
  /** Sends the signal to itself at the point. Resolves when it has; with false when it did not come there in time, and the order is off. */
  strike(order: Order, patienceMs: number): Promise<boolean>
  /** True while it stands still at a point. */
  readonly isFrozen: () => boolean
}

let count = 0

/** @param folder Where it is told at which point a signal is due. */
export function startLife(role: Role, config: string, folder: string): Life {
  const name = `${role}-${++count}`
  const points = join(folder, `${name}.json`)
  const lines: string[] = []
  let asked = false
  let frozen = false
  let code: number | null = null
  const listening = Promise.withResolvers<string>()
  listening.promise.catch(() => {})
  let onPoint: ((at: Point) => void) | null = null

  const child: Child = startChild(
    process.execPath,
    ['--max-semi-space-size=8', '--import', POINTS, ENTRY, 'run', '--config', config, '--roles', role],
    {
      env: { ...own('PATH', 'HOME', 'NODE_COMPILE_CACHE'), COLLOQUY_POINTS: points },
      onLine: line => {
        lines.push(line)
        if (lines.length > LINES) lines.shift()
        const fields = parsed(line)
        if (typeof fields['port'] === 'number' && fields['level'] === 'info')
          listening.resolve(`http://127.0.0.1:${fields['port']}`)
        if (fields['msg'] === 'at point') {
          asked = true
          if (fields['signal'] === 'SIGSTOP') frozen = true
          onPoint?.(fields['at'] as Point)
        }
      },
    },
  )
  void child.exited.then(exit => {
    code = exit
    listening.reject(new Error(`${name} ended with ${exit} before it listened`))
  })

  const life: Life = {
    role,
    name,
    base: () => listening.promise,
    gone: child.gone,
    exited: child.exited,
    lines,
    ready: async patienceMs => {
      const untilMs = Date.now() + patienceMs
      while (!child.gone() && Date.now() < untilMs) {
        const status = await Promise.race([
          listening.promise.then(async base => (await fetch(`${base}/readyz`, { signal: AbortSignal.timeout(2_000) })).status),
          pause(untilMs - Date.now()).then(() => 0),
        ]).catch(() => 0)
        if (status === 200) return
        await pause(100)
      }
    },
    unasked: () => (asked ? null : code),
    kill: async () => {
      asked = true
      await child.stop(0)
    },
    freeze: () => {
      frozen = true
      child.signal('STOP')
    },
    thaw: () => {
      frozen = false
      child.signal('CONT')
    },
    terminate: async () => {
      asked = true
      if (child.gone()) return { code: await child.exited, slow: false }
      child.signal('CONT')
      child.signal('TERM')
      const ended = await Promise.race([child.exited, pause(STOP_MS).then(() => null)])
      if (ended !== null) return { code: ended, slow: false }
      await child.stop(0)
      return { code: 137, slow: true }
    },
    strike: async (order, patienceMs) => {
      if (child.gone()) return false
      const struck = new Promise<true>(resolve => {
        onPoint = () => resolve(true)
      })
      writeFileSync(`${points}.new`, JSON.stringify(order))
      renameSync(`${points}.new`, points)
      const done = await Promise.race([struck, child.exited.then(() => false), pause(patienceMs).then(() => false)])
      rmSync(points, { force: true })
      onPoint = null
      return done
    },
    isFrozen: () => frozen,
  }
  return life
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return {}
  }
}
