import { expect, test } from 'vitest'
import { readingOf } from '../../src/alert/reads.ts'
import { DEFAULT_RULE, type Rule } from '../../src/rules.ts'
import { createWatermarks } from '../../src/watermark.ts'

const T = (clock: string) => Date.parse(`2026-11-01T${clock}:00Z`)
const bot = { vendor: 'botmaker', account: 'acme', bot_id: 'b1' }

function marksOf(...streams: { stream: string; until: string; feeds: string[]; bot_id?: string | null; account?: string }[]) {
  const marks = createWatermarks(() => true)
  for (const { stream, until, feeds, bot_id = null, account = 'acme' } of streams)
    marks.apply({
      connector: 'acme',
      stream,
      scope: bot_id ?? account,
      vendor: 'botmaker',
      account,
      bot_id,
      lane: 'live',
      window_from: 0,
      window_until: T(until),
      complete_until: T(until),
      pages: 1,
      rows: 1,
      emitted: 1,
      unchanged: 0,
      rejected: 0,
      newest_at: null,
      committed_at: T(until),
      through: [],
      covered: [],
      feeds,
    })
  return marks
}

test('a bot is read up to the least of the streams that feed the measures of the rules', () => {
  const marks = marksOf(
    { stream: 'sessions', until: '10:00', feeds: ['session', 'transfer'] },
    { stream: 'messages', until: '08:00', feeds: ['message'] },
    { stream: 'own', until: '09:00', feeds: ['session', 'transfer'], bot_id: 'b1' },
    { stream: 'sessions', until: '07:00', feeds: ['session', 'transfer'], account: 'other' },
  )
  const until = (rules: Rule[], bot_id = 'b1') => readingOf(marks, rules).reads([{ ...bot, bot_id }])[0]?.completeUntil
  expect(until([DEFAULT_RULE])).toBe(T('09:00'))
  expect(until([DEFAULT_RULE], 'b2')).toBe(T('10:00'))
  expect(until([DEFAULT_RULE, { ...DEFAULT_RULE, measure: 'messages_user' }])).toBe(T('08:00'))
})

test('a bot that no stream feeds, or of which a stream is not believed yet, is not read at all', () => {
  const marks = marksOf({ stream: 'messages', until: '08:00', feeds: ['message'] })
  expect(readingOf(marks, [DEFAULT_RULE]).reads([bot])).toEqual([{ ...bot, completeUntil: null }])
})

test('transfers of a bot are untold where its sessions are read and nothing can tell them', () => {
  const untold = readingOf(marksOf({ stream: 's', until: '10:00', feeds: ['session', 'no_transfer'] }), [DEFAULT_RULE])
  expect(['agent_transfers', 'sessions_agent', 'sessions'].map(measure => untold.isUntold(bot, measure as 'sessions'))).toEqual([
    true,
    true,
    false,
  ])
  const told = readingOf(marksOf({ stream: 's', until: '10:00', feeds: ['session', 'transfer'] }), [DEFAULT_RULE])
  expect(told.isUntold(bot, 'agent_transfers')).toBe(false)
})
