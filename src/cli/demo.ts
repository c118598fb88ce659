/**
 * `colloquy demo`: the whole product on one machine. Kafka and registry run under this process, simulators and `colloquy run` are children that
 * end with it, however it ends. What the table shows is asked of the running product's own HTTP API, as any user would.
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
import { startStack } from '../stack/stack.ts'
import { readArgs } from './args.ts'
import { type DemoState, emptyState, readState, tableOf } from './demo-table.ts'
import { type Io, refuse } from './io.ts'

const HISTORY_DAYS = 7
const SESSIONS = 3000
const LIVE_PER_MINUTE = 60
const REFRESH_MS = 1000
const PLAIN_EVERY_MS = 5000

export async function demoCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, {})
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const { log, signal } = io
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-demo-'))
  const children: Child[] = []
  const broken = new AbortController()
  const onBroken = (child: Child) => {
    if (!signal.aborted) log.error({ child: child.name, lastLine: child.lastLine }, `${child.name} ended by itself`)
    broken.abort()
  }
  const stopLooking = whenOrphaned(io.env, () => broken.abort())
  const ends = AbortSignal.any([signal, broken.signal])
  let stack: Awaited<ReturnType<typeof startStack>> | undefined
  try {
    log.info({}, 'starting Kafka, a schema registry and the vendor simulators')
    const simulators = startChild(['simulate', '--sessions', String(SESSIONS), '--live', String(LIVE_PER_MINUTE)], io, onBroken)
    children.push(simulators)
    // Both are waited for, also when one fails: what has started must be known to be stopped.
    const starting = startStack({ profile: 'demo', log, signal: ends, env: io.env }).then(started => {
      stack = started
      void started.failed.then(error => {
        log.error(errorFields(error), error.message)
        broken.abort()
      })
      return started
    })
    const [up, told] = await Promise.allSettled([starting, firstLine(simulators, ends)])
    if (up.status === 'rejected') throw up.reason
    if (told.status === 'rejected') throw told.reason
    const port = await freePort()
    const config = join(folder, 'colloquy.yaml')
    writeFileSync(config, configOf(up.value, JSON.parse(told.value) as Record<string, Record<string, string>>, port), {
      mode: 0o600,
    })
    const product = startChild(['run', '--config', config], io, onBroken)
    children.push(product)
    const base = `http://127.0.0.1:${port}`
    const addresses = [
      `${base}/ui/           console page`,
      `${base}/v1/series?measure=sessions&bucket=1h&group_by=vendor,channel`,
      `${base}/v1/alerts     alerts`,
      `${base}/docs/         what else can be asked`,
      `${base}/metrics       Prometheus`,
      `Kafka ${up.value.brokers}   registry ${up.value.registry}`,
    ]
    await show(base, addresses, io, ends)
    return broken.signal.aborted && !signal.aborted ? 1 : 0
  } catch (error) {
    if (signal.aborted && error instanceof FlowError && error.code === 'STOPPED') return 0
    throw error
  } finally {
    stopLooking()
    await Promise.all(children.map(stopChild))
    await stack?.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Asks and shows until the signal: a table drawn in place where there is a terminal, a line now and then elsewhere. */
async function show(base: string, addresses: readonly string[], io: Io, signal: AbortSignal): Promise<void> {
  const terminal = process.stdout.isTTY
  const beganMs = Date.now()
  let drawn = 0
  let plainAt = 0
  let shownAddresses = false
  let state: DemoState = emptyState
  while (!signal.aborted) {
    state = (await readState(base, beganMs - (HISTORY_DAYS + 1) * 86_400_000, signal)) ?? state
    const ready = state !== emptyState
    if (terminal) {
      const lines = [
        ...tableOf(state, process.stdout.columns),
        '',
        ...addresses.map(line => `  ${line}`),
        '',
        '  Ctrl-C stops everything',
      ]
      process.stdout.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}${lines.map(line => `\x1b[2K${line}\n`).join('')}`)
      drawn = lines.length
    } else if (ready && Date.now() - plainAt >= PLAIN_EVERY_MS) {
      if (!shownAddresses) for (const line of addresses) io.stdout(line)
      shownAddresses = true
      plainAt = Date.now()
      for (const line of tableOf(state, 200)) io.stdout(line)
    }
    await systemClock.sleep(REFRESH_MS, signal)
  }
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
    // Quicker than in life: a newcomer does not wait for a quarter of an hour.
    alerts: { rules: { [DEFAULT_RULE.name]: { measure: DEFAULT_RULE.measure, per: DEFAULT_RULE.per, windows: ['5m', '1h'] } } },
    connectors: Object.fromEntries(
      Object.entries(simulators).map(([vendor, keys]) => [
        `demo-${vendor}`,
        {
          'connector.class': vendor,
          account: 'demo',
          'start.at': startAt,
          // Quicker than in life, as far as the vendors' limits allow it, and with no more politeness than they demand.
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
  /** The last thing it said on stderr, for when it ends by itself. */
  lastLine: string
}

/** Starts this binary again with other words. The channel between us closes when we are gone, and the child ends then. */
function startChild(argv: [name: string, ...rest: string[]], { entry, log }: Io, onEnd: (child: Child) => void): Child {
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
    pass(line, log.child({ child: name }))
  })
  return child
}

/** Warnings and errors of a child are ours to tell; the rest would drown the table. */
function pass(line: string, log: Log): void {
  try {
    const { level, msg, time: _time, ...fields } = JSON.parse(line) as { level: string; msg: string; time: string }
    if (level === 'error') log.error(fields, msg)
    else if (level === 'warn') log.warn(fields, msg)
  } catch {
    log.warn({}, line)
  }
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
