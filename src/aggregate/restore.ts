/**
 * The state of one partition number from its topics: offsets, contributions and counted keys, points of minutes, hours and days. Called after fencing, so that all of them are of
 * the same transactions: everything committed before is below the high watermark, and nobody can commit after.
 */
import { asFlowError, FlowError } from '../errors.ts'
import type { Decoder } from '../kafka/codec.ts'
import type { Kafka, ReadRecord, TopicPartition } from '../kafka/port.ts'
import type { Log } from '../log.ts'
import { type PointKey, readPointKey } from '../point-key.ts'
import type { TopicNames } from '../topics.ts'
import type { Budget } from './budget.ts'
import { blankContribution } from './contribution.ts'
import { NULLS_LAST_MS, type OpenCheckpoint } from './checkpoint.ts'
import type { Counting } from './decode.ts'
import { type Position, readOffsets, type StoredPosition } from './offsets.ts'
import { createRemembered, type RememberedSessions } from './remembered.ts'
import { createState, type PartitionState, type RestoredPoint, type StateOptions } from './state.ts'

export interface RestoreParts {
  readonly kafka: Kafka
  readonly names: TopicNames
  readonly points: Decoder<RestoredPoint>
  readonly counting: Counting
  readonly keeps: Required<StateOptions>
  /** Of series, by partition number. */
  readonly budgetOf: (partition: number) => Budget
  readonly log: Log
}

export interface Restored {
  readonly state: PartitionState
  /** Where to read the inputs on: all three topics are named. */
  readonly position: Position
  /** What restoring itself has changed must be published before anything else. */
  readonly changed: boolean
  /** Where the file stood that the state comes from; null: it comes from the topics alone. */
  readonly checkpoint: Position | null
}

/** Bytes of one fetch while a whole partition is read. */
const READ_BYTES = 4 * 1024 * 1024

const REBUILD =
  'stop all aggregators of this prefix and run `colloquy rebuild --config FILE`, which counts the series again from the topics'

/**
 * @param stored As read after fencing.
 * @param checkpoint As opened before that: where it may be used, only what is behind it is read.
 * @throws FlowError of Kafka or registry; CODEC_INVALID when offsets or contributions are not in a form that this version knows; AGGREGATE_LOST when a part of
 *   the state is gone, so that going on would count records twice or turn history into zeros.
 */
export async function restore(
  parts: RestoreParts,
  partition: number,
  read: Stored,
  nowMs: number,
  signal: AbortSignal,
  checkpoint: OpenCheckpoint | null = null,
): Promise<Restored> {
  const { kafka, names, log } = parts
  const { stored, writtenMs, at, next } = read
  const starts = await kafka.watermarks(inputsOf(names).map(topic => ({ topic, partition })))
  const inputs = new Map(starts.map(({ topic, low }) => [topic, stored?.inputs.get(topic) ?? low]))
  if (stored === null) {
    await refuseWhatIsCounted(parts, partition, signal)
    const position = { inputs, series: null, state: null, timeMs: null, groupId: null, history: null, at, next }
    return { state: blankState(parts, partition), position, changed: false, checkpoint: null }
  }
  const lows = await refuseLost(parts, partition, stored)
  const loaded = checkpoint && (await loadCheckpoint(parts, partition, { ...read, stored }, nowMs, lows, checkpoint))
  const state = loaded ?? blankState(parts, partition)
  const base = loaded && checkpoint ? checkpoint.position : null
  // A clock that was wrong when the time was written, and is right now, moves the horizon back.
  if (stored.timeMs !== null) state.restoreTime(Math.min(stored.timeMs, nowMs))
  const present = nowMs - writtenMs > NULLS_LAST_MS ? await presentSessions(parts, partition, signal) : null
  const gone: Buffer[] = []
  await kafka.readToEnd(
    { topic: names.aggregateState, partition, from: behind(base?.state) },
    ({ key, value }) => {
      if (key === null) return
      state.restoreRecord(key, value)
      if (value !== null && present !== null && state.sessions.find(key) >= 0 && !has(present, key)) gone.push(Buffer.from(key))
    },
    signal,
  )
  state.restored()
  await readPoints(
    parts,
    partition,
    signal,
    point => (base === null ? state.restorePoint(point) : state.restoreNewerPoint(point)),
    key => state.restoreWithdrawal(key),
    behind(base?.series),
  )
  state.restoredPoints()
  for (const key of gone) state.session(key, null)
  if (gone.length > 0) log.info({ partition, sessions: gone.length }, 'sessions were withdrawn while nobody counted')
  if (stored.layout === 1) await migrate(parts, partition, state, inputs, signal)
  state.forgetSeen()
  const changed = state.changedSessions.size > 0 || stored.layout === 1
  return { state, position: { ...stored, inputs, at, next }, changed, checkpoint: base }
}

