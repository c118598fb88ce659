/**
 * What a connector is. Vendors own the wire, the framework owns time: a connector says how to read one window of one stream and what a row
 * means; when, how often, with what patience and under which quota is the framework's affair.
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

/** A connector, with its config type and its streams' row types erased: what the framework holds. */
// biome-ignore lint: the erased form is what plugins of any config and row type are assignable to
export interface Connector {
  readonly manifest: Manifest
  /** A strict zod object in camelCase; the file's dotted keys are mapped by one rule. Secrets carry `.meta({ secret: true })`, all a description. */
  readonly config: z.ZodObject
  /** How requests are made. Called once per task start. */
  http(config: never): HttpSpec
  readonly streams: Readonly<Record<string, Stream>>
  /**
   * Whether a transfer to a person can be seen with this config and these rules. Absent: always. False: `check` says so, and the measures that count
   * transfers are null for its bots, not 0. Pure.
   */
  tellsTransfers?(config: never, rules: Transfers): boolean
  /** What the account has that helps to write its config, such as names that rules may match: one line each, printed by `check`. No secrets, no persons. */
  facts?(args: FactsArgs): Promise<readonly string[]>
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
  /** Where persons stand in the vendor's data. Absent: `pii.policy: standard` has the built-in rules only, and rejected rows are hidden but for their shape. */
  readonly pii?: PiiSpec
  /** A documented limit of requests a day, where the vendor counts it by something that is bought. `check` holds the schedule against it; nothing is slowed down. */
  readonly dailyLimit?: DailyLimit
  /** The vendor's own documented definition of a transfer, as rules of `transfer.rules`. Rules in the config replace all of these. */
  readonly transferRules?: readonly string[]
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
  /**
   * What the quota is counted by: a config key (camelCase) such as `accessToken`, or something that only the connector can tell, such as the bot
   * of a scope. All streams, tasks and connectors of one process that tell the same share one quota. Absent: the connector.
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
  /** How many units the config says there are; null: not known. Pure. */
  units(config: never): number | null
}

export interface SharedBy {
  /** For people, after "counted by": `bot`, say. */
  readonly what: string
  of(config: never, scope: Scope): string
}

export interface Stream {
  /** How time is cut for this stream. A function where it depends on the config. */
  readonly window: WindowSpec | ((config: never) => WindowSpec)
  /**
   * The kinds of records that the stream gives; completeness of each is told by the streams that give it. Default: all where the stream gives or
   * derives the sessions, else messages and events.
   */
  readonly gives?: readonly RecordKind[]
  /** The parts that have a cursor of their own (bots, accounts). Default: the one scope named like the account. */
  scopes?(config: never, account: string): readonly Scope[]
  /** One row. A row that does not parse goes to rejects with its issues, and its page goes on. */
  readonly row: z.ZodType
  /** `row` with this config, where the config names the row's fields. Default: `row`. Pure. */
  rowFor?(config: never): z.ZodType
  /**
   * Every row whose time lies in `window`, page by page. Rows outside may be yielded too (vendors differ at the edges); versions drop repeats.
   * `resume` is null at the start of a window, else what an earlier page yielded. Throws FlowError SRC_RESUME_EXPIRED when the vendor no longer
   * knows it (the framework starts the window again) and SRC_WINDOW_TOO_LARGE when the vendor says so (the framework halves the window).
   */
  read(args: ReadArgs): AsyncIterable<Page>
  /** The dearer second call (messages of sessions, details), made only for rows that are new or changed. Same rows, same order, richer. */
  expand?(args: ExpandArgs): Promise<readonly unknown[]>
  /** Most rows of one `expand`. Default 100. */
  readonly expandRows?: number
  /** Asked after `expand`: the id of another row that stood for the same records until this one came; what is remembered of it goes on. Null: none. */
  formerId?(row: never): string | null
  /** For rows whose end is told: while they are open they are asked for by id, inside the lookback at each poll, and beyond it until they are done. */
  readonly follow?: Follow
  /** A cheap listing by time of change, which names rows of this stream that are to be read again now. */
  readonly changes?: Changes
  /** The time by which `read` finds the row, epoch milliseconds, where `changes` gives ids. Pure. */
  timeOf?(row: never): number
  /** What reading takes beside one request for each window and each poll of `changes` and `follow`, for `check` to count and name. Default: nothing. Pure. */
  requestsBeside?(config: never): RequestsBeside
  /** For rows that tell turns of conversations where the vendor gives no sessions: the framework makes them. Null: not with this config. */
  derive?(config: never): Derive | null
  /** What the row is: stable over re-reads, unique in stream and scope. */
  identify(row: never): string
  /**
   * For rows that are several views of one thing (the sessions of one thread, say), each with a mark of its own, that may show the same records: an id for all of
   * these views, which is no row's id. What was published of any of them is remembered under it, so that no record is published twice. Absent: rows share nothing. Pure.
   */
  sharedId?(row: never): string
  /**
   * What counts as a change of the row, as text or as a JSON value that is hashed: leave out what changes without meaning. Default: the whole row.
   */
  fingerprint?(row: never, ctx: RowContext): Json
  /** The records in a row. Pure. Throws FlowError ROW_UNMAPPABLE (with `path`) for a row that cannot be told. */
  normalise(row: never, ctx: RowContext): readonly Draft[]
}

