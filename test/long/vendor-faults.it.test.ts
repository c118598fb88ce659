import { describe, expect, inject, test } from 'vitest'
import type { Fault } from '../../src/sim/index.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { type Running, start } from '../support/product.ts'
import { expectTheWorld, type History, startHistory } from '../support/whole-way.ts'

/**
 * The vendor fails in the middle of a backfill, for longer than the tries of one request; what is logged is told, nothing is passed over, and when
 * the fault is over everything is read.
 */
const FAULTS: { name: string; fault: Fault; code: string; times: number }[] = [
  { name: '401', fault: { kind: 'status', status: 401 }, code: 'SRC_UNAUTHORISED', times: 8 },
  {
    name: '429 with Retry-After',
    fault: { kind: 'status', status: 429, retryAfter: { seconds: 1, as: 'seconds' } },
    code: 'SRC_RATE_LIMITED',
    times: 3,
  },
  {
    name: '429 with a date to retry after',
    fault: { kind: 'status', status: 429, retryAfter: { seconds: 1, as: 'date' } },
    code: 'SRC_RATE_LIMITED',
    times: 2,
  },
  { name: '429 without Retry-After', fault: { kind: 'status', status: 429 }, code: 'SRC_RATE_LIMITED', times: 2 },
  { name: '500', fault: { kind: 'status', status: 500 }, code: 'SRC_SERVER_ERROR', times: 7 },
  { name: 'a cut-off body', fault: { kind: 'cut' }, code: 'SRC_TRUNCATED', times: 7 },
  { name: 'malformed JSON', fault: { kind: 'malformed' }, code: 'SRC_MALFORMED', times: 7 },
  { name: 'a connection closed', fault: { kind: 'hang_up' }, code: 'SRC_UNREACHABLE', times: 7 },
  {
    name: 'a next page on another host',
    fault: { kind: 'foreign_link', origin: 'http://127.0.0.2:1' },
    code: 'SRC_FOREIGN_HOST',
    // Sweeps of what is hot, which have no next page, may come in between.
    times: 4,
  },
]

/** Each with a vendor and a product of its own, several at a time: what they do most is wait. */
describe.concurrent('a vendor that answers a backfill with', () => {
  const stack = inject('stack')

  interface Run {
    readonly history: History
    readonly product: Running
    readonly topics: () => ReturnType<typeof readIndependently>
  }

  /** Reads the whole history of a vendor that `spoil` has told how to fail. */
  async function readWhile(
    options: Partial<Parameters<typeof startHistory>[1]>,
    spoil: (history: History) => void,
    hold: (run: Run) => Promise<void>,
  ): Promise<void> {
    const history = await startHistory(stack, { seed: 3, sessions: 80, days: 2, pageSize: 10, ...options })
    spoil(history)
    const product = start(['run', '--config', history.config])
    try {
      await history.complete(await product.base())
      const { sessions, messages, events, rejects } = history.names
      const topics = () => readIndependently(stack.brokers, stack.registry, [sessions, messages, events, rejects])
      await hold({ history, product, topics })
    } finally {
      await product.kill('SIGKILL')
      await history.stop()
    }
  }

  test.each(FAULTS)('$name: is told with code and place, and everything is read when it has passed', ({ fault, code, times }) =>
    readWhile(
      {},
      ({ vendor }) => vendor.faults.next(fault, { path: '/v2.0/sessions', skip: 3, times }),
      async ({ history, product, topics }) => {
        expect(history.vendor.faults.pending).toBe(0)
        expect(product.log.filter(line => line.code === code)).toContainEqual(
          expect.objectContaining({ code, connector: 'acme', stream: 'sessions', scope: 'acme' }),
        )
        expectTheWorld(await topics(), history)
      },
    ),
  )

  test('an empty 204 where there is something: asks again before it believes it', () =>
    readWhile(
      {},
      ({ vendor }) =>
        vendor.faults
          .next({ kind: 'empty' }, { path: '/v2.0/sessions', skip: 1 })
          .next({ kind: 'empty' }, { path: '/v2.0/sessions', skip: 4 }),
      async ({ history, topics }) => {
        expect(history.vendor.faults.pending).toBe(0)
        expectTheWorld(await topics(), history)
      },
    ))

  test('an empty 204 for periods without sessions: goes on to the next', () =>
    readWhile(
      { quirks: { emptyPeriod: '204' } },
      () => {},
      async ({ history, topics }) => expectTheWorld(await topics(), history),
    ))

  test('a row with a missing field: the row is on rejects with its reason, the rest of the page is published', () =>
    readWhile(
      {},
      // Of the first page that has so many rows: sweeps of what is hot find none in a world that is over, and come in between when they are due.
      ({ vendor }) => {
        let isSpoilt = false
        const edit = (body: { items: Record<string, unknown>[] }) => {
          if (!isSpoilt && body.items[2] !== undefined) {
            isSpoilt = true
            delete body.items[2]['creationTime']
          }
          return body
        }
        vendor.faults.sometimes({ kind: 'edit', edit }, { probability: 1, path: '/v2.0/sessions' })
      },
      async ({ history, topics }) => {
        const records = await topics()
        const rejects = records.filter(record => record.topic === history.names.rejects)
        expect(rejects).toHaveLength(1)
        const lost = (rejects[0]?.value as { id?: string } | undefined)?.id ?? ''
        const key = `botmaker:acme:${lost}`
        const { expected } = history
        expect(expected.sessions.has(key)).toBe(true)
        expected.sessions.delete(key)
        for (const [message, { session_key }] of expected.messages) if (session_key === key) expected.messages.delete(message)
        const events = expected.events.filter(event => !event.startsWith(`${key}|`))
        expectTheWorld(records, { ...history, expected: { ...expected, events } })
      },
    ))
})
