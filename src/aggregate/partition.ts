/**
 * One partition number from its assignment to its loss: fence, restore, then batch after batch. Whatever fails, what was committed stands.
 *
 * When Kafka or the registry fails, the state in memory is kept: it holds what was committed and what is still to be published. The number is claimed again,
 * and the offsets topic says whether the last transaction was committed. After any other failure, and when somebody else has written meanwhile, the state is
 * dropped and restored, never repaired.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, type FlowError } from '../errors.ts'
import type { Encoder } from '../kafka/codec.ts'
import type { WhyNot } from '../kafka/membership.ts'
import type { Chunk, TopicPartition, Writer } from '../kafka/port.ts'
import { errorFields } from '../log.ts'
import type { SeriesPoint } from '../records.ts'
import type { Watermarks } from '../watermark.ts'
import type { Counting } from './decode.ts'
import { createIntake, type Intake } from './intake.ts'
import type { Position } from './offsets.ts'
import type { ProgressFeed } from './progress.ts'
import { createPublisher } from './publish.ts'
import { createReconciler, type Reconciler } from './reconcile.ts'
import { type Checkpoint, type Checkpoints, NULLS_LAST_MS } from './checkpoint.ts'
import { claim, type ClaimParts, openOwner } from './claim.ts'
import { restore, type Restored, type RestoreParts, type Stored } from './restore.ts'
import type { Folded } from './series.ts'

export interface PartitionParts extends RestoreParts, ClaimParts {
  /**
   * Longer than the group takes to tell a member that it was given up (its session timeout): who is fenced and still a member after that is the
   * owner and claims its number again. Sooner, a member that does not know of its loss yet would fence its successor.
   */
  readonly fencedWaitMs: number
  readonly clock: Clock
  readonly counting: Counting
  /** Where the state is written to, so that a start reads only what came later; null: nowhere. */
  readonly checkpoints: Checkpoints | null
  readonly checkpointRecords: number
  readonly encoder: Encoder<SeriesPoint>
  readonly progress: ProgressFeed
  readonly metrics: AggregateMetrics
  readonly maxRecords: number
  readonly rollUpCells: number
  readonly lingerMs: number
}

/** What the aggregator tells of itself. Called between batches, with totals of a batch; nothing here is called for every record. */
export interface AggregateMetrics {
  /** Records counted in and committed. */
  records(topic: string, n: number): void
  /** Records of the partition that are not counted in yet; null: the partition is not ours any more. */
  lag(topic: string, partition: number, n: number | null): void
  restoreSeconds(seconds: number): void
  /**
   * What was committed just now and happened less than an hour before: counters of it never count anything twice, whatever is restored. What a
   * crash leaves uncounted is at most the last batch.
   *
   * @param eventTimeMs The newest time among them, epoch milliseconds.
   */
  firstSeen(kind: FirstSeenKind, of: FirstSeenLabels, eventTimeMs: number, n: number): void
  /** Something is counted for these labels, or was before a restart: counters of them begin at 0, so that the first increase is seen. */
  known?(of: FirstSeenLabels): void
  /** What a vendor's own statistics count, and what we count; null: that is not known, or the partition is not ours any more. */
  reconciled?(
    of: { vendor: string; account: string; bot_id: string; measure: string },
    counts: { vendor: number; own: number } | null,
  ): void
  /** Records committed that count in a coarser series, because their account has no room for their own. */
  folded?(of: { vendor: string; account: string }, n: number): void
  /** Records left out: `invalid` could not be read, `late` are for days before the retention. */
  leftOut?(topic: string | null, reason: 'invalid' | 'late', n: number): void
}

export type FirstSeenKind = 'session' | 'message' | 'agent_transfer'

export interface FirstSeenLabels {
  readonly vendor: string
  readonly account: string
  readonly bot_id: string
  readonly channel: string
  /** With messages: user, bot, agent or other. */
  readonly sender?: string
}

const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 10_000
/** A broker that is well answers a fetch after half a second; a batch is published in less than this. */
const SILENCE_MS = 8_000

