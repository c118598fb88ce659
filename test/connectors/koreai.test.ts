import { generateKeyPairSync } from 'node:crypto'
import { compactDecrypt, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import koreai from '../../connectors/koreai/index.ts'
import { type Conversation, FOLLOWED, transferOf } from '../../connectors/koreai/rows.ts'
import { ANALYTICS_CHANNELS, type KoreaiOptions, startKoreaiSimulator } from '../../connectors/koreai/simulator.ts'
import type { Event, Session } from '../../src/records.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig, quotaLimits, quotaShare } from '../../src/source/config.ts'
import type { Truth } from '../../src/conformance/index.ts'
import {
  FlowError,
  type HttpSpec,
  type Json,
  type Page,
  rowContext,
  type Scope,
  split,
  type Stream,
} from '../../src/source/index.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { conforms } from '../support/conforms.ts'
import { subject } from '../support/subjects/koreai.ts'
import { FINDINGS, truthOf } from '../support/truth/koreai.ts'

const T = Date.parse
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = T('2026-11-10T00:00:00Z')
const WINDOW = { fromMs: T('2026-11-09T00:00:00Z'), untilMs: T('2026-11-09T12:00:00Z') }
const BOT = 'st-1'
const PATH = `/api/public/bot/${BOT}`
const sessions = koreai.streams['sessions'] as Stream
const analytics = koreai.streams['analytics'] as Stream

function clientOf(vendor: ScriptedVendor, config: Readonly<Record<string, unknown>> = {}, more: Partial<HttpSpec> = {}) {
  const parsed = koreai.config.parse({
    baseUrl: vendor.url,
    clientId: 'cs-1',
    clientSecret: 'the-secret',
    botIds: [BOT],
    pageSize: 2,
    ...config,
  })
  const { http, clock, lines } = httpFor({ ...koreai.http(parsed as never), ...more }, NOW, vendor)
  const [scope] = (sessions.scopes?.(parsed as never, 'acme') ?? []) as [Scope]
  return { http, parsed: parsed as never, clock, scope, lines }
}

interface Open {
  readonly config?: Readonly<Record<string, unknown>>
  readonly stream?: Stream
  readonly resume?: Json
}

/** Reads the window whole; pages, and the error that ended it. */
async function read(vendor: ScriptedVendor, { config, stream = sessions, resume = null }: Open = {}) {
  const client = clientOf(vendor, config)
  const { parsed, scope, http } = client
  const pages: Page[] = []
  let error: FlowError | null = null
  try {
    for await (const page of stream.read({ config: parsed, scope, window: WINDOW, resume, nowMs: NOW, http })) pages.push(page)
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    error = thrown
  }
  return { pages, error, rows: pages.flatMap(page => page.rows), ...client }
}

const post = (operation: string, body: unknown, answer: Partial<Step> = {}): Step => ({
  method: 'POST',
  path: `${PATH}/${operation}`,
  query: {},
  sent: { body },
  ...answer,
})
const asked = (skip: number, more: Record<string, unknown> = {}) => ({
  skip,
  limit: 2,
  dateFrom: '2026-11-08T23:59:59.999Z',
  dateTo: '2026-11-09T12:00:00.001Z',
  ...more,
})
const page = (skip: number, ids: readonly string[], total: unknown, moreAvailable: unknown): Step =>
  post('getSessions', asked(skip), { body: { total, moreAvailable, sessions: ids.map(sessionId => ({ sessionId })) } })
const idsOf = (rows: readonly unknown[]) => rows.map(row => (row as { sessionId: string }).sessionId)

describe('sessions', () => {
  test('are asked for by a millisecond more than the window, without filters, each page with the last row of the one before', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], 3, true), page(1, ['b', 'c'], 3, false)])
    const { pages, error } = await read(vendor)
    expect(error).toBeNull()
    expect(pages.map(({ rows, resume }) => [idsOf(rows), resume])).toEqual([
      [['a', 'b'], { skip: 2, total: 3, first: expect.any(String), last: expect.any(String) }],
      [['c'], null],
    ])
  })

  test('go on from a page as they stopped', async () => {
    const [first] = (await read(await scriptedVendor([page(0, ['a', 'b'], 3, true), page(1, ['b', 'c'], 3, false)]))).pages
    const vendor = await scriptedVendor([page(1, ['b', 'c'], 3, false)])
    expect(idsOf((await read(vendor, { resume: first?.resume ?? null })).rows)).toEqual(['c'])
  })

  test('go on from a place of an older version at their beginning, as it does not say what it was checked against', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], 2, false)])
    expect(idsOf((await read(vendor, { resume: { skip: 2, total: 3 } })).rows)).toEqual(['a', 'b'])
  })

  test('of all bots come from the account-wide call, whose scope is no bot', async () => {
    const vendor = await scriptedVendor([{ ...page(0, ['a'], 1, false), path: '/api/public/getSessions' }])
    const { rows, scope } = await read(vendor, { config: { botIds: undefined } })
    expect([idsOf(rows), scope]).toEqual([['a'], { name: 'acme', botId: null }])
  })

  test('of v7 come from the path of v7', async () => {
    const vendor = await scriptedVendor([{ ...page(0, ['a'], 1, false), path: `/api/public/stream/${BOT}/getSessions` }])
    expect((await read(vendor, { config: { botPath: 'stream' } })).error).toBeNull()
  })

  describe('with filters', () => {
    const filtered = (
      skip: number,
      more: Record<string, unknown>,
      ids: readonly string[],
      containmentType?: string,
      total = ids.length,
    ): Step => ({
      ...post('getSessions', asked(skip, more), {
        body: { total, moreAvailable: false, sessions: ids.map(sessionId => ({ sessionId })) },
      }),
      query: containmentType === undefined ? {} : { containmentType },
    })

    test('are asked for by type, user and tags, the values of one name as alternatives', async () => {
      const tags = {
        and: [
          { name: 'plan', values: ['gold', 'a=b'], type: 'user' },
          { name: 'plan', values: ['1'], type: 'session' },
        ],
      }
      const config = { sessionTypes: ['interactive'], userId: 'u-1', tags: ['user:plan=gold', 'session:plan=1', 'user:plan=a=b'] }
      const vendor = await scriptedVendor([filtered(0, { sessionType: 'interactive', userId: 'u-1', tags }, ['a'])])
      expect(idsOf((await read(vendor, { config })).rows)).toEqual(['a'])
    })

    test('of both types are asked for without one', async () => {
      const vendor = await scriptedVendor([filtered(0, {}, ['a'])])
      expect(idsOf((await read(vendor, { config: { sessionTypes: ['interactive', 'non-interactive'] } })).rows)).toEqual(['a'])
    })

    test('of several kinds are asked for kind by kind, and go on from any page', async () => {
      const steps = [
        filtered(0, {}, ['a', 'b'], 'agent', 3),
        filtered(1, {}, ['b', 'c'], 'agent', 3),
        filtered(0, {}, ['d'], 'dropOff'),
      ]
      const config = { containmentTypes: ['agent', 'dropOff'] }
      const { pages, rows } = await read(await scriptedVendor(steps), { config })
      expect(idsOf(rows)).toEqual(['a', 'b', 'c', 'd'])
      for (const [i, rest] of [['c', 'd'], ['d']].entries()) {
        const resume = pages[i]?.resume ?? null
        expect(idsOf((await read(await scriptedVendor(steps.slice(i + 1)), { config, resume })).rows)).toEqual(rest)
      }
      const other = await scriptedVendor([filtered(0, {}, ['e'], 'selfService')])
      const resume = pages[1]?.resume ?? null
      expect(idsOf((await read(other, { config: { containmentTypes: ['selfService'] }, resume })).rows)).toEqual(['e'])
    })

    test.each([
      ['containment.types', 'agents'],
      ['session.types', 'silent'],
      ['tags', 'plan=gold'],
    ])('%s does not take %j', (key, value) => {
      const flat = { 'connector.class': 'koreai', 'base.url': 'http://v', 'client.id': 'c', 'client.secret': 's' }
      const parsed = parseConnectorConfig('k', { ...flat, [key]: value }, koreai)
      expect(parsed.ok ? null : parsed.faults.map(({ path }) => path)).toEqual([`connectors.k.${key}`])
    })
  })

  test('an empty page ends them although moreAvailable says true, as in a sample', async () => {
    const vendor = await scriptedVendor([page(0, ['a'], 1, true), page(0, ['a'], 1, true)])
    const { rows, error } = await read(vendor)
    expect([idsOf(rows), error]).toEqual([['a'], null])
  })

  test('numbers and booleans may be text', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], '3', 'true'), page(1, ['b', 'c'], '3', 'false')])
    expect(idsOf((await read(vendor)).rows)).toEqual(['a', 'b', 'c'])
  })

  test('without moreAvailable the total decides, and without both a page that is not full', async () => {
    const byTotal = await scriptedVendor([page(0, ['a', 'b'], 3, undefined), page(1, ['b', 'c'], 3, null)])
    expect(idsOf((await read(byTotal)).rows)).toEqual(['a', 'b', 'c'])
    const bySize = await scriptedVendor([
      page(0, ['a', 'b'], undefined, undefined),
      page(1, ['b', 'c'], undefined, undefined),
      page(2, ['c'], undefined, undefined),
    ])
    expect(idsOf((await read(bySize)).rows)).toEqual(['a', 'b', 'c'])
  })

  test('while rows are lacking to the total the next page is asked for, and a listing that ends before its total is not whole', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], 3, false), page(1, ['b'], 3, false)])
    const { rows, error } = await read(vendor)
    expect([idsOf(rows), error?.code]).toEqual([['a', 'b'], 'SRC_RESUME_EXPIRED'])
  })

  test.each([
    ['a total that changes', [page(0, ['a', 'b'], 3, true), page(1, ['b', 'c'], 4, true)]],
    ['a row that comes again', [page(0, ['a', 'b'], 4, true), page(1, ['b', 'c'], 4, true), page(2, ['c', 'b'], 4, true)]],
    ['a row that has gone, with another at the end', [page(0, ['a', 'b'], 4, true), page(1, ['c', 'd'], 4, true)]],
    ['a listing that has become shorter', [page(0, ['a', 'b'], 4, true), page(1, [], 1, false)]],
  ])('%s starts the window again', async (_, steps) => {
    expect((await read(await scriptedVendor(steps))).error?.code).toBe('SRC_RESUME_EXPIRED')
  })

  test.each([
    ['a total that changes', page(1, ['b', 'c'], 5, true)],
    ['a row that came in front, with another gone at the end', page(1, ['a', 'b'], 4, true)],
    ['a row that has gone, with another at the end', page(1, ['c', 'd'], 4, true)],
    ['the same, and no total', page(1, ['c', 'd'], undefined, true)],
    ['a listing that has become shorter', page(1, [], 1, false)],
  ])('%s starts the window again when the task was started again in between', async (_, moved) => {
    const before = await read(
      await scriptedVendor([
        page(0, ['x', 'b'], moved.body && (moved.body as { total?: number }).total === undefined ? undefined : 4, true),
        { ...page(1, [], 0, true), status: 400, body: {} },
      ]),
    )
    expect(before.error?.code).toBe('SRC_REFUSED')
    const after = await read(await scriptedVendor([moved]), { resume: before.pages[0]?.resume ?? null })
    expect([after.pages.length, after.error?.code]).toEqual([0, 'SRC_RESUME_EXPIRED'])
  })

  test('a vendor that gives the first page whatever is asked is not read for ever', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], 4, true), page(1, ['a', 'b'], 4, true)])
    expect((await read(vendor)).error).toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
  })

  test('one page that is not full comes whatever is asked, and its total is itself: it is all there is', async () => {
    const vendor = await scriptedVendor([page(0, ['a'], 1, true), page(0, ['a'], 1, true)])
    const { rows, error } = await read(vendor)
    expect([idsOf(rows), error]).toEqual([['a'], null])
  })

  test('a total that counts its page alone is not heeded', async () => {
    const vendor = await scriptedVendor([
      page(0, ['a', 'b'], 2, true),
      page(1, ['b', 'c'], 2, true),
      page(2, ['c', 'd'], 2, true),
      page(3, ['d', 'e'], 2, false),
    ])
    const { rows, error } = await read(vendor)
    expect([idsOf(rows), error]).toEqual([['a', 'b', 'c', 'd', 'e'], null])
  })

  test('a total that counts otherwise is not heeded where the config says so', async () => {
    const vendor = await scriptedVendor([page(0, ['a', 'b'], 9, true), page(1, ['b', 'c'], 7, false)])
    const { rows, error } = await read(vendor, { config: { trustTotal: false } })
    expect([idsOf(rows), error]).toEqual([['a', 'b', 'c'], null])
  })

  test.each<[string, Partial<Step>]>([
    ['no list, and a total of none', { body: { total: 0, moreAvailable: false } }],
    ['null for a list, and a total of none', { body: { total: 0, sessions: null } }],
  ])('%s is a window without sessions when it comes twice', async (_, answer) => {
    const nothing = post('getSessions', asked(0), answer)
    expect(await read(await scriptedVendor([nothing, nothing]))).toMatchObject({
      pages: [{ rows: [], resume: null }],
      error: null,
    })
    expect(idsOf((await read(await scriptedVendor([nothing, page(0, ['a'], 1, false)]))).rows)).toEqual(['a'])
  })

  test.each<[string, unknown, number?]>([
    ['an empty object', {}],
    ['null', null],
    ['a bare list', []],
    ['a text', ''],
    ['no list', { moreAvailable: false }],
    ['null for a list', { sessions: null }],
    ['an empty list beside an error', { sessions: [], errors: [{ msg: 'try later' }] }],
    ['an empty list and a status that says failure', { sessions: [], total: 0, status: 'fail' }],
    ['an empty list, though the total counts rows', { sessions: [], total: 7, moreAvailable: false }, 1],
    ['an empty list, though there is more', { sessions: [], moreAvailable: true }, 1],
  ])('%s is no window without sessions', async (_, body, tries = 5) => {
    const vendor = await scriptedVendor([])
    vendor.expect(...Array.from({ length: tries }, () => post('getSessions', asked(0), { raw: JSON.stringify(body) })))
    const { error, pages } = await read(vendor)
    expect([error?.code, pages]).toEqual(['SRC_MALFORMED', []])
  })

  test('an answer without a body is believed when it comes twice', async () => {
    const nothing = post('getSessions', asked(0), { status: 204 })
    expect((await read(await scriptedVendor([nothing, nothing]))).pages).toEqual([{ rows: [], resume: null }])
    expect(idsOf((await read(await scriptedVendor([nothing, page(0, ['a'], 1, false)]))).rows)).toEqual(['a'])
  })

  test.each([404, 400])('a refusal with %d that says that nothing was found is believed when it comes twice', async status => {
    const nothing = post('getSessions', asked(0), { status, body: { errors: [{ msg: 'No sessions found', code: status }] } })
    expect(await read(await scriptedVendor([nothing, nothing]))).toMatchObject({
      pages: [{ rows: [], resume: null }],
      error: null,
    })
    const unknown = post('getSessions', asked(0), { status, body: { errors: [{ msg: 'Bot not found', code: status }] } })
    expect((await read(await scriptedVendor([unknown]))).error?.code).toBe('SRC_REFUSED')
  })

  test('an answer without sessions is no empty page', async () => {
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => post('getSessions', asked(0), { body: { data: [] } })))
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  })
})

