/**
 * The aggregator, from topics to series: the order of stages and nothing else.
 *
 * It joins a group that shares partition numbers. Each number it is given is fenced and restored (`restore.ts`), then its sessions, messages and
 * events are tailed in batches (`intake.ts`), decoded (`decode.ts`), counted (`state.ts`) and published in one transaction with the offsets they came
 * from (`publish.ts`). `partition.ts` is the life of one number.
 */
import { join } from 'node:path'
import { type Clock, systemClock } from '../clock.ts'
import type { FlowError } from '../errors.ts'
import { prefixOf } from './claim.ts'
import { decoderFor, encoderFor } from '../kafka/codec.ts'
import { beMember, fencedWaitMs, type WhyNot, whyNotAll } from '../kafka/membership.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import { persist, type Persistence } from '../persist.ts'
import type { SeriesPoint } from '../records.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import { NULLS_KEPT, type TopicNames } from '../topics.ts'
import { budgetsOf, MAX_SERIES } from './budget.ts'
import { type Checkpoints, createCheckpoints, nullsLastMs } from './checkpoint.ts'
import { createCounting } from './decode.ts'
import { type AggregateMetrics, type PartitionParts, workPartition } from './partition.ts'
import { createProgressFeed, type ProgressFeed } from './progress.ts'
import { inputsOf } from './restore.ts'
import { keepsOf } from './retention.ts'
import { POINT_FIELDS, type RestoredPoint, type Retention } from './state.ts'

export type { AggregateMetrics, FirstSeenKind, FirstSeenLabels } from './partition.ts'

export interface AggregatorParts {
  readonly kafka: Kafka
  readonly registry: Registry
  /** The topics are there already. */
  readonly names: TopicNames
  readonly options: AggregatorOptions
  readonly log: Log
  readonly metrics?: AggregateMetrics
  readonly clock?: Clock
  /** Stops it: the transaction in hand is finished, the group left. */
  readonly signal: AbortSignal
}

export interface AggregatorOptions {
  /** Processes with one group id share the work. Two groups on the same topics take it from each other, again and again: use one. */
  readonly groupId: string
  /**
   * How far back minutes, hours and days are kept, none more than the retention of the series topic. What comes in for a day before that of days is left out.
   * Default 14 days, 400 days and five years, or the topic's where that is less.
   */
  readonly retention?: Partial<Retention>
  /** Whether sessions of developers and tests count. Default false. */
  readonly includeTest?: boolean
  /**
   * Most series of an account, at least one for each partition number: each number has an equal share. What is beyond is counted in series of `other`.
   * Default 10,000.
   */
  readonly maxSeries?: number
  /** Folder for state on disk, so that a start reads only what came after it; made when it is not there. Absent: a start reads all of the state from the topics. */
  readonly stateDir?: string
  /** So many records of series and contributions are written before the state is written to the folder anew, if an hour has not passed sooner. Default 400,000. */
  readonly checkpointRecords?: number
  /** How long a transaction waits for more records, so that a minute is written once for many. Default 250 ms. */
  readonly lingerMs?: number
  /** Most records of one transaction, about. Default 20,000. */
  readonly maxRecords?: number
  /** Minutes and hours that one transaction rolls up, about. Default 2,000. */
  readonly rollUpCells?: number
  /** After so long without a sign of life the group gives a member's numbers to others. Default 10 s. */
  readonly sessionTimeoutMs?: number
}

export interface Aggregator {
  /** Whether we are in the group and every partition number that is ours is being worked; if not, which is not, and why. */
  ready(): { ok: boolean; why?: string }
  /** Resolves when it has stopped on its signal; rejects where only a person can help, such as with a schema that the registry refuses. */
  readonly done: Promise<void>
}

const LINGER_MS = 250
const MAX_RECORDS = 20_000
/** So that live counting waits for tens of milliseconds at most. */
const ROLL_UP_CELLS = 2_000
/** Read again within seconds. */
const CHECKPOINT_RECORDS = 400_000

export function startAggregator(of: AggregatorParts): Aggregator {
  /** By what is not able to work, the reason. */
  const reasons = new Map<string, WhyNot>([[MEMBER, () => 'has not joined its group yet']])
  const report = (what: string) => (whyNot: WhyNot | null) =>
    void (whyNot === null ? reasons.delete(what) : reasons.set(what, whyNot))
  let progress: ProgressFeed | null = null
  return {
    ready() {
      const why = whyNotAll(reasons)
      if (why !== null) return { ok: false, why }
      return progress?.ready === true ? { ok: true } : { ok: false, why: 'progress has not been read yet' }
    },
    done: run(of, report, feed => (progress = feed)),
  }
}

/** The same without a handle. */
export async function runAggregator(of: AggregatorParts): Promise<void> {
  await startAggregator(of).done
}

type Report = (what: string) => (whyNot: WhyNot | null) => void
/** What stands for membership in the reasons. */
const MEMBER = 'the aggregator'

