/**
 * Which window is read next. Pure: cursor, pace, settings and the time in, the next piece of work out. Three lanes share a source partition:
 *
 * - **live**: `[live.until, now − lag)`, every poll interval. First whenever it is due, but where it is due again as soon as it has been read (a poll
 *   interval shorter than what the quota allows, a window that keeps failing), the others get a page between.
 * - **lookback**: what was read before and may have changed since, at most every lookback interval. A pass covers
 *   `[min(now, the last pass's beginning) − lookback, live.until)`, so that each row is read at least once when it is older than the lookback:
 *   the first pass that begins after that moment reaches back to where the one before it stood. A pass steps over the backfill window in hand,
 *   some rows of which were read before it; so it counts as begun when that window was begun. Where it finds a live window in hand, it does not
 *   count at all: the next pass reaches back as far.
 * - **backfill**: from `start.at` up to the first live edge, ascending, when nothing else is due. Where sessions are derived from turns, live itself
 *   begins at `start.at`, so that turns come in order of time.
 *
 * No lane moves past a window that was not read completely. A window begins and ends inside one range of `covered` or between two, and on one
 * side of the time since when versions are held: so all its rows are either remembered, or were forgotten, or were never read.
 */
import { FlowError } from '../errors.ts'
import type { Lane, TimeRange } from '../records.ts'
import type { Json, Window } from '../source/contract.ts'
import { type Cursor, type Place, withRange } from './cursor.ts'

/** The settings of one source partition, defaults filled in. */
export interface PlanSpec {
  /** `start.at`, or null: from now. */
  readonly startAtMs: number | null
  readonly pollIntervalMs: number
  readonly lagMs: number
  readonly lookbackMs: number
  readonly lookbackIntervalMs: number
  readonly longestMs: number
  readonly smallestMs: number
  readonly durableResume: boolean
  /** Time is read in one direction: live begins at `start.at`, and nothing runs ahead of it. For sessions that are derived from turns. */
  readonly inOrder: boolean
  /** How long after it left the lookback an open row is asked for by its id, milliseconds; 0: not at all. */
  readonly followMs: number
}

/** A cursor that knows what was read: every cursor after the start of a source partition. */
export type KnownCursor = Cursor & { readonly covered: readonly TimeRange[] }

/** What the planner remembers of the running process; nothing in it needs to survive. */
export interface Pace {
  /** When the vendor's live edge is looked at next. */
  readonly pollAtMs: number
  /** Up to where live is to be read now. */
  readonly edgeMs: number
  /** Length of the next windows: the longest, or less after the vendor found one too large. */
  readonly lengthMs: number
  /** Windows read completely since the vendor last complained. */
  readonly calmWindows: number
  /** When the pass in hand was begun; -Infinity: by a process before this one. */
  readonly passBeganMs: number
  /** No pass begins before this. While a backfill waits, passes leave it half of the time. */
  readonly lookbackAtMs: number
  /** Live pages asked for since another lane had one, or had nothing to do. */
  readonly livePages: number
}

export interface Piece {
  readonly lane: Lane
  readonly window: Window
  readonly resume: Json
  /** The whole window was read before, and versions of it are not held: a row of it that is not remembered may have been published long ago. */
  readonly forgotten: boolean
  /** No window: open rows, asked for by their ids. */
  readonly followed?: true
}

export interface Planned {
  readonly cursor: KnownCursor
  readonly pace: Pace
  /** null: nothing is due before `dueAt`. */
  readonly piece: Piece | null
}

const CALM_WINDOWS_BEFORE_GROWTH = 8
/** Of one live window, before another lane gets a page. */
const LIVE_PAGES_IN_A_ROW = 8

/** The cursor of a source partition that has none. Live begins at the edge of now, backfill reaches from `start.at` up to there. */
export function beginCursor(spec: PlanSpec, nowMs: number, covered: readonly TimeRange[]): KnownCursor {
  const edgeMs = nowMs - spec.lagMs
  const startMs = spec.startAtMs ?? edgeMs
  const liveMs = spec.inOrder ? startMs : Math.max(startMs, edgeMs)
  return {
    startMs,
    live: at(liveMs),
    backfill: startMs < liveMs ? { ...at(startMs), untilMs: liveMs, beganMs: nowMs } : null,
    lookback: { beganMs: nowMs, pass: null },
    covered,
  }
}

