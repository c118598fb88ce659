import { DateTime } from 'luxon'
import { expect, test } from 'vitest'
import { type Bucket, edgesOf, isoIn, zoneOf } from '../../src/serve/buckets.ts'
import { seeded, T } from './points.ts'

function edges(bucket: Bucket, tz: string, from: string, until: string, before = 0): string[] {
  const zone = zoneOf(tz)
  if (!zone) throw new Error(`no zone ${tz}`)
  return edgesOf(bucket, zone, T(from), T(until), before, 50_000).map(each => isoIn(zone, each))
}

test('a day of the spring change has 23 hours, one of the autumn change 25', () => {
  const spring = edges('1h', 'Europe/Madrid', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z')
  expect(spring).toHaveLength(24)
  expect(spring.slice(1, 4)).toEqual([
    '2026-03-29T01:00:00.000+01:00',
    '2026-03-29T03:00:00.000+02:00',
    '2026-03-29T04:00:00.000+02:00',
  ])
  const autumn = edges('1h', 'Europe/Madrid', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z')
  expect(autumn).toHaveLength(26)
  expect(autumn.slice(2, 5)).toEqual([
    '2026-10-25T02:00:00.000+02:00',
    '2026-10-25T02:00:00.000+01:00',
    '2026-10-25T03:00:00.000+01:00',
  ])
  expect(edges('1d', 'Europe/Madrid', '2026-10-24T22:00:00Z', '2026-10-26T00:00:00Z')).toEqual([
    '2026-10-25T00:00:00.000+02:00',
    '2026-10-26T00:00:00.000+01:00',
    '2026-10-27T00:00:00.000+01:00',
  ])
})

test('weeks begin on Monday, months on the first, across changes of the clock', () => {
  expect(edges('1w', 'America/New_York', '2026-11-01T12:00:00Z', '2026-11-09T05:00:00Z')).toEqual([
    '2026-10-26T00:00:00.000-04:00',
    '2026-11-02T00:00:00.000-05:00',
    '2026-11-09T00:00:00.000-05:00',
  ])
  expect(edges('1M', 'Europe/Madrid', '2026-02-10T00:00:00Z', '2026-04-01T00:00:00Z', 2)).toEqual([
    '2025-12-01T00:00:00.000+01:00',
    '2026-01-01T00:00:00.000+01:00',
    '2026-02-01T00:00:00.000+01:00',
    '2026-03-01T00:00:00.000+01:00',
    '2026-04-01T00:00:00.000+02:00',
    '2026-05-01T00:00:00.000+02:00',
  ])
  expect(edges('1w', 'UTC', '1969-12-28T00:00:00Z', '1970-01-05T00:00:00Z')).toEqual([
    '1969-12-22T00:00:00.000Z',
    '1969-12-29T00:00:00.000Z',
    '1970-01-05T00:00:00.000Z',
  ])
})

test('a day whose midnight is skipped starts later; where midnight comes twice the first is its start', () => {
  expect(edges('1d', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T13:00:00Z')).toEqual([
    '2018-11-04T01:00:00.000-02:00',
    '2018-11-05T00:00:00.000-02:00',
  ])
  expect(edges('1d', 'America/Sao_Paulo', '2018-02-17T12:00:00Z', '2018-02-18T12:00:00Z')).toEqual([
    '2018-02-17T00:00:00.000-02:00',
    '2018-02-18T00:00:00.000-03:00',
    '2018-02-19T00:00:00.000-03:00',
  ])
  expect(edges('1d', 'America/Havana', '2025-11-02T12:00:00Z', '2025-11-02T13:00:00Z')).toEqual([
    '2025-11-02T00:00:00.000-04:00',
    '2025-11-03T00:00:00.000-05:00',
  ])
})

test('a calendar day that a zone left out has no bucket', () => {
  expect(edges('1d', 'Pacific/Apia', '2011-12-29T12:00:00Z', '2011-12-30T12:00:00Z')).toEqual([
    '2011-12-29T00:00:00.000-10:00',
    '2011-12-31T00:00:00.000+14:00',
    '2012-01-01T00:00:00.000+14:00',
  ])
})

test('hours follow the local clock where its offset is no whole hour', () => {
  expect(edges('1h', 'Asia/Kathmandu', '2026-11-01T00:30:00Z', '2026-11-01T01:00:00Z')).toEqual([
    '2026-11-01T06:00:00.000+05:45',
    '2026-11-01T07:00:00.000+05:45',
  ])
})

test('where the clock changes by half an hour, an hour is cut and none is lost', () => {
  expect(edges('1h', 'Australia/Lord_Howe', '2026-04-04T14:00:00Z', '2026-04-04T16:00:00Z')).toEqual([
    '2026-04-05T01:00:00.000+11:00',
    '2026-04-05T01:30:00.000+10:30',
    '2026-04-05T02:00:00.000+10:30',
    '2026-04-05T03:00:00.000+10:30',
  ])
  expect(edges('1h', 'Australia/Lord_Howe', '2026-04-04T15:10:00Z', '2026-04-04T15:20:00Z', 1)).toEqual([
    '2026-04-05T01:00:00.000+11:00',
    '2026-04-05T01:30:00.000+10:30',
    '2026-04-05T02:00:00.000+10:30',
  ])
})

test('edges agree with the calendar of luxon, for every bucket, zone and start', () => {
  const random = seeded(5)
  const units = { '1d': 'day', '1w': 'week', '1M': 'month', '1h': 'hour' } as const
  for (const tz of [
    'UTC',
    'Europe/London',
    'America/Bogota',
    'America/St_Johns',
    'Australia/Sydney',
    'Asia/Kolkata',
    'Africa/Casablanca',
  ]) {
    for (const [bucket, unit] of Object.entries(units) as [Bucket, 'day' | 'week' | 'month' | 'hour'][]) {
      for (let n = 0; n < 20; n++) {
        const from = T('2020-01-01T00:00:00Z') + Math.floor(random() * 220_000_000) * 1000
        const zone = zoneOf(tz)
        if (!zone) throw new Error(tz)
        const before = Math.floor(random() * 4)
        const got = edgesOf(bucket, zone, from, from + 1, before, 100)
        const start = DateTime.fromMillis(from, { zone: tz }).startOf(unit)
        const expected = Array.from({ length: before + 2 }, (_, step) => start.plus({ [unit]: step - before }).toMillis())
        expect({ tz, bucket, from, got }).toEqual({ tz, bucket, from, got: expected })
      }
    }
  }
})

test('buckets of minutes and hours never leave a gap and never run backwards', () => {
  for (const tz of ['Australia/Lord_Howe', 'Europe/Madrid', 'America/St_Johns']) {
    for (const bucket of ['1m', '5m', '15m', '1h'] as const) {
      const zone = zoneOf(tz)
      if (!zone) throw new Error(tz)
      for (const day of ['2026-04-04', '2026-03-28', '2026-10-24', '2026-10-03', '2026-10-31', '2026-03-07']) {
        const from = T(`${day}T00:07:00Z`)
        const all = edgesOf(bucket, zone, from, from + 2 * 86_400_000, 3, 50_000)
        expect(all[3]).toBeLessThanOrEqual(from)
        expect(all[4]).toBeGreaterThan(from)
        expect(all.at(-1)).toBeGreaterThanOrEqual(from + 2 * 86_400_000)
        expect(all.at(-2)).toBeLessThan(from + 2 * 86_400_000)
        for (const [index, edge] of all.slice(1).entries()) expect(edge).toBeGreaterThan(all[index] ?? 0)
      }
    }
  }
})

test('a name that is no time zone is refused', () => {
  expect(zoneOf('Mars/Olympus')).toBeNull()
  expect(zoneOf('')).toBeNull()
})
