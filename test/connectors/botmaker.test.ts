import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { changedSessions, startsOf } from '../../connectors/botmaker/changes.ts'
import botmaker from '../../connectors/botmaker/index.ts'
import { type Quirks, sessionIdOf, startBotmakerSimulator, shownAs } from '../../connectors/botmaker/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import {
  FlowError,
  rowContext,
  type HttpSpec,
  type Json,
  type Page,
  type Stream,
  type WindowSpec,
} from '../../src/source/index.ts'
import { split } from '../../src/source/windows.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { conforms } from '../support/conforms.ts'
import { subject, subjectV1 } from '../support/subjects/botmaker.ts'

const stream = botmaker.streams['sessions'] as Stream
const T = Date.parse
const HOUR = 3_600_000
const NOW = T('2026-11-10T00:00:00Z')
const WINDOW = { fromMs: T('2026-11-09T00:00:00Z'), untilMs: T('2026-11-09T12:00:00Z') }

interface Open {
  readonly config?: Readonly<Record<string, unknown>>
  readonly window?: { readonly fromMs: number; readonly untilMs: number }
  readonly resume?: Json
}

const closers = new WeakMap<ScriptedVendor, ReturnType<typeof clientOf>>()

function clientOf(vendor: ScriptedVendor, config: Readonly<Record<string, unknown>> = {}) {
  const v1 = config['apiVersion'] === 'v1'
  const parsed = botmaker.config.parse({
    accessToken: 'the-token',
    baseUrl: `${vendor.url}${v1 ? '/api/v1.0' : '/v2.0'}/`,
    ...config,
  })
  const { http, clock, lines } = httpFor(botmaker.http(parsed as never), NOW, vendor)
  return { http, parsed, lines, clock }
}

/** Reads the window whole; pages, and the error that ended it. */
async function read(vendor: ScriptedVendor, { config, window = WINDOW, resume = null }: Open = {}) {
  const client = closers.get(vendor) ?? clientOf(vendor, config)
  closers.set(vendor, client)
  const pages: Page[] = []
  try {
    const scope = { name: 'acme', botId: 'acme' }
    for await (const page of stream.read({
      config: client.parsed as never,
      scope,
      window,
      resume,
      nowMs: NOW,
      http: client.http,
    }))
      pages.push(page)
    return { pages, error: null, ...client }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { pages, error: thrown, ...client }
  }
}

const rowsOf = (pages: readonly Page[]) => pages.flatMap(page => page.rows)

