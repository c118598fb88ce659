/** Topics in memory, for those who only read them: enough of the Kafka port and of the registry for a follower. */
import { encoderFor } from '../../src/kafka/codec.ts'
import type { Chunk, Kafka, ReadRecord, TopicPartition } from '../../src/kafka/port.ts'
import { type BucketSize, pointKey } from '../../src/point-key.ts'
import type { Progress, SeriesPoint } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { topicNames } from '../../src/topics.ts'
import { point } from '../serve/points.ts'

const SCHEMAS = [schemaText('series-point'), schemaText('progress')] as const

export interface MemoryTopics {
  readonly names: ReturnType<typeof topicNames>
  readonly kafka: Kafka
  readonly registry: { schemaById(id: number): Promise<string> }
  point(of: Parameters<typeof point>[0]): void
  /** The null of a point. */
  ended(of: Pick<Parameters<typeof point>[0], 'at' | 'bucket' | 'bot_id' | 'channel' | 'vendor'>): void
  progress(of: Progress): void
}

/** @param random Cuts what is read into chunks of any size. */
export function memoryTopics(random: () => number = () => 1): MemoryTopics {
  const names = topicNames('memory')
  const logs = new Map<string, ReadRecord[]>()
  const logOf = (topic: string) => logs.get(topic) ?? []
  const points = encoderFor<SeriesPoint>(SCHEMAS[0], 1)
  const progresses = encoderFor<Progress>(SCHEMAS[1], 2)
  const append = (topic: string, key: string, value: Buffer | null) => {
    const log = logOf(topic)
    logs.set(topic, log)
    log.push({ offset: log.length, key: Buffer.from(key), value, timestamp: Date.parse('2100-01-01'), headers: {} } as ReadRecord)
  }
  const keyOf = ({ series_key, bucket_start, bucket }: SeriesPoint) => pointKey(series_key, bucket_start, bucket as BucketSize)

  const kafka: Pick<Kafka, 'describe' | 'watermarks' | 'readToEnd' | 'tail'> = {
    describe: () => Promise.resolve({ clusterId: 'memory', brokers: 1 }),
    watermarks: places =>
      Promise.resolve(places.map(place => ({ ...place, low: 0, high: place.partition === 0 ? logOf(place.topic).length : 0 }))),
    readToEnd({ topic, partition }, onRecord) {
      const log = partition === 0 ? logOf(topic) : []
      for (const record of log) onRecord(record)
      return Promise.resolve(log.length)
    },
    async *tail(places: readonly (TopicPartition & { offset: number })[], { signal }): AsyncIterable<Chunk[]> {
      const next = new Map(places.filter(({ partition }) => partition === 0).map(({ topic, offset }) => [topic, offset]))
      while (signal?.aborted !== true) {
        const chunks: Chunk[] = []
        for (const [topic, offset] of next) {
          const records = logOf(topic).slice(offset, offset + 1 + Math.floor(random() * 20_000))
          if (records.length === 0) continue
          next.set(topic, offset + records.length)
          chunks.push({ topic, partition: 0, records, next: offset + records.length } as unknown as Chunk)
        }
        if (chunks.length > 0) yield chunks
        await new Promise(resolve => setTimeout(resolve, chunks.length > 0 ? 0 : 5))
      }
    },
  }
  return {
    names,
    kafka: kafka as Kafka,
    registry: { schemaById: id => Promise.resolve(SCHEMAS[id - 1] ?? '') },
    point(of) {
      const made = point(of)
      append(names.series, keyOf(made), points.encode(made))
    },
    ended: of => append(names.series, keyOf(point(of)), null),
    progress: of => append(names.progress, `${of.connector}/${of.stream}/${of.scope}`, progresses.encode(of)),
  }
}
