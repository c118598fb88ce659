/**
 * What one record adds to the table of minutes: the measures of a SeriesPoint as arithmetic, without time, state or Kafka.
 *
 * A session counts where it started, where it ended and where it was handed to a person, which may be three different minutes. A message or an
 * event counts once, at the first record of its key. Everything here is pure; who adds, takes back and remembers is `state.ts`.
 */
import type { Channel, Containment, Sender } from '../records.ts'
import { hash128 } from './hash.ts'

/** Place of each count in a cell, in the order of `MEASURES`; `duration_ms` is a sum and stands beside them, because it outgrows 32 bits. */
export const COUNT = {
  sessions: 0,
  sessions_self_service: 1,
  sessions_drop_off: 2,
  sessions_agent: 3,
  sessions_unknown: 4,
  sessions_ended: 5,
  agent_transfers: 6,
  messages_user: 7,
  messages_bot: 8,
  messages_agent: 9,
  messages_other: 10,
  events: 11,
} as const

export const COUNTS = 12

/** No such minute: an open session has no ended minute. Also what a time gives that no 32 bits of minutes can hold (after the year 6053). */
export const NO_MINUTE = -(2 ** 31)

const MINUTE_MS = 60_000

/** The minute of the epoch that this time lies in: the minute m holds `[m, m + 1) × 60,000 ms`. */
export function minuteOf(atMs: number): number {
  const minute = Math.floor(atMs / MINUTE_MS)
  return minute > NO_MINUTE && minute < 2 ** 31 ? minute : NO_MINUTE
}

/** No vendor of ours was there before; a date like 1970-01-01 or 0001-01-01 stands for no date. */
const FIRST_REAL_MS = Date.UTC(2000, 0, 1)
/** A time may be so far ahead of when the row was read. */
const MOST_AHEAD_MS = 86_400_000

/** Whether a vendor's time is a time: a placeholder (before 2000, or more than a day ahead of `observedAt`) counts nowhere. */
export function isRealTime(atMs: number | null, observedAt: number): atMs is number {
  return atMs !== null && atMs >= FIRST_REAL_MS && atMs <= observedAt + MOST_AHEAD_MS
}

export function startOfMinute(minute: number): number {
  return minute * MINUTE_MS
}

/** Who a record counts for, as it stands on the topic. */
export interface Counted {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: Channel | null
  readonly language: string | null
  readonly revision: number
  readonly observed_at: number
}

/** The fields of a Session that count. */
export interface CountedSession extends Counted {
  readonly started_at: number
  readonly ended_at: number | null
  readonly containment: Containment
  readonly transferred_at: number | null
  readonly user_id: string | null
  readonly is_test: boolean | null
}

/** The fields of a Message that count. */
export interface CountedMessage extends Counted {
  readonly message_key: string
  readonly sent_at: number
  readonly sender: Sender
}

/** The fields of an Event that count. */
export interface CountedEvent extends Counted {
  readonly event_key: string
  readonly occurred_at: number
  readonly type: string
}

/** A vendor's own statistics, with what it says of them. */
export interface AttributedEvent extends CountedEvent {
  readonly attributes: Readonly<Record<string, string>>
}

/** What one revision of a session adds, so that it can be taken back exactly. Minutes may be NO_MINUTE. */
export interface Contribution {
  revision: number
  /** Id of the series, as interned by the partition's state. */
  series: number
  started: number
  ended: number
  /** ended_at − started_at, milliseconds, never negative; 0 without an end or a start. */
  durationMs: number
  /** Where the session was handed to a person; NO_MINUTE: it was not. */
  transfer: number
  /** The count of this session's containment: one of COUNT.sessions_self_service … sessions_unknown. */
  containment: number
  /** Whether the session says who its user was: one of USER. */
  user: number
  /** The first two words of the hash of `user_id`; 0 when `user` is not USER.known. */
  userHigh: number
  userLow: number
}

export const USER = {
  /** The session has no `user_id`. */
  none: 0,
  known: 1,
  /** Counted by a version that did not keep it. */
  unkept: 2,
} as const

/** A contribution to be filled in by whoever reads one. */
export function blankContribution(): Contribution {
  return {
    revision: 0,
    series: 0,
    started: 0,
    ended: 0,
    durationMs: 0,
    transfer: 0,
    containment: 0,
    user: USER.none,
    userHigh: 0,
    userLow: 0,
  }
}

const hash = new Int32Array(4)
let scratch = Buffer.allocUnsafeSlow(1024)

/** Leaves the hash of a `user_id` in `hash`. */
function hashUser(userId: string): void {
  if (userId.length * 3 > scratch.length) scratch = Buffer.allocUnsafeSlow(userId.length * 3)
  hash128(scratch.subarray(0, scratch.write(userId)), hash)
}

export function contributionOf(session: CountedSession, series: number): Contribution {
  const { started_at, ended_at, observed_at } = session
  const started = isRealTime(started_at, observed_at)
  const ended = isRealTime(ended_at, observed_at)
  const transferredMs = transferAt(session)
  const hasUser = session.user_id !== null && session.user_id !== ''
  if (hasUser) hashUser(session.user_id)
  return {
    // 0 means that a session counts nowhere.
    revision: Math.max(1, session.revision),
    series,
    started: started ? minuteOf(started_at) : NO_MINUTE,
    ended: ended ? minuteOf(ended_at) : NO_MINUTE,
    durationMs: started && ended ? Math.max(0, ended_at - started_at) : 0,
    transfer: transferredMs === null ? NO_MINUTE : minuteOf(transferredMs),
    containment: containmentCount(session.containment),
    user: hasUser ? USER.known : USER.none,
    userHigh: hasUser ? (hash[0] as number) : 0,
    userLow: hasUser ? (hash[1] as number) : 0,
  }
}

/** When a session counts as transferred; null: it was not, or nobody knows when. The vendor does not always give the time. */
export function transferAt(session: CountedSession): number | null {
  const { started_at, ended_at, transferred_at, observed_at } = session
  if (!isRealTime(transferred_at, observed_at) && session.containment !== 'AGENT') return null
  return [transferred_at, ended_at, started_at].find(atMs => isRealTime(atMs, observed_at)) ?? null
}

/** Whether two revisions of a session add the same, whatever else of it changed. */
export function sameCounts(a: Contribution, b: Contribution): boolean {
  return (
    a.series === b.series &&
    a.started === b.started &&
    a.ended === b.ended &&
    a.durationMs === b.durationMs &&
    a.transfer === b.transfer &&
    a.containment === b.containment &&
    a.user === b.user &&
    a.userHigh === b.userHigh &&
    a.userLow === b.userLow
  )
}

/** The count that a message of this sender goes to. */
export function messageCount(sender: Sender): number {
  if (sender === 'USER') return COUNT.messages_user
  if (sender === 'BOT') return COUNT.messages_bot
  return sender === 'AGENT' ? COUNT.messages_agent : COUNT.messages_other
}

/** A containment that this version does not know counts as unknown, so that the four always sum to `sessions`. */
function containmentCount(containment: Containment): number {
  if (containment === 'SELF_SERVICE') return COUNT.sessions_self_service
  if (containment === 'DROP_OFF') return COUNT.sessions_drop_off
  return containment === 'AGENT' ? COUNT.sessions_agent : COUNT.sessions_unknown
}
