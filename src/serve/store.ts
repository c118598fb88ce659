/**
 * The series of the topic, in memory. Each series has minutes, hours and days, in chunks by column (`chunk.ts`), and each instant is counted from exactly one of them:
 *
 * - an hour takes the place of its minutes, at once: the nulls that the aggregator writes for them come later;
 * - a day is kept beside its hours and used once they are gone: the first null of one of its hours removes all of them.
 *
 * What a series holds depends only on the records of its partition, not on how they were cut into chunks, so servers that have read the same answer the same.
 */
import { MEASURES, type Measure, type SeriesPoint } from '../records.ts'
import { bucketOf } from './buckets.ts'
import { type CellValues, type Chunk, CHUNK_CELLS, sumOf } from './chunk.ts'
import { NO_SKETCH, type Sketch } from './sketch-pool.ts'
import type { Steps } from '../slices.ts'
import { findChunk, Tier } from './tier.ts'

export const LABELS = ['vendor', 'account', 'bot_id', 'channel', 'language'] as const
export type Label = (typeof LABELS)[number]
export type SeriesLabels = Readonly<Record<Label, string>>

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const MINUTES_A_GROUP = 60
const HOURS_A_GROUP = 24
const DAYS_A_CHUNK = CHUNK_CELLS / HOURS_A_GROUP

/** What the store takes of a point. */
export type PointValues = Pick<SeriesPoint, 'series_key' | Label | 'bucket_start' | 'bucket'> & CellValues

export interface SeriesStore {
  /**
   * Takes a point in, unless a newer one of the same series, start and length is known, or it is a minute that was rolled up.
   *
   * @returns false when nothing has changed.
   */
  put(point: PointValues): boolean
  /** Takes the null of a point: it was rolled up, or its time has ended. */
  remove(seriesKey: string, bucketStartMs: number, bucket: string): void
  readonly series: readonly StoredSeries[]
  /** The same as a list that stays as it is, for work that pauses. */
  snapshot(): readonly StoredSeries[]
  /** All of the store as it is now, if nothing is put or removed before the work has ended; it does not change afterwards. */
  freeze(): Steps<FrozenSeries[]>
  /** Takes over what was frozen, into a store that is empty. */
  adopt(series: readonly FrozenSeries[]): void
  /** Points that are held: minutes, hours and days. */
  readonly cells: number
  /** The values that a label has in any series, sorted. */
  values(label: Label): string[]
}

/** A series as data. */
export interface FrozenSeries {
  readonly key: string
  readonly labels: SeriesLabels
  /** Minutes, hours and days; chunks in order of time. */
  readonly tiers: readonly (readonly Chunk[])[]
}

export interface StoredSeries {
  readonly key: string
  readonly labels: SeriesLabels
  readonly cells: number
  /** The series as it is now, of cells that have a part in `[fromMs, untilMs)`. It does not change, whatever comes or is rolled up meanwhile. */
  snapshot(fromMs: number, untilMs: number): SeriesSnapshot
}

/** A cell is a minute, an hour or a day, and counts at its start. */
export interface SeriesSnapshot {
  readonly labels: SeriesLabels
  /** How many cells begin in `[fromMs, untilMs)`, days beside their hours included. */
  cellsIn(fromMs: number, untilMs: number): number
  /** The same of cells that are longer than `lengthMs`. */
  longCellsIn(lengthMs: number, fromMs: number, untilMs: number): number
  /**
   * Adds the measure's cells to buckets. Bucket i is `[edges[i], edges[i + 1])`, epoch milliseconds, ascending, on whole minutes.
   *
   * @param present Set to 1 for every bucket in which a cell begins, also one that counts 0.
   */
  addInto(measure: Measure, edges: ArrayLike<number>, sums: Float64Array, present: Uint8Array): Steps<void>
  /** Hands the sketch of each cell that counts sessions of its kind to its bucket. As `addInto`. */
  sketchesInto(sketch: Sketch, edges: ArrayLike<number>, take: TakeSketch): Steps<void>
  /** How many words the sketches of the cells in `[fromMs, untilMs)` hold, about. */
  sketchWordsIn(sketch: Sketch, fromMs: number, untilMs: number): number
  /**
   * Notes where buckets have a part of a cell that is longer than `lengthMs`: what it counts cannot be divided between them.
   *
   * @param changes One more than there are buckets: how many such cells begin there to have a part, less those that end.
   */
  longInto(lengthMs: number, edges: ArrayLike<number>, changes: Int32Array): Steps<void>
}