export function beginPace(spec: PlanSpec): Pace {
  return {
    pollAtMs: -Infinity,
    edgeMs: -Infinity,
    lengthMs: spec.longestMs,
    calmWindows: 0,
    passBeganMs: -Infinity,
    lookbackAtMs: -Infinity,
    livePages: 0,
  }
}

/** Rows of windows that end before this may have been forgotten. */
export function horizon(cursor: Cursor, spec: PlanSpec): number {
  return spec.lookbackMs > 0 ? cursor.lookback.beganMs - spec.lookbackMs : cursor.live.atMs
}

/** Versions stay on their topic for the lookback and this long: see `topicSpecs`. */
const KEPT_BEYOND_MS = 7 * 86_400_000

/**
 * The cursor under the lookback of now. Where that is longer than the one that versions were kept for, those of older rows may be deleted by now:
 * from when on they are held stays in the cursor.
 */
export function underLookback<T extends Cursor>(cursor: T, { lookbackMs }: PlanSpec, nowMs: number): T {
  const { kept } = cursor
  if (kept?.lookbackMs === lookbackMs) return cursor
  const before = kept ?? { lookbackMs: 0, fromMs: -Infinity }
  const fromMs = lookbackMs > before.lookbackMs ? nowMs - before.lookbackMs - KEPT_BEYOND_MS : -Infinity
  return { ...cursor, kept: { lookbackMs, fromMs: Math.max(before.fromMs, fromMs) } }
}

/** So far two clocks may be apart before one of them is taken to be wrong. */
export const SKEW_MS = 60_000

/**
 * The cursor without times that have not come yet: they are of a clock that was ahead, and what they say was read could not have been there. It is
 * read when its time has come.
 */
export function notAheadOf<T extends Cursor>(cursor: T, spec: PlanSpec, nowMs: number): T {
  const { live, backfill, lookback, covered } = cursor
  const { pass } = lookback
  // A `start.at` that is still to come is meant so.
  const mostMs = Math.max(nowMs + SKEW_MS, spec.startAtMs ?? -Infinity)
  const isAhead = (place: Place | null) => place !== null && Math.max(place.atMs, place.toMs ?? -Infinity) > mostMs
  const isPassAhead = pass !== null && (isAhead(pass) || Math.max(pass.untilMs, pass.beganMs) > mostMs)
  const isBackfillAhead = backfill !== null && (isAhead(backfill) || backfill.untilMs > mostMs)
  if (!isAhead(live) && !isPassAhead && !isBackfillAhead && lookback.beganMs <= mostMs) return cursor
  const edgeMs = nowMs - spec.lagMs
  return {
    ...cursor,
    startMs: Math.min(cursor.startMs, edgeMs),
    live: isAhead(live) ? at(Math.min(live.atMs, edgeMs)) : live,
    backfill: backfill && isBackfillAhead ? clipped(backfill, edgeMs) : backfill,
    lookback: { beganMs: Math.min(lookback.beganMs, nowMs), pass: isPassAhead ? null : pass },
    covered: covered?.flatMap(({ from, until }) => (from < edgeMs ? [{ from, until: Math.min(until, edgeMs) }] : [])) ?? null,
  }
}

function clipped(backfill: NonNullable<Cursor['backfill']>, edgeMs: number): Cursor['backfill'] {
  if (backfill.atMs >= edgeMs) return null
  return { ...at(backfill.atMs), untilMs: Math.min(backfill.untilMs, edgeMs), beganMs: Math.min(backfill.beganMs, edgeMs) }
}

/** For a commit that tells where the source partition stands, and of no page. */
export function nothingRead({ live }: Cursor): Piece {
  return { lane: 'live', window: { fromMs: live.atMs, untilMs: live.atMs }, resume: null, forgotten: false }
}

/** Since when versions of rows are held: a row of an earlier window that is not remembered may have been forgotten. */
function heldFrom(cursor: Cursor, spec: PlanSpec): number {
  return Math.max(horizon(cursor, spec), cursor.kept?.fromMs ?? -Infinity)
}

