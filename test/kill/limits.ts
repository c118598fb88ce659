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

/** When a request came, and when its answer was over, as it was noticed; null: it is under way. */
export interface Asked {
  readonly atMs: number
  readonly overMs: number | null
}

/** The time between two requests is counted from start to start, and one may be longer on its way than the next. */
const WAY_MS = 300

export interface Break {
  readonly atMs: number
  /** Such as `2 in 900 ms, 1 in 1000 ms allowed`. */
  readonly what: string
}

/**
 * Every request that was one too many beyond doubt.
 *
 * @param earliest What is noticed at a time has happened after this one.
 */
export function breaksOf(requests: readonly Asked[], limits: Limits, earliest: (atMs: number) => number = atMs => atMs): Break[] {
  const sorted = requests.toSorted((a, b) => a.atMs - b.atMs)
  const breaks: Break[] = []
  const windows = [
    [limits.perSecond, 1_000],
    [limits.perMinute, 60_000],
    [limits.perHour, 3_600_000],
  ] as const
  let underWay: Asked[] = []
  for (const [index, { atMs, overMs }] of sorted.entries()) {
    for (const [count = 0, lengthMs] of windows) {
      const before = count === 0 ? undefined : sorted[index - count]
      const spanMs = before === undefined ? Infinity : atMs - earliest(before.atMs)
      if (spanMs < lengthMs) breaks.push({ atMs, what: `${count + 1} in ${spanMs} ms, ${count} in ${lengthMs} ms allowed` })
    }
    const last = sorted[index - 1]
    const gapMs = last === undefined ? Infinity : atMs - earliest(last.atMs)
    if (limits.gapMs && gapMs < limits.gapMs - WAY_MS) breaks.push({ atMs, what: `after ${gapMs} ms, ${limits.gapMs} ms wanted` })
    underWay = underWay.filter(other => other.overMs === null || earliest(other.overMs) > atMs)
    underWay.push({ atMs, overMs })
    if (limits.concurrency && underWay.length > limits.concurrency)
      breaks.push({ atMs, what: `${underWay.length} at once, ${limits.concurrency} allowed` })
  }
  return breaks
}

const TICK_MS = 5

/**
 * When this process, in which the simulators run, had no time to notice anything: what it notices just after that may have happened at any moment of it.
 * So a busy machine is not taken for a worker that asks too much.
 */
export class Stalls {
  readonly #stalls: { readonly fromMs: number; readonly untilMs: number }[] = []
  readonly #timer: NodeJS.Timeout
  #tickMs = Date.now()

  constructor() {
    this.#timer = setInterval(() => this.tick(Date.now()), TICK_MS)
  }

  tick(nowMs: number): void {
    if (nowMs - this.#tickMs > 2 * TICK_MS) this.#stalls.push({ fromMs: this.#tickMs, untilMs: nowMs })
    this.#tickMs = nowMs
  }

  /** What is noticed at this time has happened after that. */
  earliest(atMs: number): number {
    let low = 0
    let high = this.#stalls.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#stalls[middle]?.untilMs ?? 0) + 2 * TICK_MS < atMs) low = middle + 1
      else high = middle
    }
    return Math.min(this.#stalls[low]?.fromMs ?? Infinity, atMs - 2 * TICK_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
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
