/**
 * Applies a change of offsets to a cursor, and estimates its cost. Pure: cursor, change, settings and the time in, the new cursor out.
 *
 * A source partition set back to a time reads again from there up to the live edge, in its backfill lane: live reading continues meanwhile, and the state of
 * earlier reads stays. So unchanged rows inside the lookback are not published again, and older ones come as revisions. A stream that is read by the vendor's
 * own cursor is set back completely.
 */
import { FlowError } from '../errors.ts'
import {
  type Cursor,
  CURSOR_FORMAT,
  isUntold,
  NOTHING_SPENT,
  readCursor,
  readSpent,
  withRange,
  writeCursor,
} from '../ingest/cursor.ts'
import { beginCursor, completeUntil, heldFrom, notAheadOf, type PlanSpec, SKEW_MS } from '../ingest/plan.ts'
import type { Seal } from '../ingest/seal.ts'
import type { TimeRange } from '../records.ts'
import { EARLIEST_MS } from '../source/lenient.ts'
import { ControlError, type OffsetEntry } from './port.ts'

/** The requested change for one source partition. */
export type OffsetAsk =
  | { readonly kind: 'reset' }
  | { readonly kind: 'from'; readonly fromMs: number }
  | { readonly kind: 'cursor'; readonly map: Readonly<Record<string, unknown>> }

/** The owner in cursors written by this command: a process fenced by it may claim the source partition again. */
const OWNER = { worker: 'offsets', released: true } as const

const OWN_KEYS = new RegExp(
  [
    '^(?:format|start|worker|released|new|covered|requests|versions\\.from',
    '(?:live|backfill|pass)\\.(?:from|until|to|at|began|round|resume(?:\\.json|\\.sealed)?)',
    'lookback\\.(?:began|round|ms|pass))$',
  ].join('|'),
)

/** @throws ControlError 400 for an invalid offset, with the valid forms. */
export function readAsk(offset: OffsetEntry['offset'], nowMs: number): OffsetAsk {
  if (offset === null) return { kind: 'reset' }
  if (!('from' in offset)) return { kind: 'cursor', map: offset }
  const others = Object.keys(offset).filter(key => key !== 'from')
  if (others.length > 0)
    throw new ControlError(400, `An offset has either from or the keys of a cursor, not both: ${others.join(', ')}`)
  const fromMs = timeOf(offset['from'])
  const takes = 'from takes a time in ISO 8601 with a zone, such as 2026-11-01T00:00:00Z, a day, or epoch milliseconds'
  if (fromMs === null) throw new ControlError(400, takes)
  if (fromMs < EARLIEST_MS) throw new ControlError(400, `${takes}; not before the year 2000`)
  if (fromMs > nowMs + SKEW_MS) throw new ControlError(400, `${takes}; not in the future`)
  return { kind: 'from', fromMs }
}

function timeOf(value: unknown): number | null {
  const ms =
    typeof value === 'number'
      ? value
      : typeof value === 'string' && /^\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d))?$/.test(value)
        ? Date.parse(value)
        : Number.NaN
  return Number.isSafeInteger(ms) ? ms : null
}

export interface Changed {
  /** Value of the cursor's record; null removes it. */
  readonly text: string | null
  /** false: the cursor does not change. */
  readonly isChanged: boolean
  /** The range that is read again. */
  readonly rereads: TimeRange | null
  /** The part of it that comes as revisions, because its deduplication state is gone. */
  readonly forgotten: TimeRange | null
}

/**
 * @param stored The current cursor; null: there is none.
 * @param seal From the connector's `pii.key`.
 * @throws ControlError 400 for a cursor that the worker could not read, or that is in the future.
 */
