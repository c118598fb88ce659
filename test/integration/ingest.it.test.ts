/**
 * Ingest on a real Kafka: one source partition of a tiny connector, stopped at every boundary between stages, and what then stands on the topics
 * for a read-committed reader.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { Boundary, Fault } from '../../src/ingest/commit.ts'
import { cursorKey, readCursor } from '../../src/ingest/cursor.ts'
import { type Ingest, startIngest } from '../../src/ingest/start.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { type Decoder, decoderFor } from '../../src/kafka/codec.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka, ReadRecord } from '../../src/kafka/port.ts'
import { connectRegistry, type Registry } from '../../src/kafka/registry.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { botKey, type Event, type Message, type Progress, type Session } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { topicNames, topicSpecs } from '../../src/topics.ts'
import { draw } from '../ingest/random.ts'
import { rowAt, tinyConnector, type TinySession, type TinyVendor } from '../ingest/tiny.ts'
import { base } from '../ingest/world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const PARTITIONS = 3

let kafka: Kafka
let registry: Registry

beforeAll(() => {
  const stack = inject('stack')
  kafka = connectKafka({ brokers: [stack.brokers], clientId: 'ingest-test', log: silentLog })
  registry = connectRegistry({ url: stack.registry, log: silentLog })
})
/** Of processes that were held: their end takes as long as their patience. */
const endings: Promise<void>[] = []

afterAll(async () => {
  await Promise.all(endings)
  await kafka.close()
})

/** A vendor with conversations of the last hours, and topics of its own to read it into. */
async function place(sessions = conversations(120)) {
  const names = topicNames(`it-${randomUUID().slice(0, 8)}`)
  const prefix = names.sessions.slice(0, -'.sessions'.length)
  await kafka.ensureTopics(topicSpecs({ prefix, partitions: PARTITIONS, replicationFactor: 1, longestLookbackMs: HOUR }), {
    create: true,
  })
  const vendor: TinyVendor = {
    sessions,
    clock: systemClock,
    luck: draw(1),
    pageRows: 25,
    failing: 0,
    longestMs: Infinity,
    reads: 0,
  }
  const connector = tinyConnector(vendor, {
    longestMs: 3 * HOUR,
    lagMs: 0,
    lookbackMs: 2 * HOUR,
    lookbackIntervalMs: 100,
    pollIntervalMs: 50,
    smallestMs: 1,
    durableResume: true,
  })
  const startAtMs = Date.now() - 13 * HOUR

  async function start(fault?: Fault): Promise<Ingest & { stop(): Promise<void> }> {
    const controller = new AbortController()
    const ingest = await startIngest({
      kafka,
      registry,
      names,
      partitions: PARTITIONS,
      connectors: [{ name: 'acme-tiny', connector, base: { ...base, startAtMs }, config: {} }],
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics({ processMetrics: false }),
      signal: controller.signal,
      ...(fault ? { fault } : {}),
    })
    return {
      ...ingest,
      async stop() {
        controller.abort()
        await ingest.done
      },
    }
  }

  async function records(topic: string): Promise<(ReadRecord & { partition: number })[]> {
    const all: (ReadRecord & { partition: number })[] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await kafka.readToEnd({ topic, partition }, ({ key, value, ...rest }) =>
        all.push({ ...rest, partition, key: key && Buffer.from(key), value: value && Buffer.from(value) }),
      )
    }
    return all
  }
  async function decoded<T>(topic: string, decoder: Decoder<T>): Promise<{ partition: number; value: T }[]> {
    const raw = await records(topic)
    await decoder.prepare(raw.map(({ value }) => value))
    return raw.map(({ partition, value }) => ({ partition, value: decoder.decode(value as Buffer) }))
  }
  const topics = async () => ({
    sessions: await decoded(names.sessions, decoderFor<Session>(registry, schemaText('session'))),
    messages: await decoded(names.messages, decoderFor<Message>(registry, schemaText('message'))),
    events: await decoded(names.events, decoderFor<Event>(registry, schemaText('event'))),
    progress: await decoded(names.progress, decoderFor<Progress>(registry, schemaText('progress'))),
    rejects: await records(names.rejects),
    offsets: await records(names.offsets),
  })
  return { names, vendor, start, topics }
}

