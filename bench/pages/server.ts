/**
 * The page server: `GET /sessions?from=ISO&until=ISO&after=SEQ&limit=N` lists rows oldest first, `{"items":[…],"next":SEQ or null}`. All parameters may be left
 * out: `after` and `limit` alone page through everything. `GET /taken` says how many rows have been asked for at least once, counted from the first.
 *
 * A page is cut from rows that are made once, and only the digits of ids, users and times are written anew: serving costs little beside reading.
 */
import { serve, type Served } from '../../src/sim/index.ts'
import { CYCLE, rowAt, seqOf, STEP_MS, userOf } from './rows.ts'

export interface PageServerOptions {
  readonly rows: number
  /** When row 0 began, epoch milliseconds. */
  readonly fromMs: number
  /** Default: a free one. */
  readonly port?: number
}

export async function startPageServer({ rows, fromMs, port = 0 }: PageServerOptions): Promise<Served> {
  const pageOf = pages(fromMs)
  let taken = 0
  const json = { 'content-type': 'application/json' }
  /** The first row that began then or later; the default where nothing is said. */
  const rowFrom = (iso: string | null, otherwise: number) =>
    iso === null ? otherwise : Math.max(0, Math.ceil((Date.parse(iso) - fromMs) / STEP_MS))
  return serve({
    port,
    handler: ({ path, query }) => {
      if (path === '/taken') return { status: 200, headers: json, body: JSON.stringify({ taken }) }
      if (path !== '/sessions') return { status: 404, headers: json, body: '{"message":"there is only /sessions"}' }
      const after = query.get('after')
      const first = Math.max(rowFrom(query.get('from'), 0), after ? Number(after) + 1 : 0)
      const until = Math.min(rows, rowFrom(query.get('until'), rows))
      const limit = Math.max(1, Math.min(CYCLE, Number(query.get('limit') ?? CYCLE)))
      const count = Math.max(0, Math.min(limit, until - first))
      taken = Math.max(taken, first + count)
      return { status: 200, headers: json, body: pageOf(first, count, count > 0 && first + count < until) }
    },
  })
}

/** Where a row stands in the text of all rows, and what in it differs from cycle to cycle. */
interface Slot {
  readonly start: number
  readonly end: number
  readonly seqs: readonly number[]
  readonly user: number
  readonly created: number
  readonly closed: number
  readonly lastsMs: number
}

const HEAD = '{"items":['
const EMPTY = Buffer.from(`${HEAD}],"next":null}`)

/** `count` rows from `first` on, at most a cycle; `hasNext`: the listing goes on after them. */
function pages(fromMs: number): (first: number, count: number, hasNext: boolean) => Buffer {
  // Twice, so that a page that begins anywhere in the cycle is one piece.
  const { text, slots } = textOf(2 * CYCLE)
  return (first, count, hasNext) => {
    const at = first % CYCLE
    const from = slots[at]
    const to = slots[at + count - 1]
    if (count === 0 || from === undefined || to === undefined) return EMPTY
    const tail = `],"next":${hasNext ? `"${seqOf(first + count - 1)}"` : 'null'}}`
    const page = Buffer.allocUnsafe(HEAD.length + to.end - from.start + tail.length)
    page.write(HEAD, 0, 'latin1')
    text.copy(page, HEAD.length, from.start, to.end)
    page.write(tail, page.length - tail.length, 'latin1')
    const shift = HEAD.length - from.start
    for (let row = first; row < first + count; row++) {
      const slot = slots[at + row - first] as Slot
      const atMs = fromMs + row * STEP_MS
      const seq = seqOf(row)
      for (const place of slot.seqs) page.write(seq, place + shift, 'latin1')
      page.write(userOf(row), slot.user + shift, 'latin1')
      page.write(new Date(atMs).toISOString(), slot.created + shift, 'latin1')
      page.write(new Date(atMs + slot.lastsMs).toISOString(), slot.closed + shift, 'latin1')
    }
    return page
  }
}

/** The rows with commas between them. They are ASCII: a place in the text is a place in its bytes. */
function textOf(rows: number): { text: Buffer; slots: Slot[] } {
  const texts: string[] = []
  const slots: Slot[] = []
  let start = 0
  for (let index = 0; index < rows; index++) {
    const row = rowAt(index, 0)
    const json = JSON.stringify(row)
    const placeOf = (before: string) => start + json.indexOf(before) + before.length
    const seqs: number[] = []
    for (let at = json.indexOf(row.seq); at >= 0; at = json.indexOf(row.seq, at + row.seq.length)) seqs.push(start + at)
    slots.push({
      start,
      end: start + json.length,
      seqs,
      user: placeOf('"user":{"id":"u-'),
      created: placeOf('"createdAt":"'),
      closed: placeOf('"closedAt":"'),
      lastsMs: Date.parse(row.closedAt) - Date.parse(row.createdAt),
    })
    texts.push(json)
    start += json.length + 1
  }
  return { text: Buffer.from(texts.join(','), 'latin1'), slots }
}
