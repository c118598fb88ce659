/**
 * What is usual: the rate of a group for every hour of the week, with how far it may be off.
 *
 * A pure function of the hours that were counted in the last five weeks, so that a restart, which reads them again, comes to the same figures. An hour of
 * the week is drawn towards the hour of the day, that towards the whole, and the whole towards the group above, each with the weight that its own counts
 * leave it: a channel of two days is judged by what its hours of day and its siblings show. Once there is more than a week, a single hour counts for no more
 * than the others allow, so an incident does not raise the bar. Older weeks count less, and the last days move the level, so drift is followed.
 */
import type { Kind } from './detector.ts'
import type { Hours } from './hours.ts'

export const SLOTS = 168
/** So many hours back are looked at. */
export const HISTORY_HOURS = 5 * SLOTS
/** The newest hours, in which much may not be known yet and an incident may be under way, teach nothing. */
export const SETTLING_HOURS = 1
const HALF_LIFE_HOURS = 3 * SLOTS
/** How fast the level may forget. Which of these is used is learnt: the one that would have predicted the hours so far best. */
const LEVEL_HALF_LIVES_HOURS = [6, 24, 120]
/** So many counts speak for the level of the weeks. */
const LEVEL_PULL = 40
/** The level stays within this factor of that of the weeks. */
const LEVEL_MOST = 2
/** An hour counts for no more than its expectation and so many standard deviations. */
const CAP_SIGMAS = 3

/** How strongly a level is drawn to the one above it, in counts of the measure: 1 / variance of the ratio between the two. */
interface Pull {
  readonly slot: number
  readonly hour: number
  readonly whole: number
}

/** Shares: hours of the week differ from their hour of day by some 15 %, hours of day from the whole by 30 %, groups from their siblings by 50 %. */
const SHARE_PULL: Pull = { slot: 40, hour: 11, whole: 4 }
/** Counts: weekends differ from weekdays, nights from days, many times more; siblings say nothing. */
const COUNT_PULL: Pull = { slot: 4, hour: 1, whole: 0.5 }

/** Squared variation of an hour's own rate, presumed: 25 % from one week to the next. However many counts an hour has, it says no more of its slot than this leaves. */
const HOUR_VARIATION = 0.06

const WEIGHTS = Float64Array.from({ length: HISTORY_HOURS + 1 }, (_, age) => 0.5 ** (age / HALF_LIFE_HOURS))

export interface Baseline {
  /** Expected count for each unit of volume, by hour of the week (local time). */
  readonly rate: Float64Array
  /** Squared relative error of `rate`. */
  readonly doubt: Float64Array
  /** By how much the last days are above or below the weeks; already in `rate`. */
  readonly level: number
  /** Hours between the first that counted and now. */
  readonly spanHours: number
}

/** What was expected of the hours that a baseline was made of. Several times larger than the baseline, so it is not kept with it. */
export interface Past {
  /** The level as it was predicted for an hour of the history, from the hours that had settled before it. */
  levelAt(hour: number): number
  /** Factor on the rate of a slot if an hour of that age had not been counted. */
  without(slot: number, age: number, count: number, volume: number): number
}

/** Which hour of the week an hour since the epoch is, local time. */
export type SlotOf = (hour: number) => number

interface Sums {
  count: number
  volume: number
}

/**
 * @param hour The current hour, since the epoch.
 * @param above Rate of the group above; null: there is none.
 * @param rho How much the rate varies from hour to hour beyond chance (see tail.ts); widens what a single hour may count for.
 */
