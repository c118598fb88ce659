/**
 * The series of a server as a file, in the byte order of the machine:
 *
 * | part | |
 * | --- | --- |
 * | `colloquy-series`, a line feed | |
 * | a block with the head | JSON: the layout, of which topic the series are, and how far it was read |
 * | a block for each series, and behind it its sketches | JSON with its labels and what its chunks hold, then their columns; sketches have checksums of their own in that JSON |
 * | a block without content | a file that ends before it is half written |
 *
 * A block is its kind, its length and the checksum of both and of its content (CRC-32), 4 bytes each, and 4 that are 0. Everything begins at a multiple of 8 bytes, so that
 * a chunk that was read is a view of what was read, and nothing is copied.
 *
 * A file is written beside its place and renamed when it is complete: whoever reads finds the old one or the new one.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { endianness } from 'node:os'
import { dirname } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { MEASURES } from '../records.ts'
import { Chunk, CHUNK_CELLS, type ChunkParts, type Column } from './chunk.ts'
import { SKETCHES } from './sketch-pool.ts'
import type { FrozenSeries, SeriesLabels } from './store.ts'

/** Of which topic the series are, and how far it was read. */
export interface SnapshotHead {
  readonly cluster: string
  readonly topic: string
  readonly topicId: string
  /** Everything that was on the topic at this time is in it, by the clock of the server, epoch milliseconds. */
  readonly takenMs: number
  /** By partition: where the topic began when its first record was read, and the next offset to read. */
  readonly partitions: readonly { readonly low: number; readonly next: number }[]
}

/** Why a file is not used. The message is for the log. */
export class Unusable extends Error {}

/**
 * What a reader has to know beside the file: raise `format` whenever the same bytes would mean something else, as with another form of the sketches in memory.
 */
const LAYOUT = { format: 1, measures: MEASURES, sketches: SKETCHES, cells: CHUNK_CELLS, endianness: endianness() }

const MAGIC = Buffer.from('colloquy-series\n')
const HEAD = 1
const SERIES = 2
const END = 3
const BLOCK_BYTES = 16
const PIECE_BYTES = 4 * 1024 * 1024
/** The event loop is left alone after so long. */
const SLICE_MS = 8

/** Series and chunks in JSON. Arrays follow in this order: slots, revisions, columns that are not null. */
interface SeriesMeta {
  readonly key: string
  readonly labels: SeriesLabels
  readonly tiers: readonly (readonly ChunkMeta[])[]
}

interface ChunkMeta {
  readonly number: number
  readonly size: number
  /** Bytes of a value: of the revisions, then of each column; 0: all are 0. */
  readonly widths: readonly number[]
  /** Of each sketch, places and then words stand behind the block. */
  readonly sketches: readonly ({ readonly words: number; readonly free: number; readonly crc: number } | null)[]
}

const padded = (bytes: number) => Math.ceil(bytes / 8) * 8

type Numbers = Column | Uint16Array

const bytesOf = ({ buffer, byteOffset, byteLength }: Numbers) => Buffer.from(buffer, byteOffset, byteLength)

/** Pauses where the event loop was held for long. */
function createPauses(): () => Promise<void> {
  let untilMs = performance.now() + SLICE_MS
  return async () => {
    if (performance.now() < untilMs) return
    await turn()
    untilMs = performance.now() + SLICE_MS
  }
}

