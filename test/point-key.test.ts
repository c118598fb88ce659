import { expect, test } from 'vitest'
import { pointKey, readPointKey } from '../src/point-key.ts'

const startMs = Date.parse('2026-10-20T10:00:00Z')

test.each([
  ['v|a|bot|web|es', 'a plain one'],
  ['v|a|me@example.com|web|', 'with an at sign'],
  ['v|a|2026-10-20T10:00:00.000Z@1h|web|@1d', 'that looks like the end of a key'],
  ['v|a|two\nlines|web|es', 'of two lines'],
])('a key has its series, start and length: %j, %s', seriesKey => {
  for (const bucket of ['1m', '1h', '1d'] as const)
    expect(readPointKey(pointKey(seriesKey, startMs, bucket))).toEqual({ seriesKey, startMs, bucket })
})

test('what is no key of a point has no parts', () => {
  for (const key of ['', 'x', 'x@y', 'x@2026-10-20T10:00:00.000Z@1w', '2026-10-20T10:00:00.000Z'])
    expect(readPointKey(key)).toBeNull()
})
