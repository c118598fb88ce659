/**
 * What a source partition (connector, stream, scope) is made of, from the config: for the worker that runs it (`start.ts`) and for the redrive of
 * its dead letters (`redrive.ts`).
 */
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { decoderFor, encoderFor } from '../kafka/codec.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Event, Message, Progress, Session } from '../records.ts'
import { schemaText } from '../schemas.ts'
import { type BaseConfig, quotaLimits, quotaShare } from '../source/config.ts'
import type { Connector, Quota, RecordKind, Scope, Stream } from '../source/contract.ts'
import { quotaDigest, type QuotaPool } from '../source/quota.ts'
import { instead } from '../source/watchdog.ts'
import { formerTransactionalId, sourceTransactionalId, type TopicNames } from '../topics.ts'
import type { PartitionName } from './cursor.ts'
import { doorOf } from './door.ts'
import type { Feed, Outputs } from './encode.ts'
import { maskFor } from './mask.ts'
import type { PlanSpec } from './plan.ts'
import type { TaskParts } from './task.ts'

/** A connector of the config, checked. */
export interface ConnectorToRun {
  readonly name: string
  readonly connector: Connector
  readonly base: BaseConfig
  readonly config: object
}

export interface SharedOptions {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'register' | 'schemaById'>
  readonly names: TopicNames
  /** Of every topic; they must be there. */
  readonly partitions: number
  readonly clock: Clock
}

/** What all source partitions of a process share. */
export interface Shared extends Pick<TaskParts, 'progress' | 'decodeProgress'> {
  readonly outputs: Pick<Outputs, 'names' | 'partitions' | 'partitionOf' | 'encoders' | 'maxBytes'>
  readonly prefix: string
  /** Asks the topics for their limits again, at most every few seconds. */
  readonly refreshLimits: () => Promise<void>
}

const HOUR_MS = 3_600_000
const LOOKBACK_INTERVAL_MS = 12 * HOUR_MS
const HOT_MS = HOUR_MS
/** What the steady state may take of the vendor's quota; the rest is for backfill, for repeats, and for others. */
export const STEADY_PART = 1 / 3
/** For so long the limits of topics are not asked for again. */
const LIMITS_HOLD_MS = 5_000

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE */
export async function openShared({ kafka, registry, names, partitions, clock }: SharedOptions): Promise<Shared> {
  const encoderOf = async <T extends object>(topic: string, schema: Parameters<typeof schemaText>[0]) => {
    const text = schemaText(schema)
    return encoderFor<T>(text, await registry.register(`${topic}-value`, text))
  }
  const encoders = {
    session: await encoderOf<Session>(names.sessions, 'session'),
    message: await encoderOf<Message>(names.messages, 'message'),
    event: await encoderOf<Event>(names.events, 'event'),
  }
  const progress = await encoderOf<Progress>(names.progress, 'progress')
  const progressDecoder = decoderFor<Progress>(registry, schemaText('progress'))
  const written = [names.sessions, names.messages, names.events, names.rejects, names.versions, names.offsets]
  const maxBytes = new Map(await kafka.maxMessageBytes(written))
  return {
    outputs: { names, partitions, partitionOf, encoders, maxBytes },
    prefix: prefixOf(names),
    progress,
    decodeProgress: async value => {
      await progressDecoder.prepare([value])
      return progressDecoder.decode(value)
    },
    refreshLimits: once(clock, async () => {
      for (const [topic, bytes] of await kafka.maxMessageBytes(written)) maxBytes.set(topic, bytes)
    }),
  }
}

