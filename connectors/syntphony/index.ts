/**
 * Syntphony Conversational AI (formerly eva): conversations with their messages, flows, tags and ratings, from the dashboard API.
 *
 * `conversations/list` filters by calendar days and is paged by number; `conversations/details` returns all messages of one conversation; `messages/list`
 * returns only the user's messages, but with their time, confidence and business key, so it adds to the details. Rows keep changing after their start, so the
 * last 48 h are read again. No limit is documented: at most four parallel requests. From the vendor's docs and a client of the API, 2026-11; nothing here is
 * measured, and names that nobody has seen on the wire are settings.
 */
import { z } from 'zod'
import {
  defineConnector,
  type EnrichArgs,
  FlowError,
  type Http,
  inUrl,
  isObject,
  jsonOf,
  number,
  type Page,
  type Query,
  realTime,
  type RowContext,
  type Scope,
  session,
  text,
  twice,
  type Window,
  wallOf,
  type Zone,
  zoneOf,
} from '../../src/source/index.ts'
import { credentials } from './credentials.ts'
import { askAll, dashboardKeys, daysEndingIn, Point, pointDraft, questionsOf } from './dashboards.ts'
import { fieldKeys } from './fields.ts'
import { isOfNewest, newest } from './newest.ts'
import { isLastPage, listed } from './paging.ts'
import { pii } from './pii.ts'
import { handovers, messageDrafts, rowEvents } from './records.ts'
import {
  type ChannelInfo,
  type Conversation,
  type Details,
  detailsAttributes,
  detailsSchema,
  isOfUser,
  keyOf,
  ListPage,
  Row,
  rowSchema,
  sessionCodeOf,
  startOf,
  turnsOf,
} from './rows.ts'
import { channelIn, channelRule, isCovered, detectsTransfers } from './settings.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** No wall clock is farther from UTC. */
const FARTHEST_ZONE_MS = 14 * HOUR_MS
/** Less than the safety lag, so that only windows that are read again at the next poll end this close to now. */
const NEAR_MS = 60_000
const LONGEST_NEWEST_MS = 6 * HOUR_MS

