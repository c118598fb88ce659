import { describe, expect, test } from 'vitest'
import { sizeOf, startOf } from '../../src/aggregate/buckets.ts'
import { blankContribution, COUNT, minuteOf } from '../../src/aggregate/contribution.ts'
import { chunkKey, createCounted } from '../../src/aggregate/counted.ts'
import { stateRecordBytes, writeStateRecord } from '../../src/aggregate/state-record.ts'
import type { PartitionState, RestoredPoint } from '../../src/aggregate/state.ts'
import { createState } from '../../src/aggregate/state.ts'
import { type Event, MEASURES, type Message, type SeriesPoint, type Session } from '../../src/records.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from './make.ts'
import { recount, tableOf } from './recount.ts'

const T = (time: string) => Date.parse(`2026-11-01T${time}Z`)
const DAY_MS = 86_400_000

type Published = RestoredPoint & Pick<SeriesPoint, 'series_key' | 'duration_sketch' | 'users_sketch'>

const copyOf = (bytes: Buffer | null) => bytes && Buffer.from(bytes)

/** The state's cells as the points that would be published. */
function pointsOf(state: PartitionState): Published[] {
  const held: number[] = []
  state.cells.each(cell => held.push(cell))
  return held.map(cell => {
    const { key, ...series } = state.series.get(state.cells.seriesOf(cell))
    const measures = MEASURES.map(m => [
      m,
      m === 'duration_ms' ? state.cells.durationMs(cell) : state.cells.count(cell, COUNT[m]),
    ])
    return {
      series_key: key,
      ...series,
      bucket_start: startOf(state.cells.bucketOf(cell)),
      bucket: sizeOf(state.cells.bucketOf(cell)),
      revision: state.cells.revision(cell),
      ...(Object.fromEntries(measures) as Record<(typeof MEASURES)[number], number>),
      duration_sketch: copyOf(state.sketches.durations(cell)),
      users_sketch: copyOf(state.sketches.users(cell)),
    }
  })
}

/** What stands on the state topic after everything that changed was published. */
function publishTo(topic: Map<string, Buffer>, state: PartitionState): void {
  for (const [session, key] of state.changedSessions) {
    if (state.sessions.revision(session) === 0) {
      topic.delete(key.toString())
      continue
    }
    const contribution = state.sessions.read(session, blankContribution())
    const series = Buffer.from(state.series.get(contribution.series).key)
    const value = Buffer.alloc(stateRecordBytes(contribution, series))
    writeStateRecord(value, 0, contribution, state.sessions.wasTransferTold(session), series)
    topic.set(key.toString(), value)
  }
  for (const { number, value } of state.counted.changedChunks()) {
    const chunk = chunkKey(number).toString()
    if (value === null) topic.delete(chunk)
    else topic.set(chunk, value)
  }
  state.clean()
}

/** Minutes are kept so long, and nothing else. */
const kept = (ms: number) => ({ minutesMs: ms, hoursMs: ms, daysMs: ms })

function newState(nowMs = T('12:00:00'), retentionMs = 400 * DAY_MS): PartitionState {
  const state = createState({ retention: kept(retentionMs) })
  state.restoreTime(nowMs)
  tell(state, nowMs)
  return state
}

/** What is due to go, goes. */
function endDue(state: PartitionState): void {
  state.rollUp(Infinity)
  state.clean()
}

/** All three clocks say the same, as far as a vendor has said anything. */
const tell = (state: PartitionState, ms: number) => state.setTime({ clockMs: ms, publishedMs: ms })

/** Another state, from what stands on the topics. */
function restart(topic: ReadonlyMap<string, Buffer>, state: PartitionState | null): PartitionState {
  const restored = newState()
  for (const [k, value] of topic) restored.restoreRecord(Buffer.from(k), value)
  restored.restored()
  for (const point of state === null ? [] : pointsOf(state)) restored.restorePoint(point)
  restored.restoredPoints()
  return restored
}

const key = (session: Session) => Buffer.from(session.session_key)
const base = makeSession(random(1), 's0', 1, T('10:00:00'), 1)

