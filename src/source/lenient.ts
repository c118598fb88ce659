/**
 * Lenient parsing of vendors' values: `"true"` for true, `"null"` or `"-"` for nothing, numbers as text, NUL characters. Pure, and never throws: an unreadable
 * value is null, and the caller decides whether that matters.
 */
import { isDeeper } from './json.ts'

const NOTHING = new Set(['', '-', 'null', '"null"', 'undefined'])

/** For ids, names and labels: null for values that mean nothing (`null`, `"null"`, `-`, blank). Not for what people said: use `clean` there. */
export function text(raw: unknown): string | null {
  if (raw === null || raw === undefined) return null
  const words = typeof raw === 'string' ? clean(raw) : asText(raw)
  return NOTHING.has(words.trim()) ? null : words
}

/** The text without U+0000, which databases downstream reject. */
export function clean(raw: string): string {
  return raw.includes('\0') ? raw.replaceAll('\0', '') : raw
}

/** For paths and queries. A vendor's id may contain a lone surrogate, which no address can: it is replaced. */
export function inUrl(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** A name in a map, with U+0000 replaced by a sign: two different names must not become one. */
export function cleanName(name: string): string {
  return name.includes('\0') ? name.replaceAll('\0', '\u2400') : name
}

/** true and false in all spellings of vendors (`"True"`, 1, `"0"`, `"yes"`); null for anything else. */
export function bool(raw: unknown): boolean | null {
  if (typeof raw === 'boolean') return raw
  switch (typeof raw === 'string' ? raw.trim().toLowerCase() : raw) {
    case 'true':
    case 'yes':
    case '1':
    case 1:
      return true
    case 'false':
    case 'no':
    case '0':
    case 0:
      return false
    default:
      return null
  }
}

/** A finite number, also from text with a decimal point; null for anything else. */
export function number(raw: unknown): number | null {
  if (typeof raw === 'number') return Number.isFinite(raw) ? raw : null
  if (typeof raw !== 'string' || !/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(raw)) return null
  const value = Number(raw)
  return Number.isFinite(value) ? value : null
}

/**
 * Sets an own field of any name: a plain assignment to `__proto__` sets the prototype, and the field is lost. For every object whose names come from a vendor.
 */
export function put<T>(fields: Record<string, T>, name: string, value: T): void {
  if (name === '__proto__') Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true })
  else fields[name] = value
}

/**
 * Fields with text values, as in `attributes` and `variables`: text as it is, numbers and booleans as text, everything else as JSON. null and undefined are
 * left out, NUL characters too, also in names. Always a new object, with own fields only.
 */
export function texts(raw: Readonly<Record<string, unknown>> | null | undefined): Record<string, string> {
  const out: Record<string, string> = {}
  if (raw === null || raw === undefined) return out
  for (const name in raw) {
    if (!Object.hasOwn(raw, name)) continue
    const value = raw[name]
    if (value === null || value === undefined) continue
    put(out, cleanName(name), typeof value === 'string' ? clean(value) : asText(value))
  }
  return out
}

function asText(value: unknown): string {
  return typeof value === 'string' ? clean(value) : (jsonOf(value) ?? '')
}

/** Levels of nesting that are kept of a vendor's value. */
const DEEPEST = 64
/** Replaces what is nested deeper. */
const CUT = '[deeper than 64 levels]'

/**
 * JSON of a vendor's value of any depth: `JSON.stringify` overflows the stack from some thousand levels on. What is deeper than 64 levels is replaced by a text
 * that says so, and NUL characters are left out. undefined where JSON has no representation.
 *
 * @param options.sorted Names of objects in order, so that equal values give equal texts.
 * @param options.withoutNulls Leave out null fields of objects.
 */
export function jsonOf(
  value: unknown,
  options: { readonly sorted?: boolean; readonly withoutNulls?: boolean } = {},
): string | undefined {
  if (typeof value !== 'object' || value === null) return JSON.stringify(typeof value === 'string' ? clean(value) : value)
  const isAsIs = options.sorted !== true && options.withoutNulls !== true && !isDeeper(value, DEEPEST)
  const kept = isAsIs ? value : shallow(value, DEEPEST, options)
  const json = JSON.stringify(kept) as string | undefined
  return json?.includes(String.raw`\u0000`) ? JSON.stringify(shallow(kept, DEEPEST, options)) : json
}

function shallow(
  value: unknown,
  levels: number,
  options: { readonly sorted?: boolean; readonly withoutNulls?: boolean },
): unknown {
  if (typeof value === 'string') return clean(value)
  if (typeof value !== 'object' || value === null) return value
  if (levels === 0) return CUT
  if (Array.isArray(value)) return value.map(inner => shallow(inner, levels - 1, options))
  const out: Record<string, unknown> = {}
  const names = Object.keys(value)
  for (const name of options.sorted === true ? names.sort() : names) {
    const inner = (value as Record<string, unknown>)[name]
    if (options.withoutNulls !== true || (inner !== null && inner !== undefined))
      put(out, cleanName(name), shallow(inner, levels - 1, options))
  }
  return out
}

/** Earlier times are placeholders of vendors (year 1, 1970), not times. */
export const EARLIEST_MS = Date.UTC(2000, 0, 1)
/** Later times are placeholders (9999), whenever they were read. */
export const LATEST_MS = Date.UTC(2200, 0, 1)
/** How far after the read a time may be. */
const AHEAD_MS = 86_400_000

/**
 * The time, or null for a placeholder, which is before 2000 or more than a day after the row was read. The one rule for every time that decides something
 * (status, end, duration); the record builders use it, too.
 */
