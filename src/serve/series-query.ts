/** `/v1/series`: what can be asked, as the schema that checks the request and documents it, and what a question is once it is read. */
import { z } from 'zod'
import type { Steps } from '../slices.ts'
import { BUCKET_MS, BUCKETS, type Bucket, type Edges, edgeSteps, isoIn, type Zone } from './buckets.ts'
import { MEASURE_TABLE, SERIES_MEASURES, type SeriesMeasure } from './measures.ts'
import {
  count,
  type Filters,
  filtersOf,
  invalidParameter,
  labelFilters,
  listOfWords,
  oneOf,
  readParameters,
  time,
  timeParameter,
  timeZone,
  zoneParameter,
} from './parameters.ts'
import { LABELS, type Label } from './store.ts'

/** Most buckets of one series, and of one rolling window. */
export const MOST_POINTS = 50_000

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const FORMATS = ['json', 'csv'] as const
const SHAPES = ['series', 'rows'] as const
const TAKES_LENGTH = 'takes a length such as 15m, 1h, 24h or 7d, a multiple of the bucket'

export const SeriesParameters = z.object({
  measure: listOfWords(SERIES_MEASURES as [SeriesMeasure, ...SeriesMeasure[]])
    .describe('Measures, as a comma list. With several of them each series carries `measure` in its labels')
    .meta({ examples: [['sessions'], ['sessions', 'transfer_rate']] }),
  bucket: oneOf(BUCKETS)
    .default('1h')
    .describe(
      'Length of the buckets. Up to an hour they follow the clock of `tz`, longer ones its calendar; weeks begin on Monday. Older records are kept by the hour, and then by the UTC day (`aggregator.retention`): they count in the bucket in which that hour or day begins, and buckets shorter than an hour, or a day, are null there',
    ),
  from: time()
    .optional()
    .describe(
      'Begin. ISO 8601 (without an offset: in `tz`), epoch milliseconds, or counted from now. Absent: a day before `until`',
    ),
  until: time().optional().describe('End, exclusive, in the same forms. Absent: now'),
  group_by: listOfWords(LABELS)
    .default([])
    .describe('Labels, as a comma list: one series for each combination of their values. Absent: one series')
    .meta({ examples: [['channel'], ['vendor', 'account']] }),
  ...labelFilters,
  tz: timeZone().default('UTC').describe('Time zone of buckets, and of times without an offset'),
  rolling: z
    .string()
    .regex(/^[1-9]\d{0,5}[mhdwM]$/, TAKES_LENGTH)
    .optional()
    .describe(
      'Each value is that of the window of this length that ends with its bucket; a multiple of the bucket (months in months)',
    )
    .meta({ examples: ['24h'] }),
  top: count(1, 9999, 'takes how many of the largest series are shown, 1 to 9999')
    .optional()
    .describe(
      'Only so many groups, those with the largest `sum` of the first measure; the rest is one series, with `other` in each label',
    )
    .meta({ examples: [5] }),
  shape: oneOf(SHAPES)
    .default('series')
    .describe('`series`: one object a series. `rows`: one a value, `{time, <labels>, value}`, in the order of time'),
  format: oneOf(FORMATS).default('json').describe('`csv`: a line a bucket and group with a column a measure, or a line a row'),
})

export interface SeriesQuery {
  readonly measures: readonly SeriesMeasure[]
  readonly bucket: Bucket
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
  readonly groupBy: readonly Label[]
  /** Values that a label may have; a label that is absent may have any. */
  readonly filters: Filters
  readonly zone: Zone
  /** Buckets that each value stands for, the one it is shown at included; 1: no rolling. */
  readonly window: number
  /** So many largest series, the rest as one; null: all. */
  readonly top: number | null
  readonly shape: (typeof SHAPES)[number]
  readonly format: (typeof FORMATS)[number]
  /** Only minutes that begin in the range count in its first and last bucket. Absent: every bucket that the range touches is whole. */
  readonly isCut?: boolean
}

/** @throws FlowError QUERY_INVALID that names the parameter and what it takes. */
export function parseQuery(parameters: Readonly<Record<string, unknown>>, nowMs: number): SeriesQuery {
  const given = readParameters('/v1/series', SeriesParameters, parameters)
  const { bucket } = given
  const zone = zoneParameter(given.tz)
  const untilMs = timeParameter('until', given.until, zone, nowMs) ?? nowMs
  const fromMs = timeParameter('from', given.from, zone, nowMs) ?? untilMs - DAY_MS
  if (fromMs >= untilMs) throw invalidParameter('from', 'must lie before until')
  const least = bucket === '1M' ? 28 * DAY_MS : BUCKET_MS[bucket]
  if ((untilMs - fromMs) / least > MOST_POINTS) {
    throw invalidParameter(
      'bucket',
      `asks for more than ${MOST_POINTS} points from ${isoIn(zone, fromMs)} on; take a longer bucket or a shorter range`,
    )
  }
  return {
    measures: [...new Set(given.measure)],
    bucket,
    fromMs,
    untilMs,
    groupBy: [...new Set(given.group_by)],
    filters: filtersOf(given),
    zone,
    window: windowOf(given.rolling, bucket),
    top: given.top ?? null,
    shape: given.shape,
    format: given.format,
  }
}

/** The edges of the query's buckets. */
export function* edgesIn({ bucket, zone, fromMs, untilMs, window, isCut }: SeriesQuery): Steps<Edges> {
  const found = yield* edgeSteps(bucket, zone, fromMs, untilMs, window - 1, MOST_POINTS)
  if (isCut !== true) return found
  // A minute counts where it begins, and edges lie on whole minutes.
  const minuteFrom = (ms: number) => Math.ceil(ms / MINUTE_MS) * MINUTE_MS
  const edges = found.edges.map(edge => Math.min(Math.max(edge, minuteFrom(fromMs)), minuteFrom(untilMs)))
  return { edges, first: found.first }
}

/** How many buckets one value stands for. */
function windowOf(text: string | undefined, bucket: Bucket): number {
  if (text === undefined) return 1
  const takes = `${TAKES_LENGTH} (${bucket})`
  const count = Number(text.slice(0, -1))
  const unit = text.slice(-1)
  if ((unit === 'M') !== (bucket === '1M')) throw invalidParameter('rolling', `${takes}; months are counted in months`)
  const lengthMs = { m: 60_000, h: 3_600_000, d: DAY_MS, w: 7 * DAY_MS }[unit] ?? 0
  const window = bucket === '1M' ? count : (count * lengthMs) / BUCKET_MS[bucket]
  if (!Number.isInteger(window)) throw invalidParameter('rolling', takes)
  if (window > MOST_POINTS) throw invalidParameter('rolling', `${takes}, of at most ${MOST_POINTS} buckets`)
  return window
}

/** Sketches of the points that the query looks at, each once. */
export const sketchesOf = ({ measures }: Pick<SeriesQuery, 'measures'>) =>
  new Set(measures.flatMap(measure => MEASURE_TABLE[measure].sketch?.name ?? []))

/** Columns of the points that the query looks at, each once. */
export const columnsOf = ({ measures }: Pick<SeriesQuery, 'measures'>) =>
  new Set(measures.flatMap(measure => MEASURE_TABLE[measure].columns))
