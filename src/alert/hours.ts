/** What was counted hour by hour: of a group, which is what baselines are made of, and of a series whose minutes were rolled up. */

export const HOUR_MS = 3_600_000
const WEEK = 168

/** The measure and its volume, over minutes in which the vendor tells both. Hours are counted from the epoch: `Math.floor(ms / HOUR_MS)`. */
export class Hours {
  readonly #weeks = new Map<number, Float64Array>()
  /** The first hour in which anything was counted; Infinity: none. */
  first = Number.POSITIVE_INFINITY

  add(hour: number, count: number, volume: number): void {
    if (count === 0 && volume === 0) return
    const week = Math.floor(hour / WEEK)
    let cells = this.#weeks.get(week)
    if (cells === undefined) this.#weeks.set(week, (cells = new Float64Array(2 * WEEK)))
    const at = 2 * (hour - week * WEEK)
    cells[at] = (cells[at] as number) + count
    cells[at + 1] = (cells[at + 1] as number) + volume
    if (hour < this.first) this.first = hour
  }

  countAt(hour: number): number {
    const week = Math.floor(hour / WEEK)
    return this.#weeks.get(week)?.[2 * (hour - week * WEEK)] ?? 0
  }

  volumeAt(hour: number): number {
    const week = Math.floor(hour / WEEK)
    return this.#weeks.get(week)?.[2 * (hour - week * WEEK) + 1] ?? 0
  }

  /** Forgets whole weeks before the hour. */
  prune(hour: number): void {
    for (const week of this.#weeks.keys()) if ((week + 1) * WEEK <= hour) this.#weeks.delete(week)
  }
}

/** Weeks of hour points that are held: more than any baseline looks back. */
const POINT_WEEKS = 8

/** The hours of one series that came as points: absolute values, the newest counts. Those of the newest eight weeks are held. */
export class HourPoints {
  readonly #width: number
  /** By week: whether there is a point, and its measures. */
  readonly #weeks = new Map<number, Float64Array>()
  #newest = Number.NEGATIVE_INFINITY

  constructor(measures: number) {
    this.#width = 1 + measures
  }

  has(hour: number): boolean {
    const week = Math.floor(hour / WEEK)
    return this.#weeks.get(week)?.[(hour - week * WEEK) * this.#width] === 1
  }

  /** Of an hour that is there; NaN: the vendor does not tell. */
  at(hour: number, measure: number): number {
    const week = Math.floor(hour / WEEK)
    return this.#weeks.get(week)?.[(hour - week * WEEK) * this.#width + 1 + measure] ?? 0
  }

  /** The first hour that is still held. */
  get from(): number {
    return (this.#newest - POINT_WEEKS + 1) * WEEK
  }

  /** @returns whether it is held: it is not older than eight weeks. */
  set(hour: number, values: readonly number[]): boolean {
    const week = Math.floor(hour / WEEK)
    if (week <= this.#newest - POINT_WEEKS) return false
    let cells = this.#weeks.get(week)
    if (cells === undefined) this.#weeks.set(week, (cells = new Float64Array(WEEK * this.#width)))
    const at = (hour - week * WEEK) * this.#width
    cells[at] = 1
    cells.set(values, at + 1)
    if (week > this.#newest) {
      this.#newest = week
      for (const old of this.#weeks.keys()) if (old <= week - POINT_WEEKS) this.#weeks.delete(old)
    }
    return true
  }
}
