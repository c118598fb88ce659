import { describe, expect, onTestFinished, test } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { systemClock } from '../../src/clock.ts'
import type { ConnectorMap } from '../../src/config.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { decodeProgress } from '../../src/conformance/topics.ts'
import { createHerder, keepStatuses } from '../../src/control/herder.ts'
import type { Config, GroupView, Herder, RestartRequest, TaskId } from '../../src/control/port.ts'
import type { StatusStore } from '../../src/control/statuses.ts'
import { cursorKey } from '../../src/ingest/cursor.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { silentLog } from '../../src/log.ts'
import { sourceTransactionalId } from '../../src/topics.ts'
import { GOOD, HOUR, NAMES, openStores, PARTITIONS, PREFIX, SOON, standing, surroundings } from './world.ts'

const ME = 'one:8083'

interface Room {
  readonly herder: Herder
  readonly kafka: MemoryKafka
  readonly statuses: StatusStore
  readonly restarts: readonly RestartRequest[]
  /** Changes what the group looks like. */
  readonly lead: (view: Partial<GroupView>) => void
  readonly give: (tasks: readonly TaskId[], workerId?: string) => void
}

async function room(
  of: { file?: Readonly<Record<string, ConnectorMap>>; kafka?: MemoryKafka; clock?: Clock; prepare?: () => Promise<void> } = {},
): Promise<Room> {
  const { clock = systemClock } = of
  const { kafka, configs, statuses } = await openStores(of)
  let view: GroupView = {
    leader: { workerId: ME, url: `http://${ME}`, isMe: true },
    generation: 1,
    workers: [{ workerId: ME, url: `http://${ME}`, tasks: [] }],
    unassigned: [],
  }
  const ending = new AbortController()
  const group = () => view
  const common = { workerId: ME, group, configs, statuses, clock, log: silentLog, signal: ending.signal }
  const duties = keepStatuses(common)
  onTestFinished(async () => {
    ending.abort()
    await duties
  })
  const restarts: RestartRequest[] = []
  configs.onRestart(restart => restarts.push(restart))
  const herder = createHerder({
    ...common,
    kafka,
    names: NAMES,
    prefix: PREFIX,
    partitions: PARTITIONS,
    decodeProgress,
    surroundings: surroundings(),
    clusterId: () => 'cluster',
    whyNot: () => null,
    ...(of.prepare === undefined ? {} : { prepare: of.prepare }),
  })
  return {
    herder,
    kafka,
    statuses,
    restarts,
    lead: more => (view = { ...view, ...more }),
    give: (tasks, workerId = ME) => (view = { ...view, workers: [{ workerId, url: `http://${workerId}`, tasks }] }),
  }
}

const SCOPES: Config = { ...GOOD, 'tasks.max': '2', bots: 'a,b,c' }
const refused = (status: number, message: string | RegExp) =>
  expect.objectContaining({
    status,
    message: typeof message === 'string' ? message : (expect.stringMatching(message) as string),
  })

