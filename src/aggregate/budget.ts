/**
 * How many series an account may have. Its bots lie in several partition numbers, each worked by a process that knows nothing of the others: so each number has an
 * equal share of `aggregator.maxSeries`, and together they never have more.
 *
 * A record whose series would be one too many counts in a coarser one, the finest that there is room for: first `other` stands for its language, then for its channel
 * too, and last for its bot. A part of the share is kept for the coarser ones, so that thousands of languages do not take the channels and bots their own series. The
 * sums over what is `other` are those of the records.
 *
 * What has been refused once is refused for as long as the limit stays, because series only become more. So a series that a record was folded into is found again
 * from the series that there are, in whatever order the records come: over restarts, and when they are all counted again.
 */
import { FlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import { botKey, OTHER } from '../records.ts'

/** Most series of an account, unless the config says otherwise. Ten times what an account of many bots, channels and languages has. */
export const MAX_SERIES = 10_000

/** One partition number's share of the budget of any account. */
export interface Budget {
  /** Most series, at least 1. */
  readonly series: number
  /** The `bot_id` under which bots without a series of their own are counted. */
  restBot(vendor: string, account: string): string
}

/** Nothing is folded. */
export const NO_BUDGET: Budget = { series: Number.MAX_SAFE_INTEGER, restBot: () => OTHER }

/** @throws FlowError CFG_INVALID where a partition number would have no series at all */
export function budgetsOf(maxSeries: number, partitions: number): (partition: number) => Budget {
  if (maxSeries < partitions)
    throw new FlowError('CFG_INVALID', {
      path: 'aggregator.maxSeries',
      hint: `aggregator.maxSeries is ${maxSeries}, and each of the ${partitions} partitions needs at least one series of an account: set it to ${partitions} or more`,
    })
  return partition => ({
    series: Math.floor(maxSeries / partitions) + (partition < maxSeries % partitions ? 1 : 0),
    restBot: (vendor, account) => restBotOf(vendor, account, partition, partitions),
  })
}

/**
 * `other`, or the first of `other-2`, `other-3` … that lies in this partition as every bot lies in its own. Each number has another name: one key of the series topic
 * never is in two partitions.
 */
function restBotOf(vendor: string, account: string, partition: number, partitions: number): string {
  for (let n = 1; ; n++) {
    const bot_id = n === 1 ? OTHER : `${OTHER}-${n}`
    if (partitionOf(botKey({ vendor, account, bot_id }), partitions) === partition) return bot_id
  }
}

/** `words`: with a language. `pairs`: one for all languages, or without one, of a channel. `bots`: one for all channels and languages of a bot. */
export type Fineness = 'words' | 'pairs' | 'bots'

/** What one account has used up of its share. */
export interface Account {
  /** There is room for one more of this kind. */
  hasRoom(of: Fineness): boolean
  /** A series is there, whether there was room or not. */
  add(of: Fineness): void
  /** The bot of the series of last resort, which has room always. */
  readonly restBot: string
}

export function createAccount(budget: Budget, vendor: string, account: string): Account {
  const kept = Math.floor(budget.series / 8)
  const reserved: Readonly<Record<Fineness, number>> = { words: 0, pairs: kept, bots: kept }
  const pool = budget.series - 1 - reserved.pairs - reserved.bots
  const used: Record<Fineness, number> = { words: 0, pairs: 0, bots: 0 }
  let pooled = 0
  let restBot: string | null = null
  return {
    hasRoom: of => used[of] < reserved[of] || pooled < pool,
    add(of) {
      if (++used[of] > reserved[of]) pooled++
    },
    get restBot() {
      return (restBot ??= budget.restBot(vendor, account))
    },
  }
}
