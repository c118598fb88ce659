/**
 * The groups of one rule and one vendor: channels below bots below accounts below the vendor, as far as the rule's `by` goes. Leaves hold what was counted;
 * every group holds its last two hours, minute by minute, as the detector wants them. A parent's expectation is the sum of its leaves', so a change of the
 * mix (a campaign on the channel with the most transfers) is no rise of the parent.
 */
import { type Recent, SPAN, WHOLE } from './detector.ts'
import type { Rho } from './dispersion.ts'
import { Hours } from './hours.ts'
import type { Baseline, SlotOf } from './baseline.ts'
import type { Delays } from './delay.ts'
import type { Minutes } from './minutes.ts'
import type { Alert } from '../records.ts'
import type { Level, Rule } from '../rules.ts'

export type Labels = Readonly<Partial<Record<Level, string>>>

/** An alert from its first record on; minutes since the epoch. */
export interface Episode {
  alert: Alert
  readonly node: Node
  readonly start: number
  /** First minute behind it; null while it fires. */
  end: number | null
}

/** A group. Lists are in the order of their labels, so that sums do not depend on who came first. */
export class Node {
  readonly depth: number
  readonly labels: Labels
  readonly parent: Node | null
  readonly children: Node[] = []
  /** All below, or the node itself. */
  readonly leaves: Leaf[] = []
  /** Alerts of this very group that still matter. */
  episodes: Episode[] = []
  rho: Rho
  /** The hour for which `rho` was learnt; NaN: it is presumed. */
  rhoHour = Number.NaN
  /** Since it was last written for the process after this one. */
  isRhoChanged = false
  /** `recent` is of the minutes `[end − SPAN, end)`; NaN: nothing yet. */
  end = Number.NaN
  /** All of it is judged by each of these minutes. */
  isWhole = false
  readonly recent: Recent = {
    count: new Float64Array(SPAN),
    volume: new Float64Array(SPAN),
    expected: new Float64Array(SPAN),
    due: new Float64Array(SPAN),
    judged: new Uint8Array(SPAN),
  }

  constructor(parent: Node | null, labels: Labels, rho: Rho) {
    this.parent = parent
    this.depth = parent === null ? 0 : parent.depth + 1
    this.labels = labels
    this.rho = rho
  }

  setRho(hour: number, rho: Rho): void {
    this.rho = rho
    this.rhoHour = hour
    this.isRhoChanged = true
  }

  /** Makes `recent` end at the minute; what is new holds zeros. */
  moveTo(end: number): void {
    const step = end - this.end
    if (step <= 0) return
    for (const values of Object.values(this.recent) as (Float64Array | Uint8Array)[]) {
      if (step < SPAN) {
        values.copyWithin(0, step)
        values.fill(0, SPAN - step)
      } else values.fill(0)
    }
    this.end = end
  }

  /** Sums the children anew over `[from, end)`, and finds of every minute which part of them is judged by it. */
  addUp(from: number): void {
    const { count, volume, expected, due } = this.recent
    const first = Math.max(0, from - (this.end - SPAN))
    count.fill(0, first)
    volume.fill(0, first)
    expected.fill(0, first)
    due.fill(0, first)
    for (const child of this.children) {
      const ahead = this.end - child.end
      // Minute i of the parent is minute i + ahead of the child.
      for (let i = Math.max(first, -ahead); i + ahead < SPAN && i < SPAN; i++) {
        count[i] = (count[i] as number) + (child.recent.count[i + ahead] as number)
        volume[i] = (volume[i] as number) + (child.recent.volume[i + ahead] as number)
        expected[i] = (expected[i] as number) + (child.recent.expected[i + ahead] as number)
        due[i] = (due[i] as number) + (child.recent.due[i + ahead] as number)
      }
    }
    this.#weighJudged()
  }

