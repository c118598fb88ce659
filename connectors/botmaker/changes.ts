/**
 * The sessions with new messages, from `GET /messages`: the only listing of v2 by time of change. It is only a hint: an event without a message does not appear
 * here, nor does what is left out when there is too much. The passes over `/sessions` still come.
 *
 * The vendor's API description: sorted by `creationTime`, `limit` from 250 to 1500 (pages of 1000 at most), 5 requests/s, three days at most without
 * `long-term-search`, and each message with `sessionId`, made of `chat.chatId`, `_` and `sessionCreationTime`. One client has seen no session id.
 */
import { FlowError, type Http, instant, text, type Window } from '../../src/source/index.ts'
import { longTerm, pagesOf, rootOf } from './pages.ts'

interface Args {
  readonly config: {
    readonly baseUrl?: string | undefined
    readonly apiVersion: 'v1' | 'v2'
    readonly longTermAfterMs: number
  }
  readonly http: Http
  /** Times of messages. */
  readonly window: Window
  /** Default: the end of the window. */
  readonly nowMs?: number
}

const PAGE_ROWS = 1000
/** About 5,000 messages: more in one poll interval is a backlog, which the passes read. */
const MOST_PAGES = 5

/**
 * Ids of the sessions with a message in the window, each once, the newest last. Empty if the vendor does not return them, and for v1, which has no such
 * listing.
 *
 * An id may have less precision than in `/sessions` (`…_2021-01-01T00:00:00Z` for `…00.000Z`): find the session by `startsOf`.
 *
 * @throws FlowError of the vendor, when the call fails before any id was found.
 */
export async function changedSessions({ config, http, window, nowMs = window.untilMs }: Args): Promise<readonly string[]> {
  if (config.apiVersion === 'v1' || window.fromMs >= window.untilMs) return []
  const query = {
    from: new Date(window.fromMs).toISOString(),
    to: new Date(window.untilMs).toISOString(),
    limit: PAGE_ROWS,
    ...longTerm(window.fromMs, nowMs, config.longTermAfterMs),
  }
  const ids = new Set<string>()
  let pages = 0
  try {
    for await (const { items } of pagesOf({ http, root: rootOf(config), path: '/messages', query })) {
      for (const item of items) {
        const id = sessionIdOf(item)
        if (id === null) continue
        ids.delete(id)
        ids.add(id)
      }
      if (++pages >= MOST_PAGES) break
    }
  } catch (error) {
    if (!(error instanceof FlowError) || error.code === 'STOPPED' || ids.size === 0) throw error
  }
  return [...ids]
}

/** `sessionId`, or the two parts it consists of. */
function sessionIdOf(item: unknown): string | null {
  if (typeof item !== 'object' || item === null) return null
  const { sessionId, sessionCreationTime, chat } = item as Readonly<Record<string, unknown>>
  const { chatId } = (typeof chat === 'object' && chat !== null ? chat : {}) as Readonly<Record<string, unknown>>
  const [id, start, contact] = [text(sessionId), text(sessionCreationTime), text(chatId)]
  return id ?? (start === null || contact === null || instant(start) === null ? null : `${contact}_${start}`)
}

const SECOND_MS = 1000
const MINUTE_MS = 60_000

/**
 * The windows of `/sessions` that contain these sessions: the time is part of an id, to the millisecond or to the second. Windows within a minute of each other
 * are joined, because a request costs more than the rows in between. Ids without a time are left out.
 */
export function startsOf(ids: readonly string[]): readonly Window[] {
  const starts = ids.map(startOf).filter(start => start !== null)
  starts.sort((a, b) => a.fromMs - b.fromMs)
  const windows: { fromMs: number; untilMs: number }[] = []
  for (const { fromMs, untilMs } of starts) {
    const last = windows.at(-1)
    if (last && fromMs - last.untilMs <= MINUTE_MS) last.untilMs = Math.max(last.untilMs, untilMs)
    else windows.push({ fromMs, untilMs })
  }
  return windows
}

function startOf(id: string): Window | null {
  const time = id.slice(id.lastIndexOf('_') + 1)
  const fromMs = instant(time)
  if (fromMs === null || !/^\d{4}-/.test(time)) return null
  return { fromMs, untilMs: fromMs + (/\.\d/.test(time) ? 1 : SECOND_MS) }
}
