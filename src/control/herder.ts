/**
 * Implements the REST API: connectors, tasks, statuses and offsets of the whole group. Any worker answers reads from the stores that it follows; the leader
 * makes changes, one after another, each based on the one before.
 */
import type { Clock } from '../clock.ts'
import type { ConnectMetrics } from '../connect-metrics.ts'
import { type ConnectorMap, resolveMap } from '../config.ts'
import { asFlowError } from '../errors.ts'
import { cursorKey, type PartitionName, progressKey } from '../ingest/cursor.ts'
import { doorOf } from '../ingest/door.ts'
import { maskFor } from '../ingest/mask.ts'
import {
  type ConnectorToRun,
  partitionsOf,
  planSpecOf,
  requestsPerHour,
  shareOf,
  type SourcePartition,
  STEADY_PART,
} from '../ingest/source-partition.ts'
import { partitionsByTask } from '../ingest/tasks.ts'
import { errorFields, type Log } from '../log.ts'
import { quotaLimits } from '../source/config.ts'
import { resolveConnector, shownConfig, type Surroundings, withStored } from './check-config.ts'
import {
  changesKey,
  type ConfigRecord,
  type Configs,
  connectorKey,
  isMeant,
  levelKey,
  parsed,
  restartKey,
  restartValue,
  targetKey,
  targetValue,
} from './configs.ts'
import { changeStored, type OffsetsOptions, readSeen, readStored, type StoredOffset } from './offsets.ts'
import {
  type Config,
  type ConnectorInfo,
  type ConnectorState,
  type ConnectorStatusAnswer,
  ControlError,
  type GroupView,
  type Herder,
  type OffsetChange,
  type OffsetEntry,
  type OffsetPlan,
  type RestartRequest,
  type Status,
  type StatusAnswer,
  type TargetState,
  type TaskId,
  type TaskState,
} from './port.ts'
import type { StatusStore } from './statuses.ts'
import { connectorClasses } from './classes.ts'
import { changeOffset, type Changed, type OffsetAsk, readAsk, requestsFor, secondsFor, seenOf } from './time-machine.ts'
import { invalidConfig, validate, wrongConfig } from './validate.ts'

export interface HerderOptions extends OffsetsOptions {
  /** `host:port` of this worker's listener. */
  readonly workerId: string
  readonly group: () => GroupView
  readonly configs: Configs
  readonly statuses: StatusStore
  readonly surroundings: Surroundings
  readonly clusterId: () => string | null
  readonly whyNot: () => string | null
  /** Prepares what a connector needs besides its config (the retention of versions follows the longest lookback). Awaited before it is wanted. */
  readonly prepare?: (connector: ConnectorToRun) => Promise<void>
  /** Version of the product, in statuses. */
  readonly version?: string
  readonly clock: Clock
  readonly log: Log
}

/** Changes of offsets remembered per connector, and the largest size of their record. */
const MOST_CHANGES = 20
const MOST_CHANGE_BYTES = 500_000
const MOST_PLANS = 1_000
/** How long a change of offsets waits for the tasks of a stopped connector to end. Tasks still running then are fenced. */
const STOP_WAIT_MS = 10_000
const LOOK_MS = 200

const NO_LEADER = 'Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.'
const CONFLICT = 'Cannot complete request because of a conflicting operation (e.g. worker rebalance)'

