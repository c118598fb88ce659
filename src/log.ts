import { type Logger, pino } from 'pino'
import { framesOf } from './errors.ts'

/**
 * JSON lines on stderr: `time` (ISO, UTC), `level`, `msg`, and where they apply `code` (from `errors.ts`), `connector`, `stream`, `scope`.
 * Fields rather than sentences; never message text, a name, an address or a secret.
 */
export interface Log {
  debug(fields: LogFields, msg: string): void
  info(fields: LogFields, msg: string): void
  warn(fields: LogFields, msg: string): void
  error(fields: LogFields, msg: string): void
  /**
   * A log whose lines all carry these fields. Its loggers are its parent's and what its fields name: `connector.NAME`, `connector.NAME.STREAM` and
   * `task.NAME-NUMBER`.
   */
  child(fields: LogFields, options?: ChildOptions): Log
  /** Levels by logger, shared by all that come of one log. */
  readonly levels: LogLevels
}

export interface ChildOptions {
  /** From there on at that level, with levels of its own. */
  readonly level?: LogLevel
  /** A logger that its lines belong to, such as `aggregator`. */
  readonly logger?: string
}

export type LogFields = Readonly<Record<string, unknown>>

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Registered secrets, each with the forms in which it may stand in a text. */
const secrets = new Map<string, readonly string[]>()

/** Shorter values are not hidden: they would blank half of every line. */
const SHORTEST_SECRET = 6

/**
 * Registers a secret of the config, so that no line can carry it, wherever it came from (a vendor that echoes our token in its answer, say).
 * Hidden are the value itself and how JSON, URLs, forms and Basic authentication write it.
 */
export function hideSecret(value: string): void {
  if (value.length >= SHORTEST_SECRET && !secrets.has(value)) secrets.set(value, formsOf(value))
}

/** The text with every registered secret replaced by `[hidden]`. */
export function withoutSecrets(text: string): string {
  return hidden(text, secrets.values())
}

/** The text with these secrets, in any of their forms, replaced by `[hidden]`. Also short ones: the caller knows that they are secrets. */
export function without(text: string, values: Iterable<string>): string {
  return hidden(text, [...values].filter(Boolean).map(formsOf))
}

/** What overlaps is hidden as one piece, so that of a secret inside another, or one that begins where another ends, no letter is left. */
function hidden(text: string, forms: Iterable<readonly string[]>): string {
  const found: [from: number, until: number][] = []
  for (const each of forms)
    for (const form of each)
      for (let at = text.indexOf(form); at >= 0; at = text.indexOf(form, at + 1)) found.push([at, at + form.length])
  if (found.length === 0) return text
  found.sort(([a], [b]) => a - b)
  let clean = ''
  let shown = 0
  for (const [from, until] of found) {
    if (from >= shown) clean += `${text.slice(shown, from)}[hidden]`
    shown = Math.max(shown, until)
  }
  return clean + text.slice(shown)
}

function formsOf(secret: string): readonly string[] {
  const inJson = (text: string) => JSON.stringify(text).slice(1, -1)
  const inUrl = new URLSearchParams([['', secret.toWellFormed()]]).toString().slice(1)
  const plain = [secret, inUrl, encodeURIComponent(secret.toWellFormed()), encodeURI(secret.toWellFormed())]
  const lower = plain.map(text => text.replace(/%[0-9A-F]{2}/g, hex => hex.toLowerCase()))
  const base64 = secret.length < SHORTEST_SECRET ? [] : inBase64(secret)
  // A line is JSON, and an answer of a vendor in it may be JSON once more, in the habits of other languages: all ASCII, or with slashes escaped.
  const json = [inJson(secret), inAscii(inJson(secret)), inJson(secret).replaceAll('/', '\\/')]
  return [...new Set([...plain, ...lower, ...base64, ...json].flatMap(text => [text, inJson(text), inJson(inJson(text))]))]
}

