/**
 * What the sessions behind an alert have in common: the queues, flows, intents and topics that are more frequent among them than among those of the day before,
 * and some of them as examples. Read from the session and event topics when an alert is raised, and only then.
 */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { type Decoder, decoderFor } from '../kafka/codec.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka, ReadRecord, TopicPartition } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import { type Alert, botKey, type Event, type Measure, OTHER, type Session } from '../records.ts'
import type { Rule } from '../rules.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import { linkOf } from './words.ts'

/** What the incident is compared with: so long before it. */
const BEFORE_MS = 24 * 3_600_000
/** Records of one partition that are looked at; of more, the newest. */
const MOST_RECORDS = 100_000
/** An alert does not wait longer for its evidence. */
const LONGEST_MS = 10_000
const EXAMPLES = 5
/** Of each kind, the features that stand out most. */
const FEATURES = 3
/** A feature that fewer sessions have is chance. */
const LEAST_SESSIONS = 2

const SESSION_FIELDS = [
  'session_key',
  'vendor',
  'account',
  'bot_id',
  'channel',
  'language',
  'started_at',
  'ended_at',
  'transferred_at',
  'containment',
  'queue',
  'topics',
] as const
const EVENT_FIELDS = ['session_key', 'type', 'name'] as const

export type SessionSeen = Pick<Session, (typeof SESSION_FIELDS)[number]>
export type EventSeen = Pick<Event, (typeof EVENT_FIELDS)[number]>

export interface EvidenceParts {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  readonly rules: readonly Rule[]
  /** The address of this product, for links. */
  readonly baseUrl: string
  readonly clock: Clock
  readonly log: Log
}

/** For `AlerterParts.enrich`. */
export function createEvidence(
  parts: EvidenceParts,
): (alerts: readonly Alert[], signal: AbortSignal) => Promise<readonly Alert[]> {
  const measures = new Map(parts.rules.map(({ name, measure }) => [name, measure]))
  const sessions = decoderFor<SessionSeen>(parts.registry, narrowSchema(schemaText('session'), SESSION_FIELDS))
  const events = decoderFor<EventSeen>(parts.registry, narrowSchema(schemaText('event'), EVENT_FIELDS))

  return async (alerts, signal) => {
    const linked = alerts.map(alert => withEvidence(alert, { link: linkOf(alert, parts.baseUrl) }))
    const asked = alerts.filter(alert => isOfSessions(measures.get(alert.rule)))
    if (asked.length === 0) return linked
    const limit = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)])
    try {
      const seen = await look(parts, { sessions, events }, asked, limit)
      return linked.map(alert => {
        const measure = measures.get(alert.rule)
        return isOfSessions(measure) ? withEvidence(alert, commonOf(alert, measure, seen)) : alert
      })
    } catch (thrown) {
      if (!signal.aborted) parts.log.warn(errorFields(asFlowError(thrown)), 'sessions behind an alert could not be read')
      return linked
    }
  }
}

const withEvidence = (alert: Alert, more: Record<string, string>): Alert => ({
  ...alert,
  evidence: { ...alert.evidence, ...more },
})

type SessionMeasure = Extract<Measure, 'agent_transfers' | `sessions${string}`>

function isOfSessions(measure: Measure | undefined): measure is SessionMeasure {
  return measure === 'agent_transfers' || measure?.startsWith('sessions') === true
}

export interface Seen {
  /** The newest of each session. */
  readonly sessions: ReadonlyMap<string, SessionSeen>
  readonly events: readonly EventSeen[]
}

async function look(
  { kafka, names, partitions }: EvidenceParts,
  decoders: { sessions: Decoder<SessionSeen>; events: Decoder<EventSeen> },
  alerts: readonly Alert[],
  signal: AbortSignal,
): Promise<Seen> {
  const numbers = alerts.some(({ bot_id }) => bot_id === '')
    ? Array.from({ length: partitions }, (_, number) => number)
    : [...new Set(alerts.map(alert => partitionOf(botKey(alert), partitions)))]
  const startMs = Math.min(...alerts.map(({ starts_at }) => starts_at)) - BEFORE_MS
  const sessions = new Map<string, SessionSeen>()
  const events: EventSeen[] = []
  await each(names.sessions, decoders.sessions, session => sessions.set(session.session_key, session))
  await each(names.events, decoders.events, event => events.push(event))
  return { sessions, events }

  async function each<T>(topic: string, decoder: Decoder<T>, take: (record: T) => void): Promise<void> {
    const places = numbers.map(partition => ({ topic, partition }))
    for (const place of await beginnings(kafka, places, startMs)) {
      const records: ReadRecord[] = []
      await kafka.readToEnd(place, record => records.push(record), signal)
      await decoder.prepare(records.map(({ value }) => value))
      for (const { value } of records) {
        if (value === null) continue
        try {
          take(decoder.decode(value))
        } catch {
          // The aggregator says so of the same record.
        }
      }
    }
  }
}

