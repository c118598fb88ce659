/** What a group counted, hour by hour: the measure and its volume, over minutes in which the vendor tells both. What baselines are made of. */

export const HOUR_MS = 3_600_000
const WEEK = 168

/** Hours are counted from the epoch: `Math.floor(ms / HOUR_MS)`. */
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
