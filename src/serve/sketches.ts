/**
 * Percentiles of duration and distinct users, from the sketches of any minutes of any series: merged by bucket and group, and over rolling windows. A percentile
 * of a day is that of all its sessions, and who came in two of its hours is one user of it.
 */
import { createDurations, type Durations, ZERO_BIN } from '../duration-sketch.ts'
import type { Edges } from './buckets.ts'
import { COUNT_BITS, entryWords, MOST_COUNT, NO_SKETCH, type Sketch, VALUE_BITS } from './sketch-pool.ts'
import type { Steps } from '../slices.ts'
import type { SeriesSnapshot, TakeSketch } from './store.ts'
import { createQueue, createUserSet, createWindowUsers, type UserSet } from './user-sets.ts'

/** What can be read out of each sketch. Quantiles in ascending order. */
export const SKETCH_VALUES = { duration_sketch: [0.5, 0.9, 0.95, 0.99], users_sketch: ['users'] } as const

export interface SketchAnswer {
  /**
   * From bucket `first` on, the value of the window that ends there. Null where it cannot be known: no session of it has an end, or (of users) none says who its
   * user was, or some of them were counted by a version without sketches. Users of no sessions are 0.
   */
  readonly values: readonly (number | null)[]
  /** Over all buckets from `first` on. */
  readonly whole: number | null
}

/** So many buckets are filled at a time; each is apart until the window has passed it. */
const BUCKETS_AT_ONCE = 64
/** What a word of a sketch costs, in minutes that are only added up. */
const WORD_COST = 10
/** What it costs to read a value out of what a bucket holds. */
const BUCKET_COST = 100

/** What a query of this series in `[fromMs, untilMs)` costs, in minutes and buckets that are looked at. */
export function sketchCost(sketch: Sketch, series: SeriesSnapshot, fromMs: number, untilMs: number): number {
  return series.sketchWordsIn(sketch, fromMs, untilMs) * WORD_COST
}

/** The same of the buckets of a group: what each holds is looked through once. */
export function sketchBucketsCost(buckets: number): number {
  return buckets * BUCKET_COST
}

export interface SketchReader {
  /** @returns an answer for each of `SKETCH_VALUES` */
  read(sketch: Sketch, series: readonly SeriesSnapshot[]): Steps<readonly SketchAnswer[]>
}

/** Of one query: what it holds is used again for each group. One `read` at a time. */
export function createSketchReader({ edges, first }: Edges, window: number): SketchReader {
  const buckets = edges.length - 1
  const rollings = new Map<Sketch, Rolling>()

  function rollingOf(sketch: Sketch): Rolling {
    let rolling = rollings.get(sketch)
    if (rolling === undefined) {
      const atOnce = Math.min(BUCKETS_AT_ONCE, buckets)
      rolling = sketch === 'users_sketch' ? rollingUsers(window, atOnce) : rollingDurations(window, atOnce)
      rollings.set(sketch, rolling)
    }
    rolling.clear()
    return rolling
  }

  return {
    *read(sketch, series) {
      const rolling = rollingOf(sketch)
      const values: (number | null)[][] = SKETCH_VALUES[sketch].map(() => [])
      for (let from = 0; from < buckets; from += BUCKETS_AT_ONCE) {
        const until = Math.min(buckets, from + BUCKETS_AT_ONCE)
        const part = edges.slice(from, until + 1)
        for (const [at, each] of series.entries()) {
          yield* each.sketchesInto(sketch, part, rolling.take)
          if (at % 64 === 63) yield
        }
        for (let bucket = from; bucket < until; bucket++) {
          const isAsked = bucket >= first
          const inWindow = rolling.pass(bucket - from, isAsked)
          if (isAsked) for (const [at, value] of inWindow.entries()) values[at]?.push(value)
          yield
        }
      }
      const whole = rolling.whole()
      return values.map((each, at) => ({ values: each, whole: whole[at] ?? null }))
    },
  }
}

interface Rolling {
  /** Into one of the buckets that are filled at a time. */
  readonly take: TakeSketch
  /** Moves the window on over this bucket, which is empty afterwards. @returns what the window holds then */
  pass(bucket: number, isAsked: boolean): readonly (number | null)[]
  whole(): readonly (number | null)[]
  clear(): void
}

/** How much is known of what is counted. */
interface Known {
  counted: number
  /** Sessions of minutes without a sketch. */
  unknown: number
}

/** @returns whether there is a sketch of what is counted */
function countIn(to: Known, counted: number, place: number): boolean {
  to.counted += counted
  if (place === NO_SKETCH) to.unknown += counted
  return place !== NO_SKETCH
}

function addKnown(to: Known, more: Known, sign: 1 | -1 = 1): void {
  to.counted += sign * more.counted
  to.unknown += sign * more.unknown
}

