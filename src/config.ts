/**
 * The config file: its zod schema with defaults and units, `${env:…}` and `${file:…}` references, and every fault at once.
 *
 * The maps under `connectors` are only made flat here; what may stand in them is the affair of each connector, so the caller checks them and
 * lists their faults together with these (`mergeFaults`).
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'
import { nearestOf } from './did-you-mean.ts'
import type { SaslOptions } from './kafka/port.ts'
import { hideSecret, withoutSecrets } from './log.ts'

/** Something wrong in the file. `path` is dotted, as in the file; for the file as a whole it is the file's name. Lines count from 1. */
export interface Fault {
  readonly path: string
  readonly message: string
  readonly line?: number
}

/** One connector's flat map with dotted keys, references resolved. Lists are comma lists; numbers that would not read back as written are text. */
export type ConnectorMap = Readonly<Record<string, string | number | boolean>>

export type LoadedConfig = (
  | { readonly ok: true; readonly config: ColloquyConfig }
  | {
      readonly ok: false
      readonly faults: readonly Fault[]
    }
) & {
  /** Also where other parts of the file are wrong. A reference that could not be resolved stands as it was written. */
  readonly connectors: Readonly<Record<string, ConnectorMap>>
  /** The same maps with their references unresolved: the form that may be shown and stored. */
  readonly connectorsAsWritten: Readonly<Record<string, ConnectorMap>>
  /** Line of a dotted path; of its nearest parent where it is not in the file. */
  lineOf(path: string): number | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)$/
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Text where a number or a boolean stands is read as one: what comes from the environment is always text. */
const asNumber = (value: unknown) => (typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value.trim()) ? Number(value) : value)
const asBoolean = (value: unknown) => (value === 'true' ? true : value === 'false' ? false : value)
const whole = (min: number, max: number) => z.preprocess(asNumber, z.int().min(min).max(max))
const yesNo = z.preprocess(asBoolean, z.boolean())

const Duration = z
  .preprocess(value => {
    const text = typeof value === 'number' ? `${value}ms` : typeof value === 'string' ? value.trim() : ''
    const [, count, unit] = DURATION.exec(/^\d+$/.test(text) ? `${text}ms` : text) ?? []
    return count === undefined || unit === undefined ? value : Math.round(Number(count) * (UNIT_MS[unit] ?? 1))
  }, z.number('takes a duration such as 15m, 24h or 90d, or milliseconds'))
  .refine(ms => ms > 0, 'takes a duration above zero')

const Brokers = z.preprocess(
  value =>
    typeof value === 'string'
      ? value
          .split(',')
          .map(each => each.trim())
          .filter(Boolean)
      : value,
  z.array(z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/@]+):\d{1,5}$/, 'takes host:port')).min(1, 'takes at least one host:port'),
)

const Tls = z.strictObject({
  ca: z.string().min(1).optional().describe('Certificates to trust, PEM text or the path of a PEM file'),
  cert: z.string().min(1).optional().describe('Our certificate, PEM text or the path of a PEM file'),
  key: z.string().min(1).optional().meta({ secret: true }).describe('Its key, PEM text or the path of a PEM file'),
})

const Login = {
  username: z.string().min(1).describe('User name'),
  password: z.string().min(1).meta({ secret: true }).describe('Password'),
}

const OAuth = z.strictObject({
  mechanism: z.literal('oauthbearer'),
  token: z.string().min(1).optional().meta({ secret: true }).describe('The bearer token'),
  tokenFile: z.string().min(1).optional().describe('File that holds the token; read again whenever Kafka asks for one'),
})

const Sasl = z.discriminatedUnion(
  'mechanism',
  [
    z.strictObject({ mechanism: z.literal('plain'), ...Login }),
    z.strictObject({ mechanism: z.literal('scram-sha-256'), ...Login }),
    z.strictObject({ mechanism: z.literal('scram-sha-512'), ...Login }),
    OAuth.refine(sasl => (sasl.token === undefined) !== (sasl.tokenFile === undefined), 'takes one of token and tokenFile'),
  ],
  'takes plain, scram-sha-256, scram-sha-512 or oauthbearer',
)

const Kafka = z.strictObject({
  brokers: Brokers.describe('host:port of one or more brokers, as a list or a comma list'),
  clientId: z.string().min(1).default('colloquy').describe('Name that the brokers see'),
  ssl: z
    .union([yesNo, Tls], 'takes true, or certificates: {ca, cert, key}')
    .default(false)
    .describe('true for TLS with the system certificates'),
  sasl: Sasl.optional().describe('How to log in'),
})

