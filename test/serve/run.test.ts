import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { answerQuery } from '../../src/serve/query.ts'
import { startServer } from '../../src/serve/run.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { finish } from '../../src/slices.ts'
import { memoryTopics } from '../support/memory-topics.ts'
import { seeded, T } from './points.ts'

const DAY = T('2026-10-20T00:00:00Z')
const HOUR = 3_600_000

test('a server reads minutes, hours, days and their nulls, in whatever chunks they come', async () => {
  for (const seed of [1, 2, 3]) {
    const topics = await memoryTopics(seeded(seed))
    // The key of this bot's minutes looks like that of an hour.
    const bot_id = 'b@1h'
    const minutes = Array.from({ length: 2880 }, (_, n) => ({ at: DAY + n * 60_000, bot_id, sessions: 1 }))
    const hours = Array.from({ length: 24 }, (_, n) => ({ at: DAY + n * HOUR, bot_id, bucket: '1h', sessions: 60 }))
    const day = { at: DAY, bot_id, bucket: '1d', sessions: 1440 }
    await topics.points(minutes)
    await topics.points([...hours, day], minutes.slice(0, 1440))
    // Late, into the hour and the day.
    await topics.points([
      { ...hours[3], at: DAY + 3 * HOUR, revision: 2, sessions: 65 },
      { ...day, revision: 2, sessions: 1445 },
    ])

    const ending = new AbortController()
    const server = startServer({
      ...topics,
      partitions: 1,
      log: silentLog,
      metrics: createMetrics({ processMetrics: false }),
      clock: systemClock,
      signal: ending.signal,
    })
    await server.ready
    const { store, completeness } = server.serve
    const ask = (bucket: string) => {
      const range = { from: '2026-10-20', until: '2026-10-22' }
      return finish(answerQuery(parseQuery({ measure: 'sessions', bucket, ...range }, DAY), store, completeness)).data.series[0]
    }
    expect([store.cells, ask('1d')?.values, ask('15m')?.sum]).toEqual([24 + 1 + 1440, [1445, 1440], 2885])
    expect(ask('1h')?.values.slice(0, 5)).toEqual([60, 60, 60, 65, 60])
    expect(new Set(ask('15m')?.values.slice(0, 96))).toEqual(new Set([null]))
    expect(new Set(ask('15m')?.values.slice(96))).toEqual(new Set([15]))

    await topics.points([], hours)
    while (store.cells > 1441) await new Promise(resolve => setTimeout(resolve, 5))
    expect([ask('1d')?.values, ask('1h')?.values[3]]).toEqual([[1445, 1440], null])
    ending.abort()
    await server.done
  }
})
