import { expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { barrierOf } from '../../src/ingest/barrier.ts'
import { ownReads, SharedReads } from '../../src/ingest/shared-read.ts'
import type { Kafka } from '../../src/kafka/port.ts'

const place = { topic: 'offsets', partition: 1 }

async function write(kafka: ReturnType<typeof memoryKafka>, text: string): Promise<number> {
  const writer = kafka.openWriter({ transactionalId: text })
  await writer.fence()
  const records = [{ key: Buffer.from('["a","b","c",1]'), value: Buffer.from(text) }]
  const [written] = await writer.transact(tx => tx.write([{ ...place, records }]))
  return written?.lastOffset ?? -1
}

test('a barrier is past what was committed before, and leaves nothing to read', async () => {
  const kafka = memoryKafka()
  const barrier = barrierOf(kafka, 'barrier')
  const first = await write(kafka, 'one')
  expect(await barrier.ask(place)).toBeGreaterThan(first)
  const second = await write(kafka, 'two')
  const asked = await Promise.all([barrier.ask(place), barrier.ask(place)])
  for (const offset of asked) expect(offset).toBeGreaterThan(second)
  expect(kafka.committed(place.topic).map(({ value }) => String(value))).toEqual(['one', 'two'])
  await barrier.close()
})

test('a barrier that was lost is asked with another writer', async () => {
  const kafka = memoryKafka()
  const barrier = barrierOf(kafka, 'barrier')
  await barrier.ask(place)
  const thief = kafka.openWriter({ transactionalId: 'barrier' })
  await thief.fence()
  await expect(barrier.ask(place)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  expect(await barrier.ask(place)).toBeGreaterThan(0)
})

test('whoever restores reads past the barrier, not only to the end that a leader tells', async () => {
  const asked: unknown[] = []
  const kafka: Pick<Kafka, 'readToEnd' | 'watermarks'> = {
    watermarks: async places => places.map(each => ({ ...each, low: 0, high: 3 })),
    readToEnd: async of => {
      asked.push(of)
      return 8
    },
  }
  const barrier = async () => 7
  const shared = new SharedReads(kafka, new AbortController().signal, barrier)
  await Promise.all([shared.newest(place, 'key'), shared.read(place, '["a","b","c",', () => {})])
  const own = ownReads(kafka, undefined, barrier)
  await own.newest(place, 'key')
  await own.read(place, '["a","b","c",', () => {})
  expect(asked).toEqual([{ ...place, past: 7, from: 0 }, ...Array.from({ length: 3 }, () => ({ ...place, past: 7 }))])
})
