/** The records that verdicts are: ids, labels and the figures of the evidence. */
import { createHash } from 'node:crypto'
import type { Alert, Channel } from '../records.ts'
import type { Rule } from '../rules.ts'
import { byExcess, held, type Range, type Sums } from './choice.ts'
import { MINUTE_MS } from './minutes.ts'
import type { Labels, Node } from './tree.ts'

const MOST_DRIVERS = 5

export const labelsOf = ({ vendor = '', account = '', bot_id = '', channel, language }: Labels) => ({
  vendor,
  account,
  bot_id,
  channel: (channel ?? null) as Channel | null,
  language: language ?? null,
})

/** The same rule, group and start: the same alert, whoever finds it. */
export function alertIdOf(rule: string, labels: Labels, startMs: number): string {
  const { vendor, account, bot_id, channel, language } = labelsOf(labels)
  const text = JSON.stringify([rule, vendor, account, bot_id, channel, language, startMs])
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** A number as people read it: no more digits than mean something. */
export function shownNumber(value: number): string {
  if (value === 0) return '0'
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value)
  return Math.abs(value) < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)))
}

export const shownTime = (minute: number) => new Date(minute * MINUTE_MS).toISOString()

/** What a window showed, and how it was judged. */
export interface Finding {
  readonly range: Range
  readonly sums: Sums
  /** null where the rule has none. */
  readonly probability: number | null
  /** What else there is to say. */
  readonly more: Readonly<Record<string, string>>
}

/** The first record of an alert. Minutes since the epoch. */
export function firing(rule: Rule, node: Node, start: number, finding: Finding, nowMs: number): Alert {
  const startMs = start * MINUTE_MS
  return {
    alert_id: alertIdOf(rule.name, node.labels, startMs),
    rule: rule.name,
    state: 'FIRING',
    ...labelsOf(node.labels),
    starts_at: startMs,
    ends_at: null,
    observed: finding.sums.count,
    expected: finding.sums.expected,
    probability: finding.probability,
    evidence: figures(rule, node, finding),
    updated_at: nowMs,
  }
}

/** The last record of an alert: what was seen when it was raised, and when it ended. */
export function resolved(alert: Alert, end: number, nowMs: number): Alert {
  return {
    ...alert,
    state: 'RESOLVED',
    ends_at: Math.max(end * MINUTE_MS, alert.starts_at + MINUTE_MS),
    updated_at: nowMs,
  }
}

function figures(rule: Rule, node: Node, { range, sums, probability, more }: Finding): Record<string, string> {
  const { count, volume, expected } = sums
  const shares =
    rule.per === null || volume === 0
      ? {}
      : { [rule.per]: shownNumber(volume), share: shownNumber(count / volume), expected_share: shownNumber(expected / volume) }
  const drivers = node.children
    .map(child => ({ child, sums: held(child, range) }))
    .filter(each => each.sums.count > each.sums.expected)
    .sort(byExcess)
    .slice(0, MOST_DRIVERS)
    .map(
      ({ child, sums }) =>
        `${child.labels[rule.by[child.depth] ?? 'vendor'] ?? ''}: ${sums.count} (expected ${shownNumber(sums.expected)})`,
    )
  return {
    observed: shownNumber(count),
    expected: shownNumber(expected),
    ...(expected > 0 ? { times_expected: shownNumber(count / expected) } : {}),
    ...(probability === null ? {} : { probability: shownNumber(probability) }),
    [rule.measure]: shownNumber(count),
    ...shares,
    window_from: shownTime(range.from),
    window_until: shownTime(range.until),
    window: `${range.until - range.from}m`,
    ...(drivers.length === 0 ? {} : { drivers: drivers.join('; ') }),
    ...more,
  }
}
