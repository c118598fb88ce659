import { expect, test } from 'vitest'
import { cutDeep, isTooDeep, MOST_LEVELS, textOf } from '../../src/ingest/depth.ts'
import { isDeeper } from '../../src/source/json.ts'

test.each([
  ['text', 0],
  [null, 0],
  [[], 1],
  [{}, 1],
  [{ a: [1, { b: 'c' }], d: 'e' }, 3],
])('the depth of %j is %i', (value, depth) => {
  expect(isDeeper(value, depth)).toBe(false)
  if (depth > 0) expect(isDeeper(value, depth - 1)).toBe(true)
})

/** A list in a list in a list …, made without recursion. */
function nested(levels: number, innermost: unknown): unknown {
  let value = innermost
  for (let i = 0; i < levels; i++) value = [value]
  return value
}

test('a value of any depth has a text, the same for the same content only', () => {
  expect(textOf(nested(100_000, 'a'))).toBe(textOf(nested(100_000, 'a')))
  expect(textOf(nested(100_000, 'a'))).not.toBe(textOf(nested(100_000, 'b')))
  expect(textOf(nested(100_000, { a: 1, b: 2 }))).not.toBe(textOf(nested(100_000, { a: 2, b: 1 })))
  expect(textOf({ a: [1] })).toBe('{"a":[1]}')
  expect(textOf(undefined)).toBe('')
})

test('what is too deep is cut, and says so; the rest is the value itself', () => {
  const value = nested(MOST_LEVELS, 1)
  expect(cutDeep(value)).toBe(value)
  expect(JSON.stringify(cutDeep(nested(100_000, 1)))).toContain(`more than ${MOST_LEVELS} levels deep`)
  expect(isTooDeep(cutDeep(nested(100_000, 1)))).toBe(false)
})
