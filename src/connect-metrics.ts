/**
 * Kafka Connect's metrics of a worker, by the names that Strimzi's JMX rules give them, so that its dashboards and alerts work unchanged. The table is part of
 * `METRICS`; this file keeps what the gauges in it are computed from.
 *
 * Rates, averages and maxima are over the last minute, in two samples of 30 s each, as Kafka's own sensors compute them; 0 where nothing happened.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Clock, steadyMs } from './clock.ts'
import type { Metrics, MetricSpec } from './metrics.ts'

const TASK = ['connector', 'task'] as const

/** A gauge or counter of one task. */
const ofTask = <K extends 'gauge' | 'counter'>(kind: K, unit: string, help: string) =>
  ({ kind, unit, labels: TASK, foreign: true, help: `Kafka Connect: ${help}` }) as const
const ofConnector = (help: string) =>
  ({ kind: 'gauge', unit: 'tasks', labels: ['connector'], foreign: true, help: `Kafka Connect: ${help}` }) as const
const ofWorker = <K extends 'gauge' | 'counter'>(kind: K, unit: string, help: string) =>
  ({ kind, unit, labels: [], foreign: true, help: `Kafka Connect: ${help}` }) as const
const text = <L extends string>(labels: readonly L[], help: string) =>
  ({ kind: 'gauge', unit: '1', labels, foreign: true, help: `Kafka Connect: ${help}` }) as const

