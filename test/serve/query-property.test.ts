/**
 * Queries against another implementation: one that walks through time in quarters of an hour or minutes, asks the calendar library at each step, and counts
 * by looking at every point. `QUERY_SEED` and `QUERY_ROUNDS` run others, or more.
 */
import { DateTime } from 'luxon'
import { expect, test } from 'vitest'
import { MEASURES, type Measure, type SeriesPoint } from '../../src/records.ts'
import { BUCKETS, type Bucket } from '../../src/serve/buckets.ts'
import { answerQuery } from '../../src/serve/query.ts'
import type { StreamRead } from '../../src/serve/reading.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { finish } from '../../src/slices.ts'
import { createStore, LABELS, type Label } from '../../src/serve/store.ts'
import { point, seeded, T } from './points.ts'

const SEED = Number(process.env['QUERY_SEED'] ?? 9)
const ROUNDS = Number(process.env['QUERY_ROUNDS'] ?? 200)

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const random = seeded(SEED)
const int = (below: number) => Math.floor(random() * below)
const pick = <V>(values: readonly V[]): V => values[int(values.length)] as V
const some = <V>(values: readonly V[]): V[] => values.filter(() => random() < 0.35)

const ZONES = [
  'UTC',
  'Europe/Madrid',
  'America/New_York',
  'Australia/Lord_Howe',
  'Australia/Sydney',
  'Asia/Kathmandu',
  'America/Bogota',
]
/** Clocks of all these zones change in between. */
const BEGIN = T('2026-02-20T00:00:00Z')
const DAYS = 110
const VALUES: Record<Label, readonly string[]> = {
  vendor: ['botmaker', 'koreai'],
  account: ['acme', '__proto__'],
  bot_id: ['b1', 'a,b', 'back\\slash', ' padded ', 'constructor', 'other'],
  channel: ['web', 'voice', 'other'],
  language: ['', 'es', 'pt-BR'],
}
type Word = Measure | 'transfer_rate' | 'containment_rate' | 'duration_avg_ms'
const WORDS: readonly Word[] = [
  'sessions',
  'messages_user',
  'events',
  'duration_ms',
  'agent_transfers',
  'transfer_rate',
  'containment_rate',
  'duration_avg_ms',
]
/** What a measure is made of: numerator and denominator, each a list of counts that are added; a count has no denominator. */
const PARTS: Record<string, [Measure[], Measure[]]> = {
  transfer_rate: [['agent_transfers'], ['sessions']],
  containment_rate: [
    ['sessions_self_service', 'sessions_drop_off'],
    ['sessions_self_service', 'sessions_drop_off', 'sessions_agent'],
  ],
  duration_avg_ms: [['duration_ms'], ['sessions_ended']],
}
const isOfTransfers = (word: Word) => ['agent_transfers', 'transfer_rate', 'containment_rate'].includes(word)
const sumOf = (each: SeriesPoint, of: Measure[]) => of.reduce((sum, measure) => sum + each[measure], 0)

const points: SeriesPoint[] = Array.from({ length: 2500 }, (_, n) =>
  point({
    at: BEGIN + int(DAYS * 1440) * MINUTE,
    revision: n + 1,
    ...(Object.fromEntries(LABELS.map(label => [label, pick(VALUES[label])])) as Record<Label, never>),
    ...Object.fromEntries(MEASURES.map(measure => [measure, int(3) * int(40)])),
  }),
).map(each => ({ ...each, series_key: JSON.stringify(LABELS.map(label => each[label])) }))

const streams: (StreamRead & { feeds: string; tells: boolean })[] = ['session', 'message', 'event'].flatMap(feeds =>
  VALUES.vendor.flatMap(vendor =>
    VALUES.account.flatMap(account =>
      [null, 'b1', 'a,b']
        .filter(() => random() < 0.5)
        .map(bot_id => {
          const from = BEGIN + int(DAYS) * DAY
          const until = from + int(20 * DAY)
          return {
            stream: 'conversations',
            feeds,
            tells: random() < 0.5,
            vendor,
            account,
            bot_id,
            completeUntil: random() < 0.1 ? null : until,
            covered: [
              { from, until },
              { from: until + int(5 * DAY), until: until + int(9 * DAY) },
            ],
          }
        }),
    ),
  ),
)

