/**
 * The neutral words of the seeded world: what happened, in no vendor's terms. Simulators tell it in their vendor's terms; tests compare what
 * came out at the other end with it. All times are epoch milliseconds, UTC.
 */
import type { Channel } from '../records.ts'

export interface BotSpec {
  readonly id: string
  readonly title: string
  /** Share of conversations, relative to the other bots. */
  readonly weight: number
  readonly languages: readonly { readonly code: string; readonly weight: number }[]
  readonly channels: readonly { readonly name: Channel; readonly weight: number }[]
  /** What people come for: an intent, and the flow or task behind it. */
  readonly topics: readonly Topic[]
  readonly queues: readonly string[]
}

export interface Topic {
  readonly id: string
  readonly name: string
}

export interface Agent {
  readonly id: string
  readonly name: string
}

/** A user of one bot on one channel, who may come back. */
export interface Person {
  /** Index of their first conversation in this world. */
  readonly key: number
  /** Twenty letters and digits. */
  readonly id: string
  readonly firstName: string
  readonly lastName: string
  readonly email: string
  readonly country: string
  /** Who they are on their channel: a number, a handle, an address. */
  readonly handle: string
  /** First contact ever; may lie before the world begins. */
  readonly createdAtMs: number
  readonly bot: BotSpec
  readonly channel: Channel
  readonly language: string
  readonly isTest: boolean
}

/**
 * How a conversation turns out. It is known at its end only: a simulator that shows it earlier shows the future.
 *
 * solved: the bot did what was asked; abandoned: the user left midway; transferred: a person took over; queued: a person was asked for and none
 * came; silent: the user never wrote.
 */
export type Course = 'solved' | 'abandoned' | 'transferred' | 'queued' | 'silent'

export interface Conversation {
  readonly index: number
  /** Twenty letters and digits, unique in the world. */
  readonly id: string
  readonly person: Person
  readonly bot: BotSpec
  readonly channel: Channel
  readonly language: string
  readonly cause: 'user' | 'campaign'
  readonly course: Course
  readonly startedAtMs: number
  /** Ordered by time. */
  readonly messages: readonly WorldMessage[]
  /** Ordered by time. */
  readonly events: readonly WorldEvent[]
  /** Null: not closed as far as is known. About one in seven never closes. */
  readonly closedAtMs: number | null
  /** The newest message or event that is known; later than `closedAtMs` where somebody wrote after the close. */
  readonly lastAtMs: number
}

export type MessageKind = 'text' | 'buttons' | 'button_click' | 'template' | 'image' | 'audio' | 'video' | 'file'

export interface WorldMessage {
  readonly id: string
  readonly atMs: number
  readonly sender: 'user' | 'bot' | 'agent'
  readonly kind: MessageKind
  readonly text: string
  readonly attachment: {
    readonly kind: 'image' | 'audio' | 'video' | 'file'
    readonly url: string
    readonly caption: string | null
  } | null
  /** Buttons that are offered (`buttons`), or the one that was pressed (`button_click`). */
  readonly buttons: readonly string[]
  /** The topic the bot was at, or that it understood in this message. */
  readonly topic: Topic | null
  readonly agent: Agent | null
  readonly queue: string | null
}

export type WorldEvent = { readonly id: string; readonly atMs: number } & (
  | { readonly kind: 'intent'; readonly topic: Topic; readonly fallback: boolean; readonly confidence: number }
  | { readonly kind: 'variable'; readonly name: string; readonly value: string }
  | { readonly kind: 'tag'; readonly name: string }
  | { readonly kind: 'task'; readonly topic: Topic; readonly done: boolean }
  | { readonly kind: 'transfer_requested'; readonly queue: string }
  | { readonly kind: 'transferred'; readonly queue: string; readonly agent: Agent }
  | { readonly kind: 'agent_replied'; readonly agent: Agent }
  | { readonly kind: 'satisfaction'; readonly score: number }
  | { readonly kind: 'failure'; readonly reason: string; readonly messageId: string }
  | { readonly kind: 'closed'; readonly typification: string; readonly by: Agent | null }
)

export type EventKind = WorldEvent['kind']

/** Everything known of a person at one moment, over all their conversations. */
export interface PersonState {
  readonly person: Person
  readonly conversations: number
  readonly lastStartedAtMs: number
  readonly lastUserMessageAtMs: number | null
  /** In the order they came. */
  readonly tags: readonly string[]
  readonly variables: Readonly<Record<string, string>>
  /** Of the newest conversation, while it is open. */
  readonly queue: string | null
  readonly agent: Agent | null
}

/** A time with more traffic and more calls for a person than usual. */
export interface Incident {
  readonly fromMs: number
  readonly untilMs: number
  /** Null: all channels. */
  readonly channel: Channel | null
  /** Share of conversations that ask for a person. */
  readonly transferShare: number
  /** How many times the usual traffic (history only). */
  readonly volume: number
}