/** Everything that the vendor showed with an earlier time has been read, from the start of the source partition. */
export function completeUntil(cursor: Cursor): number {
  return cursor.backfill ? cursor.backfill.atMs : cursor.live.atMs
}

/** Everything before this was read, as far as it bears on what happened at `atMs`: a backfill that lies behind live has a watermark of its own. */
export function watermark({ live, backfill }: Cursor, atMs: number): number {
  return backfill && atMs < backfill.untilMs ? backfill.atMs : live.atMs
}

/** Vendors differ at the edges of windows, so rows from shortly before the ones in hand are remembered too. */
const EDGE_MS = 3_600_000

/**
 * Whether a row that was last read in a window ending at `untilMs` can be read again as a row that was published before: it lies within the
 * lookback, or in or just before the window that a lane has in hand.
 */
export function stillNeeded(cursor: Cursor, spec: PlanSpec): (untilMs: number, open?: boolean) => boolean {
  const edgeMs = Math.max(EDGE_MS, spec.smallestMs)
  const keptMs = horizon(cursor, spec) - edgeMs
  const inHand: { fromMs: number; untilMs: number }[] = []
  for (const place of [cursor.live, cursor.backfill, cursor.lookback.pass]) {
    if (place) inHand.push({ fromMs: place.atMs - edgeMs, untilMs: place.toMs ?? place.atMs })
  }
  return (untilMs, open = false) =>
    untilMs > keptMs ||
    (open && untilMs > keptMs - spec.followMs) ||
    inHand.some(window => untilMs > window.fromMs && untilMs <= window.untilMs)
}

/** The next piece of work at `nowMs`: the first page of a new window, or the next page of one in hand. */
export function next(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): Planned {
  const polled = nowMs >= pace.pollAtMs ? { ...pace, pollAtMs: nowMs + spec.pollIntervalMs, edgeMs: nowMs - spec.lagMs } : pace
  const begun = isLiveFirst(cursor, polled) ? { cursor, pace: polled } : beginPass(cursor, polled, spec, nowMs)
  const started = beginBackfill(begun.cursor, spec, nowMs)
  const lane = dueLane(started, begun.pace)
  const turned = { ...begun.pace, livePages: lane === 'live' ? begun.pace.livePages + 1 : 0 }
  if (lane === null) return { cursor: started, pace: turned, piece: null }
  const place = placeOf(started, lane)
  const toMs = place.toMs ?? windowEnd(started, turned, spec, lane)
  let opened = withPlace(started, lane, { ...place, toMs })
  if (lane === 'backfill' && place.toMs === null && opened.backfill) {
    opened = { ...opened, backfill: { ...opened.backfill, beganMs: nowMs } }
  }
  return { cursor: opened, pace: turned, piece: pieceOf(opened, spec, lane, toMs) }
}

/** When `next` may have something to do, if it has nothing now. */
export function dueAt(cursor: KnownCursor, pace: Pace, spec: PlanSpec): number {
  return spec.lookbackMs > 0 ? Math.min(pace.pollAtMs, lookbackDueAt(cursor, pace, spec)) : pace.pollAtMs
}

/** The cursor after a page of the piece: `resume` continues the window. Only a resume that survives a restart is kept. */
export function afterPage(cursor: KnownCursor, piece: Piece, resume: Json, spec: PlanSpec): KnownCursor {
  return withPlace(cursor, piece.lane, {
    ...placeOf(cursor, piece.lane),
    toMs: piece.window.untilMs,
    resume: spec.durableResume ? resume : null,
  })
}

/** Cursor and pace after the last page of the piece's window. */
export function afterWindow(cursor: KnownCursor, pace: Pace, piece: Piece, spec: PlanSpec, nowMs: number) {
  const { fromMs: from, untilMs: until } = piece.window
  const read: KnownCursor = { ...withPlace(cursor, piece.lane, at(until)), covered: withRange(cursor.covered, { from, until }) }
  const grown = pace.calmWindows + 1 >= CALM_WINDOWS_BEFORE_GROWTH
  const after: Pace = {
    ...pace,
    calmWindows: grown ? 0 : pace.calmWindows + 1,
    lengthMs: grown ? Math.min(spec.longestMs, pace.lengthMs * 2) : pace.lengthMs,
  }
  if (piece.lane === 'backfill' && read.backfill && until >= read.backfill.untilMs) {
    return { cursor: { ...read, backfill: null }, pace: after }
  }
  const pass = read.lookback.pass
  if (piece.lane === 'lookback' && pass && nextCovered(read, pass.atMs, pass.untilMs) === null) {
    return endPass(read, after, pass.beganMs, spec, nowMs)
  }
  return { cursor: read, pace: after }
}

