import { SignJWT } from 'jose'
import { afterEach, describe, expect, test } from 'vitest'
import {
  accountId,
  botIdOf,
  INACTIVITY_MS,
  isAlert,
  type KoreaiOptions,
  type KoreaiSimulator,
  type Quirks,
  sessionIdOf,
  startKoreaiSimulator,
  tellOf,
  userIdOf,
} from '../../connectors/koreai/simulator.ts'
import { type Conversation, createWorld } from '../../src/sim/index.ts'

/** The simulator against the vendor's documents, and its switches. */
const HOUR = 3_600_000
const DAY = 24 * HOUR
const UNTIL = Date.parse('2026-11-10T12:00:00Z')
const FROM = UNTIL - 20 * DAY
const world = createWorld({ seed: 5, sessions: 900, fromMs: FROM, untilMs: UNTIL })
const iso = (ms: number) => new Date(ms).toISOString()
const ORDERS = world.bots[0] as (typeof world.bots)[number]
const BOT = `/api/public/bot/${botIdOf(ORDERS)}`

type Row = Record<string, unknown>
interface Body {
  readonly total: number
  readonly totalCount: number
  readonly moreAvailable: boolean
  readonly sessions: Row[]
  readonly messages: Row[]
  readonly result: Row[]
  readonly invalidSessions: string[]
  readonly errors: { msg: string; code: number }[]
}

const running: KoreaiSimulator[] = []

async function start(
  options: Omit<Partial<KoreaiOptions>, 'quirks'> & { quirks?: Partial<Quirks> } = {},
): Promise<KoreaiSimulator> {
  const quirks = { perMinute: 0, perHour: 0, ...options.quirks }
  const sim = await startKoreaiSimulator({ world, now: () => UNTIL, ...options, quirks })
  running.push(sim)
  return sim
}

afterEach(async () => {
  for (const sim of running.splice(0)) await sim.stop()
})

