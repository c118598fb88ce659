/**
 * `node bench/row-path.ts [PAGES] [LOOPS]`: the path of a row without HTTP and Kafka, for changes that are too small to be seen beside those. Pages of the suite `pages` are
 * parsed, decoded, mapped and encoded in this process: new rows, then the same rows unchanged. Prints CPU microseconds a row (median of the loops) and the most memory.
 */
import { z } from 'zod'
import { doorOf } from '../src/ingest/door.ts'
import { Batches, type Outputs } from '../src/ingest/encode.ts'
import { asGiven } from '../src/ingest/mask.ts'
import type { Piece } from '../src/ingest/plan.ts'
import { decode, mapRows, type Row, type RowPath } from '../src/ingest/rows.ts'
import { Versions } from '../src/ingest/versions.ts'
import { encoderFor } from '../src/kafka/codec.ts'
import { partitionOf } from '../src/kafka/partition.ts'
import type { Event, Message, Session } from '../src/records.ts'
import { schemaText } from '../src/schemas.ts'
import { ambiguousName, parseJson } from '../src/source/json.ts'
import { rowContext, type Stream } from '../src/source/index.ts'
import { NO_TRANSFERS } from '../src/source/transfers.ts'
import { topicNames } from '../src/topics.ts'
import connector from './pages/connector.ts'
import { CYCLE, seqOf } from './pages/rows.ts'
import { startPageServer } from './pages/server.ts'

/** Loops that only warm up. */
const WARM_UP = 2
const HOUR_MS = 3_600_000
const fromMs = Date.parse('2026-11-01T00:00:00Z')
const observedAtMs = fromMs + 2 * HOUR_MS
const [pages = 10, loops = 4] = process.argv.slice(2).map(Number)

const name = { connector: 'bench', stream: 'sessions', scope: 'main' }
const source = { vendor: 'pages', account: 'main', connector: 'bench', config: {}, scope: { name: 'main', botId: null } }
const encoders = {
  session: encoderFor<Session>(schemaText('session'), 1),
  message: encoderFor<Message>(schemaText('message'), 2),
  event: encoderFor<Event>(schemaText('event'), 3),
}
const to: Outputs = {
  ...name,
  vendor: source.vendor,
  account: source.account,
  task: 0,
  names: topicNames('bench'),
  partitions: 4,
  partitionOf,
  encoders,
  maxBytes: new Map(),
  door: doorOf(asGiven),
  feeds: ['session'],
  sourcePartitions: 1,
  transfers: NO_TRANSFERS,
  lookbackMs: HOUR_MS,
  tolerant: true,
}
const piece: Piece = { lane: 'live', window: { fromMs, untilMs: fromMs + HOUR_MS }, resume: null, forgotten: false }
const stream = connector.streams['sessions'] as Stream
const noCalls = () => Promise.reject(new Error('nothing is asked here'))
const path: RowPath = {
  stream,
  config: {},
  scope: source.scope,
  http: { getJson: noCalls, postJson: noCalls },
  clock: { now: () => observedAtMs },
  derived: null,
  door: to.door,
}
const Page = z.object({ items: z.array(z.unknown()), next: z.string().nullable() })

async function bodiesOf(count: number): Promise<Buffer[]> {
  const server = await startPageServer({ rows: count * CYCLE, fromMs })
  const bodies: Buffer[] = []
  for (let page = 0; page < count; page++) {
    const after = page === 0 ? '' : `&after=${seqOf(page * CYCLE - 1)}`
    bodies.push(Buffer.from(await (await fetch(`${server.url}/sessions?limit=${CYCLE}${after}`)).arrayBuffer()))
  }
  await server.stop()
  return bodies
}

/** All pages once. @returns records, and rows that had not changed. */
async function read(bodies: readonly Buffer[], batches: Batches, versions: Versions): Promise<{ records: number; unchanged: number }> {
  let records = 0
  let unchanged = 0
  for (const bytes of bodies) {
    const text = bytes.toString('utf8')
    const body = parseJson(text)
    if (ambiguousName(text, body) !== null) throw new Error('a page is not clear')
    const ctx = rowContext({ ...source, observedAtMs, lookbackMs: HOUR_MS })
    const batch = batches.open(piece)
    const { rows } = decode(stream, Page.parse(body).items, ctx)
    const isNew = (row: Row) => {
      if (versions.saw(row.id, observedAtMs, null)?.fingerprint !== row.fingerprint) return true
      batch.passOver(row.id, piece, versions)
      return false
    }
    for await (const some of mapRows(path, rows, ctx, isNew))
      for (const mapped of some) {
        if ('reject' in mapped) throw new Error(mapped.reject.message)
        batch.append(mapped.row, mapped.drafts, piece, observedAtMs, versions, () => '', mapped.isOpen)
      }
    records += batch.emitted
    unchanged += batch.unchanged
    batch.close()
  }
  return { records, unchanged }
}

const bodies = await bodiesOf(pages)
const rows = pages * CYCLE
const batches = new Batches(to)
const cpuUs: { fresh: number[]; again: number[] } = { fresh: [], again: [] }
for (let loop = -WARM_UP; loop < loops; loop++) {
  const versions = new Versions(name)
  for (const kind of ['fresh', 'again'] as const) {
    const before = process.cpuUsage()
    const { records, unchanged } = await read(bodies, batches, versions)
    const { user, system } = process.cpuUsage(before)
    if ((kind === 'fresh' ? records : unchanged) !== rows) throw new Error(`${kind}: ${records} records and ${unchanged} unchanged of ${rows} rows`)
    if (loop >= 0) cpuUs[kind].push((user + system) / rows)
  }
}
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]
const result = {
  rows,
  newUs: median(cpuUs.fresh),
  unchangedUs: median(cpuUs.again),
  leftToAvsc: encoders.session.leftToAvsc,
  peakMiB: process.resourceUsage().maxRSS / 1024,
}
process.stdout.write(`${JSON.stringify(result)}\n`)
