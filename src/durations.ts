/**
 * The one grammar of durations: a number and its unit, such as `90s`, `15m`, `1h`, `14d` or `5y`. A number without a unit is none: keys that take plain
 * milliseconds say so in their name (`poll.interval.ms`).
 */

/** For messages: "takes …". */
export const DURATION_FORM = 'a duration with its unit, such as 90s, 15m, 1h, 14d or 5y'

/** A day has 24 hours, a year 365 days; what the calendar decides (months, days with a change of the clock) is no duration. */
const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 604_800_000],
  ['y', 31_536_000_000],
])

/** Above this a time reckoned from now leaves what dates can hold sooner or later. */
const LONGEST_MS = 100 * 31_536_000_000

/** @returns Whole milliseconds, at least 1; null where the text is no duration, or one of more than 100 years. */
export function parseDuration(text: string): number | null {
  const [, count, unit] = /^(\d{1,15}(?:\.\d{1,9})?)\s?(ms|[smhdwy])$/.exec(text.trim()) ?? []
  if (count === undefined || unit === undefined) return null
  const ms = Math.round(Number(count) * (UNIT_MS.get(unit) ?? 0))
  return ms >= 1 && ms <= LONGEST_MS ? ms : null
}

/** The shortest way to write it: 900000 is `15m`. */
export function shownDuration(ms: number): string {
  const [unit, unitMs] = [...UNIT_MS].findLast(([, each]) => ms % each === 0) ?? ['ms', 1]
  return `${ms / unitMs}${unit}`
}
