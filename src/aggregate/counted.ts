/**
 * Which messages and events have been counted: a message or event counts once, at the first record of its key, whatever that record's revision.
 *
 * Each key is 64 bits of a hash in typed arrays, 16 to 32 bytes a key. That two of 100 million keys of one partition number share 64 bits has a
 * chance of 1 in 3,700. Keys are held in the order in which they were counted and cut into chunks of 256; a chunk is one record of the state topic
 * (key `#counted/<number>`, null once it is forgotten), so that a transaction rewrites at most the chunk that is being filled.
 *
 * | byte | value of a chunk (big-endian) |
 * | --- | --- |
 * | 0 | version of this layout: 2 |
 * | 1 | float64 time of publishing of the newest record in it, epoch milliseconds |
 * | 9 | 8 bytes a key |
 */
import { FlowError } from '../errors.ts'
import type { Column } from './checkpoint-file.ts'
import { grown } from './cells.ts'
import { hash128 } from './hash.ts'

export type CountedKind = 'message' | 'event'

export interface CountedKeys {
  /**
   * Notes that the first record of this key has been seen.
   *
   * @param publishedMs Time of publishing of the record that is counted.
   * @returns false when it had been seen before; nothing has changed then.
   */
  add(key: string, kind: CountedKind, publishedMs: number): boolean
  /** Chunks that are not on the state topic as they are here; null: the chunk was forgotten. */
  changedChunks(): Iterable<{ number: number; value: Buffer | null }>
  readonly changes: number
  /** All changes are on the state topic. */
  clean(): void
  /** Takes a chunk over from the state topic, in any order; the newest record of each chunk counts. Call `restored` after the last one. */
  restoreChunk(number: number, value: Buffer | null): void
  /** All keys as they are, to be written to a file; valid until the next change. */
  columns(): { readonly firstChunk: number; readonly rows: number; readonly columns: readonly Column[] }
  /** Takes over what `columns` gave, as `restoreChunk` does: chunks of the state topic that are newer may follow, and then `restored`. */
  adopt(firstChunk: number, rows: number, fill: (column: Column) => Promise<void>): Promise<void>
  /** @throws FlowError CODEC_INVALID when a chunk in the middle is missing or short */
  restored(): void
  /**
   * Puts this set, which is empty, in the place of what the state topic holds: its chunks are forgotten. For a recount.
   * @returns takes over those of their keys that have not come again.
   */
  replace(chunks: ReadonlyMap<number, Buffer>): () => void
  /** Forgets chunks whose newest record was published before this. */
  forgetBefore(publishedMs: number): void
  readonly size: number
  readonly bytes: number
}

const VERSION = 2
const HEAD = 9
const CHUNK_KEYS = 256
const KEY_PREFIX = '#counted/'
/** Keeps a message and an event of one key apart. */
const EVENT_BITS = 0x5bd1e995
/** A key of more characters than this would have to be written to a larger scratch buffer. */
const SCRATCH_BYTES = 4096

/** A session key holds two colons and this none, so no session has it. */
export function chunkKey(number: number): Buffer {
  return Buffer.from(`${KEY_PREFIX}${number}`)
}

/** The chunk that a key of the state topic stands for; null: it is a session's key. */
export function chunkOfKey(key: Buffer): number | null {
  if (key[0] !== 0x23 || key.includes(0x3a)) return null
  const text = key.toString('latin1')
  return text.startsWith(KEY_PREFIX) ? Number(text.slice(KEY_PREFIX.length)) : null
}