/** See `Stream.requestsBeside`. Figures are counted into the schedule, so they must be certain with this config. */
export interface RequestsBeside {
  /** Further requests for each window (further lists, look-ups). Default 0. */
  readonly perWindow?: number
  /** Further requests at each poll, for the window of what is new alone. Default 0. */
  readonly perPoll?: number
  /** false: with this config `changes` makes no request. Default true. */
  readonly asksChanges?: boolean
  /** What depends on the traffic and so cannot be counted before, in words: "one request for each new or changed row". */
  readonly unknown?: readonly string[]
}

/**
 * See `Stream.changes`. A hint, never the truth: rows that it does not name are read again all the same, by their age. Where it fails, whatever with, a line in
 * the log says so, and windows are read as if there were none.
 */
export interface Changes {
  /** The rows that changed in the window; some that did not, or that are not known, do no harm. */
  read(args: Omit<ReadArgs, 'resume' | 'again'>): Promise<Changed>
  /** A change may appear in the listing so much later than its time, milliseconds. */
  readonly lagMs: number
  /** Rows whose times are no further apart are read in one window, milliseconds; about what a page of the stream spans. Default 0. */
  readonly joinMs?: number
}

/** Rows, by their ids (of `identify`), or by windows of `read` that hold them. */
export interface Changed {
  readonly ids?: readonly string[]
  readonly windows?: readonly Window[]
}

/**
 * See `Stream.follow`. Open rows inside the lookback that no window has read since the last poll are asked for at each poll; those that have left it at
 * most once every lookback interval.
 */
