/** What becomes of single rows: rejects, revisions, pages that are too much for one transaction. One source partition on a Kafka in memory. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { FlowError } from '../../src/errors.ts'
import { cursorKey, writeCursor } from '../../src/ingest/cursor.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { BaseConfig } from '../../src/source/config.ts'
import { type Connector, defineConnector, event, type EnrichArgs, message, type Page, session } from '../../src/source/index.ts'
import { type HandClock, handClock } from '../support/clock.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { names, PARTITIONS, startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

const Row = z.object({
  id: z.string().min(1),
  bot: z.string().default('bot'),
  at: z.iso.datetime().default('2026-11-20T11:00:00Z'),
  say: z.array(z.string()).default([]),
  confidence: z.number().default(1),
  outcome: z.string().nullable().default(null),
  trap: z.enum(['none', 'throw', 'unmappable', 'ask']).default('none'),
})

interface Given {
  /** What the vendor shows in every window. */
  rows: unknown[]
  /** Rows of a page. */
  pageRows?: number
  /** Each page says that it is the last, and more come all the same. */
  forgetful?: boolean
  /** Called before each page and each enrich. */
  before?: (call: 'page' | 'enrich') => void
  enriching?: boolean
  /** Rows of the second call that cannot be used. */
  strays?: readonly unknown[]
  /** Ids of which the second call fails, and with what. */
  refused?: ReadonlyMap<string, Error>
}

function connectorOf(given: Given): Connector {
  return defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        // Every window shows all rows, so nothing is read at every poll beside them.
        window: {
          longestMs: 24 * HOUR,
          lagMs: 0,
          hotMs: 0,
          lookbackMs: 6 * HOUR,
          lookbackIntervalMs: 10 * MINUTE,
          durableResume: true,
        },
        row: Row,
        async *read({ resume }): AsyncGenerator<Page> {
          const size = given.pageRows ?? 100
          for (let at = Number(resume ?? 0); ; at += size) {
            given.before?.('page')
            const isLast = at + size >= given.rows.length
            yield { rows: given.rows.slice(at, at + size), resume: isLast || given.forgetful === true ? null : at + size }
            if (isLast) return
          }
        },
        ...(given.enriching === true
          ? {
              async enrich({ rows, reject }: Pick<EnrichArgs, 'reject'> & { rows: readonly z.output<typeof Row>[] }) {
                given.before?.('enrich')
                for (const { id } of rows) if (given.refused?.has(id)) throw given.refused.get(id)
                for (const stray of given.strays ?? []) reject?.(stray, { path: 'owner', hint: 'names nobody' })
                return rows.map(row => ({ ...row, say: [...row.say, 'enriched'] }))
              },
            }
          : {}),
        identify: row => row.id,
        follow: {
          isOpen: row => {
            if (row.trap === 'ask') throw new RangeError('no answer')
            return false
          },
          read: async () => [],
          atOnce: 10,
          longestMs: HOUR,
        },
        normalise: (row, ctx) => {
          if (row.trap === 'throw') throw new TypeError(`secret words of ${row.id}`)
          if (row.trap === 'unmappable') throw new FlowError('ROW_UNMAPPABLE', { path: 'at', hint: 'at is missing' })
          const of = ctx.session({ botId: row.bot, sessionId: row.id, channel: 'web' })
          return [
            session(of, { startedAt: row.at, outcome: row.outcome }),
            ...row.say.map((text, index) =>
              message(of, { messageId: `m${index}`, sentAt: row.at, text, confidence: row.confidence }),
            ),
            event(of, { eventId: `${row.id}/start`, occurredAt: row.at, type: 'session_started' }),
          ]
        },
      },
    },
  })
}

interface Place {
  readonly clock: HandClock
  readonly kafka: MemoryKafka
  /** Runs for so long, then stops. */
  run(ms: number, base?: Partial<BaseConfig>): Promise<ReturnType<typeof startLife>>
  topics(): ReturnType<typeof topicsOf>
}

function placeOf(given: Given, maxBytes?: ReadonlyMap<string, number>): Place {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  const connector = connectorOf(given)
  return {
    clock,
    kafka,
    async run(ms, base) {
      const life = startLife({
        kafka,
        connector,
        clock,
        base: { startAtMs: NOON - HOUR, ...base },
        ...(maxBytes ? { maxBytes } : {}),
      })
      onTestFinished(() => life.stop())
      await clock.sleep(ms)
      await life.stop()
      return life
    },
    topics: () => topicsOf(kafka),
  }
}

