import { describe, expect, test } from 'vitest'
import {
  Leader,
  type Member,
  type Patience,
  type Plan,
  sharesOf,
  type TaskToPlace,
  taskKey,
  type Wants,
} from '../../src/control/assign.ts'
import { draw } from '../ingest/random.ts'

const PATIENCE = { quietMs: 10_000, holdMs: 7_000, youngMs: 0 }

/** Tasks of a connector that count against these quotas. */
function tasksOf(connector: string, count: number, ...quotas: string[]): TaskToPlace[] {
  return Array.from({ length: count }, (_, task) => ({ key: taskKey({ connector, task }), connector, quotas }))
}
const wants = (tasks: readonly TaskToPlace[], divisible: Record<string, number> = {}): Wants => ({
  tasks,
  divisible: new Map(Object.entries(divisible)),
})

/**
 * A group driven by plans as Kafka would: members stop revoked tasks and rejoin, and a new leader knows the old one only by the last assignment. Fails as soon
 * as two members own a task.
 */
class Group {
  nowMs = 0
  patience: Patience = PATIENCE
  wants: Wants
  plan: Plan | null = null
  /** Rounds since the last `settle`. */
  rounds = 0
  readonly members = new Map<string, { owned: Set<string>; generation: number; isLeaving: boolean; lacks: Set<string> }>()
  /** How often each task was assigned to a member. */
  readonly given = new Map<string, number>()
  #leader: { id: string; leader: Leader } | null = null
  #generation = 0

  constructor(wants: Wants, ...members: string[]) {
    this.wants = wants
    for (const id of members) this.join(id)
  }

  join(id: string, ...lacks: string[]): void {
    this.members.set(id, { owned: new Set(), generation: -1, isLeaving: false, lacks: new Set(lacks) })
  }

  /** Announces that it leaves; it is gone when its tasks have stopped. */
  leave(id: string): void {
    const member = this.members.get(id)
    if (member) member.isLeaving = true
  }

  die(id: string): void {
    this.members.delete(id)
  }

  has(id: string): string[] {
    return [...(this.members.get(id)?.owned ?? [])]
  }

  counts(): number[] {
    return [...this.members.values()].map(({ owned }) => owned.size).toSorted((a, b) => a - b)
  }

  /** One round, after which members have done what it asks. @returns whether it asks for another round */
  round(): boolean {
    const [first] = this.members.keys()
    if (first === undefined) return false
    if (this.#leader?.id !== first) {
      const remembered = { left: this.plan?.held ?? new Map(), intended: intendedOf(this.plan) }
      this.#leader = { id: first, leader: new Leader(this.patience, remembered) }
    }
    this.#generation++
    const members = [...this.members].map(([id, { owned, ...rest }]): Member => ({ id, owned: [...owned], ...rest }))
    const plan = this.#leader.leader.round(members, this.wants, this.nowMs)
    this.plan = plan
    let isOver = true
    for (const [id, member] of this.members) {
      const list = new Set(plan.lists.get(id) ?? [])
      for (const key of list) {
        const other = [...this.members].find(([each, { owned }]) => each !== id && owned.has(key))
        if (other) throw new Error(`${key} is given to ${id}, and ${other[0]} still has it`)
        if (!member.owned.has(key)) this.given.set(key, (this.given.get(key) ?? 0) + 1)
        member.owned.add(key)
      }
      member.generation = this.#generation
    }
    for (const [id, member] of this.members) {
      const list = plan.lists.get(id) ?? []
      for (const key of member.owned) {
        if (list.includes(key)) continue
        member.owned.delete(key)
        isOver = false
      }
      if (member.isLeaving) {
        this.members.delete(id)
        isOver = false
      }
    }
    return !isOver
  }

  /** Runs rounds until none asks for another, moving time as the leader wants it. */
  settle(mostMs = Infinity): void {
    const untilMs = this.nowMs + mostMs
    for (this.rounds = 1; this.rounds < 100; this.rounds++) {
      if (this.round()) continue
      const { againInMs } = this.plan as Plan
      if (againInMs === null || this.nowMs + againInMs > untilMs) return
      this.nowMs += Math.max(1, againInMs)
    }
    throw new Error('the group does not settle')
  }
}

function intendedOf(plan: Plan | null): Map<string, string> {
  return new Map([...(plan?.moving ?? [])].filter((move): move is [string, string] => move[1] !== null))
}

