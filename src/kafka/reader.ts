/**
 * Reads in assign mode: chosen partitions from chosen offsets, without a consumer group. kafkajs has no such mode, and its consumer stops short of, or hangs
 * at, a tail of control or compacted records; so we request offsets and records ourselves.
 *
 * A missing answer for a partition is never taken as "nothing there": the partition is asked again, and the others continue meanwhile.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isConnectionFailure, isStale, kafkaError, refused } from './failures.ts'
import { type Broker, type Cluster, sendFramed } from './kafkajs.ts'
import type { Chunk, ReadRecord, TailOptions, TopicPartition } from './port.ts'
import {
  decodeFetched,
  decodeListed,
  EARLIEST,
  type Fetched,
  type FetchedPartition,
  fetchRequest,
  LATEST,
  listOffsetsRequest,
  readBatches,
} from './wire.ts'

const MAX_WAIT_MS = 500
const BYTES_PER_PARTITION = 1024 * 1024
/** Bytes of one fetch over all partitions. */
const FETCH_BYTES = 16 * 1024 * 1024
interface FetchLimits {
  readonly maxWaitMs: number
  readonly maxBytesPerPartition: number
}
/** Limits of one fetch of `readToEnd`. */
const WHOLE: FetchLimits = { maxWaitMs: MAX_WAIT_MS, maxBytesPerPartition: 4 * 1024 * 1024 }
/** Limits of one fetch of `readRange`: decoding one answer must not block the event loop, and it waits for nothing. */
const RANGE: FetchLimits = { maxWaitMs: 0, maxBytesPerPartition: 256 * 1024 }
/** How long a fetch may take beyond the time the broker may hold it. The cluster takes 9 s to move the partitions of a hanging broker. */
const FETCH_TIMEOUT_MS = 8_000
const LIST_TIMEOUT_MS = 5_000
/** How long a read to the end continues without an answer. */
const PATIENCE_MS = 30_000
const OFFSET_OUT_OF_RANGE = 1
const NOT_LEADER = 6
const NO_LEADER = 5
/** A partition is logged after this many failures in a row. */
const FAILURES_TO_LOG = 3

/** One partition, and the next offset to read. */
interface Position extends TopicPartition {
  offset: number
}

/**
 * Low and high watermark, with isolation 0: records of open transactions are below `high`. Partitions without an answer are asked again until all have one.
 * @throws FlowError KAFKA_UNREACHABLE where one has none in time
 */
export async function watermarks(
  cluster: Cluster,
  places: readonly TopicPartition[],
  signal?: AbortSignal,
): Promise<(TopicPartition & { low: number; high: number })[]> {
  const found = new Map<string, { low: number; high: number }>()
  await patiently(
    cluster,
    async () => {
      const open = places.filter(place => !found.has(placeKey(place)))
      // A broker that was away and does not know yet that it leads no longer would return an old end.
      await cluster.addMultipleTargetTopics([...new Set(open.map(place => place.topic))])
      await cluster.refreshMetadata()
      const [lows, highs] = [await listOffsets(cluster, open, EARLIEST), await listOffsets(cluster, open, LATEST)]
      for (const key of open.map(placeKey)) {
        const [low, high] = [lows.offsets.get(key), highs.offsets.get(key)]
        if (low !== undefined && high !== undefined) found.set(key, { low, high })
      }
      const error = lows.errors[0] ?? highs.errors[0]
      if (error !== undefined) throw error
    },
    { signal },
  )
  return places.map(place => {
    const known = found.get(placeKey(place))
    if (known === undefined) throw new FlowError('BUG', { hint: 'a partition without an answer', ...placeOf(place) })
    return { ...placeOf(place), ...known }
  })
}

/** See `Kafka.offsetsAt`. */
export async function offsetsAt(
  cluster: Cluster,
  places: readonly TopicPartition[],
  timeMs: number,
): Promise<(TopicPartition & { offset: number | null })[]> {
  return await patiently(cluster, async () => {
    await cluster.addMultipleTargetTopics([...new Set(places.map(place => place.topic))])
    const { offsets, errors } = await listOffsets(cluster, places, timeMs)
    if (errors[0] !== undefined) throw errors[0]
    return places.map(place => {
      const offset = offsets.get(placeKey(place)) ?? -1
      return { ...placeOf(place), offset: offset < 0 ? null : offset }
    })
  })
}

