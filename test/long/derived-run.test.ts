/** Turns that become sessions, and open rows that are followed: whole lives of a source partition, with kills at any boundary. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { FlowError } from '../../src/errors.ts'
import type { Boundary } from '../../src/ingest/commit.ts'
import { type Connector, defineConnector, event, message, type Page, session } from '../../src/source/index.ts'
import { type HandClock, handClock } from '../support/clock.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { type Draw, draw } from '../ingest/random.ts'
import { startLife, topicsOf } from '../ingest/world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const GAP = 15 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

const manifest = {
  id: 'tiny',
  title: 'Tiny',
  apiVersion: '1',
  docs: 'https://tiny.example',
  quota: {},
  pollIntervalMs: MINUTE,
}

/** Lives one after another until `settledMs`, each ended by a kill, a fault, a lost commit or a stop. */
async function lives(of: {
  clock: HandClock
  kafka: MemoryKafka
  connector: Connector
  luck: Draw
  startAtMs: number
  calmMs: number
  settledMs: number
}) {
  const { clock, kafka, connector, luck, startAtMs, calmMs, settledMs } = of
  while (clock.now() < settledMs) {
    const isCalm = clock.now() > calmMs
    const held = Promise.withResolvers<void>()
    const fault = async (at: Boundary) => {
      if (isCalm || !luck.chance(0.015)) return
      const kind = luck.between(1, 3)
      if (kind === 1) kafka.nextCommits(luck.one(['lost', 'aborted']))
      if (kind === 2) throw new Error(`a fault of ours at ${at}`)
      if (kind === 3) {
        held.resolve()
        await new Promise(() => {})
      }
    }
    const life = startLife({ kafka, connector, clock, base: { startAtMs }, fault })
    await Promise.race([held.promise, clock.sleep(isCalm ? HOUR : 2 * HOUR)])
    if (luck.chance(0.3) || isCalm) await Promise.race([life.stop(), clock.sleep(30_000)])
  }
}

