/** One request to the cluster with a deadline: see `Kafka.ping`. */
import { FlowError } from '../errors.ts'
import { kafkaError } from './failures.ts'
import type { Cluster, Deadlines } from './kafkajs.ts'
import type { TopicPartition } from './port.ts'
import { listOffsets } from './reader.ts'
import { LATEST } from './wire.ts'

/** For the connection used by pings: short enough to give up on a hanging broker and ask another one within one ping. */
export const PING_DEADLINES: Deadlines = { connectMs: 1_000, requestMs: 1_000 }

/** @param cluster Used by pings only. Its connections are kept while they answer. */
export async function ping(cluster: Cluster, topics: readonly string[], timeoutMs: number): Promise<void> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new FlowError('KAFKA_UNREACHABLE', { hint: `no answer within ${timeoutMs} ms` }))
  }, timeoutMs)
  try {
    const asking = ask(cluster, topics)
    asking.catch(() => {}) // the race reports it, or it comes too late
    await Promise.race([asking, late.promise])
  } catch (error) {
    throw kafkaError(error)
  } finally {
    clearTimeout(timer)
  }
}

async function ask(cluster: Cluster, topics: readonly string[]): Promise<void> {
  await cluster.connect()
  await cluster.addMultipleTargetTopics(topics)
  await cluster.refreshMetadata()
  const places: TopicPartition[] = topics.flatMap(topic =>
    cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => ({ topic, partition: partitionId })),
  )
  if (places.length === 0) return
  const { errors } = await listOffsets(cluster, places, LATEST, PING_DEADLINES.requestMs)
  if (errors.length > 0) throw errors[0]
}
