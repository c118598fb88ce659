/**
 * Botmaker: conversations with their messages and events, from `GET /v2.0/sessions`, or from the older v1 export.
 *
 * v2 filters and orders by session **start**; a session grows, and often closes, after it was first seen, so the last 48 h are read again (98.8 % of closes
 * came within a day of the start, all within two; many sessions never get one). There is no status field: the event `conversation-close` is the end. Limits:
 * windows of a month at most without `long-term-search`, pages of up to 500 sessions, about 1 request/s per account. Every read is billed. From the vendor's
 * help pages and from clients of the API, 2026-11; nothing here is measured.
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
  type RowContext,
  session,
} from '../../src/source/index.ts'
import { agentNames } from './agents.ts'
import { botByRule, parseBotRules } from './bots.ts'
import { channelWord } from './channel.ts'
import { changedSessions, startsOf } from './changes.ts'
import { credentials } from './credentials.ts'
import { notReady, readExport } from './export.ts'
import { LONG_TERM_MS, longTerm, pagesOf, rootOf, V1_ROOT, V2_ROOT } from './pages.ts'
import { pii } from './pii.ts'
import { type Conversation, type Happening, Row, type Turn } from './rows.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const LOOKBACK_MS = 48 * HOUR_MS

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
    botId: z
      .string()
      .min(1)
      .optional()
      .describe('bot_id of all records without a match in bot.rules, as the vendor has none. Default: the account'),
    botRules: z
      .union([z.string(), z.array(z.string())])
      .optional()
      .describe(
        'Which bot a session belongs to, if the account has several: SOURCE~REGEX=BOT each, SOURCE is channel or variable.NAME, the first that matches decides, $1 in BOT is a group of the pattern; a list, or text with ; between them',
      ),
    includeMessages: z.boolean().default(true).describe('v2: read the messages of sessions; billed'),
    includeEvents: z
      .boolean()
      .default(true)
      .describe('v2: read the events of sessions, the close among them; billed. Without: status UNKNOWN'),
    includeVariables: z.boolean().default(true).describe("v2: read the variables of the sessions' chats; billed"),
    includeOpenSessions: z.boolean().default(true).describe('v2: read sessions before they are closed'),
    includeAgents: z.boolean().default(true).describe("v2: read the list of agents once, for the names to agents' ids"),
    changeFeed: z
      .boolean()
      .default(true)
      .describe(
        'v2: ask GET /messages at each poll which sessions somebody spoke in, so that those older than hot.ms are read again at once; billed',
      ),
    includeAiAnalysis: z.boolean().default(false).describe("v2: read the vendor's AI analysis of sessions; billed"),
    longTermAfterMs: z
      .int()
      .min(0)
      .default(LONG_TERM_MS)
      .describe(
        'v2: windows that begin longer ago than this are asked for with long-term-search, which is billed apart, milliseconds; the vendor documents three days for messages, and no age for sessions',
      ),
    checkTotalRows: z
      .boolean()
      .default(true)
      .describe('v1: an export with fewer rows than its totalRows is not accepted, and ordered again'),
    refreshClientId: z.string().min(1).optional().describe('Client id for renewing an expired access token'),
    refreshClientSecret: z.string().min(1).optional().meta({ secret: true }).describe('Client secret for refresh.client.id'),
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
        'File that keeps the newest refresh token, with `<file>.access` next to it. Without it, a restart after a renewal needs new credentials',
      ),
  })
  .superRefine((config, ctx) => {
    for (const message of parseBotRules(config.botRules).faults) ctx.addIssue({ code: 'custom', path: ['botRules'], message })
    const given = [config.refreshClientId, config.refreshClientSecret, config.refreshToken ?? config.refreshTokenFile]
    if (given.every(part => part === undefined)) return
    for (const [index, path] of (['refreshClientId', 'refreshClientSecret', 'refreshToken'] as const).entries())
      if (given[index] === undefined)
        ctx.addIssue({ code: 'custom', path: [path], message: 'is required with the other refresh keys' })
  })
type Config = z.output<typeof Config>

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
        lookbackMs: LOOKBACK_MS,
        // v1 exports data once a day, and an export is one piece whatever its range; its token lives for a day.
        ...(config.apiVersion === 'v1'
          ? { longestMs: Infinity, pollIntervalMs: DAY_MS, lookbackIntervalMs: DAY_MS, durableResume: true }
          : { longestMs: DAY_MS, durableResume: false }),
      }),

      scopes: (config, account) => [{ name: account, botId: config.botRules === undefined ? (config.botId ?? account) : null }],

      row: Row,

      read: ({ config, ...args }) =>
        config.apiVersion === 'v1'
          ? readExport({ ...args, checksTotal: config.checkTotalRows })
          : readSessions({ config, ...args }),

      /** One page, so that it needs only one look at the list of agents. */
      enrichRows: 500,

      async enrich({ config, rows, nowMs, http }) {
        const ids = new Set(rows.flatMap(agentsOf))
        if (ids.size === 0) return rows
        const names = await agentNames({ config, http, nowMs }, ids)
        return names.size === 0 ? rows : rows.map(row => withNames(row, names))
      },

      /** Sessions with new messages, by their start times, which are part of their ids. */
      changes: {
        lagMs: 60_000,
        joinMs: 15 * 60_000,
        read: async ({ config, http, window, nowMs }) =>
          config.changeFeed ? { windows: startsOf(await changedSessions({ config, http, window, nowMs })) } : {},
      },

      requestsBeside: config =>
        config.apiVersion === 'v1'
          ? // An export is ordered, and fetched.
            { asksChanges: false, perWindow: 1, unknown: ['an export is requested again until it is ready'] }
          : {
              asksChanges: config.changeFeed,
              unknown: config.includeAgents ? ['the list of agents, when an unknown agent appears'] : [],
            },

      identify: row => row.id,

      /**
       * Everything but the chat, which has the contact's current state and would change all its old sessions; with the status, because that expires by time
       * alone.
       */
      fingerprint: (row, ctx) => {
        const { chat: _chat, agentNames: _names, ...content } = row
        return jsonOf([endOf(row, ctx).status, content]) ?? ''
      },

      normalise: (row, ctx) => {
        const { messages, events } = row
        const { scope, account, config } = ctx
        const botId = scope.botId ?? botByRule(config, row) ?? config.botId ?? account
        const ref = ctx.session({ botId, sessionId: row.id, channel: channelWord(row.channelId) })
        const agent = agentOf(row)
        const close = lastOf(events, isClose)
        // The chat has the contact's current state: it applies to this session only while it is the contact's newest, and only if its events show that a person
        // took part.
        const chat = row.chat !== null && isNewest(row) ? row.chat : null
        const chatAgent = agent.taken && events !== null ? chat : null
        const agentId = agent.id ?? chatAgent?.agentId
        const drafts: Draft[] = [
          session(ref, {
            startedAt: row.startedAtMs,
            ...endOf(row, ctx),
            containment: agent.taken ? 'AGENT' : close && saidSomething(row) ? 'SELF_SERVICE' : 'UNKNOWN',
            interactive: row.userHasTalked ?? (messages && messages.some(isOf('USER'))),
            userId: row.userId,
            channelUserId: row.channelUserId,
            transferredAt: agent.atMs,
            queue: agent.queue ?? chatAgent?.queueId,
            agentId,
            agentName: agent.name ?? nameOf(row, agentId),
            userMessages: row.counters ? row.counters.user : count(messages, 'USER'),
            botMessages: row.counters ? row.counters.bot : count(messages, 'BOT'),
            agentMessages: row.counters ? row.counters.agent : count(messages, 'AGENT'),
            totalMessages: row.counters ? row.counters.total : messages?.length,
            outcome: textOf(close?.info['typification']) ?? typificationOf(row, close !== undefined, chat),
            startingCause: row.startingCause,
            topics: row.topics,
            tags: row.chat?.tags.map(name => ({ name, scope: 'chat' })),
            variables: { ...row.variables, ...row.chat?.variables },
            isTest: row.chat?.isTester,
            link: row.link,
            attributes: { ...row.attributes, channelId: row.channelId, ...row.chat?.attributes },
          }),
        ]
        messages?.forEach(({ id, atMs, handsOver: _handsOver, ...turn }, seq) =>
          drafts.push(
            message(ref, {
              messageId: id,
              sentAt: atMs,
              seq,
              ...turn,
              agentName: turn.agentName ?? nameOf(row, turn.agentId),
            }),
          ),
        )
        events?.forEach(({ id, atMs, name, info, attributes }) =>
          drafts.push(
            event(ref, {
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
 * v2: every session that began in the window, page by page. It is unknown whether the vendor's bounds are inclusive: so the request begins a millisecond
 * earlier, and rows are kept as they come. `nextPage` is followed on the configured host only; its lifetime is unknown, so after a restart the window starts
 * again.
 */
async function* readSessions(options: {
  config: Config
  window: { fromMs: number; untilMs: number }
  resume: unknown
  nowMs: number
  http: Http
}): AsyncIterable<Page> {
  const { config, window, resume, nowMs, http } = options
  const query: Record<string, string> = {
    from: new Date(window.fromMs - 1).toISOString(),
    to: new Date(window.untilMs).toISOString(),
    ...(config.includeOpenSessions && { 'include-open-sessions': 'true' }),
    ...(config.includeMessages && { 'include-messages': 'true' }),
    ...(config.includeEvents && { 'include-events': 'true' }),
    ...(config.includeVariables && { 'include-variables': 'true' }),
    ...(config.includeAiAnalysis && { 'include-ai-analysis': 'true' }),
    ...longTerm(window.fromMs, nowMs, config.longTermAfterMs),
  }
  if (resume !== null && typeof resume !== 'string') throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'not a place in v2' })
  // 204 is the vendor's answer for nothing, and possible from something in between. If nobody will read this window again, ask twice.
  const isLast = window.fromMs < nowMs - LOOKBACK_MS
  for await (const page of pagesOf({ http, root: rootOf(config), path: '/sessions', query, next: resume, isLast }))
    yield { rows: page.items, resume: page.nextPage }
}

/** How the session ended: by its last close event, else by its age. Unknown without events. */
function endOf(row: Conversation, ctx: RowContext<Config>) {
  const close = lastOf(row.events, isClose)
  // Times in whole seconds can give an end before the start.
  if (close)
    return {
      status: 'CLOSED',
      endedAt: Math.max(close.atMs, row.startedAtMs),
      endedAtEstimated: close.atMs < row.startedAtMs,
    } as const
  const hasEvents = row.events !== null || ctx.config.apiVersion === 'v1' || ctx.config.includeEvents
  if (!hasEvents) return { status: 'UNKNOWN', endedAt: null, endedAtEstimated: false } as const
  if (ctx.observedAtMs - row.startedAtMs < ctx.lookbackMs)
    return { status: 'OPEN', endedAt: null, endedAtEstimated: false } as const
  const lastMs = Math.max(row.events?.at(-1)?.atMs ?? -Infinity, row.messages?.at(-1)?.atMs ?? -Infinity)
  const endedAt = lastMs > row.startedAtMs ? lastMs : row.messages ? row.startedAtMs : null
  return { status: 'EXPIRED', endedAt, endedAtEstimated: endedAt !== null } as const
}

/**
 * Whether a person was requested or took part, since when, and who. `chat` does not count: it is about the contact's newest session. The time is that of the
 * earliest sign: later content never moves it. A close has who it was, but not since when.
 */
function agentOf({ messages, events, counters }: Conversation) {
  const turn = messages?.find(isHandOver)
  const handed = events?.find(({ name }) => HAND_OVERS.has(name))
  const closed = lastOf(events, ({ name, isManual }) => name === 'conversation-close' && isManual === true)
  const lastQueued = lastOf(events, ({ name }) => name === 'queue-set')
  const lastAssigned = lastOf(events, ({ name }) => name === 'assigned-to-agent')
  const lastActed = lastOf(events, ({ name }) => name === 'agent-action')
  const first = Math.min(turn?.atMs ?? Infinity, handed?.atMs ?? Infinity)
  return {
    taken: (counters?.agent ?? 0) > 0 || turn !== undefined || handed !== undefined || closed !== undefined,
    atMs: first === Infinity ? null : first,
    queue: textOf(lastQueued?.info['queue']) ?? lastOf(messages, each => each.queue !== null)?.queue,
    id:
      lastOf(messages, each => each.agentId !== null)?.agentId ??
      textOf(closed?.info['agentId']) ??
      textOf(lastAssigned?.info['agentId']) ??
      textOf(lastActed?.info['agentId']),
    name:
      textOf(lastAssigned?.info['agentName']) ??
      lastOf(messages, each => each.agentName !== null)?.agentName ??
      textOf(closed?.info['agentName']) ??
      textOf(lastActed?.info['agentName']),
  }
}

/** Events that show that a person was requested, or took part. */
const HAND_OVERS: ReadonlySet<string> = new Set(['queue-set', 'assigned-to-agent', 'agent-action'])

const isHandOver = ({ sender, handsOver }: Turn) => sender === 'AGENT' || handsOver === true

/** Agents whose ids a row has without their names. */
function agentsOf({ messages, events, chat }: Conversation): string[] {
  const ids = (messages ?? []).flatMap(({ agentId, agentName }) => (agentId !== null && agentName === null ? [agentId] : []))
  for (const { info } of events ?? []) {
    const id = textOf(info['agentId'])
    if (id !== null && textOf(info['agentName']) === null) ids.push(id)
  }
  return chat?.agentId ? [...ids, chat.agentId] : ids
}

function withNames(row: Conversation, names: ReadonlyMap<string, string>): Conversation {
  const own = agentsOf(row).flatMap(id => (names.has(id) ? [[id, names.get(id)] as [string, string]] : []))
  return own.length === 0 ? row : { ...row, agentNames: new Map(own) }
}

function nameOf({ agentNames }: Conversation, id: string | null | undefined): string | null {
  return (id && agentNames?.get(id)) || null
}

/** Whether the chat, which has the current state, may be this session's: no later one has begun. Its times may be in whole seconds. */
function isNewest({ chat, startedAtMs }: Conversation): boolean {
  const lastMs = chat?.lastSessionAtMs ?? null
  return lastMs === null || lastMs < startedAtMs + 1000
}

/**
 * The agent's typification of the conversation, if the close itself has none: a variable of the session, else of the chat. Variables of the chat outlive a
 * session, so they count only for a session that is over (or of unknown state) and the contact's newest.
 */
function typificationOf({ events, variables }: Conversation, isClosed: boolean, chat: Conversation['chat']): string | null {
  if (!isClosed && events !== null) return null
  return textOf(variables['typification']) ?? textOf(chat?.variables['typification'])
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
const textOf = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null)

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

/** Credentials are renewed in v1, which the vendor has on another host, and a private installation on the same one. */
function renewalUrls(root: string): string[] {
  const v1 = root === V2_ROOT ? V1_ROOT : /\/v2(\.0)?$/.test(root) ? root.replace(/\/v2(\.0)?$/, '/api/v1.0') : root
  return [...new Set([v1, root === V2_ROOT ? v1 : root])].map(each => `${each}/auth/credentials`)
}

/** `{"errors":[{"code":…}]}`, the vendor's envelope. */
function codesOf(body: unknown): unknown[] {
  const errors = (body as { errors?: unknown } | null | undefined)?.errors
  return Array.isArray(errors) ? errors.map(error => (error as { code?: unknown } | null)?.code) : []
}
