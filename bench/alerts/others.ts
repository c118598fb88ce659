/**
 * Other detectors over the same worlds: what people set up today, and the plain detector that this one has to beat. Each looks every five minutes. Counters are
 * counted when a transfer becomes known, as Prometheus would see them; tables (EARS, the plain detector) by the session's start, as known then. The threshold of each is
 * the lowest that keeps the budget of false alerts on the seeds for calibration, which ours does without.
 */
import { betaBinomialTail } from '../../src/alert/tail.ts'
import { oracle } from './oracle.ts'
import { addTo, noScore, type Score } from './score.ts'
import { LEARNT, LENGTH, WEEK, type World } from './world.ts'

const STEP = 5
const STEPS = LENGTH / STEP
const WEEK_STEPS = WEEK / STEP
const DAY_STEPS = 288
const REFRACTORY = 60

/** How alarming each step of five minutes is; higher is more. Zero and less never alarms. */
export interface Other {
  (world: World): Float64Array
  /** Minutes after an alert without another; 60 where absent. */
  readonly refractory?: number
}

interface Steps {
  readonly known: Float64Array
  readonly sessions: Float64Array
  /** By the session's start, all that there will be. */
  readonly transfers: Float64Array
}

function stepsOf({ channels }: World): Steps {
  const steps = { known: new Float64Array(STEPS), sessions: new Float64Array(STEPS), transfers: new Float64Array(STEPS) }
  for (const channel of channels) {
    for (let minute = 0; minute < LENGTH; minute++) {
      const at = Math.floor(minute / STEP)
      steps.sessions[at] = (steps.sessions[at] as number) + (channel.sessions[minute] as number)
      steps.transfers[at] = (steps.transfers[at] as number) + (channel.transfers[minute] as number)
    }
    for (const [, minute] of channel.known) {
      const at = Math.floor(minute / STEP)
      if (at < STEPS) steps.known[at] = (steps.known[at] as number) + 1
    }
  }
  return steps
}

/** Sums over the last `length` steps. */
function rolling(values: Float64Array, length: number): Float64Array {
  const out = new Float64Array(values.length)
  let sum = 0
  for (let i = 0; i < values.length; i++) {
    sum += (values[i] as number) - (i >= length ? (values[i - length] as number) : 0)
    out[i] = sum
  }
  return out
}

const squares = (values: Float64Array) => values.map(value => value * value)

/** (x − mean of a week) / standard deviation of a week, of the rate over 15 minutes. */
const promqlZ: Other = world => {
  const rate = rolling(stepsOf(world).known, 3)
  const sum = rolling(rate, WEEK_STEPS)
  const square = rolling(squares(rate), WEEK_STEPS)
  return rate.map((x, i) => {
    const mean = (sum[i] as number) / WEEK_STEPS
    const deviation = Math.sqrt(Math.max(0, (square[i] as number) / WEEK_STEPS - mean ** 2))
    return deviation > 0 ? (x - mean) / deviation : 0
  })
}

/** Above the mean of an hour by so many times the usual deviation of an hour, or half of the mean where that is more; sparse series are dropped, as there. */
const grafanaAdaptive: Other = world => {
  const rate = rolling(stepsOf(world).known, 1)
  const mean = rolling(rate, 12).map(value => value / 12)
  const square = rolling(squares(rate), 12).map(value => value / 12)
  const deviation = square.map((value, i) => Math.sqrt(Math.max(0, value - (mean[i] as number) ** 2)))
  const counted = deviation.map((value, i) => (value > 0.5 * (mean[i] as number) ? value : 0))
  const usual = rolling(counted, 312)
  const number = rolling(
    counted.map(value => (value > 0 ? 1 : 0)),
    312,
  )
  return rate.map((x, i) => {
    const before = mean[Math.max(0, i - 1)] as number
    if (before * 12 < 5 / 60) return 0
    const wide = (number[i] as number) > 0 ? (usual[i] as number) / (number[i] as number) : 0
    return (x - before) / Math.max(wide, before / 4)
  })
}

const weekOverWeek: Other = world => {
  const rate = rolling(stepsOf(world).known, 12)
  return rate.map((x, i) => (x >= 5 ? (x + 1) / ((rate[i - WEEK_STEPS] ?? 0) + 1) : 0))
}

/** This hour against the hour before, with at least five in it. */
const elastAlertSpike: Other = world => {
  const rate = rolling(stepsOf(world).known, 12)
  return rate.map((x, i) => (x >= 5 ? x / Math.max(1, rate[i - 12] ?? 0) : 0))
}

/** This hour against the same hour of seven days, two days back: Shewhart. */
const earsC2: Other = world => {
  const rate = rolling(stepsOf(world).known, 12)
  return rate.map((x, i) => {
    const days = Array.from({ length: 7 }, (_, day) => rate[i - (day + 3) * DAY_STEPS] ?? 0)
    const mean = days.reduce((a, b) => a + b, 0) / 7
    const variance = days.reduce((a, b) => a + (b - mean) ** 2, 0) / 6
    return (x - mean) / Math.max(0.5, Math.sqrt(variance))
  })
}

