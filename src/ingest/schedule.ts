/** What reading a connector takes of its vendor in the steady state, from the config alone: for `check`, before anything has been measured. */
import { shownDuration } from '../durations.ts'
import { quotaLimits, quotaShare } from '../source/config.ts'
import { ageGroups } from './ageing.ts'
import type { PlanSpec } from './plan.ts'
import { type ConnectorToRun, partitionsOf, planSpecOf, requestsPerHour, STEADY_PART } from './source-partition.ts'

export interface Schedule {
  /** Requests an hour, at least: each window takes one, and more where it has more than a page. */
  readonly perHour: number
  readonly perDay: number
  /** What the quota allows in an hour, summed over those who have one of their own; null: it allows any number. */
  readonly quotaPerHour: number | null
  /** Why, by stream; `scopes` times each. */
  readonly reasons: readonly {
    readonly stream: string
    readonly scopes: number
    readonly perHour: number
    readonly why: string
  }[]
  /** It takes more than its part of the quota, of all or of one who has a quota of its own. */
  readonly fits: boolean
}

const HOUR_MS = 3_600_000

export function scheduleOf(of: ConnectorToRun): Schedule {
  const { name, connector, base, config } = of
  const allowed = requestsPerHour(quotaLimits(connector.manifest, base))
  const byShare = new Map<string, number>()
  const byStream = new Map<string, { stream: string; scopes: number; perHour: number; why: string }>()
  for (const { stream, streamName, scope } of partitionsOf(connector, base, config)) {
    const spec = planSpecOf(connector, stream, base, config)
    const { perHour, why } = leastOf(spec, stream.changes !== undefined)
    const share = quotaShare(connector.manifest, name, config, scope)
    byShare.set(share, (byShare.get(share) ?? 0) + perHour)
    const before = byStream.get(streamName)
    byStream.set(streamName, {
      stream: streamName,
      scopes: (before?.scopes ?? 0) + 1,
      perHour: (before?.perHour ?? 0) + perHour,
      why,
    })
  }
  const perHour = [...byShare.values()].reduce((sum, each) => sum + each, 0)
  return {
    perHour: Math.ceil(perHour),
    perDay: Math.ceil(perHour * 24),
    quotaPerHour: Number.isFinite(allowed) ? allowed * byShare.size : null,
    reasons: [...byStream.values()].map(each => ({ ...each, perHour: Math.ceil(each.perHour) })),
    fits: [...byShare.values()].every(each => each <= allowed * STEADY_PART),
  }
}

/** One request for each window of a source partition. */
function leastOf(spec: PlanSpec, hasChanges: boolean): { perHour: number; why: string } {
  const { pollIntervalMs, hotMs, lookbackMs, lookbackIntervalMs, longestMs, keepsCursor } = spec
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
  if (hasChanges) why.push('what has changed, at each poll')
  return { perHour: sweeps + passes + (hasChanges ? polls : 0), why: why.join('; ') }
}
