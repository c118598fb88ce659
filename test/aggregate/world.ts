/** One partition number on topics in memory: a state that is published, restored and read. */
import { expect } from 'vitest'
import { NO_BUDGET } from '../../src/aggregate/budget.ts'
import type { Checkpoint } from '../../src/aggregate/checkpoint.ts'
import { claim, openOwner } from '../../src/aggregate/claim.ts'
import { blankContribution, COUNTS } from '../../src/aggregate/contribution.ts'
import type { Counting } from '../../src/aggregate/decode.ts'
import type { Position } from '../../src/aggregate/offsets.ts'
import { createPublisher } from '../../src/aggregate/publish.ts'
import { readStored, restore } from '../../src/aggregate/restore.ts'
import { type PartitionState, POINT_FIELDS, type RestoredPoint, type Retention } from '../../src/aggregate/state.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { Kafka, ReadRecord, Writer } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import type { Event, Message, SeriesPoint, Session } from '../../src/records.ts'
import { narrowSchema, schemaText } from '../../src/schemas.ts'
import { topicNames } from '../../src/topics.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from './make.ts'
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
  /** Forgets the state and restores it. @param how With `isCompacted`, topics give what a broker keeps of them that has compacted all. */
  restart(
    retention?: Retention,
    how?: { readonly checkpoint?: Checkpoint | undefined; readonly isCompacted?: boolean },
  ): Promise<void>
  /** What the last restart restored the state from. */
  readonly from: 'topics' | 'checkpoint'
  save(checkpoint: Checkpoint): Promise<void>
  /** As a restart without checkpoint would have it; nothing is claimed. */
  restored(): Promise<PartitionState>
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
  let committedMs = START
  let from: 'topics' | 'checkpoint' = 'topics'
  const keepsOf = (keep: Retention) => ({
    retention: keep,
    seriesRetentionMs: Infinity,
    rememberMs: Infinity,
    includeTest: false,
  })

  const restart: World['restart'] = async (keep = retention, { checkpoint, isCompacted = false } = {}) => {
    writer = openOwner(parts, 0)
    const opened = (await checkpoint?.open()) ?? null
    const stored = await claim(parts, 0, writer, signal, opened?.position.at ?? undefined)
    const read = isCompacted ? { ...parts, kafka: compacted(kafka, nowMs) } : parts
    // Sessions that are gone from their topic are another test's.
    const restored = await restore({ ...read, keeps: keepsOf(keep) }, 0, { ...stored, writtenMs: nowMs }, nowMs, signal, opened)
    await opened?.close()
    committedMs = stored.writtenMs
    from = restored.checkpoint === null ? 'topics' : 'checkpoint'
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
    get from() {
      return from
    },
    async save(checkpoint) {
      expect(await checkpoint.write(state, position, committedMs)).toBe(true)
    },
    async restored() {
      const stored = await readStored(parts, 0, signal)
      const whole = await restore({ ...parts, keeps: keepsOf(retention) }, 0, { ...stored, writtenMs: nowMs }, nowMs, signal)
      return whole.state
    },

    async batch(steps, rollUp = Infinity) {
      state.setTime({ clockMs: nowMs, publishedMs: nowMs })
      for (const step of steps) apply(state, step, nowMs)
      state.rollUp(rollUp)
      const next = { ...position, inputs: new Map([[names.sessions, done() + steps.length]]) }
      position = await publisher.publish(writer, state, next, marks)
      committedMs = nowMs
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

/** What a broker still has that has compacted all of its topics: the newest record of each key, and no null that is older than a day. */
function compacted(kafka: MemoryKafka, nowMs: number): Kafka {
  const isKept = (topic: string) => {
    const newest = kafka.newest(topic)
    return ({ key, value, offset, timestamp }: ReadRecord) =>
      newest.get(String(key))?.offset === offset && (value !== null || nowMs - timestamp <= DAY_MS)
  }
  return {
    ...kafka,
    readToEnd: async (place, onRecord, aborted) => {
      const keeps = isKept(place.topic)
      return kafka.readToEnd(place, record => keeps(record) && onRecord(record), aborted)
    },
    async *tail(...parameters: Parameters<Kafka['tail']>) {
      for await (const chunks of kafka.tail(...parameters))
        yield chunks.map(chunk => ({ ...chunk, records: chunk.records.filter(isKept(chunk.topic)) }))
    },
  } as Partial<Kafka> as Kafka
}

/** What a state holds, in a form that does not depend on the order in which it came: what cannot count any more is left out, and what is for counters of
 * Prometheus alone: whether a transfer was told is remembered across withdrawals, for as long as memory or compaction does. */
export function contentOf(state: PartitionState, retention: Retention = SHORT): Record<string, unknown> {
  const { cells, sessions, counted, series } = state
  const first = Math.floor(((state.timeMs ?? 0) - retention.daysMs) / DAY_MS) * 1_440
  const content: Record<string, unknown> = { timeMs: state.timeMs, due: state.due }
  cells.each(cell => {
    const counts = Array.from({ length: COUNTS }, (_, count) => cells.count(cell, count))
    content[`${series.get(cells.seriesOf(cell)).key}@${cells.bucketOf(cell)}`] = [
      cells.revision(cell),
      ...counts,
      cells.durationMs(cell),
      state.sketches.durations(cell)?.toString('hex'),
      state.sketches.users(cell)?.toString('hex'),
    ]
  })
  const [hashes] = sessions.columns().columns as [Int32Array]
  for (let session = 0; session < sessions.size; session++) {
    const { revision, series: of, ...counts } = sessions.read(session, blankContribution())
    if (revision === 0 || Math.max(counts.started, counts.ended, counts.transfer) < first) continue
    content[hashes.subarray(session * 4, session * 4 + 4).join()] = [series.get(of).key, counts]
  }
  const keys = counted.columns()
  content['keys'] = [keys.firstChunk, ...keys.columns.map(column => column.join())]
  return content
}

/** Ages of what comes in: most of it of just now, some of hours and days ago. */
function ageMs(r: Random): number {
  if (r.chance(0.5)) return r.int(3 * HOUR_MS)
  return r.chance(0.6) ? r.int(4 * DAY_MS) : r.int(13 * DAY_MS)
}

/** Anything of a history with late revisions, moves and withdrawals. @param revisions Of the sessions that have been; noted here. */
export function randomStep(r: Random, n: number, nowMs: number, revisions: Map<string, number>): Step {
  const atMs = nowMs - ageMs(r)
  const few = { channel: 'web' as const, language: r.pick(['en', null]) }
  const roll = r.int(10)
  if (roll < 6) {
    // Revisions of old sessions come late, and move them across borders.
    const id = `s${r.int(40)}`
    const revision = (revisions.get(id) ?? 0) + 1
    revisions.set(id, revision)
    const record = { ...makeSession(r, id, revision, atMs, 1), ...few, observed_at: nowMs }
    if (r.chance(0.12)) return { kind: 'withdrawal', key: record.session_key }
    return { kind: 'session', record: { ...record, ended_at: record.ended_at && record.ended_at + r.pick([0, 0, DAY_MS]) } }
  }
  const bot_id = `bot-${r.int(2)}`
  if (roll < 8) return { kind: 'message', record: { ...makeMessage(r, `${n}`, atMs, 1), ...few, bot_id, observed_at: nowMs } }
  return { kind: 'event', record: { ...makeEvent(r, `${n}`, atMs, 1), ...few, bot_id, observed_at: nowMs } }
}