describe('assigning tasks to workers', () => {
  test('a single worker gets everything in the first round', () => {
    const group = new Group(wants(tasksOf('a', 7)), 'one')
    expect(group.round()).toBe(false)
    expect(group.has('one')).toHaveLength(7)
    expect(group.plan?.againInMs).toBeNull()
  })

  test('workers that are there from the start share evenly', () => {
    const group = new Group(wants(tasksOf('a', 8)), 'one', 'two', 'three')
    group.round()
    expect(group.counts()).toEqual([2, 3, 3])
  })

  test('a joining worker gets free tasks at once, and its share when the group has been quiet; each task moves once, and has no owner in between', () => {
    const group = new Group(wants(tasksOf('a', 8)), 'one')
    group.round()
    group.join('two')
    group.wants = wants([...tasksOf('a', 8), ...tasksOf('b', 2)])
    group.round()
    expect(group.has('two')).toEqual(['b/0', 'b/1'])
    expect(group.has('one')).toHaveLength(8)
    expect(group.plan?.againInMs).toBe(PATIENCE.quietMs)
    group.nowMs += PATIENCE.quietMs
    expect(group.round()).toBe(true)
    expect([group.has('one').length, group.has('two').length]).toEqual([5, 2])
    expect(group.plan?.moving.size).toBe(3)
    group.settle()
    expect(group.counts()).toEqual([5, 5])
    expect([...group.given.values()].filter(times => times > 1)).toEqual([2, 2, 2])
  })

  test('workers that join a new group soon after the first one get their share at once', () => {
    const group = new Group(wants(tasksOf('a', 9)), 'one')
    group.patience = { ...PATIENCE, youngMs: 5_000 }
    group.round()
    group.nowMs += 300
    group.join('two')
    group.settle(0)
    expect(group.counts()).toEqual([4, 5])
    group.nowMs += 4_699
    group.join('three')
    group.settle(0)
    expect(group.counts()).toEqual([3, 3, 3])
    group.nowMs += 1
    group.join('four')
    group.settle(0)
    expect(group.has('four')).toEqual([])
    expect(group.plan?.againInMs).toBe(PATIENCE.quietMs)
  })

  test('a group whose leader has died is not a new one', () => {
    const group = new Group(wants(tasksOf('a', 9)), 'one', 'two')
    group.patience = { ...PATIENCE, youngMs: 5_000 }
    group.settle()
    group.nowMs += 60_000
    group.die('one')
    group.settle(0)
    group.join('three')
    group.settle(0)
    expect([group.has('two').length, group.has('three').length]).toEqual([9, 0])
  })

  test('the tasks of a dead worker go to the others at once, and nothing else moves', () => {
    const group = new Group(wants(tasksOf('a', 9)), 'one', 'two', 'three')
    group.round()
    const before = new Set(group.has('two'))
    group.die('three')
    expect(group.round()).toBe(false)
    expect(group.counts()).toEqual([4, 5])
    expect([...before].every(key => group.has('two').includes(key))).toBe(true)
    expect([...group.given.values()].filter(times => times > 1)).toHaveLength(3)
  })

  test('the tasks of a worker that left on purpose wait for its replacement, and move once', () => {
    const group = new Group(wants(tasksOf('a', 9)), 'one', 'two', 'three')
    group.settle()
    for (const id of ['one', 'two', 'three']) {
      group.leave(id)
      expect(group.round()).toBe(true)
      expect(group.round()).toBe(false)
      expect(group.plan?.held.size).toBe(3)
      expect(group.plan?.againInMs).toBe(PATIENCE.holdMs)
      group.nowMs += 3_000
      group.join(`${id} again`)
      group.settle(0)
      expect(group.has(`${id} again`)).toHaveLength(3)
      group.nowMs += 1_000
    }
    group.settle()
    expect(group.counts()).toEqual([3, 3, 3])
    expect([...group.given.values()]).toEqual(Array.from({ length: 9 }, () => 2))
  })

  test('tasks do not wait if the replacement is there first', () => {
    const group = new Group(wants(tasksOf('a', 9)), 'one', 'two', 'three')
    group.settle()
    for (const id of ['one', 'two', 'three']) {
      group.join(`${id} again`)
      group.settle(0)
      group.leave(id)
      group.settle(0)
      expect(group.has(`${id} again`)).toHaveLength(3)
      group.nowMs += 5_000
    }
    expect([...group.given.values()]).toEqual(Array.from({ length: 9 }, () => 2))
  })

  test('when the only owner leaves, a waiting worker gets everything at once', () => {
    const group = new Group(wants(tasksOf('a', 5)), 'one')
    group.settle()
    group.join('two')
    group.settle(0)
    group.leave('one')
    group.settle(0)
    expect(group.has('two')).toHaveLength(5)
  })

  test('without a replacement the others get the tasks after the wait', () => {
    const group = new Group(wants(tasksOf('a', 6)), 'one', 'two', 'three')
    group.settle()
    group.leave('one')
    group.settle(PATIENCE.holdMs - 1)
    expect(group.counts()).toEqual([2, 2])
    expect(group.plan?.held.size).toBe(2)
    group.nowMs += PATIENCE.holdMs
    group.settle(0)
    expect(group.counts()).toEqual([3, 3])
  })

  test('a connector missing in the file of a worker goes to others; if nobody has it, to nobody', () => {
    const group = new Group(wants([...tasksOf('a', 4), ...tasksOf('b', 2)]), 'one')
    group.join('two', 'a', 'b')
    group.settle()
    expect(group.has('one')).toHaveLength(6)
    expect(group.has('two')).toEqual([])
    group.die('one')
    group.settle()
    expect(group.plan?.homeless).toHaveLength(6)
  })

  test('a task that is no longer wanted is on no list, and a new one is assigned at once', () => {
    const group = new Group(wants(tasksOf('a', 4)), 'one', 'two')
    group.settle()
    group.wants = wants([...tasksOf('a', 2), ...tasksOf('c', 2)])
    group.settle(0)
    expect([...group.has('one'), ...group.has('two')].toSorted()).toEqual(['a/0', 'a/1', 'c/0', 'c/1'])
  })
})