const Registry = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'takes an http or https address' })
    .refine(
      url => !URL.canParse(url) || new URL(url).username === '',
      'takes an address without credentials: they go to registry.auth',
    )
    .transform(url => url.replace(/\/+$/, ''))
    .describe('Address of the schema registry; it may carry a path'),
  auth: z.strictObject(Login).optional().describe('Basic authentication'),
})

const Topics = z.strictObject({
  prefix: z
    .string()
    .max(200)
    .regex(/^[A-Za-z0-9._-]+$/, 'takes letters, digits, dots, dashes and underscores')
    .default('colloquy')
    .describe('What every topic name begins with'),
  partitions: whole(1, 10_000).default(6).describe('Fixed for the life of the topics: it decides where a bot lives'),
  replicationFactor: whole(1, 32_767).nullable().default(null).describe("Absent: the broker's default"),
  create: yesNo.default(true).describe('false where topics are made by others'),
})

const Http = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  port: whole(0, 65_535).default(8083).describe('0 takes a free one and logs it'),
  token: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'takes letters, digits and signs of ASCII, without blanks')
    .optional()
    .meta({ secret: true })
    .describe('What clients show as a bearer token, or as the password of Basic authentication; needed beyond the loopback'),
  names: z
    .preprocess(
      value => (typeof value === 'string' ? value.split(',').map(each => each.trim()) : value),
      z.array(z.string().regex(/^[^\s:/@,]+$/, 'takes host names without a port')),
    )
    .optional()
    .describe('Host names that requests may carry beside those of the loopback, where there is no token'),
})

const Aggregator = z.strictObject({
  groupId: z.string().min(1).optional().describe('Consumer group of the aggregators. Default: <prefix>-aggregator'),
  retention: Duration.nullable()
    .default(null)
    .describe('How far back minutes are kept and counted. Absent: the default of the aggregator'),
  sessionTimeout: Duration.nullable()
    .default(null)
    .describe(
      'After so long without a sign of life a process loses its partitions to others. Absent: the default of the aggregator',
    ),
})

const LogSettings = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level that is written'),
})

/** The file. Key order is the order of the reference. */
export const ConfigFile = z.strictObject({
  kafka: Kafka,
  registry: Registry,
  topics: Topics.prefault({}),
  http: Http.prefault({}),
  plugins: z.array(z.string().min(1)).default([]).describe('npm packages or paths of connectors beside the built-in ones'),
  connectors: z.record(z.string(), z.unknown()).default({}).describe('One flat map a connector, as in Kafka Connect'),
  aggregator: Aggregator.prefault({}),
  log: LogSettings.prefault({}),
})

/** The config as the rest of Colloquy takes it: every default in place, durations in milliseconds, references resolved. */
export interface ColloquyConfig {
  /** Absolute path of the file. */
  readonly file: string
  readonly kafka: {
    readonly brokers: readonly string[]
    readonly clientId: string
    readonly ssl: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string }
    readonly sasl?: SaslOptions
  }
  readonly registry: { readonly url: string; readonly auth?: { readonly username: string; readonly password: string } }
  readonly topics: {
    readonly prefix: string
    readonly partitions: number
    readonly replicationFactor: number | null
    readonly create: boolean
  }
  readonly http: {
    readonly host: string
    readonly port: number
    readonly token?: string | undefined
    readonly names?: readonly string[] | undefined
  }
  /** npm package names, and paths made absolute. */
  readonly plugins: readonly string[]
  readonly connectors: Readonly<Record<string, ConnectorMap>>
  /** What the file does not say is the aggregator's to decide. */
  readonly aggregator: { readonly groupId: string; readonly retentionMs?: number; readonly sessionTimeoutMs?: number }
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' }
}

/** The keys of each section, for hints about misspelt ones. */
const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(ConfigFile.shape),
  kafka: Object.keys(Kafka.shape),
  'kafka.ssl': Object.keys(Tls.shape),
  'kafka.sasl': ['mechanism', ...Object.keys(Login), 'token', 'tokenFile'],
  registry: Object.keys(Registry.shape),
  'registry.auth': Object.keys(Login),
  topics: Object.keys(Topics.shape),
  http: Object.keys(Http.shape),
  aggregator: Object.keys(Aggregator.shape),
  log: Object.keys(LogSettings.shape),
}

