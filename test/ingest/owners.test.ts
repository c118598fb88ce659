import { expect, test } from 'vitest'
import { Owners } from '../../src/ingest/owners.ts'

const POLL = 60_000
const fenced = (fencedAtMs: number, pollIntervalMs = POLL) => ({ fencedAtMs, pollIntervalMs })

test('a source partition whose owner lives is not free, however long its vendor gives nothing', () => {
  const owners = new Owners('me')
  owners.cursor('key', { worker: 'other' }, 0)
  for (let atMs = 0; atMs <= 3_600_000; atMs += 3_000) {
    owners.alive('other', atMs)
    expect(owners.isFree('key', fenced(0), atMs)).toBe(false)
  }
})

test('it is free ten seconds after its owner was seen last, whatever the poll interval', () => {
  const owners = new Owners('me')
  owners.cursor('key', { worker: 'other' }, 0)
  owners.alive('other', 1_000)
  expect(owners.isFree('key', fenced(0), 10_999)).toBe(false)
  expect(owners.isFree('key', fenced(0), 11_000)).toBe(true)
})

test('it is free at once when its owner said that it ends', () => {
  const owners = new Owners('me')
  owners.cursor('key', { worker: 'other' }, 0)
  owners.alive('other', 1_000)
  owners.ended('other')
  expect(owners.isFree('key', fenced(0), 1_001)).toBe(true)
})

test.each([
  ['names nobody', null],
  ['names a worker that was never seen', 'stranger'],
])('where the cursor %s, it must stand still for three poll intervals', (_, worker) => {
  const owners = new Owners('me')
  owners.cursor('key', worker === null ? null : { worker }, 1_000)
  expect(owners.isFree('key', fenced(0), 180_999)).toBe(false)
  expect(owners.isFree('key', fenced(0), 181_000)).toBe(true)
  owners.cursor('key', worker === null ? null : { worker }, 181_000)
  expect(owners.isFree('key', fenced(0), 181_001)).toBe(false)
})

test('it is free at once when its owner has released it, until another has it', () => {
  const owners = new Owners('me')
  owners.cursor('key', { worker: 'redrive', released: true }, 1_000)
  expect(owners.isFree('key', fenced(1_500), 1_501)).toBe(true)
  owners.cursor('key', { worker: 'other' }, 2_000)
  expect(owners.isFree('key', fenced(1_500), 2_001)).toBe(false)
})

test('fenced by a worker that ended before it committed anything, it is free after ten seconds', () => {
  const owners = new Owners('me')
  owners.cursor('key', { worker: 'me' }, 0)
  owners.alive('me', 20_000)
  owners.alive('other', 1_000)
  expect(owners.isFree('key', fenced(2_000), 11_999)).toBe(false)
  expect(owners.isFree('key', fenced(2_000), 12_000)).toBe(true)
  owners.alive('other', 11_000)
  expect(owners.isFree('key', fenced(2_000), 12_000)).toBe(false)
})

test('at least ten seconds, where polls are short', () => {
  const owners = new Owners('me')
  expect(owners.isFree('key', fenced(5_000, 1_000), 14_999)).toBe(false)
  expect(owners.isFree('key', fenced(5_000, 1_000), 15_000)).toBe(true)
})

test('workers that are gone are named once, this one never', () => {
  const owners = new Owners('me')
  owners.alive('me', 0)
  owners.alive('a', 0)
  owners.alive('b', 9_000)
  expect(owners.takeSilent(5_000, 10_000)).toEqual(['a'])
  expect(owners.takeSilent(5_000, 10_000)).toEqual([])
})
