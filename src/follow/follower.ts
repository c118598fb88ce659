/**
 * Follows the series, progress and aggregate-offsets topics from their start, for the server and the alerter.
 *
 * A Progress says what has been read from a vendor; it counts here only when the aggregator has counted everything that the commit wrote (aggregate-offsets),
 * and when the resulting series have arrived here too.
 */
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { type Decoder, decoderFor } from '../kafka/codec.ts'
import { lastOffsets } from '../kafka/ends.ts'
import type { Chunk, Kafka, ReadRecord, TopicPartition } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import { type BucketSize, readPointKey } from '../point-key.ts'
import type { Progress, SeriesPoint } from '../records.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import { asPublished, createWatermarks, type SourcePartition, type Watermarks } from '../watermark.ts'

const FIRST_RETRY_MS = 1000
/** Short enough that a role is ready soon after Kafka is back. */
const LONGEST_RETRY_MS = 10_000
/** How many aggregate-offsets of one partition wait separately for their series; beyond them the newest replaces the one before it. */
const MOST_PENDING = 1000

export interface FollowerOptions<F extends keyof SeriesPoint> {
  /** For log lines: `server`, `alerter`. */
  readonly role: string
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  readonly log: Log
  readonly clock: Clock
  /** Ends it; `done` resolves then. */
  readonly signal: AbortSignal
  /** false: the first failure ends it. Default: temporary failures are retried. */
  readonly isPatient?: boolean
  /** The fields of a point that are decoded; the others are skipped. */
  readonly fields: readonly F[]
  /** A point in the order of its partition, including repetitions and older revisions. */
  onPoint(point: Pick<SeriesPoint, F>, place: { readonly partition: number; readonly offset: number }): void
  /** The null of a point: it was rolled up, or has expired. `bucket` is its length, as in `SeriesPoint`. */
  onRemoved(seriesKey: string, bucketStartMs: number, bucket: BucketSize): void
  /** An unreadable record; it has been logged and is skipped. */
  readonly onInvalid: (topic: string) => void
  /**
   * Called once, before anything is read, for a caller that has kept what the first points of the topic said.
   *
   * @returns by partition, the next offset of the series topic to read; null: it is read from its start. If it throws, it is retried.
   */
  resume?(start: SeriesStart): Promise<readonly number[] | null>
  /** Called when progress has been read once, before the first point, and after each batch. The next batch is taken once it has resolved. */
  onBatch?(): void | Promise<void>
  /** Another topic with the same number of partitions, followed together with them. After an error of `take` the same chunk is retried. */
  readonly also?: { readonly topic: string; take(chunk: Chunk): Promise<void> }
}

/** The series topic when it is begun to be read. */
export interface SeriesStart {
  readonly clusterId: string
  /** In the order of their numbers. */
  readonly partitions: readonly { readonly low: number; readonly high: number }[]
}

export interface Follower {
  readonly watermarks: Watermarks
  /** null until Kafka has been reached. */
  readonly clusterId: string | null
  /** Everything that was on the topics at the start has been read. */
  readonly isReady: boolean
  /** The next offset to read there. */
  next(topic: string, partition: number): number
  /** Why it cannot read now, or what it still has to read; null: it is up to date. */
  why(): string | null
  /** Resolves when everything that was there at the start has been read. Rejects if `done` does. */
  readonly ready: Promise<void>
  /** Resolves when the signal has ended it; rejects on a fault that retrying does not fix. */
  readonly done: Promise<void>
}

