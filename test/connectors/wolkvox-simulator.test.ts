import { afterEach, describe, expect, test } from 'vitest'
import {
  BOT_NAME,
  type Chat,
  type Quirks,
  startWolkvoxSimulator,
  type WolkvoxOptions,
  type WolkvoxSimulator,
} from '../../connectors/wolkvox/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'

/** The simulator against the vendor's documents, and its switches against what clients have met. */
const HOUR = 3_600_000
const DAY = 24 * HOUR
const FROM = Date.parse('2026-10-30T05:00:00Z')
const NOW = FROM + 6 * DAY
const world = createWorld({ seed: 5, sessions: 120, fromMs: FROM, untilMs: FROM + 3 * DAY, transferShare: 0.4 })

type Row = Record<string, string> & { conversation: Record<string, string>[] }
interface Body {
  readonly code: number | string
  readonly error: string | null
  readonly msg: string
  readonly data?: Row[] | null
}

const running: WolkvoxSimulator[] = []

async function start(quirks: Partial<Quirks> = {}, options: Partial<WolkvoxOptions> = {}): Promise<WolkvoxSimulator> {
  const simulator = await startWolkvoxSimulator({ world, now: () => NOW, quirks, ...options })
  running.push(simulator)
  return simulator
}

afterEach(async () => {
  for (const simulator of running.splice(0)) await simulator.stop()
})

async function get(simulator: WolkvoxSimulator, path: string, headers: Record<string, string> | null = null) {
  const answer = await fetch(`${simulator.config['base.url']}/${path}`, {
    headers: headers ?? { 'wolkvox-token': simulator.config['token'] ?? '' },
  })
  const text = await answer.text()
  return { status: answer.status, text, body: (text.startsWith('{') ? JSON.parse(text) : null) as Body }
}

const report = (simulator: WolkvoxSimulator, api: string, ini = '20261030000000', end = '20261104000000') =>
  get(simulator, `reports_manager.php?api=${api}&date_ini=${ini}&date_end=${end}`)

async function rows(simulator: WolkvoxSimulator, api: string, ini?: string, end?: string): Promise<Row[]> {
  return (await report(simulator, api, ini, end)).body.data ?? []
}

function chats(simulator: WolkvoxSimulator): Chat[] {
  return Array.from({ length: 120 }, (_, index) => simulator.account.chat(index)).filter(chat => chat !== null)
}

const bogota = (ms: number) => new Date(ms - 5 * HOUR).toISOString().slice(0, 19).replace('T', ' ')
const fourteen = (date: string) => date.replaceAll(/\D/g, '')

describe('answers', () => {
  test.each<[string, string, Record<string, string> | null, number, string, string]>([
    ['without a token', 'reports_manager.php?api=diagram_9', {}, 401, 'UNAUTHORIZED', 'PLEASE ENTER THE WOLKVOX-TOKEN'],
    [
      'with a bad token',
      'reports_manager.php?api=diagram_9',
      { 'wolkvox-token': 'x' },
      403,
      'FORBIDDEN',
      'PLEASE VALIDATE TOKEN',
    ],
    [
      'for an unknown report',
      'reports_manager.php?api=chat_99',
      null,
      400,
      'BAD REQUEST',
      'THE API YOU WANT TO CONSULT DOES NOT EXIST',
    ],
    ['without dates', 'reports_manager.php?api=diagram_9', null, 400, 'BAD REQUEST', 'SOME PARAMETERS ARE REQUIRED'],
    ['without a report', 'reports_manager.php', null, 400, 'BAD REQUEST', 'SOME PARAMETERS ARE REQUIRED'],
    [
      'for a day in another form',
      'reports_manager.php?api=chat_8&date_ini=2026-10-30&date_end=2026-10-31',
      null,
      400,
      'BAD REQUEST',
      'SOME PARAMETERS ARE REQUIRED',
    ],
    [
      'for an empty window',
      'reports_manager.php?api=diagram_9&date_ini=20200101000000&date_end=20200102000000',
      null,
      404,
      'NOT FOUND',
      'Validate dates entered',
    ],
  ])('%s as documented, with the status in the body', async (_, path, headers, status, error, msg) => {
    const answer = await get(await start(), path, headers)
    expect(answer).toMatchObject({ status, body: { code: status, error, msg } })
    expect(answer.body.data).toBeUndefined()
  })

  test('an address that is no endpoint with a page of the web server', async () => {
    const { status, text } = await get(await start(), '../v1/reports.php')
    expect([status, text.startsWith('<!DOCTYPE')]).toEqual([404, true])
  })

  test('rows in an envelope, with a code that is a number in some reports and text in others', async () => {
    const simulator = await start()
    const [turns, closed] = [await report(simulator, 'diagram_9'), await report(simulator, 'chat_8')]
    expect(turns.body).toMatchObject({ code: 200, error: null, msg: `${turns.body.data?.length} records were found` })
    expect(closed.body.code).toBe('200')
  })

  test('nothing longer than 31 days', async () => {
    expect((await report(await start(), 'chat_8', '20261001000000', '20261102000000')).status).toBe(400)
  })

  test('the routing points, and what the token has used', async () => {
    const simulator = await start()
    expect((await get(simulator, 'information.php?api=routing_points')).body.data).toContainEqual({
      rp_id: '4471',
      rp_name: 'Order desk',
    })
    expect((await get(simulator, 'information.php?api=token_info')).body.data).toMatchObject([
      { token_requests: '2', limit: '100000' },
    ])
  })
})

