/** Keys of the series topic: `series_key@bucket_start` for a minute, with `@1h` or `@1d` behind it for an hour or a day. */

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

/** The start is ISO 8601 in UTC with milliseconds, because people read keys. */
export function pointKey(seriesKey: string, startMs: number, bucket: BucketSize): string {
  const key = `${seriesKey}@${new Date(startMs).toISOString()}`
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
