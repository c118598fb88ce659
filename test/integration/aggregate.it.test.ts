import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, inject, test } from 'vitest'
import { type AggregateMetrics, type Aggregator, type AggregatorParts, startAggregator } from '../../src/aggregate/run.ts'
import { systemClock } from '../../src/clock.ts'
import { chunkOfKey } from '../../src/aggregate/counted.ts'
import { rebuild } from '../../src/aggregate/rebuild.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { WriteRecord, WrittenRange } from '../../src/kafka/port.ts'
import { aggregateTransactionalId } from '../../src/topics.ts'
import type { Harness, Item } from '../aggregate/harness.ts'
import { harness } from '../aggregate/harness.ts'
import { makeEvent, makeMessage, makeSession, type Random, random } from '../aggregate/make.ts'
import { progressOf } from '../support/progress.ts'

const HOUR_MS = 3_600_000
const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function start(): Promise<Harness> {
  const made = await harness(inject('stack'))
  closing.push(() => made.close())
  return made
}

interface Running extends Aggregator {
  stop(): Promise<void>
}

function aggregate(h: Harness, parts: Partial<Pick<AggregatorParts, 'names' | 'clock' | 'metrics'>> = {}): Running {
  const stop = new AbortController()
  const options = { groupId: h.names.series, lingerMs: 20, maxRecords: 200, sessionTimeoutMs: 1_500 }
  const running = startAggregator({ ...h, options, signal: stop.signal, ...parts })
  const end = async () => {
    stop.abort()
    await running.done
  }
  closing.push(end)
  return { ready: () => running.ready(), done: running.done, stop: end }
}

/** A shuffled history: several revisions of sessions in order, withdrawals, messages, events. */
function history(r: Random, sessions: number, fromMs: number): Item[] {
  const items: Item[] = []
  const pending = Array.from({ length: sessions }, (_, i) => ({ id: `s${i}`, revision: 0, left: 1 + r.int(4) }))
  for (let i = 0; pending.length > 0; i++) {
    const at = r.int(pending.length)
    const session = pending[at]
    if (session === undefined) break
    const record = makeSession(r, session.id, ++session.revision, fromMs, 3 * HOUR_MS)
    items.push({ kind: r.chance(0.05) ? 'withdrawal' : 'session', record })
    if (--session.left === 0) pending.splice(at, 1)
    items.push({ kind: 'message', record: makeMessage(r, `m${i}`, fromMs, 3 * HOUR_MS) })
    if (r.chance(0.5)) items.push({ kind: 'event', record: makeEvent(r, `e${i}`, fromMs, 3 * HOUR_MS) })
  }
  return items
}

/** In transactions of uneven size. */
async function feedAll(h: Harness, r: Random, items: readonly Item[]): Promise<void> {
  for (let at = 0; at < items.length; ) {
    const size = 1 + r.int(120)
    await h.feed(items.slice(at, at + size))
    at += size
  }
}

const T = (time: string) => Date.parse(`2026-11-01T${time}Z`)

test('series equal a recount of sessions, messages and events, for every measure', async () => {
  const h = await start()
  const r = random(11)
  const items = history(r, 400, T('00:00:00'))
  await feedAll(h, r, items.slice(0, 300)) // some of it is there before the aggregator is
  aggregate(h)
  await feedAll(h, r, items.slice(300))
  await h.caughtUp()
  expect(await h.table()).toEqual(h.expected())
  expect(Object.keys(h.expected()).length).toBeGreaterThan(500)
})

test('a point is keyed by series and minute, and its value is framed Avro of the subject of its topic', async () => {
  const h = await start()
  const session = makeSession(random(1), 's0', 1, T('10:00:30'), 1)
  aggregate(h)
  await h.feed([
    { kind: 'session', record: { ...session, ended_at: null, transferred_at: null, channel: 'web', language: null } },
  ])
  await h.caughtUp()
  const keys: string[] = []
  for (let partition = 0; partition < h.partitions; partition++) {
    await h.kafka.readToEnd({ topic: h.names.series, partition }, ({ key }) => keys.push(String(key)))
  }
  expect(keys).toEqual(['v|a|bot-0|web|@2026-11-01T10:00:00.000Z'])
  expect(await h.points()).toMatchObject([
    { series_key: 'v|a|bot-0|web|', bucket: '1m', bucket_start: T('10:00:00'), revision: 1, complete: false, sessions: 1 },
  ])
})

