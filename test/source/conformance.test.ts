import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { conformanceChecks, type Subject } from '../../src/source/conformance.ts'
import { type Connector, defineConnector, event, message, type ReadArgs, session } from '../../src/source/index.ts'

const Row = z.object({ id: z.string(), at: z.string(), said: z.array(z.string()) })
type RowType = z.output<typeof Row>
const Page = z.object({ rows: z.array(z.unknown()), next: z.number().nullable() })
const Config = z.strictObject({
  baseUrl: z.url().describe('API root'),
  apiToken: z.string().meta({ secret: true }).describe('Key'),
  pageSize: z.int().default(2).describe('Rows a request'),
})
type ConfigType = z.output<typeof Config>

const good = defineConnector({
  manifest: {
    id: 'acme-chat',
    title: 'Acme Chat',
    apiVersion: 'v1',
    docs: 'https://docs.acme.example',
    quota: { sharedBy: 'apiToken' },
    pollIntervalMs: 1000,
    sessionStream: 'rows',
    optionalStreams: ['audit'],
  },
  config: Config,
  http: config => ({ baseUrl: config.baseUrl, headers: { token: config.apiToken } }),
  streams: {
    rows: {
      window: { longestMs: 30_000, lagMs: 0, lookbackMs: 1000, durableResume: true },
      row: Row,
      async *read({ config, window, resume, http }) {
        let at = resume
        do {
          const query = { from: window.fromMs, until: window.untilMs, at: Number(at ?? 0), size: config.pageSize }
          const page = await http.getJson('/rows', query, Page)
          at = page.next
          yield { rows: page.rows, resume: at }
        } while (at !== null)
      },
      identify: row => row.id,
      normalise: (row, ctx) => {
        const of = ctx.session({ botId: 'b', sessionId: row.id, channel: 'web' })
        return [
          session(of, { startedAt: row.at }),
          ...row.said.map((text, i) => message(of, { messageId: `${row.id}-${i}`, sentAt: row.at, text })),
          event(of, { eventId: row.id, occurredAt: row.at, type: 'session_started' }),
        ]
      },
    },
    audit: {
      window: { longestMs: Infinity, lagMs: 0, lookbackMs: 0, durableResume: false },
      row: Row,
      async *read() {},
      identify: row => row.id,
      normalise: () => [],
    },
  },
})

