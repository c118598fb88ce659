/** Checks of the whole pipeline: after kills, faults, quirks and a stop, the topics have what the vendor's truth says. */
import assert from 'node:assert/strict'
import type { Boundary } from '../ingest/commit.ts'
import type { Bench } from './bench.ts'
import {
  type Line,
  liveStill,
  liveUnfolding,
  liveUnfoldingAtOnce,
  OWN_QUOTA,
  overAt,
  stillLine,
  unfoldingLine,
} from './pipeline.ts'
import type { Spoil } from './proxy.ts'
import { assertSound } from './topics.ts'
import type { Quirk } from './subject.ts'

export async function holdsTheTruth(bench: Bench): Promise<void> {
  const line = unfoldingLine(bench)
  await liveUnfolding(line, bench)
  await line.assertTrue()
}

/** Most lives of one line: a bound for what never ends, far more than a vendor with few rows needs. */
const MOST_LIVES = 2000

/**
 * One life after another on the same topics, in a world that is over: each ends at the first page or commit at which none has ended yet. Every page is
 * committed by itself, so that the next life continues in the middle of a window if the vendor's resume survives.
 */
export async function survivesKills(bench: Bench): Promise<void> {
  const met = new Set<string>()
  const line = stillLine(bench, { base: { errorsTolerance: 'none' } })
  let kills = 0
  const fault = (at: Boundary, die: () => Promise<never>) => {
    if (!isMain(at)) return undefined
    const place = placeOf(line, at)
    if (met.has(place)) return undefined
    met.add(place)
    return die()
  }
  while ((await liveStill(line, bench, { fault })) === 'killed')
    assert(++kills < MOST_LIVES, `after ${MOST_LIVES} kills there are still new pages`)
  assert(kills > 0, 'nothing was killed')
  await line.assertTrue()
}

/** Approximate number of lives that end: with few rows one at each page and commit, else one at each of this many places, spread over the whole time. */
const KILLS = 60
/** Of the boundaries at which not every life ends: one in this many. */
const ONE_IN = 4
const SINGLE_KILLS = 4

/**
 * While time passes, with lookback passes: each life ends at a page or commit at which none has ended yet, or at one of a sample of the other boundaries, a
 * quarter as many. Then a few lines that are killed once, each somewhere else.
 */
export async function survivesKillsAsTimeGoesOn(bench: Bench): Promise<void> {
  // Hot rows are read again at every poll, and move no cursor: no new place to be killed at, but many pages.
  const base = { hotMs: 0 }
  const places = new Set<string>()
  const calm = unfoldingLine(bench, { base })
  await liveUnfolding(calm, bench, { fault: at => void (isMain(at) && places.add(placeOf(calm, at))) })

  const met = new Set<string>()
  const draw = drawing(7)
  const chance = KILLS / places.size
  const line = unfoldingLine(bench, { base })
  let kills = 0
  const fault = (at: Boundary, die: () => Promise<never>) => {
    const place = placeOf(line, at)
    // A kill creates new places: if all of them were killed, time would hardly advance.
    if (kills >= 2 * KILLS || met.has(place)) return undefined
    met.add(place)
    return draw() < (isMain(at) ? chance : chance / ONE_IN) ? die() : undefined
  }
  while ((await liveUnfolding(line, bench, { fault })) === 'killed') kills++
  assert(kills > 0, 'nothing was killed')
  await line.assertTrue()

  let boundaries = 0
  await liveStill(stillLine(bench), bench, { fault: () => void boundaries++ })
  for (let kill = 0; kill < SINGLE_KILLS; kill++) {
    const still = stillLine(bench)
    let left = 1 + Math.floor(draw() * boundaries)
    const once = (_at: Boundary, die: () => Promise<never>) => (--left === 0 ? die() : undefined)
    if ((await liveStill(still, bench, { fault: once })) === 'killed') await liveStill(still, bench)
    await still.assertTrue()
  }
}

const isMain = (at: Boundary) => at === 'read' || at === 'committed'

/**
 * Where a life is. A commit that moves no cursor (a part of a window whose position cannot be kept) is not a place to end at again: nothing would ever move.
 */
function placeOf(line: Line, at: Boundary): string {
  return at === 'read' ? `read ${line.watch.lastPage}` : `${at} ${line.place()}`
}

