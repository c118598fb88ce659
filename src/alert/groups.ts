/** What the groups of a tree hold, kept up to date: expectations, the last two hours, baselines and dispersion. */
import { createBaseline, HISTORY_HOURS, type Past, type SlotOf } from './baseline.ts'
import { AGES } from './delay.ts'
import { type Kind, SPAN, WHOLE } from './detector.ts'
import {
  type Dispersion,
  DISPERSION_DAYS,
  dispersionOf,
  noQuarters,
  presumedRho,
  QUARTER,
  QUARTERS,
  type Quarters,
  type Rho,
  rhoFrom,
  together,
} from './dispersion.ts'
import type { Rule } from '../rules.ts'
import type { Steps } from '../slices.ts'
import { type Clock, firstHourOf, isAged, isUnjudged, type Leaf, type Node, type Tree } from './tree.ts'

const DAY = 1440
/** Dispersion is measured anew once a day; in the first days, when each day says much, more often. */
const isDispersionDue = (hour: number, first: number) => hour % (hour - first < 96 ? 6 : 24) === 0

/** Where the measures of a rule stand among those that are held. */
export interface Columns {
  readonly kind: Kind
  readonly count: number
  /** -1 for a count rule. */
  readonly volume: number
}

const a = new Float64Array(DISPERSION_DAYS * DAY)
const b = new Float64Array(DISPERSION_DAYS * DAY)

/** Adds what the leaf's series count in `[from, from + length)`; NaN where a vendor does not tell. */
function addUp(leaf: Leaf, column: number, from: number, length: number, into: Float64Array, scratch: Float64Array): void {
  into.fill(0, 0, length)
  if (column < 0) return
  for (const minutes of leaf.series) {
    minutes.read(from, column, scratch, length)
    for (let i = 0; i < length; i++) into[i] = (into[i] as number) + (scratch[i] as number)
  }
}

/**
 * Expected counts of minutes for each unit of volume: between the middles of two hours along a line, so that a slope is no staircase. Made for minutes that
 * follow one another.
 */
function ratesOf(leaf: Leaf, slotOf: SlotOf, kind: Kind): (minute: number) => number {
  const rate = leaf.baseline?.rate
  const scale = kind === 'share' ? 1 : 1 / 60
  let known = Number.NaN
  let before = 0
  let here = 0
  let after = 0
  return minute => {
    if (rate === undefined) return 0
    const hour = Math.floor(minute / 60)
    if (hour !== known) {
      known = hour
      before = (rate[slotOf(hour - 1)] as number) * scale
      here = (rate[slotOf(hour)] as number) * scale
      after = (rate[slotOf(hour + 1)] as number) * scale
    }
    const part = (minute - hour * 60 + 0.5) / 60
    return here + (part < 0.5 ? (0.5 - part) * (before - here) : (part - 0.5) * (after - here))
  }
}

/** Minutes that one of the group's alerts, or one above it, has used: they raise no other. */
function isTaken(leaf: Leaf, minute: number, rule: Rule): boolean {
  const before = (rule.windowsMs[0] as number) / 60_000
  for (let node: Node | null = leaf; node !== null; node = node.parent) {
    for (const { start, end } of node.episodes) {
      if (minute >= start - before && (end === null || minute < end + rule.refractoryMs / 60_000)) return true
    }
  }
  return false
}

const isLate = (clock: Clock, leaf: Leaf, minute: number) => leaf.isRolled(minute) || isUnjudged(clock, leaf, minute)

/** Makes the leaf's last two hours those before the minute `end`. */
export function refreshLeaf(clock: Clock, leaf: Leaf, end: number, rule: Rule, columns: Columns): void {
  const { delays, slotOf } = clock
  const { kind } = columns
  const mark = clock.mark as number
  let from = Number.isNaN(leaf.end) ? end - SPAN : Math.min(leaf.changedFrom, leaf.end)
  if (isAged(clock, leaf)) from = Math.min(from, end - AGES - 1)
  from = Math.max(from, end - SPAN)
  leaf.moveTo(end)
  leaf.knownUntil = mark
  leaf.knownVersion = delays.version
  leaf.isKnownAtOnce = delays.isTrivial
  const length = end - from
  const { count, volume, expected, due, judged } = leaf.recent
  addUp(leaf, columns.count, from, length, a, scratch)
  addUp(leaf, columns.volume, from, length, b, scratch)
  const rateAt = ratesOf(leaf, slotOf, kind)
  const isQuiet = leaf.late.size === 0 && clock.late.length === 0 && from >= leaf.rolledUntil
  let hasEpisodes = false
  for (let node: Node | null = leaf; node !== null; node = node.parent) hasEpisodes ||= node.episodes.length > 0
  for (let i = 0; i < length; i++) {
    const minute = from + i
    const at = SPAN - length + i
    const x = a[i] as number
    const n = b[i] as number
    const isJudged = !Number.isNaN(x + n) && (isQuiet || !isLate(clock, leaf, minute))
    const isOut = !isJudged || (hasEpisodes && isTaken(leaf, minute, rule))
    judged[at] = isJudged ? WHOLE : 0
    count[at] = isOut ? 0 : x
    volume[at] = isOut ? 0 : n
    const exposure = isOut ? 0 : kind === 'share' ? n : 1
    const all = exposure === 0 ? 0 : exposure * rateAt(minute)
    due[at] = all
    expected[at] = all * delays.share(mark - 1 - minute)
  }
  leaf.isWhole = !judged.includes(0)
}

