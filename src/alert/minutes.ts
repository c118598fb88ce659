/**
 * The minutes of one series, held exactly for as long as they may be replaced: absolute values, the newest counts. A day of a measure takes half a byte a
 * minute while its values are small, and as much as they need when they are not.
 */

export const MINUTE_MS = 60_000
const DAY = 1440

/** So many days of a series are held. A day that had to go is settled: what comes for it later is not taken. */
const MOST_DAYS = 15

/** One measure over one day. `null` (the vendor does not tell) is the highest code of the width; NaN outside of this class. */
class Column {
  #width: 4 | 8 | 16 | 64 = 4
  #data: Uint8Array | Uint16Array | Float64Array = new Uint8Array(DAY / 2)

  /** NaN: the vendor does not tell. */
  at(minute: number): number {
    const data = this.#data
    if (this.#width === 64) return data[minute] as number
    const code = this.#width === 4 ? ((data[minute >> 1] as number) >> ((minute & 1) << 2)) & 15 : (data[minute] as number)
    return code === 2 ** this.#width - 1 ? Number.NaN : code
  }

  set(minute: number, value: number): void {
    while (!this.#holds(value)) this.#widen()
    const code = Number.isNaN(value) && this.#width !== 64 ? 2 ** this.#width - 1 : value
    if (this.#width !== 4) {
      this.#data[minute] = code
      return
    }
    const shift = (minute & 1) << 2
    this.#data[minute >> 1] = ((this.#data[minute >> 1] as number) & (0xf0 >> shift)) | (code << shift)
  }

  #holds(value: number): boolean {
    if (this.#width === 64 || Number.isNaN(value)) return true
    return Number.isInteger(value) && value >= 0 && value < 2 ** this.#width - 1
  }

  #widen(): void {
    const values = Array.from({ length: DAY }, (_, minute) => this.at(minute))
    this.#width = this.#width === 4 ? 8 : this.#width === 8 ? 16 : 64
    this.#data = this.#width === 8 ? new Uint8Array(DAY) : this.#width === 16 ? new Uint16Array(DAY) : new Float64Array(DAY)
    for (let minute = 0; minute < DAY; minute++) this.set(minute, values[minute] as number)
  }
}

/** Minutes are counted from the epoch: `Math.floor(ms / MINUTE_MS)`. */
export class Minutes {
  readonly #measures: number
  /** In order of their last change. */
  readonly #days = new Map<number, (Column | undefined)[]>()
  readonly #settled = new Set<number>()

  constructor(measures: number) {
    this.#measures = measures
  }

  /** 0 where nothing was put, NaN where the vendor does not tell. */
  at(minute: number, measure: number): number {
    const day = Math.floor(minute / DAY)
    return this.#days.get(day)?.[measure]?.at(minute - day * DAY) ?? 0
  }

  /** Fills `out` with the values from `minute` on, as `at` returns them. */
  read(minute: number, measure: number, out: Float64Array, length: number): void {
    for (let i = 0; i < length; ) {
      const day = Math.floor((minute + i) / DAY)
      const until = Math.min(length, (day + 1) * DAY - minute)
      const column = this.#days.get(day)?.[measure]
      if (column === undefined) out.fill(0, i, until)
      else for (let at = i; at < until; at++) out[at] = column.at(minute + at - day * DAY)
      i = until
    }
  }

  /** Whether the minute is held exactly and may be replaced. */
  isOpen(minute: number): boolean {
    return !this.#settled.has(Math.floor(minute / DAY))
  }

  /** @param value A count, 0 or more; NaN: the vendor does not tell. Only for minutes that are open. */
  set(minute: number, measure: number, value: number): void {
    const day = Math.floor(minute / DAY)
    let columns = this.#days.get(day)
    if (columns === undefined) {
      if (value === 0) return
      columns = Array.from({ length: this.#measures })
    } else if (value === 0 && columns[measure] === undefined) return
    // The Map's order is the order of change; most changes are in the day that changed last.
    this.#days.delete(day)
    this.#days.set(day, columns)
    const column = (columns[measure] ??= new Column())
    column.set(minute - day * DAY, value)
  }

  /** Lets the days go that have not changed for longest, while there are too many; none that begins at `keepFrom` or later. */
  prune(keepFrom: number): void {
    for (const day of this.#days.keys()) {
      if (this.#days.size <= MOST_DAYS) return
      if (day * DAY >= keepFrom) continue
      this.#days.delete(day)
      this.#settled.add(day)
    }
  }
}
