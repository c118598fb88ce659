/**
 * Reading what vendors write instead of what they mean: `"true"` for true, `"null"` or `"-"` for nothing, numbers as text, NUL characters.
 * Pure, and never throws: what cannot be read is null, and its caller decides whether that matters.
 */

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
 * Fields with text values, as `attributes` and `variables` hold them: text as it is, numbers and booleans written out, everything else as JSON.
 * null and undefined are left out. Always a new object.
 */
export function texts(raw: Readonly<Record<string, unknown>> | null | undefined): Record<string, string> {
  const out: Record<string, string> = {}
  if (raw === null || raw === undefined) return out
  for (const name in raw) {
    if (!Object.hasOwn(raw, name)) continue
    const value = raw[name]
    if (value === null || value === undefined) continue
    const words = typeof value === 'string' ? clean(value) : asText(value)
    if (name === '__proto__')
      Object.defineProperty(out, name, { value: words, enumerable: true, configurable: true, writable: true })
    else out[name] = words
  }
  return out
}

function asText(value: unknown): string {
  return clean(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

/**
 * Epoch milliseconds of an ISO 8601 time **with a zone**, or of a number that is epoch milliseconds already; null where it is neither. A time
 * without a zone is null: only the connector can know which zone the vendor means. Digits beyond milliseconds are cut off.
 */
export function time(raw: string | number | null | undefined): number | null {
  if (typeof raw === 'number') return Number.isFinite(raw) && Math.abs(raw) <= 8.64e15 ? Math.trunc(raw) : null
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
  if (parts === null) return null
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
