/**
 * The life of one source partition: own it (fence, then read cursor and versions), run it, and when something fails, decide what is kept.
 *
 * A vendor's fault leaves writer, cursor and versions as they are: what is in hand is committed, and after a pause reading goes on. Any other
 * fault drops all three, because memory may be ahead of the topics: they are opened and read anew. When another process has taken it over, that one
 * is followed, and the source partition is claimed again when nobody reads it any more (`standby.ts`).
 *
 * The pause doubles from 1 s to 5 min until the source partition gets further than it ever was. A commit alone does not count: a window that fails on
 * its third page commits its first two at each try.
 */
import { type Clock, steadyMs } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import type { Kafka, Writer } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import type { Progress } from '../records.ts'
import type { Http, Scope, Stream } from '../source/contract.ts'
import type { QuotaLease } from '../source/quota.ts'
import { boundedWaitMs } from '../source/wait.ts'
import { watchedStream } from '../source/watchdog.ts'
import { Advance } from './advance.ts'
import type { Fault } from './commit.ts'
import { cursorKey, type CursorOwner } from './cursor.ts'
import { Batches, type Outputs, type RecordEncoder } from './encode.ts'
import type { PartitionHealth } from './health.ts'
import type { PlanSpec } from './plan.ts'
import { Reader, type ReaderParts } from './reader.ts'
import { restore, type RestoreParts } from './restore.ts'
import { run, type Stages } from './run.ts'
import { type IngestMetrics, type StageParts, stagesOf } from './stages.ts'
import type { Standby } from './standby.ts'