describe('v2', () => {
  const query = {
    from: '2026-11-08T23:59:59.999Z',
    to: '2026-11-09T12:00:00.000Z',
    'include-open-sessions': 'true',
    'include-messages': 'true',
    'include-events': 'true',
    'include-variables': 'true',
  }
  const first: Step = { path: '/v2.0/sessions', query }

  test('asks for the window with the documented names and the token in its own header', async () => {
    const sent = { headers: { 'access-token': 'the-token', authorization: null } }
    const vendor = await scriptedVendor([{ ...first, sent, body: { items: [{ id: 1 }] } }])
    const { pages, error } = await read(vendor)
    expect([pages, error]).toEqual([[{ rows: [{ id: 1 }], resume: null }], null])
  })

  test('sends what is switched on, and nothing of what is not', async () => {
    const { from, to } = query
    const vendor = await scriptedVendor([{ ...first, query: { from, to, 'include-ai-analysis': 'true' }, body: { items: [] } }])
    const off = { includeMessages: false, includeEvents: false, includeVariables: false, includeOpenSessions: false }
    expect((await read(vendor, { config: { ...off, includeAiAnalysis: true } })).error).toBeNull()
  })

  test.each<[string, number, Record<string, unknown>, boolean]>([
    ['as far back as a pass over the lookback reaches, and a pause between passes', 54 * HOUR, {}, false],
    ['three days', 72 * HOUR, {}, false],
    ['a millisecond more', 72 * HOUR + 1, {}, true],
    ['five days, with long.term.after.ms seven', 120 * HOUR, { longTermAfterMs: 168 * HOUR }, false],
    ['an hour, with long.term.after.ms 0', HOUR, { longTermAfterMs: 0 }, true],
  ])('long-term search of a window that began longer ago than: %s', async (_, ageMs, config, isLong) => {
    const window = { fromMs: NOW - ageMs, untilMs: NOW - ageMs + HOUR }
    const vendor = await scriptedVendor([
      {
        path: '/v2.0/sessions',
        query: {
          ...query,
          from: new Date(window.fromMs - 1).toISOString(),
          to: new Date(window.untilMs).toISOString(),
          ...(isLong && { 'long-term-search': 'true' }),
        },
        body: { items: [1] },
      },
    ])
    expect((await read(vendor, { window, config })).error).toBeNull()
  })

  test('no pass over the default lookback asks for long-term-search, where the vendor wants it from three days on', async () => {
    const world = createWorld({ seed: 3, sessions: 60, fromMs: NOW - 60 * HOUR, untilMs: NOW })
    const quirks = { requestsPerSecond: 0, longTermAfterMs: 72 * HOUR }
    const simulator = await startBotmakerSimulator({ world, now: () => NOW, quirks })
    onTestFinished(() => simulator.stop())
    const config = botmaker.config.parse({ accessToken: simulator.config['access.token'], baseUrl: simulator.config['base.url'] })
    const { http } = httpFor(botmaker.http(config as never), NOW)
    const rows: unknown[] = []
    for (const window of split({ fromMs: NOW - 48 * HOUR - 15 * 60_000, untilMs: NOW }, 24 * HOUR))
      for await (const page of stream.read({
        config: config as never,
        scope: { name: 'acme', botId: 'acme' },
        window,
        resume: null,
        nowMs: NOW,
        http,
      }))
        rows.push(...page.rows)
    expect(rows.length).toBeGreaterThan(20)
    const asked = simulator.log.filter(({ path }) => path.startsWith('/v2.0/sessions'))
    expect(asked.length).toBeGreaterThanOrEqual(3)
    expect(asked.filter(each => JSON.stringify(each).includes('long-term-search'))).toEqual([])
  })

  test('asks again with long-term-search where the vendor wants it, and once only', async () => {
    const wants = { status: 400, body: { errors: [{ code: 'LONG_TERM_SEARCH_PARAM_REQUIRED', message: 'x' }] } }
    const long = { ...first, query: { ...query, 'long-term-search': 'true' } }
    const vendor = await scriptedVendor([
      { ...first, ...wants },
      { ...long, body: { items: [1] } },
      { ...first, ...wants },
      { ...long, ...wants },
    ])
    expect(rowsOf((await read(vendor)).pages)).toEqual([1])
    expect((await read(vendor)).error).toMatchObject({
      code: 'SRC_REFUSED',
      details: { vendorCode: 'LONG_TERM_SEARCH_PARAM_REQUIRED' },
    })
  })

  test('does not ask again where long-term-search was sent already', async () => {
    const vendor = await scriptedVendor([
      { path: '/v2.0/sessions', status: 400, body: { errors: [{ code: 'LONG_TERM_SEARCH_PARAM_REQUIRED', message: 'x' }] } },
    ])
    const window = { fromMs: NOW - 80 * HOUR, untilMs: NOW - 79 * HOUR }
    expect((await read(vendor, { window })).error?.code).toBe('SRC_REFUSED')
  })

  test.each<[string, Partial<Step>]>([
    ['204', { status: 204 }],
    ['200 without a body', { raw: '' }],
    ['an empty list', { body: { items: [] } }],
  ])('%s is a window without sessions', async (_, answer) => {
    const vendor = await scriptedVendor([{ ...first, ...answer }])
    expect(await read(vendor)).toMatchObject({ pages: [{ rows: [], resume: null }], error: null })
  })

  test('204 for a window that nobody reads again is believed when the vendor says it twice', async () => {
    const old = { fromMs: T('2026-11-01T00:00:00Z'), untilMs: T('2026-11-01T12:00:00Z') }
    const asked = { path: '/v2.0/sessions' }
    const twice = await scriptedVendor([
      { ...asked, status: 204 },
      { ...asked, status: 204 },
    ])
    expect(await read(twice, { window: old })).toMatchObject({ pages: [{ rows: [], resume: null }], error: null })
    const once = await scriptedVendor([
      { ...asked, status: 204 },
      { ...asked, body: { items: [{ id: 'x' }] } },
    ])
    expect(await read(once, { window: old })).toMatchObject({ pages: [{ rows: [{ id: 'x' }], resume: null }], error: null })
  })

  test('a nextPage that is a path without our root is meant below it', async () => {
    const vendor = await scriptedVendor([
      { ...first, body: { items: [], nextPage: '/sessions?page=2' } },
      { path: '/v2.0/sessions', query: { page: '2' }, body: { items: [{ id: 'y' }] } },
    ])
    expect(await read(vendor)).toMatchObject({ pages: [{ rows: [] }, { rows: [{ id: 'y' }], resume: null }], error: null })
  })

  test('204 in the place of a further page is believed when the vendor says it twice', async () => {
    const vendor = await scriptedVendor([
      { ...first, body: { items: [], nextPage: 'T2' } },
      { path: '/v2.0/sessions', status: 204 },
      { path: '/v2.0/sessions', body: { items: [{ id: 'y' }] } },
    ])
    expect(await read(vendor)).toMatchObject({ pages: [{ resume: 'T2' }, { rows: [{ id: 'y' }], resume: null }], error: null })
  })

  test.each<[string, unknown]>([
    ['an empty object', {}],
    ['null', null],
    ['a bare list', []],
    ['a text', ''],
    ['null for the list', { items: null }],
    ['another list', { data: [] }],
    ['an error', { errors: [{ code: 'INTERNAL' }] }],
    ['an error beside an empty list', { items: [], errors: [{ code: 'INTERNAL' }] }],
    ['a status that says failure', { status: 'fail', items: [] }],
  ])('%s is no window without sessions', async (_, body) => {
    const step = { path: '/v2.0/sessions', raw: JSON.stringify(body) }
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => step))
    expect(await read(vendor)).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test.each<[string, (url: string) => string, Step]>([
    [
      'an address',
      url => `${url}/v2.0/sessions?next-page-token=a%2Bb`,
      { path: '/v2.0/sessions', query: { 'next-page-token': 'a+b' } },
    ],
    ['an address without a host', () => '/v2.0/sessions?p=2', { path: '/v2.0/sessions', query: { p: '2' } }],
    ['a relative address', () => 'sessions?p=2', { path: '/v2.0/sessions', query: { p: '2' } }],
    ['a query', () => '?p=2', { path: '/v2.0/sessions', query: { p: '2' } }],
    ['a token', () => 'abc/+==', { path: '/v2.0/sessions', query: { ...query, 'next-page-token': 'abc/+==' } }],
  ])('follows nextPage that is %s', async (_, link, second) => {
    const vendor = await scriptedVendor([])
    const next = link(vendor.url)
    vendor.expect({ ...first, body: { items: [1], nextPage: next } }, { ...second, body: { items: [2], nextPage: null } })
    expect((await read(vendor)).pages).toEqual([
      { rows: [1], resume: next },
      { rows: [2], resume: null },
    ])
  })

  test.each([['next'], ['nextPageToken'], ['next_page']])('a further page is not missed where its link is %s', async name => {
    const vendor = await scriptedVendor([
      { ...first, body: { sessions: [1], [name]: '/v2.0/sessions?p=2' } },
      { path: '/v2.0/sessions', query: { p: '2' }, body: { sessions: [2], [name]: null } },
    ])
    expect(rowsOf((await read(vendor)).pages)).toEqual([1, 2])
  })

  test('beside nextPage nothing else is a link, and a link that is no text is no last page', async () => {
    const vendor = await scriptedVendor([{ ...first, body: { items: [1], nextPage: null, nextUpdate: 'soon' } }])
    expect((await read(vendor)).pages).toEqual([{ rows: [1], resume: null }])
    const other = await scriptedVendor(Array.from({ length: 5 }, () => ({ ...first, body: { items: [1], nextPage: { p: 2 } } })))
    expect((await read(other)).error?.code).toBe('SRC_MALFORMED')
  })

  test.each<[string, (port: string) => string]>([
    ['the public host of the vendor', () => 'https://api.botmaker.com/v2.0/sessions?p=2'],
    ['another name of this machine', port => `http://localhost:${port}/v2.0/sessions?p=2`],
  ])('nextPage on %s is asked where we were told to ask', async (_, link) => {
    const vendor = await scriptedVendor([])
    const second = { path: '/v2.0/sessions', query: { p: '2' }, sent: { headers: { 'access-token': 'the-token' } } }
    const next = link(new URL(vendor.url).port)
    vendor.expect({ ...first, body: { items: [1], nextPage: next } }, { ...second, body: { items: [2], nextPage: null } })
    expect(rowsOf((await read(vendor)).pages)).toEqual([1, 2])
  })

  test('goes on from a page as it stopped', async () => {
    const vendor = await scriptedVendor([])
    const next = `${vendor.url}/v2.0/sessions?p=2`
    vendor.expect({ path: '/v2.0/sessions', query: { p: '2' }, body: { items: [2] } })
    expect((await read(vendor, { resume: next })).pages).toEqual([{ rows: [2], resume: null }])
  })

  test('never sends the token to another host', async () => {
    const stranger = await scriptedVendor([])
    const vendor = await scriptedVendor([{ ...first, body: { items: [1], nextPage: `${stranger.url}/v2.0/sessions?p=2` } }])
    const { pages, error } = await read(vendor)
    expect([rowsOf(pages), error?.code]).toEqual([[1], 'SRC_FOREIGN_HOST'])
    expect(stranger.requests).toEqual([])
  })

  test.each([1, 2])('a nextPage that leads back over %d pages ends in an error, not in a circle', async circle => {
    const vendor = await scriptedVendor([])
    const page = (n: number) => `${vendor.url}/v2.0/sessions?p=${n}`
    vendor.expect({ ...first, body: { items: ['first'], nextPage: page(0) } })
    for (let n = 0; n < circle; n++)
      vendor.expect({ path: '/v2.0/sessions', query: { p: String(n) }, body: { items: [n], nextPage: page((n + 1) % circle) } })
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  })

  test.each([
    ['the same rows', [{ id: 'a' }, { id: 'b' }], 1],
    ['no rows', [], 100],
  ])('a nextPage that is ever new, with %s, ends in an error', async (_, items, more) => {
    const vendor = await scriptedVendor([])
    const nextPage = (n: number) => `${vendor.url}/v2.0/sessions?p=${n}`
    vendor.expect({ ...first, body: { items, nextPage: nextPage(1) } })
    for (let n = 1; n <= more; n++)
      vendor.expect({ path: '/v2.0/sessions', query: { p: String(n) }, body: { items, nextPage: nextPage(n + 1) } })
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  })

  test('a range that the vendor finds too long is told as such', async () => {
    const vendor = await scriptedVendor([
      { ...first, status: 400, body: { errors: [{ code: 'INVALID_DATETIME_INTERVAL', message: 'x' }] } },
    ])
    expect((await read(vendor)).error).toMatchObject({
      code: 'SRC_WINDOW_TOO_LARGE',
      details: { vendorCode: 'INVALID_DATETIME_INTERVAL' },
    })
  })

  test('any other refusal ends the window, without another try', async () => {
    const vendor = await scriptedVendor([{ ...first, status: 400, body: { errors: [{ code: 'SOMETHING', message: 'x' }] } }])
    expect((await read(vendor)).error?.code).toBe('SRC_REFUSED')
  })

  test('a place in a v1 export starts the window again', async () => {
    const vendor = await scriptedVendor([])
    expect((await read(vendor, { resume: { token: 't', pages: 1, rotates: true } })).error?.code).toBe('SRC_RESUME_EXPIRED')
  })
})