export function createHerder(options: HerderOptions): Herder {
  const { configs, statuses, group, surroundings, workerId, clock, log, signal } = options
  const version = options.version === undefined ? {} : { version: options.version }

  function wanted(name: string, message = `Connector ${name} not found`) {
    const found = configs.connectors.get(name)
    if (found === undefined) throw new ControlError(404, message)
    return found
  }

  function pluginOf(name: string) {
    const resolved = configs.resolved(name)
    return resolved === null ? null : resolved.ok ? resolved.connector.connector : resolved.plugin
  }

  /** No tasks for a stopped connector, or for one that cannot be resolved. */
  function tasks(name: string): ReturnType<typeof partitionsByTask> {
    const resolved = configs.resolved(name)
    if (configs.connectors.get(name)?.target === 'STOPPED' || resolved?.ok !== true) return []
    return partitionsByTask(resolved.connector)
  }

  function typeOf(name: string): ConnectorInfo['type'] {
    return pluginOf(name) === null ? 'unknown' : 'source'
  }

  function info(name: string): ConnectorInfo {
    const { written } = wanted(name)
    return {
      name,
      config: shownConfig(name, written, pluginOf(name)),
      tasks: tasks(name).map((_, task) => ({ connector: name, task })),
      type: typeOf(name),
    }
  }

  function status(name: string, restart: RestartRequest | null = null): ConnectorStatusAnswer {
    const stands = configs.connectors.has(name) ? statuses.connector(name) : null
    if (stands === null) throw new ControlError(404, `No status found for connector ${name}`)
    const isRestarting = restart !== null && restart.tasks === null && (!restart.onlyFailed || stands.state === 'FAILED')
    const { workers } = group()
    return {
      name,
      connector: answer(isRestarting ? { ...stands, state: 'RESTARTING' } : stands),
      tasks: tasks(name).map((_, task) => {
        const id = { connector: name, task }
        const now = taskStatus(id, workers)
        return {
          id: task,
          ...answer(restart !== null && isMeant(restart, id, now) ? { ...now, state: 'RESTARTING' } : now),
        }
      }),
      type: typeOf(name),
    }
  }

  /** The status from its worker; if the worker is gone or has not reported yet, UNASSIGNED. */
  function taskStatus(id: TaskId, workers: GroupView['workers']): Status<TaskState> {
    const reported = statuses.task(id)
    const owner = workers.find(each => each.tasks.some(owned => owned.connector === id.connector && owned.task === id.task))
    if (reported !== null && reported.workerId === owner?.workerId) return reported
    const { generation } = group()
    return { state: 'UNASSIGNED', workerId: owner?.workerId ?? reported?.workerId ?? workerId, generation }
  }

  function answer({ state, workerId: worker, trace }: Status): StatusAnswer {
    // For a RESTARTING or UNASSIGNED item the trace is out of date.
    const isFailed = state === 'FAILED'
    return {
      state,
      worker_id: worker,
      ...(isFailed ? { trace: trace ?? 'its worker has not reported a reason' } : {}),
      ...version,
    }
  }

  function leading(): GroupView {
    const view = group()
    if (view.leader === null) throw new ControlError(409, NO_LEADER)
    if (!view.leader.isMe) throw new ControlError(409, CONFLICT)
    return view
  }

  /** A change by the leader. */
  async function change(records: () => readonly ConfigRecord[] | Promise<readonly ConfigRecord[]>): Promise<void> {
    const { generation } = leading()
    try {
      await configs.write(generation, async () => {
        // It may have waited for the change before it. A worker that is still leader continues through rebalances: if another had led meanwhile, our writer
        // would be fenced.
        leading()
        return await records()
      })
    } catch (thrown) {
      if (thrown instanceof ControlError) throw thrown
      const error = asFlowError(thrown)
      if (error.code === 'KAFKA_FENCED') throw new ControlError(409, CONFLICT)
      log.warn(errorFields(error), 'failed to apply a change made over REST')
      throw new ControlError(500, `${error.code}: ${error.message}. ${error.cure}`)
    }
  }

  function expectOwn(name: string): void {
    if (configs.connectors.get(name)?.origin === 'file')
      throw new ControlError(
        409,
        `Connector ${name} is in the config file of the workers; change or remove it there: workers reload the file by themselves`,
      )
  }

  /** The records for an accepted config. @throws ControlError 400 */
  async function accepted(name: string, given: Config, stored: ConnectorMap | undefined): Promise<ConfigRecord> {
    const className = given['connector.class']
    const asked = { ...given, name }
    const resolving = await resolveConnector(name, asked, 'rest', surroundings)
    const plugin = resolving.ok ? resolving.connector.connector : resolving.plugin
    // With another class, the secret may be a different one.
    const config = withStored(asked, stored?.['connector.class'] === className ? stored : undefined, plugin)
    const answer = await validate(config, {
      classes: connectorClasses(surroundings.plugins),
      resolve: map => resolveMap(map, surroundings),
      stored: null,
    })
    const refused = invalidConfig(answer)
    if (refused !== null) throw refused
    const resolved = await resolveConnector(name, config, 'rest', surroundings)
    // Errors that only the whole config shows, such as two scopes with the same name.
    if (!resolved.ok) throw new ControlError(400, wrongConfig([resolved.error.details.hint ?? resolved.error.message]))
    await options.prepare?.(resolved.connector)
    return { key: connectorKey(name), value: { properties: config } }
  }

  async function put(name: string, config: Config): Promise<{ isNew: boolean; info: ConnectorInfo }> {
    let isNew = false
    await change(async () => {
      expectOwn(name)
      const stored = configs.connectors.get(name)
      isNew = stored === undefined
      const record = await accepted(name, config, stored?.written)
      // The target state of an earlier connector with this name does not apply.
      return isNew ? [{ key: targetKey(name), value: targetValue('RUNNING') }, record] : [record]
    })
    return { isNew, info: info(name) }
  }

  // ---- Offsets ----

  function runnable(name: string): ConnectorToRun {
    wanted(name)
    const resolved = configs.resolved(name)
    if (resolved?.ok === true) return resolved.connector
    throw new ControlError(
      400,
      `The config of connector ${name} is wrong, so its offsets cannot be changed: ${resolved?.why ?? ''}`,
    )
  }

  const expectStopped = (name: string) => {
    if (wanted(name).target !== 'STOPPED')
      throw new ControlError(
        400,
        `Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/${name}/stop' endpoint`,
      )
  }

  /** Resolves when no worker has tasks of the connector, or after a while. */
  async function untilEnded(name: string): Promise<void> {
    const isRunning = () => group().workers.some(({ tasks: of }) => of.some(({ connector }) => connector === name))
    for (let waitedMs = 0; isRunning() && waitedMs < STOP_WAIT_MS && !signal.aborted; waitedMs += LOOK_MS)
      await clock.sleep(LOOK_MS, signal)
  }

  async function alterOffsets(
    name: string,
    changes: readonly OffsetEntry[] | null,
    { dryRun, by }: { dryRun: boolean; by: string },
  ): Promise<readonly OffsetPlan[]> {
    const connector = runnable(name)
    if (dryRun) {
      const stored = await readStored(options, name)
      return plansOf(connector, planned(connector, stored, asksOf(connector, stored, changes)))
    }
    leading()
    expectStopped(name)
    await untilEnded(name)
    let plans: readonly OffsetPlan[] = []
    await change(async () => {
      expectStopped(name)
      const stored = await readStored(options, name)
      const asks = asksOf(connector, stored, changes)
      // Check everything before writing anything.
      const all = planned(connector, stored, asks)
      plans = await plansOf(connector, all)
      const asked = new Map(all.map(({ ask, ...place }) => [cursorKey(place), ask]))
      const places = all.filter(({ changed }) => changed.isChanged)
      await changeStored(options, places, (place, text) => {
        const ask = asked.get(cursorKey(place))
        const changed = ask === undefined ? null : changeOffset(text, ask, timesOf(connector, place))
        return changed?.isChanged === true ? changed.text : undefined
      })
      log.info({ connector: name, sourcePartitions: places.length }, 'changed offsets')
      return [{ key: changesKey(name), value: historyWith(configs.value(changesKey(name)), { at: iso(clock.now()), by, plans }) }]
    })
    return plans
  }

  type Asked = PartitionName & { readonly ask: OffsetAsk }
  type Planned = Asked & { readonly changed: Changed }

  /** One request for each source partition. @throws ControlError 400 */
  function asksOf(
    connector: ConnectorToRun,
    stored: ReadonlyMap<string, StoredOffset>,
    changes: readonly OffsetEntry[] | null,
  ): Asked[] {
    const { name } = connector
    if (changes === null) return [...stored.values()].map(place => ({ ...placeOf(place), ask: { kind: 'reset' } }))
    if (changes.length === 0) throw new ControlError(400, 'Partitions / offsets need to be provided for an alter offsets request')
    const configured = placesOf(connector)
    const asked = new Map<string, Asked>()
    for (const { partition, offset } of changes) {
      const ask = readAsk(offset, clock.now())
      for (const place of meant(partition, ask, configured, stored)) {
        const key = cursorKey(place)
        if (asked.has(key)) throw new ControlError(400, `The source partition ${shownPlace(place)} is asked for twice`)
        asked.set(key, { ...place, ask })
      }
    }
    if (asked.size === 0) throw new ControlError(400, `Connector ${name} has no such source partition`)
    return [...asked.values()]
  }

  /** The source partitions that a partition of a request names: one, or all of a stream, or all. */
  function meant(
    partition: OffsetEntry['partition'],
    ask: OffsetAsk,
    configured: readonly PartitionName[],
    stored: ReadonlyMap<string, StoredOffset>,
  ): readonly PartitionName[] {
    const { stream, scope, ...others } = partition
    const takes =
      'a partition has the keys stream and scope; with {"from": …} or null as its offset, without scope it is all scopes of the stream, and {} is all'
    if (Object.keys(others).length > 0) throw new ControlError(400, `${Object.keys(others).join(', ')}: ${takes}`)
    if ((stream !== undefined && typeof stream !== 'string') || (scope !== undefined && typeof scope !== 'string'))
      throw new ControlError(400, takes)
    if (stream === undefined && scope !== undefined) throw new ControlError(400, takes)
    const fits = (place: PartitionName) =>
      (stream === undefined || place.stream === stream) && (scope === undefined || place.scope === scope)
    const found = configured.filter(fits)
    // A cursor whose source partition is no longer configured can be removed.
    const left = ask.kind === 'reset' ? [...stored.values()].map(placeOf).filter(fits) : []
    if (scope === undefined) {
      if (ask.kind === 'cursor') throw new ControlError(400, takes)
      if (found.length > 0 || stream === undefined) return distinct([...found, ...left])
    }
    const all = distinct([...found, ...left])
    if (all.length === 0) {
      const known = configured.map(shownPlace)
      const some = known.length > 20 ? `${known.slice(0, 20).join(', ')}, …` : known.join(', ')
      throw new ControlError(400, `There is no source partition ${[stream, scope].filter(Boolean).join('/')}; there are ${some}`)
    }
    return all
  }

  function planned(connector: ConnectorToRun, stored: ReadonlyMap<string, StoredOffset>, asks: readonly Asked[]): Planned[] {
    return asks.map(each => {
      const text = stored.get(cursorKey(each))?.text ?? null
      return { ...each, changed: changeOffset(text, each.ask, timesOf(connector, each)) }
    })
  }

  /** The times that apply to the cursor of a source partition; if it is no longer configured, those of any other one of the connector. */
  function timesOf(connector: ConnectorToRun, place: PartitionName) {
    const { connector: plugin, base, config } = connector
    const stream = plugin.streams[place.stream] ?? Object.values(plugin.streams)[0]
    if (stream === undefined) throw new ControlError(400, `Connector ${connector.name} has no streams`)
    const spec = planSpecOf(plugin, stream, base, config)
    return { spec, nowMs: clock.now(), seal: doorOf(maskFor(plugin, base)).seal }
  }

  /** With their cost. Source partitions that share a quota wait for each other. */
  async function plansOf(connector: ConnectorToRun, all: readonly Planned[]): Promise<OffsetPlan[]> {
    const { name, connector: plugin, base, config } = connector
    const seen = await readSeen(
      options,
      all.filter(({ changed }) => changed.rereads !== null),
    )
    const partitions = new Map(partitionsOf(plugin, base, config).map(each => [cursorKey(nameOf(name, each)), each]))
    const left = requestsPerHour(quotaLimits(plugin.manifest, base)) * (1 - STEADY_PART)
    const counted = all.map(place => {
      const partition = partitions.get(cursorKey(place))
      const enrichRows = partition?.stream.enrich === undefined ? null : (partition.stream.enrichRows ?? 1)
      const requests = requestsFor(
        place.changed,
        seenOf(seen.get(progressKey(place)) ?? []),
        timesOf(connector, place).spec,
        enrichRows,
      )
      const share = partition === undefined ? '' : shareOf(connector, partition.scope)
      return { place, requests, share }
    })
    const ofShare = Map.groupBy(counted, ({ share }) => share)
    return counted.map(({ place, requests, share }) => {
      const { rereads } = place.changed
      const together = (ofShare.get(share) ?? []).reduce((sum, each) => sum + (each.requests ?? 0), 0)
      const seconds =
        requests === null ? null : requests === 0 ? 0 : Math.max(secondsFor(requests, left), byQuota(together, left))
      return {
        partition: { stream: place.stream, scope: place.scope },
        rereads: rereads === null ? null : { from: iso(rereads.from), until: iso(rereads.until) },
        requests,
        seconds,
      }
    })
  }

  return {
    group,
    whyNot: options.whyNot,
    clusterId: options.clusterId,
    names: () => [...configs.connectors.keys()],
    info,
    status: name => status(name),
    taskConfigs(name) {
      const { written } = wanted(name)
      const config = shownConfig(name, written, pluginOf(name))
      return tasks(name).map((partitions, task) => ({
        id: { connector: name, task },
        config: {
          ...config,
          'task.class': config['connector.class'] ?? '',
          'source.partitions': JSON.stringify(partitions.map(({ stream, scope }) => ({ stream, scope }))),
        },
      }))
    },
    topics: name => statuses.topics(name),
    async create(name, config, target) {
      await change(async () => {
        expectNew(name)
        return [{ key: targetKey(name), value: targetValue(target) }, await accepted(name, config, undefined)]
      })
      return info(name)
    },
    put,
    async patch(name, patch) {
      wanted(name)
      let patched: Config = {}
      await change(async () => {
        const { written } = wanted(name)
        expectOwn(name)
        const merged = { ...shownConfig(name, written, pluginOf(name)), ...patch }
        patched = Object.fromEntries(Object.entries(merged).flatMap(([key, value]) => (value === null ? [] : [[key, value]])))
        return [await accepted(name, patched, written)]
      })
      return info(name)
    },
    async remove(name) {
      wanted(name)
      await change(() => {
        wanted(name)
        expectOwn(name)
        return [
          { key: connectorKey(name), value: null },
          { key: targetKey(name), value: null },
        ]
      })
    },
    async setTarget(name, target: TargetState) {
      const unknown = `Unknown connector ${name}`
      wanted(name, unknown)
      await change(() => (wanted(name, unknown).target === target ? [] : [{ key: targetKey(name), value: targetValue(target) }]))
    },
    async restart(name, how) {
      wanted(name, `Unknown connector: ${name}`)
      const restart: RestartRequest = { ...how, connector: name, tasks: null }
      const before = statuses.connector(name) === null ? null : status(name, restart)
      await change(() => [{ key: restartKey(name), value: restartValue(restart) }])
      if (before === null) throw new ControlError(404, `Status for connector ${name} not found`)
      return before
    },
    async restartTask({ connector: name, task }) {
      wanted(name, `Unknown connector: ${name}`)
      if (task < 0 || task >= tasks(name).length) throw new ControlError(404, `Unknown task: ${name}-${task}`)
      const restart = { includeTasks: true, onlyFailed: false, tasks: [task] }
      await change(() => [{ key: restartKey(name), value: restartValue(restart) }])
    },
    async offsets(name) {
      wanted(name)
      const stored = await readStored(options, name)
      const resolved = configs.resolved(name)
      const configured = resolved?.ok === true ? placesOf(resolved.connector) : []
      return distinct([...configured, ...[...stored.values()].map(placeOf)]).map(place => ({
        partition: { stream: place.stream, scope: place.scope },
        offset: flat(stored.get(cursorKey(place))?.text),
      }))
    },
    alterOffsets,
    async offsetHistory(name) {
      wanted(name)
      return changesIn(configs.value(changesKey(name)))
    },
    async resetTopics(name) {
      wanted(name)
      await statuses.resetTopics(name)
    },
    setClusterLevel: (logger, level) => change(() => [{ key: levelKey(logger), value: level === null ? null : { level } }]),
  }

  function expectNew(name: string): void {
    if (configs.connectors.has(name)) throw new ControlError(409, `Connector ${name} already exists`)
  }
}

