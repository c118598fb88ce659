/**
 * A simulator of Sinch Chatlayer's Analytics API over the seeded world: tracking events, flows of conversations, series of bots and of their team, according to
 * the vendor's docs; where they say nothing, or two things, see `simulator/quirks.ts`. Nothing here was measured against the vendor. Only answers with 200 are
 * documented: statuses and bodies of all errors are assumed.
 */
import {
  type Conversation,
  onceEach,
  Random,
  type Reply,
  type Request,
  RollingLimit,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
} from '../../src/sim/index.ts'
import { PLAIN, type Quirks } from './simulator/quirks.ts'
import {
  BINS,
  type Bucket,
  bucketsOf,
  groupsOf,
  histogram,
  instantText,
  isIn,
  type Labels,
  lists,
  measured,
  seriesData,
  shortestOf,
  type Stat,
  type Traits,
  traitsOf,
} from './simulator/series.ts'
import {
  conversationIdOf,
  LONGEST_MS,
  type Part,
  partsOf,
  type Team,
  teamOf,
  type TrackingEvent,
  trackingEventsOf,
  type Transition,
  transitionsOf,
  type Version,
} from './simulator/team.ts'

export { PLAIN, type Quirks } from './simulator/quirks.ts'
export { BINS, bucketsOf, histogram, measured, type Stat } from './simulator/series.ts'
export {
  OFFLOAD,
  OFFLOADING_CLOSED,
  OFFLOADING_OPENED,
  channelTypeOf,
  conversationIdOf,
  GAP_MS,
  type Part,
  partsOf,
  type Team,
  type TrackingEvent,
  trackingEventsOf,
  type Transition,
  transitionsOf,
  type Version,
} from './simulator/team.ts'

const SECOND = 1000
/** "above 100 is coerced to 100". */
const MOST_ROWS = 100
/** How often the quirks `grows` and `shrinks` disturb a listing. */
const DISTURBANCES = 3

export interface ChatlayerOptions extends SimulatorOptions {
  /** Id of the token's team. Default `acme`. */
  readonly team?: string
  /** Which bots of the world the team has. Default: all. */
  readonly bots?: readonly string[]
  readonly tokenId?: string
  readonly tokenSecret?: string
  /** One of this many conversations is with the draft of its bot, in addition to those of testers. Default 0: none. */
  readonly draftEvery?: number
  /** Most events per page, instead of 100. */
  readonly pageSize?: number
  readonly quirks?: Partial<Quirks>
}

export interface ChatlayerSimulator extends Simulator {
  readonly world: World
  readonly team: Team
  readonly quirks: Quirks
  /** Requests answered with 429. */
  refusedForQuota(): number
}

export const simulator: SimulatorPlugin = { vendor: 'chatlayer', start: startChatlayerSimulator }

export async function startChatlayerSimulator(options: ChatlayerOptions): Promise<ChatlayerSimulator> {
  const { world, now = Date.now, arrivalClock = Date.now } = options
  const quirks: Quirks = { ...PLAIN, ...options.quirks }
  const team = teamOf(world, { team: options.team ?? 'acme', bots: options.bots, draftEvery: options.draftEvery ?? 0 })
  const random = new Random(world.options.seed, 4, 8)
  const token = { id: options.tokenId ?? `sim-${random.id(8)}`, secret: options.tokenSecret ?? `sim-secret-${random.id(32)}` }
  const limit = new RollingLimit(quirks.requestsPerSecond, SECOND)
  let refused = 0
  const api: Api = {
    world,
    team,
    quirks,
    now: () => now() + quirks.clockOffsetMs,
    pageSize: Math.min(options.pageSize ?? MOST_ROWS, MOST_ROWS),
    disturbed: new Set(),
    eventsOf: onceEach(conversation => trackingEventsOf(conversation, team, quirks)),
    partsOf: onceEach(conversation => partsOf(conversation, team)),
  }
  const server = await serve({
    arrivalClock,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    handler: request => {
      if (!isKnown(request, token, quirks)) return fault(401, 16, 'the token is not valid')
      const waitMs = limit.take(arrivalClock())
      if (waitMs > 0) {
        refused++
        return tooMany(waitMs, arrivalClock(), quirks)
      }
      return route(request, api)
    },
  })
  return {
    vendor: 'chatlayer',
    world,
    team,
    quirks,
    url: server.url,
    config: {
      account: team.id,
      'base.url': server.url,
      'token.id': token.id,
      'token.secret': token.secret,
      'bot.ids': team.bots.map(({ id }) => id).join(','),
      'team.ids': team.id,
      ...(quirks.auth === 'bearer' ? { 'auth.scheme': 'bearer' } : {}),
    },
    faults: server.faults,
    log: server.log,
    refusedForQuota: () => refused,
    stats: () => server.stats(),
    stop: () => server.stop(),
  }
}

