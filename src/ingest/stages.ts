/**
 * The stages of `run.ts` for one source partition that is owned: each a few lines around the part that does the work.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Http, Stream, Turn } from '../source/contract.ts'
import { rowContext, type RowContext } from '../source/records.ts'
import { commit, type CommitParts } from './commit.ts'
import { writeCursor } from './cursor.ts'
import { decode, type Row, unmappable } from './decode.ts'
import type { Derived, DerivedSessions } from './derived.ts'
import { type Batch, firstRevisionOf } from './encode.ts'
import type { PartitionHealth } from './health.ts'
import { completeUntil, nothingRead, type PlanSpec, stillNeeded, watermark } from './plan.ts'
import { place, type Reader, type Step } from './reader.ts'
import type { Stages } from './run.ts'
import type { Versions } from './versions.ts'

export type IngestMetrics = Pick<Metrics, 'inc' | 'observe' | 'set' | 'setStreamState'>

export interface StageParts extends CommitParts {
  readonly stream: Stream
  readonly config: object
  readonly http: Http
  readonly spec: PlanSpec
  readonly reader: Reader
  readonly versions: Versions
  /** Null where the stream's sessions are not derived. */
  readonly derived: DerivedSessions | null
  readonly batch: Batch
  readonly clock: Clock
  readonly log: Log
  readonly metrics: IngestMetrics
  readonly health: PartitionHealth
  readonly signal: AbortSignal
  /** Told after each commit. */
  readonly onCommit: () => void
}

/** When a batch is committed though more could be read at once. */
const GOOD = { records: 5_000, bytes: 8 * 1024 * 1024, ms: 500 } as const
/** When it is committed in the middle of a page. */
const MOST = { records: 20_000, bytes: 32 * 1024 * 1024, ms: 5_000 } as const
/** Rows of one call of `expand`. */
const EXPAND_ROWS = 100
/** Rows whose sessions are derived together: many, so that an id is made of a session's first turn. */
const DERIVE_ROWS = 5_000
/** An open row that does not change is remembered anew so often: well within what the versions topic keeps. */
const REMEMBER_MS = 86_400_000

/** What a row in hand belongs to, where sessions are derived; `error`: the connector cannot tell. */
type Home = { readonly session: Derived; readonly turn: Turn } | { readonly error: unknown }

