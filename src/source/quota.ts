/**
 * Waiting for a turn under the vendor's limits. Counts hold over **any** rolling window of their length, and not as token buckets that burst: a vendor
 * that counts by clock hours or by rolling minutes sees no more than it allows either way. It counts what arrives, and a request arrives between its start
 * and its end, the first ones of a process later than others: each may start when those it is counted with are so long over.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Quota } from './contract.ts'

/** Who goes first when several wait: the live edge, then what may have changed, then the past. */
export const PRIORITY = { live: 0, lookback: 1, backfill: 2 } as const

export interface QuotaGate {
  /**
   * Resolves when a request may start, and counts it; the request is over when the returned function is called (more calls do
   * nothing). Lower priorities go first, equal ones in the order they came. Rejects with STOPPED as soon as the signal aborts.
   */
  acquire(priority: number, signal: AbortSignal): Promise<() => void>
  /** Nothing starts before this time, epoch milliseconds: the vendor asked us to wait. An earlier hold is never shortened. */
  holdUntil(untilMs: number): void
}

/** Half-open windows may touch, and clocks are cut to milliseconds. */
const MARGIN_MS = 20
/** A request has arrived so long after its start at the latest, however long its answer takes. */
const LONGEST_WAY_MS = 1000

type Limits = Omit<Quota, 'sharedBy'>

interface Waiter {
  readonly priority: number
  readonly sinceMs: number
  start(request: Request): void
}

interface Request {
  readonly startMs: number
  /** By when it has arrived. */
  arrivedMs: number
}

/** @param onWaited Told the seconds that a request waited here, once for each that starts; not called for those that need not wait. */
export function createQuota(limits: Limits, clock: Clock, onWaited: (seconds: number) => void = () => {}): QuotaGate {
  return gateOf(() => limits, clock, onWaited)
}

function gateOf(limits: () => Limits, clock: Clock, onWaited: (seconds: number) => void): QuotaGate & { recheck(): void } {
  /** Past requests and those under way, by their start, oldest first, no more than the largest count needs. */
  let requests: Request[] = []
  let underWay = 0
  let heldUntilMs = -Infinity
  const waiters: Waiter[] = []
  /** The one sleep until the next turn; null while nobody sleeps. */
  let alarm: { abort: AbortController; dueMs: number } | null = null

  /** When the next request may start, as far as time decides it. */
  function readyAtMs(): number {
    const { perSecond, perMinute, perHour, gapMs } = limits()
    let readyMs = heldUntilMs
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

  function remember(nowMs: number): Request {
    const { perSecond = 0, perMinute = 0, perHour = 0 } = limits()
    const request = { startMs: nowMs, arrivedMs: nowMs + LONGEST_WAY_MS }
    requests.push(request)
    const most = Math.max(perSecond, perMinute, perHour, 1)
    if (requests.length >= 2 * most) requests = requests.slice(-most)
    return request
  }

  /** Start whoever may, and set the alarm for the next. */
  function pump(): void {
    const concurrency = limits().concurrency || Infinity
    while (waiters.length > 0 && underWay < concurrency) {
      const nowMs = clock.now()
      const readyMs = readyAtMs()
      if (readyMs > nowMs) {
        setAlarm(readyMs, nowMs)
        return
      }
      const waiter = waiters.shift() as Waiter
      underWay++
      const request = remember(nowMs)
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

  return {
    acquire: (priority, signal) =>
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
          priority,
          sinceMs: clock.now(),
          start: request => {
            signal.removeEventListener('abort', stop)
            let over = false
            resolve(() => {
              if (over) return
              over = true
              underWay--
              request.arrivedMs = Math.min(request.arrivedMs, clock.now())
              pump()
            })
          },
        }
        const before = waiters.findIndex(other => other.priority > priority)
        waiters.splice(before === -1 ? waiters.length : before, 0, waiter)
        signal.addEventListener('abort', stop, { once: true })
        pump()
      }),
    holdUntil: untilMs => {
      heldUntilMs = Math.max(heldUntilMs, untilMs)
      pump()
    },
    recheck: pump,
  }
}

export interface QuotaPool {
  /**
   * The gate that everyone with the same vendor and the same value of `sharedBy` goes through. Where they name different limits, the strictest
   * holds while its lease lasts. End the lease when the task stops.
   *
   * @param of.shared Value of the manifest's `sharedBy` key, or the connector's name. May be a secret: only a digest of it is kept.
   */
  lease(of: { vendor: string; shared: string; limits: Limits; onWaited?: (seconds: number) => void }): {
    gate: QuotaGate
    end(): void
  }
}

/** One per process: accounts are counted together however many connectors and tasks read them. */
export function quotaPool(clock: Clock): QuotaPool {
  const shares = new Map<string, { gate: ReturnType<typeof gateOf>; leases: Set<Limits> }>()
  return {
    lease: ({ vendor, shared, limits, onWaited = () => {} }) => {
      const key = createHash('sha256')
        .update(JSON.stringify([vendor, shared]))
        .digest('hex')
      let share = shares.get(key)
      if (share === undefined) {
        const leases = new Set<Limits>()
        share = {
          leases,
          gate: gateOf(
            () => strictest(leases),
            clock,
            () => {},
          ),
        }
        shares.set(key, share)
      }
      const { gate, leases } = share
      // A copy, so that two leases with one limits object end one by one.
      const mine = { ...limits }
      leases.add(mine)
      return {
        gate: {
          acquire: async (priority, signal) => {
            const sinceMs = clock.now()
            const release = await gate.acquire(priority, signal)
            const waitedMs = clock.now() - sinceMs
            if (waitedMs > 0) onWaited(waitedMs / 1000)
            return release
          },
          holdUntil: untilMs => gate.holdUntil(untilMs),
        },
        end: () => {
          leases.delete(mine)
          gate.recheck()
        },
      }
    },
  }
}

function strictest(leases: Iterable<Limits>): Limits {
  const least = (a: number | undefined, b: number | undefined) => (a && b ? Math.min(a, b) : a || b || 0)
  let all: Limits = {}
  for (const one of leases) {
    all = {
      perSecond: least(all.perSecond, one.perSecond),
      perMinute: least(all.perMinute, one.perMinute),
      perHour: least(all.perHour, one.perHour),
      concurrency: least(all.concurrency, one.concurrency),
      gapMs: Math.max(all.gapMs ?? 0, one.gapMs ?? 0),
    }
  }
  return all
}
