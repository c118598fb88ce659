/**
 * Everything the aggregator knows of one partition number, as plain state: which minutes, hours and days hold what, what every session was counted as, and
 * which messages and events have been counted. The sketches of a cell are no state: they are drawn from the sessions that it counts.
 *
 * No time, no Kafka. Records go in, in the order of their topics; changed cells, sessions and keys come out. The table is that of a recount: of the newest
 * record of each session and of the first record of each message and event, in offset order. Revisions decide nothing.
 */
import { isBucketSize, type PointKey } from '../point-key.ts'
import { MEASURES, type SeriesPoint } from '../records.ts'
import { type Budget, NO_BUDGET } from './budget.ts'
import { bucketOf, DAY_HOURS, DAY_MINUTES, firstMinute, HOUR_MINUTES } from './buckets.ts'
import type { CellTable } from './cells.ts'
import { createCells } from './cells.ts'
import { type CellSketches, createCellSketches } from './cell-sketches.ts'
import type { Contribution, CountedEvent, CountedMessage, CountedSession } from './contribution.ts'
import {
  blankContribution,
  COUNT,
  contributionOf,
  isRealTime,
  messageCount,
  minuteOf,
  NO_MINUTE,
  sameCounts,
  startOfMinute,
  transferAt,
} from './contribution.ts'
import { chunkOfKey, type CountedKeys, createCounted } from './counted.ts'
import { createMembers, ENDED, STARTED } from './members.ts'
import type { RememberedSessions } from './remembered.ts'
import { createRemembered } from './remembered.ts'
import type { SeriesTable } from './series.ts'
import { createSeriesTable } from './series.ts'
import { readStateRecord, stateRecordBytes, writeStateRecord } from './state-record.ts'
import { createTiers } from './tiers.ts'

export interface PartitionState {
  readonly series: SeriesTable
  readonly cells: CellTable
  readonly sessions: RememberedSessions
  readonly sketches: CellSketches
  /** Messages and events that have been counted. */
  readonly counted: CountedKeys
  /** A record of the sessions topic, in offset order: it is the session from now on. Null withdraws the session, and so does one of a test. */
  session(key: Buffer, session: CountedSession | null): void
  /** A record of the messages topic; the first of its key counts. @param publishedMs The record's own timestamp. */
  message(message: CountedMessage, publishedMs: number): void
  /** A record of the events topic; the first of its key counts. @param publishedMs The record's own timestamp. */
  event(event: CountedEvent, publishedMs: number): void
  /** Sessions whose contribution is not on the state topic as it is here, with their keys. */
  readonly changedSessions: ReadonlyMap<number, Buffer>
  /** What was seen for the first time within an hour of its own time, since `clean`. */
  firstSeen(): FirstSeen[]
  /** What was left out since `clean`, because its day is before the horizon. */
  readonly late: number
  /** Cells that were rolled up since `clean`: each is to be withdrawn from the series topic, in this order and behind all points. */
  readonly retired: readonly number[]
  /** Everything that changed has been published. */
  clean(): void
  /**
   * Tells the time. Call it with nothing changed since `clean`. The horizons of minutes, hours and days are their retention before it, and move in steps of a
   * day; a day of a series that comes to lie before one is due to be rolled up. What comes in for a day before the horizon of days is left out and counted as
   * late.
   *
   * No clock moves them alone: they follow the least of the local clock, the time of publishing of the newest record, and the newest time that a vendor gave.
   */
  setTime(of: { clockMs: number; publishedMs: number }): void
  /** The time from which the horizons are counted back, epoch milliseconds; null: not known yet. */
  readonly timeMs: number | null
  /** Puts the horizons where they were for this time. */
  restoreTime(timeMs: number): void
  /** How many days of a series are due to be rolled up. Each is rolled up by `rollUp`, or by what comes in for it. */
  readonly due: number
  /** Rolls up the oldest days that are due, as much as is about so many cells. */
  rollUp(mostCells: number): void
  /** What was counted in the buckets that start in these minutes, `until` exclusive. */
  count(series: number, count: number, from: number, until: number): number
  /**
   * A record of the state topic: a session's contribution, or a chunk of counted keys. Call `restored` after the last one.
   *
   * @param part May take minutes out of a contribution, or set its revision to 0: nothing of it is counted.
   */
  restoreRecord(key: Buffer, value: Buffer | null, part?: (contribution: Contribution) => void): void
  restored(): void
  /** Takes a point over unless a newer one of its bucket was; any order will do. @param keep Which of its counts; all by default. */
  restorePoint(point: RestoredPoint, keep?: Keep): void
  /** As `restorePoint`: the point is newer than all that have been restored of its bucket, whatever its revision. */
  restoreNewerPoint(point: RestoredPoint): void
  /** The tables have been filled from a file: call it before anything of the topics is restored. */
  adopted(): void
  /** A point was withdrawn after those that have been restored. With an hour, all hours of its day are: they are rolled up together. */
  restoreWithdrawal(key: PointKey): void
  /** Call it after the last point. */
  restoredPoints(): void
  /** The state topic has this of the session: its contribution is written anew only where it is another. A session that is not known stays as it is. */
  compare(key: Buffer, value: Buffer | null): void
  /** What restoring and migrating saw is nothing new, and what it left out had been left out before. */
  forgetSeen(): void
}

