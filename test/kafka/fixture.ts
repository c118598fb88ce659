/** Shared by the integration tests of this room: topics of their own on the real broker, and cleanup at the end. */
import { randomBytes } from 'node:crypto'
import { afterEach, inject } from 'vitest'
import { connectKafka } from '../../src/kafka/client.ts'
import type { Kafka, KafkaOptions, ReadRecord, TopicPartition, WriteRecord, Writer } from '../../src/kafka/port.ts'
import { createLog, type Log } from '../../src/log.ts'
import { type Proxy, startProxy } from './proxy.ts'

const opened: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

/** Closed after the test, last opened first. */
export function closing<T extends { close(): Promise<void> }>(one: T): T {
  opened.push(one)
  return one
}

export function brokers(): string {
  return inject('stack').brokers
}

export function kafka(options: Partial<KafkaOptions> = {}): Kafka {
  return closing(connectKafka({ brokers: [brokers()], clientId: 'test', log: createLog('silent'), ...options }))
}

export async function proxy(): Promise<Proxy> {
  return closing(await startProxy(brokers()))
}

export function unique(name: string): string {
  return `${name}-${randomBytes(5).toString('hex')}`
}

/** A new topic; the settings go on top of those of a topic that keeps everything. */
export async function topic(kafka: Kafka, partitions = 1, config: Record<string, string> = {}): Promise<string> {
  const name = unique('edge')
  await kafka.ensureTopics(
    [{ topic: name, partitions, replicationFactor: null, config: { 'cleanup.policy': 'delete', ...config } }],
    { create: true },
  )
  return name
}

export async function fencedWriter(kafka: Kafka, transactionalId: string, transactionTimeoutMs?: number): Promise<Writer> {
  const writer = kafka.openWriter({ transactionalId, ...(transactionTimeoutMs === undefined ? {} : { transactionTimeoutMs }) })
  await writer.fence()
  return writer
}

export const record = (key: string, value: string = key): WriteRecord => ({ key: Buffer.from(key), value: Buffer.from(value) })

/** One transaction with one record for each value. */
export async function commit(writer: Writer, place: TopicPartition, ...values: string[]): Promise<void> {
  await writer.transact(tx => tx.write([{ ...place, records: values.map(value => record(value)) }]))
}

export async function valuesOf(kafka: Kafka, place: TopicPartition & { from?: number }): Promise<string[]> {
  const values: string[] = []
  await kafka.readToEnd(place, found => values.push(textOf(found)))
  return values
}

export function textOf(found: ReadRecord): string {
  return found.value === null ? 'null' : found.value.toString()
}

/** A log that records its lines. */
export function keptLog(): { log: Log; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  return { log: createLog('info', line => lines.push(JSON.parse(line) as Record<string, unknown>)), lines }
}

/** Resolves once the condition holds; a test that waits in vain fails by its own time limit. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) {
    await new Promise(resolve => {
      setTimeout(resolve, 20)
    })
  }
}
