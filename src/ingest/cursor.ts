/**
 * How far a source partition (connector, stream, scope) has been read, and how that stands on the offsets topic: Kafka Connect's layout, a flat
 * JSON map of primitives, times in ISO 8601, so that people and offset tools can read it and set it back.
 */
import { FlowError } from '../errors.ts'
import type { ReadRecord } from '../kafka/port.ts'
import type { TimeRange } from '../records.ts'
import type { Json } from '../source/contract.ts'
import { isObject } from '../source/loose.ts'
import type { Spent } from '../source/quota.ts'
import { type Seal, unsealed } from './seal.ts'

/** A place in one lane: everything before `atMs` is read, `[atMs, toMs)` is in hand when `toMs` is not null, and `resume` continues that window. */
export interface Place {
  readonly atMs: number
  readonly toMs: number | null
  readonly resume: Json
}

export interface Cursor {
  /** The earliest time that this source partition is to hold: `start.at`, or its first live edge. */
  readonly startMs: number
  /** Of a stream that is read by the vendor's own cursor, `resume` is that cursor, also between windows. */
  readonly live: Place
  /** From `startMs` up to the first live edge; null when there is nothing left to fill. */
  readonly backfill:
    | (Place & { readonly untilMs: number /** When the window in hand was begun. */; readonly beganMs: number })
    | null
  readonly lookback: {
    /**
     * What is older than this minus the lookback has been read for the last time. When the last completed pass over the whole lookback began, or before
     * that, when the backfill window that it found in hand was begun; before the first pass, when the source partition was first started.
     */
    readonly beganMs: number
    /** When the last completed pass of any length began: how old each age group's last reading is follows from it. */
    readonly roundMs: number
    readonly pass: Pass | null
  }
  /** What has been read completely at least once, in order, not touching. Null: not known, because a person wrote the cursor. */
  readonly covered: readonly TimeRange[] | null
  /** What the versions topic is known to hold; absent: not known, because an older version or a person wrote the cursor. */
  readonly kept?: Kept
}

/** The pass in hand. As a place: its window in hand, where `toMs` is not null. */
export interface Pass extends Place {
  /** What is left of it is `[fromMs, untilMs)`. */
  readonly fromMs: number
  readonly untilMs: number
  /** What `beganMs` and `roundMs` of the lookback will be after it. */
  readonly beganMs: number
  readonly roundMs: number
}

export interface Kept {
  /** The lookback that versions have been kept for so far. */
  readonly lookbackMs: number
  /** Versions of rows from before this may have been deleted, because the lookback was shorter once; -Infinity: of none. */
  readonly fromMs: number
}

export interface PartitionName {
  readonly connector: string
  readonly stream: string
  readonly scope: string
}

/**
 * 2: written under the transactional id that is joined by `/`. Whoever finds 1 (or none) has to fence the former id, too; and a process of a
 * version that knows only the former id does not read 2, so it cannot go on beside us.
 */
export const CURSOR_FORMAT = 2
const FORMER_FORMAT = 1

/** The record key on the offsets topic, as Kafka Connect writes it: compact JSON, members in this order. */
export function cursorKey(of: PartitionName): string {
  return JSON.stringify([of.connector, { stream: of.stream, scope: of.scope }])
}

/** The record key on the progress topic; also what decides on which partition the source partition's versions are. */
export function progressKey({ connector, stream, scope }: PartitionName): string {
  return `${connector}/${stream}/${scope}`
}

type Primitive = string | number | boolean | null

/** Nothing is known of earlier requests. */
export const NOTHING_SPENT: Spent = { requests: [], untold: 0 }

/** The process that reads a source partition, as its cursor names it. */
export interface CursorOwner {
  readonly worker: string
  /** It has done what it came for: whoever was fenced by it may go on. */
  readonly released?: boolean
}

/** The owner that a cursor's record names; null: it names none, or a person wrote it. Reads nothing else of it. */
export function readOwner(text: string): CursorOwner | null {
  let map: unknown
  try {
    map = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof map !== 'object' || map === null || !('worker' in map) || typeof map.worker !== 'string') return null
  return { worker: map.worker, released: 'released' in map && map.released === true }
}