export const CONNECT_METRICS = {
  kafka_connect_connector_status: text(
    [...TASK, 'status'],
    'always 1; the status of a connector (`task` empty) whose status this worker reports, and of each task that it has.',
  ),
  kafka_connect_connector_connector_class: text(['connector', 'connector_class'], 'always 1; the class of the connector.'),
  kafka_connect_connector_connector_type: text(['connector', 'connector_type'], 'always 1; the type of the connector.'),
  kafka_connect_connector_connector_version: text(['connector', 'connector_version'], 'always 1; the version of the connector.'),
  kafka_connect_connector_task_status: text([...TASK, 'status'], 'always 1; the status of a task that this worker has.'),
  kafka_connect_connector_task_running_ratio: ofTask(
    'gauge',
    'ratio',
    'part of its time on this worker that the task was running.',
  ),
  kafka_connect_connector_task_pause_ratio: ofTask('gauge', 'ratio', 'part of its time on this worker that the task was paused.'),
  kafka_connect_connector_task_offset_commit_max_time_ms: ofTask('gauge', 'milliseconds', 'longest transaction.'),
  kafka_connect_connector_task_offset_commit_avg_time_ms: ofTask('gauge', 'milliseconds', 'average time of a transaction.'),
  kafka_connect_connector_task_offset_commit_success_percentage: ofTask(
    'gauge',
    'ratio',
    'part of the transactions that were committed.',
  ),
  kafka_connect_connector_task_offset_commit_failure_percentage: ofTask(
    'gauge',
    'ratio',
    'part of the transactions that failed.',
  ),
  kafka_connect_connector_task_batch_size_max: ofTask('gauge', 'records', 'rows of the largest page.'),
  kafka_connect_connector_task_batch_size_avg: ofTask('gauge', 'records', 'rows of a page on average.'),
  kafka_connect_source_task_source_record_poll_total: ofTask(
    'counter',
    'records',
    'rows read from the vendor, repetitions included.',
  ),
  kafka_connect_source_task_source_record_poll_rate: ofTask('gauge', 'records/s', 'rows read from the vendor in a second.'),
  kafka_connect_source_task_source_record_write_total: ofTask(
    'counter',
    'records',
    'records that the task has written to Kafka.',
  ),
  kafka_connect_source_task_source_record_write_rate: ofTask('gauge', 'records/s', 'records written to Kafka in a second.'),
  kafka_connect_source_task_poll_batch_max_time_ms: ofTask('gauge', 'milliseconds', 'longest time to read a page of the vendor.'),
  kafka_connect_source_task_poll_batch_avg_time_ms: ofTask('gauge', 'milliseconds', 'average time to read a page of the vendor.'),
  kafka_connect_source_task_source_record_active_count: ofTask('gauge', 'records', 'rows read and not committed yet.'),
  kafka_connect_source_task_source_record_active_count_max: ofTask('gauge', 'records', 'most rows read and not committed yet.'),
  kafka_connect_source_task_source_record_active_count_avg: ofTask(
    'gauge',
    'records',
    'rows read and not committed yet, on average.',
  ),
  kafka_connect_source_task_transaction_size_min: ofTask('gauge', 'records', 'records of the smallest transaction.'),
  kafka_connect_source_task_transaction_size_max: ofTask('gauge', 'records', 'records of the largest transaction.'),
  kafka_connect_source_task_transaction_size_avg: ofTask('gauge', 'records', 'records of a transaction on average.'),
  kafka_connect_task_error_total_record_failures: ofTask('gauge', 'failures', 'rows that failed, and failures of the task.'),
  kafka_connect_task_error_total_record_errors: ofTask('gauge', 'rows', 'rows that could not be read or mapped.'),
  kafka_connect_task_error_total_records_skipped: ofTask(
    'gauge',
    'rows',
    'rows passed over because `errors.tolerance` is `all`.',
  ),
  kafka_connect_task_error_total_retries: ofTask(
    'gauge',
    'retries',
    'requests repeated, and restarts of the task after a failure.',
  ),
  kafka_connect_task_error_total_errors_logged: ofTask('gauge', 'errors', 'errors that were logged.'),
  kafka_connect_task_error_deadletterqueue_produce_requests: ofTask(
    'gauge',
    'rows',
    'rows handed to a transaction for the rejects topic.',
  ),
  kafka_connect_task_error_deadletterqueue_produce_failures: ofTask('gauge', 'rows', 'of these, rows whose transaction failed.'),
  kafka_connect_task_error_last_error_timestamp: ofTask(
    'gauge',
    'milliseconds since the epoch',
    'when the last error was; 0: none.',
  ),
  kafka_connect_worker_connector_count: ofWorker('gauge', 'connectors', 'connectors whose status this worker reports.'),
  kafka_connect_worker_task_count: ofWorker('gauge', 'tasks', 'tasks that this worker has.'),
  kafka_connect_worker_connector_startup_attempts_total: ofWorker('counter', 'starts', 'starts of connectors.'),
  kafka_connect_worker_connector_startup_success_total: ofWorker('counter', 'starts', 'starts of connectors that succeeded.'),
  kafka_connect_worker_connector_startup_failure_total: ofWorker('counter', 'starts', 'starts of connectors that failed.'),
  kafka_connect_worker_connector_startup_success_percentage: ofWorker(
    'gauge',
    'ratio',
    'part of the starts of connectors that succeeded.',
  ),
  kafka_connect_worker_connector_startup_failure_percentage: ofWorker(
    'gauge',
    'ratio',
    'part of the starts of connectors that failed.',
  ),
  kafka_connect_worker_task_startup_attempts_total: ofWorker('counter', 'starts', 'starts of tasks.'),
  kafka_connect_worker_task_startup_success_total: ofWorker('counter', 'starts', 'starts of tasks that succeeded.'),
  kafka_connect_worker_task_startup_failure_total: ofWorker('counter', 'starts', 'starts of tasks that failed.'),
  kafka_connect_worker_task_startup_success_percentage: ofWorker('gauge', 'ratio', 'part of the starts of tasks that succeeded.'),
  kafka_connect_worker_task_startup_failure_percentage: ofWorker('gauge', 'ratio', 'part of the starts of tasks that failed.'),
  kafka_connect_worker_connector_total_task_count: ofConnector('tasks of the connector that this worker has.'),
  kafka_connect_worker_connector_running_task_count: ofConnector('of these, running ones.'),
  kafka_connect_worker_connector_paused_task_count: ofConnector('of these, paused ones.'),
  kafka_connect_worker_connector_failed_task_count: ofConnector('of these, failed ones.'),
  kafka_connect_worker_connector_unassigned_task_count: ofConnector('of these, ones that wait to be started.'),
  kafka_connect_worker_connector_restarting_task_count: ofConnector('of these, ones that are restarting.'),
  kafka_connect_worker_connector_destroyed_task_count: ofConnector('always 0: a task that was removed is not counted.'),
  kafka_connect_worker_rebalance_completed_rebalances_total: ofWorker(
    'counter',
    'rebalances',
    'rebalances that this worker has been through.',
  ),
  kafka_connect_worker_rebalance_rebalancing: ofWorker('gauge', '0 or 1', 'whether a rebalance is under way.'),
  kafka_connect_worker_rebalance_rebalance_max_time_ms: ofWorker('gauge', 'milliseconds', 'longest rebalance.'),
  kafka_connect_worker_rebalance_rebalance_avg_time_ms: ofWorker('gauge', 'milliseconds', 'average time of a rebalance.'),
  kafka_connect_worker_rebalance_time_since_last_rebalance_ms: ofWorker(
    'gauge',
    'milliseconds',
    'time since the last rebalance has ended; absent before.',
  ),
  kafka_connect_worker_rebalance_epoch: ofWorker('gauge', 'generation', 'generation of the group.'),
  kafka_connect_worker_rebalance_leader_name: text(
    ['leader_name'],
    'always 1; the worker that leads the group. Absent while none is known.',
  ),
  kafka_connect_worker_rebalance_connect_protocol: text(['connect_protocol'], 'always 1; how the group moves tasks.'),
  kafka_connect_coordinator_assigned_connectors: ofWorker('gauge', 'connectors', 'connectors whose status this worker reports.'),
  kafka_connect_coordinator_assigned_tasks: ofWorker('gauge', 'tasks', 'tasks that this worker has.'),
} as const satisfies Record<string, MetricSpec>

