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
  hotMs: 0,
  mostPerHour: Infinity,
  settles: false,
  keepsCursor: false,
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

  test('a backfill of derived sessions leaves live its turn at every poll, in order', () => {
    const pageMs = 20_000
    const derived = { ...spec, inOrder: true, startAtMs: NOON - 30 * DAY }
    let { cursor, pace } = { cursor: beginCursor(derived, NOON, []), pace: beginPace(derived) }
    const live: Piece['window'][] = []
    let behindMs = 0
    for (let nowMs = NOON; nowMs < NOON + HOUR; nowMs += pageMs) {
      const planned = next(cursor, pace, derived, nowMs)
      // Windows of the backfill are long: not one of them ends within the hour.
      if (planned.piece?.lane === 'backfill') {
        cursor = afterPage(planned.cursor, planned.piece, `page at ${nowMs}`, derived)
        ;({ pace } = planned)
        continue
      }
      if (planned.piece === null) throw new Error('the backfill is always due')
      live.push(planned.piece.window)
      behindMs = Math.max(behindMs, nowMs - planned.piece.window.untilMs)
      ;({ cursor, pace } = afterWindow(planned.cursor, planned.pace, planned.piece, derived, nowMs))
    }
    expect(live, 'once a minute').toHaveLength(60)
    expect(behindMs, 'each up to the moment it is read').toBe(0)
    const until = live.map(window => window.untilMs)
    expect(until, 'and none before the one that precedes it').toEqual(until.toSorted((a, b) => a - b))
    expect(cursor.backfill?.resume, 'the backfill has had pages as well').toMatch(/^page at/)
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
    expect(completeUntil(cursor), 'what the backfill filled, and nothing of live').toBe(NOON - of.lagMs)
  })
})

describe('the first start', () => {
  test('without start.at reads nothing of the past: live begins at now minus lag', () => {
    const cursor = beginCursor(spec, NOON, [])
    const { pieces, cursor: read } = readAll(cursor, beginPace(spec), spec, NOON)
    expect(windows(pieces), 'what the vendor shows now is read at once').toEqual([['live', -2 * MINUTE, 0]])
    expect(completeUntil(read), 'but promised without the safety lag').toBe(NOON - 2 * MINUTE)
    expect(windows(readAll(read, beginPace(spec), spec, NOON + MINUTE).pieces)).toEqual([['live', -2 * MINUTE, MINUTE]])
  })

  test('with start.at fills from there up to the first live edge, in windows no longer than the longest', () => {
    const of = { ...spec, startAtMs: NOON - 2 * DAY - HOUR }
    const { pieces, cursor } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    expect(windows(pieces)).toEqual([
      ['live', -2 * MINUTE, 0],
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
    expect(windows(readAll(cursor, beginPace(of), of, NOON + HOUR + MINUTE).pieces)).toEqual([['live', HOUR, HOUR + MINUTE]])
    const late = readAll(cursor, beginPace(of), of, NOON + 2 * HOUR)
    expect(windows(late.pieces), 'far behind, it is caught up with, in windows that the cursor keeps').toEqual([
      ['live', HOUR, 2 * HOUR - 2 * MINUTE],
    ])
  })
})

test('live goes first when due, between two pages of a backfill window too, and the backfill goes on where it was', () => {
  const of = { ...spec, startAtMs: NOON - 10 * DAY }
  const first = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 1)
  const begun = next(first.cursor, first.pace, of, NOON)
  expect(begun.piece).toMatchObject({ lane: 'backfill', resume: null })
  const cursor = afterPage(begun.cursor, begun.piece as Piece, 'page 2', of)
  const live = next(cursor, begun.pace, of, NOON + MINUTE)
  expect(live.piece).toMatchObject({ lane: 'live' })
  const after = afterWindow(live.cursor, live.pace, live.piece as Piece, of, NOON + MINUTE)
  expect(next(after.cursor, after.pace, of, NOON + MINUTE).piece).toEqual({ ...begun.piece, resume: 'page 2' })
})

test('complete_until is the low watermark: the backfill while there is one, then the live edge', () => {
  const of = { ...spec, startAtMs: NOON - 3 * DAY }
  let { cursor, pace } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 2)
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
    ['live', -2 * MINUTE, 0],
    ['backfill', -DAY, -2 * MINUTE],
    ['backfill', -2 * DAY, -DAY],
  ])
  expect(cursor.startMs).toBe(NOON - 2 * DAY)
  expect(windows(readAll(cursor, beginPace(of), of, NOON).pieces)).toEqual([['live', -2 * MINUTE, 0]])
})

