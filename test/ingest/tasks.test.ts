import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { ConnectorToRun } from '../../src/ingest/source-partition.ts'
import { cutIntoTasks, partitionsByTask, quotasOf } from '../../src/ingest/tasks.ts'
import { type Connector, defineConnector } from '../../src/source/index.ts'
import type { Quota } from '../../src/source/contract.ts'
import { base } from './world.ts'

/** Two streams over these bots; the quota is counted by the part of a bot's name before the dash. */
function connectorOf(bots: readonly string[], tasksMax: number, quota: Quota = { perMinute: 60 }): ConnectorToRun {
  const stream = {
    window: { longestMs: 60_000, lagMs: 0, lookbackMs: 0, durableResume: true },
    scopes: () => bots.map(name => ({ name, botId: name })),
    row: z.object({ id: z.string() }),
    async *read() {
      yield { rows: [], resume: null }
    },
    identify: (row: { id: string }) => row.id,
    normalise: () => [],
  }
  const connector: Connector = defineConnector({
    manifest: {
      id: 'two',
      title: 'Two',
      apiVersion: '1',
      docs: 'https://two.example',
      quota: { ...quota, sharedBy: { what: 'group', of: (_config, { name }) => name.split('-')[0] ?? '' } },
      pollIntervalMs: 60_000,
      sessionStream: 'sessions',
    },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: { sessions: stream, events: stream },
  })
  return { name: 'acme', connector, base: { ...base, streams: ['sessions', 'events'], tasksMax }, config: {} }
}
const shown = (of: ConnectorToRun) => partitionsByTask(of).map(task => task.map(({ stream, scope }) => `${stream}/${scope}`))

describe('cutting source partitions into tasks', () => {
  test('one task has all of them, the streams of a scope side by side', () => {
    expect(shown(connectorOf(['a-1', 'a-2'], 1))).toEqual([['sessions/a-1', 'events/a-1', 'sessions/a-2', 'events/a-2']])
  })

  test('there are as many tasks as source partitions at most', () => {
    expect(shown(connectorOf(['a-1', 'a-2'], 10))).toEqual([['sessions/a-1'], ['events/a-1'], ['sessions/a-2'], ['events/a-2']])
  })

  test('scopes that share a quota are in one task where there are fewer tasks than quotas', () => {
    const of = connectorOf(['a-1', 'b-1', 'c-1', 'a-2'], 2)
    expect(shown(of)).toEqual([
      ['sessions/a-1', 'events/a-1', 'sessions/a-2', 'events/a-2'],
      ['sessions/b-1', 'events/b-1', 'sessions/c-1', 'events/c-1'],
    ])
    expect(quotasOf(of).tasks.map(({ quotas }) => quotas.length)).toEqual([1, 2])
  })

  test('where there are more, no task has two quotas', () => {
    const of = connectorOf(['a-1', 'b-1', 'a-2', 'a-3'], 3)
    expect(cutIntoTasks(of).map(task => task.length)).toEqual([3, 3, 2])
    const { tasks } = quotasOf(of)
    expect(tasks.map(({ quotas }) => quotas.length)).toEqual([1, 1, 1])
    expect(tasks[0]?.quotas).toEqual(tasks[1]?.quotas)
    expect(tasks[2]?.quotas).not.toEqual(tasks[1]?.quotas)
  })

  test('every source partition is in one task, whatever the numbers are', () => {
    for (let bots = 1; bots <= 7; bots++)
      for (let tasksMax = 1; tasksMax <= 16; tasksMax++)
        for (const groups of [1, 2, 5]) {
          const of = connectorOf(
            Array.from({ length: bots }, (_, bot) => `${'abcde'[bot % groups]}-${bot}`),
            tasksMax,
          )
          const tasks = shown(of)
          expect(new Set(tasks.flat()).size).toBe(2 * bots)
          expect(tasks.flat()).toHaveLength(2 * bots)
          expect(tasks).toHaveLength(Math.min(tasksMax, 2 * bots))
          expect(Math.min(...tasks.map(task => task.length))).toBeGreaterThan(0)
        }
  })
})

describe('what a quota can be divided into', () => {
  test.each<[Quota, number]>([
    [{ perSecond: 10, perMinute: 60 }, 10],
    [{ perHour: 1800, concurrency: 3 }, 3],
    [{ concurrency: 1, perMinute: 60 }, 1],
    [{ perMinute: 60, gapMs: 500 }, 1],
    [{ perSecond: 0, perMinute: 20 }, 20],
  ])('%j: %i workers', (quota, most) => {
    expect([...quotasOf(connectorOf(['a-1'], 1, quota)).divisible.values()]).toEqual([most])
  })

  test('without limits there is nothing to be kept together', () => {
    expect(quotasOf(connectorOf(['a-1'], 1, { perSecond: 0 }))).toEqual({ tasks: [{ quotas: [] }], divisible: new Map() })
  })
})
