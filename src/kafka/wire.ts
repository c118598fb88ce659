/**
 * The two requests that carry records, encoded and decoded by hand: Produce version 7 and Fetch version 11, record batches of format 2. And four more:
 * ListOffsets, whose answer kafkajs throws away when one partition has an error; IncrementalAlterConfigs and DescribeTransactions, which it does not have; and
 * Metadata in the version that has the ids of topics.
 *
 * kafkajs spends most of its time per record in its own encoders and decoders (23 µs per record against 5 when the request is written into one buffer); it
 * still does everything else of the protocol.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { crc32c } from '@node-rs/crc32'
import { decompressFrameSync } from 'lz4-napi'
import { uncompressSync } from 'snappy'
import { FlowError } from '../errors.ts'
import type { ReadRecord, TopicPartition, TopicSettings, WriteRecord } from './port.ts'

const PRODUCE = 0
const FETCH = 1
const LIST_OFFSETS = 2
const METADATA = 3
const ALTER_CONFIGS = 44
const DESCRIBE_TRANSACTIONS = 65

/** Bytes of a record batch before its first record. */
export const BATCH_OVERHEAD = 61

/** Where the part counted by the batch length begins, and the part covered by its checksum. */
const LENGTH_END = 12
const CHECKSUM_END = 21

const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const COMPRESSION = 0x07
const LOG_APPEND_TIME = 0x08

const NO_HEADERS: Readonly<Record<string, Buffer>> = Object.freeze({})

/** Bytes of a zigzag varint that holds a length or count (never negative, below 2^31). */
function sizeOfLength(value: number): number {
  if (value < 0x40) return 1
  if (value < 0x2000) return 2
  if (value < 0x10_0000) return 3
  return value < 0x800_0000 ? 4 : 5
}

function sizeOfBytes(bytes: Buffer | null): number {
  return bytes === null ? 1 : sizeOfLength(bytes.length) + bytes.length
}

/** Bytes of a record after its own length, at the given place in its batch. */
export function bodySize(record: WriteRecord, index: number): number {
  // One byte each for attributes and the time, which is the batch's.
  let size = 2 + sizeOfLength(index) + sizeOfBytes(record.key) + sizeOfBytes(record.value)
  if (record.headers === undefined) return size + 1
  const names = Object.keys(record.headers)
  size += sizeOfLength(names.length)
  for (const name of names) {
    const nameBytes = Buffer.byteLength(name)
    const valueBytes = Buffer.byteLength(record.headers[name] ?? '')
    size += sizeOfLength(nameBytes) + nameBytes + sizeOfLength(valueBytes) + valueBytes
  }
  return size
}

/** Bytes of the record in a batch, its length included; a few more if it is the first. */
export function sizeOfRecord(record: WriteRecord, index: number): number {
  const body = bodySize(record, index)
  return sizeOfLength(body) + body
}

/** A part of what one partition gets: `records[start, end)`, which take `bytes` in a batch, its header included. */
export interface RecordBatch extends TopicPartition {
  readonly records: readonly WriteRecord[]
  readonly start: number
  readonly end: number
  readonly bytes: number
  /** Sequence number of the first record among what this producer has sent to the partition. */
  readonly sequence: number
}

export interface ProduceRequest {
  readonly transactionalId: string | null
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly timeoutMs: number
  /** Time of every record, epoch milliseconds. */
  readonly timestamp: number
  /** At most one per partition; those of one topic are adjacent. */
  readonly batches: readonly RecordBatch[]
}

/** A Produce request (acks of all replicas, no compression) in one buffer. */
export function produceRequest(request: ProduceRequest) {
  return {
    apiKey: PRODUCE,
    apiVersion: 7,
    apiName: 'Produce',
    encodeFrame: (correlationId: number, clientId: string | null) => encodeProduce(request, correlationId, clientId),
  }
}

