/**
 * Which users had sessions, as a HyperLogLog of their `user_id`: `users_sketch` of a SeriesPoint.
 *
 * The bytes are those of Aggregate Knowledge's storage specification 1.0.0; docs/sketches.md has them byte by byte. The same set of users makes the same bytes.
 */
import { FlowError } from './errors.ts'

const LOG2_REGISTERS = 14
export const REGISTERS = 2 ** LOG2_REGISTERS
const WIDTH = 5
/** The highest value of a register. */
export const HIGHEST = 2 ** WIDTH - 1
const MOST_EXPLICIT = 256
const [EMPTY, EXPLICIT, SPARSE, FULL] = [0x11, 0x12, 0x13, 0x14]
const PARAMETERS = ((WIDTH - 1) << 5) | LOG2_REGISTERS
const CUTOFF = 0x40 | (Math.log2(MOST_EXPLICIT) + 1)
const HEAD = 3
const USER_BYTES = 8
const FULL_BYTES = (REGISTERS * WIDTH) / 8
const PAIR_BITS = LOG2_REGISTERS + WIDTH

/** A set of users by their 64 bits, to be written. */
export interface Users {
  add(high: number, low: number): void
  /** As bytes; valid until the next call. */
  encode(): Buffer
  clear(): void
}

export function createUsers(): Users {
  /** Low and high words one after the other: a 64-bit number each, on the little-endian machines that Node runs on. */
  let words = new Int32Array(64)
  let size = 0
  const registers = new Uint8Array(REGISTERS)
  const bytes = Buffer.alloc(HEAD + FULL_BYTES)

  /** Writes each user once, in ascending order. @returns how many there are; more than `MOST_EXPLICIT` are not written. */
  function writeExplicit(): number {
    if (size > 1) new BigInt64Array(words.buffer, 0, size).sort()
    let users = 0
    for (let i = 0; i < size; i++) {
      const [low, high] = [words[2 * i] as number, words[2 * i + 1] as number]
      if (i > 0 && low === words[2 * i - 2] && high === words[2 * i - 1]) continue
      if (users < MOST_EXPLICIT) {
        bytes.writeInt32BE(high, HEAD + users * USER_BYTES)
        bytes.writeInt32BE(low, HEAD + users * USER_BYTES + 4)
      }
      users++
    }
    return users
  }

  function fillRegisters(): number {
    let filled = 0
    registers.fill(0)
    for (let i = 0; i < size; i++) {
      const [low, high] = [words[2 * i] as number, words[2 * i + 1] as number]
      const register = registerOf(low)
      const value = registerValue(high, low)
      if (registers[register] === 0) filled++
      if (value > (registers[register] as number)) registers[register] = value
    }
    return filled
  }

  return {
    add(high, low) {
      if (2 * size === words.length) {
        const more = new Int32Array(words.length * 2)
        more.set(words)
        words = more
      }
      words[2 * size] = low
      words[2 * size + 1] = high
      size++
    },
    encode() {
      bytes[1] = PARAMETERS
      bytes[2] = CUTOFF
      const users = writeExplicit()
      if (users <= MOST_EXPLICIT) {
        bytes[0] = users === 0 ? EMPTY : EXPLICIT
        return bytes.subarray(0, HEAD + users * USER_BYTES)
      }
      const sparseBytes = Math.ceil((fillRegisters() * PAIR_BITS) / 8)
      const isSparse = sparseBytes < FULL_BYTES
      bytes[0] = isSparse ? SPARSE : FULL
      const put = bitWriter(bytes)
      for (let register = 0; register < REGISTERS; register++) {
        const value = registers[register] as number
        if (!isSparse) put(value, WIDTH)
        else if (value > 0) put((register << WIDTH) | value, PAIR_BITS)
      }
      return bytes.subarray(0, HEAD + (isSparse ? sparseBytes : FULL_BYTES))
    },
    clear() {
      size = 0
    },
  }
}

/** The register that a user falls into, by the low word. */
export function registerOf(low: number): number {
  return low & (REGISTERS - 1)
}

