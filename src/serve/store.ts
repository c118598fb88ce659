/**
 * The series as the topic tells them, in memory: each series holds its minutes in order in typed arrays, one column a measure. A column that
 * only ever was 0 takes no room, and counts take four bytes until one needs more.
 */
import { MEASURES, type Measure, type SeriesPoint } from '../records.ts'
import type { Steps } from '../slices.ts'

export const LABELS = ['vendor', 'account', 'bot_id', 'channel', 'language'] as const
export type Label = (typeof LABELS)[number]
export type SeriesLabels = Readonly<Record<Label, string>>

const MINUTE_MS = 60_000
const FIRST_CAPACITY = 8

/** What the store takes of a point. */
export type PointValues = Pick<SeriesPoint, 'series_key' | Label | 'bucket_start' | 'revision' | Measure>

export interface SeriesStore {
  /**
   * Takes a point in, unless a newer one of the same series and minute is known.
   *
   * @returns false when the point's revision is not above the known one; nothing has changed then.
   */
  put(point: PointValues): boolean
  /** Forgets a point; what comes after starts at any revision. */
  remove(seriesKey: string, bucketStartMs: number): void
  readonly series: readonly StoredSeries[]
  /** The same as a list that stays as it is, for work that pauses. */
  snapshot(): readonly StoredSeries[]
  readonly cells: number
  /** The values that a label has in any series, sorted. */
  values(label: Label): string[]
}

export interface StoredSeries {
  readonly key: string
  readonly labels: SeriesLabels
  readonly cells: number
  /** How many minutes of the series lie in `[fromMs, untilMs)`. */
  cellsIn(fromMs: number, untilMs: number): number
  /**
   * Adds the measure's minutes to buckets. Bucket i is `[edges[i], edges[i + 1])`, epoch milliseconds, ascending, on whole minutes. The series may
   * change at every pause: each minute is taken as it is when it is reached, and none is taken twice.
   *
   * @param present Set to 1 for every bucket in which the series has a minute, also one that counts 0.
   */
  addInto(measure: Measure, edges: ArrayLike<number>, sums: Float64Array, present: Uint8Array): Steps<void>
}

/** Minutes that are added between two pauses. */
const CELLS_A_STEP = 4096

type Column = Uint32Array | Float64Array

export function createStore(): SeriesStore {
  const byKey = new Map<string, Stored>()
  const all: Stored[] = []
  let cells = 0

  return {
    put(point) {
      let series = byKey.get(point.series_key)
      if (!series) {
        series = createSeries(point)
        byKey.set(point.series_key, series)
        all.push(series)
      }
      const before = series.cells
      const taken = series.put(point)
      cells += series.cells - before
      return taken
    },
    remove(seriesKey, bucketStartMs) {
      const series = byKey.get(seriesKey)
      if (series?.remove(bucketStartMs) !== true) return
      cells -= 1
      if (series.cells === 0) {
        byKey.delete(seriesKey)
        all.splice(all.indexOf(series), 1)
      }
    },
    series: all,
    snapshot: () => [...all],
    get cells() {
      return cells
    },
    values: label => [...new Set(all.map(series => series.labels[label]))].sort(),
  }
}

interface Stored extends StoredSeries {
  put(point: PointValues): boolean
  remove(bucketStartMs: number): boolean
}

