/** What workers and their leader exchange, as bytes of the group protocol: compressed JSON, because Kafka keeps all of it in one record. */
import { gunzipSync, gzipSync } from 'node:zlib'
import { taskKey } from './assign.ts'
import type { TaskId } from './port.ts'

/** Numbers of tasks by connector. */
type Tasks = Readonly<Record<string, readonly number[]>>

export interface Claim {
  /** `host:port` of its listener. */
  readonly worker: string
  readonly url: string
  /** Names the process in the cursors that it writes. */
  readonly process: string
  readonly generation: number
  /** Incremented with each join, because an unchanged claim does not make the others rejoin. */
  readonly turn: number
  /** How far it has read the configs topic. */
  readonly configs: number
  /** Tasks that it runs or is still stopping. */
  readonly tasks: Tasks
  readonly isLeaving: boolean
  /** Connectors of its file: it runs no other file connectors. */
  readonly file: readonly string[]
}

export interface Assignment {
  /** The leader's member id. */
  readonly leader: string
  readonly configs: number
  readonly members: readonly {
    readonly id: string
    readonly worker: string
    readonly url: string
    readonly process: string
    readonly tasks: Tasks
    readonly isLeaving: boolean
  }[]
  /** Share of each member of each divided quota. */
  readonly shares: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** For the next leader: see `Remembered`. */
  readonly held: Readonly<Record<string, number>>
  readonly intended: Readonly<Record<string, string>>
}

/** Payloads of other programs or of unknown versions are ignored. */
const FORMAT = 1

export function pack(words: Claim | Assignment): Buffer {
  return gzipSync(JSON.stringify({ format: FORMAT, ...words }))
}

export function unpackClaim(data: Buffer): Claim | null {
  return unpack<Claim>(data, ['worker', 'url', 'tasks', 'file'])
}

export function unpackAssignment(data: Buffer): Assignment | null {
  return unpack<Assignment>(data, ['leader', 'members', 'shares'])
}

function unpack<T>(data: Buffer, needed: readonly (keyof T & string)[]): T | null {
  try {
    const words = JSON.parse(gunzipSync(data).toString()) as T & { format: unknown }
    return words.format === FORMAT && needed.every(key => words[key] !== undefined) ? words : null
  } catch {
    return null
  }
}

export function tasksIn(tasks: Tasks): TaskId[] {
  return Object.entries(tasks).flatMap(([connector, numbers]) => numbers.map(task => ({ connector, task })))
}

export function keysIn(tasks: Tasks): string[] {
  return tasksIn(tasks).map(taskKey)
}

export function tasksOfKeys(keys: Iterable<string>): Tasks {
  const tasks: Record<string, number[]> = {}
  for (const key of keys) {
    const { connector, task } = idOf(key)
    ;(tasks[connector] ??= []).push(task)
  }
  return tasks
}

/** See `taskKey`. */
export function idOf(key: string): TaskId {
  const slash = key.lastIndexOf('/')
  return { connector: key.slice(0, slash), task: Number(key.slice(slash + 1)) }
}
