/**
 * Waits for a turn under the vendor's limits. Counts apply to **any** rolling window of their length, not as token buckets that burst: a vendor that counts by
 * clock hours or by rolling minutes sees no more than it allows either way. The vendor counts arrivals, and a request arrives between its start and its end,
 * the first ones of a process later than others: so a request may start only when those it is counted with have been over for the length of the window.
 *
 * All times here are steady (`steadyMs`): a clock that is set forward frees no turn early, and one that is set back makes nobody wait.
 */
import { createHash } from 'node:crypto'
import { type Clock, steadyMs } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Quota } from './contract.ts'
import { LONGEST_DAY_WAIT_MS } from './wait.ts'

/** Who goes first when several wait: new, hot, named or open rows, then rows that may have changed, then history. */
export const PRIORITY = { live: 0, lookback: 1, backfill: 2 } as const

/** How many requests in a row the first priority gets while others wait; the next one goes to the longest waiting of these. So none waits for ever. */
const TURNS_IN_A_ROW = 4

/** See `PRIORITY`. A function is called at every turn: waiting work may become urgent. */
export type Priority = number | (() => number)

export interface QuotaGate {
  /**
   * Resolves when a request may start, and counts it; call the returned function when the request is over (more calls do nothing). Lower numbers go first,
   * except for one request in five, equal ones in order of arrival. Rejects with STOPPED as soon as the signal aborts.
   */
  acquire(priority: Priority, signal: AbortSignal): Promise<() => void>
  /**
   * Nothing starts before this time, epoch milliseconds by the current clock: the vendor asked us to wait. An earlier hold is never shortened, and none is
   * longer than an hour.
   */
  holdUntil(untilMs: number): void
}

/** Half-open windows may touch, and clocks are cut to milliseconds. */
const MARGIN_MS = 20
/** A request has arrived this long after its start at the latest, however long its answer takes. */
const LONGEST_WAY_MS = 1000

/** No hold is longer, whatever the vendor asks for. */
const LONGEST_HOLD_MS = LONGEST_DAY_WAIT_MS

type Limits = Omit<Quota, 'sharedBy'>

/** Recent requests to the vendor, as the next process must count them. */
export interface Spent {
  /** Number of requests, the newest of them started by `atMs` (epoch milliseconds). */
  readonly requests: readonly { readonly atMs: number; readonly count: number }[]
  /**
   * How many more may have been made since: the most there were between two calls of `spent`, but at least a sixth and at most half of what is allowed in a
   * minute.
   */
  readonly untold: number
}
/** Resolution of `spent` for requests of the last minute, and for those before: they are dated at most this many milliseconds late. */
const FINE_MS = 5_000
const COARSE_MS = 60_000
/** Younger requests are never taken for recalled ones. */
const RECENT_MS = 2_000
/** How long the users of a quota wait for one of them to recall its requests. */
const RECALL_MS = 10_000
/** Uncertain state is checked again after this time. */
export const DOUBT_MS = 100
/** Largest clock difference between two workers, where a limit per second bounds what one of them may have sent. */
const SKEW_MS = 2_000

interface Waiter {
  readonly by: string | null
  readonly priority: Priority
  readonly sinceMs: number
  start(request: Request): void
}

interface Request {
  readonly startMs: number
  /** The requester, if known. */
  readonly by: string | null
  /** Latest time of arrival. */
  arrivedMs: number
}

/** @param onWaited Called with the seconds that a request waited here, once for each that starts; not called if it need not wait. */
export function createQuota(limits: Limits, clock: Clock, onWaited: (seconds: number) => void = () => {}): QuotaGate {
  return gateOf(() => ({ limits, notBeforeMs: -Infinity }), clock, onWaited)
}

/** The current rules: the limits, and a time before which nothing starts. */
interface Rules {
  readonly limits: Limits
  readonly notBeforeMs: number
}

interface Gate extends QuotaGate {
  /** As `acquire`, with the requester that the request is counted for. */
  acquireFor(by: string | null, priority: Priority, signal: AbortSignal): Promise<() => void>
  /** Counts earlier requests, by their steady times, replacing what is known of the same requester. */
  recall(by: string | null, startsMs: readonly number[]): void
  recheck(): void
}