describe('the token', () => {
  const once = async (config: Record<string, unknown> = {}, answers: readonly Partial<Step>[] = [{}]) => {
    const vendor = await scriptedVendor(
      answers.map(answer => ({ ...page(0, [], 0, false), ...answer, sent: { headers: { authorization: null } } })),
    )
    const { error } = await read(vendor, { config })
    return { error, tokens: vendor.requests.map(({ headers }) => String(headers['auth'])) }
  }

  test('names the app as appId, is signed with the secret, and lives for five minutes around now', async () => {
    const { tokens } = await once()
    const { payload, protectedHeader } = await jwtVerify(tokens[0] as string, Buffer.from('the-secret'), {
      currentDate: new Date(NOW),
    })
    expect(protectedHeader).toEqual({ alg: 'HS256', typ: 'JWT' })
    const second = NOW / 1000
    expect(payload).toEqual({ appId: 'cs-1', sub: 'colloquy', iat: second - 150, exp: second + 150, jti: expect.any(String) })
  })

  test('is another one for each request, tries of the same request included', async () => {
    const replay = { status: 401, body: { errors: [{ msg: 'error verifying the jwt: possibly a replay', code: 401 }] } }
    const { tokens, error } = await once({}, [replay, {}])
    expect(error).toBeNull()
    expect(new Set(tokens.map(token => decodeJwt(token).jti)).size).toBe(2)
  })

  test('has the claims of the config beside, which cannot replace the app', async () => {
    const { tokens } = await once({
      jwtSub: 'st-9',
      jwtIssuer: 'cs-1',
      jwtAudience: 'host',
      jwtClaims: '{"appId":"other","org":1}',
      jwtTtlSeconds: 3600,
    })
    const claims = decodeJwt(tokens[0] as string)
    expect(claims).toMatchObject({ appId: 'cs-1', sub: 'st-9', iss: 'cs-1', aud: 'host', org: 1 })
    expect((claims.exp as number) - (claims.iat as number)).toBe(3600)
  })

  test.each(['HS384', 'HS512'])('is signed by %s with the secret', async alg => {
    const { tokens } = await once({ jwtAlgorithm: alg })
    const verified = jwtVerify(tokens[0] as string, Buffer.from('the-secret'), { algorithms: [alg], currentDate: new Date(NOW) })
    await expect(verified).resolves.toMatchObject({ payload: { appId: 'cs-1' } })
  })

  test.each(['RS256', 'RS384', 'RS512'])('is signed by %s with a private key, the lines of which may be joined', async alg => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    for (const clientSecret of [pem, pem.replaceAll('\n', String.raw`\n`)]) {
      const { tokens } = await once({ jwtAlgorithm: alg, clientSecret })
      await jwtVerify(tokens[0] as string, publicKey, { algorithms: [alg], currentDate: new Date(NOW) })
      expect(decodeProtectedHeader(tokens[0] as string).alg).toBe(alg)
    }
  })

  test.each(['A128CBC-HS256', 'A128GCM', 'A256GCM'])(
    'is encrypted by %s for the key of the platform, signed within',
    async jweEnc => {
      const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      const jweKey = JSON.stringify({ ...publicKey.export({ format: 'jwk' }), kid: 'k-1' })
      const { tokens } = await once({ jweKey, jweEnc })
      const { plaintext, protectedHeader } = await compactDecrypt(tokens[0] as string, privateKey)
      expect(protectedHeader).toEqual({ alg: 'RSA-OAEP', enc: jweEnc, typ: 'JWT', cty: 'JWT', kid: 'k-1' })
      const at = { currentDate: new Date(NOW) }
      const { payload } = await jwtVerify(plaintext, Buffer.from('the-secret'), at)
      expect(payload).toMatchObject({ appId: 'cs-1', sub: 'colloquy', jti: expect.any(String) })
    },
  )

  test('holds its claims alone where the config says so, for a key in PEM with an id of its own', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const { tokens } = await once({ jweKey: pem.replaceAll('\n', String.raw`\n`), jweKid: 'k-9', jweContent: 'claims' })
    const { plaintext, protectedHeader } = await compactDecrypt(tokens[0] as string, privateKey)
    expect(protectedHeader).toEqual({ alg: 'RSA-OAEP', enc: 'A128CBC-HS256', typ: 'JWT', kid: 'k-9' })
    expect(JSON.parse(Buffer.from(plaintext).toString())).toMatchObject({ appId: 'cs-1', exp: NOW / 1000 + 150 })
  })

  test('is refused at the config where the key to encrypt for is none, private, too short or missing', () => {
    const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength })
    const short = rsa(1024).publicKey.export({ type: 'spki', format: 'pem' }).toString()
    const secret = rsa(2048).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const flat = { 'connector.class': 'koreai', 'base.url': 'http://v', 'client.id': 'c', 'client.secret': 's' }
    const faultsOf = (more: Record<string, unknown>) => {
      const parsed = parseConnectorConfig('k', { ...flat, ...more }, koreai)
      return parsed.ok ? null : parsed.faults.map(({ path, message }) => [path, message])
    }
    for (const [key, words] of [
      ['{}', /public RSA key/],
      ['no key', /public RSA key/],
      [secret, /public RSA key/],
      [short, /2048 bits/],
    ] as const)
      expect(faultsOf({ 'jwe.key': key })).toEqual([['connectors.k.jwe.key', expect.stringMatching(words)]])
    expect(faultsOf({ 'jwe.kid': 'k-1' })).toEqual([['connectors.k.jwe.kid', expect.stringMatching(/no effect/)]])
  })

  test('is refused at the config where the key is none, too short or of another kind, without a word of it', () => {
    const pem = (key: ReturnType<typeof generateKeyPairSync>['privateKey']) =>
      key.export({ type: 'pkcs8', format: 'pem' }).toString()
    const short = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)
    const other = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
    const faultOf = (secret: string, more: Record<string, unknown> = {}) => {
      const flat = {
        'connector.class': 'koreai',
        'base.url': 'http://v',
        'client.id': 'c',
        'client.secret': secret,
        'jwt.algorithm': 'RS256',
      }
      const parsed = parseConnectorConfig('k', { ...flat, ...more }, koreai)
      return parsed.ok ? null : parsed.faults
    }
    for (const [secret, words] of [
      ['no-key-at-all', /PKCS#8/],
      [short, /2048 bits/],
      [other, /RSA/],
    ] as const)
      expect(faultOf(secret)).toEqual([{ path: 'connectors.k.client.secret', message: expect.stringMatching(words) }])
    expect(JSON.stringify(faultOf('no-key-at-all'))).not.toContain('no-key-at-all')
    const more = { 'jwt.algorithm': 'HS256', 'jwt.claims': '[1]', 'bot.ids': 'st-1,st-1' }
    expect(faultOf('s', more)?.map(({ path }) => path)).toEqual(['connectors.k.jwt.claims', 'connectors.k.bot.ids'])
  })

  test('a token that stays refused ends as refused credentials, and neither secret nor token stands anywhere', async () => {
    const vendor = await scriptedVendor(Array.from({ length: 4 }, () => ({ ...page(0, [], 0, false), status: 401, body: {} })))
    const { error, lines } = await read(vendor)
    expect(error?.code).toBe('SRC_UNAUTHORISED')
    const said = `${error?.message}${JSON.stringify(error?.details)}${lines.join('')}`
    for (const word of ['the-secret', ...vendor.requests.map(({ headers }) => String(headers['auth']))])
      expect(said).not.toContain(word)
  })
})

