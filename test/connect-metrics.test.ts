import { expect, test } from 'vitest'
import { CONNECT_METRICS } from '../src/connect-metrics.ts'
import { createMetrics, METRICS } from '../src/metrics.ts'
import { handClock } from './support/clock.ts'

const startups = ['connector', 'task'].flatMap(of =>
  ['attempts-total', 'success-total', 'failure-total', 'success-percentage', 'failure-percentage'].map(
    figure => `${of}-startup-${figure}`,
  ),
)
const states = ['total', 'running', 'paused', 'failed', 'unassigned', 'destroyed', 'restarting']

/** Kafka Connect's JMX metrics of a worker that runs sources, by group. */
const JMX: Record<string, string[]> = {
  'connector-task': [
    'status',
    'running-ratio',
    'pause-ratio',
    'offset-commit-max-time-ms',
    'offset-commit-avg-time-ms',
    'offset-commit-failure-percentage',
    'offset-commit-success-percentage',
    'batch-size-max',
    'batch-size-avg',
  ],
  connector: ['status', 'connector-type', 'connector-class', 'connector-version'],
  'source-task': [
    'source-record-poll-rate',
    'source-record-poll-total',
    'source-record-write-rate',
    'source-record-write-total',
    'poll-batch-max-time-ms',
    'poll-batch-avg-time-ms',
    'source-record-active-count',
    'source-record-active-count-max',
    'source-record-active-count-avg',
    'transaction-size-min',
    'transaction-size-max',
    'transaction-size-avg',
  ],
  'task-error': [
    'total-record-failures',
    'total-record-errors',
    'total-records-skipped',
    'total-retries',
    'total-errors-logged',
    'deadletterqueue-produce-requests',
    'deadletterqueue-produce-failures',
    'last-error-timestamp',
  ],
  worker: ['connector-count', 'task-count', ...startups, ...states.map(state => `connector-${state}-task-count`)],
  'worker-rebalance': [
    'connect-protocol',
    'leader-name',
    'epoch',
    'completed-rebalances-total',
    'rebalancing',
    'rebalance-max-time-ms',
    'rebalance-avg-time-ms',
    'time-since-last-rebalance-ms',
  ],
  coordinator: ['assigned-connectors', 'assigned-tasks'],
}

const named = (group: string, metric: string) => `kafka_connect_${group}_${metric}`.replaceAll('-', '_')

const id = { connector: 'acme', task: 0 }
const partition = { ...id, stream: 'sessions', scope: 'all' }

