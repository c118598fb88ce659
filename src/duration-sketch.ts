/**
 * How long sessions lasted, as a DDSketch with a relative accuracy of 1 %: `duration_sketch` of a SeriesPoint.
 *
 * The bytes are the message `DDSketch` of Datadog's ddsketch.proto; docs/sketches.md has them field by field. Bins only ever count, and none is merged
 * into another, so the sketch of a set of durations is one and the same in whatever order they came.
 */
import { FlowError } from './errors.ts'

const ACCURACY = 0.01
const GAMMA_ABOVE_1 = (2 * ACCURACY) / (1 - ACCURACY)
export const GAMMA = 1 + GAMMA_ABOVE_1
const BINS_PER_DOUBLING = Math.LN2 / Math.log1p(GAMMA_ABOVE_1)

/** Bins 0 to 1,535; the last one begins after six hundred years. */
export const BINS = 1536
/** The bin of durations of 0 ms, in `eachBin`. */
export const ZERO_BIN = -1

/** @param durationMs Whole milliseconds. @returns `ZERO_BIN` when not above 0. */
export function binOf(durationMs: number): number {
  if (durationMs <= 0) return ZERO_BIN
  return Math.min(BINS - 1, Math.max(0, Math.floor(Math.log2(durationMs) * BINS_PER_DOUBLING)))
}

/** What a duration of this bin is taken for, milliseconds: at most 1 % from each of them. */
export function valueOf(bin: number): number {
  return bin === ZERO_BIN ? 0 : (1 + ACCURACY) * 2 ** (bin / BINS_PER_DOUBLING)
}

/** Counts by bin, to be added up, read and written. */
export interface Durations {
  /** @param by May be negative: what was added is taken away again. */
  add(bin: number, by: number): void
  readonly count: number
  /** The durations at the ranks q × (count - 1), milliseconds; null when there are none. @param qs 0 to 1, ascending */
  quantiles(qs: readonly number[]): (number | null)[]
  /** Calls back for every bin that counts something, in ascending order. */
  each(take: (bin: number, count: number) => void): void
  /** As bytes; valid until the next call. */
  encode(): Buffer
  clear(): void
}

/** Bytes of a `binCounts` entry and of a contiguous bin, to choose the shorter of the two. */
const ENTRY_BYTES = 14
const DOUBLE_BYTES = 8
const MOST_BYTES = 64 + BINS * DOUBLE_BYTES