/** @param report Called with what tells why the number is not worked. Returns when the signal aborts. */
export async function workPartition(
  parts: PartitionParts,
  partition: number,
  signal: AbortSignal,
  report: (whyNot: WhyNot) => void,
): Promise<void> {
  const { clock } = parts
  const log = parts.log.child({ partition })
  let waitMs = FIRST_WAIT_MS
  while (!signal.aborted) {
    report(() => 'is being restored')
    const writer = openOwner(parts, partition)
    try {
      await own({ ...parts, log }, partition, writer, signal, whyNot => {
        waitMs = FIRST_WAIT_MS
        report(whyNot)
      })
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (signal.aborted) break
      if (error.code === 'KAFKA_FENCED') waitMs = parts.fencedWaitMs
      if (error.code === 'AGGREGATE_LOST') waitMs = LONGEST_WAIT_MS
      const why = error.code === 'KAFKA_FENCED' ? 'was taken over by another process' : `failed: ${error.message}`
      report(() => why)
      const level = error.code === 'AGGREGATE_LOST' ? 'error' : 'warn'
      log[level]({ ...errorFields(error), waitMs }, 'partition number stopped; its state is restored again')
    } finally {
      await writer.close()
    }
    await clock.sleep(waitMs, signal)
    waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
  }
}

/** One ownership, from the fence on. Returns when the signal aborts, after the transaction in hand. */
async function own(
  parts: PartitionParts,
  partition: number,
  writer: Writer,
  signal: AbortSignal,
  working: (whyNot: WhyNot) => void,
): Promise<void> {
  const { names, clock, metrics, log } = parts
  const startedMs = clock.now()
  const checkpoint = parts.checkpoints?.of(partition) ?? null
  const { stored, restored } = await restoreFrom(parts, partition, writer, checkpoint, startedMs, signal)
  const { state, position, changed } = restored
  if (position.groupId !== null && position.groupId !== parts.groupId) {
    log.warn(
      { group: parts.groupId, before: position.groupId },
      'series of this partition number were written by another group; two groups on one topics.prefix take them from each other: use one aggregator.groupId',
    )
  }
  const { marks, release } = await parts.progress.watermarksOf(partition)
  const reconciler = createReconciler()
  try {
    for (const [topic, next] of position.inputs) marks.passed(topic, partition, next)
    const worker = createWorker({ ...parts, reconciler, checkpoint }, partition, restored, stored.writtenMs, marks)
    if (changed) await worker.publish(writer)
    metrics.restoreSeconds((clock.now() - startedMs) / 1000)
    log.info(
      {
        cells: state.cells.size,
        sessions: state.sessions.size,
        keys: state.counted.size,
        restoreMs: clock.now() - startedMs,
        from: restored.checkpoint === null ? 'topics' : 'checkpoint',
      },
      'partition number restored',
    )
    await workOn({ ...parts, worker }, partition, writer, signal, working)
    await worker.lastCheckpoint()
  } finally {
    release()
    for (const topic of [names.sessions, names.messages, names.events]) metrics.lag(topic, partition, null)
    for (const claim of reconciler.claims) metrics.reconciled?.(claim, null)
  }
}

/** Fences, and restores the state: from the checkpoint and what the topics have behind it, or from the topics alone. */
async function restoreFrom(
  parts: PartitionParts,
  partition: number,
  writer: Writer,
  checkpoint: Checkpoint | null,
  nowMs: number,
  signal: AbortSignal,
): Promise<{ stored: Stored; restored: Restored }> {
  const opened = (await checkpoint?.open()) ?? null
  try {
    const stored = await claim(parts, partition, writer, signal, opened?.position.at ?? undefined)
    return { stored, restored: await restore(parts, partition, stored, nowMs, signal, opened) }
  } finally {
    await opened?.close()
  }
}

/** Failures after which the state in memory is as good as before: what was not committed is still to be published. */
const PASSING: ReadonlySet<string> = new Set([
  'KAFKA_OUTCOME_UNKNOWN',
  'KAFKA_ABORTED',
  'KAFKA_UNREACHABLE',
  'REGISTRY_UNREACHABLE',
])

