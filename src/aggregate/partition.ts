/**
 * One partition number from its assignment to its loss: fence, restore, then batch after batch. Whatever fails, what was committed stands; the state
 * in memory is dropped and restored, never repaired.
 */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
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
import { claim, type ClaimParts, openOwner } from './claim.ts'
import { restore, type RestoreParts } from './restore.ts'
import type { PartitionState } from './state.ts'

export interface PartitionParts extends RestoreParts, ClaimParts {
  /**
   * Longer than the group takes to tell a member that it was given up (its session timeout): who is fenced and still a member after that is the
   * owner and claims its number again. Sooner, a member that does not know of its loss yet would fence its successor.
   */
  readonly fencedWaitMs: number
  readonly clock: Clock
  readonly counting: Counting
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
  /** What a vendor's own statistics count, and what we count; null: the partition is not ours any more. */
  reconciled?(
    of: { vendor: string; account: string; bot_id: string; measure: string },
    counts: { vendor: number; own: number } | null,
  ): void
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
  const { kafka, names, clock, metrics, log } = parts
  const startedMs = clock.now()
  const stored = await claim(parts, partition, writer, signal)
  const { state, position, changed } = await restore(parts, partition, stored, startedMs, signal)
  if (position.groupId !== null && position.groupId !== parts.groupId) {
    log.warn(
      { group: parts.groupId, before: position.groupId },
      'series of this partition number were written by another group; two groups on one topics.prefix take them from each other: use one aggregator.groupId',
    )
  }
  const { marks, release } = await parts.progress.watermarksOf(partition)
  const reconciler = createReconciler()
  const stop = new AbortController()
  const inputs = AbortSignal.any([signal, stop.signal])
  try {
    for (const [topic, next] of position.inputs) marks.passed(topic, partition, next)
    const worker = createWorker({ ...parts, reconciler }, partition, writer, state, marks, position)
    if (changed) await worker.publish()
    metrics.restoreSeconds((clock.now() - startedMs) / 1000)
    log.info(
      { cells: state.cells.size, sessions: state.sessions.size, keys: state.counted.size, restoreMs: clock.now() - startedMs },
      'partition number restored',
    )
    const places = [...position.inputs].map(([topic, offset]) => ({ topic, partition, offset }))
    const pulse = createPulse(clock, places)
    const tail = kafka.tail(places, { signal: inputs, onAnswer: answered => pulse.answered(answered) })
    const intake = createIntake(tail, { ...parts, signal: inputs })
    const whyNot = () => pulse.problem(intake)
    working(whyNot)
    /** While there are days to roll up, a silent topic is not waited for. */
    const next = () => intake.next(state.due > 0 ? parts.lingerMs : undefined)
    for (let batch = await next(); batch !== null; batch = await next()) {
      pulse.begins()
      await worker.work(batch)
      pulse.ends()
      working(whyNot)
    }
  } finally {
    stop.abort()
    release()
    for (const topic of [names.sessions, names.messages, names.events]) metrics.lag(topic, partition, null)
    for (const claim of reconciler.claims) metrics.reconciled?.(claim, null)
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

/** Batches into the state, and the state onto the topics. */
function createWorker(
  parts: PartitionParts & { readonly reconciler: Reconciler },
  partition: number,
  writer: Writer,
  state: PartitionState,
  marks: Watermarks,
  start: Position,
) {
  const { clock, counting, metrics, reconciler, log } = parts
  const publisher = createPublisher({ ...parts, partition })
  const inputs = new Map(start.inputs)
  let position: Position = { ...start, inputs }
  let publishedMs = -Infinity
  let announced = 0
  let rolled = 0

  function announce(): void {
    for (; announced < state.series.size; announced++) {
      const { vendor, account, bot_id, channel } = state.series.get(announced)
      metrics.known?.({ vendor, account, bot_id, channel })
    }
  }

  async function publish(): Promise<void> {
    announce()
    const seen = state.firstSeen()
    const { late } = state
    position = await publisher.publish(writer, state, position, marks)
    for (const { kind, series: id, sender, atMs, n } of seen) {
      const { vendor, account, bot_id, channel } = state.series.get(id)
      metrics.firstSeen(kind, { vendor, account, bot_id, channel, ...(sender === undefined ? {} : { sender }) }, atMs, n)
    }
    if (late > 0) metrics.leftOut?.(null, 'late', late)
  }

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
    publish,

    async work(batch: readonly Chunk[]): Promise<void> {
      for (const { records } of batch) for (const { timestamp } of records) publishedMs = Math.max(publishedMs, timestamp)
      state.setTime({ clockMs: clock.now(), publishedMs })
      const counted = new Map<string, number>()
      for (const chunk of batch) {
        const unreadable = await counting.apply(chunk, state, claim => reconciler.note(claim))
        if (unreadable > 0) metrics.leftOut?.(chunk.topic, 'invalid', unreadable)
        counted.set(chunk.topic, (counted.get(chunk.topic) ?? 0) + chunk.records.length - unreadable)
        inputs.set(chunk.topic, chunk.next)
        marks.passed(chunk.topic, partition, chunk.next)
      }
      rollUp()
      await publish()
      for (const [topic, n] of counted) metrics.records(topic, n)
      for (const { claim, own } of reconciler.compare(state, clock.now()))
        metrics.reconciled?.(claim, { vendor: claim.value, own })
      for (const { topic, next, high } of batch) metrics.lag(topic, partition, Math.max(0, high - next))
    },
  }
}
