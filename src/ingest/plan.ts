/**
 * Which window is read next. Pure: cursor, pace, settings and the time in, the next piece of work out. Three lanes share a source partition:
 *
 * - **live**: what the vendor shows now. At each poll a **sweep** reads `[now − hot, now)`, newest first: new rows, and again the hot ones, which may have changed.
 *   What is promised (`live.until`, `complete_until`) stays the safety lag behind the time at which a window was begun, because rows appear late. A sweep
 *   moves the promise only where it joins what was read before; it is kept in no cursor, since it is short. Where live is further behind than what is hot,
 *   the gap is read in windows of its own, which are kept, and sweeps go on beside them, so that people see the newest first.
 *   First whenever it is due, but where it is due again as soon as it has been read (a poll interval shorter than what the quota allows, a window
 *   that keeps failing), the others get a page between.
 * - **lookback**: what was read before and may have changed since, in passes that reach further back the rarer they are (`ageing.ts`), the newest
 *   windows first. A pass over everything covers `[min(now, the last such pass's beginning) − lookback, what is hot)`, so that each row is read at
 *   least once when it is older than the lookback: the first such pass that begins after that moment reaches back to where the one before it stood. A
 *   pass steps over the backfill window in hand, some rows of which were read before it; so it counts as begun when that window was begun. Where it
 *   finds a live window in hand that reaches back as far, it does not count at all: the next pass reaches back as far.
 * - **backfill**: from `start.at` up to the first live edge, ascending, when nothing else is due.
 *
 * No lane moves past a window that was not read completely. A window in a cursor begins and ends inside one range of `covered` or between two, and on one
 * side of the time since when versions are held: so all its rows are either remembered, or were forgotten, or were never read. A sweep lies inside
 * what versions are held for.
 */
import { FlowError } from '../errors.ts'
import type { Lane, TimeRange } from '../records.ts'
import type { Json, Window } from '../source/contract.ts'
import { type AgeGroup, ageGroups, passDueAt, passReach } from './ageing.ts'
import { type Cursor, type Pass, type Place, withRange } from './cursor.ts'

/** The settings of one source partition, defaults filled in. */
export interface PlanSpec {
  /** `start.at`, or null: from now. */
  readonly startAtMs: number | null
  readonly pollIntervalMs: number
  readonly lagMs: number
  /** What is younger than the lag is not read; see `WindowSpec`. */
  readonly settles: boolean
  readonly lookbackMs: number
  /** The longest time between two readings of a row that is older than `hotMs` and still inside the lookback. */
  readonly lookbackIntervalMs: number
  /** Rows younger than this are read again at every poll; 0: none. Not above the lookback. */
  readonly hotMs: number
  readonly longestMs: number
  readonly smallestMs: number
  readonly durableResume: boolean
  /** Each lane reads time in one direction, so that turns mostly come in order: for sessions that are derived from them. A gap is caught up before what is newer. */
  readonly inOrder: boolean
  /** How long after it left the lookback an open row is asked for by its id, milliseconds; 0: not at all. */
  readonly followMs: number
  /** The resume of one live window continues the next; what is asked for is no window of time. */
  readonly keepsCursor: boolean
  /** Its share of the vendor's requests in an hour, without backfill: what is hot is shortened when there would be more. Infinity: no limit. */
  readonly mostPerHour: number
}

/** A cursor that knows what was read: every cursor after the start of a source partition. */
export type KnownCursor = Cursor & { readonly covered: readonly TimeRange[] }

