/**
 * Sinch Chatlayer Analytics: tracking events of bots, from `GET /v1/bots/{bot_id}/events/stream`; the flow of each conversation that has events; the vendor's
 * own statistics of bots and teams.
 *
 * The API lists no conversations and no messages. Sessions are derived from events: the vendor's conversation ends after 15 minutes without interaction. Ranges
 * are half-open. Events come in pages of 100 in no documented order, and may be back-dated; statistics change until their bucket has settled. No limits and no
 * errors are documented. From the specification and the vendor's help pages, 2026-11; nothing here is measured.
 */
import { z } from 'zod'
import {
  type Classified,
  contentId,
  type Draft,
  defineConnector,
  EVENT_TYPES,
  type EventFields,
  event,
  eventWithoutSession,
  FlowError,
  type Http,
  inUrl,
  type Json,
  looseObject,
  number,
  objectOf,
  type RowContext,
  realTime,
  type Scope,
  type Turn,
  type Window,
  waitBySize,
} from '../../src/source/index.ts'
import { answered, isAnswer } from './answer.ts'
import { eventNames } from './definitions.ts'
import { eventsIn, sessionsIn } from './events.ts'
import { OWN_NAMES, pii } from './pii.ts'
import { EventRow, isThread, Point, pointId, pointMark, sorted, Thread, type Tracked, transitionsOf, viewId } from './rows.ts'
import { botOf, botScopes, recordBot, teamOf, teamScopes } from './scopes.ts'
import {
  askAll,
  BUCKET_MS,
  daysEndingIn,
  type Filter,
  LONGEST_MS,
  type Question,
  rangeFor,
  SMALLEST_MS,
  STATS,
} from './series.ts'
import {
  refusedFlow,
  saidBy,
  TRANSFER_RULES,
  detectsTransfers,
  watchDrafts,
  watchedRow,
  watchesSteps,
  watchId,
  watchMark,
  watchSharedId,
  watchTurn,
} from './steps.ts'
import { isEventType, typeAfter, typeOf } from './types.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const ids = () => z.array(z.string().min(1))
const settle = () => z.int().min(0).optional()

const Config = z
  .strictObject({
    baseUrl: z
      .url({ protocol: /^https?$/, error: 'takes an http or https address' })
      .describe('Host of the Analytics API, such as https://analytics.api.chatlayer.ai'),
    tokenId: z.string().min(1).describe('Id of the API access token; a token is good for one team'),
    tokenSecret: z.string().min(1).meta({ secret: true }).describe('Secret of the API access token'),
    botIds: ids().min(1).describe('Bots to read, a comma list'),
    botVersion: z
      .array(z.enum(['LIVE', 'DRAFT']))
      .min(1)
      .default(['LIVE'])
      .describe('LIVE, DRAFT, or both as a comma list; DRAFT has bot_id `<id>@DRAFT`'),
    teamIds: ids().min(1).optional().describe('Teams whose usage is read, a comma list; without it team-usage is not read'),
    streams: z.array(z.string()).optional().describe('Streams to read, a comma list; default: all. team-usage needs team.ids'),
    authScheme: z
      .enum(['basic', 'bearer'])
      .default('basic')
      .describe('How the token is sent, `token.id:token.secret` either way; bearer for old installations'),
    pageSize: z.int().min(1).max(100).default(100).describe('Events per page; the vendor treats more as 100'),
    eventsLagMs: z.int().min(0).default(MINUTE_MS).describe('Events are read up to this long ago, milliseconds'),
    eventTypes: z
      .array(
        z
          .string()
          .regex(/^[^=].*=[a-z_]+$/, 'takes name=type')
          .refine(pair => !/=[a-z_]+$/.test(pair) || isEventType(typeAfter(pair)), {
            error: `ends in no type of an event; takes name=type with one of ${EVENT_TYPES.join(', ')}`,
          }),
      )
      .default([])
      .describe(
        "Types of the bots' own events, a comma list of `name=type`, whatever the case of the name; for transfers rather use transfer.rules",
      ),
    transferRules: z
      .array(z.string())
      .optional()
      .describe(
        "What means a transfer to a person, SOURCE~REGEX=TYPE each; sources here: event (its name), attribute.NAME, step and flow (of events and of flows); default: the vendor's own definition, below. A rule on step asks for flows",
      ),
    channelType: ids()
      .min(1)
      .optional()
      .describe("Series of these channels only, a comma list of the vendor's words; default: all"),
    language: ids().min(1).optional().describe('Series of these languages only, a comma list; default: all'),
    filterForm: z
      .enum(['comma', 'repeat'])
      .default('comma')
      .describe(
        'How several channels or languages are sent, as the docs show both: with commas, as in the text, or with the name repeated, as in the specification',
      ),
    sessionsDerive: z.boolean().default(true).describe('Derive sessions from events; false: events belong to no session'),
    sessionGapMs: z
      .int()
      .min(1)
      .default(15 * MINUTE_MS)
      .describe('A silence longer than this ends a session, milliseconds'),
    flowIds: z
      .enum(['vendor', 'content'])
      .default('vendor')
      .describe("What identifies a transition: the vendor's id, or its content, if ids differ from read to read"),
    seriesBucket: z.enum(['1h', '1d', '1w']).default('1h').describe('Interval of the series of conversations and messages'),
    seriesGroupBy: z
      .enum(['channel_type', 'language', 'none'])
      .default('channel_type')
      .describe('What the series of conversations is grouped by'),
    seriesSettleMs: settle().describe('A bucket is read this long after its end, milliseconds; default: 2 h for 1h, else 24 h'),
    insightsStats: z
      .array(z.enum(STATS))
      .default([...STATS])
      .describe('Statistics to read for each day, a comma list'),
    teamBucket: z.enum(['1d', '1w', '1m']).default('1d').describe('Interval of team-usage'),
    teamGroupBy: z
      .array(z.enum(['bot_id', 'bot_version', 'team_id', 'channel_type', 'language', 'campaign_id', 'campaign_source']))
      .default(['bot_id', 'bot_version', 'channel_type'])
      .describe('What team-usage is grouped by, a comma list; without bot_id the team is the bot_id'),
    teamSettleMs: settle().describe('A bucket of team-usage is read this long after its end, milliseconds; default: 24 h'),
  })
  // Also if another key is wrong, so that every fault is reported at once.
  .refine(({ streams, teamIds }) => teamIds !== undefined || !Array.isArray(streams) || !streams.includes('team-usage'), {
    path: ['teamIds'],
    message: 'is required by the stream team-usage',
    when: () => true,
  })
