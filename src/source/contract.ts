/**
 * What a connector is. Vendors own the wire, the framework owns time: a connector says how to read one window of one stream and what a row
 * means; when, how often, with what patience and under which quota is the framework's affair.
 *
 * A connector never sleeps, retries, reads the clock or the environment, or keeps state between calls.
 */
import type { z } from 'zod'
import type { ErrorCode } from '../errors.ts'
import type { Event, Message, Session } from '../records.ts'
import type { RowContext } from './records.ts'

/** Plain JSON values, as they come from a vendor and as cursors hold them. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json }

/** A connector, with its config type and its streams' row types erased: what the framework holds. */
// biome-ignore lint: the erased form is what plugins of any config and row type are assignable to
export interface Connector {
  readonly manifest: Manifest
  /** A strict zod object in camelCase; the file's dotted keys are mapped by one rule. Secrets carry `.meta({ secret: true })`, all a description. */
  readonly config: z.ZodObject
  /** How requests are made. Called once per task start. */
  http(config: never): HttpSpec
  readonly streams: Readonly<Record<string, Stream>>
}

export interface Manifest {
  /** What `connector.class` names: lower case, digits, dashes. Also the `vendor` of every record. */
  readonly id: string
  readonly title: string
  readonly apiVersion: string
  /** Where the vendor documents the API. */
  readonly docs: string
  readonly quota: Quota
  /** How often the live edge is read unless the config says otherwise, milliseconds. */
  readonly pollIntervalMs: number
  /** Name of the one stream that publishes Session records; null where sessions are derived. */
  readonly sessionStream: string | null
  /** Streams that are read only when the config's `streams` names them (they need an extra permission, say). */
  readonly optionalStreams?: readonly string[]
}

/** The vendor's limits. Every count holds over any rolling window of its length. 0 or absent: none. */
export interface Quota {
  readonly perSecond?: number
  readonly perMinute?: number
  readonly perHour?: number
  /** Requests under way at once. */
  readonly concurrency?: number
  /** Least time from the start of one request to the start of the next, milliseconds. */
  readonly gapMs?: number
  /** Config key (camelCase) whose value the quota is counted by, such as `accessToken`; absent: the connector. */
  readonly sharedBy?: string
}

export interface Stream {
  /** How time is cut for this stream. A function where it depends on the config. */
  readonly window: WindowSpec | ((config: never) => WindowSpec)
  /** The parts that have a cursor of their own (bots, accounts). Default: the one scope named like the account. */
  scopes?(config: never, account: string): readonly Scope[]
  /** One row. A row that does not parse goes to rejects with its issues, and its page goes on. */
  readonly row: z.ZodType
  /**
   * Every row whose time lies in `window`, page by page. Rows outside may be yielded too (vendors differ at the edges); versions drop repeats.
   * `resume` is null at the start of a window, else what an earlier page yielded. Throws FlowError SRC_RESUME_EXPIRED when the vendor no longer
   * knows it (the framework starts the window again) and SRC_WINDOW_TOO_LARGE when the vendor says so (the framework halves the window).
   */
  read(args: ReadArgs): AsyncIterable<Page>
  /** The dearer second call (messages of sessions, details), made only for rows that are new or changed. Same rows, same order, richer. */
  expand?(args: ExpandArgs): Promise<readonly unknown[]>
  /** What the row is: stable over re-reads, unique in stream and scope. */
  identify(row: never): string
  /**
   * What counts as a change of the row, as text or as a JSON value that is hashed: leave out what changes without meaning. Default: the whole row.
   */
  fingerprint?(row: never, ctx: RowContext): Json
  /** The records in a row. Pure. Throws FlowError ROW_UNMAPPABLE (with `path`) for a row that cannot be told. */
  normalise(row: never, ctx: RowContext): readonly Draft[]
}

export interface Scope {
  /** Stable name, part of the cursor's key and of the transactional id. */
  readonly name: string
  /** The one bot that the scope stands for; null: all bots of the account. */
  readonly botId: string | null
}

