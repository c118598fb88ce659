/** How far a backfill is, and when it may end. Pure. */
import type { BackfillView } from '../src/console.ts'

export interface BackfillProgress {
  /** 0 to 1. */
  readonly share: number
  /** At the pace since this process began; null: it has not moved yet. */
  readonly leftMs: number | null
}

/** A pace that was seen for less says little. */
const LEAST_SEEN_MS = 10_000

export function backfillProgress({ fromMs, reachedMs, untilMs, seen }: BackfillView, nowMs: number): BackfillProgress {
  const length = untilMs - fromMs
  const share = length <= 0 ? 1 : Math.min(1, Math.max(0, (reachedMs - fromMs) / length))
  const movedMs = reachedMs - seen.reachedMs
  const tookMs = nowMs - seen.atMs
  if (reachedMs >= untilMs) return { share: 1, leftMs: 0 }
  return { share, leftMs: movedMs <= 0 || tookMs < LEAST_SEEN_MS ? null : ((untilMs - reachedMs) * tookMs) / movedMs }
}
