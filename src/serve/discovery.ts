/** `/v1/labels` and `/v1/measures`: what `/v1/series` can be asked for. */
import { z } from 'zod'
import { FlowError } from '../errors.ts'
import { MEASURE_TABLE, SERIES_MEASURES, type SeriesMeasure, valueOf } from './measures.ts'
import {
  type Filters,
  filtersOf,
  invalidParameter,
  labelFilters,
  listOfWords,
  readParameters,
  time,
  timeParameter,
  UTC,
} from './parameters.ts'
import { MOST_SCANNED } from './query.ts'
import { type Completeness, readingOf } from './reading.ts'
import type { Steps } from '../slices.ts'
import { LABELS, type Label, type SeriesSnapshot, type SeriesStore } from './store.ts'

export const LabelPath = z.object({ name: z.enum(LABELS).describe('Name of the label') })

export const ValueParameters = z.object({
  measure: listOfWords(SERIES_MEASURES as [SeriesMeasure, ...SeriesMeasure[]])
    .optional()
    .describe(
      'Only values of which one of these measures, as a comma list, counted something. Absent: of any series with a point',
    )
    .meta({ examples: [['agent_transfers']] }),
  from: time()
    .optional()
    .describe('Begin. ISO 8601 (without an offset: in UTC), epoch milliseconds, or counted from now. Absent: the oldest point'),
  until: time().optional().describe('End, exclusive, in the same forms. Absent: the newest point'),
  ...labelFilters,
})

export interface ValueQuery {
  readonly label: Label
  /** Empty: any point will do. */
  readonly measures: readonly SeriesMeasure[]
  readonly filters: Filters
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
}

/** @throws FlowError NOT_FOUND for a label that there is not, QUERY_INVALID for a parameter. */
export function parseValueQuery(name: string, parameters: Readonly<Record<string, unknown>>, nowMs: number): ValueQuery {
  const label = LABELS.find(each => each === name)
  if (label === undefined)
    throw new FlowError('NOT_FOUND', { hint: `there is no label ${name.slice(0, 100)}; known are ${LABELS.join(', ')}` })
  const given = readParameters(`/v1/labels/${label}`, ValueParameters, parameters)
  const fromMs = timeParameter('from', given.from, UTC, nowMs) ?? Number.NEGATIVE_INFINITY
  const untilMs = timeParameter('until', given.until, UTC, nowMs) ?? Number.POSITIVE_INFINITY
  if (fromMs >= untilMs) throw invalidParameter('from', 'must lie before until')
  return { label, measures: [...new Set(given.measure)], filters: filtersOf(given), fromMs, untilMs }
}

/**
 * The values, sorted.
 *
 * @throws FlowError QUERY_INVALID when more would have to be looked at than one query may.
 */
export function* labelValues(query: ValueQuery, store: SeriesStore, completeness: Completeness): Steps<string[]> {
  const { label, filters, fromMs, untilMs } = query
  const specs = query.measures.map(measure => MEASURE_TABLE[measure])
  const reading = readingOf(
    specs.map(({ kind }) => kind),
    completeness,
  )
  const wanted = LABELS.flatMap(each => (filters[each] ? [{ label: each, values: new Set(filters[each]) }] : []))
  const edges = [fromMs, untilMs]

  /** Whether one of the measures counted something. */
  function* counted(series: SeriesSnapshot): Steps<boolean> {
    for (const spec of specs) {
      const isMade = spec.of !== undefined
      if (isMade && spec.kind === 'transfer' && reading.hasUntold && reading.isUntold(series.labels)) continue
      const sums: number[] = []
      for (const column of spec.columns) {
        const sum = new Float64Array(1)
        yield* series.addInto(column, edges, sum, new Uint8Array(1))
        sums.push(sum[0] ?? 0)
      }
      const value = valueOf(spec, sums)
      if (value !== null && (isMade || value > 0)) return true
    }
    return false
  }

  const found = new Set<string>()
  let scanned = 0
  for (const [at, stored] of store.snapshot().entries()) {
    if (at % 64 === 63) yield
    const value = stored.labels[label]
    if (found.has(value) || !wanted.every(each => each.values.has(stored.labels[each.label]))) continue
    const series = stored.snapshot(fromMs, untilMs)
    const cells = series.cellsIn(fromMs, untilMs)
    if (cells === 0) continue
    if (specs.length === 0) {
      found.add(value)
      continue
    }
    scanned += cells * specs.reduce((columns, spec) => columns + spec.columns.length, 0)
    if (scanned > MOST_SCANNED)
      throw invalidParameter(
        'from',
        `asks to look at more than ${MOST_SCANNED} minutes, hours and days; take a shorter range, or a filter`,
      )
    if (yield* counted(series)) found.add(value)
  }
  return [...found].sort()
}

/** The measures with what they mean; `additive`: values of several buckets or series may be added up. */
export const MEASURE_LIST = SERIES_MEASURES.map(name => {
  const { unit, meaning, of, sketch } = MEASURE_TABLE[name]
  return { name, unit, meaning, additive: of === undefined && sketch === undefined }
})
