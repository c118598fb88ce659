/**
 * Which group is told of a rise: the highest that explains it. A rise of one channel is that channel's, however many groups above it are raised by it; a rise that
 * the other channels share is the bot's, also where no channel would be sure of it alone.
 */
import { type Kind, SPAN, spreadOf, WHOLE, type Window } from './detector.ts'
import { rhoBy } from './dispersion.ts'
import type { Leaf, Node } from './tree.ts'

/**
 * The rest of a group shares a rise where half of the rise explains its counts better than the usual rate does, by so much log-likelihood. Below a group that was found
 * less is asked, because its largest part was taken out and the rest looks calmer than it is; above it, where nothing was found, twenty to one.
 */
const SHARED_BELOW = 1.5
const SHARED_ABOVE = 3

/** Minutes since the epoch, half-open. */
export interface Range {
  readonly from: number
  readonly until: number
}

export interface Sums {
  readonly count: number
  readonly volume: number
  readonly expected: number
  /** Expected once all is known. */
  readonly due: number
}

export function rangeOf(node: Node, window: Pick<Window, 'from' | 'until'>): Range {
  return { from: node.end - SPAN + window.from, until: node.end - SPAN + window.until }
}

/** What the group holds of the range, of minutes that may be judged. */
export function held(node: Node, { from, until }: Range): Sums {
  const first = node.end - SPAN
  let count = 0
  let volume = 0
  let expected = 0
  let due = 0
  for (let i = Math.max(0, from - first); i < Math.min(SPAN, until - first); i++) {
    count += node.recent.count[i] as number
    volume += node.recent.volume[i] as number
    expected += node.recent.expected[i] as number
    due += node.recent.due[i] as number
  }
  return { count, volume, expected, due }
}

/** How many minutes of the range the group is judged by, at least one. */
export function judgedMinutes(node: Node, { from, until }: Range): number {
  const first = node.end - SPAN
  let sum = 0
  for (let i = Math.max(0, from - first); i < Math.min(SPAN, until - first); i++) sum += node.recent.judged[i] as number
  return Math.max(1, sum / WHOLE)
}

const minus = (all: Sums, part: Sums): Sums => ({
  count: all.count - part.count,
  volume: all.volume - part.volume,
  expected: all.expected - part.expected,
  due: all.due - part.due,
})

/** Squared relative error of the group's expectation: its leaves' errors are their own. */
export function doubtOf(node: Node, slotOf: (leaf: Leaf) => number): number {
  let variance = 0
  let sum = 0
  for (const leaf of node.leaves) {
    if (leaf.baseline === null) continue
    let expected = 0
    for (let i = SPAN >> 1; i < SPAN; i++) expected += leaf.recent.expected[i] as number
    variance += expected ** 2 * (leaf.baseline.doubt[slotOf(leaf)] as number)
    sum += expected
  }
  return sum > 0 ? variance / sum ** 2 : 0
}

/** The group to tell, given one whose window was unusual. */
export function choose(found: Node, range: Range, kind: Kind): Node {
  const { count, expected } = held(found, range)
  // Half of the excess: the part that was seen first is raised by more than the others.
  const ratio = 1 + (count / expected - 1) / 2
  const isShared = (node: Node, rest: Sums, limit: number) => {
    if (rest.count <= rest.expected || rest.count < 2) return false
    const spread = spreadOf(kind, rest, rhoBy(node.rho)(judgedMinutes(node, range)))
    return (rest.count * Math.log(ratio) - (ratio - 1) * rest.expected) / spread > limit
  }

  let node = found
  for (let parent = node.parent; parent !== null; parent = parent.parent) {
    if (parent.children.length > 1 && isShared(parent, minus(held(parent, range), held(node, range)), SHARED_ABOVE)) node = parent
  }
  if (node !== found) return node

  while (node.children.length > 0) {
    const [first] = node.children.map(child => ({ child, sums: held(child, range) })).sort(byExcess)
    if (first === undefined) break
    if (node.children.length > 1 && isShared(node, minus(held(node, range), first.sums), SHARED_BELOW)) break
    node = first.child
  }
  return node
}

/** Largest excess first; where equal, in the order of the labels, which sorting keeps. */
export function byExcess(a: { sums: Sums }, b: { sums: Sums }): number {
  return b.sums.count - b.sums.expected - (a.sums.count - a.sums.expected)
}
