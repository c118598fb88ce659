/**
 * Waiting for a turn under the vendor's limits. Counts hold over **any** rolling window of their length, and not as token buckets that burst: a vendor
 * that counts by clock hours or by rolling minutes sees no more than it allows either way. It counts what arrives, and a request arrives between its start
 * and its end, the first ones of a process later than others: each may start when those it is counted with are so long over.
 *
 * All times in here are steady (`steadyMs`): a clock that is set forwards frees no turn early, and one that is set back makes nobody wait.
 */
import { createHash } from 'node:crypto'
import { type Clock, steadyMs } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Quota } from './contract.ts'
import { LONGEST_DAY_WAIT_MS } from './wait.ts'

/** Who goes first when several wait: what is new, hot, named or open, then what may have changed, then the past. */
export const PRIORITY = { live: 0, lookback: 1, backfill: 2 } as const

/** Requests in a row for those who go first, while others wait; the next is for whoever of these has waited longest. So none waits for ever. */
const TURNS_IN_A_ROW = 4

/** See `PRIORITY`. A function is asked at every turn: what waits may become urgent. */
export type Priority = number | (() => number)

export interface QuotaGate {
  /**
   * Resolves when a request may start, and counts it; the request is over when the returned function is called (more calls do
   * nothing). Lower priorities go first, but for one request in five, equal ones in the order they came. Rejects with STOPPED as soon as the signal aborts.
   */
  acquire(priority: Priority, signal: AbortSignal): Promise<() => void>
  /**
   * Nothing starts before this time, epoch milliseconds by the clock of this moment: the vendor asked us to wait. An earlier hold is never shortened,
   * and none is longer than an hour.
   */
  holdUntil(untilMs: number): void
}

/** Half-open windows may touch, and clocks are cut to milliseconds. */
const MARGIN_MS = 20
/** A request has arrived so long after its start at the latest, however long its answer takes. */
const LONGEST_WAY_MS = 1000

/** No hold is longer, whatever was asked. */
const LONGEST_HOLD_MS = LONGEST_DAY_WAIT_MS

type Limits = Omit<Quota, 'sharedBy'>

/** What the vendor was asked of late, as the process that comes next has to count it. */
export interface Spent {
  /** So many requests, the newest of them started by `atMs` (epoch milliseconds). */
  readonly requests: readonly { readonly atMs: number; readonly count: number }[]
  /**
   * So many more may have been made since: as many as there were at most from one telling to the next, but from a sixth to half of what is allowed
   * in a minute.
   */
  readonly untold: number
}
/** How finely `spent` tells the requests of the last minute, and those before: that many milliseconds late at most. */
const FINE_MS = 5_000
const COARSE_MS = 60_000
/** Requests that are younger are never taken for those that are recalled. */
const RECENT_MS = 2_000
/** How long those who share a quota wait for what one of them is to recall. */
const RECALL_MS = 10_000
/** What is not certain is looked at again after so long. */
export const DOUBT_MS = 100
/** The clocks of two workers differ by so much at most, where a limit of a second bounds what one of them may have asked. */
const SKEW_MS = 2_000

interface Waiter {
  readonly by: string | null
  readonly priority: Priority
  readonly sinceMs: number
  start(request: Request): void
}

interface Request {
  readonly startMs: number
  /** Whose it is, where that is known. */
  readonly by: string | null
  /** By when it has arrived. */
  arrivedMs: number
}

/** @param onWaited Told the seconds that a request waited here, once for each that starts; not called for those that need not wait. */
export function createQuota(limits: Limits, clock: Clock, onWaited: (seconds: number) => void = () => {}): QuotaGate {
  return gateOf(() => ({ limits, notBeforeMs: -Infinity }), clock, onWaited)
}

/** What holds now: the limits, and a time before which nothing starts. */
interface Rules {
  readonly limits: Limits
  readonly notBeforeMs: number
}

interface Gate extends QuotaGate {
  /** As `acquire`, for whom the request is counted. */
  acquireFor(by: string | null, priority: Priority, signal: AbortSignal): Promise<() => void>
  /** Counts requests that were made before, by their steady times, in place of what is known of the same requester. */
  recall(by: string | null, startsMs: readonly number[]): void
  recheck(): void
}

function gateOf(rules: () => Rules, clock: Clock, onWaited: (seconds: number) => void): Gate {
  /** Past requests and those under way, by their start, oldest first, no more than the largest count needs. */
  let requests: Request[] = []
  let underWay = 0
  let heldUntilMs = -Infinity
  /** In the order they came. */
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

  /** Start whoever may, and set the alarm for the next. */
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
      // What is told is coarse: limits of a second need the latest as they were.
      const sinceMs = steadyMs(clock) - RECENT_MS
      const kept = requests.filter(request => by === null || request.by !== by || request.startMs > sinceMs)
      requests = [...before, ...kept].sort((a, b) => a.startMs - b.startMs)
      pump()
    },
    recheck: pump,
  }
}

/** A task's part in the quota of an account. */
export interface QuotaLease {
  readonly gate: QuotaGate
  /** What was asked through this lease, as far as a limit of a minute or an hour still counts it. Nothing where there is none. */
  spent(): Spent
  /** Whether so much was asked since `spent` told it that it should tell again, lest a process that is killed leaves too much untold. */
  isDue(): boolean
  /**
   * Counts what `spent` told of an earlier process; null: there was none. Only before the first request: after it, what stands on the topics is this
   * process's own.
   */
  recall(spent: Spent | null): void
  /** When nothing more is asked through it: what `spent` tells from now on is all, so that whoever has the task next need presume nothing. */
  settle(): void
  /** When the task stops. */
  end(): void
}