/** The parts of the one source partition that the config alone decides. */
export function partsOf(
  { outputs, prefix, progress, decodeProgress, refreshLimits }: Shared,
  of: ConnectorToRun,
  { stream, streamName, scope }: SourcePartition,
  task: number,
) {
  const { name, connector, base, config } = of
  const place = { connector: name, stream: streamName, scope: scope.name }
  const { manifest } = connector
  const spec = planSpecOf(connector, stream, base, config, mostPerHour(of, scope))
  const to: Outputs = {
    ...place,
    ...outputs,
    vendor: manifest.id,
    account: base.account,
    task,
    door: doorOf(maskFor(connector, base)),
    feeds: feedsOf(of, streamName),
    sourcePartitions: countsOf(of).partitions.length,
    transfers: base.transfers,
    lookbackMs: spec.lookbackMs,
    tolerant: base.errorsTolerance === 'all',
  }
  return {
    place,
    to,
    scope,
    stream,
    config,
    spec,
    progress,
    decodeProgress,
    refreshLimits,
    transactionalId: sourceTransactionalId(prefix, place),
    formerTransactionalId: formerTransactionalId(prefix, place),
  }
}

/** The source partition's share of the quota. */
export function leaseOf(
  pool: QuotaPool,
  of: ConnectorToRun,
  scope: Scope,
  more: { by?: string; willRecall?: boolean; onWaited?: (seconds: number) => void } = {},
) {
  const { manifest } = of.connector
  return pool.lease({ vendor: manifest.id, shared: shareOf(of, scope), limits: quotaLimits(manifest, of.base), ...more })
}

export interface SourcePartition {
  readonly stream: Stream
  readonly streamName: string
  readonly scope: Scope
}

/** Scopes are part of keys and of the transactional id. */
const MOST_SCOPE_BYTES = 1024

/** The streams to read, times the scopes of each. */
export function partitionsOf(connector: Connector, base: BaseConfig, config: object): SourcePartition[] {
  return base.streams.flatMap(streamName => {
    const stream = connector.streams[streamName]
    if (!stream) throw new FlowError('CFG_INVALID', { path: 'streams', hint: `there is no stream ${streamName}` })
    const scopes = stream.scopes?.(config as never, base.account) ?? [{ name: base.account, botId: null }]
    for (const { name } of scopes) {
      if (Buffer.byteLength(name) > MOST_SCOPE_BYTES)
        throw new FlowError('CFG_INVALID', { path: 'scope', hint: `a scope is longer than ${MOST_SCOPE_BYTES} bytes` })
    }
    const known = withRow(stream, config)
    return scopes.map(scope => ({ stream: known, streamName, scope }))
  })
}

/** The stream with the row schema that it has with this config. */
function withRow(stream: Stream, config: object): Stream {
  return stream.rowFor === undefined ? stream : instead(stream, { row: stream.rowFor(config as never) })
}

/** The kinds of records that a stream of the connector gives. */
export function kindsOf({ manifest, streams }: Connector, streamName: string, config: object): readonly RecordKind[] {
  const stream = streams[streamName]
  const derive = stream?.derive?.(config as never) ?? null
  const tellsSessions = manifest.sessionStream === streamName || (derive !== null && derive.publishes !== false)
  const kinds = stream?.feeds ?? ['session', 'message', 'event']
  return tellsSessions ? kinds : kinds.filter(kind => kind !== 'session')
}

/** Whether it can be known which sessions went to an agent, with this config. */
export function detectsTransfers({ connector, base, config }: Omit<ConnectorToRun, 'name'>): boolean {
  return connector.detectsTransfers?.(config as never, base.transfers) ?? true
}

/** What Progress of the stream says that it gives. */
export function feedsOf(of: ConnectorToRun, streamName: string): readonly Feed[] {
  const kinds = kindsOf(of.connector, streamName, of.config)
  if (!kinds.includes('session')) return kinds
  return [...kinds, detectsTransfers(of) ? 'transfer' : 'no_transfer']
}

/**
 * How time is cut for a stream: the config's figures, else the stream's, else the manifest's.
 *
 * @param mostPerHour See `PlanSpec`.
 */
