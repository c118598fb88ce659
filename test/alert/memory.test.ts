import { deflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { changesOf, formerMemory, rangesOf, readKey, timeRecords, timesIn } from '../../src/alert/memory.ts'

const MINUTE_MS = 60_000
const T = Date.parse('2026-11-01T12:00:00Z')
const bot = (vendor: string, account: string, id: string) => JSON.stringify([vendor, account, id])

test('times by bot come back as whole minutes, one record an account', () => {
  const times = { [bot('acme', 'a', '1')]: T, [bot('acme', 'a', '2')]: T + 61_000, [bot('acme', '"x"|y:ü', '1')]: T - 3_600_000 }
  const records = timeRecords('judged', times)
  expect([...records.keys()]).toEqual(['["judged","acme","a"]', String.raw`["judged","acme","\"x\"|y:ü"]`])
  expect(timesIn('judged', records)).toEqual({ ...times, [bot('acme', 'a', '2')]: T + MINUTE_MS })
  expect(timesIn('read', records)).toEqual({})
})

test('a bot that is behind all others by more than anything is looked at is forgotten', () => {
  const times = { [bot('acme', 'a', '1')]: T, [bot('acme', 'b', '1')]: T - 36 * 86_400_000 }
  expect([...timeRecords('judged', times).keys()]).toEqual(['["judged","acme","a"]'])
})

test('only records that changed are written, and a null for those that are not needed any more', () => {
  const written = new Map([
    ['same', '1'],
    ['other', '1'],
    ['gone', '1'],
  ])
  const records = new Map([
    ['same', '1'],
    ['other', '2'],
    ['new', '3'],
  ])
  expect([...changesOf(written, records)]).toEqual([
    ['other', '2'],
    ['new', '3'],
    ['gone', null],
  ])
  expect([...changesOf(written, records)]).toEqual([])
})

test('minutes are ranges', () => {
  expect(rangesOf([7, 3, 2, 9, 8])).toEqual([
    [2, 4],
    [7, 10],
  ])
})

test('what earlier versions kept in the metadata of offsets is carried over', () => {
  const pack = (value: unknown) => `1${deflateRawSync(JSON.stringify(value)).toString('base64url')}`
  const clock = JSON.stringify(['acme', 'a', '1'])
  const memory = {
    delays: { [JSON.stringify(['spike', 'acme', 'a'])]: [[1], [2]] },
    late: { [JSON.stringify(['spike', clock])]: [[0, 9]] },
  }
  expect(formerMemory(pack([[T / MINUTE_MS, bot('acme', 'a', '1')]]), pack(JSON.stringify(memory)))).toEqual(
    new Map([
      ['["judged","acme","a"]', `[[${T / MINUTE_MS},"1"]]`],
      ['["delays","spike","acme","a"]', '[[1],[2]]'],
      ['["late","spike","acme","a","1"]', '[[0,9]]'],
    ]),
  )
})

test.each(['', 'words of another', '1!!!', '1AAAA'])('metadata that is not ours (%j) says nothing', words => {
  expect(formerMemory(words, words)).toEqual(new Map())
})

test.each(['', 'x', '{}', '["other"]', '["judged",3]'])('a key that is not ours (%j) is none', key => {
  expect(readKey(key)).toBeNull()
})
