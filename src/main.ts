#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * The binary. The only file that reads argv and the environment: it finds the command, turns signals into an abort, and exits with what the
 * command returned. A command that will not end 9 s after the signal is ended.
 */
import { failed, type Command, type Io } from './cli/io.ts'
import { createLog, type Log, LOG_LEVELS, type LogLevel } from './log.ts'
import { ownVersion } from './version.ts'

const CONTROL = '[--url URL | --config FILE] [--token TOKEN] [--json]'

/** Each command is loaded when it is called, so that `--help` need not wait for Kafka's client. */
const COMMANDS: Readonly<Record<string, { readonly line: string; readonly load: () => Promise<Command> }>> = {
  run: {
    line: 'run --config FILE [--roles worker,aggregator,server,alerter]   the long-running process',
    load: async () => (await import('./cli/run.ts')).runCommand,
  },
  check: {
    line: 'check --config FILE                                    validate the file, then reach Kafka, registry and vendors',
    load: async () => (await import('./cli/check.ts')).checkCommand,
  },
  peek: {
    line: 'peek CONNECTOR --config FILE [--limit N]               read the newest records of a vendor; needs no Kafka',
    load: async () => (await import('./cli/peek.ts')).peekCommand,
  },
  rejects: {
    line: 'rejects list|show ID|redrive [ID…]|discard ID… --config FILE [--connector C] [--stream S] [--reason R] [--json]   dead letters',
    load: async () => (await import('./cli/rejects.ts')).rejectsCommand,
  },
  plugins: {
    line: 'plugins [ID] [--config FILE]                           list connectors, or show one and its config schema',
    load: async () => (await import('./cli/plugins.ts')).pluginsCommand,
  },
  backtest: {
    line: 'backtest --config FILE [--rule NAME] [--from T] [--until T] [--json]   what the alert rules would have done; writes nothing',
    load: async () => (await import('./cli/backtest.ts')).backtestCommand,
  },
  rebuild: {
    line: 'rebuild --config FILE [--from T]                       count the series again from the topics; no aggregator may run',
    load: async () => (await import('./cli/rebuild.ts')).rebuildCommand,
  },
  connectors: {
    line: `connectors [NAME…] ${CONTROL}   connectors of a running group, with their state`,
    load: async () => (await import('./cli/control.ts')).connectorsCommand,
  },
  status: {
    line: `status [NAME…] ${CONTROL}   connectors and tasks: their state, their worker, why they failed`,
    load: async () => (await import('./cli/control.ts')).statusCommand,
  },
  pause: {
    line: `pause NAME… [--wait] ${CONTROL}   reads no more until it is resumed; tasks stay where they are`,
    load: async () => (await import('./cli/control.ts')).pauseCommand,
  },
  resume: {
    line: `resume NAME… [--wait] ${CONTROL}   goes on where it was paused or stopped`,
    load: async () => (await import('./cli/control.ts')).resumeCommand,
  },
  stop: {
    line: `stop NAME… [--wait] ${CONTROL}   takes its tasks away until it is resumed; offsets can be changed then`,
    load: async () => (await import('./cli/control.ts')).stopCommand,
  },
  restart: {
    line: `restart NAME… [--failed | --task N] ${CONTROL}   with its tasks; only what has failed; one task`,
    load: async () => (await import('./cli/control.ts')).restartCommand,
  },
  offsets: {
    line: `offsets NAME [--from T | --reset] [--dry-run] [--stream S] [--scope S] [--history] ${CONTROL}   where it stands; back to a time or the beginning; who did so`,
    load: async () => (await import('./cli/control.ts')).offsetsCommand,
  },
  simulate: {
    line: 'simulate [VENDOR…] [--port N] [--seed N] [--sessions N] [--live PER_MINUTE]   vendor simulators on loopback',
    load: async () => (await import('./cli/simulate.ts')).simulateCommand,
  },
  stack: {
    line: 'stack [--kafka-port N] [--registry-port N] [--data DIR]   Kafka and a schema registry as local processes',
    load: async () => (await import('./cli/stack.ts')).stackCommand,
  },
  demo: {
    line: 'demo                                                   the whole product on this machine, with simulators',
    load: async () => (await import('./cli/demo.ts')).demoCommand,
  },
}

const GRACE_MS = 9_000
const LEAST_NODE = 24

async function main([, entry = '', ...argv]: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const level = env['COLLOQUY_LOG_LEVEL'] ?? 'info'
  const log = createLog(isLevel(level) ? level : 'info')
  process.on('uncaughtException', error => process.exit(failed(log, error) || 1))
  const stop = new AbortController()
  endsWithItsReader(stop)
  if (Number(process.versions.node.split('.')[0]) < LEAST_NODE)
    return refuseCall(log, 'node', `Colloquy needs Node ${LEAST_NODE} or newer, and this is Node ${process.versions.node}`)
  if (!isLevel(level)) return refuseCall(log, 'COLLOQUY_LOG_LEVEL', `COLLOQUY_LOG_LEVEL: takes one of ${LOG_LEVELS.join(', ')}`)

  const [name = '--help', ...rest] = argv
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${ownVersion()}\n`)
    return 0
  }
  const asksForHelp = ['--help', '-h', 'help'].includes(name)
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (asksForHelp || (command !== undefined && rest.some(word => word === '--help' || word === '-h'))) {
    const lines = command === undefined ? Object.values(COMMANDS).map(({ line }) => line) : [command.line]
    process.stdout.write(`usage: colloquy COMMAND\n\n${lines.map(line => `  ${line}`).join('\n')}\n`)
    return 0
  }
  if (command === undefined)
    return refuseCall(log, name, `${JSON.stringify(name)} is not a command; there are ${Object.keys(COMMANDS).join(', ')}`)

  const onSignal = () => {
    stop.abort()
    setTimeout(() => {
      log.error({}, 'did not stop in time, ending')
      process.exit(1)
    }, GRACE_MS).unref()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // A parent that spawned us with a channel wants us gone when it is gone, however it went.
  process.on('disconnect', onSignal)

  const again = new Set<() => void>()
  // A daemon reads its config again; what runs in a terminal ends with it.
  process.on('SIGHUP', () => (again.size === 0 ? onSignal() : again.forEach(each => each())))
  const onHangUp = (listener: () => void) => {
    again.add(listener)
    return () => void again.delete(listener)
  }

  const io: Io = { onHangUp, stdout: line => process.stdout.write(`${line}\n`), log, signal: stop.signal, env, entry }
  try {
    return await (await command.load())(rest, io)
  } catch (error) {
    return failed(log, error)
  }
}

function isLevel(word: string): word is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(word)
}

function refuseCall(log: Log, path: string, message: string): number {
  log.error({ code: 'CALL_INVALID', path }, message)
  return 2
}

/** Who reads our output may leave in the middle (`colloquy peek … | head`): the command ends then, and that is no fault. Logs that nobody reads hold up nothing. */
function endsWithItsReader(stop: AbortController): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    stop.abort()
    process.exitCode = 0
    setImmediate(() => process.exit(0))
  })
  process.stderr.on('error', () => {})
}

process.exit(await main(process.argv, process.env))
