/** What the integration tests of the aggregator stand on: topics of their own, a writer in the place of ingest, and readers of what came of it. */
import { randomBytes } from 'node:crypto'
import { connectKafka } from '../../src/kafka/client.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka, PartitionBatch, Transaction, WriteRecord, WrittenRange } from '../../src/kafka/port.ts'
import { connectRegistry, type Registry } from '../../src/kafka/registry.ts'
import { createLog, type Log } from '../../src/log.ts'
import { botKey, type Event, type Message, type Progress, type SeriesPoint, type Session } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { type TopicNames, topicNames, topicSpecs } from '../../src/topics.ts'
import type { Table } from './recount.ts'
import { recount, tableOf } from './recount.ts'

/** One record on its way to a topic. */
export type Item =
  | { kind: 'session'; record: Session }
  | { kind: 'withdrawal'; record: Session }
  | { kind: 'message'; record: Message }
  | { kind: 'event'; record: Event }

export interface Harness {
  readonly kafka: Kafka
  readonly registry: Registry
  readonly prefix: string
  readonly names: TopicNames
  readonly partitions: number
  readonly log: Log
  /** All of it in one transaction, and in a second write of it the Progress. */
  feed(items: readonly Item[], progress?: (through: WrittenRange[]) => Progress): Promise<void>
  /** Bytes as they are. */
  feedRaw(topic: string, partition: number, records: readonly WriteRecord[]): Promise<void>
  /** Until the aggregator has passed all that was fed, told by its own offsets. */
  caughtUp(): Promise<void>
  /** Every record of the series topic, oldest first by partition; null: the point of this key is withdrawn. */
  records(): Promise<{ key: string; point: SeriesPoint | null }[]>
  /** Every point on the series topic, oldest first by partition. */
  points(): Promise<SeriesPoint[]>
  /** The series topic as a table; fails when the revisions of a point do not rise strictly. */
  table(): Promise<Table>
  /** A point of the same minute in its next revision, with counts that are wrong. */
  spoilt(point: Buffer): Buffer
  /** A point of the same minute in its next revision, as a version without sketches would write it. */
  aged(point: Buffer): Buffer
  /** The same from what was fed. */
  expected(): Table
  close(): Promise<void>
}

const LEVEL = process.env['COLLOQUY_TEST_LOG'] === undefined ? 'silent' : 'debug'
export const testLog: Log = createLog(LEVEL)