/** The parts of a point, by the topic that they are counted from. */
export interface Keep {
  readonly sessions: boolean
  readonly messages: boolean
  readonly events: boolean
}

/** In the order of the message counts. */
export const SENDER_LABELS = ['user', 'bot', 'agent', 'other'] as const
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
  'bucket',
  'revision',
  ...MEASURES,
] as const
export type RestoredPoint = Pick<SeriesPoint, (typeof POINT_FIELDS)[number]>

const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
const ALL: Keep = { sessions: true, messages: true, events: true }
const KINDS = 2 + SENDER_LABELS.length

/** How far back each tier is kept, milliseconds, none less than the one before it. */
export interface Retention {
  readonly minutesMs: number
  readonly hoursMs: number
  /** What happened before that is not counted. */
  readonly daysMs: number
}

export interface StateOptions {
  readonly retention: Retention
  /** Points older than this may be gone from the series topic; Infinity: none is. */
  readonly seriesRetentionMs?: number
  /** How long after its publishing a counted key is remembered: as long as the topic holds the record. */
  readonly rememberMs?: number
  /** Whether sessions of developers and tests (`is_test`) count. Default false. */
  readonly includeTest?: boolean
}

/** The series of a contribution that is not placed yet. */
const NOWHERE = -1

/** For a recount: the first minute that the topics hold all messages and all events of. What is before is left as it is. */
export interface Reach {
  readonly messages: number
  readonly events: number
}

const EVERYTHING: Reach = { messages: NO_MINUTE, events: NO_MINUTE }

