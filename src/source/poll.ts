/**
 * Streams that the vendor pages by a cursor of its own: a token that lives on its server, a sequence number (`after=…`). The place is all that is kept;
 * no window is asked for, and rows come in the vendor's order, each once, also those that changed.
 *
 * For the framework it is a listing whose resume never ends: one window reaches from one poll to the next, and the next one goes on by the cursor.
 */
import type { Http, Json, ReadArgs, Scope, WindowSpec } from './contract.ts'

export interface PollArgs<C = never> {
  readonly config: C
  readonly scope: Scope
  /** As the last page gave it; null: there is none yet, or the vendor has forgotten it (SRC_RESUME_EXPIRED). */
  readonly cursor: Json
  /** Where there is no cursor: everything from here on is wanted, epoch milliseconds. */
  readonly sinceMs: number
  /** When this poll began, epoch milliseconds. */
  readonly nowMs: number
  readonly http: Http
}

export interface PolledPage {
  /** As the vendor gave them; each is decoded on its own. */
  readonly rows: readonly unknown[]
  /** What the vendor is asked by next time; not null. The same as before where nothing has come. */
  readonly cursor: Json
}

/** How often a stream with a cursor is polled, and what a poll promises. */
export interface CursorSpec {
  /** Rows may come so much later than their time, milliseconds: what a poll promises ends so long before it. */
  readonly lagMs: number
  /** A row that comes again within so long is a revision of what was published, milliseconds; `lookback.ms` replaces it. Default two days. */
  readonly lookbackMs?: number
  /** Replaces the manifest's pace, milliseconds. */
  readonly pollIntervalMs?: number
}

/** `window` and `read` of a stream with a cursor. `poll` gives pages until there is nothing more; the generator's end is the end of the poll. */
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
