import { afterEach, describe, expect, test } from 'vitest'
import {
  flowsOf,
  sessionCodeOf,
  startSyntphonySimulator,
  type SyntphonyOptions,
  type SyntphonySimulator,
} from '../../connectors/syntphony/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'

/** The simulator against the vendor's documents, and its switches against what clients have met. */
const HOUR = 3_600_000
const DAY = 24 * HOUR
const UNTIL = Date.parse('2026-11-10T12:00:00Z')
const world = createWorld({ seed: 5, sessions: 300, fromMs: UNTIL - 5 * DAY, untilMs: UNTIL - 2 * HOUR })

type Row = Record<string, unknown> & { sessionCode: string; conversationStartedAt: string }
interface Body extends Record<string, unknown> {
  readonly content: Row[]
  readonly messages: Record<string, unknown>[]
}

const running: SyntphonySimulator[] = []

async function start(options: Partial<SyntphonyOptions> = {}): Promise<SyntphonySimulator> {
  const simulator = await startSyntphonySimulator({ world, now: () => UNTIL, ...options })
  running.push(simulator)
  return simulator
}

afterEach(async () => {
  for (const simulator of running.splice(0)) await simulator.stop()
})

async function tokenOf({ config }: SyntphonySimulator, fields: Record<string, string> = {}) {
  const { username = '', password = '' } = config
  const body = new URLSearchParams({ client_id: 'eva-cockpit', grant_type: 'password', username, password, ...fields })
  const answer = await fetch(config['token.url'] ?? '', { method: 'POST', body })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

const tokens = new WeakMap<SyntphonySimulator, string>()

async function ask(simulator: SyntphonySimulator, operation: string, query: Record<string, string> = {}, init: RequestInit = {}) {
  const access = tokens.get(simulator) ?? String((await tokenOf(simulator)).body['access_token'])
  tokens.set(simulator, access)
  const { orgUuid, envUuid, bots } = simulator.organization
  const path = operation.startsWith('/')
    ? operation
    : `/eva-dashboard/org/${orgUuid}/env/${envUuid}/bot/${bots[0]?.uuid}/${operation}`
  const url = `${simulator.url}${path}?${new URLSearchParams(query)}`
  const answer = await fetch(url, { headers: { authorization: `Bearer ${access}` }, ...init })
  const text = await answer.text()
  return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Body, text }
}

const days = (first: string, last: string) => ({
  startDate: `${first}T00:00:00.000Z`,
  endDate: `${last}T00:00:00.000Z`,
  startHour: '0',
  endHour: '23',
})
const WHOLE = days('2026-11-05', '2026-11-10')
const ASCENDING = { orderBy: 'conversationStartedAt', direction: 'ASC' }
const codes = (rows: readonly Row[]) => rows.map(({ sessionCode }) => sessionCode)

/** Conversations of the first bot, by start. */
const known = (simulator: SyntphonySimulator, fromMs = 0, untilMs = UNTIL) =>
  [...world.at(UNTIL).between(fromMs, untilMs)].filter(({ bot }) => bot.id === simulator.organization.bots[0]?.spec.id)
const codesOf = (simulator: SyntphonySimulator, fromMs?: number, untilMs?: number) =>
  known(simulator, fromMs, untilMs).map(conversation => sessionCodeOf(simulator.organization, conversation))

