/** A look at what a connector gives, without Kafka: nothing is written, no cursor moves. */
import type { Clock } from '../clock.ts'
import type { Network } from '../dispatcher.ts'
import { asFlowError, asPluginError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Event, Message, Session } from '../records.ts'
import { contentId } from '../source/content-id.ts'
import type { Http, Scope, Stream, Window } from '../source/contract.ts'
import { createHttp } from '../source/http.ts'
import { watchedStream } from '../source/watchdog.ts'
import { PRIORITY, quotaPool, type QuotaPool } from '../source/quota.ts'
import { rowContext, type RowContext } from '../source/records.ts'
import { halve } from '../source/windows.ts'
import { DerivedSessions } from './derived.ts'
import { type Door, doorOf } from './door.ts'
import { maskFor } from './mask.ts'
import type { PlanSpec } from './plan.ts'
import type { Reject } from './reject.ts'
import { decode, mapRows, type Row, type RowPath } from './rows.ts'
import { type ConnectorToRun, leaseOf, partitionsOf, planSpecOf } from './source-partition.ts'

export type Peeked =
  | { readonly kind: 'session'; readonly record: Session }
  | { readonly kind: 'message'; readonly record: Message }
  | { readonly kind: 'event'; readonly record: Event }
  | { readonly kind: 'reject'; readonly record: { reason: string; stage: string; path: string; message: string; row: unknown } }

export interface PeekOptions extends Omit<ConnectorToRun, 'name'> {
  /** Of all connectors that are looked at, so that they share what they share in production. Default: one of its own. */
  readonly pool?: QuotaPool
  readonly name?: string
  /** Most records of all streams together; each stream gets its share. */
  readonly limit: number
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  /** The way to the vendor. Default: directly. */
  readonly network?: Network
}

/** How far back a stream is looked at whose rows never change. */
const NO_LOOKBACK_MS = 86_400_000
const FIRST_WINDOW_MS = 900_000
/** Pages with rows after which the newer half of a window is looked at by itself: vendors list the oldest first. */
const MOST_PAGES = 5
/** Rows of one call of `enrich`: few, because few are shown. */
const ENRICH_ROWS = 10

interface Place extends Omit<PeekOptions, 'limit'> {
  readonly stream: Stream
  readonly scope: Scope
  readonly http: Http
  readonly spec: PlanSpec
  readonly account: string
  readonly name: string
}

/** A place that is being looked at. Sessions are derived from what is shown only: where a longer look would make them longer, they are cut. */
interface Look extends Place {
  readonly path: RowPath
  /** Sessions that were derived and shown. */
  readonly shown: Set<string>
}

/**
 * Reads each stream backwards from now over the lookback until there are `limit` records: the newest windows first, in a window the rows that
 * began last. What cannot be read of a window stands before its records.
 *
 * @throws FlowError of the vendor
 */
export async function* peekConnector(options: PeekOptions): AsyncGenerator<Peeked> {
  const places = placesOf(options)
  let left = options.limit
  for (const [index, { open }] of places.entries()) {
    let share = Math.ceil(left / (places.length - index))
    if (share <= 0) return
    const { place, close } = open()
    try {
      for await (const peeked of peekStream(place)) {
        yield peeked
        left--
        if (--share === 0) break
      }
    } finally {
      await close()
    }
  }
}

/** A stream and scope that can be looked at by itself, to know whether the vendor answers. */
export interface Probe {
  readonly stream: string
  readonly scope: string
  /** Reads the newest window up to its first record. @throws FlowError of the vendor */
  readonly look: () => Promise<Peeked | null>
}

export function probesOf(options: Omit<PeekOptions, 'limit'>): Probe[] {
  return placesOf(options).map(({ stream, scope, open }) => ({
    stream,
    scope,
    look: async () => {
      const { place, close } = open()
      try {
        return await firstOf(place)
      } finally {
        await close()
      }
    },
  }))
}