function inAscii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** The secret as it stands in the base64 of a longer text, such as `user:secret`: at each of three places, without the letters it shares with its neighbours. */
function inBase64(secret: string): string[] {
  const bytes = Buffer.from(secret)
  return [0, 1, 2].flatMap(before => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const from = Math.ceil((before * 8) / 6)
    const until = Math.floor(((before + bytes.length) * 8) / 6)
    const own = text.slice(from, until)
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** The words of Kafka Connect's tools for levels, and what each comes to here. */
export const LEVEL_WORDS = {
  ALL: 'debug',
  TRACE: 'debug',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
  FATAL: 'silent',
  OFF: 'silent',
} as const satisfies Record<string, LogLevel>
export type LevelWord = keyof typeof LEVEL_WORDS

const WEIGHT = { debug: 20, info: 30, warn: 40, error: 50, silent: Infinity } as const satisfies Record<LogLevel, number>
const FIRST_WORD = { debug: 'DEBUG', info: 'INFO', warn: 'WARN', error: 'ERROR', silent: 'OFF' } as const satisfies Record<
  LogLevel,
  LevelWord
>

/** The logger that stands above all others. */
export const ROOT_LOGGER = 'root'

export interface LoggerLevel {
  readonly level: LevelWord
  /** Epoch milliseconds; null: as it was at the start, or as the loggers above it say. */
  readonly changedAtMs: number | null
}

/** Levels by logger. A level holds for its logger and all below it (`connector.acme` for `connector.acme.sessions`) that have none of their own. */
export class LogLevels {
  /** Rises with each change, so that logs may remember what they found. */
  version = 0
  readonly #set = new Map<string, LoggerLevel>()
  /** Loggers that lines belong to, beside those above them. */
  readonly #known = new Set<string>()
  readonly #now: () => number

  constructor(root: LogLevel, now: () => number = Date.now) {
    this.#set.set(ROOT_LOGGER, { level: FIRST_WORD[root], changedAtMs: null })
    this.#now = now
  }

  /** Those with a level of their own, by name. */
  list(): [logger: string, level: LoggerLevel][] {
    return [...this.#set].toSorted(([a], [b]) => (a < b ? -1 : 1))
  }

  /** The level in force; null for a logger that is not known. */
  get(logger: string): LoggerLevel | null {
    const own = this.#set.get(logger)
    if (own !== undefined) return own
    return this.#names().some(each => isWithin(each, logger)) ? { level: this.#levelOf([logger]), changedAtMs: null } : null
  }

  /** @returns the loggers that it holds for, by name: all known ones below this one lose what they had. */
  set(logger: string, level: LevelWord): string[] {
    const below = this.#names().filter(each => isWithin(each, logger))
    for (const each of below) if (each !== ROOT_LOGGER) this.#set.delete(each)
    this.#set.set(logger, { level, changedAtMs: this.#now() })
    this.version += 1
    return [...new Set([logger, ...below])].toSorted()
  }

  /** Least weight of a line that is written. @param loggers Those that the line belongs to, the closest first. */
  leastOf(loggers: readonly string[]): number {
    return WEIGHT[LEVEL_WORDS[this.#levelOf(loggers)]]
  }

  know(logger: string): void {
    this.#known.add(logger)
  }

  #levelOf(loggers: readonly string[]): LevelWord {
    for (const logger of loggers)
      for (let up = logger; up !== ''; up = up.slice(0, Math.max(0, up.lastIndexOf('.')))) {
        const found = this.#set.get(up)
        if (found !== undefined) return found.level
      }
    return this.#set.get(ROOT_LOGGER)?.level ?? 'INFO'
  }

  #names(): string[] {
    return [...new Set([...this.#set.keys(), ...this.#known])]
  }
}

function isWithin(logger: string, above: string): boolean {
  return above === ROOT_LOGGER || logger === above || logger.startsWith(`${above}.`)
}

/** The loggers that a line with these fields belongs to, the closest first. */
function loggersOf({ connector, stream, task }: LogFields): string[] {
  if (typeof connector !== 'string') return []
  return [
    ...(typeof task === 'number' ? [`task.${connector}-${task}`] : []),
    ...(typeof stream === 'string' ? [`connector.${connector}.${stream}`] : []),
    `connector.${connector}`,
  ]
}

/** Writes what the levels of its loggers let through. */
class LevelledLog implements Log {
  readonly levels: LogLevels
  readonly #lines: Logger
  readonly #loggers: readonly string[]
  #least = 0
  #version = -1

  constructor(lines: Logger, levels: LogLevels, loggers: readonly string[]) {
    this.levels = levels
    this.#lines = lines
    this.#loggers = loggers
    for (const logger of loggers) levels.know(logger)
  }

  debug(fields: LogFields, msg: string): void {
    if (this.#writes(WEIGHT.debug)) this.#lines.debug(fields, msg)
  }

  info(fields: LogFields, msg: string): void {
    if (this.#writes(WEIGHT.info)) this.#lines.info(fields, msg)
  }

  warn(fields: LogFields, msg: string): void {
    if (this.#writes(WEIGHT.warn)) this.#lines.warn(fields, msg)
  }

  error(fields: LogFields, msg: string): void {
    if (this.#writes(WEIGHT.error)) this.#lines.error(fields, msg)
  }

  child(fields: LogFields, { level, logger }: ChildOptions = {}): Log {
    const levels = level === undefined ? this.levels : new LogLevels(level)
    const own = [...loggersOf(fields), ...(logger === undefined ? [] : [logger])]
    return new LevelledLog(this.#lines.child(fields), levels, [...own, ...this.#loggers])
  }

  #writes(weight: number): boolean {
    if (this.#version !== this.levels.version) {
      this.#least = this.levels.leastOf(this.#loggers)
      this.#version = this.levels.version
    }
    return weight >= this.#least
  }
}

export function createLog(level: LogLevel = 'info', write: (line: string) => void = line => process.stderr.write(line)): Log {
  const lines = pino(
    {
      level: 'debug',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
    },
    { write: (line: string) => write(withoutSecrets(line)) },
  )
  return new LevelledLog(lines, new LogLevels(level), [])
}

/** A log that writes nothing. */
export const silentLog: Log = createLog('silent', () => {})

/** The fields of an error in a log line. No stack: what a person can put right needs none, and a fault of ours logs its own. */
export function errorFields(error: {
  code?: string
  message: string
  details?: object
  cause?: unknown
  cure?: string
}): LogFields {
  return {
    ...(error.code === undefined ? {} : { code: error.code }),
    ...error.details,
    error: error.message,
    ...(error.cure === undefined ? {} : { cure: error.cure }),
    ...(error.code === 'BUG' && error.cause instanceof Error ? { stack: framesOf(error.cause) } : {}),
  }
}
