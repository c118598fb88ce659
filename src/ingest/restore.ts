/**
 * Where a source partition goes on from: cursor and versions as they stand on their topics, read up to the high watermark. Call it after
 * fencing, so that nobody can write them any more.
 */
import type { Kafka, ReadRecord } from '../kafka/port.ts'
import type { Log } from '../log.ts'
import type { Progress, TimeRange } from '../records.ts'
import type { Stream } from '../source/contract.ts'
import type { Spent } from '../source/quota.ts'
import { type Cursor, cursorKey, hasMoved, isUntold, progressKey, readCursor, spentOf, withRange, writeCursor } from './cursor.ts'
import { DerivedSessions } from './derived.ts'
import type { Outputs } from './encode.ts'
import { beginCursor, type KnownCursor, notAheadOf, type PlanSpec, stillNeeded, underLookback } from './plan.ts'
import { ownReads, type Reads } from './shared-read.ts'
import { keyStartOf, Versions } from './versions.ts'

export interface RestoreParts {
  readonly kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>
  readonly to: Outputs
  readonly spec: PlanSpec
  readonly stream: Pick<Stream, 'derive'>
  readonly config: object
  readonly decodeProgress: (value: Buffer) => Progress | Promise<Progress>
  readonly log: Log
  /** Shared with other source partitions; absent: this one reads for itself. */
  readonly reads?: Reads | undefined
  /** The transactional id that earlier versions used: its owner is fenced once, before the cursor is read. Absent: there is none. */
  readonly formerTransactionalId?: string | undefined
  /** Asks the topics for their limits again. */
  readonly refreshLimits?: (() => Promise<void>) | undefined
}

export interface Restored {
  readonly cursor: KnownCursor
  readonly versions: Versions
  /** Null where the stream's sessions are not derived. */
  readonly derived: DerivedSessions | null
  /** True when no Progress has been written yet: it is to be committed, so that the stream is known. */
  readonly isNew: boolean
  readonly spent: Spent
}

/** @throws FlowError CURSOR_INVALID, CODEC_INVALID, KAFKA_UNREACHABLE */
export async function restore(parts: RestoreParts, nowMs: number, signal: AbortSignal): Promise<Restored> {
  const { spec, to, kafka, log } = parts
  const reads = parts.reads ?? ownReads(kafka, signal)
  await parts.refreshLimits?.()
  let found = await cursorOf(parts, reads, nowMs)
  if (parts.formerTransactionalId !== undefined && !hasMoved(found.text)) {
    found = await takeOver(parts, parts.formerTransactionalId, reads, nowMs)
  }
  const { cursor, text } = found
  if (found.isAhead) {
    log.warn({ liveUntil: new Date(cursor.live.atMs).toISOString() }, 'cursor was ahead of now, set back')
  }

  const versions = new Versions(to, to.door.idSeal)
  const isNeeded = stillNeeded(cursor, spec)
  const { names, partitions, partitionOf } = to
  const partition = partitionOf(progressKey(to), partitions)
  const derive = parts.stream.derive?.(parts.config as never) ?? null
  const derived = derive && new DerivedSessions(derive, to, to.door.seal)
  const load = (record: ReadRecord) => {
    if (derived?.load(record) !== true) versions.load(record, isNeeded)
  }
  await reads.read({ topic: names.versions, partition }, keyStartOf(to), load)
  versions.loaded()
  derived?.loaded()
  derived?.forget(isNeeded, cursor.backfill?.untilMs)
  return {
    cursor,
    versions,
    derived,
    isNew: text === null || isUntold(text),
    spent: found.spent,
  }
}

interface Found {
  readonly cursor: KnownCursor
  /** As it stands on the topic; null: there is none. */
  readonly text: string | null
  readonly spent: Spent
  readonly isAhead: boolean
}

async function cursorOf(parts: RestoreParts, reads: Reads, nowMs: number): Promise<Found> {
  const { to, spec } = parts
  const key = cursorKey(to)
  const record = await reads.newest({ topic: to.names.offsets, partition: to.partitionOf(key, to.partitions) }, key)
  const text = record.value?.toString() ?? null
  if (text === null) {
    const covered = await coveredBefore(parts, reads)
    const begun = beginCursor(spec, nowMs, covered)
    // What was never read has no versions to be lost.
    const kept = { lookbackMs: spec.lookbackMs, fromMs: -Infinity }
    const cursor = covered.length > 0 ? underLookback(begun, spec, nowMs) : { ...begun, kept }
    return { cursor, text, spent: spentOf(record), isAhead: false }
  }
  const stored: Cursor = readCursor(text, nowMs, to.door.seal)
  const known: KnownCursor = { ...stored, covered: stored.covered ?? (await coveredBefore(parts, reads)) }
  const cursor = notAheadOf(known, spec, nowMs)
  return { cursor: underLookback(cursor, spec, nowMs), text, spent: spentOf(record), isAhead: cursor !== known }
}

/**
 * Takes the source partition over from a version that claimed it by another transactional id. That id's owner is fenced, the cursor read again,
 * because it may have moved since, and written in the new format under the former id: so the write fails if somebody has claimed that id
 * meanwhile, and whoever claims it later finds a cursor that only owners of the new id read. Killed before that write, all is done again.
 */
async function takeOver(parts: RestoreParts, transactionalId: string, reads: Reads, nowMs: number): Promise<Found> {
  const { kafka, to, log } = parts
  const writer = kafka.openWriter({ transactionalId })
  try {
    await writer.fence()
    const found = await cursorOf(parts, reads, nowMs)
    if (hasMoved(found.text)) return found
    const key = cursorKey(to)
    const text = writeCursor(found.cursor, found.spent, found.text === null, null, to.door.seal)
    const record = { key: Buffer.from(key), value: Buffer.from(text) }
    await writer.transact(tx =>
      tx.write([{ topic: to.names.offsets, partition: to.partitionOf(key, to.partitions), records: [record] }]),
    )
    if (found.text !== null) log.info({ former: transactionalId }, 'source partition taken over from its former transactional id')
    return { ...found, text }
  } finally {
    await writer.close()
  }
}

/**
 * What was read before the cursor was lost or set back, as the newest Progress tells it: rows of it that are not remembered were published once,
 * and must not begin at revision 1 again.
 */
async function coveredBefore({ to, decodeProgress }: RestoreParts, reads: Reads): Promise<readonly TimeRange[]> {
  const key = progressKey(to)
  const { value } = await reads.newest({ topic: to.names.progress, partition: to.partitionOf(key, to.partitions) }, key)
  if (value === null) return []
  const { covered } = await decodeProgress(value)
  return covered.reduce<readonly TimeRange[]>((ranges, { from, until }) => withRange(ranges, { from, until }), [])
}
