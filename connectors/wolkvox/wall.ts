/**
 * wolkvox writes the server's local time without a zone (`2025-03-02 09:15:20`, whole seconds) and takes it as fourteen digits. No report has the zone, except
 * for one that is always GMT-5; so it is a setting. Pure.
 */
import { EARLIEST_MS, instantsOf, LATEST_MS, text, time, wallOf, type Window, type Zone, zoneOf } from '../../src/source/index.ts'

/** A time in a row: of the wall clock (as epoch milliseconds that it would be in UTC), or, if it has a zone, absolute. */
export type ReportedTime = { readonly wallMs: number } | { readonly atMs: number }

export interface Moment {
  readonly atMs: number
  /** The wall clock showed this twice, and the first is used, or never. */
  readonly estimated: boolean
}

/** Closed at both ends, in whole seconds of the wall clock. */
export interface Range {
  readonly firstMs: number
  readonly lastMs: number
}

const SECOND = 1000
const DAY = 86_400_000
/** No zone changes its offset at another minute of the hour. */
const QUARTER_MS = 900_000

const zones = new Map<string, Zone>()

/** A zone that the config check has accepted. Cached by name, as a zone caches its offsets. */
export function zoneNamed(name: string): Zone {
  let zone = zones.get(name)
  if (zone === undefined) zones.set(name, (zone = zoneOf(name) ?? UTC))
  return zone
}

const UTC: Zone = { name: 'UTC', offsetMs: () => 0 }

/**
 * Also with `T` or a dash before the hour ("year-month-day-time" in the docs), with slashes, without seconds, as fourteen digits, or with a zone; null for
 * anything else, such as a day before its month, or a placeholder before 2000.
 */
export function reportedTimeOf(raw: unknown): ReportedTime | null {
  const words = text(raw)?.trim() ?? ''
  const local = /^(\d{4})[-/](\d\d?)[-/](\d\d?)[T -](\d\d?):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?$/.exec(words)
  const parts = local ?? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(words)
  if (parts === null) {
    const atMs = time(words)
    return atMs === null || atMs < EARLIEST_MS || atMs > LATEST_MS ? null : { atMs }
  }
  const [, year, ...rest] = parts
  const [month, day, hour, minute, second] = rest.map(part => (part ?? '0').padStart(2, '0'))
  const wallMs = time(`${year}-${month}-${day}T${hour}:${minute}:${second ?? '00'}Z`)
  return wallMs === null || wallMs < EARLIEST_MS || wallMs > LATEST_MS ? null : { wallMs }
}

export function momentOf(reported: ReportedTime, zone: Zone): Moment {
  if ('atMs' in reported) return { atMs: reported.atMs, estimated: false }
  const [first, second] = instantsOf(reported.wallMs, zone)
  // A skipped hour is read by the offset before the change.
  if (first === undefined) return { atMs: reported.wallMs - zone.offsetMs(reported.wallMs - DAY), estimated: true }
  return { atMs: first, estimated: second !== undefined }
}

/**
 * The range to request so that it has every second that begins in the window, whether the vendor's ends are inclusive (assumed) or exclusive: an extra second
 * on either side. No range crosses a month end, where the extra second is missing. At clock changes, from the least to the most that clocks show. None for a
 * window in which no second begins.
 */
export function rangesOf(window: Window, zone: Zone): Range[] {
  const { firstMs, lastMs } = secondsOf(window)
  if (lastMs < firstMs) return []
  const shown = [wallOf(firstMs, zone), wallOf(lastMs, zone)]
  for (let ms = Math.ceil(firstMs / QUARTER_MS) * QUARTER_MS; ms <= lastMs; ms += QUARTER_MS)
    shown.push(wallOf(ms, zone), wallOf(Math.max(ms - SECOND, firstMs), zone))
  const [least, most] = [Math.min(...shown), Math.max(...shown)]
  const ranges: Range[] = []
  for (let ms = least; ms <= most; ) {
    const end = monthEnd(ms)
    ranges.push({
      firstMs: monthEnd(ms - SECOND) === end ? ms - SECOND : ms,
      lastMs: Math.min(end, most + SECOND),
    })
    ms = end + SECOND
  }
  return ranges
}

/** The window in seconds, without the extra ones. Empty (`lastMs` before `firstMs`) if no second begins in it. */
export function secondsOf(window: Window): Range {
  return {
    firstMs: Math.ceil(window.fromMs / SECOND) * SECOND,
    lastMs: Math.ceil(window.untilMs / SECOND) * SECOND - SECOND,
  }
}

/** `YYYYmmddHHiiss` */
export function digits(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 19).replaceAll(/\D/g, '')
}

/** The last second of its month. */
function monthEnd(wallMs: number): number {
  const date = new Date(wallMs)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) - SECOND
}
