import {
  agentsOf,
  type Agent,
  type BotSpec,
  type Conversation,
  onceEach,
  type Person,
  Random,
  type World,
} from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

/** One complete chat as an operation of wolkvox knows it. Times are epoch milliseconds; the vendor shows whole seconds of its local clock. */
export interface Chat {
  readonly connId: string
  /** Customer, operation and connector: the same for all chats of a customer on a channel. */
  readonly sessionId: string
  readonly rpId: string
  readonly conversation: Conversation
  readonly customer: Customer
  readonly openedAtMs: number
  /** By somebody, or by the vendor 23 h after the opening. */
  readonly closedAtMs: number
  /** When the chat appears as closed. */
  readonly shownAtMs: number
  /** When the bot asked for a person; null: never. */
  readonly handedAtMs: number | null
  /** When a person first had it; null: never. */
  readonly takenAtMs: number | null
  /** The last person who spoke as an agent. */
  readonly agent: Agent | null
  readonly turns: readonly Turn[]
  readonly lines: readonly Line[]
  readonly options: readonly MenuChoice[]
  readonly transfers: readonly Transfer[]
}

interface Shown {
  /** Date of the row. */
  readonly atMs: number
  /** When the row appears, never before its time. */
  readonly shownAtMs: number
}

export interface Customer {
  readonly id: string
  readonly name: string
  readonly email: string
  /** Empty if the channel has no number. */
  readonly phone: string
}

/** `diagram_9`: one exchange with the bot. Dated when it is complete. */
export interface Turn extends Shown {
  /** Empty where the bot spoke first. */
  readonly query: string
  readonly answer: string
  readonly connId: string
}

/** `chat_2`: one message. */
export interface Line {
  readonly atMs: number
  readonly from: 'AGENT' | 'CUSTOMER'
  /** `chat_bot` for the bot. */
  readonly fromName: string
  readonly toName: string
  readonly text: string
}

/** `diagram_13` */
export interface MenuChoice extends Shown {
  readonly code: string
  readonly second: number
}

/** `chat_11`: an agent passes the chat on. */
export interface Transfer extends Shown {
  readonly from: Agent
  readonly to: Agent | { readonly skill: string } | 'routing point'
}

/** The person who has the chat, and since when. */
interface Taker {
  readonly atMs: number
  readonly to: Agent
}

const HOUR = 3_600_000
const TIMEOUT_MS = 23 * HOUR
const TEN_MINUTES_MS = 600_000
export const BOT_NAME = 'chat_bot'
const HAND_OVER = 'transfer_skill'

/** An operation: the bots of the world as routing points, their agents, and every chat. */
export class Account {
  readonly operation: string
  readonly routingPoints: readonly { readonly rpId: string; readonly bot: BotSpec }[]
  readonly #world: World
  readonly #chatOf: (conversation: Conversation) => Chat | null

  constructor(world: World, quirks: Quirks, botIds: readonly string[] | undefined) {
    this.#world = world
    this.operation = String(new Random(world.options.seed, 1, 41).int(1000, 9999))
    this.routingPoints = world.bots
      .map((bot, number) => ({ rpId: String(4471 + number), bot }))
      .filter(({ bot }) => botIds?.includes(bot.id) ?? true)
    this.#chatOf = onceEach(conversation => {
      const point = this.routingPoints.find(({ bot }) => bot.id === conversation.bot.id)
      return point === undefined ? null : chatOf(conversation, point.rpId, this.operation, quirks)
    })
  }

  /** The chat of a conversation; null: the operation does not have its bot. What is written after the close belongs to no chat. */
  chat(index: number): Chat | null {
    return this.#chatOf(this.#world.conversation(index))
  }
}

function chatOf(conversation: Conversation, rpId: string, operation: string, quirks: Quirks): Chat {
  const { person, events, startedAtMs } = conversation
  const connId = String(186_000_000 + conversation.index * 7)
  const closedAtMs = conversation.closedAtMs ?? Math.max(conversation.lastAtMs, startedAtMs + TIMEOUT_MS)
  const messages = conversation.messages.filter(({ atMs }) => atMs <= closedAtMs)
  const handedAtMs = events.find(({ kind }) => kind === 'transfer_requested')?.atMs ?? null
  const shown = (trueMs: number, place: number): Shown => {
    const atMs = quirks.tied ? Math.floor(trueMs / TEN_MINUTES_MS) * TEN_MINUTES_MS : trueMs
    return { atMs, shownAtMs: atMs + ((conversation.index + place) % 5 === 0 ? quirks.lateMs : 0) }
  }
  const byBot = handedAtMs === null ? messages : messages.filter(({ atMs }) => atMs <= handedAtMs)
  const isNamedAtAll = quirks.chatIds === 'all' || (quirks.chatIds === 'agent' && handedAtMs !== null)
  const turns = turnsOf(byBot, handedAtMs, quirks).map((turn, place) => ({
    ...turn,
    ...shown(turn.atMs, place),
    connId:
      isNamedAtAll && (quirks.connIds === 'all' || (quirks.connIds === 'handover' && turn.answer.startsWith(HAND_OVER)))
        ? connId
        : '0',
  }))
  const takers: Taker[] = events.flatMap(event => (event.kind === 'transferred' ? [{ atMs: event.atMs, to: event.agent }] : []))
  const transfers = transfersOf(conversation, takers, closedAtMs).map((transfer, place) => ({
    ...transfer,
    ...shown(transfer.atMs, place),
  }))
  return {
    connId,
    sessionId: `${person.handle}.${operation}.${2985 + CONNECTORS.indexOf(person.channel)}`,
    rpId,
    conversation,
    customer: customerOf(person),
    openedAtMs: startedAtMs,
    closedAtMs,
    shownAtMs: closedAtMs + (conversation.index % 5 === 0 ? quirks.lateMs : 0),
    handedAtMs,
    takenAtMs: takers[0]?.atMs ?? null,
    agent: takers.at(-1)?.to ?? null,
    turns,
    lines: messages.map(message => {
      const agent = takers.findLast(({ atMs }) => atMs <= message.atMs)?.to.name
      const other = agent ?? (handedAtMs !== null && message.atMs > handedAtMs ? (message.queue ?? '') : BOT_NAME)
      const name = `${person.firstName} ${person.lastName}`
      const { atMs } = message
      return message.sender === 'user'
        ? { atMs, from: 'CUSTOMER' as const, fromName: name, toName: other, text: textOf(message) }
        : { atMs, from: 'AGENT' as const, fromName: message.agent?.name ?? BOT_NAME, toName: name, text: textOf(message) }
    }),
    options: byBot
      .filter(({ kind }) => kind === 'button_click')
      .map(({ atMs, topic }, place) => ({
        ...shown(atMs, place),
        code: String(conversation.bot.topics.findIndex(({ id }) => id === topic?.id) + 1),
        second: Math.floor((atMs - startedAtMs) / 1000),
      })),
    transfers,
  }
}

