import { describe, expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import {
  type Configs,
  connectorKey,
  isMeant,
  levelKey,
  restartKey,
  restartValue,
  targetKey,
  targetValue,
} from '../../src/control/configs.ts'
import type { RestartRequest, Status, TaskState } from '../../src/control/port.ts'
import { GOOD, NAMES, openStores, standing, surroundings } from './world.ts'

const put = (configs: Configs, name: string, properties: object, generation = 1) =>
  configs.write(generation, () => [{ key: connectorKey(name), value: { properties } }])

/** Calls of a listener, as a list. */
function heard<T>(listen: (call: (value: T) => void) => () => void): T[] {
  const calls: T[] = []
  listen(value => calls.push(value))
  return calls
}

test('connectors of the file and of the topic are both wanted, and the file wins if a name is in both', async () => {
  const kafka = memoryKafka()
  const first = await openStores({ kafka })
  await put(first.configs, 'both', { ...GOOD, name: 'both', 'tasks.max': '7' })
  await put(first.configs, 'by-rest', { ...GOOD, name: 'by-rest' })
  const { configs } = await openStores({ kafka, file: { both: { ...GOOD, 'tasks.max': 2 }, 'by-file': GOOD } })

  expect([...configs.connectors].map(([name, { origin, target }]) => [name, origin, target])).toEqual([
    ['both', 'file', 'RUNNING'],
    ['by-file', 'file', 'RUNNING'],
    ['by-rest', 'rest', 'RUNNING'],
  ])
  expect(configs.connectors.get('both')?.written['tasks.max']).toBe(2)
})

test('records have the layout of Kafka Connect', async () => {
  const { kafka, configs } = await openStores()
  await configs.write(1, () => [
    { key: connectorKey('acme'), value: { properties: { ...GOOD, name: 'acme' } } },
    { key: targetKey('acme'), value: targetValue('STOPPED') },
  ])

  expect(standing(kafka, NAMES.configs)).toEqual({
    'connector-acme': { properties: { 'connector.class': 'tiny', 'access.token': '${env:TOKEN}', name: 'acme' } },
    'target-state-acme': { state: 'PAUSED', 'state.v2': 'STOPPED' },
  })
})

test.each([
  [{ state: 'PAUSED' }, 'PAUSED'],
  [{ state: 'STARTED' }, 'RUNNING'],
  [{ state: 'PAUSED', 'state.v2': 'STOPPED' }, 'STOPPED'],
])('target state %j of Kafka Connect is %s, also of a connector of the file', async (value, target) => {
  const { configs } = await openStores({ file: { acme: GOOD } })
  const changes = heard(notify => configs.onChange(() => notify(null)))
  await configs.write(1, () => [{ key: targetKey('acme'), value }])

  expect(configs.connectors.get('acme')?.target).toBe(target)
  expect(changes).toHaveLength(target === 'RUNNING' ? 0 : 1)
})

test('a null value removes the connector, and the change is reported', async () => {
  const { configs } = await openStores()
  await put(configs, 'acme', GOOD)
  const changes = heard(notify => configs.onChange(() => notify([...configs.connectors.keys()])))
  await configs.write(1, () => [{ key: connectorKey('acme'), value: null }])

  expect(changes).toEqual([[]])
  expect(configs.resolved('acme')).toBeNull()
})

test('records that are not our configs are skipped', async () => {
  const kafka = memoryKafka()
  const writer = kafka.openWriter({ transactionalId: 'somebody' })
  await writer.fence()
  const record = (key: string | null, value: string) => ({
    key: key === null ? null : Buffer.from(key),
    value: Buffer.from(value),
  })
  const records = [
    record('connector-a', 'not json'),
    record('connector-b', '[]'),
    record('connector-c', '{"properties":null}'),
    record('commit-d', '{"tasks":2}'),
    record(null, '{}'),
    record('session-key', '{"key":"x"}'),
    record('restart-connector-e', 'nonsense'),
    record('connector-good', JSON.stringify({ properties: GOOD })),
  ]
  await writer.transact(tx => tx.write([{ topic: NAMES.configs, partition: 0, records }]))
  const { configs } = await openStores({ kafka })

  expect([...configs.connectors.keys()]).toEqual(['good'])
})

describe('the version of a connector', () => {
  const versionOf = async (file: object, where = surroundings()) => {
    const { configs } = await openStores({ file: { acme: file as never }, surroundings: where })
    return configs.connectors.get('acme')?.version
  }

  test('is independent of key order and spelling of values, and changes with a value', async () => {
    const version = await versionOf({ ...GOOD, 'tasks.max': 2, bots: ['a', 'b'] })
    expect(await versionOf({ bots: 'a,b', 'tasks.max': '2', ...GOOD })).toBe(version)
    expect(await versionOf({ ...GOOD, 'tasks.max': 3, bots: ['a', 'b'] })).not.toBe(version)
  })

  test('is the same on a machine where references resolve differently, and contains no secret', async () => {
    const version = await versionOf(GOOD)
    expect(await versionOf(GOOD, surroundings({ env: { TOKEN: 't0ken-2' } }))).toBe(version)
    expect(await versionOf({ ...GOOD, 'access.token': 'one-literal' })).toBe(
      await versionOf({ ...GOOD, 'access.token': 'two-literal' }),
    )
  })

  test('is the same wherever the connector is written', async () => {
    const { configs } = await openStores()
    await put(configs, 'acme', { ...GOOD, name: 'acme' })
    expect(configs.connectors.get('acme')?.version).toBe(await versionOf(GOOD))
  })
})

describe('when the file is read again', () => {
  test('changed connectors are reported, and others stay as they are', async () => {
    const { configs } = await openStores({ file: { one: GOOD, two: GOOD, gone: GOOD } })
    const changes = heard(notify => configs.onChange(() => notify(null)))
    const restarts = heard<RestartRequest>(notify => configs.onRestart(notify))
    const before = new Map(configs.connectors)
    await configs.reload({ one: GOOD, two: { ...GOOD, 'poll.interval.ms': 1000 }, three: GOOD })

    expect(changes).toHaveLength(1)
    expect(restarts).toEqual([])
    expect([...configs.connectors.keys()]).toEqual(['one', 'three', 'two'])
    expect(configs.connectors.get('one')?.version).toBe(before.get('one')?.version)
    expect(configs.connectors.get('two')?.version).not.toBe(before.get('two')?.version)
  })

  test('nothing is reported when nothing changed', async () => {
    const { configs } = await openStores({ file: { one: GOOD } })
    const changes = heard(notify => configs.onChange(() => notify(null)))
    await configs.reload({ one: { ...GOOD } })
    expect(changes).toEqual([])
  })

  test('a changed secret restarts the tasks of its connector only', async () => {
    const env: Record<string, string> = { TOKEN: 'old-token', OTHER: 'another-token' }
    const other = { ...GOOD, 'access.token': '${env:OTHER}' }
    const { configs } = await openStores({ file: { one: GOOD, two: other }, surroundings: surroundings({ env }) })
    const changes = heard(notify => configs.onChange(() => notify(null)))
    const restarts = heard<RestartRequest>(notify => configs.onRestart(notify))
    env['TOKEN'] = 'new-token'
    await configs.reload({ one: GOOD, two: other })

    expect(restarts).toEqual([{ connector: 'one', tasks: null, includeTasks: true, onlyFailed: false }])
    expect(changes).toEqual([])
    const resolved = configs.resolved('one')
    expect(resolved?.ok === true && resolved.connector.config).toMatchObject({ accessToken: 'new-token' })
  })
})

test('a connector that cannot be resolved here is still wanted, with a reason without values', async () => {
  const { configs } = await openStores({ file: { acme: { ...GOOD, 'access.token': '${env:NOWHERE}', bots: 'x' } } })
  const resolved = configs.resolved('acme')

  expect(configs.connectors.has('acme')).toBe(true)
  expect(resolved?.ok === false && resolved.why).toMatch(/^CFG_INVALID: .*access\.token the environment has no NOWHERE.*\n.+/)
})

describe('restarts', () => {
  test('are reported on every worker once, and never those from before it started', async () => {
    const kafka = memoryKafka()
    const one = await openStores({ kafka, file: { acme: GOOD } })
    const restartsOne = heard<RestartRequest>(notify => one.configs.onRestart(notify))
    await one.configs.write(1, () => [
      { key: restartKey('acme'), value: restartValue({ includeTasks: true, onlyFailed: true, tasks: [3] }) },
    ])
    const two = await openStores({ kafka, file: { acme: GOOD } })
    const restartsTwo = heard<RestartRequest>(notify => two.configs.onRestart(notify))
    await two.configs.reload({ acme: GOOD })

    expect(restartsOne).toEqual([{ connector: 'acme', includeTasks: true, onlyFailed: true, tasks: [3] }])
    expect(restartsTwo).toEqual([])
  })

  const failed: Status<TaskState> = { state: 'FAILED', workerId: 'w', generation: 1 }
  const running: Status<TaskState> = { ...failed, state: 'RUNNING' }
  test.each([
    [{ includeTasks: false, onlyFailed: false, tasks: null }, [false, false, false]],
    [{ includeTasks: true, onlyFailed: false, tasks: null }, [true, true, true]],
    [{ includeTasks: true, onlyFailed: true, tasks: null }, [true, false, false]],
    [{ includeTasks: false, onlyFailed: true, tasks: null }, [false, false, false]],
    [{ includeTasks: true, onlyFailed: true, tasks: [1] }, [false, true, false]],
  ])('%j means of a failed, a running and an unknown task %j', (how, meant) => {
    const request = { connector: 'acme', ...how }
    const statuses = [failed, running, null]
    expect(statuses.map((status, task) => isMeant(request, { connector: 'acme', task }, status))).toEqual(meant)
    expect(statuses.some((status, task) => isMeant(request, { connector: 'other', task }, status))).toBe(false)
  })
})

test('log levels of the cluster are reported, including those from before the start', async () => {
  const kafka = memoryKafka()
  const levels: [string, string | null][] = []
  const one = await openStores({ kafka })
  await one.configs.write(1, () => [{ key: levelKey('connector.acme'), value: { level: 'DEBUG' } }])
  const two = await openStores({ kafka, onLevel: (logger, level) => levels.push([logger, level]) })
  await two.configs.write(2, () => [{ key: levelKey('connector.acme'), value: null }])

  expect(levels).toEqual([
    ['connector.acme', 'DEBUG'],
    ['connector.acme', null],
  ])
})

describe('the leader writes', () => {
  test('and the first write of the next leader fences it', async () => {
    const kafka = memoryKafka()
    const old = await openStores({ kafka })
    const next = await openStores({ kafka })
    await put(old.configs, 'acme', GOOD, 1)
    await put(next.configs, 'acme', { ...GOOD, bots: 'a' }, 2)

    await expect(put(old.configs, 'acme', { ...GOOD, bots: 'b' }, 1)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    expect(standing(kafka, NAMES.configs)).toMatchObject({ 'connector-acme': { properties: { bots: 'a' } } })
  })

  test('after reading what the previous leader wrote', async () => {
    const kafka = memoryKafka()
    const old = await openStores({ kafka })
    const next = await openStores({ kafka })
    await put(old.configs, 'acme', GOOD, 1)
    let seen: unknown
    await next.configs.write(2, () => {
      seen = next.configs.connectors.has('acme')
      return []
    })
    expect(seen).toBe(true)
  })

  test('once, where the answer to a commit is lost', async () => {
    const { kafka, configs } = await openStores()
    await put(configs, 'before', GOOD)
    kafka.nextCommits('lost')
    await put(configs, 'acme', GOOD)

    expect(kafka.committed(NAMES.configs).map(({ key }) => String(key))).toEqual(['connector-before', 'connector-acme'])
    expect(configs.connectors.has('acme')).toBe(true)
  })

  test('again, where the transaction was aborted', async () => {
    const { kafka, configs } = await openStores()
    kafka.nextCommits('aborted')
    await put(configs, 'acme', GOOD)
    expect(configs.connectors.has('acme')).toBe(true)
  })

  test('one change after another, each based on the one before', async () => {
    const { configs } = await openStores()
    const add = (name: string) =>
      configs.write(1, () => [
        { key: connectorKey(name), value: { properties: { ...GOOD, bots: [...configs.connectors.keys()].join(',') } } },
      ])
    await Promise.all([add('a'), add('b'), add('c')])
    expect(configs.connectors.get('c')?.written['bots']).toBe('a,b')
  })
})
