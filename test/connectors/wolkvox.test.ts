import { describe, expect, onTestFinished, test } from 'vitest'
import wolkvox from '../../connectors/wolkvox/index.ts'
import { type Quirks, startWolkvoxSimulator, type WolkvoxOptions } from '../../connectors/wolkvox/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import type { Truth } from '../../src/conformance/index.ts'
import { type Draft, FlowError, type Page, rowContext, type Stream, type Window } from '../../src/source/index.ts'
import { halve, split } from '../../src/source/windows.ts'
import { httpFor } from '../support/http.ts'
import { type ScriptedVendor, type Step, scriptedVendor } from '../support/scripted-vendor.ts'
import { conforms } from '../support/conforms.ts'
import { subject, subjectTurns } from '../support/subjects/wolkvox.ts'
import { truthOf } from '../support/truth/wolkvox.ts'

const T = Date.parse
const SECOND = 1000
const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = T('2026-11-10T00:00:00Z')
/** In Bogota 09:00:00 to 09:05:00. */
const WINDOW = { fromMs: T('2026-11-09T14:00:00Z'), untilMs: T('2026-11-09T14:05:00Z') }
const PATH = '/api/v2/reports_manager.php'

interface Open {
  readonly config?: Readonly<Record<string, unknown>>
  readonly window?: Window
  readonly stream?: string
  readonly nowMs?: number
}

/** Reads the window whole; its rows, and the error that ended it. */
async function read(vendor: ScriptedVendor, { config = {}, window = WINDOW, stream = 'diagram_9', nowMs = NOW }: Open = {}) {
  const parsed = wolkvox.config.parse({ token: 'the-token', baseUrl: `${vendor.url}/api/v2/`, ...config })
  const { http, clock, lines } = httpFor(wolkvox.http(parsed as never), nowMs, vendor)
  const pages: Page[] = []
  const scope = { name: 'acme', botId: null }
  const of = wolkvox.streams[stream] as Stream
  try {
    for await (const page of of.read({ config: parsed as never, scope, window, resume: null, nowMs, http })) pages.push(page)
    return { pages, rows: pages.flatMap(page => page.rows), error: null, lines, waitedMs: clock.now() - nowMs }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { pages, rows: pages.flatMap(page => page.rows), error: thrown, lines, waitedMs: clock.now() - nowMs }
  } finally {
    await http.close()
  }
}

const asked = (date_ini: string, date_end: string, answer: Partial<Step> = {}, api = 'diagram_9'): Step => ({
  path: PATH,
  query: { api, date_ini, date_end },
  ...answer,
})
const good = (data: unknown, more: object = {}) => ({
  body: { code: 200, error: null, msg: 'N records were found', data, ...more },
})
const bad = (status: number, error: string, msg: string): Partial<Step> => ({ status, body: { code: status, error, msg } })
const EMPTY = bad(404, 'NOT FOUND', 'Validate dates entered')
const turn = (date: string, more: object = {}) => ({
  session_id: '573.1040.2985',
  channel: 'web',
  rp_id: '4471',
  date,
  customer_query: 'hola',
  routing_answer: 'Bienvenida',
  conn_id: '7',
  ...more,
})
const first = (answer: Partial<Step>) => asked('20261109085959', '20261109090500', answer)

