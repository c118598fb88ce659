import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkCommand } from '../../src/cli/check.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { createLog, silentLog } from '../../src/log.ts'
import { configFile } from '../support/product.ts'

interface Finding {
  readonly finding: string
  readonly what: string
  readonly [field: string]: unknown
}

async function server(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const listening = createServer(answer)
  await new Promise<void>(resolve => {
    listening.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void listening.close())
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

/** @param terminal Whether stdout is one. */
async function printed(config: object, argv: readonly string[], terminal: boolean): Promise<{ code: number; lines: string[] }> {
  const file = configFile({ kafka: { brokers: ['127.0.0.1:1'] }, ...config })
  onTestFinished(() => file.remove())
  const lines: string[] = []
  const code = await checkCommand(['--config', file.path, ...argv], {
    stdout: line => void lines.push(line),
    log: createLog('silent'),
    signal: new AbortController().signal,
    env: {},
    entry: '',
    ...(terminal ? { terminal: { columns: () => 80, rows: () => 24, colours: false, write: () => {} } } : {}),
  })
  return { code, lines }
}

async function check(config: object): Promise<{ code: number; findings: Finding[] }> {
  const { code, lines } = await printed(config, [], false)
  return { code, findings: lines.map(line => JSON.parse(line) as Finding) }
}

/** A registry below `/apis/ccompat/v7`; all else answers as its web server does. */
const registry = (other: (response: ServerResponse) => void) =>
  server((request, response) => {
    if (request.url === '/apis/ccompat/v7/subjects')
      response.setHeader('content-type', 'application/vnd.schemaregistry.v1+json').end('["a-value"]')
    else other(response)
  })

test.each<[string, (response: ServerResponse) => void]>([
  ['a page', response => response.setHeader('content-type', 'text/html').end('<html>console</html>')],
  ['404 with a page', response => response.writeHead(404, { 'content-type': 'text/html' }).end('<html>no</html>')],
  ['404 in JSON', response => response.writeHead(404, { 'content-type': 'application/json' }).end('{"error_code":404}')],
  ['an object', response => response.setHeader('content-type', 'application/json').end('{"version":"3"}')],
  ['nothing', response => response.writeHead(204).end()],
])('a registry path that answers %s is a fault of the config', async (_what, other) => {
  const url = await registry(other)
  const pinged = connectRegistry({ url, log: silentLog }).ping()
  await expect(pinged).rejects.toMatchObject({
    code: 'CFG_INVALID',
    details: { path: 'registry.url', hint: expect.stringContaining('no schema registry at this path') as string },
  })
  await connectRegistry({ url: `${url}/apis/ccompat/v7/`, log: silentLog }).ping()
})

test('a wrong registry path is told with its place and cure; tasks.max above 1 is nothing to warn of', async () => {
  const url = await registry(response => response.writeHead(404).end())
  const config = (path: string, tasks: number) => ({
    registry: { url: url + path },
    connectors: { acme: { 'connector.class': 'botmaker', 'access.token': 'tok-en', 'base.url': url, 'tasks.max': tasks } },
  })
  const wrong = await check(config('', 2))
  expect(wrong.code).toBe(1)
  expect(wrong.findings.find(({ what }) => what === 'registry')).toMatchObject({
    finding: 'fault',
    code: 'CFG_INVALID',
    path: 'registry.url',
    cure: expect.any(String) as string,
  })
  expect(wrong.findings.filter(({ finding }) => finding === 'warning')).toEqual([])
  const right = await check(config('/apis/ccompat/v7/', 1))
  expect(right.findings.find(({ what }) => what === 'registry')).toMatchObject({ finding: 'ok', url: `${url}/apis/ccompat/v7` })
  expect(right.findings.filter(({ finding }) => finding === 'warning')).toEqual([])
}, 60_000)

test('a connector that cannot know transfers says so: a warning, no fault', async () => {
  const url = await registry(response => response.writeHead(404).end())
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const plugin = join(folder, 'mute.ts')
  const source = new URL('../../src/source/index.ts', import.meta.url).href
  writeFileSync(
    plugin,
    `import { z } from ${JSON.stringify(import.meta.resolve('zod'))}
import { defineConnector, session } from ${JSON.stringify(source)}
export default defineConnector({
  manifest: { id: 'mute', title: 'Mute', apiVersion: '1', docs: 'https://mute.example', quota: {}, pollIntervalMs: 60000, sessionStream: 's' },
  config: z.strictObject({ hint: z.string().optional().describe('A word') }),
  http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
  detectsTransfers: (config, rules) => config.hint !== undefined || rules.hasAny('flow'),
  streams: { s: {
    window: { longestMs: Infinity, lagMs: 0, lookbackMs: 0, durableResume: false },
    row: z.object({ id: z.string() }),
    async *read() { yield { rows: [], resume: null } },
    identify: row => row.id,
    normalise: () => [],
  } },
})
`,
  )
  const found = async (keys: object) => {
    const { code, findings } = await check({
      registry: { url: `${url}/apis/ccompat/v7` },
      plugins: [plugin],
      connectors: { acme: { 'connector.class': plugin, ...keys } },
    })
    return { code, warnings: findings.filter(({ finding, what }) => finding === 'warning' && what === 'connectors.acme') }
  }
  expect((await found({})).warnings).toEqual([
    { finding: 'warning', what: 'connectors.acme', warning: expect.stringContaining('set transfer.rules') as string },
  ])
  expect((await found({ hint: 'x' })).warnings).toEqual([])
  expect((await found({ 'transfer.rules': 'flow~agent=agent_transferred' })).warnings).toEqual([])
  expect((await found({ 'transfer.rules': 'tag~agent=agent_transferred' })).warnings).toHaveLength(1)
}, 60_000)

test('prints what the connector says of its account as findings of level info, and a vendor that does not say it is a warning', async () => {
  const registryUrl = await registry(response => response.writeHead(404).end())
  const vendor = (definitions: (response: ServerResponse) => void) =>
    server((request, response) => {
      response.setHeader('content-type', 'application/json')
      if (request.url?.includes('/events/definitions')) definitions(response)
      else response.end('{"events":[]}')
    })
  const found = async (url: string) => {
    const keys = { 'base.url': url, 'token.id': 'tid', 'token.secret': 'sec-ret', 'bot.ids': 'm98j39nl', streams: 'events' }
    const { findings } = await check({
      registry: { url: `${registryUrl}/apis/ccompat/v7` },
      connectors: { acme: { 'connector.class': 'chatlayer', ...keys, 'transfer.rules': 'event~hand=agent_transferred' } },
    })
    return findings.filter(finding => finding.what === 'connectors.acme' && !Object.hasOwn(finding, 'requestsPerHour'))
  }
  expect(await found(await vendor(response => response.end('{"event_definitions":[{"event":"Handover"}]}')))).toEqual([
    { finding: 'info', what: 'connectors.acme', info: 'event "Handover" of bot m98j39nl: agent_transferred' },
    { finding: 'info', what: 'connectors.acme', info: 'transfer.rules in force: event~hand=agent_transferred' },
    { finding: 'ok', what: 'connectors.acme', answers: true, newest: null, stream: 'events', scope: 'm98j39nl@LIVE' },
  ])
  const [warning, stream] = await found(await vendor(response => response.end('{"event_definitions":7}')))
  expect([warning?.finding, warning?.['code'], stream?.finding]).toEqual(['warning', 'SRC_MALFORMED', 'ok'])
}, 60_000)

test('a documented limit of requests a day: a warning where a third of it is too little, and how many units it takes where that is not known', async () => {
  const registryUrl = await registry(response => response.writeHead(404).end())
  // Every call of the vendor is "no rows".
  const url = await server((_request, response) => response.writeHead(404).end('{"code":"404"}'))
  const found = async (keys: object) => {
    const wolkvox = {
      'connector.class': 'wolkvox',
      'base.url': url,
      token: 't',
      streams: 'diagram_13',
      'poll.interval.ms': 120_000,
    }
    const { findings } = await check({
      registry: { url: `${registryUrl}/apis/ccompat/v7` },
      connectors: { acme: { ...wolkvox, ...keys } },
    })
    return findings.flatMap(({ finding, info, warning, what }) =>
      JSON.stringify([info, warning]).includes('licence') ? [[finding, what, info ?? warning]] : [],
    )
  }
  const needs = expect.stringMatching(/at least \d+ requests a day.*1000 for each licence.*licences: 3 on/) as string
  expect(await found({})).toEqual([['info', 'connectors.acme', needs]])
  expect(await found({ licences: 2 })).toEqual([['warning', 'connectors.acme.licences', needs]])
  expect(await found({ licences: 3 })).toEqual([])
}, 60_000)

test('a schedule that does not fit the quota is a warning beside its figures; one that fits is not', async () => {
  const registryUrl = await registry(response => response.writeHead(404).end())
  const url = await server((_request, response) =>
    response.setHeader('content-type', 'application/json').end('{"events":[],"event_definitions":[]}'),
  )
  const keys = { 'base.url': url, 'token.id': 'tid', 'token.secret': 'sec-ret', 'bot.ids': 'm98j39nl', streams: 'events' }
  const found = async (more: object) => {
    const { code, findings } = await check({
      registry: { url: `${registryUrl}/apis/ccompat/v7` },
      connectors: { acme: { 'connector.class': 'chatlayer', ...keys, ...more } },
    })
    return { code, schedule: findings.filter(finding => Object.hasOwn(finding, 'requestsPerHour')) }
  }
  const why = expect.stringContaining('the last 5m at each poll, every 1m') as string
  const fitting = await found({})
  expect(fitting.schedule).toMatchObject([
    { finding: 'ok', what: 'connectors.acme', quotaPerHour: 36_000, reasons: [{ stream: 'events', scopes: 1, why }] },
  ])
  const requestsPerHour = Number(fitting.schedule[0]?.['requestsPerHour'])
  expect(Number(fitting.schedule[0]?.['requestsPerDay'])).toBeGreaterThan(23 * requestsPerHour)
  expect(fitting.schedule[0]).not.toHaveProperty('warning')
  const tight = await found({ 'quota.per.hour': 200 })
  const warning = expect.stringContaining('more than a third of the quota') as string
  expect(tight.schedule).toMatchObject([{ finding: 'warning', requestsPerHour, quotaPerHour: 200, warning }])
  expect(tight.code, 'nothing is wrong with the config').toBe(fitting.code)
}, 60_000)

test('on a terminal the findings stand below headings, and the verdict comes last; --json prints what a pipe gets', async () => {
  const url = await registry(response => response.writeHead(404).end())
  const keys = { 'connector.class': 'botmaker', 'access.token': 'tok-en', 'base.url': url }
  const config = { registry: { url: `${url}/apis/ccompat/v7` }, connectors: { acme: keys, other: keys } }
  const { code, lines } = await printed(config, [], true)
  expect(code).toBe(1)
  expect(lines.filter(line => /^\S/.test(line))).toEqual([
    'config',
    'kafka',
    'registry',
    'connectors.acme',
    'connectors.other',
    expect.stringMatching(/^\d faults, 0 warnings$/),
  ])
  const piped = await printed(config, [], false)
  const findings = (text: readonly string[]) =>
    text.map(line => JSON.parse(line) as Finding).map(({ finding, what }) => [finding, what])
  expect(findings((await printed(config, ['--json'], true)).lines)).toEqual(findings(piped.lines))
  expect(
    lines.filter(line => line.startsWith('  ')),
    'a line a finding',
  ).toHaveLength(piped.lines.length)
}, 60_000)
