/**
 * Enrichment: messages of sessions and, if configured, the time when an agent took over. Messages come from `POST getMessagesV2` (`getMessages` for v1 and
 * account-wide), by session ids within ranges of less than 7 days, oldest first, so that new ones are added at the end. No `channelType`: the docs name `rtm`
 * as its default for GET only.
 */
import { z } from 'zod'
import {
  FlowError,
  type Http,
  instant,
  inUrl,
  iso,
  listing,
  type Place,
  realTime,
  split,
  type Window,
} from '../../src/source/index.ts'
import type { Config } from './config.ts'
import { NOTHING_FOUND } from './errors.ts'
import { listPage, pageSchema } from './listing.ts'
import { type Conversation, isHandedOver, type Turn, turnOf } from './rows.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Ranges must be less than 7 days, both ends included. */
const RANGE_MS = 7 * DAY_MS - HOUR_MS
/** Messages may be a little older than the start, and newer than the end, of their session. */
const MARGIN_MS = 5 * MINUTE_MS
const AFTER_END_MS = HOUR_MS
/** For an inactive session without an end, messages are requested this far beyond its start: sessions that began within a day then make one range. */
const REACH_MS = 6 * DAY_MS - 2 * HOUR_MS
/** Sessions that are followed are at most this much older than the lookback. */
export const FOLLOWED_MS = 15 * DAY_MS
/** Longest span of a session's times: a time that is wrong by years must not be searched week by week. */
const LONGEST_MS = 60 * DAY_MS
/** How often a listing that has shifted is read again. */
const READINGS = 3

export interface Vendor {
  readonly config: Config
  /** null: the account-wide calls. */
  readonly botId: string | null
  readonly http: Http
}

/** How far back sessions may change: while they are active, except for followed ones. */
export function lookbackMs({ inactivityMinutes }: Config): number {
  return Math.max(DAY_MS, inactivityMinutes * MINUTE_MS + HOUR_MS)
}

export function pathOf({ botId }: Vendor, operation: string, kind: Config['botPath'] = 'bot'): string {
  return botId === null ? `/api/public/${operation}` : `/api/public/${kind}/${inUrl(botId)}/${operation}`
}

/** How messages are requested: with which call, and for which channel if necessary. */
interface Way {
  readonly vendor: Vendor
  readonly version: Config['messagesApi']
  readonly channel: string | null
}

/**
 * The sessions with their messages up to `nowMs`, in the same order. If the server lacks the documented call (404), the next best is used: account-wide the
 * bots' own, and v1 instead of v2. This is not remembered: it costs one more request each time.
 */
export async function withMessages(vendor: Vendor, sessions: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  if (vendor.botId !== null) return ofBot(vendor, sessions, nowMs)
  try {
    return await inAllChannels({ vendor, version: 'v1', channel: null }, sessions, nowMs)
  } catch (error) {
    if (!isUnknownCall(error) || sessions.some(({ botId }) => botId === null)) throw withCure(error)
  }
  const found = new Map<string, Conversation>()
  for (const [botId, its] of Map.groupBy(sessions, session => session.botId))
    for (const session of await ofBot({ ...vendor, botId }, its, nowMs)) found.set(session.id, session)
  return sessions.map(session => found.get(session.id) ?? session)
}

async function ofBot(vendor: Vendor, sessions: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  const version = vendor.config.messagesApi
  try {
    return await inAllChannels({ vendor, version, channel: null }, sessions, nowMs).catch((error: unknown) => {
      if (version === 'v1' || !isUnknownCall(error)) throw error
      return inAllChannels({ vendor, version: 'v1', channel: null }, sessions, nowMs)
    })
  } catch (error) {
    throw withCure(error)
  }
}

function isUnknownCall(error: unknown): boolean {
  return error instanceof FlowError && error.code === 'SRC_REFUSED' && error.details['status'] === 404
}

function withCure(error: unknown): unknown {
  if (!isRefusal(error)) return error
  return withHint(error, 'messages need the scope Chat History, published; include.messages: false reads sessions without them')
}

