/**
 * Everything the aggregator knows of one partition number, as plain state: which minutes hold what, and what every session was counted as.
 *
 * No time, no Kafka. Records go in, in the order of their topics; changed cells and changed sessions come out. Any order, repetition or
 * interleaving of the revisions of sessions gives the same table as a recount of the newest ones.
 */
import { MEASURES, type SeriesPoint } from '../records.ts'
import type { CellTable } from './cells.ts'
import { createCells } from './cells.ts'
import type { Contribution, CountedEvent, CountedMessage, CountedSession } from './contribution.ts'
import { COUNT, NO_MINUTE, contributionOf, messageCount, minuteOf, sameCounts, transferAt } from './contribution.ts'
import type { RememberedSessions } from './remembered.ts'
import { createRemembered } from './remembered.ts'
import type { SeriesTable } from './series.ts'
import { createSeriesTable } from './series.ts'
import { readStateRecord } from './state-record.ts'

export interface PartitionState {
  readonly series: SeriesTable
  readonly cells: CellTable
  readonly sessions: RememberedSessions
  /** A record of the sessions topic; null withdraws the session. A revision that is not newer than the remembered one changes nothing. */
  session(key: Buffer, session: CountedSession | null): void
  /** A record of the messages topic; only revision 1 counts. */
  message(message: CountedMessage): void
  /** A record of the events topic; only revision 1 counts. */
  event(event: CountedEvent): void
  /** Sessions whose contribution is not on the state topic as it is here, with their keys. */
  readonly changedSessions: ReadonlyMap<number, Buffer>
  /** What was seen for the first time within an hour of its own time, since `clean`. */
  firstSeen(): FirstSeen[]
  /** What was left out since `clean`, because its minute is before the horizon. */
  readonly late: number
  /** Everything that changed has been published. */
  clean(): void
  /**
   * Tells the time: the horizon is the retention before it, and moves in steps of a day. Call it with nothing changed since `clean`.
   * What lies before the horizon leaves memory; what comes in for it later is left out and counted as late.
   */
  setTime(nowMs: number): void
  restoreSession(key: Buffer, value: Buffer | null): void
  /**
   * Takes a point over unless a newer one of its minute was; any order will do.
   * @param counted false: only the revision is taken over, because the inputs are going to be counted from their start. */
  restorePoint(point: RestoredPoint, counted: boolean): void
}

/** In the order of the message counts. */
const SENDER_LABELS = ['user', 'bot', 'agent', 'other'] as const
export type SenderLabel = (typeof SENDER_LABELS)[number]

export interface FirstSeen {
  readonly kind: 'session' | 'message' | 'agent_transfer'
  readonly series: number
  /** With messages: the measure they count in, without its prefix. */
  readonly sender?: SenderLabel
  /** Newest time of them, epoch milliseconds. */
  readonly atMs: number
  readonly n: number
}

/** What a point is restored from. */
export const POINT_FIELDS = [
  'vendor',
  'account',
  'bot_id',
  'channel',
  'language',
  'bucket_start',
  'revision',
  ...MEASURES,
] as const
export type RestoredPoint = Pick<SeriesPoint, (typeof POINT_FIELDS)[number]>

const HOUR_MS = 3_600_000
const DAY_MINUTES = 1_440
const KINDS = 2 + SENDER_LABELS.length

