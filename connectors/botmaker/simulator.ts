/**
 * A simulator of Botmaker over the seeded world: v2.0 sessions, channels, agents and messages, v1.0 metrics export and credential refresh, according to the
 * vendor's docs; where they say nothing, or clients have seen something else, see `simulator/quirks.ts`. Nothing here was measured against the vendor. Error
 * codes other than INVALID_DATETIME_INTERVAL and LONG_TERM_SEARCH_PARAM_REQUIRED are assumed.
 */
import {
  agentsOf,
  type Conversation,
  Random,
  type Reply,
  type Request,
  retryAfterText,
  RollingLimit,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
  type WorldView,
} from '../../src/sim/index.ts'
import { type Account, accountOf, contactIdOf, firstIndex } from './simulator/account.ts'
import { Exports } from './simulator/export.ts'
import { PLAIN, type Quirks } from './simulator/quirks.ts'
import { Sessions, type Wanted } from './simulator/sessions.ts'

export { accountOf, contactIdOf, sessionIdOf, startOf, shownAs } from './simulator/account.ts'
export { PLAIN, type Quirks } from './simulator/quirks.ts'

const SECOND = 1000
const HEAD = Buffer.from('{"items":[')
const COMMA = Buffer.from(',')
const HOUR = 3_600_000
const DAY = 24 * HOUR
const MESSAGES_LONG_TERM_MS = 3 * DAY
/** A conversation lasts at most two days; searches for messages begin this far back. */
const LONGEST_MS = 2 * DAY

export interface BotmakerOptions extends SimulatorOptions {
  /** The business of the token; its name begins every channel id. Default `acme`. */
  readonly account?: string
  /** Which bots of the world the business has. Default: all. */
  readonly bots?: readonly string[]
  readonly token?: string
  readonly quirks?: Partial<Quirks>
  /** Rows per page of v2. Default 500, the vendor's maximum. */
  readonly pageSize?: number
  /** Rows per page of v1. Default 1000. */
  readonly exportPageSize?: number
}

export interface BotmakerSimulator extends Simulator {
  readonly world: World
  readonly account: Account
  readonly quirks: Quirks
  /** Requests rejected because there were too many. */
  refused(): number
  /** For `api.version: v1`. */
  readonly configV1: Readonly<Record<string, string>>
  /** With credentials that can be refreshed. */
  readonly configRefresh: Readonly<Record<string, string>>
  /** From now on the access token is rejected; a refresh returns a new one. */
  expireToken(): void
}

export const simulator: SimulatorPlugin = { vendor: 'botmaker', start: startBotmakerSimulator }

export async function startBotmakerSimulator(options: BotmakerOptions): Promise<BotmakerSimulator> {
  const { world, now = Date.now, arrivalClock = Date.now } = options
  const business = options.account ?? 'acme'
  const account = accountOf(world, business, options.bots)
  const quirks: Quirks = { ...PLAIN, ...options.quirks }
  const credentials = new Credentials(world.options.seed, options.token)
  const api: Api = {
    account,
    quirks,
    world,
    now,
    arrivalClock,
    pageSize: options.pageSize ?? 500,
    sessions: {
      milliseconds: new Sessions(account, quirks, 'milliseconds'),
      seconds: new Sessions(account, quirks, 'seconds'),
    },
    exports: new Exports(world, account, quirks, options.exportPageSize ?? 1000),
    limit: new RollingLimit(quirks.requestsPerSecond, SECOND),
    messagesLimit: new RollingLimit(quirks.requestsPerSecond, SECOND),
    burst: new RollingLimit(quirks.burst401PerSecond, SECOND),
    hidden: new Set(),
    refused: 0,
  }
  const server = await serve({
    arrivalClock,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    handler: request => {
      if (request.method === 'POST' && request.path === '/api/v1.0/auth/credentials') return credentials.refresh(request)
      if (!credentials.accept(request)) return unauthorised(request, quirks)
      if (api.burst.take(arrivalClock()) > 0) return unauthorised(request, quirks)
      return route(request, api)
    },
  })
  const config = { account: business, 'base.url': `${server.url}/v2.0`, 'access.token': credentials.accessToken }
  return {
    vendor: 'botmaker',
    world,
    account,
    quirks,
    refused: () => api.refused,
    url: server.url,
    config,
    configV1: { ...config, 'base.url': `${server.url}/api/v1.0`, 'api.version': 'v1' },
    configRefresh: { ...config, ...credentials.config },
    faults: server.faults,
    log: server.log,
    stats: () => server.stats(),
    expireToken: () => credentials.expire(),
    stop: () => server.stop(),
  }
}

