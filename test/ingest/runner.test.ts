import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { systemClock } from '../../src/clock.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { noConnectMetrics } from '../../src/connect-metrics.ts'
import { decodeProgress, memoryRegistry } from '../../src/conformance/topics.ts'
import { changeStored } from '../../src/control/offsets.ts'
import { ERRORS, FlowError } from '../../src/errors.ts'
import { cursorKey, type PartitionName, readSpent, spentOf } from '../../src/ingest/cursor.ts'
import type { ConnectorToRun } from '../../src/ingest/source-partition.ts'
import { openRunner, type RunnerOptions, type TaskReport, type VersionedConnector } from '../../src/ingest/start.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type Connector, defineConnector, type Quota, type WindowSpec } from '../../src/source/index.ts'
import { draw } from './random.ts'
import { emptyVendor, hourglass, putSpent, until } from './empty-vendor.ts'
import { TINY_MANIFEST, tinyConnector, type TinyVendor } from './tiny.ts'
import { base, names, PARTITIONS } from './world.ts'

const NAME = 'acme-tiny'
const ID = { connector: NAME, task: 0 }

/** A runner on a Kafka in memory, with one tiny connector that is polled all the time. */
async function bench(of: { certainSinceMs?: () => number; quota?: Quota; kafka?: MemoryKafka } = {}) {
  const clock = systemClock
  const kafka = of.kafka ?? memoryKafka(() => clock.now())
  const vendor: TinyVendor = { sessions: [], clock, luck: draw(1), pageRows: 10, failing: 0, longestMs: Infinity, reads: 0 }
  const window = { longestMs: 3_600_000, lagMs: 0, lookbackMs: 3_600_000, durableResume: true }
  const connector = of.quota === undefined ? tinyConnector(vendor, window) : await askingConnector(vendor, window, of.quota)
  const wanted = { name: NAME, connector, base: { ...base, pollIntervalMs: 10 }, config: {} }
  const state: { connector: VersionedConnector | null } = { connector: { version: '1', of: wanted } }
  const reports: TaskReport[] = []
  const gauges = new Set<string>()
  const runner = await open(kafka, {
    metrics: {
      inc: () => {},
      observe: () => {},
      set: name => gauges.add(name),
      setStreamState: () => gauges.add('stream_state'),
      remove: name => gauges.delete(name),
      connect: noConnectMetrics,
    },
    connectorOf: name => (name === NAME ? state.connector : null),
    onReport: (_id, report) => reports.push(report),
    ...(of.certainSinceMs && { certainSinceMs: of.certainSinceMs }),
  })
  return { runner, kafka, vendor, state, of: wanted, reports, gauges }
}

async function open(
  kafka: MemoryKafka,
  options: Pick<RunnerOptions, 'connectorOf'> &
    Partial<Pick<RunnerOptions, 'clock' | 'metrics' | 'onReport' | 'allConnectors' | 'certainSinceMs'>>,
) {
  const ending = new AbortController()
  const runner = await openRunner({
    kafka: { ...kafka, maxMessageBytes: async () => new Map() } as unknown as Kafka,
    registry: memoryRegistry,
    names,
    partitions: PARTITIONS,
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    signal: ending.signal,
    isAlone: true,
    refreshMs: Infinity,
    ...options,
  })
  onTestFinished(async () => {
    ending.abort()
    await runner.close()
  })
  return runner
}

