/** What replicas and `min.insync.replicas` of topics mean for the records on them. */
import type { TopicDurability } from './port.ts'

export interface DurabilityWarning {
  readonly topics: readonly string[]
  /** What can happen, and what cures it. */
  readonly hint: string
}

/** @param brokers How many the cluster has: with one, one replica is all there can be. */
export function durabilityWarnings(topics: readonly TopicDurability[], brokers: number): DurabilityWarning[] {
  const found = topics.flatMap(topic => {
    const hint = hintOf(topic, brokers)
    return hint === null ? [] : [{ topic: topic.topic, hint }]
  })
  return [...Map.groupBy(found, ({ hint }) => hint)].map(([hint, of]) => ({ hint, topics: of.map(({ topic }) => topic) }))
}

function hintOf({ replicas, minInsync }: TopicDurability, brokers: number): string | null {
  const set = 'set it with kafka-configs.sh --alter --add-config min.insync.replicas='
  if (minInsync > replicas) {
    return `min.insync.replicas is ${minInsync} with ${replicas} replica${replicas === 1 ? '' : 's'}: nothing can be written; ${set}${Math.max(1, replicas - 1)}`
  }
  if (replicas === 1) {
    return brokers === 1
      ? null
      : 'there is one replica: with the broker that has it the records are lost; add replicas with kafka-reassign-partitions.sh'
  }
  if (minInsync === 1) {
    return `min.insync.replicas is 1 with ${replicas} replicas: what counts as written may stand on one broker alone, and is lost with it; ${set}2`
  }
  if (minInsync === replicas) {
    return `min.insync.replicas is ${minInsync} with ${replicas} replicas: one broker that is away stops all writing; ${set}${replicas - 1}`
  }
  return null
}