/** The leaders' answers, and the error for each partition without one. A failing leader does not stop the others. */
export async function listOffsets(
  cluster: Cluster,
  places: readonly TopicPartition[],
  timestamp: number,
  timeoutMs = LIST_TIMEOUT_MS,
): Promise<{ offsets: Map<string, number>; errors: unknown[] }> {
  const { byLeader, without } = await leadersOf(cluster, places)
  const offsets = new Map<string, number>()
  const errors: unknown[] = [...without.values()]
  await Promise.all(
    [...byLeader].map(async ([nodeId, wanted]) => {
      try {
        const broker = await cluster.findBroker({ nodeId })
        const { partitions } = await sendFramed(
          broker,
          listOffsetsRequest({ timestamp, places: wanted }),
          decodeListed,
          timeoutMs,
        )
        for (const { topic, partition, errorCode, offset } of partitions) {
          // In answer to a time, −1 is valid: everything there is older.
          if (errorCode === 0 && (offset >= 0 || timestamp >= 0)) offsets.set(placeKey({ topic, partition }), offset)
          else errors.push(noAnswer({ topic, partition }, errorCode === 0 ? NO_LEADER : errorCode, 'no offset'))
        }
        for (const place of wanted) {
          const isAnswered = partitions.some(({ topic, partition }) => placeKey({ topic, partition }) === placeKey(place))
          if (!isAnswered) errors.push(noAnswer(place, NO_LEADER, 'no answer'))
        }
      } catch (error) {
        errors.push(error)
      }
    }),
  )
  return { offsets, errors }
}

function noAnswer(place: TopicPartition, code: number, what: string): Error {
  return Object.assign(new Error(`${placeKey(place)}: ${what}`), { code })
}

/** Partitions by leader, and the error for each partition that is unknown or has no leader. */
async function leadersOf<T extends TopicPartition>(
  cluster: Cluster,
  places: readonly T[],
): Promise<{ byLeader: Map<number, T[]>; without: Map<T, Error> }> {
  await cluster.addMultipleTargetTopics([...new Set(places.map(place => place.topic))])
  await cluster.refreshMetadataIfNecessary()
  const byLeader = new Map<number, T[]>()
  const without = new Map<T, Error>()
  for (const place of places) {
    const leader = cluster.findTopicPartitionMetadata(place.topic).find(found => found.partitionId === place.partition)?.leader
    if (leader === undefined || leader < 0) {
      const what = leader === undefined ? 'there is no such partition' : 'the partition has no leader'
      without.set(place, noAnswer(place, leader === undefined ? 3 : NO_LEADER, what))
      continue
    }
    const led = byLeader.get(leader)
    if (led === undefined) byLeader.set(leader, [place])
    else led.push(place)
  }
  return { byLeader, without }
}

/** Retries, with fresh metadata, while leaders move or connections fail. */
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
      // Waiting long does not create a missing topic.
      if (code === 3) untilMs = Math.min(untilMs, Date.now() + 2_000 - Math.min(count * 100, 2_000))
      const again = code === null ? isConnectionFailure(error) : isStale(code)
      if (!again || Date.now() >= untilMs || options.signal?.aborted === true) throw kafkaError(error)
    }
    await pause(backoffMs(count + 3), options.signal)
    await cluster.refreshMetadata().catch(() => {})
  }
}

/** Waits, or less when the signal aborts. */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}

async function fetchFrom(broker: Broker, places: readonly Position[], options: FetchLimits): Promise<Fetched> {
  const request = fetchRequest({
    maxWaitMs: options.maxWaitMs,
    maxBytes: Math.max(FETCH_BYTES, options.maxBytesPerPartition),
    maxBytesPerPartition: options.maxBytesPerPartition,
    places,
  })
  return await sendFramed(broker, request, decodeFetched, FETCH_TIMEOUT_MS + options.maxWaitMs)
}

/** What an answer says about a partition, besides its records. */
export interface Taken {
  /** Offset to continue from. */
  readonly next: number
  /**
   * The answer held no whole batch, although the offset is below the last stable offset: either nothing is left up to there (compaction, or markers removed),
   * or other partitions filled the answer. Only a fetch of this partition alone can decide.
   */
  readonly isOpen: boolean
}

