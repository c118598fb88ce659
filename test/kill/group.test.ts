import { describe, expect, test } from 'vitest'
import type { Logged } from '../../src/sim/index.ts'
import type { IndependentRecord } from '../support/independent/read-topics.ts'
import { drawGroupFaults } from './group-faults.ts'
import { groupReport } from './group-report.ts'
import type { GroupReport } from './group.ts'
import { breaksOf, Counter, type Limits, Stalls } from './limits.ts'
import { figuresOf, gapsOf, movesIn, ownerAt } from './silence.ts'

describe('requests held to the limits of a vendor', () => {
  const at = (...times: number[]) => times.map(atMs => ({ atMs, overMs: atMs }))
  const broken = (requests: Parameters<typeof breaksOf>[0], limits: Limits) => breaksOf(requests, limits).map(({ atMs }) => atMs)

  test('as many as are allowed in each window break nothing', () => {
    expect(broken(at(0, 500, 1000, 1500, 60_000), { perSecond: 2, perMinute: 4 })).toEqual([])
  })

  test.each<[Limits, number[]]>([
    [{ perSecond: 2 }, [999]],
    [{ perMinute: 3 }, [59_999]],
    [{ perHour: 4 }, [3_599_999]],
  ])('one too many for %j is found, in whatever order they were told', (limits, found) => {
    expect(broken(at(3_599_999, 59_999, 999, 500, 0), limits)).toEqual(found)
  })

  test('one that comes too soon after another is found, but for what the way of a request may vary', () => {
    expect(broken(at(0, 1000, 1700, 2399), { gapMs: 1000 })).toEqual([2399])
  })

  test('what may be one too many only because it was noticed late is not found', () => {
    const stalls = new Stalls()
    stalls.stop()
    const zeroMs = Date.now()
    for (const ms of [1, 500, 505, 1_600, 1_605]) stalls.tick(zeroMs + ms)
    const found = (times: readonly number[], limits: Limits) =>
      breaksOf(at(...times.map(ms => zeroMs + ms)), limits, atMs => stalls.earliest(atMs)).length
    // From 1 to 500 nothing was noticed, and from 505 to 1600.
    expect(found([498, 1_002], { gapMs: 1_000 })).toBe(0)
    expect(found([508, 702], { gapMs: 1_000 })).toBe(0)
    expect(found([1_604, 2_600], { perSecond: 1 })).toBe(0)
    expect(found([1_700, 2_600], { perSecond: 1 })).toBe(1)
    expect(found([1_700, 2_300], { gapMs: 1_000 })).toBe(1)
    const late = [{ atMs: zeroMs + 503, overMs: zeroMs + 1_602 }, ...at(zeroMs + 700)]
    expect(breaksOf(late, { concurrency: 1 }, atMs => stalls.earliest(atMs))).toEqual([])
    expect(breaksOf(late, { concurrency: 1 })).toHaveLength(1)
  })

  test('more at once than are allowed are found; one that is not over is under way', () => {
    const requests = [
      { atMs: 0, overMs: 10 },
      { atMs: 10, overMs: null },
      { atMs: 5_000, overMs: 5_001 },
      { atMs: 6_000, overMs: 6_001 },
    ]
    expect(broken(requests, { concurrency: 1 })).toEqual([5_000, 6_000])
    expect(broken(requests, { concurrency: 2 })).toEqual([])
  })

  test('each request of a log is counted once, by its key, and what the vendor does not count is left out', () => {
    const log: Logged[] = []
    const ask = (path: string) => log.push({ atMs: log.length, method: 'GET', path, query: {}, overMs: null })
    const counter = new Counter({ log }, ({ path }) => (path === '/token' ? null : path))
    counter.look()
    ask('/a')
    ask('/token')
    counter.look()
    ask('/a')
    log.shift()
    ask('/b')
    counter.look()
    counter.look()
    expect([...counter.requests()].map(([key, of]) => [key, of.map(({ atMs }) => atMs)])).toEqual([
      ['/a', [0, 2]],
      ['/b', [2]],
    ])
  })

  test('a log that has forgotten what was not counted yet is no proof', () => {
    const log: Logged[] = [{ atMs: 0, method: 'GET', path: '/', query: {}, overMs: null }]
    const counter = new Counter({ log }, () => 'all')
    counter.look()
    log.splice(0, 1, { atMs: 1, method: 'GET', path: '/', query: {}, overMs: null })
    expect(() => counter.look()).toThrow('forgotten')
  })
})

