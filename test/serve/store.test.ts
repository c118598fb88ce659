import { describe, expect, test } from 'vitest'
import type { Measure } from '../../src/records.ts'
import { finish } from '../../src/slices.ts'
import { createStore } from '../../src/serve/store.ts'
import { point, seeded, snapshotsOf, T } from './points.ts'

const HOUR = 3_600_000
const DAY_MS = 24 * HOUR
const start = T('2026-11-01T00:00:00Z')

function sumOf(store: ReturnType<typeof createStore>, measure: Measure, edges: number[]): { sums: number[]; present: number[] } {
  const sums = new Float64Array(edges.length - 1)
  const present = new Uint8Array(edges.length - 1)
  for (const series of snapshotsOf(store)) finish(series.addInto(measure, edges, sums, present))
  return { sums: [...sums], present: [...present] }
}

test('a newer revision replaces a point; a lower or equal one changes nothing', () => {
  const store = createStore()
  expect(store.put(point({ at: start, revision: 2, sessions: 5 }))).toBe(true)
  expect(store.put(point({ at: start, revision: 2, sessions: 9 }))).toBe(false)
  expect(store.put(point({ at: start, revision: 1, sessions: 9 }))).toBe(false)
  expect(sumOf(store, 'sessions', [start, start + HOUR]).sums).toEqual([5])
  expect(store.put(point({ at: start, revision: 3, sessions: 0, events: 1 }))).toBe(true)
  expect(sumOf(store, 'sessions', [start, start + HOUR])).toEqual({ sums: [0], present: [1] })
  expect(store.cells).toBe(1)
})

test('points in any order give the sums of a recount', () => {
  const random = seeded(11)
  const store = createStore()
  const truth = new Map<string, { revision: number; sessions: number; duration_ms: number; at: number }>()
  for (let n = 0; n < 5000; n++) {
    const minute = Math.floor(random() * 2000)
    const bot_id = `b${Math.floor(random() * 3)}`
    const revision = 1 + Math.floor(random() * 5)
    const [sessions, duration_ms] = [Math.floor(random() * 100), Math.floor(random() * 1e13)]
    const at = start + minute * 60_000
    const key = `${bot_id}@${minute}`
    store.put(point({ at, bot_id, revision, sessions, duration_ms }))
    if (revision > (truth.get(key)?.revision ?? 0)) truth.set(key, { revision, sessions, duration_ms, at })
  }
  const edges = Array.from({ length: 36 }, (_, n) => start + (n - 1) * HOUR)
  for (const measure of ['sessions', 'duration_ms', 'events'] as const) {
    const expected = edges
      .slice(0, -1)
      .map((from, n) =>
        [...truth.values()]
          .filter(({ at }) => at >= from && at < (edges[n + 1] ?? 0))
          .reduce((sum, cell) => sum + (measure === 'events' ? 0 : cell[measure]), 0),
      )
    expect(sumOf(store, measure, edges).sums).toEqual(expected)
  }
  expect(store.cells).toBe(truth.size)
})

test('counts beyond 32 bits and sums below zero are kept exactly', () => {
  const store = createStore()
  store.put(point({ at: start, duration_ms: 1 }))
  store.put(point({ at: start + 60_000, duration_ms: 2 ** 40 }))
  store.put(point({ at: start + 120_000, duration_ms: -5 }))
  expect(sumOf(store, 'duration_ms', [start, start + HOUR]).sums).toEqual([2 ** 40 - 4])
})

test('a bucket includes its first minute and not the first of the next', () => {
  const store = createStore()
  for (const at of [start - 60_000, start, start + HOUR - 60_000, start + HOUR]) store.put(point({ at, events: 1 }))
  expect(sumOf(store, 'events', [start, start + HOUR]).sums).toEqual([2])
})

test('a removed point is gone, with its series when it was the last', () => {
  const store = createStore()
  const one = point({ at: start, sessions: 1 })
  store.put(one)
  store.put(point({ at: start + 60_000, sessions: 2 }))
  store.remove(one.series_key, start, '1m')
  expect(sumOf(store, 'sessions', [start, start + HOUR]).sums).toEqual([2])
  store.remove(one.series_key, start, '1m')
  store.remove('none', start, '1m')
  store.remove(one.series_key, start + 60_000, '1m')
  expect([store.series.length, store.cells]).toEqual([0, 0])
  expect(store.put(one)).toBe(true)
})

