import { Random, type Conversation, type WorldMessage, type WorldView } from '../../../src/sim/index.ts'
import { type Account, CONTENT_TYPES, contactIdOf, isShown, sessionIdOf, startOf, shownAs } from './account.ts'
import type { Quirks } from './quirks.ts'

/** The parts of each session that a request wants. */
export interface Wanted {
  readonly messages: boolean
  readonly events: boolean
  readonly variables: boolean
  readonly aiAnalysis: boolean
}

interface SessionJson {
  /** Null: not of this account. */
  readonly personKey: number | null
  readonly isClosed: boolean
  /** Of what is shown here. */
  readonly lastAtMs: number
  /** When there will be nothing more to show. */
  readonly wholeAtMs: number
  /** `{"id":…` up to the chat, `,"messages":[…]` and `,"events":[…]`, one after the other. */
  readonly bytes: Buffer
  readonly messagesAt: number
  readonly eventsAt: number
}

interface Chat {
  readonly asOfMs: number
  readonly changesAtMs: number
  readonly conversations: number
  readonly bytes: Buffer
  readonly bytesWithVariables: Buffer
}

const DAY = 86_400_000
const KEPT_BYTES = 64 * 1024 * 1024
const KEPT_CHATS = 50_000
const END = Buffer.from('}')
const NOTHING = Buffer.alloc(0)

/**
 * Sessions as `GET /v2.0/sessions` shows them, as the bytes of their JSON. Those of a conversation are cached while it stays the same (64 MiB, the oldest are
 * dropped first), and so is each person's chat: a reader of millions of messages should not have to wait for us.
 */
export class Sessions {
  readonly #account: Account
  readonly #quirks: Quirks
  readonly #time: (ms: number) => string
  readonly #shown = new Map<number, SessionJson>()
  #shownBytes = 0
  readonly #chats = new Map<number, Chat>()

  constructor(account: Account, quirks: Quirks, precision: Quirks['timestampPrecision']) {
    this.#account = account
    this.#quirks = quirks
    this.#time = timeFormat(precision)
  }