/** Where to begin in each partition; those where nothing was written since are left out. */
async function beginnings(kafka: Kafka, places: readonly TopicPartition[], startMs: number) {
  const [starts, ends] = await Promise.all([kafka.offsetsAt(places, startMs), kafka.watermarks(places)])
  return starts.flatMap(({ offset, ...place }) => {
    const high = ends.find(end => end.partition === place.partition)?.high ?? 0
    return offset === null || offset >= high ? [] : [{ ...place, from: Math.max(offset, high - MOST_RECORDS) }]
  })
}

/** What the sessions of the alert have in common, as entries of its evidence. */
export function commonOf(alert: Alert, measure: SessionMeasure, { sessions, events }: Seen): Record<string, string> {
  const untilMs = alert.ends_at ?? Math.max(alert.updated_at, alert.starts_at + 1)
  const during: SessionSeen[] = []
  const before = new Set<string>()
  for (const session of sessions.values()) {
    const atMs = isOf(alert, session) ? timeOf(session, measure) : null
    if (atMs === null) continue
    if (atMs >= alert.starts_at && atMs < untilMs) during.push(session)
    else if (atMs >= alert.starts_at - BEFORE_MS && atMs < alert.starts_at) before.add(session.session_key)
  }
  if (during.length === 0) return {}
  const keys = new Set(during.map(({ session_key }) => session_key))
  const features = { queues: new Counts(), flows: new Counts(), intents: new Counts(), topics: new Counts() }
  const add = (kind: keyof typeof features, name: string | null, key: string) => {
    if (name === null || name === '') return
    if (keys.has(key)) features[kind].add(name, key, 'during')
    else if (before.has(key)) features[kind].add(name, key, 'before')
  }
  for (const { session_key, queue, topics } of sessions.values()) {
    add('queues', queue, session_key)
    for (const topic of topics) add('topics', topic, session_key)
  }
  for (const { session_key, type, name } of events) {
    if (session_key === null) continue
    if (type === 'flow_transition') add('flows', name, session_key)
    else if (type === 'intent_matched') add('intents', name, session_key)
    else if (type === 'intent_missed') add('intents', 'none matched', session_key)
  }
  const examples = during
    .toSorted((a, b) => (timeOf(b, measure) ?? 0) - (timeOf(a, measure) ?? 0) || (a.session_key < b.session_key ? -1 : 1))
    .slice(0, EXAMPLES)
    .map(({ session_key }) => session_key)
  const found = Object.entries(features).map(([kind, counts]) => [kind, counts.told(keys.size, before.size)] as const)
  return {
    ...Object.fromEntries(found.filter(([, words]) => words !== '')),
    example_sessions: examples.join(', '),
  }
}

function isOf({ vendor, account, bot_id, channel, language }: Alert, session: SessionSeen): boolean {
  return (
    session.vendor === vendor &&
    (account === '' || session.account === account) &&
    (bot_id === '' || session.bot_id === bot_id) &&
    (channel === null || session.channel === channel) &&
    // Which languages are without a series of their own, sessions do not say.
    (language === null || language === OTHER || (session.language ?? '') === language)
  )
}

const CONTAINED: Readonly<Partial<Record<Measure, string>>> = {
  sessions_self_service: 'SELF_SERVICE',
  sessions_drop_off: 'DROP_OFF',
  sessions_agent: 'AGENT',
  sessions_unknown: 'UNKNOWN',
}

/** When the session counts in the measure; null: it does not. */
function timeOf({ started_at, ended_at, transferred_at, containment }: SessionSeen, measure: SessionMeasure): number | null {
  if (measure === 'agent_transfers')
    return transferred_at === null && containment !== 'AGENT' ? null : (transferred_at ?? ended_at ?? started_at)
  if (measure === 'sessions_ended') return ended_at
  const wanted = CONTAINED[measure]
  return wanted === undefined || wanted === containment ? started_at : null
}

/** How many sessions have a feature, each session once. */
class Counts {
  readonly #of = new Map<string, { during: Set<string>; before: Set<string> }>()

  add(name: string, key: string, when: 'during' | 'before'): void {
    const entry = this.#of.get(name) ?? { during: new Set<string>(), before: new Set<string>() }
    this.#of.set(name, entry)
    entry[when].add(key)
  }

  /** Those whose share has grown most: `billing 62 % of 50 (18 % of 210 before)`. */
  told(during: number, before: number): string {
    return [...this.#of]
      .map(([name, of]) => ({
        name,
        count: of.during.size,
        share: of.during.size / during,
        usual: before === 0 ? 0 : of.before.size / before,
      }))
      .filter(({ count, share, usual }) => count >= LEAST_SESSIONS && share > usual)
      .sort((a, b) => b.share - b.usual - (a.share - a.usual) || b.count - a.count || (a.name < b.name ? -1 : 1))
      .slice(0, FEATURES)
      .map(
        ({ name, share, usual }) =>
          `${name} ${percent(share)} of ${during}${before === 0 ? '' : ` (${percent(usual)} of ${before} before)`}`,
      )
      .join('; ')
  }
}

const percent = (share: number) => `${Math.round(100 * share)} %`