describe('sessions derived from turns', () => {
  const WINDOW = {
    longestMs: 3 * HOUR,
    lagMs: MINUTE,
    lookbackMs: 2 * HOUR,
    lookbackIntervalMs: 10 * MINUTE,
    durableResume: true,
  }

  interface Said {
    readonly id: string
    readonly key: string
    readonly atMs: number
    readonly shownMs: number
    /** Read, and cannot be told. */
    readonly bad: boolean
  }

  function turnsConnector(said: readonly Said[], clock: HandClock, luck: Draw, pageMs = 0, window = WINDOW): Connector {
    const Row = z.object({ id: z.string(), key: z.string(), atMs: z.number(), bad: z.boolean() })
    return defineConnector({
      manifest: { ...manifest, sessionStream: null },
      config: z.strictObject({}),
      http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
      streams: {
        sessions: {
          window,
          row: Row,
          // In no order, a few a page.
          async *read({ window, resume }): AsyncGenerator<Page> {
            const all = said.filter(
              ({ atMs, shownMs }) => shownMs <= clock.now() && window.fromMs <= atMs && atMs < window.untilMs,
            )
            const size = luck.between(1, 10)
            for (let at = Number(resume ?? 0); ; at += size) {
              if (luck.chance(0.02)) throw new FlowError('SRC_SERVER_ERROR', { status: 500 })
              if (pageMs > 0) await clock.sleep(pageMs)
              yield { rows: all.slice(at, at + size), resume: at + size < all.length ? at + size : null }
              if (at + size >= all.length) return
            }
          },
          identify: row => row.id,
          derive: () => ({
            gapMs: GAP,
            turn: ({ key, atMs }) => ({ key, atMs, botId: `bot-${key}`, channel: 'web', userMessages: 1 }),
          }),
          normalise: (row, ctx) => {
            if (row.bad) throw new FlowError('ROW_UNMAPPABLE', { path: 'bad' })
            return ctx.derived === null
              ? []
              : [message(ctx.derived, { messageId: row.id, sentAt: row.atMs, sender: 'USER', type: 'text', text: 'x' })]
          },
        },
      },
    })
  }

  function sessionsIn(said: readonly Said[]) {
    const found: { key: string; fromMs: number; untilMs: number; turns: number }[] = []
    for (const { key, atMs } of said.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.atMs - b.atMs))) {
      let last = found.at(-1)
      if (last === undefined || last.key !== key || atMs - last.untilMs > GAP)
        found.push((last = { key, fromMs: atMs, untilMs: atMs, turns: 0 }))
      last.untilMs = atMs
      last.turns++
    }
    return found.map(({ key, fromMs, untilMs, turns }) => `bot-${key} ${fromMs} ${untilMs} ${turns} CLOSED`).sort()
  }

  test.each(Array.from({ length: 8 }, (_, seed) => seed))(
    'are those of the turns, whatever is killed when (seed %i)',
    async seed => {
      const luck = draw(seed)
      const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
      const kafka = memoryKafka()
      const endMs = NOON + 4 * HOUR
      const startAtMs = NOON - luck.between(1, 10) * HOUR
      const said: Said[] = []
      for (let atMs = startAtMs; atMs < endMs; atMs += luck.between(0, 4 * MINUTE))
        said.push({
          id: `t${said.length}`,
          key: `k${luck.between(0, 3)}`,
          atMs,
          shownMs: luck.chance(0.1) ? atMs + luck.between(0, 100 * MINUTE) : atMs,
          bad: luck.chance(0.05),
        })
      const connector = turnsConnector(said, clock, luck)
      await lives({ clock, kafka, connector, luck, startAtMs, calmMs: endMs + 2 * HOUR, settledMs: endMs + 4 * HOUR })

      const good = said.filter(({ bad }) => !bad)
      const topics = await topicsOf(kafka)
      const newest = new Map(topics.sessions.map(({ key, value }) => [key, value]))
      for (const key of topics.withdrawn) newest.delete(key)
      expect(
        [...newest.values()]
          .map(({ bot_id, started_at, ended_at, user_messages, status }) =>
            [bot_id, started_at, ended_at, user_messages, status].join(' '),
          )
          .sort(),
      ).toEqual(sessionsIn(good))
      expect(topics.messages.map(({ value }) => value.message_id).sort()).toEqual(good.map(({ id }) => id).sort())
      expect(topics.rejects).toHaveLength(said.length - good.length)
      const merged = new Set([...newest.values()].flatMap(({ attributes }) => attributes['merged_sessions']?.split(',') ?? []))
      for (const { value } of topics.messages)
        expect(newest.has(value.session_key) || merged.has(value.session_id), 'a message of a session that is nowhere').toBe(true)
      const revisions = new Map<string, number[]>()
      for (const { key, value } of topics.sessions) revisions.set(key, [...(revisions.get(key) ?? []), value.revision])
      for (const of of revisions.values()) expect(of).toEqual(of.map((_, index) => index + 1))
    },
  )

  test('are there while a backfill goes on for longer than the lookback, and one that lies across its end is one', async () => {
    const luck = { ...draw(1), chance: () => false }
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    const startAtMs = NOON - 8 * HOUR
    const said: Said[] = []
    for (let atMs = startAtMs; atMs < NOON + HOUR; atMs += 5 * MINUTE)
      said.push({ id: `t${said.length}`, key: 'k0', atMs, shownMs: atMs, bad: false })
    const window = { ...WINDOW, longestMs: 5 * MINUTE, lookbackMs: HOUR, hotMs: 0 }
    const connector = turnsConnector(said, clock, luck, 2 * MINUTE, window)
    const sentAt = async () => (await topicsOf(kafka)).messages.map(({ value }) => value.sent_at)
    const first = startLife({ kafka, connector, clock, base: { startAtMs } })
    await clock.sleep(30 * MINUTE)
    expect(Math.max(...(await sentAt())), 'live').toBeGreaterThan(NOON + 10 * MINUTE)
    await clock.sleep(3 * HOUR)
    expect((await topicsOf(kafka)).cursors.at(-1)?.backfill, 'the backfill still goes on').toBeTruthy()
    await first.stop()
    const second = startLife({ kafka, connector, clock, base: { startAtMs } })
    await clock.sleep(24 * HOUR)
    await second.stop()
    const topics = await topicsOf(kafka)
    const newest = new Map(topics.sessions.map(({ key, value }) => [key, value]))
    for (const key of topics.withdrawn) newest.delete(key)
    expect([...newest.values()]).toMatchObject([
      { started_at: startAtMs, ended_at: said.at(-1)?.atMs, user_messages: said.length, status: 'CLOSED' },
    ])
    expect((await sentAt()).toSorted((a, b) => a - b)).toEqual(said.map(({ atMs }) => atMs))
  })
})

