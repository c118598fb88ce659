/** The page server and the connector of `npm run bench`: what is measured is what the report says. */
import { onTestFinished, expect, test } from 'vitest'
import type { z } from 'zod'
import pages from '../../bench/pages/connector.ts'
import { CYCLE, rowAt, seqOf, STEP_MS } from '../../bench/pages/rows.ts'
import { startPageServer } from '../../bench/pages/server.ts'
import { decode } from '../../src/ingest/rows.ts'
import { type Http, rowContext, type Stream, type Window } from '../../src/source/index.ts'

const FROM_MS = Date.parse('2026-11-01T00:00:00Z')
const ROWS = 3210
const scope = { name: 'main', botId: null }

async function startServer() {
  const server = await startPageServer({ rows: ROWS, fromMs: FROM_MS })
  onTestFinished(() => server.stop())
  const get = async (path: string) => (await fetch(`${server.url}${path}`)).json()
  return { server, get }
}

/** As the framework's, without quota and retries. */
function httpOf(url: string): Http {
  const getJson = async <S extends z.ZodType>(path: string, query: Readonly<Record<string, unknown>>, page: S) => {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined)
    const search = new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)]))
    return page.parse(await (await fetch(`${url}${path}?${search}`)).json())
  }
  const postJson = async () => {
    throw new Error('the page server takes no POST')
  }
  return { getJson, postJson }
}

async function read(url: string, window: Window): Promise<{ id: string }[][]> {
  const stream = pages.streams['sessions'] as Stream
  const listing = stream.read({ config: {} as never, scope, window, resume: null, nowMs: window.untilMs, http: httpOf(url) })
  const read: { id: string }[][] = []
  for await (const { rows } of listing) read.push(rows as { id: string }[])
  return read
}

test('a page holds just its rows, wherever in the cycle it begins, and says where the listing goes on', async () => {
  const { get } = await startServer()
  const rows = (first: number, until: number) => Array.from({ length: until - first }, (_, at) => rowAt(first + at, FROM_MS))

  expect(await get('/sessions?limit=3')).toEqual({ items: rows(0, 3), next: seqOf(2) })
  expect(await get(`/sessions?limit=${CYCLE}&after=${seqOf(1998)}`)).toEqual({ items: rows(1999, 2999), next: seqOf(2998) })
  expect(await get(`/sessions?after=${seqOf(3000)}`)).toEqual({ items: rows(3001, ROWS), next: null })
  expect(await get(`/sessions?after=${seqOf(ROWS - 1)}`)).toEqual({ items: [], next: null })
  expect(await get('/taken')).toEqual({ taken: ROWS })
})

test('rows have about a kilobyte, and differ in ids, users and times from cycle to cycle', async () => {
  const { server, get } = await startServer()
  await get('/sessions')
  expect(server.stats().bytes / CYCLE).toBeGreaterThan(850)
  expect(server.stats().bytes / CYCLE).toBeLessThan(1150)
  const [early, late] = [rowAt(7, FROM_MS), rowAt(7 + CYCLE, FROM_MS)]
  expect(late).toEqual({
    ...early,
    seq: seqOf(7 + CYCLE),
    id: `S-${seqOf(7 + CYCLE)}`,
    createdAt: new Date(FROM_MS + (7 + CYCLE) * STEP_MS).toISOString(),
    closedAt: new Date(Date.parse(early.closedAt) + CYCLE * STEP_MS).toISOString(),
    user: { ...early.user, id: 'u-001007' },
    link: `https://vendor.example/sessions/S-${seqOf(7 + CYCLE)}`,
  })
})

test('windows that touch hold every row once', async () => {
  const { server } = await startServer()
  const middleMs = FROM_MS + 1500 * STEP_MS
  const before = await read(server.url, { fromMs: FROM_MS - 60_000, untilMs: middleMs })
  const after = await read(server.url, { fromMs: middleMs, untilMs: middleMs + 3_600_000 })

  expect(before.map(page => page.length)).toEqual([1000, 500])
  const ids = [...before, ...after].flat().map(({ id }) => id)
  expect(ids).toEqual(Array.from({ length: ROWS }, (_, index) => `S-${seqOf(index)}`))
})

test('each row becomes one session, with all that the row says', async () => {
  const { server } = await startServer()
  const stream = pages.streams['sessions'] as Stream
  const [[raw] = []] = await read(server.url, { fromMs: FROM_MS, untilMs: FROM_MS + STEP_MS })
  const source = { vendor: 'pages', account: 'main', connector: 'bench', config: {}, scope }
  const ctx = rowContext({ ...source, observedAtMs: FROM_MS + 3_600_000, lookbackMs: 0 })
  const { rows, rejects } = decode(stream, [raw], ctx)
  const given = rowAt(0, FROM_MS)

  expect(rejects).toEqual([])
  expect(rows.flatMap(({ row }) => stream.normalise(row as never, ctx))).toMatchObject([
    {
      kind: 'session',
      record: {
        session_key: `pages:main:${given.id}`,
        bot_id: given.bot.id,
        started_at: FROM_MS,
        ended_at: Date.parse(given.closedAt),
        status: 'CLOSED',
        channel: given.channel,
        user_id: given.user.id,
        agent_messages: given.counts.agent,
        satisfaction: given.satisfaction,
        variables: given.variables,
        attributes: { channelId: given.channelId, userName: given.user.name, country: 'CO' },
      },
    },
  ])
})