const blankState = (parts: RestoreParts, partition: number) => createState(parts.keeps, undefined, parts.budgetOf(partition))

/** The first offset behind what has been restored. */
const behind = (last: number | null | undefined) => (last ?? -1) + 1

/** @returns null where the file may not be used. */
async function loadCheckpoint(
  parts: RestoreParts,
  partition: number,
  { stored, writtenMs, first, at, next }: Stored & { readonly stored: StoredPosition },
  nowMs: number,
  lows: ReadonlyMap<string, number>,
  checkpoint: OpenCheckpoint,
): Promise<PartitionState | null> {
  const { names } = parts
  const state = blankState(parts, partition)
  const isUsed = await checkpoint.load(state, {
    stored: { ...stored, at, next },
    writtenMs,
    recordAt: offset => (first?.offset === offset ? first.value : null),
    seriesLow: lows.get(names.series) ?? 0,
    stateLow: lows.get(names.aggregateState) ?? 0,
    nowMs,
  })
  return isUsed ? state : null
}

/** What the offsets topic says of a partition number. */
export interface Stored {
  /** null: nothing. */
  readonly stored: StoredPosition | null
  readonly writtenMs: number
  /** The first record that was read; null: there is none. */
  readonly first: { readonly offset: number; readonly value: Buffer | null } | null
  /** The newest record itself, and its offset; null: there is none. */
  readonly record: Buffer | null
  readonly at: number | null
  /** Where the next record goes. */
  readonly next: number
}

/** @param from Offset at which a record of the partition number is known to have been: what is before it is not read. */
export async function readStored(
  parts: Pick<RestoreParts, 'kafka' | 'names'>,
  partition: number,
  signal: AbortSignal,
  from = 0,
): Promise<Stored> {
  const { kafka, names } = parts
  let first: ReadRecord | null = null
  let last: ReadRecord | null = null
  const next = await kafka.readToEnd(
    { topic: names.aggregateOffsets, partition, from },
    record => {
      first ??= record
      last = record
    },
    signal,
  )
  // The newest record is never compacted away: where there is none, the topic was made anew.
  if (last === null && from > 0) return await readStored(parts, partition, signal)
  const { value, timestamp, offset } = (last ?? NO_RECORD) as ReadRecord
  const isGone = value === null
  return {
    stored: isGone ? null : readOffsets(value),
    writtenMs: isGone ? 0 : timestamp,
    first,
    record: value,
    at: isGone ? null : offset,
    next,
  }
}

const NO_RECORD = { value: null, timestamp: 0, offset: 0 }

/** @throws FlowError AGGREGATE_LOST where there are no offsets, but series or contributions that they belonged to */
async function refuseWhatIsCounted({ kafka, names }: RestoreParts, partition: number, signal: AbortSignal): Promise<void> {
  for (const topic of [names.series, names.aggregateState]) {
    if (!(await hasRecords(kafka, { topic, partition }, signal))) continue
    throw new FlowError('AGGREGATE_LOST', {
      hint: `${topic} has records, but ${names.aggregateOffsets} does not say what they stand for: ${REBUILD}`,
      partition,
    })
  }
}

/**
 * @returns by topic, the offset of the first record that it still holds.
 * @throws FlowError AGGREGATE_LOST where the series or the contributions end before what the offsets speak of: the topic was made anew
 */
async function refuseLost(
  { kafka, names }: RestoreParts,
  partition: number,
  stored: StoredPosition,
): Promise<ReadonlyMap<string, number>> {
  const last = new Map<string, number | null>([
    [names.series, stored.series],
    [names.aggregateState, stored.state],
  ])
  const ends = await kafka.watermarks([...last.keys()].map(topic => ({ topic, partition })))
  for (const { topic, high } of ends) {
    const offset = last.get(topic) ?? null
    if (offset === null || high > offset) continue
    throw new FlowError('AGGREGATE_LOST', {
      hint: `${topic} ends before the last record that was written to it: ${REBUILD}`,
      partition,
      found: high,
      expected: offset + 1,
    })
  }
  return new Map(ends.map(({ topic, low }) => [topic, low]))
}

/**
 * An installation of before: it counted every record of revision 1. What is on the message and event topics is noted as counted, so that none of it is
 * counted twice; the newest record of each session becomes the session.
 */