interface Api {
  readonly world: World
  readonly team: Team
  readonly quirks: Quirks
  readonly now: () => number
  readonly pageSize: number
  /** Ids of events that were missing from a page once. */
  readonly disturbed: Set<string>
  readonly eventsOf: (conversation: Conversation) => readonly TrackingEvent[]
  readonly partsOf: (conversation: Conversation) => readonly Part[]
}

function isKnown({ headers }: Request, token: { id: string; secret: string }, { auth }: Quirks): boolean {
  const shown = `${token.id}:${token.secret}`
  return headers.authorization === (auth === 'basic' ? `Basic ${Buffer.from(shown).toString('base64')}` : `Bearer ${shown}`)
}

const BOT = /^\/v1\/bots\/([^/]+)\/(.+)$/
const TEAM = /^\/v1\/teams\/([^/]+)\/conversations$/
const FLOW = /^conversations\/([^/]+)\/flow$/

function route(request: Request, api: Api): Reply {
  const { method, path } = request
  if (method === 'POST' && path === '/v1/echo') return echo(request)
  const [, teamId] = TEAM.exec(path) ?? []
  if (teamId !== undefined && method === 'GET')
    return decodeURIComponent(teamId) === api.team.id ? teamUsage(request, api) : fault(403, 7, 'not your team')
  const [, botId = '', rest = ''] = BOT.exec(path) ?? []
  if (rest === '') return fault(404, 5, 'there is no such operation')
  const bot = decodeURIComponent(botId)
  if (!api.team.bots.some(({ id }) => id === bot)) return fault(403, 7, "not a bot of the token's team")
  const [, conversationId] = FLOW.exec(rest) ?? []
  if (method === 'GET' && conversationId !== undefined) return flow(request, api, bot, decodeURIComponent(conversationId))
  switch (`${method} ${rest}`) {
    case 'GET events/stream':
      return listEvents(Object.fromEntries(request.query), [], api, bot)
    case 'GET events/definitions':
      return definitions(request, api, bot)
    case 'POST events/stream':
      return searchEvents(request, api, bot)
    case 'GET conversations':
      return conversationSeries(request, api, bot)
    case 'GET conversations/insights':
      return insights(request, api, bot)
    case 'GET messages':
      return messageSeries(request, api, bot)
    default:
      return fault(404, 5, 'there is no such operation')
  }
}

function echo({ body }: Request): Reply {
  const said = parsed(body)?.['message']
  return typeof said === 'string' ? json({ message: said }) : fault(400, 3, 'message is required')
}

/** Where a listing of events continues. */
interface ListPosition {
  readonly skip: number
  readonly page: number
  readonly atMs: number
}

type Filter = { readonly key: string; readonly value: readonly string[] }

/** The body has the names of the query, and filters on attributes, whose operators are not documented: all mean equality here. */
function searchEvents(request: Request, api: Api, bot: string): Reply {
  const body = parsed(request.body)
  if (body === null) return fault(400, 3, 'the body is no JSON object')
  const { filters, ...rest } = body
  const asked = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)]))
  return listEvents(asked, Array.isArray(filters) ? (filters as Filter[]) : [], api, bot)
}

