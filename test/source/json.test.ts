import { describe, expect, test } from 'vitest'
import { parseJson } from '../../src/source/json.ts'

describe('a number that a double cannot hold keeps the digits of the vendor, as text', () => {
  test.each([
    ['12345678901234567890', '12345678901234567890'],
    ['-9007199254740993', '-9007199254740993'],
    ['9007199254740992', '9007199254740992'],
    ['12345678901234567.25', '12345678901234567.25'],
    ['9.007199254740993e15', '9.007199254740993e15'],
    ['1e400', '1e400'],
    ['-1E+400', '-1E+400'],
    ['{"a":[{"b": 12345678901234567890}]}', { a: [{ b: '12345678901234567890' }] }],
    ['[12345678901234567890,12345678901234567891]', ['12345678901234567890', '12345678901234567891']],
  ])('%s', (text, value) => {
    expect(parseJson(text)).toEqual(value)
  })
})

test.each(['9007199254740991', '-9007199254740991', '0.12345678901234567890', '1.5e3', '5e-324', '17', '1e15', '-0'])(
  'a number that fits stays a number: %s',
  text => {
    expect(parseJson(`{"n":${text},"large":12345678901234567890}`)).toEqual({ n: Number(text), large: '12345678901234567890' })
  },
)

test('digits inside strings and names are left alone, whatever quotes and slashes stand around them', () => {
  const value = {
    plain: '12345678901234567890',
    'name 12345678901234567890': 1,
    quoted: 'a "12345678901234567890", 12345678901234567891',
    slash: 'ends with a slash \\',
    after: '[12345678901234567890]',
    unicode: '\u0000\ud83d 12345678901234567890',
  }
  expect(parseJson(JSON.stringify({ ...value, large: 0 }).replace('"large":0', '"large": 12345678901234567890'))).toEqual({
    ...value,
    large: '12345678901234567890',
  })
})

test.each([
  '[12345678901234567890',
  '[012345678901234567890]',
  '[- 12345678901234567890]',
  '[12345678901234567890.]',
  '[12345678901234567890x]',
  '[12345678901234567890e]',
  '{12345678901234567890:1}',
  '"12345678901234567890',
])('what is no JSON stays an error: %s', text => {
  expect(() => parseJson(text)).toThrow(SyntaxError)
})

test('a name like __proto__ is a name, also beside a large number', () => {
  const parsed = parseJson('{"__proto__":{"a":12345678901234567890}}') as object
  expect(Object.keys(parsed)).toEqual(['__proto__'])
  expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype)
})

test('a value nested without measure is read without overflowing the stack', () => {
  let value: unknown = parseJson(`${'['.repeat(100_000)}12345678901234567890${']'.repeat(100_000)}`)
  while (Array.isArray(value)) value = value[0]
  expect(value).toBe('12345678901234567890')
})
