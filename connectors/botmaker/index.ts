/**
 * Botmaker: conversations with their messages and events, from `GET /v2.0/sessions`, or from the older v1 export.
 *
 * v2 filters and orders by session **start**; a session grows, and often closes, after it was first seen, so the last 48 h are read again (98.8 %
 * of closes came within a day of the start, all within two; many sessions never get one). There is no status field: an event
 * `conversation-close` is the end. Limits: windows of a month at most without `long-term-search`, pages of up to 500 sessions, about 1 request/s
 * an account. Every read is billed. From the vendor's help pages and from clients of the API, 2026-11; nothing here is measured.
 */
import { z } from 'zod'
import {
  defineConnector,
  type Draft,
  event,
  FlowError,
  type Http,
  jsonOf,
  message,
  type Page,
  type Query,
  type RowContext,
  saysFault,
  session,
  text,
  twice,
} from '../../src/source/index.ts'
import { channelWord } from './channel.ts'
import { credentials } from './credentials.ts'
import { notReady, readExport } from './export.ts'
import { pii } from './pii.ts'
import { type Conversation, type Happening, Row, type Turn } from './rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const V2_ROOT = 'https://api.botmaker.com/v2.0'
const V1_ROOT = 'https://go.botmaker.com/api/v1.0'

const Config = z
  .strictObject({
    accessToken: z
      .string()
      .min(1)
      .meta({ secret: true })
      .describe('API token from Integrations > API; it selects the business account'),
    apiVersion: z
      .enum(['v2', 'v1'])
      .default('v2')
      .describe('v2: GET /sessions. v1: the deprecated export, metrics/download and download-page'),
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'takes an http or https address' })
      .optional()
      .describe(`API root. Default: ${V2_ROOT} for v2, ${V1_ROOT} for v1`),
    botId: z.string().min(1).optional().describe('bot_id of all records, as the vendor tells none. Default: the account'),
    includeMessages: z.boolean().default(true).describe('v2: read the messages of sessions; billed'),
    includeEvents: z
      .boolean()
      .default(true)
      .describe('v2: read the events of sessions, the close among them; billed. Without: status UNKNOWN'),
    includeVariables: z.boolean().default(true).describe("v2: read the variables of the sessions' chats; billed"),
    includeOpenSessions: z.boolean().default(true).describe('v2: read sessions before they are closed'),
    includeAiAnalysis: z.boolean().default(false).describe("v2: read the vendor's AI analysis of sessions; billed"),
    refreshClientId: z.string().min(1).optional().describe('Client id that renews a spent access token'),
    refreshClientSecret: z.string().min(1).optional().meta({ secret: true }).describe('Client secret beside refresh.client.id'),
    refreshToken: z
      .string()
      .min(1)
      .optional()
      .meta({ secret: true })
      .describe('First refresh token; the vendor replaces it at each use'),
    refreshTokenFile: z
      .string()
      .min(1)
      .optional()
      .describe(
        'File that keeps the newest refresh token, beside it `<file>.access`. Without it, a restart after a renewal needs new credentials',
      ),
  })
  .superRefine((config, ctx) => {
    const given = [config.refreshClientId, config.refreshClientSecret, config.refreshToken ?? config.refreshTokenFile]
    if (given.every(part => part === undefined)) return
    for (const [index, path] of (['refreshClientId', 'refreshClientSecret', 'refreshToken'] as const).entries())
      if (given[index] === undefined)
        ctx.addIssue({ code: 'custom', path: [path], message: 'is required beside the other refresh keys' })
  })
type Config = z.output<typeof Config>

/**
 * Only what paging needs; each row is decoded on its own, so that one bad row does not lose its page. `sessions` is v1's name of the list. Without
 * `nextPage` a link by another name is read, because a page whose link is overlooked is taken for the last, without a word.
 */
const SessionsPage = z.looseObject({}).transform((page: Readonly<Record<string, unknown>>, ctx) => {
  const given = page['items'] === undefined ? page['sessions'] : page['items']
  const name = 'nextPage' in page ? 'nextPage' : Object.keys(page).find(each => /^next/i.test(each))
  const link = (name === undefined ? null : page[name]) ?? null
  const fault = (path: string, expected: 'array' | 'string') =>
    ctx.issues.push({ code: 'invalid_type', expected, input: undefined, path: [path], message: `is no ${expected}` })
  // An empty list is how the vendor shows nothing; none at all, or one beside an error, is no answer.
  if (!Array.isArray(given) || (given.length === 0 && saysFault(page))) fault('items', 'array')
  if (name !== undefined && link !== null && typeof link !== 'string') fault(name, 'string')
  return { items: given as unknown[], nextPage: text(link) }
})

