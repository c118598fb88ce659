/** How source partitions start on a real Kafka: many at once with one read of each topic partition, and those of an earlier version taken over. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { cursorKey, hasMoved } from '../../src/ingest/cursor.ts'
import { startIngest } from '../../src/ingest/start.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { connectRegistry, type Registry } from '../../src/kafka/registry.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { sourceTransactionalId, topicNames, topicSpecs } from '../../src/topics.ts'
import { base } from '../ingest/world.ts'
import { CONNECTOR, manyScopes, prefill, scopesOf } from '../support/many-scopes.ts'

const PARTITIONS = 3
const DAY_MS = 86_400_000

let kafka: Kafka
let registry: Registry

beforeAll(() => {
  const stack = inject('stack')
  kafka = connectKafka({ brokers: [stack.brokers], clientId: 'start-test', log: silentLog })
  registry = connectRegistry({ url: stack.registry, log: silentLog })
})
afterAll(() => kafka.close())

async function place() {
  const prefix = `it-${randomUUID().slice(0, 8)}`
  await kafka.ensureTopics(topicSpecs({ prefix, partitions: PARTITIONS, replicationFactor: 1, longestLookbackMs: 2 * DAY_MS }), {
    create: true,
  })
  return { prefix, names: topicNames(prefix) }
}

async function start(names: ReturnType<typeof topicNames>, scopes: number, through: Kafka = kafka) {
  const controller = new AbortController()
  const ingest = await startIngest({
    kafka: through,
    registry,
    names,
    partitions: PARTITIONS,
    connectors: [{ name: CONNECTOR, connector: manyScopes(scopes), base, config: {} }],
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    signal: controller.signal,
  })
  const stop = async () => {
    controller.abort()
    await ingest.done
  }
  const untilMs = Date.now() + 60_000
  while (!ingest.ready().ok && Date.now() < untilMs) await systemClock.sleep(5)
  return { ingest, stop }
}

test('200 scopes read each partition of cursors and versions once between them, near its end where that will do', async () => {
  const { names } = await place()
  const polls = 300
  await prefill(kafka, { names, partitions: PARTITIONS, scopes: 200, polls, nowMs: Date.now() })
  const reads: { topic: string; partition: number; from: number }[] = []
  const { ingest, stop } = await start(names, 200, {
    ...kafka,
    readToEnd: (place, ...rest) => {
      reads.push({ topic: place.topic, partition: place.partition, from: place.from ?? 0 })
      return kafka.readToEnd(place, ...rest)
    },
  })
  await stop()
  expect(ingest.ready()).toEqual({ ok: true, why: [] })
  const of = (topic: string) => reads.filter(read => read.topic === topic)
  const partitionsIn = (topic: string) =>
    of(topic)
      .map(({ partition }) => partition)
      .sort((a, b) => a - b)
  expect(partitionsIn(names.versions)).toEqual([0, 1, 2])
  expect(partitionsIn(names.offsets)).toEqual([0, 1, 2])
  for (const { from } of of(names.offsets)) expect(from).toBeGreaterThan(1000)
  expect(of(names.progress)).toEqual([])
  expect(ingest.states().filter(({ error }) => error !== null)).toEqual([])
})

test('each of them goes on from its own cursor, and one without a cursor begins', async () => {
  const { names } = await place()
  await prefill(kafka, { names, partitions: PARTITIONS, scopes: 40, polls: 20, nowMs: Date.now() - DAY_MS })
  const { stop } = await start(names, 41)
  await stop()
  const first = new Map<string, string>()
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await kafka.readToEnd({ topic: names.offsets, partition }, ({ key, value }) => {
      first.set(String(key), first.get(String(key)) ?? (JSON.parse(String(value)) as { start: string }).start)
    })
  }
  const starts = scopesOf(41).map(({ name }) => first.get(cursorKey({ connector: CONNECTOR, stream: 'sessions', scope: name })))
  expect(new Set(starts.slice(0, 40)).size).toBe(1)
  expect(Date.parse(starts[40] ?? '')).toBeGreaterThan(Date.now() - 600_000)
})

test('the owner of the transactional id of an earlier version is fenced, and what it committed last is gone on from', async () => {
  const { prefix, names } = await place()
  const [{ name: scope } = { name: '' }] = scopesOf(1)
  const key = cursorKey({ connector: CONNECTOR, stream: 'sessions', scope })
  const old = kafka.openWriter({ transactionalId: `${prefix}-${CONNECTOR}-sessions-${scope}` })
  await old.fence()
  const commit = (until: string) =>
    old.transact(tx =>
      tx.write([
        {
          topic: names.offsets,
          partition: partitionOf(key, PARTITIONS),
          records: [{ key: Buffer.from(key), value: Buffer.from(JSON.stringify({ format: 1, 'live.until': until })) }],
        },
      ]),
    )
  await commit(new Date(Date.now() - 3_600_000).toISOString())
  const { ingest, stop } = await start(names, 1)
  expect(ingest.ready().ok).toBe(true)
  await expect(commit(new Date().toISOString())).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  await old.close()
  // The new owner holds the new id alone.
  const rival = kafka.openWriter({
    transactionalId: sourceTransactionalId(prefix, { connector: CONNECTOR, stream: 'sessions', scope }),
  })
  await stop()
  await rival.fence()
  await rival.close()
  const cursors: string[] = []
  await kafka.readToEnd({ topic: names.offsets, partition: partitionOf(key, PARTITIONS) }, ({ value }) =>
    cursors.push(String(value)),
  )
  expect(cursors.map(hasMoved).indexOf(true), 'everything after the former cursor is of the new owner').toBe(1)
  expect(cursors.slice(1).every(hasMoved)).toBe(true)
})
