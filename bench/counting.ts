/**
 * What a record costs in the aggregator alone: decoded, counted, published, without Kafka. `node bench/counting.ts [SESSIONS]` prints CPU a record and bytes a
 * session as JSON, to be run by turns on two commits. The bytes that would be written are counted and thrown away.
 */
import { createCounting } from '../src/aggregate/decode.ts'
import { createPublisher } from '../src/aggregate/publish.ts'
import { createState } from '../src/aggregate/state.ts'
import { memoryEncoder, memoryRegistry } from '../src/conformance/topics.ts'
import { encoderFor } from '../src/kafka/codec.ts'
import type { ReadRecord, Transaction, Writer } from '../src/kafka/port.ts'
import { silentLog } from '../src/log.ts'
import type { Event, Message, SeriesPoint, Session } from '../src/records.ts'
import { schemaText } from '../src/schemas.ts'
import { topicNames } from '../src/topics.ts'
import { createWatermarks } from '../src/watermark.ts'
import { makeEvent, makeMessage, makeSession, random } from '../test/aggregate/make.ts'

const SESSIONS = Number(process.argv[2] ?? 30_000)
const [REVISIONS, MESSAGES, EVENTS] = [3, 14, 5]
const BATCH = 20_000
const DAY_MS = 86_400_000
const FROM = Date.parse('2026-11-01T00:00:00Z')

const names = topicNames('bench')
const registry = { ...memoryRegistry, newest: async () => null, ping: async () => {} }
const encoders = {
  session: memoryEncoder<Session>('session'),
  message: memoryEncoder<Message>('message'),
  event: memoryEncoder<Event>('event'),
}
const r = random(1)

type Input = { topic: string; record: ReadRecord }

/** Of one session after the other, as a backfill brings them: three days, ten series, users who come again. */
function* inputs(): Iterable<Input> {
  let offset = 0
  const read = (topic: string, key: string, value: Buffer): Input => ({
    topic,
    record: { offset: offset++, key: Buffer.from(key), value: Buffer.from(value), timestamp: FROM, headers: {} },
  })
  for (let i = 0; i < SESSIONS; i++) {
    const at = FROM + Math.floor((i / SESSIONS) * 3 * DAY_MS)
    const user_id = `user-${r.int(SESSIONS / 3)}`
    const first = { ...makeSession(r, `s${i}`, 1, at, 60_000), user_id, is_test: null }
    const of = { bot_id: first.bot_id, channel: first.channel, language: first.language }
    for (let revision = 1; revision <= REVISIONS; revision++) {
      const ended_at = revision < REVISIONS ? null : first.started_at + r.int(1_800_000)
      yield read(names.sessions, first.session_key, encoders.session.encode({ ...first, revision, ended_at }))
    }
    for (let n = 0; n < MESSAGES; n++)
      yield read(
        names.messages,
        first.session_key,
        encoders.message.encode({ ...makeMessage(r, `${i}-${n}`, at, 600_000), ...of }),
      )
    for (let n = 0; n < EVENTS; n++)
      yield read(names.events, first.session_key, encoders.event.encode({ ...makeEvent(r, `${i}-${n}`, at, 600_000), ...of }))
  }
}

const batches: Input[][] = []
for (const input of inputs()) {
  const last = batches.at(-1)
  if (last === undefined || last.length >= BATCH) batches.push([input])
  else last.push(input)
}

let written = 0
const transaction: Transaction = {
  async write(all) {
    for (const { records } of all) for (const { key, value } of records) written += (key?.length ?? 0) + (value?.length ?? 0)
    return all.map(({ topic, partition, records }) => ({ topic, partition, firstOffset: 0, lastOffset: records.length - 1 }))
  },
  async commitGroupOffsets() {},
}
const writer: Writer = {
  transactionalId: 'bench',
  async fence() {},
  transact: work => work(transaction),
  async close() {},
}
const state = createState({ retention: { minutesMs: 14 * DAY_MS, hoursMs: 400 * DAY_MS, daysMs: 1825 * DAY_MS } })
const counting = createCounting(registry, names, silentLog)
const publisher = createPublisher({
  names,
  partition: 0,
  groupId: 'bench',
  encoder: encoderFor<SeriesPoint>(schemaText('series-point'), 9),
  clock: { now: () => FROM, sleep: async () => {} },
})
const marks = createWatermarks(() => true)

let records = 0
let points = 0
let began = process.cpuUsage()
for (const [n, batch] of batches.entries()) {
  if (n === Math.ceil(batches.length / 10)) {
    began = process.cpuUsage()
    records = 0
  }
  for (const [topic, of] of Map.groupBy(batch, input => input.topic))
    await counting.apply({ topic, partition: 0, records: of.map(({ record }) => record), next: 0, high: 0 }, state)
  const position = {
    inputs: new Map<string, number>(),
    series: null,
    state: null,
    timeMs: null,
    groupId: null,
    history: null,
    at: null,
    next: null,
  }
  points += (await publisher.publish(writer, state, position, marks)).points
  records += batch.length
}
const { user, system } = process.cpuUsage(began)
const tables = state.cells.bytes + state.sessions.bytes + state.counted.bytes
process.stdout.write(
  `${JSON.stringify({
    cpuUsPerRecord: (user + system) / records,
    records,
    points,
    writtenPerRecord: written / batches.reduce((sum, batch) => sum + batch.length, 0),
    tableBytesPerSession: tables / SESSIONS,
  })}\n`,
)
