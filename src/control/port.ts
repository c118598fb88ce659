/**
 * The parts of the control room as they see each other: wanted connectors, tasks, workers, statuses, and the `Herder` behind the REST API. Shapes that leave
 * over HTTP are Kafka Connect's.
 */
import type { ConnectorMap } from '../config.ts'

/** Target state set by a person; survives restarts. A stopped connector has no tasks, a paused one keeps them. */
export type TargetState = 'RUNNING' | 'PAUSED' | 'STOPPED'

/** A connector that should run, whatever its origin. */
export interface WantedConnector {
  readonly name: string
  /** `file`: in the config file, can be changed only there. `rest`: on the configs topic. */
  readonly origin: 'file' | 'rest'
  /** As written: references (`${env:NAME}`, `${file:PATH}`) unresolved. */
  readonly written: ConnectorMap
  readonly target: TargetState
  /** Changes with the config: a task that runs with another version is restarted. The same on every worker. */
  readonly version: string
}

/** A set of source partitions of one connector; `number` counts from 0 to below `tasks.max`. */
export interface TaskId {
  readonly connector: string
  readonly task: number
}

export type ConnectorState = 'UNASSIGNED' | 'RUNNING' | 'PAUSED' | 'STOPPED' | 'FAILED' | 'RESTARTING'
export type TaskState = Exclude<ConnectorState, 'STOPPED'>

/** Status of a connector or task, as on the status topic (Kafka Connect's layout) and as its worker reports it. */
export interface Status<S extends string = ConnectorState> {
  readonly state: S
  /** `host:port` of the REST listener of the reporting worker. */
  readonly workerId: string
  /** For FAILED: a sentence for a person with the error's code, then the fix. */
  readonly trace?: string
  /** Generation of the group at the time of the report. */
  readonly generation: number
}

/** The group as this worker knows it. */
export interface GroupView {
  /** null: no leader is known just now (a rebalance is under way). `url` is the base URL of its REST listener. */
  readonly leader: { readonly workerId: string; readonly url: string; readonly isMe: boolean } | null
  readonly generation: number
  readonly workers: readonly { readonly workerId: string; readonly url: string; readonly tasks: readonly TaskId[] }[]
  /** Wanted tasks without an owner. */
  readonly unassigned: readonly TaskId[]
}

// ---- What the REST API answers (Kafka Connect's JSON) ----

export type Config = Readonly<Record<string, string>>

export interface ConnectorInfo {
  readonly name: string
  /** Literal secrets are `[hidden]`; references stay as written. */
  readonly config: Config
  readonly tasks: readonly TaskId[]
  readonly type: 'source' | 'sink' | 'unknown'
}

export interface ConnectorStatusAnswer {
  readonly name: string
  readonly connector: StatusAnswer
  readonly tasks: readonly (StatusAnswer & { readonly id: number })[]
  readonly type: 'source' | 'sink' | 'unknown'
}

export interface StatusAnswer {
  readonly state: ConnectorState
  readonly worker_id: string
  readonly trace?: string
  readonly version?: string
}

/** One source partition and its offset: flat maps of primitives. `offset: null` in a request resets it; `{"from": ISO}` sets it back to a time. */
export interface OffsetEntry {
  readonly partition: Readonly<Record<string, unknown>>
  readonly offset: Readonly<Record<string, unknown>> | null
}

/** What a change of offsets would do, or did, to one source partition. */
export interface OffsetPlan {
  readonly partition: Readonly<Record<string, unknown>>
  /** Range that is read again, ISO 8601; null: none. */
  readonly rereads: { readonly from: string; readonly until: string } | null
  /** Estimates; null: unknown (the connector does not declare how many requests a day of data takes). */
  readonly requests: number | null
  readonly seconds: number | null
}

export interface OffsetChange {
  /** ISO 8601. */
  readonly at: string
  /** Who asked: the address, and the name if the credentials have one. */
  readonly by: string
  readonly plans: readonly OffsetPlan[]
}

export interface Restart {
  readonly includeTasks: boolean
  readonly onlyFailed: boolean
}

/**
 * Answers for the whole group. Changes are called on the leader only (the REST API forwards them there); any worker answers reads from what it follows.
 *
 * Every method with a name throws `ControlError` 404 for a connector that does not exist, 409 during a rebalance.
 */
