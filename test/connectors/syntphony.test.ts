import { describe, expect, onTestFinished, test } from 'vitest'
import syntphony from '../../connectors/syntphony/index.ts'
import { type Quirks, startSyntphonySimulator } from '../../connectors/syntphony/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { conformanceChecks, type Truth } from '../../src/conformance/index.ts'
import { type Draft, FlowError, type Json, type Page, rowContext, type Stream, split } from '../../src/source/index.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { subject } from '../support/subjects/syntphony.ts'
import { truthOf } from '../support/truth/syntphony.ts'

const stream = syntphony.streams['conversations'] as Stream
const T = Date.parse
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = T('2026-11-20T12:00:00Z')

describe('conformance', () => {
  test.each(conformanceChecks(subject).map(check => [check.name, check] as const))('%s', async (_, check) => {
    await expect(check.run()).resolves.toHaveProperty('outcome')
  })
})

describe("the world's conversations are read whole, whatever the vendor's habits", () => {
  const window = { fromMs: NOW - 60 * HOUR, untilMs: NOW - 2 * HOUR }
  const world = createWorld({ seed: 31, sessions: 60, ...window })

  test.each<[string, Partial<Quirks>, Record<string, string>]>([
    ['as documented', {}, {}],
    ['times that count', { timePart: 'literal' }, { timezone: 'America/Bogota' }],
    ['days of a zone', {}, { timezone: '+09:30' }],
    ['numbers as text, lists null, times with an offset', { numbers: 'text', emptyLists: 'null', times: 'offset' }, {}],
    [
      'lists absent, times without a zone, details without a code',
      { emptyLists: 'absent', times: 'bare', detailsCode: false },
      {},
    ],
    ['times as numbers, confidence as a share', { times: 'epoch', confidence: 'share' }, {}],
    ['a bare envelope, and no search', { envelope: 'bare', search: 'ignored' }, {}],
    ['a row that shows between two pages', { betweenPages: 'row_shows' }, {}],
    ['the same with a bare envelope', { betweenPages: 'row_shows', envelope: 'bare' }, {}],
    ['newest first, whatever is asked for', { order: 'ignored' }, {}],
    ['pages from 0', { pageBase: 0 }, { 'page.base': '0' }],
    ['page 0 is page 1', {}, { 'page.base': '0' }],
    ['fewer rows a page than asked for', { mostRows: 3 }, {}],
    ['many at one time', { startStepMs: 6 * HOUR }, {}],
  ])('%s', async (_, quirks, config) => {
    const simulator = await startSyntphonySimulator({ world, now: () => NOW, pageSize: 7, quirks })
    onTestFinished(() => simulator.stop())
    const flat = { 'connector.class': 'syntphony', account: 'conformance', ...simulator.config, ...config }
    expectTruth(await readWorld(flat, window), truthOf(simulator, NOW))
  })
})

/** Everything that the connector makes of the window, as a task would have it at `NOW`. */
async function readWorld(flat: Record<string, unknown>, window: { fromMs: number; untilMs: number }): Promise<Draft[]> {
  const parsed = parseConnectorConfig('s', flat, syntphony)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const config = parsed.config as never
  const { http } = httpFor(syntphony.http(config), NOW)
  const drafts = new Map<string, Draft>()
  for (const scope of stream.scopes?.(config, 'conformance') ?? []) {
    const of = { vendor: 'syntphony', account: 'conformance', connector: 's', config, scope }
    const ctx = rowContext<unknown>({ ...of, observedAtMs: NOW, lookbackMs: 48 * HOUR })
    for (const piece of split({ fromMs: window.fromMs - DAY, untilMs: window.untilMs + HOUR }, DAY)) {
      const rows: unknown[] = []
      for await (const page of stream.read({ config, scope, window: piece, resume: null, nowMs: NOW, http }))
        rows.push(...page.rows)
      const told = rows.map(row => stream.row.parse(row) as never)
      for (const row of (await stream.expand?.({ config, scope, rows: told, nowMs: NOW, http })) ?? [])
        for (const draft of stream.normalise(row as never, ctx)) drafts.set(keyOf(draft), draft)
    }
  }
  return [...drafts.values()]
}

