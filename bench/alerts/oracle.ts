/**
 * What could be reached at best: our detector's windows and tails, with nothing left to learn. It is given the usual share of each minute, how much that varies, and how
 * late transfers become known; only the threshold is calibrated, as for the others. The distance between it and ours is what learning costs; what it misses, no
 * detector of this kind finds at this budget. Of drifting noise it is given how much the share drifts and not how it does, so a detector that follows it may find more.
 */
import { lengthsBetween, mostUnusual, type Recent, SPAN, WHOLE } from '../../src/alert/detector.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import type { Other } from './others.ts'
import { BUCKET, CONCENTRATION, DRIFT, FAST, LATEST, LEARNT, LENGTH, SHARE, type World } from './world.ts'

const STEP = 5
const LENGTHS = lengthsBetween((DEFAULT_RULE.windowsMs[0] as number) / 60_000, (DEFAULT_RULE.windowsMs.at(-1) as number) / 60_000)
/** So many false alerts a week are looked at, so that the threshold can be found among them. */
const BUDGET = 20
const POINTS = 200

/** Share of a minute's transfers that is known at the end of the minute `age` minutes later: a session begins anywhere in its minute. */
const KNOWN = Float64Array.from({ length: LATEST + 2 }, (_, age) => {
  let sum = 0
  for (let i = 0; i < POINTS; i++) sum += Math.min(1, Math.max(0, (age + 1 - (i + 0.5) / POINTS) / LATEST))
  return sum / POINTS
})

function scoresOf(world: World): Float64Array {
  const out = new Float64Array(LENGTH / STEP)
  const { sessions, due, changes } = sumsOf(world)
  const seen = new Float64Array(LENGTH)
  const recent: Recent = {
    count: new Float64Array(SPAN),
    volume: new Float64Array(SPAN),
    expected: new Float64Array(SPAN),
    due: new Float64Array(SPAN),
    judged: new Uint8Array(SPAN).fill(WHOLE),
  }
  let next = 0
  for (let mark = STEP; mark <= LENGTH; mark += STEP) {
    for (; (changes[next]?.[1] ?? LENGTH) < mark; next++) {
      const [start] = changes[next] as readonly [number, number]
      seen[start] = (seen[start] as number) + 1
    }
    if (mark <= LEARNT) continue
    for (let i = 0; i < SPAN; i++) {
      const minute = mark - SPAN + i
      recent.count[i] = seen[minute] as number
      recent.volume[i] = sessions[minute] as number
      recent.due[i] = due[minute] as number
      recent.expected[i] = (due[minute] as number) * (KNOWN[mark - 1 - minute] ?? 1)
    }
    const limits = {
      kind: 'share',
      lengths: LENGTHS,
      budget: BUDGET,
      minCount: DEFAULT_RULE.minCount,
      minRatio: DEFAULT_RULE.minRatio,
    } as const
    const found = mostUnusual(recent, limits, rhoOf(world), () => 0, SPAN - LATEST)
    if (found !== null) out[mark / STEP - 1] = Math.log10(BUDGET) + 1 - Math.log10(Math.max(1e-300, found.falsePerWeek))
  }
  return out
}

/** The windows that show an incident go on doing so for up to two hours after it began; our alerter knows that they are of one alert. */
export const oracle: Other = Object.assign(scoresOf, { refractory: 150 })

/** Of all channels together. */
function sumsOf({ channels }: World): {
  readonly sessions: Float64Array
  readonly due: Float64Array
  readonly changes: readonly (readonly [start: number, known: number])[]
} {
  const sessions = new Float64Array(LENGTH)
  const due = new Float64Array(LENGTH)
  for (const channel of channels) {
    for (let minute = 0; minute < LENGTH; minute++) {
      const n = channel.sessions[minute] as number
      sessions[minute] = (sessions[minute] as number) + n
      due[minute] = (due[minute] as number) + n * (channel.usual[minute] as number)
    }
  }
  return { sessions, due, changes: channels.flatMap(({ known }) => known).toSorted((a, b) => a[1] - b[1]) }
}

/** Correlation of two sessions of a window; channels vary by themselves. */
function rhoOf({ noise, channels }: World): (length: number) => number {
  if (noise === 'beta-binomial') return length => 1 / (CONCENTRATION + 1) / Math.max(1, length / BUCKET) / channels.length
  return length => {
    const x = length / FAST
    // What lasts days counts in full, of the rest the variance of its mean over the window (Ornstein–Uhlenbeck).
    const variance = DRIFT ** 2 * (1 + (2 / x ** 2) * (x - 1 + Math.exp(-x)))
    return (variance * SHARE * (1 - SHARE)) / channels.length
  }
}
