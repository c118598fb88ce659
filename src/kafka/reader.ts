/**
 * Reading in assign mode: chosen partitions from chosen offsets, without a consumer group. kafkajs has no such mode, and its consumer stops short of,
 * or hangs at, a tail of control or compacted records; so offsets are asked for and records fetched with requests of our own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isConnectionFailure, isStale, kafkaError, refused } from './failures.ts'
import { type Broker, type Cluster, sendFramed } from './kafkajs.ts'
import type { Chunk, ReadRecord, TailOptions, TopicPartition } from './port.ts'
import { decodeFetched, type Fetched, type FetchedPartition, fetchRequest, readBatches } from './wire.ts'

const MAX_WAIT_MS = 500
const BYTES_PER_PARTITION = 1024 * 1024
/** Bytes of one fetch over all partitions. */
const FETCH_BYTES = 16 * 1024 * 1024
/** Bytes that `readToEnd` asks for at a time. */
const WHOLE_BYTES = 4 * 1024 * 1024
const FETCH_TIMEOUT_MS = 30_000
/** How long a read to the end goes on without an answer. */
const PATIENCE_MS = 30_000
const OFFSET_OUT_OF_RANGE = 1

const EARLIEST = -2
const LATEST = -1

/** One partition, the next offset to read, and the high watermark as last told. */
interface Position extends TopicPartition {
  offset: number
}

/** Low and high watermark, asked with isolation 0: records of open transactions lie below `high`. */
export async function watermarks(
  cluster: Cluster,
  places: readonly TopicPartition[],
): Promise<(TopicPartition & { low: number; high: number })[]> {
  return await patiently(cluster, async () => {
    const [lows, highs] = [await listOffsets(cluster, places, EARLIEST), await listOffsets(cluster, places, LATEST)]
    return places.map(({ topic, partition }) => {
      const key = placeKey({ topic, partition })
      return { topic, partition, low: lows.get(key) ?? 0, high: highs.get(key) ?? 0 }
    })
  })
}

async function listOffsets(cluster: Cluster, places: readonly TopicPartition[], timestamp: number): Promise<Map<string, number>> {
  const offsets = new Map<string, number>()
  for (const [nodeId, of] of await byLeader(cluster, places)) {
    const topics = new Map<string, { partition: number; timestamp: number }[]>()
    for (const { topic, partition } of of) topics.set(topic, [...(topics.get(topic) ?? []), { partition, timestamp }])
    const broker = await cluster.findBroker({ nodeId })
    const { responses } = await broker.listOffsets({
      replicaId: -1,
      isolationLevel: 0,
      topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })),
    })
    for (const { topic, partitions } of responses) {
      for (const { partition, offset } of partitions) offsets.set(placeKey({ topic, partition }), Number(offset))
    }
  }
  return offsets
}

/** @throws what a stale answer would be, where a partition is not known or has no leader. */
async function byLeader<T extends TopicPartition>(cluster: Cluster, places: readonly T[]): Promise<Map<number, T[]>> {
  await cluster.addMultipleTargetTopics([...new Set(places.map(place => place.topic))])
  await cluster.refreshMetadataIfNecessary()
  const leaders = new Map<number, T[]>()
  for (const place of places) {
    const leader = cluster.findTopicPartitionMetadata(place.topic).find(of => of.partitionId === place.partition)?.leader
    if (leader === undefined || leader < 0) {
      throw Object.assign(new Error(`${place.topic}/${place.partition} has no leader`), { code: leader === undefined ? 3 : 5 })
    }
    const of = leaders.get(leader)
    if (of === undefined) leaders.set(leader, [place])
    else of.push(place)
  }
  return leaders
}

