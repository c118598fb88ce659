/**
 * The vendor's own statistics: the requests for the buckets that ended in a window, and the points in their answers.
 *
 * Buckets are assumed to be in UTC, but the `x_values` that the vendor returns decide (where weeks begin is not documented): each request begins a bucket
 * earlier than it must, so that every bucket of the window is complete and the range longer than the bucket, and points of other buckets are dropped. It begins
 * where a bucket would in UTC (weeks on Monday), for a vendor that counts buckets from the beginning of the range.
 */
import { z } from 'zod'
import {
  contentId,
  FlowError,
  type Http,
  isObject,
  type Json,
  jsonOf,
  type Loose,
  number,
  objectOf,
  type Page,
  type Window,
} from '../../src/source/index.ts'
import { answered, isAnswer } from './answer.ts'
import { instant, sorted, type Unreadable } from './rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** 1970-01-05. */
const A_MONDAY_MS = 4 * DAY_MS

export type Bucket = '1h' | '1d' | '1w' | '1m'
/** A month: as long as the longest. */
export const BUCKET_MS: Readonly<Record<Bucket, number>> = { '1h': HOUR_MS, '1d': DAY_MS, '1w': 7 * DAY_MS, '1m': 31 * DAY_MS }

export const STATS = ['num_conversations', 'duration_seconds', 'num_messages'] as const

/** Channels and languages of a series; without one: all. */
export type Filter = Readonly<Partial<Record<'channel_type' | 'language', readonly string[]>>>

/** One request, and how to read its answer. */
export interface Question {
  /** Names the question among those of its window. */
  readonly key: string
  readonly endpoint: string
  readonly path: string
  readonly version?: string
  /** Null: the operation has none. */
  readonly bucket: Bucket | null
  readonly groupBy: readonly string[]
  readonly stat: string | null
  readonly range: Window
  /** 404, 405 and 501 mean that this installation lacks the operation. */
  readonly mayLack?: boolean
  readonly filter?: Filter
  /** Several values of a filter are sent by repeating its name, not with commas between them. */
  readonly isRepeated?: boolean
}

/** The longest window: with the addition of `rangeFor`, requests are for at most 31 days (no limit is documented), except for months. */
export const LONGEST_MS: Readonly<Record<Bucket, number>> = {
  '1h': 30 * DAY_MS,
  '1d': 28 * DAY_MS,
  '1w': 14 * DAY_MS,
  '1m': 31 * DAY_MS,
}

/** The shortest window for retries of a rejected range. */
export const SMALLEST_MS: Readonly<Record<Bucket, number>> = { ...BUCKET_MS, '1h': 12 * HOUR_MS }

/** A range that contains every bucket that ends in `(from, until]`, and is longer than one. */
export function rangeFor(bucket: Bucket, { fromMs, untilMs }: Window): Window {
  const unitMs = Math.min(BUCKET_MS[bucket], DAY_MS)
  return { fromMs: bucketOf(bucket, fromMs - BUCKET_MS[bucket]), untilMs: Math.ceil(untilMs / unitMs) * unitMs }
}

/** Beginning of the time's bucket, epoch milliseconds. */
function bucketOf(bucket: Bucket, ms: number): number {
  const date = new Date(ms)
  if (bucket === '1m') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth())
  const lengthMs = BUCKET_MS[bucket]
  const firstMs = bucket === '1w' ? A_MONDAY_MS : 0
  return Math.floor((ms - firstMs) / lengthMs) * lengthMs + firstMs
}

/** The days, UTC, that end in `(from, until]`. */
export function daysEndingIn({ fromMs, untilMs }: Window): Window[] {
  const days: Window[] = []
  for (let endMs = (Math.floor(fromMs / DAY_MS) + 1) * DAY_MS; endMs <= untilMs; endMs += DAY_MS)
    days.push({ fromMs: endMs - DAY_MS, untilMs: endMs })
  return days
}

const SeriesAnswer = z
  .looseObject({ data: z.looseObject({ series: z.array(z.unknown()).nullish() }).nullish() })
  .refine(body => isAnswer(body, body.data?.series, ['data']) && isAnswer(body.data ?? {}, body.data?.series, DATA))

/** Documented fields of `data`. */
const DATA = ['series', 'series_labels', 'x_values']

/** A page for each question, in their order; `resume` is the key of the next, with a hash of all: among other questions it is invalid. */
export async function* askAll(
  questions: readonly Question[],
  reading: { readonly window: Window; readonly resume: Json; readonly http: Http },
): AsyncIterable<Page> {
  const all = contentId(...questions.map(({ key }) => key)).slice(0, 12)
  const { next, among } = (reading.resume ?? {}) as { next?: unknown; among?: unknown }
  const first = reading.resume === null ? 0 : among === all ? questions.findIndex(({ key }) => key === next) : -1
  if (first < 0) throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'the config now has other series than before' })
  for (const [place, question] of questions.entries()) {
    if (place < first) continue
    const answer = await ask(question, reading.http).catch((error: unknown) => {
      throw tooLong(error, question, reading.window)
    })
    const after = questions[place + 1]
    yield {
      rows: pointsOf(answer, question, reading.window),
      resume: after === undefined ? null : { next: after.key, among: all },
    }
  }
}

/**
 * A rejection of a range that can be shorter may be because of its length, which no error distinguishes: shorter ones are requested, and the shortest decides.
 */
