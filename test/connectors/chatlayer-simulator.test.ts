import { afterEach, describe, expect, test } from 'vitest'
import {
  type ChatlayerOptions,
  type ChatlayerSimulator,
  GAP_MS,
  partsOf,
  type Quirks,
  startChatlayerSimulator,
  type TrackingEvent,
  trackingEventsOf,
  transitionsOf,
} from '../../connectors/chatlayer/simulator.ts'
import { type Conversation, createWorld } from '../../src/sim/index.ts'

/** The simulator against the vendor's documents, and its switches against what clients must be ready for. */
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOW = Date.parse('2026-11-10T12:00:00Z')
const FROM = NOW - 4 * DAY
const world = createWorld({ seed: 5, sessions: 400, fromMs: FROM, untilMs: NOW })
const iso = (ms: number) => new Date(ms).toISOString()

interface EventRow {
  readonly id: string
  readonly timestamp: string
  readonly [name: string]: unknown
}
interface Serie {
  readonly values: number[]
  readonly labels: Record<string, string>
  readonly [name: string]: unknown
}
interface Body {
  readonly events: EventRow[]
  readonly next_page_token?: string
  readonly transitions: { id: string; depth: unknown; from_step?: unknown; to_step: { id: string }; timestamp: string }[]
  readonly data: { series: Serie[]; series_labels: string[]; x_values: string[] }
  readonly code: number
  readonly message: string
}

const running: ChatlayerSimulator[] = []

async function start(options: Partial<ChatlayerOptions> = {}): Promise<ChatlayerSimulator> {
  const sim = await startChatlayerSimulator({ world, now: () => NOW, tokenId: 'tid', tokenSecret: 'secret', ...options })
  running.push(sim)
  return sim
}

afterEach(async () => {
  for (const sim of running.splice(0)) await sim.stop()
})

const BASIC = `Basic ${Buffer.from('tid:secret').toString('base64')}`

async function ask(sim: ChatlayerSimulator, path: string, query: Record<string, string | number> = {}, init: RequestInit = {}) {
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)] as [string, string]))
  const answer = await fetch(`${sim.url}${path}?${text}`, { headers: { authorization: BASIC }, ...init })
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Body }
}

const DAY_QUERY = { version: 'LIVE', start_time: iso(NOW - DAY), end_time: iso(NOW) }
const EVENTS = '/v1/bots/orders/events/stream'

async function allEvents(sim: ChatlayerSimulator, query: Record<string, string | number> = DAY_QUERY) {
  const events: EventRow[] = []
  const sizes: number[] = []
  for (let token = ''; ; ) {
    const { body } = await ask(sim, EVENTS, token === '' ? query : { ...query, page_token: token })
    events.push(...body.events)
    sizes.push(body.events.length)
    token = body.next_page_token ?? ''
    if (token === '') return { events, sizes }
  }
}

function conversations(of: { bot?: string; draft?: boolean } = {}): Conversation[] {
  const { bot = 'orders', draft = false } = of
  return [...world.at(NOW).between(FROM, NOW)].filter(each => each.bot.id === bot && each.person.isTest === draft)
}

