import { expect, test } from 'vitest'
import { bucketOf, DAY_MINUTES, dayOf, minutesIn, sizeOf, startOf } from '../../src/aggregate/buckets.ts'
import { createCells } from '../../src/aggregate/cells.ts'
import { blankContribution, USER } from '../../src/aggregate/contribution.ts'
import { hash128 } from '../../src/aggregate/hash.ts'
import { createRemembered } from '../../src/aggregate/remembered.ts'
import { createSeriesTable, seriesKey, seriesParts } from '../../src/aggregate/series.ts'
import { pointKey, readPointKey } from '../../src/point-key.ts'
import { random } from './make.ts'

test('cells hold what a plain map holds, through growth, removal and shrinking', () => {
  const r = random(7)
  const cells = createCells(16)
  const plain = new Map<string, number>()
  for (let from = 0; from < 5000; from += 1000) {
    cells.each(cell => {
      const at = `${cells.seriesOf(cell)}/${cells.bucketOf(cell)}`
      if (cells.bucketOf(cell) >= from && r.chance(0.7)) return
      cells.remove(cell)
      plain.delete(at)
    })
    if (r.chance(0.5)) cells.fit()
    for (let i = 0; i < 5000; i++) {
      const [series, bucket] = [r.int(50), (from + r.int(2000)) * (r.chance(0.1) ? -1 : 1)]
      cells.add(cells.at(series, bucket), 3, 1)
      plain.set(`${series}/${bucket}`, (plain.get(`${series}/${bucket}`) ?? 0) + 1)
    }
    expect(new Set(cells.dirty()).size).toBe(cells.dirty().length)
    cells.clean()
    const held = new Map<string, number>()
    cells.each(cell => held.set(`${cells.seriesOf(cell)}/${cells.bucketOf(cell)}`, cells.count(cell, 3)))
    expect([held, cells.size]).toEqual([plain, plain.size])
    const wrong = [...plain].filter(([at, n]) => {
      const [series, bucket] = at.split('/').map(Number) as [number, number]
      return cells.count(cells.find(series, bucket), 3) !== n || cells.find(series + 50, bucket) !== -1
    })
    expect(wrong).toEqual([])
  }
})

test('a cell that was removed leaves nothing behind in the place it had', () => {
  const cells = createCells(16)
  for (let minute = 0; minute < 10; minute++) {
    const cell = cells.at(1, minute)
    cells.add(cell, 0, 7)
    cells.addDuration(cell, 7)
  }
  cells.clean()
  for (let minute = 0; minute < 8; minute++) cells.remove(cells.find(1, minute))
  expect(cells.find(1, 5)).toBe(-1)
  const fresh = cells.at(1, 20)
  expect([cells.revision(fresh), cells.count(fresh, 0), cells.durationMs(fresh)]).toEqual([0, 0, 0])
  expect([cells.size, cells.revision(cells.find(1, 9))]).toEqual([3, 1])
})

test('the table gives memory back when three quarters of it are free, and holds what it held', () => {
  const cells = createCells(16)
  for (let minute = 0; minute < 1000; minute++) cells.add(cells.at(1, minute), 0, minute)
  cells.clean()
  const before = cells.bytes
  expect(cells.fit()).toBe(false)
  for (let minute = 0; minute < 900; minute++) cells.remove(cells.find(1, minute))
  expect([cells.fit(), cells.bytes < before / 3, cells.size]).toEqual([true, true, 100])
  expect(cells.count(cells.find(1, 950), 0)).toBe(950)
})

test('a bucket says its size, its start and its day again', () => {
  const minute = Math.floor(Date.parse('2026-11-30T23:59:00Z') / 60_000)
  const shown = (['1m', '1h', '1d'] as const).map(size => {
    const bucket = bucketOf(size, minute)
    return [sizeOf(bucket), new Date(startOf(bucket)).toISOString(), minutesIn(bucket), dayOf(bucket) * DAY_MINUTES <= minute]
  })
  expect(shown).toEqual([
    ['1m', '2026-11-30T23:59:00.000Z', 1, true],
    ['1h', '2026-11-30T23:00:00.000Z', 60, true],
    ['1d', '2026-11-30T00:00:00.000Z', 1440, true],
  ])
})