/**
 * The detector that the dossier measured: beta-binomial tail of 15 and 60 minutes against a seasonal baseline of three weeks, unaware of the delay. It
 * does not learn the dispersion: it gets that of the world's beta noise.
 */
const plain: Other = world => {
  const { transfers, sessions } = stepsOf(world)
  const learnt = LEARNT / STEP
  const slot = (i: number) => Math.floor((i % WEEK_STEPS) / 12)
  const by = (n: number, of: (i: number) => number) => {
    const sums = { x: new Float64Array(n), n: new Float64Array(n) }
    for (let i = 0; i < learnt; i++) {
      const at = of(i)
      sums.x[at] = (sums.x[at] as number) + (transfers[i] as number)
      sums.n[at] = (sums.n[at] as number) + (sessions[i] as number)
    }
    return sums
  }
  const slots = by(168, slot)
  const hours = by(24, i => slot(i) % 24)
  const whole = by(1, () => 0)
  const mean = (whole.n[0] as number) / learnt
  const all = (whole.x[0] as number) / (whole.n[0] as number)
  const rates = Array.from({ length: 168 }, (_, at) => {
    const hour = ((hours.x[at % 24] as number) + 24 * mean * all) / ((hours.n[at % 24] as number) + 24 * mean)
    return ((slots.x[at] as number) + 36 * mean * hour) / ((slots.n[at] as number) + 36 * mean)
  })
  // What is known of the session's start so far, at each step.
  const seen = new Float64Array(STEPS)
  const next = world.channels.map(() => 0)
  const out = new Float64Array(STEPS)
  for (let i = 0; i < STEPS; i++) {
    for (const [c, { known }] of world.channels.entries()) {
      let at = next[c] as number
      for (; (known[at]?.[1] ?? Number.POSITIVE_INFINITY) < (i + 1) * STEP; at++) {
        const start = Math.floor((known[at] as readonly [number, number])[0] / STEP)
        seen[start] = (seen[start] as number) + 1
      }
      next[c] = at
    }
    if (i < learnt) continue
    for (const length of [3, 12]) {
      let x = 0
      let n = 0
      let expected = 0
      for (let j = i - length + 1; j <= i; j++) {
        x += seen[j] as number
        n += sessions[j] as number
        expected += (sessions[j] as number) * (rates[slot(j)] as number)
      }
      if (x < 2 || x < expected || expected === 0) continue
      const rho = Math.max(1e-4, (n / length - 1) / 61 / Math.max(1, n - 1))
      out[i] = Math.max(out[i] as number, -Math.log10(betaBinomialTail(x, n, expected, rho)))
    }
  }
  return out
}

export const OTHERS: Readonly<Record<string, Other>> = {
  'plain beta-binomial, unaware of the delay': plain,
  'PromQL z-score': promqlZ,
  'Grafana adaptive band': grafanaAdaptive,
  'week over week': weekOverWeek,
  'ElastAlert spike': elastAlertSpike,
  'EARS C2': earsC2,
  'ours with nothing left to learn (no detector: it is given the truth)': oracle,
}

/** Minutes at which a detector raises alerts; polls that pause hold them back. */
function alertsAt(world: World, score: Float64Array, threshold: number, refractory: number): { at: number }[] {
  const out: { at: number }[] = []
  let quietUntil = 0
  for (let i = LEARNT / STEP; i < STEPS; i++) {
    if ((score[i] as number) < threshold) continue
    const at = (i + 1) * STEP
    if (at < quietUntil || world.polls[at - 1] === 0) continue
    out.push({ at })
    quietUntil = at + refractory
  }
  return out
}

function scoreOf(
  { refractory = REFRACTORY }: Other,
  worlds: readonly World[],
  scores: readonly Float64Array[],
  threshold: number,
): Score {
  const score = noScore()
  for (const [i, world] of worlds.entries()) {
    addTo(score, world.happenings, alertsAt(world, scores[i] as Float64Array, threshold, refractory), world.channels.length)
  }
  return score
}

/** The lowest threshold that keeps the budget on these worlds. */
export function calibrated(other: Other, worlds: readonly World[], alertsPerWeek: number): number {
  const scores = worlds.map(other)
  const values = [...new Set(scores.flatMap(each => [...each.subarray(LEARNT / STEP)].filter(value => value > 0)))].sort(
    (a, b) => a - b,
  )
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    const { falseAlerts, channelWeeks } = scoreOf(other, worlds, scores, values[middle] as number)
    if (falseAlerts <= alertsPerWeek * channelWeeks) high = middle
    else low = middle + 1
  }
  return values[low] ?? Number.POSITIVE_INFINITY
}

export function scored(other: Other, worlds: readonly World[], threshold: number): Score {
  return scoreOf(other, worlds, worlds.map(other), threshold)
}
