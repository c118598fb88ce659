/**
 * Statuses of connectors and tasks, as workers report them on `<prefix>-connect-status`: Kafka Connect's keys and values, followed on every worker. The topic
 * also holds other records (heartbeats of `src/ingest/standby.ts`), which are skipped.
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Chunk, Kafka, Writer } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { statusTransactionalId } from '../topics.ts'
import { parsed } from './configs.ts'
import type { ConnectorState, Status, Statuses, TaskId, TaskState } from './port.ts'
import { followLog } from './topic-log.ts'

export interface StatusesOptions {
  readonly kafka: Pick<Kafka, 'openWriter' | 'tail' | 'watermarks'>
  /** `<prefix>-connect-status`. */
  readonly topic: string
  readonly partitions: number
  readonly prefix: string
  readonly clock: Clock
  readonly log: Log
  /** Stops following. Writing continues until `close`, so that ending tasks can report. */
  readonly signal: AbortSignal
}

export interface StatusStore extends Statuses {
  /** Everything with a status, by connector: its task numbers, and whether it has one itself. */
  all(): ReadonlyMap<string, { readonly hasOwn: boolean; readonly tasks: readonly number[] }>
  resetTopics(connector: string): Promise<void>
  readonly ready: Promise<void>
  readonly isReady: boolean
  why(): string | null
  /** Writes what is pending, for at most two seconds, and closes. */
  close(): Promise<void>
  readonly done: Promise<void>
}

const CONNECTOR = 'status-connector-'
const TASK = 'status-task-'
const TOPIC = 'status-topic-'
const TOPIC_OF = ':connector-'
const RETRY_MS = 1_000
const CLOSE_PATIENCE_MS = 2_000
const STATES: ReadonlySet<string> = new Set<ConnectorState>([
  'UNASSIGNED',
  'RUNNING',
  'PAUSED',
  'STOPPED',
  'FAILED',
  'RESTARTING',
])

interface Waiting {
  readonly value: object | null
  readonly done: PromiseWithResolvers<void>
}

