/** A window of `GET /v1/bots/{bot_id}/events/stream`, whole; and the conversations in it. */
import { z } from 'zod'
import { FlowError, type Http, objectOf, text, type Window } from '../../src/source/index.ts'
import { answered, isAnswer } from './answer.ts'
import { instant, keyOf, type Thread, threadsOf } from './rows.ts'
import type { Bot } from './scopes.ts'

/** Two streams read events, neither of which may keep more than this in memory: a window that holds more is halved, as far as it can be. */
const MOST_EVENTS = 50_000

/** Further pages that may hold nothing but malformed rows like those of earlier pages, before the listing counts as one that does not go on. */
const MOST_BARREN = 100

/** Only what paging needs. A list that is empty may be absent. */
const EventsPage = z
  .looseObject({ events: z.array(z.unknown()).nullish(), next_page_token: z.unknown().optional() })
  .refine(body => isAnswer(body, body.events, ['events', 'next_page_token']))

/**
 * Every event with `from ≤ timestamp < until`, each once, in order of time, then id. The order of the listing is not documented, nor is what happens
 * to it when an event comes in between, so nothing is given out before its end.
 *
 * `start_time` is documented as inclusive and `end_time` as exclusive; it is asked for a millisecond more, and what lies outside is left out, so that
 * neither matters.
 *
 * @throws FlowError SRC_MALFORMED when the listing does not go on: a token comes again, or a page that holds nothing new.
 */
export async function eventsIn(of: {
  readonly bot: Bot
  readonly window: Window
  readonly smallestMs: number
  readonly pageSize: number
  readonly http: Http
}): Promise<unknown[]> {
  const { bot, window, http } = of
  const path = `${bot.path}/events/stream`
  const query = {
    version: bot.version,
    start_time: new Date(window.fromMs - 1).toISOString(),
    end_time: new Date(window.untilMs).toISOString(),
    page_size: of.pageSize,
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
      throw new FlowError('SRC_MALFORMED', { path, hint: 'a further page of events holds nothing new' })
    if (found.size > MOST_EVENTS && window.untilMs - window.fromMs > of.smallestMs)
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
 * The events of a window, and the sessions that they are of: conversations, cut where one rested for longer than `gapMs`.
 *
 * Of a window that is read again, only sessions whose last event lies in it. Others go on after its end, and a window that holds that end shows them; so events are
 * listed up to `gapMs` further, to tell the two apart. In a window that may never have been read, each part of a session counts: no other window has it.
 */
export async function sessionsIn(of: {
  readonly bot: Bot
  readonly window: Window
  readonly again: boolean
  readonly gapMs: number
  readonly nowMs: number
  readonly smallestMs: number
  readonly pageSize: number
  readonly http: Http
}): Promise<{ readonly events: unknown[]; readonly sessions: Thread[] }> {
  const { window, again, gapMs, nowMs, smallestMs } = of
  const untilMs = again ? Math.max(window.untilMs, Math.min(window.untilMs + gapMs, nowMs)) : window.untilMs
  const listed = await eventsIn({
    ...of,
    window: { fromMs: window.fromMs, untilMs },
    smallestMs: smallestMs + untilMs - window.untilMs,
  })
  return {
    events: listed.filter(event => !(timeOf(event) >= window.untilMs && timeOf(event) < untilMs)),
    sessions: threadsOf(listed, gapMs).filter(({ lastMs }) => lastMs < window.untilMs),
  }
}

/** The vendor's answer to a token that it no longer knows is not documented; a request that it took without one can only be refused for it. */
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

/** Those without a time come last: they are for rejects. */
function inOrder(found: readonly (readonly [key: string, event: unknown])[], { fromMs, untilMs }: Window): unknown[] {
  return found
    .map(([key, event]) => ({ key, event, atMs: timeOf(event) }))
    .filter(({ atMs }) => atMs === Infinity || (fromMs <= atMs && atMs < untilMs))
    .sort((a, b) => (a.atMs === b.atMs ? (a.key < b.key ? -1 : 1) : a.atMs - b.atMs))
    .map(({ event }) => event)
}