const header = (record: { headers: Readonly<Record<string, Buffer>> }, name: string) => String(record.headers[name])

describe('a row that does not fit its schema', () => {
  test('goes to rejects once, with place and reason, and its page goes on', async () => {
    const bad = { id: 'bad', say: 'not a list', phone: '+34 600' }
    const place = placeOf({ rows: [{ id: 'a' }, bad, { id: 'b' }] })
    const life = await place.run(HOUR)
    await place.run(HOUR)
    const { sessions, rejects } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'b'])
    expect(rejects).toHaveLength(1)
    const [reject] = rejects
    if (!reject) return
    expect(String(reject.key)).toBe('bad')
    expect(JSON.parse(String(reject.value))).toEqual(bad)
    expect(Object.fromEntries(Object.entries(reject.headers).map(([name, value]) => [name, String(value)]))).toMatchObject({
      '__connect.errors.connector.name': 'acme-tiny',
      '__connect.errors.task.id': '0',
      '__connect.errors.stage': 'DECODE',
      '__connect.errors.exception.class.name': 'ROW_INVALID',
      '__connect.errors.exception.message': 'say: invalid_type (array expected)',
      '__colloquy.connector': 'acme-tiny',
      '__colloquy.stream': 'sessions',
      '__colloquy.scope': 'acme',
      '__colloquy.reason': 'ROW_INVALID',
      '__colloquy.path': 'say',
    })
    expect(JSON.parse(header(reject, '__colloquy.cursor'))).toMatchObject({ 'backfill.from': '2026-11-20T11:00:00.000Z' })
    expect(life.counted.get('ingest_rejects_total acme-tiny sessions ROW_INVALID')).toBe(1)
  })

  test('is rejected again when it says something else, and published when it fits', async () => {
    const given: Given = { rows: [{ id: 'x', say: 1 }] }
    const place = placeOf(given)
    await place.run(HOUR)
    given.rows = [{ id: 'x', say: 2 }]
    await place.run(HOUR)
    given.rows = [{ id: 'x', say: ['hello'] }]
    await place.run(HOUR)
    const { sessions, rejects } = await place.topics()
    expect(rejects.map(({ value }) => JSON.parse(String(value)).say)).toEqual([1, 2])
    expect(sessions.map(({ value }) => value.revision)).toEqual([1])
  })

  test.each([null, 'text', 7, [], {}])('may be %j and has an empty key', async raw => {
    const place = placeOf({ rows: [raw, { id: 'a' }] })
    await place.run(HOUR)
    const { sessions, rejects } = await place.topics()
    expect(sessions).toHaveLength(1)
    expect(rejects.map(({ key, value }) => [String(key), JSON.parse(String(value))])).toEqual([['', raw]])
  })

  test('ends the task when errors.tolerance is none, without passing it; when the vendor has mended it, all is read', async () => {
    const given: Given = { rows: [{ id: 'a' }, { id: 'b', say: 1 }] }
    const place = placeOf(given)
    const life = await place.run(10 * MINUTE, { errorsTolerance: 'none' })
    expect(life.health.states()).toMatchObject([{ error: { code: 'ROW_INVALID' } }])
    expect((await place.topics()).sessions).toEqual([])
    expect((await place.topics()).cursors.at(-1)).toMatchObject({ backfill: { atMs: NOON - HOUR } })
    given.rows = [{ id: 'a' }, { id: 'b', say: ['1'] }]
    const mended = await place.run(HOUR, { errorsTolerance: 'none' })
    expect(mended.health.states()).toMatchObject([{ state: 'live', error: null }])
    const { sessions, rejects } = await place.topics()
    expect(sessions.map(({ value }) => [value.session_id, value.revision])).toEqual([
      ['a', 1],
      ['b', 1],
    ])
    expect(rejects).toEqual([])
  })
})

/** A list in a list in a list …, made without recursion. */
function nested(levels: number, innermost: unknown = 'x'): unknown {
  let value = innermost
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { in: value }
  return value
}

