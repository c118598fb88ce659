/**
 * `/v1/series`: what a question is, and its answer from the store. Pure: time, store and completeness are handed in.
 */
import { DateTime } from 'luxon'
import { FlowError } from '../errors.ts'
import { CHANNELS, MEASURES, type Measure, type TimeRange } from '../records.ts'
import { BUCKET_MS, BUCKETS, type Bucket, edgesOf, isoIn, type Zone, zoneOf } from './buckets.ts'
import { LABELS, type Label, type SeriesLabels, type SeriesStore } from './store.ts'

/** Most buckets of one series, and most values of one answer. */
export const MOST_POINTS = 50_000
export const MOST_VALUES = 1_000_000

const DAY_MS = 86_400_000
const PARAMETERS = ['measure', 'bucket', 'from', 'until', 'group_by', ...LABELS, 'tz', 'rolling'] as const

export interface SeriesQuery {
  readonly measure: Measure
  readonly bucket: Bucket
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
  readonly groupBy: readonly Label[]
  /** Values that a label may have; a label that is absent may have any. */
  readonly filters: Readonly<Partial<Record<Label, readonly string[]>>>
  readonly zone: Zone
  /** Buckets that each value sums, the one it is shown at included; 1: no rolling. */
  readonly window: number
}

/** Streams that could have told something about these bots; an absent part stands for all. */
export interface StreamFilter {
  readonly vendor?: readonly string[]
  readonly account?: readonly string[]
  readonly bot_id?: readonly string[]
  /** Only streams that tell this kind of record. */
  readonly feeds?: 'session' | 'message' | 'event'
}

/** What has been read, as `Progress` tells it and our own reading has caught up with it. */
export interface Completeness {
  /** Least over the streams; null where one of them, or none at all, has said nothing yet. */
  completeUntil(filter: StreamFilter): number | null
  /** Ranges that at least one of the streams has read. */
  covered(filter: StreamFilter): readonly TimeRange[]
}

export interface SeriesAnswer {
  readonly data: {
    readonly series: readonly AnsweredSeries[]
    readonly series_labels: readonly string[]
    readonly x_values: readonly string[]
  }
  readonly complete_until: string | null
}

export interface AnsweredSeries {
  readonly labels: Readonly<Partial<Record<Label, string>>>
  readonly values: readonly (number | null)[]
  readonly sum: number | null
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
}

/** @throws FlowError QUERY_INVALID that names the parameter and what it takes. */
export function parseQuery(parameters: Readonly<Record<string, unknown>>, nowMs: number): SeriesQuery {
  for (const name of Object.keys(parameters)) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      throw invalid(name, `is not a parameter of /v1/series; known are ${PARAMETERS.join(', ')}`)
    }
  }
  const once = (name: (typeof PARAMETERS)[number]): string | undefined => {
    const value = parameters[name]
    if (value === undefined) return undefined
    if (typeof value !== 'string') throw invalid(name, 'stands more than once')
    return value.trim()
  }
  const oneOf = <T extends string>(name: (typeof PARAMETERS)[number], known: readonly T[], missing?: T): T => {
    const value = once(name) ?? missing
    const found = known.find(each => each === value)
    if (found === undefined)
      throw invalid(name, `${value === undefined ? 'is required' : 'is not known'}; it takes one of ${known.join(', ')}`)
    return found
  }

  const measure = oneOf('measure', MEASURES)
  const bucket = oneOf('bucket', BUCKETS, '1h')
  const zone = zoneOf(once('tz') ?? 'UTC')
  if (!zone) throw invalid('tz', 'takes the IANA name of a time zone, such as Europe/Madrid')

  const untilMs = parseTime('until', once('until'), zone) ?? nowMs
  const fromMs = parseTime('from', once('from'), zone) ?? untilMs - DAY_MS
  if (fromMs >= untilMs) throw invalid('from', 'must lie before until')
  const least = bucket === '1M' ? 28 * DAY_MS : BUCKET_MS[bucket]
  if ((untilMs - fromMs) / least > MOST_POINTS) {
    throw invalid(
      'bucket',
      `asks for more than ${MOST_POINTS} points from ${isoIn(zone, fromMs)} on; take a longer bucket or a shorter range`,
    )
  }

  const groupBy = [...new Set(listOf(once('group_by')) ?? [])].map(name => {
    const label = LABELS.find(each => each === name)
    if (!label) throw invalid('group_by', `takes a comma list of ${LABELS.join(', ')}`)
    return label
  })

  const filters: Partial<Record<Label, readonly string[]>> = {}
  for (const label of LABELS) {
    const value = parameters[label]
    const values = Array.isArray(value) ? value.flatMap(each => listOf(String(each)) ?? []) : listOf(once(label))
    if (values === undefined) continue
    // No language is a language here: series of records without one.
    if (label !== 'language' && values.includes('')) throw invalid(label, 'takes a comma list of values, none of them empty')
    const strange = label === 'channel' && values.find(each => !(CHANNELS as readonly string[]).includes(each))
    if (typeof strange === 'string') throw invalid(label, `takes a comma list of ${CHANNELS.join(', ')}`)
    filters[label] = values
  }

  return { measure, bucket, fromMs, untilMs, groupBy, filters, zone, window: parseRolling(once('rolling'), bucket) }
}

