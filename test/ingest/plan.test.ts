import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { readCursor, withRange, writeCursor } from '../../src/ingest/cursor.ts'
import {
  afterPage,
  afterWindow,
  beginCursor,
  beginPace,
  completeUntil,
  halveWindow,
  horizon,
  type KnownCursor,
  next,
  notAheadOf,
  type Pace,
  type Piece,
  type PlanSpec,
  startWindowAgain,
  stillNeeded,
  underLookback,
} from '../../src/ingest/plan.ts'
import type { Lane, TimeRange } from '../../src/records.ts'
import { draw } from './random.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOON = Date.parse('2026-11-20T12:00:00Z')

const spec: PlanSpec = {
  startAtMs: null,
  pollIntervalMs: MINUTE,
  lagMs: 2 * MINUTE,
  lookbackMs: 0,
  lookbackIntervalMs: 15 * MINUTE,
  longestMs: DAY,
  smallestMs: 1000,
  durableResume: true,
  inOrder: false,
  followMs: 0,
}

/** Reads whole windows, each in no time, until nothing is due. */
function readAll(cursor: KnownCursor, pace: Pace, of: PlanSpec, nowMs: number, most = 1000) {
  const pieces: Piece[] = []
  for (;;) {
    const planned = next(cursor, pace, of, nowMs)
    ;({ cursor, pace } = planned)
    if (planned.piece === null || pieces.length === most) return { cursor, pace, pieces }
    pieces.push(planned.piece)
    ;({ cursor, pace } = afterWindow(cursor, pace, planned.piece, of, nowMs))
  }
}

const windows = (pieces: readonly Piece[]) =>
  pieces.map(({ lane, window }) => [lane, window.fromMs - NOON, window.untilMs - NOON])

describe('turns', () => {
  const of = { ...spec, startAtMs: NOON - 5 * DAY, pollIntervalMs: 500 }

  test('a live edge that is due again whenever it has been read leaves every other page to the backfill', () => {
    let { cursor, pace } = { cursor: beginCursor(of, NOON, []), pace: beginPace(of) }
    const lanes: string[] = []
    for (let nowMs = NOON + 1000; lanes.length < 40 && cursor.backfill; nowMs += 1000) {
      const planned = next(cursor, pace, of, nowMs)
      if (planned.piece === null) break
      lanes.push(planned.piece.lane)
      ;({ cursor, pace } = afterWindow(planned.cursor, planned.pace, planned.piece, of, nowMs))
    }
    expect(lanes.slice(0, 6)).toEqual(['live', 'backfill', 'live', 'backfill', 'live', 'backfill'])
    expect(cursor.backfill).toBeNull()
  })

  test('a live window that fails again and again does not hold up the backfill', () => {
    let { cursor, pace } = { cursor: beginCursor(of, NOON, []), pace: beginPace(of) }
    for (let nowMs = NOON + 1000; cursor.backfill; nowMs += 1000) {
      if (nowMs > NOON + 1_000_000) throw new Error('the backfill never ended')
      const planned = next(cursor, pace, of, nowMs)
      if (planned.piece?.lane === 'backfill')
        ({ cursor, pace } = afterWindow(planned.cursor, planned.pace, planned.piece, of, nowMs))
      else ({ cursor, pace } = planned) // live is asked for, and fails
    }
    expect(cursor.live.atMs).toBe(NOON - of.lagMs)
  })
})

