/**
 * One transaction: records, rejects, versions and cursor in one write, then Progress, which tells the offsets of the first (`through`).
 * Together, or not at all.
 */
import type { Writer } from '../kafka/port.ts'
import { mostRecordBytes } from '../kafka/room.ts'
import type { Progress } from '../records.ts'
import type { Scope } from '../source/contract.ts'
import type { QuotaLease } from '../source/quota.ts'
import { cursorKey, type CursorOwner, progressKey, writeCursor } from './cursor.ts'
import type { Batch, Outputs, RecordEncoder } from './encode.ts'
import { completeUntil, type KnownCursor } from './plan.ts'

export interface CommitParts {
  readonly writer: Writer
  readonly to: Outputs
  readonly scope: Scope
  readonly progress: RecordEncoder<Progress>
  readonly quota: Pick<QuotaLease, 'spent' | 'isDue'>
  readonly fault: Fault
  /** Whom the cursor names; absent: nobody. */
  readonly owner?: CursorOwner | undefined
}

/**
 * Where a crash can be tried: called at each boundary between stages, it may throw, or never return, which is how a process ends that is killed
 * there. In production it does nothing.
 */
export type Fault = (at: Boundary) => void | Promise<void>
export type Boundary = 'restored' | 'read' | 'decoded' | 'enriched' | 'published' | 'written' | 'progressed' | 'committed'

/**
 * @param cursor Stands after the last page whose records are all in the batch or committed before.
 * @throws FlowError KAFKA_FENCED, KAFKA_OUTCOME_UNKNOWN, KAFKA_ABORTED; the writer, the batch and the versions are to be dropped then.
 */
export async function commit(parts: CommitParts, batch: Batch, cursor: KnownCursor, nowMs: number): Promise<void> {
  const { writer, to, quota, fault, owner = null } = parts
  const key = cursorKey(to)
  const room = mostRecordBytes(to.maxBytes.get(to.names.offsets) ?? Infinity) - Buffer.byteLength(key)
  let value = Buffer.from(writeCursor(cursor, quota.spent(), false, owner, to.door.seal))
  // Where the vendor was asked how often is the part that can be done without.
  if (value.length > room) value = Buffer.from(writeCursor(cursor, undefined, false, owner, to.door.seal))
  batch.add(to.names.offsets, to.partitionOf(key, to.partitions), { key: Buffer.from(key), value })
  const placeKey = progressKey(to)
  await writer.transact(async tx => {
    const written = await tx.write(batch.batches())
    await fault('written')
    const progress = progressOf(parts, batch, cursor, nowMs)
    for (const { topic, partition, lastOffset } of written) progress.through.push({ topic, partition, offset: lastOffset })
    const record = { key: Buffer.from(placeKey), value: parts.progress.encode(progress) }
    await tx.write([{ topic: to.names.progress, partition: to.partitionOf(placeKey, to.partitions), records: [record] }])
    await fault('progressed')
  })
}

function progressOf({ to, scope }: CommitParts, batch: Batch, cursor: KnownCursor, nowMs: number): Progress {
  return {
    connector: to.connector,
    stream: to.stream,
    scope: to.scope,
    vendor: to.vendor,
    account: to.account,
    bot_id: scope.botId,
    lane: batch.lane,
    window_from: batch.fromMs,
    window_until: batch.untilMs,
    complete_until: completeUntil(cursor),
    pages: batch.pages,
    rows: batch.rows,
    emitted: batch.emitted,
    unchanged: batch.unchanged,
    rejected: batch.rejected,
    newest_at: batch.newestAtMs,
    committed_at: nowMs,
    through: [],
    covered: cursor.covered.map(({ from, until }) => ({ from, until })),
    feeds: [...to.feeds],
    source_partitions: to.sourcePartitions,
  }
}
