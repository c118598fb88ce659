/** The control room's stores on a real Kafka: two workers that follow each other, and a connector of the product that is set back by ten days. */
import { randomUUID } from 'node:crypto'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { readSetup, type Setup } from '../../src/cli/setup.ts'
import { systemClock } from '../../src/clock.ts'
import { openConfigs } from '../../src/control/configs.ts'
import { createHerder, keepStatuses } from '../../src/control/herder.ts'
import type { GroupView, RestartRequest } from '../../src/control/port.ts'
import { openStatuses } from '../../src/control/statuses.ts'
import { cursorKey } from '../../src/ingest/cursor.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { decoderFor } from '../../src/kafka/codec.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { silentLog } from '../../src/log.ts'
import type { Progress } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { sourceTransactionalId, topicNames, topicSpecs } from '../../src/topics.ts'
import { GOOD, SOON, surroundings } from '../control/world.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { querySeries, type Running, start, until } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { type History, startHistory } from '../support/whole-way.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const PARTITIONS = 3
const stack = inject('stack')
let kafka: Kafka

beforeAll(() => {
  kafka = connectKafka({ brokers: [stack.brokers], clientId: 'control-test', log: silentLog })
})
afterAll(() => kafka.close())

/** A worker's part of the control room. `view` is what its group looks like. */
async function worker(of: {
  prefix: string
  workerId?: string
  setup?: Setup
  view: () => Pick<GroupView, 'leader' | 'generation'>
}) {
  const { prefix, workerId = 'one:8083', setup } = of
  const names = topicNames(prefix)
  const ending = new AbortController()
  const common = { kafka, prefix, clock: systemClock, log: silentLog, signal: ending.signal }
  const where = setup === undefined ? surroundings() : { env: {}, folder: dirname(setup.config.file), plugins: setup.plugins }
  const configs = openConfigs({ ...common, topic: names.configs, file: setup?.written ?? {}, surroundings: where })
  const statuses = openStatuses({ ...common, topic: names.status, partitions: PARTITIONS })
  const group = () => ({ ...of.view(), workers: [], unassigned: [] })
  const parts = { ...common, workerId, group, configs, statuses }
  const progress = decoderFor<Progress>(connectRegistry({ url: stack.registry, log: silentLog }), schemaText('progress'))
  const herder = createHerder({
    ...parts,
    names,
    partitions: PARTITIONS,
    surroundings: where,
    decodeProgress: async value => {
      await progress.prepare([value])
      return progress.decode(value)
    },
    clusterId: () => null,
    whyNot: () => null,
  })
  const duties = keepStatuses(parts)
  const end = async () => {
    await statuses.close()
    await configs.close()
    ending.abort()
    await Promise.all([configs.done, statuses.done, duties])
  }
  onTestFinished(end)
  await Promise.all([configs.ready, statuses.ready])
  return { herder, configs, statuses, end }
}

const leads = (workerId: string, generation: number, isMe: boolean) => () => ({
  leader: { workerId, url: `http://${workerId}`, isMe },
  generation,
})

test('what the leader writes is known to the other worker, also after that one has become the leader', async () => {
  const prefix = `control-${randomUUID().slice(0, 8)}`
  const specs = topicSpecs({ prefix, partitions: PARTITIONS, replicationFactor: 1, longestLookbackMs: HOUR })
  await kafka.ensureTopics(specs, { create: true })
  let leader = 'one:8083'
  const view = (me: string) => () => leads(leader, leader === 'one:8083' ? 1 : 2, leader === me)()
  const one = await worker({ prefix, workerId: 'one:8083', view: view('one:8083') })
  const two = await worker({ prefix, workerId: 'two:8083', view: view('two:8083') })
  const restarts: RestartRequest[] = []
  two.configs.onRestart(restart => restarts.push(restart))

  await one.herder.create('acme', { ...GOOD, bots: 'a,b' }, 'RUNNING')
  await two.configs.readTo(one.configs.offset, AbortSignal.timeout(60_000))
  expect(two.herder.info('acme')).toEqual(one.herder.info('acme'))
  expect(two.configs.connectors.get('acme')?.version).toBe(one.configs.connectors.get('acme')?.version)
  await one.herder.restart('acme', { includeTasks: true, onlyFailed: false }).catch(() => {})
  await expect.poll(() => restarts, SOON).toEqual([{ connector: 'acme', includeTasks: true, onlyFailed: false, tasks: null }])
  await expect.poll(() => two.statuses.connector('acme'), SOON).toMatchObject({ state: 'RUNNING', workerId: 'one:8083' })
  await two.statuses.report({ connector: 'acme', task: 0 }, { state: 'FAILED', workerId: 'two:8083', generation: 1, trace: 'no' })
  await expect.poll(() => one.statuses.task({ connector: 'acme', task: 0 })?.trace, SOON).toBe('no')

  leader = 'two:8083'
  await two.herder.setTarget('acme', 'STOPPED')
  await expect(one.configs.write(1, () => [{ key: 'target-state-acme', value: { state: 'STARTED' } }])).rejects.toMatchObject({
    code: 'KAFKA_FENCED',
  })
  await expect.poll(() => one.statuses.connector('acme'), SOON).toMatchObject({ state: 'STOPPED', workerId: 'two:8083' })
  await expect.poll(() => one.statuses.tasksOf('acme'), SOON).toEqual([])

  const place = { connector: 'acme', stream: 'sessions', scope: 'a' }
  const zombie = kafka.openWriter({ transactionalId: sourceTransactionalId(prefix, place) })
  onTestFinished(() => zombie.close())
  await zombie.fence()
  const write = (text: string) => {
    const key = cursorKey(place)
    const records = [{ key: Buffer.from(key), value: Buffer.from(text) }]
    const batch = { topic: topicNames(prefix).offsets, partition: partitionOf(key, PARTITIONS), records }
    return zombie.transact(tx => tx.write([batch]))
  }
  await write(JSON.stringify({ format: 2, 'live.until': new Date(Date.now() - HOUR).toISOString() }))
  const changes = [{ partition: { stream: 'sessions', scope: 'a' }, offset: { from: Date.now() - DAY } }]
  await two.herder.alterOffsets('acme', changes, { dryRun: false, by: 'test' })
  await expect(write('{"live.until":"2026-01-01T00:00:00Z"}')).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  const three = await worker({ prefix, workerId: 'three:8083', view: leads('two:8083', 2, false) })
  expect((await three.herder.offsets('acme'))[0]?.offset).toHaveProperty('backfill.from')
  expect(await three.herder.offsetHistory('acme')).toMatchObject([{ by: 'test', plans: [{ partition: { scope: 'a' } }] }])
})

