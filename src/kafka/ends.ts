/** Defines "everything that is there now has been read": one answer for all readers. */
import type { TopicOffset } from '../records.ts'
import type { Kafka, TopicPartition } from './port.ts'

/**
 * The current last offset of each partition, whether it holds a record, a commit or abort marker, or nothing any more. A reader has read everything when its
 * next offset (`Chunk.next`, also of a chunk without records) is above it; this waits for transactions that are open now. Empty partitions are left out.
 *
 * @throws FlowError KAFKA_UNREACHABLE
 */
export async function lastOffsets(kafka: Pick<Kafka, 'watermarks'>, places: readonly TopicPartition[]): Promise<TopicOffset[]> {
  const found = await kafka.watermarks(places)
  return found.filter(({ low, high }) => high > low).map(({ topic, partition, high }) => ({ topic, partition, offset: high - 1 }))
}