describe('asks', () => {
  test('with the documented parameters, in local time, a second more on either side, and the token in its own header', async () => {
    const vendor = await scriptedVendor([
      { ...first(good([])), sent: { headers: { 'wolkvox-token': 'the-token', wolkvox_server: null, authorization: null } } },
    ])
    expect(await read(vendor)).toMatchObject({ error: null, pages: [{ rows: [], resume: null }] })
  })

  test.each(['diagram_9', 'chat_8', 'chat_2', 'diagram_13', 'chat_11'])('for %s by its name', async stream => {
    const vendor = await scriptedVendor([asked('20261109085959', '20261109090500', good([]), stream)])
    expect((await read(vendor, { stream })).error).toBeNull()
  })

  test.each([
    ['the host alone', ''],
    ['the root', '/api/v2'],
    ['the address of a report', '/api/v2/reports_manager.php?api=diagram_9'],
  ])('below the API root where base.url is %s', async (_, path) => {
    const vendor = await scriptedVendor([first(good([]))])
    expect((await read(vendor, { config: { baseUrl: vendor.url + path } })).error).toBeNull()
  })

  test('below what base.url names of a proxy, or below api/v2 there', async () => {
    const at = (path: string, answer: Partial<Step>): Step => ({ ...first(answer), path })
    const vendor = await scriptedVendor([
      at('/wolkvox/reports_manager.php', { status: 404, raw: '<h1>Not Found</h1>' }),
      at('/wolkvox/api/v2/reports_manager.php', good([turn('2026-11-09 09:01:00')])),
      at('/wolkvox/reports_manager.php', good([turn('2026-11-09 09:01:00')])),
    ])
    const config = { baseUrl: `${vendor.url}/wolkvox` }
    for (let times = 0; times < 2; times++) expect((await read(vendor, { config })).rows).toHaveLength(1)
  })

  test('with the server in a header of its own where that is wanted', async () => {
    const vendor = await scriptedVendor([{ ...first(good([])), sent: { headers: { wolkvox_server: '0010' } } }])
    expect((await read(vendor, { config: { server: 'wv0010', sendServer: true } })).error).toBeNull()
  })

  test('in the zone of the config', async () => {
    const vendor = await scriptedVendor([asked('20261109150000', '20261109150501', EMPTY)])
    const window = { fromMs: WINDOW.fromMs + 1, untilMs: WINDOW.untilMs + 1 }
    expect((await read(vendor, { config: { timezone: '+01:00' }, window })).error).toBeNull()
  })

  test('in two ranges where a local month ends in the window, neither with a second of the other month', async () => {
    const vendor = await scriptedVendor([
      asked('20261031235758', '20261031235959', good([turn('2026-10-31 23:59:59')])),
      asked('20261101000000', '20261101000100', good([turn('2026-11-01 00:00:00')])),
    ])
    const window = { fromMs: T('2026-11-01T04:57:59Z'), untilMs: T('2026-11-01T05:01:00Z') }
    expect((await read(vendor, { window })).rows).toHaveLength(2)
  })

  test.each([
    ['begins', '2026-11-01T05:00:00Z', '2026-11-01T05:00:10Z', '20261101000000', '20261101000010'],
    ['ends', '2026-11-01T04:59:50Z', '2026-11-01T05:00:00Z', '20261031235949', '20261031235959'],
  ])('not across a month end where the window %s with one', async (_, from, until, ini, end) => {
    const vendor = await scriptedVendor([asked(ini, end, EMPTY)])
    expect((await read(vendor, { window: { fromMs: T(from), untilMs: T(until) } })).error).toBeNull()
  })

  test('nothing for a window in which no second begins', async () => {
    const vendor = await scriptedVendor([])
    const window = { fromMs: WINDOW.fromMs + 1, untilMs: WINDOW.fromMs + 900 }
    expect((await read(vendor, { window })).pages).toEqual([{ rows: [], resume: null }])
  })

  test('from the least to the most that the clock shows where it is put back', async () => {
    const vendor = await scriptedVendor([asked('20261025015959', '20261025030000', EMPTY)])
    const window = { fromMs: T('2026-10-25T00:30:00Z'), untilMs: T('2026-10-25T01:30:00Z') }
    expect((await read(vendor, { config: { timezone: 'Europe/Madrid' }, window })).error).toBeNull()
  })
})

describe('keeps', () => {
  test('rows of the window, and leaves those of the seconds around it to their own window', async () => {
    const rows = ['08:59:59', '09:00:00', '09:04:59', '09:05:00'].map(time => turn(`2026-11-09 ${time}`))
    const vendor = await scriptedVendor([first(good(rows))])
    expect((await read(vendor)).rows).toEqual([rows[1], rows[2]])
  })

  test('every chat that comes, as it is not known by which of its times the vendor selects', async () => {
    const chat = { conn_id: '7', start_date: '2026-11-08 10:00:00', end_date: '2026-11-09 09:01:00' }
    const vendor = await scriptedVendor([asked('20261109085959', '20261109090500', good([chat]), 'chat_8')])
    expect((await read(vendor, { stream: 'chat_8' })).rows).toEqual([chat])
  })

  test('with a chat of chat_2 its routing point, which chat_8 tells', async () => {
    const [one, other] = ['7', '8'].map(conn_id => ({ conn_id, conversation: [] }))
    const chat = { conn_id: 7, rp_id: '4471', start_date: '2026-11-09 09:00:00' }
    const vendor = await scriptedVendor([
      asked('20261109085959', '20261109090500', good([one, other]), 'chat_2'),
      asked('20261109085959', '20261109090500', good([chat, 'no row']), 'chat_8'),
    ])
    const { rows } = await read(vendor, { stream: 'chat_2' })
    expect(rows).toEqual([{ ...one, 'colloquy:rp_id': '4471' }, other])
    const stream = wolkvox.streams['chat_2'] as Stream
    const mark = (row: unknown) => stream.fingerprint?.(stream.row.parse(row) as never, null as never)
    expect(mark(rows[0])).toBe(mark(one))
  })

  test.each<[string, Record<string, unknown>, unknown[]]>([
    ['there is no chat', {}, []],
    ['that is not wanted', { findBots: false }, [{ conn_id: '7' }]],
    ['chat_8 is not read', { streams: ['chat_2'] }, [{ conn_id: '7' }]],
  ])('nothing of chat_8 where %s', async (_, config, rows) => {
    const vendor = await scriptedVendor([asked('20261109085959', '20261109090500', good(rows), 'chat_2')])
    expect((await read(vendor, { config, stream: 'chat_2' })).rows).toEqual(rows)
  })

  test('rows that cannot be read, for rejects', async () => {
    const vendor = await scriptedVendor([first(good([turn('yesterday'), 'no row', null]))])
    expect((await read(vendor)).rows).toHaveLength(3)
  })

  test('two rows that say the same in one second apart, by the same ids in any window and order', async () => {
    const stream = wolkvox.streams['diagram_9'] as Stream
    const ids = (rows: readonly unknown[]) => rows.map(row => stream.identify(stream.row.parse(row) as never)).sort()
    const [a, b] = [
      turn('2026-11-09 09:01:00', { customer_name: 'Ana' }),
      turn('2026-11-09 09:01:00', { customer_name: 'Berta' }),
    ]
    const vendor = await scriptedVendor([first(good([a, b, a])), asked('20261109090059', '20261109090101', good([a, a, b]))])
    const one = await read(vendor)
    const other = await read(vendor, { window: { fromMs: T('2026-11-09T14:01:00Z'), untilMs: T('2026-11-09T14:01:01Z') } })
    expect(new Set(ids(one.rows)).size).toBe(3)
    expect(ids(other.rows)).toEqual(ids(one.rows))
    const byId = (rows: readonly unknown[]) =>
      rows.map(row => `${ids([row])[0]} ${(row as { customer_name: string }).customer_name}`).sort()
    expect(byId(other.rows)).toEqual(byId(one.rows))
  })
})

