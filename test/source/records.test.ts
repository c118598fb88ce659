import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import {
  contentId,
  contentIds,
  event,
  eventWithoutSession,
  message,
  rowContext,
  type Session,
  session,
} from '../../src/source/index.ts'

const T0 = Date.parse('2026-11-01T10:00:00Z')

const ctx = rowContext({
  vendor: 'botmaker',
  account: 'acme',
  connector: 'acme-botmaker',
  config: {},
  scope: { name: 'acme', botId: null },
  observedAtMs: Date.parse('2026-11-01T12:00:00Z'),
  lookbackMs: 0,
})
const of = ctx.session({ botId: 'sales', sessionId: 'S1', channel: 'WebChat', language: 'es' })

const fieldsOf = (schema: string) =>
  (
    JSON.parse(readFileSync(new URL(`../../schemas/${schema}.avsc`, import.meta.url), 'utf8')) as { fields: { name: string }[] }
  ).fields.map(field => field.name)

/** The code and path of the error that `run` throws. */
function faultOf(run: () => unknown): { code: string; path: unknown } | null {
  try {
    run()
    return null
  } catch (thrown) {
    return thrown instanceof FlowError ? { code: thrown.code, path: thrown.details.path } : { code: String(thrown), path: null }
  }
}

test.each([
  ['session', session(of, { startedAt: T0 })],
  ['message', message(of, { messageId: 'm', sentAt: T0 })],
  ['event', event(of, { eventId: 'e', occurredAt: T0, type: 'error' })],
  ['event', eventWithoutSession(ctx, { botId: 'b', eventId: 'e', occurredAt: T0, type: 'error' })],
] as const)(
  'a %s has every field of its schema in the order of the schema, however little the connector gives',
  (schema, draft) => {
    expect(Object.keys(draft.record)).toEqual(fieldsOf(schema))
    expect(Object.values(draft.record)).not.toContain(undefined)
  },
)

test('identity, channel and language of the session are on all of its records', () => {
  const shared = {
    vendor: 'botmaker',
    account: 'acme',
    connector: 'acme-botmaker',
    bot_id: 'sales',
    session_id: 'S1',
    session_key: 'botmaker:acme:S1',
  }
  const drafts = [
    session(of, { startedAt: T0 }),
    message(of, { messageId: 'm', sentAt: T0 }),
    event(of, { eventId: 'e', occurredAt: T0, type: 'other' }),
  ]
  for (const { record } of drafts) {
    expect(record).toMatchObject({ ...shared, channel: 'web', language: 'es', revision: 1, observed_at: ctx.observedAtMs })
  }
  expect(drafts[0]?.record).toMatchObject({ channel_raw: 'WebChat', languages: ['es'] })
  expect(drafts[1]?.record).toMatchObject({ message_key: 'botmaker:acme:S1/m' })
  expect(drafts[2]?.record).toMatchObject({ event_key: 'botmaker:acme:e' })
})

test('a session whose channel is not known counts as other, its messages say that it is not known', () => {
  const unknown = ctx.session({ botId: 'b', sessionId: 's', channel: null })
  expect(session(unknown, { startedAt: T0 }).record).toMatchObject({
    channel: 'other',
    channel_raw: null,
    language: null,
    languages: [],
  })
  expect(message(unknown, { messageId: 'm', sentAt: T0 }).record.channel).toBeNull()
})

test('an event without a session has the bot and channel it was given, and no session', () => {
  const { record } = eventWithoutSession(ctx, {
    botId: 'b7',
    channel: 'IVR',
    eventId: 'e',
    occurredAt: T0 + 5,
    type: 'metric_point',
    name: 'calls',
  })
  expect(record).toMatchObject({
    session_key: null,
    session_id: null,
    bot_id: 'b7',
    channel: 'voice',
    name: 'calls',
    occurred_at: T0 + 5,
  })
})

