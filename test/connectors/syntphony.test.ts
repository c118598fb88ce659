import { describe, expect, onTestFinished, test } from 'vitest'
import syntphony from '../../connectors/syntphony/index.ts'
import { type Quirks, startSyntphonySimulator } from '../../connectors/syntphony/simulator.ts'
import { applyTransfers } from '../../src/ingest/transfer-rules.ts'
import { createWorld } from '../../src/sim/index.ts'
import { partitionsOf } from '../../src/ingest/source-partition.ts'
import type { Event } from '../../src/records.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import type { Truth } from '../../src/conformance/index.ts'
import {
  type Draft,
  type EnrichArgs,
  FlowError,
  type Json,
  type Page,
  rowContext,
  type Stream,
  split,
} from '../../src/source/index.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { conforms } from '../support/conforms.ts'
import { subject } from '../support/subjects/syntphony.ts'
import { truthOf } from '../support/truth/syntphony.ts'

const stream = syntphony.streams['conversations'] as Stream
const T = Date.parse
/** Settings of field names, with the name that each has without one. */
const OTHER_KEYS = {
  'field.session.code': 'sessionCode',
  'field.started.at': 'conversationStartedAt',
  'field.duration': 'durationInSeconds',
  'field.user.messages': 'userMessages',
  'field.satisfaction': 'satisfaction',
  'field.flows': 'flowsTravelledNames',
  'field.tags': 'tags',
  'field.channel': 'channel',
  'field.messages': 'messages',
  'field.message.id': 'messageId',
  'field.message.type': 'type',
  'field.message.content': 'content',
  'field.message.intent': 'intent',
  'field.message.ne': 'isNe',
  'field.message.nlp': 'nlpResponses',
  'field.technical.text': 'technicalText',
  'field.delivered.at': 'deliveredAt',
  'field.user.message': 'userMessage',
  'field.confidence': 'confidence',
  'field.language': 'language',
  'field.business.key': 'businessKey',
  'field.answer.names': 'answerNames',
}
const OTHER_NAMES: Record<string, string> = Object.fromEntries(Object.values(OTHER_KEYS).map(usual => [usual, `other_${usual}`]))
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = T('2026-11-20T12:00:00Z')

describe('conformance', () => {
  conforms(subject)
})

