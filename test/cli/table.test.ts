import { expect, test } from 'vitest'
import { oneLine, table } from '../../src/cli/table.ts'

test('columns are aligned by what a terminal shows, also of wide characters, and nothing trails', () => {
  expect(
    table(
      ['NAME', 'STATE'],
      [
        ['客服', 'RUNNING'],
        ['acme', ''],
      ],
    ),
  ).toEqual(['NAME  STATE', '客服  RUNNING', 'acme'])
})

test('a table without rows is its heads', () => {
  expect(table(['NAME', 'STATE'], [])).toEqual(['NAME  STATE'])
})

test('numbers are set to the right', () => {
  expect(
    table(
      ['vendor', 'sessions'],
      [
        ['a', '6,430'],
        ['b', '7'],
      ],
      { numbers: true },
    ),
  ).toEqual(['vendor  sessions', 'a          6,430', 'b              7'])
})

test('a cell of others stays on its line, without escape sequences, and is cut', () => {
  expect(table(['A', 'B'], [['x\ny\x1b[31m', 'z'.repeat(100)]], { widest: 5 })).toEqual(['A      B', 'x y …  zzzz…'])
  expect(oneLine('a\r\nb')).toBe('a b')
})
