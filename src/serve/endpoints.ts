/**
 * Everything below `/v1`, as data: the schemas that check requests and describe answers, and calls that show it. The listener makes its routes of it,
 * `openapi.ts` the document for programs, and `docs-page.ts` the page for people.
 */
import { z } from 'zod'
import { type Alert, ALERT_STATES, CHANNELS } from '../records.ts'
import { AlertParameters } from './alerts.ts'
import {
  BotError,
  BotPath,
  BotSeries,
  ConversationsParameters,
  InsightsParameters,
  MessagesParameters,
  TeamParameters,
  TeamPath,
} from './bot-analytics.ts'
import { ConversationPath, Flow, FlowParameters } from './bot-flow.ts'
import { LabelPath, MEASURE_LIST, ValueParameters } from './discovery.ts'
import { SERIES_MEASURES } from './measures.ts'
import { SeriesParameters } from './series-query.ts'
import { LABELS } from './store.ts'

export interface Endpoint {
  /** As OpenAPI writes it; parts in braces are in `inPath`. */
  readonly path: string
  readonly operationId: string
  readonly summary: string
  readonly description: string
  readonly inPath: z.ZodObject
  readonly parameters: z.ZodObject
  /** Kinds of answers by content type; each has a name of its own in the document. */
  readonly answers: Readonly<Record<string, Readonly<Record<string, z.ZodType>>>>
  /** The shape of its errors, where it is not `ErrorAnswer`. */
  readonly errors?: Readonly<Record<string, z.ZodType>>
  /** Calls that show it, from the path on, with what they are for. Each is tried by a test. */
  readonly calls: readonly { readonly call: string; readonly shows: string }[]
}

const instant = z.string().describe('ISO 8601, with the offset of the zone asked for')
const completeUntil = instant
  .nullable()
  .describe('Everything with an earlier time has been read; null: something has not been read at all')
const value = z.number().nullable()
const labelsOf = Object.fromEntries(LABELS.map(label => [label, z.string().optional()])) as Record<
  (typeof LABELS)[number],
  z.ZodOptional<z.ZodString>
>
const labels = z.object({ ...labelsOf, measure: z.enum(SERIES_MEASURES).optional().describe('Where several were asked for') })

export const SeriesAnswer = z.object({
  data: z.object({
    series: z.array(
      z.object({
        labels: labels.describe('The labels of `group_by`'),
        values: z
          .array(value)
          .describe(
            'One a bucket. null: nothing has been read yet, the vendor does not say, the measure has no value, as a rate of nothing, or what is kept of the time is longer than the bucket. With `rolling` also where this is so of a part of the window. 0: it was read, and there was nothing',
          ),
        sum: value.describe(
          'The measure over all that was asked for, each bucket once also where windows overlap, buckets that are null because they are too short included; of a rate, the rate over all of it',
        ),
        mean: value.describe('Of the values shown'),
        min: value.describe('Of the values shown'),
        max: value.describe('Of the values shown'),
        complete_until: completeUntil,
      }),
    ),
    series_labels: z.array(z.string()).describe('A name for each series'),
    x_values: z.array(instant).describe('Starts of the buckets'),
  }),
  complete_until: completeUntil.describe('The least of all that was asked for'),
})

export const SeriesRows = z.array(
  z.object({ time: instant, ...labels.shape, value }).describe('In the order of time; labels are those of `group_by`'),
)

export const Labels = z.object({ data: z.array(z.enum(LABELS)) })
export const LabelValues = z.object({ data: z.array(z.string()).describe('Sorted') })
export const Measures = z.object({
  data: z.array(
    z.object({
      name: z.enum(SERIES_MEASURES),
      unit: z.enum(['count', 'ms', 'ratio']),
      meaning: z.string(),
      additive: z.boolean().describe('Whether values of several buckets or series may be added up'),
    }),
  ),
})

const ms = z.int().describe('Epoch milliseconds')
const AlertRecord = z.object({
  alert_id: z.string(),
  rule: z.string(),
  state: z.enum(ALERT_STATES),
  vendor: z.string(),
  account: z.string(),
  bot_id: z.string().describe('Empty where it is the whole account'),
  channel: z.enum(CHANNELS).nullable().describe('null: all channels of the bot'),
  language: z.string().nullable(),
  starts_at: ms.describe('Start of the first bucket that belongs to it, epoch milliseconds'),
  ends_at: ms.nullable(),
  observed: z.number(),
  expected: z.number(),
  probability: z.number().nullable(),
  evidence: z.record(z.string(), z.string()),
  updated_at: ms,
}) satisfies z.ZodType<Alert>
export const Alerts = z.object({ data: z.array(AlertRecord) })

