/** The demo's output, as lines: a pure function of state, width and colours. */
import { styleText } from 'node:util'
import { amountOf, groupName } from '../alert/words.ts'
import type { Alert } from '../records.ts'
import type { DemoRow, DemoState } from './demo-state.ts'
import { widthOf } from './live-lines.ts'
import { table } from './table.ts'

/** A time in which the simulated people ask for an agent more often than usual. */
export interface Incident {
  /** null: on all channels. */
  readonly channel: string | null
  readonly fromMs: number
  readonly untilMs: number
  /** Shares of conversations that ask for an agent. */
  readonly transferShare: number
  readonly usualShare: number
}

export interface DemoView {
  /** All of them have a row, even before any of their data has been read. */
  readonly vendors: readonly string[]
  readonly state: DemoState
  /** null: none is known. */
  readonly incident: Incident | null
  /** When the first alert of the incident should have been raised, epoch milliseconds. */
  readonly alertByMs: number
  /** When the first alert of each vendor was seen. */
  readonly firedAtMs: ReadonlyMap<string, number>
  readonly nowMs: number
}

export interface DemoStyle {
  /** Infinity: as wide as needed. */
  readonly width: number
  readonly colours: boolean
}

type Colour = Parameters<typeof styleText>[0]

/** A row for each vendor, the state of the incident, and the newest alert of each vendor. */
export function demoLines(view: DemoView, style: DemoStyle): string[] {
  const { lag, completeUntil } = view.state
  const { lines, left } = vendorTable(view, style)
  const status = [
    `complete until ${completeUntil ?? '(nothing read completely yet)'}`,
    `lag ${lag === null ? '?' : number(lag)} records`,
    ...(left.length === 0 ? [] : [`wider: ${left.join(', ')}`]),
  ]
  return [
    ...lines,
    '',
    ...wrapped(status.join('   '), style.width),
    ...wrapped(incidentText(view), style.width).map(line => painted('yellow', line, style)),
    '',
    ...alertLines(view, style),
  ]
}

interface Column {
  readonly head: string
  /** @param rows Of one vendor, or of all. */
  readonly cell: (rows: readonly DemoRow[], vendor: string | null) => string
}

/** The table, and the heads of the columns without room. A number is never cut. */
function vendorTable(view: DemoView, style: DemoStyle): { lines: string[]; left: string[] } {
  const { state, vendors } = view
  const sum = (column: 'sessions' | 'messages' | 'transfers' | 'events') => (rows: readonly DemoRow[]) =>
    number(rows.reduce((all, row) => all + row[column], 0))
  const channels = Map.groupBy(state.rows, ({ channel }) => channel)
  const size = (rows: readonly DemoRow[]) => rows.reduce((all, { sessions }) => all + sessions, 0)
  const bySize = [...channels].filter(([, rows]) => size(rows) > 0).toSorted(([, a], [, b]) => size(b) - size(a))
  // The first columns stay the longest.
  const columns: Column[] = [
    { head: 'sessions', cell: sum('sessions') },
    { head: 'transfers', cell: sum('transfers') },
    { head: 'alerts', cell: (_, vendor) => alertCell(state.alerts, vendor, style) },
    ...bySize.map(([channel]) => ({
      head: channel,
      cell: (rows: readonly DemoRow[]) => sum('sessions')(rows.filter(row => row.channel === channel)),
    })),
    { head: 'messages', cell: sum('messages') },
    { head: 'events', cell: sum('events') },
  ]
  const render = (shown: readonly Column[]) => {
    const row = (name: string, rows: readonly DemoRow[], vendor: string | null) => [
      name,
      ...shown.map(({ cell }) => cell(rows, vendor)),
    ]
    const rows = vendors.map(vendor =>
      row(
        vendor,
        state.rows.filter(each => each.vendor === vendor),
        vendor,
      ),
    )
    const heads = ['vendor', ...shown.map(({ head }) => head)].map(head => painted('bold', head, style))
    return table(heads, [...rows, row('all', state.rows, null)], { widest: Infinity, numbers: true })
  }
  let shown = columns
  let lines = render(shown)
  while (shown.length > 1 && lines.some(line => widthOf(line) > style.width)) {
    shown = shown.slice(0, -1)
    lines = render(shown)
  }
  return { lines, left: columns.slice(shown.length).map(({ head }) => head) }
}

function alertCell(alerts: readonly Alert[], vendor: string | null, style: DemoStyle): string {
  const own = alerts.filter(alert => vendor === null || alert.vendor === vendor)
  const firing = own.filter(({ state }) => state === 'FIRING').length
  if (firing > 0) return painted('red', `${firing} firing`, style)
  return own.length === 0 ? '0' : `${own.length} over`
}

/** The incident, when its alerts are expected, and whether they have fired. */
export function incidentText({ incident, alertByMs, firedAtMs, vendors, nowMs }: DemoView): string {
  if (incident === null) return ''
  const { channel, fromMs, untilMs, transferShare, usualShare } = incident
  const percent = (share: number) => Math.round(share * 100)
  const what = `incident on ${channel ?? 'all channels'}, ${clockTime(fromMs)} to ${clockTime(untilMs)}: ${percent(transferShare)} of 100 conversations ask for an agent, usually ${percent(usualShare)}`
  if (firedAtMs.size > 0) {
    const first = Math.min(...firedAtMs.values())
    return `${what}. Alerts fired for ${[...firedAtMs.keys()].toSorted().join(', ')} (${firedAtMs.size} of ${vendors.length} vendors), the first at ${clockTime(first)}`
  }
  return `${what}. Its alerts are ${nowMs > alertByMs ? 'late: they were expected' : 'expected'} by ${clockTime(alertByMs)}`
}

/** The newest alert of each vendor, firing ones first; always as many lines as there are vendors. */
function alertLines({ state, vendors }: DemoView, style: DemoStyle): string[] {
  const newest = vendors.flatMap(vendor => state.alerts.find(alert => alert.vendor === vendor) ?? [])
  const firing = newest.filter(alert => alert.state === 'FIRING')
  const over = newest.filter(alert => alert.state !== 'FIRING')
  const lines = [
    ...firing.map(alert => painted('red', fitted(`ALERT  ${groupName(alert)}: ${amountOf(alert)}`, style.width), style)),
    ...over.map(alert => fitted(`over   ${groupName(alert)}: ${amountOf(alert)}`, style.width)),
  ]
  return [...lines, ...Array.from({ length: vendors.length - lines.length }, () => '')]
}

/** Cut between two words, so that no number is shown partially. */
export function fitted(line: string, width: number): string {
  if (line.length <= width) return line
  const end = line.lastIndexOf(' ', width - 2)
  return `${line.slice(0, Math.max(0, end))} …`
}

/** On as many lines as needed. A word that is longer than a line stays whole. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${last} ${word}`
  }
  return lines
}

function painted(colour: Colour, text: string, { colours }: DemoStyle): string {
  return colours ? styleText(colour, text, { validateStream: false }) : text
}

/** `12:07:31 UTC`: everything that the product serves is in UTC. */
function clockTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(11, 19)} UTC`
}

function number(value: number): string {
  return value.toLocaleString('en-US')
}
