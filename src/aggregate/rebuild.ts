/**
 * Counts the series again from the session, message and event topics, as far as they reach. What is older than the topics hold stays as it is.
 *
 * One partition number is one transaction: killed anywhere, it is counted again or as it was before, and the next run does the same once more. The
 * owner of each number is fenced, so an aggregator that starts meanwhile ends this, and one that was running unseen ends itself.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { type Decoder, decoderFor, type Encoder, encoderFor } from '../kafka/codec.ts'
import type { Kafka, Writer } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import { isBucketSize } from '../point-key.ts'
import { type Measure, MEASURES, type SeriesPoint } from '../records.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import { budgetsOf, MAX_SERIES } from './budget.ts'
import { bucketOf, DAY_MINUTES, dayOf } from './buckets.ts'
import { claim, openOwner } from './claim.ts'
import { COUNT, type Contribution, minuteOf, NO_MINUTE } from './contribution.ts'
import { chunkOfKey } from './counted.ts'
import { createCounting } from './decode.ts'
import type { StoredPosition } from './offsets.ts'
import { createProgressFeed, type ProgressFeed } from './progress.ts'
import { createPublisher } from './publish.ts'
import { firstRecord, inputsOf, readInput, type RestoreParts, readPoints } from './restore.ts'
import { keepsOf } from './retention.ts'
import { createState, type PartitionState, POINT_FIELDS, type RestoredPoint, type Retention } from './state.ts'

export interface RebuildOptions {
  readonly kafka: Kafka
  readonly registry: Registry
  readonly names: TopicNames
  readonly partitions: number
  readonly groupId: string
  /** What the config says of it; the rest is decided as for the aggregator. */
  readonly retention?: Partial<Retention> | undefined
  /** Whether sessions of developers and tests count. Default false. */
  readonly includeTest?: boolean | undefined
  /** Most series of an account, as the aggregator has it. */
  readonly maxSeries?: number | undefined
  /**
   * What happened before this stays as it is, epoch milliseconds; null: as far as the topics reach. Where minutes have been rolled up, whole days stay: that
   * of this time too.
   */
  readonly fromMs: number | null
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** What became of one partition number. */
export interface Rebuilt {
  readonly partition: number
  readonly sessions: number
  /** Messages and events, each key once. */
  readonly keys: number
  /** Minutes, hours and days whose counts or sketches were wrong or missing. */
  readonly points: number
  /** By topic, the time from which on it was counted again; null: from its start. */
  readonly from: Readonly<Record<string, string | null>>
}

/** Of one partition number: broker and aggregators may have to wait so long for a run that was killed. */
const TRANSACTION_TIMEOUT_MS = 600_000
const HOUR_MINUTES = 60
const NEVER = 2 ** 31 - 1

/** @throws FlowError AGGREGATE_RUNNING; TOPIC_MISMATCH; of Kafka and registry */
export async function* rebuild(options: RebuildOptions): AsyncGenerator<Rebuilt> {
  const { kafka, registry, names, log, clock } = options
  const running = await kafka.groupsSharing(names.sessions, options.groupId)
  if (running.length > 0) {
    throw new FlowError('AGGREGATE_RUNNING', {
      hint: 'stop it first; one that was killed counts until its session has timed out, 10 s by default',
      group: running.join(','),
    })
  }
  const pointSchema = schemaText('series-point')
  const parts = {
    ...options,
    points: decoderFor<PublishedPoint>(registry, narrowSchema(pointSchema, [...POINT_FIELDS, ...SKETCHES])),
    counting: createCounting(registry, names, log),
    keeps: { ...(await keepsOf(kafka, names, options.retention)), includeTest: options.includeTest ?? false },
    budgetOf: budgetsOf(options.maxSeries ?? MAX_SERIES, options.partitions),
    encoder: encoderFor<SeriesPoint>(pointSchema, await registry.register(`${names.series}-value`, pointSchema)),
    progress: createProgressFeed({ kafka, registry, names, clock, log }),
  }
  const stop = new AbortController()
  const following = parts.progress.follow(AbortSignal.any([options.signal, stop.signal]))
  try {
    for (let partition = 0; partition < options.partitions; partition++) {
      const writer = openOwner(options, partition, TRANSACTION_TIMEOUT_MS)
      try {
        yield await rebuildPartition(parts, partition, writer)
      } catch (thrown) {
        const error = asFlowError(thrown)
        if (error.code !== 'KAFKA_FENCED') throw error
        throw new FlowError(
          'AGGREGATE_RUNNING',
          { hint: 'it was started meanwhile: stop it and run this again', partition },
          error,
        )
      } finally {
        await writer.close()
      }
    }
  } finally {
    stop.abort()
    await following
  }
}

