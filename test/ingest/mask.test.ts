import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { doorOf } from '../../src/ingest/door.ts'
import { maskOf } from '../../src/ingest/mask.ts'
import { sealOf } from '../../src/ingest/seal.ts'
import type { Draft } from '../../src/source/contract.ts'
import { parsePiiRules, STANDARD } from '../../src/source/pii.ts'
import { event, message, session } from '../../src/source/records.ts'
import { tinyContext } from './tiny.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const KEY = 'a key of the customer'
const ctx = tinyContext(NOON)
const hashOf = (value: string) => createHmac('sha256', KEY).update(value).digest('hex').slice(0, 32)
const ROW = { persons: ['contact', 'userId'], texts: ['text'], plain: ['at', 'status', 'count'] }

function doorWith(rules: readonly string[], key: string | null = KEY) {
  const parsed = parsePiiRules(rules)
  expect(parsed.faults).toEqual([])
  return doorOf(maskOf(parsed.rules, key, ROW))
}

/** A row whose persons stand in many places. */
function rowOf(): Draft[] {
  const of = ctx.session({ botId: 'bot', sessionId: 'S-4711', channel: 'whatsapp', language: 'es' })
  return [
    session(of, {
      startedAt: NOON,
      userId: '573001234567',
      channelUserId: 'whatsapp:+573001234567',
      agentName: 'Marta Plantada',
      link: 'https://inbox.example/chats/S-4711?u=573001234567',
      outcome: 'sold to ana@mail.example',
      tags: [{ name: 'vip', value: '573001234567' }],
      variables: { first_name: 'Anamarca', plan: 'gold' },
      attributes: { fullName: 'Anamarca Plantada', chat: { firstName: 'Anamarca', n: 1 } },
    }),
    message(of, { messageId: 'S-4711/1', sentAt: NOON, text: 'I am Anamarca, mail ana@mail.example or +57 300 123 4567' }),
    event(of, {
      eventId: 'S-4711/end',
      occurredAt: NOON,
      type: 'session_ended',
      userId: '573001234567',
      attributes: { who: 'Marta Plantada' },
    }),
  ]
}

test('without rules nothing changes', () => {
  expect(doorWith([]).records(rowOf())).toEqual(doorOf(maskOf(parsePiiRules([]).rules, null, undefined)).records(rowOf()))
  expect(JSON.stringify(doorWith([], null).records(rowOf()))).toContain('573001234567')
})

test('a hash is HMAC-SHA-256 with the key, its first 16 bytes in hex, the same in every record', () => {
  const [first, , third] = doorWith(['*.user_id=hash']).records(rowOf()) as [Draft, Draft, Draft]
  expect(first.record).toMatchObject({ user_id: hashOf('573001234567') })
  expect(third.record).toMatchObject({ user_id: hashOf('573001234567') })
})

test('a hashed session id is hashed wherever it stands: keys, other ids, links', () => {
  const hashed = hashOf('S-4711')
  const [first, second, third] = doorWith(['session.session_id=hash']).records(rowOf()) as [Draft, Draft, Draft]
  expect(first.record).toMatchObject({
    session_id: hashed,
    session_key: `tiny:acme:${hashed}`,
    link: `https://inbox.example/chats/${hashed}?u=573001234567`,
  })
  expect(second.record).toMatchObject({
    session_key: `tiny:acme:${hashed}`,
    message_id: `${hashed}/1`,
    message_key: `tiny:acme:${hashed}/${hashed}/1`,
  })
  expect(third.record).toMatchObject({ event_id: `${hashed}/end`, event_key: `tiny:acme:${hashed}/end` })
  expect(JSON.stringify([first, second, third])).not.toContain('4711')
})

test('drop is null, empty or left out; mask is [masked], in free text the kind of what was found', () => {
  const rules = [
    'session.user_id=drop',
    'session.tags=drop',
    'session.variables.first*=drop',
    'session.agent_name=mask',
    'session.outcome=mask',
    'message.text=mask',
  ]
  const [first, second] = doorWith(rules, null).records(rowOf()) as [Draft, Draft]
  expect(first.record).toMatchObject({
    user_id: null,
    tags: [],
    variables: { plan: 'gold' },
    agent_name: '[masked]',
    outcome: 'sold to [email]',
  })
  expect(Object.keys((first.record as { variables: object }).variables)).toEqual(['plan'])
  expect(second.record).toMatchObject({ text: 'I am [masked], mail [email] or [phone]' })
})

