/** An account whose languages are free text, on a real broker: its series stay within the budget, over restarts, kills and a rebuild, and no count is lost. */
import { afterEach, expect, inject, test } from 'vitest'
import { rebuild } from '../../src/aggregate/rebuild.ts'
import { startAggregator } from '../../src/aggregate/run.ts'
import { aggregateMetrics } from '../../src/cli/aggregate-metrics.ts'
import { systemClock } from '../../src/clock.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { createMetrics } from '../../src/metrics.ts'
import { botKey, MEASURES, type SeriesPoint } from '../../src/records.ts'
import { type Harness, harness, type Item } from '../aggregate/harness.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from '../aggregate/make.ts'
import type { Table } from '../aggregate/recount.ts'

const FROM = Date.parse('2026-11-01T00:00:00Z')
const SPAN_MS = 3_600_000
const MAX_SERIES = 90
const PARTITIONS = 3

const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** Sessions, some of them in several revisions that move between languages, with messages and events; a new language nearly each time. */
function history(r: Random, items: number): Item[] {
  return Array.from({ length: items }, (_, i): Item => {
    const language = r.chance(0.2) ? r.pick(['es', 'en', null]) : `free text ${r.int(items)}`
    const account = r.chance(0.1) ? 'quiet' : 'a'
    const of = { account, language: account === 'quiet' ? 'es' : language }
    if (i % 3 === 1) return { kind: 'message', record: { ...makeMessage(r, `m${i}`, FROM, SPAN_MS), ...of } }
    if (i % 3 === 2) return { kind: 'event', record: { ...makeEvent(r, `e${i}`, FROM, SPAN_MS), ...of } }
    const record = { ...makeSession(r, `s${r.int(items / 6)}`, i + 1, FROM, SPAN_MS), language }
    return { kind: r.chance(0.1) ? 'withdrawal' : 'session', record }
  })
}

/** The table by account, bot and minute: each measure, without the sketches. */
function byBot(table: Table): Record<string, number[]> {
  const sums: Record<string, number[]> = {}
  for (const [key, row] of Object.entries(table)) {
    const [, account = '', bot = ''] = key.split('|')
    const sum = (sums[`${account}|${bot}@${key.slice(key.lastIndexOf('@'))}`] ??= MEASURES.map(() => 0))
    for (let i = 0; i < MEASURES.length; i++) sum[i] = (sum[i] ?? 0) + Number(row[i])
  }
  return sums
}

const seriesOf = (points: readonly SeriesPoint[], account: string) =>
  new Set(points.filter(point => point.account === account).map(({ series_key }) => series_key))

function start(h: Harness) {
  const stop = new AbortController()
  const metrics = createMetrics({ processMetrics: false })
  const options = { groupId: h.names.series, lingerMs: 20, maxRecords: 200, sessionTimeoutMs: 1_500, maxSeries: MAX_SERIES }
  const running = startAggregator({ ...h, options, signal: stop.signal, metrics: aggregateMetrics(metrics) })
  const end = async () => {
    stop.abort()
    await running.done
  }
  closing.push(end)
  /** What the page says of an account. */
  const folded = async (account: string) => {
    const { body } = await metrics.render()
    const line = body.split('\n').find(each => each.startsWith(`colloquy_series_folded_total{vendor="v",account="${account}"}`))
    return line === undefined ? null : Number(line.split(' ').at(-1))
  }
  return { stop: end, folded }
}

test('an account with free text for languages has no more series than its budget, and each bot counts what it would have counted', async () => {
  const h = await harness(inject('stack'), PARTITIONS)
  closing.push(() => h.close())
  const r = random(31)
  const items = history(r, 1_200)

  const first = start(h)
  for (let at = 0; at < 600; at += 100) await h.feed(items.slice(at, at + 100))
  await h.caughtUp()
  await expect.poll(() => first.folded('a'), { timeout: 10_000 }).toBeGreaterThan(100)
  expect(await first.folded('quiet'), 'shown, and nothing folded').toBe(0)
  await first.stop()

  const second = start(h)
  for (let at = 600; at < items.length; at += 100) await h.feed(items.slice(at, at + 100))
  await h.caughtUp()
  await second.stop()

  const points = await h.points()
  const keys = seriesOf(points, 'a')
  expect(keys.size).toBeLessThanOrEqual(MAX_SERIES)
  expect(keys.size, 'the budget is used').toBeGreaterThan(MAX_SERIES / 2)
  expect(byBot(await h.table())).toEqual(byBot(h.expected()))
  expect(Object.keys(h.expected()).length).toBeGreaterThan(MAX_SERIES * 4)

  const signal = new AbortController().signal
  const rebuilding = rebuild({ ...h, groupId: h.names.series, maxSeries: MAX_SERIES, fromMs: null, clock: systemClock, signal })
  for await (const { partition, points: written } of rebuilding)
    expect([partition, written], 'what is counted again is in the same series').toEqual([partition, 0])
})

test('where there are more bots than series, too, the rest of each partition is one series in it', async () => {
  const h = await harness(inject('stack'), PARTITIONS)
  closing.push(() => h.close())
  const r = random(32)
  const items = Array.from({ length: 600 }, (_, i): Item => {
    const record = {
      ...makeEvent(r, `e${i}`, FROM, SPAN_MS),
      bot_id: `conversation-${i}`,
      channel: 'web' as const,
      language: 'es',
    }
    return { kind: 'event', record }
  })
  const running = start(h)
  await h.feed(items)
  await h.caughtUp()
  await running.stop()

  const points = await h.points()
  expect(seriesOf(points, 'a').size).toBe(MAX_SERIES)
  const sum = (of: Table) => Object.values(of).reduce((all, row) => all + Number(row[MEASURES.indexOf('events')]), 0)
  expect(sum(await h.table())).toBe(items.length)
  const places = new Map<string, Set<number>>()
  for (let partition = 0; partition < PARTITIONS; partition++)
    await h.kafka.readToEnd({ topic: h.names.series, partition }, ({ key }) => {
      const at = places.get(String(key)) ?? new Set()
      places.set(String(key), at.add(partition))
    })
  expect(
    [...places.values()].every(of => of.size === 1),
    'no key is in two partitions',
  ).toBe(true)
  const rest = new Set(points.map(({ bot_id }) => bot_id).filter(bot => bot.startsWith('other')))
  const partitions = [...rest].map(bot_id => partitionOf(botKey({ vendor: 'v', account: 'a', bot_id }), PARTITIONS))
  expect(new Set(partitions)).toEqual(new Set([0, 1, 2]))
})
