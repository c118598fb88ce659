/**
 * What changed, as one transaction: series points with absolute values, withdrawals of those that were rolled up, contributions, counted keys, and last the
 * offsets of the inputs that were counted. Either all of it is on the topics or nothing.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Encoder } from '../kafka/codec.ts'
import type { Transaction, WriteRecord, Writer } from '../kafka/port.ts'
import { pointKey } from '../point-key.ts'
import type { SeriesPoint, TimeRange } from '../records.ts'
import type { TopicNames } from '../topics.ts'
import type { Watermarks } from '../watermark.ts'
import { covers } from '../watermark.ts'
import { createArena } from './arena.ts'
import { isDay, minutesIn, sizeOf, startOf } from './buckets.ts'
import { blankContribution, COUNT } from './contribution.ts'
import { chunkKey } from './counted.ts'
import { offsetsKey, type Position, writeOffsets } from './offsets.ts'
import type { Stored } from './restore.ts'
import { stateRecordBytes, writeStateRecord } from './state-record.ts'
import type { PartitionState } from './state.ts'

export interface Publisher {
  /**
   * Publishes all that changed in the state since its last `clean`, and `position` with it. The state is clean afterwards. When this throws, the
   * state is as before.
   *
   * @returns the position as it stands on the topics now, to be given with the next call.
   * @throws FlowError KAFKA_ABORTED when somebody else has written to the offsets topic since `position` was read
   */
  publish(writer: Writer, state: PartitionState, position: Position, marks: Watermarks): Promise<Position & { points: number }>
  /**
   * What became of the transaction that failed, from what the offsets topic says after the number has been claimed again. When it was committed, the state is
   * to be cleaned; else all of it is still to be published.
   *
   * @param position As it was given to `publish`.
   * @returns the position as it stands on the topics; null: somebody else has written since.
   */
  outcome(position: Position, stored: Stored): { isCommitted: boolean; position: Position } | null
}

const MINUTE_MS = 60_000
/** Records that are held at a time; the arena is written over after each slice. */
const SLICE_RECORDS = 20_000