type State = 'UNASSIGNED' | 'RUNNING' | 'PAUSED' | 'STOPPED' | 'FAILED' | 'RESTARTING'

interface TaskId {
  readonly connector: string
  readonly task: number
}

/** What the group, its worker and the tasks report. Fits the group's `observer`. */
export interface ConnectMetrics {
  /** A connector whose status this worker reports; null: another worker does now, or the connector is gone. */
  connector(name: string, now: { readonly state: State; readonly class: string; readonly version: string } | null): void
  /** A task that this worker has; null: it has the task no more. */
  status(id: TaskId, state: Exclude<State, 'STOPPED'> | null): void
  /** A start of a connector or task has succeeded or failed. */
  startup(of: 'connector' | 'task', isGood: boolean): void
  /** A rebalance of the group has begun, or ended. */
  rebalancing(isUnderWay: boolean): void
  /** The group as this worker knows it now. `unassigned`: number of tasks that are wanted and that nobody has. */
  group(view: { readonly generation: number; readonly workers: number; readonly unassigned: number }): void
  /** The worker that leads the group; null: none is known just now. */
  leader(workerId: string | null): void
  /** For a source partition of a task that starts to read, or starts again: its rows in hand from before are forgotten. */
  work(of: TaskId & { readonly stream: string; readonly scope: string }): TaskWork
  /** A request to the vendor failed and is repeated, or the task starts again after a failure. */
  retried(id: TaskId): void
  /** The task failed, and this was logged. */
  failed(id: TaskId): void
}

/** What one source partition reports of its work; figures of a task are over all of its source partitions. */
export interface TaskWork {
  /** A page was read. */
  polled(rows: number, tookMs: number): void
  /** A transaction was committed. `rows`: of the pages that are dealt with now. */
  committed(batch: { readonly rows: number; readonly records: number; readonly rejects: number; readonly tookMs: number }): void
  /** A transaction failed, with so many rejects in it. */
  commitFailed(rejects: number): void
}

/** Where nobody looks. */
export const noConnectMetrics: ConnectMetrics = {
  connector: () => {},
  status: () => {},
  startup: () => {},
  rebalancing: () => {},
  group: () => {},
  leader: () => {},
  work: () => ({ polled: () => {}, committed: () => {}, commitFailed: () => {} }),
  retried: () => {},
  failed: () => {},
}

const SAMPLE_MS = 30_000
const SAMPLES = 2
/** Tasks whose gauges are computed in one turn of the event loop. */
const TASKS_A_TURN = 20
const PROTOCOL = 'colloquy'
const NOTHING = { count: 0, avg: 0, max: 0, min: 0, perSecond: 0 }

