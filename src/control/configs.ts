/**
 * The wanted connectors and their target states: those of the config file and those of `<prefix>-connect-configs` together, kept up to date. The topic has
 * Kafka Connect's layout, so that its tools can read it; only the leader of the workers writes to it.
 *
 * | Key | Value |
 * | --- | --- |
 * | `connector-NAME` | `{"properties":{…}}`: a connector created over REST; secrets are references |
 * | `target-state-NAME` | `{"state":"STARTED","state.v2":"STARTED"}`, also `PAUSED` and `STOPPED`; also for connectors of the file |
 * | `restart-connector-NAME` | `{"include-tasks":true,"only-failed":false}`, and `"tasks":[0]` for single ones: an event |
 * | `logger-cluster-NAME` | `{"level":"DEBUG"}` |
 * | `offsets-changes-NAME` | ours: the last changes of offsets, newest first |
 */
import type { ConnectorMap } from '../config.ts'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import type { Chunk, Kafka, Writer, WrittenRange } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { leaderTransactionalId } from '../topics.ts'
import { digestOf, type Resolved, resolveConnector, shownConfig, type Surroundings } from './check-config.ts'
import type { RestartRequest, Status, TargetState, TaskId, TaskState, Wanted, WantedConnector } from './port.ts'
import { followLog } from './topic-log.ts'

