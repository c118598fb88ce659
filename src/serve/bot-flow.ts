/**
 * The path of one conversation, as the analytics API that `bot-analytics.ts` answers has it: made of the events of the conversation.
 *
 * Steps are the events `flow_transition` and `menu_option`. Where a conversation has none of these, they are what else shows where the bot was: intents, tasks, and what
 * hands over to a person. A transition that the vendor describes itself (attributes `from_step.id`, `to_step.id`, `depth`, …) is answered as it is; any other leads from the step
 * before it to one that is named like its event.
 */
import { z } from 'zod'
import { FlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import { botKey, type EventType, sessionKeyOf } from '../records.ts'
import type { Steps } from '../slices.ts'
import { type Asked, BotPath, owners, range, rangeOf, recordBot, version } from './bot-analytics.ts'
import { CONVERSATION, type EventIndex, type EventQuestion, type IndexedEvent } from './event-index.ts'
import { type Filters, filtersOf, invalidParameter, readParameters } from './parameters.ts'
import type { Completeness } from './reading.ts'
import type { SeriesStore } from './store.ts'

export const ConversationPath = BotPath.extend({
  conversation_id: z
    .string()
    .describe(
      'The `session_id` or `session_key` of the session, or what its vendor calls the conversation (attribute `conversation_id`)',
    )
    .meta({ examples: ['conversation-1'] }),
})

export const FlowParameters = z.object({
  version,
  start_time: range.start_time.describe(
    'Begin of a range that the conversation lies in; transitions before it are left out. ISO 8601 (without an offset: in UTC), epoch milliseconds, or counted from now. The later it is, the less has to be looked through',
  ),
  end_time: range.end_time.describe('End of that range, exclusive, in the same forms'),
  message_id: z
    .string()
    .optional()
    .describe('Only transitions of this message, where the vendor says which message made them')
    .meta({ examples: ['message-1'] }),
  ...owners,
})

const Step = z.object({ id: z.string(), type: z.string() })
const Transition = z.object({
  id: z.string().describe('What the vendor calls it, else the `event_id`'),
  from_step: Step.describe('Empty for the first, and where it is not known'),
  to_step: Step.describe('`type` is the vendor’s; where it gives none, the type of the event'),
  depth: z.number().describe('Position in the path, from 1'),
  timestamp: z.string().describe('ISO 8601 in UTC'),
})
export const Flow = z.object({
  bot_id: z.string(),
  conversation_id: z.string(),
  user_id: z.string().describe('Empty where it is not known'),
  transitions: z.array(Transition).describe('In the order of time'),
})
export type Flow = z.output<typeof Flow>

export interface FlowQuery {
  /** As they were asked for. */
  readonly botId: string
  readonly conversationId: string
  /** `bot_id` of the records. */
  readonly recordBot: string
  readonly fromMs: number
  /** Exclusive. */
  readonly untilMs: number
  /** null: of all messages. */
  readonly messageId: string | null
  /** Whose bots may be meant. */
  readonly owners: Filters
}

/** `/v1/bots/{bot_id}/conversations/{conversation_id}/flow`. @throws FlowError QUERY_INVALID that names the parameter and what it takes */
export function parseFlow({ inPath, parameters, nowMs }: Asked): FlowQuery {
  const given = readParameters('/v1/bots/{bot_id}/conversations/{conversation_id}/flow', FlowParameters, parameters)
  const { bot_id: botId = '', conversation_id: conversationId = '' } = inPath
  return {
    botId,
    conversationId,
    recordBot: recordBot(botId, given.version),
    ...rangeOf(given, nowMs),
    messageId: given.message_id ?? null,
    owners: filtersOf({ vendor: given.vendor, account: given.account }),
  }
}

const ownerOf = ({ vendor, account }: { vendor: string; account: string }): string => JSON.stringify([vendor, account])

/** Most accounts that may have a bot of one id. */
const MOST_OWNERS = 100

/** What to look for, one question a partition: whose bot it is, only the series and streams can say. */
export function* questionsOf(
  { recordBot: bot_id, conversationId, fromMs, owners: asked }: FlowQuery,
  store: SeriesStore,
  completeness: Completeness,
  partitions: number,
): Steps<EventQuestion[]> {
  const found = new Map<string, { vendor: string; account: string }>()
  const own = ({ vendor, account }: { vendor: string; account: string }) => {
    if (!(asked.vendor?.includes(vendor) ?? true) || !(asked.account?.includes(account) ?? true)) return
    found.set(ownerOf({ vendor, account }), { vendor, account })
    if (found.size > MOST_OWNERS) throw invalidParameter('bot_id', `is the id of bots of more than ${MOST_OWNERS} accounts`)
  }
  for (const kind of ['session', 'event'] as const)
    for (const stream of completeness.streams(kind)) if (stream.bot_id === bot_id) own(stream)
  for (const [at, { labels }] of store.snapshot().entries()) {
    if (labels.bot_id === bot_id) own(labels)
    if (at % 512 === 511) yield
  }
  const questions = new Map<number, string[]>()
  for (const { vendor, account } of found.values()) {
    const partition = partitionOf(botKey({ vendor, account, bot_id }), partitions)
    const wanted = questions.get(partition) ?? [conversationId]
    wanted.push(sessionKeyOf(vendor, account, conversationId))
    questions.set(partition, wanted)
  }
  return [...questions].map(([partition, wanted]) => ({ partition, fromMs, wanted }))
}

/**
 * @returns the flow, or why there is none now.
 * @throws FlowError NOT_FOUND where there is no event of the conversation in the range
 */
export async function findFlow(
  query: FlowQuery,
  questions: readonly EventQuestion[],
  index: EventIndex,
  signal: AbortSignal,
): Promise<Flow | { readonly refused: string }> {
  const events: IndexedEvent[] = []
  for (const question of questions) {
    const found = await index.find(question, signal)
    if ('refused' in found) return found
    const own = found.filter(event => isOf(query, event))
    // A session that was made of a part of a vendor's conversation: its path belongs to the conversation.
    const whole = new Set(own.flatMap(({ attributes }) => attributes[CONVERSATION] ?? []))
    whole.delete(query.conversationId)
    events.push(...own)
    if (whole.size === 0 || own.some(isOwnStep)) continue
    const more = await index.find({ ...question, wanted: [...whole] }, signal)
    if ('refused' in more) return more
    const isOfWhole = ({ bot_id, attributes }: IndexedEvent) =>
      bot_id === query.recordBot && whole.has(attributes[CONVERSATION] ?? '')
    events.push(...more.filter(event => isOwnStep(event) && isOfWhole(event)))
  }
  return flowOf(query, events)
}

function isOf({ recordBot: bot, conversationId, owners: asked }: FlowQuery, event: IndexedEvent): boolean {
  const { vendor, account, bot_id, session_id, session_key, attributes } = event
  if (!(asked.vendor?.includes(vendor) ?? true) || !(asked.account?.includes(account) ?? true)) return false
  return bot_id === bot && [session_id, session_key, attributes[CONVERSATION]].includes(conversationId)
}

const OWN_STEPS: ReadonlySet<EventType> = new Set(['flow_transition', 'menu_option'])
const OTHER_STEPS: ReadonlySet<EventType> = new Set([
  'intent_matched',
  'intent_missed',
  'task_succeeded',
  'task_failed',
  'agent_transfer_requested',
  'agent_transferred',
])
const isOwnStep = ({ type }: IndexedEvent): boolean => OWN_STEPS.has(type)

/**
 * @param events Of the conversation, in the order in which they were published.
 * @throws FlowError NOT_FOUND where none of them is in the range
 */
export function flowOf(query: FlowQuery, events: readonly IndexedEvent[]): Flow {
  const { botId, conversationId, fromMs, untilMs, messageId } = query
  const within = events.filter(({ occurred_at }) => fromMs <= occurred_at && occurred_at < untilMs)
  if (within.length === 0) {
    throw new FlowError('NOT_FOUND', {
      hint: `there is no event of the conversation ${conversationId.slice(0, 100)} in this range; events are kept for as long as their topic keeps them`,
    })
  }
  const path = pathOf(within)
  const steps = path.steps.toSorted((a, b) => a.occurred_at - b.occurred_at || placeOf(a) - placeOf(b))
  let before = NO_STEP
  const transitions = steps.map(({ event_id, type, name, occurred_at, attributes }, at) => {
    const toId = attributes['to_step.id']
    const isTold = toId !== undefined
    const to = isTold ? { id: toId, type: attributes['to_step.type'] ?? '' } : { id: name, type }
    const from = isTold ? { id: attributes['from_step.id'] ?? '', type: attributes['from_step.type'] ?? '' } : before
    before = to
    return {
      message: attributes['message_id'] ?? attributes['messageId'] ?? null,
      transition: {
        id: attributes['transition_id'] ?? event_id,
        from_step: from,
        to_step: to,
        depth: numberOf(attributes['depth']) ?? at + 1,
        timestamp: new Date(occurred_at).toISOString(),
      },
    }
  })
  return {
    bot_id: botId,
    conversation_id: conversationId,
    user_id: path.of.findLast(({ user_id }) => user_id !== null)?.user_id ?? '',
    transitions: transitions
      .filter(({ message }) => messageId === null || message === messageId)
      .map(({ transition }) => transition),
  }
}

/**
 * Two vendors may have a conversation of one id. The one that is answered is the first, by vendor and account, that has steps of its own, else that has others, else the
 * first.
 *
 * @param events Not empty.
 */
function pathOf(events: readonly IndexedEvent[]): {
  readonly of: readonly IndexedEvent[]
  readonly steps: readonly IndexedEvent[]
} {
  const owned = [...Map.groupBy(events, ownerOf)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, own]) => own)
  for (const isStep of [isOwnStep, ({ type }: IndexedEvent) => OTHER_STEPS.has(type)])
    for (const own of owned) if (own.some(isStep)) return { of: own, steps: own.filter(isStep) }
  return { of: owned[0] ?? [], steps: [] }
}

const NO_STEP = { id: '', type: '' }

/** Of events with one time. */
function placeOf({ attributes }: IndexedEvent): number {
  return numberOf(attributes['depth'] ?? attributes['place']) ?? 0
}

function numberOf(text: string | undefined): number | null {
  const value = text === undefined || text.trim() === '' ? Number.NaN : Number(text)
  return Number.isFinite(value) ? value : null
}
