/**
 * Minutes, hours and days: which cell an instant counts in, and the roll-up from one tier to the next.
 *
 * Time is cut in UTC days, and a series has each day in one form: in minutes; in hours, with the day beside them; or as the day alone. Three horizons, each at
 * the start of a day, say which form a day should have; a day that is to change its form is due. What falls into a day that is due rolls it up first, so
 * that every instant is counted in one form. A day never goes back to a finer form, also when the horizon does (a longer retention, a clock put right).
 */
import { bucketOf, DAY_HOURS, DAY_MINUTES, dayBucket, dayOf, HOUR_MINUTES, hourBucket, isDay, isMinute } from './buckets.ts'
import type { CellTable } from './cells.ts'
import { COUNTS } from './contribution.ts'
import { ENDED, type Members, STARTED } from './members.ts'

export interface Tiers {
  /** The cell of the finest tier that an instant counts in, made when new; -1 before the horizon of days. Rolls up a day that is due. */
  at(series: number, minute: number): number
  /** The same, or -1 where there is none. */
  find(series: number, minute: number): number
  /** As `find`, as things are: nothing is rolled up. */
  locate(series: number, minute: number): number
  /** The cell of the day that counts what this cell of an hour counts; -1 for minutes and days. */
  beside(cell: number): number
  /** From this minute on, every instant counts in its minute. It changes with `move` and `restored`. */
  readonly recentFrom: number
  /** The first minute that is counted at all. */
  readonly firstMinute: number
  /** Horizons only move forward. Only with nothing changed. @returns whether one did */
  move(to: Horizons): boolean
  /** Call it once all points have been restored, in any order: what they say twice is dropped, and what is to be rolled up is known. */
  restored(): void
  /** Rolls up the oldest days that are due until so many cells have been retired, or no day is left. */
  rollUp(mostCells: number): void
  /** How many days of a series are due. */
  readonly due: number
  /** Cells that were rolled up, in order: each is to be withdrawn from the series topic, then `clean` removes it. */
  readonly retired: readonly number[]
  clean(): void
}

/** The first day, counted from 1970, of each tier. */
export interface Horizons {
  readonly minutes: number
  readonly hours: number
  readonly days: number
}

const MINUTE = 0
const HOUR = 1
const DAY = 2
type Tier = typeof MINUTE | typeof HOUR | typeof DAY

/** Days of one series; more than a date of JavaScript can say. */
const DAYS = 2 ** 27
/** A day costs 1,440 look-ups, whatever it has. */
const CELLS_A_DAY = 100