test('the values of a label are listed once, in order', () => {
  const store = createStore()
  for (const channel of ['whatsapp', 'web', 'web', 'voice'] as const) store.put(point({ at: start, channel }))
  expect(store.values('channel')).toEqual(['voice', 'web', 'whatsapp'])
  expect(store.values('language')).toEqual(['es'])
})

test('a series that changes while it is added up is added up as it was', () => {
  const store = createStore()
  const series = (n: number, of = {}) => point({ at: start + n * 60_000, events: 1, ...of })
  for (let n = 1000; n < 16_000; n++) store.put(series(n))
  const range = [start, start + 20_000 * 60_000] as const
  const [stored] = store.series
  const snapshot = stored?.snapshot(...range)
  const sums = new Float64Array(1)
  const steps = snapshot?.addInto('events', [...range], sums, new Uint8Array(1))
  steps?.next()
  // In front of what has been added, behind it, over it, and away with it.
  for (let n = 0; n < 1000; n++) store.put(series(n))
  for (let n = 16_000; n < 19_000; n++) store.put(series(n))
  for (let n = 1000; n < 16_000; n += 7) store.put(series(n, { revision: 2, events: 1000 }))
  for (let n = 5000; n < 15_000; n += 3) store.remove(series(n).series_key, start + n * 60_000, '1m')
  store.put(point({ at: start + 3 * DAY_MS, bucket: '1d', events: 7 }))
  while (steps?.next().done !== true);
  expect(sums[0]).toBe(15_000)
  const again = new Float64Array(1)
  finish(snapshot?.addInto('events', [...range], again, new Uint8Array(1)) ?? (function* () {})())
  expect(again[0]).toBe(15_000)
  expect(stored?.snapshot(...range).cellsIn(start, start + 1000 * 60_000)).toBe(1000)
  expect(stored?.snapshot(...range).cellsIn(start + 18_999 * 60_000, start + 99_000 * 60_000)).toBe(1)
})

describe('points of half a year in one series cost the same in whatever order they come', () => {
  /** Elements of arrays that are moved or copied for each point: what a point costs beyond its own values. */
  function movedFor(days: number, order: (minutes: number[]) => number[]): number {
    const arrays = Object.getPrototypeOf(Uint8Array.prototype) as {
      copyWithin: (this: Uint8Array, to: number, from: number, until?: number) => Uint8Array
      set: (this: Uint8Array, from: ArrayLike<number>, at?: number) => void
    }
    const { copyWithin, set } = arrays
    let moved = 0
    arrays.copyWithin = function (to, from, until) {
      moved += (until ?? this.length) - from
      return copyWithin.call(this, to, from, until)
    }
    arrays.set = function (from, at) {
      moved += from.length
      set.call(this, from, at)
    }
    try {
      const store = createStore()
      const all = order(Array.from({ length: days * 144 }, (_, n) => n * 10))
      for (const n of all) store.put(point({ at: start + n * 60_000, sessions: 1, events: 300, duration_ms: 2 ** 33 }))
      expect(store.cells).toBe(all.length)
      return moved / all.length
    } finally {
      Object.assign(arrays, { copyWithin, set })
    }
  }
  const random = seeded(4)

  test.each([
    ['oldest first', (minutes: number[]) => minutes],
    ['newest first', (minutes: number[]) => minutes.toReversed()],
    [
      'in any order',
      (minutes: number[]) =>
        minutes
          .map(n => ({ n, by: random() }))
          .sort((a, b) => a.by - b.by)
          .map(({ n }) => n),
    ],
  ])('%s', (_, order) => {
    const [month, half] = [movedFor(30, order), movedFor(180, order)]
    // A day has 144 of these points: none moves more than its day, of which there are five arrays.
    expect(half).toBeLessThan(5 * 144)
    expect(half).toBeLessThan(1.1 * month)
  })
})
