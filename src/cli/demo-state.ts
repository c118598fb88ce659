/** The state of the product, from its own HTTP API. */
import { request } from 'undici'
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
  /** Records that the aggregator has still to count; null if unknown. */
  readonly lag: number | null
  /** Every session that began earlier has been read; null if nothing has been read completely. */
  readonly completeUntil: string | null
  /** Firing alerts, then past ones, newest first. */
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

/** Alerts that began longer before the start belong to an incident of the history. */
const RECENT_MS = 30 * 60_000

/** Adds to `firedAtMs` the vendors whose first alert since the start fires now. */
export function noteFired(
  alerts: readonly Alert[],
  firedAtMs: Map<string, number>,
  at: { beganMs: number; nowMs: number },
): void {
  for (const { vendor, state, starts_at } of alerts)
    if (state === 'FIRING' && starts_at >= at.beganMs - RECENT_MS && !firedAtMs.has(vendor)) firedAtMs.set(vendor, at.nowMs)
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
