import { gzipSync, zstdCompressSync } from 'node:zlib'
import * as lz4 from 'lz4-napi'
import * as snappy from 'snappy'
import { describe, expect, test } from 'vitest'
import type { ReadRecord, WriteRecord } from '../../src/kafka/port.ts'
import { take } from '../../src/kafka/reader.ts'
import { BATCH_OVERHEAD, type FetchedPartition, produceRequest, readBatches, sizeOfRecord } from '../../src/kafka/wire.ts'
import { original } from './original.ts'

interface Decoded {
  records: { key: Buffer | null; value: Buffer | null; headers: Record<string, Buffer>; offset: string; timestamp: string }[]
  producerId: string
  producerEpoch: number
  firstSequence: number
  inTransaction: boolean
}
const Decoder = original('kafkajs/src/protocol/decoder') as new (buffer: Buffer) => object
const decodeBatch = original('kafkajs/src/protocol/recordBatch/v0/decoder') as (decoder: object) => Promise<Decoded>

const records: WriteRecord[] = [
  { key: null, value: Buffer.from('no key') },
  { key: Buffer.from('no value'), value: null },
  { key: null, value: null },
  { key: Buffer.alloc(0), value: Buffer.alloc(0) },
  { key: Buffer.from('headers'), value: Buffer.from('v'), headers: { ünï: 'cødé', empty: '' } },
  { key: Buffer.alloc(70, 'k'), value: Buffer.alloc(20_000, 'v') },
]

/** The record batch in a produce request for one partition. */
function batchOf(records: readonly WriteRecord[], options: { transactional?: boolean; producerId?: bigint } = {}): Buffer {
  const bytes = records.reduce((sum, record, index) => sum + sizeOfRecord(record, index), BATCH_OVERHEAD)
  const frame = produceRequest({
    transactionalId: options.transactional === false ? null : 'tx',
    producerId: options.producerId ?? 4711n,
    producerEpoch: 3,
    timeoutMs: 1000,
    timestamp: 1_700_000_000_123,
    batches: [{ topic: 't', partition: 5, records: records, start: 0, end: records.length, bytes, sequence: 42 }],
  }).encodeFrame(1, 'client')
  return frame.subarray(frame.length - bytes)
}

function at(batch: Buffer, offset: number): Buffer {
  const copy = Buffer.from(batch)
  copy.writeBigInt64BE(BigInt(offset), 0)
  return copy
}

function fetched(batches: Buffer, aborted: FetchedPartition['aborted'] = []): FetchedPartition {
  return { topic: 't', partition: 5, errorCode: 0, high: 1000, lastStable: 1000, aborted, batches }
}

function read(fetched: FetchedPartition, from: number): { records: ReadRecord[]; next: number } {
  const found: ReadRecord[] = []
  return { next: readBatches(fetched, from, record => found.push(record)), records: found }
}

describe('a batch that was written', () => {
  test('is read correctly by kafkajs, null keys, null values and headers included', async () => {
    const decoded = await decodeBatch(new Decoder(batchOf(records)))
    expect(decoded.records.map(({ key, value }) => ({ key, value }))).toEqual(records.map(({ key, value }) => ({ key, value })))
    expect(decoded.records[4]?.headers).toEqual({ ünï: Buffer.from('cødé'), empty: Buffer.alloc(0) })
    expect(decoded).toMatchObject({ producerId: '4711', producerEpoch: 3, firstSequence: 42, inTransaction: true })
    expect(decoded.records.map(record => record.timestamp)).toEqual(records.map(() => '1700000000123'))
  })

  test('is read correctly by us, from any offset in it', () => {
    const { records: all, next } = read(fetched(at(batchOf(records), 100)), 100)
    expect(all.map(({ key, value }) => ({ key, value }))).toEqual(records.map(({ key, value }) => ({ key, value })))
    expect(all.map(record => record.offset)).toEqual([100, 101, 102, 103, 104, 105])
    expect(all[4]?.headers).toEqual({ ünï: Buffer.from('cødé'), empty: Buffer.alloc(0) })
    expect(all[0]?.timestamp).toBe(1_700_000_000_123)
    expect(next).toBe(106)
    expect(read(fetched(at(batchOf(records), 100)), 104).records.map(record => record.offset)).toEqual([104, 105])
  })

  test('of many records has offsets and lengths of more than one byte', async () => {
    const many = Array.from({ length: 9_000 }, (_, index) => ({
      key: Buffer.from(`k${index}`),
      value: Buffer.alloc(index % 300, 'v'),
    }))
    const decoded = await decodeBatch(new Decoder(batchOf(many)))
    expect(decoded.records.map(record => Number(record.offset))).toEqual(many.map((_, index) => index))
    expect(read(fetched(batchOf(many)), 0).records.map(record => record.value?.length)).toEqual(
      many.map(({ value }) => value.length),
    )
  })
})

