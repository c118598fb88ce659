/** A small connector that keeps the contract, and a small vendor with every quirk. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'
import type { Quirk, Start, Subject, Truth, Waiver } from '../../src/conformance/index.ts'
import { type Connector, defineConnector, event, FlowError, message, session } from '../../src/source/index.ts'

const MINUTE = 60_000

export const Row = z.looseObject({
  id: z.string(),
  at: z.string(),
  kind: z.string(),
  said: z.array(z.string()),
  handed: z.string().nullish(),
})
export type RowType = z.output<typeof Row>
export const Page = z.object({ rows: z.array(z.unknown()), next: z.number().nullable(), now: z.number() })
export const Config = z.strictObject({
  baseUrl: z.url().describe('API root'),
  apiToken: z.string().meta({ secret: true }).describe('Key'),
  pageSize: z.int().default(3).describe('Rows a request'),
})
export type ConfigType = z.output<typeof Config>

export const acme = defineConnector({
  manifest: {
    id: 'acme-chat',
    title: 'Acme Chat',
    apiVersion: 'v1',
    docs: 'https://docs.acme.example',
    quota: { perSecond: 5, sharedBy: 'apiToken' },
    pollIntervalMs: MINUTE,
    sessionStream: 'rows',
    optionalStreams: ['audit'],
  },
  config: Config,
  http: config => ({ baseUrl: config.baseUrl, headers: { token: config.apiToken } }),
  streams: {
    rows: {
      window: { longestMs: 20 * MINUTE, lagMs: 30_000, lookbackMs: 10 * MINUTE, durableResume: true },
      row: Row,
      async *read({ config, window, resume, http }) {
        let at = Number(resume ?? 0)
        for (;;) {
          // A millisecond early, because whether the vendor's `from` is inclusive is not known.
          const query = { from: window.fromMs - 1, until: window.untilMs, at, size: config.pageSize }
          const page = await http.getJson('/rows', query, Page)
          if (page.next !== null && page.next <= at) throw new FlowError('SRC_MALFORMED', { hint: 'a page leads back' })
          yield { rows: page.rows, resume: page.next }
          if (page.next === null) return
          at = page.next
        }
      },
      identify: row => row.id,
      normalise: (row, ctx) => {
        const { id, at, kind, said, handed, ...rest } = row
        const of = ctx.session({ botId: 'b', sessionId: id, channel: 'web' })
        return [
          session(of, { startedAt: at, transferredAt: handed, userMessages: said.length, attributes: rest }),
          ...said.map((text, i) => message(of, { messageId: `${i}`, sentAt: sentAt(at, i), text })),
          event(of, { eventId: id, occurredAt: at, type: 'session_started', name: kind }),
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

/** What comes after the first two words was said later. */
function sentAt(at: string, index: number): number {
  return Date.parse(at) + (index < 2 ? 0 : CHANGES_MS)
}

/** The connector with one part of its stream replaced. */
export function withStream(part: object, of: object = {}): Connector {
  return { ...acme, ...of, streams: { ...acme.streams, rows: { ...acme.streams.rows, ...part } as never } }
}

export interface Held {
  readonly id: string
  readonly atMs: number
  readonly kind: string
  readonly said: readonly string[]
  /** Handed to a person then; null: not at all. */
  readonly handedMs: number | null
  /** What is said from four minutes after its time on. */
  readonly later: readonly string[]
  readonly showsMs: number
}

const FROM = Date.parse('2026-11-02T10:00:00Z')
const ROWS = 48
const APART_MS = 75_000
/** How long a row may be missing from some pages. */
const FLICKERS_MS = 8 * MINUTE
const LATE_MS = 5 * MINUTE
const CHANGES_MS = 4 * MINUTE
const SKEW_MS = 2 * MINUTE
const HANDED_MS = 2 * MINUTE

function rowsOf(quirk: Quirk | null): Held[] {
  return Array.from({ length: ROWS }, (_, i) => {
    const atMs = FROM + (quirk === 'tied' ? Math.floor(i / 8) * 8 : i) * APART_MS + 137
    return {
      id: `r${i}`,
      atMs,
      kind: ['chat', 'call'][i % 2] as string,
      said: ['hello', `it is ${i}`],
      handedMs: i % 5 === 2 ? atMs + HANDED_MS : null,
      later: quirk === 'changing' && i % 3 === 0 ? ['and more'] : [],
      showsMs: quirk === 'late' && i % 4 === 1 ? atMs + LATE_MS : atMs,
    }
  })
}

