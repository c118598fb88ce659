/**
 * Kore.ai: sessions with their messages, from `POST getSessions` and `getMessagesV2`, and the results of the NLU, from `getAnalytics`.
 *
 * Sessions are filtered by time, newest start first, paged by `skip` and `limit` under a fixed upper bound; windows must be less than 7 days. A session changes
 * while it is active (minutes to 14 days, by a setting of the app): the last day is read again, and sessions that are still active are followed by their ids.
 * Limits: 60 requests in any minute and 1,800 in any hour per bot, all operations together. From the vendor's docs, 2026-11; nothing here is measured. That the
 * filter is on `start_time` is assumed.
 */
import {
  type Draft,
  defineConnector,
  event,
  type EventFields,
  eventWithoutSession,
  FlowError,
  iso,
  type Json,
  jsonOf,
  type ListPage,
  listing,
  message,
  type Page,
  placeOf,
  realTime,
  type ReadArgs,
  type RowContext,
  type Scope,
  session,
  type Window,
} from '../../src/source/index.ts'
import { Config, tagsFilter } from './config.ts'
import { ContactRow, contactPages, withContacts } from './contact-center.ts'
import { tokenMaker } from './jwt.ts'
import { listPage, pageSchema } from './listing.ts'
import { FOLLOWED_MS, lookbackMs, pathOf, type Vendor, withHandOffs, withMessages } from './messages.ts'
import { pii } from './pii.ts'
import {
  type Contact,
  type Conversation,
  FOLLOWED,
  findingIdOf,
  findingOf,
  FindingRow,
  isHandedOver,
  Row,
  sessionIdOf,
  transferOf,
  type Turn,
} from './rows.ts'
import { classify } from './errors.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Windows of the listing: far below the 7 days, so that a listing that shifts is short. */
const WINDOW_MS = DAY_MS
const LAG_MS = 5 * MINUTE_MS
/** Added to the app's inactivity setting: afterwards a session without a status counts as closed. */
const QUIET_MARGIN_MS = 5 * MINUTE_MS
/** Most ids of a `sessionId` filter. Documented. */
const MOST_IDS = 50
/** A session that is still active this long after it left the lookback has expired: the longest inactivity setting is 14 days. */
const EXPIRES_MS = 14 * DAY_MS

/** Older sessions are returned by id without their session tags: 14 days as documented, minus an hour for clock differences. */
const TAGS_MS = 14 * DAY_MS - HOUR_MS

