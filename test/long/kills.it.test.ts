import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { BOTS, createWorld, findSimulators, Random } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { configFile, querySeries, type Running, start, until } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { assertTopics } from '../support/topics.ts'

const KILLS = 20
const SESSIONS = 500
const DAY_MS = 86_400_000

/**
 * All vendors are read at once by a worker that is killed 20 times, each time when every vendor has answered some requests of that life, and counted by an
 * aggregator that is killed 20 times, at random. The world is over, so that what must stand on the topics is known.
 */
describe('a backfill of every vendor, with worker and aggregator killed twenty times each', () => {
  const stack = inject('stack')
  const random = new Random(Number(process.env['KILL_SEED'] ?? Date.now() % 100_000), 0, 0)
  const names = topicNames(`test-${Math.random().toString(36).slice(2, 10)}`)
  const untilMs = Date.now() - 3 * DAY_MS
  const world = createWorld({ seed: 13, sessions: SESSIONS, fromMs: untilMs - 3 * DAY_MS, untilMs, bots: BOTS.slice(0, 2) })
  let fleet: Ship[]
  let file: ReturnType<typeof configFile>
  let server: Running
  const standing: Running[] = []

  const begin = (role: string) => {
    const running = start(['run', '--config', file.path, '--roles', role])
    standing.push(running)
    return running
  }

  beforeAll(async () => {
    fleet = await launch({ world, pageRows: 8 })
    for (const { simulator } of fleet) simulator.faults.sometimes({ kind: 'delay', ms: 15 }, { probability: 1 })
    const prefix = names.sessions.slice(0, -'.sessions'.length)
    file = configFile({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix, partitions: 3 },
      http: { port: 0 },
      aggregator: { sessionTimeout: '2s' },
      connectors: Object.fromEntries(
        fleet.map(({ vendor, keys }) => [
          vendor,
          { 'connector.class': vendor, ...keys, 'start.at': new Date(startOf(world)).toISOString(), 'poll.interval.ms': 1000 },
        ]),
      ),
    })
    server = begin('server')
  })
  afterAll(async () => {
    await Promise.all(standing.map(running => running.kill('SIGKILL')))
    await Promise.all(fleet.map(({ simulator }) => simulator.stop()))
    file.remove()
  })

  const asked = () => fleet.map(({ simulator }) => simulator.stats().requests)

  async function killWorkers(): Promise<void> {
    for (let kill = 0; kill < KILLS; kill++) {
      const before = asked()
      const worker = begin('worker')
      const least = random.int(1, 8)
      await until(
        `every vendor is asked in life ${kill}`,
        async () => (asked().every((requests, i) => requests >= (before[i] as number) + least) ? true : undefined),
        5,
      )
      await pause(random.int(0, 100))
      await worker.kill('SIGKILL')
    }
  }

  async function killAggregators(): Promise<void> {
    for (let kill = 0; kill < KILLS; kill++) {
      const aggregator = begin('aggregator')
      const base = await aggregator.base()
      if (kill % 2 === 0)
        await until('it is ready', async () => ((await fetch(`${base}/readyz`)).status === 200 ? true : undefined), 20)
      await pause(random.int(0, 900))
      await aggregator.kill('SIGKILL')
    }
    begin('aggregator')
  }

  /** Until when the sessions, messages and events of a vendor have been read, and counted. */
  const completeUntil = async (base: string, measure: string, vendor: string) => {
    const { complete_until } = await querySeries(base, { measure, vendor, bucket: '1d' })
    return complete_until === null ? -Infinity : Date.parse(complete_until)
  }

  test('reads all of them', async () => {
    expect([...(await findSimulators()).keys()]).toEqual(expect.arrayContaining(fleet.map(({ vendor }) => vendor)))
    expect(fleet).toHaveLength(5)
  })

  test('the topics hold what each vendor has, and the series equal a recount of the topics', async () => {
    await Promise.all([killWorkers(), killAggregators()])
    const base = await server.base()
    const atLastKill = await Promise.all(fleet.map(({ vendor }) => completeUntil(base, 'events', vendor)))
    expect(
      atLastKill.filter(ms => ms > untilMs),
      'vendors that were read whole before the last kill',
    ).toEqual([])
    begin('worker')
    for (const { vendor } of fleet)
      for (const measure of ['sessions', 'events'])
        await until(`${measure} of ${vendor} are complete`, async () =>
          (await completeUntil(base, measure, vendor)) > untilMs + DAY_MS ? true : undefined,
        )

    const { sessions, messages, events, rejects } = names
    const records = await readIndependently(stack.brokers, stack.registry, [sessions, messages, events, rejects])
    expect(records.filter(({ topic }) => topic === rejects)).toEqual([])
    const nowMs = Date.now()
    for (const { vendor, truth } of fleet) assertTopics(records, names, vendor, truth(nowMs))
    const served = await asServed(query => querySeries(base, query), startOf(world) - DAY_MS, nowMs)
    expect(Object.fromEntries(served)).toEqual(Object.fromEntries(recount(records, names)))
  }, 400_000)
})

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}