type Config = z.output<typeof Config>

/** An event that appears late (back-dated by a caller of `track`) is found within a quarter of its age, up to a day. */
const EVENTS = { longestMs: 6 * HOUR_MS, smallestMs: MINUTE_MS, hotMs: 5 * MINUTE_MS, lookbackMs: DAY_MS } as const
/** Backfill: deduplication state is kept for a while after its window, which must span what flows of neighbouring windows share. */
const FLOWS = { longestMs: 6 * HOUR_MS, smallestMs: 3 * HOUR_MS, lookbackMs: DAY_MS, lookbackIntervalMs: HOUR_MS } as const
/** A flow is requested from this long before the first event of its conversation to this long after the last. */
const AROUND_MS = HOUR_MS
/** Parallel requests of one `enrich`. */
const TOGETHER = 4

export default defineConnector({
  manifest: {
    id: 'chatlayer',
    title: 'Sinch Chatlayer',
    apiVersion: 'Analytics 1.0.0',
    docs: 'https://developers.sinch.com/docs/chatlayer-analytics/api-reference',
    // Assumed: none is documented.
    quota: { perSecond: 10, concurrency: TOGETHER, sharedBy: 'tokenId' },
    pollIntervalMs: MINUTE_MS,
    sessionStream: null,
    transferRules: TRANSFER_RULES,
    pii,
  },
  config: Config,

  http: config => ({
    baseUrl: config.baseUrl.replace(/\/+$/, '').replace(/\/v1$/, ''),
    headers: { authorization: authorisation(config) },
    classify: ({ status, headers, nowMs }) => (status === 429 ? rateLimited(headers, nowMs) : undefined),
  }),

  detectsTransfers,

  facts: ({ config, http, transfers }) => eventNames(config, http, transfers),

  streams: {
    events: {
      feeds: ['session', 'event'],
      window: config => ({ ...EVENTS, lagMs: config.eventsLagMs, durableResume: false }),
      scopes: botScopes,
      row: EventRow,

      /** One page: the order of the listing is unknown before its end. */
      async *read({ config, scope, window, again = false, nowMs, http }) {
        const options = { bot: botOf(scope), window, smallestMs: EVENTS.smallestMs, pageSize: config.pageSize, http }
        if (!watchesSteps(config)) {
          yield { rows: await eventsIn(options), resume: null }
          return
        }
        const { events, sessions } = await sessionsIn({ ...options, again, gapMs: config.sessionGapMs, nowMs })
        yield { rows: [...events, ...sessions.map(watchedRow)], resume: null }
      },

      async enrich({ scope, rows, http, nowMs }) {
        const flows = await flowsOf(rows.filter(isThread), { scope, http, nowMs })
        return rows.map(row => (isThread(row) ? (flows.shift() as Thread) : row))
      },

      requestsBeside: config => ({
        unknown: [
          'one request for 100 tracking events of a window',
          ...(watchesSteps(config)
            ? [
                'flows: one request for each conversation with new events, and up to five more when it rests; none without rules on step',
              ]
            : []),
        ],
      }),

      /** Many, so that a session's id is computed from its first event. */
      enrichRows: 5_000,

      derive: config =>
        config.sessionsDerive
          ? {
              gapMs: config.sessionGapMs,
              turn: (row, ctx: RowContext<Config>) =>
                isThread(row) ? watchTurn(row, keyOf(row.conversationId, ctx.scope), ctx) : turnOf(row, ctx),
              sessionId: ({ key, firstAtMs }) => sessionIdOf(...(JSON.parse(key) as [string, string, string]), firstAtMs),
              publishes: true,
            }
          : null,

      identify: row => (isThread(row) ? watchId(row) : row.id),

      sharedId: row => (isThread(row) ? watchSharedId(row) : row.id),

      fingerprint: (row, ctx) => (isThread(row) ? watchMark(row, ctx.config.sessionGapMs, ctx) : (row as unknown as Json)),

      normalise: (row, ctx) => {
        if (isThread(row)) return watchDrafts(row, ctx)
        const said = saidBy(row.given)
        const bot = botOf(ctx.scope)
        const fields: EventFields = {
          eventId: `${ctx.scope.name}/${row.id}`,
          occurredAt: row.atMs,
          type: typeOf(row.name, ctx.config),
          name: row.name,
          userId: row.userId,
          attributes: attributesOf(row, ctx.scope),
        }
        return ctx.derived
          ? [event(ctx.derived, fields, said)]
          : [eventWithoutSession(ctx, { ...fields, botId: recordBot(bot.id, bot.version), channel: row.channelType }, said)]
      },
    },

    flow: {
      feeds: ['event'],
      /** A conversation is complete when it has been idle for the gap that ends it. */
      window: config => ({
        ...FLOWS,
        lagMs: config.sessionGapMs + config.eventsLagMs,
        pollIntervalMs: 15 * MINUTE_MS,
        durableResume: false,
      }),
      scopes: botScopes,
      row: Thread,

      /** The conversations that have events in the window: there is no other list of them. */
      async *read({ config, scope, window, again = false, nowMs, http }) {
        const { sessionGapMs: gapMs, pageSize } = config
        const options = { bot: botOf(scope), window, again, gapMs, nowMs, smallestMs: FLOWS.smallestMs, pageSize, http }
        yield { rows: (await sessionsIn(options)).sessions, resume: null }
      },

      enrich: ({ scope, rows, http, nowMs }) => flowsOf(rows, { scope, http, nowMs }),

      requestsBeside: () => ({
        unknown: [
          'one request for 100 tracking events of a window',
          'one request for each conversation with new events, one for each that has rested, and one more when its events leave the lookback',
        ],
      }),

      identify: viewId,

      /** One for all of a conversation, so that a transition is published once, whichever session shows it. */
      sharedId: row => row.conversationId,

      /** Requested when there are new events, when it has rested, and when these leave the lookback. */
      fingerprint: (row, ctx) => [ctx.config.sessionGapMs, ctx.lookbackMs].map(ms => ctx.observedAtMs - row.lastMs >= ms),

      normalise: (row, ctx) => transitionDrafts(row, ctx),
    },

    series: {
      feeds: ['event'],
      window: config => ({
        longestMs: LONGEST_MS[config.seriesBucket],
        smallestMs: SMALLEST_MS[config.seriesBucket],
        settles: true,
        lagMs: config.seriesSettleMs ?? (config.seriesBucket === '1h' ? 2 * HOUR_MS : DAY_MS),
        // Insights are per day, whatever the bucket.
        lookbackMs: 3 * Math.max(BUCKET_MS[config.seriesBucket], DAY_MS),
        lookbackIntervalMs: HOUR_MS,
        pollIntervalMs: 15 * MINUTE_MS,
        durableResume: true,
      }),
      scopes: botScopes,
      row: Point,
      read: ({ config, scope, window, resume, http }) => askAll(botQuestions(config, scope, window), { window, resume, http }),
      requestsBeside: config => ({
        perWindow: filtersOf(config).each.length,
        unknown: [`insights: ${config.insightsStats.length} requests for each day that ends in a window`],
      }),
      identify: row => pointId(row, null),
      fingerprint: pointMark,
      normalise: (row, ctx) => {
        const { id, version } = botOf(ctx.scope)
        return [pointDraft(row, `${id}@${version}`, recordBot(id, version), { bot_version: version }, ctx)]
      },
    },

    'team-usage': {
      feeds: ['event'],
      window: config => ({
        longestMs: LONGEST_MS[config.teamBucket],
        smallestMs: SMALLEST_MS[config.teamBucket],
        settles: true,
        lagMs: config.teamSettleMs ?? DAY_MS,
        lookbackMs: 3 * BUCKET_MS[config.teamBucket],
        lookbackIntervalMs: HOUR_MS,
        pollIntervalMs: HOUR_MS,
        durableResume: true,
      }),
      /** No team, no scope: nothing is read. */
      scopes: config => teamScopes(config.teamIds),
      row: Point,
      read: ({ config, scope, window, resume, http }) => askAll([teamQuestion(config, scope, window)], { window, resume, http }),
      identify: row => pointId(row, null),
      fingerprint: pointMark,
      normalise: (row, ctx) => {
        const team = teamOf(ctx.scope)
        const { bot_id: bot, bot_version: version } = row.labels
        return [pointDraft(row, team, bot ? recordBot(bot, version ?? null) : team, { team_id: team, bot_version: version }, ctx)]
      },
    },
  },
})

