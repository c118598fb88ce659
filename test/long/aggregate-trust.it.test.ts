/** What must not happen to series: counted twice, turned into zeros, counted by two at once; and what puts them right again. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Kafka as KafkaClient, logLevel } from 'kafkajs'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { rebuild, type Rebuilt } from '../../src/aggregate/rebuild.ts'
import { type Aggregator, type AggregatorParts, startAggregator } from '../../src/aggregate/run.ts'
import { systemClock } from '../../src/clock.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import type { ReadRecord } from '../../src/kafka/port.ts'
import { aggregateTransactionalId } from '../../src/topics.ts'
import type { Harness, Item } from '../aggregate/harness.ts'
import { harness } from '../aggregate/harness.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from '../aggregate/make.ts'
import { startProxy } from '../kafka/proxy.ts'

const HOUR_MS = 3_600_000
const closing: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function start(partitions = 2): Promise<Harness> {
  const made = await harness(inject('stack'), partitions)
  closing.push(() => made.close())
  return made
}

interface Running extends Aggregator {
  stop(): Promise<void>
}

/** Long waits are cut short, so that taking a partition number back takes no 15 s. */
const hasty = { now: Date.now, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(Math.min(ms, 300), signal) }

function aggregate(
  h: Harness,
  options: Partial<AggregatorParts['options']> = {},
  parts: Partial<Pick<AggregatorParts, 'kafka' | 'clock'>> = {},
): Running {
  const stop = new AbortController()
  const running = startAggregator({
    ...h,
    clock: hasty,
    options: { groupId: h.names.series, lingerMs: 20, maxRecords: 200, sessionTimeoutMs: 1_500, ...options },
    signal: stop.signal,
    ...parts,
  })
  running.done.catch(() => {})
  const end = async () => {
    stop.abort()
    await running.done.catch(() => {})
  }
  closing.push(end)
  return { ready: () => running.ready(), done: running.done, stop: end }
}

async function isReady(running: Aggregator): Promise<void> {
  await expect.poll(() => running.ready(), { timeout: 30_000 }).toEqual({ ok: true })
}

async function count(h: Harness, run: (running: Running) => Promise<void> = async () => {}): Promise<void> {
  const running = aggregate(h)
  await run(running)
  await h.caughtUp()
  await running.stop()
}

const FROM = Date.parse('2026-11-01T00:00:00Z')

function items(r: Random, n: number): Item[] {
  return Array.from({ length: n }, (_, i): Item => {
    if (i % 3 === 0) return { kind: 'session', record: makeSession(r, `s${i % 40}`, 1 + Math.floor(i / 40), FROM, 3 * HOUR_MS) }
    if (i % 3 === 1) return { kind: 'message', record: makeMessage(r, `m${i}`, FROM, 3 * HOUR_MS) }
    return { kind: 'event', record: makeEvent(r, `e${i}`, FROM, 3 * HOUR_MS) }
  })
}

const of = (kind: Item['kind'], all: readonly Item[]) => all.filter(item => item.kind === kind)

async function recordsOf(h: Harness, topic: string, partition: number): Promise<ReadRecord[]> {
  const records: ReadRecord[] = []
  await h.kafka.readToEnd({ topic, partition }, record => records.push(record))
  return records
}

async function rebuilt(h: Harness, fromMs: number | null = null): Promise<Rebuilt[]> {
  const results: Rebuilt[] = []
  const run = rebuild({ ...h, groupId: h.names.series, fromMs, clock: systemClock, signal: new AbortController().signal })
  for await (const one of run) results.push(one)
  return results
}

/** A point of the series topic that counts nothing that is there, so that a recount has something to put right. */
async function spoil(h: Harness): Promise<void> {
  for (let partition = 0; partition < h.partitions; partition++) {
    const newest = new Map((await recordsOf(h, h.names.series, partition)).map(record => [String(record.key), record]))
    const points = await h.points()
    await h.feedRaw(
      h.names.series,
      partition,
      [...newest.values()].flatMap(({ key, value }, i) =>
        i % 4 === 0 && value !== null ? [{ key, value: h.spoilt(value) }] : [],
      ),
    )
    expect(points.length).toBeGreaterThan(0)
  }
}

test('messages and events that are published again, after restarts too, are counted once', async () => {
  const h = await start()
  const all = items(random(31), 300)
  await h.feed(all)
  await count(h)
  await h.feed([...of('message', all), ...of('event', all)])
  await count(h)
  expect(await h.table()).toEqual(h.expected())
})

