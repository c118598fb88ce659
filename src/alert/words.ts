/** An alert in words and links, for people. */
import type { Alert } from '../records.ts'
import { LEVELS } from '../rules.ts'

/** Around the start and the end, so that a person sees what is usual as well. */
const AROUND_MS = 3 * 3_600_000

/** `botmaker / acme / b1 / whatsapp`. */
export function groupName(alert: Pick<Alert, 'vendor' | 'account' | 'bot_id' | 'channel' | 'language'>): string {
  return LEVELS.map(level => alert[level] ?? '')
    .filter(Boolean)
    .join(' / ')
}

/** One line: what, where, how much, how sure. */
export function summaryOf(alert: Alert): string {
  const { rule, state, probability } = alert
  const sure = probability === null ? '' : `, probability ${short(probability)}`
  const over = state === 'RESOLVED' ? ' is over' : ''
  return `${rule} at ${groupName(alert)}${over}: ${amountOf(alert)}${sure}`
}

/** `42 where 12.3 would be usual`. */
export function amountOf({ observed, expected }: Pick<Alert, 'observed' | 'expected'>): string {
  return `${short(observed)} where ${short(expected)} would be usual`
}

/** The page that shows the alert's group at its time. */
export function linkOf(alert: Alert, baseUrl: string): string {
  const query = new URLSearchParams({ alert: alert.alert_id })
  for (const level of LEVELS) if ((alert[level] ?? '') !== '') query.set(level, alert[level] ?? '')
  query.set('from', new Date(alert.starts_at - AROUND_MS).toISOString())
  query.set('until', new Date((alert.ends_at ?? alert.updated_at) + AROUND_MS).toISOString())
  return `${baseUrl}/ui/?${query.toString()}`
}

/** A number with as many digits as a person needs. */
function short(value: number): string {
  if (value === 0 || Number.isInteger(value)) return String(value)
  return Math.abs(value) >= 0.01 ? String(Number(value.toPrecision(3))) : value.toExponential(1)
}
