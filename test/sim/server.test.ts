import { get } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { Faults, RollingLimit, type ServeOptions, type Served, serve, Traffic } from '../../src/sim/index.ts'

const BODY = JSON.stringify({
  items: [
    { id: 'a', chat: { id: 1 } },
    { id: 'b', chat: { id: 2 } },
  ],
  nextPage: 'ORIGIN/next',
})

const running: Served[] = []

async function start(options: Partial<ServeOptions> = {}): Promise<Served> {
  const server = await serve({ handler: ({ origin }) => ({ status: 200, body: BODY.replace('ORIGIN', origin) }), ...options })
  running.push(server)
  return server
}

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

test('requests are counted by path and status', async () => {
  const server = await start({ handler: ({ path }) => ({ status: path === '/a' ? 200 : 404, body: '{}' }) })
  for (const path of ['/a', '/b?x=1', '/a']) await (await fetch(server.url + path)).text()
  expect(server.stats()).toMatchObject({ requests: 3, byPath: { '/a': 2, '/b': 1 } })
  expect(server.log.map(({ method, path, query }) => ({ method, path, query }))).toEqual([
    { method: 'GET', path: '/a', query: {} },
    { method: 'GET', path: '/b', query: { x: '1' } },
    { method: 'GET', path: '/a', query: {} },
  ])
})

test('answers under way at once are counted', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  let waiting = 0
  const server = await start({
    handler: async () => {
      if (++waiting === 3) resolve()
      await promise
      return { status: 200, body: '{}' }
    },
  })
  await Promise.all([1, 2, 3].map(() => fetch(server.url)))
  await fetch(server.url)
  expect(server.stats().maxConcurrency).toBe(3)
})

test('the handler gets method, query, headers and body', async () => {
  const server = await start({
    handler: ({ method, query, headers, body }) => ({
      status: 200,
      body: JSON.stringify([method, query.get('q'), headers['x-a'], body]),
    }),
  })
  const answer = await fetch(`${server.url}/?q=1%2B`, { method: 'POST', body: 'hello', headers: { 'x-a': 'b' } })
  expect(await answer.json()).toEqual(['POST', '1+', 'b', 'hello'])
})

test('a port in use is reported as such', async () => {
  const server = await start()
  await expect(start({ port: server.port })).rejects.toMatchObject({ code: 'PORT_TAKEN' })
})