describe('tasks that share a quota', () => {
  test('are on one worker where they fit', () => {
    const vendors = ['a', 'b', 'c', 'd', 'e'].map(name => tasksOf(name, 8, `token of ${name}`))
    const divisible = Object.fromEntries(vendors.map((_, index) => [`token of ${'abcde'[index]}`, 60]))
    const group = new Group(wants(vendors.flat(), divisible), 'one')
    group.settle()
    group.join('two')
    group.join('three')
    group.settle()
    for (const vendor of vendors) expect(holdersOf(group, vendor)).toHaveLength(1)
    expect(group.counts()).toEqual([8, 16, 16])
  })

  test('are divided evenly where they are too many for one worker', () => {
    const tasks = tasksOf('a', 30, 'token')
    const group = new Group(wants(tasks, { token: 10 }), 'one', 'two', 'three')
    group.settle()
    expect(group.counts()).toEqual([10, 10, 10])
  })

  test('stay on one worker if the quota cannot be divided, however many they are', () => {
    const tasks = [...tasksOf('a', 30, 'token'), ...tasksOf('b', 30)]
    const group = new Group(wants(tasks, { token: 1 }), 'one')
    group.settle()
    group.join('two')
    group.join('three')
    group.settle()
    expect(holdersOf(group, tasks.slice(0, 30))).toHaveLength(1)
    expect(group.counts()).toEqual([15, 15, 30])
  })

  test('move to one worker at once when their quota becomes indivisible', () => {
    const tasks = tasksOf('a', 12, 'token')
    const group = new Group(wants(tasks, { token: 10 }), 'one', 'two', 'three')
    group.settle()
    expect(group.counts()).toEqual([4, 4, 4])
    group.wants = wants(tasks, { token: 1 })
    group.settle(0)
    expect(group.counts()).toEqual([0, 0, 12])
  })

  test('are counted as one across connectors, and through tasks with several quotas', () => {
    const tasks = [...tasksOf('a', 2, 'x'), ...tasksOf('b', 1, 'x', 'y'), ...tasksOf('c', 2, 'y'), ...tasksOf('d', 5)]
    const group = new Group(wants(tasks, { x: 1, y: 1 }), 'one', 'two')
    group.settle()
    expect(holdersOf(group, tasks.slice(0, 5))).toHaveLength(1)
  })
})