function listEvents(asked: Readonly<Record<string, string>>, filters: readonly Filter[], api: Api, bot: string): Reply {
  const { quirks, now, pageSize } = api
  const ranged = rangeOf(asked)
  if ('status' in ranged) return ranged
  const nowMs = now()
  const place = placeOf(quirks.ignoresToken ? '' : (asked['page_token'] ?? ''), nowMs, quirks)
  if (place === null) return fault(400, 3, 'page_token is not valid')
  const wanted = Number(asked['page_size'] ?? pageSize)
  if (!Number.isInteger(wanted) || wanted < 1) return fault(400, 3, 'page_size is not a positive number')

  const all = eventsIn(ranged, nowMs, api, bot).filter(event => isAskedFor(event, asked, filters))
  const events = disturbed(ordered(all, quirks), place, api)
  const size = Math.min(wanted, pageSize)
  const rows =
    quirks.emptyPages && place.page % 2 === 1
      ? 0
      : quirks.shortPages && size > 1
        ? Math.ceil(size / (2 + (place.page % 3)))
        : size
  const page = events.slice(place.skip, place.skip + rows)
  const next = place.skip + rows < events.length ? seal({ skip: place.skip + rows, page: place.page + 1, atMs: nowMs }) : null
  return json({
    ...lists({ events: page.map(event => eventRow(event, quirks)) }, quirks),
    ...(next !== null ? { next_page_token: next } : quirks.lastToken === 'empty' ? { next_page_token: '' } : {}),
  })
}

const MONTH_MS = 30 * 86_400_000

/** Of both versions; the names that have occurred so far. */
function definitions({ query }: Request, api: Api, bot: string): Reply {
  const nowMs = api.now()
  const place = placeOf(query.get('page_token') ?? '', nowMs, api.quirks)
  if (place === null) return fault(400, 3, 'page_token is not valid')
  const all = (['LIVE', 'DRAFT'] as const)
    .flatMap(version => eventsIn({ version, fromMs: 0, untilMs: nowMs }, nowMs, api, bot))
    .toSorted((a, b) => a.atMs - b.atMs)
  const named = [...Map.groupBy(all, ({ event }) => event)].map(([event, some], index) => ({
    id: `${bot}-${index}`,
    team_id: api.team.id,
    bot_id: bot,
    event,
    description: '',
    created_at: new Date(some[0]?.atMs ?? nowMs).toISOString(),
    last_seen_at: new Date(some.at(-1)?.atMs ?? nowMs).toISOString(),
    volume_30_day: some.filter(({ atMs }) => atMs > nowMs - MONTH_MS).length,
  }))
  const size = Math.min(Number(query.get('page_size') ?? api.pageSize) || api.pageSize, api.pageSize)
  const until = place.skip + size
  const next = until < named.length ? seal({ skip: until, page: place.page + 1, atMs: nowMs }) : null
  return json({
    ...lists({ event_definitions: named.slice(place.skip, until) }, api.quirks),
    ...(next !== null ? { next_page_token: next } : {}),
  })
}

function eventsIn({ version, fromMs, untilMs }: Ranged, nowMs: number, api: Api, bot: string): TrackingEvent[] {
  const { quirks } = api
  const after = quirks.windowEdges === 'open' ? fromMs + 1 : fromMs
  const before = quirks.windowEdges === 'closed' ? untilMs + 1 : untilMs
  return [...conversationsIn(api, bot, after - LONGEST_MS, before + quirks.timestampStepMs, nowMs)]
    .filter(conversation => api.team.versionOf(conversation) === version)
    .flatMap(api.eventsOf)
    .filter(({ atMs, visibleAtMs }) => after <= atMs && atMs < before && visibleAtMs <= nowMs)
}

function* conversationsIn({ world, team }: Api, bot: string | null, fromMs: number, untilMs: number, nowMs: number) {
  for (const conversation of world.at(nowMs).between(fromMs, untilMs))
    if (team.has(conversation) && (bot === null || conversation.bot.id === bot)) yield conversation
}

function isAskedFor(event: TrackingEvent, asked: Readonly<Record<string, string>>, filters: readonly Filter[]): boolean {
  const fields: Record<string, string | null> = {
    event: event.event,
    conversation_id: event.conversationId,
    user_id: event.userId,
    campaign_id: null,
  }
  return (
    Object.entries(fields).every(([name, value]) => (asked[name] ?? '') === '' || asked[name] === value) &&
    filters.every(({ key, value }) => value.includes(event.attributes[key] ?? ''))
  )
}