describe('takes as empty', () => {
  test.each<[string, Partial<Step>]>([
    ['404 that blames the dates', EMPTY],
    ['404 with the code as text', { status: 404, body: { code: '404', error: 'NOT FOUND', msg: 'validate dates entered' } }],
    ['404 with the words alone', { status: 404, raw: 'Validate dates entered' }],
    ["404 in the vendor's form without words", { status: 404, body: { code: 404, error: 'NOT FOUND' } }],
    ['404 with an empty list', { status: 404, body: [] }],
    ['404 that finds no records', { status: 404, body: { msg: 'No records found' } }],
    ['404 in the body of a good answer', { body: { code: '404', error: 'NOT FOUND', msg: 'Validate dates entered' } }],
    ['400 that blames the dates', bad(400, 'BAD REQUEST', 'Validate dates entered')],
    ['204', { status: 204 }],
    ['an empty list', good([])],
    ['null', good(null, { msg: '0 records were found' })],
    ['no data where there are no records', { body: { code: '200', error: 'null', msg: '0 Records were found' } }],
  ])('%s', async (_, answer) => {
    const vendor = await scriptedVendor([first(answer)])
    expect(await read(vendor)).toMatchObject({ error: null, pages: [{ rows: [], resume: null }] })
  })

  test.each<[string, Partial<Step>, string, number]>([
    ['404 of a web server', { status: 404, raw: '<html><h1>Not Found</h1></html>' }, 'SRC_REFUSED', 1],
    ['404 without a body', { status: 404 }, 'SRC_REFUSED', 1],
    [
      '404 of another API',
      { status: 404, body: { message: 'Route not found', error: 'Not Found', statusCode: 404 } },
      'SRC_REFUSED',
      1,
    ],
    ['404 of a gateway', { status: 404, body: { code: 404, error: 'Not Found', message: 'no route' } }, 'SRC_REFUSED', 1],
    ['404 of a site', { status: 404, body: { code: 'rest_no_route', message: 'x', data: { status: 404 } } }, 'SRC_REFUSED', 1],
    ['a good answer without a body', { raw: '' }, 'SRC_MALFORMED', 5],
    ['rows that are promised and do not come', good(null, { msg: '5 records were found' }), 'SRC_MALFORMED', 5],
    ['no data and no word of it', { body: { code: 200 } }, 'SRC_MALFORMED', 5],
    ['a page', { raw: '<html>welcome</html>' }, 'SRC_MALFORMED', 5],
    ['an empty object', { body: {} }, 'SRC_MALFORMED', 5],
    ['null by itself', { raw: 'null' }, 'SRC_MALFORMED', 5],
    ['a bare list', { body: [] }, 'SRC_MALFORMED', 5],
    ['a text', { raw: '""' }, 'SRC_MALFORMED', 5],
    ['an error beside an empty list', { body: { code: 200, error: 'out of memory', data: [] } }, 'SRC_MALFORMED', 5],
    ['a status that says failure', { body: { status: 'fail', data: null } }, 'SRC_MALFORMED', 5],
  ])('never %s', async (_, answer, code, times) => {
    const vendor = await scriptedVendor(Array.from({ length: times }, () => first(answer)))
    expect(await read(vendor)).toMatchObject({ error: { code }, pages: [] })
  })
})

test.each([
  { code: 200, data: null },
  { code: 200, data: {} },
])('no rows in a shape that no document shows are believed when they come twice: %j', async body => {
  const nothing = first({ body })
  const vendor = await scriptedVendor([nothing, nothing])
  expect(await read(vendor)).toMatchObject({ error: null, pages: [{ rows: [], resume: null }] })
  const once = await scriptedVendor([nothing, first(good([turn('2026-11-09 09:01:00')]))])
  expect((await read(once)).rows).toHaveLength(1)
})