/** What happened in the last minute. */
class Recent {
  #samples: { readonly fromMs: number; count: number; sum: number; max: number; min: number }[] = []

  record(value: number, nowMs: number): void {
    this.#purge(nowMs)
    let sample = this.#samples.at(-1)
    if (sample === undefined || nowMs - sample.fromMs >= SAMPLE_MS) {
      sample = { fromMs: nowMs, count: 0, sum: 0, max: -Infinity, min: Infinity }
      this.#samples.push(sample)
    }
    sample.count += 1
    sample.sum += value
    sample.max = Math.max(sample.max, value)
    sample.min = Math.min(sample.min, value)
  }

  read(nowMs: number): typeof NOTHING {
    this.#purge(nowMs)
    const [first] = this.#samples
    if (first === undefined) return NOTHING
    const count = this.#samples.reduce((all, each) => all + each.count, 0)
    const sum = this.#samples.reduce((all, each) => all + each.sum, 0)
    return {
      count,
      avg: sum / count,
      max: Math.max(...this.#samples.map(each => each.max)),
      min: Math.min(...this.#samples.map(each => each.min)),
      // Over one sample's length at least, or the first records of a task would look like a burst.
      perSecond: sum / (Math.max(SAMPLE_MS, nowMs - first.fromMs) / 1000),
    }
  }

  #purge(nowMs: number): void {
    this.#samples = this.#samples.filter(({ fromMs }) => nowMs - fromMs < SAMPLES * SAMPLE_MS)
  }
}

/** Told with a label for the state, 1 where it is. */
const STATUSES = ['kafka_connect_connector_status', 'kafka_connect_connector_task_status'] as const

/** The state of a task, and how long each has lasted. */
class States {
  readonly #sinceMs: number
  readonly #lastedMs = new Map<State, number>()
  #changedMs: number
  state: State

  constructor(state: State, nowMs: number) {
    this.state = state
    this.#sinceMs = nowMs
    this.#changedMs = nowMs
  }

  change(state: State, nowMs: number): void {
    this.#lastedMs.set(this.state, this.#lasted(this.state, nowMs))
    this.state = state
    this.#changedMs = nowMs
  }

  /** Part of all the time since the beginning. */
  ratio(state: State, nowMs: number): number {
    const allMs = nowMs - this.#sinceMs
    if (allMs <= 0) return state === this.state ? 1 : 0
    return this.#lasted(state, nowMs) / allMs
  }

  #lasted(state: State, nowMs: number): number {
    return (this.#lastedMs.get(state) ?? 0) + (state === this.state ? nowMs - this.#changedMs : 0)
  }
}

class Task {
  readonly id: TaskId
  readonly polls = new Recent()
  readonly pages = new Recent()
  readonly pageMs = new Recent()
  readonly writes = new Recent()
  readonly transactions = new Recent()
  /** 1 for each transaction that was committed, 0 for each that failed. */
  readonly commits = new Recent()
  readonly commitMs = new Recent()
  readonly active = new Recent()
  /** Rows read and not committed, by source partition. */
  readonly inHand = new Map<string, number>()
  readonly errors = { failures: 0, errors: 0, skipped: 0, retries: 0, logged: 0, letters: 0, lettersFailed: 0, lastMs: 0 }
  /** null: nobody has said yet that this worker has the task. */
  states: States | null = null

  constructor(id: TaskId) {
    this.id = id
  }

