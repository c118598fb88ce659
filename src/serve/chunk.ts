/**
 * A chunk of a series: up to 1,440 cells of one length in order of time, one column a measure. A column that only ever was 0 takes no room, and the others take
 * one byte a cell until one needs more.
 */
import { MEASURES, type Measure, type SeriesPoint } from '../records.ts'
import { createSketchPool, restoreSketchPool, type Sketch, SKETCHES, type SketchPool } from './sketch-pool.ts'

/** Cells that a chunk may hold: minutes of a day, hours of sixty days, or days of almost four years. Minutes and hours of one UTC day are in one chunk. */
export const CHUNK_CELLS = 1440

const FIRST_CAPACITY = 8

/** What a cell holds of a point. */
export type CellValues = Pick<SeriesPoint, 'revision' | Measure | Sketch>

export type Column = Uint8Array | Uint16Array | Uint32Array | Float64Array

interface SketchColumn {
  /** Beside the slots. */
  places: Uint32Array
  readonly pool: SketchPool
}

/** All of a chunk as data: for a snapshot on disk. Arrays are as long as the chunk has cells. */
export interface ChunkParts {
  readonly number: number
  readonly slots: Uint16Array
  readonly revisions: Column
  /** In the order of `MEASURES`; null: all are 0. */
  readonly columns: readonly (Column | null)[]
  /** In the order of `SKETCHES`; null: no cell has one. `words` and `free` are those of the pool. */
  readonly sketches: readonly ({ readonly places: Uint32Array; readonly words: Uint32Array; readonly free: number } | null)[]
}

interface Groups {
  readonly slots: number
  readonly ends: Uint16Array
  /** By measure; null: not asked for yet. */
  readonly sums: (Float64Array | null)[]
}

export class Chunk {
  readonly number: number
  size = 0
  /** Whether a snapshot holds it: it must not change any more, and whoever has to change it goes on with a `fork`. */
  isShared = false
  #slots: Uint16Array = new Uint16Array(FIRST_CAPACITY)
  #revisions: Column = new Uint8Array(FIRST_CAPACITY)
  readonly #columns: (Column | null)[] = MEASURES.map(() => null)
  readonly #sketches: (SketchColumn | null)[] = SKETCHES.map(() => null)
  /** What `groups` and `groupSums` have returned. */
  #groups: Groups | null = null

  /** @param number Which chunk of its tier it is, counted from the epoch. */
  constructor(number: number) {
    this.number = number
  }

  /** Where each cell lies in the chunk: 0 to 1439, ascending, `size` of them. */
  get slots(): Uint16Array {
    return this.#slots
  }

  /** Beside the slots; null: all are 0. */
  column(measure: number): Column | null {
    return this.#columns[measure] as Column | null
  }

  /** Where each group of so many slots ends in the chunk; group 0 begins at place 0. Remembered: only a chunk that is shared, and so does not change any more, may be asked. */
  groups(slots: number): Uint16Array {
    return this.#grouped(slots).ends
  }

  /** The sum of the measure by group, as `groups` has them; null: all are 0. */
  groupSums(slots: number, measure: number): Float64Array | null {
    const column = this.column(measure)
    if (column === null) return null
    const { ends, sums } = this.#grouped(slots)
    const known = sums[measure] ?? null
    if (known !== null) return known
    const found = new Float64Array(ends.length)
    for (let group = 0, from = 0; group < ends.length; group++) {
      const end = ends[group] as number
      found[group] = sumOf(column, from, end)
      from = end
    }
    sums[measure] = found
    return found
  }

  #grouped(slots: number): Groups {
    if (this.#groups?.slots === slots) return this.#groups
    const ends = new Uint16Array(CHUNK_CELLS / slots)
    for (let group = 0; group < ends.length; group++) ends[group] = this.find((group + 1) * slots)
    this.#groups = { slots, ends, sums: MEASURES.map(() => null) }
    return this.#groups
  }

  /** null: no cell has such a sketch. */
  sketches(sketch: Sketch): Readonly<SketchColumn> | null {
    return this.#sketches[SKETCHES.indexOf(sketch)] as SketchColumn | null
  }

