import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import {
  type Cursor,
  cursorKey,
  hasMoved,
  isUntold,
  NOTHING_SPENT,
  readCursor,
  readSpent,
  withRange,
  writeCursor,
} from '../../src/ingest/cursor.ts'

const T = (time: string) => Date.parse(`2026-11-${time}Z`)

const whole: Cursor = {
  startMs: T('01T00:00'),
  live: { atMs: T('20T10:00'), toMs: T('20T10:05'), resume: { page: 3, token: 'abc' } },
  backfill: { atMs: T('03T00:00'), toMs: T('04T00:00'), resume: 'next-page', untilMs: T('18T00:00'), beganMs: T('20T09:30') },
  lookback: {
    beganMs: T('20T09:00'),
    roundMs: T('20T09:30'),
    pass: {
      beganMs: T('20T09:50'),
      roundMs: T('20T09:51'),
      fromMs: T('18T00:00'),
      untilMs: T('19T12:00'),
      atMs: T('19T00:00'),
      toMs: T('19T12:00'),
      resume: 40,
    },
  },
  covered: [
    { from: T('01T00:00'), until: T('03T00:00') },
    { from: T('18T00:00'), until: T('20T10:00') },
  ],
  kept: { lookbackMs: 172_800_000, fromMs: T('02T00:00') },
}

test('a cursor is a flat JSON map of primitives, times in ISO, and reads back as it was', () => {
  const text = writeCursor(whole)
  expect(JSON.parse(text)).toEqual({
    format: 2,
    start: '2026-11-01T00:00:00.000Z',
    'live.until': '2026-11-20T10:00:00.000Z',
    'live.to': '2026-11-20T10:05:00.000Z',
    'live.resume.json': '{"page":3,"token":"abc"}',
    'backfill.from': '2026-11-03T00:00:00.000Z',
    'backfill.until': '2026-11-18T00:00:00.000Z',
    'backfill.began': '2026-11-20T09:30:00.000Z',
    'backfill.to': '2026-11-04T00:00:00.000Z',
    'backfill.resume': 'next-page',
    'lookback.began': '2026-11-20T09:00:00.000Z',
    'lookback.round': '2026-11-20T09:30:00.000Z',
    'lookback.ms': 172_800_000,
    'versions.from': '2026-11-02T00:00:00.000Z',
    'pass.began': '2026-11-20T09:50:00.000Z',
    'pass.round': '2026-11-20T09:51:00.000Z',
    'pass.from': '2026-11-18T00:00:00.000Z',
    'pass.until': '2026-11-19T12:00:00.000Z',
    'pass.at': '2026-11-19T00:00:00.000Z',
    'pass.to': '2026-11-19T12:00:00.000Z',
    'pass.resume': 40,
    covered: '2026-11-01T00:00:00.000Z/2026-11-03T00:00:00.000Z 2026-11-18T00:00:00.000Z/2026-11-20T10:00:00.000Z',
  })
  expect(readCursor(text, 0)).toEqual(whole)
})

test('what the vendor was asked stands with it, for the quota of the next process, and reads back as it was', () => {
  const spent = {
    requests: [
      { atMs: T('20T09:59'), count: 60 },
      { atMs: T('20T10:00'), count: 7 },
    ],
    untold: 4,
  }
  const text = writeCursor(whole, spent)
  expect(JSON.parse(text)['requests']).toBe('2026-11-20T09:59:00.000Z*60 2026-11-20T10:00:00.000Z*7 +4')
  expect(readSpent(text)).toEqual(spent)
  expect(readCursor(text, 0)).toEqual(whole)
  expect(readSpent(writeCursor(whole))).toEqual(NOTHING_SPENT)
})

test('a resume that is a string of JSON stays a string', () => {
  const cursor: Cursor = { ...whole, live: { ...whole.live, resume: '{"page":3}' } }
  expect(readCursor(writeCursor(cursor), 0).live.resume).toBe('{"page":3}')
})

test('the format says under which transactional id a cursor was written; one of a person, or of a former version, under the former', () => {
  expect(hasMoved(writeCursor(whole))).toBe(true)
  expect([null, '{"format":1,"live.until":0}', '{"live.until":0}'].map(hasMoved)).toEqual([false, false, false])
  expect(readCursor('{"format":1,"live.until":0}', 0).live.atMs).toBe(0)
  expect([isUntold(writeCursor(whole)), isUntold(writeCursor(whole, NOTHING_SPENT, true))]).toEqual([false, true])
})

test('the key is the one of Kafka Connect: compact JSON, stream before scope', () => {
  expect(cursorKey({ scope: 'acme', connector: 'acme-bots', stream: 'sessions' })).toBe(
    '["acme-bots",{"stream":"sessions","scope":"acme"}]',
  )
})

test('a person may write live.until alone, as ISO or epoch milliseconds', () => {
  for (const until of ['"2026-11-20T10:00:00Z"', String(T('20T10:00'))]) {
    expect(readCursor(`{"live.until":${until}}`, T('21T00:00'))).toEqual({
      startMs: T('20T10:00'),
      live: { atMs: T('20T10:00'), toMs: null, resume: null },
      backfill: null,
      lookback: { beganMs: T('21T00:00'), roundMs: T('21T00:00'), pass: null },
      covered: null,
    })
  }
})

describe('a cursor that cannot be read is CURSOR_INVALID and names the field', () => {
  test.each([
    ['not JSON', '{', 'value'],
    ['a list', '[]', 'value'],
    ['a deep value', '{"live.until":{"at":1}}', 'live.until'],
    ['no live edge', '{"format":1}', 'live.until'],
    ['another format', '{"format":3,"live.until":0}', 'format'],
    ['a lookback in words', '{"live.until":0,"lookback.ms":"2d"}', 'lookback.ms'],
    ['words for a time', '{"live.until":"yesterday"}', 'live.until'],
    ['half a backfill', '{"live.until":0,"backfill.from":0}', 'backfill.until'],
    ['a broken resume', '{"live.until":0,"live.to":5,"live.resume.json":"{"}', 'live.resume.json'],
    ['ranges that are none', '{"live.until":0,"covered":"a/b"}', 'covered'],
    ['requests without a number', '{"live.until":0,"requests":"2026-11-20T09:59:00Z*many"}', 'requests'],
    ['requests without a time', '{"live.until":0,"requests":"then*5"}', 'requests'],
  ])('%s', (_what, text, field) => {
    let thrown: unknown
    try {
      readCursor(text, 0)
      readSpent(text)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(FlowError)
    expect(thrown).toMatchObject({ code: 'CURSOR_INVALID', details: { field } })
  })
})

test('ranges that touch or overlap become one, others stay apart in order', () => {
  const ranges = [
    { from: 10, until: 20 },
    { from: 40, until: 50 },
  ]
  expect(withRange(ranges, { from: 20, until: 25 })).toEqual([
    { from: 10, until: 25 },
    { from: 40, until: 50 },
  ])
  expect(withRange(ranges, { from: 15, until: 45 })).toEqual([{ from: 10, until: 50 }])
  expect(withRange(ranges, { from: 0, until: 5 })).toEqual([{ from: 0, until: 5 }, ...ranges])
  expect(withRange(ranges, { from: 30, until: 30 })).toEqual(ranges)
})
