/** What a connector's author provides to have it checked: the connector, and a vendor with quirks and a truth. */
import type { Event, Message, Session } from '../records.ts'
import type { Connector, Window } from '../source/contract.ts'

export interface Subject {
  readonly connector: Connector
  /** The streams to check, if the config reads only some of them, as a variant of a subject that reads them all. Default: all. */
  readonly streams?: readonly string[]
  /** A vendor with rows of every stream in `window`, started for each check anew. Without a quirk, it limits no rates and nothing else goes wrong. */
  start(how: Start): Promise<Vendor>
  /** Checks that this connector need not pass, and why. */
  readonly waivers?: readonly Waiver[]
}

/**
 * How a vendor may misbehave. A quirk that the vendor cannot have (its listing has no pages, for example) is waived.
 *
 * late: some rows appear later than their time by more than the stream's lag, within its lookback. changing: rows change after they were first shown. tied:
 * more rows than fit a page have the same time. edges_inclusive, edges_exclusive: a row exactly at the beginning or the end of the requested range is returned,
 * or is not. grows, shrinks: a row is added to a listing, or is missing from it, between two of its pages; a later listing of the same range has it.
 * ignores_token: the first page is returned, whatever page is requested. clock_ahead, clock_behind: the vendor's clock, and every time it shows, is two minutes
 * off. quota: the vendor rejects what exceeds its documented limits, and counts, by `Start.now`.
 */
export const QUIRKS = [
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
export type Quirk = (typeof QUIRKS)[number]

export interface Start {
  /** null: none. */
  readonly quirk: Quirk | null
  /** Earlier name of `quirk`, for subjects outside of this repository. */
  readonly habit?: Quirk | null
  /** The vendor's time, epoch milliseconds. The check may move it. */
  readonly now: () => number
}

export interface Waiver {
  /** Name of the check, or its beginning. */
  readonly check: string
  readonly reason: string
  /** The waiver expires on this day, `2027-05-31`; a day more than a year ahead is rejected. */
  readonly until: string
}

export interface Vendor {
  /** Flat map with dotted keys, without `connector.class`. Streams that need a permission are checked when `streams` names them. */
  readonly config: Readonly<Record<string, unknown>>
  /** Read whole, in one piece or in pieces no longer than the stream's longest. */
  readonly window: Window
  /** The time of the read; default: the end of the window. */
  readonly nowMs?: number
  /** Paths of requests made by `enrich`, whose answers have parts of rows even if the schema of a stream would accept these as rows. */
  readonly partsAt?: RegExp
  /** What must be on the topics when everything up to `nowMs` was read; without it the checks that need it fail. */
  truth?(nowMs: number): Truth
  /** How many requests the vendor had to reject for its limits: quota must keep this at zero. */
  refusedForQuota?(): number
  stop(): Promise<void>
}

/**
 * The expected records, with some of their fields: all entries of a list name the same ones, and the records on the topics are compared by those, each entry
 * once. Of sessions the newest revision that is not withdrawn.
 */
export interface Truth {
  readonly sessions: readonly Partial<Session>[]
  readonly messages: readonly Partial<Message>[]
  readonly events: readonly Partial<Event>[]
}