describe('v1', () => {
  const config = { apiVersion: 'v1' }
  const path = (name: string) => `/api/v1.0/metrics/${name}`
  const fromDate = '2026-11-08T23:59:59.999Z'
  const order: Step = {
    method: 'POST',
    path: path('v2/download'),
    query: { fromDate },
    body: { hasMore: true, pageToken: 'T1', note: 'x', dateFrom: fromDate },
  }
  const page = (pageToken: string, body: unknown): Step => ({
    method: 'POST',
    path: path('download-page'),
    query: { pageToken },
    body,
  })
  const row = (n: number) => ({ sessionId: `s${n}`, sessionDate: '2026-11-09T01:00:00.000Z' })

  test('orders an export, keeps its token before the first page, and fetches pages while there are more', async () => {
    const vendor = await scriptedVendor([
      order,
      page('T1', { hasMore: 'true', sessions: [row(1)], pageToken: 'T2', fromDate: 'x', pageRows: 21, totalRows: 200 }),
      page('T2', { hasMore: false, sessions: [row(2)] }),
    ])
    const { pages, error } = await read(vendor, { config })
    expect(error).toBeNull()
    expect(pages.map(each => [each.rows.length, each.resume])).toEqual([
      [0, { token: 'T1', pages: 0, rotates: false }],
      [1, { token: 'T2', pages: 1, rotates: true }],
      [1, null],
    ])
  })

  test('uses the same token again where pages bring none', async () => {
    const vendor = await scriptedVendor([
      order,
      page('T1', { hasMore: true, sessions: [row(1)] }),
      page('T1', { hasMore: false, sessions: [row(2)] }),
    ])
    expect(rowsOf((await read(vendor, { config })).pages)).toEqual([row(1), row(2)])
  })

  test('takes the older path where the vendor does not know the newer one', async () => {
    const vendor = await scriptedVendor([
      { ...order, status: 404, body: { errors: [] } },
      { ...order, path: path('download') },
      page('T1', { hasMore: false, sessions: [] }),
    ])
    expect((await read(vendor, { config })).error).toBeNull()
  })

  test('an order answered with an end at once is a window without sessions', async () => {
    const end = { ...order, body: { hasMore: false, pageToken: 'null' } }
    expect((await read(await scriptedVendor([end, end]), { config })).pages).toEqual([{ rows: [], resume: null }])
  })

  test.each<[string, unknown, number]>([
    ['an empty object', {}, 1],
    ['words of an error', { error: 'internal' }, 5],
    ['a status that says failure', { status: 'fail' }, 5],
    ['null', null, 5],
    ['a bare list', [], 5],
  ])('an order answered with %s is no window without sessions', async (_, body, tries) => {
    const vendor = await scriptedVendor(Array.from({ length: tries }, () => ({ ...order, raw: JSON.stringify(body) })))
    expect(await read(vendor, { config })).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test('an order answered with 204 is a window without sessions when the vendor says it so often, and no reason to try the older path', async () => {
    const nothing = { ...order, body: undefined, status: 204 }
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => nothing))
    expect((await read(vendor, { config })).pages).toEqual([{ rows: [], resume: null }])
  })

  test('leaves sessions from the end of the window on to a later window, and rows without a date to rejects', async () => {
    const sessions = [
      { sessionDate: '2026-11-09T11:59:59.999Z' },
      { sessionDate: '2026-11-09T12:00:00.000Z' },
      { sessionId: 'no date' },
      'no row',
    ]
    const vendor = await scriptedVendor([order, page('T1', { hasMore: false, sessions })])
    expect(rowsOf((await read(vendor, { config })).pages)).toEqual([sessions[0], sessions[2], sessions[3]])
  })

  test('an export that is not ready is asked again with growing pauses, in pages without rows and with the same resume', async () => {
    const notYet = page('T1', { hasMore: true, sessions: [] })
    const vendor = await scriptedVendor([
      order,
      ...Array.from({ length: 6 }, () => notYet),
      page('T1', { hasMore: false, sessions: [row(1)] }),
    ])
    const { pages, error, clock } = await read(vendor, { config })
    expect(error).toBeNull()
    const place = { token: 'T1', pages: 0, rotates: false }
    expect(pages).toEqual([
      { rows: [], resume: place },
      { rows: [], resume: place },
      { rows: [row(1)], resume: null },
    ])
    expect(clock.now() - NOW).toBe(20_000)
  })

  test.each<[string, Partial<Step>]>([
    ['202', { status: 202, body: { note: 'x' } }],
    ['202 without a body', { status: 202, raw: '' }],
    ['204', { status: 204 }],
    ['404', { status: 404, body: { errors: [] } }],
    ['409', { status: 409, body: { errors: [] } }],
    ['425', { status: 425, body: { errors: [] } }],
    ['503 with Retry-After', { status: 503, headers: { 'retry-after': '1' } }],
  ])('an export that was ordered a moment ago and is answered with %s is not ready', async (_, answer) => {
    const { body: _body, ...asked } = page('T1', {})
    const vendor = await scriptedVendor([
      order,
      ...Array.from({ length: 6 }, () => ({ ...asked, ...answer })),
      page('T1', { hasMore: false, sessions: [row(1)] }),
    ])
    const { pages, error } = await read(vendor, { config })
    expect([rowsOf(pages), error]).toEqual([[row(1)], null])
  })

  test('204 in the place of a further page is the end when the vendor says it so often', async () => {
    const { body: _body, ...asked } = page('T1', {})
    const vendor = await scriptedVendor([
      order,
      page('T1', { hasMore: true, sessions: [row(1)] }),
      ...Array.from({ length: 5 }, () => ({ ...asked, status: 204 })),
    ])
    const { pages, error } = await read(vendor, { config })
    expect([rowsOf(pages), pages.at(-1)?.resume, error]).toEqual([[row(1)], null, null])
  })

  test('an export that stays unknown is a refusal, one that stays without a body has no sessions', async () => {
    const { body: _body, ...asked } = page('T1', {})
    const unknown = await scriptedVendor([order, ...Array.from({ length: 60 }, () => ({ ...asked, status: 404 }))])
    expect((await read(unknown, { config })).error?.code).toBe('SRC_REFUSED')
    const silent = await scriptedVendor([order, ...Array.from({ length: 100 }, () => ({ ...asked, status: 204 }))])
    const { pages, error } = await read(silent, { config })
    expect([rowsOf(pages), pages.at(-1)?.resume, error]).toEqual([[], null, null])
  })

  test('a page whose answer is lost where the vendor keeps the place is not asked for again: the export is ordered anew', async () => {
    const vendor = await scriptedVendor([order, { ...page('T1', { hasMore: true, sessions: [row(1)] }), cut: 10 }])
    expect(await read(vendor, { config })).toMatchObject({ pages: [{ rows: [] }], error: { code: 'SRC_RESUME_EXPIRED' } })
  })

  test('a not-ready answer that repeats the token yields a page without rows each time', async () => {
    const vendor = await scriptedVendor([
      order,
      page('T1', { hasMore: true, sessions: [], pageToken: 'T1' }),
      page('T1', { hasMore: false, sessions: [row(1)], pageToken: 'T1' }),
    ])
    expect((await read(vendor, { config })).pages.map(each => each.rows.length)).toEqual([0, 0, 1])
  })

  test('goes on after a restart with the token that came last', async () => {
    const vendor = await scriptedVendor([
      page('T2', { hasMore: true, sessions: [row(2)], pageToken: 'T3' }),
      page('T3', { hasMore: false, sessions: [row(3)] }),
    ])
    const { pages, error } = await read(vendor, { config, resume: { token: 'T2', pages: 1, rotates: true } })
    expect([rowsOf(pages), error]).toEqual([[row(2), row(3)], null])
  })

  test.each([400, 404, 410])('a token that the vendor answers with %d after a restart has run out', async status => {
    const vendor = await scriptedVendor([{ ...page('T2', { errors: [{ code: 'X' }] }), status }])
    expect((await read(vendor, { config, resume: { token: 'T2', pages: 1, rotates: true } })).error?.code).toBe(
      'SRC_RESUME_EXPIRED',
    )
  })

  test('a token that was given a moment ago and is refused is a refusal, so that exports are not ordered without end', async () => {
    const vendor = await scriptedVendor([order, { ...page('T1', {}), status: 400 }])
    expect((await read(vendor, { config })).error?.code).toBe('SRC_REFUSED')
  })

  describe('where the vendor keeps the place of an export', () => {
    test('a restart after its first page orders the export again', async () => {
      const vendor = await scriptedVendor([])
      expect((await read(vendor, { config, resume: { token: 'T1', pages: 1, rotates: false } })).error?.code).toBe(
        'SRC_RESUME_EXPIRED',
      )
    })

    test('a restart before its first page does too, as a page may have been sent and lost', async () => {
      const vendor = await scriptedVendor([page('T1', { hasMore: true, sessions: [row(2)] })])
      const { pages, error } = await read(vendor, { config, resume: { token: 'T1', pages: 0, rotates: false } })
      expect([rowsOf(pages), error?.code]).toEqual([[], 'SRC_RESUME_EXPIRED'])
    })

    test('unless it was met not ready, when no page can have been lost', async () => {
      const vendor = await scriptedVendor([
        page('T1', { hasMore: true, sessions: [] }),
        page('T1', { hasMore: true, sessions: [], pageToken: 'T1' }),
      ])
      vendor.expect(page('T1', { hasMore: false, sessions: [row(1)] }))
      const { pages, error } = await read(vendor, { config, resume: { token: 'T1', pages: 0, rotates: false } })
      expect([rowsOf(pages), error]).toEqual([[row(1)], null])
    })
  })

  test('pages that go in a circle, or never move, end in an error', async () => {
    const circle = await scriptedVendor([
      order,
      page('T1', { hasMore: true, sessions: [row(1)], pageToken: 'T2' }),
      page('T2', { hasMore: true, sessions: [row(2)], pageToken: 'T1' }),
    ])
    expect((await read(circle, { config })).error?.code).toBe('SRC_MALFORMED')
    const still = await scriptedVendor([
      order,
      ...Array.from({ length: 3 }, () => page('T1', { hasMore: true, sessions: [row(1)] })),
    ])
    expect((await read(still, { config })).error?.code).toBe('SRC_MALFORMED')
  })

  test('a page without sessions, and without more to come, is no empty page', async () => {
    const vendor = await scriptedVendor([order, page('T1', { note: 'x' })])
    expect((await read(vendor, { config })).error?.code).toBe('SRC_MALFORMED')
  })

  test('is read once a day, in windows of any length', () => {
    const spec = (stream.window as (config: never) => WindowSpec)(botmaker.config.parse({ accessToken: 't', ...config }) as never)
    expect(spec).toMatchObject({
      longestMs: Infinity,
      pollIntervalMs: 24 * HOUR,
      lookbackIntervalMs: 24 * HOUR,
      durableResume: true,
    })
  })
})

