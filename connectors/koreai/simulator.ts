/**
 * A simulator of Kore.ai over the seeded world: sessions, messages (v1 and v2), analytics, conversation details and the list of bots, according to the vendor's
 * docs; where they say nothing, or clients have seen something else, see `simulator/quirks.ts`. Nothing here was measured against the vendor. Each bot of the
 * world is a bot of one account; one app reaches them all, and the account-wide calls too.
 */
import {
  type BotSpec,
  type Reply,
  type Request,
  RollingLimit,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
} from '../../src/sim/index.ts'
import {
  accountId,
  botIdOf,
  isAlert,
  isVisible,
  type Sight,
  sessionsBetween,
  type VendorSession,
  sessionOf,
  uuid,
} from './simulator/account.ts'
import { type Asked, askedOf, isReply, json, Pages, rangeOf, refused } from './simulator/answers.ts'
import { type Algorithm, App } from './simulator/auth.ts'
import { PLAIN, type Quirks } from './simulator/quirks.ts'
import {
  ANALYTICS,
  ANALYTICS_CHANNELS,
  analyticsRow,
  analyticsTypeOf,
  contactRow,
  detailsOf,
  messageRow,
  sessionRow,
} from './simulator/rows.ts'

export {
  accountId,
  agentIdOf,
  analyticsIdOf,
  botIdOf,
  contactIdOf,
  INACTIVITY_MS,
  isAlert,
  messageIdOf,
  sessionIdOf,
  sessionsBetween,
  type VendorSession,
  sessionOf as tellOf,
  userIdOf,
} from './simulator/account.ts'
export { ANALYTICS_CHANNELS } from './simulator/rows.ts'
export { PLAIN, type Quirks } from './simulator/quirks.ts'
export { analyticsTypeOf, textOf } from './simulator/rows.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Most ids of a `sessionId` filter; duplicates count. Documented. */
const MOST_IDS = 50
/** Messages of conversationDetails without a `limit`. Unknown for the real vendor. */
const DETAILS_MESSAGES = 100
/** A conversation lasts at most two days; searches for messages begin this far back. */
const LONGEST_MS = 48 * HOUR

export interface KoreaiOptions extends SimulatorOptions {
  /** Which bots of the world the account has. Default: all. */
  readonly bots?: readonly string[]
  readonly algorithm?: Algorithm
  readonly quirks?: Partial<Quirks>
  /** Most rows of a page of sessions and of analytics; the docs name none. Default 1000. */
  readonly pageSize?: number
  /** Most rows of a page of messages. Default as documented: 100 in v1, 10,000 in v2. */
  readonly messagesPageSize?: number
}

export interface KoreaiSimulator extends Simulator {
  readonly world: World
  readonly quirks: Quirks
  readonly bots: readonly BotSpec[]
  /** With the stream `contact-center`. */
  readonly configContactCenter: Readonly<Record<string, string>>
  /** For the account-wide calls. */
  readonly configAccount: Readonly<Record<string, string>>
  /** How many requests exceeded a limit. */
  refusedForQuota(): number
}

export const simulator: SimulatorPlugin = { vendor: 'koreai', start: startKoreaiSimulator }

export async function startKoreaiSimulator(options: KoreaiOptions): Promise<KoreaiSimulator> {
  const { world, now = Date.now, arrivalClock = Date.now, algorithm = 'HS256' } = options
  const quirks: Quirks = { ...PLAIN, ...options.quirks }
  const bots = world.bots.filter(({ id }) => options.bots?.includes(id) ?? true)
  const app = new App(world.options.seed, algorithm, quirks)
  const limits = new Limits(quirks, arrivalClock)
  const api: Api = {
    world,
    quirks,
    bots,
    app,
    vendorNow: () => now() + quirks.clockAheadMs,
    pageSize: options.pageSize ?? 1000,
    messagesPageSize: options.messagesPageSize ?? Infinity,
    pages: new Pages(quirks),
    sessions: new WeakMap(),
  }
  const server = await serve({
    arrivalClock,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    handler: async request => (await app.check(request, api.vendorNow())) ?? route(request, api, limits),
  })
  const configAccount = {
    account: 'acme',
    'base.url': server.url,
    'client.id': app.clientId,
    'client.secret': app.clientSecret,
    ...(algorithm === 'HS256' ? {} : { 'jwt.algorithm': algorithm }),
    ...(app.encryptionKey === null ? {} : { 'jwe.key': app.encryptionKey }),
  }
  const config = { ...configAccount, 'bot.ids': bots.map(botIdOf).join(',') }
  return {
    vendor: 'koreai',
    world,
    quirks,
    bots,
    url: server.url,
    config,
    configContactCenter: { ...config, streams: 'sessions,contact-center', 'account.id': accountId() },
    configAccount,
    faults: server.faults,
    log: server.log,
    stats: () => server.stats(),
    refusedForQuota: () => limits.refused,
    stop: () => server.stop(),
  }
}