describe('errors', () => {
  const limit = (which: string) => ({
    errors: [{ msg: `You've exceeded the ${which} rate limit. Please wait for sometime before retrying.`, code: 429 }],
  })

  test.each<[string, Partial<Step>, number]>([
    ["the minute's text with 429", { status: 429, body: limit('per-minute') }, 60_000],
    ["the minute's text with 200", { status: 200, body: limit('per-minute') }, 60_000],
    ["the hour's text with 403", { status: 403, body: limit('hourly') }, 900_000],
    [
      "the hour's text alone",
      { status: 400, raw: "You've exceeded the hourly rate limit. Please wait for sometime before retrying." },
      900_000,
    ],
    ['429 without words', { status: 429, body: {} }, 60_000],
    ['a time to wait', { status: 429, headers: { 'retry-after': '7' }, body: limit('hourly') }, 7000],
  ])('%s is waited for, and the request made again', async (_, answer, waitMs) => {
    const vendor = await scriptedVendor([{ ...page(0, [], 0, false), ...answer }, page(0, ['a'], 1, false)])
    const { rows, clock } = await read(vendor)
    expect(idsOf(rows)).toEqual(['a'])
    expect(clock.now() - NOW).toBe(waitMs)
  })

  test('what somebody wrote in a message is no error', async () => {
    const text = "You've exceeded the hourly rate limit"
    const vendor = await scriptedVendor([
      post('getSessions', asked(0), {
        body: { total: 1, moreAvailable: false, message: text, sessions: [{ sessionId: 'a', text }] },
      }),
    ])
    expect(idsOf((await read(vendor)).rows)).toEqual(['a'])
  })

  test.each([
    [401, 'SRC_UNAUTHORISED', 4],
    [403, 'SRC_UNAUTHORISED', 4],
    [400, 'SRC_REFUSED', 1],
    [500, 'SRC_SERVER_ERROR', 5],
    [4003, 'SRC_REFUSED', 1],
  ])('an error of code %d in an answer that says 200 ends in %s', async (code, expected, tries) => {
    const answer = { ...page(0, [], 0, false), body: { errors: [{ msg: 'x', code }] } }
    expect((await read(await scriptedVendor(Array.from({ length: tries }, () => answer)))).error?.code).toBe(expected)
  })

  test.each<[number, string, RegExp]>([
    [403, 'x', /have the scope of this call/],
    [400, 'limit cannot exceed 50', /lower page\.size/],
  ])('a refusal with %d and %j names its cure', async (status, msg, cure) => {
    const vendor = await scriptedVendor([{ ...page(0, [], 0, false), status, body: { errors: [{ msg, code: 7 }] } }])
    expect((await read(vendor)).error?.details).toMatchObject({ status, vendorCode: '7', hint: expect.stringMatching(cure) })
  })

  test('a scope that the app lacks ends as refused credentials', async () => {
    const vendor = await scriptedVendor([{ ...page(0, [], 0, false), status: 403, body: { errors: [{ msg: 'x', code: 403 }] } }])
    expect((await read(vendor)).error?.code).toBe('SRC_UNAUTHORISED')
  })
})

