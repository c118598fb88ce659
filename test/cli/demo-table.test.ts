import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { startLine } from '../../src/cli/demo.ts'
import { type DemoRow, emptyState, noteFired } from '../../src/cli/demo-state.ts'
import { demoLines, type DemoView, fitted, incidentText } from '../../src/cli/demo-table.ts'
import { AT, makeAlert } from '../alert/make.ts'

const VENDORS = ['botmaker', 'chatlayer', 'koreai', 'syntphony', 'wolkvox']
const CHANNELS = ['whatsapp', 'web', 'messenger', 'instagram', 'telegram']

/** Figures as they are after some minutes of the demo. */
const rows: DemoRow[] = VENDORS.flatMap((vendor, i) =>
  CHANNELS.map((channel, j) => ({
    vendor,
    channel,
    sessions: 1286 - 211 * j + i,
    messages: 12_345 + i * 17 + j,
    transfers: 234 + i + j,
    events: 31_208 + 7 * i + j,
  })),
)

const incident = { channel: 'whatsapp', fromMs: AT, untilMs: AT + 9 * 60_000, transferShare: 0.85, usualShare: 0.18 }

const view = (more: Partial<DemoView> = {}): DemoView => ({
  vendors: VENDORS,
  state: { ...emptyState, rows, lag: 12, completeUntil: '2026-11-01T12:00:00.000Z' },
  incident,
  alertByMs: AT + 300_000,
  firedAtMs: new Map(),
  nowMs: AT,
  ...more,
})

const plain = (width: number) => ({ width, colours: false })

/** Numbers with thousands, as they may be shown. */
function trueNumbers(): Set<string> {
  const sums = [...VENDORS, null].flatMap(vendor => {
    const own = rows.filter(row => vendor === null || row.vendor === vendor)
    const sum = (column: 'sessions' | 'messages' | 'transfers' | 'events', of = own) =>
      of.reduce((all, row) => all + row[column], 0)
    return [
      ...(['sessions', 'messages', 'transfers', 'events'] as const).map(column => sum(column)),
      ...CHANNELS.map(channel =>
        sum(
          'sessions',
          own.filter(row => row.channel === channel),
        ),
      ),
    ]
  })
  return new Set([...sums, 0].map(value => value.toLocaleString('en-US')))
}

describe.each([40, 60, 80, 100, 132, 200])('at %d columns', width => {
  const lines = demoLines(view(), plain(width))

  test('no line is longer, and every number is whole', () => {
    expect(Math.max(...lines.map(line => line.length))).toBeLessThanOrEqual(width)
    const known = trueNumbers()
    const table = lines.slice(1, 2 + VENDORS.length)
    const shown = table.flatMap(line => line.split(/ +/).slice(1))
    expect(shown.length).toBeGreaterThan(0)
    expect(shown.filter(number => !known.has(number))).toEqual([])
  })

  test('every vendor has its row with sessions, transfers and alerts', () => {
    expect(lines[0]).toMatch(/^vendor +sessions +transfers +alerts/)
    expect(lines.slice(1, 2 + VENDORS.length).map(line => line.split(' ')[0])).toEqual([...VENDORS, 'all'])
  })
})

test('80 columns have room for channels; what is left out is named, the least channel first', () => {
  const [heads = '', ...rest] = demoLines(view(), plain(80))
  expect(heads).toMatch(/^vendor +sessions +transfers +alerts +whatsapp +web +messenger +instagram$/)
  expect(rest.join(' ')).toContain('wider: telegram, messages, events')
  expect(demoLines(view(), plain(200)).join(' ')).not.toContain('wider:')
  expect(demoLines(view(), plain(200))[0]).toMatch(/messages +events$/)
})

test('all that is said in numbers adds up: the last row is the sum of the others', () => {
  const [, ...lines] = demoLines(view(), plain(Infinity))
  const table = lines.slice(0, 1 + VENDORS.length).map(line =>
    line
      .split(/ +/)
      .slice(1)
      .map(cell => Number(cell.replaceAll(',', ''))),
  )
  const last = table.at(-1) ?? []
  expect(last.map((_, column) => table.slice(0, -1).reduce((sum, row) => sum + (row[column] ?? 0), 0))).toEqual(last)
})

