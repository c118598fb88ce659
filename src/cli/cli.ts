/**
 * The command line: finds the command, turns signals into an abort, and returns the exit code. A command that does not end within 9 s of the signal is
 * ended.
 */
import { createLog, type Log, LOG_LEVELS, type LogLevel } from '../log.ts'
import { versionText } from '../version.ts'
import { didYouMean } from './args.ts'
import { COMMANDS, type CommandName } from './commands.ts'
import { helpText } from './help.ts'
import { type Command, failed, type Io, refuse, type Terminal } from './io.ts'

/** Each command is loaded when it is called, so that `--help` need not wait for Kafka's client. */
const LOAD: Readonly<Record<CommandName, () => Promise<Command>>> = {
  run: async () => (await import('./run.ts')).runCommand,
  check: async () => (await import('./check.ts')).checkCommand,
  rebuild: async () => (await import('./rebuild.ts')).rebuildCommand,
  peek: async () => (await import('./peek.ts')).peekCommand,
  plugins: async () => (await import('./plugins.ts')).pluginsCommand,
  rejects: async () => (await import('./rejects.ts')).rejectsCommand,
  backtest: async () => (await import('./backtest.ts')).backtestCommand,
  connectors: async () => (await import('./control.ts')).connectorsCommand,
  status: async () => (await import('./control.ts')).statusCommand,
  pause: async () => (await import('./control.ts')).pauseCommand,
  resume: async () => (await import('./control.ts')).resumeCommand,
  stop: async () => (await import('./control.ts')).stopCommand,
  restart: async () => (await import('./control.ts')).restartCommand,
  offsets: async () => (await import('./control.ts')).offsetsCommand,
  demo: async () => (await import('./demo.ts')).demoCommand,
  simulate: async () => (await import('./simulate.ts')).simulateCommand,
  stack: async () => (await import('./stack.ts')).stackCommand,
  new: async () => (await import('./new.ts')).newCommand,
  conformance: async () => (await import('./conformance.ts')).conformanceCommand,
  completion: async () => (await import('./completion.ts')).completionCommand,
}

const GRACE_MS = 9_000
/** Width without a terminal. */
const COLUMNS = 80

export async function runCli([, entry = '', ...argv]: readonly string[], env: Io['env']): Promise<number> {
  const level = env['COLLOQUY_LOG_LEVEL'] ?? 'info'
  const log = createLog(isLevel(level) ? level : 'info')
  process.on('uncaughtException', error => process.exit(failed(log, error) || 1))
  logWarnings(log)
  const stop = new AbortController()
  endsWithItsReader(stop)
  if (!isLevel(level))
    return refuse(log, 'CALL_INVALID', [{ path: 'COLLOQUY_LOG_LEVEL', message: `takes one of ${LOG_LEVELS.join(', ')}` }])

  const [name = '--help', ...rest] = argv
  if (name === '--version' || name === '-v') {
    process.stdout.write(`${versionText()}\n`)
    return 0
  }
  const command = isCommand(name) ? name : null
  if (['--help', '-h', 'help'].includes(name) || (command !== null && rest.some(word => word === '--help' || word === '-h'))) {
    const asked = command ?? rest.find(word => !word.startsWith('-')) ?? null
    if (asked !== null && !isCommand(asked)) return refuse(log, 'CALL_INVALID', [unknownCommand(asked)])
    const columns = terminalOf(env)?.columns() ?? COLUMNS
    process.stdout.write(helpText(asked, { columns, colours: hasColours(env) }))
    return 0
  }
  if (command === null) return refuse(log, 'CALL_INVALID', [unknownCommand(name)])

  const onSignal = () => {
    stop.abort()
    setTimeout(() => {
      log.error({}, 'failed to stop in time, exiting')
      process.exit(1)
    }, GRACE_MS).unref()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  // A parent that spawned us with a channel wants us to end with it, however it ended.
  process.on('disconnect', onSignal)

  const again = new Set<() => void>()
  // A daemon reads its config again; a command in a terminal ends with it.
  process.on('SIGHUP', () => (again.size === 0 ? onSignal() : again.forEach(each => each())))
  const onHangUp = (listener: () => void) => {
    again.add(listener)
    return () => void again.delete(listener)
  }

  const terminal = terminalOf(env)
  const io: Io = {
    onHangUp,
    stdout: line => process.stdout.write(`${line}\n`),
    log,
    signal: stop.signal,
    env,
    entry,
    ...(terminal === null ? {} : { terminal }),
  }
  try {
    return await (await LOAD[command]())(rest, io)
  } catch (error) {
    return failed(log, error)
  }
}

function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name)
}

function unknownCommand(name: string): { path: string; message: string } {
  const names = Object.keys(COMMANDS)
  const hint = didYouMean(name, [...names, 'help', '--help', '--version'])
  return { path: name, message: `is not a command${hint === '' ? `; there are ${names.join(', ')}` : hint}` }
}

function isLevel(word: string): word is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(word)
}

/** Whether stdout is a terminal with colours; respects NO_COLOR and similar variables. */
function hasColours(env: Io['env']): boolean {
  return process.stdout.isTTY && process.stdout.hasColors(env)
}

function terminalOf(env: Io['env']): Terminal | null {
  const { stdout } = process
  if (!stdout.isTTY) return null
  return {
    columns: () => stdout.columns || COLUMNS,
    rows: () => stdout.rows || 24,
    colours: hasColours(env),
    write: text => void stdout.write(text),
  }
}

/** Warnings of Node and of packages, as lines of the log instead of text on stderr. */
function logWarnings(log: Log): void {
  process.removeAllListeners('warning')
  process.on('warning', warning => {
    const { name, message, code } = warning as Error & { code?: string }
    // A connector in a folder without "type": Node detects its format by itself.
    const level = code === 'MODULE_TYPELESS_PACKAGE_JSON' ? 'debug' : 'warn'
    log[level]({ warning: code ?? name, error: message }, 'received a warning of node')
  })
}

/** The reader of our output may stop early (`colloquy peek … | head`): the command ends then, without an error. Logs that nobody reads block nothing. */
function endsWithItsReader(stop: AbortController): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    stop.abort()
    process.exitCode = 0
    setImmediate(() => process.exit(0))
  })
  process.stderr.on('error', () => {})
}
