/** Numbers drawn from a seed, the same on every run. */
export interface Draw {
  /** [0, 1) */
  number(): number
  /** Whole, least and most included. */
  between(least: number, most: number): number
  chance(probability: number): boolean
  one<T>(of: readonly [T, ...T[]]): T
}

export function draw(seed: number): Draw {
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0
  const number = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const between = (least: number, most: number) => least + Math.floor(number() * (most - least + 1))
  return { number, between, chance: probability => number() < probability, one: of => of[between(0, of.length - 1)] ?? of[0] }
}
