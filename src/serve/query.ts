/**
 * `/v1/series`: the answer to a question, from the store. Pure: store and completeness are passed in. The work is done in small steps (`slices.ts`) and
 * has a budget that is known before it begins.
 */
import type { Measure } from '../records.ts'
import { BUCKET_MS, type Edges, isoIn } from './buckets.ts'
import { MEASURE_TABLE, type MeasureSpec, type SeriesMeasure, valueOf } from './measures.ts'
import { invalidParameter } from './parameters.ts'
import { type Completeness, leastOf, type Reading, readingOf, type StreamFilter, streamsOf } from './reading.ts'
import { columnsOf, edgesIn, type SeriesQuery, sketchesOf } from './series-query.ts'
import type { Sketch } from './sketch-pool.ts'
import { createSketchReader, type SketchAnswer, sketchBucketsCost, sketchCost } from './sketches.ts'
import { sortSteps, type Steps } from '../slices.ts'
import { LABELS, type Label, type SeriesSnapshot, type SeriesStore } from './store.ts'

/** Most values of one answer; a row takes more bytes than a value. */
export const MOST_VALUES = 1_000_000
export const MOST_ROWS = 250_000
/** Most series of one answer; `top` takes the largest of more. */
export const MOST_SERIES = 20_000
/** Most cells (minutes, hours, days) and buckets that one query looks at, rolling windows and groups included: about a second of work. */
export const MOST_SCANNED = 100_000_000

export interface SeriesAnswer {
  readonly data: {
    readonly series: readonly AnsweredSeries[]
    readonly series_labels: readonly string[]
    readonly x_values: readonly string[]
  }
  readonly complete_until: string | null
}

export interface AnsweredSeries {
  readonly labels: Readonly<Partial<Record<Label | 'measure', string>>>
  readonly values: readonly (number | null)[]
  /** The measure over all buckets asked for, each once, whatever `rolling` is; of a rate it is the rate over all of them. */
  readonly sum: number | null
  /** These three are of the values shown. */
  readonly mean: number | null
  readonly min: number | null
  readonly max: number | null
  readonly complete_until: string | null
}

/**
 * What is believed complete is looked up first, then the series: a point that arrives between two steps can be in the answer without being spoken for,
 * never the other way round.
 *
 * @throws FlowError QUERY_INVALID when the answer would be too large or too dear.
 */
export function* answerQuery(query: SeriesQuery, store: SeriesStore, completeness: Completeness): Steps<SeriesAnswer> {
  const { measures, zone, window } = query
  const specs = measures.map(measure => MEASURE_TABLE[measure])
  const reading = readingOf(
    specs.map(({ kind }) => kind),
    completeness,
  )
  const cut = yield* edgesIn(query)
  const { edges, first } = cut
  const groups = yield* topOf(query, cut, yield* groupsOf(query, store, edges), reading)
  const points = edges.length - 1 - first
  const most = query.shape === 'rows' ? MOST_ROWS : MOST_VALUES
  if (groups.length * measures.length * points > most) {
    throw invalidParameter(
      query.groupBy.length > 0 ? 'group_by' : 'measure',
      `asks for ${groups.length * measures.length} series of ${points} points; at most ${most} ${query.shape === 'rows' ? 'rows' : 'values'} are answered at once. Take a longer bucket, a shorter range, or top`,
    )
  }

  const series: AnsweredSeries[] = []
  const names: string[] = []
  const iso = (atMs: number | null) => (atMs === null ? null : isoIn(zone, atMs))
  const sketches = createSketchReader(cut, window)
  for (const group of groups) {
    const gather = yield* gathererOf(group.series, reading, edges)
    const isLong = yield* longBuckets(group.series, lengthOf(query), edges)
    const sketched = new Map<Sketch, readonly SketchAnswer[]>()
    for (const measure of measures) {
      const spec = MEASURE_TABLE[measure]
      const { columns, known } = yield* gather(spec)
      const read = yield* reading.of(spec.kind, group.streams, edges)
      for (let at = 0; at < known.length; at++) if (read.marks[at] === 1) known[at] = 1
      const { sketch } = spec
      if (sketch && !sketched.has(sketch.name)) sketched.set(sketch.name, yield* sketches.read(sketch.name, group.series))
      const answer = sketch && sketched.get(sketch.name)?.[sketch.at]
      const summed = yield* rolled(spec, columns, known, isLong, window, first)
      // What was not read, or is kept only for longer than a bucket, is null, whatever sketches there are.
      const values = answer ? answer.values.map((value, at) => (summed[at] === null ? null : value)) : summed
      const whole = answer ? answer.whole : yield* total(spec, columns, first)
      const labels = measures.length === 1 ? group.labels : { ...group.labels, measure }
      series.push({
        labels,
        values,
        sum: known.includes(1, first) ? whole : null,
        ...summary(values),
        complete_until: iso(read.completeUntil),
      })
      names.push(nameOf(group.labels, query.groupBy, measures.length === 1 ? null : measure) || measure)
      yield
    }
  }

  const xValues: string[] = []
  for (let at = first; at < edges.length - 1; at++) if (xValues.push(isoIn(zone, edges[at] ?? 0)) % 512 === 0) yield
  const whole: (number | null)[] = []
  for (const kind of new Set(specs.map(spec => spec.kind))) {
    const asked = [streamsOf(query.filters, {})]
    const read = yield* reading.of(kind, asked, edges)
    // What no connector can know does not hold up what was asked for beside it.
    if (kind === 'transfer' && read.streams === 0 && (yield* reading.of('session', asked, edges)).streams > 0) continue
    whole.push(read.completeUntil)
  }
  return {
    data: { series, series_labels: names, x_values: xValues },
    complete_until: iso(leastOf(whole)),
  }
}