describe('the first start', () => {
  test('without start.at reads nothing of the past: live begins at now minus lag', () => {
    const cursor = beginCursor(spec, NOON, [])
    expect(readAll(cursor, beginPace(spec), spec, NOON).pieces).toEqual([])
    expect(completeUntil(cursor)).toBe(NOON - 2 * MINUTE)
    expect(windows(readAll(cursor, beginPace(spec), spec, NOON + MINUTE).pieces)).toEqual([['live', -2 * MINUTE, -MINUTE]])
  })

  test('with start.at fills from there up to the first live edge, in windows no longer than the longest', () => {
    const of = { ...spec, startAtMs: NOON - 2 * DAY - HOUR }
    const { pieces, cursor } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    expect(windows(pieces)).toEqual([
      ['backfill', -2 * DAY - HOUR, -DAY - HOUR],
      ['backfill', -DAY - HOUR, -HOUR],
      ['backfill', -HOUR, -2 * MINUTE],
    ])
    expect(cursor.backfill).toBeNull()
    expect(completeUntil(cursor)).toBe(NOON - 2 * MINUTE)
  })

  test('with start.at in the future waits for it', () => {
    const of = { ...spec, startAtMs: NOON + HOUR }
    const cursor = beginCursor(of, NOON, [])
    expect(readAll(cursor, beginPace(of), of, NOON + 30 * MINUTE).pieces).toEqual([])
    expect(windows(readAll(cursor, beginPace(of), of, NOON + 2 * HOUR).pieces)).toEqual([['live', HOUR, 2 * HOUR - 2 * MINUTE]])
  })
})

test('live goes first when due, between two pages of a backfill window too, and the backfill goes on where it was', () => {
  const of = { ...spec, startAtMs: NOON - 10 * DAY }
  const begun = next(beginCursor(of, NOON, []), beginPace(of), of, NOON)
  expect(begun.piece).toMatchObject({ lane: 'backfill', resume: null })
  const cursor = afterPage(begun.cursor, begun.piece as Piece, 'page 2', of)
  const live = next(cursor, begun.pace, of, NOON + MINUTE)
  expect(live.piece).toMatchObject({ lane: 'live' })
  const after = afterWindow(live.cursor, live.pace, live.piece as Piece, of, NOON + MINUTE)
  expect(next(after.cursor, after.pace, of, NOON + MINUTE).piece).toEqual({ ...begun.piece, resume: 'page 2' })
})

test('complete_until is the low watermark: the backfill while there is one, then the live edge', () => {
  const of = { ...spec, startAtMs: NOON - 3 * DAY }
  let { cursor, pace } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 1)
  expect(completeUntil(cursor)).toBe(NOON - 2 * DAY)
  ;({ cursor, pace } = readAll(cursor, pace, of, NOON + MINUTE))
  expect(completeUntil(cursor)).toBe(NOON - MINUTE)
})

test('start.at set earlier is a backfill of its own up to the old start, when the one running is done', () => {
  const before = { ...spec, startAtMs: NOON - DAY }
  const begun = beginCursor(before, NOON, [])
  const of = { ...spec, startAtMs: NOON - 2 * DAY }
  const { pieces, cursor } = readAll(begun, beginPace(of), of, NOON)
  expect(windows(pieces)).toEqual([
    ['backfill', -DAY, -2 * MINUTE],
    ['backfill', -2 * DAY, -DAY],
  ])
  expect(cursor.startMs).toBe(NOON - 2 * DAY)
  expect(readAll(cursor, beginPace(of), of, NOON).pieces).toEqual([])
})

