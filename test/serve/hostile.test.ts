/** What clients can do to a process that has better things to do: every one of these held the event loop, the memory or the door open once. */
import { get as httpGet, type IncomingHttpHeaders } from 'node:http'
import { connect, type Socket } from 'node:net'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import { createLog, silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createDesk } from '../../src/serve/desk.ts'
import { createAlertStore } from '../../src/serve/alerts.ts'
import type { Serve } from '../../src/serve/api.ts'
import { type HttpOptions, type HttpServer, startHttp } from '../../src/serve/http.ts'
import { createStore } from '../../src/serve/store.ts'
import { handClock } from '../support/clock.ts'
import { noSources } from './console-sources.ts'
import { noEvents, nothingRead, point, T } from './points.ts'

const endings: (() => unknown)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

async function start(of: Partial<HttpOptions> = {}): Promise<HttpServer> {
  const server = await startHttp({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: handClock('2026-11-02T00:00:00Z'),
    version: '0.1.0',
    health: () => [],
    ...of,
  })
  endings.push(() => server.close())
  return server
}

/** So many bots with so many minutes each, up to midnight. */
function storeOf(bots: number, minutes: number): Serve['store'] {
  const store = createStore()
  const end = T('2026-11-02T00:00:00Z')
  for (let bot = 0; bot < bots; bot++)
    for (let minute = minutes; minute > 0; minute--)
      store.put(point({ at: end - minute * 60_000, bot_id: `b${bot}`, events: 1, sessions: bot }))
  return store
}

const serveOf = (store: Serve['store'], of: Partial<Serve> = {}): Serve => ({
  store,
  alerts: createAlertStore(),
  rules: [],
  completeness: nothingRead,
  events: noEvents,
  clusterId: null,
  unready: () => null,
  ...of,
})

function dial(server: HttpServer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
    endings.push(() => socket.destroy())
  })
}

