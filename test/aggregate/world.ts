/** One partition number on topics in memory: a state that is published, restored and read. */
import { NO_BUDGET } from '../../src/aggregate/budget.ts'
import { claim, openOwner } from '../../src/aggregate/claim.ts'
import type { Counting } from '../../src/aggregate/decode.ts'
import type { Position } from '../../src/aggregate/offsets.ts'
import { createPublisher } from '../../src/aggregate/publish.ts'
import { restore } from '../../src/aggregate/restore.ts'
import { type PartitionState, POINT_FIELDS, type RestoredPoint, type Retention } from '../../src/aggregate/state.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { Kafka, Writer } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import type { Event, Message, SeriesPoint, Session } from '../../src/records.ts'
import { narrowSchema, schemaText } from '../../src/schemas.ts'
import { topicNames } from '../../src/topics.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { makeEvent, makeSession, random } from './make.ts'
import { recount, type Table } from './recount.ts'
import { createSeriesReader, type SeriesReader } from './series-reader.ts'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS
export const START = Date.parse('2026-11-01T09:30:00Z')
export const names = topicNames('tiers')
export const pointSchema = schemaText('series-point')
const registry = { schemaById: async () => pointSchema }
export const decoder = decoderFor<SeriesPoint>(registry, pointSchema)
const NO_COUNTING: Counting = { apply: async () => 0, note: async () => 0 }
export const SHORT: Retention = { minutesMs: 2 * DAY_MS, hoursMs: 5 * DAY_MS, daysMs: 12 * DAY_MS }

export type Step =
  | { readonly kind: 'session'; readonly record: Session }
  | { readonly kind: 'withdrawal'; readonly key: string }
  | { readonly kind: 'message'; readonly record: Message }
  | { readonly kind: 'event'; readonly record: Event }

export function apply(state: PartitionState, step: Step, nowMs: number): void {
  if (step.kind === 'session') state.session(Buffer.from(step.record.session_key), step.record)
  else if (step.kind === 'withdrawal') state.session(Buffer.from(step.key), null)
  else if (step.kind === 'message') state.message(step.record, nowMs)
  else state.event(step.record, nowMs)
}

/** One partition number with its topics, and a reader of its series. */
export interface World {
  readonly kafka: MemoryKafka
  readonly state: PartitionState
  nowMs: number
  readonly reader: SeriesReader
  /** Steps that have been committed. */
  readonly done: number
  /** Forgets the state and restores it. */
  restart(retention?: Retention): Promise<void>
  /** A transaction with so many more steps. */
  batch(steps: readonly Step[], rollUp?: number): Promise<void>
  /** The reader takes what was committed since it was last called. @param onRecord Is called after each record. */
  read(onRecord?: () => void): Promise<void>
  /** Keys and values of the series topic, the newest of each key; null: withdrawn. */
  newest(): Promise<Map<string, SeriesPoint | null>>
}

