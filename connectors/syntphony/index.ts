/**
 * Syntphony Conversational AI (formerly eva): conversations with their messages, flows, tags and ratings, from the dashboard API.
 *
 * `conversations/list` filters by calendar days and is paged by number; `conversations/details` tells all messages of one conversation;
 * `messages/list` tells the user's messages only, but with their time, confidence and business key, so it enriches what the details tell. Rows keep
 * changing after their start, so the last 48 h are read again. No limit is documented: at most four requests at once. From the vendor's
 * documents and a client of the API, 2026-11; nothing here is measured, and names that nobody has seen on the wire are settings.
 */
import { z } from 'zod'
import {
  defineConnector,
  type Draft,
  FlowError,
  type Http,
  inUrl,
  jsonOf,
  number,
  type Query,
  realTime,
  type RowContext,
  type Scope,
  session,
  text,
  twice,
  type Window,
  wallOf,
  zoneOf,
} from '../../src/source/index.ts'
import { credentials } from './credentials.ts'
import { isLastPage, listed } from './paging.ts'
import { pii } from './pii.ts'
import { messageOf, responseEvents, rowEvents } from './records.ts'
import {
  type Conversation,
  Details,
  detailsAttributes,
  isObject,
  keyOf,
  ListPage,
  Row,
  sessionCodeOf,
  startOf,
  turnsOf,
} from './rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** No wall clock is farther from UTC. */
const FARTHEST_ZONE_MS = 14 * HOUR_MS

const address = () => z.url({ protocol: /^https?$/, error: 'takes an http or https address' })
const uuid = () => z.string().regex(/^[^\s/,]+$/, 'takes a UUID')
const path = (operation: string) => z.string().min(1).default(`/eva-dashboard/org/{org}/env/{env}/bot/{bot}/${operation}`)
const name = (usual: string) => z.string().min(1).default(usual)

const Config = z
  .strictObject({
    baseUrl: address().describe('Instance host, such as https://api-{region}-{instance}.eva.bot, with or without /eva-dashboard'),
    tokenUrl: address().describe('Token endpoint: {keycloak}/auth/realms/{organization}/protocol/openid-connect/token'),
    username: z.string().min(1).describe('Cockpit user that reads the dashboard; without a second factor'),
    password: z.string().min(1).meta({ secret: true }).describe('Password of the user'),
    clientId: z.string().min(1).default('eva-cockpit').describe('Client of the realm; older servers: eva-api'),
    clientSecret: z.string().min(1).optional().meta({ secret: true }).describe('Secret of the client, where it has one'),
    orgUuid: uuid().describe('Organization key of the cockpit'),
    envUuid: uuid().describe('Environment key of the cockpit'),
    botUuids: z.array(uuid()).min(1).describe('Bots to read, a comma list of bot keys'),
    timezone: z
      .string()
      .refine(zone => zoneOf(zone) !== null, 'takes an IANA zone or an offset such as +03:00')
      .default('UTC')
      .describe("Zone of the vendor's days, an IANA name or an offset; sent where it is not UTC"),
    sessionTimeoutMs: z
      .int()
      .min(0)
      .default(HOUR_MS)
      .describe('A conversation is over when it has been silent for so long, milliseconds; assumed, the vendor tells no end'),
    transferFlowPattern: z
      .string()
      .min(1)
      .refine(isPattern, 'takes a regular expression')
      .optional()
      .describe('Names of flows that hand over to a person, a regular expression; absent: transfers are not known'),
    includeMessageList: z
      .boolean()
      .default(true)
      .describe(
        'Ask messages/list for the time, confidence, language and business key of user messages: one more request a conversation',
      ),
    pageBase: z.int().min(0).max(1).default(1).describe('Number of the first page; a client began at 0'),
    pageSize: z.int().min(1).max(1000).default(100).describe('Rows a page; the most that the vendor gives is not known'),
    pathConversationsList: path('conversations/list').describe('Path of the conversation list'),
    pathConversationsDetails: path('conversations/details').describe(
      'Path of the content of one conversation; where {sessionCode} stands in it, the query does without',
    ),
    pathMessagesList: path('messages/list').describe('Path of the list of user messages'),
    paramStartDate: name('startDate').describe('Query name of the first day'),
    paramEndDate: name('endDate').describe('Query name of the last day'),
    paramStartHour: name('startHour').describe('Query name of the first hour of the day, always 0'),
    paramEndHour: name('endHour').describe('Query name of the last hour of the day, always 23'),
    paramTimezone: name('timezone').describe('Query name of the zone'),
    paramPage: name('page').describe('Query name of the page number'),
    paramSize: name('size').describe('Query name of the page size'),
    paramOrderBy: name('orderBy').describe('Query name of the order; conversationStartedAt is asked for'),
    paramDirection: name('direction').describe('Query name of the direction; ASC is asked for'),
    paramSearchBy: name('searchBy').describe('Query name of what is searched by; SESSION_CODE is asked for'),
    paramSearchTerm: name('searchTerm').describe('Query name of the term that is searched for'),
    paramSessionCode: name('sessionCode').describe('Query name of the conversation, for its content'),
  })
  .describe('One environment of one organization')
