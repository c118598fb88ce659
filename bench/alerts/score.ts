/** What alerts are worth: recall by incident, time to detect, alerts that decoys raised, false alerts a week. */
import type { Raised } from './live.ts'
import { type Happening, SCORED_WEEKS } from './world.ts'

/** An alert so many minutes after the end is still of what happened. */
const AFTER = 45

export interface Score {
  channelWeeks: number
  falseAlerts: number
  decoys: number
  decoysRaised: number
  /** By factor. */
  readonly incidents: Map<number, { all: number; found: number; alerts: number; minutes: number[] }>
}

export function noScore(): Score {
  return { channelWeeks: 0, falseAlerts: 0, decoys: 0, decoysRaised: 0, incidents: new Map() }
}

export function addTo(
  score: Score,
  happenings: readonly Happening[],
  raised: readonly Pick<Raised, 'at'>[],
  channels: number,
): void {
  score.channelWeeks += channels * SCORED_WEEKS
  const used = new Set<Pick<Raised, 'at'>>()
  for (const { kind, factor, from, until } of happenings) {
    const own = raised.filter(({ at }) => at > from && at <= until + AFTER)
    for (const each of own) used.add(each)
    if (kind === 'decoy') {
      score.decoys++
      if (own.length > 0) score.decoysRaised++
      continue
    }
    const sums = score.incidents.get(factor) ?? { all: 0, found: 0, alerts: 0, minutes: [] }
    score.incidents.set(factor, sums)
    sums.all++
    const [first] = own
    if (first === undefined) continue
    sums.found++
    sums.alerts += own.length
    sums.minutes.push(first.at - from)
  }
  score.falseAlerts += raised.filter(each => !used.has(each)).length
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export const recall = (score: Score, factor: number) => {
  const { all = 0, found = 0 } = score.incidents.get(factor) ?? {}
  return found / all
}
