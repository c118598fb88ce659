/** A control room on a Kafka in memory: the stores, a group that a test moves by hand, and a herder over them. */
import { onTestFinished } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { systemClock } from '../../src/clock.ts'
import type { ConnectorMap } from '../../src/config.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import type { Surroundings } from '../../src/control/check-config.ts'
import { type Configs, openConfigs } from '../../src/control/configs.ts'
import { openStatuses, type StatusStore } from '../../src/control/statuses.ts'
import { silentLog } from '../../src/log.ts'
import type { Connector } from '../../src/source/contract.ts'
import { topicNames } from '../../src/topics.ts'
import { draw } from '../ingest/random.ts'
import { tinyConnector, type TinyVendor } from '../ingest/tiny.ts'
import { z } from 'zod'

export const PREFIX = 'control'
export const NAMES = topicNames(PREFIX)
export const PARTITIONS = 3
export const HOUR = 3_600_000
/** For what happens by itself: a busy machine takes its time. */
export const SOON = { timeout: 15_000 }

/** The tiny connector with a secret, a plain key and some scopes. */
export function plugin(vendor?: Partial<TinyVendor>, lookbackMs = 48 * HOUR): Connector {
  const tiny = tinyConnector(
    { sessions: [], clock: systemClock, luck: draw(1), pageRows: 25, failing: 0, longestMs: Infinity, reads: 0, ...vendor },
    { longestMs: 3 * HOUR, lagMs: 0, lookbackMs, pollIntervalMs: 50, smallestMs: 1, durableResume: true },
  )
  const stream = tiny.streams['sessions'] as Connector['streams'][string]
  return {
    ...tiny,
    manifest: { ...tiny.manifest, quota: { perMinute: 60, sharedBy: 'accessToken' } },
    config: z.strictObject({
      accessToken: z.string().min(1).meta({ secret: true }),
      baseUrl: z.url().optional(),
      tokenUrl: z.url().optional(),
      bots: z.array(z.string()).default([]),
    }),
    streams: {
      sessions: {
        ...stream,
        scopes: (config, account) => {
          const { bots } = config as unknown as { bots: string[] }
          return bots.length === 0 ? [{ name: account, botId: null }] : bots.map(name => ({ name, botId: name }))
        },
      },
    },
  }
}

export function surroundings(more: Partial<Surroundings> = {}): Surroundings {
  return {
    env: { TOKEN: 'the-token-of-acme', OTHER: 'another-token' },
    folder: '/',
    plugins: new Map([['tiny', plugin()]]),
    ...more,
  }
}

export const GOOD = { 'connector.class': 'tiny', 'access.token': '${env:TOKEN}' } as const

export async function openStores(
  of: {
    kafka?: MemoryKafka
    file?: Readonly<Record<string, ConnectorMap>>
    surroundings?: Surroundings
    clock?: Clock
    onLevel?: (logger: string, level: string | null) => void
  } = {},
): Promise<{ kafka: MemoryKafka; configs: Configs; statuses: StatusStore; end: () => Promise<void> }> {
  const { kafka = memoryKafka(), file = {}, clock = systemClock } = of
  const ending = new AbortController()
  const common = { kafka, prefix: PREFIX, clock, log: silentLog, signal: ending.signal }
  const configs = openConfigs({
    ...common,
    topic: NAMES.configs,
    file,
    surroundings: of.surroundings ?? surroundings(),
    ...(of.onLevel === undefined ? {} : { onLevel: of.onLevel }),
  })
  const statuses = openStatuses({ ...common, topic: NAMES.status, partitions: PARTITIONS })
  const end = async () => {
    await statuses.close()
    await configs.close()
    ending.abort()
    await Promise.all([configs.done, statuses.done])
  }
  onTestFinished(end)
  await Promise.all([configs.ready, statuses.ready])
  return { kafka, configs, statuses, end }
}

/** The content of a topic: the newest value of each key. */
export function standing(kafka: MemoryKafka, topic: string): Record<string, unknown> {
  return Object.fromEntries(
    [...kafka.newest(topic)].flatMap(([key, { value }]) => (value === null ? [] : [[key, JSON.parse(String(value))]])),
  )
}