export interface ConfigsOptions {
  readonly kafka: Pick<Kafka, 'openWriter' | 'tail' | 'watermarks'>
  /** `<prefix>-connect-configs`. */
  readonly topic: string
  readonly prefix: string
  /** Connectors of the config file, as written. */
  readonly file: Readonly<Record<string, ConnectorMap>>
  readonly surroundings: Surroundings
  /** A log level set for the whole cluster; null: removed. Called for earlier settings, too. */
  readonly onLevel?: (logger: string, level: string | null) => void
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

export interface Configs extends Wanted {
  /** The connector with its references resolved on this machine, or why that failed. null: it is not wanted. */
  resolved(name: string): Resolved | null
  /** Replaces the connectors of the file: changed ones are reported by `onChange`, those with changed secrets only by `onRestart`. */
  reload(file: Readonly<Record<string, ConnectorMap>>): Promise<void>
  /** The newest value of a record, as text; null: there is none. */
  value(key: string): string | null
  /**
   * Writes records as the leader, in one transaction, and reads them. The first call of a generation fences the previous leader, and reads what it wrote before
   * `change` decides what to write; nothing else is written meanwhile.
   *
   * @throws FlowError KAFKA_FENCED (another leader has written), KAFKA_UNREACHABLE, STOPPED
   */
  write(generation: number, change: Change): Promise<void>
  /** Resolves when everything on the topic at the start has been read. */
  readonly ready: Promise<void>
  readonly isReady: boolean
  why(): string | null
  /** Closes the writer, after the last write. */
  close(): Promise<void>
  readonly done: Promise<void>
}

export interface ConfigRecord {
  readonly key: string
  /** JSON; null removes the record. */
  readonly value: object | null
}

export const connectorKey = (name: string): string => `connector-${name}`
export const targetKey = (name: string): string => `target-state-${name}`
export const restartKey = (name: string): string => `restart-connector-${name}`
export const levelKey = (logger: string): string => `logger-cluster-${logger}`
export const changesKey = (name: string): string => `offsets-changes-${name}`

/** Kafka Connect's words; versions before STOPPED read `state`. */
export function targetValue(target: TargetState): object {
  if (target === 'RUNNING') return { state: 'STARTED', 'state.v2': 'STARTED' }
  return { state: 'PAUSED', 'state.v2': target }
}

export function restartValue({ includeTasks, onlyFailed, tasks }: Omit<RestartRequest, 'connector'>): object {
  return { 'include-tasks': includeTasks, 'only-failed': onlyFailed, ...(tasks === null ? {} : { tasks }) }
}

/** Whether the task must be restarted. @param status Current status; null: unknown. */
export function isMeant(request: RestartRequest, id: TaskId, status: Status<TaskState> | null): boolean {
  if (id.connector !== request.connector) return false
  if (request.tasks !== null) return request.tasks.includes(id.task)
  return request.includeTasks && (!request.onlyFailed || status?.state === 'FAILED')
}

interface Entry {
  readonly wanted: WantedConnector
  readonly resolved: Resolved
}

type Change = () => readonly ConfigRecord[] | Promise<readonly ConfigRecord[]>

const MOST_TRIES = 3

/** Starts at once and returns. */
export function openConfigs(options: ConfigsOptions): Configs {
  const { kafka, topic, prefix, surroundings, clock, log, signal } = options
  let file = options.file
  const values = new Map<string, string>()
  /** Offset of the newest record of each key. */
  const places = new Map<string, number>()
  let entries: ReadonlyMap<string, Entry> = new Map()
  let connectors: ReadonlyMap<string, WantedConnector> = new Map()
  const changed = new Set<() => void>()
  const restarting = new Set<(restart: RestartRequest) => void>()
  /** Changes of the entries run one after another. */
  let last: Promise<unknown> = Promise.resolve()
  let leader: { readonly writer: Writer; readonly generation: number } | null = null
  let lastWrite: Promise<unknown> = Promise.resolve()

  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work)
    last = turn.catch(() => {})
    return turn
  }

  /** @param names Connectors that may have changed; null: all. */
  async function rebuild(names: ReadonlySet<string> | null): Promise<void> {
    const next = new Map<string, Entry>()
    const again: RestartRequest[] = []
    let isChanged = false
    for (const [name, { written, origin }] of writtenOf(file, values)) {
      const before = entries.get(name)
      const isTouched = names === null || names.has(name) || before === undefined
      const entry = isTouched ? await entryOf(name, written, origin) : before
      next.set(name, entry)
      isChanged ||=
        before === undefined || before.wanted.version !== entry.wanted.version || before.wanted.target !== entry.wanted.target
      if (
        before !== undefined &&
        before.wanted.version === entry.wanted.version &&
        before.resolved.digest !== entry.resolved.digest
      )
        again.push({ connector: name, tasks: null, includeTasks: true, onlyFailed: false })
    }
    isChanged ||= entries.size !== next.size
    entries = new Map([...next].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    connectors = new Map([...entries].map(([name, { wanted }]) => [name, wanted]))
    if (isChanged) for (const notify of changed) notify()
    for (const restart of again) for (const notify of restarting) notify(restart)
  }

  async function entryOf(name: string, written: ConnectorMap, origin: 'file' | 'rest'): Promise<Entry> {
    const resolved = await resolveConnector(name, written, origin, surroundings)
    const plugin = resolved.ok ? resolved.connector.connector : resolved.plugin
    // The same wherever it is written, and without literal secrets: versions are sent to other workers.
    const version = digestOf(shownConfig(name, written, plugin))
    return { wanted: { name, origin, written, target: targetOf(values.get(targetKey(name))), version }, resolved }
  }

  async function take({ records }: Chunk, isFirst: boolean): Promise<void> {
    const touched = new Set<string>()
    const restarts: RestartRequest[] = []
    for (const { key, value, offset } of records) {
      const name = key?.toString() ?? ''
      const text = value?.toString() ?? null
      places.set(name, offset)
      if (text === null) values.delete(name)
      else values.set(name, text)
      const nameIn = (prefixed: (name: string) => string) =>
        name.startsWith(prefixed('')) ? name.slice(prefixed('').length) : null
      const connector = nameIn(connectorKey) ?? nameIn(targetKey)
      if (connector !== null) touched.add(connector)
      const logger = nameIn(levelKey)
      if (logger !== null) options.onLevel?.(logger, levelOf(text))
      const restarted = nameIn(restartKey)
      if (restarted === null || text === null || isFirst) continue
      const restart = restartOf(restarted, text)
      if (restart === null) log.warn({ topic, offset, key: name }, 'skipped invalid restart record')
      else restarts.push(restart)
    }
    if (touched.size === 0 && restarts.length === 0) return
    // A restart resolves the references again.
    for (const { connector } of restarts) touched.add(connector)
    await inTurn(() => rebuild(touched))
    for (const restart of restarts) for (const notify of restarting) notify(restart)
  }

  const followed = followLog({ kafka, topic, partitions: 1, take, clock, log, signal })
  // Connectors of the file are known before the topic is read.
  inTurn(() => rebuild(null)).catch((thrown: unknown) =>
    log.error(errorFields(asFlowError(thrown)), 'failed to load connectors of the config file'),
  )

  async function lead(generation: number): Promise<Writer> {
    if (leader !== null && leader.generation === generation) return leader.writer
    await resign()
    const writer = kafka.openWriter({ transactionalId: leaderTransactionalId(prefix) })
    try {
      await writer.fence()
      await followed.readToEnd(signal)
    } catch (thrown) {
      await writer.close()
      throw thrown
    }
    leader = { writer, generation }
    return writer
  }

  async function resign(): Promise<void> {
    const before = leader
    leader = null
    await before?.writer.close()
  }

  async function writeNow(generation: number, change: Change): Promise<void> {
    let records: readonly ConfigRecord[] | null = null
    for (let tries = 1; ; tries++) {
      const writer = await lead(generation)
      records ??= await change()
      if (records.length === 0) return
      const from = followed.next(0)
      const sent = records.map(({ key, value }) => ({
        key: Buffer.from(key),
        value: value && Buffer.from(JSON.stringify(value)),
      }))
      try {
        const written = await writer.transact(tx => tx.write([{ topic, partition: 0, records: sent }]))
        await followed.readTo(endsOf(written), signal)
        return
      } catch (thrown) {
        const error = asFlowError(thrown)
        await resign()
        if (error.retry !== 'reread' || tries >= MOST_TRIES) throw error
        log.warn({ ...errorFields(error), topic }, 'lost the outcome of a change, reading the topic again')
        // After fencing again and reading to the end, the topic shows whether it was written.
        await lead(generation)
        if (records.every(({ key }) => (places.get(key) ?? -1) >= from)) return
      }
    }
  }

  return {
    get connectors() {
      return connectors
    },
    get offset() {
      return followed.next(0)
    },
    readTo: (offset, stop) => followed.readTo([{ partition: 0, offset }], stop),
    onChange: notify => {
      changed.add(notify)
      return () => void changed.delete(notify)
    },
    onRestart: notify => {
      restarting.add(notify)
      return () => void restarting.delete(notify)
    },
    resolved: name => entries.get(name)?.resolved ?? null,
    reload: next =>
      inTurn(() => {
        file = next
        return rebuild(null)
      }),
    value: key => values.get(key) ?? null,
    write: (generation, change) => {
      const turn = lastWrite.then(() => writeNow(generation, change))
      lastWrite = turn.catch(() => {})
      return turn
    },
    ready: followed.ready.then(() => last).then(() => {}),
    get isReady() {
      return followed.isReady
    },
    why: () => followed.why(),
    close: async () => {
      await lastWrite
      await resign()
    },
    done: followed.done,
  }
}

