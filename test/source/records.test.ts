import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { contentId, contentIds, event, eventWithoutSession, message, rowContext, session } from '../../src/source/index.ts'

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
  ['session', session(of, { startedAt: 0 })],
  ['message', message(of, { messageId: 'm', sentAt: 0 })],
  ['event', event(of, { eventId: 'e', occurredAt: 0, type: 'error' })],
  ['event', eventWithoutSession(ctx, { botId: 'b', eventId: 'e', occurredAt: 0, type: 'error' })],
] as const)(
  'a %s has every field of its schema in the order of the schema, however little the connector gives',
  (schema, draft) => {
    expect(Object.keys(draft.record)).toEqual(fieldsOf(schema))
    expect(Object.values(draft.record)).not.toContain(undefined)
  },
)

test('identity, channel and language of the session stand on all of its records', () => {
  const shared = {
    vendor: 'botmaker',
    account: 'acme',
    connector: 'acme-botmaker',
    bot_id: 'sales',
    session_id: 'S1',
    session_key: 'botmaker:acme:S1',
  }
  const drafts = [
    session(of, { startedAt: 0 }),
    message(of, { messageId: 'm', sentAt: 0 }),
    event(of, { eventId: 'e', occurredAt: 0, type: 'other' }),
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
  expect(session(unknown, { startedAt: 0 }).record).toMatchObject({
    channel: 'other',
    channel_raw: null,
    language: null,
    languages: [],
  })
  expect(message(unknown, { messageId: 'm', sentAt: 0 }).record.channel).toBeNull()
})

test('an event without a session has the bot and channel it was given, and no session', () => {
  const { record } = eventWithoutSession(ctx, {
    botId: 'b7',
    channel: 'IVR',
    eventId: 'e',
    occurredAt: 5,
    type: 'metric_point',
    name: 'calls',
  })
  expect(record).toMatchObject({
    session_key: null,
    session_id: null,
    bot_id: 'b7',
    channel: 'voice',
    name: 'calls',
    occurred_at: 5,
  })
})

describe('what a field cannot hold', () => {
  test.each([
    ['startedAt', () => session(of, { startedAt: '2026-11-01T10:00:00' })],
    ['startedAt', () => session(of, {} as never)],
    ['endedAt', () => session(of, { startedAt: 0, endedAt: 'yesterday' })],
    ['transferredAt', () => session(of, { startedAt: 0, transferredAt: NaN })],
    ['sentAt', () => message(of, { messageId: 'm', sentAt: '' })],
    ['messageId', () => message(of, { messageId: '', sentAt: 0 })],
    ['occurredAt', () => event(of, { eventId: 'e', occurredAt: null as never, type: 'other' })],
    ['eventId', () => event(of, { occurredAt: 0, type: 'other' } as never)],
    ['sessionId', () => ctx.session({ botId: 'b', sessionId: '', channel: null })],
    ['botId', () => ctx.session({ botId: undefined as never, sessionId: 's', channel: null })],
    ['botId', () => eventWithoutSession(ctx, { eventId: 'e', occurredAt: 0, type: 'other' } as never)],
  ])('a missing or unreadable %s makes the row unmappable, with that path', (path, run) => {
    expect(faultOf(run)).toEqual({ code: 'ROW_UNMAPPABLE', path })
  })

  test('a word outside a closed set falls to unknown, and the word is kept', () => {
    expect(session(of, { startedAt: 0, status: 'Frozen', containment: 'escaped' }).record).toMatchObject({
      status: 'UNKNOWN',
      containment: 'UNKNOWN',
      attributes: { status_raw: 'Frozen', containment_raw: 'escaped' },
    })
    expect(message(of, { messageId: 'm', sentAt: 0, sender: 'robot' }).record).toMatchObject({
      sender: 'UNKNOWN',
      attributes: { sender_raw: 'robot' },
    })
    expect(event(of, { eventId: 'e', occurredAt: 0, type: 'queue-set' }).record).toMatchObject({
      type: 'other',
      name: 'queue-set',
      attributes: { type_raw: 'queue-set' },
    })
  })

  test('a word of the set is known in any case and with any separators', () => {
    expect(session(of, { startedAt: 0, status: 'closed', containment: 'selfService' }).record).toMatchObject({
      status: 'CLOSED',
      containment: 'SELF_SERVICE',
      attributes: {},
    })
    expect(session(of, { startedAt: 0, containment: 'DROP-OFF' }).record.containment).toBe('DROP_OFF')
    expect(message(of, { messageId: 'm', sentAt: 0, sender: 'agent' }).record.sender).toBe('AGENT')
  })

  test('a number that does not fit is null, and stands in the attributes', () => {
    expect(
      session(of, { startedAt: 0, botMessages: 2.5, tasks: 2 ** 31, userMessages: 0, satisfaction: NaN }).record,
    ).toMatchObject({
      bot_messages: null,
      tasks: null,
      user_messages: 0,
      satisfaction: null,
      attributes: { bot_messages_raw: '2.5', tasks_raw: '2147483648', satisfaction_raw: 'NaN' },
    })
    expect(message(of, { messageId: 'm', sentAt: 0, confidence: 87 }).record).toMatchObject({
      confidence: null,
      attributes: { confidence_raw: '87' },
    })
  })
})

test('extra fields become text: words as they are, deeper values as JSON, nothing left out but null', () => {
  const { record } = session(of, {
    startedAt: 0,
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

test('what the connector hands over is copied, so that a later change of the record leaves the row alone', () => {
  const given = { startedAt: 0, languages: ['es'], topics: ['a'], attributes: { a: 'b' }, variables: { c: 'd' } }
  const { record } = session(of, given)
  record.languages.push('x')
  record.topics.push('x')
  record.attributes.x = 'x'
  record.variables.x = 'x'
  expect(given).toEqual({ startedAt: 0, languages: ['es'], topics: ['a'], attributes: { a: 'b' }, variables: { c: 'd' } })
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
