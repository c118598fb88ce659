import { FlowError } from '../errors.ts'
import type { Chunk, Kafka, PartitionBatch, ReadRecord, WriteRecord, Writer, WrittenRange } from '../kafka/port.ts'

type Outcome = 'open' | 'committed' | 'aborted'

/** Of a partition, by offset. A commit marker has no record. */
interface Entry {
  readonly record: ReadRecord | null
  readonly timestamp: number
  readonly transaction: { outcome: Outcome }
}

interface Log {
  readonly entries: Entry[]
  /** Every transaction with an entry below this offset has ended. May be out of date: see `stableOf`. */
  stable: number
  /** The newest committed record of each key below `stable`. */
  readonly newest: Map<string, ReadRecord>
}

/** The part of Kafka that ingest needs, in memory: atomic transactions, fencing by id, read-committed readers. */
export interface MemoryKafka extends Pick<Kafka, 'openWriter' | 'readToEnd' | 'readRange' | 'offsetsAt' | 'watermarks' | 'tail'> {
  /** Committed records in offset order, of all partitions of the topic. */
  committed(topic: string): (ReadRecord & { partition: number })[]
  /** What compaction would keep of the topic: the newest committed record of each key, in the order of the keys' first records. Keys are treated as text. */
  newest(topic: string): ReadonlyMap<string, ReadRecord>
  /** How the next commits end; afterwards they succeed. `lost`: committed, but the answer never came. `aborted`: the broker aborted it. */
  nextCommits(...outcomes: ('lost' | 'aborted' | 'ok')[]): void
  readonly transactions: number
}

/** @param now Timestamp of records, epoch milliseconds. */
export function memoryKafka(now: () => number = () => 0): MemoryKafka {
  const logs = new Map<string, Map<number, Log>>()
  const owners = new Map<string, { epoch: number; open: { outcome: Outcome } | null }>()
  const outcomes: ('lost' | 'aborted' | 'ok')[] = []
  let transactions = 0
  /** Wakes the tailing readers. */
  const wake = new Set<() => void>()
  const ended = (transaction: { outcome: Outcome }, outcome: Outcome) => {
    transaction.outcome = outcome
    for (const each of wake) each()
  }

  const logOf = (topic: string, partition: number): Log => {
    let partitions = logs.get(topic)
    if (!partitions) logs.set(topic, (partitions = new Map()))
    let log = partitions.get(partition)
    if (!log) partitions.set(partition, (log = { entries: [], stable: 0, newest: new Map() }))
    return log
  }
  /** The last stable offset: of the first entry whose transaction is open, else the end. */
  const stableOf = (log: Log): number => {
    for (let entry = log.entries[log.stable]; entry && entry.transaction.outcome !== 'open'; entry = log.entries[++log.stable])
      if (isCommitted(entry)) log.newest.set(String(entry.record.key), entry.record)
    return log.stable
  }
  const readable = ({ entries }: Log, from = 0, until = entries.length): ReadRecord[] => {
    const records: ReadRecord[] = []
    for (let offset = from; offset < until; offset++) {
      const entry = entries[offset]
      if (entry && isCommitted(entry)) records.push(entry.record)
    }
    return records
  }

  function openWriter({ transactionalId, mayClaim }: Parameters<Kafka['openWriter']>[0]): Writer {
    let epoch = -1
    let spent = false
    const owner = () => {
      const owner = owners.get(transactionalId)
      if (!owner || owner.epoch !== epoch) throw new FlowError('KAFKA_FENCED', { transactionalId })
      return owner
    }
    return {
      transactionalId,
      async fence() {
        await mayClaim?.()
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
                const { entries } = logOf(topic, partition)
                const firstOffset = entries.length
                for (const record of records) {
                  const timestamp = now()
                  entries.push({ record: asRead(record, entries.length, timestamp), timestamp, transaction })
                }
                written.push({ topic, partition, firstOffset, lastOffset: entries.length - 1 })
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
          for (const { entries } of [...logs.values()].flatMap(partitions => [...partitions.values()]))
            if (entries.at(-1)?.transaction === transaction) entries.push({ record: null, timestamp: now(), transaction })
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
    const next = stableOf(log)
    if (next <= offset) return null
    return { topic, partition, records: readable(log, offset, next), next, high: log.entries.length }
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
      const { length } = log.entries
      for (const record of readable(log, from)) onRecord(record)
      return length
    },
    async readRange({ topic, partition, from, until }, onRecord, signal) {
      if (signal?.aborted === true) throw new FlowError('STOPPED', { topic, partition })
      const chunk = chunkFrom(topic, partition, from)
      for (const record of chunk?.records ?? []) if (record.offset < until) onRecord(record)
      return Math.min(chunk?.next ?? from, until)
    },
    offsetsAt: async (places, timeMs) =>
      places.map(({ topic, partition }) => {
        const offset = logOf(topic, partition).entries.findIndex(({ timestamp }) => timestamp >= timeMs)
        return { topic, partition, offset: offset < 0 ? null : offset }
      }),
    watermarks: async places =>
      places.map(({ topic, partition }) => ({ topic, partition, low: 0, high: logOf(topic, partition).entries.length })),
    committed: topic =>
      [...(logs.get(topic) ?? [])].flatMap(([partition, log]) => readable(log).map(record => ({ ...record, partition }))),
    newest: topic => {
      const newest = new Map<string, ReadRecord>()
      for (const log of logs.get(topic)?.values() ?? []) {
        const stable = stableOf(log)
        for (const [key, record] of log.newest) newest.set(key, record)
        for (const record of readable(log, stable)) newest.set(String(record.key), record)
      }
      return newest
    },
    nextCommits: (...next) => void outcomes.push(...next),
    get transactions() {
      return transactions
    },
  }
}

const isCommitted = (entry: Entry): entry is Entry & { record: ReadRecord } =>
  entry.record !== null && entry.transaction.outcome === 'committed'

/** Copied, as on the wire: later writes into the same memory do not change what was sent. */
function asRead({ key, value, headers = {} }: WriteRecord, offset: number, timestamp: number): ReadRecord {
  return {
    offset,
    timestamp,
    key: key && Buffer.from(key),
    value: value && Buffer.from(value),
    headers: Object.fromEntries(Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)])),
  }
}

function expectRoom(records: readonly WriteRecord[]): void {
  for (const { value } of records)
    if (value && value.length > 1_048_588) throw new FlowError('KAFKA_REFUSED', { bytes: value.length })
}
