/**
 * The newest rows of a listing, newest first: a poll then costs the pages of its window, not those of the whole day. An added row pushes others to the next
 * page, so they come twice; only a removed row, or a violated order, can hide one. Each page is checked for both.
 */
import type { Page } from '../../src/source/index.ts'
import { isLastPage, type Listing } from './paging.ts'

export interface NewestListing extends Listing {
  /** When the row's conversation began, epoch milliseconds; null: unknown. */
  readonly startOf: (row: unknown) => number | null
  /** Rows that began before this are not wanted. */
  readonly fromMs: number
  /** Rows leave the listing regularly: it is not complete unless the vendor counts them. */
  readonly rowsLeave: boolean
}

/** How much a start may rise, because an order by whole seconds or minutes counts, too; and how much older than `fromMs` the row is that ends the read. */
const MARGIN_MS = 60_000
/** An order is trusted when starts fell this often and never rose: a few rows may be in order by chance, or begin at one time. */
const TRUSTED_FALLS = 10

/**
 * Pages, newest first, up to one that ends with a row older than `fromMs`; rows may come twice. They contain every row that was visible at the first request
 * and began at `fromMs` or later.
 *
 * The proof: rows in order fill the first positions of the listing. A row at a later position than the pages read so far stays there unless rows before it are
 * removed, and then the vendor's count falls, or rises by less than the number of repeated rows (if equal starts had another order each time, rows would be
 * repeated, too). If the vendor does not count, the page before is read again: a row that slipped to it is there, unless an added one pushes it back in the
 * same moment.
 *
 * @returns False if that cannot be proven. The pages so far are good, but the listing must be read in another order.
 */
export async function* newest(listing: NewestListing): AsyncGenerator<Page, boolean> {
  const { base, ask, keyOf } = listing
  const order = new Order(listing)
  const seen = new Set<string>()
  let firstTotal: number | null = null
  let total: number | null = null
  let before: readonly string[] = []
  for (let page = base; ; page++) {
    const answer = await ask(page)
    const keys = answer.content.map(keyOf)
    // A vendor whose pages begin at 1 may answer page 0 like page 1.
    if (base === 0 && page === 1 && keys.length > 0 && keys.join() === before.join()) continue
    if (!order.holds(answer.content.filter(row => !seen.has(keyOf(row))))) return false
    const repeats = new Set(keys.filter(key => seen.has(key))).size
    const addsNothing = keys.length > 0 && keys.every(key => seen.has(key))
    for (const key of keys) seen.add(key)
    const growth = total === null || answer.total === null ? null : answer.total - total
    if (growth === null ? addsNothing : growth < 0 || repeats > growth) return false
    if (growth === null && page > base && listing.rowsLeave) return false
    const again = growth === null && page > base ? (await ask(page - 1)).content : []
    if (hasSlipped(again.map(keyOf), page - 1 === base, seen)) return false
    for (const row of again) seen.add(keyOf(row))
    firstTotal ??= answer.total
    total = answer.total
    before = keys
    const isLast = isLastPage(answer, page - base, seen.size)
    const isEnd = isLast || order.hasPassed
    const added = isEnd && total !== null && firstTotal !== null ? await addedRows(listing, page, total - firstTotal, seen) : []
    if (isLast && total !== null && seen.size < total) return false
    yield { rows: [...answer.content, ...again, ...added], resume: isEnd ? null : { newest: page + 1 } }
    if (isEnd) return true
  }
}

/** Whether a resume is of a page of `newest`: such a read begins again. */
export function isOfNewest(resume: unknown): boolean {
  return typeof resume === 'object' && resume !== null && 'newest' in resume
}

/** Each row began no later than the ones before it, within a margin. Rows that were pushed on are checked once; those without a start are skipped. */
class Order {
  readonly #listing: NewestListing
  #oldestMs = Infinity
  #falls = 0

  constructor(listing: NewestListing) {
    this.#listing = listing
  }

  holds(rows: readonly unknown[]): boolean {
    for (const row of rows) {
      const atMs = this.#listing.startOf(row)
      if (atMs === null) continue
      if (atMs > this.#oldestMs + MARGIN_MS) return false
      if (atMs < this.#oldestMs && this.#oldestMs < Infinity) this.#falls++
      this.#oldestMs = Math.min(this.#oldestMs, atMs)
    }
    return true
  }

  /** All further rows are older than `fromMs`. */
  get hasPassed(): boolean {
    return this.#falls >= TRUSTED_FALLS && this.#oldestMs < this.#listing.fromMs - MARGIN_MS
  }
}

/**
 * Whether a page that is read again has rows that were on no page before: they slipped to it when others were removed. Those at the top of the first page are
 * new.
 */
function hasSlipped(keys: readonly string[], isFirst: boolean, seen: ReadonlySet<string>): boolean {
  const top = isFirst ? keys.findIndex(key => seen.has(key)) : 0
  return keys.slice(Math.max(0, top)).some(key => !seen.has(key))
}

/** The rows that were added while the pages up to `page` were read: `count` of them, from the first page on, where new rows are. */
async function addedRows({ base, ask, keyOf }: Listing, page: number, count: number, seen: Set<string>): Promise<unknown[]> {
  const rows: unknown[] = []
  for (let again = base; again <= page && rows.length < count; again++) {
    for (const row of (await ask(again)).content) {
      if (seen.has(keyOf(row))) continue
      seen.add(keyOf(row))
      rows.push(row)
    }
  }
  return rows
}