const request = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`

test('a heavy query is worked on beside others: health is answered before it', async () => {
  const server = await start({ serve: serveOf(storeOf(40, 500)) })
  const order: string[] = []
  const heavy = fetch(`${server.url}/v1/series?measure=events,sessions&bucket=1m&from=now-7d&group_by=bot_id`).then(
    async answer => {
      const { data } = (await answer.json()) as { data: { series: { sum: number }[] } }
      order.push('heavy')
      return [answer.status, data.series.length, data.series[0]?.sum]
    },
  )
  for (let n = 0; n < 5; n++) {
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
    order.push('health')
  }
  expect(await heavy).toEqual([200, 80, 500])
  expect(order.indexOf('heavy')).toBeGreaterThan(0)
})

test('what a rolling window, groups and measures make of a query counts against its budget', async () => {
  const store = storeOf(3000, 1)
  const server = await start({ serve: serveOf(store) })
  const ask = async (query: string) => {
    const answer = await fetch(`${server.url}/v1/series?${query}`)
    const body = (await answer.json()) as { message?: string }
    return [answer.status, body.message]
  }
  // Few values, each the sum of many minutes, in many groups.
  expect(await ask('measure=events&bucket=1m&from=now-1h&rolling=40000m&group_by=bot_id')).toEqual([
    400,
    expect.stringMatching(/^rolling asks to look at more than 100000000 minutes, hours, days and buckets; take/),
  ])
  expect(await ask('measure=events&bucket=1m&from=now-30d&group_by=bot_id')).toEqual([
    400,
    expect.stringMatching(/^group_by asks/),
  ])
  expect((await ask('measure=events&bucket=1h&from=now-1h&rolling=24h&group_by=bot_id'))[0]).toBe(200)
})

test('of 100 pipelined queries one is answered at a time, and each when its turn comes', async () => {
  const asked: number[] = []
  const store = storeOf(40, 1)
  const serve = serveOf(store, {
    unready: () => {
      asked.push(performance.now())
      return null
    },
  })
  const server = await start({ serve })
  // Some 4 MB each: more than the buffers of a connection take of a reader that does not read.
  const path = '/v1/series?measure=events&bucket=1m&from=now-14d&group_by=bot_id'
  const socket = await dial(server)
  socket.pause()
  socket.write(request(path).repeat(100))
  let before = -1
  while (asked.length === 0 || asked.length !== before) {
    before = asked.length
    await new Promise(resolve => {
      setTimeout(resolve, 500)
    })
  }
  expect(asked.length).toBeLessThan(10)
  socket.destroy()
}, 60_000)

test('pipelined requests are answered in their order, each of them', async () => {
  const server = await start({ serve: serveOf(storeOf(1, 10)) })
  const socket = await dial(server)
  const paths = Array.from({ length: 50 }, (_, n) => (n % 2 === 0 ? '/healthz' : `/v1/series?measure=events&from=now-${n}h`))
  socket.write(paths.map(path => request(path)).join('') + request('/nothing', 'Connection: close\r\n'))
  let text = ''
  for await (const data of socket) text += String(data)
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(each => each[1])
  expect(statuses).toEqual([...paths.map(() => '200'), '404'])
  const lengths = [...text.matchAll(/"x_values":\[([^\]]*)\]/g)].map(each => each[1]?.split(',').length)
  expect(lengths).toEqual(Array.from({ length: 25 }, (_, n) => 2 * n + 1))
})

test('queries beyond the places wait, beyond the line they are refused, and a place is free when the client goes', async () => {
  const clock = handClock()
  const desk = createDesk(clock, 2, 1, 1000)
  const clients = Array.from({ length: 5 }, () => new AbortController())
  const overdue: number[] = []
  const admit = (n: number) => desk.admit((clients[n] as AbortController).signal, () => overdue.push(n))
  expect([await admit(0), await admit(1)]).toEqual([true, true])
  const third = admit(2)
  expect(await admit(3), 'the line is full').toBe(false)
  clients[0]?.abort()
  expect(await third).toBe(true)
  const fourth = admit(4)
  clients[4]?.abort()
  expect(await fourth, 'it went while it waited').toBe(false)
  await clock.advance(1000)
  expect(overdue).toEqual([1, 2])
})

test('an address of slashes costs nothing, and one that is too long is refused', async () => {
  const server = await start()
  /** The shortest of five, so that a busy machine does not decide. */
  const timeOf = async (path: string) => {
    let ms = Number.POSITIVE_INFINITY
    let status = 0
    for (let n = 0; n < 5; n++) {
      const began = performance.now()
      ;({ status } = await fetch(server.url + path))
      ms = Math.min(ms, performance.now() - began)
    }
    return { status, ms }
  }
  for (const path of [`${'/'.repeat(8000)}x`, `/x${'/'.repeat(8000)}`, `/x${'/'.repeat(7000)}x?${'/'.repeat(900)}`]) {
    const { status, ms } = await timeOf(path)
    expect(status).toBe(404)
    // In quadratic time it takes more than that on any machine of today.
    expect(ms).toBeLessThan(50)
  }
  expect((await timeOf(`/${'x'.repeat(8200)}`)).status).toBe(414)
  expect((await fetch(`${server.url}/healthz`, { headers: { 'x-long': 'x'.repeat(17_000) } })).status).toBe(431)
})

test('every parameter that does not parse names itself, however long it is', async () => {
  const server = await start({ serve: serveOf(createStore()) })
  const long = 'x'.repeat(3000)
  for (const name of ['measure', 'bucket', 'from', 'until', 'group_by', 'channel', 'tz', 'rolling', 'top', 'format', long]) {
    const query = new URLSearchParams({ measure: 'events', [name]: long })
    const answer = await fetch(`${server.url}/v1/series?${query}`)
    const { message } = (await answer.json()) as { message: string }
    expect(answer.status).toBe(400)
    expect(message.startsWith(name.slice(0, 100))).toBe(true)
    expect(message.length).toBeLessThan(500)
  }
})

test('a token is asked for, and a Host that is not ours is refused', async () => {
  const guarded = await start({ token: 'open-sesame', serve: serveOf(createStore()), sources: noSources })
  const statusOf = async (path: string, headers: Record<string, string> = {}) =>
    (await fetch(guarded.url + path, { headers })).status
  for (const path of ['/healthz', '/readyz', '/metrics', '/metrics/']) expect([path, await statusOf(path)]).toEqual([path, 200])
  for (const path of [
    '/',
    '/ui/',
    '/ui/alerts',
    '/ui/api/overview',
    '/docs/',
    '/openapi.json',
    '/v1/series?measure=events',
    '/v1/labels',
    '/nothing',
    '/healthz/x',
  ]) {
    expect([path, await statusOf(path)]).toEqual([path, 401])
    expect([path, await statusOf(path, { authorization: 'Bearer open-sesame' })]).not.toEqual([path, 401])
  }
  const refused = await fetch(`${guarded.url}/ui/`)
  expect(refused.headers.get('www-authenticate')).toContain('Basic realm=')
  expect(await refused.json()).toMatchObject({ error_code: 401, message: expect.stringContaining('http.token') as string })

  const open = await start({ names: ['chat.example'] })
  const answerTo = async (host: string | null, version = '1.1') => {
    const socket = await dial(open)
    socket.write(`GET /healthz HTTP/${version}\r\n${host === null ? '' : `Host: ${host}\r\n`}Connection: close\r\n\r\n`)
    let text = ''
    for await (const data of socket) text += String(data)
    const [, body = ''] = text.split('\r\n\r\n')
    return [text.slice(9, 12), (JSON.parse(body) as { message?: string }).message] as const
  }
  const wrongName = expect.stringContaining('http.names') as string
  expect(await answerTo('localhost')).toEqual(['200', undefined])
  expect(await answerTo('chat.example:8083')).toEqual(['200', undefined])
  expect(await answerTo('evil.example')).toEqual(['403', wrongName])
  expect(await answerTo(null)).toEqual(['400', 'an HTTP/1.1 request needs a Host header'])
  expect(await answerTo(null, '1.0')).toEqual(['403', wrongName])
})

test('beyond the loopback without a token the start says what is served', async () => {
  const lines: string[] = []
  const server = await start({ host: '0.0.0.0', serve: serveOf(createStore()), log: createLog('info', line => lines.push(line)) })
  expect(
    lines.map(line => JSON.parse(line) as { level: string; msg: string }).filter(({ level }) => level === 'warn'),
  ).toMatchObject([{ msg: expect.stringContaining('http.token') as string }])
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200)
  expect((await fetch(`${server.url}/v1/series?measure=events`)).status).toBe(401)
})

test('an answer that is known is 304, and one that is not is packed as the client can take it', async () => {
  const server = await start({ serve: serveOf(storeOf(2, 300)) })
  const path = '/v1/series?measure=events&bucket=1m&from=now-5h'
  /** As it comes, unpacked by nobody. */
  const raw = (headers: Record<string, string>): Promise<{ status?: number; headers: IncomingHttpHeaders; body: Buffer }> =>
    new Promise((resolve, reject) => {
      httpGet(server.url + path, { headers, agent: false }, answer => {
        const pieces: Buffer[] = []
        answer.on('data', (piece: Buffer) => pieces.push(piece))
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(pieces) }))
      }).on('error', reject)
    })
  const plain = await raw({})
  expect(plain.headers).toMatchObject({ vary: 'accept-encoding', 'content-length': String(plain.body.length) })
  expect(plain.headers['content-encoding']).toBeUndefined()
  const text = plain.body.toString()
  expect(JSON.parse(text)).toMatchObject({ data: { series: [{ sum: 600 }] } })
  const zipped = await raw({ 'accept-encoding': 'deflate, gzip;q=1.0, br;q=0' })
  expect([zipped.headers['content-encoding'], gunzipSync(zipped.body).toString()]).toEqual(['gzip', text])
  const brotli = await raw({ 'accept-encoding': 'gzip, deflate, br' })
  expect([brotli.headers['content-encoding'], brotliDecompressSync(brotli.body).toString()]).toEqual(['br', text])

  const { etag = '' } = plain.headers
  expect(zipped.headers.etag).toBe(etag)
  for (const tag of [etag, `"other", ${etag}`, etag.slice(2), '*']) {
    const known = await raw({ 'if-none-match': tag })
    expect([known.status, known.body.length]).toEqual([304, 0])
  }
  expect((await raw({ 'if-none-match': '"other"' })).status).toBe(200)
})