describe('an installation of before', () => {
  /** What the version before wrote last: no counted keys, and offsets without a layout. */
  async function makeOld(h: Harness): Promise<void> {
    for (let partition = 0; partition < h.partitions; partition++) {
      const chunks = (await recordsOf(h, h.names.aggregateState, partition))
        .map(({ key }) => String(key))
        .filter(key => key[0] === '#')
      await h.feedRaw(
        h.names.aggregateState,
        partition,
        [...new Set(chunks)].map(key => ({ key: Buffer.from(key), value: null })),
      )
      const last = (await recordsOf(h, h.names.aggregateOffsets, partition)).at(-1)
      const { series } = JSON.parse(String(last?.value)) as { series: number }
      const inputs = await h.kafka.watermarks(
        [h.names.sessions, h.names.messages, h.names.events].map(topic => ({ topic, partition })),
      )
      const value = JSON.stringify({ inputs: Object.fromEntries(inputs.map(({ topic, high }) => [topic, high])), series })
      await h.feedRaw(h.names.aggregateOffsets, partition, [{ key: Buffer.from(String(partition)), value: Buffer.from(value) }])
    }
  }

  test('is taken over without a double count, and what it had ignored of sessions is put right', async () => {
    const h = await start()
    const r = random(32)
    const all = items(r, 300)
    await h.feed(all)
    await count(h)
    // It passed these over because their revision is not above the one before.
    await h.feed(
      Array.from({ length: 10 }, (_, i) => ({ kind: 'session', record: makeSession(r, `s${i * 3}`, 1, FROM, HOUR_MS) })),
    )
    await makeOld(h)
    await h.feed([...of('message', all), ...of('event', all)])
    await count(h, isReady)
    expect(await h.table()).toEqual(h.expected())
    await h.feed([...of('message', all), ...items(r, 60).map(item => rename(item, 1))])
    await count(h)
    expect(await h.table()).toEqual(h.expected())
  })

  test('cannot commit any more once its partition number has been claimed', async () => {
    const h = await start(1)
    const all = items(random(33), 60)
    await h.feed(all)
    await count(h)
    await makeOld(h)
    const owner = h.kafka.openWriter({ transactionalId: `${h.prefix}-aggregate-${h.names.series}-0` })
    closing.push(() => owner.close())
    await owner.fence()
    const [point] = (await recordsOf(h, h.names.series, 0)).slice(-1)
    const committing = owner.transact(async tx => {
      await tx.write([
        { topic: h.names.series, partition: 0, records: [{ key: point?.key ?? null, value: point?.value ?? null }] },
      ])
      const running = aggregate(h)
      await isReady(running)
    })
    await expect(committing).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    expect(await h.table()).toEqual(h.expected())
  })
})

test('two groups on one prefix take turns, and lose and double nothing', async () => {
  const h = await start()
  const r = random(34)
  const two = [aggregate(h, { groupId: `${h.prefix}-one` }), aggregate(h, { groupId: `${h.prefix}-two` })]
  for (let i = 0; i < 12; i++) {
    await h.feed(items(r, 50).map(item => rename(item, i)))
    await new Promise(resolve => setTimeout(resolve, 150))
  }
  await h.caughtUp()
  for (const running of two) await running.stop()
  expect(await h.table()).toEqual(h.expected())
})

/** Another key, so that every round is new. */
function rename(item: Item, i: number): Item {
  if (item.kind === 'message') return { ...item, record: { ...item.record, message_key: `${item.record.message_key}-${i}` } }
  if (item.kind === 'event') return { ...item, record: { ...item.record, event_key: `${item.record.event_key}-${i}` } }
  return item
}

test('whoever writes offsets beside the owner makes it read its state again instead of going on from memory', async () => {
  const h = await start(1)
  const r = random(35)
  const all = items(r, 90)
  const running = aggregate(h)
  await h.feed(all.slice(0, 30))
  await h.caughtUp()
  const before = (await recordsOf(h, h.names.aggregateOffsets, 0)).at(-1)
  await h.feedRaw(h.names.aggregateOffsets, 0, [{ key: Buffer.from('0'), value: before?.value ?? null }])
  const reasons: string[] = []
  const watching = setInterval(() => reasons.push(running.ready().why ?? ''), 5)
  await h.feed(all.slice(30))
  await h.caughtUp()
  clearInterval(watching)
  expect(await h.table()).toEqual(h.expected())
  expect(reasons.filter(why => why.startsWith('partition 0'))).not.toEqual([])
})

