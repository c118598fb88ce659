/**
 * The one way from what a vendor shows to records: decode, changed, enrich, derive, map. Worker, `peek`, `check`, redrive and the conformance
 * suite all take it. Values in, values out; the only call to the outside is the connector's own `enrich`.
 *
 * Each row stands by itself: one that cannot be decoded or mapped becomes a reject with the reason, and the rows beside it go on.
 */
import type { Clock } from '../clock.ts'
import { asPluginError, type ErrorCode, FlowError } from '../errors.ts'
import type { Draft, EnrichArgs, Http, Scope, Stream, Turn } from '../source/contract.ts'
import type { RowContext } from '../source/records.ts'
import { isDeeper } from '../source/json.ts'
import { isTooDeep, MOST_LEVELS } from './depth.ts'
import type { Derived, DerivedSessions } from './derived.ts'
import { boundId, checkDraft, type Door, requireTime } from './door.ts'
import { markOf, misfit, type Reject, rejectOf, rowIdOf, unmappable } from './reject.ts'
import { applyTransfers, transferredAt } from './transfer-rules.ts'

/** One row that fits its schema. */
export interface Row {
  readonly id: string
  /** As the stream's schema gives it, and richer after `enrich`. */
  readonly row: unknown
  /** As the vendor gave it. */
  readonly raw: unknown
  /** 16 bytes as latin1: what counts as a change of the row. */
  readonly fingerprint: string
  /** What the row stands for was published under this id before (`Stream.formerId`). */
  readonly formerId?: string
  /** What was published of it is remembered under this id (`Stream.sharedId`); absent: under its own. */
  readonly sharedId?: string
}

export interface RowPath {
  readonly stream: Stream
  /** As `Stream.read` gets it. */
  readonly config: object
  readonly scope: Scope
  readonly http: Http
  readonly clock: Pick<Clock, 'now'>
  /** Null where the stream's sessions are not derived. */
  readonly derived: DerivedSessions | null
  readonly door: Door
  /** Most rows of one `enrich`. Default: the stream's own figure. */
  readonly enrichRows?: number
  /** See `EnrichArgs.transferredAt`. Default: nothing is remembered. */
  readonly transferredAt?: (rowId: string) => number | null
  /** Called after each `enrich`. */
  readonly enriched?: () => void | Promise<void>
  /** Takes the rows of the second call that `enrich` could not use. */
  readonly besides?: (rejects: readonly Reject[]) => void
}

/** A row with its records, or with the reason why it has none. */
export type Mapped =
  | {
      readonly row: Row
      /** Checked and masked. */
      readonly drafts: readonly Draft[]
      /** The session that was derived for the row; null: none. */
      readonly home: Home | null
      /** The vendor may still change the row when it has left the lookback (`Follow.isOpen`). */
      readonly isOpen: boolean
      /** False: rows after this one share its derived sessions, so a transaction must not end between them. */
      readonly isBoundary: boolean
    }
  | { readonly row: Row; readonly reject: Reject; readonly isBoundary: boolean }

/** A row's turn and the session that it belongs to. */
export interface Home {
  readonly session: Derived
  readonly turn: Turn
}

/** Rows of one call of `enrich`, unless the stream says otherwise. */
const ENRICH_ROWS = 100
/** Rows whose sessions are derived together: many, so that an id is made of a session's first turn. */
const DERIVE_ROWS = 5_000

/** Each row by itself: those that fit the schema, and rejects for the others. */
export function decode(stream: Stream, raws: readonly unknown[], ctx: RowContext): { rows: Row[]; rejects: Reject[] } {
  const rows: Row[] = []
  const rejects: Reject[] = []
  for (const raw of raws) {
    try {
      const decoded = decodeOne(stream, raw, ctx)
      if ('code' in decoded) rejects.push(decoded)
      else rows.push(decoded)
    } catch (thrown) {
      rejects.push(unmappable(raw, rowIdOf(stream, raw), 'decode', thrown))
    }
  }
  return { rows, rejects }
}

