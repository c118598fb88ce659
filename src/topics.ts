/** The topics of the contract: names from the prefix, settings from this table. */
import type { TopicSpec } from './kafka/port.ts'

const DAY_MS = 86_400_000

export interface TopicOptions {
  readonly prefix: string
  /** Partitions of every topic that has a bot; fixed for the life of the topics, because it decides where a bot lives. */
  readonly partitions: number
  /** null: the broker's default. */
  readonly replicationFactor: number | null
  /** Longest lookback of all connectors, milliseconds: versions are kept that long and 7 days more. */
  readonly longestLookbackMs: number
}

export type TopicNames = ReturnType<typeof topicNames>

export function topicNames(prefix: string) {
  return {
    sessions: `${prefix}.sessions`,
    messages: `${prefix}.messages`,
    events: `${prefix}.events`,
    progress: `${prefix}.progress`,
    series: `${prefix}.series`,
    alerts: `${prefix}.alerts`,
    rejects: `${prefix}.rejects`,
    offsets: `${prefix}-connect-offsets`,
    versions: `${prefix}-connect-versions`,
    aggregateState: `${prefix}-aggregate-state`,
    /** Which input offsets the series stand for, one record a partition number, rewritten last in every transaction of the aggregator. */
    aggregateOffsets: `${prefix}-aggregate-offsets`,
    /** What the alerter has learnt and judged, read by whoever has its partition number next. */
    alertState: `${prefix}-alert-state`,
    configs: `${prefix}-connect-configs`,
    status: `${prefix}-connect-status`,
  } as const
}

/**
 * Transactional id of a source partition. The parts are joined by `/`, which no prefix, connector or stream may hold, so that no two
 * installations on one cluster share an id whatever their names are.
 */
export function sourceTransactionalId(prefix: string, partition: { connector: string; stream: string; scope: string }): string {
  return [prefix, partition.connector, partition.stream, partition.scope].join('/')
}

/** Transactional id of a command of the binary. The empty second part keeps it apart from every connector's. */
export function toolTransactionalId(prefix: string, tool: string): string {
  return [prefix, '', 'tool', tool].join('/')
}

/** Kafka Connect's `group.id`. */
export function workerGroupId(prefix: string): string {
  return `${prefix}-connect`
}

/** Transactional id with which a worker shows that it lives. The empty second part keeps it apart from every connector's. */
export function workerTransactionalId(prefix: string, worker: string): string {
  return [prefix, '', 'worker', worker].join('/')
}

/** Transactional id of the leader of the workers, who alone writes the configs topic. The empty second part keeps it apart from every connector's. */
export function leaderTransactionalId(prefix: string): string {
  return [prefix, '', 'leader'].join('/')
}

/** Transactional id with which a worker writes statuses. The empty second part keeps it apart from every connector's. */
export function statusTransactionalId(prefix: string, worker: string): string {
  return [prefix, '', 'status', worker].join('/')
}

/** Transactional id of a source partition up to version 0.1: two installations could share one. Fenced once, when a source partition moves over. */
export function formerTransactionalId(prefix: string, partition: { connector: string; stream: string; scope: string }): string {
  return `${prefix}-${partition.connector}-${partition.stream}-${partition.scope}`
}

/** Transactional id of the aggregator's partition number. The empty second part keeps it apart from every connector's. */
export function aggregateTransactionalId(prefix: string, partition: number): string {
  return [prefix, '', 'aggregate', partition].join('/')
}

/** Transactional id of the alerter's partition number. The empty second part keeps it apart from every connector's. */
export function alertTransactionalId(prefix: string, partition: number): string {
  return [prefix, '', 'alert', partition].join('/')
}

/**
 * A compacted topic is cleaned only up to the segment that is being written. With the broker's defaults (7 days or 1 GiB) that is nearly everything, and
 * whoever reads such a topic to its end at a start reads every state of a cursor instead of the newest.
 */
const STATE_SEGMENTS = { 'segment.ms': String(3_600_000), 'segment.bytes': String(32 * 1024 * 1024) } as const
/** Of topics that keep much: fewer files. */
const DATA_SEGMENTS = { 'segment.ms': String(6 * 3_600_000), 'segment.bytes': String(128 * 1024 * 1024) } as const

interface SpecOptions {
  readonly partitions?: number
  readonly needs?: readonly string[]
  readonly segments?: Readonly<Record<string, string>>
}

export function topicSpecs(options: TopicOptions): TopicSpec[] {
  const names = topicNames(options.prefix)
  const spec = (
    topic: string,
    policy: 'compact' | 'delete' | 'compact,delete',
    retentionMs: number | null,
    { partitions = options.partitions, needs = [], segments = STATE_SEGMENTS }: SpecOptions = {},
  ): TopicSpec => ({
    topic,
    needs,
    partitions,
    replicationFactor: options.replicationFactor,
    config: {
      'cleanup.policy': policy,
      // What others choose for their topics is read all the same; ours are not packed again by the broker.
      'compression.type': 'producer',
      ...(retentionMs === null ? {} : { 'retention.ms': String(retentionMs) }),
      ...(policy === 'delete' ? {} : segments),
    },
  })
  return [
    spec(names.sessions, 'compact', null, { segments: DATA_SEGMENTS }),
    spec(names.messages, 'delete', 14 * DAY_MS),
    spec(names.events, 'delete', 14 * DAY_MS),
    spec(names.progress, 'compact', null),
    spec(names.series, 'compact,delete', 5 * 365 * DAY_MS, { segments: DATA_SEGMENTS }),
    spec(names.alerts, 'compact,delete', 90 * DAY_MS),
    spec(names.rejects, 'delete', 14 * DAY_MS),
    spec(names.offsets, 'compact', null),
    spec(names.versions, 'compact,delete', options.longestLookbackMs + 7 * DAY_MS, { needs: ['retention.ms'] }),
    spec(names.aggregateState, 'compact', null),
    spec(names.aggregateOffsets, 'compact', null),
    spec(names.alertState, 'compact', null),
    spec(names.configs, 'compact', null, { partitions: 1 }),
    spec(names.status, 'compact', null),
  ]
}

/** Topic setting: how long compaction leaves a null where it is. */
export const NULLS_KEPT = 'delete.retention.ms'

/** How old a file beside a compacted topic may be, for its setting `NULLS_KEPT`: the nulls written since must still be there, and the rest of the time is for reading them. */
export function nullsSafeMs(nullsKeptMs: number): number {
  return (nullsKeptMs * 5) / 6
}
