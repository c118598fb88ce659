import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { cursorKey } from '../../src/ingest/cursor.ts'
import { withdrawRemoved } from '../../src/ingest/removed.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import { silentLog } from '../../src/log.ts'
import { names, PARTITIONS } from './world.ts'

const configured = [
  { connector: 'acme', stream: 'sessions', scope: 'bot/1' },
  { connector: 'acme', stream: 'events', scope: 'bot/1' },
]

async function writeCursor(kafka: MemoryKafka, progressKey: string, worker: string | null, untilMs: number): Promise<void> {
  const [connector = '', stream = '', ...scope] = progressKey.split('/')
  const key = cursorKey({ connector, stream, scope: scope.join('/') })
  const value = JSON.stringify({ 'live.until': new Date(untilMs).toISOString(), ...(worker === null ? {} : { worker }) })
  const writer = kafka.openWriter({ transactionalId: `cursor of ${progressKey}` })
  await writer.fence()
  const records = [{ key: Buffer.from(key), value: Buffer.from(value) }]
  await writer.transact(tx => tx.write([{ topic: names.offsets, partition: partitionOf(key, PARTITIONS), records }]))
}

async function placeOf(keys: readonly string[], workerOf: (key: string) => string | null = () => 'gone') {
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
  for (const key of keys) await writeCursor(kafka, key, workerOf(key), 0)
  return {
    kafka,
    /** @param alive Workers that live. */
    withdraw: (alive: readonly string[] = [], clock: Clock = systemClock, signal = new AbortController().signal) => {
      const isAlive = (worker: string) => alive.includes(worker)
      const of = { kafka, names, prefix: 'tiny', partitions: PARTITIONS, configured, isAlive, clock, log: silentLog, signal }
      return withdrawRemoved(of)
    },
    standing: () => {
      const newest = new Map(kafka.committed(names.progress).map(({ key, value }) => [String(key), value]))
      return [...newest].flatMap(([key, value]) => (value === null ? [] : [key])).sort()
    },
  }
}

test('what the config no longer has is withdrawn, connectors, streams and scopes; what it has stays', async () => {
  const { withdraw, standing } = await placeOf([
    'acme/sessions/bot/1',
    'acme/sessions/bot/2',
    'acme/flows/bot/1',
    'acme/events/bot/1',
    'other/sessions/bot/2',
  ])
  await withdraw()
  expect(standing()).toEqual(['acme/events/bot/1', 'acme/sessions/bot/1'])
})

test('what a living process with another config reads stays, and what its other processes have left goes', async () => {
  const { withdraw, standing } = await placeOf(['acme/sessions/bot/2', 'other/sessions/a'], key =>
    key.startsWith('other') ? 'living' : 'gone',
  )
  await withdraw(['living'])
  expect(standing()).toEqual(['other/sessions/a'])
  await withdraw()
  expect(standing()).toEqual([])
})

test('a cursor that names no process, as earlier versions write it, must stand still before its source partition counts as removed', async () => {
  const { kafka, withdraw, standing } = await placeOf(['old/sessions/a', 'moving/sessions/a'], () => null)
  const stop = new AbortController()
  let slept = 0
  const clock: Clock = {
    now: () => 0,
    async sleep(ms) {
      slept += ms
      if (slept < 1_800_000) await writeCursor(kafka, 'moving/sessions/a', null, slept)
      else stop.abort()
    },
  }
  await withdraw([], clock, stop.signal)
  expect(standing()).toEqual(['moving/sessions/a'])
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