export default defineConnector({
  manifest: {
    id: 'botmaker',
    title: 'Botmaker',
    apiVersion: 'v2.0, v1.0',
    docs: 'https://api.botmaker.com/v2.0/#/operations/list-sessions',
    quota: { perSecond: 1, concurrency: 1, sharedBy: 'accessToken' },
    pollIntervalMs: 60_000,
    sessionStream: 'sessions',
    pii,
  },
  config: Config,

  http: config => ({
    baseUrl: rootOf(config),
    auth: credentials(config, renewalUrls(rootOf(config))),
    classify: ({ status, headers, body }) => {
      if (config.apiVersion === 'v1') return notReady(status, headers, body)
      return status === 400 && codesOf(body).includes('INVALID_DATETIME_INTERVAL')
        ? { code: 'SRC_WINDOW_TOO_LARGE', vendorCode: 'INVALID_DATETIME_INTERVAL' }
        : undefined
    },
  }),

  streams: {
    sessions: {
      window: config => ({
        lagMs: 2 * 60_000,
        lookbackMs: 48 * HOUR_MS,
        // v1 gives its information out once a day, and an export is one piece whatever it spans; its token lives for a day.
        ...(config.apiVersion === 'v1'
          ? { longestMs: Infinity, pollIntervalMs: DAY_MS, lookbackIntervalMs: DAY_MS, durableResume: true }
          : { longestMs: DAY_MS, durableResume: false }),
      }),

      scopes: (config, account) => [{ name: account, botId: config.botId ?? account }],

      row: Row,

      read: ({ config, ...args }) => (config.apiVersion === 'v1' ? readExport(args) : readSessions({ config, ...args })),

      identify: row => row.id,

      /** Everything but the chat, which tells how the contact is now and would change all its old sessions; with the status, because that expires by time alone. */
      fingerprint: (row, ctx) => {
        const { chat: _chat, ...content } = row
        return jsonOf([endOf(row, ctx).status, content]) ?? ''
      },

      normalise: (row, ctx) => {
        const { messages, events } = row
        const of = ctx.session({ botId: ctx.scope.botId ?? ctx.account, sessionId: row.id, channel: channelWord(row.channelId) })
        const agent = agentOf(row)
        const close = lastOf(events, isClose)
        const chat = agent.taken || events === null ? row.chat : null
        const drafts: Draft[] = [
          session(of, {
            startedAt: row.startedAtMs,
            ...endOf(row, ctx),
            containment: agent.taken ? 'AGENT' : close && saidSomething(row) ? 'SELF_SERVICE' : 'UNKNOWN',
            interactive: row.userHasTalked ?? (messages && messages.some(isOf('USER'))),
            userId: row.userId,
            channelUserId: row.channelUserId,
            transferredAt: agent.atMs,
            queue: agent.queue ?? chat?.queueId,
            agentId: agent.id ?? chat?.agentId,
            agentName: agent.name,
            userMessages: row.counters ? row.counters.user : count(messages, 'USER'),
            botMessages: row.counters ? row.counters.bot : count(messages, 'BOT'),
            agentMessages: row.counters ? row.counters.agent : count(messages, 'AGENT'),
            totalMessages: row.counters ? row.counters.total : messages?.length,
            outcome: textOf(close?.info['typification']),
            startingCause: row.startingCause,
            topics: row.topics,
            tags: row.chat?.tags.map(name => ({ name, scope: 'chat' })),
            variables: { ...row.variables, ...row.chat?.variables },
            isTest: row.chat?.isTester,
            link: row.link,
            attributes: { ...row.attributes, channelId: row.channelId, ...row.chat?.attributes },
          }),
        ]
        messages?.forEach(({ id, atMs, ...turn }, seq) => drafts.push(message(of, { messageId: id, sentAt: atMs, seq, ...turn })))
        events?.forEach(({ id, atMs, name, info, attributes }) =>
          drafts.push(
            event(of, {
              eventId: id,
              occurredAt: atMs,
              type: eventType(name, info),
              name,
              userId: row.userId,
              attributes: { ...attributes, ...info },
            }),
          ),
        )
        return drafts
      },
    },
  },
})

/**
 * v2: every session that began in the window, page by page. Whether the vendor's edges are inclusive is not known: so it is asked from a
 * millisecond before, and rows are kept as they come.
 * `nextPage` is followed on the configured host only; how long it lives is not known, so after a restart the window starts again.
 */