test('who starts again goes on where it stopped, writes nothing twice, and takes old contributions back', async () => {
  const h = await start()
  const r = random(12)
  const items = history(r, 100, T('00:00:00'))
  const first = aggregate(h)
  await feedAll(h, r, items.slice(0, 150))
  await h.caughtUp()
  await first.stop()
  const before = (await h.points()).length

  const second = aggregate(h)
  await expect.poll(() => second.ready(), { timeout: 20_000 }).toEqual({ ok: true })
  expect((await h.points()).length).toBe(before)
  await feedAll(h, r, items.slice(150))
  await h.caughtUp()
  expect(await h.table()).toEqual(h.expected())
})

describe('an installation of before there were sketches', () => {
  const recordsOf = async (h: Harness, topic: string, partition: number) => {
    const newest = new Map<string, WriteRecord>()
    await h.kafka.readToEnd({ topic, partition }, ({ key, value }) => {
      newest.set(String(key), { key: key && Buffer.from(key), value: value && Buffer.from(value) })
    })
    return [...newest.values()].filter(({ value }) => value !== null)
  }

  /** A contribution in layout 1: without the user. */
  const aged = (value: Buffer): Buffer => {
    const flags = value[1] as number
    const old = Buffer.concat([value.subarray(0, 26), value.subarray((flags & 0x10) === 0 ? 26 : 34)])
    old[0] = 1
    old[1] = flags & ~0x30
    return old
  }

  test('is counted on from; what it wrote has no users until rebuild has counted it again', async () => {
    const h = await start()
    const r = random(19)
    const items = history(r, 80, T('00:00:00'))
    const first = aggregate(h)
    await feedAll(h, r, items.slice(0, 150))
    await h.caughtUp()
    await first.stop()
    await h.points() // from now on the points' schema is known
    for (let partition = 0; partition < h.partitions; partition++) {
      const points = await recordsOf(h, h.names.series, partition)
      const state = await recordsOf(h, h.names.aggregateState, partition)
      const contributions = state.filter(({ key }) => key !== null && chunkOfKey(key) === null)
      const age = (records: WriteRecord[], old: (value: Buffer) => Buffer) =>
        records.map(({ key, value }) => ({ key, value: value && old(value) }))
      await h.feedRaw(
        h.names.series,
        partition,
        age(points, point => h.aged(point)),
      )
      await h.feedRaw(h.names.aggregateState, partition, age(contributions, aged))
    }

    const second = aggregate(h)
    await feedAll(h, r, items.slice(150))
    await h.caughtUp()
    await second.stop()
    const countsOf = (table: Awaited<ReturnType<Harness['table']>>) =>
      Object.fromEntries(Object.entries(table).map(([at, row]) => [at, row.slice(0, -1)]))
    expect(countsOf(await h.table())).toEqual(countsOf(h.expected()))
    expect(await h.table()).not.toEqual(h.expected())

    const signal = new AbortController().signal
    const rebuilding = rebuild({ ...h, groupId: h.names.series, fromMs: null, clock: systemClock, signal })
    let written = 0
    for await (const { points } of rebuilding) written += points
    expect(await h.table()).toEqual(h.expected())
    expect(written).toBeGreaterThan(0)
  })
})