function decodeOne(stream: Stream, raw: unknown, ctx: RowContext): Row | Reject {
  if (isTooDeep(raw)) {
    const hint = `the row is nested more than ${MOST_LEVELS} levels deep`
    return rejectOf(raw, rowIdOf(stream, raw), 'ROW_INVALID', 'decode', deepFieldOf(raw), hint)
  }
  const parsed = stream.row.safeParse(raw)
  if (!parsed.success) return misfit(stream, raw, parsed.error)
  const row = parsed.data as never
  const id: unknown = stream.identify(row)
  if (typeof id !== 'string' || id === '') return rejectOf(raw, '', 'ROW_UNMAPPABLE', 'decode', 'id', 'the row has no id')
  boundId(id, 'id')
  const sharedId = stream.sharedId?.(row)
  if (sharedId !== undefined) boundId(sharedId, 'id')
  const said = stream.fingerprint ? stream.fingerprint(row, ctx) : row
  const content = typeof said === 'string' ? said : JSON.stringify(said)
  // Rows that the lookback reads again are mapped anew when the rules have changed.
  const { transfers } = ctx
  const fingerprint = markOf(transfers.isEmpty ? content : `${transfers.hash} ${content}`)
  return { id, row, raw, fingerprint, ...(sharedId !== undefined && { sharedId }) }
}

/** The field of the row that is nested too deep; empty where the row is a list. */
function deepFieldOf(raw: unknown): string {
  if (Array.isArray(raw)) return ''
  return Object.entries(raw as object).find(([, value]) => isDeeper(value, MOST_LEVELS - 1))?.[0] ?? ''
}

/**
 * The records of the rows that are new or changed, some rows at a time, each mapped when it is asked for.
 *
 * @param isNew False for a row that consumers have seen like this: it goes no further. Asked again before the row is mapped, because a vendor may
 * show a row twice in a page.
 * @throws FlowError of the vendor, from `enrich`; PLUGIN_INVALID
 */
export async function* mapRows(
  path: RowPath,
  rows: readonly Row[],
  ctx: RowContext,
  isNew: (row: Row) => boolean,
): AsyncGenerator<Iterable<Mapped>> {
  for (const some of someAtOnce(path, rows, isNew)) {
    const rich = await enrich(path, some)
    if (path.stream.enrich) await path.enriched?.()
    const homes = path.derived === null ? null : deriveHomes(path, path.derived, rich, ctx)
    yield mapEach(path, rich, homes, ctx, isNew)
  }
}

type EnrichPath = Pick<RowPath, 'stream' | 'config' | 'scope' | 'http' | 'clock' | 'transferredAt' | 'besides'>

/** What a vendor, or the connector, may say of one row for good, though other rows are answered. */
const OF_ONE_ROW: ReadonlySet<ErrorCode> = new Set(['SRC_REFUSED', 'SRC_MALFORMED', 'SRC_TOO_LARGE', 'BUG'])
/** Scopes whose second calls have been answered: where nothing ever was, the fault is hardly a row's. */
const answered = new WeakSet<Scope>()

/**
 * The optional second call, for rows that are new or changed, in their order. Where it fails for good, each row is asked for alone: one that fails by itself is a
 * reject, and is asked for again when it is read again.
 *
 * @throws FlowError of the vendor, also where no row is answered; PLUGIN_INVALID
 */
export async function enrich(path: EnrichPath, rows: readonly Row[]): Promise<readonly Row[]> {
  if (!path.stream.enrich) return rows
  try {
    return await enriched(path, rows)
  } catch (thrown) {
    if (!isOfOneRow(thrown) || path.besides === undefined) throw thrown
    const [row] = rows
    if (rows.length > 1) return oneByOne(path, rows)
    if (row === undefined || !answered.has(path.scope)) throw thrown
    path.besides([rejectedBy(thrown, row)])
    return []
  }
}

async function oneByOne(path: EnrichPath, rows: readonly Row[]): Promise<readonly Row[]> {
  const richer: Row[] = []
  const rejects: Reject[] = []
  let failure: unknown
  for (const row of rows) {
    try {
      richer.push(...(await enriched(path, [row])))
    } catch (thrown) {
      if (!isOfOneRow(thrown)) throw thrown
      failure = thrown
      rejects.push(rejectedBy(thrown, row))
    }
  }
  if (richer.length === 0) throw failure
  path.besides?.(rejects)
  return richer
}

const rejectedBy = (thrown: unknown, { raw, id }: Row): Reject => unmappable(raw, id, 'decode', thrown)

function isOfOneRow(thrown: unknown): boolean {
  return thrown instanceof FlowError && OF_ONE_ROW.has(thrown.code) && thrown.details.ofAllRows !== true
}

