/**
 * What a connector is. Vendors own the wire, the framework owns time: a connector says how to read one window of one stream and what a row means; the framework
 * decides when, how often, with which retries and under which quota.
 *
 * A connector never sleeps, retries, reads the clock or the environment, or keeps state between calls.
 */
import type { z } from 'zod'
import type { ErrorCode } from '../errors.ts'
import type { Event, Message, Session } from '../records.ts'
import type { PiiSpec } from './pii.ts'
import type { RowContext } from './records.ts'
import type { Said, Transfers } from './transfers.ts'

/** Plain JSON values, as they come from a vendor and as cursors hold them. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json }

/** A connector with its config type and its streams' row types erased, as the framework handles it. */
// biome-ignore lint: the erased form is what plugins of any config and row type are assignable to
export interface Connector {
  readonly manifest: Manifest
  /** A strict zod object in camelCase; one rule maps the file's dotted keys to it. Secrets have `.meta({ secret: true })`, every key a description. */
  readonly config: z.ZodObject
  /** Describes how to make requests. Called once per task start. */
  http(config: never): HttpSpec
  readonly streams: Readonly<Record<string, Stream>>
  /**
   * Whether this config and these rules can show a transfer to a person. Absent: always. False: `check` reports it, and the measures that count transfers are
   * null for its bots, not 0. Pure.
   */
  detectsTransfers?(config: never, rules: Transfers): boolean
  /** Facts of the account that help to write its config, such as names that rules may match: one line each, printed by `check`. No secrets, no persons. */
  facts?(args: FactsArgs): Promise<readonly string[]>
}

export interface Manifest {
  /** Value of `connector.class`: lower case, digits, dashes. Also the `vendor` of every record. */
  readonly id: string
  readonly title: string
  readonly apiVersion: string
  /** Where the vendor documents the API. */
  readonly docs: string
  readonly quota: Quota
  /** Default poll interval of the live edge, milliseconds. */
  readonly pollIntervalMs: number
  /** Name of the one stream that publishes Session records; null where sessions are derived. */
  readonly sessionStream: string | null
  /** Streams that are read only if the config's `streams` names them (they need an extra permission, for example). */
  readonly optionalStreams?: readonly string[]
  /** Where the vendor's data has personal data. Absent: `pii.policy: standard` has the built-in rules only, and of rejected rows only the shape is kept. */
  readonly pii?: PiiSpec
  /** A documented limit of requests a day, for each unit that the customer buys. `check` compares the schedule with it; nothing is slowed down. */
  readonly dailyLimit?: DailyLimit
  /** The vendor's own documented definition of a transfer, as rules of `transfer.rules`. Rules in the config replace all of these. */
  readonly transferRules?: readonly string[]
}

/** The vendor's limits. Every count applies to any rolling window of its length. 0 or absent: none. */
export interface Quota {
  readonly perSecond?: number
  readonly perMinute?: number
  readonly perHour?: number
  /** Parallel requests. */
  readonly concurrency?: number
  /** Least time from the start of one request to the start of the next, milliseconds. */
  readonly gapMs?: number
  /**
   * What the quota is counted by: a config key (camelCase) such as `accessToken`, or a value computed by the connector, such as the bot of a scope. All
   * streams, tasks and connectors of one process with the same value share one quota. Absent: the connector.
   */
  readonly sharedBy?: string | SharedBy
}

export interface DailyLimit {
  /** Requests a day for each unit. */
  readonly perUnit: number
  /** What is bought, for people: `licence`. */
  readonly unit: string
  /** The config key that says how many units there are, as the file has it: `licences`. */
  readonly key: string
  /** How many units the config names; null: unknown. Pure. */
  units(config: never): number | null
}

export interface SharedBy {
  /** For people, after "counted by": for example `bot`. */
  readonly what: string
  of(config: never, scope: Scope): string
}

