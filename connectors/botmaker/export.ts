/**
 * Botmaker v1: an export is ordered with `POST /metrics/v2/download`, then fetched page by page with `POST /metrics/download-page`. Deprecated by the vendor
 * since 2024-08 in favour of v2, and still active. What the docs leave open is noted where it matters.
 */
import { z } from 'zod'
import {
  bool,
  FlowError,
  type Http,
  type Json,
  jsonOf,
  number,
  type Page,
  saysFault,
  text,
  twice,
  type Window,
} from '../../src/source/index.ts'
import { sessionDateOf } from './rows.ts'

/** Anything, also nothing. */
const Liberal = z.unknown().optional()

/** `dateFrom`, `note` and the rest are for people. Documented: at most 200 records "a call"; sessions are read here too, if there are any. */
const Ordered = z
  .looseObject({
    pageToken: Liberal.transform(text),
    hasMore: Liberal.transform(bool),
    sessions: z.array(z.unknown()).nullish(),
  })
  .refine(body => body.pageToken !== null || (body.sessions ?? []).length > 0 || !saysFault(body))

const ExportPage = z
  .looseObject({
    sessions: z.array(z.unknown()).nullish(),
    hasMore: Liberal.transform(bool),
    pageToken: Liberal.transform(text),
    pageRows: Liberal.transform(number),
    totalRows: Liberal.transform(number),
  })
  .refine(body => (body.sessions ?? []).length > 0 || !saysFault(body))

const NOTHING: z.output<typeof Ordered & typeof ExportPage> = {
  pageToken: null,
  hasMore: false,
  sessions: [],
  pageRows: null,
  totalRows: null,
}
/** Answer for an unknown token. */
const NOT_KNOWN: z.output<typeof ExportPage> = { ...NOTHING }
const NOT_YET: z.output<typeof ExportPage> = { ...NOTHING, hasMore: true }

/**
 * Position in an export: the token to send, how many pages with rows were read with this export, and whether the vendor returns a new token with each page. Its
 * prose says so, its list of fields does not; if it does not, the position is on its server and moves with each call, and a page that was sent but not
 * committed cannot be requested again.
 */
const Resume = z.object({
  token: z.string(),
  pages: z.int(),
  rotates: z.boolean(),
  /** Rows of this export so far, and its total. Absent: unknown, or with another meaning. */
  rows: z.int().exactOptional(),
  total: z.number().exactOptional(),
})

/**
 * No body after some pages is the end. For the first page it may also mean "not ready", and is accepted after this many answers, each after the client's own
 * backoff, about 15 s.
 */
const SILENT_MOST = 20

/** How often a newly ordered export may be unknown (404), at the pace of the quota: some vendors know a job only once it is done. */
const UNKNOWN_MOST = 60

/** How many equal pages in a row, from a vendor that says there is more, count as no progress. */
const EQUAL_MOST = 3

/**
 * One export per window: there is no upper bound in the request, so rows from `until` on are left to a later window. An export that is not ready yields pages
 * without rows and with the same resume: the client has backed off by then (see `notReady`), and for other forms of the answer the quota sets the pace. The
 * token lives for a day, and an unknown one is SRC_RESUME_EXPIRED. So is an export with fewer rows than its `totalRows`: it is ordered again.
 *
 * @param of.checksTotal Whether `totalRows` is trusted. Its description says "columns"; by its name, and next to a correct `pageRows`, it counts rows.
 */
export async function* readExport(options: {
  window: Window
  resume: Json
  http: Http
  checksTotal: boolean
}): AsyncIterable<Page> {
  const { window, resume, http } = options
  const inWindow = (row: unknown) => (sessionDateOf(row) ?? -Infinity) < window.untilMs
  let place: z.output<typeof Resume>
  /** Rows in the answer to the order. */
  let given = 0
  const resumed = resume !== null
  if (resumed) {
    const known = Resume.safeParse(resume)
    if (!known.success) throw expired('not a place in an export')
    place = known.data
    if (place.pages > 0 && !place.rotates) throw expired('the vendor keeps the place, and may have moved past what was read')
  } else {
    // A millisecond early, because it is unknown whether `fromDate` is inclusive. An immediate end, without a list, is not documented: it is accepted when it
    // comes twice. The client has already repeated requests without a body.
    const ordered = await twice(
      () => order(http, new Date(window.fromMs - 1).toISOString()),
      answer => answer !== NOTHING && isEnd(answer),
    )
    const rows = (ordered.sessions ?? []).filter(inWindow)
    if (ordered.pageToken === null) {
      if (ordered.hasMore === true)
        throw new FlowError('SRC_MALFORMED', { hint: 'an export with more to come, and no pageToken' })
      if ((ordered.sessions ?? null) === null && !isEnd(ordered))
        throw new FlowError('SRC_MALFORMED', { hint: 'an export without a pageToken and without sessions' })
      yield { rows, resume: null }
      return
    }
    place = { token: ordered.pageToken, pages: 0, rotates: false }
    yield { rows, resume: place }
    given = ordered.sessions?.length ?? 0
  }

  const spent = new Set<string>()
  /** Whether this read met the export before it had pages: then no page can have been sent and lost before. */
  let sawNone = !resumed
  let asked = 0
  let silent = 0
  let unknown = 0
  let before = ''
  let equal = 0
  /** Null: the export has no total that could be checked. */
  let counted =
    options.checksTotal && (place.pages === 0 || place.rows !== undefined)
      ? { rows: place.rows ?? given, total: place.total }
      : null
  for (;;) {
    let page = await fetchPage(http, place, !resumed && asked === 0)
    asked++
    if (page === NOTHING && place.pages === 0 && ++silent < SILENT_MOST) page = NOT_YET
    if (page === NOT_KNOWN) {
      if (resumed || place.pages > 0) throw expired('the pageToken has expired')
      if (++unknown === UNKNOWN_MOST)
        throw new FlowError('SRC_REFUSED', { status: 404, hint: 'an export that the vendor does not know' })
      page = NOT_YET
    }
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
      throw expired('it is unknown whether this is the first page of the export')

    if (rotated) {
      spent.add(place.token)
      if (spent.has(page.pageToken as string))
        throw new FlowError('SRC_MALFORMED', { hint: 'the pages of an export go in a circle' })
    }
    // With a new token or the same: a vendor that ignores it returns the first page again and again.
    if (more) {
      const content = jsonOf(rows) ?? ''
      equal = content === before ? equal + 1 : 1
      before = content
      if (equal >= EQUAL_MOST) throw new FlowError('SRC_MALFORMED', { hint: 'an export answers the same page again and again' })
    }
    if (counted) counted = withPage(counted, page, rows.length, more)
    if (!more && counted?.total !== undefined && counted.rows < counted.total)
      throw expired(
        `the export ended after ${counted.rows} of its ${counted.total} rows; set check.total.rows to false to accept it`,
      )
    place = {
      token: page.pageToken ?? place.token,
      pages: place.pages + (rows.length > 0 ? 1 : 0),
      rotates: place.rotates || rotated,
      ...(counted?.total !== undefined && { rows: counted.rows, total: counted.total }),
    }
    yield { rows: rows.filter(inWindow), resume: more ? place : null }
    if (!more) return
  }
}