/** @throws FlowError QUERY_INVALID when the answer would be too large. */
export function answerQuery(query: SeriesQuery, store: SeriesStore, completeness: Completeness): SeriesAnswer {
  const { measure, zone, window } = query
  const edges = edgesOf(query.bucket, zone, query.fromMs, query.untilMs, window - 1, MOST_POINTS)
  const buckets = edges.length - 1
  const points = buckets - (window - 1)
  const starts = edges.slice(window - 1, -1)

  const groups = groupsOf(query, store)
  if (groups.length * points > MOST_VALUES) {
    throw invalid(
      'group_by',
      `asks for ${groups.length} series of ${points} points; at most ${MOST_VALUES} values are answered at once`,
    )
  }

  const coverage = new Map<string, Uint8Array>()
  const series = groups.map(group => {
    const sums = new Float64Array(buckets)
    const known = new Uint8Array(buckets)
    for (const each of group.series) each.addInto(measure, edges, sums, known)
    const key = JSON.stringify(group.streams)
    let read = coverage.get(key)
    if (!read) {
      read = touched(edges, completeness.covered({ ...group.streams, feeds: kindOf(measure) }))
      coverage.set(key, read)
    }
    for (let at = 0; at < buckets; at++) if (read[at] === 1) known[at] = 1
    const values = rolled(sums, known, window)
    return { labels: group.labels, values, ...summary(values) }
  })

  const completeUntil = completeness.completeUntil({ ...streamsOf(query.filters, {}), feeds: kindOf(measure) })
  return {
    data: {
      series,
      series_labels: groups.map(group => (query.groupBy.length === 0 ? measure : nameOf(group.labels, query.groupBy))),
      x_values: starts.map(start => isoIn(zone, start)),
    },
    complete_until: completeUntil === null ? null : isoIn(zone, completeUntil),
  }
}

interface Group {
  readonly labels: Partial<Record<Label, string>>
  readonly streams: StreamFilter
  readonly series: SeriesStore['series'][number][]
}

/** Every group that any series belongs to, also where it has nothing in the range: a line does not come and go with its traffic. */
function groupsOf({ groupBy, filters }: SeriesQuery, store: SeriesStore): Group[] {
  const wanted = LABELS.flatMap(label => (filters[label] ? [{ label, values: new Set(filters[label]) }] : []))
  const groups = new Map<string, Group>()
  const groupFor = (labels: Partial<Record<Label, string>>): Group => {
    const key = JSON.stringify(groupBy.map(label => labels[label]))
    let group = groups.get(key)
    if (!group) {
      group = { labels, streams: streamsOf(filters, labels), series: [] }
      groups.set(key, group)
    }
    return group
  }
  if (groupBy.length === 0) groupFor({})
  for (const series of store.series) {
    if (!wanted.every(({ label, values }) => values.has(series.labels[label]))) continue
    groupFor(picked(series.labels, groupBy)).series.push(series)
  }
  return [...groups.values()].sort((a, b) => {
    for (const label of groupBy) {
      const [left = '', right = ''] = [a.labels[label], b.labels[label]]
      if (left !== right) return left < right ? -1 : 1
    }
    return 0
  })
}

const picked = (labels: SeriesLabels, names: readonly Label[]): Partial<Record<Label, string>> =>
  Object.fromEntries(names.map(name => [name, labels[name]]))