function tooLong(error: unknown, { bucket }: Question, { fromMs, untilMs }: Window): unknown {
  const isRefusal =
    error instanceof FlowError && error.code === 'SRC_REFUSED' && [400, 413, 422].includes(Number(error.details['status']))
  if (!isRefusal || bucket === null || untilMs - fromMs <= SMALLEST_MS[bucket]) return error
  return new FlowError('SRC_WINDOW_TOO_LARGE', error.details, error)
}

async function ask(question: Question, http: Http): Promise<z.output<typeof SeriesAnswer>> {
  const { path, version, bucket, groupBy, stat, range, mayLack, filter = {}, isRepeated = false } = question
  const written = (values: readonly string[] | undefined) => (isRepeated ? values : values?.join(','))
  const query = {
    version,
    start_time: new Date(range.fromMs).toISOString(),
    end_time: new Date(range.untilMs).toISOString(),
    channel_type: written(filter.channel_type),
    language: written(filter.language),
    stat,
    bucket,
    group_by: groupBy.length === 0 ? null : groupBy.join(','),
  }
  const emptyStatus = mayLack ? [404, 405, 501] : []
  return answered<z.output<typeof SeriesAnswer>>(
    empty => http.getJson(path, query, SeriesAnswer, { empty, emptyStatus }),
    {},
    ({ data }) => data?.series,
  )
}

/**
 * A row for each value of each series, of the buckets that end in `(from, until]`. A null value is not a point. A series without values, or with the name of
 * another one in its answer, is one row, for the dead letters.
 */
function pointsOf({ data }: z.output<typeof SeriesAnswer>, question: Question, window: Window): unknown[] {
  const { endpoint, bucket, groupBy, stat, range, filter = {} } = question
  const series = data?.series ?? []
  const xValues = listOf(data?.['x_values'])
  const seriesLabels = listOf(data?.['series_labels'])
  const names = series.map((_, place) => (seriesLabels.length === series.length ? seriesLabels[place] : undefined))
  const labelled = series.map((one, place) => labelsOf(objectOf(one)['labels'], names[place], groupBy))
  const words = labelled.map(labels => JSON.stringify(sorted(labels)))
  return series.flatMap((one, place) => {
    const { values, labels: _labels, ...others } = objectOf(one)
    const unreadable = (name: string, message: string): Unreadable => ({
      fault: { path: ['data', 'series', place, name], message },
      endpoint,
      stat,
      series: one,
    })
    const list = listOf(values)
    if (list.length === 0 && (xValues.length > 0 || !isObject(one) || !Array.isArray(values ?? [])))
      return [unreadable('values', 'is not a list of values')]
    if (list.length === 0 && ['sum', 'max'].some(name => (number(others[name]) ?? 0) !== 0))
      return [unreadable('values', 'is missing, though the series sums some up')]
    if (list.length === 0) return []
    if (words.indexOf(words[place] as string) !== words.lastIndexOf(words[place] as string))
      return [unreadable('labels', 'is the same as of another series')]
    const missing = list.length < xValues.length ? [unreadable('values', `has ${list.length} of ${xValues.length} values`)] : []
    const points = list.flatMap((value, at) => {
      // A statistic of a day needs no x; several numbers are distinguished by their positions.
      const bare = bucket === null && xValues.length === 0
      const x = bare ? null : xValues[at]
      if (value === null || (bucket !== null && !endsIn(bucket, x, window))) return []
      return {
        endpoint,
        bucket,
        groupBy: groupBy.length === 0 ? null : groupBy.join(','),
        stat,
        labels: labelled[place],
        seriesLabel: typeof names[place] === 'string' ? names[place] : null,
        series: others,
        x: typeof x === 'number' ? String(x) : x,
        place: bare && list.length > 1 ? at : null,
        value,
        filter: Object.keys(filter).length === 0 ? null : filter,
        ...range,
      }
    })
    return [...points, ...missing]
  })
}

/** A bucket with an unreadable beginning is kept as it comes. */
function endsIn(bucket: Bucket, x: unknown, { fromMs, untilMs }: Window): boolean {
  const startMs = instant(x)
  if (startMs === null) return true
  const endMs = bucket === '1m' ? monthAfter(startMs) : startMs + BUCKET_MS[bucket]
  return fromMs < endMs && endMs <= untilMs
}

function monthAfter(ms: number): number {
  const date = new Date(ms)
  return date.setUTCMonth(date.getUTCMonth() + 1)
}

/**
 * `labels` if there are any; else the series' name in `series_labels`, which may also contain the names of the labels (both readings are assumed). Several
 * group keys are assumed to be in the requested order, separated by commas.
 */
function labelsOf(raw: unknown, name: unknown, groupBy: readonly string[]): Loose {
  if (isObject(raw) && Object.keys(raw).length > 0)
    return Object.fromEntries(
      Object.entries(raw).map(([key, value]) => [key, typeof value === 'string' ? value : (jsonOf(value) ?? 'null')]),
    )
  const parts = typeof name === 'string' ? name.split(',').map(part => part.trim()) : []
  if (typeof name !== 'string' || name === '' || parts.some(part => groupBy.includes(part))) return {}
  if (groupBy.length > 1 && parts.length === groupBy.length)
    return Object.fromEntries(groupBy.map((key, place) => [key, parts[place]]))
  return { [groupBy.length === 1 ? (groupBy[0] as string) : 'series']: name }
}

function listOf(raw: unknown): unknown[] {
  return Array.isArray(raw) ? raw : []
}