describe('silence of source partitions', () => {
  const progress = (scope: string, committed_at: number): IndependentRecord => ({
    topic: 'progress',
    partition: 0,
    offset: 0,
    key: scope,
    value: { connector: 'c', stream: 's', scope, committed_at },
  })

  test('is counted from the first fault to the end, also of one that commits no more', () => {
    const records = [progress('a', 50), progress('a', 300), progress('a', 120), progress('a', 2_000)]
    const gaps = gapsOf(records, { progress: 'progress', places: ['c/s/a', 'c/s/b'], fromMs: 100, untilMs: 1_000 })
    expect(gaps.map(({ place, fromMs, untilMs }) => `${place} ${fromMs}-${untilMs}`)).toEqual([
      'c/s/a 100-120',
      'c/s/a 120-300',
      'c/s/a 300-1000',
      'c/s/b 100-1000',
    ])
  })

  test('is told by its median, the 95th of a hundred and the longest', () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
    expect(figuresOf(hundred)).toEqual({ count: 100, medianMs: 50, p95Ms: 95, maxMs: 100 })
    expect(figuresOf([])).toEqual({ count: 0, medianMs: 0, p95Ms: 0, maxMs: 0 })
  })

  test('a task belongs to the worker that it came to last, and has moved when that is another', () => {
    const placed = [
      { atMs: 1, task: 'c-0', worker: 'x' },
      { atMs: 2, task: 'c-1', worker: 'x' },
      { atMs: 10, task: 'c-0', worker: 'x' },
      { atMs: 20, task: 'c-0', worker: 'y' },
      { atMs: 30, task: 'c-0', worker: 'x' },
      { atMs: 40, task: 'c-1', worker: 'y' },
    ]
    expect([0, 15, 20, 99].map(atMs => ownerAt(placed, 'c-0', atMs))).toEqual([null, 'x', 'y', 'x'])
    expect([...movesIn(placed, 5, 40)]).toEqual([['c-0', 2]])
  })
})

describe('faults of a group', () => {
  test('are the same for a seed, others for another, and of every kind', () => {
    const told = (seed: number, count = 20) => drawGroupFaults(seed, count).map(({ name, afterMs }) => `${name} ${afterMs}`)
    expect(told(1)).toEqual(told(1))
    expect(told(1)).not.toEqual(told(2))
    expect(told(1, 30).slice(0, 20)).toEqual(told(1))
    expect(new Set(drawGroupFaults(1, 100).map(({ name }) => name)).size).toBe(5)
  })

  test('come five to twenty seconds after one another', () => {
    const waits = drawGroupFaults(1, 300).map(({ afterMs }) => afterMs)
    expect([Math.min(...waits) >= 5_000, Math.max(...waits) <= 20_000]).toEqual([true, true])
  })
})

describe('what a run is held to', () => {
  const good: GroupReport = {
    seed: 1,
    sourcePartitions: 44,
    tasks: 30,
    faults: new Map([['killed', 1]]),
    finding: { lost: 0, twice: 0, details: [] },
    hands: [],
    requests: 10,
    breaks: [],
    silence: { count: 9, medianMs: 5_000, p95Ms: 15_000, maxMs: 30_000 },
    struck: { count: 1, medianMs: 14_000, p95Ms: 14_000, maxMs: 14_000 },
    longest: [],
    rolls: [],
    wholeBefore: [],
    wellMs: 900,
    records: 10,
    tookMs: 60_000,
  }

  test('is good when nothing was found', () => {
    expect(groupReport(good).good).toBe(true)
  })

  test.each<[string, Partial<GroupReport>]>([
    ['lost', { finding: { lost: 1, twice: 0, details: [] } }],
    ['twice', { finding: { lost: 0, twice: 1, details: [] } }],
    ['hands', { hands: ['one'] }],
    ['limits', { breaks: ['one'] }],
    ['the longest silence', { silence: { ...good.silence, maxMs: 30_001 } }],
    ['95 of 100 silences', { silence: { ...good.silence, p95Ms: 15_001 } }],
  ])('is not good for %s', (_, found) => {
    expect(groupReport({ ...good, ...found }).good).toBe(false)
  })
})