  /** The place of the first cell that is not below the slot. Looks at the end first: most points are the newest. */
  find(slot: number): number {
    const slots = this.#slots
    if (this.size === 0 || (slots[this.size - 1] as number) < slot) return this.size
    let low = 0
    let high = this.size - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((slots[middle] as number) < slot) low = middle + 1
      else high = middle
    }
    return low
  }

  has(slot: number): boolean {
    const at = this.find(slot)
    return at < this.size && this.#slots[at] === slot
  }

  /** The revision of the cell, 0 where there is none. */
  revision(slot: number): number {
    const at = this.find(slot)
    return at < this.size && this.#slots[at] === slot ? (this.#revisions[at] as number) : 0
  }

  put(slot: number, values: CellValues): void {
    const at = this.find(slot)
    const isNew = at === this.size || this.#slots[at] !== slot
    if (isNew) {
      if (this.size === this.#slots.length) this.#resize(Math.min(CHUNK_CELLS, Math.ceil(this.size * 1.5)))
      this.#move(at, at + 1)
      this.size += 1
      this.#slots[at] = slot
    }
    this.#revisions = written(this.#revisions, at, values.revision)
    for (let i = 0; i < MEASURES.length; i++) {
      const value = values[MEASURES[i] as Measure]
      const column = this.#columns[i] ?? null
      if (column === null && value === 0) continue
      this.#columns[i] = written(column ?? new Uint8Array(this.#slots.length), at, value)
    }
    for (let i = 0; i < SKETCHES.length; i++) this.#putSketch(i, at, values[SKETCHES[i] as Sketch], isNew)
  }

  /** Takes the cells of `[fromSlot, untilSlot)` out. */
  remove(fromSlot: number, untilSlot: number): void {
    const [from, until] = [this.find(fromSlot), this.find(untilSlot)]
    if (from === until) return
    for (const sketches of this.#sketches) {
      if (sketches) for (let at = from; at < until; at++) sketches.pool.free(sketches.places[at] as number)
    }
    this.#move(until, from)
    this.size -= until - from
  }

  /** The chunk as it is, which has to be shared: nothing is copied. */
  parts(): ChunkParts {
    const own = <T extends Column>(column: T) => column.subarray(0, this.size) as T
    return {
      number: this.number,
      slots: own(this.#slots),
      revisions: own(this.#revisions),
      columns: this.#columns.map(column => column && own(column)),
      sketches: this.#sketches.map(sketches => sketches && { places: own(sketches.places), ...sketches.pool.parts() }),
    }
  }

  /** @param parts Its arrays are the chunk's from now on. */
  static of(parts: ChunkParts): Chunk {
    const chunk = new Chunk(parts.number)
    chunk.size = parts.slots.length
    chunk.#slots = parts.slots
    chunk.#revisions = parts.revisions
    for (const [i, column] of parts.columns.entries()) chunk.#columns[i] = column
    for (const [i, sketches] of parts.sketches.entries())
      chunk.#sketches[i] = sketches && { places: sketches.places, pool: restoreSketchPool(SKETCHES[i] as Sketch, sketches) }
    return chunk
  }

  /** The same chunk, to be changed in its place. */
  fork(): Chunk {
    const copy = new Chunk(this.number)
    copy.size = this.size
    copy.#slots = this.#slots.slice()
    copy.#revisions = this.#revisions.slice()
    for (let i = 0; i < MEASURES.length; i++) copy.#columns[i] = this.#columns[i]?.slice() ?? null
    for (const [i, sketches] of this.#sketches.entries())
      copy.#sketches[i] = sketches && { places: sketches.places.slice(), pool: sketches.pool.fork() }
    return copy
  }

  #putSketch(i: number, at: number, value: SeriesPoint[Sketch], isNew: boolean): void {
    let column = this.#sketches[i] ?? null
    if (column === null) {
      if (value === null) return
      column = { places: new Uint32Array(this.#slots.length), pool: createSketchPool(SKETCHES[i] as Sketch) }
      this.#sketches[i] = column
    }
    const { places, pool } = column
    if (!isNew) pool.free(places[at] as number)
    places[at] = pool.put(value)
    if (pool.isLoose) pool.move(places, this.size)
  }

  /** Moves everything from the place `from` on to the place `to`. */
  #move(from: number, to: number): void {
    if (from === this.size) return
    this.#slots.copyWithin(to, from, this.size)
    this.#revisions.copyWithin(to, from, this.size)
    for (const column of this.#columns) column?.copyWithin(to, from, this.size)
    for (const sketches of this.#sketches) sketches?.places.copyWithin(to, from, this.size)
  }

  #resize(capacity: number): void {
    this.#slots = copied(this.#slots, new Uint16Array(capacity))
    this.#revisions = copied(this.#revisions, like(this.#revisions, capacity))
    for (const [i, column] of this.#columns.entries()) if (column) this.#columns[i] = copied(column, like(column, capacity))
    for (const sketches of this.#sketches) if (sketches) sketches.places = copied(sketches.places, new Uint32Array(capacity))
  }
}

/** The sum of the values at `[from, to)`. A loop for each kind of column: one that meets several kinds is five times slower. */
export function sumOf(column: Column, from: number, to: number): number {
  if (column instanceof Uint8Array) return sum8(column, from, to)
  if (column instanceof Uint16Array) return sum16(column, from, to)
  return column instanceof Uint32Array ? sum32(column, from, to) : sum64(column, from, to)
}

function sum8(column: Uint8Array, from: number, to: number): number {
  let sum = 0
  for (let at = from; at < to; at++) sum += column[at] as number
  return sum
}

function sum16(column: Uint16Array, from: number, to: number): number {
  let sum = 0
  for (let at = from; at < to; at++) sum += column[at] as number
  return sum
}

function sum32(column: Uint32Array, from: number, to: number): number {
  let sum = 0
  for (let at = from; at < to; at++) sum += column[at] as number
  return sum
}

function sum64(column: Float64Array, from: number, to: number): number {
  let sum = 0
  for (let at = from; at < to; at++) sum += column[at] as number
  return sum
}

/** The column with the value at the place, itself where it can hold it. */
function written(column: Column, at: number, value: number): Column {
  let into = column
  while (!holds(into, value)) into = copied(into, wider(into))
  into[at] = value
  return into
}

const holds = (column: Column, value: number) =>
  column instanceof Float64Array || (Number.isInteger(value) && value >= 0 && value < 2 ** (8 * column.BYTES_PER_ELEMENT))

function wider(column: Column): Column {
  if (column instanceof Uint8Array) return new Uint16Array(column.length)
  return column instanceof Uint16Array ? new Uint32Array(column.length) : new Float64Array(column.length)
}

function like(column: Column, length: number): Column {
  if (column instanceof Uint8Array) return new Uint8Array(length)
  if (column instanceof Uint16Array) return new Uint16Array(length)
  return column instanceof Uint32Array ? new Uint32Array(length) : new Float64Array(length)
}

function copied<T extends Column>(from: Column, to: T): T {
  to.set(from)
  return to
}
