/** `/v1/alerts`: the alerts as the topic has them, in memory, and what can be asked of them. */
import { FlowError } from '../errors.ts'
import { type Alert, ALERT_STATES } from '../records.ts'
import { LABELS, type Label } from './store.ts'
import { listOf, parseTime } from './query.ts'
import { zoneOf } from './buckets.ts'

/** Most alerts of one answer, and how many it has where `limit` does not say. */
const MOST_ALERTS = 10_000
const DEFAULT_ALERTS = 1000
const MOST_LISTED = 1000
const LONGEST_VALUE = 100

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
  readonly filters: Readonly<Partial<Record<Label, readonly string[]>>>
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

const PARAMETERS = ['state', 'rule', 'from', 'until', ...LABELS, 'limit'] as const

/** @throws FlowError QUERY_INVALID that names the parameter and what it takes. */
export function parseAlertQuery(parameters: Readonly<Record<string, unknown>>, nowMs: number): AlertQuery {
  for (const name of Object.keys(parameters)) {
    if (!(PARAMETERS as readonly string[]).includes(name))
      throw invalid(name.slice(0, LONGEST_VALUE), `is not a parameter of /v1/alerts; known are ${PARAMETERS.join(', ')}`)
  }
  const all = (name: (typeof PARAMETERS)[number]): string[] =>
    [parameters[name]].flat().filter((value): value is string => typeof value === 'string' && value.trim() !== '')
  const list = (name: (typeof PARAMETERS)[number]): string[] | null => {
    const values = all(name).flatMap(listOf)
    if (values.length > MOST_LISTED) throw invalid(name, `takes at most ${MOST_LISTED} values`)
    return values.length === 0 ? null : values
  }
  const once = (name: (typeof PARAMETERS)[number]): string | undefined => {
    const [value, ...more] = all(name)
    if (more.length > 0) throw invalid(name, 'is given more than once, and takes one value')
    if (value !== undefined && value.length > LONGEST_VALUE) throw invalid(name, `takes at most ${LONGEST_VALUE} characters`)
    return value?.trim()
  }
  const states = list('state')?.map(state => state.trim().toUpperCase()) ?? null
  if (states?.some(state => !(ALERT_STATES as readonly string[]).includes(state)) === true)
    throw invalid('state', `takes one or more, as a comma list, of ${ALERT_STATES.join(', ')}`)
  const zone = zoneOf('UTC')
  if (!zone) throw new FlowError('BUG', { hint: 'there is no UTC' })
  const fromMs = parseTime('from', once('from'), zone, nowMs) ?? -Infinity
  const untilMs = parseTime('until', once('until'), zone, nowMs) ?? Infinity
  if (fromMs >= untilMs) throw invalid('from', 'must lie before until')
  const limit = once('limit')
  if (limit !== undefined && !(/^[1-9]\d{0,4}$/.test(limit) && Number(limit) <= MOST_ALERTS))
    throw invalid('limit', `takes a whole number from 1 to ${MOST_ALERTS}`)
  const filters = LABELS.flatMap(label => {
    const values = list(label)
    return values === null ? [] : [[label, values.map(value => value.trim())] as const]
  })
  return {
    states,
    rules: list('rule')?.map(rule => rule.trim()) ?? null,
    filters: Object.fromEntries(filters),
    fromMs,
    untilMs,
    limit: limit === undefined ? DEFAULT_ALERTS : Number(limit),
  }
}

const invalid = (parameter: string, hint: string): FlowError =>
  new FlowError('QUERY_INVALID', { parameter, hint: `${parameter} ${hint}` })