async function run(of: AggregatorParts, report: Report, onProgress: (feed: ProgressFeed) => void): Promise<void> {
  const { signal } = of
  const parts = await prepare(of, report(MEMBER))
  if (parts === null) return
  onProgress(parts.progress)
  const stop = new AbortController()
  const following = parts.progress.follow(AbortSignal.any([signal, stop.signal]))
  try {
    await workShare(of, parts, report)
  } finally {
    stop.abort()
    await following
  }
}

/** Schema, decoders, retention and budget. Null when stopped before it could. @throws FlowError TOPIC_MISMATCH, CFG_INVALID: a retention or a budget that does not fit the topics */
async function prepare(of: AggregatorParts, report: (whyNot: WhyNot | null) => void): Promise<PartitionParts | null> {
  const { kafka, registry, names, options, log, signal, clock = systemClock } = of
  const pointSchema = schemaText('series-point')
  const schemaId = await persist(persistence(of, report), () => registry.register(`${names.series}-value`, pointSchema))
  const keeps = await persist(persistence(of, report), () => keepsOf(kafka, names, options.retention))
  const partitions = await persist(persistence(of, report), () => kafka.partitionCount(names.sessions))
  if (schemaId === null || keeps === null || partitions === null || signal.aborted) return null
  const checkpoints = await persist(persistence(of, report), () => checkpointsOf(of, keeps))
  if (signal.aborted) return null
  return {
    kafka,
    names,
    log,
    clock,
    groupId: options.groupId,
    fencedWaitMs: fencedWaitMs(options.sessionTimeoutMs),
    keeps: { ...keeps, includeTest: options.includeTest ?? false },
    budgetOf: budgetsOf(options.maxSeries ?? MAX_SERIES, partitions),
    lingerMs: options.lingerMs ?? LINGER_MS,
    maxRecords: options.maxRecords ?? MAX_RECORDS,
    rollUpCells: options.rollUpCells ?? ROLL_UP_CELLS,
    checkpointRecords: options.checkpointRecords ?? CHECKPOINT_RECORDS,
    checkpoints,
    points: decoderFor<RestoredPoint>(registry, narrowSchema(pointSchema, POINT_FIELDS)),
    counting: createCounting(registry, names, log),
    encoder: encoderFor<SeriesPoint>(pointSchema, schemaId),
    progress: createProgressFeed({ kafka, registry, names, clock, log }),
    metrics: of.metrics ?? SILENT,
  }
}

async function checkpointsOf(
  { kafka, names, options, log, clock = systemClock }: AggregatorParts,
  { retention, seriesRetentionMs }: Awaited<ReturnType<typeof keepsOf>>,
): Promise<Checkpoints | null> {
  if (options.stateDir === undefined) return null
  const { clusterId: cluster } = await kafka.describe()
  const owner = { cluster, prefix: prefixOf(names), groupId: options.groupId, retention, seriesRetentionMs }
  const settings = await kafka.topicSettings([names.series, names.aggregateState], [NULLS_KEPT])
  const lasting = [...settings.values()].map(of => nullsLastMs(Number(of.get(NULLS_KEPT) ?? Infinity)))
  return createCheckpoints(join(options.stateDir, 'aggregate'), owner, clock, log, Math.min(...lasting))
}

/** In the group until stopped: works the numbers it is given, lets go of those it loses, joins again when it was thrown out. */
async function workShare(of: AggregatorParts, parts: PartitionParts, report: Report): Promise<void> {
  const { kafka, names, options, log, signal, clock = systemClock } = of
  const working = new Map<number, { stop: AbortController; done: Promise<void> }>()

  async function begin(partition: number): Promise<void> {
    await end(partition)
    const stop = new AbortController()
    const done = workPartition(parts, partition, AbortSignal.any([signal, stop.signal]), report(`partition ${partition}`))
    working.set(partition, { stop, done })
  }

  async function end(partition: number): Promise<void> {
    const work = working.get(partition)
    work?.stop.abort()
    await work?.done
    working.delete(partition)
    report(`partition ${partition}`)(null)
  }

  await beMember({
    ...options,
    kafka,
    topics: inputsOf(names),
    clock,
    log,
    signal,
    message: NOT_STARTED,
    gained: async numbers => void (await Promise.all(numbers.map(begin))),
    lost: async numbers => void (await Promise.all(numbers.map(end))),
    letGo: async () => void (await Promise.all([...working.keys()].map(end))),
    report: report(MEMBER),
  })
}

const NOT_STARTED = 'the aggregator could not start; trying again'

function persistence({ log, signal, clock = systemClock }: AggregatorParts, report: (whyNot: WhyNot) => void): Persistence {
  const failed = ({ message }: FlowError) => report(() => `could not start: ${message}`)
  return { clock, log, signal, message: NOT_STARTED, failed }
}

const SILENT: AggregateMetrics = { records() {}, lag() {}, restoreSeconds() {}, firstSeen() {} }
