import { describe, expect, onTestFinished, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { ControlError } from '../../src/control/port.ts'
import {
  changeOffset,
  type OffsetAsk,
  readAsk,
  requestsFor,
  secondsFor,
  type SeenWindow,
  seenOf,
} from '../../src/control/time-machine.ts'
import { type Cursor, cursorKey, readCursor, readSpent, writeCursor } from '../../src/ingest/cursor.ts'
import { next, beginPace, type KnownCursor, type PlanSpec } from '../../src/ingest/plan.ts'
import { planSpecOf } from '../../src/ingest/source-partition.ts'
import { sealOf, unsealed } from '../../src/ingest/seal.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Connector } from '../../src/source/contract.ts'
import { handClock } from '../support/clock.ts'
import { draw } from '../ingest/random.ts'
import { tinyConnector, type TinySession } from '../ingest/tiny.ts'
import { base, names, PARTITIONS, startLife, topicsOf } from '../ingest/world.ts'
import { HOUR } from './world.ts'

const DAY = 24 * HOUR
const NOW = Date.parse('2026-11-20T12:00:00Z')
const SPEC: PlanSpec = {
  startAtMs: NOW - 30 * DAY,
  pollIntervalMs: 60_000,
  lagMs: 60_000,
  settles: false,
  lookbackMs: 2 * DAY,
  lookbackIntervalMs: 12 * HOUR,
  hotMs: HOUR,
  longestMs: 6 * HOUR,
  smallestMs: 1000,
  durableResume: true,
  inOrder: false,
  followMs: 0,
  keepsCursor: false,
  mostPerHour: Infinity,
}
const AT = { spec: SPEC, nowMs: NOW, seal: unsealed }
const LIVE = NOW - HOUR

/** Live everywhere, everything read from 30 days ago. */
function cursorOf(more: Partial<Cursor> = {}): Cursor {
  return {
    startMs: NOW - 30 * DAY,
    live: { atMs: LIVE, toMs: null, resume: null },
    backfill: null,
    lookback: { beganMs: NOW - 2 * HOUR, roundMs: NOW - HOUR, pass: null },
    covered: [{ from: NOW - 30 * DAY, until: LIVE }],
    kept: { lookbackMs: 2 * DAY, fromMs: -Infinity },
    ...more,
  }
}
const from = (fromMs: number): OffsetAsk => ({ kind: 'from', fromMs })
const after = (change: { text: string | null }) => readCursor(change.text ?? '', NOW)

describe('set back to a time', () => {
  test('a source partition reads again from there up to the live edge, and all else stays', () => {
    const changed = changeOffset(writeCursor(cursorOf()), from(NOW - 10 * DAY), AT)
    expect(after(changed)).toEqual({
      ...cursorOf(),
      backfill: { atMs: NOW - 10 * DAY, untilMs: LIVE, toMs: null, resume: null, beganMs: NOW - 2 * HOUR },
    })
    expect(changed.rereads).toEqual({ from: NOW - 10 * DAY, until: LIVE })
    expect(changed.forgotten).toEqual({ from: NOW - 10 * DAY, until: NOW - 2 * HOUR - 2 * DAY })
  })

  test('it keeps the recent requests to the vendor, and has no living owner', () => {
    const spent = { requests: [{ atMs: NOW - 1000, count: 7 }], untold: 3 }
    const changed = changeOffset(writeCursor(cursorOf(), spent, false, { worker: 'w' }), from(NOW - DAY), AT)
    expect(readSpent(changed.text ?? '')).toEqual(spent)
    expect(JSON.parse(changed.text ?? '')).toMatchObject({ worker: 'offsets', released: true })
  })

  test.each([LIVE, LIVE + 1])('a time that is still to be read changes nothing', fromMs => {
    expect(changeOffset(writeCursor(cursorOf()), from(fromMs), AT)).toMatchObject({ isChanged: false, rereads: null })
  })

  test('a time before its start makes that its start', () => {
    const changed = changeOffset(writeCursor(cursorOf()), from(NOW - 50 * DAY), AT)
    expect(after(changed).startMs).toBe(NOW - 50 * DAY)
  })

  test('a running backfill that gets there by itself continues up to the live edge, with its current window', () => {
    const backfill = { atMs: NOW - 20 * DAY, toMs: NOW - 19 * DAY, resume: 'p2', untilMs: NOW - 5 * DAY, beganMs: NOW - HOUR }
    const changed = changeOffset(writeCursor(cursorOf({ backfill })), from(NOW - 10 * DAY), AT)
    expect(after(changed).backfill).toEqual({ ...backfill, untilMs: LIVE })
    expect(changed.rereads).toEqual({ from: NOW - 5 * DAY, until: LIVE })
  })

  test('a backfill that reaches up to the live edge and is before that time need not change', () => {
    const backfill = { atMs: NOW - 20 * DAY, toMs: null, resume: null, untilMs: LIVE, beganMs: NOW - HOUR }
    expect(changeOffset(writeCursor(cursorOf({ backfill })), from(NOW - 10 * DAY), AT).isChanged).toBe(false)
  })

  test('a running backfill goes back, and its current window counts as read: rows of it were published', () => {
    const backfill = { atMs: NOW - 20 * DAY, toMs: NOW - 19 * DAY, resume: 'p2', untilMs: LIVE, beganMs: NOW - HOUR }
    const covered = [{ from: NOW - 30 * DAY, until: NOW - 20 * DAY }]
    const changed = changeOffset(writeCursor(cursorOf({ backfill, covered })), from(NOW - 25 * DAY), AT)
    expect(after(changed)).toMatchObject({
      backfill: { atMs: NOW - 25 * DAY, toMs: null, resume: null, untilMs: LIVE },
      covered: [{ from: NOW - 30 * DAY, until: NOW - 19 * DAY }],
    })
  })

  test('a stream that is read by the vendor cursor is set back completely, and forgets no more than it had', () => {
    const spec = { ...SPEC, keepsCursor: true, lookbackMs: 0 }
    const live = { atMs: LIVE, toMs: null, resume: 'token' }
    const changed = changeOffset(writeCursor(cursorOf({ live })), from(NOW - DAY), { ...AT, spec })
    const cursor = after(changed)
    expect(cursor.live).toEqual({ atMs: NOW - DAY, toMs: null, resume: null })
    expect(next(cursor as KnownCursor, beginPace(spec), spec, NOW).piece).toMatchObject({
      window: { fromMs: NOW - DAY },
      forgotten: true,
    })
  })

  test('one without a lookback has no deduplication state for what it reads again', () => {
    const spec = { ...SPEC, lookbackMs: 0 }
    const changed = changeOffset(writeCursor(cursorOf()), from(NOW - DAY), { ...AT, spec })
    expect(changed.forgotten).toEqual({ from: NOW - DAY, until: LIVE })
    const pace = { ...beginPace(spec), pollAtMs: NOW + DAY }
    expect(next(after(changed) as KnownCursor, pace, spec, NOW).piece).toMatchObject({ lane: 'backfill', forgotten: true })
  })

  test('one without a cursor starts there, and learns from its progress what was read before', () => {
    const changed = changeOffset(null, from(NOW - 3 * DAY), AT)
    expect(after(changed)).toMatchObject({ startMs: NOW - 3 * DAY, backfill: { atMs: NOW - 3 * DAY }, covered: null })
    expect(JSON.parse(changed.text ?? '')).toMatchObject({ new: true })
  })

  test('a cursor that cannot be read is replaced', () => {
    expect(after(changeOffset('{"live.until":"soon"}', from(NOW - 3 * DAY), AT))).toMatchObject({ startMs: NOW - 3 * DAY })
  })

  test('the resume token of a listing stays sealed', () => {
    const seal = sealOf('a long key')
    const live = { atMs: LIVE, toMs: LIVE + HOUR / 2, resume: 'user-17' }
    const changed = changeOffset(writeCursor(cursorOf({ live }), undefined, false, null, seal), from(NOW - DAY), { ...AT, seal })
    expect(changed.text).not.toContain('user-17')
    expect(readCursor(changed.text ?? '', NOW, seal).live.resume).toBe('user-17')
  })
})

describe('a reset', () => {
  test('removes the cursor, and reads again from start.at', () => {
    expect(changeOffset(writeCursor(cursorOf()), { kind: 'reset' }, AT)).toMatchObject({
      text: null,
      isChanged: true,
      rereads: { from: NOW - 30 * DAY, until: LIVE },
    })
  })

  test('reads nothing again without start.at', () => {
    const spec = { ...SPEC, startAtMs: null }
    expect(changeOffset(writeCursor(cursorOf()), { kind: 'reset' }, { ...AT, spec }).rereads).toBeNull()
  })

  test('of an unreadable cursor is possible, and of none changes nothing', () => {
    expect(changeOffset('nonsense', { kind: 'reset' }, AT)).toMatchObject({ text: null, isChanged: true })
    expect(changeOffset(null, { kind: 'reset' }, AT).isChanged).toBe(false)
  })
})

describe('a cursor written by a person', () => {
  const give = (
    map: object,
    stored: string | null = writeCursor(cursorOf(), { requests: [{ atMs: NOW, count: 4 }], untold: 0 }),
  ) => changeOffset(stored, { kind: 'cursor', map: map as Record<string, unknown> }, AT)

  test('is accepted unchanged, except for its owner', () => {
    const stored = writeCursor(cursorOf(), { requests: [{ atMs: NOW, count: 4 }], untold: 0 }, false, { worker: 'w' })
    const changed = give(JSON.parse(stored) as object, stored)
    expect({ ...JSON.parse(changed.text ?? ''), worker: 'w', released: undefined }).toEqual({
      ...JSON.parse(stored),
      released: undefined,
    })
    expect(changed.rereads).toBeNull()
  })

  test('reports what is read again', () => {
    expect(give({ 'live.until': NOW - DAY }).rereads).toEqual({ from: NOW - DAY, until: LIVE })
  })

  test('keeps the recent requests to the vendor', () => {
    expect(readSpent(give({ 'live.until': NOW - DAY, requests: '' }).text ?? '').requests).toEqual([{ atMs: NOW, count: 4 }])
  })

  test.each([
    [{}, 'live.until is missing'],
    [{ 'live.until': 'soon' }, 'live.until is not a time'],
    [{ 'live.until': NOW - DAY, 'live.untill': 1 }, 'live.untill'],
    [{ 'live.until': { at: 1 } }, 'live.until is not a plain value'],
    [{ 'live.until': NOW - DAY, covered: 'all' }, 'covered takes ranges'],
    [{ 'live.until': NOW - DAY, format: 9 }, 'format is 9'],
    [{ 'live.until': NOW - DAY, 'live.resume.json': '{' }, 'live.resume.json is not JSON'],
    [{ 'live.until': NOW - DAY, 'backfill.from': NOW - 2 * DAY }, 'backfill.until stands with backfill.from'],
    [{ 'live.until': NOW + DAY }, 'is in the future'],
  ])('%j is rejected with 400', (map, message) => {
    expect(() => give(map)).toThrow(expect.objectContaining({ status: 400, message: expect.stringContaining(message) as string }))
  })
})

describe('an offset of a request', () => {
  test.each([
    ['2026-11-10T00:00:00Z', Date.UTC(2026, 10, 10)],
    ['2026-11-10T02:00:00.000+02:00', Date.UTC(2026, 10, 10)],
    ['2026-11-10', Date.UTC(2026, 10, 10)],
    [Date.UTC(2026, 10, 10), Date.UTC(2026, 10, 10)],
  ])('from %j is a time', (value, fromMs) => {
    expect(readAsk({ from: value }, NOW)).toEqual({ kind: 'from', fromMs })
  })

  test.each([
    [{ from: 'yesterday' }],
    [{ from: '2026-11-10T00:00:00' }],
    [{ from: '2026-13-40' }],
    [{ from: true }],
    [{ from: null }],
    [{ from: '1999-01-01' }],
    [{ from: '2026-12-24' }],
    [{ from: '2026-11-10', 'live.until': 1 }],
  ])('%j is rejected with 400', offset => {
    expect(() => readAsk(offset, NOW)).toThrow(ControlError)
  })

  test('null resets', () => {
    expect(readAsk(null, NOW)).toEqual({ kind: 'reset' })
  })
})

describe('what reading again costs', () => {
  const range = (lengthMs: number) => ({ rereads: { from: NOW - lengthMs, until: NOW }, forgotten: null })
  const window = (untilMs: number, pages: number, rows: number, lengthMs = HOUR): SeenWindow => ({
    fromMs: untilMs - lengthMs,
    untilMs,
    pages,
    rows,
  })

  test('is at least one request per window', () => {
    expect(requestsFor(range(DAY), seenOf([window(NOW, 1, 0)]), SPEC, null)).toBe(4)
  })

  test('is as many pages as the rows of that time fill', () => {
    // 100 rows an hour, pages of 50 rows: two pages an hour.
    expect(requestsFor(range(DAY), seenOf([window(NOW, 2, 100), window(NOW - HOUR, 2, 100)]), SPEC, null)).toBe(48)
  })

  test('counts a window once that was committed in parts or read again', () => {
    expect(seenOf([window(NOW, 2, 100), window(NOW, 2, 100)])).toEqual({ spanMs: HOUR, rows: 100, rowsOfPage: 50 })
  })

  test('includes the enrichment of rows that are published again', () => {
    const changed = { ...range(DAY), forgotten: { from: NOW - DAY, until: NOW - DAY / 2 } }
    expect(requestsFor(changed, seenOf([window(NOW, 2, 100)]), SPEC, 10)).toBe(48 + 120)
  })

  test('is unknown if nothing was read recently, and zero if nothing is read again', () => {
    expect(requestsFor(range(DAY), seenOf([]), SPEC, null)).toBeNull()
    expect(requestsFor({ rereads: null, forgotten: null }, null, SPEC, null)).toBe(0)
  })

  test('takes as long as the limits of the vendor require', () => {
    expect(secondsFor(600, 3600)).toBe(600)
    expect(secondsFor(600, Infinity)).toBe(180)
  })
})

describe('a source partition that was set back by ten days', () => {
  const DAYS = 20
  /** One session every three hours, closed long ago. */
  const sessions: TinySession[] = Array.from({ length: DAYS * 8 }, (_, number) => {
    const startMs = NOW - DAYS * DAY + number * 3 * HOUR + 1000
    return { id: `s${number}`, bot: 'bot', startMs, messageTimes: [startMs + 1000], closesMs: startMs + 60_000, shownMs: startMs }
  })

  test('publishes nothing inside the lookback again, and one more revision of everything before', async () => {
    const clock = handClock(NOW, { autoAdvance: { quietMs: 2 } })
    const kafka = memoryKafka(() => clock.now())
    const vendor = { sessions, clock, luck: draw(1), pageRows: 10, failing: 0, longestMs: Infinity, reads: 0 }
    const connector = tinyConnector(vendor, {
      longestMs: DAY,
      lagMs: 0,
      lookbackMs: 2 * DAY,
      lookbackIntervalMs: 12 * HOUR,
      pollIntervalMs: 60_000,
      durableResume: true,
    })
    const live = async (ms: number) => {
      const life = startLife({ kafka, connector, clock, base: { startAtMs: NOW - DAYS * DAY } })
      onTestFinished(() => life.stop())
      await clock.sleep(ms)
      await life.stop()
    }
    await live(2 * HOUR)
    const before = await topicsOf(kafka)
    expect(before.sessions).toHaveLength(sessions.length)

    const key = cursorKey({ connector: 'acme-tiny', stream: 'sessions', scope: 'acme' })
    const stream = connector.streams['sessions'] as Connector['streams'][string]
    const spec = planSpecOf(connector, stream, { ...base, startAtMs: NOW - DAYS * DAY }, {})
    const stored = String(before.offsets.at(-1)?.value)
    const changed = changeOffset(stored, from(NOW - 10 * DAY), { spec, nowMs: clock.now(), seal: unsealed })
    const writer = kafka.openWriter({ transactionalId: 'offsets' })
    await writer.fence()
    const records = [{ key: Buffer.from(key), value: Buffer.from(changed.text ?? '') }]
    await writer.transact(tx => tx.write([{ topic: names.offsets, partition: partitionOf(key, PARTITIONS), records }]))
    const setBackMs = clock.now()
    await live(2 * HOUR)

    const again = (await topicsOf(kafka)).sessions.slice(sessions.length)
    const ids = again.map(({ value }) => value.session_id)
    const heldMs = changed.forgotten?.until ?? 0
    const between = (fromMs: number, untilMs: number) =>
      sessions.filter(({ startMs }) => fromMs <= startMs && startMs < untilMs).map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(expect.arrayContaining(between(NOW - 10 * DAY, heldMs - DAY)))
    expect(between(NOW - 10 * DAY, heldMs - DAY).length).toBeGreaterThan(50)
    // Rows of the window that contains the edge of the lookback may still be remembered.
    expect(ids.filter(id => !between(NOW - 10 * DAY, heldMs).includes(id))).toEqual([])
    for (const { value } of again) expect(value.revision).toBeGreaterThanOrEqual(Math.floor(setBackMs / 1000))
    const cursor = (await topicsOf(kafka)).cursors.at(-1)
    expect(cursor?.backfill).toBeNull()
    expect(cursor?.live.atMs).toBeGreaterThan(setBackMs)
  })
})
