/** How long source partitions were silent, and who had which task when, told by what stands on the topics. */
import type { IndependentRecord } from '../support/independent/read-topics.ts'

export interface Gap {
  readonly place: string
  readonly fromMs: number
  readonly untilMs: number
}

/** `connector/stream/scope`, as Progress names it. */
export function placeOf(of: { readonly connector: string; readonly stream: string; readonly scope: string }): string {
  return `${of.connector}/${of.stream}/${of.scope}`
}

/** Of every place, the times between two commits, and those from `fromMs` to the first and from the last to `untilMs`. */
export function gapsOf(
  records: readonly IndependentRecord[],
  of: { readonly progress: string; readonly places: readonly string[]; readonly fromMs: number; readonly untilMs: number },
): Gap[] {
  const commits = new Map(of.places.map(place => [place, [] as number[]]))
  for (const { topic, value } of records) {
    if (topic !== of.progress || value === null) continue
    const atMs = value['committed_at'] as number
    if (of.fromMs < atMs && atMs < of.untilMs) commits.get(placeOf(value as never))?.push(atMs)
  }
  return [...commits].flatMap(([place, times]) => {
    const all = [of.fromMs, ...times.toSorted((a, b) => a - b), of.untilMs]
    return all.slice(1).map((untilMs, index) => ({ place, fromMs: all[index] as number, untilMs }))
  })
}

/** A task runs on a worker from then on, as the status topic tells it. */
export interface Placed {
  readonly atMs: number
  readonly task: string
  readonly worker: string
}

export function ownerAt(placed: readonly Placed[], task: string, atMs: number): string | null {
  return placed.findLast(each => each.task === task && each.atMs <= atMs)?.worker ?? null
}

/** How often each task came to another worker in that time. */
export function movesIn(placed: readonly Placed[], fromMs: number, untilMs: number): ReadonlyMap<string, number> {
  const moves = new Map<string, number>()
  const owner = new Map<string, string>()
  for (const { atMs, task, worker } of placed) {
    if (fromMs <= atMs && atMs < untilMs && owner.get(task) !== worker) moves.set(task, (moves.get(task) ?? 0) + 1)
    owner.set(task, worker)
  }
  return moves
}

/** Median, 95th of a hundred, and longest, in ms. */
export function figuresOf(gaps: readonly number[]): { count: number; medianMs: number; p95Ms: number; maxMs: number } {
  const sorted = gaps.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { count: sorted.length, medianMs: at(0.5), p95Ms: at(0.95), maxMs: at(1) }
}