describe('refuses', () => {
  test('a retention that is longer than that of the series topic, and says what to do', async () => {
    const h = await start(1)
    const running = aggregate(h, { retention: { daysMs: 1826 * 24 * HOUR_MS } })
    await expect(running.done).rejects.toMatchObject({
      code: 'TOPIC_MISMATCH',
      message: expect.stringContaining('set aggregator.retention.days to 1825d or less') as string,
    })
    await isReady(aggregate(h, { retention: { daysMs: 1825 * 24 * HOUR_MS } }))
  })

  test('to count when the offsets are lost: history is not turned into zeros, and rebuild is the cure', async () => {
    const h = await start()
    const all = items(random(36), 200)
    await h.feed(all)
    await count(h)
    const before = await h.points()
    for (let partition = 0; partition < h.partitions; partition++)
      await h.feedRaw(h.names.aggregateOffsets, partition, [{ key: Buffer.from(String(partition)), value: null }])

    const running = aggregate(h)
    await expect
      .poll(() => running.ready().why, { timeout: 20_000 })
      .toMatch(/partition 0 failed.*colloquy rebuild.*partition 1 failed/s)
    await running.stop()
    expect(await h.points()).toEqual(before)

    expect(await rebuilt(h)).toMatchObject([{ points: 0 }, { points: 0 }])
    await h.feed(of('message', all))
    await count(h, isReady)
    expect(await h.table()).toEqual(h.expected())
  })

  test('an empty offsets topic is no loss where nothing has been counted yet', async () => {
    const h = await start(1)
    await h.feed(items(random(37), 30))
    await count(h)
    expect(await h.table()).toEqual(h.expected())
  })
})

describe('rebuild', () => {
  test('puts wrong minutes right, leaves right ones alone, and finds nothing to do the second time', async () => {
    const h = await start()
    const r = random(38)
    const all = items(r, 300)
    await h.feed(all)
    await count(h)
    await spoil(h)
    const spoilt = (await h.points()).length
    expect(await h.table()).not.toEqual(h.expected())

    await rebuilt(h)
    const points = await h.points()
    expect(await h.table()).toEqual(h.expected())
    expect(points.length - spoilt).toBeLessThan(spoilt / 2)
    expect((await rebuilt(h)).map(({ points: n }) => n)).toEqual([0, 0])
    expect((await h.points()).length).toBe(points.length)

    await h.feed([...of('message', all), ...items(r, 40).map(item => rename(item, 1))])
    await count(h)
    expect(await h.table()).toEqual(h.expected())
  })

  test('with a time leaves the minutes before it as they are', async () => {
    const h = await start()
    await h.feed(items(random(39), 300))
    await count(h)
    await spoil(h)
    const spoilt = await h.table()
    const from = FROM + 1.5 * HOUR_MS
    await rebuilt(h, from)
    const [now, expected] = [await h.table(), h.expected()]
    const isAfter = (at: string) => Date.parse(at.slice(at.lastIndexOf('@') + 1)) >= from
    const part = (table: typeof now, after: boolean) =>
      Object.fromEntries(Object.entries(table).filter(([at]) => isAfter(at) === after))
    expect(part(now, true)).toEqual(part(expected, true))
    expect(part(now, false)).toEqual(part(spoilt, false))
    expect(part(now, false)).not.toEqual(part(expected, false))
  })

  test('leaves what is older than the message topic holds as it is', async () => {
    const h = await start(1)
    const r = random(40)
    const all = items(r, 120)
    await h.feed(all)
    await count(h)
    const client = new KafkaClient({ brokers: [inject('stack').brokers], logLevel: logLevel.NOTHING })
    const admin = client.admin()
    await admin.connect()
    await admin.fetchTopicOffsets(h.names.messages) // the client knows only topics that it was asked for
    await admin.deleteTopicRecords({ topic: h.names.messages, partitions: [{ partition: 0, offset: '25' }] })
    await admin.disconnect()
    const [result] = await rebuilt(h)
    expect(result?.from[h.names.messages]).toMatch(/^20/)
    expect(result?.from[h.names.events]).toBeNull()
    expect(await h.table()).toEqual(h.expected())
    await h.feed(of('message', all)) // counted, though their first records are gone from the topic
    await count(h)
    expect(await h.table()).toEqual(h.expected())
  })

  test('refuses while an aggregator of the prefix runs, in whatever group', async () => {
    const h = await start(1)
    await isReady(aggregate(h, { groupId: `${h.prefix}-another` }))
    await expect(rebuilt(h)).rejects.toMatchObject({ code: 'AGGREGATE_RUNNING', details: { group: `${h.prefix}-another` } })
  })

  test('ends when an aggregator starts meanwhile, and one that is fenced by it goes on from what is there', async () => {
    const h = await start(1)
    await h.feed(items(random(41), 120))
    await count(h)
    await spoil(h)
    const claimed = Promise.withResolvers<void>()
    const kafka = {
      ...h.kafka,
      openWriter: (options: Parameters<typeof h.kafka.openWriter>[0]) => {
        const writer = h.kafka.openWriter(options)
        return {
          ...writer,
          fence: async () => {
            await writer.fence()
            // An aggregator claims the number between our claim and our transaction.
            const other = h.kafka.openWriter({ transactionalId: aggregateTransactionalId(h.prefix, 0) })
            await other.fence()
            await other.close()
            claimed.resolve()
          },
        }
      },
    }
    await expect(rebuilt({ ...h, kafka })).rejects.toMatchObject({ code: 'AGGREGATE_RUNNING' })
    await claimed.promise
    await rebuilt(h)
    expect(await h.table()).toEqual(h.expected())
  })
})