function keyOf({ kind, record }: Draft): string {
  if (kind === 'session') return `session ${record.session_key}`
  return kind === 'message' ? `message ${record.message_key}` : `event ${record.event_key}`
}

function expectTruth(drafts: readonly Draft[], truth: Truth) {
  for (const [kind, expected] of [
    ['session', truth.sessions],
    ['message', truth.messages],
    ['event', truth.events],
  ] as const) {
    const names = Object.keys(expected[0] ?? {}).toSorted()
    const told = (record: object) => JSON.stringify(names.map(name => (record as Record<string, unknown>)[name]))
    expect(names.length).toBeGreaterThan(0)
    expect(
      drafts
        .filter(draft => draft.kind === kind)
        .map(draft => told(draft.record))
        .toSorted(),
    ).toEqual(expected.map(told).toSorted())
  }
}

const ROOT = '/eva-dashboard/org/org-1/env/env-1/bot/bot-1'
const LIST = `${ROOT}/conversations/list`
const DETAILS = `${ROOT}/conversations/details`
const MESSAGES = `${ROOT}/messages/list`
const TOKEN = '/auth/realms/acme/protocol/openid-connect/token'
const WINDOW = { fromMs: T('2026-11-19T06:00:00Z'), untilMs: T('2026-11-19T18:00:00Z') }
const SCOPE = { name: 'bot-1', botId: 'bot-1' }

const token = (access = 'access-1', more: Record<string, unknown> = {}): Step => ({
  method: 'POST',
  path: TOKEN,
  sent: { headers: { authorization: null, 'content-type': 'application/x-www-form-urlencoded' } },
  body: { access_token: access, expires_in: 300, refresh_expires_in: 1800, refresh_token: `refresh-of-${access}`, ...more },
})

/** Conversation `id`, begun at this time of the window's day. */
const row = (id: string, time = '12:00:00.000', more: Record<string, unknown> = {}) => ({
  sessionCode: id,
  conversationStartedAt: `2026-11-19T${time}Z`,
  ...more,
})

const page = (ids: readonly string[], number: number, more: Record<string, unknown>): Step => ({
  path: LIST,
  query: { ...QUERY, page: String(number) },
  body: { content: ids.map(id => row(id)), ...more },
})

const QUERY = {
  startDate: '2026-11-19T00:00:00.000Z',
  endDate: '2026-11-19T23:59:59.999Z',
  startHour: '0',
  endHour: '23',
  page: '1',
  size: '100',
  orderBy: 'conversationStartedAt',
  direction: 'ASC',
}

const clients = new WeakMap<ScriptedVendor, ReturnType<typeof clientOf>>()

function clientOf(vendor: ScriptedVendor, config: Record<string, unknown> = {}) {
  const parsed = syntphony.config.parse({
    baseUrl: vendor.url,
    tokenUrl: `${vendor.url}${TOKEN}`,
    username: 'reader',
    password: 'the-password',
    orgUuid: 'org-1',
    envUuid: 'env-1',
    botUuids: ['bot-1'],
    ...config,
  }) as never
  return { config: parsed, ...httpFor(syntphony.http(parsed), NOW, vendor) }
}

interface Open {
  readonly config?: Record<string, unknown>
  readonly window?: { readonly fromMs: number; readonly untilMs: number }
  readonly resume?: Json
}

/** Reads the window whole: pages, and the error that ended it. One client a vendor, so that its token is kept. */
async function read(vendor: ScriptedVendor, { config = {}, window = WINDOW, resume = null }: Open = {}) {
  const client = clients.get(vendor) ?? clientOf(vendor, config)
  clients.set(vendor, client)
  const pages: Page[] = []
  try {
    for await (const each of stream.read({ config: client.config, scope: SCOPE, window, resume, nowMs: NOW, http: client.http }))
      pages.push(each)
    return { pages, error: null, ...client }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { pages, error: thrown, ...client }
  }
}

