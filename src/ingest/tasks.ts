/**
 * Which source partitions make a task. From the config alone, so that every worker comes to the same: `tasks.max` of them at most, scopes that share a
 * quota together as far as that goes.
 */
import { quotaLimits } from '../source/config.ts'
import { divisibleBy } from '../source/quota.ts'
import { type ConnectorToRun, partitionsOf, quotaOf, shareOf, type SourcePartition } from './source-partition.ts'

/** The source partitions of each task, by its number. @throws FlowError CFG_INVALID */
export function cutIntoTasks(of: ConnectorToRun): readonly (readonly SourcePartition[])[] {
  const { connector, base, config } = of
  const partitions = partitionsOf(connector, base, config)
  // The streams of a scope side by side, in the order of the scopes.
  const byScope = [...Map.groupBy(partitions, ({ scope }) => scope.name).values()].flat()
  const groups = [...Map.groupBy(byScope, ({ scope }) => shareOf(of, scope)).values()]
  const count = Math.min(base.tasksMax, partitions.length)
  return groups.length >= count ? wholeGroups(groups, count) : cutGroups(groups, count)
}

/** Each group in one task, the tasks as even as that allows. */
function wholeGroups<T>(groups: readonly (readonly T[])[], count: number): T[][] {
  const tasks = Array.from({ length: count }, (): T[] => [])
  for (const group of groups.toSorted((a, b) => b.length - a.length)) {
    const smallest = tasks.reduce((least, task) => (task.length < least.length ? task : least))
    smallest.push(...group)
  }
  return tasks
}

/** Each task of one group only; those with the most in a task are cut first. */
function cutGroups<T>(groups: readonly (readonly T[])[], count: number): T[][] {
  const cuts = groups.map(group => ({ group, tasks: 1 }))
  for (let more = count - groups.length; more > 0; more--) {
    const largest = cuts.reduce((most, cut) => (cut.group.length / cut.tasks > most.group.length / most.tasks ? cut : most))
    largest.tasks++
  }
  return cuts.flatMap(({ group, tasks }) =>
    Array.from({ length: tasks }, (_, index) =>
      group.slice(Math.ceil((index * group.length) / tasks), Math.ceil(((index + 1) * group.length) / tasks)),
    ),
  )
}

/** What the vendor counts the requests of each task by, and on how many workers that may be spread; nothing where there are no limits. */
export function quotasOf(of: ConnectorToRun): {
  readonly tasks: readonly { readonly quotas: readonly string[] }[]
  readonly divisible: ReadonlyMap<string, number>
} {
  const most = divisibleBy(quotaLimits(of.connector.manifest, of.base))
  const divisible = new Map<string, number>()
  const tasks = cutIntoTasks(of).map(partitions => {
    if (most === null) return { quotas: [] }
    const shared = partitions.map(({ scope }) => quotaOf(of, scope))
    for (const digest of shared) divisible.set(digest, most)
    return { quotas: [...new Set(shared)] }
  })
  return { tasks, divisible }
}

/** The source partitions of each task as they are named, by its number. @throws FlowError CFG_INVALID */
export function partitionsByTask(
  of: ConnectorToRun,
): readonly (readonly { readonly stream: string; readonly scope: string }[])[] {
  return cutIntoTasks(of).map(task => task.map(({ streamName, scope }) => ({ stream: streamName, scope: scope.name })))
}