function ordered(events: readonly TrackingEvent[], { eventOrder }: Quirks): TrackingEvent[] {
  const byTime = events.toSorted((a, b) => a.atMs - b.atMs || (a.id < b.id ? -1 : 1))
  if (eventOrder === 'newest') return byTime.toReversed()
  // By the ends of their ids, which are shuffled numbers.
  return eventOrder === 'shuffled' ? byTime.toSorted((a, b) => (a.id.slice(-3) + a.id < b.id.slice(-3) + b.id ? -1 : 1)) : byTime
}

/** `grows`: the first event of a listing of several pages appears only after the first of them. `shrinks`: it is missing from the others. */
function disturbed(
  events: readonly TrackingEvent[],
  place: ListPosition,
  { quirks, disturbed, pageSize }: Api,
): readonly TrackingEvent[] {
  const [first, ...rest] = events
  if (quirks.listing === 'still' || first === undefined || events.length <= pageSize) return events
  if ((quirks.listing === 'grows') !== (place.page === 0)) return events
  if (disturbed.has(first.id) || disturbed.size >= DISTURBANCES) return events
  disturbed.add(first.id)
  return rest
}

function eventRow(event: TrackingEvent, { eventIds }: Quirks): object {
  return {
    ...(eventIds ? { id: event.id } : {}),
    event: event.event,
    bot_id: event.botId,
    version: event.version,
    user_id: event.userId,
    channel_id: event.channelId,
    channel_type: event.channelType,
    ...(event.conversationId === null ? {} : { conversation_id: event.conversationId }),
    attributes: event.attributes,
    timestamp: new Date(event.atMs).toISOString(),
  }
}

function flow(request: Request, api: Api, bot: string, conversationId: string): Reply {
  const { quirks, now, team, world } = api
  const ranged = rangeOf(Object.fromEntries(request.query))
  if ('status' in ranged) return ranged
  const nowMs = now()
  const messageId = request.query.get('message_id')
  const found = [...conversationsIn(api, bot, ranged.fromMs - LONGEST_MS, ranged.untilMs, nowMs)].filter(
    conversation =>
      team.versionOf(conversation) === ranged.version && conversationIdOf(conversation, team, quirks) === conversationId,
  )
  const transitions = found
    .flatMap(({ index }) => transitionsOf(world.conversation(index)))
    .filter(({ atMs }) => ranged.fromMs <= atMs && atMs < ranged.untilMs && atMs <= nowMs)
    .filter(transition => messageId === null || transition.messageId === messageId)
  if (found.length === 0 && quirks.unknownFlow === '404') return fault(404, 5, 'there is no such conversation')
  return json({
    bot_id: bot,
    conversation_id: conversationId,
    user_id: found[0]?.person.id ?? '',
    ...lists({ transitions: transitions.map(each => transitionRow(each, quirks)) }, quirks),
  })
}

function transitionRow({ id, from, to, depth, atMs }: Transition, { depth: form, firstStep }: Quirks): object {
  const first = firstStep === 'told' ? { from_step: { id: 'introduction', type: 'bot_dialog' } } : {}
  return {
    id,
    ...(from === null ? first : { from_step: from }),
    to_step: to,
    depth: form === 'text' ? String(depth) : depth,
    timestamp: new Date(atMs).toISOString(),
  }
}

function conversationSeries(request: Request, api: Api, bot: string): Reply {
  const ranged = bucketedRange(request, ['1h', '1d', '1w'])
  if ('status' in ranged) return ranged
  const groupBy = request.query.get('group_by') ?? ''
  if (!['', 'channel_type', 'language'].includes(groupBy)) return fault(400, 3, 'group_by can be channel_type or language')
  const starts = partsIn(api, bot, ranged, request).map(part => ({ traits: traitsOf(part, api.team), atMs: part.startMs }))
  const groups = groupBy === '' ? [{}] : groupsOf(traitsOfBots(api, [bot]), [groupBy as keyof Traits])
  return series(starts, groups, ranged, api)
}

function messageSeries(request: Request, api: Api, bot: string): Reply {
  const ranged = bucketedRange(request, ['1h', '1d', '1w'])
  if ('status' in ranged) return ranged
  // "Filter by specific channel": one, unlike in the other series.
  const [channel, language] = ['channel_type', 'language'].map(name => request.query.get(name) ?? '')
  const isAsked = (part: Part) =>
    ['', part.channelType].includes(channel as string) && ['', part.language].includes(language as string)
  const all = partsIn(api, bot, ranged, { ...request, query: new URLSearchParams() }).filter(isAsked)
  const messages = all.flatMap(part => part.messages.map(atMs => ({ traits: traitsOf(part, api.team), atMs })))
  return series(messages, [{}], ranged, api)
}

