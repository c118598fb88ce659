/**
 * Reads one report of one window from `reports_manager.php`: the request, the meaning of an answer, and the handling of one that may be cut off. There is no
 * paging: an answer with the vendor's maximum of rows counts as cut off, and the window is halved, down to a second.
 */
import { z } from 'zod'
import {
  type Classified,
  contentId,
  FlowError,
  type Http,
  jsonOf,
  number,
  objectOf,
  type Page,
  parseJson,
  saysFault,
  text,
  twice,
  type Window,
  wallOf,
} from '../../src/source/index.ts'
import { CUT_OFF, listOf, ORDINAL } from './rows.ts'
import { digits, momentOf, type Range, rangesOf, secondsOf, type ReportedTime, zoneNamed } from './wall.ts'

export interface ReportSpec<R> {
  readonly api: string
  readonly row: z.ZodType<R>
  /** Set if the vendor selects rows by a time that they have: rows outside the window are left to their own. Else every row is kept. */
  readonly timeOf?: (row: R) => ReportedTime
  /** More parameters than the window. */
  readonly more?: Readonly<Record<string, string>>
  /** Set if rows have no id, and equal ones get an ordinal: the id without it. */
  readonly idOf?: (row: R) => string
}

type Query = Readonly<Record<string, string>>

export interface ReadSpec {
  readonly http: Http
  readonly window: Window
  readonly timezone: string
  /** An answer with this many rows counts as cut off. */
  readonly mostRows: number
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** The window in one page. A resume is never needed. */
export async function* readReport<R>(spec: ReportSpec<R>, reading: ReadSpec): AsyncIterable<Page> {
  const rows: unknown[] = []
  for (const range of rangesOf(reading.window, zoneNamed(reading.timezone))) rows.push(...(await rowsOf(spec, range, reading)))
  yield { rows, resume: null }
}

async function rowsOf<R>(spec: ReportSpec<R>, range: Range, reading: ReadSpec): Promise<unknown[]> {
  const isSmallest = reading.window.untilMs - reading.window.fromMs <= SECOND
  const raws = await ask(spec, range, reading)
  if (raws !== null && raws.length < reading.mostRows) return kept(spec, raws, reading)
  if (!isSmallest)
    throw new FlowError('SRC_WINDOW_TOO_LARGE', {
      report: spec.api,
      rows: raws?.length,
      hint: 'more than the vendor gives at once',
    })
  // The extra second on either side may be too much; if ends are exclusive, nothing is returned without it.
  const secondMs = wallOf(secondsOf(reading.window).firstMs, zoneNamed(reading.timezone))
  const second = { firstMs: secondMs, lastMs: secondMs }
  const alone = await ask(spec, second, reading)
  if (alone !== null && alone.length > 0 && alone.length < reading.mostRows) return kept(spec, alone, reading)
  const shown = alone !== null && alone.length > 0 ? alone : (raws ?? [])
  return [
    ...kept(spec, shown, reading),
    { api: spec.api, date_ini: digits(second.firstMs), date_end: digits(second.lastMs), [CUT_OFF]: shown.length },
  ]
}

/** The rows of a closed range of the wall clock; null: the vendor says that they are too many, or cannot return them in time. */
async function ask<R>(
  { api, more }: ReportSpec<R>,
  { firstMs, lastMs }: Range,
  { http, window }: ReadSpec,
): Promise<readonly unknown[] | null> {
  const query = { api, ...more, date_ini: digits(firstMs), date_end: digits(lastMs) }
  try {
    return await get(query, http)
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    if (isTooMuch(error, window)) return null
    const second = { ...query, date_end: digits(firstMs + SECOND) }
    if (isFailing(error, window) && (await answers(second, http))) return null
    throw error
  }
}

/** If `base.url` has a path of its own (a proxy's), it may be the root or the part before it. */
async function get(query: Query, http: Http, file = 'reports_manager.php'): Promise<readonly unknown[]> {
  const at = (path: string) =>
    twice(
      () => http.getJson(path, query, Envelope, { empty: NOTHING, emptyStatus: [404, 400] }),
      rows => rows === OPEN,
    )
  try {
    return await at(`/${file}`)
  } catch (error) {
    const isElsewhere = error instanceof FlowError && error.code === 'SRC_REFUSED' && error.details.status === 404
    if (!isElsewhere || /\/api\/v\d/.test(String(error.details['path']))) throw error
    return at(`/api/v2/${file}`)
  }
}

/** Rows of `information.php`, which has no times; none if the token may not read it. */
export async function readInformation(api: string, http: Http): Promise<readonly unknown[]> {
  try {
    return await get({ api }, http, 'information.php')
  } catch (error) {
    if (error instanceof FlowError && error.code === 'SRC_REFUSED') return []
    throw error
  }
}

/**
 * The answer of a report that runs out of memory or time is not documented, and a window that fails each time would never be passed. So a second of it is
 * requested: if that succeeds, the whole is too much; if not, the vendor is down.
 */
function isFailing({ code, details }: FlowError, window: Window): boolean {
  return code === 'SRC_SERVER_ERROR' && Number(details.status) >= 500 && window.untilMs - window.fromMs > MINUTE
}

async function answers(query: Query, http: Http): Promise<boolean> {
  try {
    await get(query, http)
    return true
  } catch (error) {
    if (error instanceof FlowError && error.code !== 'STOPPED') return false
    throw error
  }
}

/** A vendor that is down looks like an overloaded one, so a window is not halved for its slowness below a minute. */
function isTooMuch({ code, details }: FlowError, window: Window): boolean {
  if (code === 'SRC_WINDOW_TOO_LARGE' || code === 'SRC_TOO_LARGE') return true
  const isSlow = code === 'SRC_TIMEOUT' || (code === 'SRC_SERVER_ERROR' && details.status === 504)
  return isSlow && window.untilMs - window.fromMs > MINUTE
}

/**
 * Rows of the window, including unreadable ones, equal ones numbered. A second that is kept is complete in the answer: so its rows have the same numbers in
 * every window that contains it. Rows that have the same id and differ are numbered in the order of their content.
 */
function kept<R>({ row, timeOf, idOf }: ReportSpec<R>, raws: readonly unknown[], { window, timezone }: ReadSpec): unknown[] {
  const zone = zoneNamed(timezone)
  const { firstMs, lastMs } = secondsOf(window)
  const out: unknown[] = []
  const equals = new Map<string, unknown[]>()
  for (const raw of raws) {
    const parsed = timeOf === undefined ? null : row.safeParse(raw)
    if (parsed?.success !== true || timeOf === undefined) {
      out.push(raw)
      continue
    }
    const { atMs } = momentOf(timeOf(parsed.data), zone)
    if (atMs < firstMs || atMs >= lastMs + SECOND) continue
    const id = idOf?.(parsed.data) ?? ''
    const others = equals.get(id)
    if (others === undefined) equals.set(id, [raw])
    else others.push(raw)
  }
  for (const same of equals.values()) {
    const inOrder =
      same.length === 1
        ? same
        : same
            .map(raw => ({ raw, says: sayingOf(raw) }))
            .sort(bySaying)
            .map(({ raw }) => raw)
    for (const [ordinal, raw] of inOrder.entries()) out.push(ordinal === 0 ? raw : { ...(raw as object), [ORDINAL]: ordinal })
  }
  return out
}

function sayingOf(raw: unknown): string {
  return contentId(
    ...Object.entries(raw as object)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flat()
      .map(part => (typeof part === 'string' ? part : (jsonOf(part) ?? ''))),
  )
}

function bySaying(a: { readonly says: string }, b: { readonly says: string }): number {
  return a.says < b.says ? -1 : a.says > b.says ? 1 : 0
}

/** The vendor's answer if there are no rows: really a 404 with its own words. */
const NOTHING: readonly unknown[] = []
/** No rows, in a form that the docs leave open. */
const OPEN: readonly unknown[] = []

/**
 * The rows of an answer. `data` is a list or one row; it is empty if it is an empty list, if the text says so or the code is 404 (documented or seen), and left
 * open if it is null or, as PHP sometimes writes an empty list, an empty object. A successful answer that promises rows and has none is unreadable, not empty;
 * so is any other form.
 */
export const Envelope = z.unknown().transform((body, ctx): readonly unknown[] => {
  // A bare list: if none of its items is a row, it is another list.
  if (Array.isArray(body) && body.some(each => typeof each === 'object' && each !== null && !Array.isArray(each)))
    return body as unknown[]
  const { code, msg, data } = objectOf(body)
  const rows = typeof data === 'object' && data !== null ? listOf(data) : []
  if (rows.length > 0) return rows
  const words = text(msg) ?? ''
  const promised = Number(/(\d+)\s+(?:record|registro|row)/i.exec(words)?.[1] ?? 0)
  const isNothing = statusOf(200, code) === 404 || saysNothing(words)
  if (promised === 0 && (isNothing || !saysFault(body))) {
    if (isNothing || Array.isArray(data)) return NOTHING
    if (data !== undefined && typeof data === 'object') return OPEN
  }
  ctx.issues.push({ code: 'custom', input: undefined, path: ['data'], message: 'is missing' })
  return z.NEVER
})

/** PHP's messages, as text or in HTML. */
const WARNS =
  /^\s*(?:<br\s*\/?>\s*)*(?:<b>)?\s*(?:PHP )?(?:Warning|Notice|Deprecated|Strict Standards|Parse error|Fatal error|Recoverable fatal error)(?:<\/b>)?\s*:/i
/** How many beginnings of JSON are tried: words of warnings may look like one. */
const MOST_TRIED = 20

/** The JSON text after warnings of PHP, which a server that shows its errors writes before it. */
export function jsonAfterWarnings(text: string): string | undefined {
  if (!WARNS.test(text.slice(0, 500))) return undefined
  const begins = /(?:^|[\r\n>])[ \t]*([{[])/g
  for (let tried = 0, found = begins.exec(text); tried < MOST_TRIED && found !== null; tried++, found = begins.exec(text)) {
    try {
      const json = text.slice(begins.lastIndex - 1)
      if (typeof parseJson(json) === 'object') return json
    } catch {
      // Words of a warning.
    }
  }
  return undefined
}

/**
 * Meaning of an answer without rows. A status in the body of a successful answer counts as the answer's. 404 with the vendor's own words is an empty window,
 * and any other 404 an address that is not the vendor's; a successful answer without a body is neither, except for 204, which means that there is nothing.
 * Texts are documented except those of a maintenance and of too many rows.
 */
export function classify({ status: given, body }: { readonly status: number; readonly body: unknown }): Classified | undefined {
  if (given < 400 && body === undefined && given !== 204) return { code: 'SRC_MALFORMED', hint: 'an answer without a body' }
  const { code, msg, message, error } = objectOf(body)
  const words = typeof body === 'string' ? body : (text(msg) ?? text(message) ?? text(error) ?? '')
  const status = statusOf(given, code)
  const isGiven = status === given
  if (status === 413 || (status >= 400 && saysTooMany(words) && !/token|daily|diari/i.test(words)))
    return { code: 'SRC_WINDOW_TOO_LARGE', vendorCode: 'too_many_rows' }
  switch (status) {
    case 200:
      return undefined
    case 400:
      // The words that come with 404 if there are no rows; the response codes document 400 for an invalid parameter.
      return blamesDates(words) ? undefined : { code: 'SRC_REFUSED', hint: refusalOf(words) }
    case 401:
      return isGiven ? undefined : { code: 'SRC_UNAUTHORISED' }
    case 403:
      return forbidden(words)
    case 404:
      return isNothingFound(body, words)
        ? undefined
        : {
            code: 'SRC_REFUSED',
            hint: 'nothing is at this address: is base.url the API root, such as https://wv0010.wolkvox.com/api/v2?',
          }
    default:
      if (isGiven) return undefined
      if (status === 429) return { code: 'SRC_RATE_LIMITED' }
      if (status === 408) return { code: 'SRC_TIMEOUT' }
      return { code: status >= 500 ? 'SRC_SERVER_ERROR' : 'SRC_REFUSED', vendorCode: `code_${status}` }
  }
}

/** The four meanings of 403, by their text. An unknown one is a maintenance or a backup, when the API is switched off: that passes. */
function forbidden(given: string): Classified {
  const words = given.normalize('NFD').replaceAll(/\p{M}/gu, '')
  if (/simultan|concurren/i.test(words))
    return { code: 'SRC_RATE_LIMITED', vendorCode: 'simultaneous_requests', waitMs: 10 * SECOND }
  const isOff = /mainten|mantenim|backup|respaldo/i.test(words)
  if (!isOff && /limit|exceed|exced|quota/i.test(words))
    return {
      code: 'SRC_RATE_LIMITED',
      vendorCode: 'daily_limit',
      waitMs: HOUR,
      allowance: 'day',
      hint: 'the calls of the day are used up',
    }
  if (!isOff && /token/i.test(words)) return { code: 'SRC_UNAUTHORISED', vendorCode: 'token' }
  return {
    code: 'SRC_SERVER_ERROR',
    vendorCode: 'maintenance',
    waitMs: 2 * MINUTE,
    hint: 'refused for a reason that is not known: a maintenance?',
  }
}

function refusalOf(words: string): string {
  if (/does not exist|no existe/i.test(words)) return 'the vendor does not know this report'
  return /required|requerid/i.test(words) ? 'the vendor misses a parameter' : 'the vendor refuses the request'
}

function isNothingFound(body: unknown, words: string): boolean {
  if (/does not exist|no existe|<html|<!doctype/i.test(words)) return false
  const answer = objectOf(body)
  const isTheirs = 'data' in answer || ('error' in answer && !('message' in answer))
  return Array.isArray(body) || 'msg' in answer || (isTheirs && statusOf(200, answer['code']) === 404) || saysNothing(words)
}

function blamesDates(words: string): boolean {
  return /valid\w* (?:the |las )?(?:dates|fechas)/i.test(words)
}

function saysNothing(words: string): boolean {
  if (blamesDates(words)) return true
  return /^\s*(?:0|no)\b.*\b(?:record|registro|row|data|dato|result)|not? (?:hay|se encontr|existen)|sin (?:datos|registros|resultados)/i.test(
    words,
  )
}

function saysTooMany(words: string): boolean {
  return /(?:narrow|reduce|shorten|reduz).*(?:date|fecha|range|rango)|(?:record|registro|row)s?\b.*(?:exce|limit|supera)|(?:exce|limit|supera|too many|demasiad).*(?:record|registro|row)/i.test(
    words,
  )
}

/** The answer's status, or, if that is a success, `code` as number or text; one sample has `"0"` for success. */
function statusOf(given: number, code: unknown): number {
  const stated = number(code)
  return given < 300 && stated !== null && stated >= 100 && stated <= 599 ? stated : given
}