interface Api {
  readonly account: Account
  readonly quirks: Quirks
  readonly world: World
  readonly now: () => number
  readonly arrivalClock: () => number
  readonly pageSize: number
  readonly sessions: Readonly<Record<Quirks['timestampPrecision'], Sessions>>
  readonly exports: Exports
  /** Limit of `/sessions`; the docs give each operation its own. */
  readonly limit: RollingLimit
  readonly messagesLimit: RollingLimit
  readonly burst: RollingLimit
  /** Sessions that were hidden once, for `shifts`. */
  readonly hidden: Set<number>
  refused: number
}

function route(request: Request, api: Api): Reply {
  switch (`${request.method} ${request.path}`) {
    case 'GET /v2.0/sessions':
      return listSessions(request, api)
    case 'GET /v2.0/channels':
      return listChannels(request, api)
    case 'GET /v2.0/agents':
      return listAgents(request, api)
    case 'GET /v2.0/messages':
      return listMessages(request, api)
    case 'POST /api/v1.0/metrics/v2/download':
    case 'POST /api/v1.0/metrics/download':
      return startExport(request, api)
    case 'POST /api/v1.0/metrics/download-page':
      return fetchExport(request, api)
    default:
      return refused(404, 'NOT_FOUND', 'There is no such operation')
  }
}

/** The request of a listing; a link to a next page carries all of it. */
interface Listing extends Wanted {
  readonly fromMs: number
  readonly toMs: number
  readonly open: boolean
  readonly precision: Quirks['timestampPrecision']
  /** The first conversation of the listing, and the next to look at. */
  readonly firstIndex: number
  readonly index: number
  /** When the listing began. */
  readonly begunAtMs: number
}

function listSessions(request: Request, api: Api): Reply {
  const { quirks, world, now, pageSize } = api
  const waitMs = api.limit.take(api.arrivalClock())
  if (waitMs > 0) {
    api.refused++
    return tooMany(waitMs, api)
  }
  const nowMs = now()
  const view = world.at(nowMs)
  const token = request.query.get('next-page-token')
  const listing = token === null ? listingOf(request.query, view, quirks) : listingAfter(token, nowMs, quirks)
  if ('status' in listing) return listing

  const sessions = api.sessions[listing.precision]
  const until = Math.min(firstIndex(view, listing.toMs, quirks.windowEdges === 'closed', quirks), visible(view, quirks))
  const items: Buffer[] = []
  let rows = 0
  let index = quirks.ignoresToken ? listing.firstIndex : listing.index
  let last = index
  for (; index < until && rows < pageSize; index++) {
    if (!sessions.shows(index, view, listing.open)) continue
    if (isHidden(index, rows, token, api)) continue
    if (rows++ > 0) items.push(COMMA)
    sessions.write(index, view, listing, items)
    last = index
  }
  while (index < until && !sessions.shows(index, view, listing.open)) index++
  if (rows === 0 && token === null && quirks.emptyPeriod !== 'items') return { status: quirks.emptyPeriod === '204' ? 204 : 200 }
  const next: Listing | null =
    index < until ? { ...listing, index: quirks.duplicateAcrossPages && rows > 1 ? last : index } : null
  const link = next === null ? null : `${quirks.nextPageOrigin ?? request.origin}/v2.0/sessions?next-page-token=${seal(next)}`
  const tail = link === null ? (quirks.lastPage === 'null' ? ',"nextPage":null' : '') : `,"nextPage":"${link}"`
  return { status: 200, body: Buffer.concat([HEAD, ...items, Buffer.from(`]${tail}}`)]) }
}

/** Shifting listings: the second session of a first page, or the first of a later one, is missing once. */
function isHidden(index: number, row: number, token: string | null, { quirks: { shifts }, hidden }: Api): boolean {
  const hides = (shifts === 'grows' && token === null && row === 1) || (shifts === 'shrinks' && token !== null && row === 0)
  if (!hides || hidden.has(index)) return false
  hidden.add(index)
  return true
}

