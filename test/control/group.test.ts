import { describe, expect, test } from 'vitest'
import { PATIENCE, startGroup, type WorkerGroup } from '../../src/control/group.ts'
import type {
  ConnectorTasks,
  RestartRequest,
  Runner,
  Status,
  Statuses,
  TargetState,
  TaskId,
  TaskState,
  Wanted,
  WantedConnector,
} from '../../src/control/port.ts'
import { silentLog } from '../../src/log.ts'
import { type HandClock, handClock } from '../support/clock.ts'
import { MemoryGroup } from './memory-group.ts'

/** Several workers with one config, their group, and everything that was started and stopped, in order. */
class World {
  readonly clock: HandClock = handClock()
  readonly group = new MemoryGroup()
  readonly calls: string[] = []
  /** The group is an old one, unless the test says otherwise. */
  youngMs = 0
  readonly statuses = new Map<string, Status<TaskState>>()
  readonly #tasks: Record<string, ConnectorTasks>
  readonly #targets = new Map<string, TargetState>()
  readonly #changed = new Set<() => void>()
  readonly #restarts = new Set<(asked: RestartRequest) => void>()
  #version = 0
  #connectors: Map<string, WantedConnector> = new Map()

  constructor(counts: Record<string, number>, quotas: { quota: string; divisible: number } | null = null) {
    this.#tasks = Object.fromEntries(
      Object.entries(counts).map(([name, count]) => [
        name,
        {
          tasks: Array.from({ length: count }, () => ({ quotas: quotas === null ? [] : [quotas.quota] })),
          divisible: new Map(quotas === null ? [] : [[quotas.quota, quotas.divisible]]),
        },
      ]),
    )
    this.#rebuild()
  }

  #rebuild(): void {
    this.#connectors = new Map(
      Object.keys(this.#tasks).map(name => [
        name,
        { name, origin: 'rest', written: {}, target: this.#targets.get(name) ?? 'RUNNING', version: `${this.#version}` },
      ]),
    )
  }

  async change(changes: { targets?: Record<string, TargetState>; counts?: Record<string, number | null> }): Promise<void> {
    for (const [name, target] of Object.entries(changes.targets ?? {})) this.#targets.set(name, target)
    for (const [name, count] of Object.entries(changes.counts ?? {})) {
      if (count === null) delete this.#tasks[name]
      else this.#tasks[name] = { tasks: Array.from({ length: count }, () => ({ quotas: [] })), divisible: new Map() }
    }
    this.#version++
    this.#rebuild()
    for (const changed of this.#changed) changed()
    await this.settle()
  }

  async restart(asked: Partial<RestartRequest> & { connector: string }): Promise<void> {
    for (const each of this.#restarts) each({ tasks: null, includeTasks: true, onlyFailed: false, ...asked })
    await this.settle()
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await this.clock.advance(0)
  }

  async worker(name: string, file: readonly string[] | null = null): Promise<TestWorker> {
    const ending = new AbortController()
    const running = new Set<string>()
    /** Ends of stops that are held up. */
    const slow = new Map<string, () => void>()
    const worker = { name, running, slow, isSlow: false, shares: new Map<string, number>() }
    const runner: Runner = {
      start: id => {
        const key = `${id.connector}/${id.task}`
        if (running.has(key)) return
        running.add(key)
        this.calls.push(`${name} starts ${key}`)
      },
      stop: async id => {
        const key = `${id.connector}/${id.task}`
        if (!running.has(key)) return
        if (worker.isSlow) await new Promise<void>(resolve => slow.set(key, resolve))
        running.delete(key)
        this.calls.push(`${name} stopped ${key}`)
      },
      quota: shares => (worker.shares = new Map(shares)),
    }
    const statuses: Statuses = {
      connector: () => null,
      task: ({ connector, task }) => this.statuses.get(`${connector}/${task}`) ?? null,
      tasksOf: () => [],
      topics: () => [],
      wrote: () => {},
      report: async ({ connector, task }, status) => {
        if (status === null) this.statuses.delete(`${connector}/${task}`)
        else this.statuses.set(`${connector}/${task}`, status as Status<TaskState>)
      },
    }
    const connectors = () => {
      if (file === null) return this.#connectors
      const ofFile = [...this.#connectors].filter(([each]) => file.includes(each))
      return new Map(ofFile.map(([each, connector]) => [each, { ...connector, origin: 'file' as const }]))
    }
    const wanted: Wanted = {
      get connectors() {
        return connectors()
      },
      offset: 0,
      readTo: async () => {},
      onChange: changed => {
        this.#changed.add(changed)
        return () => this.#changed.delete(changed)
      },
      onRestart: asked => {
        this.#restarts.add(asked)
        return () => this.#restarts.delete(asked)
      },
    }
    const { kafka, throwOut, thaw } = this.group.client()
    const group = startGroup({
      kafka,
      groupId: 'test-connect',
      me: { workerId: name, url: `http://${name}`, process: name },
      wanted,
      statuses,
      runner,
      patience: { ...PATIENCE, youngMs: this.youngMs },
      tasksOf: connector => this.#tasks[connector.name] ?? { tasks: [], divisible: new Map() },
      clock: this.clock,
      log: silentLog,
      signal: ending.signal,
    })
    await this.settle()
    return Object.assign(worker, { group, throwOut, thaw, leave: () => ending.abort() })
  }

  stateOf(key: string): string | undefined {
    const status = this.statuses.get(key)
    return status && `${status.state} on ${status.workerId}`
  }
}

interface TestWorker {
  readonly name: string
  readonly running: Set<string>
  readonly slow: Map<string, () => void>
  isSlow: boolean
  shares: ReadonlyMap<string, number>
  readonly group: WorkerGroup
  throwOut(): void
  thaw(): void
  leave(): void
}

const id = (connector: string, task: number): TaskId => ({ connector, task })

describe('the worker group', () => {
  test('a single worker runs everything at once and reports it', async () => {
    const world = new World({ a: 2, b: 1 })
    const one = await world.worker('one')
    expect([...one.running]).toEqual(['a/0', 'a/1', 'b/0'])
    expect(world.stateOf('a/1')).toBe('RUNNING on one')
    expect(one.group.view()).toEqual({
      leader: { workerId: 'one', url: 'http://one', isMe: true },
      generation: 1,
      workers: [{ workerId: 'one', url: 'http://one', tasks: [id('a', 0), id('a', 1), id('b', 0)] }],
      unassigned: [],
    })
    expect(one.group.whyNot()).toBeNull()
  })

  test('a moving task has stopped on the old worker before it starts on the new one, however long that takes', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    expect(two.running.size).toBe(0)
    one.isSlow = true
    await world.clock.advance(PATIENCE.quietMs)
    expect([...one.slow.keys()]).toHaveLength(2)
    await world.clock.advance(3_000)
    expect(two.running.size).toBe(0)
    expect(one.group.view().unassigned).toHaveLength(2)
    for (const end of one.slow.values()) end()
    await world.settle()
    expect([one.running.size, two.running.size]).toEqual([2, 2])
    const moved = [...two.running]
    for (const key of moved)
      expect(world.calls.indexOf(`one stopped ${key}`)).toBeLessThan(world.calls.indexOf(`two starts ${key}`))
    // What stays is not interrupted.
    expect(world.calls.filter(call => call.includes('stopped'))).toHaveLength(2)
    expect(moved.map(key => world.stateOf(key))).toEqual(moved.map(() => 'RUNNING on two'))
    expect(two.group.view()).toEqual({ ...one.group.view(), leader: { workerId: 'one', url: 'http://one', isMe: false } })
  })

  test('workers started one after another share the tasks as soon as the last one is there', async () => {
    const world = new World({ a: 6 })
    world.youngMs = PATIENCE.youngMs
    const workers = [await world.worker('one'), await world.worker('two'), await world.worker('three')]
    expect(workers.map(({ running }) => running.size)).toEqual([2, 2, 2])
  })

  test('stopped tasks do not wait for tasks that take more than a second to stop', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    one.isSlow = true
    await world.clock.advance(PATIENCE.quietMs)
    const [first, second] = [...one.slow]
    first?.[1]()
    await world.clock.advance(999)
    expect(two.running.size).toBe(0)
    await world.clock.advance(1)
    await world.settle()
    expect([...two.running]).toEqual([first?.[0]])
    second?.[1]()
    await world.settle()
    expect(two.running.size).toBe(2)
  })

  test('a paused connector keeps its tasks and runs nothing; a stopped one has none', async () => {
    const world = new World({ a: 1, b: 1 })
    const one = await world.worker('one')
    await world.change({ targets: { a: 'PAUSED' } })
    expect([...one.running]).toEqual(['b/0'])
    expect(world.stateOf('a/0')).toBe('PAUSED on one')
    expect(one.group.view().workers[0]?.tasks).toEqual([id('a', 0), id('b', 0)])
    await world.change({ targets: { a: 'RUNNING' } })
    expect([...one.running].toSorted()).toEqual(['a/0', 'b/0'])
    expect(world.stateOf('a/0')).toBe('RUNNING on one')
    await world.change({ targets: { a: 'STOPPED' } })
    expect([...one.running]).toEqual(['b/0'])
    expect(world.stateOf('a/0')).toBeUndefined()
    expect(one.group.view()).toMatchObject({ workers: [{ tasks: [id('b', 0)] }], unassigned: [] })
  })

  test('a connector that is paused and resumed before it has stopped runs again', async () => {
    const world = new World({ a: 1 })
    const one = await world.worker('one')
    one.isSlow = true
    await world.change({ targets: { a: 'PAUSED' } })
    await world.change({ targets: { a: 'RUNNING' } })
    one.slow.get('a/0')?.()
    await world.settle()
    expect([...one.running]).toEqual(['a/0'])
    expect(world.stateOf('a/0')).toBe('RUNNING on one')
  })

  test('new and removed connectors are assigned at once', async () => {
    const world = new World({ a: 2 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    await world.change({ counts: { b: 2, a: null } })
    expect([...one.running, ...two.running].toSorted()).toEqual(['b/0', 'b/1'])
    expect(world.stateOf('a/0')).toBeUndefined()
  })

  test('a stopping worker gives up its tasks first; they wait for its replacement', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    await world.clock.advance(PATIENCE.quietMs)
    await world.settle()
    const had = [...two.running]
    expect(had).toHaveLength(2)
    two.isSlow = true
    two.leave()
    await world.settle()
    expect(one.group.view().workers).toHaveLength(2)
    for (const end of two.slow.values()) end()
    await two.group.done
    await world.settle()
    expect(one.group.view().workers).toHaveLength(1)
    expect(one.running.size).toBe(2)
    expect(had.map(key => world.statuses.get(key)?.state)).toEqual(['UNASSIGNED', 'UNASSIGNED'])
    await world.clock.advance(3_000)
    const again = await world.worker('two again')
    expect([...again.running]).toEqual(had)
    expect(one.running.size).toBe(2)
  })

  test('they do not wait for ever', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    await world.clock.advance(PATIENCE.quietMs)
    two.leave()
    await two.group.done
    await world.clock.advance(PATIENCE.holdMs - 1)
    expect(one.running.size).toBe(2)
    await world.clock.advance(1)
    await world.settle()
    expect(one.running.size).toBe(4)
  })

  test('a worker removed from the group stops its tasks, reports nothing about them, and gets a share again', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    await world.clock.advance(PATIENCE.quietMs)
    const had = [...one.running]
    one.throwOut()
    await world.settle()
    expect(two.running.size).toBe(4)
    expect(two.group.view().leader).toMatchObject({ workerId: 'two', isMe: true })
    one.thaw()
    await world.settle()
    expect(one.running.size).toBe(0)
    expect(had.map(key => world.stateOf(key))).toEqual(had.map(() => 'RUNNING on two'))
    await world.clock.advance(PATIENCE.quietMs)
    await world.settle()
    expect([one.running.size, two.running.size]).toEqual([2, 2])
  })

  test('a status written by a worker that did not know of its removal is corrected by the owner of the task', async () => {
    const world = new World({ a: 4 })
    const one = await world.worker('one')
    await world.worker('two')
    await world.clock.advance(PATIENCE.quietMs)
    const [had = ''] = one.running
    const left = world.statuses.get(had) as Status<TaskState>
    one.throwOut()
    await world.settle()
    world.statuses.set(had, left)
    expect(world.stateOf(had)).toBe('RUNNING on one')
    one.thaw()
    await world.settle()
    expect(world.stateOf(had)).toBe('RUNNING on two')
  })

  test('a file connector runs on the workers that have it in their file', async () => {
    const world = new World({ a: 1, b: 1 })
    const one = await world.worker('one', ['a', 'b'])
    const two = await world.worker('two', ['a'])
    await world.clock.advance(PATIENCE.quietMs)
    expect([...one.running].toSorted()).toEqual(['b/0'])
    expect([...two.running]).toEqual(['a/0'])
    await world.clock.advance(60_000)
    expect(one.group.whyNot()).toBeNull()
  })

  test('a task without an owner for 30 s makes workers unready, and is named', async () => {
    const world = new World({ a: 2 })
    const one = await world.worker('one')
    const two = await world.worker('two')
    one.isSlow = true
    await world.clock.advance(PATIENCE.quietMs)
    await world.clock.advance(29_999)
    expect([one.group.whyNot(), two.group.whyNot()]).toEqual([null, null])
    await world.clock.advance(1)
    const why = 'no worker has had 1 of the tasks for 30 s: a/0'
    expect([one.group.whyNot(), two.group.whyNot()]).toEqual([why, why])
    for (const end of one.slow.values()) end()
    await world.settle()
    expect([one.group.whyNot(), two.group.whyNot()]).toEqual([null, null])
  })

  test('a requested restart restarts the matching tasks of this worker', async () => {
    const world = new World({ a: 3, b: 1 })
    const one = await world.worker('one')
    one.group.report(id('a', 1), { state: 'FAILED', trace: 'SRC_REFUSED in sessions: no.\nAsk.' })
    expect(world.statuses.get('a/1')).toMatchObject({ state: 'FAILED', trace: 'SRC_REFUSED in sessions: no.\nAsk.' })
    world.calls.length = 0
    await world.restart({ connector: 'a', onlyFailed: true })
    expect(world.calls).toEqual(['one stopped a/1', 'one starts a/1'])
    expect(world.stateOf('a/1')).toBe('RUNNING on one')
    world.calls.length = 0
    await world.restart({ connector: 'a', tasks: [2], includeTasks: false })
    await world.restart({ connector: 'b', includeTasks: false })
    expect(world.calls).toEqual(['one stopped a/2', 'one starts a/2'])
  })

  test('a quota used by several workers is divided, and the shares add up to no more than the whole', async () => {
    const world = new World({ a: 10 }, { quota: 'token', divisible: 10 })
    const one = await world.worker('one')
    expect(one.shares).toEqual(new Map())
    const two = await world.worker('two')
    await world.clock.advance(PATIENCE.quietMs)
    await world.settle()
    expect([one.running.size, two.running.size]).toEqual([5, 5])
    expect([one.shares.get('token'), two.shares.get('token')]).toEqual([0.5, 0.5])
  })
})
