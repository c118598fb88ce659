/**
 * What every session has been counted as, so that a new revision can take it back: a hash table in typed arrays, keyed by 128 bits of the session key.
 *
 * A session costs 53 to 106 bytes (the table doubles), all of it outside the JavaScript heap; 1 million cost 56 MB. The key itself is not kept (100 bytes more a
 * session); that two of 100 million keys share 128 bits has a chance of 1 to 10^23.
 */
import type { Contribution } from './contribution.ts'
import { NO_MINUTE } from './contribution.ts'
import { grown } from './cells.ts'

export interface RememberedSessions {
  /** The number of a session, or -1. Numbers hold until the next `forgetBefore`. */
  find(key: Uint8Array): number
  /** The number of a session, made when new; a new one has revision 0 and counts nowhere. */
  at(key: Uint8Array): number
  read(session: number, into: Contribution): Contribution
  /** 0: counts nowhere (never seen, or withdrawn). */
  revision(session: number): number
  put(session: number, contribution: Contribution): void
  /** The session counts nowhere any more; any later revision counts again. */
  withdraw(session: number): void
  /** Whether a transfer of the session was told once before; asking notes that it is told now. */
  tellTransfer(session: number): boolean
  wasTransferTold(session: number): boolean
  /** Drops withdrawn sessions and those that count only before this minute. */
  forgetBefore(minute: number): void
  readonly size: number
  readonly bytes: number
}

const TOLD = 0x80

export function createRemembered(initial = 1024): RememberedSessions {
  let capacity = initial
  let mask = capacity * 2 - 1
  let index = new Int32Array(capacity * 2) // number + 1; 0 is empty
  let hashes = new Int32Array(capacity * 4)
  let revisions = new Int32Array(capacity)
  let serieses = new Int32Array(capacity)
  let started = new Int32Array(capacity)
  let ended = new Int32Array(capacity)
  let transfers = new Int32Array(capacity)
  let durations = new Float64Array(capacity)
  let flags = new Uint8Array(capacity) // containment in the low bits
  let size = 0
  const hash = new Int32Array(4)

  /** The number, or -1 - slot where it would go. `hash` holds the key's hash afterwards. */
  function locate(key: Uint8Array): number {
    hash128(key, hash)
    const h0 = hash[0] as number
    const h1 = hash[1] as number
    const h2 = hash[2] as number
    const h3 = hash[3] as number
    let slot = h0 & mask
    for (;;) {
      const session = (index[slot] as number) - 1
      if (session < 0) return -1 - slot
      const h = session * 4
      if (hashes[h] === h0 && hashes[h + 1] === h1 && hashes[h + 2] === h2 && hashes[h + 3] === h3) return session
      slot = (slot + 1) & mask
    }
  }

  function at(key: Uint8Array): number {
    const found = locate(key)
    if (found >= 0) return found
    if (size === capacity) {
      resize(capacity * 2)
      return at(key)
    }
    const session = size++
    index[-1 - found] = session + 1
    hashes.set(hash, session * 4)
    return session
  }

  function resize(to: number): void {
    capacity = to
    hashes = grown(hashes, to * 4)
    revisions = grown(revisions, to)
    serieses = grown(serieses, to)
    started = grown(started, to)
    ended = grown(ended, to)
    transfers = grown(transfers, to)
    durations = grown(durations, to)
    flags = grown(flags, to)
    index = new Int32Array(to * 2)
    mask = index.length - 1
    for (let session = 0; session < size; session++) {
      let slot = (hashes[session * 4] as number) & mask
      while (index[slot] !== 0) slot = (slot + 1) & mask
      index[slot] = session + 1
    }
  }

  return {
    find(key) {
      const found = locate(key)
      return found >= 0 ? found : -1
    },
    at,
    read(session, into) {
      into.revision = revisions[session] as number
      into.series = serieses[session] as number
      into.started = started[session] as number
      into.ended = ended[session] as number
      into.durationMs = durations[session] as number
      into.transfer = transfers[session] as number
      into.containment = (flags[session] as number) & ~TOLD
      return into
    },
    revision: session => revisions[session] as number,
    put(session, contribution) {
      revisions[session] = contribution.revision
      serieses[session] = contribution.series
      started[session] = contribution.started
      ended[session] = contribution.ended
      durations[session] = contribution.durationMs
      transfers[session] = contribution.transfer
      flags[session] = ((flags[session] as number) & TOLD) | contribution.containment
    },
    withdraw(session) {
      revisions[session] = 0
    },
    tellTransfer(session) {
      const told = ((flags[session] as number) & TOLD) !== 0
      flags[session] = (flags[session] as number) | TOLD
      return told
    },
    wasTransferTold: session => ((flags[session] as number) & TOLD) !== 0,
    forgetBefore(minute) {
      let kept = 0
      for (let session = 0; session < size; session++) {
        const newest = Math.max(started[session] as number, ended[session] as number, transfers[session] as number)
        if (revisions[session] === 0 || newest < minute || newest === NO_MINUTE) continue
        if (kept < session) {
          hashes.copyWithin(kept * 4, session * 4, session * 4 + 4)
          for (const column of [revisions, serieses, started, ended, transfers, durations, flags])
            column.copyWithin(kept, session, session + 1)
        }
        kept++
      }
      if (kept === size) return
      size = kept
      let fitting = capacity
      while (fitting > initial && fitting / 4 >= size) fitting /= 2
      for (const column of [revisions, serieses, started, ended, transfers, durations, flags]) column.fill(0, size)
      resize(fitting)
    },
    get size() {
      return size
    },
    get bytes() {
      const columns = [index, hashes, revisions, serieses, started, ended, transfers, durations, flags]
      return columns.reduce((sum, column) => sum + column.byteLength, 0)
    },
  }
}

/** MurmurHash3 x86 128 with seed 0. Only in memory: nothing on a topic depends on it. */
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