/** Number of sessions that are visible already. */
function visible(view: WorldView, quirks: Quirks): number {
  return quirks.visibleAfterMs === 0 ? view.count : view.indexAt(view.nowMs - quirks.visibleAfterMs)
}

function listingOf(query: URLSearchParams, view: WorldView, quirks: Quirks): Listing | Reply {
  const ages = { longTermAfterMs: quirks.longTermAfterMs, defaultMs: DAY }
  const range = rangeOf(query, view.nowMs, quirks, ages)
  if ('status' in range) return range
  const first = firstIndex(view, range.fromMs, quirks.windowEdges === 'open', quirks)
  return {
    ...range,
    firstIndex: first,
    index: first,
    begunAtMs: view.nowMs,
    open: isOn(query, 'include-open-sessions'),
    messages: isOn(query, 'include-messages'),
    events: isOn(query, 'include-events'),
    variables: isOn(query, 'include-variables'),
    aiAnalysis: isOn(query, 'include-ai-analysis'),
    precision: query.get('timestamp-precision') === 'seconds' ? 'seconds' : quirks.timestampPrecision,
  }
}

function listingAfter(token: string, nowMs: number, quirks: Quirks): Listing | Reply {
  const listing = unseal(token)
  if (listing === null || nowMs - listing.begunAtMs >= quirks.nextPageLivesMs)
    return refused(400, 'INVALID_NEXT_PAGE_TOKEN', 'The next page token is not valid')
  return listing
}

/** `from` and `to` with the vendor's rules: by default the last day, UTC with `Z`, a month at most, old times only on request. */
function rangeOf(
  query: URLSearchParams,
  nowMs: number,
  quirks: Quirks,
  { longTermAfterMs, defaultMs, untilMs = nowMs }: { longTermAfterMs: number; defaultMs: number; untilMs?: number },
): { readonly fromMs: number; readonly toMs: number } | Reply {
  const [from, to] = [query.get('from'), query.get('to')]
  const isLongTerm = isOn(query, 'long-term-search')
  if (from === null && to !== null && quirks.toNeedsFrom) return refused(400, 'INVALID_DATETIME_INTERVAL', 'to requires from')
  const toMs = to === null ? untilMs : readTime(to, quirks)
  if (toMs === null) return refused(400, 'INVALID_DATETIME', 'to is not a date-time')
  const fromMs = from === null ? toMs - defaultMs : readTime(from, quirks)
  if (fromMs === null) return refused(400, 'INVALID_DATETIME', 'from is not a date-time')
  if (fromMs > toMs) return refused(400, 'INVALID_DATETIME_INTERVAL', 'from must be before to')
  if (!isLongTerm && toMs > aMonthAfter(fromMs))
    return refused(400, 'INVALID_DATETIME_INTERVAL', 'The difference between from and to cannot exceed 1 month')
  if (!isLongTerm && nowMs - fromMs > longTermAfterMs)
    return refused(400, 'LONG_TERM_SEARCH_PARAM_REQUIRED', 'Older data needs long-term-search')
  return { fromMs, toMs }
}

function readTime(text: string, quirks: Quirks): number | null {
  const form = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})$/.exec(text)
  if (form === null || (quirks.offsetsRefused && form[2] !== 'Z')) return null
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? null : ms
}

function aMonthAfter(ms: number): number {
  const date = new Date(ms)
  const day = date.getUTCDate()
  date.setUTCMonth(date.getUTCMonth() + 1)
  // The 31st, if the next month has 30 days: its last day.
  if (date.getUTCDate() !== day) date.setUTCDate(0)
  return date.getTime()
}

function isOn(query: URLSearchParams, name: string): boolean {
  return query.get(name)?.toLowerCase() === 'true'
}

function listChannels(request: Request, { account }: Api): Reply {
  const platform = request.query.get('platform')
  const items =
    request.query.get('active') === 'false'
      ? []
      : account.channels.filter(channel => platform === null || channel.platform === platform)
  return json({ items: items.map(({ id, platform, name }) => ({ id, platform, active: true, name, webhookId: null })) })
}

