/** The bots' analytics API over HTTP: every documented parameter and statistic, against values that were worked out by hand. */
import { brotliDecompressSync } from 'node:zlib'
import { get as httpGet } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import type { SeriesPoint } from '../../src/records.ts'
import { createAlertStore } from '../../src/serve/alerts.ts'
import type { Serve } from '../../src/serve/api.ts'
import { type HttpOptions, type HttpServer, startHttp } from '../../src/serve/http.ts'
import { createStore } from '../../src/serve/store.ts'
import { answerBots, type Asked, type BotQuery, parseConversations, parseTeam } from '../../src/serve/bot-analytics.ts'
import { handClock } from '../support/clock.ts'
import { completenessOf, noEvents, point } from './points.ts'

/** A Wednesday. */
const NOW = '2026-11-04T12:00:00Z'
const COMPLETE = '2026-11-04T10:00:00Z'
const DAY = '2026-11-02T00:00:00Z'

const servers: HttpServer[] = []
let server: HttpServer
beforeAll(async () => {
  server = await start(serveOf(POINTS))
})
afterAll(() => Promise.all(servers.map(each => each.close())))

/** Bot `b1` of Botmaker and, in the same account, a bot of that id of Syntphony; a draft; a bot of another account. */
const POINTS: (Partial<SeriesPoint> & { at: string })[] = [
  { at: '2026-11-02T09:10:00Z', sessions: 3, messages_user: 5, messages_bot: 7, messages_agent: 1, messages_other: 2 },
  { at: '2026-11-02T09:40:00Z', sessions: 2, sessions_ended: 2, duration_ms: 61_400 },
  { at: '2026-11-02T10:05:00Z', channel: 'messenger', language: 'pt-BR', sessions: 4, messages_user: 9 },
  { at: '2026-11-03T00:00:00Z', sessions: 1, sessions_ended: 1, duration_ms: 600_000, messages_bot: 3 },
  { at: '2026-11-03T23:59:00Z', channel: 'messenger', language: '', sessions: 6 },
  { at: '2026-11-03T08:00:00Z', vendor: 'syntphony', channel: 'voice', sessions: 10, messages_user: 20 },
  { at: '2026-11-02T09:20:00Z', bot_id: 'b1@DRAFT', sessions: 5, messages_user: 8 },
  { at: '2026-11-02T11:00:00Z', bot_id: 'b2', sessions: 7 },
  { at: '2026-10-14T11:00:00Z', bot_id: 'b2', sessions: 9 },
  { at: '2026-11-02T11:00:00Z', account: 'other', bot_id: 'b3', sessions: 100 },
]

function serveOf(points: typeof POINTS, of: Partial<Serve> = {}): Serve {
  const store = createStore()
  for (const each of points) store.put(point(each))
  const read = { covered: [['2026-10-01T00:00:00Z', NOW]] as [string, string][], completeUntil: NOW }
  return {
    store,
    alerts: createAlertStore(),
    rules: [],
    completeness: completenessOf(
      read,
      { ...read, vendor: 'syntphony', completeUntil: COMPLETE },
      { ...read, vendor: 'wolkvox', account: 'quiet', bot_id: 'silent' },
    ),
    events: noEvents,
    clusterId: null,
    unready: () => null,
    ...of,
  }
}

async function start(serve: Serve, of: Partial<HttpOptions> = {}): Promise<HttpServer> {
  const made = await startHttp({
    host: '127.0.0.1',
    port: 0,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: handClock(NOW),
    version: '0.1.0',
    health: () => [],
    serve,
    ...of,
  })
  servers.push(made)
  return made
}

interface Serie {
  labels: Record<string, string>
  values: number[]
  sum: number
  mean: number
  min: number
  max: number
}
interface Answer {
  data: { series: Serie[]; series_labels: string[]; x_values: string[] }
  complete_until: string | null
  code: number
  error_code: number
  message: string
  details: unknown[]
}

async function ask(path: string, query: Record<string, string> = {}, of = server, init: RequestInit = {}) {
  const answer = await fetch(`${of.url}${path}?${new URLSearchParams(query)}`, init)
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Answer }
}

const two = { version: 'LIVE', start_time: DAY, end_time: '2026-11-04T00:00:00Z' }
const bot = (rest: string, query: Record<string, string> = {}) => ask(`/v1/bots/b1/${rest}`, { ...two, ...query })
const team = (query: Record<string, string>) =>
  ask('/v1/teams/acme/conversations', { start_time: '2026-11-01T00:00:00Z', end_time: '2026-11-05T00:00:00Z', ...query })
