/**
 * What stands on the topics, as TypeScript sees it: field names and order are those of `schemas/*.avsc`, where each field's meaning and unit
 * are told; a test holds the two equal. Times are epoch milliseconds, UTC. The closed sets below are Avro strings, not enums (a reader that
 * builds its schema from a table's columns reads nothing from a topic with an enum), so the writer holds values to their set.
 */

export const SESSION_STATUSES = ['OPEN', 'CLOSED', 'EXPIRED', 'UNKNOWN'] as const
export const CONTAINMENTS = ['SELF_SERVICE', 'DROP_OFF', 'AGENT', 'UNKNOWN'] as const
export const SENDERS = ['USER', 'BOT', 'AGENT', 'SYSTEM', 'UNKNOWN'] as const
export const LANES = ['live', 'lookback', 'backfill'] as const
export const ALERT_STATES = ['FIRING', 'RESOLVED'] as const
export const CHANNELS = [
  'web',
  'whatsapp',
  'messenger',
  'instagram',
  'telegram',
  'sms',
  'email',
  'voice',
  'slack',
  'msteams',
  'twitter',
  'api',
  'other',
] as const
export const EVENT_TYPES = [
  'session_started',
  'session_ended',
  'agent_transfer_requested',
  'agent_transferred',
  'agent_replied',
  'flow_transition',
  'intent_matched',
  'intent_missed',
  'task_succeeded',
  'task_failed',
  'tag_applied',
  'variable_set',
  'menu_option',
  'satisfaction',
  'metric_point',
  'error',
  'other',
] as const

/** The counts of a SeriesPoint, in the order of its fields; `duration_ms` is a sum of milliseconds, all others are counts. */
export const MEASURES = [
  'sessions',
  'sessions_self_service',
  'sessions_drop_off',
  'sessions_agent',
  'sessions_unknown',
  'sessions_ended',
  'duration_ms',
  'agent_transfers',
  'messages_user',
  'messages_bot',
  'messages_agent',
  'messages_other',
  'events',
] as const

/** The label of languages, channels and bots without a series of their own (`aggregator.maxSeries`). */
export const OTHER = 'other'

export type SessionStatus = (typeof SESSION_STATUSES)[number]
export type Containment = (typeof CONTAINMENTS)[number]
export type Sender = (typeof SENDERS)[number]
export type Lane = (typeof LANES)[number]
export type AlertState = (typeof ALERT_STATES)[number]
export type Channel = (typeof CHANNELS)[number]
export type EventType = (typeof EVENT_TYPES)[number]
export type Measure = (typeof MEASURES)[number]

/** The string that decides on which partition all records of a bot live. */
export function botKey(of: { vendor: string; account: string; bot_id: string }): string {
  return `${of.vendor}:${of.account}:${of.bot_id}`
}

export function sessionKeyOf(vendor: string, account: string, sessionId: string): string {
  return `${vendor}:${account}:${sessionId}`
}

/** What would make the session's part of a message key end early. Keys of sessions without these are as they always were. */
const SEPARATORS = /[%/]/g
const escaped = (sign: string) => (sign === '%' ? '%25' : '%2F')

/** `%` and `/` in the session's part are written `%25` and `%2F`, so that message `2` of session `s/1` and message `1/2` of session `s` are two. */
export function messageKeyOf(sessionKey: string, messageId: string): string {
  return `${sessionKey.replace(SEPARATORS, escaped)}/${messageId}`
}

export function eventKeyOf(vendor: string, account: string, eventId: string): string {
  return `${vendor}:${account}:${eventId}`
}

/** One conversation, an upsert: the newest revision is the session; a null value on the topic withdraws it. */
export interface Session {
  session_key: string
  vendor: string
  account: string
  bot_id: string
  session_id: string
  connector: string
  revision: number
  observed_at: number
  started_at: number
  ended_at: number | null
  ended_at_estimated: boolean
  status: SessionStatus
  containment: Containment
  interactive: boolean | null
  channel: Channel
  channel_raw: string | null
  language: string | null
  languages: string[]
  user_id: string | null
  channel_user_id: string | null
  transferred_at: number | null
  queue: string | null
  agent_id: string | null
  agent_name: string | null
  user_messages: number | null
  bot_messages: number | null
  agent_messages: number | null
  total_messages: number | null
  tasks: number | null
  satisfaction: number | null
  outcome: string | null
  starting_cause: string | null
  topics: string[]
  tags: Tag[]
  variables: Record<string, string>
  is_test: boolean | null
  link: string | null
  attributes: Record<string, string>
}

/** One message of a session, published once; a later revision tells that the vendor changed it. */
export interface Message {
  message_key: string
  session_key: string
  vendor: string
  account: string
  bot_id: string
  session_id: string
  message_id: string
  connector: string
  revision: number
  observed_at: number
  sent_at: number
  sent_at_estimated: boolean
  seq: number | null
  sender: Sender
  type: string
  text: string | null
  attachments: Attachment[]
  channel: Channel | null
  language: string | null
  intent: string | null
  confidence: number | null
  agent_id: string | null
  agent_name: string | null
  queue: string | null
  attributes: Record<string, string>
}

/** Something that happened, in a session or beside one. */
export interface Event {
  event_key: string
  session_key: string | null
  vendor: string
  account: string
  bot_id: string
  session_id: string | null
  event_id: string
  connector: string
  revision: number
  observed_at: number
  occurred_at: number
  occurred_at_estimated: boolean
  type: EventType
  name: string
  channel: Channel | null
  language: string | null
  user_id: string | null
  attributes: Record<string, string>
}

/** What one commit of a source partition read, and up to where everything has been read. The newest record of a key tells the state of its source partition. */
export interface Progress {
  connector: string
  stream: string
  scope: string
  vendor: string
  account: string
  bot_id: string | null
  lane: Lane
  window_from: number
  window_until: number
  complete_until: number
  pages: number
  rows: number
  emitted: number
  unchanged: number
  rejected: number
  newest_at: number | null
  committed_at: number
  through: TopicOffset[]
  covered: TimeRange[]
  feeds: string[]
  source_partitions: number | null
}

/** One minute, hour or day of one series: absolute values, an upsert. Every value counts the newest revisions only. */
export interface SeriesPoint {
  series_key: string
  vendor: string
  account: string
  bot_id: string
  channel: Channel
  language: string
  bucket_start: number
  bucket: string
  revision: number
  complete: boolean
  updated_at: number
  sessions: number
  sessions_self_service: number
  sessions_drop_off: number
  sessions_agent: number
  sessions_unknown: number
  sessions_ended: number
  duration_ms: number
  agent_transfers: number
  messages_user: number
  messages_bot: number
  messages_agent: number
  messages_other: number
  events: number
  duration_sketch: Buffer | null
  users_sketch: Buffer | null
}

/** A spike or a gap that people should look at, an upsert by alert_id. */
export interface Alert {
  alert_id: string
  rule: string
  state: AlertState
  vendor: string
  account: string
  bot_id: string
  channel: Channel | null
  language: string | null
  starts_at: number
  ends_at: number | null
  observed: number
  expected: number
  probability: number | null
  evidence: Record<string, string>
  updated_at: number
}

/** A label that the vendor or its users put on a session. */
export interface Tag {
  name: string
  value: string | null
  scope: string | null
}

/** A file beside the text of a message. */
export interface Attachment {
  kind: string
  url: string
  caption: string | null
}

/** A place on a topic. */
export interface TopicOffset {
  topic: string
  partition: number
  offset: number
}

/** A half-open range of time. */
export interface TimeRange {
  from: number
  until: number
}
