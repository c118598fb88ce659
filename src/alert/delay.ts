/**
 * How late counts become known, learnt: which share of what a minute will have counted is known at which age. A transfer is often told of a session that
 * began twenty minutes ago; without this the newest minutes would be read as calm.
 *
 * Age is the distance from a minute's end to the mark up to which the vendor had been read, so polls that pause or catch up do not distort it. The share is a
 * product of steps (the chain-ladder estimate of insurance reserves): each step from one age to the next uses only minutes that were seen at both ages, so what was
 * first read late, in whatever batches, says nothing about the ages before.
 */

/** Ages in minutes; what changes later than an hour is a correction, not a delay. */
export const AGES = 60
/** Minutes between two marks; over a longer pause the ages between were not seen. */
const LONGEST_STEP = 15
/** After so long what was learnt is halved, in whole counts, so that it is written and read without loss. */
const HALVED_HOURS = 48
/** So many halvings leave nothing. */
const FORGOTTEN = 40
/** So many counts that were known at once are presumed. */
const PRESUMED = 1

interface Steps {
  /** At [a]: counts known at age a, of minutes that were also seen at age a + 1. */
  readonly before: Float64Array
  readonly after: Float64Array
}

export class Delays {
  readonly #count: Steps
  readonly #volume: Steps
  #period = 0
  #shares: Float64Array | null = null
  #version = 0
  #taken = 0

  /** @param remembered What `memory` returned. */
  constructor(remembered: readonly (readonly number[])[] | null = null) {
    const at = (i: number) => Float64Array.from({ length: AGES }, (_, age) => remembered?.[i]?.[age] ?? 0)
    this.#count = { before: at(0), after: at(1) }
    this.#volume = { before: at(2), after: at(3) }
    this.#period = remembered?.[4]?.[0] ?? 0
  }

  /**
   * A mark moved on: what each minute counted at the mark before, and now.
   *
   * @param mark Minutes since the epoch.
   * @param previous Before `mark`.
   * @param at Count and volume of a minute, as known at the previous mark and now.
   */
  learn(
    previous: number,
    mark: number,
    at: (minute: number) => { was: number; is: number; wasVolume: number; isVolume: number },
  ): void {
    const step = mark - previous
    if (step <= 0 || step > LONGEST_STEP) return
    this.#forget(Math.floor(mark / 60 / HALVED_HOURS))
    this.#shares = null
    this.#version++
    // A minute that ended at `previous` had the age 0 there.
    for (let age = 0; age + step <= AGES; age++) {
      const { was, is, wasVolume, isVolume } = at(previous - 1 - age)
      if (is === 0 && was === 0 && isVolume === 0 && wasVolume === 0) continue
      // All that changed is known since the last of the ages in between: that is when it was read.
      for (let i = age; i < age + step; i++) {
        const last = i === age + step - 1
        count(this.#count, i, was, last ? is : was)
        count(this.#volume, i, wasVolume, last ? isVolume : wasVolume)
      }
    }
  }

  /** Share of the count, relative to that of the volume, that is known at the age; 1 from AGES on. */
  share(age: number): number {
    if (age >= AGES || this.isTrivial) return 1
    this.#shares ??= this.#product()
    return this.#shares[Math.max(0, age)] as number
  }

  /** Whether anything is known of delays: if not, every share is 1. */
  get isTrivial(): boolean {
    this.#shares ??= this.#product()
    return (this.#shares[0] as number) > 0.999
  }

  /** Another number whenever something was learnt. */
  get version(): number {
    return this.#version
  }

  /** Whether anything was learnt since the last call. */
  takeChange(): boolean {
    const isChanged = this.#version !== this.#taken
    this.#taken = this.#version
    return isChanged
  }

  /** Whether nothing is left at the minute of what `memory` returned. */
  static isForgotten(memory: readonly (readonly number[])[], minute: number): boolean {
    return Math.floor(minute / 60 / HALVED_HOURS) - (memory[4]?.[0] ?? 0) > FORGOTTEN
  }

  memory(): number[][] {
    const steps = [this.#count, this.#volume].flatMap(({ before, after }) => [[...before], [...after]])
    return [...steps, [this.#period]]
  }

  #product(): Float64Array {
    const shares = new Float64Array(AGES)
    let share = 1
    for (let age = AGES - 1; age >= 0; age--) {
      const step = ratio(this.#count, age) / Math.min(1, ratio(this.#volume, age))
      share = Math.min(1, share * step)
      shares[age] = Math.max(0.01, share)
    }
    return shares
  }

  #forget(period: number): void {
    for (this.#period = Math.max(this.#period, period - FORGOTTEN); this.#period < period; this.#period++) {
      for (const { before, after } of [this.#count, this.#volume]) {
        for (const values of [before, after])
          for (let age = 0; age < AGES; age++) values[age] = Math.floor((values[age] as number) / 2)
      }
    }
  }
}

function count(steps: Steps, age: number, was: number, is: number): void {
  steps.before[age] = (steps.before[age] as number) + was
  steps.after[age] = (steps.after[age] as number) + is
}

function ratio({ before, after }: Steps, age: number): number {
  return ((before[age] as number) + PRESUMED) / ((after[age] as number) + PRESUMED)
}
