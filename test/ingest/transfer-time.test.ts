/** Once it is on the topic, the time of a transfer stays: series count it in that minute, and people were told of it. */
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { defineConnector, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

const Row = z.object({
  id: z.string(),
  containment: z.enum(['AGENT', 'SELF_SERVICE']).default('AGENT'),
  handedAt: z.number().nullable(),
})

const connectorOf = (rows: () => readonly z.input<typeof Row>[]) =>
  defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 6 * HOUR, lookbackIntervalMs: MINUTE, durableResume: true },
        row: Row,
        async *read() {
          yield { rows: rows(), resume: null }
        },
        identify: row => row.id,
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' })
          return [session(of, { startedAt: NOON - HOUR, containment: row.containment, transferredAt: row.handedAt })]
        },
      },
    },
  })

test('a witness that shows later, earlier or not at all moves it not, over restarts too; a session that is no agent’s any more has none', async () => {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  let rows: z.input<typeof Row>[] = []
  const connector = connectorOf(() => rows)
  async function shown(...now: z.input<typeof Row>[]) {
    rows = now
    const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 2 * HOUR } })
    onTestFinished(() => life.stop())
    await clock.sleep(5 * MINUTE)
    await life.stop()
    const { sessions } = await topicsOf(kafka)
    return sessions.at(-1)?.value.transferred_at
  }
  const at = NOON - 10 * MINUTE
  expect(await shown({ id: 'a', containment: 'SELF_SERVICE', handedAt: null })).toBeNull()
  expect(await shown({ id: 'a', handedAt: at })).toBe(at)
  expect(await shown({ id: 'a', handedAt: at - MINUTE })).toBe(at)
  expect(await shown({ id: 'a', handedAt: null })).toBe(at)
  expect(await shown({ id: 'a', handedAt: at + MINUTE })).toBe(at)
  expect(await shown({ id: 'a', containment: 'SELF_SERVICE', handedAt: null })).toBeNull()
  expect(await shown({ id: 'a', handedAt: at + 2 * MINUTE })).toBe(at)
})