/** The thread of a session, as `Turn.key`: JSON of bot, version and `conversation_id`. */
export function threadKey(botId: string, version: string, conversationId: string): string {
  return JSON.stringify([botId, version, conversationId])
}

/**
 * A session's id: a hash, because `conversation_id` may contain a phone number.
 *
 * @param firstAtMs Time of its first event when it was published first, epoch milliseconds.
 */
export function sessionIdOf(botId: string, version: string, conversationId: string, firstAtMs: number): string {
  return contentId(botId, version, conversationId, firstAtMs)
}

/** The number of messages is unknown: bots track what they like. */
function turnOf(row: Tracked, ctx: RowContext<Config>): Turn | null {
  const { scope, config } = ctx
  if (row.conversationId === null) return null
  if (realTime(row.atMs, ctx) === null)
    throw new FlowError('ROW_UNMAPPABLE', { path: 'timestamp', hint: 'timestamp is a placeholder, not a time' })
  const { id, version } = botOf(scope)
  return {
    key: keyOf(row.conversationId, scope),
    atMs: row.atMs,
    botId: recordBot(id, version),
    channel: row.channelType,
    userId: row.userId,
    isTest: version === 'DRAFT',
    transferred: typeOf(row.name, config) === 'agent_transferred',
    attributes: {
      conversation_id: row.conversationId,
      bot_version: version,
      derived_from: 'events',
      ...(row.channelId === null ? {} : { channel_id: row.channelId }),
    },
  }
}

