/** Runs tasks, each a set of source partitions (stream and scope) of one connector, that are started and stopped at any time; tells how they are. */
import { randomUUID } from 'node:crypto'
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import type { Network } from '../dispatcher.ts'
import { asFlowError, type ErrorCode, ERRORS, FlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import { errorFields, type Log } from '../log.ts'
import type { HttpSpec } from '../source/contract.ts'
import { createHttp } from '../source/http.ts'
import { toolTransactionalId } from '../topics.ts'
import { DOUBT_MS, PRIORITY, quotaPool } from '../source/quota.ts'
import type { Fault } from './commit.ts'
import { cursorKey, type PartitionName, progressKey, saysSpent, spentOf } from './cursor.ts'
import { barrierOf } from './barrier.ts'
import { demandBoard } from './demand.ts'
import { Health, type PartitionHealth, type PartitionState } from './health.ts'
import { trustedClock } from './now.ts'
import type { Reader } from './reader.ts'
import { withdrawRemoved } from './removed.ts'
import { SharedReads } from './shared-read.ts'
import {
  type ConnectorToRun,
  countsOf,
  leaseOf,
  openShared,
  partsOf,
  quotaOf,
  type SharedOptions,
  type SourcePartition,
} from './source-partition.ts'
import { startStandby } from './standby.ts'
import type { IngestMetrics } from './stages.ts'
import { runTask, type TaskParts } from './task.ts'
import { cutIntoTasks } from './tasks.ts'
import { ShownTransfers } from './transfer-delay.ts'

export interface RunnerOptions extends SharedOptions {
  /** The connector as it is wanted now, or what is wrong with it; null: there is none of this name. Never throws. */
  readonly connectorOf: (name: string) => VersionedConnector | null
  /** All connectors that workers may run: some may share a quota with those of another name. Default: none but the one that is started. */
  readonly allConnectors?: () => readonly ConnectorToRun[]
  /** Called whenever a task fails or gets on again. */
  readonly onReport?: (id: TaskId, report: TaskReport) => void
  /** Called after each commit of a task with the topics that it has written sessions, messages and events to. */
  readonly onWrote?: (id: TaskId, topics: readonly string[]) => void
  /** Since when it is certain that no other worker has what runs here: see `quotaPool`. Default: always. */
  readonly certainSinceMs?: () => number
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

/** A connector and the version of its config, which changes whenever that does. */
export interface VersionedConnector {
  readonly version: string
  readonly of: ConnectorToRun | FlowError
}

export interface TaskId {
  readonly connector: string
  readonly task: number
}

export interface TaskReport {
  readonly state: 'RUNNING' | 'FAILED'
  /** Of FAILED: where and why, then the cure. */
  readonly trace?: string
}

export interface TaskRunner {
  /** Starts the task, or starts it anew where it runs with another version of its connector. Returns at once. */
  start(id: TaskId): void
  /** Resolves when nothing of it asks a vendor or writes any more, within some seconds. */
  stop(id: TaskId): Promise<void>
  /** See `QuotaPool.divide`. */
  quota(parts: ReadonlyMap<string, number>): void
  /** Whether every source partition that is here has been taken over and knows where to go on; why not, where not. */
  ready(): { readonly ok: boolean; readonly why: readonly string[] }
  states(): readonly PartitionState[]
  /** Names this process in the cursors that it writes. */
  readonly process: string
  /**
   * Withdraws the Progress of source partitions that are not in the config and that nobody reads.
   *
   * @param isOurs Whether a process goes by the same config, so that it does not read them either.
   */
  withdraw(configured: readonly PartitionName[], isOurs: (process: string) => boolean, signal: AbortSignal): Promise<void>
  /** Resolves when all tasks that are here have ended: were stopped, or given up for good. */
  idle(): Promise<void>
  /** Call it when the signal has aborted, or when all tasks have been stopped. Resolves when everything is closed. */
  close(): Promise<void>
}

const REFRESH_MS = 2_000
/** After so long every other process that lives has shown it. */
export const SETTLED_MS = 15_000

/** A task that is here, or is about to be. */
interface Place {
  readonly id: TaskId
  isWanted: boolean
  running: Running | null
}

interface Running {
  readonly version: string
  readonly stop: AbortController
  readonly done: Promise<void>
  /** What forgets its states, once it is not here any more. */
  readonly ends: (() => void)[]
}

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then. */
export async function openRunner(options: RunnerOptions): Promise<TaskRunner> {
  const { kafka, clock, log, metrics, signal, names, partitions, certainSinceMs = () => -Infinity, onReport = () => {} } = options
  const shared = await openShared(options)
  const barrier = options.isAlone ? undefined : barrierOf(kafka, toolTransactionalId(shared.prefix, `barrier-${randomUUID()}`))
  const reads = new SharedReads(kafka, signal, barrier?.ask)
  const gathered = (until: AbortSignal): TaskParts['kafka'] => ({
    readToEnd: (place, onRecord, stop) => kafka.readToEnd(place, onRecord, stop),
    openWriter: more => reads.gathering(kafka.openWriter({ ...more, mayClaim: () => whenCertain(until) }), until),
  })
  /** After a standstill the group is asked first: another worker may own the source partition by now, and would be fenced. */
  async function whenCertain(until: AbortSignal): Promise<void> {
    while (!until.aborted && certainSinceMs() === Infinity) await clock.sleep(DOUBT_MS, until)
    if (until.aborted) throw new FlowError('STOPPED')
  }
  /** Aborts when nothing is to run any more. */
  const closing = new AbortController()
  const following = { kafka, names, prefix: shared.prefix, partitions, clock, log, signal: closing.signal }
  const standby = options.isAlone ? undefined : startStandby(following)
  const health = new Health(clock, metrics)
  const pool = quotaPool(clock, certainSinceMs)
  let divided: ReadonlyMap<string, number> = new Map()
  const demandOf = demandBoard(metrics)
  const places = new Map<string, Place>()
  /** By connector, while any task of it is here. */
  const shownTransfers = new Map<string, ShownTransfers>()

  const keyOf = ({ connector, task }: TaskId) => `${connector}/${task}`

  function start(id: TaskId): void {
    let place = places.get(keyOf(id))
    if (place === undefined) places.set(keyOf(id), (place = { id, isWanted: true, running: null }))
    place.isWanted = true
    bring(place)
  }

  /** Makes it run as it should, after what runs otherwise has ended. */
  function bring(place: Place): void {
    if (!place.isWanted || signal.aborted) return
    const wanted = options.connectorOf(place.id.connector)
    if (place.running !== null) {
      if (wanted?.version !== place.running.version) void end(place)
      return
    }
    if (wanted === null) return
    const stop = new AbortController()
    const ends: Running['ends'] = []
    place.running = { version: wanted.version, stop, ends, done: runAll(place.id, wanted.of, stop.signal, ends) }
  }

  async function end(place: Place): Promise<void> {
    const { running } = place
    if (running === null) return
    running.stop.abort()
    await running.done
    // What the process had when it was stopped may still be asked for.
    if (place.running !== running || signal.aborted) return
    place.running = null
    for (const each of running.ends) each()
    if (place.isWanted) bring(place)
    else forget(place)
  }

  function forget({ id }: Place): void {
    places.delete(keyOf(id))
    if ([...places.values()].every(other => other.id.connector !== id.connector)) shownTransfers.delete(id.connector)
  }

  async function stop(id: TaskId): Promise<void> {
    const place = places.get(keyOf(id))
    if (place === undefined) return
    place.isWanted = false
    if (place.running === null) forget(place)
    else await end(place)
  }

  /** All source partitions of the task, until they have ended. */
  async function runAll(id: TaskId, of: ConnectorToRun | FlowError, stopping: AbortSignal, ends: Running['ends']): Promise<void> {
    const states: PartitionHealth[] = []
    let hasStarted = false
    try {
      if (of instanceof FlowError) throw of
      const mine = cutIntoTasks(of)[id.task] ?? []
      const shown = shownTransfers.get(of.name) ?? new ShownTransfers()
      shownTransfers.set(of.name, shown)
      const httpSpec = of.connector.http(of.config as never)
      const report = () => onReport(id, reportOf(states))
      const others = Promise.withResolvers<void>()
      const more = { stopping, httpSpec, shown, states, report, ends, others: others.promise }
      const all = mine.map(partition => runOne(id, of, partition, more))
      hasStarted = true
      metrics.connect.startup('task', true)
      // Their leases hold requests back meanwhile.
      void recallOthers(of, mine).then(others.resolve)
      await Promise.all(all)
    } catch (thrown) {
      const error = asFlowError(thrown)
      log.error({ ...errorFields(error), ...id }, 'task cannot run')
      if (!hasStarted) metrics.connect.startup('task', false)
      onReport(id, { state: 'FAILED', trace: traceOf(`connector ${id.connector}`, error) })
    }
  }

  /**
   * What tasks elsewhere have asked of quotas that are divided counts against our part, too: they had more of it before. Also tasks of other connectors, where
   * those share the quota.
   */
  async function recallOthers(of: ConnectorToRun, mine: readonly SourcePartition[]): Promise<void> {
    const quotas = new Set(mine.map(({ scope }) => quotaOf(of, scope)).filter(quota => divided.has(quota)))
    if (quotas.size === 0) return
    const all = new Map([...(options.allConnectors?.() ?? []), of].map(each => [each.name, each]))
    const here = new Set(health.states().map(progressKey))
    const elsewhere = [...all.values()]
      .flatMap(partitionsCounted)
      .filter(({ quota, name }) => quotas.has(quota) && !here.has(progressKey(name)))
    try {
      await Promise.all(
        elsewhere.map(async ({ quota, name }) => {
          const key = cursorKey(name)
          const cursor = await reads.newest({ topic: names.offsets, partition: partitionOf(key, partitions) }, key)
          if (saysSpent(cursor)) pool.recallFor({ quota, by: progressKey(name), spent: spentOf(cursor) })
        }),
      )
    } catch (thrown) {
      if (!signal.aborted)
        log.warn({ ...errorFields(asFlowError(thrown)), connector: of.name }, 'requests of other workers are not known')
    }
  }

  async function runOne(
    { task }: TaskId,
    of: ConnectorToRun,
    partition: SourcePartition,
    more: {
      readonly stopping: AbortSignal
      readonly httpSpec: HttpSpec
      readonly shown: ShownTransfers
      readonly states: PartitionHealth[]
      readonly report: () => void
      readonly ends: Running['ends']
      /** When what others asked of our quotas is known. */
      readonly others: Promise<void>
    },
  ): Promise<void> {
    const { name } = of
    const { place, ...parts } = partsOf(shared, of, partition, task)
    const stop = AbortSignal.any([signal, more.stopping])
    const mine = log.child({ ...place, task })
    const state = health.add({ ...place, task, pollIntervalMs: parts.spec.pollIntervalMs, onChange: more.report })
    more.states.push(state)
    const demand = demandOf(name, place.stream)
    more.ends.push(
      () => state.end(),
      () => demand.end(),
    )
    const quota = leaseOf(pool, of, partition.scope, {
      by: progressKey(place),
      willRecall: true,
      onWaited: seconds => metrics.inc('quota_wait_seconds_total', { connector: name }, seconds),
    })
    let reader: Reader | null = null
    const trusted = trustedClock(clock, mine)
    const http = createHttp(more.httpSpec, {
      onDate: dateMs => trusted.vouch(dateMs),
      quota: quota.gate,
      priority: () => PRIORITY[reader?.turn ?? 'live'],
      signal: stop,
      clock,
      log: mine,
      watch: state,
      ...(options.network === undefined ? {} : { network: options.network }),
      observe: ({ outcome, seconds }) => {
        reader?.asked()
        metrics.inc('vendor_requests_total', { connector: name, outcome })
        metrics.observe('vendor_request_seconds', { connector: name }, seconds)
        if (outcome !== 'ok') metrics.connect.retried({ connector: name, task })
        if (outcome === 'SRC_RATE_LIMITED') state.set('throttled')
      },
    })
    stop.addEventListener('abort', () => quota.settle(), { once: true })
    await Promise.race([more.others, aborted(stop)])
    await runTask({
      ...parts,
      kafka: gathered(stop),
      reads,
      http,
      quota,
      clock: trusted,
      log: mine,
      metrics,
      health: state,
      signal: stop,
      standby,
      shown: more.shown,
      fault: options.fault ?? (() => {}),
      onReader: to => (reader = to),
      onWrote: topics => options.onWrote?.({ connector: name, task }, topics),
      onDemand: (hotMs, perHour) => demand.told(hotMs, perHour),
    })
    quota.end()
    await http.close()
  }

  void refresh(health, clock, options.refreshMs ?? REFRESH_MS, AbortSignal.any([signal, closing.signal]))
  const ready = () => readiness(health)

  return {
    start,
    stop,
    quota: parts => {
      divided = parts
      pool.divide(parts)
    },
    ready,
    states: () => health.states(),
    process: standby?.worker ?? randomUUID(),
    async withdraw(configured, isOurs, ended) {
      // What other processes read is known only by following them.
      if (standby === undefined) return
      await whenReady(ready, clock, SETTLED_MS, ended)
      await withdrawRemoved({
        kafka,
        names,
        prefix: shared.prefix,
        partitions,
        configured,
        isAlive: worker => standby.isAlive(worker) && !isOurs(worker),
        clock,
        log,
        signal: ended,
      })
    },
    async idle() {
      for (let all = running(); all.length > 0; ) {
        await Promise.all(all.map(({ done }) => done))
        const before = new Set(all)
        all = running().filter(each => !before.has(each))
      }
    },
    async close() {
      await Promise.all(running().map(({ done }) => done))
      closing.abort()
      await standby?.done
      await barrier?.close()
    },
  }

  function running() {
    return [...places.values()].flatMap(({ running }) => running ?? [])
  }
}

export interface IngestOptions extends Omit<RunnerOptions, 'connectorOf' | 'allConnectors' | 'onReport' | 'onWrote'> {
  readonly connectors: readonly ConnectorToRun[]
}

export interface Ingest {
  /** Whether every source partition has been taken over and knows where to go on; why not, where not. */
  ready(): { readonly ok: boolean; readonly why: readonly string[] }
  states(): readonly PartitionState[]
  /** Resolves when the signal has aborted and everything is closed, or when all source partitions have ended for good. */
  readonly done: Promise<void>
}

/**
 * Runs all tasks of the connectors, without a group: for tests, benches and the conformance suite.
 *
 * @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then.
 */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const connectors = new Map(options.connectors.map(of => [of.name, { version: '', of }]))
  const runner = await openRunner({ ...options, connectorOf: name => connectors.get(name) ?? null })
  for (const of of options.connectors) cutIntoTasks(of).forEach((_, task) => runner.start({ connector: of.name, task }))
  const withdrawn = runner.withdraw(runner.states(), () => false, options.signal)
  return {
    ready: () => runner.ready(),
    states: () => runner.states(),
    done: runner
      .idle()
      .then(() => runner.close())
      .then(() => withdrawn),
  }
}

/** None of a connector whose config is wrong: it has no tasks either. */
function partitionsCounted(of: ConnectorToRun): ReturnType<typeof countsOf>['partitions'] {
  try {
    return countsOf(of).partitions
  } catch {
    return []
  }
}

/** FAILED as soon as one of its source partitions has failed: the others go on. */
function reportOf(states: readonly PartitionHealth[]): TaskReport {
  const failed = states.map(state => state.now()).find(({ state, error }) => state === 'failed' && error !== null)
  if (failed === undefined || failed.error === null) return { state: 'RUNNING' }
  const { stream, scope, error } = failed
  const code: ErrorCode = error.code
  return { state: 'FAILED', trace: `${code} in ${stream}/${scope}: ${error.message}.\n${ERRORS[code].cure}` }
}

/** The sentence first, and no line that ends as those of a stack do: tools leave such lines out. */
function traceOf(where: string, error: FlowError): string {
  return `${error.code} in ${where}: ${error.message}.\n${error.cure}`
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
