/**
 * Whether a process stood still (stopped, starved, its machine suspended), so that its group may have gone on without it. What it does first when it runs again
 * would be done beside whoever has its work by then, so it asks the group before that; and what it had begun before is only now under way.
 */
export class Standstill {
  readonly #longestMs: number
  readonly #now: () => number
  /** When we ran last, as far as we know. */
  #ranAtMs: number
  #ranAgainAtMs = -Infinity
  #isCertain = true

  /**
   * @param longestMs To stand still for less is nothing.
   * @param now Steady.
   */
  constructor(longestMs: number, now: () => number = () => performance.now()) {
    this.#longestMs = longestMs
    this.#now = now
    this.#ranAtMs = now()
  }

  /** To be called more often than is told in the constructor, and before each question to the group. */
  look(): number {
    const nowMs = this.#now()
    if (nowMs - this.#ranAtMs >= this.#longestMs) {
      this.#ranAgainAtMs = nowMs
      this.#isCertain = false
    }
    this.#ranAtMs = nowMs
    return nowMs
  }

  /** The group counts us in. @param askedAtMs An answer to what was asked before we stood still says nothing. */
  answered(askedAtMs: number): void {
    if (askedAtMs >= this.#ranAgainAtMs) this.#isCertain = true
  }

  /** When we ran again after the last standstill; Infinity while the group has not answered since. */
  certainSinceMs(): number {
    this.look()
    return this.#isCertain ? this.#ranAgainAtMs : Infinity
  }
}