test.each<[string, object]>([
  ['a number', { code: 200 }],
  ['text', { code: '200', error: 'null' }],
  ['"0"', { code: '0' }],
  ['nothing', { code: undefined }],
])('reads an answer whose code is %s', async (_, more) => {
  const vendor = await scriptedVendor([first(good([turn('2026-11-09 09:01:00')], more))])
  expect((await read(vendor)).rows).toHaveLength(1)
})

describe('a turn that tells no chat', () => {
  const past = { fromMs: T('2026-11-08T14:00:00Z'), untilMs: T('2026-11-08T15:00:00Z') }
  const chatOf = (conn_id: string, from: string, to: string, more: object = {}) => ({
    conn_id,
    session_id: '573.1040.2985',
    rp_id: '4471',
    start_date: `2026-11-08 ${from}`,
    end_date: to === '' ? '' : `2026-11-08 ${to}`,
    ...more,
  })
  const turns = (answer: Partial<Step>) => asked('20261108085959', '20261108100000', answer)
  const chats = (answer: Partial<Step>) => asked('20261107085959', '20261109100000', answer, 'chat_8')
  const unnamed = ['09:00:30', '09:10:00', '09:20:00', '09:30:00', '09:59:00'].map(time =>
    turn(`2026-11-08 ${time}`, { conn_id: '0' }),
  )
  const namesOf = (rows: readonly unknown[]) =>
    rows.map(row => ((wolkvox.streams['diagram_9'] as Stream).row.parse(row) as { connId: string | null }).connId)

  test('goes to the one that its customer had then, where the window lies back', async () => {
    const told = [
      chatOf('1', '09:01:00', '09:15:00'),
      chatOf('2', '09:15:00', '09:25:00'),
      chatOf('3', '09:28:00', '09:31:00', { rp_id: '9' }),
      chatOf('4', '09:28:00', '09:31:00', { session_id: '574.1040.2985' }),
      chatOf('5', '09:50:00', ''),
      { conn_id: '6' },
    ]
    const vendor = await scriptedVendor([turns(good([...unnamed, turn('2026-11-08 09:59:30')])), chats(good(told))])
    expect(namesOf((await read(vendor, { window: past })).rows)).toEqual(['1', '1', '2', null, '5', '7'])
  })

  test.each<[string, Partial<Step>]>([
    ['is refused', bad(400, 'BAD REQUEST', 'THE API YOU WANT TO CONSULT DOES NOT EXIST')],
    ['has no rows', EMPTY],
  ])('is read without it where chat_8 %s', async (_, answer) => {
    const vendor = await scriptedVendor([turns(good(unnamed)), chats(answer)])
    expect((await read(vendor, { window: past })).rows).toEqual(unnamed)
  })

  test('is looked for in halves where chat_8 has too many', async () => {
    const half = (ini: string, end: string, answer: Partial<Step>) => asked(ini, end, answer, 'chat_8')
    const vendor = await scriptedVendor([
      turns(good(unnamed)),
      chats({ status: 413, body: {} }),
      half('20261107085959', '20261108093000', good([chatOf('1', '09:01:00', '09:15:00')])),
      half('20261108092959', '20261109100000', good([chatOf('5', '09:50:00', '')])),
    ])
    expect(namesOf((await read(vendor, { window: past })).rows)).toEqual(['1', '1', null, null, '5'])
  })

  test.each<[string, Open]>([
    ['where that is switched off', { window: past, config: { findChats: false } }],
    ['where chat_8 is not read', { window: past, config: { streams: ['diagram_9'] } }],
  ])('costs no call %s', async (_, open) => {
    const vendor = await scriptedVendor([turns(good(unnamed))])
    expect((await read(vendor, open)).error).toBeNull()
  })

  test('costs no call where every turn tells its own', async () => {
    const vendor = await scriptedVendor([turns(good([turn('2026-11-08 09:59:30')]))])
    expect((await read(vendor, { window: past })).rows).toHaveLength(1)
  })
})

test('reads an answer behind warnings of PHP, and nothing that only looks like one', async () => {
  const json = JSON.stringify(good([turn('2026-11-09 09:01:00')]).body)
  const warned = [
    `<br />\n<b>Warning</b>:  Undefined array key "a" in <b>/x.php</b> on line <b>12</b><br />\n${json}`,
    `PHP Notice:  Undefined index: [a]{b} in /x.php on line 3\n[x]\nDeprecated: y\n${json}`,
    `<br />\n<b>Deprecated</b>: z<br /><br />\n<b>Warning</b>: a<br />${json}`,
  ]
  const vendor = await scriptedVendor(warned.map(raw => first({ raw })))
  for (let times = 0; times < warned.length; times++) expect((await read(vendor)).rows).toHaveLength(1)
  for (const raw of [`Welcome\n${json}`, `<b>Warning</b>: only words`, `<b>Warning</b>: cut\n${json.slice(0, -1)}`]) {
    vendor.expect(...Array.from({ length: 5 }, () => first({ raw })))
    expect((await read(vendor)).error?.code).toBe('SRC_MALFORMED')
  }
})

