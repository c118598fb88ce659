import { describe, expect, onTestFinished, test } from 'vitest'
import chatlayer from '../../connectors/chatlayer/index.ts'
import { rangeFor } from '../../connectors/chatlayer/series.ts'
import { type Quirks, startChatlayerSimulator } from '../../connectors/chatlayer/simulator.ts'
import { DerivedSessions } from '../../src/ingest/derived.ts'
import type { Event, Session } from '../../src/records.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { parseTransferRules } from '../../src/source/transfers.ts'
import type { Derive } from '../../src/source/contract.ts'
import {
  FlowError,
  type Http,
  type Json,
  type Page,
  rowContext,
  type Scope,
  split,
  type Stream,
  type Window,
  type WindowSpec,
} from '../../src/source/index.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, scriptedVendor, type Step } from '../support/scripted-vendor.ts'
import { conforms } from '../support/conforms.ts'
import { subject } from '../support/subjects/chatlayer.ts'
import { pointsOf, truthOf } from '../support/truth/chatlayer.ts'

const T = Date.parse
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOW = T('2026-11-10T12:00:00Z')
const WINDOW = { fromMs: T('2026-11-09T06:00:00Z'), untilMs: T('2026-11-09T12:00:00Z') }
const SECRET = 's3cret-of-the-token'

const FLAT = {
  'connector.class': 'chatlayer',
  'base.url': 'http://127.0.0.1:9',
  'token.id': 'tid',
  'token.secret': SECRET,
  'bot.ids': 'm98j39nl',
}

function parse(flat: Readonly<Record<string, unknown>>) {
  const parsed = parseConnectorConfig('acme', { ...FLAT, ...flat }, chatlayer)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed
}

function faultsOf(flat: Readonly<Record<string, unknown>>) {
  const parsed = parseConnectorConfig('acme', { ...FLAT, ...flat }, chatlayer)
  return parsed.ok ? [] : parsed.faults
}

function streamOf(name: string): Stream {
  return chatlayer.streams[name] as Stream
}

function windowOf(name: string, config: never): WindowSpec {
  const { window } = streamOf(name)
  return typeof window === 'function' ? window(config) : window
}

function scopesOf(name: string, config: never): readonly Scope[] {
  return streamOf(name).scopes?.(config, 'acme') ?? []
}

function clientOf(vendor: ScriptedVendor, flat: Readonly<Record<string, unknown>> = {}) {
  const config = parse({ 'base.url': vendor.url, ...flat }).config as never
  const { http, clock, lines } = httpFor(chatlayer.http(config), NOW, vendor)
  return { http, config, clock, lines }
}

interface Open {
  readonly flat?: Readonly<Record<string, unknown>>
  readonly window?: Window
  readonly resume?: Json
  readonly scope?: number
  readonly again?: boolean
  readonly nowMs?: number
}

/** Reads a window of a stream whole; pages, and the error that ended it. */
async function read(
  vendor: ScriptedVendor,
  name: string,
  { flat, window = WINDOW, resume = null, scope = 0, again = false, nowMs }: Open = {},
) {
  const client = clientOf(vendor, flat)
  const { config, http, clock } = client
  const pages: Page[] = []
  const of = scopesOf(name, config)[scope] as Scope
  try {
    const args = { config, scope: of, window, resume, again, nowMs: nowMs ?? clock.now(), http }
    for await (const page of streamOf(name).read(args)) pages.push(page)
    return { ...client, pages, rows: pages.flatMap(page => page.rows), error: null }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { ...client, pages, rows: pages.flatMap(page => page.rows), error: thrown }
  }
}

const row = (id: string, at: string, more: object = {}) => ({ id, event: 'step', timestamp: `2026-11-09T${at}Z`, ...more })
const idsOf = (rows: readonly unknown[]) => rows.map(each => (each as { id: string }).id)

describe('config', () => {
  test('LIVE is read, and all streams but team-usage, when only what is required is told', () => {
    const { config, base } = parse({})
    expect(base.streams).toEqual(['events', 'flow', 'series', 'team-usage'])
    expect(scopesOf('events', config as never)).toEqual([{ name: 'm98j39nl@LIVE', botId: 'm98j39nl' }])
    expect(scopesOf('team-usage', config as never)).toEqual([])
  })

  test('each version of each bot is a scope of its own, with a bot_id of its own for drafts, whatever letters the id has', () => {
    const { config } = parse({ 'bot.ids': 'a/b c,x@y,x@y', 'bot.version': 'LIVE,DRAFT' })
    expect(scopesOf('flow', config as never)).toEqual([
      { name: 'a%2Fb%20c@LIVE', botId: 'a/b c' },
      { name: 'a%2Fb%20c@DRAFT', botId: 'a/b c@DRAFT' },
      { name: 'x%40y@LIVE', botId: 'x@y' },
      { name: 'x%40y@DRAFT', botId: 'x@y@DRAFT' },
    ])
  })

  test('team-usage without a team is a fault of team.ids', () => {
    expect(faultsOf({ streams: 'events,team-usage' })).toEqual([
      { path: 'connectors.acme.team.ids', message: 'is required by the stream team-usage' },
    ])
    expect(faultsOf({ streams: 'events,team-usage', 'team.ids': 't1' })).toEqual([])
    const both = faultsOf({ streams: 'events,team-usage', 'token.id': null })
    expect(both.map(({ path }) => path)).toEqual(['connectors.acme.token.id', 'connectors.acme.team.ids'])
  })

  test('what it does not take is named by its path', () => {
    expect(
      faultsOf({ 'bot.version': 'TEST', 'series.bucket': '5m', 'page.size': 500 })
        .map(({ path }) => path)
        .toSorted(),
    ).toEqual(['connectors.acme.bot.version', 'connectors.acme.page.size', 'connectors.acme.series.bucket'])
  })

  test('closed buckets are read 2 h after an hour, 24 h after a day, or as the config says', () => {
    expect(windowOf('series', parse({}).config as never)).toMatchObject({ lagMs: 2 * HOUR, lookbackMs: 3 * DAY })
    expect(windowOf('series', parse({ 'series.bucket': '1w' }).config as never)).toMatchObject({
      lagMs: DAY,
      lookbackMs: 21 * DAY,
    })
    expect(windowOf('series', parse({ 'series.settle.ms': 5 }).config as never).lagMs).toBe(5)
    expect(windowOf('team-usage', parse({ 'team.ids': 't' }).config as never).lagMs).toBe(DAY)
    expect(windowOf('flow', parse({}).config as never).lagMs).toBe(16 * MINUTE)
  })
})

