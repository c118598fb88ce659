import { describe, expect, test } from 'vitest'
import { COUNT, minuteOf, startOfMinute } from '../../src/aggregate/contribution.ts'
import { STATE_HEAD, writeStateRecord } from '../../src/aggregate/state-record.ts'
import type { PartitionState, RestoredPoint } from '../../src/aggregate/state.ts'
import { createState } from '../../src/aggregate/state.ts'
import { MEASURES, type Session } from '../../src/records.ts'
import { makeEvent, makeMessage, makeSession, random } from './make.ts'
import { recount, tableOf } from './recount.ts'

const T = (time: string) => Date.parse(`2026-11-01T${time}Z`)
const DAY_MS = 86_400_000

/** The state's cells as the points that would be published. */
function pointsOf(state: PartitionState): (RestoredPoint & { series_key: string })[] {
  return Array.from({ length: state.cells.size }, (_, cell) => {
    const { key, ...series } = state.series.get(state.cells.seriesOf(cell))
    const measures = MEASURES.map(m => [
      m,
      m === 'duration_ms' ? state.cells.durationMs(cell) : state.cells.count(cell, COUNT[m]),
    ])
    return {
      series_key: key,
      ...series,
      bucket_start: startOfMinute(state.cells.minuteOf(cell)),
      revision: state.cells.revision(cell),
      ...(Object.fromEntries(measures) as Record<(typeof MEASURES)[number], number>),
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
    const contribution = state.sessions.read(session, {
      revision: 0,
      series: 0,
      started: 0,
      ended: 0,
      durationMs: 0,
      transfer: 0,
      containment: 0,
    })
    const series = Buffer.from(state.series.get(contribution.series).key)
    const value = Buffer.alloc(STATE_HEAD + series.length)
    writeStateRecord(value, 0, contribution, state.sessions.wasTransferTold(session), series)
    topic.set(key.toString(), value)
  }
  for (const cell of state.cells.dirty()) state.cells.raiseRevision(cell)
  state.clean()
}

function newState(nowMs = T('12:00:00'), retentionMs = 400 * DAY_MS): PartitionState {
  const state = createState({ retentionMs })
  state.setTime(nowMs)
  return state
}

const key = (session: Session) => Buffer.from(session.session_key)
const base = makeSession(random(1), 's0', 1, T('10:00:00'), 1)

/** A session that lasts from 10:00 to 10:05 and stays with the bot, but for `of`. */
const session = (of: Partial<Session> = {}): Session => ({
  ...base,
  started_at: T('10:00:00'),
  ended_at: T('10:05:30'),
  containment: 'SELF_SERVICE',
  transferred_at: null,
  channel: 'web',
  language: 'en',
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

  test('as its newest revision, when an older one comes later or a revision comes twice', () => {
    const state = newState()
    state.session(key(base), session({ revision: 2, started_at: T('11:00:00'), ended_at: null }))
    state.session(key(base), session({ revision: 1 }))
    state.session(key(base), session({ revision: 2, started_at: T('09:00:00') }))
    expect(counted(state)).toEqual({ '11:00': { sessions: 1, sessions_self_service: 1 } })
  })

  test('without a change to any cell when only its other fields changed', () => {
    const state = newState()
    state.session(key(base), session())
    state.clean()
    state.session(key(base), session({ revision: 2, satisfaction: 5 }))
    expect(state.cells.dirty()).toHaveLength(0)
    expect(state.changedSessions.size).toBe(1)
  })
})

// Each seed is another history; a failure names its seed.
test.each(Array.from({ length: 25 }, (_, i) => i + 1))(
  'any order, repetition and restart gives the table of a recount (seed %i)',
  seed => {
    const r = random(seed)
    const from = T('00:00:00')
    const span = 2 * 3_600_000
    const sessions = Array.from({ length: 120 }, (_, i) =>
      Array.from({ length: 1 + r.int(5) }, (_, revision) => makeSession(r, `s${i}`, revision + 1, from, span)),
    )
    const messages = Array.from({ length: 300 }, (_, i) => makeMessage(r, `m${i}`, from, span))
    const events = Array.from({ length: 200 }, (_, i) => makeEvent(r, `e${i}`, from, span))
    const history = r.shuffle<(state: PartitionState) => void>([
      ...sessions
        .flat()
        .flatMap(s => Array.from({ length: 1 + r.int(2) }, () => (state: PartitionState) => state.session(key(s), s))),
      ...messages.map(m => (state: PartitionState) => state.message(m)),
      ...events.map(e => (state: PartitionState) => state.event(e)),
    ])

    const topic = new Map<string, Buffer>()
    let state = newState()
    for (const step of history) {
      step(state)
      if (r.chance(0.1)) publishTo(topic, state)
      if (r.chance(0.01)) {
        publishTo(topic, state)
        const restored = newState()
        for (const [k, value] of topic) restored.restoreSession(Buffer.from(k), value)
        for (const point of pointsOf(state)) restored.restorePoint(point, true)
        state = restored
      }
    }
    // A third of the sessions is withdrawn at the end: order matters to a null, which has no revision.
    const gone = new Set(sessions.filter(() => r.chance(0.33)).map(([first]) => first?.session_key))
    for (const [first] of sessions) if (first !== undefined && gone.has(first.session_key)) state.session(key(first), null)
    const newest = sessions.map(revisions => revisions.at(-1) as Session).filter(s => !gone.has(s.session_key))

    expect(tableOf(pointsOf(state))).toEqual(recount(newest, messages, events))
  },
)

describe('retention', () => {
  test('takes old minutes and the sessions that count only there out of memory', () => {
    const state = newState(T('12:00:00'), 30 * DAY_MS)
    for (let day = 0; day < 60; day++) {
      const started_at = T('10:00:00') + day * DAY_MS
      state.setTime(started_at)
      state.session(Buffer.from(`s${day}`), session({ started_at, ended_at: null }))
      state.clean()
    }
    expect(state.cells.size).toBe(31) // 30 days and the day in hand: the horizon moves by whole days
    expect(state.sessions.size).toBe(state.cells.size)
  })

  test('leaves out and counts what comes in for a minute before it', () => {
    const state = newState(T('12:00:00'), 2 * DAY_MS)
    state.session(key(base), session({ started_at: T('10:00:00') - 5 * DAY_MS, ended_at: T('10:00:00') - 4 * DAY_MS }))
    state.message({ ...session(), revision: 1, sender: 'USER', sent_at: T('10:00:00') - 5 * DAY_MS })
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
    state.setTime(T('12:00:00') + DAY_MS)
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
    state.message({ ...session(), revision: 1, sender: 'SYSTEM', sent_at: T('10:01:00') })
    state.message({ ...session(), revision: 1, sender: 'USER', sent_at: T('10:01:00') })
    state.message({ ...session(), revision: 1, sender: 'USER', sent_at: T('10:02:00') })
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
    state.message({ ...session(), revision: 1, sender: 'USER', sent_at: T('08:00:00') })
    expect(seen(state)).toEqual([])
  })

  test('a restored session is not told again', () => {
    const state = newState(T('10:30:00'))
    state.session(key(base), session({ transferred_at: T('10:02:00') }))
    const topic = new Map<string, Buffer>()
    publishTo(topic, state)
    const restored = newState(T('10:30:00'))
    for (const [k, value] of topic) restored.restoreSession(Buffer.from(k), value)
    restored.session(key(base), session())
    restored.session(key(base), session({ revision: 2, transferred_at: T('10:03:00') }))
    expect(seen(restored)).toEqual([])
  })
})

test('a state record of a version that is not known is refused', () => {
  expect(() => newState().restoreSession(Buffer.from('s'), Buffer.alloc(40, 9))).toThrow(
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
    revision,
    sessions,
  })

  test('as the newest revision of each minute, in whatever order they come', () => {
    const state = newState()
    for (const of of [point(2, 20), point(3, 30), point(1, 10)]) state.restorePoint(of, true)
    expect(pointsOf(state)).toMatchObject([{ revision: 3, sessions: 30 }])
    expect(state.cells.dirty()).toHaveLength(0)
  })

  test('as revisions alone, when the inputs are counted from their start', () => {
    const state = newState()
    state.restorePoint(point(3, 30), false)
    expect(pointsOf(state)).toMatchObject([{ revision: 3, sessions: 0 }])
  })
})