function gateOf(rules: () => Rules, clock: Clock, onWaited: (seconds: number) => void): Gate {
  /** Past and current requests, by their start, oldest first, no more than the largest count needs. */
  let requests: Request[] = []
  let underWay = 0
  let heldUntilMs = -Infinity
  /** In order of arrival. */
  const waiters: Waiter[] = []
  let turnsInARow = 0
  /** The one sleep until the next turn; null while nobody sleeps. */
  let alarm: { abort: AbortController; dueMs: number } | null = null

  /** When the next request may start, as far as time decides it. */
  function readyAtMs(): number {
    const { limits, notBeforeMs } = rules()
    const { perSecond, perMinute, perHour, gapMs } = limits
    let readyMs = Math.max(heldUntilMs, notBeforeMs)
    if (gapMs) readyMs = Math.max(readyMs, (requests.at(-1)?.startMs ?? -Infinity) + gapMs + MARGIN_MS)
    if (perSecond) readyMs = Math.max(readyMs, freeAgain(perSecond, 1000))
    if (perMinute) readyMs = Math.max(readyMs, freeAgain(perMinute, 60_000))
    if (perHour) readyMs = Math.max(readyMs, freeAgain(perHour, 3_600_000))
    return readyMs
  }

  function freeAgain(count: number, lengthMs: number): number {
    const oldest = requests[requests.length - count]
    return oldest === undefined ? -Infinity : oldest.arrivedMs + lengthMs + MARGIN_MS
  }

  function remember(nowMs: number, by: string | null): Request {
    const { perSecond = 0, perMinute = 0, perHour = 0 } = rules().limits
    const request = { startMs: nowMs, by, arrivedMs: nowMs + LONGEST_WAY_MS }
    requests.push(request)
    const most = Math.max(perSecond, perMinute, perHour, 1)
    if (requests.length >= 2 * most) requests = requests.slice(-most)
    return request
  }

  function takeNext(): Waiter {
    const priorities = waiters.map(({ priority }) => (typeof priority === 'function' ? priority() : priority))
    const first = Math.min(...priorities)
    const oldestOther = priorities.findIndex(priority => priority > first)
    turnsInARow = oldestOther === -1 ? 0 : turnsInARow + 1
    let next = priorities.indexOf(first)
    if (turnsInARow > TURNS_IN_A_ROW) {
      turnsInARow = 0
      next = oldestOther
    }
    return waiters.splice(next, 1)[0] as Waiter
  }

  /** Starts those that may start, and sets the alarm for the next. */
  function pump(): void {
    const concurrency = rules().limits.concurrency || Infinity
    while (waiters.length > 0 && underWay < concurrency) {
      const nowMs = steadyMs(clock)
      const readyMs = readyAtMs()
      if (readyMs > nowMs) {
        setAlarm(readyMs, nowMs)
        return
      }
      const waiter = takeNext()
      underWay++
      const request = remember(nowMs, waiter.by)
      if (nowMs > waiter.sinceMs) onWaited((nowMs - waiter.sinceMs) / 1000)
      waiter.start(request)
    }
    setAlarm(null, 0)
  }

  function setAlarm(dueMs: number | null, nowMs: number): void {
    if (alarm !== null && alarm.dueMs === dueMs) return
    alarm?.abort.abort()
    alarm = null
    if (dueMs === null) return
    const mine = { abort: new AbortController(), dueMs }
    alarm = mine
    void clock.sleep(dueMs - nowMs, mine.abort.signal).then(() => {
      if (alarm !== mine) return
      alarm = null
      pump()
    })
  }

  const acquireFor = (by: string | null, priority: Priority, signal: AbortSignal): Promise<() => void> =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(new FlowError('STOPPED'))
        return
      }
      const stop = () => {
        waiters.splice(waiters.indexOf(waiter), 1)
        reject(new FlowError('STOPPED'))
        pump()
      }
      const waiter: Waiter = {
        by,
        priority,
        sinceMs: steadyMs(clock),
        start: request => {
          signal.removeEventListener('abort', stop)
          let over = false
          resolve(() => {
            if (over) return
            over = true
            underWay--
            request.arrivedMs = Math.min(request.arrivedMs, steadyMs(clock))
            pump()
          })
        },
      }
      waiters.push(waiter)
      signal.addEventListener('abort', stop, { once: true })
      pump()
    })

  return {
    acquireFor,
    acquire: (priority, signal) => acquireFor(null, priority, signal),
    holdUntil: untilMs => {
      const waitMs = Math.min(untilMs - clock.now(), LONGEST_HOLD_MS)
      if (!(waitMs > 0)) return
      heldUntilMs = Math.max(heldUntilMs, steadyMs(clock) + waitMs)
      pump()
    },
    recall: (by, startsMs) => {
      const before = startsMs.map(startMs => ({ startMs, by, arrivedMs: startMs + LONGEST_WAY_MS }))
      // Recalled times are coarse: limits per second need the exact times of the latest requests.
      const sinceMs = steadyMs(clock) - RECENT_MS
      const kept = requests.filter(request => by === null || request.by !== by || request.startMs > sinceMs)
      requests = [...before, ...kept].sort((a, b) => a.startMs - b.startMs)
      pump()
    },
    recheck: pump,
  }
}