/** Keys whose values are secrets even when they stand in the file in clear. */
const SECRET_KEY = /(^|\.)(password|secret|token|key)$/i

type Path = readonly (string | number)[]
type Report = (path: Path, message: string) => void

/**
 * Reads and checks a config file. Secrets in it are hidden from the log from here on, also when the file has faults.
 *
 * @param env What `${env:NAME}` reads.
 * @returns All faults of the file at once; a file that is no YAML has only those, each with line and column.
 */
export function loadConfig(path: string, env: Environment): LoadedConfig {
  const file = resolve(path)
  const nothing = { connectors: {}, connectorsAsWritten: {}, lineOf: () => undefined }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return { ok: false, faults: [{ path, message: `cannot be read: ${reasonOf(error)}` }], ...nothing }
  }

  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' })
  if (document.errors.length > 0 || document.warnings.length > 0) {
    const faults = [...document.errors, ...document.warnings].map(error => {
      const { line, col } = lines.linePos(error.pos[0])
      return { path, message: `line ${line}, column ${col}: ${error.message}`, line }
    })
    return { ok: false, faults, ...nothing }
  }
  let written: unknown
  try {
    document.toJS({ maxAliasCount: 100 }) // refuses a file whose aliases multiply without end
    written = toPlain(document.contents, document)
  } catch (error) {
    return { ok: false, faults: [{ path, message: reasonOf(error) }], ...nothing }
  }
  // A section whose entries are all commented out is null; so is a file.
  written ??= {}
  if (!isRecord(written)) return { ok: false, faults: [{ path, message: 'takes a map of sections', line: 1 }], ...nothing }
  written = Object.fromEntries(Object.entries(written).filter(([, value]) => value !== null))

  const lineIndex = new Map<string, number>()
  indexLines(document.contents, [], (at, offset) => lineIndex.set(at.join('.'), lines.linePos(offset).line))
  const lineOf = (at: string): number | undefined => {
    for (let place = at; place !== ''; place = place.slice(0, Math.max(0, place.lastIndexOf('.')))) {
      const line = lineIndex.get(place)
      if (line !== undefined) return line
    }
    return undefined
  }

  const faults: Fault[] = []
  const report: Report = (at, message) => {
    const dotted = at.join('.')
    if (faults.some(fault => fault.path === dotted)) return
    const line = lineOf(dotted)
    faults.push({
      path: dotted === '' ? path : dotted,
      message: withoutSecrets(message),
      ...(line === undefined ? {} : { line }),
    })
  }

  const folder = dirname(file)
  const resolved = resolveReferences(written, [], { env, folder, report })
  hideSecrets(resolved)
  const connectorsAsWritten = flatMaps(connectorsIn(written), () => {})
  const connectors = flatMaps(connectorsIn(resolved), report)
  readCertificates((resolved as Record<string, unknown>)['kafka'], folder, report)

  const parsed = ConfigFile.safeParse(resolved)
  if (!parsed.success) for (const issue of parsed.error.issues) reportIssue(issue, [], resolved, report)
  if (!parsed.success || faults.length > 0) {
    return { ok: false, faults: faults.toSorted(byLine), connectors, connectorsAsWritten, lineOf }
  }
  return { ok: true, config: configOf(parsed.data, file, connectors), connectors, connectorsAsWritten, lineOf }
}

/** Faults of the file and those found elsewhere (in connectors) as one list, by line; a path that has a fault already gets no second one. */
export function mergeFaults(first: readonly Fault[], second: readonly Fault[]): Fault[] {
  const known = new Set(first.map(fault => fault.path))
  return [...first, ...second.filter(fault => !known.has(fault.path))].toSorted(byLine)
}

const byLine = (a: Fault, b: Fault) => (a.line ?? Number.MAX_SAFE_INTEGER) - (b.line ?? Number.MAX_SAFE_INTEGER)

