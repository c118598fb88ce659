/**
 * What a source partition asks of the vendor in the steady state, as it was seen: requests of each kind of reading, and what they come to in an hour.
 * What is younger than `hotMs` costs a reading at every poll, so it is shortened where the whole would not fit the quota, and grows again when it fits.
 */
import type { Metrics } from '../metrics.ts'
import { ageGroups } from './ageing.ts'
import type { PlanSpec } from './plan.ts'

/** What a request was made for. `sweep`: what is hot; `changed`: a change feed and the rows that it names; `open`: open rows by id. */
export type Purpose = 'sweep' | 'changed' | 'open' | 'passes' | 'backfill'

/** Of a round of one purpose: requests, smoothed, and how much time of the vendor's it covered. */
interface Seen {
  readonly requests: number
  readonly lengthMs: number
}

const HOUR_MS = 3_600_000
/** How much the newest round counts. */
const WEIGHT = 0.3
/** Sweeps between two changes of what is hot. */
const SWEEPS_BEFORE_CHANGE = 5

export class Demand {
  readonly #spec: PlanSpec
  readonly #asked = new Map<Purpose, number>()
  readonly #seen = new Map<Purpose, Seen>()
  #sweeps = 0

  constructor(spec: PlanSpec) {
    this.#spec = spec
  }

  /** One request was made. */
  asked(purpose: Purpose): void {
    this.#asked.set(purpose, (this.#asked.get(purpose) ?? 0) + 1)
  }

  /** A round is over: a sweep, a window of a pass, a look at the change feed or at the open rows. */
  ended(purpose: Purpose, lengthMs: number): void {
    const requests = this.#asked.get(purpose) ?? 0
    this.#asked.delete(purpose)
    const before = this.#seen.get(purpose)
    const mixed = (old: number | undefined, now: number) => (old === undefined ? now : old + WEIGHT * (now - old))
    this.#seen.set(purpose, { requests: mixed(before?.requests, requests), lengthMs: mixed(before?.lengthMs, lengthMs) })
    if (purpose === 'sweep') this.#sweeps++
  }

  /** Requests an hour, by purpose. What has not been seen yet counts nothing. */
  perHour(hotMs: number): ReadonlyMap<Purpose, number> {
    const { pollIntervalMs } = this.#spec
    const told = new Map<Purpose, number>()
    for (const purpose of ['sweep', 'changed', 'open'] as const)
      told.set(purpose, ((this.#seen.get(purpose)?.requests ?? 0) * HOUR_MS) / pollIntervalMs)
    const pass = this.#seen.get('passes')
    const aMs = pass === undefined || pass.lengthMs <= 0 ? 0 : pass.requests / pass.lengthMs
    told.set('passes', aMs * rereadPerHour(this.#spec, hotMs))
    return told
  }

  /** What is hot from now on: half of what it was, where the hour asks for more than its share; up to twice, where it asks for far less. */
  hotMs(nowHotMs: number): number {
    const { hotMs, lagMs, pollIntervalMs, mostPerHour } = this.#spec
    if (nowHotMs <= 0 || this.#sweeps < SWEEPS_BEFORE_CHANGE) return nowHotMs
    const total = [...this.perHour(nowHotMs).values()].reduce((sum, each) => sum + each, 0)
    const leastMs = Math.min(hotMs, lagMs + pollIntervalMs)
    const wantedMs =
      total > mostPerHour ? Math.max(leastMs, nowHotMs / 2) : total < mostPerHour / 3 ? Math.min(hotMs, nowHotMs * 2) : nowHotMs
    if (wantedMs !== nowHotMs) this.#sweeps = 0
    return wantedMs
  }
}

/** How many milliseconds of the vendor's time passes read in an hour. */
export function rereadPerHour(spec: PlanSpec, hotMs: number): number {
  const { pollIntervalMs, lookbackMs, lookbackIntervalMs } = spec
  if (lookbackMs <= 0) return 0
  let fromMs = hotMs
  let sumMs = 0
  for (const { pauseMs, untilAgeMs } of ageGroups({ hotMs, pollIntervalMs, lookbackMs, lookbackIntervalMs })) {
    const toMs = Math.min(untilAgeMs, lookbackMs)
    if (toMs > fromMs) sumMs += ((toMs - fromMs) * HOUR_MS) / pauseMs
    fromMs = Math.max(fromMs, toMs)
  }
  return sumMs
}

/** Shows what the source partitions of a process ask for: planned requests summed over each connector, and the least hot time over each stream's scopes. */
export function demandBoard(metrics: Pick<Metrics, 'set' | 'remove'>) {
  let told: { readonly connector: string; readonly stream: string; hotMs: number; perHour: number }[] = []
  const show = (connector: string, stream: string) => {
    const ours = told.filter(each => each.connector === connector)
    const sum = ours.reduce((sum, each) => sum + each.perHour, 0)
    if (ours.length > 0) metrics.set('requests_planned_per_hour', { connector }, sum)
    else metrics.remove('requests_planned_per_hour', { connector })
    const hot = ours.filter(each => each.stream === stream).map(each => each.hotMs)
    const leastMs = Math.min(...hot)
    if (Number.isFinite(leastMs)) metrics.set('hot_seconds', { connector, stream }, leastMs / 1000)
    else metrics.remove('hot_seconds', { connector, stream })
  }
  return (connector: string, stream: string) => {
    const mine = { connector, stream, hotMs: Infinity, perHour: 0 }
    told.push(mine)
    return {
      told: (hotMs: number, perHour: ReadonlyMap<Purpose, number>) => {
        mine.hotMs = hotMs
        mine.perHour = [...perHour.values()].reduce((sum, each) => sum + each, 0)
        show(connector, stream)
      },
      /** It is not read here any more. */
      end: () => {
        told = told.filter(each => each !== mine)
        show(connector, stream)
      },
    }
  }
}
