/** The stages of `run.ts` for one source partition that is owned: the row path (`rows.ts`) between a reader and the batch in hand. */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Http, Stream } from '../source/contract.ts'
import { rowContext, type RowContext } from '../source/records.ts'
import type { TopicNames } from '../topics.ts'
import { commit, type CommitParts } from './commit.ts'
import { writeCursor } from './cursor.ts'
import type { DerivedSessions } from './derived.ts'
import { type Batch, type Batches, firstRevisionOf } from './encode.ts'
import type { PartitionHealth } from './health.ts'
import { completeUntil, nothingRead, type Piece, type PlanSpec, stillNeeded, watermark } from './plan.ts'
import { place, type Reader, type Step } from './reader.ts'
import type { Reject } from './reject.ts'
import { decode, mapRows, type Row, type RowPath } from './rows.ts'
import type { Stages } from './run.ts'
import { type ShownTransfers, TransferDelay } from './transfer-delay.ts'
import type { Versions } from './versions.ts'

export type IngestMetrics = Pick<Metrics, 'inc' | 'observe' | 'set' | 'setStreamState' | 'remove' | 'connect'>

export interface StageParts extends CommitParts {
  readonly stream: Stream
  readonly config: object
  readonly http: Http
  readonly spec: PlanSpec
  readonly reader: Reader
  readonly versions: Versions
  /** Null where the stream's sessions are not derived. */
  readonly derived: DerivedSessions | null
  readonly batches: Batches
  /** The source partition has no cursor yet: the first commit writes one, also when nothing was read. */
  readonly isNew: boolean
  readonly clock: Clock
  readonly log: Log
  readonly metrics: IngestMetrics
  readonly health: PartitionHealth
  readonly signal: AbortSignal
  /** Transfers that the connector's streams have shown; absent: of this stream alone. */
  readonly shown?: ShownTransfers | undefined
  /** Called after each commit that reports progress. */
  readonly onCommit: () => void
  /** Called after each commit with the topics that have records of it. */
  readonly onWrote?: ((topics: readonly string[]) => void) | undefined
}

/** When a batch is committed though more could be read at once. */
const GOOD = { records: 5_000, bytes: 8 * 1024 * 1024, ms: 500 } as const
/** When it is committed in the middle of a page. */
const MOST = { records: 20_000, bytes: 32 * 1024 * 1024, ms: 5_000 } as const
/** An open row that does not change is remembered anew so often: well within what the versions topic keeps. */
const REMEMBER_MS = 86_400_000

