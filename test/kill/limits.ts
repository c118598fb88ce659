/** What a vendor allows, held to what came to it from all workers together. */
import type { Logged, Simulator } from '../../src/sim/index.ts'

/** As the config of the connector says it. */
export interface Limits {
  readonly perSecond?: number
  readonly perMinute?: number
  readonly perHour?: number
  readonly concurrency?: number
  readonly gapMs?: number
}

export interface Asked {
  readonly atMs: number
  readonly overMs: number | null
}

export interface Break {
  readonly atMs: number
  /** Such as `2 in 1000 ms, 1 allowed`. */
  readonly what: string
}

/**
 * So much later may a request be noticed than the one after it, because the simulators share a process: of the time between two, not of counts, for a client
 * counts a second from when it had the answer.
 */
const NOTICED_MS = 60

/** Every request that was one too many. */
export function breaksOf(requests: readonly Asked[], limits: Limits): Break[] {
  const sorted = requests.toSorted((a, b) => a.atMs - b.atMs)
  const breaks: Break[] = []
  const windows = [
    [limits.perSecond, 1_000],
    [limits.perMinute, 60_000],
    [limits.perHour, 3_600_000],
  ] as const
  for (const [index, { atMs }] of sorted.entries()) {
    for (const [count, lengthMs] of windows) {
      const before = count ? sorted[index - count] : undefined
      if (before !== undefined && atMs - before.atMs < lengthMs)
        breaks.push({ atMs, what: `${(count ?? 0) + 1} in ${atMs - before.atMs} ms, ${count} in ${lengthMs} ms allowed` })
    }
    const gapMs = atMs - (sorted[index - 1]?.atMs ?? -Infinity)
    if (limits.gapMs && gapMs < limits.gapMs - NOTICED_MS)
      breaks.push({ atMs, what: `after ${gapMs} ms, ${limits.gapMs} ms wanted` })
  }
  if (limits.concurrency) {
    let underWay: Asked[] = []
    for (const request of sorted) {
      underWay = [...underWay.filter(({ overMs }) => (overMs ?? Infinity) > request.atMs), request]
      if (underWay.length > limits.concurrency)
        breaks.push({ atMs: request.atMs, what: `${underWay.length} at once, ${limits.concurrency} allowed` })
    }
  }
  return breaks
}

/** Keeps what a simulator logs, by what the vendor counts it by. */
export class Counter {
  readonly #log: readonly Logged[]
  readonly #keyOf: (request: Logged) => string | null
  readonly #byKey = new Map<string, Logged[]>()
  #last: Logged | null = null

  /** @param keyOf null: the vendor does not count it. */
  constructor(simulator: Pick<Simulator, 'log'>, keyOf: (request: Logged) => string | null) {
    this.#log = simulator.log
    this.#keyOf = keyOf
  }

  /** To be called more often than the log forgets. */
  look(): void {
    const from = this.#last === null ? 0 : this.#log.lastIndexOf(this.#last) + 1
    if (this.#last !== null && from === 0) throw new Error('the simulator has forgotten requests that were not counted yet')
    for (const request of this.#log.slice(from)) {
      this.#last = request
      const key = this.#keyOf(request)
      if (key === null) continue
      const of = this.#byKey.get(key)
      if (of === undefined) this.#byKey.set(key, [request])
      else of.push(request)
    }
  }

  requests(): ReadonlyMap<string, readonly Asked[]> {
    return this.#byKey
  }
}
