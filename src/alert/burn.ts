/** Burn-rate rules: a share against a fixed budget, over a long window (that it matters) and a short one (that it still goes on). */
import type { BurnWindow, Rule } from '../rules.ts'
import type { Range, Sums } from './choice.ts'
import type { Columns } from './groups.ts'
import { type Clock, isUnjudged, type Leaf, type Node } from './tree.ts'

export interface Burnt {
  readonly range: Range
  readonly sums: Sums
  readonly burn: BurnWindow
  /** How many times the budget was spent, over the long and the short window. */
  readonly spent: readonly [long: number, short: number]
}

export interface Asked {
  /**
   * Whether an alert is due, or whether one is over. What became known too late to be judged does neither: it may only make a beginning less likely (its volume counts,
   * and nothing of it is spent), and has no say in the end.
   */
  readonly about: 'beginning' | 'end'
  /** Only these leaves are counted. */
  readonly isFree: (leaf: Leaf) => boolean
  readonly clockOf: (leaf: Leaf) => Clock
}

/** Counts of `[from, until)` over the leaves; whole hours come from the hours' sums. */
function countsOf(
  leaves: readonly Leaf[],
  from: number,
  until: number,
  columns: Columns,
  { about, clockOf }: Asked,
): { count: number; volume: number } {
  let count = 0
  let volume = 0
  const firstHour = Math.ceil(from / 60)
  const lastHour = Math.max(firstHour, Math.floor(until / 60))
  const minutes = (leaf: Leaf, first: number, end: number) => {
    const clock = clockOf(leaf)
    for (const series of leaf.series) {
      for (let minute = first; minute < end; minute++) {
        const isLate = isUnjudged(clock, leaf, minute)
        if (isLate && about === 'end') continue
        const x = series.at(minute, columns.count)
        const n = series.at(minute, columns.volume)
        if (Number.isNaN(x + n)) continue
        if (!isLate) count += x
        volume += n
      }
    }
  }
  for (const leaf of leaves) {
    if (firstHour * 60 >= until) {
      minutes(leaf, from, until)
      continue
    }
    minutes(leaf, from, firstHour * 60)
    const late = lateRanges(clockOf(leaf), leaf)
    for (let hour = firstHour; hour < lastHour; hour++) {
      const [first, end] = [hour * 60, hour * 60 + 60]
      const isWhollyLate = late.some(range => range[0] <= first && end <= range[1])
      if (!isWhollyLate && late.some(range => range[0] < end && first < range[1])) minutes(leaf, first, end)
      else {
        if (!isWhollyLate) count += leaf.hours.countAt(hour)
        if (!isWhollyLate || about === 'beginning') volume += leaf.hours.volumeAt(hour)
      }
    }
    minutes(leaf, lastHour * 60, until)
  }
  return { count, volume }
}

const lateRanges = (clock: Clock, leaf: Leaf) => [...clock.late, ...[...leaf.late].map(minute => [minute, minute + 1] as const)]

/** The first of the rule's windows over which the group overspends; null: none. */
export function overspent(node: Node, end: number, rule: Rule, columns: Columns, asked: Asked): Burnt | null {
  const leaves = node.leaves.filter(leaf => asked.isFree(leaf))
  const budget = rule.budget as number
  for (const burn of rule.burn) {
    const range = { from: end - burn.longMs / 60_000, until: end }
    const short = countsOf(leaves, end - burn.shortMs / 60_000, end, columns, asked)
    if (short.count <= burn.rate * budget * short.volume) continue
    const long = countsOf(leaves, range.from, range.until, columns, asked)
    // An alert is not over because there is little to say so by.
    if (asked.about === 'beginning' && (long.count < rule.minCount || long.volume < rule.minSessions)) continue
    if (long.count <= burn.rate * budget * long.volume) continue
    return {
      range,
      sums: { ...long, expected: budget * long.volume, due: budget * long.volume },
      burn,
      spent: [long.count / (budget * long.volume), short.count / (budget * Math.max(1, short.volume))],
    }
  }
  return null
}
