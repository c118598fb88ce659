/**
 * How every listing of v2 pages: `{"items":[…],"nextPage":…}`, where `nextPage` is a link that carries the filters. It is followed on the configured host only.
 *
 * `long-term-search` is billed apart, and wanted for old data only. The vendor's API description gives an age for messages: three days without it is the longest
 * range. For sessions it gives none; clients have met three and seven days. So the age is a key, and a vendor that wants the flag earlier says so.
 */
import { z } from 'zod'
import { contentId, FlowError, type Http, objectOf, type Query, saysFault, text, twice } from '../../src/source/index.ts'

export const V2_ROOT = 'https://api.botmaker.com/v2.0'
export const V1_ROOT = 'https://go.botmaker.com/api/v1.0'

const DAY_MS = 86_400_000
export const LONG_TERM_MS = 3 * DAY_MS

/** Pages without rows, one after the other, until a listing is taken for one that never ends. */
const MOST_EMPTY = 100

export type Ask = readonly [path: string, query: Query]

export interface ItemsPage {
  readonly items: readonly unknown[]
  /** Null: the last page. */
  readonly nextPage: string | null
}

/**
 * Only what paging needs; each row is decoded on its own, so that one bad row does not lose its page. `sessions` is v1's name of the list. Without
 * `nextPage` a link by another name is read, because a page whose link is overlooked is taken for the last, without a word.
 */
const Items = z.looseObject({}).transform((page: Readonly<Record<string, unknown>>, ctx): ItemsPage => {
  const given = page['items'] === undefined ? page['sessions'] : page['items']
  const name = 'nextPage' in page ? 'nextPage' : Object.keys(page).find(each => /^next/i.test(each))
  const link = (name === undefined ? null : page[name]) ?? null
  const fault = (path: string, expected: 'array' | 'string') =>
    ctx.issues.push({ code: 'invalid_type', expected, input: undefined, path: [path], message: `is no ${expected}` })
  // An empty list is how the vendor shows nothing; none at all, or one beside an error, is no answer.
  if (!Array.isArray(given) || (given.length === 0 && saysFault(page))) fault('items', 'array')
  if (name !== undefined && link !== null && typeof link !== 'string') fault(name, 'string')
  return { items: given as unknown[], nextPage: text(link) }
})

/** An answer without a body. */
const NOTHING: ItemsPage = { items: [], nextPage: null }
/** Clients have met 204 and 200 without a body. */
const SAYS_NOTHING = { empty: NOTHING, emptyStatus: [200] }

/** `long-term-search`, where the window begins longer ago than the vendor gives without it. */
export function longTerm(fromMs: number, nowMs: number, afterMs: number): { readonly 'long-term-search'?: 'true' } {
  return fromMs < nowMs - afterMs ? { 'long-term-search': 'true' } : {}
}

/**
 * Pages from `next` on, or from the start.
 *
 * @param of.isLast Nobody asks for this listing again: an answer without a body is asked for twice before it is believed. In the place of a further page it always is.
 */
export async function* pagesOf(of: {
  http: Http
  root: string
  path: string
  query: Query
  next?: string | null
  isLast?: boolean
}): AsyncGenerator<ItemsPage, void> {
  const { http, root, path, query, isLast = false } = of
  let next = of.next ?? null
  const seen = new Set<string>()
  const isNew = (mark: string) => !seen.has(mark) && seen.add(mark)
  let empty = 0
  for (;;) {
    if (next !== null && !isNew(next)) throw leadsNowhere('nextPage leads back to a page that was read')
    const ask: Ask = next === null ? [path, query] : followed(root, path, next, query)
    const isLastLook = next !== null || isLast
    const page = await twice(
      () => onePage(http, ask),
      answer => answer === NOTHING && isLastLook,
    )
    // A link may be ever new, and what it leads to not.
    const { items } = page
    empty = items.length === 0 ? empty + 1 : 0
    if (items.length > 0 && !isNew(`${items.length} ${markOf(items[0])} ${markOf(items.at(-1))}`))
      throw leadsNowhere('nextPage leads to the rows of a page that was read')
    if (empty > MOST_EMPTY) throw leadsNowhere(`nextPage leads to ${empty} pages without rows, one after the other`)
    next = page.nextPage
    yield page
    if (next === null) return
  }
}

const leadsNowhere = (hint: string) => new FlowError('SRC_MALFORMED', { hint })

const markOf = (item: unknown) => text(objectOf(item)['id']) ?? contentId(JSON.stringify(item))

/** One page; with `long-term-search` where the vendor says that it is needed. A refused request is never sent again with less in it. */
async function onePage(http: Http, [path, query]: Ask): Promise<ItemsPage> {
  try {
    return await http.getJson(path, query, Items, SAYS_NOTHING)
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    if (error.details.vendorCode === 'LONG_TERM_SEARCH_PARAM_REQUIRED' && !('long-term-search' in query))
      return http.getJson(path, { ...query, 'long-term-search': 'true' }, Items, SAYS_NOTHING)
    if (error.code === 'SRC_TOO_LARGE') throw new FlowError('SRC_WINDOW_TOO_LARGE', error.details, error)
    throw error
  }
}

/** `nextPage` is an address on the vendor's host, with the filters in it; also one without a host is, and a bare token goes with the filters. */
function followed(root: string, path: string, nextPage: string, query: Query): Ask {
  const link = /^(https?:)?\/\//i.test(nextPage) || nextPage.includes('?') || nextPage.startsWith(new URL(root).pathname)
  // A path that does not begin like our root is meant below it.
  if (/^\/(?!\/)/.test(nextPage) && !nextPage.startsWith(new URL(root).pathname)) return [nextPage, {}]
  return link ? [ourAddress(root, new URL(nextPage, `${root}${path}`)), {}] : [path, { ...query, 'next-page-token': nextPage }]
}

/**
 * The link as we reach it. Behind a gateway the vendor still names its own public host, and a vendor on this machine may name another of the
 * machine's names: such a link is asked from where we were told to ask, so that the token goes nowhere else. Any other host is left to be refused.
 */
function ourAddress(root: string, link: URL): string {
  const ours = new URL(root)
  const vendors = new URL(V2_ROOT)
  if (link.host === ours.host) return link.href
  if (link.host === vendors.host && link.pathname.startsWith(`${vendors.pathname}/`))
    return `${root}${link.pathname.slice(vendors.pathname.length)}${link.search}`
  if (link.port === ours.port && isLoopback(link.hostname) && isLoopback(ours.hostname)) link.host = ours.host
  return link.href
}

const isLoopback = (name: string) => /^(localhost|127(\.\d+){3}|0\.0\.0\.0|\[::1?\])$/.test(name)

export function rootOf({
  baseUrl,
  apiVersion,
}: {
  readonly baseUrl?: string | undefined
  readonly apiVersion: 'v1' | 'v2'
}): string {
  return (baseUrl ?? (apiVersion === 'v1' ? V1_ROOT : V2_ROOT)).replace(/\/+$/, '')
}