export function createPublisher(to: {
  names: TopicNames
  partition: number
  groupId: string
  encoder: Encoder<SeriesPoint>
  clock: Clock
}): Publisher {
  const { names, partition, groupId, encoder, clock } = to
  const arena = createArena()
  /** The newest transaction that is not known to have been committed. */
  let attempt: { readonly position: Position; readonly record: Buffer } | null = null

  /**
   * Who reads one record after the other counts every instant once: hours come before the day beside them, and both before the withdrawals of what they were
   * rolled up from.
   */
  function* seriesOf(state: PartitionState, marks: Watermarks): Iterable<WriteRecord> {
    const { cells, series, retired } = state
    const pointOf = pointsOf(state, marks)
    const days: number[] = []
    for (const cell of cells.dirty()) {
      if (isDay(cells.bucketOf(cell))) days.push(cell)
      else yield pointOf(cell)
    }
    for (const cell of days) yield pointOf(cell)
    for (const cell of retired) {
      if (cells.revision(cell) === 0 && !cells.isDirty(cell)) continue
      const bucket = cells.bucketOf(cell)
      const { key } = series.get(cells.seriesOf(cell))
      yield { key: arena.text(pointKey(key, startOf(bucket), sizeOf(bucket))), value: null }
    }
  }

  function pointsOf(state: PartitionState, marks: Watermarks): (cell: number) => WriteRecord {
    const { cells, series, sketches } = state
    const updatedAt = clock.now()
    const ranges = new Map<number, TimeRange[]>()
    return cell => {
      const id = cells.seriesOf(cell)
      const { key, vendor, account, bot_id, channel, language } = series.get(id)
      let covered = ranges.get(id)
      if (covered === undefined) {
        covered = marks.covered({ vendor: [vendor], account: [account], bot_id: [bot_id] })
        ranges.set(id, covered)
      }
      const bucket = cells.bucketOf(cell)
      const start = startOf(bucket)
      const size = sizeOf(bucket)
      const value = arena.encode(encoder, {
        series_key: key,
        vendor,
        account,
        bot_id,
        channel,
        language,
        bucket_start: start,
        bucket: size,
        revision: cells.revision(cell) + 1,
        complete: covers(covered, start, start + minutesIn(bucket) * MINUTE_MS),
        updated_at: updatedAt,
        sessions: cells.count(cell, COUNT.sessions),
        sessions_self_service: cells.count(cell, COUNT.sessions_self_service),
        sessions_drop_off: cells.count(cell, COUNT.sessions_drop_off),
        sessions_agent: cells.count(cell, COUNT.sessions_agent),
        sessions_unknown: cells.count(cell, COUNT.sessions_unknown),
        sessions_ended: cells.count(cell, COUNT.sessions_ended),
        duration_ms: cells.durationMs(cell),
        agent_transfers: cells.count(cell, COUNT.agent_transfers),
        messages_user: cells.count(cell, COUNT.messages_user),
        messages_bot: cells.count(cell, COUNT.messages_bot),
        messages_agent: cells.count(cell, COUNT.messages_agent),
        messages_other: cells.count(cell, COUNT.messages_other),
        events: cells.count(cell, COUNT.events),
        duration_sketch: sketches.durations(cell),
        users_sketch: sketches.users(cell),
      })
      return { key: arena.text(pointKey(key, start, size)), value }
    }
  }

  function* stateOf(state: PartitionState): Iterable<WriteRecord> {
    const { sessions, series } = state
    const keys = new Map<number, Buffer>()
    const of = blankContribution()
    for (const [session, key] of state.changedSessions) {
      if (sessions.revision(session) === 0) {
        yield { key, value: null }
        continue
      }
      sessions.read(session, of)
      let seriesKey = keys.get(of.series)
      if (seriesKey === undefined) {
        seriesKey = Buffer.from(series.get(of.series).key)
        keys.set(of.series, seriesKey)
      }
      const value = arena.take(stateRecordBytes(of, seriesKey))
      writeStateRecord(value, 0, of, sessions.wasTransferTold(session), seriesKey)
      yield { key, value }
    }
    for (const { number, value } of state.counted.changedChunks()) yield { key: chunkKey(number), value }
  }

  /** @returns the offset of the last record, or `before` where there was none. */
  async function write(
    tx: Transaction,
    topic: string,
    all: Iterable<WriteRecord>,
    before: number | null,
  ): Promise<number | null> {
    let last = before
    let records: WriteRecord[] = []
    const flush = async () => {
      for (const { lastOffset } of await tx.write([{ topic, partition, records }])) last = lastOffset
      records = []
      arena.reset()
    }
    for (const record of all) if (records.push(record) >= SLICE_RECORDS) await flush()
    await flush()
    return last
  }

  return {
    async publish(writer, state, position, marks) {
      const points = state.cells.dirty().length
      attempt = null
      const published = await writer.transact(async tx => {
        const next = {
          inputs: new Map(position.inputs),
          series: await write(tx, names.series, seriesOf(state, marks), position.series),
          state: await write(tx, names.aggregateState, stateOf(state), position.state),
          timeMs: state.timeMs,
          groupId,
          history: position.history ?? randomUUID(),
        }
        const record = writeOffsets(next)
        attempt = { position: { ...next, at: null, next: null }, record }
        const offsets: WriteRecord = { key: offsetsKey(partition), value: record }
        const [written] = await tx.write([{ topic: names.aggregateOffsets, partition, records: [offsets] }])
        const at = written?.firstOffset ?? null
        // Transactional ids keep two owners apart where both use the same. This holds also against an older version, whose ids are others.
        if (position.next !== null && at !== position.next) {
          throw new FlowError('KAFKA_ABORTED', {
            hint: 'somebody else has written to the aggregator offsets; the state is read again',
            partition,
            found: at,
            expected: position.next,
          })
        }
        // For tools that show lag, nothing else: they expire, and the record above is the truth.
        await tx.commitGroupOffsets(
          groupId,
          [...position.inputs].map(([topic, offset]) => ({ topic, partition, offset })),
        )
        // Behind the record comes the marker of the commit.
        return { ...next, at, next: at === null ? null : at + 2 }
      })
      attempt = null
      state.clean()
      return { ...published, points }
    },

    outcome(position, { record, at, next }) {
      if (at === position.at) return { isCommitted: false, position: { ...position, next } }
      if (attempt === null || record?.equals(attempt.record) !== true) return null
      return { isCommitted: true, position: { ...attempt.position, at, next } }
    },
  }
}