export function createBaseline(
  hours: Hours,
  hour: number,
  slotOf: SlotOf,
  { kind, above, rho }: { kind: Kind; above: number | null; rho: number },
): { readonly baseline: Baseline; readonly past: Past } {
  const pull = kind === 'share' ? SHARE_PULL : COUNT_PULL
  const until = hour - SETTLING_HOURS
  const from = Math.max(until - HISTORY_HOURS, Math.min(hours.first, until))
  const length = until - from
  const counts = new Float64Array(length)
  const volumes = new Float64Array(length)
  const slots = new Uint8Array(length)
  const weights = new Float64Array(length)
  const bySlot = { count: new Float64Array(SLOTS), volume: new Float64Array(SLOTS), weight: new Float64Array(SLOTS) }
  const byHour = { count: new Float64Array(24), volume: new Float64Array(24) }
  const whole: Sums = { count: 0, volume: 0 }

  const add = (i: number, count: number, volume: number) => {
    const slot = slots[i] as number
    bySlot.count[slot] = (bySlot.count[slot] as number) + count
    bySlot.volume[slot] = (bySlot.volume[slot] as number) + volume
    const ofDay = slot % 24
    byHour.count[ofDay] = (byHour.count[ofDay] as number) + count
    byHour.volume[ofDay] = (byHour.volume[ofDay] as number) + volume
    whole.count += count
    whole.volume += volume
  }
  for (let i = 0; i < length; i++) {
    const count = hours.countAt(from + i)
    const volume = kind === 'share' ? hours.volumeAt(from + i) : 1
    const weight = WEIGHTS[length - i] as number
    counts[i] = count
    volumes[i] = volume
    weights[i] = weight
    slots[i] = slotOf(from + i)
    const slot = slots[i] as number
    bySlot.weight[slot] = (bySlot.weight[slot] as number) + weight
    add(i, weight * count, weight * volume)
  }

  const drawn = (count: number, volume: number, weight: number, towards: number) => {
    const denominator = volume + (towards > 0 ? weight / towards : 0)
    return denominator > 0 ? (count + (towards > 0 ? weight : 0)) / denominator : 0
  }
  /** How much less a slot's counts say than their number, because hours vary as well. */
  const blur = (slot: number) =>
    1 + (HOUR_VARIATION * (bySlot.count[slot] as number)) / Math.max(1, bySlot.weight[slot] as number)
  const wholeRate = () => drawn(whole.count, whole.volume, above === null ? 0 : pull.whole, above ?? 0)

  if (length >= SLOTS) {
    const all = wholeRate()
    const cuts = new Float64Array(length)
    for (let i = 0; i < length; i++) {
      const count = counts[i] as number
      const volume = volumes[i] as number
      if (count < 2) continue
      const slot = slots[i] as number
      const own = weights[i] as number
      const hourRate = drawn(
        Math.max(0, (byHour.count[slot % 24] as number) - own * count),
        Math.max(0, (byHour.volume[slot % 24] as number) - own * volume),
        pull.hour,
        all,
      )
      const slotRate = drawn(
        Math.max(0, (bySlot.count[slot] as number) - own * count),
        Math.max(0, (bySlot.volume[slot] as number) - own * volume),
        pull.slot * blur(slot),
        hourRate,
      )
      const expected = Math.max(hourRate, slotRate) * volume
      const cap = expected + CAP_SIGMAS * Math.sqrt(expected * (1 + rho * (kind === 'count' ? expected : volume)) + 1)
      if (count > cap) cuts[i] = count - cap
    }
    for (let i = 0; i < length; i++) {
      const cut = cuts[i] as number
      if (cut === 0) continue
      counts[i] = (counts[i] as number) - cut
      add(i, -(weights[i] as number) * cut, 0)
    }
  }

  const all = wholeRate()
  const rate = new Float64Array(SLOTS)
  const pulled = new Float64Array(24)
  const doubt = new Float64Array(SLOTS)
  const wholeSure = whole.count + (above === null ? 0 : pull.whole)
  for (let slot = 0; slot < SLOTS; slot++) {
    const ofDay = slot % 24
    const hourRate = drawn(byHour.count[ofDay] as number, byHour.volume[ofDay] as number, pull.hour, all)
    pulled[ofDay] = hourRate
    const blurred = blur(slot)
    rate[slot] = drawn(bySlot.count[slot] as number, bySlot.volume[slot] as number, pull.slot * blurred, hourRate)
    const hourSure = (byHour.count[ofDay] as number) / blurred + Math.min(pull.hour, wholeSure)
    doubt[slot] = 1 / ((bySlot.count[slot] as number) / blurred + Math.min(pull.slot, hourSure) + 1e-9)
  }

  const levels = levelsOf(counts, i => (volumes[i] as number) * (rate[slots[i] as number] as number))
  const level = levels[length] as number
  for (let slot = 0; slot < SLOTS; slot++) rate[slot] = (rate[slot] as number) * level
  const without = (slot: number, age: number, count: number, volume: number) => {
    const weight = WEIGHTS[Math.min(HISTORY_HOURS, age)] as number
    const all = drawn(
      bySlot.count[slot] as number,
      bySlot.volume[slot] as number,
      pull.slot * blur(slot),
      pulled[slot % 24] as number,
    )
    const rest = drawn(
      Math.max(0, (bySlot.count[slot] as number) - weight * count),
      Math.max(0, (bySlot.volume[slot] as number) - weight * volume),
      pull.slot * blur(slot),
      pulled[slot % 24] as number,
    )
    return all > 0 ? rest / all : 1
  }
  const levelAt = (at: number) => levels[Math.min(length, Math.max(0, at - from - SETTLING_HOURS))] as number
  return { baseline: { rate, doubt, level, spanHours: hour - Math.min(hours.first, hour) }, past: { levelAt, without } }
}

/**
 * By how much the hours before each hour were above or below what the weeks expected, drawn towards 1; the last is for the hour that comes. Where the level wanders, a
 * short memory predicts better, where it does not, a long one: how well each would have predicted the counts (log-likelihood of Poisson) decides.
 */
function levelsOf(counts: Float64Array, expectedAt: (i: number) => number): Float64Array {
  const expected = Float64Array.from(counts, (_, i) => expectedAt(i))
  let best = new Float64Array(counts.length + 1).fill(1)
  let most = Number.NEGATIVE_INFINITY
  for (const halfLife of LEVEL_HALF_LIVES_HOURS) {
    const keep = 0.5 ** (1 / halfLife)
    const levels = new Float64Array(counts.length + 1)
    let recent = 0
    let usual = 0
    let fit = 0
    for (let i = 0; i <= counts.length; i++) {
      const level = Math.min(LEVEL_MOST, Math.max(1 / LEVEL_MOST, (recent + LEVEL_PULL) / (usual + LEVEL_PULL)))
      levels[i] = level
      if (i === counts.length) break
      const predicted = levels[Math.max(0, i - SETTLING_HOURS)] as number
      fit += (counts[i] as number) * Math.log(predicted) - (expected[i] as number) * predicted
      recent = keep * (recent + (counts[i] as number))
      usual = keep * (usual + (expected[i] as number))
    }
    if (fit <= most) continue
    most = fit
    best = levels
  }
  return best
}
