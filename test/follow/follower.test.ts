import { expect, test } from 'vitest'
import { pointOfKey } from '../../src/follow/follower.ts'

const AT = Date.parse('2026-10-20T10:00:00Z')

test.each([
  ['v|a|bot|web|es', 'a plain one'],
  ['v|a|me@example.com|web|', 'with an at sign'],
  ['v|a|2026-10-20T10:00:00.000Z@1h|web|@1d', 'that looks like the end of a key'],
  ['v|a|two\nlines|web|es', 'of two lines'],
])('a key names its series, start and length: %j, %s', seriesKey => {
  const of = (end: string) => pointOfKey(`${seriesKey}@2026-10-20T10:00:00.000Z${end}`)
  expect(of('')).toEqual({ seriesKey, bucketStartMs: AT, bucket: '1m' })
  expect(of('@1h')).toEqual({ seriesKey, bucketStartMs: AT, bucket: '1h' })
  expect(of('@1d')).toEqual({ seriesKey, bucketStartMs: AT, bucket: '1d' })
})

test('a key that is none of ours names no time', () => {
  for (const key of ['', 'x', 'x@y', 'x@2026', 'x@2026-10-20T10:00:00.000Z@1w'])
    expect(pointOfKey(key).bucketStartMs).toBe(Number.NaN)
})