const scratch = new Float64Array(DISPERSION_DAYS * DAY)

/**
 * What a group counted and was expected to count in each minute of a range, whether or not alerts have used it; null where a vendor does not tell some of it,
 * some of it was known too late, or only its hours are known.
 */
export function minutesOf(
  node: Node,
  from: number,
  until: number,
  columns: Columns,
  clockOf: (leaf: Leaf) => Clock,
): { count: Float64Array; expected: Float64Array } | null {
  const length = until - from
  const count = new Float64Array(length)
  const expected = new Float64Array(length)
  for (const leaf of node.leaves) {
    const clock = clockOf(leaf)
    if (clock.mark === null) continue
    addUp(leaf, columns.count, from, length, a, scratch)
    addUp(leaf, columns.volume, from, length, b, scratch)
    const rateAt = ratesOf(leaf, clock.slotOf, columns.kind)
    for (let i = 0; i < length; i++) {
      const minute = from + i
      if (minute >= clock.mark) break
      const x = a[i] as number
      const n = b[i] as number
      if (Number.isNaN(x + n) || isLate(clock, leaf, minute)) return null
      count[i] = (count[i] as number) + x
      const exposure = columns.kind === 'share' ? n : 1
      if (exposure === 0) continue
      expected[i] = (expected[i] as number) + exposure * rateAt(minute) * clock.delays.share(clock.mark - 1 - minute)
    }
  }
  return { count, expected }
}

/** What the clock's groups count in the last hour before its mark. */
export function countsOf(clock: Clock, mark: number, columns: Columns): NonNullable<Clock['seen']> {
  const sums = { mark, count: new Float64Array(AGES + 1), volume: new Float64Array(AGES + 1) }
  const first = mark - AGES - 1
  for (const leaf of clock.leaves) {
    for (const minutes of leaf.series) {
      for (let i = 0; i <= AGES; i++) {
        const x = minutes.at(first + i, columns.count)
        const n = columns.volume < 0 ? 0 : minutes.at(first + i, columns.volume)
        if (Number.isNaN(x + n)) continue
        sums.count[i] = (sums.count[i] as number) + x
        sums.volume[i] = (sums.volume[i] as number) + n
      }
    }
  }
  return sums
}

/** Baselines of the clock's leaves, as of the hour. @returns what they were made of, in the order of the leaves */
function learnBaselines(clock: Clock, hour: number, { kind }: Columns): Past[] {
  const from = hour - HISTORY_HOURS - 1
  let count = 0
  let volume = 0
  for (const leaf of kind === 'share' && clock.leaves.length > 1 ? clock.leaves : []) {
    for (let at = Math.max(from, leaf.hours.first); at < hour - 1; at++) {
      count += leaf.hours.countAt(at)
      volume += leaf.hours.volumeAt(at)
    }
  }
  const above = count > 0 ? count / volume : null
  // What one hour may count for is not learnt: else a figure of today would hang on all that was ever learnt, and a restart would come to another.
  const [, rho] = presumedRho(kind)
  return clock.leaves.map(leaf => {
    const { baseline, past } = createBaseline(leaf.hours, hour, clock.slotOf, { kind, above, rho })
    leaf.baseline = baseline
    return past
  })
}

/** The newest hour up to `hour` in which dispersion was due. */
function lastDue(hour: number, first: number): number {
  let due = hour
  while (due > first && !isDispersionDue(due, first)) due--
  return due
}

/** Baselines of the clock's leaves for the hour, and now and then the dispersion of its groups. */
export function learnHour(clock: Clock, hour: number, columns: Columns): void {
  const first = firstHourOf(clock.leaves)
  const due = lastDue(hour, first)
  if (Number.isNaN(clock.top.rhoHour) || due > clock.top.rhoHour) {
    learnDispersion(clock, due, columns, learnBaselines(clock, due, columns))
  }
  clock.hour = hour
  clock.isStale = false
  learnBaselines(clock, hour, columns)
  for (const leaf of clock.leaves) {
    leaf.pruneHours(hour - HISTORY_HOURS - 49)
    leaf.changedFrom = Number.NEGATIVE_INFINITY
  }
}