function keyOf(conversationId: string, scope: Scope): string {
  const { id, version } = botOf(scope)
  return threadKey(id, version, conversationId)
}

/** The builder's attributes under their own names, unless these are ours. */
function attributesOf(row: Tracked, scope: Scope): Record<string, unknown> {
  const { id, version } = botOf(scope)
  const isOurs = (name: string) => OWN_NAMES.has(name) || name.startsWith('series.')
  const extra = Object.entries(row.extra).map(([name, value]) => [isOurs(name) ? `row_${name}` : name, value] as const)
  const ours: Record<string, unknown> = {
    ...Object.fromEntries(extra),
    conversation_id: row.conversationId,
    channel_id: row.channelId,
    bot_version: version,
    ...(row.botId !== null && row.botId !== id ? { row_bot_id: row.botId } : {}),
    ...(row.version !== null && row.version !== version ? { row_version: row.version } : {}),
  }
  const given = Object.entries(row.given).map(
    ([name, value]) => [Object.hasOwn(ours, name) || isOurs(name) ? `attributes.${name}` : name, value] as const,
  )
  return { ...ours, ...Object.fromEntries(given) }
}

const FlowAnswer = looseObject({ transitions: z.array(z.unknown()).nullish() }).refine(body =>
  isAnswer(body, body.transitions, ['transitions', 'bot_id', 'conversation_id', 'user_id']),
)