export function createDurations(): Durations {
  const counts = new Float64Array(BINS)
  let zeros = 0
  let total = 0
  /** Every bin that counts something is in `[low, high]`; some in between may have become 0 again. */
  let low = BINS
  let high = -1
  /** Made when it is needed: most are only added up. */
  let bytes = Buffer.alloc(0)
  let at = 0

  function varint(value: number): void {
    let rest = value
    for (; rest > 0x7f; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80
    bytes[at++] = rest
  }

  function double(value: number): void {
    at = bytes.writeDoubleLE(value, at)
  }

  function narrow(): void {
    while (low <= high && counts[low] === 0) low++
    while (high >= low && counts[high] === 0) high--
  }

  /** The fields of a Store. */
  function store(): void {
    let filled = 0
    for (let bin = low; bin <= high; bin++) if (counts[bin] !== 0) filled++
    if (filled > 0 && (high - low + 1) * DOUBLE_BYTES < filled * ENTRY_BYTES) {
      bytes[at++] = 0x12
      varint((high - low + 1) * DOUBLE_BYTES)
      for (let bin = low; bin <= high; bin++) double(counts[bin] as number)
      bytes[at++] = 0x18
      varint(low * 2)
      return
    }
    for (let bin = low; bin <= high; bin++) {
      if (counts[bin] === 0) continue
      bytes[at++] = 0x0a
      const length = at++
      bytes[at++] = 0x08
      varint(bin * 2)
      bytes[at++] = 0x11
      double(counts[bin] as number)
      bytes[length] = at - length - 1
    }
  }

  return {
    add(bin, by) {
      total += by
      if (bin === ZERO_BIN) {
        zeros += by
        return
      }
      counts[bin] = (counts[bin] as number) + by
      if (bin < low) low = bin
      if (bin > high) high = bin
    },
    get count() {
      return total
    },
    quantiles(qs) {
      if (total <= 0) return qs.map(() => null)
      narrow()
      const ranks = qs.map(q => q * (total - 1))
      let [bin, upTo] = [ZERO_BIN, zeros]
      return ranks.map(rank => {
        while (upTo <= rank && bin < high) {
          bin = Math.max(low, bin + 1)
          upTo += counts[bin] as number
        }
        return valueOf(bin)
      })
    },
    each(take) {
      if (zeros !== 0) take(ZERO_BIN, zeros)
      for (let bin = low; bin <= high; bin++) if (counts[bin] !== 0) take(bin, counts[bin] as number)
    },
    encode() {
      if (bytes.length === 0) bytes = Buffer.alloc(MOST_BYTES)
      narrow()
      at = 0
      bytes[at++] = 0x0a
      bytes[at++] = 9
      bytes[at++] = 0x09
      double(GAMMA)
      // Two bytes for the length of the store, whatever it is: a varint may be longer than it must, but not every reader takes that, so it is moved.
      bytes[at++] = 0x12
      const start = at
      at += 2
      store()
      const length = at - start - 2
      if (length < 0x80) {
        bytes.copyWithin(start + 1, start + 2, at)
        bytes[start] = length
        at--
      } else {
        bytes[start] = (length & 0x7f) | 0x80
        bytes[start + 1] = length >>> 7
      }
      if (zeros !== 0) {
        bytes[at++] = 0x21
        double(zeros)
      }
      return bytes.subarray(0, at)
    },
    clear() {
      if (high >= low) counts.fill(0, low, high + 1)
      zeros = 0
      total = 0
      low = BINS
      high = -1
    },
  }
}

/**
 * Calls back for every bin of a sketch as `encode` or one of Datadog's libraries writes it.
 *
 * @throws FlowError CODEC_INVALID where it is not one, or of another accuracy; some bins may have been handed over.
 */
export function eachBin(sketch: Buffer, take: (bin: number, count: number) => void): void {
  let hasMapping = false
  eachField(sketch, (field, value) => {
    if (field === 1) {
      checkMapping(bytesOf(value))
      hasMapping = true
    } else if (field === 2) eachBinOfStore(bytesOf(value), take)
    else if (field === 3) eachBinOfStore(bytesOf(value), (_, count) => count === 0 || refuse('it has negative values'))
    else if (field === 4) {
      const zeros = doubleOf(value)
      if (zeros > 0) take(ZERO_BIN, zeros)
    }
  })
  if (!hasMapping) refuse('it has no mapping')
}

function checkMapping(mapping: Buffer): void {
  let gamma = 0
  eachField(mapping, (field, value) => {
    if (field === 1) gamma = doubleOf(value)
    else if (field === 2 && doubleOf(value) !== 0) refuse('its bins are shifted')
    else if (field === 3 && value !== 0) refuse('its mapping is interpolated')
  })
  if (Math.abs(gamma - GAMMA) > 1e-12) refuse('its accuracy is not 1 %')
}

function eachBinOfStore(store: Buffer, take: (bin: number, count: number) => void): void {
  const give = (bin: number, count: number) => {
    if (!(count >= 0)) refuse('a count is below zero')
    if (count > 0) take(Math.min(BINS - 1, Math.max(0, bin)), count)
  }
  const runs: Buffer[] = []
  let first = 0
  eachField(store, (field, value) => {
    if (field === 1) {
      let bin = 0
      let count = 0
      eachField(bytesOf(value), (entry, part) => {
        if (entry === 1) bin = signedOf(part)
        else if (entry === 2) count = doubleOf(part)
      })
      give(bin, count)
    } else if (field === 2) runs.push(bytesOf(value, DOUBLE_BYTES))
    else if (field === 3) first = signedOf(value)
  })
  for (const run of runs)
    for (let at = 0; at + DOUBLE_BYTES <= run.length; at += DOUBLE_BYTES) give(first++, run.readDoubleLE(at))
}

/** A field of a message of protobuf: varints as numbers, doubles and what has a length as bytes. */
type Field = number | Buffer

function eachField(message: Buffer, take: (field: number, value: Field) => void): void {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = message[at++] ?? refuse('it breaks off')
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    return refuse('a number is too long')
  }
  const bytes = (length: number): Buffer => {
    at += length
    return at <= message.length ? message.subarray(at - length, at) : refuse('it breaks off')
  }
  while (at < message.length) {
    const tag = varint()
    const kind = tag % 8
    if (kind === 0) take(tag >>> 3, varint())
    else if (kind === 1) take(tag >>> 3, bytes(8))
    else if (kind === 2) take(tag >>> 3, bytes(varint()))
    else refuse('it is no message of protobuf')
  }
}

function bytesOf(value: Field, multipleOf = 1): Buffer {
  return typeof value === 'number' || value.length % multipleOf !== 0 ? refuse('a field is of another kind') : value
}

function doubleOf(value: Field): number {
  return typeof value === 'number' || value.length !== DOUBLE_BYTES ? refuse('a field is of another kind') : value.readDoubleLE(0)
}

/** Zigzag, as sint32 is written. */
function signedOf(value: Field): number {
  return typeof value === 'number' ? (value >>> 1) ^ -(value & 1) : refuse('a field is of another kind')
}

function refuse(why: string): never {
  throw new FlowError('CODEC_INVALID', { hint: `a duration sketch cannot be read: ${why}` })
}