function forget(known: Known): void {
  known.counted = 0
  known.unknown = 0
}

function rollingDurations(window: number, atOnce: number): Rolling {
  interface Counted extends Known {
    readonly durations: Durations
  }
  interface Passed extends Known {
    /** Bins and counts by turns. */
    readonly bins: readonly number[]
  }
  const empty = (): Counted => ({ counted: 0, unknown: 0, durations: createDurations() })
  const filled = Array.from({ length: atOnce }, empty)
  const inWindow = empty()
  const asked = empty()
  const passed = createQueue<Passed>(window)

  function empties(counted: Counted): void {
    counted.durations.clear()
    forget(counted)
  }

  const valuesOf = ({ durations, unknown }: Counted) =>
    unknown > 0 ? SKETCH_VALUES.duration_sketch.map(() => null) : durations.quantiles(SKETCH_VALUES.duration_sketch)

  function roll(bucket: Counted): void {
    const bins: number[] = []
    bucket.durations.each((bin, count) => {
      bins.push(bin, count)
      inWindow.durations.add(bin, count)
    })
    addKnown(inWindow, bucket)
    const gone = passed.push({ counted: bucket.counted, unknown: bucket.unknown, bins })
    if (gone === undefined) return
    addKnown(inWindow, gone, -1)
    for (let at = 0; at < gone.bins.length; at += 2)
      inWindow.durations.add(gone.bins[at] as number, -(gone.bins[at + 1] as number))
  }

  return {
    take(at, counted, words, place) {
      const bucket = filled[at] as Counted
      if (!countIn(bucket, counted, place)) return
      const end = place + 1 + entryWords('duration_sketch', words[place] as number)
      for (let word = place + 1; word < end; word++) {
        const entry = words[word] as number
        bucket.durations.add((entry >>> COUNT_BITS) + ZERO_BIN, entry & MOST_COUNT)
      }
    },
    pass(at, isAsked) {
      const bucket = filled[at] as Counted
      if (isAsked) {
        bucket.durations.each((bin, count) => asked.durations.add(bin, count))
        addKnown(asked, bucket)
      }
      if (window > 1) roll(bucket)
      const values = valuesOf(window > 1 ? inWindow : bucket)
      empties(bucket)
      return values
    },
    whole: () => valuesOf(asked),
    clear() {
      for (const counted of [...filled, inWindow, asked]) empties(counted)
      passed.clear()
    },
  }
}

function rollingUsers(window: number, atOnce: number): Rolling {
  interface Counted extends Known {
    readonly users: UserSet
  }
  const empty = (): Counted => ({ counted: 0, unknown: 0, users: createUserSet() })
  const filled = Array.from({ length: atOnce }, empty)
  const asked = empty()
  const inWindow: Known = { counted: 0, unknown: 0 }
  const windowUsers = window > 1 ? createWindowUsers(window) : null
  const passed = createQueue<Known>(window)

  function empties(counted: Counted): void {
    counted.users.clear()
    forget(counted)
  }

  /** Of sessions that do not say who their users were, nobody knows how many they were. */
  const valuesOf = ({ counted, unknown }: Known, users: number) => [unknown > 0 || (counted > 0 && users === 0) ? null : users]

  return {
    take(at, counted, words, place) {
      const bucket = filled[at] as Counted
      if (!countIn(bucket, counted, place)) return
      const head = words[place] as number
      const end = place + 1 + entryWords('users_sketch', head)
      if ((head & 1) === 0) {
        for (let word = place + 1; word < end; word += 2) bucket.users.addUser(words[word] as number, words[word + 1] as number)
        return
      }
      for (let word = place + 1; word < end; word++) {
        const entry = words[word] as number
        bucket.users.addRegister(entry >>> VALUE_BITS, entry & (2 ** VALUE_BITS - 1))
      }
    },
    pass(at, isAsked) {
      const bucket = filled[at] as Counted
      if (isAsked) {
        bucket.users.addTo(asked.users)
        addKnown(asked, bucket)
      }
      let values = null
      if (windowUsers === null) values = valuesOf(bucket, bucket.users.count())
      else {
        addKnown(inWindow, bucket)
        const gone = passed.push({ counted: bucket.counted, unknown: bucket.unknown })
        if (gone !== undefined) addKnown(inWindow, gone, -1)
        values = valuesOf(inWindow, windowUsers.pass(bucket.users))
      }
      empties(bucket)
      return values
    },
    whole: () => valuesOf(asked, asked.users.count()),
    clear() {
      for (const counted of [...filled, asked]) empties(counted)
      forget(inWindow)
      passed.clear()
      windowUsers?.clear()
    },
  }
}
