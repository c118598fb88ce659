/**
 * Records as a connector builds them: camelCase fields in, whole records out. Every record of a kind has every field in the schema's order, so
 * that all have one hidden class; this runs a hundred thousand times a CPU second, so nothing here spreads or loops over fields.
 *
 * What a field cannot hold: a required field that is missing, or a time that cannot be read, makes the row ROW_UNMAPPABLE. A placeholder in the place of
 * a time (before 2000, or more than a day ahead of `observed_at`) is no time: null where the field may be null, else the row is ROW_UNMAPPABLE. A word outside a
 * closed set becomes UNKNOWN or other, a number that does not fit becomes null, and what the vendor wrote goes to `attributes` as `<field>_raw`.
 */
import { FlowError } from '../errors.ts'
import {
  type Attachment,
  type Channel,
  CONTAINMENTS,
  type Containment,
  EVENT_TYPES,
  type Event,
  type EventType,
  eventKeyOf,
  type Message,
  messageKeyOf,
  sessionKeyOf,
  SENDERS,
  type Sender,
  SESSION_STATUSES,
  type Session,
  type SessionStatus,
  type Tag,
} from '../records.ts'
import { channelOf } from '../channels.ts'
import type { Draft, Scope } from './contract.ts'
import { isPlaceholder, realTime, texts, time } from './liberal.ts'
import { NO_TRANSFERS, type Said, type Transfers } from './transfers.ts'

/** What `normalise` and `fingerprint` may know beside the row. */
export interface RowContext<C = unknown> {
  /** The connector's manifest id. */
  readonly vendor: string
  readonly account: string
  /** Name of the configured connector. */
  readonly connector: string
  /** The connector's config, as `read` gets it. */
  readonly config: C
  /** The scope that the row was read from; its `botId`, where it has one, is the bot of every row. */
  readonly scope: Scope
  /** When the page was read, epoch milliseconds: the `observed_at` of its records. */
  readonly observedAtMs: number
  /** How far back this stream is read again, milliseconds: a row older than this at `observedAtMs` is seen for the last time. */
  readonly lookbackMs: number
  /** The session that the framework derived for the row in hand (`Stream.derive`), with the row's own channel and language; else null. */
  readonly derived: SessionRef | null
  /** The rules of `transfer.rules`. The framework applies them to what `normalise` returns; a connector asks them only for what is in no draft. */
  readonly transfers: Transfers
  /** Opens a session (or names one that another stream tells) that messages and events refer to. */
  session(of: SessionIdentity): SessionRef
}

export interface SessionIdentity {
  readonly botId: string
  readonly sessionId: string
  /** The vendor's word for the channel; normalised, and kept as `channel_raw`. Null: not known. */
  readonly channel: string | null
  readonly language?: string | null | undefined
}

/** A session's identity with everything that is copied onto its records. */
export interface SessionRef {
  readonly sessionKey: string
  readonly sessionId: string
  readonly vendor: string
  readonly account: string
  readonly botId: string
  readonly connector: string
  readonly observedAtMs: number
  readonly channel: Channel | null
  readonly channelRaw: string | null
  readonly language: string | null
}

/** ISO 8601 with a zone, or an epoch time: milliseconds, and by their size seconds, micro- and nanoseconds. */
export type Time = string | number

/** A word of the set, or the vendor's own, which is looked up whatever its case and separators (`selfService` is SELF_SERVICE). */
type Word<Member extends string> = Member | (string & {})
type Maybe<T> = T | null | undefined
/** Values as text; numbers and booleans are written out, anything deeper as JSON, null is left out. */
export type Extras = Readonly<Record<string, unknown>>