describe('messages', () => {
  const session = (id: string, more: Record<string, unknown> = {}) =>
    sessions.row.parse({
      sessionId: id,
      botId: BOT,
      start_time: '2026-11-09T01:00:00.000Z',
      end_time: '2026-11-09T02:00:00.000Z',
      sessionStatus: 'closed',
      ...more,
    }) as Conversation
  const enrich = async (
    vendor: ScriptedVendor,
    rows: readonly Conversation[],
    config: Record<string, unknown> = {},
    nowMs = NOW,
  ) => {
    const { parsed, scope, http } = clientOf(vendor, config)
    return (await sessions.enrich?.({ config: parsed, scope, rows: rows as never, nowMs, http })) as Conversation[]
  }
  const said = (id: string, sessionId: string | undefined, minute = 10) => ({
    _id: id,
    sessionId,
    type: 'incoming',
    createdOn: `2026-11-09T01:${minute}:00.000Z`,
    components: [],
  })
  const ask = (skip: number, ids: readonly string[], more: Record<string, unknown> = {}) => ({
    sessionId: ids,
    dateFrom: '2026-11-09T00:54:59.999Z',
    dateTo: '2026-11-09T03:00:00.001Z',
    forward: true,
    getAgentsInfo: true,
    skip,
    limit: 10_000,
    ...more,
  })
  const turns = (rows: readonly Conversation[]) => rows.map(row => row.messages?.map(({ id }) => id))

  test('of many sessions come with one request of ids and dates, oldest first, of any channel', async () => {
    const vendor = await scriptedVendor([
      post('getMessagesV2', ask(0, ['a', 'b']), {
        body: { total: 3, moreAvailable: false, messages: [said('1', 'a'), said('2', 'b'), said('3', 'a')] },
      }),
    ])
    expect(turns(await enrich(vendor, [session('a'), session('b')]))).toEqual([['1', '3'], ['2']])
  })

  test('come page by page, each id once, those of other sessions left out', async () => {
    const vendor = await scriptedVendor([
      post('getMessagesV2', ask(0, ['a']), {
        body: { total: 3, moreAvailable: true, messages: [said('2', 'a', 20), said('x', 'other')] },
      }),
      post('getMessagesV2', ask(1, ['a']), {
        body: { total: 4, moreAvailable: false, messages: [said('x', 'other'), said('1', 'a'), said('3', 'a', 30)] },
      }),
    ])
    expect(turns(await enrich(vendor, [session('a')]))).toEqual([['1', '2', '3']])
  })

  test('of v1 come from getMessages, a hundred at a time, and so do account-wide ones', async () => {
    const body = ask(0, ['a'], { limit: 100 })
    const none = { body: { total: 0, moreAvailable: false, messages: [] } }
    expect(
      turns(await enrich(await scriptedVendor([post('getMessages', body, none)]), [session('a')], { messagesApi: 'v1' })),
    ).toEqual([[]])
    const account = await scriptedVendor([{ ...post('getMessages', body, none), path: '/api/public/getMessages' }])
    expect(turns(await enrich(account, [session('a')], { botIds: undefined }))).toEqual([[]])
  })

  test('come from the next best call where the server has not the one that is documented', async () => {
    const none = { status: 404, body: {} }
    const answer = (id: string) => ({ body: { total: 1, moreAvailable: false, messages: [said(`m-${id}`, id)] } })
    const v1 = { limit: 100 }
    const older = await scriptedVendor([
      post('getMessagesV2', ask(0, ['a']), none),
      post('getMessages', ask(0, ['a'], v1), answer('a')),
    ])
    expect(turns(await enrich(older, [session('a')]))).toEqual([['m-a']])
    const account = await scriptedVendor([
      { ...post('getMessages', ask(0, ['a', 'b'], v1), none), path: '/api/public/getMessages' },
      post('getMessagesV2', ask(0, ['a']), answer('a')),
      { ...post('getMessagesV2', ask(0, ['b']), answer('b')), path: '/api/public/bot/st-2/getMessagesV2' },
    ])
    const rows = [session('a'), session('b', { botId: 'st-2' })]
    expect(turns(await enrich(account, rows, { botIds: undefined }))).toEqual([['m-a'], ['m-b']])
  })

  test.each([403, 404])('that are refused with %d by every call end in an error that names its cure', async status => {
    const refused = { status, body: {} }
    const vendor = await scriptedVendor([post('getMessages', ask(0, ['a'], { limit: 100 }), refused)])
    const error: unknown = await enrich(vendor, [session('a')], { messagesApi: 'v1' }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ details: { status, hint: expect.stringContaining('include.messages: false') } })
  })

  test('that are counted, and do not come of any channel but rtm, are asked for by channel', async () => {
    const answer = (...ids: string[]) => ({
      body: { total: ids.length, moreAvailable: false, messages: ids.map(id => said(`m-${id}`, id)) },
    })
    const counted = (id: string, channel: string, noOfMessagesExchanged = 1) => session(id, { channel, noOfMessagesExchanged })
    const rows = [counted('a', 'rtm'), counted('b', 'sms'), counted('c', 'slack'), counted('d', 'sms'), counted('e', 'sms', 0)]
    const vendor = await scriptedVendor([
      post('getMessagesV2', ask(0, ['a', 'b', 'c', 'd', 'e']), answer('a')),
      post('getMessagesV2', ask(0, ['b', 'd'], { channelType: 'sms' }), answer('b', 'd')),
      post('getMessagesV2', ask(0, ['c'], { channelType: 'slack' }), answer('c')),
    ])
    expect(turns(await enrich(vendor, rows))).toEqual([['m-a'], ['m-b'], ['m-c'], ['m-d'], []])
    const whole = await scriptedVendor([post('getMessagesV2', ask(0, ['b', 'c']), answer('c'))])
    expect(turns(await enrich(whole, [counted('b', 'sms'), counted('c', 'slack')]))).toEqual([[], ['m-c']])
  })

  test('are not asked for where the config says so, and agents not where it says that', async () => {
    expect(turns(await enrich(await scriptedVendor([]), [session('a')], { includeMessages: false }))).toEqual([undefined])
    const { getAgentsInfo: _, ...body } = ask(0, ['a'])
    const vendor = await scriptedVendor([post('getMessagesV2', body, { body: { total: 0, moreAvailable: false, messages: [] } })])
    await enrich(vendor, [session('a')], { agentsInfo: false })
  })

  test('of a session of many days are asked for in ranges of less than seven days', async () => {
    const vendor = await scriptedVendor([])
    const long = session('a', { end_time: '2026-11-20T00:00:00.000Z' })
    const ranges = [
      ['2026-11-09T00:54:59.999Z', '2026-11-15T23:55:00.001Z'],
      ['2026-11-15T23:54:59.999Z', '2026-11-20T01:00:00.001Z'],
    ]
    for (const [dateFrom, dateTo] of ranges)
      vendor.expect(
        post('getMessagesV2', ask(0, ['a'], { dateFrom, dateTo }), {
          body: { total: 1, moreAvailable: false, messages: [said('1', 'a')] },
        }),
      )
    expect(turns(await enrich(vendor, [long], {}, T('2026-11-21T00:00:00Z')))).toEqual([['1']])
  })

  test('of sessions far apart are not asked for in the time between', async () => {
    const vendor = await scriptedVendor([])
    const old = session('old', { start_time: '2026-10-01T00:00:00.000Z', end_time: '2026-10-01T01:00:00.000Z' })
    const none = { body: { total: 0, moreAvailable: false, messages: [] } }
    const range = { dateFrom: '2026-09-30T23:54:59.999Z', dateTo: '2026-10-01T02:00:00.001Z' }
    vendor.expect(post('getMessagesV2', ask(0, ['old'], range), none), post('getMessagesV2', ask(0, ['a']), none))
    expect(turns(await enrich(vendor, [session('a'), old]))).toEqual([[], []])
  })

  test.each([
    ['active, until now', { sessionStatus: 'active' }, '2026-11-11T01:00:00Z', '2026-11-11T01:05:00.001Z'],
    ['active and not over by its end', { sessionStatus: 'active' }, '2026-11-09T01:30:00Z', '2026-11-09T02:05:00.001Z'],
    ['without an end, until now', { end_time: null }, '2026-11-11T01:00:00Z', '2026-11-11T01:05:00.001Z'],
    ['without an end, for some days', { end_time: null }, '2027-11-11T01:00:00Z', '2026-11-14T23:05:00.001Z'],
  ])('of a session that is %s', async (_, more, now, dateTo) => {
    const none = { body: { total: 0, moreAvailable: false, messages: [] } }
    const vendor = await scriptedVendor([post('getMessagesV2', ask(0, ['a'], { dateTo }), none)])
    expect(turns(await enrich(vendor, [session('a', more)], {}, T(now)))).toEqual([[]])
  })

  test('of a session that was followed are asked for until it is given up', async () => {
    const vendor = await scriptedVendor([])
    const none = { body: { total: 0, moreAvailable: false, messages: [] } }
    const followed = session('a', { sessionStatus: 'active', [FOLLOWED]: true, tags: { sessionTags: [{ name: 'n', value: 1 }] } })
    const ends = ['2026-11-15T23:55:00.001Z', '2026-11-22T22:55:00.001Z', '2026-11-25T01:05:00.001Z']
    for (const [i, dateTo] of ends.entries())
      vendor.expect(
        post(
          'getMessagesV2',
          ask(0, ['a'], { dateTo, ...(i > 0 && { dateFrom: new Date(T(ends[i - 1] as string) - 2).toISOString() }) }),
          none,
        ),
      )
    expect(turns(await enrich(vendor, [followed], {}, T('2027-11-11T01:00:00Z')))).toEqual([[]])
  })

  test('that do not say whose they are are asked for session by session', async () => {
    const answer = (messages: readonly unknown[]) => ({ body: { total: messages.length, moreAvailable: false, messages } })
    const vendor = await scriptedVendor([
      post('getMessagesV2', ask(0, ['a', 'b']), answer([said('1', 'a'), said('2', undefined)])),
      post('getMessagesV2', ask(0, ['a']), answer([said('1', 'a')])),
      post('getMessagesV2', ask(0, ['b']), answer([said('2', undefined)])),
    ])
    expect(turns(await enrich(vendor, [session('a'), session('b')]))).toEqual([['1'], ['2']])
  })

  test('whose listing shifts are read again, three times at most', async () => {
    const first = post('getMessagesV2', ask(0, ['a']), { body: { total: 2, moreAvailable: true, messages: [said('1', 'a')] } })
    const again = post('getMessagesV2', ask(0, ['a']), { body: { total: 1, moreAvailable: false, messages: [said('2', 'a')] } })
    const whole = post('getMessagesV2', ask(0, ['a']), {
      body: { total: 2, moreAvailable: false, messages: [said('1', 'a'), said('2', 'a')] },
    })
    expect(turns(await enrich(await scriptedVendor([first, again, whole]), [session('a')]))).toEqual([['1', '2']])
    const never = await scriptedVendor([first, again, first, again, first, again])
    await expect(enrich(never, [session('a')])).rejects.toMatchObject({ code: 'SRC_MALFORMED' })
  })

  describe('the time of a transfer', () => {
    const details = (sessionId: string, answer: Partial<Step>): Step =>
      post('conversationDetails', { sessionId, limit: 1 }, answer)
    const handOff = (agentHandOffTime: unknown) => ({ body: { conversationInfo: { agentHandOffTime } } })
    const handed = (id: string, more: Record<string, unknown> = {}) => session(id, { containmentType: 'agent', ...more })
    const bare = { includeMessages: false }
    const times = async (
      steps: readonly Step[],
      rows: readonly Conversation[],
      config: Record<string, unknown> = bare,
      published: Readonly<Record<string, number>> = {},
    ) => {
      const { parsed, scope, http } = clientOf(await scriptedVendor(steps), config)
      const transferredAt = (id: string) => published[id] ?? null
      const args = { config: parsed, scope, rows: rows as never, nowMs: NOW, http, transferredAt }
      const out = (await sessions.enrich?.(args)) as Conversation[]
      return out.map(row => transferOf(row, { observedAtMs: NOW }))
    }

    test('is asked for with one message, by default, of sessions that were handed over', async () => {
      const steps = [details('b', handOff('2026-11-09T01:30:00.000Z')), details('c', { status: 404, body: {} })]
      expect(await times(steps, [session('a'), handed('b'), handed('c')])).toEqual([null, T('2026-11-09T01:30:00.000Z'), null])
    })

    test.each(['', null, 'null', undefined, '0000-00-00'])('%j is none', async none => {
      expect(await times([details('a', handOff(none))], [handed('a')])).toEqual([null])
    })

    test.each([
      ['the tag of a voice call', { tags: { sessionTags: [{ name: 'voiceAgentTransferStart', value: '1' }] } }, true],
      ['the tag of a chat', { tags: { sessionTags: [{ name: 'agentTransferStart', value: true }] } }, true],
      ['a tag that says no', { tags: { sessionTags: [{ name: 'voiceAgentTransferStart', value: '0' }] } }, false],
      ["a user's tag of that name", { tags: { userTags: [{ name: 'agentTransferStart', value: '1' }] } }, false],
      ['another tag', { tags: { sessionTags: [{ name: 'audioCodesCallDisconnect', value: '1' }] } }, false],
    ])('is asked for where the session has %s: %j, %s', async (_, more, isAsked) => {
      const open = session('a', { sessionStatus: 'active', end_time: null, ...more })
      const steps = isAsked ? [details('a', handOff('2026-11-09T01:30:00.000Z'))] : []
      expect(await times(steps, [open])).toEqual([isAsked ? T('2026-11-09T01:30:00.000Z') : null])
    })

    const byAgent = {
      ...said('m2', 'a', 20),
      type: 'outgoing',
      author: { userId: 'u-agent', firstName: 'Agent' },
    }
    const messagesOf = (...messages: unknown[]) =>
      post('getMessagesV2', ask(0, ['a']), { body: { total: messages.length, moreAvailable: false, messages } })

    test('is asked for where an agent wrote, and is the first such message where the platform knows none', async () => {
      const [known, unknown] = [handOff('2026-11-09T01:15:00.000Z'), handOff('')]
      const at = (answer: Partial<Step>) =>
        times([messagesOf(said('m1', 'a'), byAgent), details('a', answer)], [session('a')], {})
      expect(await at(known)).toEqual([T('2026-11-09T01:15:00.000Z')])
      expect(await at(unknown)).toEqual([T('2026-11-09T01:20:00.000Z')])
    })

    test('is not asked for where the config says so', async () => {
      const config = { agentDetails: false }
      expect(await times([messagesOf(byAgent)], [session('a')], config)).toEqual([T('2026-11-09T01:20:00.000Z')])
    })

    test('stays as it was published, and is not asked for again', async () => {
      const published = { a: T('2026-11-09T01:20:00.000Z') }
      expect(await times([], [handed('a')], bare, published)).toEqual([published.a])
      expect(await times([messagesOf(said('m1', 'a'))], [session('a')], {}, published)).toEqual([published.a])
    })

    test.each([401, 403, 400])(
      'a server that refuses the call with %d is asked once for all rows, and costs no row',
      async status => {
        const refused = details('a', { status, body: { errors: [{ msg: 'x', code: status }] } })
        const tries = status === 401 ? 4 : 1
        expect(
          await times(
            Array.from({ length: tries }, () => refused),
            [handed('a'), handed('b')],
          ),
        ).toEqual([null, null])
      },
    )

    test('a refusal of what the config asks for is an error that names its cure', async () => {
      const refused = details('a', { status: 403, body: {} })
      const error: unknown = await times([refused], [handed('a')], { ...bare, agentDetails: true }).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({
        code: 'SRC_UNAUTHORISED',
        details: { hint: expect.stringContaining('agent.details: false') },
      })
    })

    test('a fault of the server is none of these: the rows come again', async () => {
      const failed = Array.from({ length: 5 }, () => details('a', { status: 500, body: {} }))
      await expect(times(failed, [handed('a')])).rejects.toMatchObject({ code: 'SRC_SERVER_ERROR' })
    })

    test("account-wide it is asked for in the path of the session's own bot", async () => {
      const step = { ...details('a', handOff('2026-11-09T01:30:00.000Z')), path: '/api/public/bot/st-7/conversationDetails' }
      const config = { ...bare, botIds: undefined }
      expect(await times([step], [handed('a', { botId: 'st-7' })], config)).toEqual([T('2026-11-09T01:30:00.000Z')])
    })
  })

  test('that are too large at once are asked for with half the limit, from where they stopped', async () => {
    const large = 'x'.repeat(3000)
    const answer = (total: number, moreAvailable: boolean, ...messages: unknown[]) => ({
      body: { total, moreAvailable, messages },
    })
    const body = (skip: number, limit: number) => post('getMessagesV2', ask(skip, ['a'], { limit }))
    const vendor = await scriptedVendor([
      { ...body(0, 4), ...answer(3, true, said('1', 'a'), said('2', 'a')) },
      {
        ...body(1, 4),
        ...answer(3, false, said('2', 'a'), { ...said('3', 'a'), components: [{ cT: 'text', data: { text: large } }] }, large),
      },
      { ...body(1, 2), ...answer(3, false, said('2', 'a'), said('3', 'a')) },
    ])
    const { parsed, scope, http } = clientOf(vendor, { messagesPageSize: 4 }, { maxBytes: 2000 })
    const out = (await sessions.enrich?.({
      config: parsed,
      scope,
      rows: [session('a')] as never,
      nowMs: NOW,
      http,
    })) as Conversation[]
    expect(turns(out)).toEqual([['1', '2', '3']])
  })

  test('of which one alone is too large are an error', async () => {
    const large = { body: { total: 1, messages: ['x'.repeat(3000)] } }
    const vendor = await scriptedVendor([4, 2, 1].map(limit => post('getMessagesV2', ask(0, ['a'], { limit }), large)))
    const { parsed, scope, http } = clientOf(vendor, { messagesPageSize: 4 }, { maxBytes: 2000 })
    const work = sessions.enrich?.({ config: parsed, scope, rows: [session('a')] as never, nowMs: NOW, http })
    await expect(work).rejects.toMatchObject({ code: 'SRC_TOO_LARGE' })
  })

  test('session tags that a question by id leaves out after 14 days are read from the instant of the start, and not before', async () => {
    const dates = { dateFrom: '2026-11-09T00:59:59.999Z', dateTo: '2026-11-09T01:00:00.001Z' }
    const tagged = { sessionId: 'a', start_time: '2026-11-09T01:00:00.000Z', tags: { sessionTags: [{ name: 'n', value: 1 }] } }
    const vendor = await scriptedVendor([post('getSessions', asked(0, dates), { body: { total: 1, sessions: [tagged] } })])
    const followed = session('a', { [FOLLOWED]: true })
    const bare = { includeMessages: false }
    const [row] = await enrich(vendor, [followed], bare, T('2026-11-23T01:00:00Z'))
    expect(row?.tags).toEqual([{ name: 'n', value: '1', scope: 'session' }])
    expect((await enrich(await scriptedVendor([]), [followed], bare, T('2026-11-22T23:00:00Z')))[0]?.tags).toEqual([])
  })
})