type Config = z.output<typeof Config>

export default defineConnector({
  manifest: {
    id: 'syntphony',
    title: 'Syntphony Conversational AI',
    apiVersion: 'eva-dashboard, 4.x',
    docs: 'https://docs.conversational-ai.syntphony.com/user-guide/api-docs/api-guidelines/management-api/instance-api/dashboard',
    quota: { concurrency: 4, sharedBy: 'orgUuid' },
    pollIntervalMs: 60_000,
    sessionStream: 'conversations',
    pii,
  },
  config: Config,

  http: config => ({
    baseUrl: config.baseUrl.replace(/\/+$/, '').replace(/\/eva-dashboard$/, ''),
    auth: credentials(config),
    classify: ({ status }) => {
      // Listed for every operation, its cause unknown.
      if (status === 409) return { code: 'SRC_SERVER_ERROR', vendorCode: '409' }
      if (status === 404)
        return { code: 'SRC_REFUSED', hint: 'not known there; see base.url, org.uuid, env.uuid, bot.uuids, path.*' }
      if (status !== 400 && status !== 422) return undefined
      return { code: 'SRC_REFUSED', hint: 'a filter was refused; see param.* for their names, page.size and timezone' }
    },
  }),

  streams: {
    conversations: {
      window: {
        longestMs: DAY_MS,
        lagMs: 2 * 60_000,
        lookbackMs: 48 * HOUR_MS,
        // Conversations are listed by their start: how one goes on is seen here only.
        lookbackIntervalMs: 5 * 60_000,
        // A page's number means other rows when rows were added or taken away meanwhile.
        durableResume: false,
      },

      scopes: config => [...new Set(config.botUuids)].map(bot => ({ name: bot, botId: bot })),

      row: Row,

      /**
       * The days that touch the window, whole. Of their rows those that began in it or a millisecond before, and those that no window of these days
       * would take: they tell no start, and go to rejects, or one on another day.
       */
      async *read({ config, scope, window, resume, http }) {
        const api = { config, scope, http }
        const days = daysOf(window, config)
        const query = { ...daysQuery(days, config), ...ascending(config) }
        const isAsked = (row: unknown) => {
          const atMs = startOf(row)
          if (atMs === null || atMs < days.fromMs - FARTHEST_ZONE_MS || atMs >= days.untilMs + FARTHEST_ZONE_MS) return true
          return window.fromMs - 1 <= atMs && atMs < window.untilMs
        }
        const ask = (page: number) => listPage(api, config.pathConversationsList, query, page)
        for await (const page of listed({ base: config.pageBase, ask, keyOf }, resume))
          yield { rows: page.rows.filter(isAsked), resume: page.resume }
      },

      expand: async ({ rows, ...api }) => {
        const details = await Promise.all(rows.map(row => detailsOf(api, row)))
        const spoken = rows.filter((_, place) => details[place]?.messages?.some(isOfUser))
        const delivered = api.config.includeMessageList ? await deliveredIn(api, spoken) : null
        return rows.map((row, place) => {
          const listed = delivered?.get(row.id)
          return { ...row, content: { details: details[place] ?? null, delivered: listed === undefined ? [] : listed } }
        })
      },

      identify: row => row.id,

      /** With the status, because a conversation ends by time alone. */
      fingerprint: (row, ctx) => jsonOf([endOf(row, ctx).status, { ...row, content: null }]) ?? '',

      normalise: (row, ctx) => {
        const turns = turnsOf(row).map(turn => ({ ...turn, atMs: realTime(turn.atMs, ctx) }))
        const details = row.content?.details ? detailsAttributes(row.content.details) : null
        const language = turns.find(turn => turn.language !== null)?.language
        const channel = row.channel.name ?? details?.channel.name ?? null
        const of = ctx.session({ botId: ctx.scope.botId ?? '', sessionId: row.id, channel, language })
        const userId = turns.flatMap(turn => turn.userId ?? [])[0] ?? text(row.attributes['businessKey']) ?? undefined
        const botMessages = details && turns.filter(turn => !turn.isUser).length
        const userMessages = row.userMessages ?? (details && turns.length - (botMessages ?? 0))
        const { config } = ctx
        const end = endOf(row, ctx)
        const transfer = transferIn(row.flows, config.transferFlowPattern)
        const hasSpoken = (userMessages ?? 0) > 0
        const drafts: Draft[] = [
          session(of, {
            startedAt: row.startedAtMs,
            ...end,
            containment: containmentOf(transfer, end.status === 'CLOSED' && hasSpoken),
            interactive: userMessages === null ? null : hasSpoken,
            languages: [...new Set(turns.flatMap(turn => turn.language ?? []))],
            userId,
            userMessages,
            botMessages,
            totalMessages: userMessages === null || botMessages === null ? null : userMessages + botMessages,
            satisfaction: row.satisfaction,
            tags: row.tags.map(tag => ({ name: tag.name })),
            attributes: {
              'org.uuid': config.orgUuid,
              'env.uuid': config.envUuid,
              ...details?.channel.attributes,
              ...row.channel.attributes,
              ...details?.attributes,
              ...row.attributes,
              ...(row.flows.length > 0 && { flowsTravelledNames: row.flows }),
              ...(row.content?.details === null && { details: 'gone' }),
              ...(row.content?.delivered === null && { message_list: 'refused' }),
            },
          }),
        ]
        for (const [seq, turn] of turns.entries())
          drafts.push(messageOf(of, row, turn, seq), ...responseEvents(of, row, turn, userId))
        return [...drafts, ...rowEvents(of, row, transfer, userId)]
      },
    },
  },
})

