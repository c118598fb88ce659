import { describe, expect, test } from 'vitest'
import { type Budget, budgetsOf } from '../../src/aggregate/budget.ts'
import { sizeOf, startOf } from '../../src/aggregate/buckets.ts'
import { blankContribution, COUNT } from '../../src/aggregate/contribution.ts'
import { chunkKey } from '../../src/aggregate/counted.ts'
import { createSeriesTable, seriesKey } from '../../src/aggregate/series.ts'
import { stateRecordBytes, writeStateRecord } from '../../src/aggregate/state-record.ts'
import { createState, type PartitionState, type RestoredPoint } from '../../src/aggregate/state.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import {
  botKey,
  CHANNELS,
  type Channel,
  type Event,
  MEASURES,
  type Measure,
  type Message,
  type Session,
} from '../../src/records.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from './make.ts'
import { recount } from './recount.ts'

const NOON = Date.parse('2026-11-01T12:00:00Z')
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const WHO = { vendor: 'v', account: 'a', bot_id: 'b', channel: 'web' as Channel | null, language: 'es' as string | null }

const budget = (series: number): Budget => budgetsOf(series, 1)(0)

/** Where records of these land in a table that has room for so many series. */
function placesOf(series: number, ...of: Partial<typeof WHO>[]): string[] {
  const table = createSeriesTable(budget(series))
  return of.map(each => table.get(table.placeOf({ ...WHO, ...each })).key)
}

const languages = (n: number, of: Partial<typeof WHO> = {}) => Array.from({ length: n }, (_, i) => ({ ...of, language: `l${i}` }))

describe('a series that is one too many', () => {
  test('counts in that of all further languages of its bot and channel, and what came before keeps its own', () => {
    const places = placesOf(16, ...languages(14), { language: 'l3' }, { language: 'l99' })
    expect(places.slice(0, 11)).toEqual(languages(11).map(({ language }) => `v|a|b|web|${language}`))
    expect(places.slice(11)).toEqual(['v|a|b|web|other', 'v|a|b|web|other', 'v|a|b|web|other', 'v|a|b|web|l3', 'v|a|b|web|other'])
  })

  test('of another bot and channel has a series of its own, also where languages have used up the budget', () => {
    const places = placesOf(16, ...languages(40), { bot_id: 'c' }, { bot_id: 'c', channel: 'sms', language: null })
    expect(places.slice(40)).toEqual(['v|a|c|web|other', 'v|a|c|other|other'])
  })

  test('has no language before it has another: without one it stays so', () => {
    const places = placesOf(16, ...languages(40), { channel: 'voice', language: null }, { channel: 'voice', language: 'fr' })
    expect(places.slice(40)).toEqual(['v|a|b|voice|', 'v|a|b|other|other'])
  })

  test('counts in that of all further bots when there is room for no bot, either', () => {
    const bots = Array.from({ length: 40 }, (_, i) => ({ bot_id: `bot-${i}`, channel: 'web' as const, language: null }))
    const places = placesOf(16, ...bots)
    expect(new Set(places).size).toBe(16)
    expect(places.slice(13, 15)).toEqual(['v|a|bot-13|other|other', 'v|a|bot-14|other|other'])
    expect(places.slice(15)).toEqual(bots.slice(15).map(() => 'v|a|other|other|other'))
  })

  test('takes nothing from another account', () => {
    const places = placesOf(16, ...languages(40), ...languages(3, { account: 'quiet' }), ...languages(3, { vendor: 'w' }))
    expect(places.slice(40)).toEqual([
      ...languages(3).map(({ language }) => `v|quiet|b|web|${language}`),
      ...languages(3).map(({ language }) => `w|a|b|web|${language}`),
    ])
  })

  test('that is on the topic already has its own, however small the budget has become', () => {
    const table = createSeriesTable(budget(1))
    for (const of of languages(10)) table.idOf({ ...WHO, ...of })
    expect(table.idOfKey('v|a|b|web|l10')).toBe(10)
    const keyOf = (language: string) => table.get(table.placeOf({ ...WHO, language })).key
    expect(['l3', 'l10', 'l11', 'l3'].map(keyOf)).toEqual([
      'v|a|b|web|l3',
      'v|a|b|web|l10',
      'v|a|other|other|other',
      'v|a|b|web|l3',
    ])
  })

  test('is noted for each of its records, by account, until that has been told', () => {
    const table = createSeriesTable(budget(8))
    const place = (of: Partial<typeof WHO>) => table.placeOf({ ...WHO, ...of })
    for (const of of languages(5)) place(of)
    expect(table.folded).toEqual([])
    for (const language of ['l5', 'l6', 'l6', 'l1', 'l6']) place({ language })
    for (const of of languages(6, { account: 'second' })) place(of)
    expect(table.folded).toEqual([
      { vendor: 'v', account: 'a', n: 4 },
      { vendor: 'v', account: 'second', n: 1 },
    ])
    table.forgetFolded()
    expect(table.folded).toEqual([])
    place({ language: 'l6' })
    expect(table.folded).toEqual([{ vendor: 'v', account: 'a', n: 1 }])
  })
})