/** Asks its vendor over HTTP, so under its quota; `vendor.reads` counts what came. */
async function askingConnector(vendor: TinyVendor, window: WindowSpec, quota: Quota): Promise<Connector> {
  const server = createServer((_request, answer) => {
    vendor.reads++
    answer.setHeader('content-type', 'application/json')
    answer.end('{}')
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return defineConnector({
    manifest: { ...TINY_MANIFEST, quota },
    config: z.strictObject({}),
    http: () => ({ baseUrl: `http://127.0.0.1:${port}` }),
    streams: {
      sessions: {
        window,
        row: z.object({ id: z.string() }),
        async *read({ http }) {
          await http.getJson('/sessions', {}, z.object({}))
          yield { rows: [], resume: null }
        },
        identify: row => row.id,
        normalise: () => [],
      },
    },
  })
}

/** How many requests the newest cursor of a source partition tells of. */
function toldOf(kafka: MemoryKafka, name: PartitionName): number {
  const newest = kafka.committed(names.offsets).findLast(({ key }) => String(key) === cursorKey(name))
  return newest === undefined ? 0 : spentOf(newest).requests.reduce((sum, { count }) => sum + count, 0)
}

/** Longer than several polls take here. */
async function aWhile(): Promise<void> {
  await new Promise(resolve => {
    setTimeout(resolve, 100)
  })
}

test('a task reads from when it is started until it is stopped, and then nothing of it is told any more', async () => {
  const { runner, vendor, gauges } = await bench()
  expect(runner.states()).toEqual([])
  runner.start(ID)
  expect(runner.ready()).toMatchObject({ ok: false, why: [`${NAME}/sessions/acme: starting`] })
  await until(() => vendor.reads > 3)
  expect(runner.ready().ok).toBe(true)
  expect(runner.states()).toMatchObject([{ connector: NAME, stream: 'sessions', scope: 'acme', task: 0, restored: true }])
  expect(gauges).toContain('stream_state')
  await runner.stop(ID)
  const { reads } = vendor
  await aWhile()
  expect(vendor.reads).toBe(reads)
  expect(runner.states()).toEqual([])
  expect([...gauges]).toEqual([])
})

test('it goes on at its cursor when it is started again, also when that is asked for while it stops', async () => {
  const { runner, vendor, kafka } = await bench()
  runner.start(ID)
  await until(() => vendor.reads > 3)
  const stopped = runner.stop(ID)
  runner.start(ID)
  await stopped
  await until(() => runner.ready().ok && runner.states().length === 1)
  const { reads } = vendor
  await until(() => vendor.reads > reads)
  const started = kafka
    .committed('tiny-connect-offsets')
    .map(({ value }) => (JSON.parse(String(value)) as { start: string }).start)
  expect(new Set(started).size).toBe(1)
  await runner.stop(ID)
})

test('what is stopped before it was its turn to claim a source partition claims it no more: another worker may have it by then', async () => {
  const kafka = memoryKafka(() => Date.now())
  const { connector } = await emptyVendor()
  const of = connector(
    NAME,
    0,
    Array.from({ length: 30 }, (_, index) => `bot ${index}`),
  )
  const claimed: string[] = []
  const slow = Promise.withResolvers<void>()
  const openWriter: MemoryKafka['openWriter'] = options => {
    const writer = kafka.openWriter(options)
    const fence = async () => {
      claimed.push(options.transactionalId)
      await slow.promise
      await writer.fence()
    }
    return { ...writer, fence }
  }
  const one = { ...of, base: { ...of.base, tasksMax: 1 } }
  const runner = await open({ ...kafka, openWriter }, { connectorOf: () => ({ version: '1', of: one }) })
  runner.start(ID)
  await until(() => claimed.length > 0)
  const before = claimed.length
  const stopped = runner.stop(ID)
  slow.resolve()
  await stopped
  expect(before).toBeLessThan(30)
  expect(claimed).toHaveLength(before)
})

test('a change of its connector starts it anew; starting it as it is changes nothing', async () => {
  const { runner, vendor, state, of } = await bench()
  runner.start(ID)
  await until(() => vendor.reads > 1)
  const [before] = runner.states()
  runner.start(ID)
  await aWhile()
  expect(runner.states()[0]?.restored).toBe(true)
  let reads = 0
  const other = tinyConnector(
    {
      ...vendor,
      get reads() {
        return reads
      },
      set reads(to) {
        reads = to
      },
    },
    { longestMs: 3_600_000, lagMs: 0, lookbackMs: 0, durableResume: true },
  )
  state.connector = { version: '2', of: { ...of, connector: other } }
  expect(reads).toBe(0)
  runner.start(ID)
  await until(() => reads > 1)
  const old = vendor.reads
  await aWhile()
  expect(vendor.reads).toBe(old)
  expect(runner.states()).toHaveLength(1)
  expect(before?.connector).toBe(NAME)
})

test('a task whose vendor fails is FAILED with code and cure, and RUNNING again when it reads', async () => {
  const { runner, vendor, reports } = await bench()
  runner.start(ID)
  await until(() => vendor.reads > 1)
  vendor.failing = 1
  await until(() => reports.at(-1)?.state === 'FAILED')
  const [first, second] = (reports.at(-1)?.trace ?? '').split('\n')
  expect(first).toMatch(/^SRC_SERVER_ERROR in sessions\/acme: .*[^)]\.$|^SRC_SERVER_ERROR in sessions\/acme: .*\)\.$/)
  expect(second).toBe(ERRORS.SRC_SERVER_ERROR.cure)
  vendor.failing = 0
  await until(() => reports.at(-1)?.state === 'RUNNING')
})

