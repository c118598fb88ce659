import { aborted } from '../abort.ts'
import { createWorld } from '../sim/world.ts'
import { Faults } from '../sim/faults.ts'
import { findSimulators, type SimulatorPlugin, startSimulators } from '../sim/simulators.ts'
import { loadBeside } from '../source/registry.ts'
import type { Log } from '../log.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { didYouMean, readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { failed, refuse } from './io.ts'
import { partOf } from './own-folder.ts'

const HISTORY_MS = 7 * 86_400_000
/** How long live conversations have been running when the simulators start: connectors read a history of a few minutes. */
const LIVE_BEFORE_MS = 5 * 60_000

/**
 * `colloquy simulate [VENDOR…] [--port N] [--host HOST] [--seed N] [--sessions N] [--live PER_MINUTE] [--faults PERCENT]`: simulators of these vendors
 * (default: all built-in ones; a folder with a `simulator.ts` works, too) over one world, whose history is the last seven days; the n-th listens on `host`
 * (default 127.0.0.1) at `port + n`, or at a free port. When all are ready, one JSON line has the connector's config by vendor. The log announces an incident
 * in the live conversations. Ends with the signal. With `--faults`, this percentage of answers goes wrong.
 */
export async function simulateCommand(
  argv: string[],
  io: { readonly stdout: (line: string) => void; readonly log: Log; readonly signal: AbortSignal },
): Promise<number> {
  const known = [...(await findSimulators()).keys()]
  const args = readArgs(argv, COMMANDS.simulate.options, COMMANDS.simulate.words)
  const words = args.ok ? args.words : []
  const others = new Map(words.filter(word => !known.includes(word)).map(word => [word, partOf(word, 'simulator')]))
  const faults = [
    ...(args.ok ? [] : args.faults),
    ...words
      .filter((word, place) => others.get(word) === null || words.indexOf(word) < place)
      .map(word => ({
        path: word,
        message:
          others.get(word) === null
            ? `has no simulator; there are ${known.join(', ')}${didYouMean(word, known)}`
            : 'is named twice',
      })),
  ]
  const port = args.ok ? (args.values.port ?? 0) : 0
  if (port + Math.max(words.length || known.length, 1) - 1 > 65_535)
    faults.push({ path: '--port', message: 'leaves no room below 65536 for a port each' })
  if (!args.ok || faults.length > 0) return refuse(io.log, 'CALL_INVALID', faults)

  const { seed = 1, sessions = 2000, live = 0, faults: percent = 0 } = args.values
  const nowMs = Date.now()
  const untilMs = live > 0 ? nowMs - LIVE_BEFORE_MS : nowMs
  const world = createWorld({ seed, sessions, fromMs: nowMs - HISTORY_MS, untilMs, livePerMinute: live })
  for (const { channel, fromMs, untilMs, transferShare } of world.options.incidents.filter(each => each.untilMs > nowMs)) {
    const usualShare = world.options.transferShare
    const incident = { channel, from: iso(fromMs), until: iso(untilMs), transferShare, usualShare }
    io.log.info({ incident }, 'started an incident: more people than usual ask for an agent')
  }
  try {
    const simulators = await startSimulators({
      world,
      port,
      ...(args.values.host === undefined ? {} : { host: args.values.host }),
      vendors: words,
      others: await loadAll(others),
      faults: sprinkled(percent, seed),
    })
    io.stdout(JSON.stringify(simulators.config))
    await aborted(io.signal)
    await simulators.stop()
    return 0
  } catch (error) {
    return failed(io.log, asFlowError(error))
  }
}

/** Simulators that are not built in, by the word that names their folder. */
async function loadAll(files: ReadonlyMap<string, string | null>): Promise<Map<string, SimulatorPlugin>> {
  const loaded = new Map<string, SimulatorPlugin>()
  for (const [word, file] of files) {
    if (file === null) continue
    const { simulator } = await loadBeside(file, word)
    if (typeof (simulator as Partial<SimulatorPlugin> | undefined)?.start !== 'function')
      throw new FlowError('PLUGIN_INVALID', {
        connectorClass: word,
        hint: `${file} exports no \`simulator\` with a function \`start\``,
      })
    loaded.set(word, simulator as SimulatorPlugin)
  }
  return loaded
}

const iso = (ms: number) => new Date(ms).toISOString()

/** Faults of many kinds, together in `percent` of the answers. */
function sprinkled(percent: number, seed: number): Faults {
  const faults = new Faults()
  const kinds = [
    { kind: 'status', status: 429, retryAfter: { seconds: 2, as: 'seconds' } },
    { kind: 'status', status: 429 },
    { kind: 'status', status: 500 },
    { kind: 'status', status: 503, retryAfter: { seconds: 1, as: 'date' } },
    { kind: 'cut' },
    { kind: 'malformed' },
    { kind: 'hang_up' },
    { kind: 'drip', pieces: 5, everyMs: 50 },
  ] as const
  const share = percent / 100
  // Each fault gets a request only when those before it have let it pass.
  for (const [number, fault] of kinds.entries())
    faults.sometimes(fault, { probability: share / kinds.length / (1 - (share / kinds.length) * number), seed })
  return share === 0 ? new Faults() : faults
}
