/** The world's conversations in the vendor's terms. A pure function of world and quirks, so that tests can compare a connector with it. */
import {
  type BotSpec,
  type Conversation,
  Random,
  type World,
  type WorldEvent,
  type WorldMessage,
} from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

export type Version = 'LIVE' | 'DRAFT'

/** A team with its bots; ids of bots are the world's. */
export interface Team {
  readonly id: string
  readonly bots: readonly BotSpec[]
  has(conversation: Conversation): boolean
  /** Testers speak to the draft of a bot. */
  versionOf(conversation: Conversation): Version
  channelIdOf(bot: BotSpec, channel: string): string
}

export interface TrackingEvent {
  readonly id: string
  readonly event: string
  readonly botId: string
  readonly version: Version
  readonly userId: string
  readonly channelId: string
  readonly channelType: string
  /** Null: the event was tracked without one. */
  readonly conversationId: string | null
  readonly attributes: Readonly<Record<string, string>>
  readonly atMs: number
  /** When the vendor shows it. */
  readonly visibleAtMs: number
}

export interface Transition {
  readonly id: string
  readonly messageId: string
  /** Null: the conversation begins. */
  readonly from: FlowStep | null
  readonly to: FlowStep
  readonly depth: number
  readonly atMs: number
}

export interface FlowStep {
  readonly id: string
  readonly type: string
}

/** A conversation as the vendor counts it: it ends after 15 minutes without a message, and what comes later is another one. */
export interface Part {
  readonly botId: string
  readonly version: Version
  readonly userId: string
  readonly channelType: string
  readonly language: string
  readonly startMs: number
  readonly endMs: number
  readonly messages: readonly number[]
}

/** A conversation of the world lasts at most two days. */
export const LONGEST_MS = 2 * 86_400_000
/** "ends after 15 minutes without interaction": the vendor's definition of a conversation. */
export const GAP_MS = 15 * 60_000

export function teamOf(
  world: World,
  options: { readonly team: string; readonly bots: readonly string[] | undefined; readonly draftEvery: number },
): Team {
  const bots = world.bots.filter(({ id }) => options.bots?.includes(id) ?? true)
  const channelIds = new Map(
    bots.flatMap(bot => bot.channels.map(({ name }) => `${bot.id}/${name}`)).map((key, index) => [key, hex(world, index)]),
  )
  return {
    id: options.team,
    bots,
    has: conversation => bots.includes(conversation.bot),
    versionOf: ({ index, person }) =>
      person.isTest || (options.draftEvery > 0 && index % options.draftEvery === 0) ? 'DRAFT' : 'LIVE',
    channelIdOf: (bot, channel) => channelIds.get(`${bot.id}/${channel}`) ?? '',
  }
}

/** Twenty-four hexadecimal digits. */
function hex(world: World, index: number): string {
  const random = new Random(world.options.seed, index, 78)
  return Array.from({ length: 24 }, () => random.int(0, 15).toString(16)).join('')
}

/** The vendor's word for the channel of a conversation. */
export function channelTypeOf(channel: string): string {
  return channel === 'messenger' ? 'facebook' : channel
}

export function conversationIdOf(conversation: Conversation, team: Team, quirks: Quirks): string {
  if (quirks.conversationIds === 'conversation') return conversation.id
  const { bot, channel, person } = conversation
  return `${team.channelIdOf(bot, channel)}:${person.handle}`
}

/** All tracking events of a conversation from the bot's steps and `track`, in order of time; never what anybody wrote. */
export function trackingEventsOf(conversation: Conversation, team: Team, quirks: Quirks): TrackingEvent[] {
  const { bot, channel, person, messages, events } = conversation
  const tracked = [
    ...messages.flatMap((message, number) => {
      const step = stepOf(message, number)
      return step === null ? [] : [{ id: message.id, atMs: message.atMs, event: 'step_reached', attributes: step }]
    }),
    ...events.flatMap(event => {
      const words = trackedAs(event)
      return words === null ? [] : [{ id: event.id, atMs: event.atMs, ...words }]
    }),
  ].sort((a, b) => a.atMs - b.atMs)
  return tracked.map(({ id, event, attributes, ...at }) => {
    const atMs = Math.floor(at.atMs / quirks.timestampStepMs) * quirks.timestampStepMs
    return {
      id,
      event,
      botId: bot.id,
      version: team.versionOf(conversation),
      userId: person.id,
      channelId: team.channelIdOf(bot, channel),
      channelType: channelTypeOf(channel),
      conversationId: lot(id, 1) < quirks.loneShare ? null : conversationIdOf(conversation, team, quirks),
      attributes,
      atMs,
      visibleAtMs: lot(id, 2) < quirks.lateShare ? at.atMs + quirks.lateMs : at.atMs,
    }
  })
}

