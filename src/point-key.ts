/** Keys of the series topic: `series_key@bucket_start` for a minute, with `@1h` or `@1d` behind it for an hour or a day. */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export const BUCKET_SIZES = ['1m', '1h', '1d'] as const
export type BucketSize = (typeof BUCKET_SIZES)[number]

export function isBucketSize(text: string): text is BucketSize {
  return (BUCKET_SIZES as readonly string[]).includes(text)
}

export interface PointKey {
  readonly seriesKey: string
  /** Inclusive start, epoch milliseconds. */
  readonly startMs: number
  readonly bucket: BucketSize
}

/** The hour that was written last, counted from 1970, and its text: points that are written together are mostly of one time, and writing a date takes longer than all the rest. */
let lastHour = Number.NaN
let hourText = ''

/**
 * The start is ISO 8601 in UTC with milliseconds, because people read keys.
 *
 * @param startMs Of a whole minute.
 */
export function pointKey(seriesKey: string, startMs: number, bucket: BucketSize): string {
  const hour = Math.floor(startMs / HOUR_MS)
  if (hour !== lastHour) {
    lastHour = hour
    hourText = new Date(hour * HOUR_MS).toISOString().slice(0, -'mm:ss.sssZ'.length)
  }
  const minute = (startMs - hour * HOUR_MS) / MINUTE_MS
  const key = `${seriesKey}@${hourText}${minute < 10 ? '0' : ''}${minute}:00.000Z`
  return bucket === '1m' ? key : `${key}@${bucket}`
}

/** The parts of a key; null: it is no key of a point. A series key may hold an `@` itself. */
export function readPointKey(key: string): PointKey | null {
  const size = key.endsWith('@1h') ? '1h' : key.endsWith('@1d') ? '1d' : '1m'
  const rest = size === '1m' ? key : key.slice(0, -'@1h'.length)
  const at = rest.lastIndexOf('@')
  const startMs = Date.parse(rest.slice(at + 1))
  return at < 0 || Number.isNaN(startMs) ? null : { seriesKey: rest.slice(0, at), startMs, bucket: size }
}
