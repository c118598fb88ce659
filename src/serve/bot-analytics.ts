/**
 * The series of Sinch Chatlayer's Analytics API 1.0.0, answered for the bots of every vendor: the same paths, parameters and shapes, over the series that `/v1/series`
 * is answered from. A team is an account. `version` is read, and only DRAFT makes a difference: a draft is the bot `<id>@DRAFT`, as the connector for that API names it.
 *
 * What its document leaves open is decided here: buckets are in UTC and weeks begin on Monday, `x_values` are the starts of buckets, insights are by the day,
 * and what is not known, or has not been read, is 0 or an empty label, because its values are plain integers; `complete_until` says how far to trust them.
 */
import { z } from 'zod'
import { channelOf } from '../channels.ts'
import { FlowError } from '../errors.ts'
import { CHANNELS } from '../records.ts'
import type { Steps } from '../slices.ts'
import { type Bucket, edgeSteps } from './buckets.ts'
import type { SeriesMeasure } from './measures.ts'
import {
  type Filters,
  filtersOf,
  invalidParameter,
  labelFilters,
  listOfTexts,
  listOfWords,
  oneOf,
  readParameters,
  time,
  timeParameter,
  UTC,
} from './parameters.ts'
import { answerQuery } from './query.ts'
import type { Completeness, StreamRead } from './reading.ts'
import { MOST_POINTS, type SeriesQuery } from './series-query.ts'
import type { Label, SeriesLabels, SeriesStore } from './store.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** The shortest that each bucket can be, milliseconds, and what `/v1/series` calls it: a month is `1m` here. */
const BUCKETS = {
  '1h': { leastMs: HOUR_MS, bucket: '1h' },
  '1d': { leastMs: DAY_MS, bucket: '1d' },
  '1w': { leastMs: 7 * DAY_MS, bucket: '1w' },
  '1m': { leastMs: 28 * DAY_MS, bucket: '1M' },
} as const satisfies Record<string, { leastMs: number; bucket: Bucket }>

const STATS = ['num_conversations', 'duration_seconds', 'num_messages'] as const
const TEAM_GROUPS = ['bot_id', 'bot_version', 'team_id', 'channel_type', 'language', 'campaign_id', 'campaign_source'] as const
type GroupKey = (typeof TEAM_GROUPS)[number]

export const BotPath = z.object({
  bot_id: z
    .string()
    .describe(
      'The bot, of whichever vendor. Bots of several vendors or accounts with one id are answered together, unless `vendor` or `account` says which',
    )
    .meta({ examples: ['bot-1'] }),
})
export const TeamPath = z.object({
  team_id: z
    .string()
    .describe('The account, as `account` of the connectors')
    .meta({ examples: ['acme'] }),
})

export const version = z
  .string('is required; it takes LIVE or DRAFT')
  .describe('`DRAFT`: the draft of the bot, where the vendor tells them apart. Anything else: the bot as people meet it')
  .meta({ examples: ['LIVE'] })
export const range = {
  start_time: time()
    .describe('Begin. ISO 8601 (without an offset: in UTC), epoch milliseconds, or counted from now')
    .meta({ examples: ['2026-10-01T00:00:00Z', '1790812800000', 'now-40d'] }),
  end_time: time()
    .describe('End, exclusive, in the same forms')
    .meta({ examples: ['2026-11-02T00:00:00Z', '1793577600000', 'now'] }),
}
const filters = {
  channel_type: z
    .array(
      z
        .string()
        .refine(
          word => channelOf(word) !== 'other' || word.trim().toLowerCase() === 'other',
          `takes channels, as a comma list: ${CHANNELS.join(', ')}, or another word for one of them, such as facebook`,
        ),
    )
    .max(100, 'takes at most 100 values')
    .optional()
    .describe('Only these channels, as a comma list, or the parameter again')
    .meta({ examples: [['web', 'facebook']] }),
  language: listOfTexts()
    .optional()
    .describe('Only these languages, as a comma list, or the parameter again')
    .meta({ examples: [['es', 'en']] }),
}
/** Not of that API: which of several bots with one id is meant. */
export const owners = {
  vendor: labelFilters.vendor.describe('Only bots of these vendors, as a comma list; ours, not of that API'),
  account: labelFilters.account.describe('Only bots of these accounts, as a comma list; ours, not of that API'),
}
const bucketParameter = oneOf(['1h', '1d', '1w'])
  .optional()
  .describe('Length of the buckets, shorter than the range. Absent: `1d`, or `1h` where the range is not longer than a day')

