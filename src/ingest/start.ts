/** Starts every source partition (stream and scope) of the connectors given, and tells how they are. */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import { createHttp } from '../source/http.ts'
import { PRIORITY, quotaPool } from '../source/quota.ts'
import type { Fault } from './commit.ts'
import { Health, type PartitionState } from './health.ts'
import type { Reader } from './reader.ts'
import { SharedReads } from './shared-read.ts'
import { type ConnectorToRun, leaseOf, openShared, partitionsOf, partsOf, type SharedOptions } from './source-partition.ts'
import type { IngestMetrics } from './stages.ts'
import { runTask, type TaskParts } from './task.ts'

export interface IngestOptions extends SharedOptions {
  readonly connectors: readonly ConnectorToRun[]
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

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { kafka, clock, log, metrics, signal } = options
  const shared = await openShared(options)
  const reads = new SharedReads(kafka, signal)
  const gathered: TaskParts['kafka'] = {
    readToEnd: kafka.readToEnd,
    openWriter: options => reads.gathering(kafka.openWriter(options)),
  }
  const health = new Health(clock, metrics)
  const pool = quotaPool(clock)
  const running = options.connectors.flatMap(of => {
    const { name, connector, base, config } = of
    const httpSpec = connector.http(config as never)
    return partitionsOf(connector, base, config).map(async (partition, index) => {
      const { place, ...parts } = partsOf(shared, of, partition, index % base.tasksMax)
      const { task } = parts.to
      const mine = log.child({ ...place, task })
      const state = health.add({ ...place, task, stalledAfterMs: Math.max(LEAST_STALL_MS, 3 * parts.spec.pollIntervalMs) })
      const quota = leaseOf(pool, of, partition.scope, {
        willRecall: true,
        onWaited: seconds => metrics.inc('quota_wait_seconds_total', { connector: name }, seconds),
      })
      let reader: Reader | null = null
      const http = createHttp(httpSpec, {
        quota: quota.gate,
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
      await runTask({
        ...parts,
        kafka: gathered,
        reads,
        http,
        quota,
        clock,
        log: mine,
        metrics,
        health: state,
        signal,
        fault: options.fault ?? (() => {}),
        onReader: to => (reader = to),
      })
      quota.end()
      await http.close()
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

async function refresh(health: Health, clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal)
    health.refresh()
  }
}