const groupsOf = ({ body }: { body: Answer }, ...keys: string[]) =>
  Object.fromEntries(body.data.series.map(({ labels, sum }) => [keys.map(key => labels[key]).join(' '), sum]))

describe('what is kept by the day only', () => {
  test('is not 0 by the hour: a longer bucket is asked for', async () => {
    const old = await start(serveOf([{ at: '2026-10-10T00:00:00Z', bucket: '1d', sessions: 3 }]))
    const range = { version: 'LIVE', start_time: '2026-10-09T00:00:00Z', end_time: '2026-10-12T00:00:00Z' }
    const byHour = await ask('/v1/bots/b1/conversations', { ...range, bucket: '1h' }, old)
    expect([byHour.status, byHour.body.message]).toEqual([400, expect.stringMatching(/^bucket is shorter than what is kept/)])
    const byDay = await ask('/v1/bots/b1/conversations', { ...range, bucket: '1d' }, old)
    expect([byDay.status, byDay.body.data.series[0]?.values]).toEqual([200, [0, 3, 0]])
  })
})

describe('conversations of a bot', () => {
  test('by the day: of every vendor that has a bot of this id, without its draft', async () => {
    const { status, body } = await bot('conversations', { bucket: '1d' })
    expect(status).toBe(200)
    expect(body).toEqual({
      data: {
        series: [{ labels: {}, values: [9, 17], sum: 26, mean: 13, min: 9, max: 17 }],
        series_labels: [],
        x_values: ['2026-11-02T00:00:00.000Z', '2026-11-03T00:00:00.000Z'],
      },
      complete_until: '2026-11-04T10:00:00.000Z',
    })
  })

  test('by the hour, with zeros where nothing was, and means that are whole numbers', async () => {
    const { body } = await bot('conversations', { bucket: '1h', end_time: '2026-11-02T12:00:00Z' })
    const [only] = body.data.series
    expect(only?.values).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0])
    expect([only?.sum, only?.mean, only?.min, only?.max]).toEqual([9, 1, 0, 5]) // 9 / 12 = 0.75
    expect(body.data.x_values.slice(-1)).toEqual(['2026-11-02T11:00:00.000Z'])
  })

  test('by the week, from Monday', async () => {
    const { body } = await bot('conversations', { bucket: '1w', start_time: '2026-10-28T00:00:00Z', end_time: NOW })
    expect(body.data.x_values).toEqual(['2026-10-26T00:00:00.000Z', '2026-11-02T00:00:00.000Z'])
    expect(body.data.series[0]?.values).toEqual([0, 26])
  })

  test('start_time is inclusive, end_time exclusive, to the minute, also inside a bucket', async () => {
    const inside = { bucket: '1h', start_time: '2026-11-02T09:11:00Z', end_time: '2026-11-02T10:05:00Z' }
    const cut = (await ask('/v1/bots/b1/conversations', { ...two, ...inside, bucket: '1h', end_time: '2026-11-02T10:12:00Z' }))
      .body
    expect([cut.data.x_values, cut.data.series[0]?.values]).toEqual([
      ['2026-11-02T09:00:00.000Z', '2026-11-02T10:00:00.000Z'],
      [2, 4],
    ])
    const from = await bot('conversations', { ...inside, start_time: '2026-11-02T09:10:00Z', end_time: '2026-11-02T10:11:00Z' })
    expect(from.body.data.series[0]?.values).toEqual([5, 4])
    const until = await bot('conversations', { ...inside, start_time: '2026-11-02T08:10:00Z' })
    expect(until.body.data.series[0]?.values).toEqual([0, 5, 0])
  })

  test('a minute counts where it begins', async () => {
    const seconds = { bucket: '1h', start_time: '2026-11-02T09:10:30Z', end_time: '2026-11-02T10:59:30Z' }
    expect((await bot('conversations', seconds)).body.data.series[0]?.values).toEqual([2, 4])
    const late = { ...seconds, start_time: '2026-11-02T08:59:30Z', end_time: '2026-11-02T10:05:30Z' }
    expect((await bot('conversations', late)).body.data).toMatchObject({
      x_values: ['2026-11-02T08:00:00.000Z', '2026-11-02T09:00:00.000Z', '2026-11-02T10:00:00.000Z'],
      series: [{ values: [0, 5, 4] }],
    })
  })

  test('without bucket by the day, or by the hour in a range of a day or less', async () => {
    expect((await bot('conversations')).body.data.x_values).toHaveLength(2)
    expect((await bot('conversations', { end_time: '2026-11-03T00:00:00Z' })).body.data.x_values).toHaveLength(24)
    const short = await bot('conversations', { start_time: '2026-11-02T09:00:00Z', end_time: '2026-11-02T09:30:00Z' })
    expect(short.body.data).toMatchObject({ x_values: ['2026-11-02T09:00:00.000Z'], series: [{ values: [3] }] })
  })

  test('grouped by channel or by language, the unknown language empty', async () => {
    const channels = (await bot('conversations', { bucket: '1d', group_by: 'channel_type' })).body.data
    expect(channels.series.map(({ labels, values }) => [labels, values])).toEqual([
      [{ channel_type: 'messenger' }, [4, 6]],
      [{ channel_type: 'voice' }, [0, 10]],
      [{ channel_type: 'web' }, [5, 1]],
    ])
    expect(channels.series_labels).toEqual(['messenger', 'voice', 'web'])
    const languages = await bot('conversations', { bucket: '1d', group_by: 'language' })
    expect(groupsOf(languages, 'language')).toEqual({ '': 6, es: 16, 'pt-BR': 4 })
  })

  test('filtered by channels, in their words or ours, and by languages: with commas or repeated', async () => {
    const sum = async (query: string) => {
      const answer = await fetch(`${server.url}/v1/bots/b1/conversations?${new URLSearchParams(two)}&${query}`)
      return ((await answer.json()) as Answer).data.series[0]?.sum
    }
    expect(await sum('channel_type=web')).toBe(6)
    expect(await sum('channel_type=facebook')).toBe(10)
    expect(await sum('channel_type=web,messenger')).toBe(16)
    expect(await sum('channel_type=web&channel_type=ivr')).toBe(16)
    expect(await sum('channel_type=whatsapp')).toBe(0)
    expect(await sum('language=es')).toBe(16)
    expect(await sum('language=es,pt-BR')).toBe(20)
    expect(await sum('language=es&language=fr')).toBe(16)
    expect(await sum('channel_type=messenger&language=pt-BR')).toBe(4)
    expect(await sum('channel_type=&language=')).toBe(26)
  })

  test('version: only DRAFT makes a difference', async () => {
    for (const version of ['LIVE', 'live', '12', 'v3'])
      expect((await bot('conversations', { version })).body.data.series[0]?.sum).toBe(26)
    for (const version of ['DRAFT', 'draft']) expect((await bot('conversations', { version })).body.data.series[0]?.sum).toBe(5)
    // A bot whose id says that it is the draft is no other one.
    const named = await ask('/v1/bots/b1@DRAFT/conversations', { ...two, version: 'DRAFT' })
    expect(named.body.data.series[0]?.sum).toBe(5)
    expect((await ask('/v1/bots/b2/conversations', { ...two, version: 'DRAFT' })).body.data.series[0]?.sum).toBe(0)
  })

  test('of several bots with one id, vendor and account say which', async () => {
    const sum = async (query: Record<string, string>) => (await bot('conversations', query)).body.data.series[0]?.sum
    expect(await sum({ vendor: 'syntphony' })).toBe(10)
    expect(await sum({ vendor: 'botmaker', account: 'acme' })).toBe(16)
    expect(await sum({ account: 'other' })).toBe(0)
    expect((await team({ bucket: '1d', vendor: 'syntphony' })).body.data.series[0]?.sum).toBe(10)
    expect((await bot('messages', { vendor: 'syntphony' })).body.data.series[0]?.sum).toBe(20)
    const stat = { stat: 'num_conversations', vendor: 'syntphony,botmaker' }
    expect((await bot('conversations/insights', stat)).body.data.series[0]?.sum).toBe(26)
  })

  test('times may have an offset, be epoch milliseconds or counted from now', async () => {
    const offset = { start_time: '2026-11-02T01:00:00+01:00', end_time: String(Date.parse('2026-11-04T00:00:00Z')) }
    expect((await bot('conversations', offset)).body.data.series[0]?.sum).toBe(26)
    expect((await bot('conversations', { start_time: 'now-36h', end_time: 'now' })).body.data.series[0]?.sum).toBe(17)
  })
})

