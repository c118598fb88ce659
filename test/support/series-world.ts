/** The topics that server and alerter follow, written to as ingest and aggregator do. */
import { randomUUID } from 'node:crypto'
import { connectKafka } from '../../src/kafka/client.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { WriteRecord } from '../../src/kafka/port.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { type Log, silentLog } from '../../src/log.ts'
import { type BucketSize, pointKey } from '../../src/point-key.ts'
import type { Alert, Progress, SeriesPoint } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { topicNames, topicSpecs } from '../../src/topics.ts'
import { point, T } from '../serve/points.ts'
import { progressOf } from './progress.ts'

const schemas = { series: schemaText('series-point'), progress: schemaText('progress') }

export interface SeriesWorldOptions {
  readonly stack: { readonly brokers: string; readonly registry: string }
  readonly partitions: number
  /** Called with what must be done at the end of the test. */
  readonly ending: (end: () => Promise<unknown>) => unknown
  /** false: the topics are not there yet. Default true. */
  readonly create?: boolean
  readonly log?: Log
}

export type SeriesWorld = Awaited<ReturnType<typeof seriesWorld>>

/** Topics of their own, written to as ingest and aggregator do. */
export async function seriesWorld({ stack, partitions, ending, create = true, log = silentLog }: SeriesWorldOptions) {
  const prefix = `series-${randomUUID().slice(0, 8)}`
  const names = topicNames(prefix)
  const registry = connectRegistry({ url: stack.registry, log })
  const points = encoderFor<SeriesPoint>(schemas.series, await registry.register(`${prefix}.series-value`, schemas.series))
  const progresses = encoderFor<Progress>(schemas.progress, await registry.register(`${prefix}.progress-value`, schemas.progress))
  const alerts = decoderFor<Alert>(registry, schemaText('alert'))
  const kafka = connectKafka({ brokers: stack.brokers.split(','), clientId: prefix, log })
  ending(() => kafka.close())
  const specs = topicSpecs({ prefix, partitions, replicationFactor: 1, longestLookbackMs: 0 })
  const createTopics = () => kafka.ensureTopics(specs, { create: true })
  const writer = kafka.openWriter({ transactionalId: prefix })
  if (create) {
    await createTopics()
    await writer.fence()
  }

  /** One transaction; returns the last offset. */
  async function write(topic: string, partition: number, ...records: WriteRecord[]): Promise<number> {
    const [written] = await writer.transact(tx => tx.write([{ topic, partition, records }]))
    return written?.lastOffset ?? -1
  }
  const text = (key: string, value: string | null): WriteRecord => ({
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
  })

  /** Many points of one partition in one transaction. Returns the last offset. */
  const writePoints = (partition: number, all: readonly Parameters<typeof point>[0][]) =>
    write(
      names.series,
      partition,
      ...all.map(point).map(made => ({
        key: Buffer.from(pointKey(made.series_key, made.bucket_start, made.bucket as BucketSize)),
        value: points.encode(made),
      })),
    )
  const session = (partition: number) => write(names.sessions, partition, text('a session', 'nobody here decodes it'))
  const progress = (of: Partial<Progress> & { completeUntil: string; through: Progress['through'] }) => {
    const { completeUntil, ...rest } = of
    const until = T(completeUntil)
    const made = progressOf({
      connector: 'acme',
      scope: 'acme',
      vendor: 'botmaker',
      account: 'acme',
      window_from: T('2026-11-01T00:00:00Z'),
      window_until: until,
      complete_until: until,
      committed_at: until,
      covered: [{ from: T('2026-11-01T00:00:00Z'), until }],
      ...rest,
    })
    return write(names.progress, 1, {
      key: Buffer.from(`${made.connector}/${made.stream}/${made.scope}`),
      value: progresses.encode(made),
    })
  }
  const counted = (partition: number, inputs: Record<string, number>, series: number | null) =>
    write(names.aggregateOffsets, partition, text(String(partition), JSON.stringify({ inputs, series })))

  return {
    names,
    registry,
    kafka,
    partitions,
    createTopics,
    fence: () => writer.fence(),
    write,
    text,
    points: writePoints,
    /** Every record of the alerts topic, by partition in order of offset. */
    async alerts(): Promise<(Alert & { partition: number })[]> {
      const found: (Alert & { partition: number })[] = []
      for (let partition = 0; partition < partitions; partition++) {
        const values: Buffer[] = []
        await kafka.readToEnd({ topic: names.alerts, partition }, ({ value }) => value !== null && values.push(value))
        await alerts.prepare(values)
        found.push(...values.map(value => ({ ...alerts.decode(value), partition })))
      }
      return found
    },
    point: (partition: number, of: Parameters<typeof point>[0]) => writePoints(partition, [of]),
    aborted: async (topic: string, partition: number) => {
      const aborted = writer.transact(async tx => {
        await tx.write([{ topic, partition, records: [text('never', 'seen')] }])
        throw new Error('abort')
      })
      await aborted.catch(() => {})
    },
    session,
    progress,
    counted,
    /** What was read before `completeUntil` and what was counted of it, so that followers believe the one only when the other has arrived. */
    async read(partition: number, completeUntil: string, all: readonly Parameters<typeof point>[0][]) {
      const offset = await session(partition)
      await progress({ completeUntil, through: [{ topic: names.sessions, partition, offset }] })
      const series = await writePoints(partition, all)
      // Past the record and the marker of its transaction.
      await counted(partition, { [names.sessions]: offset + 2 }, series)
    },
  }
}