export interface WindowSpec {
  /** Longest window that one `read` may be asked for, milliseconds; Infinity: no limit. */
  readonly longestMs: number
  /** Windows are never halved below this, milliseconds. Default 1000. */
  readonly smallestMs?: number
  /** Safety lag: the live edge is read up to now minus this, milliseconds. */
  readonly lagMs: number
  /** How far back rows may still change, milliseconds; 0: rows never change once shown. The config's `lookback.ms` replaces it. */
  readonly lookbackMs: number
  /** Least time from one lookback pass to the next, milliseconds. Default 15 min. */
  readonly lookbackIntervalMs?: number
  /** Replaces the manifest's pace for this stream, milliseconds. */
  readonly pollIntervalMs?: number
  /** Whether a `resume` still works after a restart. Where it does not, the window starts again and versions drop the repeats. */
  readonly durableResume: boolean
}

/** `[fromMs, untilMs)`, epoch milliseconds. */
export interface Window {
  readonly fromMs: number
  readonly untilMs: number
}

export interface Page {
  /** As the vendor gave them; each is decoded on its own. */
  readonly rows: readonly unknown[]
  /** What continues the listing after this page; null after the last. A page without rows is fine. */
  readonly resume: Json
}

export interface ReadArgs {
  readonly config: never
  readonly scope: Scope
  readonly window: Window
  readonly resume: Json
  /** When this read began, epoch milliseconds: for vendors that treat old windows otherwise. */
  readonly nowMs: number
  readonly http: Http
}

export interface ExpandArgs {
  readonly config: never
  readonly scope: Scope
  readonly rows: readonly never[]
  readonly http: Http
}

/** A record as a connector builds it, with `revision` 1; the framework sets the true revision. */
export type Draft =
  | { readonly kind: 'session'; readonly record: Session }
  | { readonly kind: 'message'; readonly record: Message }
  | { readonly kind: 'event'; readonly record: Event }

export interface HttpSpec {
  /** API root, no trailing slash. Absolute links are followed on its host only. */
  readonly baseUrl: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Credentials that are minted or refreshed. `headers` is asked before each request; `refresh` is called once when the vendor answers 401,
   * before the request is tried again. `fetch` makes a request without authorisation (to a token endpoint, on any host that the config names).
   */
  readonly auth?: {
    headers(): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
    refresh?(fetch: PlainFetch, signal: AbortSignal): Promise<void>
  }
  /** Tells a vendor's own error answers apart, where status alone does not. `vendorCode` stands in the error's details, to branch on. */
  classify?(answer: {
    status: number
    headers: Readonly<Record<string, string>>
    body: unknown
  }): { code: ErrorCode; vendorCode?: string; waitMs?: number; hint?: string } | undefined
  /** Largest answer, bytes after decompression. Default 64 MiB. */
  readonly maxBytes?: number
  /** For one request, from start to the last byte, milliseconds. Default 60_000. */
  readonly timeoutMs?: number
  /** Tries of one request before its error is passed on, the first included. Default 5. */
  readonly tries?: number
}

export type PlainFetch = (request: {
  method: 'GET' | 'POST'
  url: string
  headers?: Readonly<Record<string, string>>
  body?: string
}) => Promise<{ status: number; headers: Readonly<Record<string, string>>; body: unknown }>

/** The vendor's API, with authorisation, quota, retries, limits and the stop signal already applied. Every method throws FlowError only. */
export interface Http {
  getJson<S extends z.ZodType>(path: string, query: Query, page: S, options?: CallOptions<z.output<S>>): Promise<z.output<S>>
  postJson<S extends z.ZodType>(
    path: string,
    call: { query?: Query; body?: Json; headers?: Readonly<Record<string, string>> },
    page: S,
    options?: CallOptions<z.output<S>>,
  ): Promise<z.output<S>>
}

/** Undefined and null entries are left out; an array repeats its name. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>

export interface CallOptions<T> {
  /** What 204, an answer without a body, or a status in `emptyStatus` stands for. Without it such an answer is SRC_MALFORMED. */
  readonly empty?: T
  readonly emptyStatus?: readonly number[]
  /** false: asking moves the vendor's own cursor, so a request whose answer was lost is not made again but its error passed on. Default true. */
  readonly repeatable?: boolean
  readonly headers?: Readonly<Record<string, string>>
}