interface Group {
  readonly labels: Partial<Record<Label, string>>
  /** Whose streams may give records of this group: of any of these. */
  readonly streams: readonly StreamFilter[]
  readonly series: SeriesSnapshot[]
}

/**
 * Every group that any series belongs to, also where it has nothing in the range: a line does not come and go with its traffic. In order of their labels.
 *
 * @throws FlowError QUERY_INVALID when the series hold more than one query may look at.
 */
function* groupsOf(query: SeriesQuery, store: SeriesStore, edges: readonly number[]): Steps<Group[]> {
  const { groupBy, filters, window } = query
  const columns = columnsOf(query).size
  const sketches = [...sketchesOf(query)]
  const [beginMs = 0, endMs = 0] = [edges[0], edges.at(-1)]
  const wanted = LABELS.flatMap(label => (filters[label] ? [{ label, values: new Set(filters[label]) }] : []))
  const groups = new Map<string, Group>()
  const groupFor = (labels: Group['labels']): Group => {
    const key = JSON.stringify(groupBy.map(label => labels[label]))
    let group = groups.get(key)
    if (!group) {
      const own = picked(labels, groupBy)
      group = { labels: own, streams: [streamsOf(filters, own)], series: [] }
      groups.set(key, group)
      afford(edges.length * columns + sketches.length * sketchBucketsCost(edges.length))
    }
    return group
  }
  const lengthMs = lengthOf(query)
  let scanned = 0
  let visited = 0
  const afford = (more: number) => {
    scanned += more
    if (scanned <= MOST_SCANNED) return
    const name = window > 1 && window > edges.length / 2 ? 'rolling' : groups.size > 1 ? 'group_by' : 'from'
    throw invalidParameter(
      name,
      `asks to look at more than ${MOST_SCANNED} minutes, hours, days and buckets; take a shorter range or rolling window, a longer bucket, fewer groups or measures, or a filter`,
    )
  }
  if (groupBy.length === 0) groupFor({})
  for (const stored of store.snapshot()) {
    if (++visited % 512 === 0) yield
    if (!wanted.every(({ label, values }) => values.has(stored.labels[label]))) continue
    const series = stored.snapshot(beginMs, endMs)
    groupFor(series.labels).series.push(series)
    afford(series.cellsIn(beginMs, endMs) * columns + series.longCellsIn(lengthMs, beginMs, endMs))
    for (const sketch of sketches) afford(sketchCost(sketch, series, beginMs, endMs))
  }
  if (groups.size > MOST_SERIES && query.top === null)
    throw invalidParameter(
      'group_by',
      `asks for ${groups.size} groups; at most ${MOST_SERIES} are answered at once. Take a filter, or top`,
    )
  return yield* sortSteps([...groups.values()], (a, b) => {
    for (const label of groupBy) {
      const [left = '', right = ''] = [a.labels[label], b.labels[label]]
      if (left !== right) return left < right ? -1 : 1
    }
    return 0
  })
}

