/**
 * The sketches of one chunk of a series in memory, unpacked into words so that a query adds them up without decoding: a sketch of one session takes 8 to 12 bytes,
 * and 4 for its place.
 *
 * A sketch is its head, the number of entries times 2, plus 1 where they are registers; and then its entries:
 *
 * | sketch | entry |
 * | --- | --- |
 * | durations | one word: the bin plus 1 in the high 11 bits, 0 for durations of 0 ms; how many in the low 21 bits |
 * | users | two words, the user's 64 bits; or one word, a register times 32 and its value |
 */
import { eachBin } from '../duration-sketch.ts'
import { FlowError } from '../errors.ts'
import type { SeriesPoint } from '../records.ts'
import { readUsers } from '../users-sketch.ts'

export const SKETCHES = ['duration_sketch', 'users_sketch'] as const
export type Sketch = (typeof SKETCHES)[number]

export const COUNT_BITS = 21
export const MOST_COUNT = 2 ** COUNT_BITS - 1
export const VALUE_BITS = 5
/** Where there is no sketch. */
export const NO_SKETCH = 0

const FIRST_WORDS = 16
/** So much that is free is not worth moving the rest. */
const LEAST_FREE = 64

export interface SketchPool {
  readonly words: Uint32Array
  /** Takes a sketch in. @returns its place, to be read in `words`; `NO_SKETCH` for none, and for one that cannot be read. */
  put(sketch: SeriesPoint[Sketch]): number
  /** Nothing stands for this place any more. */
  free(place: number): void
  /** Words in use. */
  readonly size: number
  /** The same pool as data, valid as it is also when the pool goes on: what it holds is only added to, or moved elsewhere. */
  parts(): { readonly words: Uint32Array; readonly free: number }
  /** Whether more than half is free. Then `moved` gives each place its new one; those that are not moved are gone. */
  readonly isLoose: boolean
  move(places: Uint32Array, count: number): void
  /** A pool that goes on where this one is, in which all places are the same. Nothing may be put into this one afterwards: both hold the same words. */
  fork(): SketchPool
}

/** Of which sketch the words are filled: its entries, one after the other. */
type Unpack = (sketch: Buffer, into: number[]) => boolean

const UNPACK: Readonly<Record<Sketch, Unpack>> = {
  duration_sketch(sketch, into) {
    eachBin(sketch, (bin, count) => {
      for (let left = Math.round(count); left > 0; left -= MOST_COUNT)
        into.push((((bin + 1) << COUNT_BITS) | Math.min(left, MOST_COUNT)) >>> 0)
    })
    return false
  },
  users_sketch(sketch, into) {
    let areRegisters = false
    readUsers(sketch, {
      user: (high, low) => void into.push(high >>> 0, low >>> 0),
      register(register, value) {
        areRegisters = true
        into.push((register << VALUE_BITS) | value)
      },
    })
    return areRegisters
  },
}

/** Words behind a head. */
export function entryWords(sketch: Sketch, head: number): number {
  const entries = head >>> 1
  return sketch === 'users_sketch' && (head & 1) === 0 ? entries * 2 : entries
}

export function createSketchPool(sketch: Sketch): SketchPool {
  return poolOf(sketch, new Uint32Array(FIRST_WORDS), 1, 0) // place 0 is none
}

/** @param parts As `SketchPool.parts` has them. The words are not copied, and not written over. */
export function restoreSketchPool(
  sketch: Sketch,
  { words, free }: { readonly words: Uint32Array; readonly free: number },
): SketchPool {
  return poolOf(sketch, words, words.length, free)
}

const unpacked: number[] = []

function poolOf(sketch: Sketch, words: Uint32Array, end: number, free: number): SketchPool {
  const lengthAt = (place: number) => 1 + entryWords(sketch, words[place] as number)

  return {
    get words() {
      return words
    },
    put(bytes) {
      if (bytes === null) return NO_SKETCH
      unpacked.length = 0
      let areRegisters: boolean
      try {
        areRegisters = UNPACK[sketch](bytes, unpacked)
      } catch (error) {
        if (error instanceof FlowError && error.code === 'CODEC_INVALID') return NO_SKETCH
        throw error
      }
      const needed = end + 1 + unpacked.length
      if (needed > words.length) {
        const more = new Uint32Array(Math.max(needed, Math.ceil(words.length * 1.5)))
        more.set(words.subarray(0, end))
        words = more
      }
      const place = end
      const entries = sketch === 'users_sketch' && !areRegisters ? unpacked.length / 2 : unpacked.length
      words[end++] = entries * 2 + (areRegisters ? 1 : 0)
      for (const word of unpacked) words[end++] = word
      return place
    },
    free(place) {
      if (place !== NO_SKETCH) free += lengthAt(place)
    },
    get size() {
      return end - 1 - free
    },
    get isLoose() {
      return free > LEAST_FREE && free > end / 2
    },
    move(places, count) {
      const kept = new Uint32Array(Math.max(FIRST_WORDS, Math.ceil((end - free) * 1.25)))
      let at = 1
      for (let i = 0; i < count; i++) {
        const place = places[i] as number
        if (place === NO_SKETCH) continue
        const length = lengthAt(place)
        kept.set(words.subarray(place, place + length), at)
        places[i] = at
        at += length
      }
      words = kept
      end = at
      free = 0
    },
    parts: () => ({ words: words.subarray(0, end), free }),
    fork: () => poolOf(sketch, words, end, free),
  }
}