describe('chat_11', () => {
  const row = (more: object) => ({
    conn_id: '7',
    transfer_agent_id: '44710',
    transfer_agent_dni: 'D1',
    receiver_agent_id: '4471',
    receiver_agent_dni: '',
    date: '2026-11-09 09:01:00',
    ...more,
  })
  const transfers = (rows: readonly object[]) => asked('20261109085959', '20261109090500', good(rows), 'chat_11')
  const typesOf = (rows: readonly unknown[]) => {
    const stream = wolkvox.streams['chat_11'] as Stream
    const config = wolkvox.config.parse({ token: 't', server: '1' })
    const ctx = rowContext({
      vendor: 'wolkvox',
      account: 'acme',
      connector: 'w',
      config,
      scope: { name: 'acme', botId: null },
      observedAtMs: NOW,
      lookbackMs: 0,
    })
    return rows.map(raw =>
      stream
        .normalise(stream.row.parse(raw) as never, ctx)
        .map(({ record }) => ('type' in record ? record.type : ''))
        .join(),
    )
  }

  test('asks for the routing points where a receiver may be one', async () => {
    const vendor = await scriptedVendor([
      transfers([row({}), row({ receiver_agent_id: '12', conn_id: '8' })]),
      { path: '/api/v2/information.php', query: { api: 'routing_points' }, ...good([{ rp_id: '4471', rp_name: 'Ventas' }]) },
    ])
    const { rows, error } = await read(vendor, { stream: 'chat_11' })
    expect([error, typesOf(rows)]).toEqual([null, ['flow_transition', 'agent_transfer_requested']])
  })

  test.each<[string, object, Record<string, unknown>]>([
    ['where every receiver is a person', { receiver_agent_dni: 'D2' }, {}],
    ['where that is switched off', {}, { findReceivers: false }],
  ])('asks for none %s', async (_, more, config) => {
    const vendor = await scriptedVendor([transfers([row(more)])])
    expect(typesOf((await read(vendor, { stream: 'chat_11', config })).rows)).toEqual(['agent_transfer_requested'])
  })
})

test('asks for cases of mail without their files', async () => {
  const step = asked('20261109085959', '20261109090500', good([]), 'chat_4')
  const vendor = await scriptedVendor([{ ...step, query: { ...step.query, attach_array: 'yes', include_attachments: 'false' } }])
  expect((await read(vendor, { stream: 'chat_4' })).error).toBeNull()
})

test('puts messages of chat_2 that come one a row together by chat, and leaves chats as they are', async () => {
  const said = (conn_id: string, message: string) => ({
    conn_id,
    agent_name: 'Robin',
    from: 'AGENT',
    date: '2026-11-09 09:01:00',
    message,
  })
  const chat = { conn_id: '9', conversation: [] }
  const rows = [said('7', 'a'), said('8', 'b'), chat, said('7', 'c')]
  const vendor = await scriptedVendor([asked('20261109085959', '20261109090500', good(rows), 'chat_2')])
  expect((await read(vendor, { stream: 'chat_2', config: { findBots: false } })).rows).toEqual([
    { conn_id: '7', conversation: [rows[0], rows[3]] },
    { conn_id: '8', conversation: [rows[1]] },
    chat,
  ])
})

test('reads a lone object as one row', async () => {
  const vendor = await scriptedVendor([first(good(turn('2026-11-09 09:01:00')))])
  expect((await read(vendor)).rows).toHaveLength(1)
})

describe('403', () => {
  const forbidden = (msg: string) => first(bad(403, 'FORBIDDEN', msg))

  test.each([
    ['too many at once: waits a few seconds', 'EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)', 10 * SECOND],
    ['too many at once, in other words: the same', 'Too many concurrent requests for this token', 10 * SECOND],
    ['the calls of the day used up: asks again every hour', 'Token limit exceeded', HOUR],
    ['the calls of the day used up, in Spanish: the same', 'Límite diario de tokens alcanzado', HOUR],
    ['a maintenance: waits minutes', 'Scheduled backup', 120 * SECOND],
    ['a maintenance that speaks of tokens: the same', 'Tokens are off while under maintenance', 120 * SECOND],
  ])('%s', async (_, msg, waitMs) => {
    const vendor = await scriptedVendor([forbidden(msg), first(good([]))])
    expect(await read(vendor)).toMatchObject({ error: null, waitedMs: waitMs })
  })

  test('of an unknown kind that stays is a failing vendor, which is never given up', async () => {
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => forbidden('')))
    expect((await read(vendor)).error).toMatchObject({ code: 'SRC_SERVER_ERROR', details: { vendorCode: 'maintenance' } })
  })

  test('a bad token is refused at once, and stands nowhere in the log', async () => {
    const vendor = await scriptedVendor([forbidden('PLEASE VALIDATE TOKEN')])
    const { error, lines } = await read(vendor)
    expect(error?.code).toBe('SRC_UNAUTHORISED')
    expect(`${JSON.stringify(error?.details)}${lines.join('')}`).not.toContain('the-token')
  })

  test('in the body of a good answer is the same', async () => {
    const answer = first({ body: { code: '403', error: 'FORBIDDEN', msg: 'please validate token' } })
    const vendor = await scriptedVendor(Array.from({ length: 4 }, () => answer))
    expect((await read(vendor)).error?.code).toBe('SRC_UNAUTHORISED')
  })
})