/** @returns bytes of the file. @throws Error of the file system */
export async function writeSnapshot(path: string, head: SnapshotHead, series: readonly FrozenSeries[]): Promise<number> {
  const part = `${path}.${randomUUID()}${PART}`
  try {
    const file = await open(part, 'wx', 0o600)
    let bytes: number
    try {
      bytes = await writeAll(file, head, series)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, path)
    const folder = await open(dirname(path), 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
    return bytes
  } catch (error) {
    await rm(part, { force: true }).catch(() => {})
    throw error
  }
}

/** How the names of files end that are being written. */
export const PART = '.part'

async function writeAll(file: FileHandle, head: SnapshotHead, series: readonly FrozenSeries[]): Promise<number> {
  const pause = createPauses()
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  let filled = 0
  let written = 0

  async function flush(): Promise<void> {
    for (let at = 0; at < filled; ) at += (await file.write(piece, at, filled - at)).bytesWritten
    written += filled
    filled = 0
  }

  async function put(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (filled === piece.length) await flush()
      const copied = bytes.copy(piece, filled, at)
      at += copied
      filled += copied
    }
    await pause()
  }

  async function putBlock(kind: number, parts: readonly Buffer[]): Promise<void> {
    const block = Buffer.alloc(BLOCK_BYTES)
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    block.writeUInt32LE(kind, 0)
    block.writeUInt32LE(length, 4)
    block.writeUInt32LE(
      parts.reduce((crc, part) => crc32(part, crc), crc32(block.subarray(0, 8))),
      8,
    )
    await put(block)
    for (const part of parts) await put(part)
  }

  await put(MAGIC)
  await putBlock(HEAD, [jsonOf({ ...LAYOUT, ...head })])
  for (const { key, labels, tiers } of series) {
    const columns: Buffer[] = []
    const sketches: Buffer[] = []
    const metas: ChunkMeta[][] = []
    for (const tier of tiers) {
      const meta: ChunkMeta[] = []
      for (const chunk of tier) {
        meta.push(addChunk(chunk.parts(), columns, sketches))
        await pause()
      }
      metas.push(meta)
    }
    const meta: SeriesMeta = { key, labels, tiers: metas }
    await putBlock(SERIES, [jsonOf(meta), ...columns])
    for (const bytes of sketches) await put(bytes)
  }
  await putBlock(END, [])
  await flush()
  return written
}

/** JSON behind its length, padded. */
function jsonOf(value: object): Buffer {
  const text = Buffer.from(JSON.stringify(value))
  const bytes = Buffer.alloc(padded(4 + text.length))
  bytes.writeUInt32LE(text.length, 0)
  text.copy(bytes, 4)
  return bytes
}

function addChunk(parts: ChunkParts, columns: Buffer[], sketches: Buffer[]): ChunkMeta {
  const add = (into: Buffer[], numbers: Numbers) => {
    const bytes = bytesOf(numbers)
    into.push(bytes)
    if (bytes.length % 8 > 0) into.push(ZEROS.subarray(bytes.length % 8))
  }
  add(columns, parts.slots)
  add(columns, parts.revisions)
  for (const column of parts.columns) if (column) add(columns, column)
  return {
    number: parts.number,
    size: parts.slots.length,
    widths: [parts.revisions, ...parts.columns].map(column => column?.BYTES_PER_ELEMENT ?? 0),
    sketches: parts.sketches.map(sketch => {
      if (sketch === null) return null
      const { places, words, free } = sketch
      const from = sketches.length
      add(sketches, places)
      add(sketches, words)
      return { words: words.length, free, crc: sketches.slice(from).reduce((crc, bytes) => crc32(bytes, crc), 0) }
    }),
  }
}

const ZEROS = Buffer.alloc(8)

/**
 * @param check Throws `Unusable` where the series are not the right ones.
 * @throws Unusable where the file is not whole, or is none of this version; Error of the file system
 */
export async function readSnapshot(
  path: string,
  check: (head: SnapshotHead) => void,
): Promise<{ readonly head: SnapshotHead; readonly series: FrozenSeries[]; readonly bytes: number }> {
  const file = await open(path, 'r')
  try {
    return await readAll(file, check)
  } finally {
    await file.close()
  }
}