export function changeOffset(stored: string | null, ask: OffsetAsk, at: { spec: PlanSpec; nowMs: number; seal: Seal }): Changed {
  const { spec, nowMs, seal } = at
  const before = stored === null ? null : cursorOrNull(stored, nowMs, seal)
  const spent = stored === null || before === null ? NOTHING_SPENT : readSpent(stored)
  const changed = (text: string | null, range: TimeRange | null): Changed => {
    const rereads = range !== null && range.from < range.until ? range : null
    const heldMs = before === null ? Infinity : heldFrom(before, spec)
    const until = Math.min(rereads?.until ?? 0, heldMs)
    const forgotten = before !== null && rereads !== null && rereads.from < until ? { from: rereads.from, until } : null
    return { text, isChanged: true, rereads, forgotten }
  }
  const edgeMs = before?.live.atMs ?? nowMs - spec.lagMs
  if (ask.kind === 'reset') {
    const range = before === null || spec.startAtMs === null ? null : { from: spec.startAtMs, until: edgeMs }
    return { ...changed(null, range), isChanged: stored !== null }
  }
  if (ask.kind === 'cursor') {
    const text = ownText(ask.map, stored, before, at)
    const after = readCursor(text, nowMs, seal)
    return changed(text, { from: completeUntil(after), until: edgeMs })
  }
  const { fromMs } = ask
  if (before === null) {
    // The process that continues from here learns from the progress topic what was read before the cursor was lost.
    const begun: Cursor = { ...beginCursor({ ...spec, startAtMs: fromMs }, nowMs, []), covered: null }
    return changed(writeCursor(begun, spent, true, OWNER, seal), { from: fromMs, until: edgeMs })
  }
  const after = setBack(before, fromMs, spec, nowMs)
  if (after === null) return { text: stored, isChanged: false, rereads: null, forgotten: null }
  return changed(writeCursor(after.cursor, spent, isUntold(stored ?? ''), OWNER, seal), after.rereads)
}

/** null: everything from then on is still to be read. */
function setBack(cursor: Cursor, fromMs: number, spec: PlanSpec, nowMs: number): { cursor: Cursor; rereads: TimeRange } | null {
  const { live, backfill, covered } = cursor
  if (fromMs >= live.atMs) return null
  const startMs = Math.min(cursor.startMs, fromMs)
  const again = (from: number) => ({ from, until: live.atMs })
  if (spec.keepsCursor) {
    const set: Cursor = { ...cursor, startMs, live: { atMs: fromMs, toMs: null, resume: null }, backfill: null }
    return { cursor: remembering(set, cursor, spec), rereads: again(fromMs) }
  }
  const untilMs = Math.max(backfill?.untilMs ?? live.atMs, live.atMs)
  if (backfill !== null && backfill.atMs <= fromMs) {
    if (backfill.untilMs >= live.atMs) return null
    return { cursor: { ...cursor, backfill: { ...backfill, untilMs } }, rereads: again(backfill.untilMs) }
  }
  // Some rows of the current window were published; they must be recognised when it is read again.
  const inHand = backfill !== null && backfill.toMs !== null ? { from: backfill.atMs, until: backfill.toMs } : null
  const set: Cursor = {
    ...cursor,
    startMs,
    backfill: { atMs: fromMs, toMs: null, resume: null, untilMs, beganMs: nowMs },
    covered: covered === null || inHand === null ? covered : withRange(covered, inHand),
  }
  return { cursor: set, rereads: again(fromMs) }
}

/** The start of the deduplication state does not move back with the cursor: older rows may have been published, and are no longer known. */
function remembering(after: Cursor, before: Cursor, spec: PlanSpec): Cursor {
  const heldMs = heldFrom(before, spec)
  if (heldFrom(after, spec) >= heldMs) return after
  return { ...after, kept: { lookbackMs: after.kept?.lookbackMs ?? spec.lookbackMs, fromMs: heldMs } }
}

/** null for an unreadable one: the change may be meant to fix it. */
function cursorOrNull(text: string, nowMs: number, seal: Seal): Cursor | null {
  try {
    const cursor = readCursor(text, nowMs, seal)
    readSpent(text)
    return cursor
  } catch (error) {
    if (error instanceof FlowError) return null
    throw error
  }
}