const length = z.string().describe('A length such as 15m')
export const Rules = z.object({
  data: z.array(
    z.object({
      name: z.string(),
      measure: z.string(),
      per: z.string().nullable().describe('The volume it is judged against; null: the count itself'),
      by: z.array(z.enum(LABELS)),
      windows: z.array(length),
      alertsPerWeek: z.number(),
      minCount: z.number(),
      minRatio: z.number(),
      refractory: length,
      severity: z.string(),
      budget: z.number().optional(),
      minSessions: z.number().optional(),
      burn: z.array(z.object({ long: length, short: length, rate: z.number() })).optional(),
    }),
  ),
})

/** Errors of every path. */
export const ErrorAnswer = z.object({ error_code: z.int(), message: z.string() })

const NONE = z.object({})
const JSON_TYPE = 'application/json'
const AS_THEIRS =
  'Takes and answers what the Analytics API 1.0.0 of Sinch does, for bots of every vendor; an account is what is a team there. Basic authentication takes the token as password.'

export const ENDPOINTS = {
  '/v1/series': {
    path: '/v1/series',
    operationId: 'series',
    summary: 'Series of measures',
    description:
      'Measures in buckets of time, for all records or by label. Lists are comma lists, or the parameter again; `\\,` is a comma that belongs to the value. An empty parameter is as absent.',
    inPath: NONE,
    parameters: SeriesParameters,
    answers: { [JSON_TYPE]: { SeriesAnswer, SeriesRows }, 'text/csv': { SeriesTable: z.string() } },
    calls: [
      { call: '/v1/series?measure=sessions&bucket=1h&from=now-24h', shows: 'Sessions of the last day by the hour' },
      {
        call: '/v1/series?measure=agent_transfers&bucket=1h&group_by=vendor,channel&rolling=24h',
        shows: 'Transfers to a person in rolling days, by vendor and channel',
      },
      {
        call: '/v1/series?measure=sessions,transfer_rate,containment_rate&bucket=1d&from=now-30d&group_by=bot_id&top=5&tz=Europe/Madrid',
        shows: 'The five bots with most sessions of the last 30 days, with their rates',
      },
      {
        call: '/v1/series?measure=duration_avg_ms&bucket=15m&from=now-6h&group_by=channel&shape=rows',
        shows: 'One row a value, as Grafana’s Infinity data source takes it',
      },
      { call: '/v1/series?measure=sessions,events&bucket=1d&from=now-7d&group_by=vendor&format=csv', shows: 'A table as CSV' },
    ],
  },
  '/v1/labels': {
    path: '/v1/labels',
    operationId: 'labels',
    summary: 'Names of the labels',
    description: 'What series can be grouped and filtered by.',
    inPath: NONE,
    parameters: NONE,
    answers: { [JSON_TYPE]: { Labels } },
    calls: [{ call: '/v1/labels', shows: 'All labels' }],
  },
  '/v1/labels/{name}': {
    path: '/v1/labels/{name}',
    operationId: 'labelValues',
    summary: 'Values of a label',
    description:
      'The values that a label has in any series with a point that begins in the range, sorted. Older records are in points of an hour or of a UTC day. Records without a language have the empty one. `other` stands for what has no series of its own, because its account has reached aggregator.maxSeries; as a channel also for one that is not known.',
    inPath: LabelPath,
    parameters: ValueParameters,
    answers: { [JSON_TYPE]: { LabelValues } },
    calls: [
      { call: '/v1/labels/channel', shows: 'All channels' },
      {
        call: '/v1/labels/bot_id?vendor=acme-chat&measure=agent_transfers&from=now-7d',
        shows: 'Bots of a vendor that transferred somebody in the last week',
      },
    ],
  },
  '/v1/measures': {
    path: '/v1/measures',
    operationId: 'measures',
    summary: 'Measures with unit and meaning',
    description: `The measures that \`/v1/series\` can be asked for: ${MEASURE_LIST.map(({ name }) => `\`${name}\``).join(', ')}.`,
    inPath: NONE,
    parameters: NONE,
    answers: { [JSON_TYPE]: { Measures } },
    calls: [{ call: '/v1/measures', shows: 'All measures' }],
  },
  '/v1/alerts': {
    path: '/v1/alerts',
    operationId: 'alerts',
    summary: 'Alerts, newest first',
    description: 'The `Alert` records of the last 90 days.',
    inPath: NONE,
    parameters: AlertParameters,
    answers: { [JSON_TYPE]: { Alerts } },
    calls: [
      { call: '/v1/alerts?state=FIRING', shows: 'What fires now' },
      { call: '/v1/alerts?from=now-7d&limit=20', shows: 'The newest of the last week' },
    ],
  },
  '/v1/rules': {
    path: '/v1/rules',
    operationId: 'rules',
    summary: 'Alert rules in force',
    description: 'The rules that the alerter judges by, with their settings.',
    inPath: NONE,
    parameters: NONE,
    answers: { [JSON_TYPE]: { Rules } },
    calls: [{ call: '/v1/rules', shows: 'All rules' }],
  },
  '/v1/bots/{bot_id}/conversations': {
    path: '/v1/bots/{bot_id}/conversations',
    operationId: 'botConversations',
    summary: 'Conversations of a bot over time',
    description: `Sessions at their start, counted in the range alone. ${AS_THEIRS}`,
    inPath: BotPath,
    parameters: ConversationsParameters,
    answers: { [JSON_TYPE]: { BotSeries } },
    errors: { BotError },
    calls: [
      {
        call: '/v1/bots/bot-1/conversations?version=LIVE&start_time=now-7d&end_time=now&bucket=1d&group_by=channel_type',
        shows: 'Conversations of the last week by the day and channel',
      },
    ],
  },
  '/v1/bots/{bot_id}/conversations/insights': {
    path: '/v1/bots/{bot_id}/conversations/insights',
    operationId: 'botInsights',
    summary: 'A statistic of the conversations of a bot',
    description: `One value a day, UTC, of what is in the range. ${AS_THEIRS}`,
    inPath: BotPath,
    parameters: InsightsParameters,
    answers: { [JSON_TYPE]: { BotSeries } },
    errors: { BotError },
    calls: [
      {
        call: '/v1/bots/bot-1/conversations/insights?version=LIVE&start_time=now-7d&end_time=now&stat=duration_seconds',
        shows: 'Time that conversations of the last week took',
      },
    ],
  },
  '/v1/bots/{bot_id}/conversations/{conversation_id}/flow': {
    path: '/v1/bots/{bot_id}/conversations/{conversation_id}/flow',
    operationId: 'conversationFlow',
    summary: 'The path of one conversation',
    description: `Transitions of a conversation, from its events, for as long as their topic keeps them: \`flow_transition\` and \`menu_option\`, or, where it has neither, intents, tasks and what hands over to a person. Much to look through is answered 503 after 10 s; the next request goes on from there. ${AS_THEIRS}`,
    inPath: ConversationPath,
    parameters: FlowParameters,
    answers: { [JSON_TYPE]: { Flow } },
    errors: { BotError },
    calls: [
      {
        call: '/v1/bots/bot-1/conversations/conversation-1/flow?version=LIVE&start_time=now-2d&end_time=now',
        shows: 'The path of a conversation of the last two days',
      },
    ],
  },
  '/v1/bots/{bot_id}/messages': {
    path: '/v1/bots/{bot_id}/messages',
    operationId: 'botMessages',
    summary: 'Messages of a bot over time',
    description: `Messages of users, bots, agents and the system, at their time, counted in the range alone. ${AS_THEIRS}`,
    inPath: BotPath,
    parameters: MessagesParameters,
    answers: { [JSON_TYPE]: { BotSeries } },
    errors: { BotError },
    calls: [
      {
        call: '/v1/bots/bot-1/messages?version=LIVE&start_time=now-24h&end_time=now&bucket=1h&channel_type=web',
        shows: 'Messages of the last day on the web by the hour',
      },
    ],
  },
  '/v1/teams/{team_id}/conversations': {
    path: '/v1/teams/{team_id}/conversations',
    operationId: 'teamConversations',
    summary: 'Conversations of an account over time',
    description: `Sessions of all bots of an account, their drafts too, at their start, counted in the range alone. ${AS_THEIRS}`,
    inPath: TeamPath,
    parameters: TeamParameters,
    answers: { [JSON_TYPE]: { BotSeries } },
    errors: { BotError },
    calls: [
      {
        call: '/v1/teams/acme/conversations?start_time=now-30d&end_time=now&bucket=1w&group_by=bot_id,channel_type',
        shows: 'Conversations of the last 30 days by the week, bot and channel',
      },
    ],
  },
} as const satisfies Record<string, Endpoint>

export type EndpointPath = keyof typeof ENDPOINTS