test.each<[string, Partial<Step>, string]>([
  ['an unknown report', bad(400, 'BAD REQUEST', 'THE API YOU WANT TO CONSULT DOES NOT EXIST'), 'SRC_REFUSED'],
  ['a missing parameter', bad(400, 'BAD REQUEST', 'SOME PARAMETERS ARE REQUIRED'), 'SRC_REFUSED'],
  ['a method that is not allowed', { status: 405, body: {} }, 'SRC_REFUSED'],
  ['an unknown report, told with 404', bad(404, 'BAD REQUEST', 'THE API YOU WANT TO CONSULT DOES NOT EXIST'), 'SRC_REFUSED'],
])('%s is a refusal', async (_, answer, code) => {
  const vendor = await scriptedVendor([first(answer)])
  expect((await read(vendor)).error?.code).toBe(code)
})

test('a missing token is refused credentials', async () => {
  const vendor = await scriptedVendor(
    Array.from({ length: 4 }, () => first(bad(401, 'UNAUTHORIZED', 'PLEASE ENTER THE WOLKVOX-TOKEN'))),
  )
  expect((await read(vendor)).error?.code).toBe('SRC_UNAUTHORISED')
})

describe('an answer that may be cut off', () => {
  const many = (count: number, date = '2026-11-09 09:01:00') =>
    Array.from({ length: count }, (_, n) => turn(date, { customer_query: `q${n}` }))
  const config = { maxRowsTurns: 3, maxRows: 4 }
  const oneSecond = { fromMs: T('2026-11-09T14:01:00Z'), untilMs: T('2026-11-09T14:01:01Z') }
  const around = (answer: Partial<Step>) => asked('20261109090059', '20261109090101', answer)
  const alone = (answer: Partial<Step>) => asked('20261109090100', '20261109090100', answer)

  test('has the window halved before a row of it is given', async () => {
    const vendor = await scriptedVendor([first(good(many(3)))])
    expect(await read(vendor, { config })).toMatchObject({ error: { code: 'SRC_WINDOW_TOO_LARGE' }, pages: [] })
  })

  test('is known by 6,000 rows of diagram_9 and 60,000 of another report, unless the config says otherwise', () => {
    expect(wolkvox.config.parse({ token: 't', server: '1' })).toMatchObject({ maxRowsTurns: 6000, maxRows: 60_000 })
  })

  test('of another report has another limit', async () => {
    const rows = many(3)
    const vendor = await scriptedVendor([asked('20261109085959', '20261109090500', good(rows), 'diagram_13')])
    expect((await read(vendor, { config, stream: 'diagram_13' })).error).toBeNull()
  })

  test.each<[string, Partial<Step>]>([
    ['an error that asks for other dates', bad(400, 'BAD REQUEST', 'More than 6000 records, please narrow the dates')],
    ['413', { status: 413, body: {} }],
    [
      'the same words with the status of an empty window',
      bad(404, 'NOT FOUND', 'The query exceeds 6000 records, reduce the dates'),
    ],
    ['the same words with 403', bad(403, 'FORBIDDEN', 'The query exceeds 6000 records, reduce the dates')],
    ['the same words with 500', bad(500, 'ERROR', 'La consulta supera los 6000 registros')],
  ])('may be told as %s', async (_, answer) => {
    const vendor = await scriptedVendor([first(answer)])
    expect((await read(vendor, { config })).error?.code).toBe('SRC_WINDOW_TOO_LARGE')
  })

  test('at one second is asked for again without the seconds around it', async () => {
    const vendor = await scriptedVendor([around(good([...many(2), ...many(2, '2026-11-09 09:01:01')])), alone(good(many(2)))])
    expect((await read(vendor, { config, window: oneSecond })).rows).toHaveLength(2)
  })

  test('and still is: what came is kept, and a row in rejects tells of the rest', async () => {
    const vendor = await scriptedVendor([around(good(many(3))), alone(good(many(3)))])
    const { rows, error } = await read(vendor, { config, window: oneSecond })
    expect([rows.length, error]).toEqual([4, null])
    const parsed = (wolkvox.streams['diagram_9'] as Stream).row.safeParse(rows[3])
    expect(parsed.error?.issues[0]?.message).toBe('the vendor cut this second off at 3 rows, and no less can be asked for')
  })

  test('where ends are exclusive, what came with the seconds around it is kept', async () => {
    const vendor = await scriptedVendor([around(good(many(3))), alone(EMPTY)])
    expect((await read(vendor, { config, window: oneSecond })).rows).toHaveLength(4)
  })

  test('a vendor that fails in time has the window halved, but not below a minute', async () => {
    const late: Partial<Step> = { status: 504, body: {} }
    const vendor = await scriptedVendor(Array.from({ length: 5 }, () => first(late)))
    expect((await read(vendor)).error?.code).toBe('SRC_WINDOW_TOO_LARGE')
    vendor.expect(...Array.from({ length: 5 }, () => around(late)))
    expect((await read(vendor, { window: oneSecond })).error?.code).toBe('SRC_SERVER_ERROR')
  })
})