test('a connector whose config cannot be read here fails its task, and is started when it can', async () => {
  const { runner, vendor, state, of, reports } = await bench()
  state.connector = { version: '1', of: new FlowError('CFG_INVALID', { path: 'access.token', hint: 'is missing' }) }
  runner.start(ID)
  await until(() => reports.length > 0)
  expect(reports.at(-1)).toMatchObject({
    state: 'FAILED',
    trace: expect.stringContaining('CFG_INVALID in connector acme-tiny') as string,
  })
  state.connector = { version: '2', of }
  runner.start(ID)
  await until(() => vendor.reads > 1)
  expect(reports.at(-1)).toEqual({ state: 'RUNNING' })
})

describe('what the vendor counts by one key', () => {
  const versioned =
    (...all: ConnectorToRun[]) =>
    (name: string): VersionedConnector | null => {
      const of = all.find(each => each.name === name)
      return of === undefined ? null : { version: '1', of }
    }
  const placeOf = (connector: string, scope: string) => ({ connector, stream: 'sessions', scope })
  test('what a task elsewhere was told to have asked counts against the part that is here', async () => {
    const kafka = memoryKafka(() => Date.now())
    const { asked, connector, quota } = await emptyVendor()
    const { clock, usedUp } = hourglass()
    await putSpent(kafka, placeOf(NAME, 'b'), 3)
    const runner = await open(kafka, { clock, connectorOf: versioned(connector(NAME, 10, ['a', 'b'])) })
    runner.quota(new Map([[quota, 0.5]]))
    runner.start(ID)
    await usedUp()
    expect(asked.count).toBe(2)
  })

  test('so does what another connector has asked that shares the key', async () => {
    const kafka = memoryKafka(() => Date.now())
    const { asked, connector, quota } = await emptyVendor()
    const { clock, usedUp } = hourglass()
    const [of, other] = [connector(NAME, 10, ['a']), connector('acme-other', 10, ['a'])]
    await putSpent(kafka, placeOf(other.name, 'a'), 3)
    const runner = await open(kafka, { clock, connectorOf: versioned(of, other), allConnectors: () => [other, of] })
    runner.quota(new Map([[quota, 0.5]]))
    runner.start(ID)
    await usedUp()
    expect(asked.count).toBe(2)
  })

  test('nothing is asked before that is known', async () => {
    const kafka = memoryKafka(() => Date.now())
    const { asked, connector, quota } = await emptyVendor()
    const { clock, usedUp } = hourglass()
    const partition = (scope: string) => partitionOf(cursorKey(placeOf(NAME, scope)), PARTITIONS)
    const other = Array.from({ length: 50 }, (_, index) => `b${index}`).find(scope => partition(scope) !== partition('a')) ?? ''
    await putSpent(kafka, placeOf(NAME, other), 3)
    const slow: MemoryKafka = {
      ...kafka,
      readToEnd: async (place, ...rest) => {
        // Longer than reads wait for each other.
        if (place.topic === names.offsets && place.partition === partition(other)) await systemClock.sleep(3_000)
        return kafka.readToEnd(place, ...rest)
      },
    }
    const runner = await open(slow, { clock, connectorOf: versioned(connector(NAME, 10, ['a', other])) })
    runner.quota(new Map([[quota, 0.5]]))
    runner.start(ID)
    await usedUp()
    expect(asked.count).toBe(2)
  })

  test('is counted by the worker that comes next, also after the cursor was reset, once or again', async () => {
    const kafka = memoryKafka(() => Date.now())
    const { asked, connector } = await emptyVendor()
    const { clock, usedUp } = hourglass()
    const place = placeOf(NAME, 'a')
    const first = await open(kafka, { connectorOf: versioned(connector(NAME, 3, ['a'])) })
    first.start(ID)
    await until(() => toldOf(kafka, place) === 3)
    await first.stop(ID)

    const { signal } = new AbortController()
    const offsets = { kafka, names, prefix: 'tiny', partitions: PARTITIONS, decodeProgress, signal }
    for (let again = 0; again < 2; again++) await changeStored(offsets, [place], () => null)
    // As tools of Kafka Connect know a reset.
    const newest = kafka.committed(names.offsets).at(-1)
    expect([String(newest?.key), newest?.value]).toEqual([cursorKey(place), null])

    const next = await open(kafka, { clock, connectorOf: versioned(connector(NAME, 5, ['a'])) })
    next.start(ID)
    await usedUp()
    expect(asked.count).toBe(5)
  })
})