/**
 * @param counted Sessions of the cell that the sketch speaks for.
 * @param words Where the sketch is, from `place` on (`sketch-pool.ts`): valid until this returns.
 * @param place `NO_SKETCH`: the cell has none; it was written by an older version.
 */
export type TakeSketch = (bucket: number, counted: number, words: Uint32Array, place: number) => void

/** The measure that says how many sessions a sketch speaks for. */
const COUNTED: Readonly<Record<Sketch, Measure>> = { duration_sketch: 'sessions_ended', users_sketch: 'sessions' }

/** Cells that are looked at between two pauses, about. */
const CELLS_A_STEP = 4096

export function createStore(): SeriesStore {
  const byKey = new Map<string, Stored>()
  const all: Stored[] = []
  let cells = 0

  return {
    put(point) {
      const series = byKey.get(point.series_key) ?? add(createSeries({ key: point.series_key, labels: labelsOf(point) }))
      const before = series.cells
      const taken = series.put(point)
      cells += series.cells - before
      if (series.cells === 0) drop(series)
      return taken
    },
    remove(seriesKey, bucketStartMs, bucket) {
      const series = byKey.get(seriesKey)
      if (series === undefined) return
      cells -= series.cells
      series.remove(bucketStartMs, bucket)
      cells += series.cells
      if (series.cells === 0) drop(series)
    },
    series: all,
    snapshot: () => [...all],
    *freeze() {
      const frozen: FrozenSeries[] = []
      for (const series of all) {
        frozen.push(series.freeze())
        yield
      }
      return frozen
    },
    adopt(series) {
      for (const each of series) cells += add(createSeries(each)).cells
    },
    get cells() {
      return cells
    },
    values: label => [...new Set(all.map(series => series.labels[label]))].sort(),
  }

  function add(series: Stored): Stored {
    byKey.set(series.key, series)
    all.push(series)
    return series
  }

  function drop(series: Stored): void {
    byKey.delete(series.key)
    all.splice(all.indexOf(series), 1)
  }
}

interface Stored extends StoredSeries {
  put(point: PointValues): boolean
  remove(bucketStartMs: number, bucket: string): void
  freeze(): FrozenSeries
}

const labelsOf = ({ vendor, account, bot_id, channel, language }: PointValues): SeriesLabels => ({
  vendor,
  account,
  bot_id,
  channel,
  language,
})

