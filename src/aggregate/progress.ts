/** All of the progress topic, followed once for every partition number that is owned here: what their watermarks are made of. */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { decoderFor } from '../kafka/codec.ts'
import { lastOffsets } from '../kafka/ends.ts'
import type { Kafka, ReadRecord } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import type { Progress, TopicOffset } from '../records.ts'
import { narrowSchema, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import { asPublished, createWatermarks, type Watermarks } from '../watermark.ts'
import { inputsOf } from './restore.ts'

export interface ProgressFeed {
  /** Everything that was on the topic at the start has been read. */
  readonly ready: boolean
  /** Follows the topic until the signal aborts; once. Kafka and registry faults are logged and tried again. */
  follow(signal: AbortSignal): Promise<void>
  /**
   * Watermarks of one partition number, kept up to date until `release`. The topic is compacted, so what it holds now counts only beyond the ends
   * that the inputs have now.
   */
  watermarksOf(partition: number): Promise<{ marks: Watermarks; release: () => void }>
}

type Update = { readonly progress: Progress } | { readonly forget: Progress }

/** What a Progress is read for here; the rest of it is for people. */
const FIELDS = [
  'connector',
  'stream',
  'scope',
  'vendor',
  'account',
  'bot_id',
  'lane',
  'complete_until',
  'newest_at',
  'committed_at',
  'through',
  'covered',
]
const RETRY_MS = 1_000

export function createProgressFeed(parts: {
  kafka: Kafka
  registry: Registry
  names: TopicNames
  clock: Clock
  log: Log
}): ProgressFeed {
  const { kafka, names, clock, log } = parts
  const topic = names.progress
  const decoder = decoderFor<Progress>(parts.registry, narrowSchema(schemaText('progress'), FIELDS))
  const newest = new Map<string, Progress>()
  const listeners = new Set<(update: Update) => void>()
  const ready = Promise.withResolvers<void>()
  let isReady = false

  async function take(records: readonly ReadRecord[]): Promise<void> {
    await decoder.prepare(records.map(record => record.value))
    for (const { key, value, offset, timestamp } of records) {
      if (key === null) continue
      const source = key.toString()
      if (value === null) {
        const progress = newest.get(source)
        newest.delete(source)
        if (progress !== undefined) tell({ forget: progress })
        continue
      }
      try {
        const progress = asPublished(decoder.decode(value), timestamp)
        newest.set(source, progress)
        tell({ progress })
      } catch (thrown) {
        const error = asFlowError(thrown)
        if (error.code !== 'CODEC_INVALID') throw error
        log.warn({ ...errorFields(error), topic, offset }, 'record left out')
      }
    }
  }

  function tell(update: Update): void {
    for (const listener of listeners) listener(update)
  }

  /** From the start of the topic to its end as it is now, then on. */
  async function read(positions: Map<number, number>, signal: AbortSignal): Promise<void> {
    const partitions = await kafka.partitionCount(topic)
    for (let partition = 0; partition < partitions; partition++) {
      const from = positions.get(partition)
      const records: ReadRecord[] = []
      const next = await kafka.readToEnd(
        { topic, partition, ...(from === undefined ? {} : { from }) },
        record => records.push(record),
        signal,
      )
      await take(records)
      positions.set(partition, next)
    }
    isReady = true
    ready.resolve()
    const places = [...positions].map(([partition, offset]) => ({ topic, partition, offset }))
    for await (const chunks of kafka.tail(places, { signal })) {
      for (const chunk of chunks) {
        await take(chunk.records)
        positions.set(chunk.partition, chunk.next)
      }
    }
  }

  return {
    get ready() {
      return isReady
    },

    async follow(signal) {
      const positions = new Map<number, number>()
      while (!signal.aborted) {
        try {
          await read(positions, signal)
        } catch (thrown) {
          if (signal.aborted) break
          log.warn(errorFields(asFlowError(thrown)), 'progress cannot be followed; trying again')
          await clock.sleep(RETRY_MS, signal)
        }
      }
      ready.resolve() // who waits is stopping too
    },

    async watermarksOf(partition) {
      await ready.promise
      const inputs = inputsOf(names)
      const marks = createWatermarks((topic, number) => number === partition && inputs.includes(topic))
      const early: Update[] = [...newest.values()].map(progress => ({ progress }))
      let ends: TopicOffset[] | null = null
      const listener = (update: Update) => {
        if (ends === null) early.push(update)
        else apply(update, [])
      }
      const apply = (update: Update, alsoThrough: TopicOffset[]) => {
        if ('forget' in update) marks.forget(update.forget)
        else marks.apply(update.progress, alsoThrough)
      }
      listeners.add(listener)
      const release = () => void listeners.delete(listener)
      try {
        ends = await lastOffsets(
          kafka,
          inputs.map(topic => ({ topic, partition })),
        )
        for (const update of early) apply(update, ends)
        return { marks, release }
      } catch (error) {
        release()
        throw error
      }
    },
  }
}
