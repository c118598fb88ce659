/**
 * Suite `pages`: the work that Kafka Connect and Kafka Streams are measured with (`bench/peers.md`). Rows of 1 kB, one typed Session each, exactly once, in four
 * partitions; then the same rows read again, unchanged, by a process that finds what was published on the versions topic, and again at the next poll of such a process;
 * then the sessions counted into series.
 */
import { fileURLToPath } from 'node:url'
import type { Stats } from '../src/sim/index.ts'
import { topicNames } from '../src/topics.ts'
import { startChild } from './child.ts'
import { STEP_MS } from './pages/rows.ts'
import { figure } from './report.ts'
import { measureRole, type Place, rawLines, type Suite, sizeOf, writeConfig } from './suite.ts'

const PARTITIONS = 4
const HOUR_MS = 3_600_000
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))

/** @param ingestOnly Without series and raw lines: for changes of ingest alone, which are measured in half the time. */
export async function openPages(place: Place, rows: number, ingestOnly: boolean): Promise<Suite> {
  const vendor = startChild(here('pages/vendor.ts'), [String(rows)])
  const { url, fromMs } = JSON.parse(await vendor.firstLine()) as { url: string; fromMs: number }
  const served = async () => (await vendor.ask<Stats>()).bytes
  let rowBytes = 0
  let sessionBytes = 0
  let versionBytes = 0

  return {
    name: 'pages',

    async *measure(prefix, { root, profileOf }) {
      // All rows are hot, so whoever starts reads them all again; while a process runs, no second poll comes.
      const hotMs = rows * STEP_MS + 24 * HOUR_MS
      const connector = {
        'connector.class': fileURLToPath(new URL('bench/pages/connector.ts', root)),
        account: 'main',
        'base.url': url,
        'start.at': new Date(fromMs).toISOString(),
        'poll.interval.ms': 2 * HOUR_MS,
        'hot.ms': hotMs,
        'lookback.ms': hotMs,
      }
      const config = writeConfig(place, { prefix, partitions: PARTITIONS, connector })
      const polling = writeConfig(place, {
        prefix,
        name: `${prefix}-polling`,
        partitions: PARTITIONS,
        connector: { ...connector, 'poll.interval.ms': 1000 },
      })
      const ingest = (what: string, counter: string) =>
        // What was not read before would not be read again.
        measureRole({ root, role: 'worker', config, counter, count: rows, profile: profileOf(what), untilLive: true })

      const fresh = 'ingest: new rows, page to commit'
      const servedBefore = await served()
      const first = await ingest(fresh, 'colloquy_ingest_records_total')
      rowBytes = ((await served()) - servedBefore) / rows
      yield { what: fresh, count: rows, bytes: rowBytes, sample: first }

      const again = 'ingest: unchanged rows read again'
      const second = await ingest(again, 'colloquy_ingest_unchanged_total')
      const names = topicNames(prefix)
      const sessions = await sizeOf(place.kafka, [names.sessions], PARTITIONS)
      if (sessions.records !== rows || sessions.keys !== rows)
        throw new Error(`not exactly once: ${rows} rows are ${sessions.records} records of ${sessions.keys} sessions`)
      sessionBytes = sessions.bytes
      versionBytes = (await sizeOf(place.kafka, [names.versions], PARTITIONS)).bytes
      yield { what: again, count: rows, bytes: rowBytes, sample: second }

      const polled = 'ingest: unchanged rows at the next poll'
      const third = await measureRole({
        root,
        role: 'worker',
        config: polling,
        counter: 'colloquy_ingest_unchanged_total',
        count: 2 * rows,
        from: 1.1 * rows,
        profile: profileOf(polled),
      })
      yield { what: polled, count: rows, bytes: rowBytes, sample: third }
      if (ingestOnly) return

      const count = 'aggregate: sessions to series'
      const counted = await measureRole({
        root,
        role: 'aggregator',
        config,
        counter: 'colloquy_aggregate_records_total',
        count: rows,
        profile: profileOf(count),
      })
      yield { what: count, count: rows, bytes: sessionBytes, sample: counted }
    },

    async *raw(prefix) {
      if (!ingestOnly) yield* rawLines(place, prefix, { count: rows, bytes: sessionBytes, partitions: PARTITIONS })
    },

    about: () =>
      `Pages: ${figure(rows)} rows a round in pages of 1,000, ${figure(rowBytes)} bytes of JSON a row, each one Session of ${figure(sessionBytes)} bytes (key and value) and ` +
      `${figure(versionBytes)} bytes of its version, exactly once (each round's topic was read back), ${PARTITIONS} partitions. Bytes in the table are those of a row in lines of ingest, else of a Session. ` +
      'Rows are read again by a process that was started anew, and at its next poll. The same rows through Kafka Connect and Kafka Streams: [peers](peers.md).',

    stop: () => void vendor.process.kill('SIGKILL'),
  }
}
