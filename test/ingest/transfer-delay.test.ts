/** `transfer_delay_seconds`: what is measured, and what is not. */
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { ShownTransfers, TransferDelay } from '../../src/ingest/transfer-delay.ts'
import type { Metrics } from '../../src/metrics.ts'
import { type Connector, defineConnector, event, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

function delayOf(liveSinceMs: number | null, shown?: ShownTransfers) {
  const seen: [number, string][] = []
  const metrics: Pick<Metrics, 'observe'> = {
    observe: (_name, labels, seconds) => void seen.push([seconds, Object.values(labels).join()]),
  }
  return { seen, delay: new TransferDelay('acme', { metrics, shown, liveSinceMs }) }
}

test('is measured from the transfer to the commit, once for each session, never below zero', () => {
  const { seen, delay } = delayOf(NOON)
  const shows = (key: string, atMs: number, committedMs: number) => delay.committed([{ key, atMs }], false, committedMs)
  shows('a', NOON + 1_000, NOON + 31_000)
  shows('a', NOON + 1_000, NOON + 91_000)
  shows('b', NOON + 9_000, NOON + 8_000)
  shows('c', NOON - 1, NOON + 8_000)
  expect(seen).toEqual([
    [30, 'acme'],
    [0, 'acme'],
  ])
})

test('is measured once where two streams of a connector show it, and again when it has long been forgotten', () => {
  const shown = new ShownTransfers(2)
  const [first, second] = [delayOf(NOON, shown), delayOf(NOON, shown)]
  first.delay.committed([{ key: 'a', atMs: NOON }], false, NOON + 1_000)
  second.delay.committed([{ key: 'a', atMs: NOON }], false, NOON + 5_000)
  expect([first.seen.length, second.seen.length]).toEqual([1, 0])
  second.delay.committed(
    [
      { key: 'b', atMs: NOON },
      { key: 'c', atMs: NOON },
      { key: 'a', atMs: NOON },
    ],
    false,
    NOON + 9_000,
  )
  expect(second.seen).toHaveLength(3)
})

test('begins, where turns are read in order, when everything has been caught up with', () => {
  const { seen, delay } = delayOf(null)
  delay.committed([{ key: 'a', atMs: NOON }], true, NOON + 1_000)
  delay.committed([{ key: 'b', atMs: NOON }], false, NOON + 2_000)
  delay.committed([{ key: 'c', atMs: NOON + 1_999 }], false, NOON + 4_000)
  expect(seen).toEqual([])
  delay.committed([{ key: 'd', atMs: NOON + 2_000 }], true, NOON + 4_000)
  expect(seen).toEqual([[2, 'acme']])
})

test('of a source partition: no backfill, no revision, no second record of the same transfer', async () => {
  const Row = z.object({
    id: z.string(),
    at: z.number(),
    handedAt: z.number().nullable(),
    by: z.string(),
    say: z.number().default(0),
  })
  const rows: z.input<typeof Row>[] = []
  const connector: Connector = defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: {
          longestMs: 24 * HOUR,
          lagMs: 2 * MINUTE,
          lookbackMs: 6 * HOUR,
          lookbackIntervalMs: MINUTE,
          durableResume: true,
        },
        row: Row,
        async *read({ window }) {
          yield { rows: rows.filter(({ at }) => window.fromMs <= at && at < window.untilMs), resume: null }
        },
        identify: row => row.id,
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' })
          const told = row.by.includes('session') ? row.handedAt : null
          return [
            session(of, { startedAt: row.at, transferredAt: told, userMessages: row.say }),
            ...(row.handedAt !== null && row.by.includes('event')
              ? [event(of, { eventId: row.id, occurredAt: row.handedAt, type: 'agent_transferred' })]
              : []),
          ]
        },
      },
    },
  })
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  rows.push({ id: 'old', at: NOON - HOUR, handedAt: NOON - 50 * MINUTE, by: 'session event' })
  // After the promise of the first poll, and before the poll.
  rows.push({ id: 'just', at: NOON - 5 * MINUTE, handedAt: NOON - MINUTE, by: 'session event' })
  rows.push({ id: 'open', at: NOON - 10 * MINUTE, handedAt: null, by: 'session event' })
  const live = () => {
    const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 2 * HOUR } })
    onTestFinished(() => life.stop())
    return { life, delays: () => life.observed.get('transfer_delay_seconds acme-tiny') ?? [] }
  }
  const first = live()
  await clock.sleep(5 * MINUTE)
  expect(first.delays(), 'a backfill').toEqual([])
  // Handed over while it was being read, shown at the next pass.
  Object.assign(rows[2] as object, { handedAt: NOON + 5 * MINUTE })
  rows.push({ id: 'new', at: clock.now(), handedAt: NOON + 5 * MINUTE, by: 'event' })
  await clock.sleep(5 * MINUTE)
  const seen = first.delays()
  expect(seen).toHaveLength(2)
  expect(
    seen.every(seconds => seconds >= 0 && seconds <= 150),
    `${seen.join()} s`,
  ).toBe(true)
  for (const row of rows) row.say = 7
  await clock.sleep(5 * MINUTE)
  expect(
    (await topicsOf(kafka)).sessions.filter(({ value }) => value.user_messages === 7),
    'new revisions',
  ).toHaveLength(4)
  expect(first.delays()).toHaveLength(2)
  await first.life.stop()
  const second = live()
  for (const row of rows) row.say = 8
  await clock.sleep(5 * MINUTE)
  expect(
    (await topicsOf(kafka)).sessions.filter(({ value }) => value.user_messages === 8),
    'new revisions',
  ).toHaveLength(4)
  expect(second.delays(), 'what was shown before a restart').toEqual([])
  await second.life.stop()
})
