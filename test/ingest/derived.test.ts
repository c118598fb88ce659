import { describe, expect, test } from 'vitest'
import { type Derived, DerivedSessions, spreadThread } from '../../src/ingest/derived.ts'
import { type Session, sessionKeyOf } from '../../src/records.ts'
import { type Derive, rowContext, type Turn } from '../../src/source/index.ts'
import { draw, type Draw } from './random.ts'

const MINUTE = 60_000
const GAP = 15 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')
const place = { connector: 'acme', stream: 'turns', scope: 'acme' }
const derive: Derive = { gapMs: GAP, turn: () => null }
const ctx = rowContext({
  vendor: 'tiny',
  account: 'acme',
  connector: 'acme',
  config: {},
  scope: { name: 'acme', botId: null },
  observedAtMs: NOON,
  lookbackMs: 0,
})

/** A turn some minutes after noon. */
const turn = (minutes: number, more: Partial<Turn> = {}): Turn => ({
  key: 'k',
  atMs: NOON + minutes * MINUTE,
  botId: 'bot',
  channel: 'web',
  userMessages: 1,
  ...more,
})

/** The topic of sessions as a reader keeps it, and the threads that a restart finds. */
class Topics {
  readonly sessions = new Map<string, Session>()
  readonly withdrawn: string[] = []
  readonly revisions = new Map<string, number[]>()
  readonly threads = new Map<string, Buffer | null>()

  /** What the versions topic takes. */
  readonly recordBytes: number

  constructor(recordBytes = 1_000_000) {
    this.recordBytes = recordBytes
  }

  take(derived: DerivedSessions) {
    const { sessions, threads } = derived.drain(ctx)
    for (const { sessionId, record } of sessions) {
      const sessionKey = sessionKeyOf('tiny', 'acme', sessionId)
      if (record === null) {
        this.withdrawn.push(sessionKey)
        this.sessions.delete(sessionKey)
      } else {
        const before = this.sessions.get(sessionKey)?.transferred_at ?? null
        if (before !== null) expect(record.transferred_at, 'the time of a published transfer moved').toBe(before)
        this.sessions.set(sessionKey, record)
        this.revisions.set(sessionKey, [...(this.revisions.get(sessionKey) ?? []), record.revision])
      }
    }
    for (const thread of threads) {
      for (const { key, value } of spreadThread(thread, this.recordBytes)) {
        expect(Buffer.byteLength(key) + (value?.length ?? 0)).toBeLessThanOrEqual(this.recordBytes)
        this.threads.set(key, value)
      }
    }
  }

  restarted(of: Derive = derive): DerivedSessions {
    const derived = new DerivedSessions(of, place)
    for (const [key, value] of this.threads)
      expect(derived.load({ offset: 0, timestamp: 0, key: Buffer.from(key), value, headers: {} })).toBe(true)
    derived.loaded()
    return derived
  }

  /** By their start. */
  get told() {
    return [...this.sessions.values()]
      .map(({ started_at, ended_at, status, user_messages, transferred_at }) => ({
        from: started_at,
        ended: ended_at,
        status,
        user: user_messages,
        transferred: transferred_at,
      }))
      .sort(byStart)
  }
}

function feed(derived: DerivedSessions, turns: readonly Turn[], how: { isNew?: boolean; rejected?: boolean } = {}): string[] {
  const homes = derived.assign(turns)
  const ids = homes.map((home, i) => derived.refer(home, turns[i] as Turn, ctx).sessionId)
  homes.forEach((home: Derived, i) => {
    if (how.rejected !== true)
      derived.count(home, turns[i] as Turn, { isNew: how.isNew ?? true, firstRevision: 1, readUntilMs: (turns[i] as Turn).atMs })
  })
  return ids
}

