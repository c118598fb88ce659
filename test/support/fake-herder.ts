import { invalidConfig, validate } from '../../src/control/validate.ts'
import type { ConnectorClasses } from '../../src/control/classes.ts'
import {
  type Config,
  type ConnectorInfo,
  type ConnectorStatusAnswer,
  ControlError,
  type GroupView,
  type Herder,
  type OffsetChange,
  type OffsetEntry,
  type Restart,
  type TargetState,
} from '../../src/control/port.ts'

interface Kept {
  config: Config
  target: TargetState
  tasks: number
  /** Absent: not known yet. */
  hasStatus: boolean
  failed: Set<number>
  offsets: OffsetEntry[]
  history: OffsetChange[]
  topics: string[]
}

/** A herder whose connectors live in memory, as the reference says that a worker's do: for tests of what is asked over HTTP. */
export class FakeHerder implements Herder {
  readonly connectors = new Map<string, Kept>()
  readonly calls: unknown[] = []
  readonly #classes: ConnectorClasses
  view: GroupView
  why: string | null = null
  cluster: string | null = 'I4ZmrWqfT2e-upky_4fdPA'
  /** Awaited by each method that changes something. */
  pause: () => Promise<void> = async () => {}

  constructor(classes: ConnectorClasses, workerId = '127.0.0.1:8083') {
    this.#classes = classes
    this.view = {
      leader: { workerId, url: `http://${workerId}`, isMe: true },
      generation: 1,
      workers: [{ workerId, url: `http://${workerId}`, tasks: [] }],
      unassigned: [],
    }
  }

  /** A connector that is there, without the way through `create`. */
  add(name: string, config: Config = {}, of: Partial<Kept> = {}): this {
    this.connectors.set(name, {
      config: { 'connector.class': 'botmaker', 'tasks.max': '2', 'access.token': '${env:TOKEN}', ...config, name },
      target: 'RUNNING',
      tasks: Number(config['tasks.max'] ?? 2),
      hasStatus: true,
      failed: new Set(),
      offsets: [],
      history: [],
      topics: ['colloquy.sessions'],
      ...of,
    })
    return this
  }

  group = () => this.view
  whyNot = () => this.why
  clusterId = () => this.cluster
  names = () => [...this.connectors.keys()].toSorted()

  info(name: string): ConnectorInfo {
    const { config, tasks } = this.#of(name)
    return { name, config, tasks: numbers(tasks).map(task => ({ connector: name, task })), type: 'source' }
  }

  status(name: string): ConnectorStatusAnswer {
    const { target, hasStatus, tasks, failed } = this.#of(name)
    if (!hasStatus) throw new ControlError(404, `No status found for connector ${name}`)
    const worker_id = this.view.leader?.workerId ?? '127.0.0.1:8083'
    return {
      name,
      connector: { state: target, worker_id, version: '0.1.0' },
      tasks: numbers(tasks).map(id =>
        failed.has(id)
          ? {
              id,
              state: 'FAILED',
              worker_id,
              trace: 'SRC_UNAUTHORISED: the vendor refused our credentials\nCheck the token.',
              version: '0.1.0',
            }
          : { id, state: target, worker_id, version: '0.1.0' },
      ),
      type: 'source',
    }
  }

  taskConfigs(name: string) {
    const { config, tasks } = this.#of(name)
    return numbers(tasks).map(task => ({ id: { connector: name, task }, config }))
  }

  topics = (name: string) => this.#of(name).topics

  async resetTopics(name: string): Promise<void> {
    await this.#change('resetTopics', name)
    this.#of(name).topics = []
  }

  async create(name: string, config: Config, target: TargetState): Promise<ConnectorInfo> {
    await this.#change('create', name, config, target)
    await this.#hold(config)
    this.add(name, config, { target, topics: [], tasks: target === 'STOPPED' ? 0 : Number(config['tasks.max'] ?? 1) })
    const kept = this.#of(name)
    kept.config = config
    return this.info(name)
  }

  async put(name: string, config: Config) {
    await this.#change('put', name, config)
    const isNew = !this.connectors.has(name)
    if (isNew) return { isNew, info: await this.create(name, config, 'RUNNING') }
    await this.#hold(config)
    this.#of(name).config = config
    return { isNew, info: this.info(name) }
  }

  async patch(name: string, change: Readonly<Record<string, string | null>>): Promise<ConnectorInfo> {
    await this.#change('patch', name, change)
    const merged = Object.entries({ ...this.#of(name).config, ...change }).filter(([, value]) => value !== null)
    const config = Object.fromEntries(merged) as Config
    await this.#hold(config)
    this.#of(name).config = config
    return this.info(name)
  }

  async remove(name: string): Promise<void> {
    await this.#change('remove', name)
    this.#of(name)
    this.connectors.delete(name)
  }

  async setTarget(name: string, target: TargetState): Promise<void> {
    await this.#change('setTarget', name, target)
    const kept = this.#of(name)
    kept.target = target
    kept.tasks = target === 'STOPPED' ? 0 : Number(kept.config['tasks.max'] ?? 1)
  }

  async restart(name: string, how: Restart): Promise<ConnectorStatusAnswer> {
    await this.#change('restart', name, how)
    const status = this.status(name)
    const { failed } = this.#of(name)
    const restarts = (id: number) => how.includeTasks && (!how.onlyFailed || failed.has(id))
    return {
      ...status,
      connector: how.onlyFailed ? status.connector : { ...status.connector, state: 'RESTARTING' },
      tasks: status.tasks.map(({ trace, ...task }) =>
        restarts(task.id) ? { ...task, state: 'RESTARTING' } : { ...task, ...(trace === undefined ? {} : { trace }) },
      ),
    }
  }

  async restartTask(id: { readonly connector: string; readonly task: number }): Promise<void> {
    await this.#change('restartTask', id)
  }

  async offsets(name: string): Promise<readonly OffsetEntry[]> {
    return this.#of(name).offsets
  }

  async alterOffsets(
    name: string,
    changes: readonly OffsetEntry[] | null,
    how: { readonly dryRun: boolean; readonly by: string },
  ) {
    await this.#change('alterOffsets', name, changes, how)
    const kept = this.#of(name)
    if (kept.target !== 'STOPPED')
      throw new ControlError(
        400,
        `Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/${name}/stop' endpoint`,
      )
    const plans = (changes ?? kept.offsets).map(({ partition }) => ({ partition, rereads: null, requests: 0, seconds: 0 }))
    if (!how.dryRun) kept.history.unshift({ at: '2026-11-29T00:00:00.000Z', by: how.by, plans })
    return plans
  }

  async offsetHistory(name: string): Promise<readonly OffsetChange[]> {
    return this.#of(name).history
  }

  async setClusterLevel(logger: string, level: string | null): Promise<void> {
    await this.#change('setClusterLevel', logger, level)
  }

  async #hold(config: Config): Promise<void> {
    const resolve = (map: Config) => ({ map, faults: new Map<string, string>() })
    // Any name will do here, so that tests see how the REST API reads and writes it.
    const refusal = invalidConfig(await validate({ ...config, name: 'any' }, { classes: this.#classes, resolve, stored: null }))
    if (refusal !== null) throw refusal
  }

  async #change(...call: unknown[]): Promise<void> {
    this.calls.push(call)
    await this.pause()
  }

  #of(name: string): Kept {
    const kept = this.connectors.get(name)
    if (kept === undefined) throw new ControlError(404, `Connector ${name} not found`)
    return kept
  }
}

const numbers = (count: number): number[] => [...Array(count).keys()]
