/**
 * Paging by position over a listing that others write to while it is read. A row that comes or goes in front of the place moves all that follow, so a position alone
 * never says where the listing goes on. Each page is asked for with the last row of the one before, which must be there; the place carries a hash of that row, the
 * first row's and the total, so the check holds as well after a restart of the task or the process.
 */
import { z } from 'zod'
import { FlowError } from '../errors.ts'
import { contentId } from './content-id.ts'
import { jsonOf } from './liberal.ts'

export interface ListPage {
  readonly rows: readonly unknown[]
  /** Rows of the whole listing; null: the vendor does not say. */
  readonly total: number | null
  /** Null: the vendor does not say. */
  readonly more: boolean | null
}

const Place = z.object({
  /** Rows before the place. */
  skip: z.int().min(1),
  /** Null: the vendor does not say. */
  total: z.number().nullable(),
  /** Hashes of the listing's first row and of the last one before the place. */
  first: z.string(),
  last: z.string(),
})
/** Where a listing goes on, and what that is checked against. */
export type Place = Readonly<z.output<typeof Place>>

/** The resume of a page, as it comes back. Null where it is none, such as one without hashes: the listing begins again. */
export function placeOf(resume: unknown): Place | null {
  const parsed = Place.safeParse(resume)
  return parsed.success ? parsed.data : null
}

export interface ListingOf {
  /** How many rows a page may have at most; from 2 on, as one of them is the last row of the page before. */
  readonly limit: number
  readonly ask: (skip: number) => Promise<ListPage>
  readonly idOf: (row: unknown) => string | null
  /** Default: the beginning. */
  readonly from?: Place | null
  /** Rows may be added at the end of the listing without harm. */
  readonly growsAtEnd?: boolean
}

/**
 * Pages with the place after each, null after the last. `more` decides, but a page without further rows ends the listing, and while rows are lacking to `total` the next
 * page is asked for.
 *
 * @throws FlowError SRC_RESUME_EXPIRED when the listing has shifted (another row in the place of the last one, another total, a row that comes again, an end before the
 * total; a vendor that gives the first page whatever is asked looks the same), SRC_MALFORMED when it has no rows though it says that there are some.
 */
export async function* listing(of: ListingOf): AsyncGenerator<{ rows: readonly unknown[]; next: Place | null }, void> {
  const markOf = (row: unknown) => contentId(of.idOf(row) ?? jsonOf(row, { sorted: true })).slice(0, 12)
  let { skip, total } = of.from ?? { skip: 0, total: null }
  let { first = null, last = null }: { first?: string | null; last?: string | null } = of.from ?? {}
  const seen = new Set<string>()
  let counts = true
  for (;;) {
    // A page of one row has no place for the row before it: then what comes again, and the total, must do.
    const back = skip > 0 && of.limit > 1 ? 1 : 0
    const page = await of.ask(skip - back)
    const rows = page.rows.slice(back)
    const head = page.rows[0] === undefined ? null : markOf(page.rows[0])
    const stated = page.total
    // With more to come, the whole listing is more than what was read: a total that is not counts something else, such as the page.
    if (page.more === true && stated !== null && stated <= skip + rows.length && rows.length > 0) counts = false
    const isTotalOther = total !== null && stated !== null && (of.growsAtEnd ? stated < total : stated !== total)
    if (counts && isTotalOther) throw shifted('total changed')
    // Nothing but this page, if its total is right: a vendor may say that there is more after it, and give it again.
    const isFirstAgain = head !== null && head === first && skip - back > 0
    if (isFirstAgain && !counts && stated === page.rows.length && stated < of.limit && stated <= skip) {
      yield { rows: [], next: null }
      return
    }
    if (back > 0 && head !== last) throw shifted('another row is in the place of the last one that was read')
    if (rows.length === 0) {
      if (total !== null && skip < total) throw shifted('the listing ends before its total')
      if (skip === 0 && ((stated ?? 0) > 0 || (page.more === true && stated === null)))
        throw new FlowError('SRC_MALFORMED', { hint: 'a listing without rows that says there are some' })
      yield { rows: [], next: null }
      return
    }
    if (!counts) total = null
    for (const row of rows) {
      const mark = markOf(row)
      // Rows without an id may say the same.
      if (seen.has(mark) && of.idOf(row) !== null) throw shifted('a row came again')
      seen.add(mark)
    }
    first ??= head
    last = markOf(rows.at(-1))
    if (counts) total = stated ?? total
    skip += rows.length
    const more = page.more ?? (total === null && page.rows.length >= of.limit)
    const next = more || (total !== null && skip < total) ? { skip, total, first: first ?? '', last } : null
    yield { rows, next }
    if (next === null) return
  }
}

function shifted(hint: string): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { hint })
}