test.each([
  ['v|a|b|web|', '1m', 'v|a|b|web|@2026-11-30T10:00:00.000Z'],
  ['v|a|b@1h|web|', '1h', 'v|a|b@1h|web|@2026-11-30T10:00:00.000Z@1h'],
  ['v|a|b|web|x@1d', '1m', 'v|a|b|web|x@1d@2026-11-30T10:00:00.000Z'],
  ['v|a|b|web|', '1d', 'v|a|b|web|@2026-11-30T10:00:00.000Z@1d'],
] as const)('the key of a point of %s in %s is %s, and says its parts again', (seriesKey, bucket, key) => {
  const startMs = Date.parse('2026-11-30T10:00:00Z')
  expect(pointKey(seriesKey, startMs, bucket)).toBe(key)
  expect(readPointKey(key)).toEqual({ seriesKey, startMs, bucket })
})

test('keys of points of one hour, of many and of years far away are as a date is written', () => {
  const r = random(9)
  const starts = Array.from({ length: 500 }, () => r.pick([0, 1_795_000_000_000, 100_000_000_000_000]) + r.int(200) * 60_000)
  const wrong = starts.filter(
    ms =>
      pointKey('s', Math.floor(ms / 60_000) * 60_000, '1m') !== `s@${new Date(Math.floor(ms / 60_000) * 60_000).toISOString()}`,
  )
  expect(wrong).toEqual([])
})

test.each(['', 'v|a|b|web|', 'v|a|b|web|@', 'v|a|b|web|@yesterday', 'v|a|b|web|@2026-11-30T10:00:00.000Z@1w'])(
  '%j is no key of a point',
  key => expect(readPointKey(key)).toBeNull(),
)

test('a million sessions take well under 200 MB, and each is found again', () => {
  const sessions = createRemembered()
  const keys = Array.from({ length: 1_000_000 }, (_, i) => `botmaker:acme:${(i * 7919).toString(36).padStart(24, 'x')}`)
  const bytes = (key: string) => Buffer.from(key)
  for (const [i, key] of keys.entries()) {
    const contribution = {
      revision: 1 + (i % 9),
      series: i % 100,
      started: i,
      ended: i + 1,
      durationMs: i,
      transfer: i + 2,
      containment: 1 + (i % 4),
      user: i % 2 === 0 ? USER.known : USER.unkept,
      userHigh: i,
      userLow: -i,
    }
    sessions.put(sessions.at(bytes(key)), contribution)
  }
  expect(sessions.size).toBe(1_000_000)
  expect(sessions.bytes).toBeLessThan(70e6)
  const into = blankContribution()
  for (const i of [0, 1, 499_999, 999_999]) {
    expect(sessions.read(sessions.find(bytes(keys[i] as string)), into)).toMatchObject({
      started: i,
      durationMs: i,
      containment: 1 + (i % 4),
      user: i % 2 === 0 ? USER.known : USER.unkept,
      userHigh: i,
      userLow: 0 - i,
    })
  }
  expect(sessions.find(bytes('botmaker:acme:unknown'))).toBe(-1)
})

test('the hash is MurmurHash3 x86 128', () => {
  const into = new Int32Array(4)
  hash128(Buffer.from('The quick brown fox jumps over the lazy dog'), into)
  expect([...into].map(n => (n >>> 0).toString(16).padStart(8, '0')).join('')).toBe('2f1583c3ecee2c675d7bf66ce5e91d2c')
})

test('every tail of a key counts', () => {
  const hashes = Array.from({ length: 64 }, (_, length) => {
    const into = new Int32Array(4)
    hash128(Buffer.alloc(length, 97), into)
    return into.join()
  })
  expect(new Set(hashes).size).toBe(64)
})

test('a series key says its parts again, whatever is in them', () => {
  const parts = ['v|x', 'a\\', '|', 'web', '\\|\\']
  const [vendor, account, bot_id, channel, language] = parts as [string, string, string, string, string]
  expect(seriesParts(seriesKey({ vendor, account, bot_id, channel, language }))).toEqual(parts)
  expect(seriesKey({ vendor: 'v', account: 'a', bot_id: 'b', channel: 'web', language: '' })).toBe('v|a|b|web|')
})

test('one series has one id, by its parts and by its key; two never share one', () => {
  const table = createSeriesTable()
  const a = table.idOf({ vendor: 'v', account: 'a', bot_id: 'b|c', channel: null, language: null })
  const b = table.idOf({ vendor: 'v', account: 'a|b', bot_id: 'c', channel: 'other', language: '' })
  expect(a).not.toBe(b)
  expect(table.idOf({ vendor: 'v', account: 'a', bot_id: 'b|c', channel: 'other', language: '' })).toBe(a)
  expect(table.idOfKey(table.get(b).key)).toBe(b)
  expect(table.idOfKey('v|a|new|web|en')).toBe(2)
  expect(table.get(2)).toMatchObject({ bot_id: 'new', channel: 'web', language: 'en' })
})