const idsOf = (pages: readonly Page[]) => pages.map(({ rows }) => rows.map(each => (each as { sessionCode: string }).sessionCode))

describe('a window', () => {
  test('is asked for by its whole days, oldest first, with a bearer token', async () => {
    const sent = { headers: { authorization: 'Bearer access-1' } }
    const vendor = await scriptedVendor([token(), { path: LIST, query: QUERY, sent, body: { content: [row('a')], last: true } }])
    const { pages, error } = await read(vendor)
    expect([pages, error]).toEqual([[{ rows: [row('a')], resume: null }], null])
  })

  test('gives rows that began in it, from a millisecond before it to before its end, and those without a start', async () => {
    const times = ['05:59:59.998', '05:59:59.999', '06:00:00.000', '17:59:59.999', '18:00:00.000']
    const odd = { number: 7, word: 'noon', object: { at: 7 }, null: null }
    const content = [
      ...times.map(time => row(time, time)),
      { sessionCode: 'timeless' },
      ...Object.entries(odd).map(([sessionCode, conversationStartedAt]) => ({ sessionCode, conversationStartedAt })),
    ]
    const vendor = await scriptedVendor([token(), { path: LIST, body: { content, last: true } }])
    expect(idsOf((await read(vendor)).pages)).toEqual([[...times.slice(1, 4), 'timeless', ...Object.keys(odd)]])
  })

  test.each([
    ['America/Bogota', '2026-11-18T02:00:00Z', '2026-11-18T04:00:00Z', '2026-11-17', '2026-11-18'],
    ['+03:00', '2026-11-18T20:00:00Z', '2026-11-18T22:00:00Z', '2026-11-18', '2026-11-19'],
    ['UTC', '2026-11-18T00:00:00Z', '2026-11-19T00:00:00Z', '2026-11-17', '2026-11-18'],
    ['UTC', '2026-11-18T00:00:00.001Z', '2026-11-19T00:00:00Z', '2026-11-18', '2026-11-18'],
    ['UTC', '2026-11-18T23:59:59.999Z', '2026-11-19T00:00:00.001Z', '2026-11-18', '2026-11-19'],
  ])('in %s from %s until %s is %s to %s', async (timezone, from, until, first, last) => {
    const query = {
      ...QUERY,
      startDate: `${first}T00:00:00.000Z`,
      endDate: `${last}T23:59:59.999Z`,
      ...(timezone === 'UTC' ? {} : { timezone }),
    }
    const vendor = await scriptedVendor([token(), { path: LIST, query, body: { content: [], last: true } }])
    expect((await read(vendor, { config: { timezone }, window: { fromMs: T(from), untilMs: T(until) } })).error).toBeNull()
  })

  test('is asked for by the names and paths of the config', async () => {
    const config = {
      baseUrl: 'replaced below',
      pathConversationsList: '/api/{bot}/of/{org}/{env}/rows',
      paramPage: 'p',
      paramSize: 's',
      paramStartDate: 'from',
      paramOrderBy: 'sort',
      pageBase: 0,
      pageSize: 7,
    }
    const { startDate, orderBy, page: _page, size: _size, ...rest } = QUERY
    const query = { ...rest, from: startDate, sort: orderBy, p: '0', s: '7' }
    const vendor = await scriptedVendor([
      token(),
      { path: '/api/bot-1/of/org-1/env-1/rows', query, body: { content: [], last: true } },
    ])
    expect((await read(vendor, { config: { ...config, baseUrl: `${vendor.url}/eva-dashboard/` } })).error).toBeNull()
  })

  test('without a row in 204 is believed when it was said twice', async () => {
    const nothing: Step = { path: LIST, status: 204 }
    const vendor = await scriptedVendor([
      token(),
      nothing,
      nothing,
      nothing,
      { path: LIST, body: { content: [row('a')], last: true } },
    ])
    expect((await read(vendor)).pages).toEqual([{ rows: [], resume: null }])
    expect(idsOf((await read(vendor)).pages)).toEqual([['a']])
  })
})