export interface Stream {
  /** How time is split into windows for this stream. A function where it depends on the config. */
  readonly window: WindowSpec | ((config: never) => WindowSpec)
  /**
   * The kinds of records that the stream publishes; completeness of a kind is computed from the streams that feed it. Default: all if the stream publishes or
   * derives the sessions, else messages and events.
   */
  readonly feeds?: readonly RecordKind[]
  /** The parts with a cursor of their own (bots, accounts). Default: one scope named like the account. */
  scopes?(config: never, account: string): readonly Scope[]
  /** One row. A row that does not parse becomes a dead letter with its issues, and its page continues. */
  readonly row: z.ZodType
  /** `row` for this config, where the config names the row's fields. Default: `row`. Pure. */
  rowFor?(config: never): z.ZodType
  /**
   * Every row whose time is in `window`, page by page. Rows outside may be yielded too (vendors differ at the edges); deduplication drops repeats. `resume` is
   * null at the start of a window, else the token of an earlier page. Throws FlowError SRC_RESUME_EXPIRED when the vendor no longer knows it (the framework
   * starts the window again) and SRC_WINDOW_TOO_LARGE when the vendor says so (the framework halves the window).
   */
  read(args: ReadArgs): AsyncIterable<Page>
  /** Optional enrichment (messages of sessions, details), for new or changed rows only. Returns the same rows in the same order, with more content. */
  enrich?(args: EnrichArgs): Promise<readonly unknown[]>
  /** Most rows of one `enrich` call. Default 100. */
  readonly enrichRows?: number
  /** Called after `enrich`: the id of another row that produced the same records until this one appeared; its deduplication state is taken over. Null: none. */
  formerId?(row: never): string | null
  /** For rows with a known end: while they are open they are looked up by id, inside the lookback at each poll, and beyond it until they are closed. */
  readonly follow?: Follow
  /** A cheap listing by time of change that names rows of this stream to read again now. */
  readonly changes?: Changes
  /** The time by which `read` finds the row, epoch milliseconds, where `changes` returns ids. Pure. */
  timeOf?(row: never): number
  /** Requests in addition to one for each window and each poll of `changes` and `follow`, for `check` to count and name. Default: none. Pure. */
  requestsBeside?(config: never): RequestsBeside
  /** For rows that are turns of conversations of a vendor without sessions: the framework derives the sessions. Null: not with this config. */
  derive?(config: never): Derive | null
  /** The row's id: stable over re-reads, unique in stream and scope. */
  identify(row: never): string
  /**
   * For rows that are several views of one thing (the sessions of one thread, for example), each with its own fingerprint, that may contain the same records:
   * one id for all of these views, different from every row's id. Published records of all views are remembered under it, so that no record is published twice.
   * Absent: rows share nothing. Pure.
   */
  sharedId?(row: never): string
  /**
   * The content that counts as a change of the row, as text or as a JSON value that is hashed: leave out what changes without meaning. Default: the whole row.
   */
  fingerprint?(row: never, ctx: RowContext): Json
  /** Maps the row to records. Pure. Throws FlowError ROW_UNMAPPABLE (with `path`) for a row that cannot be mapped. */
  normalise(row: never, ctx: RowContext): readonly Draft[]
}

/** See `Stream.requestsBeside`. The figures are counted into the schedule, so they must be certain with this config. */
export interface RequestsBeside {
  /** Additional requests for each window (other lists, lookups). Default 0. */
  readonly perWindow?: number
  /** Additional requests at each poll, for the live window only. Default 0. */
  readonly perPoll?: number
  /** false: with this config `changes` makes no request. Default true. */
  readonly asksChanges?: boolean
  /** Requests that depend on the traffic and cannot be counted in advance, in words: "one request for each new or changed row". */
  readonly unknown?: readonly string[]
}

/**
 * See `Stream.changes`. Only a hint: rows that it does not name are read again all the same, by their age. If it fails, for any reason, that is logged, and
 * windows are read as without it.
 */
export interface Changes {
  /** The rows that changed in the window; unchanged or unknown ones do no harm. */
  read(args: Omit<ReadArgs, 'resume' | 'again'>): Promise<Changed>
  /** How much later than its time a change may appear in the listing, milliseconds. */
  readonly lagMs: number
  /** Rows no further apart than this are read in one window, milliseconds; about the span of a page of the stream. Default 0. */
  readonly joinMs?: number
}

/** Rows, by their ids (from `identify`), or by windows of `read` that contain them. */
export interface Changed {
  readonly ids?: readonly string[]
  readonly windows?: readonly Window[]
}

/**
 * See `Stream.follow`. Open rows inside the lookback that no window has read since the last poll are looked up at each poll; those beyond it at most once every
 * lookback interval.
 */
export interface Follow {
  /** Whether the vendor may still change the row. Called with the row as it was published last. Pure. */
  isOpen(row: never, ctx: RowContext): boolean
  /** The rows with these ids (from `identify`) as the vendor has them now, in any order; ids that it no longer knows are left out. */
  read(args: FollowArgs): Promise<readonly unknown[]>
  /** Most ids of one `read`. */
  readonly atOnce: number
  /** A row is given up this long after it left the lookback, milliseconds. */
  readonly longestMs: number
}

export interface FollowArgs {
  readonly config: never
  readonly scope: Scope
  readonly ids: readonly string[]
  /** When this call began, epoch milliseconds. */
  readonly nowMs: number
  readonly http: Http
}

