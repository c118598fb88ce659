/**
 * `transfer_delay_seconds`: how long it took from a transfer to the commit that first shows it, as a session's `transferred_at` or as an event. Each
 * session counts once, whatever streams and revisions show it again; only what happened after the stream was first live counts, so that a backfill
 * does not.
 */
import type { Metrics } from '../metrics.ts'
import { keyHash } from './versions.ts'

/** A transfer that a batch shows, perhaps not for the first time. */
export interface ShownTransfer {
  /** Of the session; of the event, where it has none. */
  readonly key: string
  readonly atMs: number
}

/** Sessions whose transfer was shown, of all streams of a connector. What a process before this one has shown lies before its streams were live. */
export class ShownTransfers {
  readonly #seen = new Set<number>()
  readonly #most: number

  constructor(most = 50_000) {
    this.#most = most
  }

  /** False when it was shown before. */
  add(key: string): boolean {
    const hash = keyHash(0, key)
    if (this.#seen.has(hash)) return false
    this.#seen.add(hash)
    for (const oldest of this.#seen) if (this.#seen.size > this.#most) this.#seen.delete(oldest)
    return true
  }
}

export class TransferDelay {
  readonly #connector: string
  readonly #metrics: Pick<Metrics, 'observe'>
  readonly #shown: ShownTransfers
  #liveSinceMs: number | null

  /** @param liveSinceMs Where live begins, epoch milliseconds; null: at the first commit after which nothing is left to catch up. */
  constructor(
    connector: string,
    {
      metrics,
      shown = new ShownTransfers(),
      liveSinceMs,
    }: {
      metrics: Pick<Metrics, 'observe'>
      shown?: ShownTransfers | undefined
      liveSinceMs: number | null
    },
  ) {
    this.#connector = connector
    this.#metrics = metrics
    this.#shown = shown
    this.#liveSinceMs = liveSinceMs
  }

  /** A batch was committed. */
  committed(transfers: readonly ShownTransfer[], isBehind: boolean, nowMs: number): void {
    for (const { key, atMs } of transfers) {
      if (!this.#shown.add(key) || this.#liveSinceMs === null || atMs < this.#liveSinceMs) continue
      this.#metrics.observe('transfer_delay_seconds', { connector: this.#connector }, Math.max(0, nowMs - atMs) / 1000)
    }
    if (!isBehind) this.#liveSinceMs ??= nowMs
  }
}