function configOf(
  data: z.output<typeof ConfigFile>,
  file: string,
  connectors: Readonly<Record<string, ConnectorMap>>,
): ColloquyConfig {
  const { kafka, registry, topics, http, aggregator, log } = data
  const folder = dirname(file)
  return {
    file,
    kafka: {
      brokers: kafka.brokers,
      clientId: kafka.clientId,
      ssl: typeof kafka.ssl === 'boolean' ? kafka.ssl : withoutUndefined(kafka.ssl),
      ...(kafka.sasl === undefined ? {} : { sasl: saslOf(kafka.sasl, folder) }),
    },
    registry: { url: registry.url, ...(registry.auth === undefined ? {} : { auth: registry.auth }) },
    topics,
    http,
    plugins: data.plugins.map(each => (/^\.{0,2}\//.test(each) ? resolve(folder, each) : each)),
    connectors,
    aggregator: {
      groupId: aggregator.groupId ?? `${topics.prefix}-aggregator`,
      ...(aggregator.retention === null ? {} : { retentionMs: aggregator.retention }),
      ...(aggregator.sessionTimeout === null ? {} : { sessionTimeoutMs: aggregator.sessionTimeout }),
    },
    log,
  }
}

function saslOf(sasl: z.output<typeof Sasl>, folder: string): SaslOptions {
  if (sasl.mechanism !== 'oauthbearer') return sasl
  const { token, tokenFile } = sasl
  return {
    mechanism: 'oauthbearer',
    token: async () => {
      if (tokenFile === undefined) return token ?? ''
      const fresh = (await readFile(resolve(folder, tokenFile), 'utf8')).trim()
      hideSecret(fresh)
      return fresh
    },
  }
}

/**
 * YAML nodes as plain values. A number that JavaScript would write otherwise than the file does (leading zeros, more digits than a double
 * holds) stays text: it is an id, not a count.
 */
function toPlain(node: Node | null | undefined, document: Document.Parsed): unknown {
  if (node === null || node === undefined) return null
  if (isScalar(node)) {
    if (typeof node.value === 'bigint') return node.source ?? String(node.value)
    if (typeof node.value === 'number' && node.source !== undefined && String(node.value) !== node.source) return node.source
    return node.value
  }
  if (isSeq(node)) return node.items.map(item => toPlain(item as Node, document))
  if (isMap(node)) {
    return Object.fromEntries(node.items.map(pair => [keyText(pair.key), toPlain(pair.value as Node | null, document)]))
  }
  return isAlias(node) ? toPlain(node.resolve(document), document) : null
}

function indexLines(node: Node | null | undefined, at: Path, found: (at: Path, offset: number) => void): void {
  if (isMap(node)) {
    for (const pair of node.items) {
      const place = [...at, keyText(pair.key)]
      const start = isScalar(pair.key) ? pair.key.range?.[0] : undefined
      if (start !== undefined) found(place, start)
      indexLines(pair.value as Node | null, place, found)
    }
  } else if (isSeq(node)) {
    for (const [index, item] of (node.items as Node[]).entries()) {
      if (item?.range) found([...at, index], item.range[0])
      indexLines(item, [...at, index], found)
    }
  }
}

const keyText = (key: unknown): string => (isScalar(key) ? (key.source ?? String(key.value)) : String(key))

/** `${provider:…}` in any string value. What it stands for is hidden from the log, whatever it is. */
function resolveReferences(value: unknown, at: Path, source: { env: Environment; folder: string; report: Report }): unknown {
  if (Array.isArray(value)) return value.map((each, index) => resolveReferences(each, [...at, index], source))
  if (isRecord(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolveReferences(each, [...at, name], source)]))
  }
  if (typeof value !== 'string') return value
  return value.replace(/\$\{([A-Za-z]\w*):([^}]*)\}/g, (reference, provider: string, name: string) => {
    if (provider === 'env') {
      const found = source.env[name]
      if (found === undefined) source.report(at, `the environment has no ${name}`)
      else hideSecret(found)
      return found ?? reference
    }
    if (provider === 'file') {
      try {
        const found = readFileSync(resolve(source.folder, name), 'utf8').trim()
        hideSecret(found)
        return found
      } catch (error) {
        source.report(at, `the file ${name} cannot be read: ${reasonOf(error)}`)
        return reference
      }
    }
    source.report(at, `nothing resolves \${${provider}:…}: env and file are known`)
    return reference
  })
}

function hideSecrets(value: unknown, name = ''): void {
  if (Array.isArray(value)) for (const each of value) hideSecrets(each, name)
  else if (isRecord(value)) for (const [key, each] of Object.entries(value)) hideSecrets(each, key)
  else if ((typeof value === 'string' || typeof value === 'number') && SECRET_KEY.test(name)) hideSecret(String(value))
}