describe('the share of a partition number', () => {
  test.each([
    [10_000, 6],
    [100, 7],
    [7, 7],
    [1, 1],
  ])('of %i series is an equal part of one of %i', (maxSeries, partitions) => {
    const of = budgetsOf(maxSeries, partitions)
    const shares = Array.from({ length: partitions }, (_, partition) => of(partition).series)
    expect(shares.reduce((sum, share) => sum + share, 0)).toBe(maxSeries)
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
  })

  test('is refused where it would be none', () => {
    expect(() => budgetsOf(5, 6)).toThrow(expect.objectContaining({ code: 'CFG_INVALID' }))
  })

  test('has a bot for the rest that lies in that very partition, as any other bot does: no series is in two', () => {
    const of = budgetsOf(1000, 12)
    const bots = Array.from({ length: 12 }, (_, partition) => of(partition).restBot('v', 'a'))
    const of_bots = bots.map(bot_id => partitionOf(botKey({ vendor: 'v', account: 'a', bot_id }), 12))
    expect(of_bots).toEqual(Array.from({ length: 12 }, (_, partition) => partition))
    expect(bots.every(bot => /^other(?:-\d+)?$/.test(bot))).toBe(true)
  })

  test.each([1, 2, 3, 7, 8, 9, 16, 100])('of %i is never exceeded, whatever comes', series => {
    const r = random(series)
    const table = createSeriesTable(budget(series))
    for (let i = 0; i < 5_000; i++)
      table.placeOf({
        ...WHO,
        bot_id: `bot-${r.int(1 + r.int(60))}`,
        channel: r.pick([...CHANNELS, null]),
        language: r.pick([null, 'other', `l${r.int(200)}`]),
      })
    expect(table.size).toBe(series)
  })
})

type Step =
  | { readonly kind: 'session'; readonly record: Session }
  | { readonly kind: 'withdrawal'; readonly record: Session }
  | { readonly kind: 'message'; readonly record: Message }
  | { readonly kind: 'event'; readonly record: Event }

/** Sessions that move between series, are withdrawn and come again; all records with languages from free text. */
function history(r: Random): Step[] {
  const from = NOON - 2 * HOUR_MS
  const words = 1 + r.int(60)
  const dimensions = () => ({
    account: r.pick(['a', 'a', 'b']),
    channel: r.pick(CHANNELS),
    language: r.pick([null, 'other', `l${r.int(words)}`, `l${r.int(words)}`, `l${r.int(words)}`]),
  })
  const sessions = 1 + r.int(30)
  return Array.from({ length: 60 + r.int(250) }, (_, i): Step => {
    const roll = r.int(10)
    if (roll >= 8) return { kind: 'event', record: { ...makeEvent(r, `${r.int(90)}`, from, HOUR_MS), ...dimensions() } }
    if (roll >= 5) return { kind: 'message', record: { ...makeMessage(r, `${r.int(150)}`, from, HOUR_MS), ...dimensions() } }
    const id = r.int(sessions)
    const record = { ...makeSession(r, `s${id}`, i + 1, from, HOUR_MS), ...dimensions(), account: id % 3 === 0 ? 'b' : 'a' }
    return { kind: r.chance(0.15) ? 'withdrawal' : 'session', record }
  })
}

interface Topics {
  readonly points: Map<string, RestoredPoint>
  readonly contributions: Map<string, Buffer>
}

const newTopics = (): Topics => ({ points: new Map(), contributions: new Map() })

const KEPT_MS = 400 * DAY_MS