function world() {
  const clock = handClock()
  const metrics = createMetrics({ processMetrics: false, clock })
  /** Value of a sample by its name and labels, without the prefix `kafka_connect_`; undefined: there is none. */
  const page = async () => {
    const { body } = await metrics.render()
    const samples = body.split('\n').filter(line => line.startsWith('kafka_connect_'))
    return new Map(samples.map(line => [line.slice(14, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]))
  }
  return { clock, metrics, connect: metrics.connect, page }
}

const ofTask = (name: string) => `${name}{connector="acme",task="0"}`

test("every metric of Kafka Connect's groups is there by the name that Strimzi's rules give it, and no other", () => {
  const expected = Object.entries(JMX).flatMap(([group, metrics]) => metrics.map(metric => named(group, metric)))
  expect(Object.keys(CONNECT_METRICS).toSorted()).toEqual(expected.toSorted())
  for (const name of expected) expect(METRICS).toHaveProperty(name, expect.objectContaining({ foreign: true }))
})

test('a task has one status at a time, counts for its connector, and is gone when this worker has it no more', async () => {
  const { connect, page } = world()
  connect.status(id, 'RUNNING')
  connect.status({ ...id, task: 1 }, 'RUNNING')
  connect.status(id, 'FAILED')
  const before = await page()
  expect(before.get('connector_task_status{connector="acme",task="0",status="failed"}')).toBe(1)
  expect(before.get('connector_status{connector="acme",task="0",status="failed"}')).toBe(1)
  expect(before.has('connector_status{connector="acme",task="0",status="running"}')).toBe(false)
  expect(before.get('worker_connector_total_task_count{connector="acme"}')).toBe(2)
  expect(before.get('worker_connector_failed_task_count{connector="acme"}')).toBe(1)
  expect(before.get('worker_connector_running_task_count{connector="acme"}')).toBe(1)
  expect(before.get('worker_task_count')).toBe(2)
  expect(before.get('coordinator_assigned_tasks')).toBe(2)

  connect.status(id, null)
  connect.status({ ...id, task: 1 }, null)
  const after = await page()
  const gauges = [...after.keys()].filter(name => name.includes('acme') && !name.includes('_total{'))
  expect(gauges, 'counters stay: they never fall').toEqual([])
  expect(after.get('worker_task_count')).toBe(0)
})

test('a connector has its state, class and version as long as this worker reports them', async () => {
  const { connect, page } = world()
  connect.connector('acme', { state: 'RUNNING', class: 'botmaker', version: '1.2.3' })
  connect.connector('acme', { state: 'STOPPED', class: 'botmaker', version: '1.2.3' })
  const before = await page()
  expect([...before.keys()].filter(name => name.startsWith('connector_') && name.includes('acme'))).toEqual([
    'connector_status{connector="acme",task="",status="stopped"}',
    'connector_connector_class{connector="acme",connector_class="botmaker"}',
    'connector_connector_type{connector="acme",connector_type="source"}',
    'connector_connector_version{connector="acme",connector_version="1.2.3"}',
  ])
  expect(before.get('worker_connector_count')).toBe(1)
  connect.connector('acme', null)
  const after = await page()
  expect([...after.keys()].filter(name => name.includes('acme'))).toEqual([])
  expect(after.get('worker_connector_count')).toBe(0)
})

test('the status of a connector and those of its tasks do not take each other away', async () => {
  const { connect, page } = world()
  connect.status(id, 'RUNNING')
  connect.connector('acme', { state: 'RUNNING', class: 'botmaker', version: '1' })
  connect.connector('acme', { state: 'PAUSED', class: 'botmaker', version: '1' })
  connect.status(id, 'PAUSED')
  expect([...(await page()).keys()].filter(name => name.startsWith('connector_status')).toSorted()).toEqual([
    'connector_status{connector="acme",task="",status="paused"}',
    'connector_status{connector="acme",task="0",status="paused"}',
  ])
})

test('running and paused time are parts of the time that the task is here', async () => {
  const { clock, connect, page } = world()
  connect.status(id, 'RUNNING')
  await clock.advance(30_000)
  connect.status(id, 'PAUSED')
  await clock.advance(10_000)
  const shown = await page()
  expect(shown.get(ofTask('connector_task_running_ratio'))).toBe(0.75)
  expect(shown.get(ofTask('connector_task_pause_ratio'))).toBe(0.25)
})

test('pages and transactions of a task: totals for ever, rates, averages and extremes over a minute', async () => {
  const { clock, connect, page } = world()
  const work = connect.work(partition)
  const born = await page()
  expect(born.get(ofTask('source_task_source_record_poll_total'))).toBe(0)
  expect(born.get(ofTask('source_task_source_record_write_total'))).toBe(0)

  work.polled(100, 40)
  work.polled(50, 20)
  work.committed({ rows: 120, records: 300, rejects: 2, tookMs: 10 })
  await clock.advance(40_000)
  work.committed({ rows: 0, records: 100, rejects: 0, tookMs: 30 })
  work.commitFailed(3)
  const shown = await page()
  const read = (name: string) => shown.get(ofTask(name))
  expect({
    polled: read('source_task_source_record_poll_total'),
    pollRate: read('source_task_source_record_poll_rate'),
    written: read('source_task_source_record_write_total'),
    writeRate: read('source_task_source_record_write_rate'),
    pollMs: [read('source_task_poll_batch_avg_time_ms'), read('source_task_poll_batch_max_time_ms')],
    page: [read('connector_task_batch_size_avg'), read('connector_task_batch_size_max')],
    active: read('source_task_source_record_active_count'),
    mostActive: read('source_task_source_record_active_count_max'),
    sizes: ['min', 'max', 'avg'].map(of => read(`source_task_transaction_size_${of}`)),
    commitMs: [read('connector_task_offset_commit_avg_time_ms'), read('connector_task_offset_commit_max_time_ms')],
  }).toEqual({
    polled: 150,
    pollRate: 150 / 40,
    written: 400,
    writeRate: 400 / 40,
    pollMs: [30, 40],
    page: [75, 100],
    active: 30,
    mostActive: 150,
    sizes: [100, 300, 200],
    commitMs: [20, 30],
  })
  expect(read('connector_task_offset_commit_success_percentage')).toBeCloseTo(2 / 3)
  expect(read('connector_task_offset_commit_failure_percentage')).toBeCloseTo(1 / 3)
  expect(read('task_error_deadletterqueue_produce_requests')).toBe(5)
  expect(read('task_error_deadletterqueue_produce_failures')).toBe(3)
  expect(read('task_error_total_record_errors')).toBe(2)
  expect(read('task_error_total_records_skipped')).toBe(2)
  expect(read('task_error_last_error_timestamp')).toBe(clock.now() - 40_000)

  await clock.advance(60_000)
  const later = await page()
  expect(later.get(ofTask('source_task_source_record_write_rate')), 'forgotten after a minute').toBe(0)
  expect(later.get(ofTask('source_task_source_record_write_total'))).toBe(400)
  expect(later.get(ofTask('connector_task_offset_commit_failure_percentage')), 'nothing failed of nothing').toBe(0)
})

test('source partitions of one task are added up, and one that starts again has nothing in hand', async () => {
  const { connect, page } = world()
  connect.work(partition).polled(10, 1)
  connect.work({ ...partition, scope: 'other' }).polled(5, 1)
  expect((await page()).get(ofTask('source_task_source_record_active_count'))).toBe(15)
  connect.work(partition)
  expect((await page()).get(ofTask('source_task_source_record_active_count'))).toBe(5)
})

test('retries and failures of a task are counted', async () => {
  const { connect, page } = world()
  connect.retried(id)
  connect.retried(id)
  connect.failed(id)
  const shown = await page()
  expect(shown.get(ofTask('task_error_total_retries'))).toBe(2)
  expect(shown.get(ofTask('task_error_total_record_failures'))).toBe(1)
  expect(shown.get(ofTask('task_error_total_errors_logged'))).toBe(1)
})

test('starts of connectors and tasks are counted apart, with the part that succeeded', async () => {
  const { connect, page } = world()
  const born = await page()
  expect(born.get('worker_task_startup_attempts_total')).toBe(0)
  for (const isGood of [true, true, true, false]) connect.startup('task', isGood)
  connect.startup('connector', true)
  const shown = await page()
  expect(shown.get('worker_task_startup_attempts_total')).toBe(4)
  expect(shown.get('worker_task_startup_success_total')).toBe(3)
  expect(shown.get('worker_task_startup_failure_total')).toBe(1)
  expect(shown.get('worker_task_startup_success_percentage')).toBe(0.75)
  expect(shown.get('worker_task_startup_failure_percentage')).toBe(0.25)
  expect(shown.get('worker_connector_startup_attempts_total')).toBe(1)
  expect(shown.get('worker_connector_startup_success_percentage')).toBe(1)
})

test('a rebalance is told while it is under way, counted when it is over, and timed', async () => {
  const { clock, connect, page } = world()
  connect.rebalancing(false)
  expect((await page()).get('worker_rebalance_rebalancing')).toBe(0)
  expect((await page()).get('worker_rebalance_connect_protocol{connect_protocol="colloquy"}')).toBe(1)
  connect.rebalancing(true)
  await clock.advance(2_000)
  connect.rebalancing(true)
  expect((await page()).get('worker_rebalance_rebalancing')).toBe(1)
  await clock.advance(1_000)
  connect.rebalancing(false)
  connect.rebalancing(false)
  await clock.advance(5_000)
  const shown = await page()
  expect(shown.get('worker_rebalance_rebalancing')).toBe(0)
  expect(shown.get('worker_rebalance_completed_rebalances_total')).toBe(1)
  expect(shown.get('worker_rebalance_rebalance_max_time_ms')).toBe(3_000)
  expect(shown.get('worker_rebalance_rebalance_avg_time_ms')).toBe(3_000)
  expect(shown.get('worker_rebalance_time_since_last_rebalance_ms')).toBe(5_000)
})

test('the group: generation, leader, workers and what nobody has', async () => {
  const { metrics, connect, page } = world()
  connect.group({ generation: 3, workers: 3, unassigned: 2 })
  connect.leader('a:8083')
  connect.group({ generation: 4, workers: 2, unassigned: 1 })
  connect.leader('b:8083')
  const shown = await page()
  expect(shown.get('worker_rebalance_epoch')).toBe(4)
  expect([...shown.keys()].filter(name => name.includes('leader_name'))).toEqual([
    'worker_rebalance_leader_name{leader_name="b:8083"}',
  ])
  const { body } = await metrics.render()
  expect(body).toContain('\ncolloquy_group_workers 2\n')
  expect(body).toContain('\ncolloquy_group_unassigned_tasks 1\n')
  connect.leader(null)
  expect([...(await page()).keys()].filter(name => name.includes('leader_name'))).toEqual([])
})

test('a process that is no worker shows counters at 0, and no gauge of a worker', async () => {
  const { page } = world()
  const shown = await page()
  expect([...shown].filter(([name, value]) => value !== 0 || !name.endsWith('_total'))).toEqual([])
  expect(shown.get('worker_rebalance_completed_rebalances_total')).toBe(0)
})

test('the first rows of a task are no burst: a rate is over 30 s at least', async () => {
  const { clock, connect, page } = world()
  connect.work(partition).polled(300, 1)
  await clock.advance(1_000)
  expect((await page()).get(ofTask('source_task_source_record_poll_rate'))).toBe(10)
})
