/** Every action on every kind of field, through the door, for rows of two vendors. */
import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { doorOf } from '../../src/ingest/door.ts'
import { maskOf } from '../../src/ingest/mask.ts'
import { botKey } from '../../src/records.ts'
import type { Draft } from '../../src/source/contract.ts'
import { parsePiiRules } from '../../src/source/pii.ts'
import { event, message, rowContext, session } from '../../src/source/records.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const KEY = 'a key of the customer'
const hashOf = (value: string) => createHmac('sha256', KEY).update(value).digest('hex').slice(0, 32)

type Records = {
  readonly session: Record<string, unknown>
  readonly message: Record<string, unknown>
  readonly event: Record<string, unknown>
}

function recordsOf(vendor: string, rules: readonly string[]): Records {
  const ctx = rowContext({
    vendor,
    account: 'acme',
    connector: `acme-${vendor}`,
    config: {},
    scope: { name: 'acme', botId: null },
    observedAtMs: NOON,
    lookbackMs: 0,
  })
  const of = ctx.session({ botId: 'bot', sessionId: 'S/4711', channel: 'whatsapp', language: 'es' })
  const drafts: Draft[] = [
    session(of, {
      startedAt: NOON,
      transferredAt: NOON,
      userId: 'U-88',
      queue: 'sales of +57 300 123 4567',
      agentName: 'Marta',
      satisfaction: 4,
      outcome: 'mail ana@mail.example',
      topics: ['card 4111111111111111'],
      tags: [{ name: 'note', value: 'DE89370400440532013000' }],
      variables: { plan: 'gold' },
      attributes: { city: 'Cali' },
    }),
    message(of, { messageId: 'm1', sentAt: NOON, text: 'call +57 300 123 4567', intent: 'buy' }),
    event(of, { eventId: 'e1', occurredAt: NOON, type: 'other', name: 'seen by ana@mail.example', userId: 'U-88' }),
  ]
  const parsed = parsePiiRules(rules)
  expect(parsed.faults).toEqual([])
  const [a, b, c] = doorOf(maskOf(parsed.rules, KEY, undefined)).records(drafts) as [Draft, Draft, Draft]
  const plain = (draft: Draft) => JSON.parse(JSON.stringify(draft.record)) as Record<string, unknown>
  return { session: plain(a), message: plain(b), event: plain(c) }
}

describe.each([
  ['session', 'user_id', { keep: 'U-88', drop: null, mask: '[masked]', hash: hashOf('U-88') }],
  ['session', 'agent_name', { keep: 'Marta', drop: null, mask: '[masked]', hash: hashOf('Marta') }],
  [
    'session',
    'queue',
    { keep: 'sales of +57 300 123 4567', drop: null, mask: 'sales of [phone]', hash: hashOf('sales of +57 300 123 4567') },
  ],
  [
    'session',
    'outcome',
    { keep: 'mail ana@mail.example', drop: null, mask: 'mail [email]', hash: hashOf('mail ana@mail.example') },
  ],
  [
    'session',
    'topics',
    { keep: ['card 4111111111111111'], drop: [], mask: ['card [card]'], hash: [hashOf('card 4111111111111111')] },
  ],
  [
    'session',
    'tags',
    {
      keep: [{ name: 'note', value: 'DE89370400440532013000', scope: null }],
      drop: [],
      mask: [{ name: 'note', value: '[iban]', scope: null }],
      hash: [{ name: hashOf('note'), value: hashOf('DE89370400440532013000'), scope: null }],
    },
  ],
  ['session', 'variables', { keep: { plan: 'gold' }, drop: {}, mask: { plan: 'gold' }, hash: { plan: hashOf('gold') } }],
  ['session', 'attributes', { keep: { city: 'Cali' }, drop: {}, mask: { city: 'Cali' }, hash: { city: hashOf('Cali') } }],
  ['session', 'transferred_at', { keep: NOON, drop: null }],
  ['session', 'satisfaction', { keep: 4, drop: null }],
  ['session', 'session_id', { keep: 'S/4711', hash: hashOf('S/4711') }],
  ['message', 'text', { keep: 'call +57 300 123 4567', drop: null, mask: 'call [phone]', hash: hashOf('call +57 300 123 4567') }],
  ['message', 'intent', { keep: 'buy', drop: null, mask: 'buy', hash: hashOf('buy') }],
  ['message', 'message_id', { keep: 'm1', hash: hashOf('m1') }],
  [
    'event',
    'name',
    { keep: 'seen by ana@mail.example', drop: '', mask: 'seen by [email]', hash: hashOf('seen by ana@mail.example') },
  ],
  ['event', 'event_id', { keep: 'e1', hash: hashOf('e1') }],
] as const)('%s.%s', (kind, field, expected) => {
  test.each(Object.entries(expected))('%s', (action, value) => {
    for (const vendor of ['botmaker', 'wolkvox'])
      expect(recordsOf(vendor, [`${kind}.${field}=${action}`])[kind][field], vendor).toEqual(value)
  })
})

test('keys follow a hashed session id, and the partition of the bot stays', () => {
  const hashed = hashOf('S/4711')
  const { session: of, message: said, event: happened } = recordsOf('botmaker', ['session.session_id=hash'])
  expect([of['session_key'], said['session_key'], happened['session_key']]).toEqual(
    Array.from({ length: 3 }, () => `botmaker:acme:${hashed}`),
  )
  expect(said['message_key']).toBe(`botmaker:acme:${hashed}/m1`)
  const plain = recordsOf('botmaker', []).session
  const keyOf = (record: Record<string, unknown>) => botKey(record as { vendor: string; account: string; bot_id: string })
  expect(keyOf(of)).toBe(keyOf(plain))
})

test('an id that is hashed is one hash in every record and with every vendor', () => {
  const rules = ['*.user_id=hash']
  const [first, second] = ['koreai', 'wolkvox'].map(vendor => recordsOf(vendor, rules)) as [Records, Records]
  const ids = [first.session['user_id'], first.event['user_id'], second.session['user_id'], second.event['user_id']]
  expect(new Set(ids)).toEqual(new Set([hashOf('U-88')]))
})
