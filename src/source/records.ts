/**
 * Builds records for connectors: camelCase fields in, complete records out. Every record of a kind has every field in the schema's order, so that all have one
 * hidden class; this runs a hundred thousand times per CPU second, so nothing here spreads or loops over fields.
 *
 * Values that do not fit: a required field that is missing, or an unreadable time, makes the row ROW_UNMAPPABLE. A placeholder instead of a time (before 2000,
 * or more than a day after `observed_at`) is null if the field may be null, else the row is ROW_UNMAPPABLE. A word outside a closed set becomes UNKNOWN or
 * other, a number that does not fit becomes null, and the vendor's value goes to `attributes` as `<field>_raw`.
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
import { isPlaceholder, realTime, texts, time } from './lenient.ts'
import { NO_TRANSFERS, type Said, type Transfers } from './transfers.ts'

/** What `normalise` and `fingerprint` get besides the row. */
export interface RowContext<C = unknown> {
  /** The connector's manifest id. */
  readonly vendor: string
  readonly account: string
  /** Name of the configured connector. */
  readonly connector: string
  /** The connector's config, as `read` gets it. */
  readonly config: C
  /** The scope of the row; its `botId`, if it has one, is the bot of every row. */
  readonly scope: Scope
  /** When the page was read, epoch milliseconds: the `observed_at` of its records. */
  readonly observedAtMs: number
  /** How far back this stream is read again, milliseconds: a row older than this at `observedAtMs` is seen for the last time. */
  readonly lookbackMs: number
  /** The session that the framework derived for this row (`Stream.derive`), with the row's own channel and language; else null. */
  readonly derived: SessionRef | null
  /** The rules of `transfer.rules`. The framework applies them to the result of `normalise`; a connector needs them only for content that is in no draft. */
  readonly transfers: Transfers
  /** The reference that messages and events of a session need, also of a session that another stream publishes. */
  session(identity: SessionIdentity): SessionRef
}

