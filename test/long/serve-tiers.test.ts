/**
 * Minutes, hours and days: random histories with late records, withdrawals and roll-ups at random moments, against a recount of what was counted. The rule: a
 * record counts in the bucket that holds the start of the point it is in, and a bucket with a part of a point that is longer than itself is null.
 */
import { describe, expect, test } from 'vitest'
import { createDurations, binOf } from '../../src/duration-sketch.ts'
import { BUCKET_MS, BUCKETS, type Bucket, edgesOf, zoneOf } from '../../src/serve/buckets.ts'
import { answerQuery, type SeriesAnswer } from '../../src/serve/query.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { createStore, type SeriesStore } from '../../src/serve/store.ts'
import { finish, type Steps } from '../../src/slices.ts'
import { completenessOf, nothingRead, point, seeded, T } from '../serve/points.ts'
import { type Counted, DAY, HOUR, LENGTHS, MINUTE, SeriesTopic, type TopicRecord } from '../serve/topic.ts'

/** Half hours, three quarters, and clocks that go back on 2026-10-25. */
const ZONES = ['UTC', 'Asia/Kathmandu', 'Australia/Adelaide', 'Europe/Madrid']
const BOTS = ['a', 'b@1h', 'c']
const RETENTION = { minutes: 2, hours: 4, days: 7 }
const BEGIN = T('2026-10-20T00:00:00Z')
const DAYS = 10
const SKETCHES_FROM = BEGIN + 1.5 * DAY

const take = (store: SeriesStore, { seriesKey, start, bucket, point: made }: TopicRecord) => {
  if (made === null) store.remove(seriesKey, start, bucket)
  else store.put(made)
}

const MEASURES = ['sessions', 'events', 'duration_avg_ms', 'users', 'duration_p90_ms'] as const
interface Asked {
  readonly bucket: Bucket
  readonly zone: string
  readonly fromMs: number
  readonly untilMs: number
  readonly window: number
  readonly isByBot: boolean
}

function ask(store: SeriesStore, asked: Asked, isRead = false): SeriesAnswer {
  return finish(answerQuery(queryOf(asked), store, isRead ? ALL_READ : nothingRead))
}

const ALL_READ = completenessOf({ covered: [['2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z']] })

const queryOf = ({ bucket, zone, fromMs, untilMs, window, isByBot }: Asked) => ({
  ...parseQuery(
    {
      measure: MEASURES.join(','),
      bucket,
      tz: zone,
      from: String(fromMs),
      until: String(untilMs),
      group_by: isByBot ? 'bot_id' : '',
    },
    BEGIN,
  ),
  window,
})

/** What the answer must be, by bucket and for the whole, from what was counted. */
function recount(topic: SeriesTopic, bot: string | null, asked: Asked, isRead: boolean) {
  const { bucket, zone: name, fromMs, untilMs, window } = asked
  const zone = zoneOf(name)
  if (zone === null) throw new Error(name)
  const edges = edgesOf(bucket, zone, fromMs, untilMs, window - 1, 50_000)
  const first = edges.findLastIndex(edge => edge <= fromMs)
  const lengthMs = bucket === '1M' ? Infinity : BUCKET_MS[bucket]
  const bots = bot === null ? BOTS : [bot]
  const starts = bots.flatMap(each =>
    (['1m', '1h', '1d'] as const).flatMap(length =>
      topic.published(each, length).map(start => ({ start, end: start + LENGTHS[length], isLong: LENGTHS[length] > lengthMs })),
    ),
  )
  const items = [...topic.counted]
    .filter(each => bots.includes(each.bot))
    .map(each => {
      const length = topic.lengthAt(each.bot, each.at)
      return { ...each, place: Math.floor(each.at / LENGTHS[length ?? '1m']) * LENGTHS[length ?? '1m'] }
    })
  const isOld = (each: Counted) => each.at < SKETCHES_FROM
  const within = (from: number, until: number) => {
    const own = items.filter(({ place }) => place >= from && place < until)
    const ended = own.filter(({ durationMs }) => durationMs !== null)
    const durations = createDurations()
    for (const { durationMs } of ended) durations.add(binOf(durationMs ?? 0), 1)
    const total = ended.reduce((sum, { durationMs }) => sum + (durationMs ?? 0), 0)
    return [
      own.length,
      own.reduce((sum, { events }) => sum + events, 0),
      ended.length === 0 ? null : total / ended.length,
      own.some(isOld) ? null : new Set(own.map(({ user }) => user)).size,
      ended.some(isOld) ? null : durations.quantiles([0.9])[0],
    ]
  }
  const isKnown = (from: number, until: number) => isRead || starts.some(({ start }) => start >= from && start < until)
  const values = []
  for (let at = first; at < edges.length - 1; at++) {
    const [from, until] = [edges[at - window + 1] ?? 0, edges[at + 1] ?? 0]
    const isNull = !isKnown(from, until) || starts.some(each => each.isLong && each.start < until && each.end > from)
    values.push(isNull ? MEASURES.map(() => null) : within(from, until))
  }
  const [from, until] = [edges[first] ?? 0, edges.at(-1) ?? 0]
  return { values, whole: isKnown(from, until) ? within(from, until) : MEASURES.map(() => null) }
}

