/** A simulator's view of its clients, for tests of quotas. */
export interface Stats {
  readonly requests: number
  readonly byPath: Readonly<Record<string, number>>
  readonly byStatus: Readonly<Record<string, number>>
  /** Bytes of all bodies sent. */
  readonly bytes: number
  /** Parallel answers, at most. */
  readonly maxConcurrency: number
  /** Requests in any rolling window of this length, at most. */
  readonly maxPerSecond: number
  readonly maxPerMinute: number
  readonly maxPerHour: number
  /** Least time from one request to the next, milliseconds; null before the second. */
  readonly smallestGapMs: number | null
}

const WINDOWS = [1000, 60_000, 3_600_000] as const

/** Counts arrivals by a clock given with each; the clock may stand still, and never runs back. */
export class Traffic {
  #requests = 0
  #bytes = 0
  #underWay = 0
  #maxConcurrency = 0
  #smallestGapMs: number | null = null
  readonly #byPath = new Map<string, number>()
  readonly #byStatus = new Map<string, number>()
  #arrivals: number[] = []
  /** By window: index of its oldest arrival, and the most it ever held. */
  readonly #oldest = WINDOWS.map(() => 0)
  readonly #most = WINDOWS.map(() => 0)

  arrived(path: string, atMs: number) {
    this.#requests++
    this.#byPath.set(path, (this.#byPath.get(path) ?? 0) + 1)
    this.#underWay++
    this.#maxConcurrency = Math.max(this.#maxConcurrency, this.#underWay)
    const last = this.#arrivals.at(-1)
    if (last !== undefined) this.#smallestGapMs = Math.min(this.#smallestGapMs ?? Infinity, atMs - last)
    this.#arrivals.push(atMs)
    for (const [number, lengthMs] of WINDOWS.entries()) {
      let oldest = this.#oldest[number] as number
      while ((this.#arrivals[oldest] as number) <= atMs - lengthMs) oldest++
      this.#oldest[number] = oldest
      this.#most[number] = Math.max(this.#most[number] as number, this.#arrivals.length - oldest)
    }
    this.#forget()
  }

  answered(status: number | null, bytes: number) {
    this.#underWay--
    this.#bytes += bytes
    const word = status === null ? 'none' : String(status)
    this.#byStatus.set(word, (this.#byStatus.get(word) ?? 0) + 1)
  }

  stats(): Stats {
    const [maxPerSecond = 0, maxPerMinute = 0, maxPerHour = 0] = this.#most
    return {
      requests: this.#requests,
      byPath: Object.fromEntries(this.#byPath),
      byStatus: Object.fromEntries(this.#byStatus),
      bytes: this.#bytes,
      maxConcurrency: this.#maxConcurrency,
      maxPerSecond,
      maxPerMinute,
      maxPerHour,
      smallestGapMs: this.#smallestGapMs,
    }
  }

  /** Drops arrivals that are in no window any more. */
  #forget() {
    const gone = Math.min(...this.#oldest)
    if (gone < 10_000) return
    this.#arrivals = this.#arrivals.slice(gone)
    for (const number of this.#oldest.keys()) this.#oldest[number] = (this.#oldest[number] as number) - gone
  }
}

/** A vendor's limit over a rolling window: rejects what comes too soon. Rejected requests do not count. */
export class RollingLimit {
  readonly #perWindow: number
  readonly #windowMs: number
  #taken: number[] = []

  /** @param perWindow 0: no limit. */
  constructor(perWindow: number, windowMs: number) {
    this.#perWindow = perWindow
    this.#windowMs = windowMs
  }

  /** @returns 0 when the request is accepted, else the time until the next one would be, milliseconds. */
  take(atMs: number): number {
    if (this.#perWindow === 0) return 0
    this.#taken = this.#taken.filter(takenAtMs => takenAtMs > atMs - this.#windowMs)
    if (this.#taken.length >= this.#perWindow) return (this.#taken[0] as number) + this.#windowMs - atMs
    this.#taken.push(atMs)
    return 0
  }
}
