/** `deploy/flink/series.sql` on a real Flink, Kafka and registry, against our aggregator over the same topics. */
import avsc from 'avsc'
import { afterEach, expect, inject, test } from 'vitest'
import { startAggregator } from '../../src/aggregate/run.ts'
import { MEASURES } from '../../src/records.ts'
import { harness, type Harness, type Item, testLog } from '../aggregate/harness.ts'
import { type Random, random } from '../aggregate/make.ts'
import { type Flink, startFlink } from './flink.ts'
import { history } from './history.ts'
import { sqlFile } from './sql-file.ts'

const HOUR_MS = 3_600_000
/** A machine that does other work starts Flink in minutes. */
const PATIENCE_MS = 1_500_000
const FIELDS = [
  'series_key',
  'vendor',
  'account',
  'bot_id',
  'channel',
  'language',
  'bucket_start',
  'bucket',
  ...MEASURES,
] as const

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** By key of the point and field; points that hold nothing but zeros are left out, as a job that forgets them withdraws them. */
type Minutes = Map<string, string | number>

function put(minutes: Minutes, key: string, point: Record<string, unknown> | null): void {
  const counts = point !== null && MEASURES.some(measure => Number(point[measure]) !== 0)
  for (const field of FIELDS) {
    if (counts) minutes.set(`${key} ${field}`, point[field] as string | number)
    else minutes.delete(`${key} ${field}`)
  }
}

async function ours(h: Harness): Promise<Minutes> {
  const minutes: Minutes = new Map()
  for (const { key, point } of await h.records()) put(minutes, key, point && { ...point })
  return minutes
}

/** Flink names its record by itself, so it is read with the schema it was written with. */
async function flinks(h: Harness, topic: string): Promise<Minutes> {
  const minutes: Minutes = new Map()
  const types = new Map<number, avsc.Type>()
  for (let partition = 0; partition < h.partitions; partition++) {
    const records: { key: string; value: Buffer | null }[] = []
    await h.kafka.readToEnd({ topic, partition }, ({ key, value }) =>
      records.push({ key: String(key), value: value && Buffer.from(value) }),
    )
    for (const { key, value } of records) {
      const id = value?.readInt32BE(1) ?? 0
      if (value !== null && !types.has(id)) {
        const schema = JSON.parse(await h.registry.schemaById(id)) as avsc.Schema
        types.set(id, avsc.Type.forSchema(schema, { wrapUnions: false, registry: {} }))
      }
      put(minutes, key, value && (types.get(id)?.fromBuffer(value.subarray(5)) as Record<string, unknown>))
    }
  }
  return minutes
}

function differences(a: Minutes, b: Minutes): string[] {
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter(at => a.get(at) !== b.get(at))
    .map(at => `${at}: ours ${a.get(at)}, Flink ${b.get(at)}`)
}

async function expectEqual(h: Harness, flink: Flink, topic: string): Promise<Minutes> {
  await h.caughtUp()
  const expected = await ours(h)
  const untilMs = Date.now() + PATIENCE_MS
  let found = ['not read yet']
  while (found.length > 0 && Date.now() < untilMs) {
    if (flink.child.gone()) throw new Error(`Flink has ended:\n${flink.child.lastLines().join('\n')}`)
    await new Promise(resolve => setTimeout(resolve, 2_000))
    found = differences(expected, await flinks(h, topic))
  }
  expect({ differing: found.length, first: found.slice(0, 20) }).toEqual({ differing: 0, first: [] })
  return expected
}

async function feed(h: Harness, r: Random, items: readonly Item[]): Promise<void> {
  for (let at = 0; at < items.length; ) {
    const size = 1 + r.int(200)
    await h.feed(items.slice(at, at + size))
    at += size
  }
}

test('minute by minute and measure by measure, the series of the Flink job are ours', async () => {
  const h = await harness(inject('stack'))
  closing.push(() => h.close())
  const topic = `${h.prefix}.series-flink`
  const made = { topic, partitions: h.partitions, replicationFactor: null, config: { 'cleanup.policy': 'compact' } }
  await h.kafka.ensureTopics([made], { create: true })
  const stop = new AbortController()
  const aggregator = startAggregator({ ...h, options: { groupId: h.names.series, lingerMs: 20 }, signal: stop.signal })
  closing.push(() => {
    stop.abort()
    return aggregator.done
  })
  const r = random(13)
  const times = { fromMs: Date.now() - 6 * HOUR_MS, spanMs: 3 * HOUR_MS }
  await feed(h, r, history(r, { from: 0, sessions: 300, ...times }))
  const { brokers, registry } = inject('stack')
  const flink = await startFlink(sqlFile('flink/series.sql', { brokers, registry, prefix: h.prefix }), testLog)
  closing.push(() => flink.stop())

  // What is there when the job starts.
  const before = await expectEqual(h, flink, topic)
  // What changes while it runs: sessions move and are withdrawn, messages and events come again, and others are new.
  await feed(h, r, history(r, { from: 100, sessions: 300, ...times }))
  const after = await expectEqual(h, flink, topic)

  for (const minutes of [before, after])
    for (const measure of MEASURES) {
      const values = [...minutes].flatMap(([at, value]) => (at.endsWith(` ${measure}`) && value !== 0 ? [value] : []))
      expect({ measure, minutes: values.length }).not.toMatchObject({ minutes: 0 })
    }
  expect(differences(before, after).length).toBeGreaterThan(1_000)
  expect([...after.keys()].filter(at => at.includes(String.raw`b\\ot\|4@x`))).not.toEqual([])
})