describe('messages of a bot', () => {
  test('of all senders, by the day and by the hour, filtered alike', async () => {
    const days = await bot('messages', { bucket: '1d' })
    expect(days.body.data.series).toEqual([{ labels: {}, values: [24, 23], sum: 47, mean: 24, min: 23, max: 24 }])
    expect((await bot('messages', { channel_type: 'web' })).body.data.series[0]?.values).toEqual([15, 3])
    expect((await bot('messages', { language: 'pt-BR', bucket: '1h' })).body.data.series[0]?.sum).toBe(9)
    expect((await bot('messages', { version: 'DRAFT' })).body.data.series[0]?.sum).toBe(8)
  })
})

describe('insights of a bot', () => {
  test('num_conversations, num_messages and duration_seconds by the day', async () => {
    const stat = async (name: string, query = {}) => (await bot('conversations/insights', { stat: name, ...query })).body.data
    expect(await stat('num_conversations')).toEqual({
      series: [{ labels: {}, values: [9, 17], sum: 26, mean: 13, min: 9, max: 17 }],
      series_labels: [],
      x_values: ['2026-11-02T00:00:00.000Z', '2026-11-03T00:00:00.000Z'],
    })
    expect((await stat('num_messages')).series[0]?.values).toEqual([24, 23])
    // 61.4 s and 600 s.
    expect((await stat('duration_seconds')).series[0]).toMatchObject({ values: [61, 600], sum: 661 })
    expect((await stat('num_conversations', { channel_type: 'facebook', language: 'pt-BR' })).series[0]?.values).toEqual([4, 0])
    expect((await stat('num_messages', { version: 'DRAFT' })).series[0]?.sum).toBe(8)
    const part = await stat('num_conversations', { start_time: '2026-11-02T09:30:00Z', end_time: '2026-11-02T10:00:00Z' })
    expect([part.x_values, part.series[0]?.values]).toEqual([['2026-11-02T00:00:00.000Z'], [2]])
  })
})

