/**
 * Which sessions count in which cell, by where they started and by where they ended: a sketch cannot be taken back from, so that of a cell is drawn
 * anew from these. A session is in the list of the finest cell that counts it, and not in that of the day beside its hour. Lists through typed arrays, 16 to 32 bytes a session and 8 to 16 a cell; in and out of a list takes no longer when it is long.
 */
import { grown } from './cells.ts'

export const STARTED = 0
export const ENDED = 1
type Place = typeof STARTED | typeof ENDED

export interface Members {
  add(cell: number, place: Place, session: number): void
  /** Changes nothing when the session is not there. */
  remove(cell: number, place: Place, session: number): void
  /** The session that was added last, or -1. */
  first(cell: number, place: Place): number
  /** The session that was added before this one, or -1. */
  next(session: number, place: Place): number
  clear(): void
  readonly bytes: number
}

export function createMembers(initial = 1024): Members {
  // Each holds number + 1; 0 is none. Two places a cell and a session.
  let heads = new Int32Array(initial * 2)
  let nexts = new Int32Array(initial * 2)
  let previous = new Int32Array(initial * 2)

  return {
    add(cell, place, session) {
      const head = 2 * cell + place
      const node = 2 * session + place
      if (head >= heads.length) heads = grown(heads, Math.max(heads.length * 2, 2 * cell + 2))
      if (node >= nexts.length) {
        const length = Math.max(nexts.length * 2, 2 * session + 2)
        nexts = grown(nexts, length)
        previous = grown(previous, length)
      }
      const next = heads[head] as number
      if (next > 0) previous[2 * (next - 1) + place] = session + 1
      nexts[node] = next
      previous[node] = 0
      heads[head] = session + 1
    },
    remove(cell, place, session) {
      const head = 2 * cell + place
      const node = 2 * session + place
      const before = previous[node] ?? 0
      if (before === 0 && heads[head] !== session + 1) return
      const next = nexts[node] as number
      if (before > 0) nexts[2 * (before - 1) + place] = next
      else heads[head] = next
      if (next > 0) previous[2 * (next - 1) + place] = before
      nexts[node] = 0
      previous[node] = 0
    },
    first: (cell, place) => (heads[2 * cell + place] ?? 0) - 1,
    next: (session, place) => (nexts[2 * session + place] ?? 0) - 1,
    clear() {
      heads = new Int32Array(initial * 2)
      nexts = new Int32Array(initial * 2)
      previous = new Int32Array(initial * 2)
    },
    get bytes() {
      return heads.byteLength + nexts.byteLength + previous.byteLength
    },
  }
}