interface Api {
  readonly world: World
  readonly quirks: Quirks
  readonly bots: readonly BotSpec[]
  readonly app: App
  /** The vendor's clock. */
  readonly vendorNow: () => number
  readonly pageSize: number
  readonly messagesPageSize: number
  readonly pages: Pages
  readonly sessions: NonNullable<Sight['sessions']>
}

/** What a call is about: the bots whose sessions it sees. */
interface Call {
  readonly request: Request
  readonly asked: Asked
  readonly bots: readonly BotSpec[]
  readonly api: Api
}

const OPERATIONS: Readonly<Record<string, { readonly methods: readonly string[]; answer(call: Call): Reply }>> = {
  getSessions: { methods: ['POST'], answer: getSessions },
  getMessages: { methods: ['GET', 'POST'], answer: call => getMessages(call, 'v1') },
  getMessagesV2: { methods: ['GET', 'POST'], answer: call => getMessages(call, 'v2') },
  getAnalytics: { methods: ['POST'], answer: getAnalytics },
  conversationDetails: { methods: ['POST'], answer: conversationDetails },
}
/** Operations that exist account-wide. */
const OF_ACCOUNT: ReadonlySet<string> = new Set(['getSessions', 'getMessages'])

/** The contact center's conversations of a bot, newest start first. */
const CONVERSATIONS = /^\/agentassist\/api\/v1\/public\/([^/]+)\/conversations$/

function listConversations(request: Request, botId: string, api: Api): Reply {
  if (request.headers['accountid'] !== accountId()) return refused(401, 'the header accountId is not that of the account')
  if (api.quirks.withheld.includes('conversations'))
    return refused(api.quirks.withheldStatus, 'The app lacks the scope of this operation')
  const bots = api.bots.filter(bot => botIdOf(bot) === botId)
  if (bots.length === 0) return refused(404, 'There is no such bot')
  const { fromMs } = api.world.options
  const rows = sessionsBetween(fromMs - LONGEST_MS, api.vendorNow() + LONGEST_MS, sightOf(api))
    .filter(session => bots.includes(session.conversation.bot))
    .map(session => contactRow(session, api.quirks))
    .filter(row => row !== null)
    .sort((a, b) => String(b['startTime']).localeCompare(String(a['startTime'])))
  const asked = Object.fromEntries(request.query)
  const { rows: page, total, more } = api.pages.page(rows, asked, api.pageSize, row => String(row['_id']))
  const limit = Number(asked['limit'] ?? 10)
  return json({
    results: page,
    skip: Number(asked['skip'] ?? 0),
    limit,
    hasMore: more,
    totalPages: Math.ceil(total / limit),
    totalResults: total,
  })
}