/**
 * Rows so far, and the total they are checked against. Null if it counts something else: `pageRows` differs from the rows of its page, the total changes, or
 * more follows after it has been reached.
 */
function withPage(
  { rows, total }: { readonly rows: number; readonly total: number | undefined },
  { pageRows, totalRows }: z.output<typeof ExportPage>,
  count: number,
  more: boolean,
): { rows: number; total: number | undefined } | null {
  const now = rows + count
  if (pageRows !== null && pageRows !== count) return null
  if (totalRows === null) return { rows: now, total }
  if ((total !== undefined && total !== totalRows) || (more && totalRows <= now)) return null
  return { rows: now, total: totalRows }
}

/** Whether the answer to an order says explicitly that there is nothing to fetch. */
function isEnd({ pageToken, hasMore, sessions }: z.output<typeof Ordered>): boolean {
  return pageToken === null && hasMore === false && (sessions ?? null) === null
}

/** The newer path first; if the vendor does not know it, the one in the docs of the page call. */
async function order(http: Http, fromDate: string): Promise<z.output<typeof Ordered>> {
  const ask = (path: string) => http.postJson(path, { query: { fromDate } }, Ordered)
  try {
    return await ask('/metrics/v2/download').catch((error: unknown) => {
      if (error instanceof FlowError && error.details.status === 404) return ask('/metrics/download')
      throw error
    })
  } catch (error) {
    if (error instanceof FlowError && error.details.vendorCode === NO_BODY) return NOTHING
    throw error
  }
}

async function fetchPage(http: Http, place: z.output<typeof Resume>, fresh: boolean): Promise<z.output<typeof ExportPage>> {
  try {
    const options = { repeatable: place.rotates, empty: NOT_KNOWN, emptyStatus: [404] }
    return await http.postJson('/metrics/download-page', { query: { pageToken: place.token } }, ExportPage, options)
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    if (error.details.vendorCode === NO_BODY) return NOTHING
    if (error.details.vendorCode === NOT_READY) return NOT_YET
    // With one token for all pages the position is on the vendor's server: the page of a lost answer comes again only in a new export.
    if (!place.rotates && LOST.has(error.code)) throw expired(`a page was lost: ${error.code}`)
    // The status for an expired token is not documented; a token from a moment ago is not expired.
    const { status } = error.code === 'SRC_REFUSED' ? error.details : {}
    if (!fresh && (status === 400 || status === 410)) throw expired('the pageToken has expired')
    throw error
  }
}

/**
 * For the client: answers that mean "wait", so that the request is repeated with backoff. The forms are assumed, not documented: an export without rows but
 * with more to come, or a status that means so. An answer with a token is left to `readExport`, which knows the token it sent. No body may also mean that there
 * is nothing: the caller knows.
 */
export function notReady(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): { code: 'SRC_NOT_READY'; vendorCode: string; hint: string } | undefined {
  const unready = (vendorCode: string, hint: string) => ({ code: 'SRC_NOT_READY' as const, vendorCode, hint })
  if (status === 204) return unready(NO_BODY, 'an answer without a body')
  if (status === 409 || status === 425 || (status === 503 && 'retry-after' in headers))
    return unready(NOT_READY, 'the export is not ready yet')
  if (status !== 200 && status !== 202) return undefined
  const { hasMore, sessions, pageToken } = (body ?? {}) as { hasMore?: unknown; sessions?: unknown; pageToken?: unknown }
  if (text(pageToken) !== null) return undefined
  const empty = Array.isArray(sessions) && sessions.length === 0
  return (empty && bool(hasMore) === true) || (status === 202 && (empty || sessions === undefined))
    ? unready(NOT_READY, 'the export is not ready yet')
    : undefined
}

const NOT_READY = 'EXPORT_NOT_READY'
const NO_BODY = 'EXPORT_WITHOUT_BODY'

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