/** A task's share of an account's quota. */
export interface QuotaLease {
  readonly gate: QuotaGate
  /** Requests through this lease that a limit per minute or hour still counts. Empty without such a limit. */
  spent(): Spent
  /**
   * Whether so many requests were made since the last `spent` that it should be recorded again, so that a killed process does not leave too many unrecorded.
   */
  isDue(): boolean
  /** Counts the `spent` of an earlier process; null: there was none. Only before the first request: afterwards the topics have this process's own. */
  recall(spent: Spent | null): void
  /** After the last request through it: `spent` is exact from now on, so that the next owner of the task need not assume more. */
  settle(): void
  /** When the task stops. */
  end(): void
}

/** Names what a quota is counted by, without showing it: the value may be a secret. */
export function quotaDigest(vendor: string, shared: string): string {
  return createHash('sha256')
    .update(JSON.stringify([vendor, shared]))
    .digest('hex')
    .slice(0, 24)
}

/** Largest number of processes the limits can be divided among, so that each may make a request of every kind; null: there are no limits. */
export function divisibleBy({ perSecond, perMinute, perHour, concurrency, gapMs }: Limits): number | null {
  const counts = [perSecond, perMinute, perHour, concurrency].filter(count => count !== undefined && count > 0) as number[]
  if (counts.length === 0 && !gapMs) return null
  // Only one process can keep the time between two requests.
  return gapMs ? 1 : Math.max(1, Math.floor(Math.min(...counts)))
}

export interface QuotaPool {
  /**
   * The gate shared by everyone with the same vendor and the same value of `sharedBy`. If they name different limits, the strictest applies while its lease
   * lasts.
   *
   * @param requester.shared Value of the manifest's `sharedBy` key, or the connector's name. May be a secret: only a digest of it is kept.
   * @param requester.by The requester: what it recalls replaces what is known of it. Absent: one that never comes again.
   * @param requester.willRecall Whether `recall` will be called: others who share the quota wait for it, at most ten seconds. Default false.
   */
  lease(requester: {
    vendor: string
    shared: string
    limits: Limits
    by?: string
    willRecall?: boolean
    onWaited?: (seconds: number) => void
  }): QuotaLease
  /**
   * This process's share of each quota that other processes use, too, by its digest (`quotaDigest`); it may use all of the others. Counts are divided into
   * whole requests, and with a share of 0 nothing is sent.
   */
  divide(parts: ReadonlyMap<string, number>): void
  /**
   * Counts the recorded requests of another process to a divided quota: a new share must not come on top of them.
   *
   * @param requester.quota See `quotaDigest`. Ignored if nobody here has a lease of it.
   */
  recallFor(requester: { readonly quota: string; readonly by: string; readonly spent: Spent }): void
}

