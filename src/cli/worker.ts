/** The worker role: its membership in the group, and its assigned tasks. */
import type { Clock } from '../clock.ts'
import { type Address } from '../control/address.ts'
import { type GroupObserver, startGroup, type WorkerGroup } from '../control/group.ts'
import type { ConnectorTasks, Statuses, Wanted, WantedConnector } from '../control/port.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { openRunner, type RunnerOptions, type TaskRunner } from '../ingest/start.ts'
import { type ConnectorToRun, partitionsOf } from '../ingest/source-partition.ts'
import { quotasOf } from '../ingest/tasks.ts'
import type { PartitionName } from '../ingest/cursor.ts'
import { errorFields, type Log } from '../log.ts'
import { workerGroupId } from '../topics.ts'

export interface WorkerOptions
  extends Omit<RunnerOptions, 'connectorOf' | 'allConnectors' | 'onReport' | 'onWrote' | 'certainSinceMs'> {
  readonly prefix: string
  readonly address: Address
  readonly wanted: Wanted
  /** Resolves when the wanted connectors are known: nothing starts before. */
  readonly known: Promise<void>
  readonly statuses: Statuses
  /** The connector with its references resolved on this machine, or why that failed. Never throws. */
  readonly connectorOf: (connector: WantedConnector) => ConnectorToRun | FlowError
  readonly observer?: GroupObserver
}

export interface RunningWorker {
  readonly group: WorkerGroup
  readonly runner: TaskRunner
  ready(): { readonly ok: boolean; readonly why: readonly string[] }
  /** Resolves when the signal has aborted and everything is closed. @throws FlowError that waiting does not fix */
  readonly done: Promise<void>
}

/** @throws FlowError REGISTRY_UNREACHABLE, REGISTRY_INCOMPATIBLE, KAFKA_UNREACHABLE; nothing runs then. */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  const { kafka, prefix, address, wanted, known, statuses, connectorOf, observer, clock, log, signal } = options
  const joined = Promise.withResolvers<WorkerGroup>()
  let certainSinceMs = () => -Infinity
  const runner = await openRunner({
    ...options,
    certainSinceMs: () => certainSinceMs(),
    connectorOf: name => {
      const connector = wanted.connectors.get(name)
      return connector === undefined ? null : { version: connector.version, of: connectorOf(connector) }
    },
    allConnectors: () =>
      [...wanted.connectors.values()].flatMap(each => {
        const resolved = connectorOf(each)
        return resolved instanceof FlowError ? [] : [resolved]
      }),
    onReport: (id, report) => void joined.promise.then(group => group.report(id, report)),
    onWrote: (id, topics) => statuses.wrote(id, topics),
  })
  await known
  const group = startGroup({
    kafka,
    groupId: workerGroupId(prefix),
    me: { ...address, process: runner.process },
    wanted,
    statuses,
    runner,
    tasksOf: connector => tasksOf(connectorOf(connector), log),
    ...(observer === undefined ? {} : { observer }),
    clock,
    log,
    signal,
  })
  certainSinceMs = () => group.certainSinceMs()
  joined.resolve(group)
  const whole = async () => {
    try {
      await group.done
    } finally {
      await runner.close()
    }
    await withdrawing.close()
  }
  const withdrawing = withdrawAsLeader({ group, runner, wanted, connectorOf, clock, log, signal })
  return {
    group,
    runner,
    ready: () => {
      const why = group.whyNot()
      const running = runner.ready()
      return why === null ? running : { ok: false, why: [why, ...running.why] }
    },
    done: whole(),
  }
}

/** An unresolved connector has no tasks; its status has the reason. */
function tasksOf(connector: ConnectorToRun | FlowError, log: Log): ConnectorTasks {
  const none = { tasks: [], divisible: new Map<string, number>() }
  if (connector instanceof FlowError) return none
  try {
    return quotasOf(connector)
  } catch (thrown) {
    log.error({ ...errorFields(asFlowError(thrown)), connector: connector.name }, 'failed to plan the tasks of a connector')
    return none
  }
}

/** The leader withdraws the Progress of source partitions that are no longer wanted, after each change. */
function withdrawAsLeader(parts: {
  readonly group: WorkerGroup
  readonly runner: TaskRunner
  readonly wanted: Wanted
  readonly connectorOf: WorkerOptions['connectorOf']
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}): { close(): Promise<void> } {
  const { group, runner, wanted, connectorOf, signal } = parts
  let under: { readonly names: string; readonly stop: AbortController; readonly done: Promise<void> } | null = null
  const look = () => {
    const isLeader = group.view().leader?.isMe === true && !signal.aborted
    const configured = isLeader ? configuredOf(wanted, connectorOf) : null
    const names = JSON.stringify(configured)
    if (under?.names === names) return
    under?.stop.abort()
    const stop = new AbortController()
    const ended = AbortSignal.any([signal, stop.signal])
    const before = under?.done
    under = {
      names,
      stop,
      done: Promise.resolve(before).then(() =>
        configured === null ? undefined : runner.withdraw(configured, process => group.hasProcess(process), ended),
      ),
    }
  }
  const ends = [group.onChange(look), wanted.onChange(look)]
  return {
    close: async () => {
      for (const end of ends) end()
      under?.stop.abort()
      await under?.done
    },
  }
}

/** Every wanted source partition, whether it runs or not; null while one connector is unresolved. */
function configuredOf(wanted: Wanted, connectorOf: WorkerOptions['connectorOf']): PartitionName[] | null {
  const configured: PartitionName[] = []
  for (const each of wanted.connectors.values()) {
    const resolved = connectorOf(each)
    if (resolved instanceof FlowError) return null
    try {
      for (const { streamName, scope } of partitionsOf(resolved.connector, resolved.base, resolved.config))
        configured.push({ connector: resolved.name, stream: streamName, scope: scope.name })
    } catch {
      return null
    }
  }
  return configured
}
