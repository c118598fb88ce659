/**
 * The console page: one document without any outside part. It asks `/v1/series` every few seconds and shows, per channel, sessions, messages
 * and transfers, and up to when everything is known. Texts from vendors are only ever set as text, never as markup.
 */
export const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Colloquy</title>
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2 2h12v9H7l-3 3v-3H2z' fill='%232f7d6b'/%3E%3C/svg%3E">
<style>
  :root { color-scheme: light dark; --ink: #1c2524; --soft: #64716f; --line: #dfe5e3; --ground: #f6f8f7; --card: #fff; --accent: #2f7d6b; --second: #3f6fb5; --warn: #b5562f }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e4ebe9; --soft: #93a19e; --line: #2b3533; --ground: #131817; --card: #1b2221; --accent: #5fbfa6; --second: #7fa8e6; --warn: #e39a74 }
  }
  * { box-sizing: border-box }
  body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums }
  main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px }
  header { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: baseline; margin-bottom: 20px }
  h1 { font-size: 20px; margin: 0; letter-spacing: .01em }
  #until { color: var(--soft); flex: 1 }
  #until.late, #fault { color: var(--warn) }
  nav button { font: inherit; color: var(--soft); background: none; border: 1px solid var(--line); padding: 3px 11px; cursor: pointer }
  nav button:first-child { border-radius: 6px 0 0 6px } nav button:last-child { border-radius: 0 6px 6px 0 }
  nav button + button { border-left: 0 }
  nav button[aria-pressed=true] { color: var(--card); background: var(--accent); border-color: var(--accent) }
  .totals { display: grid; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); gap: 14px; margin-bottom: 18px }
  .card, .table { background: var(--card); border: 1px solid var(--line); border-radius: 10px }
  .card { padding: 14px 16px } .card b { display: block; font-size: 27px; font-weight: 600; line-height: 1.2 } .card span { color: var(--soft) }
  .table { overflow-x: auto }
  table { border-collapse: collapse; width: 100%; min-width: 720px }
  th, td { padding: 9px 16px; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
  tbody tr:last-child td { border-bottom: 0 }
  th { font-weight: 500; font-size: 13px; color: var(--soft) }
  td.cell { width: 27% } td.cell div { display: flex; align-items: center; gap: 12px }
  td.cell output { min-width: 62px; text-align: right }
  svg { flex: 1; height: 30px; min-width: 90px; overflow: visible }
  path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round }
  .alerts details { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--soft); border-radius: 10px; padding: 10px 16px; margin-bottom: 10px }
  .alerts details.FIRING { border-left-color: var(--warn) }
  .alerts summary { cursor: pointer } .alerts summary b { margin-right: 10px } .alerts summary span { color: var(--soft) }
  .alerts dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 10px 0 4px; overflow-wrap: anywhere } .alerts dt { color: var(--soft) } .alerts dd { margin: 0 }
  .none { color: var(--soft); padding: 26px 16px; text-align: center }
</style>
</head>
<body>
<main>
  <header>
    <h1>Colloquy</h1>
    <span id="until">reading…</span>
    <nav aria-label="Range"></nav>
  </header>
  <section class="alerts" aria-label="Alerts"></section>
  <section class="totals"></section>
  <section class="table"><table>
    <thead><tr><th>Channel</th><th>Sessions</th><th>Messages</th><th>Agent transfers</th></tr></thead>
    <tbody><tr><td class="none" colspan="4">reading…</td></tr></tbody>
  </table></section>
  <p id="fault" role="status"></p>
</main>
<script>
'use strict'
const RANGES = { '1 h': [3600e3, '1m'], '24 h': [86400e3, '15m'], '7 d': [604800e3, '1h'], '30 d': [2592e6, '1d'] }
const MESSAGES = ['messages_user', 'messages_bot', 'messages_agent', 'messages_other']
const COLUMNS = [['Sessions', ['sessions'], 'accent'], ['Messages', MESSAGES, 'second'], ['Agent transfers', ['agent_transfers'], 'warn']]
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'
const number = new Intl.NumberFormat()
const find = selector => document.querySelector(selector)
let range = location.hash.slice(1) && decodeURIComponent(location.hash.slice(1)) in RANGES ? decodeURIComponent(location.hash.slice(1)) : '24 h'
let turn = 0

function make(name, properties, ...children) {
  const node = name === 'svg' || name === 'path' ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name)
  for (const [key, value] of Object.entries(properties)) key === 'text' ? (node.textContent = value) : node.setAttribute(key, value)
  node.append(...children)
  return node
}

/** A line with gaps where nothing has been read. */
function spark(values, colour) {
  const top = Math.max(1, ...values)
  const step = 100 / Math.max(1, values.length - 1)
  let path = ''
  values.forEach((value, at) => {
    if (value === null) return
    const gap = at === 0 || values[at - 1] === null
    path += (gap ? 'M' : 'L') + (at * step).toFixed(2) + ' ' + (30 - (28 * value) / top).toFixed(2) + (gap ? 'h.1' : '')
  })
  return make('svg', { viewBox: '0 0 100 31', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, make('path', { d: path, style: 'stroke:var(--' + colour + ')' }))
}

async function ask(measures, from, until, bucket) {
  const query = new URLSearchParams({ measure: measures.join(','), bucket, from, until, group_by: 'channel', tz: zone })
  const answer = await fetch('/v1/series?' + query)
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.message)
  return body
}

