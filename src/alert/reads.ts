/** What has been read of each bot, as the marks of the streams say it, in the words of the engine. Pure. */
import type { Measure } from '../records.ts'
import type { Rule } from '../rules.ts'
import type { StreamProgress, Watermarks } from '../watermark.ts'
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
  /** Up to when everything is known of each of the bots, for the rules in force. */
  reads(bots: Iterable<Bot>): Read[]
  /** Whether the bot's sessions are read, and nobody can know which of them were transferred: such measures are null. */
  isUntold(bot: Bot, measure: Measure): boolean
  /** Newest commit of a stream that is believed, epoch milliseconds; null: none. */
  readonly committedAt: number | null
}

/** As it is at this moment; ask again when `watermarks.version` has changed. */
export function readingOf(watermarks: Pick<Watermarks, 'streams'>, rules: readonly Rule[]): Reading {
  const kinds = kindsOf(rules).map(kind => indexed(watermarks.streams({ feeds: kind })))
  const giving = indexed(watermarks.streams({ feeds: 'session' }))
  const telling = indexed(watermarks.streams({ feeds: 'transfer' }))
  let committedAt: number | null = null
  for (const { committedAt: at } of watermarks.streams()) if (at !== null) committedAt = Math.max(committedAt ?? at, at)

  return {
    reads: bots =>
      [...bots].map(bot => {
        let completeUntil: number | null = Infinity
        for (const streams of kinds) {
          for (const stream of streams(bot)) {
            if (stream.completeUntil === null) completeUntil = null
            else if (completeUntil !== null) completeUntil = Math.min(completeUntil, stream.completeUntil)
          }
        }
        return { ...bot, completeUntil: completeUntil === Infinity ? null : completeUntil }
      }),
    isUntold: (bot, measure) => OF_TRANSFERS.has(measure) && giving(bot).length > 0 && telling(bot).length === 0,
    committedAt,
  }
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