const address = () => z.url({ protocol: /^https?$/, error: 'takes an http or https address' })
const uuid = () => z.string().regex(/^[^\s/,]+$/, 'takes a UUID')
const path = (operation: string) => z.string().min(1).default(`/eva-dashboard/org/{org}/env/{env}/bot/{bot}/${operation}`)
const name = (usual: string) => z.string().min(1).default(usual)
const hour = (usual: number) => z.int().min(0).max(23).default(usual)
const word = () => z.string().regex(/^[^,]+$/, 'takes a list of names without commas')

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
      .describe('Deprecated: flow~REGEX=agent_transferred in transfer.rules. Names of flows that hand over to a person'),
    channelMap: z
      .array(channelRule)
      .default([])
      .describe(
        'What channels are, a list of NAME=CHANNEL: the name or key of a channel (in any case, * is any run of characters), and what it is (web, whatsapp, …). The first that fits decides; other names are looked up',
      ),
    channelUuids: z
      .array(uuid())
      .default([])
      .describe('Only conversations of these channels, a comma list of channel keys; empty: all'),
    tags: z
      .array(word())
      .default([])
      .describe('Only conversations that went through these tags, a comma list of tag names; empty: all'),
    untagged: z.boolean().default(false).describe('Only conversations that went through no tag'),
    startHour: hour(0).describe('Only conversations that began in this hour of the day or later, 0 to 23, in timezone'),
    endHour: hour(23).describe('Only conversations that began in this hour of the day or earlier, 0 to 23, in timezone'),
    nlpResponses: z
      .array(z.enum(['FOUND', 'NONE', 'ALL']))
      .default([])
      .describe(
        'Only these user messages are asked of messages/list: FOUND, NONE or ALL; the others have no time then. Empty: not asked for',
      ),
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
    paramStartHour: name('startHour').describe('Query name of the first hour of the day'),
    paramEndHour: name('endHour').describe('Query name of the last hour of the day'),
    paramTimezone: name('timezone').describe('Query name of the zone'),
    paramPage: name('page').describe('Query name of the page number'),
    paramSize: name('size').describe('Query name of the page size'),
    paramOrderBy: name('orderBy').describe('Query name of the order; conversationStartedAt is asked for'),
    paramDirection: name('direction').describe('Query name of the direction; ASC is asked for, DESC for the newest rows'),
    paramSearchBy: name('searchBy').describe('Query name of what is searched by; SESSION_CODE is asked for'),
    paramSearchTerm: name('searchTerm').describe('Query name of the term that is searched for'),
    paramSessionCode: name('sessionCode').describe('Query name of the conversation, for its content'),
    paramChannelUuids: name('channelUuids').describe('Query name of the channels; an older client sent channelUUIDs'),
    paramTags: name('tags').describe('Query name of the tags'),
    paramUntagged: name('untagged').describe(
      'Query name of the filter for what went through no tag; the vendor documents no name',
    ),
    paramNlpResponses: name('nlpResponseFilters').describe('Query name of what the engine found'),
    ...fieldKeys,
    ...dashboardKeys,
  })
  .refine(config => !config.untagged || config.tags.length === 0, { path: ['untagged'], error: 'finds nothing beside tags' })
  .refine(config => config.startHour <= config.endHour, { path: ['startHour'], error: 'is later than end.hour' })
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
    optionalStreams: ['metrics'],
    pii,
  },
  config: Config,

  detectsTransfers,

  http: config => ({
    baseUrl: config.baseUrl.replace(/\/+$/, '').replace(/\/eva-dashboard$/, ''),
    auth: credentials(config),
    classify: ({ status }) => {
      // Listed for every operation, with an unknown cause.
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
        // A page's number means other rows if rows were added or removed meanwhile.
        durableResume: false,
      },

      scopes: botScopes,

      row: Row,
      rowFor: rowSchema,

      /**
       * The days that touch the window, whole, oldest first; for a window that ends now, only its newest rows, newest first, if they are known to be complete.
       * Of their rows those that began in it or a millisecond before, and those that no window of these days would take: without a start (they become dead
       * letters), or with one on another day.
       */
      async *read({ config, scope, window, resume, nowMs, http }) {
        if (isOfNewest(resume))
          throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'the newest rows are read from the first page' })
        const api = { config, scope, http }
        const days = daysOf(window, config)
        const isAsked = (row: unknown) => {
          const atMs = startOf(row, config)
          if (atMs === null || atMs < days.fromMs - FARTHEST_ZONE_MS || atMs >= days.untilMs + FARTHEST_ZONE_MS) return true
          return window.fromMs - 1 <= atMs && atMs < window.untilMs
        }
        const asked = (page: Page): Page => ({ rows: page.rows.filter(isAsked), resume: page.resume })
        const listing = (direction: Direction) => {
          const query = { ...daysQuery(days, config), ...filtersQuery(config), ...ordered(direction, config) }
          const ask = (page: number) => listPage(api, config.pathConversationsList, query, page)
          return { base: config.pageBase, ask, keyOf: (row: unknown) => keyOf(row, config) }
        }
        if (resume === null && isNewest(window, nowMs)) {
          const rows = { startOf: (row: unknown) => startOf(row, config), fromMs: window.fromMs - 1, rowsLeave: config.untagged }
          const pages = newest({ ...listing('DESC'), ...rows })
          let next = await pages.next()
          for (; !next.done; next = await pages.next()) yield asked(next.value)
          if (next.value) return
        }
        for await (const page of listed(listing('ASC'), resume)) yield asked(page)
      },

      enrich: async ({ rows, reject, transferredAt, ...api }) => {
        const { config } = api
        const schema = detailsSchema(config)
        const details = await Promise.all(rows.map(row => detailsOf(api, row, schema)))
        const spoken = rows.filter((_, place) => details[place]?.messages?.some(message => isOfUser(message, config)))
        const delivered = config.includeMessageList ? await deliveredIn(api, spoken, reject) : null
        return rows.map((row, place) => {
          const listed = delivered?.get(row.id)
          return {
            ...row,
            content: {
              details: details[place] ?? null,
              delivered: listed === undefined ? [] : listed,
              ...(transferredAt && { publishedTransferMs: transferredAt(row.id) }),
            },
          }
        })
      },

      requestsBeside: config => ({
        unknown: [
          `${config.includeMessageList ? 'two requests' : 'one request'} for each new or changed conversation, for its messages`,
          `one request for ${config.pageSize} conversations of the hours or days of a window`,
        ],
      }),

      identify: row => row.id,

      /** With the status, because a conversation ends by time alone. */
      fingerprint: (row, ctx) => jsonOf([endOf(row, ctx).status, { ...row, content: null }]) ?? '',

      normalise: (row, ctx) => {
        const { config } = ctx
        const turns = turnsOf(row, config).map(turn => ({ ...turn, atMs: realTime(turn.atMs, ctx) }))
        const details = row.content?.details ? detailsAttributes(row.content.details, config) : null
        const language = turns.find(turn => turn.language !== null)?.language
        const channel = row.channel.name === null ? details?.channel : row.channel
        const ref = sessionOf(row, channel, language, ctx)
        const userId = turns.flatMap(turn => turn.userId ?? [])[0] ?? text(row.attributes[config.fieldBusinessKey]) ?? undefined
        const botMessages = details && turns.filter(turn => !turn.isUser).length
        const userMessages = row.userMessages ?? (details && turns.length - (botMessages ?? 0))
        const end = endOf(row, ctx)
        const isTimeDue = config.includeMessageList
        const handed = handovers(ref, row, turns, userId, isTimeDue)
        const flow = transferIn(row.flows ?? [], config.transferFlowPattern)
        const knownMs = row.content?.publishedTransferMs ?? null
        // What was not read this time does not contradict what was published.
        const isUnread = row.content !== null && (row.content.details === null || row.content.delivered === null)
        const isTransferred = handed.length > 0 || flow !== null || (isUnread && knownMs !== null)
        const hasSpoken = (userMessages ?? 0) > 0
        const isServed = end.status === 'CLOSED' && hasSpoken && isCovered(row, config, ctx.transfers)
        const fields = {
          startedAt: row.startedAtMs,
          ...end,
          containment: isTransferred ? 'AGENT' : isServed ? 'SELF_SERVICE' : 'UNKNOWN',
          transferredAt: isTransferred ? (knownMs ?? handed[0]?.atMs) : null,
          interactive: userMessages === null ? null : hasSpoken,
          languages: [...new Set(turns.flatMap(turn => turn.language ?? []))],
          userId,
          userMessages,
          botMessages,
          totalMessages: userMessages === null || botMessages === null ? null : userMessages + botMessages,
          satisfaction: row.satisfaction,
          tags: row.tags?.map(tag => ({ name: tag.name })) ?? [],
          attributes: {
            'org.uuid': config.orgUuid,
            'env.uuid': config.envUuid,
            ...details?.channel.attributes,
            ...row.channel.attributes,
            ...details?.attributes,
            ...row.attributes,
            ...(row.flows && row.flows.length > 0 && { flowsTravelledNames: row.flows }),
            ...(row.content?.details === null && { details: 'gone' }),
            ...(row.content?.delivered === null && { message_list: 'refused' }),
          },
        }
        return [
          session(ref, fields, { flow: row.flows }),
          ...messageDrafts(ref, row, turns, userId, isTimeDue),
          ...handed.flatMap(({ draft }) => draft ?? []),
          ...rowEvents(ref, row, flow, userId),
        ]
      },
    },

    /** The vendor's dashboards, of days that are over. Their values may change until the day has settled. */
    metrics: {
      feeds: ['event'],
      window: {
        longestMs: 7 * DAY_MS,
        smallestMs: DAY_MS,
        lagMs: 2 * HOUR_MS,
        settles: true,
        lookbackMs: 3 * DAY_MS,
        lookbackIntervalMs: 6 * HOUR_MS,
        pollIntervalMs: 15 * 60_000,
        durableResume: false,
      },
      scopes: botScopes,
      row: Point,
      read({ config, scope, window, resume, http }) {
        const questions = questionsOf(config, daysEndingIn(window, zoneIn(config)))
        return askAll(questions, config, resume, ({ kind, path, resource, day: { wall } }) => {
          const query = kind === 'summary' ? {} : { ...daysQuery(wall, config), ...filtersQuery({ ...config, untagged: false }) }
          const asked = pathOf({ config, scope, http }, path.replaceAll('{resource}', resource ?? ''))
          return http.getJson(asked, query, z.unknown(), { empty: null, shownPath: path })
        })
      },
      requestsBeside: config => {
        const aDay = questionsOf(
          config,
          daysEndingIn({ fromMs: 0, untilMs: DAY_MS }, zoneIn({ ...config, timezone: 'UTC' })),
        ).length
        return { unknown: [`${aDay} requests for each day that ends in a window, and none for one in which no day ends`] }
      },
      identify: row => row.id,
      fingerprint: row => jsonOf([row.value, row.more]) ?? '',
      normalise: (row, ctx) => {
        const { name, uuid } = row.channel
        const channel = channelIn(ctx.config.channelMap, name, uuid) ?? name
        return [pointDraft(row, ctx, channel, name === null && uuid === null ? comparableTo(row, ctx.config) : null)]
      },
    },
  },
})