describe("v1's totalRows", () => {
  const config = { apiVersion: 'v1' }
  const path = (name: string) => `/api/v1.0/metrics/${name}`
  const order: Step = { method: 'POST', path: path('v2/download'), body: { hasMore: true, pageToken: 'T1' } }
  const page = (pageToken: string, body: object): Step => ({
    method: 'POST',
    path: path('download-page'),
    query: { pageToken },
    body,
  })
  const rows = (...ids: number[]) => ids.map(n => ({ sessionId: `s${n}`, sessionDate: '2026-11-09T01:00:00.000Z' }))
  const pages = (totalRows: unknown, ...bodies: object[]) => [
    order,
    ...bodies.map((body, n) =>
      page(`T${n + 1}`, {
        totalRows,
        hasMore: n + 1 < bodies.length,
        ...(n + 1 < bodies.length && { pageToken: `T${n + 2}` }),
        ...body,
      }),
    ),
  ]

  test.each<[string, Step[]]>([
    ['as many as came', pages(3, { sessions: rows(1, 2) }, { sessions: rows(3) })],
    ['as many as came, in text', pages('3', { sessions: rows(1, 2), pageRows: '2' }, { sessions: rows(3), pageRows: 1 })],
    ['fewer than came: a row may come twice', pages(2, { sessions: rows(1, 2, 2) })],
    ['no total', pages(undefined, { sessions: rows(1) })],
    ['a total beside pageRows that are not the rows of the page', pages(200, { sessions: rows(1), pageRows: 21 })],
    ['the rows of each page', pages(undefined, { sessions: rows(1, 2), totalRows: 2 }, { sessions: rows(3), totalRows: 1 })],
    ['another total on each page', pages(undefined, { sessions: rows(1), totalRows: 50 }, { sessions: rows(3), totalRows: 40 })],
  ])('%s is no fault', async (_, steps) => {
    expect((await read(await scriptedVendor(steps), { config })).error).toBeNull()
  })

  test.each<[string, Step[]]>([
    ['on one page', pages(3, { sessions: rows(1, 2) })],
    ['over pages', pages(4, { sessions: rows(1, 2), pageRows: 2 }, { sessions: rows(3), pageRows: 1 })],
    ['with an empty last page', pages(4, { sessions: rows(1, 2) }, { sessions: [] })],
  ])('an export that ends before it, %s, is not believed: it is ordered again', async (_, steps) => {
    const { error } = await read(await scriptedVendor(steps), { config })
    expect(error).toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
    expect(error?.message).toMatch(/the export ended after \d of its \d rows; set check.total.rows/)
  })

  test('holds over a restart in the middle', async () => {
    const first = await scriptedVendor(pages(4, { sessions: rows(1, 2) }, { sessions: rows(3, 4) }))
    const { pages: read1 } = await read(first, { config })
    expect(read1.map(({ resume }) => resume)).toEqual([
      { token: 'T1', pages: 0, rotates: false },
      { token: 'T2', pages: 1, rotates: true, rows: 2, total: 4 },
      null,
    ])
    const rest = (sessions: unknown[]) => scriptedVendor([page('T2', { totalRows: 4, hasMore: false, sessions })])
    const resume = read1[1]?.resume as Json
    expect((await read(await rest(rows(3, 4)), { config, resume })).error).toBeNull()
    expect((await read(await rest(rows(3)), { config, resume })).error?.code).toBe('SRC_RESUME_EXPIRED')
    // A place that was kept before rows were counted.
    const old = { token: 'T2', pages: 1, rotates: true }
    expect((await read(await rest(rows(3)), { config, resume: old })).error).toBeNull()
  })

  test('is not looked at with check.total.rows false', async () => {
    const vendor = await scriptedVendor(pages(3, { sessions: rows(1, 2) }))
    expect((await read(vendor, { config: { ...config, checkTotalRows: false } })).error).toBeNull()
  })
})

