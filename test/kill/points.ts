/**
 * Named points at which a process under test ends, stops or is asked to end: `node --import points.ts src/main.ts run …`. The product is the one that
 * users run; this module, loaded before it, puts itself between two of its modules (`client.ts`, `start.ts` beside this file), and the harness says in a
 * file (`COLLOQUY_POINTS`) at which point what signal is due. The process sends it to itself, so that nothing more is done after the point.
 */
import { readFileSync, rmSync, writeSync } from 'node:fs'
import { registerHooks } from 'node:module'
import type { Boundary } from '../../src/ingest/commit.ts'

/** In the life of a transactional writer, of a restore and of a group member; worker and aggregator alike. */
export const KAFKA_POINTS = [
  'before fence',
  'after fence',
  'in restore',
  'after restore',
  'before send',
  'after send',
  'in commit',
  'after commit',
  'in close',
  'assigned',
  'revoked',
] as const
/** Boundaries between the worker's stages. */
export const STAGE_POINTS = [
  'restored',
  'read',
  'decoded',
  'enriched',
  'written',
  'progressed',
  'committed',
] as const satisfies readonly Boundary[]

export type KafkaPoint = (typeof KAFKA_POINTS)[number]
export type Point = KafkaPoint | `stage ${(typeof STAGE_POINTS)[number]}`

/** What stands in the file. Taken away when it strikes. */
export interface Order {
  readonly at: Point
  /** How often the point is passed before. */
  readonly skip: number
  readonly signal: 'SIGKILL' | 'SIGSTOP' | 'SIGTERM'
}

const file = process.env['COLLOQUY_POINTS'] ?? ''
let text = ''
let left = 0

/** Called at each point; does not return when the signal ends the process. */
export function reach(point: string): void {
  let now: string
  try {
    now = readFileSync(file, 'utf8')
  } catch {
    return // no order
  }
  const order = JSON.parse(now) as Order
  if (now !== text) {
    text = now
    left = order.skip
  }
  if (order.at !== point || left-- > 0) return
  rmSync(file, { force: true })
  text = ''
  const strike = () => {
    writeSync(2, `${JSON.stringify({ level: 'info', msg: 'at point', at: point, signal: order.signal })}\n`)
    process.kill(process.pid, order.signal)
  }
  // A request is on its way when the point is passed: the signal comes at some moment of the next milliseconds.
  if (point === 'in commit') setTimeout(strike, Math.random() * 4)
  else strike()
}

const BETWEEN: ReadonlyMap<string, string> = new Map([
  [new URL('../../src/kafka/client.ts', import.meta.url).href, new URL('client.ts', import.meta.url).href],
  [new URL('../../src/ingest/start.ts', import.meta.url).href, new URL('start.ts', import.meta.url).href],
])

if (file !== '') {
  registerHooks({
    resolve(specifier, context, next) {
      const found = next(specifier, context)
      const between = BETWEEN.get(found.url)
      return between === undefined || context.parentURL === between ? found : { ...found, url: between }
    },
  })
}
