/**
 * The loop: vendors, their connectors, topics, aggregator, the analytics API of the server, the connector for that API, and topics again. What the second
 * installation has read is what a plain count of the first one's topics says.
 */
import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type startChatlayerSimulator, transitionsOf } from '../../connectors/chatlayer/simulator.ts'
import { transitionsOf as transitionsIn } from '../../connectors/chatlayer/rows.ts'
import type { Event, Message, Session } from '../../src/records.ts'
import { createWorld } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { launch, startOf } from '../support/fleet.ts'
import { type IndependentRecord, readIndependently } from '../support/independent/read-topics.ts'
import { configFile, querySeries, type Running, start, until } from '../support/product.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
const TOKEN = 'the-token-of-the-loop'
const VENDORS = ['botmaker', 'chatlayer', 'syntphony']
const ACCOUNT = 'fleet'

const stack = inject('stack')
const untilMs = Math.floor((Date.now() - 3 * DAY) / DAY) * DAY
const world = createWorld({ seed: 11, sessions: 150, fromMs: untilMs - 2 * DAY, untilMs })
const prefixes = { first: `loop-a-${process.pid}`, second: `loop-b-${process.pid}` }
const first = topicNames(prefixes.first)
const second = topicNames(prefixes.second)
const authorization = `Basic ${Buffer.from(`any-id:${TOKEN}`).toString('base64')}`

const endings: (() => unknown)[] = []
let base: string
/** One whose vendor gives no messages, and two of vendors that do. */
let bots: string[]
let ships: Awaited<ReturnType<typeof launch>>
/** Of the first installation. */
let sessions: Session[]
let messages: Message[]
/** Of the second. */
let points: Event[]

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

function product(prefix: string, of: { port: number; token?: string; connectors: object }): Running {
  const { port, token, connectors } = of
  const file = configFile({
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix, partitions: 3 },
    http: { port, ...(token && { token }) },
    aggregator: { sessionTimeout: '2s' },
    connectors,
  })
  const running = start(['run', '--config', file.path, '--roles', 'worker,aggregator,server'])
  endings.push(async () => {
    await running.kill('SIGTERM')
    file.remove()
  })
  return running
}

/** Everything before the end of the world, and a day more, has been read. */
const complete = (what: string, ask: () => Promise<{ complete_until: string | null }>) =>
  until(
    what,
    async () => {
      const { complete_until: reached } = await ask()
      return reached !== null && Date.parse(reached) > untilMs + DAY ? true : undefined
    },
    500,
    240_000,
  )

/** The newest record of each key. */
function newest<T>(records: readonly IndependentRecord[], keyOf: (value: T) => string): T[] {
  const byKey = new Map<string, T>()
  for (const { key, value } of records) {
    if (value === null) byKey.delete(key ?? '')
    else byKey.set(keyOf(value as T), value as T)
  }
  return [...byKey.values()]
}
const read = (topic: string) => readIndependently(stack.brokers, stack.registry, [topic])

async function get<T>(path: string, query: Record<string, string>): Promise<T> {
  const answer = await fetch(`${base}${path}?${new URLSearchParams(query)}`, { headers: { authorization } })
  if (!answer.ok) throw new Error(`${path} ${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as T
}

beforeAll(async () => {
  ships = await launch({ world, account: ACCOUNT }, VENDORS)
  endings.push(() => Promise.all(ships.map(({ simulator }) => simulator.stop())))
  const port = await freePort()
  base = `http://127.0.0.1:${port}`
  const startAt = new Date(startOf(world)).toISOString()
  const connectors = ships.map(({ vendor, keys }) => [
    vendor,
    { 'connector.class': vendor, 'start.at': startAt, 'poll.interval.ms': 500, ...keys },
  ])
  product(prefixes.first, { port, token: TOKEN, connectors: Object.fromEntries(connectors) as object })
  const all = { measure: 'sessions,messages_user,events', bucket: '1d', from: 'now-30d' }
  await complete('the vendors have been read', () => get('/v1/series', all))
  const asked = { measure: 'messages_user', from: 'now-30d' }
  const { data: talking } = await get<{ data: string[] }>('/v1/labels/bot_id', asked)
  bots = [world.bots[0]?.id ?? '', ...talking.slice(0, 2)]

  const loop = {
    'connector.class': 'chatlayer',
    account: 'mirror',
    'base.url': base,
    'token.id': 'any-id',
    'token.secret': TOKEN,
    'bot.ids': bots.join(','),
    'team.ids': ACCOUNT,
    streams: 'series,team-usage',
    'start.at': startAt,
    'poll.interval.ms': 500,
    'quota.per.second': 0,
  }
  const mirror = await product(prefixes.second, { port: 0, connectors: { loop } }).base()
  await complete('the analytics API has been read', () => querySeries(mirror, { measure: 'events', bucket: '1d' }))

  sessions = newest<Session>(await read(first.sessions), ({ session_key }) => session_key).filter(
    ({ is_test }) => is_test !== true,
  )
  messages = newest<Message>(await read(first.messages), ({ message_key }) => message_key)
  points = newest<Event>(await read(second.events), ({ event_key }) => event_key)
}, 600_000)
afterAll(async () => {
  for (const end of endings.reverse()) await end()
}, 60_000)