describe('the token endpoint', () => {
  test('gives a user a token that lives as long as it says, and one to renew it', async () => {
    const { status, body } = await tokenOf(await start())
    expect([status, body]).toMatchObject([200, { expires_in: 300, refresh_expires_in: 1800, token_type: 'Bearer' }])
  })

  test.each([
    [{ password: 'wrong' }, 401, 'invalid_grant'],
    [{ client_id: 'eva-api' }, 401, 'invalid_client'],
    [{ grant_type: 'client_credentials' }, 400, 'unsupported_grant_type'],
    [{ grant_type: 'refresh_token', refresh_token: 'wrong' }, 400, 'invalid_grant'],
  ])('refuses %j', async (fields, status, error) => {
    const answer = await tokenOf(await start(), fields)
    expect([answer.status, answer.body['error']]).toEqual([status, error])
  })

  test('tokens end: the access token with 401, the refresh token with invalid_grant', async () => {
    let nowMs = 0
    const simulator = await start({ arrivalClock: () => nowMs })
    const first = await tokenOf(simulator)
    expect((await ask(simulator, 'dashboard/summary')).status).toBe(200)
    nowMs = 300_000
    expect((await ask(simulator, 'dashboard/summary')).status).toBe(401)
    const fields = { grant_type: 'refresh_token', refresh_token: String(first.body['refresh_token']) }
    expect((await tokenOf(simulator, fields)).status).toBe(200)
    nowMs = 1_800_000
    expect((await tokenOf(simulator, fields)).body['error']).toBe('invalid_grant')
  })

  test('rotating: a refresh token works once', async () => {
    const simulator = await start({ quirks: { refreshToken: 'rotating' } })
    const fields = { grant_type: 'refresh_token', refresh_token: String((await tokenOf(simulator)).body['refresh_token']) }
    expect([(await tokenOf(simulator, fields)).status, (await tokenOf(simulator, fields)).status]).toEqual([200, 400])
  })

  test('other environments are forbidden, other bots are not found', async () => {
    const simulator = await start()
    const { orgUuid, envUuid } = simulator.organization
    expect((await ask(simulator, `/eva-dashboard/org/${orgUuid}/env/x/bot/y/dashboard/summary`)).status).toBe(403)
    const missing = await ask(simulator, `/eva-dashboard/org/${orgUuid}/env/${envUuid}/bot/y/dashboard/summary`)
    expect([missing.status, missing.body]).toMatchObject([404, { status: 404, error: 'Not Found', message: 'Bot not found' }])
  })
})

