/**
 * Exports the series that the Prometheus rules ask for from a running product, as input of `promtool test rules`:
 *
 *     node test/deploy/export.ts http://127.0.0.1:8083 15 > test/deploy/real-run.yml
 *
 * One sample a minute. Times in values are moved so that the first sample is at 0, as promtool's clock is.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const [base = 'http://127.0.0.1:8083', minutes = '15'] = process.argv.slice(2)
const rules = readFileSync(new URL('../../deploy/prometheus/rules/colloquy.yml', import.meta.url), 'utf8')
const wanted = new Set(rules.match(/\bcolloquy_[a-z_]+/g))
const samples = new Map<string, string[]>()
const startMs = Date.now()

for (let at = 0; at < Number(minutes); at++) {
  await sleep(startMs + at * 60_000 - Date.now())
  const page = await fetch(`${base}/metrics`).then(
    answer => answer.text(),
    () => '',
  )
  for (const line of page.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line) ?? []
    if (!wanted.has(name)) continue
    const series = `${name}${labels.replace(/^\{/, '{job="colloquy",instance="colloquy:8083",')}`
    const known = samples.get(series) ?? Array.from({ length: at }, () => '_')
    samples.set(series, known)
    known.push(name.endsWith('_timestamp_seconds') ? (Number(value) - startMs / 1000).toFixed(0) : String(Number(value)))
  }
  for (const values of samples.values()) while (values.length <= at) values.push('_')
}
process.stdout.write('interval: 1m\ninput_series:\n')
for (const [series, values] of [...samples].sort(([a], [b]) => (a < b ? -1 : 1)))
  process.stdout.write(`  - series: ${JSON.stringify(series)}\n    values: ${JSON.stringify(values.join(' '))}\n`)