export function createState(options: { retentionMs: number }): PartitionState {
  const series = createSeriesTable()
  const cells = createCells()
  const sessions = createRemembered()
  const changedSessions = new Map<number, Buffer>()
  const seen = new Map<number, { atMs: number; n: number }>()
  const old: Contribution = { revision: 0, series: 0, started: 0, ended: 0, durationMs: 0, transfer: 0, containment: 0 }
  let horizon = NO_MINUTE
  let nowMs = 0
  let late = 0

  /** Adds a contribution (sign 1) or takes it back (-1). What is before the horizon is left as it is, both ways. */
  function count(of: Contribution, sign: 1 | -1): void {
    const start = cells.at(of.series, of.started)
    if (start >= 0) {
      cells.add(start, COUNT.sessions, sign)
      cells.add(start, of.containment, sign)
    } else if (sign === 1) late++
    if (of.ended !== NO_MINUTE) {
      const end = of.ended === of.started ? start : cells.at(of.series, of.ended)
      if (end >= 0) {
        cells.add(end, COUNT.sessions_ended, sign)
        cells.addDuration(end, sign * of.durationMs)
      }
    }
    if (of.transfer !== NO_MINUTE) {
      const transfer = cells.at(of.series, of.transfer)
      if (transfer >= 0) cells.add(transfer, COUNT.agent_transfers, sign)
    }
  }

  /** The first sighting of something that happened just now, by this process's time. */
  function see(kind: number, of: number, atMs: number): void {
    if (Math.abs(nowMs - atMs) > HOUR_MS) return
    const known = seen.get(of * KINDS + kind)
    if (known === undefined) seen.set(of * KINDS + kind, { atMs, n: 1 })
    else {
      known.n++
      known.atMs = Math.max(known.atMs, atMs)
    }
  }

  return {
    series,
    cells,
    sessions,
    changedSessions,

    session(key, session) {
      if (session === null) {
        const known = sessions.find(key)
        if (known < 0 || sessions.revision(known) === 0) return
        count(sessions.read(known, old), -1)
        sessions.withdraw(known)
        changedSessions.set(known, key)
        return
      }
      const number = sessions.at(key)
      const remembered = sessions.revision(number)
      if (session.revision <= remembered) return
      const next = contributionOf(session, series.idOf(session))
      if (Math.max(next.started, next.ended, next.transfer) < horizon) {
        // Nothing of it can be counted any more: taken back where it still is, and not remembered.
        late++
        if (remembered > 0) {
          count(sessions.read(number, old), -1)
          sessions.withdraw(number)
          changedSessions.set(number, key)
        }
        return
      }
      if (remembered === 0) {
        count(next, 1)
        if (session.revision === 1) see(0, next.series, session.started_at)
      } else if (!sameCounts(sessions.read(number, old), next)) {
        count(old, -1)
        count(next, 1)
      }
      // A session that was handed over, taken back and handed over again is told once.
      if (next.transfer !== NO_MINUTE && !sessions.tellTransfer(number)) see(1, next.series, transferAt(session))
      sessions.put(number, next)
      changedSessions.set(number, key)
    },

    message(message) {
      if (message.revision !== 1) return
      const of = series.idOf(message)
      const cell = cells.at(of, minuteOf(message.sent_at))
      const sender = messageCount(message.sender)
      if (cell < 0) late++
      else cells.add(cell, sender, 1)
      see(2 + sender - COUNT.messages_user, of, message.sent_at)
    },

    event(event) {
      if (event.revision !== 1) return
      const cell = cells.at(series.idOf(event), minuteOf(event.occurred_at))
      if (cell < 0) late++
      else cells.add(cell, COUNT.events, 1)
    },

    firstSeen: () =>
      [...seen].map(([key, { atMs, n }]) => {
        const kind = key % KINDS
        const of = { series: Math.floor(key / KINDS), atMs, n }
        if (kind === 0) return { kind: 'session', ...of }
        return kind === 1
          ? { kind: 'agent_transfer', ...of }
          : { kind: 'message', sender: SENDER_LABELS[kind - 2] as SenderLabel, ...of }
      }),

    get late() {
      return late
    },

    clean() {
      cells.clean()
      changedSessions.clear()
      seen.clear()
      late = 0
    },

    setTime(ms) {
      nowMs = ms
      const next = Math.floor(minuteOf(ms - options.retentionMs) / DAY_MINUTES) * DAY_MINUTES
      if (next <= horizon) return
      horizon = next
      cells.forgetBefore(horizon)
      sessions.forgetBefore(horizon)
    },

    restoreSession(key, value) {
      if (value === null) {
        const known = sessions.find(key)
        if (known >= 0) sessions.withdraw(known)
        return
      }
      const { contribution, told } = readStateRecord(value, series)
      const number = sessions.at(key)
      sessions.put(number, contribution)
      if (told) sessions.tellTransfer(number)
    },

    restorePoint(point, counted) {
      const counts = counted
        ? [
            point.sessions,
            point.sessions_self_service,
            point.sessions_drop_off,
            point.sessions_agent,
            point.sessions_unknown,
            point.sessions_ended,
            point.agent_transfers,
            point.messages_user,
            point.messages_bot,
            point.messages_agent,
            point.messages_other,
            point.events,
          ]
        : []
      const of = series.idOf(point)
      const minute = minuteOf(point.bucket_start)
      const cell = cells.at(of, minute)
      if (cell < 0 || cells.revision(cell) >= point.revision) return
      cells.restore(cell, point.revision, counts, counted ? point.duration_ms : 0)
    },
  }
}