describe('sessions that stay active', () => {
  const ids = ['a', 'b']
  const follow = async (steps: readonly Step[], of: readonly string[] = ids) => {
    const { parsed, scope, http } = clientOf(await scriptedVendor(steps))
    return sessions.follow?.read({ config: parsed, scope, ids: of, nowMs: NOW, http })
  }

  test('are asked for by their ids; what the vendor no longer knows, or was not asked for, is left out', async () => {
    const answer = { body: { total: 2, sessions: [{ sessionId: 'a' }, { sessionId: 'x' }], invalidSessions: ['b'] } }
    expect(sessions.follow).toMatchObject({ atOnce: 50, longestMs: 15 * DAY })
    expect(await follow([post('getSessions', { sessionId: ids, skip: 0, limit: 2 }, answer)])).toEqual([
      { sessionId: 'a', [FOLLOWED]: true },
    ])
  })

  test('are read whole where the vendor gives fewer at once than it was asked for', async () => {
    const asked = (skip: number) => ({ sessionId: ids, skip, limit: 2 })
    const steps = [
      post('getSessions', asked(0), { body: { total: 2, moreAvailable: true, sessions: [{ sessionId: 'a' }] } }),
      post('getSessions', asked(1), { body: { total: 2, moreAvailable: false, sessions: [{ sessionId: 'b' }] } }),
    ]
    expect(await follow(steps)).toEqual(ids.map(sessionId => ({ sessionId, [FOLLOWED]: true })))
  })

  test.each([
    ['the same sessions again', [{ sessionId: 'a' }]],
    ['none', []],
  ])('are done when the vendor says there are more, and gives %s', async (_, again) => {
    const first = post(
      'getSessions',
      { sessionId: ids, skip: 0, limit: 2 },
      { body: { moreAvailable: true, sessions: [{ sessionId: 'a' }] } },
    )
    const second = post('getSessions', { sessionId: ids, skip: 1, limit: 2 }, { body: { moreAvailable: true, sessions: again } })
    expect(await follow([first, second])).toEqual([{ sessionId: 'a', [FOLLOWED]: true }])
  })

  const other = { sessionId: '6a000000f8c7b6727a29d90b' }
  test.each<[string, Partial<Step>]>([
    ['gives others', { body: { total: 9, moreAvailable: true, sessions: [other] } }],
    ['refuses it', { status: 400, body: { errors: [{ msg: 'sessionId is not allowed', code: 400 }] } }],
  ])('are looked for at the time in their ids where the server has no filter by ids and %s', async (_, answer) => {
    const row = { sessionId: '6af1302fc5700893a34bd834' }
    const one = { skip: 0, limit: 2, dateFrom: '2026-11-09T02:30:06.999Z', dateTo: '2026-11-09T02:30:08.001Z' }
    const steps = [
      post('getSessions', { sessionId: [row.sessionId, 'a'], skip: 0, limit: 2 }, answer),
      post('getSessions', one, { body: { total: 2, moreAvailable: false, sessions: [other, row] } }),
    ]
    expect(await follow(steps, [row.sessionId, 'a'])).toEqual([{ ...row, [FOLLOWED]: true }])
  })

  test('a refusal is an error where their ids tell no time', async () => {
    const refused = post('getSessions', { sessionId: ids, skip: 0, limit: 2 }, { status: 400, body: {} })
    await expect(follow([refused])).rejects.toMatchObject({ code: 'SRC_REFUSED' })
  })
})