describe('a connector', () => {
  test('is created, shown as Kafka Connect shows one, and there after a restart', async () => {
    const { herder, kafka } = await room()
    const info = {
      name: 'acme',
      config: { ...SCOPES, name: 'acme' },
      tasks: [
        { connector: 'acme', task: 0 },
        { connector: 'acme', task: 1 },
      ],
      type: 'source',
    }
    expect(await herder.create('acme', SCOPES, 'RUNNING')).toEqual(info)
    const later = await room({ kafka })
    expect(later.herder.names()).toEqual(['acme'])
    expect(later.herder.info('acme')).toEqual(info)
    expect(
      later.herder.taskConfigs('acme').map(({ id, config }) => [id.task, JSON.parse(config['source.partitions'] ?? '')]),
    ).toEqual([
      [
        0,
        [
          { stream: 'sessions', scope: 'a' },
          { stream: 'sessions', scope: 'b' },
        ],
      ],
      [1, [{ stream: 'sessions', scope: 'c' }]],
    ])
  })

  test('that exists is not created again', async () => {
    const { herder } = await room({ file: { filed: GOOD } })
    await herder.create('acme', GOOD, 'RUNNING')
    await expect(herder.create('acme', GOOD, 'RUNNING')).rejects.toEqual(refused(409, 'Connector acme already exists'))
    await expect(herder.create('filed', GOOD, 'RUNNING')).rejects.toEqual(refused(409, 'Connector filed already exists'))
  })

  test('created twice at the same time: one succeeds, and the other gets an error', async () => {
    const { herder } = await room()
    const both = await Promise.allSettled([herder.create('acme', GOOD, 'RUNNING'), herder.create('acme', GOOD, 'RUNNING')])
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected'])
  })

  test.each([
    [
      { 'access.token': 'in-clear' },
      /^Connector configuration is invalid and contains the following 1 error\(s\):\nInvalid value for configuration access\.token: takes a reference such as \$\{env:NAME\}/,
    ],
    [{ 'access.token': 'x${env:TOKEN}' }, /access\.token: takes a reference/],
    [{ 'access.token': '[hidden]' }, /access\.token: \[hidden\] keeps the stored value, but there is none/],
    [{ 'access.token': '' }, /access\.token/],
    [{ 'api.key': 'in-clear' }, /configuration api\.key: /],
    [{ 'base.url': 'https://me:hunter2@host' }, /base\.url: holds credentials/],
    [{ 'access.token': '${env:NOWHERE}' }, /access\.token: the environment has no NOWHERE/],
    [{ 'access.token': '${vault:x}' }, /access\.token: takes a reference/],
    [{ 'poll.interval.ms': 'often' }, /poll\.interval\.ms: takes/],
    [
      { 'tasks.max': '0', bot: 'x' },
      /2 error\(s\):\n(?:.*\n)*You can also find the above list of errors at the endpoint `\/connector-plugins\/\{connectorType\}\/config\/validate`$/,
    ],
    [
      { 'connector.class': 'nobodys' },
      /^Failed to find any class that implements Connector and which name matches nobodys, available connectors are: .*tiny/,
    ],
    [{ 'connector.class': './evil.ts' }, /^Failed to find any class/],
    [{ 'connector.class': '' }, /contains no connector type/],
  ])('with %j is rejected with 400, and no secret is repeated', async (more, message) => {
    const { herder, kafka } = await room()
    const created = herder.create('acme', { ...GOOD, ...more }, 'RUNNING')
    await expect(created).rejects.toEqual(refused(400, message))
    const text = await created.catch((error: unknown) => (error as Error).message)
    expect(text).not.toMatch(/in-clear|hunter2/)
    expect(kafka.committed(NAMES.configs)).toEqual([])
  })

  test.each(['a b', 'a/b', '-a', 'ü', 'x'.repeat(129)])('by the name %j is rejected with 400', async name => {
    const { herder } = await room()
    await expect(herder.create(name, GOOD, 'RUNNING')).rejects.toEqual(refused(400, /a connector name takes/))
  })

  test('starts in the requested state, whatever the state of an earlier connector with its name', async () => {
    const { herder, kafka } = await room()
    await herder.create('acme', GOOD, 'STOPPED')
    expect(herder.info('acme').tasks).toEqual([])
    await herder.remove('acme')
    expect(standing(kafka, NAMES.configs)).toEqual({})
    await herder.put('acme', GOOD)
    expect(herder.info('acme').tasks).toHaveLength(1)
  })

  test('is replaced by PUT as a whole, created where there is none, and keeps its state', async () => {
    const { herder, statuses } = await room()
    expect(await herder.put('acme', SCOPES)).toMatchObject({ isNew: true })
    await herder.setTarget('acme', 'PAUSED')
    expect(await herder.put('acme', GOOD)).toEqual({ isNew: false, info: herder.info('acme') })
    expect(herder.info('acme').config).toEqual({ ...GOOD, name: 'acme' })
    await expect.poll(() => statuses.connector('acme')?.state, SOON).toBe('PAUSED')
  })

  test('is changed by PATCH key by key', async () => {
    const { herder } = await room()
    await herder.create('acme', SCOPES, 'RUNNING')
    const { config } = await herder.patch('acme', { 'tasks.max': '3', bots: null })
    expect(config).toEqual({ ...GOOD, 'tasks.max': '3', name: 'acme' })
    await expect(herder.patch('acme', { 'connector.class': null })).rejects.toEqual(refused(400, /no connector type/))
    await expect(herder.patch('acme', { 'access.token': 'in-clear' })).rejects.toEqual(refused(400, /access\.token/))
    await expect(herder.patch('other', {})).rejects.toEqual(refused(404, 'Connector other not found'))
  })

  test('[hidden] for a secret keeps what is stored', async () => {
    const { herder } = await room()
    await herder.create('acme', GOOD, 'RUNNING')
    await herder.put('acme', { ...GOOD, 'access.token': '[hidden]', bots: 'a' })
    await herder.patch('acme', { 'access.token': '[hidden]' })
    expect(herder.info('acme').config).toEqual({ ...GOOD, bots: 'a', name: 'acme' })
    await expect(herder.put('acme', { ...GOOD, 'base.url': '[hidden]' })).rejects.toEqual(refused(400, /base\.url/))
  })

  test('is prepared before it is wanted', async () => {
    const seen: string[][] = []
    const made = await room({ prepare: async () => void seen.push([...made.herder.names()]) })
    await made.herder.create('acme', GOOD, 'RUNNING')
    expect(seen).toEqual([[]])
  })

  test('that does not exist is not found', async () => {
    const { herder } = await room()
    expect(() => herder.info('acme')).toThrow(refused(404, 'Connector acme not found'))
    expect(() => herder.status('acme')).toThrow(refused(404, 'No status found for connector acme'))
    expect(() => herder.taskConfigs('acme')).toThrow(refused(404, 'Connector acme not found'))
    await expect(herder.remove('acme')).rejects.toEqual(refused(404, 'Connector acme not found'))
    await expect(herder.setTarget('acme', 'PAUSED')).rejects.toEqual(refused(404, 'Unknown connector acme'))
    await expect(herder.restart('acme', { includeTasks: false, onlyFailed: false })).rejects.toEqual(
      refused(404, 'Unknown connector: acme'),
    )
    await expect(herder.restartTask({ connector: 'acme', task: 0 })).rejects.toEqual(refused(404, 'Unknown connector: acme'))
    await expect(herder.offsets('acme')).rejects.toEqual(refused(404, 'Connector acme not found'))
    await expect(herder.alterOffsets('acme', null, { dryRun: false, by: '' })).rejects.toEqual(
      refused(404, 'Connector acme not found'),
    )
  })
})

