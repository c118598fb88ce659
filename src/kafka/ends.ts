/** What "everything that is there now has been read" means: one answer for all readers. */
import type { TopicOffset } from '../records.ts'
import type { Kafka, TopicPartition } from './port.ts'

/**
 * The last offset of each partition as it is now, whatever stands there: a record, a commit or abort marker, or nothing any more. A reader has read
 * everything when the offset it reads on from (`Chunk.next`, also of a chunk without records) is above it; before the end of a transaction that is
 * open now it is not. Partitions in which there is nothing to read are left out.
 *
 * @throws FlowError KAFKA_UNREACHABLE
 */
export async function lastOffsets(kafka: Pick<Kafka, 'watermarks'>, places: readonly TopicPartition[]): Promise<TopicOffset[]> {
  const found = await kafka.watermarks(places)
  return found.filter(({ low, high }) => high > low).map(({ topic, partition, high }) => ({ topic, partition, offset: high - 1 }))
}