const SKETCHES = ['duration_sketch', 'users_sketch'] as const
type PublishedPoint = RestoredPoint & Pick<SeriesPoint, (typeof SKETCHES)[number]>

interface Parts extends RebuildOptions, RestoreParts {
  readonly points: Decoder<PublishedPoint>
  readonly encoder: Encoder<SeriesPoint>
  readonly progress: ProgressFeed
}

async function rebuildPartition(parts: Parts, partition: number, writer: Writer): Promise<Rebuilt> {
  const { kafka, names, clock, log, signal } = parts
  const { stored, at, next } = await claim(parts, partition, writer, signal)
  const reach = new Map<string, number>()
  for (const topic of inputsOf(names)) reach.set(topic, await reachOf(parts, { topic, partition }, stored))
  const rolledUp = [...reach.values()].some(minute => minute !== NO_MINUTE) ? await rolledUpDays(parts, partition) : new Set()
  for (const [topic, minute] of reach) if (rolledUp.has(dayOf(minute))) reach.set(topic, startOfNextDay(minute))
  const reachIn = (topic: string) => reach.get(topic) ?? NO_MINUTE

  const state = createState(
    parts.keeps,
    { messages: reachIn(names.messages), events: reachIn(names.events) },
    parts.budgetOf(partition),
  )
  const storedMs = stored?.timeMs ?? null
  if (storedMs !== null) state.restoreTime(Math.min(storedMs, clock.now()))
  await readPoints(
    parts,
    partition,
    signal,
    point => {
      const minute = minuteOf(point.bucket_start)
      state.restorePoint(point, {
        sessions: minute < reachIn(names.sessions),
        messages: minute < reachIn(names.messages),
        events: minute < reachIn(names.events),
      })
    },
    key => state.restoreWithdrawal(key),
  )
  state.restoredPoints()
  state.setTime({ clockMs: clock.now(), publishedMs: clock.now() })
  state.rollUp(Infinity)

  const chunks = await readContributions(parts, partition, state, reachIn(names.sessions))
  const adoptKeys = state.counted.replace(chunks)
  const inputs = new Map<string, number>()
  for (const topic of inputsOf(names)) {
    const end = await readInput(parts, { topic, partition }, signal, async records => {
      await parts.counting.apply({ topic, partition, records, next: 0, high: 0 }, state)
    })
    inputs.set(topic, end)
  }
  const keys = state.counted.size
  adoptKeys()
  await readInput(parts, { topic: names.aggregateState, partition }, signal, async records => {
    for (const { key, value } of records) if (key !== null && chunkOfKey(key) === null) state.compare(key, value)
  })
  await touchWhatDiffers(parts, partition, state)
  state.forgetSeen()

  const ends = await kafka.watermarks([names.series, names.aggregateState].map(topic => ({ topic, partition })))
  /** An offset of a topic that was made anew since stands for nothing. */
  const held = (topic: string, offset: number | null) =>
    offset !== null && ends.some(end => end.topic === topic && end.high > offset) ? offset : null
  const { marks, release } = await parts.progress.watermarksOf(partition)
  for (const [topic, end] of inputs) marks.passed(topic, partition, end)
  const { points } = await createPublisher({ ...parts, partition })
    .publish(
      writer,
      state,
      {
        inputs,
        series: held(names.series, stored?.series ?? null),
        state: held(names.aggregateState, stored?.state ?? null),
        timeMs: state.timeMs,
        groupId: parts.groupId,
        // Whatever was written to a file before is of other counts.
        history: null,
        at,
        next,
      },
      marks,
    )
    .finally(release)
  log.info({ partition, points, sessions: state.sessions.size, keys }, 'partition number rebuilt')
  const from = [...reach].map(([topic, minute]) => [topic, minute === NO_MINUTE ? null : isoOf(minute)] as const)
  return { partition, sessions: state.sessions.size, keys, points, from: Object.fromEntries(from) }
}

/**
 * The first minute that the topic holds everything of. A topic that has lost records (to its retention, or because it was made anew) holds what was published
 * since its first record, so everything that happened after; the clocks of workers and vendors may differ, so it is taken from the next full hour on.
 */
