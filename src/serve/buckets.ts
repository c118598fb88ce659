/**
 * Time cut into buckets of a time zone. Minutes and hours follow the local clock (so that an hour starts at local :00 also where the offset is
 * 5:45), days, weeks (ISO, from Monday) and months the local calendar: a day may have 23 or 25 hours.
 */
import { IANAZone } from 'luxon'

export const BUCKETS = ['1m', '5m', '15m', '1h', '1d', '1w', '1M'] as const
export type Bucket = (typeof BUCKETS)[number]

const MINUTE_MS = 60_000
const QUARTER_MS = 15 * MINUTE_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** Length of a bucket, of a calendar bucket its usual length; months have none. */
export const BUCKET_MS: Readonly<Record<Exclude<Bucket, '1M'>, number>> = {
  '1m': MINUTE_MS,
  '5m': 5 * MINUTE_MS,
  '15m': 15 * MINUTE_MS,
  '1h': HOUR_MS,
  '1d': DAY_MS,
  '1w': 7 * DAY_MS,
}

export interface Zone {
  readonly name: string
  /** Milliseconds that local clocks are ahead of UTC at this instant. */
  offsetMs(atMs: number): number
}

/** @returns null where no such time zone is known. */
export function zoneOf(name: string): Zone | null {
  if (/^(utc|etc\/utc|zulu|universal)$/i.test(name)) return { name: 'UTC', offsetMs: () => 0 }
  if (!IANAZone.isValidZone(name)) return null
  const zone = IANAZone.create(name)
  // Since 1970 every change of offset falls on a quarter of an hour.
  const known = new Map<number, number>()
  return {
    name,
    offsetMs: atMs => {
      const quarter = Math.floor(atMs / QUARTER_MS)
      let offset = known.get(quarter)
      if (offset === undefined) {
        offset = Math.round(zone.offset(quarter * QUARTER_MS)) * MINUTE_MS
        known.set(quarter, offset)
      }
      return offset
    },
  }
}

/** Such as `2026-11-01T00:00:00.000Z`, or with the zone's offset: `2026-11-01T00:00:00.000-05:00`. */
export function isoIn(zone: Zone, atMs: number): string {
  if (zone.name === 'UTC') return new Date(atMs).toISOString()
  const offset = zone.offsetMs(atMs)
  const minutes = Math.abs(offset) / MINUTE_MS
  const two = (value: number) => String(value).padStart(2, '0')
  return `${new Date(atMs + offset).toISOString().slice(0, -1)}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
}

/**
 * The edges of the buckets that `[fromMs, untilMs)` touches, with `before` more buckets in front: bucket i is `[edges[i], edges[i + 1])`.
 *
 * @param most Gives up beyond this many buckets: the answer then has more than `most` + 1 edges, and ends early.
 */
export function edgesOf(bucket: Bucket, zone: Zone, fromMs: number, untilMs: number, before: number, most: number): number[] {
  return bucket === '1d' || bucket === '1w' || bucket === '1M'
    ? calendarEdges(bucket, zone, fromMs, untilMs, before, most)
    : clockEdges(BUCKET_MS[bucket], zone, fromMs, untilMs, before, most)
}

function clockEdges(sizeMs: number, zone: Zone, fromMs: number, untilMs: number, before: number, most: number): number[] {
  const sinceBoundary = (atMs: number) => modulo(atMs + zone.offsetMs(atMs), sizeMs)
  /** Where clocks change by half an hour, an hour bucket is cut in two: it begins anew with the change. */
  const floor = (atMs: number) => {
    const start = atMs - sinceBoundary(atMs)
    if (zone.offsetMs(start) === zone.offsetMs(atMs)) return start
    let quarter = Math.floor(atMs / QUARTER_MS) * QUARTER_MS
    while (quarter > start && zone.offsetMs(quarter - 1) === zone.offsetMs(atMs)) quarter -= QUARTER_MS
    return quarter
  }
  const first = floor(fromMs)
  // Some buckets may be shorter: begin early enough, and drop what is too much.
  let edge = floor(first - before * sizeMs - (before > 0 ? HOUR_MS : 0))
  const edges = [edge]
  let shown = 0
  while (edge < untilMs && shown <= most) {
    if (edge >= first) shown += 1
    edge += sizeMs - sinceBoundary(edge)
    edges.push(edge)
  }
  const start = edges.findIndex(each => each >= first)
  return edges.slice(Math.max(0, start - before))
}

function calendarEdges(
  bucket: '1d' | '1w' | '1M',
  zone: Zone,
  fromMs: number,
  untilMs: number,
  before: number,
  most: number,
): number[] {
  const day = Math.floor((fromMs + zone.offsetMs(fromMs)) / DAY_MS)
  const date = new Date(day * DAY_MS)
  const dayAt = (step: number): number => {
    if (bucket === '1M') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + step, 1) / DAY_MS
    // Day 0 of the epoch was a Thursday.
    return bucket === '1w' ? day - modulo(day + 3, 7) + 7 * step : day + step
  }
  const edges: number[] = []
  for (let step = -before; step <= most + 1; step++) {
    const edge = startOfDay(zone, dayAt(step))
    // A calendar day that a zone left out (Samoa, 2011-12-30) has no bucket.
    if (edges.length === 0 || edge > (edges.at(-1) ?? 0)) edges.push(edge)
    if (edge >= untilMs && step > 0) break
  }
  return edges
}

/** The first instant of a local day, which is not always 00:00, and where 00:00 comes twice, the first. `day` counts from 1970-01-01. */
function startOfDay(zone: Zone, day: number): number {
  const local = day * DAY_MS
  const earlier = zone.offsetMs(local - 26 * HOUR_MS)
  const later = zone.offsetMs(local + 26 * HOUR_MS)
  const first = local - earlier
  if (earlier === later) return first
  const dayThen = Math.floor((first + zone.offsetMs(first)) / DAY_MS)
  return dayThen === day && zone.offsetMs(first - 1) === earlier ? first : local - later
}

const modulo = (value: number, by: number) => ((value % by) + by) % by
