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
}

/**
 * A null on the sessions topic stays there for `delete.retention.ms`, a day by default. Whoever was away for longer may have missed one, and looks
 * through the topic for sessions that are no more.
 */
export const NULLS_LAST_MS = 20 * 3_600_000
/** Bytes of one fetch while a whole partition is read. */
const READ_BYTES = 4 * 1024 * 1024

const REBUILD =
  'stop all aggregators of this prefix and run `colloquy rebuild --config FILE`, which counts the series again from the topics'

/**
 * @param at As read after fencing.
 * @throws FlowError of Kafka or registry; CODEC_INVALID when offsets or contributions are not in a form that this version knows; AGGREGATE_LOST when a part of
 *   the state is gone, so that going on would count records twice or turn history into zeros.
 */
export async function restore(
  parts: RestoreParts,
  partition: number,
  { stored, writtenMs, at, next }: Stored,
  nowMs: number,
  signal: AbortSignal,
): Promise<Restored> {
  const { kafka, names, log } = parts
  const state = createState(parts.keeps, undefined, parts.budgetOf(partition))
  const starts = await kafka.watermarks(inputsOf(names).map(topic => ({ topic, partition })))
  const inputs = new Map(starts.map(({ topic, low }) => [topic, stored?.inputs.get(topic) ?? low]))
  if (stored === null) {
    await refuseWhatIsCounted(parts, partition, signal)
    return { state, position: { inputs, series: null, state: null, timeMs: null, groupId: null, at, next }, changed: false }
  }
  await refuseLost(parts, partition, stored)
  // A clock that was wrong when the time was written, and is right now, moves the horizon back.
  if (stored.timeMs !== null) state.restoreTime(Math.min(stored.timeMs, nowMs))
  const present = nowMs - writtenMs > NULLS_LAST_MS ? await presentSessions(parts, partition, signal) : null
  const gone: Buffer[] = []
  await kafka.readToEnd(
    { topic: names.aggregateState, partition },
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
    point => state.restorePoint(point),
    key => state.restoreWithdrawal(key),
  )
  state.restoredPoints()
  for (const key of gone) state.session(key, null)
  if (gone.length > 0) log.info({ partition, sessions: gone.length }, 'sessions were withdrawn while nobody counted')
  if (stored.layout === 1) await migrate(parts, partition, state, inputs, signal)
  state.forgetSeen()
  return { state, position: { ...stored, inputs, at, next }, changed: state.changedSessions.size > 0 || stored.layout === 1 }
}

/** What the offsets topic says of a partition number. */
export interface Stored {
  /** null: nothing. */
  readonly stored: StoredPosition | null
  readonly writtenMs: number
  /** The newest record itself, and its offset; null: there is none. */
  readonly record: Buffer | null
  readonly at: number | null
  /** Where the next record goes. */
  readonly next: number
}

export async function readStored(
  { kafka, names }: Pick<RestoreParts, 'kafka' | 'names'>,
  partition: number,
  signal: AbortSignal,
): Promise<Stored> {
  let last: ReadRecord | null = null
  const next = await kafka.readToEnd(
    { topic: names.aggregateOffsets, partition },
    record => (last = record.value === null ? null : record),
    signal,
  )
  const { value, timestamp, offset } = (last ?? { value: null, timestamp: 0, offset: null }) as {
    value: Buffer | null
    timestamp: number
    offset: number | null
  }
  return { stored: value === null ? null : readOffsets(value), writtenMs: timestamp, record: value, at: offset, next }
}

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

/** @throws FlowError AGGREGATE_LOST where the series or the contributions end before what the offsets speak of: the topic was made anew */
async function refuseLost({ kafka, names }: RestoreParts, partition: number, stored: StoredPosition): Promise<void> {
  const last = new Map<string, number | null>([
    [names.series, stored.series],
    [names.aggregateState, stored.state],
  ])
  for (const { topic, high } of await kafka.watermarks([...last.keys()].map(topic => ({ topic, partition })))) {
    const offset = last.get(topic) ?? null
    if (offset === null || high > offset) continue
    throw new FlowError('AGGREGATE_LOST', {
      hint: `${topic} ends before the last record that was written to it: ${REBUILD}`,
      partition,
      found: high,
      expected: offset + 1,
    })
  }
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
 * Reads a partition up to an offset, or to the end that it has now, and hands the records over fetch by fetch; the next fetch waits for them.
 *
 * @returns the next offset to read.
 */
export async function readInput(
  { kafka }: Pick<RestoreParts, 'kafka'>,
  { topic, partition, until }: TopicPartition & { until?: number },
  signal: AbortSignal,
  take: (records: readonly ReadRecord[]) => Promise<void>,
): Promise<number> {
  const [{ low, high } = { low: 0, high: 0 }] = await kafka.watermarks([{ topic, partition }])
  const end = Math.min(high, until ?? high)
  if (low >= end) return Math.max(low, end)
  const stop = new AbortController()
  const tail = kafka.tail([{ topic, partition, offset: low }], {
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

/** Reads the series of a partition number. @param take Is called with each point. @param withdraw Is called with the key of each that was withdrawn. */
export async function readPoints<P extends RestoredPoint>(
  parts: Pick<RestoreParts, 'kafka' | 'names' | 'log'> & { readonly points: Decoder<P> },
  partition: number,
  signal: AbortSignal,
  take: (point: P) => void,
  withdraw: (key: PointKey) => void,
): Promise<void> {
  const { names, points, log } = parts
  const topic = names.series
  await readInput(parts, { topic, partition }, signal, async records => {
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
