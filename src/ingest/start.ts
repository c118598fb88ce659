/** Starts every source partition (stream and scope) of the connectors given, and tells how they are. */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Network } from '../dispatcher.ts'
import { ERRORS } from '../errors.ts'
import type { Log } from '../log.ts'
import { createHttp } from '../source/http.ts'
import { toolTransactionalId } from '../topics.ts'
import { PRIORITY, quotaPool } from '../source/quota.ts'
import type { Fault } from './commit.ts'
import { barrierOf } from './barrier.ts'
import { Health, type PartitionState } from './health.ts'
import { trustedClock } from './now.ts'
import type { Reader } from './reader.ts'
import { withdrawRemoved } from './removed.ts'
import { SharedReads } from './shared-read.ts'
import { type Standby, startStandby } from './standby.ts'
import { type ConnectorToRun, leaseOf, openShared, partitionsOf, partsOf, type SharedOptions } from './source-partition.ts'
import type { IngestMetrics } from './stages.ts'
import { runTask, type TaskParts } from './task.ts'
import { ShownTransfers } from './transfer-delay.ts'

export interface IngestOptions extends SharedOptions {
  readonly connectors: readonly ConnectorToRun[]
  readonly log: Log
  readonly metrics: IngestMetrics
  readonly signal: AbortSignal
  /** The way to the vendors. Default: directly. */
  readonly network?: Network
  /** For tests: no other process has this config, so none is followed. */
  readonly isAlone?: true
  /** For tests: see `Fault`. */
  readonly fault?: Fault
  /** How often metrics are updated with what has become stalled, milliseconds. Default 2 s; Infinity: never. */
  readonly refreshMs?: number
}

export interface Ingest {
  /** Whether every source partition has been taken over and knows where to go on; why not, where not. */
  ready(): { readonly ok: boolean; readonly why: readonly string[] }
  states(): readonly PartitionState[]
  /** Resolves when the signal has aborted and everything is closed, or when all source partitions have ended for good. */
  readonly done: Promise<void>
}

const REFRESH_MS = 2_000
/** After so long every other process that lives has shown it. */
const SETTLED_MS = 15_000

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { kafka, clock, log, metrics, signal } = options
  const shared = await openShared(options)
  const barrier = options.isAlone ? undefined : barrierOf(kafka, toolTransactionalId(shared.prefix, `barrier-${randomUUID()}`))
  const reads = new SharedReads(kafka, signal, barrier?.ask)
  const gathered: TaskParts['kafka'] = {
    readToEnd: (place, onRecord, stop) => kafka.readToEnd(place, onRecord, stop),
    openWriter: options => reads.gathering(kafka.openWriter(options)),
  }
  /** Aborts when all source partitions have ended. */
  const all = new AbortController()
  const { names, partitions } = options
  const following = { kafka, names, prefix: shared.prefix, partitions, clock, log, signal: all.signal }
  const standby = options.isAlone ? undefined : startStandby(following)
  const health = new Health(clock, metrics)
  const pool = quotaPool(clock)
  const running = options.connectors.flatMap(of => {
    const { name, connector, base, config } = of
    const httpSpec = connector.http(config as never)
    const shown = new ShownTransfers()
    return partitionsOf(connector, base, config).map(async (partition, index) => {
      const { place, ...parts } = partsOf(shared, of, partition, index % base.tasksMax)
      const { task } = parts.to
      const mine = log.child({ ...place, task })
      const state = health.add({ ...place, task, pollIntervalMs: parts.spec.pollIntervalMs })
      const quota = leaseOf(pool, of, partition.scope, {
        willRecall: true,
        onWaited: seconds => metrics.inc('quota_wait_seconds_total', { connector: name }, seconds),
      })
      let reader: Reader | null = null
      const trusted = trustedClock(clock, mine)
      const http = createHttp(httpSpec, {
        onDate: dateMs => trusted.vouch(dateMs),
        quota: quota.gate,
        priority: () => PRIORITY[reader?.lane ?? 'live'],
        signal,
        clock,
        log: mine,
        watch: state,
        ...(options.network === undefined ? {} : { network: options.network }),
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
        clock: trusted,
        log: mine,
        metrics,
        health: state,
        signal,
        standby,
        shown,
        fault: options.fault ?? (() => {}),
        onReader: to => (reader = to),
      })
      quota.end()
      await http.close()
    })
  })

  const ready = () => readiness(health)
  /** What other processes read is known only by following them. */
  const withdrawn = standby && withdrawWhenReady(standby)
  void refresh(health, clock, options.refreshMs ?? REFRESH_MS, AbortSignal.any([signal, all.signal]))

  async function withdrawWhenReady(others: Standby): Promise<void> {
    await whenReady(ready, clock, SETTLED_MS, signal)
    await withdrawRemoved({
      kafka,
      names,
      prefix: shared.prefix,
      partitions,
      configured: health.states(),
      isAlive: worker => others.isAlive(worker),
      clock,
      log,
      signal,
    })
  }

  return {
    ready,
    states: () => health.states(),
    done: Promise.all(running)
      .then(() => all.abort())
      .then(() => standby?.done)
      .then(() => barrier?.close())
      .then(() => withdrawn),
  }
}

/** This process reads it no more: another has taken it over, or its cursor cannot be read. A fault of the vendor or of one of its rows ends nothing. */
function hasEnded({ error }: PartitionState): boolean {
  return error !== null && ['never', 'follow'].includes(ERRORS[error.code].retry)
}

function readiness(health: Health): ReturnType<Ingest['ready']> {
  const why = health
    .states()
    .filter(state => !state.restored || hasEnded(state))
    .map(({ connector, stream, scope, error }) => `${connector}/${stream}/${scope}: ${error?.message ?? 'starting'}`)
  return { ok: why.length === 0, why }
}

/** Until all is ready, or for a minute, but for `leastMs`: what can wait does not hold up the start. */
async function whenReady(ready: Ingest['ready'], clock: Clock, leastMs: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(leastMs, signal)
  for (let waits = 0; waits < 120 && !ready().ok && !signal.aborted; waits++) await clock.sleep(500, signal)
}

async function refresh(health: Health, clock: Clock, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal)
    health.refresh()
  }
}
