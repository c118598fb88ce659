import { expect, test } from 'vitest'
import type { PlanSpec } from '../../src/ingest/plan.ts'
import { beginCursor } from '../../src/ingest/plan.ts'
import { Reader } from '../../src/ingest/reader.ts'
import { silentLog } from '../../src/log.ts'
import type { TimeRange } from '../../src/records.ts'
import { FlowError, type Json, type Stream } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'

const NOW = Date.parse('2026-11-01T12:00:00Z')

type ReaderParts = ConstructorParameters<typeof Reader>[0]

function readerOf(stream: object, spec: PlanSpec, covered: readonly TimeRange[] = [], more: Partial<ReaderParts> = {}): Reader {
  const parts: ReaderParts = {
    stream: stream as unknown as Stream,
    config: {},
    scope: { name: 's', botId: null },
    http: {} as never,
    spec,
    clock: handClock(NOW),
    log: silentLog,
    openIds: () => [],
    timeOf: () => undefined,
    ...more,
  }
  return new Reader(parts, beginCursor(spec, NOW, covered))
}

test('a listing that has moved is not gone on with from its place, however often it was begun again', async () => {
  const resumes: Json[] = []
  const stream = {
    async *read({ resume }: { resume: Json }) {
      resumes.push(resume)
      if (resume !== null) throw new FlowError('SRC_RESUME_EXPIRED')
      yield { rows: [{ id: 'a' }], resume: 'p2' }
      throw new FlowError('SRC_RESUME_EXPIRED')
    },
  }
  const spec: PlanSpec = {
    startAtMs: NOW - 3_600_000,
    pollIntervalMs: 60_000,
    lagMs: 0,
    lookbackMs: 0,
    lookbackIntervalMs: 60_000,
    hotMs: 0,
    mostPerHour: Infinity,
    settles: false,
    keepsCursor: false,
    longestMs: 86_400_000,
    smallestMs: 1000,
    durableResume: true,
    inOrder: true,
    followMs: 0,
  }
  const reader = readerOf(stream, spec)
  let error: unknown = null
  for (let pages = 0; pages < 20 && error === null; pages++) {
    try {
      const step = await reader.next()
      if (step !== null) reader.accept(step)
    } catch (thrown) {
      error = thrown
    }
  }
  expect(error).toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
  expect(reader.cursor.backfill).toMatchObject({ resume: null })
  expect(reader.cursor.backfill?.toMs).not.toBeNull()
  expect(resumes.every(resume => resume === null)).toBe(true)
})

const HOUR = 3_600_000
const SPEC: PlanSpec = {
  startAtMs: hoursFrom(-24),
  pollIntervalMs: 60_000,
  lagMs: 0,
  lookbackMs: 24 * HOUR,
  lookbackIntervalMs: HOUR,
  hotMs: HOUR,
  mostPerHour: Infinity,
  settles: false,
  keepsCursor: false,
  longestMs: HOUR,
  smallestMs: 1000,
  durableResume: true,
  inOrder: false,
  followMs: 0,
}

function hoursFrom(hours: number): number {
  return NOW + hours * HOUR
}

type Kind = 'sweep' | 'pass' | 'backfill' | 'named' | 'open'

/** A reader whose calls take a second each; what it reads in so many of them. */
function reading(of: { changes?: unknown; open?: readonly string[]; spec?: Partial<PlanSpec> }) {
  const spec = { ...SPEC, ...of.spec }
  const clock = handClock(NOW)
  const warned: string[] = []
  const demanded: { hotMs: number; perHour: number }[] = []
  const stream = {
    async *read() {
      reader.asked()
      await Promise.resolve()
      yield { rows: [], resume: null }
    },
    ...(of.open && { follow: { isOpen: () => true, read: async () => [], atOnce: 1, longestMs: 0 } }),
    ...(of.changes !== undefined && { changes: { lagMs: 0, joinMs: 60_000, read: of.changes } }),
  }
  const covered = [{ from: hoursFrom(-240), until: NOW }]
  const reader = readerOf(stream, spec, covered, {
    clock,
    onDemand: (hotMs, perHour) => void demanded.push({ hotMs, perHour: sumOf(perHour) }),
    log: { ...silentLog, warn: (_fields: unknown, words: string) => void warned.push(words) },
    openIds: () => [...(of.open ?? [])],
    timeOf: id => (id === 'known' ? hoursFrom(-5) : undefined),
  })
  return {
    clock,
    warned,
    demanded,
    reader,
    async pages(count: number): Promise<{ kind: Kind; fromMs: number; untilMs: number }[]> {
      const read: { kind: Kind; fromMs: number; untilMs: number }[] = []
      for (let page = 0; page < count; page++) {
        const step = await reader.next()
        clock.jump(1000)
        if (step === null) continue
        reader.accept(step)
        const { lane, swept, named, followed, window } = step.piece
        const kind = followed ? 'open' : named ? 'named' : swept ? 'sweep' : lane === 'lookback' ? 'pass' : 'backfill'
        read.push({ kind, ...window })
      }
      return read
    },
  }
}

