import { type ConnectorToRun, partitionsOf } from '../ingest/source-partition.ts'

/** A source partition of a connector. */
export interface PartitionOf {
  readonly stream: string
  readonly scope: string
}

/** The source partitions of each task, by its number: even runs of them in their order, as many as `tasks.max` allows. From the config alone. */
export function plainTasks({ connector, base, config }: ConnectorToRun): readonly (readonly PartitionOf[])[] {
  const all = partitionsOf(connector, base, config).map(({ streamName, scope }) => ({ stream: streamName, scope: scope.name }))
  const count = Math.min(base.tasksMax, all.length)
  return Array.from({ length: count }, (_, task) =>
    all.slice(Math.floor((task * all.length) / count), Math.floor(((task + 1) * all.length) / count)),
  )
}