/**
 * Delivers the records and returns where to continue.
 *
 * @param alone The fetch asked for this partition only. The broker then sends at least one whole batch where there is one, and takes the last stable offset
 *   before it reads: so an answer without a batch means that there is nothing up to that offset.
 */
export function take(fetched: FetchedPartition, offset: number, alone: boolean, onRecord: (record: ReadRecord) => void): Taken {
  const next = readBatches(fetched, offset, onRecord)
  if (next > offset || offset >= fetched.lastStable) return { next, isOpen: false }
  if (alone && fetched.batches.length === 0) return { next: fetched.lastStable, isOpen: false }
  return { next, isOpen: true }
}

export interface ReadToEnd extends TopicPartition {
  readonly from?: number
  readonly past?: number
}

/** See `Kafka.readToEnd`. */
export async function readToEnd(
  cluster: Cluster,
  place: ReadToEnd,
  onRecord: (record: ReadRecord) => void,
  signal?: AbortSignal,
): Promise<number> {
  const { low, high: reported } = await watermarksOf(cluster, place, signal)
  const high = Math.max(reported, (place.past ?? -1) + 1)
  let offset = Math.max(place.from ?? low, low)
  while (offset < high) {
    if (signal?.aborted === true) throw new FlowError('STOPPED', { topic: place.topic, partition: place.partition })
    const position: Position = { topic: place.topic, partition: place.partition, offset }
    const fetched = await patiently(cluster, async () => await fetchPast(cluster, position, high), { signal })
    if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
      // Retention has moved the start past our position; the end stays the same.
      const now = await watermarksOf(cluster, place, signal)
      offset = Math.max(offset, now.low)
      if (now.high < offset) return now.high
    } else offset = take(fetched, offset, true, onRecord).next
  }
  return offset
}

export interface ReadRange extends TopicPartition {
  readonly from: number
  readonly until: number
}

/** See `Kafka.readRange`. */
export async function readRange(
  cluster: Cluster,
  { topic, partition, from, until }: ReadRange,
  onRecord: (record: ReadRecord) => void,
  signal?: AbortSignal,
): Promise<number> {
  const position: Position = { topic, partition, offset: from }
  while (position.offset < until) {
    if (signal?.aborted === true) throw new FlowError('STOPPED', { topic, partition })
    const fetched = await patiently(cluster, async () => await fetchPast(cluster, position, until, RANGE), { signal })
    if (fetched.errorCode === OFFSET_OUT_OF_RANGE) {
      const { low, high } = await watermarksOf(cluster, position, signal)
      // Lost with its leader: there is nothing more to read.
      if (high < until) return position.offset
      position.offset = Math.min(Math.max(low, position.offset), until)
      continue
    }
    const { next, isOpen } = take(fetched, position.offset, true, record => {
      if (record.offset < until) onRecord(record)
    })
    if (next === position.offset && !isOpen) return next
    position.offset = next
  }
  return until
}

/** A fetch from a leader that knows everything up to `high`: a frozen one does not know yet that another one leads, and ends earlier. */
async function fetchPast(cluster: Cluster, position: Position, high: number, limits = WHOLE): Promise<FetchedPartition> {
  const fetched = await fetchOne(cluster, position, limits)
  if (fetched.errorCode === 0 && fetched.high < high) throw noAnswer(position, NOT_LEADER, 'the leader has moved')
  return fetched
}

async function watermarksOf(cluster: Cluster, place: TopicPartition, signal: AbortSignal | undefined) {
  const [found] = await watermarks(cluster, [place], signal)
  if (found === undefined) throw new FlowError('BUG', { hint: 'a partition without an answer', ...placeOf(place) })
  return found
}

async function fetchOne(cluster: Cluster, position: Position, limits: FetchLimits): Promise<FetchedPartition> {
  const { byLeader, without } = await leadersOf(cluster, [position])
  const [nodeId] = byLeader.keys()
  if (nodeId === undefined) throw without.get(position)
  const broker = await cluster.findBroker({ nodeId })
  const { errorCode, partitions } = await fetchFrom(broker, [position], limits)
  const [fetched] = partitions
  // A broker whose quota we have used up answers like this.
  if (fetched === undefined) throw noAnswer(position, errorCode === 0 ? NO_LEADER : errorCode, 'no answer to the fetch')
  if (isStale(fetched.errorCode)) throw noAnswer(position, fetched.errorCode, 'the leader has moved')
  if (fetched.errorCode > OFFSET_OUT_OF_RANGE) throw refused(fetched.errorCode, placeOf(position))
  return fetched
}

