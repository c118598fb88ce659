import { existsSync, readdirSync } from 'node:fs'
import { FlowError } from '../errors.ts'
import type { Faults } from './faults.ts'
import type { Logged } from './server.ts'
import type { Stats } from './traffic.ts'
import type { World } from './world.ts'

/** Options of every vendor's simulator. Each has its own in addition. */
export interface SimulatorOptions {
  readonly world: World
  /** Default: a free one. */
  readonly port?: number
  /** Name or address to listen on, also in `config`. Default 127.0.0.1. */
  readonly host?: string
  /** The current time in the world. Default: the system's clock. */
  readonly now?: () => number
  /** Clock for counting and limiting requests. Default: the system's, even if `now` is moved by hand. */
  readonly arrivalClock?: () => number
  readonly faults?: Faults
}

/** A vendor's API over a world. */
export interface Simulator {
  /** Id of the connector that reads it. */
  readonly vendor: string
  /** `http://HOST:N` */
  readonly url: string
  /** The connector's config for reading it, without `connector.class`. */
  readonly config: Readonly<Record<string, string>>
  /** Rules of `transfer.rules` that find the transfers of this world, if the connector's own do not. Printed by `simulate` after `config`. */
  readonly transferRules?: readonly string[]
  readonly faults: Faults
  /** The newest requests, oldest first. */
  readonly log: readonly Logged[]
  stats(): Stats
  stop(): Promise<void>
}

/** The export `simulator` of a `simulator.ts` in a connector's folder. */
export interface SimulatorPlugin {
  readonly vendor: string
  start(options: SimulatorOptions): Promise<Simulator>
}

const CONNECTORS = new URL('../../connectors/', import.meta.url)

/** Every connector's simulator, by vendor, in alphabetical order. */
export async function findSimulators(): Promise<Map<string, SimulatorPlugin>> {
  const found = new Map<string, SimulatorPlugin>()
  for (const folder of readdirSync(CONNECTORS).sort()) {
    const file = ['simulator.ts', 'simulator.js']
      .map(name => new URL(`${folder}/${name}`, CONNECTORS))
      .find(url => existsSync(url))
    if (file === undefined) continue
    const { simulator } = (await import(file.href)) as { simulator: SimulatorPlugin }
    found.set(simulator.vendor, simulator)
  }
  return found
}

/** Several simulators over one world. */
export interface Simulators {
  readonly all: readonly Simulator[]
  /** By vendor, the connector's config. */
  readonly config: Readonly<Record<string, Readonly<Record<string, string>>>>
  stop(): Promise<void>
}

/** The simulator's keys with its rules as one text, in which a `;` of a pattern is escaped. */
export function printedConfig({
  config,
  transferRules = [],
}: Pick<Simulator, 'config' | 'transferRules'>): Record<string, string> {
  if (transferRules.length === 0) return { ...config }
  return { ...config, 'transfer.rules': transferRules.map(rule => rule.replaceAll(';', String.raw`\x3b`)).join('; ') }
}

/**
 * Starts the simulators of these vendors (default: all built-in ones), the n-th at `port + n`, or each at a free port. If one does not start, those before it
 * are stopped again. `others` are simulators that are not built in, by their names in `vendors`.
 *
 * @throws FlowError PORT_TAKEN, PLUGIN_UNKNOWN
 */
export async function startSimulators(
  options: SimulatorOptions & { readonly vendors?: readonly string[]; readonly others?: ReadonlyMap<string, SimulatorPlugin> },
): Promise<Simulators> {
  const { vendors, port, others = new Map<string, SimulatorPlugin>(), ...rest } = options
  const builtIn = await findSimulators()
  const plugins = new Map([...others, ...builtIn])
  const all: Simulator[] = []
  const stop = async () => {
    await Promise.all(all.map(simulator => simulator.stop()))
  }
  try {
    for (const [number, vendor] of (vendors === undefined || vendors.length === 0 ? [...builtIn.keys()] : vendors).entries()) {
      const plugin = plugins.get(vendor)
      if (plugin === undefined)
        throw new FlowError('PLUGIN_UNKNOWN', { vendor, hint: `there are ${[...plugins.keys()].join(', ')}` })
      all.push(await plugin.start({ ...rest, ...(port === undefined || port === 0 ? {} : { port: port + number }) }))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { all, config: Object.fromEntries(all.map(each => [each.vendor, printedConfig(each)])), stop }
}
