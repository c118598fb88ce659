/**
 * What the control room is made of, as its parts see each other: connectors wanted, tasks, who runs them, how they are, and the `Herder` that the REST API
 * asks. Shapes that leave over HTTP are Kafka Connect's.
 */
import type { ConnectorMap } from '../config.ts'

/** What a person wants of a connector; survives restarts. A stopped connector has no tasks, a paused one keeps them. */
export type TargetState = 'RUNNING' | 'PAUSED' | 'STOPPED'

/** A connector that is to run, wherever it was written. */
export interface WantedConnector {
  readonly name: string
  /** `file`: of the config file, to be changed there only. `rest`: of the configs topic. */
  readonly origin: 'file' | 'rest'
  /** As written: references (`${env:NAME}`, `${file:PATH}`) unresolved. */
  readonly written: ConnectorMap
  readonly target: TargetState
  /** Changes whenever its config does: a task that runs with another one is started anew. The same for every worker. */
  readonly version: string
}

/** A set of source partitions of one connector; `number` counts from 0 to below `tasks.max`. */
export interface TaskId {
  readonly connector: string
  readonly task: number
}

export type ConnectorState = 'UNASSIGNED' | 'RUNNING' | 'PAUSED' | 'STOPPED' | 'FAILED' | 'RESTARTING'
export type TaskState = Exclude<ConnectorState, 'STOPPED'>

/** How a connector or a task is, as the status topic holds it (Kafka Connect's layout) and its worker tells it. */
export interface Status<S extends string = ConnectorState> {
  readonly state: S
  /** `host:port` of the REST listener of the worker that says so. */
  readonly workerId: string
  /** Of FAILED: a sentence for a person with the error's code, then the cure. */
  readonly trace?: string
  /** Generation of the group in which this was said. */
  readonly generation: number
}

/** The group as this worker knows it. */
export interface GroupView {
  /** null: no leader is known just now (a rebalance is under way). `url` is the base URL of its REST listener. */
  readonly leader: { readonly workerId: string; readonly url: string; readonly isMe: boolean } | null
  readonly generation: number
  readonly workers: readonly { readonly workerId: string; readonly url: string; readonly tasks: readonly TaskId[] }[]
  /** Tasks that are wanted and that nobody has. */
  readonly unassigned: readonly TaskId[]
}

// ---- What the REST API answers (Kafka Connect's JSON) ----

export type Config = Readonly<Record<string, string>>