async function reachOf(
  { kafka, fromMs, signal }: Parts,
  place: { topic: string; partition: number },
  stored: StoredPosition | null,
): Promise<number> {
  const from = fromMs === null ? NO_MINUTE : minuteOf(fromMs)
  const [{ low, high } = { low: 0, high: 0 }] = await kafka.watermarks([place])
  if (low === 0 && (stored?.inputs.get(place.topic) ?? 0) <= high) return from
  const first = await firstRecord(kafka, place, signal)
  const held = first === null ? NEVER : (Math.floor(minuteOf(first.timestamp) / HOUR_MINUTES) + 1) * HOUR_MINUTES
  return Math.max(from, held)
}

/** Days, counted from 1970, of which some series has hours or the whole: they stay as they are, or are counted again from their start. */
async function rolledUpDays(parts: Parts, partition: number): Promise<Set<number>> {
  const days = new Set<number>()
  await readPoints(
    parts,
    partition,
    parts.signal,
    point => {
      if (point.bucket !== '1m') days.add(dayOf(minuteOf(point.bucket_start)))
    },
    () => {},
  )
  return days
}

function startOfNextDay(minute: number): number {
  return minute % DAY_MINUTES === 0 ? minute : (dayOf(minute) + 1) * DAY_MINUTES
}

/**
 * What sessions were counted as before `until`: it stays, and is taken back where the session's record says otherwise.
 *
 * @returns the chunks of counted keys.
 */
async function readContributions(
  parts: Parts,
  partition: number,
  state: PartitionState,
  until: number,
): Promise<ReadonlyMap<number, Buffer>> {
  const chunks = new Map<number, Buffer>()
  await readInput(parts, { topic: parts.names.aggregateState, partition }, parts.signal, async records => {
    for (const { key, value } of records) {
      if (key === null) continue
      const chunk = chunkOfKey(key)
      if (chunk === null) state.restoreRecord(key, value, contribution => cut(contribution, until))
      else if (value === null) chunks.delete(chunk)
      else chunks.set(chunk, Buffer.from(value))
    }
  })
  return chunks
}

/** Leaves of a contribution what lies before this minute. */
function cut(contribution: Contribution, until: number): void {
  if (contribution.started >= until) contribution.started = NO_MINUTE
  if (contribution.transfer >= until) contribution.transfer = NO_MINUTE
  if (contribution.ended >= until) {
    contribution.ended = NO_MINUTE
    contribution.durationMs = 0
  }
  if (Math.max(contribution.started, contribution.ended, contribution.transfer) === NO_MINUTE) contribution.revision = 0
}

/** Only what is wrong on the series topic is written: it is read once more, and its newest points are held against what has been counted. */
async function touchWhatDiffers(parts: Parts, partition: number, state: PartitionState): Promise<void> {
  const { cells, series, sketches } = state
  const valueOf = (cell: number, measure: Measure) =>
    measure === 'duration_ms' ? cells.durationMs(cell) : cells.count(cell, COUNT[measure])
  /** What is withdrawn is not written once more. What was made to be rolled up at once is: readers look for hours before the day. */
  const withdrawn = new Set(state.retired.filter(cell => cells.revision(cell) > 0))
  const touch = (cell: number) => {
    if (!withdrawn.has(cell)) cells.addDuration(cell, 0)
  }
  /** A sketch that cannot be drawn, because its sessions were counted before the state was lost, stays as it is on the topic. */
  const hasOther = (drawn: Buffer | null, published: Buffer | null) => drawn !== null && published?.equals(drawn) !== true

  cells.forgetChanges()
  cells.each(cell => {
    if (cells.revision(cell) === 0 && MEASURES.some(measure => valueOf(cell, measure) !== 0)) touch(cell)
  })
  await readPoints(
    parts,
    partition,
    parts.signal,
    point => {
      if (!isBucketSize(point.bucket)) return
      const cell = cells.find(series.idOf(point), bucketOf(point.bucket, minuteOf(point.bucket_start)))
      if (cell < 0 || cells.revision(cell) !== point.revision) return
      if (
        MEASURES.some(measure => valueOf(cell, measure) !== point[measure]) ||
        hasOther(sketches.durations(cell), point.duration_sketch) ||
        hasOther(sketches.users(cell), point.users_sketch)
      )
        touch(cell)
    },
    () => {},
  )
}

function isoOf(minute: number): string {
  return minute === NEVER ? 'never' : new Date(minute * 60_000).toISOString()
}