describe("the world's conversations are read whole, whatever the vendor's quirks", () => {
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
    ['a technical text that is text', { handover: 'text' }, {}],
    ['hand-overs that the rule finds alone', { handover: 'none' }, {}],
    ['nothing found where nothing was understood', { missed: 'empty' }, {}],
    [
      'other names of fields',
      { names: OTHER_NAMES },
      Object.fromEntries(Object.entries(OTHER_KEYS).map(([key, usual]) => [key, OTHER_NAMES[usual] as string])),
    ],
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
    const { transfers } = parsed.base
    const of = { vendor: 'syntphony', account: 'conformance', connector: 's', config, scope, transfers }
    const ctx = rowContext<unknown>({ ...of, observedAtMs: NOW, lookbackMs: 48 * HOUR })
    for (const piece of split({ fromMs: window.fromMs - DAY, untilMs: window.untilMs + HOUR }, DAY)) {
      const rows: unknown[] = []
      for await (const page of stream.read({ config, scope, window: piece, resume: null, nowMs: NOW, http }))
        rows.push(...page.rows)
      const schema = stream.rowFor?.(config) ?? stream.row
      const told = rows.map(row => schema.parse(row) as never)
      for (const row of (await stream.enrich?.({ config, scope, rows: told, nowMs: NOW, http })) ?? [])
        for (const draft of applyTransfers(stream.normalise(row as never, ctx), transfers, id => id))
          drafts.set(keyOf(draft), draft)
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

  test('is asked for with the filters of the config, and the message list with those that it keeps to', async () => {
    const config = {
      channelUuids: ['c-1', 'c-2'],
      tags: ['cards', 'pay now'],
      startHour: 8,
      endHour: 17,
      nlpResponses: ['FOUND', 'NONE'],
      paramChannelUuids: 'channelUUIDs',
    }
    const day = { ...QUERY, channelUUIDs: 'c-1,c-2' }
    const vendor = await scriptedVendor([
      token(),
      { path: LIST, query: { ...day, startHour: '8', endHour: '17', tags: 'cards,pay now' }, body: { content: [], last: true } },
      { path: DETAILS, body: { messages: [{ messageId: '1', type: 'USER_INPUT', content: 'hi' }] } },
      {
        path: MESSAGES,
        query: { ...day, nlpResponseFilters: 'FOUND,NONE', searchBy: 'SESSION_CODE', searchTerm: 'a' },
        body: { content: [], last: true },
      },
    ])
    const { error, config: parsed, http } = await read(vendor, { config })
    expect(error).toBeNull()
    const rows = [stream.row.parse(row('a', '12:00:00.000', { durationInSeconds: 60 })) as never]
    expect(await stream.enrich?.({ config: parsed, scope: SCOPE, rows, nowMs: NOW, http })).toHaveLength(1)
  })

  test('may be of what went through no tag', async () => {
    const query = { ...QUERY, noTags: 'true' }
    const vendor = await scriptedVendor([token(), { path: LIST, query, body: { content: [], last: true } }])
    expect((await read(vendor, { config: { untagged: true, paramUntagged: 'noTags' } })).error).toBeNull()
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
    expect(await stream.enrich?.({ config, scope: SCOPE, rows, nowMs: NOW, http })).toHaveLength(8)
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

  async function enriched(
    vendor: ScriptedVendor,
    ids: readonly string[],
    config: Record<string, unknown> = {},
    more: Record<string, unknown> = { durationInSeconds: 60 },
    reject?: EnrichArgs['reject'],
  ) {
    const { config: parsed, http } = clientOf(vendor, config)
    const rows = ids.map(id => stream.row.parse(row(id, '12:00:00.000', more)) as never)
    const args = { config: parsed, scope: SCOPE, rows, nowMs: NOW, http, ...(reject && { reject }) }
    const richer = (await stream.enrich?.(args)) ?? []
    return richer.map(each => (each as { content: { details: unknown; delivered: unknown[] } }).content)
  }

  test('comes from the details, and its times from a search of the message list', async () => {
    const vendor = await scriptedVendor([token(), said('a', 'hi'), search('a', [told('a')])])
    expect(await enriched(vendor, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: [told('a')] }])
  })

  test('comes with the time of transfer as it was published', async () => {
    const { config, http } = clientOf(await scriptedVendor([token(), said('a', 'hi'), search('a', [told('a')])]), {})
    const rows = [stream.row.parse(row('a', '12:00:00.000', { durationInSeconds: 60 })) as never]
    const args = { config, scope: SCOPE, rows, nowMs: NOW, http, transferredAt: (id: string) => (id === 'a' ? 7 : null) }
    expect(await stream.enrich?.(args)).toMatchObject([{ content: { publishedTransferMs: 7 } }])
  })

  test('is looked for in one listing where the vendor does not search', async () => {
    const vendor = await scriptedVendor([token(), said('a', 'hi'), said('b', 'ho'), search('a', [told('a'), told('b', 'ho')])])
    expect((await enriched(vendor, ['a', 'b'])).map(each => each.delivered)).toEqual([[told('a')], [told('b', 'ho')]])
  })

  test('is searched for in each conversation where it does', async () => {
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      said('b', 'ho'),
      search('a', [told('a')]),
      search('b', [told('b')]),
    ])
    expect((await enriched(vendor, ['a', 'b'])).map(each => each.delivered)).toEqual([[told('a')], [told('b')]])
  })

  test.each<[unknown, boolean]>([
    [7, false],
    [{ of: 'a' }, true],
    [null, true],
    ['', true],
    [undefined, true],
    ['unheard of', false],
  ])(
    'is searched for in each where a row names %j, too; the row goes to rejects where that is no code: %s',
    async (sessionCode, isRejected) => {
      const vendor = await scriptedVendor([
        token(),
        said('a', 'hi'),
        said('b', 'ho'),
        search('a', [told('a'), { ...told('a'), sessionCode }]),
        search('b', [told('b')]),
      ])
      const rejected: unknown[] = []
      const contents = await enriched(vendor, ['a', 'b'], {}, undefined, (row, fault) => rejected.push([row, fault.path]))
      expect(contents.map(each => each.delivered)).toEqual([[told('a')], [told('b')]])
      const bare = JSON.parse(JSON.stringify({ ...told('a'), sessionCode })) as unknown
      expect(rejected).toEqual(isRejected ? [[bare, 'sessionCode']] : [])
    },
  )

  test('rejects rows of the list that are no objects', async () => {
    const vendor = await scriptedVendor([token(), said('a', 'hi'), search('a', [told('a'), 'hi', null])])
    const rejected: unknown[] = []
    const [content] = await enriched(vendor, ['a'], {}, undefined, row => rejected.push(row))
    expect([content?.delivered, rejected]).toEqual([[told('a')], ['hi', null]])
  })

  test('fills pages of the list, too', async () => {
    const second = search('a', [told('a', 'ho')])
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      search('a', [told('a')], { last: false }),
      { ...second, query: { ...second.query, page: '2' } },
    ])
    expect((await enriched(vendor, ['a']))[0]?.delivered).toEqual([told('a'), told('a', 'ho')])
  })

  test('is not looked for in the list where the user said nothing, or the config does without', async () => {
    const silent: Step = { path: DETAILS, body: { messages: [{ messageId: '1', type: 'TEXT', content: 'hello' }] } }
    const vendor = await scriptedVendor([token(), silent])
    expect((await enriched(vendor, ['a']))[0]?.delivered).toEqual([])
    const other = await scriptedVendor([token(), said('a', 'hi')])
    expect((await enriched(other, ['a'], { includeMessageList: false }))[0]?.delivered).toEqual([])
  })

  test.each([400, 403, 404, 422])('comes without its times where the list is refused with %d, asked for once', async status => {
    const refused = { ...search('a', []), status, body: {} }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), said('b', 'ho'), refused])
    expect(await enriched(vendor, ['a', 'b'])).toEqual([
      { details: said('a', 'hi').body, delivered: null },
      { details: said('b', 'ho').body, delivered: null },
    ])
  })

  test.each<[string, Partial<Step>]>([
    ['501', { status: 501, body: {} }],
    ['unexpected form', { body: { rows: [] } }],
  ])('comes without its times where the list answers %s however often it is asked', async (_, answer) => {
    const refused = { ...search('a', []), ...answer }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), ...Array.from({ length: 5 }, () => refused)])
    expect(await enriched(vendor, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: null }])
  })

  test('does not come while the list fails otherwise', async () => {
    for (const answer of [{ status: 500, body: {} }, { raw: '<html>' }]) {
      const failing = { ...search('a', []), ...answer }
      const vendor = await scriptedVendor([token(), said('a', 'hi'), ...Array.from({ length: 5 }, () => failing)])
      await expect(enriched(vendor, ['a'])).rejects.toThrow(FlowError)
    }
  })

  test('does not come where the list answers 401, also with another token', async () => {
    const refused = { ...search('a', []), status: 401 }
    const vendor = await scriptedVendor([token(), said('a', 'hi'), refused, token('access-2'), refused, refused, refused])
    await expect(enriched(vendor, ['a'])).rejects.toMatchObject({ code: 'SRC_UNAUTHORISED', details: { status: 401 } })
  })

  test('is gone where the details answer 404, or twice nothing', async () => {
    const vendor = await scriptedVendor([token(), { path: DETAILS, status: 404, body: {} }])
    expect(await enriched(vendor, ['a'])).toEqual([{ details: null, delivered: [] }])
    const nothing: Step = { path: DETAILS, status: 204 }
    const other = await scriptedVendor([token(), nothing, nothing])
    expect(await enriched(other, ['a'])).toEqual([{ details: null, delivered: [] }])
    const back = await scriptedVendor([token(), nothing, said('a', 'hi'), search('a', [])])
    expect(await enriched(back, ['a'])).toEqual([{ details: said('a', 'hi').body, delivered: [] }])
    const broken = await scriptedVendor([token(), ...Array.from({ length: 5 }, () => ({ path: DETAILS, raw: '<html>' }))])
    await expect(enriched(broken, ['a'])).rejects.toMatchObject({ code: 'SRC_MALFORMED' })
  })

  test('is asked for by a path with its session code, where the config says so', async () => {
    const { body } = said('a/b', 'hi')
    const vendor = await scriptedVendor([token(), { path: '/of/bot-1/conversations/a%2Fb', query: {}, body }])
    const config = { includeMessageList: false, pathConversationsDetails: '/of/{bot}/conversations/{sessionCode}' }
    expect(await enriched(vendor, ['a/b'], config)).toEqual([{ details: body, delivered: [] }])
  })

  test('is looked for on the next day, too, where the conversation does not tell how long it went on', async () => {
    const { query, ...list } = search('a', [told('a')])
    const vendor = await scriptedVendor([
      token(),
      said('a', 'hi'),
      { ...list, query: { ...query, endDate: '2026-11-20T23:59:59.999Z' } },
    ])
    expect((await enriched(vendor, ['a'], {}, {}))[0]?.delivered).toEqual([told('a')])
  })

  test('is not gone where it is the token endpoint that answers 404', async () => {
    const vendor = await scriptedVendor([{ ...token(), status: 404, body: {} }])
    await expect(enriched(vendor, ['a'])).rejects.toMatchObject({ code: 'SRC_REFUSED' })
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
    ['end.hour', '24'],
    ['nlp.responses', 'SOME'],
    ['channel.uuids', 'a b'],
    ['untagged', 'maybe'],
  ])('%s does not take %s', (key, value) => {
    const parsed = parseConnectorConfig('s', { ...given, [key]: value }, syntphony)
    expect(parsed.ok ? [] : parsed.faults.map(({ path }) => path)).toEqual([`connectors.s.${key}`])
  })

  test.each([
    [{ untagged: 'true', tags: 'cards' }, 'untagged'],
    [{ 'start.hour': '18', 'end.hour': '8' }, 'start.hour'],
  ])('%j contradicts itself', (keys, path) => {
    const parsed = parseConnectorConfig('s', { ...given, ...keys }, syntphony)
    expect(parsed.ok ? [] : parsed.faults.map(fault => fault.path)).toEqual([`connectors.s.${path}`])
  })

  test('names the fields of rows for all that reads them', () => {
    const parsed = parseConnectorConfig('s', { ...given, 'field.session.code': 'id' }, syntphony)
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    const [partition] = partitionsOf(syntphony, parsed.base, parsed.config)
    const { sessionCode: id, ...rest } = row('a')
    expect(partition?.stream.row.parse({ ...rest, id })).toMatchObject({ id: 'a' })
    expect(partition?.stream.row.safeParse(row('a')).success).toBe(false)
  })
})