export interface ConnectorInfo {
  readonly name: string
  /** Secrets that stand in it in clear are `[hidden]`; references stay as written. */
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

/** One source partition and where it is: flat maps of primitives. `offset: null` in a request resets it; `{"from": ISO}` sets it back to a time. */
export interface OffsetEntry {
  readonly partition: Readonly<Record<string, unknown>>
  readonly offset: Readonly<Record<string, unknown>> | null
}

/** What a change of offsets would do, or did, to one source partition. */
export interface OffsetPlan {
  readonly partition: Readonly<Record<string, unknown>>
  /** What is read again, ISO 8601; null: nothing. */
  readonly rereads: { readonly from: string; readonly until: string } | null
  /** Estimates; null: cannot be said (the connector does not say how many requests a day of data takes). */
  readonly requests: number | null
  readonly seconds: number | null
}

export interface OffsetChange {
  /** ISO 8601. */
  readonly at: string
  /** Who asked: the address, and the name where the credential tells one. */
  readonly by: string
  readonly plans: readonly OffsetPlan[]
}

export interface Restart {
  readonly includeTasks: boolean
  readonly onlyFailed: boolean
}

/**
 * Answers for the whole group. What changes something is called on the leader only (the REST API forwards it there); what is read is answered by
 * any worker from what it follows.
 *
 * Every method that takes a name throws `ControlError` 404 for a connector that is not there, 409 while the group is in motion.
 */
export interface Herder {
  group(): GroupView
  /** Why this worker is not able to work; null: it is. */
  whyNot(): string | null
  clusterId(): string | null
  names(): readonly string[]
  info(name: string): ConnectorInfo
  /** Throws 404 `No status found for connector NAME` where nothing is known yet. */
  status(name: string): ConnectorStatusAnswer
  taskConfigs(name: string): readonly { readonly id: TaskId; readonly config: Config }[]
  /** Topics that the connector has written to. */
  topics(name: string): readonly string[]
  create(name: string, config: Config, target: TargetState): Promise<ConnectorInfo>
  /** Replaces the whole config; creates the connector where there is none. `[hidden]` for a secret key keeps what is stored. */
  put(name: string, config: Config): Promise<{ readonly isNew: boolean; readonly info: ConnectorInfo }>
  /** null takes a key away. */
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
  /** Forgets which topics the connector has written to; what it writes from now on is known again. */
  resetTopics(name: string): Promise<void>
  /** Sets the level of a logger on all workers. @param level null: as its parent's. */
  setClusterLevel(logger: string, level: string | null): Promise<void>
}

/** Refused or not possible: `status` and `message` are the answer, in Kafka Connect's words where it has some. */
export class ControlError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

// ---- Between the group, the stores and what runs ----

/** Connectors wanted: of the file and of the configs topic together, followed. */
export interface Wanted {
  /** By name. */
  readonly connectors: ReadonlyMap<string, WantedConnector>
  /** Where the configs topic has been read to (exclusive). Workers compare it with what the leader has seen. */
  readonly offset: number
  /** Resolves when the configs topic has been read to this offset. */
  readTo(offset: number, signal: AbortSignal): Promise<void>
  /** Called after each change. @returns what ends it */
  onChange(changed: () => void): () => void
  /** Called on every worker when tasks are to be started anew (see `isMeant` of configs.ts). @returns what ends it */
  onRestart(asked: (restart: RestartRequest) => void): () => void
}

/** Asked for over REST, or because what a reference stands for has changed on this machine. */
export interface RestartRequest extends Restart {
  readonly connector: string
  /** These tasks alone; null: as `includeTasks` and `onlyFailed` say. */
  readonly tasks: readonly number[] | null
}

/** Statuses of all connectors and tasks, followed on the status topic; and the writing of one's own. */
export interface Statuses {
  connector(name: string): Status | null
  task(id: TaskId): Status<TaskState> | null
  /** Tasks with a status, by number. */
  tasksOf(name: string): readonly { readonly task: number; readonly status: Status<TaskState> }[]
  tell(of: { readonly connector: string; readonly task?: number }, status: Status | null): Promise<void>
  /** Topics that the connector has written to, in order. */
  topics(connector: string): readonly string[]
  /** The task has written to these topics. Costs nothing where that is known. */
  wrote(id: TaskId, topics: readonly string[]): void
}

/** What runs in this process. */
export interface Runner {
  /** Starts the task with the connector as it is wanted now, or starts it anew where it runs with another version. Returns at once. */
  start(id: TaskId): void
  /** Stops it: the page in hand is finished or aborted within 5 s. Resolves when nothing of it asks a vendor or writes any more. */
  stop(id: TaskId): Promise<void>
  /** Of each quota that is divided, the part that this process may use, by its digest; it has all of the others. In force at once. */
  quota(shares: ReadonlyMap<string, number>): void
}

/** How a task is that runs here, as the runner reports it whenever that changes. */
export interface TaskReport {
  readonly state: 'RUNNING' | 'FAILED'
  /** Of FAILED. */
  readonly trace?: string
}

/** What a connector's config comes to, the same on every worker. */
export interface ConnectorTasks {
  /** One entry for each task, by number: digests of what the vendor counts its requests by, where there are limits. */
  readonly tasks: readonly { readonly quotas: readonly string[] }[]
  /** By digest: on how many workers the quota can be divided at most. */
  readonly divisible: ReadonlyMap<string, number>
}
