/** Memory that the records of one transaction are written into, so that no record has a buffer of its own to be collected. */
const CHUNK_BYTES = 1024 * 1024
/** Chunks kept for the next transaction. */
const KEPT_CHUNKS = 8

export interface Arena {
  text(text: string): Buffer
  encode<T>(encoder: { encodeInto(value: T, buffer: Buffer, at: number): number }, value: T): Buffer
  /** So many bytes, to be filled by the caller. */
  take(bytes: number): Buffer
  /** What was given before may be written over from now on. */
  reset(): void
}

export function createArena(): Arena {
  const chunks: Buffer[] = [Buffer.allocUnsafeSlow(CHUNK_BYTES)]
  let chunk = chunks[0] as Buffer
  let index = 0
  let at = 0

  /** The next chunk that has room for so many bytes. */
  function more(bytes: number): void {
    index++
    chunk = chunks[index] ?? Buffer.alloc(0)
    if (chunk.length < bytes) {
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes))
      chunks.splice(index, 0, chunk)
    }
    at = 0
  }

  function give(end: number): Buffer {
    const start = at
    at = end
    return chunk.subarray(start, end)
  }

  return {
    text(text) {
      if (chunk.length - at < text.length * 3) more(text.length * 3)
      return give(at + chunk.write(text, at))
    },
    encode(encoder, value) {
      for (;;) {
        const end = encoder.encodeInto(value, chunk, at)
        if (end >= 0) return give(end)
        more(chunk.length - at - end)
      }
    },
    take(bytes) {
      if (chunk.length - at < bytes) more(bytes)
      return give(at + bytes)
    },
    reset() {
      chunks.length = Math.min(chunks.length, KEPT_CHUNKS)
      chunk = chunks[0] as Buffer
      index = 0
      at = 0
    },
  }
}