/** Starts at once and returns. */
export function startFollower<F extends keyof SeriesPoint>(options: FollowerOptions<F>): Follower {
  const { role, kafka, names, log, clock, signal, also } = options
  const data = new Set<string>([names.sessions, names.messages, names.events])
  const watermarks = createWatermarks(topic => data.has(topic))
  const intake = createIntake(options, watermarks)
  const positions = new Map<string, TopicPartition & { offset: number }>()
  const becameReady = Promise.withResolvers<void>()
  let ends: Map<string, number> | null = null
  let clusterId: string | null = null
  /** What `resume` returned. */
  let resumed: { readonly next: readonly number[] | null } | null = null
  let isReady = false
  let failure: FlowError | null = null

  const placesOf = (topic: string) => Array.from({ length: options.partitions }, (_, partition) => ({ topic, partition }))
  const topics = [names.series, names.progress, names.aggregateOffsets, ...(also === undefined ? [] : [also.topic])]

  async function follow(): Promise<void> {
    clusterId = (await kafka.describe()).clusterId
    if (ends === null) {
      const found = await kafka.watermarks(topics.flatMap(placesOf))
      const partitions = found.filter(({ topic }) => topic === names.series)
      resumed ??= { next: (await options.resume?.({ clusterId, partitions })) ?? null }
      await readProgress()
      for (const { topic, partition, low } of found)
        if (topic !== names.progress) positions.set(placeKey({ topic, partition }), { topic, partition, offset: low })
      for (const [partition, offset] of resumed.next?.entries() ?? []) {
        positions.set(placeKey({ topic: names.series, partition }), { topic: names.series, partition, offset })
        intake.resume(partition, offset)
      }
      ends = new Map(found.map(place => [placeKey(place), place.high]))
    }
    look()
    failure = null
    for await (const chunks of kafka.tail([...positions.values()], { signal })) {
      for (const chunk of chunks) {
        await (chunk.topic === also?.topic ? also.take(chunk) : intake.take(chunk))
        positions.set(placeKey(chunk), { topic: chunk.topic, partition: chunk.partition, offset: chunk.next })
      }
      look()
      await options.onBatch?.()
    }
  }

  /** The newest Progress of each source partition, before anything else: the existing streams are known when the first point comes. */
  async function readProgress(): Promise<void> {
    const read = placesOf(names.progress).map(async place => {
      const records: ReadRecord[] = []
      const next = await kafka.readToEnd(place, record => records.push(record), signal)
      return { ...place, records, next, high: next }
    })
    for (const chunk of await Promise.all(read)) {
      await intake.take(chunk)
      positions.set(placeKey(chunk), { topic: chunk.topic, partition: chunk.partition, offset: chunk.next })
    }
    intake.believe(await lastOffsets(kafka, [...data].flatMap(placesOf)))
    await options.onBatch?.()
  }

  /** Whether everything that was there at the start has been read. */
  function look(): void {
    if (isReady || ends === null || unread() > 0) return
    isReady = true
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
        if (failure.retry === 'never' || options.isPatient === false) throw failure
        if (clock.now() - began > LONGEST_RETRY_MS) waitMs = FIRST_RETRY_MS
        log.warn({ ...errorFields(failure), waitMs }, `${role} failed to read, retrying`)
        await clock.sleep(waitMs, signal)
        waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)
      }
    }
  }

  const done = run()
  done.catch(error => becameReady.reject(error))
  becameReady.promise.catch(() => {})

  return {
    watermarks,
    get clusterId() {
      return clusterId
    },
    get isReady() {
      return isReady
    },
    next: (topic, partition) => positions.get(placeKey({ topic, partition }))?.offset ?? 0,
    why() {
      if (failure) return failure.message
      if (isReady) return null
      return ends === null ? 'Kafka has not been reached yet' : `the series are being read, ${unread()} offsets to go`
    },
    ready: becameReady.promise,
    done,
  }
}

/** What the aggregator has counted, and the last series point that it wrote for it. */
const AggregateOffsets = z.object({
  inputs: z.record(z.string(), z.number()),
  series: z.number().nullable(),
})
type AggregateOffsets = z.output<typeof AggregateOffsets>