interface Share {
  readonly gate: Gate
  readonly leases: Set<Lease>
  readonly presumed: Presumed
  part: number
  /** Since when the share is larger than before, steady. */
  raisedMs: number
}

/**
 * One per process: accounts are counted together however many connectors and tasks read them.
 *
 * @param certainSinceMs Since when no other process can have owned what is read here, and nothing begun earlier is still to be sent, steady; Infinity:
 *   uncertain now, so nothing is sent.
 */
export function quotaPool(clock: Clock, certainSinceMs: () => number = () => -Infinity): QuotaPool {
  const shares = new Map<string, Share>()
  let parts: ReadonlyMap<string, number> = new Map()
  function rules({ leases, part, raisedMs }: Pick<Share, 'leases' | 'part' | 'raisedMs'>): Rules {
    const sinceMs = certainSinceMs()
    if (sinceMs === Infinity) return { ...rulesOf(leases, part, raisedMs), notBeforeMs: steadyMs(clock) + DOUBT_MS }
    return rulesOf(leases, part, Math.max(raisedMs, sinceMs))
  }

  return {
    divide: to => {
      parts = to
      for (const [key, share] of shares) {
        const part = parts.get(key) ?? 1
        if (part > share.part) share.raisedMs = steadyMs(clock)
        share.part = part
        share.gate.recheck()
      }
    },
    recallFor: ({ quota, by, spent }) => {
      const share = shares.get(quota)
      if (share === undefined) return
      const { gate, presumed } = share
      gate.recall(by, new Ledger(() => rules(share).limits, clock).recall(spent, presumed.presume(by, spent)))
    },
    lease: ({ vendor, shared, limits, by = null, willRecall = false, onWaited = () => {} }) => {
      const key = quotaDigest(vendor, shared)
      let share = shares.get(key)
      if (share === undefined) {
        const leases = new Set<Lease>()
        const mine: Omit<Share, 'gate'> = {
          leases,
          presumed: new Presumed(() => rulesOf(leases, 1, -Infinity).limits, clock),
          part: parts.get(key) ?? 1,
          raisedMs: -Infinity,
        }
        const gate = gateOf(
          () => rules(mine),
          clock,
          () => {},
        )
        shares.set(key, (share = Object.assign(mine, { gate })))
      }
      const { gate, leases, presumed } = share
      const nowMs = steadyMs(clock)
      const mine: Lease = {
        limits,
        sinceMs: willRecall ? nowMs : -Infinity,
        awaitedUntilMs: willRecall ? nowMs + RECALL_MS : -Infinity,
      }
      leases.add(mine)
      const ledger = new Ledger(() => rules(share).limits, clock)
      let hasBegun = false
      return {
        gate: {
          acquire: async (priority, signal) => {
            const sinceMs = steadyMs(clock)
            const release = await gate.acquireFor(by, priority, signal)
            const nowMs = steadyMs(clock)
            if (nowMs > sinceMs) onWaited((nowMs - sinceMs) / 1000)
            hasBegun = true
            ledger.add(nowMs)
            return release
          },
          holdUntil: untilMs => gate.holdUntil(untilMs),
        },
        spent: () => ledger.spent(),
        isDue: () => ledger.isDue(),
        settle: () => ledger.settle(),
        recall: spent => {
          if (hasBegun) return
          hasBegun = true
          mine.awaitedUntilMs = -Infinity
          if (spent === null) {
            mine.sinceMs = -Infinity
            gate.recheck()
          } else gate.recall(by, ledger.recall(spent, presumed.presume(by, spent)))
        },
        end: () => {
          leases.delete(mine)
          gate.recheck()
        },
      }
    },
  }
}

/** Requests through one lease that a limit per minute or hour may still count. */
class Ledger {
  readonly #limits: () => Limits
  readonly #clock: Clock
  #startsMs: number[] = []
  #sinceTold = 0
  /** Most requests between two calls of `spent`. */
  #most = 0
  /** As in the last `spent`. */
  #untold = 0
  #isSettled = false

