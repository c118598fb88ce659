/**
 * The table of counts: one cell a series and bucket (a minute, an hour or a day: `buckets.ts`) that anything was counted in, in typed arrays behind an
 * open-addressing index.
 *
 * A cell costs 77 to 154 bytes (the table doubles), index included. Its number stays the same until it is removed or the table shrinks, so that lists of
 * cells can hold numbers. The number of a removed cell is given to a new one.
 */
import type { Column } from './checkpoint-file.ts'
import { COUNTS } from './contribution.ts'

export interface CellTable {
  /** The number of the cell, made with zeros when new. */
  at(series: number, bucket: number): number
  /** The number of the cell, or -1 where there is none. */
  find(series: number, bucket: number): number
  /** Adds to one count of a cell and marks the cell as changed. */
  add(cell: number, count: number, by: number): void
  addDuration(cell: number, byMs: number): void
  /** Cells changed since `clean`, each once. Valid until the next change. */
  dirty(): Int32Array
  isDirty(cell: number): boolean
  /** All changed cells have been published: the revision of each is one higher. */
  clean(): void
  /** No cell counts as changed, and no revision rises. */
  forgetChanges(): void
  /** Puts a cell as its topic has it; not a change. */
  restore(cell: number, revision: number, counts: ArrayLike<number>, durationMs: number): void
  seriesOf(cell: number): number
  bucketOf(cell: number): number
  count(cell: number, count: number): number
  durationMs(cell: number): number
  /** How often the cell has been published; it rises strictly in the life of the topic. */
  revision(cell: number): number
  /** Only a cell that is not changed. */
  remove(cell: number): void
  /** Every cell. Cells may be removed meanwhile, none added. */
  each(visit: (cell: number) => void): void
  /**
   * Gives memory back where three quarters of it are free. Only with no cell changed: it renumbers them.
   *
   * @returns whether it did.
   */
  fit(): boolean
  /** All of the table as it is, to be written to a file. Only with no cell changed; valid until the next change. */
  columns(): { readonly rows: number; readonly columns: readonly Column[] }
  /** Fills an empty table with what `columns` gave, column by column. */
  adopt(rows: number, fill: (column: Column) => Promise<void>): Promise<void>
  readonly size: number
  readonly bytes: number
}