async function* readSessions(of: {
  config: Config
  window: { fromMs: number; untilMs: number }
  resume: unknown
  nowMs: number
  http: Http
}): AsyncIterable<Page> {
  const { config, window, resume, http } = of
  const query: Record<string, string> = {
    from: new Date(window.fromMs - 1).toISOString(),
    to: new Date(window.untilMs).toISOString(),
    ...(config.includeOpenSessions && { 'include-open-sessions': 'true' }),
    ...(config.includeMessages && { 'include-messages': 'true' }),
    ...(config.includeEvents && { 'include-events': 'true' }),
    ...(config.includeVariables && { 'include-variables': 'true' }),
    ...(config.includeAiAnalysis && { 'include-ai-analysis': 'true' }),
    // Billed; sources differ about the age from which it is needed (2, 3 or 7 days).
    ...(window.fromMs < of.nowMs - 48 * HOUR_MS && { 'long-term-search': 'true' }),
  }
  if (resume !== null && typeof resume !== 'string') throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'not a place in v2' })
  let next = resume
  const seen = new Set<string>()
  for (;;) {
    if (next !== null) {
      if (seen.has(next)) throw new FlowError('SRC_MALFORMED', { hint: 'nextPage leads back to a page that was read' })
      seen.add(next)
    }
    const ask = next === null ? (['/sessions', query] as const) : followed(rootOf(config), next, query)
    // 204 is how the vendor says that there is nothing, and what something between us may say. Where nobody looks a second time, ask once more.
    const isLastLook = next !== null || window.fromMs < of.nowMs - 48 * HOUR_MS
    const page = await twice(
      () => sessionsPage(http, ask),
      answer => answer === NOTHING && isLastLook,
    )
    next = page.nextPage
    yield { rows: page.items, resume: next }
    if (next === null) return
  }
}

/** An answer without a body. */
const NOTHING: z.output<typeof SessionsPage> = { items: [], nextPage: null }
/** Clients have met 204 and 200 without a body. */
const SAYS_NOTHING = { empty: NOTHING, emptyStatus: [200] }

/** One page; with `long-term-search` where the vendor says that it is needed. A refused request is never sent again with less in it. */
async function sessionsPage(http: Http, [path, query]: readonly [string, Query]): Promise<z.output<typeof SessionsPage>> {
  try {
    return await http.getJson(path, query, SessionsPage, SAYS_NOTHING)
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    if (error.details.vendorCode === 'LONG_TERM_SEARCH_PARAM_REQUIRED' && !('long-term-search' in query))
      return http.getJson(path, { ...query, 'long-term-search': 'true' }, SessionsPage, SAYS_NOTHING)
    if (error.code === 'SRC_TOO_LARGE') throw new FlowError('SRC_WINDOW_TOO_LARGE', error.details, error)
    throw error
  }
}

/** `nextPage` is an address on the vendor's host, with the filters in it; also one without a host is, and a bare token goes with the filters. */
function followed(root: string, nextPage: string, query: Query): readonly [string, Query] {
  const link = /^(https?:)?\/\//i.test(nextPage) || nextPage.includes('?') || nextPage.startsWith(new URL(root).pathname)
  // A path that does not begin like our root is meant below it.
  if (/^\/(?!\/)/.test(nextPage) && !nextPage.startsWith(new URL(root).pathname)) return [nextPage, {}]
  return link
    ? [ourAddress(root, new URL(nextPage, `${root}/sessions`)), {}]
    : ['/sessions', { ...query, 'next-page-token': nextPage }]
}

/**
 * The link as we reach it. Behind a gateway the vendor still names its own public host, and a vendor on this machine may name another of the
 * machine's names: such a link is asked from where we were told to ask, so that the token goes nowhere else. Any other host is left to be refused.
 */
function ourAddress(root: string, link: URL): string {
  const ours = new URL(root)
  const vendors = new URL(V2_ROOT)
  if (link.host === ours.host) return link.href
  if (link.host === vendors.host && link.pathname.startsWith(`${vendors.pathname}/`))
    return `${root}${link.pathname.slice(vendors.pathname.length)}${link.search}`
  if (link.port === ours.port && isLoopback(link.hostname) && isLoopback(ours.hostname)) link.host = ours.host
  return link.href
}

const isLoopback = (name: string) => /^(localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])$/.test(name)

