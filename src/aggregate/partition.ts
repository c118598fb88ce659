/**
 * One partition number from its assignment to its loss: fence, restore, then batch after batch. Whatever fails, what was committed stands; the state
 * in memory is dropped and restored, never repaired.
 */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import type { Encoder } from '../kafka/codec.ts'
import type { Chunk, Writer } from '../kafka/port.ts'
import { errorFields } from '../log.ts'
import type { SeriesPoint } from '../records.ts'
import type { Watermarks } from '../watermark.ts'
import type { Counting } from './decode.ts'
import { createIntake } from './intake.ts'
import type { Position } from './offsets.ts'
import type { ProgressFeed } from './progress.ts'
import { createPublisher } from './publish.ts'
import { restore, type RestoreParts } from './restore.ts'
import type { PartitionState } from './state.ts'

export interface PartitionParts extends RestoreParts {
  readonly transactionalId: string
  readonly groupId: string
  readonly clock: Clock
  readonly counting: Counting
  readonly encoder: Encoder<SeriesPoint>
  readonly progress: ProgressFeed
  readonly metrics: AggregateMetrics
  readonly maxRecords: number
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
  /** A bot and channel that are counted from now on, also those that were restored. May be called again. */
  known?(of: FirstSeenLabels): void
  /** Records left out: `invalid` could not be read, `late` are for minutes before the retention. */
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
/**
 * Longer than the group takes to tell a member that it was given up (its session timeout): who is fenced and still a member after that is the
 * owner and claims its number again. Sooner, a member that does not know of its loss yet would fence its successor.
 */
const FENCED_WAIT_MS = 15_000

/** @param report Called with null when the number is being worked, else with the reason why not. Returns when the signal aborts. */
export async function workPartition(
  parts: PartitionParts,
  partition: number,
  signal: AbortSignal,
  report: (why: string | null) => void,
): Promise<void> {
  const { kafka, clock } = parts
  const log = parts.log.child({ partition })
  let waitMs = FIRST_WAIT_MS
  while (!signal.aborted) {
    report('is being restored')
    const writer = kafka.openWriter({ transactionalId: `${parts.transactionalId}-${partition}` })
    try {
      await own({ ...parts, log }, partition, writer, signal, () => {
        waitMs = FIRST_WAIT_MS
        report(null)
      })
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (signal.aborted) break
      if (error.code === 'KAFKA_FENCED') waitMs = FENCED_WAIT_MS
      report(error.code === 'KAFKA_FENCED' ? 'was taken over by another process' : `failed: ${error.message}`)
      log.warn({ ...errorFields(error), waitMs }, 'Partition number stopped; its state is restored again')
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
  working: () => void,
): Promise<void> {
  const { kafka, names, clock, metrics, log } = parts
  const startedMs = clock.now()
  await writer.fence()
  const { state, position } = await restore(parts, partition, startedMs, signal)
  const { marks, release } = await parts.progress.watermarksOf(partition)
  const stop = new AbortController()
  const inputs = AbortSignal.any([signal, stop.signal])
  try {
    for (const [topic, next] of position.inputs) marks.passed(topic, partition, next)
    const worker = createWorker(parts, partition, writer, state, marks, position)
    await worker.publishRestored()
    metrics.restoreSeconds((clock.now() - startedMs) / 1000)
    log.info(
      { cells: state.cells.size, sessions: state.sessions.size, restoreMs: clock.now() - startedMs },
      'Partition number restored',
    )
    working()
    const places = [...position.inputs].map(([topic, offset]) => ({ topic, partition, offset }))
    const intake = createIntake(kafka.tail(places, { signal: inputs }), { ...parts, signal: inputs })
    for (let batch = await intake.next(); batch !== null; batch = await intake.next()) {
      await worker.work(batch)
      working()
    }
  } finally {
    stop.abort()
    release()
    for (const topic of [names.sessions, names.messages, names.events]) metrics.lag(topic, partition, null)
  }
}

/** Batches into the state, and the state onto the topics. */
function createWorker(
  parts: PartitionParts,
  partition: number,
  writer: Writer,
  state: PartitionState,
  marks: Watermarks,
  start: Position,
) {
  const { clock, counting, metrics } = parts
  const publisher = createPublisher({ ...parts, partition })
  const inputs = new Map(start.inputs)
  let { series } = start
  let known = 0

  /** Counters are shown at 0 before the first thing is counted. */
  function tellKnown(): void {
    for (; known < state.series.size; known++) metrics.known?.(state.series.get(known))
  }

  async function publish(): Promise<void> {
    tellKnown()
    const seen = state.firstSeen()
    const { late } = state
    series = (await publisher.publish(writer, state, { inputs, series }, marks)).seriesOffset
    for (const { kind, series: id, sender, atMs, n } of seen) {
      const { vendor, account, bot_id, channel } = state.series.get(id)
      metrics.firstSeen(kind, { vendor, account, bot_id, channel, ...(sender === undefined ? {} : { sender }) }, atMs, n)
    }
    if (late > 0) metrics.leftOut?.(null, 'late', late)
  }

  return {
    /** What restoring itself has changed. */
    async publishRestored(): Promise<void> {
      tellKnown()
      if (state.changedSessions.size > 0) await publish()
    },

    async work(batch: readonly Chunk[]): Promise<void> {
      state.setTime(clock.now())
      const counted = new Map<string, number>()
      for (const chunk of batch) {
        const unreadable = await counting.apply(chunk, state)
        if (unreadable > 0) metrics.leftOut?.(chunk.topic, 'invalid', unreadable)
        counted.set(chunk.topic, (counted.get(chunk.topic) ?? 0) + chunk.records.length - unreadable)
        inputs.set(chunk.topic, chunk.next)
        marks.passed(chunk.topic, partition, chunk.next)
      }
      await publish()
      for (const [topic, n] of counted) metrics.records(topic, n)
      for (const { topic, next, high } of batch) metrics.lag(topic, partition, Math.max(0, high - next))
    },
  }
}
