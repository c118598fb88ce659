import { afterEach, describe, expect, test } from 'vitest'
import {
  type BotmakerOptions,
  type BotmakerSimulator,
  sessionIdOf,
  startBotmakerSimulator,
  shownAs,
} from '../../connectors/botmaker/simulator.ts'
import { createWorld, type Conversation } from '../../src/sim/index.ts'

/** The simulator against the vendor's documents, and its switches against what clients have met. */
const HOUR = 3_600_000
const DAY = 24 * HOUR
const UNTIL = Date.parse('2026-11-10T12:00:00Z')
const FROM = UNTIL - 40 * DAY
const world = createWorld({ seed: 5, sessions: 4000, fromMs: FROM, untilMs: UNTIL })
const iso = (ms: number) => new Date(ms).toISOString()

type Row = Record<string, unknown> & { id: string; messages?: Record<string, unknown>[]; events?: Record<string, unknown>[] }
type Body = { items: Row[]; nextPage?: string | null }

const running: BotmakerSimulator[] = []

async function start(options: Partial<BotmakerOptions> = {}): Promise<BotmakerSimulator> {
  const quirks = { requestsPerSecond: 0, ...options.quirks }
  const sim = await startBotmakerSimulator({ world, now: () => UNTIL, ...options, quirks })
  running.push(sim)
  return sim
}

afterEach(async () => {
  for (const sim of running.splice(0)) await sim.stop()
})

async function get(sim: BotmakerSimulator, path: string, query: Record<string, string> = {}, headers?: Record<string, string>) {
  const url = path.startsWith('http') ? path : `${sim.url}${path}?${new URLSearchParams(query)}`
  const answer = await fetch(url, { headers: headers ?? { 'access-token': sim.config['access.token'] ?? '' } })
  const text = await answer.text()
  return { answer, status: answer.status, text, body: (text === '' ? null : JSON.parse(text)) as Body }
}

const sessions = (sim: BotmakerSimulator, query: Record<string, string> = {}) => get(sim, '/v2.0/sessions', query)

async function allSessions(sim: BotmakerSimulator, query: Record<string, string>): Promise<{ items: Row[]; pages: number[] }> {
  const items: Row[] = []
  const pages: number[] = []
  let { body } = await sessions(sim, query)
  for (;;) {
    items.push(...body.items)
    pages.push(body.items.length)
    if (typeof body.nextPage !== 'string') return { items, pages }
    body = (await get(sim, body.nextPage)).body
  }
}

const codeOf = ({ body, status }: { body: unknown; status: number }) => [
  status,
  (body as { errors: { code: string }[] }).errors[0]?.code,
]
const known = (from: number, until: number, nowMs = UNTIL): Conversation[] => [...world.at(nowMs).between(from, until)]
const ids = (rows: readonly Row[]) => rows.map(({ id }) => id)
const FULL = {
  'include-open-sessions': 'true',
  'include-messages': 'true',
  'include-events': 'true',
  'include-variables': 'true',
}