/** A message of 10:00 that is published at noon. */
const message = (of: Partial<Message> = {}): Message => ({
  ...makeMessage(random(1), 'm1', T('10:00:00'), 1),
  channel: 'web',
  language: 'en',
  bot_id: 'bot-0',
  sender: 'USER',
  observed_at: T('12:00:00'),
  ...of,
})
const event = (of: Partial<Event> = {}): Event => ({
  ...makeEvent(random(1), 'e1', T('10:00:00'), 1),
  channel: 'web',
  language: 'en',
  bot_id: 'bot-0',
  observed_at: T('12:00:00'),
  ...of,
})
const NOON = T('12:00:00')

/** A session that lasts from 10:00 to 10:05 and stays with the bot, but for `of`. */
const session = (of: Partial<Session> = {}): Session => ({
  ...base,
  started_at: T('10:00:00'),
  ended_at: T('10:05:30'),
  containment: 'SELF_SERVICE',
  transferred_at: null,
  channel: 'web',
  language: 'en',
  is_test: null,
  ...of,
})

const counted = (state: PartitionState) =>
  Object.fromEntries(
    Object.entries(tableOf(pointsOf(state))).map(([at, row]) => [
      at.slice(at.indexOf('T') + 1, -8),
      Object.fromEntries(MEASURES.map((m, i) => [m, row[i] ?? 0]).filter(([, n]) => n !== 0)),
    ]),
  )

describe('a session counts', () => {
  test('where it started and where it ended', () => {
    const state = newState()
    state.session(key(base), session())
    expect(counted(state)).toEqual({
      '10:00': { sessions: 1, sessions_self_service: 1 },
      '10:05': { sessions_ended: 1, duration_ms: 330_000 },
    })
  })

  test.each([
    ['the time of the transfer', { transferred_at: T('10:02:00') }, '10:02'],
    ['its end, when an agent had it and nobody knows since when', { containment: 'AGENT' as const }, '10:05'],
    ['its start, when it has no end either', { containment: 'AGENT' as const, ended_at: null }, '10:00'],
    [
      'the time of the transfer, though the bot had the last word',
      { containment: 'DROP_OFF' as const, transferred_at: T('10:01:00') },
      '10:01',
    ],
  ])('as one transfer at %s', (_, of, minute) => {
    const state = newState()
    state.session(key(base), session(of))
    const transfers = Object.entries(counted(state)).map(([at, row]) => [at, row['agent_transfers'] ?? 0])
    expect(transfers.filter(([, n]) => n !== 0)).toEqual([[minute, 1]])
  })

  test('nowhere once it is withdrawn, and again when a later revision brings it back', () => {
    const state = newState()
    state.session(key(base), session())
    state.session(key(base), null)
    expect(counted(state)).toEqual({})
    state.session(key(base), session({ revision: 3, ended_at: null }))
    expect(counted(state)).toEqual({ '10:00': { sessions: 1, sessions_self_service: 1 } })
  })

  test('not when it is of a test: taken back when it turns out so, and added when it turns out not to be', () => {
    const [topic, state] = [new Map<string, Buffer>(), newState()]
    const one = { '10:00': { sessions: 1, sessions_self_service: 1 } }
    state.session(key(base), session({ ended_at: null, is_test: true }))
    expect([counted(state), state.firstSeen(), state.changedSessions.size]).toEqual([{}, [], 0])
    state.session(key(base), session({ ended_at: null, is_test: false, revision: 2 }))
    expect(counted(state)).toEqual(one)
    publishTo(topic, state)
    state.session(key(base), session({ ended_at: null, is_test: true, revision: 3 }))
    expect([counted(state), topic.size]).toEqual([{}, 1])
    publishTo(topic, state)
    expect(topic.size, 'nothing is remembered of it').toBe(0)
    const restored = restart(topic, state)
    restored.session(key(base), session({ ended_at: null, revision: 4 }))
    expect(counted(restored)).toEqual(one)
  })

  test('also when it is of a test, where tests are to be counted', () => {
    const state = createState({ retention: kept(400 * DAY_MS), includeTest: true })
    state.restoreTime(NOON)
    tell(state, NOON)
    state.session(key(base), session({ ended_at: null, is_test: true }))
    expect(counted(state)).toEqual({ '10:00': { sessions: 1, sessions_self_service: 1 } })
  })

  test('as its newest record in offset order, whatever its revision', () => {
    const state = newState()
    state.session(key(base), session({ revision: 5, started_at: T('11:00:00'), ended_at: null }))
    state.session(key(base), session({ revision: 1, started_at: T('09:00:00'), ended_at: null }))
    expect(counted(state)).toEqual({ '09:00': { sessions: 1, sessions_self_service: 1 } })
    state.session(key(base), session({ revision: 1, started_at: T('08:00:00'), ended_at: null }))
    expect(counted(state)).toEqual({ '08:00': { sessions: 1, sessions_self_service: 1 } })
  })

  test('without a change to anything when only its other fields changed', () => {
    const state = newState()
    state.session(key(base), session())
    state.clean()
    state.session(key(base), session({ revision: 2, satisfaction: 5 }))
    expect(state.cells.dirty()).toHaveLength(0)
    expect(state.changedSessions.size).toBe(0)
  })
})

