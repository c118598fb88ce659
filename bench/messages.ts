/** Suite `messages`: conversations of Botmaker's simulator, a session with some twenty small records each. */
import { fileURLToPath } from 'node:url'
import type { Stats } from '../src/sim/index.ts'
import { topicNames } from '../src/topics.ts'
import { startChild } from './child.ts'
import { figure } from './report.ts'
import { measureRole, type Place, rawLines, type Suite, sizeOf, writeConfig } from './suite.ts'

const PARTITIONS = 6

export async function openMessages(place: Place, sessions: number): Promise<Suite> {
  const vendor = startChild(fileURLToPath(new URL('vendor.ts', import.meta.url)), [String(sessions)])
  const world = JSON.parse(await vendor.firstLine()) as {
    config: Record<string, string>
    fromMs: number
    records: number
    messages: number
    sessions: number
  }
  process.stderr.write(`${world.records} records (${world.messages} messages) of ${world.sessions} sessions\n`)
  let rowBytes = 0
  let recordBytes = 0

  return {
    name: 'messages',

    async *measure(prefix, { root, profileOf }) {
      const connector = {
        'connector.class': 'botmaker',
        ...world.config,
        'start.at': new Date(world.fromMs).toISOString(),
        'quota.per.second': 0,
        'quota.concurrency': 0,
        // One look at the live edge and none back: what is measured is the backfill.
        'poll.interval.ms': 600_000,
        'lookback.interval.ms': 3_600_000,
      }
      const config = writeConfig(place, { prefix, partitions: PARTITIONS, connector })
      const { records: count } = world
      const ingest = 'ingest: page to commit'
      const served = (await vendor.ask<Stats>()).bytes
      const ingested = await measureRole({
        root,
        role: 'worker',
        config,
        counter: 'colloquy_ingest_records_total',
        count,
        profile: profileOf(ingest),
      })
      rowBytes = ((await vendor.ask<Stats>()).bytes - served) / world.sessions
      const { sessions, messages, events } = topicNames(prefix)
      const { bytes } = await sizeOf(place.kafka, [sessions, messages, events], PARTITIONS)
      recordBytes = bytes
      yield { what: ingest, count, bytes, sample: ingested }

      const aggregate = 'aggregate: topic to series'
      const counter = 'colloquy_aggregate_records_total'
      const aggregated = await measureRole({ root, role: 'aggregator', config, counter, count, profile: profileOf(aggregate) })
      yield { what: aggregate, count, bytes, sample: aggregated }
    },

    raw: prefix => rawLines(place, prefix, { count: world.records, bytes: recordBytes, partitions: PARTITIONS }),

    about: () =>
      `Messages: ${figure(world.records)} records (${figure(world.messages)} messages) of ${figure(world.sessions)} conversations a round, as Botmaker's API lists them: ` +
      `${figure(rowBytes)} bytes a conversation with its messages, ${figure(recordBytes)} bytes a record (key and value), ${PARTITIONS} partitions. Bytes in the table are those of a record.`,

    stop: () => void vendor.process.kill('SIGKILL'),
  }
}