function encodeProduce(request: ProduceRequest, correlationId: number, clientId: string | null): Buffer {
  const topics = new Map<string, RecordBatch[]>()
  for (const batch of request.batches) {
    const entry = topics.get(batch.topic)
    if (entry === undefined) topics.set(batch.topic, [batch])
    else entry.push(batch)
  }
  let size = headerSize(clientId) + sizeOfString(request.transactionalId) + 2 + 4 + 4
  for (const [topic, batches] of topics) {
    size += sizeOfString(topic) + 4
    for (const batch of batches) size += 8 + batch.bytes
  }
  const buf = Buffer.allocUnsafe(size)
  let at = writeHeader(buf, { apiKey: PRODUCE, apiVersion: 7, correlationId, clientId })
  at = writeString(buf, at, request.transactionalId)
  at = buf.writeInt16BE(-1, at)
  at = buf.writeInt32BE(request.timeoutMs, at)
  at = buf.writeInt32BE(topics.size, at)
  for (const [topic, batches] of topics) {
    at = writeString(buf, at, topic)
    at = buf.writeInt32BE(batches.length, at)
    for (const batch of batches) {
      at = buf.writeInt32BE(batch.partition, at)
      at = buf.writeInt32BE(batch.bytes, at)
      at = writeBatch(buf, at, batch, request)
    }
  }
  if (at !== size) throw new FlowError('BUG', { hint: 'a produce request does not have its computed length', size, written: at })
  return buf
}

function writeBatch(buf: Buffer, start: number, batch: RecordBatch, request: ProduceRequest): number {
  const count = batch.end - batch.start
  const time = BigInt(request.timestamp)
  let at = buf.writeBigInt64BE(0n, start)
  at = buf.writeInt32BE(batch.bytes - LENGTH_END, at)
  at = buf.writeInt32BE(-1, at)
  at = buf.writeInt8(2, at)
  at += 4
  at = buf.writeInt16BE(request.transactionalId === null ? 0 : TRANSACTIONAL, at)
  at = buf.writeInt32BE(count - 1, at)
  at = buf.writeBigInt64BE(time, at)
  at = buf.writeBigInt64BE(time, at)
  at = buf.writeBigInt64BE(request.producerId, at)
  at = buf.writeInt16BE(request.producerEpoch, at)
  at = buf.writeInt32BE(batch.sequence, at)
  at = buf.writeInt32BE(count, at)
  for (let index = 0; index < count; index++) {
    const record = batch.records[batch.start + index]
    if (record !== undefined) at = writeRecord(buf, at, record, index)
  }
  buf.writeUInt32BE(crc32c(buf.subarray(start + CHECKSUM_END, at)), start + CHECKSUM_END - 4)
  return at
}

function writeRecord(buf: Buffer, start: number, record: WriteRecord, index: number): number {
  let at = writeLength(buf, start, bodySize(record, index))
  buf[at++] = 0
  buf[at++] = 0
  at = writeLength(buf, at, index)
  at = writeBytes(buf, at, record.key)
  at = writeBytes(buf, at, record.value)
  if (record.headers === undefined) {
    buf[at++] = 0
    return at
  }
  const names = Object.keys(record.headers)
  at = writeLength(buf, at, names.length)
  for (const name of names) {
    const value = record.headers[name] ?? ''
    at = writeLength(buf, at, Buffer.byteLength(name))
    at += buf.write(name, at)
    at = writeLength(buf, at, Buffer.byteLength(value))
    at += buf.write(value, at)
  }
  return at
}

/** Zigzag, as in record batches. */
function writeLength(buf: Buffer, start: number, value: number): number {
  return writeVarint(buf, start, value * 2)
}

