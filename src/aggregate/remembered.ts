/**
 * What every session has been counted as, so that a new revision can take it back: a hash table in typed arrays, keyed by 128 bits of the session key.
 *
 * A session costs 61 to 122 bytes (the table doubles), all of it outside the JavaScript heap; 1 million cost 64 MB. The key itself is not kept (100 bytes more a
 * session); that two of 100 million keys share 128 bits has a chance of 1 to 10^23.
 */
import type { Column } from './checkpoint-file.ts'
import type { Contribution } from './contribution.ts'
import { NO_MINUTE } from './contribution.ts'
import { grown } from './cells.ts'
import { hash128 } from './hash.ts'

export interface RememberedSessions {
  /** The number of a session, or -1. Numbers hold until the next `forgetBefore`. */
  find(key: Uint8Array): number
  /** The number of a session, made when new; a new one has revision 0 and counts nowhere. */
  at(key: Uint8Array): number
  read(session: number, into: Contribution): Contribution
  /** Milliseconds from its start to its end; -1 when it has no start. */
  durationMs(session: number): number
  /** One of USER; when it is USER.known, the hash of the user is in `into`, the high word first. */
  user(session: number, into: Int32Array): number
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
  /** All of the table as it is, to be written to a file; valid until the next change. */
  columns(): { readonly rows: number; readonly columns: readonly Column[] }
  /** Fills an empty table with what `columns` gave, column by column. */
  adopt(rows: number, fill: (column: Column) => Promise<void>): Promise<void>
  readonly size: number
  readonly bytes: number
}

const TOLD = 0x80
/** The low bits are the containment. */
const CONTAINMENT = 0x07
const USER_SHIFT = 3

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
  let flags = new Uint8Array(capacity) // containment, user, told
  let userHighs = new Int32Array(capacity)
  let userLows = new Int32Array(capacity)
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
    userHighs = grown(userHighs, to)
    userLows = grown(userLows, to)
    reindex()
  }

  function reindex(): void {
    index = new Int32Array(capacity * 2)
    mask = index.length - 1
    for (let session = 0; session < size; session++) {
      let slot = (hashes[session * 4] as number) & mask
      while (index[slot] !== 0) slot = (slot + 1) & mask
      index[slot] = session + 1
    }
  }

  const userOf = (session: number) => ((flags[session] as number) & ~TOLD) >> USER_SHIFT
  const columns = () => [revisions, serieses, started, ended, transfers, durations, flags, userHighs, userLows]

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
      into.containment = (flags[session] as number) & CONTAINMENT
      into.user = userOf(session)
      into.userHigh = userHighs[session] as number
      into.userLow = userLows[session] as number
      return into
    },
    durationMs: session => (started[session] === NO_MINUTE ? -1 : (durations[session] as number)),
    user(session, into) {
      into[0] = userHighs[session] as number
      into[1] = userLows[session] as number
      return userOf(session)
    },
    revision: session => revisions[session] as number,
    put(session, contribution) {
      revisions[session] = contribution.revision
      serieses[session] = contribution.series
      started[session] = contribution.started
      ended[session] = contribution.ended
      durations[session] = contribution.durationMs
      transfers[session] = contribution.transfer
      userHighs[session] = contribution.userHigh
      userLows[session] = contribution.userLow
      flags[session] = ((flags[session] as number) & TOLD) | (contribution.user << USER_SHIFT) | contribution.containment
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
      const all = columns()
      let kept = 0
      for (let session = 0; session < size; session++) {
        const newest = Math.max(started[session] as number, ended[session] as number, transfers[session] as number)
        if (revisions[session] === 0 || newest < minute || newest === NO_MINUTE) continue
        if (kept < session) {
          hashes.copyWithin(kept * 4, session * 4, session * 4 + 4)
          for (const column of all) column.copyWithin(kept, session, session + 1)
        }
        kept++
      }
      if (kept === size) return
      size = kept
      let fitting = capacity
      while (fitting > initial && fitting / 4 >= size) fitting /= 2
      for (const column of all) column.fill(0, size)
      resize(fitting)
    },
    columns: () => ({
      rows: size,
      columns: [hashes.subarray(0, size * 4), ...columns().map(column => column.subarray(0, size))],
    }),
    async adopt(rows, fill) {
      let fitting = initial
      while (fitting < rows) fitting *= 2
      resize(fitting)
      await fill(hashes.subarray(0, rows * 4))
      for (const column of columns()) await fill(column.subarray(0, rows))
      size = rows
      reindex()
    },
    get size() {
      return size
    },
    get bytes() {
      return [index, hashes, ...columns()].reduce((sum, column) => sum + column.byteLength, 0)
    },
  }
}