export async function harness(stack: { brokers: string; registry: string }, partitions = 3): Promise<Harness> {
  const log = testLog
  const prefix = `agg${randomBytes(4).toString('hex')}`
  const names = topicNames(prefix)
  const kafka = connectKafka({ brokers: [stack.brokers], clientId: prefix, log })
  const registry = connectRegistry({ url: stack.registry, log })
  await kafka.ensureTopics(topicSpecs({ prefix, partitions, replicationFactor: null, longestLookbackMs: 1 }), { create: true })

  const encoder = async <T extends object>(topic: string, name: Parameters<typeof schemaText>[0]) =>
    encoderFor<T>(schemaText(name), await registry.register(`${topic}-value`, schemaText(name)))
  const sessions = await encoder<Session>(names.sessions, 'session')
  const messages = await encoder<Message>(names.messages, 'message')
  const events = await encoder<Event>(names.events, 'event')
  const progresses = await encoder<Progress>(names.progress, 'progress')
  const seriesPoints = await encoder<SeriesPoint>(names.series, 'series-point')
  const decoder = decoderFor<SeriesPoint>(registry, schemaText('series-point'))

  const writer = kafka.openWriter({ transactionalId: `${prefix}-feeder` })
  await writer.fence()
  /** By `topic/partition`, the last offset written. */
  const fed = new Map<string, number>()
  const newest = new Map<string, Session>()
  const allMessages: Message[] = []
  const allEvents: Event[] = []

  async function write(tx: Transaction, batches: readonly PartitionBatch[]): Promise<WrittenRange[]> {
    const ranges = await tx.write(batches)
    for (const { topic, partition, lastOffset } of ranges) {
      if (![names.sessions, names.messages, names.events].includes(topic as typeof names.sessions)) continue
      const key = `${topic}/${partition}`
      fed.set(key, Math.max(fed.get(key) ?? -1, lastOffset))
    }
    return ranges
  }

  function recordOf(item: Item): [topic: string, record: WriteRecord] {
    if (item.kind === 'message')
      return [names.messages, { key: Buffer.from(item.record.session_key), value: messages.encode(item.record) }]
    if (item.kind === 'event')
      return [names.events, { key: Buffer.from(item.record.event_key), value: events.encode(item.record) }]
    const value = item.kind === 'session' ? sessions.encode(item.record) : null
    return [names.sessions, { key: Buffer.from(item.record.session_key), value }]
  }

  function note(item: Item): void {
    if (item.kind === 'message') allMessages.push(item.record)
    else if (item.kind === 'event') allEvents.push(item.record)
    else if (item.kind === 'withdrawal') newest.delete(item.record.session_key)
    else newest.set(item.record.session_key, item.record)
  }

  async function records(): Promise<{ key: string; point: SeriesPoint | null }[]> {
    const read: { key: string; value: Buffer | null }[] = []
    for (let partition = 0; partition < partitions; partition++) {
      await kafka.readToEnd({ topic: names.series, partition }, ({ key, value }) => read.push({ key: String(key), value }))
    }
    await decoder.prepare(read.map(({ value }) => value))
    return read.map(({ key, value }) => ({ key, point: value && decoder.decode(value) }))
  }

  const points = async () => (await records()).flatMap(({ point }) => (point === null ? [] : [point]))

  return {
    kafka,
    registry,
    prefix,
    names,
    partitions,
    log,

    async feed(items, progress) {
      const batches = new Map<string, { topic: string; partition: number; records: WriteRecord[] }>()
      for (const item of items) {
        const [topic, record] = recordOf(item)
        const partition = partitionOf(botKey(item.record), partitions)
        const batch = batches.get(`${topic}/${partition}`) ?? { topic, partition, records: [] }
        batch.records.push(record)
        batches.set(`${topic}/${partition}`, batch)
      }
      await writer.transact(async tx => {
        const through = await write(tx, [...batches.values()])
        if (progress === undefined) return
        const record = progress(through)
        const key = `${record.connector}/${record.stream}/${record.scope}`
        const place = { topic: names.progress, partition: partitionOf(key, partitions) }
        await tx.write([{ ...place, records: [{ key: Buffer.from(key), value: progresses.encode(record) }] }])
      })
      items.forEach(note)
    },

    feedRaw: (topic, partition, records) => writer.transact(async tx => void (await write(tx, [{ topic, partition, records }]))),

    async caughtUp() {
      const stop = new AbortController()
      const places = Array.from({ length: partitions }, (_, partition) => ({
        topic: names.aggregateOffsets,
        partition,
        offset: 0,
      }))
      const behind = new Map(fed)
      if (behind.size === 0) return
      for await (const chunks of kafka.tail(places, { signal: stop.signal })) {
        for (const { partition, records } of chunks) {
          for (const { value } of records) {
            if (value === null) continue
            const { inputs } = JSON.parse(String(value)) as { inputs: Record<string, number> }
            for (const [topic, next] of Object.entries(inputs)) {
              if (next > (behind.get(`${topic}/${partition}`) ?? Infinity)) behind.delete(`${topic}/${partition}`)
            }
          }
        }
        if (behind.size === 0) break
      }
      stop.abort()
    },

    records,
    points,

    spoilt(point) {
      const right = decoder.decode(point)
      const { revision, sessions, messages_bot } = right
      return seriesPoints.encode({
        ...right,
        revision: revision + 1,
        sessions: sessions + 3,
        messages_bot: messages_bot + 5,
        events: 0,
      })
    },

    aged(point) {
      const right = decoder.decode(point)
      return seriesPoints.encode({ ...right, revision: right.revision + 1, duration_sketch: null, users_sketch: null })
    },

    async table() {
      const revisions = new Map<string, number>()
      const all = await points()
      for (const { series_key, bucket_start, revision } of all) {
        const key = `${series_key}@${bucket_start}`
        const before = revisions.get(key) ?? 0
        if (revision !== before + 1) throw new Error(`revision ${revision} of ${key} after ${before}`)
        revisions.set(key, revision)
      }
      return tableOf(all)
    },

    expected: () => recount(newest.values(), allMessages, allEvents),

    async close() {
      await writer.close()
      await kafka.close()
    },
  }
}
