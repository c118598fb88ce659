/** Rows that are views of one thing: each is asked for when it changes, whatever the others say, and what they share is published once. */
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { defineConnector, event } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

const View = z.object({ thread: z.string(), part: z.string(), mark: z.number(), happened: z.array(z.string()).default([]) })
type View = z.input<typeof View>

function vendorOf() {
  const vendor = { rows: [] as View[], happened: [] as string[], asked: [] as string[], again: new Set<boolean | undefined>() }
  const connector = defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: HOUR, lagMs: 0, hotMs: 10 * MINUTE, lookbackMs: 3 * HOUR, durableResume: true },
        row: View,
        async *read({ again }) {
          vendor.again.add(again)
          yield { rows: vendor.rows, resume: null }
        },
        async enrich({ rows }) {
          vendor.asked.push(...rows.map(({ part }) => part))
          return rows.map(row => ({ ...row, happened: [...vendor.happened] }))
        },
        identify: ({ thread, part }) => `${thread} ${part}`,
        sharedId: ({ thread }) => thread,
        fingerprint: ({ mark }) => mark,
        normalise: ({ thread, happened }, ctx) => {
          const of = ctx.session({ botId: 'bot', sessionId: thread, channel: 'web' })
          return happened.map(id => event(of, { eventId: id, occurredAt: NOON, type: 'other', name: id }))
        },
      },
    },
  })
  return { vendor, connector }
}

test('each view is asked for when its own mark moves, and records that several show are published once, over restarts too', async () => {
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  const { vendor, connector } = vendorOf()
  async function live(...rows: View[]): Promise<string[]> {
    vendor.rows = rows
    vendor.asked = []
    const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - 2 * HOUR } })
    onTestFinished(() => life.stop())
    await clock.sleep(40 * MINUTE)
    await life.stop()
    return vendor.asked
  }
  const view = (part: string, mark: number): View => ({ thread: 'a', part, mark })
  vendor.happened = ['x']
  expect(await live(view('1', 1), view('2', 1))).toEqual(['1', '2'])
  expect(await live(view('1', 1), view('2', 1))).toEqual([])
  vendor.happened = ['x', 'y']
  expect(await live(view('1', 1), view('2', 2), view('3', 1))).toEqual(['2', '3'])
  expect(await live(view('3', 1), view('2', 2), view('1', 1))).toEqual([])
  const { events } = await topicsOf(kafka)
  expect(events.map(({ value }) => [value.event_id, value.revision])).toEqual([
    ['x', 1],
    ['y', 1],
  ])
  // Windows that were read before are read as such, others are not.
  expect(vendor.again).toEqual(new Set([false, true]))
})
