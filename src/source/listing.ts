/**
 * Paging by position over a listing that changes while it is read. A row that is added or removed before the position moves all that follow, so a position
 * alone never says where to continue. Each page is requested together with the last row of the page before, which must be there; the position is stored with a
 * hash of that row, of the first row and the total, so the check also works after a restart of the task or the process.
 */
import { z } from 'zod'
import { FlowError } from '../errors.ts'
import { contentId } from './content-id.ts'
import { jsonOf } from './lenient.ts'

export interface ListPage {
  readonly rows: readonly unknown[]
  /** Rows of the whole listing; null: the vendor does not return it. */
  readonly total: number | null
  /** Null: the vendor does not return it. */
  readonly more: boolean | null
}

const ListPosition = z.object({
  /** Rows before the position. */
  skip: z.int().min(1),
  /** Null: the vendor does not return it. */
  total: z.number().nullable(),
  /** Hashes of the listing's first row and of the last one before the position. */
  first: z.string(),
  last: z.string(),
})
/** Where a listing continues, and the data to check it. */
export type ListPosition = Readonly<z.output<typeof ListPosition>>

/** The position from a page's resume token. Null if it is not one, such as one without hashes: the listing starts again. */
export function placeOf(resume: unknown): ListPosition | null {
  const parsed = ListPosition.safeParse(resume)
  return parsed.success ? parsed.data : null
}

export interface ListingOf {
  /** Most rows of a page; from 2 on, as one of them is the last row of the page before. */
  readonly limit: number
  readonly ask: (skip: number) => Promise<ListPage>
  readonly idOf: (row: unknown) => string | null
  /** Default: the beginning. */
  readonly from?: ListPosition | null
  /** Rows may be added at the end of the listing without harm. */
  readonly growsAtEnd?: boolean
}

/**
 * Pages with the position after each, null after the last. `more` decides, but a page without further rows ends the listing, and while rows are missing to
 * `total` the next page is requested.
 *
 * @throws FlowError SRC_RESUME_EXPIRED when the listing has shifted (another row in the place of the last one, another total, a row that comes again, an end
 *   before the total; a vendor that always returns the first page looks the same), SRC_MALFORMED when it has no rows though it says that there are some.
 */
export async function* listing(
  options: ListingOf,
): AsyncGenerator<{ rows: readonly unknown[]; next: ListPosition | null }, void> {
  const markOf = (row: unknown) => contentId(options.idOf(row) ?? jsonOf(row, { sorted: true })).slice(0, 12)
  let { skip, total } = options.from ?? { skip: 0, total: null }
  let { first = null, last = null }: { first?: string | null; last?: string | null } = options.from ?? {}
  const seen = new Set<string>()
  let counts = true
  for (;;) {
    // A page of one row has no room for the row before it: then repeated rows and the total must be enough.
    const back = skip > 0 && options.limit > 1 ? 1 : 0
    const page = await options.ask(skip - back)
    const rows = page.rows.slice(back)
    const head = page.rows[0] === undefined ? null : markOf(page.rows[0])
    const stated = page.total
    // If more rows follow, the whole listing must be larger than what was read: a smaller total counts something else, such as the page.
    if (page.more === true && stated !== null && stated <= skip + rows.length && rows.length > 0) counts = false
    const isTotalOther = total !== null && stated !== null && (options.growsAtEnd ? stated < total : stated !== total)
    if (counts && isTotalOther) throw shifted('total changed')
    // A complete listing if its total is right: a vendor may say that there is more, and return the same page again.
    const isFirstAgain = head !== null && head === first && skip - back > 0
    if (isFirstAgain && !counts && stated === page.rows.length && stated < options.limit && stated <= skip) {
      yield { rows: [], next: null }
      return
    }
    if (back > 0 && head !== last) throw shifted('another row is in the place of the last one that was read')
    if (rows.length === 0) {
      if (total !== null && skip < total) throw shifted('the listing ends before its total')
      if (skip === 0 && ((stated ?? 0) > 0 || (page.more === true && stated === null)))
        throw new FlowError('SRC_MALFORMED', { hint: 'a listing without rows that claims to have some' })
      yield { rows: [], next: null }
      return
    }
    if (!counts) total = null
    for (const row of rows) {
      const mark = markOf(row)
      // Rows without an id may be equal.
      if (seen.has(mark) && options.idOf(row) !== null) throw shifted('a row came again')
      seen.add(mark)
    }
    first ??= head
    last = markOf(rows.at(-1))
    if (counts) total = stated ?? total
    skip += rows.length
    const more = page.more ?? (total === null && page.rows.length >= options.limit)
    const next = more || (total !== null && skip < total) ? { skip, total, first: first ?? '', last } : null
    yield { rows, next }
    if (next === null) return
  }
}

function shifted(hint: string): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { hint })
}