function conversations(count: number): TinySession[] {
  const luck = draw(count)
  const nowMs = Date.now()
  return Array.from({ length: count }, (_, index) => {
    const startMs = nowMs - 12 * HOUR + Math.floor((index * 12 * HOUR) / count) + 1
    return {
      id: `s${index}`,
      bot: `bot${luck.between(1, 5)}`,
      startMs,
      messageTimes: Array.from({ length: luck.between(1, 6) }, (_, of) => Math.min(startMs + of * 1000, nowMs - 1)),
      closesMs: startMs,
      shownMs: 0,
    }
  })
}

type Topics = Awaited<ReturnType<Awaited<ReturnType<typeof place>>['topics']>>

/** Every session, message and event of the vendor, none missing, none twice, each bot on one partition. */
function expectExactlyOnce(topics: Topics, sessions: readonly TinySession[]): void {
  expect(topics.sessions.map(({ value }) => value.session_id).sort()).toEqual(sessions.map(({ id }) => id).sort())
  const wanted = sessions.flatMap(of => rowAt(of, Date.now()).messages.map(({ id }) => `tiny:acme:${of.id}/${id}`))
  expect(topics.messages.map(({ value }) => value.message_key).sort()).toEqual(wanted.sort())
  expect(topics.events.map(({ value }) => String(value.session_id)).sort()).toEqual(sessions.map(({ id }) => id).sort())
  for (const { partition, value } of [...topics.sessions, ...topics.messages, ...topics.events]) {
    expect(value.revision).toBe(1)
    expect(partition).toBe(partitionOf(botKey(value), PARTITIONS))
  }
}

async function until(holds: () => boolean, withinMs = 30_000): Promise<void> {
  const untilMs = Date.now() + withinMs
  while (!holds()) {
    if (Date.now() > untilMs) throw new Error('it did not happen in time')
    await systemClock.sleep(10)
  }
}

const isLive = (ingest: Ingest) => () => ingest.states().every(({ state }) => state === 'live')

describe.each<Boundary>(['restored', 'read', 'decoded', 'published', 'written', 'progressed', 'committed'])(
  'a process that is killed at the boundary %s',
  at => {
    test('leaves all or nothing of a page, and the next one ends with each record exactly once', async () => {
      const { start, topics, vendor } = await place()
      const held = Promise.withResolvers<void>()
      let passed = 0
      const first = await start(boundary => {
        if (boundary !== at || (passed++ < 2 && at !== 'restored')) return undefined
        held.resolve()
        return new Promise(() => {})
      })
      await held.promise
      const second = await start()
      await until(isLive(second))
      await second.stop()
      const found = await topics()
      expect(found.rejects).toEqual([])
      expectExactlyOnce(found, vendor.sessions)
      endings.push(first.stop())
    })
  },
)

test('of two processes with one source partition the older is fenced, follows the newer, and goes on when that one has ended', async () => {
  const { start, topics, vendor } = await place(conversations(30))
  const older = await start()
  await until(isLive(older))
  const newer = await start()
  await until(isLive(newer))
  await until(() => older.states().every(({ state, error }) => state === 'paused' && error?.code === 'KAFKA_FENCED'))
  // Nobody of the older process reads it any more: it is not ready, and says so.
  expect(older.ready()).toEqual({
    ok: false,
    why: [expect.stringContaining('another process has taken this source partition over')],
  })
  expect(newer.ready()).toEqual({ ok: true, why: [] })
  expect(newer.states()).toMatchObject([{ state: 'live', error: null }])
  await newer.stop()
  await until(isLive(older))
  expect(older.ready()).toEqual({ ok: true, why: [] })
  const readsBefore = vendor.reads
  await until(() => vendor.reads > readsBefore + 3)
  await older.stop()
  expectExactlyOnce(await topics(), vendor.sessions)
})

