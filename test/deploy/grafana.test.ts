/** The dashboard for Grafana's Infinity data source: every query of it is asked of a server, and has what its columns name. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { HttpServer } from '../../src/serve/http.ts'
import { NOW, startWorld } from '../serve/world.ts'

interface Query {
  url: string
  parser: string
  format: string
  root_selector: string
  url_options: { method: string; params: { key: string; value: string }[] }
  columns: { selector: string; text: string; type: string }[]
}
interface Dashboard {
  uid: string
  templating: { list: { name: string; type: string; query: string | { infinityQuery: Query }; allValue?: string }[] }
  panels: { title: string; datasource?: { uid: string }; targets?: Query[] }[]
}

const folder = new URL('../../deploy/grafana/', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, folder), 'utf8')
const dashboard = JSON.parse(read('dashboards/colloquy-series.json')) as Dashboard
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(query => ({ title, query })))

let server: HttpServer
beforeAll(async () => {
  ;({ server } = await startWorld())
})
afterAll(() => server.close())

/** As Grafana puts variables in; `chosen` has the names that are not All. */
function addressOf({ url, url_options: { params } }: Query, chosen: Record<string, string> = {}): string {
  const to = Date.parse(NOW)
  const values: Record<string, string> = {
    __from: String(to - 86_400_000),
    __to: String(to),
    __timezone: 'Europe/Madrid',
    bucket: '1h',
    ...chosen,
  }
  const put = (text: string) =>
    text.replaceAll(/\$\{(\w+)(?::csv)?\}/g, (_, name: string) => {
      const variable = dashboard.templating.list.find(each => each.name === name)
      const value = values[name] ?? variable?.allValue
      if (value === undefined) throw new Error(`nothing sets the variable ${name}`)
      return value
    })
  return `${server.url}${put(url)}?${new URLSearchParams(Object.fromEntries(params.map(({ key, value }) => [key, put(value)])))}`
}

/** The part of a value that a path of names leads to. */
const select = (of: unknown, path: string): unknown =>
  path === '' ? of : path.split('.').reduce<unknown>((inside, name) => (inside as Record<string, unknown> | null)?.[name], of)

async function rowsOf(query: Query, chosen?: Record<string, string>): Promise<unknown[]> {
  const address = addressOf(query, chosen)
  const answer = await fetch(address)
  const text = await answer.text()
  expect({ address, status: answer.status, text: answer.ok ? '' : text }).toEqual({ address, status: 200, text: '' })
  return [select(JSON.parse(text), query.root_selector)].flat()
}

test.each(queries)('$title: the answer has its columns, and lines have rising times', async ({ query }) => {
  expect(query.parser, 'no JSONata, UQL or GROQ').toBe('backend')
  const rows = await rowsOf(query)
  expect(rows.length).toBeGreaterThan(0)
  for (const row of rows) {
    for (const { selector, type } of query.columns) {
      const value = select(row, selector)
      expect({ selector, isThere: value !== undefined }).toEqual({ selector, isThere: true })
      if (value === null) continue
      if (type === 'timestamp') expect(new Date(value as string).getTime()).toBeGreaterThan(0)
      else expect(typeof value).toBe(type === 'timestamp_epoch' ? 'number' : type)
    }
  }
  if (query.format !== 'timeseries') return
  // Grafana makes lines of rows with one time, a value and labels, and only where times rise.
  expect(query.columns.map(({ type }) => type)).toEqual(['timestamp', 'string', 'number'])
  const times = rows.map(row => Date.parse((row as { time: string }).time))
  expect(times).toEqual(times.toSorted((a, b) => a - b))
  expect(new Set(times).size).toBe(24)
  expect(rows.some(row => (row as { value: number | null }).value !== null)).toBe(true)
})

test('a value of a variable is a filter of every panel, and a zone of any spelling is taken', async () => {
  for (const { title, query } of queries) {
    const none = await rowsOf(query, { vendor: 'nobody', __timezone: 'utc' })
    const values = none.map(row => select(row, query.columns.find(({ type }) => type === 'number')?.selector ?? 'x') ?? null)
    expect({ title, values: values.filter(value => value !== null) }).toEqual({ title, values: [] })
  }
  const [sessions] = queries
  const chosen = (await rowsOf(sessions?.query as Query, { channel: 'voice,sms', vendor: 'syntphony,botmaker' })) as {
    channel: string
  }[]
  expect(new Set(chosen.map(({ channel }) => channel))).toEqual(new Set(['voice']))
})

test('variables are asked for as they are used, and each offers what there is', async () => {
  const found = new Map<string, unknown[]>()
  for (const { name, query } of dashboard.templating.list)
    if (typeof query !== 'string') found.set(name, await rowsOf(query.infinityQuery))
  expect(Object.fromEntries(found)).toEqual({
    vendor: ['botmaker', 'syntphony'],
    account: ['acme'],
    bot: ['b,2', 'b1'],
    channel: ['voice', 'web'],
  })
  for (const { name, query } of dashboard.templating.list.slice(2))
    if (typeof query !== 'string') expect([name, await rowsOf(query.infinityQuery, { vendor: 'nobody' })]).toEqual([name, []])
  const used = new Set([...JSON.stringify(dashboard.panels).matchAll(/\$\{(\w+)(?::csv)?\}/g)].map(([, name]) => name))
  for (const { name } of dashboard.templating.list) expect([name, used.has(name)]).toEqual([name, true])
})

test('the data source is there, with the plugin and the token that it needs', () => {
  const [source] = (parse(read('provisioning/datasources/colloquy.yaml')) as { datasources: Record<string, unknown>[] })
    .datasources
  const compose = parse(readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8')) as {
    services: Record<string, { environment: Record<string, string> }>
  }
  const { GF_PLUGINS_PREINSTALL: plugin, COLLOQUY_HTTP_TOKEN: token } = compose.services['grafana']?.environment ?? {}
  expect(plugin).toBe(`${String(source?.['type'])}@3.11.1`)
  expect(token).toBe(compose.services['colloquy']?.environment['COLLOQUY_HTTP_TOKEN'])
  expect(source).toMatchObject({ secureJsonData: { bearerToken: '$COLLOQUY_HTTP_TOKEN' }, url: 'http://colloquy:8083' })
  const [variable] = dashboard.templating.list
  expect(variable).toMatchObject({ name: 'datasource', type: 'datasource', query: source?.['type'] })
  // So that it can be imported where the data source has another uid.
  expect(JSON.stringify(dashboard)).not.toContain(`"uid":"${String(source?.['uid'])}"`)
  const all = readdirSync(new URL('dashboards', folder)).map(name => (JSON.parse(read(`dashboards/${name}`)) as Dashboard).uid)
  expect(new Set(all).size).toBe(all.length)
})
