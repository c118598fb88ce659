/** From a config file to running parts: the file, the connectors it names, Kafka, registry and schemas. Shared by `run`, `check` and `peek`. */
import { dirname, resolve } from 'node:path'
import { type ColloquyConfig, type ConnectorMap, type Fault, type LoadedConfig, loadConfig, mergeFaults } from '../config.ts'
import { shown } from '../config-values.ts'
import { type Network, openNetwork } from '../dispatcher.ts'
import { FlowError } from '../errors.ts'
import { connectKafka } from '../kafka/client.ts'
import type { Kafka } from '../kafka/port.ts'
import { connectRegistry, type Registry } from '../kafka/registry.ts'
import { hideSecret, type Log } from '../log.ts'
import { type BaseConfig, parseConnectorConfig } from '../source/config.ts'
import type { Connector } from '../source/contract.ts'
import { deprecationsOf, findConnector, loadPlugins, type Plugins } from '../source/registry.ts'
import { schemaText } from '../schemas.ts'
import { type TopicNames, topicNames, topicSpecs } from '../topics.ts'
import type { Io } from './io.ts'

/** A connector of the config file, ready to be started. */
export interface ConfiguredConnector {
  readonly name: string
  readonly connector: Connector
  readonly base: BaseConfig
  readonly config: object
}

export interface Setup {
  readonly config: ColloquyConfig
  readonly connectors: readonly ConfiguredConnector[]
  /** The connectors of the file with their references unresolved. */
  readonly written: Readonly<Record<string, ConnectorMap>>
  /** Connectors that the file loads by `plugins`. */
  readonly plugins: Plugins['byId']
  readonly names: TopicNames
  /** Connections to vendors and registry: proxies of the environment, `tls.ca` of the file. */
  readonly network: Network
}

/** Reads the file and everything it refers to; lists every error at once, including those of connectors. */
export async function readSetup(path: string, io: Io): Promise<{ ok: true; setup: Setup } | { ok: false; faults: Fault[] }> {
  const loaded = loadConfig(path, io.env)
  const { connectors, faults, plugins } = await readConnectors(path, loaded)
  const network = readNetwork(loaded, io)
  if (!loaded.ok || !network.ok || faults.length > 0) {
    const others = [...(network.ok ? [] : [network.fault]), ...faults]
    return { ok: false, faults: mergeFaults(loaded.ok ? [] : loaded.faults, others) }
  }
  const names = topicNames(loaded.config.topics.prefix)
  const written = loaded.connectorsAsWritten
  return { ok: true, setup: { config: loaded.config, connectors, written, plugins, names, network: network.network } }
}

/** Warns of the deprecated names that plugins use. */
export function logDeprecations({ connectors, plugins }: Pick<Setup, 'connectors' | 'plugins'>, log: Log): void {
  for (const connector of new Set([...plugins.values(), ...connectors.map(each => each.connector)]))
    for (const deprecated of deprecationsOf(connector))
      log.warn({ plugin: connector.manifest.id, deprecated }, 'found deprecated name in plugin')
}

/** Only the connectors, for commands without Kafka: missing sections about Kafka and registry are accepted, other errors of the file are not. */
export async function readConnectorsOnly(
  path: string,
  io: Io,
): Promise<{ ok: true; connectors: readonly ConfiguredConnector[]; network: Network } | { ok: false; faults: Fault[] }> {
  const loaded = loadConfig(path, io.env)
  const { connectors, faults } = await readConnectors(path, loaded)
  const network = readNetwork(loaded, io)
  const others = loaded.ok ? [] : loaded.faults.filter(fault => fault.path !== 'kafka' && fault.path !== 'registry')
  if (network.ok && others.length + faults.length === 0) return { ok: true, connectors, network: network.network }
  return { ok: false, faults: mergeFaults(others, [...(network.ok ? [] : [network.fault]), ...faults]) }
}

function readNetwork(loaded: LoadedConfig, { env }: Io): { ok: true; network: Network } | { ok: false; fault: Fault } {
  try {
    return { ok: true, network: openNetwork({ env, ca: loaded.ca }) }
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    const path = String(error.details['path'])
    const line = loaded.lineOf(path)
    return { ok: false, fault: { path, message: error.details.hint ?? error.message, ...(line === undefined ? {} : { line }) } }
  }
}

