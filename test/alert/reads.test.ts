import { describe, expect, test } from 'vitest'
import { readingOf } from '../../src/alert/reads.ts'
import { DEFAULT_RULE, type Rule } from '../../src/rules.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { progressOf } from '../support/progress.ts'

const T = (clock: string) => Date.parse(`2026-11-01T${clock}:00Z`)
const never = () => undefined
const bot = { vendor: 'botmaker', account: 'acme', bot_id: 'b1' }

type Spec = {
  stream: string
  until: string
  feeds: string[]
  bot_id?: string | null
  account?: string
  covered?: [string, string][]
  /** Of the connector. */
  of?: number
}

function marksOf(...streams: Spec[]) {
  const marks = createWatermarks(() => true)
  for (const { stream, until, feeds, bot_id = null, account = 'acme', covered = [], of = null } of streams)
    marks.apply(
      progressOf({
        stream,
        scope: bot_id ?? account,
        vendor: 'botmaker',
        account,
        bot_id,
        window_until: T(until),
        complete_until: T(until),
        committed_at: T('23:00'),
        covered: covered.map(([from, to]) => ({ from: T(from), until: T(to) })),
        feeds,
        source_partitions: of,
      }),
    )
  return marks
}

test('a bot is read up to the least of the streams that feed the measures of the rules', () => {
  const marks = marksOf(
    { stream: 'sessions', until: '10:00', feeds: ['session', 'transfer'] },
    { stream: 'messages', until: '08:00', feeds: ['message'] },
    { stream: 'own', until: '09:00', feeds: ['session', 'transfer'], bot_id: 'b1' },
    { stream: 'sessions', until: '07:00', feeds: ['session', 'transfer'], account: 'other' },
  )
  const until = (rules: Rule[], bot_id = 'b1') => readingOf(marks, rules).reads([{ ...bot, bot_id }], never)[0]?.completeUntil
  expect(until([DEFAULT_RULE])).toBe(T('09:00'))
  expect(until([DEFAULT_RULE], 'b2')).toBe(T('10:00'))
  expect(until([DEFAULT_RULE, { ...DEFAULT_RULE, measure: 'messages_user' }])).toBe(T('08:00'))
})

test('a bot that no stream feeds, or of which a stream is not believed yet, is not read at all', () => {
  const marks = marksOf({ stream: 'messages', until: '08:00', feeds: ['message'] })
  expect(readingOf(marks, [DEFAULT_RULE]).reads([bot], never)).toEqual([{ ...bot, completeUntil: null }])
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

test('while a stream of the connector is not known yet, its bots are not read, and what is untold stays so', () => {
  const reading = readingOf(marksOf({ stream: 's', until: '10:00', feeds: ['session', 'no_transfer'], of: 2 }), [DEFAULT_RULE])
  expect(reading.reads([bot], never)).toEqual([{ ...bot, completeUntil: null }])
  expect(reading.isUntold(bot, 'agent_transfers')).toBe(true)
})

describe('while a backfill runs', () => {
  const feeds = ['session', 'transfer']
  const covered: [string, string][] = [
    ['00:00', '02:00'],
    ['09:00', '10:00'],
  ]
  const backfilling = marksOf({
    stream: 's',
    until: '02:00',
    feeds,
    covered,
  })
  const until = (judged: string | null, marks = backfilling, rules: Rule[] = [DEFAULT_RULE]) =>
    readingOf(marks, rules).reads([bot], () => (judged === null ? undefined : T(judged)))[0]?.completeUntil

  test('shares are judged up to where live has been read', () => {
    expect([until(null), until('09:30')]).toEqual([T('10:00'), T('10:00')])
  })

  test('counts wait for its end: hours that are not read yet would be taken for empty ones', () => {
    expect(until(null, backfilling, [DEFAULT_RULE, { ...DEFAULT_RULE, per: null }])).toBe(T('02:00'))
  })

  test('live is only read as far as all streams are', () => {
    const marks = marksOf(
      {
        stream: 's',
        until: '02:00',
        feeds,
        covered,
      },
      {
        stream: 't',
        until: '03:00',
        feeds,
        bot_id: 'b1',
        covered: [
          ['00:00', '03:00'],
          ['09:10', '09:40'],
        ],
      },
    )
    expect(until(null, marks)).toBe(T('09:40'))
  })

  test('a gap that an outage left is waited for, until what lies in it is too old to be raised', () => {
    const marks = marksOf({
      stream: 's',
      until: '02:00',
      feeds,
      covered: [
        ['00:00', '02:00'],
        ['09:00', '10:00'],
        ['10:20', '10:50'],
      ],
    })
    expect(until('10:00', marks)).toBe(T('10:00'))
    expect(until('09:40', marks)).toBe(T('10:50'))
  })
})
