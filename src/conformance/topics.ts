/** The content of the in-memory topics, and its comparison with the expected one. */
import assert from 'node:assert/strict'
import { decoderFor, encoderFor } from '../kafka/codec.ts'
import { type Event, type Message, type Progress, SENDERS, type Session, SESSION_STATUSES } from '../records.ts'
import { type SchemaName, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import type { MemoryKafka } from './memory-kafka.ts'
import type { Truth } from './subject.ts'

const SCHEMAS = ['session', 'message', 'event', 'progress'] as const

/** Registers our schemas under numbers of its own. */
export const memoryRegistry = {
  register: async (_subject: string, text: string) => SCHEMAS.findIndex(name => schemaText(name) === text) + 1,
  schemaById: async (id: number) => schemaText(SCHEMAS[id - 1] ?? 'session'),
}

export const memoryEncoder = <T extends object>(name: (typeof SCHEMAS)[number]) =>
  encoderFor<T>(schemaText(name), SCHEMAS.indexOf(name) + 1)

export interface Read<T> {
  readonly partition: number
  readonly offset: number
  readonly key: string
  /** null: withdrawn. */
  readonly value: T | null
}

/** With its time of writing, epoch milliseconds, by the clock of the suite. */
export interface Written<T> extends Read<T> {
  readonly writtenMs: number
}

/** What was read from topics in memory. */
export interface WrittenTopics extends Topics {
  readonly sessions: readonly Written<Session>[]
  readonly messages: readonly Written<Message>[]
  readonly events: readonly Written<Event>[]
}

export interface Topics {
  readonly sessions: readonly Read<Session>[]
  readonly messages: readonly Read<Message>[]
  readonly events: readonly Read<Event>[]
  readonly rejects: readonly RejectRead[]
}

export interface RejectRead {
  readonly stream: string
  readonly path: string
  readonly reason: string
  readonly message: string
}

const decoders = {
  session: decoderFor<Session>(memoryRegistry, schemaText('session')),
  message: decoderFor<Message>(memoryRegistry, schemaText('message')),
  event: decoderFor<Event>(memoryRegistry, schemaText('event')),
  progress: decoderFor<Progress>(memoryRegistry, schemaText('progress')),
} satisfies Partial<Record<SchemaName, unknown>>

export async function decodeProgress(value: Buffer): Promise<Progress> {
  await decoders.progress.prepare([value])
  return decoders.progress.decode(value)
}

/** Everything committed, in offset order of each partition. */
export async function readTopics(kafka: MemoryKafka, names: TopicNames): Promise<WrittenTopics> {
  return {
    sessions: await read<Session>(kafka, names.sessions, decoders.session),
    messages: await read<Message>(kafka, names.messages, decoders.message),
    events: await read<Event>(kafka, names.events, decoders.event),
    rejects: kafka.committed(names.rejects).map(({ headers }) => {
      const header = (name: string) => String(headers[name] ?? '')
      return {
        stream: header('__colloquy.stream'),
        path: header('__colloquy.path'),
        reason: header('__colloquy.reason'),
        message: header('__connect.errors.exception.message'),
      }
    }),
  }
}

async function read<T>(
  kafka: MemoryKafka,
  topic: string,
  decoder: (typeof decoders)[keyof typeof decoders],
): Promise<Written<T>[]> {
  const records = kafka.committed(topic)
  await decoder.prepare(records.map(({ value }) => value))
  return records.map(({ partition, offset, timestamp, key, value }) => ({
    partition,
    offset,
    key: String(key),
    writtenMs: timestamp,
    value: value === null ? null : (decoder.decode(value) as T),
  }))
}

/** Of each key the newest revision that is not withdrawn. */
export function newest<T>(records: readonly Read<T>[], keyOf: (record: T) => string): T[] {
  const held = new Map<string, T>()
  for (const { key, value } of records) {
    if (value === null) held.delete(key)
    else held.set(keyOf(value), value)
  }
  return [...held.values()]
}

const sessionKey = (record: Session) => record.session_key
const messageKey = (record: Message) => record.message_key
const eventKey = (record: Event) => record.event_key

/** Invariants of the topics of any vendor at any time: revisions 1, 2, 3 … of each key, none with the same content as the one before. */
export function assertSound({ sessions, messages, events }: Topics): void {
  revisionsRise('session', sessions, sessionKey)
  revisionsRise('message', messages, messageKey)
  revisionsRise('event', events, eventKey)
  for (const { value } of sessions)
    if (value) assert(SESSION_STATUSES.includes(value.status), `session ${value.session_key} has status ${value.status}`)
  for (const { value } of messages)
    if (value) assert(SENDERS.includes(value.sender), `message ${value.message_key} has sender ${value.sender}`)
}

function revisionsRise<T extends { revision: number }>(
  kind: string,
  records: readonly Read<T>[],
  keyOf: (record: T) => string,
): void {
  const before = new Map<string, T>()
  for (const { value } of records) {
    if (value === null) continue
    const key = keyOf(value)
    const last = before.get(key)
    assert.equal(
      value.revision,
      (last?.revision ?? 0) + 1,
      `${kind} ${key}: revision ${value.revision} after ${last?.revision ?? 'none'}`,
    )
    assert(last === undefined || said(last) !== said(value), `${kind} ${key} is published twice with the same content`)
    before.set(key, value)
  }
}

/** Everything but when and how often it was published. */
export function said(record: object): string {
  const { revision: _, observed_at: __, ...content } = record as Record<string, unknown>
  return canonical(content)
}

/** Throws when the topics differ from the truth, each entry once. */
export function assertTrue(topics: Topics, truth: Truth): void {
  same('sessions', truth.sessions, newest(topics.sessions, sessionKey))
  same('messages', truth.messages, newest(topics.messages, messageKey))
  same('events', truth.events, newest(topics.events, eventKey))
}

const MOST_SHOWN = 3

function same<T extends object>(kind: string, expected: readonly Partial<T>[], found: readonly T[]): void {
  const { missing, extra } = differences(kind, expected, found)
  if (missing.length === 0 && extra.length === 0) return
  const some = (list: readonly string[]) => list.toSorted().slice(0, MOST_SHOWN).join('\n    ')
  assert.fail(
    `of ${expected.length} ${kind} ${missing.length} are missing, ${extra.length} of ${found.length} are too many\n  missing:\n    ${some(missing)}\n  too many:\n    ${some(extra)}`,
  )
}

/** What is expected and not found, and what is found and not expected, as text; only the fields of the expected records are compared. */
export function differences<T extends object>(
  kind: string,
  expected: readonly Partial<T>[],
  found: readonly T[],
): { readonly missing: readonly string[]; readonly extra: readonly string[] } {
  const fields = Object.keys(expected[0] ?? {}) as (keyof T)[]
  for (const entry of expected)
    assert.deepEqual(
      Object.keys(entry).toSorted(),
      fields.map(String).toSorted(),
      `the truth's ${kind} do not all have the same fields`,
    )
  const words = (entry: Partial<T>) =>
    `{${fields.map(field => `"${String(field)}":${typeof entry[field] === 'object' ? canonical(entry[field]) : JSON.stringify(entry[field])}`).join()}}`
  const open = new Map<string, number>()
  for (const entry of expected) open.set(words(entry), (open.get(words(entry)) ?? 0) + 1)
  const extra: string[] = []
  for (const record of found) {
    const word = words(record)
    const left = open.get(word) ?? 0
    if (left === 0) extra.push(fields.length === 0 ? canonical(record) : word)
    else open.set(word, left - 1)
  }
  return { missing: [...open].flatMap(([word, left]) => Array.from({ length: left }, () => word)), extra }
}

/** JSON with the names of every object in order. */
export function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_name, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? 'null'
  )
}