export function planSpecOf(
  connector: Connector,
  stream: Stream,
  base: Pick<BaseConfig, 'startAtMs' | 'pollIntervalMs' | 'lookbackMs' | 'lookbackIntervalMs' | 'hotMs'>,
  config: object,
  mostPerHour = Infinity,
): PlanSpec {
  const window = typeof stream.window === 'function' ? stream.window(config as never) : stream.window
  const lookbackMs = base.lookbackMs ?? window.lookbackMs
  return {
    startAtMs: base.startAtMs,
    pollIntervalMs: base.pollIntervalMs ?? window.pollIntervalMs ?? connector.manifest.pollIntervalMs,
    lagMs: window.lagMs,
    settles: window.settles ?? false,
    lookbackMs,
    hotMs: Math.min(base.hotMs ?? window.hotMs ?? HOT_MS, lookbackMs),
    mostPerHour,
    lookbackIntervalMs: base.lookbackIntervalMs ?? window.lookbackIntervalMs ?? LOOKBACK_INTERVAL_MS,
    longestMs: window.longestMs,
    smallestMs: window.smallestMs ?? 1000,
    durableResume: window.durableResume,
    keepsCursor: window.keepsCursor ?? false,
    inOrder: (stream.derive?.(config as never) ?? null) !== null,
    followMs: stream.follow?.longestMs ?? 0,
  }
}

/** Requests an hour that the limits allow; Infinity: they bound none. */
export function requestsPerHour({ perSecond, perMinute, perHour, gapMs }: Omit<Quota, 'sharedBy'>): number {
  const each = (limit: number | undefined, times: number) => (limit ? limit * times : Infinity)
  return Math.min(each(perSecond, 3600), each(perMinute, 60), each(perHour, 1), gapMs ? HOUR_MS / gapMs : Infinity)
}

/** What the vendor counts the scope's requests by. May be a secret. */
export function shareOf({ name, connector, config }: ConnectorToRun, scope: Scope): string {
  return quotaShare(connector.manifest, name, config, scope)
}

/** The same as workers tell it each other. */
export function quotaOf(of: ConnectorToRun, scope: Scope): string {
  return quotaDigest(of.connector.manifest.id, shareOf(of, scope))
}

interface Counts {
  readonly partitions: readonly { readonly name: PartitionName; readonly quota: string }[]
  /** How many source partitions share each quota. */
  readonly sharers: ReadonlyMap<string, number>
}

const counts = new WeakMap<ConnectorToRun, Counts>()

/** All source partitions of the connector, and what their requests are counted by. @throws FlowError CFG_INVALID */
export function countsOf(of: ConnectorToRun): Counts {
  const known = counts.get(of)
  if (known !== undefined) return known
  const sharers = new Map<string, number>()
  const partitions = partitionsOf(of.connector, of.base, of.config).map(({ streamName, scope }) => {
    const quota = quotaOf(of, scope)
    sharers.set(quota, (sharers.get(quota) ?? 0) + 1)
    return { name: { connector: of.name, stream: streamName, scope: scope.name }, quota }
  })
  const counted = { partitions, sharers }
  counts.set(of, counted)
  return counted
}

/** The part of the quota's requests an hour that one of those who share it may ask for in the steady state. */
function mostPerHour(of: ConnectorToRun, scope: Scope): number {
  const limits = quotaLimits(of.connector.manifest, of.base)
  return (requestsPerHour(limits) * STEADY_PART) / (countsOf(of).sharers.get(quotaOf(of, scope)) ?? 1)
}

/** The work, but once for all that ask within some seconds. */
function once(clock: Clock, work: () => Promise<void>): () => Promise<void> {
  let last: Promise<void> | null = null
  let untilMs = -Infinity
  return () => {
    if (last === null || clock.now() >= untilMs) {
      untilMs = clock.now() + LIMITS_HOLD_MS
      last = work().catch((error: unknown) => {
        last = null
        throw error
      })
    }
    return last
  }
}

/** `<prefix>` of `<prefix>.sessions`. */
function prefixOf(names: TopicNames): string {
  return names.sessions.slice(0, -'.sessions'.length)
}