export interface Herder {
  group(): GroupView
  /** Why this worker cannot work; null: it can. */
  whyNot(): string | null
  clusterId(): string | null
  names(): readonly string[]
  info(name: string): ConnectorInfo
  /** Throws 404 `No status found for connector NAME` if nothing is known yet. */
  status(name: string): ConnectorStatusAnswer
  taskConfigs(name: string): readonly { readonly id: TaskId; readonly config: Config }[]
  /** Topics that the connector has written to. */
  topics(name: string): readonly string[]
  create(name: string, config: Config, target: TargetState): Promise<ConnectorInfo>
  /** Replaces the whole config; creates the connector if it does not exist. `[hidden]` for a secret key keeps the stored value. */
  put(name: string, config: Config): Promise<{ readonly isNew: boolean; readonly info: ConnectorInfo }>
  /** null removes a key. */
  patch(name: string, change: Readonly<Record<string, string | null>>): Promise<ConnectorInfo>
  remove(name: string): Promise<void>
  setTarget(name: string, target: TargetState): Promise<void>
  restart(name: string, how: Restart): Promise<ConnectorStatusAnswer>
  restartTask(id: TaskId): Promise<void>
  offsets(name: string): Promise<readonly OffsetEntry[]>
  /** @param changes null: all source partitions are reset. @param dryRun Nothing is changed. */
  alterOffsets(
    name: string,
    changes: readonly OffsetEntry[] | null,
    how: { readonly dryRun: boolean; readonly by: string },
  ): Promise<readonly OffsetPlan[]>
  /** The last changes of offsets, newest first. */
  offsetHistory(name: string): Promise<readonly OffsetChange[]>
  /** Forgets which topics the connector has written to; later writes are recorded again. */
  resetTopics(name: string): Promise<void>
  /** Sets the level of a logger on all workers. @param level null: as its parent's. */
  setClusterLevel(logger: string, level: string | null): Promise<void>
}

/** Rejected or not possible: `status` and `message` are the answer, in Kafka Connect's words where it has some. */
export class ControlError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

// ---- Between the group, the stores and what runs ----

/** The wanted connectors: of the file and of the configs topic together, kept up to date. */
export interface Wanted {
  /** By name. */
  readonly connectors: ReadonlyMap<string, WantedConnector>
  /** The configs topic has been read to here (exclusive). Workers compare it with the leader's. */
  readonly offset: number
  /** Resolves when the configs topic has been read to this offset. */
  readTo(offset: number, signal: AbortSignal): Promise<void>
  /** Called after each change. @returns function to unsubscribe */
  onChange(changed: () => void): () => void
  /** Called on every worker when tasks must be restarted (see `isMeant` of configs.ts). @returns function to unsubscribe */
  onRestart(asked: (restart: RestartRequest) => void): () => void
}

/** Requested over REST, or because the value of a reference has changed on this machine. */
export interface RestartRequest extends Restart {
  readonly connector: string
  /** Only these tasks; null: as `includeTasks` and `onlyFailed` say. */
  readonly tasks: readonly number[] | null
}

/** Statuses of all connectors and tasks, followed on the status topic; and writing one's own. */
export interface Statuses {
  connector(name: string): Status | null
  task(id: TaskId): Status<TaskState> | null
  /** Tasks with a status, by number. */
  tasksOf(name: string): readonly { readonly task: number; readonly status: Status<TaskState> }[]
  report(target: { readonly connector: string; readonly task?: number }, status: Status | null): Promise<void>
  /** Topics that the connector has written to, in order. */
  topics(connector: string): readonly string[]
  /** The task has written to these topics. Free if that is known already. */
  wrote(id: TaskId, topics: readonly string[]): void
}

/** What runs in this process. */
export interface Runner {
  /** Starts the task with the connector's current config, or restarts it if it runs with another version. Returns at once. */
  start(id: TaskId): void
  /** Stops it: the current page is finished or aborted within 5 s. Resolves when it neither sends requests nor writes any more. */
  stop(id: TaskId): Promise<void>
  /** This process's share of each divided quota, by its digest; it may use all of the others. Effective at once. */
  quota(shares: ReadonlyMap<string, number>): void
}

/** State of a task that runs here, reported by the runner at each change. */
export interface TaskReport {
  readonly state: 'RUNNING' | 'FAILED'
  /** For FAILED. */
  readonly trace?: string
}

/** The tasks of a connector's config, the same on every worker. */
export interface ConnectorTasks {
  /** One entry for each task, by number: digests of the quotas that its requests count against, where there are limits. */
  readonly tasks: readonly { readonly quotas: readonly string[] }[]
  /** By digest: largest number of workers the quota can be divided among. */
  readonly divisible: ReadonlyMap<string, number>
}