describe('what a field cannot hold', () => {
  test.each([
    ['startedAt', () => session(of, { startedAt: '2026-11-01T10:00:00' })],
    ['startedAt', () => session(of, {} as never)],
    ['endedAt', () => session(of, { startedAt: T0, endedAt: 'yesterday' })],
    ['transferredAt', () => session(of, { startedAt: T0, transferredAt: NaN })],
    ['sentAt', () => message(of, { messageId: 'm', sentAt: '' })],
    ['messageId', () => message(of, { messageId: '', sentAt: T0 })],
    ['occurredAt', () => event(of, { eventId: 'e', occurredAt: null as never, type: 'other' })],
    ['eventId', () => event(of, { occurredAt: T0, type: 'other' } as never)],
    ['sessionId', () => ctx.session({ botId: 'b', sessionId: '', channel: null })],
    ['botId', () => ctx.session({ botId: undefined as never, sessionId: 's', channel: null })],
    ['botId', () => eventWithoutSession(ctx, { eventId: 'e', occurredAt: T0, type: 'other' } as never)],
  ])('a missing or unreadable %s makes the row unmappable, with that path', (path, run) => {
    expect(faultOf(run)).toEqual({ code: 'ROW_UNMAPPABLE', path })
  })

  test('a word outside a closed set falls to unknown, and the word is kept', () => {
    expect(session(of, { startedAt: T0, status: 'Frozen', containment: 'escaped' }).record).toMatchObject({
      status: 'UNKNOWN',
      containment: 'UNKNOWN',
      attributes: { status_raw: 'Frozen', containment_raw: 'escaped' },
    })
    expect(message(of, { messageId: 'm', sentAt: T0, sender: 'robot' }).record).toMatchObject({
      sender: 'UNKNOWN',
      attributes: { sender_raw: 'robot' },
    })
    expect(event(of, { eventId: 'e', occurredAt: T0, type: 'queue-set' }).record).toMatchObject({
      type: 'other',
      name: 'queue-set',
      attributes: { type_raw: 'queue-set' },
    })
  })

  test('a word of the set is known in any case and with any separators', () => {
    expect(session(of, { startedAt: T0, status: 'closed', containment: 'selfService' }).record).toMatchObject({
      status: 'CLOSED',
      containment: 'SELF_SERVICE',
      attributes: {},
    })
    expect(session(of, { startedAt: T0, containment: 'DROP-OFF' }).record.containment).toBe('DROP_OFF')
    expect(message(of, { messageId: 'm', sentAt: T0, sender: 'agent' }).record.sender).toBe('AGENT')
  })

  test('a number that does not fit is null, and kept in the attributes', () => {
    expect(
      session(of, { startedAt: T0, botMessages: 2.5, tasks: 2 ** 31, userMessages: 0, satisfaction: NaN }).record,
    ).toMatchObject({
      bot_messages: null,
      tasks: null,
      user_messages: 0,
      satisfaction: null,
      attributes: { bot_messages_raw: '2.5', tasks_raw: '2147483648', satisfaction_raw: 'NaN' },
    })
    expect(message(of, { messageId: 'm', sentAt: T0, confidence: 87 }).record).toMatchObject({
      confidence: null,
      attributes: { confidence_raw: '87' },
    })
  })
})

test('extra fields become text: words as they are, deeper values as JSON, nothing left out but null', () => {
  const { record } = session(of, {
    startedAt: T0,
    variables: { plan: 'gold', age: 41, vip: false },
    attributes: { nested: { a: [1] }, nothing: null, empty: '', ['__proto__']: 'kept' },
  })
  expect(record.variables).toEqual({ plan: 'gold', age: '41', vip: 'false' })
  expect(Object.entries(record.attributes)).toEqual([
    ['nested', '{"a":[1]}'],
    ['empty', ''],
    ['__proto__', 'kept'],
  ])
})

test('values of the connector are copied, so that a later change of the record does not change the row', () => {
  const given = { startedAt: T0, languages: ['es'], topics: ['a'], attributes: { a: 'b' }, variables: { c: 'd' } }
  const { record } = session(of, given)
  record.languages.push('x')
  record.topics.push('x')
  record.attributes.x = 'x'
  record.variables.x = 'x'
  expect(given).toEqual({ startedAt: T0, languages: ['es'], topics: ['a'], attributes: { a: 'b' }, variables: { c: 'd' } })
})

describe('content ids', () => {
  test('equal parts give equal ids, and parts cannot run into each other', () => {
    expect(contentId('a', 1, null)).toBe(contentId('a', 1, null))
    expect(contentId('a', 1, null)).toBe('Cudkv_06F7ZFTI2ev3EjEd')
    expect(contentId('a', 'b')).not.toBe(contentId('ab'))
    expect(contentId('a', 'b')).not.toBe(contentId('b', 'a'))
    expect(contentId('1')).not.toBe(contentId(1))
  })

  test('items of one row that say the same get an ordinal, the same at every read', () => {
    const read = () => {
      const id = contentIds()
      return [id('x', 1), id('y', 1), id('x', 1), id('x', 1)]
    }
    const [first, other, second, third] = read()
    expect(second).toBe(`${first}.1`)
    expect(third).toBe(`${first}.2`)
    expect(other).not.toContain(first)
    expect(read()).toEqual([first, other, second, third])
  })
})

