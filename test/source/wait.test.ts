import { describe, expect, onTestFinished, test } from 'vitest'
import { boundedWaitMs, retryAfterMs, waitBySize } from '../../src/source/wait.ts'

const NOW = Date.parse('2026-11-01T12:00:00Z')
const SOON = NOW + 30_000

describe('Retry-After', () => {
  test.each([
    '30',
    ' 30 ',
    '"30"',
    '30.0',
    '29.9999',
    '30 seconds',
    '30, 30',
    '10, 30, 20',
    '30;q=1',
    'soon, 30',
    String(SOON / 1000),
    String(SOON),
    String(SOON * 1000),
    'Sun, 01 Nov 2026 12:00:30 GMT',
    'Sun, 01 Nov 2026 12:00:30 UTC',
    'Sun, 01 Nov 2026 12:00:30',
    'sun, 1 nov 2026 12:00:30 gmt',
    '01 Nov 2026 12:00:30',
    'Sunday, 01-Nov-26 12:00:30 GMT',
    'Sunday, 01-Nov-26 12:00:30',
    'Sun Nov  1 12:00:30 2026',
    'Sun, 01 Nov 2026 07:00:30 -0500',
    'Sun, 01 Nov 2026 12:00:30 GMT, Sun, 01 Nov 2026 12:00:10 GMT',
    '2026-11-01T12:00:30Z',
    '2026-11-01T12:00:30',
    '2026-11-01 12:00:30',
    '2026-11-01T07:00:30-05:00',
    '2026-11-01T17:30:30+0530',
  ])('%s asks for 30 s, whatever the zone of the process', told => {
    const zone = process.env['TZ']
    onTestFinished(() => {
      if (zone === undefined) delete process.env['TZ']
      else process.env['TZ'] = zone
    })
    for (const each of ['America/Bogota', 'Asia/Tokyo', 'UTC']) {
      process.env['TZ'] = each
      expect(retryAfterMs({ 'retry-after': told }, NOW)).toBe(30_000)
    }
  })

  test.each([
    '',
    '0',
    '-5',
    '-1.5',
    '1e3',
    '0x1e',
    'NaN',
    'Infinity',
    'soon',
    'soon 5',
    'garbage 2099',
    String(NOW / 1000 - 5),
    String(NOW - 5000),
    'Sun, 01 Nov 2026 11:00:00 GMT',
    'Sun, 99 Nov 2026 12:00:30 GMT',
    'constructor',
    ','.repeat(10_000),
  ])('%s asks for no valid wait', told => {
    expect(retryAfterMs({ 'retry-after': told }, NOW)).toBeUndefined()
  })

  test('is not there', () => {
    expect(retryAfterMs({}, NOW)).toBeUndefined()
  })
})

test.each([
  [1.5, 1500],
  [86_400, 86_400_000],
  [SOON / 1000, 30_000],
  [SOON, 30_000],
  [SOON * 1000, 30_000],
  [0, undefined],
  [-1, undefined],
  [NaN, undefined],
  [Infinity, undefined],
])('the number %d is read by its size', (told, waitMs) => {
  expect(waitBySize(told, NOW)).toBe(waitMs)
})

test.each([
  [{ waitMs: 5.2 }, 6],
  [{ waitMs: 86_400_000 }, 900_000],
  [{ waitMs: 86_400_000, allowance: 'day' }, 3_600_000],
  [{ waitMs: 1000, allowance: 'day' }, 1000],
  [{ waitMs: -1 }, undefined],
  [{ waitMs: NaN }, undefined],
  [{ waitMs: '30' as never }, undefined],
  [{}, undefined],
])('the wait of %j is bounded', (asked, waitMs) => {
  expect(boundedWaitMs(asked)).toBe(waitMs)
})
