import { expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { withdrawRemoved } from '../../src/ingest/removed.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { silentLog } from '../../src/log.ts'
import { names, PARTITIONS } from './world.ts'

const configured = [
  { connector: 'acme', stream: 'sessions', scope: 'bot/1' },
  { connector: 'acme', stream: 'events', scope: 'bot/1' },
]

async function placeOf(keys: readonly string[]) {
  const kafka = memoryKafka()
  const writer = kafka.openWriter({ transactionalId: 'before' })
  await writer.fence()
  await writer.transact(tx =>
    tx.write(
      keys.map(key => ({
        topic: names.progress,
        partition: partitionOf(key, PARTITIONS),
        records: [{ key: Buffer.from(key), value: Buffer.from('progress') }],
      })),
    ),
  )
  return {
    kafka,
    withdraw: (removed: readonly string[] = []) =>
      withdrawRemoved({
        kafka,
        names,
        prefix: 'tiny',
        partitions: PARTITIONS,
        configured,
        removed,
        log: silentLog,
        signal: new AbortController().signal,
      }),
    standing: () => {
      const newest = new Map(kafka.committed(names.progress).map(({ key, value }) => [String(key), value]))
      return [...newest].flatMap(([key, value]) => (value === null ? [] : [key])).sort()
    },
  }
}

test('streams and scopes that a connector of the config no longer has are withdrawn, and nothing else is', async () => {
  const { withdraw, standing } = await placeOf([
    'acme/sessions/bot/1',
    'acme/sessions/bot/2',
    'acme/flows/bot/1',
    'acme/events/bot/1',
    'other/sessions/bot/2',
  ])
  await withdraw()
  expect(standing()).toEqual(['acme/events/bot/1', 'acme/sessions/bot/1', 'other/sessions/bot/2'])
})

test('a connector that is not in the file is withdrawn only where the file says that it is gone', async () => {
  const { withdraw, standing } = await placeOf(['acme/sessions/bot/1', 'old/sessions/a', 'old/sessions/b', 'other/sessions/a'])
  await withdraw()
  expect(standing()).toHaveLength(4)
  await withdraw(['old'])
  expect(standing()).toEqual(['acme/sessions/bot/1', 'other/sessions/a'])
})

test('who still reads what was removed is fenced by either id before its progress is withdrawn, and it is withdrawn once', async () => {
  const { kafka, withdraw } = await placeOf(['acme/sessions/gone'])
  const readers = ['tiny/acme/sessions/gone', 'tiny-acme-sessions-gone'].map(transactionalId =>
    kafka.openWriter({ transactionalId }),
  )
  for (const reader of readers) await reader.fence()
  await withdraw()
  for (const reader of readers) await expect(reader.transact(async () => {})).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  const before = kafka.transactions
  await withdraw()
  expect(kafka.transactions).toBe(before)
})