describe('turns that come in order', () => {
  test('are one session while no silence is longer than the gap, and two where one is by a millisecond', () => {
    const derived = new DerivedSessions(derive, place)
    const [a, b, c] = feed(derived, [turn(0), turn(15), { ...turn(30), atMs: turn(30).atMs + 1 }])
    expect([a === b, b === c]).toEqual([true, false])
    const topics = new Topics()
    topics.take(derived)
    expect(topics.told.map(({ from, user }) => [(from - NOON) / MINUTE, user])).toEqual([
      [0, 2],
      [30 + 1 / MINUTE, 1],
    ])
  })

  test('are open until all that could join has been read, then closed at the last turn', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    feed(derived, [turn(0), turn(10)])
    topics.take(derived)
    expect(topics.told).toMatchObject([{ status: 'OPEN', ended: null }])
    derived.settle(() => turn(25).atMs)
    topics.take(derived)
    expect([...topics.revisions.values()], 'nothing is published while a turn could still join').toEqual([[1]])
    derived.settle(() => turn(25).atMs + 1)
    topics.take(derived)
    expect(topics.told).toMatchObject([{ status: 'CLOSED', ended: turn(10).atMs }])
    expect([...topics.revisions.values()]).toEqual([[1, 2]])
  })

  test('publish no session again of which they tell nothing new, nor after a restart', () => {
    const silent = (minutes: number) => turn(minutes, { userMessages: null })
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    for (const minutes of [0, 10, 5]) {
      feed(derived, [silent(minutes)])
      topics.take(derived)
    }
    const again = topics.restarted()
    feed(again, [silent(15)])
    topics.take(again)
    expect([...topics.revisions.values()]).toEqual([[1]])
    again.settle(() => turn(60).atMs)
    topics.take(again)
    expect(topics.told).toMatchObject([{ status: 'CLOSED', ended: turn(15).atMs }])
    expect([...topics.revisions.values()]).toEqual([[1, 2]])
  })

  test('of two threads, or of two parts of one, never meet', () => {
    const derived = new DerivedSessions(derive, place)
    const [a, b] = feed(derived, [turn(0), turn(0, { key: 'other' })])
    expect(a).not.toBe(b)
    const [x, none, y, x2] = feed(derived, [
      turn(100, { part: 'x' }),
      turn(101),
      turn(102, { part: 'y' }),
      turn(103, { part: 'x' }),
    ])
    expect([none === x, y === x, x2 === x]).toEqual([true, false, true])
  })
})

test('the first turn that tells a thing decides, whichever comes first', () => {
  const derived = new DerivedSessions(derive, place)
  const topics = new Topics()
  feed(derived, [turn(5, { channel: 'sms', userId: 'late', attributes: { a: '2', b: '2' } })])
  topics.take(derived)
  feed(derived, [turn(0, { channel: 'web', attributes: { a: '1' } })])
  topics.take(derived)
  expect([...topics.sessions.values()]).toMatchObject([
    { channel: 'web', user_id: 'late', attributes: { a: '1', b: '2' }, revision: 2 },
  ])
})

describe('the time of a transfer', () => {
  const handed = (minutes: number) => turn(minutes, { transferred: true })
  const transfers = ({ sessions }: Topics) => [...sessions.values()].map(({ transferred_at: atMs }) => atMs)

  test('is that of the earliest turn with a transfer, until it is published', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    feed(derived, [handed(5)])
    feed(derived, [handed(2)])
    topics.take(derived)
    expect(transfers(topics)).toEqual([handed(2).atMs])
  })

  test.each([false, true])('stays once it is published, though an earlier turn comes late (after a restart: %s)', isRestarted => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    feed(derived, [handed(5)])
    topics.take(derived)
    const after = isRestarted ? topics.restarted() : derived
    feed(after, [handed(0), turn(7)])
    topics.take(after)
    expect(transfers(topics)).toEqual([handed(5).atMs])
    expect([...topics.sessions.values()]).toMatchObject([{ started_at: NOON, containment: 'AGENT', user_messages: 3 }])
  })

  test.each<[string, number, boolean, number, boolean, number]>([
    ['that goes on, where that is published', 2, true, 18, true, 2],
    ['that is withdrawn, where only that is published', 2, false, 18, true, 18],
    ['that is earlier, where none is published', 2, false, 18, false, 2],
  ])('of two sessions that become one is the one of the session %s', (_, a, isToldA, b, isToldB, kept) => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    const parts = [handed(a), handed(b)]
    feed(derived, [
      { ...handed(a), transferred: isToldA },
      { ...handed(b), transferred: isToldB },
    ])
    topics.take(derived)
    feed(derived, [...parts.filter((_, i) => ![isToldA, isToldB][i]), turn(10)])
    topics.take(derived)
    expect(transfers(topics)).toEqual([handed(kept).atMs])
  })
})

describe('a turn that is known to come after the end of another conversation', () => {
  const after = (minutes: number, end: number) => turn(minutes, { afterMs: turn(end).atMs })

  test('begins a session of its own, which takes what follows and nothing from before, also after a restart', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    const [first, second, third] = feed(derived, [turn(0), after(10, 5), turn(12)])
    topics.take(derived)
    expect([second === first, third === second]).toEqual([false, true])
    expect(topics.told).toMatchObject([
      { from: NOON, user: 1 },
      { from: turn(10).atMs, user: 2 },
    ])
    const again = topics.restarted()
    expect(feed(again, [turn(4), after(13, 5)]), 'late ones go where they belong').toEqual([first, second])
    topics.take(again)
    expect(topics.withdrawn, 'the two are not made one').toEqual([])
    expect(topics.told.map(({ user }) => user)).toEqual([2, 3])
  })

  test('joins a session that has gone on after that end', () => {
    const derived = new DerivedSessions(derive, place)
    const [a, b] = feed(derived, [turn(6), after(10, 5)])
    expect(b).toBe(a)
  })
})