/** Dispersion of the clock's top group and all below. */
function learnDispersion(clock: Clock, hour: number, columns: Columns, pasts: readonly Past[]): void {
  const above = new Map<Node, Quarters>()
  const leaves: Dispersion[] = []
  for (const [i, leaf] of clock.leaves.entries()) {
    const quarters = quartersOf(leaf, pasts[i] as Past, hour, columns, clock.slotOf)
    leaves.push(dispersionOf(quarters, columns.kind))
    for (let node = leaf.parent; leaf !== clock.top && node !== null; node = node === clock.top ? null : node.parent) {
      addQuarters(above, node, quarters)
    }
  }
  const pooled = rhoFrom(together(leaves), presumedRho(columns.kind))
  for (const [i, leaf] of clock.leaves.entries()) leaf.setRho(hour, rhoFrom(leaves[i] as Dispersion, pooled))
  for (const [node, quarters] of above) node.setRho(hour, rhoFrom(dispersionOf(quarters, columns.kind), meanRho(node)))
}

/** Dispersion of the groups above the clocks. */
export function* learnAbove(tree: Tree, hour: number, columns: Columns): Steps<void> {
  const first = firstHourOf(tree.clocks.flatMap(({ leaves }) => leaves))
  const due = lastDue(hour, first)
  if (due <= tree.root.rhoHour) return
  const above = new Map<Node, Quarters>()
  for (const clock of tree.clocks) {
    if (clock.top.parent === null) continue
    const pasts = learnBaselines(clock, due, columns)
    for (const [i, leaf] of clock.leaves.entries()) {
      const quarters = quartersOf(leaf, pasts[i] as Past, due, columns, clock.slotOf)
      for (let node: Node | null = clock.top.parent; node !== null; node = node.parent) addQuarters(above, node, quarters)
    }
    if (!Number.isNaN(clock.hour)) learnBaselines(clock, clock.hour, columns)
    yield
  }
  for (const [node, quarters] of above) node.setRho(due, rhoFrom(dispersionOf(quarters, columns.kind), meanRho(node)))
}

function meanRho(node: Node): Rho {
  const mean = (at: 0 | 1) => node.children.reduce((sum, child) => sum + child.rho[at], 0) / node.children.length
  return [mean(0), mean(1)]
}

function addQuarters(to: Map<Node, Quarters>, node: Node, quarters: Quarters): void {
  const sums = to.get(node) ?? noQuarters()
  to.set(node, sums)
  for (let i = 0; i < QUARTERS; i++) {
    sums.count[i] = (sums.count[i] as number) + (quarters.count[i] as number)
    sums.volume[i] = (sums.volume[i] as number) + (quarters.volume[i] as number)
    sums.expected[i] = (sums.expected[i] as number) + (quarters.expected[i] as number)
  }
}

/** By how much an hour's expectation changes when the hour itself has not taught it: else it would look more usual than it is. */
function ratioWithout(leaf: Leaf, past: Past, minute: number, now: number, kind: Kind, slotOf: SlotOf): number {
  const at = Math.floor(minute / 60)
  const volume = kind === 'share' ? leaf.hours.volumeAt(at) : 1
  return past.without(slotOf(at), now - at, leaf.hours.countAt(at), volume)
}

/** The leaf's quarters of an hour before the hour, as far as minutes show them; each by the level that was predicted for its hour then. */
function quartersOf(leaf: Leaf, past: Past, hour: number, columns: Columns, slotOf: SlotOf): Quarters {
  const quarters = noQuarters()
  const until = (hour - 1) * 60
  const from = until - DISPERSION_DAYS * DAY
  addUp(leaf, columns.count, from, until - from, a, scratch)
  addUp(leaf, columns.volume, from, until - from, b, scratch)
  const begins = leaf.hours.first * 60
  const level = leaf.baseline?.level ?? 1
  const rateAt = ratesOf(leaf, slotOf, columns.kind)
  for (let q = 0; q < QUARTERS; q++) {
    const start = from + q * QUARTER
    if (start < begins || leaf.isRolled(start)) continue
    let x = 0
    let n = 0
    for (let i = q * QUARTER; i < (q + 1) * QUARTER; i++) {
      if (Number.isNaN((a[i] as number) + (b[i] as number))) continue
      x += a[i] as number
      n += b[i] as number
    }
    const exposure = columns.kind === 'share' ? n : QUARTER
    quarters.count[q] = x
    quarters.volume[q] = n
    const then = past.levelAt(Math.floor(start / 60)) / level
    quarters.expected[q] = exposure * rateAt(start + 7) * ratioWithout(leaf, past, start, hour, columns.kind, slotOf) * then
  }
  return quarters
}
