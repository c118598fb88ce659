import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createLog, hideSecret, silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createAlertStore } from '../../src/serve/alerts.ts'
import type { Serve } from '../../src/serve/api.ts'
import { type HttpOptions, type HttpServer, type RoleHealth, startHttp } from '../../src/serve/http.ts'
import { createStore } from '../../src/serve/store.ts'
import { makeAlert } from '../alert/make.ts'
import { handClock } from '../support/clock.ts'
import { completenessOf, noEvents, point } from './points.ts'

const open: HttpServer[] = []
afterEach(async () => {
  for (const server of open.splice(0)) await server.close()
})

async function start(of: Partial<HttpOptions> = {}): Promise<HttpServer> {
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: handClock('2026-11-01T04:00:00Z'),
    version: '0.1.0',
    health: () => [],
    ...of,
  })
  open.push(server)
  return server
}

function serveOf(of: Partial<Serve> = {}): Serve {
  const store = createStore()
  store.put(point({ at: '2026-11-01T01:10:00Z', sessions: 3 }))
  const completeness = completenessOf({
    covered: [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']],
    completeUntil: '2026-11-01T03:00:00Z',
  })
  return {
    store,
    alerts: createAlertStore(),
    rules: [],
    completeness,
    events: noEvents,
    clusterId: 'cluster-1',
    unready: () => null,
    ...of,
  }
}

async function get(server: HttpServer, path: string, init: RequestInit = {}) {
  const answer = await fetch(server.url + path, init)
  const text = await answer.text()
  const isJson = answer.headers.get('content-type')?.includes('json') ?? false
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    body: (isJson ? JSON.parse(text) : null) as Record<string, unknown>,
  }
}

