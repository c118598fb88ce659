/**
 * What changed, as one transaction: series points with absolute values, contributions, and last the offsets of the inputs that they stand for.
 * Either all of it is on the topics or nothing.
 */
import type { Clock } from '../clock.ts'
import type { Encoder } from '../kafka/codec.ts'
import type { WriteRecord, Writer } from '../kafka/port.ts'
import type { SeriesPoint, TimeRange } from '../records.ts'
import type { TopicNames } from '../topics.ts'
import type { Watermarks } from '../watermark.ts'
import { covers } from '../watermark.ts'
import { createArena } from './arena.ts'
import type { Contribution } from './contribution.ts'
import { COUNT, startOfMinute } from './contribution.ts'
import { offsetsKey, type Position, writeOffsets } from './offsets.ts'
import { STATE_HEAD, writeStateRecord } from './state-record.ts'
import type { PartitionState } from './state.ts'

export interface Publisher {
  /**
   * Publishes all that changed in the state since its last `clean`, and `position` with it. The state is clean afterwards. When this throws, the
   * state is worth nothing any more: its revisions have been raised.
   */
  publish(
    writer: Writer,
    state: PartitionState,
    position: Position,
    marks: Watermarks,
  ): Promise<{ points: number; seriesOffset: number | null }>
}

const MINUTE_MS = 60_000

export function createPublisher(to: {
  names: TopicNames
  partition: number
  groupId: string
  encoder: Encoder<SeriesPoint>
  clock: Clock
}): Publisher {
  const { names, partition, groupId, encoder, clock } = to
  const arena = createArena()

  function pointsOf(state: PartitionState, marks: Watermarks): WriteRecord[] {
    const { cells, series } = state
    const updatedAt = clock.now()
    const ranges = new Map<number, TimeRange[]>()
    const records: WriteRecord[] = []
    for (const cell of cells.dirty()) {
      const id = cells.seriesOf(cell)
      const { key, vendor, account, bot_id, channel, language } = series.get(id)
      let covered = ranges.get(id)
      if (covered === undefined) {
        covered = marks.covered({ vendor: [vendor], account: [account], bot_id: [bot_id] })
        ranges.set(id, covered)
      }
      const start = startOfMinute(cells.minuteOf(cell))
      const value = arena.encode(encoder, {
        series_key: key,
        vendor,
        account,
        bot_id,
        channel,
        language,
        bucket_start: start,
        bucket: '1m',
        revision: cells.raiseRevision(cell),
        complete: covers(covered, start, start + MINUTE_MS),
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
        duration_sketch: null,
        users_sketch: null,
      })
      records.push({ key: arena.text(`${key}@${new Date(start).toISOString()}`), value })
    }
    return records
  }

  function contributionsOf(state: PartitionState): WriteRecord[] {
    const { sessions, series } = state
    const keys = new Map<number, Buffer>()
    const of: Contribution = { revision: 0, series: 0, started: 0, ended: 0, durationMs: 0, transfer: 0, containment: 0 }
    const records: WriteRecord[] = []
    for (const [session, key] of state.changedSessions) {
      if (sessions.revision(session) === 0) {
        records.push({ key, value: null })
        continue
      }
      sessions.read(session, of)
      let seriesKey = keys.get(of.series)
      if (seriesKey === undefined) {
        seriesKey = Buffer.from(series.get(of.series).key)
        keys.set(of.series, seriesKey)
      }
      const value = arena.take(STATE_HEAD + seriesKey.length)
      writeStateRecord(value, 0, of, sessions.wasTransferTold(session), seriesKey)
      records.push({ key, value })
    }
    return records
  }

  return {
    async publish(writer, state, position, marks) {
      arena.reset()
      const points = pointsOf(state, marks)
      const contributions = contributionsOf(state)
      const seriesOffset = await writer.transact(async tx => {
        const written = await tx.write([
          { topic: names.series, partition, records: points },
          { topic: names.aggregateState, partition, records: contributions },
        ])
        const last = written
          .filter(range => range.topic === names.series)
          .reduce<number | null>((_, range) => range.lastOffset, position.series)
        const offsets: WriteRecord = {
          key: offsetsKey(partition),
          value: writeOffsets({ inputs: position.inputs, series: last }),
        }
        await tx.write([{ topic: names.aggregateOffsets, partition, records: [offsets] }])
        // For tools that show lag, nothing else: they expire, and the record above is the truth.
        await tx.commitGroupOffsets(
          groupId,
          [...position.inputs].map(([topic, offset]) => ({ topic, partition, offset })),
        )
        return last
      })
      state.clean()
      return { points: points.length, seriesOffset }
    },
  }
}