describe('a window that fails each time', () => {
  const failing = Array.from({ length: 5 }, () => first({ status: 500, body: {} }))
  const second = (answer: Partial<Step>) => asked('20261109085959', '20261109090000', answer)

  test('is halved where a second of it is answered', async () => {
    const vendor = await scriptedVendor([...failing, second(EMPTY)])
    expect((await read(vendor)).error?.code).toBe('SRC_WINDOW_TOO_LARGE')
  })

  test('is not where the vendor is down, nor below a minute', async () => {
    const down = { status: 500, body: {} }
    const vendor = await scriptedVendor([...failing, ...Array.from({ length: 5 }, () => second(down))])
    expect((await read(vendor)).error?.code).toBe('SRC_SERVER_ERROR')
    vendor.expect(...Array.from({ length: 5 }, () => asked('20261109085959', '20261109090100', down)))
    const window = { fromMs: WINDOW.fromMs, untilMs: WINDOW.fromMs + 60 * SECOND }
    expect((await read(vendor, { window })).error?.code).toBe('SRC_SERVER_ERROR')
  })
})

describe('config', () => {
  const faults = (flat: Record<string, unknown>) => {
    const parsed = parseConnectorConfig('w', { 'connector.class': 'wolkvox', ...flat }, wolkvox)
    return parsed.ok ? [] : parsed.faults.map(({ path, message }) => `${path} ${message}`)
  }

  test('needs a token and an address or a server', () => {
    expect(faults({})).toEqual(['connectors.w.token is required', 'connectors.w.base.url is required, or `server` in its place'])
  })

  test('refuses a zone that there is not, and a report that is not read', () => {
    const wrong = faults({ token: 't', server: '0010', timezone: 'Bogota', streams: 'diagram_9,chat_99' })
    expect(wrong.map(fault => fault.split(' ')[0])).toEqual(
      expect.arrayContaining(['connectors.w.timezone', 'connectors.w.streams']),
    )
  })

  test.each([['0010'], ['wv0010'], [10]])('makes the address of the server %s', server => {
    const parsed = parseConnectorConfig('w', { 'connector.class': 'wolkvox', token: 't', server }, wolkvox)
    expect(parsed.ok && wolkvox.http(parsed.config as never).baseUrl).toBe('https://wv0010.wolkvox.com/api/v2')
  })

  test('reads all five reports unless it names some, and the connector knows which', () => {
    const parse = (flat: object) =>
      parseConnectorConfig('w', { 'connector.class': 'wolkvox', token: 't', server: '1', ...flat }, wolkvox)
    const all = parse({})
    expect(all.ok && [all.base.streams, (all.config as { streams: unknown }).streams]).toEqual([
      ['diagram_9', 'chat_8', 'chat_2', 'diagram_13', 'chat_11'],
      ['diagram_9', 'chat_8', 'chat_2', 'diagram_13', 'chat_11'],
    ])
    const one = parse({ streams: 'diagram_9' })
    expect(one.ok && [one.base.streams, (one.config as { streams: unknown }).streams]).toEqual([['diagram_9'], ['diagram_9']])
  })

  test('keeps one operation of one licence below a thousand calls a day', () => {
    const byDefault = Object.entries(wolkvox.streams).filter(
      ([name]) => wolkvox.manifest.optionalStreams?.includes(name) === false,
    )
    const calls = byDefault.map(([name, { window }]) => {
      const {
        pollIntervalMs = wolkvox.manifest.pollIntervalMs,
        lookbackMs,
        lookbackIntervalMs = 15 * 60_000,
        longestMs,
      } = typeof window === 'function' ? window(null as never) : window
      const windows = DAY / pollIntervalMs + (DAY / lookbackIntervalMs) * Math.ceil((lookbackMs + lookbackIntervalMs) / longestMs)
      // Beside `chat_2` the bots are asked for, beside `chat_8` the turns that hand over.
      return name === 'chat_2' || name === 'chat_8' ? 2 * windows : windows
    })
    expect(calls.reduce((sum, each) => sum + each, 0)).toBe(976)
  })
})

