/**
 * What the topics must hold of a world that wolkvox has shown, with the default config: worked out from the chats as they truly were and the vendor's
 * documents, not from its answers. The bot's part is told by `diagram_9`, the part with a person by `chat_2`, and a chat once it has closed.
 */
import { BOT_NAME, type Chat, extensionOf, knowsCustomer, type WolkvoxSimulator } from '../../../connectors/wolkvox/simulator.ts'
import type { Event, Message, Session } from '../../../src/records.ts'
import type { Truth } from '../../../src/source/conformance.ts'

/** @param nowMs Time of the vendor up to which everything was read. */
export function truthOf({ world, account, quirks }: WolkvoxSimulator, nowMs: number): Truth {
  if (quirks.connIds !== 'all') throw new Error('the truth is told for turns that know their chat')
  const sessions: Partial<Session>[] = []
  const messages: Partial<Message>[] = []
  const events: Partial<Event>[] = []
  for (let index = 0; index < world.at(nowMs).count; index++) {
    const chat = account.chat(index)
    if (chat === null) continue
    const shows = ({ shownAtMs }: { readonly shownAtMs: number }) => shownAtMs <= nowMs
    const { channel } = chat.conversation
    const of = { session_id: chat.connId, channel }
    for (const turn of chat.turns.filter(shows)) {
      const masked = turn.answer.startsWith('MaskedText:')
      const said = { ...of, bot_id: chat.rpId, sent_at: second(turn.atMs), type: 'text', agent_name: null }
      if (turn.query !== '' || masked) messages.push({ ...said, sender: 'USER', text: turn.query || turn.answer })
      if (turn.answer === 'transfer_skill')
        events.push({ ...of, occurred_at: second(turn.atMs), type: 'agent_transfer_requested', name: turn.answer })
      else if (turn.answer !== '' && !masked) messages.push({ ...said, sender: 'BOT', text: turn.answer })
    }
    for (const { atMs, code } of chat.options.filter(shows))
      events.push({ ...of, occurred_at: second(atMs), type: 'menu_option', name: code })
    for (const { atMs } of chat.transfers.filter(shows))
      events.push({ ...of, occurred_at: second(atMs), type: 'agent_transferred', name: 'chat transferred' })
    if (!shows(chat)) continue
    sessions.push({ ...of, ...sessionOf(chat, knowsCustomer(chat, chat.closedAtMs, nowMs, quirks)) })
    if (chat.agent !== null) messages.push(...spoken(chat).map(said => ({ ...of, bot_id: chat.rpId, ...said })))
  }
  return { sessions, messages, events }
}

function sessionOf(chat: Chat, customerIsKnown: boolean): Partial<Session> {
  const { openedAtMs, closedAtMs, handedAtMs, agent, lines, customer, sessionId, rpId, conversation } = chat
  const [started, ended] = [second(openedAtMs), second(closedAtMs)]
  const spoke = lines.some(({ from }) => from === 'CUSTOMER')
  return {
    bot_id: rpId,
    started_at: started,
    ended_at: ended,
    status: 'CLOSED',
    containment: handedAtMs !== null ? 'AGENT' : spoke ? 'SELF_SERVICE' : 'UNKNOWN',
    interactive: spoke,
    user_id: customerIsKnown ? customer.id : customer.phone || sessionId,
    channel_user_id: customer.phone || sessionId,
    transferred_at: handedAtMs === null ? null : Math.min(started + second(handedAtMs - openedAtMs), ended),
    agent_id: agent === null ? null : extensionOf(agent, conversation, rpId),
    agent_name: agent?.name ?? null,
    total_messages: lines.length,
  }
}

/** What was said by a person, or to one. */
function spoken({ lines, conversation: { messages } }: Chat): Partial<Message>[] {
  return lines.flatMap((line, place) => {
    if (line.fromName === BOT_NAME || line.toName === BOT_NAME) return []
    const file = messages[place]?.attachment ?? null
    return [
      {
        sent_at: second(line.atMs),
        sender: line.from === 'AGENT' ? 'AGENT' : 'USER',
        type: file?.kind ?? 'text',
        text: file === null ? line.text : null,
        agent_name: line.from === 'AGENT' ? line.fromName : null,
      },
    ]
  })
}

/** The vendor shows no less. */
function second(ms: number): number {
  return Math.floor(ms / 1000) * 1000
}