function placeOf({ topic, partition }: TopicPartition) {
  return { topic, partition }
}

export interface TailParts {
  readonly connect: () => Cluster
  readonly drop: (cluster: Cluster) => Promise<void>
  readonly log: Log
}

/** A partition that is tailed. */
interface Followed extends Position {
  /** Failures in a row. */
  failures: number
  /** Must be fetched alone: see `Taken.isOpen`. */
  alone: boolean
}

type TailEvent =
  | { readonly what: 'fetched'; readonly nodeId: number; readonly asked: readonly Followed[]; readonly fetched: Fetched }
  | { readonly what: 'failed'; readonly nodeId: number; readonly asked: readonly Followed[]; readonly error: unknown }
  | {
      readonly what: 'looked'
      readonly byLeader: ReadonlyMap<number, Followed[]>
      readonly without: ReadonlyMap<Followed, unknown>
    }
  | { readonly what: 'moved'; readonly place: Followed; readonly low: number }
  | { readonly what: 'lost'; readonly place: Followed; readonly error: unknown }

/**
 * See `Kafka.tail`. The next fetch of a broker is in flight while the caller works on the last one; so at most one fetch of each broker is held in memory.
 *
 * Each broker has its own fetch loop. A partition that gets no answer is without a broker until metadata names a leader that answers, for as long as the tail
 * lives, and the other partitions continue.
 */