/** What the connector says of its account (`Connector.facts`); null: it says nothing. @throws FlowError of the vendor */
export async function factsOf(options: Omit<PeekOptions, 'limit'>): Promise<readonly string[] | null> {
  const { connector } = options
  const [first] = placesOf(options)
  if (connector.facts === undefined || first === undefined) return null
  const { place, close } = first.open()
  try {
    return await connector.facts({ config: options.config as never, http: place.http, transfers: options.base.transfers })
  } catch (thrown) {
    throw asPluginError(thrown, 'facts')
  } finally {
    await close()
  }
}

/** Every stream and scope of the connector, to be opened one after another under the quota that they share. */
function placesOf(options: Omit<PeekOptions, 'limit'>) {
  const { connector, base, config, clock, log, signal, name = base.account } = options
  const { pool = quotaPool(clock) } = options
  const httpSpec = connector.http(config as never)
  const way = options.network === undefined ? {} : { network: options.network }
  return partitionsOf(connector, base, config).map(({ stream, streamName, scope }) => ({
    stream: streamName,
    scope: scope.name,
    open: () => {
      const lease = leaseOf(pool, { ...options, name }, scope)
      const http = createHttp(httpSpec, { quota: lease.gate, priority: PRIORITY.live, signal, clock, log, ...way })
      const spec = planSpecOf(connector, stream, base, config)
      const place: Place = { ...options, name, stream: watchedStream(stream), scope, http, spec, account: base.account }
      const close = async () => {
        lease.end()
        await http.close()
      }
      return { place, close }
    },
  }))
}

async function* peekStream(of: Place): AsyncGenerator<Peeked> {
  const place = lookAt(of)
  const said = new Set<string>()
  for (const window of windowsBack(place.spec, place.clock.now())) {
    for await (const rows of rowsIn(place, window)) {
      for await (const peeked of recordsOf(place, rows)) {
        // What two windows share is told by both.
        const words = contentId(peeked.kind, JSON.stringify({ ...peeked.record, observed_at: 0 }))
        if (said.has(words)) continue
        said.add(words)
        yield peeked
      }
    }
  }
}

/** Any record of the newest window, in as few requests as that takes. */
async function firstOf(of: Place): Promise<Peeked | null> {
  const place = lookAt(of)
  for (const window of windowsBack(place.spec, place.clock.now())) {
    for await (const rows of rowsIn(place, window, 'pages')) {
      for await (const peeked of recordsOf(place, rows)) return peeked
    }
    break
  }
  return null
}

function lookAt(place: Place): Look {
  const { stream, config, scope, http, clock, name, spec } = place
  const derive = stream.derive?.(config as never) ?? null
  const derived = derive && new DerivedSessions(derive, { connector: name, stream: '', scope: scope.name })
  derived?.settle(() => clock.now() - spec.lagMs)
  const path = {
    stream,
    config,
    scope,
    http,
    clock,
    derived,
    door: doorOf(maskFor(place.connector, place.base)),
    enrichRows: ENRICH_ROWS,
  }
  return { ...place, path, shown: new Set() }
}

/**
 * The rows of the window: of all its pages at once, or page by page. Where the window is too long for the vendor, or has many pages, those of its
 * newer half come first, then those of the other.
 */
async function* rowsIn(of: Place, window: Window, by: 'window' | 'pages' = 'window'): AsyncGenerator<readonly unknown[]> {
  const { stream, config, scope, http, clock, signal, spec } = of
  const halves = halve(window, spec.smallestMs)
  const pages: (readonly unknown[])[] = []
  let isTooLong = false
  try {
    for await (const { rows, resume } of stream.read({
      config: config as never,
      scope,
      window,
      resume: null,
      nowMs: clock.now(),
      http,
    })) {
      if (signal.aborted) return
      if (by === 'pages') yield rows
      else if (rows.length > 0) pages.push(rows)
      isTooLong = pages.length === MOST_PAGES && resume !== null && halves !== null
      if (isTooLong) break
    }
  } catch (thrown) {
    isTooLong = asFlowError(thrown).code === 'SRC_WINDOW_TOO_LARGE' && halves !== null
    if (!isTooLong) throw asPluginError(thrown, 'read')
  }
  if (!isTooLong) yield pages.flat()
  else for (const half of halves?.toReversed() ?? []) yield* rowsIn(of, half, by)
}