export const ConversationsParameters = z.object({
  version,
  ...range,
  ...filters,
  bucket: bucketParameter,
  group_by: oneOf(['channel_type', 'language']).optional().describe('One series for each. Absent: one series'),
  ...owners,
})
export const MessagesParameters = z.object({ version, ...range, ...filters, bucket: bucketParameter, ...owners })
export const InsightsParameters = z.object({
  version,
  ...range,
  stat: oneOf(STATS).describe(
    '`num_conversations`: conversations, by the day of their start. `duration_seconds`: the time that they took, in whole seconds, of those with an end, by the day of their end. `num_messages`: their messages, by the day',
  ),
  ...filters,
  ...owners,
})
export const TeamParameters = z.object({
  ...range,
  bucket: oneOf(['1d', '1w', '1m']).describe('Length of the buckets, shorter than the range; `1m` is a month'),
  group_by: listOfWords(TEAM_GROUPS)
    .default([])
    .describe(
      'One series for each combination, as a comma list. `bot_version` is LIVE or DRAFT; campaigns are not known here, and are empty',
    )
    .meta({ examples: [['bot_id'], ['channel_type', 'language']] }),
  vendor: owners.vendor,
})

/** Whole numbers: the document has int32. */
const whole = z.int()
export const BotSeries = z.object({
  data: z.object({
    series: z.array(
      z.object({
        values: z.array(whole).describe('One a bucket; 0 also where nothing has been read yet, or the vendor does not say'),
        mean: whole.describe('Of the values, rounded'),
        max: whole.describe('Of the values'),
        min: whole.describe('Of the values'),
        sum: whole.describe('Of the values'),
        labels: z.record(z.string(), z.string()).describe('The fields of `group_by`; what is not known is empty'),
      }),
    ),
    series_labels: z
      .array(z.string())
      .describe('A name for each series: its labels, with commas between them. Empty without `group_by`'),
    x_values: z.array(z.string()).describe('Starts of the buckets, ISO 8601 in UTC; the first may lie before `start_time`'),
  }),
  complete_until: z
    .string()
    .nullable()
    .describe('Everything with an earlier time has been read; null: something has not been read at all'),
})
export type BotSeries = z.output<typeof BotSeries>

/** A question, in the words of `/v1/series`. */
export interface BotQuery {
  readonly query: SeriesQuery
  readonly groupBy: readonly GroupKey[]
  /** What one of the answer's units is in those of the measures. */
  readonly unit: number
  /** Whose series: nobody knows another. */
  readonly whose: Whose
}

export interface Whose {
  /** As it was asked for. */
  readonly what: 'bot' | 'team'
  readonly id: string
}

const MESSAGES: readonly SeriesMeasure[] = ['messages_user', 'messages_bot', 'messages_agent', 'messages_other']
const STAT_MEASURES: Readonly<Record<(typeof STATS)[number], { measures: readonly SeriesMeasure[]; unit: number }>> = {
  num_conversations: { measures: ['sessions'], unit: 1 },
  duration_seconds: { measures: ['duration_ms'], unit: 1000 },
  num_messages: { measures: MESSAGES, unit: 1 },
}

/** Path parts and parameters as they came. */
export interface Asked {
  readonly inPath: Readonly<Record<string, string>>
  readonly parameters: Readonly<Record<string, unknown>>
  readonly nowMs: number
}

/** `/v1/bots/{bot_id}/conversations`. @throws FlowError QUERY_INVALID that names the parameter and what it takes */
export function parseConversations({ inPath, parameters, nowMs }: Asked): BotQuery {
  const given = readParameters('/v1/bots/{bot_id}/conversations', ConversationsParameters, parameters)
  const { group_by: groupBy } = given
  return botQuery(inPath, { given, nowMs, groupBy: groupBy === undefined ? [] : [groupBy], measures: ['sessions'] })
}

/** `/v1/bots/{bot_id}/messages`. @throws as `parseConversations` */
export function parseMessages({ inPath, parameters, nowMs }: Asked): BotQuery {
  const given = readParameters('/v1/bots/{bot_id}/messages', MessagesParameters, parameters)
  return botQuery(inPath, { given, nowMs, groupBy: [], measures: MESSAGES })
}

/** `/v1/bots/{bot_id}/conversations/insights`. @throws as `parseConversations` */
export function parseInsights({ inPath, parameters, nowMs }: Asked): BotQuery {
  const { stat, ...given } = readParameters('/v1/bots/{bot_id}/conversations/insights', InsightsParameters, parameters)
  // There is no bucket to be shorter than the range.
  return botQuery(inPath, { given: { ...given, bucket: null }, nowMs, groupBy: [], ...STAT_MEASURES[stat] })
}