export interface AcmeOptions {
  readonly waivers?: readonly Waiver[]
  /** Beside what reaches the vendor. */
  readonly config?: Readonly<Record<string, unknown>>
  /** What the vendor has where a check asks for no quirk. */
  readonly quirk?: Quirk
  /** Changes what each request sees. */
  readonly serve?: (row: object, request: number) => object
  /** What a row tells beside, at this time of the vendor's. */
  readonly more?: (row: Held, nowMs: number) => object
  /** In place of one session for each row. */
  readonly truth?: (held: readonly Held[], nowMs: number) => Truth
}

export function subjectOf(
  connector: Connector,
  {
    waivers = [],
    config = {},
    quirk: usual = null,
    serve = row => row,
    more = () => ({}),
    truth = truthOf,
  }: Omit<AcmeOptions, 'quirk'> & { readonly quirk?: Quirk | null } = {},
): Subject {
  return {
    connector,
    waivers,
    start: async ({ quirk: asked, now }: Start) => {
      const quirk = asked ?? usual
      const held = rowsOf(quirk)
      const skewMs = quirk === 'clock_ahead' ? SKEW_MS : quirk === 'clock_behind' ? -SKEW_MS : 0
      let requests = 0
      let refused = 0
      let taken: number[] = []
      const server = createServer((asked, response) => {
        requests++
        const nowMs = now() + skewMs
        if (quirk === 'quota') {
          taken = taken.filter(atMs => atMs > nowMs - 1000)
          if (taken.length >= 5) {
            refused++
            response.writeHead(429).end('{}')
            return
          }
          taken.push(nowMs)
        }
        const query = new URL(asked.url ?? '/', 'http://x').searchParams
        const numberOf = (name: string) => Number(query.get(name))
        const [from, until, size] = [numberOf('from'), numberOf('until'), numberOf('size')]
        const at = quirk === 'ignores_token' ? 0 : numberOf('at')
        const ids = query.getAll('ids')
        const rows = held.filter((row, i) => {
          if (row.showsMs > nowMs) return false
          if (ids.length > 0) return ids.includes(row.id)
          const flickers = i % 3 === 0 && nowMs < row.atMs + FLICKERS_MS
          if (flickers && ((quirk === 'grows' && at === 0) || (quirk === 'shrinks' && at > 0))) return false
          const begun = quirk === 'edges_exclusive' ? row.atMs > from : row.atMs >= from
          return begun && (quirk === 'edges_inclusive' ? row.atMs <= until : row.atMs < until)
        })
        const next = at + size < rows.length ? at + size : null
        const shown = rows.slice(at, at + size).map(row => {
          const { id, atMs, kind, said, later, handedMs } = row
          const handed = handedMs !== null && nowMs >= handedMs ? new Date(handedMs).toISOString() : null
          const now = nowMs >= atMs + CHANGES_MS ? [...said, ...later] : said
          return serve({ id, at: new Date(atMs).toISOString(), kind, said: now, handed, ...more(row, nowMs) }, requests)
        })
        response.end(JSON.stringify({ rows: shown, next, now: nowMs }))
      })
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      return {
        config: {
          'base.url': `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
          'api.token': 'very-secret-1',
          ...config,
        },
        window: { fromMs: FROM, untilMs: FROM + 60 * MINUTE },
        truth: nowMs =>
          truth(
            held.filter(row => row.showsMs <= nowMs + skewMs),
            nowMs + skewMs,
          ),
        refusedForQuota: () => refused,
        stop: async () => {
          server.closeAllConnections()
          await new Promise(resolve => server.close(resolve))
        },
      }
    },
  }
}

function truthOf(held: readonly Held[]): Truth {
  const key = (id: string) => `acme-chat:conformance:${id}`
  return {
    sessions: held.map(({ id, atMs, said, later, handedMs }) => ({
      session_key: key(id),
      started_at: atMs,
      transferred_at: handedMs,
      user_messages: said.length + later.length,
    })),
    messages: held.flatMap(({ id, atMs, said, later }) =>
      [...said, ...later].map((text, i) => ({ session_key: key(id), sent_at: i < 2 ? atMs : atMs + CHANGES_MS, text })),
    ),
    events: held.map(({ id, atMs, kind }) => ({ session_key: key(id), occurred_at: atMs, name: kind })),
  }
}
