import { FlowError } from '../errors.ts'
import type { Chunk, Kafka, PartitionBatch, ReadRecord, WriteRecord, Writer, WrittenRange } from '../kafka/port.ts'

type Outcome = 'open' | 'committed' | 'aborted'

interface Entry {
  readonly record: WriteRecord | null
  readonly timestamp: number
  readonly transaction: { outcome: Outcome }
}

/** The part of Kafka that ingest needs, in memory: transactions that land whole or not at all, fencing by id, readers that see committed records only. */
export interface MemoryKafka extends Pick<Kafka, 'openWriter' | 'readToEnd' | 'readRange' | 'offsetsAt' | 'watermarks' | 'tail'> {
  /** Committed records in offset order, of all partitions of the topic. */
  committed(topic: string): (ReadRecord & { partition: number })[]
  /** How the next commits end; afterwards they succeed. `lost`: committed, but the answer never came. `aborted`: the broker gave it up. */
  nextCommits(...outcomes: ('lost' | 'aborted' | 'ok')[]): void
  readonly transactions: number
}

/** @param now The time that records are written at, epoch milliseconds. */
export function memoryKafka(now: () => number = () => 0): MemoryKafka {
  const logs = new Map<string, Entry[]>()
  const owners = new Map<string, { epoch: number; open: { outcome: Outcome } | null }>()
  const outcomes: ('lost' | 'aborted' | 'ok')[] = []
  let transactions = 0
  /** Wakes those who tail. */
  const wake = new Set<() => void>()
  const ended = (transaction: { outcome: Outcome }, outcome: Outcome) => {
    transaction.outcome = outcome
    for (const each of wake) each()
  }

  const logOf = (topic: string, partition: number) => {
    const key = `${topic}/${partition}`
    let log = logs.get(key)
    if (!log) logs.set(key, (log = []))
    return log
  }
  const readable = (log: Entry[]): ReadRecord[] =>
    log.flatMap(({ record, timestamp, transaction }, offset) =>
      record && transaction.outcome === 'committed'
        ? [{ offset, timestamp, key: record.key, value: record.value, headers: buffersOf(record.headers) }]
        : [],
    )

  function openWriter({ transactionalId }: { transactionalId: string }): Writer {
    let epoch = -1
    let spent = false
    const owner = () => {
      const of = owners.get(transactionalId)
      if (!of || of.epoch !== epoch) throw new FlowError('KAFKA_FENCED', { transactionalId })
      return of
    }
    return {
      transactionalId,
      async fence() {
        const before = owners.get(transactionalId)
        if (before?.open) ended(before.open, 'aborted')
        epoch = (before?.epoch ?? 0) + 1
        owners.set(transactionalId, { epoch, open: null })
      },
      async transact(work) {
        if (spent) throw new FlowError('KAFKA_ABORTED', { transactionalId })
        const transaction: { outcome: Outcome } = { outcome: 'open' }
        owner().open = transaction
        try {
          const result = await work({
            async write(batches: readonly PartitionBatch[]) {
              owner()
              const written: WrittenRange[] = []
              for (const { topic, partition, records } of batches) {
                const log = logOf(topic, partition)
                const firstOffset = log.length
                for (const record of records) log.push({ record: copyOf(record), timestamp: now(), transaction })
                written.push({ topic, partition, firstOffset, lastOffset: log.length - 1 })
                expectRoom(records)
              }
              return written
            },
            async commitGroupOffsets() {},
          })
          owner()
          const outcome = outcomes.shift() ?? 'ok'
          if (outcome === 'aborted') {
            spent = true
            throw new FlowError('KAFKA_ABORTED', { transactionalId })
          }
          // A commit marker takes an offset too.
          for (const log of logs.values())
            if (log.at(-1)?.transaction === transaction) log.push({ record: null, timestamp: now(), transaction })
          transactions++
          ended(transaction, 'committed')
          if (outcome === 'lost') {
            spent = true
            throw new FlowError('KAFKA_OUTCOME_UNKNOWN', { transactionalId })
          }
          return result
        } catch (error) {
          if (transaction.outcome === 'open') ended(transaction, 'aborted')
          throw error
        } finally {
          const now = owners.get(transactionalId)
          if (now?.open === transaction) now.open = null
        }
      },
      async close() {
        spent = true
        const now = owners.get(transactionalId)
        if (now?.epoch === epoch && now.open) ended(now.open, 'aborted')
      },
    }
  }

  /** What can be read of the partition: up to the first open transaction. */
  function chunkFrom(topic: string, partition: number, offset: number): Chunk | null {
    const log = logOf(topic, partition)
    const open = log.findIndex(({ transaction }) => transaction.outcome === 'open')
    const next = open < 0 ? log.length : open
    if (next <= offset) return null
    return {
      topic,
      partition,
      records: readable(log.slice(0, next)).filter(record => record.offset >= offset),
      next,
      high: log.length,
    }
  }

  async function* tail(
    places: readonly { topic: string; partition: number; offset: number }[],
    { signal }: { readonly signal: AbortSignal },
  ): AsyncGenerator<Chunk[]> {
    const positions = places.map(place => ({ ...place }))
    while (!signal.aborted) {
      const chunks = positions.flatMap(place => chunkFrom(place.topic, place.partition, place.offset) ?? [])
      for (const place of positions)
        place.offset = chunks.find(each => each.topic === place.topic && each.partition === place.partition)?.next ?? place.offset
      if (chunks.length > 0) yield chunks
      else
        await new Promise<void>(resolve => {
          const woken = () => {
            wake.delete(woken)
            signal.removeEventListener('abort', woken)
            resolve()
          }
          wake.add(woken)
          signal.addEventListener('abort', woken, { once: true })
        })
    }
  }

  return {
    openWriter,
    tail,
    async readToEnd({ topic, partition, from = 0 }, onRecord) {
      const log = logOf(topic, partition)
      for (const record of readable(log)) if (record.offset >= from) onRecord(record)
      return log.length
    },
    async readRange({ topic, partition, from, until }, onRecord, signal) {
      if (signal?.aborted === true) throw new FlowError('STOPPED', { topic, partition })
      const chunk = chunkFrom(topic, partition, from)
      for (const record of chunk?.records ?? []) if (record.offset < until) onRecord(record)
      return Math.min(chunk?.next ?? from, until)
    },
    offsetsAt: async (places, timeMs) =>
      places.map(({ topic, partition }) => {
        const offset = logOf(topic, partition).findIndex(({ timestamp }) => timestamp >= timeMs)
        return { topic, partition, offset: offset < 0 ? null : offset }
      }),
    watermarks: async places =>
      places.map(({ topic, partition }) => ({ topic, partition, low: 0, high: logOf(topic, partition).length })),
    committed: topic =>
      [...logs].flatMap(([key, log]) => {
        const slash = key.lastIndexOf('/')
        return key.slice(0, slash) === topic
          ? readable(log).map(record => ({ ...record, partition: Number(key.slice(slash + 1)) }))
          : []
      }),
    nextCommits: (...next) => void outcomes.push(...next),
    get transactions() {
      return transactions
    },
  }
}

/** As the wire would: what is written later into the same memory does not change what was sent. */
function copyOf({ key, value, headers }: WriteRecord): WriteRecord {
  return { key: key && Buffer.from(key), value: value && Buffer.from(value), ...(headers ? { headers: { ...headers } } : {}) }
}

function buffersOf(headers: Readonly<Record<string, string>> = {}): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]))
}

function expectRoom(records: readonly WriteRecord[]): void {
  for (const { value } of records)
    if (value && value.length > 1_048_588) throw new FlowError('KAFKA_REFUSED', { bytes: value.length })
}