/** The groups with the largest sums of the first measure, largest first, and the rest as one. Groups without a value come last. */
function* topOf(query: SeriesQuery, { edges, first }: Edges, groups: Group[], reading: Reading): Steps<Group[]> {
  const { top, groupBy } = query
  const spec = MEASURE_TABLE[query.measures[0] ?? 'sessions']
  if (top === null || groupBy.length === 0 || groups.length <= top) return groups
  const range = [edges[first] ?? 0, edges.at(-1) ?? 0]
  const sketches = createSketchReader({ edges: range, first: 0 }, 1)
  const sized: { group: Group; size: number }[] = []
  const rest: Group = { labels: Object.fromEntries(groupBy.map(label => [label, OTHER])), streams: [], series: [] }
  const streams: StreamFilter[] = []
  const intoRest = (group: Group) => {
    for (const each of group.series) rest.series.push(each)
    for (const each of group.streams) streams.push(each)
  }
  for (const group of groups) {
    const { sketch } = spec
    let size: number | null
    if (sketch) size = (yield* sketches.read(sketch.name, group.series))[sketch.at]?.whole ?? null
    else {
      const gather = yield* gathererOf(group.series, reading, range)
      const { columns } = yield* gather(spec)
      size = yield* total(spec, columns, 0)
    }
    yield
    // A channel that is called `other` itself can only be part of the rest: two series with one name would be told from each other by nobody.
    if (groupBy.every(label => group.labels[label] === OTHER)) intoRest(group)
    else sized.push({ group, size: size ?? -1 })
  }
  const sorted = yield* sortSteps(sized, (a, b) => b.size - a.size)
  for (const { group } of sorted.slice(top)) intoRest(group)
  return [...sorted.slice(0, top).map(({ group }) => group), { ...rest, streams }]
}

const OTHER = 'other'

interface Gathered {
  /** Sums of the measure's columns by bucket. */
  readonly columns: readonly Float64Array[]
  /** 1 for every bucket in which something is known. */
  readonly known: Uint8Array
}

/** Adds up what measures are made of, each column once. */
function* gathererOf(
  series: readonly SeriesSnapshot[],
  reading: Reading,
  edges: readonly number[],
): Steps<(spec: MeasureSpec) => Steps<Gathered>> {
  const told: SeriesSnapshot[] = []
  /** Series of bots whose transfers nobody can know: zeros of these mean nothing. */
  const untold: SeriesSnapshot[] = []
  if (reading.hasUntold) {
    for (const [at, each] of series.entries()) {
      if (reading.isUntold(each.labels)) untold.push(each)
      else told.push(each)
      if (at % 256 === 255) yield
    }
  }
  const added = new Map<string, { sums: Float64Array; present: Uint8Array }>()
  function* add(column: Measure, isToldOnly: boolean): Steps<{ sums: Float64Array; present: Uint8Array }> {
    const key = `${column} ${isToldOnly}`
    const before = added.get(key)
    if (before) return before
    const sum = { sums: new Float64Array(edges.length - 1), present: new Uint8Array(edges.length - 1) }
    yield* addAll(isToldOnly ? told : series, column, edges, sum.sums, sum.present)
    added.set(key, sum)
    return sum
  }
  return function* gather(spec) {
    const isToldOnly = spec.kind === 'transfer' && untold.length > 0
    const columns: Float64Array[] = []
    let everywhere: Uint8Array = new Uint8Array(edges.length - 1)
    for (const column of spec.columns) {
      const { sums, present } = yield* add(column, isToldOnly)
      columns.push(sums)
      everywhere = present
    }
    // It is added to, and the sums are kept for other measures.
    const known = new Uint8Array(everywhere)
    const [counted] = columns
    // A rate of a bot whose transfers cannot be known has no value, whatever was counted once.
    if (!isToldOnly || spec.of !== undefined || counted === undefined) return { columns, known }
    const sums = new Float64Array(counted)
    yield* addCounted(untold, spec.columns[0] ?? 'sessions', edges, sums, known)
    return { columns: [sums], known }
  }
}

const lengthOf = ({ bucket }: SeriesQuery) => (bucket === '1M' ? Number.POSITIVE_INFINITY : BUCKET_MS[bucket])

