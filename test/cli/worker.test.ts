/** The worker role over a Kafka and a group in memory. */
import { expect, onTestFinished, test } from 'vitest'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { memoryRegistry } from '../../src/conformance/topics.ts'
import { startWorker } from '../../src/cli/worker.ts'
import type { Statuses, Wanted } from '../../src/control/port.ts'
import type { ConnectorToRun } from '../../src/ingest/source-partition.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { MemoryGroup } from '../control/memory-group.ts'
import { emptyVendor, hourglass, putSpent } from '../ingest/empty-vendor.ts'
import { names, PARTITIONS } from '../ingest/world.ts'

const STATUSES: Statuses = {
  connector: () => null,
  task: () => null,
  tasksOf: () => [],
  topics: () => [],
  wrote: () => {},
  report: async () => {},
}

function wantedOf(connectors: readonly ConnectorToRun[]): Wanted {
  return {
    connectors: new Map(
      connectors.map(({ name }) => [name, { name, origin: 'rest', written: {}, target: 'RUNNING', version: '1' }]),
    ),
    offset: 0,
    readTo: async () => {},
    onChange: () => () => {},
    onRestart: () => () => {},
  }
}

async function worker(of: { kafka: MemoryKafka; group: MemoryGroup; connectors: readonly ConnectorToRun[]; name: string }) {
  const { kafka, group, connectors, name } = of
  const { clock, usedUp } = hourglass()
  const ending = new AbortController()
  const running = await startWorker({
    kafka: { ...kafka, ...group.client().kafka, maxMessageBytes: async () => new Map() } as unknown as Kafka,
    registry: memoryRegistry,
    names,
    prefix: 'tiny',
    partitions: PARTITIONS,
    address: { workerId: name, url: `http://${name}` },
    wanted: wantedOf(connectors),
    known: Promise.resolve(),
    statuses: STATUSES,
    connectorOf: wanted => connectors.find(each => each.name === wanted.name) as ConnectorToRun,
    isAlone: true,
    refreshMs: Infinity,
    clock,
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    signal: ending.signal,
  })
  onTestFinished(async () => {
    ending.abort()
    await running.done
  })
  return { ...running, usedUp }
}

test('workers that share a quota count what connectors of other workers were told to have asked', async () => {
  const kafka = memoryKafka(() => Date.now())
  const { asked, connector } = await emptyVendor()
  const connectors = ['acme-a', 'acme-b'].map(name => connector(name, 10, ['scope']))
  for (const { name } of connectors) await putSpent(kafka, { connector: name, stream: 'sessions', scope: 'scope' }, 2)
  const group = new MemoryGroup()
  const begin = group.hold()
  const common = { kafka, group, connectors }
  const [one, two] = [await worker({ ...common, name: 'one' }), await worker({ ...common, name: 'two' })]
  begin()
  await Promise.all([one.usedUp(), two.usedUp()])
  expect([one, two].map(({ runner }) => runner.states().length)).toEqual([1, 1])
  // Each has five of ten an hour, less the four that were asked.
  expect(asked.count).toBe(2)
})
