/**
 * Sets of users that are made of sketches: exact while each user is there by itself and they are few, else as the registers of a HyperLogLog. Which of the two
 * is decided by what is in the set, so the same users are counted the same in whatever order they came.
 */
import { estimateUsers, HIGHEST, registerOf, REGISTERS, registerValue } from '../users-sketch.ts'

/** Up to so many users are counted one by one. */
const MOST_EXACT = 4096
/** The low 20 bits of the high word and the low word make a number that a double holds. */
const HIGH_BITS = 0xfffff
const WORD = 2 ** 32

export interface UserSet {
  /** @param high At least its low 20 bits count. */
  addUser(high: number, low: number): void
  addRegister(register: number, value: number): void
  addTo(other: UserSet): void
  count(): number
  /** The users as numbers, to be read by `highOf` and `lowOf`; null when there are registers. */
  exact(): Iterable<number> | null
  /** Calls back for every register that is not 0. */
  eachRegister(take: (register: number, value: number) => void): void
  clear(): void
}

const highOf = (user: number) => Math.floor(user / WORD)
const lowOf = (user: number) => user | 0

export function createUserSet(): UserSet {
  const users = new Set<number>()
  let registers: Uint8Array | null = null
  let isExact = true

  function raise(register: number, value: number): void {
    registers ??= new Uint8Array(REGISTERS)
    if (value > (registers[register] as number)) registers[register] = value
  }

  function raiseFor(high: number, low: number): void {
    raise(registerOf(low), registerValue(high, low))
  }

  function becomeRegisters(): void {
    if (!isExact) return
    isExact = false
    for (const user of users) raiseFor(highOf(user), lowOf(user))
    users.clear()
  }

  const set: UserSet = {
    addUser(high, low) {
      if (isExact) {
        users.add((high & HIGH_BITS) * WORD + (low >>> 0))
        if (users.size > MOST_EXACT) becomeRegisters()
      } else raiseFor(high, low)
    },
    addRegister(register, value) {
      becomeRegisters()
      raise(register, value)
    },
    addTo(other) {
      if (isExact) for (const user of users) other.addUser(highOf(user), lowOf(user))
      else set.eachRegister((register, value) => other.addRegister(register, value))
    },
    count() {
      if (isExact) return users.size
      const having = new Int32Array(HIGHEST + 1)
      for (const value of registers ?? []) having[value] = (having[value] as number) + 1
      return Math.round(estimateUsers(having))
    },
    exact: () => (isExact ? users : null),
    eachRegister(take) {
      if (isExact) for (const user of users) take(registerOf(lowOf(user)), registerValue(highOf(user), lowOf(user)))
      else for (let at = 0; at < REGISTERS; at++) if (registers?.[at] !== 0) take(at, registers?.[at] as number)
    },
    clear() {
      users.clear()
      if (!isExact) registers?.fill(0)
      isExact = true
    },
  }
  return set
}

/** Most users that are followed one by one: a window with more of them is estimated. */
const MOST_FOLLOWED = 262_144

/** The users of a window that moves over buckets. */
export interface WindowUsers {
  /** Moves the window on over the next bucket. @returns how many users it holds then */
  pass(bucket: UserSet): number
  /** Nothing has been passed. */
  clear(): void
}

/**
 * What entered last is remembered with its bucket, user by user and register by register, so that a bucket that leaves takes with it only what has not come again. The
 * window is counted as one set of its users would be.
 */
export function createWindowUsers(window: number): WindowUsers {
  interface Passed {
    /** Registers times 32 plus their values. */
    readonly raised: Int32Array
    /** null: there were only registers. */
    readonly users: Float64Array | null
  }
  const passed = createQueue<Passed>(window)
  /** By register and value, the newest bucket that raised it so; and what each register stands at. */
  const newest = new Int32Array(REGISTERS * (HIGHEST + 1)).fill(-1)
  const registers = new Uint8Array(REGISTERS)
  const having = new Int32Array(HIGHEST + 1)
  /** By user, the newest bucket in which it was. */
  const lastSeen = new Map<number, number>()
  let inexactBuckets = 0
  /** Whether there were more than can be followed. Then what leaves is forgotten until nothing of that time is left. */
  let lostUntil = -1
  let bucket = -1

  function set(register: number, value: number): void {
    const before = registers[register] as number
    having[before] = (having[before] as number) - 1
    having[value] = (having[value] as number) + 1
    registers[register] = value
  }

  function enter(users: UserSet): Passed {
    const raised: number[] = []
    users.eachRegister((register, value) => {
      const entry = register * (HIGHEST + 1) + value
      raised.push(entry)
      newest[entry] = bucket
      if (value > (registers[register] as number)) set(register, value)
    })
    const exact = users.exact()
    if (exact === null) inexactBuckets++
    for (const user of exact ?? []) lastSeen.set(user, bucket)
    if (lastSeen.size > MOST_FOLLOWED) {
      lastSeen.clear()
      lostUntil = bucket + window
    }
    return { raised: Int32Array.from(raised), users: exact && Float64Array.from(exact) }
  }

  function leave({ raised, users }: Passed): void {
    const left = bucket - window
    for (const entry of raised) {
      const register = Math.floor(entry / (HIGHEST + 1))
      const value = entry % (HIGHEST + 1)
      if (newest[entry] !== left) continue
      newest[entry] = -1
      if (registers[register] !== value) continue
      let lower = value - 1
      while (lower > 0 && newest[entry - value + lower] === -1) lower--
      set(register, lower)
    }
    if (users === null) inexactBuckets--
    else for (const user of users) if (lastSeen.get(user) === left) lastSeen.delete(user)
  }

  return {
    pass(users) {
      bucket++
      const gone = passed.push(enter(users))
      if (gone !== undefined) leave(gone)
      if (inexactBuckets === 0 && bucket >= lostUntil && lastSeen.size <= MOST_EXACT) return lastSeen.size
      return Math.round(estimateUsers(having))
    },
    clear() {
      passed.clear()
      newest.fill(-1)
      registers.fill(0)
      having.fill(0)
      having[0] = REGISTERS
      lastSeen.clear()
      inexactBuckets = 0
      lostUntil = -1
      bucket = -1
    },
  }
}

/** The newest of so many. */
export interface Queue<T> {
  /** @returns what is pushed out */
  push(item: T): T | undefined
  clear(): void
}

export function createQueue<T>(length: number): Queue<T> {
  const items: T[] = []
  let at = 0
  return {
    push(item) {
      const gone = items[at]
      items[at] = item
      at = (at + 1) % length
      return gone
    },
    clear() {
      items.length = 0
      at = 0
    },
  }
}