async function readAll(file: FileHandle, check: (head: SnapshotHead) => void) {
  const pause = createPauses()
  const { size } = await file.stat()
  let piece = Buffer.alloc(0)
  /** Where the piece begins in the file, and where in the piece reading goes on. */
  let begins = 0
  let at = 0

  /** The next bytes: a view of what was read, at a multiple of 8. */
  async function take(bytes: number): Promise<Buffer> {
    if (begins + at + bytes > size) throw new Unusable('it is half written')
    if (at + bytes > piece.length) {
      begins += at
      at = 0
      piece = Buffer.allocUnsafeSlow(Math.min(size - begins, Math.max(bytes, PIECE_BYTES)))
      for (let filled = 0; filled < piece.length; ) {
        const { bytesRead } = await file.read(piece, filled, piece.length - filled, begins + filled)
        if (bytesRead === 0) throw new Unusable('it is half written')
        filled += bytesRead
      }
    }
    await pause()
    at += bytes
    return piece.subarray(at - bytes, at)
  }

  async function takeBlock(): Promise<{ kind: number; content: Buffer }> {
    const block = await take(BLOCK_BYTES)
    const [kind, length, crc] = [0, 4, 8].map(place => block.readUInt32LE(place)) as [number, number, number]
    const content = await take(length)
    if (crc32(content, crc32(block.subarray(0, 8))) !== crc || block.readUInt32LE(12) !== 0) throw damaged()
    return { kind, content }
  }

  if (size < MAGIC.length || !(await take(MAGIC.length)).equals(MAGIC)) throw new Unusable('it is no snapshot of series')
  const first = await takeBlock()
  if (first.kind !== HEAD) throw damaged()
  const head = readJson(first.content).value as SnapshotHead & typeof LAYOUT
  for (const key of Object.keys(LAYOUT) as (keyof typeof LAYOUT)[]) {
    if (JSON.stringify(head[key]) !== JSON.stringify(LAYOUT[key]))
      throw new Unusable(`it was written by another version of Colloquy, or on another kind of machine (${key})`)
  }
  check(head)
  const series: FrozenSeries[] = []
  for (;;) {
    const { kind, content } = await takeBlock()
    if (kind === END) break
    if (kind !== SERIES) throw damaged()
    const { value, bytes } = readJson(content)
    const meta = value as SeriesMeta
    const columns = content.subarray(bytes)
    let used = 0
    const numbers = (count: number, width: number) => {
      used += padded(count * width)
      if (used > columns.length) throw damaged()
      return numbersOf(columns.subarray(used - padded(count * width)), count, width)
    }
    const tiers: Chunk[][] = []
    for (const tier of meta.tiers) {
      const chunks: Chunk[] = []
      for (const { number, size: cells, widths, sketches } of tier) {
        const slots = numbers(cells, 2) as Uint16Array
        const [revisions, ...measures] = widths.map(width => (width === 0 ? null : numbers(cells, width)))
        const parts = []
        for (const sketch of sketches) {
          if (sketch === null) {
            parts.push(null)
            continue
          }
          const placesBytes = padded(cells * 4)
          const data = await take(placesBytes + padded(sketch.words * 4))
          if (crc32(data) !== sketch.crc) throw damaged()
          const places = numbersOf(data, cells, 4) as Uint32Array
          parts.push({ places, words: numbersOf(data.subarray(placesBytes), sketch.words, 4) as Uint32Array, free: sketch.free })
        }
        chunks.push(Chunk.of({ number, slots, revisions: revisions as Column, columns: measures, sketches: parts }))
      }
      tiers.push(chunks)
    }
    series.push({ key: meta.key, labels: meta.labels, tiers })
  }
  if (begins + at !== size) throw damaged()
  return { head, series, bytes: size }
}

const damaged = () => new Unusable('it is damaged')

/** @returns the value, and how many bytes it takes with its length and padding. */
function readJson(content: Buffer): { readonly value: unknown; readonly bytes: number } {
  const length = content.length < 4 ? Infinity : content.readUInt32LE(0)
  if (padded(4 + length) > content.length) throw damaged()
  return { value: JSON.parse(content.toString('utf8', 4, 4 + length)), bytes: padded(4 + length) }
}

function numbersOf({ buffer, byteOffset }: Buffer, count: number, width: number): Column {
  if (width === 1) return new Uint8Array(buffer, byteOffset, count)
  if (width === 2) return new Uint16Array(buffer, byteOffset, count)
  return width === 4 ? new Uint32Array(buffer, byteOffset, count) : new Float64Array(buffer, byteOffset, count)
}