describe('a row that is nested deep', () => {
  test.each([101, 4_460, 20_000])(
    'by %d levels goes to rejects once for its content, cut; the rows beside it are published',
    async levels => {
      const given: Given = { rows: [{ id: 'a' }, { id: 'deep', extra: nested(levels) }, { id: 'b' }] }
      const place = placeOf(given)
      await place.run(12 * MINUTE)
      given.rows = [{ id: 'a' }, { id: 'deep', extra: nested(levels, 'y') }, { id: 'b' }]
      const life = await place.run(12 * MINUTE)
      expect(life.health.states()).toMatchObject([{ state: 'live', error: null }])
      const { sessions, rejects } = await place.topics()
      expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'b'])
      expect(rejects.map(each => [String(each.key), header(each, '__colloquy.reason')])).toEqual([
        ['deep', 'ROW_INVALID'],
        ['deep', 'ROW_INVALID'],
      ])
      expect(header(rejects[0] as never, '__connect.errors.exception.message')).toBe(
        'the row is nested more than 100 levels deep',
      )
      expect(String(rejects[0]?.value)).toContain('left out: more than 100 levels deep')
    },
  )

  test('by 90 levels is published', async () => {
    const place = placeOf({ rows: [{ id: 'deep', extra: nested(90) }] })
    await place.run(12 * MINUTE)
    expect((await place.topics()).sessions).toHaveLength(1)
  })
})

test('with errors.tolerance none the good pages before a bad one are committed', async () => {
  const place = placeOf({ rows: [{ id: 'a' }, { id: 'b', say: 1 }], pageRows: 1 })
  await place.run(10 * MINUTE, { errorsTolerance: 'none' })
  expect((await place.topics()).sessions.map(({ value }) => value.session_id)).toEqual(['a'])
})

test('a page that says it is the last, and is not, loses nothing: the window ends with the listing', async () => {
  const place = placeOf({ rows: [{ id: 'a' }, { id: 'b' }, { id: 'c' }], pageRows: 1, forgetful: true })
  await place.run(HOUR)
  const { sessions } = await place.topics()
  expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'b', 'c'])
})

describe('a row that fits but cannot be told', () => {
  test('goes to rejects with the path, or with the name of what was thrown and none of its words', async () => {
    const place = placeOf({
      rows: [{ id: 'a', trap: 'unmappable' }, { id: 'b', trap: 'throw' }, { id: 'c' }, { id: 'd', trap: 'ask' }],
    })
    await place.run(2 * HOUR)
    const { sessions, rejects } = await place.topics()
    expect(sessions).toHaveLength(1)
    expect(
      rejects.map(of => [
        String(of.key),
        header(of, '__colloquy.reason'),
        header(of, '__colloquy.path'),
        header(of, '__connect.errors.exception.message'),
      ]),
    ).toEqual([
      ['a', 'ROW_UNMAPPABLE', 'at', 'at is missing'],
      ['b', 'ROW_UNMAPPABLE', '', 'TypeError'],
      ['d', 'ROW_UNMAPPABLE', '', 'RangeError'],
    ])
  })
})

describe('a record that is larger than its topic takes', () => {
  test('goes to rejects, once, with its size; the rest of its row is published', async () => {
    const maxBytes = new Map([[names.messages, 5000]])
    const given: Given = { rows: [{ id: 'a', say: ['short', 'x'.repeat(6000)] }] }
    const place = placeOf(given, maxBytes)
    await place.run(HOUR)
    given.rows = [{ id: 'a', say: ['short', 'x'.repeat(6000), 'more'] }]
    await place.run(HOUR)
    const { sessions, messages, rejects } = await place.topics()
    expect(sessions.map(({ value }) => value.revision)).toEqual([1])
    expect(messages.map(({ value }) => value.message_id)).toEqual(['m0', 'm2'])
    expect(rejects).toHaveLength(1)
    const [reject] = rejects
    if (!reject) return
    expect(header(reject, '__colloquy.reason')).toBe('RECORD_TOO_LARGE')
    expect(header(reject, '__connect.errors.topic')).toBe(names.messages)
    expect(header(reject, '__connect.errors.exception.message')).toMatch(
      /^the message takes 6\d\d\d bytes, a record of tiny\.messages takes 42\d\d$/,
    )
  })

  test('leaves the row out of the reject when that would be too large too', async () => {
    const place = placeOf({ rows: [{ id: 'a', say: ['x'.repeat(1_100_000)] }] })
    await place.run(HOUR)
    const { sessions, rejects } = await place.topics()
    expect(sessions).toHaveLength(1)
    expect(rejects.map(({ value }) => JSON.parse(String(value)))).toEqual([
      { left_out: 'the row is larger than the topic takes', bytes: expect.any(Number) },
    ])
  })
})