describe('names of agents', () => {
  const listed = (...items: object[]): Step => ({ path: '/v2.0/agents', query: {}, body: { items } })
  const rowWith = (...agents: (string | null)[]) => ({
    id: `S-${agents.join()}`,
    creationTime: '2026-11-09T10:00:00.000Z',
    messages: agents.map((agentId, n) => ({
      id: `m${n}`,
      creationTime: `2026-11-09T10:0${n}:00.000Z`,
      from: agentId === null ? 'user' : 'agent',
      agentId,
      content: { type: 'text', text: 'x' },
    })),
    events: [] as object[],
  })

  /** Names on the session and its messages, as a poll at `nowMs` tells them. */
  async function named(client: ReturnType<typeof clientOf>, row: object, nowMs = NOW) {
    const scope = { name: 'acme', botId: 'acme' }
    const config = client.parsed as never
    const parsed = stream.row.parse(row) as never
    const ctx = rowContext<unknown>({
      vendor: 'botmaker',
      account: 'acme',
      connector: 'x',
      config: client.parsed,
      scope,
      observedAtMs: nowMs,
      lookbackMs: 48 * HOUR,
    })
    const rows = await stream.enrich?.({ config, scope, rows: [parsed], nowMs, http: client.http })
    expect(rows).toHaveLength(1)
    expect(stream.identify(rows?.[0] as never)).toBe(stream.identify(parsed))
    expect(stream.fingerprint?.(rows?.[0] as never, ctx)).toEqual(stream.fingerprint?.(parsed, ctx))
    const drafts = stream.normalise(rows?.[0] as never, ctx)
    return drafts.flatMap(draft => (draft.kind === 'event' ? [] : [draft.record.agent_name]))
  }

  test('are read once, page by page, for whatever rows come later', async () => {
    const vendor = await scriptedVendor([
      {
        path: '/v2.0/agents',
        query: {},
        body: { items: [{ id: 'a-1', name: 'Nora B.', email: 'x@y.example' }], nextPage: '/v2.0/agents?p=2' },
      },
      {
        path: '/v2.0/agents',
        query: { p: '2' },
        body: { items: [{ id: 'a-2', name: 'null', alias: 'Ida' }, { id: 'a-3' }, null, 'x'] },
      },
    ])
    const client = clientOf(vendor)
    expect(await named(client, rowWith(null, 'a-1'))).toEqual(['Nora B.', null, 'Nora B.'])
    expect(await named(client, rowWith('a-1', 'a-2'))).toEqual(['Ida', 'Nora B.', 'Ida'])
    expect(await named(client, rowWith('a-3'), NOW + HOUR)).toEqual([null, null])
    expect(vendor.requests).toHaveLength(2)
  })

  test('are not asked for where no agent is, or all have names', async () => {
    const client = clientOf(await scriptedVendor([]))
    expect(await named(client, rowWith(null, null))).toEqual([null, null, null])
    const close = {
      name: 'conversation-close',
      creationTime: '2026-11-09T11:00:00Z',
      info: { agentId: 'a-1', agentName: 'Nora' },
    }
    expect(await named(client, { ...rowWith(null), events: [close] })).toEqual(['Nora', null])
  })

  test('go to an agent whom only the close tells', async () => {
    const client = clientOf(await scriptedVendor([listed({ id: 'a-1', name: 'Nora' })]))
    const close = { name: 'conversation-close', creationTime: '2026-11-09T11:00:00Z', info: { agentId: 'a-1' } }
    expect(await named(client, { ...rowWith(null), events: [close] })).toEqual(['Nora', null])
  })

  test('of somebody new are read again, a day later at the earliest', async () => {
    const vendor = await scriptedVendor([listed({ id: 'a-1', name: 'Nora' })])
    const client = clientOf(vendor)
    await named(client, rowWith('a-1'))
    expect(await named(client, rowWith('a-2'), NOW + 24 * HOUR - 1)).toEqual([null, null])
    vendor.expect(listed({ id: 'a-1', name: 'Nora' }, { id: 'a-2', name: 'Ida' }))
    expect(await named(client, rowWith('a-2'), NOW + 24 * HOUR)).toEqual(['Ida', 'Ida'])
  })

  test.each([
    ['403', { status: 403 }, 0],
    ['404', { status: 404 }, 3],
    ['400', { status: 400 }, 3],
    ['no JSON', { body: 'no JSON' }, 3],
  ])('where the list fails with %s, records go without, and it is asked for again after 15 minutes', async (_, how, tries) => {
    const refusal: Step = { path: '/v2.0/agents', body: { errors: [{ code: 'X' }] }, ...how }
    // What is no JSON is asked for five times by the client.
    const answers = Array.from({ length: 'status' in how ? 1 : 5 }, () => refusal)
    const vendor = await scriptedVendor([])
    const client = clientOf(vendor)
    for (let time = 0; time < tries; time++) {
      vendor.expect(...answers)
      await expect(named(client, rowWith('a-1'))).rejects.toMatchObject({ details: { ofAllRows: true } })
    }
    vendor.expect(...answers)
    expect(await named(client, rowWith('a-1'))).toEqual([null, null])
    expect(await named(client, rowWith('a-1'), NOW + 15 * 60_000 - 1)).toEqual([null, null])
    vendor.expect(listed({ id: 'a-1', name: 'Nora' }))
    expect(await named(client, rowWith('a-1'), NOW + 15 * 60_000)).toEqual(['Nora', 'Nora'])
  })

  test.each([{ includeAgents: false }, { apiVersion: 'v1' }])('are not read with %j', async config => {
    const client = clientOf(await scriptedVendor([]), config)
    expect(await named(client, rowWith('a-1'))).toEqual([null, null])
  })
})