  /** A child of which no minute is judged has no say: its vendor does not tell, or nothing of it was read. */
  #weighJudged(): void {
    const { judged } = this.recent
    this.isWhole = this.children.every(child => child.isWhole && child.end === this.end)
    if (this.isWhole) {
      judged.fill(WHOLE)
      return
    }
    const weights = this.children.map(({ recent }) => sum(recent.due) / Math.max(1, sum(recent.judged)))
    const all = Math.max(Number.MIN_VALUE, sum(weights))
    for (let i = 0; i < SPAN; i++) {
      const parts = this.children.map((child, c) => (weights[c] as number) * (child.recent.judged[i + this.end - child.end] ?? 0))
      judged[i] = Math.round(sum(parts) / all)
    }
  }

  /** Itself and all below. */
  *downwards(): Generator<Node> {
    yield this
    for (const child of this.children) yield* child.downwards()
  }

  /** Itself and all above. */
  *upwards(): Generator<Node> {
    yield this
    if (this.parent !== null) yield* this.parent.upwards()
  }
}

/** A smallest group. */
export class Leaf extends Node {
  readonly hours = new Hours()
  readonly series: Minutes[] = []
  readonly #seriesKeys: string[] = []
  baseline: Baseline | null = null
  /** The first minute that changed since `recent` was made; Infinity: none. */
  changedFrom = Number.NEGATIVE_INFINITY
  /** The mark for which `recent` allows for what is not known yet, the version of what was learnt of delays, and whether everything was known at once by that. */
  knownUntil = Number.NaN
  knownVersion = Number.NaN
  isKnownAtOnce = true
  /** Minutes of the last hours that were changed too late to be judged. */
  readonly late = new Set<number>()
  /** `late`, since it was last written for the process after this one. */
  isLateChanged = false
  /** Hours that count what no minutes show, because they were rolled up: they teach what is usual, and are not judged. */
  readonly rolled = new Set<number>()
  /** The minute behind the newest of them. */
  rolledUntil = Number.NEGATIVE_INFINITY
  #prunedUntil = Number.NEGATIVE_INFINITY

  /** An hour of one of its series was rolled up with other counts than its minutes show. */
  addRolled(hour: number, count: number, volume: number): void {
    this.hours.add(hour, count, volume)
    this.rolled.add(hour)
    this.rolledUntil = Math.max(this.rolledUntil, (hour + 1) * 60)
  }

  isRolled(minute: number): boolean {
    return minute < this.rolledUntil && this.rolled.has(Math.floor(minute / 60))
  }