/** Batch after batch, with another writer after each failure that passes. Returns when the signal aborts. */
async function workOn(
  parts: PartitionParts & { readonly worker: Worker },
  partition: number,
  first: Writer,
  signal: AbortSignal,
  working: (whyNot: WhyNot) => void,
): Promise<void> {
  const { clock, worker, log } = parts
  let writer = first
  let waitMs = FIRST_WAIT_MS
  /** What failed last; null: nothing, or it is over. */
  let failure: FlowError | null = null
  let isOurs = true
  try {
    while (!signal.aborted) {
      try {
        if (failure !== null) {
          writer = openOwner(parts, partition)
          isOurs = await worker.resume(writer, await claim(parts, partition, writer, signal, worker.lastCommitAt))
          if (!isOurs) throw failure
          log.info({ code: failure.code }, 'partition number goes on with the state that it had')
          failure = null
        }
        await tailOn(parts, partition, writer, signal, whyNot => {
          waitMs = FIRST_WAIT_MS
          working(whyNot)
        })
      } catch (thrown) {
        if (signal.aborted) return
        const error = asFlowError(thrown)
        if (!isOurs || !PASSING.has(error.code)) throw error
        failure = error
        working(() => `failed: ${error.message}`)
        log.warn({ ...errorFields(error), waitMs }, 'batch failed; the partition number is claimed again, its state is kept')
        await writer.close()
        await clock.sleep(waitMs, signal)
        waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)
      }
    }
  } finally {
    await writer.close()
  }
}

/** Batch after batch from where the worker is. Returns when the signal aborts. @throws whatever fails */
async function tailOn(
  parts: PartitionParts & { readonly worker: Worker },
  partition: number,
  writer: Writer,
  signal: AbortSignal,
  working: (whyNot: WhyNot) => void,
): Promise<void> {
  const { kafka, clock, worker } = parts
  const stop = new AbortController()
  const inputs = AbortSignal.any([signal, stop.signal])
  try {
    const places = [...worker.inputs].map(([topic, offset]) => ({ topic, partition, offset }))
    const pulse = createPulse(clock, places)
    const tail = kafka.tail(places, { signal: inputs, onAnswer: answered => pulse.answered(answered) })
    const intake = createIntake(tail, { ...parts, signal: inputs })
    const whyNot = () => pulse.problem(intake)
    working(whyNot)
    /** While there is something to roll up, or to write to disk in time, a silent topic is not waited for. */
    const next = () => intake.next(worker.isRollingUp ? parts.lingerMs : worker.checkpointInMs())
    for (let batch = await next(); batch !== null; batch = await next()) {
      pulse.begins()
      if (batch.length > 0 || worker.isRollingUp) await worker.work(writer, batch)
      pulse.ends()
      if (worker.checkpointInMs() === 0) await worker.checkpoint()
      working(whyNot)
    }
  } finally {
    stop.abort()
  }
}

/** Whether Kafka still answers the reader of each topic, and whether the batch in hand gets on. */
function createPulse(clock: Clock, places: readonly TopicPartition[]) {
  const answeredAtMs = new Map(places.map(({ topic }) => [topic, clock.now()]))
  let pausedAtMs = -Infinity
  let beganAtMs: number | null = null

  /** Milliseconds since then; a clock that was set back begins anew. */
  const since = (ms: number) => Math.max(0, clock.now() - ms)
  const seconds = (ms: number) => `${Math.round(ms / 1000)} s`

  return {
    answered(by: readonly TopicPartition[]) {
      for (const { topic } of by) answeredAtMs.set(topic, clock.now())
    },
    begins() {
      beganAtMs = clock.now()
    },
    ends() {
      beganAtMs = null
    },
    problem(intake: Intake): string | null {
      if (beganAtMs !== null && since(beganAtMs) > SILENCE_MS)
        return `has been publishing one batch for ${seconds(since(beganAtMs))}`
      if (intake.isFull) pausedAtMs = clock.now() // nothing is fetched then
      for (const [topic, atMs] of answeredAtMs) {
        const silentMs = Math.min(since(atMs), since(pausedAtMs))
        if (silentMs > SILENCE_MS) return `has had no answer from Kafka for ${topic} for ${seconds(silentMs)}`
      }
      return null
    },
  }
}

