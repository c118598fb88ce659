import { expect, test } from 'vitest'
import { z } from 'zod'
import { Demand, rereadPerHour } from '../../src/ingest/demand.ts'
import { scheduleOf } from '../../src/ingest/schedule.ts'
import { planSpecOf } from '../../src/ingest/source-partition.ts'
import {
  type Connector,
  type DailyLimit,
  defineConnector,
  type Quota,
  type RequestsBeside,
  type Stream,
} from '../../src/source/index.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { base } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

function connectorOf(quota: Quota, scopes = 1, more: Partial<Stream> = {}, dailyLimit?: DailyLimit): Connector {
  const connector = defineConnector({
    manifest: { ...TINY_MANIFEST, quota, pollIntervalMs: MINUTE, ...(dailyLimit && { dailyLimit }) },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: DAY, lagMs: MINUTE, lookbackMs: 2 * DAY, durableResume: true },
        scopes: () => Array.from({ length: scopes }, (_, i) => ({ name: `s${i}`, botId: null })),
        row: z.object({}),
        async *read() {},
        identify: () => 'x',
        normalise: () => [],
      },
    },
  })
  return { ...connector, streams: { sessions: { ...(connector.streams['sessions'] as Stream), ...more } } }
}

const scheduleFor = (quota: Quota, of: Partial<typeof base> = {}, scopes = 1) =>
  scheduleOf({ name: 'acme', connector: connectorOf(quota, scopes), base: { ...base, ...of }, config: {} })

test('an hour takes one request a poll and one for each window of the passes, and says why', () => {
  const schedule = scheduleFor({ perHour: 1800 })
  // 60 polls; passes every 15 min, of which two days are one to three windows a day.
  expect(schedule.perHour).toBeGreaterThanOrEqual(64)
  expect(schedule.perHour).toBeLessThanOrEqual(66)
  expect(schedule).toMatchObject({ quotaPerHour: 1800, fits: true })
  expect(schedule.reasons).toEqual([
    {
      stream: 'sessions',
      scopes: 1,
      perHour: schedule.perHour,
      why: 'the last 1h at each poll, every 1m; older rows of the last 2d by their age, every 15m to 8h',
    },
  ])
})

const scheduleOfStream = (more: Partial<Stream>, dailyLimit?: DailyLimit) =>
  scheduleOf({ name: 'acme', connector: connectorOf({}, 1, more, dailyLimit), base, config: {} })
const LEAST = scheduleOfStream({}).perHour
const FOLLOW = { isOpen: () => true, read: async () => [], atOnce: 50, longestMs: DAY }
const CHANGES = { lagMs: 0, read: async () => ({}) }
const besides = (of: RequestsBeside): Partial<Stream> => ({ requestsBeside: () => of })

test.each<[string, Partial<Stream>, number]>([
  ['open rows by id, one a poll', { follow: FOLLOW }, LEAST + 60],
  ['a change feed, one a poll', { changes: CHANGES }, LEAST + 60],
  ['no change feed that the config leaves out', { changes: CHANGES, ...besides({ asksChanges: false }) }, LEAST],
  ['what each window takes beside its own', besides({ perWindow: 1 }), LEAST * 2],
  ['what each poll takes beside', besides({ perPoll: 2 }), LEAST + 120],
])('an hour counts %s', (_what, more, perHour) => {
  expect(Math.abs(scheduleOfStream(more).perHour - perHour)).toBeLessThanOrEqual(1)
})

test.each<[string, Partial<Stream>, readonly string[] | undefined]>([
  ['nothing beside', {}, undefined],
  ['a second call', { enrich: async () => [] }, ['a second call for new or changed rows']],
  [
    'a second call with its own words',
    { enrich: async () => [], ...besides({ unknown: ['one for each row'] }) },
    ['one for each row'],
  ],
  ['open rows', { follow: FOLLOW }, ['open rows: one request for 50 of them, of which one is counted']],
  ['a change feed', { changes: CHANGES }, ['one window for each stretch of older rows that have changed']],
])('the reasons say what cannot be known before: %s', (_what, more, notCounted) => {
  expect(scheduleOfStream(more).reasons[0]?.notCounted).toEqual(notCounted)
})