export function stagesOf(parts: StageParts): Stages {
  const { stream, quota, spec, to, reader, versions, derived, batches, clock, log, health, signal, fault } = parts
  const { config, scope, http } = parts
  const transferredAt = (rowId: string) => versions.transferredAt(rowId)
  const enriched = () => fault('enriched')
  const path: RowPath = { stream, config, scope, http, clock, derived, door: to.door, transferredAt, enriched }
  /** Opened by the first page after a commit, closed by the commit. */
  let batch: Batch | null = parts.isNew ? batches.open(nothingRead(reader.cursor)) : null
  /** When the first read of the batch began. */
  let batchBeganMs = clock.now()
  let pageContext: RowContext | null = null
  /** When an open row that does not change was remembered last. */
  const remembered = new Map<string, number>()
  const { shown, metrics } = parts
  const work = metrics.connect.work(to)
  // What happened before the first poll, or was missed in a long time away, is history.
  const isFarBack = spec.keepsCursor || reader.cursor.live.atMs < clock.now() - spec.lookbackMs
  const liveSinceMs = parts.isNew ? clock.now() : isFarBack ? null : reader.cursor.live.atMs
  const delay = new TransferDelay(to.connector, { metrics, shown, liveSinceMs })
  derived?.settle(atMs => watermark(reader.cursor, atMs))
  /** The cursor before the page in hand, for the rejects in it. */
  let cursorOfPage: { step: Step; text: string } | null = null

  const batchFor = (piece: Piece): Batch => (batch = batch === null ? batches.open(piece) : batch.widen(piece))

  const contextOf = ({ observedAtMs }: Step): RowContext => {
    if (pageContext?.observedAtMs !== observedAtMs) {
      const { vendor, account, connector, transfers } = to
      const { lookbackMs } = spec
      pageContext = rowContext({ vendor, account, connector, config, scope, observedAtMs, lookbackMs, transfers })
    }
    return pageContext
  }
  const cursorBefore = (step: Step): string => {
    if (cursorOfPage?.step !== step)
      cursorOfPage = { step, text: writeCursor(reader.cursor, undefined, false, null, to.door.seal) }
    return cursorOfPage.text
  }

  /** An open row that does not change would be forgotten by the topic while it is still followed. */
  function remember(batch: Batch, rowId: string): void {
    const known = versions.get(rowId)
    if (!known?.open) remembered.delete(rowId)
    if (!known?.open || clock.now() - (remembered.get(rowId) ?? -Infinity) < REMEMBER_MS) return
    remembered.set(rowId, clock.now())
    batch.remember(rowId, known, versions)
  }

  function isNew({ piece, observedAtMs }: Step, row: Row): boolean {
    versions.saw(row.id, observedAtMs, stream.timeOf?.(row.row as never) ?? null)
    if (versions.isUnchanged(row.id, row.fingerprint)) {
      const batch = batchFor(piece)
      batch.passOver(row.id, piece, versions)
      if (piece.followed) remember(batch, row.id)
      return false
    }
    // A followed row that is no longer remembered was given up meanwhile: it is no new one.
    return !piece.followed || versions.has(row.id)
  }

  /** One log line for all of them; none for what was rejected before. */
  function rejectAll(step: Step, rejects: readonly Reject[]): void {
    const { piece } = step
    const batch = batchFor(piece)
    const fresh = rejects.filter(reject => batch.reject(reject, piece, versions, cursorBefore(step)))
    const [first] = fresh
    if (first === undefined) return
    const { code, rowId, path, message, stack } = first
    log.warn(
      { code, row: to.door.loggedId(rowId), path, error: message, rejected: fresh.length, ...place(piece) },
      'rows rejected',
    )
    if (stack !== undefined) log.debug({ stack }, 'error in the connector')
  }

  /** @param isProgress False where only requests are recorded that led to nothing. */
  async function flush(batch: Batch, isProgress: boolean): Promise<void> {
    if (derived !== null && pageContext !== null) batch.derived(derived.drain(pageContext))
    const { rejected: rejects } = batch
    const beganMs = performance.now()
    try {
      await commit(parts, batch, reader.cursor, clock.now())
    } catch (thrown) {
      work.commitFailed(rejects)
      throw thrown
    }
    const tookMs = performance.now() - beganMs
    count(parts, batch, tookMs / 1000)
    work.committed({ rows: batch.rows, records: batch.emitted, rejects, tookMs })
    parts.onWrote?.(topicsOf(batch, to.names))
    delay.committed(batch.transfers, reader.isBehind, clock.now())
    const { lane } = batch
    closeBatch()
    if (!isProgress) return
    const { startMs, backfill } = reader.cursor
    health.committed({
      state: reader.isBehind ? 'catching_up' : 'live',
      completeUntilMs: completeUntil(reader.cursor),
      versions: versions.size + (derived?.size ?? 0),
      lane,
      backfill: backfill && { fromMs: startMs, reachedMs: backfill.atMs, untilMs: backfill.untilMs },
    })
    parts.onCommit()
    await fault('committed')
  }

  function closeBatch(): void {
    batch?.close()
    batch = null
  }

  return {
    async read() {
      if (batch === null) batchBeganMs = clock.now()
      const beganMs = performance.now()
      const step = await reader.next()
      if (step === null) return null
      if (step.pages > 0) work.polled(step.rows.length, performance.now() - beganMs)
      await fault('read')
      if (batch !== null && batch.lane !== step.piece.lane) {
        await flush(batch, true)
        batchBeganMs = clock.now()
      }
      batchFor(step.piece)
      return step
    },

    async decode(step) {
      const { rows, rejects } = decode(stream, step.rows, contextOf(step))
      if (rejects.length > 0) rejectAll(step, rejects)
      await fault('decoded')
      return rows
    },

    map: (step, rows) =>
      mapRows({ ...path, besides: rejects => rejectAll(step, rejects) }, rows, contextOf(step), row => isNew(step, row)),

    append(step, mapped) {
      const { row } = mapped
      if ('reject' in mapped) {
        rejectAll(step, [mapped.reject])
        return
      }
      const { piece, observedAtMs } = step
      const { drafts, home, isOpen } = mapped
      const isFirst = !versions.has(row.id)
      if (!isFirst) batchFor(piece).changed++
      const isAppended = batchFor(piece).append(row, drafts, piece, observedAtMs, versions, () => cursorBefore(step), isOpen)
      if (!isAppended || derived === null || home === null) return
      const firstRevision = firstRevisionOf(piece, observedAtMs)
      const { forgotten, window } = piece
      derived.count(home.session, home.turn, { isNew: isFirst, forgotten, firstRevision, readUntilMs: window.untilMs })
    },

    accept(step) {
      const batch = batchFor(step.piece)
      batch.pages += step.pages
      batch.rows += step.rows.length
      reader.accept(step)
      if (!step.endsWindow) return
      const isNeeded = stillNeeded(reader.cursor, spec)
      versions.forget(isNeeded)
      if (derived === null) return
      contextOf(step)
      derived.settle(atMs => watermark(reader.cursor, atMs))
      derived.forget(isNeeded, reader.cursor.backfill?.untilMs)
    },

    isFull: ({ isBoundary }) =>
      batch !== null &&
      isBoundary &&
      (batch.records >= MOST.records ||
        batch.bytes >= MOST.bytes ||
        quota.isDue() ||
        (stream.enrich !== undefined && clock.now() - batchBeganMs >= MOST.ms)),

    isDue: ({ endsWindow, piece }) =>
      batch !== null &&
      (batch.records >= GOOD.records ||
        batch.bytes >= GOOD.bytes ||
        clock.now() - batchBeganMs >= GOOD.ms ||
        quota.isDue() ||
        !to.tolerant ||
        (endsWindow && piece.lane === 'live' && reader.isLiveRead)),

    async commit() {
      const isProgress = batch !== null
      // Requests that led to nothing are recorded, too: a process that starts after this one must count them.
      if (batch === null && quota.isDue()) batchFor(nothingRead(reader.cursor))
      if (batch === null) return
      await fault('published')
      await flush(batch, isProgress)
    },

    async wait() {
      await clock.sleep(Math.max(1, reader.dueAt() - clock.now()), signal)
    },
  }
}

function topicsOf(batch: Batch, names: TopicNames): string[] {
  return [
    ...(batch.sessions > 0 ? [names.sessions] : []),
    ...(batch.messages > 0 ? [names.messages] : []),
    ...(batch.events > 0 ? [names.events] : []),
  ]
}

function count({ metrics, to }: StageParts, batch: Batch, commitSeconds: number): void {
  const labels = { connector: to.connector, stream: to.stream }
  metrics.observe('ingest_commit_seconds', labels, commitSeconds)
  if (batch.sessions > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'session' }, batch.sessions)
  if (batch.messages > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'message' }, batch.messages)
  if (batch.events > 0) metrics.inc('ingest_records_total', { ...labels, kind: 'event' }, batch.events)
  for (const [reason, rejected] of batch.rejects) metrics.inc('ingest_rejects_total', { ...labels, reason }, rejected)
  metrics.inc('ingest_unchanged_total', labels, batch.unchanged)
  metrics.inc('rereads_total', labels, batch.unchanged + batch.changed)
}
