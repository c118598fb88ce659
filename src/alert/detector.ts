/**
 * Whether what was counted over the last hour is more than chance explains. Pure: counts, volumes and expectations of each minute in, the most
 * telling window out.
 *
 * Counts over a window are judged by their upper tail, given what was expected: beta-binomial for a share (transfers given sessions, so a campaign that
 * brings more sessions is no alarm), negative binomial for a count. Looked at are windows of several lengths, and of each those that ended within the
 * last hour, because what ended half an hour ago may have become known only now.
 *
 * The threshold comes from the budget of false alerts. A window that slides over a series crosses a tail of probability P in clusters; their rate is
 * P · z² / length, where z is by how many standard deviations the count lies above its mean (Alm's approximation of the scan statistic; for a normal process
 * Pickands' with the same form). So P · z² · (week / length) is how many false alerts a week a window as unusual as this one would cause, and an alert is due
 * where that is within its length's part of the budget. Long windows get the larger part, because they find what is small; what short windows find sooner is large.
 *
 * A window that reaches into minutes that must not be judged (read too late, not told by the vendor, rolled up) is as long as its other minutes are: an hour of which ten
 * minutes count is held to what ten minutes are held to, not to an hour.
 *
 * `LOOKS` and `CAUTION` are calibrated, because windows overlap, become known bit by bit, and counts come in whole numbers. Measured was at which value of
 * P · z² · (week / length) · (longest / length) the worlds of bench/alerts raise 0.1 false alerts a channel-week, on the seeds 300000 to 300023 (never reported): with
 * `CAUTION` 1 at 0.48 for beta noise on 8 sessions in five minutes and at 0.26 for drifting noise on 30; with 1.25 at 0.65 and 0.52, so one threshold serves both.
 * The whole engine, which begins anew after each alert and judges groups above the channels as well, raises more: with `LOOKS` 0.25, 0.06 to 0.24 on the seeds 500000
 * to 500015, so it is 0.5.
 */
import { betaBinomialTail, negativeBinomialTail } from './tail.ts'

const WEEK_MINUTES = 10_080
/** Ends of windows that are looked at, in minutes back. */
export const ENDS = 60
/** Longest window, in minutes. */
export const LONGEST = 60
/** Minutes that a judgement needs. */
export const SPAN = ENDS + LONGEST
/** False alerts that all looks at all lengths make, for each that one look at the longest length should make. */
const LOOKS = 0.5
/** The dispersion that is judged by, for what the last days showed: noise has longer tails than a beta distribution, and what was seen of it may have been its calmer part. */
const CAUTION = 1.25
/** Windows between the shortest and the longest are about so many times longer than the one before. */
const STEP = 2

export type Kind = 'share' | 'count'

/** Dispersion by length of the window: correlation for a share, squared variation for a count (see tail.ts). */
export type RhoOf = (lengthMinutes: number) => number

/** In `Recent.judged`: the whole group is judged by this minute. */
export const WHOLE = 100

/** The last SPAN minutes of a group; index 0 is the oldest. Minutes that must not be judged, and those that an alert has used, hold zeros. */
export interface Recent {
  readonly count: Float64Array
  /** Sessions, for a share; ignored for a count. */
  readonly volume: Float64Array
  /** Expected count, allowing for what is not known yet. */
  readonly expected: Float64Array
  /** Expected count once all is known. */
  readonly due: Float64Array
  /** Per cent of the group, by what is usual in its parts, that is judged by this minute. Minutes that an alert has used were judged. */
  readonly judged: Uint8Array
}

export interface Limits {
  readonly kind: Kind
  /** In minutes, ascending. */
  readonly lengths: readonly number[]
  /** False alerts a week. */
  readonly budget: number
  readonly minCount: number
  readonly minRatio: number
}

export interface Window {
  /** Half-open range of indexes of Recent. It begins with a minute that is judged. */
  readonly from: number
  readonly until: number
  /** Minutes of it that are judged. */
  readonly length: number
  readonly count: number
  readonly volume: number
  readonly expected: number
  readonly due: number
  readonly probability: number
  /** How many windows as unusual as this one chance would bring in a week. */
  readonly falsePerWeek: number
}

/** From the shortest to the longest, each about `step` times the one before; in whole minutes. */
export function lengthsBetween(shortest: number, longest: number, step = STEP): number[] {
  const steps = Math.max(1, Math.round(Math.log(longest / shortest) / Math.log(step)))
  if (longest <= shortest) return [shortest]
  return Array.from({ length: steps + 1 }, (_, i) => Math.round(shortest * (longest / shortest) ** (i / steps)))
}

const counts = new Float64Array(SPAN + 1)
const volumes = new Float64Array(SPAN + 1)
const expecteds = new Float64Array(SPAN + 1)
const dues = new Float64Array(SPAN + 1)
const judgeds = new Float64Array(SPAN + 1)

/**
 * The most unusual window, or null where none is due an alert.
 *
 * @param firstEnd Windows that end before this index were judged before, as they are now.
 * @param doubtOf Squared relative error of the expectation; asked only where a window may matter.
 */