export interface SessionFields {
  readonly startedAt: Time
  readonly endedAt?: Maybe<Time>
  readonly endedAtEstimated?: boolean
  readonly status?: Maybe<Word<SessionStatus>>
  readonly containment?: Maybe<Word<Containment>>
  readonly interactive?: Maybe<boolean>
  /** Default: the session's language, where it has one. */
  readonly languages?: Maybe<readonly string[]>
  readonly userId?: Maybe<string>
  readonly channelUserId?: Maybe<string>
  readonly transferredAt?: Maybe<Time>
  readonly queue?: Maybe<string>
  readonly agentId?: Maybe<string>
  readonly agentName?: Maybe<string>
  readonly userMessages?: Maybe<number>
  readonly botMessages?: Maybe<number>
  readonly agentMessages?: Maybe<number>
  readonly totalMessages?: Maybe<number>
  readonly tasks?: Maybe<number>
  readonly satisfaction?: Maybe<number>
  readonly outcome?: Maybe<string>
  readonly startingCause?: Maybe<string>
  readonly topics?: Maybe<readonly string[]>
  readonly tags?: Maybe<readonly { readonly name: string; readonly value?: Maybe<string>; readonly scope?: Maybe<string> }[]>
  readonly variables?: Maybe<Extras>
  readonly isTest?: Maybe<boolean>
  readonly link?: Maybe<string>
  readonly attributes?: Maybe<Extras>
}

export interface MessageFields {
  readonly messageId: string
  readonly sentAt: Time
  readonly sentAtEstimated?: boolean
  readonly seq?: Maybe<number>
  readonly sender?: Maybe<Word<Sender>>
  /** The vendor's word, written lower case; default `other`. */
  readonly type?: Maybe<string>
  readonly text?: Maybe<string>
  readonly attachments?: Maybe<readonly { readonly kind: string; readonly url: string; readonly caption?: Maybe<string> }[]>
  /** Default: the session's. */
  readonly language?: Maybe<string>
  readonly intent?: Maybe<string>
  readonly confidence?: Maybe<number>
  readonly agentId?: Maybe<string>
  readonly agentName?: Maybe<string>
  readonly queue?: Maybe<string>
  readonly attributes?: Maybe<Extras>
}

export interface EventFields {
  readonly eventId: string
  readonly occurredAt: Time
  readonly occurredAtEstimated?: boolean
  readonly type: Word<EventType>
  /** The vendor's own word for it; default: the type. */
  readonly name?: Maybe<string>
  /** Default: the session's. */
  readonly language?: Maybe<string>
  readonly userId?: Maybe<string>
  readonly attributes?: Maybe<Extras>
}

export interface LoneEventFields extends EventFields {
  readonly botId: string
  /** The vendor's word; normalised. */
  readonly channel?: Maybe<string>
}

export type SessionDraft = Extract<Draft, { kind: 'session' }>
export type MessageDraft = Extract<Draft, { kind: 'message' }>
export type EventDraft = Extract<Draft, { kind: 'event' }>

/** @param of.transfers Absent: there are no rules. */
export function rowContext<C>(
  of: Omit<RowContext<C>, 'session' | 'derived' | 'transfers'> & { readonly transfers?: Transfers },
): RowContext<C> {
  const { vendor, account, connector, config, scope, observedAtMs, lookbackMs, transfers = NO_TRANSFERS } = of
  return {
    vendor,
    account,
    connector,
    config,
    scope,
    observedAtMs,
    lookbackMs,
    derived: null,
    transfers,
    session: ({ botId, sessionId, channel, language }) => ({
      sessionKey: sessionKeyOf(vendor, account, required(sessionId, 'sessionId')),
      sessionId,
      vendor,
      account,
      botId: required(botId, 'botId'),
      connector,
      observedAtMs,
      channel: channelOf(channel),
      channelRaw: channel ?? null,
      language: language ?? null,
    }),
  }
}

/**
 * The session itself. A stream other than the manifest's `sessionStream` must not give one. One that is CLOSED with a placeholder for an end is OPEN.
 *
 * @param said What the vendor's row says of it that is in no field, for `transfer.rules`.
 */