function newState(of: Budget): PartitionState {
  const state = createState({ retention: { minutesMs: KEPT_MS, hoursMs: KEPT_MS, daysMs: KEPT_MS } }, undefined, of)
  state.restoreTime(NOON)
  state.setTime({ clockMs: NOON, publishedMs: NOON })
  return state
}

const keyOf = (session: Session) => Buffer.from(session.session_key)

function count(state: PartitionState, step: Step): void {
  if (step.kind === 'session') state.session(keyOf(step.record), step.record)
  else if (step.kind === 'withdrawal') state.session(keyOf(step.record), null)
  else if (step.kind === 'message') state.message(step.record, NOON)
  else state.event(step.record, NOON)
}

/** What changed in the state, as one transaction leaves it on the topics. */
function publish(topics: Topics, state: PartitionState): void {
  for (const cell of state.cells.dirty()) {
    const revision = state.cells.revision(cell) + 1
    const { key, ...series } = state.series.get(state.cells.seriesOf(cell))
    const bucket = state.cells.bucketOf(cell)
    const bucket_start = startOf(bucket)
    const valueOf = (m: Measure) => (m === 'duration_ms' ? state.cells.durationMs(cell) : state.cells.count(cell, COUNT[m]))
    const measures = Object.fromEntries(MEASURES.map(m => [m, valueOf(m)])) as Record<Measure, number>
    topics.points.set(`${key}@${bucket_start}`, { ...series, bucket: sizeOf(bucket), bucket_start, revision, ...measures })
  }
  for (const [session, key] of state.changedSessions) {
    if (state.sessions.revision(session) === 0) {
      topics.contributions.delete(key.toString())
      continue
    }
    const contribution = state.sessions.read(session, blankContribution())
    const series = Buffer.from(state.series.get(contribution.series).key)
    const value = Buffer.alloc(stateRecordBytes(contribution, series))
    writeStateRecord(value, 0, contribution, state.sessions.wasTransferTold(session), series)
    topics.contributions.set(key.toString(), value)
  }
  for (const { number, value } of state.counted.changedChunks())
    if (value !== null) topics.contributions.set(chunkKey(number).toString(), value)
  state.clean()
}

function restart({ points, contributions }: Topics, of: Budget): PartitionState {
  const state = newState(of)
  for (const [key, value] of contributions) state.restoreRecord(Buffer.from(key), value)
  state.restored()
  for (const point of points.values()) state.restorePoint(point)
  state.restoredPoints()
  state.forgetSeen()
  return state
}

/** As `colloquy rebuild`: the series that are on the topic, and then every record anew, topic by topic. */
function rebuilt({ points }: Topics, of: Budget, steps: readonly Step[]): Topics {
  const state = newState(of)
  for (const point of points.values()) state.restorePoint(point, { sessions: false, messages: false, events: false })
  state.restoredPoints()
  const newest = newestOf(steps)
  for (const record of newest.values()) count(state, { kind: 'session', record })
  for (const kind of ['message', 'event'] as const) for (const step of steps) if (step.kind === kind) count(state, step)
  const topics = newTopics()
  for (let cell = 0; cell < state.cells.size; cell++) state.cells.addDuration(cell, 0)
  publish(topics, state)
  return topics
}

/** The newest record of each session that is not withdrawn, in the order of those. */
function newestOf(steps: readonly Step[]): Map<string, Session> {
  const newest = new Map<string, Session>()
  for (const { kind, record } of steps) {
    if (kind !== 'session' && kind !== 'withdrawal') continue
    newest.delete(record.session_key)
    if (kind === 'session') newest.set(record.session_key, record)
  }
  return newest
}

/** What the points count, by these labels and the minute; rows of zeros are left out. */
function sumsBy(labels: (of: RestoredPoint) => string, points: Iterable<RestoredPoint>): Record<string, number[]> {
  const sums: Record<string, number[]> = {}
  for (const point of points) {
    const row = (sums[`${labels(point)}@${point.bucket_start}`] ??= MEASURES.map(() => 0))
    for (const [i, measure] of MEASURES.entries()) row[i] = (row[i] ?? 0) + point[measure]
  }
  return Object.fromEntries(Object.entries(sums).filter(([, row]) => row.some(n => n !== 0)))
}

