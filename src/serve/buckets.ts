/**
 * Time cut into buckets of a time zone. Buckets of up to an hour follow the local clock (so that an hour starts at local :00 also where the offset
 * is 5:45). Six and twelve hours start at local 00:00, 06:00, 12:00, 18:00, and days, weeks (ISO, from Monday) and months follow the local
 * calendar: a day may have 23 or 25 hours, and its first quarter 5 or 7.
 */
import { IANAZone } from 'luxon'
import { finish, type Steps } from '../slices.ts'

export const BUCKETS = ['1m', '5m', '15m', '30m', '1h', '6h', '12h', '1d', '1w', '1M'] as const
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
  '30m': 30 * MINUTE_MS,
  '1h': HOUR_MS,
  '6h': 6 * HOUR_MS,
  '12h': 12 * HOUR_MS,
  '1d': DAY_MS,
  '1w': 7 * DAY_MS,
}

export interface Zone {
  readonly name: string
  /** Milliseconds that local clocks are ahead of UTC at this instant. */
  offsetMs(atMs: number): number
}

/** Longest name of a time zone that is looked at; the longest of the database has 32 characters. */
const LONGEST_NAME = 64

/** @returns null where no such time zone is known. */
export function zoneOf(text: string): Zone | null {
  const name = knownName(text)
  if (name === null) return null
  if (name === 'UTC') return { name, offsetMs: () => 0 }
  // By the name as the database spells it: luxon keeps every spelling that it has seen.
  const zone = IANAZone.create(name)
  const known = new Map<number, number>()
  /** Since 1970 every change of offset falls on a quarter of an hour. */
  const atQuarter = (quarter: number): number => {
    let offset = known.get(quarter)
    if (offset === undefined) {
      offset = Math.round(zone.offset(quarter * QUARTER_MS)) * MINUTE_MS
      known.set(quarter, offset)
    }
    return offset
  }
  return {
    name,
    offsetMs: atMs => {
      // No zone changes its offset twice within one day: a day that begins and ends with one offset has no other.
      const day = Math.floor(atMs / DAY_MS) * QUARTERS
      const offset = atQuarter(day)
      return offset === atQuarter(day + QUARTERS) ? offset : atQuarter(Math.floor(atMs / QUARTER_MS))
    },
  }
}

const QUARTERS = DAY_MS / QUARTER_MS

function knownName(text: string): string | null {
  if (text === '' || text.length > LONGEST_NAME || !/^[A-Za-z]/.test(text)) return null
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone
  } catch {
    return null
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

/** What is shown, and what a rolling window reads before it. */
export interface Edges {
  /** Bucket i is `[edges[i], edges[i + 1])`. */
  readonly edges: readonly number[]
  /** Index of the first bucket that `[fromMs, untilMs)` touches; those in front of it are the `before` ones. */
  readonly first: number
}

/**
 * The edges of the buckets that `[fromMs, untilMs)` touches, with `before` more buckets in front.
 *
 * @param most Gives up beyond this many buckets: the answer then has more than `most` + 1 edges, and ends early.
 */
export function* edgeSteps(
  bucket: Bucket,
  zone: Zone,
  fromMs: number,
  untilMs: number,
  before: number,
  most: number,
): Steps<Edges> {
  const isClock = bucket !== '1M' && BUCKET_MS[bucket] <= HOUR_MS
  const { edges, start } = isClock
    ? yield* clockEdges(BUCKET_MS[bucket], zone, fromMs, untilMs, before, most)
    : yield* calendarEdges(bucket, zone, fromMs, untilMs, before, most)
  const at = edges.findIndex(each => each >= start)
  const cut = Math.max(0, at - before)
  return { edges: edges.slice(cut), first: at - cut }
}

/** The same at once. */
export function edgesOf(bucket: Bucket, zone: Zone, fromMs: number, untilMs: number, before: number, most: number): number[] {
  return [...finish(edgeSteps(bucket, zone, fromMs, untilMs, before, most)).edges]
}

/** Edges from somewhat before what is wanted on; `start` is the edge of the first bucket that is shown. */
type Found = { edges: number[]; start: number }

/** Edges that are found between two steps. */
const EDGES_A_STEP = 256

function* clockEdges(sizeMs: number, zone: Zone, fromMs: number, untilMs: number, before: number, most: number): Steps<Found> {
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
    if (edges.push(edge) % EDGES_A_STEP === 0) yield
  }
  return { edges, start: first }
}

function* calendarEdges(bucket: Bucket, zone: Zone, fromMs: number, untilMs: number, before: number, most: number): Steps<Found> {
  const local = fromMs + zone.offsetMs(fromMs)
  const sizeMs = bucket === '6h' || bucket === '12h' ? BUCKET_MS[bucket] : DAY_MS
  const day = Math.floor(local / DAY_MS)
  const date = new Date(day * DAY_MS)
  /** Local time at which a bucket begins; bucket 0 holds `fromMs`. */
  const beginOf = (step: number): number => {
    if (bucket === '1M') return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + step, 1)
    // Day 0 of the epoch was a Thursday.
    if (bucket === '1w') return (day - modulo(day + 3, 7) + 7 * step) * DAY_MS
    return (Math.floor(local / sizeMs) + step) * sizeMs
  }
  const edges: number[] = []
  // A calendar day that a zone left out (Samoa, 2011-12-30) has no bucket, so that some more are looked at in front.
  const spare = before > 0 ? LEFT_OUT : 0
  for (let step = -before - spare; step <= most + 1; step++) {
    const edge = firstInstantOf(zone, beginOf(step), sizeMs)
    if (edges.length === 0 || edge > (edges.at(-1) ?? 0)) edges.push(edge)
    if (edge >= untilMs && step > 0) break
    if (step % EDGES_A_STEP === 0) yield
  }
  return { edges, start: firstInstantOf(zone, beginOf(0), sizeMs) }
}

/** Buckets of six hours in the day that is left out. */
const LEFT_OUT = 4

/**
 * The first instant at which local clocks show `local` or later: 00:00 does not exist on every day, and where it comes twice it is the first.
 * A local time is milliseconds since 1970-01-01T00:00 as if it were UTC. Where the clocks pass over all of `[local, local + sizeMs)` there is none,
 * and the answer lies before that of the bucket in front.
 */
function firstInstantOf(zone: Zone, local: number, sizeMs: number): number {
  const earlier = zone.offsetMs(local - 26 * HOUR_MS)
  const later = zone.offsetMs(local + 26 * HOUR_MS)
  const first = local - earlier
  if (earlier === later) return first
  const then = first + zone.offsetMs(first)
  return then >= local && then < local + sizeMs && zone.offsetMs(first - 1) === earlier ? first : local - later
}

/** The bucket, from `low` on, in which a time at or after `edges[low]` lies; the number of buckets where it lies behind all. */
export function bucketOf(edges: ArrayLike<number>, low: number, time: number): number {
  // Most often it is the next one; else look twice as far each time, then in between.
  let from = low
  let to = low
  for (let step = 1; to < edges.length - 1 && (edges[to + 1] ?? 0) <= time; step *= 2) {
    from = to + 1
    to = Math.min(edges.length - 1, to + step)
  }
  while (from < to) {
    const middle = (from + to) >>> 1
    if ((edges[middle + 1] ?? Number.POSITIVE_INFINITY) <= time) from = middle + 1
    else to = middle
  }
  return from
}

const modulo = (value: number, by: number) => ((value % by) + by) % by