describe('pages', () => {
  const counted = { totalElements: 5, totalPages: 3, last: false }
  const end = { ...counted, last: true }

  test('are read up to the last', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, counted),
      page(['c', 'd'], 2, counted),
      page(['e'], 3, end),
    ])
    expect(idsOf((await read(vendor)).pages)).toEqual([['a', 'b'], ['c', 'd'], ['e']])
  })

  test('go on from a resume, and the count goes on with them', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, counted),
      page(['c', 'd'], 2, counted),
      page(['e'], 3, end),
    ])
    const [, second] = (await read(vendor)).pages
    vendor.expect(page(['e'], 3, end), page(['f'], 3, end), page(['e'], 3, { ...end, totalElements: 6 }))
    const resume = second?.resume ?? null
    expect(idsOf((await read(vendor, { resume })).pages)).toEqual([['e']])
    expect(idsOf((await read(vendor, { resume })).pages)).toEqual([['f']])
    expect((await read(vendor, { resume })).error?.code).toBe('SRC_MALFORMED')
  })

  test('are counted where none is marked as the last', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, { totalElements: 3, totalPages: 2 }),
      page(['c'], 2, { totalElements: 3, totalPages: 2 }),
      page(['a', 'b'], 1, { totalElements: '3' }),
      page(['c'], 2, { totalElements: '3' }),
      page(['a', 'b'], 1, {}),
      page([], 2, {}),
      page(['a', 'b'], 1, {}),
    ])
    for (const expected of [
      [['a', 'b'], ['c']],
      [['a', 'b'], ['c']],
      [['a', 'b'], []],
    ])
      expect(idsOf((await read(vendor)).pages)).toEqual(expected)
  })

  test('before one that shares a row are read again, back to the page that begins as it did', async () => {
    const grown = { ...counted, totalElements: 6 }
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, counted),
      page(['c', 'd'], 2, counted),
      page(['d', 'e'], 3, { ...grown, last: true }),
      page(['b', 'c'], 2, grown),
      page(['a', 'new'], 1, grown),
    ])
    const { pages, error } = await read(vendor)
    expect([idsOf(pages).at(-1), error]).toEqual([['d', 'e', 'b', 'c', 'a', 'new'], null])
  })

  test('that lost a row meanwhile begin the window again', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, counted),
      page(['d', 'e'], 2, { ...end, totalElements: 4 }),
    ])
    expect((await read(vendor)).error?.code).toBe('SRC_RESUME_EXPIRED')
  })

  test('that lost a row begin it again where the vendor does not count, too', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 1, { last: false }),
      page(['d', 'e'], 2, { last: true }),
      page(['a', 'c'], 1, { last: false }),
    ])
    expect((await read(vendor)).error?.code).toBe('SRC_RESUME_EXPIRED')
  })

  test('that end with rows missing are an error', async () => {
    const vendor = await scriptedVendor([token(), page(['a', 'b'], 1, counted), page(['c'], 2, end)])
    const { error } = await read(vendor)
    expect([error?.code, error?.details]).toEqual(['SRC_MALFORMED', expect.objectContaining({ rows: 3, total: 5 })])
  })

  test('that repeat the first are an error', async () => {
    const vendor = await scriptedVendor([token(), page(['a', 'b'], 1, counted), page(['a', 'b'], 2, counted)])
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  })

  test('may begin at 0, and page 1 may be page 0 again', async () => {
    const vendor = await scriptedVendor([
      token(),
      page(['a', 'b'], 0, { ...counted, totalElements: 3 }),
      page(['a', 'b'], 1, { ...counted, totalElements: 3 }),
      page(['a', 'b'], 0, { ...counted, totalElements: 3 }),
      page(['c'], 2, { ...end, totalElements: 3 }),
    ])
    const { pages, error } = await read(vendor, { config: { pageBase: 0 } })
    expect([new Set(idsOf(pages).flat()), error]).toEqual([new Set(['a', 'b', 'c']), null])
  })

  test.each<[string, unknown]>([
    ['another list', { rows: [] }],
    ['an empty object', {}],
    ['null', null],
    ['a bare list', []],
    ['null for the content', { content: null }],
    ['an error', { error: 'internal', status: 500 }],
    ['an error beside an empty list', { content: [], last: true, error: 'internal' }],
    ['a status that says failure', { status: 'fail', empty: true }],
  ])('without content are no empty pages: %s', async (_, body) => {
    const step = { path: LIST, raw: JSON.stringify(body) }
    const vendor = await scriptedVendor([token(), ...Array.from({ length: 5 }, () => step)])
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  })

  test.each([{ totalElements: 0, last: true }, { empty: true, last: true }, { totalElements: '0' }])(
    'without content are empty where they say so twice: %j',
    async body => {
      const vendor = await scriptedVendor([token(), { path: LIST, body }, { path: LIST, body }])
      const { pages, error } = await read(vendor)
      expect([idsOf(pages), error]).toEqual([[[]], null])
    },
  )
})

