import { describe, expect, test } from 'vitest'
import { ambiguousName, parseJson } from '../../src/source/json.ts'

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

test('digits inside strings and names are not changed, whatever quotes and slashes surround them', () => {
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
])('invalid JSON stays an error: %s', text => {
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

describe('a name that occurs twice in an answer', () => {
  const found = (text: string) => ambiguousName(text, JSON.parse(text))
  test.each([
    ['{"items":[1],"items":[]}', 'items'],
    ['{ "items" : [{"a":"}"}] ,\n "n":1, "items"\t:null }', 'items'],
    ['{"next":"a","items":[],"next":null}', 'next'],
    [`{"items":[],${Array.from({ length: 60 }, (_, at) => `"f${at}":"items",`).join('')}"f7":1}`, 'f7'],
    ['{"a\\"b":1,"a\\"b":2}', 'a"b'],
  ])('%j', (text, name) => expect(found(text)).toBe(name))

  test.each([
    '{"items":[1],"items":[1]}',
    '{"items":[{"items":1},{"items":2}],"n":"items"}',
    '{"id":"x","items":[{"id":"y","n":{"id":"z"}}]}',
    '{"a":"\\\\","b":"{\\"a\\":1}","c":["a","a"]}',
    '[{"a":1,"a":2}]',
    '{}',
    '"a"',
    'null',
  ])('but not in %s', text => expect(found(text)).toBe(null))
})