/** How the session ended: by its last close event, else by its age. Without events nobody knows. */
function endOf(row: Conversation, ctx: RowContext<Config>) {
  const close = lastOf(row.events, isClose)
  // An end before the start comes from times told in whole seconds.
  if (close)
    return {
      status: 'CLOSED',
      endedAt: Math.max(close.atMs, row.startedAtMs),
      endedAtEstimated: close.atMs < row.startedAtMs,
    } as const
  const told = row.events !== null || ctx.config.apiVersion === 'v1' || ctx.config.includeEvents
  if (!told) return { status: 'UNKNOWN', endedAt: null, endedAtEstimated: false } as const
  if (ctx.observedAtMs - row.startedAtMs < ctx.lookbackMs)
    return { status: 'OPEN', endedAt: null, endedAtEstimated: false } as const
  const lastMs = Math.max(row.events?.at(-1)?.atMs ?? -Infinity, row.messages?.at(-1)?.atMs ?? -Infinity)
  const endedAt = lastMs > row.startedAtMs ? lastMs : row.messages ? row.startedAtMs : null
  return { status: 'EXPIRED', endedAt, endedAtEstimated: endedAt !== null } as const
}

/** Whether a person took part, from when, and who. `chat` is no witness: it tells of the contact's newest session. */
function agentOf({ messages, events, counters }: Conversation) {
  const turn = messages?.find(isOf('AGENT'))
  const queued = events?.find(({ name }) => name === 'queue-set')
  const assigned = events?.find(({ name }) => name === 'assigned-to-agent')
  const lastQueued = lastOf(events, ({ name }) => name === 'queue-set')
  const lastAssigned = lastOf(events, ({ name }) => name === 'assigned-to-agent')
  return {
    taken: (counters?.agent ?? 0) > 0 || turn !== undefined || queued !== undefined || assigned !== undefined,
    atMs: (assigned ?? queued ?? turn)?.atMs,
    queue: textOf(lastQueued?.info['queue']) ?? lastOf(messages, each => each.queue !== null)?.queue,
    id: lastOf(messages, each => each.agentId !== null)?.agentId ?? textOf(lastOf(events, isClose)?.info['agentId']),
    name: textOf(lastAssigned?.info['agentName']) ?? lastOf(messages, each => each.agentName !== null)?.agentName,
  }
}

function eventType(name: string, info: Happening['info']): string {
  if (name === 'find-intent') return isTrue(info['isFallback']) ? 'intent_missed' : 'intent_matched'
  return EVENT_TYPES.get(name) ?? 'other'
}

/** Names seen by clients of the API; the set is open. */
const EVENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['conversation-close', 'session_ended'],
  ['queue-set', 'agent_transfer_requested'],
  ['assigned-to-agent', 'agent_transferred'],
  ['agent-action', 'agent_replied'],
  ['set-variable', 'variable_set'],
  ['put-var', 'variable_set'],
  ['notification-error', 'error'],
])

const isClose = ({ name }: Happening) => name === 'conversation-close'
const isOf = (sender: string) => (turn: Turn) => turn.sender === sender
const isTrue = (value: unknown) => value === true || value === 'true'
const textOf = (value: unknown) => (typeof value === 'string' ? value : null)

function saidSomething(row: Conversation): boolean {
  return row.userHasTalked === true || (row.counters?.user ?? 0) > 0 || row.messages?.some(isOf('USER')) === true
}

function count(messages: readonly Turn[] | null, sender: string): number | null {
  if (messages === null) return null
  let sum = 0
  for (const turn of messages) if (turn.sender === sender) sum++
  return sum
}

function lastOf<T>(list: readonly T[] | null, matches: (item: T) => boolean): T | undefined {
  return list?.findLast(matches)
}

function rootOf({ baseUrl, apiVersion }: Config): string {
  return (baseUrl ?? (apiVersion === 'v1' ? V1_ROOT : V2_ROOT)).replace(/\/+$/, '')
}

/** Credentials are renewed in v1, which the vendor has on another host, and an installation of its own on the same one. */
function renewalUrls(root: string): string[] {
  const v1 = root === V2_ROOT ? V1_ROOT : /\/v2(\.0)?$/.test(root) ? root.replace(/\/v2(\.0)?$/, '/api/v1.0') : root
  return [...new Set([v1, root === V2_ROOT ? v1 : root])].map(each => `${each}/auth/credentials`)
}

/** `{"errors":[{"code":…}]}`, the vendor's envelope. */
function codesOf(body: unknown): unknown[] {
  const errors = (body as { errors?: unknown } | null | undefined)?.errors
  return Array.isArray(errors) ? errors.map(error => (error as { code?: unknown } | null)?.code) : []
}