export function isRefusal(error: unknown): error is FlowError {
  return error instanceof FlowError && ['SRC_REFUSED', 'SRC_UNAUTHORISED'].includes(error.code)
}

function withHint(error: FlowError, hint: string): FlowError {
  return new FlowError(error.code, { ...error.details, hint }, error)
}

/**
 * If no session of another channel than `rtm` has messages, though they count some, the server may return only those of `rtm` by default, as documented for
 * GET: then each channel is requested.
 */
async function inAllChannels(way: Way, sessions: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  const read = await messagesOf(way, sessions, nowMs)
  const others = read.filter(({ channel, totalMessages }) => channel !== null && channel !== 'rtm' && (totalMessages ?? 0) > 0)
  if (others.some(({ messages }) => messages !== null && messages.length > 0)) return read
  const found = new Map<string, Conversation>()
  for (const [channel, its] of Map.groupBy(others, session => session.channel))
    for (const session of await messagesOf({ ...way, channel }, its, nowMs)) found.set(session.id, session)
  return read.map(session => found.get(session.id) ?? session)
}

async function messagesOf(way: Way, sessions: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  const { vendor } = way
  const found = new Map<string, Map<string, Turn>>(sessions.map(({ id }) => [id, new Map()]))
  const spans = sessions.map(session => ({ id: session.id, ...spanOf(vendor.config, session, nowMs) }))
  for (const range of union(spans).flatMap(span => split(span, RANGE_MS))) {
    const ids = spans.filter(({ fromMs, untilMs }) => fromMs < range.untilMs && range.fromMs < untilMs).map(({ id }) => id)
    const turns = await readRange(way, ids, range)
    // A message without a session id belongs to the only requested session.
    if (ids.length > 1 && turns.some(({ sessionId }) => sessionId === null)) return oneByOne(way, sessions, nowMs)
    for (const turn of turns) found.get(turn.sessionId ?? ids[0] ?? '')?.set(turn.id, turn)
  }
  return sessions.map(session => ({ ...session, messages: inOrder([...(found.get(session.id)?.values() ?? [])]) }))
}

async function oneByOne(way: Way, sessions: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  const out: Conversation[] = []
  for (const session of sessions) out.push(...(await messagesOf(way, [session], nowMs)))
  return out
}

/** From the start of a session to its end. While it is active that is now: `end_time` may be its newest activity, or missing. */
function spanOf(config: Config, { startedAtMs, endTimeMs: given, state, followed }: Conversation, nowMs: number): Window {
  const endTimeMs = realTime(given, { observedAtMs: nowMs })
  const endMs = Math.min(Math.max(startedAtMs, endTimeMs ?? 0), startedAtMs + LONGEST_MS)
  const mayLast = followed || state === 'active'
  const reachMs = mayLast ? FOLLOWED_MS + lookbackMs(config) : Math.max(REACH_MS, lookbackMs(config))
  const isOver = state !== 'active' && endTimeMs !== null
  return {
    fromMs: startedAtMs - MARGIN_MS,
    untilMs: isOver ? endMs + AFTER_END_MS : Math.max(endMs, Math.min(nowMs, startedAtMs + reachMs)) + MARGIN_MS,
  }
}

/** The times in at least one of the spans. */
function union(spans: readonly Window[]): Window[] {
  const out: { fromMs: number; untilMs: number }[] = []
  for (const { fromMs, untilMs } of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = out.at(-1)
    if (last !== undefined && fromMs <= last.untilMs) last.untilMs = Math.max(last.untilMs, untilMs)
    else out.push({ fromMs, untilMs })
  }
  return out
}

const MessagesPage = pageSchema('messages')

async function readRange(way: Way, ids: readonly string[], range: Window): Promise<Turn[]> {
  for (let reading = 1; ; reading++) {
    try {
      return await readOnce(way, ids, range)
    } catch (error) {
      if (!(error instanceof FlowError) || error.code !== 'SRC_RESUME_EXPIRED') throw error
      if (reading === READINGS) throw new FlowError('SRC_MALFORMED', { hint: 'the messages shift at every reading' }, error)
    }
  }
}

