/** What must stand on the topics when everything a Kore.ai simulator shows has been read, computed from its world and not from what it answers. */
import {
  agentIdOf,
  ANALYTICS_CHANNELS,
  analyticsIdOf,
  analyticsTypeOf,
  contactIdOf,
  isAlert,
  type KoreaiSimulator,
  messageIdOf,
  type Quirks,
  sessionsBetween,
  type VendorSession,
  textOf,
} from '../../../connectors/koreai/simulator.ts'
import type { Event, Message, Session } from '../../../src/records.ts'
import type { WorldEvent, WorldMessage } from '../../../src/sim/index.ts'
import type { Truth } from '../../../src/conformance/index.ts'
import { channelOf } from '../../../src/source/index.ts'

const DAY = 86_400_000
/** The connector's lookback, and the time after it when a session that never closed is given up. */
const LOOKBACK_MS = DAY
const EXPIRES_MS = 14 * DAY

export interface TruthOptions {
  /** Default `acme`. */
  readonly account?: string
  /** v1 tells of campaigns too. Default v2. */
  readonly messages?: 'v1' | 'v2'
  /** The lists that stream analytics reads. Default: none, it is not read. */
  readonly analytics?: readonly (keyof typeof FINDINGS)[]
  /** Stream `contact-center` is read. */
  readonly contactCenter?: boolean
  /** Sessions that start in `[fromMs, untilMs)`. Default: all. */
  readonly fromMs?: number
  readonly untilMs?: number
}

/** @param nowMs Our clock; the vendor's may differ. */
export function truthOf(simulator: KoreaiSimulator, nowMs: number, options: TruthOptions = {}): Truth {
  const {
    account = 'acme',
    messages: version = 'v2',
    analytics = [],
    contactCenter = false,
    fromMs = -Infinity,
    untilMs = Infinity,
  } = options
  const { world, quirks, bots } = simulator
  const first = Math.max(fromMs, world.options.fromMs - DAY)
  const told = sessionsBetween(first, Math.min(untilMs, nowMs + DAY), { view: world.at(nowMs), quirks }).filter(
    ({ conversation }) => bots.includes(conversation.bot),
  )
  const heard = (each: VendorSession) => each.messages.filter(message => version === 'v1' || !isAlert(message))
  return {
    sessions: told.map(each => ({
      ...sessionOf(each, heard(each), account, nowMs, quirks),
      ...(contactCenter && contactOf(each, quirks.clockAheadMs)),
    })),
    messages: told.flatMap(each =>
      heard(each).map((message, seq) => messageOf(message, seq, each, account, quirks.clockAheadMs)),
    ),
    events: told.flatMap(each => [
      ...lifeOf(each, contactCenter ? null : transferOf(each, heard(each), quirks), account),
      ...(contactCenter ? contactEvents(each, account, quirks.clockAheadMs) : []),
      ...each.events.flatMap(event => findingOf(event, analytics, each, account, quirks.clockAheadMs)),
    ]),
  }
}

const keyOf = (told: VendorSession, account: string) => `koreai:${account}:${told.sessionId}`
const count = (messages: readonly WorldMessage[], sender: WorldMessage['sender']) =>
  messages.filter(message => message.sender === sender).length

/** The platform's time of the hand-over; where it tells none, the first message of an agent. */
function transferOf(told: VendorSession, messages: readonly WorldMessage[], { handOff, clockAheadMs }: Quirks): number | null {
  const asked = handOff === 'known' ? told.events.find(({ kind }) => kind === 'transfer_requested') : undefined
  const first = asked ?? messages.find(({ sender }) => sender === 'agent')
  return first === undefined ? null : first.atMs + clockAheadMs
}

function sessionOf(
  told: VendorSession,
  messages: readonly WorldMessage[],
  account: string,
  nowMs: number,
  quirks: Quirks,
): Partial<Session> {
  const { conversation } = told
  const isOld = nowMs - told.startMs >= LOOKBACK_MS + EXPIRES_MS
  const agent = messages.findLast(({ sender }) => sender === 'agent')?.agent ?? null
  return {
    session_key: keyOf(told, account),
    vendor: 'koreai',
    account,
    bot_id: told.botId,
    session_id: told.sessionId,
    started_at: told.startMs,
    ended_at: told.isClosed || isOld ? told.lastMs : null,
    ended_at_estimated: !told.isClosed && isOld,
    status: told.isClosed ? 'CLOSED' : isOld ? 'EXPIRED' : 'OPEN',
    containment:
      told.containment === null
        ? 'UNKNOWN'
        : ({ agent: 'AGENT', selfService: 'SELF_SERVICE', dropOff: 'DROP_OFF' } as const)[told.containment],
    interactive: told.isInteractive,
    channel: channelOf(told.channel) ?? 'other',
    channel_raw: told.channel,
    language: conversation.language,
    languages: [conversation.language],
    user_id: told.userId,
    channel_user_id: messages.length === 0 ? null : conversation.person.handle,
    transferred_at: transferOf(told, messages, quirks),
    queue: null,
    agent_id: agent === null ? null : agentIdOf(agent),
    agent_name: agent?.name ?? null,
    user_messages: count(messages, 'user'),
    bot_messages: count(messages, 'bot'),
    agent_messages: count(messages, 'agent'),
    total_messages: told.messages.length,
    tasks: told.tasks,
    tags: [
      ...told.userTags.map(({ name, value }) => ({ name, value: String(value), scope: 'user' })),
      ...told.sessionTags.map(({ name, value }) => ({ name, value: String(value), scope: 'session' })),
    ],
    is_test: conversation.person.isTest,
  }
}

