/**
 * Memory that the records of one transaction are written into, so that no record has a buffer of its own to be collected. What `take` gives is
 * good until `reset`, which is called when the transaction is over.
 */
const CHUNK_BYTES = 1024 * 1024
/** Chunks kept for the next transaction. */
const KEPT_CHUNKS = 12

export interface InPlaceEncoder<T> {
  /** Writes the value at `position`. Returns the position after it, or how many bytes were missing as a negative number. */
  encodeInto(value: T, buffer: Buffer, position: number): number
}

export class Slab {
  #chunks: Buffer[] = [Buffer.allocUnsafeSlow(CHUNK_BYTES)]
  #index = 0
  #chunk = this.#chunks[0] as Buffer
  #at = 0
  #bytes = 0
  #lastStart = 0

  /** Bytes given out since the last `reset`. */
  get bytes(): number {
    return this.#bytes
  }

  /** Where, in its chunk, what was given last begins. */
  get lastStart(): number {
    return this.#lastStart
  }

  encode<T>(encoder: InPlaceEncoder<T>, value: T): Buffer {
    let end = encoder.encodeInto(value, this.#chunk, this.#at)
    while (end < 0) {
      this.#grow(this.#chunk.length - this.#at - end)
      end = encoder.encodeInto(value, this.#chunk, this.#at)
    }
    return this.#give(end)
  }

  /** `bytes` of memory; `write` gets them and tells the position after what it wrote. */
  take(bytes: number, write: (buffer: Buffer, at: number) => number): Buffer {
    if (this.#chunk.length - this.#at < bytes) this.#grow(bytes)
    return this.#give(write(this.#chunk, this.#at))
  }

  text(text: string): Buffer {
    const most = text.length * 3
    if (this.#chunk.length - this.#at < most) this.#grow(most)
    return this.#give(this.#at + this.#chunk.write(text, this.#at))
  }

  /** Takes back what was given last. */
  giveBack(): void {
    this.#bytes -= this.#at - this.#lastStart
    this.#at = this.#lastStart
  }

  reset(): void {
    if (this.#chunks.length > KEPT_CHUNKS) this.#chunks.length = KEPT_CHUNKS
    this.#chunks = this.#chunks.filter((chunk, index) => index === 0 || chunk.length === CHUNK_BYTES)
    this.#index = 0
    this.#chunk = this.#chunks[0] as Buffer
    this.#at = 0
    this.#lastStart = 0
    this.#bytes = 0
  }

  #give(end: number): Buffer {
    this.#lastStart = this.#at
    this.#at = end
    this.#bytes += end - this.#lastStart
    return this.#chunk.subarray(this.#lastStart, end)
  }

  #grow(bytes: number): void {
    this.#index++
    let chunk = this.#chunks[this.#index]
    if (chunk === undefined || chunk.length < bytes) {
      chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, bytes))
      this.#chunks.splice(this.#index, 0, chunk)
    }
    this.#chunk = chunk
    this.#at = 0
    this.#lastStart = 0
  }
}