/** A cursor written by a person, as its record's value: checked, in this version's format, for no owner, and with the recent requests to the vendor. */
function ownText(
  map: Readonly<Record<string, unknown>>,
  stored: string | null,
  before: Cursor | null,
  { spec, nowMs, seal }: { spec: PlanSpec; nowMs: number; seal: Seal },
): string {
  const known = before === null || stored === null ? {} : (JSON.parse(stored) as Record<string, unknown>)
  const unknown = Object.keys(map).filter(key => !OWN_KEYS.test(key) && !(key in known))
  if (unknown.length > 0) throw new ControlError(400, `The offset has keys that no cursor has: ${unknown.join(', ')}`)
  const { requests: _, worker: __, released: ___, ...rest } = map
  const own = {
    ...rest,
    format: CURSOR_FORMAT,
    ...OWNER,
    ...('requests' in known
      ? { requests: known['requests'] }
      : 'requests' in map && before === null
        ? { requests: map['requests'] }
        : {}),
  }
  try {
    // As given, for a format that this version does not read.
    const cursor = readCursor(JSON.stringify({ ...own, format: map['format'] ?? CURSOR_FORMAT }), nowMs, seal)
    readSpent(JSON.stringify(own))
    if (notAheadOf(cursor, spec, nowMs) !== cursor) throw new ControlError(400, 'The offset is in the future')
    const { kept } = before === null ? cursor : remembering(cursor, before, spec)
    if (kept === undefined || kept.fromMs === cursor.kept?.fromMs) return JSON.stringify(own)
    return JSON.stringify({ ...own, 'lookback.ms': kept.lookbackMs, 'versions.from': new Date(kept.fromMs).toISOString() })
  } catch (error) {
    if (error instanceof FlowError)
      throw new ControlError(400, `The offset cannot be read: ${error.details.hint ?? error.message}`)
    throw error
  }
}

/** What was read of a source partition recently, from its Progress. */
export interface Seen {
  readonly spanMs: number
  readonly rows: number
  /** Of the fullest pages. */
  readonly rowsOfPage: number
}

export interface SeenWindow {
  readonly fromMs: number
  readonly untilMs: number
  readonly pages: number
  readonly rows: number
}

/** A window may have been committed in several parts. null: nothing was read. */
export function seenOf(windows: readonly SeenWindow[]): Seen | null {
  const byWindow = Map.groupBy(
    windows.filter(({ fromMs, untilMs, pages }) => fromMs < untilMs && pages > 0),
    ({ fromMs, untilMs }) => `${fromMs}/${untilMs}`,
  )
  if (byWindow.size === 0) return null
  const whole = [...byWindow.values()].map(parts => ({
    spanMs: (parts[0]?.untilMs ?? 0) - (parts[0]?.fromMs ?? 0),
    // Read repeatedly, each time as much.
    rows: Math.max(...parts.map(({ rows }) => rows)),
  }))
  return {
    spanMs: whole.reduce((sum, each) => sum + each.spanMs, 0),
    rows: whole.reduce((sum, each) => sum + each.rows, 0),
    rowsOfPage: Math.max(1, ...windows.map(({ pages, rows }) => (pages > 0 ? rows / pages : 0))),
  }
}

/**
 * Requests needed to read a range again: at least one per window, pages as full as before, and the enrichment of each row that is published again. null:
 * nothing was read recently to estimate from.
 *
 * @param enrichRows Rows of one enrichment request; null: there is none.
 */
export function requestsFor(
  { rereads, forgotten }: Pick<Changed, 'rereads' | 'forgotten'>,
  seen: Seen | null,
  { longestMs, keepsCursor }: Pick<PlanSpec, 'longestMs' | 'keepsCursor'>,
  enrichRows: number | null,
): number | null {
  if (rereads === null) return 0
  if (seen === null) return null
  const lengthMs = rereads.until - rereads.from
  const rowsIn = (ms: number) => (seen.rows / seen.spanMs) * ms
  const windows = keepsCursor || !Number.isFinite(longestMs) ? 1 : Math.ceil(lengthMs / longestMs)
  const pages = Math.max(windows, Math.ceil(rowsIn(lengthMs) / seen.rowsOfPage))
  const again = forgotten === null || enrichRows === null ? 0 : rowsIn(forgotten.until - forgotten.from) / enrichRows
  return pages + Math.ceil(again)
}

/** Assumed, where the vendor has no limit to compute from. */
const SECONDS_A_REQUEST = 0.3

/** How long this many requests take one after another. @param perHour What the quota leaves for them; Infinity: no limit. */
export function secondsFor(requests: number, perHour: number): number {
  const bySpeed = requests * SECONDS_A_REQUEST
  return Math.ceil(Number.isFinite(perHour) && perHour > 0 ? Math.max(bySpeed, (requests * 3600) / perHour) : bySpeed)
}