/**
 * The report has who passes a chat on (documented: the transferring agent; the receiving agent, skill or routing point). Of four chats with a person, one came
 * from a colleague, one was put back to its skill first, and one goes back to the bot when it is done.
 */
function transfersOf(
  { index, bot, messages }: Conversation,
  takers: readonly Taker[],
  closedAtMs: number,
): Omit<Transfer, 'shownAtMs'>[] {
  const [first] = takers
  if (first === undefined) return []
  const colleague = agentsOf(bot).find(({ id }) => id !== first.to.id) ?? first.to
  switch (index % 4) {
    case 0:
      return [{ atMs: first.atMs, from: colleague, to: first.to }]
    case 1:
      return [
        { atMs: first.atMs, from: colleague, to: { skill: messages.find(({ queue }) => queue !== null)?.queue ?? 'general' } },
      ]
    case 2:
      return [{ atMs: closedAtMs, from: takers.at(-1)?.to ?? first.to, to: 'routing point' }]
    default:
      return []
  }
}

const CONNECTORS: readonly string[] = ['web', 'whatsapp', 'messenger', 'instagram', 'telegram']

type Exchange = Pick<Turn, 'atMs' | 'query' | 'answer'>

/** A question with the answer that followed it; a second answer, or an unprompted one, is a turn without a question. */
function turnsOf(messages: Conversation['messages'], handedAtMs: number | null, quirks: Quirks): Exchange[] {
  const turns: Exchange[] = []
  let asked: (typeof messages)[number] | null = null
  for (const message of messages) {
    if (message.sender === 'user') {
      if (asked !== null) turns.push({ atMs: asked.atMs, query: plainOf(asked), answer: '' })
      asked = message
    } else {
      turns.push({ atMs: message.atMs, query: asked === null ? '' : plainOf(asked), answer: plainOf(message) })
      asked = null
    }
  }
  if (asked !== null) turns.push({ atMs: asked.atMs, query: plainOf(asked), answer: '' })
  if (handedAtMs !== null)
    turns.push({ atMs: handedAtMs, query: '', answer: quirks.skillNames ? `${HAND_OVER} - Ventas` : HAND_OVER })
  return turns.flatMap((turn, place) => {
    const masked = quirks.masked && place % 4 === 1 && turn.query !== ''
    if (masked) return [{ ...turn, query: '', answer: `MaskedText: ${'*'.repeat(turn.query.length)}` }]
    return quirks.twins && place % 3 === 0 ? [turn, turn] : [turn]
  })
}

type Said = Pick<Conversation['messages'][number], 'text' | 'attachment'>

function plainOf({ text, attachment }: Said): string {
  return attachment === null ? text : attachment.url
}

/** A file is a link in HTML (seen by a client). */
function textOf({ text, attachment }: Said): string {
  return attachment === null ? text : `<a href="${attachment.url}" target="_blank">${attachment.caption ?? attachment.kind}</a>`
}

function customerOf(person: Person): Customer {
  return {
    id: String(1_000_000_000 + person.key),
    name: `${person.firstName} ${person.lastName}`,
    email: person.email,
    phone: person.channel === 'whatsapp' ? person.handle : '',
  }
}

/** An agent's extension. */
export function extensionOf(agent: Agent, { bot }: Conversation, rpId: string): string {
  return String(Number(rpId) * 10 + agentsOf(bot).findIndex(({ id }) => id === agent.id))
}

/** Whether `chat_8` shows the chat's id. */
export function isNamed({ handedAtMs }: Chat, { chatIds }: Quirks): boolean {
  return chatIds === 'all' || (chatIds === 'agent' && handedAtMs !== null)
}

/** Whether a row of this time has the customer. */
export function knowsCustomer({ conversation }: Chat, atMs: number, nowMs: number, { changesAfterMs }: Quirks): boolean {
  return changesAfterMs === 0 || conversation.index % 3 !== 0 || nowMs >= atMs + changesAfterMs
}