describe('an open row that has left the lookback', () => {
  interface Talk {
    readonly id: string
    readonly atMs: number
    readonly closesMs: number
  }
  const Row = z.object({ id: z.string(), atMs: z.number(), open: z.boolean() })

  function talksConnector(talks: readonly Talk[], clock: HandClock, asked: string[][], refuses = false): Connector {
    const rowOf = ({ id, atMs, closesMs }: Talk) => ({ id, atMs, open: closesMs > clock.now() })
    return defineConnector({
      manifest: { ...manifest, sessionStream: 'sessions' },
      config: z.strictObject({}),
      http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
      streams: {
        sessions: {
          window: {
            longestMs: 6 * HOUR,
            lagMs: MINUTE,
            lookbackMs: 2 * HOUR,
            lookbackIntervalMs: 10 * MINUTE,
            durableResume: true,
          },
          row: Row,
          async *read({ window }): AsyncGenerator<Page> {
            yield { rows: talks.filter(({ atMs }) => window.fromMs <= atMs && atMs < window.untilMs).map(rowOf), resume: null }
          },
          identify: row => row.id,
          follow: {
            isOpen: row => row.open,
            atOnce: 3,
            longestMs: 48 * HOUR,
            read: async ({ ids }) => {
              asked.push([...ids])
              if (refuses) throw new FlowError('SRC_REFUSED', { status: 400 })
              return talks.filter(({ id }) => ids.includes(id)).map(rowOf)
            },
          },
          normalise: (row, ctx) => {
            const of = ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' })
            return [
              session(of, { startedAt: row.atMs, status: row.open ? 'OPEN' : 'CLOSED' }),
              ...(row.open ? [] : [event(of, { eventId: row.id, occurredAt: row.atMs, type: 'session_ended' })]),
            ]
          },
        },
      },
    })
  }

  const talksOf = (luck: Draw): Talk[] =>
    Array.from({ length: 20 }, (_, i) => {
      const atMs = NOON - luck.between(0, 5 * HOUR)
      return { id: `s${i}`, atMs, closesMs: atMs + luck.between(0, 20 * HOUR) }
    })

  test.each([0, 1, 2])('is asked for by its id until it is closed, and closes once (seed %i)', async seed => {
    const luck = draw(seed)
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    const talks = talksOf(luck)
    const asked: string[][] = []
    const connector = talksConnector(talks, clock, asked)
    const startAtMs = NOON - 6 * HOUR
    await lives({ clock, kafka, connector, luck, startAtMs, calmMs: NOON + 20 * HOUR, settledMs: NOON + 23 * HOUR })
    const topics = await topicsOf(kafka)
    const newest = new Map(topics.sessions.map(({ key, value }) => [key, value]))
    expect([...newest.values()].map(({ status }) => status)).toEqual(talks.map(() => 'CLOSED'))
    expect(topics.events.map(({ value }) => value.event_id).sort()).toEqual(talks.map(({ id }) => id).sort())
    for (const { revision } of newest.values()) expect(revision).toBeLessThanOrEqual(2)
    expect(Math.max(...asked.map(ids => ids.length))).toBeLessThanOrEqual(3)
    expect(asked.length, 'nothing was followed').toBeGreaterThan(0)
  })

  test('is asked for no more when it has been open for too long', async () => {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const asked: string[][] = []
    const talks = [{ id: 'never', atMs: NOON - HOUR, closesMs: Infinity }]
    const life = startLife({
      kafka: memoryKafka(),
      connector: talksConnector(talks, clock, asked),
      clock,
      base: { startAtMs: NOON - 2 * HOUR },
    })
    await clock.sleep(54 * HOUR)
    const before = asked.length
    await clock.sleep(6 * HOUR)
    await life.stop()
    expect(before).toBeGreaterThan(10)
    expect(asked.length).toBe(before)
  })

  test('that the vendor refuses to tell by its id keeps nobody from reading windows', async () => {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    const asked: string[][] = []
    const talks: Talk[] = [{ id: 'open', atMs: NOON - HOUR, closesMs: Infinity }]
    const life = startLife({
      kafka,
      connector: talksConnector(talks, clock, asked, true),
      clock,
      base: { startAtMs: NOON - 2 * HOUR },
    })
    await clock.sleep(5 * HOUR)
    talks.push({ id: 'new', atMs: clock.now(), closesMs: 0 })
    await clock.sleep(HOUR)
    await life.stop()
    expect(asked.length).toBeGreaterThan(2)
    expect((await topicsOf(kafka)).sessions.map(({ value }) => value.session_id)).toEqual(['open', 'new'])
    expect(life.health.states()[0]?.error).toBeNull()
  })
})
