/**
 * `node bench/history.ts [--days N] [--sessions N] [--series N]`: what years of sessions cost the aggregator, and what a folder for its state changes. One partition
 * number is counted twice, interleaved, on real Kafka, with a folder and without: CPU a record, memory, time of a start, time of a late revision. A line for `results.md`.
 *
 * Sessions are those of a day; each has two revisions and two messages, and one in a hundred is revised once more on a later day. Days are counted one after the
 * other, so that they are rolled up as they would be. A stack that runs already is taken from `COLLOQUY_STACK`.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { NO_BUDGET } from '../src/aggregate/budget.ts'
import { type Checkpoint, createCheckpoints } from '../src/aggregate/checkpoint.ts'
import { claim, openOwner } from '../src/aggregate/claim.ts'
import { createCounting } from '../src/aggregate/decode.ts'
import type { Position } from '../src/aggregate/offsets.ts'
import { createPublisher } from '../src/aggregate/publish.ts'
import { restore } from '../src/aggregate/restore.ts'
import { type PartitionState, POINT_FIELDS, type RestoredPoint } from '../src/aggregate/state.ts'
import { systemClock } from '../src/clock.ts'
import { memoryEncoder, memoryRegistry } from '../src/conformance/topics.ts'
import { connectKafka } from '../src/kafka/client.ts'
import { decoderFor, encoderFor } from '../src/kafka/codec.ts'
import type { ReadRecord, Writer } from '../src/kafka/port.ts'
import { createLog } from '../src/log.ts'
import type { Message, SeriesPoint, Session } from '../src/records.ts'
import { narrowSchema, schemaText } from '../src/schemas.ts'
import { type TopicNames, topicNames, topicSpecs } from '../src/topics.ts'
import { createWatermarks } from '../src/watermark.ts'
import { makeMessage, makeSession, random } from '../test/aggregate/make.ts'
import { dateAndCommit, figure, machine, spread } from './report.ts'
import { stackOf } from './stack.ts'

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '400' },
    sessions: { type: 'string', default: '100000' },
    series: { type: 'string', default: '1000' },
  },
})
const [DAYS, SESSIONS, SERIES] = [Number(values.days), Number(values.sessions), Number(values.series)]
const DAY_MS = 86_400_000
const BATCH = 20_000
/** As the aggregator has it. */
const CHECKPOINT_RECORDS = 400_000
const NOW = Date.now()
const FROM = Math.floor(NOW / DAY_MS) * DAY_MS - (DAYS - 1) * DAY_MS
const LATE = 20

const log = createLog('warn')
const stack = await stackOf(process.env['COLLOQUY_STACK'], log)
const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
const folder = await mkdtemp(join(tmpdir(), 'history-'))
const pointSchema = schemaText('series-point')
const registry = { ...memoryRegistry, newest: async () => null, ping: async () => {} }
const encoders = { session: memoryEncoder<Session>('session'), message: memoryEncoder<Message>('message') }
const retention = { minutesMs: 14 * DAY_MS, hoursMs: 400 * DAY_MS, daysMs: 1_825 * DAY_MS }
const keeps = { retention, seriesRetentionMs: Infinity, rememberMs: 15 * DAY_MS, includeTest: false }
const signal = new AbortController().signal
const marks = createWatermarks(() => true)
const r = random(1)

interface Input {
  readonly kind: 'sessions' | 'messages'
  readonly key: Buffer
  readonly value: Buffer
}

function sessionOf(number: number, day: number, revision: number): Session {
  const made = makeSession(r, `s${number}`, revision, FROM + day * DAY_MS, DAY_MS - 3_600_000)
  const bot_id = `bot-${number % SERIES}`
  return { ...made, bot_id, channel: 'web', language: 'en', is_test: null, user_id: `user-${number % (SESSIONS * 3)}` }
}

function input(session: Session): Input {
  return { kind: 'sessions', key: Buffer.from(session.session_key), value: Buffer.from(encoders.session.encode(session)) }
}

/** What comes in on a day, in batches. */
function* batchesOf(day: number): Iterable<Input[]> {
  let batch: Input[] = []
  for (let n = 0; n < SESSIONS; n++) {
    const session = sessionOf(day * SESSIONS + n, day, 2)
    batch.push(input({ ...session, revision: 1, ended_at: null, status: 'OPEN' }), input(session))
    for (let m = 0; m < 2; m++) {
      const made = makeMessage(r, `${session.session_id}-${m}`, session.started_at, 60_000)
      const message = { ...made, bot_id: session.bot_id, channel: session.channel, language: session.language }
      batch.push({
        kind: 'messages',
        key: Buffer.from(session.session_key),
        value: Buffer.from(encoders.message.encode(message)),
      })
    }
    if (day > 0 && n % 100 === 0) batch.push(input(lateRevision(r.int(day))))
    if (batch.length < BATCH) continue
    yield batch
    batch = []
  }
  yield batch
}

const lateRevision = (day: number) => sessionOf(day * SESSIONS + r.int(SESSIONS), day, 3)

/** One counting of the partition number, on topics of its own. */
interface Side {
  readonly names: TopicNames
  readonly checkpoint: Checkpoint | null
  state: PartitionState
  position: Position
  work(inputs: readonly Input[], nowMs: number): Promise<void>
  /** Forgets the state and restores it. @returns how long that took, ms */
  restart(): Promise<number>
  cpuUs: number
  records: number
  close(): Promise<void>
}

