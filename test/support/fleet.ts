/** Every vendor over one world, what a config must say to read it, and what must have come of it. */
import { startBotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import { startChatlayerSimulator } from '../../connectors/chatlayer/simulator.ts'
import { startKoreaiSimulator } from '../../connectors/koreai/simulator.ts'
import { startSyntphonySimulator } from '../../connectors/syntphony/simulator.ts'
import { startWolkvoxSimulator } from '../../connectors/wolkvox/simulator.ts'
import type { Simulator, World } from '../../src/sim/index.ts'
import type { Truth } from '../../src/conformance/index.ts'
import { truthOf as botmakerTruth } from './truth/botmaker.ts'
import { truthOf as chatlayerTruth } from './truth/chatlayer.ts'
import { truthOf as koreaiTruth } from './truth/koreai.ts'
import { truthOf as syntphonyTruth } from './truth/syntphony.ts'
import { truthOf as wolkvoxTruth } from './truth/wolkvox.ts'

export interface Ship {
  readonly vendor: string
  readonly simulator: Simulator
  /** Flat keys of the connector's config, with `account`: they reach the simulator, and no limit of ours slows them. */
  readonly keys: Readonly<Record<string, unknown>>
  readonly truth: (nowMs: number) => Truth
}

export interface FleetOptions {
  readonly world: World
  /** Default `fleet`. */
  readonly account?: string
  /** Where in the world's time the vendors are. Default: the system's clock. */
  readonly now?: () => number
  /** Few rows a page (about so many), so that there are many pages; absent: as many as the vendor gives. */
  readonly pageRows?: number
}

const ACCOUNT = 'fleet'
const ANALYTICS = ['successintent', 'failintent', 'unhandledutterance', 'successtask', 'failtask'] as const
const NO_LIMITS = { 'quota.per.second': 0, 'quota.per.minute': 0, 'quota.per.hour': 0, 'quota.gap.ms': 0 }

type Launch = (options: FleetOptions) => Promise<Ship>

const LAUNCH: Readonly<Record<string, Launch>> = {
  botmaker: async ({ world, pageRows, account = ACCOUNT, ...rest }) => {
    const simulator = await startBotmakerSimulator({
      ...rest,
      world,
      account,
      quirks: { requestsPerSecond: 0 },
      ...(pageRows && { pageSize: pageRows }),
    })
    return ship(simulator, { account }, nowMs => botmakerTruth(simulator, nowMs))
  },
  chatlayer: async ({ world, pageRows, account = ACCOUNT, ...rest }) => {
    const simulator = await startChatlayerSimulator({
      ...rest,
      world,
      quirks: { requestsPerSecond: 0 },
      ...(pageRows && { pageSize: pageRows * 5 }),
    })
    const of = { fromMs: startOf(world), versions: ['LIVE'] as const }
    return ship(simulator, { account }, nowMs => chatlayerTruth(simulator, nowMs, of))
  },
  koreai: async ({ world, pageRows, account = ACCOUNT, ...rest }) => {
    const simulator = await startKoreaiSimulator({ ...rest, world, quirks: { perMinute: 0, perHour: 0 } })
    const keys = { account, streams: 'sessions,analytics', ...(pageRows && { 'page.size': pageRows }) }
    return ship(simulator, keys, nowMs => koreaiTruth(simulator, nowMs, { account, analytics: ANALYTICS }))
  },
  syntphony: async ({ world, pageRows, account = ACCOUNT, ...rest }) => {
    const simulator = await startSyntphonySimulator({ ...rest, world, ...(pageRows && { pageSize: pageRows }) })
    return ship(simulator, { account }, nowMs => syntphonyTruth(simulator, nowMs, account))
  },
  wolkvox: async ({ world, pageRows, account = ACCOUNT, ...rest }) => {
    const rows = pageRows && { turnRows: pageRows * 20, rows: pageRows * 5 }
    const simulator = await startWolkvoxSimulator({ ...rest, world, ...rows })
    const keys = rows ? { 'max.rows.turns': rows.turnRows, 'max.rows': rows.rows } : {}
    return ship(simulator, { account, ...keys, 'quota.concurrency': 1 }, nowMs => wolkvoxTruth(simulator, nowMs))
  },
}

function ship(simulator: Simulator, keys: Readonly<Record<string, unknown>>, truth: (nowMs: number) => Truth): Ship {
  return { vendor: simulator.vendor, simulator, keys: { ...simulator.config, ...NO_LIMITS, ...keys }, truth }
}

/** `start.at` of every connector. */
export function startOf(world: World): number {
  return world.options.fromMs - 86_400_000
}

/** In the alphabet's order. */
export async function launch(options: FleetOptions, vendors: readonly string[] = Object.keys(LAUNCH)): Promise<Ship[]> {
  return Promise.all(vendors.map(vendor => (LAUNCH[vendor] as Launch)(options)))
}
