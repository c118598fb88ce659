/** Starts every source partition (stream and scope) of the connectors given, and tells how they are. */
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { decoderFor, encoderFor } from '../kafka/codec.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import type { Event, Message, Progress, Session } from '../records.ts'
import { schemaText } from '../schemas.ts'
import { type BaseConfig, quotaLimits, quotaShare } from '../source/config.ts'
import type { Connector, RecordKind, Scope, Stream } from '../source/contract.ts'
import { createHttp } from '../source/http.ts'
import { PRIORITY, quotaPool } from '../source/quota.ts'
import { formerTransactionalId, sourceTransactionalId, type TopicNames } from '../topics.ts'
import type { Fault } from './commit.ts'
import { doorOf } from './door.ts'
import type { Outputs } from './encode.ts'
import { Health, type PartitionState } from './health.ts'
import { asGiven } from './mask.ts'
import { trustedClock } from './now.ts'
import type { PlanSpec } from './plan.ts'
import type { Reader } from './reader.ts'
import type { IngestMetrics } from './stages.ts'
import { SharedReads } from './shared-read.ts'
import { runTask, type TaskParts } from './task.ts'

/** A connector of the config, checked. */
export interface ConnectorToRun {
  readonly name: string
  readonly connector: Connector
  readonly base: BaseConfig
  readonly config: object
}

export interface IngestOptions {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'register' | 'schemaById'>
  readonly names: TopicNames
  /** Of every topic; they must be there. */
  readonly partitions: number
  readonly connectors: readonly ConnectorToRun[]
  readonly clock: Clock
  readonly log: Log
  readonly metrics: IngestMetrics
  readonly signal: AbortSignal
  /** For tests: see `Fault`. */
  readonly fault?: Fault
  /** How often metrics are told what has become stalled, milliseconds. Default 15 s; Infinity: never. */
  readonly refreshMs?: number
}

export interface Ingest {
  /** Whether every source partition has been taken over and knows where to go on; why not, where not. */
  ready(): { readonly ok: boolean; readonly why: readonly string[] }
  states(): readonly PartitionState[]
  /** Resolves when the signal has aborted and everything is closed, or when all source partitions have ended for good. */
  readonly done: Promise<void>
}