const shown = ({ data }: SeriesAnswer, at: number) => {
  const own = data.series.slice(at * MEASURES.length, (at + 1) * MEASURES.length)
  return { values: own[0]?.values.map((_, i) => own.map(each => each.values[i])), whole: own.map(({ sum }) => sum) }
}

/** Work that is done bit by bit. */
function stepping<V>(steps: Steps<V>) {
  let last = steps.next()
  const step = () => {
    if (last.done !== true) last = steps.next()
  }
  return {
    step,
    finish() {
      while (last.done !== true) step()
      return last.value
    },
  }
}

/** A world that goes on for ten days, with what a reader has seen of it. */
function* history(seed: number, each: (records: readonly TopicRecord[]) => void): Generator<{ topic: SeriesTopic; now: number }> {
  const random = seeded(seed)
  const int = (below: number) => Math.floor(random() * below)
  const topic = new SeriesTopic(BOTS, RETENTION, SKETCHES_FROM)
  let seen = 0
  for (let now = BEGIN; now < BEGIN + DAYS * DAY; now += int(80) * MINUTE) {
    // Mostly of now; some are late, a few by days.
    const late = random() < 0.75 ? int(HOUR) : random() < 0.7 ? int(DAY) : int(9 * DAY)
    const at = now - late
    const bot = BOTS[int(3)] ?? 'a'
    topic.add({ bot, at, user: int(30), durationMs: random() < 0.3 ? null : int(900_000), events: int(4) }, now)
    const all = random() < 0.2 ? [...topic.counted] : []
    const gone = all[int(all.length)]
    if (gone !== undefined) topic.withdraw(gone, now)
    if (random() < 0.15) for (const { bot, day } of topic.due(now)) if (random() < 0.6) topic.roll(bot, day)
    each(topic.records.slice(seen))
    seen = topic.records.length
    yield { topic, now }
  }
}

describe.each(Array.from({ length: 4 }, (_, i) => i + 1))('history %i', { timeout: 120_000 }, seed => {
  const random = seeded(seed * 31)
  const int = (below: number) => Math.floor(random() * below)
  const asking = (now: number): Asked => {
    const bucket = BUCKETS[int(BUCKETS.length)] ?? '1h'
    const longest = Math.min(12 * DAY, 250 * (bucket === '1M' ? DAY : BUCKET_MS[bucket]))
    const fromMs = Math.max(BEGIN, now - int(longest) - 1) + int(DAY) * (random() < 0.5 ? 1 : 0)
    return {
      bucket,
      zone: ZONES[int(ZONES.length)] ?? 'UTC',
      fromMs,
      untilMs: fromMs + 1 + int(longest),
      window: random() < 0.6 ? 1 : 1 + int(5),
      isByBot: random() < 0.5,
    }
  }

  test('equals a recount in every bucket and zone, at every moment', () => {
    const store = createStore()
    const met = new Set<string>()
    for (const { topic, now } of history(seed, records => records.forEach(each => take(store, each)))) {
      if (int(6) > 0) continue
      const asked = asking(now)
      const isRead = random() < 0.5
      const answer = ask(store, asked, isRead)
      const bots = asked.isByBot
        ? answer.data.series.flatMap(({ labels }, i) => (i % MEASURES.length === 0 ? [labels.bot_id ?? ''] : []))
        : [null]
      for (const [at, bot] of bots.entries()) {
        const got = shown(answer, at)
        expect({ asked, bot, ...got }).toEqual({ asked, bot, ...recount(topic, bot, asked, isRead) })
        if (got.values?.some(([value]) => value === null)) met.add(`null ${asked.bucket}`)
      }
      for (const length of ['1m', '1h', '1d'] as const) if (topic.published('a', length).length > 0) met.add(length)
    }
    expect([...met]).toEqual(expect.arrayContaining(['1m', '1h', '1d']))
  })

  test('is the same whoever read it when, and however the topic was compacted', () => {
    const store = createStore()
    let last: { topic: SeriesTopic; now: number } | null = null
    for (const state of history(seed, records => records.forEach(each => take(store, each)))) last = state
    if (last === null) throw new Error('no history')
    const others = Array.from({ length: 6 }, () => {
      const other = createStore()
      const left = [0, 1].map(partition => last.topic.compacted(random).filter(each => each.partition === partition))
      // Chunks of both partitions in any order.
      while (left.some(records => records.length > 0)) {
        const from = left[int(2)] ?? []
        for (const each of from.splice(0, 1 + int(400))) take(other, each)
      }
      return other
    })
    for (const other of others) {
      expect(other.cells).toBe(store.cells)
      for (let n = 0; n < 6; n++) {
        const asked = asking(last.now - int(8 * DAY))
        expect(ask(other, asked)).toEqual(ask(store, asked))
      }
    }
  })

  test('shows no wrong number while a roll-up comes in, record by record', () => {
    const store = createStore()
    let rolled = 0
    for (const { topic, now } of history(seed, records => records.forEach(each => take(store, each)))) {
      const due = topic.due(now)
      const { bot, day } = due[int(due.length)] ?? { bot: '', day: 0 }
      if (due.length === 0 || int(8) > 0) continue
      const length = topic.lengthAt(bot, day)
      if (length === '1d') continue
      const asked: Asked[] = (length === '1m' ? (['1h', '1d'] as const) : (['1d'] as const)).map(bucket => ({
        bucket,
        zone: 'UTC',
        fromMs: day - DAY,
        untilMs: day + 2 * DAY,
        window: 1 + int(3),
        isByBot: random() < 0.5,
      }))
      const before = asked.map(each => ask(store, each))
      const from = topic.records.length
      rolled += topic.roll(bot, day)
      // A query that is under way meanwhile answers the same as well.
      const underWay = asked.map(each => stepping(answerQuery(queryOf(each), store, nothingRead)))
      for (const record of topic.records.slice(from)) {
        for (const query of underWay) if (random() < 0.3) query.step()
        take(store, record)
        expect(asked.map(each => ask(store, each))).toEqual(before)
      }
      expect(underWay.map(query => query.finish())).toEqual(before)
      // The history hands these records over once more, and a second time they change nothing.
    }
    expect(rolled).toBeGreaterThan(10)
  })
})

