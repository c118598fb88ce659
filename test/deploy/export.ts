/**
 * Exports the series that the Prometheus rules ask for from a running product, as a file for `promtool test rules` that says that no rule fires:
 *
 *     node test/deploy/export.ts http://127.0.0.1:8083 15 > test/deploy/real-run.test.yml
 *
 * One sample a minute. Times in values are moved so that the first sample is at 0, as promtool's clock is.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'

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
const series = [...samples]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, values]) => ({ series: name, values: values.join(' ') }))
const evalTime = `${Number(minutes) - 1}m`
const alertNames = [...rules.matchAll(/alert: (\w+)/g)].map(([, name]) => name)
const file = {
  rule_files: ['../../deploy/prometheus/rules/colloquy.yml'],
  evaluation_interval: '1m',
  tests: [
    {
      name: 'a real run',
      interval: '1m',
      input_series: series,
      promql_expr_test: [
        {
          expr: 'count(colloquy:transfer_share:ratio1h > 0) > bool 3 and on() (max(colloquy:transfer_share:ratio1h) <= bool 1)',
          eval_time: evalTime,
          exp_samples: [{ labels: '{}', value: 1 }],
        },
      ],
      alert_rule_test: alertNames.map(alertname => ({ eval_time: evalTime, alertname, exp_alerts: [] })),
    },
  ],
}
process.stdout.write(
  `# Written by test/deploy/export.ts from a running product, with the simulators as vendors.\n${stringify(file, { lineWidth: 0 })}`,
)
