/** `/v1/alerts`: the alerts as the topic has them, in memory, and what can be asked of them. */
import { z } from 'zod'
import { type Alert, ALERT_STATES } from '../records.ts'
import {
  count,
  type Filters,
  filtersOf,
  invalidParameter,
  listOfTexts,
  listOfWords,
  readParameters,
  time,
  timeParameter,
  UTC,
} from './parameters.ts'
import { LABELS } from './store.ts'

/** Most alerts of one answer, and how many it has where `limit` does not say. */
const MOST_ALERTS = 10_000
const DEFAULT_ALERTS = 1000

export interface AlertStore {
  /** Takes an alert in; it replaces what was known of its id. */
  put(alert: Alert): void
  remove(alertId: string): void
  readonly size: number
  /** Newest start first; those with the same start by id. */
  find(query: AlertQuery): Alert[]
}

export interface AlertQuery {
  readonly states: readonly string[] | null
  readonly rules: readonly string[] | null
  readonly filters: Filters
  /** Alerts that were on at some time in `[fromMs, untilMs)`. */
  readonly fromMs: number
  readonly untilMs: number
  readonly limit: number
}

export function createAlertStore(): AlertStore {
  const byId = new Map<string, Alert>()
  return {
    put: alert => void byId.set(alert.alert_id, alert),
    remove: alertId => void byId.delete(alertId),
    get size() {
      return byId.size
    },
    find: ({ states, rules, filters, fromMs, untilMs, limit }) =>
      [...byId.values()]
        .filter(
          alert =>
            (states === null || states.includes(alert.state)) &&
            (rules === null || rules.includes(alert.rule)) &&
            alert.starts_at < untilMs &&
            (alert.ends_at ?? Infinity) >= fromMs &&
            LABELS.every(label => filters[label]?.includes(alert[label] ?? '') ?? true),
        )
        .sort((a, b) => b.starts_at - a.starts_at || (a.alert_id < b.alert_id ? -1 : 1))
        .slice(0, limit),
  }
}

export const AlertParameters = z.object({
  state: listOfWords(ALERT_STATES).optional().describe('Only alerts in these states, as a comma list'),
  rule: listOfTexts()
    .optional()
    .describe('Only alerts of these rules, as a comma list')
    .meta({ examples: [['agent-transfer-spike']] }),
  from: time()
    .optional()
    .describe(
      'Only alerts that were on at or after this time. ISO 8601 (without an offset: in UTC), epoch milliseconds, or counted from now',
    ),
  until: time().optional().describe('Only alerts that began before this time, in the same forms'),
  vendor: listOfTexts().optional().describe('Only alerts of these vendors, as a comma list'),
  account: listOfTexts().optional().describe('Only alerts of these accounts, as a comma list'),
  bot_id: listOfTexts()
    .optional()
    .describe('Only alerts of these bots, as a comma list; an empty value (`,`) stands for alerts of a whole account'),
  channel: listOfTexts()
    .optional()
    .describe('Only alerts of these channels, as a comma list; an empty value (`,`) stands for alerts of all channels'),
  language: listOfTexts().optional().describe('Only alerts of these languages, as a comma list'),
  limit: count(1, MOST_ALERTS, `takes a whole number from 1 to ${MOST_ALERTS}`)
    .default(DEFAULT_ALERTS)
    .describe('Most alerts of the answer'),
})

/** @throws FlowError QUERY_INVALID that names the parameter and what it takes. */
export function parseAlertQuery(parameters: Readonly<Record<string, unknown>>, nowMs: number): AlertQuery {
  const { state, ...others } = parameters
  const upper = [state ?? []].flat().map(each => (typeof each === 'string' ? each.toUpperCase() : each))
  const given = readParameters('/v1/alerts', AlertParameters, { ...others, state: upper })
  const fromMs = timeParameter('from', given.from, UTC, nowMs) ?? -Infinity
  const untilMs = timeParameter('until', given.until, UTC, nowMs) ?? Infinity
  if (fromMs >= untilMs) throw invalidParameter('from', 'must lie before until')
  return {
    states: given.state ?? null,
    rules: given.rule?.map(rule => rule.trim()) ?? null,
    filters: filtersOf(given),
    fromMs,
    untilMs,
    limit: given.limit,
  }
}