  get rowsInHand(): number {
    return [...this.inHand.values()].reduce((all, rows) => all + rows, 0)
  }
}

type NameOf<K extends 'gauge' | 'counter', L extends string> = {
  [N in keyof typeof CONNECT_METRICS]: (typeof CONNECT_METRICS)[N] extends { kind: K; labels: infer A extends readonly string[] }
    ? [A[number]] extends [L]
      ? [L] extends [A[number]]
        ? N
        : never
      : never
    : never
}[keyof typeof CONNECT_METRICS]
type TaskGauge = NameOf<'gauge', 'connector' | 'task'>

function gaugesOf(task: Task, nowMs: number): Record<TaskGauge, number> {
  const { errors, states } = task
  const pages = task.pages.read(nowMs)
  const pageMs = task.pageMs.read(nowMs)
  const active = task.active.read(nowMs)
  const transactions = task.transactions.read(nowMs)
  const commits = task.commits.read(nowMs)
  const commitMs = task.commitMs.read(nowMs)
  return {
    kafka_connect_connector_task_running_ratio: states?.ratio('RUNNING', nowMs) ?? 0,
    kafka_connect_connector_task_pause_ratio: states?.ratio('PAUSED', nowMs) ?? 0,
    kafka_connect_connector_task_offset_commit_max_time_ms: commitMs.max,
    kafka_connect_connector_task_offset_commit_avg_time_ms: commitMs.avg,
    kafka_connect_connector_task_offset_commit_success_percentage: commits.avg,
    kafka_connect_connector_task_offset_commit_failure_percentage: commits.count === 0 ? 0 : 1 - commits.avg,
    kafka_connect_connector_task_batch_size_max: pages.max,
    kafka_connect_connector_task_batch_size_avg: pages.avg,
    kafka_connect_source_task_source_record_poll_rate: task.polls.read(nowMs).perSecond,
    kafka_connect_source_task_source_record_write_rate: task.writes.read(nowMs).perSecond,
    kafka_connect_source_task_poll_batch_max_time_ms: pageMs.max,
    kafka_connect_source_task_poll_batch_avg_time_ms: pageMs.avg,
    kafka_connect_source_task_source_record_active_count: task.rowsInHand,
    kafka_connect_source_task_source_record_active_count_max: active.max,
    kafka_connect_source_task_source_record_active_count_avg: active.avg,
    kafka_connect_source_task_transaction_size_min: transactions.min,
    kafka_connect_source_task_transaction_size_max: transactions.max,
    kafka_connect_source_task_transaction_size_avg: transactions.avg,
    kafka_connect_task_error_total_record_failures: errors.failures,
    kafka_connect_task_error_total_record_errors: errors.errors,
    kafka_connect_task_error_total_records_skipped: errors.skipped,
    kafka_connect_task_error_total_retries: errors.retries,
    kafka_connect_task_error_total_errors_logged: errors.logged,
    kafka_connect_task_error_deadletterqueue_produce_requests: errors.letters,
    kafka_connect_task_error_deadletterqueue_produce_failures: errors.lettersFailed,
    kafka_connect_task_error_last_error_timestamp: errors.lastMs,
  }
}

/** @returns Also `refresh`, which computes the gauges: called before each page. */
export function createConnectMetrics(metrics: Metrics, clock: Clock): ConnectMetrics & { refresh(): Promise<void> } {
  const tasks = new Map<string, Task>()
  const connectors = new Map<string, { readonly state: State; readonly class: string; readonly version: string }>()
  /** Connectors whose numbers of tasks are shown. */
  const counted = new Set<string>()
  const rebalances = { times: new Recent(), beganMs: null as number | null, endedMs: null as number | null }
  let leader: string | null = null
  const steady = () => steadyMs(clock)

  const startups = { connector: { good: 0, bad: 0 }, task: { good: 0, bad: 0 } }
  let isWorker = false

  /** A process without the worker role shows none of this but counters at 0. */
  function begin(): void {
    if (isWorker) return
    isWorker = true
    showStartups('connector')
    showStartups('task')
    metrics.set('kafka_connect_worker_rebalance_rebalancing', {}, 0)
    metrics.set('kafka_connect_worker_rebalance_connect_protocol', { connect_protocol: PROTOCOL }, 1)
  }

  function taskOf({ connector, task }: TaskId): Task {
    begin()
    const key = `${task}/${connector}`
    let found = tasks.get(key)
    if (found === undefined) {
      found = new Task({ connector, task })
      tasks.set(key, found)
      metrics.born('kafka_connect_source_task_source_record_poll_total', { connector, task })
      metrics.born('kafka_connect_source_task_source_record_write_total', { connector, task })
    }
    return found
  }

  function forget({ connector, task }: TaskId): void {
    const key = `${task}/${connector}`
    hideStatus(tasks.get(key))
    if (!tasks.delete(key)) return
    for (const [name, { kind, labels }] of Object.entries(CONNECT_METRICS))
      if (kind === 'gauge' && (labels as readonly string[]).includes('task') && !(labels as readonly string[]).includes('status'))
        metrics.remove(name as TaskGauge, { connector, task })
  }

  /** Named whole, so that those of all other tasks need not be looked at. */
  function hideStatus(task: Task | undefined): void {
    if (task === undefined || task.states === null) return
    const status = task.states.state.toLowerCase()
    for (const name of STATUSES) metrics.remove(name, { ...task.id, status })
  }

  function showStartups(of: 'connector' | 'task'): void {
    const { good, bad } = startups[of]
    const all = Math.max(1, good + bad)
    metrics.set(`kafka_connect_worker_${of}_startup_success_percentage`, {}, good / all)
    metrics.set(`kafka_connect_worker_${of}_startup_failure_percentage`, {}, bad / all)
  }

  function showCounts(): void {
    const byConnector = Map.groupBy(
      [...tasks.values()].filter(({ states }) => states !== null),
      ({ id }) => id.connector,
    )
    for (const [connector, of] of byConnector) {
      const inState = (state: State) => of.filter(({ states }) => states?.state === state).length
      metrics.set('kafka_connect_worker_connector_total_task_count', { connector }, of.length)
      metrics.set('kafka_connect_worker_connector_running_task_count', { connector }, inState('RUNNING'))
      metrics.set('kafka_connect_worker_connector_paused_task_count', { connector }, inState('PAUSED'))
      metrics.set('kafka_connect_worker_connector_failed_task_count', { connector }, inState('FAILED'))
      metrics.set('kafka_connect_worker_connector_unassigned_task_count', { connector }, inState('UNASSIGNED'))
      metrics.set('kafka_connect_worker_connector_restarting_task_count', { connector }, inState('RESTARTING'))
      metrics.set('kafka_connect_worker_connector_destroyed_task_count', { connector }, 0)
      counted.add(connector)
    }
    for (const connector of counted) {
      if (byConnector.has(connector)) continue
      counted.delete(connector)
      for (const [name, { labels }] of Object.entries(CONNECT_METRICS))
        if (labels.length === 1 && labels[0] === 'connector')
          metrics.remove(name as 'kafka_connect_worker_connector_total_task_count', { connector })
    }
    const has = [...byConnector.values()].reduce((all, of) => all + of.length, 0)
    metrics.set('kafka_connect_worker_task_count', {}, has)
    metrics.set('kafka_connect_coordinator_assigned_tasks', {}, has)
    metrics.set('kafka_connect_worker_connector_count', {}, connectors.size)
    metrics.set('kafka_connect_coordinator_assigned_connectors', {}, connectors.size)
  }

  function showRebalances(nowMs: number): void {
    const { avg, max } = rebalances.times.read(nowMs)
    metrics.set('kafka_connect_worker_rebalance_rebalance_max_time_ms', {}, max)
    metrics.set('kafka_connect_worker_rebalance_rebalance_avg_time_ms', {}, avg)
    if (rebalances.endedMs !== null)
      metrics.set('kafka_connect_worker_rebalance_time_since_last_rebalance_ms', {}, nowMs - rebalances.endedMs)
  }

  return {
    connector(name, now) {
      begin()
      const before = connectors.get(name)
      if (before !== undefined) {
        metrics.remove('kafka_connect_connector_status', { connector: name, task: '' })
        metrics.remove('kafka_connect_connector_connector_class', { connector: name })
        metrics.remove('kafka_connect_connector_connector_type', { connector: name })
        metrics.remove('kafka_connect_connector_connector_version', { connector: name })
        connectors.delete(name)
      }
      if (now === null) return
      connectors.set(name, now)
      metrics.set('kafka_connect_connector_status', { connector: name, task: '', status: now.state.toLowerCase() }, 1)
      metrics.set('kafka_connect_connector_connector_class', { connector: name, connector_class: now.class }, 1)
      metrics.set('kafka_connect_connector_connector_type', { connector: name, connector_type: 'source' }, 1)
      metrics.set('kafka_connect_connector_connector_version', { connector: name, connector_version: now.version }, 1)
    },

    status(id, state) {
      if (state === null) return forget(id)
      const task = taskOf(id)
      if (task.states?.state === state) return
      hideStatus(task)
      if (task.states === null) task.states = new States(state, steady())
      else task.states.change(state, steady())
      for (const name of STATUSES) metrics.set(name, { ...task.id, status: state.toLowerCase() }, 1)
    },

    startup(of, isGood) {
      begin()
      startups[of][isGood ? 'good' : 'bad'] += 1
      metrics.inc(`kafka_connect_worker_${of}_startup_attempts_total`, {})
      metrics.inc(`kafka_connect_worker_${of}_startup_${isGood ? 'success' : 'failure'}_total`, {})
      showStartups(of)
    },

    rebalancing(isUnderWay) {
      begin()
      if (isUnderWay === (rebalances.beganMs !== null)) return
      metrics.set('kafka_connect_worker_rebalance_rebalancing', {}, isUnderWay ? 1 : 0)
      const nowMs = steady()
      if (rebalances.beganMs !== null) {
        rebalances.times.record(nowMs - rebalances.beganMs, nowMs)
        rebalances.endedMs = nowMs
        metrics.inc('kafka_connect_worker_rebalance_completed_rebalances_total', {})
      }
      rebalances.beganMs = isUnderWay ? nowMs : null
    },

    group({ generation, workers, unassigned }) {
      begin()
      metrics.set('kafka_connect_worker_rebalance_epoch', {}, generation)
      metrics.set('group_workers', {}, workers)
      metrics.set('group_unassigned_tasks', {}, unassigned)
    },

    leader(now) {
      begin()
      if (now === leader) return
      if (leader !== null) metrics.remove('kafka_connect_worker_rebalance_leader_name', { leader_name: leader })
      if (now !== null) metrics.set('kafka_connect_worker_rebalance_leader_name', { leader_name: now }, 1)
      leader = now
    },

    work({ connector, task: number, stream, scope }) {
      const id = { connector, task: number }
      const place = `${stream}/${scope}`
      const began = taskOf(id)
      if (began.inHand.has(place)) began.inHand.set(place, 0)
      const holds = (task: Task, rows: number) => {
        task.inHand.set(place, Math.max(0, rows))
        task.active.record(task.rowsInHand, steady())
      }
      return {
        polled(rows, tookMs) {
          const task = taskOf(id)
          const nowMs = steady()
          task.polls.record(rows, nowMs)
          task.pages.record(rows, nowMs)
          task.pageMs.record(tookMs, nowMs)
          holds(task, (task.inHand.get(place) ?? 0) + rows)
          metrics.inc('kafka_connect_source_task_source_record_poll_total', task.id, rows)
        },
        committed({ rows, records, rejects, tookMs }) {
          const task = taskOf(id)
          const nowMs = steady()
          task.writes.record(records, nowMs)
          task.transactions.record(records, nowMs)
          task.commits.record(1, nowMs)
          task.commitMs.record(tookMs, nowMs)
          holds(task, (task.inHand.get(place) ?? 0) - rows)
          metrics.inc('kafka_connect_source_task_source_record_write_total', task.id, records)
          if (rejects === 0) return
          const { errors } = task
          errors.failures += rejects
          errors.errors += rejects
          errors.skipped += rejects
          errors.logged += rejects
          errors.letters += rejects
          errors.lastMs = clock.now()
        },
        commitFailed(rejects) {
          const task = taskOf(id)
          task.commits.record(0, steady())
          task.errors.letters += rejects
          task.errors.lettersFailed += rejects
        },
      }
    },

    retried(id) {
      taskOf(id).errors.retries += 1
    },

    failed(id) {
      const { errors } = taskOf(id)
      errors.failures += 1
      errors.logged += 1
      errors.lastMs = clock.now()
    },

    async refresh() {
      if (!isWorker) return
      const nowMs = steady()
      showCounts()
      showRebalances(nowMs)
      let shown = 0
      for (const task of tasks.values()) {
        for (const [name, value] of Object.entries(gaugesOf(task, nowMs))) metrics.set(name as TaskGauge, task.id, value)
        if (++shown % TASKS_A_TURN === 0) await nextTurn()
      }
    },
  }
}