/** In the order of the rows, some in parallel. */
async function flowsOf(rows: readonly Thread[], api: FlowCall): Promise<Thread[]> {
  const out: Thread[] = []
  for (let at = 0; at < rows.length; at += TOGETHER)
    out.push(...(await Promise.all(rows.slice(at, at + TOGETHER).map(row => withFlow(row, api)))))
  return out
}

/**
 * 404: the conversation is gone, or has nothing in the range. A rejected one does not affect the others: it becomes a dead letter, and is requested again like
 * any other.
 */
async function withFlow(row: Thread, api: FlowCall): Promise<Thread> {
  try {
    return { ...row, flow: await flowOf(row, api) }
  } catch (error) {
    if (error instanceof FlowError && error.code === 'SRC_REFUSED')
      return { ...row, refused: number(error.details['status']) ?? 400 }
    throw error
  }
}

interface FlowCall {
  readonly scope: Scope
  readonly http: Http
  readonly nowMs: number
}

/** Not into the future, which a vendor might reject: nothing can be there. */
function flowOf(row: Thread, { scope, http, nowMs }: FlowCall): Promise<z.output<typeof FlowAnswer>> {
  const { path, version } = botOf(scope)
  const query = {
    version,
    start_time: new Date(row.firstMs - AROUND_MS).toISOString(),
    end_time: new Date(Math.max(row.lastMs + 1, Math.min(row.lastMs + AROUND_MS, nowMs))).toISOString(),
  }
  const call = (id: string) => `${path}/conversations/${id}/flow`
  const shownPath = call('{conversation_id}')
  const ask = call(inUrl(row.conversationId))
  return answered<z.output<typeof FlowAnswer>>(
    empty => http.getJson(ask, query, FlowAnswer, { empty, emptyStatus: [404], shownPath }),
    {},
    ({ transitions }) => transitions,
  )
}

/**
 * One event for each transition. What is outside the requested range is dropped: a vendor that returns the whole thread would repeat what was published before
 * its deduplication state was dropped.
 */
function transitionDrafts(row: Thread, ctx: RowContext<Config>): Draft[] {
  if (row.refused !== undefined) throw refusedFlow(row.refused)
  const { id: botId, version } = botOf(ctx.scope)
  const { transitions, bot_id: _bot, conversation_id: _conversation, user_id: userId, ...extra } = objectOf(row.flow)
  const rows = Array.isArray(transitions) ? (transitions as unknown[]) : []
  const byContent = ctx.config.flowIds === 'content'
  /** If the stream `events` looks for steps, it publishes their transfers, with their session. */
  const said = (step: string | null) => (watchesSteps(ctx.config) ? undefined : { step })
  return transitionsOf(rows, [botId, version, row.conversationId], byContent)
    .filter(({ atMs }) => row.firstMs - AROUND_MS <= atMs && atMs < row.lastMs + AROUND_MS)
    .map(({ id, givenId, atMs, from, to, depth, extra: more }) =>
      eventWithoutSession(
        ctx,
        {
          botId: recordBot(botId, version),
          eventId: id,
          occurredAt: atMs,
          type: 'flow_transition',
          channel: row.channelType,
          userId: typeof userId === 'string' && userId !== '' ? userId : row.userId,
          attributes: {
            ...extra,
            ...more,
            conversation_id: row.conversationId,
            channel_id: row.channelId,
            bot_version: version,
            transition_id: givenId,
            'from_step.id': from.id,
            'from_step.type': from.type,
            'to_step.id': to.id,
            'to_step.type': to.type,
            depth,
            drop_off: to.id === 'DROPOFF' ? true : null,
          },
        },
        said(to.id),
      ),
    )
}