  constructor(limits: () => Limits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  add(startMs: number): void {
    if (this.#countedMs() === 0) return
    this.#startsMs.push(startMs)
    this.#sinceTold++
  }

  spent(): Spent {
    this.#forget()
    this.#most = Math.max(this.#most, this.#sinceTold)
    this.#sinceTold = 0
    this.#untold = this.#isSettled ? 0 : this.#mayBeUntold(Math.max(this.#most, Math.floor(this.#aMinute() / 6)))
    const aheadMs = this.#clock.now() - steadyMs(this.#clock)
    const epochMs = this.#startsMs.map(startMs => startMs + aheadMs)
    return { requests: inSteps(epochMs, this.#clock.now()), untold: this.#untold }
  }

  /** Limited, so that a process that is killed again and again does more than wait. */
  #mayBeUntold(count: number): number {
    return Math.min(count, Math.floor(this.#aMinute() / 2))
  }

  settle(): void {
    this.#isSettled = true
  }

  isDue(): boolean {
    if (this.#isSettled) return this.#sinceTold > 0 || this.#untold > 0
    return this.#sinceTold > 0 && this.#sinceTold >= this.#aMinute() / 12
  }

  /**
   * @param presumed How many were made without a record, at most.
   * @returns When they started, steady; those of a clock that was ahead, and those without a record, now.
   */
  recall({ requests, untold }: Spent, presumed: number): readonly number[] {
    const nowMs = this.#clock.now()
    const aheadMs = nowMs - steadyMs(this.#clock)
    this.#most = this.#mayBeUntold(untold)
    this.#startsMs = [...requests, { atMs: nowMs, count: Math.min(this.#most, presumed) }].flatMap(({ atMs, count }) =>
      Array.from({ length: count }, () => Math.min(atMs, nowMs) - aheadMs),
    )
    this.#forget()
    return this.#startsMs
  }

  #forget(): void {
    const sinceMs = steadyMs(this.#clock) - this.#countedMs() - LONGEST_WAY_MS
    this.#startsMs = this.#startsMs.filter(startMs => startMs > sinceMs)
  }

  /** How long limits count a request; 0: no limit per minute or hour. */
  #countedMs(): number {
    const { perMinute, perHour } = this.#limits()
    return perHour ? 3_600_000 : perMinute ? 60_000 : 0
  }

  /** Requests allowed in a minute. */
  #aMinute(): number {
    const { perMinute, perHour } = this.#limits()
    return perMinute || (perHour ?? 0) / 60
  }
}

/**
 * Requests of one quota that may have been made without a record. Each source partition of killed workers leaves that open, but all of these together were
 * limited by the limit per second, or by the gap between two requests, since the last recorded request.
 */
class Presumed {
  readonly #limits: () => Limits
  readonly #clock: Clock
  /** How many between the two times, epoch milliseconds. */
  #before: { readonly by: string | null; readonly sinceMs: number; readonly untilMs: number; readonly count: number }[] = []

  /** @param limits Of the whole quota, however it is divided. */
  constructor(limits: () => Limits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** How many unrecorded requests to assume for a source partition, in addition to those assumed for others. Earlier assumptions for itself are void. */
  presume(by: string | null, { requests, untold }: Spent): number {
    const untilMs = this.#clock.now()
    // The newest time is rounded up, but not beyond the time of recording.
    const sinceMs = Math.max(...requests.map(({ atMs }) => atMs))
    this.#before = this.#before.filter(each => (each.by === null || each.by !== by) && each.untilMs > untilMs - LONGEST_HOLD_MS)
    const beside = this.#before.filter(each => each.untilMs >= sinceMs)
    const earliestMs = Math.min(sinceMs, ...beside.map(each => each.sinceMs))
    const most = this.#mostWithin(untilMs - earliestMs + SKEW_MS) - beside.reduce((sum, { count }) => sum + count, 0)
    const count = Math.max(0, Math.min(untold, most))
    if (count > 0) this.#before.push({ by, sinceMs, untilMs, count })
    return count
  }

  #mostWithin(lengthMs: number): number {
    const { perSecond, gapMs } = this.#limits()
    return Math.min(
      perSecond ? perSecond * (Math.ceil(lengthMs / 1000) + 1) : Infinity,
      gapMs ? Math.ceil(lengthMs / gapMs) + 1 : Infinity,
    )
  }
}

/** A few figures that date no request earlier than it was. */
function inSteps(startsMs: readonly number[], nowMs: number): Spent['requests'] {
  const stepOf = (startMs: number) => {
    const step = startMs > nowMs - COARSE_MS ? FINE_MS : COARSE_MS
    return Math.min(nowMs, Math.ceil(startMs / step) * step)
  }
  return [...Map.groupBy(startsMs, stepOf)].map(([atMs, { length }]) => ({ atMs, count: length }))
}

interface Lease {
  readonly limits: Limits
  /** Others may have sent unrecorded requests until then: nobody records the last second. Steady. */
  sinceMs: number
  /** Until then it may still recall earlier requests. */
  awaitedUntilMs: number
}

/**
 * The strictest of all limits, and how long to wait because of earlier requests that limits still count.
 *
 * @param raisedMs Until then more may have been sent than is known here.
 */
function rulesOf(leases: Iterable<Lease>, part: number, raisedMs: number): Rules {
  const least = (a: number | undefined, b: number | undefined) => (a && b ? Math.min(a, b) : a || b || 0)
  let all: Limits = {}
  let awaitedUntilMs = -Infinity
  let sinceMs = raisedMs
  for (const { limits: one, ...lease } of leases) {
    awaitedUntilMs = Math.max(awaitedUntilMs, lease.awaitedUntilMs)
    sinceMs = Math.max(sinceMs, lease.sinceMs)
    all = {
      perSecond: least(all.perSecond, one.perSecond),
      perMinute: least(all.perMinute, one.perMinute),
      perHour: least(all.perHour, one.perHour),
      concurrency: least(all.concurrency, one.concurrency),
      gapMs: Math.max(all.gapMs ?? 0, one.gapMs ?? 0),
    }
  }
  all = binding(all)
  if (part <= 0) return { limits: all, notBeforeMs: Infinity }
  const brieflyMs = Math.max(all.perSecond ? 1000 : 0, all.gapMs ?? 0)
  const notBeforeMs = Math.max(
    brieflyMs > 0 ? sinceMs + brieflyMs + MARGIN_MS : -Infinity,
    all.perMinute || all.perHour ? awaitedUntilMs : -Infinity,
  )
  return { limits: partOf(all, part), notBeforeMs }
}

/**
 * Without the limits that a shorter one implies: two requests in any second mean at most 120 in any minute. These need no memory of earlier requests, and the
 * next owner of a task need not wait for unrecorded ones.
 */
function binding(limits: Limits): Limits {
  const { perSecond, gapMs } = limits
  const isImplied = (most: number | undefined, lengthMs: number, perMinute = 0) =>
    [
      perSecond ? (perSecond * lengthMs) / 1000 : Infinity,
      perMinute > 0 ? (perMinute * lengthMs) / 60_000 : Infinity,
      // The gap is kept from start to start, and the first may arrive later than the last.
      gapMs ? (lengthMs + LONGEST_WAY_MS) / gapMs + 1 : Infinity,
    ].some(count => count <= (most ?? 0))
  const perMinute = isImplied(limits.perMinute, 60_000) ? 0 : (limits.perMinute ?? 0)
  const perHour = isImplied(limits.perHour, 3_600_000, perMinute) ? 0 : (limits.perHour ?? 0)
  return { ...limits, perMinute, perHour }
}

/** In whole requests, at least one: shares are chosen so that these add up to no more than the whole. */
function partOf(limits: Limits, part: number): Limits {
  if (part >= 1) return limits
  const some = (count: number | undefined) => (count ? Math.max(1, Math.floor(count * part + 1e-9)) : 0)
  const { perSecond, perMinute, perHour, concurrency, gapMs = 0 } = limits
  return {
    perSecond: some(perSecond),
    perMinute: some(perMinute),
    perHour: some(perHour),
    concurrency: some(concurrency),
    gapMs: gapMs === 0 ? 0 : Math.ceil(gapMs / part),
  }
}
