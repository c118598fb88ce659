/**
 * A simulator of Syntphony Conversational AI over the seeded world: a Keycloak realm and the 19 operations of the dashboard API. Paths, names and shapes are
 * those of the vendor's docs where they have them, then those that a client has used, else proposals (the analytics and report operations above all); what is
 * open is in `simulator/quirks.ts`. Nothing here was measured against the vendor.
 *
 * Filters are read from the query of a GET or from the JSON body of a POST: the docs do not say which it is.
 */
import {
  type Conversation,
  onceEach,
  type Reply,
  type Request,
  serve,
  type Simulator,
  type SimulatorOptions,
  type SimulatorPlugin,
  type World,
  type WorldMessage,
  type WorldView,
} from '../../src/sim/index.ts'
import {
  envelope,
  type Filters,
  filtersOf,
  listOf,
  pagingOf,
  type Parameters,
  Refused,
  type Searchable,
} from './simulator/filters.ts'
import {
  type Bot,
  businessKeyOf,
  channelInfoOf,
  durationOf,
  flowsOf,
  HANDOVER,
  isListed,
  type Organization,
  organizationOf,
  satisfactionOf,
  sessionCodeOf,
  tagsOf,
  understoodIn,
} from './simulator/organization.ts'
import { PLAIN, type Quirks } from './simulator/quirks.ts'
import { Rows } from './simulator/rows.ts'
import { Tokens } from './simulator/tokens.ts'

export * from './simulator/organization.ts'
export { PLAIN, type Quirks } from './simulator/quirks.ts'

const DAY = 86_400_000
/** A conversation lasts at most two days; searches for messages begin this far back. */
const LONGEST_MS = 2 * DAY
/** Documented for the list of reports; for the others assumed. */
const REPORTS_PAGE = 5
const USUAL_PAGE = 20

export interface SyntphonyOptions extends SimulatorOptions {
  /** The organization, which is also the realm. Default `acme`. */
  readonly organization?: string
  readonly quirks?: Partial<Quirks>
  /** `page.size` of `config`. Default: the connector's own. */
  readonly pageSize?: number
}

export interface SyntphonySimulator extends Simulator {
  readonly world: World
  readonly organization: Organization
  readonly quirks: Quirks
  readonly tokens: Tokens
  /** Requests answered with 429. */
  refused(): number
}

export const simulator: SimulatorPlugin = { vendor: 'syntphony', start: startSyntphonySimulator }

export async function startSyntphonySimulator(options: SyntphonyOptions): Promise<SyntphonySimulator> {
  const { world, now = Date.now, arrivalClock = Date.now } = options
  const organization = organizationOf(world, options.organization ?? 'acme')
  const quirks: Quirks = { ...PLAIN, ...options.quirks }
  const tokens = new Tokens(world.options.seed, quirks, arrivalClock)
  const api = new Api(world, organization, quirks, now)
  const tokenPath = `/auth/realms/${organization.name}/protocol/openid-connect/token`
  let underWay = 0
  let refused = 0
  const server = await serve({
    arrivalClock,
    host: options.host,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    handler: async request => {
      if (request.method === 'POST' && request.path === tokenPath) return tokens.answer(request)
      if (!tokens.accepts(request)) return failure(401, 'Full authentication is required to access this resource', request, now())
      if (quirks.parallel > 0 && underWay >= quirks.parallel) {
        refused++
        return failure(429, 'Too many requests', request, now())
      }
      underWay++
      try {
        if (quirks.answerMs > 0) await new Promise(resolve => setTimeout(resolve, quirks.answerMs))
        return api.answer(request)
      } finally {
        underWay--
      }
    },
  })
  return {
    vendor: 'syntphony',
    world,
    organization,
    quirks,
    tokens,
    url: server.url,
    config: {
      'base.url': server.url,
      'token.url': `${server.url}${tokenPath}`,
      username: tokens.username,
      password: tokens.password,
      'org.uuid': organization.orgUuid,
      'env.uuid': organization.envUuid,
      'bot.uuids': organization.bots.map(({ uuid }) => uuid).join(','),
      'transfer.rules': `answer~^${HANDOVER}$=agent_transferred`,
      ...(options.pageSize === undefined ? {} : { 'page.size': String(options.pageSize) }),
    },
    faults: server.faults,
    log: server.log,
    stats: () => server.stats(),
    refused: () => refused,
    stop: () => server.stop(),
  }
}

