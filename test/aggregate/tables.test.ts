import { expect, test } from 'vitest'
import { createCells } from '../../src/aggregate/cells.ts'
import { blankContribution, USER } from '../../src/aggregate/contribution.ts'
import { hash128 } from '../../src/aggregate/hash.ts'
import { createRemembered } from '../../src/aggregate/remembered.ts'
import { createSeriesTable, seriesKey, seriesParts } from '../../src/aggregate/series.ts'
import { random } from './make.ts'

test('cells hold what a plain map holds, through growth and forgetting', () => {
  const r = random(7)
  const cells = createCells(16)
  const plain = new Map<string, number>()
  for (let horizon = 0; horizon < 5000; horizon += 1000) {
    cells.forgetBefore(horizon)
    for (const at of plain.keys()) if (Number(at.split('/')[1]) < horizon) plain.delete(at)
    for (let i = 0; i < 5000; i++) {
      const [series, minute] = [r.int(50), horizon + r.int(2000)]
      cells.add(cells.at(series, minute), 3, 1)
      plain.set(`${series}/${minute}`, (plain.get(`${series}/${minute}`) ?? 0) + 1)
    }
    expect(new Set(cells.dirty()).size).toBe(cells.dirty().length)
    cells.clean()
    const held = Array.from(
      { length: cells.size },
      (_, c) => [`${cells.seriesOf(c)}/${cells.minuteOf(c)}`, cells.count(c, 3)] as const,
    )
    expect(new Map(held)).toEqual(plain)
  }
})

test('a cell that was forgotten leaves nothing behind in the place it had', () => {
  const cells = createCells(16)
  for (let minute = 0; minute < 10; minute++) cells.raiseRevision(cells.at(1, minute))
  cells.forgetBefore(8)
  expect(cells.at(1, 5)).toBe(-1)
  const fresh = cells.at(1, 20)
  expect([cells.revision(fresh), cells.count(fresh, 0), cells.durationMs(fresh)]).toEqual([0, 0, 0])
})

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
