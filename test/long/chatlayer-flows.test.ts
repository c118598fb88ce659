/** How often Chatlayer's flows are asked for, with the connector's own pace: while a session is young, and not again when its events are read again. */
import { expect, test } from 'vitest'
import connector from '../../connectors/chatlayer/index.ts'
import { startChatlayerSimulator } from '../../connectors/chatlayer/simulator.ts'
import { withBench } from '../../src/conformance/bench.ts'
import { transfersOf } from '../../src/conformance/checks-prompt.ts'
import { promptLine } from '../../src/conformance/pipeline.ts'
import { BOTS, createWorld } from '../../src/sim/index.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const START = Date.parse('2026-11-09T06:00:00Z')
/** The last session begins before this. */
const LAST = START + 2 * HOUR
/** A session is over after fifteen minutes; a pass finds that within five. */
const YOUNG_MS = 21 * MINUTE
const END = START + 4 * HOUR

interface Ask {
  readonly id: string
  readonly atMs: number
}

/** A poll that finds new events, and five ages of the last of them; of events that come within a minute, one poll finds all. */
function mostAsks(times: readonly number[]): number {
  const lasts = times.filter((atMs, i) => Math.floor(atMs / MINUTE) !== Math.floor((times[i + 1] ?? Infinity) / MINUTE))
  const agesBefore = (pauseMs: number) => [0, 1, 2, 4, 8, 16].filter(age => age * MINUTE < pauseMs).length
  return lasts.reduce((sum, atMs, i) => sum + agesBefore((lasts[i + 1] ?? Infinity) - atMs), 0)
}

test('the flow of each session of a thread is asked for while it is young, and no more when it is over', async () => {
  const world = createWorld({
    seed: 11,
    sessions: 80,
    fromMs: START + 10 * MINUTE,
    untilMs: LAST,
    bots: BOTS.slice(0, 1),
    incidents: [],
    transferShare: 0.3,
    // Threads of several sessions.
    returningShare: 0.5,
  })
  const subject = {
    connector,
    async start({ now }: { now: () => number }) {
      const simulator = await startChatlayerSimulator({ world, now, quirks: { conversationIds: 'thread' } })
      const { 'team.ids': _, ...config } = { ...simulator.config, streams: 'events' } as Record<string, unknown>
      return { config, window: { fromMs: START, untilMs: END }, stop: () => simulator.stop() }
    },
  }
  await withBench(subject, null, async bench => {
    const line = promptLine(bench, START)
    const asked: Ask[] = []
    bench.proxy.spoil = (_nth, target) => {
      const id = /\/conversations\/([^/]+)\/flow/.exec(target)?.[1]
      if (id !== undefined) asked.push({ id: decodeURIComponent(id), atMs: line.clock.now() })
      return null
    }
    await line.live({ until: () => line.clock.now() >= END, mostRequests: Infinity, longestMs: 110_000 })
    const topics = await line.topics()
    const sessions = new Set(topics.sessions.map(({ key }) => key)).size
    const threads = new Set(asked.map(({ id }) => id)).size
    expect(transfersOf(topics.sessions).length).toBeGreaterThan(3)
    expect(sessions - threads, 'threads of several sessions').toBeGreaterThan(5)
    // Passes read all events again until the end; only young ones are a reason to ask: of a session that is over, the last time is at the next pass.
    const said = Map.groupBy(
      topics.events.flatMap(({ value }) => (value?.type === 'other' ? [value] : [])),
      ({ attributes }) => attributes['conversation_id'] ?? '',
    )
    const timesOf = (id: string) => (said.get(id) ?? []).map(({ occurred_at: atMs }) => atMs).toSorted((a, b) => a - b)
    const isYoung = ({ id, atMs }: Ask) => timesOf(id).some(saidMs => saidMs <= atMs && saidMs > atMs - YOUNG_MS)
    expect(asked.filter(ask => !isYoung(ask))).toEqual([])
    const most = [...said.keys()].reduce((sum, id) => sum + mostAsks(timesOf(id)), 0)
    expect(asked.length, 'no flow is asked for twice for one reason').toBeLessThanOrEqual(most)
    const keys = topics.events.flatMap(({ value }) => (value?.type === 'agent_transferred' ? [value.event_key] : []))
    expect(new Set(keys).size, 'each transfer is published once').toBe(keys.length)
  })
})