describe('reading', () => {
  test('continues after a batch that compaction has emptied', () => {
    const empty = at(batchOf(records), 7).subarray(0, BATCH_OVERHEAD)
    empty.writeInt32BE(BATCH_OVERHEAD - 12, 8)
    empty.writeInt32BE(0, 57)
    expect(() => read(fetched(empty), 7)).toThrow('checksum')
    expect(read(fetched(withChecksum(empty)), 7)).toEqual({ records: [], next: 13 })
  })

  test('continues at the last stable offset after an empty fetch of the partition alone', () => {
    const nothing = { ...fetched(Buffer.alloc(0)), lastStable: 40 }
    expect(take(nothing, 13, true, () => {})).toEqual({ next: 40, isOpen: false })
    expect(take(nothing, 40, true, () => {})).toEqual({ next: 40, isOpen: false })
  })

  test('treats an empty answer among other partitions as no answer', () => {
    const nothing = { ...fetched(Buffer.alloc(0)), lastStable: 40 }
    expect(take(nothing, 13, false, () => {})).toEqual({ next: 13, isOpen: true })
    expect(take(nothing, 40, false, () => {})).toEqual({ next: 40, isOpen: false })
    const part = { ...fetched(at(batchOf(records), 13).subarray(0, 70)), lastStable: 40 }
    for (const alone of [false, true]) expect(take(part, 13, alone, () => {})).toEqual({ next: 13, isOpen: true })
  })

  test('leaves a truncated batch for the next fetch', () => {
    const [first, second] = [at(batchOf(records), 0), at(batchOf(records), 6)]
    const cut = Buffer.concat([first, second.subarray(0, second.length - 1)])
    expect(read(fetched(cut), 0).next).toBe(6)
  })

  test('rejects damaged bytes', () => {
    const damaged = Buffer.from(batchOf(records))
    damaged.writeUInt8((damaged.at(-1) ?? 0) ^ 1, damaged.length - 1)
    expect(() => read(fetched(damaged), 0)).toThrow(expect.objectContaining({ code: 'KAFKA_REFUSED' }))
  })

  test('drops aborted records up to their marker, but not a later transaction of the same producer', () => {
    const one = [{ key: Buffer.alloc(4), value: null }]
    const log = Buffer.concat([
      at(batchOf(one, { producerId: 1n }), 10),
      at(batchOf(one, { producerId: 2n }), 11),
      at(batchOf(one, { producerId: 1n }), 12),
      at(marker(1n, 0), 13),
      at(batchOf(one, { producerId: 1n }), 14),
      at(marker(1n, 1), 15),
      at(batchOf(one, { producerId: 2n, transactional: false }), 16),
      at(batchOf(one, { producerId: 2n }), 17),
      at(marker(2n, 0), 18),
    ])
    const aborted = [
      { producerId: 2n, firstOffset: 3 },
      { producerId: 1n, firstOffset: 1 },
    ]
    const { records: found, next } = read(fetched(log, aborted), 10)
    expect(found.map(record => record.offset)).toEqual([14, 16])
    expect(next).toBe(19)
  })

  const codecs: [string, number, (plain: Buffer) => Buffer][] = [
    ['gzip', 1, plain => gzipSync(plain)],
    ['snappy, one block', 2, plain => snappy.compressSync(plain)],
    ['snappy, as Java streams it in blocks', 2, plain => xerial(plain, 6_000)],
    ['lz4', 3, plain => lz4.compressFrameSync(plain)],
    ['lz4 with checksums', 3, plain => lz4.compressFrameSync(plain, { contentChecksum: true, blockChecksums: true })],
    ['zstd', 4, plain => zstdCompressSync(plain)],
  ]

  test.each(codecs)('unpacks %s', (_, codec, compress) => {
    const found = read(fetched(packed(codec, compress)), 0)
    expect(found.records.map(({ key, value }) => ({ key, value }))).toEqual(records.map(({ key, value }) => ({ key, value })))
    expect(found.next).toBe(records.length)
  })

  test.each(codecs)('reports data that %s cannot decompress', (name, codec) => {
    const [word = ''] = name.split(/,| with/)
    expect(() => read(fetched(packed(codec, () => Buffer.from('nothing of the kind'))), 0)).toThrow(
      expect.objectContaining({
        code: 'KAFKA_REFUSED',
        message: expect.stringContaining(`cannot be decompressed as ${word}`) as string,
      }),
    )
  })

  test('rejects a truncated snappy stream', () => {
    expect(() => read(fetched(packed(2, plain => xerial(plain, 6_000).subarray(0, -3))), 0)).toThrow('snappy')
  })
})

/** The batch of `records`, its body compressed. */
function packed(codec: number, compress: (plain: Buffer) => Buffer): Buffer {
  const plain = batchOf(records)
  const batch = Buffer.concat([plain.subarray(0, BATCH_OVERHEAD), compress(plain.subarray(BATCH_OVERHEAD))])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt16BE(batch.readInt16BE(21) | codec, 21)
  return withChecksum(batch)
}

/** The format of snappy-java's output stream: a header, then blocks prefixed by their length. */
function xerial(plain: Buffer, blockBytes: number): Buffer {
  const parts: Buffer[] = [Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])]
  for (let at = 0; at < plain.length; at += blockBytes) {
    const block = snappy.compressSync(plain.subarray(at, at + blockBytes))
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    parts.push(length, block)
  }
  return Buffer.concat(parts)
}

/** A control batch: commit (1) or abort (0). */
function marker(producerId: bigint, type: 0 | 1): Buffer {
  const control = Buffer.from(batchOf([{ key: Buffer.from([0, 0, 0, type]), value: Buffer.alloc(6) }], { producerId }))
  control.writeInt16BE(0x30, 21)
  return withChecksum(control)
}

function withChecksum(batch: Buffer): Buffer {
  const crc32C = original('kafkajs/src/protocol/recordBatch/crc32C/crc32C') as (bytes: Buffer) => number
  const copy = Buffer.from(batch)
  copy.writeUInt32BE(crc32C(copy.subarray(21)) >>> 0, 17)
  return copy
}