/**
 * The cursor as the value of its record.
 *
 * @param spent What the vendor was asked of late, so that a process that starts anew keeps to the quota, too.
 * @param isNew No Progress has been written yet.
 * @param owner Who writes it; null: nobody who goes on from it.
 * @param seal Of a connector with a `pii.key`: what a listing goes on by may hold ids of people.
 */
export function writeCursor(
  cursor: Cursor,
  { requests, untold } = NOTHING_SPENT,
  isNew = false,
  owner: CursorOwner | null = null,
  seal: Seal = unsealed,
): string {
  const map: Record<string, Primitive> = { format: CURSOR_FORMAT, start: iso(cursor.startMs) }
  if (owner) map['worker'] = owner.worker
  if (owner?.released) map['released'] = true
  if (isNew) map['new'] = true
  map['live.until'] = iso(cursor.live.atMs)
  putWindow(map, 'live', cursor.live, seal)
  if (cursor.backfill) {
    map['backfill.from'] = iso(cursor.backfill.atMs)
    map['backfill.until'] = iso(cursor.backfill.untilMs)
    if (cursor.backfill.toMs !== null) map['backfill.began'] = iso(cursor.backfill.beganMs)
    putWindow(map, 'backfill', cursor.backfill, seal)
  }
  map['lookback.began'] = iso(cursor.lookback.beganMs)
  if (cursor.lookback.roundMs !== cursor.lookback.beganMs) map['lookback.round'] = iso(cursor.lookback.roundMs)
  if (cursor.kept) {
    map['lookback.ms'] = cursor.kept.lookbackMs
    if (Number.isFinite(cursor.kept.fromMs)) map['versions.from'] = iso(cursor.kept.fromMs)
  }
  const pass = cursor.lookback.pass
  if (pass) {
    map['pass.began'] = iso(pass.beganMs)
    map['pass.round'] = iso(pass.roundMs)
    map['pass.from'] = iso(pass.fromMs)
    map['pass.until'] = iso(pass.untilMs)
    if (pass.toMs !== null) map['pass.at'] = iso(pass.atMs)
    putWindow(map, 'pass', pass, seal)
  }
  if (cursor.covered) map['covered'] = cursor.covered.map(range => `${iso(range.from)}/${iso(range.until)}`).join(' ')
  const told = requests.map(({ atMs, count }) => `${iso(atMs)}*${count}`)
  if (untold > 0) told.push(`+${untold}`)
  if (told.length > 0) map['requests'] = told.join(' ')
  return JSON.stringify(map)
}

/**
 * What `writeCursor` was told of requests; nothing where a person left it out.
 *
 * @throws FlowError CURSOR_INVALID
 */
export function readSpent(text: string): Spent {
  return spentIn(String(parseMap(text)['requests'] ?? ''))
}

/** Header of a cursor's record whose value is null, a reset: what `requests` of the cursor said. The vendor counts it whatever is read again. */
export const REQUESTS_HEADER = 'requests'

/**
 * What a cursor's record says of requests, also that of a reset.
 *
 * @throws FlowError CURSOR_INVALID, but never for a reset
 */
export function spentOf({ value, headers }: Pick<ReadRecord, 'value' | 'headers'>): Spent {
  if (value !== null) return readSpent(value.toString())
  try {
    return spentIn(headers[REQUESTS_HEADER]?.toString() ?? '')
  } catch {
    return NOTHING_SPENT
  }
}

/** Whether the record says anything of requests: one that is missing, or was taken away by other tools, does not. */
export function saysSpent({ value, headers }: Pick<ReadRecord, 'value' | 'headers'>): boolean {
  return value !== null || REQUESTS_HEADER in headers
}

/** `requests` of a cursor, as the header of its reset has it; null where there is none, or it cannot be read. */
export function requestsOf(text: string): string | null {
  try {
    const { requests, untold } = readSpent(text)
    return requests.length === 0 && untold === 0 ? null : String(parseMap(text)['requests'])
  } catch {
    return null
  }
}

