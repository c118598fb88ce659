/** Whether a source partition gets further than it ever was: what lets the pause between restarts begin small again. */
import type { KnownCursor, PlanSpec } from './plan.ts'
import type { Lane } from '../records.ts'
import type { Step } from './reader.ts'

/** Compared entry by entry: the lookback pass (by its end), the start of the window in hand, pages of it. */
type Position = readonly [passMs: number, fromMs: number, pages: number]

/**
 * Follows the furthest place of each lane through the life of a task. A page that is read again after a restart is no advance, nor is one of a window
 * whose places do not outlive a restart: the cursor stands as it stood.
 */
export class Advance {
  readonly #keepsPages: boolean
  readonly #furthest = new Map<Lane, Position>()
  /** Pages of the window in hand, by lane. */
  readonly #pages = new Map<Lane, number>()
  #isFurther = false

  constructor({ durableResume }: Pick<PlanSpec, 'durableResume'>) {
    this.#keepsPages = durableResume
  }

  /** A listing was opened at the start of its window. */
  windowBegins(lane: Lane): void {
    this.#pages.set(lane, 0)
  }

  /** @param cursor Before the step. */
  accepted({ piece, pages, endsWindow }: Step, cursor: KnownCursor): void {
    if (piece.followed) return
    const { lane, window } = piece
    const read = endsWindow ? 0 : (this.#pages.get(lane) ?? 0) + (this.#keepsPages ? pages : 0)
    this.#pages.set(lane, read)
    const passMs = lane === 'lookback' ? (cursor.lookback.pass?.untilMs ?? 0) : 0
    const position: Position = [passMs, endsWindow ? window.untilMs : window.fromMs, read]
    const before = this.#furthest.get(lane) ?? [passMs, window.fromMs, 0]
    if (!isBeyond(position, before)) return
    this.#furthest.set(lane, position)
    this.#isFurther = true
  }

  /** True when what was committed now reaches further than every commit before. */
  committed(): boolean {
    const isFurther = this.#isFurther
    this.#isFurther = false
    return isFurther
  }
}

function isBeyond(position: Position, before: Position): boolean {
  const at = position.findIndex((part, i) => part !== before[i])
  return at !== -1 && (position[at] as number) > (before[at] as number)
}