describe('errors', () => {
  test.each([
    [400, 'SRC_REFUSED', 'page.size'],
    [422, 'SRC_REFUSED', 'param.*'],
    [404, 'SRC_REFUSED', 'bot.uuids'],
    [403, 'SRC_UNAUTHORISED', undefined],
  ])('a list that answers %d ends in %s at once, with the keys to look at', async (status, code, key) => {
    const vendor = await scriptedVendor([token(), { path: LIST, status, body: { status, error: 'x', message: 'y', path: LIST } }])
    const { error } = await read(vendor)
    expect([error?.code, error?.details['hint']]).toEqual([code, key && expect.stringContaining(key)])
  })

  test.each([409, 500, 504])('%d is asked again', async status => {
    const vendor = await scriptedVendor([
      token(),
      { path: LIST, status, body: {} },
      { path: LIST, body: { content: [], last: true } },
    ])
    expect((await read(vendor)).error).toBeNull()
  })
})

describe('tokens', () => {
  const list = (access: string, answer: Partial<Step> = {}): Step => ({
    path: LIST,
    sent: { headers: { authorization: `Bearer ${access}` } },
    body: { content: [], last: true },
    ...answer,
  })
  const formsOf = (vendor: ScriptedVendor) =>
    vendor.requests.filter(({ path }) => path === TOKEN).map(({ body }) => Object.fromEntries(new URLSearchParams(body)))
  const password = { grant_type: 'password', client_id: 'eva-cockpit', username: 'reader', password: 'the-password' }
  const refreshOf = (access: string) => ({
    grant_type: 'refresh_token',
    client_id: 'eva-cockpit',
    refresh_token: `refresh-of-${access}`,
  })

  test('are fetched with the password, and kept', async () => {
    const vendor = await scriptedVendor([token(), list('access-1'), list('access-1')])
    await read(vendor)
    expect((await read(vendor)).error).toBeNull()
    expect(formsOf(vendor)).toEqual([password])
  })

  test('are renewed by the refresh token shortly before they end', async () => {
    const vendor = await scriptedVendor([token(), list('access-1'), list('access-1'), token('access-2'), list('access-2')])
    const { clock } = await read(vendor)
    await clock.advance(269_000)
    await read(vendor)
    await clock.advance(2000)
    expect((await read(vendor)).error).toBeNull()
    expect(formsOf(vendor)).toEqual([password, refreshOf('access-1')])
  })

  test('are fetched with the password again when the refresh token has ended, or is refused', async () => {
    const inactive: Step = { ...token(), status: 400, body: { error: 'invalid_grant', error_description: 'Token is not active' } }
    const vendor = await scriptedVendor([
      token(),
      list('access-1'),
      token('access-2'),
      list('access-2'),
      inactive,
      token('access-3'),
      list('access-3'),
    ])
    const { clock } = await read(vendor)
    await clock.advance(1_800_000)
    await read(vendor)
    await clock.advance(400_000)
    expect((await read(vendor)).error).toBeNull()
    expect(formsOf(vendor)).toEqual([password, password, refreshOf('access-2'), password])
  })

  test.each([
    [400, { error: 'invalid_token' }],
    [400, {}],
    [404, {}],
    [422, { error: 'x' }],
  ])('are fetched with the password when the refresh token is refused with %d %j', async (status, body) => {
    const vendor = await scriptedVendor([
      token(),
      list('access-1'),
      { ...token(), status, body },
      token('access-2'),
      list('access-2'),
    ])
    const { clock } = await read(vendor)
    await clock.advance(400_000)
    expect((await read(vendor)).error).toBeNull()
    expect(formsOf(vendor)).toEqual([password, refreshOf('access-1'), password])
  })

  test('that the vendor refuses are renewed in mid-listing, and no page is lost or read twice', async () => {
    const counted = { totalElements: 2, last: false }
    const vendor = await scriptedVendor([
      token(),
      page(['a'], 1, counted),
      { ...page([], 2, {}), status: 401, body: {} },
      token('access-2'),
      { ...page(['b'], 2, { ...counted, last: true }), sent: { headers: { authorization: 'Bearer access-2' } } },
    ])
    const { pages, error } = await read(vendor)
    expect([idsOf(pages), error]).toEqual([[['a'], ['b']], null])
    expect(formsOf(vendor)).toEqual([password, refreshOf('access-1')])
  })

  test('of a client with a secret carry it', async () => {
    const vendor = await scriptedVendor([token(), list('access-1')])
    await read(vendor, { config: { clientId: 'mine', clientSecret: 'the-client-secret' } })
    expect(formsOf(vendor)).toEqual([{ ...password, client_id: 'mine', client_secret: 'the-client-secret' }])
  })

  test('are renewed once for requests that find them spent together', async () => {
    const details = (access: string): Step => ({ ...list(access, { body: { messages: [] } }), path: DETAILS })
    const vendor = await scriptedVendor([token(), ...Array.from({ length: 8 }, () => details('access-1'))])
    const { config, http } = clientOf(vendor)
    const rows = Array.from({ length: 8 }, (_, n) => stream.row.parse(row(`s${n}`)) as never)
    expect(await stream.expand?.({ config, scope: SCOPE, rows, nowMs: NOW, http })).toHaveLength(8)
  })

  test.each([
    [401, { error: 'invalid_grant', error_description: 'the-password is wrong' }],
    [400, { error: 'invalid_grant' }],
    [401, { error: 'unauthorized_client' }],
  ])(
    'that are refused with %d %j end as refused credentials, asked for once, and nothing sent stands in the error',
    async (status, body) => {
      const vendor = await scriptedVendor([{ ...token(), status, body }])
      const { error, lines } = await read(vendor)
      expect(error?.code).toBe('SRC_UNAUTHORISED')
      expect(`${error?.message}${JSON.stringify(error?.details)}${lines.join('')}`).not.toMatch(/the-password|reader|is wrong/)
    },
  )

  test.each([
    [503, 'SRC_SERVER_ERROR'],
    [429, 'SRC_RATE_LIMITED'],
  ])('whose endpoint answers %d are asked for again, and end in %s', async (status, code) => {
    const vendor = await scriptedVendor([{ ...token(), status, body: {} }, token(), list('access-1')])
    expect((await read(vendor)).error).toBeNull()
    const other = await scriptedVendor(Array.from({ length: 5 }, () => ({ ...token(), status, body: {} })))
    expect((await read(other)).error?.code).toBe(code)
  })

  test('whose endpoint is not there end in a refusal that names the key', async () => {
    const vendor = await scriptedVendor([{ ...token(), status: 404, body: {} }])
    expect((await read(vendor)).error).toMatchObject({
      code: 'SRC_REFUSED',
      details: { hint: expect.stringContaining('token.url') },
    })
  })
})

