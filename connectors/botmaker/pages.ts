/**
 * Paging of every v2 listing: `{"items":[…],"nextPage":…}`, where `nextPage` is a link that includes the filters. It is followed on the configured host only.
 *
 * `long-term-search` is billed separately, and meant for old data only. The vendor's API description gives an age for messages: three days is the longest range
 * without it. For sessions it gives none; clients have seen three and seven days. So the age is a config key, and a vendor that wants the flag earlier says so.
 */
import { z } from 'zod'
import { contentId, FlowError, type Http, objectOf, type Query, saysFault, text, twice } from '../../src/source/index.ts'

export const V2_ROOT = 'https://api.botmaker.com/v2.0'
export const V1_ROOT = 'https://go.botmaker.com/api/v1.0'

const DAY_MS = 86_400_000
export const LONG_TERM_MS = 3 * DAY_MS

/** Pages without rows in a row, until a listing counts as endless. */
const MOST_EMPTY = 100

export type Ask = readonly [path: string, query: Query]

export interface ItemsPage {
  readonly items: readonly unknown[]
  /** Null: the last page. */
  readonly nextPage: string | null
}

/**
 * Only what paging needs; each row is decoded on its own, so that one bad row does not lose its page. `sessions` is v1's name of the list. Without `nextPage` a
 * link by another name is used, because a page whose link is missed would silently count as the last.
 */
const Items = z.looseObject({}).transform((page: Readonly<Record<string, unknown>>, ctx): ItemsPage => {
  const given = page['items'] === undefined ? page['sessions'] : page['items']
  const name = 'nextPage' in page ? 'nextPage' : Object.keys(page).find(each => /^next/i.test(each))
  const link = (name === undefined ? null : page[name]) ?? null
  const fault = (path: string, expected: 'array' | 'string') =>
    ctx.issues.push({ code: 'invalid_type', expected, input: undefined, path: [path], message: `is no ${expected}` })
  // An empty list means nothing; a missing one, or one next to an error, is not a valid answer.
  if (!Array.isArray(given) || (given.length === 0 && saysFault(page))) fault('items', 'array')
  if (name !== undefined && link !== null && typeof link !== 'string') fault(name, 'string')
  return { items: given as unknown[], nextPage: text(link) }
})

/** An answer without a body. */
const NOTHING: ItemsPage = { items: [], nextPage: null }
/** Clients have seen 204 and 200 without a body. */
const SAYS_NOTHING = { empty: NOTHING, emptyStatus: [200] }

/** `long-term-search`, if the window begins longer ago than the vendor allows without it. */
export function longTerm(fromMs: number, nowMs: number, afterMs: number): { readonly 'long-term-search'?: 'true' } {
  return fromMs < nowMs - afterMs ? { 'long-term-search': 'true' } : {}
}

/**
 * Pages from `next` on, or from the start.
 *
 * @param of.isLast This listing will not be read again: an answer without a body is requested twice before it is accepted. For a further page it always is.
 */
export async function* pagesOf(options: {
  http: Http
  root: string
  path: string
  query: Query
  next?: string | null
  isLast?: boolean
}): AsyncGenerator<ItemsPage, void> {
  const { http, root, path, query, isLast = false } = options
  let next = options.next ?? null
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
    // Links may always be new, and lead to the same page.
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

/** One page; with `long-term-search` if the vendor says that it is needed. A rejected request is never repeated with fewer parameters. */
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

/** `nextPage` is an address on the vendor's host, including the filters; it may lack the host, and a bare token needs the filters added. */
function followed(root: string, path: string, nextPage: string, query: Query): Ask {
  const link = /^(https?:)?\/\//i.test(nextPage) || nextPage.includes('?') || nextPage.startsWith(new URL(root).pathname)
  // A path that does not begin like our root is below it.
  if (/^\/(?!\/)/.test(nextPage) && !nextPage.startsWith(new URL(root).pathname)) return [nextPage, {}]
  return link ? [ourAddress(root, new URL(nextPage, `${root}${path}`)), {}] : [path, { ...query, 'next-page-token': nextPage }]
}

/**
 * The link as we can reach it. Behind a gateway the vendor still names its public host, and a vendor on this machine may use another name of the machine: such
 * a link is requested at the configured address, so that the token goes nowhere else. Any other host is rejected later.
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