interface Api {
  readonly config: Config
  readonly scope: Scope
  readonly http: Http
}

function pathOf({ config, scope }: Api, path: string, sessionCode = ''): string {
  const parts: Readonly<Record<string, string>> = { org: config.orgUuid, env: config.envUuid, bot: scope.name, sessionCode }
  return path.replace(/\{(org|env|bot|sessionCode)\}/g, (_, part: string) => inUrl(parts[part] as string))
}

/**
 * The calendar days that touch the window, `[fromMs, untilMs)` as midnights of UTC; those of the zone and those of UTC. With the millisecond before
 * the window: should the vendor's ends be exclusive, the midnight between two days is in neither, and the window that begins there asks for both.
 */
function daysOf(window: Window, config: Config): Window {
  const zone = zoneOf(config.timezone)
  if (zone === null) throw new FlowError('CFG_INVALID', { path: 'timezone', hint: 'timezone names no zone' })
  const dayOf = (ms: number) => Math.floor(ms / DAY_MS) * DAY_MS
  const firstMs = window.fromMs - 1
  const lastMs = Math.max(window.fromMs, window.untilMs - 1)
  return {
    fromMs: Math.min(dayOf(firstMs), dayOf(wallOf(firstMs, zone))),
    untilMs: Math.max(dayOf(lastMs), dayOf(wallOf(lastMs, zone))) + DAY_MS,
  }
}