describe('a placeholder in the place of a time', () => {
  const ahead = '2026-11-02T12:00:00.001Z'
  const none = [
    '0001-01-01T00:00:00Z',
    '0001-01-01T00:00:00',
    '1970-01-01T00:00:00Z',
    '0000-00-00 00:00:00',
    '',
    '-1',
    0,
    -1,
    '9999-12-31T23:59:59',
    ahead,
  ]

  test.each(none)('%j is null where the field may be null, and the session that is closed with it has not ended', raw => {
    const { record } = session(of, { startedAt: T0, endedAt: raw, endedAtEstimated: true, transferredAt: raw, status: 'closed' })
    expect(record).toMatchObject({ ended_at: null, ended_at_estimated: false, transferred_at: null, status: 'OPEN' })
  })

  test.each(none)('%j makes a row unmappable where it must have a time', raw => {
    for (const [path, run] of [
      ['startedAt', () => session(of, { startedAt: raw })],
      ['sentAt', () => message(of, { messageId: 'm', sentAt: raw })],
      ['occurredAt', () => event(of, { eventId: 'e', occurredAt: raw, type: 'other' })],
    ] as const)
      expect(faultOf(run)).toEqual({ code: 'ROW_UNMAPPABLE', path })
  })

  test('a day ahead is still a time, and a status without an end is kept', () => {
    expect(session(of, { startedAt: T0, endedAt: '2026-11-02T12:00:00Z', status: 'CLOSED' }).record).toMatchObject({
      ended_at: Date.parse('2026-11-02T12:00:00Z'),
      status: 'CLOSED',
    })
    expect(session(of, { startedAt: T0, status: 'CLOSED' }).record).toMatchObject({ ended_at: null, status: 'CLOSED' })
  })

  test.each([
    ['seconds', T0 / 1000],
    ['microseconds', T0 * 1000],
    ['nanoseconds in digits', `${T0}000000`],
  ])('an epoch time is read by its size: %s', (_, raw) => {
    expect(session(of, { startedAt: raw, endedAt: raw }).record).toMatchObject({ started_at: T0, ended_at: T0 })
  })
})

test('messages of two sessions never share a key, and keys of ordinary sessions are as they always were', () => {
  const keyOf = (sessionId: string, messageId: string) =>
    message(ctx.session({ botId: 'b', sessionId, channel: null }), { messageId, sentAt: T0 }).record.message_key
  expect(keyOf('s-1_2:3@x.y', 'm/1%2F')).toBe('botmaker:acme:s-1_2:3@x.y/m/1%2F')
  expect(keyOf('s/1', '2')).toBe('botmaker:acme:s%2F1/2')
  const parts = ['s', 's/1', 's%2F1', 's%252F1', 's%', 's%/', '1', '1/2', '2', '/']
  const keys = parts.flatMap(session => parts.map(message => keyOf(session, message)))
  expect(new Set(keys).size).toBe(parts.length ** 2)
})

test("vendors' words that objects have of themselves are words like any other", () => {
  for (const word of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const attributes = JSON.parse(`{"${word}":"kept"}`) as Record<string, unknown>
    const { record } = session(of, { startedAt: T0, status: word, containment: word, attributes, variables: attributes })
    expect([record.status, record.containment]).toEqual(['UNKNOWN', 'UNKNOWN'])
    for (const map of [record.attributes, record.variables]) expect(Object.hasOwn(map, word) && map[word]).toBe('kept')
    expect(message(of, { messageId: 'm', sentAt: T0, sender: word }).record.sender).toBe('UNKNOWN')
    expect(event(of, { eventId: 'e', occurredAt: T0, type: word }).record).toMatchObject({ type: 'other', name: word })
  }
})

test('attributes with such names come out of their encoding as they went in', () => {
  const schema = readFileSync(new URL('../../schemas/session.avsc', import.meta.url), 'utf8')
  const attributes = JSON.parse('{"__proto__":"p","constructor":"c","a":"b"}') as Record<string, unknown>
  const { record } = session(of, { startedAt: T0, attributes })
  const bytes = encoderFor<Session>(schema, 1).encode(record)
  for (const part of ['__proto__', 'constructor']) expect(bytes.includes(part)).toBe(true)
})
