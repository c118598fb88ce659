/** What replication factor and `min.insync.replicas` mean for the records on a topic. */
import type { TopicDurability } from './port.ts'

export interface DurabilityWarning {
  readonly topics: readonly string[]
  /** What can happen, and how to fix it. */
  readonly hint: string
}

/** @param brokers Size of the cluster: with one broker, there can be only one replica. */
export function durabilityWarnings(topics: readonly TopicDurability[], brokers: number): DurabilityWarning[] {
  const found = topics.flatMap(topic => {
    const hint = hintOf(topic, brokers)
    return hint === null ? [] : [{ topic: topic.topic, hint }]
  })
  return [...Map.groupBy(found, ({ hint }) => hint)].map(([hint, those]) => ({ hint, topics: those.map(({ topic }) => topic) }))
}

function hintOf({ replicas, minInsync }: TopicDurability, brokers: number): string | null {
  const set = 'set it with kafka-configs.sh --alter --add-config min.insync.replicas='
  if (minInsync > replicas) {
    return `min.insync.replicas is ${minInsync} with ${replicas} replica${replicas === 1 ? '' : 's'}: nothing can be written; ${set}${Math.max(1, replicas - 1)}`
  }
  if (replicas === 1) {
    return brokers === 1
      ? null
      : 'there is one replica: if its broker is lost, so are the records; add replicas with kafka-reassign-partitions.sh'
  }
  if (minInsync === 1) {
    return `min.insync.replicas is 1 with ${replicas} replicas: an acknowledged record may exist on one broker only, and is lost with it; ${set}2`
  }
  if (minInsync === replicas) {
    return `min.insync.replicas is ${minInsync} with ${replicas} replicas: one missing broker stops all writes; ${set}${replicas - 1}`
  }
  return null
}