/**
 * Both ends are inclusive. Whether the time in a date counts, and in which zone, is not known: a first day from its midnight and a last day to
 * its last millisecond are the same days either way.
 */
function daysQuery({ fromMs, untilMs }: Window, config: Config): Query {
  return {
    [config.paramStartDate]: new Date(fromMs).toISOString(),
    [config.paramEndDate]: new Date(untilMs - 1).toISOString(),
    // They look like hours of each day, not of the two ends: never narrower than the day.
    [config.paramStartHour]: 0,
    [config.paramEndHour]: 23,
    // Whether older servers know it is not known; UTC is the documented default.
    [config.paramTimezone]: /^(utc|gmt|z|etc\/utc|[+-]00?(:?00)?)$/i.test(config.timezone) ? null : config.timezone,
  }
}

function ascending(config: Config): Query {
  return {
    [config.paramSize]: config.pageSize,
    [config.paramOrderBy]: 'conversationStartedAt',
    [config.paramDirection]: 'ASC',
  }
}

const NOTHING: ListPage = { content: [], last: true, total: null, pages: null, isOpen: true }

/** An answer without a body is not documented for a list: it may say that there is nothing, or be something between us. So it is asked for twice. */
function listPage(api: Api, path: string, query: Query, page: number): Promise<ListPage> {
  const ask = () => api.http.getJson(pathOf(api, path), { ...query, [api.config.paramPage]: page }, ListPage, { empty: NOTHING })
  return twice(ask, answer => answer.isOpen)
}

/** null: the vendor no longer knows the conversation. It says so by 404, or, asked twice as a list is, by nothing. */
async function detailsOf(api: Api, { id }: Conversation): Promise<Details | null> {
  const { config, http } = api
  const path = config.pathConversationsDetails
  const query = path.includes('{sessionCode}') ? {} : { [config.paramSessionCode]: id }
  const options = { empty: null, shownPath: path }
  const ask = () => http.getJson(pathOf(api, path, id), query, Details.nullable(), options)
  try {
    return await twice(ask, details => details === null)
  } catch (error) {
    if (error instanceof FlowError && error.code === 'SRC_REFUSED' && error.details['status'] === 404) return null
    throw error
  }
}

const isOfUser = (message: unknown) => isObject(message) && String(message['type']).toLowerCase() === 'user_input'

type Listed = readonly Readonly<Record<string, unknown>>[]

/**
 * What `messages/list` tells of each conversation, searched for by its session code. Where the vendor does not search, its first answer holds the
 * messages of all conversations of those days, and serves the others, too; that it names one of them shows it. A row that names nobody shows nothing.
 *
 * @returns By conversation; null: the list is refused, and was not asked for the others of its days.
 */
async function deliveredIn(api: Api, rows: readonly Conversation[]): Promise<Map<string, Listed | null>> {
  const found = new Map<string, Listed | null>()
  const keep = ({ id }: Conversation, all: Listed | null) =>
    found.set(id, all?.filter(each => sessionCodeOf(each) === id) ?? null)
  // One that does not tell how long it went on may have gone on beyond midnight.
  const days = ({ startedAtMs, durationMs }: Conversation) =>
    daysQuery(daysOf({ fromMs: startedAtMs, untilMs: startedAtMs + (durationMs ?? DAY_MS) + 1 }, api.config), api.config)
  for (const group of Map.groupBy(rows, row => JSON.stringify(days(row))).values()) {
    const [first, ...rest] = group as [Conversation, ...Conversation[]]
    const all = await messagesOf(api, days(first), first)
    keep(first, all)
    const others = new Set(all?.map(sessionCodeOf))
    others.delete(first.id)
    const searches = all !== null && !rest.some(({ id }) => others.has(id))
    await Promise.all(rest.map(async row => keep(row, searches ? await messagesOf(api, days(row), row) : all)))
  }
  return found
}