/** All agents of the account's bots, on one page; `online` and `emails` filter. Their e-mail addresses are made up. */
function listAgents({ query }: Request, { account }: Api): Reply {
  const agents = new Map(
    account.bots.flatMap(bot => agentsOf(bot).map(agent => [agent.id, { ...agent, queues: bot.queues }] as const)),
  )
  const emails = query.getAll('emails').flatMap(each => each.split(','))
  const items = [...agents.values()].map(({ id, name, queues }) => ({
    id,
    email: `${id.toLowerCase()}@agents.example`,
    name,
    alias: name.split(' ')[0],
    isOnline: true,
    status: 'online',
    role: 'OPERATOR',
    queues,
    slots: 5,
    priority: 'normal',
    groups: [],
    creationTime: '2025-08-18T14:52:30Z',
  }))
  const asked = items.filter(({ email, isOnline }) => {
    const online = query.get('online')
    return (emails.length === 0 || emails.includes(email)) && (online === null || (online === 'true') === isOnline)
  })
  return json({ items: asked })
}

/** Messages of all chats, oldest first, with their session. Filters by the documented names only: others are ignored silently. */
function listMessages(request: Request, api: Api): Reply {
  const { query } = request
  const { world, now, quirks, account } = api
  const waitMs = api.messagesLimit.take(api.arrivalClock())
  if (waitMs > 0) {
    api.refused++
    return tooMany(waitMs, api)
  }
  const nowMs = now()
  const isLongTerm = isOn(query, 'long-term-search')
  const range = rangeOf(query, nowMs, quirks, {
    longTermAfterMs: Math.min(quirks.longTermAfterMs, MESSAGES_LONG_TERM_MS),
    defaultMs: isLongTerm ? DAY : MESSAGES_LONG_TERM_MS,
    untilMs: isLongTerm ? nowMs - HOUR : nowMs,
  })
  if ('status' in range) return range
  const limit = Math.min(1500, Math.max(1, Number(query.get('limit') ?? 250) || 250))
  const offset = Math.max(0, Number(query.get('next-page-token') ?? 0) || 0)
  const found: { atMs: number; index: number; item: () => Record<string, unknown> }[] = []
  for (const conversation of world.at(nowMs).between(range.fromMs - LONGEST_MS, range.toMs)) {
    if (!account.has(conversation) || !isAskedFor(conversation, query, account)) continue
    const { person, index } = conversation
    const channel = account.channelOf(person)
    for (const message of conversation.messages)
      if (range.fromMs <= message.atMs && message.atMs < range.toMs)
        found.push({
          atMs: message.atMs,
          index,
          item: () => ({
            ...api.sessions[quirks.timestampPrecision].message(message, index),
            ...(quirks.messageSessions ? api.sessions[quirks.timestampPrecision].reference(conversation) : {}),
            chat: { chatId: person.id, channelId: channel.id, contactId: contactIdOf(person, channel) },
          }),
        })
  }
  found.sort((a, b) => a.atMs - b.atMs || a.index - b.index)
  const items = found.slice(offset, offset + limit).map(({ item }) => item())
  if (items.length === 0 && quirks.emptyPeriod !== 'items') return { status: quirks.emptyPeriod === '204' ? 204 : 200 }
  const next = new URLSearchParams(query)
  next.set('from', new Date(range.fromMs).toISOString())
  next.set('to', new Date(range.toMs).toISOString())
  next.set('next-page-token', String(offset + limit))
  const hasMore = offset + limit < found.length
  return json({ items, ...(hasMore ? { nextPage: `${quirks.nextPageOrigin ?? request.origin}/v2.0/messages?${next}` } : {}) })
}

function isAskedFor({ person }: Conversation, query: URLSearchParams, account: Account): boolean {
  const channel = account.channelOf(person)
  const asked = {
    'chat-id': person.id,
    'channel-id': channel.id,
    'contact-id': contactIdOf(person, channel),
    'chat-platform': channel.platform,
  }
  return Object.entries(asked).every(([name, value]) => [null, value].includes(query.get(name)))
}