/** The streams behind a group. Channel and language are not told by streams: any of a bot's streams may hold any of them. */
function streamsOf(filters: SeriesQuery['filters'], labels: Partial<Record<Label, string>>): StreamFilter {
  const of = (label: 'vendor' | 'account' | 'bot_id') => {
    const one = labels[label]
    const values = one === undefined ? filters[label] : [one]
    return values === undefined ? {} : { [label]: values }
  }
  return { ...of('vendor'), ...of('account'), ...of('bot_id') }
}

const nameOf = (labels: Partial<Record<Label, string>>, groupBy: readonly Label[]) =>
  groupBy.map(label => labels[label] || '(none)').join(' / ')

/** The kind of record that a measure counts. */
function kindOf(measure: Measure): 'session' | 'message' | 'event' {
  return measure === 'events' ? 'event' : measure.startsWith('messages_') ? 'message' : 'session'
}

/** 1 for every bucket of which some part lies in a range. */
function touched(edges: readonly number[], ranges: readonly TimeRange[]): Uint8Array {
  const marks = new Uint8Array(edges.length - 1)
  for (const { from, until } of ranges) {
    if (until <= from) continue
    let low = 0
    let high = marks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((edges[middle + 1] ?? 0) <= from) low = middle + 1
      else high = middle
    }
    for (let at = low; at < marks.length && (edges[at] ?? 0) < until; at++) marks[at] = 1
  }
  return marks
}

/** Each value is the sum of `window` buckets up to its own; null where nothing is known of any of them. */
function rolled(sums: Float64Array, known: Uint8Array, window: number): (number | null)[] {
  const values: (number | null)[] = []
  let sum = 0
  let count = 0
  for (let at = 0; at < sums.length; at++) {
    sum += sums[at] ?? 0
    count += known[at] ?? 0
    if (at >= window) {
      sum -= sums[at - window] ?? 0
      count -= known[at - window] ?? 0
    }
    if (at >= window - 1) values.push(count > 0 ? sum : null)
  }
  return values
}

function summary(values: readonly (number | null)[]): Pick<AnsweredSeries, 'sum' | 'mean' | 'min' | 'max'> {
  let sum = 0
  let count = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value === null) continue
    sum += value
    count += 1
    if (value < min) min = value
    if (value > max) max = value
  }
  return count === 0 ? { sum: null, mean: null, min: null, max: null } : { sum, mean: sum / count, min, max }
}

function listOf(text: string | undefined): string[] | undefined {
  return text === undefined ? undefined : text.split(',').map(each => each.trim())
}

/** ISO 8601 (without an offset: in the zone of the query) or epoch milliseconds. */
function parseTime(name: 'from' | 'until', text: string | undefined, zone: Zone): number | undefined {
  if (text === undefined) return undefined
  let ms = Number.NaN
  if (/^\d{5,}$/.test(text)) ms = Number(text)
  // A plus sign that was not percent-encoded arrives as a blank.
  else if (/^\d{4}-/.test(text)) ms = DateTime.fromISO(text.replace(/ (\d\d:?\d\d)$/, '+$1'), { zone: zone.name }).toMillis()
  if (!Number.isFinite(ms) || ms > 8_000_000_000_000) {
    throw invalid(name, 'takes a time as ISO 8601, such as 2026-11-01T00:00:00Z, or epoch milliseconds')
  }
  return ms
}

/** How many buckets one value sums. */
function parseRolling(text: string | undefined, bucket: Bucket): number {
  if (text === undefined) return 1
  const takes = `takes a length such as 15m, 1h, 24h or 7d, a multiple of the bucket (${bucket})`
  const [, digits, unit] = /^([1-9]\d{0,5})([mhdwM])$/.exec(text) ?? []
  if (digits === undefined || unit === undefined) throw invalid('rolling', takes)
  const count = Number(digits)
  if ((unit === 'M') !== (bucket === '1M')) throw invalid('rolling', `${takes}; months are counted in months`)
  const lengthMs = { m: 60_000, h: 3_600_000, d: DAY_MS, w: 7 * DAY_MS }[unit] ?? 0
  const window = bucket === '1M' ? count : (count * lengthMs) / BUCKET_MS[bucket]
  if (!Number.isInteger(window)) throw invalid('rolling', takes)
  if (window > MOST_POINTS) throw invalid('rolling', `${takes}, of at most ${MOST_POINTS} buckets`)
  return window
}

const invalid = (parameter: string, hint: string): FlowError =>
  new FlowError('QUERY_INVALID', { parameter, hint: `${parameter} ${hint}` })
