/**
 * The life of one source partition: own it (fence, then read cursor and versions), run it, and when something fails, decide what is kept.
 *
 * A vendor's fault leaves writer, cursor and versions as they are: what is in hand is committed, and after a pause reading goes on. Any other
 * fault drops all three, because memory may be ahead of the topics: they are opened and read anew. Being fenced ends it: somebody else has it.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, type FlowError } from '../errors.ts'
import type { Kafka, Writer } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import type { Progress } from '../records.ts'
import type { Http, Scope, Stream } from '../source/contract.ts'
import type { QuotaLease } from '../source/quota.ts'
import type { Fault } from './commit.ts'
import { Batches, type Outputs, type RecordEncoder } from './encode.ts'
import type { PartitionHealth } from './health.ts'
import type { PlanSpec } from './plan.ts'
import { Reader } from './reader.ts'
import { restore, type RestoreParts } from './restore.ts'
import { run, type Stages } from './run.ts'
import { type IngestMetrics, stagesOf } from './stages.ts'

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
  /** Told of the reader in use, so that its lane can set the order of requests. */
  readonly onReader: (reader: Reader) => void
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 300_000
/** How long what is in hand may take to finish after the stop signal. */
const STOP_PATIENCE_MS = 4_000

interface Owned {
  readonly writer: Writer
  readonly reader: Reader
  readonly stages: Stages
}

/** Resolves when the signal has aborted and everything is closed, or when the source partition has ended for good. Never throws. */
export async function runTask(parts: TaskParts): Promise<void> {
  const { clock, log, health, signal } = parts
  let owned: Owned | null = null
  let pauseMs = FIRST_PAUSE_MS
  let committed = true
  const onCommit = () => {
    committed = true
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
      if (owned) await patiently(parts, run(owned.stages, signal))
    } catch (thrown) {
      let error = asFlowError(thrown)
      if (isVendors(error) && owned) error = (await finish(parts, owned)) ?? error
      if (!isVendors(error) && owned) {
        await drop(owned)
        owned = null
      }
      if (signal.aborted || error.code === 'STOPPED') break
      if (endsForGood(error)) {
        health.failed(error, 'failed')
        log.error(errorFields(error), 'source partition stopped')
        break
      }
      // The first lost transaction is answered at once: the cursor tells what came of it.
      const waitMs = isOutcome(error) && committed ? 0 : (waitOf(error) ?? pauseMs)
      if (waitMs === pauseMs) pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
      committed = false
      health.failed(error, waitMs === 0 ? 'catching_up' : error.code === 'SRC_RATE_LIMITED' ? 'throttled' : 'failed')
      log.error({ ...errorFields(error), againInMs: waitMs }, 'source partition failed, starts again')
      await clock.sleep(waitMs, signal)
    }
  }
  if (owned) await drop(owned)
}

async function own(parts: TaskParts, onCommit: () => void): Promise<Owned> {
  const { kafka, transactionalId, to, quota, clock, log, health, signal, fault } = parts
  const writer = kafka.openWriter({ transactionalId })
  try {
    await writer.fence()
    const { cursor, versions, derived, isNew, spent } = await restore(parts, clock.now(), signal)
    quota.recall(spent)
    await fault('restored')
    const reader = new Reader({ ...parts, openIds: (afterMs, untilMs) => versions.openBetween(afterMs, untilMs) }, cursor)
    const stages = stagesOf({ ...parts, writer, reader, versions, derived, batches: new Batches(to), isNew, onCommit })
    parts.onReader(reader)
    health.restored(versions.size)
    log.info({ isNew, versions: versions.size, liveUntil: new Date(cursor.live.atMs).toISOString() }, 'source partition started')
    if (isNew) await stages.commit()
    return { writer, reader, stages }
  } catch (thrown) {
    await writer.close()
    throw thrown
  }
}

/** Commits the pages in hand that are whole, and the parts of one that is not. Returns what went wrong with that. */
async function finish(parts: TaskParts, { reader, stages }: Owned): Promise<FlowError | null> {
  try {
    reader.close()
    await patiently(parts, stages.commit())
    return null
  } catch (thrown) {
    return asFlowError(thrown)
  }
}

async function drop({ writer, reader }: Owned): Promise<void> {
  reader.close()
  await writer.close()
}

/** The work, but after the stop signal no longer than it may take: null then, and what is left of it is aborted with the writer. */
async function patiently<T>({ clock, signal }: TaskParts, work: Promise<T>): Promise<T | null> {
  const over = new AbortController()
  const patience = new Promise<null>(resolve => {
    const stop = () => void clock.sleep(STOP_PATIENCE_MS, over.signal).then(() => resolve(null))
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

function isVendors(error: FlowError): boolean {
  return error.code.startsWith('SRC_') || error.code === 'STOPPED'
}

function isOutcome(error: FlowError): boolean {
  return error.retry === 'reread'
}

/** What the vendor shows may be other tomorrow, so a row that ends the task (`errors.tolerance: none`) does not end it for good. */
function endsForGood(error: FlowError): boolean {
  return error.retry === 'never'
}

function waitOf(error: FlowError): number | null {
  return error.retry === 'after' && error.details.waitMs !== undefined ? error.details.waitMs : null
}