/** [0, 1), the same in every run. */
function drawing(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

export interface MidFault {
  readonly name: string
  spoil(nth: number): Spoil
  /** Deadline of a request, instead of the connector's own: that is too long to wait for. */
  readonly timeoutMs?: number
  /** How many bursts; the second is long. Default four. */
  readonly bursts?: number
}
/** Real time: far more than a whole answer takes. */
const DRIP_MS = 400

const answer = (status: number, body = '{}', headers: Readonly<Record<string, string>> = {}): Spoil => ({
  kind: 'answer',
  status,
  body,
  headers,
})

/** Each in short bursts, which a request outlasts, and in long ones, whose error the connector gets. */
export const MID_FAULTS: readonly MidFault[] = [
  { name: '401 in mid-listing', spoil: () => answer(401) },
  {
    name: 'storms of 429 in mid-listing, with and without Retry-After',
    spoil: nth => (nth % 3 === 0 ? answer(429) : answer(429, '{}', { 'retry-after': '7' })),
  },
  {
    name: '500, 502, 503 and 504 in mid-listing',
    spoil: nth => answer([500, 502, 503, 504][nth % 4] as number, nth % 2 === 0 ? '{}' : '<html>Bad Gateway</html>'),
  },
  { name: 'bodies cut off in mid-listing', spoil: () => ({ kind: 'cut' }) },
  {
    name: 'answers of the wrong content type in mid-listing',
    spoil: () => answer(200, '<!doctype html><title>Sign in</title>', { 'content-type': 'text/html' }),
  },
  { name: 'connections that end in mid-listing', spoil: () => ({ kind: 'hang_up' }) },
  {
    name: 'answers that drip in mid-listing, too slowly for the time that a request may take',
    spoil: () => ({ kind: 'drip', pieces: 4, everyMs: DRIP_MS / 2 }),
    timeoutMs: DRIP_MS,
    bursts: 2,
  },
]

/** The error of a 401 is passed on after four tries, that of others after the connector's own number, by default five. */
const LEAST_LONG_BURST = 4
const MOST_BURSTS = 4

export async function survivesFault(bench: Bench, fault: MidFault): Promise<void> {
  const line = stillLine(bench, fault.timeoutMs === undefined ? {} : { timeoutMs: fault.timeoutMs })
  const { proxy, connector, config } = bench
  const tries = connector.http(config).tries ?? 5
  const lengths = [2, Math.max(LEAST_LONG_BURST, tries), 1, Math.max(LEAST_LONG_BURST, tries) + 2]
  const most = fault.bursts ?? MOST_BURSTS
  let bursts = 0
  let left = 0
  let quietSince = 0
  proxy.spoil = nth => {
    const { midListing, sawSecondPage } = line.watch
    if (left === 0 && bursts < most && nth - quietSince > 2 && (midListing > 0 || (!sawSecondPage && nth % 3 === 0)))
      left = lengths[bursts++ % lengths.length] as number
    if (left === 0) return null
    left--
    quietSince = nth
    return fault.spoil(nth)
  }
  await liveStill(line, bench)
  assert(bursts > 0, 'the vendor has so few pages that none could be spoiled')
  await line.assertTrue()
}

/** Reads under one quirk of the vendor; if only a later pass can fix the result, until no pass can find more. */
export async function survivesQuirk(bench: Bench, quirk: Quirk): Promise<void> {
  if (quirk === 'ignores_token') return neverEndsQuietly(bench)
  if (quirk === 'quota') return keepsQuota(bench)
  if (quirk === 'edges_inclusive' || quirk === 'edges_exclusive') return meetsEdges(bench)
  const still = quirk === 'tied'
  const line = still ? stillLine(bench) : unfoldingLine(bench)
  await (still ? liveStill(line, bench) : liveUnfolding(line, bench))
  await line.assertTrue()
}

/** Requests within which a listing whose token is ignored must be noticed. */
const MOST_IGNORED = 1500
/** How often a source partition may fail before the topics are checked. */
const MOST_FAILURES = 3

async function neverEndsQuietly(bench: Bench): Promise<void> {
  const line = stillLine(bench)
  const { untilMs } = bench.vendor.window
  let failures = 0
  const hasFailed = () => line.states.some(({ state }) => state === 'failed') && ++failures >= MOST_FAILURES
  const end = await liveStill(line, bench, { mostRequests: MOST_IGNORED, until: () => line.isRead(untilMs) || hasFailed() })
  assert.notEqual(end, 'endless', `reading continues after ${MOST_IGNORED} requests`)
  if (line.isRead(untilMs)) return line.assertTrue()
  assertSound(await line.topics())
  const reported = line.states.filter(({ completeUntilMs, error }) => error === null && (completeUntilMs ?? 0) < untilMs)
  assert.deepEqual(
    reported.map(({ stream, scope }) => `${stream}/${scope}`),
    [],
    'source partitions that are not completely read report no error',
  )
}

async function keepsQuota(bench: Bench): Promise<void> {
  const line = unfoldingLine(bench, { base: { quota: OWN_QUOTA } })
  await liveUnfoldingAtOnce(line, bench)
  await line.assertTrue()
  assert(bench.vendor.refusedForQuota !== undefined, 'the vendor does not report requests rejected for its limits')
  assert.equal(bench.vendor.refusedForQuota(), 0, 'requests that the vendor rejected for its limits')
}

/** The world read in windows whose edges are exactly on the times of rows. */
async function meetsEdges(bench: Bench): Promise<void> {
  const { vendor } = bench
  const { fromMs, untilMs } = vendor.window
  assert(vendor.truth !== undefined, 'the vendor has no truth: nothing can be compared')
  const { sessions, messages, events } = vendor.truth(overAt(bench))
  const times = [
    sessions.map(session => session.started_at),
    sessions.map(session => session.ended_at),
    messages.map(message => message.sent_at),
    events.map(event => event.occurred_at),
  ]
  // One row of each kind at which a window ends and the next begins, some early and some late.
  const chosen = new Set<number>()
  for (const [i, list] of times.entries()) {
    const inside = list.filter(ms => typeof ms === 'number').filter(ms => ms > fromMs && ms < untilMs)
    const ms = inside.toSorted((a, b) => a - b)[Math.floor(inside.length * (i % 2 === 0 ? 0.3 : 0.7))]
    if (ms !== undefined) chosen.add(ms)
  }
  assert(chosen.size > 0, 'no record of the truth has a time')
  const longestMs = shortestWindow(bench)
  for (const edgeMs of chosen) {
    // Windows of one length, one of which ends at the row: the first begins before the rows do.
    const count = Math.ceil((edgeMs - fromMs) / longestMs)
    const lengthMs = count === 1 ? edgeMs - fromMs : longestMs
    const line = stillLine(bench, { longestMs: lengthMs, base: { startAtMs: edgeMs - count * lengthMs } })
    await liveStill(line, bench)
    await line.assertTrue()
  }
}

function shortestWindow(bench: Bench): number {
  const lengths = bench.base.streams.map(name => {
    const stream = bench.connector.streams[name]
    const spec = typeof stream?.window === 'function' ? stream.window(bench.config) : stream?.window
    return spec?.longestMs ?? Infinity
  })
  return Math.min(...lengths, bench.vendor.window.untilMs - bench.vendor.window.fromMs)
}

const STOP_MS = 1000

/** While a request hangs, while waiting for quota, between two polls, and while backing off. */
export async function stopsAtOnce(bench: Bench): Promise<void> {
  const { proxy } = bench
  const hung = stillLine(bench)
  await stops('while a request hangs', hung, async begun => {
    let stop = () => {}
    proxy.spoil = () => {
      if (!hung.watch.sawPage) return null
      setImmediate(() => {
        begun()
        stop()
      })
      return { kind: 'hang' }
    }
    await hung.live({ until: () => false, onStart: how => (stop = how) })
  })

  proxy.spoil = () => null
  const waiting = stillLine(bench, { base: { quota: { ...OWN_QUOTA, perHour: 1, perMinute: 0, perSecond: 0, gapMs: 0 } } })
  await stops('while waiting for quota', waiting, async begun => {
    await waiting.live({ until: () => false, stopAt: () => waiting.watch.calls > 0 && (begun(), true) })
  })

  const polling = stillLine(bench)
  await stops('between two polls', polling, async begun => {
    const { untilMs } = bench.vendor.window
    await polling.live({ until: () => false, stopAt: () => polling.isRead(untilMs) && (begun(), true) })
  })

  const backing = stillLine(bench)
  proxy.spoil = () => (backing.watch.sawPage ? answer(500) : null)
  await stops('while backing off', backing, async begun => {
    await backing.live({ until: () => false, stopAt: () => backing.watch.calls > 0 && (begun(), true) })
  })
}

async function stops(when: string, line: Line, run: (begun: () => void) => Promise<void>): Promise<void> {
  let begunMs: number | null = null
  let clockMs = 0
  await run(() => {
    begunMs ??= performance.now()
    clockMs = line.clock.now()
  })
  assert(begunMs !== null, `the task ended before it could be stopped ${when}`)
  const waitedMs = Math.max(performance.now() - begunMs, line.clock.now() - clockMs)
  assert(waitedMs < STOP_MS, `stopped ${when}, it ends after ${Math.round(waitedMs)} ms`)
}