/** Starts at once and returns. */
export function openStatuses(options: StatusesOptions): StatusStore {
  const { kafka, topic, partitions, prefix, clock, log, signal } = options
  const connectors = new Map<string, Status>()
  const tasks = new Map<string, Map<number, Status<TaskState>>>()
  const topics = new Map<string, Set<string>>()
  /** Reported here and not read back yet: valid until then. */
  const pending = new Map<string, Status | null>()
  const waiting = new Map<string, Waiting>()
  let writer: Writer | null = null
  let flushing: Promise<void> | null = null
  const closing = new AbortController()
  let isClosed = false
  const transactionalId = statusTransactionalId(prefix, randomUUID())

  function take({ records }: Chunk): void {
    for (const { key, value } of records) {
      const name = key?.toString() ?? ''
      const text = value?.toString() ?? null
      if (name.startsWith(CONNECTOR)) put(connectors, name.slice(CONNECTOR.length), statusOf(text))
      else if (name.startsWith(TASK)) takeTask(name.slice(TASK.length), statusOf(text))
      else if (name.startsWith(TOPIC)) takeTopic(name.slice(TOPIC.length), text !== null)
    }
  }

  function takeTask(name: string, status: Status | null): void {
    const [, connector, task] = /^(.+)-(\d{1,9})$/.exec(name) ?? []
    if (connector === undefined || task === undefined) return
    const byTask = tasks.get(connector) ?? new Map<number, Status<TaskState>>()
    put(byTask, Number(task), status as Status<TaskState> | null)
    if (byTask.size === 0) tasks.delete(connector)
    else tasks.set(connector, byTask)
  }

  function takeTopic(name: string, isThere: boolean): void {
    const at = name.lastIndexOf(TOPIC_OF)
    if (at < 0) return
    const connector = name.slice(at + TOPIC_OF.length)
    const written = topics.get(connector) ?? new Set()
    topics.set(connector, written)
    if (isThere) written.add(name.slice(0, at))
    else written.delete(name.slice(0, at))
  }

  const followed = followLog({ kafka, topic, partitions, take, clock, log, signal })

  function write(key: string, value: object | null): Promise<void> {
    const before = waiting.get(key)
    const done = before?.done ?? Promise.withResolvers<void>()
    if (isClosed) return Promise.resolve()
    waiting.set(key, { value, done })
    flushing ??= flush()
    return done.promise
  }

  async function flush(): Promise<void> {
    // Reports of the same turn go into one transaction.
    await Promise.resolve()
    while (waiting.size > 0 && !closing.signal.aborted) {
      const batch = new Map(waiting)
      const meant = new Map([...batch.keys()].map(key => [key, pending.get(key)]))
      waiting.clear()
      try {
        const written = await writeAll([...batch].map(([key, { value }]) => ({ key, value })))
        for (const { done } of batch.values()) done.resolve()
        void forgetRead(meant, written)
      } catch (thrown) {
        for (const [key, each] of batch) {
          const newer = waiting.get(key)
          if (newer === undefined) waiting.set(key, each)
          else void newer.done.promise.then(each.done.resolve)
        }
        const error = asFlowError(thrown)
        log.warn({ ...errorFields(error), topic }, 'failed to write status, retrying')
        await writer?.close()
        writer = null
        await clock.sleep(RETRY_MS, closing.signal)
      }
    }
    // In the same turn as the last check for pending reports.
    flushing = null
  }

  async function writeAll(records: readonly { key: string; value: object | null }[]) {
    if (writer === null) {
      const opened = kafka.openWriter({ transactionalId })
      writer = opened
      await opened.fence()
    }
    const batches = Map.groupBy(records, ({ key }) => partitionOf(key, partitions))
    return writer.transact(tx =>
      tx.write(
        [...batches].map(([partition, some]) => ({
          topic,
          partition,
          records: some.map(({ key, value }) => ({ key: Buffer.from(key), value: value && Buffer.from(JSON.stringify(value)) })),
        })),
      ),
    )
  }

  /** Once read back, the topic has it. */
  async function forgetRead(
    meant: ReadonlyMap<string, Status | null | undefined>,
    written: readonly { partition: number; lastOffset: number }[],
  ): Promise<void> {
    try {
      await followed.readTo(written.map(({ partition, lastOffset }) => ({ partition, offset: lastOffset + 1 })))
    } catch {
      return
    }
    for (const [key, status] of meant) if (pending.get(key) === status && !waiting.has(key)) pending.delete(key)
  }

  const connector = (name: string): Status | null => known(pending, CONNECTOR + name, connectors.get(name) ?? null)
  const task = ({ connector: name, task: number }: TaskId) =>
    known(pending, `${TASK}${name}-${number}`, tasks.get(name)?.get(number) ?? null) as Status<TaskState> | null

  return {
    connector,
    task,
    tasksOf: name =>
      numbersOf(name)
        .map(number => ({ task: number, status: task({ connector: name, task: number }) }))
        .filter(each => each.status !== null) as { task: number; status: Status<TaskState> }[],
    report(target, status) {
      const key = target.task === undefined ? CONNECTOR + target.connector : `${TASK}${target.connector}-${target.task}`
      const stands =
        target.task === undefined ? connector(target.connector) : task({ connector: target.connector, task: target.task })
      // A worker that was left behind must not overwrite its successor's status when it ends. A starting one is always believed: generations start again with a
      // new group.
      const isEnd = target.task !== undefined && (status?.state === 'UNASSIGNED' || status?.state === 'FAILED')
      const isLate = isEnd && stands !== null && stands.generation > status.generation && stands.workerId !== status.workerId
      if (isLate || isSame(stands, status)) return waiting.get(key)?.done.promise ?? Promise.resolve()
      pending.set(key, status)
      return write(key, status && valueOf(status))
    },
    topics: name => [...(topics.get(name) ?? [])].toSorted(),
    wrote({ connector: name, task: number }, names) {
      const written = topics.get(name) ?? new Set()
      topics.set(name, written)
      for (const each of names) {
        if (written.has(each)) continue
        written.add(each)
        void write(`${TOPIC}${each}${TOPIC_OF}${name}`, {
          topic: { name: each, connector: name, task: number, discoverTimestamp: clock.now() },
        })
      }
    },
    async resetTopics(name) {
      const written = [...(topics.get(name) ?? [])]
      topics.delete(name)
      await Promise.all(written.map(each => write(`${TOPIC}${each}${TOPIC_OF}${name}`, null)))
    },
    all() {
      const names = new Set([...connectors.keys(), ...tasks.keys()])
      return new Map([...names].map(name => [name, { hasOwn: connector(name) !== null, tasks: numbersOf(name) }]))
    },
    ready: followed.ready,
    get isReady() {
      return followed.isReady
    },
    why: () => followed.why(),
    async close() {
      await Promise.race([flushing, clock.sleep(CLOSE_PATIENCE_MS)])
      isClosed = true
      closing.abort()
      for (const { done } of waiting.values()) done.resolve()
      await writer?.close()
    },
    done: followed.done,
  }

  function numbersOf(name: string): number[] {
    const start = `${TASK}${name}-`
    const here = [...pending.keys()].flatMap(key => {
      const number = key.startsWith(start) ? key.slice(start.length) : ''
      return /^\d{1,9}$/.test(number) ? [Number(number)] : []
    })
    return [...new Set([...(tasks.get(name)?.keys() ?? []), ...here])].toSorted((a, b) => a - b)
  }
}

function known(pending: ReadonlyMap<string, Status | null>, key: string, read: Status | null): Status | null {
  const own = pending.get(key)
  return own === undefined ? read : own
}

function put<K, V>(map: Map<K, V>, key: K, value: V | null): void {
  if (value === null) map.delete(key)
  else map.set(key, value)
}

function isSame(a: Status | null, b: Status | null): boolean {
  if (a === null || b === null) return a === b
  return a.state === b.state && a.workerId === b.workerId && a.trace === b.trace && a.generation === b.generation
}

function valueOf({ state, trace, workerId, generation }: Status): object {
  return { state, trace: trace ?? null, worker_id: workerId, generation }
}

/** null also for anything that is not a status, and for `DESTROYED`, which Kafka Connect writes and never shows. */
function statusOf(text: string | null): Status | null {
  const value = text === null ? null : parsed(text)
  const { state, worker_id: workerId, trace, generation } = value ?? {}
  if (typeof state !== 'string' || !STATES.has(state) || typeof workerId !== 'string') return null
  return {
    state: state as ConnectorState,
    workerId,
    generation: typeof generation === 'number' ? generation : 0,
    ...(typeof trace === 'string' && trace !== '' ? { trace } : {}),
  }
}