export default defineConnector({
  manifest: {
    id: 'koreai',
    title: 'Kore.ai',
    apiVersion: 'XO Platform v8 to v11 (AI for Service)',
    docs: 'https://docs.kore.ai/ai-for-service/apis/automation/get-sessions-history',
    quota: {
      perMinute: 60,
      perHour: 1800,
      sharedBy: {
        what: 'bot (account-wide: client id)',
        of: (config: Config, scope: Scope) => scope.botId ?? config.clientId,
      },
    },
    pollIntervalMs: 60_000,
    sessionStream: 'sessions',
    pii,
    optionalStreams: ['analytics', 'contact-center'],
  },
  config: Config,

  http: config => {
    const token = tokenMaker(config)
    return {
      baseUrl: config.baseUrl.replace(/\/+$/, ''),
      auth: { headers: async ({ nowMs }) => ({ auth: await token(nowMs) }) },
      classify,
    }
  },

  streams: {
    sessions: {
      window: config => ({
        longestMs: WINDOW_MS,
        lagMs: LAG_MS,
        lookbackMs: lookbackMs(config),
        durableResume: config.trustTotal,
      }),

      scopes: scopesOf,

      row: Row,

      /**
       * Sessions that began in the window, newest first. A position works after a restart, too, because it names the row before it, so a listing that has
       * shifted meanwhile is noticed. Whether the vendor's bounds are inclusive is unknown: the request is a millisecond longer at each end.
       */
      async *read({ config, scope, window, resume, http }): AsyncIterable<Page> {
        const vendor = { config, botId: scope.botId, http }
        const lists = config.containmentTypes ?? [null]
        const ask = (list: string | null, skip: number) => sessionsPage(vendor, window, skip, filtersOf(config, list))
        const pages = inTurn(lists, { limit: config.pageSize, resume, idOf: sessionIdOf, ask })
        for await (const { rows, resume: next } of pages) yield { rows, resume: next }
      },

      enrichRows: MOST_IDS,

      async enrich({ config, scope, rows, nowMs, http, transferredAt }) {
        const vendor = { config, botId: scope.botId, http }
        // A row with a placeholder as its start becomes a dead letter: nothing can be requested for such a time.
        const isReal = (row: Conversation) => realTime(row.startedAtMs, { observedAtMs: nowMs }) !== null
        let sessions: readonly Conversation[] = await withOldTags(vendor, rows.filter(isReal), nowMs)
        if (config.includeMessages) sessions = await withMessages(vendor, sessions, nowMs)
        sessions = sessions.map(row => ({ ...row, publishedTransferMs: transferredAt?.(row.id) ?? null }))
        if (config.streams.includes('contact-center')) sessions = await withContacts(vendor, sessions)
        sessions = await withHandOffs(vendor, sessions)
        const richer = sessions.values()
        return rows.map(row => (isReal(row) ? (richer.next().value ?? row) : row))
      },

      follow: {
        isOpen: (row, ctx) => row.state === 'active' || endOf(row, ctx).status === 'OPEN',
        atOnce: MOST_IDS,
        longestMs: FOLLOWED_MS,
        /**
         * With `sessionId`, all other filters are ignored; unknown ids are returned as `invalidSessions`. Documented. How many rows an answer can have is not:
         * further pages are requested while it says that there are more.
         */
        async read({ config, scope, ids, http }) {
          const vendor = { config, botId: scope.botId, http }
          const path = pathOf(vendor, 'getSessions', config.botPath)
          const found = new Map<string, unknown>()
          const keep = (row: unknown) => found.set(sessionIdOf(row) ?? '', { ...(row as object), [FOLLOWED]: true })
          let isFiltered = true
          for (let skip = 0; isFiltered; ) {
            const body = { sessionId: [...ids], skip, limit: ids.length }
            const { rows, more } = await listPage(options => http.postJson(path, { body }, SessionsPage, options)).catch(
              unfiltered(ids),
            )
            isFiltered = rows.every(row => ids.includes(sessionIdOf(row) ?? ''))
            const before = found.size
            for (const row of rows) keep(row)
            skip += rows.length
            if (more !== true || found.size === before || found.size >= ids.length) break
          }
          // An older server without that filter returns other sessions too, or none: the missing ones are looked up by the time in their ids.
          for (const id of isFiltered ? [] : ids) {
            const atMs = startOf(id)
            if (found.has(id) || atMs === null) continue
            const { rows } = await sessionsPage(vendor, { fromMs: atMs, untilMs: atMs + 1000 }, 0)
            const row = rows.find(each => sessionIdOf(each) === id)
            if (row !== undefined) keep(row)
          }
          return ids.flatMap(id => found.get(id) ?? [])
        },
      },

      requestsBeside: config => ({
        perWindow: (config.containmentTypes?.length ?? 1) - 1,
        unknown: [
          ...(config.includeMessages ? [`messages: one request for ${MOST_IDS} new or changed sessions`] : []),
          ...(config.agentDetails === false ? [] : ['one request for each session that is handed over, for the time of it']),
          ...(config.streams.includes('contact-center')
            ? [`the contact center: one request for 100 conversations, for ${MOST_IDS} new or changed sessions`]
            : []),
        ],
      }),

      identify: row => row.id,

      /** With the status, because that may change by time alone. */
      fingerprint: (row, ctx) => {
        const { messages: _messages, followed: _followed, handOffAtMs: _handOffAtMs, ...said } = row
        const { contact: _contact, contactLack: _lack, publishedTransferMs: _publishedTransferMs, ...content } = said
        return jsonOf([endOf(row, ctx).status, content]) ?? ''
      },

      normalise: (row, ctx) => {
        const botId = ctx.scope.botId ?? row.botId
        if (botId === null) throw new FlowError('ROW_UNMAPPABLE', { path: 'botId', hint: 'botId is missing' })
        const ref = ctx.session({ botId, sessionId: row.id, channel: row.channel, language: row.languages[0] ?? null })
        const end = endOf(row, ctx)
        const agent = row.messages?.findLast(({ sender }) => sender === 'AGENT')
        const isAgent = isHandedOver(row)
        const transferredAt = isAgent ? transferOf(row, ctx) : null
        const drafts: Draft[] = [
          session(ref, {
            startedAt: row.startedAtMs,
            ...end,
            containment: isAgent ? 'AGENT' : row.containment,
            interactive: row.interactive ?? row.messages?.some(({ sender }) => sender === 'USER'),
            languages: row.languages,
            userId: row.userId,
            channelUserId: row.messages?.find(({ channelUserId }) => channelUserId !== null)?.channelUserId,
            transferredAt,
            queue: row.contact?.queue,
            agentId: agent?.agentId ?? row.contact?.agentId,
            agentName: agent?.agentName ?? row.contact?.agentName,
            ...countsOf(row, ctx),
            totalMessages: row.totalMessages,
            tasks: row.tasks,
            tags: row.tags,
            isTest: row.isTest,
            attributes: {
              ...row.attributes,
              // The vendor's word, if the conversation shows otherwise.
              ...(isAgent && row.containment !== null && row.containment !== 'AGENT' && { containmentType: row.containment }),
              ...(row.botId !== null && row.botId !== botId && { botId: row.botId }),
              ...(row.contactLack !== null && { contact_center: row.contactLack }),
              ...(end.endedAt !== row.endTimeMs && row.endTimeMs !== null && { end_time: new Date(row.endTimeMs).toISOString() }),
            },
          }),
          event(ref, {
            eventId: `${row.id}/session_started`,
            occurredAt: row.startedAtMs,
            type: 'session_started',
            userId: row.userId,
          }),
        ]
        if (end.status === 'CLOSED' && end.endedAt !== null)
          drafts.push(
            event(ref, {
              eventId: `${row.id}/session_ended`,
              occurredAt: end.endedAt,
              occurredAtEstimated: end.endedAtEstimated,
              type: 'session_ended',
              userId: row.userId,
            }),
          )
        // Without a time there is no event: neither the start nor the end is when it happened. If the contact center is read, its stream publishes the event,
        // whether or not the conversation was found here: otherwise one transfer could become two events.
        if (transferredAt !== null && !ctx.config.streams.includes('contact-center'))
          drafts.push(
            event(ref, {
              eventId: `${row.id}/agent_transferred`,
              occurredAt: transferredAt,
              type: 'agent_transferred',
              userId: row.userId,
            }),
          )
        row.messages?.forEach((turn, seq) => drafts.push(messageOf(ref, turn, seq)))
        return drafts
      },
    },

    'contact-center': {
      feeds: ['event'],

      // The listing takes no times, so one long window costs no more than a short one.
      window: {
        longestMs: Infinity,
        lagMs: MINUTE_MS,
        lookbackMs: DAY_MS,
        lookbackIntervalMs: HOUR_MS,
        durableResume: false,
      },

      scopes: scopesOf,

      row: ContactRow,

      async *read({ config, scope, window, resume, http }): AsyncIterable<Page> {
        const vendor = { config, botId: scope.botId, http }
        yield* contactPages(vendor, window.fromMs, resume)
      },

      requestsBeside: config => ({
        unknown: [
          config.contactCenterOrder === 'any'
            ? 'one request for 100 conversations, of all that the vendor has'
            : 'one request for 100 conversations since the window began',
        ],
      }),

      identify: row => row.id,

      normalise: (row, ctx) => {
        const { sessionId, channel, language } = row
        const botId = ctx.scope.botId ?? ctx.account
        if (sessionId === null)
          return contactEvents(row, fields => eventWithoutSession(ctx, { ...fields, botId, channel, language }))
        const ref = ctx.session({ botId, sessionId, channel, language })
        return contactEvents(row, fields => event(ref, fields))
      },
    },

    analytics: {
      feeds: ['event'],

      window: config => ({
        longestMs: WINDOW_MS,
        lagMs: LAG_MS,
        lookbackMs: DAY_MS,
        lookbackIntervalMs: HOUR_MS,
        pollIntervalMs: 5 * MINUTE_MS,
        durableResume: config.trustTotal,
      }),

      scopes: scopesOf,

      row: FindingRow,

      read: readAnalytics,

      requestsBeside: config => ({ perWindow: config.analyticsTypes.length - 1 }),

      identify: row => `${row.list}/${row.id}`,

      normalise: (row, ctx) => {
        const botId = ctx.scope.botId ?? ctx.account
        const fields = {
          eventId: `${row.list}/${row.id}`,
          occurredAt: row.atMs,
          type: row.list === 'performance' && row.failed ? 'error' : (EVENT_TYPES.get(row.list) ?? 'other'),
          name: row.list,
          language: row.language,
          userId: row.userId,
          attributes: row.attributes,
        }
        if (row.sessionId === null) return [eventWithoutSession(ctx, { ...fields, botId, channel: row.channel })]
        return [event(ctx.session({ botId, sessionId: row.sessionId, channel: row.channel, language: row.language }), fields)]
      },
    },
  },
})