describe('colloquy rebuild', () => {
  async function config(h: Harness): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'colloquy-rebuild-'))
    closing.push(() => rm(folder, { recursive: true }))
    const { brokers, registry } = inject('stack')
    const text = `kafka: { brokers: ${brokers} }\nregistry: { url: ${registry} }\ntopics: { prefix: ${h.prefix}, partitions: ${h.partitions} }\n`
    await writeFile(join(folder, 'colloquy.yaml'), text)
    return join(folder, 'colloquy.yaml')
  }

  /** @param kill Ends it without a word: so many milliseconds after its first line on stderr or stdout. */
  async function run(args: string[], kill?: { on: 'stdout' | 'stderr'; ms: number }) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('../../src/main.ts', import.meta.url)), 'rebuild', ...args])
    const said = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (data: Buffer) => (said[name] += data.toString()))
    if (kill !== undefined) child[kill.on].once('data', () => setTimeout(() => child.kill('SIGKILL'), kill.ms))
    closing.push(async () => child.kill('SIGKILL'))
    const code = await new Promise<number | null>(resolve => child.once('close', resolve))
    return { code, ...said }
  }

  test('killed at any moment and run again counts everything once', async () => {
    const h = await start(4)
    const r = random(42)
    const all = items(r, 600)
    await h.feed(all)
    await count(h)
    await spoil(h)
    const file = await config(h)
    // Killed, or done before that.
    for (const kill of [
      { on: 'stdout', ms: 0 },
      { on: 'stdout', ms: r.int(60) },
      { on: 'stderr', ms: r.int(400) },
    ] as const)
      expect([null, 0]).toContain((await run(['--config', file], kill)).code)
    const { code, stdout } = await run(['--config', file])
    expect(code).toBe(0)
    expect(
      stdout
        .trim()
        .split('\n')
        .map(line => (JSON.parse(line) as Rebuilt).partition),
    ).toEqual([0, 1, 2, 3])
    expect(await h.table()).toEqual(h.expected())
    await h.feed(all.filter(({ kind }) => kind !== 'session'))
    await count(h)
    expect(await h.table()).toEqual(h.expected())
  }, 240_000)

  test('says in one line what is wrong, without a stack trace', async () => {
    const h = await start(1)
    const file = await config(h)
    const wrong = await run(['--config', file, '--from', 'yesterday'])
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('--from: takes a time in ISO 8601')])
    await isReady(aggregate(h))
    const running = await run(['--config', file, '--from', '2026-11-01'])
    expect(running).toMatchObject({ code: 1, stderr: expect.stringContaining('AGGREGATE_RUNNING') as string })
    expect(running.stderr + wrong.stderr).not.toMatch(/\bat \S+:\d+|\.ts:\d+/)
  })
})

test('a Kafka that has frozen is told within 10 s, by partition number, and so is its return', async () => {
  const h = await start(2)
  const proxy = await startProxy(inject('stack').brokers)
  closing.push(() => proxy.close())
  const kafka = connectKafka({ brokers: [proxy.address], clientId: h.prefix, log: h.log })
  closing.push(() => kafka.close())
  const running = aggregate(h, { sessionTimeoutMs: 60_000 }, { kafka, clock: systemClock })
  await isReady(running)
  proxy.freeze()
  await expect
    .poll(() => running.ready().why ?? '', { timeout: 10_000 })
    .toMatch(/partition 0 has had no answer.*partition 1 has had no answer/)
  proxy.thaw()
  await expect.poll(() => running.ready(), { timeout: 60_000 }).toEqual({ ok: true })
}, 120_000)
