/**
 * Botmaker v1: an export is ordered with `POST /metrics/v2/download`, then fetched page by page with `POST /metrics/download-page`. Deprecated by
 * the vendor since 2024-08 in favour of v2, and still active. What the documents leave open is told at each place.
 */
import { z } from 'zod'
import { bool, FlowError, type Http, type Json, type Page, text, type Window } from '../../src/source/index.ts'
import { sessionDateOf } from './rows.ts'

/** Anything, also nothing. */
const Liberal = z.unknown().optional()

/** `dateFrom`, `note` and the rest are for people. Documented: at most 200 records "a call"; sessions are read here too, should there be any. */
const Ordered = z.looseObject({
  pageToken: Liberal.transform(text),
  hasMore: Liberal.transform(bool),
  sessions: z.array(z.unknown()).nullish(),
})

const ExportPage = z.looseObject({
  sessions: z.array(z.unknown()).nullish(),
  hasMore: Liberal.transform(bool),
  pageToken: Liberal.transform(text),
})

const NOT_KNOWN: z.output<typeof Ordered> = { pageToken: null, hasMore: false, sessions: null }
const NOTHING: z.output<typeof Ordered & typeof ExportPage> = { pageToken: null, hasMore: false, sessions: [] }

/**
 * Where an export is: which token to send, how many pages with rows were read with this export, and whether the vendor gives a new token with
 * each page. It does in prose, not in the list of fields; where it does not, its place moves with each call, and a page
 * that was sent but not committed cannot be asked for again.
 */
const Resume = z.object({ token: z.string(), pages: z.int(), rotates: z.boolean() })

/** Equal pages in a row, from a vendor that says there is more, that are no progress. */
const EQUAL_MOST = 3

/**
 * One export per window: there is no upper bound to ask for, so rows from `until` on are left to a later window. An export that is not ready yields
 * pages without rows and with the same resume: the client has backed off by then (see `notReady`), and where the answer is of another form the quota
 * paces. The token lives for a day, and one that the vendor no longer knows is SRC_RESUME_EXPIRED.
 */
export async function* readExport({ window, resume, http }: { window: Window; resume: Json; http: Http }): AsyncIterable<Page> {
  const inWindow = (row: unknown) => (sessionDateOf(row) ?? -Infinity) < window.untilMs
  let place: z.output<typeof Resume>
  const resumed = resume !== null
  if (resumed) {
    const known = Resume.safeParse(resume)
    if (!known.success) throw expired('not a place in an export')
    place = known.data
    if (place.pages > 0 && !place.rotates) throw expired('the vendor keeps the place, and may have moved past what was read')
  } else {
    // A millisecond early, because whether `fromDate` is inclusive is not known.
    const ordered = await order(http, new Date(window.fromMs - 1).toISOString())
    const rows = (ordered.sessions ?? []).filter(inWindow)
    if (ordered.pageToken === null) {
      if (ordered.hasMore === true)
        throw new FlowError('SRC_MALFORMED', { hint: 'an export with more to come, and no pageToken' })
      yield { rows, resume: null }
      return
    }
    place = { token: ordered.pageToken, pages: 0, rotates: false }
    yield { rows, resume: place }
  }

  const spent = new Set<string>()
  /** Whether this read met the export before it had pages: then none can have been sent and lost before. */
  let sawNone = !resumed
  let asked = 0
  let before = ''
  let equal = 0
  for (;;) {
    const page = await fetchPage(http, place, !resumed && asked === 0)
    asked++
    if ((page.sessions === null || page.sessions === undefined) && page.hasMore !== true)
      throw new FlowError('SRC_MALFORMED', { hint: 'a page of an export without sessions' })
    const rows = page.sessions ?? []
    const rotated = page.pageToken !== null && page.pageToken !== place.token
    const more = page.hasMore ?? rotated

    if (rows.length === 0 && more && !rotated) {
      sawNone = true
      yield { rows: [], resume: place }
      continue
    }
    if (!sawNone && place.pages === 0 && !place.rotates && !rotated)
      throw expired('whether this is the first page of the export cannot be told')

    if (rotated) {
      spent.add(place.token)
      if (spent.has(page.pageToken as string))
        throw new FlowError('SRC_MALFORMED', { hint: 'the pages of an export go in a circle' })
    }
    // Whether the token is new or not: a vendor that does not look at it gives the first page again and again.
    if (more) {
      const content = JSON.stringify(rows)
      equal = content === before ? equal + 1 : 1
      before = content
      if (equal >= EQUAL_MOST) throw new FlowError('SRC_MALFORMED', { hint: 'an export answers the same page again and again' })
    }
    place = {
      token: page.pageToken ?? place.token,
      pages: place.pages + (rows.length > 0 ? 1 : 0),
      rotates: place.rotates || rotated,
    }
    yield { rows: rows.filter(inWindow), resume: more ? place : null }
    if (!more) return
  }
}

/** The newer path first; where the vendor does not know it, the name that the page call's documents use. */
async function order(http: Http, fromDate: string): Promise<z.output<typeof Ordered>> {
  const call = { query: { fromDate } }
  const ordered = await http.postJson('/metrics/v2/download', call, Ordered, { empty: NOT_KNOWN, emptyStatus: [404] })
  return ordered === NOT_KNOWN ? http.postJson('/metrics/download', call, Ordered, { empty: NOTHING }) : ordered
}

async function fetchPage(http: Http, place: z.output<typeof Resume>, fresh: boolean): Promise<z.output<typeof ExportPage>> {
  try {
    const call = { query: { pageToken: place.token } }
    return await http.postJson('/metrics/download-page', call, ExportPage, { empty: NOTHING, repeatable: place.rotates })
  } catch (error) {
    // With one token for all pages the vendor keeps the place: the page of an answer that was lost is told in a new export only.
    if (!place.rotates && error instanceof FlowError && LOST.has(error.code)) throw expired(`a page was lost: ${error.code}`)
    if (error instanceof FlowError && error.details.vendorCode === NOT_READY) return { ...NOTHING, hasMore: true }
    // Which status an old token gets is not documented; a token that was given a moment ago is not old.
    const { status } = error instanceof FlowError && error.code === 'SRC_REFUSED' ? error.details : {}
    if (!fresh && (status === 400 || status === 404 || status === 410)) throw expired('the pageToken is not known any more')
    throw error
  }
}

/**
 * For the client: an export without rows but with more to come is the vendor's wish to wait, so that it is asked again with growing pauses. Such an
 * answer is assumed, not documented. One that carries a token is left to `readExport`, which knows the token that was asked with.
 */
export function notReady(body: unknown): { code: 'SRC_NOT_READY'; vendorCode: string; hint: string } | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const { hasMore, sessions, pageToken } = body as { hasMore?: unknown; sessions?: unknown; pageToken?: unknown }
  if (!Array.isArray(sessions) || sessions.length > 0 || bool(hasMore) !== true || text(pageToken) !== null) return undefined
  return { code: 'SRC_NOT_READY', vendorCode: NOT_READY, hint: 'the export is not ready yet' }
}

const NOT_READY = 'EXPORT_NOT_READY'

/** Errors of requests that the vendor may have answered. */
const LOST: ReadonlySet<string> = new Set([
  'SRC_UNREACHABLE',
  'SRC_TIMEOUT',
  'SRC_SERVER_ERROR',
  'SRC_TRUNCATED',
  'SRC_MALFORMED',
])

function expired(hint: string): FlowError {
  return new FlowError('SRC_RESUME_EXPIRED', { hint })
}
