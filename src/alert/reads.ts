/** What has been read of each bot, as the marks of the streams say it, in the words of the engine. Pure. */
import type { Measure } from '../records.ts'
import type { Rule } from '../rules.ts'
import { commonRanges, type StreamProgress, untoldOf, type Watermarks } from '../watermark.ts'
import type { Read } from './judge.ts'

export interface Bot {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
}

/** The kinds of record that a rule's measures count. */
export type Kind = 'session' | 'message' | 'event'

/** Measures that are null where the vendor does not tell which sessions went to a person. */
const OF_TRANSFERS: ReadonlySet<Measure> = new Set(['agent_transfers', 'sessions_agent'])

export function measuresOf(rules: readonly Rule[]): Measure[] {
  return [...new Set(rules.flatMap(({ measure, per }) => [measure, ...(per === null ? [] : [per])]))]
}

function kindsOf(rules: readonly Rule[]): Kind[] {
  const kindOf = (measure: Measure): Kind =>
    measure === 'events' ? 'event' : measure.startsWith('messages_') ? 'message' : 'session'
  return [...new Set(measuresOf(rules).map(kindOf))]
}

export interface Reading {
  /**
   * Up to when each of the bots is read, for the rules in force.
   *
   * @param judgedUntil Up to where the bot was judged, epoch milliseconds; undefined: it never was.
   */
  reads(bots: Iterable<Bot>, judgedUntil: (bot: Bot) => number | undefined): Read[]
  /** Whether the bot's sessions are read, and nobody can know which of them were transferred: such measures are null. */
  isUntold(bot: Bot, measure: Measure): boolean
  /** Newest commit of a stream that is believed, epoch milliseconds; null: none. */
  readonly committedAt: number | null
}

/** As it is at this moment; ask again when `watermarks.version` has changed. */
export function readingOf(watermarks: Pick<Watermarks, 'streams'>, rules: readonly Rule[]): Reading {
  const kinds = kindsOf(rules).map(kind => indexed(watermarks.streams({ feeds: kind })))
  // Hours that are not read yet count as empty ones where counts are learnt; for shares they have no weight.
  const needsAll = rules.some(({ per }) => per === null)
  const untold = untoldOf(watermarks.streams({ feeds: 'session' }), watermarks.streams({ feeds: 'transfer' }))
  let committedAt: number | null = null
  for (const { committedAt: at } of watermarks.streams()) if (at !== null) committedAt = Math.max(committedAt ?? at, at)

  return {
    reads: (bots, judgedUntil) =>
      [...bots].map(bot => {
        const streams = kinds.flatMap(of => of(bot))
        const least = leastOf(streams)
        return { ...bot, completeUntil: least === null || needsAll ? least : readUntil(least, streams, judgedUntil(bot)) }
      }),
    isUntold: (bot, measure) => OF_TRANSFERS.has(measure) && untold.of(bot),
    committedAt,
  }
}

/** The least `completeUntil`; null where there is no stream, or one of which nothing is believed. */
function leastOf(streams: readonly StreamProgress[]): number | null {
  let least: number | null = null
  for (const { completeUntil } of streams) {
    if (completeUntil === null) return null
    least = Math.min(least ?? completeUntil, completeUntil)
  }
  return least
}

/** What is so much older raises nothing any more, so a gap in front of it is not waited for. */
const LATE_MS = 3_600_000

/**
 * The end of what has been read without a gap from where was judged. While a backfill runs, `completeUntil` stands at the backfill, and the live edge is read
 * beside it: that is judged all the same. A gap that an outage left is waited for.
 */
function readUntil(least: number, streams: readonly StreamProgress[], judgedUntil: number | undefined): number {
  const ranges = commonRanges(streams.map(({ covered }) => covered))
  const last = ranges.at(-1)
  if (last === undefined || last.until <= least) return least
  if (judgedUntil === undefined || last.until - judgedUntil > LATE_MS) return last.until
  const around = ranges.find(({ from, until }) => from <= judgedUntil && judgedUntil <= until)
  return Math.max(least, around?.until ?? least)
}

/** The streams that feed a bot: its own, and those of its whole account. */
function indexed(streams: readonly StreamProgress[]): (bot: Bot) => readonly StreamProgress[] {
  const byBot = Map.groupBy(streams, ({ vendor, account, bot_id }) => keyOf(vendor, account, bot_id))
  return ({ vendor, account, bot_id }) => [
    ...(byBot.get(keyOf(vendor, account, bot_id)) ?? []),
    ...(byBot.get(keyOf(vendor, account, null)) ?? []),
  ]
}

const keyOf = (vendor: string, account: string, bot: string | null) => JSON.stringify([vendor, account, bot])
