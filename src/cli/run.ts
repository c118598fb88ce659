import { aborted } from '../abort.ts'
import { type Aggregator, startAggregator } from '../aggregate/run.ts'
import { type Alertmanagers, startAlertmanagers } from '../alert/alertmanager.ts'
import { createEvidence } from '../alert/evidence.ts'
import { createJudge } from '../alert/judge.ts'
import { type Alerter, startAlerter } from '../alert/run.ts'
import { type Clock, systemClock } from '../clock.ts'
import { addressOf } from '../control/address.ts'
import { connectorClasses } from '../control/classes.ts'
import type { Herder } from '../control/port.ts'
import { addControlRoutes } from '../control/rest/index.ts'
import { resolveMap } from '../config.ts'
import type { ConsoleSources } from '../console.ts'
import { FlowError } from '../errors.ts'
import type { Kafka } from '../kafka/port.ts'
import { type KafkaWatch, watchKafka } from '../kafka/probe.ts'
import type { Registry } from '../kafka/registry.ts'
import { LEVEL_WORDS, type LevelWord, type Log, type LogLevels, ROOT_LOGGER } from '../log.ts'
import { createMetrics, type Metrics } from '../metrics.ts'
import { persist } from '../persist.ts'
import { type HttpServer, type RoleHealth, startHttp } from '../serve/http.ts'
import { type RunningServer, startServer } from '../serve/run.ts'
import { shownRule } from '../rules.ts'
import type { TopicNames } from '../topics.ts'
import { ownCommit, ownVersion } from '../version.ts'
import { aggregateMetrics } from './aggregate-metrics.ts'
import { alertMetrics } from './alert-metrics.ts'
import { readArgs } from './args.ts'
import { COMMANDS, ROLES } from './commands.ts'
import { countingVendors, createConsoleSources } from './console.ts'
import { bornForAggregator, bornForAlerter, bornForConnectors, bornForServer } from './births.ts'
import { type Io, refuse } from './io.ts'
import { type ControlRoom, openControlRoom, surroundingsOf } from './control-room.ts'
import { logSummaries, tallied } from './summary.ts'
import { type RunningWorker, startWorker, type WorkerOptions } from './worker.ts'
import {
  logDeprecations,
  logOf,
  openKafka,
  openRegistry,
  prepareTopics,
  readSetup,
  registerSchemas,
  type Setup,
  zonesOf,
} from './setup.ts'

type Role = (typeof ROLES)[number]

/** `/readyz` shows within 10 s that Kafka is gone: 7.5 s at most, plus delays of a busy machine. */
const WATCH = { everyMs: 2_000, timeoutMs: 2_500, patienceMs: 5_000 }

/** `colloquy run`: the long-running process. Ends on the signal, or on a fault that only a person can fix. */
export async function runCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.run.options)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const read = await readSetup(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const roles = new Set((args.values.roles?.split(',') ?? ROLES) as Role[])
  const log = logOf(read.setup, io)
  const connectors = roles.has('worker') ? read.setup.connectors.map(({ name }) => name) : []
  log.info({ version: ownVersion(), commit: ownCommit(), node: process.versions.node, roles: [...roles], connectors }, 'starting')
  logDeprecations(read.setup, log)
  return new Process(read.setup, roles, { ...io, log }).run()
}

/** Roles that share one Kafka connection, one listener and one set of metrics. */
class Process {
  readonly #setup: Setup
  readonly #roles: ReadonlySet<Role>
  readonly #io: Io
  readonly #log: Log
  readonly #metrics: Metrics = createMetrics()
  readonly #clock: Clock = systemClock
  readonly #vendors = countingVendors(this.#metrics, this.#clock)
  /** Aborts on the signal, or when a role has ended by itself. */
  readonly #ending = new AbortController()
  readonly #signal: AbortSignal
  readonly #kafka: Kafka
  readonly #registry: Registry
  #server: RunningServer | undefined
  #room: ControlRoom | undefined
  #worker: RunningWorker | null = null
  /** null until the worker is a member of its group. */
  #herder: Herder | null = null
  #clusterId: string | null = null
  #aggregator: Aggregator | undefined
  #alerter: Alerter | undefined
  /** Set once the topics exist. */
  #watch: KafkaWatch | undefined
  /** Why the roles have not started yet. */
  #starting = 'starting'

  constructor(setup: Setup, roles: ReadonlySet<Role>, io: Io) {
    this.#setup = setup
    this.#roles = roles
    this.#io = io
    this.#log = io.log
    this.#signal = AbortSignal.any([io.signal, this.#ending.signal])
    this.#kafka = openKafka(setup, io.log)
    this.#registry = openRegistry(setup, io.log, this.#signal)
  }

