/**
 * The server: follows the topics from their start (`src/follow`), and keeps what `/v1` answers from. With a folder it reads the series from the newest snapshot in it, and
 * from the topic only what came after (`snapshots.ts`).
 */
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { eachReadable, startFollower } from '../follow/follower.ts'
import { decoderFor } from '../kafka/codec.ts'
import type { Chunk, Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { type Alert, MEASURES } from '../records.ts'
import { schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import type { Watermarks } from '../watermark.ts'
import { type AlertStore, createAlertStore } from './alerts.ts'
import type { Serve } from './api.ts'
import { createEventIndex } from './event-index.ts'
import type { RoleHealth } from './http.ts'
import { SKETCHES } from './sketch-pool.ts'
import { openSnapshots } from './snapshots.ts'
import { createStore, LABELS } from './store.ts'

export interface ServerOptions {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  /** The alert rules in force, as `/v1/rules` shows them. */
  readonly rules?: readonly object[]
  /** `state.dir`; absent: all of the series are read from their topic at each start. */
  readonly stateDir?: string | undefined
  /** See `SnapshotOptions`. */
  readonly snapshotEveryPoints?: number
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** Ends the server; `done` resolves then. */
  readonly signal: AbortSignal
}

export interface RunningServer {
  /** For the listener, from the start: it answers 503 until everything has been read once. */
  readonly serve: Serve
  readonly watermarks: Watermarks
  health(): RoleHealth
  /** Everything that was on the topics at the start has been read. Rejects where `done` does. */
  readonly ready: Promise<void>
  /** Resolves when the signal has ended it; rejects on a fault that trying again does not cure. */
  readonly done: Promise<void>
}

/**
 * Starts at once and returns; whatever Kafka does, the listener has something to ask.
 *
 * @throws FlowError CFG_INVALID where the folder for the state cannot be created
 */
export function startServer(options: ServerOptions): RunningServer {
  const { names, metrics, log } = options
  const store = createStore()
  const alerts = createAlertStore()
  const pointsRead = metrics.counter('serve_points_total', {})
  let points = 0
  const onInvalid = (topic: string) => metrics.inc('serve_invalid_records_total', { topic })
  const snapshots =
    options.stateDir === undefined
      ? null
      : openSnapshots({
          ...options,
          folder: join(options.stateDir, 'server'),
          topic: names.series,
          store,
          ...(options.snapshotEveryPoints === undefined ? {} : { everyPoints: options.snapshotEveryPoints }),
        })
  const next = () => Array.from({ length: options.partitions }, (_, partition) => follower.next(names.series, partition))
  const follower = startFollower({
    ...options,
    role: 'server',
    fields: ['series_key', ...LABELS, 'bucket_start', 'bucket', 'revision', ...MEASURES, ...SKETCHES],
    onPoint(point) {
      pointsRead.inc()
      points++
      store.put(point)
    },
    onRemoved(seriesKey, bucketStartMs, bucket) {
      pointsRead.inc()
      points++
      store.remove(seriesKey, bucketStartMs, bucket)
    },
    onInvalid,
    ...(snapshots === null
      ? {}
      : {
          resume: start => snapshots.resume(start),
          onBatch: async () => {
            if (follower.isReady) await snapshots.afterBatch(next(), points)
          },
        }),
    also: { topic: names.alerts, take: alertIntake(options, alerts, onInvalid) },
  })
  follower.ready.then(
    () => log.info({ series: store.series.length, cells: store.cells }, 'server has read the series'),
    () => {},
  )

  return {
    serve: {
      store,
      alerts,
      rules: options.rules ?? [],
      completeness: { streams: feeds => follower.watermarks.streams({ feeds }) },
      events: createEventIndex({ ...options, topic: names.events }),
      get clusterId() {
        return follower.clusterId
      },
      unready: () => (follower.isReady ? null : follower.why()),
    },
    watermarks: follower.watermarks,
    health: () => {
      const reason = follower.why()
      return reason === null ? { role: 'server', ok: true } : { role: 'server', ok: false, why: reason }
    },
    ready: follower.ready,
    done: snapshots === null ? follower.done : ended(),
  }

  async function ended(): Promise<void> {
    await follower.done
    if (follower.isReady) await snapshots?.close(next(), points)
  }
}

function alertIntake(
  { registry, log }: Pick<ServerOptions, 'registry' | 'log'>,
  alerts: AlertStore,
  onInvalid: (topic: string) => void,
): (chunk: Chunk) => Promise<void> {
  const decoder = decoderFor<Alert>(registry, schemaText('alert'))
  return async chunk => {
    await decoder.prepare(chunk.records.map(({ value }) => value))
    eachReadable(chunk, { log, onInvalid }, ({ key, value }) => {
      if (value === null) alerts.remove(key?.toString() ?? '')
      else alerts.put(decoder.decode(value))
    })
  }
}
