/**
 * Kore.ai's way of paging: `skip` and `limit` over a listing that may change while it is read. A listing that has shifted is never taken for a
 * whole one: its `total` changed, a page shows again what was read, or it ends with fewer rows than `total`.
 */
import { z } from 'zod'
import { bool, type CallOptions, FlowError, number } from '../../src/source/index.ts'
import { NOTHING_FOUND } from './errors.ts'

export interface ListPage {
  readonly rows: readonly unknown[]
  /** Rows of the whole listing; null: not told. */
  readonly total: number | null
  /** Null: not told. */
  readonly more: boolean | null
}

/** Where a listing goes on. */
export type Place = { readonly skip: number; readonly total: number | null }

export interface ListingOf {
  /** How many rows a page may have at most. */
  readonly limit: number
  readonly ask: (skip: number) => Promise<ListPage>
  readonly idOf: (row: unknown) => string | null
  /** Default: the beginning. */
  readonly from?: Place | null
  /** Rows may be added at the end of the listing without harm. */
  readonly growsAtEnd?: boolean
}

/**
 * Pages with the place after each, null after the last. `moreAvailable` decides, but an empty page ends the listing (a sample says true of one
 * row out of one), and while rows are lacking to `total` the next page is asked for.
 *
 * @throws FlowError SRC_RESUME_EXPIRED when the listing has shifted, SRC_MALFORMED when it leads back to its beginning.
 */
export async function* listing(of: ListingOf): AsyncGenerator<{ rows: readonly unknown[]; next: Place | null }, void> {
  let { skip, total } = of.from ?? { skip: 0, total: null }
  const seen = new Set<string>()
  let first: string | null = null
  let counts = true
  for (;;) {
    const page = await of.ask(skip)
    if (page.rows.length === 0) {
      if (total !== null && skip < total) throw shifted('the listing ends before its total')
      yield { rows: [], next: null }
      return
    }
    // With more to come, the whole listing is more than what was read: a total that is not counts something else, such as the page.
    if (page.more === true && page.total !== null && page.total <= skip + page.rows.length) counts = false
    const told = counts ? page.total : null
    if (!counts) total = null
    if (total !== null && told !== null && (of.growsAtEnd ? told < total : told !== total)) throw shifted('total changed')
    const ids = page.rows.map(of.idOf).filter(id => id !== null)
    if (first !== null && ids[0] === first) {
      // Nothing but this page, if its total is right: the sample says that there is more after the one row of one, too.
      if (!counts && page.total === page.rows.length && page.rows.length < of.limit && ids.every(id => seen.has(id))) {
        yield { rows: [], next: null }
        return
      }
      throw new FlowError('SRC_MALFORMED', { skip, hint: 'every page is the first page' })
    }
    for (const id of ids) if (seen.has(id)) throw shifted('a row came again')
    for (const id of ids) seen.add(id)
    first ??= ids[0] ?? null
    total = told ?? total
    skip += page.rows.length
    const more = page.more ?? (total === null && page.rows.length >= of.limit)
    const next = more || (total !== null && skip < total) ? { skip, total } : null
    yield { rows: page.rows, next }
    if (next === null) return
  }
}

/** The resume of a page, as it comes back; null where it is none. */
export function placeOf(value: unknown): Place | null {
  const parsed = Resume.safeParse(value)
  return parsed.success ? parsed.data : null
}

const Resume = z.object({ skip: z.int().min(0), total: z.number().nullable() })

/** A page with its rows under this name. An answer without rows is one only where its total says that there are none. */
export function pageSchema(name: string) {
  return z.looseObject({ [name]: z.array(z.unknown()).nullish() }).transform((body, ctx): ListPage => {
    const { total, totalCount, moreAvailable } = body as Readonly<Record<string, unknown>>
    const rows = body[name]
    const count = number(total ?? totalCount)
    if (rows === undefined && count !== 0) {
      ctx.issues.push({ code: 'custom', input: undefined, path: [name], message: 'is missing' })
      return z.NEVER
    }
    return { rows: (rows as readonly unknown[] | null | undefined) ?? [], total: count, more: bool(moreAvailable) }
  })
}

const NOTHING: ListPage = { rows: [], total: null, more: false }

/**
 * An answer without a body, or a refusal that says that nothing was found, is a page without rows when the vendor gives it twice: the documents
 * know neither.
 */
export async function twice(ask: (options: CallOptions<ListPage>) => Promise<ListPage>): Promise<ListPage> {
  const once = () =>
    ask({ empty: NOTHING }).catch((error: unknown) => {
      if (error instanceof FlowError && error.details['vendorCode'] === NOTHING_FOUND) return NOTHING
      throw error
    })
  const page = await once()
  return page === NOTHING ? once() : page
}

function shifted(hint: string): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { hint })
}