  async run(): Promise<number> {
    const { config, names } = this.#setup
    const roleOptions = {
      kafka: this.#kafka,
      registry: this.#registry,
      names,
      partitions: config.topics.partitions,
      log: this.#log,
      metrics: this.#metrics,
      clock: this.#clock,
      signal: this.#signal,
    }
    this.#metrics.set('build_info', { version: ownVersion() }, 1)
    if (this.#roles.has('worker')) bornForConnectors(this.#metrics, this.#setup.connectors)
    if (this.#roles.has('aggregator')) bornForAggregator(this.#metrics, names)
    if (this.#roles.has('server')) bornForServer(this.#metrics, names)
    if (this.#roles.has('alerter')) bornForAlerter(this.#metrics, config.alerts.alertmanager?.urls ?? [])
    if (this.#roles.has('server')) {
      const rules = config.alerts.rules.map(shownRule)
      this.#server = startServer({ ...roleOptions, rules, stateDir: config.state.dir })
    }
    const surroundings = surroundingsOf(this.#setup, this.#io)
    const http = await startHttp({
      ...config.http,
      log: this.#log,
      metrics: this.#metrics,
      clock: this.#clock,
      version: ownVersion(),
      health: () => this.#health(),
      ...(this.#server ? { serve: this.#server.serve, sources: this.#consoleSources(this.#server) } : {}),
      ...(this.#roles.has('worker')
        ? {
            control: app =>
              addControlRoutes(app, {
                herder: () => this.#herder,
                starting: () => this.#starting,
                classes: connectorClasses(surroundings.plugins),
                resolve: map => resolveMap(map, surroundings),
                clock: this.#clock,
                log: this.#log,
                version: ownVersion(),
              }),
          }
        : {}),
    }).catch(async (error: unknown) => {
      this.#ending.abort()
      await this.#kafka.close()
      throw error
    })
    const ends: Promise<unknown>[] = this.#server ? [this.#server.done] : []
    let failure: unknown
    try {
      await this.#patiently(async () => {
        await prepareTopics(this.#setup, this.#kafka)
        const [{ clusterId }] = await Promise.all([this.#kafka.describe(), registerSchemas(this.#setup, this.#registry)])
        this.#clusterId = clusterId
      })
      this.#watch = watchKafka({
        kafka: this.#kafka,
        clock: this.#clock,
        signal: this.#signal,
        topics: topicsOf(this.#roles, names),
        ...WATCH,
      })
      if (!this.#signal.aborted && this.#roles.has('worker')) {
        await this.#startWorker(http, roleOptions)
        if (this.#worker) ends.push(this.#worker.done)
      }
      if (!this.#signal.aborted && this.#roles.has('aggregator')) {
        this.#aggregator = startAggregator({
          ...roleOptions,
          metrics: aggregateMetrics(this.#metrics),
          options: { ...config.aggregator, ...(config.state.dir === undefined ? {} : { stateDir: config.state.dir }) },
        })
        ends.push(this.#aggregator.done)
      }
      if (!this.#signal.aborted && this.#roles.has('alerter')) ends.push(...this.#startAlerter(http.url))
      await Promise.race([aborted(this.#signal), ...ends])
    } catch (error) {
      failure = error
    }
    const onRequest = this.#signal.aborted
    this.#ending.abort()
    await Promise.allSettled(ends)
    await this.#room?.close()
    await this.#watch?.done
    await http.close()
    await this.#kafka.close()
    if (failure !== undefined && !onRequest) throw failure
    this.#log.info({}, 'stopped')
    return 0
  }

  async #startWorker({ port }: HttpServer, roleOptions: Pick<WorkerOptions, RoleOption>): Promise<void> {
    const { config, network } = this.#setup
    const { metrics, take } = tallied(this.#vendors.metrics)
    const room = openControlRoom({
      ...roleOptions,
      setup: this.#setup,
      io: this.#io,
      observer: this.#metrics.connect,
      onLevel: (logger, level) => setLevel(this.#log.levels, logger, level),
    })
    this.#room = room
    const { configs, statuses, ready } = room
    const bear = () =>
      bornForConnectors(
        this.#metrics,
        [...configs.connectors.keys()].flatMap(name => {
          const resolved = configs.resolved(name)
          return resolved?.ok === true ? [resolved.connector] : []
        }),
      )
    configs.onChange(bear)
    const { host } = config.http
    const address = addressOf(`http://${host.includes(':') ? `[${host}]` : host}:${port}`)
    const worker = await this.#patiently(() =>
      startWorker({
        ...roleOptions,
        metrics,
        prefix: config.topics.prefix,
        address,
        wanted: configs,
        known: ready,
        statuses,
        connectorOf: wanted => room.connectorOf(wanted),
        observer: this.#metrics.connect,
        network,
      }),
    )
    if (worker === null) return
    this.#worker = worker
    const { group, runner } = worker
    if (config.log.summary) {
      const here = () => runner.states().map(({ connector }) => connector)
      void logSummaries({ take, here, clock: this.#clock, log: this.#log, signal: this.#signal })
    }
    group.onChange(() => this.#metrics.connect.leader(group.view().leader?.workerId ?? null))
    this.#herder = room.herder({
      workerId: address.workerId,
      group: () => group.view(),
      whyNot: () => group.whyNot() ?? room.whyNot(),
      clusterId: () => this.#clusterId,
    })
  }

  #consoleSources(server: RunningServer): ConsoleSources {
    const { config, names } = this.#setup
    return createConsoleSources({
      kafka: this.#kafka,
      registry: this.#registry,
      names,
      partitions: config.topics.partitions,
      aggregatorGroup: config.aggregator.groupId,
      clock: this.#clock,
      signal: this.#signal,
      streams: () => server.watermarks.streams(),
      worker: this.#roles.has('worker')
        ? {
            herder: () => this.#herder,
            starting: () => this.#starting,
            states: () => this.#worker?.runner.states() ?? [],
            connectorOf: name => this.#room?.connectorOf({ name }) ?? new FlowError('PLUGIN_UNKNOWN', { connector: name }),
            counts: this.#vendors.counts,
          }
        : null,
    })
  }

  /** @param ownUrl Address of our listener. @returns what ends with it. */
  #startAlerter(ownUrl: string): Promise<unknown>[] {
    const { config, names, network } = this.#setup
    const { alertmanager, externalUrl, rules } = config.alerts
    const severities = new Map(rules.map(({ name, severity }) => [name, severity]))
    const baseUrl = externalUrl ?? ownUrl
    const common = { log: this.#log, clock: this.#clock, signal: this.#signal }
    const alertmanagers: Alertmanagers | null =
      alertmanager === undefined
        ? null
        : startAlertmanagers({
            ...alertmanager,
            ...common,
            baseUrl,
            severityOf: rule => severities.get(rule) ?? '',
            connections: network.connections(),
            notified: (host, outcome) => this.#metrics.inc('alert_notifications_total', { alertmanager: host, outcome }),
          })
    const topics = { kafka: this.#kafka, registry: this.#registry, names, partitions: config.topics.partitions }
    this.#alerter = startAlerter({
      ...common,
      ...topics,
      enrich: createEvidence({ ...common, ...topics, rules, baseUrl }),
      options: {
        ...config.alerts,
        zoneOf: zonesOf(config.alerts),
      },
      createJudge,
      metrics: alertMetrics(this.#metrics),
      ...(alertmanagers === null ? {} : { outlet: alertmanagers }),
    })
    return [this.#alerter.done, ...(alertmanagers === null ? [] : [alertmanagers.done])]
  }

  /** Runs the work, with retries while Kafka or the registry are down; null when stopped meanwhile. @throws FlowError that waiting does not fix */
  #patiently<T>(work: () => Promise<T>): Promise<T | null> {
    const failed = ({ message }: FlowError) => (this.#starting = message)
    const how = { clock: this.#clock, log: this.#log, signal: this.#signal, message: 'failed to start, retrying', failed }
    return persist(how, work)
  }

  /** A role is healthy when it says so itself and Kafka answers: its last contact with Kafka may be long ago. */
  #health(): RoleHealth[] {
    const kafka = this.#watch?.why() ?? null
    const healthOf = (role: Role, state: { ok: boolean; why?: string | readonly string[] } | undefined): RoleHealth => {
      if (kafka !== null) return { role, ok: false, why: kafka }
      if (state?.ok === true) return { role, ok: true }
      return { role, ok: false, why: state === undefined ? this.#starting : [state.why ?? []].flat().join('; ') }
    }
    return [...this.#roles].map(role => {
      if (role === 'server') return healthOf(role, this.#server?.health())
      const running = { worker: this.#worker, aggregator: this.#aggregator, alerter: this.#alerter }[role]
      return healthOf(role, running?.ready())
    })
  }
}

type RoleOption = 'kafka' | 'registry' | 'names' | 'partitions' | 'log' | 'metrics' | 'clock' | 'signal'

/** Sets a level for all workers. @param level null: as at the top */
function setLevel(levels: LogLevels, logger: string, level: string | null): void {
  const word = level ?? levels.get(ROOT_LOGGER)?.level ?? 'INFO'
  if (Object.hasOwn(LEVEL_WORDS, word)) levels.set(logger, word as LevelWord)
}

/** The topics that a role needs. */
function topicsOf(roles: ReadonlySet<Role>, names: TopicNames): string[] {
  const records = [names.sessions, names.messages, names.events]
  const needs: Record<Role, readonly string[]> = {
    worker: [...records, names.rejects, names.progress, names.offsets, names.versions, names.configs, names.status],
    aggregator: [...records, names.progress, names.series, names.aggregateState, names.aggregateOffsets],
    server: [names.series, names.progress, names.aggregateOffsets, names.alerts],
    alerter: [names.series, names.progress, names.aggregateOffsets, names.alerts, names.alertState],
  }
  return [...new Set([...roles].flatMap(role => needs[role]))]
}