describe('what is kept', () => {
  const at = T('2026-10-20T10:00:00Z')
  const key = point({ at }).series_key

  test('minutes leave memory when their hour comes, hours when their first null comes, days with theirs', () => {
    const store = createStore()
    for (let n = 0; n < 120; n++) store.put(point({ at: at + n * MINUTE, sessions: 1 }))
    expect(store.cells).toBe(120)
    store.put(point({ at, bucket: '1h', sessions: 60 }))
    expect(store.cells).toBe(61)
    store.put(point({ at: at + HOUR, bucket: '1h', sessions: 60 }))
    store.put(point({ at: T('2026-10-20T00:00:00Z'), bucket: '1d', sessions: 120 }))
    expect(store.cells).toBe(3)
    for (let n = 0; n < 120; n++) store.remove(key, at + n * MINUTE, '1m')
    expect(store.cells).toBe(3)
    store.remove(key, at, '1h')
    expect(store.cells).toBe(1)
    store.remove(key, at + HOUR, '1h')
    expect(store.cells).toBe(1)
    store.remove(key, T('2026-10-20T00:00:00Z'), '1d')
    expect([store.cells, store.series.length]).toEqual([0, 0])
  })

  test('a minute of an hour that was rolled up is not counted beside it, nor one of a day', () => {
    const store = createStore()
    store.put(point({ at, bucket: '1h', sessions: 60 }))
    expect(store.put(point({ at: at + MINUTE, sessions: 1, revision: 9 }))).toBe(false)
    store.put(point({ at: T('2026-10-19T00:00:00Z'), bucket: '1d', sessions: 5 }))
    expect(store.put(point({ at: T('2026-10-19T23:59:00Z'), sessions: 1 }))).toBe(false)
    expect(store.put(point({ at: T('2026-10-18T23:59:00Z'), sessions: 1 }))).toBe(true)
    expect(store.put(point({ at, bucket: '5m', sessions: 1 }))).toBe(false)
    expect(store.cells).toBe(3)
  })

  test('a day counts no less when an hour is changed after it, and no longer once it has ended', () => {
    const store = createStore()
    const day = T('2026-10-20T00:00:00Z')
    const asked: Asked = { bucket: '1d', zone: 'UTC', fromMs: day, untilMs: day + DAY, window: 1, isByBot: false }
    const sessions = () => ask(store, asked).data.series[0]?.values
    store.put(point({ at, bucket: '1h', sessions: 60 }))
    store.put(point({ at: day, bucket: '1d', sessions: 60 }))
    store.put(point({ at: at + HOUR, bucket: '1h', sessions: 2 }))
    store.put(point({ at: day, bucket: '1d', sessions: 62, revision: 2 }))
    expect(sessions()).toEqual([62])
    store.remove(key, at + HOUR, '1h')
    expect(sessions()).toEqual([62])
    store.remove(key, day, '1d')
    expect(sessions()).toEqual([null])
  })
})