/** `/v1/teams/{team_id}/conversations`. @throws as `parseConversations` */
export function parseTeam({ inPath, parameters, nowMs }: Asked): BotQuery {
  const given = readParameters('/v1/teams/{team_id}/conversations', TeamParameters, parameters)
  const id = inPath['team_id'] ?? ''
  const groupBy = [...new Set(given.group_by)]
  const query = queryOf({
    given,
    nowMs,
    groupBy,
    measures: ['sessions'],
    filters: { ...filtersOf({ vendor: given.vendor }), account: [id] },
  })
  return { query, groupBy, unit: 1, whose: { what: 'team', id } }
}

interface Of {
  readonly given: {
    readonly start_time: string
    readonly end_time: string
    /** null: days, whatever the range is. */
    readonly bucket?: keyof typeof BUCKETS | null | undefined
  }
  readonly nowMs: number
  readonly groupBy: readonly GroupKey[]
  readonly measures: readonly SeriesMeasure[]
}

interface OfBot extends Of {
  readonly given: Of['given'] & {
    readonly version: string
    readonly channel_type?: readonly string[] | undefined
    readonly language?: readonly string[] | undefined
    readonly vendor?: readonly string[] | undefined
    readonly account?: readonly string[] | undefined
  }
  readonly unit?: number
}

function botQuery(inPath: Asked['inPath'], { unit = 1, ...of }: OfBot): BotQuery {
  const id = inPath['bot_id'] ?? ''
  const { version: asked, channel_type: channels, language, vendor, account } = of.given
  const query = queryOf({
    ...of,
    filters: {
      ...filtersOf({ language, vendor, account }),
      bot_id: [recordBot(id, asked)],
      ...(channels && { channel: [...new Set(channels.map(word => channelOf(word) ?? ''))] }),
    },
  })
  return { query, groupBy: of.groupBy, unit, whose: { what: 'bot', id } }
}

const DRAFT = '@DRAFT'

/** `bot_id` of records: a draft is a bot of its own, so that counts of the two never meet. */
export function recordBot(id: string, asked: string): string {
  return asked.trim().toUpperCase() === 'DRAFT' && !id.endsWith(DRAFT) ? id + DRAFT : id
}

function queryOf({ given, nowMs, groupBy, measures, filters: wanted }: Of & { readonly filters: Filters }): SeriesQuery {
  const { fromMs, untilMs } = rangeOf(given, nowMs)
  const lengthMs = untilMs - fromMs
  const { leastMs, bucket } = BUCKETS[given.bucket ?? (given.bucket === null || lengthMs > DAY_MS ? '1d' : '1h')]
  if (given.bucket && lengthMs <= leastMs) {
    throw invalidParameter('bucket', `must be shorter than the range, which is ${lengthMs / 1000} s long`)
  }
  if (lengthMs / leastMs > MOST_POINTS)
    throw invalidParameter('bucket', `asks for more than ${MOST_POINTS} points; take a longer bucket or a shorter range`)
  return {
    measures,
    bucket,
    fromMs,
    untilMs,
    groupBy: [...new Set(groupBy.flatMap(key => LABEL_OF[key] ?? []))],
    filters: wanted,
    zone: UTC,
    window: 1,
    top: null,
    shape: 'series',
    format: 'json',
    isCut: true,
  }
}

/** @throws FlowError QUERY_INVALID */
export function rangeOf(
  given: { readonly start_time: string; readonly end_time: string },
  nowMs: number,
): { readonly fromMs: number; readonly untilMs: number } {
  const fromMs = timeParameter('start_time', given.start_time, UTC, nowMs) ?? nowMs
  const untilMs = timeParameter('end_time', given.end_time, UTC, nowMs) ?? nowMs
  if (fromMs >= untilMs) throw invalidParameter('start_time', 'must lie before end_time')
  return { fromMs, untilMs }
}

/** Where a group's key comes from; the others are the same for all series of an answer. */
const LABEL_OF: Readonly<Partial<Record<GroupKey, Label>>> = {
  bot_id: 'bot_id',
  bot_version: 'bot_id',
  channel_type: 'channel',
  language: 'language',
}

function valueOf(key: GroupKey, labels: Partial<Record<Label, string>>, { id }: Whose): string {
  const bot = labels.bot_id ?? ''
  const isDraft = bot.endsWith(DRAFT)
  switch (key) {
    case 'bot_id':
      return isDraft ? bot.slice(0, -DRAFT.length) : bot
    case 'bot_version':
      return isDraft ? 'DRAFT' : 'LIVE'
    case 'team_id':
      return id
    case 'channel_type':
      return labels.channel ?? ''
    case 'language':
      return labels.language ?? ''
    case 'campaign_id':
    case 'campaign_source':
      return ''
    default:
      return key satisfies never
  }
}

/**
 * @throws FlowError NOT_FOUND where no record of the bot or team was ever read, and none is configured by its id; QUERY_INVALID when the answer would be too large or
 * too dear.
 */
