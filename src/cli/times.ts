/** A time as an argument of a command: ISO 8601 (without a zone: UTC, as everywhere) or epoch milliseconds. NaN for anything else. */
export function timeOf(text: string): number {
  if (/^\d{9,15}$/.test(text)) return Number(text)
  if (!/^\d{4}-\d{2}-\d{2}/.test(text)) return Number.NaN
  return Date.parse(/^\d{4}-\d{2}-\d{2}$|Z$|[+-]\d{2}:?\d{2}$/.test(text) ? text : `${text}Z`)
}

/** The message for an invalid time. */
export const notATime = (text: string): string =>
  `takes a time in ISO 8601 such as 2026-11-01T00:00:00Z, or epoch milliseconds, not ${JSON.stringify(text)}`
