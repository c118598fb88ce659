/**
 * What was last published of each row of one source partition, so that a row read again gives only what is new: nothing when it did not change,
 * else the next revision of it and the items (messages, events) that consumers have not seen. Bounded by the lookback: a row is remembered while
 * it can be read again. Memory is loaded from the versions topic after fencing, and what changes is written in the page's transaction.
 *
 * Memory is changed while a page is worked on, before its transaction is committed. So whoever loses a transaction drops this object and loads
 * another: the topic is the truth.
 *
 * A row with many items takes several records: a head under the row's key, which says how many parts there are, and the items in parts of equal
 * size under keys of their own. Items keep their order, so a change rewrites the head and the parts that differ, in one transaction.
 */
import { crc32c } from '@node-rs/crc32'
import { FlowError } from '../errors.ts'
import type { ReadRecord } from '../kafka/port.ts'
import type { PartitionName } from './cursor.ts'
import { type Known, KnownRows, type Parts } from './known-rows.ts'
import { type Seal, unsealed } from './seal.ts'

export type { Known, Parts }

/** Whether a row that was last read in a window ending then can be read again; `open`: it is followed for longer. */
export type IsNeeded = (untilMs: number, open?: boolean) => boolean

const FORMAT = 1
/** Of a head whose items are in parts. */
const FORMAT_HEAD = 2
/** Of a part. */
const FORMAT_PART = 3
const PARTS_BYTES = 4 + 4 + 4 + 8
const ROW = 0
const REJECT = 1
const OPEN_ROW = 2
const HEAD_BYTES = 2 + 4 + 8 + 16
const ITEM_BYTES = 10
const LEAST_LOOK_SIZE = 1024

/**
 * Key and value of records on the versions topic: key `[connector, stream, scope, row id]`, for a part of a row `[…, row id, number]`, for a reject
 * `[…, "", mark]`.
 */
/** How keys of the source partition's records on the versions topic begin. */
export function keyStartOf({ connector, stream, scope }: PartitionName): string {
  return `${JSON.stringify([connector, stream, scope]).slice(0, -1)},`
}

export class Versions {
  readonly #rows = new KnownRows()
  /** What was rejected, by the mark of its content, to the end of the window it was read in. */
  readonly #rejects = new Map<string, number>()
  /** The vendor's times of rows that were read and are not remembered yet. */
  readonly #timeMs = new Map<string, number>()
  /** While loading: the parts of each row, by their number. */
  readonly #parts = new Map<string, Map<number, string>>()
  #lookAtSize = LEAST_LOOK_SIZE
  readonly #keyStart: string
  readonly #keyStartBytes: Buffer

  readonly #seal: Seal

  /** @param seal Keeps ids of rows on the topic unreadable for others, where the connector hides ids. */
  constructor(of: PartitionName, seal: Seal = unsealed) {
    this.#seal = seal
    this.#keyStart = keyStartOf(of)
    this.#keyStartBytes = Buffer.from(this.#keyStart)
  }

  /** Rows and rejects remembered. */
  get size(): number {
    return this.#rows.size + this.#rejects.size
  }

  /** Bytes of memory that the rows take. */
  get bytes(): number {
    return this.#rows.bytes
  }

  get(rowId: string): Known | undefined {
    return this.#rows.get(rowId)
  }