function createSeries({ key, labels, tiers = [] }: Omit<FrozenSeries, 'tiers'> & Partial<FrozenSeries>): Stored {
  const minutes = new Tier(tiers[0])
  const hours = new Tier(tiers[1])
  const days = new Tier(tiers[2])

  function putMinute(minute: number, values: CellValues): boolean {
    const hour = Math.floor(minute / 60)
    const day = Math.floor(minute / 1440)
    if (hours.has(hour, hour + 1) || days.has(day, day + 1)) return false
    return minutes.put(minute, values)
  }

  function putHour(hour: number, values: CellValues): boolean {
    minutes.remove(hour * 60, hour * 60 + 60)
    return hours.put(hour, values)
  }

  function putDay(day: number, values: CellValues): boolean {
    minutes.remove(day * 1440, day * 1440 + 1440)
    return days.put(day, values)
  }

  function removeHour(hour: number): void {
    const day = Math.floor(hour / 24)
    if (days.has(day, day + 1)) hours.remove(day * 24, day * 24 + 24)
    else hours.remove(hour, hour + 1)
  }

  /** The day has ended, with all that is left of it. */
  function removeDay(day: number): void {
    minutes.remove(day * 1440, day * 1440 + 1440)
    hours.remove(day * 24, day * 24 + 24)
    days.remove(day, day + 1)
  }

  return {
    key,
    labels,
    get cells() {
      return minutes.size + hours.size + days.size
    },
    put(point) {
      const at = point.bucket_start
      if (point.bucket === '1m') return putMinute(Math.floor(at / MINUTE_MS), point)
      if (point.bucket === '1h') return putHour(Math.floor(at / HOUR_MS), point)
      return point.bucket === '1d' && putDay(Math.floor(at / DAY_MS), point)
    },
    remove(at, bucket) {
      const minute = Math.floor(at / MINUTE_MS)
      if (bucket === '1m') minutes.remove(minute, minute + 1)
      else if (bucket === '1h') removeHour(Math.floor(at / HOUR_MS))
      else if (bucket === '1d') removeDay(Math.floor(at / DAY_MS))
    },
    freeze: () => ({ key, labels, tiers: [minutes, hours, days].map(tier => tier.snapshot(-Infinity, Infinity)) }),
    snapshot: (fromMs, untilMs) =>
      snapshotOf(labels, {
        minutes: minutes.snapshot(fromMs / MINUTE_MS, untilMs / MINUTE_MS),
        hours: hours.snapshot(fromMs / HOUR_MS - 24, untilMs / HOUR_MS + 24),
        days: days.snapshot(fromMs / DAY_MS - 1, untilMs / DAY_MS),
      }),
  }
}

interface HeldTier {
  readonly lengthMs: number
  /** So many cells are added up once for all queries: an hour of minutes, a day of hours. */
  readonly group: number
  readonly chunks: readonly Chunk[]
}

interface Held {
  readonly minutes: readonly Chunk[]
  /** From a day before, and until a day after: they say which days are used. */
  readonly hours: readonly Chunk[]
  readonly days: readonly Chunk[]
}