function spentIn(text: string): Spent {
  const requests: { atMs: number; count: number }[] = []
  let untold = 0
  for (const part of text.split(' ').filter(Boolean)) {
    const [, at, count] = /^([^*+]*)[*+](\d{1,6})$/.exec(part) ?? []
    const atMs = Date.parse(at ?? '')
    if (at === '') untold = Number(count)
    else if (!Number.isNaN(atMs)) requests.push({ atMs, count: Number(count) })
    else throw invalid('requests', 'takes times and counts such as 2026-11-01T00:00:00Z*12, with blanks between them')
  }
  return { requests, untold }
}

/** Whether the cursor was written under the transactional id of this version; a person who writes one need not say so. */
export function hasMoved(text: string | null): boolean {
  return text !== null && parseMap(text)['format'] === CURSOR_FORMAT
}

/** Whether the cursor says that no Progress has been written yet. */
export function isUntold(text: string): boolean {
  return parseMap(text)['new'] === true
}

/**
 * Reads what `writeCursor` wrote, or what a person put in its place: only `live.until` is required then, times may be epoch milliseconds too.
 *
 * @param nowMs Stands for what a person left out.
 * @param seal Opens what a listing goes on by; where it was sealed with another key, its window begins again.
 * @throws FlowError CURSOR_INVALID, naming the field.
 */
export function readCursor(text: string, nowMs: number, seal: Seal = unsealed): Cursor {
  const map = parseMap(text)
  const format = map['format'] ?? CURSOR_FORMAT
  if (format !== CURSOR_FORMAT && format !== FORMER_FORMAT)
    throw invalid('format', `is ${format}, this version reads ${FORMER_FORMAT} and ${CURSOR_FORMAT}`)
  const liveUntil = timeOf(map, 'live.until')
  if (liveUntil === null) throw invalid('live.until', 'is missing')
  const startMs = timeOf(map, 'start') ?? liveUntil

  const backfillFrom = timeOf(map, 'backfill.from')
  const backfillUntil = timeOf(map, 'backfill.until')
  if ((backfillFrom === null) !== (backfillUntil === null))
    throw invalid('backfill.until', 'stands with backfill.from, or neither does')
  const beganMs = timeOf(map, 'lookback.began') ?? nowMs
  const backfill =
    backfillFrom === null || backfillUntil === null || backfillFrom >= backfillUntil
      ? null
      : {
          ...placeOf(map, 'backfill', backfillFrom, seal),
          untilMs: backfillUntil,
          beganMs: timeOf(map, 'backfill.began') ?? beganMs,
        }

  const roundMs = timeOf(map, 'lookback.round') ?? beganMs
  const kept = keptOf(map)
  return {
    startMs: Math.min(startMs, backfillFrom ?? startMs, liveUntil),
    live: placeOf(map, 'live', liveUntil, seal),
    backfill,
    lookback: { beganMs, roundMs, pass: passOf(map, beganMs, seal) },
    covered: coveredOf(map),
    ...(kept === null ? {} : { kept }),
  }
}

/** Null also where a version that read passes the other way round (`lookback.pass`) left one: it begins again, and misses nothing. */
function passOf(map: Readonly<Record<string, Primitive>>, beganMs: number, seal: Seal): Pass | null {
  const fromMs = timeOf(map, 'pass.from')
  const untilMs = timeOf(map, 'pass.until')
  if (fromMs === null || untilMs === null) return null
  return {
    ...placeOf(map, 'pass', timeOf(map, 'pass.at') ?? fromMs, seal),
    fromMs,
    untilMs,
    beganMs: timeOf(map, 'pass.began') ?? beganMs,
    roundMs: timeOf(map, 'pass.round') ?? beganMs,
  }
}

