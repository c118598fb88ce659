import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { hasPython, readIndependently } from '../support/independent/read-topics.ts'
import { querySeries, type Running, start } from '../support/product.ts'
import { asServed, recount } from '../support/recount.ts'
import { expectTheWorld, type History, startHistory } from '../support/whole-way.ts'
import { Random } from '../../src/sim/index.ts'

const KILLS = 20
const SESSIONS = 5000

/**
 * A backfill of 5,000 sessions in 100 pages, read by a worker that is killed 20 times on the way and counted by an aggregator that is killed
 * 20 times, both at random. The vendor answers slowly enough for the kills to fall in the middle of the work: the worker's after so many pages.
 */
describe.runIf(hasPython())('with worker and aggregator killed twenty times each', () => {
  const stack = inject('stack')
  const random = new Random(Number(process.env['KILL_SEED'] ?? Date.now() % 100_000), 0, 0)
  let history: History
  let server: Running
  const standing: Running[] = []

  beforeAll(async () => {
    history = await startHistory(stack, { seed: 11, sessions: SESSIONS, days: 8, pageSize: 50 })
    history.vendor.faults.sometimes({ kind: 'delay', ms: 40 }, { probability: 1 })
    server = start(['run', '--config', history.config, '--roles', 'server'])
    standing.push(server)
  })
  afterAll(async () => {
    await Promise.all(standing.map(running => running.kill('SIGKILL')))
    await history.stop()
  })

  const begin = (role: string) => {
    const running = start(['run', '--config', history.config, '--roles', role])
    standing.push(running)
    return running
  }

  async function killWorkers(): Promise<number> {
    let pagesRead = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const worker = begin('worker')
      const before = history.vendor.stats().requests
      const pages = random.int(1, 14)
      while (history.vendor.stats().requests < before + pages && worker.process.exitCode === null) await pause(5)
      await pause(random.int(0, 60))
      await worker.kill('SIGKILL')
      pagesRead += history.vendor.stats().requests - before
    }
    begin('worker')
    return pagesRead
  }

  async function killAggregators(): Promise<void> {
    for (let kill = 0; kill < KILLS; kill++) {
      const aggregator = begin('aggregator')
      const base = await aggregator.base()
      // Half of them are killed while they join and restore, half while they count.
      if (kill % 2 === 0) while ((await fetch(`${base}/readyz`)).status !== 200) await pause(20)
      await pause(random.int(0, 900))
      await aggregator.kill('SIGKILL')
    }
    begin('aggregator')
  }

  test('the topics hold the world, and the series equal a recount of the topics', async () => {
    const [pagesRead] = await Promise.all([killWorkers(), killAggregators()])
    expect(pagesRead, 'pages read by workers that were killed').toBeGreaterThan(KILLS)
    const base = await server.base()
    await history.complete(base)
    const { sessions, messages, events } = history.names
    const records = await readIndependently(stack.brokers, stack.registry, [sessions, messages, events])
    expectTheWorld(records, history)
    const served = await asServed(query => querySeries(base, query), history.fromMs - 86_400_000, Date.now())
    expect(Object.fromEntries(served)).toEqual(Object.fromEntries(recount(records, history.names)))
  }, 360_000)
})

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}
