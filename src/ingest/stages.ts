/**
 * The stages of `run.ts` for one source partition that is owned: each a few lines around the part that does the work.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Http, Stream } from '../source/contract.ts'
import { rowContext, type RowContext } from '../source/records.ts'
import { commit, type CommitParts } from './commit.ts'
import { writeCursor } from './cursor.ts'
import { decode, type Row, unmappable } from './decode.ts'
import type { Batch } from './encode.ts'
import type { PartitionHealth } from './health.ts'
import { completeUntil, type PlanSpec, stillNeeded } from './plan.ts'
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

export function stagesOf(parts: StageParts): Stages {
  const { stream, config, scope, http, spec, to, reader, versions, batch, clock, log, metrics, health, signal, fault } = parts
  const labels = { connector: to.connector, stream: to.stream }
  const taskLabels = { connector: to.connector, task: to.task }
  /** When the first read of the batch began. */
  let batchBeganMs = clock.now()
  let context: { observedAtMs: number; ctx: RowContext } | null = null
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

  async function flush(): Promise<void> {
    if (batch.lane === null) return
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
    health.committed({
      state: reader.isBehind ? 'catching_up' : 'live',
      completeUntilMs: completeUntil(reader.cursor),
      versions: versions.size,
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
      const size = stream.expand ? EXPAND_ROWS : Math.max(rows.length, 1)
      let some: Row[] = []
      for (const row of rows) {
        if (versions.isUnchanged(row.id, row.fingerprint)) batch.unchanged++
        else some.push(row)
        if (some.length < size) continue
        yield some
        some = []
      }
      if (some.length > 0) yield some
      batch.begin(step.piece)
    },

    async expand(rows) {
      if (!stream.expand) return rows
      const given = rows.map(row => row.row as never)
      const richer = await stream.expand({ config: config as never, scope, rows: given, http })
      if (richer.length !== rows.length) {
        throw new FlowError('PLUGIN_INVALID', {
          hint: 'expand must give as many rows as it got',
          given: rows.length,
          got: richer.length,
        })
      }
      await fault('expanded')
      return rows.map((row, index) => ({ ...row, row: richer[index] }))
    },

    normalise(step, row) {
      // The vendor may show a row twice in a page.
      if (versions.isUnchanged(row.id, row.fingerprint)) {
        batch.unchanged++
        return null
      }
      try {
        return stream.normalise(row.row as never, contextOf(step))
      } catch (thrown) {
        const reject = unmappable(row.raw, row.id, 'normalise', thrown, row.fingerprint)
        log.warn(
          { code: reject.code, row: row.id, path: reject.path, error: reject.message, ...place(step.piece) },
          'a row could not be told',
        )
        if (asFlowError(thrown).code === 'BUG' && thrown instanceof Error) log.debug({ stack: thrown.stack }, 'in the connector')
        batch.begin(step.piece)
        batch.reject(reject, step.piece, versions, cursorBefore(step))
        return null
      }
    },

    publish(step, row, drafts) {
      batch.begin(step.piece)
      batch.publish(row, drafts, step.piece, step.observedAtMs, versions, () => cursorBefore(step))
    },

    accept(step) {
      batch.begin(step.piece)
      batch.pages += step.pages
      batch.rows += step.rows.length
      reader.accept(step)
      if (step.endsWindow) versions.forget(stillNeeded(reader.cursor, spec))
    },

    isFull: () =>
      batch.records >= MOST.records ||
      batch.bytes >= MOST.bytes ||
      (stream.expand !== undefined && batch.lane !== null && clock.now() - batchBeganMs >= MOST.ms),

    isDue: step =>
      batch.records >= GOOD.records ||
      batch.bytes >= GOOD.bytes ||
      clock.now() - batchBeganMs >= GOOD.ms ||
      !to.tolerant ||
      (step.endsWindow && step.piece.lane === 'live' && reader.isLiveRead),

    async commit() {
      if (batch.lane !== null) await fault('published')
      await flush()
    },

    async wait() {
      await clock.sleep(Math.max(1, reader.dueAt() - clock.now()), signal)
    },
  }
}