describe('limits', () => {
  test('refuses the third call at once, and counts it', async () => {
    const simulator = await start({}, { answerMs: 100 })
    const answers = await Promise.all([1, 2, 3].map(() => report(simulator, 'chat_11')))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(2)
    expect(answers.find(({ status }) => status === 403)?.body.msg).toBe(
      'EXCEEDS THE LIMIT OF SIMULTANEOUS REQUESTS PER TOKEN (2)',
    )
    expect(simulator.refusedForQuota()).toBe(1)
  })

  test('refuses more than a thousand calls a day for each licence, until the local midnight', async () => {
    let arrivalMs = Date.parse('2026-11-05T04:59:00Z')
    const simulator = await start({}, { licences: 0.002, arrivalClock: () => arrivalMs })
    const statuses = async () => (await report(simulator, 'chat_11')).status
    expect([await statuses(), await statuses(), await statuses()]).toEqual([200, 200, 403])
    expect((await report(simulator, 'chat_11')).body.msg).toBe('TOKEN LIMIT EXCEEDED')
    arrivalMs += 60_000
    expect(await statuses()).toBe(200)
  })

  test('refuses everything while it is maintained', async () => {
    const simulator = await start()
    simulator.maintain('backup')
    expect(await report(simulator, 'chat_8')).toMatchObject({ status: 403, body: { error: 'FORBIDDEN', msg: 'backup' } })
    simulator.maintain(null)
    expect((await report(simulator, 'chat_8')).status).toBe(200)
  })

  test('cuts an answer off in silence, or refuses it', async () => {
    const few = { turnRows: 10, rows: 5 }
    const cut = await start({}, few)
    expect([(await rows(cut, 'diagram_9')).length, (await rows(cut, 'chat_8')).length]).toEqual([10, 5])
    expect(await report(await start({ overflow: 'error' }, few), 'chat_8')).toMatchObject({
      status: 400,
      body: { error: 'BAD REQUEST' },
    })
  })
})

