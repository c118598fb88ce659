/** Workers of one group: they share what is to be read, and whoever dies, freezes, leaves or joins, each thing is published once. */
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { BOTS, createWorld } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { configFile, type Running, start, until } from '../support/product.ts'
import { assertTopics } from '../support/topics.ts'

const DAY_MS = 86_400_000
/** Session timeout, two rounds, and what a busy machine takes. */
const PATIENCE_MS = 120_000

describe('three workers with one config', () => {
  const stack = inject('stack')
  const names = topicNames(`test-${Math.random().toString(36).slice(2, 10)}`)
  const untilMs = Date.now() - 3 * DAY_MS
  const world = createWorld({ seed: 5, sessions: 60, fromMs: untilMs - DAY_MS, untilMs, bots: BOTS.slice(0, 2) })
  let fleet: Ship[]
  let file: ReturnType<typeof configFile>
  const standing: Running[] = []

  beforeAll(async () => {
    fleet = await launch({ world, pageRows: 8 })
    file = configFile({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix: names.sessions.slice(0, -'.sessions'.length), partitions: 3 },
      http: { port: 0 },
      connectors: Object.fromEntries(
        fleet.map(({ vendor, keys }) => [
          vendor,
          {
            'connector.class': vendor,
            ...keys,
            'tasks.max': 3,
            'start.at': new Date(startOf(world)).toISOString(),
            'poll.interval.ms': 1000,
          },
        ]),
      ),
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
  /** Tasks that the group gave it in the last round. */
  const tasksOf = ({ log }: Running) =>
    Number(log.findLast(({ msg, tasks }) => msg === 'joined the group' && tasks !== undefined)?.['tasks'] ?? 0)
  const isReady = async (running: Running) => (await fetch(`${await running.base()}/readyz`)).status === 200
  const ready = (running: Running) =>
    until('it is ready', async () => ((await isReady(running)) ? true : undefined), 100, PATIENCE_MS)
  const shared = (what: string, of: readonly Running[]) =>
    until(
      what,
      async () => {
        const tasks = of.map(tasksOf)
        const sum = tasks.reduce((all, some) => all + some, 0)
        const isEven = Math.max(...tasks) - Math.min(...tasks) <= most
        return sum === total && isEven ? sum : undefined
      },
      100,
      PATIENCE_MS,
    )
  /** Streams that a worker reads, and how they are. */
  async function streamsOf(running: Running): Promise<Map<string, string>> {
    const page = await (await fetch(`${await running.base()}/metrics`)).text()
    const streams = new Map<string, string>()
    for (const [, labels = ''] of page.matchAll(/^colloquy_stream_state\{(.*)\} 1$/gm)) {
      const { connector, stream, state } = Object.fromEntries(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
      ) as Record<string, string>
      streams.set(`${connector}/${stream}`, state ?? '')
    }
    return streams
  }

  let total = 0
  /** How uneven the tasks may be: those whose quota cannot be divided stay together. */
  const most = 3
  let first: Running
  let second: Running
  let third: Running

  test('one that is alone has everything; those that join get their share', async () => {
    first = begin()
    await ready(first)
    total = tasksOf(first)
    expect(total).toBeGreaterThan(5)
    expect(new Set([...(await streamsOf(first)).keys()].map(name => name.split('/')[0]))).toEqual(
      new Set(fleet.map(({ vendor }) => vendor)),
    )
    second = begin()
    third = begin()
    expect(await shared('the three share', [first, second, third])).toBe(total)
    await Promise.all([first, second, third].map(ready))
    // Nobody was fenced: what moved was given up before it was taken.
    for (const { log } of [first, second, third]) expect(log.filter(({ code }) => code === 'KAFKA_FENCED')).toEqual([])
  }, 300_000)

  test('what a worker had that was killed is read by the others', async () => {
    await third.kill('SIGKILL')
    expect(await shared('the other two share', [first, second])).toBe(total)
    await Promise.all([first, second].map(ready))
  }, 200_000)

  test('what a worker had that is frozen is read by the others, and it takes part again when it thaws', async () => {
    second.process.kill('SIGSTOP')
    expect(await shared('the other has all', [first])).toBe(total)
    await ready(first)
    second.process.kill('SIGCONT')
    expect(await shared('the two share again', [first, second])).toBe(total)
    await Promise.all([first, second].map(ready))
  }, 300_000)

  test('what a worker had that was stopped goes to the one in its place', async () => {
    const { code } = await second.kill('SIGTERM')
    expect(code).toBe(0)
    third = begin()
    expect(await shared('the one in its place has its share', [first, third])).toBe(total)
    await Promise.all([first, third].map(ready))
  }, 300_000)

  test('what the leader had is read by the other when it is killed', async () => {
    await first.kill('SIGKILL')
    expect(await shared('the other has all', [third])).toBe(total)
    await ready(third)
    first = begin()
    expect(await shared('the two share', [first, third])).toBe(total)
    await Promise.all([first, third].map(ready))
  }, 300_000)

  test('and every session, message and event of every vendor is on the topics once', async () => {
    await until(
      'all streams are live',
      async () => {
        const states = [first, third].map(async running => [...(await streamsOf(running)).values()])
        return (await Promise.all(states)).flat().every(state => state === 'live') ? true : undefined
      },
      200,
      PATIENCE_MS,
    )
    for (const running of [first, third]) expect((await running.kill('SIGTERM')).code).toBe(0)
    const { sessions, messages, events } = names
    const records = await readIndependently(stack.brokers, stack.registry, [sessions, messages, events])
    const nowMs = Date.now()
    for (const { vendor, truth } of fleet) assertTopics(records, names, vendor, truth(nowMs))
  }, 300_000)
})