describe('conversations/list', () => {
  test('pages from 1, newest first unless told otherwise', async () => {
    const simulator = await start()
    const all = codesOf(simulator)
    const first = await ask(simulator, 'conversations/list', { ...WHOLE, page: '1', size: '10' })
    expect(codes(first.body.content)).toEqual(all.toReversed().slice(0, 10))
    const third = await ask(simulator, 'conversations/list', { ...WHOLE, ...ASCENDING, page: '3', size: '10' })
    expect(codes(third.body.content)).toEqual(all.slice(20, 30))
    expect(third.body).toMatchObject({
      number: 2,
      size: 10,
      numberOfElements: 10,
      totalElements: all.length,
      first: false,
      last: false,
    })
  })

  test('keeps to the direction that is asked for, newest first or oldest, or to another order, where told to', async () => {
    const listed = async (order: 'kept' | 'ignored' | 'oldest' | 'by_code', direction: string) =>
      codes(
        (await ask(await start({ quirks: { order } }), 'conversations/list', { ...WHOLE, ...ASCENDING, direction, size: '500' }))
          .body.content,
      )
    const all = codesOf(await start())
    const newest = all.toReversed()
    for (const [order, asc, desc] of [
      ['kept', all, newest],
      ['ignored', newest, newest],
      ['oldest', all, all],
      ['by_code', all.toSorted(), all.toSorted()],
    ] as const)
      expect([await listed(order, 'ASC'), await listed(order, 'DESC')]).toEqual([asc, desc])
  })

  test('page 0 is page 1, or refused', async () => {
    const query = { ...WHOLE, page: '0', size: '5' }
    const simulator = await start()
    expect((await ask(simulator, 'conversations/list', query)).body).toEqual(
      (await ask(simulator, 'conversations/list', { ...query, page: '1' })).body,
    )
    expect((await ask(await start({ quirks: { pageZero: 'refused' } }), 'conversations/list', query)).status).toBe(400)
  })

  test('the last page says so, and so does one behind it', async () => {
    const simulator = await start()
    const pages = Math.ceil(codesOf(simulator).length / 10)
    const last = await ask(simulator, 'conversations/list', { ...WHOLE, page: String(pages), size: '10' })
    const behind = await ask(simulator, 'conversations/list', { ...WHOLE, page: String(pages + 1), size: '10' })
    expect([last.body['last'], behind.body['last'], behind.body['empty']]).toEqual([true, true, true])
  })

  test('both days belong to the range, in the zone that is asked for', async () => {
    const simulator = await start()
    const list = async (query: Record<string, string>) =>
      codes((await ask(simulator, 'conversations/list', { ...query, ...ASCENDING, size: '500' })).body.content)
    const day = Date.parse('2026-11-07T00:00:00Z')
    expect(await list(days('2026-11-07', '2026-11-08'))).toEqual(codesOf(simulator, day, day + 2 * DAY))
    const query = days('2026-11-07', '2026-11-07')
    expect(await list({ ...query, timezone: '-05:00' })).toEqual(codesOf(simulator, day + 5 * HOUR, day + 29 * HOUR))
    expect(await list({ ...query, timezone: 'America/Bogota' })).toEqual(codesOf(simulator, day + 5 * HOUR, day + 29 * HOUR))
  })

  test('hours cut every day; times of the dates count only where the quirk says so', async () => {
    const query = { ...days('2026-11-07', '2026-11-08'), startHour: '9', endHour: '15', size: '500' }
    const { body } = await ask(await start(), 'conversations/list', query)
    const hours = new Set(body.content.map(row => row.conversationStartedAt.slice(11, 13)))
    expect([...hours].every(hour => hour >= '09' && hour <= '15')).toBe(true)
    expect(new Set(body.content.map(row => row.conversationStartedAt.slice(0, 10))).size).toBe(2)
    const literal = await start({ quirks: { timePart: 'literal' } })
    const day = Date.parse('2026-11-07T00:00:00Z')
    const got = await ask(literal, 'conversations/list', { ...days('2026-11-07', '2026-11-08'), ...ASCENDING, size: '500' })
    expect(codes(got.body.content)).toEqual(codesOf(literal, day, day + DAY + 1))
  })

  test('rows have the fields that a client has seen', async () => {
    const { body } = await ask(await start(), 'conversations/list', { ...WHOLE, size: '1' })
    expect(Object.keys(body.content[0] ?? {})).toEqual([
      'sessionCode',
      'conversationStartedAt',
      'durationInSeconds',
      'userMessages',
      'flowsTravelled',
      'flowsTravelledNames',
      'satisfaction',
      'tags',
      'channel',
    ])
    expect(body.content[0]?.['channel']).toEqual({
      uuid: expect.any(String),
      name: expect.any(String),
      botUuid: expect.any(String),
    })
  })

  test('channels, tags, search and what passed no tag narrow it', async () => {
    const simulator = await start()
    const list = async (query: Record<string, string>) =>
      (await ask(simulator, 'conversations/list', { ...WHOLE, ...query, size: '500' })).body.content
    const [one] = known(simulator)
    const code = codesOf(simulator)[0] ?? ''
    const channel = [...(simulator.organization.bots[0]?.channels.values() ?? [])][0]
    expect(codes(await list({ searchBy: 'SESSION_CODE', searchTerm: code }))).toEqual([code])
    expect(
      (await list({ searchBy: 'FLOW', searchTerm: one === undefined ? '' : (flowsOf(one)[0] ?? '') })).length,
    ).toBeGreaterThan(0)
    const ofChannel = await list({ channelUuids: channel?.uuid ?? '' })
    expect(ofChannel.length).toBeGreaterThan(0)
    expect(ofChannel.every(row => (row['channel'] as { uuid: string }).uuid === channel?.uuid)).toBe(true)
    expect((await list({ untagged: 'true' })).every(row => (row['tags'] as unknown[]).length === 0)).toBe(true)
    const tagged = await list({ tags: 'spoke-to-agent' })
    expect(tagged.length).toBeGreaterThan(0)
    expect(tagged.every(row => (row['tags'] as { name: string }[]).some(({ name }) => name === 'spoke-to-agent'))).toBe(true)
  })

  test.each<[Record<string, string>, number]>([
    [{ startDate: 'yesterday' }, 400],
    [{ endHour: '24' }, 400],
    [{ timezone: 'Nowhere/Land' }, 400],
    [{ orderBy: 'name' }, 400],
    [{ searchBy: 'TEXT' }, 400],
    [{ startDate: '2026-11-11T00:00:00.000Z' }, 422],
    [{ startDate: '2025-11-01T00:00:00.000Z' }, 422],
  ])('%j is refused with %d', async (query, status) => {
    expect((await ask(await start(), 'conversations/list', { ...WHOLE, ...query })).status).toBe(status)
  })

  test('takes its filters from the body of a POST too', async () => {
    const simulator = await start()
    const access = String((await tokenOf(simulator)).body['access_token'])
    const headers = { authorization: `Bearer ${access}`, 'content-type': 'application/json' }
    const posted = await ask(
      simulator,
      'conversations/list',
      {},
      { method: 'POST', headers, body: JSON.stringify({ ...WHOLE, size: 3 }) },
    )
    expect(posted.body).toEqual((await ask(simulator, 'conversations/list', { ...WHOLE, size: '3' })).body)
  })

  test('a conversation grows while it goes on', async () => {
    let nowMs = 0
    const simulator = await start({ now: () => nowMs })
    const [one] = known(simulator)
    const list = async () => (await ask(simulator, 'conversations/list', { ...WHOLE, ...ASCENDING, size: '1' })).body.content[0]
    nowMs = (one?.messages[0]?.atMs ?? 0) + 1
    const before = await list()
    nowMs = one?.lastAtMs ?? 0
    const after = await list()
    expect(after?.sessionCode).toBe(before?.sessionCode)
    expect(Number(after?.['durationInSeconds'])).toBeGreaterThan(Number(before?.['durationInSeconds']))
  })

  test.each([
    ['row_shows', 0],
    ['row_misses', 1],
  ] as const)('%s: one row is missing from one answer, and from no other', async (betweenPages, nth) => {
    const simulator = await start({ quirks: { betweenPages } })
    const totals: unknown[] = []
    for (const page of ['1', '2', '3'])
      totals.push(
        (await ask(simulator, 'conversations/list', { ...WHOLE, ...ASCENDING, page, size: '10' })).body['totalElements'],
      )
    const all = codesOf(simulator).length
    expect(totals).toEqual([0, 1, 2].map(n => (n === nth ? all - 1 : all)))
  })
})