describe('a turn that comes late', () => {
  test('before a session extends it backwards and leaves its id', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    const [first] = feed(derived, [turn(20)])
    topics.take(derived)
    expect(feed(derived, [turn(10), turn(0)])).toEqual([first, first])
    topics.take(derived)
    expect(topics.told).toMatchObject([{ from: NOON, user: 3 }])
  })

  test('between two sessions makes them one: the younger is withdrawn, and stands in the other', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    const [early] = feed(derived, [turn(0)])
    const [late] = feed(derived, [turn(30)])
    topics.take(derived)
    expect(topics.told).toHaveLength(2)
    expect(feed(topics.restarted(), [turn(15)])).toEqual([early])
    feed(derived, [turn(15)])
    topics.take(derived)
    expect(topics.told).toMatchObject([{ from: NOON, user: 3 }])
    expect(topics.withdrawn).toEqual([`tiny:acme:${late}`])
    expect([...topics.sessions.values()][0]?.attributes).toEqual({ merged_sessions: late })
  })

  test('that was counted before adds to no count', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    feed(derived, [turn(0), turn(1)])
    topics.take(derived)
    feed(derived, [turn(1, { transferred: true })], { isNew: false })
    topics.take(derived)
    expect(topics.told).toMatchObject([{ user: 2, transferred: turn(1).atMs }])
  })
})

test('a session of which nothing new is known is not published again', () => {
  const derived = new DerivedSessions(derive, place)
  const topics = new Topics()
  feed(derived, [turn(0), turn(1)])
  topics.take(derived)
  feed(derived, [turn(1, { userId: 'known now' })], { isNew: false })
  topics.take(derived)
  const again = topics.restarted()
  feed(again, [turn(1, { userId: 'known now', channel: 'sms' })], { isNew: false })
  topics.take(again)
  expect([...topics.revisions.values()]).toEqual([[1, 2]])
})

describe('a config that changes who tells the sessions', () => {
  const named: Derive = { ...derive, publishes: false, sessionId: ({ part, firstAtMs }) => part ?? `at ${firstAtMs}` }

  test('withdraws what is open when another stream tells them from now on, and leaves what is over', () => {
    const derived = new DerivedSessions(derive, place)
    const topics = new Topics()
    const [, open] = feed(derived, [turn(0), turn(100)])
    derived.settle(() => turn(60).atMs)
    topics.take(derived)
    topics.take(topics.restarted(named))
    expect(topics.withdrawn).toEqual([`tiny:acme:${open}`])
    expect(topics.told).toMatchObject([{ from: NOON, status: 'CLOSED' }])
    topics.take(topics.restarted(named))
    expect(topics.withdrawn, 'once').toHaveLength(1)
  })

  test('begins with revision 1 when nobody else tells them any more', () => {
    const derived = new DerivedSessions(named, place)
    const topics = new Topics()
    feed(derived, [turn(0)])
    topics.take(derived)
    const again = topics.restarted(derive)
    feed(again, [turn(1)])
    topics.take(again)
    expect([...topics.revisions.values()]).toEqual([[1]])
    expect(topics.told).toMatchObject([{ from: turn(1).atMs, user: 1 }])
  })
})

test('a row that may have been counted before it was forgotten counts in a session of its own, and in no other', () => {
  const derived = new DerivedSessions(derive, place)
  const topics = new Topics()
  feed(derived, [turn(0)])
  topics.take(derived)
  const late = [turn(1), turn(100), turn(101)]
  for (const [i, home] of derived.assign(late).entries())
    derived.count(home, late[i] as Turn, { isNew: true, forgotten: true, firstRevision: 5000, readUntilMs: 0 })
  topics.take(derived)
  expect(topics.told.map(({ user }) => user)).toEqual([1, 2])
  expect([...topics.revisions.values()]).toEqual([[1], [5000]])
})

test('a row that is rejected opens no session', () => {
  const derived = new DerivedSessions(derive, place)
  const topics = new Topics()
  feed(derived, [turn(0)], { rejected: true })
  topics.take(derived)
  expect([topics.told, derived.size, topics.threads.size]).toEqual([[], 0, 0])
})