test('start.at set later, as a span before now is at each restart, changes nothing', () => {
  const of = { ...spec, startAtMs: NOON - 7 * DAY }
  const { cursor } = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
  const later = { ...spec, startAtMs: NOON - 6 * DAY }
  const restarted = readAll(cursor, beginPace(later), later, NOON + DAY)
  expect(windows(restarted.pieces)).toEqual([['live', -2 * MINUTE, DAY - 2 * MINUTE]])
  expect(restarted.cursor).toMatchObject({ startMs: NOON - 7 * DAY, backfill: null })
})

describe('a sweep', () => {
  const of = { ...spec, hotMs: HOUR, lookbackMs: 2 * DAY }
  const read = { ...beginCursor(of, NOON, [{ from: NOON - DAY, until: NOON }]), live: { atMs: NOON, toMs: null, resume: null } }

  test('reads what is hot and what is new in one window at every poll, and moves live to the safety lag before its beginning', () => {
    let { cursor, pace } = { cursor: read as KnownCursor, pace: beginPace(of) }
    for (let minute = 1; minute <= 5; minute++) {
      const polled = readAll(cursor, pace, of, NOON + minute * MINUTE)
      ;({ cursor, pace } = polled)
      expect(windows(polled.pieces)).toEqual([['live', minute * MINUTE - HOUR, minute * MINUTE]])
    }
    expect(cursor.live).toEqual({ atMs: NOON + 3 * MINUTE, toMs: null, resume: null })
    expect(cursor.covered).toEqual([{ from: NOON - DAY, until: NOON + 3 * MINUTE }])
  })

  test('that takes longer than a poll goes on where it was, and is kept in no cursor; the next poll begins another', () => {
    const short = { ...of, longestMs: 20 * MINUTE }
    const first = next(read, beginPace(short), short, NOON + MINUTE)
    expect(afterPage(first.cursor, first.piece as Piece, 'page 2', short)).toBe(first.cursor)
    let { cursor, pace } = afterWindow(first.cursor, first.pace, first.piece as Piece, short, NOON + MINUTE)
    expect(cursor, 'before live and what was read there is a gap').toBe(first.cursor)
    expect(writeCursor(cursor)).not.toContain('.to')
    const rest = readAll(cursor, pace, short, NOON + 3 * MINUTE)
    ;({ cursor, pace } = rest)
    expect(windows([first.piece as Piece, ...rest.pieces]), 'the newest first').toEqual([
      ['live', -19 * MINUTE, MINUTE],
      ['live', -39 * MINUTE, -19 * MINUTE],
      ['live', -59 * MINUTE, -39 * MINUTE],
    ])
    expect(cursor.live.atMs, 'the safety lag before it began').toBe(NOON)
    expect(cursor.covered).toEqual([{ from: NOON - DAY, until: NOON }])
    expect(readAll(cursor, pace, short, NOON + 4 * MINUTE).pieces.at(-1)?.window.fromMs).toBe(NOON - 56 * MINUTE)
  })

  test('does not reach back beyond what the source partition is to hold, nor over a hole in what was read', () => {
    const begun = beginCursor(of, NOON, [])
    expect(windows(readAll(begun, beginPace(of), of, NOON).pieces)).toEqual([['live', -2 * MINUTE, 0]])
    const holed = {
      ...read,
      covered: [
        { from: NOON - DAY, until: NOON - 40 * MINUTE },
        { from: NOON - 30 * MINUTE, until: NOON },
      ],
    }
    const [first] = windows(readAll(holed, beginPace(of), of, NOON + MINUTE).pieces)
    expect(first).toEqual(['live', -30 * MINUTE, MINUTE])
  })

  test('goes ahead of what is caught up with after a time away, so that people see the newest first, and promises nothing of it', () => {
    const back = NOON + 5 * HOUR
    const first = next(read, beginPace(of), of, back)
    expect(first.piece).toMatchObject({ lane: 'live', swept: true, window: { fromMs: back - HOUR, untilMs: back } })
    const { cursor, pace } = afterWindow(first.cursor, first.pace, first.piece as Piece, of, back)
    expect(cursor).toBe(first.cursor)
    const rest = readAll(cursor, pace, of, back)
    expect(windows(rest.pieces)).toContainEqual(['live', 0, 5 * HOUR - 2 * MINUTE])
    expect(rest.cursor.live.atMs).toBe(back - 2 * MINUTE)
  })

  test('does not go ahead where turns come in order', () => {
    const ordered = { ...of, inOrder: true }
    const [first] = readAll(read, beginPace(ordered), ordered, NOON + 5 * HOUR).pieces
    expect(first).toMatchObject({ window: { fromMs: NOON } })
    expect(first).not.toHaveProperty('swept')
  })

  test('found too large is read in halves', () => {
    const first = next(read, beginPace(of), of, NOON + MINUTE)
    const halved = halveWindow(first.cursor, first.pace, first.piece as Piece, of, new FlowError('SRC_WINDOW_TOO_LARGE'))
    expect(windows(readAll(halved.cursor, halved.pace, of, NOON + MINUTE).pieces)).toEqual([
      ['live', -29 * MINUTE, MINUTE],
      ['live', -59 * MINUTE, -29 * MINUTE],
    ])
  })

  test('where turns come in order is read from its beginning, and live moves with each window', () => {
    const ordered = { ...of, inOrder: true, hotMs: 0, longestMs: 2 * MINUTE }
    const first = next(read, beginPace(ordered), ordered, NOON + 3 * MINUTE)
    expect(first.piece).toMatchObject({ swept: true, window: { fromMs: NOON, untilMs: NOON + 2 * MINUTE } })
    const half = halveWindow(first.cursor, first.pace, first.piece as Piece, ordered, new FlowError('SRC_WINDOW_TOO_LARGE'))
    const again = next(half.cursor, half.pace, ordered, NOON + 3 * MINUTE)
    expect(again.piece?.window).toEqual({ fromMs: NOON, untilMs: NOON + MINUTE })
    const { cursor } = afterWindow(again.cursor, again.pace, again.piece as Piece, ordered, NOON + 3 * MINUTE)
    expect(cursor.live.atMs).toBe(NOON + MINUTE)
  })
})