describe('sessions that somebody spoke in', () => {
  const window = { fromMs: NOW - 60_000, untilMs: NOW }
  const path = '/v2.0/messages'
  const query = { from: '2026-11-09T23:59:00.000Z', to: '2026-11-10T00:00:00.000Z', limit: '1000' }
  const changed = (vendor: ScriptedVendor, more: object = {}, config: object = {}) => {
    const { http, parsed } = clientOf(vendor, { ...config })
    return changedSessions({ config: parsed as never, http, window, ...more })
  }

  test('are those that the messages of the window name, each once, the newest last, over all pages', async () => {
    const vendor = await scriptedVendor([
      {
        path,
        query,
        body: { items: [{ sessionId: 'A' }, { sessionId: 'B' }, { sessionId: 'A' }], nextPage: '/v2.0/messages?p=2' },
      },
      { path, query: { p: '2' }, body: { items: [{ sessionId: 'C' }, { sessionId: 'B' }] } },
    ])
    expect(await changed(vendor)).toEqual(['A', 'C', 'B'])
  })

  test.each<[string, unknown, string[]]>([
    [
      'an id',
      { sessionId: 'A_2026-11-09T01:00:00Z', sessionCreationTime: 'x', chat: { chatId: 'B' } },
      ['A_2026-11-09T01:00:00Z'],
    ],
    ['the two parts of one', { sessionCreationTime: '2026-11-09T01:00:00Z', chat: { chatId: 'B' } }, ['B_2026-11-09T01:00:00Z']],
    ['no id', { from: 'user', creationTime: '2026-11-09T01:00:00Z', chat: { chatId: 'B' } }, []],
    ['a start that is none', { sessionCreationTime: 'soon', chat: { chatId: 'B' } }, []],
    ['a word for nothing', { sessionId: 'null', chat: null }, []],
    ['no object', 'x', []],
    ['null', null, []],
  ])('a message with %s', async (_, item, ids) => {
    expect(await changed(await scriptedVendor([{ path, body: { items: [item] } }]))).toEqual(ids)
  })

  test.each<[string, Partial<Step>, number]>([
    ['204', { status: 204 }, 1],
    ['an empty list', { body: { items: [] } }, 1],
  ])('%s is no error: there is no hint', async (_, answer, tries) => {
    expect(await changed(await scriptedVendor(Array.from({ length: tries }, () => ({ path, ...answer }))))).toEqual([])
  })

  test.each<[string, Partial<Step>, number, string]>([
    ['403', { status: 403, body: {} }, 1, 'SRC_UNAUTHORISED'],
    ['404', { status: 404, body: {} }, 1, 'SRC_REFUSED'],
    ['400', { status: 400, body: { errors: [{ code: 'X' }] } }, 1, 'SRC_REFUSED'],
    ['another shape', { body: { data: [] } }, 5, 'SRC_MALFORMED'],
    ['a list of another kind', { body: { items: {} } }, 5, 'SRC_MALFORMED'],
    ['500', { status: 500 }, 5, 'SRC_SERVER_ERROR'],
  ])('%s is told, for the reader to go on without', async (_, answer, tries, code) => {
    const vendor = await scriptedVendor(Array.from({ length: tries }, () => ({ path, ...answer })))
    await expect(changed(vendor)).rejects.toMatchObject({ code })
  })

  test('what was found before a page is refused stays', async () => {
    const vendor = await scriptedVendor([
      { path, body: { items: [{ sessionId: 'A' }], nextPage: '/v2.0/messages?p=2' } },
      { path, query: { p: '2' }, status: 400, body: { errors: [{ code: 'X' }] } },
    ])
    expect(await changed(vendor)).toEqual(['A'])
  })

  test('no more than five pages are read', async () => {
    const vendor = await scriptedVendor(
      Array.from({ length: 5 }, (_, n) => ({
        path,
        body: { items: [{ sessionId: `S${n}` }], nextPage: `/v2.0/messages?p=${n}` },
      })),
    )
    expect(await changed(vendor)).toHaveLength(5)
  })

  test('an old window is asked for with long-term-search, as is one where the vendor wants it', async () => {
    const old = { fromMs: NOW - 73 * HOUR, untilMs: NOW - 72 * HOUR }
    const asked = { from: '2026-11-06T23:00:00.000Z', to: '2026-11-07T00:00:00.000Z', limit: '1000' }
    const long = { path, query: { ...asked, 'long-term-search': 'true' }, body: { items: [] } }
    expect(await changed(await scriptedVendor([long]), { window: old, nowMs: NOW })).toEqual([])
    const wants = {
      path,
      query: asked,
      status: 400,
      body: { errors: [{ code: 'LONG_TERM_SEARCH_PARAM_REQUIRED', message: 'x' }] },
    }
    expect(await changed(await scriptedVendor([wants, long]), { window: old })).toEqual([])
  })

  test('v1 has no such listing, and an empty window no messages: nothing is asked', async () => {
    expect(await changed(await scriptedVendor([]), {}, { apiVersion: 'v1' })).toEqual([])
    expect(await changed(await scriptedVendor([]), { window: { fromMs: NOW, untilMs: NOW } })).toEqual([])
  })

  test('lie in windows of starts, near ones together', () => {
    const at = (time: string) => T(`2026-11-09T${time}Z`)
    expect(
      startsOf([
        'B_2026-11-09T12:00:00Z',
        'A_2026-11-09T10:00:00.500Z',
        'A_B_2026-11-09T10:01:00.400Z',
        'no time',
        'A_soon',
        'C_12',
      ]),
    ).toEqual([
      { fromMs: at('10:00:00.500'), untilMs: at('10:01:00.401') },
      { fromMs: at('12:00:00'), untilMs: at('12:00:01') },
    ])
  })

  test.each<[string, Partial<Quirks>]>([
    ['with milliseconds', {}],
    ['with whole seconds', { timestampPrecision: 'seconds' }],
    ['not at all', { messageSessions: false }],
  ])('of a world are found whole where the vendor tells them, %s', async (_, quirks) => {
    const world = createWorld({ seed: 9, sessions: 400, fromMs: NOW - 24 * HOUR, untilMs: NOW })
    const simulator = await startBotmakerSimulator({ world, now: () => NOW, quirks: { requestsPerSecond: 0, ...quirks } })
    onTestFinished(() => simulator.stop())
    const config = botmaker.config.parse({
      accessToken: simulator.config['access.token'],
      baseUrl: simulator.config['base.url'],
    }) as never
    const { http } = httpFor(botmaker.http(config), NOW)
    const hour = { fromMs: NOW - 2 * HOUR, untilMs: NOW - HOUR }
    const ids = await changedSessions({ config, http, window: hour, nowMs: NOW })
    const spoken = [...world.at(NOW).between(NOW - 24 * HOUR, NOW)].filter(({ messages }) =>
      messages.some(({ atMs }) => hour.fromMs <= atMs && atMs < hour.untilMs),
    )
    expect(spoken.length).toBeGreaterThan(5)
    if (quirks.messageSessions === false) expect(ids).toEqual([])
    const found = new Set<string>()
    for (const window of startsOf(ids))
      for await (const page of stream.read({
        config,
        scope: { name: 'acme', botId: 'acme' },
        window,
        resume: null,
        nowMs: NOW,
        http,
      }))
        for (const row of page.rows) found.add((row as { id: string }).id)
    const expected = quirks.messageSessions === false ? [] : spoken.map(sessionIdOf)
    expect([...found].filter(id => spoken.some(each => sessionIdOf(each) === id)).toSorted()).toEqual(expected.toSorted())
  })
})