function botScopes(config: Config): Scope[] {
  return [...new Set(config.botUuids)].map(bot => ({ name: bot, botId: bot }))
}

/** Our measure that counts the same as a total of the vendor; null: none. */
function comparableTo({ dashboard }: Point, config: Config): string | null {
  // The dashboards do not have this filter.
  if (config.untagged) return null
  return { conversations: 'sessions', messages: 'messages_user' }[dashboard] ?? null
}

/** The session's identity, with the channel from `channel.map`. */
function sessionOf(
  row: Conversation,
  channel: ChannelInfo | undefined,
  language: string | null | undefined,
  ctx: RowContext<Config>,
) {
  const name = channel?.name ?? null
  const ref = ctx.session({ botId: ctx.scope.botId ?? '', sessionId: row.id, channel: name, language })
  const uuid = text(row.channel.attributes['channel.uuid'] ?? channel?.attributes['channel.uuid'])
  const mapped = channelIn(ctx.config.channelMap, name, uuid)
  return mapped === null ? ref : { ...ref, channel: mapped }
}

interface Api {
  readonly config: Config
  readonly scope: Scope
  readonly http: Http
}

function pathOf({ config, scope }: Api, path: string, sessionCode = ''): string {
  const parts: Readonly<Record<string, string>> = { org: config.orgUuid, env: config.envUuid, bot: scope.name, sessionCode }
  return path.replace(/\{(org|env|bot|sessionCode)\}/g, (_, part: string) => inUrl(parts[part] as string))
}