/** Reads every stream of a simulator's world, halving windows where the connector asks for it, and gives the newest record of each key. */
async function readWorld(
  options: Partial<WolkvoxOptions>,
  config: Record<string, unknown> = {},
): Promise<{ told: Truth; truth: Truth }> {
  const fromMs = T('2026-10-30T00:00:00Z')
  const world = createWorld({ seed: 11, sessions: 60, fromMs, untilMs: fromMs + 2 * DAY, transferShare: 0.4 })
  const nowMs = fromMs + 5 * DAY
  const simulator = await startWolkvoxSimulator({ world, now: () => nowMs, ...options })
  onTestFinished(() => simulator.stop())
  const parsed = parseConnectorConfig('w', { 'connector.class': 'wolkvox', ...simulator.config, ...config }, wolkvox)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const { http } = httpFor(wolkvox.http(parsed.config as never), nowMs)
  const scope = { name: 'acme', botId: null }
  const records = new Map<string, Draft>()
  for (const [name, stream] of Object.entries(wolkvox.streams)) {
    if (wolkvox.manifest.optionalStreams?.includes(name) === true) continue
    const ctx = rowContext({
      vendor: 'wolkvox',
      account: 'acme',
      connector: 'w',
      config: parsed.config,
      scope,
      observedAtMs: nowMs,
      lookbackMs: 2 * HOUR,
    })
    const windows = split({ fromMs: fromMs - DAY, untilMs: nowMs }, DAY)
    for (let window = windows.shift(); window !== undefined; window = windows.shift()) {
      try {
        for await (const page of stream.read({ config: parsed.config as never, scope, window, resume: null, nowMs, http })) {
          const rows = page.rows.map(raw => stream.row.parse(raw) as never)
          const args = { config: parsed.config as never, scope, rows, nowMs, http }
          for (const row of (await stream.enrich?.(args)) ?? rows)
            for (const draft of stream.normalise(row as never, ctx)) {
              const { kind, record } = draft
              const key = kind === 'session' ? record.session_key : kind === 'message' ? record.message_key : record.event_key
              const before = records.get(`${kind} ${key}`)
              if (before !== undefined && kind !== 'session' && name.startsWith('diagram')) throw new Error(`${key} came twice`)
              records.set(`${kind} ${key}`, draft)
            }
        }
      } catch (error) {
        const halves = error instanceof FlowError && error.code === 'SRC_WINDOW_TOO_LARGE' ? halve(window, SECOND) : null
        if (halves === null) throw error
        windows.unshift(...halves)
      }
    }
  }
  const of = (kind: Draft['kind']) => [...records.values()].filter(draft => draft.kind === kind).map(draft => draft.record)
  const told = { sessions: of('session'), messages: of('message'), events: of('event') } as Truth
  return { told, truth: truthOf(simulator, nowMs) }
}

/** Sorted entries, each by the fields that the truth tells. */
function entries(list: readonly object[], like: readonly object[]): string[] {
  const names = Object.keys(like[0] ?? {}).sort()
  return list.map(each => JSON.stringify(names.map(name => (each as Record<string, unknown>)[name]))).sort()
}

describe('a whole read of a world over a month end', () => {
  test.each<[string, Partial<Quirks>]>([
    ['as documented', {}],
    ['with exclusive ends', { edges: 'exclusive' }],
    ['with equal rows in one second', { twins: true, order: 'shuffled' }],
    ['with many rows in one second', { tied: true, twins: true, order: 'newest' }],
    ['with other forms', { misspelt: true, blank: '-', durations: 'seconds', code: 'zero', nullError: true, loneObject: true }],
    ['with errors as good answers, and no data for no rows', { errorsAs200: true, empty: 'absent' }],
    ['with empty lists, and chats of the bot in chat_2', { empty: 'list', botChats: true }],
    ['with chats selected by their beginning', { chatDate: 'opening', empty: 'null' }],
    ['with months that must not be crossed, and words masked', { monthRule: true, masked: true }],
  ])('tells what happened, %s', async (_, quirks) => {
    const { told, truth } = await readWorld({ quirks })
    expect(truth.sessions.length).toBe(60)
    for (const kind of ['sessions', 'messages', 'events'] as const)
      expect(entries(told[kind], truth[kind])).toEqual(entries(truth[kind], truth[kind]))
  })

  test.each<[string, Partial<Quirks>]>([
    ['cut off in silence', { overflow: 'cut' }],
    ['refused', { overflow: 'error' }],
    ['cut off in silence, newest first, with exclusive ends', { overflow: 'cut', order: 'newest', edges: 'exclusive' }],
  ])('tells what happened where many rows are %s', async (_, quirks) => {
    const { told, truth } = await readWorld({ quirks, turnRows: 40, rows: 8 }, { 'max.rows.turns': 40, 'max.rows': 8 })
    for (const kind of ['sessions', 'messages', 'events'] as const)
      expect(entries(told[kind], truth[kind])).toEqual(entries(truth[kind], truth[kind]))
  })

  test.each(['Europe/Madrid', 'America/Santiago', 'Asia/Kathmandu'])('tells what happened in %s', async zone => {
    const { told, truth } = await readWorld({ zone })
    expect(entries(told.sessions, truth.sessions)).toEqual(entries(truth.sessions, truth.sessions))
    expect(entries(told.messages, truth.messages)).toEqual(entries(truth.messages, truth.messages))
  })
})

describe.each([
  ['of all reports', subject],
  ['of turns alone, whose sessions are derived', subjectTurns],
])('conformance %s', (_, each) => {
  conforms(each)
})
