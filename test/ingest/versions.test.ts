import { describe, expect, test } from 'vitest'
import {
  Items,
  keyHash,
  type Known,
  knownBytes,
  Versions,
  writeKnown,
  writeReject,
  REJECT_BYTES,
} from '../../src/ingest/versions.ts'
import type { ReadRecord } from '../../src/kafka/port.ts'
import { draw } from './random.ts'

const name = { connector: 'acme', stream: 'sessions', scope: 'bot 1' }
const always = () => true
const mark = (text: string) => text.padEnd(16, '.')

function recordOf(key: string, value: Buffer | null): ReadRecord {
  return { offset: 7, timestamp: 0, key: Buffer.from(key), value, headers: {} }
}

function valueOf(known: Known): Buffer {
  const buffer = Buffer.alloc(knownBytes(known) + 10)
  expect(writeKnown(known, buffer, 5)).toBe(5 + knownBytes(known))
  return buffer.subarray(5, 5 + knownBytes(known))
}

const known: Known = {
  revision: 3,
  fingerprint: mark('\u00ff\u0000said'),
  botId: 'bót',
  otherBots: new Map([[123_456_789_012, 'øther']]),
  items: '0123456789abcdefghij',
  parts: null,
  hasGaps: false,
  untilMs: Date.parse('2026-11-20T12:00:00Z'),
  open: true,
}

test('a row reads back from its record as it was written', () => {
  const versions = new Versions(name)
  versions.load(recordOf(versions.rowKey('row "1"'), valueOf(known)), always)
  expect(versions.get('row "1"')).toEqual(known)
  expect(versions.rowKey('row "1"')).toBe('["acme","sessions","bot 1","row \\"1\\""]')
})

test('records of other source partitions are passed over, also of one whose name begins alike', () => {
  const versions = new Versions(name)
  for (const of of [
    { ...name, scope: 'bot 10' },
    { ...name, connector: 'acm' },
    { ...name, stream: 'sessions2' },
  ]) {
    versions.load(recordOf(new Versions(of).rowKey('x'), valueOf(known)), always)
  }
  versions.load(recordOf('[', null), always)
  expect(versions.size).toBe(0)
})

test('the newest record of a row counts; a null value, and one that is not needed any more, take the row away', () => {
  const versions = new Versions(name)
  const key = versions.rowKey('x')
  const load = (value: Buffer | null) => versions.load(recordOf(key, value), untilMs => untilMs > 10)
  load(valueOf({ ...known, revision: 1 }))
  load(valueOf({ ...known, revision: 2 }))
  expect(versions.get('x')?.revision).toBe(2)
  load(null)
  expect(versions.size).toBe(0)
  load(valueOf(known))
  load(valueOf({ ...known, untilMs: 10 }))
  expect(versions.size).toBe(0)
})

test('a reject is new once for one content, over a restart too', () => {
  const versions = new Versions(name)
  expect(versions.rejectedUntil(mark('a'))).toBeUndefined()
  versions.reject(mark('a'), 50)
  expect(versions.rejectedUntil(mark('a'))).toBe(50)
  const value = Buffer.alloc(REJECT_BYTES)
  writeReject(mark('a'), 50, value, 0)
  const later = new Versions(name)
  later.load(recordOf(versions.rejectKey(mark('a')), value), always)
  expect(later.rejectedUntil(mark('a'))).toBe(50)
  expect(later.rejectedUntil(mark('b'))).toBeUndefined()
})

test.each([
  ['no JSON', '["acme","sessions","bot 1",', Buffer.alloc(40, 1)],
  ['another format', '["acme","sessions","bot 1","x"]', Buffer.alloc(40, 9)],
  ['a short value', '["acme","sessions","bot 1","x"]', Buffer.from([1, 0])],
])('a record that is not ours to read is CODEC_INVALID with its offset: %s', (_what, key, value) => {
  expect(() => new Versions(name).load(recordOf(key, value), always)).toThrow(expect.objectContaining({ code: 'CODEC_INVALID' }))
})

test('memory is bounded by what is needed, however many rows have passed', () => {
  const versions = new Versions(name)
  let largest = 0
  for (let at = 0; at < 50_000; at++) {
    versions.set(`r${at}`, { ...known, untilMs: at })
    versions.reject(mark(`r${at}`), at)
    if (at % 100 === 0) versions.forget(untilMs => untilMs > at - 1000)
    largest = Math.max(largest, versions.size)
  }
  expect(largest).toBeLessThan(5000)
  expect(versions.get('r49999')).toBeDefined()
  expect(versions.get('r48999'), 'what is needed stays').toBeDefined()
})

describe('the time of a transfer', () => {
  const T1 = Date.parse('2026-11-09T01:30:00.123Z')
  const itemsWith = (...times: readonly number[]) => {
    const items = new Items()
    items.open('0123456789')
    for (const atMs of times) items.putTransfer(atMs)
    return items.close()
  }

  test('is told to the millisecond, as it was first put', () => {
    const versions = new Versions(name)
    versions.set('a', { ...known, items: itemsWith(T1, T1 + 1) })
    versions.set('b', { ...known, items: itemsWith() })
    expect(['a', 'b', 'c'].map(id => versions.transferredAt(id))).toEqual([T1, null, null])
  })

  test('stays when the row changes again', () => {
    const items = new Items()
    items.open(itemsWith(T1))
    items.putTransfer(T1 - 60_000)
    const versions = new Versions(name)
    versions.set('a', { ...known, items: items.close() })
    expect(versions.transferredAt('a')).toBe(T1)
  })
})

describe('items', () => {
  test('of one row come back whole, with the newest content of each, and none of the row before', () => {
    const items = new Items()
    const luck = draw(5)
    const model = new Map<number, number>()
    items.open('')
    for (let n = 0; n < 3000; n++) {
      const key = keyHash(1, `m${luck.between(0, 2000)}`)
      const content = luck.between(0, 2 ** 32 - 1)
      items.put(key, content)
      model.set(key, content)
    }
    const text = items.close()
    expect(text).toHaveLength(model.size * 10)
    items.open('')
    for (const key of model.keys()) expect(items.get(key)).toBeUndefined()
    items.open(text)
    for (const [key, content] of model) expect(items.get(key)).toBe(content)
  })

  test('keep their places when one changes and others come, so that what stands in a part stays in it', () => {
    const items = new Items()
    items.open('')
    for (const key of [3, 1, 2]) items.put(key, key)
    const before = items.close()
    items.open(before)
    items.put(1, 7)
    items.put(9, 9)
    const after = items.close()
    expect(after.slice(0, 10)).toBe(before.slice(0, 10))
    expect(after.slice(20, 30)).toBe(before.slice(20, 30))
    expect(after).toHaveLength(40)
  })

  test('have hashes of their own, for keys that differ in one sign and for kinds that share a key', () => {
    const hashes = new Set<number>()
    for (let n = 0; n < 200_000; n++) hashes.add(keyHash(2, `acme:account:session-${n >> 4}/m${n & 15}`))
    expect(hashes.size).toBe(200_000)
    expect(keyHash(2, 'same')).not.toBe(keyHash(3, 'same'))
    for (const hash of hashes) if (!(hash >= 0 && hash < 2 ** 48)) expect.fail(`${hash} is no 48 bits`)
  })
})