const MOST_SERIES =
  'the account has as many series as this partition number may have of it: further ones are counted as `other`; look for a field with free text, or raise aggregator.maxSeries'

interface Worker {
  /** By topic, the next offset to read. */
  readonly inputs: ReadonlyMap<string, number>
  readonly isRollingUp: boolean
  /** Offset of the newest offsets record that is known. */
  readonly lastCommitAt: number | undefined
  work(writer: Writer, batch: readonly Chunk[]): Promise<void>
  /** In how many milliseconds the state is to be written to disk; undefined: nothing is to be written. */
  checkpointInMs(): number | undefined
  /** Call it between batches. Never fails. */
  checkpoint(): Promise<void>
  /** Writes what has changed since the last, if all of it has been committed. Never fails. */
  lastCheckpoint(): Promise<void>
  publish(writer: Writer): Promise<void>
  /**
   * Goes on after a failure: what was not committed is published.
   *
   * @param writer Has claimed the number.
   * @param stored As read after that.
   * @returns false where the state cannot be that of the topics: somebody else has written since, or the last transaction is too long ago.
   */
  resume(writer: Writer, stored: Stored): Promise<boolean>
}

/** A checkpoint that is older than a day is of no use. */
const CHECKPOINT_MS = 3_600_000
/** Writing takes no more than one in so many parts of the time. */
const WRITING_SHARE = 50
/** After a failure the folder is left alone for this. */
const UNWRITABLE_MS = 600_000

/** When the state is written to disk. */
function createSchedule(clock: Clock, from: Position | null, mostRecords: number) {
  let written = from
  let endedMs = clock.now()
  let pauseMs = 0

  const tailOf = ({ series, state }: Position) => (series ?? 0) - (written?.series ?? 0) + ((state ?? 0) - (written?.state ?? 0))

  return {
    /** Whether something has been committed since. */
    isNew: (position: Position) => position.history !== null && position.at !== written?.at,
    /** In how many milliseconds what is new is to be written. */
    dueInMs(position: Position): number {
      const waitMs = tailOf(position) >= mostRecords ? pauseMs : Math.max(CHECKPOINT_MS, pauseMs)
      return Math.max(0, endedMs + waitMs - clock.now())
    },
    ended(position: Position, startedMs: number, isWritten: boolean): void {
      endedMs = clock.now()
      pauseMs = isWritten ? Math.max(0, endedMs - startedMs) * WRITING_SHARE : UNWRITABLE_MS
      if (isWritten) written = position
    },
  }
}