async function migrate(
  parts: RestoreParts,
  partition: number,
  state: PartitionState,
  inputs: ReadonlyMap<string, number>,
  signal: AbortSignal,
): Promise<void> {
  const { names, counting, log } = parts
  for (const topic of inputsOf(names)) {
    const until = inputs.get(topic) ?? 0
    await readInput(parts, { topic, partition, until }, signal, async records => {
      const chunk = { topic, partition, records, next: until, high: until }
      await (topic === names.sessions ? counting.apply(chunk, state) : counting.note(chunk, state))
    })
  }
  log.info(
    { partition, keys: state.counted.size, sessions: state.changedSessions.size },
    'state of an older version taken over; `colloquy rebuild` counts what that version left out',
  )
}

/**
 * Reads a partition from its start or an offset, up to another or to the end that it has now, and hands the records over fetch by fetch; the next fetch waits for them.
 *
 * @returns the next offset to read.
 */
export async function readInput(
  { kafka }: Pick<RestoreParts, 'kafka'>,
  { topic, partition, from = 0, until }: TopicPartition & { from?: number; until?: number },
  signal: AbortSignal,
  take: (records: readonly ReadRecord[]) => Promise<void>,
): Promise<number> {
  const [{ low, high } = { low: 0, high: 0 }] = await kafka.watermarks([{ topic, partition }])
  const end = Math.min(high, until ?? high)
  const start = Math.max(low, from)
  if (start >= end) return Math.max(start, end)
  const stop = new AbortController()
  const tail = kafka.tail([{ topic, partition, offset: start }], {
    signal: AbortSignal.any([signal, stop.signal]),
    maxBytesPerPartition: READ_BYTES,
  })
  for await (const chunks of tail) {
    for (const { records, next } of chunks) {
      await take(records.filter(record => record.offset < end))
      if (next < end) continue
      stop.abort()
      return until === undefined ? next : end
    }
  }
  throw new FlowError('STOPPED', { topic, partition })
}

/** The first record that a reader would be given, or null. */
export async function firstRecord(kafka: Kafka, place: TopicPartition, signal: AbortSignal): Promise<ReadRecord | null> {
  const found = new AbortController()
  let first: ReadRecord | null = null
  try {
    await kafka.readToEnd(
      place,
      record => {
        first ??= record
        found.abort()
      },
      AbortSignal.any([signal, found.signal]),
    )
  } catch (error) {
    if (first === null || asFlowError(error).code !== 'STOPPED') throw error
  }
  return first
}

async function hasRecords(kafka: Kafka, place: TopicPartition, signal: AbortSignal): Promise<boolean> {
  return (await firstRecord(kafka, place, signal)) !== null
}

/** The topics whose records are counted. */
export function inputsOf(names: TopicNames): string[] {
  return [names.sessions, names.messages, names.events]
}

function has(sessions: RememberedSessions, key: Buffer): boolean {
  const number = sessions.find(key)
  return number >= 0 && sessions.revision(number) > 0
}

/** The sessions that the topic has, as a set: those of a revision above 0. */
async function presentSessions(
  { kafka, names }: RestoreParts,
  partition: number,
  signal: AbortSignal,
): Promise<RememberedSessions> {
  const sessions = createRemembered()
  const present = { ...blankContribution(), revision: 1 }
  await kafka.readToEnd(
    { topic: names.sessions, partition },
    ({ key, value }) => {
      if (key === null) return
      if (value === null) sessions.withdraw(sessions.at(key))
      else sessions.put(sessions.at(key), present)
    },
    signal,
  )
  return sessions
}

/** Reads the series of a partition number. @param from The first offset. @param take Is called with each point. @param withdraw Is called with the key of each that was withdrawn. */
export async function readPoints<P extends RestoredPoint>(
  parts: Pick<RestoreParts, 'kafka' | 'names' | 'log'> & { readonly points: Decoder<P> },
  partition: number,
  signal: AbortSignal,
  take: (point: P) => void,
  withdraw: (key: PointKey) => void,
  from = 0,
): Promise<void> {
  const { names, points, log } = parts
  const topic = names.series
  await readInput(parts, { topic, partition, from }, signal, async records => {
    await points.prepare(records.map(record => record.value))
    for (const { key, value, offset } of records) {
      if (value === null) {
        const withdrawn = key && readPointKey(key.toString())
        if (withdrawn) withdraw(withdrawn)
        continue
      }
      try {
        take(points.decode(value))
      } catch (thrown) {
        const error = asFlowError(thrown)
        if (error.code !== 'CODEC_INVALID') throw error
        log.warn({ code: error.code, topic, partition, offset, error: error.message }, 'record left out')
      }
    }
  })
}
