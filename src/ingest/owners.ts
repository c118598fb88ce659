/**
 * Who reads a source partition, and whether somebody does. Pure: what was seen on the topics and when goes in, whether a source partition may be
 * claimed comes out.
 *
 * A source partition that another process took over is claimed again when nobody reads it any more, and not before: two live processes must not
 * take it from each other in turns. A process shows that it lives by a record every few seconds, whatever its vendors do.
 */

import type { CursorOwner } from './cursor.ts'

/** How often a process shows that it lives, milliseconds. */
export const HEARTBEAT_MS = 3_000
/** A process that was silent for so long is gone, or frozen: it is fenced when it comes back. */
export const SILENCE_MS = 10_000
/** Where the owner is not known, its cursor must have stood still for so many poll intervals. */
const STILL_POLLS = 3

/** The newest cursor record of a source partition, as another process's. */
interface Seen {
  /** null: written by a version that does not name itself. */
  readonly worker: string | null
  /** Its writer goes on no further. */
  readonly released: boolean
  readonly atMs: number
}

export class Owners {
  readonly #me: string
  readonly #cursors = new Map<string, Seen>()
  /** Source partitions whose newest cursor is ours. */
  readonly #mine = new Set<string>()
  /** Of each worker, when it was seen last; -Infinity once it said that it ends. */
  readonly #workers = new Map<string, number>()

  constructor(me: string) {
    this.#me = me
  }

  /**
   * A cursor record was written. Call it in offset order.
   *
   * @param key The record's key.
   * @returns true when it says that this process has lost the source partition: it follows a record of ours.
   */
  cursor(key: string, owner: CursorOwner | null, nowMs: number): boolean {
    const isMine = owner?.worker === this.#me
    const isLost = !isMine && this.#mine.delete(key)
    if (isMine) this.#mine.add(key)
    this.#cursors.set(key, { worker: owner?.worker ?? null, released: owner?.released === true, atMs: nowMs })
    return isLost
  }

  alive(worker: string, nowMs: number): void {
    this.#workers.set(worker, nowMs)
  }

  /** The worker said that it ends. */
  ended(worker: string): void {
    this.#workers.set(worker, -Infinity)
  }

  /** Whether the worker has shown of late that it lives. */
  isAlive(worker: string, nowMs: number): boolean {
    return nowMs - (this.#workers.get(worker) ?? -Infinity) < SILENCE_MS
  }

  /** Workers that ended or were silent for `ms`; they are forgotten. */
  takeSilent(ms: number, nowMs: number): string[] {
    const silent = [...this.#workers]
      .filter(([worker, atMs]) => worker !== this.#me && nowMs - atMs > ms)
      .map(([worker]) => worker)
    for (const worker of silent) this.#workers.delete(worker)
    return silent
  }

  /**
   * Whether nobody reads the source partition any more.
   *
   * @param since.fencedAtMs When this process lost it.
   */
  isFree(key: string, since: { readonly fencedAtMs: number; readonly pollIntervalMs: number }, nowMs: number): boolean {
    const seen = this.#cursors.get(key)
    if (seen?.released) return true
    const stillMs = nowMs - Math.max(since.fencedAtMs, seen?.atMs ?? -Infinity)
    const owner = seen?.worker ?? null
    const ownerAtMs = owner === null || owner === this.#me ? undefined : this.#workers.get(owner)
    if (ownerAtMs === undefined) {
      // Fenced by one that ended before its first commit: nobody else is there who could be reading.
      const isAlone = owner === this.#me && !this.#isAnyAlive(nowMs)
      return stillMs >= Math.max(SILENCE_MS, isAlone ? 0 : STILL_POLLS * since.pollIntervalMs)
    }
    if (ownerAtMs === -Infinity) return true
    return nowMs - ownerAtMs >= SILENCE_MS && stillMs >= SILENCE_MS
  }

  #isAnyAlive(nowMs: number): boolean {
    for (const worker of this.#workers.keys()) if (worker !== this.#me && this.isAlive(worker, nowMs)) return true
    return false
  }
}