describe('requests', () => {
  const path = '/v1/bots/m98j39nl/events/stream'

  test.each<[string, Readonly<Record<string, string>>, string]>([
    ['basic', {}, `Basic ${Buffer.from(`tid:${SECRET}`).toString('base64')}`],
    ['bearer', { 'auth.scheme': 'bearer' }, `Bearer tid:${SECRET}`],
  ])('carry the token as %s', async (_, flat, authorization) => {
    const vendor = await scriptedVendor([{ path, sent: { headers: { authorization } }, body: { events: [] } }])
    expect((await read(vendor, 'events', { flat })).error).toBeNull()
  })

  test.each(['', '/', '/v1', '/v1/'])('go below the host, when base.url ends in "%s"', async end => {
    const vendor = await scriptedVendor([{ path, body: { events: [] } }])
    expect((await read(vendor, 'events', { flat: { 'base.url': vendor.url + end } })).error).toBeNull()
  })

  test('name bots by encoded ids', async () => {
    const vendor = await scriptedVendor([{ path: '/v1/bots/a%2Fb%20c/events/stream', body: { events: [] } }])
    expect((await read(vendor, 'events', { flat: { 'bot.ids': 'a/b c' } })).error).toBeNull()
  })

  test.each<[number, string]>([
    [400, 'SRC_REFUSED'],
    [403, 'SRC_UNAUTHORISED'],
    [404, 'SRC_REFUSED'],
  ])('that are answered with %d end in %s at once', async (status, code) => {
    const vendor = await scriptedVendor([{ path, status, body: { code: 3, message: 'x', details: [] } }])
    const { error, pages } = await read(vendor, 'events')
    expect([error?.code, pages]).toEqual([code, []])
  })

  test('401 ends in SRC_UNAUTHORISED, and neither the error nor the log says the secret', async () => {
    const vendor = await scriptedVendor(
      Array.from({ length: 4 }, () => ({ path, status: 401, body: { code: 16, message: SECRET } })),
    )
    const { error, lines } = await read(vendor, 'events')
    expect(error?.code).toBe('SRC_UNAUTHORISED')
    expect(`${error?.message} ${JSON.stringify(error?.details)} ${lines.join('')}`).not.toContain(SECRET)
  })

  test('a failing vendor is asked again', async () => {
    const vendor = await scriptedVendor([
      { path, status: 503, body: {} },
      { path, body: { events: [row('e-1', '10:00:00')] } },
    ])
    expect(idsOf((await read(vendor, 'events')).rows)).toEqual(['e-1'])
  })

  test.each<[string, Readonly<Record<string, string>>, number]>([
    ['Retry-After', { 'retry-after': '7', 'x-ratelimit-reset': '1' }, 7000],
    ['a reset in epoch seconds', { 'x-ratelimit-reset': String((NOW + 42_000) / 1000) }, 42_000],
    ['a reset in epoch milliseconds', { 'x-ratelimit-reset': String(NOW + 42_500) }, 42_500],
    ['a reset in seconds from now', { 'x-ratelimit-reset': '30' }, 30_000],
    ['a reset that is past', { 'x-ratelimit-reset': String((NOW - 42_000) / 1000) }, 1000],
  ])('after 429 with %s wait as long as it says', async (_, headers, waitMs) => {
    const vendor = await scriptedVendor([
      { path, status: 429, headers, body: {} },
      { path, body: { events: [] } },
    ])
    const { error, clock } = await read(vendor, 'events')
    expect([error, clock.now() - NOW]).toEqual([null, waitMs])
  })

  test('after 429 without a word back off from a second', async () => {
    const vendor = await scriptedVendor([
      { path, status: 429, body: {} },
      { path, body: { events: [] } },
    ])
    const { clock } = await read(vendor, 'events')
    expect(clock.now() - NOW).toBeGreaterThanOrEqual(1000)
  })
})

