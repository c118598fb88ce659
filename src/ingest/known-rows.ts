/**
 * What was last published of each row, in flat memory: a backfill may remember a million rows of one window, and as objects they take a kilobyte each and are
 * walked by every garbage collection. Here a row takes some 80 bytes beside its id and items, in arrays that the collector does not look into.
 *
 * Rows are numbered in the order in which they first came. A table of hashes finds the number of an id; typed arrays hold what has one size, and blocks of bytes
 * the rest. What a changed row leaves behind, and rows that are forgotten, are cleared away when they are half of all.
 */
import { randomInt } from 'node:crypto'

/** One row as it was last published. */
export interface Known {
  /** Revision of each of the row's records that has no revision of its own in `items`. */
  readonly revision: number
  /** 16 bytes as latin1: what the row said. */
  readonly fingerprint: string
  /** The bot of the row's records, fixed when they were first published. */
  readonly botId: string
  /** Sessions of the row (by the hash of their key) that belong to another bot than `botId`; null: none, as nearly always. */
  readonly otherBots: ReadonlyMap<number, string> | null
  /** Published sessions, messages and events, revisions of some, and the time of the transfer: 10 bytes each as latin1, 6 of the key's hash and 4 of the content's. */
  readonly items: string
  /** How the items are spread over records of the topic; null: they are all in the row's own record. */
  readonly parts: Parts | null
  /** Some of its parts are gone from the topic: what is not in `items` may have been published. */
  readonly hasGaps: boolean
  /** End of the window that the row was last read in. */
  readonly untilMs: number
  /** The vendor may still change the row, and it is followed by its id when it leaves the lookback. */
  readonly open: boolean
}

/** Records that hold the items of one row beside its head. */
export interface Parts {
  readonly itemsPerPart: number
  readonly count: number
  /** When all of them were last written, epoch milliseconds. Parts that do not change grow older than the head, and the topic deletes by age. */
  readonly writtenMs: number
}

const FINGERPRINT_BYTES = 16

/** A row in its block: flags, revision, number of the bot, lengths of id and items, fingerprint, id, items. */
const REVISION_AT = 4
const BOT_AT = 8
const ID_LENGTH_AT = 12
const ITEMS_LENGTH_AT = 16
const FINGERPRINT_AT = 20
const ID_AT = FINGERPRINT_AT + FINGERPRINT_BYTES

const OPEN = 1
const HAS_GAPS = 2
/** It has other bots or parts, which only few rows have: they are kept as objects. */
const HAS_MORE = 4
/** The id has letters beyond latin1, and takes two bytes for each. */
const IS_WIDE = 8

/** Places are counted in words, so that 32 bits reach over 16 GiB. */
const WORD_BYTES = 4
const BLOCK_BYTES = 1024 * 1024
const WORDS_PER_BLOCK = BLOCK_BYTES / WORD_BYTES
/** A process may own a thousand source partitions with some rows each. */
const LEAST_BLOCK_BYTES = 1024
const LEAST_ROWS = 16
/** Texts up to this length are written and read letter by letter: a call into C++ costs more. */
const SHORT = 40

/** Not the number of a row. */
const NONE = -1

interface More {
  readonly otherBots: ReadonlyMap<number, string> | null
  readonly parts: Parts | null
}

export class KnownRows {
  /** Number of each row plus one, at a place that its hash gives; 0: free. Twice as many places as rows, a power of two. */
  #table = new Uint32Array(2 * LEAST_ROWS)
  #hashes = new Uint32Array(LEAST_ROWS)
  #places = new Uint32Array(LEAST_ROWS)
  /** NaN: the row was deleted. */
  #untilMs = new Float64Array(LEAST_ROWS)
  /** See `saw`; -Infinity and NaN: not noted. Null: of no row. */
  #readMs: Float64Array<ArrayBuffer> | null = null
  #timeMs: Float64Array<ArrayBuffer> | null = null
  /** Numbers given out, those of deleted rows among them. */
  #count = 0
  #deleted = 0
  #blocks: Buffer[] = []
  /** Bytes written to the last block. */
  #used = 0
  /** Bytes of all blocks that rows have taken, and of these, bytes that no row needs any more. */
  #taken = 0
  #wasted = 0
  readonly #more = new Map<string, More>()
  readonly #bots: string[] = []
  readonly #botNumbers = new Map<string, number>()
  readonly #seed = randomInt(2 ** 32)
  /** What was looked for last: a row is asked for several times in a row. */
  #lastId: string | null = null
  #last = NONE

  get size(): number {
    return this.#count - this.#deleted
  }

