import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, expect, inject, test } from 'vitest'
import type { ConnectorToRun } from '../../src/ingest/source-partition.ts'
import { type Ingest, startIngest } from '../../src/ingest/start.ts'
import { connectKafka } from '../../src/kafka/client.ts'
import { connectRegistry } from '../../src/kafka/registry.ts'
import { silentLog as log } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { BOTS, createWorld } from '../../src/sim/index.ts'
import { parseConnectorConfig } from '../../src/source/config.ts'
import { findConnector } from '../../src/source/registry.ts'
import { topicNames, topicSpecs } from '../../src/topics.ts'
import { handClock } from '../support/clock.ts'
import { launch, type Ship, startOf } from '../support/fleet.ts'
import { until } from '../support/product.ts'

const MINUTE_MS = 60_000
const PARTITIONS = 3
/** What the caches of clients and of the compiler may still gain. */
const HEAP_ROOM_BYTES = 6 * 2 ** 20
/** What is under way at one moment and not at another, such as a sign of life; what is left behind by each poll of one stream is 45 more. */
const COMING_AND_GOING = 10

/**
 * Every vendor polled each minute for an hour, on a clock that is moved by hand, against the real Kafka. A source partition polls sixty times: what each
 * poll leaves behind, be it a listener, a timer, a connection or a row, shows in the end.
 */
const clock = handClock(Date.now() - 2 * 3_600_000)
const names = topicNames(`test-${Math.random().toString(36).slice(2, 10)}`)
const stop = new AbortController()
const ended: (() => unknown)[] = []
afterAll(async () => {
  for (const end of ended.reverse()) await end()
})

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

async function connectorOf({ vendor, keys }: Ship, startAtMs: number): Promise<ConnectorToRun> {
  const connector = await findConnector(vendor, '.')
  const flat = {
    'connector.class': vendor,
    ...(keys as Record<string, string>),
    'start.at': new Date(startAtMs).toISOString(),
    'poll.interval.ms': MINUTE_MS,
  }
  const parsed = parseConnectorConfig(vendor, flat, connector)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return { name: vendor, connector, base: parsed.base, config: parsed.config }
}

/** What the process holds once everything that is due is done and the garbage is collected. */
function held() {
  for (let i = 0; i < 3; i++) collectGarbage()
  const resources = process.getActiveResourcesInfo()
  const count = (kind: RegExp) => resources.filter(resource => kind.test(resource)).length
  return {
    heapBytes: process.memoryUsage().heapUsed,
    sockets: count(/^(TCP|TLS)/),
    timers: count(/^Timeout/),
    sleeping: clock.sleeping,
  }
}

test('an hour of polls every minute leaves nothing behind: memory, sockets and timers stay as they are', async () => {
  const { brokers, registry } = inject('stack')
  const untilMs = clock.now() - 86_400_000
  const world = createWorld({
    seed: 7,
    sessions: 60,
    fromMs: untilMs - 86_400_000,
    untilMs,
    liveFromMs: clock.now(),
    livePerMinute: 1,
    bots: BOTS.slice(0, 1),
  })
  const fleet = await launch({ world, now: () => clock.now() })
  ended.push(() => Promise.all(fleet.map(({ simulator }) => simulator.stop())))
  const kafka = connectKafka({ brokers: [brokers], clientId: 'flat-hour', log })
  ended.push(() => kafka.close())
  await kafka.ensureTopics(
    topicSpecs({
      prefix: names.sessions.slice(0, -'.sessions'.length),
      partitions: PARTITIONS,
      replicationFactor: 1,
      longestLookbackMs: 1,
    }),
    { create: true },
  )
  const ingest: Ingest = await startIngest({
    kafka,
    registry: connectRegistry({ url: registry, log }),
    names,
    partitions: PARTITIONS,
    connectors: await Promise.all(fleet.map(ship => connectorOf(ship, startOf(world)))),
    clock,
    log,
    metrics: createMetrics(),
    signal: stop.signal,
    refreshMs: Infinity,
  })
  ended.push(async () => {
    stop.abort()
    await clock.advance(MINUTE_MS)
    await ingest.done
  })

  /** Every source partition has committed since, and waits for its next poll. */
  const polledSince = (fromMs: number) =>
    until('every source partition has polled', async () =>
      ingest
        .states()
        .every(({ committedAtMs, state }) => committedAtMs !== null && committedAtMs >= fromMs && state === 'live') &&
      clock.sleeping >= ingest.states().length
        ? true
        : undefined,
    )
  /** @returns What is held at the end; of what comes and goes with a poll, the most that was seen. */
  const live = async (minutes: number) => {
    const seen: ReturnType<typeof held>[] = []
    for (let minute = 0; minute < minutes; minute++) {
      const fromMs = clock.now()
      await clock.advance(MINUTE_MS)
      await polledSince(fromMs)
      if (minutes - minute <= 5) seen.push(held())
    }
    const most = (of: 'sockets' | 'timers' | 'sleeping') => Math.max(...seen.map(each => each[of]))
    const heapBytes = Math.min(...seen.map(each => each.heapBytes))
    return { heapBytes, sockets: most('sockets'), timers: most('timers'), sleeping: most('sleeping') }
  }

  await until('the history is read', async () => {
    await clock.advance(1_000)
    return ingest.states().every(({ state }) => state === 'live') ? true : undefined
  })
  const early = await live(15)
  const late = await live(45)
  expect(ingest.states().map(({ error }) => error)).toEqual(ingest.states().map(() => null))
  expect(late.heapBytes - early.heapBytes, 'growth of the heap over 45 polls').toBeLessThan(HEAP_ROOM_BYTES)
  expect(late.sockets - early.sockets, 'more sockets').toBeLessThan(COMING_AND_GOING)
  expect(late.timers - early.timers, 'more timers').toBeLessThan(COMING_AND_GOING)
  expect(late.sleeping - early.sleeping, 'more sleepers on the clock').toBeLessThan(COMING_AND_GOING)
}, 180_000)
