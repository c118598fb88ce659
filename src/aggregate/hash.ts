/** MurmurHash3 x86 128 with seed 0. Chunks of counted keys and sketches of users stand on topics: it stays as it is. */
export function hash128(bytes: Uint8Array, into: Int32Array): void {
  const length = bytes.length
  const blocks = length & ~15
  let h1 = 0
  let h2 = 0
  let h3 = 0
  let h4 = 0
  for (let at = 0; at < blocks; at += 16) {
    h1 = (rotate(h1 ^ mix(word(bytes, at), C1, 15, C2), 19) + h2) | 0
    h1 = (Math.imul(h1, 5) + 0x561ccd1b) | 0
    h2 = (rotate(h2 ^ mix(word(bytes, at + 4), C2, 16, C3), 17) + h3) | 0
    h2 = (Math.imul(h2, 5) + 0x0bcaa747) | 0
    h3 = (rotate(h3 ^ mix(word(bytes, at + 8), C3, 17, C4), 15) + h4) | 0
    h3 = (Math.imul(h3, 5) + 0x96cd1c35) | 0
    h4 = (rotate(h4 ^ mix(word(bytes, at + 12), C4, 18, C1), 13) + h1) | 0
    h4 = (Math.imul(h4, 5) + 0x32ac3b17) | 0
  }
  if (blocks < length) {
    h1 ^= mix(lastWord(bytes, blocks), C1, 15, C2)
    if (length - blocks > 4) h2 ^= mix(lastWord(bytes, blocks + 4), C2, 16, C3)
    if (length - blocks > 8) h3 ^= mix(lastWord(bytes, blocks + 8), C3, 17, C4)
    if (length - blocks > 12) h4 ^= mix(lastWord(bytes, blocks + 12), C4, 18, C1)
  }
  h1 ^= length
  h2 ^= length
  h3 ^= length
  h4 ^= length
  h1 = (h1 + h2 + h3 + h4) | 0
  h2 = finish((h2 + h1) | 0)
  h3 = finish((h3 + h1) | 0)
  h4 = finish((h4 + h1) | 0)
  h1 = finish(h1)
  h1 = (h1 + h2 + h3 + h4) | 0
  into[0] = h1
  into[1] = h2 + h1
  into[2] = h3 + h1
  into[3] = h4 + h1
}

const C1 = 0x239b961b
const C2 = 0xab0e9789
const C3 = 0x38b34ae5
const C4 = 0xa1e38b93

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  )
}

function lastWord(bytes: Uint8Array, at: number): number {
  const left = bytes.length - at
  return (
    (bytes[at] as number) |
    (left > 1 ? (bytes[at + 1] as number) << 8 : 0) |
    (left > 2 ? (bytes[at + 2] as number) << 16 : 0) |
    (left > 3 ? (bytes[at + 3] as number) << 24 : 0)
  )
}

function mix(k: number, by: number, bits: number, then: number): number {
  return Math.imul(rotate(Math.imul(k, by), bits), then)
}

function rotate(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits))
}

function finish(h: number): number {
  let x = h ^ (h >>> 16)
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  return x ^ (x >>> 16)
}