async function enriched(
  { stream, config, scope, http, clock, besides, transferredAt = () => null }: EnrichPath,
  rows: readonly Row[],
): Promise<readonly Row[]> {
  if (!stream.enrich) return rows
  const given = rows.map(row => row.row as never)
  const rejects: Reject[] = []
  const reject: EnrichArgs['reject'] = (raw, { path, hint }) => {
    rejects.push(rejectOf(raw, '', 'ROW_UNMAPPABLE', 'decode', path, hint))
  }
  const asked = { config: config as never, scope, rows: given, nowMs: clock.now(), http }
  const args = { ...asked, transferredAt, ...(besides && { reject }) }
  let richer: readonly unknown[]
  try {
    richer = await stream.enrich(args)
  } catch (thrown) {
    throw asPluginError(thrown, 'enrich')
  }
  if (rows.length > 0) answered.add(scope)
  if (!Array.isArray(richer) || richer.length !== rows.length) {
    const got = Array.isArray(richer) ? richer.length : typeof richer
    throw new FlowError('PLUGIN_INVALID', { hint: 'enrich must return as many rows as it got', given: rows.length, got })
  }
  if (rejects.length > 0) besides?.(rejects)
  return rows.map((row, index) => {
    const formerId = stream.formerId?.(richer[index] as never) ?? null
    return { ...row, row: richer[index], ...(formerId !== null && formerId !== row.id && { formerId }) }
  })
}

function* someAtOnce({ stream, derived, enrichRows }: RowPath, rows: readonly Row[], isNew: (row: Row) => boolean) {
  const size = stream.enrich
    ? (enrichRows ?? stream.enrichRows ?? ENRICH_ROWS)
    : derived === null
      ? Math.max(rows.length, 1)
      : DERIVE_ROWS
  let some: Row[] = []
  for (const row of rows) {
    if (isNew(row)) some.push(row)
    if (some.length < size) continue
    yield some
    some = []
  }
  if (some.length > 0) yield some
}

function* mapEach(
  path: RowPath,
  rows: readonly Row[],
  homes: ReadonlyMap<Row, Home | { readonly error: unknown }> | null,
  ctx: RowContext,
  isNew: (row: Row) => boolean,
): Generator<Mapped> {
  for (const [index, row] of rows.entries()) {
    if (!isNew(row)) continue
    const isBoundary = homes === null || index === rows.length - 1
    const home = homes?.get(row) ?? null
    try {
      if (home !== null && 'error' in home) throw home.error
      const drafts = mapOne(path, row, home, ctx)
      yield { row, drafts, home, isOpen: path.stream.follow?.isOpen(row.row as never, ctx) ?? false, isBoundary }
    } catch (thrown) {
      yield { row, reject: unmappable(row.raw, row.id, 'normalise', thrown, row.fingerprint), isBoundary }
    }
  }
}

function mapOne({ stream, derived, door }: RowPath, { row }: Row, home: Home | null, ctx: RowContext): readonly Draft[] {
  const known = home === null || derived === null ? ctx : { ...ctx, derived: derived.refer(home.session, home.turn, ctx) }
  const drafts = stream.normalise(row as never, known)
  return door.records(applyTransfers(drafts, ctx.transfers, door.sessionId))
}

/** The sessions of the rows in hand. A row that will be rejected must not stretch or join any: so it is tried before, and its error kept. */
function deriveHomes({ stream }: RowPath, derived: DerivedSessions, rows: readonly Row[], ctx: RowContext) {
  const homes = new Map<Row, Home | { readonly error: unknown }>()
  const turned: { row: Row; turn: Turn }[] = []
  for (const row of rows) {
    try {
      const turn = derived.turn(row.row, ctx)
      if (turn === null) continue
      requireTime(turn.atMs, ctx.observedAtMs, 'time')
      const drafts = stream.normalise(row.row as never, { ...ctx, derived: derived.provisional(turn, ctx) })
      for (const draft of drafts) checkDraft(draft)
      turned.push({ row, turn: transferredTurn(turn, transferredAt(drafts, ctx.transfers)) })
    } catch (error) {
      homes.set(row, { error })
    }
  }
  for (const [i, session] of derived.assign(turned.map(({ turn }) => turn)).entries()) {
    const { row, turn } = turned[i] as { row: Row; turn: Turn }
    homes.set(row, { session, turn })
  }
  return homes
}

/** The turn with what the rules found in its records, where that is earlier than what the connector says. */
function transferredTurn(turn: Turn, atMs: number | null): Turn {
  const knownMs = turn.transferred === true ? (turn.transferredAtMs ?? turn.atMs) : Infinity
  return atMs === null || atMs >= knownMs ? turn : { ...turn, transferred: true, transferredAtMs: atMs }
}
