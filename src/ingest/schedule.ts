/** What reading a connector takes of its vendor in the steady state, from the config alone: for `check`, before anything has been measured. */
import { shownDuration } from '../durations.ts'
import { quotaLimits } from '../source/config.ts'
import type { Stream } from '../source/contract.ts'
import { ageGroups } from './ageing.ts'
import type { PlanSpec } from './plan.ts'
import { type ConnectorToRun, partitionsOf, planSpecOf, requestsPerHour, shareOf, STEADY_PART } from './source-partition.ts'

export interface Schedule {
  /** Requests an hour, at least: each window takes one and what the stream says of it, and more where it has more than a page. */
  readonly perHour: number
  readonly perDay: number
  /** What the quota allows in an hour, summed over those who have one of their own; null: it allows any number. */
  readonly quotaPerHour: number | null
  readonly reasons: readonly Reason[]
  /** It takes more than its part of the quota, of all or of one who has a quota of its own. */
  readonly fits: boolean
  /** What it takes of the vendor's documented requests a day; null: there is no such limit. */
  readonly daily: Daily | null
}

/** Why, by stream; `perHour` is that of all its scopes. */
export interface Reason {
  readonly stream: string
  readonly scopes: number
  readonly perHour: number
  readonly why: string
  /** What comes beside it and depends on the traffic. Absent: nothing. */
  readonly notCounted?: readonly string[]
}

export interface Daily {
  readonly perUnit: number
  /** What is counted, for people. */
  readonly unit: string
  /** The config key that says how many there are. */
  readonly key: string
  /** null: the config does not say. */
  readonly units: number | null
  /** So many keep the schedule within its part of the limit. */
  readonly needed: number
}

const HOUR_MS = 3_600_000

export function scheduleOf(of: ConnectorToRun): Schedule {
  const { connector, base, config } = of
  const allowed = requestsPerHour(quotaLimits(connector.manifest, base))
  const byShare = new Map<string, number>()
  const byStream = new Map<string, Reason>()
  for (const { stream, streamName, scope } of partitionsOf(connector, base, config)) {
    const { perHour, ...reason } = leastOf(stream, planSpecOf(connector, stream, base, config), config)
    const share = shareOf(of, scope)
    byShare.set(share, (byShare.get(share) ?? 0) + perHour)
    const before = byStream.get(streamName)
    byStream.set(streamName, {
      stream: streamName,
      scopes: (before?.scopes ?? 0) + 1,
      perHour: (before?.perHour ?? 0) + perHour,
      ...reason,
    })
  }
  const perHour = [...byShare.values()].reduce((sum, each) => sum + each, 0)
  const perDay = Math.ceil(perHour * 24)
  return {
    perHour: Math.ceil(perHour),
    perDay,
    quotaPerHour: Number.isFinite(allowed) ? allowed * byShare.size : null,
    reasons: [...byStream.values()].map(each => ({ ...each, perHour: Math.ceil(each.perHour) })),
    fits: [...byShare.values()].every(each => each <= allowed * STEADY_PART),
    daily: dailyOf(of, perDay),
  }
}

function dailyOf({ connector, config }: ConnectorToRun, perDay: number): Daily | null {
  const { dailyLimit } = connector.manifest
  if (dailyLimit === undefined) return null
  const { perUnit, unit, key } = dailyLimit
  return { perUnit, unit, key, units: dailyLimit.units(config as never), needed: Math.ceil(perDay / (perUnit * STEADY_PART)) }
}

/** The requests of one source partition that the config alone tells, and which ones it does not tell. */
function leastOf(stream: Stream, spec: PlanSpec, config: object): Pick<Reason, 'perHour' | 'why' | 'notCounted'> {
  const { pollIntervalMs, hotMs, lookbackMs, lookbackIntervalMs, longestMs, keepsCursor } = spec
  const beside = stream.requestsBeside?.(config as never) ?? {}
  const { perWindow = 0, perPoll = 0, asksChanges = true } = beside
  const polls = HOUR_MS / pollIntervalMs
  const sweeps = polls * Math.max(1, Math.ceil(hotMs / longestMs))
  const why = [
    hotMs > 0
      ? `the last ${shownDuration(hotMs)} at each poll, every ${shownDuration(pollIntervalMs)}`
      : `what is new, every ${shownDuration(pollIntervalMs)}`,
  ]
  let passes = 0
  if (lookbackMs > hotMs && !keepsCursor) {
    const groups = ageGroups({ hotMs, pollIntervalMs, lookbackMs, lookbackIntervalMs })
    const pausesMs = groups.map(({ pauseMs }) => pauseMs)
    // A pass of an older group reads all younger ones, too, from the oldest on.
    passes = groups.reduce((sum, { pauseMs, untilAgeMs }, i) => {
      const windows = Math.max(1, Math.ceil((Math.min(untilAgeMs, lookbackMs) - hotMs) / longestMs))
      const rarerMs = pausesMs[i + 1]
      return sum + windows * (HOUR_MS / pauseMs - (rarerMs === undefined ? 0 : HOUR_MS / rarerMs))
    }, 0)
    const [shortest] = pausesMs
    why.push(
      `older rows of the last ${shownDuration(lookbackMs)} by their age, every ${shownDuration(shortest ?? 0)} to ${shownDuration(pausesMs.at(-1) ?? 0)}`,
    )
  }
  const notCounted = [...(beside.unknown ?? (stream.enrich === undefined ? [] : ['a second call for new or changed rows']))]
  let hints = 0
  if (stream.changes !== undefined && asksChanges) {
    hints += polls
    why.push('what has changed, at each poll')
    notCounted.push('one window for each stretch of older rows that have changed')
  }
  if (stream.follow !== undefined) {
    hints += polls
    why.push('open rows by their ids, at each poll')
    notCounted.push(`open rows: one request for ${stream.follow.atOnce} of them, of which one is counted`)
  }
  if (perWindow > 0) why.push(`${requests(perWindow + 1)} for each window`)
  if (perPoll > 0) why.push(`${requests(perPoll)} more at each poll`)
  return {
    perHour: (sweeps + passes) * (1 + perWindow) + polls * perPoll + hints,
    why: why.join('; '),
    ...(notCounted.length > 0 && { notCounted }),
  }
}

function requests(count: number): string {
  return count === 1 ? 'one request' : `${count} requests`
}