/** What the register is raised to, if it is below. @param high At least its low 20 bits count. */
export function registerValue(high: number, low: number): number {
  const rest = low >>> LOG2_REGISTERS
  const zeros = rest === 0 ? 32 - LOG2_REGISTERS + zerosBelow(high) : zerosBelow(rest)
  return Math.min(HIGHEST, zeros + 1)
}

/** Zero bits below the lowest 1; 32 for 0. */
function zerosBelow(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word)
}

/** What a sketch holds: each user's 64 bits, or what registers are raised to. */
export interface UserReader {
  user(high: number, low: number): void
  register(register: number, value: number): void
}

/** @throws FlowError CODEC_INVALID where the bytes are no sketch of these parameters; some of it may have been handed over. */
export function readUsers(sketch: Buffer, reader: UserReader): void {
  const kind = sketch[0]
  if (sketch.length < HEAD || sketch[1] !== PARAMETERS) refuse('its registers are not 16,384 of 5 bits')
  const size = sketch.length - HEAD
  if (kind === EMPTY && size === 0) return
  if (kind === EXPLICIT && size % USER_BYTES === 0) {
    for (let at = HEAD; at < sketch.length; at += USER_BYTES) reader.user(sketch.readInt32BE(at), sketch.readInt32BE(at + 4))
  } else if (kind === SPARSE) {
    const take = bitReader(sketch)
    for (let left = Math.floor((size * 8) / PAIR_BITS); left > 0; left--) {
      const pair = take(PAIR_BITS)
      const value = pair & HIGHEST
      // Up to 7 bits of filling are no pair; so a pair of zeros is none either.
      if (value > 0) reader.register(pair >>> WIDTH, value)
    }
  } else if (kind === FULL && size === FULL_BYTES) {
    const take = bitReader(sketch)
    for (let register = 0; register < REGISTERS; register++) {
      const value = take(WIDTH)
      if (value > 0) reader.register(register, value)
    }
  } else refuse('its kind and length do not belong together')
}

function bitWriter(bytes: Buffer): (value: number, bits: number) => void {
  let at = HEAD
  let held = 0
  let heldBits = 0
  bytes.fill(0, HEAD)
  return (value, bits) => {
    held = (held << bits) | value
    heldBits += bits
    for (; heldBits >= 8; heldBits -= 8) bytes[at++] = (held >>> (heldBits - 8)) & 0xff
    held &= 0xff
    if (heldBits > 0) bytes[at] = (held << (8 - heldBits)) & 0xff
  }
}

function bitReader(bytes: Buffer): (bits: number) => number {
  let at = HEAD
  let held = 0
  let heldBits = 0
  return bits => {
    for (; heldBits < bits; heldBits += 8) held = ((held & 0x7fffff) << 8) | (bytes[at++] ?? 0)
    heldBits -= bits
    return (held >>> heldBits) & ((1 << bits) - 1)
  }
}

/**
 * How many users a sketch stands for (Ertl's improved estimator, arXiv 1702.01284): without bias from none to more than there are people.
 *
 * @param having How many registers have each value, 0 to `HIGHEST`.
 */
export function estimateUsers(having: ArrayLike<number>): number {
  let z = REGISTERS * tau(1 - (having[HIGHEST] as number) / REGISTERS)
  for (let value = HIGHEST - 1; value >= 1; value--) z = (z + (having[value] as number)) / 2
  z += REGISTERS * sigma((having[0] as number) / REGISTERS)
  return (REGISTERS * REGISTERS) / (2 * Math.LN2 * z)
}

function sigma(share: number): number {
  if (share === 1) return Infinity
  let [x, y, z] = [share, 1, share]
  for (let before = -1; z !== before; ) {
    x *= x
    before = z
    z += x * y
    y += y
  }
  return z
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0
  let [x, y, z] = [share, 1, 1 - share]
  for (let before = -1; z !== before; ) {
    x = Math.sqrt(x)
    before = z
    y /= 2
    z -= (1 - x) ** 2 * y
  }
  return z / 3
}

function refuse(why: string): never {
  throw new FlowError('CODEC_INVALID', { hint: `a users sketch cannot be read: ${why}` })
}