const add = (a, b) => (a === null ? b : b === null ? a : a + b)

async function refresh() {
  const mine = ++turn
  const [length, bucket] = RANGES[range]
  const until = Date.now()
  try {
    const wanted = COLUMNS.flatMap(([, measures]) => measures)
    const answer = await ask(wanted, until - length, until, bucket)
    if (mine !== turn) return
    const channels = new Map()
    COLUMNS.forEach(([, measures], column) => {
      for (const { labels, values, sum } of answer.data.series)
        if (measures.includes(labels.measure)) {
          if (!channels.has(labels.channel)) channels.set(labels.channel, COLUMNS.map(() => ({ sum: null, values: null })))
          const cell = channels.get(labels.channel)[column]
          cell.sum = add(cell.sum, sum)
          cell.values = cell.values ? cell.values.map((value, at) => add(value, values[at] ?? null)) : values
        }
    })
    show(channels, answer.complete_until)
    const alerts = await fetch('/v1/alerts?' + new URLSearchParams({ from: until - length, limit: 20 }))
    if (mine === turn && alerts.ok) showAlerts((await alerts.json()).data)
    find('#fault').textContent = ''
  } catch (error) {
    if (mine === turn) find('#fault').textContent = 'No answer: ' + error.message
  }
}

function show(channels, completeUntil) {
  const rows = [...channels].sort((a, b) => (b[1][0].sum ?? 0) - (a[1][0].sum ?? 0))
  find('tbody').replaceChildren(
    ...(rows.length === 0 ? [make('tr', {}, make('td', { class: 'none', colspan: 4, text: 'No conversations yet.' }))] : []),
    ...rows.map(([channel, cells]) =>
      make('tr', {}, make('td', { text: channel }), ...cells.map(({ sum, values }, at) =>
        make('td', { class: 'cell' }, make('div', {}, make('output', { text: sum === null ? '–' : number.format(sum) }), spark(values ?? [], COLUMNS[at][2])))))),
  )
  find('.totals').replaceChildren(...COLUMNS.map(([title], at) => {
    const sum = rows.reduce((total, [, cells]) => add(total, cells[at].sum), null)
    return make('div', { class: 'card' }, make('b', { text: sum === null ? '–' : number.format(sum) }), make('span', { text: title + ', ' + range }))
  }))
  const line = find('#until')
  const late = completeUntil === null ? Infinity : Date.now() - Date.parse(completeUntil)
  line.className = late > 900e3 ? 'late' : ''
  line.textContent = completeUntil === null ? 'not complete yet: some streams are still being read for the first time'
    : 'complete until ' + new Date(completeUntil).toLocaleString() + ' (' + ago(late) + ' behind)'
}

/** What fires first, then what was on in the range. Those that are open stay open. */
function showAlerts(alerts) {
  const open = new Set([...document.querySelectorAll('.alerts details[open]')].map(each => each.id))
  const wanted = new URLSearchParams(location.search).get('alert')
  const sorted = [...alerts].sort((a, b) => (a.state === 'FIRING' ? 0 : 1) - (b.state === 'FIRING' ? 0 : 1))
  find('.alerts').replaceChildren(...sorted.map(alert => {
    const where = [alert.vendor, alert.account, alert.bot_id, alert.channel, alert.language].filter(Boolean).join(' / ')
    const when = alert.state === 'FIRING' ? 'for ' + ago(Date.now() - alert.starts_at) : 'until ' + new Date(alert.ends_at).toLocaleString()
    const figures = number.format(alert.observed) + ' where ' + new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 }).format(alert.expected) + ' would be usual'
    const details = make('details', { id: 'alert-' + alert.alert_id, class: alert.state },
      make('summary', {}, make('b', { text: alert.rule }), where + ': ' + figures + ' ', make('span', { text: (alert.state === 'FIRING' ? 'firing ' : 'over, ') + when })),
      make('dl', {}, ...Object.entries(alert.evidence).filter(([name]) => name !== 'link').flatMap(([name, value]) => [make('dt', { text: name }), make('dd', { text: value })])))
    details.open = open.has(details.id) || alert.alert_id === wanted
    return details
  }))
}

const ago = ms => ms < 120e3 ? Math.max(0, Math.round(ms / 1e3)) + ' s' : ms < 7200e3 ? Math.round(ms / 60e3) + ' min' : ms < 172800e3 ? Math.round(ms / 3600e3) + ' h' : Math.round(ms / 86400e3) + ' d'

find('nav').append(...Object.keys(RANGES).map(name => {
  const button = make('button', { type: 'button', 'aria-pressed': String(name === range), text: name })
  button.onclick = () => {
    range = name
    history.replaceState(null, '', '#' + encodeURIComponent(name))
    for (const each of find('nav').children) each.setAttribute('aria-pressed', String(each === button))
    refresh()
  }
  return button
}))
refresh()
setInterval(() => document.hidden || refresh(), 4000)
document.addEventListener('visibilitychange', () => document.hidden || refresh())
</script>
</body>
</html>
`