test('the lookback reaches an hour beyond the inactivity setting, and is a day at least', () => {
  const lookback = (inactivityMinutes?: number) => {
    const config = koreai.config.parse({ baseUrl: 'http://v', clientId: 'c', clientSecret: 's', inactivityMinutes })
    return (sessions.window as (config: never) => { lookbackMs: number })(config as never).lookbackMs
  }
  expect([lookback(), lookback(20_160)]).toEqual([DAY, 14 * DAY + HOUR])
})

test('the documented limits are counted by bot over all streams, account-wide by the client id', () => {
  const flat = { 'connector.class': 'koreai', 'base.url': 'http://v', 'client.id': 'cs-1', 'client.secret': 's' }
  const parsed = parseConnectorConfig('k', flat, koreai)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  expect(quotaLimits(koreai.manifest, parsed.base)).toMatchObject({ perMinute: 60, perHour: 1800 })
  const shares = [
    { name: 'a', botId: 'st-1' },
    { name: 'b', botId: 'st-1' },
    { name: 'acme', botId: null },
  ].map(scope => quotaShare(koreai.manifest, 'k', parsed.config, scope))
  expect(shares[0]).toBe(shares[1])
  expect(shares[2]).toMatch(/cs-1$/)
})

describe('analytics', () => {
  const config = { analyticsTypes: ['successintent', 'failtask'], analyticsChannels: ['rtm', 'sms'] }
  const filters = { from: '2026-11-08T23:59:59.999Z', to: '2026-11-09T12:00:00.001Z', channel: ['rtm', 'sms'] }
  const list = (type: string, skip: number, ids: readonly string[], moreAvailable: boolean, totalCount: number): Step =>
    post(
      'getAnalytics',
      { type, filters, sort: { order: 'desc', by: 'timestamp' }, limit: 2, skip },
      { body: { moreAvailable, totalCount, result: ids.map(_id => ({ _id, NLAnalysis: { big: true } })) } },
    )

  test('are read list by list, and go on from any page', async () => {
    const steps = [
      list('successintent', 0, ['1', '2'], true, 3),
      list('successintent', 1, ['2', '3'], false, 3),
      list('failtask', 0, ['4'], false, 1),
    ]
    const { pages, rows } = await read(await scriptedVendor(steps), { stream: analytics, config })
    expect(rows).toEqual([
      { _id: '1', 'colloquy:list': 'successintent' },
      { _id: '2', 'colloquy:list': 'successintent' },
      { _id: '3', 'colloquy:list': 'successintent' },
      { _id: '4', 'colloquy:list': 'failtask' },
    ])
    const resumes = pages.map(({ resume }) => resume)
    const lists = 'successintent,failtask'
    expect(resumes).toEqual([
      { lists, list: 0, place: expect.objectContaining({ skip: 2, total: 3 }) },
      { lists, list: 1, place: null },
      null,
    ])
    const rest = await read(await scriptedVendor(steps.slice(1)), { stream: analytics, config, resume: resumes[0] ?? null })
    expect(rest.rows).toHaveLength(2)
    const others = { ...config, analyticsTypes: ['failintent', 'failtask'] }
    const again = [list('failintent', 0, ['9'], false, 1), list('failtask', 0, ['4'], false, 1)]
    const whole = await read(await scriptedVendor(again), { stream: analytics, config: others, resume: resumes[1] ?? null })
    expect(whole.rows).toHaveLength(2)
  })

  test.each([
    ['a row that has gone, with another at the end', list('successintent', 1, ['3', '4'], true, 4)],
    ['a row that came in front', list('successintent', 1, ['1', '2'], true, 5)],
    ['a listing that has become shorter', list('successintent', 1, [], false, 1)],
  ])('%s starts the window again, also when the task was started again in between', async (_, moved) => {
    const before = list('successintent', 0, ['1', '2'], true, 4)
    const read1 = await read(await scriptedVendor([before, moved]), { stream: analytics, config })
    expect([read1.pages.length, read1.error?.code]).toEqual([1, 'SRC_RESUME_EXPIRED'])
    const restarted = await read(await scriptedVendor([moved]), {
      stream: analytics,
      config,
      resume: read1.pages[0]?.resume ?? null,
    })
    expect([restarted.pages.length, restarted.error?.code]).toEqual([0, 'SRC_RESUME_EXPIRED'])
  })

  test('name the 24 documented channels and no other unless the config names some of them', async () => {
    const vendor = await scriptedVendor([
      { method: 'POST', path: `${PATH}/getAnalytics`, body: { totalCount: 0, moreAvailable: false, result: [] } },
    ])
    await read(vendor, { stream: analytics, config: { analyticsTypes: ['failintent'] } })
    const body = JSON.parse(vendor.requests[0]?.body ?? '{}') as { filters: { channel: string[] } }
    expect(body.filters.channel.toSorted()).toEqual(ANALYTICS_CHANNELS.toSorted())
    expect(new Set(body.filters.channel).size).toBe(24)
    const flat = { 'connector.class': 'koreai', 'base.url': 'http://v', 'client.id': 'c', 'client.secret': 's' }
    const parsed = parseConnectorConfig('k', { ...flat, 'analytics.channels': 'rtm,whatsapp' }, koreai)
    expect(parsed.ok ? null : parsed.faults.map(({ path }) => path)).toEqual(['connectors.k.analytics.channels'])
  })

  test('are filtered by user and tags as sessions are', async () => {
    const more = { userId: ['u-1'], tags: { and: [{ name: 'plan', values: ['gold'], type: 'user' }] } }
    const step = list('failtask', 0, ['4'], false, 1)
    const body = { ...(step.sent?.body as object), filters: { ...filters, ...more } }
    const vendor = await scriptedVendor([{ ...step, sent: { body } }])
    const keys = { ...config, analyticsTypes: ['failtask'], userId: 'u-1', tags: ['user:plan=gold'] }
    expect((await read(vendor, { stream: analytics, config: keys })).rows).toHaveLength(1)
  })

  test('without a bot are a fault of the config: the vendor has no account-wide call', async () => {
    expect((await read(await scriptedVendor([]), { stream: analytics, config: { botIds: undefined } })).error?.code).toBe(
      'CFG_INVALID',
    )
  })
})