describe('conversations of a team', () => {
  test('are those of an account, drafts too, by day, week and month', async () => {
    expect((await team({ bucket: '1d' })).body.data).toEqual({
      series: [{ labels: {}, values: [0, 21, 17, 0], sum: 38, mean: 10, min: 0, max: 21 }],
      series_labels: [],
      x_values: ['01', '02', '03', '04'].map(day => `2026-11-${day}T00:00:00.000Z`),
    })
    const weeks = await team({ bucket: '1w', start_time: '2026-10-12T00:00:00Z' })
    expect(weeks.body.data.series[0]?.values).toEqual([9, 0, 0, 38])
    const months = await team({ bucket: '1m', start_time: '2026-10-01T00:00:00Z' })
    expect([months.body.data.x_values, months.body.data.series[0]?.values]).toEqual([
      ['2026-10-01T00:00:00.000Z', '2026-11-01T00:00:00.000Z'],
      [9, 38],
    ])
    const other = await ask('/v1/teams/other/conversations', { start_time: DAY, end_time: NOW, bucket: '1d' })
    expect(other.body.data.series[0]?.sum).toBe(100)
  })

  test('grouped by each field that is documented, and by all of them', async () => {
    const by = async (group_by: string) => groupsOf(await team({ bucket: '1d', group_by }), ...group_by.split(','))
    expect(await by('bot_id')).toEqual({ b1: 31, b2: 7 })
    expect(await by('bot_version')).toEqual({ LIVE: 33, DRAFT: 5 })
    expect(await by('team_id')).toEqual({ acme: 38 })
    expect(await by('channel_type')).toEqual({ messenger: 10, voice: 10, web: 18 })
    expect(await by('language')).toEqual({ '': 6, es: 28, 'pt-BR': 4 })
    expect(await by('campaign_id')).toEqual({ '': 38 })
    expect(await by('campaign_source')).toEqual({ '': 38 })
    expect(await by('bot_id,bot_version')).toEqual({ 'b1 LIVE': 26, 'b1 DRAFT': 5, 'b2 LIVE': 7 })
    const all = await team({
      bucket: '1d',
      group_by: 'bot_id,bot_version,team_id,channel_type,language,campaign_id,campaign_source',
    })
    expect(all.body.data.series.find(({ labels }) => labels['language'] === 'pt-BR')).toEqual({
      labels: {
        bot_id: 'b1',
        bot_version: 'LIVE',
        team_id: 'acme',
        channel_type: 'messenger',
        language: 'pt-BR',
        campaign_id: '',
        campaign_source: '',
      },
      values: [0, 4, 0, 0],
      sum: 4,
      mean: 1,
      min: 0,
      max: 4,
    })
    expect(all.body.data.series.reduce((sum, each) => sum + each.sum, 0)).toBe(38)
    expect(all.body.data.series_labels).toHaveLength(all.body.data.series.length)
    expect(all.body.data.series_labels).toContain('b1,LIVE,acme,messenger,pt-BR,,')
  })
})