const sumOf = (of: ReadonlyMap<unknown, number>) => [...of.values()].reduce((sum, each) => sum + each, 0)
const kindsOf = (pages: readonly { kind: Kind }[]) => new Set(pages.map(({ kind }) => kind))

test('more open rows than a poll has time for leave a page in five to passes and backfill', async () => {
  const place = reading({ open: Array.from({ length: 5_000 }, (_, id) => `row ${id}`) })
  const pages = await place.pages(10_000)
  const of = (kind: Kind) => pages.filter(page => page.kind === kind).length
  expect(of('sweep')).toBeGreaterThan(10)
  expect(of('open')).toBeGreaterThan(600)
  // The backfill of a day, and passes after it.
  expect(of('backfill')).toBeGreaterThanOrEqual(24)
  expect(of('pass')).toBeGreaterThan(20)
})

test('rows that the change feed names are read at once, by window or by id, the newest first; those that nothing is remembered of, and hot ones, are not', async () => {
  const at = (hours: number) => ({ fromMs: hoursFrom(hours), untilMs: hoursFrom(hours) + 1 })
  let asked = 0
  const place = reading({
    changes: async () => (asked++ === 0 ? { ids: ['known', 'unknown'], windows: [at(-8), at(-0.5), at(-3), at(-30)] } : {}),
  })
  const named = (await place.pages(200)).filter(({ kind }) => kind === 'named')
  expect(named.map(({ fromMs }) => fromMs)).toEqual([hoursFrom(-3), hoursFrom(-5), hoursFrom(-8)])
  expect(asked).toBeGreaterThan(2)
})

test.each([
  ['500', new FlowError('SRC_SERVER_ERROR', { status: 500 })],
  ['403', new FlowError('SRC_UNAUTHORISED', { status: 403 })],
  ['429', new FlowError('SRC_RATE_LIMITED', { waitMs: 1000 })],
  ['a fault of the connector', new TypeError('x')],
])('a change feed that fails with %s keeps nothing from being read, and is told of once', async (_, error) => {
  const place = reading({ changes: () => Promise.reject(error) })
  const pages = await place.pages(4_000)
  expect(kindsOf(pages)).toEqual(new Set(['sweep', 'pass', 'backfill']))
  expect(place.reader.cursor.live.atMs).toBeGreaterThan(hoursFrom(0) + 300_000)
  expect(place.warned).toEqual(['what has changed cannot be told; it is found by the next passes'])
})

test('what is hot is shortened, visibly, where reading it at every poll would not fit the quota', async () => {
  // Twelve windows an hour of what is hot, at sixty polls: 720 requests an hour, of which 500 are had, with the passes.
  const place = reading({ spec: { longestMs: 300_000, mostPerHour: 500, lookbackMs: 2 * HOUR, startAtMs: null } })
  const sweeps = (await place.pages(3_000)).filter(({ kind }) => kind === 'sweep')
  const [first, last] = [place.demanded[0], place.demanded.at(-1)]
  expect(first?.perHour).toBeGreaterThan(500)
  expect(last?.hotMs).toBeLessThan(HOUR / 2)
  expect(last?.perHour).toBeLessThanOrEqual(500)
  expect(place.warned[0]).toContain('more would not fit the quota')
  const reach = (page?: { fromMs: number }) => Math.round((place.clock.now() - (page?.fromMs ?? 0)) / 60_000)
  expect(reach(sweeps.at(-1)), 'the newest sweep reads less').toBeLessThan(31)
})

test('what is hot stays as the config has it where it fits', async () => {
  const place = reading({ spec: { longestMs: 300_000, mostPerHour: 2_000, startAtMs: null } })
  await place.pages(1_000)
  expect(place.demanded.at(-1)?.hotMs).toBe(HOUR)
  expect(place.warned).toEqual([])
})

test('a page of the past for which a poll is late asks with the turn of live, until live has been read again', async () => {
  const clock = handClock(NOW)
  const stream = {
    async *read({ window }: { window: { fromMs: number } }) {
      yield { rows: [{ id: String(window.fromMs) }], resume: null }
    },
  }
  const reader = readerOf(stream, SPEC, [], { clock })
  const pageOf = async (lane: string) => {
    for (let pages = 0; pages < 10; pages++) {
      const step = await reader.next()
      if (step !== null) reader.accept(step)
      if (reader.lane === lane) return
    }
    throw new Error(`no page of the lane ${lane}`)
  }
  await pageOf('backfill')
  expect(reader.turn).toBe('backfill')
  await clock.advance(SPEC.pollIntervalMs)
  expect(reader.turn).toBe('backfill')
  await clock.advance(1)
  expect([reader.lane, reader.turn]).toEqual(['backfill', 'live'])
  await pageOf('live')
  await pageOf('backfill')
  expect(reader.turn).toBe('backfill')
})
