import { expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import type { Status, TaskState } from '../../src/control/port.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { NAMES, openStores, PARTITIONS, SOON, standing } from './world.ts'

const status = (state: TaskState, workerId = 'one:8083', generation = 1, trace?: string): Status<TaskState> => ({
  state,
  workerId,
  generation,
  ...(trace === undefined ? {} : { trace }),
})
const id = (task: number, connector = 'acme') => ({ connector, task })

test('a status is on the topic in the layout of Kafka Connect, on the partition of its key', async () => {
  const { kafka, statuses } = await openStores()
  await Promise.all([
    statuses.report({ connector: 'acme' }, { state: 'STOPPED', workerId: 'one:8083', generation: 4 }),
    statuses.report(id(0), status('FAILED', 'one:8083', 4, 'SRC_REFUSED: no')),
  ])

  expect(standing(kafka, NAMES.status)).toEqual({
    'status-connector-acme': { state: 'STOPPED', trace: null, worker_id: 'one:8083', generation: 4 },
    'status-task-acme-0': { state: 'FAILED', trace: 'SRC_REFUSED: no', worker_id: 'one:8083', generation: 4 },
  })
  for (const { key, partition } of kafka.committed(NAMES.status)) expect(partition).toBe(partitionOf(String(key), PARTITIONS))
})

test('every worker knows the statuses of the others, also one that starts later', async () => {
  const kafka = memoryKafka()
  const one = await openStores({ kafka })
  const two = await openStores({ kafka })
  await one.statuses.report({ connector: 'acme' }, { state: 'RUNNING', workerId: 'one:8083', generation: 1 })
  await two.statuses.report(id(10), status('PAUSED', 'two:8083'))
  await two.statuses.report(id(2), status('RUNNING', 'two:8083'))
  await two.statuses.report(id(1, 'acme-2'), status('RUNNING', 'two:8083'))
  const three = await openStores({ kafka })

  expect(three.statuses.connector('acme')).toEqual({ state: 'RUNNING', workerId: 'one:8083', generation: 1 })
  expect(three.statuses.tasksOf('acme')).toEqual([
    { task: 2, status: status('RUNNING', 'two:8083') },
    { task: 10, status: status('PAUSED', 'two:8083') },
  ])
  expect([...three.statuses.all()]).toEqual(
    expect.arrayContaining([
      ['acme', { hasOwn: true, tasks: [2, 10] }],
      ['acme-2', { hasOwn: false, tasks: [1] }],
    ]),
  )
})

test('a worker sees its own report at once, and null removes it', async () => {
  const { statuses } = await openStores()
  const written = statuses.report(id(0), status('RUNNING'))
  expect(statuses.task(id(0))?.state).toBe('RUNNING')
  expect(statuses.tasksOf('acme')).toHaveLength(1)
  await written
  const removed = statuses.report(id(0), null)
  expect(statuses.task(id(0))).toBeNull()
  expect(statuses.tasksOf('acme')).toEqual([])
  await removed
})

test('of several reports in a row the last one counts, and a repeated one is not written', async () => {
  const { kafka, statuses } = await openStores()
  await Promise.all([statuses.report(id(0), status('RUNNING')), statuses.report(id(0), status('PAUSED'))])
  await statuses.report(id(0), status('PAUSED'))
  expect(kafka.committed(NAMES.status)).toHaveLength(1)
  expect(standing(kafka, NAMES.status)).toMatchObject({ 'status-task-acme-0': { state: 'PAUSED' } })
})

test('a worker that was left behind does not overwrite its successor, but may overwrite itself', async () => {
  const kafka = memoryKafka()
  const old = await openStores({ kafka })
  const next = await openStores({ kafka })
  await next.statuses.report(id(0), status('RUNNING', 'two:8083', 5))
  await old.statuses.report(id(9), status('RUNNING', 'one:8083', 4))
  await expect.poll(() => old.statuses.task(id(0))?.workerId, SOON).toBe('two:8083')
  await old.statuses.report(id(0), status('UNASSIGNED', 'one:8083', 4))
  await next.statuses.report(id(0), status('PAUSED', 'two:8083', 4))

  expect(standing(kafka, NAMES.status)).toMatchObject({ 'status-task-acme-0': { state: 'PAUSED', worker_id: 'two:8083' } })
})

test.each(['aborted', 'lost'] as const)('a status whose transaction was %s is written again', async outcome => {
  const { kafka, statuses } = await openStores()
  kafka.nextCommits(outcome)
  await statuses.report(id(0), status('RUNNING'))
  expect(standing(kafka, NAMES.status)).toMatchObject({ 'status-task-acme-0': { state: 'RUNNING' } })
})

test('a starting worker is believed whatever the generation: generations start again with a new group', async () => {
  const kafka = memoryKafka()
  const old = await openStores({ kafka })
  await old.statuses.report(id(0), status('RUNNING', 'one:8083', 57))
  const next = await openStores({ kafka })
  await next.statuses.report(id(0), status('RUNNING', 'two:8083', 1))
  await next.statuses.report(id(0), status('FAILED', 'two:8083', 1, 'no'))

  expect(standing(kafka, NAMES.status)).toMatchObject({ 'status-task-acme-0': { state: 'FAILED', worker_id: 'two:8083' } })
})

test('reports of tasks while the process ends are written before it closes', async () => {
  const { kafka, statuses, end } = await openStores()
  void statuses.report(id(0), status('UNASSIGNED'))
  await end()
  expect(standing(kafka, NAMES.status)).toMatchObject({ 'status-task-acme-0': { state: 'UNASSIGNED' } })
})

test('other records of the topic and hidden states are skipped', async () => {
  const kafka = memoryKafka()
  const writer = kafka.openWriter({ transactionalId: 'somebody' })
  await writer.fence()
  const record = (key: string, value: string) => ({ key: Buffer.from(key), value: Buffer.from(value) })
  const records = [
    record('["colloquy-worker","x"]', '{"at":1}'),
    record('status-task-acme-0', '{"state":"DESTROYED","worker_id":"w","generation":1}'),
    record('status-task-acme-1', '{"state":"RUNNING"}'),
    record('status-task-acme', '{"state":"RUNNING","worker_id":"w"}'),
    record('status-connector-acme', 'nonsense'),
    record('status-task-acme-2', '{"state":"RUNNING","trace":null,"worker_id":"w","generation":3}'),
  ]
  await writer.transact(tx => tx.write([{ topic: NAMES.status, partition: 0, records }]))
  const { statuses } = await openStores({ kafka })

  expect([...statuses.all()]).toEqual([['acme', { hasOwn: false, tasks: [2] }]])
  expect(statuses.task(id(2))).toEqual({ state: 'RUNNING', workerId: 'w', generation: 3 })
})

test('topics that a connector has written to are remembered until they are reset, and again when it writes again', async () => {
  const kafka = memoryKafka()
  const { statuses, end } = await openStores({ kafka })
  statuses.wrote(id(1), ['p.sessions', 'p.messages'])
  statuses.wrote(id(1), ['p.sessions'])
  expect(statuses.topics('acme')).toEqual(['p.messages', 'p.sessions'])
  await end()
  expect(kafka.committed(NAMES.status)).toHaveLength(2)
  expect(standing(kafka, NAMES.status)).toMatchObject({
    'status-topic-p.sessions:connector-acme': { topic: { name: 'p.sessions', connector: 'acme', task: 1 } },
  })

  const later = await openStores({ kafka })
  expect(later.statuses.topics('acme')).toEqual(['p.messages', 'p.sessions'])
  await later.statuses.resetTopics('acme')
  expect(later.statuses.topics('acme')).toEqual([])
  expect(standing(kafka, NAMES.status)).toEqual({})
  later.statuses.wrote(id(1), ['p.events'])
  expect(later.statuses.topics('acme')).toEqual(['p.events'])
})