export interface TaskParts {
  readonly kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>
  readonly transactionalId: string
  readonly to: Outputs
  readonly scope: Scope
  readonly stream: Stream
  readonly config: object
  readonly spec: PlanSpec
  readonly progress: RecordEncoder<Progress>
  readonly decodeProgress: RestoreParts['decodeProgress']
  readonly reads?: RestoreParts['reads']
  readonly formerTransactionalId?: RestoreParts['formerTransactionalId']
  readonly refreshLimits?: RestoreParts['refreshLimits']
  readonly http: Http
  readonly quota: Pick<QuotaLease, 'spent' | 'isDue' | 'recall'>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: IngestMetrics
  readonly health: PartitionHealth
  readonly signal: AbortSignal
  readonly fault: Fault
  /** Follows other processes; absent: there are none, and being taken over ends the source partition. */
  readonly standby?: Pick<Standby, 'worker' | 'onLost' | 'untilFree'> | undefined
  /** How long a call of the connector may hang by itself, milliseconds of real time. Default: as the watchdog has it. */
  readonly pluginPatienceMs?: number
  /** Told of the reader in use, so that its lane can set the order of requests. */
  readonly onReader: (reader: Reader) => void
  readonly onDemand?: NonNullable<ReaderParts['onDemand']>
  readonly shown?: StageParts['shown']
  readonly onWrote?: StageParts['onWrote']
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 300_000
/** For faults of Kafka, which says by itself when it is back: reading goes on soon after. */
const LONGEST_KAFKA_PAUSE_MS = 10_000
/** After the stop signal, what is in hand may take so long to finish, and closing so much longer. */
const STOP_PATIENCE_MS = 4_000
const CLOSE_PATIENCE_MS = 2_000

interface Parts extends TaskParts {
  readonly owner: CursorOwner | undefined
  readonly advance: Advance
  readonly stopsAtMs: () => number
}

interface Owned {
  readonly writer: Writer
  readonly reader: Reader
  readonly stages: Stages
  /** Aborts at the stop signal, or when another process has taken the source partition over. */
  readonly signal: AbortSignal
  /** Ends following who owns it. */
  readonly release: () => void
}

/** Resolves when the signal has aborted and everything is closed, or when the source partition has ended for good. Never throws. */
export async function runTask(given: TaskParts): Promise<void> {
  const { clock, log, health, signal, standby, spec, to } = given
  const advance = new Advance(given.spec)
  const parts: Parts = {
    ...given,
    stream: watchedStream(given.stream, given.pluginPatienceMs),
    owner: standby && { worker: standby.worker },
    advance,
    stopsAtMs: stopsAt(given),
  }
  let owned: Owned | null = null
  let pauseMs = FIRST_PAUSE_MS
  let hasAdvanced = true
  const onCommit = () => {
    if (!advance.committed()) return
    hasAdvanced = true
    pauseMs = FIRST_PAUSE_MS
  }

  while (!signal.aborted) {
    try {
      if (owned === null) {
        const owning = own(parts, onCommit)
        owned = await patiently(parts, owning)
        // Stopped while it was taken over: whatever comes of that is closed.
        if (owned === null) void owning.then(drop, () => {})
      }
      if (owned) {
        await patiently(parts, run(owned.stages, owned.signal))
        if (!signal.aborted) throw new FlowError('KAFKA_FENCED', { transactionalId: parts.transactionalId })
      }
    } catch (thrown) {
      let error = asFlowError(thrown)
      if (isSources(error) && owned) error = (await finish(parts, owned)) ?? error
      if (!isSources(error) && owned) {
        await patiently(parts, drop(owned), CLOSE_PATIENCE_MS)
        owned = null
      }
      if (signal.aborted || error.code === 'STOPPED') break
      if (error.retry === 'follow' && standby) {
        health.failed(error, 'paused')
        log.warn(errorFields(error), 'source partition taken over by another process, following it')
        await standby.untilFree(cursorKey(to), spec.pollIntervalMs, signal)
        if (!signal.aborted) log.info({}, 'nobody reads the source partition any more, claiming it')
        continue
      }
      if (endsForGood(error)) {
        health.failed(error, 'failed')
        given.metrics.connect.failed(to)
        log.error(errorFields(error), 'source partition stopped')
        break
      }
      // The first lost transaction is answered at once: the cursor tells what came of it.
      const waitMs = isOutcome(error) && hasAdvanced ? 0 : Math.max(pauseMs, askedMs(error))
      if (waitMs > 0) pauseMs = Math.min(2 * pauseMs, isSources(error) ? LONGEST_PAUSE_MS : LONGEST_KAFKA_PAUSE_MS)
      hasAdvanced = false
      health.failed(error, waitMs === 0 ? 'catching_up' : error.code === 'SRC_RATE_LIMITED' ? 'throttled' : 'failed')
      log.error({ ...errorFields(error), againInMs: waitMs }, 'source partition failed, starts again')
      given.metrics.inc('task_restarts_total', { connector: to.connector, stream: to.stream })
      given.metrics.connect.failed(to)
      given.metrics.connect.retried(to)
      await clock.sleep(waitMs, signal)
    }
  }
  if (owned) await patiently(parts, drop(owned), CLOSE_PATIENCE_MS)
}

/** When the stop signal came, by the steady clock; Infinity before. */
function stopsAt({ clock, signal }: TaskParts): () => number {
  let stoppedMs = signal.aborted ? steadyMs(clock) : Infinity
  if (!signal.aborted) signal.addEventListener('abort', () => (stoppedMs = steadyMs(clock)), { once: true })
  return () => stoppedMs
}

async function own(parts: Parts, onCommit: () => void): Promise<Owned> {
  const { kafka, transactionalId, to, quota, clock, log, health, fault, standby } = parts
  const lost = new AbortController()
  const signal = AbortSignal.any([parts.signal, lost.signal])
  const release = standby?.onLost(cursorKey(to), () => lost.abort()) ?? (() => {})
  const writer = kafka.openWriter({ transactionalId })
  try {
    await writer.fence()
    const { cursor, versions, derived, isNew, spent } = await restore(parts, clock.now(), signal)
    // Of a cursor that was reset, what was asked before counts on.
    const isUnasked = isNew && spent.requests.length === 0 && spent.untold === 0
    quota.recall(isUnasked ? null : spent)
    await fault('restored')
    const reader = new Reader(
      {
        ...parts,
        openIds: (afterMs, untilMs, notSinceMs) => versions.openBetween(afterMs, untilMs, notSinceMs),
        timeOf: rowId => versions.timeOf(rowId),
      },
      cursor,
    )
    const stages = stagesOf({ ...parts, signal, writer, reader, versions, derived, batches: new Batches(to), isNew, onCommit })
    parts.onReader(reader)
    // Before its first Progress nobody else knows of the source partition, so it is not ready either.
    if (isNew) await stages.commit()
    health.restored(versions.size)
    log.info({ isNew, versions: versions.size, liveUntil: new Date(cursor.live.atMs).toISOString() }, 'source partition started')
    return { writer, reader, stages, signal, release }
  } catch (thrown) {
    release()
    await writer.close()
    throw thrown
  }
}

/** Commits the pages in hand that are whole, and the parts of one that is not. Returns what went wrong with that. */
async function finish(parts: Parts, { reader, stages }: Owned): Promise<FlowError | null> {
  try {
    reader.close()
    await patiently(parts, stages.commit())
    return null
  } catch (thrown) {
    return asFlowError(thrown)
  }
}

async function drop({ writer, reader, release }: Owned): Promise<void> {
  release()
  reader.close()
  await writer.close()
}

/**
 * The work, but not much longer than the stop signal: null when it is over, and what is left of the work is aborted with the writer.
 *
 * @param moreMs Beyond what all that is in hand may take.
 */
async function patiently<T>({ clock, signal, stopsAtMs }: Parts, work: Promise<T>, moreMs = 0): Promise<T | null> {
  const over = new AbortController()
  const patience = new Promise<null>(resolve => {
    const stop = () => {
      const leftMs = stopsAtMs() + STOP_PATIENCE_MS + moreMs - steadyMs(clock)
      void clock.sleep(leftMs, over.signal).then(() => resolve(null))
    }
    if (signal.aborted) stop()
    else {
      signal.addEventListener('abort', stop, { once: true })
      over.signal.addEventListener('abort', () => signal.removeEventListener('abort', stop), { once: true })
    }
  })
  try {
    return await Promise.race([work, patience])
  } finally {
    over.abort()
    work.catch(() => {})
  }
}

/** A fault of the vendor or of the connector: what is in memory is as it was. */
function isSources(error: FlowError): boolean {
  return error.code.startsWith('SRC_') || error.code === 'PLUGIN_HUNG' || error.code === 'STOPPED'
}

function isOutcome(error: FlowError): boolean {
  return error.retry === 'reread'
}

/** What the vendor shows may be other tomorrow, so a row that ends the task (`errors.tolerance: none`) does not end it for good. */
function endsForGood(error: FlowError): boolean {
  return error.retry === 'never' || error.retry === 'follow'
}

/** What the vendor asked us to wait, bounded: after that it is asked again. */
function askedMs(error: FlowError): number {
  return isSources(error) ? (boundedWaitMs({ ...error.details }) ?? 0) : 0
}
