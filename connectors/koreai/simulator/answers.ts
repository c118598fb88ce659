import type { Reply, Request } from '../../../src/sim/index.ts'
import type { Quirks } from './quirks.ts'

const DAY = 86_400_000
/** `dateTo - dateFrom` must be less. Documented. */
const LONGEST_MS = 7 * DAY

export type Asked = Readonly<Record<string, unknown>>

export function json(body: unknown): Reply {
  return { status: 200, body: JSON.stringify(body) }
}

/** The documented envelope for rejected tokens; its use for other errors is assumed. */
export function refused(status: number, msg: string, code = status): Reply {
  return { status, body: JSON.stringify({ errors: [{ msg, code }] }) }
}

/** The parameters of a request: the query of a GET, the body of a POST, which may be empty. */
export function askedOf(request: Request): Asked | Reply {
  const query = Object.fromEntries(request.query)
  if (request.method === 'GET' || request.body.trim() === '') return query
  try {
    const body: unknown = JSON.parse(request.body)
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return { ...query, ...body }
  } catch {
    // Not JSON: rejected below.
  }
  return refused(400, 'the body is no JSON object')
}

export function isReply(value: object): value is Reply {
  return 'status' in value && typeof value.status === 'number'
}

export interface Range {
  readonly fromMs: number
  /** Exclusive, with the bounds of the quirks already counted in. */
  readonly untilMs: number
}

/** `dateFrom` and `dateTo` with the docs' defaults: seven days, up to now. They must be less than seven days apart. */
export function rangeOf(from: unknown, to: unknown, nowMs: number, quirks: Quirks): Range | Reply {
  const toMs = to === undefined || to === null ? null : readDate(to)
  const fromMs = from === undefined || from === null ? null : readDate(from)
  if (toMs === undefined || fromMs === undefined)
    return refused(400, 'dateFrom and dateTo take yyyy-mm-dd or yyyy-mm-ddThh:mm:ss.msZ')
  const isDay = typeof to === 'string' && to.length === 10 && quirks.dateOnlyTo === 'whole_day'
  const endMs = toMs === null ? (fromMs === null ? nowMs : fromMs.ms + LONGEST_MS) : toMs.ms
  const beginMs = fromMs === null ? endMs - LONGEST_MS : fromMs.ms
  if (fromMs !== null && toMs !== null && endMs - beginMs >= LONGEST_MS)
    return refused(quirks.rangeStatus, 'The duration between dateTo and dateFrom should be less than 7 days', 400)
  if (beginMs > endMs) return refused(400, 'dateFrom is later than dateTo')
  const untilMs = isDay ? endMs + DAY : endMs
  return {
    fromMs: quirks.edges === 'open' ? beginMs + 1 : beginMs,
    untilMs: quirks.edges === 'closed' && !isDay ? untilMs + 1 : untilMs,
  }
}

/** undefined: neither of the documented forms. */
function readDate(raw: unknown): { readonly ms: number } | undefined {
  if (typeof raw !== 'string' || !/^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,3})?Z)?$/.test(raw)) return undefined
  const ms = Date.parse(raw)
  return Number.isNaN(ms) ? undefined : { ms }
}

/** A page by `skip` (or `offset`) and `limit`, including changes of the listing between pages. */
export class Pages {
  readonly #quirks: Quirks
  readonly #added = new Set<string>()
  readonly #missed = new Set<string>()

  constructor(quirks: Quirks) {
    this.#quirks = quirks
  }

  page<T>(all: readonly T[], asked: Asked, most: number, idOf: (row: T) => string): { rows: T[]; total: number; more: boolean } {
    const { ignoresSkip, lastPageMore, defaultLimit } = this.#quirks
    const limit = Math.min(most, Math.max(1, Math.trunc(Number(asked['limit'] ?? defaultLimit)) || defaultLimit))
    const skip = ignoresSkip ? 0 : Math.max(0, Math.trunc(Number(asked['skip'] ?? asked['offset'] ?? 0)) || 0)
    const shown = this.#changed(all, asked, limit, idOf)
    const rows = shown.slice(skip, skip + limit)
    return { rows, total: shown.length, more: skip + rows.length < shown.length || (lastPageMore && rows.length > 0) }
  }

  #changed<T>(all: readonly T[], asked: Asked, limit: number, idOf: (row: T) => string): readonly T[] {
    const { between } = this.#quirks
    const [first] = all
    if (between === null || first === undefined || all.length <= limit + 1) return all
    const later = Number(asked['skip'] ?? 0) > 0
    const id = idOf(first)
    if (between === 'grows') {
      if (later) this.#added.add(id)
      return this.#added.has(id) || this.#added.size >= 3 ? all : all.slice(1)
    }
    if (!later || this.#missed.has(id) || this.#missed.size >= 3) return all
    this.#missed.add(id)
    return all.slice(1)
  }
}