/**
 * All pages of one search. What the list tells is a gain, and nothing is lost without it: a page that comes again ends it, and one that is refused
 * (null) does not end the stream.
 */
async function messagesOf(api: Api, days: Query, of: Conversation): Promise<Listed | null> {
  try {
    return await messagePages(api, days, of)
  } catch (error) {
    if (error instanceof FlowError && isRefusal(error)) return null
    throw error
  }
}

/**
 * Whether it would be in vain to ask again later: 4xx but for 401, 501, or an answer of another form. Not where the token endpoint refused: it
 * tells no status.
 */
function isRefusal({ code, details }: FlowError): boolean {
  const status = number(details['status'])
  if (status === null) return false
  if (code === 'SRC_MALFORMED') return details['issues'] !== undefined
  return status === 501 || (['SRC_REFUSED', 'SRC_UNAUTHORISED'].includes(code) && status !== 401)
}

async function messagePages(api: Api, days: Query, { id }: Conversation): Promise<Listed> {
  const { config } = api
  const query = { ...days, ...ascending(config), [config.paramSearchBy]: 'SESSION_CODE', [config.paramSearchTerm]: id }
  const rows: unknown[] = []
  let before = ''
  for (let page = config.pageBase; ; page++) {
    const answer = await listPage(api, config.pathMessagesList, query, page)
    const content = jsonOf(answer.content) ?? ''
    const isRepeated = content === before
    if (!isRepeated) rows.push(...answer.content)
    // A vendor whose pages begin at 1 may answer page 0 like page 1.
    const isStuck = isRepeated && !(config.pageBase === 0 && page === 1)
    if (isStuck || isLastPage(answer, page - config.pageBase, rows.length)) return rows.filter(isObject)
    before = content
  }
}

/**
 * The vendor tells no end: a conversation is over when it has been silent for `session.timeout.ms`, and then ended with its duration. One that is
 * looked at for the last time and is not over by then has expired.
 */
function endOf({ startedAtMs, durationMs }: Pick<Conversation, 'startedAtMs' | 'durationMs'>, ctx: RowContext<Config>) {
  const lastMs = durationMs === null ? null : realTime(startedAtMs + durationMs, ctx)
  const isOver = lastMs !== null && ctx.observedAtMs - lastMs >= ctx.config.sessionTimeoutMs
  const isSeenLast = ctx.observedAtMs - startedAtMs >= ctx.lookbackMs
  if (!isOver && !isSeenLast) return { status: 'OPEN', endedAt: null, endedAtEstimated: false } as const
  return { status: isOver ? 'CLOSED' : 'EXPIRED', endedAt: lastMs, endedAtEstimated: lastMs !== null } as const
}

/** The flow that handed over to a person; null: none did; undefined: nobody knows, as no pattern is configured. */
function transferIn(flows: readonly string[], pattern: string | undefined): string | null | undefined {
  if (pattern === undefined) return undefined
  const regex = new RegExp(pattern, 'i')
  return flows.find(flow => regex.test(flow)) ?? null
}

function containmentOf(transfer: string | null | undefined, isServed: boolean): 'AGENT' | 'SELF_SERVICE' | 'UNKNOWN' {
  if (typeof transfer === 'string') return 'AGENT'
  return transfer === null && isServed ? 'SELF_SERVICE' : 'UNKNOWN'
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}