/** When each of some moments was read in a calm life of days, and how often passes and sweeps were begun. */
function calm(of: PlanSpec, days: number, momentsMs: readonly number[]) {
  let { cursor, pace } = { cursor: beginCursor(of, NOON, []), pace: beginPace(of) }
  const reads = new Map(momentsMs.map(atMs => [atMs, [] as number[]]))
  let windowsRead = 0
  for (let nowMs = NOON; nowMs < NOON + days * DAY; nowMs += of.pollIntervalMs) {
    const polled = readAll(cursor, pace, of, nowMs)
    ;({ cursor, pace } = polled)
    windowsRead += polled.pieces.length
    for (const { window } of polled.pieces)
      for (const [atMs, times] of reads) if (window.fromMs <= atMs && atMs < window.untilMs) times.push(nowMs)
  }
  return { reads, windowsRead }
}

describe('re-reading by age', () => {
  const botmakerLike = { ...spec, hotMs: HOUR, lookbackMs: 2 * DAY, lookbackIntervalMs: 12 * HOUR }
  const moments = Array.from({ length: 40 }, (_, i) => NOON + HOUR + i * 31 * MINUTE)

  test.each([
    ['an hour hot, two days of lookback', botmakerLike],
    ['a short hot time', { ...botmakerLike, hotMs: 7 * MINUTE }],
    ['slow polls', { ...botmakerLike, pollIntervalMs: 5 * MINUTE }],
    ['a short longest pause', { ...botmakerLike, lookbackIntervalMs: HOUR }],
    ['turns in order', { ...botmakerLike, inOrder: true }],
  ])('a row of age a is read again when it is 1.25 a, and once more when it leaves the lookback: %s', (_what, of) => {
    const { reads } = calm(of, 4, moments)
    for (const [atMs, times] of reads) {
      expect(
        times.some(readMs => readMs - atMs >= of.lookbackMs),
        'read once more when it has left the lookback',
      ).toBe(true)
      for (const [i, readMs] of times.entries()) {
        const nextMs = times[i + 1]
        if (nextMs === undefined) continue
        const ageMs = readMs - atMs
        const pauseMs = ageMs < of.hotMs - of.pollIntervalMs ? 0 : Math.min(ageMs / 4, of.lookbackIntervalMs)
        expect(nextMs - readMs, `at ${ageMs / MINUTE} min`).toBeLessThanOrEqual(
          Math.max(pauseMs, of.pollIntervalMs) + of.pollIntervalMs,
        )
      }
    }
  })

  test('a row costs at most 90 readings over two days, and an hour of polls at most 66 windows', () => {
    const { reads, windowsRead } = calm(botmakerLike, 4, moments)
    const counts = [...reads.values()].map(times => times.length)
    expect(Math.max(...counts)).toBeLessThanOrEqual(90)
    expect(Math.min(...counts)).toBeGreaterThan(75)
    expect(windowsRead / (4 * 24)).toBeLessThanOrEqual(66)
  })

  test('the newest windows of a pass come first', () => {
    const of = { ...botmakerLike, longestMs: 3 * HOUR, lookbackIntervalMs: 15 * MINUTE }
    const cursor = {
      ...beginCursor(of, NOON, [{ from: NOON - DAY, until: NOON - HOUR }]),
      live: { atMs: NOON + HOUR, toMs: null, resume: null },
    }
    const pass = readAll(cursor, beginPace(of), of, NOON + HOUR).pieces.filter(({ lane }) => lane === 'lookback')
    expect(windows(pass).slice(0, 2)).toEqual([
      ['lookback', -4 * HOUR, -HOUR],
      ['lookback', -7 * HOUR, -4 * HOUR],
    ])
  })
})