describe('windows', () => {
  test.each<[Quirks['edges'], number]>([
    ['inclusive', 2],
    ['half-open', 1],
    ['exclusive', 0],
  ])('with %s ends hold %i of the two rows at their ends', async (edges, count) => {
    const all = await rows(await start(), 'diagram_9')
    const [first, last] = [all[0] as Row, all.at(-1) as Row]
    const between = all.filter(({ date }) => date !== first['date'] && date !== last['date']).length
    const got = await rows(await start({ edges }), 'diagram_9', fourteen(first['date'] ?? ''), fourteen(last['date'] ?? ''))
    expect(got.length - between).toBe(count)
  })

  test('select a chat by when it closed, so that one of the day before comes today', async () => {
    const simulator = await start()
    const today = await rows(simulator, 'chat_8', '20261031000000', '20261031235959')
    const expected = chats(simulator).filter(({ closedAtMs }) => bogota(closedAtMs).startsWith('2026-10-31'))
    expect(today.map(row => row['conn_id'] ?? '').sort()).toEqual(expected.map(({ connId }) => connId).sort())
    expect(today.some(row => row['start_date']?.startsWith('2026-10-30'))).toBe(true)
    expect(today.every(row => row['end_date']?.startsWith('2026-10-31'))).toBe(true)
  })

  test('select a chat by when it began where that is switched on, and show it before it has closed', async () => {
    const simulator = await start({ chatDate: 'opening' }, { now: () => FROM + DAY })
    const opened = await rows(simulator, 'chat_8', '20261030000000', '20261030235959')
    expect(opened.some(row => row['end_date'] === '')).toBe(true)
    expect(opened.every(row => row['start_date']?.startsWith('2026-10-30'))).toBe(true)
  })

  test('are of local time', async () => {
    const simulator = await start({}, { zone: 'Europe/Madrid' })
    const chat = chats(simulator)[0] as Chat
    const row = (await rows(simulator, 'chat_8')).find(each => each['conn_id'] === chat.connId)
    expect(row?.['start_date']).toBe(new Date(chat.openedAtMs + HOUR).toISOString().slice(0, 19).replace('T', ' '))
  })

  test('across a month end are refused where that is switched on', async () => {
    const simulator = await start({ monthRule: true })
    expect((await report(simulator, 'diagram_9')).status).toBe(400)
    expect((await report(simulator, 'diagram_9', '20261030000000', '20261031235959')).status).toBe(200)
  })

  test.each(['oldest', 'newest', 'shuffled'] as const)('may come %s first', async order => {
    const dates = (await rows(await start({ order }), 'diagram_9')).map(row => row['date'] ?? '')
    const sorted = dates.toSorted()
    expect(dates).toEqual(
      order === 'oldest' ? sorted : order === 'newest' ? sorted.toReversed() : expect.not.arrayContaining([0]),
    )
    expect(dates.toSorted()).toEqual(sorted)
    expect(order === 'shuffled' && dates.join() === sorted.join()).toBe(false)
  })
})

