/** What `colloquy check` says of the requests that each connector takes, with default settings and with others. */
import { expect, test } from 'vitest'
import botmaker from '../../connectors/botmaker/index.ts'
import chatlayer from '../../connectors/chatlayer/index.ts'
import koreai from '../../connectors/koreai/index.ts'
import syntphony from '../../connectors/syntphony/index.ts'
import wolkvox from '../../connectors/wolkvox/index.ts'
import { type Reason, scheduleOf } from '../../src/ingest/schedule.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import type { Connector } from '../../src/source/index.ts'

const KEYS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  botmaker: { 'access.token': 't' },
  koreai: { 'base.url': 'http://v', 'client.id': 'c', 'client.secret': 's', 'bot.ids': 'st-1' },
  syntphony: {
    'base.url': 'http://v',
    'token.url': 'http://v/token',
    username: 'u',
    password: 'p',
    'org.uuid': 'o',
    'env.uuid': 'e',
    'bot.uuids': 'b',
  },
  wolkvox: { server: '0010', token: 't' },
  chatlayer: { 'base.url': 'http://v', 'token.id': 'i', 'token.secret': 's', 'bot.ids': 'b' },
}

function scheduleWith(connector: Connector, more: Readonly<Record<string, string>> = {}) {
  const { id } = connector.manifest
  const parsed = parseConnectorConfig('c', { 'connector.class': id, ...KEYS[id], ...more }, connector)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return scheduleOf({ name: 'c', connector, base: parsed.base, config: parsed.config })
}

function reasonsWith(connector: Connector, more: Readonly<Record<string, string>> = {}): ReadonlyMap<string, Reason> {
  return new Map(scheduleWith(connector, more).reasons.map(reason => [reason.stream, reason]))
}

test.each<[string, Connector, string, Readonly<Record<string, string>>, Readonly<Record<string, string>>, number]>([
  ["Botmaker's change feed, each minute", botmaker, 'sessions', { 'change.feed': 'false' }, {}, 60],
  ['a list of its own for each kind', koreai, 'sessions', {}, { 'containment.types': 'agent,dropOff' }, 65],
  ['one for each list of analytics', koreai, 'analytics', analytics('failtask'), analytics('failtask,successtask'), 16],
  ['turns that hand over, with chat_8', wolkvox, 'chat_8', { 'find.transfers': 'false' }, {}, 12],
  ['routing points of chat_2', wolkvox, 'chat_2', { 'find.bots': 'false' }, {}, 2],
  ['messages of each channel', chatlayer, 'series', {}, { 'channel.type': 'web,whatsapp' }, 8],
])('%s: counted where the config asks for it', (_what, connector, stream, without, by, more) => {
  const [before, after] = [without, by].map(keys => reasonsWith(connector, keys).get(stream)?.perHour ?? 0)
  expect(Math.abs((after ?? 0) - (before ?? 0) - more)).toBeLessThanOrEqual(2)
})

function analytics(types: string): Readonly<Record<string, string>> {
  return { streams: 'sessions,analytics', 'analytics.types': types }
}

test('of Botmaker v1 an export is two requests a day, and no change feed', () => {
  const { why, notCounted } = reasonsWith(botmaker, { 'api.version': 'v1' }).get('sessions') as Reason
  expect(why).not.toContain('what has changed')
  expect(why).toContain('2 requests for each window')
  expect(notCounted).toEqual(['an export is requested again until it is ready'])
})

test('Kore.ai counts open sessions by their ids', () => {
  const { perHour, why } = reasonsWith(koreai).get('sessions') as Reason
  expect(perHour).toBeGreaterThanOrEqual(120)
  expect(why).toContain('open rows by their ids, at each poll')
})

test.each<[string, Connector, string, Readonly<Record<string, string>>, string]>([
  ['Kore.ai', koreai, 'sessions', {}, 'messages: one request for 50 new or changed sessions'],
  ['Kore.ai', koreai, 'sessions', {}, 'one request for each session that is handed over'],
  ['Kore.ai', koreai, 'sessions', contactCenter(), 'the contact center: one request for 100 conversations'],
  ['Kore.ai', koreai, 'contact-center', contactCenter(), 'one request for 100 conversations since the window began'],
  ['Botmaker', botmaker, 'sessions', {}, 'the list of agents'],
  ['Syntphony', syntphony, 'conversations', {}, 'two requests for each new or changed conversation'],
  [
    'Syntphony',
    syntphony,
    'conversations',
    { 'include.message.list': 'false' },
    'one request for each new or changed conversation',
  ],
  ['Syntphony', syntphony, 'metrics', { streams: 'conversations,metrics' }, '8 requests for each day that ends in a window'],
  ['Chatlayer', chatlayer, 'events', {}, 'flows: one request for each conversation with new events'],
  ['Chatlayer', chatlayer, 'flow', {}, 'one for each that has rested'],
  ['Chatlayer', chatlayer, 'series', {}, 'requests for each day that ends in a window'],
  ['wolkvox', wolkvox, 'chat_8', {}, 'diagram_9 for chats that were handed over'],
  ['wolkvox', wolkvox, 'diagram_9', {}, 'with turns that tell no chat'],
  ['wolkvox', wolkvox, 'chat_11', {}, 'whose receiver may be a routing point'],
])('%s says what depends on the traffic: %#', (_vendor, connector, stream, more, words) => {
  expect(reasonsWith(connector, more).get(stream)?.notCounted?.join('; ')).toContain(words)
})

function contactCenter(): Readonly<Record<string, string>> {
  return { streams: 'sessions,contact-center', 'account.id': 'a' }
}

test('flows of Chatlayer are named only where a rule looks at steps', () => {
  const reasons = reasonsWith(chatlayer, { 'transfer.rules': 'event~^handover$=agent_transferred' })
  expect(reasons.get('events')?.notCounted?.join()).not.toContain('flows')
})

test("wolkvox' thousand calls a day for each licence are held against the schedule", () => {
  expect(scheduleWith(wolkvox).daily).toMatchObject({ perUnit: 1000, unit: 'licence', key: 'licences', units: null, needed: 3 })
  expect(scheduleWith(wolkvox, { licences: '2' }).daily).toMatchObject({ units: 2, needed: 3 })
  expect(scheduleWith(wolkvox, { licences: '2' }).perDay).toBe(scheduleWith(wolkvox).perDay)
  expect(scheduleWith(koreai).daily).toBeNull()
})

test.each([botmaker, chatlayer, koreai, syntphony, wolkvox])(
  '$manifest.id: default settings take so many requests an hour and a day for reasons, and fit its quota, but not one that is less than three times as large',
  connector => {
    const { perHour, perDay, quotaPerHour, reasons, fits } = scheduleWith(connector)
    expect(fits).toBe(true)
    expect(perHour * 3).toBeLessThanOrEqual(quotaPerHour ?? Infinity)
    expect(Math.abs(perDay - perHour * 24)).toBeLessThan(24)
    const sum = reasons.reduce((all, reason) => all + reason.perHour, 0)
    expect(sum - perHour, 'each stream is rounded up').toBeGreaterThanOrEqual(0)
    expect(sum - perHour).toBeLessThanOrEqual(reasons.length)
    for (const { why } of reasons) expect(why).toMatch(/ every \d/)
    const tight = scheduleWith(connector, { 'quota.per.hour': String(3 * perHour - 6) })
    expect([tight.fits, tight.quotaPerHour]).toEqual([false, 3 * perHour - 6])
  },
)