describe('lookback', () => {
  const of = { ...spec, lookbackMs: 6 * HOUR, startAtMs: NOON - 3 * HOUR }

  test('reads again what was read, not more often than its interval', () => {
    const filled = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const early = readAll(filled.cursor, filled.pace, of, NOON + 14 * MINUTE)
    expect(early.pieces.map(piece => piece.lane)).toEqual(['live'])
    const due = readAll(early.cursor, early.pace, of, NOON + 15 * MINUTE)
    expect(windows(due.pieces)).toEqual([
      ['live', 12 * MINUTE, 15 * MINUTE],
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
      ['lookback', -HOUR, -2 * MINUTE],
      ['lookback', -3 * HOUR, -2 * HOUR],
    ])
  })

  test('a pass reaches back to where the last one stood, however long ago that was, so that no row misses its last reading', () => {
    const filled = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON)
    const weekLater = NOON + 7 * DAY
    const pass = readAll(filled.cursor, beginPace(of), of, weekLater).pieces.filter(piece => piece.lane === 'lookback')
    expect(Math.min(...pass.map(({ window }) => window.fromMs))).toBe(NOON - 3 * HOUR)
  })

  test('a pass that begins while a live window is in hand does not count for its rows: the next one reaches back to them', () => {
    const back = { ...spec, lagMs: 0, lookbackMs: HOUR }
    let cursor = beginCursor(back, NOON, [{ from: NOON - 10 * MINUTE, until: NOON }])
    let pace = beginPace(back)
    // Down for three hours; then the window since then takes thirty pages, a minute each.
    let nowMs = NOON + 3 * HOUR
    let pages = 0
    const passes: number[] = []
    for (; passes.length < 3 || pages < 30; nowMs += MINUTE) {
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
    const first = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 1)
    const begun = next(first.cursor, first.pace, of, NOON)
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
  const first = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 1)
  const begun = next(first.cursor, first.pace, of, NOON)
  const { backfill } = afterPage(begun.cursor, begun.piece as Piece, 'token', of)
  expect(backfill).toMatchObject({ atMs: NOON - DAY, toMs: NOON - 2 * MINUTE, resume: null })
})

