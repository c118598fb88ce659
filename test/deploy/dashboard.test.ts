/** The dashboard of Prometheus, and its rules, against the table of metrics. What the queries answer is in test/long/dashboard.test.ts. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { askedBy, faultsOf } from './promql.ts'

interface Dashboard {
  readonly templating: { readonly list: readonly { name: string; type: string; query: string | { query: string } }[] }
  readonly annotations: {
    readonly list: readonly { expr: string; datasource: object; titleFormat: string; textFormat: string }[]
  }
  readonly panels: readonly { title: string; targets?: readonly { expr: string; legendFormat: string }[] }[]
}

const folder = new URL('../../deploy/', import.meta.url)
const text = readFileSync(new URL('grafana/dashboards/colloquy.json', folder), 'utf8')
const dashboard = JSON.parse(text) as Dashboard
const targets = dashboard.panels.flatMap(({ title, targets: of = [] }) => of.map(target => ({ title, ...target })))
const variables = dashboard.templating.list
const lookups = variables.flatMap(({ name, query }) => (typeof query === 'string' ? [] : [{ name, query: query.query }]))

test('what is checked is seen: a wrong metric, and a wrong label in a selector or a group', () => {
  expect(askedBy('sum by (a, b) (x{c="d}"}) / on (e) colloquy_y{f=~"$g",h!="i,j=k"}')).toEqual({
    selectors: [{ metric: 'colloquy_y', labels: ['f', 'h'] }],
    grouped: ['a', 'b', 'e'],
  })
  expect(faultsOf('rate(colloquy_sesions_total[5m])')).toEqual(['colloquy_sesions_total is no metric'])
  expect(faultsOf('rate(colloquy_transfer_delay_seconds[5m])')).toEqual(['colloquy_transfer_delay_seconds is no metric'])
  expect(faultsOf('sum by (le, sender) (colloquy_sessions_total{bot="b"})')).toEqual(
    ['bot', 'le', 'sender'].map(label => `colloquy_sessions_total has no label ${label}`),
  )
})

test.each(targets)('$title asks for metrics and labels that there are: $expr', ({ expr, legendFormat }) => {
  expect(faultsOf(expr)).toEqual([])
  const { selectors, grouped } = askedBy(expr)
  expect(selectors.length).toBeGreaterThan(0)
  const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label)
  expect(shown.filter(label => !grouped.includes(label ?? ''))).toEqual([])
})

test('alerts are annotations, over labels that they have', () => {
  const [alerts, ...others] = dashboard.annotations.list
  expect(others).toEqual([])
  expect(faultsOf(alerts?.expr ?? '')).toEqual([])
  const { selectors, grouped } = askedBy(alerts?.expr ?? '')
  expect(selectors.map(({ metric }) => metric)).toEqual(['colloquy_alerts'])
  for (const [, label = ''] of `${alerts?.titleFormat} ${alerts?.textFormat}`.matchAll(/\{\{(\w+)\}\}/g))
    expect(grouped).toContain(label)
})

test('vendor, account, channel and connector are chosen from labels that there are, and the data source, too', () => {
  expect(variables.map(({ name }) => name)).toEqual(['datasource', 'vendor', 'account', 'channel', 'connector'])
  for (const { name, query } of lookups) {
    const [, selector = '', label = ''] = /^label_values\((.*), (\w+)\)$/.exec(query) ?? []
    expect([name, label, faultsOf(`sum by (${label}) (${selector})`)]).toEqual([name, name, []])
  }
  expect(variables[0]).toMatchObject({ type: 'datasource', query: 'prometheus' })
  const sources = [...text.matchAll(/"datasource": \{[^}]*"uid": "([^"]*)"/g)].map(([, uid]) => uid)
  expect(new Set(sources)).toEqual(new Set(['${datasource}']))
})

test('every variable that is used is there, and every one that is there is used', () => {
  const queries = [...targets, ...dashboard.annotations.list].map(({ expr }) => expr)
  const used = [...queries, ...lookups.map(({ query }) => query)].join('\n').match(/(?<=\$)\w+/g) ?? []
  const own = used.filter(name => !name.startsWith('__'))
  expect(new Set(own)).toEqual(new Set(variables.map(({ name }) => name).filter(name => name !== 'datasource')))
  expect(new Set(used.filter(name => name.startsWith('__')))).toEqual(new Set(['__range', '__rate_interval']))
})

test('every metric and label of the rules of Prometheus is in the table, too', () => {
  const rules = readdirSync(new URL('prometheus/rules', folder)).flatMap(name => {
    const file = parse(readFileSync(new URL(`prometheus/rules/${name}`, folder), 'utf8')) as {
      groups: { rules: { record?: string; alert?: string; expr: string }[] }[]
    }
    return file.groups.flatMap(({ rules: of }) => of)
  })
  expect(rules.length).toBeGreaterThan(10)
  expect(rules.flatMap(({ record, alert, expr }) => faultsOf(expr).map(fault => `${record ?? alert}: ${fault}`))).toEqual([])
})
