/**
 * A bucket of time as one 32-bit integer: a minute, an hour or a day, in UTC. A minute is its own number, counted from 1970; hours and days are negative.
 * Buckets before 1970 do not exist: no time before 2000 is counted.
 */
import type { BucketSize } from '../point-key.ts'
import { startOfMinute } from './contribution.ts'

export const HOUR_MINUTES = 60
export const DAY_MINUTES = 1_440
export const DAY_HOURS = 24
/** Days are at this number and below, hours between it and 0. */
const FIRST_DAY = -(2 ** 30)

/** @param hour Counted from 1970. */
export function hourBucket(hour: number): number {
  return -1 - hour
}

/** @param day Counted from 1970. */
export function dayBucket(day: number): number {
  return FIRST_DAY - day
}

export function isMinute(bucket: number): boolean {
  return bucket >= 0
}

export function isDay(bucket: number): boolean {
  return bucket <= FIRST_DAY
}

export function sizeOf(bucket: number): BucketSize {
  return isMinute(bucket) ? '1m' : isDay(bucket) ? '1d' : '1h'
}

/** The bucket of this size that holds a minute. */
export function bucketOf(size: BucketSize, minute: number): number {
  if (size === '1m') return minute
  return size === '1h' ? hourBucket(Math.floor(minute / HOUR_MINUTES)) : dayBucket(Math.floor(minute / DAY_MINUTES))
}

/** The first minute of a bucket. */
export function firstMinute(bucket: number): number {
  if (isMinute(bucket)) return bucket
  return isDay(bucket) ? (FIRST_DAY - bucket) * DAY_MINUTES : (-1 - bucket) * HOUR_MINUTES
}

export function minutesIn(bucket: number): number {
  return isMinute(bucket) ? 1 : isDay(bucket) ? DAY_MINUTES : HOUR_MINUTES
}

/** The day that a bucket lies in, counted from 1970. */
export function dayOf(bucket: number): number {
  return Math.floor(firstMinute(bucket) / DAY_MINUTES)
}

/** Inclusive start of a bucket, epoch milliseconds. */
export function startOf(bucket: number): number {
  return startOfMinute(firstMinute(bucket))
}
