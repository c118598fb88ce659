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
  /** A log whose lines all carry these fields; with a level, from there on at that level. */
  child(fields: LogFields, options?: { readonly level?: LogLevel }): Log
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
    ...(error.code === 'BUG' && error.cause instanceof Error ? { stack: error.cause.stack } : {}),
  }
}
