import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { FlowError } from '../../src/errors.ts'
import {
  type Connector,
  defineConnector,
  event,
  type Manifest,
  message,
  type Page,
  rowContext,
  type RowContext,
  session,
  type WindowSpec,
} from '../../src/source/index.ts'
import type { Draw } from './random.ts'

/** A conversation as the tiny vendor has it: grows message by message, may be shown late, closes. */
export interface TinySession {
  readonly id: string
  readonly bot: string
  readonly startMs: number
  readonly messageTimes: readonly number[]
  readonly closesMs: number
  /** The vendor shows it from then on. */
  readonly shownMs: number
  /** Shown as a row that does not fit its schema. */
  readonly broken?: boolean
}

export const TinyRow = z.object({
  id: z.string(),
  bot: z.string(),
  at: z.iso.datetime(),
  closed: z.boolean(),
  messages: z.array(z.object({ id: z.string(), at: z.iso.datetime(), text: z.string() })),
})
export type TinyRow = z.output<typeof TinyRow>

export function rowAt(of: TinySession, nowMs: number): TinyRow {
  const at = (ms: number) => new Date(ms).toISOString()
  return {
    id: of.id,
    bot: of.bot,
    at: of.broken === true ? 'some day' : at(of.startMs),
    closed: nowMs >= of.closesMs,
    messages: of.messageTimes
      .map((ms, index) => ({ id: `m${index}`, at: at(ms), text: `${of.id} says ${index}`, ms }))
      .filter(({ ms }) => ms <= nowMs)
      .map(({ id, at, text }) => ({ id, at, text })),
  }
}

export interface TinyVendor {
  readonly sessions: TinySession[]
  readonly clock: Clock
  readonly luck: Draw
  /** Rows of a page, most. */
  pageRows: number
  /** Of each call: the vendor fails. */
  failing: number
  /** Longest window it takes, milliseconds. */
  longestMs: number
  /** Reads that were begun. */
  reads: number
}

/** Of every invented vendor in these tests. */
export const TINY_MANIFEST: Manifest = {
  id: 'tiny',
  title: 'Tiny',
  apiVersion: '1',
  docs: 'https://tiny.example',
  quota: {},
  pollIntervalMs: 60_000,
  sessionStream: 'sessions',
}

/** What a connector of it knows beside a row that was read then. */
export function tinyContext(observedAtMs: number): RowContext {
  const scope = { name: 'acme', botId: null }
  return rowContext({ vendor: 'tiny', account: 'acme', connector: 'acme-tiny', config: {}, scope, observedAtMs, lookbackMs: 0 })
}

/** Lists the sessions that begin in the window, by start, a page at a time; its resume is the place after the last row. */
export async function* listing(
  vendor: TinyVendor,
  window: { fromMs: number; untilMs: number },
  resume: unknown,
): AsyncGenerator<Page> {
  vendor.reads++
  if (window.untilMs - window.fromMs > vendor.longestMs) throw new FlowError('SRC_WINDOW_TOO_LARGE')
  if (resume !== null && vendor.luck.chance(vendor.failing)) throw new FlowError('SRC_RESUME_EXPIRED')
  let after = resume === null ? { ms: -Infinity, id: '' } : (JSON.parse(resume as string) as { ms: number; id: string })
  for (;;) {
    if (vendor.luck.chance(vendor.failing)) throw new FlowError('SRC_SERVER_ERROR', { status: 500 })
    const nowMs = vendor.clock.now()
    const rest = vendor.sessions
      .filter(({ startMs, shownMs }) => shownMs <= nowMs && window.fromMs <= startMs && startMs < window.untilMs)
      .filter(({ startMs, id }) => startMs > after.ms || (startMs === after.ms && id > after.id))
      .sort((a, b) => a.startMs - b.startMs || (a.id < b.id ? -1 : 1))
    const page = rest.slice(0, vendor.luck.between(1, vendor.pageRows))
    const last = page.at(-1)
    if (last) after = { ms: last.startMs, id: last.id }
    const isLast = page.length === rest.length
    yield { rows: page.map(each => rowAt(each, nowMs)), resume: isLast ? null : JSON.stringify(after) }
    if (isLast) return
  }
}

export function tinyConnector(vendor: TinyVendor, window: WindowSpec): Connector {
  return defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window,
        row: TinyRow,
        read: ({ window, resume }) => listing(vendor, window, resume),
        identify: row => row.id,
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: row.bot, sessionId: row.id, channel: 'web' })
          return [
            session(of, { startedAt: row.at, status: row.closed ? 'CLOSED' : 'OPEN', totalMessages: row.messages.length }),
            ...row.messages.map(each =>
              message(of, { messageId: each.id, sentAt: each.at, sender: 'USER', type: 'text', text: each.text }),
            ),
            ...(row.closed ? [event(of, { eventId: `${row.id}/end`, occurredAt: row.at, type: 'session_ended' })] : []),
          ]
        },
      },
    },
  })
}
