/** A history at the simulator, a config that reads it, and what must have come of it. */
import { expect } from 'vitest'
import { type BotmakerOptions, type BotmakerSimulator, startBotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { type Expected, expectedOf, type ExpectedSession } from './botmaker-truth.ts'
import type { IndependentRecord } from './independent/read-topics.ts'
import { configFile, querySeries, until } from './product.ts'

const DAY_MS = 86_400_000

export interface History {
  readonly vendor: BotmakerSimulator
  readonly expected: Expected
  readonly fromMs: number
  readonly untilMs: number
  readonly names: ReturnType<typeof topicNames>
  readonly config: string
  /** Waits until everything that the vendor has is in the series. */
  complete(base: string): Promise<void>
  stop(): Promise<void>
}

/**
 * `sessions` conversations over `days` days that ended three days ago, so that every one of them is over.
 *
 * @param keys Of the connector, beside those that reach the simulator. Quotas are off.
 */
export async function startHistory(
  stack: { brokers: string; registry: string },
  options: { seed: number; sessions: number; days: number; keys?: Record<string, unknown>; v1?: boolean } & Omit<
    BotmakerOptions,
    'world'
  >,
): Promise<History> {
  const { seed, sessions, days, keys = {}, v1 = false, ...simulator } = options
  const untilMs = Date.now() - 3 * DAY_MS
  const fromMs = untilMs - days * DAY_MS
  const world = createWorld({ seed, sessions, fromMs, untilMs })
  const vendor = await startBotmakerSimulator({ ...simulator, world, quirks: { requestsPerSecond: 0, ...simulator.quirks } })
  const prefix = `test-${Math.random().toString(36).slice(2, 10)}`
  const file = configFile({
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix, partitions: 3 },
    http: { port: 0 },
    aggregator: { sessionTimeout: '2s' },
    connectors: {
      acme: {
        'connector.class': 'botmaker',
        ...(v1 ? vendor.configV1 : vendor.config),
        'start.at': new Date(fromMs - DAY_MS).toISOString(),
        'poll.interval.ms': 500,
        'quota.per.second': 0,
        'quota.concurrency': 0,
        ...keys,
      },
    },
  })
  return {
    vendor,
    expected: expectedOf(vendor, v1 ? 'v1' : 'v2', Date.now()),
    fromMs,
    untilMs,
    names: topicNames(prefix),
    config: file.path,
    complete: async base => {
      await until('everything has been read', async () => {
        const answer = await querySeries(base, { measure: 'sessions', bucket: '1d' })
        return answer.complete_until !== null && Date.parse(answer.complete_until) > untilMs + 2 * DAY_MS ? true : undefined
      })
    },
    stop: async () => {
      await vendor.stop()
      file.remove()
    },
  }
}

/** Holds what independent readers found to the world: none missing, none twice, the newest revision equal to the final state. */
export function expectTheWorld(records: readonly IndependentRecord[], { expected, names }: History): void {
  const of = (topic: string) => records.filter(record => record.topic === topic)

  const revisions = new Map<string, number[]>()
  const newest = new Map<string, Record<string, unknown>>()
  for (const { key, value } of of(names.sessions)) {
    if (key === null || value === null) throw new Error('a session record without key or value')
    revisions.set(key, [...(revisions.get(key) ?? []), value['revision'] as number])
    newest.set(key, value)
  }
  for (const [key, seen] of revisions) expect(seen, `revisions of ${key}`).toEqual(seen.map((_, index) => index + 1))
  expect([...newest.keys()].toSorted()).toEqual([...expected.sessions.keys()].toSorted())
  for (const [key, session] of expected.sessions) {
    const found = newest.get(key) ?? {}
    const compared = Object.fromEntries(Object.keys(session).map(field => [field, found[field]])) as unknown as ExpectedSession
    expect(compared).toEqual(session)
  }

  const messages = of(names.messages).map(record => record.value ?? {})
  expect(messages.map(message => String(message['message_key'])).toSorted()).toEqual([...expected.messages.keys()].toSorted())
  for (const message of messages) {
    const { session_key, sent_at, sender, text } = message
    expect({ session_key, sent_at, sender, text }).toEqual(expected.messages.get(message['message_key'] as string))
  }

  const events = of(names.events).map(record => record.value ?? {})
  expect(new Set(events.map(event => event['event_key'])).size, 'events by key').toBe(events.length)
  expect(events.map(event => `${event['session_key']}|${event['name']}|${event['occurred_at']}`).toSorted()).toEqual(
    expected.events,
  )
}