export interface Follow {
  /** Whether the vendor may still change the row. Asked of the row as it was published last. Pure. */
  isOpen(row: never, ctx: RowContext): boolean
  /** The rows with these ids (of `identify`) as the vendor shows them now, in any order; ids that it no longer knows are left out. */
  read(args: FollowArgs): Promise<readonly unknown[]>
  /** Most ids of one `read`. */
  readonly atOnce: number
  /** A row is given up when it left the lookback so long ago, milliseconds. */
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
 * Sessions made of turns by inactivity gap. Each lane of the source partition is read in order of time then, and
 * `normalise` finds the row's session in `ctx.derived`. Sessions live with the versions, in the same transactions, so a restart or a window
 * read again changes nothing: a row counts once.
 *
 * A session is OPEN with no end until everything up to its last turn and the gap has been read, then CLOSED with `ended_at` at its last turn
 * (`ended_at_estimated`). Containment is AGENT or UNKNOWN. Its channel, language and the like are those of the first turn that tells them.
 *
 * A turn that comes late extends its session, backwards too, without changing its id. Two sessions that turn out to be one are merged: the one
 * that began later is withdrawn (null value), and stands in attribute `merged_sessions` of the other; messages and events that were published
 * with its key stay as they are.
 */
export interface Derive {
  /** A silence longer than this ends a session, milliseconds. */
  readonly gapMs: number
  /** What the row says of its conversation; null: the row belongs to no session, and `ctx.derived` is null for it. Pure. */
  turn(row: never, ctx: RowContext): Turn | null
  /** The id of a new session, from what is known when it is published first; must differ for different `key`, `firstAtMs`, `part`. Default: a hash of the three. Pure. */
  sessionId?(of: { readonly key: string; readonly firstAtMs: number; readonly part: string | null }): string
  /** false: another stream tells the sessions, by the ids that `sessionId` gives, which must be there then; turns only find out which one they belong to. Default true. */
  readonly publishes?: boolean
}

export interface Turn {
  /** The thread of conversation: turns of different keys are never one session. Holds whatever keeps bots and versions apart. */
  readonly key: string
  /** Epoch milliseconds. */
  readonly atMs: number
  /** Turns of different parts are never one session, however close; null goes with any. */
  readonly part?: string | null
  /** A conversation of this key is known to have ended then, epoch milliseconds: the turn joins no session whose last turn is not later. */
  readonly afterMs?: number | null
  readonly botId: string
  /** The vendor's word. */
  readonly channel: string | null
  readonly language?: string | null
  /** What the row adds to the session's counts. null or absent: these are not known, and the session says null unless another turn knows. */
  readonly userMessages?: number | null
  readonly botMessages?: number | null
  readonly agentMessages?: number | null
  /** The first turn that tells one decides. */
  readonly userId?: string | null
  readonly channelUserId?: string | null
  readonly queue?: string | null
  readonly agentId?: string | null
  readonly agentName?: string | null
  readonly isTest?: boolean | null
  /**
   * True: the conversation was handed to a person with this turn: containment AGENT, `transferred_at` the first such turn. Once published, that time stays, also where
   * an earlier turn of the kind comes late.
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
  /** The one bot that the scope stands for; null: all bots of the account. */
  readonly botId: string | null
}

export interface WindowSpec {
  /** Longest window that one `read` may be asked for, milliseconds; Infinity: no limit. */
  readonly longestMs: number
  /** Windows are never halved below this, milliseconds. Default 1000. */
  readonly smallestMs?: number
  /** Safety lag: rows may appear so much later than their time, milliseconds. What there is is read up to now; what is promised ends so long before. */
  readonly lagMs: number
  /** What is younger than `lagMs` is no row yet but a figure that is still being made up (statistics of the hour, say), and is not read. Default false. */
  readonly settles?: boolean
  /**
   * How young a row must be to be read again at every poll, milliseconds; 0: none. Default an hour, and not more than the lookback. The config's `hot.ms`
   * replaces it. Older rows are read again at pauses of a quarter of their age.
   */
  readonly hotMs?: number
  /** How far back rows may still change, milliseconds; 0: rows never change once shown. The config's `lookback.ms` replaces it. */
  readonly lookbackMs: number
  /** The longest time between two readings of a row that is older than `hotMs` and inside the lookback, milliseconds. Default 12 h. */
  readonly lookbackIntervalMs?: number
  /** Replaces the manifest's pace for this stream, milliseconds. */
  readonly pollIntervalMs?: number
  /** Whether a `resume` still works after a restart. Where it does not, the window starts again and versions drop the repeats. */
  readonly durableResume: boolean
  /** The resume of one window continues the next: a stream that is read by the vendor's own cursor (`poll`). Default false. */
  readonly keepsCursor?: boolean
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
  /** true: all of the window was read before, and is read again for what has changed since. Absent or false: it may hold rows that were never read. */
  readonly again?: boolean
  /** When this read began, epoch milliseconds: for vendors that treat old windows otherwise. */
  readonly nowMs: number
  readonly http: Http
}

export interface ExpandArgs {
  readonly config: never
  readonly scope: Scope
  readonly rows: readonly never[]
  /** When this call began, epoch milliseconds: nothing that it tells is younger than its answers. */
  readonly nowMs: number
  readonly http: Http
  /**
   * Puts a row of the second call that cannot be used to rejects, as it came; the rows in hand go on. Absent where rejects are not written (`peek`, a redrive).
   *
   * @param fault.path The field at fault. @param fault.hint What is wrong with it, in words that hold no value of the row.
   */
  readonly reject?: (row: unknown, fault: { readonly path: string; readonly hint: string }) => void
  /**
   * `transferred_at` of the row's session as it was first published, epoch milliseconds; null: it has none yet, or is no longer remembered. For vendors
   * that show a better time later: keep this one, because the time of a transfer must not move. It saves the request for it, too.
   *
   * @param rowId As `identify` returns it. Absent: the caller remembers nothing.
   */
  readonly transferredAt?: (rowId: string) => number | null
}

export interface FactsArgs {
  readonly config: never
  readonly http: Http
  /** The rules in force. */
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
   * Credentials that are minted or refreshed. `headers` is asked before each request, and may fetch a first token or one in place of a spent
   * one; `refresh` is called when the vendor answers 401, before the request is tried again: once a request, and again when other requests were
   * answered with what is now refused. `fetch` makes a request without authorisation (to a token endpoint, on any host that the config names). One
   * value of this serves all streams and scopes of a connector.
   */
  readonly auth?: {
    headers(at: AuthArgs): Readonly<Record<string, string>> | Promise<Readonly<Record<string, string>>>
    refresh?(fetch: PlainFetch, signal: AbortSignal, at: AuthArgs): Promise<void>
  }
  /** Tells a vendor's own error answers apart, where status alone does not. */
  classify?(answer: {
    status: number
    headers: Readonly<Record<string, string>>
    body: unknown
    /** When the answer came, epoch milliseconds: for vendors that tell a time to wait until. */
    nowMs: number
  }): Classified | undefined
  /** The JSON text in an answer that is not JSON, for vendors whose server is known to write something before it; undefined: there is none. */
  jsonIn?(text: string): string | undefined
  /** Largest answer, bytes after decompression. Default 64 MiB. */
  readonly maxBytes?: number
  /** For one request, from start to the last byte, milliseconds. Default 60_000. */
  readonly timeoutMs?: number
  /** Tries of one request before its error is passed on, the first included. Default 5. */
  readonly tries?: number
}

/** What an answer of the vendor means that is no page. */
export interface Classified {
  readonly code: ErrorCode
  /** In the error's details, to branch on. */
  readonly vendorCode?: string
  /** How long to wait before the next try, milliseconds. Above 15 min, or an hour with `allowance`, the vendor is asked again all the same. */
  readonly waitMs?: number
  /** `day`: the vendor's document says that what may be asked in a day is spent. */
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
   * What 204 stands for, or a status in `emptyStatus`, a good one where it comes without a body. Without it such an answer is SRC_MALFORMED, and so is any
   * other answer without a body: it may have lost it.
   */
  readonly empty?: T
  readonly emptyStatus?: readonly number[]
  /** false: asking moves the vendor's own cursor, so a request whose answer was lost is not made again but its error passed on. Default true. */
  readonly repeatable?: boolean
  readonly headers?: Readonly<Record<string, string>>
  /** How errors and logs name the path, where it holds an id of a person or a conversation: `/conversations/{id}`. */
  readonly shownPath?: string
}