/** What the planner remembers of the running process; nothing in it needs to survive. */
export interface Pace {
  /** When the vendor's live edge is looked at next. */
  readonly pollAtMs: number
  /** When it was looked at last: up to there live is to be read now. */
  readonly edgeMs: number
  /** The reading of what is hot now; null: done, or not in use. */
  readonly sweep: Sweep | null
  /** What is hot: the spec's figure, or less where the quota asks for it. */
  readonly hotMs: number
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

/** One reading of `[now − hot, now)`, in windows, the newest first. */
export interface Sweep {
  /** What is left of it is `[fromMs, untilMs)`. */
  readonly fromMs: number
  readonly untilMs: number
  readonly inHand: Window | null
  /** Where it ends: when it was begun, or the safety lag before that. */
  readonly edgeMs: number
  /** It reaches back to where live stands, so live moves with it. */
  readonly joins: boolean
}

export interface Piece {
  readonly lane: Lane
  readonly window: Window
  readonly resume: Json
  /** The whole window was read before, and versions of it are not held: a row of it that is not remembered may have been published long ago. */
  readonly forgotten: boolean
  /** No window: open rows, asked for by their ids. */
  readonly followed?: true
  /** A window of a sweep, which no cursor keeps. */
  readonly swept?: true
  /** A window around rows that a change feed has named; it moves nothing. */
  readonly named?: true
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
  const liveMs = spec.keepsCursor ? startMs : Math.max(startMs, edgeMs)
  return {
    startMs,
    live: at(liveMs),
    backfill: startMs < liveMs ? { ...at(startMs), untilMs: liveMs, beganMs: nowMs } : null,
    lookback: { beganMs: nowMs, roundMs: nowMs, pass: null },
    covered,
  }
}

export function beginPace(spec: PlanSpec): Pace {
  return {
    pollAtMs: -Infinity,
    edgeMs: -Infinity,
    sweep: null,
    hotMs: spec.hotMs,
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
  const isPassAhead = pass !== null && (isAhead(pass) || Math.max(pass.untilMs, pass.beganMs, pass.roundMs) > mostMs)
  const isBackfillAhead = backfill !== null && (isAhead(backfill) || backfill.untilMs > mostMs)
  const lookbackMs = Math.max(lookback.beganMs, lookback.roundMs)
  if (!isAhead(live) && !isPassAhead && !isBackfillAhead && lookbackMs <= mostMs) return cursor
  const edgeMs = nowMs - spec.lagMs
  return {
    ...cursor,
    startMs: Math.min(cursor.startMs, edgeMs),
    live: isAhead(live) ? at(Math.min(live.atMs, edgeMs)) : live,
    backfill: backfill && isBackfillAhead ? clipped(backfill, edgeMs) : backfill,
    lookback: {
      beganMs: Math.min(lookback.beganMs, nowMs),
      roundMs: Math.min(lookback.roundMs, nowMs),
      pass: isPassAhead ? null : pass,
    },
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
export function heldFrom(cursor: Cursor, spec: PlanSpec): number {
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
  // Where the backfill will end, some rows were read by live, however long it takes to get there.
  const seamMs = cursor.backfill?.untilMs
  if (seamMs !== undefined) inHand.push({ fromMs: seamMs - edgeMs, untilMs: seamMs + edgeMs + spec.hotMs })
  return (untilMs, open = false) =>
    untilMs > keptMs ||
    (open && untilMs > keptMs - spec.followMs) ||
    inHand.some(window => untilMs > window.fromMs && untilMs <= window.untilMs)
}

/** The next piece of work at `nowMs`: the first page of a new window, or the next page of one in hand. */
export function next(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): Planned {
  const polled = nowMs >= pace.pollAtMs ? poll(cursor, pace, spec, nowMs) : pace
  const begun = isLiveFirst(cursor, polled, spec) ? { cursor, pace: polled } : beginPass(cursor, polled, spec, nowMs)
  const started = beginBackfill(begun.cursor, spec, nowMs)
  const lane = dueLane(started, begun.pace, spec)
  const turned = { ...begun.pace, livePages: lane === 'live' ? begun.pace.livePages + 1 : 0 }
  if (lane === null) return { cursor: started, pace: turned, piece: null }
  if (lane === 'live' && turned.sweep !== null) return sweepOn(started, turned, spec, turned.sweep)
  const place = placeOf(started, lane)
  if (place.toMs !== null) return { cursor: started, pace: turned, piece: pieceOf(started, spec, lane, place.toMs) }
  const { fromMs, untilMs } = newWindow(started, turned, spec, lane)
  let opened = withPlace(started, lane, { atMs: fromMs, toMs: untilMs, resume: spec.keepsCursor ? place.resume : null })
  if (lane === 'backfill' && opened.backfill) opened = { ...opened, backfill: { ...opened.backfill, beganMs: nowMs } }
  return { cursor: opened, pace: turned, piece: pieceOf(opened, spec, lane, untilMs) }
}

/** When `next` may have something to do, if it has nothing now. */
export function dueAt(cursor: KnownCursor, pace: Pace, spec: PlanSpec): number {
  const hasPasses = spec.lookbackMs > 0 && !spec.keepsCursor
  return hasPasses ? Math.min(pace.pollAtMs, lookbackDueAt(cursor, pace, spec)) : pace.pollAtMs
}

/** Live has been read as far as it stood when it was looked at last, without the safety lag. */
export function isLiveRead(cursor: KnownCursor, pace: Pace, spec: PlanSpec): boolean {
  return !isLiveDue(cursor, pace, spec)
}

/** The cursor after a page of the piece: `resume` continues the window. Only a resume that survives a restart is kept. */
export function afterPage(cursor: KnownCursor, piece: Piece, resume: Json, spec: PlanSpec): KnownCursor {
  if (isUnkept(piece)) return cursor
  return withPlace(cursor, piece.lane, {
    ...placeOf(cursor, piece.lane),
    toMs: piece.window.untilMs,
    resume: spec.durableResume ? resume : null,
  })
}

/** Cursor and pace after the last page of the piece's window. */
export function afterWindow(cursor: KnownCursor, pace: Pace, piece: Piece, spec: PlanSpec, nowMs: number) {
  if (piece.named) return { cursor, pace }
  const grown = pace.calmWindows + 1 >= CALM_WINDOWS_BEFORE_GROWTH
  const after: Pace = {
    ...pace,
    calmWindows: grown ? 0 : pace.calmWindows + 1,
    lengthMs: grown ? Math.min(spec.longestMs, pace.lengthMs * 2) : pace.lengthMs,
  }
  if (piece.swept) return afterSweptWindow(cursor, after, piece, spec)
  const { fromMs: from, untilMs: until } = piece.window
  const read: KnownCursor = { ...cursor, covered: withRange(cursor.covered, { from, until }) }
  if (piece.lane === 'live') {
    if (!spec.keepsCursor) return { cursor: withPlace(read, 'live', at(until)), pace: after }
    const { resume } = cursor.live
    return {
      cursor: { ...read, live: { ...at(until), resume }, lookback: { beganMs: until, roundMs: until, pass: null } },
      pace: after,
    }
  }
  if (piece.lane === 'backfill') {
    const isFilled = read.backfill !== null && until >= read.backfill.untilMs
    return { cursor: isFilled ? { ...read, backfill: null } : withPlace(read, 'backfill', at(until)), pace: after }
  }
  const { pass } = read.lookback
  if (pass === null) return { cursor: read, pace: after }
  const left: Pass = { ...pass, ...at(pass.atMs), ...(spec.inOrder ? { fromMs: until } : { untilMs: from }) }
  const moved = { ...read, lookback: { ...read.lookback, pass: left } }
  return nextStretch(moved, left, spec) === null ? endPass(moved, after, left, spec, nowMs) : { cursor: moved, pace: after }
}

/** Nothing of the piece is kept in the cursor. */
function isUnkept({ swept, named, followed }: Piece): boolean {
  return swept === true || named === true || followed === true
}

/** The live edge is looked at: what is hot now is to be read. A sweep that is not done goes on, and the next poll begins another. */
function poll(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): Pace {
  const sweep = pace.sweep ?? newSweep(cursor, pace, spec, nowMs)
  return { ...pace, pollAtMs: nowMs + spec.pollIntervalMs, edgeMs: nowMs, sweep }
}

/** How far behind now live may be and still be read by sweeps. */
function sweepSpan({ hotMs }: Pace, { lagMs, pollIntervalMs }: PlanSpec): number {
  return Math.max(hotMs, 2 * (lagMs + pollIntervalMs))
}

function newSweep(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): Sweep | null {
  const { live, covered } = cursor
  const edgeMs = spec.settles ? nowMs - spec.lagMs : nowMs
  if (live.atMs >= edgeMs || spec.keepsCursor) return null
  const hotFromMs = Math.max(nowMs - pace.hotMs, heldFrom(cursor, spec))
  const started = { untilMs: edgeMs, inHand: null, edgeMs }
  if (live.toMs === null && live.atMs >= nowMs - sweepSpan(pace, spec)) {
    const before = covered.find(({ from, until }) => from <= live.atMs && live.atMs <= until)
    return { ...started, fromMs: Math.min(live.atMs, Math.max(hotFromMs, before?.from ?? live.atMs)), joins: true }
  }
  // Turns come in order.
  if (spec.inOrder || pace.hotMs <= 0 || hotFromMs >= edgeMs) return null
  return { ...started, fromMs: Math.max(hotFromMs, live.atMs), joins: false }
}

function sweepOn(cursor: KnownCursor, pace: Pace, spec: PlanSpec, sweep: Sweep): Planned {
  const window = sweep.inHand ?? firstPart(sweep, pace.lengthMs, !spec.inOrder)
  const piece: Piece = { lane: 'live', window, resume: null, forgotten: false, swept: true }
  return { cursor, pace: { ...pace, sweep: { ...sweep, inHand: window } }, piece }
}

/** The part of the window that is read first. */
function firstPart({ fromMs, untilMs }: Window, lengthMs: number, isNewestFirst: boolean): Window {
  return isNewestFirst
    ? { fromMs: Math.max(fromMs, untilMs - lengthMs), untilMs }
    : { fromMs, untilMs: Math.min(untilMs, fromMs + lengthMs) }
}

function afterSweptWindow(cursor: KnownCursor, pace: Pace, { window }: Piece, { lagMs, settles, inOrder }: PlanSpec) {
  const { sweep } = pace
  if (sweep === null) return { cursor, pace }
  const left = inOrder ? { fromMs: window.untilMs } : { untilMs: window.fromMs }
  const rest: Sweep = { ...sweep, ...left, inHand: null }
  const isOver = rest.fromMs >= rest.untilMs
  const after = { ...pace, sweep: isOver ? null : rest }
  // Newest first: until it is over, there is a gap between live and what was read.
  if (!sweep.joins || !(isOver || inOrder)) return { cursor, pace: after }
  const readMs = isOver ? sweep.edgeMs : window.untilMs
  // Rows of the safety lag before it was begun may still come.
  const liveMs = Math.max(cursor.live.atMs, Math.min(readMs, settles ? sweep.edgeMs : sweep.edgeMs - lagMs))
  const read = { ...cursor, live: at(liveMs), covered: withRange(cursor.covered, { from: sweep.fromMs, until: liveMs }) }
  return { cursor: read, pace: after }
}

/** The window starts again from its beginning: its resume is not known to the vendor any more. */
export function startWindowAgain(cursor: KnownCursor, piece: Piece): KnownCursor {
  return isUnkept(piece) ? cursor : withPlace(cursor, piece.lane, { ...placeOf(cursor, piece.lane), resume: null })
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
  const halved = { ...pace, lengthMs: halfMs, calmWindows: 0 }
  const isNewestFirst = !spec.inOrder && (piece.swept === true || piece.lane === 'lookback')
  const half = firstPart(piece.window, halfMs, isNewestFirst)
  if (piece.swept) return { cursor, pace: { ...halved, sweep: pace.sweep && { ...pace.sweep, inHand: half } } }
  const place = { atMs: half.fromMs, toMs: half.untilMs, resume: null }
  return { cursor: withPlace(cursor, piece.lane, place), pace: halved }
}

function at(atMs: number): Place {
  return { atMs, toMs: null, resume: null }
}

function isLiveDue(cursor: KnownCursor, pace: Pace, spec: PlanSpec): boolean {
  return pace.sweep !== null || isCatchUpDue(cursor, pace, spec)
}

/** Live is further behind than sweeps reach. */
function isCatchUpDue({ live }: KnownCursor, pace: Pace, spec: PlanSpec): boolean {
  const { edgeMs } = pace
  const spanMs = spec.keepsCursor ? spec.lagMs : Math.max(spec.lagMs, sweepSpan(pace, spec))
  return live.toMs !== null || live.atMs < edgeMs - spanMs
}

/** Live is due, and has not just had its turn. */
function isLiveFirst(cursor: KnownCursor, pace: Pace, spec: PlanSpec): boolean {
  const isInHand = (pace.sweep === null ? cursor.live.toMs : pace.sweep.inHand) !== null
  const hadItsTurn = pace.livePages > 0 && (!isInHand || pace.livePages >= LIVE_PAGES_IN_A_ROW)
  return isLiveDue(cursor, pace, spec) && !hadItsTurn
}

function dueLane(cursor: KnownCursor, pace: Pace, spec: PlanSpec): Lane | null {
  if (isLiveFirst(cursor, pace, spec)) return 'live'
  if (cursor.lookback.pass) return 'lookback'
  if (cursor.backfill) return 'backfill'
  return isLiveDue(cursor, pace, spec) ? 'live' : null
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

function groupsOf({ hotMs }: Pace, { pollIntervalMs, lookbackMs, lookbackIntervalMs }: PlanSpec): readonly AgeGroup[] {
  return ageGroups({ hotMs, pollIntervalMs, lookbackMs, lookbackIntervalMs })
}

function lookbackDueAt({ lookback, startMs }: KnownCursor, pace: Pace, spec: PlanSpec): number {
  return Math.max(passDueAt(groupsOf(pace, spec), lookback.roundMs, startMs), pace.lookbackAtMs)
}

function beginPass(cursor: KnownCursor, pace: Pace, spec: PlanSpec, nowMs: number): { cursor: KnownCursor; pace: Pace } {
  // What changed comes by the vendor's cursor.
  if (spec.keepsCursor) return { cursor, pace }
  const { beganMs, roundMs, pass } = cursor.lookback
  if (pass) {
    const isOver = spec.lookbackMs <= 0 || (pass.toMs === null && nextStretch(cursor, pass, spec) === null)
    return isOver ? endPass(cursor, pace, pass, spec, nowMs) : { cursor, pace }
  }
  if (spec.lookbackMs <= 0 || (nowMs >= roundMs && nowMs < lookbackDueAt(cursor, pace, spec))) return { cursor, pace }
  const wholeFromMs = Math.min(nowMs, beganMs) - spec.lookbackMs
  const reachMs = nowMs < roundMs ? Infinity : passReach(groupsOf(pace, spec), roundMs, nowMs, cursor.startMs)
  const fromMs = Math.max(wholeFromMs, nowMs - reachMs)
  const countsFromMs = passCountsFrom(cursor, spec, nowMs)
  const opened: Pass = {
    ...at(fromMs),
    fromMs,
    untilMs: pace.hotMs > 0 ? Math.min(cursor.live.atMs, nowMs - pace.hotMs) : cursor.live.atMs,
    beganMs: fromMs === wholeFromMs ? countsFromMs : beganMs,
    roundMs: countsFromMs,
  }
  const begun = { ...pace, passBeganMs: nowMs }
  if (nextStretch(cursor, opened, spec) === null) return endPass(cursor, begun, opened, spec, nowMs)
  return { cursor: { ...cursor, lookback: { ...cursor.lookback, pass: opened } }, pace: begun }
}

/** As of when a pass that begins now counts, because of what is in hand beside it. */
function passCountsFrom({ backfill, live, lookback }: KnownCursor, { lookbackMs }: PlanSpec, nowMs: number): number {
  // Of a live window it is not kept when it was begun; but the pass before this one was begun before it, or did not count either.
  if (live.toMs !== null && live.atMs < nowMs - lookbackMs) return Math.min(nowMs, lookback.beganMs)
  return backfill !== null && backfill.toMs !== null ? Math.min(nowMs, backfill.beganMs) : nowMs
}

function endPass(
  cursor: KnownCursor,
  pace: Pace,
  { beganMs, roundMs }: Pass,
  spec: PlanSpec,
  nowMs: number,
): { cursor: KnownCursor; pace: Pace } {
  const realMs = Number.isFinite(pace.passBeganMs) ? pace.passBeganMs : nowMs
  // One that does not count makes the next due at once.
  const dueMs = roundMs < realMs ? realMs + (groupsOf(pace, spec)[0]?.pauseMs ?? 0) : realMs
  const lookbackAtMs = cursor.backfill ? Math.max(dueMs, nowMs + (nowMs - realMs)) : dueMs
  return {
    cursor: { ...cursor, lookback: { beganMs, roundMs, pass: null } },
    pace: { ...pace, passBeganMs: -Infinity, lookbackAtMs },
  }
}

/** The stretch that the pass reads next of what was read before; the newest, or the oldest where turns come in order. Null: there is nothing left. */
function nextStretch({ covered }: KnownCursor, { fromMs, untilMs }: Pass, { inOrder }: PlanSpec): TimeRange | null {
  const left = covered.flatMap(range => {
    const from = Math.max(range.from, fromMs)
    const until = Math.min(range.until, untilMs)
    return from < until ? [{ from, until }] : []
  })
  return (inOrder ? left[0] : left.at(-1)) ?? null
}

/** The next window of a lane that has none in hand. */
function newWindow(cursor: KnownCursor, pace: Pace, spec: PlanSpec, lane: Lane): Window {
  const cuts = [horizon(cursor, spec), heldFrom(cursor, spec), ...cursor.covered.flatMap(({ from, until }) => [from, until])]
  const { pass } = cursor.lookback
  const stretch = lane === 'lookback' && pass !== null ? nextStretch(cursor, pass, spec) : null
  if (stretch !== null && !spec.inOrder) {
    const fromMs = Math.max(stretch.from, stretch.until - pace.lengthMs)
    return { fromMs: Math.max(fromMs, ...cuts.filter(ms => ms < stretch.until)), untilMs: stretch.until }
  }
  const fromMs = stretch?.from ?? placeOf(cursor, lane).atMs
  const untilMs = Math.min(fromMs + pace.lengthMs, stretch?.until ?? limitOf(cursor, pace, spec, lane))
  return { fromMs, untilMs: Math.min(untilMs, ...cuts.filter(ms => ms > fromMs)) }
}

function limitOf(cursor: KnownCursor, pace: Pace, { lagMs }: PlanSpec, lane: Lane): number {
  const edgeMs = pace.edgeMs - lagMs
  return lane === 'backfill' ? (cursor.backfill?.untilMs ?? edgeMs) : edgeMs
}

function pieceOf(cursor: KnownCursor, spec: PlanSpec, lane: Lane, untilMs: number): Piece {
  const place = placeOf(cursor, lane)
  const window = { fromMs: place.atMs, untilMs }
  const forgotten =
    window.fromMs < heldFrom(cursor, spec) &&
    cursor.covered.some(range => range.from <= window.fromMs && window.untilMs <= range.until)
  return { lane, window, resume: place.resume, forgotten }
}
