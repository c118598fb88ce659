import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import type { Boundary } from '../../src/ingest/commit.ts'
import { readSpent } from '../../src/ingest/cursor.ts'
import { completeUntil } from '../../src/ingest/plan.ts'
import type { Connector } from '../../src/source/contract.ts'
import { quotaPool } from '../../src/source/quota.ts'
import { type HandClock, handClock } from '../support/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { draw } from './random.ts'
import { rowAt, tinyConnector, type TinySession, type TinyVendor } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

/** Conversations that change for up to `lookbackMs`, some of them shown late. */
function world(seed: number, fromMs: number, untilMs: number, lookbackMs: number): TinySession[] {
  const luck = draw(seed)
  const sessions: TinySession[] = []
  for (let startMs = fromMs; startMs < untilMs; startMs += luck.between(0, 6 * MINUTE)) {
    const messageTimes = [startMs]
    while (luck.chance(0.7)) messageTimes.push((messageTimes.at(-1) ?? startMs) + luck.between(1, lookbackMs / 20))
    const last = Math.min(messageTimes.at(-1) ?? startMs, startMs + lookbackMs * 0.8)
    sessions.push({
      id: `s${sessions.length}`,
      bot: `bot${luck.between(1, 3)}`,
      startMs,
      messageTimes: messageTimes.filter(ms => ms <= startMs + lookbackMs * 0.8),
      closesMs: last + luck.between(0, lookbackMs / 10),
      shownMs: luck.chance(0.1) ? startMs + luck.between(0, lookbackMs * 0.9) : startMs,
    })
  }
  return sessions
}

/**
 * The whole of a source partition's work against a vendor that fails now and then, with a process that is killed or fails at random boundaries,
 * commits whose outcome is lost, and restarts.
 */
async function liveThrough(seed: number) {
  const luck = draw(seed)
  const lookbackMs = 2 * HOUR
  const endMs = NOON + 4 * HOUR
  const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
  const kafka = memoryKafka()
  const startAtMs = luck.chance(0.7) ? NOON - luck.between(1, 10) * HOUR : null
  const vendor: TinyVendor = {
    sessions: world(seed, NOON - 10 * HOUR, endMs, lookbackMs),
    clock,
    luck,
    pageRows: luck.between(1, 20),
    failing: luck.one([0, 0.02, 0.1]),
    longestMs: luck.one([Infinity, 3 * HOUR, 40 * MINUTE]),
    reads: 0,
  }
  const connector = tinyConnector(vendor, {
    longestMs: luck.one([30 * MINUTE, 5 * HOUR]),
    lagMs: MINUTE,
    lookbackMs,
    lookbackIntervalMs: 10 * MINUTE,
    pollIntervalMs: 5 * MINUTE,
    smallestMs: MINUTE,
    durableResume: luck.chance(0.6),
  })
  let kills = 0
  const settledMs = endMs + lookbackMs + HOUR
  while (clock.now() < settledMs) {
    const isQuiet = clock.now() > endMs + lookbackMs
    const held = Promise.withResolvers<void>()
    const fault = async (at: Boundary) => {
      if (isQuiet || !luck.chance(0.01)) return
      kills++
      const kind = luck.between(1, 3)
      if (kind === 1) kafka.nextCommits(luck.one(['lost', 'aborted']))
      if (kind === 2) throw new Error(`a fault of ours at ${at}`)
      if (kind === 3) {
        held.resolve()
        await new Promise(() => {})
      }
    }
    const life = startLife({ kafka, connector, clock, base: { startAtMs }, fault })
    await Promise.race([held.promise, clock.sleep(isQuiet ? HOUR : 2 * HOUR)])
    // Killed: nothing of it is closed; what it left open is the next owner's to abort.
    if (luck.chance(0.3) || isQuiet) {
      const stopped = life.stop()
      await Promise.race([stopped, clock.sleep(30_000)])
    }
  }
  return { kafka, vendor, startAtMs, endMs, kills, lookbackMs, settledMs }
}