export function session(of: SessionRef, fields: SessionFields, said?: Said): SessionDraft {
  const attributes = texts(fields.attributes)
  const endedAt = optionalTime(fields.endedAt, 'endedAt', of)
  const status = member(STATUS, fields.status, 'UNKNOWN', attributes, 'status_raw')
  /** The vendor wrote a placeholder for an end: the session has not ended. */
  const isNoEnd = endedAt === null && fields.endedAt !== null && fields.endedAt !== undefined
  const record: Session = {
    session_key: of.sessionKey,
    vendor: of.vendor,
    account: of.account,
    bot_id: of.botId,
    session_id: of.sessionId,
    connector: of.connector,
    revision: 1,
    observed_at: of.observedAtMs,
    started_at: requiredTime(fields.startedAt, 'startedAt', of),
    ended_at: endedAt,
    ended_at_estimated: endedAt !== null && fields.endedAtEstimated === true,
    status: status === 'CLOSED' && isNoEnd ? 'OPEN' : status,
    containment: member(CONTAINMENT, fields.containment, 'UNKNOWN', attributes, 'containment_raw'),
    interactive: fields.interactive ?? null,
    channel: of.channel ?? 'other',
    channel_raw: of.channelRaw,
    language: of.language,
    languages: fields.languages ? fields.languages.slice() : of.language === null ? [] : [of.language],
    user_id: fields.userId ?? null,
    channel_user_id: fields.channelUserId ?? null,
    transferred_at: optionalTime(fields.transferredAt, 'transferredAt', of),
    queue: fields.queue ?? null,
    agent_id: fields.agentId ?? null,
    agent_name: fields.agentName ?? null,
    user_messages: int(fields.userMessages, attributes, 'user_messages_raw'),
    bot_messages: int(fields.botMessages, attributes, 'bot_messages_raw'),
    agent_messages: int(fields.agentMessages, attributes, 'agent_messages_raw'),
    total_messages: int(fields.totalMessages, attributes, 'total_messages_raw'),
    tasks: int(fields.tasks, attributes, 'tasks_raw'),
    satisfaction: finite(fields.satisfaction, attributes, 'satisfaction_raw', -Infinity, Infinity),
    outcome: fields.outcome ?? null,
    starting_cause: fields.startingCause ?? null,
    topics: fields.topics ? fields.topics.slice() : [],
    tags: fields.tags ? fields.tags.map(tag) : [],
    variables: texts(fields.variables),
    is_test: fields.isTest ?? null,
    link: fields.link ?? null,
    attributes,
  }
  return said === undefined ? { kind: 'session', record } : { kind: 'session', record, said }
}

/**
 * A message of a session. Its key is `session_key/message_id`, with `%` as `%25` and `/` as `%2F` in the session's part, so that message `2` of session `s/1` and
 * message `1/2` of session `s` are two.
 *
 * @param said What the vendor's row says of it that is in no field, for `transfer.rules`: the flow, step or answer that it belongs to, say.
 */
export function message(of: SessionRef, fields: MessageFields, said?: Said): MessageDraft {
  const attributes = texts(fields.attributes)
  const messageId = required(fields.messageId, 'messageId')
  const record: Message = {
    message_key: messageKeyOf(of.sessionKey, messageId),
    session_key: of.sessionKey,
    vendor: of.vendor,
    account: of.account,
    bot_id: of.botId,
    session_id: of.sessionId,
    message_id: messageId,
    connector: of.connector,
    revision: 1,
    observed_at: of.observedAtMs,
    sent_at: requiredTime(fields.sentAt, 'sentAt', of),
    sent_at_estimated: fields.sentAtEstimated === true,
    seq: int(fields.seq, attributes, 'seq_raw'),
    sender: member(SENDER, fields.sender, 'UNKNOWN', attributes, 'sender_raw'),
    type: fields.type ? fields.type.toLowerCase() : 'other',
    text: fields.text ?? null,
    attachments: fields.attachments ? fields.attachments.map(attachment) : [],
    channel: of.channel,
    language: fields.language ?? of.language,
    intent: fields.intent ?? null,
    confidence: finite(fields.confidence, attributes, 'confidence_raw', 0, 1),
    agent_id: fields.agentId ?? null,
    agent_name: fields.agentName ?? null,
    queue: fields.queue ?? null,
    attributes,
  }
  return said === undefined ? { kind: 'message', record } : { kind: 'message', record, said }
}

/** @param said What the vendor's row says of it that is in no field, for `transfer.rules`. */
export function event(of: SessionRef, fields: EventFields, said?: Said): EventDraft {
  return eventRecord(of, of.sessionKey, of.sessionId, of.botId, of.channel, of.language, fields, said)
}

/** An event that belongs to no session, such as a point of the vendor's own statistics. */
export function eventWithoutSession(ctx: RowContext, fields: LoneEventFields, said?: Said): EventDraft {
  return eventRecord(ctx, null, null, required(fields.botId, 'botId'), channelOf(fields.channel), null, fields, said)
}