describe('a row that changes', () => {
  test('publishes what consumers have not seen of it, each record with a revision of its own', async () => {
    const given: Given = { rows: [{ id: 'a', say: ['one', 'two'] }] }
    const place = placeOf(given)
    await place.run(HOUR)
    given.rows = [{ id: 'a', say: ['one', 'two', 'three'] }]
    await place.run(HOUR)
    given.rows = [{ id: 'a', say: ['one', 'TWO', 'three'], outcome: 'good' }]
    await place.run(HOUR)
    given.rows = [{ id: 'a', say: ['one', 'TWO', 'three'], outcome: 'better' }]
    await place.run(HOUR)
    const { sessions, messages, events } = await place.topics()
    expect(sessions.map(({ value }) => value.revision)).toEqual([1, 2, 3])
    expect(messages.map(({ value }) => [value.message_id, value.text, value.revision])).toEqual([
      ['m0', 'one', 1],
      ['m1', 'two', 1],
      ['m2', 'three', 1],
      ['m1', 'TWO', 2],
    ])
    expect(events).toHaveLength(1)
  })

  test('what it no longer shows is not published again when it comes back', async () => {
    const given: Given = { rows: [{ id: 'a', say: ['one', 'two'] }] }
    const place = placeOf(given)
    for (const say of [['one', 'two'], ['one'], ['one', 'two']]) {
      given.rows = [{ id: 'a', say }]
      await place.run(HOUR)
    }
    const { sessions, messages } = await place.topics()
    expect(sessions, 'the session said the same each time').toHaveLength(1)
    expect(messages).toHaveLength(2)
  })

  test('keeps the bot of its first revision, over restarts; the later one goes to attributes', async () => {
    const given: Given = { rows: [{ id: 'a', bot: 'first', say: ['one'] }] }
    const place = placeOf(given)
    await place.run(HOUR)
    given.rows = [{ id: 'a', bot: 'second', say: ['one', 'two'] }]
    await place.run(HOUR)
    const { sessions, messages } = await place.topics()
    expect(sessions.map(({ value }) => [value.bot_id, value.attributes['bot_id']])).toEqual([
      ['first', undefined],
      ['first', 'second'],
    ])
    expect(messages.at(-1)?.value).toMatchObject({ message_id: 'm1', bot_id: 'first', attributes: { bot_id: 'second' } })
    expect(new Set([...sessions, ...messages].map(({ partition }) => partition)).size).toBe(1)
  })

  test('shown twice in one page is published once', async () => {
    const place = placeOf({ rows: [{ id: 'a' }, { id: 'a' }] })
    await place.run(HOUR)
    expect((await place.topics()).sessions).toHaveLength(1)
  })
})

test('a page too large for one transaction lands in parts, with the cursor before it until the last', async () => {
  const rows = Array.from({ length: 300 }, (_, index) => ({ id: `r${index}`, say: Array(100).fill('hello') }))
  const place = placeOf({ rows, pageRows: 1000 })
  await place.run(HOUR)
  const { sessions, messages, progress, cursors } = await place.topics()
  expect(sessions).toHaveLength(300)
  expect(new Set(messages.map(({ value }) => value.message_key)).size).toBe(30_000)
  const emitting = progress.map(({ value }, index) => ({ ...value, cursor: cursors[index] })).filter(({ emitted }) => emitted > 0)
  expect(emitting.map(({ pages, rows }) => [pages, rows])).toEqual([
    [0, 0],
    [1, 300],
  ])
  expect(emitting[0]?.cursor?.backfill?.atMs).toBe(NOON - HOUR)
  expect(emitting[1]?.cursor?.backfill).toBeNull()
})

describe('enrich', () => {
  test('that fails in the middle of a page leaves the cursor before it; what was enriched stands, and the rest follows', async () => {
    let calls = 0
    const place = placeOf({
      rows: Array.from({ length: 250 }, (_, index) => ({ id: `r${index}` })),
      pageRows: 1000,
      enriching: true,
      before: call => {
        if (call === 'enrich' && ++calls === 3) throw new FlowError('SRC_SERVER_ERROR', { status: 500 })
      },
    })
    await place.run(HOUR)
    const { sessions, messages, progress, cursors } = await place.topics()
    expect(sessions.map(({ value }) => value.revision)).toEqual(Array(250).fill(1))
    expect(messages).toHaveLength(250)
    const first = progress.findIndex(({ value }) => value.emitted > 0)
    expect(progress[first]?.value).toMatchObject({ emitted: 600, pages: 0 })
    expect(cursors[first]?.backfill?.atMs).toBe(NOON - HOUR)
    expect(calls, 'rows that stand are not enriched again').toBe(4)
  })
})