/** Tries again, with fresh metadata, while leaders move or connections fail. */
export async function patiently<T>(
  cluster: Cluster,
  work: () => Promise<T>,
  options: { signal?: AbortSignal | undefined; patienceMs?: number } = {},
): Promise<T> {
  let untilMs = Date.now() + (options.patienceMs ?? PATIENCE_MS)
  for (let count = 0; ; count++) {
    try {
      await cluster.connect()
      return await work()
    } catch (error) {
      const code = codeOf(error)
      // A topic that is not there does not come into being by waiting long.
      if (code === 3) untilMs = Math.min(untilMs, Date.now() + 2_000 - Math.min(count * 100, 2_000))
      const again = code === null ? isConnectionFailure(error) : isStale(code)
      if (!again || Date.now() >= untilMs || options.signal?.aborted === true) throw kafkaError(error)
    }
    await pause(backoffMs(count + 3), options.signal)
    await cluster.refreshMetadata().catch(() => {})
  }
}

/** Waits, or not to the end when the signal aborts. */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}

async function fetchFrom(
  broker: Broker,
  places: readonly Position[],
  options: { maxWaitMs: number; maxBytesPerPartition: number },
): Promise<Fetched> {
  const request = fetchRequest({
    maxWaitMs: options.maxWaitMs,
    maxBytes: Math.max(FETCH_BYTES, options.maxBytesPerPartition),
    maxBytesPerPartition: options.maxBytesPerPartition,
    places,
  })
  return await sendFramed(broker, request, decodeFetched, FETCH_TIMEOUT_MS + options.maxWaitMs)
}

/**
 * Hands the records over and tells where to go on. A fetch that brings no batch although the offset lies below the last stable offset means
 * that nothing is left up to there (compaction): the broker reads at least one batch where there is one, and takes the last stable offset first.
 */
export function take(fetched: FetchedPartition, offset: number, onRecord: (record: ReadRecord) => void): number {
  const next = readBatches(fetched, offset, onRecord)
  return next === offset && fetched.batches.length === 0 ? Math.max(next, fetched.lastStable) : next
}

export interface ReadToEnd extends TopicPartition {
  readonly from?: number
}

/** See `Kafka.readToEnd`. */
export async function readToEnd(
  cluster: Cluster,
  place: ReadToEnd,
  onRecord: (record: ReadRecord) => void,
  signal?: AbortSignal,
): Promise<number> {
  const [{ low, high } = { low: 0, high: 0 }] = await watermarks(cluster, [place])
  let offset = Math.max(place.from ?? low, low)
  while (offset < high) {
    if (signal?.aborted === true) throw new FlowError('STOPPED', { topic: place.topic, partition: place.partition })
    const position: Position = { topic: place.topic, partition: place.partition, offset }
    const fetched = await patiently(cluster, async () => await fetchOne(cluster, position), { signal })
    if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
      // Retention has moved the start past us; the end stands.
      const [now] = await watermarks(cluster, [place])
      offset = Math.max(offset, now?.low ?? high)
      if (now !== undefined && now.high < offset) return now.high
    } else offset = take(fetched, offset, onRecord)
  }
  return offset
}

async function fetchOne(cluster: Cluster, position: Position): Promise<FetchedPartition> {
  for (const nodeId of (await byLeader(cluster, [position])).keys()) {
    const broker = await cluster.findBroker({ nodeId })
    const { partitions } = await fetchFrom(broker, [position], { maxWaitMs: MAX_WAIT_MS, maxBytesPerPartition: WHOLE_BYTES })
    const [fetched] = partitions
    if (fetched === undefined) continue
    if (isStale(fetched.errorCode)) throw Object.assign(new Error('the leader has moved'), { code: fetched.errorCode })
    if (fetched.errorCode > OFFSET_OUT_OF_RANGE) throw refused(fetched.errorCode, placeOf(position))
    return fetched
  }
  throw Object.assign(new Error('the fetch was not answered'), { code: 5 })
}

function placeOf({ topic, partition }: TopicPartition) {
  return { topic, partition }
}

export interface TailParts {
  readonly connect: () => Cluster
  readonly drop: (cluster: Cluster) => Promise<void>
  readonly log: Log
}

/**
 * See `Kafka.tail`. While the caller works on what a broker brought, its next fetch is under way already; so one fetch of each broker is held at most.
 * A broker that does not answer is asked again for as long as the tail lives.
 */
