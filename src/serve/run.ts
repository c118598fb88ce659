/**
 * The server: follows the series, progress and aggregate-offsets topics from their start, and keeps what `/v1/series` answers from.
 *
 * A Progress says what has been read from a vendor; it is believed here only when the aggregator says (aggregate-offsets) that it has counted
 * everything that the commit wrote, and when the series that it wrote of it have arrived here too.
 */
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { type Decoder, decoderFor } from '../kafka/codec.ts'
import { lastOffsets } from '../kafka/ends.ts'
import type { Chunk, Kafka, ReadRecord, TopicPartition } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { MEASURES, type Progress, type TopicOffset } from '../records.ts'
import { narrowSchema } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import { asPublished, createWatermarks, type SourcePartition, type Watermarks } from '../watermark.ts'
import type { RoleHealth, Serve } from './http.ts'
import { createStore, LABELS, type PointValues, type SeriesStore } from './store.ts'

const FIRST_RETRY_MS = 1000
/** Short enough that the server is ready soon after Kafka is back. */
const LONGEST_RETRY_MS = 10_000
/** So many aggregate-offsets of one partition wait apart for their series; beyond them the newest replaces the one before it. */
const MOST_PENDING = 1000

export interface ServerOptions {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  /** Texts of the schema files of SeriesPoint and Progress. */
  readonly schemas: { readonly series: string; readonly progress: string }
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** Ends the server; `done` resolves then. */
  readonly signal: AbortSignal
}

export interface RunningServer {
  /** For the listener, from the start: it answers 503 until everything has been read once. */
  readonly serve: Serve
  readonly watermarks: Watermarks
  health(): RoleHealth
  /** Everything that was on the topics at the start has been read. Rejects where `done` does. */
  readonly ready: Promise<void>
  /** Resolves when the signal has ended it; rejects on a fault that trying again does not cure. */
  readonly done: Promise<void>
}

/** Starts at once and returns; whatever Kafka does, the listener has something to ask. */
export function startServer(options: ServerOptions): RunningServer {
  const { kafka, names, log, clock, signal } = options
  const store = createStore()
  const data = new Set<string>([names.sessions, names.messages, names.events])
  const watermarks = createWatermarks(topic => data.has(topic))
  const intake = createIntake(options, store, watermarks)
  const positions = new Map<string, TopicPartition & { offset: number }>()
  const becameReady = Promise.withResolvers<void>()
  let ends: Map<string, number> | null = null
  let clusterId: string | null = null
  let isReady = false
  let failure: FlowError | null = null

  const places = [names.series, names.progress, names.aggregateOffsets].flatMap(topic =>
    Array.from({ length: options.partitions }, (_, partition) => ({ topic, partition })),
  )

  async function follow(): Promise<void> {
    clusterId = (await kafka.describe()).clusterId
    if (ends === null) {
      const found = await kafka.watermarks(places)
      for (const { topic, partition, low } of found)
        positions.set(placeKey({ topic, partition }), { topic, partition, offset: low })
      ends = new Map(found.map(place => [placeKey(place), place.high]))
    }
    await look()
    failure = null
    for await (const chunks of kafka.tail([...positions.values()], { signal })) {
      for (const chunk of chunks) {
        await intake.take(chunk)
        positions.set(placeKey(chunk), { topic: chunk.topic, partition: chunk.partition, offset: chunk.next })
      }
      await look()
    }
  }

  /** Whether everything that was there at the start has been read; the newest progress is believed from then on. */
  async function look(): Promise<void> {
    if (isReady || ends === null || unread() > 0) return
    const all = [...data].flatMap(topic => Array.from({ length: options.partitions }, (_, partition) => ({ topic, partition })))
    intake.believe(await lastOffsets(kafka, all))
    isReady = true
    log.info({ series: store.series.length, cells: store.cells }, 'server has read the series')
    becameReady.resolve()
  }

  const unread = (): number =>
    [...positions.values()].reduce((sum, place) => sum + Math.max(0, (ends?.get(placeKey(place)) ?? 0) - place.offset), 0)

  async function run(): Promise<void> {
    let waitMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      const began = clock.now()
      try {
        await follow()
      } catch (thrown) {
        if (signal.aborted) return
        failure = asFlowError(thrown)
        if (failure.retry === 'never') throw failure
        if (clock.now() - began > LONGEST_RETRY_MS) waitMs = FIRST_RETRY_MS
        log.warn({ ...errorFields(failure), waitMs }, 'server cannot read; it tries again')
        await clock.sleep(waitMs, signal)
        waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)
      }
    }
  }

  const done = run()
  done.catch(error => becameReady.reject(error))
  becameReady.promise.catch(() => {})

  const why = (): string | null => {
    if (failure) return failure.message
    if (isReady) return null
    return ends === null ? 'Kafka has not been reached yet' : `the series are being read, ${unread()} offsets to go`
  }

  return {
    serve: {
      store,
      completeness: { streams: feeds => watermarks.streams({ feeds }) },
      get clusterId() {
        return clusterId
      },
      unready: () => (isReady ? null : why()),
    },
    watermarks,
    health: () => {
      const reason = why()
      return reason === null ? { role: 'server', ok: true } : { role: 'server', ok: false, why: reason }
    },
    ready: becameReady.promise,
    done,
  }
}

