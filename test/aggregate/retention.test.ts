import { expect, test } from 'vitest'
import { keepsOf } from '../../src/aggregate/retention.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { topicNames } from '../../src/topics.ts'

const DAY_MS = 86_400_000
const names = topicNames('c')

/** Settings by the topic's place in the names; the others are as the brokers have them by default. */
function kafka(settings: Partial<Record<keyof typeof names, Record<string, string>>>): Kafka {
  const defaults = { 'cleanup.policy': 'compact,delete', 'retention.ms': String(14 * DAY_MS), 'segment.ms': String(7 * DAY_MS) }
  const all = Object.entries(names).map(
    ([name, topic]) => [topic, new Map(Object.entries({ ...defaults, ...settings[name as keyof typeof names] }))] as const,
  )
  return { topicSettings: async () => new Map<string, Map<string, string>>(all) } as unknown as Kafka
}
const series = (days: number) => ({ series: { 'retention.ms': String(days < 0 ? -1 : days * DAY_MS) } })

const daysOf = async (kept: number, wanted?: Parameters<typeof keepsOf>[2]) => {
  const { minutesMs, hoursMs, daysMs } = (await keepsOf(kafka(series(kept)), names, wanted)).retention
  return [minutesMs, hoursMs, daysMs].map(ms => ms / DAY_MS)
}

test('minutes are kept for 14 days, hours for 400 and days for five years, or as long as the series topic keeps its points', async () => {
  expect(await daysOf(1_825)).toEqual([14, 400, 1_825])
  expect(await daysOf(9_999)).toEqual([14, 400, 1_825])
  expect(await daysOf(90)).toEqual([14, 90, 90])
  expect(await daysOf(7)).toEqual([7, 7, 7])
  expect(await keepsOf(kafka(series(-1)), names, { daysMs: 9_999 * DAY_MS })).toMatchObject({
    retention: { daysMs: 9_999 * DAY_MS },
    seriesRetentionMs: Infinity,
  })
})

test.each([
  [{ daysMs: 90 }, [14, 90, 90]],
  [{ daysMs: 5 }, [5, 5, 5]],
  [{ hoursMs: 5 }, [5, 5, 1_825]],
  [{ minutesMs: 500 }, [500, 500, 1_825]],
  [{ minutesMs: 30, hoursMs: 60, daysMs: 90 }, [30, 60, 90]],
])('%j days leave what is absent between its neighbours: %j', async (wanted, kept) => {
  const ms = Object.fromEntries(Object.entries(wanted).map(([tier, days]) => [tier, days * DAY_MS]))
  expect(await daysOf(1_825, ms)).toEqual(kept)
})

test('a topic that is only compacted keeps its points for ever, whatever its retention', async () => {
  const compacted = kafka({ series: { 'cleanup.policy': 'compact', 'retention.ms': '1' } })
  expect((await keepsOf(compacted, names, { daysMs: 9_999 * DAY_MS })).seriesRetentionMs).toBe(Infinity)
})

test('more than the series topic keeps is refused, with both cures', async () => {
  expect(await daysOf(400, { daysMs: 400 * DAY_MS })).toEqual([14, 400, 400])
  for (const [key, tier] of Object.entries({ minutes: 'minutesMs', hours: 'hoursMs', days: 'daysMs' })) {
    await expect(keepsOf(kafka(series(400)), names, { [tier]: 401 * DAY_MS })).rejects.toMatchObject({
      code: 'TOPIC_MISMATCH',
      details: {
        topic: 'c.series',
        hint:
          `aggregator.retention.${key} is 401d, but c.series keeps its points for 400d: set aggregator.retention.${key} to 400d or less, ` +
          'or raise retention.ms of the topic with kafka-configs.sh --alter',
      },
    })
  }
})

test('counted keys are remembered as long as a topic may hold their record, the last segment included, but no longer than what they count', async () => {
  const keeps = (of: Parameters<typeof kafka>[0], daysMs?: number) =>
    keepsOf(kafka({ ...series(1_825), ...of }), names, daysMs === undefined ? {} : { daysMs }).then(
      ({ rememberMs }) => rememberMs / DAY_MS,
    )
  expect(await keeps({})).toBe(14 + 7 + 1)
  expect(await keeps({ events: { 'retention.ms': String(30 * DAY_MS) } })).toBe(30 + 7 + 1)
  expect(await keeps({ versions: { 'retention.ms': String(97 * DAY_MS) } })).toBe(97 + 7 + 1)
  expect(await keeps({ messages: { 'retention.ms': '-1' } })).toBe(1_825 + 1)
  expect(await keeps({}, 5 * DAY_MS)).toBe(5 + 1)
})
