/**
 * What the topics must hold of a world that wolkvox has shown, with the default config: worked out from the chats as they truly were and the vendor's
 * documents, not from its answers. The bot's part is told by `diagram_9`, the part with a person by `chat_2`, and a chat once it has closed.
 */
import { BOT_NAME, type Chat, extensionOf, knowsCustomer, type WolkvoxSimulator } from '../../../connectors/wolkvox/simulator.ts'
import type { Event, Message, Session } from '../../../src/records.ts'
import type { Truth } from '../../../src/conformance/index.ts'

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
      const told = toldBy(turn)
      messages.push(...told.messages.map(said => ({ ...of, bot_id: chat.rpId, agent_name: null, ...said })))
      events.push(...told.events.map(happened => ({ ...of, ...happened })))
    }
    for (const { atMs, code } of chat.options.filter(shows))
      events.push({ ...of, occurred_at: second(atMs), type: 'menu_option', name: code })
    for (const { atMs, to } of chat.transfers.filter(shows)) {
      const isBack = to === 'routing point'
      const type = isBack ? 'flow_transition' : 'agent_transfer_requested'
      events.push({ ...of, occurred_at: second(atMs), type, name: isBack ? 'chat returned to the bot' : 'chat transferred' })
    }
    if (!shows(chat)) continue
    sessions.push({ ...of, ...sessionOf(chat, knowsCustomer(chat, chat.closedAtMs, nowMs, quirks), nowMs) })
    if (chat.agent !== null) messages.push(...spoken(chat).map(said => ({ ...of, bot_id: chat.rpId, ...said })))
  }
  return { sessions, messages, events }
}

/** What there is when `diagram_9` alone is read: turns, and sessions made of them, each chat cut where it was silent for more than an hour. */
export function turnsTruthOf({ world, account }: WolkvoxSimulator, nowMs: number): Truth {
  const sessions: Partial<Session>[] = []
  const messages: Partial<Message>[] = []
  const events: Partial<Event>[] = []
  for (let index = 0; index < world.at(nowMs).count; index++) {
    const chat = account.chat(index)
    const turns = chat?.turns.filter(({ shownAtMs }) => shownAtMs <= nowMs).toSorted((a, b) => a.atMs - b.atMs) ?? []
    if (chat === null) continue
    const of = { bot_id: chat.rpId, channel: chat.conversation.channel }
    for (const part of cutAtSilence(turns)) {
      const told = part.map(toldBy)
      const started_at = second(part[0]?.atMs ?? 0)
      const counted = (sender: string) => told.flatMap(each => each.messages).filter(said => said.sender === sender).length
      const transferred_at = told.flatMap(each => each.events)[0]?.occurred_at ?? null
      sessions.push({
        ...of,
        started_at,
        ended_at: second(part.at(-1)?.atMs ?? 0),
        status: 'CLOSED',
        containment: transferred_at === null ? 'UNKNOWN' : 'AGENT',
        transferred_at,
        user_messages: counted('USER'),
        bot_messages: counted('BOT'),
      })
      messages.push(...told.flatMap(each => each.messages).map(said => ({ ...of, ...said })))
      events.push(...told.flatMap(each => each.events).map(happened => ({ ...of, ...happened })))
    }
  }
  return { sessions, messages, events }
}

const SILENCE_MS = 3_600_000

function cutAtSilence<T extends { readonly atMs: number }>(turns: readonly T[]): T[][] {
  const parts: T[][] = []
  for (const turn of turns) {
    const last = parts.at(-1)?.at(-1)
    if (last === undefined || second(turn.atMs) - second(last.atMs) > SILENCE_MS) parts.push([])
    parts.at(-1)?.push(turn)
  }
  return parts
}

/** The question and the answer of a turn, or that the answer hands over. */
function toldBy({ atMs, query, answer }: Chat['turns'][number]): { messages: Partial<Message>[]; events: Partial<Event>[] } {
  const masked = answer.startsWith('MaskedText:')
  const said = { sent_at: second(atMs), type: 'text' }
  const isHandOver = answer.startsWith('transfer_skill')
  return {
    messages: [
      ...(query !== '' || masked ? [{ ...said, sender: 'USER' as const, text: query || answer }] : []),
      ...(answer !== '' && !masked && !isHandOver ? [{ ...said, sender: 'BOT' as const, text: answer }] : []),
    ],
    events: isHandOver ? [{ occurred_at: second(atMs), type: 'agent_transfer_requested' as const, name: answer }] : [],
  }
}

function sessionOf(chat: Chat, customerIsKnown: boolean, nowMs: number): Partial<Session> {
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
    transferred_at: handedAtMs === null ? null : Math.min(askedAt(chat, second(handedAtMs), nowMs), ended),
    agent_id: agent === null ? null : extensionOf(agent, conversation, rpId),
    agent_name: agent?.name ?? null,
    total_messages: lines.length,
  }
}

/** When the turn was that asked for a person, where it fits to what `chat_8` tells. */
function askedAt({ turns, openedAtMs }: Chat, handedMs: number, nowMs: number): number {
  const turn = turns.find(({ answer, shownAtMs }) => answer.startsWith('transfer_skill') && shownAtMs <= nowMs)
  const askedMs = turn === undefined ? handedMs : second(turn.atMs)
  return Math.abs(askedMs - handedMs) <= 120_000 && askedMs >= second(openedAtMs) - 60_000 ? askedMs : handedMs
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
