import { pino } from 'pino'

/**
 * JSON lines on stderr: `time` (ISO, UTC), `level`, `msg`, and where they apply `code` (from `errors.ts`), `connector`, `stream`, `scope`.
 * Fields rather than sentences; never message text, a name, an address or a secret.
 */
export interface Log {
  debug(fields: LogFields, msg: string): void
  info(fields: LogFields, msg: string): void
  warn(fields: LogFields, msg: string): void
  error(fields: LogFields, msg: string): void
  /** A log whose lines all carry these fields. */
  child(fields: LogFields): Log
}

export type LogFields = Readonly<Record<string, unknown>>

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/**
 * Secrets that were resolved from the config register here, so that no line can carry one, wherever it came from (a vendor that echoes
 * our token in its answer, say). Values shorter than six characters are not hidden: they would blank half of every line.
 */
const secrets = new Set<string>()

export function hideSecret(value: string): void {
  if (value.length < 6) return
  secrets.add(value)
  secrets.add(JSON.stringify(value).slice(1, -1))
}

/** The text with every registered secret replaced by `[hidden]`. */
export function withoutSecrets(text: string): string {
  let clean = text
  for (const secret of secrets) if (clean.includes(secret)) clean = clean.replaceAll(secret, '[hidden]')
  return clean
}

export function createLog(level: LogLevel = 'info', write: (line: string) => void = line => process.stderr.write(line)): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    { write: (line: string) => write(withoutSecrets(line)) },
  )
}

/** A log that writes nothing. */
export const silentLog: Log = createLog('silent', () => {})

/** The fields that tell an error in a log line. No stack: what a person can put right needs none, and a fault of ours logs its own. */
export function errorFields(error: { code?: string; message: string; details?: object; cause?: unknown }): LogFields {
  return {
    ...(error.code === undefined ? {} : { code: error.code }),
    ...error.details,
    error: error.message,
    ...(error.code === 'BUG' && error.cause instanceof Error ? { stack: error.cause.stack } : {}),
  }
}