describe('a connector of the file', () => {
  const file = {
    filed: { ...GOOD, 'access.token': 'in-clear', bots: ['a,1', 'b'], 'tasks.max': 2, 'base.url': 'https://me:pw@host/x' },
  }

  test('is shown like others, as text, and literal secrets as [hidden]', async () => {
    const { herder } = await room({ file })
    expect(herder.info('filed').config).toEqual({
      'connector.class': 'tiny',
      'access.token': '[hidden]',
      bots: 'a\\,1,b',
      'tasks.max': '2',
      'base.url': 'https://[hidden]@host/x',
      name: 'filed',
    })
  })

  test('can be changed only in the file, but paused, stopped and restarted like others', async () => {
    const { herder, kafka, restarts, statuses } = await room({ file })
    for (const change of [herder.put('filed', GOOD), herder.patch('filed', {}), herder.remove('filed')])
      await expect(change).rejects.toEqual(refused(409, /config file/))
    await herder.setTarget('filed', 'PAUSED')
    await expect.poll(() => statuses.connector('filed')?.state, SOON).toBe('PAUSED')
    await herder.restartTask({ connector: 'filed', task: 1 })
    expect(restarts).toMatchObject([{ connector: 'filed', tasks: [1] }])
    expect(JSON.stringify(standing(kafka, NAMES.configs))).not.toContain('in-clear')
  })
})

