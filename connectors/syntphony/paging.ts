/**
 * Pages by number over a listing that changes while it is read. Rows come oldest first, so new ones are added at the end; but a row that appears late is sorted
 * into its place and pushes those after it, and a removed row pulls them back. Both are noticed by what neighbouring pages share.
 */
import { z } from 'zod'
import { FlowError, type Page } from '../../src/source/index.ts'
import type { ListPage } from './rows.ts'

/** Where a listing continues: the next page, how many different rows came before it, the vendor's total, the last row's key. */
const ListPosition = z.object({ page: z.int(), rows: z.int(), total: z.number().nullable(), last: z.string().nullable() })
type ListPosition = z.output<typeof ListPosition>

export interface Listing {
  /** Number of the first page. */
  readonly base: number
  readonly ask: (page: number) => Promise<ListPage>
  readonly keyOf: (row: unknown) => string
}

/**
 * All pages; rows that moved from one to the next come more than once. When rows were pushed on, the pages before are read again, back to one that still begins
 * with the same row: the new row is in it. If the vendor does not count its rows, the page before is always read again.
 *
 * @throws FlowError SRC_RESUME_EXPIRED when rows were removed between two pages, SRC_MALFORMED when a page repeats others or the vendor counts more rows than
 *   it returns: a listing with missing rows never ends as if it were complete.
 */
export async function* listed(listing: Listing, resume: unknown): AsyncGenerator<Page> {
  const { base, ask, keyOf } = listing
  const place: ListPosition = resume === null ? { page: base, rows: 0, total: null, last: null } : placeOf(resume)
  const seen = new Set(place.last === null ? [] : [place.last])
  const before = place.rows - seen.size
  const heads = new Map<number, string>()
  let { total, last } = place
  let moved = false
  for (let { page } = place; ; page++) {
    const answer = await ask(page)
    const keys = answer.content.map(keyOf)
    if (total !== null && answer.total !== null && answer.total < total) throw shrunk(page)
    total = answer.total ?? total
    const isShifted = page > base && keys.some(key => seen.has(key))
    const addsNothing = keys.every(key => seen.has(key))
    if (keys[0] !== undefined) heads.set(page, keys[0])
    for (const key of keys) seen.add(key)
    const isLast = isLastPage(answer, page - base, before + seen.size)
    // A vendor whose pages begin at 1 may answer page 0 like page 1.
    if (isShifted && addsNothing && !isLast && !(base === 0 && page === 1))
      throw new FlowError('SRC_MALFORMED', { page, hint: 'a page repeats earlier ones, and is not the last' })
    const again = isShifted ? await pushedOn(listing, page, heads) : []
    for (const row of again) seen.add(keyOf(row))
    if (!isShifted && total === null && last !== null && (await lastOf(listing, page - 1)) !== last) throw shrunk(page)
    moved ||= isShifted
    last = keys.at(-1) ?? last
    const rows = before + seen.size
    if (isLast && total !== null && rows < total)
      throw new FlowError(moved ? 'SRC_RESUME_EXPIRED' : 'SRC_MALFORMED', {
        page,
        rows,
        total,
        hint: `the vendor counts more rows than it showed; do its pages begin at ${base} (page.base)?`,
      })
    const next: ListPosition | null = isLast ? null : { page: page + 1, rows, total, last }
    yield { rows: [...answer.content, ...again], resume: next }
    if (next === null) return
  }
}

/** Rows of the pages before `page`, as they are now, back to one that begins with the same row. */
async function pushedOn({ base, ask, keyOf }: Listing, page: number, heads: Map<number, string>): Promise<unknown[]> {
  const rows: unknown[] = []
  for (let back = page - 1; back >= base; back--) {
    const { content } = await ask(back)
    rows.push(...content)
    if (content.length === 0) break
    const head = keyOf(content[0])
    if (head === heads.get(back)) break
    heads.set(back, head)
  }
  return rows
}

async function lastOf({ ask, keyOf }: Listing, page: number): Promise<string | undefined> {
  return (await ask(page)).content.map(keyOf).at(-1)
}

/** `last` if there is one, else by the counts; a page without rows is always the last. */
export function isLastPage({ content, last, pages, total }: ListPage, place: number, rows: number): boolean {
  if (content.length === 0) return true
  return last ?? (pages !== null ? place + 1 >= pages : total !== null && rows >= total)
}

function shrunk(page: number): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { page, hint: 'the listing lost rows while it was read' })
}

function placeOf(resume: unknown): ListPosition {
  const place = ListPosition.safeParse(resume)
  if (!place.success) throw new FlowError('SRC_RESUME_EXPIRED', { hint: 'not a place in a listing' })
  return place.data
}