interface ProgressIntake {
  take(chunk: Chunk): Promise<void>
  /** The points of the partition before this offset have been taken already. */
  resume(partition: number, next: number): void
  /** Ends the first read of progress: the newest of each source partition counts once all of these have been passed. */
  believe(alsoThrough: readonly { topic: string; partition: number; offset: number }[]): void
}

function createIntake<F extends keyof SeriesPoint>(options: FollowerOptions<F>, watermarks: Watermarks): ProgressIntake {
  const { names } = options
  const points: Decoder<Pick<SeriesPoint, F>> = decoderFor(
    options.registry,
    narrowSchema(schemaText('series-point'), options.fields),
  )
  const progress: Decoder<Progress> = decoderFor(options.registry, schemaText('progress'))
  /** Next series offset to read, and what waits for it, by partition number. */
  const seriesNext = new Map<number, number>()
  const pending = new Map<number, AggregateOffsets[]>()
  /** Newest Progress by record key while the topic is read for the first time; null once that is over. */
  let first: Map<string, Progress> | null = new Map()
  const sources = new Map<string, SourcePartition>()

  const each = (chunk: Chunk, read: (record: ReadRecord) => void) => eachReadable(chunk, options, read)

  function release(partition: number): void {
    const waiting = pending.get(partition) ?? []
    const next = seriesNext.get(partition) ?? 0
    while (waiting[0] !== undefined && (waiting[0].series ?? -1) < next) {
      for (const [topic, offset] of Object.entries(waiting.shift()?.inputs ?? {})) watermarks.passed(topic, partition, offset)
    }
  }

  function takePoint(partition: number, record: ReadRecord): void {
    if (record.value !== null) {
      options.onPoint(points.decode(record.value), { partition, offset: record.offset })
      return
    }
    const key = readPointKey(record.key?.toString() ?? '')
    if (key !== null) options.onRemoved(key.seriesKey, key.startMs, key.bucket)
  }

  function takeProgress(record: ReadRecord): void {
    const key = record.key?.toString() ?? ''
    if (record.value === null) {
      first?.delete(key)
      const source = sources.get(key)
      if (source) watermarks.forget(source)
      return
    }
    const read = asPublished(progress.decode(record.value), record.timestamp)
    sources.set(key, { connector: read.connector, stream: read.stream, scope: read.scope })
    if (first) first.set(key, read)
    else watermarks.apply(read)
  }

  function takeOffsets(partition: number, record: ReadRecord): void {
    if (record.value === null) return
    const counted = AggregateOffsets.parse(JSON.parse(record.value.toString()))
    const waiting = pending.get(partition) ?? []
    pending.set(partition, waiting)
    if (waiting.length >= MOST_PENDING) waiting.pop()
    waiting.push(counted)
  }

  return {
    async take(chunk) {
      const { topic, partition } = chunk
      const values = () => chunk.records.map(record => record.value)
      if (topic === names.series) {
        await points.prepare(values())
        each(chunk, record => takePoint(partition, record))
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
    resume: (partition, next) => void seriesNext.set(partition, next),
    believe(alsoThrough) {
      for (const progress of first?.values() ?? []) watermarks.apply(progress, alsoThrough)
      first = null
    },
  }
}

/** Reads what can be read; an unreadable record is logged, counted and skipped. */
export function eachReadable(
  chunk: Chunk,
  { log, onInvalid }: { readonly log: Log; readonly onInvalid: (topic: string) => void },
  read: (record: ReadRecord) => void,
): void {
  for (const record of chunk.records) {
    try {
      read(record)
    } catch (thrown) {
      const error =
        thrown instanceof FlowError ? thrown : new FlowError('CODEC_INVALID', { hint: 'not a record of ours' }, thrown)
      const { topic, partition } = chunk
      onInvalid(topic)
      log.error({ ...errorFields(error), topic, partition, offset: record.offset }, 'skipped unreadable record')
    }
  }
}

const placeKey = ({ topic, partition }: TopicPartition) => `${topic}/${partition}`