test('where another stream tells the sessions, a turn names the one that its part says, and nothing is published', () => {
  const derived = new DerivedSessions(
    { ...derive, publishes: false, sessionId: ({ part, firstAtMs }) => part ?? `at ${firstAtMs}` },
    place,
  )
  const topics = new Topics()
  expect(feed(derived, [turn(0), turn(1, { part: 'chat' }), turn(2)])).toEqual(['chat', 'chat', 'chat'])
  topics.take(derived)
  expect([topics.sessions.size, topics.threads.size]).toEqual([0, 1])
})

test('what can be joined no more is forgotten, what is open is not', () => {
  const derived = new DerivedSessions(derive, place)
  feed(derived, [turn(0), turn(100)])
  derived.settle(() => turn(60).atMs)
  derived.drain(ctx)
  derived.forget(untilMs => untilMs > turn(15).atMs)
  expect(derived.size).toBe(1)
})

function byStart(a: { from: number; user: number | null; transferred: number | null }, b: typeof a): number {
  return a.from - b.from || (a.user ?? 0) - (b.user ?? 0) || (a.transferred ?? 0) - (b.transferred ?? 0)
}

/** What the turns come to, told without any of the code above: sorted, cut where the silence is too long. */
function clusters(turns: readonly Turn[]) {
  const sessions: { key: string; from: number; until: number; user: number; transferred: number | null }[] = []
  for (const each of turns.toSorted((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.atMs - b.atMs))) {
    let last = sessions.at(-1)
    if (last === undefined || last.key !== each.key || each.atMs - last.until > GAP)
      sessions.push((last = { key: each.key, from: each.atMs, until: each.atMs, user: 0, transferred: null }))
    last.until = each.atMs
    last.user += each.userMessages ?? 0
    if (each.transferred === true) last.transferred ??= each.atMs
  }
  return sessions
    .map(({ from, until, user, transferred }) => ({ from, ended: until, status: 'CLOSED', user, transferred }))
    .sort(byStart)
}

function shuffled<T>(items: readonly T[], luck: Draw): T[] {
  const out = [...items]
  for (let i = out.length - 1; i > 0; i--) {
    const j = luck.between(0, i)
    ;[out[i], out[j]] = [out[j] as T, out[i] as T]
  }
  return out
}

test.each(Array.from({ length: 40 }, (_, seed) => [seed]))(
  'in any order, cut anywhere and with restarts, turns come to the same sessions (seed %d)',
  seed => {
    const luck = draw(seed)
    const turns = Array.from({ length: luck.between(1, 60) }, () =>
      turn(luck.between(0, 400), { key: `k${luck.between(0, 2)}`, transferred: luck.chance(0.1) }),
    )
    // Some of the threads are more than one record takes.
    const topics = new Topics(luck.one([1_000_000, 400, 150]))
    let derived = new DerivedSessions(derive, place)
    const isInOrder = luck.chance(0.3)
    const rest = isInOrder ? turns.toSorted((a, b) => a.atMs - b.atMs) : shuffled(turns, luck)
    while (rest.length > 0) {
      feed(derived, rest.splice(0, luck.between(1, 12)))
      if (luck.chance(0.5)) continue
      if (luck.chance(0.3)) derived.settle(() => turn(luck.between(0, 400)).atMs)
      topics.take(derived)
      if (luck.chance(0.5)) derived = topics.restarted()
    }
    derived.settle(() => Infinity)
    topics.take(derived)
    // Which of several transfers was published first depends on the order; that there is one does not.
    const comparable = (sessions: readonly { transferred: number | null }[]) =>
      isInOrder ? sessions : sessions.map(each => ({ ...each, transferred: each.transferred !== null }))
    expect(comparable(topics.told)).toEqual(comparable(clusters(turns)))
    const handed = new Set(turns.flatMap(each => (each.transferred === true ? [each.atMs] : [])))
    for (const { transferred } of topics.told) if (transferred !== null) expect(handed).toContain(transferred)
    for (const revisions of topics.revisions.values()) expect(revisions).toEqual(revisions.map((_, i) => i + 1))
  },
)

test('a thread of many records leaves none behind when it needs fewer', () => {
  const topics = new Topics(200)
  const derived = new DerivedSessions(derive, place)
  feed(derived, [turn(0, { attributes: { note: 'x'.repeat(900) } }), turn(60)])
  topics.take(derived)
  expect(topics.threads.size).toBeGreaterThan(8)
  const again = topics.restarted()
  expect(again.size).toBe(2)
  again.settle(() => Infinity)
  topics.take(again)
  again.forget(() => false)
  feed(again, [turn(200)])
  topics.take(again)
  const standing = [...topics.threads.values()].filter(value => value !== null).length
  expect(standing).toBeLessThan(8)
  expect(topics.restarted().size).toBe(1)
})
