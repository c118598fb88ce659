import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  bool,
  channelOf,
  clean,
  instant,
  isPlaceholder,
  jsonOf,
  looseObject,
  number,
  realTime,
  text,
  texts,
  time,
  timeFault,
} from '../../src/source/index.ts'

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
    '16111509',
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
    8.64e21 + 1e6,
  ])('%s is no time', written => {
    expect(time(written)).toBeNull()
  })

  test.each([
    ['seconds', 1_611_150_939],
    ['seconds with a fraction', 1_611_150_939.184],
    ['milliseconds', 1_611_150_939_184],
    ['microseconds', 1_611_150_939_184_000],
    ['nanoseconds', 1_611_150_939_184_000_000],
    ['seconds in digits', '1611150939'],
    ['milliseconds in digits', ' 1611150939184 '],
    ['microseconds in digits', '1611150939184123'],
    ['nanoseconds in digits', '1611150939184123456'],
  ])('a number is read by its size: %s', (_, raw) => {
    expect(Math.trunc((time(raw) as number) / 1000)).toBe(1_611_150_939)
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

test('a NUL character is taken out of values, and is a sign in names, so that two stay two', () => {
  expect(clean('- \0null\0')).toBe('- null')
  expect(texts({ a: 'x\0', b: { c: 'y\0' } })).toEqual({ a: 'x', b: '{"c":"y"}' })
  expect(texts({ 'n\0ame': 'x', list: [{ 'k\0': '\0' }], said: [String.raw`\u0000`] })).toEqual({
    'n\u2400ame': 'x',
    list: '[{"k\u2400":""}]',
    said: String.raw`["\\u0000"]`,
  })
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

describe('a placeholder is no time', () => {
  const AT = Date.parse('2026-11-01T12:00:00Z')

  test.each([
    '0001-01-01T00:00:00Z',
    '0001-01-01T00:00:00',
    '0001-01-01 00:00:00',
    '0000-00-00 00:00:00',
    '0000-00-00T00:00:00Z',
    '1970-01-01',
    '1970-01-01T00:00:00.000Z',
    '1999-12-31T23:59:59.999Z',
    '',
    ' ',
    'null',
    '-',
    '0',
    '-1',
    0,
    -1,
    1,
    -62_135_596_800_000,
    '-62135596800000',
    946_684_799,
  ])('%j is not a time, whenever it was read', raw => {
    expect([instant(raw), isPlaceholder(raw), isPlaceholder(raw, AT)]).toEqual([null, true, true])
  })

  test.each(['9999-12-31', '9999-12-31T23:59:59Z', '9999-12-31 23:59:59', 253_402_300_799_000, AT + 86_400_001])(
    '%j lies too far ahead',
    raw => {
      expect([realTime(instant(raw), { observedAtMs: AT }), isPlaceholder(raw, AT)]).toEqual([null, true])
    },
  )

  test.each([
    ['2000-01-01', Date.UTC(2000, 0, 1)],
    ['2000-01-01T00:00:00', Date.UTC(2000, 0, 1)],
    [946_684_800, Date.UTC(2000, 0, 1)],
    ['2026-11-02T12:00:00Z', AT + 86_400_000],
  ])('%j is one', (raw, atMs) => {
    expect([realTime(instant(raw), { observedAtMs: AT }), isPlaceholder(raw, AT)]).toEqual([atMs, false])
  })

  test('words are no time, and no placeholder', () => {
    expect(['yesterday', {}, [], true].map(raw => [instant(raw), isPlaceholder(raw, AT)])).toEqual([
      [null, false],
      [null, false],
      [null, false],
      [null, false],
    ])
    expect([timeFault(undefined), timeFault('1970-01-01'), timeFault('yesterday')]).toEqual([
      'is missing',
      'is a placeholder, not a time',
      'is not a time',
    ])
  })
})

describe('names that objects have of themselves', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf']
  const raw = JSON.parse(`{${names.map(name => `${JSON.stringify(name)}:"a word"`).join()}}`) as Record<string, unknown>

  test('are kept as any other among texts, in JSON, and in a row that is read loosely', () => {
    for (const kept of [
      texts(raw),
      JSON.parse(jsonOf(raw, { sorted: true }) ?? ''),
      looseObject({ more: z.unknown().optional() }).parse(raw),
    ]) {
      expect(Object.keys(kept as object).toSorted()).toEqual(names.toSorted())
      expect(Object.getPrototypeOf(kept)).toBe(Object.prototype)
      for (const name of names) expect((kept as Record<string, unknown>)[name]).toBe('a word')
    }
    expect(looseObject({ a: z.string() }).safeParse({ a: 1 }).error?.issues).toMatchObject([
      { path: ['a'], code: 'invalid_type' },
    ])
  })
})

describe('JSON of a deep value', () => {
  const deep = (levels: number) => JSON.parse(`${'{"a":['.repeat(levels)}1${']}'.repeat(levels)}`) as unknown

  test('is cut off where it is nested too deep, whatever its depth', () => {
    expect(jsonOf(deep(32))).toBe(JSON.stringify(deep(32)))
    for (const levels of [33, 5_000, 100_000]) {
      for (const sorted of [false, true]) {
        const json = jsonOf(deep(levels), { sorted }) as string
        expect(json).toContain('deeper than 64 levels')
        expect(json.length).toBeLessThan(500)
      }
    }
    expect(texts({ deep: deep(50_000) })['deep']).toContain('deeper than 64 levels')
  })

  test('has its names in order if requested', () => {
    expect(jsonOf({ b: 1, a: { d: [{ f: 1, e: 2 }], c: 3 } }, { sorted: true })).toBe('{"a":{"c":3,"d":[{"e":2,"f":1}]},"b":1}')
  })
})
