import { describe, expect, test } from 'vitest'
import { bool, channelOf, clean, number, text, texts, time } from '../../src/source/index.ts'

describe('time', () => {
  test.each([
    '2026-11-01T00:00:00Z',
    '2024-02-29T23:59:59.999Z',
    '2000-02-29T00:00:00.000Z',
    '1969-12-31T23:59:59.001Z',
    '0001-01-01T00:00:00Z',
    '2026-12-31T24:00:00Z',
    '2026-11-01T00:00:00.1234567Z',
    '2026-11-01T00:00:00.5Z',
    '2026-11-01T00:00Z',
    '2026-11-01T02:30:00+05:30',
    '2026-11-01T02:30:00.250-03:00',
  ])('%s is read as Date.parse reads it', iso => {
    expect(time(iso)).toBe(Date.parse(iso))
    expect(time(iso)).not.toBeNaN()
  })

  test('every day of four centuries is read as Date.parse reads it', () => {
    const misread: string[] = []
    for (let ms = Date.parse('1799-12-31T12:34:56Z'); ms < Date.parse('2200-01-02T00:00:00Z'); ms += 86_400_000) {
      const iso = new Date(ms).toISOString()
      if (time(iso) !== ms) misread.push(iso)
    }
    expect(misread).toEqual([])
  })

  test.each(['2026-11-01 02:30:00 +0530', '2026-11-01t02:30:00+05:30', ' 2026-11-01T02:30:00,0+05:30 '])(
    '%s is read too',
    written => {
      expect(time(written)).toBe(Date.parse('2026-11-01T02:30:00+05:30'))
    },
  )

  test.each([
    '2026-11-01T00:00:00',
    '2026-11-01',
    '1611150939184',
    '',
    'null',
    '2026-02-30T00:00:00Z',
    '2023-02-29T00:00:00.000Z',
    '1900-02-29T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-01T25:00:00Z',
    '2026-11-01T24:00:01Z',
    '2026-11-01T00:60:00Z',
    '2026-11-01T00:00:60Z',
    '2026-11-0aT00:00:00Z',
    '2026-11-01T00:00:00,000Z'.replace('T', 'x'),
    '2026-11-01T00:00:00:000Z',
    null,
    undefined,
    NaN,
    Infinity,
    8.64e15 + 1,
  ])('%s is no time', written => {
    expect(time(written)).toBeNull()
  })

  test('a number is epoch milliseconds', () => {
    expect(time(1611150939184)).toBe(1611150939184)
    expect(time(1611150939184.9)).toBe(1611150939184)
    expect(time(-1)).toBe(-1)
  })
})

test.each([
  ['true', true],
  ['True', true],
  [true, true],
  [1, true],
  ['0', false],
  ['false', false],
  [false, false],
  ['null', null],
  ['', null],
  [2, null],
  [null, null],
])('bool(%j) is %s', (raw, value) => {
  expect(bool(raw)).toBe(value)
})

test.each([
  ['"null"', null],
  ['null', null],
  ['-', null],
  [' ', null],
  [null, null],
  [undefined, null],
  ['a\0b', 'ab'],
  ['\0', null],
  [' kept ', ' kept '],
  [12, '12'],
  ['nullable', 'nullable'],
])('text(%j) is %j', (raw, value) => {
  expect(text(raw)).toBe(value)
})

test.each([
  ['12', 12],
  [' -1.5 ', -1.5],
  ['.5', 0.5],
  ['1e3', 1000],
  [7, 7],
  ['-', null],
  ['', null],
  ['0x10', null],
  ['1,5', null],
  ['12 apples', null],
  [NaN, null],
  ['1e999', null],
  [true, null],
])('number(%j) is %s', (raw, value) => {
  expect(number(raw)).toBe(value)
})

test('a NUL character is taken out, everything else stays', () => {
  expect(clean('- \0null\0')).toBe('- null')
  expect(texts({ a: 'x\0', b: { c: 'y\0' } })).toEqual({ a: 'x', b: String.raw`{"c":"y\u0000"}` })
})

test.each([
  ['rtm', 'web'],
  ['webchat', 'web'],
  ['Web Chat', 'web'],
  ['widget', 'web'],
  ['web', 'web'],
  ['facebook', 'messenger'],
  ['Messenger', 'messenger'],
  ['ivr', 'voice'],
  ['ivrVoice', 'voice'],
  ['phone', 'voice'],
  ['WHATSAPP', 'whatsapp'],
  ['whatsapp_business', 'whatsapp'],
  ['ms-teams', 'msteams'],
  ['sms', 'sms'],
  ['kik', 'other'],
  ['微信', 'other'],
  ['', null],
  [' ', null],
  [null, null],
  ['constructor', 'other'],
])('the channel of %j is %s', (raw, channel) => {
  expect(channelOf(raw)).toBe(channel)
  expect(channelOf(raw)).toBe(channel)
})
