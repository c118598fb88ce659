/**
 * Reads of cursors and versions that many source partitions share. A topic partition is read once for all that wait for it, and records are handed
 * out by key, so that a start costs one read of each partition, not one for each source partition in it.
 *
 * The order that exactly-once needs holds for each of them: a round begins after all that take part in it have asked, which they do when they have
 * fenced, and reads to the high watermark as it is then. Who asks while a round is under way waits for the next.
 */
import { FlowError } from '../errors.ts'
import type { Kafka, ReadRecord, TopicPartition, Writer } from '../kafka/port.ts'
import type { Barrier } from './barrier.ts'

export type Newest = Pick<ReadRecord, 'value' | 'headers'>

/** What a source partition reads at its start. */
export interface Reads {
  /** The newest record with this key. Its value is null where there is none, or it was taken away. */
  newest(place: TopicPartition, key: string): Promise<Newest>
  /** Every record whose key is a JSON array that begins with these three strings, in offset order. @param start Such as `["a","b","c",`. */
  read(place: TopicPartition, start: string, onRecord: (record: ReadRecord) => void): Promise<void>
}

/** Fences at a time: each has connections of its own to open. */
const MOST_FENCES = 16
/** How long a round waits for others that are about to ask, from when one of them last got on. */
const GATHER_MS = 2_000
/** Records from the end of a partition that are looked at first; then more, until each key was found. Cursors that are in use stand near the end. */
const FIRST_SPAN = 8_192
const SPAN_GROWTH = 16
/** Partitions read at a time. */
const MOST_ROUNDS = 4

interface Line<T> {
  readonly place: TopicPartition
  waiting: { readonly of: T; resolve(): void; reject(error: unknown): void }[]
  isRunning: boolean
  sinceMs: number
}

interface Wanted {
  readonly key: string
  found: Newest
}

const NONE: Newest = { value: null, headers: {} }

/** Beyond the moment at which it is read. */
function kept({ value, headers }: ReadRecord): Newest {
  return {
    value: value && Buffer.from(value),
    headers: Object.fromEntries(Object.entries(headers).map(([name, each]) => [name, Buffer.from(each)])),
  }
}

interface Reading {
  readonly start: string
  readonly onRecord: (record: ReadRecord) => void
}

/** Reads for one source partition alone. @param barrier Absent: the leader is believed. */
export function ownReads(kafka: Pick<Kafka, 'readToEnd'>, signal?: AbortSignal, barrier?: Barrier): Reads {
  return {
    async newest(place, key) {
      const keyBytes = Buffer.from(key)
      let found = NONE
      const take = (record: ReadRecord) => {
        if (record.key?.equals(keyBytes) === true) found = kept(record)
      }
      await kafka.readToEnd(await past(place, barrier), take, signal)
      return found
    },
    async read(place, start, onRecord) {
      const startBytes = Buffer.from(start)
      const take = (record: ReadRecord) => {
        if (record.key?.subarray(0, startBytes.length).equals(startBytes) === true) onRecord(record)
      }
      await kafka.readToEnd(await past(place, barrier), take, signal)
    },
  }
}

/** The place, with the offset that is to be read past. */
async function past(place: TopicPartition, barrier: Barrier | undefined): Promise<TopicPartition & { past?: number }> {
  return barrier === undefined ? place : { ...place, past: await barrier(place) }
}

export class SharedReads implements Reads {
  readonly #kafka: Pick<Kafka, 'readToEnd' | 'watermarks'>
  readonly #signal: AbortSignal
  readonly #cursors = new Map<string, Line<Wanted>>()
  readonly #versions = new Map<string, Line<Reading>>()
  #fencing = 0
  readonly #fences: (() => void)[] = []
  #running = 0
  /** When a fence or a round last ended. */
  #lastMs = -Infinity
  #timer: NodeJS.Timeout | null = null

  readonly #barrier: Barrier | undefined

  /** @param barrier Absent: leaders are believed. */
  constructor(kafka: Pick<Kafka, 'readToEnd' | 'watermarks'>, signal: AbortSignal, barrier?: Barrier) {
    this.#kafka = kafka
    this.#barrier = barrier
    this.#signal = signal
  }

