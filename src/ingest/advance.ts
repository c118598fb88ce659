/** Whether a source partition gets further than it ever was: what lets the pause between restarts begin small again. */
import type { Lane } from '../records.ts'
import type { KnownCursor, Piece, PlanSpec } from './plan.ts'
import type { Step } from './reader.ts'

/** Compared entry by entry: the lookback pass (by its beginning), how far it or the lane is, pages of the window in hand. */
type Position = readonly [passMs: number, fromMs: number, pages: number]

/**
 * Follows the furthest place of each lane through the life of a task. A page that is read again after a restart is no advance, nor is one of a window
 * whose places do not outlive a restart: the cursor stands as it stood.
 */
export class Advance {
  readonly #spec: Pick<PlanSpec, 'durableResume' | 'inOrder'>
  readonly #furthest = new Map<Lane | 'sweep', Position>()
  /** Pages of the window in hand, by lane. */
  readonly #pages = new Map<Lane | 'sweep', number>()
  #isFurther = false

  constructor(spec: Pick<PlanSpec, 'durableResume' | 'inOrder'>) {
    this.#spec = spec
  }

  /** A listing was opened at the start of its window. */
  windowBegins(piece: Piece): void {
    this.#pages.set(keyOf(piece), 0)
  }

  /** @param cursor Before the step. */
  accepted({ piece, pages, endsWindow }: Step, cursor: KnownCursor): void {
    if (piece.followed || piece.named) return
    const key = keyOf(piece)
    const { fromMs, untilMs } = piece.window
    const keepsPages = this.#spec.durableResume && !piece.swept
    const read = endsWindow ? 0 : (this.#pages.get(key) ?? 0) + (keepsPages ? pages : 0)
    this.#pages.set(key, read)
    const passMs = key === 'lookback' ? (cursor.lookback.pass?.roundMs ?? 0) : 0
    // Passes go backwards in time.
    const [begunMs, endedMs] = key === 'lookback' && !this.#spec.inOrder ? [-untilMs, -fromMs] : [fromMs, untilMs]
    const position: Position = [passMs, endsWindow ? endedMs : begunMs, read]
    const before = this.#furthest.get(key) ?? [passMs, begunMs, 0]
    if (!isBeyond(position, before)) return
    this.#furthest.set(key, position)
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

function keyOf({ lane, swept }: Piece): Lane | 'sweep' {
  return swept ? 'sweep' : lane
}
