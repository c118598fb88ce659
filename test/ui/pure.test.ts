import { describe, expect, test } from 'vitest'
import { backfillProgress } from '../../ui/backfill.ts'
import { count, duration, figure, percent, pretty, utcTime } from '../../ui/format.ts'
import { placeOf } from '../../ui/place.ts'
import { completeUntil, isolated, linesOf, MOST_LINES, splitAtEdge, sumsOf } from '../../ui/series.ts'
import { connectorWords, emptyOverview, failureText, roleProblems, stateWords } from '../../ui/words.ts'
import { STREAM_STATES } from '../../src/metrics.ts'
import type { OverviewGroup } from '../../src/console.ts'

const group = (vendor: string, channel: string, of: Partial<OverviewGroup> = {}): OverviewGroup => ({
  vendor,
  channel,
  sessions: [10, 10],
  messages: [20, null],
  transfers: [1, 2],
  ...of,
})

describe('figures', () => {
  test('what is not known is a dash, and never 0', () => {
    expect([count(null), figure(null), percent(1, null), percent(null, 1), percent(0, 0)]).toEqual(['–', '–', '–', '–', '–'])
    expect([count(0), figure(0), percent(0, 5)]).toEqual(['0', '0', '0 %'])
  })

  test('a share has two digits below ten, and none after the point above', () => {
    expect([percent(1, 3), percent(1, 30), percent(11, 10)]).toEqual(['33 %', '3.3 %', '110 %'])
  })

  test('a duration has its two largest units, and one where that is enough', () => {
    const texts = [0, 999, 45_000, 60_000, 90_000, 12_000_000, 100_000_000, 864_000_000, -5].map(duration)
    expect(texts).toEqual(['0 s', '0 s', '45 s', '1 min', '1 min 30 s', '3 h 20 min', '1 d 3 h', '10 d', '0 s'])
  })

  test('UTC is written out, and JSON set out', () => {
    expect(utcTime(Date.parse('2026-11-30T10:15:00.500Z'))).toBe('2026-11-30 10:15:00 UTC')
    expect([pretty('{"a":1}'), pretty('no json')]).toEqual(['{\n  "a": 1\n}', 'no json'])
  })
})

describe('lines', () => {
  test('a sum is null only where none of them has a value', () => {
    const { sessions, messages } = sumsOf([group('a', 'x'), group('b', 'y', { sessions: [null, 5], messages: [null, null] })], 2)
    expect([sessions, messages]).toEqual([
      [10, 15],
      [20, null],
    ])
  })

  test('sessions of a vendor that does not report transfers do not dilute the rate', () => {
    const sums = sumsOf([group('a', 'x'), group('b', 'y', { sessions: [90, 90], transfers: [null, null] })], 2)
    expect(sums.sessions).toEqual([100, 100])
    expect(sums.rate).toEqual([10, 20])
    expect(sums.rateOfAll).toBe(15)
  })

  test('no sessions have no rate', () => {
    expect(sumsOf([group('a', 'x', { sessions: [0, null], transfers: [0, null] })], 2)).toMatchObject({
      rate: [null, null],
      rateOfAll: null,
    })
  })

  test('a line is complete up to its slowest vendor, and unknown where one is', () => {
    expect([
      completeUntil(['a', 'b'], { a: 5, b: 3 }),
      completeUntil(['a', 'b'], { a: 5, b: null }),
      completeUntil(['c'], { a: 5 }),
    ]).toEqual([3, null, null])
  })

  test('the largest lines are shown, the others as one', () => {
    const many = Array.from({ length: MOST_LINES + 2 }, (_, at) => group('a', `c${at}`, { sessions: [at, at] }))
    const { sessions } = linesOf(many, 'channel', { completeUntil: { a: 1 }, times: [0, 60_000] })
    expect(sessions.map(each => each.name)).toEqual(['c7', 'c6', 'c5', 'c4', 'c3', 'other'])
    expect(sessions.at(-1)?.values).toEqual([3, 3])
  })

  const times = [0, 60_000, 120_000, 180_000]
  const cut = (completeUntilMs: number | null, values: readonly (number | null)[] = [1, 2, 3, 4]) =>
    splitAtEdge({ values, completeUntilMs }, times, 60_000)

  test('a bucket is final when all of it is complete; the unfinished edge begins at the last final value', () => {
    expect(cut(120_000)).toEqual({ final: [1, 2, null, null], unfinished: [null, 2, 3, 4] })
    expect(cut(179_999)).toEqual(cut(120_000))
    expect(cut(180_000)).toEqual({ final: [1, 2, 3, null], unfinished: [null, null, 3, 4] })
  })

  test('all is final, or nothing', () => {
    expect(cut(240_000)).toEqual({ final: [1, 2, 3, 4], unfinished: [null, null, null, null] })
    expect(cut(null)).toEqual({ final: [null, null, null, null], unfinished: [1, 2, 3, 4] })
  })

  test('a gap stays a gap, and a value alone gets a dot', () => {
    expect(cut(240_000, [1, null, 3, null]).final).toEqual([1, null, 3, null])
    expect(isolated([1, null, 3, 4, null, 6])).toEqual([0, 5])
    expect(isolated([0])).toEqual([0])
  })
})