async function readConnectors(
  path: string,
  loaded: LoadedConfig,
): Promise<{ connectors: ConfiguredConnector[]; faults: Fault[]; plugins: Plugins['byId'] }> {
  const found: Fault[] = []
  const report = ({ path: at, message }: Omit<Fault, 'line'>) => {
    const line = loaded.lineOf(at)
    found.push({ path: shown(at, 300), message, ...(line === undefined ? {} : { line }) })
  }
  const folder = dirname(resolve(path))
  const plugins = await loadPlugins(loaded.plugins, folder)
  for (const { index, error } of plugins.faults) report({ path: `plugins.${index}`, message: error.message })
  const connectors: ConfiguredConnector[] = []
  for (const [name, flat] of Object.entries(loaded.connectors)) {
    const place = `connectors.${name}`
    const wanted = flat['connector.class']
    if (wanted !== undefined && typeof wanted !== 'string') {
      report({
        path: `${place}.connector.class`,
        message: 'takes text: an id, an npm package or a path; `colloquy plugins` lists the ids',
      })
      continue
    }
    if (wanted === undefined) {
      report({
        path: `${place}.connector.class`,
        message: 'is missing: it names the connector class; `colloquy plugins` lists them',
      })
      continue
    }
    try {
      const connector = await findConnector(wanted, folder, plugins.byId)
      const parsed = parseConnectorConfig(name, flat, connector)
      if (parsed.ok) {
        for (const secret of parsed.secrets) hideSecret(secret)
        connectors.push({ name, connector, base: parsed.base, config: parsed.config })
      } else parsed.faults.forEach(report)
    } catch (error) {
      if (!(error instanceof FlowError)) throw error
      report({ path: `${place}.connector.class`, message: error.message })
    }
  }
  return { connectors, faults: found, plugins: plugins.byId }
}

/** The log at the level of the file, unless the environment overrides it. */
export function logOf({ config }: Setup, io: Io): Log {
  return io.env['COLLOQUY_LOG_LEVEL'] === undefined ? io.log.child({}, { level: config.log.level }) : io.log
}

export function openKafka({ config }: Setup, log: Log): Kafka {
  return connectKafka({ ...config.kafka, log })
}

export function openRegistry({ config, network }: Setup, log: Log, signal?: AbortSignal): Registry {
  const agent = network.agentFor(new URL(config.registry.url))
  return connectRegistry({ ...config.registry, log, agent, ...(signal === undefined ? {} : { signal }) })
}

/** The time zone of an account, for hours of the week. */
export function zonesOf({ timezone, timezones }: ColloquyConfig['alerts']): (vendor: string, account: string) => string {
  const zones = new Map(Object.entries(timezones))
  return (_vendor, account) => zones.get(account) ?? timezone
}

/** Creates or checks the topics of the contract. */
export async function prepareTopics(setup: Setup, kafka: Kafka): Promise<void> {
  const { topics } = setup.config
  const lookbacks = setup.connectors.flatMap(({ connector, base, config }) =>
    Object.values(connector.streams).map(stream => {
      const window = typeof stream.window === 'function' ? stream.window(config as never) : stream.window
      return base.lookbackMs ?? window.lookbackMs
    }),
  )
  await kafka.ensureTopics(
    topicSpecs({
      prefix: topics.prefix,
      partitions: topics.partitions,
      replicationFactor: topics.replicationFactor,
      longestLookbackMs: Math.max(DEFAULT_LOOKBACK_MS, ...lookbacks),
    }),
    { create: topics.create },
  )
}

/** So that a process without connectors (server, aggregator) and one with them need the same topics. */
const DEFAULT_LOOKBACK_MS = 172_800_000

/** Subject's topic → schema file of `schemas/`. */
export const SCHEMA_FILES = {
  sessions: 'session',
  messages: 'message',
  events: 'event',
  progress: 'progress',
  series: 'series-point',
  alerts: 'alert',
} as const satisfies Partial<Record<keyof TopicNames, string>>

/** Registers every schema of ours; throws if the registry is down. @throws FlowError REGISTRY_INCOMPATIBLE, naming subject and field */
export async function registerSchemas({ names }: Setup, registry: Registry): Promise<void> {
  for (const [topic, file] of Object.entries(SCHEMA_FILES))
    await registry.register(`${names[topic as keyof TopicNames]}-value`, schemaText(file), { wait: false })
}
