/**
 * Where a partition really ends. A broker that was frozen may take itself for the leader for a moment when it thaws, and tell an end that lies before
 * what was committed meanwhile; whoever restores from there publishes twice. A write goes to the true leader or fails: so a record is written, in a
 * transaction that is then aborted, and its offset is past everything that was committed before.
 */
import type { Kafka, TopicPartition, Writer } from '../kafka/port.ts'

/** An offset past everything that was committed to the partition when it was asked. @throws FlowError KAFKA_UNREACHABLE, KAFKA_ABORTED */
export type Barrier = (place: TopicPartition) => Promise<number>

/** Thrown to end the transaction. */
const NOT_MEANT = new Error('not meant to be committed')

/** @param transactionalId Of nobody else: one writer serves all questions, one after another. */
export function barrierOf(kafka: Pick<Kafka, 'openWriter'>, transactionalId: string): { ask: Barrier; close(): Promise<void> } {
  let writer: Writer | null = null
  let last: Promise<unknown> = Promise.resolve()

  async function offsetIn(place: TopicPartition): Promise<number> {
    if (writer === null) {
      writer = kafka.openWriter({ transactionalId })
      await writer.fence()
    }
    let offset = -1
    try {
      await writer.transact(async tx => {
        const [written] = await tx.write([{ ...place, records: [{ key: Buffer.from('barrier'), value: null }] }])
        if (written) offset = written.firstOffset
        throw NOT_MEANT
      })
    } catch (error) {
      if (error === NOT_MEANT && offset >= 0) return offset
      await close()
      throw error
    }
    return offset
  }

  async function close(): Promise<void> {
    const open = writer
    writer = null
    await open?.close()
  }

  return {
    ask: place => {
      const asked = last.then(() => offsetIn(place))
      last = asked.catch(() => {})
      return asked
    },
    close: async () => {
      await last
      await close()
    },
  }
}