describe('a row of the second call that cannot be used', () => {
  const strays = [{ text: 'of nobody' }, { text: 'of nobody' }, 'hi']

  test('goes to rejects once, with the reason; the rows in hand are published', async () => {
    const place = placeOf({ rows: [{ id: 'a' }, { id: 'b' }], enriching: true, strays })
    await place.run(HOUR)
    await place.run(HOUR)
    const { sessions, rejects } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'b'])
    expect(rejects.map(({ value }) => JSON.parse(String(value)) as unknown)).toEqual([{ text: 'of nobody' }, 'hi'])
    const [reject] = rejects
    if (!reject) return
    expect([header(reject, '__colloquy.reason'), header(reject, '__colloquy.path')]).toEqual(['ROW_UNMAPPABLE', 'owner'])
    expect(header(reject, '__connect.errors.exception.message')).toContain('names nobody')
  })

  test('ends the task where a reject does', async () => {
    const place = placeOf({ rows: [{ id: 'a' }], enriching: true, strays })
    await place.run(MINUTE, { errorsTolerance: 'none' })
    const { sessions, rejects } = await place.topics()
    expect([sessions, rejects]).toEqual([[], []])
  })
})

describe('a task that fails', () => {
  test('starts again by itself after 1 s, doubling to 5 min, and is well when the fault has passed', async () => {
    const tries: number[] = []
    let down = true
    const place = placeOf({
      rows: [{ id: 'a' }],
      before: () => {
        tries.push(place.clock.now())
        if (down) throw new FlowError('SRC_UNAUTHORISED', { status: 401 })
      },
    })
    const life = await place.run(30 * MINUTE)
    const gaps = tries.slice(1).map((ms, index) => (ms - (tries[index] ?? 0)) / 1000)
    expect(gaps.slice(0, 10)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300])
    expect(life.health.states()).toMatchObject([{ error: { code: 'SRC_UNAUTHORISED' } }])
    down = false
    const well = await place.run(HOUR)
    expect(well.health.states()).toMatchObject([{ state: 'live', error: null }])
    expect((await place.topics()).sessions).toHaveLength(1)
  })

  test('waits as long as the vendor asked', async () => {
    const tries: number[] = []
    const place = placeOf({
      rows: [],
      before: () => {
        tries.push(place.clock.now())
        if (tries.length === 1) throw new FlowError('SRC_RATE_LIMITED', { waitMs: 7 * MINUTE })
      },
    })
    await place.run(HOUR)
    expect((tries[1] ?? 0) - (tries[0] ?? 0)).toBe(7 * MINUTE)
  })

  test('with a cursor that cannot be read stops with CURSOR_INVALID and reads nothing', async () => {
    let pages = 0
    const place = placeOf({ rows: [{ id: 'a' }], before: () => pages++ })
    await putCursor(place, '{"live.until":"soon"}')
    const life = await place.run(HOUR)
    expect(life.health.states()).toMatchObject([{ state: 'failed', error: { code: 'CURSOR_INVALID' } }])
    expect(pages).toBe(0)
  })
})

/** As a person would: the cursor's record is replaced, or taken away with null. */
async function putCursor({ kafka }: Place, text: string | null): Promise<void> {
  const key = cursorKey({ connector: 'acme-tiny', stream: 'sessions', scope: 'acme' })
  const writer = kafka.openWriter({ transactionalId: 'a person' })
  await writer.fence()
  const record = { key: Buffer.from(key), value: text === null ? null : Buffer.from(text) }
  await writer.transact(tx => tx.write([{ topic: names.offsets, partition: partitionOf(key, PARTITIONS), records: [record] }]))
}