describe('what a conversation said', () => {
  const said = (id: string, text: string): Step => ({
    path: DETAILS,
    query: { sessionCode: id },
    body: { messages: [{ messageId: `${id}-1`, type: 'USER_INPUT', content: text }] },
  })
  const search = (id: string, content: readonly unknown[], more: Record<string, unknown> = { last: true }): Step => ({
    path: MESSAGES,
    query: { ...QUERY, searchBy: 'SESSION_CODE', searchTerm: id },
    body: { content, ...more },
  })
  const told = (id: string, words = 'hi') => ({ sessionCode: id, userMessage: words, deliveredAt: '2026-11-19T12:00:05.000Z' })

  async function expanded(
    vendor: ScriptedVendor,
    ids: readonly string[],
    config: Record<string, unknown> = {},
    more: Record<string, unknown> = { durationInSeconds: 60 },
  ) {
    const { config: parsed, http } = clientOf(vendor, config)
    const rows = ids.map(id => stream.row.parse(row(id, '12:00:00.000', more)) as never)
    const richer = (await stream.expand?.({ config: parsed, scope: SCOPE, rows, nowMs: NOW, http })) ?? []
    return richer.map(each => (each as { content: { details: unknown; delivered: unknown[] } }).content)
  }

  test('comes from the details, and its times from a search of the message list', async () => {
    const vendor = await scriptedVendor([token(), said('a', 'hi'), search('a', [told('a')])])
    expect(await expanded(vendor, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: [told('a')] }])
  })

  test('is looked for in one listing where the vendor does not search', async () => {
    const vendor = await scriptedVendor([token(), said('a', 'hi'), said('b', 'ho'), search('a', [told('a'), told('b', 'ho')])])
    expect((await expanded(vendor, ['a', 'b'])).map(each => each.delivered)).toEqual([[told('a')], [told('b', 'ho')]])
  })

  test('is searched for in each conversation where it does', async () => {
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      said('b', 'ho'),
      search('a', [told('a')]),
      search('b', [told('b')]),
    ])
    expect((await expanded(vendor, ['a', 'b'])).map(each => each.delivered)).toEqual([[told('a')], [told('b')]])
  })

  test.each([[7], [{ of: 'a' }], [null], ['unheard of']])(
    'is searched for in each where a row names %j, too',
    async sessionCode => {
      const vendor = await scriptedVendor([
        token(),
        said('a', 'hi'),
        said('b', 'ho'),
        search('a', [told('a'), { ...told('a'), sessionCode }]),
        search('b', [told('b')]),
      ])
      expect((await expanded(vendor, ['a', 'b'])).map(each => each.delivered)).toEqual([[told('a')], [told('b')]])
    },
  )

  test('fills pages of the list, too', async () => {
    const second = search('a', [told('a', 'ho')])
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      search('a', [told('a')], { last: false }),
      { ...second, query: { ...second.query, page: '2' } },
    ])
    expect((await expanded(vendor, ['a']))[0]?.delivered).toEqual([told('a'), told('a', 'ho')])
  })

  test('is not looked for in the list where the user said nothing, or the config does without', async () => {
    const silent: Step = { path: DETAILS, body: { messages: [{ messageId: '1', type: 'TEXT', content: 'hello' }] } }
    const vendor = await scriptedVendor([token(), silent])
    expect((await expanded(vendor, ['a']))[0]?.delivered).toEqual([])
    const other = await scriptedVendor([token(), said('a', 'hi')])
    expect((await expanded(other, ['a'], { includeMessageList: false }))[0]?.delivered).toEqual([])
  })

  test.each([400, 403, 404, 422])('comes without its times where the list is refused with %d, asked for once', async status => {
    const refused = { ...search('a', []), status, body: {} }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), said('b', 'ho'), refused])
    expect(await expanded(vendor, ['a', 'b'])).toEqual([
      { details: said('a', 'hi').body, delivered: null },
      { details: said('b', 'ho').body, delivered: null },
    ])
  })

  test.each<[string, Partial<Step>]>([
    ['501', { status: 501, body: {} }],
    ['another form', { body: { rows: [] } }],
  ])('comes without its times where the list answers %s however often it is asked', async (_, answer) => {
    const refused = { ...search('a', []), ...answer }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), ...Array.from({ length: 5 }, () => refused)])
    expect(await expanded(vendor, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: null }])
  })

  test('does not come while the list fails otherwise', async () => {
    for (const answer of [{ status: 500, body: {} }, { raw: '<html>' }]) {
      const failing = { ...search('a', []), ...answer }
      const vendor = await scriptedVendor([token(), said('a', 'hi'), ...Array.from({ length: 5 }, () => failing)])
      await expect(expanded(vendor, ['a'])).rejects.toThrow(FlowError)
    }
  })

  test('does not come where the list answers 401, also with another token', async () => {
    const refused = { ...search('a', []), status: 401 }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), refused, token('access-2'), refused, refused, refused])
    await expect(expanded(vendor, ['a'])).rejects.toMatchObject({ code: 'SRC_UNAUTHORISED', details: { status: 401 } })
  })

  test('is gone where the details answer 404, or twice nothing', async () => {
    const vendor = await scriptedVendor([token(), { path: DETAILS, status: 404, body: {} }])
    expect(await expanded(vendor, ['a'])).toEqual([{ details: null, delivered: [] }])
    const nothing: Step = { path: DETAILS, status: 204 }
    const other = await scriptedVendor([token(), nothing, nothing])
    expect(await expanded(other, ['a'])).toEqual([{ details: null, delivered: [] }])
    const back = await scriptedVendor([token(), nothing, said('a', 'hi'), search('a', [])])
    expect(await expanded(back, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: [] }])
    const broken = await scriptedVendor([token(), ...Array.from({ length: 5 }, () => ({ path: DETAILS, raw: '<html>' }))])
    await expect(expanded(broken, ['a'])).rejects.toMatchObject({ code: 'SRC_MALFORMED' })
  })

  test('is asked for by a path with its session code, where the config says so', async () => {
    const { body } = said('a/b', 'hi')
    const vendor = await scriptedVendor([token(), { path: '/of/bot-1/conversations/a%2Fb', query: {}, body }])
    const config = { includeMessageList: false, pathConversationsDetails: '/of/{bot}/conversations/{sessionCode}' }
    expect(await expanded(vendor, ['a/b'], config)).toEqual([{ details: body, delivered: [] }])
  })

  test('is looked for on the next day, too, where the conversation does not tell how long it went on', async () => {
    const { query, ...list } = search('a', [told('a')])
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      { ...list, query: { ...query, endDate: '2026-11-20T23:59:59.999Z' } },
    ])
    expect((await expanded(vendor, ['a'], {}, {}))[0]?.delivered).toEqual([told('a')])
  })

  test('is not gone where it is the token endpoint that answers 404', async () => {
    const vendor = await scriptedVendor([{ ...token(), status: 404, body: {} }])
    await expect(expanded(vendor, ['a'])).rejects.toMatchObject({ code: 'SRC_REFUSED' })
  })
})

describe('the config', () => {
  const given = {
    'connector.class': 'syntphony',
    'base.url': 'https://api.example.com',
    'token.url': 'https://keycloak.example.com/auth/realms/acme/protocol/openid-connect/token',
    username: 'reader',
    password: 'the-password',
    'org.uuid': 'o',
    'env.uuid': 'e',
    'bot.uuids': 'b1, b2,b1',
  }

  test('has a scope for each bot, each once', () => {
    const parsed = parseConnectorConfig('s', given, syntphony)
    expect(parsed.ok && stream.scopes?.(parsed.config as never, 'acme')).toEqual([
      { name: 'b1', botId: 'b1' },
      { name: 'b2', botId: 'b2' },
    ])
    expect(parsed.ok && parsed.secrets).toEqual(['the-password'])
  })

  test.each([
    ['timezone', 'Nowhere/Land'],
    ['transfer.flow.pattern', '('],
    ['page.base', '2'],
    ['token.url', 'keycloak'],
  ])('%s does not take %s', (key, value) => {
    const parsed = parseConnectorConfig('s', { ...given, [key]: value }, syntphony)
    expect(parsed.ok ? [] : parsed.faults.map(({ path }) => path)).toEqual([`connectors.s.${key}`])
  })
})