/** Non-zero counts by key. */
type Counts = Record<string, number>
function count<T>(of: readonly T[], keyOf: (one: T) => string | null, valueOf: (one: T) => number = () => 1): Counts {
  const counts: Counts = {}
  for (const one of of) {
    const key = keyOf(one)
    const value = valueOf(one)
    if (key !== null && value !== 0) counts[key] = (counts[key] ?? 0) + value
  }
  return counts
}
const iso = (ms: number, unitMs: number) => new Date(Math.floor(ms / unitMs) * unitMs).toISOString()
const isOurs = ({ bot_id }: { bot_id: string }) => bots.includes(bot_id)
/** Of the points of an operation: value by bot, time, and what else is named. */
const mirrored = (endpoint: string, stat: string | null, ...labels: string[]): Counts =>
  count(
    points.filter(
      ({ type, name, attributes }) => type === 'metric_point' && name === endpoint && (attributes['stat'] ?? null) === stat,
    ),
    ({ bot_id, occurred_at, attributes }) =>
      [
        bot_id,
        new Date(occurred_at).toISOString(),
        ...labels.map(label => (JSON.parse(attributes['labels'] ?? '{}') as Record<string, string>)[label] ?? ''),
      ].join(' '),
    ({ attributes }) => Number(attributes['value']),
  )

test('conversations by the hour and channel', () => {
  const counted = count(
    sessions.filter(isOurs),
    ({ bot_id, started_at, channel }) => `${bot_id} ${iso(started_at, HOUR)} ${channel}`,
  )
  expect(Object.keys(counted).length).toBeGreaterThan(30)
  expect(mirrored('conversations', null, 'channel_type')).toEqual(counted)
})

test('messages by the hour', () => {
  const counted = count(messages.filter(isOurs), ({ bot_id, sent_at }) => `${bot_id} ${iso(sent_at, HOUR)}`)
  expect(Object.keys(counted).length).toBeGreaterThan(30)
  expect(mirrored('messages', null)).toEqual(counted)
})

test('each statistic by the day', () => {
  const ended = sessions.filter(({ ended_at }) => ended_at !== null)
  const seconds = count(
    ended.filter(isOurs),
    ({ bot_id, ended_at }) => `${bot_id} ${iso(ended_at ?? 0, DAY)}`,
    ({ started_at, ended_at }) => (ended_at ?? 0) - started_at,
  )
  const durations = Object.fromEntries(Object.entries(seconds).map(([key, ms]) => [key, Math.round(ms / 1000)]))
  expect(Object.keys(durations).length).toBeGreaterThan(3)
  expect(mirrored('conversations/insights', 'duration_seconds')).toEqual(durations)
  const byDay = ({ bot_id, started_at }: Session) => `${bot_id} ${iso(started_at, DAY)}`
  expect(mirrored('conversations/insights', 'num_conversations')).toEqual(count(sessions.filter(isOurs), byDay))
  const sentBy = ({ bot_id, sent_at }: Message) => `${bot_id} ${iso(sent_at, DAY)}`
  expect(mirrored('conversations/insights', 'num_messages')).toEqual(count(messages.filter(isOurs), sentBy))
})

test('conversations of the account by the day, bot and channel', () => {
  const counted = count(sessions, ({ bot_id, started_at, channel }) => `${bot_id} ${iso(started_at, DAY)} ${channel}`)
  expect(mirrored('teams/conversations', null, 'channel_type')).toEqual(counted)
})

test('the flow of each conversation is the one that its vendor has', async () => {
  const { simulator } = ships.find(({ vendor }) => vendor === 'chatlayer') as (typeof ships)[number]
  const { team, world: seen } = simulator as Awaited<ReturnType<typeof startChatlayerSimulator>>
  const live = [...seen.at(Date.now()).between(0, Date.now())]
    .filter(conversation => team.versionOf(conversation) === 'LIVE' && transitionsOf(conversation).length > 2)
    .slice(0, 12)
  expect(live.length).toBe(12)
  const asked = { version: 'LIVE', start_time: new Date(startOf(world)).toISOString(), end_time: 'now' }
  let compared = 0
  for (const conversation of live) {
    const flow = await get<{ bot_id: string; user_id: string; transitions: object[] }>(
      `/v1/bots/${conversation.bot.id}/conversations/${conversation.id}/flow`,
      { ...asked, vendor: 'chatlayer' },
    ).catch((error: Error) => {
      // What the vendor tracks no event of, nobody can know of.
      if (error.message.includes(' 404: ')) return null
      throw error
    })
    if (flow === null) continue
    compared++
    const theirs = transitionsOf(conversation)
    expect([flow.bot_id, flow.user_id]).toEqual([conversation.bot.id, conversation.person.id])
    // As the connector reads it.
    const readAgain = transitionsIn(flow.transitions, [], false)
    expect(readAgain.map(({ givenId, atMs, to, depth }) => [givenId, atMs, to, depth])).toEqual(
      theirs.map(({ id, atMs, to, depth }) => [id, atMs, to, String(depth)]),
    )
  }
  expect(compared).toBeGreaterThan(6)
})

test('the flow of a session of another vendor is its flows, and the token is asked for', async () => {
  const flows = newest<Event>(await read(first.events), ({ event_key }) => event_key).filter(
    ({ vendor, type }) => vendor === 'syntphony' && type === 'flow_transition',
  )
  const [one] = flows
  const own = flows.filter(({ session_key }) => session_key === one?.session_key)
  const flow = await get<{ transitions: { to_step: { id: string } }[] }>(
    `/v1/bots/${one?.bot_id}/conversations/${encodeURIComponent(one?.session_key ?? '')}/flow`,
    { version: 'LIVE', start_time: new Date(startOf(world)).toISOString(), end_time: 'now' },
  )
  expect(flow.transitions.map(({ to_step }) => to_step.id)).toEqual(own.map(({ name }) => name))
  const refused = await fetch(`${base}/v1/teams/${ACCOUNT}/conversations`)
  expect([refused.status, await refused.json()]).toEqual([401, expect.objectContaining({ code: 16, error_code: 401 })])
})
