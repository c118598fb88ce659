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
    configs: `${prefix}-connect-configs`,
    status: `${prefix}-connect-status`,
  } as const
}

/**
 * Transactional id of a source partition. The parts are joined by `/`, which no prefix, connector or stream may hold, so that no two
 * installations on one cluster share an id whatever their names are.
 */
export function sourceTransactionalId(prefix: string, of: { connector: string; stream: string; scope: string }): string {
  return [prefix, of.connector, of.stream, of.scope].join('/')
}

/** Transactional id of a command of the binary. The empty second part keeps it apart from every connector's. */
export function toolTransactionalId(prefix: string, tool: string): string {
  return [prefix, '', 'tool', tool].join('/')
}

/** Transactional id with which a worker shows that it lives. The empty second part keeps it apart from every connector's. */
export function workerTransactionalId(prefix: string, worker: string): string {
  return [prefix, '', 'worker', worker].join('/')
}

/** Transactional id of a source partition up to version 0.1: two installations could share one. Fenced once, when a source partition moves over. */
export function formerTransactionalId(prefix: string, of: { connector: string; stream: string; scope: string }): string {
  return `${prefix}-${of.connector}-${of.stream}-${of.scope}`
}

/** Transactional id of the aggregator's partition number. The empty second part keeps it apart from every connector's. */
export function aggregateTransactionalId(prefix: string, partition: number): string {
  return [prefix, '', 'aggregate', partition].join('/')
}

export function topicSpecs(options: TopicOptions): TopicSpec[] {
  const names = topicNames(options.prefix)
  const spec = (
    topic: string,
    policy: 'compact' | 'delete' | 'compact,delete',
    retentionMs: number | null,
    partitions: number = options.partitions,
  ): TopicSpec => ({
    topic,
    partitions,
    replicationFactor: options.replicationFactor,
    config: { 'cleanup.policy': policy, ...(retentionMs === null ? {} : { 'retention.ms': String(retentionMs) }) },
  })
  return [
    spec(names.sessions, 'compact', null),
    spec(names.messages, 'delete', 14 * DAY_MS),
    spec(names.events, 'delete', 14 * DAY_MS),
    spec(names.progress, 'compact,delete', 30 * DAY_MS),
    spec(names.series, 'compact,delete', 730 * DAY_MS),
    spec(names.alerts, 'compact,delete', 90 * DAY_MS),
    spec(names.rejects, 'delete', 14 * DAY_MS),
    spec(names.offsets, 'compact', null),
    spec(names.versions, 'compact,delete', options.longestLookbackMs + 7 * DAY_MS),
    spec(names.aggregateState, 'compact', null),
    spec(names.aggregateOffsets, 'compact', null),
    spec(names.configs, 'compact', null, 1),
    spec(names.status, 'compact', null),
  ]
}
