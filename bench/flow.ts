/**
 * `node bench/flow.ts [--events N] [--conversations N]`: how long the flow of one conversation takes from a partition of real Kafka, the first time and when its blocks
 * are known, what is remembered, and how much CPU the longest turn of the event loop took. Prints a line for `results.md`. Conversations have five events each within five minutes of each other.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../src/clock.ts'
import { connectKafka } from '../src/kafka/client.ts'
import { encoderFor } from '../src/kafka/codec.ts'
import type { WriteRecord } from '../src/kafka/port.ts'
import { createLog } from '../src/log.ts'
import type { Event } from '../src/records.ts'
import { schemaText } from '../src/schemas.ts'
import { createEventIndex } from '../src/serve/event-index.ts'
import { startStack } from '../src/stack/stack.ts'
import { makeEvent, random } from '../test/aggregate/make.ts'
import { dateAndCommit, machine } from './report.ts'

const { values } = parseArgs({
  options: { events: { type: 'string', default: '500000' }, questions: { type: 'string', default: '40' } },
})
const EVENTS = Number(values.events)
const QUESTIONS = Number(values.questions)
const EACH = 5
/** So many conversations are under way at once. */
const AT_ONCE = 300
const BATCH = 10_000

const log = createLog('warn')
const stack = await startStack({ profile: 'demo', log, env: process.env })
const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
const schema = schemaText('event')
const topic = 'bench.events'
await kafka.ensureTopics([{ topic, partitions: 1, replicationFactor: 1, config: { 'cleanup.policy': 'delete' } }], {
  create: true,
})
const encoder = encoderFor<Event>(schema, 1)
const writer = kafka.openWriter({ transactionalId: 'bench' })
await writer.fence()
const r = random(1)

/** Conversation of the event at this place: each goes on five times while `AT_ONCE` are under way. */
const conversationAt = (place: number) => Math.floor(place / (EACH * AT_ONCE)) * AT_ONCE + (place % AT_ONCE)
let bytes = 0
for (let from = 0; from < EVENTS; from += BATCH) {
  const records: WriteRecord[] = []
  for (let place = from; place < Math.min(from + BATCH, EVENTS); place++) {
    const session_id = `c${conversationAt(place)}`
    const event = {
      ...makeEvent(r, `${place}`, Date.now(), 1),
      session_id,
      session_key: `bench:acme:${session_id}`,
      attributes: { messageId: `message-${place}`, flow: 'payments', step_name: 'amount', step_number: '3' },
    }
    const value = Buffer.from(encoder.encode(event))
    bytes += value.length
    records.push({ key: Buffer.from(event.session_key), value })
  }
  await writer.transact(tx => tx.write([{ topic, partition: 0, records }]))
}
await writer.close()
process.stderr.write(`${EVENTS} events written, ${Math.round(bytes / EVENTS)} bytes each\n`)

const never = new AbortController().signal
/** CPU of the main thread in the longest turn of the event loop, ms: what a machine that is busy with others cannot make longer. */
let longestMs = 0
let isWatched = true
const cpuMs = () => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
function watch(beforeMs: number): void {
  const nowMs = cpuMs()
  longestMs = Math.max(longestMs, nowMs - beforeMs)
  if (isWatched) setImmediate(watch, cpuMs())
}
async function ask(index: ReturnType<typeof createEventIndex>, conversation: number): Promise<number> {
  const beganMs = performance.now()
  const found = await index.find({ partition: 0, fromMs: 0, wanted: [`bench:acme:c${conversation}`] }, never)
  if ('refused' in found || found.length !== EACH) throw new Error(`found ${JSON.stringify(found).slice(0, 200)}`)
  return performance.now() - beganMs
}
const indexOf = () =>
  createEventIndex({
    kafka,
    registry: { schemaById: async () => schema },
    topic,
    partitions: 1,
    clock: systemClock,
    limits: { longestMs: 600_000 },
  })
const conversations = Math.floor(EVENTS / EACH / AT_ONCE) * AT_ONCE
const middle = (of: number[]) => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0
const shown = (of: number[]) =>
  `${middle(of).toFixed(0)} ms (${Math.min(...of).toFixed(0)}–${Math.max(...of).toFixed(0)}, n ${of.length})`

watch(cpuMs())
const first: number[] = []
let index = indexOf()
for (let n = 0; n < 3; n++) {
  index = indexOf()
  first.push(await ask(index, r.int(conversations)))
}
const firstLongestMs = longestMs
longestMs = 0
const known: number[] = []
for (let n = 0; n < QUESTIONS; n++) known.push(await ask(index, r.int(conversations)))
process.stdout.write(
  `${machine(stack.info.kafkaVersion)}; ${dateAndCommit()}: ${EVENTS} events of ${conversations} conversations in one partition: first question ${shown(first)}, ` +
    `known ${shown(known)}; ${(index.bytes / conversations).toFixed(1)} bytes a conversation; longest turn of the loop ${firstLongestMs.toFixed(1)} ms and ${longestMs.toFixed(1)} ms of CPU\n`,
)
isWatched = false
await kafka.close()
await stack.stop()