function route(request: Request, api: Api, limits: Limits): Reply {
  const conversations = CONVERSATIONS.exec(request.path)
  if (conversations !== null && request.method === 'GET')
    return limits.take('contact center', false) ?? listConversations(request, conversations[1] ?? '', api)
  const path = /^\/api\/public\/(?:(bot|stream)\/([^/]+)\/)?(\w+)$/.exec(request.path)
  const [, kind, botId, name = ''] = path ?? []
  const isBots = botId === undefined && name === 'bots' && request.method === 'GET'
  const operation = Object.hasOwn(OPERATIONS, name) ? OPERATIONS[name] : undefined
  const isKnown =
    operation?.methods.includes(request.method) === true &&
    (botId !== undefined || (OF_ACCOUNT.has(name) && request.method === 'POST')) &&
    (kind !== 'stream' || name === 'getSessions')
  if (!isBots && !isKnown) return refused(404, 'There is no such operation')
  const exceeded = limits.take(botId ?? 'account')
  if (exceeded !== null) return exceeded
  if (api.quirks.withheld.includes(name)) return refused(api.quirks.withheldStatus, 'The app lacks the scope of this operation')
  if (isBots) return listBots(request, api)
  const bots = botId === undefined ? api.bots : api.bots.filter(bot => botIdOf(bot) === botId)
  if (bots.length === 0) return refused(404, 'There is no such bot')
  const asked = askedOf(request)
  if (isReply(asked)) return asked
  return (operation as { answer(call: Call): Reply }).answer({ request, asked, bots, api })
}

/** Sessions, newest first. With `sessionId`, all other filters are ignored. */
function getSessions(call: Call): Reply {
  const { asked, api } = call
  if (asked['sessionId'] !== undefined) return sessionsById(call)
  const range = rangeOf(asked['dateFrom'], asked['dateTo'], api.vendorNow(), api.quirks)
  if (isReply(range)) return range
  const found = sessionsBetween(range.fromMs, range.untilMs, sightOf(api)).filter(session => isAskedFor(session, call))
  const { rows, total, more } = api.pages.page(found, asked, api.pageSize, ({ sessionId }) => sessionId)
  return json({ total, moreAvailable: more, sessions: rows.map(session => sessionRow(session, api.quirks, null)) })
}

function sessionsById({ asked, bots, api }: Call): Reply {
  const ids = [asked['sessionId']].flat().map(String)
  if (ids.length > MOST_IDS) return refused(400, 'sessionId takes at most 50 ids')
  const found = [...new Set(ids)].flatMap(id => {
    const session = sessionOfId(id, bots, api)
    return session === null ? [] : [session]
  })
  found.sort((a, b) => b.startMs - a.startMs)
  const known = new Set(found.map(({ sessionId }) => sessionId))
  return json({
    total: found.length,
    moreAvailable: false,
    sessions: found.map(session => sessionRow(session, api.quirks, api.vendorNow())),
    invalidSessions: [...new Set(ids)].filter(id => !known.has(id)),
  })
}

function sessionOfId(id: string, bots: readonly BotSpec[], api: Api): VendorSession | null {
  const second = /^[0-9a-f]{24}$/.test(id) ? Number.parseInt(id.slice(0, 8), 16) * 1000 : Number.NaN
  if (Number.isNaN(second)) return null
  const sight = sightOf(api)
  for (const conversation of sight.view.between(second, second + 1000)) {
    const session = sessionOf(conversation, sight)
    if (session.sessionId === id && bots.includes(conversation.bot) && isVisible(conversation, sight)) return session
  }
  return null
}

function isAskedFor(session: VendorSession, { request, asked, bots, api }: Call): boolean {
  const { quirks } = api
  const containment = request.query.get('containmentType')
  const same = (a: string | null, b: string) => (quirks.strictFilter ? a === b : a?.toLowerCase() === b.toLowerCase())
  if (!bots.includes(session.conversation.bot)) return false
  if (containment !== null && containment !== '' && !same(session.containment, containment)) return false
  if (asked['userId'] !== undefined && asked['userId'] !== session.userId) return false
  if (!hasTags(session, asked['tags'])) return false
  const sessionType = asked['sessionType']
  return sessionType === undefined || (sessionType === 'interactive') === session.isInteractive
}

/** `{and: [{name, values, type}]}`: of each name one of the values. */
function hasTags({ userTags, sessionTags }: VendorSession, filter: unknown): boolean {
  const wanted = ((filter as { and?: unknown } | undefined)?.and ?? []) as readonly Readonly<Record<string, unknown>>[]
  return wanted.every(({ name, values, type }) =>
    (type === 'user' ? userTags : type === 'session' ? sessionTags : []).some(
      tag => tag.name === name && [values].flat().map(String).includes(String(tag.value)),
    ),
  )
}