  /**
   * The writer with a fence that rounds wait for, so that all that start together read together.
   *
   * @param stop Whoever is stopped while others are fenced first does not fence any more: by then somebody else may be the owner. The fence rejects with STOPPED.
   */
  gathering(writer: Writer, stop: AbortSignal): Writer {
    return { ...writer, fence: () => this.#fence(() => writer.fence(), stop) }
  }

  async newest(place: TopicPartition, key: string): Promise<Newest> {
    const wanted: Wanted = { key, found: NONE }
    await this.#ask(this.#cursors, place, wanted)
    return wanted.found
  }

  read(place: TopicPartition, start: string, onRecord: (record: ReadRecord) => void): Promise<void> {
    return this.#ask(this.#versions, place, { start, onRecord })
  }

  async #fence(fence: () => Promise<void>, stop: AbortSignal): Promise<void> {
    this.#fencing++
    try {
      if (this.#fencing > MOST_FENCES) await this.#turnToFence(stop)
      try {
        if (stop.aborted) throw new FlowError('STOPPED')
        await fence()
      } finally {
        this.#fences.shift()?.()
      }
    } finally {
      this.#fencing--
      this.#lastMs = performance.now()
      this.#soon(0)
    }
  }

  #turnToFence(stop: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        stop.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#fences.splice(this.#fences.indexOf(begin), 1)
        reject(new FlowError('STOPPED'))
      }
      if (stop.aborted) {
        reject(new FlowError('STOPPED'))
        return
      }
      this.#fences.push(begin)
      stop.addEventListener('abort', leave, { once: true })
    })
  }

  #ask<T>(lines: Map<string, Line<T>>, place: TopicPartition, of: T): Promise<void> {
    const key = `${place.topic}/${place.partition}`
    let line = lines.get(key)
    if (line === undefined) lines.set(key, (line = { place, waiting: [], isRunning: false, sinceMs: 0 }))
    if (line.waiting.length === 0) line.sinceMs = performance.now()
    const { waiting } = line
    return new Promise((resolve, reject) => {
      waiting.push({ of, resolve, reject })
      this.#soon(0)
    })
  }

  /** Looks for rounds to begin when whoever runs now has asked. */
  #soon(waitMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#begin()
    }, waitMs)
  }

  #begin(): void {
    this.#beginRounds(this.#cursors, this.#fencing > 0, (line, asked) => this.#readNewest(line.place, asked))
    const isGathering = this.#fencing > 0 || [...this.#cursors.values()].some(line => line.isRunning || line.waiting.length > 0)
    this.#beginRounds(this.#versions, isGathering, (line, asked) => this.#readAll(line.place, asked))
  }

  #beginRounds<T>(lines: Map<string, Line<T>>, isGathering: boolean, round: (line: Line<T>, asked: T[]) => Promise<void>): void {
    for (const line of lines.values()) {
      if (line.waiting.length === 0 || line.isRunning || this.#running >= MOST_ROUNDS) continue
      const leftMs = Math.max(line.sinceMs, this.#lastMs) + GATHER_MS - performance.now()
      if (isGathering && leftMs > 0) {
        if (this.#timer === null) this.#soon(Math.min(leftMs, 100))
        continue
      }
      const { waiting } = line
      line.waiting = []
      line.isRunning = true
      this.#running++
      void round(
        line,
        waiting.map(({ of }) => of),
      )
        .then(
          () => waiting.forEach(each => each.resolve()),
          (error: unknown) => waiting.forEach(each => each.reject(error)),
        )
        .then(() => {
          line.isRunning = false
          this.#lastMs = performance.now()
          this.#running--
          this.#soon(0)
        })
    }
  }

  async #readNewest(place: TopicPartition, asked: readonly Wanted[]): Promise<void> {
    const wanted = new Map<string, Wanted[]>()
    for (const each of asked) {
      const key = Buffer.from(each.key).toString('latin1')
      wanted.set(key, [...(wanted.get(key) ?? []), each])
    }
    const end = await past(place, this.#barrier)
    const [{ low, high: told } = { low: 0, high: 0 }] = await this.#kafka.watermarks([place])
    const high = Math.max(told, (end.past ?? -1) + 1)
    const found = new Set<string>()
    for (let span = FIRST_SPAN; ; span *= SPAN_GROWTH) {
      const from = Math.max(low, high - span)
      const take = (record: ReadRecord) => {
        const key = record.key?.toString('latin1')
        const of = key === undefined ? undefined : wanted.get(key)
        if (key === undefined || of === undefined) return
        found.add(key)
        const newest = kept(record)
        for (const each of of) each.found = newest
      }
      await this.#kafka.readToEnd({ ...end, from }, take, this.#signal)
      if (from <= low || found.size === wanted.size) return
    }
  }

  async #readAll(place: TopicPartition, asked: readonly Reading[]): Promise<void> {
    const readers = new Map<string, Reading[]>()
    for (const each of asked) {
      const start = Buffer.from(each.start).toString('latin1')
      readers.set(start, [...(readers.get(start) ?? []), each])
    }
    const take = (record: ReadRecord) => {
      const start = record.key === null ? null : startOf(record.key)
      if (start !== null) for (const { onRecord } of readers.get(start) ?? []) onRecord(record)
    }
    await this.#kafka.readToEnd(await past(place, this.#barrier), take, this.#signal)
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET = 0x5b
const COMMA = 0x2c

/** `["a","b","c",` of a key that begins so, as latin1; null of any other. */
export function startOf(key: Buffer): string | null {
  if (key[0] !== BRACKET) return null
  let at = 1
  for (let strings = 0; strings < 3; strings++) {
    if (key[at] !== QUOTE) return null
    at++
    while (at < key.length && key[at] !== QUOTE) at += key[at] === BACKSLASH ? 2 : 1
    at++
    if (key[at] !== COMMA) return null
    at++
  }
  return key.toString('latin1', 0, at)
}