describe('credentials', () => {
  const sessions = (token: string, answer: Partial<Step>): Step => ({
    path: '/v2.0/sessions',
    sent: { headers: { 'access-token': token } },
    ...answer,
  })
  const good = { body: { items: [1] } }
  const refresh = (refreshToken: string, answer: Partial<Step>): Step => ({
    method: 'POST',
    path: '/api/v1.0/auth/credentials',
    sent: { headers: { clientid: 'id', secretid: 'the-secret', refreshtoken: refreshToken, 'access-token': null } },
    ...answer,
  })
  const keys = (refreshTokenFile?: string) => ({
    refreshClientId: 'id',
    refreshClientSecret: 'the-secret',
    refreshToken: 'refresh-1',
    refreshTokenFile,
  })

  function folder(): string {
    const path = mkdtempSync(join(tmpdir(), 'colloquy-'))
    onTestFinished(() => rmSync(path, { recursive: true }))
    return path
  }

  test('a 401 renews the token, and both new tokens are on disk, for the owner only, before they are used', async () => {
    const file = join(folder(), 'refresh')
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-1', { body: { accessToken: 'token-2', refreshToken: 'refresh-2' } }),
      sessions('token-2', good),
    ])
    const { error, lines } = await read(vendor, { config: keys(file) })
    expect(error).toBeNull()
    expect(readFileSync(file, 'utf8').trim()).toBe('refresh-2')
    expect(readFileSync(`${file}.access`, 'utf8').trim()).toBe('token-2')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(file, '..')).toSorted()).toEqual(['refresh', 'refresh.access'])
    expect(lines.join('')).not.toMatch(/token-2|refresh-2|the-secret/)
  })

  test('after a restart the kept access token is taken without another renewal', async () => {
    const file = join(folder(), 'refresh')
    writeFileSync(file, 'refresh-2\n')
    writeFileSync(`${file}.access`, 'token-2\n')
    const vendor = await scriptedVendor([sessions('the-token', { status: 401 }), sessions('token-2', good)])
    expect((await read(vendor, { config: keys(file) })).error).toBeNull()
  })

  test('the kept refresh token goes before the configured one, which is tried when the vendor refuses it', async () => {
    const file = join(folder(), 'refresh')
    writeFileSync(file, 'refresh-0')
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-0', { status: 401 }),
      refresh('refresh-1', { body: { accessToken: 'token-2' } }),
      sessions('token-2', good),
    ])
    expect((await read(vendor, { config: keys(file) })).error).toBeNull()
    expect(readFileSync(file, 'utf8').trim()).toBe('refresh-1')
  })

  test('a second renewal sends the token that the first one brought', async () => {
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-1', { body: { accessToken: 'token-2', refreshToken: 'refresh-2' } }),
      sessions('token-2', good),
      sessions('token-2', { status: 401 }),
      refresh('refresh-2', { body: { accessToken: 'token-3', refreshToken: 'refresh-3' } }),
      sessions('token-3', good),
    ])
    const config = keys()
    await read(vendor, { config })
    expect((await read(vendor, { config })).error).toBeNull()
  })

  test('204 changes nothing, and the request is made again', async () => {
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-1', { status: 204 }),
      sessions('the-token', good),
    ])
    expect((await read(vendor, { config: keys() })).error).toBeNull()
  })

  test('refused refresh credentials end as refused credentials, and no secret stands in the error', async () => {
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-1', { status: 403, body: { message: 'refresh-1' } }),
    ])
    vendor.expect(...Array.from({ length: 3 }, () => sessions('the-token', { status: 401 })))
    const { error, lines } = await read(vendor, { config: keys() })
    expect(error?.code).toBe('SRC_UNAUTHORISED')
    expect(`${error?.message}${JSON.stringify(error?.details)}${lines.join('')}`).not.toMatch(/refresh-1|the-secret|the-token/)
  })

  test('are renewed below a v1 root of another form where the vendor does not know the first', async () => {
    const vendor = await scriptedVendor([
      sessions('the-token', { status: 401 }),
      refresh('refresh-1', { status: 404 }),
      {
        ...refresh('refresh-1', { body: { accessToken: 'token-2', refreshToken: 'refresh-2' } }),
        path: '/v2.0/auth/credentials',
      },
      sessions('token-2', good),
    ])
    expect((await read(vendor, { config: keys() })).error).toBeNull()
  })

  test('a transient 401 passes without them', async () => {
    const vendor = await scriptedVendor([sessions('the-token', { status: 401 }), sessions('the-token', good)])
    expect((await read(vendor)).error).toBeNull()
  })

  test('a file that cannot be written is told at the start, when the old token is not spent yet', () => {
    const config = botmaker.config.parse({ accessToken: 't', ...keys('/no/such/folder/refresh') })
    expect(() => botmaker.http(config as never)).toThrow(
      expect.objectContaining({ code: 'CFG_INVALID', details: expect.objectContaining({ path: 'refresh.token.file' }) }),
    )
    expect(existsSync('/no/such')).toBe(false)
  })

  test('half of the refresh keys is a fault that names the others', () => {
    const parsed = parseConnectorConfig(
      'b',
      { 'connector.class': 'botmaker', 'access.token': 't', 'refresh.client.id': 'x' },
      botmaker,
    )
    expect(parsed.ok ? [] : parsed.faults.map(fault => fault.path)).toEqual([
      'connectors.b.refresh.client.secret',
      'connectors.b.refresh.token',
    ])
  })
})

