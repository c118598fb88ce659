import type { Fault } from '../config.ts'
import { asFlowError, type ErrorCode, ERRORS } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'

/** What a command may touch of the process that runs it. */
export interface Io {
  /** Machine-readable output, one line. */
  readonly stdout: (line: string) => void
  /** Everything else, as JSON lines on stderr. */
  readonly log: Log
  /** Aborts on SIGINT and SIGTERM: finish, clean up, return. */
  readonly signal: AbortSignal
  /** Called on SIGHUP, for as long as somebody listens; else the process ends as on SIGTERM. @returns what ends it */
  readonly onHangUp?: (again: () => void) => () => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** The file that Node was started with, to start this binary again. */
  readonly entry: string
  /** Absent: stdout is no terminal. */
  readonly terminal?: Terminal
}

/** A person's screen. */
export interface Terminal {
  /** Characters in a line, now: the window may be resized. */
  columns(): number
  rows(): number
  readonly colours: boolean
  /** Text as it is, escape sequences included. */
  write(text: string): void
}

/** A command: reads its own arguments, returns the exit code (0 good, 1 it ran and failed, 2 the call or the config is wrong). */
export type Command = (argv: string[], io: Io) => Promise<number>

/** Logs every fault, one line each, and returns the exit code for a wrong call or config. */
export function refuse(log: Log, code: ErrorCode, faults: readonly Fault[]): number {
  // What is wrong in the config file each message says by itself.
  const cure = code === 'CALL_INVALID' ? { cure: ERRORS[code].cure } : {}
  for (const { path, message, line } of faults)
    log.error({ code, path, ...(line === undefined ? {} : { line }), ...cure }, `${path}: ${message}`)
  return 2
}

/** Logs an error that ended a command, and returns the exit code it stands for. */
export function failed(log: Log, thrown: unknown): number {
  const error = asFlowError(thrown)
  if (error.exitCode !== 0) log.error(errorFields(error), error.message)
  return error.exitCode
}