  /** Bytes of memory that rows take, without the few that have other bots or parts. */
  get bytes(): number {
    let bytes = this.#table.byteLength + this.#hashes.byteLength + this.#places.byteLength + this.#untilMs.byteLength
    bytes += (this.#readMs?.byteLength ?? 0) + (this.#timeMs?.byteLength ?? 0)
    for (const block of this.#blocks) bytes += block.length
    return bytes
  }

  has(id: string): boolean {
    return this.#find(id) !== NONE
  }

  get(id: string): Known | undefined {
    const row = this.#find(id)
    return row === NONE ? undefined : this.#known(row, id)
  }

  /** True when the row is known with this fingerprint. */
  isSame(id: string, fingerprint: string): boolean {
    const row = this.#find(id)
    if (row === NONE || fingerprint.length !== FINGERPRINT_BYTES) return false
    const block = this.#blockOf(row)
    const from = this.#atOf(row) + FINGERPRINT_AT
    for (let i = 0; i < FINGERPRINT_BYTES; i++) if (block[from + i] !== fingerprint.charCodeAt(i)) return false
    return true
  }

  /** `untilMs` of the row; undefined: not known. */
  untilMsOf(id: string): number | undefined {
    const row = this.#find(id)
    return row === NONE ? undefined : this.#untilMs[row]
  }

  /** The row was read then. @param timeMs The vendor's time of it; null: the stream has none. @returns false: the row is not known, and nothing was noted. */
  saw(id: string, readMs: number, timeMs: number | null): boolean {
    const row = this.#find(id)
    if (row === NONE) return false
    if (timeMs !== null) (this.#timeMs ??= times(this.#hashes.length, Number.NaN))[row] = timeMs
    if (this.#has(row, OPEN)) (this.#readMs ??= times(this.#hashes.length, -Infinity))[row] = readMs
    return true
  }

  /** The time that `saw` noted; undefined: none. */
  timeOf(id: string): number | undefined {
    const row = this.#timeMs === null ? NONE : this.#find(id)
    const timeMs = row === NONE ? Number.NaN : (this.#timeMs?.[row] ?? Number.NaN)
    return Number.isNaN(timeMs) ? undefined : timeMs
  }

  /** Published items of the row; empty where it is not known. */
  itemsOf(id: string): string {
    const row = this.#find(id)
    return row === NONE ? '' : this.#items(row)
  }

  set(id: string, known: Known): void {
    const { otherBots, parts } = known
    let row = this.#find(id)
    const isWide = !isLatin1(id)
    const idBytes = isWide ? 2 * id.length : id.length
    const bytes = wordsOf(ID_AT + idBytes + known.items.length) * WORD_BYTES
    if (row === NONE) row = this.#add(id, this.#take(bytes))
    else {
      const taken = this.#bytesOf(row)
      if (taken !== bytes) {
        this.#wasted += taken
        this.#places[row] = this.#take(bytes)
      }
    }
    this.#untilMs[row] = known.untilMs
    const block = this.#blockOf(row)
    const at = this.#atOf(row)
    const hasMore = otherBots !== null || parts !== null
    if (hasMore) this.#more.set(id, { otherBots, parts })
    else if (this.#more.size > 0) this.#more.delete(id)
    block[at] = (known.open ? OPEN : 0) | (known.hasGaps ? HAS_GAPS : 0) | (hasMore ? HAS_MORE : 0) | (isWide ? IS_WIDE : 0)
    block.writeInt32LE(known.revision, at + REVISION_AT)
    block.writeUInt32LE(this.#botNumber(known.botId), at + BOT_AT)
    block.writeUInt32LE(idBytes, at + ID_LENGTH_AT)
    block.writeUInt32LE(known.items.length, at + ITEMS_LENGTH_AT)
    writeLatin1(known.fingerprint, block, at + FINGERPRINT_AT)
    if (isWide) block.write(id, at + ID_AT, 'utf16le')
    else writeLatin1(id, block, at + ID_AT)
    writeLatin1(known.items, block, at + ID_AT + idBytes)
    this.#tidy()
  }

  delete(id: string): void {
    const row = this.#find(id)
    if (row !== NONE) this.#remove(row, id)
    this.#tidy()
  }

  /** Deletes the rows for which it is false, and forgets when those were read that are not open. */
  keep(isNeeded: (untilMs: number, open: boolean) => boolean): void {
    for (let row = 0; row < this.#count; row++) {
      const untilMs = this.#untilMs[row] as number
      if (Number.isNaN(untilMs)) continue
      const isOpen = this.#has(row, OPEN)
      if (!isOpen && this.#readMs !== null) this.#readMs[row] = -Infinity
      if (!isNeeded(untilMs, isOpen)) this.#remove(row, this.#more.size > 0 ? this.#id(row) : null)
    }
    this.#tidy()
  }

  /** Ids of open rows with `untilMs` in `(afterMs, untilMs]` that were not read at `notSinceMs` or later, in the order in which rows came. */
  openBetween(afterMs: number, untilMs: number, notSinceMs: number): string[] {
    const ids: string[] = []
    for (let row = 0; row < this.#count; row++) {
      const ownMs = this.#untilMs[row] as number
      const isBetween = ownMs > afterMs && ownMs <= untilMs && this.#has(row, OPEN)
      if (isBetween && (this.#readMs?.[row] ?? -Infinity) < notSinceMs) ids.push(this.#id(row))
    }
    return ids
  }

  /** Rows whose items are in parts. */
  *inParts(): Generator<readonly [id: string, known: Known & { readonly parts: Parts }]> {
    for (const id of this.#more.keys()) {
      const known = this.get(id)
      if (known !== undefined && known.parts !== null) yield [id, { ...known, parts: known.parts }]
    }
  }

  #find(id: string): number {
    if (id === this.#lastId) return this.#last
    const hash = this.#hash(id)
    const mask = this.#table.length - 1
    let found = NONE
    for (let at = hash & mask; this.#table[at] !== 0; at = (at + 1) & mask) {
      const row = (this.#table[at] as number) - 1
      if (this.#hashes[row] === hash && !Number.isNaN(this.#untilMs[row]) && this.#isId(row, id)) {
        found = row
        break
      }
    }
    this.#lastId = id
    this.#last = found
    return found
  }

  #hash(id: string): number {
    let hash = this.#seed
    for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x9e3779b1) ^ (hash >>> 15)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    return (hash ^ (hash >>> 13)) >>> 0
  }

  #isId(row: number, id: string): boolean {
    const block = this.#blockOf(row)
    const at = this.#atOf(row)
    const isWide = ((block[at] as number) & IS_WIDE) !== 0
    if (block.readUInt32LE(at + ID_LENGTH_AT) !== (isWide ? 2 * id.length : id.length)) return false
    const from = at + ID_AT
    if (isWide) {
      for (let i = 0; i < id.length; i++) if (block.readUInt16LE(from + 2 * i) !== id.charCodeAt(i)) return false
    } else for (let i = 0; i < id.length; i++) if (block[from + i] !== id.charCodeAt(i)) return false
    return true
  }

  #id(row: number): string {
    const block = this.#blockOf(row)
    const from = this.#atOf(row) + ID_AT
    return block.toString(
      this.#has(row, IS_WIDE) ? 'utf16le' : 'latin1',
      from,
      from + block.readUInt32LE(from - ID_AT + ID_LENGTH_AT),
    )
  }

  #items(row: number): string {
    const block = this.#blockOf(row)
    const at = this.#atOf(row)
    const from = at + ID_AT + block.readUInt32LE(at + ID_LENGTH_AT)
    return block.toString('latin1', from, from + block.readUInt32LE(at + ITEMS_LENGTH_AT))
  }

  #known(row: number, id: string): Known {
    const block = this.#blockOf(row)
    const at = this.#atOf(row)
    const more = this.#has(row, HAS_MORE) ? this.#more.get(id) : undefined
    return {
      revision: block.readInt32LE(at + REVISION_AT),
      fingerprint: block.toString('latin1', at + FINGERPRINT_AT, at + ID_AT),
      botId: this.#bots[block.readUInt32LE(at + BOT_AT)] as string,
      otherBots: more?.otherBots ?? null,
      items: this.#items(row),
      parts: more?.parts ?? null,
      hasGaps: this.#has(row, HAS_GAPS),
      untilMs: this.#untilMs[row] as number,
      open: this.#has(row, OPEN),
    }
  }

  #has(row: number, flag: number): boolean {
    return ((this.#blockOf(row)[this.#atOf(row)] as number) & flag) !== 0
  }

  #blockOf(row: number): Buffer {
    return this.#blocks[Math.floor((this.#places[row] as number) / WORDS_PER_BLOCK)] as Buffer
  }

  #atOf(row: number): number {
    return ((this.#places[row] as number) % WORDS_PER_BLOCK) * WORD_BYTES
  }

  #bytesOf(row: number): number {
    const block = this.#blockOf(row)
    const at = this.#atOf(row)
    return wordsOf(ID_AT + block.readUInt32LE(at + ID_LENGTH_AT) + block.readUInt32LE(at + ITEMS_LENGTH_AT)) * WORD_BYTES
  }

  /** The number of a new row. */
  #add(id: string, place: number): number {
    if (this.#count === this.#hashes.length) this.#grow()
    const row = this.#count++
    this.#hashes[row] = this.#hash(id)
    this.#places[row] = place
    this.#enter(row)
    this.#lastId = id
    this.#last = row
    return row
  }

  #enter(row: number): void {
    const mask = this.#table.length - 1
    let at = (this.#hashes[row] as number) & mask
    while (this.#table[at] !== 0) at = (at + 1) & mask
    this.#table[at] = row + 1
  }

  #remove(row: number, id: string | null): void {
    this.#wasted += this.#bytesOf(row)
    if (id !== null) this.#more.delete(id)
    // It stays in the table, as a place that is taken, until rows are numbered anew.
    this.#untilMs[row] = Number.NaN
    this.#deleted++
    this.#lastId = null
  }

  /** Room for twice as many rows. */
  #grow(): void {
    const rows = 2 * this.#hashes.length
    this.#hashes = larger(this.#hashes, new Uint32Array(rows))
    this.#places = larger(this.#places, new Uint32Array(rows))
    this.#untilMs = larger(this.#untilMs, new Float64Array(rows))
    this.#readMs &&= larger(this.#readMs, times(rows, -Infinity))
    this.#timeMs &&= larger(this.#timeMs, times(rows, Number.NaN))
    this.#table = new Uint32Array(2 * rows)
    for (let row = 0; row < this.#count; row++) this.#enter(row)
  }

  /** The place of so many bytes. */
  #take(bytes: number): number {
    const block = this.#blocks.at(-1)
    if (block === undefined || block.length - this.#used < bytes) {
      const size = Math.min(BLOCK_BYTES, Math.max(LEAST_BLOCK_BYTES, this.#taken))
      this.#blocks.push(Buffer.allocUnsafeSlow(Math.max(size, bytes)))
      this.#used = 0
    }
    const at = this.#used
    this.#used += bytes
    this.#taken += bytes
    return (this.#blocks.length - 1) * WORDS_PER_BLOCK + at / WORD_BYTES
  }

  /** Numbers the rows anew and moves them together, where that frees half of what is held. */
  #tidy(): void {
    const isSparse = this.#deleted > LEAST_ROWS && this.#deleted > this.#count / 2
    const isWasteful = this.#wasted > LEAST_BLOCK_BYTES && this.#wasted > this.#taken / 2
    if (!isSparse && !isWasteful) return
    const before = { blocks: this.#blocks, places: this.#places, hashes: this.#hashes, count: this.#count }
    const { untilMs, readMs, timeMs } = { untilMs: this.#untilMs, readMs: this.#readMs, timeMs: this.#timeMs }
    let rows = LEAST_ROWS
    while (rows < this.size) rows *= 2
    const sizes: number[] = []
    for (let row = 0; row < before.count; row++) sizes.push(Number.isNaN(untilMs[row]) ? 0 : this.#bytesOf(row))
    this.#table = new Uint32Array(2 * rows)
    this.#hashes = new Uint32Array(rows)
    this.#places = new Uint32Array(rows)
    this.#untilMs = new Float64Array(rows)
    this.#readMs = readMs && times(rows, -Infinity)
    this.#timeMs = timeMs && times(rows, Number.NaN)
    this.#blocks = []
    this.#used = this.#taken = this.#wasted = this.#count = this.#deleted = 0
    this.#lastId = null
    for (let row = 0; row < before.count; row++) {
      const bytes = sizes[row] as number
      if (bytes === 0) continue
      const place = before.places[row] as number
      const from = (place % WORDS_PER_BLOCK) * WORD_BYTES
      const now = this.#count++
      this.#hashes[now] = before.hashes[row] as number
      this.#untilMs[now] = untilMs[row] as number
      if (this.#readMs !== null) this.#readMs[now] = readMs?.[row] as number
      if (this.#timeMs !== null) this.#timeMs[now] = timeMs?.[row] as number
      this.#places[now] = this.#take(bytes)
      before.blocks[Math.floor(place / WORDS_PER_BLOCK)]?.copy(this.#blockOf(now), this.#atOf(now), from, from + bytes)
      this.#enter(now)
    }
  }

  #botNumber(bot: string): number {
    let number = this.#botNumbers.get(bot)
    if (number === undefined) {
      number = this.#bots.push(bot) - 1
      this.#botNumbers.set(bot, number)
    }
    return number
  }
}

function wordsOf(bytes: number): number {
  return Math.ceil(bytes / WORD_BYTES)
}

function isLatin1(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return false
  return true
}

function writeLatin1(text: string, block: Buffer, at: number): void {
  if (text.length > SHORT) block.write(text, at, 'latin1')
  else for (let i = 0; i < text.length; i++) block[at + i] = text.charCodeAt(i)
}

function times(rows: number, none: number): Float64Array<ArrayBuffer> {
  return new Float64Array(rows).fill(none)
}

function larger<A extends Uint32Array<ArrayBuffer> | Float64Array<ArrayBuffer>>(from: A, into: A): A {
  into.set(from)
  return into
}