test('each vendor has a line with its newest alert, those that fire first, and as many lines without alerts', () => {
  const over = makeAlert({ alert_id: 'b', vendor: 'koreai', state: 'RESOLVED', ends_at: AT + 1, channel: 'web' })
  const alerts = [
    makeAlert(),
    makeAlert({ alert_id: 'c', channel: 'sms' }),
    makeAlert({ alert_id: 'd', vendor: 'wolkvox' }),
    over,
  ]
  const state = { ...emptyState, rows, alerts }
  const lines = demoLines(view({ state }), plain(80))
  expect(lines.slice(-VENDORS.length)).toEqual([
    'ALERT  botmaker / acme / b1 / whatsapp: 42 where 12.3 would be usual',
    'ALERT  wolkvox / acme / b1 / whatsapp: 42 where 12.3 would be usual',
    'over   koreai / acme / b1 / web: 42 where 12.3 would be usual',
    '',
    '',
  ])
  const cells = (vendor: string) => lines.find(line => line.startsWith(vendor)) ?? ''
  expect(cells('botmaker')).toContain(' 2 firing ')
  expect(cells('koreai')).toContain(' 1 over ')
  expect(cells('syntphony')).toMatch(/ 0 /)
  expect(demoLines(view(), plain(80))).toHaveLength(lines.length)
})

test('a vendor has its row before anything of it has been read', () => {
  const lines = demoLines(view({ state: emptyState }), plain(80))
  expect(lines.slice(1, 1 + VENDORS.length)).toEqual(
    VENDORS.map(vendor => expect.stringMatching(new RegExp(`^${vendor}( +0)+$`)) as string),
  )
})

test('the incident is announced with when to expect its alerts, then that they have fired, for whom and when', () => {
  expect(incidentText(view())).toBe(
    'incident on whatsapp, 12:00:00 UTC to 12:09:00 UTC: 85 of 100 conversations ask for an agent, usually 18. Its alerts are expected by 12:05:00 UTC',
  )
  expect(incidentText(view({ nowMs: AT + 301_000 }))).toMatch(/Its alerts are late: they were expected by 12:05:00 UTC$/)
  const firedAtMs = new Map([
    ['wolkvox', AT + 190_000],
    ['botmaker', AT + 184_000],
  ])
  expect(incidentText(view({ firedAtMs }))).toMatch(
    /Alerts fired for botmaker, wolkvox \(2 of 5 vendors\), the first at 12:03:04 UTC$/,
  )
  expect(incidentText(view({ incident: null }))).toBe('')
})

test('a vendor has fired when an alert of it fires that began near the start or later; the first time counts', () => {
  const firedAtMs = new Map<string, number>()
  const alerts = [
    makeAlert({ vendor: 'koreai', starts_at: AT - 60_000 }),
    makeAlert({ vendor: 'wolkvox', starts_at: AT - 86_400_000 }),
    makeAlert({ vendor: 'syntphony', state: 'RESOLVED', starts_at: AT, ends_at: AT + 1 }),
  ]
  noteFired(alerts, firedAtMs, { beganMs: AT, nowMs: AT + 5_000 })
  noteFired(alerts, firedAtMs, { beganMs: AT, nowMs: AT + 6_000 })
  expect([...firedAtMs]).toEqual([['koreai', AT + 5_000]])
})

test('colours change no character of what is shown, and are left out where there are none', () => {
  const state = { ...emptyState, rows, alerts: [makeAlert()] }
  const coloured = demoLines(view({ state }), { width: 80, colours: true })
  expect(coloured.join('')).toContain('\x1b[')
  expect(coloured.map(line => stripVTControlCharacters(line).trimEnd())).toEqual(demoLines(view({ state }), plain(80)))
})

test('a line that is too long ends between two words, never inside a number', () => {
  expect(fitted('ALERT  acme: 42 where 12345 would be usual', 24)).toBe('ALERT  acme: 42 where …')
  expect(fitted('short', 24)).toBe('short')
})

test('the start is one line: what is fetched and how much has come, else how long it takes', () => {
  expect(startLine(null, 3_400)).toBe('starting Kafka, a schema registry and the simulators   3 s')
  expect(startLine({ what: 'Apache Kafka 4.3.1', megabytes: 45.2 }, 12_000)).toBe('fetching Apache Kafka 4.3.1   45.2 MB   12 s')
})
