/**
 * A stream of numbers that depends on its seeds only (sfc32, seeded through a finaliser so that neighbouring seeds share nothing). Each
 * conversation and each person has a stream of its own: that is what makes the world addressable by index.
 */
export class Random {
  #a = 0
  #b = 0
  #c = 0
  #counter = 1

  constructor(seed: number, index: number, salt: number) {
    const hash = mix(mix(mix(seed ^ Math.trunc(seed / 2 ** 32)) ^ index) + salt)
    this.#a = mix(hash + 0x6d2b79f5)
    this.#b = mix(hash + 0x1b873593)
    this.#c = mix(hash + 0xe6546b64)
    for (let round = 0; round < 6; round++) this.uint32()
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum
    return sum >>> 0
  }

  /** In [0, 1). */
  next(): number {
    return this.uint32() / 2 ** 32
  }

  /** A whole number in [least, most]. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1))
  }

  /** In [least, most). */
  between(least: number, most: number): number {
    return least + this.next() * (most - least)
  }

  chance(share: number): boolean {
    return this.next() < share
  }

  /** Waiting time with this mean. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)] as T
  }

  /** One of `from`, in proportion to its `weight`. */
  weighted<T extends { readonly weight: number }>(from: readonly T[]): T {
    let total = 0
    for (const { weight } of from) total += weight
    let left = this.next() * total
    for (const entry of from) {
      left -= entry.weight
      if (left < 0) return entry
    }
    return from.at(-1) as T
  }

  /** Upper-case letters and digits, five bits each: never zero, one, I or O. */
  id(length: number): string {
    let id = ''
    while (id.length < length) {
      const bits = this.uint32()
      id += `${TRIPLES[bits & 0x7fff]}${TRIPLES[(bits >>> 15) & 0x7fff]}`
    }
    return id.slice(0, length)
  }

  uuid(): string {
    const hex = Array.from({ length: 4 }, () => this.uint32().toString(16).padStart(8, '0')).join('')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
  }
}

const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789'

/** Every three letters, so that an id is put together in few steps. */
export const TRIPLES = Array.from({ length: 32 ** 3 }, (_, n) => `${LETTERS[n >> 10]}${LETTERS[(n >> 5) & 31]}${LETTERS[n & 31]}`)

function mix(value: number): number {
  let x = value | 0
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad)
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97)
  return (x ^ (x >>> 15)) >>> 0
}
