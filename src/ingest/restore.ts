/**
 * Where a source partition goes on from: cursor and versions as they stand on their topics, read up to the high watermark. Call it after
 * fencing, so that nobody can write them any more.
 */
import type { Kafka, ReadRecord } from '../kafka/port.ts'
import type { Progress, TimeRange } from '../records.ts'
import type { Stream } from '../source/contract.ts'
import type { Spent } from '../source/quota.ts'
import { type Cursor, cursorKey, NOTHING_SPENT, readCursor, readSpent, withRange } from './cursor.ts'
import { DerivedSessions } from './derived.ts'
import type { Outputs } from './encode.ts'
import { beginCursor, type KnownCursor, type PlanSpec, stillNeeded } from './plan.ts'
import { Versions } from './versions.ts'

export interface RestoreParts {
  readonly kafka: Pick<Kafka, 'readToEnd'>
  readonly to: Outputs
  readonly spec: PlanSpec
  readonly stream: Pick<Stream, 'derive'>
  readonly config: object
  readonly decodeProgress: (value: Buffer) => Progress | Promise<Progress>
}

export interface Restored {
  readonly cursor: KnownCursor
  readonly versions: Versions
  /** Null where the stream's sessions are not derived. */
  readonly derived: DerivedSessions | null
  /** True when there was no cursor: it is to be committed, so that the stream is known. */
  readonly isNew: boolean
  readonly spent: Spent
}

/** @throws FlowError CURSOR_INVALID, CODEC_INVALID, KAFKA_UNREACHABLE */
export async function restore(parts: RestoreParts, nowMs: number, signal: AbortSignal): Promise<Restored> {
  const { spec } = parts
  const text = await cursorText(parts, signal)
  const stored: Cursor | null = text === null ? null : readCursor(text, nowMs)
  let cursor: KnownCursor
  if (stored === null) cursor = beginCursor(spec, nowMs, await coveredBefore(parts, signal))
  else cursor = { ...stored, covered: stored.covered ?? (await coveredBefore(parts, signal)) }

  const versions = new Versions(parts.to)
  const isNeeded = stillNeeded(cursor, spec)
  const { names, partitions, partitionOf, connector, stream, scope } = parts.to
  const partition = partitionOf(`${connector}/${stream}/${scope}`, partitions)
  const derive = parts.stream.derive?.(parts.config as never) ?? null
  const derived = derive && new DerivedSessions(derive, parts.to)
  const load = (record: ReadRecord) => {
    if (derived?.load(record) !== true) versions.load(record, isNeeded)
  }
  await parts.kafka.readToEnd({ topic: names.versions, partition }, load, signal)
  versions.loaded()
  derived?.forget(isNeeded)
  return { cursor, versions, derived, isNew: stored === null, spent: text === null ? NOTHING_SPENT : readSpent(text) }
}

/** The newest cursor; null when there is none or it was taken away. */
async function cursorText({ kafka, to }: RestoreParts, signal: AbortSignal): Promise<string | null> {
  const key = cursorKey(to)
  const keyBytes = Buffer.from(key)
  let text: string | null = null
  await kafka.readToEnd(
    { topic: to.names.offsets, partition: to.partitionOf(key, to.partitions) },
    record => {
      if (record.key?.equals(keyBytes) === true) text = record.value?.toString() ?? null
    },
    signal,
  )
  return text
}

/**
 * What was read before the cursor was lost or set back, as the newest Progress tells it: rows of it that are not remembered were published once,
 * and must not begin at revision 1 again.
 */
async function coveredBefore({ kafka, to, decodeProgress }: RestoreParts, signal: AbortSignal): Promise<readonly TimeRange[]> {
  const key = `${to.connector}/${to.stream}/${to.scope}`
  const keyBytes = Buffer.from(key)
  const newest: { value: Buffer | null } = { value: null }
  await kafka.readToEnd(
    { topic: to.names.progress, partition: to.partitionOf(key, to.partitions) },
    record => {
      if (record.key?.equals(keyBytes) === true) newest.value = record.value === null ? null : Buffer.from(record.value)
    },
    signal,
  )
  if (newest.value === null) return []
  const { covered } = await decodeProgress(newest.value)
  return covered.reduce<readonly TimeRange[]>((ranges, { from, until }) => withRange(ranges, { from, until }), [])
}