test.each([[null], [4], [5]])('a documented limit of requests a day is held against a third of what %s units allow', units => {
  const limit = { perUnit: 1000, unit: 'seat', key: 'seats', units: () => units }
  const { perDay, daily } = scheduleOfStream({}, limit)
  expect([perDay > 1333, perDay < 1666]).toEqual([true, true])
  expect(daily).toEqual({ perUnit: 1000, unit: 'seat', key: 'seats', units, needed: 5 })
  expect(scheduleOfStream({}).daily).toBeNull()
})

test.each([
  ['a quota of 100 an hour', { perHour: 100 }, {}, false],
  ['one of 200', { perHour: 200 }, {}, true],
  ['as much in a minute', { perMinute: 2 }, {}, false],
  ['a least time between two requests', { gapMs: 300_000 }, {}, false],
  ['polls that are rarer', { perHour: 100 }, { pollIntervalMs: 5 * MINUTE }, true],
  ['no limit', {}, {}, true],
])('the schedule fits where it takes no more than a third: %s', (_what, quota, of, fits) => {
  expect(scheduleFor(quota, of).fits).toBe(fits)
})

test('source partitions that share a quota are counted together', () => {
  expect(scheduleFor({ perHour: 300 }, {}, 1).fits).toBe(true)
  expect(scheduleFor({ perHour: 300 }, {}, 2)).toMatchObject({ fits: false, quotaPerHour: 300 })
  const each = { perHour: 300, sharedBy: { what: 'bot', of: (_: never, scope: { name: string }) => scope.name } }
  expect(scheduleFor(each, {}, 2)).toMatchObject({ fits: true, quotaPerHour: 600 })
})

const spec = { ...planSpecOf(connectorOf({}), connectorOf({}).streams['sessions'] as never, base, {}), mostPerHour: 200 }

/** A demand that saw some sweeps of so many requests. */
function sweeps(requests: number, count = 6, demand = new Demand(spec)): Demand {
  for (let i = 0; i < count; i++) {
    for (let n = 0; n < requests; n++) demand.asked('sweep')
    demand.ended('sweep', HOUR)
  }
  return demand
}

test('what is hot is halved while the hour asks for more than its share, down to what a poll needs', () => {
  expect(sweeps(3).hotMs(HOUR)).toBe(HOUR)
  expect(sweeps(4).hotMs(HOUR)).toBe(HOUR / 2)
  expect(sweeps(40).hotMs(3 * MINUTE)).toBe(2 * MINUTE)
  expect(sweeps(40, 2).hotMs(HOUR), 'a few sweeps say little').toBe(HOUR)
})

test('it grows again when far less is asked for, up to what was wanted', () => {
  expect(sweeps(1).hotMs(HOUR / 4)).toBe(HOUR / 2)
  expect(sweeps(1).hotMs(HOUR)).toBe(HOUR)
})

test('the hour counts sweeps and change feeds at each poll, and passes by how much time they read', () => {
  const demand = sweeps(2)
  demand.asked('changed')
  demand.ended('changed', MINUTE)
  for (let n = 0; n < 4; n++) demand.asked('passes')
  demand.ended('passes', 2 * HOUR)
  const perHour = demand.perHour(HOUR)
  expect(perHour.get('sweep')).toBe(120)
  expect(perHour.get('changed')).toBe(60)
  expect(perHour.get('passes')).toBeCloseTo((2 * rereadPerHour(spec, HOUR)) / HOUR, 6)
  // 1 to 2 h every 15 min, 2 to 4 h every 30 min, ...: four hours an hour for each doubling, and what is left of the last.
  expect(rereadPerHour(spec, HOUR) / HOUR).toBeGreaterThan(20)
  expect(rereadPerHour(spec, HOUR) / HOUR).toBeLessThan(24)
})