function keptOf(map: Readonly<Record<string, Primitive>>): Kept | null {
  const lookbackMs = map['lookback.ms']
  if (lookbackMs === undefined || lookbackMs === null) return null
  if (typeof lookbackMs !== 'number' || !(lookbackMs >= 0)) throw invalid('lookback.ms', 'takes milliseconds')
  return { lookbackMs, fromMs: timeOf(map, 'versions.from') ?? -Infinity }
}

function putWindow(map: Record<string, Primitive>, lane: string, place: Place, seal: Seal): void {
  if (place.toMs !== null) map[`${lane}.to`] = iso(place.toMs)
  if (place.resume === null) return
  if (seal !== unsealed) {
    map[`${lane}.resume.sealed`] = seal.seal(JSON.stringify(place.resume))
    return
  }
  if (typeof place.resume === 'object') map[`${lane}.resume.json`] = JSON.stringify(place.resume)
  else map[`${lane}.resume`] = place.resume
}

function placeOf(map: Readonly<Record<string, Primitive>>, lane: string, atMs: number, seal: Seal): Place {
  const toMs = timeOf(map, `${lane}.to`)
  const place = { atMs, toMs: toMs !== null && toMs > atMs ? toMs : null }
  // A window that has come to nothing has no place; but a stream that is read by the vendor's cursor has one between two windows, too.
  if (toMs !== null && place.toMs === null) return { ...place, resume: null }
  const sealed = map[`${lane}.resume.sealed`]
  const opened = typeof sealed === 'string' && seal !== unsealed ? seal.open(sealed) : null
  if (typeof sealed === 'string') return { ...place, resume: opened === null ? null : (JSON.parse(opened) as Json) }
  const text = map[`${lane}.resume.json`]
  if (text === undefined || text === null) return { ...place, resume: map[`${lane}.resume`] ?? null }
  try {
    return { ...place, resume: JSON.parse(String(text)) as Json }
  } catch (error) {
    throw invalid(`${lane}.resume.json`, 'is not JSON', error)
  }
}

function coveredOf(map: Readonly<Record<string, Primitive>>): TimeRange[] | null {
  const text = map['covered']
  if (text === undefined || text === null) return null
  let covered: readonly TimeRange[] = []
  for (const part of String(text).split(' ').filter(Boolean)) {
    const [from, until, ...more] = part.split('/').map(each => Date.parse(each))
    if (from === undefined || until === undefined || more.length > 0 || !(from <= until)) {
      throw invalid('covered', 'takes ranges such as 2026-11-01T00:00:00Z/2026-11-02T00:00:00Z, with blanks between them')
    }
    covered = withRange(covered, { from, until })
  }
  return [...covered]
}

function parseMap(text: string): Record<string, Primitive> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid('value', 'is not JSON', error)
  }
  if (!isObject(value)) throw invalid('value', 'is not a JSON object')
  for (const [name, each] of Object.entries(value)) {
    if (typeof each === 'object' && each !== null) throw invalid(name, 'is not a plain value')
  }
  return value as Record<string, Primitive>
}

function timeOf(map: Readonly<Record<string, Primitive>>, name: string): number | null {
  const value = map[name]
  if (value === undefined || value === null) return null
  const ms = typeof value === 'number' ? value : typeof value === 'string' ? Date.parse(value) : Number.NaN
  if (!Number.isSafeInteger(ms) || Math.abs(ms) > 8.64e15)
    throw invalid(name, 'is not a time (ISO 8601 with a zone, or epoch milliseconds)')
  return ms
}

function invalid(field: string, hint: string, cause?: unknown): FlowError {
  return new FlowError('CURSOR_INVALID', { field, hint: `${field} ${hint}` }, cause)
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

/** The ranges with one more, joined where they touch, in order. */
export function withRange(ranges: readonly TimeRange[], add: TimeRange): readonly TimeRange[] {
  if (add.from >= add.until) return ranges
  const joined: TimeRange[] = []
  let { from, until } = add
  for (const range of ranges) {
    if (range.until < from || range.from > until) joined.push(range)
    else {
      from = Math.min(from, range.from)
      until = Math.max(until, range.until)
    }
  }
  joined.push({ from, until })
  return joined.sort((a, b) => a.from - b.from)
}
