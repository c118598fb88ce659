import type { Fault } from '../config.ts'
import { asFlowError, type ErrorCode, ERRORS } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'

/** What a command may use of its process. */
export interface Io {
  /** Machine-readable output, one line. */
  readonly stdout: (line: string) => void
  /** Everything else, as JSON lines on stderr. */
  readonly log: Log
  /** Aborts on SIGINT and SIGTERM: finish, clean up, return. */
  readonly signal: AbortSignal
  /** Called on SIGHUP, while there is a listener; else the process ends as on SIGTERM. @returns function to unsubscribe */
  readonly onHangUp?: (again: () => void) => () => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** The file that Node was started with, to start this binary again. */
  readonly entry: string
  /** Absent: stdout is not a terminal. */
  readonly terminal?: Terminal
}

/** A person's screen. */
export interface Terminal {
  /** Current characters per line: the window may be resized. */
  columns(): number
  rows(): number
  readonly colours: boolean
  /** Raw text, escape sequences included. */
  write(text: string): void
}

/** A command: parses its own arguments, returns the exit code (0 success, 1 it ran and failed, 2 the call or the config is wrong). */
export type Command = (argv: string[], io: Io) => Promise<number>

/** Logs every fault, one line each, and returns the exit code for a wrong call or config. */
export function refuse(log: Log, code: ErrorCode, faults: readonly Fault[]): number {
  // In a config file each message is complete by itself.
  const cure = code === 'CALL_INVALID' ? { cure: ERRORS[code].cure } : {}
  for (const { path, message, line } of faults)
    log.error({ code, path, ...(line === undefined ? {} : { line }), ...cure }, `${path}: ${message}`)
  return 2
}

/** Logs an error that ended a command, and returns its exit code. */
export function failed(log: Log, thrown: unknown): number {
  const error = asFlowError(thrown)
  if (error.exitCode !== 0) log.error(errorFields(error), error.message)
  return error.exitCode
}
