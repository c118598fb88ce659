/**
 * Reconciliation: what a vendor's own statistics count, beside what we count for the same bot and time. A `metric_point` event whose attribute
 * `compares_to` names a measure claims that the measure sums up to its `value` from `range_start` to `range_end`. Of each bot and measure the newest range
 * is kept.
 *
 * In memory only: after a restart nothing is known until the vendor's figure comes again, changed or for the next range.
 */
import type { AttributedEvent } from './contribution.ts'
import { COUNT, minuteOf } from './contribution.ts'
import type { PartitionState } from './state.ts'

export interface Claim {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly measure: keyof typeof COUNT
  readonly fromMs: number
  readonly untilMs: number
  readonly value: number
}

export interface Compared {
  readonly claim: Claim
  /** null: not known, because some of the bot's records count as another bot's (`aggregator.maxSeries`). */
  readonly own: number | null
}

export interface Reconciler {
  note(claim: Claim): void
  /** The claims that are new, or were compared longest ago, with our count; some at a time, because each adds up many minutes. */
  compare(state: Pick<PartitionState, 'series' | 'count'>, nowMs: number): Compared[]
  readonly claims: readonly Claim[]
}

/** Our count of a day changes while late records come. */
const AGAIN_MS = 10 * 60_000
const AT_ONCE = 20
/** Bots times measures; more are not compared. */
const MOST_CLAIMS = 5_000
/** A longer range is not compared. */
const LONGEST_MS = 32 * 86_400_000

/** What a metric point claims of a measure of ours; null: nothing. */
export function claimIn({ vendor, account, bot_id, attributes }: AttributedEvent): Claim | null {
  const measure = attributes['compares_to']
  if (measure === undefined || !Object.hasOwn(COUNT, measure)) return null
  const [value, fromMs, untilMs] = [
    Number(attributes['value']),
    Date.parse(attributes['range_start'] ?? ''),
    Date.parse(attributes['range_end'] ?? ''),
  ]
  if (!Number.isFinite(value) || !(fromMs < untilMs) || untilMs - fromMs > LONGEST_MS) return null
  return { vendor, account, bot_id, measure: measure as keyof typeof COUNT, fromMs, untilMs, value }
}

export function createReconciler(): Reconciler {
  const claims = new Map<string, { claim: Claim; dueMs: number }>()

  return {
    note(claim) {
      const key = JSON.stringify([claim.vendor, claim.account, claim.bot_id, claim.measure])
      const known = claims.get(key)
      if (known === undefined && claims.size >= MOST_CLAIMS) return
      if (known === undefined || known.claim.untilMs <= claim.untilMs) claims.set(key, { claim, dueMs: -Infinity })
    },

    compare(state, nowMs) {
      const due = [...claims.values()].filter(({ dueMs }) => dueMs <= nowMs).toSorted((a, b) => a.dueMs - b.dueMs)
      return due.slice(0, AT_ONCE).map(each => {
        each.dueMs = nowMs + AGAIN_MS
        const own = state.series.mayCountElsewhere(each.claim) ? null : ownCount(each.claim, state)
        return { claim: each.claim, own }
      })
    },

    get claims() {
      return [...claims.values()].map(({ claim }) => claim)
    },
  }
}

function ownCount(
  { vendor, account, bot_id, measure, fromMs, untilMs }: Claim,
  of: Pick<PartitionState, 'series' | 'count'>,
): number {
  let sum = 0
  for (let id = 0; id < of.series.size; id++) {
    const series = of.series.get(id)
    if (series.bot_id !== bot_id || series.vendor !== vendor || series.account !== account) continue
    sum += of.count(id, COUNT[measure], minuteOf(fromMs), minuteOf(untilMs))
  }
  return sum
}
