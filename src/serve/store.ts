/**
 * The series as the topic tells them, in memory: each series holds its minutes in order in typed arrays, one column a measure. A column that
 * only ever was 0 takes no room, and counts take four bytes until one needs more. Sketches are in a pool beside them (`sketch-pool.ts`).
 */
import { MEASURES, type Measure, type SeriesPoint } from '../records.ts'
import { createSketchPool, NO_SKETCH, type Sketch, SKETCHES, type SketchPool } from './sketch-pool.ts'
import type { Steps } from '../slices.ts'

export const LABELS = ['vendor', 'account', 'bot_id', 'channel', 'language'] as const
export type Label = (typeof LABELS)[number]
export type SeriesLabels = Readonly<Record<Label, string>>

const MINUTE_MS = 60_000
const FIRST_CAPACITY = 8

/** What the store takes of a point. */
export type PointValues = Pick<SeriesPoint, 'series_key' | Label | 'bucket_start' | 'revision' | Measure | Sketch>

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
  /** Hands the sketch of each minute that counts sessions of its kind to its bucket. As `addInto`. */
  sketchesInto(sketch: Sketch, edges: ArrayLike<number>, take: TakeSketch): Steps<void>
  /** How many words the sketches of the minutes in `[fromMs, untilMs)` hold, about. */
  sketchWordsIn(sketch: Sketch, fromMs: number, untilMs: number): number
}

/**
 * @param counted Sessions of the minute that the sketch speaks for.
 * @param words Where the sketch is, from `place` on (`sketch-pool.ts`): valid until this returns.
 * @param place `NO_SKETCH`: the minute has none; it was written by an older version.
 */
export type TakeSketch = (bucket: number, counted: number, words: Uint32Array, place: number) => void

/** The measure that says how many sessions a sketch speaks for. */
const COUNTED: Readonly<Record<Sketch, Measure>> = { duration_sketch: 'sessions_ended', users_sketch: 'sessions' }

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
  /** Of each sketch its place in the pool, beside `minutes`; null while there is none. */
  const sketches = new Map<Sketch, { places: Uint32Array; readonly pool: SketchPool }>()

  function grow(): void {
    const capacity = Math.ceil(minutes.length * 1.5)
    minutes = widened(minutes, new Int32Array(capacity))
    revisions = widened(revisions, new Uint32Array(capacity))
    for (const [index, column] of columns.entries()) {
      if (column)
        columns[index] = widened(column, column instanceof Uint32Array ? new Uint32Array(capacity) : new Float64Array(capacity))
    }
    for (const column of sketches.values()) column.places = widened(column.places, new Uint32Array(capacity))
  }

  /** Moves everything from `at` on by one place, towards the end (`by` 1) or over `at` (`by` -1). */
  function shift(at: number, by: 1 | -1): void {
    const from = by === 1 ? at : at + 1
    for (const array of [minutes, revisions, ...columns]) array?.copyWithin(from + by, from, size)
    for (const { places } of sketches.values()) places.copyWithin(from + by, from, size)
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

  function writeSketch(sketch: Sketch, at: number, value: SeriesPoint[Sketch], isNew: boolean): void {
    let column = sketches.get(sketch)
    if (column === undefined) {
      if (value === null) return
      column = { places: new Uint32Array(minutes.length), pool: createSketchPool(sketch) }
      sketches.set(sketch, column)
    }
    const { places, pool } = column
    if (!isNew) pool.free(places[at] as number)
    places[at] = pool.put(value)
    if (pool.isLoose) pool.move(places, size)
  }

  /** Calls back for the minutes `[from, to)` of each bucket, in order, at most so many as fit between two pauses. */
  function* eachRun(edges: ArrayLike<number>, take: (bucket: number, from: number, to: number) => void): Steps<void> {
    const buckets = edges.length - 1
    let bucket = 0
    /** The next minute to take: a place in the arrays would not hold over a pause. */
    let next = Math.ceil((edges[0] ?? 0) / MINUTE_MS)
    for (;;) {
      const start = lowerBound(minutes, size, next)
      const end = Math.min(size, start + CELLS_A_STEP)
      for (let at = start; at < end; ) {
        const time = (minutes[at] as number) * MINUTE_MS
        if (time >= (edges[bucket + 1] as number)) bucket = bucketOf(edges, bucket + 1, time)
        if (bucket >= buckets) return
        const from = at
        const limit = (edges[bucket + 1] as number) / MINUTE_MS
        do at++
        while (at < end && (minutes[at] as number) < limit)
        take(bucket, from, at)
      }
      if (end >= size) return
      next = (minutes[end - 1] as number) + 1
      yield
    }
  }

  const cellsIn = (fromMs: number, untilMs: number) =>
    lowerBound(minutes, size, Math.ceil(untilMs / MINUTE_MS)) - lowerBound(minutes, size, Math.ceil(fromMs / MINUTE_MS))

  return {
    key: of.series_key,
    labels: { vendor: of.vendor, account: of.account, bot_id: of.bot_id, channel: of.channel, language: of.language },
    get cells() {
      return size
    },
    put(point) {
      const minute = Math.floor(point.bucket_start / MINUTE_MS)
      const at = lowerBound(minutes, size, minute)
      const isNew = at === size || minutes[at] !== minute
      if (!isNew) {
        if (point.revision <= (revisions[at] ?? 0)) return false
      } else {
        if (size === minutes.length) grow()
        shift(at, 1)
        size += 1
        minutes[at] = minute
      }
      revisions[at] = point.revision
      for (const [index, measure] of MEASURES.entries()) write(index, at, point[measure])
      for (const sketch of SKETCHES) writeSketch(sketch, at, point[sketch], isNew)
      return true
    },
    remove(bucketStartMs) {
      const minute = Math.floor(bucketStartMs / MINUTE_MS)
      const at = lowerBound(minutes, size, minute)
      if (at >= size || minutes[at] !== minute) return false
      for (const { places, pool } of sketches.values()) pool.free(places[at] as number)
      shift(at, -1)
      size -= 1
      return true
    },
    cellsIn,
    addInto(measure, edges, sums, present) {
      const index = MEASURES.indexOf(measure)
      return eachRun(edges, (bucket, from, to) => {
        present[bucket] = 1
        const column = columns[index]
        if (!column) return
        let sum = 0
        for (let at = from; at < to; at++) sum += column[at] as number
        sums[bucket] = (sums[bucket] as number) + sum
      })
    },
    sketchesInto(sketch, edges, take) {
      const index = MEASURES.indexOf(COUNTED[sketch])
      return eachRun(edges, (bucket, from, to) => {
        const { places, pool } = sketches.get(sketch) ?? {}
        for (let at = from; at < to; at++) {
          const counted = columns[index]?.[at] ?? 0
          if (counted > 0) take(bucket, counted, pool?.words ?? NO_WORDS, places?.[at] ?? NO_SKETCH)
        }
      })
    },
    sketchWordsIn(sketch, fromMs, untilMs) {
      const words = sketches.get(sketch)?.pool.size ?? 0
      return size === 0 ? 0 : Math.ceil((words * cellsIn(fromMs, untilMs)) / size)
    },
  }
}

const NO_WORDS = new Uint32Array(1)

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
