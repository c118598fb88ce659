import { afterEach, expect, test } from 'vitest'
import { CONSOLE_PAGES, type AlertsAnswer, type ConsoleSources, type OverviewAnswer } from '../../src/console.ts'
import { FlowError } from '../../src/errors.ts'
import type { HttpServer } from '../../src/serve/http.ts'
import { createConsole } from '../../src/serve/console.ts'
import { handClock } from '../support/clock.ts'
import { noSources } from './console-sources.ts'
import { NOW, startWorld } from './world.ts'
import { T } from './points.ts'

const open: HttpServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

async function start(of: Parameters<typeof startWorld>[0] = {}): Promise<string> {
  const { server } = await startWorld(of)
  open.push(server)
  return server.url
}

async function json(url: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(url)
  return { status: answer.status, body: await answer.json() }
}

const PATHS = ['/ui', '/ui/', ...CONSOLE_PAGES.map(page => `/ui/${page}`)]

test('every page has an address of its own, allows scripts and styles of this server only, and needs nothing from elsewhere', async () => {
  const base = await start()
  for (const path of PATHS) {
    const answer = await fetch(base + path)
    const text = await answer.text()
    expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 200, 'text/html; charset=utf-8'])
    const policy = answer.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'self'")
    expect(policy).not.toContain('unsafe')
    expect(text).not.toMatch(/<style|<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=/)
    expect(text.match(/https?:\/\/[^'"\s]+/g)).toBeNull()
  }
})

test('assets may be kept for ever, the document is asked for again; both have a tag and are packed', async () => {
  const base = await start()
  const document = await fetch(`${base}/ui/`)
  expect(document.headers.get('cache-control')).toBe('private, no-cache')
  const etag = document.headers.get('etag') ?? ''
  expect((await fetch(`${base}/ui/connectors`, { headers: { 'if-none-match': etag } })).status).toBe(304)

  const assets = [...(await document.text()).matchAll(/(?:src|href)="(\/ui\/assets\/[^"]+)"/g)].map(([, path = '']) => path)
  expect(assets.map(path => path.split('.').at(-1) ?? '').toSorted()).toEqual(['css', 'js', 'svg'])
  for (const path of assets) {
    const answer = await fetch(base + path, { headers: { 'accept-encoding': 'gzip' } })
    expect([path, answer.status, answer.headers.get('cache-control')]).toEqual([path, 200, 'public, max-age=31536000, immutable'])
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    if (!path.endsWith('.svg')) expect(answer.headers.get('content-encoding')).toBe('gzip')
    expect((await fetch(base + path, { headers: { 'if-none-match': answer.headers.get('etag') ?? '' } })).status).toBe(304)
  }
  expect((await fetch(`${base}/ui/assets/none.js`)).status).toBe(404)
  expect((await fetch(`${base}/ui/assets/..%2findex.html`)).status).toBe(404)
})

test('the overview has sessions, messages and transfers of each vendor and channel, and null where a vendor does not report one', async () => {
  const base = await start()
  const body = (await json(`${base}/ui/api/overview?range=7d`)).body as OverviewAnswer
  expect(body).toMatchObject({ atMs: T(NOW), version: '0.1.0', firing: 2, range: '7d', bucketMs: 3_600_000, unready: null })
  expect(body.times).toHaveLength(7 * 24)
  const sum = (values: readonly (number | null)[]) => values.reduce<number>((all, each) => all + (each ?? 0), 0)
  const [own, other] = body.groups.toSorted((a, b) => (a.vendor < b.vendor ? -1 : 1))
  expect([sum(own?.sessions ?? []), sum(own?.messages ?? []), sum(own?.transfers ?? [])]).toEqual([192, 432, 48])
  expect(other).toMatchObject({ vendor: 'syntphony', channel: 'voice' })
  expect(other?.transfers.every(each => each === null)).toBe(true)
  expect(body.completeUntil).toMatchObject({ syntphony: T(NOW) })
  expect(body.alerts.map(each => each.alert_id)).toContain('pooled')
})

test('a vendor is complete as far as its slowest stream, and not known where one of them is not', async () => {
  const { server, serve } = await startWorld()
  open.push(server)
  const stream = (vendor: string, completeUntil: number | null) =>
    ({ stream: 's', vendor, account: 'a', bot_id: null, completeUntil, covered: [] }) as const
  const streams = [stream('a', 7), stream('a', 5), stream('b', 7), stream('b', null)]
  const console = createConsole({
    serve: { ...serve, completeness: { streams: () => streams } },
    sources: noSources,
    clock: handClock(NOW),
    version: '0.1.0',
    health: () => [],
  })
  const answer = await console['/ui/api/overview']?.({}, new AbortController().signal)
  expect((answer as OverviewAnswer).completeUntil).toEqual({ a: 5, b: null })
})

test('alerts come with the rules in force', async () => {
  const base = await start()
  const body = (await json(`${base}/ui/api/alerts`)).body as AlertsAnswer
  expect(body.alerts).toHaveLength(2)
  expect(body.rules.map(rule => rule['name'])).toEqual(['agent-transfer-spike', 'count', 'burn'])
})

test('every answer says how the roles are', async () => {
  const why = 'Kafka does not answer (no answer within 2500 ms)'
  const base = await start({
    health: () => [
      { role: 'server', ok: false, why },
      { role: 'worker', ok: true },
    ],
  })
  for (const path of ['overview', 'alerts', 'connectors', 'letters', 'topics'])
    expect(await json(`${base}/ui/api/${path}`)).toMatchObject({
      status: 200,
      body: {
        roles: [
          { role: 'server', ok: false, why },
          { role: 'worker', ok: true, why: null },
        ],
      },
    })
})

test('parameters are checked, and what is not there is a 404', async () => {
  const base = await start()
  expect(await json(`${base}/ui/api/overview?range=2y`)).toMatchObject({ status: 400, body: { error_code: 400 } })
  expect(await json(`${base}/ui/api/alerts?limit=1`)).toMatchObject({ status: 400 })
  expect(await json(`${base}/ui/api/letter?partition=1&offset=-1`)).toMatchObject({ status: 400 })
  expect(await json(`${base}/ui/api/letter?partition=1&offset=7`)).toMatchObject({
    status: 404,
    body: { message: 'there is no dead letter 1:7' },
  })
  expect((await fetch(`${base}/ui/api/overview`, { method: 'POST' })).status).toBe(405)
  expect((await fetch(`${base}/ui/nothing`)).status).toBe(404)
})

test('a source that fails is an error with its message, and the other pages still answer', async () => {
  const sources: ConsoleSources = {
    ...noSources,
    letter: async () => {
      throw new FlowError('KAFKA_UNREACHABLE', { hint: 'no broker answers' })
    },
  }
  const base = await start({ sources })
  expect((await json(`${base}/ui/api/letter?partition=0&offset=0`)).status).toBe(503)
  expect((await json(`${base}/ui/api/overview`)).status).toBe(200)
})

test('the endpoints of the console are not part of the public API', async () => {
  const base = await start()
  const { paths } = (await json(`${base}/openapi.json`)).body as { paths: object }
  expect(Object.keys(paths).filter(path => path.startsWith('/ui'))).toEqual([])
})
