/** A vendor that has nothing to show, and what its quota comes to. */
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../../src/clock.ts'
import type { MemoryKafka } from '../../src/conformance/memory-kafka.ts'
import { cursorKey, type PartitionName } from '../../src/ingest/cursor.ts'
import type { ConnectorToRun } from '../../src/ingest/source-partition.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { serve } from '../../src/sim/index.ts'
import { defineConnector } from '../../src/source/index.ts'
import { quotaDigest } from '../../src/source/quota.ts'
import { TINY_MANIFEST, TinyRow } from './tiny.ts'
import { base, names, PARTITIONS } from './world.ts'

/** A vendor that has nothing to show, and counts how often it is asked. */
export async function emptyVendor() {
  const asked = { count: 0, /** So many answers are a fault of the server. */ faults: 0 }
  const server = await serve({
    handler: () => {
      asked.count++
      asked.faults--
      if (asked.faults >= 0) return { status: 500 }
      return { status: 200, headers: { 'content-type': 'application/json' }, body: '[]' }
    },
  })
  onTestFinished(() => server.stop())
  /** It is asked at each poll, ten milliseconds after the one before, as far as the quota allows. */
  const connector = (name: string, perHour: number, scopes: readonly string[]): ConnectorToRun => {
    const window = { longestMs: 3_600_000, lagMs: 0, lookbackMs: 3_600_000, durableResume: true }
    const config = { token: 'of both' }
    return {
      name,
      config,
      base: { ...base, pollIntervalMs: 10, tasksMax: scopes.length },
      connector: defineConnector({
        manifest: { ...TINY_MANIFEST, quota: { perHour, sharedBy: 'token' } },
        config: z.strictObject({ token: z.string() }),
        http: () => ({ baseUrl: server.url }),
        streams: {
          sessions: {
            window,
            scopes: () => scopes.map(scope => ({ name: scope, botId: null })),
            row: TinyRow,
            async *read({ http }) {
              yield { rows: await http.getJson('/', {}, z.array(z.unknown())), resume: null }
            },
            identify: row => row.id,
            normalise: () => [],
          },
        },
      }),
    }
  }
  return { asked, connector, quota: quotaDigest(TINY_MANIFEST.id, JSON.stringify('of both')) }
}

/** As a worker leaves it that has asked so often of late. */
export async function putSpent(kafka: MemoryKafka, name: PartitionName, count: number): Promise<void> {
  const nowMs = Date.now()
  const [key, value] = [
    cursorKey(name),
    { 'live.until': new Date(nowMs).toISOString(), requests: `${new Date(nowMs).toISOString()}*${count}` },
  ]
  const writer = kafka.openWriter({ transactionalId: `of ${key}` })
  await writer.fence()
  const records = [{ key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) }]
  await writer.transact(tx => tx.write([{ topic: names.offsets, partition: partitionOf(key, PARTITIONS), records }]))
}

/** Sees when a quota is used up: its next turn is an hour away. */
export function hourglass() {
  const glass = { isEmpty: false }
  const sleep: Clock['sleep'] = (ms, signal) => {
    glass.isEmpty ||= ms > 3_000_000 && ms < 3_700_000
    return systemClock.sleep(ms, signal)
  }
  return { clock: { ...systemClock, sleep }, usedUp: () => until(() => glass.isEmpty) }
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) {
    await new Promise(resolve => {
      setTimeout(resolve, 2)
    })
  }
}