export function stagesOf(parts: StageParts): Stages {
  const { stream, config, scope, http, quota, spec, to, reader, versions, derived, batch, clock, log, metrics, health, signal } =
    parts
  const { fault } = parts
  const labels = { connector: to.connector, stream: to.stream }
  const taskLabels = { connector: to.connector, task: to.task }
  /** When the first read of the batch began. */
  let batchBeganMs = clock.now()
  let context: { observedAtMs: number; ctx: RowContext } | null = null
  /** The sessions of the rows in hand, by row. */
  const homes = new Map<Row, Home>()
  /** When an open row that does not change was remembered last. */
  const remembered = new Map<string, number>()
  derived?.settle(atMs => watermark(reader.cursor, atMs))
  /** The cursor before the page in hand, for the rejects in it. */
  let cursorOfPage: { step: Step; text: string } | null = null

  const contextOf = (step: Step): RowContext => {
    if (context?.observedAtMs !== step.observedAtMs) {
      const { vendor, account, connector } = to
      const { observedAtMs } = step
      const ctx = rowContext({ vendor, account, connector, config, scope, observedAtMs, lookbackMs: spec.lookbackMs })
      context = { observedAtMs, ctx }
    }
    return context.ctx
  }
  const cursorBefore = (step: Step): string => {
    if (cursorOfPage?.step !== step) cursorOfPage = { step, text: writeCursor(reader.cursor) }
    return cursorOfPage.text
  }

  async function expanded(rows: readonly Row[]): Promise<readonly Row[]> {
    if (!stream.expand) return rows
    const given = rows.map(row => row.row as never)
    const richer = await stream.expand({ config: config as never, scope, rows: given, nowMs: clock.now(), http })
    if (richer.length !== rows.length) {
      throw new FlowError('PLUGIN_INVALID', {
        hint: 'expand must give as many rows as it got',
        given: rows.length,
        got: richer.length,
      })
    }
    await fault('expanded')
    return rows.map((row, index) => ({ ...row, row: richer[index] }))
  }

  /** An open row that does not change would be forgotten by the topic while it is still followed. */
  function remember(rowId: string): void {
    const known = versions.get(rowId)
    if (!known?.open) remembered.delete(rowId)
    if (!known?.open || clock.now() - (remembered.get(rowId) ?? -Infinity) < REMEMBER_MS) return
    remembered.set(rowId, clock.now())
    batch.remember(rowId, known, versions)
  }

  /** The sessions of the rows in hand. A row that will be rejected must not stretch or join any: so it is tried before, and its error kept for `normalise`. */
  function deriveHomes(derived: DerivedSessions, rows: readonly Row[], ctx: RowContext): void {
    homes.clear()
    const turned: { row: Row; turn: Turn }[] = []
    for (const row of rows) {
      try {
        const turn = derived.turn(row.row, ctx)
        if (turn === null) continue
        stream.normalise(row.row as never, { ...ctx, derived: derived.provisional(turn, ctx) })
        turned.push({ row, turn })
      } catch (error) {
        homes.set(row, { error })
      }
    }
    for (const [i, session] of derived.assign(turned.map(({ turn }) => turn)).entries()) {
      const { row, turn } = turned[i] as { row: Row; turn: Turn }
      homes.set(row, { session, turn })
    }
  }

  function isOpen(row: Row, ctx: RowContext): boolean {
    return stream.follow?.isOpen(row.row as never, ctx) ?? false
  }

  /** @param isProgress False where only requests are told, that came to nothing. */
  async function flush(isProgress = true): Promise<void> {
    if (batch.lane === null) return
    if (derived !== null && context !== null) batch.derived(derived.drain(context.ctx))
    const beganMs = performance.now()
    await commit(parts, batch, reader.cursor, clock.now())
    metrics.observe('ingest_commit_seconds', labels, (performance.now() - beganMs) / 1000)
    if (batch.sessions > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'session' }, batch.sessions)
    if (batch.messages > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'message' }, batch.messages)
    if (batch.events > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'event' }, batch.events)
    for (const [reason, count] of batch.rejects) metrics.inc('ingest_rejects_total', { ...labels, reason }, count)
    metrics.inc('ingest_unchanged_total', labels, batch.unchanged)
    metrics.inc('kafka_connect_source_task_source_record_poll_total', taskLabels, batch.rows)
    metrics.inc('kafka_connect_source_task_source_record_write_total', taskLabels, batch.emitted)
    batch.reset()
    if (!isProgress) return
    health.committed({
      state: reader.isBehind ? 'catching_up' : 'live',
      completeUntilMs: completeUntil(reader.cursor),
      versions: versions.size + (derived?.size ?? 0),
    })
    parts.onCommit()
    await fault('committed')
  }

  return {
    async read() {
      if (batch.lane === null) batchBeganMs = clock.now()
      const step = await reader.next()
      if (step === null) return null
      await fault('read')
      if (batch.lane !== null && batch.lane !== step.piece.lane) {
        await flush()
        batchBeganMs = clock.now()
      }
      batch.begin(step.piece)
      return step
    },

    async decode(step) {
      const decoded = decode(stream, step.rows, contextOf(step))
      const [first] = decoded.rejects
      if (first) {
        const { code, rowId, path, message } = first
        log.warn(
          { code, row: rowId, path, error: message, rejected: decoded.rejects.length, ...place(step.piece) },
          'rows could not be read',
        )
      }
      for (const reject of decoded.rejects) batch.reject(reject, step.piece, versions, cursorBefore(step))
      await fault('decoded')
      return decoded
    },

    *changed(step, { rows }) {
      const size = stream.expand ? (stream.expandRows ?? EXPAND_ROWS) : derived ? DERIVE_ROWS : Math.max(rows.length, 1)
      let some: Row[] = []
      for (const row of rows) {
        if (versions.isUnchanged(row.id, row.fingerprint)) {
          batch.unchanged++
          if (step.piece.followed) remember(row.id)
          // A row that nobody asked for, or that has been given up meanwhile, is no new one.
        } else if (!step.piece.followed || versions.get(row.id) !== undefined) some.push(row)
        if (some.length < size) continue
        yield some
        some = []
      }
      if (some.length > 0) yield some
      batch.begin(step.piece)
    },

    async expand(changed) {
      const rows = await expanded(changed)
      if (derived !== null && context !== null) deriveHomes(derived, rows, context.ctx)
      return rows
    },

    normalise(step, row) {
      // The vendor may show a row twice in a page.
      if (versions.isUnchanged(row.id, row.fingerprint)) {
        batch.unchanged++
        homes.delete(row)
        return null
      }
      try {
        const home = homes.get(row)
        const ctx = contextOf(step)
        if (home && 'error' in home) throw home.error
        if (!home || derived === null) return stream.normalise(row.row as never, ctx)
        return stream.normalise(row.row as never, { ...ctx, derived: derived.refer(home.session, home.turn, ctx) })
      } catch (thrown) {
        const reject = unmappable(row.raw, row.id, 'normalise', thrown, row.fingerprint)
        log.warn(
          { code: reject.code, row: row.id, path: reject.path, error: reject.message, ...place(step.piece) },
          'a row could not be told',
        )
        if (asFlowError(thrown).code === 'BUG' && thrown instanceof Error) log.debug({ stack: thrown.stack }, 'in the connector')
        batch.begin(step.piece)
        batch.reject(reject, step.piece, versions, cursorBefore(step))
        homes.delete(row)
        return null
      }
    },

    publish(step, row, drafts) {
      const { piece, observedAtMs } = step
      batch.begin(piece)
      const home = homes.get(row)
      homes.delete(row)
      const isNew = versions.get(row.id) === undefined
      const open = isOpen(row, contextOf(step))
      if (!batch.publish(row, drafts, piece, observedAtMs, versions, () => cursorBefore(step), open)) return
      if (derived === null || !home || 'error' in home) return
      const firstRevision = firstRevisionOf(piece, observedAtMs)
      const { forgotten, window } = piece
      derived.count(home.session, home.turn, { isNew, forgotten, firstRevision, readUntilMs: window.untilMs })
    },

    accept(step) {
      batch.begin(step.piece)
      batch.pages += step.pages
      batch.rows += step.rows.length
      reader.accept(step)
      if (!step.endsWindow) return
      const isNeeded = stillNeeded(reader.cursor, spec)
      versions.forget(isNeeded)
      if (derived === null) return
      contextOf(step)
      derived.settle(atMs => watermark(reader.cursor, atMs))
      derived.forget(isNeeded)
    },

    // Rows whose sessions were derived together are counted together.
    isFull: () =>
      homes.size === 0 &&
      (batch.records >= MOST.records ||
        batch.bytes >= MOST.bytes ||
        quota.isDue() ||
        (stream.expand !== undefined && batch.lane !== null && clock.now() - batchBeganMs >= MOST.ms)),

    isDue: step =>
      batch.records >= GOOD.records ||
      batch.bytes >= GOOD.bytes ||
      clock.now() - batchBeganMs >= GOOD.ms ||
      quota.isDue() ||
      !to.tolerant ||
      (step.endsWindow && step.piece.lane === 'live' && reader.isLiveRead),

    async commit() {
      const isProgress = batch.lane !== null
      // Requests that came to nothing are told, too: a process that starts after this one must count them.
      if (!isProgress && quota.isDue()) batch.begin(nothingRead(reader.cursor))
      if (batch.lane !== null) await fault('published')
      await flush(isProgress)
    },

    async wait() {
      await clock.sleep(Math.max(1, reader.dueAt() - clock.now()), signal)
    },
  }
}