function tokenOf(sim: KoreaiSimulator, claims: Row = {}, secret = sim.config['client.secret'] ?? '') {
  const second = Math.floor(UNTIL / 1000)
  return new SignJWT({ appId: sim.config['client.id'], sub: 'me', iat: second, exp: second + 300, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(Buffer.from(secret))
}

async function call(
  sim: KoreaiSimulator,
  path: string,
  body?: unknown,
  how: { method?: string; auth?: string; query?: Record<string, string>; headers?: Record<string, string> } = {},
) {
  const answer = await fetch(`${sim.url}${path}?${new URLSearchParams(how.query)}`, {
    method: how.method ?? 'POST',
    headers: { auth: how.auth ?? (await tokenOf(sim)), 'content-type': 'application/json', ...how.headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { status: answer.status, headers: answer.headers, body: JSON.parse(await answer.text()) as Body }
}

const known = (fromMs: number, untilMs: number, bot: string | null = ORDERS.id, nowMs = UNTIL): Conversation[] =>
  [...world.at(nowMs).between(fromMs, untilMs)].filter(each => bot === null || each.bot.id === bot)
const ids = (rows: readonly Row[]) => rows.map(row => row['sessionId'])
const newestFirst = (conversations: readonly Conversation[]) => conversations.map(sessionIdOf).toReversed()
const RANGE = { dateFrom: iso(UNTIL - 3 * DAY), dateTo: iso(UNTIL - DAY) }

describe('the token', () => {
  test.each<[string, (sim: KoreaiSimulator) => Promise<string> | string]>([
    ['none', () => ''],
    ['no token', () => 'abc'],
    ['one of another secret', sim => tokenOf(sim, {}, 'another-secret')],
    ['one that has run out', sim => tokenOf(sim, { exp: UNTIL / 1000 - 1 })],
    ['one without appId', sim => tokenOf(sim, { appId: undefined, appid: sim.config['client.id'] })],
    ['one without sub', sim => tokenOf(sim, { sub: undefined })],
  ])('%s is answered with 401 in the documented envelope', async (_, tokenFor) => {
    const sim = await start()
    const { status, body } = await call(sim, `${BOT}/getSessions`, {}, { auth: await tokenFor(sim) })
    expect([status, body]).toEqual([401, { errors: [{ msg: expect.any(String), code: 401 }] }])
  })

  test('works again and again, unless the app enforces jti: then once, and an hour ahead at most', async () => {
    const plain = await start()
    const auth = await tokenOf(plain, { jti: '1' })
    for (let i = 0; i < 2; i++) expect((await call(plain, `${BOT}/getSessions`, {}, { auth })).status).toBe(200)
    const strict = await start({ quirks: { enforceJti: true } })
    const once = await tokenOf(strict, { jti: '1' })
    expect((await call(strict, `${BOT}/getSessions`, {}, { auth: once })).status).toBe(200)
    const again = await call(strict, `${BOT}/getSessions`, {}, { auth: once })
    expect(again.body.errors).toEqual([{ msg: 'error verifying the jwt: possibly a replay', code: 401 }])
    const far = await call(
      strict,
      `${BOT}/getSessions`,
      {},
      { auth: await tokenOf(strict, { jti: '2', exp: UNTIL / 1000 + 3601 }) },
    )
    expect(far.body.errors[0]?.msg).toBe('error verifying the jwt: if "jti" claim "exp" must be <= 1 hour(s)')
  })
})

describe('getSessions', () => {
  test('gives the sessions of a bot that began in the range, newest first, with their total', async () => {
    const { body } = await call(await start(), `${BOT}/getSessions`, { ...RANGE, limit: 1000 })
    const expected = newestFirst(known(UNTIL - 3 * DAY, UNTIL - DAY))
    expect(ids(body.sessions)).toEqual(expected)
    expect([body.total, body.moreAvailable]).toEqual([expected.length, false])
    const starts = body.sessions.map(row => Date.parse(String(row['start_time'])))
    expect(starts).toEqual(starts.toSorted((a, b) => b - a))
  })

  test('what is kept between requests never shows: at any time, forwards and back, the answer is that of a simulator just started', async () => {
    const first = known(UNTIL - 3 * DAY, UNTIL - DAY).find(({ closedAtMs }) => closedAtMs === null) as Conversation
    const range = { dateFrom: iso(first.startedAtMs), dateTo: iso(first.startedAtMs + HOUR), limit: 100 }
    const steps = [...first.messages, ...first.events].map(({ atMs }) => atMs)
    const moments = [...steps, first.lastAtMs + INACTIVITY_MS - 1, first.lastAtMs + INACTIVITY_MS].sort((a, b) => a - b)
    const auth = { exp: UNTIL / 1000 }
    let nowMs = UNTIL
    const sim = await start({ now: () => nowMs })
    for (nowMs of [...moments, ...moments.toReversed()]) {
      const fresh = await start({ now: () => nowMs })
      const [kept, told] = await Promise.all(
        [sim, fresh].map(async each => call(each, `${BOT}/getSessions`, range, { auth: await tokenOf(each, auth) })),
      )
      expect(kept?.body).toEqual(told?.body)
    }
  })

  test('gives the sessions of all bots account-wide, and those of a bot by the path of v7', async () => {
    const sim = await start()
    const all = await call(sim, '/api/public/getSessions', { ...RANGE, limit: 1000 })
    expect(ids(all.body.sessions)).toEqual(newestFirst(known(UNTIL - 3 * DAY, UNTIL - DAY, null)))
    const old = await call(sim, BOT.replace('/bot/', '/stream/') + '/getSessions', { ...RANGE, limit: 1000 })
    expect(ids(old.body.sessions)).toEqual(newestFirst(known(UNTIL - 3 * DAY, UNTIL - DAY)))
  })

  test('pages by skip or offset and limit', async () => {
    const sim = await start()
    const expected = newestFirst(known(UNTIL - 3 * DAY, UNTIL - DAY))
    for (const name of ['skip', 'offset']) {
      const { body } = await call(sim, `${BOT}/getSessions`, { ...RANGE, [name]: 5, limit: 3 })
      expect([ids(body.sessions), body.total, body.moreAvailable]).toEqual([expected.slice(5, 8), expected.length, true])
    }
    const beyond = await call(sim, `${BOT}/getSessions`, { ...RANGE, skip: 9999 })
    expect([beyond.body.sessions, beyond.body.moreAvailable, beyond.body.total]).toEqual([[], false, expected.length])
  })

  test('takes an empty body, and dates of either form: then seven days up to now, or whole days of GMT', async () => {
    const sim = await start()
    const all = (await call(sim, `${BOT}/getSessions`, undefined)).body
    expect(all.total).toBe(known(UNTIL - 7 * DAY, UNTIL).length)
    const days = await call(sim, `${BOT}/getSessions`, { dateFrom: '2026-11-05', dateTo: '2026-11-05' })
    expect(days.body.total).toBe(known(Date.parse('2026-11-05T00:00:00Z'), Date.parse('2026-11-06T00:00:00Z')).length)
  })

  test('refuses ranges of seven days or more, other dates, and a body that is no JSON', async () => {
    const sim = await start()
    for (const [body, status] of [
      [{ dateFrom: iso(UNTIL - 7 * DAY), dateTo: iso(UNTIL) }, 400],
      [{ dateFrom: iso(UNTIL - 7 * DAY + 1), dateTo: iso(UNTIL) }, 200],
      [{ dateFrom: '05.11.2026' }, 400],
      ['{', 400],
    ] as const)
      expect((await call(sim, `${BOT}/getSessions`, body)).status).toBe(status)
  })

  test('filters by containmentType in any case, sessionType and userId', async () => {
    const sim = await start()
    const truth = known(UNTIL - 3 * DAY, UNTIL - DAY).map(each => tellOf(each, { view: world.at(UNTIL), quirks: sim.quirks }))
    const wide = { ...RANGE, limit: 1000 }
    for (const word of ['selfService', 'Selfservice', 'SELFSERVICE']) {
      const { body } = await call(sim, `${BOT}/getSessions`, wide, { query: { containmentType: word } })
      expect(body.total).toBe(truth.filter(({ containment }) => containment === 'selfService').length)
    }
    const silent = await call(sim, `${BOT}/getSessions`, { ...wide, sessionType: 'non-interactive' })
    expect(silent.body.total).toBe(truth.filter(({ isInteractive }) => !isInteractive).length)
    const userId = truth[0]?.userId
    const one = await call(sim, `${BOT}/getSessions`, { ...wide, userId })
    expect(one.body.total).toBe(truth.filter(told => told.userId === userId).length)
  })

  test('filters by tags: of each name one of the values', async () => {
    const sim = await start()
    const truth = known(UNTIL - 3 * DAY, UNTIL - DAY).map(each => tellOf(each, { view: world.at(UNTIL), quirks: sim.quirks }))
    const { name, value } = truth.find(({ sessionTags }) => sessionTags.length > 0)?.sessionTags[0] ?? {}
    const has = (each: (typeof truth)[number]) =>
      each.sessionTags.some(tag => tag.name === name && String(tag.value) === String(value))
    const ask = async (...and: Row[]) =>
      (await call(sim, `${BOT}/getSessions`, { ...RANGE, limit: 1000, tags: { and } })).body.total
    const one = { name, values: [String(value), 'no such value'], type: 'session' }
    expect(truth.filter(has).length).toBeGreaterThan(0)
    expect(await ask(one)).toBe(truth.filter(has).length)
    expect(await ask({ ...one, type: 'user' })).toBe(0)
    const country = truth.find(each => has(each) && each.userTags.length > 0)?.userTags[0]?.value
    const both = truth.filter(each => has(each) && each.userTags.some(tag => tag.value === country))
    expect(await ask(one, { name: 'country', values: [country], type: 'user' })).toBe(both.length)
  })

  test('the row has the documented fields and no other', async () => {
    const { body } = await call(await start(), `${BOT}/getSessions`, { ...RANGE, limit: 1000 })
    const closed = body.sessions.filter(row => row['sessionStatus'] === 'closed')
    expect(closed.length).toBeGreaterThan(10)
    for (const row of closed)
      expect(row).toEqual({
        sessionId: expect.stringMatching(/^[0-9a-f]{24}$/),
        botId: botIdOf(ORDERS),
        channel: expect.any(String),
        userId: expect.stringMatching(/^u-[0-9a-f-]{36}$/),
        start_time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        end_time: expect.stringMatching(/Z$/),
        session_lang: [expect.stringMatching(/^[a-z]{2}$/)],
        sessionType: expect.stringMatching(/^(non-)?interactive$/),
        containmentType: expect.stringMatching(/^(dropOff|selfService|agent)$/),
        isDeveloper: expect.any(Boolean),
        sessionStatus: 'closed',
        tags: { userTags: expect.any(Array), sessionTags: expect.any(Array), altText: [] },
        noOfMessagesExchanged: expect.any(Number),
        noOfTasksExecuted: expect.any(Number),
      })
    const [row = {}] = closed
    expect(Number.parseInt(String(row['sessionId']).slice(0, 8), 16)).toBe(
      Math.floor(Date.parse(String(row['start_time'])) / 1000),
    )
  })

  test('a session is active without a containment, becomes interactive, may reach an agent, and closes', async () => {
    const of = known(UNTIL - 3 * DAY, UNTIL - DAY).find(
      ({ messages, events }) => messages.length > 4 && events.some(({ kind }) => kind === 'transfer_requested'),
    ) as Conversation
    const askedAt = of.events.find(({ kind }) => kind === 'transfer_requested')?.atMs ?? 0
    let nowMs = of.startedAtMs
    const sim = await start({ now: () => nowMs })
    const now = async (ms: number) => {
      nowMs = ms
      const auth = await tokenOf(sim, { exp: UNTIL })
      const [row] = (await call(sim, `${BOT}/getSessions`, { sessionId: [sessionIdOf(of)] }, { auth })).body.sessions
      return [row?.['sessionStatus'], row?.['containmentType'], row?.['noOfMessagesExchanged']]
    }
    expect(await now(of.startedAtMs)).toEqual(['active', undefined, 1])
    expect(await now(askedAt)).toEqual(['active', 'agent', expect.any(Number)])
    expect((await now(of.lastAtMs + INACTIVITY_MS)).slice(0, 2)).toEqual(['closed', 'agent'])
  })

  test('by sessionId ignores all other filters, takes fifty, and names those that it does not know', async () => {
    const sim = await start()
    const [one, two] = known(UNTIL - 10 * DAY, UNTIL - DAY) as [Conversation, Conversation]
    const foreign = known(UNTIL - 3 * DAY, UNTIL, null).find(({ bot }) => bot.id !== ORDERS.id) as Conversation
    const wanted = [one, two, one].map(sessionIdOf)
    const body = { ...RANGE, limit: 1, sessionId: [...wanted, 'nobody', sessionIdOf(foreign)] }
    const answer = (await call(sim, `${BOT}/getSessions`, body, { query: { containmentType: 'nothing' } })).body
    expect([ids(answer.sessions), answer.total, answer.moreAvailable]).toEqual([newestFirst([one, two]), 2, false])
    expect(answer.invalidSessions).toEqual(['nobody', sessionIdOf(foreign)])
    expect((await call(sim, `${BOT}/getSessions`, { sessionId: Array.from({ length: 51 }, () => wanted[0]) })).status).toBe(400)
  })

  test('by sessionId leaves out session tags after 14 days; by date they are there', async () => {
    const sim = await start()
    const told = known(FROM, UNTIL).map(each => tellOf(each, { view: world.at(UNTIL), quirks: sim.quirks }))
    const tagged = told.filter(({ sessionTags }) => sessionTags.length > 0)
    const [old, young] = [
      tagged.find(({ startMs }) => startMs < UNTIL - 15 * DAY),
      tagged.findLast(({ startMs }) => startMs > UNTIL - 13 * DAY),
    ]
    const tagsOf = async (body: unknown, of = old) => {
      const { sessions } = (await call(sim, `${BOT}/getSessions`, body)).body
      return (sessions.find(row => row['sessionId'] === of?.sessionId)?.['tags'] as Row | undefined)?.['sessionTags']
    }
    expect(await tagsOf({ sessionId: [old?.sessionId] })).toEqual([])
    expect(await tagsOf({ sessionId: [young?.sessionId] }, young)).toEqual(young?.sessionTags)
    const startMs = old?.startMs ?? 0
    expect(await tagsOf({ dateFrom: iso(startMs), dateTo: iso(startMs + 1) })).toEqual(old?.sessionTags)
  })

  test.each<[Partial<Quirks>, Row, readonly string[]]>([
    [
      { rows: 'v9' },
      { sessionType: expect.stringMatching(/interactive/), containmentType: expect.any(String) },
      ['sessionStatus'],
    ],
    [
      { rows: 'v8' },
      { sessionType: expect.stringMatching(/^(dropOff|selfService|agent)$/) },
      ['sessionStatus', 'containmentType'],
    ],
    [{ rows: 'v8', containmentCase: 'lower' }, { sessionType: expect.stringMatching(/^(dropoff|selfservice|agent)$/) }, []],
    [{ counts: 'string', developer: 'number' }, { noOfTasksExecuted: expect.any(String), isDeveloper: expect.any(Number) }, []],
  ])('with %j rows have that shape', async (quirks, shape, absent) => {
    const { body } = await call(await start({ quirks }), `${BOT}/getSessions`, {
      dateFrom: iso(UNTIL - 6 * DAY),
      dateTo: iso(UNTIL - 3 * DAY),
    })
    for (const row of body.sessions) {
      expect(row).toMatchObject(shape)
      for (const name of absent) expect(row).not.toHaveProperty(name)
    }
  })

  test.each([
    ['half-open', [true, false]],
    ['closed', [true, true]],
    ['open', [false, false]],
  ] as const)('with %s edges rows at the ends are there so', async (edges, there) => {
    const sim = await start({ quirks: { edges } })
    const conversations = known(UNTIL - 3 * DAY, UNTIL - DAY)
    const [first, last] = [conversations[0] as Conversation, conversations.at(-1) as Conversation]
    const { body } = await call(sim, `${BOT}/getSessions`, {
      dateFrom: iso(first.startedAtMs),
      dateTo: iso(last.startedAtMs),
      limit: 1000,
    })
    expect([ids(body.sessions).includes(sessionIdOf(first)), ids(body.sessions).includes(sessionIdOf(last))]).toEqual(there)
  })

  test.each(['grows', 'shrinks'] as const)('a listing that %s does so between two pages, once', async between => {
    const sim = await start({ quirks: { between } })
    const ask = async (skip: number) => (await call(sim, `${BOT}/getSessions`, { ...RANGE, skip, limit: 4 })).body.total
    const total = known(UNTIL - 3 * DAY, UNTIL - DAY).length
    expect([await ask(0), await ask(4), await ask(0), await ask(4)]).toEqual(
      between === 'grows' ? [total - 1, total, total, total] : [total, total - 1, total, total],
    )
  })
})

describe('getMessages', () => {
  const of = known(UNTIL - 3 * DAY, UNTIL - DAY).filter(({ messages }) => messages.length > 3)
  const sessionId = of.slice(0, 5).map(sessionIdOf)
  const ask = { ...RANGE, sessionId, forward: true }
  const within = (each: Conversation) => each.messages.filter(({ atMs }) => atMs < UNTIL - DAY)
  const expected = of
    .slice(0, 5)
    .flatMap(within)
    .toSorted((a, b) => a.atMs - b.atMs)

  test('v2 gives the messages of sessions by their time, oldest first where asked, else newest first', async () => {
    const sim = await start()
    const forward = await call(sim, `${BOT}/getMessagesV2`, { ...ask, limit: 10_000 })
    const times = expected.filter(message => !isAlert(message)).map(({ atMs }) => iso(atMs))
    expect(forward.body.messages.map(row => row['createdOn'])).toEqual(times)
    const back = await call(sim, `${BOT}/getMessagesV2`, { ...ask, forward: false, limit: 10_000 })
    expect(back.body.messages.map(row => row['createdOn'])).toEqual(times.toReversed())
  })

  test('v1 gives a hundred at most, with those of alerts, which v2 leaves out', async () => {
    const sim = await start()
    const inRange = ({ atMs }: { atMs: number }) => UNTIL - 3 * DAY <= atMs && atMs < UNTIL - DAY
    const alerts = known(FROM, UNTIL).flatMap(({ messages }) => messages.filter(isAlert).filter(inRange))
    const v1 = await call(sim, `${BOT}/getMessages`, { ...RANGE, limit: 10_000 })
    expect([v1.body.messages.length, v1.body.moreAvailable]).toEqual([100, true])
    const v2 = await call(sim, `${BOT}/getMessagesV2`, { ...RANGE, limit: 10_000 })
    expect(v1.body.total - v2.body.total).toBe(alerts.length)
    expect(v2.body.messages).toHaveLength(v2.body.total)
    expect(alerts.length).toBeGreaterThan(0)
  })

  test('GET wants a user and tells of rtm unless channelType says otherwise', async () => {
    const sim = await start()
    const person = of.find(({ channel }) => channel !== 'web')?.person as Conversation['person']
    const get = (query: Record<string, string>) =>
      call(sim, `${BOT}/getMessagesV2`, undefined, { method: 'GET', query: { ...RANGE, ...query } })
    expect((await get({})).status).toBe(400)
    expect((await get({ userId: userIdOf(person) })).body.total).toBe(0)
    expect(
      (await get({ userId: userIdOf(person), channelType: person.channel === 'messenger' ? 'facebook' : person.channel })).body
        .total,
    ).toBeGreaterThan(0)
  })

  test('outgoing rows are pending and created by the end user; agents stand in author where asked for', async () => {
    const sim = await start()
    const agents = known(UNTIL - 3 * DAY, UNTIL - DAY).filter(({ messages }) => messages.some(({ sender }) => sender === 'agent'))
    const body = { ...RANGE, sessionId: agents.map(sessionIdOf) }
    const rows = (await call(sim, `${BOT}/getMessagesV2`, { ...body, limit: 10_000, getAgentsInfo: true })).body.messages
    for (const row of rows) {
      expect(row['createdBy']).toMatch(/^u-/)
      expect(row['status']).toBe(row['type'] === 'outgoing' ? 'pending' : 'received')
    }
    expect(rows.some(row => row['author'] !== undefined)).toBe(true)
    expect(rows.some(row => (row['components'] as unknown[]).length > 1)).toBe(true)
    const plain = (await call(sim, `${BOT}/getMessagesV2`, { ...body, limit: 10_000 })).body.messages
    expect(plain.every(row => row['author'] === undefined)).toBe(true)
  })
})

describe('getAnalytics', () => {
  const filters = { from: iso(UNTIL - 15 * DAY), to: iso(UNTIL) }

  test('wants a type, a range of any length and a limit, and tells of rtm unless channels are named', async () => {
    const sim = await start()
    for (const body of [
      { filters, limit: 5 },
      { type: 'successintent', limit: 5 },
      { type: 'successintent', filters },
    ])
      expect((await call(sim, `${BOT}/getAnalytics`, body)).status).toBe(400)
    const rtm = (await call(sim, `${BOT}/getAnalytics`, { type: 'successintent', filters, limit: 1000 })).body
    expect(new Set(rtm.result.map(row => row['channel']))).toEqual(new Set(['rtm']))
    const some = { ...filters, channel: ['rtm', 'facebook'] }
    const two = (await call(sim, `${BOT}/getAnalytics`, { type: 'successintent', filters: some, limit: 1000 })).body
    expect(new Set(two.result.map(row => row['channel']))).toEqual(new Set(['rtm', 'facebook']))
    const other = { type: 'successintent', filters: { ...filters, channel: ['rtm', 'whatsapp'] }, limit: 5 }
    expect((await call(sim, `${BOT}/getAnalytics`, other)).status).toBe(400)
  })

  test.each(['successintent', 'failintent', 'unhandledutterance', 'successtask', 'failtask', 'performance'])(
    'has rows of %s',
    async type => {
      const sim = await start({ quirks: { analyticsDefault: 'all' } })
      const { body } = await call(sim, `${BOT}/getAnalytics`, { type, filters, limit: 2, skip: 0 })
      expect(body.result.length).toBeGreaterThan(0)
      expect(body.totalCount).toBeGreaterThanOrEqual(body.result.length)
      expect(body.result[0]).toMatchObject({
        _id: expect.stringMatching(/^[0-9a-f]{24}$/),
        sessionId: expect.any(String),
        timestamp: expect.any(String),
      })
    },
  )
})

test('conversationDetails tells when an agent was asked for', async () => {
  const sim = await start()
  const of = known(UNTIL - 3 * DAY, UNTIL - DAY).find(({ events }) =>
    events.some(({ kind }) => kind === 'transfer_requested'),
  ) as Conversation
  const { body } = await call(sim, `${BOT}/conversationDetails`, { sessionId: sessionIdOf(of) })
  const askedAt = of.events.find(({ kind }) => kind === 'transfer_requested')?.atMs ?? 0
  expect(body).toMatchObject({ conversationInfo: { agentHandOffTime: iso(askedAt), currentTask: 'null' } })
  expect((await call(sim, `${BOT}/conversationDetails`, { sessionId: 'x' })).status).toBe(404)
  const history = async (more: Row) =>
    ((await call(sim, `${BOT}/conversationDetails`, { sessionId: sessionIdOf(of), ...more })).body as unknown as Row)[
      'conversationHistory'
    ]
  expect(await history({ limit: 1 })).toHaveLength(1)
  expect(await history({})).toHaveLength(of.messages.length)
  const other = known(UNTIL - 3 * DAY, UNTIL - DAY).find(({ course }) => course === 'solved') as Conversation
  const none = await call(sim, `${BOT}/conversationDetails`, { sessionId: sessionIdOf(other) })
  expect(none.body).toMatchObject({ conversationInfo: { agentHandOffTime: '' } })
})

describe('the contact center', () => {
  const path = `/agentassist/api/v1/public/${botIdOf(ORDERS)}/conversations`
  const list = (sim: KoreaiSimulator, query: Record<string, string>, accountid = accountId()) =>
    call(sim, path, undefined, { method: 'GET', query, headers: { accountid } })
  const asked = known(FROM, UNTIL).filter(({ events }) => events.some(({ kind }) => kind === 'transfer_requested'))

  test('lists conversations that asked for a person, newest first, page by page', async () => {
    const sim = await start()
    const { body } = await list(sim, { skip: '0', limit: '1000' })
    const { results, hasMore, totalResults } = body as unknown as { results: Row[]; hasMore: boolean; totalResults: number }
    expect(new Set(results.map(row => row['botSessionId']))).toEqual(new Set(asked.map(sessionIdOf)))
    expect([hasMore, totalResults]).toEqual([false, results.length])
    const starts = results.map(row => String(row['startTime']))
    expect(starts).toEqual(starts.toSorted().toReversed())
    const second = (await list(sim, { skip: '2', limit: '3' })).body as unknown as { results: Row[]; hasMore: boolean }
    expect([second.results, second.hasMore]).toEqual([results.slice(2, 5), true])
  })

  test('wants the account in a header', async () => {
    expect((await list(await start(), {}, 'another')).status).toBe(401)
  })
})

test('the list of bots tells client secrets, and names its flag otherwise than the others', async () => {
  const sim = await start()
  const { body } = await call(sim, '/api/public/bots', undefined, { method: 'GET', query: { offset: '0', limit: '2' } })
  expect(body).toMatchObject({
    total: 3,
    availableMore: true,
    bots: [{ _id: botIdOf(ORDERS), jwtApps: [{ clientSecret: sim.config['client.secret'] }] }, {}],
  })
})

test('unknown paths, bots and methods are not found, and a scope that is withheld is refused', async () => {
  const sim = await start({ quirks: { withheld: ['getAnalytics'], withheldStatus: 403 } })
  expect((await call(sim, '/api/public/bot/st-nobody/getSessions', {})).status).toBe(404)
  expect((await call(sim, '/api/public/getMessagesV2', {})).status).toBe(404)
  expect((await call(sim, `${BOT}/getSessions`, undefined, { method: 'GET' })).status).toBe(404)
  expect((await call(sim, `${BOT}/getAnalytics`, {})).status).toBe(403)
})

describe('limits', () => {
  test('the sixty-first request to a bot in a rolling minute is refused with the documented text, other bots are not', async () => {
    let arrivedMs = UNTIL
    const sim = await start({ quirks: { perMinute: 60, perHour: 1800 }, arrivalClock: () => arrivedMs })
    const ask = async (path = BOT) => await call(sim, `${path}/${path === BOT ? 'getMessagesV2' : 'getSessions'}`, {})
    for (let i = 0; i < 60; i++) expect((await ask()).status).toBe(200)
    const refusal = await ask()
    expect([refusal.status, refusal.body.errors[0]?.msg]).toEqual([
      429,
      "You've exceeded the per-minute rate limit. Please wait for sometime before retrying.",
    ])
    expect((await ask('/api/public')).status).toBe(200)
    expect(sim.refusedForQuota()).toBe(1)
    arrivedMs += 60_000
    expect((await ask()).status).toBe(200)
  })

  test('a breached hour refuses however calm the minute is', async () => {
    let arrivedMs = UNTIL
    const sim = await start({ quirks: { perMinute: 60, perHour: 3, rateLimitStatus: 200 }, arrivalClock: () => arrivedMs })
    for (let i = 0; i < 3; i++) await call(sim, `${BOT}/getSessions`, {})
    arrivedMs += 10 * 60_000
    const { status, body } = await call(sim, `${BOT}/getSessions`, {})
    expect([status, body.errors[0]?.msg]).toEqual([
      200,
      "You've exceeded the hourly rate limit. Please wait for sometime before retrying.",
    ])
  })
})
