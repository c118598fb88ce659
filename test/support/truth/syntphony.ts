/**
 * What the topics must hold of a world that Syntphony has shown, worked out from the world itself and the vendor's documents, with the simulator's
 * config: its rule for transfers, and the message list read. For details that carry no time, as far as clients have seen.
 */
import {
  businessKeyOf,
  botOf,
  channelInfoOf,
  durationOf,
  flowsOf,
  handoverOf,
  isListed,
  satisfactionOf,
  sessionCodeOf,
  type SyntphonySimulator,
  tagsOf,
  understoodIn,
  wordsOf,
} from '../../../connectors/syntphony/simulator.ts'
import type { Event, Message, Session } from '../../../src/records.ts'
import type { Conversation, WorldMessage } from '../../../src/sim/index.ts'
import type { Truth } from '../../../src/conformance/index.ts'

const HOUR = 3_600_000
const LOOKBACK_MS = 48 * HOUR
const TIMEOUT_MS = HOUR

/** @param account The `account` of the connector's config. */
export function truthOf(simulator: SyntphonySimulator, nowMs: number, account = 'conformance'): Truth {
  const sessions: Partial<Session>[] = []
  const messages: Partial<Message>[] = []
  const events: Partial<Event>[] = []
  const view = simulator.world.at(nowMs)
  for (let index = 0; index < view.count; index++) {
    const conversation = view.conversation(index)
    sessions.push(sessionOf(simulator, conversation, nowMs, account))
    messages.push(...messagesOf(simulator, conversation, account))
    events.push(...eventsOf(simulator, conversation, account))
  }
  return { sessions, messages, events }
}

function identityOf({ organization }: SyntphonySimulator, conversation: Conversation, account: string) {
  return { session_key: `syntphony:${account}:${sessionCodeOf(organization, conversation)}`, channel: conversation.channel }
}

function startOf({ quirks }: SyntphonySimulator, { startedAtMs }: Conversation): number {
  return startedAtMs - (startedAtMs % quirks.startStepMs)
}

/** Detected in what the user wrote, and told by the list of messages. */
function languageOf({ messages, language }: Conversation): string | null {
  return messages.some(isListed) ? language : null
}

function sessionOf(simulator: SyntphonySimulator, conversation: Conversation, nowMs: number, account: string): Partial<Session> {
  const { organization } = simulator
  const startedAt = startOf(simulator, conversation)
  const lastAt = startedAt + durationOf(conversation, startedAt) * 1000
  const isOver = nowMs - lastAt >= TIMEOUT_MS
  const status = isOver ? 'CLOSED' : nowMs - startedAt >= LOOKBACK_MS ? 'EXPIRED' : 'OPEN'
  const user = conversation.messages.filter(({ sender }) => sender === 'user').length
  const language = languageOf(conversation)
  const handover = handoverIn(simulator, conversation)
  return {
    ...identityOf(simulator, conversation, account),
    account,
    bot_id: botOf(organization, conversation).uuid,
    session_id: sessionCodeOf(organization, conversation),
    started_at: startedAt,
    ended_at: status === 'OPEN' ? null : lastAt,
    ended_at_estimated: status !== 'OPEN',
    status,
    containment: handover !== null ? 'AGENT' : status === 'CLOSED' && user > 0 ? 'SELF_SERVICE' : 'UNKNOWN',
    interactive: user > 0,
    channel_raw: channelInfoOf(organization, conversation).name,
    language,
    languages: language === null ? [] : [language],
    user_id: language === null ? null : businessKeyOf(conversation),
    transferred_at: handover && answeredAtOf(conversation, handover.id),
    user_messages: user,
    bot_messages: conversation.messages.length - user,
    agent_messages: null,
    total_messages: conversation.messages.length,
    satisfaction: satisfactionOf(conversation),
    tags: tagsOf(organization, conversation).map(({ name }) => ({ name, value: null, scope: null })),
  }
}

/** The answer that handed over, where it says so itself, or is listed by its name beside what the user said. */
function handoverIn({ quirks }: SyntphonySimulator, conversation: Conversation): WorldMessage | null {
  const handover = handoverOf(conversation)
  if (handover === null || quirks.handover !== 'none') return handover
  return answeredAtOf(conversation, handover.id) === null ? null : handover
}

/** An answer has no time: it was given when the user had said what it answers, if the vendor lists that. */
function answeredAtOf({ messages }: Conversation, messageId: string): number | null {
  const before = messages.slice(
    0,
    messages.findIndex(({ id }) => id === messageId),
  )
  const asked = before.findLast(message => message.sender === 'user' && !wordsOf(message).startsWith('http'))
  return asked && isListed(asked) ? asked.atMs : null
}

function messagesOf(simulator: SyntphonySimulator, conversation: Conversation, account: string): Partial<Message>[] {
  return conversation.messages.map((message, seq) => {
    const understood = understoodIn(conversation, message)
    const listed = isListed(message)
    return {
      ...identityOf(simulator, conversation, account),
      message_id: message.id,
      sent_at: listed ? message.atMs : startOf(simulator, conversation),
      sent_at_estimated: !listed,
      seq,
      sender: message.sender === 'user' ? 'USER' : 'BOT',
      text: wordsOf(message),
      language: languageOf(conversation),
      intent: understood === null || understood.missed ? null : understood.name,
      confidence: listed && understood !== null ? understood.confidence : null,
    }
  })
}

function eventsOf(simulator: SyntphonySimulator, conversation: Conversation, account: string): Partial<Event>[] {
  const startedAt = startOf(simulator, conversation)
  const language = languageOf(conversation)
  const userId = language === null ? null : businessKeyOf(conversation)
  const identity = { ...identityOf(simulator, conversation, account), language, user_id: userId }
  const atStart = { ...identity, occurred_at: startedAt, occurred_at_estimated: true }
  const rating = satisfactionOf(conversation)
  const handover = handoverIn(simulator, conversation)
  const handedAt = handover && answeredAtOf(conversation, handover.id)
  const handed: Partial<Event> = {
    ...identity,
    occurred_at: handedAt ?? startedAt,
    occurred_at_estimated: true,
    type: 'agent_transferred',
    name: 'handover',
    // By the rule: at the message of the user that the answer is listed with.
    ...(simulator.quirks.handover === 'none' && { occurred_at_estimated: false, user_id: null, name: 'answer' }),
  }
  const found = conversation.messages.flatMap((message): Partial<Event>[] => {
    const understood = understoodIn(conversation, message)
    if (understood === null) return []
    const listed = isListed(message)
    return [
      {
        ...identity,
        occurred_at: listed ? message.atMs : startedAt,
        occurred_at_estimated: !listed,
        type: understood.missed ? 'intent_missed' : 'intent_matched',
        name: understood.name,
      },
    ]
  })
  return [
    ...found,
    ...(handover === null ? [] : [handed]),
    ...flowsOf(conversation).map((name): Partial<Event> => ({ ...atStart, type: 'flow_transition', name })),
    ...tagsOf(simulator.organization, conversation).map(
      ({ name }): Partial<Event> => ({ ...atStart, type: 'tag_applied', name }),
    ),
    ...(rating === null ? [] : [{ ...atStart, type: 'satisfaction', name: 'satisfaction' } as Partial<Event>]),
  ]
}
