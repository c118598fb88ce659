/** What the demo shows: asked of the product's own HTTP API, drawn as lines. */
import { request } from 'undici'

export interface DemoRow {
  readonly vendor: string
  readonly channel: string
  readonly sessions: number
  readonly messages: number
  readonly transfers: number
}

export interface DemoState {
  readonly rows: readonly DemoRow[]
  /** Records that the aggregator has still to count; null where not known yet. */
  readonly lag: number | null
  /** Everything earlier has been read; null where nothing has been read completely. */
  readonly completeUntil: string | null
}

export const emptyState: DemoState = { rows: [], lag: null, completeUntil: null }

/** The product's state now, or null while it does not answer. */
export async function readState(base: string, fromMs: number, signal: AbortSignal): Promise<DemoState | null> {
  try {
    const rows = new Map<string, DemoRow>()
    let completeUntil: string | null = null
    for (const [column, measures] of Object.entries(COLUMNS))
      for (const measure of measures) {
        const answer = await series(base, measure, fromMs, signal)
        completeUntil = answer.complete_until
        for (const { labels, sum } of answer.data.series) {
          const { vendor = '', channel = '' } = labels
          const row = rows.get(`${vendor} ${channel}`) ?? { vendor, channel, sessions: 0, messages: 0, transfers: 0 }
          rows.set(`${vendor} ${channel}`, { ...row, [column]: row[column as keyof typeof COLUMNS] + (sum ?? 0) })
        }
      }
    const sorted = [...rows.values()].toSorted((a, b) => a.vendor.localeCompare(b.vendor) || b.sessions - a.sessions)
    return { rows: sorted, lag: await lagOf(base, signal), completeUntil }
  } catch {
    return null // not listening yet, or going down: the table keeps what it has
  }
}

const COLUMNS = {
  sessions: ['sessions'],
  messages: ['messages_user', 'messages_bot', 'messages_agent', 'messages_other'],
  transfers: ['agent_transfers'],
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

async function lagOf(base: string, signal: AbortSignal): Promise<number | null> {
  const { body } = await request(`${base}/metrics`, { signal })
  const lines = (await body.text()).split('\n').filter(line => line.startsWith('colloquy_aggregate_lag_records{'))
  return lines.length === 0 ? null : lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

/** The table as lines no longer than `width`. */
export function tableOf(state: DemoState, width: number): string[] {
  const cells = (row: readonly string[]) =>
    `  ${(row[0] ?? '').padEnd(12)} ${(row[1] ?? '').padEnd(12)} ${row
      .slice(2)
      .map(cell => cell.padStart(12))
      .join(' ')}`.slice(0, width)
  const number = (value: number) => value.toLocaleString('en-US')
  const total = { sessions: 0, messages: 0, transfers: 0 }
  for (const row of state.rows) for (const column of ['sessions', 'messages', 'transfers'] as const) total[column] += row[column]
  const { lag, completeUntil } = state
  return [
    '',
    cells(['vendor', 'channel', 'sessions', 'messages', 'transfers']),
    ...state.rows.map(row => cells([row.vendor, row.channel, number(row.sessions), number(row.messages), number(row.transfers)])),
    cells(['all', '', number(total.sessions), number(total.messages), number(total.transfers)]),
    '',
    `  complete until ${completeUntil ?? '(nothing read completely yet)'}   lag ${lag === null ? '?' : number(lag)} records`.slice(
      0,
      width,
    ),
  ]
}
