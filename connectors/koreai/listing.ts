/** Kore.ai's pages, and which of its answers are empty. `src/source/listing.ts` describes how a listing is continued. */
import { z } from 'zod'
import {
  bool,
  type CallOptions,
  FlowError,
  type ListPage,
  looseObject,
  number,
  saysFault,
  twice,
} from '../../src/source/index.ts'
import { NOTHING_FOUND } from './errors.ts'

/** A page, and whether it is empty in an undocumented form. */
type Answer = ListPage & { readonly isOpen?: true }

/** A page with its rows under this name. Without the list it is empty only if its total says so; one with an empty list must not report an error, nor rows. */
export function pageSchema(name: string) {
  return looseObject({ [name]: z.array(z.unknown()).nullish() }).transform((body, ctx): Answer => {
    const { total, totalCount, totalResults, moreAvailable, hasMore } = body as Readonly<Record<string, unknown>>
    const rows = body[name] as readonly unknown[] | null | undefined
    const count = number(total ?? totalCount ?? totalResults)
    const more = bool(moreAvailable ?? hasMore)
    if (rows !== undefined && rows !== null && (rows.length > 0 || !saysFault(body))) return { rows, total: count, more }
    if (!saysFault(body) && count === 0) return { rows: [], total: 0, more, isOpen: true }
    const message = rows === undefined || rows === null ? 'is missing' : 'is empty beside an error'
    ctx.issues.push({ code: 'custom', input: undefined, path: [name], message })
    return z.NEVER
  })
}

const NOTHING: Answer = { rows: [], total: null, more: false, isOpen: true }

/**
 * The page. An answer without a body, without its list and with a total of 0, or a refusal that says that nothing was found, is a page without rows if the
 * vendor returns it twice: none of them is documented.
 */
export function listPage(ask: (options: CallOptions<Answer>) => Promise<Answer>): Promise<ListPage> {
  const once = () =>
    ask({ empty: NOTHING }).catch((error: unknown) => {
      if (error instanceof FlowError && error.details['vendorCode'] === NOTHING_FOUND) return NOTHING
      throw error
    })
  return twice(once, page => page.isOpen === true)
}