export function createCells(initial = 1024): CellTable {
  let capacity = initial
  let mask = capacity * 2 - 1
  let index = new Int32Array(capacity * 2) // number of the cell + 1; 0 is empty
  let serieses = new Int32Array(capacity) // NONE where a cell was removed
  let buckets = new Int32Array(capacity)
  let revisions = new Int32Array(capacity)
  let counts = new Int32Array(capacity * COUNTS)
  let durations = new Float64Array(capacity)
  let changed = new Uint8Array(capacity)
  /** Numbers below this are in use, but for those that are free. */
  let end = 0
  const free: number[] = []
  let dirtyCells = new Int32Array(1024)
  let dirtySize = 0

  function slotOf(series: number, bucket: number): number {
    let h = Math.imul(series, 0x9e3779b1) ^ Math.imul(bucket, 0x85ebca6b)
    h ^= h >>> 15
    h = Math.imul(h, 0x2c1b3c6d)
    h ^= h >>> 13
    return h & mask
  }

  /** The cell, or -1 - slot where it would go. */
  function locate(series: number, bucket: number): number {
    let slot = slotOf(series, bucket)
    for (;;) {
      const cell = (index[slot] as number) - 1
      if (cell < 0) return -1 - slot
      if (buckets[cell] === bucket && serieses[cell] === series) return cell
      slot = (slot + 1) & mask
    }
  }

  function at(series: number, bucket: number): number {
    const found = locate(series, bucket)
    if (found >= 0) return found
    if (free.length === 0 && end === capacity) {
      resize(capacity * 2)
      return at(series, bucket)
    }
    const cell = free.length === 0 ? end++ : (free.pop() as number)
    index[-1 - found] = cell + 1
    serieses[cell] = series
    buckets[cell] = bucket
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
    buckets = grown(buckets, to)
    revisions = grown(revisions, to)
    counts = grown(counts, to * COUNTS)
    durations = grown(durations, to)
    changed = grown(changed, to)
    reindex()
  }

  const columns = (rows: number): Column[] => [
    serieses.subarray(0, rows),
    buckets.subarray(0, rows),
    revisions.subarray(0, rows),
    counts.subarray(0, rows * COUNTS),
    durations.subarray(0, rows),
  ]

  function reindex(): void {
    index = new Int32Array(capacity * 2)
    mask = index.length - 1
    for (let cell = 0; cell < end; cell++) {
      if (serieses[cell] === NONE) continue
      let slot = slotOf(serieses[cell] as number, buckets[cell] as number)
      while (index[slot] !== 0) slot = (slot + 1) & mask
      index[slot] = cell + 1
    }
  }

  /** Empties a slot of the index; cells behind it that could not have their own place move up. */
  function vacate(from: number): void {
    let gap = from
    for (let slot = (gap + 1) & mask; ; slot = (slot + 1) & mask) {
      const cell = (index[slot] as number) - 1
      if (cell < 0) break
      const home = slotOf(serieses[cell] as number, buckets[cell] as number)
      // Between its own place and where it is, there is the gap.
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      index[gap] = cell + 1
      gap = slot
    }
    index[gap] = 0
  }

  return {
    at,
    find: (series, bucket) => Math.max(-1, locate(series, bucket)),
    add(cell, count, by) {
      counts[cell * COUNTS + count] = (counts[cell * COUNTS + count] as number) + by
      touch(cell)
    },
    addDuration(cell, byMs) {
      durations[cell] = (durations[cell] as number) + byMs
      touch(cell)
    },
    dirty: () => dirtyCells.subarray(0, dirtySize),
    isDirty: cell => changed[cell] === 1,
    clean() {
      for (let i = 0; i < dirtySize; i++) {
        const cell = dirtyCells[i] as number
        changed[cell] = 0
        revisions[cell] = (revisions[cell] as number) + 1
      }
      dirtySize = 0
    },
    forgetChanges() {
      for (let i = 0; i < dirtySize; i++) changed[dirtyCells[i] as number] = 0
      dirtySize = 0
    },
    restore(cell, revision, values, durationMs) {
      revisions[cell] = revision
      durations[cell] = durationMs
      for (let count = 0; count < COUNTS; count++) counts[cell * COUNTS + count] = values[count] ?? 0
    },
    seriesOf: cell => serieses[cell] as number,
    bucketOf: cell => buckets[cell] as number,
    count: (cell, count) => counts[cell * COUNTS + count] as number,
    durationMs: cell => durations[cell] as number,
    revision: cell => revisions[cell] as number,
    remove(cell) {
      let slot = slotOf(serieses[cell] as number, buckets[cell] as number)
      while (index[slot] !== cell + 1) slot = (slot + 1) & mask
      vacate(slot)
      serieses[cell] = NONE
      revisions[cell] = 0
      durations[cell] = 0
      counts.fill(0, cell * COUNTS, (cell + 1) * COUNTS)
      free.push(cell)
    },
    each(visit) {
      for (let cell = 0; cell < end; cell++) if (serieses[cell] !== NONE) visit(cell)
    },
    fit() {
      const size = end - free.length
      let fitting = capacity
      while (fitting > initial && fitting / 4 >= size) fitting /= 2
      if (fitting === capacity) return false
      let kept = 0
      for (let cell = 0; cell < end; cell++) {
        if (serieses[cell] === NONE) continue
        if (kept < cell) {
          serieses[kept] = serieses[cell] as number
          buckets[kept] = buckets[cell] as number
          revisions[kept] = revisions[cell] as number
          durations[kept] = durations[cell] as number
          counts.copyWithin(kept * COUNTS, cell * COUNTS, (cell + 1) * COUNTS)
        }
        kept++
      }
      end = kept
      free.length = 0
      revisions.fill(0, end)
      durations.fill(0, end)
      counts.fill(0, end * COUNTS)
      resize(fitting)
      return true
    },
    columns: () => ({ rows: end, columns: columns(end) }),
    async adopt(rows, fill) {
      let fitting = initial
      while (fitting < rows) fitting *= 2
      resize(fitting)
      for (const column of columns(rows)) await fill(column)
      end = rows
      for (let cell = 0; cell < end; cell++) if (serieses[cell] === NONE) free.push(cell)
      reindex()
    },
    get size() {
      return end - free.length
    },
    get bytes() {
      return [index, serieses, buckets, revisions, counts, durations, changed, dirtyCells].reduce(
        (sum, a) => sum + a.byteLength,
        0,
      )
    },
  }
}

/** In the place of a series: there is no cell. */
const NONE = -1

/** A copy of another length, cut or filled with zeros. */
export function grown<T extends Int32Array | Float64Array | Uint8Array>(array: T, length: number): T {
  const copy = new (array.constructor as new (length: number) => T)(length)
  copy.set(length < array.length ? array.subarray(0, length) : array)
  return copy
}
