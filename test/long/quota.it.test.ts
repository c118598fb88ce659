import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { botIdOf, startKoreaiSimulator } from '../../connectors/koreai/simulator.ts'
import { BOTS, createWorld } from '../../src/sim/index.ts'
import { configFile, start, until } from '../support/product.ts'

const DAY_MS = 86_400_000
const PER_MINUTE = 60

describe('a vendor that allows so many requests a minute', () => {
  const stack = inject('stack')

  test('has nothing to refuse to a worker that is killed and started again within it', async () => {
    const untilMs = Date.now() - 3 * DAY_MS
    const bots = BOTS.slice(0, 1)
    const world = createWorld({ seed: 7, sessions: 1500, fromMs: untilMs - 3 * DAY_MS, untilMs, bots })
    const vendor = await startKoreaiSimulator({ world })
    onTestFinished(() => vendor.stop())
    expect(vendor.quirks.perMinute).toBe(PER_MINUTE)
    const file = configFile({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix: `test-${Math.random().toString(36).slice(2, 10)}`, partitions: 3 },
      http: { port: 0 },
      connectors: {
        acme: {
          'connector.class': 'koreai',
          ...vendor.config,
          'page.size': 10,
          'start.at': new Date(world.options.fromMs).toISOString(),
          'poll.interval.ms': 1000,
        },
      },
    })
    onTestFinished(() => file.remove())
    const path = new RegExp(`/${botIdOf(bots[0] as (typeof bots)[number])}/`)
    const asked = () => vendor.log.filter(request => path.test(request.path)).length
    // Without what the lives before it tell, each of these would ask for more than a third of what the minute allows.
    for (let life = 1; life <= 6; life++) {
      const before = asked()
      const worker = start(['run', '--config', file.path, '--roles', 'worker'])
      onTestFinished(() => worker.kill('SIGKILL').then(() => {}))
      const base = await worker.base()
      await until(`life ${life} is ready`, async () => ((await fetch(`${base}/readyz`)).status === 200 ? true : undefined), 30)
      // It asks for twenty, or waits because they were asked for before.
      const sinceMs = Date.now()
      await until('it has asked', async () => (asked() >= before + 20 || Date.now() > sinceMs + 1500 ? true : undefined), 30)
      await worker.kill('SIGKILL')
    }
    expect(vendor.refusedForQuota()).toBe(0)
    expect(asked()).toBeGreaterThan(PER_MINUTE / 2)
  })
})
