import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parsePiiRules, PII_FIELDS, STANDARD } from '../../src/source/pii.ts'

const rulesOf = (...texts: string[]) => {
  const { rules, faults } = parsePiiRules(texts)
  expect(faults).toEqual([])
  return rules
}

describe('the last rule that matches decides', () => {
  test('on fields', () => {
    const rules = rulesOf('*.user_id=hash', 'session.user_id=keep', 'session.*_id=drop', 'session.agent_id=mask')
    expect(rules.action('session', 'user_id')).toBe('drop')
    expect(rules.action('session', 'agent_id')).toBe('mask')
    expect(rules.action('event', 'user_id')).toBe('hash')
    expect(rules.action('message', 'text')).toBe('keep')
  })

  test('on entries, which a rule of the whole map reaches too', () => {
    const rules = rulesOf(
      '*.attributes=mask',
      'session.attributes.phone*=hash',
      'session.variables.*=drop',
      'session.variables.plan=keep',
    )
    expect(rules.entryAction('session', 'attributes', 'other')).toBe('mask')
    expect(rules.entryAction('session', 'attributes', 'phone.home')).toBe('hash')
    expect(rules.entryAction('message', 'attributes', 'phone')).toBe('mask')
    expect(rules.entryAction('session', 'variables', 'plan')).toBe('keep')
    expect(rules.entryAction('session', 'variables', '__proto__')).toBe('drop')
  })

  test('a name is itself but for *: no other sign means anything', () => {
    const rules = rulesOf('session.attributes.a.b(c)+=drop')
    expect(rules.entryAction('session', 'attributes', 'a.b(c)+')).toBe('drop')
    expect(rules.entryAction('session', 'attributes', 'axb(c)+')).toBe('keep')
  })
})

test('a session id that is hashed on one record is hashed on all', () => {
  for (const kind of ['session', 'message', 'event'] as const)
    for (const other of ['session', 'message', 'event'] as const)
      expect(rulesOf(`${kind}.session_id=hash`).action(other, 'session_id')).toBe('hash')
})

test('a user id that is hashed on sessions or events is hashed on both, as streams of events alone have it too', () => {
  for (const kind of ['session', 'event'] as const)
    for (const other of ['session', 'event'] as const)
      expect(rulesOf(`${other}.user_id=keep`, `${kind}.user_id=hash`).action(other, 'user_id')).toBe('hash')
  expect(rulesOf('session.user_id=hash', 'event.user_id=drop').action('event', 'user_id')).toBe('drop')
})

test('a pattern skips fields that its action does not fit', () => {
  const rules = rulesOf('session.*=drop')
  expect(rules.action('session', 'session_id')).toBe('keep')
  expect(rules.action('session', 'queue')).toBe('drop')
  expect(rulesOf('*.*=mask').action('session', 'transferred_at')).toBe('keep')
})

describe('an invalid rule is a fault that says why', () => {
  test.each([
    ['user_id=hash', /takes PATH=ACTION/],
    ['session.user_id', /takes PATH=ACTION/],
    ['session.user_id=', /takes PATH=ACTION/],
    ['=hash', /takes PATH=ACTION/],
    ['session.user_id=encrypt', /encrypt is no action; there are keep, drop, mask, hash/],
    ['session.user_id=HASH', /no action/],
    ['sessions.user_id=hash', /sessions is no record; there are session, message, event and \*/],
    ['session.userid=hash', /there is no field userid/],
    ['session.__proto__=hash', /there is no field __proto__/],
    ['message.user_id=hash', /there is no field user_id/],
    ['session.revision=drop', /there is no field revision/],
    ['session.user_id.x=hash', /user_id has no entries/],
    ['session.session_id=drop', /session_id cannot be dropped; it can be hashed/],
    ['message.message_id=mask', /message_id cannot be masked; it can be hashed/],
    ['session.transferred_at=hash', /transferred_at cannot be hashed; it can be dropped/],
  ])('%s', (text, words) => {
    expect(parsePiiRules([text]).faults).toEqual([expect.stringMatching(words)])
  })
})

test('the standard rules are rules', () => {
  const rules = rulesOf(...STANDARD)
  expect(rules.hashes).toBe(true)
  expect(rules.action('message', 'text')).toBe('mask')
  expect(rules.entryAction('event', 'attributes', 'anything')).toBe('hash')
})

test('every field that a rule may name is in the schema, and those left out are no free words of a person', () => {
  const left = {
    session: [
      'session_key',
      'vendor',
      'account',
      'bot_id',
      'connector',
      'revision',
      'observed_at',
      'started_at',
      'ended_at',
      'ended_at_estimated',
      'status',
      'containment',
      'interactive',
      'channel',
      'user_messages',
      'bot_messages',
      'agent_messages',
      'total_messages',
      'tasks',
      'is_test',
    ],
    message: [
      'message_key',
      'session_key',
      'vendor',
      'account',
      'bot_id',
      'connector',
      'revision',
      'observed_at',
      'sent_at',
      'sent_at_estimated',
      'seq',
      'sender',
      'type',
      'channel',
      'confidence',
    ],
    event: [
      'event_key',
      'session_key',
      'vendor',
      'account',
      'bot_id',
      'connector',
      'revision',
      'observed_at',
      'occurred_at',
      'occurred_at_estimated',
      'type',
      'channel',
    ],
  }
  for (const kind of ['session', 'message', 'event'] as const) {
    const schema = JSON.parse(readFileSync(new URL(`../../schemas/${kind}.avsc`, import.meta.url), 'utf8')) as {
      fields: { name: string }[]
    }
    expect([...left[kind], ...Object.keys(PII_FIELDS[kind])].sort()).toEqual(schema.fields.map(field => field.name).sort())
  }
})