describe('GET /v2.0/sessions', () => {
  const range = { from: iso(UNTIL - 3 * DAY), to: iso(UNTIL - DAY) }

  test('sessions that start between from and to come in the order of their start', async () => {
    const { items } = await allSessions(await start(), { ...range, 'include-open-sessions': 'true' })
    expect(ids(items)).toEqual(known(UNTIL - 3 * DAY, UNTIL - DAY).map(sessionIdOf))
    expect(items.map(({ creationTime }) => creationTime)).toEqual(
      known(UNTIL - 3 * DAY, UNTIL - DAY).map(({ startedAtMs }) => iso(startedAtMs)),
    )
  })

  test('without include-open-sessions only closed sessions come', async () => {
    const { items } = await allSessions(await start(), range)
    expect(ids(items)).toEqual(
      known(UNTIL - 3 * DAY, UNTIL - DAY)
        .filter(({ closedAtMs }) => closedAtMs !== null)
        .map(sessionIdOf),
    )
  })

  test('without from and to the last day comes', async () => {
    const { items } = await allSessions(await start(), { 'include-open-sessions': 'true' })
    expect(ids(items)).toEqual(
      known(UNTIL - DAY, UNTIL + 1)
        .filter(({ startedAtMs }) => startedAtMs < UNTIL)
        .map(sessionIdOf),
    )
  })

  test('messages, events, variables and analysis come only when asked for', async () => {
    const sim = await start()
    const bare = (await sessions(sim)).body.items[0] as Row
    expect(Object.keys(bare)).toEqual(['id', 'creationTime', 'startingCause', 'chat'])
    expect(bare['chat']).not.toHaveProperty('variables')
    for (const part of ['messages', 'events'] as const)
      expect(Object.keys((await sessions(sim, { [`include-${part}`]: 'true' })).body.items[0] as Row)).toContain(part)
    expect((await sessions(sim, { 'include-variables': 'true' })).body.items[0]?.['chat']).toHaveProperty('variables')
    expect((await sessions(sim, { 'include-ai-analysis': 'true' })).body.items[0]?.['aiAnalysis']).toHaveProperty('aspectScores')
  })

  test('each session tells its messages and events as the world has them', async () => {
    const { items } = await allSessions(await start(), { ...FULL, ...range })
    const truth = known(UNTIL - 3 * DAY, UNTIL - DAY)
    for (const [place, conversation] of truth.entries()) {
      const row = items[place] as Row
      expect(row.messages?.map(({ id, creationTime, from }) => [id, creationTime, from])).toEqual(
        conversation.messages.map(({ id, atMs, sender }) => [id, iso(atMs), sender]),
      )
      expect(row.events).toEqual(
        conversation.events.flatMap(event => {
          const told = shownAs(event)
          return told === null ? [] : [{ ...told, creationTime: iso(event.atMs) }]
        }),
      )
    }
    const contents = items.flatMap(({ messages }) => messages?.map(({ content }) => content as Record<string, unknown>) ?? [])
    expect(new Set(contents.map(({ type }) => type)).size).toBeGreaterThan(5)
    expect(contents.every(content => 'text' in content !== 'media' in content)).toBe(true)
  })

  test('the shapes are the documented ones', async () => {
    const { items } = await allSessions(await start(), { ...FULL, ...range })
    const row = items.find(({ chat }) => (chat as { agentId: unknown }).agentId !== null) ?? items[0]
    expect(row).toMatchObject({
      id: expect.stringMatching(/^[A-Z0-9]{20}_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      creationTime: expect.stringMatching(/Z$/),
      startingCause: expect.stringMatching(/^(Organic|WhatsAppTemplate)$/),
      chat: {
        chat: {
          chatId: row?.id.slice(0, 20),
          channelId: expect.stringMatching(/^acme-\w+-(null|\d+)-[A-Z0-9]{10}$/),
          contactId: expect.any(String),
        },
        creationTime: expect.any(String),
        lastSessionCreationTime: expect.any(String),
        firstName: expect.any(String),
        lastName: expect.any(String),
        email: expect.stringMatching(/@example\.com$/),
        country: expect.any(String),
        variables: expect.any(Object),
        tags: expect.any(Array),
        isBanned: false,
        isTester: expect.any(Boolean),
        isBotMuted: expect.any(Boolean),
      },
    })
  })

  test('the chat is told as it is now, the same on every session of its contact', async () => {
    const { items } = await allSessions(await start(), { ...FULL, from: iso(FROM), 'long-term-search': 'true' })
    const byChat = Map.groupBy(items, ({ id }) => id.slice(0, 20))
    const several = [...byChat.values()].filter(rows => rows.length > 2)
    expect(several.length).toBeGreaterThan(10)
    for (const rows of several) for (const row of rows) expect(row['chat']).toEqual(rows[0]?.['chat'])
  })

  test('what is kept between requests never shows: at any time, forwards and back, the answer is that of a simulator just started', async () => {
    const [, visits] = [...Map.groupBy(known(FROM, UNTIL), ({ person }) => person.key)].find(([, list]) => list.length > 3) as [
      number,
      Conversation[],
    ]
    const [first, second] = visits as [Conversation, Conversation]
    const steps = [...first.messages, ...first.events, ...second.messages, ...second.events].map(({ atMs }) => atMs)
    const query = { ...FULL, from: iso(first.startedAtMs), to: iso(first.startedAtMs + 1), 'long-term-search': 'true' }
    let nowMs = UNTIL
    const sim = await start({ now: () => nowMs })
    const ascending = steps.toSorted((a, b) => a - b)
    for (nowMs of [...ascending, ...ascending.toReversed()]) {
      const fresh = await start({ now: () => nowMs })
      expect((await sessions(sim, query)).text).toBe((await sessions(fresh, query)).text)
    }
  })

  test('a session grows and closes between two reads', async () => {
    const late = world
      .at(UNTIL + 3 * DAY)
      .between(FROM, UNTIL)
      .find(({ closedAtMs, startedAtMs }) => (closedAtMs ?? 0) - startedAtMs > DAY) as Conversation
    let nowMs = late.startedAtMs
    const sim = await start({ now: () => nowMs })
    const query = { ...FULL, from: iso(late.startedAtMs), to: iso(late.startedAtMs + 1) }
    const first = (await sessions(sim, query)).body.items[0] as Row
    nowMs = late.startedAtMs + DAY
    const second = (await sessions(sim, query)).body.items[0] as Row
    nowMs = late.lastAtMs
    const third = (await sessions(sim, query)).body.items[0] as Row
    const closes = (row: Row) => row.events?.filter(({ name }) => name === 'conversation-close').length
    expect([first, second, third].map(({ id }) => id)).toEqual(Array.from({ length: 3 }, () => sessionIdOf(late)))
    expect(second.messages?.length).toBeGreaterThan(first.messages?.length ?? Infinity)
    expect([first, second, third].map(closes)).toEqual([0, 0, 1])
    nowMs = late.startedAtMs
    expect((await sessions(sim, query)).body.items[0]).toEqual(first)
  })

  test('a page has at most 500 sessions, or as many as the simulator is told; nextPage is an absolute URL with an opaque token', async () => {
    const wide = { from: iso(UNTIL - 14 * DAY), 'include-open-sessions': 'true', 'long-term-search': 'true' }
    const sim = await start()
    const first = await sessions(sim, wide)
    expect(first.body.items).toHaveLength(500)
    expect(first.body.nextPage).toMatch(new RegExp(`^${sim.url}/v2.0/sessions\\?next-page-token=[\\w-]+$`))
    const { items, pages } = await allSessions(await start({ pageSize: 7 }), { ...range, ...FULL })
    expect(ids(items)).toEqual(known(UNTIL - 3 * DAY, UNTIL - DAY).map(sessionIdOf))
    expect(new Set(pages.slice(0, -1))).toEqual(new Set([7]))
    expect(items.at(-1)).toHaveProperty('messages')
  })

  test('the last page has no nextPage, or null', async () => {
    expect((await sessions(await start(), range)).body).not.toHaveProperty('nextPage')
    expect((await sessions(await start({ quirks: { lastPage: 'null' } }), range)).body.nextPage).toBeNull()
  })

  test.each([
    ['items', 200, '{"items":[]}'],
    ['204', 204, ''],
    ['blank', 200, ''],
  ] as const)('an empty period answers as %s', async (emptyPeriod, status, text) => {
    const got = await sessions(await start({ quirks: { emptyPeriod } }), { from: iso(UNTIL + DAY), to: iso(UNTIL + 2 * DAY) })
    expect([got.status, got.text]).toEqual([status, text])
    if (text === '') expect(got.answer.headers.get('content-length')).toBe(status === 204 ? null : '0')
  })

  test('unknown parameters are ignored without a word', async () => {
    const sim = await start()
    expect((await sessions(sim, { ...range, chatId: 'X', includeMessages: 'true', limit: '1' })).body).toEqual(
      (await sessions(sim, range)).body,
    )
  })

  test('more than a month needs long-term-search: 400 INVALID_DATETIME_INTERVAL', async () => {
    const sim = await start({ quirks: { longTermAfterMs: Infinity } })
    const month = { from: '2026-10-09T00:00:00Z', to: '2026-11-09T00:00:00Z' }
    expect((await sessions(sim, month)).status).toBe(200)
    const more = await sessions(sim, { ...month, to: '2026-11-09T00:00:00.001Z' })
    expect(codeOf(more)).toEqual([400, 'INVALID_DATETIME_INTERVAL'])
    expect(more.text).toContain('cannot exceed 1 month')
    expect((await sessions(sim, { ...month, to: '2026-11-10T00:00:00Z', 'long-term-search': 'true' })).status).toBe(200)
  })

  test('an old from needs long-term-search: 400 LONG_TERM_SEARCH_PARAM_REQUIRED', async () => {
    const sim = await start()
    const old = { from: iso(UNTIL - 7 * DAY - 1), to: iso(UNTIL - 7 * DAY) }
    expect(codeOf(await sessions(sim, old))).toEqual([400, 'LONG_TERM_SEARCH_PARAM_REQUIRED'])
    expect((await sessions(sim, { ...old, 'long-term-search': 'true' })).status).toBe(200)
    expect((await sessions(sim, { from: iso(UNTIL - 7 * DAY), to: iso(UNTIL) })).status).toBe(200)
  })

  test.each([
    [{ from: '2026-11-09T00:00:00-05:00' }],
    [{ from: 'yesterday' }],
    [{ to: '2026-11-09' }],
    [{ from: '2026-11-09T00:00:00Z', to: '2026-11-08T00:00:00Z' }],
  ] as Record<string, string>[][])('a range that is none is 400 with the errors envelope: %j', async query => {
    const got = await sessions(await start(), query)
    expect(codeOf(got)).toEqual([400, expect.stringMatching(/^INVALID_DATETIME/)])
  })

  test('numeric offsets can be let in, and to can be made to need from', async () => {
    expect(
      (await sessions(await start({ quirks: { offsetsRefused: false } }), { from: '2026-11-09T00:00:00-05:00' })).status,
    ).toBe(200)
    expect((await sessions(await start(), { to: iso(UNTIL) })).status).toBe(200)
    expect((await sessions(await start({ quirks: { toNeedsFrom: true } }), { to: iso(UNTIL) })).status).toBe(400)
  })

  test('times come to the second when asked for', async () => {
    const [row] = (await sessions(await start(), { ...range, ...FULL, 'timestamp-precision': 'seconds' })).body.items
    expect(row?.['creationTime']).toMatch(/:\d\dZ$/)
    expect(row?.messages?.[0]?.['creationTime']).toMatch(/:\d\dZ$/)
    expect(row?.id).toMatch(/\.\d{3}Z$/)
  })

  test('more than five requests in a rolling second get 429, with or without Retry-After', async () => {
    let arrivedMs = 0
    const limited = (retryAfter: 'seconds' | 'date' | 'none') =>
      start({ arrivalClock: () => arrivedMs, quirks: { requestsPerSecond: 5, retryAfter } })
    const sim = await limited('seconds')
    const statuses = []
    for (const atMs of [0, 100, 200, 300, 400, 999, 1000, 1001]) {
      arrivedMs = atMs
      statuses.push((await sessions(sim, range)).status)
    }
    expect(statuses).toEqual([200, 200, 200, 200, 200, 429, 200, 429])
    expect((await sessions(sim, range)).answer.headers.get('retry-after')).toBe('1')
    for (const [how, header] of [
      ['date', 'Thu, 01 Jan 1970 00:00:03 GMT'],
      ['none', null],
    ] as const) {
      const other = await limited(how)
      for (let number = 0; number < 5; number++) await sessions(other, range)
      expect((await sessions(other, range)).answer.headers.get('retry-after')).toBe(header)
    }
  })

  test('only the bots of the business show, on its channels', async () => {
    const sim = await start({ bots: ['support'], account: 'beta-shop', pageSize: 5 })
    const { items } = await allSessions(sim, { ...range, 'include-open-sessions': 'true' })
    expect(ids(items)).toEqual(
      known(UNTIL - 3 * DAY, UNTIL - DAY)
        .filter(({ bot }) => bot.id === 'support')
        .map(sessionIdOf),
    )
    expect(sim.config['account']).toBe('beta-shop')
    expect(items[0]?.['chat']).toMatchObject({ chat: { channelId: expect.stringMatching(/^beta-shop-/) } })
  })

  describe('switched on', () => {
    test('a link to the next page names another origin', async () => {
      const { body } = await sessions(await start({ pageSize: 2, quirks: { nextPageOrigin: 'http://api.example.com' } }), range)
      expect(body.nextPage).toMatch(/^http:\/\/api\.example\.com\/v2\.0\/sessions\?/)
    })

    test('a link to the next page runs out; a forged one never worked', async () => {
      let nowMs = UNTIL
      const sim = await start({ now: () => nowMs, pageSize: 2, quirks: { nextPageLivesMs: HOUR } })
      const link = (await sessions(sim, range)).body.nextPage as string
      expect((await get(sim, link)).status).toBe(200)
      expect((await get(sim, `${link.slice(0, -6)}AAAAAA`)).status).toBe(400)
      nowMs += HOUR
      expect((await get(sim, link)).status).toBe(400)
    })

    test('the last session of a page comes again on the next', async () => {
      const { items } = await allSessions(await start({ pageSize: 5, quirks: { duplicateAcrossPages: true } }), range)
      const plain = ids((await allSessions(await start(), range)).items)
      expect(items.length).toBeGreaterThan(plain.length)
      expect([...new Set(ids(items))]).toEqual(plain)
    })

    test('messages have no ids', async () => {
      const { items } = (await sessions(await start({ quirks: { messageIds: false } }), { ...range, ...FULL })).body
      expect(items.flatMap(({ messages }) => messages ?? []).some(message => 'id' in message)).toBe(false)
    })

    test('events come in another order, the same ones', async () => {
      const mixed = (await allSessions(await start({ quirks: { eventOrder: 'shuffled' } }), { ...range, ...FULL })).items
      const plain = (await allSessions(await start(), { ...range, ...FULL })).items
      const sorted = (rows: Row[]) => rows.map(({ events }) => events?.map(event => JSON.stringify(event)).toSorted())
      expect(mixed.map(({ events }) => events)).not.toEqual(plain.map(({ events }) => events))
      expect(sorted(mixed)).toEqual(sorted(plain))
    })

    test('some texts hold a NUL', async () => {
      const { text } = await sessions(await start({ quirks: { nulBytes: true } }), { ...range, ...FULL })
      expect(text).toContain(String.raw`\u0000`)
      expect((await sessions(await start(), { ...range, ...FULL })).text).not.toContain(String.raw`\u0000`)
    })

    test('the analysis comes in its older and in its empty shapes', async () => {
      const of = async (aiAnalysis: 'numbers' | 'mixed' | 'results') =>
        (await sessions(await start({ quirks: { aiAnalysis } }), { ...range, 'include-ai-analysis': 'true' })).body.items.map(
          row => row['aiAnalysis'] as Record<string, Record<string, unknown>>,
        )
      expect((await of('results'))[0]?.['aspectScores']?.['empathy']).toEqual({ result: expect.any(Number), weight: 0.5 })
      expect((await of('numbers'))[0]?.['aspectScores']?.['empathy']).toEqual(expect.any(Number))
      const mixed = await of('mixed')
      expect(mixed).toContainEqual({})
      expect(mixed).toContainEqual({ doesNotMeetCriteria: true })
    })

    test('the queue of a chat never comes', async () => {
      expect((await sessions(await start({ quirks: { chatQueue: false } }), range)).body.items[0]?.['chat']).not.toHaveProperty(
        'queueId',
      )
      expect((await sessions(await start(), range)).body.items[0]?.['chat']).toHaveProperty('queueId')
    })

    test('a session that starts exactly at to belongs to the answer', async () => {
      const [first] = known(UNTIL - 2 * DAY, UNTIL - DAY) as [Conversation]
      const at = { from: iso(first.startedAtMs), to: iso(first.startedAtMs), 'include-open-sessions': 'true' }
      expect((await sessions(await start({ quirks: { windowEdges: 'closed' } }), at)).body.items).toHaveLength(1)
      expect((await sessions(await start(), at)).body.items).toHaveLength(0)
    })

    test('sessions show later than they began', async () => {
      const { items } = await allSessions(await start({ quirks: { visibleAfterMs: 2 * HOUR } }), {
        'include-open-sessions': 'true',
      })
      expect(ids(items)).toEqual(known(UNTIL - DAY, UNTIL - 2 * HOUR).map(sessionIdOf))
    })
  })
})

describe('access', () => {
  test('the bare token in access-token is let in; a Bearer prefix, another header, another token or none is 401', async () => {
    const sim = await start({ token: 'the-token' })
    const statuses = []
    const tries: Record<string, string>[] = [
      { 'access-token': 'the-token' },
      { 'access-token': 'Bearer the-token' },
      { authorization: 'Bearer the-token' },
      { 'access-token': 'other' },
      {},
    ]
    for (const headers of tries) statuses.push((await get(sim, '/v2.0/sessions', {}, headers)).status)
    expect(statuses).toEqual([200, 401, 401, 401, 401])
    expect((await get(sim, '/api/v1.0/metrics/download-page', {}, {})).status).toBe(401)
  })

  test('switched on, the reason phrase of a 401 repeats the token, and bursts get 401 with a good one', async () => {
    const echo = await get(await start({ quirks: { echoToken: true } }), '/v2.0/sessions', {}, { 'access-token': 'leaked-token' })
    expect(echo.answer.statusText).toContain('leaked-token')
    let arrivedMs = 0
    const sim = await start({ arrivalClock: () => arrivedMs, quirks: { burst401PerSecond: 2 } })
    const statuses = []
    for (const atMs of [0, 1, 2, 3, 1001]) {
      arrivedMs = atMs
      statuses.push((await sessions(sim)).status)
    }
    expect(statuses).toEqual([200, 200, 401, 401, 200])
  })

  test('a refresh gives a new pair once the token has expired, nothing before, and each refresh token works once', async () => {
    const sim = await start()
    const refresh = async (refreshToken: string) => {
      const answer = await fetch(`${sim.url}/api/v1.0/auth/credentials`, {
        method: 'POST',
        headers: {
          clientId: sim.configRefresh['refresh.client.id'] ?? '',
          secretId: sim.configRefresh['refresh.client.secret'] ?? '',
          refreshToken,
        },
      })
      return { status: answer.status, body: answer.status === 200 ? ((await answer.json()) as Record<string, string>) : null }
    }
    const first = sim.configRefresh['refresh.token'] ?? ''
    expect(await refresh(first)).toEqual({ status: 204, body: null })
    sim.expireToken()
    expect((await sessions(sim)).status).toBe(401)
    const { body } = await refresh(first)
    expect(body).toEqual({ accessToken: expect.any(String), refreshToken: expect.any(String) })
    expect((await get(sim, '/v2.0/sessions', {}, { 'access-token': body?.['accessToken'] ?? '' })).status).toBe(200)
    expect((await sessions(sim)).status).toBe(401)
    sim.expireToken()
    expect((await refresh(first)).status).toBe(401)
    expect((await refresh(body?.['refreshToken'] ?? '')).status).toBe(200)
  })
})

describe('GET /v2.0/agents', () => {
  type Agent = { id: string; name: string; email: string }
  const agents = async (sim: BotmakerSimulator, query = {}) =>
    (await get(sim, '/v2.0/agents', query)).body.items as unknown as Agent[]

  test('every agent who wrote in a session is listed with a name, and filters by online and emails work', async () => {
    const sim = await start()
    const items = await agents(sim)
    const names = new Map(items.map(({ id, name }) => [id, name]))
    const wrote = known(UNTIL - 3 * DAY, UNTIL).flatMap(({ messages }) => messages.flatMap(({ agent }) => (agent ? [agent] : [])))
    expect(wrote.length).toBeGreaterThan(10)
    for (const { id, name } of wrote) expect(names.get(id)).toBe(name)
    expect(names.size).toBe(items.length)
    const [first, second] = items
    expect(await agents(sim, { emails: `${first?.email},${second?.email}` })).toEqual([first, second])
    expect(await agents(sim, { online: 'false' })).toEqual([])
  })

  test('only those of the bots of the business', async () => {
    const all = (await agents(await start())).length
    const some = (await agents(await start({ bots: [world.bots[0]?.id ?? ''] }))).length
    expect(some).toBeGreaterThan(0)
    expect(some).toBeLessThan(all)
  })
})

describe('GET /v2.0/channels and /v2.0/messages', () => {
  test('every channel of a session is listed with its platform', async () => {
    const sim = await start()
    const { items } = (await get(sim, '/v2.0/channels')).body as unknown as {
      items: { id: string; platform: string; active: boolean }[]
    }
    const used = (await sessions(sim)).body.items.map(row => (row['chat'] as { chat: { channelId: string } }).chat.channelId)
    expect(items.map(({ id }) => id)).toEqual(expect.arrayContaining(used))
    expect(new Set(items.map(({ platform }) => platform))).toEqual(
      new Set(['webchat', 'whatsapp', 'messenger', 'instagram', 'telegram']),
    )
    expect((await get(sim, '/v2.0/channels', { platform: 'webchat' })).body.items).toHaveLength(3)
  })

  test('a message names its session by the two parts of its id, and does not where that is switched off', async () => {
    const range = { from: iso(UNTIL - 3 * HOUR), to: iso(UNTIL), limit: '1500' }
    const listed = async (quirks: BotmakerOptions['quirks']) =>
      (await get(await start({ quirks: quirks ?? {} }), '/v2.0/messages', range)).body.items
    const starts = new Map(
      known(UNTIL - 3 * DAY, UNTIL + 1).flatMap(each => each.messages.map(({ id }) => [id, sessionIdOf(each)] as const)),
    )
    for (const item of await listed({})) {
      const { chatId } = item['chat'] as { chatId: string }
      expect(item['sessionId']).toBe(starts.get(item.id))
      expect(item['sessionId']).toBe(`${chatId}_${String(item['sessionCreationTime'])}`)
    }
    for (const item of await listed({ timestampPrecision: 'seconds' }))
      expect(item['sessionId']).toBe(starts.get(item.id)?.replace(/\.\d{3}Z$/, 'Z'))
    const without = await listed({ messageSessions: false })
    expect(without.length).toBeGreaterThan(5)
    for (const item of without) expect(Object.keys(item)).not.toEqual(expect.arrayContaining(['sessionId']))
  })

  test('messages without from and to are those of three days, or with long-term-search of a day up to an hour ago', async () => {
    const sim = await start()
    const times = async (query: Record<string, string>) => {
      const { items, pages } = { items: [] as Row[], pages: 0 }
      let { body } = await get(sim, '/v2.0/messages', { limit: '1500', ...query })
      for (let n = pages; ; n++) {
        items.push(...body.items)
        if (typeof body.nextPage !== 'string') break
        body = (await get(sim, body.nextPage)).body
      }
      return items.map(({ creationTime }) => Date.parse(String(creationTime)))
    }
    const [recent, long] = [await times({}), await times({ 'long-term-search': 'true' })]
    expect(Math.min(...recent)).toBeLessThan(UNTIL - 2 * DAY)
    expect(Math.min(...recent)).toBeGreaterThanOrEqual(UNTIL - 3 * DAY)
    expect(Math.max(...recent)).toBeGreaterThan(UNTIL - HOUR)
    expect(Math.min(...long)).toBeGreaterThanOrEqual(UNTIL - HOUR - DAY)
    expect(Math.max(...long)).toBeLessThan(UNTIL - HOUR)
  })

  test('messages have a limit of their own: more than five requests in a rolling second get 429', async () => {
    const sim = await start({ quirks: { requestsPerSecond: 5 }, arrivalClock: () => UNTIL })
    for (let n = 0; n < 5; n++) expect((await get(sim, '/v2.0/messages', { from: iso(UNTIL - HOUR) })).status).toBe(200)
    expect((await get(sim, '/v2.0/messages', { from: iso(UNTIL - HOUR) })).status).toBe(429)
    expect((await sessions(sim)).status).toBe(200)
  })

  test('messages come oldest first, page by page; chat-id filters and chatId does not', async () => {
    const sim = await start()
    const range = { from: iso(UNTIL - DAY), to: iso(UNTIL), limit: '100' }
    const seen: Row[] = []
    let next: string | null | undefined
    do {
      const { body } = next ? await get(sim, next) : await get(sim, '/v2.0/messages', range)
      seen.push(...body.items)
      next = body.nextPage
    } while (next)
    const truth = known(UNTIL - 3 * DAY, UNTIL + 1)
      .flatMap(({ messages }) => messages)
      .filter(({ atMs }) => atMs >= UNTIL - DAY && atMs < UNTIL)
    expect(new Set(ids(seen))).toEqual(new Set(truth.map(({ id }) => id)))
    expect(seen).toHaveLength(truth.length)
    const times = seen.map(({ creationTime }) => Date.parse(String(creationTime)))
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    const { chat } = seen[0] as unknown as { chat: { chatId: string } }
    const filtered = (await get(sim, '/v2.0/messages', { ...range, 'chat-id': chat.chatId })).body.items
    expect(filtered.every(item => (item['chat'] as typeof chat).chatId === chat.chatId)).toBe(true)
    expect((await get(sim, '/v2.0/messages', { ...range, chatId: chat.chatId })).body.items).toEqual(
      (await get(sim, '/v2.0/messages', range)).body.items,
    )
    expect(codeOf(await get(sim, '/v2.0/messages', { from: iso(UNTIL - 3 * DAY - 1) }))).toEqual([
      400,
      'LONG_TERM_SEARCH_PARAM_REQUIRED',
    ])
  })
})

describe('API v1.0 metrics export', () => {
  type Page = Record<string, unknown> & {
    hasMore: boolean
    pageToken?: string
    sessions: (Record<string, unknown> & { sessionId: string })[]
  }

  async function post(
    sim: BotmakerSimulator,
    path: string,
    query: Record<string, string>,
  ): Promise<{ status: number; body: Page }> {
    const answer = await fetch(`${sim.url}/api/v1.0/metrics/${path}?${new URLSearchParams(query)}`, {
      method: 'POST',
      headers: {
        'access-token': sim.configV1['access.token'] ?? '',
        'content-type': 'application/json',
        accept: 'application/json',
      },
    })
    return { status: answer.status, body: (await answer.json()) as Page }
  }

  const begin = async (sim: BotmakerSimulator, fromDate = iso(UNTIL - 5 * DAY)) =>
    (await post(sim, 'v2/download', { fromDate })).body.pageToken ?? ''

  async function all(sim: BotmakerSimulator): Promise<Page[]> {
    const pages: Page[] = []
    let token = await begin(sim)
    for (;;) {
      const { body } = await post(sim, 'download-page', { pageToken: token })
      pages.push(body)
      if (!body.hasMore) return pages
      token = body.pageToken ?? token
    }
  }

  const truth = known(UNTIL - 5 * DAY, UNTIL + 1)

  test.each(['v2/download', 'download'])(
    '%s begins an export: a UUID token, more to come, a note, and the date it understood',
    async path => {
      const { status, body } = await post(await start(), path, { fromDate: '2026-11-08T12:33:48' })
      expect(status).toBe(200)
      expect(body).toEqual({
        hasMore: true,
        pageToken: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/),
        note: expect.stringContaining('/download-page'),
        dateFrom: '2026-11-08T12:33:48.000Z',
      })
    },
  )

  test('without a date that can be read, 400', async () => {
    expect((await post(await start(), 'v2/download', { fromDate: 'today' })).status).toBe(400)
    expect((await post(await start(), 'v2/download', {})).status).toBe(400)
  })

  test('the pages together hold every session from the date on, each once, at most 1,000 a page', async () => {
    const [page] = await all(await start())
    expect(page?.sessions.map(({ sessionId }) => sessionId)).toEqual(truth.map(sessionIdOf))
    const pages = await all(await start({ exportPageSize: 40 }))
    expect(pages.flatMap(({ sessions }) => sessions.map(({ sessionId }) => sessionId))).toEqual(truth.map(sessionIdOf))
    expect(pages.slice(0, -1).every(({ sessions, pageRows }) => sessions.length === 40 && pageRows === 40)).toBe(true)
    expect(pages.every(({ totalRows }) => totalRows === truth.length)).toBe(true)
    const sim = await start()
    const { body } = await post(sim, 'download-page', { pageToken: await begin(sim, iso(FROM)) })
    expect(body.sessions).toHaveLength(1000)
    expect(body.hasMore).toBe(true)
  })

  test('a page tells the times of its first and last session', async () => {
    const [page] = await all(await start({ exportPageSize: 40 }))
    expect([page?.['fromDate'], page?.['toDate']]).toEqual([iso(truth[0]?.startedAtMs ?? 0), iso(truth[39]?.startedAtMs ?? 0)])
  })

  test('a session has the fields and types of the documents, their odd ones too', async () => {
    const [page] = await all(await start())
    const place = truth.findIndex(
      ({ messages, events }) =>
        messages.some(({ sender }) => sender === 'agent') && events.some(({ kind }) => kind === 'variable'),
    )
    const conversation = truth[place] as Conversation
    const row = page?.sessions[place] as Record<string, unknown>
    const count = (sender: string) => conversation.messages.filter(message => message.sender === sender).length
    expect(row).toMatchObject({
      sessionId: `${conversation.person.id}_${iso(conversation.startedAtMs)}`,
      sessionDate: iso(conversation.startedAtMs),
      customerId: conversation.person.id,
      platformContactId: expect.any(String),
      channelId: expect.stringMatching(/^acme-/),
      userCreationTime: iso(conversation.person.createdAtMs),
      userHasTalked: 'true',
      botMessages: count('bot'),
      userMessages: count('user'),
      operatorMessages: count('agent'),
      sessionMessagesQty: count('bot') + count('user'),
      sessionStartingCause: expect.stringMatching(/^(Organic|WhatsAppTemplate)$/),
      conversation: `https://go.botmaker.com/#/chats/${conversation.person.id}`,
    })
    expect(row['variables']).toEqual(expect.arrayContaining([expect.stringMatching(/^\w+:/)]))
    expect(row['topics']).toEqual(expect.arrayContaining([expect.any(String)]))
    const messages = row['sessionMessages'] as Record<string, unknown>[]
    expect(messages.map(({ messageId, creationTime, msgFrom }) => [messageId, creationTime, msgFrom])).toEqual(
      conversation.messages.map(({ id, atMs, sender }) => [id, iso(atMs), sender]),
    )
    expect(messages[0]).toMatchObject({
      messageType: 'Text',
      imagesUrls: 'null',
      audiosUrls: 'null',
      videosUrls: 'null',
      filesUrls: 'null',
    })
    expect(messages.find(({ msgFrom }) => msgFrom === 'agent')).toMatchObject({
      operator: expect.any(String),
      queue: expect.any(String),
    })
    const put = (row['events'] as Record<string, unknown>[]).find(({ eventName }) => eventName === 'put-var')
    expect(put).toEqual({
      eventName: 'put-var',
      eventCreationTime: expect.stringMatching(/Z$/),
      info: [
        { name: 'key', value: expect.any(String) },
        { name: 'value', value: expect.any(String) },
      ],
    })
  })

  test('a token lives one day; an unknown one never did', async () => {
    let nowMs = UNTIL
    const sim = await start({ now: () => nowMs })
    const pageToken = await begin(sim)
    nowMs += DAY - 1
    expect((await post(sim, 'download-page', { pageToken })).status).toBe(200)
    nowMs += 1
    expect((await post(sim, 'download-page', { pageToken })).status).toBe(404)
    expect((await post(await start({ quirks: { expiredStatus: 400 } }), 'download-page', { pageToken })).status).toBe(400)
  })

  test('an export shows the sessions as they were when it was begun', async () => {
    let nowMs = UNTIL - 20 * HOUR
    const sim = await start({ now: () => nowMs })
    const pageToken = await begin(sim)
    nowMs = UNTIL
    const { body } = await post(sim, 'download-page', { pageToken })
    expect(body.sessions.map(({ sessionId }) => sessionId)).toEqual(
      known(UNTIL - 5 * DAY, UNTIL, UNTIL - 20 * HOUR).map(sessionIdOf),
    )
  })

  test('by default each page brings the token of the next, and a page can be fetched again', async () => {
    const sim = await start({ exportPageSize: 40 })
    const pageToken = await begin(sim)
    const first = (await post(sim, 'download-page', { pageToken })).body
    expect(first.pageToken).not.toBe(pageToken)
    expect((await post(sim, 'download-page', { pageToken })).body.sessions).toEqual(first.sessions)
  })

  describe('switched on', () => {
    test('one token goes on for all pages', async () => {
      const pages = await all(await start({ exportPageSize: 40, quirks: { pageToken: 'sticky' } }))
      expect(pages.every(page => !('pageToken' in page))).toBe(true)
      expect(pages.flatMap(({ sessions }) => sessions.map(({ sessionId }) => sessionId))).toEqual(truth.map(sessionIdOf))
    })

    test('the first calls find nothing ready yet', async () => {
      const pages = await all(await start({ quirks: { notReadyCalls: 2 } }))
      expect(pages.slice(0, 2)).toEqual([
        { hasMore: true, sessions: [] },
        { hasMore: true, sessions: [] },
      ])
      expect(pages[2]?.sessions).toHaveLength(truth.length)
    })

    test('booleans, nulls, variables, topics and URLs come in their other shapes', async () => {
      const quirks = { booleans: 'boolean', nulls: 'everywhere', variables: 'objects', topics: 'objects', urls: 'array' } as const
      const rows = (await all(await start({ quirks }))).flatMap(({ sessions }) => sessions)
      const messages = rows.flatMap(({ sessionMessages }) => sessionMessages as Record<string, unknown>[])
      expect(new Set(rows.map(({ userHasTalked }) => userHasTalked))).toEqual(new Set([true, false]))
      expect(messages.some(({ operator }) => operator === null)).toBe(false)
      expect(messages.some(({ imagesUrls }) => Array.isArray(imagesUrls))).toBe(true)
      expect(rows.flatMap(({ variables }) => variables as unknown[]).every(each => typeof each === 'object')).toBe(true)
      expect(rows.flatMap(({ topics }) => topics as unknown[])).toContainEqual({ topicKey: expect.any(String) })
      const [plain] = await all(await start({ quirks: { nulls: 'null', variables: 'map' } }))
      expect(plain?.sessions[0]?.['sessionMessages']).toMatchObject(
        expect.arrayContaining([expect.objectContaining({ imagesUrls: null })]),
      )
      expect(plain?.sessions.every(({ variables }) => !Array.isArray(variables))).toBe(true)
      const [mapped] = await all(await start({ quirks: { topics: 'map' } }))
      expect(mapped?.sessions.every(({ topics }) => !Array.isArray(topics))).toBe(true)
      expect(mapped?.sessions.flatMap(({ topics }) => Object.values(topics as object))).toContain(true)
    })
  })
})

test('what a connector needs is told, and requests are counted', async () => {
  const sim = await start()
  expect(sim.config).toEqual({ account: 'acme', 'base.url': `${sim.url}/v2.0`, 'access.token': expect.any(String) })
  expect(sim.configV1).toEqual({ ...sim.config, 'base.url': `${sim.url}/api/v1.0`, 'api.version': 'v1' })
  await sessions(sim)
  sim.faults.next({ kind: 'status', status: 500 }, { path: '/v2.0/sessions' })
  expect((await sessions(sim)).status).toBe(500)
  expect((await get(sim, '/v2.0/nothing')).status).toBe(404)
  expect(sim.stats()).toMatchObject({ requests: 3, byPath: { '/v2.0/sessions': 2, '/v2.0/nothing': 1 } })
})

test('the same world and seed give the same answers, byte by byte', async () => {
  const query = { ...FULL, from: iso(UNTIL - 2 * DAY) }
  expect((await sessions(await start(), query)).text).toBe((await sessions(await start(), query)).text)
})