/** Batches into the state, and the state onto the topics. */
function createWorker(
  parts: PartitionParts & { readonly reconciler: Reconciler; readonly checkpoint: Checkpoint | null },
  partition: number,
  { state, position: start, changed, checkpoint: startedFrom }: Restored,
  writtenMs: number,
  marks: Watermarks,
): Worker {
  const { clock, counting, metrics, reconciler, log } = parts
  const publisher = createPublisher({ ...parts, partition })
  const inputs = new Map(start.inputs)
  /** By topic, records that have been applied and not committed. */
  const applied = new Map<string, number>()
  let position: Position = { ...start, inputs }
  const schedule = createSchedule(clock, startedFrom, parts.checkpointRecords)
  let committedMs = writtenMs
  /** Whether the state and `inputs` are those of the last commit. */
  let isCommitted = !changed
  let publishedMs = -Infinity
  let announced = 0
  let rolled = 0
  const warned = new Set<string>()

  function tellFolded(folded: readonly Folded[]): void {
    for (const { vendor, account, n } of folded) {
      metrics.folded?.({ vendor, account }, n)
      const key = JSON.stringify([vendor, account])
      if (warned.has(key)) continue
      warned.add(key)
      log.warn({ vendor, account, share: parts.budgetOf(partition).series }, MOST_SERIES)
    }
  }

  function announce(): void {
    for (; announced < state.series.size; announced++) {
      const { vendor, account, bot_id, channel } = state.series.get(announced)
      metrics.known?.({ vendor, account, bot_id, channel })
    }
  }

  /** What the state has seen, to be reported once it is committed. */
  function news(): () => void {
    const seen = state.firstSeen()
    const { late } = state
    const { folded } = state.series
    return () => {
      for (const { kind, series: id, sender, atMs, n } of seen) {
        const { vendor, account, bot_id, channel } = state.series.get(id)
        metrics.firstSeen(kind, { vendor, account, bot_id, channel, ...(sender === undefined ? {} : { sender }) }, atMs, n)
      }
      tellFolded(folded)
      if (late > 0) metrics.leftOut?.(null, 'late', late)
      for (const [topic, n] of applied) metrics.records(topic, n)
      applied.clear()
    }
  }

  async function publish(writer: Writer): Promise<void> {
    announce()
    const report = news()
    const startedMs = clock.now()
    const { points: _, ...published } = await publisher.publish(writer, state, position, marks)
    position = { ...published, inputs }
    committedMs = startedMs
    isCommitted = true
    report()
  }

  async function writeCheckpoint(): Promise<void> {
    const startedMs = clock.now()
    const committed = { ...position, inputs: new Map(inputs) }
    const isWritten = await parts.checkpoint?.write(state, committed, committedMs)
    schedule.ended(committed, startedMs, isWritten === true)
  }

  /** What was committed last is not on disk yet. */
  const hasNews = () => parts.checkpoint !== null && isCommitted && schedule.isNew(position)

  /** A part of what is due; a line in the log says when it begins and when it is done. */
  function rollUp(): void {
    if (state.due === 0) return
    if (rolled === 0) log.info({ days: state.due }, 'days of series are being rolled up')
    const before = state.due
    state.rollUp(parts.rollUpCells)
    rolled += before - state.due
    if (state.due > 0) return
    log.info({ days: rolled }, 'days of series rolled up')
    rolled = 0
  }

  announce()
  return {
    inputs,
    get isRollingUp() {
      return state.due > 0
    },
    get lastCommitAt() {
      return position.at ?? undefined
    },
    publish,
    checkpoint: writeCheckpoint,
    checkpointInMs: () => (hasNews() ? schedule.dueInMs(position) : undefined),
    async lastCheckpoint() {
      if (hasNews()) await writeCheckpoint()
    },

    async work(writer, batch) {
      isCommitted = false
      for (const { records } of batch) for (const { timestamp } of records) publishedMs = Math.max(publishedMs, timestamp)
      state.setTime({ clockMs: clock.now(), publishedMs })
      for (const chunk of batch) {
        const unreadable = await counting.apply(chunk, state, claim => reconciler.note(claim))
        if (unreadable > 0) metrics.leftOut?.(chunk.topic, 'invalid', unreadable)
        applied.set(chunk.topic, (applied.get(chunk.topic) ?? 0) + chunk.records.length - unreadable)
        inputs.set(chunk.topic, chunk.next)
        marks.passed(chunk.topic, partition, chunk.next)
      }
      rollUp()
      await publish(writer)
      for (const { claim, own } of reconciler.compare(state, clock.now()))
        metrics.reconciled?.(claim, own === null ? null : { vendor: claim.value, own })
      for (const { topic, next, high } of batch) metrics.lag(topic, partition, Math.max(0, high - next))
    },

    async resume(writer, stored) {
      // What was withdrawn while nobody counted may be gone from its topic.
      if (stored.at !== null && clock.now() - stored.writtenMs > NULLS_LAST_MS) return false
      const outcome = publisher.outcome(position, stored)
      if (outcome === null) return false
      position = { ...outcome.position, inputs }
      if (outcome.isCommitted) {
        const report = news()
        state.clean()
        report()
      }
      // Of a batch that was cut short by its failure, all that was applied.
      await publish(writer)
      return true
    },
  }
}