describe('while the group rebalances', () => {
  test('changes get 409 in the words of Kafka Connect, and reads are answered', async () => {
    const { herder, lead } = await room()
    await herder.create('acme', GOOD, 'RUNNING')
    lead({ leader: null })
    const noLeader = refused(
      409,
      'Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.',
    )
    await expect(herder.put('acme', GOOD)).rejects.toEqual(noLeader)
    await expect(herder.setTarget('acme', 'PAUSED')).rejects.toEqual(noLeader)
    await expect(herder.restart('acme', { includeTasks: true, onlyFailed: false })).rejects.toEqual(noLeader)
    expect(herder.info('acme').name).toBe('acme')
  })

  /** A change that takes its time, and another that waits for it. */
  async function waiting() {
    const [begun, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const prepare = () => {
      begun.resolve()
      return slow.promise
    }
    const made = await room({ prepare })
    const [first, second] = [made.herder.create('first', GOOD, 'RUNNING'), made.herder.create('second', GOOD, 'RUNNING')]
    // Later handlers must not see an unhandled rejection.
    second.catch(() => {})
    await begun.promise
    return { ...made, first, second, goOn: () => slow.resolve() }
  }

  test('a change that waits during a rebalance is made in its turn, if its worker still leads', async () => {
    const { herder, lead, first, second, goOn } = await waiting()
    lead({ generation: 2 })
    goOn()
    await Promise.all([first, second])
    expect(herder.names()).toEqual(['first', 'second'])
  })

  test.each([
    ['knows of no leader', null, /rebalance was underway/],
    ['leads no more', { workerId: 'two:8083', url: 'http://two:8083', isMe: false }, /conflicting operation/],
  ])('a change that waits until its worker %s gets 409, and succeeds on retry', async (_, leader, message) => {
    const { herder, lead, first, second, goOn } = await waiting()
    const before = { workerId: ME, url: `http://${ME}`, isMe: true }
    lead({ leader, generation: 2 })
    goOn()
    await first
    await expect(second).rejects.toEqual(refused(409, message))
    expect(herder.names()).toEqual(['first'])
    lead({ leader: before, generation: 3 })
    expect(await herder.create('second', GOOD, 'RUNNING')).toMatchObject({ name: 'second' })
  })

  test('a leader that was replaced without knowing it gets 409, and changes nothing', async () => {
    const kafka = memoryKafka()
    const old = await room({ kafka })
    await old.herder.create('acme', GOOD, 'RUNNING')
    const next = await room({ kafka })
    next.lead({ generation: 2 })
    await next.herder.setTarget('acme', 'PAUSED')
    await expect(old.herder.setTarget('acme', 'STOPPED')).rejects.toEqual(refused(409, /conflicting operation/))
    expect(standing(kafka, NAMES.configs)).toMatchObject({ 'target-state-acme': { 'state.v2': 'PAUSED' } })
  })
})

describe('the status', () => {
  test('is what workers report of their tasks, and UNASSIGNED for tasks without an owner', async () => {
    const { herder, statuses, give } = await room()
    await herder.create('acme', { ...SCOPES, 'tasks.max': '3' }, 'RUNNING')
    await expect.poll(() => statuses.connector('acme')?.state, SOON).toBe('RUNNING')
    give([
      { connector: 'acme', task: 0 },
      { connector: 'acme', task: 1 },
    ])
    await statuses.report(
      { connector: 'acme', task: 0 },
      { state: 'FAILED', workerId: ME, generation: 1, trace: 'SRC_REFUSED: no' },
    )
    await statuses.report({ connector: 'acme', task: 1 }, { state: 'RUNNING', workerId: 'dead:1', generation: 1 })
    await statuses.report({ connector: 'acme', task: 2 }, { state: 'RUNNING', workerId: ME, generation: 1 })

    expect(herder.status('acme')).toEqual({
      name: 'acme',
      connector: { state: 'RUNNING', worker_id: ME },
      tasks: [
        { id: 0, state: 'FAILED', worker_id: ME, trace: 'SRC_REFUSED: no' },
        { id: 1, state: 'UNASSIGNED', worker_id: ME },
        { id: 2, state: 'UNASSIGNED', worker_id: ME },
      ],
      type: 'source',
    })
  })

  test('of a stopped connector has no tasks, and their earlier statuses are removed', async () => {
    const { herder, statuses } = await room()
    await herder.create('acme', SCOPES, 'RUNNING')
    await statuses.report({ connector: 'acme', task: 0 }, { state: 'RUNNING', workerId: ME, generation: 1 })
    await herder.setTarget('acme', 'STOPPED')
    await expect.poll(() => herder.status('acme'), SOON).toMatchObject({ connector: { state: 'STOPPED' }, tasks: [] })
    await expect.poll(() => statuses.tasksOf('acme'), SOON).toEqual([])
  })

  test('of a removed connector is not found, and gone from the topic', async () => {
    const { herder, statuses, kafka } = await room()
    await herder.create('acme', GOOD, 'RUNNING')
    await statuses.report({ connector: 'acme', task: 0 }, { state: 'RUNNING', workerId: ME, generation: 1 })
    statuses.wrote({ connector: 'acme', task: 0 }, ['p.sessions'])
    await herder.remove('acme')
    expect(() => herder.status('acme')).toThrow(refused(404, 'No status found for connector acme'))
    await expect.poll(() => standing(kafka, NAMES.status), SOON).toEqual({})
  })

  test('of a connector that cannot be resolved is FAILED, with the code and the fix', async () => {
    const { herder, statuses } = await room({ file: { acme: { ...GOOD, 'access.token': '${env:NOWHERE}' } } })
    await expect.poll(() => statuses.connector('acme')?.state, SOON).toBe('FAILED')
    expect(herder.status('acme').connector.trace).toMatch(/^CFG_INVALID: .*NOWHERE.*\n\S+/)
  })
})

describe('a restart', () => {
  test('reaches all workers, and the answer lists what is restarting', async () => {
    const { herder, statuses, restarts, give } = await room()
    await herder.create('acme', SCOPES, 'RUNNING')
    await expect.poll(() => statuses.connector('acme')?.state, SOON).toBe('RUNNING')
    give([
      { connector: 'acme', task: 0 },
      { connector: 'acme', task: 1 },
    ])
    await statuses.report({ connector: 'acme', task: 0 }, { state: 'RUNNING', workerId: ME, generation: 1 })
    await statuses.report({ connector: 'acme', task: 1 }, { state: 'FAILED', workerId: ME, generation: 1, trace: 'x' })
    const statesOf = async (how: { includeTasks: boolean; onlyFailed: boolean }) => {
      const { connector, tasks } = await herder.restart('acme', how)
      return [connector.state, ...tasks.map(({ state }) => state)]
    }

    expect(await statesOf({ includeTasks: true, onlyFailed: true })).toEqual(['RUNNING', 'RUNNING', 'RESTARTING'])
    expect(await statesOf({ includeTasks: true, onlyFailed: false })).toEqual(['RESTARTING', 'RESTARTING', 'RESTARTING'])
    expect(await statesOf({ includeTasks: false, onlyFailed: false })).toEqual(['RESTARTING', 'RUNNING', 'FAILED'])
    expect(restarts).toHaveLength(3)
    await expect(herder.restartTask({ connector: 'acme', task: 2 })).rejects.toEqual(refused(404, 'Unknown task: acme-2'))
  })
})

describe('offsets', () => {
  const NOW = Date.now()
  const place = (scope: string) => ({ connector: 'acme', stream: 'sessions', scope })
  const cursor = (untilMs: number) =>
    JSON.stringify({
      format: 2,
      start: new Date(NOW - 400 * HOUR).toISOString(),
      'live.until': new Date(untilMs).toISOString(),
      covered: '',
    })

  async function putCursor(kafka: MemoryKafka, scope: string, text: string): Promise<void> {
    const key = cursorKey(place(scope))
    const writer = kafka.openWriter({ transactionalId: sourceTransactionalId(PREFIX, place(scope)) })
    await writer.fence()
    const records = [{ key: Buffer.from(key), value: Buffer.from(text) }]
    await writer.transact(tx => tx.write([{ topic: NAMES.offsets, partition: partitionOf(key, PARTITIONS), records }]))
  }

  /** A stopped connector with three source partitions, two of which have been read, and one that is no longer configured. */
  async function stopped() {
    const made = await room()
    await made.herder.create('acme', SCOPES, 'STOPPED')
    await putCursor(made.kafka, 'a', cursor(NOW - HOUR))
    await putCursor(made.kafka, 'b', cursor(NOW - 2 * HOUR))
    await putCursor(made.kafka, 'old', cursor(NOW - 300 * HOUR))
    return made
  }
  const partition = (scope: string) => ({ stream: 'sessions', scope })
  const how = { dryRun: false, by: 'me' }
  const cursors = async (herder: Herder) =>
    Object.fromEntries((await herder.offsets('acme')).map(({ partition, offset }) => [partition['scope'] as string, offset]))

  test('are listed for all source partitions, null where nothing was read, including those no longer configured', async () => {
    const { herder } = await stopped()
    expect(await cursors(herder)).toEqual({
      a: JSON.parse(cursor(NOW - HOUR)),
      b: JSON.parse(cursor(NOW - 2 * HOUR)),
      c: null,
      old: JSON.parse(cursor(NOW - 300 * HOUR)),
    })
  })

  test.each(['RUNNING', 'PAUSED'] as const)('of a %s connector are not changed, but a dry run is answered', async target => {
    const { herder } = await stopped()
    await herder.setTarget('acme', target)
    const changes = [{ partition: partition('a'), offset: { from: NOW - 9 * HOUR } }]
    await expect(herder.alterOffsets('acme', changes, how)).rejects.toEqual(
      refused(400, /^Connectors must be in the STOPPED state/),
    )
    expect(await herder.alterOffsets('acme', changes, { ...how, dryRun: true })).toHaveLength(1)
  })

  test('are set back for one source partition, for those of a stream, or for all', async () => {
    const { herder } = await stopped()
    const from = NOW - 9 * HOUR
    await herder.alterOffsets('acme', [{ partition: partition('a'), offset: { from } }], how)
    const first = await cursors(herder)
    expect(first['a']).toMatchObject({
      'backfill.from': new Date(from).toISOString(),
      'live.until': new Date(NOW - HOUR).toISOString(),
    })
    expect(first['b']).toEqual(JSON.parse(cursor(NOW - 2 * HOUR)))
    for (const partition of [{ stream: 'sessions' }, {}]) {
      const plans = await herder.alterOffsets('acme', [{ partition, offset: { from: from - HOUR } }], { ...how, dryRun: true })
      expect(plans.map(plan => [plan.partition['scope'], plan.rereads?.from])).toEqual(
        ['a', 'b', 'c'].map(scope => [scope, new Date(from - HOUR).toISOString()]),
      )
    }
  })

  test('a dry run changes nothing, and answers like the change', async () => {
    const { herder, kafka } = await stopped()
    const before = kafka.committed(NAMES.offsets).length
    const changes = [{ partition: {}, offset: { from: NOW - 9 * HOUR } }]
    const dry = await herder.alterOffsets('acme', changes, { ...how, dryRun: true })
    expect(kafka.committed(NAMES.offsets)).toHaveLength(before)
    expect(await herder.offsetHistory('acme')).toEqual([])
    const plans = await herder.alterOffsets('acme', changes, how)
    // A source partition without a cursor is read up to now.
    const fixed = (all: typeof plans) => all.filter(({ partition }) => partition['scope'] !== 'c')
    expect(fixed(plans)).toEqual(fixed(dry))
    expect(plans[0]).toEqual({
      partition: partition('a'),
      rereads: { from: new Date(NOW - 9 * HOUR).toISOString(), until: new Date(NOW - HOUR).toISOString() },
      requests: null,
      seconds: null,
    })
  })

  test('are reset one by one, or all together, including those no longer configured', async () => {
    const { herder } = await stopped()
    await herder.alterOffsets('acme', [{ partition: partition('old'), offset: null }], how)
    expect(Object.keys(await cursors(herder))).toEqual(['a', 'b', 'c'])
    await herder.alterOffsets('acme', null, how)
    expect(await cursors(herder)).toEqual({ a: null, b: null, c: null })
  })

  test('that are reset are null, as tools of Kafka Connect expect, and keep the recent requests to the vendor', async () => {
    const { herder, kafka } = await stopped()
    const requests = `${new Date(NOW).toISOString()}*7 +2`
    await putCursor(kafka, 'a', JSON.stringify({ ...(JSON.parse(cursor(NOW - HOUR)) as object), requests }))
    const newest = () => kafka.committed(NAMES.offsets).findLast(({ key }) => String(key) === cursorKey(place('a')))
    await herder.alterOffsets('acme', null, how)
    expect(newest()).toMatchObject({ value: null, headers: { requests: Buffer.from(requests) } })
    expect((await cursors(herder))['a']).toBeNull()
    await herder.alterOffsets('acme', [{ partition: partition('a'), offset: { from: NOW - 9 * HOUR } }], how)
    expect((await cursors(herder))['a']).toMatchObject({ requests, 'backfill.from': new Date(NOW - 9 * HOUR).toISOString() })
    await herder.alterOffsets('acme', [{ partition: partition('b'), offset: null }], how)
    expect(kafka.committed(NAMES.offsets).at(-1)).toMatchObject({ value: null, headers: {} })
  })

  test('the history has who changed what and when, newest first, and survives a restart', async () => {
    const { herder, kafka } = await stopped()
    await herder.alterOffsets('acme', [{ partition: partition('a'), offset: { from: NOW - 9 * HOUR } }], {
      dryRun: false,
      by: '10.0.0.9 anna',
    })
    await herder.alterOffsets('acme', null, { dryRun: false, by: '10.0.0.9' })
    const later = await room({ kafka })
    const history = await later.herder.offsetHistory('acme')
    expect(history.map(({ by, plans }) => [by, plans.map(({ partition }) => partition['scope'])])).toEqual([
      ['10.0.0.9', ['a', 'b', 'old']],
      ['10.0.0.9 anna', ['a']],
    ])
    expect(Date.parse(history[0]?.at ?? '')).toBeGreaterThanOrEqual(NOW)
  })

  test('a process that still reads a source partition can write no more', async () => {
    const { herder, kafka } = await stopped()
    const zombie = kafka.openWriter({ transactionalId: sourceTransactionalId(PREFIX, place('a')) })
    await zombie.fence()
    await herder.alterOffsets('acme', [{ partition: partition('a'), offset: null }], how)
    const write = zombie.transact(tx => tx.write([{ topic: NAMES.offsets, partition: 0, records: [{ key: null, value: null }] }]))
    await expect(write).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  })

  test('are changed when the tasks have ended', async () => {
    const { herder, give } = await stopped()
    give([{ connector: 'acme', task: 0 }])
    let isDone = false
    const change = herder.alterOffsets('acme', null, how).then(() => (isDone = true))
    await systemClock.sleep(400)
    expect(isDone).toBe(false)
    give([])
    await change
  })

  test.each([
    [[], /^Partitions \/ offsets need to be provided for an alter offsets request$/],
    [
      [{ partition: partition('d'), offset: { from: NOW - HOUR } }],
      /no source partition sessions\/d; there are sessions\/a, sessions\/b, sessions\/c/,
    ],
    [[{ partition: { stream: 'flow' }, offset: null }], /no source partition flow/],
    [[{ partition: { scope: 'a' }, offset: null }], /stream and scope/],
    [[{ partition: { stream: 1 }, offset: null }], /stream and scope/],
    [[{ partition: { ...partition('a'), vendor: 'x' }, offset: null }], /vendor/],
    [[{ partition: {}, offset: { 'live.until': NOW - HOUR } }], /stream and scope/],
    [[{ partition: partition('a'), offset: { 'live.until': 'soon' } }], /live\.until is not a time/],
    [[{ partition: partition('a'), offset: { from: 'soon' } }], /from takes a time/],
    [
      [
        { partition: partition('a'), offset: null },
        { partition: {}, offset: { from: NOW - HOUR } },
      ],
      /sessions\/a is asked for twice/,
    ],
  ])('%j is rejected with 400 before anything is changed', async (changes, message) => {
    const { herder, kafka } = await stopped()
    const before = kafka.committed(NAMES.offsets).length
    const good = changes.length === 0 ? [] : [{ partition: partition('b'), offset: null }]
    const hasB = changes.some(({ partition }) => Object.keys(partition).length === 0)
    await expect(herder.alterOffsets('acme', [...(hasB ? [] : good), ...changes] as never, how)).rejects.toEqual(
      refused(400, message),
    )
    expect(kafka.committed(NAMES.offsets)).toHaveLength(before)
  })
})

test('the level of a logger is set for the whole cluster', async () => {
  const { herder, kafka } = await room()
  await herder.setClusterLevel('connector.acme', 'DEBUG')
  expect(standing(kafka, NAMES.configs)).toEqual({ 'logger-cluster-connector.acme': { level: 'DEBUG' } })
  await herder.setClusterLevel('connector.acme', null)
  expect(standing(kafka, NAMES.configs)).toEqual({})
})

test('topics that a connector wrote to are listed until they are reset', async () => {
  const { herder, statuses } = await room({ file: { acme: GOOD } })
  statuses.wrote({ connector: 'acme', task: 0 }, ['p.sessions'])
  expect(herder.topics('acme')).toEqual(['p.sessions'])
  await herder.resetTopics('acme')
  expect(herder.topics('acme')).toEqual([])
})
