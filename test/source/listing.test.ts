import { describe, expect, test } from 'vitest'
import { FlowError, listing, type ListPage, placeOf } from '../../src/source/index.ts'

interface Vendor {
  rows: readonly string[]
  readonly tells: 'total' | 'more' | 'nothing'
}

const idOf = (row: unknown) => String(row)

function pageOf({ rows, tells }: Vendor, skip: number, limit: number): ListPage {
  const page = rows.slice(skip, skip + limit)
  return {
    rows: page,
    total: tells === 'total' ? rows.length : null,
    more: tells === 'nothing' ? null : skip + page.length < rows.length,
  }
}

/** What is read when `change` comes after so many pages, and the task starts again there, from the place as it comes back from its cursor; a window that expires begins again. */
async function read(vendor: Vendor, limit: number, change: { after: number; rows: readonly string[]; restart: boolean }) {
  let read: unknown[] = []
  let place: unknown = null
  let expired = 0
  for (let pages = 0; ; ) {
    let done = false
    try {
      for await (const page of listing({ limit, idOf, from: placeOf(place), ask: async skip => pageOf(vendor, skip, limit) })) {
        read.push(...page.rows)
        place = JSON.parse(JSON.stringify(page.next))
        expect(JSON.stringify(place).length).toBeLessThan(200)
        pages++
        done = page.next === null
        if (pages !== change.after) continue
        vendor.rows = change.rows
        if (change.restart) break
      }
    } catch (thrown) {
      if (!(thrown instanceof FlowError) || thrown.code !== 'SRC_RESUME_EXPIRED') throw thrown
      expired++
      read = []
      place = null
    }
    if (done) return { read, expired }
  }
}

const BEFORE = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']

describe.each(['total', 'more', 'nothing'] as const)('a vendor that returns %s', tells => {
  describe.each([
    ['going on', false],
    ['started again in between', true],
  ])('%s', (_, restart) => {
    test.each([
      ['a row comes in front', ['z', ...BEFORE]],
      ['two rows go in front', BEFORE.slice(2)],
      ['one goes in front and another comes at the end', [...BEFORE.slice(1), 'z']],
      ['one goes at the end and another comes in front', ['z', ...BEFORE.slice(0, -1)]],
      ['all go', []],
      ['most go', ['a', 'b']],
    ])('misses no row that is there to the end when %s', async (_, rows) => {
      for (const limit of [2, 3, 4, 5])
        for (const after of [1, 2]) {
          const result = await read({ rows: BEFORE, tells }, limit, { after, rows, restart })
          const isOver = limit === 5 && after === 2
          const missing = isOver ? [] : rows.filter(row => !result.read.includes(row))
          expect(missing, `${limit} rows a page`).toEqual([])
        }
    })

    test('reads a listing that stays as it is once', async () => {
      for (const limit of [1, 2, 3, 9, 10]) {
        const result = await read({ rows: BEFORE, tells }, limit, { after: 1, rows: BEFORE, restart })
        expect(result).toEqual({ read: BEFORE, expired: 0 })
      }
    })
  })
})

test('rows without an id are identified by their content', async () => {
  const rows = [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }]
  const ask = (list: readonly unknown[]) => async (skip: number) => ({
    rows: list.slice(skip, skip + 2),
    total: null,
    more: skip + 2 < list.length,
  })
  const of = { limit: 2, idOf: () => null }
  const first = await listing({ ...of, ask: ask(rows) }).next()
  const from = first.done === true ? null : first.value.next
  await expect(listing({ ...of, from, ask: ask(rows.slice(1)) }).next()).rejects.toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
})

test('an invalid position, such as one of an older version, is ignored', () => {
  for (const value of [null, 'x', 3, { skip: 2, total: 3 }, { skip: 0, total: 3, first: 'a', last: 'b' }])
    expect(placeOf(value)).toBeNull()
})