export function realTime(atMs: number | null | undefined, { observedAtMs }: { readonly observedAtMs: number }): number | null {
  return atMs !== null && atMs !== undefined && atMs >= EARLIEST_MS && atMs <= observedAtMs + AHEAD_MS ? atMs : null
}

/**
 * Epoch milliseconds of a time in any form that vendors write: as `time` reads it, without a zone (then UTC), a day only, or a number as text. null if it is
 * not a time, and for placeholders before 2000 and after 2200; for later ones use `realTime`, which knows when the row was read.
 */
export function instant(raw: unknown): number | null {
  const atMs = typeof raw === 'string' ? inUtc(raw.trim()) : typeof raw === 'number' ? time(raw) : null
  return atMs === null || atMs < EARLIEST_MS || atMs > LATEST_MS ? null : atMs
}

/** Why `instant` reads a value as null, for an issue of a schema. */
export function timeFault(raw: unknown): string {
  if (raw === undefined || raw === null || text(raw) === null) return 'is missing'
  return isPlaceholder(raw) ? 'is a placeholder, not a time' : 'is not a time'
}

/** How vendors write "no time": nothing, zeros (PHP, MySQL), or a time before 2000 or more than a day ahead, in any form and zone. */
export function isPlaceholder(raw: unknown, observedAtMs = LATEST_MS): boolean {
  if (typeof raw === 'number' && !Number.isFinite(raw)) return false
  if (text(raw) === null || (typeof raw === 'string' && /^\s*0000-/.test(raw))) return true
  const atMs = typeof raw === 'string' ? inUtc(raw.trim()) : typeof raw === 'number' ? time(raw) : null
  return atMs !== null && realTime(atMs, { observedAtMs }) === null
}

function inUtc(words: string): number | null {
  return time(words) ?? time(`${words}Z`) ?? time(`${words}T00:00:00Z`) ?? time(number(words))
}

/**
 * Epoch milliseconds of an ISO 8601 time **with a zone**, or of a number, also as digits; null for anything else. The size of a number decides its unit: ten
 * digits are epoch seconds, thirteen milliseconds, sixteen microseconds, nineteen nanoseconds. A time without a zone is null: only the connector can know the
 * vendor's zone. Digits beyond milliseconds are cut off.
 */
export function time(raw: string | number | null | undefined): number | null {
  if (typeof raw === 'number') return bySize(raw)
  if (typeof raw !== 'string') return null
  // By hand for `2026-11-01T00:00:00Z` or with three decimals: several times faster than Date.parse.
  const millis = raw.length === 24
  if ((millis || raw.length === 20) && raw.endsWith('Z') && raw.charCodeAt(10) === 84) {
    const ms = millis && raw.charCodeAt(19) === 46 ? digits(raw, 20, 3) : millis ? -1 : 0
    const marks = raw.charCodeAt(4) === 45 && raw.charCodeAt(7) === 45 && raw.charCodeAt(13) === 58 && raw.charCodeAt(16) === 58
    return marks
      ? epochMs(
          digits(raw, 0, 4),
          digits(raw, 5, 2),
          digits(raw, 8, 2),
          digits(raw, 11, 2),
          digits(raw, 14, 2),
          digits(raw, 17, 2),
          ms,
        )
      : null
  }
  const parts = ISO.exec(raw.trim())
  if (parts === null) return EPOCH.test(raw) ? bySize(Number(raw)) : null
  const [, year, month, day, hour, minute, second, fraction, zone, sign, zoneHour, zoneMinute] = parts
  const local = epochMs(
    Number(year),
    Number(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second ?? 0),
    Number((fraction ?? '').slice(0, 3).padEnd(3, '0')),
  )
  if (local === null || zone === 'Z' || zone === 'z') return local
  const offsetMinutes = Number(zoneHour) * 60 + Number(zoneMinute ?? 0)
  return local - (sign === '-' ? -1 : 1) * offsetMinutes * 60_000
}

const ISO = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(Z|z|([+-])(\d\d)(?::?(\d\d))?)$/

/** Possible epoch times in digits; fewer digits are not a valid time. */
const EPOCH = /^\s*\d{9,20}(\.\d+)?\s*$/

/** The sizes do not overlap between 2000 and 5138. A number below the range of seconds is left as milliseconds, which makes it a placeholder. */
function bySize(raw: number): number | null {
  const size = Math.abs(raw)
  const ms = size < EARLIEST_MS / 1000 ? raw : size < 1e11 ? raw * 1000 : size < 1e14 ? raw : size < 1e17 ? raw / 1000 : raw / 1e6
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? Math.trunc(ms) : null
}

/** The number of the `count` digits from `at`; -1 if one is not a digit. */
function digits(words: string, at: number, count: number): number {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = words.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}

const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** null if a part is out of its range, such as the 30th of February. */
function epochMs(
  year: number,
  month: number,
  day: number,
  hour: number,
  minute: number,
  second: number,
  ms: number,
): number | null {
  if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 24 || minute < 0 || second < 0 || ms < 0) return null
  if (minute > 59 || second > 59 || (hour === 24 && (minute !== 0 || second !== 0 || ms !== 0))) return null
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
  if (day > (month === 2 && leap ? 29 : (MONTH_DAYS[month - 1] as number))) return null
  // Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap day is a year's last.
  const y = month <= 2 ? year - 1 : year
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const days = 365 * y + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468
  return days * 86_400_000 + hour * 3_600_000 + minute * 60_000 + second * 1000 + ms
}
