/** What the aggregator counts, on topics in memory. */
import type { MemoryKafka } from '../../src/conformance/memory-kafka.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import type { WriteRecord } from '../../src/kafka/port.ts'
import { type SchemaName, schemaText } from '../../src/schemas.ts'
import { names, type Step } from './world.ts'

const SCHEMAS: readonly SchemaName[] = ['series-point', 'session', 'message', 'event', 'progress']
export const registry = {
  register: async (_: string, text: string) => SCHEMAS.findIndex(name => schemaText(name) === text) + 1,
  schemaById: async (id: number) => schemaText(SCHEMAS[id - 1] ?? 'session'),
  newest: async () => null,
  ping: async () => {},
}
export const encoder = <T extends object>(name: SchemaName) => encoderFor<T>(schemaText(name), SCHEMAS.indexOf(name) + 1)
const encoders = { session: encoder('session'), message: encoder('message'), event: encoder('event') }

/** Puts records on a topic. */
export async function write(kafka: MemoryKafka, topic: string, records: readonly WriteRecord[]): Promise<void> {
  const writer = kafka.openWriter({ transactionalId: 'feeder' })
  await writer.fence()
  await writer.transact(async tx => void (await tx.write([{ topic, partition: 0, records }])))
}

/** One transaction a topic. */
export async function feed(kafka: MemoryKafka, steps: readonly Step[]): Promise<void> {
  const records = new Map<string, WriteRecord[]>()
  const add = (topic: string, key: string | null, value: Buffer | null) =>
    records.set(topic, [...(records.get(topic) ?? []), { key: key === null ? null : Buffer.from(key), value }])
  for (const step of steps) {
    if (step.kind === 'withdrawal') add(names.sessions, step.key, null)
    else if (step.kind === 'session') add(names.sessions, step.record.session_key, encoders.session.encode(step.record))
    else if (step.kind === 'event') add(names.events, null, encoders.event.encode(step.record))
    else add(names.messages, null, encoders.message.encode(step.record))
  }
  for (const [topic, all] of records) await write(kafka, topic, all)
}