function eventRecord(
  of: { readonly vendor: string; readonly account: string; readonly connector: string; readonly observedAtMs: number },
  sessionKey: string | null,
  sessionId: string | null,
  botId: string,
  channel: Channel | null,
  language: string | null,
  fields: EventFields,
  said: Said | undefined,
): EventDraft {
  const attributes = texts(fields.attributes)
  const eventId = required(fields.eventId, 'eventId')
  const type = member(EVENT_TYPE, required(fields.type, 'type'), 'other', attributes, 'type_raw')
  const record: Event = {
    event_key: eventKeyOf(of.vendor, of.account, eventId),
    session_key: sessionKey,
    vendor: of.vendor,
    account: of.account,
    bot_id: botId,
    session_id: sessionId,
    event_id: eventId,
    connector: of.connector,
    revision: 1,
    observed_at: of.observedAtMs,
    occurred_at: requiredTime(fields.occurredAt, 'occurredAt', of),
    occurred_at_estimated: fields.occurredAtEstimated === true,
    type,
    name: fields.name ?? fields.type,
    channel,
    language: fields.language ?? language,
    user_id: fields.userId ?? null,
    attributes,
  }
  return said === undefined ? { kind: 'event', record } : { kind: 'event', record, said }
}

function tag(of: { readonly name: string; readonly value?: Maybe<string>; readonly scope?: Maybe<string> }): Tag {
  return { name: of.name, value: of.value ?? null, scope: of.scope ?? null }
}

function attachment(of: { readonly kind: string; readonly url: string; readonly caption?: Maybe<string> }): Attachment {
  return { kind: of.kind, url: of.url, caption: of.caption ?? null }
}

function required(value: string, path: string): string {
  if (typeof value !== 'string' || value === '') throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is missing` })
  return value
}

type Observed = { readonly observedAtMs: number }

function requiredTime(raw: Time, path: string, of: Observed): number {
  const ms = optionalTime(raw, path, of)
  if (ms === null)
    throw new FlowError('ROW_UNMAPPABLE', {
      path,
      hint: `${path} ${isMissing(raw) ? 'is missing' : 'is a placeholder, no time'}`,
    })
  return ms
}

function optionalTime(raw: Maybe<Time>, path: string, of: Observed): number | null {
  if (raw === null || raw === undefined) return null
  const ms = time(raw)
  if (ms !== null) return realTime(ms, of)
  if (!isPlaceholder(raw, of.observedAtMs))
    throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is not a time with a zone` })
  return null
}

function isMissing(raw: Maybe<Time>): boolean {
  return raw === null || raw === undefined || raw === ''
}

/** null, with what was given kept in `attributes`, for what a 32-bit integer cannot hold. */
function int(value: Maybe<number>, attributes: Record<string, string>, rawName: string): number | null {
  if (value === null || value === undefined) return null
  if ((value | 0) === value) return value
  attributes[rawName] ??= String(value)
  return null
}

function finite(
  value: Maybe<number>,
  attributes: Record<string, string>,
  rawName: string,
  least: number,
  most: number,
): number | null {
  if (value === null || value === undefined) return null
  if (Number.isFinite(value) && value >= least && value <= most) return value
  attributes[rawName] ??= String(value)
  return null
}

/** The members by their own spelling, and by their letters alone for vendors' spellings of them. */
function closedSet<Member extends string>(members: readonly Member[]): ReadonlyMap<string, Member> {
  return new Map([...members.map(m => [m, m] as const), ...members.map(m => [lettersOf(m), m] as const)])
}

function lettersOf(word: string): string {
  return word.toLowerCase().replace(/[^a-z]/g, '')
}

const STATUS = closedSet(SESSION_STATUSES)
const CONTAINMENT = closedSet(CONTAINMENTS)
const SENDER = closedSet(SENDERS)
const EVENT_TYPE = closedSet(EVENT_TYPES)

function member<Member extends string>(
  set: ReadonlyMap<string, Member>,
  word: Maybe<string>,
  fallback: Member,
  attributes: Record<string, string>,
  rawName: string,
): Member {
  if (word === null || word === undefined) return fallback
  const found = set.get(word) ?? set.get(lettersOf(word))
  if (found !== undefined) return found
  attributes[rawName] ??= word
  return fallback
}
