/**
 * How much counts vary beyond chance, from the last days' own windows: squared distances from what was expected, less what chance alone would have made of
 * them. Quarters of an hour and hours apart, because noise that comes and goes quickly averages out over an hour and noise that lasts does not.
 *
 * A group with few counts says little about itself and is drawn towards what its siblings show together.
 */
import type { Kind, RhoOf } from './detector.ts'

/** Minutes of the smallest window that is looked at. */
export const QUARTER = 15
/** Days back. */
export const DISPERSION_DAYS = 12
export const QUARTERS = DISPERSION_DAYS * 96
/** One window counts for no more than so many standard deviations, as the rest of the windows show them, so that an incident does not pass for noise. */
const CAP_SIGMAS = 3
const ROUNDS = 4
/** Where nothing is known: a rate that varies by 35 % at a share of 8 %. */
const PRESUMED: Readonly<Record<Kind, number>> = { share: 0.01, count: 0.1 }
const LEAST = 0.0003
const MOST = 0.5

/** Counts, volumes and expectations of QUARTERS windows of a quarter of an hour. */
export interface Quarters {
  readonly count: Float64Array
  readonly volume: Float64Array
  readonly expected: Float64Array
}

export function noQuarters(): Quarters {
  return { count: new Float64Array(QUARTERS), volume: new Float64Array(QUARTERS), expected: new Float64Array(QUARTERS) }
}

/** What the windows of one length say: `sum / weight` is the dispersion they show, 1 / √weight its standard error. */
interface Shown {
  readonly sum: number
  readonly weight: number
}

/** By the number of quarters in a window. */
export interface Dispersion {
  readonly quarter: Shown
  readonly hour: Shown
}

export function dispersionOf(quarters: Quarters, kind: Kind): Dispersion {
  return { quarter: shownBy(quarters, 1, kind), hour: shownBy(quarters, 4, kind) }
}

function shownBy(quarters: Quarters, size: number, kind: Kind): Shown {
  let shown: Shown = { sum: 0, weight: 0 }
  for (let round = 0, rho = PRESUMED[kind]; round < ROUNDS; round++) {
    shown = shownWith(quarters, size, kind, rho)
    if (shown.weight === 0) break
    rho = Math.min(MOST, Math.max(LEAST, shown.sum / shown.weight))
  }
  return shown
}

/** @param rho What one window may vary by without being cut. */
function shownWith({ count, volume, expected }: Quarters, size: number, kind: Kind, rho: number): Shown {
  let sum = 0
  let weight = 0
  for (let i = 0; i + size <= QUARTERS; i += size) {
    let x = 0
    let n = 0
    let e = 0
    for (let j = i; j < i + size; j++) {
      x += count[j] as number
      n += volume[j] as number
      e += expected[j] as number
    }
    if (!(e > 0.05)) continue
    const byChance = kind === 'share' ? e * Math.max(0.05, 1 - e / Math.max(n, 1)) : e
    const lever = kind === 'share' ? byChance * Math.max(0, n - 1) : e * e
    if (lever === 0) continue
    const spread = byChance + rho * lever
    const square = Math.min((x - e) ** 2, CAP_SIGMAS ** 2 * (spread + 1))
    // Windows with many counts say more: the square of a count varies with the square of its variance.
    const trust = 1 / (2 * spread * spread + spread)
    sum += (square - byChance) * lever * trust
    weight += lever * lever * trust
  }
  return { sum, weight }
}

/** What several groups show together. */
export function together(all: readonly Dispersion[]): Dispersion {
  const add = (of: (each: Dispersion) => Shown): Shown => ({
    sum: all.reduce((total, each) => total + of(each).sum, 0),
    weight: all.reduce((total, each) => total + of(each).weight, 0),
  })
  return { quarter: add(each => each.quarter), hour: add(each => each.hour) }
}

/** Dispersion of a quarter and of an hour. */
export type Rho = readonly [quarter: number, hour: number]

export function presumedRho(kind: Kind): Rho {
  return [PRESUMED[kind], PRESUMED[kind]]
}

/** @param towards What is presumed as far as the windows leave it open. */
export function rhoFrom(dispersion: Dispersion, towards: Rho): Rho {
  const drawn = ({ sum, weight }: Shown, prior: number) => {
    // The windows' own standard error is 1 / √weight; siblings differ by as much as the dispersion itself.
    const trust = weight * prior * prior
    const own = weight > 0 ? sum / weight : 0
    return Math.min(MOST, Math.max(LEAST, (prior + trust * own) / (1 + trust)))
  }
  return [drawn(dispersion.quarter, towards[0]), drawn(dispersion.hour, towards[1])]
}

/** Between a quarter and an hour along the logarithm of the length; outside of them as at the nearer. */
export function rhoBy([quarter, hour]: Rho): RhoOf {
  return length => {
    const at = Math.min(1, Math.max(0, Math.log(length / QUARTER) / Math.log(4)))
    return quarter ** (1 - at) * hour ** at
  }
}