export interface SessionIdentity {
  readonly botId: string
  readonly sessionId: string
  /** The vendor's word for the channel; normalised, and kept as `channel_raw`. Null: unknown. */
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

/** A word of the set, or the vendor's own, which is matched in any case and with any separators (`selfService` is SELF_SERVICE). */
type Word<Member extends string> = Member | (string & {})
type Maybe<T> = T | null | undefined
/** Values as text; numbers and booleans become text, anything deeper JSON, null is left out. */
export type Extras = Readonly<Record<string, unknown>>

export interface SessionFields {
  readonly startedAt: Time
  readonly endedAt?: Maybe<Time>
  readonly endedAtEstimated?: boolean
  readonly status?: Maybe<Word<SessionStatus>>
  readonly containment?: Maybe<Word<Containment>>
  readonly interactive?: Maybe<boolean>
  /** Default: the session's language, if it has one. */
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

/** @param row.transfers Absent: there are no rules. */
export function rowContext<C>(
  row: Omit<RowContext<C>, 'session' | 'derived' | 'transfers'> & { readonly transfers?: Transfers },
): RowContext<C> {
  const { vendor, account, connector, config, scope, observedAtMs, lookbackMs, transfers = NO_TRANSFERS } = row
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
 * The session itself. Only the manifest's `sessionStream` may return one. One that is CLOSED with a placeholder for an end is OPEN.
 *
 * @param said Content of the vendor's row that is in no field, for `transfer.rules`.
 */
export function session(ref: SessionRef, fields: SessionFields, said?: Said): SessionDraft {
  const attributes = texts(fields.attributes)
  const endedAt = optionalTime(fields.endedAt, 'endedAt', ref)
  const status = member(STATUS, fields.status, 'UNKNOWN', attributes, 'status_raw')
  /** The vendor wrote a placeholder for an end: the session has not ended. */
  const isNoEnd = endedAt === null && fields.endedAt !== null && fields.endedAt !== undefined
  const record: Session = {
    session_key: ref.sessionKey,
    vendor: ref.vendor,
    account: ref.account,
    bot_id: ref.botId,
    session_id: ref.sessionId,
    connector: ref.connector,
    revision: 1,
    observed_at: ref.observedAtMs,
    started_at: requiredTime(fields.startedAt, 'startedAt', ref),
    ended_at: endedAt,
    ended_at_estimated: endedAt !== null && fields.endedAtEstimated === true,
    status: status === 'CLOSED' && isNoEnd ? 'OPEN' : status,
    containment: member(CONTAINMENT, fields.containment, 'UNKNOWN', attributes, 'containment_raw'),
    interactive: fields.interactive ?? null,
    channel: ref.channel ?? 'other',
    channel_raw: ref.channelRaw,
    language: ref.language,
    languages: fields.languages ? fields.languages.slice() : ref.language === null ? [] : [ref.language],
    user_id: fields.userId ?? null,
    channel_user_id: fields.channelUserId ?? null,
    transferred_at: optionalTime(fields.transferredAt, 'transferredAt', ref),
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
 * A message of a session. Its key is `session_key/message_id`, with `%` as `%25` and `/` as `%2F` in the session's part, so that message `2` of session `s/1`
 * and message `1/2` of session `s` have different keys.
 *
 * @param said Content of the vendor's row that is in no field, for `transfer.rules`: its flow, step or answer, for example.
 */
export function message(ref: SessionRef, fields: MessageFields, said?: Said): MessageDraft {
  const attributes = texts(fields.attributes)
  const messageId = required(fields.messageId, 'messageId')
  const record: Message = {
    message_key: messageKeyOf(ref.sessionKey, messageId),
    session_key: ref.sessionKey,
    vendor: ref.vendor,
    account: ref.account,
    bot_id: ref.botId,
    session_id: ref.sessionId,
    message_id: messageId,
    connector: ref.connector,
    revision: 1,
    observed_at: ref.observedAtMs,
    sent_at: requiredTime(fields.sentAt, 'sentAt', ref),
    sent_at_estimated: fields.sentAtEstimated === true,
    seq: int(fields.seq, attributes, 'seq_raw'),
    sender: member(SENDER, fields.sender, 'UNKNOWN', attributes, 'sender_raw'),
    type: fields.type ? fields.type.toLowerCase() : 'other',
    text: fields.text ?? null,
    attachments: fields.attachments ? fields.attachments.map(attachment) : [],
    channel: ref.channel,
    language: fields.language ?? ref.language,
    intent: fields.intent ?? null,
    confidence: finite(fields.confidence, attributes, 'confidence_raw', 0, 1),
    agent_id: fields.agentId ?? null,
    agent_name: fields.agentName ?? null,
    queue: fields.queue ?? null,
    attributes,
  }
  return said === undefined ? { kind: 'message', record } : { kind: 'message', record, said }
}

/** @param said Content of the vendor's row that is in no field, for `transfer.rules`. */
export function event(ref: SessionRef, fields: EventFields, said?: Said): EventDraft {
  return eventRecord(ref, ref.sessionKey, ref.sessionId, ref.botId, ref.channel, ref.language, fields, said)
}

/** An event without a session, such as a point of the vendor's own statistics. */
export function eventWithoutSession(ctx: RowContext, fields: LoneEventFields, said?: Said): EventDraft {
  return eventRecord(ctx, null, null, required(fields.botId, 'botId'), channelOf(fields.channel), null, fields, said)
}

function eventRecord(
  row: { readonly vendor: string; readonly account: string; readonly connector: string; readonly observedAtMs: number },
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
    event_key: eventKeyOf(row.vendor, row.account, eventId),
    session_key: sessionKey,
    vendor: row.vendor,
    account: row.account,
    bot_id: botId,
    session_id: sessionId,
    event_id: eventId,
    connector: row.connector,
    revision: 1,
    observed_at: row.observedAtMs,
    occurred_at: requiredTime(fields.occurredAt, 'occurredAt', row),
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

function tag(fields: { readonly name: string; readonly value?: Maybe<string>; readonly scope?: Maybe<string> }): Tag {
  return { name: fields.name, value: fields.value ?? null, scope: fields.scope ?? null }
}

function attachment(fields: { readonly kind: string; readonly url: string; readonly caption?: Maybe<string> }): Attachment {
  return { kind: fields.kind, url: fields.url, caption: fields.caption ?? null }
}

function required(value: string, path: string): string {
  if (typeof value !== 'string' || value === '') throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is missing` })
  return value
}

type Observed = { readonly observedAtMs: number }

function requiredTime(raw: Time, path: string, observed: Observed): number {
  const ms = optionalTime(raw, path, observed)
  if (ms === null)
    throw new FlowError('ROW_UNMAPPABLE', {
      path,
      hint: `${path} ${isMissing(raw) ? 'is missing' : 'is a placeholder, not a time'}`,
    })
  return ms
}

function optionalTime(raw: Maybe<Time>, path: string, observed: Observed): number | null {
  if (raw === null || raw === undefined) return null
  const ms = time(raw)
  if (ms !== null) return realTime(ms, observed)
  if (!isPlaceholder(raw, observed.observedAtMs))
    throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is not a time with a zone` })
  return null
}

function isMissing(raw: Maybe<Time>): boolean {
  return raw === null || raw === undefined || raw === ''
}

/** null for what a 32-bit integer cannot hold; the original is kept in `attributes`. */
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

/** The members by their own spelling, and by their letters only for vendors' spellings of them. */
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
