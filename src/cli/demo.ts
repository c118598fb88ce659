/**
 * `colloquy demo`: the whole product on one machine. Kafka and registry run under this process, simulators and `colloquy run` are children that end with it,
 * however it ends. The table's data comes from the running product's own HTTP API, as for any user.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { stringify } from 'yaml'
import { systemClock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { DEFAULT_RULE } from '../rules.ts'
import { whenOrphaned } from '../stack/orphan.ts'
import { freePort } from '../stack/ports.ts'
import type { DownloadProgress } from '../stack/artifacts.ts'
import { startStack } from '../stack/stack.ts'
import { readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type DemoState, emptyState, noteFired, readState } from './demo-state.ts'
import { demoLines, type DemoView, type Incident, incidentText } from './demo-table.ts'
import { type Io, refuse } from './io.ts'
import { LiveLines, logAbove } from './live-lines.ts'

const HISTORY_DAYS = 7
const SESSIONS = 3000
const LIVE_PER_MINUTE = 60
const REFRESH_MS = 1000
const PLAIN_EVERY_MS = 5000
/** From the start to the first alert of the incident, which is in progress by then. An estimate: vendors are read at different paces, and machines differ. */
const ALERT_WITHIN_MS = 5 * 60_000

export async function demoCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.demo.options, COMMANDS.demo.words)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const { signal, terminal } = io
  const live = terminal === undefined ? null : new LiveLines(terminal)
  const log = live === null ? io.log : logAbove(io.log, live)
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-demo-'))
  const children: Child[] = []
  const broken = new AbortController()
  const onEnd = (child: Child) => {
    if (!ends.aborted) log.error({ child: child.name, lastLine: child.lastLine }, `${child.name} ended by itself`)
    broken.abort()
  }
  const stopLooking = whenOrphaned(io.env, () => broken.abort())
  const ends = AbortSignal.any([signal, broken.signal])
  const start = drawStart(live, ends)
  let incident: Incident | null = null
  let stack: Awaited<ReturnType<typeof startStack>> | undefined
  try {
    if (live === null) log.info({}, 'starting Kafka, a schema registry and the vendor simulators')
    const simulators = startChild(['simulate', '--sessions', String(SESSIONS), '--live', String(LIVE_PER_MINUTE)], {
      entry: io.entry,
      log,
      onEnd,
      onInfo: fields => {
        incident = incidentIn(fields) ?? incident
      },
    })
    children.push(simulators)
    // Awaits both, also when one fails: whatever has started must be stopped.
    const starting = startStack({
      profile: 'demo',
      log: live === null ? log : log.child({}, { level: 'warn' }),
      signal: ends,
      env: io.env,
      ...(live === null ? {} : { onProgress: start.downloading }),
    }).then(started => {
      stack = started
      void started.failed.then(error => {
        log.error(errorFields(error), error.message)
        broken.abort()
      })
      return started
    })
    const [up, ready] = await Promise.allSettled([starting, firstLine(simulators, ends)])
    if (up.status === 'rejected') throw up.reason
    if (ready.status === 'rejected') throw ready.reason
    const port = await freePort()
    const config = join(folder, 'colloquy.yaml')
    const vendors = JSON.parse(ready.value) as Record<string, Record<string, string>>
    writeFileSync(config, configOf(up.value, vendors, port), { mode: 0o600 })
    children.push(startChild(['run', '--config', config], { entry: io.entry, log, onEnd }))
    const base = `http://127.0.0.1:${port}`
    await start.end()
    for (const line of addressesOf(base, up.value)) io.stdout(line)
    await show({ base, vendors: Object.keys(vendors).toSorted(), incident: () => incident, live, io, signal: ends })
    return broken.signal.aborted && !signal.aborted ? 1 : 0
  } catch (error) {
    live?.erase()
    if (signal.aborted && error instanceof FlowError && error.code === 'STOPPED') return 0
    throw error
  } finally {
    stopLooking()
    broken.abort()
    await start.end()
    if (terminal !== undefined) io.stdout('stopping')
    await Promise.all(children.map(stopChild))
    await stack?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function addressesOf(base: string, { brokers, registry }: { brokers: string; registry: string }): string[] {
  return [
    `${base}/ui/           console`,
    `${base}/docs/         what else can be asked`,
    `${base}/v1/alerts     alerts`,
    `${base}/v1/series?measure=sessions&bucket=1h&group_by=vendor,channel`,
    `${base}/metrics       Prometheus`,
    `Kafka ${brokers}   registry ${registry}`,
    'Ctrl-C stops everything',
    '',
  ]
}

/** One line that is updated until everything has started: what is downloaded, and how much. Nothing without a terminal. */
function drawStart(live: LiveLines | null, signal: AbortSignal) {
  const ended = new AbortController()
  const beganMs = Date.now()
  let download: DownloadProgress | null = null
  const draw = async () => {
    if (live === null) return
    const until = AbortSignal.any([signal, ended.signal])
    while (!until.aborted) {
      live.draw([startLine(download, Date.now() - beganMs)])
      await systemClock.sleep(DRAW_EVERY_MS, until)
    }
    live.erase()
  }
  const drawn = draw()
  return {
    downloading: (progress: DownloadProgress) => {
      download = progress
    },
    end: async () => {
      ended.abort()
      await drawn
    },
  }
}

const DRAW_EVERY_MS = 200

/** The current step, in one short line. */
export function startLine(download: DownloadProgress | null, passedMs: number): string {
  const seconds = Math.floor(passedMs / 1000)
  if (download === null) return `starting Kafka, a schema registry and the simulators   ${seconds} s`
  return `fetching ${download.what}   ${download.megabytes.toFixed(1)} MB   ${seconds} s`
}

interface Shown {
  readonly base: string
  readonly vendors: readonly string[]
  readonly incident: () => Incident | null
  readonly live: LiveLines | null
  readonly io: Io
  readonly signal: AbortSignal
}

/** Polls and shows until the signal: a table drawn in place on a terminal, and one now and then elsewhere. */
async function show({ base, vendors, incident, live, io, signal }: Shown): Promise<void> {
  const { terminal } = io
  const beganMs = Date.now()
  const firedAtMs = new Map<string, number>()
  let plainAtMs = 0
  let announced = ''
  let state: DemoState = emptyState
  while (!signal.aborted) {
    state = (await readState(base, beganMs - (HISTORY_DAYS + 1) * 86_400_000, signal)) ?? state
    const view: DemoView = {
      vendors,
      state,
      incident: incident(),
      alertByMs: beganMs + ALERT_WITHIN_MS,
      firedAtMs,
      nowMs: Date.now(),
    }
    noteFired(state.alerts, firedAtMs, { beganMs, nowMs: view.nowMs })
    if (signal.aborted) break
    if (live !== null && terminal !== undefined)
      live.draw(demoLines(view, { width: terminal.columns(), colours: terminal.colours }))
    else if (state !== emptyState) {
      // The incident's state is printed when it changes, so that it stands out between tables.
      const words = incidentText(view)
      if (words !== announced) io.stdout(words)
      announced = words
      if (view.nowMs - plainAtMs >= PLAIN_EVERY_MS) {
        plainAtMs = view.nowMs
        for (const line of ['', ...demoLines(view, { width: Infinity, colours: false })]) io.stdout(line)
      }
    }
    await systemClock.sleep(REFRESH_MS, signal)
  }
  live?.keep()
}

/** The incident in a log line of `simulate`. */
function incidentIn({ incident }: Readonly<Record<string, unknown>>): Incident | null {
  if (typeof incident !== 'object' || incident === null) return null
  const { from, until, ...rest } = incident as { from: string; until: string } & Omit<Incident, 'fromMs' | 'untilMs'>
  return { ...rest, fromMs: Date.parse(from), untilMs: Date.parse(until) }
}

function configOf(
  stack: { brokers: string; registry: string },
  simulators: Record<string, Record<string, string>>,
  port: number,
): string {
  const startAt = new Date(Date.now() - HISTORY_DAYS * 86_400_000).toISOString()
  return stringify({
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    http: { host: '127.0.0.1', port },
    // Faster than in production: a newcomer does not wait for a quarter of an hour.
    alerts: { rules: { [DEFAULT_RULE.name]: { measure: DEFAULT_RULE.measure, per: DEFAULT_RULE.per, windows: ['5m', '1h'] } } },
    connectors: Object.fromEntries(
      Object.entries(simulators).map(([vendor, keys]) => [
        `demo-${vendor}`,
        {
          'connector.class': vendor,
          account: 'demo',
          'start.at': startAt,
          // Faster than in production, as far as the vendors' limits allow it.
          'poll.interval.ms': 5000,
          'lookback.interval.ms': 60_000,
          'quota.gap.ms': 0,
          ...keys,
        },
      ]),
    ),
  })
}

interface Child {
  readonly name: string
  readonly process: ChildProcess
  readonly ended: Promise<void>
  /** Its last line on stderr, for when it ends by itself. */
  lastLine: string
}

interface ChildOptions {
  /** The file that Node was started with. */
  readonly entry: string
  readonly log: Log
  readonly onEnd: (child: Child) => void
  /** Called with the fields of lines of level info. */
  readonly onInfo?: (fields: Readonly<Record<string, unknown>>) => void
}

/** Starts this binary again with other arguments. The channel between us closes when we end, and the child ends then. */
function startChild(argv: [name: string, ...rest: string[]], { entry, log, onEnd, onInfo = () => {} }: ChildOptions): Child {
  const [name] = argv
  const spawned = spawn(process.execPath, [...process.execArgv, entry, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
  })
  const child: Child = {
    name,
    process: spawned,
    lastLine: '',
    ended: new Promise(resolve => {
      spawned.once('exit', () => {
        onEnd(child)
        resolve()
      })
    }),
  }
  if (spawned.stderr === null) throw new FlowError('BUG', { hint: 'a child without stderr' })
  createInterface({ input: spawned.stderr }).on('line', line => {
    child.lastLine = line
    pass(line, log.child({ child: name }), onInfo)
  })
  return child
}

/** Warnings and errors of a child go to our own log; the rest would bury the table. */
function pass(line: string, log: Log, onInfo: (fields: Readonly<Record<string, unknown>>) => void): void {
  let parsed: { level: string; msg: string; time: string }
  try {
    parsed = JSON.parse(line) as typeof parsed
  } catch {
    log.warn({}, line)
    return
  }
  const { level, msg, time: _time, ...fields } = parsed
  if (level === 'error') log.error(fields, msg)
  else if (level === 'warn') log.warn(fields, msg)
  else onInfo(fields)
}

function firstLine(child: Child, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.process.stdout === null) throw new FlowError('BUG', { hint: 'a child without stdout' })
    const stopped = () => reject(new FlowError('STOPPED'))
    signal.addEventListener('abort', stopped, { once: true })
    createInterface({ input: child.process.stdout }).once('line', line => {
      signal.removeEventListener('abort', stopped)
      resolve(line)
    })
  })
}

async function stopChild(child: Child): Promise<void> {
  if (child.process.exitCode !== null || child.process.signalCode !== null) return
  child.process.kill('SIGTERM')
  const killed = setTimeout(() => child.process.kill('SIGKILL'), 10_000)
  await child.ended
  clearTimeout(killed)
}