describe('what is forgotten', () => {
  const of = { ...spec, lookbackMs: 6 * HOUR, startAtMs: NOON - 2 * DAY }

  test('a window read again behind the horizon tells so, one inside the lookback does not, and no window lies on both sides', () => {
    const covered = [{ from: NOON - 3 * DAY, until: NOON - HOUR }]
    const { pieces } = readAll(beginCursor(of, NOON, covered), beginPace(of), of, NOON)
    expect(pieces.map(({ window, forgotten }) => [window.fromMs - NOON, window.untilMs - NOON, forgotten])).toEqual([
      [-2 * MINUTE, 0, false],
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
    const first = readAll(beginCursor(of, NOON, []), beginPace(of), of, NOON, 1)
    const begun = next(first.cursor, first.pace, of, NOON)
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
  const lookbackMs = luck.chance(0.8) ? luck.between(1, 24) * HOUR : 0
  const of: PlanSpec = {
    startAtMs: luck.chance(0.7) ? NOON - luck.between(0, 5 * DAY) : null,
    pollIntervalMs: luck.between(1, 5) * MINUTE,
    lagMs: luck.between(0, 5) * MINUTE,
    lookbackMs,
    lookbackIntervalMs: luck.between(5, 600) * MINUTE,
    hotMs: luck.chance(0.7) ? Math.min(lookbackMs, luck.between(1, 120) * MINUTE) : 0,
    mostPerHour: Infinity,
    settles: false,
    keepsCursor: false,
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
  const read: { lane: Lane; swept: boolean; window: TimeRange; beganMs: number }[] = []
  const begun = new Map<string, { fromMs: number; untilMs: number; beganMs: number; page: number }>()
  const untilMs = NOON + 3 * DAY
  while (nowMs < untilMs) {
    nowMs += luck.between(0, 20_000)
    if (luck.chance(0.02)) {
      // Killed: what was not in the cursor is gone.
      cursor = readCursor(writeCursor(cursor), nowMs) as KnownCursor
      pace = beginPace(of)
      begun.delete('swept')
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
    expect(endMs, 'ends ahead of now').toBeLessThanOrEqual(nowMs)
    expect(endMs - fromMs).toBeLessThanOrEqual(of.longestMs)
    const key = piece.swept ? 'swept' : piece.lane
    let listing = begun.get(key)
    const goesOn = piece.swept ? listing?.page !== undefined && listing.page > 0 : piece.resume !== null
    if (!listing || listing.fromMs !== fromMs || listing.untilMs !== endMs || !goesOn) {
      listing = { fromMs, untilMs: endMs, beganMs: nowMs, page: 0 }
      begun.set(key, listing)
    }
    if (of.durableResume && piece.resume !== null) expect(piece.resume).toBe(listing.page)
    if (luck.chance(0.03) && endMs - fromMs > of.smallestMs) {
      ;({ cursor, pace } = halveWindow(cursor, pace, piece, of, new FlowError('SRC_WINDOW_TOO_LARGE')))
    } else if (luck.chance(0.03)) {
      cursor = startWindowAgain(cursor, piece)
      listing.page = 0
    } else if (luck.chance(0.3)) {
      listing.page++
      cursor = afterPage(cursor, piece, listing.page, of)
    } else {
      const swept = piece.swept === true
      read.push({ lane: piece.lane, swept, window: { from: fromMs, until: endMs }, beganMs: listing.beganMs })
      ;({ cursor, pace } = afterWindow(cursor, pace, piece, of, nowMs))
      begun.delete(key)
    }
  }
  return { of, cursor, read, nowMs }
}

const unionOf = (read: readonly { window: TimeRange }[]) =>
  read.reduce<readonly TimeRange[]>((ranges, { window }) => withRange(ranges, window), [])
const isWithin = (ranges: readonly TimeRange[], { from, until }: TimeRange) =>
  ranges.some(range => range.from <= from && until <= range.until)

describe('over random lives with kills, refusals and expired resumes', () => {
  const seeds = Array.from({ length: 50 }, (_, seed) => seed)
  const lives = new Map<number, ReturnType<typeof live>>()
  const lifeOf = (seed: number) => lives.get(seed) ?? lives.set(seed, live(seed)).get(seed)!

  test.each(seeds)('nothing is passed unread, nothing is read twice but by sweeps and passes (seed %i)', seed => {
    const { of, cursor, read } = lifeOf(seed)
    const kept = read.filter(({ lane, swept }) => lane !== 'lookback' && !swept)
    const lengths = kept.reduce((sum, { window }) => sum + window.until - window.from, 0)
    expect(lengths, 'live and backfill overlap').toBe(unionOf(kept).reduce((sum, { from, until }) => sum + until - from, 0))
    const union = unionOf(read.filter(({ lane }) => lane !== 'lookback'))
    for (const range of cursor.covered) expect(isWithin(union, range), 'covered, and not read').toBe(true)
    for (const { window } of kept) expect(isWithin(cursor.covered, window), 'read, and not covered').toBe(true)
    const startMs = of.startAtMs ?? NOON - of.lagMs
    const promised = { from: startMs, until: completeUntil(cursor) }
    if (promised.until > startMs) expect(isWithin(cursor.covered, promised)).toBe(true)
    for (const { lane, window } of read) if (lane === 'lookback') expect(isWithin(cursor.covered, window)).toBe(true)
  })

  test.each(seeds)('what live promises was read once rows could appear no more (seed %i)', seed => {
    const { of, cursor, read } = lifeOf(seed)
    for (const { from, until } of cursor.covered) {
      for (let atMs = from; atMs < until; atMs += 7 * MINUTE) {
        const settled = read.some(
          ({ window, beganMs }) => window.from <= atMs && atMs < window.until && beganMs >= atMs + of.lagMs,
        )
        expect(settled, `${new Date(atMs).toISOString()} was read only while rows could still appear`).toBe(true)
      }
    }
  })

  test.each(seeds)('each moment is read once more when it is older than the lookback (seed %i)', seed => {
    const { of, cursor, read } = lifeOf(seed)
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
  const pass = { atMs: NOON - DAY, toMs: null, resume: null, fromMs: NOON - DAY, roundMs: NOON }
  const ahead: KnownCursor = {
    startMs: NOON - 10 * DAY,
    live: { atMs: far, toMs: far + MINUTE, resume: 'page' },
    backfill: { atMs: NOON - 9 * DAY, toMs: null, resume: null, untilMs: far, beganMs: far },
    lookback: { beganMs: far, roundMs: far, pass: { ...pass, untilMs: far, beganMs: far } },
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
      lookback: { beganMs: NOON, roundMs: NOON, pass: null },
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
    [
      'only the lookback',
      { ...beginCursor(of, NOON, []), lookback: { beganMs: far, roundMs: NOON, pass: null } },
      NOON - of.lagMs,
    ],
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