  /** What is learnt of hours before this one is forgotten, by whole weeks. */
  pruneHours(hour: number): void {
    if (hour <= this.#prunedUntil) return
    this.#prunedUntil = hour
    this.hours.prune(hour)
    for (const rolled of this.rolled) if (rolled < hour) this.rolled.delete(rolled)
  }

  addSeries(key: string, minutes: Minutes): void {
    insert(this.#seriesKeys, this.series, key, minutes)
  }
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}

/** The first hour of which any of them knows something; Infinity: none does. */
export function firstHourOf(leaves: readonly Leaf[]): number {
  return leaves.reduce((first, { hours }) => Math.min(first, hours.first), Number.POSITIVE_INFINITY)
}

/** Puts the item where its key belongs. */
export function insert<T>(keys: string[], items: T[], key: string, item: T): void {
  let at = 0
  while (at < keys.length && (keys[at] as string) < key) at++
  keys.splice(at, 0, key)
  items.splice(at, 0, item)
}

/** What is read together: a bot, or the smallest group where that spans bots. Minutes since the epoch. */
export interface Clock {
  readonly key: string
  readonly account: string
  readonly top: Node
  readonly slotOf: SlotOf
  readonly delays: Delays
  /** Up to where each of its bots has been read. */
  readonly marks: Map<string, number>
  readonly leaves: Leaf[]
  /** Up to where all of it has been read; null: nothing is known. */
  mark: number | null
  /** Up to where it has been judged; null: not yet. */
  judged: number | null
  /** The hour for which baselines stand. */
  hour: number
  /** What was learnt for `hour` has changed since. */
  isStale: boolean
  /** Ranges of minutes that became known too late. */
  late: [from: number, until: number][]
  /** `late`, since it was last written for the process after this one. */
  isLateChanged: boolean
  /** Count and volume by minute as of `mark`, newest last. */
  seen: { mark: number; count: Float64Array; volume: Float64Array } | null
  /** Where `seen` is not what is counted now, as it was last written for the process after this one. */
  seenBefore: string | null
  /** The record of this clock that was judged further than its bots are, as written last; null: none. */
  aheadBefore: number | null
}

/** Whether `recent` allows for delays otherwise than is known by now. */
export function isAged({ mark, delays }: Clock, leaf: Leaf): boolean {
  if (delays.isTrivial && leaf.isKnownAtOnce) return false
  return leaf.knownUntil !== mark || leaf.knownVersion !== delays.version
}

/** The minute became known too late to be judged. */
export function isUnjudged({ late }: Clock, leaf: Leaf, minute: number): boolean {
  return leaf.late.has(minute) || late.some(([from, until]) => minute >= from && minute < until)
}

export class Tree {
  readonly rule: Rule
  readonly root: Node
  readonly clocks: Clock[] = []
  readonly #clockKeys: string[] = []
  readonly #nodes = new Map<string, { node: Node; childKeys: string[]; leafKeys: string[] }>()
  readonly #rho: Rho
  constructor(rule: Rule, vendor: string, rho: Rho) {
    this.rule = rule
    this.#rho = rho
    this.root = rule.by.length === 1 ? new Leaf(null, { vendor }, rho) : new Node(null, { vendor }, rho)
    if (this.root instanceof Leaf) this.root.leaves.push(this.root)
    this.#nodes.set(keyOf([vendor]), { node: this.root, childKeys: [], leafKeys: [] })
  }

  /** The smallest group of the labels; made, with all above it, where it is new. */
  leafOf(labels: Readonly<Record<Level, string>>): Leaf {
    const { by } = this.rule
    const values = by.map(level => labels[level])
    let node = this.root
    for (let depth = 1; depth < by.length; depth++) {
      const key = keyOf(values.slice(0, depth + 1))
      const known = this.#nodes.get(key)
      if (known !== undefined) {
        node = known.node
        continue
      }
      const parent = node
      const own = Object.fromEntries(by.slice(0, depth + 1).map(level => [level, labels[level]])) as Labels
      node = depth === by.length - 1 ? new Leaf(parent, own, this.#rho) : new Node(parent, own, this.#rho)
      this.#nodes.set(key, { node, childKeys: [], leafKeys: [] })
      insert(this.#entryOf(parent).childKeys, parent.children, key, node)
      if (node instanceof Leaf) for (const each of node.upwards()) insert(this.#entryOf(each).leafKeys, each.leaves, key, node)
    }
    return node as Leaf
  }

  /** The group of an alert; null where there is none (the rule was changed). */
  find(values: readonly string[]): Node | null {
    return this.#nodes.get(keyOf(values))?.node ?? null
  }

  /** The clock of a smallest group. */
  clockOf(leaf: Leaf, make: (account: string) => { slotOf: SlotOf; delays: Delays }): Clock {
    const depth = Math.min(leaf.depth, this.rule.by.indexOf('bot_id') < 0 ? leaf.depth : this.rule.by.indexOf('bot_id'))
    let top: Node = leaf
    while (top.depth > depth) top = top.parent as Node
    const key = keyOf(Object.values(top.labels))
    const at = this.#clockKeys.indexOf(key)
    let clock = this.clocks[at]
    if (clock === undefined) {
      clock = {
        key,
        account: top.labels.account ?? '',
        top,
        ...make(top.labels.account ?? ''),
        marks: new Map(),
        leaves: top.leaves,
        mark: null,
        judged: null,
        hour: Number.NaN,
        isStale: false,
        late: [],
        isLateChanged: false,
        seen: null,
        seenBefore: null,
        aheadBefore: null,
      }
      insert(this.#clockKeys, this.clocks, key, clock)
    }
    return clock
  }

  #entryOf(node: Node): { childKeys: string[]; leafKeys: string[] } {
    return this.#nodes.get(keyOf(Object.values(node.labels))) as { childKeys: string[]; leafKeys: string[] }
  }
}

const keyOf = (values: readonly string[]) => JSON.stringify(values)