interface Report {
  readonly reportUuid: string
  readonly type: string
  readonly status: 'REQUESTED'
  readonly requestedAt: string
}

interface Ask {
  readonly bot: Bot
  readonly parameter: Parameters
  readonly request: Request
  readonly view: WorldView
}

/** The operations below `/eva-dashboard`, by method and the part of the path after the bot. */
class Api {
  readonly #world: World
  readonly #organization: Organization
  readonly #quirks: Quirks
  readonly #now: () => number
  readonly #rows: Rows
  readonly #told: (conversation: Conversation) => Searchable
  readonly #reports = new Map<string, Report[]>()
  /** Conversation listings answered, by bot. */
  readonly #listings = new Map<string, number>()

  constructor(world: World, organization: Organization, quirks: Quirks, now: () => number) {
    this.#world = world
    this.#organization = organization
    this.#quirks = quirks
    this.#now = () => now() + quirks.clockAheadMs
    this.#rows = new Rows(organization, quirks)
    this.#told = onceEach(conversation => ({
      sessionCode: sessionCodeOf(organization, conversation),
      businessKey: businessKeyOf(conversation),
      channelUuid: channelInfoOf(organization, conversation).uuid,
      flows: flowsOf(conversation),
      tags: tagsOf(organization, conversation).map(({ name }) => name),
    }))
  }

  answer(request: Request): Reply {
    const { orgUuid, envUuid, bots } = this.#organization
    const path = /^\/eva-dashboard\/org\/([^/]+)\/env\/([^/]+)\/bot\/([^/]+)\/(.+)$/.exec(request.path)
    if (path === null) return failure(404, 'Not found', request, this.#now())
    const [, org, env, uuid, operation = ''] = path
    if (org !== orgUuid || env !== envUuid) return failure(403, 'Access is denied', request, this.#now())
    const bot = bots.find(each => each.uuid === uuid)
    if (bot === undefined) return failure(404, 'Bot not found', request, this.#now())
    try {
      const ask: Ask = { bot, parameter: parametersOf(request), request, view: this.#world.at(this.#now()) }
      return this.#operation(`${request.method} ${operation}`, operation, ask)
    } catch (error) {
      if (error instanceof Refused) return failure(error.status, error.message, request, this.#now())
      throw error
    }
  }

  #operation(call: string, operation: string, ask: Ask): Reply {
    switch (call) {
      case 'POST conversations/report':
      case 'POST messages/report':
      case 'POST conversations/details/report':
        return this.#orderReport(operation, ask)
      case 'POST conversations/report/preview':
        return json({ estimate: this.#conversations(ask).length })
      case 'POST messages/report/preview':
        return json({ estimate: this.#messages(ask).length })
      default:
    }
    if (operation.startsWith('dashboard/') && this.#quirks.dashboards === 'none')
      return failure(404, 'Not found', ask.request, this.#now())
    switch (operation) {
      case 'dashboard/summary':
        return this.#summary(ask)
      case 'conversations/report_configurations':
      case 'messages/report_configurations':
        return json({ maxSample: 10_000, availableExportTypes: ['CSV', 'XLSX'] })
      case 'dashboard/conversations':
      case 'dashboard/messages':
      case 'dashboard/users':
        return this.#traffic(operation.slice('dashboard/'.length), ask)
      case 'dashboard/accuracy':
        return this.#accuracy(ask)
      case 'dashboard/conversations/graph':
      case 'dashboard/messages/graph':
      case 'dashboard/users/graph':
        return this.#graph(operation.split('/')[1] as string, ask)
      case 'conversations/list':
        return this.#listConversations(ask)
      case 'conversations/details':
        return this.#details(ask)
      case 'messages/list':
        return this.#listMessages(ask)
      case 'reports':
        return json(
          envelope(
            this.#reports.get(ask.bot.uuid) ?? [],
            pagingOf(ask.parameter, this.#quirks, REPORTS_PAGE),
            this.#quirks,
            report => report,
          ),
        )
      default:
        return failure(404, 'Not found', ask.request, this.#now())
    }
  }

  #listConversations({ bot, parameter, ...ask }: Ask): Reply {
    const quirks = this.#quirks
    const paging = pagingOf(parameter, quirks, USUAL_PAGE)
    const found = this.#ordered(this.#conversations({ bot, parameter, ...ask }), parameter)
    const nth = this.#listings.get(bot.uuid) ?? 0
    this.#listings.set(bot.uuid, nth + 1)
    if (found.length > paging.size && quirks.betweenPages === 'row_shows' && nth === 0) found.splice(1, 1)
    if (found.length > paging.size && quirks.betweenPages === 'row_misses' && nth === 1) found.splice(1, 1)
    if (found.length === 0 && quirks.emptyListing === '204') return { status: 204 }
    return json(envelope(found, paging, quirks, conversation => this.#rows.conversation(conversation)))
  }

  #listMessages(ask: Ask): Reply {
    const quirks = this.#quirks
    const found = this.#messages(ask)
    if (ask.parameter('direction')?.toUpperCase() !== 'ASC' || quirks.order === 'ignored') found.reverse()
    if (found.length === 0 && quirks.emptyListing === '204') return { status: 204 }
    const paging = pagingOf(ask.parameter, quirks, USUAL_PAGE)
    return json(envelope(found, paging, quirks, ({ conversation, message }) => this.#rows.message(conversation, message)))
  }

  #details({ bot, parameter, request, view }: Ask): Reply {
    const code = parameter('sessionCode')
    if (code === null) throw new Refused(400, "Required request parameter 'sessionCode' is not present")
    const index = this.#indexOf(code, view)
    const conversation = index === null ? null : view.conversation(index)
    const { goneEvery } = this.#quirks
    const gone = conversation !== null && goneEvery > 0 && conversation.index % goneEvery === 0
    if (conversation === null || conversation.bot.id !== bot.spec.id || gone)
      return failure(404, 'Conversation not found', request, this.#now())
    return json(this.#rows.details(conversation))
  }

  readonly #indices = new Map<string, number>()
  #indexed = 0

  #indexOf(code: string, view: WorldView): number | null {
    for (; this.#indexed < view.count; this.#indexed++)
      this.#indices.set(this.#told(view.conversation(this.#indexed)).sessionCode, this.#indexed)
    const index = this.#indices.get(code)
    return index === undefined || index >= view.count ? null : index
  }

  /** The bot's conversations that match the filters, by start. */
  #conversations(ask: Ask): Conversation[] {
    const filters = filtersOf(ask.parameter, this.#quirks)
    const { lateMs, startStepMs } = this.#quirks
    const found: Conversation[] = []
    for (const conversation of ask.view.between(filters.fromMs, filters.toMs + startStepMs)) {
      if (lateMs > 0 && conversation.index % 5 === 0 && conversation.startedAtMs + lateMs > ask.view.nowMs) continue
      if (filters.takes(this.#rows.startOf(conversation)) && this.#isAskedFor(conversation, filters, ask))
        found.push(conversation)
    }
    return found
  }

  /** Messages of the user, oldest first, except those that the list leaves out. */
  #messages(ask: Ask): { readonly conversation: Conversation; readonly message: WorldMessage }[] {
    const filters = filtersOf(ask.parameter, this.#quirks)
    const wanted = listOf(ask.parameter('nlpResponseFilters'))
    const found: { conversation: Conversation; message: WorldMessage }[] = []
    for (const conversation of ask.view.between(filters.fromMs - LONGEST_MS, filters.toMs)) {
      if (!this.#isAskedFor(conversation, filters, ask)) continue
      for (const message of conversation.messages)
        if (filters.takes(message.atMs) && isListed(message) && isWanted(conversation, message, wanted))
          found.push({ conversation, message })
    }
    return found.sort((a, b) => a.message.atMs - b.message.atMs)
  }

  #isAskedFor(conversation: Conversation, filters: Filters, { bot }: Ask): boolean {
    return conversation.bot.id === bot.spec.id && filters.takesConversation(conversation, this.#told(conversation))
  }

  #ordered(found: Conversation[], parameter: Parameters): Conversation[] {
    const by = parameter('orderBy') ?? 'conversationStartedAt'
    const value = ORDERS[by]
    if (value === undefined) throw new Refused(400, 'orderBy is not known')
    const direction = parameter('direction')?.toUpperCase() ?? 'DESC'
    if (direction !== 'ASC' && direction !== 'DESC') throw new Refused(400, 'direction is ASC or DESC')
    const { order } = this.#quirks
    const codeOf = (conversation: Conversation) => this.#told(conversation).sessionCode
    if (order === 'by_code') return found.sort((a, b) => (codeOf(a) < codeOf(b) ? -1 : 1))
    const sign = order === 'oldest' || (order === 'kept' && direction === 'ASC') ? 1 : -1
    return found.sort((a, b) => sign * (value(a) - value(b) || a.index - b.index))
  }

  #summary({ bot, view }: Ask): Reply {
    for (const {
      startedAtMs,
      bot: { id },
    } of view.between(0, view.nowMs + 1))
      if (id === bot.spec.id) return json({ hasData: true, firstDataSet: new Date(startedAtMs).toISOString() })
    return json({ hasData: false, firstDataSet: null })
  }

  #count(resource: string, ask: Ask): Map<string, number> {
    const counts = new Map<string, number>()
    const met = new Set<string>()
    const add = (conversation: Conversation) => {
      const { uuid } = channelInfoOf(this.#organization, conversation)
      if (resource === 'users' && met.has(conversation.person.id)) return
      met.add(conversation.person.id)
      counts.set(uuid, (counts.get(uuid) ?? 0) + 1)
    }
    if (resource === 'messages') for (const { conversation } of this.#messages(ask)) add(conversation)
    else for (const conversation of this.#conversations(ask)) add(conversation)
    return counts
  }

  #traffic(resource: string, ask: Ask): Reply {
    const counts = this.#count(resource, ask)
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
    const channels = [...ask.bot.channels.values()].map(({ uuid, name }) => ({
      channel: { uuid, name },
      total: counts.get(uuid) ?? 0,
    }))
    return json({ resource: resource.toUpperCase(), overview: { total, previous: 0 }, channels })
  }

  #graph(resource: string, ask: Ask): Reply {
    const counts = this.#count(resource, ask)
    const { fromMs } = filtersOf(ask.parameter, this.#quirks)
    return json({
      resource: resource.toUpperCase(),
      channels: [...ask.bot.channels.values()].map(({ uuid, name }) => ({
        channel: { uuid, name },
        dataset: [{ date: new Date(fromMs).toISOString(), total: counts.get(uuid) ?? 0 }],
      })),
    })
  }

  #accuracy(ask: Ask): Reply {
    const { fromMs, toMs } = filtersOf(ask.parameter, this.#quirks)
    const asked = this.#messages(ask).flatMap(({ conversation, message }) => understoodIn(conversation, message) ?? [])
    const accuracy = asked.length === 0 ? 0 : asked.filter(({ missed }) => !missed).length / asked.length
    return json({
      accuracy,
      previousAccuracy: accuracy,
      increased: false,
      increaseRate: 0,
      previousStartDate: new Date(fromMs - (toMs + 1 - fromMs)).toISOString(),
      previousEndDate: new Date(fromMs - 1).toISOString(),
    })
  }

  #orderReport(operation: string, { bot, view }: Ask): Reply {
    const reports = this.#reports.get(bot.uuid) ?? []
    const report: Report = {
      reportUuid: `${bot.uuid.slice(0, -4)}${String(reports.length).padStart(4, '0')}`,
      type: operation,
      status: 'REQUESTED',
      requestedAt: new Date(view.nowMs).toISOString(),
    }
    this.#reports.set(bot.uuid, [...reports, report])
    return { status: 204 }
  }
}

const ORDERS: Readonly<Record<string, (conversation: Conversation) => number>> = {
  conversationStartedAt: ({ startedAtMs }) => startedAtMs,
  satisfaction: conversation => satisfactionOf(conversation) ?? 0,
  userMessages: ({ messages }) => messages.filter(({ sender }) => sender === 'user').length,
  flowsTravelled: conversation => flowsOf(conversation).length,
  duration: conversation => durationOf(conversation),
}

function isWanted(conversation: Conversation, message: WorldMessage, filters: readonly string[]): boolean {
  if (filters.length === 0 || filters.includes('ALL')) return true
  const understood = understoodIn(conversation, message)
  return understood !== null && filters.includes(understood.missed ? 'NONE' : 'FOUND')
}

function parametersOf({ method, query, body }: Request): Parameters {
  const posted = method === 'POST' && body !== '' ? (JSON.parse(body) as Record<string, string | number | boolean | null>) : {}
  return name => query.get(name) ?? posted[name]?.toString() ?? null
}

/** Spring's usual error body. The vendor's own is not documented. */
function failure(status: number, message: string, { path }: Request, nowMs: number): Reply {
  const error = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 422: 'Unprocessable Entity' }[
    status
  ]
  return {
    status,
    body: JSON.stringify({ timestamp: new Date(nowMs).toISOString(), status, error: error ?? 'Error', message, path }),
  }
}

function json(body: unknown): Reply {
  return { status: 200, body: JSON.stringify(body) }
}