export async function world(retention: Retention = SHORT): Promise<World> {
  let nowMs = START
  const kafka = memoryKafka(() => nowMs)
  const parts = {
    kafka: kafka as unknown as Kafka,
    names,
    groupId: 'g',
    budgetOf: () => NO_BUDGET,
    points: decoderFor<RestoredPoint>(registry, narrowSchema(pointSchema, POINT_FIELDS)),
    counting: NO_COUNTING,
    log: silentLog,
  }
  const publisher = createPublisher({
    names,
    partition: 0,
    groupId: 'g',
    encoder: encoderFor<SeriesPoint>(pointSchema, 1),
    clock: { now: () => nowMs, sleep: async () => {} },
  })
  const marks = createWatermarks(() => true)
  const signal = new AbortController().signal
  const reader = createSeriesReader()
  let read = 0
  let writer: Writer
  let state: PartitionState
  let position: Position

  async function restart(keep = retention): Promise<void> {
    writer = openOwner(parts, 0)
    const stored = await claim(parts, 0, writer, signal)
    const keeps = { retention: keep, seriesRetentionMs: Infinity, rememberMs: Infinity, includeTest: false }
    // Sessions that are gone from their topic are another test's.
    const restored = await restore({ ...parts, keeps }, 0, { ...stored, writtenMs: nowMs }, nowMs, signal)
    ;({ state, position } = restored)
  }

  const done = () => position.inputs.get(names.sessions) ?? 0

  await restart()
  return {
    kafka,
    reader,
    get state() {
      return state
    },
    get nowMs() {
      return nowMs
    },
    set nowMs(ms) {
      nowMs = ms
    },
    get done() {
      return done()
    },
    restart,

    async batch(steps, rollUp = Infinity) {
      state.setTime({ clockMs: nowMs, publishedMs: nowMs })
      for (const step of steps) apply(state, step, nowMs)
      state.rollUp(rollUp)
      const next = { ...position, inputs: new Map([[names.sessions, done() + steps.length]]) }
      position = await publisher.publish(writer, state, next, marks)
    },

    async read(onRecord) {
      const records = kafka.committed(names.series)
      await decoder.prepare(records.map(({ value }) => value))
      for (; read < records.length; read++) {
        const { key, value } = records[read] as (typeof records)[number]
        reader.apply(String(key), value && decoder.decode(value))
        onRecord?.()
      }
    },

    async newest() {
      const records = kafka.committed(names.series)
      await decoder.prepare(records.map(({ value }) => value))
      return new Map(records.map(({ key, value }) => [String(key), value && decoder.decode(value)] as const))
    },
  }
}

/** The newest of each session, and the first of each message and event. */
export function expectedOf(steps: readonly Step[]): Table {
  const newest = new Map<string, Session>()
  for (const step of steps) {
    if (step.kind === 'session') newest.set(step.record.session_key, step.record)
    else if (step.kind === 'withdrawal') newest.delete(step.key)
  }
  const of = <K extends 'message' | 'event'>(kind: K) =>
    steps.flatMap(step => (step.kind === kind ? [step.record as Extract<Step, { kind: K }>['record']] : []))
  return recount(newest.values(), of('message'), of('event'))
}

/** Something happens right now, so that time goes on. */
export const tick = (nowMs: number): Step => ({
  kind: 'event',
  record: {
    ...makeEvent(random(1), `tick-${nowMs}`, nowMs, 1),
    channel: 'web',
    language: 'en',
    bot_id: 'bot-0',
    observed_at: nowMs,
  },
})

export const event = (id: string, atMs: number, of: Partial<Event> = {}): Step => ({
  kind: 'event',
  record: {
    ...makeEvent(random(1), id, atMs, 1),
    channel: 'web',
    language: 'en',
    bot_id: 'bot-0',
    observed_at: atMs,
    ...of,
  },
})

export const session = (id: string, revision: number, atMs: number, of: Partial<Session> = {}): Step => ({
  kind: 'session',
  record: {
    ...makeSession(random(1), id, revision, atMs, 1),
    channel: 'web',
    language: 'en',
    bot_id: 'bot-0',
    containment: 'SELF_SERVICE',
    transferred_at: null,
    ended_at: null,
    is_test: null,
    user_id: 'u',
    observed_at: atMs,
    ...of,
  },
})

/** Keys of the series topic from a place on; those of withdrawals in parentheses. */
export const keysFrom = (w: World, from: number) =>
  w.kafka
    .committed(names.series)
    .slice(from)
    .map(({ key, value }) => (value === null ? `(${String(key)})` : String(key)).replace('v|a|bot-0|web|en@2026-', ''))

/** Goes on to a time at which something happens, and counts that. */
export async function goTo(w: World, nowMs: number, rollUp = 0): Promise<void> {
  w.nowMs = nowMs
  await w.batch([tick(nowMs)], rollUp)
}