/** Puts the text of PEM files in the place of their paths. */
function readCertificates(kafka: unknown, folder: string, report: Report): void {
  const ssl = isRecord(kafka) ? kafka['ssl'] : undefined
  if (!isRecord(ssl)) return
  for (const part of ['ca', 'cert', 'key'] as const) {
    const value = ssl[part]
    if (typeof value !== 'string' || value === '' || value.includes('-----BEGIN')) continue
    try {
      const pem = readFileSync(isAbsolute(value) ? value : resolve(folder, value), 'utf8')
      if (pem.includes('-----BEGIN')) ssl[part] = pem
      else report(['kafka', 'ssl', part], 'names a file that holds no PEM text')
      if (part === 'key') hideSecret(pem)
    } catch (error) {
      report(['kafka', 'ssl', part], `takes PEM text or the path of a PEM file: ${reasonOf(error)}`)
    }
  }
}

function connectorsIn(value: unknown): unknown {
  return isRecord(value) ? value['connectors'] : undefined
}

/** Each connector as one flat map of scalars. Reports what cannot be made one. */
function flatMaps(value: unknown, report: Report): Record<string, ConnectorMap> {
  const maps: Record<string, ConnectorMap> = {}
  if (!isRecord(value)) return maps
  for (const [name, entries] of Object.entries(value)) {
    const at = ['connectors', name]
    if (name.trim() !== name || name === '' || /\p{Cc}/u.test(name)) {
      report(at, 'a connector name has no control characters, and no blanks around it')
    }
    if (!isRecord(entries)) {
      report(at, 'takes a flat map of keys such as connector.class')
      continue
    }
    const map: Record<string, string | number | boolean> = {}
    for (const [key, entry] of Object.entries(entries)) {
      const place = [...at, key]
      if (typeof entry === 'string' || typeof entry === 'number' || typeof entry === 'boolean') map[key] = entry
      else if (entry === null) report(place, 'has no value')
      else if (Array.isArray(entry)) {
        if (entry.every(each => (typeof each === 'string' && !each.includes(',')) || typeof each === 'number'))
          map[key] = entry.join(',')
        else report(place, 'takes a list of plain values without commas')
      } else {
        const [inner = '…'] = isRecord(entry) ? Object.keys(entry) : []
        report(place, `is a map, where keys are flat: write it as ${key}.${inner}`)
      }
    }
    maps[name] = map
  }
  return maps
}

function reportIssue(issue: z.core.$ZodIssue, above: Path, input: unknown, report: Report): void {
  const at = [...above, ...(issue.path as Path)]
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report([...at, key], `is not a key of the config${hintFor(key, at.join('.'))}`)
    return
  }
  if (issue.code === 'invalid_union') {
    // The branch that fits best: the one that did not fail on the value as a whole.
    const branch = issue.errors.find(
      issues => issues.length > 0 && issues.every(each => each.path.length > 0 || each.code === 'unrecognized_keys'),
    )
    if (branch) for (const each of branch) reportIssue(each, at, input, report)
    else report(at, valueAt(input, at) === undefined ? 'is required' : issue.message)
    return
  }
  report(at, valueAt(input, at) === undefined ? 'is required' : sentence(issue.message))
}

const sentence = (message: string) =>
  message.replace(/^(Invalid input|Invalid string|Invalid option|Too small|Too big): /, '').replace(/^Invalid/, 'invalid')

function valueAt(value: unknown, at: Path): unknown {
  let here = value
  for (const step of at)
    here = isRecord(here) || Array.isArray(here) ? (here as Record<string | number, unknown>)[step] : undefined
  return here
}

function hintFor(key: string, section: string): string {
  const known = SECTIONS[section] ?? []
  const nearest = nearestOf(key, known)
  if (nearest !== undefined) return `; did you mean ${nearest}?`
  const home = Object.entries(SECTIONS).find(([, keys]) => keys.includes(key))
  if (home && home[0] !== section) return home[0] === '' ? `; ${key} stands at the top of the file` : `; it belongs to ${home[0]}`
  return known.length === 0 ? '' : `; known here: ${known.join(', ')}`
}

function reasonOf(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'it may not be read'
  if (code === 'EISDIR') return 'it is a folder'
  return code ?? (error instanceof Error ? error.message : String(error))
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never
}
