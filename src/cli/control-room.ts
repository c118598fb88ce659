/** The control room of a worker process: wanted connectors and statuses, kept up to date; the watched config file; and, once the group exists, the herder. */
import { dirname } from 'node:path'
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import type { Surroundings } from '../control/check-config.ts'
import { type Configs, openConfigs } from '../control/configs.ts'
import { createHerder, type DutiesOptions, type HerderOptions, keepStatuses } from '../control/herder.ts'
import type { Herder, WantedConnector } from '../control/port.ts'
import { openStatuses, type StatusStore } from '../control/statuses.ts'
import { FlowError } from '../errors.ts'
import type { ConnectorToRun } from '../ingest/source-partition.ts'
import { decoderFor } from '../kafka/codec.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import type { Progress } from '../records.ts'
import { schemaText } from '../schemas.ts'
import { ownVersion } from '../version.ts'
import type { Io } from './io.ts'
import { prepareTopics, type Setup } from './setup.ts'
import { watchFile } from './watch-file.ts'

export interface ControlRoomOptions {
  readonly setup: Setup
  readonly io: Io
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  /** See `ConfigsOptions`. */
  readonly onLevel?: (logger: string, level: string | null) => void
  readonly observer?: DutiesOptions['observer']
}

export interface ControlRoom {
  readonly configs: Configs
  readonly statuses: StatusStore
  /** Resolves when the wanted connectors are known, or when the signal has aborted. */
  readonly ready: Promise<void>
  /** Why the stores are not up to date; null: they are. */
  whyNot(): string | null
  /** The connector with its references resolved on this machine, or why that failed. */
  connectorOf(wanted: Pick<WantedConnector, 'name'>): ConnectorToRun | FlowError
  /** Call once, when the group exists: its leader's duties begin, and the file is watched from here on. */
  herder(context: Pick<HerderOptions, 'workerId' | 'group' | 'whyNot' | 'clusterId'>): Herder
  /** Call it after the tasks have ended, so that their last statuses are written; when the signal has aborted, or to end without it. */
  close(): Promise<void>
}

/** What configs are resolved and checked with. A class that the file has loaded by a path or package can be named over REST, too. */
export function surroundingsOf(setup: Setup, io: Pick<Io, 'env'>): Surroundings {
  const plugins = new Map(setup.plugins)
  for (const { name, connector } of setup.connectors) {
    const className = setup.config.connectors[name]?.['connector.class']
    if (typeof className === 'string') plugins.set(className, connector)
  }
  return { env: io.env, folder: dirname(setup.config.file), plugins }
}

/** Starts following at once; the topics must exist. `configs.ready` and `statuses.ready` show when all of them has been read. */
export function openControlRoom(options: ControlRoomOptions): ControlRoom {
  const { setup, io, kafka, registry, clock, log } = options
  const { prefix, partitions } = setup.config.topics
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const surroundings = surroundingsOf(setup, io)
  const common = { kafka, prefix, clock, log, signal }
  const configs = openConfigs({
    ...common,
    topic: setup.names.configs,
    file: setup.written,
    surroundings,
    ...(options.onLevel === undefined ? {} : { onLevel: options.onLevel }),
  })
  const statuses = openStatuses({ ...common, topic: setup.names.status, partitions })
  const ends: Promise<void>[] = [configs.done, statuses.done]
  const progress = decoderFor<Progress>(registry, schemaText('progress'))

  return {
    configs,
    statuses,
    ready: Promise.race([configs.ready, aborted(signal)]),
    whyNot: () => configs.why() ?? statuses.why(),
    connectorOf: ({ name }) => {
      const resolved = configs.resolved(name)
      if (resolved === null) return new FlowError('PLUGIN_UNKNOWN', { connector: name })
      return resolved.ok ? resolved.connector : resolved.error
    },
    herder: context => {
      const parts = { ...common, ...context, configs, statuses, version: ownVersion() }
      ends.push(keepStatuses({ ...parts, observer: options.observer }))
      const changed = async (now: Setup) => {
        await prepareTopics(now, kafka)
        await configs.reload(now.written)
      }
      ends.push(watchFile({ path: setup.config.file, io, setup, changed, clock, log, signal }))
      return createHerder({
        ...parts,
        names: setup.names,
        partitions,
        surroundings,
        decodeProgress: async value => {
          await progress.prepare([value])
          return progress.decode(value)
        },
        // Deduplication state is kept for the longest lookback, which must be set before the connector begins.
        prepare: connector => prepareTopics({ ...setup, connectors: [connector] }, kafka),
      })
    },
    async close() {
      await statuses.close()
      await configs.close()
      ending.abort()
      await Promise.all(ends)
    },
  }
}
