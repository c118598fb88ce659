/**
 * Steps of flows that mean a transfer to a person, as turns of the sessions derived from tracking events. A step appears only in the flow of its conversation,
 * and need not be tracked: so the flow of each conversation is requested when it has new events, and at growing intervals after the last of them, until nothing
 * can come any more. Nothing is requested if no rule looks at steps.
 */
import {
  type Draft,
  event,
  FlowError,
  type Json,
  type RowContext,
  type Transfers,
  type TransferType,
  type Turn,
} from '../../src/source/index.ts'
import { readableTransitions, type Thread, type Transition, viewId } from './rows.ts'
import { botOf, recordBot } from './scopes.ts'
import { typeAfter } from './types.ts'

const MINUTE_MS = 60_000

/**
 * The vendor's own definition ("Human handover & live chat", docs.chatlayer.ai): a user is handed over when the action "Send to offload provider" is reached.
 * The bot continues with one of three dialogs: "Offloading opened" ("Offloading open" in new bots) while agents are there; "Offloading closed" and "Offloading
 * disabled" when nobody takes over, which do not count.
 */
const HAND_OVERS = ['send[ _-]?to[ _-]?offload[ _-]?provider', 'offloading[ _-]?open(ed)?([^a-z]|$)']
export const TRANSFER_RULES: readonly string[] = ['event', 'step'].flatMap(source =>
  HAND_OVERS.map(pattern => `${source}~${pattern}=agent_transferred`),
)

/** Attributes of tracking events that name their flow and step: the names that one public client of the API uses. */
const FLOW_ATTRIBUTES = ['flow', 'subflow'] as const
const STEP_ATTRIBUTES = ['step_name'] as const

interface Reading {
  readonly streams?: readonly string[] | undefined
  readonly transferRules?: readonly string[] | undefined
  readonly sessionsDerive: boolean
}

/** Whether the stream `events` reads flows, to find steps that the rules look at. */
export function watchesSteps(config: Reading): boolean {
  return makesSessions(config) && (config.transferRules ?? TRANSFER_RULES).some(rule => sourceOf(rule) === 'step')
}

/** Whether a session can become an agent's: there are sessions, and some data can show the transfer. */
export function detectsTransfers(config: Reading & { readonly eventTypes: readonly string[] }, rules: Transfers): boolean {
  const seen = rules.texts.some(rule => {
    const source = sourceOf(rule)
    const isSeen = ['event', 'flow', 'step'].includes(source) || source.startsWith('attribute.')
    return isSeen && typeAfter(rule) === 'agent_transferred'
  })
  return makesSessions(config) && (seen || config.eventTypes.some(pair => typeAfter(pair) === 'agent_transferred'))
}

function makesSessions({ streams, sessionsDerive }: Reading): boolean {
  return sessionsDerive && (streams === undefined || streams.includes('events'))
}

function sourceOf(rule: string): string {
  return rule.slice(0, Math.max(0, rule.indexOf('~'))).trim()
}

/** Flow and step in a tracking event, for the rules. */
export function saidBy(given: Readonly<Record<string, unknown>>): { flow: string[]; step: string[] } {
  const textsOf = (names: readonly string[]) => names.map(name => given[name]).filter(value => typeof value === 'string')
  return { flow: textsOf(FLOW_ATTRIBUTES), step: textsOf(STEP_ATTRIBUTES) }
}

/** As a row of the stream `events`. */
export function watchedRow(watched: Thread): { readonly watched: Thread } {
  return { watched }
}

/** A row for each session of a conversation, and for how far it has come: requests for one do not count for the others. */
export function watchId(row: Thread): string {
  return `flow ${viewId(row)}`
}

/** One for all of a conversation, so that a step is published once, whichever session shows it. */
export function watchSharedId({ conversationId }: Thread): string {
  return `flow ${conversationId}`
}

/** Ages of the last event at which the flow is requested again: first minutes, the last when the session is over. */
function agesMs(gapMs: number): number[] {
  return [...[1, 2, 4, 8].map(minutes => minutes * MINUTE_MS).filter(ms => ms < gapMs), gapMs + MINUTE_MS]
}

/** Changes when the flow must be requested again. */
export function watchMark({ lastMs }: Thread, gapMs: number, { observedAtMs }: RowContext): Json {
  return agesMs(gapMs).filter(ms => observedAtMs - lastMs >= ms).length
}

interface HandOver {
  readonly type: TransferType
  readonly transition: Transition
}

/**
 * What the rules see in the steps reached from `gapMs` before the first of the events to `gapMs` after the last: these belong to their session. In order of
 * time.
 */
function handOversIn(
  { conversationId, flow, firstMs, lastMs }: Thread,
  ctx: RowContext<{ sessionGapMs: number; flowIds: string }>,
): HandOver[] {
  const { config, scope, transfers } = ctx
  const { id, version } = botOf(scope)
  return readableTransitions(flow, [id, version, conversationId], config.flowIds === 'content')
    .filter(({ atMs }) => firstMs - config.sessionGapMs <= atMs && atMs <= lastMs + config.sessionGapMs)
    .flatMap(transition => transfers.matches('step', transition.to.id).map(type => ({ type, transition })))
}

/** Null if no rule matches anything in the flow: then it does not matter to the session. */
export function watchTurn(row: Thread, key: string, ctx: RowContext<{ sessionGapMs: number; flowIds: string }>): Turn | null {
  const found = handOversIn(row, ctx)
  const [first] = found
  if (first === undefined) return null
  const { id, version } = botOf(ctx.scope)
  const transferred = found.find(({ type }) => type === 'agent_transferred')
  return {
    key,
    atMs: first.transition.atMs,
    botId: recordBot(id, version),
    channel: row.channelType,
    userId: row.userId,
    isTest: version === 'DRAFT',
    ...(transferred === undefined ? {} : { transferred: true, transferredAtMs: transferred.transition.atMs }),
  }
}

/** An event for each. @throws FlowError ROW_UNMAPPABLE if the flow was refused */
export function watchDrafts(row: Thread, ctx: RowContext<{ sessionGapMs: number; flowIds: string }>): Draft[] {
  if (row.refused !== undefined) throw refusedFlow(row.refused)
  const { derived, scope } = ctx
  if (derived === null) return []
  const { version } = botOf(scope)
  return handOversIn(row, ctx).map(({ type, transition: { id, givenId, atMs, from, to, depth, extra } }) =>
    event(derived, {
      eventId: `${scope.name}/step/${id}/${type}`,
      occurredAt: atMs,
      type,
      name: to.id,
      userId: row.userId,
      attributes: {
        ...extra,
        conversation_id: row.conversationId,
        channel_id: row.channelId,
        bot_version: version,
        transition_id: givenId,
        'from_step.id': from.id,
        'from_step.type': from.type,
        'to_step.id': to.id,
        'to_step.type': to.type,
        depth,
      },
    }),
  )
}

export function refusedFlow(status: number): FlowError {
  return new FlowError('ROW_UNMAPPABLE', {
    path: 'flow',
    status,
    hint: 'the vendor rejects the request for the flow of this conversation',
  })
}
