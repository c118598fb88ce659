import {
  Random,
  type BotSpec,
  type Conversation,
  type MessageKind,
  type Person,
  type World,
  type WorldEvent,
  type WorldView,
} from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

/** One business: its bots of the world, and the names of its channels. */
export interface Account {
  readonly business: string
  readonly bots: readonly BotSpec[]
  /** Whether the conversation belongs to this business. */
  has(conversation: Conversation): boolean
  readonly channels: readonly ChannelInfo[]
  channelOf(person: Person): ChannelInfo
}

export interface ChannelInfo {
  /** `{business}-{platform}-{number or null}-{id}` */
  readonly id: string
  readonly shortId: string
  readonly platform: string
  readonly name: string
}

export function accountOf(world: World, business: string, botIds: readonly string[] | undefined): Account {
  const bots = world.bots.filter(({ id }) => botIds?.includes(id) ?? true)
  const byKey = new Map<string, ChannelInfo>()
  for (const bot of bots)
    for (const { name } of bot.channels) {
      const random = new Random(world.options.seed, byKey.size, 77)
      const platform = name === 'web' ? 'webchat' : name
      const number = name === 'whatsapp' || name === 'sms' ? `999${random.int(10_000_000, 99_999_999)}` : 'null'
      const shortId = random.id(10)
      byKey.set(`${bot.id}/${name}`, {
        id: `${business}-${platform}-${number}-${shortId}`,
        shortId,
        platform,
        name: `${bot.title} ${name}`,
      })
    }
  return {
    business,
    bots,
    has: conversation => byKey.has(`${conversation.bot.id}/${conversation.channel}`),
    channels: [...byKey.values()],
    channelOf: person => byKey.get(`${person.bot.id}/${person.channel}`) as ChannelInfo,
  }
}

export function contactIdOf(person: Person, channel: ChannelInfo): string {
  return person.channel === 'web' ? `${channel.shortId}-${person.handle}` : person.handle
}

/** `{chatId}_{ISO start}`, the same in both versions of the API. */
export function sessionIdOf(conversation: Conversation): string {
  return `${conversation.person.id}_${new Date(conversation.startedAtMs).toISOString()}`
}

/** The start of the session according to the vendor. */
export function startOf({ startedAtMs }: Conversation, { tiedMs }: Pick<Quirks, 'tiedMs'>): number {
  return tiedMs === 0 ? startedAtMs : Math.floor(startedAtMs / tiedMs) * tiedMs
}

/** Index of the first session that counts as begun at `ms` or after it; with `after`, later than it. */
export function firstIndex(view: WorldView, ms: number, after: boolean, { tiedMs }: Pick<Quirks, 'tiedMs'>): number {
  const stepMs = Math.max(1, tiedMs)
  return view.indexAt((after ? Math.floor(ms / stepMs) + 1 : Math.ceil(ms / stepMs)) * stepMs)
}

/** Whether a session is visible, if some appear late. */
export function isShown({ index, startedAtMs }: Conversation, nowMs: number, { lateMs }: Pick<Quirks, 'lateMs'>): boolean {
  return index % 3 !== 0 || startedAtMs + lateMs <= nowMs
}

export const CONTENT_TYPES: Readonly<Record<MessageKind, string>> = {
  text: 'text',
  template: 'text',
  buttons: 'button',
  button_click: 'button-click',
  image: 'image',
  audio: 'audio',
  video: 'video',
  file: 'file',
}

/** The vendor's form of an event; null: it does not have this kind (tags are on the chat, tasks and ratings nowhere). */
export function shownAs(event: WorldEvent): { name: string; info: Record<string, unknown> | null } | null {
  switch (event.kind) {
    case 'intent':
      return {
        name: 'find-intent',
        info: { intentId: event.topic.id, intentName: event.topic.name, isFallback: event.fallback },
      }
    case 'variable':
      return { name: 'set-variable', info: { variableName: event.name, variableValue: event.value } }
    case 'transfer_requested':
      return { name: 'queue-set', info: { queue: event.queue } }
    case 'transferred':
      return { name: 'assigned-to-agent', info: { agentName: event.agent.name } }
    case 'agent_replied':
      return { name: 'agent-action', info: null }
    case 'failure':
      return {
        name: 'notification-error',
        info: { error: 'delivery failed', errorType: 'DELIVERY', reason: event.reason, messageId: event.messageId },
      }
    case 'closed':
      return {
        name: 'conversation-close',
        info:
          event.by === null
            ? { typification: event.typification }
            : { typification: event.typification, agentId: event.by.id, executingIntents: [] },
      }
    case 'tag':
    case 'task':
    case 'satisfaction':
      return null
    default:
      return event satisfies never
  }
}
