import { expect, test } from 'vitest'
import { parseDuration, shownDuration } from '../src/durations.ts'

test.each([
  ['250ms', 250],
  ['90s', 90_000],
  ['15m', 900_000],
  ['1h', 3_600_000],
  ['1.5h', 5_400_000],
  ['14d', 1_209_600_000],
  [' 2 w ', 1_209_600_000],
  ['5y', 157_680_000_000],
])('%s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each([
  '',
  '15',
  '15M',
  '15 min',
  '-1h',
  '+1h',
  '0s',
  '0.0001ms',
  '1e3s',
  '101y',
  '9'.repeat(400) + 'd',
  '1h30m',
  'h',
  '٣h',
  '1 \n h',
])('%j is no duration', text => {
  expect(parseDuration(text)).toBeNull()
})

test('a duration is shown in its largest whole unit', () => {
  expect([250, 90_000, 900_000, 172_800_000, 1_209_600_000, 157_680_000_000].map(shownDuration)).toEqual([
    '250ms',
    '90s',
    '15m',
    '2d',
    '2w',
    '5y',
  ])
})
