/** The topics that a follower reads, in memory, with a registry of their schemas. */
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import type { Chunk, Kafka } from '../../src/kafka/port.ts'
import { type BucketSize, pointKey } from '../../src/point-key.ts'
import type { Progress, SeriesPoint } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { topicNames } from '../../src/topics.ts'
import { point } from '../serve/points.ts'

const SCHEMAS = [schemaText('series-point'), schemaText('progress')] as const

type PointOf = Parameters<typeof point>[0]

export interface MemoryTopics {
  readonly names: ReturnType<typeof topicNames>
  readonly kafka: Kafka
  readonly registry: { schemaById(id: number): Promise<string> }
  /** One transaction: points, and nulls of points. */
  points(all: readonly PointOf[], ended?: readonly PointOf[]): Promise<void>
  progress(of: Progress): Promise<void>
  /** What the aggregator says it has counted, and the offset of the last point of it. */
  counted(inputs: Readonly<Record<string, number>>, series: number | null): Promise<void>
}

/** @param random Cuts what is read into chunks of any size. */
export async function memoryTopics(random: () => number = () => 1): Promise<MemoryTopics> {
  const names = topicNames('memory')
  const memory = memoryKafka(() => Date.parse('2100-01-01'))
  const writer = memory.openWriter({ transactionalId: 'writer' })
  await writer.fence()
  const points = encoderFor<SeriesPoint>(SCHEMAS[0], 1)
  const progresses = encoderFor<Progress>(SCHEMAS[1], 2)
  const write = async (topic: string, records: { key: string; value: Buffer | null }[]) => {
    const batch = { topic, partition: 0, records: records.map(({ key, value }) => ({ key: Buffer.from(key), value })) }
    await writer.transact(tx => tx.write([batch]))
  }
  const keyOf = ({ series_key, bucket_start, bucket }: SeriesPoint) => pointKey(series_key, bucket_start, bucket as BucketSize)

  /** The same records in the same order, in more chunks. */
  async function* tail(...parameters: Parameters<typeof memory.tail>): AsyncIterable<Chunk[]> {
    for await (const chunks of memory.tail(...parameters)) {
      for (const chunk of chunks) {
        let at = 0
        do {
          const records = chunk.records.slice(at, (at += 1 + Math.floor(random() * 20_000)))
          yield [{ ...chunk, records, next: at < chunk.records.length ? (records.at(-1)?.offset ?? 0) + 1 : chunk.next }]
        } while (at < chunk.records.length)
      }
    }
  }

  const kafka = { ...memory, tail, describe: () => Promise.resolve({ clusterId: 'memory', brokers: 1 }) }
  return {
    names,
    kafka: kafka as unknown as Kafka,
    registry: { schemaById: id => Promise.resolve(SCHEMAS[id - 1] ?? '') },
    points: (all, ended = []) =>
      write(names.series, [
        ...all.map(point).map(made => ({ key: keyOf(made), value: points.encode(made) })),
        ...ended.map(point).map(made => ({ key: keyOf(made), value: null })),
      ]),
    counted: (inputs, series) =>
      write(names.aggregateOffsets, [{ key: '0', value: Buffer.from(JSON.stringify({ inputs, series })) }]),
    progress: of => write(names.progress, [{ key: `${of.connector}/${of.stream}/${of.scope}`, value: progresses.encode(of) }]),
  }
}