/** A message at the boundary of two ranges may come with both. */
async function readOnce({ vendor, version, channel }: Way, ids: readonly string[], range: Window): Promise<Turn[]> {
  const { config, http } = vendor
  const path = pathOf(vendor, version === 'v1' ? 'getMessages' : 'getMessagesV2')
  const most = version === 'v1' ? 100 : 10_000
  const { from, until } = iso({ fromMs: range.fromMs - 1, untilMs: range.untilMs + 1 })
  const filters = {
    sessionId: [...ids],
    dateFrom: from,
    dateTo: until,
    forward: true,
    ...(channel !== null && { channelType: channel }),
    ...(config.agentsInfo && { getAgentsInfo: true }),
  }
  const turns: Turn[] = []
  let place: Place | null = null
  for (let limit = Math.min(config.messagesPageSize ?? most, most); ; limit = Math.ceil(limit / 2)) {
    const atOnce = limit
    const pages = listing({
      limit: atOnce,
      from: place,
      growsAtEnd: true,
      idOf: row => turnOf(row).id,
      ask: async skip => {
        const body = { ...filters, skip, limit: atOnce }
        const page = await listPage(options => http.postJson(path, { body }, MessagesPage, options))
        return config.trustTotal ? page : { ...page, total: null }
      },
    })
    try {
      for await (const { rows, next } of pages) {
        turns.push(...rows.map(turnOf))
        place = next
      }
      return turns
    } catch (error) {
      // Half as many messages may fit: continue from the same place, with half the limit.
      if (!(error instanceof FlowError) || error.code !== 'SRC_TOO_LARGE' || limit === 1) throw error
    }
  }
}

/** By time, keeping the vendor's order of equal times; those without a time first, where they are found at once. */
function inOrder(turns: Turn[]): Turn[] {
  return turns.sort((a, b) => (a.atMs ?? 0) - (b.atMs ?? 0))
}

const Details = z.looseObject({ conversationInfo: z.looseObject({ agentHandOffTime: z.unknown().optional() }).nullish() })
const NO_DETAILS: z.output<typeof Details> = {}

/**
 * The sessions, those that were handed over with the time of it. One request each, so only if no time is known: a published one is kept. One message is
 * requested, because the answer always has the history. In the bot's own path, as there is none account-wide.
 *
 * With `agent.details` absent, a server that rejects the call is not asked again until the next rows come: then the first message of an agent gives the time.
 */
export async function withHandOffs(vendor: Vendor, sessions: readonly Conversation[]): Promise<Conversation[]> {
  const { agentDetails } = vendor.config
  let asks = agentDetails !== false
  const out: Conversation[] = []
  for (const session of sessions) {
    const botId = vendor.botId ?? session.botId
    const isLacking = session.publishedTransferMs === null && (session.contact?.transferredAtMs ?? null) === null
    if (!asks || botId === null || !isLacking || !isHandedOver(session)) {
      out.push(session)
      continue
    }
    try {
      out.push({ ...session, handOffAtMs: await handOffOf({ ...vendor, botId }, session.id) })
    } catch (error) {
      if (!isRefusal(error)) throw error
      if (agentDetails === true)
        throw withHint(error, 'agent.details needs the scope Chat History, published; without it, agent.details: false')
      asks = false
      out.push(session)
    }
  }
  return out
}

/** null: the vendor has no time (`""`), or does not know the session. */
async function handOffOf(vendor: Vendor, sessionId: string): Promise<number | null> {
  const path = pathOf(vendor, 'conversationDetails')
  const body = { sessionId, limit: 1 }
  try {
    const details = await vendor.http.postJson(path, { body }, Details, { empty: NO_DETAILS, emptyStatus: [404] })
    return instant(details.conversationInfo?.agentHandOffTime)
  } catch (error) {
    if (error instanceof FlowError && error.details['vendorCode'] === NOTHING_FOUND) return null
    throw error
  }
}