describe('rows', () => {
  test.each<[string, string]>([
    [
      'diagram_9',
      'session_id channel rp_id date customer_name customer_email customer_phone customer_query routing_answer customer_id conn_id',
    ],
    [
      'chat_8',
      `conn_id session_id times_chatted start_date end_date time_on_chatbot rp_id channel go_to_agent customer_phone customer_name agent_id agent_name
       time_with_agent total_time customer_chars agent_chars total_chars asa last_sender customer_id customer_email`,
    ],
    ['chat_2', 'conn_id agent_name customer_name conversation'],
    ['diagram_13', 'rp_id conn_id customer_id channel telephone attempt date second_event cod_opc_menu'],
    [
      'chat_11',
      `conn_id transfer_agent_id transfer_agent_name transfer_agent_dni receiver_agent_id receiver_agent_name receiver_agent_dni
       channel date`,
    ],
  ])('of %s have the documented fields, all text', async (api, names) => {
    const all = await rows(await start(), api)
    expect(all.length).toBeGreaterThan(0)
    for (const row of all) {
      expect(Object.keys(row)).toEqual(names.split(/\s+/))
      for (const value of Object.values(row)) if (!Array.isArray(value)) expect(typeof value).toBe('string')
    }
  })

  test('of chat_2 hold the whole chat, but only of chats that an agent had', async () => {
    const simulator = await start()
    const all = await rows(simulator, 'chat_2')
    const withAgent = chats(simulator).filter(({ agent, closedAtMs }) => agent !== null && bogota(closedAtMs) < '2026-11-04')
    expect(all.map(row => row['conn_id'] ?? '').sort()).toEqual(withAgent.map(({ connId }) => connId).sort())
    const lines = all.flatMap(row => row.conversation)
    expect(Object.keys(lines[0] ?? {})).toEqual([
      'channel',
      'from',
      'from_name',
      'to_name',
      'date',
      'message',
      'customer_id',
      'customer_phone',
    ])
    expect(new Set(lines.map(line => line['from']))).toEqual(new Set(['AGENT', 'CUSTOMER']))
    expect(lines.some(line => line['from_name'] === BOT_NAME)).toBe(true)
    expect(lines.some(line => line['message']?.startsWith('<a href="'))).toBe(true)
    expect((await rows(await start({ botChats: true }), 'chat_2')).length).toBeGreaterThan(all.length)
  })

  test('of diagram_9 tell the bot part, with the hand-over as its last answer', async () => {
    const simulator = await start()
    const handed = chats(simulator).find(
      ({ handedAtMs, closedAtMs }) => handedAtMs !== null && closedAtMs < FROM + 2 * DAY,
    ) as Chat
    const turns = (await rows(simulator, 'diagram_9')).filter(row => row['conn_id'] === handed.connId)
    expect(turns.at(-1)?.['routing_answer']).toBe('transfer_skill')
    expect(turns.filter(row => row['routing_answer'] === 'transfer_skill')).toHaveLength(1)
  })

  test.each<[Quirks['connIds'], (connId: string, handed: boolean) => boolean]>([
    ['none', connId => connId === '0'],
    ['handover', (connId, handed) => (connId !== '0') === handed],
  ])('of diagram_9 tell the chat on %s of the turns where that is switched on', async (connIds, fits) => {
    const turns = await rows(await start({ connIds }), 'diagram_9')
    expect(turns.every(row => fits(row['conn_id'] ?? '', row['routing_answer'] === 'transfer_skill'))).toBe(true)
  })

  test('show when they are due, never before, and late where that is switched on', async () => {
    let nowMs = FROM + DAY
    const simulator = await start({ lateMs: HOUR }, { now: () => nowMs })
    const before = await rows(simulator, 'diagram_9', '20261030000000', '20261030235959')
    nowMs += HOUR
    const after = await rows(simulator, 'diagram_9', '20261030000000', '20261030235959')
    expect(before.every(row => (row['date'] ?? '') <= bogota(FROM + DAY))).toBe(true)
    expect(after.length).toBeGreaterThan(before.length)
  })

  test('change where that is switched on', async () => {
    let nowMs = FROM + DAY
    const simulator = await start({ changesAfterMs: 12 * HOUR, blank: '-' }, { now: () => nowMs })
    const unknown = async () =>
      (await rows(simulator, 'diagram_9', '20261030120000', '20261030235959')).filter(row => row['customer_id'] === '-').length
    expect(await unknown()).toBeGreaterThan(0)
    nowMs += DAY
    expect(await unknown()).toBe(0)
  })

  test('come in odd forms where these are switched on', async () => {
    const odd = await start({
      code: 'zero',
      nullError: true,
      misspelt: true,
      blank: '-',
      durations: 'seconds',
      twins: true,
      masked: true,
    })
    const { body } = await report(odd, 'chat_8')
    expect([body.code, body.error]).toEqual(['0', 'null'])
    const [row] = body.data ?? []
    expect(Object.keys(row ?? {})).toEqual(expect.arrayContaining(['chanel', 'agent_name ', 'RP_ID']))
    expect(row?.['total_time']).toMatch(/^\d+$/)
    const turns = (await rows(odd, 'diagram_9')).map(turn => JSON.stringify(turn))
    expect(new Set(turns).size).toBeLessThan(turns.length)
    expect(turns.some(turn => turn.includes('MaskedText: *'))).toBe(true)
  })

  test.each<[Quirks['empty'], unknown]>([
    ['list', []],
    ['null', null],
    ['absent', undefined],
  ])('that there are none of come as %s where that is switched on', async (empty, data) => {
    const { status, body } = await report(await start({ empty }), 'diagram_9', '20200101000000', '20200101000001')
    expect([status, body.msg, body.data]).toEqual([200, '0 records were found', data])
  })

  test('that stand alone come as an object where that is switched on', async () => {
    const all = await rows(await start(), 'chat_8')
    const alone = all.find(row => all.filter(({ end_date }) => end_date === row['end_date']).length === 1)?.['end_date'] ?? ''
    const simulator = await start({ loneObject: true, errorsAs200: true })
    expect((await report(simulator, 'chat_8', fourteen(alone), fourteen(alone))).body.data).toMatchObject({ end_date: alone })
    expect(await report(simulator, 'chat_8', '20200101000000', '20200101000001')).toMatchObject({
      status: 200,
      body: { code: '404' },
    })
  })
})