/** Every wanted connector; if a name is in both, the file's. */
function writtenOf(
  file: Readonly<Record<string, ConnectorMap>>,
  values: ReadonlyMap<string, string>,
): Map<string, { written: ConnectorMap; origin: 'file' | 'rest' }> {
  const found = new Map<string, { written: ConnectorMap; origin: 'file' | 'rest' }>()
  for (const [key, text] of values) {
    const written = key.startsWith(connectorKey('')) ? propertiesOf(text) : null
    if (written !== null) found.set(key.slice(connectorKey('').length), { written, origin: 'rest' })
  }
  for (const [name, written] of Object.entries(file)) found.set(name, { written, origin: 'file' })
  return found
}

function endsOf(written: readonly WrittenRange[]) {
  return written.map(({ partition, lastOffset }) => ({ partition, offset: lastOffset + 1 }))
}

function propertiesOf(text: string): ConnectorMap | null {
  const properties = parsed(text)?.['properties']
  if (typeof properties !== 'object' || properties === null) return null
  return Object.fromEntries(Object.entries(properties).flatMap(([key, value]) => (value === null ? [] : [[key, String(value)]])))
}

function targetOf(text: string | undefined): TargetState {
  const value = text === undefined ? null : parsed(text)
  const state = value?.['state.v2'] ?? value?.['state']
  return state === 'PAUSED' || state === 'STOPPED' ? state : 'RUNNING'
}

function levelOf(text: string | null): string | null {
  const level = text === null ? null : parsed(text)?.['level']
  return typeof level === 'string' ? level : null
}

function restartOf(connector: string, text: string): RestartRequest | null {
  const value = parsed(text)
  if (value === null) return null
  const { tasks } = value
  return {
    connector,
    includeTasks: value['include-tasks'] === true,
    onlyFailed: value['only-failed'] === true,
    tasks: Array.isArray(tasks) ? tasks.filter(each => typeof each === 'number') : null,
  }
}

/** A JSON object; null for anything else that others may have written. */
export function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}