  /** Whether the conversation is in a listing. */
  shows(index: number, view: WorldView, includeOpen: boolean): boolean {
    const session = this.#session(index, view)
    if (this.#quirks.lateMs > 0 && !isShown(view.conversation(index), view.nowMs, this.#quirks)) return false
    return session.personKey !== null && (session.isClosed || includeOpen)
  }

  /** Appends the session's JSON. Only for a visible one. */
  write(index: number, view: WorldView, wanted: Wanted, to: Buffer[]) {
    const { personKey, bytes, messagesAt, eventsAt } = this.#session(index, view)
    const chat = this.#chat(personKey as number, view)
    to.push(bytes.subarray(0, messagesAt), wanted.variables ? chat.bytesWithVariables : chat.bytes)
    if (wanted.messages && wanted.events) to.push(bytes.subarray(messagesAt))
    else if (wanted.messages) to.push(bytes.subarray(messagesAt, eventsAt))
    else if (wanted.events) to.push(bytes.subarray(eventsAt))
    if (wanted.aiAnalysis) to.push(Buffer.from(`,"aiAnalysis":${JSON.stringify(this.#aiAnalysis(view.conversation(index)))}`))
    to.push(END)
  }

  /** The session of a message, as `GET /v2.0/messages` names it: the id is made of the two parts as they are written there, so it may have whole seconds. */
  reference(conversation: Conversation): { readonly sessionCreationTime: string; readonly sessionId: string } {
    const sessionCreationTime = this.#time(startOf(conversation, this.#quirks))
    return { sessionCreationTime, sessionId: `${conversation.person.id}_${sessionCreationTime}` }
  }

  /** One message, as v2 shows it everywhere. */
  message(message: WorldMessage, sessionIndex: number): Record<string, unknown> {
    const { attachment } = message
    const content: Record<string, unknown> = { type: CONTENT_TYPES[message.kind] }
    if (attachment === null)
      content['text'] = this.#quirks.nulBytes && sessionIndex % 5 === 0 ? `${message.text}\u0000` : message.text
    else content['media'] = { type: attachment.kind, url: attachment.url, caption: attachment.caption }
    if (message.kind === 'buttons') content['buttons'] = message.buttons
    if (message.kind === 'button_click') content['selectedButton'] = message.buttons[0]
    if (message.kind === 'template') content['whatsAppTemplateName'] = `template_${message.topic?.id ?? 'general'}`
    return {
      ...(this.#quirks.messageIds ? { id: message.id } : {}),
      creationTime: this.#time(message.atMs),
      from: message.sender,
      agentId: message.agent?.id ?? null,
      queueId: message.queue,
      content,
    }
  }

  #session(index: number, view: WorldView): SessionJson {
    const kept = this.#shown.get(index)
    if (kept !== undefined && kept.wholeAtMs <= view.nowMs) return kept
    const conversation = view.conversation(index)
    if (kept?.lastAtMs === conversation.lastAtMs && !view.isOver(index)) return kept
    const session = this.#account.has(conversation) ? this.#wholeSession(conversation, view) : notOurs(conversation)
    this.#keep(index, session)
    return session
  }

  #wholeSession(conversation: Conversation, view: WorldView): SessionJson {
    const cause = conversation.cause === 'campaign' ? 'WhatsAppTemplate' : 'Organic'
    const head = Buffer.from(
      `{"id":"${sessionIdOf(conversation)}","creationTime":"${this.#time(startOf(conversation, this.#quirks))}","startingCause":"${cause}","chat":`,
    )
    const messages = Buffer.from(
      `,"messages":${JSON.stringify(conversation.messages.map(message => this.message(message, conversation.index)))}`,
    )
    const events = Buffer.from(`,"events":${JSON.stringify(this.#events(conversation))}`)
    return {
      personKey: conversation.person.key,
      isClosed: conversation.closedAtMs !== null,
      lastAtMs: conversation.lastAtMs,
      wholeAtMs: wholeAtMs(conversation, view),
      bytes: Buffer.concat([head, messages, events]),
      messagesAt: head.length,
      eventsAt: head.length + messages.length,
    }
  }

  #keep(index: number, session: SessionJson) {
    const before = this.#shown.get(index)
    if (before !== undefined) this.#drop(index, before)
    this.#shown.set(index, session)
    this.#shownBytes += bytesOf(session)
    for (const [oldest, entry] of this.#shown) {
      if (this.#shownBytes <= KEPT_BYTES) break
      this.#drop(oldest, entry)
    }
  }