/** Later events of a conversation in the contact center. Agent to agent, or to another queue, is not a first transfer. */
function contactEvents(row: Contact, make: (fields: EventFields) => Draft): Draft[] {
  const { id, userId, queue, agentId, agentName } = row
  const common = (part: string, atMs: number) => ({ eventId: `contact-center/${id}/${part}`, occurredAt: atMs, userId })
  const drafts = [
    make({
      ...common('requested', row.startedAtMs),
      type: 'agent_transfer_requested',
      name: 'conversation',
      attributes: { ...row.attributes, queue, contactCenterId: id },
    }),
  ]
  if (row.transferredAtMs !== null)
    drafts.push(
      make({
        ...common('transferred', row.transferredAtMs),
        type: 'agent_transferred',
        name: 'accepted',
        attributes: { queue, agentId, agentName, contactCenterId: id },
      }),
    )
  for (const { atMs, to, attributes } of row.transfers)
    drafts.push(
      make({
        ...common(`transfer/${atMs}`, atMs),
        type: 'agent_transfer_requested',
        name: 'transfer',
        attributes: { ...attributes, to, contactCenterId: id },
      }),
    )
  return drafts
}

const EVENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['successintent', 'intent_matched'],
  ['failintent', 'intent_missed'],
  ['unhandledutterance', 'intent_missed'],
  ['successtask', 'task_succeeded'],
  ['failtask', 'task_failed'],
])