describe('over random lives with kills at every boundary, lost commits and a vendor that fails', () => {
  test.each(Array.from({ length: 25 }, (_, seed) => seed))('each row stands exactly once (seed %i)', async seed => {
    const { kafka, vendor, startAtMs, endMs, settledMs } = await liveThrough(seed)
    const topics = await topicsOf(kafka)
    const fromMs = startAtMs ?? NOON - MINUTE
    const expected = vendor.sessions.filter(({ startMs }) => startMs >= fromMs && startMs < endMs)

    const revisions = new Map<string, number[]>()
    for (const { key, value } of topics.sessions) revisions.set(key, [...(revisions.get(key) ?? []), value.revision])
    for (const of of revisions.values()) expect(of).toEqual(of.map((_, index) => index + 1))
    const newest = new Map(topics.sessions.map(({ value }) => [value.session_id, value]))
    expect([...newest.keys()].sort()).toEqual(expected.map(({ id }) => id).sort())
    for (const of of expected) {
      const final = rowAt(of, settledMs)
      expect(newest.get(of.id)).toMatchObject({ status: 'CLOSED', total_messages: final.messages.length })
    }
    const messages = topics.messages.map(({ value }) => value.message_key).sort()
    const wanted = expected.flatMap(of => of.messageTimes.map((_, index) => `tiny:acme:${of.id}/m${index}`)).sort()
    expect(messages).toEqual(wanted)
    expect(topics.messages.every(({ value }) => value.revision === 1)).toBe(true)
    expect(topics.events.map(({ value }) => String(value.session_id)).sort()).toEqual(expected.map(({ id }) => id).sort())

    const partitions = new Map<string, Set<number>>()
    for (const { partition, value } of [...topics.sessions, ...topics.messages, ...topics.events]) {
      partitions.set(value.bot_id, (partitions.get(value.bot_id) ?? new Set()).add(partition))
    }
    for (const of of partitions.values()) expect(of.size).toBe(1)

    for (const { value } of topics.progress) {
      expect(value.window_from, 'a commit tells of one lane').toBeLessThanOrEqual(value.window_until)
      expect(value.lane === 'backfill' ? value.window_until : 0).toBeLessThanOrEqual(NOON)
    }
    const complete = topics.cursors.map(completeUntil)
    expect(complete).toEqual([...complete].sort((a, b) => a - b))
  })
})

/** The tiny connector with something done before each page that it gives. */
function asking(vendor: TinyVendor, before: () => Promise<void>): Connector {
  const window = { longestMs: HOUR, lagMs: MINUTE, lookbackMs: HOUR, smallestMs: MINUTE, durableResume: true }
  const listed = tinyConnector(vendor, window)
  const sessions = listed.streams['sessions'] as Connector['streams'][string]
  const read: typeof sessions.read = async function* (args) {
    for await (const page of sessions.read(args)) {
      await before()
      yield page
    }
  }
  return { ...listed, streams: { sessions: { ...sessions, read } } }
}

describe('a process leaves word of what it asked', () => {
  const vendorOf = (seed: number, clock: HandClock): TinyVendor => ({
    sessions: world(seed, NOON - 10 * HOUR, NOON, HOUR),
    clock,
    luck: draw(seed),
    pageRows: 2,
    failing: 0,
    longestMs: Infinity,
    reads: 0,
  })

  test.each([1, 2, 3, 4, 5, 6])('so that those after a kill keep to the quota (seed %i)', async seed => {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    const vendor = vendorOf(seed, clock)
    const limits = { perMinute: 20, perHour: 200 }
    const asked: number[] = []
    let lives = 0
    for (; clock.now() < NOON + 90 * MINUTE; lives++) {
      const lease = quotaPool(clock).lease({ vendor: 'tiny', shared: 'acme', limits })
      let isKilled = false
      const connector = asking(vendor, async () => {
        const release = await lease.gate.acquire(0, new AbortController().signal)
        if (isKilled) await new Promise(() => {})
        asked.push(clock.now())
        release()
      })
      const held = Promise.withResolvers<void>()
      const fault = async () => {
        // The first life lasts: how much is asked between two commits is known then.
        if (lives === 0 ? clock.now() < NOON + 5 * MINUTE : !vendor.luck.chance(0.05)) return
        isKilled = true
        held.resolve()
        await new Promise(() => {})
      }
      startLife({ kafka, connector, clock, base: { startAtMs: NOON - 10 * HOUR }, fault, quota: lease })
      await held.promise
    }
    const most = (lengthMs: number) =>
      Math.max(...asked.map(from => asked.filter(at => at >= from && at < from + lengthMs).length))
    expect(lives).toBeGreaterThan(10)
    expect(most(MINUTE)).toBe(limits.perMinute)
    // What may have been asked by those killed is counted, too.
    expect(most(HOUR)).toBeLessThanOrEqual(limits.perHour)
  })

  test('also where the vendor only fails: all is told, and the pauses grow all the same', async () => {
    const clock = handClock(NOON, { autoAdvance: { quietMs: 1 } })
    const kafka = memoryKafka()
    const limits = { perMinute: 60, perHour: 1000 }
    const lease = quotaPool(clock).lease({ vendor: 'tiny', shared: 'acme', limits })
    const attempts: number[] = []
    const connector = asking(vendorOf(1, clock), async () => {
      attempts.push(clock.now() - NOON)
      for (let request = 0; request < 6; request++) (await lease.gate.acquire(0, new AbortController().signal))()
      throw new FlowError('SRC_SERVER_ERROR', { status: 500 })
    })
    const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 10 * HOUR }, quota: lease })
    await clock.sleep(20_000)
    await life.stop()
    expect(attempts.map(ms => Math.round(ms / 1000))).toEqual([0, 1, 3, 7, 15])
    const { requests } = readSpent(String((await topicsOf(kafka)).offsets.at(-1)?.value))
    expect(requests.reduce((sum, { count }) => sum + count, 0)).toBe(5 * 6)
  })
})
