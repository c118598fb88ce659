/** The cells of one length of one series: chunks in order of time. */
import { type CellValues, Chunk, CHUNK_CELLS } from './chunk.ts'

/** Cells are counted from the epoch, in the length of the tier. */
export class Tier {
  size = 0
  #chunks: Chunk[]

  /** @param chunks In order of time. */
  constructor(chunks: readonly Chunk[] = []) {
    this.#chunks = [...chunks]
    for (const chunk of chunks) this.size += chunk.size
  }

  /** @returns false when the point's revision is not above the known one; nothing has changed then. */
  put(cell: number, values: CellValues): boolean {
    const number = Math.floor(cell / CHUNK_CELLS)
    const slot = cell - number * CHUNK_CELLS
    let at = this.#find(number)
    if (this.#chunks[at]?.number !== number) this.#chunks.splice(at, 0, new Chunk(number))
    else if (values.revision <= this.#chunks[at].revision(slot)) return false
    const chunk = this.#own(at)
    this.size -= chunk.size
    chunk.put(slot, values)
    this.size += chunk.size
    return true
  }

  /** Whether any cell of `[from, until)` is held. Both lie in one chunk. */
  has(from: number, until: number): boolean {
    return hasCell(this.#chunks, from, until)
  }

  /** Takes the cells of `[from, until)` out, which lie in one chunk. */
  remove(from: number, until: number): void {
    if (!this.has(from, until)) return
    const at = this.#find(Math.floor(from / CHUNK_CELLS))
    const chunk = this.#own(at)
    const first = chunk.number * CHUNK_CELLS
    this.size -= chunk.size
    chunk.remove(from - first, until - first)
    this.size += chunk.size
    if (chunk.size === 0) this.#chunks.splice(at, 1)
  }

  /** The chunks that have a part in `[from, until)`, as they are now; they do not change. */
  snapshot(from: number, until: number): readonly Chunk[] {
    const chunks: Chunk[] = []
    for (let at = this.#find(Math.floor(from / CHUNK_CELLS)); at < this.#chunks.length; at++) {
      const chunk = this.#chunks[at] as Chunk
      if (chunk.number * CHUNK_CELLS >= until) break
      chunk.isShared = true
      chunks.push(chunk)
    }
    return chunks
  }

  /** The chunk at the place, which may be changed. */
  #own(at: number): Chunk {
    const chunk = this.#chunks[at] as Chunk
    if (!chunk.isShared) return chunk
    const fork = chunk.fork()
    this.#chunks[at] = fork
    return fork
  }

  #find(number: number): number {
    return findChunk(this.#chunks, number)
  }
}

/** Whether the chunks hold any cell of `[from, until)`; both lie in one chunk. */
function hasCell(chunks: readonly Chunk[], from: number, until: number): boolean {
  const number = Math.floor(from / CHUNK_CELLS)
  const chunk = chunks[findChunk(chunks, number)]
  if (chunk?.number !== number) return false
  const first = number * CHUNK_CELLS
  const at = chunk.find(from - first)
  return at < chunk.size && (chunk.slots[at] as number) < until - first
}

/** Index of the first chunk that is not below the number. Looks at the end first: most points are the newest. */
export function findChunk(chunks: readonly Chunk[], number: number): number {
  const last = chunks.at(-1)
  if (last === undefined || last.number < number) return chunks.length
  let low = 0
  let high = chunks.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((chunks[middle] as Chunk).number < number) low = middle + 1
    else high = middle
  }
  return low
}
