import { describe, expect, test } from 'vitest'
import { binOf, createDurations } from '../../src/duration-sketch.ts'
import type { SeriesPoint } from '../../src/records.ts'
import type { Edges } from '../../src/serve/buckets.ts'
import type { Sketch } from '../../src/serve/sketch-pool.ts'
import { createSketchReader, sketchCost, SKETCH_VALUES } from '../../src/serve/sketches.ts'
import { finish } from '../../src/slices.ts'
import { createStore, type SeriesStore } from '../../src/serve/store.ts'
import { createUsers } from '../../src/users-sketch.ts'
import { point, seeded, snapshotsOf, T } from './points.ts'

const MINUTE = 60_000
const start = T('2026-11-01T00:00:00Z')

const durationsOf = (durationsMs: readonly number[]): Buffer => {
  const sketch = createDurations()
  for (const ms of durationsMs) sketch.add(binOf(ms), 1)
  return Buffer.from(sketch.encode())
}

/** A user's hash as it might be: the same for the same number. */
const hashOf = (user: number): [high: number, low: number] => {
  const random = seeded(user * 7919 + 1)
  return [(random() * 2 ** 32) | 0, (random() * 2 ** 32) | 0]
}

const usersOf = (users: readonly number[]): Buffer => {
  const sketch = createUsers()
  for (const user of users) sketch.add(...hashOf(user))
  return Buffer.from(sketch.encode())
}

/** A minute in which sessions began (one for each user) and others ended. */
const minute = (at: number, users: readonly number[], durationsMs: readonly number[], of: Partial<SeriesPoint> = {}) =>
  point({
    at: start + at * MINUTE,
    sessions: users.length,
    users_sketch: users.length === 0 ? null : usersOf(users),
    sessions_ended: durationsMs.length,
    duration_sketch: durationsMs.length === 0 ? null : durationsOf(durationsMs),
    ...of,
  })

const bucketsOf = (length: number, count: number, first = 0): Edges => ({
  edges: Array.from({ length: count + 1 }, (_, at) => start + at * length * MINUTE),
  first,
})

const read = (store: SeriesStore, sketch: Sketch, edges: Edges, window = 1) =>
  finish(createSketchReader(edges, window).read(sketch, snapshotsOf(store)))
const users = (store: SeriesStore, edges: Edges, window = 1) => {
  const [answer] = read(store, 'users_sketch', edges, window)
  return { values: answer?.values, whole: answer?.whole }
}

const QUANTILES = SKETCH_VALUES.duration_sketch

describe('any minutes of any series, in any buckets and rolling windows, have', () => {
  test.each(Array.from({ length: 60 }, (_, i) => i + 1))('the users and percentiles of a recount (seed %i)', seed => {
    const random = seeded(seed)
    const int = (below: number) => Math.floor(random() * below)
    const store = createStore()
    const truth = new Map<string, { at: number; users: number[]; durations: number[] }>()
    const people = [5, 300, 20_000][int(3)] ?? 5
    for (let n = 0; n < 300; n++) {
      const at = int(200)
      const bot_id = `b${int(3)}`
      const [sessions, ended] = [int(6), int(6)]
      const made = {
        at,
        users: Array.from({ length: sessions }, () => int(people)),
        durations: Array.from({ length: ended }, () => (int(10) === 0 ? 0 : Math.floor(Math.exp(random() * 20)))),
      }
      // Later revisions of a minute take the place of earlier ones, and now and then a point is withdrawn.
      const key = `${bot_id}@${at}`
      if (int(20) === 0) {
        truth.delete(key)
        store.remove(point({ at: 0, bot_id }).series_key, start + at * MINUTE, '1m')
      } else {
        truth.set(key, made)
        store.put(minute(at, made.users, made.durations, { bot_id, revision: n + 1 }))
      }
    }
    const length = 1 + int(40)
    const count = Math.ceil(200 / length)
    const window = int(2) === 0 ? 1 : 1 + int(count)
    const edges = bucketsOf(length, count, window - 1)
    const within = (from: number, until: number) =>
      [...truth.values()].filter(({ at }) => Math.floor(at / length) >= from && Math.floor(at / length) < until)
    const distinct = (from: number, until: number) => new Set(within(from, until).flatMap(each => each.users)).size

    const found = users(store, edges, window)
    const ends = Array.from({ length: count - window + 1 }, (_, i) => i + window)
    expect(found.values).toEqual(ends.map(until => distinct(until - window, until)))
    expect(found.whole).toBe(distinct(window - 1, count))

    const percentiles = read(store, 'duration_sketch', edges, window)
    for (const [at, q] of QUANTILES.entries()) {
      const exact = (from: number, until: number) => {
        const sorted = within(from, until)
          .flatMap(each => each.durations)
          .toSorted((a, b) => a - b)
        return sorted[Math.floor(q * (sorted.length - 1))] ?? null
      }
      const near = (value: number | null | undefined, wanted: number | null) =>
        wanted === null ? value === null : Math.abs((value ?? NaN) - wanted) <= wanted * 0.01 + 1e-9
      expect(ends.filter((until, i) => !near(percentiles[at]?.values[i], exact(until - window, until)))).toEqual([])
      expect(near(percentiles[at]?.whole, exact(window - 1, count))).toBe(true)
    }
  })
})