describe('events', () => {
  const path = '/v1/bots/m98j39nl/events/stream'
  const query = {
    version: 'LIVE',
    start_time: '2026-11-09T05:59:59.999Z',
    end_time: '2026-11-09T12:00:00.000Z',
    page_size: '100',
  }
  const page = (events: unknown, token?: unknown, asked?: string): Step => ({
    path,
    query: asked === undefined ? query : { ...query, page_token: asked },
    body: { events, next_page_token: token },
  })

  test('a window is read to its end before anything is given out, then in order of time and id', async () => {
    const vendor = await scriptedVendor([
      page([row('b', '11:00:00'), row('a', '11:00:00')], 'T2'),
      page([row('c', '06:00:00')], 'T3', 'T2'),
      page([row('d', '08:00:00')], undefined, 'T3'),
    ])
    const { pages } = await read(vendor, 'events')
    expect(pages.map(({ rows, resume }) => [idsOf(rows), resume])).toEqual([[['c', 'd', 'a', 'b'], null]])
  })

  test.each([undefined, null, ''])('next_page_token %j is the end', async token => {
    const vendor = await scriptedVendor([page([row('a', '06:00:00')], token)])
    expect(idsOf((await read(vendor, 'events')).rows)).toEqual(['a'])
  })

  test('an empty page with a token is followed', async () => {
    const vendor = await scriptedVendor([
      page([], 'T2'),
      page(null, 'T3', 'T2'),
      page(null, 'T3', 'T2'),
      page([row('a', '06:00:00')], '', 'T3'),
    ])
    expect(idsOf((await read(vendor, 'events')).rows)).toEqual(['a'])
  })

  test.each<[string, unknown]>([
    ['no list', {}],
    ['null for the list', { events: null, next_page_token: null }],
  ])('%s is a window without events when it comes twice', async (_, body) => {
    const vendor = await scriptedVendor([
      { path, body },
      { path, body },
    ])
    expect(await read(vendor, 'events')).toMatchObject({ pages: [{ rows: [], resume: null }], error: null })
    const once = await scriptedVendor([{ path, body }, page([row('a', '06:00:00')])])
    expect(idsOf((await read(once, 'events')).rows)).toEqual(['a'])
  })

  test('an empty list is a window without events', async () => {
    const vendor = await scriptedVendor([{ path, body: { events: [] } }])
    expect(await read(vendor, 'events')).toMatchObject({ pages: [{ rows: [], resume: null }], error: null })
  })

  test('an answer without a body is believed when it comes twice', async () => {
    const once = await scriptedVendor([{ path, status: 204 }, page([row('a', '06:00:00')])])
    expect(idsOf((await read(once, 'events')).rows)).toEqual(['a'])
    const twice = await scriptedVendor([
      { path, status: 204 },
      { path, status: 204 },
    ])
    expect(await read(twice, 'events')).toMatchObject({ pages: [{ rows: [] }], error: null })
  })

  test.each<[string, unknown]>([
    ['a list of another kind', { events: {} }],
    ['an error of the gateway', { code: 13, message: 'internal', details: [] }],
    ['an error', { error: 'internal' }],
    ['an error beside an empty list', { events: [], error: { code: 13 } }],
    ['a status that says failure', { status: 'fail' }],
    ['words of somebody else', { message: 'upstream timed out' }],
    ['null', null],
    ['a bare list', []],
  ])('%s with status 200 is no window without events', async (_, body) => {
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => ({ path, body })))
    expect(await read(vendor, 'events')).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test('a token that comes again is an error, not an end', async () => {
    const vendor = await scriptedVendor([
      page([row('a', '06:00:00')], 'T2'),
      page([row('b', '06:00:00')], 'T3', 'T2'),
      page([row('c', '06:00:00')], 'T2', 'T3'),
    ])
    expect(await read(vendor, 'events')).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test('a further page that holds nothing new is an error, not an end', async () => {
    const vendor = await scriptedVendor([page([row('a', '06:00:00')], 'T2'), page([row('a', '06:00:00')], undefined, 'T2')])
    expect(await read(vendor, 'events')).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test('pages of malformed rows that are all alike do not end the listing, one that never ends does', async () => {
    const vendor = await scriptedVendor([
      page([row('a', '06:00:00')], 'T2'),
      page([null, null], 'T3', 'T2'),
      page([null], 'T4', 'T3'),
      page([row('b', '07:00:00')], undefined, 'T4'),
    ])
    expect((await read(vendor, 'events')).rows).toEqual([
      expect.objectContaining({ id: 'a' }),
      expect.objectContaining({ id: 'b' }),
      null,
    ])
    const endless = await scriptedVendor(
      Array.from({ length: 102 }, (_, at) => ({ path, body: { events: [null], next_page_token: `T${at}` } })),
    )
    expect(await read(endless, 'events')).toMatchObject({ pages: [], error: { code: 'SRC_MALFORMED' } })
  })

  test('rows that are no events stay apart: each is a reject of its own', async () => {
    const odd = [null, 'x', 7, true, [], [[]], {}, { timestamp: 'yesterday' }, { attributes: null }]
    const vendor = await scriptedVendor([page([...odd, row('a', '06:00:00')])])
    expect((await read(vendor, 'events')).rows).toHaveLength(odd.length + 1)
  })

  test('a refused token starts the window again, a refusal without a token does not', async () => {
    const vendor = await scriptedVendor([
      page([row('a', '06:00:00')], 'T2'),
      { path, query: { ...query, page_token: 'T2' }, status: 400, body: { code: 3, message: 'x', details: [] } },
    ])
    expect((await read(vendor, 'events')).error?.code).toBe('SRC_RESUME_EXPIRED')
  })

  test('an event in two pages is given once, two events with one id but different times both', async () => {
    const vendor = await scriptedVendor([
      page([row('a', '06:00:00'), row('b', '07:00:00')], 'T2'),
      page([row('b', '07:00:00'), row('a', '08:00:00')], undefined, 'T2'),
    ])
    expect(idsOf((await read(vendor, 'events')).rows)).toEqual(['a', 'b', 'a'])
  })

  test('an event at the end of the window belongs to the next, one at its beginning to this, one before to none', async () => {
    const rows = [row('start', '06:00:00'), row('before', '05:59:59.999'), row('end', '12:00:00'), row('last', '11:59:59.999')]
    const vendor = await scriptedVendor([page(rows)])
    expect(idsOf((await read(vendor, 'events')).rows)).toEqual(['start', 'last'])
  })

  test('an event without a readable time is given out for rejects', async () => {
    const vendor = await scriptedVendor([page([{ id: 'x', event: 'y' }, row('a', '06:00:00')])])
    const { rows } = await read(vendor, 'events')
    expect(rows.map(each => streamOf('events').row.safeParse(each).success)).toEqual([true, false])
  })

  test('a window with more events than should be in memory is halved, but not below a minute', async () => {
    const many = Array.from({ length: 50_001 }, (_, n) => row(`e${n}`, '06:00:00'))
    const vendor = await scriptedVendor([page(many)])
    expect((await read(vendor, 'events')).error?.code).toBe('SRC_WINDOW_TOO_LARGE')
    const narrow = await scriptedVendor([{ path, body: { events: many } }])
    const window = { fromMs: WINDOW.fromMs, untilMs: WINDOW.fromMs + MINUTE }
    expect((await read(narrow, 'events', { window })).rows.length).toBe(50_001)
  })

  test('the draft is asked for as such', async () => {
    const vendor = await scriptedVendor([{ path, query: { ...query, version: 'DRAFT', page_size: '20' }, body: { events: [] } }])
    expect((await read(vendor, 'events', { flat: { 'bot.version': 'DRAFT', 'page.size': 20 } })).error).toBeNull()
  })
})

describe('a window that was read before', () => {
  const path = '/v1/bots/m98j39nl/events/stream'
  const end = '2026-11-09T12:00:00Z'
  const said = (id: string, at: string) => row(`${id}${at}`, at, { conversation_id: id })
  const listed = [said('c-1', '11:50:00'), said('c-2', '11:50:00'), said('c-2', '12:04:59'), said('c-3', '12:01:00')]
  const asked = (until: string) => ({
    query: { version: 'LIVE', start_time: '2026-11-09T05:59:59.999Z', end_time: until, page_size: '100' },
    path,
    body: { events: listed },
  })
  const threads = (rows: readonly unknown[]) =>
    rows.flatMap(each => {
      const { watched = each } = each as { watched?: unknown }
      const { conversationId } = watched as { conversationId?: string }
      return conversationId ?? []
    })

  test.each(['events', 'flow'])('shows no conversation that goes on after it: %s', async name => {
    // A silence of fifteen minutes ends a session, so nothing that comes later goes on with one of the window.
    const vendor = await scriptedVendor([asked('2026-11-09T12:15:00.000Z')])
    const { rows } = await read(vendor, name, { again: true })
    expect(threads(rows)).toEqual(['c-1'])
    if (name === 'events') expect(idsOf(rows.slice(0, -1))).toEqual(['c-111:50:00', 'c-211:50:00'])
  })

  test('is not looked beyond now', async () => {
    const vendor = await scriptedVendor([asked('2026-11-09T12:05:00.000Z')])
    const { rows } = await read(vendor, 'events', { again: true, nowMs: T(end) + 5 * MINUTE })
    expect(threads(rows)).toEqual(['c-1'])
  })

  test.each(['events', 'flow'])('is unlike one that may be new, where each part of a conversation counts: %s', async name => {
    const vendor = await scriptedVendor([{ ...asked('2026-11-09T12:00:00.000Z') }])
    expect(threads((await read(vendor, name)).rows)).toEqual(['c-1', 'c-2'])
  })

  test('is looked at no further where no rule looks at steps', async () => {
    const vendor = await scriptedVendor([asked('2026-11-09T12:00:00.000Z')])
    const flat = { 'transfer.rules': 'event~x=agent_transferred' }
    expect(threads((await read(vendor, 'events', { again: true, flat })).rows)).toEqual([])
  })
})

describe('flow', () => {
  const events = '/v1/bots/m98j39nl/events/stream'
  const thread = (id: string, at: string) =>
    row(`${id}${at}`, at, { conversation_id: id, user_id: 'u-1', channel_type: 'whatsapp' })

  async function enrich(vendor: ScriptedVendor, rows: readonly unknown[], flat: Readonly<Record<string, unknown>> = {}) {
    const { http, config } = clientOf(vendor, flat)
    const stream = streamOf('flow')
    const [scope] = scopesOf('flow', config) as [Scope]
    const ctx = contextOf(config, scope, 'flow', NOW)
    const richer = (await stream.enrich?.({ config, scope, rows: rows as never[], nowMs: NOW, http })) ?? []
    return richer.flatMap(each => stream.normalise(each as never, ctx)).map(({ record }) => record as Event)
  }

  test('a conversation with events in the window is one row, an event without one none', async () => {
    const vendor = await scriptedVendor([
      {
        path: events,
        body: {
          events: [thread('c-2', '11:00:00'), thread('c-1', '10:00:00'), row('lone', '10:30:00'), thread('c-1', '10:05:00')],
        },
      },
    ])
    expect((await read(vendor, 'flow')).rows).toEqual([
      expect.objectContaining({
        conversationId: 'c-1',
        firstMs: T('2026-11-09T10:00:00Z'),
        lastMs: T('2026-11-09T10:05:00Z'),
        events: 2,
      }),
      expect.objectContaining({
        conversationId: 'c-2',
        firstMs: T('2026-11-09T11:00:00Z'),
        lastMs: T('2026-11-09T11:00:00Z'),
        events: 1,
      }),
    ])
  })

  test('sessions of one conversation are rows of their own, that go on with each event', async () => {
    const rowsOf = async (...times: string[]) => {
      const vendor = await scriptedVendor([{ path: events, body: { events: times.map(at => thread('c-1', at)) } }])
      const { rows } = await read(vendor, 'flow')
      return rows.map(each => [streamOf('flow').identify(each as never), streamOf('flow').sharedId?.(each as never)])
    }
    const [first, second] = await rowsOf('10:00:00', '10:05:00', '10:20:01')
    expect(await rowsOf('10:05:00')).toEqual([first])
    expect(first?.[0]).not.toBe(second?.[0])
    const [longer] = await rowsOf('10:00:00', '10:05:00', '10:20:00')
    expect(longer?.[0]).not.toBe(first?.[0])
    expect([first?.[1], second?.[1], longer?.[1]]).toEqual(['c-1', 'c-1', 'c-1'])
  })

  test('a conversation counts as changed when it has rested, and once more when it has become old', async () => {
    const { config } = parse({})
    const [scope] = scopesOf('flow', config as never) as [Scope]
    const mark = (nowMs: number) =>
      JSON.stringify(
        streamOf('flow').fingerprint?.(
          { conversationId: 'c', firstMs: 0, lastMs: NOW, events: 2 } as never,
          contextOf(config as never, scope, 'flow', nowMs),
        ),
      )
    const marks = Array.from({ length: 26 * 4 }, (_, quarter) => mark(NOW + quarter * 15 * MINUTE))
    expect(marks.flatMap((each, quarter) => (each === marks[quarter - 1] ? [] : [quarter / 4]))).toEqual([0, 0.25, 24])
  })

  const conversation = {
    conversationId: '491512345:u/1',
    firstMs: T('2026-11-09T10:00:00Z'),
    lastMs: T('2026-11-09T10:05:00Z'),
    events: 2,
    userId: 'u-1',
    channelId: 'ch',
    channelType: 'whatsapp',
    flow: null,
  }
  const flowPath = '/v1/bots/m98j39nl/conversations/491512345%3Au%2F1/flow'
  const flowQuery = { version: 'LIVE', start_time: '2026-11-09T09:00:00.000Z', end_time: '2026-11-09T11:05:00.000Z' }
  const transition = (id: string | undefined, at: string) => ({
    id,
    to_step: { id: 'menu', type: 'bot_dialog' },
    depth: 1,
    timestamp: `2026-11-09T${at}Z`,
  })

  test('a flow is asked for from an hour before the first event to an hour after the last; what lies outside is left out', async () => {
    const vendor = await scriptedVendor([
      {
        path: flowPath,
        query: flowQuery,
        body: { transitions: [transition('t-3', '11:05:00'), transition('t-1', '10:00:01'), transition('t-0', '08:59:59')] },
      },
    ])
    const found = await enrich(vendor, [conversation])
    expect(found.map(({ attributes }) => attributes['transition_id'])).toEqual(['t-1'])
  })

  test.each<[string, Partial<Step>[]]>([
    [
      '404',
      [
        { status: 404, body: { code: 5 } },
        { status: 404, body: { code: 5 } },
      ],
    ],
    ['no list, twice', [{ body: { bot_id: 'm98j39nl' } }, { body: { bot_id: 'm98j39nl' } }]],
    ['an empty list', [{ body: { transitions: [] } }]],
  ])('%s is a conversation without a flow', async (_, answers) => {
    const vendor = await scriptedVendor(answers.map(answer => ({ path: flowPath, query: flowQuery, ...answer })))
    expect(await enrich(vendor, [conversation])).toEqual([])
  })

  test('a flow is not asked for beyond now', async () => {
    const lastMs = NOW - 16 * MINUTE
    const query = { version: 'LIVE', start_time: '2026-11-10T10:44:00.000Z', end_time: '2026-11-10T12:00:00.000Z' }
    const vendor = await scriptedVendor([{ path: flowPath, query, body: { transitions: [] } }])
    expect(await enrich(vendor, [{ ...conversation, firstMs: lastMs, lastMs }])).toEqual([])
  })

  test.each([400, 410, 422])('a flow that is refused with %i is a reject', async status => {
    const vendor = await scriptedVendor([{ path: flowPath, status, body: {} }])
    await expect(enrich(vendor, [conversation])).rejects.toMatchObject({
      code: 'ROW_UNMAPPABLE',
      details: { path: 'flow', status },
    })
  })

  test('a flow that must not be read is an error', async () => {
    const vendor = await scriptedVendor([{ path: flowPath, status: 403, body: {} }])
    await expect(enrich(vendor, [conversation])).rejects.toMatchObject({ code: 'SRC_UNAUTHORISED' })
  })

  test('rows come back in the order in which they were given', async () => {
    const vendor = await scriptedVendor([])
    const rows = Array.from({ length: 9 }, (_, n) => ({ ...conversation, conversationId: `c${n}` }))
    const { http, config } = clientOf(vendor)
    const asked: string[] = []
    const slow: Http = {
      ...http,
      getJson: async path => {
        asked.push(path)
        await new Promise(resolve => setTimeout(resolve, asked.length % 2 === 0 ? 1 : 8))
        return { path, transitions: [] } as never
      },
    }
    const [scope] = scopesOf('flow', config) as [Scope]
    const richer = (await streamOf('flow').enrich?.({ config, scope, rows: rows as never[], nowMs: NOW, http: slow })) as {
      conversationId: string
      flow: { path: string }
    }[]
    expect(richer.map(({ conversationId, flow }) => flow.path.includes(`/${conversationId}/`))).toEqual(rows.map(() => true))
    expect(asked.length).toBe(9)
  })
})

describe('series', () => {
  const conversations = '/v1/bots/m98j39nl/conversations'
  const insights = `${conversations}/insights`
  const messages = '/v1/bots/m98j39nl/messages'
  const none = { data: { series: [], series_labels: [], x_values: [] } }
  const hours = { fromMs: T('2026-11-09T09:30:00Z'), untilMs: T('2026-11-09T11:30:00Z') }
  const asked = { version: 'LIVE', start_time: '2026-11-09T08:00:00.000Z', end_time: '2026-11-09T12:00:00.000Z', bucket: '1h' }

  test('asks for the buckets that end in the window, a bucket more than it must, and leaves the others out', async () => {
    const x_values = ['08', '09', '10', '11'].map(hour => `2026-11-09T${hour}:00:00Z`)
    const vendor = await scriptedVendor([
      {
        path: conversations,
        query: { ...asked, group_by: 'channel_type' },
        body: { data: { series: [{ values: [1, 2, 3, 4], labels: { channel_type: 'web' } }], x_values } },
      },
      { path: messages, query: asked, body: none },
    ])
    const { pages } = await read(vendor, 'series', { window: hours })
    expect(
      pages.map(({ rows, resume }) => [rows.map(each => [(each as { x: string }).x, (each as { value: number }).value]), resume]),
    ).toEqual([
      [
        [
          ['2026-11-09T09:00:00Z', 2],
          ['2026-11-09T10:00:00Z', 3],
        ],
        { next: 'messages', among: expect.any(String) },
      ],
      [[], null],
    ])
  })

  test.each<[string, string | string[]]>([
    ['comma', 'whatsapp,facebook'],
    ['repeat', ['whatsapp', 'facebook']],
  ])('of some channels and languages are asked for with them; messages for each alone (filter.form %s)', async (form, both) => {
    const x_values = ['08', '09'].map(hour => `2026-11-09T${hour}:00:00Z`)
    const window = { fromMs: T('2026-11-09T09:30:00Z'), untilMs: T('2026-11-09T10:00:00Z') }
    const ranged = { ...asked, end_time: '2026-11-09T10:00:00.000Z' }
    const answer = (value: number) => ({ data: { series: [{ values: [0, value] }], x_values } })
    const vendor = await scriptedVendor([
      { path: conversations, query: { ...ranged, channel_type: both, language: 'nl' }, body: answer(3) },
      { path: messages, query: { ...ranged, channel_type: 'whatsapp', language: 'nl' }, body: answer(5) },
      { path: messages, query: { ...ranged, channel_type: 'facebook', language: 'nl' }, body: answer(7) },
    ])
    const flat = { 'channel.type': 'whatsapp,facebook', language: 'nl', 'filter.form': form, 'series.group.by': 'none' }
    const { rows, config, error } = await read(vendor, 'series', { flat, window })
    expect(error).toBeNull()
    const stream = streamOf('series')
    const scope = scopesOf('series', config)[0] as Scope
    const points = rows.map(raw => stream.row.parse(raw) as never)
    const records = points
      .flatMap(row => stream.normalise(row, contextOf(config, scope, 'series', NOW)))
      .map(({ record }) => record as Event)
    expect(
      records.map(({ name, channel, language, attributes }) => [
        name,
        attributes['value'],
        channel,
        language,
        attributes['series.filter'],
      ]),
    ).toEqual([
      ['conversations', '3', null, 'nl', '{"channel_type":["whatsapp","facebook"],"language":["nl"]}'],
      ['messages', '5', 'whatsapp', 'nl', '{"channel_type":["whatsapp"],"language":["nl"]}'],
      ['messages', '7', 'messenger', 'nl', '{"channel_type":["facebook"],"language":["nl"]}'],
    ])
    expect(new Set(points.map(row => stream.identify(row))).size, 'points of other channels are other points').toBe(3)
  })

  test('a bucket that ends with one window is not asked for by the next, nor missed between them', async () => {
    const x_values = ['07', '08', '09', '10', '11', '12'].map(hour => `2026-11-09T${hour}:00:00Z`)
    const body = { data: { series: [{ values: [1, 2, 3, 4, 5, 6] }], x_values } }
    const found: string[] = []
    for (const window of split({ fromMs: T('2026-11-09T08:10:00Z'), untilMs: T('2026-11-09T12:00:00Z') }, 25 * MINUTE)) {
      const vendor = await scriptedVendor([
        { path: conversations, body },
        { path: messages, body: none },
      ])
      const { rows } = await read(vendor, 'series', { window })
      found.push(...rows.map(each => (each as { x: string }).x.slice(11, 13)))
    }
    expect(found).toEqual(['08', '09', '10', '11'])
  })

  test('the range is longer than the bucket, and weeks are the ones that the vendor returns', async () => {
    const vendor = await scriptedVendor([
      {
        path: conversations,
        query: { ...asked, bucket: '1w', start_time: '2026-10-26T00:00:00.000Z', end_time: '2026-11-10T00:00:00.000Z' },
        body: { data: { series: [{ values: [5, 6] }], x_values: ['2026-11-02', '2026-11-09'] } },
      },
      { path: messages, body: none },
    ])
    const window = { fromMs: T('2026-11-09T00:00:00Z') - 1, untilMs: T('2026-11-09T01:00:00Z') }
    const { rows, error } = await read(vendor, 'series', {
      window,
      flat: { 'series.bucket': '1w', 'series.group.by': 'none', 'insights.stats': '' },
    })
    expect([rows.length, error]).toEqual([1, null])
    expect(rows[0]).toMatchObject({ x: '2026-11-02', value: 5, groupBy: null })
  })

  test.each(['1h', '1d', '1w'] as const)('no range of buckets of %s is longer than 31 days', bucket => {
    const { config } = parse({ 'series.bucket': bucket })
    const { longestMs, smallestMs = Infinity } = windowOf('series', config as never)
    expect(smallestMs).toBeLessThanOrEqual(longestMs)
    for (let hour = 0; hour < 200; hour++) {
      const fromMs = T('2026-03-01T00:00:00Z') + hour * HOUR
      const range = rangeFor(bucket, { fromMs, untilMs: fromMs + longestMs })
      expect(range.untilMs - range.fromMs).toBeLessThanOrEqual(31 * DAY)
    }
  })

  test('weeks are asked for from a Monday, months from a first', () => {
    const window = { fromMs: T('2026-11-12T10:00:00Z'), untilMs: T('2026-11-12T11:00:00Z') }
    expect(rangeFor('1w', window)).toEqual({ fromMs: T('2026-11-02T00:00:00Z'), untilMs: T('2026-11-13T00:00:00Z') })
    expect(rangeFor('1m', window)).toEqual({ fromMs: T('2026-10-01T00:00:00Z'), untilMs: T('2026-11-13T00:00:00Z') })
  })

  test('a range that is refused is asked for shorter, down to one that tells why', async () => {
    const refused = async (untilMs: number, status: number) => {
      const vendor = await scriptedVendor([{ path: conversations, status, body: {} }])
      return (await read(vendor, 'series', { window: { ...hours, untilMs } })).error?.code
    }
    expect(await refused(hours.fromMs + DAY, 400)).toBe('SRC_WINDOW_TOO_LARGE')
    expect(await refused(hours.fromMs + 12 * HOUR, 400)).toBe('SRC_REFUSED')
    expect(await refused(hours.fromMs + DAY, 404)).toBe('SRC_REFUSED')
  })

  test('insights are asked for by the day that ends in the window, one statistic after the other', async () => {
    const days = { fromMs: T('2026-11-08T12:00:00Z'), untilMs: T('2026-11-09T12:00:00Z') }
    const day = { version: 'LIVE', start_time: '2026-11-08T00:00:00.000Z', end_time: '2026-11-09T00:00:00.000Z' }
    const vendor = await scriptedVendor([
      { path: conversations, body: none },
      ...['num_conversations', 'duration_seconds', 'num_messages'].map(stat => ({
        path: insights,
        query: { ...day, stat },
        body: none,
      })),
      { path: messages, body: none },
    ])
    const { pages, error } = await read(vendor, 'series', { window: days })
    expect([pages.length, error]).toEqual([5, null])
  })

  test('goes on with the question it stopped before, and starts again when the config has it no more', async () => {
    const both = [
      { path: conversations, body: none },
      { path: messages, body: none },
    ]
    const resume = (await read(await scriptedVendor(both), 'series', { window: hours })).pages[0]?.resume ?? null
    const vendor = await scriptedVendor([{ path: messages, body: none }])
    expect((await read(vendor, 'series', { window: hours, resume })).pages).toEqual([{ rows: [], resume: null }])
    for (const other of ['messages', { next: 'messages', among: 'others' }, { ...(resume as object), next: 'insights/x/0' }])
      expect((await read(await scriptedVendor([]), 'series', { window: hours, resume: other })).error?.code).toBe(
        'SRC_RESUME_EXPIRED',
      )
  })

  test.each([404, 405, 501])(
    'an installation that answers %i to messages has no series of them; to conversations it is an error',
    async status => {
      const without = await scriptedVendor([
        { path: conversations, body: none },
        { path: messages, status, body: {} },
        { path: messages, status, body: {} },
      ])
      expect(await read(without, 'series', { window: hours })).toMatchObject({
        pages: [{}, { rows: [], resume: null }],
        error: null,
      })
      const unknown = await scriptedVendor([{ path: conversations, status: 404, body: {} }])
      expect((await read(unknown, 'series', { window: hours })).error?.code).toBe('SRC_REFUSED')
    },
  )

  test.each<[string, unknown]>([
    ['nothing at all', {}],
    ['data that is null', { data: null }],
    ['lists that are absent', { data: {} }],
    ['lists that are null', { data: { series: null, series_labels: null, x_values: null } }],
    ['lists that are null, beside no error', { data: { series: null }, error: null }],
    ['lists that are null, beside an error that says nothing', { data: { series: null }, error: 'null' }],
    ['lists that are null, beside a good code', { data: { series: null }, code: 0, message: 'OK' }],
  ])('%s has no points when it comes twice', async (_, body) => {
    const vendor = await scriptedVendor([
      { path: conversations, body },
      { path: conversations, body },
      { path: messages, body },
      { path: messages, body },
    ])
    expect(await read(vendor, 'series', { window: hours })).toMatchObject({ pages: [{ rows: [] }, { rows: [] }], error: null })
  })
})

describe('team-usage', () => {
  test('asks for the team with its bucket and a comma list of groups', async () => {
    const vendor = await scriptedVendor([
      {
        path: '/v1/teams/t%2F1/conversations',
        query: {
          start_time: '2026-11-07T00:00:00.000Z',
          end_time: '2026-11-10T00:00:00.000Z',
          bucket: '1d',
          group_by: 'bot_id,bot_version,channel_type',
        },
        body: { data: { series: [{ values: [4, 9], labels: { bot_id: 'b' } }], x_values: ['2026-11-08', '2026-11-09'] } },
      },
    ])
    const window = { fromMs: T('2026-11-08T12:00:00Z'), untilMs: T('2026-11-09T12:00:00Z') }
    const { rows, error } = await read(vendor, 'team-usage', { flat: { 'team.ids': 't/1' }, window })
    expect([rows.length, error]).toEqual([1, null])
    expect(rows[0]).toMatchObject({ x: '2026-11-08', value: 4 })
  })

  test('months are as long as the calendar has them', async () => {
    const x_values = ['2026-01-01', '2026-02-01', '2026-03-01']
    const vendor = await scriptedVendor([
      { path: '/v1/teams/t/conversations', body: { data: { series: [{ values: [1, 2, 3] }], x_values } } },
    ])
    const flat = { 'team.ids': 't', 'team.bucket': '1m', 'team.group.by': '' }
    const window = { fromMs: T('2026-02-15T00:00:00Z'), untilMs: T('2026-03-01T00:00:00Z') }
    expect((await read(vendor, 'team-usage', { flat, window })).rows).toMatchObject([{ x: '2026-02-01', value: 2 }])
  })
})

describe('conformance', () => {
  conforms(subject)
})

function contextOf(config: never, scope: Scope, name: string, observedAtMs: number) {
  const { lookbackMs } = windowOf(name, config)
  const { transfers } = parseTransferRules(chatlayer.manifest.transferRules ?? [])
  const of = { vendor: 'chatlayer', account: 'acme', connector: 'acme', config, scope, observedAtMs, lookbackMs, transfers }
  return rowContext<unknown>(of)
}

/** Every stream read whole, window by window, and its rows made into records, as one pass of the pipeline does. */
async function readWorld(flat: Readonly<Record<string, unknown>>, window: Window, nowMs: number) {
  const { config, base } = parse(flat)
  const { http } = httpFor(chatlayer.http(config as never), nowMs)
  const events: Event[] = []
  const sessions: Session[] = []
  for (const name of base.streams) {
    const stream = streamOf(name)
    const { longestMs, lagMs } = windowOf(name, config as never)
    for (const scope of scopesOf(name, config as never)) {
      const rows = new Map<string, unknown>()
      for (const piece of split({ ...window, untilMs: nowMs - lagMs }, longestMs))
        for await (const page of stream.read({ config: config as never, scope, window: piece, resume: null, nowMs, http }))
          for (const raw of page.rows) {
            const parsed = stream.row.parse(raw) as never
            rows.set(stream.identify(parsed), parsed)
          }
      const given = [...rows.values()] as never[]
      const richer = stream.enrich ? await stream.enrich({ config: config as never, scope, rows: given, nowMs, http }) : given
      const told = recordsOf(
        stream,
        config as never,
        scope,
        richer as never[],
        nowMs,
        contextOf(config as never, scope, name, nowMs),
      )
      events.push(...told.events)
      sessions.push(...told.sessions)
    }
  }
  return { events, sessions }
}

function recordsOf(
  stream: Stream,
  config: never,
  scope: Scope,
  rows: readonly never[],
  nowMs: number,
  ctx: ReturnType<typeof contextOf>,
) {
  // What several views of one thing show, the pipeline publishes once.
  const shown = new Set<string>()
  const normalised = (row: never, of: typeof ctx) =>
    stream
      .normalise(row, of)
      .map(({ record }) => record as Event)
      .filter(({ event_key }) => shown.size < shown.add(`${stream.sharedId?.(row) ?? stream.identify(row)} ${event_key}`).size)
  const derive: Derive | null = stream.derive?.(config) ?? null
  if (derive === null) return { events: rows.flatMap(each => normalised(each, ctx)), sessions: [] }
  const derived = new DerivedSessions(derive, { connector: 'acme', stream: 'events', scope: scope.name })
  const turned = rows.map(each => ({ each, turn: derive.turn(each, ctx) }))
  const withTurn = turned.flatMap(({ each, turn }) => (turn === null ? [] : [{ each, turn }]))
  const homes = derived.assign(withTurn.map(({ turn }) => turn))
  const events = turned.filter(({ turn }) => turn === null).flatMap(({ each }) => normalised(each, ctx))
  for (const [place, { each, turn }] of withTurn.entries()) {
    const home = homes[place] as (typeof homes)[number]
    events.push(...normalised(each, { ...ctx, derived: derived.refer(home, turn, ctx) } as never))
    derived.count(home, turn, { isNew: true, firstRevision: 1, readUntilMs: turn.atMs })
  }
  derived.settle(() => nowMs - MINUTE)
  const sessions = derived.drain(ctx).sessions.flatMap(({ record }) => (record === null ? [] : [record]))
  return { events, sessions }
}

/** The records by the fields that the truth names, in an order of their own. */
function seen<R extends object>(records: readonly R[], truth: readonly Partial<R>[]): string[] {
  const names = Object.keys(truth[0] ?? {}) as (keyof R)[]
  return records.map(record => JSON.stringify(names.map(name => record[name]))).toSorted()
}

describe("the world's events, sessions, flows and series are read whole, none twice, whatever the vendor's quirks", () => {
  const window = { fromMs: NOW - 2 * DAY, untilMs: NOW }
  const world = createWorld({ seed: 23, sessions: 120, fromMs: window.fromMs, untilMs: NOW - 8 * HOUR })

  /** `untold`: series that are not compared, as the truth is that of the default config and labels. */
  test.each<[Partial<Quirks>, Readonly<Record<string, unknown>>, readonly string[]]>([
    [{}, {}, []],
    [{ eventOrder: 'shuffled', shortPages: true, emptyPages: true, lastToken: 'empty', windowEdges: 'closed' }, {}, []],
    [{ eventOrder: 'newest', emptyLists: 'absent', windowEdges: 'open', depth: 'text', firstStep: 'absent' }, {}, []],
    // Several group keys cannot be told apart in one name.
    [
      { conversationIds: 'thread', loneShare: 0.2, unknownFlow: '404', labels: 'series_labels' },
      { 'team.group.by': 'bot_id' },
      ['teams/conversations'],
    ],
    [
      { auth: 'bearer', xValues: 'date', insightsAxis: 'time', values: 'text', emptyLists: 'null' },
      { 'series.bucket': '1d' },
      ['conversations', 'messages', 'conversations/insights'],
    ],
    [{ xValues: 'without zone', timestampStepMs: 1000 }, {}, []],
    [{ xValues: 'epoch', eventIds: false }, {}, []],
  ])('%j', async (quirks, settings, untold) => {
    const simulator = await startChatlayerSimulator({ world, now: () => NOW, draftEvery: 4, pageSize: 11, quirks })
    onTestFinished(() => simulator.stop())
    const of = { fromMs: window.fromMs, versions: ['LIVE', 'DRAFT'] } as const
    const { events, sessions } = await readWorld({ ...simulator.config, 'bot.version': 'LIVE,DRAFT', ...settings }, window, NOW)
    expect(new Set(events.map(({ event_key }) => event_key)).size).toBe(events.length)

    const truth = truthOf(simulator, NOW, of)
    const isTold = ({ name = '' }: Partial<Event>) => !untold.includes(name)
    // Without the vendor's ids, those of events are made of what they say.
    const isNamed = ({ type }: Partial<Event>) => quirks.eventIds !== false || type !== 'other'
    const without = ({ event_id: _id, ...rest }: Partial<Event>): Partial<Event> => rest
    const named = truth.events.filter(each => isTold(each) && isNamed(each))
    const nameless = truth.events.filter(each => !isNamed(each)).map(without)
    expect(seen(sessions, truth.sessions)).toEqual(seen(truth.sessions as Session[], truth.sessions))
    expect(
      seen(
        events.filter(each => isTold(each) && isNamed(each)),
        named,
      ),
    ).toEqual(seen(named as Event[], named))
    expect(
      seen(
        events.filter(each => !isNamed(each)),
        nameless,
      ),
    ).toEqual(seen(nameless as Event[], nameless))
    expect(truth.sessions.length).toBeGreaterThan(100)
    for (const kind of ['other', 'flow_transition', 'metric_point'])
      expect(events.filter(({ type }) => type === kind).length).toBeGreaterThan(50)

    const values = new Map(pointsOf(simulator, NOW, of).map(({ event_id, value }) => [event_id, String(value)]))
    for (const { type, name, event_id, attributes } of events)
      if (type === 'metric_point' && !untold.includes(name))
        expect([event_id, attributes['value']]).toEqual([event_id, values.get(event_id)])
  })
})
