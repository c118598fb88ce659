/** Who owns a partition number: whoever claimed its transactional id last. */
import { FlowError } from '../errors.ts'
import type { Kafka, Writer } from '../kafka/port.ts'
import { aggregateTransactionalId, type TopicNames } from '../topics.ts'
import { readStored, type Stored } from './restore.ts'

export interface ClaimParts {
  readonly kafka: Kafka
  readonly names: TopicNames
  readonly groupId: string
}

const TRANSACTIONAL_ID_REFUSED = 53

/** Nothing of the group is in the id: two groups on one prefix fence each other instead of counting side by side. */
export function openOwner(parts: ClaimParts, partition: number, transactionTimeoutMs?: number): Writer {
  const transactionalId = aggregateTransactionalId(prefixOf(parts.names), partition)
  return parts.kafka.openWriter({ transactionalId, ...(transactionTimeoutMs === undefined ? {} : { transactionTimeoutMs }) })
}

/**
 * Fences older owners out: what they left open is aborted, and they cannot commit any more. Where an older version wrote last, its id is claimed as well.
 *
 * @param writer Of `openOwner`, new.
 * @param from Offset of an offsets record that is known: what is before it is not read.
 * @returns what the offsets topic says, read after all of that.
 */
export async function claim(
  parts: ClaimParts,
  partition: number,
  writer: Writer,
  signal: AbortSignal,
  from?: number,
): Promise<Stored> {
  await writer.fence()
  const stored = await readStored(parts, partition, signal, from)
  if (stored.stored !== null && stored.stored.layout > 1) return stored
  const older = parts.kafka.openWriter({ transactionalId: `${prefixOf(parts.names)}-aggregate-${parts.groupId}-${partition}` })
  try {
    await older.fence()
  } catch (error) {
    // Whoever took the right to the old id from us has taken it from the older version as well.
    if (!(error instanceof FlowError) || error.details['kafkaCode'] !== TRANSACTIONAL_ID_REFUSED) throw error
  } finally {
    await older.close()
  }
  return await readStored(parts, partition, signal)
}

/** What the topic names begin with. */
export function prefixOf(names: TopicNames): string {
  return names.aggregateState.slice(0, -'-aggregate-state'.length)
}
