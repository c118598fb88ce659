/**
 * Reading what vendors write instead of what they mean: `"true"` for true, `"null"` or `"-"` for nothing, numbers as text, NUL characters.
 * Pure, and never throws: what cannot be read is null, and its caller decides whether that matters.
 */
import { isDeeper } from './json.ts'

const NOTHING = new Set(['', '-', 'null', '"null"', 'undefined'])

/** For ids, names and labels: null for what stands for nothing (`null`, `"null"`, `-`, blank). Not for what people said: use `clean` there. */
export function text(raw: unknown): string | null {
  if (raw === null || raw === undefined) return null
  const words = typeof raw === 'string' ? clean(raw) : asText(raw)
  return NOTHING.has(words.trim()) ? null : words
}

/** The text without U+0000, which databases downstream refuse. */
export function clean(raw: string): string {
  return raw.includes('\0') ? raw.replaceAll('\0', '') : raw
}

/** For paths and queries. A vendor's id may hold half an emoji, which no address can: the sign for that goes in its place. */
export function inUrl(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

/** A name in a map, with a sign in the place of U+0000: two names that differ must not become one. */
export function cleanName(name: string): string {
  return name.includes('\0') ? name.replaceAll('\0', '\u2400') : name
}

/** true and false in the ways vendors write them (`"True"`, 1, `"0"`, `"yes"`); null for anything else. */
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
 * Sets an own field, whatever its name: a plain assignment to `__proto__` sets the prototype, and the field is lost. For every object whose names
 * are a vendor's words.
 */
export function put<T>(fields: Record<string, T>, name: string, value: T): void {
  if (name === '__proto__') Object.defineProperty(fields, name, { value, enumerable: true, configurable: true, writable: true })
  else fields[name] = value
}

/**
 * Fields with text values, as `attributes` and `variables` hold them: text as it is, numbers and booleans written out, everything else as JSON.
 * null and undefined are left out, NUL characters too, also in names. Always a new object, with own fields only.
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
/** Stands in place of what lies deeper. */
const CUT = '[deeper than 64 levels]'

/**
 * JSON of a vendor's value, however deep: `JSON.stringify` overflows the stack from some thousand levels on. What lies deeper than 64 levels is replaced by
 * a text that says so, and NUL characters are left out. undefined where JSON has nothing for it.
 *
 * @param of.sorted Names of objects in order, so that equal values are equal texts.
 * @param of.withoutNulls Leave out the fields of objects that are null.
 */
export function jsonOf(
  value: unknown,
  of: { readonly sorted?: boolean; readonly withoutNulls?: boolean } = {},
): string | undefined {
  if (typeof value !== 'object' || value === null) return JSON.stringify(typeof value === 'string' ? clean(value) : value)
  const isAsIs = of.sorted !== true && of.withoutNulls !== true && !isDeeper(value, DEEPEST)
  const kept = isAsIs ? value : shallow(value, DEEPEST, of)
  const json = JSON.stringify(kept) as string | undefined
  return json?.includes(String.raw`\u0000`) ? JSON.stringify(shallow(kept, DEEPEST, of)) : json
}

function shallow(value: unknown, levels: number, of: { readonly sorted?: boolean; readonly withoutNulls?: boolean }): unknown {
  if (typeof value === 'string') return clean(value)
  if (typeof value !== 'object' || value === null) return value
  if (levels === 0) return CUT
  if (Array.isArray(value)) return value.map(inner => shallow(inner, levels - 1, of))
  const out: Record<string, unknown> = {}
  const names = Object.keys(value)
  for (const name of of.sorted === true ? names.sort() : names) {
    const inner = (value as Record<string, unknown>)[name]
    if (of.withoutNulls !== true || (inner !== null && inner !== undefined))
      put(out, cleanName(name), shallow(inner, levels - 1, of))
  }
  return out
}

/** Earlier times are placeholders of vendors (year 1, 1970), no times. */
export const EARLIEST_MS = Date.UTC(2000, 0, 1)
/** Later times are placeholders (9999), whenever they were read. */
export const LATEST_MS = Date.UTC(2200, 0, 1)
/** So far ahead of when it was read a time may lie. */
const AHEAD_MS = 86_400_000

/**
 * The time, or null where it is none: a placeholder, which is before 2000 or more than a day ahead of when it was read. The one rule for every time that
 * decides something (status, end, duration); the record builders keep to it, too.
 */
export function realTime(atMs: number | null | undefined, { observedAtMs }: { readonly observedAtMs: number }): number | null {
  return atMs !== null && atMs !== undefined && atMs >= EARLIEST_MS && atMs <= observedAtMs + AHEAD_MS ? atMs : null
}

/**
 * Epoch milliseconds of a time in any form that vendors write: as `time` reads it, without a zone (then UTC), a day alone, or a number as text.
 * null where it is none, and for placeholders before 2000 and after 2200; others ahead are for `realTime`, which knows when the row was read.
 */
export function instant(raw: unknown): number | null {
  const atMs = typeof raw === 'string' ? inUtc(raw.trim()) : typeof raw === 'number' ? time(raw) : null
  return atMs === null || atMs < EARLIEST_MS || atMs > LATEST_MS ? null : atMs
}

/** Why a value that `instant` reads as null is no time, for an issue of a schema. */
export function timeFault(raw: unknown): string {
  if (raw === undefined || raw === null || text(raw) === null) return 'is missing'
  return isPlaceholder(raw) ? 'is a placeholder, no time' : 'is not a time'
}

/** How vendors write no time: nothing, zeros (PHP, MySQL), or a time before 2000 or more than a day ahead, in any form and zone. */
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
 * Epoch milliseconds of an ISO 8601 time **with a zone**, or of a number, also one in digits; null where it is neither. A number is epoch seconds,
 * milliseconds, microseconds or nanoseconds by its size: ten digits, thirteen, sixteen or nineteen. A time
 * without a zone is null: only the connector can know which zone the vendor means. Digits beyond milliseconds are cut off.
 */
export function time(raw: string | number | null | undefined): number | null {
  if (typeof raw === 'number') return bySize(raw)
  if (typeof raw !== 'string') return null
  // By hand where it is `2026-11-01T00:00:00Z` or with three decimals: several times the speed of Date.parse.
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

/** What may be an epoch time in digits; fewer are no time of ours. */
const EPOCH = /^\s*\d{9,20}(\.\d+)?\s*$/

/** Sizes overlap nowhere between 2000 and 5138. What is smaller than a time in seconds is left as milliseconds, which are a placeholder's. */
function bySize(raw: number): number | null {
  const size = Math.abs(raw)
  const ms = size < EARLIEST_MS / 1000 ? raw : size < 1e11 ? raw * 1000 : size < 1e14 ? raw : size < 1e17 ? raw / 1000 : raw / 1e6
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? Math.trunc(ms) : null
}

/** The number that `count` digits from `at` write; -1 where one is not a digit. */
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

/** null where a part is out of its range, such as the 30th of February. */
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