/** v1: at most 100, all tasks. v2: at most 10,000, without what Alert and Action tasks say. Newest first, unless `forward`. */
function getMessages({ request, asked, bots, api }: Call, version: 'v1' | 'v2'): Reply {
  const { quirks } = api
  const isGet = request.method === 'GET'
  if (isGet && asked['userId'] === undefined) return refused(400, 'userId is required')
  const range = rangeOf(asked['dateFrom'], asked['dateTo'], api.vendorNow(), quirks)
  if (isReply(range)) return range
  const channel = asked['channelType'] ?? (isGet ? 'rtm' : undefined)
  const ids = asked['sessionId'] === undefined ? null : new Set([asked['sessionId']].flat().map(String))
  const isOn = (name: string) => String(asked[name]) === 'true'
  const found: { readonly session: VendorSession; readonly message: VendorSession['messages'][number]; readonly atMs: number }[] =
    []
  for (const session of sessionsBetween(range.fromMs - LONGEST_MS - quirks.startStepMs, range.untilMs, sightOf(api))) {
    if (!bots.includes(session.conversation.bot)) continue
    if (ids !== null && !ids.has(session.sessionId)) continue
    if (channel !== undefined && channel !== session.channel) continue
    if (asked['userId'] !== undefined && asked['userId'] !== session.userId) continue
    for (const message of session.messages) {
      const atMs = message.atMs + quirks.clockAheadMs
      if (range.fromMs <= atMs && atMs < range.untilMs && !(version === 'v2' && isAlert(message)))
        found.push({ session: session, message, atMs })
    }
  }
  const way = isOn('forward') ? 1 : -1
  found.sort((a, b) => way * (a.atMs - b.atMs || (a.message.id < b.message.id ? -1 : 1)))
  const most = Math.min(version === 'v1' ? 100 : 10_000, api.messagesPageSize)
  const { rows, total, more } = api.pages.page(found, asked, most, ({ message }) => message.id)
  const options = { agentsInfo: isOn('getAgentsInfo'), traceId: isOn('includeTraceId') }
  return json({
    total,
    moreAvailable: more,
    ...(isGet ? { icon: 'https://files.example.com/bot.png' } : {}),
    messages: rows.map(({ session, message }) => messageRow(message, session, options, quirks)),
  })
}

/** NLU results and outcomes of tasks, by `type`. A range of any length is accepted: a sample spans 14 days. */
function getAnalytics({ asked, bots, api }: Call): Reply {
  const { quirks } = api
  const type = ANALYTICS.find(each => each === asked['type'])
  const filters = asked['filters'] as Asked | undefined
  const [fromMs, toMs] = [Date.parse(String(filters?.['from'])), Date.parse(String(filters?.['to']))]
  if (type === undefined) return refused(400, `type takes one of ${ANALYTICS.join(', ')}`)
  if (Number.isNaN(fromMs) || Number.isNaN(toMs)) return refused(400, 'filters.from and filters.to are required')
  if (asked['limit'] === undefined) return refused(400, 'limit is required')
  const named = filters?.['channel'] as readonly string[] | undefined
  if (named?.some(each => !ANALYTICS_CHANNELS.includes(each)))
    return refused(400, 'filters.channel takes the accepted channels only')
  const channels = named ?? (quirks.analyticsDefault === 'rtm' ? ['rtm'] : null)
  const found: { readonly session: VendorSession; readonly event: VendorSession['events'][number]; readonly atMs: number }[] = []
  for (const session of sessionsBetween(fromMs - LONGEST_MS - quirks.startStepMs, toMs, sightOf(api))) {
    if (!bots.includes(session.conversation.bot) || channels?.includes(session.channel) === false) continue
    if (filters?.['userId'] !== undefined && ![filters['userId']].flat().includes(session.userId)) continue
    if (!hasTags(session, filters?.['tags'])) continue
    for (const event of session.events) {
      const atMs = event.atMs + quirks.clockAheadMs
      if (fromMs <= atMs && atMs < toMs && analyticsTypeOf(event) === type) found.push({ session: session, event, atMs })
    }
  }
  const way = (asked['sort'] as Asked | undefined)?.['order'] === 'asc' ? 1 : -1
  found.sort((a, b) => way * (a.atMs - b.atMs || (a.event.id < b.event.id ? -1 : 1)))
  const { rows, total, more } = api.pages.page(found, asked, api.pageSize, ({ event }) => event.id)
  return json({
    moreAvailable: more,
    totalCount: total,
    result: rows.map(({ session, event }) => analyticsRow(event, session, quirks)),
  })
}

