import { afterEach, expect, test } from 'vitest'
import { labelValues, MEASURE_LIST, parseValueQuery } from '../../src/serve/discovery.ts'
import type { HttpServer } from '../../src/serve/http.ts'
import { finish } from '../../src/serve/slices.ts'
import { createStore } from '../../src/serve/store.ts'
import { completenessOf, nothingRead, point, T } from './points.ts'
import { startWorld } from './world.ts'

const servers: HttpServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

const store = createStore()
for (const each of [
  point({ at: '2026-11-01T00:10:00Z', sessions: 3, agent_transfers: 1 }),
  point({ at: '2026-11-01T05:10:00Z', channel: 'whatsapp', messages_user: 2 }),
  point({ at: '2026-11-01T05:10:00Z', channel: 'voice', bot_id: 'b2', language: '', sessions: 1 }),
  point({ at: '2026-11-01T05:10:00Z', vendor: 'syntphony', channel: 'api', sessions: 4 }),
])
  store.put(each)

const values = (name: string, parameters: Record<string, unknown> = {}, completeness = nothingRead) =>
  finish(labelValues(parseValueQuery(name, parameters, T('2026-11-02T00:00:00Z')), store, completeness))

test('a label has the values of all series, sorted', () => {
  expect(values('channel')).toEqual(['api', 'voice', 'web', 'whatsapp'])
  expect(values('vendor')).toEqual(['botmaker', 'syntphony'])
  expect(values('language')).toEqual(['', 'es'])
  expect(values('bot_id', { measure: '', from: '', vendor: '' })).toEqual(['b1', 'b2'])
})

test('range and filters leave only values that they hold', () => {
  expect(values('channel', { from: '2026-11-01T05:00:00Z' })).toEqual(['api', 'voice', 'whatsapp'])
  expect(values('channel', { until: '2026-11-01T05:10:00Z' }), 'exclusive').toEqual(['web'])
  expect(values('channel', { from: 'now-1h' })).toEqual([])
  expect(values('channel', { vendor: 'botmaker', bot_id: 'b1' })).toEqual(['web', 'whatsapp'])
})

test('with measures, only values of which one counted something in the range', () => {
  expect(values('channel', { measure: 'sessions' })).toEqual(['api', 'voice', 'web'])
  expect(values('channel', { measure: 'messages_user' })).toEqual(['whatsapp'])
  expect(values('channel', { measure: 'agent_transfers,messages_user' })).toEqual(['web', 'whatsapp'])
  expect(values('channel', { measure: 'agent_transfers', from: '2026-11-01T05:00:00Z' })).toEqual([])
  expect(values('channel', { measure: 'transfer_rate' }), 'a rate of 0 is a rate').toEqual(['api', 'voice', 'web'])
  const covered: [string, string][] = [['2026-11-01T00:00:00Z', '2026-11-02T00:00:00Z']]
  const read = completenessOf({ covered, feeds: 'session' }, { vendor: 'syntphony', covered, feeds: 'session', tells: false })
  expect(values('channel', { measure: 'transfer_rate' }, read), 'of a bot whose transfers nobody can know there is none').toEqual(
    ['voice', 'web'],
  )
})

test('a long list is found in bounded steps', () => {
  const many = createStore()
  for (let n = 0; n < 3000; n++) many.put(point({ at: '2026-11-01T00:00:00Z', bot_id: `b${n}`, sessions: n % 2 }))
  const query = parseValueQuery('bot_id', { measure: 'sessions' }, 0)
  let steps = 0
  const work = labelValues(query, many, nothingRead)
  let step = work.next()
  for (; step.done !== true; step = work.next()) steps++
  expect([step.value.length, steps >= 3000 / 64 - 1]).toEqual([1500, true])
})

test.each([
  ['channel', { measure: 'seconds' }, 'measure takes one or more'],
  ['channel', { from: '1793491200' }, 'from takes epoch milliseconds'],
  ['channel', { from: 'now', until: 'now-1h' }, 'from must lie before until'],
  ['channel', { bucket: '1h' }, 'bucket is not a parameter of /v1/labels/channel; known are measure, from'],
  ['sender', {}, 'there is no label sender; known are vendor, account'],
])('%s with %j is refused', (name, parameters, message) => {
  expect(() => values(name, parameters)).toThrow(
    expect.objectContaining({ details: expect.objectContaining({ hint: expect.stringContaining(message) as string }) as object }),
  )
})

test('labels, values and measures are answered over HTTP, with a tag and packed like series', async () => {
  const { server } = await startWorld()
  servers.push(server)
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(server.url + path, { headers })
    const text = await answer.text()
    return {
      status: answer.status,
      headers: answer.headers,
      body: text === '' ? null : (JSON.parse(text) as { data: unknown[] }),
    }
  }
  expect((await get('/v1/labels')).body).toEqual({ data: ['vendor', 'account', 'bot_id', 'channel', 'language'] })
  const found = await get('/v1/labels/bot_id/?vendor=syntphony')
  expect([found.status, found.body]).toEqual([200, { data: ['b,2'] }])
  expect(await get('/v1/labels/bot_id?vendor=syntphony', { 'if-none-match': found.headers.get('etag') ?? '' })).toMatchObject({
    status: 304,
    body: null,
  })
  const measures = await get('/v1/measures', { 'accept-encoding': 'gzip' })
  expect(measures.headers.get('content-encoding')).toBe('gzip')
  expect(measures.body?.data).toContainEqual({
    name: 'transfer_rate',
    unit: 'ratio',
    meaning: 'Transfers to a person for each session: agent_transfers / sessions, each at its own time',
    additive: false,
  })
  expect(measures.body?.data).toContainEqual({ name: 'events', unit: 'count', meaning: 'Events', additive: true })
  expect(await get('/v1/labels/sender')).toMatchObject({ status: 404, body: { error_code: 404 } })
  for (const path of ['/v1/labels?x=1', '/v1/measures?x=1'])
    expect(await get(path)).toMatchObject({
      status: 400,
      body: { error_code: 400, message: expect.stringMatching(/^x is not a/) as string },
    })
})

test('every measure of the list says what it is', () => {
  for (const { name, unit, meaning } of MEASURE_LIST) {
    expect(meaning.length, name).toBeGreaterThan(5)
    expect(['count', 'ms', 'ratio']).toContain(unit)
  }
})
