import { expect, test } from 'vitest'
import { commonOf, type EventSeen, type SessionSeen } from '../../src/alert/evidence.ts'
import { AT, makeAlert } from './make.ts'

const MINUTE_MS = 60_000

function session(id: string, minute: number, of: Partial<SessionSeen> = {}): SessionSeen {
  return {
    session_key: `botmaker:acme:${id}`,
    vendor: 'botmaker',
    account: 'acme',
    bot_id: 'b1',
    channel: 'whatsapp',
    language: 'es',
    started_at: AT + (minute - 5) * MINUTE_MS,
    ended_at: null,
    transferred_at: AT + minute * MINUTE_MS,
    containment: 'AGENT',
    queue: null,
    topics: [],
    ...of,
  }
}

const seen = (sessions: SessionSeen[], events: EventSeen[] = []) => ({
  sessions: new Map(sessions.map(each => [each.session_key, each])),
  events,
})
const intent = (id: string, name: string): EventSeen => ({ session_key: `botmaker:acme:${id}`, type: 'intent_matched', name })
const alert = makeAlert({ updated_at: AT + 30 * MINUTE_MS })

test('what is more frequent in the transferred sessions than the day before is named, with both shares', () => {
  const during = Array.from({ length: 10 }, (_, at) => session(`d${at}`, at, { queue: at < 8 ? 'billing' : 'sales' }))
  const before = Array.from({ length: 20 }, (_, at) => session(`p${at}`, -60 - at, { queue: at < 5 ? 'billing' : 'sales' }))
  const events = [
    ...during.slice(0, 6).map((_, at) => intent(`d${at}`, 'refund')),
    intent('d0', 'refund'), // a session counts once
    intent('d9', 'greeting'),
    ...before.map((_, at) => intent(`p${at}`, 'greeting')),
  ]
  expect(commonOf(alert, 'agent_transfers', seen([...during, ...before], events))).toEqual({
    queues: 'billing 80 % of 10 (25 % of 20 before)',
    intents: 'refund 60 % of 10 (0 % of 20 before)',
    example_sessions: ['d9', 'd8', 'd7', 'd6', 'd5'].map(id => `botmaker:acme:${id}`).join(', '),
  })
})

test('only sessions of the group, of its time, and that were transferred count', () => {
  const others = [
    session('other-bot', 1, { bot_id: 'b2' }),
    session('other-channel', 1, { channel: 'web' }),
    session('later', 31),
    session('not-transferred', 1, { transferred_at: null, containment: 'SELF_SERVICE' }),
  ]
  expect(commonOf(alert, 'agent_transfers', seen(others))).toEqual({})
  const pooled = makeAlert({ ...alert, bot_id: '', channel: null })
  expect(commonOf(pooled, 'agent_transfers', seen(others))['example_sessions']?.split(', ')).toHaveLength(2)
})

test('an alert of the languages that have no series of their own is about sessions of any language of its bot and channel', () => {
  const sessions = [session('es', 1), session('slang', 2, { language: 'fr' }), session('elsewhere', 3, { channel: 'web' })]
  const keysOf = (language: string) =>
    commonOf(makeAlert({ ...alert, language }), 'agent_transfers', seen(sessions))['example_sessions']
  expect(keysOf('other')).toBe('botmaker:acme:slang, botmaker:acme:es')
  expect(keysOf('es')).toBe('botmaker:acme:es')
})

test('a session that was handed over without a time counts at its end', () => {
  const ended = session('x', 0, { transferred_at: null, started_at: AT - 3_600_000, ended_at: AT + MINUTE_MS })
  expect(commonOf(alert, 'agent_transfers', seen([ended]))).toEqual({ example_sessions: 'botmaker:acme:x' })
})

test('rules on other classes of sessions have examples of these', () => {
  const dropped = session('x', 0, { transferred_at: null, started_at: AT + MINUTE_MS, containment: 'DROP_OFF' })
  expect(commonOf(alert, 'sessions_drop_off', seen([dropped, session('y', 1)]))).toEqual({ example_sessions: 'botmaker:acme:x' })
})