/** The window starts again from its beginning: its resume is not known to the vendor any more. */
export function startWindowAgain(cursor: KnownCursor, lane: Lane): KnownCursor {
  return withPlace(cursor, lane, { ...placeOf(cursor, lane), resume: null })
}

/**
 * The window starts again at half its length, and the next ones are no longer than that.
 *
 * @throws FlowError SRC_WINDOW_TOO_LARGE when it cannot be halved any more.
 */
export function halveWindow(cursor: KnownCursor, pace: Pace, piece: Piece, spec: PlanSpec, cause: FlowError) {
  const { fromMs, untilMs } = piece.window
  const lengthMs = untilMs - fromMs
  if (lengthMs <= spec.smallestMs) {
    throw new FlowError('SRC_WINDOW_TOO_LARGE', { ...cause.details, windowMs: lengthMs, smallestMs: spec.smallestMs }, cause)
  }
  const halfMs = Math.max(spec.smallestMs, Math.ceil(lengthMs / 2))
  return {
    cursor: withPlace(cursor, piece.lane, { atMs: fromMs, toMs: fromMs + halfMs, resume: null }),
    pace: { ...pace, lengthMs: halfMs, calmWindows: 0 },
  }
}

function at(atMs: number): Place {
  return { atMs, toMs: null, resume: null }
}

function isLiveDue(cursor: KnownCursor, pace: Pace): boolean {
  return cursor.live.toMs !== null || cursor.live.atMs < pace.edgeMs
}

/** Live is due, and has not just had its turn. */
function isLiveFirst(cursor: KnownCursor, pace: Pace): boolean {
  const hadItsTurn = pace.livePages > 0 && (cursor.live.toMs === null || pace.livePages >= LIVE_PAGES_IN_A_ROW)
  return isLiveDue(cursor, pace) && !hadItsTurn
}

function dueLane(cursor: KnownCursor, pace: Pace): Lane | null {
  if (isLiveFirst(cursor, pace)) return 'live'
  if (cursor.lookback.pass) return 'lookback'
  if (cursor.backfill) return 'backfill'
  return isLiveDue(cursor, pace) ? 'live' : null
}

function placeOf(cursor: KnownCursor, lane: Lane): Place {
  const place = lane === 'live' ? cursor.live : lane === 'backfill' ? cursor.backfill : cursor.lookback.pass
  if (!place) throw new FlowError('BUG', { hint: `no window of the ${lane} lane is in hand` })
  return place
}

function withPlace(cursor: KnownCursor, lane: Lane, place: Place): KnownCursor {
  const { atMs, toMs, resume } = place
  if (lane === 'live') return { ...cursor, live: { atMs, toMs, resume } }
  if (lane === 'backfill') return cursor.backfill ? { ...cursor, backfill: { ...cursor.backfill, atMs, toMs, resume } } : cursor
  const pass = cursor.lookback.pass
  return pass ? { ...cursor, lookback: { ...cursor.lookback, pass: { ...pass, atMs, toMs, resume } } } : cursor
}

/** `start.at` was set earlier than what is there: what lies before is a backfill of its own, when none is running. */
function beginBackfill(cursor: KnownCursor, spec: PlanSpec, nowMs: number): KnownCursor {
  if (cursor.backfill || spec.startAtMs === null || spec.startAtMs >= cursor.startMs) return cursor
  return { ...cursor, startMs: spec.startAtMs, backfill: { ...at(spec.startAtMs), untilMs: cursor.startMs, beganMs: nowMs } }
}

function lookbackDueAt(cursor: KnownCursor, pace: Pace, spec: PlanSpec): number {
  return Math.max(cursor.lookback.beganMs + spec.lookbackIntervalMs, pace.lookbackAtMs)
}