function zoneIn({ timezone }: Config): Zone {
  const zone = zoneOf(timezone)
  if (zone === null) throw new FlowError('CFG_INVALID', { path: 'timezone', hint: 'timezone names no zone' })
  return zone
}

/**
 * The calendar days that touch the window, `[fromMs, untilMs)` as midnights of UTC; those of the zone and those of UTC. Including the millisecond before the
 * window: if the vendor's ends are exclusive, the midnight between two days is in neither, and the window that begins there requests both.
 */
function daysOf(window: Window, config: Config): Window {
  const zone = zoneIn(config)
  const dayOf = (ms: number) => Math.floor(ms / DAY_MS) * DAY_MS
  const firstMs = window.fromMs - 1
  const lastMs = Math.max(window.fromMs, window.untilMs - 1)
  return {
    fromMs: Math.min(dayOf(firstMs), dayOf(wallOf(firstMs, zone))),
    untilMs: Math.max(dayOf(lastMs), dayOf(wallOf(lastMs, zone))) + DAY_MS,
  }
}

/**
 * Both ends are inclusive. Whether the time in a date counts, and in which zone, is unknown: from the midnight of the first day to the last millisecond of the
 * last one are the same days either way.
 */
function daysQuery({ fromMs, untilMs }: Window, config: Config): Query {
  return {
    [config.paramStartDate]: new Date(fromMs).toISOString(),
    [config.paramEndDate]: new Date(untilMs - 1).toISOString(),
    // They seem to be hours of each day, not of the two ends.
    [config.paramStartHour]: 0,
    [config.paramEndHour]: 23,
    // It is unknown whether older servers support it; UTC is the documented default.
    [config.paramTimezone]: /^(utc|gmt|z|etc\/utc|[+-]00?(:?00)?)$/i.test(config.timezone) ? null : config.timezone,
  }
}