function tracked(sim: ChatlayerSimulator, fromMs = NOW - DAY, untilMs = NOW): TrackingEvent[] {
  return conversations()
    .flatMap(each => trackingEventsOf(each, sim.team, sim.quirks))
    .filter(({ atMs }) => fromMs <= atMs && atMs < untilMs)
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(({ id }) => id).toSorted()

describe('authorisation', () => {
  test('takes the token as Basic, and answers 401 to anything else', async () => {
    const sim = await start()
    expect((await ask(sim, EVENTS, DAY_QUERY)).status).toBe(200)
    for (const authorization of ['', 'Bearer tid:secret', `Basic ${btoa('tid:wrong')}`]) {
      const { status, body } = await ask(sim, EVENTS, DAY_QUERY, { headers: { authorization } })
      expect([status, body.code]).toEqual([401, 16])
    }
  })

  test('takes it as Bearer by a switch', async () => {
    const sim = await start({ quirks: { auth: 'bearer' } })
    expect((await ask(sim, EVENTS, DAY_QUERY)).status).toBe(401)
    expect((await ask(sim, EVENTS, DAY_QUERY, { headers: { authorization: 'Bearer tid:secret' } })).status).toBe(200)
    expect(sim.config['auth.scheme']).toBe('bearer')
  })

  test("another team, and another team's bot, are 403", async () => {
    const sim = await start({ bots: ['orders'] })
    expect((await ask(sim, '/v1/teams/other/conversations', { ...DAY_QUERY, bucket: '1d' })).status).toBe(403)
    expect((await ask(sim, '/v1/bots/support/events/stream', DAY_QUERY)).status).toBe(403)
  })

  test('echo says what it was told', async () => {
    const sim = await start()
    const { body } = await ask(
      sim,
      '/v1/echo',
      {},
      { method: 'POST', headers: { authorization: BASIC }, body: '{"message":"hi"}' },
    )
    expect(body).toEqual({ message: 'hi' })
  })

  test.each<['seconds' | 'milliseconds' | 'wait' | 'retry-after' | 'none', string | null, string | null]>([
    ['seconds', String(NOW / 1000 + 1), null],
    ['milliseconds', String(NOW + 1000), null],
    ['wait', '1', null],
    ['retry-after', null, '1'],
    ['none', null, null],
  ])('too many requests are 429, with the wait told as %s', async (rateLimit, reset, retryAfter) => {
    const sim = await start({ arrivalClock: () => NOW, quirks: { requestsPerSecond: 2, rateLimit } })
    for (const expected of [200, 200]) expect((await ask(sim, EVENTS, DAY_QUERY)).status).toBe(expected)
    const { status, headers } = await ask(sim, EVENTS, DAY_QUERY)
    expect([status, headers.get('x-ratelimit-reset'), headers.get('retry-after')]).toEqual([429, reset, retryAfter])
    expect(sim.refusedForQuota()).toBe(1)
  })
})

describe('events/stream', () => {
  test('gives every event of the range, a hundred a page at most, whatever page_size asks for', async () => {
    const sim = await start()
    const { events, sizes } = await allEvents(sim, { ...DAY_QUERY, page_size: 500 })
    expect(idsOf(events)).toEqual(idsOf(tracked(sim)))
    expect(sizes.length).toBeGreaterThan(2)
    expect(sizes.slice(0, -1).every(size => size === 100)).toBe(true)
    expect((await ask(sim, EVENTS, { ...DAY_QUERY, page_size: 7 })).body.events.length).toBe(7)
  })

  test('an event has the documented fields, and says nothing that anybody wrote', async () => {
    const sim = await start()
    const { events } = await allEvents(sim)
    const [first] = events
    expect(Object.keys(first ?? {})).toEqual([
      'id',
      'event',
      'bot_id',
      'version',
      'user_id',
      'channel_id',
      'channel_type',
      'conversation_id',
      'attributes',
      'timestamp',
    ])
    expect(first).toMatchObject({ bot_id: 'orders', version: 'LIVE', channel_id: expect.stringMatching(/^[0-9a-f]{24}$/) })
    const written = new Set(conversations().flatMap(({ messages }) => messages.map(({ text }) => text)))
    written.delete('')
    const values = events.flatMap(({ attributes }) => Object.values(attributes as Record<string, string>))
    expect(values.filter(value => written.has(value) && value.includes(' '))).toEqual([])
    expect(new Set(events.map(({ event }) => event)).size).toBeGreaterThan(4)
  })

  test('start_time is inclusive, end_time exclusive', async () => {
    const sim = await start()
    const some = tracked(sim).toSorted((a, b) => a.atMs - b.atMs)
    const [first, last] = [some[3] as TrackingEvent, some[9] as TrackingEvent]
    const { events } = await allEvents(sim, { ...DAY_QUERY, start_time: iso(first.atMs), end_time: iso(last.atMs) })
    expect(idsOf(events)).toEqual(idsOf(some.filter(({ atMs }) => first.atMs <= atMs && atMs < last.atMs)))
    const query = { ...DAY_QUERY, start_time: iso(first.atMs), end_time: iso(last.atMs) }
    const closed = await allEvents(await start({ quirks: { windowEdges: 'closed' } }), query)
    expect(idsOf(closed.events)).toEqual(idsOf(some.filter(({ atMs }) => first.atMs <= atMs && atMs <= last.atMs)))
    const open = await allEvents(await start({ quirks: { windowEdges: 'open' } }), query)
    expect(idsOf(open.events)).toEqual(idsOf(some.filter(({ atMs }) => first.atMs < atMs && atMs < last.atMs)))
  })

  test('drafts are apart from what is live', async () => {
    const sim = await start({ draftEvery: 3 })
    const live = (await allEvents(sim)).events
    const draft = (await allEvents(sim, { ...DAY_QUERY, version: 'DRAFT' })).events
    expect(draft.length).toBeGreaterThan(0)
    expect(draft.every(({ version }) => version === 'DRAFT')).toBe(true)
    const all = [...conversations(), ...conversations({ draft: true })].flatMap(each =>
      trackingEventsOf(each, sim.team, sim.quirks),
    )
    expect(idsOf([...live, ...draft])).toEqual(idsOf(all.filter(({ atMs }) => NOW - DAY <= atMs && atMs < NOW)))
  })

  test.each<[string, Record<string, string>]>([
    ['no version', { start_time: iso(FROM), end_time: iso(NOW) }],
    ['another version', { ...DAY_QUERY, version: 'TEST' }],
    ['no start', { version: 'LIVE', end_time: iso(NOW) }],
    ['a date without time', { ...DAY_QUERY, start_time: '2026-11-09' }],
    ['an end before the start', { ...DAY_QUERY, end_time: iso(FROM) }],
    ['a token of its own making', { ...DAY_QUERY, page_token: 'nonsense' }],
  ])('%s is 400', async (_, query) => {
    const { status, body } = await ask(await start(), EVENTS, query)
    expect([status, body.code]).toEqual([400, 3])
  })

  test('filters by event, conversation and user', async () => {
    const sim = await start()
    const [one] = tracked(sim) as [TrackingEvent]
    for (const [name, value] of Object.entries({
      event: 'intent',
      conversation_id: one.conversationId ?? '',
      user_id: one.userId,
    })) {
      const { events } = await allEvents(sim, { ...DAY_QUERY, [name]: value })
      expect(events.length).toBeGreaterThan(0)
      expect(events.every(event => event[name] === value)).toBe(true)
    }
  })

  test('POST takes the same names in its body, and filters over attributes', async () => {
    const sim = await start()
    const body = JSON.stringify({
      ...DAY_QUERY,
      page_size: 100,
      filters: [{ key: 'flow', operator: 'EQUALS', value: ['track'] }],
    })
    const found = await ask(sim, EVENTS, {}, { method: 'POST', headers: { authorization: BASIC }, body })
    expect(found.body.events.length).toBeGreaterThan(0)
    expect(found.body.events.every(({ attributes }) => (attributes as { flow: string }).flow === 'track')).toBe(true)
  })

  test('pages may be short, or empty with a token, and the last token empty: all events come once', async () => {
    const sim = await start({ quirks: { shortPages: true, emptyPages: true, lastToken: 'empty', eventOrder: 'shuffled' } })
    const { events, sizes } = await allEvents(sim)
    expect(idsOf(events)).toEqual(idsOf(tracked(sim)))
    expect(sizes.filter(size => size === 0).length).toBeGreaterThan(1)
    const times = events.map(({ timestamp }) => timestamp)
    expect(times).not.toEqual(times.toSorted())
  })

  test('a token runs out by a switch', async () => {
    let nowMs = NOW
    const sim = await start({ now: () => nowMs, quirks: { tokenLivesMs: MINUTE } })
    const { body } = await ask(sim, EVENTS, { ...DAY_QUERY, page_size: 5 })
    const next = { ...DAY_QUERY, page_token: body.next_page_token ?? '' }
    expect((await ask(sim, EVENTS, next)).status).toBe(200)
    nowMs += MINUTE
    expect((await ask(sim, EVENTS, next)).status).toBe(400)
  })

  test('a back-dated event shows late, at its own time', async () => {
    let nowMs = NOW
    const sim = await start({ now: () => nowMs, quirks: { lateShare: 0.2, lateMs: 3 * HOUR } })
    const { events: before } = await allEvents(sim)
    nowMs += 3 * HOUR
    const { events: after } = await allEvents(sim)
    expect(idsOf(after)).toEqual(idsOf(tracked(sim)))
    expect(before.length).toBeLessThan(after.length)
    const early = before.filter(({ timestamp }) => Date.parse(timestamp) < NOW - 3 * HOUR)
    expect(early.length).toBe(tracked(sim).filter(({ atMs }) => atMs < NOW - 3 * HOUR).length)
  })

  test('grows: an event comes in front of the place of a listing; shrinks: one is missing; each for once', async () => {
    for (const listing of ['grows', 'shrinks'] as const) {
      const sim = await start({ quirks: { listing } })
      const truth = idsOf(tracked(sim))
      const ids = async () => [...new Set(idsOf((await allEvents(sim)).events))]
      expect((await ids()).length).toBe(truth.length - 1)
      for (let times = 0; times < 3; times++) await ids()
      expect(await ids()).toEqual(truth)
    }
  })

  test('ignores_token: the first page comes again', async () => {
    const sim = await start({ quirks: { ignoresToken: true } })
    const { body } = await ask(sim, EVENTS, DAY_QUERY)
    const again = await ask(sim, EVENTS, { ...DAY_QUERY, page_token: body.next_page_token ?? '' })
    expect(idsOf(again.body.events)).toEqual(idsOf(body.events))
  })

  test('lists that are empty may be absent or null', async () => {
    const never = { ...DAY_QUERY, start_time: iso(FROM - DAY), end_time: iso(FROM - HOUR) }
    expect((await ask(await start(), EVENTS, never)).body).toEqual({ events: [] })
    expect((await ask(await start({ quirks: { emptyLists: 'absent' } }), EVENTS, never)).body).toEqual({})
    expect((await ask(await start({ quirks: { emptyLists: 'null' } }), EVENTS, never)).body).toEqual({ events: null })
  })

  test('a thread has one id for all conversations of a user on a channel', async () => {
    const sim = await start({ quirks: { conversationIds: 'thread' } })
    const { events } = await allEvents(sim, { ...DAY_QUERY, start_time: iso(FROM) })
    const byUser = Map.groupBy(events, ({ user_id }) => user_id)
    expect([...byUser.values()].every(rows => new Set(rows.map(row => row['conversation_id'])).size === 1)).toBe(true)
    expect(byUser.size).toBeLessThan(conversations().length)
  })
})

describe('conversations/{id}/flow', () => {
  const one = conversations().find(each => each.course === 'abandoned' && each.messages.length > 5) as Conversation
  const path = `/v1/bots/orders/conversations/${one.id}/flow`
  const query = { version: 'LIVE', start_time: iso(one.startedAtMs - HOUR), end_time: iso(one.lastAtMs + DAY) }

  test('tells the steps of the bot in their order, and that the user dropped off', async () => {
    const { body } = await ask(await start(), path, query)
    expect(body).toMatchObject({ bot_id: 'orders', conversation_id: one.id, user_id: one.person.id })
    expect(body.transitions.map(({ id, timestamp }) => [id, timestamp])).toEqual(
      transitionsOf(one).map(({ id, atMs }) => [id, iso(atMs)]),
    )
    expect(body.transitions.at(-1)?.to_step.id).toBe('DROPOFF')
    expect(body.transitions.map(({ depth }) => depth)).toEqual(body.transitions.map((_, place) => place + 1))
  })

  test('a drop-off is known only when the conversation is over', async () => {
    const sim = await start({ now: () => one.messages.at(-1)?.atMs ?? 0 })
    const { body } = await ask(sim, path, query)
    expect(body.transitions.length).toBe(transitionsOf(one).length - 1)
  })

  test('depth may be text, and the first step come from nowhere', async () => {
    const plain = (await ask(await start(), path, query)).body.transitions[0]
    const odd = (await ask(await start({ quirks: { depth: 'text', firstStep: 'absent' } }), path, query)).body.transitions[0]
    expect([plain?.depth, plain?.from_step]).toEqual([1, { id: 'introduction', type: 'bot_dialog' }])
    expect([odd?.depth, odd?.from_step]).toEqual(['1', undefined])
  })

  test('only what lies in the range, or belongs to the message, is told', async () => {
    const sim = await start()
    const [, second] = transitionsOf(one)
    const from = await ask(sim, path, { ...query, start_time: iso(second?.atMs ?? 0) })
    expect(from.body.transitions.length).toBe(transitionsOf(one).length - 1)
    const message = await ask(sim, path, { ...query, message_id: second?.messageId ?? '' })
    expect(idsOf(message.body.transitions)).toEqual([second?.id])
  })

  test('what is not there has no transitions, or is 404 by a switch', async () => {
    const nowhere = '/v1/bots/orders/conversations/x%2Fy/flow'
    expect((await ask(await start(), nowhere, query)).body).toMatchObject({ conversation_id: 'x/y', transitions: [] })
    expect((await ask(await start({ quirks: { unknownFlow: '404' } }), nowhere, query)).status).toBe(404)
  })
})

describe('series', () => {
  const path = '/v1/bots/orders/conversations'
  const parts = (sim: ChatlayerSimulator) => conversations().flatMap(each => partsOf(each, sim.team))
  const days = { version: 'LIVE', start_time: iso(NOW - 3.5 * DAY), end_time: iso(NOW - 0.5 * DAY) }

  test('conversations are counted at their start, by bucket; one that pauses for 15 minutes is two', async () => {
    const sim = await start()
    const { body } = await ask(sim, path, { ...days, bucket: '1d' })
    expect(body.data.x_values).toEqual(['2026-11-07T00:00:00Z', '2026-11-08T00:00:00Z', '2026-11-09T00:00:00Z'])
    const counts = body.data.x_values.map(x => {
      const fromMs = Date.parse(x)
      return parts(sim).filter(({ startMs }) => fromMs <= startMs && startMs < fromMs + DAY).length
    })
    expect(body.data.series).toEqual([
      {
        values: counts,
        sum: counts.reduce((a, b) => a + b, 0),
        mean: Math.round(counts.reduce((a, b) => a + b, 0) / 3),
        max: Math.max(...counts),
        min: Math.min(...counts),
        labels: {},
      },
    ])
    expect(parts(sim).length).toBeGreaterThan(conversations().length)
    expect(
      parts(sim).every(({ messages }) =>
        messages.every((atMs, place) => place === 0 || atMs - (messages[place - 1] ?? 0) <= GAP_MS),
      ),
    ).toBe(true)
  })

  test('groups have a series each, which sum up to the whole', async () => {
    const sim = await start()
    const whole = (await ask(sim, path, { ...days, bucket: '1h' })).body.data
    const grouped = (await ask(sim, path, { ...days, bucket: '1h', group_by: 'channel_type' })).body.data
    expect(grouped.series.map(({ labels }) => labels['channel_type'] ?? '').toSorted()).toEqual([
      'facebook',
      'instagram',
      'web',
      'whatsapp',
    ])
    expect(grouped.series_labels).toEqual(['channel_type'])
    expect(whole.x_values.map((_, at) => grouped.series.reduce((sum, { values }) => sum + (values[at] ?? 0), 0))).toEqual(
      whole.series[0]?.values,
    )
  })

  test('filters take repeated names and comma lists', async () => {
    const sim = await start()
    const sumOf = async (search: string) => {
      const text = new URLSearchParams({ ...days, bucket: '1d' })
      const answer = await fetch(`${sim.url}${path}?${text}${search}`, { headers: { authorization: BASIC } })
      return ((await answer.json()) as Body).data.series[0]?.['sum'] as number
    }
    const [web, whatsapp] = [await sumOf('&channel_type=web'), await sumOf('&channel_type=whatsapp')]
    expect(await sumOf('&channel_type=web&channel_type=whatsapp')).toBe(web + whatsapp)
    expect(await sumOf('&channel_type=web,whatsapp')).toBe(web + whatsapp)
    expect(await sumOf('&language=es')).toBeLessThan(await sumOf(''))
  })

  test.each<[string, string, Record<string, string>]>([
    ['a range that is not longer than its bucket', path, { ...DAY_QUERY, bucket: '1d' }],
    ['a bucket that is not known', path, { ...DAY_QUERY, bucket: '5m' }],
    ['a month for a bot', path, { ...DAY_QUERY, start_time: iso(NOW - 40 * DAY), bucket: '1m' }],
    ['two groups for a bot', path, { ...DAY_QUERY, bucket: '1h', group_by: 'channel_type,language' }],
    ['insights without a statistic', `${path}/insights`, DAY_QUERY],
    ['a team without a bucket', '/v1/teams/acme/conversations', DAY_QUERY],
    ['hours for a team', '/v1/teams/acme/conversations', { ...DAY_QUERY, bucket: '1h' }],
    ['another group for a team', '/v1/teams/acme/conversations', { ...days, bucket: '1d', group_by: 'user' }],
  ])('%s is 400', async (_, where, query) => {
    expect((await ask(await start(), where, query)).status).toBe(400)
  })

  test('an open bucket grows, and a closed one is corrected once', async () => {
    let nowMs = NOW
    const busy = parts(await start())
      .toSorted((a, b) => a.startMs - b.startMs)
      .find(({ startMs }) => startMs > NOW - 2 * DAY)
    const hourMs = Math.floor((busy?.startMs ?? 0) / HOUR) * HOUR
    const sim = await start({ now: () => nowMs, quirks: { correctedAfterMs: 3 * HOUR } })
    const query = { version: 'LIVE', start_time: iso(hourMs), end_time: iso(hourMs + 2 * HOUR), bucket: '1h' }
    const seen: (number | undefined)[] = []
    for (nowMs of [hourMs, hourMs + HOUR, hourMs + 4 * HOUR - 1, hourMs + 4 * HOUR, hourMs + 9 * HOUR])
      seen.push((await ask(sim, path, query)).body.data.series[0]?.values[0])
    const [open, closed = 0, before, after = 0, later] = seen
    expect(open).toBe(0)
    expect([before, after, later]).toEqual([closed, closed + 1, closed + 1])
  })

  test('messages are counted at their time', async () => {
    const sim = await start()
    const { body } = await ask(sim, '/v1/bots/orders/messages', { ...days, bucket: '1d' })
    const [fromMs, untilMs] = [NOW - 3.5 * DAY, NOW - 0.5 * DAY]
    const all = conversations().flatMap(({ messages }) => messages.filter(({ atMs }) => fromMs <= atMs && atMs < untilMs))
    expect(body.data.series[0]?.['sum']).toBe(all.length)
  })

  test.each(['num_conversations', 'duration_seconds', 'num_messages'])(
    'insights of %s are a histogram, or days by a switch',
    async stat => {
      const query = { ...days, stat }
      const bins = (await ask(await start(), `${path}/insights`, query)).body.data
      expect(bins.x_values.every(x => /^\d+$/.test(x))).toBe(true)
      expect(bins.series[0]?.values.length).toBe(bins.x_values.length)
      const time = (await ask(await start({ quirks: { insightsAxis: 'time' } }), `${path}/insights`, query)).body.data
      expect(time.x_values.length).toBe(3)
    },
  )

  test("a team's usage counts drafts and all bots, by any list of groups", async () => {
    const sim = await start({ draftEvery: 4 })
    const { start_time, end_time } = days
    const query = { start_time, end_time, bucket: '1d' }
    const usage = (await ask(sim, '/v1/teams/acme/conversations', query)).body.data
    const grouped = (await ask(sim, '/v1/teams/acme/conversations', { ...query, group_by: 'bot_id,bot_version' })).body.data
    expect(grouped.series.length).toBe(6)
    const sums = grouped.series.map(({ labels, sum }) => [labels['bot_version'], sum as number] as const)
    expect(sums.reduce((total, [, sum]) => total + sum, 0)).toBe(usage.series[0]?.['sum'])
    expect(sums.some(([version, sum]) => version === 'DRAFT' && sum > 0)).toBe(true)
  })

  test('buckets without anything, and histograms of nothing, are left out by a switch', async () => {
    const hours = { version: 'LIVE', start_time: iso(NOW - 3 * DAY), end_time: iso(NOW), bucket: '1h', group_by: 'channel_type' }
    const dense = (await ask(await start(), path, hours)).body.data
    const isEmpty = (place: number) => dense.series.every(({ values }) => values[place] === 0)
    const quirks: Partial<Quirks> = { emptyBuckets: 'left out' }
    const sparse = (await ask(await start({ quirks }), path, hours)).body.data
    expect(sparse.x_values).toEqual(dense.x_values.filter((_, place) => !isEmpty(place)))
    expect(sparse.series.map(({ values }) => values)).toEqual(
      dense.series.map(({ values }) => values.filter((_, place) => !isEmpty(place))),
    )
    expect(sparse.x_values.length).toBeLessThan(dense.x_values.length)
    const past = { start_time: '2020-01-01T00:00:00Z', end_time: '2020-01-02T00:00:00Z', version: 'LIVE' }
    for (const [where, query] of [
      [path, { ...past, bucket: '1h' }],
      [`${path}/insights`, { ...past, stat: 'num_messages' }],
    ] as const) {
      const { series, x_values } = (await ask(await start({ quirks }), where, query)).body.data
      expect([series, x_values]).toEqual([[], []])
    }
  })

  test('months are those of the calendar, weeks begin on Monday', async () => {
    const sim = await start()
    const of = async (bucket: string, start: string, end: string) =>
      (await ask(sim, '/v1/teams/acme/conversations', { start_time: start, end_time: end, bucket })).body.data.x_values
    expect(await of('1m', '2026-09-15T00:00:00Z', '2026-11-10T00:00:00Z')).toEqual([
      '2026-09-01T00:00:00Z',
      '2026-10-01T00:00:00Z',
      '2026-11-01T00:00:00Z',
    ])
    expect(await of('1w', '2026-11-03T00:00:00Z', '2026-11-11T00:00:00Z')).toEqual([
      '2026-11-02T00:00:00Z',
      '2026-11-09T00:00:00Z',
    ])
  })

  test('series may be named by series_labels alone, x and values written in other ways', async () => {
    const query = { ...days, bucket: '1d', group_by: 'channel_type' }
    const named = (await ask(await start({ quirks: { labels: 'series_labels' } }), path, query)).body.data
    expect([named.series_labels.length, named.series[0]?.labels]).toEqual([named.series.length, undefined])
    const first = async (xValues: 'date' | 'without zone' | 'epoch') =>
      (await ask(await start({ quirks: { xValues } }), path, query)).body.data.x_values[0]
    expect([await first('date'), await first('without zone'), await first('epoch')]).toEqual([
      '2026-11-07',
      '2026-11-07T00:00:00',
      '1794009600',
    ])
    expect(typeof (await ask(await start({ quirks: { values: 'text' } }), path, query)).body.data.series[0]?.values[0]).toBe(
      'string',
    )
  })
})