describe('lookback', () => {
  const of = { ...spec, lookbackMs: 6 * HOUR, startAtMs: NOON - 3 * HOUR }

  test('reads again what was read, not more often than its interval', () => {
    const filled = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const early = readAll(filled.cursor, filled.pace, of, NOON + 14 * MINUTE)
    expect(early.pieces.map(piece => piece.lane)).toEqual(['live'])
    const due = readAll(early.cursor, early.pace, of, NOON + 15 * MINUTE)
    expect(windows(due.pieces)).toEqual([
      ['live', 12 * MINUTE, 13 * MINUTE],
      ['lookback', -3 * HOUR, 13 * MINUTE],
    ])
    expect(readAll(due.cursor, due.pace, of, NOON + 15 * MINUTE).pieces).toEqual([])
  })

  test('steps over what an unfinished backfill has not read', () => {
    const cursor: KnownCursor = {
      ...beginCursor(of, NOON, []),
      backfill: { atMs: NOON - 2 * HOUR, toMs: null, resume: null, untilMs: NOON - HOUR, beganMs: NOON },
      covered: [
        { from: NOON - 3 * HOUR, until: NOON - 2 * HOUR },
        { from: NOON - HOUR, until: NOON - 2 * MINUTE },
      ],
    }
    const pass = readAll(cursor, { ...beginPace(of), pollAtMs: NOON + DAY }, of, NOON + 15 * MINUTE).pieces
    expect(windows(pass).filter(([lane]) => lane === 'lookback')).toEqual([
      ['lookback', -3 * HOUR, -2 * HOUR],
      ['lookback', -HOUR, -2 * MINUTE],
    ])
  })

  test('a pass reaches back to where the last one stood, however long ago that was, so that no row misses its last reading', () => {
    const filled = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const weekLater = NOON + 7 * DAY
    const pass = readAll(filled.cursor, beginPace(of), of, weekLater).pieces.find(piece => piece.lane === 'lookback')
    expect(pass?.window.fromMs).toBe(NOON - 3 * HOUR)
  })

  test('a pass that begins while a live window is in hand does not count for its rows: the next one reaches back to them', () => {
    const back = { ...spec, lagMs: 0, lookbackMs: HOUR }
    let cursor = beginCursor(back, NOON, [{ from: NOON - 10 * MINUTE, until: NOON }])
    let pace = beginPace(back)
    // Down for three hours; then the window since then takes thirty pages, a minute each.
    let nowMs = NOON + 3 * HOUR
    let pages = 0
    const passes: number[] = []
    for (; passes.length < 3; nowMs += MINUTE) {
      const planned = next(cursor, pace, back, nowMs)
      ;({ cursor, pace } = planned)
      const { piece } = planned
      if (piece === null) continue
      if (piece.lane === 'lookback') passes.push((piece.window.fromMs - NOON) / MINUTE)
      if (piece.lane === 'live' && piece.window.fromMs === NOON && ++pages < 30) cursor = afterPage(cursor, piece, pages, back)
      else ({ cursor, pace } = afterWindow(cursor, pace, piece, back, nowMs))
    }
    expect(pages).toBe(30)
    expect(passes.slice(0, 2), 'the first found a live window in hand').toEqual([-10, -10])
  })

  test('while a backfill waits, passes leave it half of the time', () => {
    const long = { ...of, startAtMs: NOON - 100 * DAY }
    const cursor: KnownCursor = {
      ...beginCursor(long, NOON, []),
      covered: [{ from: NOON - HOUR, until: NOON - 2 * MINUTE }],
    }
    let nowMs = NOON + HOUR
    let planned = next(cursor, { ...beginPace(long), pollAtMs: Infinity }, long, nowMs)
    expect(planned.piece?.lane).toBe('lookback')
    nowMs += 2 * HOUR
    const after = afterWindow(planned.cursor, planned.pace, planned.piece as Piece, long, nowMs)
    planned = next(after.cursor, after.pace, long, nowMs)
    expect(planned.piece?.lane).toBe('backfill')
    expect(next(planned.cursor, planned.pace, long, nowMs + 2 * HOUR - 1).piece?.lane).toBe('backfill')
    expect(next(planned.cursor, planned.pace, long, nowMs + 2 * HOUR).piece?.lane).toBe('lookback')
  })
})