export function* answerBots(
  { query, groupBy, unit, whose }: BotQuery,
  store: SeriesStore,
  completeness: Completeness,
): Steps<BotSeries> {
  yield* expectKnown(whose, store, completeness)
  const answer = yield* inTheirWords(answerQuery(query, store, completeness))
  const { edges } = yield* edgeSteps(query.bucket, query.zone, query.fromMs, query.untilMs, 0, MOST_POINTS)
  const points = answer.data.x_values.length
  const groups = new Map<string, { labels: Record<string, string>; sums: Float64Array }>()
  for (const { labels, values, sum } of answer.data.series) {
    // Here, null would be 0: what is kept by the hour or by the day cannot be cut any finer.
    if (values.reduce<number>((all, value) => all + (value ?? 0), 0) !== (sum ?? 0))
      throw invalidParameter(
        'bucket',
        'is shorter than what is kept of this time: ask for longer buckets, or for a later start_time',
      )
    const own = Object.fromEntries(groupBy.map(key => [key, valueOf(key, labels, whose)]))
    const key = JSON.stringify(own)
    let group = groups.get(key)
    if (!group) groups.set(key, (group = { labels: own, sums: new Float64Array(points) }))
    for (let at = 0; at < points; at++) group.sums[at] = (group.sums[at] ?? 0) + (values[at] ?? 0)
    yield
  }
  const series: BotSeries['data']['series'] = []
  const names: string[] = []
  for (const { labels, sums } of groups.values()) {
    series.push({ ...summary(sums, unit), labels })
    if (groupBy.length > 0) names.push(Object.values(labels).join(','))
    yield
  }
  const xValues: string[] = []
  for (let at = 0; at < points; at++) if (xValues.push(new Date(edges[at] ?? 0).toISOString()) % 512 === 0) yield
  return { data: { series, series_labels: names, x_values: xValues }, complete_until: answer.complete_until }
}

function summary(sums: Float64Array, unit: number): Omit<BotSeries['data']['series'][number], 'labels'> {
  const values = Array.from(sums, sum => Math.round(sum / unit))
  let [sum, max, min] = [0, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (const value of values) {
    sum += value
    if (value > max) max = value
    if (value < min) min = value
  }
  return { values, mean: Math.round(sum / values.length), max, min, sum }
}

/** A misspelt id is told from one that has nothing in the range. @throws FlowError NOT_FOUND */
export function* expectKnown({ what, id }: Whose, store: SeriesStore, completeness: Completeness): Steps<void> {
  const ids = new Set([id, recordBot(id, 'DRAFT')])
  const isOf = ({ account, bot_id }: Pick<StreamRead | SeriesLabels, 'account' | 'bot_id'>) =>
    what === 'team' ? account === id : bot_id !== null && ids.has(bot_id)
  for (const kind of ['session', 'message', 'event'] as const) if (completeness.streams(kind).some(isOf)) return
  for (const [at, { labels }] of store.snapshot().entries()) {
    if (isOf(labels)) return
    if (at % 512 === 511) yield
  }
  throw new FlowError('NOT_FOUND', {
    hint: `there is no record of the ${what} ${id.slice(0, 100)}; /v1/labels/${what === 'team' ? 'account' : 'bot_id'} lists those that there are`,
  })
}

/** The parameter of this API that stands for one of `/v1/series`. */
const THEIR_WORDS: Readonly<Record<string, string>> = { from: 'start_time', measure: 'bucket' }

function* inTheirWords<T>(steps: Steps<T>): Steps<T> {
  try {
    return yield* steps
  } catch (error) {
    if (!(error instanceof FlowError) || error.code !== 'QUERY_INVALID') throw error
    const { parameter, hint = '' } = error.details
    const theirs = THEIR_WORDS[String(parameter)]
    throw theirs === undefined ? error : invalidParameter(theirs, hint.slice(String(parameter).length + 1))
  }
}

/** Paths of this API. */
export const isBotPath = (path: string): boolean => /^\/v1\/(?:bots|teams)(?:\/|$)/.test(path)

/** The codes of gRPC, which gateways of its kind put beside the status; theirs are not documented. */
const CODES: Readonly<Record<number, number>> = { 400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 414: 3, 429: 8, 500: 13, 503: 14 }

/** An error in the form of that API, with our own field beside it. */
export const BotError = z.object({
  code: z
    .int()
    .describe('As gRPC has them: 3 invalid, 5 not found, 7 refused, 12 no such method, 14 not ready, 16 not authenticated'),
  message: z.string(),
  details: z.array(z.never()).describe('Empty'),
  error_code: z.int().describe('The status'),
})

export function botError(status: number, message: string): z.output<typeof BotError> {
  return { code: CODES[status] ?? (status < 500 ? 3 : 13), message, details: [], error_code: status }
}