const REFRESH_MS = 15_000
const LEAST_STALL_MS = 300_000
const LOOKBACK_INTERVAL_MS = 900_000
/** For so long the limits of topics are not asked for again. */
const LIMITS_HOLD_MS = 5_000

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { kafka, registry, names, partitions, clock, log, metrics, signal } = options
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
  const refreshLimits = once(clock, async () => {
    for (const [topic, bytes] of await kafka.maxMessageBytes(written)) maxBytes.set(topic, bytes)
  })
  const prefix = prefixOf(names)
  const reads = new SharedReads(kafka, signal)
  const gathered: TaskParts['kafka'] = {
    readToEnd: kafka.readToEnd,
    openWriter: options => reads.gathering(kafka.openWriter(options)),
  }

  const health = new Health(clock, metrics)
  const pool = quotaPool(clock)
  const running = options.connectors.flatMap(({ name, connector, base, config }) => {
    const { manifest } = connector
    const httpSpec = connector.http(config as never)
    return partitionsOf(connector, base, config).map(({ stream, streamName, scope }, index) => {
      const task = index % base.tasksMax
      const place = { connector: name, stream: streamName, scope: scope.name }
      const spec = planSpecOf(connector, stream, base, config)
      const mine = log.child({ ...place, task })
      const state = health.add({ ...place, task, stalledAfterMs: Math.max(LEAST_STALL_MS, 3 * spec.pollIntervalMs) })
      const to: Outputs = {
        ...place,
        vendor: manifest.id,
        account: base.account,
        task,
        names,
        partitions,
        partitionOf,
        encoders,
        maxBytes,
        door: doorOf(asGiven),
        feeds: kindsOf(connector, streamName, config),
        tolerant: base.errorsTolerance === 'all',
      }
      const lease = pool.lease({
        vendor: manifest.id,
        shared: quotaShare(manifest, name, config, scope),
        limits: quotaLimits(manifest, base),
        willRecall: true,
        onWaited: seconds => metrics.inc('quota_wait_seconds_total', { connector: name }, seconds),
      })
      let reader: Reader | null = null
      const trusted = trustedClock(clock, mine)
      const http = createHttp(httpSpec, {
        onDate: trusted.vouch,
        quota: lease.gate,
        priority: () => PRIORITY[reader?.lane ?? 'live'],
        signal,
        clock,
        log: mine,
        observe: ({ outcome, seconds }) => {
          metrics.inc('vendor_requests_total', { connector: name, outcome })
          metrics.observe('vendor_request_seconds', { connector: name }, seconds)
          if (outcome === 'SRC_RATE_LIMITED') state.set('throttled')
        },
      })
      return runTask({
        kafka: gathered,
        transactionalId: sourceTransactionalId(prefix, place),
        formerTransactionalId: formerTransactionalId(prefix, place),
        reads,
        refreshLimits,
        to,
        scope,
        stream,
        config,
        spec,
        progress,
        decodeProgress: async value => {
          await progressDecoder.prepare([value])
          return progressDecoder.decode(value)
        },
        http,
        quota: lease,
        clock: trusted,
        log: mine,
        metrics,
        health: state,
        signal,
        fault: options.fault ?? (() => {}),
        onReader: to => (reader = to),
      }).then(() => {
        lease.end()
        return http.close()
      })
    })
  })

  const all = new AbortController()
  void refresh(health, clock, options.refreshMs ?? REFRESH_MS, AbortSignal.any([signal, all.signal]))
  return {
    ready: () => {
      const why = health
        .states()
        .filter(state => !state.restored)
        .map(({ connector, stream, scope, error }) => `${connector}/${stream}/${scope}: ${error?.code ?? 'starting'}`)
      return { ok: why.length === 0, why }
    },
    states: () => health.states(),
    done: Promise.all(running).then(() => all.abort()),
  }
}

/** The streams to read, times the scopes of each. */
export function partitionsOf(
  connector: Connector,
  base: BaseConfig,
  config: object,
): { stream: Stream; streamName: string; scope: Scope }[] {
  return base.streams.flatMap(streamName => {
    const stream = connector.streams[streamName]
    if (!stream) throw new FlowError('CFG_INVALID', { path: 'streams', hint: `there is no stream ${streamName}` })
    const scopes = stream.scopes?.(config as never, base.account) ?? [{ name: base.account, botId: null }]
    return scopes.map(scope => ({ stream, streamName, scope }))
  })
}

/** The kinds of records that a stream of the connector gives. */
export function kindsOf({ manifest, streams }: Connector, streamName: string, config: object): readonly RecordKind[] {
  const stream = streams[streamName]
  const derive = stream?.derive?.(config as never) ?? null
  const tellsSessions = manifest.sessionStream === streamName || (derive !== null && derive.publishes !== false)
  const kinds = stream?.gives ?? ['session', 'message', 'event']
  return tellsSessions ? kinds : kinds.filter(kind => kind !== 'session')
}

/** How time is cut for a stream: the config's figures, else the stream's, else the manifest's. */
export function planSpecOf(connector: Connector, stream: Stream, base: BaseConfig, config: object): PlanSpec {
  const window = typeof stream.window === 'function' ? stream.window(config as never) : stream.window
  return {
    startAtMs: base.startAtMs,
    pollIntervalMs: base.pollIntervalMs ?? window.pollIntervalMs ?? connector.manifest.pollIntervalMs,
    lagMs: window.lagMs,
    lookbackMs: base.lookbackMs ?? window.lookbackMs,
    lookbackIntervalMs: base.lookbackIntervalMs ?? window.lookbackIntervalMs ?? LOOKBACK_INTERVAL_MS,
    longestMs: window.longestMs,
    smallestMs: window.smallestMs ?? 1000,
    durableResume: window.durableResume,
    inOrder: (stream.derive?.(config as never) ?? null) !== null,
    followMs: stream.follow?.longestMs ?? 0,
  }
}

async function refresh(health: Health, clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal)
    health.refresh()
  }
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