function createSeries(of: PointValues): Stored {
  let size = 0
  /** Epoch minutes, ascending; `revisions` and the columns run beside them. */
  let minutes = new Int32Array(FIRST_CAPACITY)
  let revisions = new Uint32Array(FIRST_CAPACITY)
  const columns: (Column | null)[] = MEASURES.map(() => null)

  function grow(): void {
    const capacity = Math.ceil(minutes.length * 1.5)
    minutes = widened(minutes, new Int32Array(capacity))
    revisions = widened(revisions, new Uint32Array(capacity))
    for (const [index, column] of columns.entries()) {
      if (column)
        columns[index] = widened(column, column instanceof Uint32Array ? new Uint32Array(capacity) : new Float64Array(capacity))
    }
  }

  /** Moves everything from `at` on by one place, towards the end (`by` 1) or over `at` (`by` -1). */
  function shift(at: number, by: 1 | -1): void {
    const from = by === 1 ? at : at + 1
    for (const array of [minutes, revisions, ...columns]) array?.copyWithin(from + by, from, size)
  }

  function write(index: number, at: number, value: number): void {
    let column = columns[index] ?? null
    if (column === null) {
      if (value === 0) return
      column = new Uint32Array(minutes.length)
    }
    if (column instanceof Uint32Array && value >>> 0 !== value) column = widened(column, new Float64Array(minutes.length))
    column[at] = value
    columns[index] = column
  }

  return {
    key: of.series_key,
    labels: { vendor: of.vendor, account: of.account, bot_id: of.bot_id, channel: of.channel, language: of.language },
    get cells() {
      return size
    },
    put(point) {
      const minute = Math.floor(point.bucket_start / MINUTE_MS)
      const at = lowerBound(minutes, size, minute)
      if (at < size && minutes[at] === minute) {
        if (point.revision <= (revisions[at] ?? 0)) return false
      } else {
        if (size === minutes.length) grow()
        shift(at, 1)
        size += 1
        minutes[at] = minute
      }
      revisions[at] = point.revision
      for (const [index, measure] of MEASURES.entries()) write(index, at, point[measure])
      return true
    },
    remove(bucketStartMs) {
      const minute = Math.floor(bucketStartMs / MINUTE_MS)
      const at = lowerBound(minutes, size, minute)
      if (at >= size || minutes[at] !== minute) return false
      shift(at, -1)
      size -= 1
      return true
    },
    cellsIn: (fromMs, untilMs) =>
      lowerBound(minutes, size, Math.ceil(untilMs / MINUTE_MS)) - lowerBound(minutes, size, Math.ceil(fromMs / MINUTE_MS)),
    *addInto(measure, edges, sums, present) {
      const index = MEASURES.indexOf(measure)
      const buckets = edges.length - 1
      let bucket = 0
      /** The next minute to take: a place in the arrays would not hold over a pause. */
      let from = Math.ceil((edges[0] ?? 0) / MINUTE_MS)
      for (;;) {
        const column = columns[index]
        const start = lowerBound(minutes, size, from)
        const end = Math.min(size, start + CELLS_A_STEP)
        for (let at = start; at < end; at++) {
          const time = (minutes[at] ?? 0) * MINUTE_MS
          if (time >= (edges[bucket + 1] ?? 0)) bucket = bucketOf(edges, bucket + 1, time)
          if (bucket >= buckets) return
          present[bucket] = 1
          if (column) sums[bucket] = (sums[bucket] ?? 0) + (column[at] ?? 0)
        }
        if (end >= size) return
        from = (minutes[end - 1] ?? 0) + 1
        yield
      }
    },
  }
}

/** The bucket, from `low` on, in which a time at or after `edges[low]` lies; the number of buckets where it lies behind all. */
function bucketOf(edges: ArrayLike<number>, low: number, time: number): number {
  // Most often it is the next one; else look twice as far each time, then in between.
  let from = low
  let to = low
  for (let step = 1; to < edges.length - 1 && (edges[to + 1] ?? 0) <= time; step *= 2) {
    from = to + 1
    to = Math.min(edges.length - 1, to + step)
  }
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((edges[middle + 1] ?? Number.POSITIVE_INFINITY) <= time) from = middle + 1
    else to = middle
  }
  return from
}

/** Index of the first of `size` ascending values that is not below `value`. Looks at the end first: most points are the newest. */
function lowerBound(values: Int32Array, size: number, value: number): number {
  if (size === 0 || (values[size - 1] ?? 0) < value) return size
  let low = 0
  let high = size - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((values[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}

function widened<T extends Int32Array | Column>(from: Int32Array | Column, to: T): T {
  to.set(from)
  return to
}