/** Seven rows over a minute, served in pages; `shift` changes what each request sees. */
function subjectOf(connector: Connector, serve: (row: RowType, request: number) => RowType = row => row): Subject {
  return {
    connector,
    start: async () => {
      let request = 0
      const server = createServer((asked, response) => {
        request++
        const query = new URL(asked.url ?? '/', 'http://x').searchParams
        const [from, until, at, size] = ['from', 'until', 'at', 'size'].map(name => Number(query.get(name))) as [
          number,
          number,
          number,
          number,
        ]
        const all = [0, 9, 15, 20, 29, 31, 59].map((second, i) => ({
          id: `r${i}`,
          at: new Date(second * 1000).toISOString(),
          said: ['hello', 'you'],
        }))
        const rows = all.filter(row => Date.parse(row.at) >= from && Date.parse(row.at) < until)
        const next = at + size < rows.length ? at + size : null
        response.end(JSON.stringify({ rows: rows.slice(at, at + size).map(row => serve(row, request)), next }))
      })
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      return {
        config: { 'base.url': `http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'api.token': 'very-secret-1' },
        window: { fromMs: 0, untilMs: 60_000 },
        stop: async () => {
          server.closeAllConnections()
          await new Promise(resolve => server.close(resolve))
        },
      }
    },
  }
}

/** For connectors that remember what they must not. */
let calls = 0

/** Names of the checks that fail, with the first line of why. */
async function failures(subject: Subject): Promise<Record<string, string>> {
  const failed: Record<string, string> = {}
  for (const check of conformanceChecks(subject)) {
    await check
      .run()
      .catch(
        (thrown: unknown) =>
          (failed[check.name] = String(thrown instanceof Error ? thrown.message : thrown).split('\n')[0] ?? ''),
      )
  }
  return failed
}

/** The good connector with one part of its stream replaced. */
function withStream(part: object): Connector {
  return { ...good, streams: { ...good.streams, rows: { ...good.streams.rows, ...part } as never } }
}

test('a connector that keeps the contract passes every check', async () => {
  expect(await failures(subjectOf(good))).toEqual({})
})

test('each fault has a check of its own on every stream', () => {
  const names = conformanceChecks(subjectOf(good)).map(check => check.name)
  expect(new Set(names).size).toBe(names.length)
  for (const code of ['SRC_UNAUTHORISED', 'SRC_RATE_LIMITED', 'SRC_SERVER_ERROR', 'SRC_TRUNCATED', 'SRC_MALFORMED', 'STOPPED'])
    expect(names.filter(name => name.startsWith('rows: ') && name.endsWith(code))).toHaveLength(1)
})

const rows = good.streams.rows as NonNullable<typeof good.streams.rows>
const readRows = (args: ReadArgs) => rows.read(args)

describe('a connector fails the check that is about its defect', () => {
  test.each<[string, string, Connector]>([
    ['takes unknown config keys', 'describes every config key', { ...good, config: z.object(Config.shape) }],
    [
      'has a config key without a description',
      'describes every config key',
      { ...good, config: Config.extend({ odd: z.string().optional() }) },
    ],
    [
      'has a secret without its mark',
      'keeps the shape',
      { ...good, config: Config.extend({ apiToken: z.string().describe('Key') }) },
    ],
    [
      'has scopes of one name',
      'names windows and scopes',
      withStream({
        scopes: () => [
          { name: 'a', botId: 'a' },
          { name: 'a', botId: 'b' },
        ],
      }),
    ],
    [
      'starts again instead of going on',
      'goes on from any page',
      withStream({
        async *read(args: ReadArgs) {
          yield* readRows({ ...args, resume: null })
        },
      }),
    ],
    [
      'takes an error for an empty page',
      'a failing vendor',
      withStream({
        async *read(args: ReadArgs) {
          try {
            yield* readRows(args)
          } catch {
            yield { rows: [], resume: null }
          }
        },
      }),
    ],
    [
      'gives a page before it has read one',
      'a failing vendor',
      withStream({
        async *read(args: ReadArgs) {
          yield { rows: [], resume: 0 }
          yield* readRows(args)
        },
      }),
    ],
    [
      'takes a refusal for a failing vendor',
      'a refused credential',
      {
        ...good,
        http: (config: ConfigType) => ({
          baseUrl: config.baseUrl,
          classify: ({ status }: { status: number }) => (status === 401 ? { code: 'SRC_REFUSED' } : undefined),
        }),
      } as unknown as Connector,
    ],
    [
      'changes the row',
      'makes the same records of a row',
      withStream({
        normalise: (row: RowType, ctx: never) => {
          row.said.sort().reverse()
          return rows.normalise(row as never, ctx)
        },
      }),
    ],
    [
      'remembers what it normalised',
      'makes the same records of a row',
      withStream({
        normalise: (row: RowType, ctx: never) => [
          ...rows.normalise({ ...row, at: new Date(calls++ * 1000).toISOString() } as never, ctx),
        ],
      }),
    ],
    [
      'gives two messages one key',
      'makes the same records of a row',
      withStream({
        normalise: (row: RowType, ctx: never) => [...rows.normalise(row as never, ctx), ...rows.normalise(row as never, ctx)],
      }),
    ],
    [
      'gives sessions from another stream',
      'makes the same records of a row',
      { ...good, manifest: { ...good.manifest, sessionStream: null } },
    ],
    [
      'mixes up the rows it enriches',
      'makes the same records of a row',
      withStream({ expand: async ({ rows }: { rows: unknown[] }) => rows.toReversed() }),
    ],
    ['makes ids up', 'gives rows with ids', withStream({ identify: (row: RowType) => `${row.id}-${calls++}` })],
    ['finds nothing', 'gives rows with ids', withStream({ async *read() {} })],
  ])('%s', async (_defect, name, connector) => {
    const failed = await failures(subjectOf(connector))
    expect(Object.keys(failed).filter(failing => failing.includes(name))).toHaveLength(1)
  })

  test('and so does one whose fingerprint takes in what changes without meaning', async () => {
    const failed = await failures(subjectOf(good, (row, request) => ({ ...row, said: [`${request}`] })))
    expect(Object.keys(failed)).toContain('rows: gives rows with ids, the same at a second read')
  })
})