const isFed = (feeds: string) => (stream: { feeds: string; tells: boolean }) =>
  feeds === 'transfer' ? stream.feeds === 'session' && stream.tells : stream.feeds === feeds

const offsets = new Map<string, number>()
function offsetMs(zone: string, atMs: number): number {
  const quarter = Math.floor(atMs / (15 * MINUTE))
  const key = `${zone}${quarter}`
  const known = offsets.get(key) ?? DateTime.fromMillis(quarter * 15 * MINUTE, { zone }).offset * MINUTE
  offsets.set(key, known)
  return known
}

/** What changes where a bucket begins; it only ever rises, but for buckets of the clock. */
function placeOf(bucket: Bucket, local: number): number {
  const date = new Date(local)
  if (bucket === '1M') return date.getUTCFullYear() * 12 + date.getUTCMonth()
  if (bucket === '1w') return Math.floor((Math.floor(local / DAY) + 3) / 7)
  return Math.floor(local / SIZES[bucket])
}
const SIZES: Record<Bucket, number> = {
  '1m': MINUTE,
  '5m': 5 * MINUTE,
  '15m': 15 * MINUTE,
  '30m': 30 * MINUTE,
  '1h': HOUR,
  '6h': 6 * HOUR,
  '12h': 12 * HOUR,
  '1d': DAY,
  '1w': 7 * DAY,
  '1M': 31 * DAY,
}

/** Starts of all buckets from somewhat before `fromMs` to the first that begins at or after `untilMs`. */
function startsOf(bucket: Bucket, zone: string, fromMs: number, untilMs: number): number[] {
  const ofClock = SIZES[bucket] <= HOUR
  const step = ofClock ? MINUTE : 15 * MINUTE
  const starts: number[] = []
  const begin = Math.floor(fromMs / (15 * MINUTE)) * 15 * MINUTE
  let before = placeOf(bucket, begin - step + offsetMs(zone, begin - step))
  for (let at = begin; starts.length === 0 || (starts.at(-1) as number) < untilMs; at += step) {
    const place = placeOf(bucket, at + offsetMs(zone, at))
    const clockChanged = offsetMs(zone, at) !== offsetMs(zone, at - step)
    if (ofClock ? place !== before || clockChanged : place > before) starts.push(at)
    before = ofClock ? place : Math.max(before, place)
  }
  return starts
}

interface Asked {
  measures: Word[]
  bucket: Bucket
  zone: string
  fromMs: number
  untilMs: number
  window: number
  groupBy: Label[]
  filters: Partial<Record<Label, string[]>>
  top: number | null
}