describe('a window that the vendor finds too large', () => {
  const of = { ...spec, startAtMs: NOON - 10 * DAY }
  const tooLarge = new FlowError('SRC_WINDOW_TOO_LARGE', { status: 400 })

  test('is read in halves, and the next ones are no longer, until enough of them went well', () => {
    const begun = next(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const halved = halveWindow(begun.cursor, begun.pace, begun.piece as Piece, of, tooLarge)
    const { pieces } = readAll(halved.cursor, halved.pace, of, NOON)
    const lengths = pieces.map(({ window }) => window.untilMs - window.fromMs)
    expect(lengths.slice(0, 8)).toEqual(Array(8).fill(12 * HOUR))
    expect(lengths[8]).toBe(DAY)
  })

  test('is an error when it is the smallest already', () => {
    const small = { ...of, longestMs: 1000 }
    const begun = next(beginCursor(small, NOON, []), beginPace(small), small, NOON)
    expect(() => halveWindow(begun.cursor, begun.pace, begun.piece as Piece, small, tooLarge)).toThrow(FlowError)
  })
})

test('a resume that does not survive a restart is not kept; the window is', () => {
  const of = { ...spec, durableResume: false, startAtMs: NOON - DAY }
  const begun = next(beginCursor(of, NOON, []), beginPace(of), of, NOON)
  const { backfill } = afterPage(begun.cursor, begun.piece as Piece, 'token', of)
  expect(backfill).toMatchObject({ atMs: NOON - DAY, toMs: NOON - 2 * MINUTE, resume: null })
})

describe('what is forgotten', () => {
  const of = { ...spec, lookbackMs: 6 * HOUR, startAtMs: NOON - 2 * DAY }

  test('a window read again behind the horizon tells so, one inside the lookback does not, and no window lies on both sides', () => {
    const covered = [{ from: NOON - 3 * DAY, until: NOON - HOUR }]
    const { pieces } = readAll(beginCursor(of, NOON, covered), beginPace(of), of, NOON)
    expect(pieces.map(({ window, forgotten }) => [window.fromMs - NOON, window.untilMs - NOON, forgotten])).toEqual([
      [-2 * DAY, -DAY, true],
      [-DAY, -6 * HOUR, true],
      [-6 * HOUR, -HOUR, false],
      [-HOUR, -2 * MINUTE, false],
    ])
  })

  test('a window that was never read is never forgotten, however old', () => {
    const { pieces } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    expect(pieces.some(piece => piece.forgotten)).toBe(false)
  })

  test('rows are needed inside the lookback, and in the window in hand', () => {
    const begun = next(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const needed = stillNeeded(begun.cursor, of)
    expect(needed(NOON - HOUR)).toBe(true)
    expect(needed(NOON - DAY)).toBe(true)
    const { cursor } = afterWindow(begun.cursor, begun.pace, begun.piece as Piece, of, NOON)
    expect(stillNeeded(cursor, of)(NOON - DAY - 2 * HOUR)).toBe(false)
    expect(stillNeeded(cursor, of)(NOON - DAY), 'the vendor may show it again at the edge of the next window').toBe(true)
  })
})

/** A life of a source partition with kills, late pages, expired resumes, refused windows; what was read when is kept beside it. */
function live(seed: number) {
  const luck = draw(seed)
  const of: PlanSpec = {
    startAtMs: luck.chance(0.7) ? NOON - luck.between(0, 5 * DAY) : null,
    pollIntervalMs: luck.between(1, 5) * MINUTE,
    lagMs: luck.between(0, 5) * MINUTE,
    lookbackMs: luck.chance(0.8) ? luck.between(1, 24) * HOUR : 0,
    lookbackIntervalMs: luck.between(5, 60) * MINUTE,
    longestMs: luck.one([HOUR, 7 * HOUR, DAY, Infinity]),
    smallestMs: MINUTE,
    durableResume: luck.chance(0.5),
    inOrder: luck.chance(0.3),
    followMs: 0,
  }
  let nowMs = NOON
  let cursor = beginCursor(of, nowMs, [])
  let pace = beginPace(of)
  /** Windows read from their first page to their last, by the time the reading began. */
  const read: { lane: Lane; window: TimeRange; beganMs: number }[] = []
  const begun = new Map<Lane, { fromMs: number; untilMs: number; beganMs: number; page: number }>()
  const untilMs = NOON + 3 * DAY
  while (nowMs < untilMs) {
    nowMs += luck.between(0, 20_000)
    if (luck.chance(0.02)) {
      // Killed: what was not in the cursor is gone.
      cursor = readCursor(writeCursor(cursor), nowMs) as KnownCursor
      pace = beginPace(of)
      nowMs += luck.chance(0.1) ? luck.between(0, DAY / 4) : 1000
    }
    const planned = next(cursor, pace, of, nowMs)
    ;({ cursor, pace } = planned)
    const { piece } = planned
    if (piece === null) {
      nowMs += MINUTE
      continue
    }
    const { fromMs, untilMs: endMs } = piece.window
    expect(endMs).toBeGreaterThan(fromMs)
    expect(endMs - fromMs).toBeLessThanOrEqual(of.longestMs)
    let listing = begun.get(piece.lane)
    if (!listing || listing.fromMs !== fromMs || listing.untilMs !== endMs || piece.resume === null) {
      listing = { fromMs, untilMs: endMs, beganMs: nowMs, page: 0 }
      begun.set(piece.lane, listing)
    }
    if (of.durableResume && piece.resume !== null) expect(piece.resume).toBe(listing.page)
    if (luck.chance(0.03) && endMs - fromMs > of.smallestMs) {
      ;({ cursor, pace } = halveWindow(cursor, pace, piece, of, new FlowError('SRC_WINDOW_TOO_LARGE')))
    } else if (luck.chance(0.03)) {
      cursor = startWindowAgain(cursor, piece.lane)
    } else if (luck.chance(0.3)) {
      listing.page++
      cursor = afterPage(cursor, piece, listing.page, of)
    } else {
      read.push({ lane: piece.lane, window: { from: fromMs, until: endMs }, beganMs: listing.beganMs })
      ;({ cursor, pace } = afterWindow(cursor, pace, piece, of, nowMs))
    }
  }
  return { of, cursor, read, nowMs }
}

describe('over random lives with kills, refusals and expired resumes', () => {
  const seeds = Array.from({ length: 80 }, (_, seed) => seed)

  test.each(seeds)('nothing is passed unread, nothing is read twice but by lookback (seed %i)', seed => {
    const { of, cursor, read } = live(seed)
    const once = read.filter(({ lane }) => lane !== 'lookback')
    const union = once.reduce<readonly TimeRange[]>((ranges, { window }) => withRange(ranges, window), [])
    expect(cursor.covered).toEqual(union)
    const lengths = once.reduce((sum, { window }) => sum + window.until - window.from, 0)
    expect(lengths, 'live and backfill overlap').toBe(union.reduce((sum, { from, until }) => sum + until - from, 0))
    const startMs = of.startAtMs ?? NOON - of.lagMs
    if (completeUntil(cursor) > startMs) {
      expect(union.some(({ from, until }) => from <= startMs && until >= completeUntil(cursor))).toBe(true)
    }
    for (const { lane, window } of read) {
      if (lane === 'lookback') expect(union.some(({ from, until }) => from <= window.from && window.until <= until)).toBe(true)
    }
  })

  test.each(seeds)('each moment is read once more when it is older than the lookback (seed %i)', seed => {
    const { of, cursor, read } = live(seed)
    if (of.lookbackMs === 0) return
    const settledMs = horizon(cursor, of)
    for (const { from, until } of cursor.covered) {
      for (let atMs = from; atMs < Math.min(until, settledMs); atMs += 7 * MINUTE) {
        const last = read.some(
          ({ window, beganMs }) => window.from <= atMs && atMs < window.until && beganMs >= atMs + of.lookbackMs,
        )
        expect(last, `${new Date(atMs).toISOString()} was never read after it could change no more`).toBe(true)
      }
    }
  })
})

describe('a lookback that is made longer', () => {
  const short = { ...spec, lookbackMs: 2 * DAY }
  const long = { ...spec, lookbackMs: 30 * DAY }
  const before: KnownCursor = {
    ...beginCursor(short, NOON, [{ from: NOON - 60 * DAY, until: NOON }]),
    startMs: NOON - 60 * DAY,
    live: { atMs: NOON, toMs: null, resume: null },
    kept: { lookbackMs: 2 * DAY, fromMs: -Infinity },
  }
  const forgottenOf = (cursor: KnownCursor, of: PlanSpec, nowMs: number) => {
    const { pieces } = readAll(cursor, beginPace(of), of, nowMs)
    return pieces
      .filter(({ lane }) => lane === 'lookback')
      .map(({ window, forgotten }) => [(NOON - window.untilMs) / DAY, forgotten])
  }

  test('reads rows whose versions the topic may have deleted as forgotten, and those that it holds as remembered', () => {
    const cursor = underLookback(before, long, NOON)
    expect(cursor.kept).toEqual({ lookbackMs: 30 * DAY, fromMs: NOON - 9 * DAY })
    const read = forgottenOf(cursor, long, NOON + HOUR)
    expect(read.length).toBeGreaterThanOrEqual(30)
    for (const [daysAgo = 0, forgotten] of read as [number, boolean][])
      expect(forgotten, `${daysAgo} days ago`).toBe(daysAgo >= 9)
  })

  test('stays known over restarts, and a shorter one in between takes nothing back', () => {
    const cursor = underLookback(before, long, NOON)
    expect(underLookback(cursor, long, NOON + DAY)).toBe(cursor)
    const shorter = underLookback(cursor, short, NOON + DAY)
    expect(shorter.kept).toEqual({ lookbackMs: 2 * DAY, fromMs: NOON - 9 * DAY })
    expect(underLookback(shorter, long, NOON + 10 * DAY).kept?.fromMs).toBe(NOON + DAY)
  })

  test('of a cursor that does not say what versions were kept for, only the 7 days that are always kept are vouched for', () => {
    const { kept: _, ...unknown } = before
    expect(underLookback<KnownCursor>(unknown, long, NOON).kept?.fromMs).toBe(NOON - 7 * DAY)
  })
})

describe('a cursor of a clock that was ahead', () => {
  const of = { ...spec, lookbackMs: 2 * DAY }
  const far = NOON + 400 * DAY
  const ahead: KnownCursor = {
    startMs: NOON - 10 * DAY,
    live: { atMs: far, toMs: far + MINUTE, resume: 'page' },
    backfill: { atMs: NOON - 9 * DAY, toMs: null, resume: null, untilMs: far, beganMs: far },
    lookback: { beganMs: far, pass: { atMs: NOON - DAY, toMs: null, resume: null, untilMs: far, beganMs: far } },
    covered: [
      { from: NOON - 10 * DAY, until: NOON - 9 * DAY },
      { from: NOON - DAY, until: far },
    ],
  }

  test('is set back to now in all it says, and what it says of the past stays', () => {
    const back = notAheadOf(ahead, of, NOON)
    const edge = NOON - of.lagMs
    expect(back).toEqual({
      startMs: NOON - 10 * DAY,
      live: { atMs: edge, toMs: null, resume: null },
      backfill: { atMs: NOON - 9 * DAY, toMs: null, resume: null, untilMs: edge, beganMs: edge },
      lookback: { beganMs: NOON, pass: null },
      covered: [
        { from: NOON - 10 * DAY, until: NOON - 9 * DAY },
        { from: NOON - DAY, until: edge },
      ],
    })
    expect(stillNeeded(back, of)(NOON - 5 * HOUR), 'what is remembered of the last days is needed again').toBe(true)
    expect(stillNeeded(ahead, of)(NOON - 5 * HOUR)).toBe(false)
  })

  test.each([
    [
      'a window in hand that ends ahead',
      { ...beginCursor(of, NOON, []), live: { atMs: NOON - DAY, toMs: far, resume: 'x' } },
      NOON - DAY,
    ],
    ['only the lookback', { ...beginCursor(of, NOON, []), lookback: { beganMs: far, pass: null } }, NOON - of.lagMs],
  ])('also where it is %s', (_what, cursor, liveMs) => {
    const back = notAheadOf(cursor, of, NOON)
    expect(back.live).toEqual({ atMs: liveMs, toMs: null, resume: null })
    expect(back.lookback.beganMs).toBeLessThanOrEqual(NOON)
  })

  test('is left alone where clocks differ a little, and where start.at is still to come', () => {
    const near = { ...ahead, ...beginCursor(of, NOON + 50_000, []) }
    expect(notAheadOf(near, of, NOON)).toBe(near)
    const later = { ...of, startAtMs: NOON + 30 * DAY }
    const begun = beginCursor(later, NOON, [])
    expect(notAheadOf(begun, later, NOON)).toBe(begun)
  })
})