/** @param budget Of series, for each account; none by default. */
export function createState(options: StateOptions, reach: Reach = EVERYTHING, budget: Budget = NO_BUDGET): PartitionState {
  const { retention, seriesRetentionMs = Infinity, rememberMs = Infinity, includeTest = false } = options
  const series = createSeriesTable(budget)
  const cells = createCells()
  const sessions = createRemembered()
  const counted = createCounted()
  const changedSessions = new Map<number, Buffer>()
  const seen = new Map<number, { atMs: number; n: number }>()
  const members = createMembers()
  const sketches = createCellSketches(cells, sessions, members)
  const tiers = createTiers(cells, members)
  const old = blankContribution()
  /** Whether `members` are those of the cells and sessions as they are. Both are renumbered and restored without them. */
  let areLinked = true
  /** From this minute on, every instant counts in its minute. */
  let recentFrom = tiers.recentFrom
  let timeMs: number | null = null
  let newestMinute = NO_MINUTE
  let keysForgottenOn = 0
  let nowMs = 0
  let late = 0

  /**
   * The cell to add to; -1: the minute is none, or before the horizon. Most of what is counted is of the last days: it is found in its minute without asking
   * for its tier.
   */
  function cellOf(of: number, minute: number): number {
    const cell = minute >= recentFrom ? cells.at(of, minute) : tiers.at(of, minute)
    if (cell >= 0 && minute > newestMinute) newestMinute = minute
    return cell
  }

  /** The same where something is counted already; -1: there is no such cell. */
  function countedIn(of: number, minute: number): number {
    return minute >= recentFrom ? cells.find(of, minute) : tiers.find(of, minute)
  }

  function unlink(): void {
    if (areLinked) members.clear()
    areLinked = false
  }

  function link(): void {
    if (areLinked) return
    areLinked = true
    const of = blankContribution()
    for (let session = 0; session < sessions.size; session++) {
      if (sessions.revision(session) === 0) continue
      sessions.read(session, of)
      const start = tiers.locate(of.series, of.started)
      if (start >= 0) members.add(start, STARTED, session)
      const end = tiers.locate(of.series, of.ended)
      if (end >= 0) members.add(end, ENDED, session)
    }
  }

  /** Counts in the cell of a minute, and in the day beside that cell where the minute has been rolled up to its hour. */
  function tally(cell: number, minute: number, count: number, by: number): void {
    cells.add(cell, count, by)
    if (minute >= recentFrom) return
    const day = tiers.beside(cell)
    if (day >= 0) cells.add(day, count, Math.max(by, -cells.count(day, count)))
  }

  function tallyDuration(cell: number, minute: number, byMs: number): void {
    cells.addDuration(cell, byMs)
    if (minute >= recentFrom) return
    const day = tiers.beside(cell)
    if (day >= 0) cells.addDuration(day, byMs)
  }

  function add(of: Contribution, session: number): void {
    const { started, ended, transfer } = of
    const start = cellOf(of.series, started)
    if (start >= 0) {
      tally(start, started, COUNT.sessions, 1)
      tally(start, started, of.containment, 1)
      members.add(start, STARTED, session)
    } else if (started !== NO_MINUTE) late++
    const end = ended === started ? start : cellOf(of.series, ended)
    if (end >= 0) {
      tally(end, ended, COUNT.sessions_ended, 1)
      tallyDuration(end, ended, of.durationMs)
      members.add(end, ENDED, session)
    }
    const transferred = cellOf(of.series, transfer)
    if (transferred >= 0) tally(transferred, transfer, COUNT.agent_transfers, 1)
  }

  /**
   * Takes a contribution back where it stands. A cell that is not there any more (its topic did not hold it as long as the contribution) is not made for it,
   * and no count falls below zero.
   */
  function takeBack(of: Contribution, session: number): void {
    const { started, ended, transfer } = of
    const start = countedIn(of.series, started)
    if (start >= 0) members.remove(start, STARTED, session)
    if (start >= 0 && take(start, started, COUNT.sessions)) take(start, started, of.containment)
    const end = countedIn(of.series, ended)
    if (end >= 0) members.remove(end, ENDED, session)
    if (end >= 0 && take(end, ended, COUNT.sessions_ended)) {
      // Older versions counted negative durations.
      const counted = of.durationMs < 0 ? of.durationMs : Math.min(of.durationMs, Math.max(0, cells.durationMs(end)))
      tallyDuration(end, ended, -counted)
    }
    const transferred = countedIn(of.series, transfer)
    if (transferred >= 0) take(transferred, transfer, COUNT.agent_transfers)
  }

  function take(cell: number, minute: number, count: number): boolean {
    if (cells.count(cell, count) <= 0) return false
    tally(cell, minute, count, -1)
    return true
  }

  function withdraw(session: number, key: Buffer): void {
    takeBack(sessions.read(session, old), session)
    sessions.withdraw(session)
    changedSessions.set(session, key)
  }

  function recordOf(session: number): Buffer {
    const contribution = sessions.read(session, old)
    const seriesKey = Buffer.from(series.get(contribution.series).key)
    const record = Buffer.allocUnsafe(stateRecordBytes(contribution, seriesKey))
    writeStateRecord(record, 0, contribution, sessions.wasTransferTold(session), seriesKey)
    return record
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

  function moveHorizon(toMs: number): void {
    if (toMs <= (timeMs ?? -Infinity)) return
    timeMs = toMs
    const dayOf = (ms: number) => Math.floor(minuteOf(ms) / DAY_MINUTES)
    // The first day of the topic's retention may be half gone.
    const held = seriesRetentionMs === Infinity ? -Infinity : Math.ceil(minuteOf(toMs - seriesRetentionMs) / DAY_MINUTES)
    const before = tiers.firstMinute
    tiers.move({
      minutes: dayOf(toMs - retention.minutesMs),
      hours: dayOf(toMs - retention.hoursMs),
      days: Math.max(held, dayOf(toMs - retention.daysMs)),
    })
    recentFrom = tiers.recentFrom
    if (tiers.firstMinute === before) return
    sessions.forgetBefore(tiers.firstMinute)
    unlink()
  }

  function restorePoint(point: RestoredPoint, keep: Keep = ALL): void {
    const of = series.idOf(point)
    const minute = minuteOf(point.bucket_start)
    const { bucket } = point
    if (minute < 0 || !isBucketSize(bucket)) return
    if (minute > newestMinute) newestMinute = minute
    const cell = cells.at(of, bucketOf(bucket, minute))
    if (cells.revision(cell) >= point.revision) return
    const ofSessions = [
      point.sessions,
      point.sessions_self_service,
      point.sessions_drop_off,
      point.sessions_agent,
      point.sessions_unknown,
      point.sessions_ended,
      point.agent_transfers,
    ]
    const ofMessages = [point.messages_user, point.messages_bot, point.messages_agent, point.messages_other]
    const counts = [
      ...ofSessions.map(n => (keep.sessions ? n : 0)),
      ...ofMessages.map(n => (keep.messages ? n : 0)),
      keep.events ? point.events : 0,
    ]
    unlink()
    cells.restore(cell, point.revision, counts, keep.sessions ? point.duration_ms : 0)
  }

  return {
    series,
    cells,
    sessions,
    counted,
    changedSessions,
    get sketches() {
      link()
      return sketches
    },

    session(key, session) {
      link()
      const known = sessions.find(key)
      const counts = known >= 0 && sessions.revision(known) > 0
      if (session === null || (session.is_test === true && !includeTest)) {
        if (counts) withdraw(known, key)
        return
      }
      const next = contributionOf(session, NOWHERE)
      const newest = Math.max(next.started, next.ended, next.transfer)
      if (newest < tiers.firstMinute || newest === NO_MINUTE) {
        // Nothing of it can be counted: taken back where it still is, and not remembered.
        if (newest !== NO_MINUTE) late++
        if (counts) withdraw(known, key)
        return
      }
      // Only of what is counted, and so on the topic: a series that is not there after a restart takes no room.
      next.series = series.placeOf(session)
      const number = sessions.at(key)
      const changes = !counts || !sameCounts(sessions.read(number, old), next)
      if (changes) {
        if (counts) takeBack(old, number)
        add(next, number)
      }
      if (known < 0) see(0, next.series, session.started_at)
      // A session that was handed over, taken back and handed over again is told once.
      const transferredMs = transferAt(session)
      const tells = transferredMs !== null && !sessions.tellTransfer(number)
      if (tells) see(1, next.series, transferredMs)
      sessions.put(number, next)
      if (changes || tells) changedSessions.set(number, key)
    },

    message(message, publishedMs) {
      if (!counted.add(message.message_key, 'message', publishedMs)) return
      if (!isRealTime(message.sent_at, message.observed_at)) return
      const minute = minuteOf(message.sent_at)
      if (minute < reach.messages) return
      if (minute < tiers.firstMinute) {
        late++
        return
      }
      const of = series.placeOf(message)
      const sender = messageCount(message.sender)
      tally(cellOf(of, minute), minute, sender, 1)
      see(2 + sender - COUNT.messages_user, of, message.sent_at)
    },

    event(event, publishedMs) {
      if (!counted.add(event.event_key, 'event', publishedMs)) return
      if (!isRealTime(event.occurred_at, event.observed_at)) return
      const minute = minuteOf(event.occurred_at)
      if (minute < reach.events) return
      if (minute < tiers.firstMinute) late++
      else tally(cellOf(series.placeOf(event), minute), minute, COUNT.events, 1)
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

    get retired() {
      return tiers.retired
    },

    clean() {
      cells.clean()
      tiers.clean()
      counted.clean()
      changedSessions.clear()
      seen.clear()
      late = 0
      series.forgetFolded()
    },

    setTime({ clockMs, publishedMs }) {
      nowMs = clockMs
      const knownMs = Math.min(clockMs, publishedMs)
      const day = Math.floor(knownMs / DAY_MS)
      if (day > keysForgottenOn) {
        keysForgottenOn = day
        counted.forgetBefore(knownMs - rememberMs)
      }
      if (newestMinute !== NO_MINUTE) moveHorizon(Math.min(knownMs, startOfMinute(newestMinute + 1)))
      if (cells.fit()) unlink()
    },

    get timeMs() {
      return timeMs
    },

    restoreTime: moveHorizon,

    get due() {
      return tiers.due
    },

    rollUp(mostCells) {
      if (tiers.due === 0) return
      link()
      tiers.rollUp(mostCells)
    },

    count(of, count, from, until) {
      let sum = 0
      for (let minute = from; minute < until; minute++) {
        const cell = tiers.locate(of, minute)
        if (cell >= 0 && firstMinute(cells.bucketOf(cell)) === minute) sum += cells.count(cell, count)
      }
      return sum
    },

    restoreRecord(key, value, part) {
      const chunk = chunkOfKey(key)
      if (chunk !== null) {
        counted.restoreChunk(chunk, value)
        return
      }
      if (value === null) {
        const known = sessions.find(key)
        if (known >= 0) sessions.withdraw(known)
        unlink()
        return
      }
      const { contribution, told } = readStateRecord(value, series)
      part?.(contribution)
      unlink()
      const number = sessions.at(key)
      sessions.put(number, contribution)
      if (told) sessions.tellTransfer(number)
    },

    restored: () => counted.restored(),

    restorePoint,

    restoreNewerPoint(point) {
      const minute = minuteOf(point.bucket_start)
      if (minute < 0 || !isBucketSize(point.bucket)) return
      const cell = cells.find(series.idOf(point), bucketOf(point.bucket, minute))
      if (cell >= 0) cells.remove(cell)
      restorePoint(point)
    },

    adopted() {
      unlink()
      cells.each(cell => {
        newestMinute = Math.max(newestMinute, firstMinute(cells.bucketOf(cell)))
      })
    },

    restoreWithdrawal({ seriesKey, startMs, bucket }) {
      const of = series.idOfKey(seriesKey)
      const minute = minuteOf(startMs)
      if (minute < 0) return
      const first = bucket === '1h' ? Math.floor(minute / DAY_MINUTES) * DAY_MINUTES : minute
      const hours = bucket === '1h' ? DAY_HOURS : 1
      unlink()
      for (let hour = 0; hour < hours; hour++) {
        const cell = cells.find(of, bucketOf(bucket, first + hour * HOUR_MINUTES))
        if (cell >= 0) cells.remove(cell)
      }
    },

    restoredPoints() {
      tiers.restored()
      recentFrom = tiers.recentFrom
    },

    compare(key, value) {
      const known = sessions.find(key)
      if (known < 0) return
      if (sessions.revision(known) === 0 ? value === null : value?.equals(recordOf(known)) === true) changedSessions.delete(known)
      else changedSessions.set(known, Buffer.from(key))
    },

    forgetSeen() {
      seen.clear()
      late = 0
      series.forgetFolded()
    },
  }
}
