/** Chunks of the input topics into the state: only the fields that count are decoded. */
import { asFlowError } from '../errors.ts'
import { type Decoder, decoderFor } from '../kafka/codec.ts'
import type { Chunk, ReadRecord } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import { narrowSchema, type SchemaName, schemaText } from '../schemas.ts'
import type { TopicNames } from '../topics.ts'
import type { AttributedEvent, CountedEvent, CountedMessage, CountedSession } from './contribution.ts'
import { chunkOfKey } from './counted.ts'
import { type Claim, claimIn } from './reconcile.ts'
import type { PartitionState } from './state.ts'

const WHO = ['vendor', 'account', 'bot_id', 'channel', 'language', 'revision', 'observed_at']

export interface Counting {
  /**
   * @param onClaim Called with what a vendor's own statistics say of a measure of ours.
   * @returns how many records could not be read: they are left out, and the first of them is logged with its place.
   */
  apply(chunk: Chunk, state: PartitionState, onClaim?: (claim: Claim) => void): Promise<number>
  /** Notes messages or events as counted, and counts nothing. @returns as `apply` */
  note(chunk: Chunk, state: PartitionState): Promise<number>
}

export function createCounting(registry: Registry, names: TopicNames, log: Log): Counting {
  const narrow = <T>(name: SchemaName, fields: string[]): Decoder<T> =>
    decoderFor<T>(registry, narrowSchema(schemaText(name), [...WHO, ...fields]))
  const sessions = narrow<CountedSession>('session', [
    'started_at',
    'ended_at',
    'containment',
    'transferred_at',
    'user_id',
    'is_test',
  ])
  const messages = narrow<CountedMessage>('message', ['message_key', 'sent_at', 'sender'])
  const events = narrow<CountedEvent>('event', ['event_key', 'occurred_at', 'type'])
  const points = narrow<AttributedEvent>('event', ['event_key', 'occurred_at', 'type', 'attributes'])

  async function each<T>(
    chunk: Chunk,
    decoder: Decoder<T>,
    count: (record: ReadRecord, value: T | null) => void,
  ): Promise<number> {
    let unreadable = 0
    await decoder.prepare(chunk.records.map(record => record.value))
    for (const record of chunk.records) {
      let value: T | null
      try {
        value = record.value === null ? null : decoder.decode(record.value)
      } catch (thrown) {
        const error = asFlowError(thrown)
        if (error.code !== 'CODEC_INVALID') throw error
        const { topic, partition } = chunk
        if (unreadable++ === 0)
          log.warn({ code: error.code, topic, partition, offset: record.offset, error: error.message }, 'record left out')
        continue
      }
      count(record, value)
    }
    return unreadable
  }

  return {
    async apply(chunk, state, onClaim) {
      if (chunk.topic === names.sessions) {
        return each(chunk, sessions, ({ key }, session) => {
          if (key !== null && chunkOfKey(key) === null) state.session(key, session)
        })
      }
      if (chunk.topic === names.messages)
        return each(chunk, messages, ({ timestamp }, message) => void (message && state.message(message, timestamp)))
      const claiming: ReadRecord[] = []
      const unreadable = await each(chunk, events, (record, event) => {
        if (event === null) return
        state.event(event, record.timestamp)
        if (onClaim !== undefined && event.type === 'metric_point') claiming.push(record)
      })
      if (claiming.length === 0) return unreadable
      // Few events are points: only of these the attributes are decoded.
      await each({ ...chunk, records: claiming }, points, (_, point) => {
        const claim = point && claimIn(point)
        if (claim) onClaim?.(claim)
      })
      return unreadable
    },

    note(chunk, { counted }) {
      if (chunk.topic === names.messages)
        return each(chunk, messages, ({ timestamp }, of) => void (of && counted.add(of.message_key, 'message', timestamp)))
      return each(chunk, events, ({ timestamp }, of) => void (of && counted.add(of.event_key, 'event', timestamp)))
    },
  }
}
