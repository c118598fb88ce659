const SEED = 0x9747b28c
const MIX = 0x5bd1e995

/** The partition of a key, computed as Kafka's own clients do: murmur2 of the UTF-8 bytes, sign bit off, modulo the count. */
export function partitionOf(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions
}

/** A hash of 32 bits, signed. */
export function murmur2(data: Buffer): number {
  const { length } = data
  const whole = length - (length % 4)
  let hash = SEED ^ length
  for (let at = 0; at < whole; at += 4) {
    let word = Math.imul(data.readInt32LE(at), MIX)
    word ^= word >>> 24
    hash = Math.imul(hash, MIX) ^ Math.imul(word, MIX)
  }
  const rest = length - whole
  if (rest > 0) {
    if (rest === 3) hash ^= (data[whole + 2] ?? 0) << 16
    if (rest >= 2) hash ^= (data[whole + 1] ?? 0) << 8
    hash = Math.imul(hash ^ (data[whole] ?? 0), MIX)
  }
  hash ^= hash >>> 13
  hash = Math.imul(hash, MIX)
  return hash ^ (hash >>> 15)
}