function messageOf(message: WorldMessage, seq: number, told: VendorSession, account: string, aheadMs: number): Partial<Message> {
  const { attachment, agent } = message
  return {
    message_key: `${keyOf(told, account)}/${messageIdOf(message)}`,
    session_key: keyOf(told, account),
    bot_id: told.botId,
    sent_at: message.atMs + aheadMs,
    seq,
    sender: ({ user: 'USER', bot: 'BOT', agent: 'AGENT' } as const)[message.sender],
    type:
      attachment !== null ? (attachment.kind === 'file' ? 'attachment' : attachment.kind) : isAlert(message) ? 'alert' : 'text',
    text: textOf(message),
    attachments:
      attachment === null
        ? []
        : [{ kind: attachment.kind === 'file' ? 'attachment' : attachment.kind, url: attachment.url, caption: null }],
    channel: channelOf(told.channel),
    language: told.conversation.language,
    agent_id: agent === null ? null : agentIdOf(agent),
    agent_name: agent?.name ?? null,
  }
}

function eventOf(
  told: VendorSession,
  account: string,
  fields: Pick<Event, 'event_id' | 'type' | 'name' | 'occurred_at' | 'occurred_at_estimated'>,
): Partial<Event> {
  return {
    event_key: `koreai:${account}:${fields.event_id}`,
    session_key: keyOf(told, account),
    bot_id: told.botId,
    ...fields,
    channel: channelOf(told.channel),
    language: told.conversation.language,
    user_id: told.userId,
  }
}

/** Begin, end, and transfer, where its time is known. */
function lifeOf(told: VendorSession, transferMs: number | null, account: string): Partial<Event>[] {
  const happened = (type: 'session_started' | 'session_ended' | 'agent_transferred', atMs: number) =>
    eventOf(told, account, {
      event_id: `${told.sessionId}/${type}`,
      type,
      name: type,
      occurred_at: atMs,
      occurred_at_estimated: false,
    })
  return [
    happened('session_started', told.startMs),
    ...(told.isClosed ? [happened('session_ended', told.lastMs)] : []),
    ...(transferMs === null ? [] : [happened('agent_transferred', transferMs)]),
  ]
}

export const FINDINGS = {
  successintent: 'intent_matched',
  failintent: 'intent_missed',
  unhandledutterance: 'intent_missed',
  successtask: 'task_succeeded',
  failtask: 'task_failed',
} as const

function findingOf(
  event: WorldEvent,
  lists: readonly string[],
  told: VendorSession,
  account: string,
  aheadMs: number,
): Partial<Event>[] {
  const list = analyticsTypeOf(event)
  if (list === null || list === 'performance' || !lists.includes(list)) return []
  if (!ANALYTICS_CHANNELS.includes(told.channel)) return []
  return [
    eventOf(told, account, {
      event_id: `${list}/${analyticsIdOf(event)}`,
      type: FINDINGS[list],
      name: list,
      occurred_at: event.atMs + aheadMs,
      occurred_at_estimated: false,
    }),
  ]
}

/** What the contact center adds to the session: its queue, and the time when an agent took it. */
function contactOf(told: VendorSession, aheadMs: number): Partial<Session> {
  const asked = told.events.find(({ kind }) => kind === 'transfer_requested')
  const taken = told.events.find(({ kind }) => kind === 'transferred')
  return {
    ...(asked?.kind === 'transfer_requested' && { queue: asked.queue }),
    ...(taken !== undefined && { transferred_at: taken.atMs + aheadMs }),
  }
}

function contactEvents(told: VendorSession, account: string, aheadMs: number): Partial<Event>[] {
  const asked = told.events.find(({ kind }) => kind === 'transfer_requested')
  const [first, ...later] = told.events.filter(({ kind }) => kind === 'transferred')
  if (asked === undefined) return []
  const id = `contact-center/${contactIdOf(told)}`
  const at = (part: string, atMs: number, type: Event['type'], name: string) =>
    eventOf(told, account, {
      event_id: `${id}/${part}`,
      type,
      name,
      occurred_at: atMs + aheadMs,
      occurred_at_estimated: false,
    })
  return [
    at('requested', asked.atMs, 'agent_transfer_requested', 'conversation'),
    ...(first === undefined ? [] : [at('transferred', first.atMs, 'agent_transferred', 'accepted')]),
    ...later.map(({ atMs }) => at(`transfer/${atMs + aheadMs}`, atMs, 'agent_transfer_requested', 'transfer')),
  ]
}
