/**
 * Follows a compacted topic from its start, for ever: the base of the stores of the control room. While Kafka is down, retries from the same place, with
 * backoff.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import type { Chunk, Kafka, TopicPartition } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 10_000
/** An administrator is waiting, so the broker should not hold a fetch for long. */
const MAX_WAIT_MS = 250

export interface TopicLogOptions {
  readonly kafka: Pick<Kafka, 'tail' | 'watermarks'>
  readonly topic: string
  readonly partitions: number
  /** Awaited before the next. @param isFirst Part of what was there at the start; its requests may have been carried out long ago. */
  take(chunk: Chunk, isFirst: boolean): void | Promise<void>
  /** Called after the chunks of each fetch, before anyone waiting for their offsets. */
  taken?(): void
  readonly clock: Clock
  readonly log: Log
  /** Ends it. */
  readonly signal: AbortSignal
}

export interface TopicLog {
  /** The next offset to read there. */
  next(partition: number): number
  /** Resolves when the partitions have been read up to these offsets (exclusive). @throws FlowError STOPPED when a signal aborts first */
  readTo(ends: readonly { readonly partition: number; readonly offset: number }[], signal?: AbortSignal): Promise<void>
  /** `readTo` the current end of the partitions. @throws FlowError KAFKA_UNREACHABLE, STOPPED */
  readToEnd(signal?: AbortSignal): Promise<void>
  /** Resolves when everything that was there at the start has been read; never if the signal aborts first. */
  readonly ready: Promise<void>
  readonly isReady: boolean
  /** Why it is not up to date; null: it is. */
  why(): string | null
  /** Resolves when the signal has ended it. */
  readonly done: Promise<void>
}

export function followLog(options: TopicLogOptions): TopicLog {
  const { kafka, topic, partitions, clock, log, signal } = options
  const places: TopicPartition[] = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  const positions = new Map<number, number>()
  const waiting = new Set<() => boolean>()
  const becameReady = Promise.withResolvers<void>()
  let ends: ReadonlyMap<number, number> | null = null
  let isReady = false
  let failure: FlowError | null = null

  const next = (partition: number) => positions.get(partition) ?? 0
  const isPast = (wanted: Iterable<readonly [number, number]>) => [...wanted].every(([partition, end]) => next(partition) >= end)

  function look(): void {
    if (!isReady && ends !== null && isPast(ends)) {
      isReady = true
      becameReady.resolve()
    }
    for (const isDone of waiting) if (isDone()) waiting.delete(isDone)
  }

  async function follow(): Promise<void> {
    if (ends === null) {
      const found = await kafka.watermarks(places)
      for (const { partition, low } of found) positions.set(partition, low)
      ends = new Map(found.map(({ partition, high }) => [partition, high]))
    }
    failure = null
    look()
    const from = places.map(place => ({ ...place, offset: next(place.partition) }))
    for await (const chunks of kafka.tail(from, { signal, maxWaitMs: MAX_WAIT_MS })) {
      for (const chunk of chunks) {
        await options.take(chunk, !isReady)
        positions.set(chunk.partition, chunk.next)
      }
      options.taken?.()
      look()
    }
  }

  async function run(): Promise<void> {
    let waitMs = FIRST_RETRY_MS
    while (!signal.aborted) {
      const began = clock.now()
      try {
        await follow()
      } catch (thrown) {
        if (signal.aborted) return
        failure = asFlowError(thrown)
        if (clock.now() - began > LONGEST_RETRY_MS) waitMs = FIRST_RETRY_MS
        log.warn({ ...errorFields(failure), topic, waitMs }, 'failed to follow topic, retrying')
        await clock.sleep(waitMs, signal)
        waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)
      }
    }
  }

  function readTo(wanted: readonly { partition: number; offset: number }[], stop?: AbortSignal): Promise<void> {
    const marks = wanted.map(({ partition, offset }) => [partition, offset] as const)
    return new Promise((resolve, reject) => {
      const signals = [signal, ...(stop === undefined ? [] : [stop])]
      const end = (settle: () => void) => {
        for (const each of signals) each.removeEventListener('abort', onAbort)
        waiting.delete(isDone)
        settle()
        return true
      }
      const onAbort = () => void end(() => reject(new FlowError('STOPPED', { topic })))
      const isDone = () => isPast(marks) && end(resolve)
      if (isDone()) return
      if (signals.some(each => each.aborted)) {
        onAbort()
        return
      }
      for (const each of signals) each.addEventListener('abort', onAbort, { once: true })
      waiting.add(isDone)
    })
  }

  return {
    next,
    readTo,
    async readToEnd(stop) {
      const found = await kafka.watermarks(places)
      await readTo(
        found.map(({ partition, high }) => ({ partition, offset: high })),
        stop,
      )
    },
    ready: becameReady.promise,
    get isReady() {
      return isReady
    },
    why: () => failure?.message ?? (isReady ? null : `${topic} is being read`),
    done: run(),
  }
}