test('live.until set back by a person is read from there, and publishes nothing that stands inside the lookback', async () => {
  const place = placeOf({ rows: [{ id: 'a' }, { id: 'b' }] })
  await place.run(HOUR)
  const last = (await place.topics()).cursors.at(-1)
  if (!last) throw new Error('there is a cursor')
  await putCursor(place, writeCursor({ ...last, live: { atMs: NOON - 30 * MINUTE, toMs: null, resume: null }, covered: null }))
  await place.run(HOUR)
  const { sessions, progress } = await place.topics()
  expect(sessions.map(({ value }) => value.revision)).toEqual([1, 1])
  expect(progress.some(({ value }) => value.lane === 'live' && value.window_from === NOON - 30 * MINUTE)).toBe(true)
})

test.each([
  ['taken away', null],
  ['set back to live.until alone', '{"live.until":"2026-11-20T11:00:00Z"}'],
])('behind the lookback, after the cursor was %s, rows come again with the second as their revision', async (_how, text) => {
  const place = placeOf({ rows: [{ id: 'a', say: ['hello'] }] })
  await place.run(HOUR)
  await place.clock.sleep(3 * 24 * HOUR)
  await putCursor(place, text)
  const setBackMs = place.clock.now()
  await place.run(HOUR)
  const { sessions, messages } = await place.topics()
  for (const of of [sessions, messages]) {
    expect(of).toHaveLength(2)
    expect(of[0]?.value.revision).toBe(1)
    expect(of[1]?.value.revision).toBeGreaterThanOrEqual(Math.floor(setBackMs / 1000))
  }
})

test('a stop finishes the page in hand and closes at once', async () => {
  const place = placeOf({ rows: [{ id: 'a' }] })
  const clock = place.clock
  const life = startLife({
    kafka: place.kafka,
    connector: connectorOf({ rows: [{ id: 'a' }] }),
    clock,
    base: { startAtMs: NOON - HOUR },
  })
  await clock.sleep(5000)
  const stoppedMs = clock.now()
  await life.stop()
  expect(clock.now() - stoppedMs).toBeLessThan(5000)
  expect((await place.topics()).sessions).toHaveLength(1)
})

describe('a row of which the second call fails for good', () => {
  const REFUSED = new FlowError('SRC_REFUSED', { status: 400 })

  test.each([
    ['SRC_REFUSED', REFUSED],
    ['SRC_MALFORMED', new FlowError('SRC_MALFORMED', {})],
    ['SRC_TOO_LARGE', new FlowError('SRC_TOO_LARGE', {})],
    ['ROW_UNMAPPABLE', new TypeError('words of the row')],
  ])('with %s is a reject, and the rows beside it are published', async (code, error) => {
    const given: Given = { rows: [{ id: 'a' }, { id: 'b' }, { id: 'c' }], enriching: true, refused: new Map([['b', error]]) }
    const place = placeOf(given)
    const life = await place.run(HOUR)
    expect(life.health.states()).toMatchObject([{ state: 'live', error: null }])
    const { sessions, rejects } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'c'])
    expect(rejects.map(each => [String(each.key), header(each, '__colloquy.reason')])).toEqual([['b', code]])
    expect(JSON.stringify(rejects)).not.toContain('words of the row')
    given.refused = new Map()
    await place.run(HOUR)
    expect((await place.topics()).sessions.map(({ value }) => [value.session_id, value.revision])).toContainEqual(['b', 1])
  })

  test('that comes alone is a reject, too, where others were answered', async () => {
    const given: Given = { rows: [{ id: 'a' }], enriching: true, refused: new Map([['b', REFUSED]]) }
    const place = placeOf(given)
    const running = place.run(2 * HOUR)
    await place.clock.sleep(HOUR)
    given.rows = [{ id: 'a' }, { id: 'b' }]
    expect((await running).health.states()).toMatchObject([{ state: 'live', error: null }])
    expect((await place.topics()).rejects.map(({ key }) => String(key))).toEqual(['b'])
  })

  test.each([[['a']], [['a', 'b']]])(
    'is the fault of the call where none is answered (%j): nothing is passed over',
    async ids => {
      const given: Given = { rows: ids.map(id => ({ id })), enriching: true, refused: new Map(ids.map(id => [id, REFUSED])) }
      const place = placeOf(given)
      const life = await place.run(10 * MINUTE)
      expect(life.health.states()).toMatchObject([{ state: 'failed', error: { code: 'SRC_REFUSED' } }])
      expect((await place.topics()).rejects).toEqual([])
      given.refused = new Map()
      await place.run(HOUR)
      expect((await place.topics()).sessions).toHaveLength(ids.length)
    },
  )
})