/** [0, 1), computed from an id. */
function lot(id: string, salt: number): number {
  let sum = salt
  for (let place = 0; place < id.length; place++) sum = (Math.imul(sum, 31) + id.charCodeAt(place)) | 0
  return new Random(sum, salt, 79).next()
}

/** The flow step of a bot's message. */
function stepOf(message: WorldMessage, number: number): Readonly<Record<string, string>> | null {
  if (message.sender !== 'bot' || message.topic === null) return null
  return { flow: message.topic.id, subflow: message.kind, step_name: stepName(message), step_number: String(number) }
}

function stepName(message: WorldMessage): string {
  return `${message.topic?.id ?? 'start'}-${message.kind}`
}

/** Each bot's builder defines names and attributes; these are ours. Null: nothing is tracked. */
function trackedAs(event: WorldEvent): { event: string; attributes: Readonly<Record<string, string>> } | null {
  switch (event.kind) {
    case 'intent':
      return {
        event: event.fallback ? 'not_understood' : 'intent',
        attributes: { intent: event.topic.id, confidence: String(event.confidence) },
      }
    case 'tag':
      return { event: 'tagged', attributes: { tag: event.name } }
    case 'task':
      return { event: event.done ? 'task_done' : 'task_given_up', attributes: { flow: event.topic.id } }
    case 'transfer_requested':
      return { event: 'handover_requested', attributes: { queue: event.queue } }
    case 'transferred':
      return { event: 'handover', attributes: { queue: event.queue, agent: event.agent.id } }
    case 'satisfaction':
      return { event: 'rating', attributes: { score: String(event.score) } }
    case 'variable':
    case 'agent_replied':
    case 'failure':
    case 'closed':
      return null
    default:
      return event satisfies never
  }
}

/** "When that plugin is reached, the user status will change to 'Offloaded'." */
export const OFFLOAD: FlowStep = { id: 'Send to offload provider', type: 'action' }
/** The dialog that the bot continues with: while agents are there, and when nobody takes over. */
export const OFFLOADING_OPENED: FlowStep = { id: 'Offloading opened', type: 'bot_dialog' }
export const OFFLOADING_CLOSED: FlowStep = { id: 'Offloading closed', type: 'bot_dialog' }

/**
 * From step to step of the bot, each at its message; the action that hands over asks for a person, followed by one of its dialogs. Users who left midway drop
 * off when the conversation is over.
 */
export function transitionsOf(conversation: Conversation): Transition[] {
  const { messages, events, course } = conversation
  const said = messages.filter(({ sender, topic }) => sender === 'bot' && topic !== null)
  const reached = [
    ...said.map(message => ({
      id: `${message.id}-t`,
      messageId: message.id,
      atMs: message.atMs,
      to: { id: stepName(message), type: 'bot_dialog' },
    })),
    ...events
      .filter(({ kind }) => kind === 'transfer_requested')
      .flatMap(({ id, atMs }) => {
        const messageId = messages.findLast(message => message.atMs <= atMs)?.id ?? ''
        const dialog = course === 'transferred' ? OFFLOADING_OPENED : OFFLOADING_CLOSED
        return [OFFLOAD, dialog].map((to, place) => ({ id: `${id}-o${place}`, messageId, atMs, to }))
      }),
  ].sort((a, b) => a.atMs - b.atMs)
  const transitions: Transition[] = []
  let from: FlowStep | null = null
  for (const step of reached) {
    transitions.push({ ...step, from, depth: transitions.length + 1 })
    from = step.to
  }
  const last = messages.at(-1)
  if (course !== 'abandoned' || last === undefined || from === null) return transitions
  const to = { id: 'DROPOFF', type: 'DROPOFF' }
  const depth = transitions.length + 1
  return [...transitions, { id: `${last.id}-d`, messageId: last.id, from, to, depth, atMs: last.atMs + GAP_MS }]
}

/** Also counts those in which the user never wrote. */
export function partsOf(conversation: Conversation, team: Team): Part[] {
  const { bot, channel, language, person, messages } = conversation
  const runs: number[][] = []
  for (const { atMs } of messages) {
    const run = runs.at(-1)
    if (run === undefined || atMs - (run.at(-1) as number) > GAP_MS) runs.push([atMs])
    else run.push(atMs)
  }
  return runs.map(run => ({
    botId: bot.id,
    version: team.versionOf(conversation),
    userId: person.id,
    channelType: channelTypeOf(channel),
    language,
    startMs: run[0] as number,
    endMs: run.at(-1) as number,
    messages: run,
  }))
}