describe('a connector that is set back by ten days', () => {
  const LOOKBACK = 6 * DAY
  let history: History
  let product: Running

  beforeAll(async () => {
    const keys = { 'lookback.ms': LOOKBACK, 'lookback.interval.ms': HOUR }
    history = await startHistory(stack, { seed: 12, sessions: 300, days: 14, pageSize: 60, keys })
    product = start(['run', '--config', history.config])
    await history.complete(await product.base())
  })
  afterAll(async () => {
    await product.kill('SIGKILL')
    await history.stop()
  })

  test('publishes what is older than the lookback as revisions, nothing inside it again, and series equal a recount', async () => {
    const { names } = history
    const topics = [names.sessions, names.messages, names.events]
    const before = await readIndependently(stack.brokers, stack.registry, topics)
    await product.kill('SIGTERM')

    const read = await readSetup(history.config, { env: {} } as never)
    if (!read.ok) throw new Error(JSON.stringify(read.faults))
    const prefix = names.sessions.slice(0, -'.sessions'.length)
    const { herder } = await worker({ prefix, setup: read.setup, view: leads('one:8083', 1, true) })
    await herder.setTarget('acme', 'STOPPED')
    const setBackMs = Date.now()
    const changes = [{ partition: {}, offset: { from: new Date(setBackMs - 10 * DAY).toISOString() } }]
    const dry = await herder.alterOffsets('acme', changes, { dryRun: true, by: 'test' })
    expect(dry).toHaveLength((await herder.offsets('acme')).length)
    for (const { rereads, requests, seconds } of dry) {
      expect(Date.parse(rereads?.from ?? '')).toBe(setBackMs - 10 * DAY)
      // Windows are a day at most, and pages hold 60 sessions.
      expect(requests).toBeGreaterThanOrEqual(10)
      expect(requests).toBeLessThan(500)
      expect(seconds).toBeGreaterThan(0)
    }
    expect(await herder.alterOffsets('acme', changes, { dryRun: false, by: 'test' })).toEqual(dry)
    await herder.setTarget('acme', 'RUNNING')

    product = start(['run', '--config', history.config])
    const base = await product.base()
    // A cursor that was set back has a backfill until all of it has been read.
    await until('everything has been read again', async () => {
      const offsets = await herder.offsets('acme')
      return offsets.every(({ offset }) => offset !== null && !('backfill.from' in offset)) ? true : undefined
    })
    await history.complete(base)
    const after = await readIndependently(stack.brokers, stack.registry, topics)
    const revisions = (records: typeof after) => {
      const found = new Map<string, { startedMs: number; revisions: number[] }>()
      for (const { topic, key, value } of records) {
        if (topic !== names.sessions || key === null || value === null) continue
        const of = found.get(key) ?? { startedMs: value['started_at'] as number, revisions: [] }
        of.revisions.push(value['revision'] as number)
        found.set(key, of)
      }
      return [...found.values()]
    }
    // A window is a day at most: what lies so near to an edge may be on either side.
    const between = (fromMs: number, untilMs: number) =>
      revisions(after).filter(({ startedMs }) => startedMs >= fromMs && startedMs < untilMs)
    const again = between(setBackMs - 10 * DAY + HOUR, setBackMs - LOOKBACK - DAY - HOUR)
    const inside = between(setBackMs - LOOKBACK + HOUR, setBackMs)
    const older = between(0, setBackMs - 11 * DAY)
    expect(Math.min(again.length, inside.length, older.length)).toBeGreaterThan(20)
    for (const each of again) {
      expect(each.revisions).toHaveLength(2)
      expect(each.revisions[0]).toBe(1)
      expect(each.revisions[1]).toBeGreaterThanOrEqual(Math.floor(setBackMs / 1000))
    }
    for (const each of [...inside, ...older]) expect(each.revisions).toEqual([1])

    const counted = recount(after, names)
    const keys = (records: typeof after) => new Set(records.map(({ topic, key }) => `${topic} ${key}`))
    expect(keys(after)).toEqual(keys(before))
    await expect
      .poll(async () => Object.fromEntries(await asServed(query => querySeries(base, query), history.fromMs - DAY, Date.now())), {
        timeout: 60_000,
        interval: 1_000,
      })
      .toEqual(Object.fromEntries(counted))
  })
})