const SessionsPage = pageSchema('sessions')
const FindingsPage = pageSchema('result')

/** If the filter by ids is rejected, continue as with rows of others, if there is another way to find the sessions. */
function unfiltered(ids: readonly string[]): (error: unknown) => ListPage {
  return error => {
    const isRefused = error instanceof FlowError && error.code === 'SRC_REFUSED'
    if (isRefused && ids.some(id => startOf(id) !== null)) return { rows: [null], total: null, more: null }
    throw error
  }
}

/** The second of the start in a session id, epoch milliseconds: its first 8 hex digits, in three samples. null: the id has another form. */
function startOf(id: string): number | null {
  return /^[0-9a-f]{24}$/i.test(id) ? Number.parseInt(id.slice(0, 8), 16) * 1000 : null
}

function scopesOf(config: Config, account: string): Scope[] {
  return config.botIds?.map(botId => ({ name: botId, botId })) ?? [{ name: account, botId: null }]
}

/** The documented filters, from the config. */
interface Filters {
  readonly query: Readonly<Record<string, string>>
  readonly body: Readonly<Record<string, Json>>
}

const ALL: Filters = { query: {}, body: {} }

function filtersOf(config: Config, containmentType: string | null): Filters {
  const { sessionTypes, userId } = config
  const tags = tagsFilter(config)
  // Both types together mean all sessions.
  const sessionType = new Set(sessionTypes).size === 1 ? sessionTypes?.[0] : undefined
  return {
    query: containmentType === null ? {} : { containmentType },
    body: {
      ...(sessionType !== undefined && { sessionType }),
      ...(userId !== undefined && { userId }),
      ...(tags !== undefined && { tags }),
    },
  }
}

async function sessionsPage(vendor: Vendor, window: Window, skip: number, filters = ALL): Promise<ListPage> {
  const { config, http } = vendor
  const { from, until } = iso({ fromMs: window.fromMs - 1, untilMs: window.untilMs + 1 })
  const body = { skip, limit: config.pageSize, dateFrom: from, dateTo: until, ...filters.body }
  const path = pathOf(vendor, 'getSessions', config.botPath)
  const call = { query: filters.query, body }
  const page = await listPage(options => http.postJson(path, call, SessionsPage, options))
  return config.trustTotal ? page : { ...page, total: null }
}

/** By id, sessions older than 14 days come without session tags (documented): those are read with the sessions of their start time. */
async function withOldTags(vendor: Vendor, rows: readonly Conversation[], nowMs: number): Promise<Conversation[]> {
  const out: Conversation[] = []
  for (const row of rows) {
    const isOld = row.startedAtMs < nowMs - TAGS_MS
    if (!row.followed || !isOld || row.tags.some(({ scope }) => scope === 'session')) {
      out.push(row)
      continue
    }
    const { rows: found } = await sessionsPage(vendor, { fromMs: row.startedAtMs, untilMs: row.startedAtMs }, 0)
    const again = Row.safeParse(found.find(each => sessionIdOf(each) === row.id))
    out.push(again.success ? { ...row, tags: again.data.tags } : row)
  }
  return out
}