describe('many users are', () => {
  /** Minutes with 700 users each, of whom every one comes in two minutes: more than can be there by themselves. */
  const crowded = () => {
    const store = createStore()
    for (let at = 0; at < 60; at++)
      store.put(
        minute(
          at,
          Array.from({ length: 700 }, (_, i) => at * 350 + i),
          [],
        ),
      )
    return store
  }

  test('within 3 % of how many they are, by bucket, rolling and as a whole', () => {
    const store = crowded()
    const wrong = (value: number | null | undefined, wanted: number) => Math.abs((value ?? 0) / wanted - 1) > 0.03
    const hours = users(store, bucketsOf(10, 6))
    expect(hours.values?.map(value => wrong(value, 350 * 11))).toEqual(Array(6).fill(false))
    expect(wrong(hours.whole, 350 * 61)).toBe(false)
    const rolling = users(store, bucketsOf(1, 60, 19), 20)
    expect(rolling.values?.filter(value => wrong(value, 350 * 21))).toEqual([])
  })

  test('the same in a rolling window as in a bucket that is as long', () => {
    const store = crowded()
    for (let at = 60; at < 120; at++) store.put(minute(at, [at, at + 1, 3], []))
    const inBuckets = users(store, bucketsOf(10, 12)).values
    const rolling = users(store, bucketsOf(1, 120, 9), 10).values
    expect(rolling?.filter((_, at) => at % 10 === 0)).toEqual(inBuckets)
    // Exact again once the crowd has left the window.
    expect(rolling?.at(-1)).toBe(12)
  })

  test('exact while they are at most 4,096, though they came in many minutes', () => {
    const store = createStore()
    for (let at = 0; at < 40; at++)
      store.put(
        minute(
          at,
          Array.from({ length: 200 }, (_, i) => at * 100 + (i % 100)),
          [],
        ),
      )
    expect(users(store, bucketsOf(60, 1)).values).toEqual([4_000])
  })
})