function snapshotOf(labels: SeriesLabels, held: Held): SeriesSnapshot {
  const tiers: readonly HeldTier[] = [
    { lengthMs: MINUTE_MS, group: MINUTES_A_GROUP, chunks: held.minutes },
    { lengthMs: HOUR_MS, group: HOURS_A_GROUP, chunks: held.hours },
    { lengthMs: DAY_MS, group: 1, chunks: held.days },
  ]
  let hoursAt = 0
  /** Whether no hour of the day is there. Days are asked for one after the other: the chunk of the last one is looked at first. */
  const isUsed = (day: number) => {
    const number = Math.floor(day / DAYS_A_CHUNK)
    if (held.hours[hoursAt]?.number !== number) hoursAt = findChunk(held.hours, number)
    const chunk = held.hours[hoursAt]
    if (chunk?.number !== number) return true
    const ends = chunk.groups(HOURS_A_GROUP)
    const group = day - number * DAYS_A_CHUNK
    return ends[group] === (group === 0 ? 0 : ends[group - 1])
  }

  /** Calls back for the cells `[from, to)` of each chunk that begin in the range. */
  function eachPart(
    { lengthMs, chunks }: HeldTier,
    fromMs: number,
    untilMs: number,
    take: (chunk: Chunk, from: number, to: number) => void,
  ): void {
    for (const chunk of chunks) {
      const first = chunk.number * CHUNK_CELLS
      const from = chunk.find(Math.ceil(fromMs / lengthMs) - first)
      const to = chunk.find(Math.ceil(untilMs / lengthMs) - first)
      if (from < to) take(chunk, from, to)
    }
  }

  function count(fromMs: number, untilMs: number, isCounted: (tier: HeldTier) => boolean): number {
    let cells = 0
    for (const tier of tiers) {
      if (isCounted(tier))
        eachPart(tier, fromMs, untilMs, (_, from, to) => {
          cells += to - from
        })
    }
    return cells
  }

  /** Calls back for the cells `[from, to)` of each chunk and bucket, in order, at most so many as fit between two pauses. */
  function* eachRun(
    of: readonly HeldTier[],
    edges: ArrayLike<number>,
    take: (chunk: Chunk, bucket: number, from: number, to: number) => void,
  ): Steps<void> {
    const buckets = edges.length - 1
    let looked = 0
    for (const { lengthMs, chunks } of of) {
      let bucket = 0
      for (const chunk of chunks) {
        if (looked > 0 && looked + chunk.size > CELLS_A_STEP) {
          looked = 0
          yield
        }
        const { slots, size } = chunk
        const first = chunk.number * CHUNK_CELLS
        const begin = chunk.find(Math.ceil((edges[0] as number) / lengthMs) - first)
        for (let at = begin; at < size; ) {
          const cell = first + (slots[at] as number)
          const time = cell * lengthMs
          if (time >= (edges[bucket + 1] as number)) bucket = bucketOf(edges, bucket + 1, time)
          if (bucket >= buckets) break
          const from = at++
          if (lengthMs === DAY_MS) {
            if (isUsed(cell)) take(chunk, bucket, from, at)
            continue
          }
          const limit = (edges[bucket + 1] as number) / lengthMs - first
          if (limit >= CHUNK_CELLS) at = size
          else while (at < size && (slots[at] as number) < limit) at++
          take(chunk, bucket, from, at)
        }
        looked += size - begin
        if (bucket >= buckets) break
      }
    }
  }

  /** Adds up groups of cells, where no bucket begins within one. */
  function* addGroups(
    { lengthMs, group, chunks }: HeldTier,
    measure: number,
    { firstHour, buckets }: Hourly,
    sums: Float64Array,
    present: Uint8Array,
  ): Steps<void> {
    const hours = (lengthMs * group) / HOUR_MS
    let looked = 0
    for (const chunk of chunks) {
      const ends = chunk.groups(group)
      const groupSums = chunk.groupSums(group, measure)
      const first = (chunk.number * CHUNK_CELLS * lengthMs) / HOUR_MS - firstHour
      for (let at = 0, end = 0; at < ends.length; at++) {
        const hour = first + at * hours
        const isEmpty = ends[at] === end
        end = ends[at] as number
        if (isEmpty || hour < 0) continue
        if (hour >= buckets.length) break
        const bucket = buckets[hour] as number
        present[bucket] = 1
        if (groupSums !== null) sums[bucket] = (sums[bucket] as number) + (groupSums[at] as number)
      }
      looked += ends.length + chunk.size / 16
      if (looked > CELLS_A_STEP) {
        looked = 0
        yield
      }
    }
  }

  /** Adds up hours one by one. */
  function* addHours(
    { chunks }: HeldTier,
    measure: number,
    { firstHour, buckets }: Hourly,
    sums: Float64Array,
    present: Uint8Array,
  ): Steps<void> {
    for (const chunk of chunks) {
      const { slots } = chunk
      const column = chunk.column(measure)
      const first = chunk.number * CHUNK_CELLS - firstHour
      const end = chunk.find(buckets.length - first)
      for (let at = chunk.find(-first); at < end; at++) {
        const bucket = buckets[first + (slots[at] as number)] as number
        present[bucket] = 1
        if (column !== null) sums[bucket] = (sums[bucket] as number) + (column[at] as number)
      }
      yield
    }
  }

  return {
    labels,
    cellsIn: (fromMs, untilMs) => count(fromMs, untilMs, () => true),
    longCellsIn: (lengthMs, fromMs, untilMs) => count(fromMs, untilMs, tier => tier.lengthMs > lengthMs),
    *addInto(measure, edges, sums, present) {
      const index = MEASURES.indexOf(measure)
      const hourly = hourlyOf(edges)
      for (const tier of tiers) {
        if (hourly !== null && tier.lengthMs === HOUR_MS && !hourly.isByDay) yield* addHours(tier, index, hourly, sums, present)
        else if (hourly !== null && tier.group > 1) yield* addGroups(tier, index, hourly, sums, present)
        else
          yield* eachRun([tier], edges, (chunk, bucket, from, to) => {
            const column = chunk.column(index)
            present[bucket] = 1
            if (column) sums[bucket] = (sums[bucket] as number) + sumOf(column, from, to)
          })
      }
    },
    sketchesInto(sketch, edges, take) {
      const index = MEASURES.indexOf(COUNTED[sketch])
      return eachRun(tiers, edges, (chunk, bucket, from, to) => {
        const column = chunk.column(index)
        if (!column) return
        const { places, pool } = chunk.sketches(sketch) ?? {}
        for (let at = from; at < to; at++) {
          const counted = column[at] as number
          if (counted > 0) take(bucket, counted, pool?.words ?? NO_WORDS, places?.[at] ?? NO_SKETCH)
        }
      })
    },
    sketchWordsIn(sketch, fromMs, untilMs) {
      let words = 0
      for (const tier of tiers) {
        eachPart(tier, fromMs, untilMs, (chunk, from, to) => {
          words += Math.ceil(((chunk.sketches(sketch)?.pool.size ?? 0) * (to - from)) / chunk.size)
        })
      }
      return words
    },
    *longInto(lengthMs, edges, changes) {
      const buckets = edges.length - 1
      const [fromMs, untilMs] = [edges[0] as number, edges[buckets] as number]
      for (const tier of tiers) {
        if (tier.lengthMs <= lengthMs) continue
        let bucket = 0
        for (const chunk of tier.chunks) {
          eachPart({ ...tier, chunks: [chunk] }, fromMs - tier.lengthMs + 1, untilMs, (_, from, to) => {
            for (let at = from; at < to; at++) {
              const cell = chunk.number * CHUNK_CELLS + (chunk.slots[at] as number)
              if (tier.lengthMs === DAY_MS && !isUsed(cell)) continue
              bucket = bucketOf(edges, bucket, Math.max(fromMs, cell * tier.lengthMs))
              const last = bucketOf(edges, bucket, Math.min(untilMs, (cell + 1) * tier.lengthMs) - 1)
              changes[bucket] = (changes[bucket] as number) + 1
              changes[last + 1] = (changes[last + 1] as number) - 1
            }
          })
          yield
        }
      }
    },
  }
}