describe('the content of conversations', () => {
  test('details tell all messages in order, without a time, and the message list those of the user with theirs', async () => {
    const simulator = await start()
    const one = known(simulator).find(({ course }) => course === 'solved')
    const sessionCode = sessionCodeOf(simulator.organization, one as never)
    const details = (await ask(simulator, 'conversations/details', { sessionCode })).body
    expect(details.messages.map(message => message['messageId'])).toEqual(one?.messages.map(({ id }) => id))
    expect(Object.keys(details.messages[0] ?? {})).toEqual(['messageId', 'type', 'content', 'intent', 'isNe', 'nlpResponses'])
    const query = { ...WHOLE, ...ASCENDING, searchBy: 'SESSION_CODE', searchTerm: sessionCode, size: '100' }
    const rows = (await ask(simulator, 'messages/list', query)).body.content
    const users = one?.messages.filter(({ sender, attachment }) => sender === 'user' && attachment === null) ?? []
    expect(rows.map(each => each['userMessage'])).toEqual(users.map(({ text }) => text))
    expect(rows.map(each => each['deliveredAt'])).toEqual(users.map(({ atMs }) => new Date(atMs).toISOString()))
  })

  test.each(['object', 'text', 'none'] as const)(
    'a hand-over is one answer with a technical text as %s, listed by its name beside what it answers',
    async handover => {
      const simulator = await start({ quirks: { handover } })
      const one = known(simulator).find(({ course }) => course === 'transferred')
      const sessionCode = sessionCodeOf(simulator.organization, one as never)
      const details = (await ask(simulator, 'conversations/details', { sessionCode })).body
      const handed = details.messages.filter(message => 'technicalText' in message)
      const command = { type: 'handover', handover: 'Agent handover', exit_command: 'exit', action: 'connect' }
      const shown = handover === 'text' ? JSON.stringify(command) : command
      expect(handed.map(message => message['technicalText'])).toEqual(handover === 'none' ? [] : [shown])
      const query = { ...WHOLE, ...ASCENDING, searchBy: 'SESSION_CODE', searchTerm: sessionCode, size: '100' }
      const rows = (await ask(simulator, 'messages/list', query)).body.content
      const asked = one?.events.find(({ kind }) => kind === 'transfer_requested')
      const named = rows.filter(each => (each['answerNames'] as string[]).includes('Agent handover'))
      expect(named).toHaveLength(1)
      expect(Date.parse(named[0]?.['deliveredAt'] as string)).toBeLessThan(asked?.atMs ?? 0)
    },
  )

  test('details of what is not there, or of another bot, are 404', async () => {
    const simulator = await start()
    const other = [...world.at(UNTIL).between(0, UNTIL)].find(({ bot }) => bot.id !== simulator.organization.bots[0]?.spec.id)
    for (const sessionCode of ['x', sessionCodeOf(simulator.organization, other as never)])
      expect((await ask(simulator, 'conversations/details', { sessionCode })).status).toBe(404)
    expect((await ask(simulator, 'conversations/details')).status).toBe(400)
  })

  test('the message list can be narrowed to what was understood and what was not', async () => {
    const simulator = await start()
    const count = async (nlpResponseFilters: string) =>
      Number((await ask(simulator, 'messages/list', { ...WHOLE, nlpResponseFilters })).body['totalElements'])
    const [found, none, all] = [await count('FOUND'), await count('NONE'), await count('ALL')]
    expect([found > 0, none > 0, found + none < all]).toEqual([true, true, true])
  })
})