describe('a backfill', () => {
  const view = { fromMs: 0, untilMs: 1_000_000, reachedMs: 250_000, seen: { atMs: 0, reachedMs: 50_000 } }

  test('is as far as it has read, and ends at its pace since the process saw it first', () => {
    expect(backfillProgress(view, 20_000)).toEqual({ share: 0.25, leftMs: 75_000 })
  })

  test('has no estimate before it has moved, or while it was seen too shortly', () => {
    expect(backfillProgress({ ...view, reachedMs: 50_000 }, 20_000).leftMs).toBeNull()
    expect(backfillProgress(view, 9_999).leftMs).toBeNull()
  })

  test('is done at its end', () => {
    expect(backfillProgress({ ...view, reachedMs: 1_000_000 }, 20_000)).toEqual({ share: 1, leftMs: 0 })
  })
})

describe('words', () => {
  test('roles with the same reason share a line', () => {
    const why = 'Kafka does not answer'
    const lines = roleProblems([
      { role: 'worker', ok: false, why },
      { role: 'server', ok: true, why: null },
      { role: 'alerter', ok: false, why },
      { role: 'aggregator', ok: false, why: 'starting' },
    ])
    expect(lines).toEqual(['worker, alerter: Kafka does not answer', 'aggregator: starting'])
  })

  test('each failure says what happened, and 401 what to do', () => {
    expect(failureText({ kind: 'network' })).toContain('does not answer')
    expect(failureText({ kind: 'timeout', afterMs: 10_000 })).toContain('within 10 s')
    expect(failureText({ kind: 'status', status: 401, message: '' })).toContain('token')
    expect(failureText({ kind: 'status', status: 500, message: 'broken' })).toContain('(500): broken')
  })

  test('each state has a word and a shape of its own', () => {
    const words = [...STREAM_STATES, null].map(state => stateWords({ state }))
    expect(new Set(words.map(each => each.word)).size).toBe(words.length)
    expect(new Set(words.map(each => each.sign)).size).toBe(words.length)
    expect([connectorWords('RESTARTING').word, connectorWords(null).word]).toEqual(['restarting', 'unknown'])
  })

  test('an empty overview says why it is empty', () => {
    const of = { unready: null, hasStreams: true, isFiltered: false }
    const texts = [
      of,
      { ...of, unready: 'Kafka has not been reached yet' },
      { ...of, hasStreams: false },
      { ...of, isFiltered: true },
    ].map(emptyOverview)
    expect(new Set(texts).size).toBe(4)
    expect(texts[1]).toContain('Kafka has not been reached yet')
  })
})

test('addresses name a page and its choices; links of alerts lead to the alert', () => {
  expect(placeOf('/ui/', '?range=7d')).toEqual({ page: 'overview', query: { range: '7d' } })
  expect(placeOf('/ui/connectors/', '')).toEqual({ page: 'connectors', query: {} })
  expect(placeOf('/ui/', '?alert=a1&vendor=v')).toEqual({ page: 'alerts', query: { alert: 'a1', vendor: 'v' } })
})