function naive(asked: Asked) {
  const { measures, bucket, zone, fromMs, untilMs, window, groupBy, filters, top } = asked
  const all = startsOf(bucket, zone, fromMs - (window + 2) * SIZES[bucket] - DAY, untilMs)
  const shown = all.flatMap((start, i) => ((all[i + 1] ?? Infinity) > fromMs && start < untilMs ? [i] : []))
  const kept = points.filter(each => LABELS.every(label => filters[label]?.includes(each[label]) ?? true))
  const newest = new Map(kept.map(each => [`${each.series_key}@${each.bucket_start}`, each]))
  type Group = { labels: Record<string, string>; members: Record<string, string>[]; points: SeriesPoint[] }
  const groups = new Map<string, Group>()
  if (groupBy.length === 0) groups.set('[]', { labels: {}, members: [{}], points: [] })
  for (const each of newest.values()) {
    const labels = Object.fromEntries(groupBy.map(label => [label, each[label]]))
    const key = JSON.stringify(groupBy.map(label => each[label]))
    if (!groups.has(key)) groups.set(key, { labels, members: [labels], points: [] })
    groups.get(key)?.points.push(each)
  }
  const kindOf = (word: Word) =>
    word === 'events' ? 'event' : word.startsWith('messages_') ? 'message' : isOfTransfers(word) ? 'transfer' : 'session'
  const isOfBot = (each: SeriesPoint) => (stream: StreamRead) =>
    stream.vendor === each.vendor && stream.account === each.account && (stream.bot_id ?? each.bot_id) === each.bot_id
  /** Its sessions are read, and nobody can know which were transferred. */
  const isUntold = (each: SeriesPoint) => {
    const own = streams.filter(isOfBot(each))
    return own.some(isFed('session')) && !own.some(isFed('transfer'))
  }
  let ordered = [...groups.values()].sort((a, b) => {
    for (const label of groupBy)
      if (a.labels[label] !== b.labels[label]) return (a.labels[label] as string) < (b.labels[label] as string) ? -1 : 1
    return 0
  })
  const bucketOf = new Map([...newest.values()].map(each => [each, all.findLastIndex(start => start <= each.bucket_start)]))
  const isShown = new Set(shown)
  if (top !== null && groupBy.length > 0 && ordered.length > top) {
    const sizeOf = (group: Group) => {
      const [word] = measures as [Word]
      const all = group.points.filter(each => isShown.has(bucketOf.get(each) ?? -1))
      const parts = PARTS[word]
      if (!parts) return all.reduce((sum, each) => sum + each[word as Measure], 0)
      const told = all.filter(each => !isOfTransfers(word) || !isUntold(each))
      const [above, below] = parts.map(part => told.reduce((sum, each) => sum + sumOf(each, part), 0)) as [number, number]
      return below === 0 ? -1 : above / below
    }
    const isOther = (group: Group) => groupBy.every(label => group.labels[label] === 'other')
    const largest = ordered
      .filter(group => !isOther(group))
      .map(group => ({ group, size: sizeOf(group) }))
      .sort((a, b) => b.size - a.size)
      .slice(0, top)
      .map(({ group }) => group)
    const rest = ordered.filter(group => !largest.includes(group))
    ordered = [
      ...largest,
      {
        labels: Object.fromEntries(groupBy.map(label => [label, 'other'])),
        members: rest.flatMap(({ members }) => members),
        points: rest.flatMap(group => group.points),
      },
    ]
  }

  const streamsOf = (measure: Word, members: Record<string, string>[]) =>
    streams.filter(
      stream =>
        isFed(kindOf(measure))(stream) &&
        members.some(labels =>
          (['vendor', 'account', 'bot_id'] as const).every(label => {
            const value = stream[label]
            return value === null || (label in labels ? labels[label] === value : (filters[label]?.includes(value) ?? true))
          }),
        ),
    )
  const least = (of: StreamRead[]) =>
    of.length === 0 || of.some(({ completeUntil }) => completeUntil === null)
      ? null
      : Math.min(...of.map(each => each.completeUntil as number))

  const series = ordered.flatMap(group =>
    measures.map(measure => {
      const read = streamsOf(measure, group.members)
      const isMade = measure in PARTS
      const [above, below] = PARTS[measure] ?? [[measure as Measure], []]
      /** By bucket, what is above the line of the fraction and what is below. */
      const counted = new Map<number, [number, number]>()
      for (const each of group.points) {
        if (isOfTransfers(measure) && isUntold(each) && (isMade || sumOf(each, above) === 0)) continue
        const at = bucketOf.get(each) ?? -1
        const [over, under] = counted.get(at) ?? [0, 0]
        counted.set(at, [over + sumOf(each, above), under + sumOf(each, below)])
      }
      const sums = all.map((start, i): [number, number] | null => {
        const end = all[i + 1] ?? Infinity
        const isRead = read.some(({ covered }) => covered.some(({ from, until }) => from < until && from < end && until > start))
        return counted.get(i) ?? (isRead ? [0, 0] : null)
      })
      const total = (of: ([number, number] | null)[]) => {
        const parts = of.filter(each => each !== null)
        if (parts.length === 0) return null
        const [over, under] = parts.reduce((a, b) => [a[0] + b[0], a[1] + b[1]], [0, 0])
        if (!isMade) return over
        return under === 0 ? null : over / under
      }
      const values = shown.map(i => total(sums.slice(Math.max(0, i - window + 1), i + 1)))
      const numbers = values.filter(value => value !== null)
      return {
        labels: measures.length === 1 ? group.labels : { ...group.labels, measure },
        values,
        sum: total(shown.map(i => sums[i] ?? null)),
        mean: numbers.length === 0 ? null : numbers.reduce((sum, value) => sum + value, 0) / numbers.length,
        min: numbers.length === 0 ? null : Math.min(...numbers),
        max: numbers.length === 0 ? null : Math.max(...numbers),
        complete_until: least(read),
      }
    }),
  )
  // A measure that no stream is known to give is not complete, and then nor are all of them together.
  const whole = measures
    .filter(measure => !isOfTransfers(measure) || streamsOf(measure, [{}]).length > 0 || streamsOf('sessions', [{}]).length === 0)
    .map(measure => least(streamsOf(measure, [{}])))
  return {
    series,
    x_values: shown.map(i => all[i]),
    complete_until: whole.length === 0 || whole.some(each => each === null) ? null : Math.min(...(whole as number[])),
  }
}