export async function* tail(
  parts: TailParts,
  places: readonly (TopicPartition & { offset: number })[],
  options: TailOptions,
): AsyncGenerator<Chunk[]> {
  const { signal } = options
  if (places.length === 0 || signal.aborted) return
  const limits = {
    maxWaitMs: options.maxWaitMs ?? MAX_WAIT_MS,
    maxBytesPerPartition: options.maxBytesPerPartition ?? BYTES_PER_PARTITION,
  }
  const cluster = parts.connect()
  /** In the order in which the broker fills its answer. */
  const lines = new Map<number, Followed[]>()
  const busy = new Set<number>()
  const homeless = new Set<Followed>(
    places.map(place => ({ ...placeOf(place), offset: place.offset, failures: 0, alone: false })),
  )
  const events: TailEvent[] = []
  let isLooking = false
  let wake = () => {}
  const emit = (event: TailEvent) => {
    events.push(event)
    wake()
  }
  const stop = () => wake()
  signal.addEventListener('abort', stop, { once: true })
  try {
    while (!signal.aborted) {
      look()
      const event = events.shift()
      if (event === undefined) await new Promise<void>(resolve => (wake = resolve))
      else {
        const chunks = handle(event)
        if (chunks.length > 0) yield chunks
      }
    }
  } finally {
    signal.removeEventListener('abort', stop)
    await parts.drop(cluster)
  }

  function handle(event: TailEvent): Chunk[] {
    if (event.what === 'looked') {
      isLooking = false
      for (const [nodeId, found] of event.byLeader) {
        for (const place of found) homeless.delete(place)
        lines.set(nodeId, [...(lines.get(nodeId) ?? []), ...found])
        ask(nodeId)
      }
      for (const [place, error] of event.without) failed([place], error)
      return []
    }
    if (event.what === 'moved') {
      const { place, low } = event
      parts.log.warn(
        { ...placeOf(place), wanted: place.offset, from: low },
        'moved to the start of the partition, because the offset no longer exists',
      )
      place.offset = low
      homeless.add(place)
      return [{ ...placeOf(place), records: [], next: low, high: low }]
    }
    if (event.what === 'lost') {
      failed([event.place], event.error)
      return []
    }
    busy.delete(event.nodeId)
    if (event.what === 'failed') {
      // Also those not asked for: they are on the same broker.
      const all = lines.get(event.nodeId) ?? []
      lines.delete(event.nodeId)
      failed(all, event.error)
      return []
    }
    const chunks = fetchedFrom(event)
    ask(event.nodeId)
    return chunks
  }

  function fetchedFrom({ nodeId, asked, fetched }: Extract<TailEvent, { what: 'fetched' }>): Chunk[] {
    if (fetched.errorCode !== 0 && !isStale(fetched.errorCode)) throw refused(fetched.errorCode)
    const chunks: Chunk[] = []
    const hungry: Followed[] = []
    for (const partition of fetched.partitions) {
      const place = asked.find(one => one.topic === partition.topic && one.partition === partition.partition)
      if (place === undefined) continue
      if (isStale(partition.errorCode)) {
        leave(nodeId, place)
        failed([place], noAnswer(place, partition.errorCode, 'the leader has moved'))
      } else if (partition.errorCode === OFFSET_OUT_OF_RANGE) {
        leave(nodeId, place)
        void moveToStart(place)
      } else if (partition.errorCode !== 0) throw refused(partition.errorCode, placeOf(place))
      else {
        place.failures = 0
        options.onAnswer?.([place])
        const records: ReadRecord[] = []
        const { next, isOpen } = take(partition, place.offset, asked.length === 1, record => records.push(record))
        place.alone = isOpen && place === asked[0]
        if (isOpen) hungry.push(place)
        if (next === place.offset) continue
        place.offset = next
        chunks.push({ ...placeOf(place), records, next, high: partition.high })
      }
    }
    // Partitions that got nothing come first the next time; then the first one moves to the end.
    const [first, ...others] = (lines.get(nodeId) ?? []).filter(place => !hungry.includes(place))
    lines.set(nodeId, [...hungry, ...others, ...(first === undefined ? [] : [first])])
    return chunks
  }

  function ask(nodeId: number): void {
    const line = lines.get(nodeId) ?? []
    if (busy.has(nodeId) || line.length === 0) return
    busy.add(nodeId)
    const lone = line.find(place => place.alone)
    const asked = lone === undefined ? [...line] : [lone]
    cluster
      .findBroker({ nodeId })
      // A partition fetched alone has nothing to wait for, and others are waiting meanwhile.
      .then(broker => fetchFrom(broker, asked, lone !== undefined && line.length > 1 ? { ...limits, maxWaitMs: 0 } : limits))
      .then(
        fetched => emit({ what: 'fetched', nodeId, asked, fetched }),
        (error: unknown) => emit({ what: 'failed', nodeId, asked, error }),
      )
  }

  function leave(nodeId: number, place: Followed): void {
    lines.set(
      nodeId,
      (lines.get(nodeId) ?? []).filter(one => one !== place),
    )
  }

  /** @throws FlowError where asking again does not help */
  function failed(places: readonly Followed[], error: unknown): void {
    const code = codeOf(error)
    if (code === null ? !isConnectionFailure(error) : !isStale(code)) throw kafkaError(error)
    for (const place of places) {
      place.failures++
      homeless.add(place)
    }
    const silent = places.filter(place => place.failures === FAILURES_TO_LOG)
    const [first] = silent
    if (first === undefined) return
    parts.log.warn(
      { ...placeOf(first), partitions: silent.length, error: error instanceof Error ? error.message : String(error) },
      'failed to read from kafka, retrying',
    )
  }

  /** Finds the leaders of partitions that have none, one lookup at a time. */
  function look(): void {
    if (isLooking || homeless.size === 0) return
    isLooking = true
    const places = [...homeless]
    const failures = Math.min(...places.map(place => place.failures))
    void (async () => {
      try {
        if (failures > 0) await pause(backoffMs(failures + 2), signal)
        if (signal.aborted) return
        await cluster.connect()
        if (failures > 0) await cluster.refreshMetadata()
        emit({ what: 'looked', ...(await leadersOf(cluster, places)) })
      } catch (error) {
        emit({ what: 'looked', byLeader: new Map(), without: new Map(places.map(place => [place, error])) })
      }
    })()
  }

  async function moveToStart(place: Followed): Promise<void> {
    try {
      const { offsets, errors } = await listOffsets(cluster, [place], EARLIEST)
      const low = offsets.get(placeKey(place))
      if (low === undefined) throw errors[0]
      emit({ what: 'moved', place, low })
    } catch (error) {
      emit({ what: 'lost', place, error })
    }
  }
}

export function placeKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
