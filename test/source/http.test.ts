import { createServer as createWebServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { FlowError } from '../../src/errors.ts'
import { createLog, hideSecret, silentLog } from '../../src/log.ts'
import type { AuthArgs, Http, HttpSpec } from '../../src/source/index.ts'
import { createHttp, type HttpDeps, target } from '../../src/source/http.ts'
import { createQuota } from '../../src/source/quota.ts'
import { handClock } from '../support/clock.ts'
import { type Step, scriptedVendor } from '../support/scripted-vendor.ts'

const START = Date.parse('2026-11-01T12:00:00Z')
const Page = z.object({ items: z.array(z.unknown()) })
const page = { items: [1, 2] }

/** A vendor with a script, and everything a client of it needs; waits pass by themselves, with no jitter unless `random` says so. */
async function open(script: readonly Step[], spec: Partial<HttpSpec> = {}, deps: Partial<HttpDeps> = {}) {
  const vendor = await scriptedVendor(script)
  const clock = handClock(START, { autoAdvance: { quietMs: 3, busy: () => vendor.underWay > 0 } })
  const stopping = new AbortController()
  const lines: string[] = []
  const seen: { outcome: string; seconds: number; waitedSeconds: number }[] = []
  const http = createHttp(
    { baseUrl: `${vendor.url}/v2`, ...spec },
    {
      quota: createQuota({}, clock),
      priority: 0,
      signal: stopping.signal,
      clock,
      log: createLog('debug', line => lines.push(line)),
      observe: one => seen.push(one),
      random: () => 1,
      ...deps,
    },
  )
  onTestFinished(() => http.close())
  return { vendor, clock, http, stopping, lines, seen, waitedMs: () => clock.now() - START }
}

/** What a call came to: its value, or the code and details of its error. */
async function outcome<T>(call: Promise<T>): Promise<T | { code: string; details: Record<string, unknown> }> {
  try {
    return await call
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { code: thrown.code, details: { ...thrown.details } }
  }
}

const read = (http: Http) => outcome(http.getJson('/rows', {}, Page))
const again = (step: Omit<Step, 'path'>, times: number): Step[] =>
  Array.from({ length: times }, () => ({ path: '/v2/rows', ...step }))
const good: Step = { path: '/v2/rows', body: page }

describe('a request', () => {
  test('carries the query without empty entries, lists as repeated names, and every kind of header', async () => {
    const { http } = await open(
      [
        {
          path: '/v2/rows',
          query: { from: '2026-11-01T00:00:00Z', q: 'a b&c', id: ['1', '2'], open: 'true' },
          sent: {
            headers: { 'access-token': 'T', 'x-call': 'C', auth: 'minted', accept: 'application/json', 'content-type': null },
          },
          body: page,
        },
      ],
      { headers: { 'Access-Token': 'T' }, auth: { headers: async () => ({ auth: 'minted' }) } },
    )
    const query = { from: '2026-11-01T00:00:00Z', q: 'a b&c', id: ['1', '2'], open: true, none: null, missing: undefined }
    expect(await http.getJson('/rows', query, Page, { headers: { 'X-Call': 'C' } })).toEqual(page)
  })

  test('with half an emoji in its query goes out, with the sign for that', async () => {
    const { http } = await open([{ path: '/v2/rows', query: { id: 'a\uFFFD' }, body: page }])
    expect(await http.getJson('/rows', { id: 'a\uD83D' }, Page)).toEqual(page)
  })

  test('posts JSON, or nothing at all', async () => {
    const { http } = await open([
      {
        method: 'POST',
        path: '/v2/rows',
        query: { skip: '5' },
        sent: { headers: { 'content-type': 'application/json' }, body: { a: [1] } },
        body: page,
      },
      { method: 'POST', path: '/v2/rows', query: {}, sent: { headers: { 'content-type': null }, body: undefined }, body: page },
    ])
    expect(await http.postJson('/rows', { query: { skip: 5 }, body: { a: [1] } }, Page)).toEqual(page)
    expect(await http.postJson('/rows', {}, Page)).toEqual(page)
  })

  test('a call that changes nothing is retried as POST too', async () => {
    const { http } = await open([
      { method: 'POST', path: '/v2/rows', status: 500 },
      { method: 'POST', path: '/v2/rows', sent: { body: { a: 1 } }, body: page },
    ])
    expect(await http.postJson('/rows', { body: { a: 1 } }, Page)).toEqual(page)
  })
})

describe('an answer', () => {
  test.each([
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['identity', bytes => bytes],
  ] as [string, (bytes: Buffer) => Buffer][])('packed with %s is unpacked', async (encoding, pack) => {
    const raw = pack(Buffer.from(JSON.stringify(page)))
    const { http } = await open([{ path: '/v2/rows', raw, headers: { 'content-encoding': encoding } }])
    expect(await read(http)).toEqual(page)
  })

  test('packed twice is unpacked twice', async () => {
    const raw = brotliCompressSync(gzipSync(JSON.stringify(page)))
    const { http } = await open([{ path: '/v2/rows', raw, headers: { 'content-encoding': 'gzip, br' } }])
    expect(await read(http)).toEqual(page)
  })

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('that %s would expand beyond the limit is too large, and is not requested again', async (encoding, pack) => {
    const raw = pack(Buffer.from(JSON.stringify({ items: ['x'.repeat(100_000)] })))
    expect(raw.length).toBeLessThan(1000)
    const { http } = await open([{ path: '/v2/rows', raw, headers: { 'content-encoding': encoding } }], { maxBytes: 10_000 })
    expect(await read(http)).toMatchObject({
      code: 'SRC_TOO_LARGE',
      details: { maxBytes: 10_000, status: 200, path: '/v2/rows' },
    })
  })

  test('that is too large as it comes is cut off', async () => {
    const { http } = await open([{ path: '/v2/rows', body: { items: ['x'.repeat(100_000)] } }], { maxBytes: 10_000 })
    expect(await read(http)).toMatchObject({ code: 'SRC_TOO_LARGE' })
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('whose %s stream ends too early is tried again', async (encoding, pack) => {
    const raw = pack(Buffer.from(JSON.stringify({ items: Array.from({ length: 500 }, (_, i) => i) })))
    const headers = { 'content-encoding': encoding }
    const { http, seen } = await open([{ path: '/v2/rows', raw: raw.subarray(0, raw.length - 20), headers }, good])
    expect(await read(http)).toEqual(page)
    expect(seen.map(one => one.outcome)).toEqual(['SRC_TRUNCATED', 'ok'])
  })

  test('in another charset, or with a byte order mark, is read', async () => {
    const latin = Buffer.from('{"items":["Bogot\u00e1"]}', 'latin1')
    const { http } = await open([
      { path: '/v2/rows', raw: latin, headers: { 'content-type': 'application/json; charset=ISO-8859-1' } },
      { path: '/v2/rows', raw: `\uFEFF${JSON.stringify(page)}` },
    ])
    expect(await read(http)).toEqual({ items: ['Bogotá'] })
    expect(await read(http)).toEqual(page)
  })

  test('without a body is an error unless the call accepts it, and its empty value otherwise', async () => {
    const empty = { items: [] }
    const { http } = await open(
      [
        ...again({ status: 204 }, 1),
        ...again({ raw: '' }, 1),
        ...again({ status: 404, body: { code: 'none' } }, 1),
        ...again({ status: 204 }, 1),
        ...again({ raw: '' }, 1),
      ],
      { tries: 1 },
    )
    const options = { empty, emptyStatus: [200, 404] }
    expect(await http.getJson('/rows', {}, Page, options)).toBe(empty)
    expect(await http.getJson('/rows', {}, Page, options)).toBe(empty)
    expect(await http.getJson('/rows', {}, Page, options)).toBe(empty)
    expect(await read(http)).toMatchObject({ code: 'SRC_MALFORMED', details: { status: 204 } })
    await expect(http.getJson('/rows', {}, Page, { empty })).rejects.toMatchObject({
      code: 'SRC_MALFORMED',
      details: { status: 200 },
    })
  })

  test('whose headers come whole and whose connection then ends is no empty answer', async () => {
    const server = createServer(
      socket => void socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n')),
    )
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { http } = await open([], { baseUrl: `http://127.0.0.1:${(server.address() as { port: number }).port}`, tries: 1 })
    const call = http.getJson('/rows', {}, Page, { empty: { items: [] } })
    expect(await outcome(call)).toMatchObject({ code: 'SRC_TRUNCATED', details: { status: 200 } })
  })

  test('of another form names the places and kinds, not the values', async () => {
    const rows = { items: [{ id: 'ok' }, { id: 5 }, { id: 'ok', 'ann@example.org': 'private words' }] }
    const { http } = await open([{ path: '/v2/rows', body: rows }], { tries: 1 })
    const Strict = z.object({ items: z.array(z.record(z.string(), z.literal('ok'))) })
    expect(await outcome(http.getJson('/rows', {}, Strict))).toMatchObject({
      code: 'SRC_MALFORMED',
      details: { issues: 'items.1.id: invalid_value, items.2.*: invalid_value' },
    })
  })

  test('that is not JSON is reported with its content type, not with its content', async () => {
    const { http } = await open(
      [{ path: '/v2/rows', raw: '<html>private words</html>', headers: { 'content-type': 'text/html; x=y' } }],
      { tries: 1 },
    )
    const result = await read(http)
    expect(result).toMatchObject({ code: 'SRC_MALFORMED', details: { contentType: 'text/html' } })
    expect(JSON.stringify(result)).not.toContain('private')
  })

  test('with JSON under another content type is read', async () => {
    const { http } = await open([{ path: '/v2/rows', raw: JSON.stringify(page), headers: { 'content-type': 'text/html' } }])
    expect(await read(http)).toEqual(page)
  })
})

describe('numbers of an answer', () => {
  test('beyond 2^53 keep their digits, as text', async () => {
    const raw = '{"items":[12345678901234567890, 12345678901234567891, 9007199254740991, "12345678901234567890", 1.5]}'
    const { http } = await open([{ path: '/v2/rows', raw }])
    expect(await read(http)).toEqual({
      items: ['12345678901234567890', '12345678901234567891', 9007199254740991, '12345678901234567890', 1.5],
    })
  })
})

describe('a body that is compressed', () => {
  test.each(['utf-8', 'compress', 'aws-chunked'])('with an encoding that was not requested (%s) is reported', async encoding => {
    const { http } = await open(again({ raw: '{"items":[]}', headers: { 'content-encoding': encoding } }, 1), { tries: 1 })
    expect(await read(http)).toMatchObject({
      code: 'SRC_MALFORMED',
      details: { path: '/v2/rows', hint: 'a content encoding that was not requested' },
    })
  })

  test('several times is rejected before it is decompressed', async () => {
    const headers = { 'content-encoding': Array.from({ length: 5 }, () => 'gzip').join(', ') }
    const { http } = await open(again({ raw: gzipSync('{"items":[]}'), headers }, 1), { tries: 1 })
    expect(await read(http)).toMatchObject({
      code: 'SRC_MALFORMED',
      details: { hint: 'a body that is compressed more than 4 times' },
    })
  })
})

describe('the activity of a client', () => {
  test('is reported for stream_state: waits, requests, and whether the vendor answered', async () => {
    const told: string[] = []
    const watch = {
      waits: () => {
        told.push('waits')
        return () => void told.push('on')
      },
      asks: () => {
        told.push('asks')
        return (isAnswered: boolean) => void told.push(isAnswered ? 'answered' : 'silent')
      },
    }
    const { http } = await open([...again({ status: 500 }, 1), ...again({ drop: true }, 1), good], {}, { watch })
    expect(await read(http)).toEqual(page)
    const request = ['waits', 'on', 'asks']
    expect(told).toEqual([...request, 'answered', 'waits', 'on', ...request, 'silent', 'waits', 'on', ...request, 'answered'])
  })

  test('is a request without an answer as long as bytes drip in, until the time limit', async () => {
    const server = createWebServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drip = setInterval(() => response.write(' '), 5)
      response.on('close', () => clearInterval(drip))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const answers: boolean[] = []
    const { http } = await open(
      [],
      { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, timeoutMs: 100, tries: 1 },
      { watch: { waits: () => () => {}, asks: () => isAnswered => void answers.push(isAnswered) } },
    )
    expect(await read(http)).toMatchObject({ code: 'SRC_TIMEOUT', details: { status: 200 } })
    expect(answers).toEqual([false])
  })
})

describe('credentials of a connector that hang by themselves', () => {
  test.each(['headers', 'refresh'] as const)('in auth.%s are ended', async at => {
    const hang = () => new Promise<never>(() => {})
    const auth = at === 'headers' ? { headers: hang } : { headers: () => ({}), refresh: hang }
    const { http } = await open(at === 'headers' ? [] : again({ status: 401 }, 1), { auth }, { authPatienceMs: 30 })
    expect(await read(http)).toMatchObject({ code: 'PLUGIN_HUNG', details: { call: `auth.${at}` } })
  })

  test('are not ended while a token endpoint is slow', async () => {
    const vendor = await scriptedVendor([{ path: '/token', body: {}, delayMs: 150 }])
    const auth = {
      headers: async ({ fetch }: AuthArgs) => {
        await fetch({ method: 'GET', url: `${vendor.url}/token` })
        return {}
      },
    }
    const { http } = await open([good], { auth }, { authPatienceMs: 30 })
    expect(await read(http)).toEqual(page)
  })
})

describe('a passing fault is tried again, with waits that double up to the jitter', () => {
  test.each([
    ['SRC_SERVER_ERROR', { status: 500 }],
    ['SRC_SERVER_ERROR', { status: 502, raw: '<html>' }],
    ['SRC_TIMEOUT', { status: 408 }],
    ['SRC_TRUNCATED', { body: page, cut: 4 }],
    ['SRC_TRUNCATED', { body: page, cut: 4, headers: { 'transfer-encoding': 'chunked' } }],
    ['SRC_MALFORMED', { raw: '{"items":[1,' }],
    ['SRC_MALFORMED', { body: { items: 'none' } }],
    ['SRC_UNREACHABLE', { drop: true }],
  ] as [string, Omit<Step, 'path'>][])('%s', async (code, step) => {
    const { http, seen, waitedMs } = await open([...again(step, 4), good])
    expect(await read(http)).toEqual(page)
    expect(seen.map(one => one.outcome)).toEqual([code, code, code, code, 'ok'])
    expect(waitedMs()).toBe(500 + 1000 + 2000 + 4000)
  })

  test('and given up after as many tries as the connector says', async () => {
    const { http, lines } = await open(again({ status: 500 }, 3), { tries: 3 })
    expect(await read(http)).toEqual({ code: 'SRC_SERVER_ERROR', details: { path: '/v2/rows', status: 500, attempt: 3 } })
    expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([
      { level: 'warn', code: 'SRC_SERVER_ERROR', path: '/v2/rows', status: 500, attempt: 1, waitMs: 500 },
      { level: 'warn', code: 'SRC_SERVER_ERROR', path: '/v2/rows', status: 500, attempt: 2, waitMs: 1000 },
    ])
  })

  test('with full jitter between nothing and the whole wait', async () => {
    const { http, waitedMs } = await open([...again({ status: 500 }, 2), good], {}, { random: () => 0.25 })
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(125 + 250)
  })

  test('a vendor that takes too long is given up after the time limit', async () => {
    const { http, vendor } = await open(again({ delayMs: Infinity }, 1), { timeoutMs: 50, tries: 1 })
    expect(await read(http)).toMatchObject({ code: 'SRC_TIMEOUT', details: { timeoutMs: 50 } })
    expect(vendor.requests).toHaveLength(1)
  })

  test('a vendor that does not answer is unreachable', async () => {
    const vendor = await scriptedVendor([])
    const { http } = await open([], { baseUrl: `http://127.0.0.1:${await closedPort()}`, tries: 2 })
    expect(await read(http)).toMatchObject({ code: 'SRC_UNREACHABLE', details: { reason: 'ECONNREFUSED', attempt: 2 } })
    expect(vendor.requests).toHaveLength(0)
  })
})

describe('a vendor that asks us to wait', () => {
  test.each([
    [429, '120', 120_000],
    [429, 'Sun, 01 Nov 2026 12:02:03 GMT', 123_000],
    [503, '7', 7000],
    [503, 'Sun, 01 Nov 2026 12:00:30 GMT', 30_000],
    [429, '900', 900_000],
    [429, '30, 30', 30_000],
    [429, String(START / 1000 + 45), 45_000],
    [429, String(START + 45_000), 45_000],
  ])('with %i and Retry-After: %s gets the next request after that time, not earlier', async (status, told, waitMs) => {
    const { http, waitedMs } = await open([{ path: '/v2/rows', status, headers: { 'retry-after': told } }, good])
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(waitMs)
  })

  test.each([undefined, '0', 'soon', 'Sun, 01 Nov 2026 11:00:00 GMT'])(
    'with 429 and Retry-After %s gets the next request after 1 s, then 2 s',
    async told => {
      const headers: Record<string, string> = told === undefined ? {} : { 'retry-after': told }
      const { http, waitedMs } = await open([...again({ status: 429, headers }, 2), good], {}, { random: () => 0 })
      expect(await read(http)).toEqual(page)
      expect(waitedMs()).toBe(3000)
    },
  )

  test.each([
    ['7200', 503],
    ['31536000', 429],
    ['Mon, 01 Nov 2027 12:00:00 GMT', 429],
    [String(START * 2), 429],
  ])('for longer than 15 minutes (%s) gets the next request after 15 minutes all the same', async (told, status) => {
    const { http, waitedMs } = await open([{ path: '/v2/rows', status, headers: { 'retry-after': told } }, good])
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(900_000)
  })

  test.each([
    [{ waitMs: 86_400_000, allowance: 'day' as const }, 3_600_000],
    [{ waitMs: 1_200_000, allowance: 'day' as const }, 1_200_000],
    [{ waitMs: 86_400_000 }, 900_000],
    [{ waitMs: Infinity }, 900_000],
    [{ waitMs: NaN }, 1000],
    [{ waitMs: -5 }, 1000],
    [{ waitMs: 0 }, 1000],
  ])('through its connector, which returns %j, gets the next request after %i ms', async (said, waitMs) => {
    const { http, waitedMs } = await open(
      [{ path: '/v2/rows', status: 403 }, good],
      { classify: ({ status }) => (status === 403 ? { code: 'SRC_RATE_LIMITED', ...said } : undefined) },
      { random: () => 0 },
    )
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(waitMs)
  })

  test('by its header gets that wait if the connector returns an invalid one', async () => {
    const { http, waitedMs } = await open([{ path: '/v2/rows', status: 403, headers: { 'retry-after': '40' } }, good], {
      classify: ({ status }) => (status === 403 ? { code: 'SRC_RATE_LIMITED', waitMs: -1 } : undefined),
    })
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(40_000)
  })

  test('again and again is left alone after the last try, with the wait in the error', async () => {
    const { http } = await open(again({ status: 429, headers: { 'retry-after': '10' } }, 2), { tries: 2 })
    expect(await read(http)).toMatchObject({ code: 'SRC_RATE_LIMITED', details: { waitMs: 10_000, attempt: 2 } })
  })

  test('is left alone by everyone who shares its quota, while no turn is held', async () => {
    const stopping = new AbortController()
    const clock = handClock(START)
    const quota = createQuota({ concurrency: 1 }, clock)
    const { http, vendor } = await open(
      [{ path: '/v2/rows', status: 429, headers: { 'retry-after': '60' } }, good],
      {},
      { clock, quota },
    )
    const reading = read(http)
    await vendor.reached(1)
    await clock.asleep(1)
    let otherStartedMs = 0
    void quota.acquire(0, stopping.signal).then(release => {
      otherStartedMs = clock.now()
      release()
    })
    await clock.advance(59_999)
    expect([otherStartedMs, vendor.requests.length]).toEqual([0, 1])
    await clock.advance(1)
    expect(await reading).toEqual(page)
    expect(otherStartedMs).toBe(START + 60_000)
  })
})

describe('credentials', () => {
  test('are refreshed once when refused, and the request goes out again at once with the new ones', async () => {
    let token = 'old'
    const { http, vendor, waitedMs } = await open(
      [
        { path: '/v2/rows', sent: { headers: { auth: 'old' } }, status: 401 },
        {
          method: 'POST',
          path: '/token',
          sent: { headers: { auth: null, clientid: 'me' }, body: { grant: 'x' } },
          body: { token: 'new' },
        },
        { path: '/v2/rows', sent: { headers: { auth: 'new' } }, body: page },
      ],
      {
        auth: {
          headers: () => ({ auth: token }),
          refresh: async fetch => {
            const answer = await fetch({
              method: 'POST',
              url: `${vendor.url}/token`,
              headers: { clientId: 'me' },
              body: '{"grant":"x"}',
            })
            token = (answer.body as { token: string }).token
          },
        },
      },
    )
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(0)
  })

  test('that are rejected again after a refresh are retried a few times, and not refreshed again', async () => {
    let refreshes = 0
    const auth = { headers: () => ({}), refresh: async () => void refreshes++ }
    const { http } = await open(again({ status: 401, body: { errors: [{ code: 401, msg: 'secret sentence' }] } }, 4), { auth })
    const result = await read(http)
    expect(result).toMatchObject({ code: 'SRC_UNAUTHORISED', details: { status: 401, vendorCode: '401', attempt: 4 } })
    expect(JSON.stringify(result)).not.toContain('secret')
    expect(refreshes).toBe(1)
  })

  test('that expire after a number of requests are refreshed each time, also for calls that shared them', async () => {
    let token = 0
    const auth = { headers: () => ({ auth: `t${token}` }), refresh: async () => void token++ }
    const step = (auth: string, answer: Partial<Step>): Step => ({ path: '/v2/rows', sent: { headers: { auth } }, ...answer })
    const steps = [
      ...[1, 2].map(() => step('t0', { status: 401, delayMs: 30 })),
      step('t1', { body: page }),
      step('t1', { status: 401, delayMs: 50 }),
      step('t2', { body: page }),
    ]
    const { http } = await open(steps, { auth })
    expect(await Promise.all([read(http), read(http)])).toEqual([page, page])
    expect(token).toBe(2)
  })

  test('that end after a few requests serve many that are under way together, also those of other streams', async () => {
    const valid = { token: 0, left: 0 }
    const server = createWebServer((request, response) => {
      const isGood = request.headers['auth'] === `t${valid.token}` && valid.left-- > 0
      setTimeout(() => response.writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' }).end('{"items":[]}'), 2)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const { port } = server.address() as AddressInfo
    let mine = 'none'
    const refresh = async () => {
      await new Promise(resolve => setTimeout(resolve, 3))
      Object.assign(valid, { token: valid.token + 1, left: 5 })
      mine = `t${valid.token}`
    }
    const auth = { headers: () => ({ auth: mine }), refresh }
    const clock = handClock(START, { autoAdvance: true })
    const quota = createQuota({ concurrency: 4 }, clock)
    const signal = new AbortController().signal
    const streams = [1, 2].map(() =>
      createHttp({ baseUrl: `http://127.0.0.1:${port}`, auth }, { quota, priority: 0, signal, clock, log: silentLog }),
    )
    onTestFinished(() => Promise.all(streams.map(http => http.close())).then(() => {}))
    const results = await Promise.all(streams.flatMap(http => Array.from({ length: 30 }, () => read(http))))
    expect(results).toEqual(results.map(() => ({ items: [] })))
    expect(valid.token).toBeLessThan(16)
  })

  test('that cannot be refreshed are tried four times, also if they worked before', async () => {
    const { http } = await open([good, ...again({ status: 401 }, 4)])
    expect(await read(http)).toEqual(page)
    expect(await read(http)).toMatchObject({ code: 'SRC_UNAUTHORISED', details: { attempt: 4 } })
  })

  test('that were refused in a passing burst are tried again, with waits', async () => {
    const { http, waitedMs } = await open([...again({ status: 401 }, 3), good])
    expect(await read(http)).toEqual(page)
    expect(waitedMs()).toBe(500 + 1000 + 2000)
  })

  test('are refreshed once by requests that are rejected together', async () => {
    let refreshes = 0
    const auth = {
      headers: () => ({}),
      refresh: async () => {
        refreshes++
        await new Promise(resolve => setTimeout(resolve, 20))
      },
    }
    const { http } = await open([...again({ status: 401, delayMs: 30 }, 2), good, good], { auth })
    expect(await Promise.all([read(http), read(http)])).toEqual([page, page])
    expect(refreshes).toBe(1)
  })

  test('are not refreshed for a request that was refused with the ones before', async () => {
    let refreshes = 0
    const auth = { headers: () => ({}), refresh: async () => void refreshes++ }
    const { http } = await open([...again({ status: 401 }, 1), ...again({ status: 401, delayMs: 80 }, 1), good, good], { auth })
    expect(await Promise.all([read(http), read(http)])).toEqual([page, page])
    expect(refreshes).toBe(1)
  })

  test('without a permission (403) are not tried again', async () => {
    const { http } = await open(again({ status: 403 }, 1))
    expect(await read(http)).toMatchObject({ code: 'SRC_UNAUTHORISED', details: { status: 403 } })
  })

  test('that the vendor issued and no header can carry are fetched again, and end nothing for good', async () => {
    let token = 'sec\nret'
    const issued = ['sec€ret', 'good']
    const auth = { headers: () => ({ token }), refresh: async () => void (token = issued.shift() ?? token) }
    const { http } = await open([good], { auth })
    expect(await read(http)).toMatchObject({ code: 'SRC_UNAUTHORISED', details: { attempt: 4 } })
    expect(await read(http)).toEqual(page)
  })

  test('that no header can carry are named as such', async () => {
    const { http, vendor } = await open([], { headers: { token: 'sec\nret' } })
    const result = await read(http)
    expect(result).toMatchObject({ code: 'CFG_INVALID' })
    expect(JSON.stringify(result)).not.toContain('sec')
    expect(vendor.requests).toHaveLength(0)
  })
})

describe('a refusal', () => {
  test.each([
    [{ errors: [{ code: 'INVALID_DATETIME_INTERVAL', message: 'a b c' }] }, 'INVALID_DATETIME_INTERVAL'],
    [{ error: { code: 'bad_range', message: 'x' } }, 'bad_range'],
    [{ error: 'invalid_grant', error_description: 'for ann@example.org' }, 'invalid_grant'],
    [{ code: 'E17' }, 'E17'],
    [{ error: 'a sentence with the words of Ann' }, undefined],
    ['text', undefined],
    [null, undefined],
  ])('%j is passed on at once with the code of the vendor', async (body, vendorCode) => {
    const { http } = await open(again({ status: 400, body }, 1))
    expect(await read(http)).toEqual({
      code: 'SRC_REFUSED',
      details: { path: '/v2/rows', status: 400, vendorCode, attempt: undefined },
    })
  })

  test('that repeats a secret of ours as its code is passed on without it', async () => {
    hideSecret('tok-echoed-by-vendor')
    const { http } = await open(again({ status: 400, body: { code: 'tok-echoed-by-vendor', error: 'bad_token' } }, 1))
    expect(await read(http)).toMatchObject({ code: 'SRC_REFUSED', details: { vendorCode: 'bad_token' } })
  })

  test('is classified by the connector, if it returns a class', async () => {
    const { http, seen } = await open(
      [
        { path: '/v2/rows', status: 400, body: { code: 'TOO_LONG' } },
        { path: '/v2/rows', status: 200, body: { error: 'hourly limit' } },
        good,
      ],
      {
        classify: ({ status, body }) => {
          const { code, error } = body as { code?: string; error?: string }
          if (status === 400) return { code: 'SRC_WINDOW_TOO_LARGE', vendorCode: String(code) }
          return error === undefined ? undefined : { code: 'SRC_RATE_LIMITED', waitMs: 900_000 }
        },
      },
    )
    expect(await read(http)).toMatchObject({ code: 'SRC_WINDOW_TOO_LARGE', details: { status: 400, vendorCode: 'TOO_LONG' } })
    expect(await read(http)).toEqual(page)
    expect(seen.map(one => one.outcome)).toEqual(['SRC_WINDOW_TOO_LARGE', 'SRC_RATE_LIMITED', 'ok'])
  })
})

describe('links', () => {
  test('on the own host are followed, with their query', async () => {
    const { http, vendor } = await open([{ path: '/other/page', query: { token: 'a b', more: '1' }, body: page }])
    expect(await http.getJson(`${vendor.url}/other/page?token=a%20b#frag`, { more: 1 }, Page)).toEqual(page)
  })

  test.each([
    'http://example.org/v2/rows',
    'https://user:pass@example.org/',
    '//example.org/rows',
    'http://127.0.0.1:1/rows',
    'http://127.0.0.1.example.org/rows',
    'ftp://127.0.0.1/rows',
  ])('to %s are rejected, and nothing is sent', async link => {
    const { http, vendor } = await open([], { headers: { token: 'T' } })
    expect(await outcome(http.getJson(link, { secret: 's' }, Page))).toMatchObject({ code: 'SRC_FOREIGN_HOST' })
    expect(vendor.requests).toHaveLength(0)
  })

  test.each([
    ['https://api.acme.example/v2', 'http://api.acme.example/next?token=1', 'https://api.acme.example/next?token=1'],
    ['https://api.acme.example/v2', 'http://api.acme.example:80/next', 'https://api.acme.example/next'],
    ['https://api.acme.example/v2', 'https://API.acme.example:443/next', 'https://api.acme.example/next'],
    ['https://api.acme.example', 'https://user:pass@api.acme.example/next#top', 'https://api.acme.example/next'],
    ['http://127.0.0.1:9/v2/', '/rows', 'http://127.0.0.1:9/v2/rows'],
    ['http://127.0.0.1:9', 'rows', 'http://127.0.0.1:9/rows'],
    ['http://127.0.0.1:9/v2', '/rows?a=1', 'http://127.0.0.1:9/v2/rows?a=1'],
  ])('below %s, %s is requested at %s', (baseUrl, path, asked) => {
    expect(target(new URL(baseUrl.replace(/\/$/, '')), path, {}).href).toBe(asked)
  })

  test('redirects on the own host are followed', async () => {
    const { http, vendor } = await open([
      { path: '/v2/rows', status: 307, headers: { location: '/v3/rows?a=1' } },
      { path: '/v3/rows', query: { a: '1' }, body: page },
    ])
    expect(await read(http)).toEqual(page)
    expect(vendor.requests).toHaveLength(2)
  })

  test('redirects to another host are rejected', async () => {
    const { http } = await open(again({ status: 302, headers: { location: 'https://example.org/rows' } }, 1))
    expect(await read(http)).toMatchObject({ code: 'SRC_FOREIGN_HOST', details: { host: 'example.org' } })
  })

  test('redirects in a circle end', async () => {
    const { http } = await open(again({ status: 302, headers: { location: '/v2/rows' } }, 6))
    expect(await read(http)).toMatchObject({ code: 'SRC_REFUSED' })
  })
})

describe('a connection that cannot be made or read says why', () => {
  /** The address of a server that does to each connection what it is told to. */
  async function rawServer(onConnection: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>()
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => {})
      onConnection(socket)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    return `127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const answering = (text: string) => (socket: Socket) => void socket.once('data', () => socket.end(text))
  const fault = async (baseUrl: string) => {
    const { http } = await open([], { baseUrl, tries: 1 })
    return (await read(http)) as { code: string; details: Record<string, unknown> }
  }

  test('where nothing listens', async () => {
    expect(await fault(`http://127.0.0.1:${await closedPort()}`)).toMatchObject({
      code: 'SRC_UNREACHABLE',
      details: { reason: 'ECONNREFUSED', hint: expect.stringContaining('cannot connect') as string },
    })
  })

  test('where the host is not known', async () => {
    const { code, details } = await fault('http://no-such-host.invalid')
    expect(code).toBe('SRC_UNREACHABLE')
    expect(details['hint']).toMatch(/^cannot connect: (unknown host name|the lookup of the host name failed)/)
  })

  test('where it is closed before the answer', async () => {
    const place = await rawServer(socket => void socket.once('data', () => socket.destroy()))
    expect(await fault(`http://${place}`)).toMatchObject({
      code: 'SRC_UNREACHABLE',
      details: { hint: 'the connection was closed before an answer came' },
    })
  })

  test('where https is asked of what speaks http', async () => {
    const place = await rawServer(answering('HTTP/1.1 400 Bad Request\r\n\r\n'))
    expect(await fault(`https://${place}`)).toMatchObject({ code: 'SRC_TLS' })
  })

  test('where headers are too large', async () => {
    const place = await rawServer(answering(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`))
    expect(await fault(`http://${place}`)).toMatchObject({
      code: 'SRC_MALFORMED',
      details: { hint: 'the headers of the answer are larger than 16 KiB' },
    })
  })

  test.each([
    '220 mail.example ESMTP\r\n',
    'HTTP/1.1 abc\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno header\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
  ])('where no HTTP is spoken: %j', async words => {
    const place = await rawServer(answering(words))
    expect(await fault(`http://${place}`)).toMatchObject({
      code: 'SRC_MALFORMED',
      details: { hint: 'the server at this address does not speak HTTP' },
    })
  })
})

describe('a stop', () => {
  test('ends a request under way within milliseconds', async () => {
    const { http, vendor, stopping } = await open(again({ delayMs: Infinity }, 1))
    const reading = read(http)
    await vendor.reached(1)
    const before = performance.now()
    stopping.abort()
    expect(await reading).toMatchObject({ code: 'STOPPED' })
    expect(performance.now() - before).toBeLessThan(200)
  })

  test('ends a wait for the next try, and the wait for quota', async () => {
    const clock = handClock(START)
    const { http, stopping, vendor } = await open(
      again({ status: 500 }, 1),
      {},
      { clock, quota: createQuota({ perHour: 1 }, clock) },
    )
    const waiting = read(http)
    await vendor.reached(1)
    await clock.asleep(1)
    const queued = read(http)
    stopping.abort()
    expect(await waiting).toMatchObject({ code: 'STOPPED' })
    expect(await queued).toMatchObject({ code: 'STOPPED' })
    expect(await read(http)).toMatchObject({ code: 'STOPPED' })
  })
})

test('every try takes its turn under the quota, with the priority of the moment', async () => {
  const asked: number[] = []
  let released = 0
  let priority = 0
  const quota = {
    acquire: async (of: number | (() => number)) => {
      asked.push(typeof of === 'function' ? of() : of)
      return () => void released++
    },
    holdUntil: () => {},
  }
  const { http } = await open([...again({ status: 500 }, 2), good], {}, { quota, priority: () => priority++ })
  expect(await read(http)).toEqual(page)
  expect(asked).toEqual([0, 1, 2])
  expect(released).toBe(3)
})

test('seconds of requests and of waits for quota are reported for each try', async () => {
  const clock = handClock(START, { autoAdvance: { quietMs: 1 } })
  const { http, seen } = await open([good, good], {}, { clock, quota: createQuota({ gapMs: 5000 }, clock) })
  await read(http)
  await read(http)
  expect(seen).toEqual([
    { outcome: 'ok', seconds: 0, waitedSeconds: 0 },
    { outcome: 'ok', seconds: 0, waitedSeconds: 5.02 },
  ])
})

test('no query value, header or body text is in a log line or an error', async () => {
  const { http, lines } = await open(again({ status: 500, body: { code: 'E1', message: 'words of Ann' } }, 2), {
    tries: 2,
    headers: { token: 'header-secret' },
  })
  const result = await outcome(http.getJson('/rows', { key: 'query-secret' }, Page))
  expect(result).toMatchObject({ code: 'SRC_SERVER_ERROR', details: { vendorCode: 'E1' } })
  expect(lines).not.toHaveLength(0)
  for (const secret of ['words of Ann', 'header-secret', 'query-secret'])
    expect(lines.join('') + JSON.stringify(result)).not.toContain(secret)
})

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>(resolve =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  )
  await new Promise(resolve => server.close(resolve))
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => reject(new Error('somebody listens')))
    socket.on('error', () => resolve())
  })
  return port
}
