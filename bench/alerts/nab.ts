/** The Numenta Anomaly Benchmark: its data, and our detector on it, untuned. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createBaseline } from '../../src/alert/baseline.ts'
import { tailOf } from '../../src/alert/detector.ts'
import { HOUR_MS, Hours } from '../../src/alert/hours.ts'
import { slotsIn } from '../../src/alert/local-time.ts'
import { type NabFile, nabScore, probation, type Profile } from './nab-score.ts'

const time = (text: string) => Date.parse(`${text.replace(' ', 'T').replace(/(\.\d{3})\d*$/, '$1')}Z`)

export function readNab(folder: string): NabFile[] {
  const labels = JSON.parse(readFileSync(join(folder, 'labels/combined_windows.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >
  return Object.entries(labels).map(([name, windows]) => {
    const rows = readFileSync(join(folder, 'data', name), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map(line => line.split(','))
    const times = Float64Array.from(rows, ([at]) => time(at as string))
    return {
      name,
      times,
      values: Float64Array.from(rows, ([, value]) => Number(value)),
      windows: windows.map(([from, until]) => [times.indexOf(time(from)), times.lastIndexOf(time(until))] as const),
    }
  })
}

export function profilesOf(folder: string): Record<string, Profile> {
  const profiles = JSON.parse(readFileSync(join(folder, 'config/profiles.json'), 'utf8')) as Record<
    string,
    { CostMatrix: Profile }
  >
  return Object.fromEntries(Object.entries(profiles).map(([name, { CostMatrix }]) => [name, CostMatrix]))
}

export interface Proof {
  readonly detector: string
  readonly profile: string
  readonly ours: number
  readonly published: number
}

/** Our scorer on the result files of other detectors, beside what was published of them. */
export function prove(folder: string, files: readonly NabFile[]): Proof[] {
  const published = JSON.parse(readFileSync(join(folder, 'results/final_results.json'), 'utf8')) as Record<
    string,
    Record<string, number>
  >
  const detectors = readdirSync(join(folder, 'results')).filter(name => existsSync(join(folder, 'results', name, 'realTweets')))
  return detectors.flatMap(detector => {
    const scores = files.map(({ name }) => {
      const [kind, file] = name.split('/')
      const text = readFileSync(join(folder, 'results', detector, kind as string, `${detector}_${file}`), 'utf8')
      return Float64Array.from(text.trim().split('\n').slice(1), line => Number(line.split(',')[2]))
    })
    return Object.entries(profilesOf(folder)).map(([profile, weights]) => ({
      detector,
      profile,
      ours: nabScore(files, scores, weights).score,
      published: published[detector]?.[profile] ?? Number.NaN,
    }))
  })
}

/** One alert an incident: what follows within a day is of the same. The dossier has 150 to 300 rows; a day of five minutes is 288. */
const REFRACTORY_MS = 24 * HOUR_MS

/**
 * Scores of one file by our count detector: baseline by hour of the week, dispersion from the rows so far, windows of 15 and 60 minutes, the tail of each.
 * The corpus holds temperatures and percentages, where ours counts: the rows of the probation give a unit in which the variance is the mean. It also holds dips,
 * so the mirrored series is judged beside it.
 */
export function ourScores(file: NabFile): Float64Array {
  const { times, values } = file
  const begin = probation(values.length)
  const learnt = values.slice(0, begin)
  const mean = learnt.reduce((a, b) => a + b, 0) / begin
  const deviation = Math.sqrt(learnt.reduce((a, b) => a + (b - mean) ** 2, 0) / begin) || Math.abs(mean) * 0.01 || 1
  // Ten standard deviations of the probation above nothing: a mean of 100 with a variance of 100.
  const up = values.map(value => Math.max(0, 100 + (10 * (value - mean)) / deviation))
  const down = values.map(value => Math.max(0, 100 - (10 * (value - mean)) / deviation))
  const unusual = [up, down].map(counts => unusualBy(times, counts))
  const scores = new Float64Array(values.length)
  let until = Number.NEGATIVE_INFINITY
  let last = 0
  for (let i = begin; i < values.length; i++) {
    const score = Math.max(unusual[0]?.[i] ?? 0, unusual[1]?.[i] ?? 0)
    if (score < 2) continue
    const at = times[i] as number
    const isRaised = at >= until || score > last + 3
    // An alert fires until the values have been back: while they are unusual, the refractory time begins anew, and only what is more unusual is raised.
    until = at + REFRACTORY_MS
    if (!isRaised) continue
    scores[i] = score
    last = score
  }
  return scores
}

/** −log10 of the tail of the more unusual of a short and a long window, for each row. */
function unusualBy(times: Float64Array, counts: Float64Array): Float64Array {
  const out = new Float64Array(counts.length)
  const hours = new Hours()
  const slotOf = slotsIn('UTC')
  const steps = times
    .subarray(1)
    .map((at, i) => at - (times[i] as number))
    .sort()
  const step = Math.max(60_000, steps[steps.length >> 1] ?? 300_000)
  const lengths = [...new Set([Math.max(1, Math.round(900_000 / step)), Math.max(2, Math.round(3_600_000 / step))])]
  const expected = new Float64Array(counts.length)
  const shown = lengths.map(() => ({ sum: 0, weight: 0 }))
  let hour = Number.NaN
  let { baseline } = createBaseline(hours, 0, slotOf, { kind: 'share', above: null, rho: 0.01 })
  for (let i = 0; i < counts.length; i++) {
    const now = Math.floor((times[i] as number) / HOUR_MS)
    if (now !== hour) {
      hour = now
      ;({ baseline } = createBaseline(hours, now, slotOf, { kind: 'share', above: null, rho: 0.01 }))
    }
    expected[i] = baseline.rate[slotOf(now)] as number
    for (const [l, length] of lengths.entries()) {
      if (i < length || (expected[i - length] as number) === 0) continue
      let x = 0
      let e = 0
      for (let j = i - length + 1; j <= i; j++) {
        x += counts[j] as number
        e += expected[j] as number
      }
      const { sum, weight } = shown[l] as { sum: number; weight: number }
      const rho = Math.max(1e-4, (sum + 0.01 * 20) / (weight + 20))
      if (x > e) {
        const tail = tailOf('count', { count: Math.round(x), volume: 0, expected: e, due: e }, rho, 0)
        out[i] = Math.max(out[i] as number, Math.min(300, -Math.log10(Math.max(tail, 1e-300))))
      }
      const own = shown[l] as { sum: number; weight: number }
      own.sum += (Math.min((x - e) ** 2, 9 * (e + rho * e * e)) - e) / (e * e)
      own.weight += 1
    }
    hours.add(now, counts[i] as number, 1)
  }
  return out
}