test('its host is in its addresses; one of another machine is rejected', async () => {
  const server = await start({ host: 'localhost' })
  expect(server.url).toBe(`http://localhost:${server.port}`)
  expect((await fetch(server.url)).status).toBe(200)
  await expect(start({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'CALL_INVALID', details: { host: '192.0.2.1' } })
})

test('after a stop nothing listens, also when connections were open', async () => {
  const server = await start()
  await fetch(server.url)
  await server.stop()
  await expect(fetch(server.url)).rejects.toThrow('fetch failed')
})

describe('faults', () => {
  test('the next requests that match a path fail, and no others', async () => {
    const server = await start()
    server.faults.next({ kind: 'status', status: 500 }, { path: '/v2', times: 2, skip: 1 })
    const statuses = []
    for (const path of ['/v2/x', '/v1', '/v2/x', '/v2/y', '/v2/x']) statuses.push((await fetch(server.url + path)).status)
    expect(statuses).toEqual([200, 200, 500, 500, 200])
    expect(server.faults).toMatchObject({ struck: 2, pending: 0 })
  })

  test('a share of requests fails, the same ones for the same seed', () => {
    const strikes = (seed: number) => {
      const faults = new Faults().sometimes({ kind: 'empty' }, { probability: 0.3, seed })
      return Array.from({ length: 1000 }, () => faults.take('GET', '/') !== null)
    }
    expect(strikes(1)).toEqual(strikes(1))
    expect(strikes(1)).not.toEqual(strikes(2))
    expect(strikes(1).filter(Boolean).length / 1000).toBeCloseTo(0.3, 1)
  })

  test('a status says how long to wait in seconds, as a date, or not at all', async () => {
    const nowMs = Date.parse('2026-11-10T10:00:00.500Z')
    const server = await start({ arrivalClock: () => nowMs })
    server.faults
      .next({ kind: 'status', status: 429, retryAfter: { seconds: 7, as: 'seconds' } })
      .next({ kind: 'status', status: 503, retryAfter: { seconds: 7, as: 'date' } })
      .next({ kind: 'status', status: 429 })
    const answers = [await fetch(server.url), await fetch(server.url), await fetch(server.url)]
    expect(answers.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual([
      [429, '7'],
      [503, 'Tue, 10 Nov 2026 10:00:08 GMT'],
      [429, null],
    ])
  })

  test('a fault that answers instead of the vendor leaves the vendor untouched', async () => {
    let asked = 0
    const server = await start({
      handler: () => {
        asked++
        return { status: 200, body: '{}' }
      },
    })
    server.faults.next({ kind: 'status', status: 500 }).next({ kind: 'empty' }).next({ kind: 'hang_up' })
    expect((await fetch(server.url)).status).toBe(500)
    const empty = await fetch(server.url)
    expect([empty.status, await empty.text()]).toEqual([204, ''])
    await expect(fetch(server.url)).rejects.toThrow('fetch failed')
    expect(asked).toBe(0)
  })

  test('a cut answer promises more bytes than it sends, and the connection breaks', async () => {
    const server = await start()
    server.faults.next({ kind: 'cut', bytes: 10 })
    const got = await new Promise<{ promised: string | undefined; text: string; broke: boolean }>(resolve => {
      get(server.url, answer => {
        let text = ''
        answer.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        answer.on('error', () => {})
        answer.on('close', () => resolve({ promised: answer.headers['content-length'], text, broke: !answer.complete }))
      })
    })
    expect(got).toEqual({ promised: String(BODY.replace('ORIGIN', server.url).length), text: BODY.slice(0, 10), broke: true })
  })

  test('a malformed answer arrives whole and is not JSON', async () => {
    const server = await start()
    server.faults.next({ kind: 'malformed' })
    const answer = await fetch(server.url)
    expect(answer.status).toBe(200)
    await expect(answer.json()).rejects.toThrow(SyntaxError)
  })

  test('an answer comes with a wrong content type, its links lead elsewhere, a row lacks a field, or anything else is edited', async () => {
    const server = await start()
    server.faults
      .next({ kind: 'content_type', type: 'text/html' })
      .next({ kind: 'foreign_link', origin: 'http://elsewhere.example.com' })
      .next({ kind: 'missing_field', rows: 'items', field: 'chat.id', row: 1 })
      .next({ kind: 'edit', edit: (body: { items: unknown[] }) => body.items.length })
    expect((await fetch(server.url)).headers.get('content-type')).toBe('text/html')
    expect(await (await fetch(server.url)).json()).toMatchObject({ nextPage: 'http://elsewhere.example.com/next' })
    expect(await (await fetch(server.url)).json()).toMatchObject({
      items: [
        { id: 'a', chat: { id: 1 } },
        { id: 'b', chat: {} },
      ],
    })
    expect(await (await fetch(server.url)).json()).toBe(2)
    expect(await (await fetch(server.url)).json()).toMatchObject({ items: [{ id: 'a' }, { id: 'b', chat: { id: 2 } }] })
  })

  test('a dripping answer comes in pieces, a delayed one late, both whole', async () => {
    const server = await start()
    server.faults.next({ kind: 'drip', pieces: 4, everyMs: 5 }).next({ kind: 'delay', ms: 30 })
    const dripping = await fetch(server.url)
    const pieces: Uint8Array[] = []
    for await (const piece of dripping.body as unknown as AsyncIterable<Uint8Array>) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(1)
    expect(Buffer.concat(pieces).toString()).toBe(BODY.replace('ORIGIN', server.url))
    const before = performance.now()
    expect(await (await fetch(server.url)).text()).toBe(BODY.replace('ORIGIN', server.url))
    expect(performance.now() - before).toBeGreaterThanOrEqual(25)
  })

  test('cleared faults strike no more', async () => {
    const server = await start()
    server.faults.next({ kind: 'status', status: 500 }, { times: 5 })
    server.faults.clear()
    expect((await fetch(server.url)).status).toBe(200)
  })
})

describe('traffic', () => {
  test('the most requests of any rolling second, minute and hour are kept', () => {
    const traffic = new Traffic()
    // Three within a second that no calendar second holds, then one every 20 s.
    for (const atMs of [900, 1000, 1899, 1900, 20_000, 40_000, 60_000, 80_000]) traffic.arrived('/', atMs)
    expect(traffic.stats()).toMatchObject({ maxPerSecond: 3, maxPerMinute: 7, maxPerHour: 8, smallestGapMs: 1 })
  })

  test('a long run is counted like a short one', () => {
    const traffic = new Traffic()
    for (let number = 0; number < 50_000; number++) traffic.arrived('/', number * 250)
    expect(traffic.stats()).toMatchObject({
      requests: 50_000,
      maxPerSecond: 4,
      maxPerMinute: 240,
      maxPerHour: 14_400,
      smallestGapMs: 250,
    })
  })

  test('a rolling limit accepts what fits and returns how long the rest has to wait', () => {
    const limit = new RollingLimit(2, 1000)
    expect([0, 400, 500, 999, 1000, 1001, 1400].map(atMs => limit.take(atMs))).toEqual([0, 0, 500, 1, 0, 399, 0])
    expect(new RollingLimit(0, 1000).take(5)).toBe(0)
  })
})