function startExport(request: Request, { exports, now }: Api): Reply {
  const from = request.query.get('fromDate')
  const zoned = from !== null && /(Z|[+-]\d{2}:?\d{2})$/.test(from) ? from : `${from}Z`
  const fromMs = from === null || !/^\d{4}-\d{2}-\d{2}T/.test(from) ? Number.NaN : Date.parse(zoned)
  if (Number.isNaN(fromMs)) return refused(400, 'INVALID_DATETIME', 'fromDate is not a date-time')
  return json(exports.start(fromMs, now()))
}

function fetchExport(request: Request, { exports, now, quirks }: Api): Reply {
  const page = exports.page(request.query.get('pageToken') ?? '', now())
  return page === null ? refused(quirks.expiredStatus, 'INVALID_PAGE_TOKEN', 'The page token is not valid') : json(page)
}

/** The access token, and its refresh pair. A refresh token works once. */
class Credentials {
  #accessToken: string
  #refreshToken: string
  #isExpired = false
  readonly #random: Random
  readonly #clientId: string
  readonly #clientSecret: string

  constructor(seed: number, token: string | undefined) {
    this.#random = new Random(seed, 2, 8)
    this.#accessToken = token ?? `sim-access-${this.#random.id(32)}`
    this.#refreshToken = `sim-refresh-${this.#random.id(32)}`
    this.#clientId = `sim-client-${this.#random.id(8)}`
    this.#clientSecret = `sim-secret-${this.#random.id(24)}`
  }

  get accessToken(): string {
    return this.#accessToken
  }

  get config(): Record<string, string> {
    return {
      'refresh.client.id': this.#clientId,
      'refresh.client.secret': this.#clientSecret,
      'refresh.token': this.#refreshToken,
    }
  }

  expire() {
    this.#isExpired = true
  }

  /** The bare token in `access-token`; with `Bearer` before it, or in another header, it is rejected. */
  accept(request: Request): boolean {
    return !this.#isExpired && request.headers['access-token'] === this.#accessToken
  }

  refresh({ headers }: Request): Reply {
    if (
      headers['clientid'] !== this.#clientId ||
      headers['secretid'] !== this.#clientSecret ||
      headers['refreshtoken'] !== this.#refreshToken
    )
      return refused(401, 'UNAUTHORIZED', 'The credentials are not valid')
    if (!this.#isExpired) return { status: 204 }
    this.#isExpired = false
    this.#accessToken = `sim-access-${this.#random.id(32)}`
    this.#refreshToken = `sim-refresh-${this.#random.id(32)}`
    return json({ accessToken: this.#accessToken, refreshToken: this.#refreshToken })
  }
}

function unauthorised(request: Request, quirks: Quirks): Reply {
  const reply = refused(401, 'UNAUTHORIZED', 'The access token is not valid')
  const given = String(request.headers['access-token'] ?? '').replaceAll(/[^\x21-\x7e ]/g, '')
  return quirks.echoToken ? { ...reply, reason: `Unauthorized ${given}` } : reply
}

function tooMany(waitMs: number, { quirks, arrivalClock }: Api): Reply {
  const reply = refused(429, 'TOO_MANY_REQUESTS', 'Too many requests')
  if (quirks.retryAfter === 'none') return reply
  const wait = { seconds: Math.ceil(waitMs / SECOND), as: quirks.retryAfter }
  return { ...reply, headers: { 'retry-after': retryAfterText(wait, arrivalClock()) } }
}

function refused(status: number, code: string, message: string): Reply {
  return { ...json({ errors: [{ code, message }] }), status }
}

function json(body: unknown): Reply {
  return { status: 200, body: JSON.stringify(body) }
}

/** A listing as an opaque token: everything needed to continue, and a checksum. */
function seal(listing: Listing): string {
  const text = JSON.stringify(listing)
  return Buffer.from(`${sumOf(text)}${text}`).toString('base64url')
}

function unseal(token: string): Listing | null {
  const text = Buffer.from(token, 'base64url').toString()
  const [sum, rest] = [text.slice(0, 8), text.slice(8)]
  return rest !== '' && sum === sumOf(rest) ? (JSON.parse(rest) as Listing) : null
}

function sumOf(text: string): string {
  let sum = 7
  for (let place = 0; place < text.length; place++) sum = (Math.imul(sum, 31) + text.charCodeAt(place)) | 0
  return (sum >>> 0).toString(16).padStart(8, '0')
}
