import { describe, expect, test } from 'vitest'
import { binOf, createDurations } from '../../src/duration-sketch.ts'
import { FlowError } from '../../src/errors.ts'
import { bodyOf } from '../../src/serve/answer.ts'
import { answerQuery } from '../../src/serve/query.ts'
import type { Completeness } from '../../src/serve/reading.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { finish } from '../../src/slices.ts'
import { createStore } from '../../src/serve/store.ts'
import { createUsers } from '../../src/users-sketch.ts'
import { completenessOf, nothingRead, point, seeded, T } from './points.ts'

const NOW = T('2026-11-02T12:34:56Z')
const HOUR = 3_600_000

function ask(
  store: ReturnType<typeof createStore>,
  parameters: Record<string, unknown>,
  completeness: Completeness = nothingRead,
) {
  return finish(answerQuery(parseQuery(parameters, NOW), store, completeness))
}

function storeOf(...points: Parameters<typeof point>[0][]) {
  const store = createStore()
  for (const each of points) store.put(point(each))
  return store
}

const day = { from: '2026-11-01T00:00:00Z', until: '2026-11-01T04:00:00Z' }

test('an answer has the shape of the contract', () => {
  const store = storeOf(
    { at: '2026-11-01T01:10:00Z', sessions: 3 },
    { at: '2026-11-01T01:20:00Z', sessions: 1, channel: 'whatsapp' },
  )
  const read = completenessOf({
    covered: [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']],
    completeUntil: '2026-11-01T02:30:00Z',
  })
  expect(ask(store, { measure: 'sessions', bucket: '1h', ...day }, read)).toEqual({
    data: {
      series: [
        {
          labels: {},
          values: [0, 4, 0, null],
          sum: 4,
          mean: 4 / 3,
          min: 0,
          max: 4,
          complete_until: '2026-11-01T02:30:00.000Z',
        },
      ],
      series_labels: ['sessions'],
      x_values: ['2026-11-01T00:00:00.000Z', '2026-11-01T01:00:00.000Z', '2026-11-01T02:00:00.000Z', '2026-11-01T03:00:00.000Z'],
    },
    complete_until: '2026-11-01T02:30:00.000Z',
  })
})

test('without a bucket, times or zone the last 24 hours come in hours of UTC', () => {
  const { x_values } = ask(createStore(), { measure: 'events' }).data
  expect([x_values.length, x_values[0], x_values.at(-1)]).toEqual([25, '2026-11-01T12:00:00.000Z', '2026-11-02T12:00:00.000Z'])
})

test('not read yet is null, read and nothing is 0, and data is a number even where nobody says it was read', () => {
  const store = storeOf({ at: '2026-11-01T03:59:00Z', events: 2 })
  const read = completenessOf({
    covered: [
      ['2026-11-01T00:59:59Z', '2026-11-01T01:00:00Z'],
      ['2026-11-01T02:00:00Z', '2026-11-01T02:00:00Z'],
    ],
  })
  const [series] = ask(store, { measure: 'events', bucket: '1h', ...day }, read).data.series
  expect(series?.values).toEqual([0, null, null, 2])
  const [none] = ask(createStore(), { measure: 'events', bucket: '1h', ...day }).data.series
  expect(none).toEqual({
    labels: {},
    values: [null, null, null, null],
    sum: null,
    mean: null,
    min: null,
    max: null,
    complete_until: null,
  })
})

test('a range that ends where a bucket begins does not touch it', () => {
  const read = completenessOf({ covered: [['2026-11-01T01:00:00Z', '2026-11-01T02:00:00Z']] })
  expect(ask(createStore(), { measure: 'events', bucket: '1h', ...day }, read).data.series[0]?.values).toEqual([
    null,
    0,
    null,
    null,
  ])
})

test('a measure is as complete as the streams that tell what it counts', () => {
  const read = completenessOf(
    { covered: [['2026-11-01T00:00:00Z', '2026-11-01T04:00:00Z']], completeUntil: '2026-11-01T04:00:00Z', feeds: 'session' },
    { covered: [['2026-11-01T00:00:00Z', '2026-11-01T01:00:00Z']], completeUntil: '2026-11-01T01:00:00Z', feeds: 'event' },
  )
  const of = (measure: string) => {
    const { data, complete_until } = ask(createStore(), { measure, bucket: '1h', ...day }, read)
    return [data.series[0]?.values, complete_until]
  }
  expect(of('agent_transfers')).toEqual([[0, 0, 0, 0], '2026-11-01T04:00:00.000Z'])
  expect(of('events')).toEqual([[0, null, null, null], '2026-11-01T01:00:00.000Z'])
  expect(of('messages_user')).toEqual([[null, null, null, null], null])
})

test('transfers that no connector can know stay null while a source partition of it is not known yet', () => {
  const store = storeOf({ at: '2026-11-01T01:00:00Z', sessions: 5 })
  const covered: [string, string][] = [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']]
  const cannot = { covered, completeUntil: '2026-11-01T03:00:00Z', feeds: 'session', tells: false }
  // What stands for those that are not known gives everything, as far as anybody knows.
  const missing = { stream: '', covered: [] }
  for (const read of [completenessOf(cannot), completenessOf(cannot, missing)]) {
    const { data } = ask(store, { measure: 'agent_transfers,transfer_rate', bucket: '1h', ...day }, read)
    expect(data.series.map(({ values }) => values)).toEqual([
      [null, null, null, null],
      [null, null, null, null],
    ])
  }
})

test('transfers that no connector can know are null, not 0, in JSON and in CSV, and hold up nothing beside them', () => {
  const at = '2026-11-01T01:00:00Z'
  const store = storeOf({ at, sessions: 3, agent_transfers: 1 }, { at, sessions: 5, vendor: 'syntphony' })
  const covered: [string, string][] = [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']]
  const completeUntil = '2026-11-01T03:00:00Z'
  const read = completenessOf(
    { covered, completeUntil, feeds: 'session' },
    { vendor: 'syntphony', covered, completeUntil, feeds: 'session', tells: false },
  )
  const measures = ['agent_transfers', 'sessions_agent', 'sessions'] as const
  const query = { measure: measures.join(), bucket: '1h', group_by: 'vendor', ...day }
  const valuesOf = (parameters: object, of = store) =>
    ask(of, { ...query, ...parameters }, read).data.series.map(({ labels, values, sum }) => [
      labels.vendor,
      labels.measure,
      values,
      sum,
    ])
  expect(valuesOf({})).toEqual([
    ['botmaker', 'agent_transfers', [0, 1, 0, null], 1],
    ['botmaker', 'sessions_agent', [0, 0, 0, null], 0],
    ['botmaker', 'sessions', [0, 3, 0, null], 3],
    ['syntphony', 'agent_transfers', [null, null, null, null], null],
    ['syntphony', 'sessions_agent', [null, null, null, null], null],
    ['syntphony', 'sessions', [0, 5, 0, null], 5],
  ])
  expect(valuesOf({ group_by: '' }), 'of all bots: those that are known').toEqual([
    [undefined, 'agent_transfers', [0, 1, 0, null], 1],
    [undefined, 'sessions_agent', [0, 0, 0, null], 0],
    [undefined, 'sessions', [0, 8, 0, null], 8],
  ])
  expect(valuesOf({ measure: 'agent_transfers', rolling: '2h', vendor: 'syntphony' })[0]?.[2]).toEqual([null, null, null, null])
  const until = (vendor: string, measure: string) => ask(store, { ...query, vendor, measure }, read).complete_until
  expect(until('syntphony', 'agent_transfers')).toBeNull()
  expect(until('syntphony', 'agent_transfers,sessions')).toBe('2026-11-01T03:00:00.000Z')

  const parsed = parseQuery({ ...query, format: 'csv' }, NOW)
  const { pieces } = finish(bodyOf(parsed, finish(answerQuery(parsed, store, read))))
  const lines = Buffer.concat([...pieces])
    .toString()
    .split('\r\n')
    .filter(line => line.startsWith('2026-11-01T01'))
  expect(lines).toEqual(['2026-11-01T01:00:00.000Z,botmaker,1,0,3', '2026-11-01T01:00:00.000Z,syntphony,,,5'])

  // Counted while there were rules: a fact, which stays.
  const counted = storeOf({ at, sessions: 5, sessions_agent: 2, vendor: 'syntphony' })
  expect(valuesOf({ measure: 'sessions_agent' }, counted)[0]?.[2]).toEqual([null, 2, null, null])
})

test('each group is null or 0 by its own streams', () => {
  const store = storeOf(
    { at: '2026-11-01T01:00:00Z', sessions: 1 },
    { at: '2026-11-01T01:00:00Z', sessions: 1, vendor: 'koreai' },
  )
  const read = completenessOf(
    { covered: [['2026-11-01T00:00:00Z', '2026-11-01T04:00:00Z']], completeUntil: '2026-11-01T04:00:00Z' },
    { vendor: 'koreai', covered: [['2026-11-01T01:00:00Z', '2026-11-01T02:00:00Z']], completeUntil: '2026-11-01T02:00:00Z' },
  )
  const answer = ask(store, { measure: 'sessions', bucket: '1h', group_by: 'vendor', ...day }, read)
  expect(answer.data.series.map(({ labels, values }) => [labels, values])).toEqual([
    [{ vendor: 'botmaker' }, [0, 1, 0, 0]],
    [{ vendor: 'koreai' }, [null, 1, null, null]],
  ])
  expect(answer.complete_until, 'the least of all').toBe('2026-11-01T02:00:00.000Z')
  const only = ask(store, { measure: 'sessions', bucket: '1h', vendor: 'botmaker', ...day }, read)
  expect(only.complete_until, 'the least of those asked for').toBe('2026-11-01T04:00:00.000Z')
})

test('groups come in the order of their labels, with a name each', () => {
  const at = '2026-11-01T01:00:00Z'
  const store = storeOf(
    { at, channel: 'whatsapp', events: 1 },
    { at, channel: 'web', events: 2 },
    { at, channel: 'web', language: '', events: 4 },
  )
  const { series, series_labels } = ask(store, { measure: 'events', group_by: 'channel, language', ...day }).data
  expect(series.map(({ labels, sum }) => [labels, sum])).toEqual([
    [{ channel: 'web', language: '' }, 4],
    [{ channel: 'web', language: 'es' }, 2],
    [{ channel: 'whatsapp', language: 'es' }, 1],
  ])
  expect(series_labels).toEqual(['web / (none)', 'web / es', 'whatsapp / es'])
})

test('filters are comma lists that all must hold; an empty language is one', () => {
  const at = '2026-11-01T01:00:00Z'
  const store = storeOf(
    { at, bot_id: 'b1', events: 1 },
    { at, bot_id: 'b2', events: 2 },
    { at, bot_id: 'b3', events: 4 },
    { at, bot_id: 'b1', channel: 'voice', events: 8 },
    { at, bot_id: 'b1', language: '', events: 16 },
  )
  const sum = (parameters: Record<string, unknown>) =>
    ask(store, { measure: 'events', ...day, ...parameters }).data.series[0]?.sum
  expect(sum({})).toBe(31)
  expect(sum({ bot_id: 'b1,b3' })).toBe(29)
  expect(sum({ bot_id: ['b1', 'b3'] }), 'or the parameter again').toBe(29)
  expect(sum({ bot_id: 'b1', channel: 'voice' })).toBe(8)
  expect(sum({ language: ',' })).toBe(16)
  expect(sum({ language: '', bot_id: '', channel: ['', ' '] }), 'empty parameters are as absent').toBe(31)
  expect(sum({ language: ',es' })).toBe(31)
  expect(sum({ bot_id: 'none' })).toBeNull()
})

test('buckets are whole: a range that begins or ends inside one shows all of it', () => {
  const store = storeOf({ at: '2026-11-01T01:00:00Z', events: 1 }, { at: '2026-11-01T02:59:00Z', events: 2 })
  const { series, x_values } = ask(store, {
    measure: 'events',
    bucket: '1h',
    from: '2026-11-01T01:30:00Z',
    until: '2026-11-01T02:00:00.001Z',
  }).data
  expect(x_values).toEqual(['2026-11-01T01:00:00.000Z', '2026-11-01T02:00:00.000Z'])
  expect(series[0]?.values).toEqual([1, 2])
})

test('days of a zone take the hours that the zone gives them', () => {
  // 2026-10-25 has 25 hours in Madrid: from 22:00Z the day before to 23:00Z.
  const store = storeOf(
    { at: '2026-10-24T21:59:00Z', events: 1 },
    { at: '2026-10-24T22:00:00Z', events: 2 },
    { at: '2026-10-25T22:59:00Z', events: 4 },
    { at: '2026-10-25T23:00:00Z', events: 8 },
  )
  const { series, x_values } = ask(store, {
    measure: 'events',
    bucket: '1d',
    tz: 'Europe/Madrid',
    from: '2026-10-24',
    until: '2026-10-27',
  }).data
  expect(x_values).toEqual(['2026-10-24T00:00:00.000+02:00', '2026-10-25T00:00:00.000+02:00', '2026-10-26T00:00:00.000+01:00'])
  expect(series[0]?.values).toEqual([1, 6, 8])
})

test('times are ISO with an offset, ISO in the zone of the query, or epoch milliseconds', () => {
  const at = (from: string, tz = 'Europe/Madrid') => parseQuery({ measure: 'events', from, until: '2026-12-01', tz }, NOW).fromMs
  const expected = T('2026-10-31T23:00:00Z')
  expect(at('2026-11-01')).toBe(expected)
  expect(at('2026-11-01T00:00')).toBe(expected)
  expect(at('2026-11-01T00:00:00+01:00')).toBe(expected)
  expect(at('2026-11-01T00:00:00 01:00'), 'a plus sign that was not encoded').toBe(expected)
  expect(at('2026-10-31T23:00:00Z')).toBe(expected)
  expect(at(String(expected))).toBe(expected)
})

test('a rolling window ends with the bucket it is shown at, and reaches before from', () => {
  const store = storeOf(
    { at: '2026-10-31T22:59:00Z', events: 100 },
    { at: '2026-10-31T23:00:00Z', events: 1 },
    { at: '2026-11-01T00:00:00Z', events: 2 },
    { at: '2026-11-01T02:59:00Z', events: 4 },
  )
  const { series, x_values } = ask(store, { measure: 'events', bucket: '1h', rolling: '2h', ...day }).data
  expect(series[0]?.values).toEqual([3, 2, 4, 4])
  expect(x_values[0]).toBe('2026-11-01T00:00:00.000Z')
})

test('a rolling value is null only when nothing of its window was read', () => {
  const read = completenessOf({ covered: [['2026-11-01T01:00:00Z', '2026-11-01T02:00:00Z']] })
  expect(ask(createStore(), { measure: 'events', bucket: '1h', rolling: '2h', ...day }, read).data.series[0]?.values).toEqual([
    null,
    0,
    0,
    null,
  ])
})

test('rolling equals a recount of every window, whatever is asked', () => {
  const random = seeded(3)
  const pick = <V>(...values: V[]): V => values[Math.floor(random() * values.length)] as V
  const points = Array.from({ length: 3000 }, (_, n) => {
    const at = T('2026-10-23T00:00:00Z') + Math.floor(random() * 6 * 1440) * 60_000
    return point({
      at,
      bot_id: `b${n % 3}`,
      channel: pick('web', 'voice'),
      revision: n + 1,
      messages_user: Math.floor(random() * 50),
    })
  })
  const store = createStore()
  for (const each of points) store.put(each)
  const newest = new Map(points.map(each => [`${each.series_key}@${each.bucket_start}`, each]))

  for (let n = 0; n < 60; n++) {
    const bucket = pick('1m', '5m', '15m', '1h')
    const size = { '1m': 60_000, '5m': 300_000, '15m': 900_000, '1h': HOUR }[bucket]
    const window = 1 + Math.floor(random() * 40)
    const bot_id = `b${Math.floor(random() * 3)}`
    const from = T('2026-10-24T00:00:00Z') + Math.floor(random() * 48) * HOUR
    const parameters = {
      measure: 'messages_user',
      bucket,
      rolling: `${(window * size) / 60_000}m`,
      bot_id,
      from: String(from),
      until: String(from + 6 * HOUR),
      tz: pick('UTC', 'Europe/Madrid', 'America/Bogota'),
    }
    const { series, x_values } = ask(store, parameters).data
    const expected = x_values.map(x => {
      const end = T(x) + size
      const inWindow = [...newest.values()].filter(
        each => each.bot_id === bot_id && each.bucket_start >= end - window * size && each.bucket_start < end,
      )
      return inWindow.length === 0 ? null : inWindow.reduce((sum, each) => sum + each.messages_user, 0)
    })
    expect({ parameters, values: series[0]?.values }).toEqual({ parameters, values: expected })
  }
})

test('seven rolling days are seven days of the calendar', () => {
  const store = storeOf({ at: '2026-10-24T22:00:00Z', events: 1 }, { at: '2026-10-24T21:59:00Z', events: 2 })
  const { series } = ask(store, {
    measure: 'events',
    bucket: '1d',
    rolling: '7d',
    tz: 'Europe/Madrid',
    from: '2026-10-31',
    until: '2026-11-01',
  }).data
  expect(series[0]?.values).toEqual([1])
})

test.each([
  [{}, 'measure', 'required; it takes one or more, as a comma list, of sessions, '],
  [{ measure: '' }, 'measure', 'required'],
  [{ measure: 'seconds' }, 'measure', 'of sessions, '],
  [{ measure: 'events,constructor' }, 'measure', 'of sessions, '],
  [{ bucket: '2h' }, 'bucket', '1m, 5m, 15m, 30m, 1h, 6h, 12h, 1d, 1w, 1M'],
  [{ bucket: ['1h', '1d'] }, 'bucket', 'more than once'],
  [{ tz: 'U'.repeat(101) }, 'tz', 'at most 100 characters'],
  [{ tz: '+01:00' }, 'tz', 'IANA'],
  [{ from: 'now-1' }, 'from', 'now-24h'],
  [{ from: 'now-9999999999h' }, 'from', 'now-24h'],
  [{ from: 'now-999999999y' }, 'from', 'now-24h'],
  [{ top: '0' }, 'top', 'largest'],
  [{ top: '1.5' }, 'top', 'largest'],
  [{ format: 'xml' }, 'format', 'json, csv'],
  [JSON.parse('{"__proto__":"events"}') as object, '__proto__', 'known are measure, bucket, from'],
  [{ constructor: 'x' }, 'constructor', 'known are measure, bucket, from'],
  [{ group_by: '__proto__' }, 'group_by', 'vendor, account, bot_id, channel, language'],
  [{ bot_id: Array.from({ length: 1001 }, () => 'b').join(',') }, 'bot_id', 'at most 1000'],
  [{ from: 'yesterday' }, 'from', 'ISO 8601'],
  [{ from: '2026-13-01' }, 'from', 'ISO 8601'],
  [{ until: '12' }, 'until', 'ISO 8601'],
  [{ shape: 'columns' }, 'shape', 'series, rows'],
  [{ top: '10000' }, 'top', 'largest'],
  [{ from: '2026-11-02', until: '2026-11-01' }, 'from', 'before until'],
  [{ from: '2026-11-02', until: '2026-11-02' }, 'from', 'before until'],
  [{ tz: 'Mars/Olympus' }, 'tz', 'IANA'],
  [{ group_by: 'channel,sender' }, 'group_by', 'vendor, account, bot_id, channel, language'],
  [{ channel: 'webchat' }, 'channel', 'web, whatsapp'],
  [{ bot_id: 'a,,b' }, 'bot_id', 'comma list'],
  [{ rolling: '90m', bucket: '1h' }, 'rolling', 'a multiple of the bucket (1h)'],
  [{ rolling: '0m', bucket: '1m' }, 'rolling', '15m, 1h, 24h'],
  [{ rolling: '1M', bucket: '1d' }, 'rolling', 'months'],
  [{ rolling: '30d', bucket: '1M' }, 'rolling', 'months'],
  [{ rolling: '999999h', bucket: '1m' }, 'rolling', 'at most'],
  [{ bucket: '1m', from: '2026-01-01' }, 'bucket', '50000'],
  [{ measures: 'events' }, 'measures', 'known are measure, bucket, from'],
])('%j is refused, naming %s', (parameters, name, takes) => {
  let thrown: unknown
  try {
    parseQuery(
      Object.assign(Object.create(null) as object, Object.keys(parameters).length === 0 ? {} : { measure: 'events' }, parameters),
      NOW,
    )
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(FlowError)
  expect(thrown).toMatchObject({ code: 'QUERY_INVALID', details: { parameter: name } })
  expect((thrown as FlowError).details.hint).toContain(takes)
})

test('an answer of too many values is refused before it is made', () => {
  const store = createStore()
  for (let n = 0; n < 40; n++) store.put(point({ at: '2026-11-01T00:00:00Z', bot_id: `b${n}` }))
  const month = { measure: 'events', bucket: '1m', from: '2026-10-01', until: '2026-11-01' }
  expect(() => ask(store, { ...month, group_by: 'bot_id' })).toThrow(
    expect.objectContaining({ code: 'QUERY_INVALID', details: expect.objectContaining({ parameter: 'group_by' }) as object }),
  )
  expect(ask(store, month).data.x_values).toHaveLength(31 * 1440)
})

test('values with commas, backslashes, blanks and names that objects have are found as they are', () => {
  const at = '2026-11-01T01:00:00Z'
  const names = ['a,b', 'a', 'b', 'back\\slash', 'ends\\', ' padded ', '__proto__', 'constructor', 'toString', '\u0000']
  const store = storeOf(...names.map((bot_id, n) => ({ at, bot_id, series_key: String(n), events: 2 ** n })))
  const sum = (bot_id: string | string[]) => ask(store, { measure: 'events', ...day, bot_id }).data.series[0]?.sum
  const of = (...wanted: string[]) => wanted.reduce((total, name) => total + 2 ** names.indexOf(name), 0)
  expect(sum('a\\,b')).toBe(of('a,b'))
  expect(sum('a,b')).toBe(of('a', 'b'))
  expect(sum(['a\\,b', 'b'])).toBe(of('a,b', 'b'))
  expect(sum('back\\slash')).toBe(of('back\\slash'))
  expect(sum('back\\\\slash')).toBe(of('back\\slash'))
  expect(sum('ends\\\\,a')).toBe(of('ends\\', 'a'))
  expect(sum(' padded ')).toBe(of(' padded '))
  expect(sum('a, b')).toBe(of('a', 'b'))
  expect(sum('__proto__,constructor,toString')).toBe(of('__proto__', 'constructor', 'toString'))
  const { series } = ask(store, { measure: 'events', ...day, group_by: 'bot_id' }).data
  expect(new Map(series.map(each => [each.labels.bot_id, each.sum]))).toEqual(new Map(names.map(name => [name, of(name)])))
  expect(JSON.parse(JSON.stringify(series.find(each => each.labels.bot_id === '__proto__')?.labels))).toEqual({
    bot_id: '__proto__',
  })
})

test('several measures come side by side, each with its name', () => {
  const store = storeOf({ at: '2026-11-01T01:00:00Z', sessions: 3, agent_transfers: 1 })
  const { series, series_labels } = ask(store, { measure: 'sessions,agent_transfers', group_by: 'vendor', ...day }).data
  expect(series.map(({ labels, sum }) => [labels, sum])).toEqual([
    [{ vendor: 'botmaker', measure: 'sessions' }, 3],
    [{ vendor: 'botmaker', measure: 'agent_transfers' }, 1],
  ])
  expect(series_labels).toEqual(['botmaker / sessions', 'botmaker / agent_transfers'])
  expect(ask(store, { measure: ['sessions', 'sessions'], ...day }).data.series_labels).toEqual(['sessions'])
})

test('the sum of a rolling series is over what was asked for, each bucket once', () => {
  const store = storeOf({ at: '2026-10-31T23:00:00Z', events: 100 }, { at: '2026-11-01T00:00:00Z', events: 2 })
  const [series] = ask(store, { measure: 'events', bucket: '1h', rolling: '3h', ...day }).data.series
  expect(series).toMatchObject({ values: [102, 102, 2, null], sum: 2, mean: 206 / 3, min: 2, max: 102 })
})

test('top shows the largest series and sums the rest as other, which one that is called so is part of', () => {
  const at = '2026-11-01T01:00:00Z'
  const store = storeOf(
    { at, channel: 'web', events: 8 },
    { at, channel: 'voice', events: 16 },
    { at, channel: 'sms', events: 1 },
    { at, channel: 'other', events: 32 },
    { at: '2026-10-01T00:00:00Z', channel: 'sms', events: 1000 },
  )
  const top = (n: string) =>
    ask(store, { measure: 'events', group_by: 'channel', top: n, ...day }).data.series.map(({ labels, sum }) => [
      labels.channel,
      sum,
    ])
  expect(top('1')).toEqual([
    ['voice', 16],
    ['other', 41],
  ])
  expect(top('2')).toEqual([
    ['voice', 16],
    ['web', 8],
    ['other', 33],
  ])
  expect(top('4')).toHaveLength(4)
})

test('times count from now, in the calendar of the zone', () => {
  const from = (text: string, tz = 'UTC') =>
    parseQuery({ measure: 'events', from: text, until: 'now+1h', tz, bucket: '1d' }, NOW).fromMs
  expect(from('now-24h')).toBe(NOW - 24 * HOUR)
  expect(from('now')).toBe(NOW)
  expect(from('now-90m')).toBe(NOW - 1.5 * HOUR)
  expect(from('now-9d', 'Europe/Madrid'), 'the 25th had 25 hours').toBe(NOW - 9 * 24 * HOUR - HOUR)
  expect(parseQuery({ measure: 'events', until: 'now 1h' }, NOW).untilMs, 'a plus sign that was not encoded').toBe(NOW + HOUR)
})

test('the table has a line a bucket and group, and a column a measure', () => {
  const store = storeOf(
    { at: '2026-11-01T01:00:00Z', bot_id: 'a,"b"', sessions: 3, events: 1 },
    { at: '2026-11-01T02:00:00Z', bot_id: 'c', sessions: 4 },
  )
  const read = completenessOf({ covered: [['2026-11-01T01:00:00Z', '2026-11-01T02:00:00Z']] })
  const query = parseQuery(
    {
      measure: 'sessions,events',
      group_by: 'bot_id',
      from: '2026-11-01T01:00:00Z',
      until: '2026-11-01T03:00:00Z',
      format: 'csv',
    },
    NOW,
  )
  const { pieces, contentType, length } = finish(bodyOf(query, finish(answerQuery(query, store, read))))
  const text = Buffer.concat(pieces).toString()
  expect([contentType, length]).toEqual(['text/csv; charset=utf-8', Buffer.byteLength(text)])
  expect(text.split('\r\n')).toEqual([
    'bucket_start,bot_id,sessions,events',
    '2026-11-01T01:00:00.000Z,"a,""b""",3,1',
    '2026-11-01T02:00:00.000Z,"a,""b""",,',
    '2026-11-01T01:00:00.000Z,c,0,0',
    '2026-11-01T02:00:00.000Z,c,4,0',
    '',
  ])
})

test('an answer that is written in pieces is the JSON of the answer, and has the tag of its content', () => {
  const store = storeOf(
    { at: '2026-11-01T01:00:00Z', bot_id: '__proto__', events: 1 },
    { at: '2026-11-01T02:00:00Z', bot_id: 'b"', events: 2 },
  )
  const bodies = ['bot_id', 'bot_id', ''].map(group_by => {
    const query = parseQuery({ measure: 'events,sessions', bucket: '1m', from: '2026-10-25', until: '2026-11-02', group_by }, NOW)
    const answer = finish(answerQuery(query, store, nothingRead))
    const { pieces, etag } = finish(bodyOf(query, answer))
    expect(Buffer.concat(pieces).toString()).toBe(JSON.stringify(answer))
    return etag
  })
  expect(bodies[0]).toMatch(/^W\/"[\w-]{27}"$/)
  expect([bodies[0] === bodies[1], bodies[0] === bodies[2]]).toEqual([true, false])
})

test('a query does a bounded number of things between two pauses', () => {
  const store = createStore()
  for (let n = 0; n < 2000; n++) store.put(point({ at: '2026-11-01T00:00:00Z', bot_id: `b${n}`, events: 1 }))
  for (let n = 0; n < 20_000; n++) store.put(point({ at: T('2026-11-01T00:00:00Z') - n * 60_000, bot_id: 'long', events: 1 }))
  let done = 0
  const counted = {
    ...store,
    snapshot: () =>
      store.snapshot().map(series => ({
        ...series,
        cells: 0,
        snapshot(...range: Parameters<typeof series.snapshot>) {
          const snapshot = series.snapshot(...range)
          return {
            ...snapshot,
            *addInto(...parameters: Parameters<typeof snapshot.addInto>) {
              const steps = snapshot.addInto(...parameters)
              for (done++; steps.next().done !== true; done++) yield
            },
          }
        },
      })),
  }
  for (const extra of [{}, { group_by: 'bot_id' }, { group_by: 'bot_id', top: '2' }]) {
    let most = 0
    let before = done
    const query = parseQuery({ measure: 'events', from: '2026-10-01', until: '2026-11-02', bucket: '1d', ...extra }, NOW)
    for (const steps = answerQuery(query, counted, nothingRead); ; ) {
      const { done: ended } = steps.next()
      most = Math.max(most, done - before)
      before = done
      if (ended === true) break
    }
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(65)
  }
})

/** Two bots over three hours; the first has no session in the third hour. */
const busy = () =>
  storeOf(
    { at: '2026-11-01T00:10:00Z', sessions: 4, agent_transfers: 1, sessions_agent: 1, sessions_drop_off: 1, sessions_unknown: 2 },
    { at: '2026-11-01T01:10:00Z', sessions: 16, agent_transfers: 8, sessions_ended: 2, duration_ms: 5000 },
    { at: '2026-11-01T02:10:00Z', messages_user: 1 },
    { at: '2026-11-01T00:10:00Z', bot_id: 'b2', sessions: 2, agent_transfers: 2, sessions_self_service: 6, sessions_agent: 2 },
    { at: '2026-11-01T02:10:00Z', bot_id: 'b2', sessions: 10, sessions_ended: 8, duration_ms: 100 },
  )
const threeHours = { bucket: '1h', from: '2026-11-01T00:00:00Z', until: '2026-11-01T03:00:00Z' }
const allRead = completenessOf({
  covered: [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']],
  completeUntil: '2026-11-01T03:00:00Z',
})

test('a rate is that of all sessions of a bucket, a group and the whole range, and null where there were none', () => {
  const rate = (parameters: object, store = busy()) =>
    ask(store, { ...threeHours, measure: 'transfer_rate', ...parameters }, allRead).data.series.map(series => ({
      values: series.values,
      sum: series.sum,
    }))
  expect(rate({})).toEqual([{ values: [3 / 6, 8 / 16, 0], sum: 11 / 32 }])
  expect(rate({ group_by: 'bot_id' })).toEqual([
    { values: [1 / 4, 8 / 16, null], sum: 9 / 20 },
    { values: [1, null, 0], sum: 2 / 12 },
  ])
  expect(rate({ measure: 'containment_rate' }), 'unknown ones are in neither part').toEqual([
    { values: [7 / 10, null, null], sum: 7 / 10 },
  ])
  expect(rate({ measure: 'duration_avg_ms' })).toEqual([{ values: [null, 2500, 12.5], sum: 510 }])
  expect(rate({}, createStore()), 'read, and no session').toEqual([{ values: [null, null, null], sum: null }])
})

test('a rate over a rolling window is that of the window, and mean, min and max are of the values shown', () => {
  const [series] = ask(busy(), { ...threeHours, measure: 'transfer_rate', rolling: '2h', bot_id: 'b1' }).data.series
  expect(series).toMatchObject({
    values: [1 / 4, 9 / 20, 8 / 16],
    sum: 9 / 20,
    mean: (1 / 4 + 9 / 20 + 1 / 2) / 3,
    min: 1 / 4,
    max: 1 / 2,
  })
})

test('top by a rate shows the highest, those without a value last, and the rest is one rate', () => {
  const store = storeOf(
    { at: '2026-11-01T00:10:00Z', channel: 'web', sessions: 100, agent_transfers: 1 },
    { at: '2026-11-01T00:10:00Z', channel: 'voice', sessions: 2, agent_transfers: 2 },
    { at: '2026-11-01T00:10:00Z', channel: 'sms', sessions: 20, agent_transfers: 5 },
    { at: '2026-11-01T00:10:00Z', channel: 'api', messages_user: 1 },
  )
  const top = (n: string) =>
    ask(store, { ...threeHours, measure: 'transfer_rate', group_by: 'channel', top: n }).data.series.map(({ labels, sum }) => [
      labels.channel,
      sum,
    ])
  expect(top('1')).toEqual([
    ['voice', 1],
    ['other', 6 / 120],
  ])
  expect(top('3')).toEqual([
    ['voice', 1],
    ['sms', 1 / 4],
    ['web', 1 / 100],
    ['other', null],
  ])
})

test('bots whose transfers nobody can know are in no part of a rate', () => {
  const at = '2026-11-01T01:00:00Z'
  const store = storeOf(
    { at, sessions: 4, agent_transfers: 1, sessions_self_service: 3, sessions_agent: 1 },
    { at, sessions: 5, vendor: 'syntphony', sessions_drop_off: 5, agent_transfers: 1, sessions_ended: 1, duration_ms: 7 },
  )
  const covered: [string, string][] = [['2026-11-01T00:00:00Z', '2026-11-01T03:00:00Z']]
  const read = completenessOf(
    { covered, completeUntil: '2026-11-01T03:00:00Z', feeds: 'session' },
    { vendor: 'syntphony', covered, completeUntil: '2026-11-01T02:00:00Z', feeds: 'session', tells: false },
  )
  const query = { ...threeHours, measure: 'sessions,transfer_rate,containment_rate,duration_avg_ms,agent_transfers' }
  const sums = (parameters: object) => ask(store, { ...query, ...parameters }, read).data.series.map(({ sum }) => sum)
  expect(sums({})).toEqual([9, 1 / 4, 3 / 4, 7, 2])
  expect(sums({ vendor: 'syntphony' })).toEqual([5, null, null, 7, 1])
  const { data } = ask(store, { ...query, group_by: 'vendor' }, read)
  expect(data.series.map(({ labels, complete_until }) => [labels.vendor, labels.measure, complete_until])).toContainEqual([
    'syntphony',
    'transfer_rate',
    null,
  ])
  expect(ask(store, { ...threeHours, measure: 'transfer_rate' }, read).complete_until).toBe('2026-11-01T03:00:00.000Z')
})

test('epoch seconds are refused with what to write in their place', () => {
  for (const [name, text, meant] of [
    ['from', '1793491200', '1793491200000'],
    ['until', '17934912000', '17934912000000'],
  ] as const) {
    expect(() => parseQuery({ measure: 'events', [name]: text }, NOW)).toThrow(
      `${name} takes epoch milliseconds, and ${text} looks like seconds: ${meant}`,
    )
  }
  expect(parseQuery({ measure: 'events', from: '1793491200000' }, NOW).fromMs).toBe(1_793_491_200_000)
})

function textOf(store: ReturnType<typeof createStore>, parameters: Record<string, string>): string {
  const query = parseQuery(parameters, NOW)
  return Buffer.concat([...finish(bodyOf(query, finish(answerQuery(query, store, allRead)))).pieces]).toString()
}

test('rows have their time, labels and value, in the order of time', () => {
  const twoHours = { ...threeHours, from: '2026-11-01T01:00:00Z', tz: 'Europe/Madrid', shape: 'rows' }
  expect(JSON.parse(textOf(busy(), { ...twoHours, measure: 'transfer_rate', group_by: 'bot_id,language' }))).toEqual([
    { time: '2026-11-01T02:00:00.000+01:00', bot_id: 'b1', language: 'es', value: 0.5 },
    { time: '2026-11-01T02:00:00.000+01:00', bot_id: 'b2', language: 'es', value: null },
    { time: '2026-11-01T03:00:00.000+01:00', bot_id: 'b1', language: 'es', value: null },
    { time: '2026-11-01T03:00:00.000+01:00', bot_id: 'b2', language: 'es', value: 0 },
  ])
  expect(textOf(busy(), { ...threeHours, measure: 'events', shape: 'rows', until: '2026-11-01T01:00:00Z' })).toBe(
    '[{"time":"2026-11-01T00:00:00.000Z","value":0}]',
  )
  const none = { ...threeHours, measure: 'events', shape: 'rows', group_by: 'channel', channel: 'voice' }
  expect(textOf(busy(), none), 'no series').toBe('[]')
  expect(
    textOf(storeOf({ at: '2026-11-01T01:10:00Z', bot_id: 'a,"b"', sessions: 3 }), {
      ...twoHours,
      measure: 'sessions,events',
      group_by: 'bot_id',
      until: '2026-11-01T02:00:00Z',
      format: 'csv',
      tz: 'UTC',
    }).split('\r\n'),
  ).toEqual([
    'time,bot_id,measure,value',
    '2026-11-01T01:00:00.000Z,"a,""b""",sessions,3',
    '2026-11-01T01:00:00.000Z,"a,""b""",events,0',
    '',
  ])
})

test('many rows are written in pieces, none lost, and too many are refused before they are made', () => {
  const store = createStore()
  for (let n = 0; n < 700; n++) store.put(point({ at: '2026-11-01T00:00:00Z', bot_id: `b${n}`, events: n }))
  const month = { measure: 'events', group_by: 'bot_id', from: '2026-10-25', until: '2026-11-01T01:00:00Z', shape: 'rows' }
  const rows = JSON.parse(textOf(store, { ...month, bucket: '6h' })) as { time: string; bot_id: string; value: number }[]
  expect(rows.length).toBe(700 * 29)
  expect(rows.reduce((sum, { value }) => sum + value, 0)).toBe((700 * 699) / 2)
  expect(rows.every(({ time }, at) => at === 0 || time >= (rows[at - 1]?.time ?? ''))).toBe(true)
  expect(() => ask(store, { ...month, bucket: '15m' })).toThrow('at most 250000 rows')
  expect(ask(store, { ...month, bucket: '15m', shape: 'series' }).data.series).toHaveLength(700)
})

describe('percentiles and users', () => {
  const durations = (...ms: number[]) => {
    const sketch = createDurations()
    for (const each of ms) sketch.add(binOf(each), 1)
    return { sessions_ended: ms.length, duration_sketch: Buffer.from(sketch.encode()) }
  }
  const users = (...ids: number[]) => {
    const sketch = createUsers()
    for (const id of ids) sketch.add(id, id)
    return { sessions: ids.length, users_sketch: Buffer.from(sketch.encode()) }
  }
  const store = () =>
    storeOf(
      { at: '2026-11-01T00:10:00Z', bot_id: 'b1', ...durations(1_000, 2_000, 3_000), ...users(1, 2, 2) },
      { at: '2026-11-01T01:10:00Z', bot_id: 'b1', ...durations(50_000), ...users(2, 3) },
      { at: '2026-11-01T01:20:00Z', bot_id: 'b2', ...durations(60_000, 70_000), ...users(1, 9, 8, 7) },
    )
  const asked = (parameters: object, of = store()) =>
    ask(of, { ...threeHours, ...parameters }, allRead).data.series.map(({ labels, values, sum }) => {
      const rounded = (value: number | null) => value && Number(value.toPrecision(1))
      return { ...labels, values: values.map(rounded), sum: rounded(sum) }
    })

  test('are of all sessions of a bucket, group, window and range: who came in two of them is one user', () => {
    expect(asked({ measure: 'users' })).toEqual([{ values: [2, 6, 0], sum: 6 }])
    expect(asked({ measure: 'users', group_by: 'bot_id' })).toEqual([
      { bot_id: 'b1', values: [2, 2, 0], sum: 3 },
      { bot_id: 'b2', values: [0, 4, 0], sum: 4 },
    ])
    expect(asked({ measure: 'users', rolling: '2h' })).toEqual([{ values: [2, 6, 6], sum: 6 }])
    expect(asked({ measure: 'duration_p50_ms' })).toEqual([{ values: [2_000, 60_000, null], sum: 3_000 }])
    expect(asked({ measure: 'duration_p99_ms,duration_p50_ms', group_by: 'bot_id', bot_id: 'b1' })).toEqual([
      { bot_id: 'b1', measure: 'duration_p99_ms', values: [2_000, 50_000, null], sum: 3_000 },
      { bot_id: 'b1', measure: 'duration_p50_ms', values: [2_000, 50_000, null], sum: 2_000 },
    ])
  })

  test('stand beside counts, and top sorts by what they are over the whole range', () => {
    expect(asked({ measure: 'users,sessions', group_by: 'bot_id', top: '1' })).toEqual([
      { bot_id: 'b2', measure: 'users', values: [0, 4, 0], sum: 4 },
      { bot_id: 'b2', measure: 'sessions', values: [0, 4, 0], sum: 4 },
      { bot_id: 'other', measure: 'users', values: [2, 2, 0], sum: 3 },
      { bot_id: 'other', measure: 'sessions', values: [3, 2, 0], sum: 5 },
    ])
    expect(asked({ measure: 'duration_p50_ms', group_by: 'bot_id', top: '1' }).map(({ bot_id }) => bot_id)).toEqual([
      'b2',
      'other',
    ])
  })

  test('are null where nothing has been read, and where an older version counted', () => {
    const unread = completenessOf({ covered: [['2026-11-01T00:00:00Z', '2026-11-01T01:00:00Z']] })
    const values = (measure: string, of = store(), read = unread) =>
      ask(of, { ...threeHours, measure }, read).data.series[0]?.values.map(value => value !== null)
    expect(values('users')).toEqual([true, true, false])
    expect(values('users', createStore(), allRead)).toEqual([true, true, true])
    expect(values('duration_p90_ms', createStore(), allRead)).toEqual([false, false, false])
    const older = storeOf({ at: '2026-11-01T00:10:00Z', sessions: 3, sessions_ended: 3 })
    expect([values('users', older, allRead), values('duration_p90_ms', older, allRead)]).toEqual([
      [false, true, true],
      [false, false, false],
    ])
  })

  test('of more sketches than a query may look at are refused before they are read', () => {
    const many = createStore()
    const ids = Array.from({ length: 250 }, (_, i) => i + 1)
    const crowd = users(...ids)
    for (let at = 0; at < 22_000; at++) many.put(point({ at: T('2026-11-01T00:00:00Z') + at * 60_000, ...crowd }))
    const day = { from: '2026-11-01', until: '2026-12-01', bucket: '1d' }
    expect(() => ask(many, { ...day, measure: 'users' }, allRead)).toThrow(expect.objectContaining({ code: 'QUERY_INVALID' }))
    expect(ask(many, { ...day, measure: 'users', until: '2026-11-02' }, allRead).data.series[0]?.sum).toBe(250)
  })
})
