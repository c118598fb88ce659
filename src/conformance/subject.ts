/** What a connector's author gives to have it checked: the connector, and a vendor with habits and a truth. */
import type { Event, Message, Session } from '../records.ts'
import type { Connector, Window } from '../source/contract.ts'

export interface Subject {
  readonly connector: Connector
  /** Where the config reads some of the streams only, as a variant beside a subject that reads them all: which. Default: all are checked. */
  readonly streams?: readonly string[]
  /** A vendor with rows of every stream in `window`, started for each check anew. Where the check asks for no habit, it limits no rates and nothing else goes wrong. */
  start(how: Start): Promise<Vendor>
  /** Checks that this connector need not pass, and why. */
  readonly waivers?: readonly Waiver[]
}

/**
 * What a vendor may do beside answering. A habit that the vendor cannot have (its listing has no pages, say) is waived.
 *
 * late: some rows show later than their time by more than the stream's lag, within its lookback. changing: rows change after they were first
 * shown. tied: more rows than fit a page have one and the same time. edges_inclusive, edges_exclusive: a row exactly at the beginning or the
 * end of the asked range shows, or does not. grows, shrinks: a row is added to a listing, or is missing from it, between two of its pages; a later
 * listing of the same range has it. ignores_token: whatever page is asked for, the first comes. clock_ahead, clock_behind: the vendor's clock, and
 * with it what it shows, is two minutes off. quota: the vendor refuses what exceeds its documented limits, and counts, by `Start.now`.
 */
export const HABITS = [
  'late',
  'changing',
  'tied',
  'edges_inclusive',
  'edges_exclusive',
  'grows',
  'shrinks',
  'ignores_token',
  'clock_ahead',
  'clock_behind',
  'quota',
] as const
export type Habit = (typeof HABITS)[number]

export interface Start {
  /** null: none. */
  readonly habit: Habit | null
  /** The time that the vendor lives in, epoch milliseconds. It may be moved by the check. */
  readonly now: () => number
}

export interface Waiver {
  /** Name of the check, or its beginning. */
  readonly check: string
  readonly reason: string
  /** The waiver does not hold from this day on, `2027-05-31`; a day more than a year ahead is refused. */
  readonly until: string
}

export interface Vendor {
  /** Flat map with dotted keys, without `connector.class`. Streams that need a permission are checked when `streams` names them. */
  readonly config: Readonly<Record<string, unknown>>
  /** Read whole, in one piece or in pieces no longer than the stream's longest. */
  readonly window: Window
  /** The time at which it is read; default: the end of the window. */
  readonly nowMs?: number
  /** Paths of the second calls of `enrich`, whose answers hold parts of rows even where the schema of a stream would take these for rows. */
  readonly partsAt?: RegExp
  /** What must stand on the topics when everything up to `nowMs` was read; without it the checks that need it fail. */
  truth?(nowMs: number): Truth
  /** What the vendor counted of requests that it had to refuse for its limits: quota must keep this at zero. */
  refusedForQuota?(): number
  stop(): Promise<void>
}

/**
 * Records as they must be, told by some of their fields: all entries of a list name the same ones, and what is on the topics is compared by those,
 * each entry once. Of sessions the newest revision that is not withdrawn.
 */
export interface Truth {
  readonly sessions: readonly Partial<Session>[]
  readonly messages: readonly Partial<Message>[]
  readonly events: readonly Partial<Event>[]
}