describe('shares of a quota', () => {
  const owners = (...lists: [string, string[]][]) => {
    const holders = new Map<string, Set<string>>()
    for (const [id, keys] of lists) for (const key of keys) holders.set(key, new Set([...(holders.get(key) ?? []), id]))
    return holders
  }

  test('there are none if one worker has all of it', () => {
    expect(sharesOf(owners(['one', ['a/0', 'a/1']]), wants(tasksOf('a', 2, 'x'), { x: 10 }))).toEqual(new Map())
  })

  test('are in proportion to the tasks, and allow at least one request each', () => {
    const tasks = wants(tasksOf('a', 10, 'x'), { x: 10 })
    const shares = sharesOf(owners(['one', tasks.tasks.slice(0, 9).map(({ key }) => key)], ['two', ['a/9']]), tasks)
    expect(shares.get('x')).toEqual(
      new Map([
        ['one', 0.8],
        ['two', 0.1],
      ]),
    )
  })

  test('add up to 1 at most, and divide every count into whole requests, whatever the numbers are', () => {
    const random = randomOf(3)
    for (let round = 0; round < 300; round++) {
      const workers = 2 + random(6)
      const units = workers + random(100)
      const tasks = wants(tasksOf('a', workers + random(40), 'x'), { x: units })
      const lists = Array.from({ length: workers }, (_, id): [string, string[]] => [`w${id}`, []])
      tasks.tasks.forEach(({ key }, index) => lists[index < workers ? index : random(workers)]?.[1].push(key))
      const parts = [
        ...(sharesOf(owners(...lists), tasks)
          .get('x')
          ?.values() ?? []),
      ]
      expect(parts).toHaveLength(workers)
      const counts = parts.map(part => Math.floor(part * units + 1e-9))
      expect(Math.min(...counts)).toBeGreaterThan(0)
      expect(counts.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(units)
      expect(parts.reduce((sum, part) => sum + part, 0)).toBeLessThanOrEqual(1 + 1e-9)
    }
  })

  test('a task that two workers own for a moment counts for both', () => {
    const tasks = wants(tasksOf('a', 1, 'x'), { x: 4 })
    expect(sharesOf(owners(['one', ['a/0']], ['two', ['a/0']]), tasks).get('x')?.size).toBe(2)
  })
})

test('over random histories every task has one owner, no owned task is assigned, quotas are kept together, and the group settles evenly', () => {
  for (let seed = 0; seed < 60; seed++) {
    const random = randomOf(seed)
    const divisible: Record<string, number> = {}
    const connectors = Array.from({ length: 1 + random(8) }, (_, index) => {
      const name = `c${index}`
      const quotas = random(3) === 0 ? [] : [`q${random(6)}`]
      for (const quota of quotas) divisible[quota] ??= [1, 2, 10, Infinity][random(4)] ?? 1
      return () => tasksOf(name, 1 + random(12), ...quotas)
    })
    const all = () =>
      wants(
        connectors.flatMap(tasks => tasks()),
        divisible,
      )
    const group = new Group(all(), 'w0')
    let next = 1
    for (let step = 0; step < 40; step++) {
      const ids = [...group.members.keys()]
      const one = ids[random(ids.length)] ?? ''
      switch (random(6)) {
        case 0:
          group.join(`w${next++}`)
          break
        case 1:
          if (ids.length > 1) group.die(one)
          break
        case 2:
          group.leave(one)
          break
        case 3:
          group.wants = all()
          break
        default:
          group.nowMs += random(12_000)
      }
      if (group.members.size === 0) group.join(`w${next++}`)
      if (random(2) === 0) group.round()
    }
    if ([...group.members.values()].every(({ isLeaving }) => isLeaving)) group.join(`w${next++}`)
    group.settle()
    const had = [...group.members.keys()].flatMap(id => group.has(id))
    expect(had.toSorted()).toEqual(group.wants.tasks.map(({ key }) => key).toSorted())
    for (const [quota, most] of Object.entries(divisible)) {
      const tasks = group.wants.tasks.filter(({ quotas }) => quotas.includes(quota))
      expect(holdersOf(group, tasks).length).toBeLessThanOrEqual(most)
    }
    // Tasks without a quota fill up the less loaded workers.
    const free = group.wants.tasks.filter(({ quotas }) => quotas.length === 0).length
    const counts = group.counts()
    if (free >= group.wants.tasks.length) expect((counts.at(-1) ?? 0) - (counts[0] ?? 0)).toBeLessThanOrEqual(1)
    // And a settled group does not change.
    const before = JSON.stringify([...group.members].map(([id, { owned }]) => [id, [...owned].toSorted()]))
    group.nowMs += 60_000
    group.settle()
    expect(JSON.stringify([...group.members].map(([id, { owned }]) => [id, [...owned].toSorted()]))).toBe(before)
  }
})

test('a thousand tasks over three workers are placed and balanced within a second of computing', () => {
  const tasks = Array.from({ length: 200 }, (_, index) => tasksOf(`c${index}`, 5)).flat()
  const group = new Group(wants(tasks), 'one')
  group.settle()
  group.join('two')
  group.join('three')
  group.round()
  group.nowMs += PATIENCE.quietMs
  const members: Member[] = [...group.members].map(([id, { owned, ...rest }]) => ({ id, owned: [...owned], ...rest }))
  const leader = new Leader(PATIENCE)
  leader.round(members, group.wants, 0)
  const before = process.cpuUsage()
  const plan = leader.round(members, group.wants, PATIENCE.quietMs)
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1_000).toBeLessThan(1_000)
  expect(plan.moving.size).toBe(666)
})

function holdersOf(group: Group, tasks: readonly TaskToPlace[]): string[] {
  return [...group.members.keys()].filter(id => tasks.some(({ key }) => group.has(id).includes(key)))
}

/** Whole numbers below a bound. */
function randomOf(seed: number): (below: number) => number {
  const drawn = draw(seed)
  return below => drawn.between(0, below - 1)
}