function writeVarint(buf: Buffer, start: number, value: number): number {
  let at = start
  let rest = value
  while (rest > 0x7f) {
    buf[at++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  buf[at++] = rest
  return at
}

function writeBytes(buf: Buffer, start: number, bytes: Buffer | null): number {
  if (bytes === null) {
    buf[start] = 1
    return start + 1
  }
  const at = writeLength(buf, start, bytes.length)
  bytes.copy(buf, at)
  return at + bytes.length
}

function sizeOfString(text: string | null): number {
  return 2 + (text === null ? 0 : Buffer.byteLength(text))
}

function writeString(buf: Buffer, start: number, text: string | null): number {
  if (text === null) return buf.writeInt16BE(-1, start)
  const at = buf.writeInt16BE(Buffer.byteLength(text), start)
  return at + buf.write(text, at)
}

function headerSize(clientId: string | null): number {
  return 4 + 2 + 2 + 4 + sizeOfString(clientId)
}

/** Length (of the whole buffer, less itself) and request header, version 1. */
function writeHeader(
  buf: Buffer,
  header: { apiKey: number; apiVersion: number; correlationId: number; clientId: string | null },
): number {
  let at = buf.writeInt32BE(buf.length - 4, 0)
  at = buf.writeInt16BE(header.apiKey, at)
  at = buf.writeInt16BE(header.apiVersion, at)
  at = buf.writeInt32BE(header.correlationId, at)
  return writeString(buf, at, header.clientId)
}

export interface ProducedPartition extends TopicPartition {
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  readonly baseOffset: number
}

export interface Produced {
  readonly throttleMs: number
  readonly partitions: readonly ProducedPartition[]
}

export function decodeProduced(payload: Buffer): Produced {
  const from = new Cursor(payload)
  const partitions: ProducedPartition[] = []
  for (let topics = from.int32(); topics > 0; topics--) {
    const topic = from.string()
    for (let count = from.int32(); count > 0; count--) {
      const partition = from.int32()
      const errorCode = from.int16()
      const baseOffset = from.int64()
      from.skip(16)
      partitions.push({ topic, partition, errorCode, baseOffset })
    }
  }
  return { throttleMs: from.int32(), partitions }
}

export interface FetchRequest {
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly maxBytesPerPartition: number
  /** In the order in which the broker fills its answer. */
  readonly places: readonly (TopicPartition & { readonly offset: number })[]
}

/** A read-committed Fetch request without a session. */
export function fetchRequest(request: FetchRequest) {
  return {
    apiKey: FETCH,
    apiVersion: 11,
    apiName: 'Fetch',
    encodeFrame: (correlationId: number, clientId: string | null) => encodeFetch(request, correlationId, clientId),
  }
}

function encodeFetch(request: FetchRequest, correlationId: number, clientId: string | null): Buffer {
  // Adjacent partitions of one topic share an entry; the order is kept, because it decides which is served first.
  const topics: { topic: string; places: FetchRequest['places'][number][] }[] = []
  for (const place of request.places) {
    const last = topics.at(-1)
    if (last !== undefined && last.topic === place.topic) last.places.push(place)
    else topics.push({ topic: place.topic, places: [place] })
  }
  let size = headerSize(clientId) + 4 + 4 + 4 + 4 + 1 + 4 + 4 + 4 + 4 + 2
  for (const { topic, places } of topics) size += sizeOfString(topic) + 4 + places.length * 28
  const buf = Buffer.allocUnsafe(size)
  let at = writeHeader(buf, { apiKey: FETCH, apiVersion: 11, correlationId, clientId })
  at = buf.writeInt32BE(-1, at)
  at = buf.writeInt32BE(request.maxWaitMs, at)
  at = buf.writeInt32BE(1, at)
  at = buf.writeInt32BE(request.maxBytes, at)
  at = buf.writeInt8(1, at)
  at = buf.writeInt32BE(0, at)
  at = buf.writeInt32BE(-1, at)
  at = buf.writeInt32BE(topics.length, at)
  for (const { topic, places } of topics) {
    at = writeString(buf, at, topic)
    at = buf.writeInt32BE(places.length, at)
    for (const { partition, offset } of places) {
      at = buf.writeInt32BE(partition, at)
      at = buf.writeInt32BE(-1, at)
      at = buf.writeBigInt64BE(BigInt(offset), at)
      at = buf.writeBigInt64BE(-1n, at)
      at = buf.writeInt32BE(request.maxBytesPerPartition, at)
    }
  }
  at = buf.writeInt32BE(0, at)
  writeString(buf, at, '')
  return buf
}

export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

export interface FetchedPartition extends TopicPartition {
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  readonly high: number
  /** Last stable offset: no transaction is open below it. */
  readonly lastStable: number
  readonly aborted: readonly AbortedTransaction[]
  /** Record batches, the last of which may be cut off. */
  readonly batches: Buffer
}

export interface Fetched {
  readonly throttleMs: number
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

export function decodeFetched(payload: Buffer): Fetched {
  const from = new Cursor(payload)
  const throttleMs = from.int32()
  const errorCode = from.int16()
  from.skip(4)
  const partitions: FetchedPartition[] = []
  for (let topics = from.int32(); topics > 0; topics--) {
    const topic = from.string()
    for (let count = from.int32(); count > 0; count--) {
      const partition = from.int32()
      const partitionError = from.int16()
      const high = from.int64()
      const lastStable = from.int64()
      from.skip(8)
      const aborted: AbortedTransaction[] = []
      for (let transactions = from.int32(); transactions > 0; transactions--) {
        aborted.push({ producerId: from.bigInt64(), firstOffset: from.int64() })
      }
      from.skip(4)
      partitions.push({ topic, partition, errorCode: partitionError, high, lastStable, aborted, batches: from.bytes() })
    }
  }
  return { throttleMs, errorCode, partitions }
}

/** The first existing offset, and the one after the last (records of open transactions included). */
export const EARLIEST = -2
export const LATEST = -1

/** A ListOffsets request, version 2, with isolation 0. */
export function listOffsetsRequest(request: { readonly timestamp: number; readonly places: readonly TopicPartition[] }) {
  return {
    apiKey: LIST_OFFSETS,
    apiVersion: 2,
    apiName: 'ListOffsets',
    encodeFrame: (correlationId: number, clientId: string | null) => {
      const topics = Map.groupBy(request.places, place => place.topic)
      let size = headerSize(clientId) + 4 + 1 + 4
      for (const [topic, places] of topics) size += sizeOfString(topic) + 4 + places.length * 12
      const buf = Buffer.alloc(size)
      let at = writeHeader(buf, { apiKey: LIST_OFFSETS, apiVersion: 2, correlationId, clientId })
      at = buf.writeInt32BE(-1, at)
      at = buf.writeInt8(0, at)
      at = buf.writeInt32BE(topics.size, at)
      for (const [topic, places] of topics) {
        at = writeString(buf, at, topic)
        at = buf.writeInt32BE(places.length, at)
        for (const { partition } of places) {
          at = buf.writeInt32BE(partition, at)
          at = buf.writeBigInt64BE(BigInt(request.timestamp), at)
        }
      }
      return buf
    },
  }
}

export interface ListedPartition extends TopicPartition {
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  /** −1: the broker has no answer. */
  readonly offset: number
}

export function decodeListed(payload: Buffer): { readonly throttleMs: number; readonly partitions: readonly ListedPartition[] } {
  const from = new Cursor(payload)
  const throttleMs = from.int32()
  const partitions: ListedPartition[] = []
  for (let topics = from.int32(); topics > 0; topics--) {
    const topic = from.string()
    for (let count = from.int32(); count > 0; count--) {
      const partition = from.int32()
      const errorCode = from.int16()
      from.skip(8)
      partitions.push({ topic, partition, errorCode, offset: from.int64() })
    }
  }
  return { throttleMs, partitions }
}

const TOPIC_RESOURCE = 2
const SET = 0

/** Sets the given settings of topics, and leaves the others: IncrementalAlterConfigs, version 0, supported by brokers from 2.3 on. */
export function alterConfigsRequest(changes: readonly TopicSettings[]) {
  return {
    apiKey: ALTER_CONFIGS,
    apiVersion: 0,
    apiName: 'IncrementalAlterConfigs',
    encodeFrame: (correlationId: number, clientId: string | null) => {
      let size = headerSize(clientId) + 4 + 1
      for (const { topic, settings } of changes) {
        size += 1 + sizeOfString(topic) + 4
        for (const [name, value] of Object.entries(settings)) size += sizeOfString(name) + 1 + sizeOfString(value)
      }
      const buf = Buffer.alloc(size)
      let at = writeHeader(buf, { apiKey: ALTER_CONFIGS, apiVersion: 0, correlationId, clientId })
      at = buf.writeInt32BE(changes.length, at)
      for (const { topic, settings } of changes) {
        at = buf.writeInt8(TOPIC_RESOURCE, at)
        at = writeString(buf, at, topic)
        at = buf.writeInt32BE(Object.keys(settings).length, at)
        for (const [name, value] of Object.entries(settings)) {
          at = writeString(buf, at, name)
          at = buf.writeInt8(SET, at)
          at = writeString(buf, at, value)
        }
      }
      return buf
    },
  }
}

export interface Altered {
  readonly throttleMs: number
  readonly resources: readonly { readonly name: string; readonly errorCode: number; readonly message: string }[]
}

export function decodeAltered(payload: Buffer): Altered {
  const from = new Cursor(payload)
  const throttleMs = from.int32()
  const resources: { name: string; errorCode: number; message: string }[] = []
  for (let count = from.int32(); count > 0; count--) {
    const errorCode = from.int16()
    const message = from.string()
    from.skip(1)
    resources.push({ errorCode, message, name: from.string() })
  }
  return { throttleMs, resources }
}

/** The coordinator's state of a transactional id. */
export interface TransactionState {
  readonly throttleMs: number
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  /** Such as Empty, Ongoing, PrepareAbort, CompleteAbort, CompleteCommit. */
  readonly state: string
  readonly producerId: bigint
  readonly producerEpoch: number
}

/** Goes to the coordinator of the transactional id; supported by brokers from 3.0 on. */
export function describeTransactionRequest(transactionalId: string) {
  return {
    apiKey: DESCRIBE_TRANSACTIONS,
    apiVersion: 0,
    apiName: 'DescribeTransactions',
    encodeFrame: (correlationId: number, clientId: string | null) => {
      const idBytes = Buffer.byteLength(transactionalId)
      // A compact format: lengths are stored plus one, as plain varints; a tag section (empty) ends header and body.
      const lengthBytes = sizeOfLength(Math.floor((idBytes + 1) / 2))
      const buf = Buffer.alloc(headerSize(clientId) + 1 + 1 + lengthBytes + idBytes + 1)
      let at = writeHeader(buf, { apiKey: DESCRIBE_TRANSACTIONS, apiVersion: 0, correlationId, clientId })
      at = buf.writeInt8(0, at)
      at = buf.writeInt8(2, at)
      at = writeVarint(buf, at, idBytes + 1)
      buf.write(transactionalId, at)
      return buf
    },
  }
}

export function decodeTransactionState(payload: Buffer): TransactionState {
  const from = new Cursor(payload)
  from.skip(1)
  const throttleMs = from.int32()
  from.skip(1)
  const errorCode = from.int16()
  from.compactString()
  const state = from.compactString()
  from.skip(4 + 8)
  return { throttleMs, errorCode, state, producerId: from.bigInt64(), producerEpoch: from.int16() }
}

/** Metadata knows ids of topics from this version on, brokers from 2.8 on. */
export const TOPIC_ID_VERSION = 10

/** The metadata of one topic, which is not created by asking for it. */
export function topicIdRequest(topic: string) {
  return {
    apiKey: METADATA,
    apiVersion: TOPIC_ID_VERSION,
    apiName: 'Metadata',
    encodeFrame: (correlationId: number, clientId: string | null) => {
      const topicBytes = Buffer.byteLength(topic)
      const lengthBytes = sizeOfLength(Math.floor((topicBytes + 1) / 2))
      // Compact, as above: a tag section ends the header, the topic and the body.
      const buf = Buffer.alloc(headerSize(clientId) + 1 + 1 + UUID_BYTES + lengthBytes + topicBytes + 1 + 3 + 1)
      let at = writeHeader(buf, { apiKey: METADATA, apiVersion: TOPIC_ID_VERSION, correlationId, clientId })
      at = buf.writeInt8(0, at)
      at = buf.writeInt8(2, at)
      at = writeVarint(buf, at + UUID_BYTES, topicBytes + 1)
      buf.write(topic, at)
      return buf
    },
  }
}

const UUID_BYTES = 16

export interface TopicId {
  readonly throttleMs: number
  /** Kafka's error code; 0 is none. */
  readonly errorCode: number
  /** 32 hexadecimal digits; all 0: the cluster gives topics no ids. */
  readonly id: string
}

export function decodeTopicId(payload: Buffer): TopicId {
  const from = new Cursor(payload)
  from.skipTags()
  const throttleMs = from.int32()
  for (let brokers = from.varint() - 1; brokers > 0; brokers--) {
    from.skip(4)
    from.compactString()
    from.skip(4)
    from.compactString()
    from.skipTags()
  }
  from.compactString()
  from.skip(4)
  const topics = from.varint() - 1
  if (topics < 1) return { throttleMs, errorCode: UNKNOWN_TOPIC, id: '' }
  const errorCode = from.int16()
  from.compactString()
  return { throttleMs, errorCode, id: from.take(UUID_BYTES).toString('hex') }
}

const UNKNOWN_TOPIC = 3

/** Reads the fixed-width types of Kafka's protocol one after the other. */
class Cursor {
  private at = 0
  private readonly buf: Buffer

  constructor(buf: Buffer) {
    this.buf = buf
  }

  int16(): number {
    this.at += 2
    return this.buf.readInt16BE(this.at - 2)
  }

  int32(): number {
    this.at += 4
    return this.buf.readInt32BE(this.at - 4)
  }

  bigInt64(): bigint {
    this.at += 8
    return this.buf.readBigInt64BE(this.at - 8)
  }

  int64(): number {
    return Number(this.bigInt64())
  }

  string(): string {
    const length = this.int16()
    this.at += Math.max(length, 0)
    return this.buf.toString('utf8', this.at - Math.max(length, 0), this.at)
  }

  /** Unsigned, up to 32 bits. */
  varint(): number {
    let value = 0
    let shift = 0
    let byte: number
    do {
      byte = this.buf[this.at++] ?? 0
      value |= (byte & 0x7f) << shift
      shift += 7
    } while (byte >= 0x80 && shift < 35)
    return value
  }

  compactString(): string {
    return this.take(Math.max(this.varint() - 1, 0)).toString()
  }

  skipTags(): void {
    for (let tags = this.varint(); tags > 0; tags--) {
      this.varint()
      this.skip(this.varint())
    }
  }

  take(bytes: number): Buffer {
    this.at += bytes
    return this.buf.subarray(this.at - bytes, this.at)
  }

  bytes(): Buffer {
    const length = Math.max(this.int32(), 0)
    this.at += length
    return this.buf.subarray(this.at - length, this.at)
  }

  skip(bytes: number): void {
    this.at += bytes
  }
}

/**
 * Decodes the committed records that a fetch brought for one partition.
 *
 * The broker lists aborted transactions with producer and first offset; records of a producer are dropped from there to its abort marker.
 *
 * @param from Requested offset: a batch that began earlier is read from there on.
 * @returns Offset after the last whole batch, control and aborted ones included; `from` when there was none.
 * @throws FlowError KAFKA_REFUSED when bytes are damaged or compressed with an unsupported codec.
 */
export function readBatches(fetched: FetchedPartition, from: number, onRecord: (record: ReadRecord) => void): number {
  const buf = fetched.batches
  const coming = fetched.aborted.length < 2 ? fetched.aborted : fetched.aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const open = new Set<bigint>()
  let nextAborted = 0
  let next = from
  let at = 0
  while (at + BATCH_OVERHEAD <= buf.length) {
    const base = Number(buf.readBigInt64BE(at))
    const end = at + LENGTH_END + buf.readInt32BE(at + 8)
    if (end > buf.length) break
    if (buf[at + 16] !== 2) throw damaged(fetched, base, 'a record batch is not of format 2')
    if (crc32c(buf.subarray(at + CHECKSUM_END, end)) !== buf.readUInt32BE(at + 17)) {
      throw damaged(fetched, base, 'the checksum of a record batch is wrong')
    }
    const attributes = buf.readInt16BE(at + 21)
    const last = base + buf.readInt32BE(at + 23)
    const producerId = buf.readBigInt64BE(at + 43)
    for (
      let aborted = coming[nextAborted];
      aborted !== undefined && aborted.firstOffset <= last;
      aborted = coming[++nextAborted]
    ) {
      open.add(aborted.producerId)
    }
    if ((attributes & CONTROL) !== 0) {
      if (isAbortMarker(buf, at)) open.delete(producerId)
    } else if ((attributes & TRANSACTIONAL) === 0 || !open.has(producerId)) {
      if (last >= from) readRecords(fetched, { at, end, base, attributes }, from, onRecord)
    }
    next = Math.max(next, last + 1)
    at = end
  }
  return next
}

/** The one record of a control batch has as its key two bytes of version and two of type; type 0 is an abort. Without a record (compacted away): no marker. */
function isAbortMarker(buf: Buffer, batch: number): boolean {
  if (buf.readInt32BE(batch + 57) === 0) return false
  const from = new Varints(buf, batch + BATCH_OVERHEAD)
  from.next()
  from.at++
  from.skipLong()
  from.next()
  const keyBytes = from.next()
  return keyBytes >= 4 && buf.readInt16BE(from.at + 2) === 0
}

function readRecords(
  fetched: FetchedPartition,
  batch: { at: number; end: number; base: number; attributes: number },
  fromOffset: number,
  onRecord: (record: ReadRecord) => void,
): void {
  const head = fetched.batches
  const baseTime = Number(head.readBigInt64BE(batch.at + 27))
  const appendTime = (batch.attributes & LOG_APPEND_TIME) === 0 ? null : Number(head.readBigInt64BE(batch.at + 35))
  const count = head.readInt32BE(batch.at + 57)
  const compression = batch.attributes & COMPRESSION
  const packed = head.subarray(batch.at + BATCH_OVERHEAD, batch.end)
  const buf = compression === 0 ? head : unpack(fetched, batch.base, compression, packed)
  const from = new Varints(buf, compression === 0 ? batch.at + BATCH_OVERHEAD : 0)
  for (let index = 0; index < count; index++) {
    const bytes = from.next()
    const end = from.at + bytes
    from.at++
    const time = baseTime + from.long()
    const offset = batch.base + from.next()
    if (offset < fromOffset) {
      from.at = end
      continue
    }
    const key = from.bytes()
    const value = from.bytes()
    const headerCount = from.next()
    const headers = headerCount === 0 ? NO_HEADERS : readHeaders(from, headerCount)
    from.at = end
    onRecord({ offset, timestamp: appendTime ?? time, key, value, headers })
  }
}

/** If a header occurs more than once, the last one counts. */
function readHeaders(from: Varints, count: number): Record<string, Buffer> {
  const headers: Record<string, Buffer> = {}
  for (let index = 0; index < count; index++) {
    const name = from.bytes()?.toString('utf8') ?? ''
    headers[name] = from.bytes() ?? Buffer.alloc(0)
  }
  return headers
}

function unpack(fetched: FetchedPartition, base: number, compression: number, packed: Buffer): Buffer {
  const codec = CODECS[compression]
  if (codec === undefined)
    throw damaged(fetched, base, `records are compressed with codec ${compression}, which is not supported`)
  try {
    return codec.unpack(packed)
  } catch {
    throw damaged(fetched, base, `records cannot be decompressed as ${codec.name}`)
  }
}

/** By the number that the attributes of a batch have. */
const CODECS: Readonly<Record<number, { readonly name: string; unpack(packed: Buffer): Buffer }>> = {
  1: { name: 'gzip', unpack: gunzipSync },
  2: { name: 'snappy', unpack: unsnap },
  3: { name: 'lz4', unpack: decompressFrameSync },
  4: { name: 'zstd', unpack: zstdDecompressSync },
}

/** Header of the snappy-java stream format, which brokers and Java clients write; other clients send one raw block. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
/** The magic bytes, and two versions of four bytes. */
const XERIAL_HEAD = 16

function unsnap(packed: Buffer): Buffer {
  if (!packed.subarray(0, XERIAL.length).equals(XERIAL)) return asBuffer(uncompressSync(packed))
  const blocks: Buffer[] = []
  for (let at = XERIAL_HEAD; at < packed.length; ) {
    const end = at + 4 + packed.readInt32BE(at)
    if (end > packed.length) throw new RangeError('a block is truncated')
    blocks.push(asBuffer(uncompressSync(packed.subarray(at + 4, end))))
    at = end
  }
  return Buffer.concat(blocks)
}

function asBuffer(unpacked: string | Buffer): Buffer {
  return typeof unpacked === 'string' ? Buffer.from(unpacked) : unpacked
}

function damaged(place: TopicPartition, offset: number, hint: string): FlowError {
  return new FlowError('KAFKA_REFUSED', { hint, topic: place.topic, partition: place.partition, offset })
}

/** Reads zigzag varints and the fields whose length they give. */
class Varints {
  at: number
  private readonly buf: Buffer

  constructor(buf: Buffer, at: number) {
    this.buf = buf
    this.at = at
  }

  /** A varint of up to 32 bits. */
  next(): number {
    const { buf } = this
    let byte = buf[this.at++] ?? 0
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let raw = byte & 0x7f
    let shift = 7
    do {
      byte = buf[this.at++] ?? 0
      raw |= (byte & 0x7f) << shift
      shift += 7
    } while (byte >= 0x80 && shift < 35)
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** A varint of up to 64 bits, as a number. */
  long(): number {
    const start = this.at
    const first = this.buf[start] ?? 0
    if (first < 0x80) {
      this.at++
      return (first >>> 1) ^ -(first & 1)
    }
    let raw = 0n
    let shift = 0n
    let byte: number
    do {
      byte = this.buf[this.at++] ?? 0
      raw |= BigInt(byte & 0x7f) << shift
      shift += 7n
    } while (byte >= 0x80 && shift < 70n)
    return Number((raw >> 1n) ^ -(raw & 1n))
  }

  skipLong(): void {
    while ((this.buf[this.at++] ?? 0) >= 0x80);
  }

  bytes(): Buffer | null {
    const length = this.next()
    if (length < 0) return null
    this.at += length
    return this.buf.subarray(this.at - length, this.at)
  }
}
