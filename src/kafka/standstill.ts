/**
 * Detects that a process stood still (stopped, starved, its machine suspended), so that its group may have continued without it. The first thing it does when
 * it runs again could collide with the new owner of its work, so it asks the group before that; and work begun earlier is still in progress only now.
 */
export class Standstill {
  readonly #longestMs: number
  readonly #now: () => number
  /** When we last ran, as far as we know. */
  #ranAtMs: number
  #ranAgainAtMs = -Infinity
  #isCertain = true

  /**
   * @param longestMs Shorter standstills are ignored.
   * @param now Steady clock.
   */
  constructor(longestMs: number, now: () => number = () => performance.now()) {
    this.#longestMs = longestMs
    this.#now = now
    this.#ranAtMs = now()
  }

  /** Must be called more often than the constructor's limit, and before each request to the group. */
  look(): number {
    const nowMs = this.#now()
    if (nowMs - this.#ranAtMs >= this.#longestMs) {
      this.#ranAgainAtMs = nowMs
      this.#isCertain = false
    }
    this.#ranAtMs = nowMs
    return nowMs
  }

  /** The group counts us as a member. @param askedAtMs An answer to a request from before the standstill does not count. */
  answered(askedAtMs: number): void {
    if (askedAtMs >= this.#ranAgainAtMs) this.#isCertain = true
  }

  /** When we ran again after the last standstill; Infinity while the group has not answered since. */
  certainSinceMs(): number {
    this.look()
    return this.#isCertain ? this.#ranAgainAtMs : Infinity
  }
}