export async function* tail(
  parts: TailParts,
  places: readonly (TopicPartition & { offset: number })[],
  options: TailOptions,
): AsyncGenerator<Chunk[]> {
  if (places.length === 0 || options.signal.aborted) return
  const limits = {
    maxWaitMs: options.maxWaitMs ?? MAX_WAIT_MS,
    maxBytesPerPartition: options.maxBytesPerPartition ?? BYTES_PER_PARTITION,
  }
  const positions = new Map(places.map(place => [placeKey(place), { ...placeOf(place), offset: place.offset }]))
  let onStop = () => {}
  const stop = () => onStop()
  options.signal.addEventListener('abort', stop, { once: true })
  let cluster = parts.connect()
  let failures = 0
  try {
    while (!options.signal.aborted) {
      try {
        for await (const chunks of round(cluster)) {
          failures = 0
          yield chunks
        }
      } catch (error) {
        if (options.signal.aborted) return
        const code = codeOf(error)
        if (code === null ? !isConnectionFailure(error) : !isStale(code)) throw kafkaError(error)
        failures++
        if (failures === 3) parts.log.warn({ error: String(error) }, 'Kafka does not answer a reader; it is asked again')
        if (code === null) {
          await parts.drop(cluster)
          cluster = parts.connect()
        } else await cluster.refreshMetadata().catch(() => {})
        await pause(backoffMs(failures + 2), options.signal)
      }
    }
  } finally {
    options.signal.removeEventListener('abort', stop)
    await parts.drop(cluster)
  }

  /** Fetches from the leaders as they are now, until the signal aborts or one of them fails. */
  async function* round(of: Cluster): AsyncGenerator<Chunk[]> {
    await of.connect()
    const leaders = await byLeader(of, [...positions.values()])
    const under = new Map<number, Promise<{ nodeId: number; fetched: Fetched } | { nodeId: number; error: unknown }>>()
    const ask = (nodeId: number) => {
      const places = leaders.get(nodeId) ?? []
      // The broker fills its answer in this order: who was first is last the next time.
      const [first] = places.splice(0, 1)
      if (first !== undefined) places.push(first)
      const answer = of
        .findBroker({ nodeId })
        .then(async broker => ({ nodeId, fetched: await fetchFrom(broker, places, limits) }))
        .catch((error: unknown) => ({ nodeId, error }))
      under.set(nodeId, answer)
    }
    for (const nodeId of leaders.keys()) ask(nodeId)
    for (;;) {
      // A promise of this round alone: one that lived as long as the tail would hold every answer that it was ever raced with.
      const stopped = Promise.withResolvers<'stopped'>()
      onStop = () => stopped.resolve('stopped')
      if (options.signal.aborted) return
      const answer = await Promise.race([stopped.promise, ...under.values()])
      if (answer === 'stopped') return
      if ('error' in answer) throw answer.error
      options.onAnswer?.(answer.fetched.partitions)
      const chunks: Chunk[] = []
      let stale: number | null = null
      for (const partition of answer.fetched.partitions) {
        const position = positions.get(placeKey(partition))
        if (position === undefined) continue
        if (partition.errorCode === OFFSET_OUT_OF_RANGE) await moveToStart(of, position)
        else if (isStale(partition.errorCode)) stale = partition.errorCode
        else if (partition.errorCode !== 0) throw refused(partition.errorCode, placeOf(position))
        else {
          const records: ReadRecord[] = []
          const next = take(partition, position.offset, record => records.push(record))
          if (next === position.offset) continue
          position.offset = next
          chunks.push({ topic: position.topic, partition: position.partition, records, next, high: partition.high })
        }
      }
      if (stale === null) ask(answer.nodeId)
      if (chunks.length > 0) yield chunks
      if (stale !== null) throw Object.assign(new Error('the leader has moved'), { code: stale })
    }
  }

  async function moveToStart(of: Cluster, position: Position): Promise<void> {
    const [now] = await watermarks(of, [position])
    const from = now?.low ?? 0
    parts.log.warn(
      { ...placeOf(position), wanted: position.offset, from },
      'Offset is not on the partition any more; reading from its start',
    )
    position.offset = from
  }
}

function placeKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