test('starts of tasks, those that fail, and requests that are repeated are in the metrics of Kafka Connect', async () => {
  const metrics = createMetrics({ processMetrics: false })
  const { asked, connector } = await emptyVendor()
  const of = connector(NAME, 0, ['a'])
  const wrong = new FlowError('CFG_INVALID', { path: 'access.token', hint: 'is missing' })
  const runner = await open(memoryKafka(), { metrics, connectorOf: name => ({ version: '1', of: name === NAME ? of : wrong }) })
  const shown = async () =>
    (await metrics.render()).body
      .split('\n')
      .filter(line => /^kafka_connect_(worker_task_startup_\w+_total|task_error_total_retries)/.test(line))
  asked.faults = 1
  runner.start(ID)
  await until(() => asked.count > 2)
  runner.start({ connector: 'wrong', task: 0 })
  expect((await shown()).toSorted()).toEqual([
    `kafka_connect_task_error_total_retries{connector="${NAME}",task="0"} 1`,
    'kafka_connect_worker_task_startup_attempts_total 2',
    'kafka_connect_worker_task_startup_failure_total 1',
    'kafka_connect_worker_task_startup_success_total 1',
  ])
})

test('a vendor is asked nothing while another worker may have the task, and again when that is settled', async () => {
  let sinceMs = -Infinity
  const { runner, vendor } = await bench({ quota: {}, certainSinceMs: () => sinceMs })
  runner.start(ID)
  await until(() => vendor.reads > 1)
  sinceMs = Infinity
  await aWhile()
  const before = vendor.reads
  await aWhile()
  expect(vendor.reads).toBe(before)
  sinceMs = performance.now()
  await until(() => vendor.reads > before)
})

test('no source partition is claimed while another worker may have the task: who has it would be fenced', async () => {
  let sinceMs = Infinity
  const claims: string[] = []
  const kafka = memoryKafka(() => Date.now())
  const openWriter: MemoryKafka['openWriter'] = ({ mayClaim = async () => {}, ...of }) =>
    kafka.openWriter({ ...of, mayClaim: () => mayClaim().then(() => void claims.push(of.transactionalId)) })
  const { runner } = await bench({ certainSinceMs: () => sinceMs, kafka: { ...kafka, openWriter } })
  runner.start(ID)
  await aWhile()
  expect(claims).toEqual([])
  // The group has given it to another meanwhile.
  await runner.stop(ID)
  sinceMs = performance.now()
  await aWhile()
  expect(claims).toEqual([])
  runner.start(ID)
  await until(() => runner.ready().ok)
  expect(claims).not.toEqual([])
})

test('a source partition that is new is read at once; one that comes from elsewhere, when what was asked there counts no longer', async () => {
  const first = await bench({ quota: { gapMs: 3_600_000 } })
  first.runner.start(ID)
  await until(() => first.vendor.reads > 0)
  await until(() => first.kafka.committed('tiny.progress').length > 1)
  await first.runner.stop(ID)
  const second = await bench({ quota: { gapMs: 1_500 }, kafka: first.kafka })
  const sinceMs = performance.now()
  second.runner.start(ID)
  await until(() => second.vendor.reads > 0)
  expect(performance.now() - sinceMs).toBeGreaterThanOrEqual(1_500)
})

test('a task that is stopped tells all it has asked, so that the next one presumes nothing more', async () => {
  const { runner, vendor, kafka } = await bench({ quota: { perMinute: 6_000 } })
  const spent = () => readSpent(String(kafka.committed('tiny-connect-offsets').at(-1)?.value))
  runner.start(ID)
  await until(() => vendor.reads > 3)
  await until(() => spent().requests.length > 0)
  expect(spent().untold).toBeGreaterThan(0)
  await runner.stop(ID)
  expect(spent().untold).toBe(0)
  expect(spent().requests.reduce((all, { count }) => all + count, 0)).toBe(vendor.reads)
})