describe('what cannot be known is null:', () => {
  test('percentiles where no session ended; the users of no session are 0', () => {
    const store = createStore()
    store.put(minute(0, [], [], { messages_bot: 1 }))
    store.put(minute(1, [1, 2], [60_000]))
    const edges = bucketsOf(1, 3)
    expect(users(store, edges)).toEqual({ values: [0, 2, 0], whole: 2 })
    expect(read(store, 'duration_sketch', edges)[0]?.values.map(value => value !== null)).toEqual([false, true, false])
    expect(users(createStore(), edges)).toEqual({ values: [0, 0, 0], whole: 0 })
  })

  test('users where no session says who its user was', () => {
    const store = createStore()
    store.put(minute(0, [], [], { sessions: 5, users_sketch: usersOf([]) }))
    store.put(minute(1, [], [], { sessions: 5, users_sketch: usersOf([7]) }))
    expect(users(store, bucketsOf(1, 2))).toEqual({ values: [null, 1], whole: 1 })
  })

  test('every bucket and window with sessions that were counted by a version without sketches', () => {
    const store = createStore()
    store.put(minute(0, [1], [1_000]))
    store.put(minute(2, [], [], { sessions: 1, sessions_ended: 1 }))
    store.put(minute(3, [2], [1_000]))
    store.put(minute(4, [3], [1_000]))
    expect(users(store, bucketsOf(1, 5))).toEqual({ values: [1, 0, null, 1, 1], whole: null })
    expect(users(store, bucketsOf(1, 5, 1), 2)).toEqual({ values: [1, null, null, 2], whole: null })
    expect(users(store, bucketsOf(1, 5, 3), 1)).toEqual({ values: [1, 1], whole: 2 })
    const [median] = read(store, 'duration_sketch', bucketsOf(1, 5, 1), 2)
    expect(median?.values.map(value => value === null)).toEqual([false, true, true, false])
    expect(median?.whole).toBeNull()
  })

  test('what a sketch that cannot be read speaks for; the counts beside it stay', () => {
    const store = createStore()
    store.put(minute(0, [1], [1_000], { duration_sketch: Buffer.from('00', 'hex'), users_sketch: Buffer.from('ff', 'hex') }))
    const edges = bucketsOf(1, 1)
    expect([users(store, edges).values, read(store, 'duration_sketch', edges)[0]?.values]).toEqual([[null], [null]])
    const sums = new Float64Array(1)
    finish(snapshotsOf(store)[0]?.addInto('sessions', edges.edges, sums, new Uint8Array(1)) ?? (function* () {})())
    expect(sums[0]).toBe(1)
  })
})

test('one reader answers group after group, and nothing of one is in the next', () => {
  const store = createStore()
  for (let at = 0; at < 5; at++) store.put(minute(at, [at], [1_000], { bot_id: 'one' }))
  store.put(minute(2, [9], [9_000_000], { bot_id: 'two' }))
  for (const window of [1, 2]) {
    const reader = createSketchReader(bucketsOf(1, 5, window - 1), window)
    const byBot = (bot: string) => snapshotsOf(store).filter(({ labels }) => labels.bot_id === bot)
    const [one, two, again] = ['one', 'two', 'one'].map(bot => finish(reader.read('users_sketch', byBot(bot))))
    expect(two?.[0]?.values).toEqual(window === 1 ? [0, 0, 1, 0, 0] : [0, 1, 1, 0])
    expect(again).toEqual(one)
    const [, longest] = ['one', 'two'].map(bot => finish(reader.read('duration_sketch', byBot(bot)))[3]?.whole)
    expect(longest).toBeGreaterThan(8_900_000)
  }
})

test('what sketches cost is told before they are read, by the part of the time that is asked for', () => {
  const store = createStore()
  for (let at = 0; at < 100; at++) store.put(minute(at, [at, at + 1], [1_000]))
  const [series] = snapshotsOf(store)
  if (series === undefined) throw new Error('no series')
  const cost = (sketch: Sketch, minutes: number) => sketchCost(sketch, series, start, start + minutes * MINUTE)
  expect([cost('users_sketch', 100), cost('users_sketch', 50), cost('users_sketch', 0)]).toEqual([5_000, 2_500, 0])
  expect(cost('duration_sketch', 100)).toBe(2_000)
})

test('revision after revision of a minute takes no more memory than one', () => {
  const store = createStore()
  for (let revision = 1; revision <= 2_000; revision++)
    store.put(
      minute(
        0,
        Array.from({ length: 50 }, (_, i) => revision + i),
        [revision],
        { revision },
      ),
    )
  store.put(minute(1, [1], []))
  const [series] = snapshotsOf(store)
  expect(series?.sketchWordsIn('users_sketch', start, start + 2 * MINUTE)).toBe(101 + 3)
  expect(users(store, bucketsOf(1, 2)).values).toEqual([50, 1])
})
