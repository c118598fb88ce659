import { createLog, type Log, silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { decoderFor } from '../../src/kafka/codec.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { NOTHING_SPENT, readCursor } from '../../src/ingest/cursor.ts'
import type { Fault } from '../../src/ingest/commit.ts'
import { doorOf } from '../../src/ingest/door.ts'
import { Health } from '../../src/ingest/health.ts'
import { maskFor } from '../../src/ingest/mask.ts'
import type { Reader } from '../../src/ingest/reader.ts'
import { planSpecOf } from '../../src/ingest/source-partition.ts'
import { runTask, type TaskParts } from '../../src/ingest/task.ts'
import type { Event, Message, Progress, Session } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import type { BaseConfig } from '../../src/source/config.ts'
import { NO_TRANSFERS } from '../../src/source/transfers.ts'
import type { Connector } from '../../src/source/contract.ts'
import type { Clock } from '../../src/clock.ts'
import { sourceTransactionalId, topicNames } from '../../src/topics.ts'
import type { MemoryKafka } from '../../src/conformance/memory-kafka.ts'
import { decodeProgress, memoryEncoder, memoryRegistry } from '../../src/conformance/topics.ts'

export const names = topicNames('tiny')
export const PARTITIONS = 3

const decoders = {
  session: decoderFor<Session>(memoryRegistry, schemaText('session')),
  message: decoderFor<Message>(memoryRegistry, schemaText('message')),
  event: decoderFor<Event>(memoryRegistry, schemaText('event')),
  progress: decoderFor<Progress>(memoryRegistry, schemaText('progress')),
}

export const base: BaseConfig = {
  connectorClass: 'tiny',
  tasksMax: 1,
  account: 'acme',
  startAtMs: null,
  pollIntervalMs: null,
  lookbackMs: null,
  lookbackIntervalMs: null,
  hotMs: null,
  streams: ['sessions'],
  errorsTolerance: 'all',
  pii: null,
  transfers: NO_TRANSFERS,
  quota: { perSecond: null, perMinute: null, perHour: null, concurrency: null, gapMs: null },
}

export interface Life {
  readonly done: Promise<void>
  readonly health: Health
  readonly counted: ReadonlyMap<string, number>
  /** Values of histograms, by name and labels. */
  readonly observed: ReadonlyMap<string, readonly number[]>
  /** Sample lines of Kafka Connect's metrics. */
  connectMetrics(): Promise<string[]>
  stop(): Promise<void>
}

/** One life of the tiny connector's source partition on the Kafka given; ends with `stop`, or never when a fault holds it for good. */
export function startLife(of: {
  kafka: MemoryKafka
  connector: Connector
  clock: Clock
  base?: Partial<BaseConfig>
  fault?: Fault
  log?: Log
  maxBytes?: ReadonlyMap<string, number>
  quota?: TaskParts['quota']
  pluginPatienceMs?: number
}): Life {
  const { kafka, connector, clock, log = silentLog } = of
  const stream = connector.streams['sessions'] as Connector['streams'][string]
  const config = { ...base, ...of.base }
  const controller = new AbortController()
  const counted = new Map<string, number>()
  const observed = new Map<string, number[]>()
  const connectMetrics = createMetrics({ processMetrics: false, clock })
  const metrics: TaskParts['metrics'] = {
    inc: (name, labels, n = 1) => {
      const key = [name, ...Object.values(labels)].join(' ')
      counted.set(key, (counted.get(key) ?? 0) + n)
    },
    observe: (name, labels, value) => {
      const key = [name, ...Object.values(labels)].join(' ')
      observed.set(key, [...(observed.get(key) ?? []), value])
    },
    set: () => {},
    setStreamState: () => {},
    remove: () => {},
    connect: connectMetrics.connect,
  }
  const health = new Health(clock, metrics)
  const name = { connector: 'acme-tiny', stream: 'sessions', scope: 'acme' }
  let reader: Reader | null = null
  const done = runTask({
    kafka,
    transactionalId: sourceTransactionalId('tiny', name),
    to: {
      ...name,
      vendor: 'tiny',
      account: 'acme',
      task: 0,
      names,
      partitions: PARTITIONS,
      partitionOf,
      encoders: {
        session: memoryEncoder<Session>('session'),
        message: memoryEncoder<Message>('message'),
        event: memoryEncoder<Event>('event'),
      },
      maxBytes: of.maxBytes ?? new Map(),
      door: doorOf(maskFor(connector, config)),
      feeds: ['session', 'message', 'event'],
      sourcePartitions: 1,
      transfers: config.transfers,
      lookbackMs: planSpecOf(connector, stream, config, {}).lookbackMs,
      tolerant: config.errorsTolerance === 'all',
    },
    scope: { name: 'acme', botId: null },
    stream,
    config: {},
    spec: planSpecOf(connector, stream, config, {}),
    progress: memoryEncoder<Progress>('progress'),
    decodeProgress,
    http: null as never,
    quota: of.quota ?? { spent: () => NOTHING_SPENT, isDue: () => false, recall: () => {} },
    clock,
    log,
    metrics,
    health: health.add({ ...name, task: 0, pollIntervalMs: 300_000 }),
    signal: controller.signal,
    fault: of.fault ?? (() => {}),
    ...(of.pluginPatienceMs === undefined ? {} : { pluginPatienceMs: of.pluginPatienceMs }),
    onReader: next => (reader = next),
  })
  void reader
  return {
    done,
    health,
    counted,
    observed,
    async connectMetrics() {
      const { body } = await connectMetrics.render()
      return body.split('\n').filter(line => line.startsWith('kafka_connect_'))
    },
    async stop() {
      controller.abort()
      await done
    },
  }
}

/** A log on stderr, for when a test is looked into. */
export const loudLog = () => createLog('debug')

type Read<T> = { partition: number; offset: number; key: string; value: T }

async function read<T>(kafka: MemoryKafka, topic: string, decoder: (typeof decoders)[keyof typeof decoders]): Promise<Read<T>[]> {
  const records = kafka.committed(topic)
  await decoder.prepare(records.flatMap(({ value }) => value ?? []))
  return records.flatMap(({ partition, offset, key, value }) =>
    value === null ? [] : [{ partition, offset, key: String(key), value: decoder.decode(value) as T }],
  )
}

function withdrawnOf(records: readonly { key: Buffer | null; value: Buffer | null }[]): string[] {
  const newest = new Map(records.map(({ key, value }) => [String(key), value]))
  return [...newest].flatMap(([key, value]) => (value === null ? [key] : []))
}

/** What stands on the topics for a read-committed reader. */
export async function topicsOf(kafka: MemoryKafka) {
  const offsets = kafka.committed(names.offsets)
  return {
    sessions: await read<Session>(kafka, names.sessions, decoders.session),
    /** Keys whose newest record is a null value. */
    withdrawn: withdrawnOf(kafka.committed(names.sessions)),
    messages: await read<Message>(kafka, names.messages, decoders.message),
    events: await read<Event>(kafka, names.events, decoders.event),
    progress: await read<Progress>(kafka, names.progress, decoders.progress),
    rejects: kafka.committed(names.rejects),
    cursors: offsets.flatMap(({ value }) => (value === null ? [] : [readCursor(String(value), 0)])),
    offsets,
    versions: kafka.committed(names.versions),
  }
}