/** In which bucket each hour lies, where no bucket begins within an hour. */
interface Hourly {
  /** Counted from the epoch; that of `buckets[0]`. */
  readonly firstHour: number
  readonly buckets: Int32Array
  /** Whether no bucket begins within a UTC day either. */
  readonly isByDay: boolean
}

/** All series of a query have the same edges: the table is made once. null: a bucket begins within an hour, or there are too many hours. */
function hourlyOf(edges: ArrayLike<number>): Hourly | null {
  let hourly = tables.get(edges)
  if (hourly === undefined) tables.set(edges, (hourly = hourlyTable(edges)))
  return hourly
}

const tables = new WeakMap<ArrayLike<number>, Hourly | null>()

function hourlyTable(edges: ArrayLike<number>): Hourly | null {
  const last = edges.length - 1
  const firstHour = (edges[0] as number) / HOUR_MS
  const hours = (edges[last] as number) / HOUR_MS - firstHour
  if (!(hours <= MOST_HOURS)) return null
  let isByDay = true
  for (let at = 0; at <= last; at++) {
    if ((edges[at] as number) % HOUR_MS !== 0) return null
    if ((edges[at] as number) % DAY_MS !== 0) isByDay = false
  }
  const buckets = new Int32Array(hours)
  for (let bucket = 0, at = 0; bucket < last; bucket++) {
    const until = (edges[bucket + 1] as number) / HOUR_MS - firstHour
    while (at < until) buckets[at++] = bucket
  }
  return { firstHour, buckets, isByDay }
}

/** Ten years. */
const MOST_HOURS = 87_600

const NO_WORDS = new Uint32Array(1)