async function* recordsOf(look: Look, raws: readonly unknown[]): AsyncGenerator<Peeked> {
  const { stream, config, scope, clock, spec, connector, account, name, path } = look
  const { lookbackMs } = spec
  const { transfers } = look.base
  const vendor = connector.manifest.id
  const ctx = rowContext({ vendor, account, connector: name, config, scope, observedAtMs: clock.now(), lookbackMs, transfers })
  const { rows, rejects } = decode(stream, raws, ctx)
  for (const reject of rejects) yield shown(path.door, reject)
  if (path.derived === null)
    yield* mapped(
      path,
      newestFirst(rows, row => previewOf(path, row, ctx)),
      ctx,
    )
  else yield* derivedFirst(look, path.derived, rows, ctx)
}

async function* mapped(path: RowPath, rows: readonly Row[], ctx: RowContext): AsyncGenerator<Peeked> {
  for await (const some of mapRows(path, rows, ctx, () => true)) {
    for (const each of some) {
      if ('reject' in each) yield shown(path.door, each.reject)
      else {
        yield* each.drafts
        if (each.home === null || path.derived === null) continue
        const { session, turn } = each.home
        path.derived.count(session, turn, { isNew: true, firstRevision: 1, readUntilMs: turn.atMs })
      }
    }
  }
}

/** The first record of the row before it was enriched; undefined where it cannot be mapped without. */
function previewOf({ stream }: RowPath, { row }: Row, ctx: RowContext): Peeked | undefined {
  try {
    return stream.normalise(row as never, ctx)[0]
  } catch {
    return undefined
  }
}

/** By the time of the record that stands for each; what has none stands where the vendor put it, after the one before. */
function newestFirst<T>(items: readonly T[], recordOf: (item: T) => Peeked | undefined): T[] {
  let atMs = -Infinity
  const timed = items.map(item => {
    atMs = timeOf(recordOf(item)) ?? atMs
    return { item, atMs }
  })
  return timed.sort((a, b) => b.atMs - a.atMs || 0).map(({ item }) => item)
}

function timeOf(peeked: Peeked | undefined): number | undefined {
  if (peeked?.kind === 'session') return peeked.record.started_at
  if (peeked?.kind === 'message') return peeked.record.sent_at
  return peeked?.kind === 'event' ? peeked.record.occurred_at : undefined
}

/** Where sessions are derived: the sessions, each once, then the records of the rows. */
async function* derivedFirst(
  { path, shown }: Look,
  derived: DerivedSessions,
  rows: readonly Row[],
  ctx: RowContext,
): AsyncGenerator<Peeked> {
  const peeked: Peeked[] = []
  for await (const each of mapped(path, rows, ctx)) peeked.push(each)
  const sessions: Peeked[] = []
  for (const { sessionId, record } of derived.drain(ctx).sessions) {
    if (record === null || shown.has(sessionId)) continue
    shown.add(sessionId)
    sessions.push(...path.door.records([{ kind: 'session', record }]))
  }
  yield* newestFirst(sessions, session => session)
  yield* newestFirst(peeked, each => each)
}

function shown(door: Door, { code, stage, path, message, raw }: Reject): Peeked {
  return { kind: 'reject', record: { reason: code, stage, path, message, row: door.row(raw) } }
}

/**
 * Touching windows from now backwards over the lookback: short at first, since few records are wanted, then twice as long each. One window where the
 * vendor's own cursor is followed.
 */
function* windowsBack(spec: PlanSpec, nowMs: number): Generator<Window> {
  const untilMs = nowMs - (spec.lookbackMs > 0 ? spec.lookbackMs : NO_LOOKBACK_MS)
  if (spec.keepsCursor) {
    yield { fromMs: untilMs, untilMs: nowMs }
    return
  }
  let lengthMs = Math.max(FIRST_WINDOW_MS, spec.smallestMs)
  for (let atMs = nowMs; atMs > untilMs; lengthMs *= 2) {
    const fromMs = Math.max(untilMs, atMs - Math.min(lengthMs, spec.longestMs))
    yield { fromMs, untilMs: atMs }
    atMs = fromMs
  }
}