/** @param members Where sessions of a rolled-up cell move to the list of the coarser one. */
export function createTiers(cells: CellTable, members: Members): Tiers {
  let minutesFrom = 0
  let hoursFrom = 0
  let daysFrom = 0
  /** By day of a series, the form that it still has. */
  const due = new Map<number, Tier>()
  /** Keys of `due`, the oldest last; some may not be due any more. */
  let queue: number[] = []
  /** Days of a series that are coarser than their horizon asks for. */
  const inHours = new Set<number>()
  const dayAlone = new Set<number>()
  const retired: number[] = []

  const keyOf = (series: number, day: number) => series * DAYS + day

  function tierOf(key: number, day: number): Tier {
    if (day < hoursFrom || dayAlone.has(key)) return DAY
    return day < minutesFrom || inHours.has(key) ? HOUR : MINUTE
  }

  let recentFrom = 0

  /** The bucket that an instant counts in; null: none. */
  function inPast(series: number, minute: number, settles: boolean): number | null {
    const day = Math.floor(minute / DAY_MINUTES)
    if (day < 0) return null
    const key = keyOf(series, day)
    const tier = due.get(key)
    if (tier !== undefined && settles) settle(key)
    if (day < daysFrom) return null
    const now = tier !== undefined && !settles ? tier : tierOf(key, day)
    return now === MINUTE ? minute : now === DAY ? dayBucket(day) : bucketOf('1h', minute)
  }

  function find(series: number, minute: number, settles: boolean): number {
    if (minute >= recentFrom) return cells.find(series, minute)
    const bucket = inPast(series, minute, settles)
    return bucket === null ? -1 : cells.find(series, bucket)
  }

  /** Adds what a cell counts to another. */
  function merge(cell: number, into: number): void {
    for (let count = 0; count < COUNTS; count++) cells.add(into, count, cells.count(cell, count))
    cells.addDuration(into, cells.durationMs(cell))
  }

  function moveMembers(from: number, to: number): void {
    for (const place of [STARTED, ENDED] as const) {
      for (let session = members.first(from, place); session >= 0; session = members.first(from, place)) {
        members.remove(from, place, session)
        if (to >= 0) members.add(to, place, session)
      }
    }
  }

  /** Gives a day that is due the form that it should have. */
  function settle(key: number): void {
    const tier = due.get(key)
    if (tier === undefined) return
    due.delete(key)
    const series = Math.floor(key / DAYS)
    const day = key % DAYS
    if (day < daysFrom) end(series, day)
    else {
      if (tier === MINUTE) minutesToHours(series, day)
      if (day < hoursFrom) hoursToDay(series, day)
    }
  }

  function minutesToHours(series: number, day: number): void {
    const ofDay = cells.at(series, dayBucket(day))
    for (let hour = day * DAY_HOURS; hour < (day + 1) * DAY_HOURS; hour++) {
      for (let minute = hour * HOUR_MINUTES; minute < (hour + 1) * HOUR_MINUTES; minute++) {
        const cell = cells.find(series, minute)
        if (cell < 0) continue
        const ofHour = cells.at(series, hourBucket(hour))
        merge(cell, ofHour)
        merge(cell, ofDay)
        moveMembers(cell, ofHour)
        retired.push(cell)
      }
    }
  }

  function hoursToDay(series: number, day: number): void {
    const isThere = cells.find(series, dayBucket(day)) >= 0
    const ofDay = cells.at(series, dayBucket(day))
    for (let hour = day * DAY_HOURS; hour < (day + 1) * DAY_HOURS; hour++) {
      const cell = cells.find(series, hourBucket(hour))
      if (cell < 0) continue
      if (!isThere) merge(cell, ofDay)
      moveMembers(cell, ofDay)
      retired.push(cell)
    }
  }

  /** Everything of the day goes. */
  function end(series: number, day: number): void {
    const all = [dayBucket(day)]
    for (let hour = day * DAY_HOURS; hour < (day + 1) * DAY_HOURS; hour++) all.push(hourBucket(hour))
    for (let minute = day * DAY_MINUTES; minute < (day + 1) * DAY_MINUTES; minute++) all.push(minute)
    for (const bucket of all) {
      const cell = cells.find(series, bucket)
      if (cell < 0) continue
      moveMembers(cell, -1)
      retired.push(cell)
    }
  }

  function findDue(): void {
    due.clear()
    cells.each(cell => {
      const bucket = cells.bucketOf(cell)
      const tier = isMinute(bucket) ? MINUTE : isDay(bucket) ? DAY : HOUR
      const day = dayOf(bucket)
      if (day >= (tier === MINUTE ? minutesFrom : tier === HOUR ? hoursFrom : daysFrom)) return
      const key = keyOf(cells.seriesOf(cell), day)
      const known = due.get(key)
      if (known === undefined || tier < known) due.set(key, tier)
    })
    queue = [...due.keys()].toSorted((a, b) => (b % DAYS) - (a % DAYS) || b - a)
    for (const key of inHours) if (key % DAYS < minutesFrom) inHours.delete(key)
    for (const key of dayAlone) if (key % DAYS < hoursFrom) dayAlone.delete(key)
    let recentDay = minutesFrom
    for (const key of inHours) recentDay = Math.max(recentDay, (key % DAYS) + 1)
    recentFrom = recentDay * DAY_MINUTES
  }

  return {
    at(series, minute) {
      if (minute >= recentFrom) return cells.at(series, minute)
      const bucket = inPast(series, minute, true)
      if (bucket === null) return -1
      const cell = cells.at(series, bucket)
      if (!isMinute(bucket) && !isDay(bucket)) cells.at(series, dayBucket(dayOf(bucket)))
      return cell
    },
    find: (series, minute) => find(series, minute, true),
    locate: (series, minute) => find(series, minute, false),
    beside(cell) {
      const bucket = cells.bucketOf(cell)
      if (isMinute(bucket) || isDay(bucket)) return -1
      return cells.find(cells.seriesOf(cell), dayBucket(dayOf(bucket)))
    },
    get recentFrom() {
      return recentFrom
    },
    get firstMinute() {
      return daysFrom * DAY_MINUTES
    },

    move({ minutes, hours, days }) {
      if (days <= daysFrom && hours <= hoursFrom && minutes <= minutesFrom) return false
      daysFrom = Math.max(daysFrom, days)
      hoursFrom = Math.max(hoursFrom, hours, daysFrom)
      minutesFrom = Math.max(minutesFrom, minutes, hoursFrom)
      findDue()
      return true
    },

    restored() {
      const hours = new Set<number>()
      const days = new Set<number>()
      cells.each(cell => {
        const bucket = cells.bucketOf(cell)
        if (!isMinute(bucket)) (isDay(bucket) ? days : hours).add(keyOf(cells.seriesOf(cell), dayOf(bucket)))
      })
      // A minute beside its hour was rolled up: its withdrawal has not been read yet, or is gone from the topic.
      cells.each(cell => {
        const bucket = cells.bucketOf(cell)
        const key = keyOf(cells.seriesOf(cell), dayOf(bucket))
        if (isMinute(bucket) && (hours.has(key) || days.has(key))) cells.remove(cell)
      })
      inHours.clear()
      dayAlone.clear()
      for (const key of [...hours, ...days]) if (key % DAYS >= minutesFrom) inHours.add(key)
      for (const key of days) if (key % DAYS >= hoursFrom && !hours.has(key)) dayAlone.add(key)
      findDue()
    },

    rollUp(mostCells) {
      let spent = 0
      while (spent < mostCells) {
        const key = queue.pop()
        if (key === undefined) return
        if (!due.has(key)) continue
        const before = retired.length
        settle(key)
        spent += Math.max(CELLS_A_DAY, retired.length - before)
      }
    },

    get due() {
      return due.size
    },
    retired,
    clean() {
      for (const cell of retired) cells.remove(cell)
      retired.length = 0
    },
  }
}