export interface DutiesOptions {
  /** Receives connectors while this worker leads. */
  readonly observer?: Pick<ConnectMetrics, 'connector' | 'startup'> | undefined
  /** Version of the product, for the observer. */
  readonly version?: string
  readonly workerId: string
  readonly group: () => GroupView
  readonly configs: Configs
  readonly statuses: StatusStore
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

/** Interval at which leftovers of other workers are searched for, with or without changes. */
const DUTY_MS = 2_000

/**
 * The leader's upkeep of the status topic: a status for each connector, and none for connectors and tasks that no longer exist. Run by every worker while it
 * leads. @returns a promise that resolves when the signal has ended it
 */
export async function keepStatuses(options: DutiesOptions): Promise<void> {
  const { configs, clock, log, signal, observer, version = '' } = options
  const shown = new Map<string, Reported>()
  const show = (now: ReadonlyMap<string, Reported>) => {
    for (const name of shown.keys()) {
      if (now.has(name)) continue
      shown.delete(name)
      observer?.connector(name, null)
    }
    for (const [name, { state, class: className }] of now) {
      const before = shown.get(name)
      if (before?.state === state && before.class === className) continue
      shown.set(name, { state, class: className })
      observer?.connector(name, { state, class: className, version })
      if (state === 'RUNNING' || state === 'FAILED') observer?.startup('connector', state === 'RUNNING')
    }
  }
  let woken = Promise.withResolvers<void>()
  const forget = configs.onChange(() => woken.resolve())
  await Promise.race([Promise.all([configs.ready, options.statuses.ready]), untilAborted(signal)])
  while (!signal.aborted) {
    try {
      show(await keepOnce(options))
    } catch (thrown) {
      log.warn(errorFields(asFlowError(thrown)), 'failed to write connector statuses, retrying')
    }
    await Promise.race([woken.promise, clock.sleep(DUTY_MS, signal)])
    woken = Promise.withResolvers<void>()
  }
  forget()
}

interface Reported {
  readonly state: ConnectorState
  readonly class: string
}

/** @returns the reported connectors, where this worker leads */
async function keepOnce({ workerId, group, configs, statuses }: DutiesOptions): Promise<ReadonlyMap<string, Reported>> {
  const { leader, generation } = group()
  const reported = new Map<string, Reported>()
  if (leader?.isMe !== true) return reported
  const writes: Promise<void>[] = []
  for (const { name, target, written } of configs.connectors.values()) {
    const resolved = configs.resolved(name)
    const isWrong = resolved?.ok === false && target !== 'STOPPED'
    const state = isWrong ? 'FAILED' : target
    const trace = isWrong ? { trace: resolved.why } : {}
    reported.set(name, { state, class: String(written['connector.class'] ?? '') })
    const stands = statuses.connector(name)
    const isSaid = stands?.state === state && stands.trace === trace.trace && stands.workerId === workerId
    if (!isSaid) writes.push(statuses.report({ connector: name }, { state, workerId, generation, ...trace }))
    const count = target === 'STOPPED' || resolved?.ok !== true ? 0 : partitionsByTask(resolved.connector).length
    for (const { task } of statuses.tasksOf(name))
      if (task >= count) writes.push(statuses.report({ connector: name, task }, null))
  }
  for (const [name, { hasOwn, tasks }] of statuses.all()) {
    if (configs.connectors.has(name)) continue
    if (hasOwn) writes.push(statuses.report({ connector: name }, null))
    for (const task of tasks) writes.push(statuses.report({ connector: name, task }, null))
    writes.push(statuses.resetTopics(name))
  }
  await Promise.all(writes)
  return reported
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** How long this many requests take within the vendor's limits. */
function byQuota(requests: number, perHour: number): number {
  return Number.isFinite(perHour) && perHour > 0 ? Math.ceil((requests * 3600) / perHour) : 0
}

function placesOf({ name, connector, base, config }: ConnectorToRun): PartitionName[] {
  return partitionsOf(connector, base, config).map(each => nameOf(name, each))
}

function nameOf(connector: string, { streamName, scope }: SourcePartition): PartitionName {
  return { connector, stream: streamName, scope: scope.name }
}

function placeOf({ connector, stream, scope }: PartitionName): PartitionName {
  return { connector, stream, scope }
}

function shownPlace({ stream, scope }: PartitionName): string {
  return `${stream}/${scope}`
}

function distinct(places: readonly PartitionName[]): PartitionName[] {
  return [...new Map(places.map(place => [cursorKey(place), place])).values()]
}

/** A cursor as Kafka Connect shows an offset. An unreadable one is shown as it is. */
function flat(text: string | undefined): OffsetEntry['offset'] {
  return text === undefined ? null : (parsed(text) ?? { unreadable: text })
}

function changesIn(text: string | null): readonly OffsetChange[] {
  const changes = text === null ? null : parsed(text)?.['changes']
  return Array.isArray(changes) ? (changes as OffsetChange[]) : []
}

/** The last changes, the new one first, as many as fit. */
function historyWith(text: string | null, change: OffsetChange): { changes: readonly OffsetChange[] } {
  const changes = [{ ...change, plans: change.plans.slice(0, MOST_PLANS) }, ...changesIn(text)].slice(0, MOST_CHANGES)
  while (changes.length > 1 && JSON.stringify(changes).length > MOST_CHANGE_BYTES) changes.pop()
  return { changes }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
