/**
 * Streams that the vendor pages by its own cursor: a token stored on its server, a sequence number (`after=…`). Only the cursor is kept; no window is
 * requested, and rows come in the vendor's order, each once, also changed ones.
 *
 * For the framework it is a listing whose resume token never ends: a window reaches from one poll to the next, and the next one continues by the cursor.
 */
import type { Http, Json, ReadArgs, Scope, WindowSpec } from './contract.ts'

export interface PollArgs<C = never> {
  readonly config: C
  readonly scope: Scope
  /** From the last page; null: there is none yet, or the vendor has forgotten it (SRC_RESUME_EXPIRED). */
  readonly cursor: Json
  /** Without a cursor: everything from here on is wanted, epoch milliseconds. */
  readonly sinceMs: number
  /** When this poll began, epoch milliseconds. */
  readonly nowMs: number
  readonly http: Http
}

export interface PolledPage {
  /** As the vendor sent them; each is decoded on its own. */
  readonly rows: readonly unknown[]
  /** The cursor for the next request; not null. Unchanged if nothing came. */
  readonly cursor: Json
}

/** How often a stream with a cursor is polled, and what a poll promises. */
export interface CursorSpec {
  /** How much later than its time a row may come, milliseconds: completeness is promised only up to this long ago. */
  readonly lagMs: number
  /** A row that comes again within this time is a revision of the published one, milliseconds; `lookback.ms` overrides it. Default two days. */
  readonly lookbackMs?: number
  /** Overrides the manifest's poll interval, milliseconds. */
  readonly pollIntervalMs?: number
}

/** `window` and `read` of a stream with a cursor. `poll` yields pages until there is nothing more; the generator's end is the end of the poll. */
export function byCursor(
  { lagMs, lookbackMs = 172_800_000, pollIntervalMs }: CursorSpec,
  poll: (args: PollArgs) => AsyncIterable<PolledPage>,
): { readonly window: WindowSpec; read(args: ReadArgs): AsyncIterable<{ rows: readonly unknown[]; resume: Json }> } {
  return {
    window: {
      longestMs: Infinity,
      lagMs,
      hotMs: 0,
      lookbackMs,
      durableResume: true,
      keepsCursor: true,
      ...(pollIntervalMs === undefined ? {} : { pollIntervalMs }),
    },
    async *read({ window, resume, ...args }) {
      for await (const { rows, cursor } of poll({ ...args, cursor: resume, sinceMs: window.fromMs }))
        yield { rows, resume: cursor }
    },
  }
}