test('counters of what is new count nothing again after a restart', async () => {
  const h = await start()
  const r = random(13)
  const counted: Record<string, number> = {}
  const metrics: AggregateMetrics = {
    records() {},
    lag() {},
    restoreSeconds() {},
    firstSeen: (kind, _, __, n) => void (counted[kind] = (counted[kind] ?? 0) + n),
  }
  const now = Date.now()
  const session = { ...makeSession(r, 's1', 1, now, 1), containment: 'AGENT' as const, ended_at: null, transferred_at: now }
  const old = makeSession(r, 's2', 1, now - 5 * HOUR_MS, HOUR_MS)
  const first = aggregate(h, { metrics })
  await h.feed([
    { kind: 'session', record: session },
    { kind: 'session', record: old },
    { kind: 'message', record: { ...makeMessage(r, 'm1', now, 1), revision: 1 } },
  ])
  await h.caughtUp()
  await first.stop()
  expect(counted).toEqual({ session: 1, agent_transfer: 1, message: 1 })
  aggregate(h, { metrics })
  await h.feed([{ kind: 'session', record: { ...session, revision: 2, outcome: 'x' } }])
  await h.caughtUp()
  expect(counted).toEqual({ session: 1, agent_transfer: 1, message: 1 })
})

test('bots and channels are known before anything of them is counted, and right after a restart', async () => {
  const h = await start()
  const r = random(15)
  let told: string[] = []
  const metrics: AggregateMetrics = {
    records() {},
    lag() {},
    restoreSeconds() {},
    firstSeen: (_, { bot_id }) => void told.push(`counted ${bot_id}`),
    known: ({ bot_id, channel }) => void told.push(`known ${bot_id} ${channel}`),
  }
  const session = {
    ...makeSession(r, 's1', 1, Date.now(), 1),
    containment: 'SELF_SERVICE' as const,
    transferred_at: null,
    ended_at: null,
  }
  const first = aggregate(h, { metrics })
  await h.feed([{ kind: 'session', record: session }])
  await h.caughtUp()
  await first.stop()
  const known = `known ${session.bot_id} ${session.channel ?? 'other'}`
  expect(told).toEqual([known, `counted ${session.bot_id}`])
  told = []
  const second = aggregate(h, { metrics })
  await expect.poll(() => second.ready(), { timeout: 20_000 }).toEqual({ ok: true })
  expect(told).toEqual([known])
})

test('a record that is not ours is left out, and what comes after it is counted', async () => {
  const h = await start()
  const r = random(14)
  const session = makeSession(r, 's3', 1, T('10:00:00'), 1)
  let leftOut = 0
  const metrics = {
    records() {},
    lag() {},
    restoreSeconds() {},
    firstSeen() {},
    leftOut: (_: unknown, __: string, n: number) => void (leftOut += n),
  }
  aggregate(h, { metrics })
  for (let partition = 0; partition < h.partitions; partition++) {
    await h.feedRaw(h.names.sessions, partition, [{ key: Buffer.from('x'), value: Buffer.from('not avro') }])
    await h.feedRaw(h.names.messages, partition, [{ key: null, value: Buffer.from([0, 0, 1, 134, 160, 1]) }])
  }
  await h.feed([{ kind: 'session', record: session }])
  await h.caughtUp()
  expect(await h.table()).toEqual(h.expected())
  expect(leftOut).toBe(2 * h.partitions)
})

test('a session that was withdrawn while nobody counted, and whose null is gone from the topic, is withdrawn', async () => {
  const h = await start()
  const r = random(15)
  const [stays, goes] = [makeSession(r, 's1', 1, T('10:00:00'), 1), makeSession(r, 's2', 1, T('11:00:00'), 1)]
  const first = aggregate(h)
  await h.feed([stays, goes].map(record => ({ kind: 'session', record })))
  await h.caughtUp()
  await first.stop()

  // Compaction takes its time, so another topic stands for the compacted one: it has all but the session that is gone.
  const other = await start()
  await other.feed([{ kind: 'session', record: stays }])
  const twoDaysLater = {
    now: () => Date.now() + 48 * HOUR_MS,
    sleep: (ms: number) => new Promise<void>(resolve => setTimeout(resolve, ms)),
  }
  aggregate(h, { names: { ...h.names, sessions: other.names.sessions }, clock: twoDaysLater })
  await expect.poll(() => h.table(), { timeout: 20_000 }).toEqual(other.expected())
})

const lastOf = ({ topic, partition, lastOffset }: WrittenRange) => ({ topic, partition, offset: lastOffset })