const TEAM_GROUPS = ['bot_id', 'bot_version', 'team_id', 'channel_type', 'language', 'campaign_id', 'campaign_source']

/** Drafts count here too: a team pays for them. */
function teamUsage(request: Request, api: Api): Reply {
  if (request.query.get('bucket') === null) return fault(400, 3, 'bucket is required')
  const ranged = bucketedRange(request, ['1d', '1w', '1m'], null)
  if ('status' in ranged) return ranged
  const groupBy = listOf(request.query.getAll('group_by'))
  if (groupBy.some(key => !TEAM_GROUPS.includes(key))) return fault(400, 3, `group_by can be any of ${TEAM_GROUPS.join(', ')}`)
  const starts = partsIn(api, null, ranged, request).map(part => ({ traits: traitsOf(part, api.team), atMs: part.startMs }))
  const groups = groupsOf(
    traitsOfBots(
      api,
      api.team.bots.map(({ id }) => id),
    ),
    groupBy as (keyof Traits)[],
  )
  return series(starts, groups, ranged, api)
}

function insights(request: Request, api: Api, bot: string): Reply {
  const { quirks } = api
  const ranged = rangeOf(Object.fromEntries(request.query))
  if ('status' in ranged) return ranged
  const stat = request.query.get('stat') ?? ''
  if (!(stat in BINS)) return fault(400, 3, `stat is one of ${Object.keys(BINS).join(', ')}`)
  const parts = partsIn(api, bot, ranged, request).filter(({ startMs }) => ranged.fromMs <= startMs && startMs < ranged.untilMs)
  if (quirks.insightsAxis === 'bins') {
    const bins = BINS[stat as Stat]
    const drawn = [{ labels: {}, values: histogram(bins, measured(stat as Stat, parts)) }]
    const isLeftOut = quirks.emptyBuckets === 'left out' && parts.length === 0
    // A histogram has all of its bins, or there is none.
    return json(seriesData(isLeftOut ? [] : drawn, isLeftOut ? [] : bins.map(String), { ...quirks, emptyBuckets: 'zeros' }))
  }
  const days = bucketsOf('1d', ranged.fromMs, ranged.untilMs)
  const values = days.map(({ startMs, endMs }) => {
    const within = parts.filter(part => startMs <= part.startMs && part.startMs < endMs)
    return stat === 'num_conversations' ? within.length : measured(stat as Stat, within).reduce((sum, value) => sum + value, 0)
  })
  return json(
    seriesData(
      [{ labels: {}, values }],
      days.map(({ startMs }) => instantText(startMs, quirks)),
      quirks,
    ),
  )
}

/** Counts of what happened, in each bucket within the range, up to now. */
function series(
  happened: readonly { readonly traits: Traits; readonly atMs: number }[],
  groups: readonly Labels[],
  { bucket, fromMs, untilMs }: Bucketed,
  { quirks, now }: Api,
): Reply {
  const nowMs = now()
  const buckets = bucketsOf(bucket, fromMs, untilMs)
  const counted = groups.map(labels => {
    const mine = happened.filter(({ traits, atMs }) => isIn(traits, labels) && fromMs <= atMs && atMs < untilMs && atMs <= nowMs)
    const values = buckets.map(({ startMs, endMs }) => {
      const count = mine.filter(({ atMs }) => startMs <= atMs && atMs < endMs).length
      return count > 0 && nowMs < endMs + quirks.correctedAfterMs && quirks.correctedAfterMs > 0 ? count - 1 : count
    })
    return { labels, values }
  })
  return json(
    seriesData(
      counted,
      buckets.map(({ startMs }) => instantText(startMs, quirks)),
      quirks,
    ),
  )
}

function partsIn(api: Api, bot: string | null, range: Ranged, { query }: Request): Part[] {
  const channels = listOf(query.getAll('channel_type'))
  const languages = listOf(query.getAll('language'))
  return [...conversationsIn(api, bot, range.fromMs - LONGEST_MS, range.untilMs, api.now())]
    .flatMap(api.partsOf)
    .filter(({ version }) => range.version === null || version === range.version)
    .filter(part => channels.length === 0 || channels.includes(part.channelType))
    .filter(part => languages.length === 0 || languages.includes(part.language))
}

