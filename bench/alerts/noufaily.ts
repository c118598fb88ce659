/**
 * Outbreaks in weekly counts, in the style of Noufaily et al. (2013): 42 scenarios of level, dispersion, trend and season; five years to learn from with four outbreaks
 * in them, one year with one outbreak that is scored. The coefficients are ours, spread over the ranges that the paper describes, not its table.
 *
 * Our detector looks at minutes and hours of the week; here its parts (capped baseline, dispersion by moments, negative binomial tail) are given weeks of the year.
 */
import { Random } from '../../src/sim/random.ts'
import { negativeBinomialTail } from '../../src/alert/tail.ts'
import { negativeBinomial, normal, poisson } from './draw.ts'

const YEAR = 52
const WEEKS = 6 * YEAR
const SCORED = 49
const HALF_WINDOW = 3

interface Weekly {
  readonly counts: Float64Array
  /** Weeks of the scored year that belong to the outbreak. */
  readonly outbreak: ReadonlySet<number>
}

function scenarios(): { level: number; phi: number; trend: number; season: number }[] {
  const levels = [
    [0.1, 1.5],
    [-2, 2],
    [1.5, 1],
    [2.75, 3],
    [3.75, 2],
    [5, 3],
    [0.5, 4],
  ] as const
  return levels.flatMap(([level, phi]) => [0, 0.0015].flatMap(trend => [0, 1, 2].map(season => ({ level, phi, trend, season }))))
}

function weekly(random: Random, { level, phi, trend, season }: ReturnType<typeof scenarios>[number]): Weekly {
  const mean = (week: number) => {
    let log = level + trend * week
    for (let j = 1; j <= season; j++) {
      log += (0.4 / j) * (Math.cos((2 * Math.PI * j * week) / YEAR) + 0.5 * Math.sin((2 * Math.PI * j * week) / YEAR))
    }
    return Math.exp(log)
  }
  const counts = Float64Array.from({ length: WEEKS }, (_, week) => {
    const mu = mean(week)
    return phi === 1 ? poisson(random, mu) : negativeBinomial(random, mu, mu / (phi - 1))
  })
  const add = (start: number, times: number): Set<number> => {
    const weeks = new Set<number>()
    const size = poisson(random, times * Math.sqrt(phi * mean(start)))
    for (let i = 0; i < size; i++) {
      const week = start + Math.floor(Math.exp(0.5 * normal(random)))
      if (week >= WEEKS) continue
      counts[week] = (counts[week] as number) + 1
      weeks.add(week)
    }
    return weeks
  }
  for (let i = 0; i < 4; i++) add(random.int(YEAR, WEEKS - SCORED - 10), random.between(2, 10))
  return { counts, outbreak: add(random.int(WEEKS - SCORED, WEEKS - 8), random.between(2, 10)) }
}

type Tail = (counts: Float64Array, week: number) => number

/** Comparable weeks of five years, each counted for no more than the others allow; their level moved to that of the last weeks. */
const ours: Tail = (counts, week) => {
  const comparable: number[] = []
  for (let year = 1; year <= 5; year++) {
    for (let off = -HALF_WINDOW; off <= HALF_WINDOW; off++) {
      const at = week - year * YEAR + off
      if (at >= 0) comparable.push(counts[at] as number)
    }
  }
  const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / Math.max(1, values.length)
  let kept = comparable
  let rho = 0.05
  for (let round = 0; round < 4; round++) {
    const mean = average(kept)
    const cap = mean + 3 * Math.sqrt(mean + rho * mean ** 2 + 1)
    kept = comparable.map(value => Math.min(value, cap))
    const now = average(kept)
    const variance = average(kept.map(value => (value - now) ** 2))
    rho = now > 0 ? Math.max(0.001, (variance - now) / now ** 2) : 0.05
  }
  const mean = average(kept)
  let recent = 10
  let usual = 10
  for (let back = 2; back < 28; back++) {
    const before: number[] = []
    for (let year = 1; year <= 4; year++)
      if (week - back - year * YEAR >= 0) before.push(counts[week - back - year * YEAR] as number)
    const e = average(before)
    recent += Math.min(counts[week - back] as number, e + 3 * Math.sqrt(e + 1))
    usual += e
  }
  const expected = Math.max(0.05, mean * Math.min(2, Math.max(0.5, recent / usual)))
  return negativeBinomialTail(counts[week] as number, expected, rho + 1 / (kept.length * Math.max(expected, 0.5)))
}

/** Seven weeks, two back; its normal tail. */
const earsC2: Tail = (counts, week) => {
  const before = Array.from({ length: 7 }, (_, i) => counts[week - 3 - i] as number)
  const mean = before.reduce((a, b) => a + b, 0) / 7
  const deviation = Math.max(0.5, Math.sqrt(before.reduce((a, b) => a + (b - mean) ** 2, 0) / 6))
  const z = ((counts[week] as number) - mean) / deviation
  // Abramowitz and Stegun 26.2.17 would do; a logistic approximation is within 0.01 of it.
  return 1 / (1 + Math.exp(1.702 * z))
}

export interface Outcome {
  readonly detector: string
  /** Alarms among the weeks without outbreak. */
  readonly falsePositiveRate: number
  /** Outbreaks with an alarm in one of their weeks. */
  readonly detected: number
  /** Alarms that were of the outbreak. */
  readonly positivePredictive: number
}

/** @param runs Series of each scenario. */
export function noufaily(runs: number, seed: number, alpha = 0.005): Outcome[] {
  const detectors: Record<string, Tail> = { ours, 'EARS C2': earsC2 }
  return Object.entries(detectors).map(([detector, tail]) => {
    let falseAlarms = 0
    let calm = 0
    let found = 0
    let outbreaks = 0
    let alarms = 0
    for (const [s, scenario] of scenarios().entries()) {
      for (let run = 0; run < runs; run++) {
        const { counts, outbreak } = weekly(new Random(seed, s * 10_000 + run, 13), scenario)
        let isFound = false
        for (let week = WEEKS - SCORED; week < WEEKS; week++) {
          const isAlarm = (counts[week] as number) >= 2 && tail(counts, week) < alpha
          if (isAlarm) alarms++
          if (outbreak.has(week)) isFound ||= isAlarm
          else {
            calm++
            if (isAlarm) falseAlarms++
          }
        }
        if (outbreak.size === 0) continue
        outbreaks++
        if (isFound) found++
      }
    }
    return {
      detector,
      falsePositiveRate: falseAlarms / calm,
      detected: found / outbreaks,
      positivePredictive: (alarms - falseAlarms) / Math.max(1, alarms),
    }
  })
}
