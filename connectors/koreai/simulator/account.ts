import { createHash } from 'node:crypto'
import type { BotSpec, Conversation, Person, WorldEvent, WorldMessage, WorldView } from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

/**
 * A silence that ends a session, milliseconds: an app's setting, 5 min to 14 days. Seven hours, because that is longer than any pause in the world, so that a
 * conversation is one session.
 */
export const INACTIVITY_MS = 7 * 3_600_000

/** A conversation as this vendor sees it at one moment. Times are the vendor's, epoch milliseconds. */
export interface VendorSession {
  readonly conversation: Conversation
  readonly sessionId: string
  readonly botId: string
  readonly userId: string
  readonly channel: string
  readonly startMs: number
  /** Of its newest message. */
  readonly lastMs: number
  /** When it is closed by somebody or by its silence; later, if anybody writes before. Epoch milliseconds of the world. */
  readonly closesMs: number
  readonly isClosed: boolean
  readonly isInteractive: boolean
  /** Null while it is active, unless an agent was requested. */
  readonly containment: 'dropOff' | 'selfService' | 'agent' | null
  readonly messages: readonly WorldMessage[]
  readonly events: readonly WorldEvent[]
  readonly sessionTags: readonly { readonly name: string; readonly value: unknown }[]
  readonly userTags: readonly { readonly name: string; readonly value: unknown }[]
  readonly tasks: number
}

/** Which sessions the vendor shows, and their state then. */
export interface Sight {
  readonly view: WorldView
  readonly quirks: Quirks
  /** The latest session of each conversation, cached between requests. Absent: no cache. */
  readonly sessions?: WeakMap<Conversation, VendorSession>
}

export function botIdOf(bot: BotSpec): string {
  return `st-${uuid(`bot ${bot.id}`)}`
}

export function userIdOf(person: Person): string {
  return `u-${uuid(`user ${person.id}`)}`
}

/** An agent is a user of the platform, too. */
export function agentIdOf(agent: { readonly id: string }): string {
  return `u-${uuid(`agent ${agent.id}`)}`
}

export function contactIdOf(session: Pick<VendorSession, 'sessionId'>): string {
  return `c-${uuid(`contact ${session.sessionId}`)}`
}

export function accountId(): string {
  return hex('account', 24)
}

/** An ObjectId: its first eight digits are the second of the start, as in the documents' unmasked samples. */
export function sessionIdOf(conversation: Conversation): string {
  const second = Math.floor(conversation.startedAtMs / 1000)
  return second.toString(16).padStart(8, '0') + hex(`session ${conversation.id}`, 16)
}

export function messageIdOf(message: WorldMessage): string {
  return `ms-${uuid(`message ${message.id}`)}`
}

export function analyticsIdOf(event: WorldEvent): string {
  return hex(`event ${event.id}`, 24)
}

/** The session of a conversation, as far as known. What somebody writes after the close would open a session that this simulator leaves out. */
export function sessionOf(conversation: Conversation, sight: Sight): VendorSession {
  const kept = sight.sessions?.get(conversation)
  if (kept !== undefined && kept.isClosed === kept.closesMs <= sight.view.nowMs) return kept
  const session = vendorSession(conversation, sight)
  sight.sessions?.set(conversation, session)
  return session
}

function vendorSession(conversation: Conversation, { view, quirks }: Sight): VendorSession {
  const { person, events, closedAtMs } = conversation
  const upTo = (atMs: number) => closedAtMs === null || atMs <= closedAtMs
  const messages = conversation.messages.filter(({ atMs }) => upTo(atMs))
  const lastMs = messages.at(-1)?.atMs ?? conversation.startedAtMs
  const closesMs = Math.min(closedAtMs ?? Infinity, lastMs + INACTIVITY_MS)
  const isClosed = closesMs <= view.nowMs
  const known = events.filter(({ atMs }) => atMs <= closesMs)
  const ahead = quirks.clockAheadMs
  return {
    conversation,
    sessionId: sessionIdOf(conversation),
    botId: botIdOf(conversation.bot),
    userId: userIdOf(person),
    channel: channelWordOf(conversation),
    startMs: Math.floor((conversation.startedAtMs + ahead) / quirks.startStepMs) * quirks.startStepMs,
    lastMs: lastMs + ahead,
    closesMs,
    isClosed,
    isInteractive: messages.some(({ sender }) => sender === 'user'),
    containment: containmentOf(messages, known, isClosed),
    messages,
    events: known,
    sessionTags: known.flatMap(event => (event.kind === 'tag' ? [{ name: event.name, value: valueOf(event) }] : [])),
    userTags: person.key % 3 === 0 ? [{ name: 'country', value: person.country }] : [],
    tasks: known.filter(({ kind }) => kind === 'task').length,
  }
}

/** Visible sessions with a start in `[fromMs, untilMs)`, newest first. */
export function sessionsBetween(fromMs: number, untilMs: number, sight: Sight): VendorSession[] {
  const { view, quirks } = sight
  const reachMs = quirks.startStepMs + Math.abs(quirks.clockAheadMs)
  const found: VendorSession[] = []
  for (const conversation of view.between(fromMs - reachMs, untilMs + reachMs)) {
    if (!isVisible(conversation, sight)) continue
    const session = sessionOf(conversation, sight)
    if (fromMs <= session.startMs && session.startMs < untilMs) found.push(session)
  }
  return found.sort((a, b) => b.startMs - a.startMs || b.conversation.index - a.conversation.index)
}

export function isVisible({ index, startedAtMs }: Conversation, { view, quirks }: Sight): boolean {
  return index % 5 !== 0 || startedAtMs + quirks.lateMs <= view.nowMs
}

/** v2 leaves out what Alert and Action tasks say: in this world, campaigns. */
export function isAlert(message: WorldMessage): boolean {
  return message.kind === 'template'
}

function containmentOf(
  messages: readonly WorldMessage[],
  events: readonly WorldEvent[],
  isClosed: boolean,
): VendorSession['containment'] {
  if (events.some(({ kind }) => kind === 'transfer_requested')) return 'agent'
  if (!isClosed) return null
  if (!messages.some(({ sender }) => sender === 'user')) return 'selfService'
  return events.some(event => event.kind === 'task' && event.done) ? 'selfService' : 'dropOff'
}

/** Tags' values are of mixed type. */
function valueOf({ id }: WorldEvent): unknown {
  const digit = Number.parseInt(hex(id, 1), 16)
  return digit % 3 === 0 ? digit : digit % 3 === 1 ? true : `v${digit}`
}

function channelWordOf({ channel }: Conversation): string {
  return WORDS[channel] ?? channel
}

const WORDS: Readonly<Record<string, string>> = { web: 'rtm', messenger: 'facebook', voice: 'ivrVoice' }

export function uuid(seed: string): string {
  const digits = hex(seed, 32)
  return [
    digits.slice(0, 8),
    digits.slice(8, 12),
    `5${digits.slice(13, 16)}`,
    `a${digits.slice(17, 20)}`,
    digits.slice(20, 32),
  ].join('-')
}

/** The same sessions are returned again and again, and hashing was most of that. */
const digests = new Map<string, string>()
const MOST_DIGESTS = 100_000

export function hex(seed: string, length: number): string {
  let digest = digests.get(seed)
  if (digest === undefined) {
    digest = createHash('sha256').update(seed).digest('hex')
    if (digests.size >= MOST_DIGESTS) digests.clear()
    digests.set(seed, digest)
  }
  return digest.slice(0, length)
}