test('a row that changes is revision 1, 2, 3 of its session; what did not change is not published again, over restarts too', async () => {
  const [still, growing] = conversations(2).map(of => ({ ...of, startMs: Date.now() - HOUR, messageTimes: [Date.now() - HOUR] }))
  if (!still || !growing) throw new Error('two conversations')
  const { start, topics, vendor } = await place([still, growing])
  for (const more of [0, 1, 2]) {
    vendor.sessions[1] = { ...growing, messageTimes: Array.from({ length: 1 + more }, (_, of) => growing.startMs + of) }
    const life = await start()
    await until(isLive(life))
    const readsMs = vendor.reads
    await until(() => vendor.reads > readsMs + 20)
    await life.stop()
  }
  const { sessions, messages } = await topics()
  const of = (id: string) => sessions.filter(({ value }) => value.session_id === id).map(({ value }) => value.revision)
  expect(of(growing.id)).toEqual([1, 2, 3])
  expect(of(still.id)).toEqual([1])
  expect(messages.filter(({ value }) => value.session_id === growing.id).map(({ value }) => value.message_id)).toEqual([
    'm0',
    'm1',
    'm2',
  ])
})

test('a cursor that is taken away is begun anew: inside the lookback nothing is published again, behind it with the second as revision', async () => {
  const { start, topics, vendor, names } = await place(conversations(24))
  const before = await start()
  await until(isLive(before))
  await before.stop()
  const key = cursorKey({ connector: 'acme-tiny', stream: 'sessions', scope: 'acme' })
  const writer = kafka.openWriter({ transactionalId: randomUUID() })
  await writer.fence()
  await writer.transact(tx =>
    tx.write([
      { topic: names.offsets, partition: partitionOf(key, PARTITIONS), records: [{ key: Buffer.from(key), value: null }] },
    ]),
  )
  await writer.close()
  const resetMs = Date.now()
  const after = await start()
  await until(isLive(after))
  await after.stop()

  const { sessions, messages } = await topics()
  for (const { id, startMs } of vendor.sessions) {
    const revisions = sessions.filter(({ value }) => value.session_id === id).map(({ value }) => value.revision)
    if (startMs > resetMs - 2 * HOUR) expect(revisions).toEqual([1])
    // A row is remembered by the end of the window it was read in, so some from behind the lookback are remembered still.
    if (startMs < resetMs - 4 * HOUR - 5 * MINUTE) {
      expect(revisions).toEqual([1, expect.any(Number)])
      expect(revisions[1]).toBeGreaterThanOrEqual(Math.floor(resetMs / 1000))
    }
  }
  const first = messages.filter(({ value }) => value.revision === 1).map(({ value }) => value.message_key)
  expect(new Set(first).size, 'a message counts once, at its revision 1').toBe(first.length)
})

test('progress tells what was read, how far, and behind which offsets; the cursor stands in Kafka Connect layout', async () => {
  const { start, topics, vendor, names } = await place(conversations(40))
  const life = await start()
  await until(isLive(life))
  await life.stop()
  const { progress, offsets, sessions, messages, events } = await topics()
  const sum = (of: (each: Progress) => number) => progress.reduce((total, { value }) => total + of(value), 0)
  expect(sum(of => of.emitted)).toBe(sessions.length + messages.length + events.length)
  const [first] = progress
  expect(first?.value, 'the stream is known before anything was read').toMatchObject({ emitted: 0, rows: 0, lane: 'live' })
  const last = progress.at(-1)?.value
  expect(last?.complete_until).toBe(last?.covered.at(-1)?.until)
  expect(last?.covered).toHaveLength(1)
  const withRecords = progress.map(({ value }) => value).filter(({ emitted }) => emitted > 0)
  for (const { through } of withRecords) expect(through.map(({ topic }) => topic)).toContain(names.sessions)
  const ends = new Map<string, number>()
  for (const { value } of progress)
    for (const { topic, partition, offset } of value.through) ends.set(`${topic}/${partition}`, offset)
  const isCovered = offsets.every(({ offset, partition }) => offset <= (ends.get(`${names.offsets}/${partition}`) ?? -1))
  expect(isCovered).toBe(true)
  const newest = offsets.at(-1)
  expect(String(newest?.key)).toBe('["acme-tiny",{"stream":"sessions","scope":"acme"}]')
  expect(readCursor(String(newest?.value), 0).live.atMs).toBe(last?.complete_until)
  expect(vendor.sessions).toHaveLength(40)
})
