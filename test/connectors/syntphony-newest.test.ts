import { describe, expect, onTestFinished, test } from 'vitest'
import syntphony from '../../connectors/syntphony/index.ts'
import { newest } from '../../connectors/syntphony/newest.ts'
import { type Quirks, startSyntphonySimulator, type SyntphonySimulator } from '../../connectors/syntphony/simulator.ts'
import { BOTS, createWorld, type World } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { FlowError, type Json, type Page, type Stream } from '../../src/source/index.ts'
import { httpFor } from '../support/http.ts'

/** What a poll reads, newest first, holds what the checked listing holds, or else that one is read. */
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

interface Row {
  readonly id: string
  readonly atMs: number | null
}

type Change = (rows: Row[], asked: number) => Row[]

interface Options {
  readonly size?: number
  readonly counts?: boolean
  readonly between?: Change
}

/** A listing in memory, newest first. `between` may change the rows before each request but the first. */
class Vendor {
  rows: Row[]
  asked = 0
  readonly #between: Change
  readonly #size: number
  readonly #counts: boolean

  constructor(rows: Row[], { size = 10, counts = true, between }: Options = {}) {
    this.rows = rows
    this.#between = between ?? (same => same)
    this.#size = size
    this.#counts = counts
  }

  readonly ask = async (page: number) => {
    if (this.asked++ > 0) this.rows = this.#between(this.rows, this.asked)
    const content = this.rows.slice((page - 1) * this.#size, page * this.#size)
    return {
      content: content as unknown[],
      last: page * this.#size >= this.rows.length,
      total: this.#counts ? this.rows.length : null,
      pages: null,
      isOpen: false,
    }
  }

  listing(fromMs: number) {
    const startOf = (row: unknown) => (row as Row).atMs
    return { base: 1, ask: this.ask, keyOf: (row: unknown) => (row as Row).id, startOf, fromMs, rowsLeave: false }
  }

  async read(fromMs: number): Promise<{ ids: string[]; isWhole: boolean }> {
    const ids: string[] = []
    const pages = newest(this.listing(fromMs))
    for (;;) {
      const { done, value } = await pages.next()
      if (done) return { ids, isWhole: value }
      ids.push(...value.rows.map(row => (row as Row).id))
    }
  }
}

/** Rows r0, r1, … of which each began so much before the one in front of it; r0 at `NOW`. */
const NOW = Date.parse('2026-11-20T12:00:00Z')
const rowsOf = (count: number, stepMs = 2 * MINUTE): Row[] =>
  Array.from({ length: count }, (_, n) => ({ id: `r${n}`, atMs: NOW - n * stepMs }))
const idsOf = (count: number) => Array.from({ length: count }, (_, n) => `r${n}`)
const without = (rows: readonly Row[], id: string) => rows.filter(row => row.id !== id)
const withAt = (rows: readonly Row[], place: number, ...more: Row[]) => rows.toSpliced(place, 0, ...more)
const onceAt = (at: number, change: (rows: Row[]) => Row[]) => (rows: Row[], asked: number) =>
  asked === at ? change(rows) : rows

describe.each([true, false])('the newest rows, where the vendor counts: %s', counts => {
  test('are read up to the first page that ends with an older one', async () => {
    const vendor = new Vendor(rowsOf(400), { counts })
    // r30 is the last that is asked for; with the margin the fourth page, which ends with r39, ends it.
    expect(await vendor.read(NOW - HOUR)).toEqual({ ids: expect.arrayContaining(idsOf(31)), isWhole: true })
    // Uncounted, each page but the first has the one before it read again.
    expect(vendor.asked).toBe(counts ? 4 : 7)
  })

  test('end where a page ends with a row older than the margin, and not before', async () => {
    const at = (lastMs: number) => [
      ...rowsOf(9, 1000),
      { id: 'a', atMs: NOW - 20_000 },
      { id: 'b', atMs: lastMs },
      ...rowsOf(99, DAY),
    ]
    const vendor = (lastMs: number) => new Vendor(at(lastMs).slice(0, 30), { counts, size: 11 })
    const inside = vendor(NOW - HOUR - MINUTE)
    await inside.read(NOW - HOUR)
    expect(inside.asked).toBeGreaterThan(1)
    const outside = vendor(NOW - HOUR - MINUTE - 1)
    expect((await outside.read(NOW - HOUR)).isWhole).toBe(true)
    expect(outside.asked).toBe(1)
  })

  test('are all rows where few began', async () => {
    expect(await new Vendor(rowsOf(7, DAY), { counts }).read(NOW - HOUR)).toEqual({ ids: idsOf(7), isWhole: true })
    expect(await new Vendor([], { counts }).read(NOW - HOUR)).toEqual({ ids: [], isWhole: true })
  })

  test('come twice where new ones push them on, and those that showed meanwhile come, too', async () => {
    const added = [1, 2, 3].map(n => ({ id: `new${n}`, atMs: NOW + n * 1000 })).reverse()
    const vendor = new Vendor(rowsOf(400), { counts, between: onceAt(3, rows => [...added, ...rows]) })
    const { ids, isWhole } = await vendor.read(NOW - HOUR)
    expect(isWhole).toBe(true)
    expect(ids).toEqual(expect.arrayContaining(idsOf(31)))
    if (counts) expect(ids).toEqual(expect.arrayContaining(added.map(({ id }) => id)))
    expect(vendor.asked).toBeLessThan(10)
  })

  test.each([1, 9, 10, 14])('are not whole where a row went away before the page in hand: r%d', async gone => {
    const vendor = new Vendor(rowsOf(400), { counts, between: onceAt(counts ? 3 : 4, rows => without(rows, `r${gone}`)) })
    const { ids, isWhole } = await vendor.read(NOW - HOUR)
    expect(isWhole && !idsOf(31).every(id => ids.includes(id))).toBe(false)
    expect(isWhole).toBe(false)
  })

  test('are not whole where starts rise by more than the margin', async () => {
    const rising = (ms: number) => withAt(rowsOf(400), 15, { id: 'risen', atMs: NOW - 28 * MINUTE + ms })
    expect((await new Vendor(rising(MINUTE), { counts }).read(NOW - HOUR)).isWhole).toBe(true)
    expect((await new Vendor(rising(MINUTE + 1), { counts }).read(NOW - HOUR)).isWhole).toBe(false)
    expect((await new Vendor(rowsOf(400).reverse(), { counts }).read(NOW - HOUR)).isWhole).toBe(false)
  })

  test('are not taken to be in order because a few rows are, or begin at one time', async () => {
    const tied = Array.from({ length: 25 }, (_, n) => ({ id: `t${n}`, atMs: NOW - 3 * HOUR }))
    expect((await new Vendor([...tied, ...rowsOf(5)], { counts }).read(NOW - HOUR)).isWhole).toBe(false)
    const chance = [2, 3, 4].map(hours => ({ id: `c${hours}`, atMs: NOW - hours * HOUR }))
    expect((await new Vendor([...chance, ...rowsOf(40)], { counts, size: 3 }).read(NOW - HOUR)).isWhole).toBe(false)
  })

  test('are read past those without a start', async () => {
    const rows = withAt(rowsOf(400), 12, { id: 'timeless', atMs: null })
    const { ids, isWhole } = await new Vendor(rows, { counts }).read(NOW - HOUR)
    expect([isWhole, ids.includes('timeless'), idsOf(31).every(id => ids.includes(id))]).toEqual([true, true, true])
  })

  test('are not whole where equal starts stand otherwise on each page', async () => {
    const tied = rowsOf(400).map((row, n) => (n >= 8 && n < 12 ? { ...row, atMs: NOW - 16 * MINUTE } : row))
    const turned = (rows: Row[]) => [...rows.slice(0, 8), ...rows.slice(8, 12).reverse(), ...rows.slice(12)]
    const vendor = new Vendor(tied, { counts, between: onceAt(2, turned) })
    expect((await vendor.read(NOW - HOUR)).isWhole).toBe(false)
  })

  test('are not whole, and end, where each page is the first', async () => {
    const vendor = new Vendor(rowsOf(400), { counts })
    const pages = newest({ ...vendor.listing(NOW - HOUR), ask: () => vendor.ask(1) })
    let next = await pages.next()
    while (!next.done) next = await pages.next()
    expect(next.value).toBe(false)
  })

  test('are never said to be whole with one missing, whatever comes and goes in front', () => {
    const runs = Array.from({ length: 400 }, async (_, seed) => {
      const random = randomOf(seed)
      const pick = (most: number) => Math.floor(random() * most)
      let fresh = 0
      const between = (rows: Row[]) => {
        if (random() < 0.5) return rows
        // Both at once cannot be told apart where the vendor does not count.
        const shrinks = counts || seed % 2 === 0
        const grows = counts || seed % 2 === 1
        const added = Array.from({ length: grows ? pick(3) : 0 }, () => ({
          id: `new${fresh++}`,
          atMs: NOW + fresh * 1000,
        })).reverse()
        const gone = shrinks && random() < 0.3 ? rows[pick(40)]?.id : undefined
        return [...added, ...rows.filter(({ id }) => id !== gone)]
      }
      const vendor = new Vendor(rowsOf(120, (1 + pick(3)) * MINUTE), { counts, size: 3 + pick(12), between })
      const { rows } = vendor
      const { ids, isWhole } = await vendor.read(NOW - HOUR)
      const stayed = new Set(vendor.rows.map(({ id }) => id))
      const missing = rows.filter(({ id, atMs }) => (atMs ?? 0) >= NOW - HOUR && stayed.has(id) && !ids.includes(id))
      if (isWhole) expect(missing, `seed ${seed}`).toEqual([])
      return isWhole
    })
    return Promise.all(runs).then(whole => expect(new Set(whole)).toEqual(new Set([true, false])))
  })
})

test('late rows that show among the pages that were read come, too, where the vendor counts', async () => {
  const late = { id: 'late', atMs: NOW - 25 * MINUTE }
  const vendor = new Vendor(rowsOf(400), { between: onceAt(4, rows => withAt(rows, 13, late)) })
  const { ids, isWhole } = await vendor.read(NOW - HOUR)
  expect([isWhole, ids.includes('late')]).toEqual([true, true])
})

test('are not taken to be whole where rows leave and the vendor does not count', async () => {
  const wholeOf = async (counts: boolean) => {
    const pages = newest({ ...new Vendor(rowsOf(400), { counts }).listing(NOW - HOUR), rowsLeave: true })
    let next = await pages.next()
    while (!next.done) next = await pages.next()
    return next.value
  }
  expect([await wholeOf(true), await wholeOf(false)]).toEqual([true, false])
})

test('page 0 may be page 1', async () => {
  const vendor = new Vendor(rowsOf(400))
  const pages = newest({ ...vendor.listing(NOW - HOUR), base: 0, ask: page => vendor.ask(Math.max(1, page)) })
  const ids: string[] = []
  let next = await pages.next()
  for (; !next.done; next = await pages.next()) ids.push(...next.value.rows.map(row => (row as Row).id))
  expect([next.value, idsOf(31).every(id => ids.includes(id))]).toEqual([true, true])
})

const stream = syntphony.streams['conversations'] as Stream

/** One bot, 100 conversations an hour in pages of 20: as many pages as 500 an hour, 12,000 a day, in pages of 100. */
const DENSE = createWorld({ seed: 3, sessions: 700, bots: BOTS.slice(0, 1), fromMs: NOW - 7 * HOUR, untilMs: NOW })

async function vendorOf(world: World, quirks: Partial<Quirks> = {}, pageSize?: number) {
  const simulator = await startSyntphonySimulator({ world, now: () => NOW, quirks, ...(pageSize && { pageSize }) })
  onTestFinished(() => simulator.stop())
  return simulator
}

const listings = ({ log }: SyntphonySimulator) => log.filter(({ path }) => path.endsWith('conversations/list'))

/** The window's rows by their codes, as a poll at `nowMs` reads them; the first `most` pages. */
async function read(
  simulator: SyntphonySimulator,
  window: { fromMs: number; untilMs: number },
  { nowMs = NOW, most = Infinity, resume = null as Json, more = {} } = {},
) {
  const flat = { 'connector.class': 'syntphony', account: 'a', ...simulator.config, ...more }
  const parsed = parseConnectorConfig('s', flat, syntphony)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  const config = parsed.config as never
  const { http } = httpFor(syntphony.http(config), NOW)
  const [scope] = stream.scopes?.(config, 'a') ?? []
  const pages: Page[] = []
  if (scope === undefined || most <= 0) throw new Error('nothing to read')
  for await (const page of stream.read({ config, scope, window, resume, nowMs, http })) {
    pages.push(page)
    if (pages.length >= most) break
  }
  const codes = pages.flatMap(({ rows }) => rows.map(row => (row as { sessionCode: string }).sessionCode))
  return { pages, codes: [...new Set(codes)].toSorted() }
}

describe('a poll', () => {
  const sweep = { fromMs: NOW - HOUR, untilMs: NOW }
  /** As a window that lies back: by its whole days, oldest first. */
  const LATER = { nowMs: NOW + 10 * MINUTE }

  test('of a dense hour costs the pages of the hour, and tells what the whole days would', async () => {
    const simulator = await vendorOf(DENSE, {}, 20)
    const { codes } = await read(simulator, sweep)
    const cost = listings(simulator).length
    expect(new Set(listings(simulator).map(({ query }) => query['direction']))).toEqual(new Set(['DESC']))
    const checked = await read(simulator, sweep, LATER)
    expect(codes.length).toBeGreaterThan(60)
    expect(codes).toEqual(checked.codes)
    expect(cost).toBeLessThanOrEqual(Math.ceil(codes.length / 20) + 1)
    expect(listings(simulator).length - cost).toBeGreaterThan(30)
  })

  test.each<[string, Partial<Quirks>, Record<string, string>]>([
    ['as documented', {}, {}],
    ['days of a zone', {}, { timezone: '+09:30' }],
    ['times that count', { timePart: 'literal' }, {}],
    ['the vendor caps pages', { mostRows: 7 }, {}],
    ['a bare envelope', { envelope: 'bare' }, {}],
    ['newest first, whatever is asked for', { order: 'ignored' }, {}],
    ['oldest first, whatever is asked for', { order: 'oldest' }, {}],
    ['by code, whatever is asked for', { order: 'by_code' }, {}],
    ['many at one time', { startStepMs: 10 * MINUTE }, {}],
    ['all of four hours at one time', { startStepMs: 4 * HOUR }, {}],
    ['whole minutes', { startStepMs: MINUTE }, {}],
    ['page 0 is page 1', {}, { 'page.base': '0' }],
    ['pages from 0', { pageBase: 0 }, { 'page.base': '0' }],
    ['a row that shows between two pages', { betweenPages: 'row_shows' }, {}],
    ['a row that goes between two pages', { betweenPages: 'row_misses' }, {}],
  ])('tells what the whole days would: %s', async (_, quirks, more) => {
    const world = createWorld({ seed: 8, sessions: 240, bots: BOTS.slice(0, 1), fromMs: NOW - 30 * HOUR, untilMs: NOW })
    for (const fromMs of [NOW - HOUR, NOW - 5 * HOUR]) {
      const window = { fromMs, untilMs: NOW }
      const steady = await read(await vendorOf(world, { ...quirks, betweenPages: 'nothing' }, 10), window, { ...LATER, more })
      const simulator = await vendorOf(world, quirks, 10)
      expect((await read(simulator, window, { more })).codes).toEqual(steady.codes)
      if (fromMs < NOW - HOUR) expect(steady.codes.length).toBeGreaterThan(10)
    }
  })

  test('just after midnight lists both days', async () => {
    const nowMs = Date.parse('2026-11-20T00:10:00Z')
    const world = createWorld({ seed: 8, sessions: 400, bots: BOTS.slice(0, 1), fromMs: nowMs - DAY, untilMs: nowMs })
    const simulator = await startSyntphonySimulator({ world, now: () => nowMs, pageSize: 20 })
    onTestFinished(() => simulator.stop())
    const window = { fromMs: nowMs - HOUR, untilMs: nowMs }
    const { codes } = await read(simulator, window, { nowMs })
    expect(listings(simulator).length).toBeLessThan(5)
    expect(codes).toEqual((await read(simulator, window, { nowMs: nowMs + HOUR })).codes)
  })

  test('where the order is not kept reads the whole days, after one page', async () => {
    const simulator = await vendorOf(DENSE, { order: 'oldest' }, 20)
    const { codes } = await read(simulator, sweep)
    expect(
      listings(simulator)
        .map(({ query }) => query['direction'])
        .slice(0, 2),
    ).toEqual(['DESC', 'ASC'])
    expect(codes).toEqual((await read(simulator, sweep, LATER)).codes)
  })

  test('that was cut short begins anew, and nothing is missing', async () => {
    const simulator = await vendorOf(DENSE, {}, 20)
    const whole = await read(simulator, sweep)
    for (const most of [1, 2, 4]) {
      const { pages } = await read(simulator, sweep, { most })
      const resume = pages.at(-1)?.resume ?? null
      await expect(read(simulator, sweep, { resume })).rejects.toThrow(FlowError)
      await expect(read(simulator, sweep, { resume })).rejects.toMatchObject({ code: 'SRC_RESUME_EXPIRED' })
      expect((await read(simulator, sweep)).codes).toEqual(whole.codes)
    }
  })

  test.each([
    ['ends two minutes ago', NOW - HOUR, NOW - 2 * MINUTE],
    ['is long', NOW - 7 * HOUR, NOW],
  ])('by the whole days where the window %s', async (_, fromMs, untilMs) => {
    const simulator = await vendorOf(DENSE, {}, 20)
    await read(simulator, { fromMs, untilMs })
    expect(new Set(listings(simulator).map(({ query }) => query['direction']))).toEqual(new Set(['ASC']))
  })
})

/** Numbers from 0 to 1, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = (seed + 1) * 2_654_435_761
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9e3779b9) | 0
    return ((state ^ (state >>> 13)) >>> 0) / 4_294_967_296
  }
}