describe('complete', () => {
  test('stands in a point that is written when its minute has been read by every stream', async () => {
    const h = await start()
    const r = random(16)
    const at = (time: string, id: string): Item => ({
      kind: 'event',
      record: { ...makeEvent(r, id, T(time), 1), revision: 1, bot_id: 'bot-1', channel: 'web', language: 'en' },
    })
    aggregate(h)
    await h.feed([at('10:00:00', 'a')], through =>
      progressOf({
        through: through.map(lastOf),
        committed_at: T('10:01:00'),
        covered: [{ from: T('09:00:00'), until: T('10:01:00') }],
      }),
    )
    await h.caughtUp()
    // Progress comes by a way of its own: wait until it is known, which each new point tells.
    await expect
      .poll(
        async () => {
          await h.feed([at('10:00:10', randomBytes(4).toString('hex'))])
          await h.caughtUp()
          return (await h.points()).at(-1)?.complete
        },
        { timeout: 20_000 },
      )
      .toBe(true)
    await h.feed([at('10:01:00', 'late')])
    await h.caughtUp()
    expect((await h.points()).find(point => point.bucket_start === T('10:01:00'))?.complete).toBe(false)
  })
})

test('a connector that is removed (a null Progress) holds nothing back any longer', async () => {
  const h = await start()
  const r = random(18)
  const one = (): Item => {
    const id = randomBytes(4).toString('hex')
    return { kind: 'event', record: { ...makeEvent(r, id, T('10:00:00'), 1), bot_id: 'bot-1', channel: 'web', language: 'en' } }
  }
  const read = (connector: string, until: number) =>
    progressOf({
      connector,
      stream: 's',
      complete_until: until,
      committed_at: T('11:00:00'),
      covered: [{ from: T('09:00:00'), until }],
    })
  await h.feed([one()], () => read('stays', T('10:30:00')))
  await h.feed([one()], () => read('goes', T('09:30:00')))
  aggregate(h)
  await h.caughtUp()
  const newest = async () => {
    await h.feed([one()])
    await h.caughtUp()
    return (await h.points()).findLast(point => point.bucket_start === T('10:00:00'))?.complete
  }
  expect(await newest()).toBe(false)
  const key = 'goes/s/all'
  await h.feedRaw(h.names.progress, partitionOf(key, h.partitions), [{ key: Buffer.from(key), value: null }])
  await expect.poll(newest, { timeout: 20_000 }).toBe(true)
})

test('says why it is not ready, and when it is', async () => {
  const h = await start()
  const running = aggregate(h)
  expect(running.ready()).toMatchObject({ ok: false, why: expect.stringContaining('group') as string })
  await expect.poll(() => running.ready(), { timeout: 20_000 }).toEqual({ ok: true })
})

test('stopping ends within seconds, and leaves the group', async () => {
  const h = await start()
  const running = aggregate(h)
  await expect.poll(() => running.ready().ok, { timeout: 20_000 }).toBe(true)
  const startedMs = Date.now()
  await running.stop()
  expect(Date.now() - startedMs).toBeLessThan(5_000)
})

test('who is fenced stops, and goes on from what was committed when the group still says it is the owner', async () => {
  const h = await start()
  const r = random(17)
  const items = history(r, 60, T('00:00:00'))
  const waits: number[] = []
  const hasty = {
    now: Date.now,
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms > 1_000) waits.push(ms)
      return systemClock.sleep(Math.min(ms, 300), signal)
    },
  }
  const running = aggregate(h, { clock: hasty })
  await feedAll(h, r, items.slice(0, 80))
  await h.caughtUp()
  for (let partition = 0; partition < h.partitions; partition++) {
    const other = h.kafka.openWriter({ transactionalId: aggregateTransactionalId(h.prefix, partition) })
    await other.fence()
    await other.close()
  }
  await feedAll(h, r, items.slice(80))
  await h.caughtUp()
  expect(waits).toContain(15_000)
  expect(await h.table()).toEqual(h.expected())
  await expect.poll(() => running.ready(), { timeout: 20_000 }).toEqual({ ok: true })
})