describe('errors', () => {
  const paths = ['conversations', 'conversations/insights', 'messages'].map(rest => `/v1/bots/b1/${rest}`)

  test.each([
    ...paths.flatMap(path => [
      [path, { version: '' }, /^version is required/],
      [path, { start_time: '' }, /^start_time is required; it takes a time as ISO 8601/],
      [path, { end_time: '' }, /^end_time is required/],
      [path, { start_time: 'yesterday' }, /^start_time takes a time as ISO 8601/],
      [path, { start_time: '1793577600' }, /^start_time takes epoch milliseconds, and 1793577600 looks like seconds/],
      [path, { start_time: two.end_time }, /^start_time must lie before end_time/],
      [path, { channel_type: 'web,carrier-pigeon' }, /^channel_type takes channels, as a comma list: web,/],
      [path, { page_token: 'x' }, /^page_token is not a parameter of \/v1\/bots\/\{bot_id\}\//],
    ]),
    ['/v1/bots/b1/conversations', { bucket: '5m' }, /^bucket is not known; it takes one of 1h, 1d, 1w/],
    ['/v1/bots/b1/conversations', { bucket: '1m' }, /^bucket is not known/],
    ['/v1/bots/b1/conversations', { bucket: '1w' }, /^bucket must be shorter than the range/],
    ['/v1/bots/b1/messages', { bucket: '1d', end_time: '2026-11-03T00:00:00Z' }, /^bucket must be shorter than the range/],
    [
      '/v1/bots/b1/conversations',
      { bucket: '1h', start_time: '2000-01-01T00:00:00Z' },
      /^bucket asks for more than 50000 points/,
    ],
    ['/v1/bots/b1/conversations', { group_by: 'bot_id' }, /^group_by is not known; it takes one of channel_type, language/],
    ['/v1/bots/b1/conversations/insights', { stat: '' }, /^stat is required; it takes one of num_conversations/],
    ['/v1/bots/b1/conversations/insights', { stat: 'users' }, /^stat is not known/],
    ['/v1/bots/b1/conversations/insights', { bucket: '1d' }, /^bucket is not a parameter/],
    ['/v1/teams/acme/conversations', { bucket: '' }, /^bucket is required; it takes one of 1d, 1w, 1m/],
    ['/v1/teams/acme/conversations', { bucket: '1h' }, /^bucket is not known/],
    ['/v1/teams/acme/conversations', { bucket: '1m' }, /^bucket must be shorter than the range/],
    ['/v1/teams/acme/conversations', { group_by: 'bot_id,colour' }, /^group_by takes one or more, as a comma list, of bot_id/],
  ] as [string, Record<string, string>, RegExp][])('%s with %o', async (path, query, message) => {
    const { start_time, end_time } = two
    const usual = path.includes('/teams/')
      ? { start_time, end_time, bucket: '1d' }
      : { ...two, ...(path.endsWith('insights') ? { stat: 'num_messages' } : {}) }
    const { status, body } = await ask(path, { ...usual, ...query })
    expect([status, body]).toEqual([400, { code: 3, message: expect.stringMatching(message), details: [], error_code: 400 }])
  })

  test('a bot or team that nobody knows is not one without conversations', async () => {
    for (const path of ['/v1/bots/b9/conversations', '/v1/bots/b9/messages', '/v1/bots/acme/conversations']) {
      const { status, body } = await ask(path, two)
      expect([status, body]).toEqual([404, { code: 5, message: expect.stringContaining('bot'), details: [], error_code: 404 }])
    }
    const { start_time, end_time } = two
    expect((await ask('/v1/teams/b1/conversations', { start_time, end_time, bucket: '1d' })).status).toBe(404)
    // Configured, and nothing has come yet.
    expect((await ask('/v1/bots/silent/conversations', two)).body.data.series[0]?.values).toEqual([0, 0])
    const quiet = await ask('/v1/teams/quiet/conversations', { start_time, end_time, bucket: '1d', group_by: 'bot_id' })
    expect([quiet.status, quiet.body.data.series, quiet.body.data.x_values.length]).toEqual([200, [], 2])
  })

  test('other faults have the same form: nothing there, another method, not ready yet', async () => {
    expect((await ask('/v1/bots/b1/users', two)).body).toMatchObject({ code: 5, details: [], error_code: 404 })
    const posted = await ask('/v1/bots/b1/conversations', {}, server, { method: 'POST' })
    expect([posted.status, posted.body]).toEqual([405, expect.objectContaining({ code: 12, details: [] })])
    const waiting = await start(serveOf(POINTS, { unready: () => 'the series are being read' }))
    const answer = await ask('/v1/bots/b1/conversations', two, waiting)
    expect([answer.status, answer.body]).toEqual([
      503,
      { code: 14, message: 'the series are being read', details: [], error_code: 503 },
    ])
    // Elsewhere errors are as they were.
    expect((await ask('/v1/series')).body).toEqual({ error_code: 400, message: expect.any(String) })
  })

  test('Basic authentication takes the token as the secret, whatever the id is', async () => {
    const guarded = await start(serveOf(POINTS), { token: 'the-secret' })
    const basic = (pair: string) => ({ headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } })
    expect((await ask('/v1/bots/b1/conversations', two, guarded, basic('token-id:the-secret'))).status).toBe(200)
    for (const init of [{}, basic('token-id:wrong'), basic('the-secret')]) {
      const { status, headers, body } = await ask('/v1/teams/acme/conversations', {}, guarded, init)
      expect([status, body]).toEqual([401, expect.objectContaining({ code: 16, details: [], error_code: 401 })])
      expect(headers.get('www-authenticate')).toContain('Basic realm=')
    }
  })
})

