/** A stream that is read by the vendor's own cursor: an invented vendor numbers its changes, and is asked for what came after a number. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Fault } from '../../src/ingest/commit.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { type Connector, defineConnector, FlowError, message, type PolledPage, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { draw } from './random.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')
const PAGE = 3

interface Change {
  readonly number: number
  readonly atMs: number
  readonly id: string
  readonly startedAt: string
  readonly say: readonly string[]
}

const Row = z.object({ number: z.int(), id: z.string(), startedAt: z.string(), say: z.array(z.string()) })

/** Conversations that say one more word at each change. */
function changesOf(seed: number): Change[] {
  const luck = draw(seed)
  const said = new Map<string, { startedAt: string; say: string[] }>()
  return Array.from({ length: 60 }, (_, index) => {
    const atMs = NOON - HOUR + index * 3 * MINUTE
    const id = `c${luck.between(0, 12)}`
    const of = said.get(id) ?? { startedAt: new Date(atMs).toISOString(), say: [] }
    said.set(id, { ...of, say: [...of.say, `word ${index}`] })
    return { number: index + 1, atMs, id, startedAt: of.startedAt, say: [...of.say, `word ${index}`] }
  })
}

interface Asked {
  readonly cursor: unknown
  readonly sinceMs: number
}

function vendorOf(changes: readonly Change[], now: () => number, fails: () => FlowError | null = () => null) {
  const asked: Asked[] = []
  const connector: Connector = defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        cursor: { lagMs: 0, pollIntervalMs: MINUTE },
        row: Row,
        async *poll({ cursor, sinceMs }): AsyncGenerator<PolledPage> {
          asked.push({ cursor, sinceMs })
          let after = Number(cursor ?? 0)
          for (;;) {
            const failure = fails()
            if (failure !== null) throw failure
            const shown = changes.filter(
              ({ number, atMs }) => number > after && atMs <= now() && (cursor !== null || atMs >= sinceMs),
            )
            if (shown.length === 0) return
            const rows = shown.slice(0, PAGE)
            after = rows.at(-1)?.number ?? after
            yield { rows, cursor: after }
          }
        },
        identify: row => row.id,
        fingerprint: ({ id, startedAt, say }) => ({ id, startedAt, say }),
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: 'b', sessionId: row.id, channel: 'web' })
          return [
            session(of, { startedAt: row.startedAt, totalMessages: row.say.length }),
            ...row.say.map((text, index) => message(of, { messageId: `m${index}`, sentAt: row.startedAt, text })),
          ]
        },
      },
    },
  })
  return { connector, asked }
}

describe.each(Array.from({ length: 8 }, (_, seed) => seed))('a stream with a cursor, over kills (seed %i)', seed => {
  test('publishes each change once, in order, and asks only for what came after the last committed page', async () => {
    const luck = draw(seed)
    const changes = changesOf(seed)
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    let failing = 0
    const { connector, asked } = vendorOf(
      changes,
      () => clock.now(),
      () => (failing > 0 && luck.chance(0.3) ? new FlowError('SRC_SERVER_ERROR', { status: 500 }) : null),
    )
    for (let life = 0; life < 6; life++) {
      failing = life % 2
      let left = luck.between(1, 12)
      const fault: Fault = async () => {
        if (life < 5 && --left < 0) await new Promise<never>(() => {})
      }
      const running = startLife({ kafka, connector, clock, base: { startAtMs: NOON - HOUR }, fault })
      await clock.sleep(life < 5 ? 40 * MINUTE : 3 * HOUR)
      if (life === 5) await running.stop()
    }
    const { sessions, messages, cursors } = await topicsOf(kafka)
    const newest = new Map(sessions.map(({ value }) => [value.session_id, value]))
    const expected = new Map(changes.map(change => [change.id, change]))
    expect([...newest.keys()].sort()).toEqual([...expected.keys()].sort())
    for (const [id, { say }] of expected) expect(newest.get(id)?.total_messages).toBe(say.length)
    const revisions = Map.groupBy(sessions, ({ key }) => key)
    for (const of of revisions.values()) expect(of.map(({ value }) => value.revision)).toEqual(of.map((_, index) => index + 1))
    const said = messages.map(({ value }) => `${value.session_id} ${value.text}`)
    expect(new Set(said).size).toBe(said.length)
    expect(said).toHaveLength([...expected.values()].reduce((sum, { say }) => sum + say.length, 0))
    expect(cursors.at(-1)?.live.resume).toBe(60)
    const numbers = asked.map(({ cursor }) => Number(cursor ?? 0))
    expect(numbers.at(-1), 'the last polls begin where reading stood').toBe(60)
    expect(numbers.filter(number => number === 0).length).toBeLessThan(numbers.length / 4)
  })
})

test('a cursor that the vendor has forgotten begins again at what was promised, and publishes nothing twice', async () => {
  const changes = changesOf(1)
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const kafka = memoryKafka()
  let forgets = false
  const { connector, asked } = vendorOf(
    changes,
    () => clock.now(),
    () => {
      if (!forgets) return null
      forgets = false
      return new FlowError('SRC_RESUME_EXPIRED')
    },
  )
  const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - HOUR } })
  await clock.sleep(HOUR)
  forgets = true
  await clock.sleep(2 * HOUR)
  await life.stop()
  const again = asked.findLast(({ cursor }) => cursor === null)
  expect(again?.sinceMs, 'from where reading stood').toBeGreaterThan(NOON + 50 * MINUTE)
  const { messages } = await topicsOf(kafka)
  const said = messages.map(({ value }) => `${value.session_id} ${value.text}`)
  expect(new Set(said).size).toBe(said.length)
  expect(said).toHaveLength(60)
})

test('the cursor stands in the committed record between two polls, and progress says up to when', async () => {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const kafka = memoryKafka()
  const { connector } = vendorOf(changesOf(2), () => clock.now())
  const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - HOUR } })
  await clock.sleep(30 * MINUTE)
  await life.stop()
  const { cursors, progress } = await topicsOf(kafka)
  expect(cursors.at(-1)?.live).toMatchObject({ toMs: null, resume: 30 })
  const last = progress.at(-1)?.value
  expect(Number(last?.complete_until)).toBeGreaterThanOrEqual(NOON + 29 * MINUTE)
})
