/** Kafka Connect's REST API over workers of one group: requests during a rebalance get 409, and succeed on retry. */
import { createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { type MemoryKafka, memoryKafka } from '../../../src/conformance/memory-kafka.ts'
import { decodeProgress } from '../../../src/conformance/topics.ts'
import { startGroup, type WorkerGroup } from '../../../src/control/group.ts'
import { createHerder } from '../../../src/control/herder.ts'
import type { Herder, TargetState } from '../../../src/control/port.ts'
import { silentLog } from '../../../src/log.ts'
import { startRest } from '../../support/rest.ts'
import { MemoryGroup } from '../memory-group.ts'
import { GOOD, NAMES, openStores, PARTITIONS, PREFIX, SOON, surroundings } from '../world.ts'

const NO_LEADER = 'Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.'
const refused = { status: 409, body: { error_code: 409, message: NO_LEADER } }

interface Worker {
  readonly ask: Awaited<ReturnType<typeof startRest>>['ask']
  readonly group: WorkerGroup
  readonly target: () => TargetState | undefined
  readonly throwOut: () => void
  readonly thaw: () => void
}

describe('a worker', () => {
  test('that was removed from its group answers 409, and forwards changes when it is back', async () => {
    const world = new World()
    const [one, two] = [await world.worker(), await world.worker()]
    expect(await two.ask('PUT', '/connectors/acme/pause')).toMatchObject({ status: 202 })
    two.throwOut()
    const settle = world.group.hold()
    two.thaw()
    expect(await two.ask('PUT', '/connectors/acme/resume')).toMatchObject(refused)
    expect(await two.ask('DELETE', '/connectors/acme/offsets')).toMatchObject(refused)
    expect(await two.ask('GET', '/connectors')).toMatchObject({ status: 200, body: ['acme'] })
    settle()
    await expect.poll(() => two.group.view().leader?.isMe, SOON).toBe(false)
    expect(await two.ask('PUT', '/connectors/acme/resume')).toMatchObject({ status: 202 })
    await expect.poll(() => one.target(), SOON).toBe('RUNNING')
  })

  test('whose leader is gone answers 409 until the group has another one', async () => {
    const world = new World()
    const one = await world.worker(await closedUrl())
    const [two, three] = [await world.worker(), await world.worker()]
    for (const { ask } of [two, three]) expect(await ask('PUT', '/connectors/acme/pause')).toMatchObject(refused)
    one.throwOut()
    await expect.poll(() => [two, three].map(({ group }) => group.view().leader?.isMe), SOON).toEqual([true, false])
    expect(await three.ask('PUT', '/connectors/acme/pause')).toMatchObject({ status: 202 })
    for (const each of [two, three]) await expect.poll(() => each.target(), SOON).toBe('PAUSED')
    expect(await two.ask('PUT', '/connectors/acme/resume')).toMatchObject({ status: 202 })
  })
})

/** Workers with one config file, over one Kafka in memory. The first one leads. */
class World {
  readonly group = new MemoryGroup()
  readonly kafka: MemoryKafka = memoryKafka()
  #count = 0

  /** @param url Address that other workers see. Default: where it listens. */
  async worker(url?: string): Promise<Worker> {
    const ending = new AbortController()
    const { signal } = ending
    const { configs, statuses } = await openStores({ kafka: this.kafka, file: { acme: GOOD } })
    let herder: Herder | null = null
    const rest = await startRest({ clock: systemClock, herder: () => herder })
    const workerId = `worker-${this.#count++}:8083`
    const { kafka, throwOut, thaw } = this.group.client()
    const common = { clock: systemClock, log: silentLog, signal }
    const group = startGroup({
      ...common,
      kafka,
      groupId: 'test-connect',
      me: { workerId, url: url ?? rest.url, process: workerId },
      wanted: configs,
      statuses,
      runner: { start: () => {}, stop: async () => {}, quota: () => {} },
      tasksOf: () => ({ tasks: [{ quotas: [] }], divisible: new Map() }),
    })
    onTestFinished(async () => {
      ending.abort()
      await group.done
    })
    herder = createHerder({
      ...common,
      workerId,
      group: () => group.view(),
      configs,
      statuses,
      kafka: this.kafka,
      names: NAMES,
      prefix: PREFIX,
      partitions: PARTITIONS,
      decodeProgress,
      surroundings: surroundings(),
      clusterId: () => 'cluster',
      whyNot: () => null,
    })
    await expect.poll(() => group.view().leader, SOON).not.toBeNull()
    return { ask: rest.ask, group, target: () => configs.connectors.get('acme')?.target, throwOut, thaw }
  }
}

/** Nobody listens there. */
async function closedUrl(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return `http://127.0.0.1:${port}`
}