test('the standard rules leave no person in any record of the row', () => {
  const words = JSON.stringify(doorWith(STANDARD).records(rowOf()))
  for (const mark of ['573001234567', '300 123', 'Anamarca', 'Plantada', 'ana@']) expect(words).not.toContain(mark)
  expect(words).toContain('vip')
})

test('a short value is hidden where it stands alone, and no part of another changes', () => {
  const of = ctx.session({ botId: 'bot', sessionId: 's1', channel: 'web' })
  const drafts = [session(of, { startedAt: NOON, userId: '1', attributes: { user: '1', version: '1.1.1' } })]
  const [first] = doorWith(['session.user_id=hash']).records(drafts) as [Draft]
  expect(first.record).toMatchObject({ user_id: hashOf('1'), attributes: { user: hashOf('1'), version: '1.1.1' } })
})

describe('a rejected row', () => {
  const raw = {
    at: '2026-11-20T12:00:00Z',
    status: 'closed for Anamarca',
    count: 12_345_678,
    contact: { name: 'Anamarca', tags: ['x', 5_730_012] },
    text: 'call +57 300 123 4567, Anamarca',
    new_field: 'Plantada',
    new_number: 573_001_234_567,
    small: 3,
    yes: true,
    none: null,
    userId: 573_001_234_567,
  }

  test('is hashed and masked by field, with a key; what is not known is hidden', () => {
    expect(JSON.parse(JSON.stringify(doorWith(STANDARD).row(raw)))).toEqual({
      at: '2026-11-20T12:00:00Z',
      status: `closed for ${hashOf('Anamarca')}`,
      count: 12_345_678,
      contact: { name: hashOf('Anamarca'), tags: [hashOf('x'), hashOf('5730012')] },
      text: `call [phone], ${hashOf('Anamarca')}`,
      new_field: '[masked]',
      new_number: '[masked]',
      small: 3,
      yes: true,
      none: null,
      userId: hashOf('573001234567'),
    })
  })

  test('without a key keeps its shape, with persons hidden and texts masked', () => {
    expect(JSON.parse(JSON.stringify(doorWith(['*.text=mask'], null).row(raw)))).toMatchObject({
      contact: { name: '[masked]', tags: ['[masked]', '[masked]'] },
      text: 'call [phone], [masked]',
      new_field: 'Plantada',
      userId: '[masked]',
    })
  })

  test('is not changed itself', () => {
    const before = structuredClone(raw)
    doorWith(STANDARD).row(raw)
    expect(raw).toEqual(before)
  })
})

describe('a seal', () => {
  test('gives the same text the same seal, opens with its key only, and holds nothing to read', () => {
    const seal = sealOf(KEY)
    const sealed = seal.seal('row of Anamarca 😀')
    expect(seal.seal('row of Anamarca 😀')).toBe(sealed)
    expect(seal.open(sealed)).toBe('row of Anamarca 😀')
    expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toContain('Anamarca')
    expect(sealOf('another key').open(sealed)).toBeNull()
    for (const odd of ['', 'x', 'S-4711', sealed.slice(1), `${sealed}AAAA`]) expect(seal.open(odd)).toBeNull()
  })

  test('hides ids of rows where session ids are hashed, in logs as hashes', () => {
    expect(doorWith(['session.session_id=hash']).shownId('S-4711')).toBe(hashOf('S-4711'))
    expect(doorWith(['*.text=mask'], null).shownId('S-4711')).toBe('S-4711')
  })
})

test('what a vendor wrote for a language is hidden as the language is', () => {
  const rowsOf = (...rules: string[]) => {
    const of = ctx.session({ botId: 'bot', sessionId: '1', channel: 'web', language: 'the slang of Ana' })
    const drafts = [
      session(of, { startedAt: NOON, languages: ['the slang of Ana', 'the slang of Eva'] }),
      message(of, { messageId: '1', sentAt: NOON }),
      event(of, { eventId: '1', occurredAt: NOON, type: 'other' }),
    ]
    return doorWith(rules)
      .records(drafts)
      .map(({ record }) => record.attributes)
  }
  const both = '["the slang of Ana","the slang of Eva"]'
  const raw = { language_raw: 'the slang of Ana' }
  expect(rowsOf()).toEqual([{ ...raw, languages_raw: both }, raw, raw])
  expect(rowsOf('*.language=drop', 'session.languages=mask')).toEqual([{ languages_raw: '[masked]' }, {}, {}])
  const hashed = { language_raw: hashOf('the slang of Ana') }
  expect(rowsOf('*.language=hash', 'session.languages=hash')).toEqual([
    { ...hashed, languages_raw: hashOf(both) },
    hashed,
    hashed,
  ])
})