  set(rowId: string, known: Known): void {
    this.#rows.set(rowId, known)
    if (this.#timeMs.size === 0) return
    const timeMs = this.#timeMs.get(rowId)
    if (timeMs !== undefined) this.#rows.saw(rowId, -Infinity, timeMs)
    this.#timeMs.delete(rowId)
  }

  /** End of the window that the row was last read in; undefined: it is not remembered. */
  untilMsOf(rowId: string): number | undefined {
    return this.#rows.untilMsOf(rowId)
  }

  has(rowId: string): boolean {
    return this.#rows.has(rowId)
  }

  /** `transferred_at` of the row's session as it was first published, epoch milliseconds; null: none, or the row is not remembered. */
  transferredAt(rowId: string): number | null {
    return transferIn(this.#rows.itemsOf(rowId))
  }

  /** True when the row stands published with just this content. */
  isUnchanged(rowId: string, fingerprint: string): boolean {
    return this.#rows.isSame(rowId, fingerprint)
  }

  /** The content was rejected in a window that ends then. */
  reject(mark: string, untilMs: number): void {
    this.#rejects.set(mark, untilMs)
  }

  /** End of the window in which the same content was rejected; undefined: it was not, or that is forgotten. */
  rejectedUntil(mark: string): number | undefined {
    return this.#rejects.get(mark)
  }

  /** Ids of open rows that were last published from a window ending after `afterMs` and not after `untilMs`, and have not been read since `notSinceMs`. */
  openBetween(afterMs: number, untilMs: number, notSinceMs = Infinity): string[] {
    return this.#rows.openBetween(afterMs, untilMs, notSinceMs)
  }

  /** The row was read, changed or not. Known to this process only. @param timeMs The vendor's time of it, where the stream tells it. */
  saw(rowId: string, readMs: number, timeMs: number | null): void {
    if (!this.#rows.saw(rowId, readMs, timeMs) && timeMs !== null) this.#timeMs.set(rowId, timeMs)
  }

  /** The vendor's time of the row, as it was read last; undefined: not since this process began, or the stream does not tell it. */
  timeOf(rowId: string): number | undefined {
    return this.#rows.timeOf(rowId) ?? this.#timeMs.get(rowId)
  }

  rowKey(rowId: string): string {
    return `${this.#keyStart}${JSON.stringify(this.#seal.seal(rowId))}]`
  }

  /** @param part Counts from 0. */
  partKey(rowId: string, part: number): string {
    return `${this.#keyStart}${JSON.stringify(this.#seal.seal(rowId))},${part}]`
  }

  rejectKey(mark: string): string {
    return `${this.#keyStart}"",${JSON.stringify(Buffer.from(mark, 'latin1').toString('base64url'))}]`
  }

  /**
   * Forgets what cannot be read again. Looks only when there is twice as much as after the last look, so that its cost stays small beside
   * what was added since.
   */
  forget(isNeeded: IsNeeded): void {
    if (this.size < this.#lookAtSize) return
    this.#rows.keep(isNeeded)
    for (const [mark, untilMs] of this.#rejects) if (!isNeeded(untilMs)) this.#rejects.delete(mark)
    this.#timeMs.clear()
    this.#lookAtSize = Math.max(LEAST_LOOK_SIZE, 2 * this.size)
  }

  /**
   * Takes in one record of the versions topic, in offset order; records of other source partitions are passed over. `loaded` is called after the last.
   *
   * @throws FlowError CODEC_INVALID
   */
  load(record: ReadRecord, isNeeded: IsNeeded): void {
    const { key, value } = record
    if (key === null || !key.subarray(0, this.#keyStartBytes.length).equals(this.#keyStartBytes)) return
    const [, , , sealedId, rejected] = parseKey(key, record.offset)
    if (typeof sealedId !== 'string') throw invalid(record.offset, 'the key has no row id')
    // Not sealed: written before the connector hid ids.
    const rowId = this.#seal.open(sealedId) ?? sealedId
    if (typeof rejected === 'number') {
      this.#loadPart(rowId, rejected, value, record.offset)
      return
    }
    // A thread of derived sessions, which this config does not derive.
    if (rejected === '') return
    const mark = rejected === undefined ? null : Buffer.from(rejected, 'base64url').toString('latin1')
    if (value === null) {
      if (mark === null) this.#rows.delete(rowId)
      else this.#rejects.delete(mark)
      return
    }
    if ((value[0] !== FORMAT && value[0] !== FORMAT_HEAD) || value.length < HEAD_BYTES) {
      throw invalid(record.offset, `format ${value[0]} is not known`)
    }
    const untilMs = value.readDoubleBE(6)
    if (mark !== null) {
      if (isNeeded(untilMs)) this.#rejects.set(mark, untilMs)
      else this.#rejects.delete(mark)
    } else if (isNeeded(untilMs, value[1] === OPEN_ROW)) this.#rows.set(rowId, this.#decode(value, untilMs))
    else this.#rows.delete(rowId)
  }

  /** Puts the rows together whose items came in parts. */
  loaded(): void {
    for (const [rowId, known] of this.#rows.inParts()) {
      const found = this.#parts.get(rowId)
      const { itemsPerPart, count } = known.parts
      const items = Array.from({ length: count }, (_, part) => found?.get(part) ?? '')
      const hasGaps = items.some((part, index) => part.length < (index < count - 1 ? itemsPerPart * ITEM_BYTES : ITEM_BYTES))
      const parts = hasGaps ? { ...known.parts, writtenMs: -Infinity } : known.parts
      this.#rows.set(rowId, { ...known, items: items.join(''), parts, hasGaps: known.hasGaps || hasGaps })
    }
    this.#parts.clear()
  }

  #loadPart(rowId: string, part: number, value: Buffer | null, offset: number): void {
    let parts = this.#parts.get(rowId)
    if (parts === undefined) this.#parts.set(rowId, (parts = new Map()))
    if (value === null) parts.delete(part)
    else if (value[0] !== FORMAT_PART) throw invalid(offset, `format ${value[0]} of a part is not known`)
    else parts.set(part, value.toString('latin1', 1))
  }

  #decode(value: Buffer, untilMs: number): Known {
    let at = HEAD_BYTES
    const text = () => {
      const length = value.readUInt16BE(at)
      at += 2 + length
      return value.toString('utf8', at - length, at)
    }
    const bot = text()
    const others = value.readUInt16BE(at)
    at += 2
    const otherBots = others === 0 ? null : new Map<number, string>()
    for (let i = 0; i < others; i++) {
      const hash = value.readUIntBE(at, 6)
      at += 6
      otherBots?.set(hash, text())
    }
    const isHead = value[0] === FORMAT_HEAD
    return {
      revision: value.readInt32BE(2),
      fingerprint: value.toString('latin1', 14, 30),
      botId: bot,
      otherBots,
      items: isHead ? '' : value.toString('latin1', at, value.length),
      parts: isHead
        ? { itemsPerPart: value.readUInt32BE(at), count: value.readUInt32BE(at + 4), writtenMs: value.readDoubleBE(at + 12) }
        : null,
      hasGaps: isHead && value.readUInt32BE(at + 8) === 1,
      untilMs,
      open: value[1] === OPEN_ROW,
    }
  }
}

/** Bytes that `writeKnown` needs: of the row's own record, without its parts. */
export function knownBytes(known: Known): number {
  let bytes = HEAD_BYTES + 2 + Buffer.byteLength(known.botId) + 2 + (known.parts ? PARTS_BYTES : known.items.length)
  if (known.otherBots) for (const bot of known.otherBots.values()) bytes += 8 + Buffer.byteLength(bot)
  return bytes
}

/** The value of a row's own record, written at `at`; returns the position after it. */
export function writeKnown(known: Known, buffer: Buffer, at: number): number {
  const { parts } = known
  let end = writeHead(buffer, at, known.open ? OPEN_ROW : ROW, known.revision, known.untilMs, known.fingerprint)
  end = writeText(known.botId, buffer, end)
  end = buffer.writeUInt16BE(known.otherBots?.size ?? 0, end)
  if (known.otherBots) {
    for (const [hash, bot] of known.otherBots) {
      end = buffer.writeUIntBE(hash, end, 6)
      end = writeText(bot, buffer, end)
    }
  }
  if (parts === null) return end + buffer.write(known.items, end, 'latin1')
  buffer[at] = FORMAT_HEAD
  end = buffer.writeUInt32BE(parts.itemsPerPart, end)
  end = buffer.writeUInt32BE(parts.count, end)
  end = buffer.writeUInt32BE(known.hasGaps ? 1 : 0, end)
  return buffer.writeDoubleBE(parts.writtenMs, end)
}

/** Most items of a row's own record, and of a part: so much is written again where one of them changes. */
const ITEMS_PER_PART = 500
/** Parts are written anew when they are so old, changed or not: well within the 7 days that the topic keeps beyond the lookback. */
const REWRITE_MS = 3 * 86_400_000

/** How the items of a row that is `now` are spread over records, given the bytes that key and value of a record may take. */
export function spread(now: Known, before: Known | undefined, mostBytes: number, keyBytes: number, nowMs: number): Parts | null {
  const items = now.items.length / ITEM_BYTES
  const own = knownBytes({ ...now, parts: null })
  if (items <= ITEMS_PER_PART && own + keyBytes <= mostBytes) return null
  const most = Math.min(ITEMS_PER_PART, Math.max(1, Math.floor((mostBytes - keyBytes - PART_KEY_BYTES) / ITEM_BYTES)))
  const standing = before?.parts ?? null
  const isKept = standing !== null && standing.itemsPerPart <= most && nowMs - standing.writtenMs < REWRITE_MS
  const itemsPerPart = isKept ? standing.itemsPerPart : most
  return { itemsPerPart, count: Math.ceil(items / itemsPerPart), writtenMs: isKept ? standing.writtenMs : nowMs }
}

/** What a part's record takes beside the row's key and the items: the number in its key, and the format. */
const PART_KEY_BYTES = 12

/**
 * The parts to write when a row that was `before` becomes `now`: those that differ from what is on the topic. A part that is no more has null items.
 */
export function* changedParts(now: Known, before: Known | undefined): Generator<{ part: number; items: string | null }> {
  const count = now.parts?.count ?? 0
  const standing = before?.parts ?? null
  if (now.parts !== null) {
    const size = now.parts.itemsPerPart * ITEM_BYTES
    const isAnew = standing?.itemsPerPart !== now.parts.itemsPerPart || standing.writtenMs !== now.parts.writtenMs
    for (let part = 0; part < count; part++) {
      const items = now.items.slice(part * size, (part + 1) * size)
      if (isAnew || items !== before?.items.slice(part * size, (part + 1) * size)) yield { part, items }
    }
  }
  for (let part = count; part < (standing?.count ?? 0); part++) yield { part, items: null }
}

/** Bytes that `writePart` needs. */
export function partBytes(items: string): number {
  return 1 + items.length
}

/** The value of a part's record, written at `at`; returns the position after it. */
export function writePart(items: string, buffer: Buffer, at: number): number {
  buffer[at] = FORMAT_PART
  return at + 1 + buffer.write(items, at + 1, 'latin1')
}

export const REJECT_BYTES = HEAD_BYTES

/** The value of a reject's version, written at `at`; returns the position after it. */
export function writeReject(mark: string, untilMs: number, buffer: Buffer, at: number): number {
  return writeHead(buffer, at, REJECT, 0, untilMs, mark)
}

function writeHead(buffer: Buffer, at: number, kind: number, revision: number, untilMs: number, mark: string): number {
  buffer[at] = FORMAT
  buffer[at + 1] = kind
  buffer.writeInt32BE(revision, at + 2)
  buffer.writeDoubleBE(untilMs, at + 6)
  buffer.write(mark, at + 14, 16, 'latin1')
  return at + HEAD_BYTES
}

function writeText(text: string, buffer: Buffer, at: number): number {
  const length = buffer.write(text, at + 2)
  buffer.writeUInt16BE(length, at)
  return at + 2 + length
}

function parseKey(key: Buffer, offset: number): (string | number | undefined)[] {
  try {
    return JSON.parse(key.toString()) as (string | number | undefined)[]
  } catch (error) {
    throw invalid(offset, 'the key is not JSON', error)
  }
}

function invalid(offset: number, hint: string, cause?: unknown): FlowError {
  return new FlowError('CODEC_INVALID', { offset, hint: `a version: ${hint}` }, cause)
}

/**
 * The published items of the row in hand, one object reused for row after row: `open` with what is known, `put` what the row holds now, `close`
 * to get what is known afterwards. Items that the vendor no longer shows stay, so that they are not published again when they come back.
 */
export class Items {
  readonly #contents = new Map<number, number>()
  #bytes = Buffer.allocUnsafeSlow(ITEM_BYTES * 1024)

  open(items: string): void {
    this.#contents.clear()
    if (items.length === 0) return
    this.#reserve(items.length)
    this.#bytes.write(items, 0, 'latin1')
    for (let at = 0; at < items.length; at += ITEM_BYTES) {
      this.#contents.set(this.#bytes.readUIntBE(at, 6), this.#bytes.readUInt32BE(at + 6))
    }
  }

  /** The content's hash as it was published, or undefined when the item was not. */
  get(keyHash: number): number | undefined {
    return this.#contents.get(keyHash)
  }

  put(keyHash: number, contentHash: number): void {
    this.#contents.set(keyHash, contentHash)
  }

  /** When the row's session was handed over: the first time stays. Two items, because an item holds 32 bits. */
  putTransfer(atMs: number): void {
    if (this.#contents.has(TRANSFER_HIGH)) return
    this.#contents.set(TRANSFER_HIGH, Math.floor(atMs / WORD))
    this.#contents.set(TRANSFER_LOW, atMs % WORD)
  }

  /** The time that `putTransfer` kept; null: none. */
  transfer(): number | null {
    return timeOfWords(this.#contents.get(TRANSFER_HIGH), this.#contents.get(TRANSFER_LOW))
  }

  /** In the order in which they were first put, so that what stands in a part stays in it. */
  close(): string {
    this.#reserve(this.#contents.size * ITEM_BYTES)
    const bytes = this.#bytes
    let at = 0
    for (const [key, content] of this.#contents) {
      bytes.writeUIntBE(key, at, 6)
      bytes.writeUInt32BE(content, at + 6)
      at += ITEM_BYTES
    }
    return bytes.toString('latin1', 0, at)
  }

  #reserve(bytes: number): void {
    if (this.#bytes.length < bytes) this.#bytes = Buffer.allocUnsafeSlow(2 * bytes)
  }
}

/** 48 bits of an item's kind and key. Unique enough inside one row, which is where it is used. */
export function keyHash(kind: number, key: string): number {
  let high = 0xdeadbeef ^ kind
  let low = 0x41c6ce57 ^ kind
  for (let i = 0; i < key.length; i++) {
    const char = key.charCodeAt(i)
    high = Math.imul(high ^ char, 0x9e3779b1)
    low = Math.imul(low ^ char, 0x5f356495)
  }
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35)
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35)
  return (high & 0xffff) * 0x1_0000_0000 + (low >>> 0)
}

export function contentHash(bytes: Buffer): number {
  return crc32c(bytes)
}

/** Keys of the two items that hold the time of a transfer: kinds that no record has. */
const TRANSFER_HIGH = keyHash(16, '')
const TRANSFER_LOW = keyHash(17, '')
const WORD = 2 ** 32

function transferIn(items: string): number | null {
  let high: number | undefined
  let low: number | undefined
  const bytes = Buffer.from(items, 'latin1')
  for (let at = 0; at < bytes.length; at += ITEM_BYTES) {
    const key = bytes.readUIntBE(at, 6)
    if (key === TRANSFER_HIGH) high = bytes.readUInt32BE(at + 6)
    else if (key === TRANSFER_LOW) low = bytes.readUInt32BE(at + 6)
  }
  return timeOfWords(high, low)
}

function timeOfWords(high: number | undefined, low: number | undefined): number | null {
  return high === undefined || low === undefined ? null : high * WORD + low
}
