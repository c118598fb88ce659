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

test('minutes are kept for two years, or as long as the series topic keeps its points', async () => {
  expect((await keepsOf(kafka(series(1_825)), names, undefined)).retentionMs).toBe(730 * DAY_MS)
  expect((await keepsOf(kafka(series(400)), names, undefined)).retentionMs).toBe(400 * DAY_MS)
  expect(await keepsOf(kafka(series(-1)), names, 9_999 * DAY_MS)).toMatchObject({
    retentionMs: 9_999 * DAY_MS,
    seriesRetentionMs: Infinity,
  })
})

test('a topic that is only compacted keeps its points for ever, whatever its retention', async () => {
  const compacted = kafka({ series: { 'cleanup.policy': 'compact', 'retention.ms': '1' } })
  expect((await keepsOf(compacted, names, 9_999 * DAY_MS)).seriesRetentionMs).toBe(Infinity)
})

test('more than the series topic keeps is refused, with both cures', async () => {
  await expect(keepsOf(kafka(series(400)), names, 400 * DAY_MS)).resolves.toMatchObject({ retentionMs: 400 * DAY_MS })
  await expect(keepsOf(kafka(series(400)), names, 401 * DAY_MS)).rejects.toMatchObject({
    code: 'TOPIC_MISMATCH',
    details: {
      topic: 'c.series',
      hint:
        'aggregator.retention is 401d, but c.series keeps its points for 400d: set aggregator.retention to 400d or less, ' +
        'or raise retention.ms of the topic with kafka-configs.sh --alter',
    },
  })
})

test('counted keys are remembered as long as a topic may hold their record, the last segment included, but no longer than minutes', async () => {
  const keeps = (of: Parameters<typeof kafka>[0], retentionMs?: number) =>
    keepsOf(kafka({ ...series(1_825), ...of }), names, retentionMs).then(({ rememberMs }) => rememberMs / DAY_MS)
  expect(await keeps({})).toBe(14 + 7 + 1)
  expect(await keeps({ events: { 'retention.ms': String(30 * DAY_MS) } })).toBe(30 + 7 + 1)
  expect(await keeps({ versions: { 'retention.ms': String(97 * DAY_MS) } })).toBe(97 + 7 + 1)
  expect(await keeps({ messages: { 'retention.ms': '-1' } })).toBe(730 + 1)
  expect(await keeps({}, 5 * DAY_MS)).toBe(5 + 1)
})