function conversationDetails({ asked, bots, api }: Call): Reply {
  const session = sessionOfId(String(asked['sessionId']), bots, api)
  if (session === null) return refused(404, 'There is no such session')
  const page = { skip: numberOf(asked['skip'] ?? asked['offset'], 0), limit: numberOf(asked['limit'], DETAILS_MESSAGES) }
  return json(detailsOf(session, api.quirks, page))
}

function numberOf(raw: unknown, absent: number): number {
  return Math.max(0, Math.trunc(Number(raw ?? absent))) || absent
}

/** The bots of the account, with the client secrets of their apps in clear text, as the vendor returns them: nobody should keep this answer. */
function listBots(request: Request, { bots, app, world }: Api): Reply {
  const offset = Number(request.query.get('offset') ?? 0) || 0
  const limit = Math.min(50, Number(request.query.get('limit') ?? 50) || 50)
  const createdOn = new Date(world.options.fromMs).toISOString()
  return json({
    total: bots.length,
    availableMore: offset + limit < bots.length,
    bots: bots.slice(offset, offset + limit).map(bot => ({
      _id: botIdOf(bot),
      accountId: accountId(),
      purpose: 'customer',
      createdOn,
      createdBy: `u-${uuid('builder')}`,
      type: 'default',
      defaultLanguage: bot.languages[0]?.code ?? 'en',
      isDeflect: false,
      resourceid: 'btstreams',
      status: 'published',
      name: bot.title,
      jwtApps: [
        {
          clientId: app.clientId,
          clientSecret: app.clientSecret,
          jtiClaimEnforced: false,
          jweEncryptionEnforced: false,
          createdOn,
        },
      ],
    })),
  })
}

function sightOf({ world, vendorNow, quirks, sessions }: Api): Sight {
  return { view: world.at(vendorNow() - quirks.clockAheadMs), quirks, sessions }
}

/** The documented limits, by bot; account-wide calls by the account. An exceeded hour rejects everything, however calm the minute. */
class Limits {
  refused = 0
  readonly #quirks: Quirks
  readonly #arrivalClock: () => number
  readonly #of = new Map<string, { readonly minute: RollingLimit; readonly hour: RollingLimit }>()

  constructor(quirks: Quirks, arrivalClock: () => number) {
    this.#quirks = quirks
    this.#arrivalClock = arrivalClock
  }

  /** @param hourly False: only the minute counts, as in the contact center. */
  take(bot: string, hourly = true): Reply | null {
    const { perMinute, perHour } = this.#quirks
    const limits = this.#of.get(bot) ?? { minute: new RollingLimit(perMinute, MINUTE), hour: new RollingLimit(perHour, HOUR) }
    this.#of.set(bot, limits)
    const nowMs = this.#arrivalClock()
    if (hourly && limits.hour.take(nowMs) > 0) return this.#refuse('hourly')
    return limits.minute.take(nowMs) > 0 ? this.#refuse('per-minute') : null
  }

  #refuse(which: 'hourly' | 'per-minute'): Reply {
    this.refused++
    const { rateLimitStatus, retryAfterS } = this.#quirks
    const reply = refused(rateLimitStatus, `You've exceeded the ${which} rate limit. Please wait for sometime before retrying.`)
    return retryAfterS === null ? reply : { ...reply, headers: { 'retry-after': String(retryAfterS) } }
  }
}