export function mostUnusual(
  recent: Recent,
  limits: Limits,
  rhoOf: RhoOf,
  doubtOf: () => number,
  firstEnd: number,
): Window | null {
  const longest = limits.lengths.at(-1) as number
  const first = Math.max(0, firstEnd - longest)
  counts[first] = 0
  volumes[first] = 0
  expecteds[first] = 0
  dues[first] = 0
  judgeds[first] = 0
  for (let i = first; i < SPAN; i++) {
    counts[i + 1] = (counts[i] as number) + (recent.count[i] as number)
    volumes[i + 1] = (volumes[i] as number) + (recent.volume[i] as number)
    expecteds[i + 1] = (expecteds[i] as number) + (recent.expected[i] as number)
    dues[i + 1] = (dues[i] as number) + (recent.due[i] as number)
    judgeds[i + 1] = (judgeds[i] as number) + (recent.judged[i] as number)
  }
  let best: Window | null = null
  let doubt: number | null = null
  const heldTo = (length: number) => {
    const weight = longest / length
    // No tail is so thin that less would be within the budget: it needs no closer look.
    const leastLog = Math.log((LOOKS * weight * WEEK_MINUTES) / (length * limits.budget)) - 3
    return { length, rho: CAUTION * rhoOf(length), weight, leastLog }
  }
  for (const size of limits.lengths) {
    const whole = heldTo(size)
    for (let until = Math.max(firstEnd, SPAN - ENDS + 1, size); until <= SPAN; until++) {
      // A window that ends with a minute without counts is no more unusual than the one that ended with the last count.
      if (recent.count[until - 1] === 0) continue
      const from = until - size
      const count = (counts[until] as number) - (counts[from] as number)
      if (count < limits.minCount) continue
      const expected = (expecteds[until] as number) - (expecteds[from] as number)
      if (count < limits.minRatio * expected) continue
      const volume = (volumes[until] as number) - (volumes[from] as number)
      const excess = count - expected
      const due = (dues[until] as number) - (dues[from] as number)
      const judged = ((judgeds[until] as number) - (judgeds[from] as number)) / WHOLE
      const { length, rho, weight, leastLog } = judged < size ? heldTo(Math.max(1, judged)) : whole
      const spread = spreadOf(limits.kind, { volume, expected, due }, rho)
      if (excess * excess < 2 * expected * spread * leastLog) continue
      const sums = { from, until, length, count, volume, expected, due }
      const window = weighed(sums, limits.kind, rho, (doubt ??= doubtOf()), weight)
      if (window === null || window.falsePerWeek > limits.budget) continue
      if (best === null || window.falsePerWeek < best.falsePerWeek) best = window
    }
  }
  if (best === null) return null
  let { from } = best
  while (from < best.until - 1 && recent.judged[from] === 0) from++
  return { ...best, from }
}

/**
 * How unusual a window is; null where nothing was expected, so that nothing can be said.
 *
 * @param weight How many times smaller the length's part of the budget is than that of the longest.
 */
export function weighed(
  window: Pick<Window, 'from' | 'until' | 'length' | 'count' | 'volume' | 'expected' | 'due'>,
  kind: Kind,
  rho: number,
  doubt: number,
  weight: number,
): Window | null {
  const { count, expected, length } = window
  if (!(expected > 0)) return null
  const probability = tailOf(kind, window, rho, doubt)
  const spread = spreadOf(kind, window, rho)
  const z2 = (count - expected) ** 2 / (count * spread)
  return { ...window, probability, falsePerWeek: LOOKS * weight * probability * Math.max(1, z2) * (WEEK_MINUTES / length) }
}

/** Variance beside that of chance alone. A share of which half is known yet varies, relative to itself, no more than the whole. */
export function spreadOf(
  kind: Kind,
  { volume, expected, due }: Pick<Window, 'volume' | 'expected' | 'due'>,
  rho: number,
): number {
  return kind === 'share' ? 1 + (Math.max(0, volume - 1) * rho * expected) / Math.max(expected, due) : 1 + expected * rho
}

/** P(so many or more), with the expectation itself in doubt. */
export function tailOf(
  kind: Kind,
  { count, volume, expected, due }: Pick<Window, 'count' | 'volume' | 'expected' | 'due'>,
  rho: number,
  doubt: number,
): number {
  if (!(expected > 0)) return 1
  if (kind === 'count') return negativeBinomialTail(count, expected, rho + doubt)
  // Transfers may belong to sessions that began before the window: there are at least as many trials as counts.
  const trials = Math.max(volume, count, Math.ceil(expected) + 1)
  const p = expected / trials
  const known = expected / Math.max(expected, due)
  return betaBinomialTail(count, trials, expected, Math.min(0.9, rho * known + (doubt * p) / (1 - p)))
}

/** Where the rise began: the index from which on a rate raised as in the window explains the counts best. */
export function onsetOf(recent: Recent, window: Window, minRatio: number): number {
  const ratio = Math.max(minRatio, window.count / window.expected)
  const gain = Math.log(ratio)
  let best = window.from
  let most = Number.NEGATIVE_INFINITY
  let sum = 0
  for (let i = window.until - 1; i >= 0; i--) {
    sum += (recent.count[i] as number) * gain - (ratio - 1) * (recent.expected[i] as number)
    if (sum >= most && (recent.count[i] as number) > 0) {
      most = sum
      best = i
    }
  }
  return best
}
