/** What the demo shows: asked of the product's own HTTP API, drawn as lines. */
import { request } from 'undici'
import { summaryOf } from '../alert/words.ts'
import type { Alert } from '../records.ts'

export interface DemoRow {
  readonly vendor: string
  readonly channel: string
  readonly sessions: number
  readonly messages: number
  readonly transfers: number
  readonly events: number
}

export interface DemoState {
  readonly rows: readonly DemoRow[]
  /** Records that the aggregator has still to count; null where not known yet. */
  readonly lag: number | null
  /** Every session that began earlier has been read; null where nothing has been read completely. */
  readonly completeUntil: string | null
  /** What fires, then what is over, newest first. */
  readonly alerts: readonly Alert[]
}

export const emptyState: DemoState = { rows: [], lag: null, completeUntil: null, alerts: [] }

/** The product's state now, or null while it does not answer. */
export async function readState(base: string, fromMs: number, signal: AbortSignal): Promise<DemoState | null> {
  try {
    const rows = new Map<string, DemoRow>()
    let completeUntil: string | null = null
    for (const [column, measures] of Object.entries(COLUMNS))
      for (const measure of measures) {
        const answer = await series(base, measure, fromMs, signal)
        if (column === 'sessions') completeUntil = answer.complete_until
        for (const { labels, sum } of answer.data.series) {
          const { vendor = '', channel = '' } = labels
          const row = rows.get(`${vendor} ${channel}`) ?? { vendor, channel, sessions: 0, messages: 0, transfers: 0, events: 0 }
          rows.set(`${vendor} ${channel}`, { ...row, [column]: row[column as keyof typeof COLUMNS] + (sum ?? 0) })
        }
      }
    return { rows: [...rows.values()], lag: await lagOf(base, signal), completeUntil, alerts: await alertsOf(base, signal) }
  } catch {
    return null // not listening yet, or going down: the table keeps what it has
  }
}

const COLUMNS = {
  sessions: ['sessions'],
  messages: ['messages_user', 'messages_bot', 'messages_agent', 'messages_other'],
  transfers: ['agent_transfers'],
  events: ['events'],
} as const

interface SeriesAnswer {
  data: { series: { labels: Record<string, string>; sum: number | null }[] }
  complete_until: string | null
}

async function series(base: string, measure: string, fromMs: number, signal: AbortSignal): Promise<SeriesAnswer> {
  const query = new URLSearchParams({ measure, bucket: '1d', group_by: 'vendor,channel', from: new Date(fromMs).toISOString() })
  const { statusCode, body } = await request(`${base}/v1/series?${query}`, { signal })
  if (statusCode !== 200) throw new Error(`answered ${statusCode}: ${await body.text()}`)
  return (await body.json()) as SeriesAnswer
}

async function alertsOf(base: string, signal: AbortSignal): Promise<Alert[]> {
  const { statusCode, body } = await request(`${base}/v1/alerts?limit=100`, { signal })
  if (statusCode !== 200) throw new Error(`answered ${statusCode}: ${await body.text()}`)
  const { data } = (await body.json()) as { data: Alert[] }
  return data.toSorted((a, b) => Number(b.state === 'FIRING') - Number(a.state === 'FIRING'))
}

async function lagOf(base: string, signal: AbortSignal): Promise<number | null> {
  const { body } = await request(`${base}/metrics`, { signal })
  const lines = (await body.text()).split('\n').filter(line => line.startsWith('colloquy_aggregate_lag_records{'))
  return lines.length === 0 ? null : lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** Always as many lines, so that the table can be drawn in place. */
const ALERT_LINES = 2

function alertLines(alerts: readonly Alert[]): string[] {
  const shown = alerts
    .slice(0, ALERT_LINES)
    .map(alert => `  ${alert.state === 'FIRING' ? 'ALERT  ' : 'was    '}${summaryOf(alert)}`)
  if (alerts.length === 0) shown.push('  no alerts yet: there is an incident on whatsapp in the first minutes')
  return [...shown, ...Array.from({ length: ALERT_LINES - shown.length }, () => '')]
}

/** The table as lines no longer than `width`: sessions by channel and vendor, and what else there is of each vendor. */
export function tableOf(state: DemoState, width: number): string[] {
  const { rows, lag, completeUntil } = state
  const number = (value: number) => value.toLocaleString('en-US')
  const vendors = [...new Set(rows.map(({ vendor }) => vendor))].toSorted()
  const line = (name: string, cells: readonly string[]) => `  ${name.padEnd(16)}${cells.map(cell => cell.padStart(11)).join('')}`
  const counted = (name: string, column: keyof typeof COLUMNS, of: readonly DemoRow[]) => {
    const sum = (some: readonly DemoRow[]) => some.reduce((all, row) => all + row[column], 0)
    return line(name, [...vendors.map(vendor => number(sum(of.filter(row => row.vendor === vendor)))), number(sum(of))])
  }
  const channels = Map.groupBy(rows, ({ channel }) => channel)
  const size = (of: readonly DemoRow[]) => of.reduce((all, { sessions }) => all + sessions, 0)
  const inOrder = [...channels].filter(([, of]) => size(of) > 0).toSorted(([, a], [, b]) => size(b) - size(a))
  return [
    '',
    line('sessions', [...vendors, 'all']),
    ...inOrder.map(([channel, of]) => counted(channel, 'sessions', of)),
    counted('all', 'sessions', rows),
    '',
    counted('agent transfers', 'transfers', rows),
    counted('messages', 'messages', rows),
    counted('events', 'events', rows),
    '',
    `  complete until ${completeUntil ?? '(nothing read completely yet)'}   lag ${lag === null ? '?' : number(lag)} records`,
    '',
    ...alertLines(state.alerts),
  ].map(each => each.slice(0, width))
}