test('answers have a tag, and are packed', async () => {
  const first = await bot('conversations', { bucket: '1h', group_by: 'channel_type' })
  const etag = first.headers.get('etag') ?? ''
  const url = `${server.url}/v1/bots/b1/conversations?${new URLSearchParams({ ...two, bucket: '1h', group_by: 'channel_type' })}`
  expect((await fetch(url, { headers: { 'if-none-match': etag } })).status).toBe(304)
  const packed = await new Promise<{ encoding: string | undefined; text: string }>((resolve, reject) => {
    httpGet(url, { headers: { 'accept-encoding': 'br' } }, answer => {
      const pieces: Buffer[] = []
      answer.on('data', (piece: Buffer) => pieces.push(piece))
      answer.on('end', () =>
        resolve({
          encoding: answer.headers['content-encoding'],
          text: brotliDecompressSync(Buffer.concat(pieces)).toString(),
        }),
      )
    }).on('error', reject)
  })
  expect(packed.encoding).toBe('br')
  expect(JSON.parse(packed.text)).toEqual(first.body)
})

test('many bots, groups and buckets are answered in small steps, and what is too much is refused in the words of the API', async () => {
  const many = Array.from({ length: 3000 }, (_, at) => ({ at: DAY, bot_id: `n${at}`, sessions: 1 }))
  const serve = serveOf(many)
  const stepsOf = (parse: (asked: Asked) => BotQuery, parameters: Record<string, string>) => {
    const query = parse({ inPath: { bot_id: 'n7', team_id: 'acme' }, parameters, nowMs: Date.parse(NOW) })
    const work = answerBots(query, serve.store, serve.completeness)
    let steps = 0
    let step = work.next()
    for (; step.done !== true; step = work.next()) steps++
    return { steps, series: step.value.data.series }
  }
  const groups = stepsOf(parseTeam, { start_time: 'now-30d', end_time: 'now', bucket: '1d', group_by: 'bot_id' })
  expect([groups.series.length, groups.series[7]?.sum]).toEqual([3000, 1])
  // At least one for each series that is answered, put together, and written.
  expect(groups.steps).toBeGreaterThan(9000)
  const points = stepsOf(parseConversations, { version: 'LIVE', start_time: 'now-2000d', end_time: 'now', bucket: '1h' })
  expect(points.series[0]?.values).toHaveLength(48_000)
  expect(points.steps).toBeGreaterThan((2 * 48_000) / 512)
  const busy = await start(serve)
  const long = await ask(
    '/v1/teams/acme/conversations',
    { start_time: 'now-3y', end_time: 'now', bucket: '1d', group_by: 'bot_id' },
    busy,
  )
  expect([long.status, long.body.message]).toEqual([400, expect.stringMatching(/^group_by asks for 3000 series of 1097 points/)])
})