/** The filters of the request, besides its days. A filter that is not set is not sent. */
function filtersQuery(config: Config): Query {
  return {
    [config.paramStartHour]: config.startHour,
    [config.paramEndHour]: config.endHour,
    ...channelsQuery(config),
    [config.paramTags]: joined(config.tags),
    [config.paramUntagged]: config.untagged ? true : null,
  }
}

function channelsQuery(config: Config): Query {
  return { [config.paramChannelUuids]: joined(config.channelUuids) }
}

function joined(words: readonly string[]): string | null {
  return words.length === 0 ? null : words.join(',')
}

type Direction = 'ASC' | 'DESC'

function ordered(direction: Direction, config: Config): Query {
  return {
    [config.paramSize]: config.pageSize,
    [config.paramOrderBy]: 'conversationStartedAt',
    [config.paramDirection]: direction,
  }
}

/** Windows read at every poll. Older windows are read by their whole days, whose rows are counted. */
function isNewest({ fromMs, untilMs }: Window, nowMs: number): boolean {
  return untilMs >= nowMs - NEAR_MS && untilMs - fromMs <= LONGEST_NEWEST_MS
}

const NOTHING: ListPage = { content: [], last: true, total: null, pages: null, isOpen: true }

/** An answer without a body is not documented for a list: it may mean that there is nothing, or come from something in between. So it is requested twice. */
function listPage(api: Api, path: string, query: Query, page: number): Promise<ListPage> {
  const ask = () => api.http.getJson(pathOf(api, path), { ...query, [api.config.paramPage]: page }, ListPage, { empty: NOTHING })
  return twice(ask, answer => answer.isOpen)
}

/** null: the vendor no longer knows the conversation. It says so by 404, or by an empty answer, requested twice like a list. */
async function detailsOf(api: Api, { id }: Conversation, schema: ReturnType<typeof detailsSchema>): Promise<Details | null> {
  const { config, http } = api
  const path = config.pathConversationsDetails
  const query = path.includes('{sessionCode}') ? {} : { [config.paramSessionCode]: id }
  const options = { empty: null, shownPath: path }
  const ask = () => http.getJson(pathOf(api, path, id), query, schema.nullable(), options)
  try {
    return await twice(ask, details => details === null)
  } catch (error) {
    if (error instanceof FlowError && error.code === 'SRC_REFUSED' && error.details['status'] === 404) return null
    throw error
  }
}

type Listed = readonly Readonly<Record<string, unknown>>[]

/**
 * The rows of `messages/list` of each conversation, searched for by its session code. If the vendor does not search, its first answer has the messages of all
 * conversations of those days, and is used for the others, too; that it names one of them shows it. A row without a conversation cannot be assigned, and is
 * rejected.
 *
 * @returns By conversation; null: the list is refused, and was not requested for the others of its days.
 */