/** How long a range may be so that the other implementation ends in a while. */
const LONGEST: Record<Bucket, number> = {
  '1m': 3 * HOUR,
  '5m': 12 * HOUR,
  '15m': 2 * DAY,
  '30m': 3 * DAY,
  '1h': 4 * DAY,
  '6h': 12 * DAY,
  '12h': 20 * DAY,
  '1d': 40 * DAY,
  '1w': 60 * DAY,
  '1M': 90 * DAY,
}

function ask(): { asked: Asked; parameters: Record<string, string | string[]> } {
  const bucket = pick(BUCKETS)
  const measures = [...new Set([pick(WORDS), pick(WORDS)])]
  const zone = pick(ZONES)
  const fromMs = BEGIN + int(DAYS * DAY - LONGEST[bucket])
  const untilMs = fromMs + 1 + int(LONGEST[bucket])
  const window = random() < 0.5 ? 1 : 1 + int(bucket === '1M' ? 2 : bucket === '1w' ? 4 : 12)
  const groupBy = some(LABELS)
  const filters: Asked['filters'] = {}
  for (const label of LABELS) {
    const values = some(VALUES[label])
    // A lone language that is none cannot be said: an empty parameter is as absent.
    if (values.length > 0 && !(values.length === 1 && values[0] === '')) filters[label] = values
  }
  const top = random() < 0.3 ? 1 + int(4) : null
  const asked = { measures, bucket, zone, fromMs, untilMs, window, groupBy, filters, top }

  const escaped = (value: string) => value.replaceAll('\\', '\\\\').replaceAll(',', '\\,')
  const listed = (values: string[]) => (random() < 0.5 ? values.map(escaped).join(',') : values.map(escaped))
  const size = SIZES[bucket] / MINUTE
  return {
    asked,
    parameters: {
      measure: random() < 0.5 ? measures.join(', ') : measures,
      bucket,
      tz: zone,
      from: random() < 0.5 ? String(fromMs) : new Date(fromMs).toISOString(),
      until: random() < 0.5 ? String(untilMs) : new Date(untilMs).toISOString(),
      rolling: window === 1 ? '' : bucket === '1M' ? `${window}M` : `${window * size}m`,
      group_by: groupBy.join(','),
      top: top === null ? '' : String(top),
      ...Object.fromEntries(
        LABELS.map(label => {
          const values = filters[label] ?? []
          // An empty text beside others is said in a comma list only.
          return [label, values.includes('') ? values.map(escaped).join(',') : listed(values)]
        }),
      ),
    },
  }
}

test(`${ROUNDS} random queries equal another implementation (seed ${SEED})`, () => {
  const store = createStore()
  for (const each of points) store.put(each)
  const completeness = { streams: (feeds: string) => streams.filter(isFed(feeds)) }
  for (let round = 0; round < ROUNDS; round++) {
    const { asked, parameters } = ask()
    const { data, complete_until } = finish(answerQuery(parseQuery(parameters, BEGIN), store, completeness))
    const ms = (iso: string | null) => (iso === null ? null : Date.parse(iso))
    const answer = {
      series: data.series.map(series => ({ ...series, complete_until: ms(series.complete_until) })),
      x_values: data.x_values.map(ms),
      complete_until: ms(complete_until),
    }
    expect({ round, parameters, ...answer }).toEqual({ round, parameters, ...naive(asked) })
  }
}, 120_000)
