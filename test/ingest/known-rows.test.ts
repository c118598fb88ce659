import { describe, expect, test } from 'vitest'
import { type Known, KnownRows } from '../../src/ingest/known-rows.ts'
import { draw } from './random.ts'

const mark = (text: string) => text.padEnd(16, '.')
const known: Known = {
  revision: 1,
  fingerprint: mark('\u00ff\u0000said'),
  botId: 'bot 1',
  otherBots: null,
  items: '0123456789',
  parts: null,
  hasGaps: false,
  untilMs: 1_000,
  open: false,
}

test('rows of any kind come back as they were set, through changes, deletions and growth', () => {
  const luck = draw(11)
  const rows = new KnownRows()
  const model = new Map<string, Known>()
  const idOf = (n: number) => (n % 7 === 0 ? `žluť ${n}` : n % 5 === 0 ? `\u00fc${n}` : n % 11 === 0 ? `\ud800${n}` : `S-${n}`)
  for (let step = 0; step < 6_000; step++) {
    const id = idOf(luck.between(0, 600))
    const kind = luck.between(0, 19)
    if (kind === 0) {
      rows.delete(id)
      model.delete(id)
    } else {
      const of: Known = {
        revision: luck.between(1, 2 ** 31 - 1),
        fingerprint: mark(String(luck.between(0, 5))),
        botId: `bot ${luck.between(0, 3)}`,
        otherBots: kind === 1 ? new Map([[luck.between(0, 2 ** 40), 'øther']]) : null,
        items: '\u00fe123456789'.repeat(kind === 2 ? 200 : luck.between(0, 3)),
        parts: kind === 3 ? { itemsPerPart: 500, count: 2, writtenMs: 5 } : null,
        hasGaps: kind === 4,
        untilMs: luck.between(0, 1_000),
        open: kind === 5,
      }
      rows.set(id, of)
      model.set(id, of)
    }
    if (step % 1_200 === 1_199) {
      const isNeeded = (untilMs: number, open: boolean) => open || untilMs > 800
      rows.keep(isNeeded)
      for (const [name, of] of model) if (!isNeeded(of.untilMs, of.open)) model.delete(name)
    }
    if (step % 1_000 !== 0) continue
    expect(rows.size).toBe(model.size)
    for (let n = 0; n <= 600; n++) expect(rows.get(idOf(n))).toEqual(model.get(idOf(n)))
    const open = [...model].filter(([, of]) => of.open && of.untilMs > 300 && of.untilMs <= 900).map(([name]) => name)
    expect(rows.openBetween(300, 900, Infinity)).toEqual(open)
    const parted = [...model].filter(([, of]) => of.parts !== null).map(([name]) => name)
    expect([...rows.inParts()].map(([name]) => name).toSorted()).toEqual(parted.toSorted())
  }
})

test('two ids that differ in half a character are two rows', () => {
  const rows = new KnownRows()
  rows.set('a\ud800', { ...known, revision: 1 })
  rows.set('a\ud801', { ...known, revision: 2 })
  rows.set('a\ufffd', { ...known, revision: 3 })
  expect(['a\ud800', 'a\ud801', 'a\ufffd'].map(id => rows.get(id)?.revision)).toEqual([1, 2, 3])
})

test('a row is the same only with the fingerprint that it has now', () => {
  const rows = new KnownRows()
  expect(rows.isSame('a', known.fingerprint)).toBe(false)
  rows.set('a', known)
  expect(rows.isSame('a', known.fingerprint)).toBe(true)
  rows.set('a', { ...known, fingerprint: mark('else') })
  expect([known.fingerprint, mark('else'), ''].map(each => rows.isSame('a', each))).toEqual([false, true, false])
})

describe('when rows were read', () => {
  test('is noted of open rows, and a row that was read since is left out', () => {
    const rows = new KnownRows()
    rows.set('open', { ...known, open: true })
    rows.set('other', { ...known, open: true })
    rows.set('closed', known)
    for (const id of ['open', 'closed', 'unknown']) rows.saw(id, 50, null)
    expect(rows.openBetween(0, 1_000, 50)).toEqual(['other'])
    expect(rows.openBetween(0, 1_000, 51)).toEqual(['open', 'other'])
  })

  test('and the times of the vendor stay with their rows when rows are moved together', () => {
    const rows = new KnownRows()
    for (let n = 0; n < 1_000; n++) {
      rows.set(`r${n}`, { ...known, untilMs: n, open: n % 2 === 0 })
      rows.saw(`r${n}`, n, 7 * n)
    }
    rows.keep(untilMs => untilMs >= 900)
    expect(rows.size).toBe(100)
    expect(rows.timeOf('r950')).toBe(6_650)
    expect(rows.timeOf('r899')).toBeUndefined()
    expect(rows.openBetween(0, 1_000, 904)).toEqual(['r900', 'r902'])
  })
})

describe('memory', () => {
  // Counted from what is kept, not from what the process takes. Just above a power of two, arrays have the most room to spare.
  test('of 70,000 rows of one window is flat: less than 110 bytes each beside id and items', () => {
    const rows = new KnownRows()
    let own = 0
    for (let n = 0; n < 70_000; n++) {
      const id = `S-${String(n).padStart(12, '0')}`
      rows.set(id, known)
      own += id.length + known.items.length
    }
    expect((rows.bytes - own) / rows.size).toBeLessThan(110)
  })

  test('of rows that change, and of rows that are forgotten, comes back', () => {
    const rows = new KnownRows()
    for (let n = 0; n < 10_000; n++) rows.set(`r${n}`, known)
    const { bytes } = rows
    for (let n = 0; n < 50_000; n++) rows.set(`r${n % 10_000}`, { ...known, items: known.items.repeat(1 + (n % 3)) })
    expect(rows.bytes).toBeLessThan(4 * bytes)
    rows.keep(() => false)
    expect(rows.bytes).toBeLessThan(4_096)
  })

  test('of few rows is small: a process may own a thousand source partitions', () => {
    const rows = new KnownRows()
    for (let n = 0; n < 10; n++) rows.set(`r${n}`, known)
    expect(rows.bytes).toBeLessThan(2_048)
  })
})