export function createCounted(initial = 1024): CountedKeys {
  let capacity = initial
  let mask = capacity * 2 - 1
  let index = new Int32Array(capacity * 2) // place + 1; 0 is empty
  let high = new Int32Array(capacity)
  let low = new Int32Array(capacity)
  let size = 0
  /** Number of the first chunk that is held, and of each held chunk the time of its newest record. */
  let firstChunk = 0
  let newest: number[] = []
  const changed = new Set<number>()
  const restoring = new Map<number, Buffer>()
  const hash = new Int32Array(4)
  let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

  function hashOf(key: string, kind: CountedKind): void {
    if (key.length * 3 > scratch.length) scratch = Buffer.allocUnsafeSlow(key.length * 3)
    hash128(scratch.subarray(0, scratch.write(key)), hash)
    if (kind === 'event') hash[0] = (hash[0] as number) ^ EVENT_BITS
  }

  /** The place of the hash, or -1 - slot where it would go. */
  function locate(h: number, l: number): number {
    let slot = (h ^ l) & mask
    for (;;) {
      const place = (index[slot] as number) - 1
      if (place < 0) return -1 - slot
      if (high[place] === h && low[place] === l) return place
      slot = (slot + 1) & mask
    }
  }

  function reindex(to: number): void {
    capacity = to
    high = grown(high, to)
    low = grown(low, to)
    index = new Int32Array(to * 2)
    mask = index.length - 1
    for (let place = 0; place < size; place++) {
      let slot = ((high[place] as number) ^ (low[place] as number)) & mask
      while (index[slot] !== 0) slot = (slot + 1) & mask
      index[slot] = place + 1
    }
  }

  function put(h: number, l: number): boolean {
    const found = locate(h, l)
    if (found >= 0) return false
    if (size === capacity) {
      reindex(capacity * 2)
      return put(h, l)
    }
    index[-1 - found] = size + 1
    high[size] = h
    low[size] = l
    size++
    return true
  }

  /** The newest place belongs to a record that was published then. */
  function note(publishedMs: number): void {
    const at = Math.floor((size - 1) / CHUNK_KEYS)
    newest[at] = Math.max(newest[at] ?? 0, publishedMs)
    changed.add(firstChunk + at)
  }

  const chunkValue = (at: number) => valueOf(newest[at] as number, high.subarray(0, size), low.subarray(0, size), at * CHUNK_KEYS)

  return {
    add(key, kind, publishedMs) {
      hashOf(key, kind)
      if (!put(hash[0] as number, hash[1] as number)) return false
      note(publishedMs)
      return true
    },

    *changedChunks() {
      for (const number of changed) {
        const at = number - firstChunk
        yield { number, value: at < 0 ? null : chunkValue(at) }
      }
    },

    get changes() {
      return changed.size
    },

    clean: () => changed.clear(),

    restoreChunk(number, value) {
      if (value === null) restoring.delete(number)
      else restoring.set(number, Buffer.from(value))
    },

    columns: () => ({
      firstChunk,
      rows: size,
      columns: [Float64Array.from(newest), high.subarray(0, size), low.subarray(0, size)],
    }),

    async adopt(first, rows, fill) {
      const times = new Float64Array(Math.ceil(rows / CHUNK_KEYS))
      const [highs, lows] = [new Int32Array(rows), new Int32Array(rows)]
      for (const column of [times, highs, lows]) await fill(column)
      for (const [at, time] of times.entries()) restoring.set(first + at, valueOf(time, highs, lows, at * CHUNK_KEYS))
    },

    restored() {
      const chunks = [...restoring].toSorted(([a], [b]) => a - b)
      restoring.clear()
      firstChunk = chunks[0]?.[0] ?? 0
      for (const [i, [number, value]] of chunks.entries()) {
        const keys = (value.length - HEAD) / 8
        const isLast = i === chunks.length - 1
        if (
          value[0] !== VERSION ||
          number !== firstChunk + i ||
          !(isLast ? Number.isInteger(keys) && keys > 0 : keys === CHUNK_KEYS)
        )
          throw new FlowError('CODEC_INVALID', {
            chunk: number,
            hint: 'the aggregator state does not say which messages it has counted; `colloquy rebuild` counts them again from the topics',
          })
        newest[i] = value.readDoubleBE(1)
        for (let at = HEAD; at < value.length; at += 8) put(value.readInt32BE(at), value.readInt32BE(at + 4))
      }
    },

    replace(chunks) {
      for (const number of chunks.keys()) {
        changed.add(number)
        firstChunk = Math.max(firstChunk, number + 1)
      }
      return () => {
        for (const [, value] of chunks) {
          if (value[0] !== VERSION) continue
          const newestMs = value.readDoubleBE(1)
          for (let at = HEAD; at + 8 <= value.length; at += 8)
            if (put(value.readInt32BE(at), value.readInt32BE(at + 4))) note(newestMs)
        }
      }
    },

    forgetBefore(publishedMs) {
      let gone = 0
      // The chunk that is being filled stays: its number is in use.
      while (gone < newest.length - 1 && (newest[gone] as number) < publishedMs) gone++
      if (gone === 0) return
      for (let number = firstChunk; number < firstChunk + gone; number++) changed.add(number)
      firstChunk += gone
      newest = newest.slice(gone)
      high.copyWithin(0, gone * CHUNK_KEYS, size)
      low.copyWithin(0, gone * CHUNK_KEYS, size)
      size -= gone * CHUNK_KEYS
      let fitting = capacity
      while (fitting > initial && fitting / 4 >= size) fitting /= 2
      reindex(fitting)
    },

    get size() {
      return size
    },
    get bytes() {
      return index.byteLength + high.byteLength + low.byteLength + newest.length * 8
    },
  }
}

/** The record of the chunk of keys that begins at `from`. */
function valueOf(newestMs: number, high: Int32Array, low: Int32Array, from: number): Buffer {
  const until = Math.min(high.length, from + CHUNK_KEYS)
  const value = Buffer.allocUnsafe(HEAD + (until - from) * 8)
  value[0] = VERSION
  value.writeDoubleBE(newestMs, 1)
  for (let place = from; place < until; place++) {
    value.writeInt32BE(high[place] as number, HEAD + (place - from) * 8)
    value.writeInt32BE(low[place] as number, HEAD + (place - from) * 8 + 4)
  }
  return value
}
