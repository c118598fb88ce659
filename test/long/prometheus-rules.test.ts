import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { METRIC_PREFIX, METRICS } from '../../src/metrics.ts'
import { programOf } from '../support/alertmanager.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))
const RULES = readdirSync(`${root}/deploy/prometheus/rules`).map(name => `deploy/prometheus/rules/${name}`)
const alertNames = (file: string) =>
  [...readFileSync(`${root}/${file}`, 'utf8').matchAll(/alert(?:name)?: (Colloquy\w+)/g)].map(([, name]) => name ?? '')

/** promtool's own words; it ends with 1 and says why where something is wrong. */
const promtool = async (...args: string[]) => (await run(programOf('promtool'), args, { cwd: root })).stdout

test('promtool takes the rules and the config of Prometheus, amtool that of Alertmanager', async () => {
  expect(RULES.length).toBeGreaterThan(0)
  expect(await promtool('check', 'rules', ...RULES)).toContain('SUCCESS')
  expect(await promtool('check', 'config', '--syntax-only', 'deploy/prometheus/prometheus.yml')).toContain('SUCCESS')
  const { stdout } = await run(programOf('amtool'), ['check-config', 'deploy/alertmanager/alertmanager.yml'], { cwd: root })
  expect(stdout).toContain('SUCCESS')
})

test('every metric that a rule asks for is in the table of metrics', () => {
  const known = new Set(Object.keys(METRICS).map(name => METRIC_PREFIX + name))
  const asked = new Set(RULES.flatMap(file => readFileSync(`${root}/${file}`, 'utf8').match(/\bcolloquy_[a-z_]+/g) ?? []))
  expect(asked.size).toBeGreaterThan(8)
  expect([...asked].filter(name => !known.has(name))).toEqual([])
})

test('each rule fires for what it is for, and lets pass what looks like it', async () => {
  expect(await promtool('test', 'rules', 'test/deploy/incidents.test.yml')).toContain('SUCCESS')
  expect(new Set(alertNames('test/deploy/incidents.test.yml'))).toEqual(new Set(RULES.flatMap(alertNames)))
})

test('on the series of a real run no rule fires, and what is recorded has values', async () => {
  expect(await promtool('test', 'rules', 'test/deploy/real-run.test.yml')).toContain('SUCCESS')
  const { tests } = parse(readFileSync(`${root}/test/deploy/real-run.test.yml`, 'utf8')) as {
    tests: { input_series: unknown[]; alert_rule_test: { alertname: string }[] }[]
  }
  expect(tests[0]?.input_series.length).toBeGreaterThan(100)
  expect(new Set(tests[0]?.alert_rule_test.map(({ alertname }) => alertname))).toEqual(new Set(RULES.flatMap(alertNames)))
})
