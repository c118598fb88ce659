/** All events of a window of `GET /v1/bots/{bot_id}/events/stream`, and their conversations. */
import { z } from 'zod'
import { FlowError, type Http, objectOf, text, type Window } from '../../src/source/index.ts'
import { answered, isAnswer } from './answer.ts'
import { instant, keyOf, type Thread, threadsOf } from './rows.ts'
import type { Bot } from './scopes.ts'

/** Two streams read events, neither of which may keep more than this in memory: a window with more is halved, as far as possible. */
const MOST_EVENTS = 50_000

/** Further pages with nothing but malformed rows like those of earlier pages, before the listing counts as stuck. */
const MOST_BARREN = 100

/** Only what paging needs. An empty list may be absent. */
const EventsPage = z
  .looseObject({ events: z.array(z.unknown()).nullish(), next_page_token: z.unknown().optional() })
  .refine(body => isAnswer(body, body.events, ['events', 'next_page_token']))

/**
 * Every event with `from ≤ timestamp < until`, each once, in order of time, then id. The order of the listing is not documented, nor is the effect of events
 * added meanwhile, so nothing is returned before its end.
 *
 * `start_time` is documented as inclusive and `end_time` as exclusive; the request is a millisecond longer at each end, and what is outside is dropped, so that
 * neither matters.
 *
 * @throws FlowError SRC_MALFORMED when the listing is stuck: a token comes again, or a page with nothing new.
 */
export async function eventsIn(options: {
  readonly bot: Bot
  readonly window: Window
  readonly smallestMs: number
  readonly pageSize: number
  readonly http: Http
}): Promise<unknown[]> {
  const { bot, window, http } = options
  const path = `${bot.path}/events/stream`
  const query = {
    version: bot.version,
    start_time: new Date(window.fromMs - 1).toISOString(),
    end_time: new Date(window.untilMs).toISOString(),
    page_size: options.pageSize,
  }
  const found = new Map<string, unknown>()
  const tokens = new Set<string>()
  let barren = 0
  for (let token: string | null = null; ; ) {
    const page = await eventsPage(http, path, { ...query, page_token: token })
    const events = page.events ?? []
    const before = found.size
    for (const event of events) found.set(keyOf(event), event)
    const isBarren = token !== null && events.length > 0 && found.size === before
    if (isBarren && (events.some(hasTime) || ++barren > MOST_BARREN))
      throw new FlowError('SRC_MALFORMED', { path, hint: 'a further page of events has nothing new' })
    if (found.size > MOST_EVENTS && window.untilMs - window.fromMs > options.smallestMs)
      throw new FlowError('SRC_WINDOW_TOO_LARGE', { path, events: found.size })
    token = text(page.next_page_token)
    if (token === null) break
    if (tokens.has(token))
      throw new FlowError('SRC_MALFORMED', { path, hint: 'next_page_token leads back to a page that was read' })
    tokens.add(token)
  }
  return inOrder([...found], window)
}

/**
 * The events of a window, and their sessions: conversations, split where one rested for longer than `gapMs`.
 *
 * When a window is read again, only sessions whose last event is in it. Others continue after its end, and the window with their end has them; so events are
 * listed up to `gapMs` further, to distinguish the two. In a window that may never have been read, each part of a session counts: no other window has it.
 */
export async function sessionsIn(options: {
  readonly bot: Bot
  readonly window: Window
  readonly again: boolean
  readonly gapMs: number
  readonly nowMs: number
  readonly smallestMs: number
  readonly pageSize: number
  readonly http: Http
}): Promise<{ readonly events: unknown[]; readonly sessions: Thread[] }> {
  const { window, again, gapMs, nowMs, smallestMs } = options
  const untilMs = again ? Math.max(window.untilMs, Math.min(window.untilMs + gapMs, nowMs)) : window.untilMs
  const listed = await eventsIn({
    ...options,
    window: { fromMs: window.fromMs, untilMs },
    smallestMs: smallestMs + untilMs - window.untilMs,
  })
  return {
    events: listed.filter(event => !(timeOf(event) >= window.untilMs && timeOf(event) < untilMs)),
    sessions: threadsOf(listed, gapMs).filter(({ lastMs }) => lastMs < window.untilMs),
  }
}

/** The vendor's answer to an expired token is not documented; if the request works without the token, an error with it means that. */
async function eventsPage(
  http: Http,
  path: string,
  query: Readonly<Record<string, string | number | null>>,
): Promise<z.output<typeof EventsPage>> {
  try {
    return await answered<z.output<typeof EventsPage>>(
      empty => http.getJson(path, query, EventsPage, { empty }),
      {},
      ({ events }) => events,
    )
  } catch (error) {
    if (query['page_token'] !== null && error instanceof FlowError && error.code === 'SRC_REFUSED')
      throw new FlowError('SRC_RESUME_EXPIRED', error.details, error)
    throw error
  }
}

function hasTime(event: unknown): boolean {
  return timeOf(event) !== Infinity
}

/** Epoch milliseconds; Infinity: it has none. */
function timeOf(event: unknown): number {
  return instant(objectOf(event)['timestamp']) ?? Infinity
}

/** Those without a time come last: they become dead letters. */
function inOrder(found: readonly (readonly [key: string, event: unknown])[], { fromMs, untilMs }: Window): unknown[] {
  return found
    .map(([key, event]) => ({ key, event, atMs: timeOf(event) }))
    .filter(({ atMs }) => atMs === Infinity || (fromMs <= atMs && atMs < untilMs))
    .sort((a, b) => (a.atMs === b.atMs ? (a.key < b.key ? -1 : 1) : a.atMs - b.atMs))
    .map(({ event }) => event)
}