describe('the contact center', () => {
  const contactCenter = koreai.streams['contact-center'] as Stream
  const keys = { streams: ['sessions', 'contact-center'], accountId: 'acc-1', includeMessages: false }
  const CONVERSATIONS = `/agentassist/api/v1/public/${BOT}/conversations`
  const row = (id: string, startTime: string, more: Record<string, unknown> = {}) => ({
    _id: id,
    botSessionId: `s-${id}`,
    startTime,
    queues: [{ id: 'qu-1', name: 'Sales' }],
    participants: [],
    transferDetails: [],
    ...more,
  })
  const conversations = (skip: number, rows: readonly unknown[], hasMore: boolean, totalResults = 9): Step => ({
    method: 'GET',
    path: CONVERSATIONS,
    query: { skip: String(skip), limit: '2' },
    sent: { headers: { accountid: 'acc-1' } },
    body: { results: rows, skip, limit: 2, hasMore, totalResults },
  })
  const [A, B, C, D] = [
    row('a', '2026-11-09T11:00:00.000Z'),
    row('b', '2026-11-09T10:00:00.000Z'),
    row('c', '2026-11-09T01:00:00.000Z'),
    row('d', '2026-11-08T01:00:00.000Z'),
  ]
  const readContacts = (steps: readonly Step[], more: Open = {}) =>
    scriptedVendor(steps).then(vendor => read(vendor, { stream: contactCenter, ...more, config: { ...keys, ...more.config } }))
  const contactIds = (rows: readonly unknown[]) => rows.map(each => (each as { _id: string })._id)

  test('is asked with the account, from the top down to the window, each page with the last row of the one before', async () => {
    const { pages, rows, error } = await readContacts([
      conversations(0, [A, B], true),
      conversations(1, [B, C], true),
      conversations(2, [C, D], true),
    ])
    expect([contactIds(rows), error, pages.at(-1)?.resume]).toEqual([['a', 'b', 'c', 'd'], null, null])
  })

  test('is read whole where its order is not known', async () => {
    const steps = [conversations(0, [D, A], true, 3), conversations(1, [A, B], false, 3)]
    expect(contactIds((await readContacts(steps, { config: { contactCenterOrder: 'any' } })).rows)).toEqual(['d', 'a', 'b'])
  })

  test('shows rows again where new ones came in front, and begins again where one has gone', async () => {
    const grown = [conversations(0, [A, B], true), conversations(1, [A, B], true), conversations(2, [B, C], false)]
    expect(contactIds((await readContacts(grown)).rows)).toEqual(['a', 'b', 'c'])
    const gone = await readContacts([conversations(0, [A, B], true), conversations(1, [C, D], true)])
    expect(gone.error?.code).toBe('SRC_RESUME_EXPIRED')
    const stuck = [conversations(0, [A, B], true), conversations(1, [A, B], true), conversations(2, [A, B], true)]
    expect((await readContacts(stuck)).error?.code).toBe('SRC_RESUME_EXPIRED')
  })

  const told = (of: unknown) => {
    const parsed = koreai.config.parse({ baseUrl: 'http://v', clientId: 'c', clientSecret: 's', botIds: [BOT], ...keys })
    const scope = { name: BOT, botId: BOT }
    const ctx = rowContext<unknown>({
      vendor: 'koreai',
      account: 'acme',
      connector: 'k',
      config: parsed,
      scope,
      observedAtMs: NOW,
      lookbackMs: DAY,
    })
    return contactCenter.normalise(contactCenter.row.parse(of) as never, ctx).map(({ record }) => record as Event)
  }

  // The first sample of the documents, shortened.
  const sample = {
    startSessionTime: '2023-05-25T06:56:11.959Z',
    botSessionId: '646f068b2462fdb066850001',
    botId: 'st-3bf09bef-f979-5489-b337-f465bd5d0001',
    userId: 'u-f812d6e9-58ce-5a74-9d20-7011deb40001',
    source: 'audiocodes',
    _id: 'c-3d7265b-de0a-489d-a2eb-69ce6bde0001',
    participants: [
      {
        agentId: 'u-b19cd89e-6533-59af-b491-eec9bf8f0001',
        name: 'Agent',
        status: 'ACTIVE',
        assignedAt: '2023-05-25T06:58:57.984Z',
      },
    ],
    transferDetails: [
      {
        fromAgent: null,
        transferredType: 'OTHERS',
        transferredTo: [{ type: 'AGENT', id: 'u-b19cd89e-6533-59af-b491-eec9bf8f0001', name: 'Agent', emailId: '' }],
        transferredAt: '2023-05-25T06:58:57.840Z',
      },
    ],
    phoneNumber: '+15550100',
    language: 'en',
    queues: [{ type: 'ASSIGNED', status: 'ACTIVE', id: 'qu-1', name: 'Sales', startTime: '2023-05-25T06:56:38.734Z' }],
    startTime: '2023-05-25T06:56:38.734Z',
    endTime: '2023-05-25T06:59:28.234Z',
    acceptedAt: '2023-05-25T06:59:00.978Z',
  }

  test('tells when a person was asked for and when one took over, as events of the session', () => {
    const events = told(sample)
    expect(events.map(({ event_id, type, name, occurred_at }) => [event_id, type, name, occurred_at])).toEqual([
      [`contact-center/${sample._id}/requested`, 'agent_transfer_requested', 'conversation', T(sample.startTime)],
      [`contact-center/${sample._id}/transferred`, 'agent_transferred', 'accepted', T('2023-05-25T06:58:57.840Z')],
    ])
    for (const each of events)
      expect(each).toMatchObject({
        session_key: `koreai:acme:${sample.botSessionId}`,
        channel: 'voice',
        language: 'en',
        user_id: sample.userId,
        attributes: { queue: 'Sales' },
      })
    expect(events[1]?.attributes).toMatchObject({ agentId: 'u-b19cd89e-6533-59af-b491-eec9bf8f0001', agentName: 'Agent' })
    expect(events[0]?.attributes).toMatchObject({
      phoneNumber: '+15550100',
      acceptedAt: sample.acceptedAt,
      endTime: sample.endTime,
    })
  })

  test('a transfer to another agent later is no first one', () => {
    const later = { transferredAt: '2023-05-25T07:10:00.000Z', transferredTo: [{ type: 'QUEUE', id: 'qu-2', name: 'Support' }] }
    const events = told({ ...sample, acceptedAt: '2023-05-25T06:57:00.000Z', transferDetails: [later] })
    expect(events.slice(1).map(({ type, occurred_at, attributes }) => [type, occurred_at, attributes['to']])).toEqual([
      ['agent_transferred', T('2023-05-25T06:57:00.000Z'), undefined],
      ['agent_transfer_requested', T('2023-05-25T07:10:00.000Z'), 'Support'],
    ])
  })

  test('one that nobody took is asked for only, and who let it ring is no agent of it', () => {
    const participants = [{ ...sample.participants[0], status: 'ABANDONED' }]
    const events = told({ ...sample, acceptedAt: undefined, transferDetails: [], participants, queues: [] })
    expect(events.map(({ type }) => type)).toEqual(['agent_transfer_requested'])
  })

  test('one without a session is an event without one', () => {
    expect(told({ ...sample, botSessionId: null })[0]).toMatchObject({ session_key: null, bot_id: BOT })
  })

  const openSession = (id: string, more: Record<string, unknown> = {}) =>
    sessions.row.parse({
      sessionId: id,
      start_time: '2026-11-09T09:00:00.000Z',
      sessionStatus: 'active',
      ...more,
    }) as Conversation
  const joined = async (steps: readonly Step[], rows: readonly Conversation[]) => {
    const { parsed, scope, http } = clientOf(await scriptedVendor(steps), keys)
    const out = (await sessions.enrich?.({ config: parsed, scope, rows: rows as never, nowMs: NOW, http })) as Conversation[]
    const ctx = rowContext<unknown>({
      vendor: 'koreai',
      account: 'acme',
      connector: 'k',
      config: parsed,
      scope,
      observedAtMs: NOW,
      lookbackMs: DAY,
    })
    return out.map(each => {
      const records = sessions.normalise(each as never, ctx).map(({ record }) => record)
      const { containment, queue, agent_id, agent_name, transferred_at } = records[0] as Session
      const transfers = records.filter(record => 'event_id' in record && record.type === 'agent_transferred')
      return [containment, queue, agent_id, agent_name, transferred_at, transfers.length]
    })
  }

  test('gives sessions their queue, agent and time of transfer, many with one request, and no other request is made for it', async () => {
    const acceptedAt = '2026-11-09T11:02:00.000Z'
    const taken = { ...A, acceptedAt, participants: [{ agentId: 'u-7', name: 'Agent', status: 'ACTIVE' }] }
    const steps = [conversations(0, [taken, B], true), conversations(1, [B, C], true)]
    expect(await joined(steps, [openSession('s-a'), openSession('s-b'), openSession('s-x')])).toEqual([
      ['AGENT', 'Sales', 'u-7', 'Agent', T(acceptedAt), 0],
      ['UNKNOWN', 'Sales', null, null, null, 0],
      ['UNKNOWN', null, null, null, null, 0],
    ])
  })

  test('is not asked for sessions that ended without a person', async () => {
    const closed = openSession('s-a', { sessionStatus: 'closed', containmentType: 'selfService' })
    expect(await joined([], [closed])).toEqual([['SELF_SERVICE', null, null, null, null, 0]])
  })

  test('that refuses costs no session', async () => {
    const refused = { ...conversations(0, [], false), status: 403, body: {} }
    expect(await joined([refused], [openSession('s-a')])).toEqual([['UNKNOWN', null, null, null, null, 0]])
  })

  test('whose listing shifts is read again, and found', async () => {
    const again = [conversations(0, [C, B], true), conversations(1, [B, A], false)]
    const steps = [conversations(0, [C, B], true), conversations(1, [C, D], true), ...again]
    const any = [openSession('s-a', { start_time: '2026-11-08T00:00:00.000Z' })]
    expect(await joined(steps, any)).toEqual([['UNKNOWN', 'Sales', null, null, null, 0]])
  })

  test.each([
    [{ streams: 'sessions,contact-center', 'bot.ids': 'st-1' }, ['connectors.k.account.id']],
    [{ streams: 'sessions,contact-center', 'account.id': 'a' }, ['connectors.k.bot.ids']],
    [{ 'account.id': 'a' }, ['connectors.k.account.id']],
  ])('%j is a fault of the config', (more, paths) => {
    const flat = { 'connector.class': 'koreai', 'base.url': 'http://v', 'client.id': 'c', 'client.secret': 's' }
    const parsed = parseConnectorConfig('k', { ...flat, ...more }, koreai)
    expect(parsed.ok ? null : parsed.faults.map(({ path }) => path)).toEqual(paths)
  })
})