/**
 * Derives sessions from turns by inactivity gap. Each lane of the source partition is then read in order of time, and `normalise` finds the row's session in
 * `ctx.derived`. Derived sessions are stored with the deduplication state, in the same transactions, so a restart or a window read again changes nothing: a row
 * counts once.
 *
 * A session is OPEN with no end until everything up to its last turn and the gap has been read, then CLOSED with `ended_at` at its last turn
 * (`ended_at_estimated`). Containment is AGENT or UNKNOWN. Its channel, language and so on are those of the first turn that has them.
 *
 * A late turn extends its session, also backwards, without changing its id. Two sessions that turn out to be one are merged: the one that began later is
 * withdrawn (null value), and listed in attribute `merged_sessions` of the other; messages and events published with its key stay as they are.
 */
export interface Derive {
  /** A silence longer than this ends a session, milliseconds. */
  readonly gapMs: number
  /** The row's turn; null: the row belongs to no session, and `ctx.derived` is null for it. Pure. */
  turn(row: never, ctx: RowContext): Turn | null
  /**
   * The id of a new session, from what is known when it is published first; must differ for different `key`, `firstAtMs`, `part`. Default: a hash of the three.
   * Pure.
   */
  sessionId?(session: { readonly key: string; readonly firstAtMs: number; readonly part: string | null }): string
  /**
   * false: another stream publishes the sessions, with the ids that `sessionId` returns, which is then required; turns are only assigned to them. Default true.
   */
  readonly publishes?: boolean
}

export interface Turn {
  /** The conversation thread: turns with different keys are never in one session. Includes whatever separates bots and versions. */
  readonly key: string
  /** Epoch milliseconds. */
  readonly atMs: number
  /** Turns with different parts are never in one session, however close; null goes with any. */
  readonly part?: string | null
  /** When a conversation with this key is known to have ended, epoch milliseconds: the turn joins no session whose last turn is not later. */
  readonly afterMs?: number | null
  readonly botId: string
  /** The vendor's word. */
  readonly channel: string | null
  readonly language?: string | null
  /** What the row adds to the session's counts. null or absent: unknown, and the session's count is null unless another turn has one. */
  readonly userMessages?: number | null
  readonly botMessages?: number | null
  readonly agentMessages?: number | null
  /** The first turn that has one decides. */
  readonly userId?: string | null
  readonly channelUserId?: string | null
  readonly queue?: string | null
  readonly agentId?: string | null
  readonly agentName?: string | null
  readonly isTest?: boolean | null
  /**
   * True: the conversation was transferred to a person with this turn: containment AGENT, `transferred_at` the first such turn. Once published, that time
   * stays, even if an earlier such turn comes late.
   */
  readonly transferred?: boolean
  /** When, where that is not `atMs`. Epoch milliseconds. */
  readonly transferredAtMs?: number
  /** Kept on the session; of two values under one name the earlier turn's stays. */
  readonly attributes?: Readonly<Record<string, string>>
}

export interface Scope {
  /** Stable name, part of the cursor's key and of the transactional id. */
  readonly name: string
  /** The only bot of the scope; null: all bots of the account. */
  readonly botId: string | null
}

export interface WindowSpec {
  /** Longest window of one `read`, milliseconds; Infinity: no limit. */
  readonly longestMs: number
  /** Windows are never halved below this, milliseconds. Default 1000. */
  readonly smallestMs?: number
  /** Safety lag: how much later than its time a row may appear, milliseconds. Rows are read up to now; completeness is promised only up to this long ago. */
  readonly lagMs: number
  /** Data younger than `lagMs` is not final (statistics of the current hour, for example), and is not read. Default false. */
  readonly settles?: boolean
  /**
   * Rows younger than this are read again at every poll, milliseconds; 0: none. Default an hour, and not more than the lookback. The config's `hot.ms`
   * overrides it. Older rows are read again at intervals of a quarter of their age.
   */
  readonly hotMs?: number
  /** How far back rows may still change, milliseconds; 0: rows never change once shown. The config's `lookback.ms` overrides it. */
  readonly lookbackMs: number
  /** The longest time between two reads of a row that is older than `hotMs` and inside the lookback, milliseconds. Default 12 h. */
  readonly lookbackIntervalMs?: number
  /** Overrides the manifest's poll interval for this stream, milliseconds. */
  readonly pollIntervalMs?: number
  /** Whether a `resume` still works after a restart. If not, the window starts again and deduplication drops the repeats. */
  readonly durableResume: boolean
  /** The resume of one window continues in the next: a stream that is read by the vendor's own cursor (`poll`). Default false. */
  readonly keepsCursor?: boolean
}

/** `[fromMs, untilMs)`, epoch milliseconds. */
export interface Window {
  readonly fromMs: number
  readonly untilMs: number
}

export interface Page {
  /** As the vendor sent them; each is decoded on its own. */
  readonly rows: readonly unknown[]
  /** Continues the listing after this page; null after the last. A page without rows is fine. */
  readonly resume: Json
}