/**
 * 1 for every bucket that has a part of an hour or a day of which the minutes, or the hours, are not kept any more, where buckets are shorter than that: nobody can
 * say what of it belongs to the bucket.
 *
 * @returns null where there is none.
 */
function* longBuckets(series: readonly SeriesSnapshot[], lengthMs: number, edges: readonly number[]): Steps<Uint8Array | null> {
  if (lengthMs >= DAY_MS) return null
  const changes = new Int32Array(edges.length)
  for (const each of series) yield* each.longInto(lengthMs, edges, changes)
  if (!changes.some(change => change > 0)) return null
  const isLong = new Uint8Array(edges.length - 1)
  for (let at = 0, open = 0; at < isLong.length; at++) {
    open += changes[at] ?? 0
    if (open > 0) isLong[at] = 1
  }
  return isLong
}

const DAY_MS = 86_400_000

/** Pauses between series too: most of them are short. */
function* addAll(
  series: readonly SeriesSnapshot[],
  measure: Measure,
  edges: readonly number[],
  sums: Float64Array,
  known: Uint8Array,
): Steps<void> {
  for (const [at, each] of series.entries()) {
    yield* each.addInto(measure, edges, sums, known)
    if (at % 64 === 63) yield
  }
}

/** The same for series whose zeros mean nothing: only what was counted is known. */
function* addCounted(
  series: readonly SeriesSnapshot[],
  measure: Measure,
  edges: readonly number[],
  sums: Float64Array,
  known: Uint8Array,
): Steps<void> {
  if (series.length === 0) return
  const counted = new Float64Array(sums.length)
  yield* addAll(series, measure, edges, counted, new Uint8Array(known.length))
  for (const [at, count] of counted.entries()) {
    if (count === 0) continue
    sums[at] = (sums[at] ?? 0) + count
    known[at] = 1
  }
}

const picked = (labels: Group['labels'], names: readonly Label[]): Partial<Record<Label, string>> =>
  Object.fromEntries(names.map(name => [name, labels[name] ?? '']))

const nameOf = (labels: Partial<Record<Label, string>>, groupBy: readonly Label[], measure: SeriesMeasure | null) =>
  [...groupBy.map(label => labels[label] || '(none)'), ...(measure === null ? [] : [measure])].join(' / ')

/** From bucket `first` on, the measure over the `window` buckets up to each; null where nothing is known of any of them, or one of them is too short for what is kept. */
function* rolled(
  spec: MeasureSpec,
  columns: readonly Float64Array[],
  known: Uint8Array,
  isLong: Uint8Array | null,
  window: number,
  first: number,
): Steps<(number | null)[]> {
  const values: (number | null)[] = []
  const sums = columns.map(() => 0)
  let count = 0
  let long = 0
  for (let at = 0; at < known.length; at++) {
    count += known[at] ?? 0
    long += isLong?.[at] ?? 0
    if (at >= window) {
      count -= known[at - window] ?? 0
      long -= isLong?.[at - window] ?? 0
    }
    for (let n = 0; n < columns.length; n++) {
      const column = columns[n] as Float64Array
      sums[n] = (sums[n] ?? 0) + (column[at] ?? 0) - (at >= window ? (column[at - window] ?? 0) : 0)
    }
    if (at >= first) values.push(count > 0 && long === 0 ? valueOf(spec, sums) : null)
    if (at % BUCKETS_A_STEP === BUCKETS_A_STEP - 1) yield
  }
  return values
}

/** The measure over all buckets from `first` on; a count of nothing is 0. */
function* total(spec: MeasureSpec, columns: readonly Float64Array[], first: number): Steps<number | null> {
  const sums: number[] = []
  for (const column of columns) {
    let sum = 0
    for (let at = first; at < column.length; at++) sum += column[at] ?? 0
    sums.push(sum)
    if (column.length > BUCKETS_A_STEP) yield
  }
  return valueOf(spec, sums)
}

/** Buckets that are worked on between two pauses. */
const BUCKETS_A_STEP = 8192

function summary(values: readonly (number | null)[]): Pick<AnsweredSeries, 'mean' | 'min' | 'max'> {
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
  return count === 0 ? { mean: null, min: null, max: null } : { mean: sum / count, min, max }
}