function beginPass(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): { cursor: KnownCursor; pace: Pace } {
  const { beganMs, pass } = cursor.lookback
  if (spec.lookbackMs <= 0) return pass ? endPass(cursor, pace, pass.beganMs, spec, nowMs) : { cursor, pace }
  if (pass) {
    if (nextCovered(cursor, pass.atMs, pass.untilMs) === null) return endPass(cursor, pace, pass.beganMs, spec, nowMs)
    return { cursor: moveToCovered(cursor), pace }
  }
  if (nowMs >= beganMs && nowMs < lookbackDueAt(cursor, pace, spec)) return { cursor, pace }
  const fromMs = Math.min(nowMs, beganMs) - spec.lookbackMs
  const untilMs = cursor.live.atMs
  let countsFromMs = nowMs
  if (cursor.backfill && cursor.backfill.toMs !== null) countsFromMs = Math.min(nowMs, cursor.backfill.beganMs)
  // Of a live window it is not kept when it was begun; but the pass before this one was begun before it, or did not count either.
  if (cursor.live.toMs !== null) countsFromMs = Math.min(nowMs, beganMs)
  const begun = { ...pace, passBeganMs: nowMs }
  if (nextCovered(cursor, fromMs, untilMs) === null) return endPass(cursor, begun, countsFromMs, spec, nowMs)
  const opened = { ...cursor, lookback: { beganMs, pass: { ...at(fromMs), untilMs, beganMs: countsFromMs } } }
  return { cursor: moveToCovered(opened), pace: begun }
}

function endPass(
  cursor: KnownCursor,
  pace: Pace,
  beganMs: number,
  spec: PlanSpec,
  nowMs: number,
): { cursor: KnownCursor; pace: Pace } {
  const realMs = Number.isFinite(pace.passBeganMs) ? pace.passBeganMs : nowMs
  const dueMs = realMs + spec.lookbackIntervalMs
  const lookbackAtMs = cursor.backfill ? Math.max(dueMs, nowMs + (nowMs - realMs)) : dueMs
  return { cursor: { ...cursor, lookback: { beganMs, pass: null } }, pace: { ...pace, passBeganMs: -Infinity, lookbackAtMs } }
}

/** A pass reads again only what was read before: it steps over the holes. */
function moveToCovered(cursor: KnownCursor): KnownCursor {
  const pass = cursor.lookback.pass
  if (!pass || pass.toMs !== null) return cursor
  const range = nextCovered(cursor, pass.atMs, pass.untilMs)
  return range ? withPlace(cursor, 'lookback', at(range.from)) : cursor
}

/** The first stretch of `[fromMs, untilMs)` that was read before. */
function nextCovered(cursor: KnownCursor, fromMs: number, untilMs: number): TimeRange | null {
  for (const range of cursor.covered) {
    const from = Math.max(range.from, fromMs)
    const until = Math.min(range.until, untilMs)
    if (from < until) return { from, until }
  }
  return null
}

function windowEnd(cursor: KnownCursor, pace: Pace, spec: PlanSpec, lane: Lane): number {
  const { atMs } = placeOf(cursor, lane)
  let endMs = Math.min(atMs + pace.lengthMs, limitOf(cursor, pace, lane))
  const cutAt = (ms: number) => {
    if (ms > atMs && ms < endMs) endMs = ms
  }
  cutAt(horizon(cursor, spec))
  cutAt(heldFrom(cursor, spec))
  for (const range of cursor.covered) {
    cutAt(range.from)
    cutAt(range.until)
  }
  return endMs
}

function limitOf(cursor: KnownCursor, pace: Pace, lane: Lane): number {
  if (lane === 'live') return pace.edgeMs
  return (lane === 'backfill' ? cursor.backfill?.untilMs : cursor.lookback.pass?.untilMs) ?? pace.edgeMs
}

function pieceOf(cursor: KnownCursor, spec: PlanSpec, lane: Lane, untilMs: number): Piece {
  const place = placeOf(cursor, lane)
  const window = { fromMs: place.atMs, untilMs }
  const forgotten =
    window.fromMs < heldFrom(cursor, spec) &&
    cursor.covered.some(range => range.from <= window.fromMs && window.untilMs <= range.until)
  return { lane, window, resume: place.resume, forgotten }
}
