/**
 * The table of minutes: one cell a series and minute that anything was counted in, in typed arrays behind an open-addressing index.
 *
 * A cell costs 77 to 154 bytes (the table doubles), index included. Its number stays the same while the table grows, so that the list of
 * changed cells can hold numbers. Cells before the horizon are not kept: what is counted there is told to the caller and changes nothing.
 */
import { COUNTS, NO_MINUTE } from './contribution.ts'

export interface CellTable {
  /** The number of the cell, made with zeros when new; -1 when the minute is before the horizon or none at all. */
  at(series: number, minute: number): number
  /** The number of the cell, or -1 where there is none. */
  find(series: number, minute: number): number
  /** Adds to one count of a cell and marks the cell as changed. */
  add(cell: number, count: number, by: number): void
  addDuration(cell: number, byMs: number): void
  /** Cells changed since `clean`, each once. Valid until the next change. */
  dirty(): Int32Array
  clean(): void
  /** Counts this publication of a cell; returns its revision, which rises strictly in the life of the topic. */
  raiseRevision(cell: number): number
  /** Puts a cell as its topic has it; not a change. */
  restore(cell: number, revision: number, counts: ArrayLike<number>, durationMs: number): void
  seriesOf(cell: number): number
  minuteOf(cell: number): number
  count(cell: number, count: number): number
  durationMs(cell: number): number
  revision(cell: number): number
  /** Cells before this minute leave the table, and none comes in again. Only with no cell changed: it renumbers them. */
  forgetBefore(minute: number): void
  readonly size: number
  readonly bytes: number
}

export function createCells(initial = 1024): CellTable {
  let capacity = initial
  let mask = capacity * 2 - 1
  let index = new Int32Array(capacity * 2) // number of the cell + 1; 0 is empty
  let serieses = new Int32Array(capacity)
  let minutes = new Int32Array(capacity)
  let revisions = new Int32Array(capacity)
  let counts = new Int32Array(capacity * COUNTS)
  let durations = new Float64Array(capacity)
  let changed = new Uint8Array(capacity)
  let size = 0
  let horizon = NO_MINUTE
  let dirtyCells = new Int32Array(1024)
  let dirtySize = 0

  function slotOf(series: number, minute: number): number {
    let h = Math.imul(series, 0x9e3779b1) ^ Math.imul(minute, 0x85ebca6b)
    h ^= h >>> 15
    h = Math.imul(h, 0x2c1b3c6d)
    h ^= h >>> 13
    return h & mask
  }

  /** The cell, or -1 - slot where it would go. */
  function locate(series: number, minute: number): number {
    let slot = slotOf(series, minute)
    for (;;) {
      const cell = (index[slot] as number) - 1
      if (cell < 0) return -1 - slot
      if (minutes[cell] === minute && serieses[cell] === series) return cell
      slot = (slot + 1) & mask
    }
  }

  function at(series: number, minute: number): number {
    if (minute < horizon || minute === NO_MINUTE) return -1
    const found = locate(series, minute)
    if (found >= 0) return found
    if (size === capacity) {
      resize(capacity * 2)
      return at(series, minute)
    }
    const cell = size++
    index[-1 - found] = cell + 1
    serieses[cell] = series
    minutes[cell] = minute
    return cell
  }

  function touch(cell: number): void {
    if (changed[cell] === 1) return
    changed[cell] = 1
    if (dirtySize === dirtyCells.length) dirtyCells = grown(dirtyCells, dirtySize * 2)
    dirtyCells[dirtySize++] = cell
  }

  function resize(to: number): void {
    capacity = to
    serieses = grown(serieses, to)
    minutes = grown(minutes, to)
    revisions = grown(revisions, to)
    counts = grown(counts, to * COUNTS)
    durations = grown(durations, to)
    changed = grown(changed, to)
    reindex()
  }

  function reindex(): void {
    index = new Int32Array(capacity * 2)
    mask = index.length - 1
    for (let cell = 0; cell < size; cell++) {
      let slot = slotOf(serieses[cell] as number, minutes[cell] as number)
      while (index[slot] !== 0) slot = (slot + 1) & mask
      index[slot] = cell + 1
    }
  }

  return {
    at,
    find: (series, minute) => Math.max(-1, locate(series, minute)),
    add(cell, count, by) {
      counts[cell * COUNTS + count] = (counts[cell * COUNTS + count] as number) + by
      touch(cell)
    },
    addDuration(cell, byMs) {
      durations[cell] = (durations[cell] as number) + byMs
      touch(cell)
    },
    dirty: () => dirtyCells.subarray(0, dirtySize),
    clean() {
      for (let i = 0; i < dirtySize; i++) changed[dirtyCells[i] as number] = 0
      dirtySize = 0
    },
    raiseRevision(cell) {
      revisions[cell] = (revisions[cell] as number) + 1
      return revisions[cell]
    },
    restore(cell, revision, values, durationMs) {
      revisions[cell] = revision
      durations[cell] = durationMs
      for (let count = 0; count < COUNTS; count++) counts[cell * COUNTS + count] = values[count] ?? 0
    },
    seriesOf: cell => serieses[cell] as number,
    minuteOf: cell => minutes[cell] as number,
    count: (cell, count) => counts[cell * COUNTS + count] as number,
    durationMs: cell => durations[cell] as number,
    revision: cell => revisions[cell] as number,
    forgetBefore(minute) {
      if (minute <= horizon) return
      horizon = minute
      let kept = 0
      for (let cell = 0; cell < size; cell++) {
        if ((minutes[cell] as number) < horizon) continue
        if (kept < cell) {
          serieses[kept] = serieses[cell] as number
          minutes[kept] = minutes[cell] as number
          revisions[kept] = revisions[cell] as number
          durations[kept] = durations[cell] as number
          counts.copyWithin(kept * COUNTS, cell * COUNTS, (cell + 1) * COUNTS)
        }
        kept++
      }
      if (kept === size) return
      size = kept
      let fitting = capacity
      while (fitting > initial && fitting / 4 >= size) fitting /= 2
      revisions.fill(0, size)
      durations.fill(0, size)
      counts.fill(0, size * COUNTS)
      resize(fitting)
    },
    get size() {
      return size
    },
    get bytes() {
      return [index, serieses, minutes, revisions, counts, durations, changed, dirtyCells].reduce(
        (sum, a) => sum + a.byteLength,
        0,
      )
    },
  }
}

/** A copy of another length, cut or filled with zeros. */
export function grown<T extends Int32Array | Float64Array | Uint8Array>(array: T, length: number): T {
  const copy = new (array.constructor as new (length: number) => T)(length)
  copy.set(length < array.length ? array.subarray(0, length) : array)
  return copy
}
