/** Two worker processes with one config: one reads, the other follows; whichever dies, reading goes on, and neither takes it from the other in turns. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { BOTS, createWorld } from '../../src/sim/index.ts'
import { launch, type Ship } from '../support/fleet.ts'
import { configFile, type Running, start, until } from '../support/product.ts'

const DAY_MS = 86_400_000
/** Three of these are longer than any patience here: that nobody reads must be known by the signs of life of the other process. */
const POLL_MS = 600_000

describe('two workers with one config', () => {
  const stack = inject('stack')
  const untilMs = Date.now() - DAY_MS
  const world = createWorld({ seed: 5, sessions: 30, fromMs: untilMs - DAY_MS, untilMs, bots: BOTS.slice(0, 2) })
  let fleet: Ship[]
  let file: ReturnType<typeof configFile>
  const standing: Running[] = []

  beforeAll(async () => {
    fleet = await launch({ world })
    const botmaker = fleet.find(({ vendor }) => vendor === 'botmaker')
    if (!botmaker) throw new Error('there is no botmaker')
    file = configFile({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix: `test-${Math.random().toString(36).slice(2, 10)}`, partitions: 3 },
      http: { port: 0 },
      connectors: {
        acme: { 'connector.class': 'botmaker', ...botmaker.keys, 'poll.interval.ms': POLL_MS },
      },
    })
  })
  afterAll(async () => {
    await Promise.all(standing.map(running => running.kill('SIGKILL')))
    await Promise.all(fleet.map(({ simulator }) => simulator.stop()))
    file.remove()
  })

  const begin = () => {
    const running = start(['run', '--config', file.path, '--roles', 'worker'])
    standing.push(running)
    return running
  }
  const isReady = async (running: Running) => (await fetch(`${await running.base()}/readyz`)).status === 200
  const reads = (running: Running) => until('it reads', async () => ((await isReady(running)) ? true : undefined))
  const isFenced = (running: Running) => until('it is fenced', async () => ((await isReady(running)) ? undefined : true))

  test('the younger takes over and keeps it while both live; the older goes on when the younger is killed, and once more', async () => {
    const first = begin()
    await reads(first)
    const second = begin()
    await reads(second)
    await isFenced(first)
    // Longer than the silence after which a process counts as gone.
    for (let look = 0; look < 15; look++) {
      expect([await isReady(first), await isReady(second)]).toEqual([false, true])
      await pause(1000)
    }

    await second.kill('SIGKILL')
    await reads(first)
    const third = begin()
    await reads(third)
    await isFenced(first)
    await third.kill('SIGKILL')
    await reads(first)
  }, 240_000)
})

function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}
