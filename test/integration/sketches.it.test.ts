/** The two sketches on a point, read from the topic by a program in Python that shares no code with us. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { startAggregator } from '../../src/aggregate/run.ts'
import type { SeriesPoint, Session } from '../../src/records.ts'
import { createSketchReader, SKETCH_VALUES } from '../../src/serve/sketches.ts'
import { finish } from '../../src/slices.ts'
import { createStore } from '../../src/serve/store.ts'
import { snapshotsOf } from '../serve/points.ts'
import { harness, type Harness } from '../aggregate/harness.ts'
import { makeSession, random } from '../aggregate/make.ts'
import { readIndependently, runPython } from '../support/independent/read-topics.ts'

const FROM = Date.parse('2026-11-01T00:00:00Z')
const MINUTE = 60_000

interface Read {
  readonly count: number
  readonly quantiles: Readonly<Record<string, number>>
  readonly users: number
  readonly kinds: Readonly<Record<string, number>>
  readonly missing: readonly string[]
}

/** Sessions whose users come again and again, in one series and day. */
function sessionsOf(seed: number, of: { sessions: number; users: number; minutes: number }): Session[] {
  const r = random(seed)
  return Array.from({ length: of.sessions }, (_, i) => {
    const started_at = FROM + r.int(of.minutes) * MINUTE
    const lastsMs = r.chance(0.1) ? 0 : Math.floor(Math.exp((r.int(1e6) / 1e6) * 15))
    return {
      ...makeSession(r, `s${seed}-${i}`, 1, started_at, 1),
      bot_id: `bot-${seed}`,
      channel: 'web' as const,
      language: 'en',
      is_test: null,
      user_id: `användare ${seed}-${r.int(of.users)}`,
      started_at,
      ended_at: started_at + lastsMs,
    }
  })
}

describe.each([
  { what: 'a few users in many minutes', seed: 1, sessions: 600, users: 150, minutes: 120, kinds: ['explicit'] },
  { what: 'more users than a minute keeps by themselves', seed: 2, sessions: 3_000, users: 2_000, minutes: 4, kinds: ['sparse'] },
  { what: 'a crowd in one minute', seed: 3, sessions: 9_000, users: 7_000, minutes: 1, kinds: ['full'] },
])('$what', ({ seed, kinds, ...of }) => {
  const stop = new AbortController()
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-sketches-'))
  const sessions = sessionsOf(seed, of)
  let h: Harness
  let points: SeriesPoint[]
  let read: Read

  beforeAll(async () => {
    h = await harness(inject('stack'), 1)
    const aggregator = startAggregator({ ...h, options: { groupId: h.prefix, lingerMs: 20 }, signal: stop.signal })
    // First all of them last longer, and are of other users: what is left on the topic is of the last records.
    const before = sessions.map(session => ({ ...session, user_id: `${session.user_id}, before`, ended_at: FROM + 7e7 }))
    const withdrawn = sessionsOf(seed + 10, { ...of, sessions: 50 }).map(session => ({ ...session, bot_id: `bot-${seed}` }))
    for (const all of [before, withdrawn, sessions]) await h.feed(all.map(record => ({ kind: 'session', record })))
    await h.feed(withdrawn.map(record => ({ kind: 'withdrawal', record })))
    await h.caughtUp()
    stop.abort()
    await aggregator.done

    points = await h.points()
    const newest = new Map<string | null, Record<string, unknown>>()
    for (const { key, value } of await readIndependently(inject('stack').brokers, inject('stack').registry, [h.names.series]))
      if (value !== null) newest.set(key, value)
    const all = (field: string) => [...newest.values()].map(value => value[field]).filter(sketch => sketch !== null)
    const file = join(folder, 'sketches.json')
    const user_ids = [...new Set(sessions.map(session => session.user_id))]
    writeFileSync(file, JSON.stringify({ durations: all('duration_sketch'), users: all('users_sketch'), user_ids }))
    const program = join(import.meta.dirname, '../support/independent/read_sketches.py')
    read = JSON.parse(await runPython(program, [file])) as Read
  }, 300_000) // the first time, packages are fetched
  afterAll(async () => {
    stop.abort()
    rmSync(folder, { recursive: true })
    await h.close()
  })

  const distinct = new Set(sessions.map(session => session.user_id)).size
  const sorted = sessions.map(session => (session.ended_at ?? 0) - session.started_at).toSorted((a, b) => a - b)
  const exact = (q: number) => sorted[Math.floor(q * (sorted.length - 1))] ?? NaN

  /** What we answer for the day. */
  function ours() {
    const store = createStore()
    for (const point of points) store.put(point)
    const reader = createSketchReader({ edges: [FROM, FROM + 86_400_000], first: 0 }, 1)
    const values = (sketch: 'duration_sketch' | 'users_sketch') =>
      finish(reader.read(sketch, snapshotsOf(store))).map(({ whole }) => whole ?? NaN)
    return { quantiles: values('duration_sketch'), users: values('users_sketch')[0] ?? NaN }
  }

  test('are as many as Python finds, within 3 %, and each of them is there by the hash of its id', () => {
    expect(Object.keys(read.kinds)).toEqual(expect.arrayContaining(kinds))
    expect(read.missing).toEqual([])
    expect(Math.abs(read.users / distinct - 1)).toBeLessThan(0.03)
    expect(Math.abs(ours().users / distinct - 1)).toBeLessThan(0.03)
    if (kinds.includes('explicit')) expect([read.users, ours().users]).toEqual([distinct, distinct])
  })

  test('had sessions whose percentiles Python finds as we do, within 1 % of the exact ones', () => {
    expect(read.count).toBe(sessions.length)
    for (const [at, q] of SKETCH_VALUES.duration_sketch.entries()) {
      expect(Math.abs((read.quantiles[q] ?? NaN) - exact(q))).toBeLessThanOrEqual(exact(q) * 0.01 + 1e-6)
      expect(ours().quantiles[at]).toBeCloseTo(read.quantiles[q] ?? NaN, 6)
    }
  })
})
