/**
 * wolkvox writes the server's local time without a zone (`2025-03-02 09:15:20`, whole seconds) and takes it as fourteen digits. Which zone that is no
 * report says, but for one that is always GMT-5; so it is a setting. Pure.
 */
import { EARLIEST_MS, instantsOf, LATEST_MS, text, time, wallOf, type Window, type Zone, zoneOf } from '../../src/source/index.ts'

/** A time as a row tells it: by the wall clock (as epoch milliseconds that it would be in UTC), or, where it names its zone, for all the world. */
export type Told = { readonly wallMs: number } | { readonly atMs: number }

export interface Moment {
  readonly atMs: number
  /** The wall clock showed this twice, and the first is taken, or never. */
  readonly estimated: boolean
}

/** Closed at both ends, in whole seconds of the wall clock. */
export interface Range {
  readonly firstMs: number
  readonly lastMs: number
}

const SECOND = 1000
const DAY = 86_400_000
/** No zone changes its offset at another place of the clock. */
const QUARTER_MS = 900_000

const zones = new Map<string, Zone>()

/** A zone that the config has been checked for. Kept by its name: a pure memory, as a zone knows its offsets by and by. */
export function zoneNamed(name: string): Zone {
  let zone = zones.get(name)
  if (zone === undefined) zones.set(name, (zone = zoneOf(name) ?? UTC))
  return zone
}

const UTC: Zone = { name: 'UTC', offsetMs: () => 0 }

/** Also with `T` or a dash before the hour ("year-month-day-time" in the documents), with slashes, without seconds, as fourteen digits, or with a zone; null for anything else, such as a day before its month, or a placeholder before 2000. */
export function toldOf(raw: unknown): Told | null {
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

export function momentOf(told: Told, zone: Zone): Moment {
  if ('atMs' in told) return { atMs: told.atMs, estimated: false }
  const [first, second] = instantsOf(told.wallMs, zone)
  // An hour that was left out is read by the clock as it stood before.
  if (first === undefined) return { atMs: told.wallMs - zone.offsetMs(told.wallMs - DAY), estimated: true }
  return { atMs: first, estimated: second !== undefined }
}

/**
 * What to ask for so that every second that begins in the window is shown, whether the vendor takes its two ends as inclusive (assumed) or as exclusive:
 * a second more on either side. No range crosses a month end, and there the second more is missing. Where clocks change, from the least to the most
 * that they show. None for a window in which no second begins.
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

/** The window in seconds, without anything around it. Empty (`lastMs` before `firstMs`) where no second begins in it. */
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