/** All lists one after another, each newest first up to the window's end. */
async function* readAnalytics(args: Omit<ReadArgs, 'config'> & { readonly config: Config }): AsyncIterable<Page> {
  const { config, scope, window, resume, http } = args
  if (scope.botId === null)
    throw new FlowError('CFG_INVALID', {
      path: 'bot.ids',
      hint: 'stream analytics needs bot.ids: the vendor has no account-wide call',
    })
  const path = pathOf({ config, botId: scope.botId, http }, 'getAnalytics')
  const { from, until } = iso({ fromMs: window.fromMs - 1, untilMs: window.untilMs + 1 })
  const tags = tagsFilter(config)
  const filters = {
    from,
    to: until,
    channel: [...config.analyticsChannels],
    ...(config.userId !== undefined && { userId: [config.userId] }),
    ...(tags !== undefined && { tags }),
  }
  const ask = async (type: string | null, skip: number) => {
    const body = { type, filters, sort: { order: 'desc', by: 'timestamp' }, limit: config.pageSize, skip }
    const page = await listPage(options => http.postJson(path, { body }, FindingsPage, options))
    return config.trustTotal ? page : { ...page, total: null }
  }
  const pages = inTurn(config.analyticsTypes, { limit: config.pageSize, resume, idOf: findingIdOf, ask })
  for await (const { list, rows, resume: next } of pages)
    yield { rows: rows.map(row => findingOf(row, list ?? '')), resume: next }
}

interface InTurn {
  readonly limit: number
  readonly resume: Json
  readonly idOf: (row: unknown) => string | null
  readonly ask: (list: string | null, skip: number) => Promise<ListPage>
}

/** One listing after another. The position is that of the current listing, with the names of all, if they have any. */
async function* inTurn(names: readonly (string | null)[], { limit, resume, idOf, ask }: InTurn) {
  const lists = names.join()
  const isNamed = names[0] !== null
  const begin = isNamed ? resumeOf(resume, lists) : { list: 0, place: resume }
  for (const [i, name] of names.slice(begin.list).entries()) {
    const list = begin.list + i
    const from = i === 0 ? placeOf(begin.place) : null
    const isLast = list === names.length - 1
    for await (const { rows, next } of listing({ limit, from, idOf, ask: skip => ask(name, skip) })) {
      const after = next === null ? (isLast ? null : { lists, list: list + 1, place: null }) : { lists, list, place: next }
      yield { list: name, rows, resume: isNamed ? after : next }
    }
  }
}

/** A position among other lists than those of the config is invalid: the config's new lists might be skipped. */
function resumeOf(resume: unknown, names: string): { readonly list: number; readonly place: unknown } {
  const { lists, list, place } = (resume ?? {}) as { lists?: unknown; list?: unknown; place?: unknown }
  if (lists !== names || typeof list !== 'number') return { list: 0, place: null }
  return { list, place: place ?? null }
}

/**
 * How the session ended: by the vendor's status; without one, when it has been silent for longer than the app's inactivity setting. A session that never ends
 * expires.
 */
function endOf(row: Conversation, ctx: RowContext<Config>) {
  const { startedAtMs, state } = row
  const endTimeMs = realTime(row.endTimeMs, ctx)
  const lastMs = Math.max(startedAtMs, endTimeMs ?? row.messages?.at(-1)?.atMs ?? startedAtMs)
  const isKnown = endTimeMs !== null && endTimeMs >= startedAtMs
  const quietMs = ctx.config.inactivityMinutes * MINUTE_MS + QUIET_MARGIN_MS
  const ageMs = ctx.observedAtMs - startedAtMs
  if (state === 'closed' || (state === null && endTimeMs !== null && ctx.observedAtMs - endTimeMs > quietMs))
    return { status: 'CLOSED', endedAt: lastMs, endedAtEstimated: !isKnown } as const
  if (ageMs >= ctx.lookbackMs + EXPIRES_MS) return { status: 'EXPIRED', endedAt: lastMs, endedAtEstimated: true } as const
  return { status: 'OPEN', endedAt: null, endedAtEstimated: false } as const
}

/** Counts of messages that were read. Agents' messages look like the bot's unless the vendor was asked who wrote them. */
function countsOf(row: Conversation, { config }: RowContext<Config>) {
  const { messages } = row
  if (messages === null) return {}
  const count = (sender: string) => messages.filter(turn => turn.sender === sender).length
  const isKnown = config.agentsInfo || !isHandedOver(row)
  return {
    userMessages: count('USER'),
    botMessages: isKnown ? count('BOT') : null,
    agentMessages: isKnown ? count('AGENT') : null,
  }
}

function messageOf(ref: Parameters<typeof message>[0], turn: Turn, seq: number): Draft {
  const { id, atMs, channelUserId: _channelUserId, sessionId: _sessionId, ...fields } = turn
  if (realTime(atMs, ref) === null || atMs === null)
    throw new FlowError('ROW_UNMAPPABLE', { path: `messages.${seq}.createdOn`, hint: 'createdOn is no time' })
  return message(ref, { messageId: id, sentAt: atMs, seq, ...fields })
}
