import { expect, test } from 'vitest'
import type { Measure } from '../../src/records.ts'
import { finish } from '../../src/slices.ts'
import { createStore } from '../../src/serve/store.ts'
import { point, seeded, T } from './points.ts'

const HOUR = 3_600_000
const start = T('2026-11-01T00:00:00Z')

function sumOf(store: ReturnType<typeof createStore>, measure: Measure, edges: number[]): { sums: number[]; present: number[] } {
  const sums = new Float64Array(edges.length - 1)
  const present = new Uint8Array(edges.length - 1)
  for (const series of store.series) finish(series.addInto(measure, edges, sums, present))
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
  store.remove(one.series_key, start)
  expect(sumOf(store, 'sessions', [start, start + HOUR]).sums).toEqual([2])
  store.remove(one.series_key, start)
  store.remove('none', start)
  store.remove(one.series_key, start + 60_000)
  expect([store.series.length, store.cells]).toEqual([0, 0])
  expect(store.put(one)).toBe(true)
})

test('the values of a label are listed once, in order', () => {
  const store = createStore()
  for (const channel of ['whatsapp', 'web', 'web', 'voice'] as const) store.put(point({ at: start, channel }))
  expect(store.values('channel')).toEqual(['voice', 'web', 'whatsapp'])
  expect(store.values('language')).toEqual(['es'])
})

test('a series that changes while it is added up has each of its minutes once', () => {
  const store = createStore()
  const series = (n: number) => point({ at: start + n * 60_000, events: 1 })
  for (let n = 1000; n < 16_000; n++) store.put(series(n))
  const sums = new Float64Array(1)
  const steps = store.series[0]?.addInto('events', [start, start + 20_000 * 60_000], sums, new Uint8Array(1))
  steps?.next()
  // Minutes in front of what has been added move everything on, and more than the arrays had room for.
  for (let n = 0; n < 1000; n++) store.put(series(n))
  for (let n = 16_000; n < 19_000; n++) store.put(series(n))
  while (steps?.next().done !== true);
  expect(sums[0]).toBe(15_000 + 3000)
  expect(store.series[0]?.cellsIn(start, start + 1000 * 60_000)).toBe(1000)
  expect(store.series[0]?.cellsIn(start + 18_999 * 60_000, start + 99_000 * 60_000)).toBe(1)
})
