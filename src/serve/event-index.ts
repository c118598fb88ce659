/**
 * The events of one conversation, from the events topic, for as long as they are kept. A partition is found by the bot; within it every record from some
 * publishing time on could be one of the conversation's. So what was looked through once is remembered: which conversations each block of offsets has events of, as
 * hashes. Nothing is read before somebody asks, and what is remembered only says which blocks need not be read again: servers that remember different things answer alike.
 */
import { setImmediate as pause } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { decoderFor } from '../kafka/codec.ts'
import { murmur2 } from '../kafka/partition.ts'
import type { Kafka, ReadRecord } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Event } from '../records.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import { createSlices, type Steps } from '../slices.ts'
import { invalidParameter } from './parameters.ts'

/** Offsets of a block. A conversation of some minutes has its events in one or two; to read one takes some milliseconds. */
const BLOCK = 8192
/** Most blocks of one question: 67 million offsets of one partition. */
const MOST_BLOCKS = 8192
/** Memory for hashes, bytes; the blocks that were asked for longest ago are forgotten. */
const MOST_BYTES = 64 * 1024 * 1024
/** What a block takes beside its hashes, bytes. */
const BLOCK_BYTES = 200
/** Most events of one conversation. */
const MOST_EVENTS = 20_000
/** How long one question is worked on; the next one goes on from there. */
const LONGEST_MS = 10_000
/** Questions that wait for their turn. */
const MOST_WAITING = 8
/** Records may have been published by clocks that were so much behind those of the vendor, milliseconds. */
const EARLIER_MS = 3_600_000
/** Records that are looked at between two pauses. */
const RECORDS_A_STEP = 256
/** Blocks that are passed between two pauses. */
const BLOCKS_A_STEP = 256

const FIELDS = [
  'event_key',
  'session_key',
  'vendor',
  'account',
  'bot_id',
  'session_id',
  'event_id',
  'occurred_at',
  'type',
  'name',
  'user_id',
  'attributes',
] as const
export type IndexedEvent = Pick<Event, (typeof FIELDS)[number]>

/** The attribute that names a conversation where the vendor has no sessions, or others than its conversations. */
export const CONVERSATION = 'conversation_id'
const MARK = Buffer.from(CONVERSATION)

export interface EventQuestion {
  readonly partition: number
  /** Events that happened earlier may be left out. Epoch milliseconds. */
  readonly fromMs: number
  /** Session keys, and values of the attribute `conversation_id`: events that have one of them. */
  readonly wanted: readonly string[]
}

export interface EventIndex {
  /** Of the topic: a bot's records are all in one. */
  readonly partitions: number
  /**
   * The newest record of each event, in the order in which they came first. Others than those that are wanted may be among them.
   *
   * @returns Why there is no answer now, where it takes longer, or too many wait.
   * @throws FlowError QUERY_INVALID where there is too much to look through, STOPPED when the signal aborts
   */
  find(question: EventQuestion, signal: AbortSignal): Promise<readonly IndexedEvent[] | { readonly refused: string }>
  /** Memory of what is remembered, bytes, about. */
  readonly bytes: number
}

export interface EventIndexParts {
  readonly kafka: Pick<Kafka, 'readRange' | 'offsetsAt' | 'watermarks'>
  readonly registry: Pick<Registry, 'schemaById'>
  readonly topic: string
  readonly partitions: number
  readonly clock: Clock
  /** For tests. */
  readonly limits?: Partial<Limits>
}

interface Limits {
  readonly block: number
  readonly mostBlocks: number
  readonly mostBytes: number
  readonly mostEvents: number
  readonly longestMs: number
}

/** What is known of the offsets of a block up to `until`. */
interface Block {
  readonly until: number
  /** Of the conversations that have events there, ascending. */
  readonly hashes: Int32Array
}

const NO_HASHES = new Int32Array(0)

