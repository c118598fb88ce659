/**
 * The vendor-neutral model of the seeded world: what happened. Simulators show it in their vendor's terms; tests compare the published records with it. All
 * times are epoch milliseconds, UTC.
 */
import type { Channel } from '../records.ts'

export interface BotSpec {
  readonly id: string
  readonly title: string
  /** Share of conversations, relative to the other bots. */
  readonly weight: number
  readonly languages: readonly { readonly code: string; readonly weight: number }[]
  readonly channels: readonly { readonly name: Channel; readonly weight: number }[]
  /** What people come for: an intent, and its flow or task. */
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
  /** First contact ever; may be before the world begins. */
  readonly createdAtMs: number
  readonly bot: BotSpec
  readonly channel: Channel
  readonly language: string
  readonly isTest: boolean
}

/**
 * Outcome of a conversation. It is known only at its end: a simulator that shows it earlier shows the future.
 *
 * solved: the bot did what was asked; abandoned: the user left midway; transferred: a person took over; queued: a person was requested and none came; silent:
 * the user never wrote.
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
  /** Null: not closed as far as known. About one in seven never closes. */
  readonly closedAtMs: number | null
  /** The newest known message or event; later than `closedAtMs` if somebody wrote after the close. */
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
  /** Offered buttons (`buttons`), or the pressed one (`button_click`). */
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

/** A time with more traffic and more requests for a person than usual. */
export interface Incident {
  readonly fromMs: number
  readonly untilMs: number
  /** Null: all channels. */
  readonly channel: Channel | null
  /** Share of conversations that ask for a person. */
  readonly transferShare: number
  /** Multiple of the usual traffic (history only). */
  readonly volume: number
}