/** The same of a recount, where nothing is folded. */
function expectedBy(labels: (of: RestoredPoint) => string, steps: readonly Step[]): Record<string, number[]> {
  const of = <K extends Step['kind']>(kind: K) =>
    steps.flatMap(s => (s.kind === kind ? [s.record as (Step & { kind: K })['record']] : []))
  const table = recount(newestOf(steps).values(), of('message'), of('event'))
  const points = Object.entries(table).map(([key, row]) => {
    const at = key.lastIndexOf('@')
    const [vendor, account, bot_id, channel, language] = key.slice(0, at).split('|')
    const measures = Object.fromEntries(MEASURES.map((m, i) => [m, row[i]]))
    return {
      vendor,
      account,
      bot_id,
      channel,
      language,
      bucket_start: Date.parse(key.slice(at + 1)),
      ...measures,
    } as RestoredPoint
  })
  return sumsBy(labels, points)
}

const byAccount = ({ vendor, account }: RestoredPoint) => `${vendor}|${account}`
const byChannel = ({ vendor, account, bot_id, channel }: RestoredPoint) => `${vendor}|${account}|${bot_id}|${channel}`
const bySeries = (of: RestoredPoint) => seriesKey(of)

const seriesOf = ({ points }: Topics, account: string) =>
  new Set([...points.values()].filter(point => point.account === account).map(seriesKey))

// Each seed is another history; a failure names its seed.
describe.each(Array.from({ length: 30 }, (_, i) => i + 1))('with a small budget (seed %i)', seed => {
  const r = random(seed)
  const steps = history(r)
  const share = budget(1 + r.int(40))
  const places = steps.map(() => ({ publishes: r.chance(0.1), restarts: r.chance(0.04) }))

  /** The whole history, with a transaction now and then, and a new process at some of them. */
  function run(of: { budget: Budget; restarts: boolean }): Topics {
    const topics = newTopics()
    let state = newState(of.budget)
    for (const [i, step] of steps.entries()) {
      count(state, step)
      const { publishes, restarts } = places[i] ?? { publishes: false, restarts: false }
      if (publishes || restarts) publish(topics, state)
      if (restarts && of.restarts) state = restart(topics, of.budget)
    }
    publish(topics, state)
    return topics
  }

  test('the sums are those of a recount, there are no more series than that, and a restart or a rebuild changes nothing', () => {
    const topics = run({ budget: share, restarts: true })
    const points = [...topics.points.values()]
    expect(sumsBy(byAccount, points)).toEqual(expectedBy(byAccount, steps))
    for (const account of ['a', 'b']) expect(seriesOf(topics, account).size).toBeLessThanOrEqual(share.series)
    const inOneLife = run({ budget: share, restarts: false })
    expect(sumsBy(bySeries, inOneLife.points.values())).toEqual(sumsBy(bySeries, points))
    const again = rebuilt(topics, share, steps)
    expect(sumsBy(bySeries, again.points.values())).toEqual(sumsBy(bySeries, points))
  })

  test('of which an eighth has room for the channels, each bot and channel counts what it did without', () => {
    // Five bots and all channels in each of two accounts.
    const roomy = budget(8 * 5 * CHANNELS.length)
    const topics = run({ budget: roomy, restarts: true })
    expect(sumsBy(byChannel, topics.points.values())).toEqual(expectedBy(byChannel, steps))
  })

  test('that has become larger or smaller between two lives, the sums stay right, and each session leaves where it was counted', () => {
    const topics = newTopics()
    let state = newState(share)
    for (const [i, step] of steps.entries()) {
      count(state, step)
      if (places[i]?.restarts !== true) continue
      publish(topics, state)
      state = restart(topics, budget(1 + ((seed * 7 + i) % 50)))
    }
    publish(topics, state)
    expect(sumsBy(byAccount, topics.points.values())).toEqual(expectedBy(byAccount, steps))
  })
})

test('what comes too late to be counted takes no room', () => {
  const state = newState(budget(8))
  const late = NOON - 500 * DAY_MS
  const r = random(1)
  for (let i = 0; i < 20; i++) {
    const of = { channel: 'web' as const, language: `l${i}`, bot_id: 'b', observed_at: late }
    state.session(Buffer.from(`s${i}`), {
      ...makeSession(r, 's1', 1, late, 1),
      ...of,
      ended_at: null,
      transferred_at: null,
      is_test: null,
    })
    state.message({ ...makeMessage(r, `m${i}`, late, 1), ...of }, NOON)
    state.event({ ...makeEvent(r, `e${i}`, late, 1), ...of }, NOON)
  }
  expect([state.late, state.series.size, state.series.folded]).toEqual([60, 0, []])
})