test.each([
  ['v2', 'https://api.botmaker.com/v2.0'],
  ['v1', 'https://go.botmaker.com/api/v1.0'],
])("%s is read from the vendor's own address unless the config names another", (apiVersion, baseUrl) => {
  const spec: HttpSpec = botmaker.http(botmaker.config.parse({ accessToken: 't', apiVersion }) as never)
  expect(spec.baseUrl).toBe(baseUrl)
})

describe.each([
  ['v2', subject],
  ['v1', subjectV1],
])('conformance, %s', (_, each) => {
  conforms(each)
})

describe("the world's sessions, messages and events are read whole, none twice, whatever the vendor's quirks", () => {
  const window = { fromMs: NOW - 3 * 24 * HOUR, untilMs: NOW - HOUR }
  const world = createWorld({ seed: 11, sessions: 200, ...window })

  test.each<['v1' | 'v2', Partial<Quirks>]>([
    ['v2', {}],
    ['v2', { emptyPeriod: '204', lastPage: 'null', duplicateAcrossPages: true, eventOrder: 'shuffled', messageIds: false }],
    [
      'v2',
      { timestampPrecision: 'seconds', emptyPeriod: 'blank', windowEdges: 'closed', nulBytes: true, longTermAfterMs: 24 * HOUR },
    ],
    ['v1', {}],
    ['v1', { pageToken: 'sticky', notReadyCalls: 7, nulls: 'everywhere', variables: 'objects', topics: 'map', urls: 'array' }],
    ['v1', { booleans: 'boolean', nulls: 'null', variables: 'map', notReadyCalls: 2 }],
  ])('%s, %j', async (version, quirks) => {
    const simulator = await startBotmakerSimulator({
      world,
      now: () => NOW,
      pageSize: 17,
      exportPageSize: 60,
      quirks: { requestsPerSecond: 0, ...quirks },
    })
    onTestFinished(() => simulator.stop())
    const flat = { 'connector.class': 'botmaker', ...(version === 'v1' ? simulator.configV1 : simulator.config) }
    const parsed = parseConnectorConfig('b', flat, botmaker)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    const config = parsed.config as never
    const { http } = httpFor(botmaker.http(config), NOW)
    const scope = { name: 'acme', botId: 'acme' }
    const ctx = rowContext<unknown>({
      vendor: 'botmaker',
      account: 'acme',
      connector: 'b',
      config,
      scope,
      observedAtMs: NOW,
      lookbackMs: 48 * HOUR,
    })

    const keys = { session: new Set<string>(), message: new Set<string>(), event: new Set<string>() }
    for (const piece of split(window, version === 'v1' ? Infinity : 24 * HOUR)) {
      for await (const page of stream.read({ config, scope, window: piece, resume: null, nowMs: NOW, http })) {
        for (const raw of page.rows) {
          for (const draft of stream.normalise(stream.row.parse(raw) as never, ctx)) {
            if (draft.kind === 'message') keys.message.add(draft.record.message_key)
            else if (draft.kind === 'event') keys.event.add(draft.record.event_key)
            else
              keys.session.add(
                `${draft.record.session_id} ${draft.record.status === 'CLOSED'} ${draft.record.containment === 'AGENT'} ${draft.record.channel} ${draft.record.user_messages}`,
              )
          }
        }
      }
    }

    const view = world.at(NOW)
    const all = [...view.between(window.fromMs, window.untilMs)]
    const handed = (kind: string) => kind === 'transfer_requested' || kind === 'transferred'
    expect([...keys.session].toSorted()).toEqual(
      all
        .map(each => {
          const agent = each.events.some(event => handed(event.kind)) || each.messages.some(message => message.sender === 'agent')
          const users = each.messages.filter(message => message.sender === 'user').length
          return `${sessionIdOf(each)} ${each.closedAtMs !== null} ${agent} ${each.channel} ${users}`
        })
        .toSorted(),
    )
    expect(keys.message.size).toBe(all.reduce((sum, each) => sum + each.messages.length, 0))
    expect(keys.event.size).toBe(all.reduce((sum, each) => sum + each.events.filter(event => shownAs(event) !== null).length, 0))
  })
})