export interface ReadArgs {
  readonly config: never
  readonly scope: Scope
  readonly window: Window
  readonly resume: Json
  /** true: all of the window was read before, and is read again for changes. Absent or false: it may have rows that were never read. */
  readonly again?: boolean
  /** When this read began, epoch milliseconds: for vendors that treat old windows differently. */
  readonly nowMs: number
  readonly http: Http
}

export interface EnrichArgs {
  readonly config: never
  readonly scope: Scope
  readonly rows: readonly never[]
  /** When this call began, epoch milliseconds: no returned data is younger than its answers. */
  readonly nowMs: number
  readonly http: Http
  /**
   * Writes an unusable row of the enrichment to the dead letters, as it came; the rows of the page continue. Absent where dead letters are not written (`peek`,
   * a redrive).
   *
   * @param fault.path The wrong field. @param fault.hint What is wrong with it, in words that contain no value of the row.
   */
  readonly reject?: (row: unknown, fault: { readonly path: string; readonly hint: string }) => void
  /**
   * `transferred_at` of the row's session as it was first published, epoch milliseconds; null: it has none yet, or is no longer remembered. For vendors that
   * show a better time later: keep this one, because the time of a transfer must not move. It also saves the request for it.
   *
   * @param rowId As `identify` returns it. Absent: the caller remembers nothing.
   */
  readonly transferredAt?: (rowId: string) => number | null
}

export interface FactsArgs {
  readonly config: never
  readonly http: Http
  /** The effective rules. */
  readonly transfers: Transfers
}

export type RecordKind = 'session' | 'message' | 'event'

/** A record as a connector builds it, with `revision` 1; the framework sets the true revision. `said` is for `transfer.rules` only. */
export type Draft =
  | { readonly kind: 'session'; readonly record: Session; readonly said?: Said }
  | { readonly kind: 'message'; readonly record: Message; readonly said?: Said }
  | { readonly kind: 'event'; readonly record: Event; readonly said?: Said }

export interface HttpSpec {
  /** API root, no trailing slash. Absolute links are followed on its host only. */
  readonly baseUrl: string
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Credentials that are minted or refreshed. `headers` is called before each request, and may fetch a first token or a replacement for a used-up one;
   * `refresh` is called when the vendor answers 401, before the request is retried: once per request, and again if other requests succeeded with the
   * credentials that are now rejected. `fetch` makes a request without authorisation (to a token endpoint, on any host that the config names). All streams and
   * scopes of a connector share one value of this.
   */
  readonly auth?: {
    headers(at: AuthArgs): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
    refresh?(fetch: PlainFetch, signal: AbortSignal, at: AuthArgs): Promise<void>
  }
  /** Classifies a vendor's own error answers, where status alone is not enough. */
  classify?(answer: {
    status: number
    headers: Readonly<Record<string, string>>
    body: unknown
    /** Time of the answer, epoch milliseconds: for vendors that return a time to wait until. */
    nowMs: number
  }): Classified | undefined
  /** The JSON text in an answer that is not JSON, for vendors whose server is known to write something before it; undefined: there is none. */
  jsonIn?(text: string): string | undefined
  /** Largest answer, bytes after decompression. Default 64 MiB. */
  readonly maxBytes?: number
  /** For one request, from start to the last byte, milliseconds. Default 60_000. */
  readonly timeoutMs?: number
  /** Attempts of one request before its error is passed on, the first included. Default 5. */
  readonly tries?: number
}

/** Meaning of an answer of the vendor that is not a page. */
export interface Classified {
  readonly code: ErrorCode
  /** In the error's details, to branch on. */
  readonly vendorCode?: string
  /** How long to wait before the next attempt, milliseconds. Above 15 min, or an hour with `allowance`, the vendor is asked again all the same. */
  readonly waitMs?: number
  /** `day`: according to the vendor's docs, the daily allowance is used up. */
  readonly allowance?: 'day'
  readonly hint?: string
}

export interface AuthArgs {
  /** Epoch milliseconds. */
  readonly nowMs: number
  readonly fetch: PlainFetch
  readonly signal: AbortSignal
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
  /**
   * Result for a 204, for a status in `emptyStatus`, or for a success without a body. Without it such an answer is SRC_MALFORMED, and so is any other answer
   * without a body: it may have been lost.
   */
  readonly empty?: T
  readonly emptyStatus?: readonly number[]
  /** false: the request moves the vendor's own cursor, so it is not repeated when its answer was lost, but its error passed on. Default true. */
  readonly repeatable?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** The path as shown in errors and logs, where it contains an id of a person or a conversation: `/conversations/{id}`. */
  readonly shownPath?: string
}