function botQuestions(config: Config, scope: Scope, window: Window): Question[] {
  const { path, version } = botOf(scope)
  const { seriesBucket: bucket, seriesGroupBy } = config
  const groupBy = seriesGroupBy === 'none' ? [] : [seriesGroupBy]
  const range = rangeFor(bucket, window)
  const bucketed = { version, bucket, range, stat: null }
  const filters = filtersOf(config)
  const named = (key: string, filter: Filter) => [key, ...Object.entries(filter).flat(2)].join('/')
  const isRepeated = config.filterForm === 'repeat'
  return [
    {
      ...bucketed,
      key: named('conversations', filters.all),
      endpoint: 'conversations',
      path: `${path}/conversations`,
      groupBy,
      filter: filters.all,
      isRepeated,
    },
    ...daysEndingIn(window).flatMap(day =>
      config.insightsStats.map(stat => ({
        key: named(`insights/${stat}/${day.fromMs}`, filters.all),
        endpoint: 'conversations/insights',
        path: `${path}/conversations/insights`,
        version,
        bucket: null,
        groupBy: [],
        stat,
        range: day,
        filter: filters.all,
      })),
    ),
    // Not in the first specification; by now the bot is known, so a 404 does not mean a misspelt id. Takes one channel and one language ("Filter by specific
    // channel").
    ...filters.each.map(filter => ({
      ...bucketed,
      key: named('messages', filter),
      endpoint: 'messages',
      path: `${path}/messages`,
      groupBy: [],
      mayLack: true,
      filter,
    })),
  ]
}

/** The config's filters together, and each channel with each language. */
function filtersOf({ channelType, language }: Config): { readonly all: Filter; readonly each: readonly Filter[] } {
  const all = { ...(channelType && { channel_type: channelType }), ...(language && { language }) }
  const alone = (values: readonly string[] | undefined) => (values ?? [undefined]).map(value => value && [value])
  const each = alone(channelType).flatMap(channel_type =>
    alone(language).map(one => ({ ...(channel_type && { channel_type }), ...(one && { language: one }) })),
  )
  return { all, each }
}

function teamQuestion({ teamBucket: bucket, teamGroupBy: groupBy }: Config, scope: Scope, window: Window): Question {
  return {
    key: 'teams/conversations',
    endpoint: 'teams/conversations',
    path: `/v1/teams/${encodeURIComponent(teamOf(scope))}/conversations`,
    bucket,
    groupBy,
    stat: null,
    range: rangeFor(bucket, window),
  }
}

/**
 * A point is at the beginning of its bucket; a bin of a histogram at the beginning of its day.
 *
 * @param whose Bot and version, or the team: part of the point's id.
 */
function pointDraft(
  row: Point,
  whose: string,
  botId: string,
  ids: Readonly<Record<string, string | undefined>>,
  ctx: RowContext,
): Draft {
  const { endpoint, bucket, groupBy, stat, labels, seriesLabel, x, place, value, fromMs, untilMs, filter } = row
  // A request for one channel returns data of that channel.
  const only = (values: readonly string[] | undefined) => (values?.length === 1 ? (values[0] as string) : null)
  const atMs = realTime(row.atMs, ctx)
  const series = Object.entries(row.series).map(([name, value]) => [`series.${name}`, value] as const)
  return eventWithoutSession(ctx, {
    botId,
    eventId: pointId(row, whose),
    occurredAt: atMs ?? fromMs,
    occurredAtEstimated: atMs === null,
    type: 'metric_point',
    name: endpoint,
    channel: labels['channel_type'] || only(filter?.['channel_type']),
    language: labels['language'] || only(filter?.['language']),
    attributes: {
      ...ids,
      endpoint,
      value,
      x_value: x,
      x_place: place,
      bucket,
      group_by: groupBy,
      stat,
      labels: Object.keys(labels).length === 0 ? null : sorted(labels),
      series_label: seriesLabel,
      ...Object.fromEntries(series),
      'series.filter': filter,
      range_start: new Date(fromMs).toISOString(),
      range_end: new Date(untilMs).toISOString(),
    },
  })
}

function authorisation({ authScheme, tokenId, tokenSecret }: Config): string {
  const shown = `${tokenId}:${tokenSecret}`
  return authScheme === 'basic' ? `Basic ${Buffer.from(shown).toString('base64')}` : `Bearer ${shown}`
}

/**
 * `x-ratelimit-reset`, without a `Retry-After`: a header of the vendor's other API, documented in seconds and shown in milliseconds. Its size decides: a time
 * in milliseconds, a time in seconds, or seconds to wait.
 */
function rateLimited(headers: Readonly<Record<string, string>>, nowMs: number): Classified | undefined {
  const reset = number(headers['x-ratelimit-reset'])
  if (reset === null || headers['retry-after'] !== undefined) return undefined
  return { code: 'SRC_RATE_LIMITED', waitMs: Math.max(1000, waitBySize(reset, nowMs) ?? 0) }
}