describe('the other operations', () => {
  test('the summary tells the oldest conversation', async () => {
    const simulator = await start()
    const [one] = known(simulator)
    expect((await ask(simulator, 'dashboard/summary')).body).toEqual({
      hasData: true,
      firstDataSet: new Date(one?.startedAtMs ?? 0).toISOString(),
    })
  })

  test.each(['conversations/report_configurations', 'messages/report_configurations'])(
    '%s tells the limits of reports',
    async path => {
      expect((await ask(await start(), path)).body).toEqual({ maxSample: 10_000, availableExportTypes: ['CSV', 'XLSX'] })
    },
  )

  test.each(['conversations', 'messages', 'users'])('traffic and graph of %s agree', async resource => {
    const simulator = await start()
    const traffic = (await ask(simulator, `dashboard/${resource}`, WHOLE)).body as unknown as { overview: { total: number } }
    const graph = (await ask(simulator, `dashboard/${resource}/graph`, WHOLE)).body as unknown as {
      channels: { dataset: { total: number }[] }[]
    }
    const sum = graph.channels.flatMap(({ dataset }) => dataset).reduce((all, { total }) => all + total, 0)
    expect([traffic.overview.total > 0, sum]).toEqual([true, traffic.overview.total])
  })

  test('accuracy is a share, with the period before', async () => {
    const { body } = await ask(await start(), 'dashboard/accuracy', WHOLE)
    expect(body).toMatchObject({ accuracy: expect.any(Number), previousEndDate: '2026-11-04T23:59:59.999Z' })
  })

  test('reports are ordered without an answer, listed five a page, and estimated', async () => {
    const simulator = await start()
    const access = String((await tokenOf(simulator)).body['access_token'])
    const post = (path: string) => ask(simulator, path, WHOLE, { method: 'POST', headers: { authorization: `Bearer ${access}` } })
    for (const path of [
      'conversations/report',
      'messages/report',
      'conversations/details/report',
      'messages/report',
      'messages/report',
      'messages/report',
    ])
      expect(await post(path)).toMatchObject({ status: 204, text: '' })
    expect((await ask(simulator, 'reports')).body).toMatchObject({ numberOfElements: 5, totalElements: 6 })
    expect((await post('conversations/report/preview')).body).toEqual({ estimate: codesOf(simulator).length })
    expect((await post('messages/report/preview')).status).toBe(200)
  })
})
