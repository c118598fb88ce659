/**
 * The state of one partition number from its topics: offsets, contributions, minutes. Called after fencing, so that all three are of the same
 * transactions: everything committed before is below the high watermark, and nobody can commit after.
 */
import { asFlowError } from '../errors.ts'
import type { Decoder } from '../kafka/codec.ts'
import type { Kafka, ReadRecord } from '../kafka/port.ts'
import type { Log } from '../log.ts'
import type { TopicNames } from '../topics.ts'
import { type Position, readOffsets } from './offsets.ts'
import { createRemembered, type RememberedSessions } from './remembered.ts'
import { createState, type PartitionState, type RestoredPoint } from './state.ts'

export interface RestoreParts {
  readonly kafka: Kafka
  readonly names: TopicNames
  readonly points: Decoder<RestoredPoint>
  readonly retentionMs: number
  readonly log: Log
}

export interface Restored {
  readonly state: PartitionState
  /** Where to read the inputs on: all three topics are named. */
  readonly position: Position
}

/**
 * A null on the sessions topic stays there for `delete.retention.ms`, a day by default. Whoever was away for longer may have missed one, and looks
 * through the topic for sessions that are no more.
 */
const NULLS_LAST_MS = 20 * 3_600_000
/** Points that wait to be decoded together. */
const POINTS_AT_ONCE = 5_000

/** @throws FlowError of Kafka or registry, CODEC_INVALID when offsets or contributions are not in a form that this version knows. */
export async function restore(parts: RestoreParts, partition: number, nowMs: number, signal: AbortSignal): Promise<Restored> {
  const { kafka, names, log } = parts
  const state = createState({ retentionMs: parts.retentionMs })
  state.setTime(nowMs)

  let last: ReadRecord | null = null
  await kafka.readToEnd(
    { topic: names.aggregateOffsets, partition },
    record => (last = record.value === null ? null : record),
    signal,
  )
  const { value, timestamp } = (last ?? { value: null, timestamp: nowMs }) as Pick<ReadRecord, 'value' | 'timestamp'>
  const stored: Position = value === null ? { inputs: new Map(), series: null } : readOffsets(value)
  const starts = await kafka.watermarks(inputsOf(names).map(topic => ({ topic, partition })))
  const position = { ...stored, inputs: new Map(starts.map(({ topic, low }) => [topic, stored.inputs.get(topic) ?? low])) }

  if (value !== null) {
    const present = nowMs - timestamp > NULLS_LAST_MS ? await presentSessions(parts, partition, signal) : null
    const gone: Buffer[] = []
    await kafka.readToEnd(
      { topic: names.aggregateState, partition },
      record => {
        if (record.key === null) return
        state.restoreSession(record.key, record.value)
        if (record.value !== null && present !== null && !has(present, record.key)) gone.push(Buffer.from(record.key))
      },
      signal,
    )
    await restorePoints(parts, partition, state, true, signal)
    for (const key of gone) state.session(key, null)
    if (gone.length > 0) log.info({ partition, sessions: gone.length }, 'Sessions were withdrawn while nobody counted')
  } else if ((await restorePoints(parts, partition, state, false, signal)) > 0) {
    log.warn(
      { partition },
      'There are series but no offsets for them: the inputs are counted from their start, and minutes written anew as they come',
    )
  }
  return { state, position }
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
  const present = { revision: 1, series: 0, started: 0, ended: 0, durationMs: 0, transfer: 0, containment: 0 }
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

/** @returns how many points there are. */
async function restorePoints(
  { kafka, names, points, log }: RestoreParts,
  partition: number,
  state: PartitionState,
  counted: boolean,
  signal: AbortSignal,
): Promise<number> {
  let read = 0
  let waiting: Buffer[] = []
  let decoding: Promise<void> = Promise.resolve()

  async function take(values: readonly Buffer[]): Promise<void> {
    await points.prepare(values)
    for (const value of values) {
      try {
        state.restorePoint(points.decode(value), counted)
        read++
      } catch (thrown) {
        const error = asFlowError(thrown)
        if (error.code !== 'CODEC_INVALID') throw error
        log.warn({ code: error.code, topic: names.series, partition, error: error.message }, 'Record left out')
      }
    }
  }

  function flush(): void {
    const values = waiting
    waiting = []
    decoding = decoding.then(() => take(values))
    decoding.catch(() => {}) // told by the await below
  }

  await kafka.readToEnd(
    { topic: names.series, partition },
    ({ value }) => {
      if (value === null) return
      waiting.push(value)
      if (waiting.length >= POINTS_AT_ONCE) flush()
    },
    signal,
  )
  flush()
  await decoding
  return read
}
