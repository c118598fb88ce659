import { expect, test } from 'vitest'
import { z } from 'zod'
import { type Peeked, peekConnector, probesOf } from '../../src/ingest/peek.ts'
import { silentLog } from '../../src/log.ts'
import { defineConnector, FlowError, message, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { scriptedVendor } from '../support/scripted-vendor.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { base } from './world.ts'

const Row = z.object({ id: z.string(), at: z.iso.datetime() })
const Page = z.object({ data: z.array(z.unknown()), more: z.boolean().default(false) })

function connectorAt(url: string, longestMs: number, mostMs: number) {
  return defineConnector({
    manifest: { ...TINY_MANIFEST, sessionStream: 's' },
    config: z.strictObject({}),
    http: () => ({ baseUrl: url, tries: 1 }),
    streams: {
      sessions: {
        window: { longestMs, lagMs: 0, lookbackMs: 7_200_000, durableResume: true },
        row: Row,
        async *read({ window, http }) {
          if (window.untilMs - window.fromMs > mostMs) throw new FlowError('SRC_WINDOW_TOO_LARGE', {})
          const at = (ms: number) => new Date(ms).toISOString().slice(11, 16)
          for (;;) {
            const { data, more } = await http.getJson('/list', { from: at(window.fromMs), until: at(window.untilMs) }, Page)
            yield { rows: data, resume: more ? 'more' : null }
            if (!more) return
          }
        },
        identify: row => row.id,
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: 'bot', sessionId: row.id, channel: null })
          return [session(of, { startedAt: row.at }), message(of, { messageId: 'm', sentAt: row.at, text: 'hello' })]
        },
      },
    },
  })
}

const options = {
  base,
  config: {},
  clock: handClock('2026-11-20T12:00:00Z'),
  log: silentLog,
  signal: new AbortController().signal,
}

async function peek(url: string, limit: number, longestMs = 3_600_000, mostMs = Infinity) {
  const shown: Peeked[] = []
  for await (const each of peekConnector({ connector: connectorAt(url, longestMs, mostMs), ...options, limit })) shown.push(each)
  return shown
}

const row = (id: string, at = '2026-11-20T11:00:00Z') => ({ id, at })
const empty = { data: [] }

test('peek reads the newest window first and goes back until there are enough records', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', query: { from: '11:45', until: '12:00' }, body: { data: [row('a')] } },
    { path: '/list', query: { from: '11:15', until: '11:45' }, body: { data: [row('b'), row('c')] } },
  ])
  const shown = await peek(vendor.url, 3)
  expect(shown.map(({ kind, record }) => [kind, 'session_id' in record ? record.session_id : null])).toEqual([
    ['session', 'a'],
    ['message', 'a'],
    ['session', 'b'],
  ])
})

test('peek shows what began last first, also where the vendor lists the oldest first', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', body: { data: ['11:46', '11:59', '11:50'].map(time => row(time, `2026-11-20T${time}:00Z`)) } },
  ])
  const shown = await peek(vendor.url, 4)
  expect(shown.map(({ kind, record }) => [kind, 'session_id' in record && record.session_id])).toEqual([
    ['session', '11:59'],
    ['message', '11:59'],
    ['session', '11:50'],
    ['message', '11:50'],
  ])
})

test('peek looks at the newer half of a window that has many pages', async () => {
  const page = { path: '/list', body: { data: [row('old')], more: true } }
  const vendor = await scriptedVendor([
    ...Array.from({ length: 5 }, () => page),
    { path: '/list', query: { from: '11:52', until: '12:00' }, body: { data: [row('new', '2026-11-20T11:59:00Z')] } },
  ])
  const shown = await peek(vendor.url, 1)
  expect(shown.map(({ record }) => 'session_id' in record && record.session_id)).toEqual(['new'])
})

test('peek stops at the lookback when there is less, with windows no longer than the longest', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', query: { from: '11:45', until: '12:00' }, body: empty },
    { path: '/list', query: { from: '11:15', until: '11:45' }, body: empty },
    { path: '/list', query: { from: '10:30', until: '11:15' }, body: empty },
    { path: '/list', query: { from: '10:00', until: '10:30' }, body: empty },
  ])
  expect(await peek(vendor.url, 10, 45 * 60_000)).toEqual([])
})

test('peek looks at a window that is too long for the vendor in halves, the newer one first', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', query: { from: '11:45', until: '12:00' }, body: empty },
    { path: '/list', query: { from: '11:30', until: '11:45' }, body: { data: [row('a')] } },
    { path: '/list', query: { from: '11:15', until: '11:30' }, body: { data: [row('b')] } },
  ])
  const shown = await peek(vendor.url, 4, 3_600_000, 15 * 60_000)
  expect(shown.map(({ record }) => 'session_id' in record && record.session_id)).toEqual(['a', 'a', 'b', 'b'])
})

test('peek shows what two windows tell alike once', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', body: { data: [row('a')] } },
    { path: '/list', body: { data: [row('a'), row('b')] } },
  ])
  const shown = await peek(vendor.url, 4)
  expect(shown.map(({ record }) => 'session_id' in record && record.session_id)).toEqual(['a', 'a', 'b', 'b'])
})

test('peek shows a row that does not fit as a reject, with the reason and the row', async () => {
  const vendor = await scriptedVendor([{ path: '/list', body: { data: [{ id: 'bad' }] } }])
  expect(await peek(vendor.url, 1)).toEqual([
    {
      kind: 'reject',
      record: {
        reason: 'ROW_INVALID',
        stage: 'decode',
        path: 'at',
        message: 'at: invalid_type (string expected)',
        row: { id: 'bad' },
      },
    },
  ])
})

test('peek passes the error of the vendor on', async () => {
  const vendor = await scriptedVendor([{ path: '/list', status: 403, body: {} }])
  await expect(peek(vendor.url, 1)).rejects.toMatchObject({ code: 'SRC_UNAUTHORISED' })
})

test('a probe looks no further than the first record of the newest window', async () => {
  const vendor = await scriptedVendor([
    { path: '/list', query: { from: '11:45', until: '12:00' }, body: { data: [row('a')], more: true } },
    { path: '/list', query: { from: '11:45', until: '12:00' }, body: empty },
  ])
  const [probe] = probesOf({ connector: connectorAt(vendor.url, 3_600_000, Infinity), ...options })
  expect(await probe?.look()).toMatchObject({ kind: 'session', record: { session_id: 'a' } })
  expect(await probe?.look()).toBeNull()
})
