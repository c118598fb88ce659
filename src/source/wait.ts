/**
 * How long a vendor asks us to wait, and how long we wait: the unit of a vendor's figure is guessed by its size, and there is always a probe before a long wait
 * ends.
 */

/** The longest wait before the vendor is asked again. */
export const LONGEST_WAIT_MS = 900_000
/** The same if the vendor's own answer says that the daily allowance is used up (`allowance: 'day'`). */
export const LONGEST_DAY_WAIT_MS = 3_600_000

/** A wait from an error or from `classify`. */
export interface WaitAsked {
  readonly waitMs?: number | undefined
  readonly allowance?: unknown
}

/** The requested wait, limited; undefined if there is none, or it is invalid (negative, zero, not a number). */
export function boundedWaitMs({ waitMs, allowance }: WaitAsked): number | undefined {
  if (typeof waitMs !== 'number' || !(waitMs > 0)) return undefined
  return Math.min(Math.ceil(waitMs), allowance === 'day' ? LONGEST_DAY_WAIT_MS : LONGEST_WAIT_MS)
}

/**
 * Milliseconds to wait, from a number that may be seconds to wait, or a time as epoch seconds, milliseconds, microseconds or nanoseconds: its size decides, as
 * vendors document one and send another. Undefined if there is nothing to wait for.
 */
export function waitBySize(amount: number, nowMs: number): number | undefined {
  const waitMs =
    amount < 1e9
      ? amount * 1000
      : amount < 1e11
        ? amount * 1000 - nowMs
        : amount < 1e14
          ? amount - nowMs
          : amount / (amount < 1e17 ? 1e3 : 1e6) - nowMs
  return waitMs > 0 && Number.isFinite(waitMs) ? Math.ceil(waitMs) : undefined
}

const MONTH = '(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*'
const TIME = String.raw`\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?`
/** The three forms of HTTP (RFC 9110), and ISO 8601. The last group is the zone, if there is one. */
const DATE = new RegExp(
  String.raw`(\d{1,2}[ -]${MONTH}[ -]\d{2,4} ${TIME}|${MONTH} +\d{1,2} ${TIME} \d{4}|\d{4}-\d\d-\d\d[T ]${TIME}) ?(z\b|gmt|utc?\b|[ecmp][sd]t\b|[+-]\d\d:?\d\d)?`,
  'gi',
)
const NUMBER = /^\d+(?:\.\d+)?(?: ?s(?:ec(?:ond)?s?)?)?$/i

/**
 * Milliseconds that `Retry-After` asks for; undefined without a readable one, or when its time is past. Accepts seconds, fractions of them, epoch times by
 * their size, and dates, which are in GMT if they name no zone. In a list (a header that came twice) the longest wait counts.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const header = headers['retry-after']?.slice(0, 500)
  if (header === undefined) return undefined
  const waits = [...header.matchAll(DATE)].map(([, date = '', zone]) => epochMsOf(date, zone) - nowMs)
  for (const part of header.replaceAll(DATE, '').split(/[,;]/)) {
    const words = part.trim().replace(/^"(.*)"$/, '$1')
    // "At once" is not followed either: our own backoff applies.
    if (NUMBER.test(words)) waits.push(waitBySize(Number.parseFloat(words), nowMs) ?? 0)
  }
  const longestMs = Math.max(0, ...waits.filter(each => !Number.isNaN(each)))
  return longestMs > 0 ? longestMs : undefined
}

function epochMsOf(date: string, zone = ''): number {
  const isIso = /^\d{4}-/.test(date)
  // Without a zone, Date.parse would use the process's own.
  if (isIso) return Date.parse(`${date.replace(' ', 'T')}${isoZone(zone)}`)
  return Date.parse(`${date.replaceAll('-', ' ')} ${zone === '' || /^(z|utc?)$/i.test(zone) ? 'GMT' : zone}`)
}

function isoZone(zone: string): string {
  const offset = /^([+-]\d\d):?(\d\d)$/.exec(zone)
  if (offset !== null) return `${offset[1]}:${offset[2]}`
  const hours = { e: 5, c: 6, m: 7, p: 8 }[zone.charAt(0).toLowerCase()]
  if (hours === undefined || zone.length !== 3) return 'Z'
  return `-0${hours - (zone.charAt(1).toLowerCase() === 'd' ? 1 : 0)}:00`
}