  #drop(index: number, session: SessionJson) {
    this.#shown.delete(index)
    this.#shownBytes -= bytesOf(session)
  }

  #events(conversation: Conversation): unknown[] {
    const events = conversation.events.flatMap(event => {
      const shown = shownAs(event)
      return shown === null ? [] : [{ name: shown.name, creationTime: this.#time(event.atMs), info: shown.info }]
    })
    if (this.#quirks.eventOrder === 'time') return events
    const random = new Random(conversation.index, events.length, 5)
    return events
      .map(event => ({ event, place: random.next() }))
      .sort((a, b) => a.place - b.place)
      .map(({ event }) => event)
  }

  /** The chat at `view.nowMs`, over all sessions of its person: tags, variables, queue and agent are not the session's own. */
  #chat(key: number, view: WorldView): Chat {
    const { nowMs } = view
    const conversations = view.conversationsOf(key).length
    const kept = this.#chats.get(key)
    if (kept !== undefined && kept.conversations === conversations && kept.asOfMs <= nowMs && nowMs < kept.changesAtMs)
      return kept
    const state = view.person(key)
    const { person } = state
    const channel = this.#account.channelOf(person)
    const lastUserAtMs = state.lastUserMessageAtMs
    const parts = {
      chat: { chatId: person.id, channelId: channel.id, contactId: contactIdOf(person, channel) },
      creationTime: this.#time(person.createdAtMs),
      lastSessionCreationTime: this.#time(state.lastStartedAtMs),
      lastUserMessageDatetime: lastUserAtMs === null ? null : this.#time(lastUserAtMs),
      whatsAppWindowCloseDatetime: person.channel === 'whatsapp' && lastUserAtMs !== null ? this.#time(lastUserAtMs + DAY) : null,
      firstName: person.firstName,
      lastName: person.lastName,
      email: person.email,
      country: person.country,
      externalId: null,
      tags: state.tags,
      ...(this.#quirks.chatQueue ? { queueId: state.queue } : {}),
      agentId: state.agent?.id ?? null,
      onHoldAgentId: null,
      isBanned: false,
      isTester: person.isTest,
      isBotMuted: state.agent !== null,
    }
    const chat: Chat = {
      asOfMs: nowMs,
      changesAtMs: view.personChangesAtMs(key),
      conversations,
      bytes: Buffer.from(JSON.stringify(parts)),
      bytesWithVariables: Buffer.from(JSON.stringify({ ...parts, variables: state.variables })),
    }
    this.#chats.delete(key)
    this.#chats.set(key, chat)
    for (const oldest of this.#chats.keys()) {
      if (this.#chats.size <= KEPT_CHATS) break
      this.#chats.delete(oldest)
    }
    return chat
  }

  /** Only for closed sessions. */
  #aiAnalysis(conversation: Conversation): unknown {
    if (conversation.closedAtMs === null) return null
    const { aiAnalysis, nulBytes } = this.#quirks
    if (aiAnalysis === 'mixed' && conversation.index % 3 === 0) return {}
    if (aiAnalysis === 'mixed' && conversation.index % 3 === 1) return { doesNotMeetCriteria: true }
    const random = new Random(conversation.index, conversation.events.length, 6)
    const scores = { empathy: random.int(1, 10), resolution: random.int(1, 10) }
    return {
      summary: `About ${conversation.bot.title}.${nulBytes ? '\u0000' : ''}`,
      name: 'quality',
      justification: 'The scores follow from the length of the conversation.',
      doesNotMeetCriteria: false,
      qualityScore: random.int(10, 100),
      aspectScores:
        aiAnalysis === 'numbers'
          ? scores
          : { empathy: { result: scores.empathy, weight: 0.5 }, resolution: { result: scores.resolution, weight: 0.5 } },
    }
  }
}

function notOurs({ lastAtMs, startedAtMs }: Conversation): SessionJson {
  return { personKey: null, isClosed: false, lastAtMs, wholeAtMs: startedAtMs, bytes: NOTHING, messagesAt: 0, eventsAt: 0 }
}

/** When a conversation will be complete; Infinity while that is in the future. */
function wholeAtMs(conversation: Conversation, view: WorldView): number {
  return view.isOver(conversation.index) ? conversation.lastAtMs : Infinity
}

/** Including overhead of the container. */
function bytesOf({ bytes }: SessionJson): number {
  return bytes.length + 300
}

/** `toISOString`, or without milliseconds. Most calls ask for the same minute as the one before. */
function timeFormat(precision: Quirks['timestampPrecision']): (ms: number) => string {
  let minute = Number.NaN
  let start = ''
  return ms => {
    const its = Math.floor(ms / 60_000)
    if (its !== minute) {
      minute = its
      start = new Date(its * 60_000).toISOString().slice(0, 17)
    }
    const rest = ms - its * 60_000
    const seconds = String(Math.floor(rest / 1000)).padStart(2, '0')
    return precision === 'seconds' ? `${start}${seconds}Z` : `${start}${seconds}.${String(rest % 1000).padStart(3, '0')}Z`
  }
}