async function side(prefix: string, hasFolder: boolean): Promise<Side> {
  const names = topicNames(prefix)
  await kafka.ensureTopics(topicSpecs({ prefix, partitions: 1, replicationFactor: null, longestLookbackMs: 1 }), {
    create: true,
  })
  const counting = createCounting(registry, names, log)
  const parts = {
    kafka,
    names,
    groupId: 'bench',
    budgetOf: () => NO_BUDGET,
    points: decoderFor<RestoredPoint>({ schemaById: async () => pointSchema }, narrowSchema(pointSchema, POINT_FIELDS)),
    counting,
    keeps,
    log,
  }
  const publisher = createPublisher({
    ...parts,
    partition: 0,
    encoder: encoderFor<SeriesPoint>(pointSchema, 1),
    clock: systemClock,
  })
  const owner = { cluster: 'bench', prefix, groupId: 'bench', retention, seriesRetentionMs: Infinity }
  const checkpoint = hasFolder ? (await createCheckpoints(folder, owner, systemClock, log)).of(0) : null
  let writer: Writer | null = null
  let tail = 0

  async function open(): Promise<{ state: PartitionState; position: Position; tookMs: number }> {
    await writer?.close()
    const beganMs = performance.now()
    writer = openOwner(parts, 0)
    const opened = (await checkpoint?.open()) ?? null
    const stored = await claim(parts, 0, writer, signal, opened?.position.at ?? undefined)
    const { state, position } = await restore(parts, 0, stored, Date.now(), signal, opened)
    await opened?.close()
    return { state, position, tookMs: performance.now() - beganMs }
  }

  const { state, position } = await open()
  const made: Side = {
    names,
    checkpoint,
    state,
    position,
    cpuUs: 0,
    records: 0,
    async work(inputs, nowMs) {
      const before = process.cpuUsage()
      made.state.setTime({ clockMs: nowMs, publishedMs: nowMs })
      for (const kind of ['sessions', 'messages'] as const) {
        const records = inputs.filter(each => each.kind === kind).map(readRecord)
        await counting.apply({ topic: names[kind], partition: 0, records, next: 0, high: 0 }, made.state)
      }
      made.state.rollUp(2_000)
      const [points, contributions] = [made.position.series ?? 0, made.position.state ?? 0]
      made.position = await publisher.publish(writer as Writer, made.state, made.position, marks)
      tail += (made.position.series ?? 0) - points + ((made.position.state ?? 0) - contributions)
      if (checkpoint !== null && tail >= CHECKPOINT_RECORDS) {
        await checkpoint.write(made.state, made.position, Date.now())
        tail = 0
      }
      const { user, system } = process.cpuUsage(before)
      made.cpuUs += user + system
      made.records += inputs.length
    },
    async restart() {
      const { tookMs, ...restored } = await open()
      Object.assign(made, restored)
      return tookMs
    },
    close: async () => await writer?.close(),
  }
  return made
}

const readRecord = ({ key, value }: Input, offset: number): ReadRecord => ({ offset, key, value, timestamp: NOW, headers: {} })

const run = Date.now().toString(36)
const sides = { without: await side(`without-${run}`, false), with: await side(`with-${run}`, true) }
/** By side, CPU of a record on each day, µs. */
const costs = { without: [] as number[], with: [] as number[] }
for (let day = 0; day < DAYS; day++) {
  for (const name of ['with', 'without'] as const) Object.assign(sides[name], { cpuUs: 0, records: 0 })
  let turn = day
  for (const batch of batchesOf(day)) {
    const order = turn++ % 2 === 0 ? (['with', 'without'] as const) : (['without', 'with'] as const)
    for (const name of order) await sides[name].work(batch, FROM + (day + 1) * DAY_MS)
  }
  for (const name of ['with', 'without'] as const) costs[name].push(sides[name].cpuUs / sides[name].records)
  if (day % 20 === 19) process.stderr.write(`day ${day + 1}: ${figure(sides.with.state.sessions.size)} sessions\n`)
}

async function late(of: Side): Promise<number[]> {
  const took: number[] = []
  for (let n = 0; n < LATE; n++) {
    const revision = [input(lateRevision(r.int(Math.max(1, Math.floor(DAYS / 2)))))]
    const beganMs = performance.now()
    await of.work(revision, NOW)
    took.push(performance.now() - beganMs)
  }
  return took
}

const lateMs = await late(sides.with)
const killedMs = await sides.with.restart()
await sides.with.checkpoint?.write(sides.with.state, sides.with.position, Date.now())
const stoppedMs = await sides.with.restart()
const wholeMs = await sides.without.restart()
const { cells, sessions, counted } = sides.with.state
const tables = cells.bytes + sessions.bytes + counted.bytes
const { size } = await stat(join(folder, sides.with.names.series.replace(/\.series$/, ''), '0.checkpoint'))
const mib = (bytes: number) => `${figure(bytes / 2 ** 20)} MiB`
process.stdout.write(
  `${machine(stack.kafkaVersion)}; ${dateAndCommit()}: ${figure(SESSIONS)} sessions a day, ${figure(SERIES)} series, ${DAYS} days, one partition number: ` +
    `CPU a record ${spread(costs.with, 1)} µs with a folder, ${spread(costs.without, 1)} µs without (by day); tables ${mib(tables)} (${figure(tables / sessions.size)} bytes a session), ` +
    `file ${mib(size)}; start ${figure(stoppedMs)} ms after a stop, ${figure(killedMs)} ms after a kill, ${figure(wholeMs)} ms without a folder; ` +
    `late revision ${spread(lateMs, 1)} ms with its transaction\n`,
)
for (const each of Object.values(sides)) await each.close()
await kafka.close()
await stack.stop()
await rm(folder, { recursive: true, force: true })