describe('the dashboards', () => {
  const metrics = syntphony.streams['metrics'] as Stream
  const DASHBOARD = `${ROOT}/dashboard`
  const WEB = { uuid: 'c-1', name: 'Main site' }
  const DAY_QUERY = { startDate: QUERY.startDate, endDate: QUERY.endDate, startHour: '0', endHour: '23' }
  const traffic = (resource: string, total: unknown, more: Record<string, unknown> = {}): Step => ({
    path: `${DASHBOARD}/${resource}`,
    query: DAY_QUERY,
    body: { resource: resource.toUpperCase(), overview: { total, previous: 9 }, channels: [{ channel: WEB, total: 3 }], ...more },
  })
  const graph = (resource: string, dataset: readonly unknown[]): Step => ({
    path: `${DASHBOARD}/${resource}/graph`,
    query: DAY_QUERY,
    body: { resource: resource.toUpperCase(), channels: [{ channel: WEB, dataset }] },
  })
  const HOURS = [
    { date: '2026-11-19T10:00:00.000Z', total: 1 },
    { date: '2026-11-19T11:00:00.000Z', total: 2 },
  ]
  const all = (): Step[] => [
    { path: `${DASHBOARD}/summary`, query: {}, body: { hasData: true, firstDataSet: '2026-01-01T00:00:00.000Z' } },
    traffic('conversations', 12),
    traffic('messages', 40),
    traffic('users', 11),
    { path: `${DASHBOARD}/accuracy`, query: DAY_QUERY, body: { accuracy: 0.9, previousAccuracy: 0.8, increased: true } },
    graph('conversations', HOURS),
    graph('messages', []),
    graph('users', HOURS),
  ]
  /** From noon to the noon after: one day ends in it. */
  const NIGHT = { fromMs: T('2026-11-19T12:00:00Z'), untilMs: T('2026-11-20T12:00:00Z') }

  async function points(vendor: ScriptedVendor, config: Record<string, unknown> = {}, window = NIGHT, resume: Json = null) {
    const client = clientOf(vendor, config)
    const pages: Page[] = []
    const args = { config: client.config, scope: SCOPE, window, resume, nowMs: NOW, http: client.http }
    for await (const page of metrics.read(args)) pages.push(page)
    const ctx = rowContext<unknown>({
      vendor: 'syntphony',
      account: 'acme',
      connector: 's',
      config: client.config,
      scope: SCOPE,
      observedAtMs: NOW,
      lookbackMs: 3 * DAY,
    })
    const read = pages.flatMap(page => page.rows).map(each => metrics.row.safeParse(each))
    const events = read
      .flatMap(each => (each.success ? metrics.normalise(each.data as never, ctx) : []))
      .map(({ record }) => record as Event)
    const faults = read.flatMap(each => each.error?.issues.map(issue => issue.path.join('.')) ?? [])
    return { pages, events, faults, ids: read.flatMap(each => (each.success ? metrics.identify(each.data as never) : [])) }
  }

  test('are read for the day that ended, and each figure is a metric point', async () => {
    const { events, faults, ids } = await points(await scriptedVendor([token(), ...all()]), { channelMap: ['main*=web'] })
    expect(faults).toEqual([])
    expect(events.map(({ name, channel, attributes, occurred_at }) => [name, channel, attributes['value'], occurred_at])).toEqual(
      [
        ['summary', null, '1', T('2026-11-19')],
        ['conversations', null, '12', T('2026-11-19')],
        ['conversations', 'web', '3', T('2026-11-19')],
        ['messages', null, '40', T('2026-11-19')],
        ['messages', 'web', '3', T('2026-11-19')],
        ['users', null, '11', T('2026-11-19')],
        ['users', 'web', '3', T('2026-11-19')],
        ['accuracy', null, '0.9', T('2026-11-19')],
        ['conversations/graph', 'web', '1', T('2026-11-19T10:00:00Z')],
        ['conversations/graph', 'web', '2', T('2026-11-19T11:00:00Z')],
        ['users/graph', 'web', '1', T('2026-11-19T10:00:00Z')],
        ['users/graph', 'web', '2', T('2026-11-19T11:00:00Z')],
      ],
    )
    expect(events.every(event => event.type === 'metric_point' && event.session_key === null && event.bot_id === 'bot-1')).toBe(
      true,
    )
    expect(new Set(ids).size).toBe(ids.length)
    expect(new Set(events.map(event => event.event_key)).size).toBe(events.length)
    expect(events[1]?.attributes).toEqual({
      resource: 'conversations',
      value: '12',
      previous: '9',
      bucket: '1d',
      day: '2026-11-19',
      range_start: '2026-11-19T00:00:00.000Z',
      range_end: '2026-11-20T00:00:00.000Z',
      compares_to: 'sessions',
    })
    expect(events.filter(event => event.attributes['compares_to']).map(event => event.attributes['compares_to'])).toEqual([
      'sessions',
      'messages_user',
    ])
  })

  test('keep their ids when a figure changes, and that is a change', async () => {
    const before = await points(await scriptedVendor([token(), ...all()]))
    const changed = all()
    changed[1] = traffic('conversations', 13)
    const after = await points(await scriptedVendor([token(), ...changed]))
    expect(after.ids).toEqual(before.ids)
    const printOf = ({ pages }: typeof before) =>
      pages.flatMap(page => page.rows).map(each => metrics.fingerprint?.(metrics.row.parse(each) as never, null as never))
    expect(printOf(after).filter((print, place) => print !== printOf(before)[place])).toHaveLength(1)
  })

  test('are not asked for while no day has ended', async () => {
    const vendor = await scriptedVendor([])
    expect((await points(vendor, {}, { fromMs: NIGHT.fromMs, untilMs: T('2026-11-19T23:59:59.999Z') })).pages).toEqual([])
    expect((await points(vendor, {}, { fromMs: T('2026-11-20T00:00:00Z'), untilMs: NIGHT.untilMs })).pages).toEqual([])
  })

  test('are of the days of the zone, and of the filters', async () => {
    const config = { timezone: 'America/Bogota', channelUuids: ['c-1'], startHour: 8, pathSummary: '/sum/{bot}' }
    const query = { ...DAY_QUERY, timezone: 'America/Bogota', channelUuids: 'c-1', startHour: '8' }
    const steps = all().map(step => ({ ...step, ...(step.path.endsWith('summary') ? { path: '/sum/bot-1' } : { query }) }))
    const { events } = await points(await scriptedVendor([token(), ...steps]), config)
    expect(events[1]).toMatchObject({
      occurred_at: T('2026-11-19T05:00:00Z'),
      attributes: { range_start: '2026-11-19T05:00:00.000Z', range_end: '2026-11-20T05:00:00.000Z' },
    })
  })

  test('go on where they stopped', async () => {
    const { pages } = await points(await scriptedVendor([token(), ...all()]))
    const resume = pages[5]?.resume as Json
    const rest = await points(await scriptedVendor([token(), ...all().slice(6)]), {}, NIGHT, resume)
    expect([rest.pages.length, rest.pages.at(-1)?.resume]).toEqual([2, null])
    await expect(points(await scriptedVendor([]), {}, NIGHT, 'elsewhere')).rejects.toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
  })

  test('that the installation lacks, or that cannot be read, go to rejects, and the others are read', async () => {
    const steps = all()
    steps[0] = { path: `${DASHBOARD}/summary`, status: 404, body: {} }
    steps[1] = traffic('conversations', 'many')
    steps[2] = { path: `${DASHBOARD}/messages`, body: { rows: [] } }
    steps[4] = { path: `${DASHBOARD}/accuracy`, status: 204 }
    const { events, faults } = await points(await scriptedVendor([token(), ...steps]))
    expect(faults).toEqual(['status', 'value', 'answer', 'answer'])
    expect(events.map(({ name }) => name)).toEqual([
      'conversations',
      'users',
      'users',
      'conversations/graph',
      'conversations/graph',
      'users/graph',
      'users/graph',
    ])
  })

  test('are read by other names of fields', async () => {
    const config = {
      fieldOverview: 'box',
      fieldTotal: 'n',
      fieldChannels: 'by',
      fieldDataset: 'line',
      fieldDate: 'x',
      fieldAccuracy: 'rate',
    }
    const steps: Step[] = [
      ...all().slice(0, 1),
      ...['conversations', 'messages', 'users'].map(
        (resource): Step => ({ path: `${DASHBOARD}/${resource}`, body: { box: { n: 5 }, by: [{ channel: WEB, n: 5 }] } }),
      ),
      { path: `${DASHBOARD}/accuracy`, body: { rate: 0.5 } },
      ...['conversations', 'messages', 'users'].map(
        (resource): Step => ({
          path: `${DASHBOARD}/${resource}/graph`,
          body: { by: [{ channel: WEB, line: [{ x: '2026-11-19T10:00:00Z', n: 5 }] }] },
        }),
      ),
    ]
    const { events, faults } = await points(await scriptedVendor([token(), ...steps]), config)
    expect([faults, events.map(({ attributes }) => attributes['value'])]).toEqual([
      [],
      ['1', '5', '5', '5', '5', '5', '5', '0.5', '5', '5', '5'],
    ])
  })

  test('with what went through no tag are compared with nothing: they do not know that filter', async () => {
    const { events } = await points(await scriptedVendor([token(), ...all()]), { untagged: true })
    expect(events.some(event => event.attributes['compares_to'])).toBe(false)
  })

  test("of the simulator count the world's conversations", async () => {
    const world = createWorld({ seed: 5, sessions: 40, fromMs: T('2026-11-19T01:00:00Z'), untilMs: T('2026-11-19T20:00:00Z') })
    const simulator = await startSyntphonySimulator({ world, now: () => NOW })
    onTestFinished(() => simulator.stop())
    const parsed = parseConnectorConfig(
      's',
      { 'connector.class': 'syntphony', ...simulator.config, streams: 'metrics' },
      syntphony,
    )
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
    const { http } = httpFor(syntphony.http(parsed.config as never), NOW)
    let sum = 0
    for (const { stream: of, scope } of partitionsOf(syntphony, parsed.base, parsed.config))
      for await (const { rows } of of.read({
        config: parsed.config as never,
        scope,
        window: NIGHT,
        resume: null,
        nowMs: NOW,
        http,
      }))
        for (const point of rows as Record<string, unknown>[])
          if (point['dashboard'] === 'conversations' && point['channel'] === null) sum += Number(point['value'])
    expect(sum).toBe(40)
  })
})
