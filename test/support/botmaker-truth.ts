/**
 * What the topics must hold of a world that Botmaker has shown, worked out from the world itself and the vendor's documents, not from the connector.
 * For worlds that are over: every conversation older than the lookback.
 */
import { contactIdOf, sessionIdOf, startOf, shownAs, type BotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import type { Conversation } from '../../src/sim/index.ts'
import type { Channel, Sender } from '../../src/records.ts'

export interface ExpectedSession {
  readonly session_key: string
  readonly started_at: number
  readonly ended_at: number
  readonly status: 'CLOSED' | 'EXPIRED'
  readonly containment: 'AGENT' | 'SELF_SERVICE' | 'UNKNOWN'
  readonly channel: Channel
  readonly user_id: string
  readonly channel_user_id: string
  readonly interactive: boolean
  readonly transferred_at: number | null
  readonly outcome: string | null
  /** Null: v1 does not tell. */
  readonly is_test: boolean | null
  readonly starting_cause: string
  readonly user_messages: number
  readonly bot_messages: number
  readonly agent_messages: number
}

export interface Expected {
  readonly sessions: Map<string, ExpectedSession>
  /** message_key → what was said, when, by whom. */
  readonly messages: Map<string, { session_key: string; sent_at: number; sender: Sender; text: string | null }>
  /** `session_key|name|time`, sorted; events have no id of the vendor's. */
  readonly events: string[]
}

export function expectedOf({ world, account, quirks }: BotmakerSimulator, version: 'v1' | 'v2', nowMs: number): Expected {
  const sessions = new Map<string, ExpectedSession>()
  const messages: Expected['messages'] = new Map()
  const events: string[] = []
  const view = world.at(nowMs)
  for (let index = 0; index < view.count; index++) {
    const conversation = view.conversation(index)
    if (!account.has(conversation)) continue
    const key = `botmaker:${account.business}:${sessionIdOf(conversation)}`
    const told = conversation.events.flatMap(event => {
      const words = shownAs(event)
      return words === null ? [] : [{ ...words, atMs: event.atMs }]
    })
    const contactId = contactIdOf(conversation.person, account.channelOf(conversation.person))
    const session = { ...sessionOf(conversation, key, told, contactId, version), started_at: startOf(conversation, quirks) }
    sessions.set(key, version === 'v1' ? { ...session, is_test: null } : session)
    for (const message of conversation.messages)
      messages.set(`${key}/${message.id}`, {
        session_key: key,
        sent_at: message.atMs,
        sender: message.sender.toUpperCase() as Sender,
        // v1 has a caption in the field where any text is; v2 has it beside the file.
        text: message.attachment === null ? message.text : version === 'v1' ? message.attachment.caption : null,
      })
    // The one event that the two versions call by different names.
    const named = (name: string) => (version === 'v1' && name === 'set-variable' ? 'put-var' : name)
    for (const { name, atMs } of told) events.push(`${key}|${named(name)}|${atMs}`)
  }
  return { sessions, messages, events: events.toSorted() }
}

function sessionOf(
  conversation: Conversation,
  key: string,
  told: readonly { name: string; atMs: number; info: Record<string, unknown> | null }[],
  contactId: string,
  version: 'v1' | 'v2',
): ExpectedSession {
  const count = (sender: string) => conversation.messages.filter(message => message.sender === sender).length
  const close = told.findLast(event => event.name === 'conversation-close')
  // A person was asked for or took part at the earliest of these; a close by hand shows that one did, and not since when.
  const witnesses = [
    ...told.filter(({ name }) => ['queue-set', 'assigned-to-agent', 'agent-action'].includes(name)),
    ...conversation.messages.filter(({ sender, agent, queue }) => {
      return sender === 'agent' || (version === 'v1' && sender === 'user' && (agent !== null || queue !== null))
    }),
  ].map(({ atMs }) => atMs)
  const withAgent = witnesses.length > 0 || conversation.events.some(event => event.kind === 'closed' && event.by !== null)
  const last = Math.max(...conversation.messages.map(message => message.atMs), ...told.map(event => event.atMs))
  return {
    session_key: key,
    started_at: conversation.startedAtMs,
    ended_at: close?.atMs ?? last,
    status: close === undefined ? 'EXPIRED' : 'CLOSED',
    containment: withAgent ? 'AGENT' : close !== undefined && count('user') > 0 ? 'SELF_SERVICE' : 'UNKNOWN',
    channel: conversation.channel,
    user_id: conversation.person.id,
    channel_user_id: contactId,
    interactive: count('user') > 0,
    transferred_at: witnesses.length > 0 ? Math.min(...witnesses) : null,
    outcome: (close?.info?.['typification'] as string | undefined) ?? null,
    is_test: conversation.person.isTest,
    starting_cause: conversation.cause === 'campaign' ? 'WhatsAppTemplate' : 'Organic',
    user_messages: count('user'),
    bot_messages: count('bot'),
    agent_messages: count('agent'),
  }
}