/** Names what a quota is counted by, without telling it: the value may be a secret. */
export function quotaDigest(vendor: string, shared: string): string {
  return createHash('sha256')
    .update(JSON.stringify([vendor, shared]))
    .digest('hex')
    .slice(0, 24)
}

/** On how many processes the limits can be divided at most, so that each may make a request of every kind; null: there are no limits. */
export function divisibleBy({ perSecond, perMinute, perHour, concurrency, gapMs }: Limits): number | null {
  const counts = [perSecond, perMinute, perHour, concurrency].filter(count => count !== undefined && count > 0) as number[]
  if (counts.length === 0 && !gapMs) return null
  // The time between two requests can be kept by one process only.
  return gapMs ? 1 : Math.max(1, Math.floor(Math.min(...counts)))
}

export interface QuotaPool {
  /**
   * The gate that everyone with the same vendor and the same value of `sharedBy` goes through. Where they name different limits, the strictest
   * holds while its lease lasts.
   *
   * @param of.shared Value of the manifest's `sharedBy` key, or the connector's name. May be a secret: only a digest of it is kept.
   * @param of.by Who asks: what it recalls takes the place of what is known of it. Absent: nobody who comes again.
   * @param of.willRecall Whether `recall` will be called: others who share the quota wait for it, ten seconds at most. Default false.
   */
  lease(of: {
    vendor: string
    shared: string
    limits: Limits
    by?: string
    willRecall?: boolean
    onWaited?: (seconds: number) => void
  }): QuotaLease
  /**
   * Of each quota that other processes use, too, the part that this one may use, by its digest (`quotaDigest`); it has all of the others. Counts are divided
   * into whole requests, and with a part of 0 nothing is asked.
   */
  divide(parts: ReadonlyMap<string, number>): void
  /**
   * Counts what somebody else was told to have asked of a quota that is divided: a part that was given just now must not come on top of it.
   *
   * @param of.quota See `quotaDigest`. Nothing is counted where nobody here has a lease of it.
   */
  recallFor(of: { readonly quota: string; readonly by: string; readonly spent: Spent }): void
}

interface Share {
  readonly gate: Gate
  readonly leases: Set<Lease>
  readonly presumed: Presumed
  part: number
  /** Since when there is more of it than before, steady. */
  raisedMs: number
}

/**
 * One per process: accounts are counted together however many connectors and tasks read them.
 *
 * @param certainSinceMs Since when no other process can have had what is read here, and nothing that was begun before is still to be sent, steady; Infinity:
 * that is not certain now, so that nothing is asked.
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
      gate.recall(by, new Ledger(() => rules(share).limits, clock).recall(spent, presumed.of(by, spent)))
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
          } else gate.recall(by, ledger.recall(spent, presumed.of(by, spent)))
        },
        end: () => {
          leases.delete(mine)
          gate.recheck()
        },
      }
    },
  }
}

/** What was asked through one lease, as far as a limit of a minute or an hour may still count it. */
class Ledger {
  readonly #limits: () => Limits
  readonly #clock: Clock
  #startsMs: number[] = []
  #sinceTold = 0
  /** Most requests from one telling to the next. */
  #most = 0
  /** As it was told last. */
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

  /** Never so much that a process that is killed again and again would do nothing but wait. */
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
   * @param presumed So many at most were made without a record.
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

  /** How long limits count a request; 0: none of a minute or an hour does. */
  #countedMs(): number {
    const { perMinute, perHour } = this.#limits()
    return perHour ? 3_600_000 : perMinute ? 60_000 : 0
  }

  /** What may be asked in a minute. */
  #aMinute(): number {
    const { perMinute, perHour } = this.#limits()
    return perMinute || (perHour ?? 0) / 60
  }
}

/**
 * What may have been asked beyond what is known, of one quota. Workers that are killed leave it open for each of their source partitions, but all of these
 * together were held to the limit of a second, or to the gap between two requests, since the last request that they recorded.
 */
class Presumed {
  readonly #limits: () => Limits
  readonly #clock: Clock
  /** So many between the two times, epoch milliseconds. */
  #before: { readonly by: string | null; readonly sinceMs: number; readonly untilMs: number; readonly count: number }[] = []

  /** @param limits Of the whole quota, whoever has which part of it. */
  constructor(limits: () => Limits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
  }

  /** How many requests without a record to presume for a source partition, beside those that were presumed for others. What was presumed for itself is void. */
  of(by: string | null, { requests, untold }: Spent): number {
    const untilMs = this.#clock.now()
    // The newest time is rounded up, but not beyond that of the recording.
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

/** Few figures that tell no request earlier than it was. */
function inSteps(startsMs: readonly number[], nowMs: number): Spent['requests'] {
  const stepOf = (startMs: number) => {
    const step = startMs > nowMs - COARSE_MS ? FINE_MS : COARSE_MS
    return Math.min(nowMs, Math.ceil(startMs / step) * step)
  }
  return [...Map.groupBy(startsMs, stepOf)].map(([atMs, { length }]) => ({ atMs, count: length }))
}

interface Lease {
  readonly limits: Limits
  /** Until then others may have asked, for all that is told: nobody tells of the last second. Steady. */
  sinceMs: number
  /** Until then it may still recall what was asked before. */
  awaitedUntilMs: number
}

/**
 * The strictest of all limits, and how long to wait for what was asked before, as far as limits still count it.
 *
 * @param raisedMs Until then more may have been asked than is known here.
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
 * Without the limits that a shorter one implies: who makes two requests in any second makes no more than 120 in any minute. So these need no memory of what was
 * asked before, and whoever takes a task over need not wait for what may have been.
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

/** In whole requests, one at least: parts are chosen so that these add up to no more than the whole. */
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