async function deliveredIn(
  api: Api,
  rows: readonly Conversation[],
  reject: EnrichArgs['reject'],
): Promise<Map<string, Listed | null>> {
  const found = new Map<string, Listed | null>()
  const keep = ({ id }: Conversation, all: Listed | null) =>
    found.set(id, all?.filter(each => sessionCodeOf(each, api.config) === id) ?? null)
  const ask = async (row: Conversation) => {
    const all = await messagesOf(api, days(row), row)
    for (const each of all ?? [])
      if (!isNamed(each, api.config)) reject?.(each, { path: api.config.fieldSessionCode, hint: UNNAMED })
    return all?.filter(isObject) ?? null
  }
  // A conversation without a duration may have continued beyond midnight.
  const days = ({ startedAtMs, durationMs }: Conversation) =>
    daysQuery(daysOf({ fromMs: startedAtMs, untilMs: startedAtMs + (durationMs ?? DAY_MS) + 1 }, api.config), api.config)
  for (const group of Map.groupBy(rows, row => JSON.stringify(days(row))).values()) {
    const [first, ...rest] = group as [Conversation, ...Conversation[]]
    const all = await ask(first)
    keep(first, all)
    const others = new Set(all?.map(each => sessionCodeOf(each, api.config)))
    others.delete(first.id)
    const searches = all !== null && !rest.some(({ id }) => others.has(id))
    await Promise.all(rest.map(async row => keep(row, searches ? await ask(row) : all)))
  }
  return found
}

const UNNAMED = 'a row of messages/list names no conversation; is field.session.code right?'

function isNamed(row: unknown, config: Config): boolean {
  return isObject(row) && sessionCodeOf(row, config) !== null
}

/** All pages of one search. The list is optional: a repeated page ends it, and a rejected one (null) does not end the stream. */
async function messagesOf(api: Api, days: Query, conversation: Conversation): Promise<readonly unknown[] | null> {
  try {
    return await messagePages(api, days, conversation)
  } catch (error) {
    if (error instanceof FlowError && isRefusal(error)) return null
    throw error
  }
}

/** Whether a later retry is pointless: 4xx except 401, 501, or an answer of another form. Not for errors of the token endpoint, which have no status. */
function isRefusal({ code, details }: FlowError): boolean {
  const status = number(details['status'])
  if (status === null) return false
  if (code === 'SRC_MALFORMED') return details['issues'] !== undefined
  return status === 501 || (['SRC_REFUSED', 'SRC_UNAUTHORISED'].includes(code) && status !== 401)
}

async function messagePages(api: Api, days: Query, { id }: Conversation): Promise<readonly unknown[]> {
  const { config } = api
  const query = {
    ...days,
    ...channelsQuery(config),
    [config.paramNlpResponses]: joined(config.nlpResponses),
    ...ordered('ASC', config),
    [config.paramSearchBy]: 'SESSION_CODE',
    [config.paramSearchTerm]: id,
  }
  const rows: unknown[] = []
  let before = ''
  for (let page = config.pageBase; ; page++) {
    const answer = await listPage(api, config.pathMessagesList, query, page)
    const content = jsonOf(answer.content) ?? ''
    const isRepeated = content === before
    if (!isRepeated) rows.push(...answer.content)
    // A vendor whose pages begin at 1 may answer page 0 like page 1.
    const isStuck = isRepeated && !(config.pageBase === 0 && page === 1)
    if (isStuck || isLastPage(answer, page - config.pageBase, rows.length)) return rows
    before = content
  }
}

/**
 * The vendor has no end: a conversation is over when it has been silent for `session.timeout.ms`, and then ended with its duration. One that is seen for the
 * last time and is not over by then has expired.
 */
function endOf({ startedAtMs, durationMs }: Pick<Conversation, 'startedAtMs' | 'durationMs'>, ctx: RowContext<Config>) {
  const lastMs = durationMs === null ? null : realTime(startedAtMs + durationMs, ctx)
  const isOver = lastMs !== null && ctx.observedAtMs - lastMs >= ctx.config.sessionTimeoutMs
  const isSeenLast = ctx.observedAtMs - startedAtMs >= ctx.lookbackMs
  if (!isOver && !isSeenLast) return { status: 'OPEN', endedAt: null, endedAtEstimated: false } as const
  return { status: isOver ? 'CLOSED' : 'EXPIRED', endedAt: lastMs, endedAtEstimated: lastMs !== null } as const
}

/** The flow that handed over to a person, by the deprecated `transfer.flow.pattern`; null: none did, as far as is known. */
function transferIn(flows: readonly string[], pattern: string | undefined): string | null {
  if (pattern === undefined) return null
  const regex = new RegExp(pattern, 'i')
  return flows.find(flow => regex.test(flow)) ?? null
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}
