/**
 * Whether a process stood still for so long (stopped, starved, its machine suspended) that its group may have gone on without it. What it does first when it
 * runs again would be done beside whoever has its work by then, so it asks the group before that.
 */
export class Standstill {
  readonly #longestMs: number
  readonly #now: () => number
  /** When we ran last, as far as we know. */
  #ranAtMs: number
  /** Since when we do not know; null: the group has answered since. */
  #sinceMs: number | null = null

  /** @param longestMs To stand still for less leaves no doubt. */
  constructor(longestMs: number, now: () => number = Date.now) {
    this.#longestMs = longestMs
    this.#now = now
    this.#ranAtMs = now()
  }

  /** To be called at least as often as is told in the constructor, and before each question to the group. */
  look(): number {
    const nowMs = this.#now()
    if (nowMs - this.#ranAtMs >= this.#longestMs) this.#sinceMs = nowMs
    this.#ranAtMs = nowMs
    return nowMs
  }

  /** The group counts us in. @param askedAtMs An answer to what was asked before we stood still says nothing. */
  answered(askedAtMs: number): void {
    if (this.#sinceMs !== null && askedAtMs >= this.#sinceMs) this.#sinceMs = null
  }

  get inDoubt(): boolean {
    this.look()
    return this.#sinceMs !== null
  }
}