describe('conformance', () => {
  conforms(subject)
})

/** Every stream of every scope, window by window, with the second call, as the pipeline does it but without topics. */
async function everything(options: Partial<KoreaiOptions>, more: Readonly<Record<string, unknown>> = {}) {
  const window = { fromMs: NOW - 3 * DAY, untilMs: NOW }
  const nowMs = NOW + DAY
  const world = createWorld({ seed: 11, sessions: 120, ...window })
  const quirks = { perMinute: 0, perHour: 0, ...options.quirks }
  const simulator = await startKoreaiSimulator({ world, now: () => nowMs, pageSize: 7, messagesPageSize: 60, ...options, quirks })
  onTestFinished(() => simulator.stop())
  const { accountWide = false, contactCenter = false, ...keys } = more
  const own =
    accountWide === true ? simulator.configAccount : contactCenter === true ? simulator.configContactCenter : simulator.config
  const flat = { 'connector.class': 'koreai', ...own, ...keys }
  const parsed = parseConnectorConfig('k', flat, koreai)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const config = parsed.config as never
  const { http } = httpFor(koreai.http(config), nowMs)
  const found = { session: new Map<string, object>(), message: new Map<string, object>(), event: new Map<string, object>() }
  for (const name of parsed.base.streams) {
    const stream = koreai.streams[name] as Stream
    for (const scope of stream.scopes?.(config, 'acme') ?? [])
      for (const piece of split(window, DAY))
        for await (const { rows } of stream.read({ config, scope, window: piece, resume: null, nowMs, http })) {
          const ctx = rowContext<unknown>({
            vendor: 'koreai',
            account: 'acme',
            connector: 'k',
            config,
            scope,
            observedAtMs: nowMs,
            lookbackMs: DAY,
          })
          const read = rows.map(row => stream.row.parse(row) as never)
          for (const row of (await stream.enrich?.({ config, scope, rows: read, nowMs, http })) ?? read)
            for (const { kind, record } of stream.normalise(row as never, ctx)) {
              const key = kind === 'session' ? record.session_key : kind === 'message' ? record.message_key : record.event_key
              found[kind].set(key, record)
            }
        }
  }
  return { found, truthOf: (of: Parameters<typeof truthOf>[2]) => truthOf(simulator, nowMs, of) }
}

const LISTS = Object.keys(FINDINGS) as (keyof typeof FINDINGS)[]

/** By kind and key, what was found and what must be, each told by the fields of the truth. */
function compared({ found }: Awaited<ReturnType<typeof everything>>, truth: Truth) {
  const only = (record: object | undefined, fields: object) =>
    record && Object.fromEntries(Object.keys(fields).map(name => [name, (record as Readonly<Record<string, unknown>>)[name]]))
  const keyed = <R extends object>(rows: readonly R[], key: keyof R) => new Map(rows.map(row => [String(row[key]), row]))
  const told = {
    session: keyed(truth.sessions, 'session_key'),
    message: keyed(truth.messages, 'message_key'),
    event: keyed(truth.events, 'event_key'),
  }
  return (['session', 'message', 'event'] as const).map(kind => {
    const expected = told[kind] as ReadonlyMap<string, object>
    return {
      expected: Object.fromEntries(expected),
      found: Object.fromEntries([...found[kind]].map(([key, record]) => [key, only(record, expected.get(key) ?? record)])),
    }
  })
}

describe("the world's sessions, messages and events are read whole, whatever the vendor's quirks", () => {
  test.each<[string, Partial<KoreaiOptions>, Readonly<Record<string, unknown>>]>([
    ['as documented', {}, {}],
    ['with analytics', {}, { streams: 'sessions,analytics' }],
    ['with the contact center', {}, { contactCenter: true }],
    ['where the platform tells no time of a transfer', { quirks: { handOff: 'unknown' } }, {}],
    ['account-wide, where messages come from v1', {}, { accountWide: true }],
    ['messages of v1', {}, { 'messages.api': 'v1' }],
    ['tokens that work once', { quirks: { enforceJti: true } }, {}],
    ['encrypted tokens', { quirks: { enforceJwe: 'jwt', enforceJti: true } }, {}],
    ['RS256', { algorithm: 'RS256' }, {}],
    ['HS512', { algorithm: 'HS512' }, {}],
    ['inclusive edges, counts as text, 1 for true', { quirks: { edges: 'closed', counts: 'string', developer: 'number' } }, {}],
    [
      'exclusive edges, the older channel, more where there is none',
      { quirks: { edges: 'open', messageChannel: 'channel', lastPageMore: true } },
      {},
    ],
    ['rows of v9, words in small letters', { quirks: { rows: 'v9', containmentCase: 'lower' } }, { 'inactivity.minutes': 420 }],
    ['rows of v8, words of the older list', { quirks: { rows: 'v8', containmentCase: 'list' } }, { 'inactivity.minutes': 420 }],
    ['no end while active', { quirks: { activeEndTime: 'absent' } }, {}],
  ])('%s', async (_, options, more) => {
    const read = await everything(options, more)
    const version = more['accountWide'] === true || more['messages.api'] === 'v1' ? 'v1' : 'v2'
    const truth = read.truthOf({
      messages: version,
      analytics: more['streams'] === undefined ? [] : LISTS,
      contactCenter: more['contactCenter'] === true,
    })
    for (const { expected, found } of compared(read, truth)) {
      expect(Object.keys(expected).length).toBeGreaterThan(50)
      expect(found).toEqual(expected)
    }
  })
})
