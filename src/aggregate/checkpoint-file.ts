/**
 * One file: a header that says what it is of, and columns of numbers as they are in memory, one after the other. Written beside its place and renamed, so that a
 * file is there whole or as it was before; read in order, and believed only when its checksum at the end is right. It is not forced to the disk: what a power failure
 * leaves of it is found out by the checksum.
 *
 * | bytes | what (integers little-endian) |
 * | --- | --- |
 * | 8 | `colloquy` |
 * | 4 | length of the header |
 * | | header, JSON |
 * | 4 | CRC-32 of all before it |
 * | | columns, in the byte order of the machine, which the header names |
 * | 4 | CRC-32 of all before it |
 */
import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { endianness } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'

export type Column = Int32Array | Float64Array | Uint8Array

const MAGIC = Buffer.from('colloquy')
const LENGTH_BYTES = 4
const CRC_BYTES = 4
const MOST_HEADER_BYTES = 64 * 1024 * 1024
/** What is summed up at a time, a fraction of a millisecond; between these others have their turn. */
const SLICE_BYTES = 1024 * 1024
/** No file takes as long to write. What is older was left by a process that was killed. */
const LEFT_BEHIND_MS = 3_600_000

/** @throws the error of the file system; what was there before is there still */
export async function writeColumns(path: string, header: object, columns: readonly Column[]): Promise<void> {
  const text = Buffer.from(JSON.stringify({ ...header, endian: endianness(), bytes: bytesOf(columns) }))
  const head = Buffer.alloc(MAGIC.length + LENGTH_BYTES)
  MAGIC.copy(head)
  head.writeUInt32LE(text.length, MAGIC.length)
  await mkdir(dirname(path), { recursive: true })
  await removeLeftBehind(path)
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = await open(beside, 'wx')
  try {
    const first = Buffer.concat([head, text, sumOf(crc32(text, crc32(head)))])
    let sum = 0
    for (const slice of slicesOf([first, ...columns])) {
      sum = crc32(slice, sum)
      await file.writeFile(slice)
    }
    await file.writeFile(sumOf(sum))
    await file.close()
    await rename(beside, path)
  } catch (error) {
    await file.close().catch(() => {})
    await rm(beside, { force: true }).catch(() => {})
    throw error
  }
}

export interface ColumnFile<H> {
  readonly header: H
  /** Fills a column with what comes next. @throws DamagedFile */
  fill(column: Column): Promise<void>
  /** Call it when every column has been filled. @throws DamagedFile where the file is not what was written */
  verify(): Promise<void>
  close(): Promise<void>
}

/** What a file holds is not what was written. */
export class DamagedFile extends Error {}

/** @returns null where there is no such file. @throws DamagedFile; the error of the file system */
export async function openColumns<H extends object>(path: string): Promise<ColumnFile<H> | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  let sum = 0
  async function fill(column: Column): Promise<void> {
    for (const slice of slicesOf([column])) {
      for (let at = 0; at < slice.length; ) {
        const { bytesRead } = await file.read(slice, at, slice.length - at)
        if (bytesRead === 0) throw new DamagedFile('it ends too early')
        at += bytesRead
      }
      sum = crc32(slice, sum)
    }
  }
  async function verify(): Promise<void> {
    const expected = sum
    const stored = Buffer.alloc(CRC_BYTES)
    await fill(stored)
    if (stored.readUInt32LE() !== expected) throw new DamagedFile('its checksum is wrong')
  }
  try {
    const head = Buffer.alloc(MAGIC.length + LENGTH_BYTES)
    await fill(head)
    const length = head.readUInt32LE(MAGIC.length)
    if (!head.subarray(0, MAGIC.length).equals(MAGIC) || length > MOST_HEADER_BYTES)
      throw new DamagedFile('it does not begin as it should')
    const text = Buffer.alloc(length)
    await fill(text)
    await verify()
    const header = JSON.parse(text.toString()) as H & { readonly endian: string; readonly bytes: number }
    const { size } = await file.stat()
    if (size !== head.length + length + CRC_BYTES + header.bytes + CRC_BYTES)
      throw new DamagedFile('it is not as long as it should be')
    if (header.endian !== endianness()) throw new DamagedFile('it was written by a machine of another kind')
    return { header, fill, verify, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

function sumOf(crc: number): Buffer {
  const bytes = Buffer.alloc(CRC_BYTES)
  bytes.writeUInt32LE(crc)
  return bytes
}

function bytesOf(columns: readonly Column[]): number {
  return columns.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function* slicesOf(columns: readonly Column[]): Iterable<Uint8Array> {
  for (const { buffer, byteOffset, byteLength } of columns) {
    for (let at = 0; at < byteLength; at += SLICE_BYTES)
      yield new Uint8Array(buffer, byteOffset + at, Math.min(SLICE_BYTES, byteLength - at))
  }
}

/** Files beside this one that were never renamed. */
async function removeLeftBehind(path: string): Promise<void> {
  const folder = dirname(path)
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith('.tmp')) continue
    const left = join(folder, name)
    const found = await stat(left).catch(() => null)
    if (found !== null && Date.now() - found.mtimeMs > LEFT_BEHIND_MS) await rm(left, { force: true })
  }
}