test('every process tells that it lives, and its metrics in the format asked for', async () => {
  const server = await start()
  expect(await get(server, '/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } })
  const plain = await get(server, '/metrics')
  expect(plain.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(plain.text).toContain('# TYPE colloquy_ingest_records_total counter')
  const openMetrics = await get(server, '/metrics', { headers: { accept: 'application/openmetrics-text; version=1.0.0' } })
  expect(openMetrics.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
  expect(openMetrics.text.endsWith('# EOF\n')).toBe(true)
})

test('it is ready when every role is, else 503 says which is not and why', async () => {
  hideSecret('s3cret-of-broker')
  const roles: RoleHealth[] = [
    { role: 'worker', ok: true },
    { role: 'aggregator', ok: false, why: 'restoring, s3cret-of-broker' },
  ]
  const server = await start({ health: () => roles })
  expect(await get(server, '/readyz')).toMatchObject({
    status: 503,
    body: { error_code: 503, message: 'aggregator: restoring, [hidden]' },
  })
  roles[1] = { role: 'aggregator', ok: true }
  expect(await get(server, '/readyz')).toMatchObject({ status: 200, body: { status: 'ready', roles } })
})

test('alerts are answered as the topic has them, and rules with their settings', async () => {
  const alerts = createAlertStore()
  alerts.put(makeAlert())
  const rules = [{ name: 'agent-transfer-spike', measure: 'agent_transfers' }]
  const server = await start({ serve: serveOf({ alerts, rules }) })
  expect(await get(server, '/v1/alerts?state=FIRING')).toMatchObject({ status: 200, body: { data: [makeAlert()] } })
  expect(await get(server, '/v1/alerts?state=RESOLVED')).toMatchObject({ status: 200, body: { data: [] } })
  expect(await get(server, '/v1/rules')).toMatchObject({ status: 200, body: { data: rules } })
  expect(await get(server, '/v1/alerts?state=x')).toMatchObject({ status: 400, body: { error_code: 400 } })
  expect(await get(server, '/v1/rules?x=1')).toMatchObject({ status: 400 })
})

test('while half of the topics is read, no alerts is no answer', async () => {
  const server = await start({ serve: serveOf({ unready: () => 'the series are being read' }) })
  for (const path of ['/v1/alerts', '/v1/labels/channel']) expect(await get(server, path)).toMatchObject({ status: 503 })
})

test('whether each role can do its work is a metric as well', async () => {
  const server = await start({
    health: () => [
      { role: 'worker', ok: true },
      { role: 'alerter', ok: false, why: 'x' },
    ],
  })
  const { text } = await get(server, '/metrics')
  expect(text).toContain('colloquy_role_ready{role="worker"} 1')
  expect(text).toContain('colloquy_role_ready{role="alerter"} 0')
})

test('the root answers as Kafka Connect does', async () => {
  const server = await start({ serve: serveOf(), commit: 'abc123' })
  expect((await get(server, '/')).body).toEqual({
    version: '4.3.1-colloquy-0.1.0',
    commit: 'abc123',
    kafka_cluster_id: 'cluster-1',
  })
  const without = await start({ serve: serveOf({ clusterId: null }) })
  expect((await get(without, '/')).body).toEqual({ version: '4.3.1-colloquy-0.1.0', commit: 'unknown', kafka_cluster_id: null })
})

test('series are answered, with the time of the clock where none is given', async () => {
  const server = await start({ serve: serveOf() })
  for (const path of ['/v1/series?measure=sessions&from=2026-11-01', '/v1/series/?measure=sessions&from=2026-11-01']) {
    const { status, body } = await get(server, path)
    expect(status).toBe(200)
    expect(body).toMatchObject({
      data: { series: [{ labels: {}, values: [0, 3, 0, null], sum: 3 }] },
      complete_until: '2026-11-01T03:00:00.000Z',
    })
  }
})

test('a parameter that does not parse gets 400 that names it and what it takes', async () => {
  const server = await start({ serve: serveOf() })
  expect(await get(server, '/v1/series?measure=sessions&bucket=2h')).toMatchObject({
    status: 400,
    body: { error_code: 400, message: 'bucket is not known; it takes one of 1m, 5m, 15m, 30m, 1h, 6h, 12h, 1d, 1w, 1M' },
  })
  expect((await get(server, '/v1/series?measure=sessions&bucket=1h&bucket=1d')).body).toEqual({
    error_code: 400,
    message: 'bucket is given more than once, and takes one value',
  })
  expect((await get(server, '/v1/series?measure=sessions&__proto__=1')).body['message']).toMatch(/^__proto__ is not a parameter/)
})

test('while the series are still being read there is no half answer', async () => {
  const server = await start({ serve: serveOf({ unready: () => 'the series are being read, 5 offsets to go' }) })
  expect(await get(server, '/v1/series?measure=sessions')).toMatchObject({
    status: 503,
    body: { error_code: 503, message: 'the series are being read, 5 offsets to go' },
  })
})

test('without the server role there are no series, and the answer says so', async () => {
  const server = await start()
  for (const path of ['/v1/series', '/v1/labels/channel', '/openapi.json', '/docs/', '/ui/']) {
    const { status, body } = await get(server, path)
    expect({ path, status, code: body['error_code'] }).toEqual({ path, status: 404, code: 404 })
    expect(body['message']).toContain('does not have the server role')
  }
})

test('unknown paths, wrong methods and broken requests have the one shape of errors', async () => {
  const server = await start({ serve: serveOf() })
  expect(await get(server, '/nothing?x=1')).toMatchObject({
    status: 404,
    body: { error_code: 404, message: 'there is nothing at /nothing' },
  })
  for (const path of ['/v1/series', '/v1/series/', '/v1/labels/channel', '/openapi.json', '/metrics']) {
    for (const method of ['POST', 'DELETE']) {
      const answer = await get(server, path, { method, body: 'a body', headers: { 'content-type': 'text/strange' } })
      expect({ path, method, status: answer.status, code: answer.body['error_code'] }).toEqual({
        path,
        method,
        status: 405,
        code: 405,
      })
      expect(answer.headers.get('allow')).toBe('GET, HEAD')
    }
  }
  expect((await get(server, '/', { method: 'PUT' })).status).toBe(405)
  expect(
    await get(server, '/nothing', { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }),
  ).toMatchObject({ status: 404, body: { error_code: 404 } })
  expect(await get(server, '/%zz')).toMatchObject({ status: 400, body: { error_code: 400 } })
})

test('what is no HTTP gets an answer of the same shape', async () => {
  const server = await start()
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    const socket = connect(server.port, '127.0.0.1', () => socket.write('nonsense\r\n\r\n'))
    socket.on('data', data => {
      text += data.toString()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
  })
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({ error_code: 400, message: 'this is no HTTP request' })
})

test('a fault of ours is 500, without its inside', async () => {
  const lines: string[] = []
  const broken = serveOf({
    completeness: {
      streams: () => {
        throw new Error('inner-words')
      },
    },
  })
  const server = await start({ serve: broken, log: createLog('info', line => lines.push(line)) })
  const { status, body, text } = await get(server, '/v1/series?measure=sessions')
  expect([status, body['error_code']]).toEqual([500, 500])
  expect(text).not.toContain('inner-words')
  expect(lines.join('')).toContain('inner-words')
})

test('a failed request is logged by its route: ids in its address may be phone numbers', async () => {
  const lines: string[] = []
  const events: Serve['events'] = {
    ...noEvents,
    find: async () => {
      throw new Error('broken')
    },
  }
  const server = await start({ serve: serveOf({ events }), log: createLog('info', line => lines.push(line)) })
  const path = '/v1/bots/b1/conversations/channel:34600111222/flow?version=LIVE&start_time=now-1h&end_time=now'
  expect(await get(server, path)).toMatchObject({ status: 500, body: { code: 13, error_code: 500 } })
  expect(lines.join('')).toContain('/v1/bots/:bot_id/conversations/:conversation_id/flow')
  expect(lines.join('')).not.toContain('34600111222')
})

test('a taken port is one clear error', async () => {
  const first = await start()
  await expect(start({ port: first.port })).rejects.toMatchObject({ code: 'PORT_TAKEN', details: { port: first.port } })
})

test('an address that is not ours is an error of the config', async () => {
  await expect(start({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'CFG_INVALID', details: { path: 'http' } })
})

test('port 0 takes a free one and logs it', async () => {
  const lines: string[] = []
  const server = await start({ log: createLog('info', line => lines.push(line)) })
  expect(server.port).toBeGreaterThan(0)
  expect(JSON.parse(lines[0] ?? '{}')).toMatchObject({ msg: 'listening', port: server.port, url: server.url })
})

test('closing does not wait for connections that are kept alive, nor for requests that never end', async () => {
  const server = await start()
  const socket = connect(server.port, '127.0.0.1')
  await new Promise(resolve => {
    socket.on('data', resolve)
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\nGET /heal')
  })
  const ended = new Promise(resolve => socket.on('close', resolve))
  const began = performance.now()
  await server.close()
  await ended
  expect(performance.now() - began).toBeLessThan(1000)
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow('fetch failed')
})