/** What the aggregator says it has counted, and the last series point that it wrote of it. */
const AggregateOffsets = z.object({
  inputs: z.record(z.string(), z.number()),
  series: z.number().nullable(),
})
type AggregateOffsets = z.output<typeof AggregateOffsets>

interface Intake {
  take(chunk: Chunk): Promise<void>
  /** Ends the first reading: the newest Progress of each source partition holds once all of these have been passed. */
  believe(alsoThrough: readonly TopicOffset[]): void
}

function createIntake(options: ServerOptions, store: SeriesStore, watermarks: Watermarks): Intake {
  const { names, log, metrics } = options
  const points: Decoder<PointValues> = decoderFor(
    options.registry,
    narrowSchema(options.schemas.series, ['series_key', ...LABELS, 'bucket_start', 'revision', ...MEASURES]),
  )
  const progress: Decoder<Progress> = decoderFor(options.registry, options.schemas.progress)
  const pointsRead = metrics.counter('serve_points_total', {})
  /** Next series offset to read, and what waits for it, by partition number. */
  const seriesNext = new Map<number, number>()
  const pending = new Map<number, AggregateOffsets[]>()
  /** Newest Progress by record key while the topic is read for the first time; null once that is over. */
  let first: Map<string, Progress> | null = new Map()
  const sources = new Map<string, SourcePartition>()

  /** Reads what can be read; a record that cannot be is logged, counted and passed over. */
  function each(chunk: Chunk, read: (record: ReadRecord) => void): void {
    for (const record of chunk.records) {
      try {
        read(record)
      } catch (thrown) {
        const error = thrown instanceof FlowError ? thrown : new FlowError('CODEC_INVALID', { hint: 'no record of ours' }, thrown)
        metrics.inc('serve_invalid_records_total', { topic: chunk.topic })
        const { topic, partition } = chunk
        log.error({ ...errorFields(error), topic, partition, offset: record.offset }, 'record cannot be read')
      }
    }
  }

  function release(partition: number): void {
    const waiting = pending.get(partition) ?? []
    const next = seriesNext.get(partition) ?? 0
    while (waiting[0] !== undefined && (waiting[0].series ?? -1) < next) {
      for (const [topic, offset] of Object.entries(waiting.shift()?.inputs ?? {})) watermarks.passed(topic, partition, offset)
    }
  }

  function takePoint(record: ReadRecord): void {
    pointsRead.inc()
    if (record.value !== null) {
      store.put(points.decode(record.value))
      return
    }
    const key = record.key?.toString() ?? ''
    const at = key.lastIndexOf('@')
    store.remove(key.slice(0, at), Date.parse(key.slice(at + 1)))
  }

  function takeProgress(record: ReadRecord): void {
    const key = record.key?.toString() ?? ''
    if (record.value === null) {
      first?.delete(key)
      const source = sources.get(key)
      if (source) watermarks.forget(source)
      return
    }
    const told = asPublished(progress.decode(record.value), record.timestamp)
    sources.set(key, { connector: told.connector, stream: told.stream, scope: told.scope })
    if (first) first.set(key, told)
    else watermarks.apply(told)
  }

  function takeOffsets(partition: number, record: ReadRecord): void {
    if (record.value === null) return
    const told = AggregateOffsets.parse(JSON.parse(record.value.toString()))
    const waiting = pending.get(partition) ?? []
    pending.set(partition, waiting)
    if (waiting.length >= MOST_PENDING) waiting.pop()
    waiting.push(told)
  }

  return {
    async take(chunk) {
      const { topic, partition } = chunk
      const values = () => chunk.records.map(record => record.value)
      if (topic === names.series) {
        await points.prepare(values())
        each(chunk, takePoint)
        seriesNext.set(partition, chunk.next)
        release(partition)
      } else if (topic === names.progress) {
        await progress.prepare(values())
        each(chunk, takeProgress)
      } else {
        each(chunk, record => takeOffsets(partition, record))
        release(partition)
      }
    },
    believe(alsoThrough) {
      for (const told of first?.values() ?? []) watermarks.apply(told, alsoThrough)
      first = null
    },
  }
}

const placeKey = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`