describe('a message and an event count', () => {
  const both = (state: PartitionState) => counted(state)['10:00'] ?? {}

  test('once, at the first record of their key, whatever its revision', () => {
    const state = newState()
    state.message(message({ revision: 3 }), NOON)
    state.event(event({ revision: 1_793_500_000 }), NOON)
    state.message(message({ revision: 1 }), NOON)
    state.message(message({ revision: 1, sent_at: T('10:07:00'), sender: 'BOT' }), NOON)
    state.event(event({ revision: 1 }), NOON)
    expect(counted(state)).toEqual({ '10:00': { messages_user: 1, events: 1 } })
  })

  test('beside each other when they have one key', () => {
    const state = newState()
    state.message(message({ message_key: 'k' }), NOON)
    state.event(event({ event_key: 'k' }), NOON)
    expect(both(state)).toEqual({ messages_user: 1, events: 1 })
  })

  test('once over a restart, also when hundreds came between', () => {
    const topic = new Map<string, Buffer>()
    const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`)
    let state = newState()
    for (const message_key of keys) {
      state.message(message({ message_key }), NOON)
      if (message_key.endsWith('7')) publishTo(topic, state)
    }
    publishTo(topic, state)
    state = restart(topic, state)
    for (const message_key of keys) state.message(message({ message_key, revision: 2 }), NOON)
    expect(both(state)).toEqual({ messages_user: 1_000 })
    expect(topic.size).toBe(4)
  })

  test('again when they are published anew after the topic has forgotten them', () => {
    const topic = new Map<string, Buffer>()
    const state = createState({ retention: kept(400 * DAY_MS), rememberMs: 14 * DAY_MS })
    for (let i = 0; i < 300; i++) state.message(message({ message_key: `k${i}` }), NOON)
    publishTo(topic, state)
    tell(state, NOON + 13 * DAY_MS)
    expect(state.counted.size).toBe(300)
    tell(state, NOON + 16 * DAY_MS)
    expect(state.counted.size).toBe(44) // the chunk that is being filled stays
    publishTo(topic, state)
    expect([...topic.keys()]).toEqual(['#counted/1'])
    const restored = restart(topic, state)
    restored.message(message({ message_key: 'k299' }), NOON)
    restored.message(message({ message_key: 'k0' }), NOON)
    expect(both(restored)).toEqual({ messages_user: 301 })
  })
})

describe('a time that is none counts nowhere:', () => {
  const READ = T('12:00:00')
  const placeholders = [
    ['the year 1', Date.parse('0001-01-01T00:00:00Z')],
    ['1970', 0],
    ['a millisecond before 2000', Date.UTC(2000, 0, 1) - 1],
    ['more than a day after it was read', READ + DAY_MS + 1],
    ['9999', Date.parse('9999-12-31T23:59:59Z')],
    ['the year 58881', 1.7962e15],
  ] as const

  test.each(placeholders)('%s', (_, atMs) => {
    const state = newState()
    const of = { observed_at: READ }
    state.message(message({ ...of, sent_at: atMs }), NOON)
    state.event(event({ ...of, occurred_at: atMs }), NOON)
    state.session(Buffer.from('a'), session({ ...of, started_at: atMs, ended_at: null, containment: 'AGENT' }))
    expect(counted(state)).toEqual({})
    expect(state.late).toBe(0)
    state.session(Buffer.from('b'), session({ ...of, started_at: T('10:00:00'), ended_at: atMs, transferred_at: atMs }))
    expect(counted(state)).toEqual({ '10:00': { sessions: 1, sessions_self_service: 1 } })
    state.session(
      Buffer.from('b'),
      session({ ...of, started_at: atMs, ended_at: T('10:05:00'), transferred_at: atMs, containment: 'AGENT' }),
    )
    expect(counted(state)).toEqual({ '10:05': { sessions_ended: 1, agent_transfers: 1 } })
  })

  test('the last millisecond of a day after it was read is a time, and so is the first of 2000', () => {
    const state = newState()
    state.event(event({ event_key: '1', occurred_at: READ + DAY_MS, observed_at: READ }), NOON)
    state.event(event({ event_key: '2', occurred_at: Date.UTC(2000, 0, 1), observed_at: READ }), NOON)
    expect(state.cells.size + state.late).toBe(2)
    expect(state.late, 'a time, but before the retention').toBe(1)
  })
})

test('a session that ends before it starts lasts no time', () => {
  const state = newState()
  state.session(key(base), session({ ended_at: T('09:00:00') }))
  expect(counted(state)).toEqual({
    '10:00': { sessions: 1, sessions_self_service: 1 },
    '09:00': { sessions_ended: 1 },
  })
})

test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '|', '\\', '', '\u0000', 'Zoë 🙂'])(
  'the name %j is a name like any other: as vendor, account, bot and language, over restarts too',
  name => {
    const of = { vendor: name, account: name, bot_id: name, language: name }
    const topic = new Map<string, Buffer>()
    let state = newState()
    state.session(Buffer.from(`${name}:${name}:1`), session({ ...of, ended_at: null }))
    state.message(message({ ...of, message_key: name }), NOON)
    state.event(event({ ...of, event_key: name, channel: name as 'web' }), NOON)
    publishTo(topic, state)
    state = restart(topic, state)
    state.session(Buffer.from(`${name}:${name}:1`), session({ ...of, ended_at: null, revision: 2, containment: 'AGENT' }))
    state.message(message({ ...of, message_key: name }), NOON)
    expect(pointsOf(state)).toMatchObject([
      { ...of, channel: 'web', sessions: 1, sessions_agent: 1, sessions_self_service: 0, messages_user: 1 },
      { ...of, channel: 'other', events: 1 },
    ])
  },
)

test('a null channel counts as other, a null language as the empty string', () => {
  const state = newState()
  state.message(message({ channel: null, language: null }), NOON)
  expect(pointsOf(state)).toMatchObject([{ series_key: 'v|a|bot-0|other|', channel: 'other', language: '' }])
})

describe('what is taken back', () => {
  test('is not taken from a minute that is not there, and none is made for it', () => {
    const topic = new Map<string, Buffer>()
    const state = newState()
    state.session(key(base), session({ transferred_at: T('10:01:00') }))
    publishTo(topic, state)
    const restored = restart(topic, null) // the series topic has lost its points
    restored.session(key(base), session({ started_at: T('11:00:00'), ended_at: null }))
    expect(counted(restored)).toEqual({ '11:00': { sessions: 1, sessions_self_service: 1 } })
    expect(restored.cells.size).toBe(1)
  })

  test('takes no count below zero', () => {
    const topic = new Map<string, Buffer>()
    const state = newState()
    state.session(key(base), session())
    publishTo(topic, state)
    const restored = restart(topic, null)
    restored.message(message(), NOON)
    restored.event(event({ occurred_at: T('10:05:00') }), NOON)
    restored.session(key(base), null)
    expect(counted(restored)).toEqual({ '10:00': { messages_user: 1 }, '10:05': { events: 1 } })
  })
})

type Step =
  | { readonly kind: 'session'; readonly record: Session }
  | { readonly kind: 'withdrawal'; readonly key: string }
  | { readonly kind: 'message'; readonly record: Message }
  | { readonly kind: 'event'; readonly record: Event }

/** One partition's records in offset order, with everything that topics have been seen to hold. */
function history(r: Random): Step[] {
  const from = T('00:00:00')
  const span = 2 * 3_600_000
  const ids = 1 + r.int(20)
  const revisions = new Map<string, number>()
  const before: Step[] = []
  const odd = (atMs: number) => (r.chance(0.05) ? r.pick([0, -62135596800000, 253402300799000, 1.7962e15]) : atMs)
  return Array.from({ length: 40 + r.int(200) }, (_, i): Step => {
    const id = `s${r.int(ids)}`
    const roll = r.int(10)
    let step: Step
    if (roll === 0 && before.length > 0) return r.pick(before) // published twice, as it was
    if (roll < 5) {
      // Now and then the revision begins at 1 again, or goes on at an epoch second.
      const revision = r.chance(0.1) ? 1 : r.chance(0.05) ? 1_793_500_000 + i : (revisions.get(id) ?? 0) + 1
      revisions.set(id, revision)
      const record = makeSession(r, id, revision, from, span)
      step = r.chance(0.15)
        ? { kind: 'withdrawal', key: record.session_key }
        : {
            kind: 'session',
            record: { ...record, started_at: odd(record.started_at), ended_at: record.ended_at && odd(record.ended_at) },
          }
    } else if (roll < 8) {
      const record = makeMessage(r, `${r.int(120)}`, from, span)
      step = { kind: 'message', record: { ...record, sent_at: r.chance(0.05) ? from - 500 * DAY_MS : odd(record.sent_at) } }
    } else step = { kind: 'event', record: makeEvent(r, `${r.int(80)}`, from, span) }
    before.push(step)
    return step
  })
}

// Each seed is another history; a failure names its seed.
test.each(Array.from({ length: 300 }, (_, i) => i + 1))(
  'the table is that of a recount of the topics in offset order, over restarts at any place (seed %i)',
  seed => {
    const r = random(seed)
    const steps = history(r)
    const topic = new Map<string, Buffer>()
    let state = newState()
    const published = [...steps]
    for (const step of published) {
      if (step.kind === 'session') state.session(key(step.record), step.record)
      else if (step.kind === 'withdrawal') state.session(Buffer.from(step.key), null)
      else if (step.kind === 'message') state.message(step.record, NOON)
      else state.event(step.record, NOON)
      if (r.chance(0.1)) publishTo(topic, state)
      if (r.chance(0.03)) {
        publishTo(topic, state)
        tell(state, NOON)
        state = restart(topic, state)
      }
    }
    const newest = new Map<string, Session>()
    for (const step of steps) {
      if (step.kind === 'session') newest.set(step.record.session_key, step.record)
      else if (step.kind === 'withdrawal') newest.delete(step.key)
    }
    const messages = steps.flatMap(step => (step.kind === 'message' ? [step.record] : []))
    const events = steps.flatMap(step => (step.kind === 'event' ? [step.record] : []))
    // What is before the retention of 400 days is late, and counted nowhere.
    const inTime = Object.entries(recount(newest.values(), messages, events)).filter(([at]) => at.includes('@2026'))
    expect(tableOf(pointsOf(state))).toEqual(Object.fromEntries(inTime))
  },
)

describe('the horizon', () => {
  const early = { started_at: T('10:00:00') - 3 * DAY_MS, ended_at: null, observed_at: T('10:00:00') - 3 * DAY_MS }
  /** What is not due to go. */
  const has = (state: PartitionState) => {
    endDue(state)
    return state.cells.size
  }

  test.each([
    ['the local clock alone', { clockMs: NOON + 9_000 * DAY_MS, publishedMs: NOON }],
    ['the time of publishing alone', { clockMs: NOON, publishedMs: NOON + 9_000 * DAY_MS }],
    [
      'both of them, while no vendor has given such a time,',
      { clockMs: NOON + 9_000 * DAY_MS, publishedMs: NOON + 9_000 * DAY_MS },
    ],
  ])('is not moved by %s', (_, times) => {
    const state = createState({ retention: kept(5 * DAY_MS) })
    state.session(Buffer.from('early'), session(early))
    state.session(key(base), session())
    state.clean()
    state.setTime(times)
    expect(has(state)).toBe(3)
    state.event(event({ occurred_at: early.started_at, observed_at: early.observed_at }), NOON)
    expect(state.late).toBe(0)
  })

  test('is not moved by a vendor and a local clock that are wrong together, nor are counted keys forgotten', () => {
    const state = createState({ retention: kept(5 * DAY_MS), rememberMs: 14 * DAY_MS })
    const aheadMs = NOON + 365 * DAY_MS
    for (let i = 0; i < 300; i++) state.event(event({ event_key: `${i}`, occurred_at: T('10:00:00') - 2 * DAY_MS }), NOON)
    state.event(event({ event_key: 'ahead', occurred_at: aheadMs, observed_at: aheadMs }), NOON)
    state.clean()
    state.setTime({ clockMs: aheadMs, publishedMs: NOON })
    expect([has(state), state.counted.size]).toEqual([2, 301])
    state.setTime({ clockMs: aheadMs, publishedMs: aheadMs })
    expect([has(state), state.counted.size]).toEqual([1, 45])
  })

  test('moves when all three agree', () => {
    const state = createState({ retention: kept(2 * DAY_MS) })
    state.session(Buffer.from('early'), session(early))
    state.session(key(base), session())
    state.clean()
    tell(state, NOON)
    expect(has(state)).toBe(2)
  })

  test('lies inside what the series topic keeps, also on its first day', () => {
    const state = createState({ retention: kept(3 * DAY_MS), seriesRetentionMs: 3 * DAY_MS })
    state.restoreTime(NOON)
    // The topic may have dropped what is older than noon three days ago.
    for (const [i, hours] of [71, 59].entries())
      state.event(event({ event_key: `${i}`, occurred_at: NOON - hours * 3_600_000 }), NOON)
    expect([state.late, state.cells.size]).toEqual([1, 1])
  })
})

describe('retention', () => {
  test('takes old minutes and the sessions that count only there out of memory', () => {
    const state = newState(T('12:00:00'), 30 * DAY_MS)
    for (let day = 0; day < 60; day++) {
      const started_at = T('10:00:00') + day * DAY_MS
      state.session(Buffer.from(`s${day}`), session({ started_at, ended_at: null, observed_at: started_at }))
      state.clean()
      tell(state, started_at)
      endDue(state)
    }
    expect(state.cells.size).toBe(31) // 30 days and the day in hand: the horizon moves by whole days
    expect(state.sessions.size).toBe(state.cells.size)
  })

  test('leaves out and counts what comes in for a minute before it', () => {
    const state = newState(T('12:00:00'), 2 * DAY_MS)
    state.session(key(base), session({ started_at: T('10:00:00') - 5 * DAY_MS, ended_at: T('10:00:00') - 4 * DAY_MS }))
    state.message(message({ sent_at: T('10:00:00') - 5 * DAY_MS }), NOON)
    expect(state.late).toBe(2)
    expect(state.cells.size).toBe(0)
    expect(state.changedSessions.size).toBe(0)
  })

  test('keeps the numbers of what stays: counting goes on as before', () => {
    const state = newState(T('12:00:00'), 2 * DAY_MS)
    const early = session({ session_key: 'early', started_at: T('10:00:00') - DAY_MS * 1.6, ended_at: null })
    state.session(key(early), early)
    state.session(key(base), session())
    state.clean()
    state.restoreTime(T('12:00:00') + DAY_MS)
    endDue(state)
    expect(state.sessions.size).toBe(1)
    state.session(key(base), session({ revision: 2, ended_at: null }))
    expect(counted(state)).toEqual({ '10:00': { sessions: 1, sessions_self_service: 1 } })
  })
})

describe('seen for the first time within an hour of its own time', () => {
  const seen = (state: PartitionState) => state.firstSeen().map(({ kind, sender, n }) => [kind, sender, n])

  test('a session, its transfer and its messages are told, each once', () => {
    const state = newState(T('10:30:00'))
    state.session(key(base), session({ transferred_at: T('10:02:00') }))
    state.message(message({ message_key: 'SYSTEM10:01', sender: 'SYSTEM', sent_at: T('10:01:00') }), NOON)
    state.message(message({ message_key: 'USER10:01', sender: 'USER', sent_at: T('10:01:00') }), NOON)
    state.message(message({ message_key: 'USER10:02', sender: 'USER', sent_at: T('10:02:00') }), NOON)
    expect(seen(state)).toEqual([
      ['session', undefined, 1],
      ['agent_transfer', undefined, 1],
      ['message', 'other', 1],
      ['message', 'user', 2],
    ])
    state.clean()
    state.session(key(base), session({ revision: 2, containment: 'SELF_SERVICE', transferred_at: null }))
    state.session(key(base), session({ revision: 3, containment: 'AGENT' }))
    expect(seen(state)).toEqual([])
  })

  test('a backfill tells nothing', () => {
    const state = newState(T('11:00:00'))
    state.session(key(base), session({ started_at: T('09:59:59') }))
    state.message(message({ message_key: 'USER08:00', sender: 'USER', sent_at: T('08:00:00') }), NOON)
    expect(seen(state)).toEqual([])
  })

  test('a restored session is not told again', () => {
    const state = newState(T('10:30:00'))
    state.session(key(base), session({ transferred_at: T('10:02:00') }))
    const topic = new Map<string, Buffer>()
    publishTo(topic, state)
    const restored = newState(T('10:30:00'))
    for (const [k, value] of topic) restored.restoreRecord(Buffer.from(k), value)
    restored.session(key(base), session())
    restored.session(key(base), session({ revision: 2, transferred_at: T('10:03:00') }))
    expect(seen(restored)).toEqual([])
  })
})

test('a state record of a version that is not known is refused', () => {
  expect(() => newState().restoreRecord(Buffer.from('s'), Buffer.alloc(40, 9))).toThrow(
    expect.objectContaining({ code: 'CODEC_INVALID' }),
  )
})

test('times before 1970 and beyond 32 bits of minutes neither break nor wrap', () => {
  expect([minuteOf(-1), minuteOf(0), minuteOf(59_999), minuteOf(8.64e15)]).toEqual([-1, 0, 0, -(2 ** 31)])
})

describe('points are restored', () => {
  const point = (revision: number, sessions: number): RestoredPoint => ({
    ...(Object.fromEntries(MEASURES.map(m => [m, 0])) as Record<(typeof MEASURES)[number], number>),
    vendor: 'v',
    account: 'a',
    bot_id: 'b',
    channel: 'web',
    language: '',
    bucket_start: T('10:00:00'),
    bucket: '1m',
    revision,
    sessions,
  })

  test('as the newest revision of each minute, in whatever order they come', () => {
    const state = newState()
    for (const of of [point(2, 20), point(3, 30), point(1, 10)]) state.restorePoint(of)
    expect(pointsOf(state)).toMatchObject([{ revision: 3, sessions: 30 }])
    expect(state.cells.dirty()).toHaveLength(0)
  })

  test('in the parts that are kept, when the others are counted again', () => {
    const state = newState()
    const kept = { ...point(3, 30), events: 5, messages_bot: 7, duration_ms: 9, sessions_ended: 1 }
    state.restorePoint(kept, { sessions: false, messages: true, events: false })
    expect(pointsOf(state)).toMatchObject([{ revision: 3, sessions: 0, duration_ms: 0, messages_bot: 7, events: 0 }])
  })
})

describe('a chunk of counted keys', () => {
  const counts = (n: number) => {
    const state = newState()
    for (let i = 0; i < n; i++) state.event(event({ event_key: `${i}` }), NOON)
    const topic = new Map<string, Buffer>()
    publishTo(topic, state)
    return topic
  }

  test.each([
    ['is missing in the middle', (topic: Map<string, Buffer>) => topic.delete('#counted/1')],
    ['is short', (topic: Map<string, Buffer>) => topic.set('#counted/1', (topic.get('#counted/1') as Buffer).subarray(0, 49))],
    ['is of another version', (topic: Map<string, Buffer>) => void ((topic.get('#counted/1') as Buffer)[0] = 3)],
  ])('that %s is refused', (_, spoil) => {
    const topic = counts(700)
    expect(() => restart(topic, null)).not.toThrow()
    spoil(topic)
    expect(() => restart(topic, null)).toThrow(expect.objectContaining({ code: 'CODEC_INVALID' }))
  })

  test('holds 256 keys in two kilobytes, and a key costs 16 to 32 bytes of memory', () => {
    const topic = counts(256)
    expect([...topic].map(([k, value]) => [k, value.length])).toEqual([['#counted/0', 2_057]])
    const set = createCounted()
    for (let i = 0; i < 300_000; i++) set.add(`vendor:account:session-${i % 1_000}/message-${i}`, 'message', 0)
    expect([set.size, set.bytes / set.size > 15, set.bytes / set.size < 33]).toEqual([300_000, true, true])
  })
})
