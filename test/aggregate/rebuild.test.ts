/** `colloquy rebuild` over days that were rolled up, on topics in memory. */
import { expect, test } from 'vitest'
import { rebuild, type Rebuilt } from '../../src/aggregate/rebuild.ts'
import type { Retention } from '../../src/aggregate/state.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import type { Kafka, WriteRecord } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import type { SeriesPoint } from '../../src/records.ts'
import { feed, registry, write } from './inputs.ts'
import { makeMessage, random } from './make.ts'
import { compared } from './series-reader.ts'
import { DAY_MS, event, expectedOf, names, pointSchema, session, SHORT, type Step, tick, world, type World } from './world.ts'

const T = (time: string) => Date.parse(`2026-${time}Z`)
const NOW = T('11-20T12:00:00')

/** Three weeks of one bot, until now. */
function history(): Step[] {
  const r = random(6)
  const at = () => NOW - r.int(20 * DAY_MS)
  const steps = Array.from({ length: 300 }, (_, n): Step => {
    if (n % 3 === 0) return event(`${n}`, at())
    if (n % 3 === 1) return session(`s${n % 50}`, n, at(), { user_id: `u${n % 7}`, observed_at: NOW })
    const record = {
      ...makeMessage(r, `${n}`, at(), 1),
      channel: 'web' as const,
      language: 'en',
      bot_id: 'bot-0',
      observed_at: NOW,
    }
    return { kind: 'message', record }
  })
  return [...steps, tick(NOW)]
}

async function rebuilt(w: World, retention: Retention = SHORT, fromMs: number | null = null): Promise<Rebuilt> {
  const kafka = {
    ...w.kafka,
    groupsSharing: async () => [],
    partitionCount: async () => 1,
    topicSettings: async () => new Map(),
  } as unknown as Kafka
  const options = { kafka, registry, names, partitions: 1, groupId: 'g', retention, fromMs, log: silentLog }
  const clock = { now: () => w.nowMs, sleep: async () => {} }
  let last: Rebuilt | null = null
  for await (const one of rebuild({ ...options, clock, signal: new AbortController().signal })) last = one
  return last as unknown as Rebuilt
}

/** Counted and rolled up, as far as the aggregator gets with this much in the second transaction. */
async function counted(steps: readonly Step[], rollUp = Infinity): Promise<World> {
  const w = await world()
  w.nowMs = NOW
  await feed(w.kafka, steps)
  await w.batch(steps, 0)
  await w.batch([], rollUp)
  return w
}

/** Every fourth point counts what is not there. */
async function spoil(w: World): Promise<void> {
  const points = encoderFor<SeriesPoint>(pointSchema, 1)
  const wrong = [...(await w.newest())].flatMap(([key, point], i): WriteRecord[] =>
    point === null || i % 4 !== 0
      ? []
      : [
          {
            key: Buffer.from(key),
            value: points.encode({ ...point, revision: point.revision + 1, events: 99 }),
          },
        ],
  )
  await write(w.kafka, names.series, wrong)
}

async function expectRight(w: World, steps: readonly Step[], fromMs = T('11-08T00:00:00')): Promise<void> {
  await w.read()
  const { shown, should } = compared(w.reader, expectedOf(steps), fromMs)
  expect(shown).toEqual(should)
  expect(w.reader.disagreements()).toEqual([])
}

test('puts wrong hours and days right, and finds nothing to do the second time', async () => {
  const steps = history()
  const w = await counted(steps)
  await expectRight(w, steps)
  await spoil(w)
  await w.read()
  expect(compared(w.reader, expectedOf(steps), 0).shown).not.toEqual(compared(w.reader, expectedOf(steps), 0).should)
  const { points } = await rebuilt(w)
  expect(points).toBeGreaterThan(10)
  await expectRight(w, steps)
  expect((await rebuilt(w)).points).toBe(0)
  await w.restart()
  await w.batch([event('after', T('11-15T10:00:00'))])
  await expectRight(w, [...steps, event('after', T('11-15T10:00:00'))])
})

test('rolls up what is due, and what came in for it is counted', async () => {
  const steps = history()
  const w = await counted(steps, 0)
  expect(w.state.due).toBeGreaterThan(10)
  await w.read()
  const more = [event('more', T('11-09T10:00:00')), session('s1', 999, T('11-14T10:00:00'))]
  await feed(w.kafka, more)
  await rebuilt(w)
  await expectRight(w, [...steps, ...more])
  await w.restart()
  expect(w.state.due).toBe(0)
  const forms = new Set([...w.reader.forms().values()].map(({ form }) => form))
  expect(forms).toEqual(new Set(['minutes', 'hours', 'day']))
})

test('makes series that are not there, which are rolled up as all others', async () => {
  const steps = history()
  const w = await world()
  w.nowMs = NOW
  await feed(w.kafka, steps)
  await rebuilt(w)
  await w.restart()
  await w.batch([])
  await expectRight(w, steps)
  expect(new Set([...w.reader.forms().values()].map(({ form }) => form))).toEqual(new Set(['minutes', 'hours', 'day']))
})

test('from a time in the middle of a day that was rolled up leaves all of that day as it is', async () => {
  const steps = history()
  const w = await counted(steps)
  // The world counts steps, and the topics must not end before what it says that it has counted.
  const none = { key: Buffer.from('v:a:none'), value: null }
  await write(
    w.kafka,
    names.sessions,
    steps.map(() => none),
  )
  await spoil(w)
  await w.read()
  const before = w.reader.forms()
  const result = await rebuilt(w, SHORT, T('11-12T10:00:00'))
  expect(Object.values(result.from)).toEqual(Array(3).fill('2026-11-13T00:00:00.000Z'))
  await expectRight(w, steps, T('11-13T00:00:00'))
  const untouched = (forms: typeof before) => [...forms].filter(([at]) => Number(at.split('@').at(-1)) < T('11-13T00:00:00'))
  expect(untouched(w.reader.forms())).toEqual(untouched(before))
  expect(untouched(before).length).toBeGreaterThan(3)
  // In minutes, every minute is a border.
  expect(Object.values((await rebuilt(w, SHORT, T('11-20T10:31:00'))).from)).toEqual(Array(3).fill('2026-11-20T10:31:00.000Z'))
})
