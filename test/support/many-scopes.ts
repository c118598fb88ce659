/** A connector with as many scopes as one likes, and topics that look as if it had been polled for long: for what a start costs. */
import { z } from 'zod'
import { cursorKey, writeCursor } from '../../src/ingest/cursor.ts'
import { Versions, knownBytes, writeKnown } from '../../src/ingest/versions.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka, WriteRecord } from '../../src/kafka/port.ts'
import { type Connector, defineConnector, session } from '../../src/source/index.ts'
import type { TopicNames } from '../../src/topics.ts'

const MINUTE = 60_000
export const CONNECTOR = 'acme-many'

export const scopesOf = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ name: `bot ${index}`, botId: `bot${index}` }))

/** Its vendor shows nothing. */
export function manyScopes(count: number): Connector {
  return defineConnector({
    manifest: {
      id: 'many',
      title: 'Many',
      apiVersion: '1',
      docs: 'https://many.example',
      quota: {},
      pollIntervalMs: MINUTE,
      sessionStream: 'sessions',
    },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * 60 * MINUTE, lagMs: MINUTE, lookbackMs: 2 * 24 * 60 * MINUTE, durableResume: true },
        scopes: () => scopesOf(count),
        row: z.object({ id: z.string(), at: z.string() }),
        async *read() {
          yield { rows: [], resume: null }
        },
        identify: row => row.id,
        normalise: (row, ctx) => [
          session(ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' }), { startedAt: row.at }),
        ],
      },
    },
  })
}

/** As after so many polls of each scope, one a minute up to now, with a row remembered at every tenth: written by an owner of the new ids. */
export async function prefill(
  kafka: Kafka,
  of: { names: TopicNames; partitions: number; scopes: number; polls: number; nowMs: number },
): Promise<void> {
  const { names, partitions, scopes, polls, nowMs } = of
  const writer = kafka.openWriter({ transactionalId: `prefill ${names.sessions}` })
  await writer.fence()
  const places = scopesOf(scopes).map(({ name: scope }) => {
    const name = { connector: CONNECTOR, stream: 'sessions', scope }
    const versions = new Versions(name)
    const path = `${CONNECTOR}/sessions/${scope}`
    return { key: cursorKey(name), versions, path, partition: partitionOf(cursorKey(name), partitions) }
  })
  const ROUND = Math.max(1, Math.floor(20_000 / scopes))
  for (let first = 0; first < polls; first += ROUND) {
    const offsets: WriteRecord[][] = Array.from({ length: partitions }, () => [])
    const rows: WriteRecord[][] = Array.from({ length: partitions }, () => [])
    for (let poll = first; poll < Math.min(first + ROUND, polls); poll++) {
      const atMs = nowMs - (polls - poll) * MINUTE
      for (const { key, versions, path, partition } of places) {
        const text = writeCursor({
          startMs: nowMs - polls * MINUTE,
          live: { atMs, toMs: null, resume: null },
          backfill: null,
          lookback: { beganMs: atMs - 5 * MINUTE, roundMs: atMs - 5 * MINUTE, pass: null },
          covered: [{ from: nowMs - polls * MINUTE, until: atMs }],
          kept: { lookbackMs: 2 * 24 * 60 * MINUTE, fromMs: -Infinity },
        })
        offsets[partition]?.push({ key: Buffer.from(key), value: Buffer.from(text) })
        if (poll % 10 !== 0) continue
        const known = {
          revision: 1,
          fingerprint: 'x'.repeat(16),
          botId: 'bot',
          otherBots: null,
          items: 'y'.repeat(100),
          parts: null,
          hasGaps: false,
          untilMs: atMs,
          open: false,
        }
        const value = Buffer.alloc(knownBytes(known))
        writeKnown(known, value, 0)
        rows[partitionOf(path, partitions)]?.push({ key: Buffer.from(versions.rowKey(`row ${poll}`)), value })
      }
    }
    await writer.transact(tx =>
      tx.write([
        ...offsets.map((records, partition) => ({ topic: names.offsets, partition, records })),
        ...rows.map((records, partition) => ({ topic: names.versions, partition, records })),
      ]),
    )
  }
  await writer.close()
}
