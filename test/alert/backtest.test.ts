import { expect, test } from 'vitest'
import { type Backtest, backtest } from '../../src/alert/backtest.ts'
import { createJudge, type Minute } from '../../src/alert/judge.ts'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { type MemoryTopics, memoryTopics } from '../support/memory-topics.ts'
import { progressOf } from '../support/progress.ts'
import { at, brief, type Change, MINUTE_MS, world } from './world.ts'

const HOUR_MS = 60 * MINUTE_MS
const DAYS = 21
const SPIKES: Change[] = [
  { bot: 'shop', from: at(3, 12), until: at(3, 13), share: 5 },
  { bot: 'shop', from: at(20, 12), until: at(20, 13), share: 5 },
]
const minutes = world([{ bot: 'shop', channel: 'web', sessions: 6 }], DAYS, SPIKES, 2)

const pointOf = ({ vendor, bot_id, bucket_start, values }: Pick<Minute, 'vendor' | 'bot_id' | 'bucket_start' | 'values'>) => ({
  at: bucket_start,
  vendor,
  bot_id,
  sessions: values.sessions ?? 0,
  agent_transfers: values.agent_transfers ?? 0,
})

async function write(topics: MemoryTopics): Promise<void> {
  await topics.points(minutes.map(pointOf))
  await topics.progress(
    progressOf({
      connector: 'acme',
      stream: 'chats',
      scope: '',
      vendor: 'acme',
      account: 'acme',
      bot_id: null,
      feeds: ['session', 'transfer'],
      source_partitions: 1,
      complete_until: at(DAYS),
      committed_at: at(DAYS),
      covered: [{ from: at(0), until: at(DAYS) }],
      through: [],
    }),
  )
}

/** Behind its minutes, the hours and the day of a day, and then the nulls; as far as the roll-up has come. */
async function rollUp(topics: MemoryTopics, day: number, isDone: boolean): Promise<void> {
  const own = minutes.filter(({ bucket_start }) => bucket_start >= at(day) && bucket_start < at(day + 1))
  const sum = (all: readonly Minute[], start: number, bucket: string) => ({
    ...pointOf({ vendor: 'acme', bot_id: 'shop', bucket_start: start, values: {} }),
    bucket,
    sessions: all.reduce((total, { values }) => total + (values.sessions ?? 0), 0),
    agent_transfers: all.reduce((total, { values }) => total + (values.agent_transfers ?? 0), 0),
  })
  const hourOf = ({ bucket_start }: Minute) => Math.floor(bucket_start / HOUR_MS) * HOUR_MS
  const hours = [...Map.groupBy(own, hourOf)].map(([start, all]) => sum(all, start, '1h'))
  await topics.points([...hours, sum(own, at(day), '1d')], isDone ? own.map(pointOf) : [])
}

const run = (topics: MemoryTopics, of: { fromMs?: number } = {}): Promise<Backtest> =>
  backtest({
    ...topics,
    partitions: 1,
    rules: [DEFAULT_RULE],
    zoneOf: () => 'UTC',
    createJudge,
    fromMs: of.fromMs ?? null,
    untilMs: null,
    log: silentLog,
    clock: systemClock,
    signal: new AbortController().signal,
  })

test('a backtest judges minutes; hours teach it what is usual, and it says from when on they are all there is', {
  timeout: 120_000,
}, async () => {
  const plain = await memoryTopics()
  await write(plain)
  const whole = await run(plain)
  expect([whole.fromMs, whole.taughtFromMs]).toEqual([minutes[0]?.bucket_start, null])
  expect(brief(whole.alerts)).toEqual(expect.arrayContaining(['FIRING shop/web', 'RESOLVED shop/web']))
  expect(whole.alerts.some(({ starts_at }) => starts_at < at(6))).toBe(true)

  for (const isDone of [true, false]) {
    const topics = await memoryTopics()
    await write(topics)
    for (let day = 0; day < 6; day++) await rollUp(topics, day, isDone || day < 5)
    const rolled = await run(topics)
    const first = minutes.find(({ bucket_start }) => bucket_start >= at(6))?.bucket_start
    expect([rolled.fromMs, rolled.taughtFromMs, rolled.untilMs]).toEqual([first, at(0), whole.untilMs])
    // Twelve days of minutes on, all that is learnt is the same.
    const later = ({ alerts }: Backtest) => alerts.filter(({ starts_at }) => starts_at >= at(18, 3))
    expect(later(whole).length).toBeGreaterThan(0)
    expect(later(rolled)).toEqual(later(whole))
    expect(rolled.alerts.every(({ starts_at }) => starts_at >= at(6))).toBe(true)
  }
})

test('where only hours are left, there is nothing to judge', { timeout: 120_000 }, async () => {
  const topics = await memoryTopics()
  await write(topics)
  for (let day = 0; day < DAYS; day++) await rollUp(topics, day, true)
  expect(await run(topics)).toMatchObject({ alerts: [], fromMs: null, untilMs: null, taughtFromMs: at(0) })
})