export function createEventIndex({ kafka, registry, topic, partitions, clock, limits: given = {} }: EventIndexParts): EventIndex {
  const limits: Limits = {
    block: BLOCK,
    mostBlocks: MOST_BLOCKS,
    mostBytes: MOST_BYTES,
    mostEvents: MOST_EVENTS,
    longestMs: LONGEST_MS,
    ...given,
  }
  const decoder = decoderFor<IndexedEvent>(registry, narrowSchema(schemaText('event'), FIELDS))
  const slices = createSlices()
  /** In the order in which they were asked for, the latest last. */
  const blocks = new Map<string, Block>()
  let bytes = 0
  let turn: Promise<unknown> = Promise.resolve()
  let waiting = 0

  /** The block is the one that was asked for last. */
  function keep(key: string, block: Block): void {
    forget(key)
    blocks.set(key, block)
    bytes += sizeOf(block)
    for (const oldest of blocks.keys()) {
      if (bytes <= limits.mostBytes || oldest === key) break
      forget(oldest)
    }
  }

  function forget(key: string): void {
    const block = blocks.get(key)
    if (block === undefined) return
    blocks.delete(key)
    bytes -= sizeOf(block)
  }

  async function look({ partition, fromMs, wanted }: EventQuestion, signal: AbortSignal): Promise<IndexedEvent[]> {
    const [[place], [start]] = await Promise.all([
      kafka.watermarks([{ topic, partition }]),
      kafka.offsetsAt([{ topic, partition }], fromMs - EARLIER_MS),
    ])
    const { low, high } = place ?? { low: 0, high: 0 }
    const from = Math.max(low, start?.offset ?? high)
    if (from >= high) return []
    const first = Math.floor(from / limits.block)
    const count = Math.floor((high - 1) / limits.block) - first + 1
    if (count > limits.mostBlocks) {
      throw invalidParameter(
        'start_time',
        `asks to look through more than ${limits.mostBlocks * limits.block} events that were published since; take a later one`,
      )
    }
    const hashes = new Set(wanted.map(each => murmur2(Buffer.from(each))))
    /** By offset; copies, because a record keeps all that was fetched with it. */
    const found = new Map<number, Buffer>()
    for (let number = first; number < first + count; number++) {
      if (number % BLOCKS_A_STEP === 0) await pause()
      try {
        await lookThrough(number)
      } catch (thrown) {
        if (!signal.aborted || asFlowError(thrown).code === 'QUERY_INVALID') throw thrown
        const hint = `events are looked through, ${number - first} of ${count} blocks so far; ask again, it goes on from there`
        throw new FlowError('STOPPED', { hint }, thrown)
      }
    }
    return decoded(found)

    async function lookThrough(number: number): Promise<void> {
      const key = `${partition}/${number}`
      const begin = number * limits.block
      const end = Math.min(begin + limits.block, high)
      const before = blocks.get(key)
      // A topic that has lost its end says other things from there on.
      const known = before !== undefined && before.until <= high ? before : { until: begin, hashes: NO_HASHES }
      // What is known is read again only where there is something of it.
      if (holds(known.hashes, hashes)) await read(begin, known.until, () => {})
      if (known.until >= end) return keep(key, known)
      const all = new Set(known.hashes)
      const until = await read(known.until, end, hash => all.add(hash))
      keep(key, { until, hashes: Int32Array.from(all).sort() })
    }

    /** Finds what is wanted in a range of offsets. @param meet Called with the hash of every conversation that has an event there */
    async function read(begin: number, end: number, meet: (hash: number) => void): Promise<number> {
      const marked: ReadRecord[] = []
      const meets = (name: Buffer, record: ReadRecord) => {
        const hash = murmur2(name)
        meet(hash)
        if (hashes.has(hash) && record.value !== null) found.set(record.offset, Buffer.from(record.value))
        if (found.size > limits.mostEvents)
          throw invalidParameter('start_time', `asks for more than ${limits.mostEvents} events; take a shorter range`)
      }
      const until = await kafka.readRange(
        { topic, partition, from: Math.max(low, begin), until: Math.max(low, end) },
        record => {
          if (record.key !== null) meets(record.key, record)
          if (record.value?.includes(MARK)) marked.push(record)
        },
        signal,
      )
      await decoder.prepare(marked.map(({ value }) => value))
      await slices.run(
        eachConversation(marked, (name, record) => meets(Buffer.from(name), record)),
        signal,
      )
      return until
    }
  }

  function* eachConversation(records: readonly ReadRecord[], take: (name: string, record: ReadRecord) => void): Steps<void> {
    for (const [at, record] of records.entries()) {
      if (at % RECORDS_A_STEP === RECORDS_A_STEP - 1) yield
      const name = record.value === null ? null : conversationOf(record.value)
      if (name !== null) take(name, record)
    }
  }

  function conversationOf(value: Buffer): string | null {
    try {
      return decoder.decode(value).attributes[CONVERSATION] ?? null
    } catch {
      // The aggregator says so of the same record.
      return null
    }
  }

  /** The newest of each event. @param values By offset. */
  async function decoded(values: ReadonlyMap<number, Buffer>): Promise<IndexedEvent[]> {
    await decoder.prepare([...values.values()])
    const events = new Map<string, IndexedEvent>()
    for (const [, value] of [...values].sort(([a], [b]) => a - b)) {
      try {
        const event = decoder.decode(value)
        events.set(event.event_key, event)
      } catch {
        // The aggregator says so of the same record.
      }
    }
    return [...events.values()]
  }

  return {
    partitions,
    async find(question, gone) {
      if (waiting >= MOST_WAITING) return { refused: 'too many conversations are looked for already; ask again' }
      waiting += 1
      const before = turn
      const { promise, resolve } = Promise.withResolvers<void>()
      turn = promise
      try {
        await before
        if (gone.aborted) throw new FlowError('STOPPED', { hint: 'nobody waits for the answer any more' })
        const late = new AbortController()
        const done = new AbortController()
        void clock.sleep(limits.longestMs, done.signal).then(() => {
          if (!done.signal.aborted) late.abort()
        })
        try {
          return await look(question, AbortSignal.any([gone, late.signal]))
        } catch (thrown) {
          if (gone.aborted || !late.signal.aborted) throw thrown
          const error = asFlowError(thrown)
          if (error.code !== 'STOPPED') throw thrown
          return { refused: error.details.hint ?? error.message }
        } finally {
          done.abort()
        }
      } finally {
        waiting -= 1
        resolve()
      }
    },
    get bytes() {
      return bytes
    },
  }
}

const sizeOf = ({ hashes }: Block): number => hashes.byteLength + BLOCK_BYTES

function holds(hashes: Int32Array, wanted: ReadonlySet<number>): boolean {
  for (const hash of wanted) {
    let low = 0
    let high = hashes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((hashes[middle] as number) < hash) low = middle + 1
      else high = middle
    }
    if (hashes[low] === hash) return true
  }
  return false
}