/** All possible traits of conversations with these bots. */
function traitsOfBots({ team }: Api, bots: readonly string[]): Traits[] {
  return team.bots
    .filter(({ id }) => bots.includes(id))
    .flatMap(bot =>
      (['LIVE', 'DRAFT'] as const).flatMap(version =>
        bot.channels.flatMap(({ name }) =>
          bot.languages.map(({ code }) =>
            traitsOf(
              { botId: bot.id, version, channelType: name === 'messenger' ? 'facebook' : name, language: code } as Part,
              team,
            ),
          ),
        ),
      ),
    )
}

interface Ranged {
  /** Null: both. */
  readonly version: Version | null
  readonly fromMs: number
  readonly untilMs: number
}

interface Bucketed extends Ranged {
  readonly bucket: Bucket
}

function rangeOf(asked: Readonly<Record<string, string>>, needsVersion = true): Ranged | Reply {
  const { version = '', start_time: start = '', end_time: end = '' } = asked
  if (needsVersion && version !== 'LIVE' && version !== 'DRAFT') return fault(400, 3, 'version is required: DRAFT or LIVE')
  const [fromMs, untilMs] = [timeOf(start), timeOf(end)]
  if (fromMs === null) return fault(400, 3, 'start_time is required, as RFC 3339')
  if (untilMs === null) return fault(400, 3, 'end_time is required, as RFC 3339')
  if (untilMs <= fromMs) return fault(400, 3, 'end_time must be after start_time')
  return { version: needsVersion ? (version as Version) : null, fromMs, untilMs }
}

/** "The interval should be smaller than the range": otherwise the request is rejected. The default bucket is not documented: a day. */
function bucketedRange({ query }: Request, allowed: readonly Bucket[], version: Version | null = 'LIVE'): Bucketed | Reply {
  const ranged = rangeOf(Object.fromEntries(query), version !== null)
  if ('status' in ranged) return ranged
  const bucket = (query.get('bucket') ?? '1d') as Bucket
  if (!allowed.includes(bucket)) return fault(400, 3, `bucket is one of ${allowed.join(', ')}`)
  if (ranged.untilMs - ranged.fromMs <= shortestOf(bucket)) return fault(400, 3, 'bucket must be smaller than the range')
  return { ...ranged, bucket }
}

function timeOf(text: string): number | null {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/
  const ms = form.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(ms) ? null : ms
}

/** Comma-separated as in the text, repeated as in the specification, or both. */
function listOf(values: readonly string[]): string[] {
  return values.flatMap(value => value.split(',')).filter(value => value !== '')
}

/** Null: an unknown or expired token. */
function placeOf(token: string, nowMs: number, { tokenLivesMs }: Quirks): ListPosition | null {
  if (token === '') return { skip: 0, page: 0, atMs: nowMs }
  const place = parsed(Buffer.from(token, 'base64url').toString()) as ListPosition | null
  return place === null || nowMs - place.atMs >= tokenLivesMs ? null : place
}

function seal(place: ListPosition): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function tooMany(waitMs: number, nowMs: number, { rateLimit, requestsPerSecond }: Quirks): Reply {
  const reply = fault(429, 8, 'too many requests')
  if (rateLimit === 'none') return reply
  const seconds = Math.ceil(waitMs / SECOND)
  if (rateLimit === 'retry-after') return { ...reply, headers: { 'retry-after': String(seconds) } }
  const untilSeconds = Math.ceil((nowMs + waitMs) / SECOND)
  const reset = { seconds: untilSeconds, milliseconds: nowMs + waitMs, wait: seconds }[rateLimit]
  const headers = { 'x-ratelimit-limit': requestsPerSecond, 'x-ratelimit-remaining': 0, 'x-ratelimit-reset': reset }
  return { ...reply, headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])) }
}

/** In the style of the gateway that such answers come from. */
function fault(status: number, code: number, message: string): Reply {
  return { status, body: JSON.stringify({ code, message, details: [] }) }
}

function json(body: unknown): Reply {
  return { status: 200, body: JSON.stringify(body) }
}
