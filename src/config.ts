/**
 * The config file: its zod schema with defaults and units, `${env:…}` and `${file:…}` references, and every fault at once.
 *
 * The maps under `connectors` are only made flat here; what may stand in them is the affair of each connector, so the caller checks them and
 * lists their faults together with these (`mergeFaults`).
 */
import { readFile } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import { z } from 'zod'
import { type Fault, parseFile, readSmallFile, SECRET_KEY } from './config-file.ts'
import { asBoolean, asNumber, asText, shown, splitList } from './config-values.ts'
import { nearestOf } from './did-you-mean.ts'
import { DURATION_FORM, parseDuration, shownDuration } from './durations.ts'
import type { SaslOptions } from './kafka/port.ts'
import { hideSecret, withoutSecrets } from './log.ts'
import { DEFAULT_RULE, type Rule, RuleConfig, ruleOf } from './rules.ts'
import { topicNames } from './topics.ts'

export type { Fault } from './config-file.ts'

type Plain = string | number | boolean

/** One connector's flat map with dotted keys, references resolved. Numbers that would not read back as written are text. */
export type ConnectorMap = Readonly<Record<string, Plain | readonly Plain[]>>

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
  /** npm package names, and paths made absolute; also where other parts of the file are wrong. */
  readonly plugins: readonly string[]
  /** `tls.ca` as PEM text; also where other parts of the file are wrong. */
  readonly ca?: string
  /** Also where other parts of the file are wrong; absent where it is wrong itself. */
  readonly http?: ColloquyConfig['http']
  /** Line of a dotted path; of its nearest parent where it is not in the file. */
  lineOf(path: string): number | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

const whole = (min: number, max: number) => {
  const takes = `takes a whole number from ${min} to ${max} in decimal digits`
  return z.preprocess(asNumber, z.int(takes).min(min, takes).max(max, takes))
}
const yesNo = z.preprocess(asBoolean, z.boolean('takes true or false'))
const words = () => z.preprocess(asText, z.string('takes text').min(1, 'takes text that is not empty'))
/** A map with these keys and no others. */
const section = <S extends z.core.$ZodLooseShape>(shape: S) =>
  z.strictObject(shape, {
    error: issue => (issue.code === 'invalid_type' ? `takes a map with the keys ${Object.keys(shape).join(', ')}` : undefined),
  })

const duration = (minMs: number, maxMs: number) => {
  const takes = `takes ${DURATION_FORM}; from ${shownDuration(minMs)} to ${shownDuration(maxMs)}`
  return z.preprocess(
    value => (typeof value === 'string' ? (parseDuration(value) ?? value) : String(value)),
    z.number(takes).min(minMs, takes).max(maxMs, takes),
  )
}

const Broker = z.preprocess(
  asText,
  z
    .string('takes host:port')
    .regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:/@,]+):\d{1,5}$/, 'takes host:port')
    .refine(broker => {
      const port = Number(broker.slice(broker.lastIndexOf(':') + 1))
      return port >= 1 && port <= 65_535
    }, 'takes host:port, the port from 1 to 65535'),
)
const Brokers = z.preprocess(
  value => (typeof value === 'string' ? splitList(value) : value),
  z.array(Broker, 'takes a list of host:port').min(1, 'takes at least one host:port'),
)

const Tls = section({
  ca: words().optional().describe('Certificates to trust, PEM text or the path of a PEM file'),
  cert: words().optional().describe('Our certificate, PEM text or the path of a PEM file'),
  key: words().optional().meta({ secret: true }).describe('Its key, PEM text or the path of a PEM file'),
})

const Trust = section({
  ca: words()
    .optional()
    .describe('Certificates to trust beside the usual ones, of vendors and registry: PEM text or the path of a PEM file'),
})

const Login = {
  username: words().describe('User name'),
  password: words().meta({ secret: true }).describe('Password'),
}

const OAuth = section({
  mechanism: z.literal('oauthbearer'),
  token: words().optional().meta({ secret: true }).describe('The bearer token'),
  tokenFile: words().optional().describe('File that holds the token; read again whenever Kafka asks for one'),
})

const Sasl = z.discriminatedUnion(
  'mechanism',
  [
    section({ mechanism: z.literal('plain'), ...Login }),
    section({ mechanism: z.literal('scram-sha-256'), ...Login }),
    section({ mechanism: z.literal('scram-sha-512'), ...Login }),
    OAuth.refine(sasl => (sasl.token === undefined) !== (sasl.tokenFile === undefined), 'takes one of token and tokenFile'),
  ],
  'takes plain, scram-sha-256, scram-sha-512 or oauthbearer',
)

const Kafka = section({
  brokers: Brokers.describe('host:port of one or more brokers, as a list or a comma list'),
  clientId: words().default('colloquy').describe('Name that the brokers see'),
  ssl: z
    .union([yesNo, Tls], 'takes true, or certificates: {ca, cert, key}')
    .default(false)
    .describe('true for TLS with the system certificates'),
  sasl: Sasl.optional().describe('How to log in'),
})

/** An address below which paths are asked for. */
const address = (credentials: string) =>
  z
    .url({ protocol: /^https?$/, error: 'takes an http or https address' })
    .refine(url => !URL.canParse(url) || new URL(url).username === '', `takes an address without credentials${credentials}`)
    .refine(
      url => !URL.canParse(url) || (new URL(url).search === '' && new URL(url).hash === ''),
      'takes an address without ? and #',
    )
    .transform(url => url.replace(/\/+$/, ''))

const Registry = section({
  url: address(': they go to registry.auth').describe('Address of the schema registry; it may carry a path'),
  auth: section(Login).optional().describe('Basic authentication'),
})

/** Kafka's limit for the name of a topic. */
const LONGEST_TOPIC = 249
const LONGEST_PREFIX = LONGEST_TOPIC - Math.max(...Object.values(topicNames('')).map(name => name.length))

const Topics = section({
  prefix: z
    .preprocess(
      asText,
      z
        .string('takes text')
        .regex(/^[A-Za-z0-9._-]+$/, 'takes letters, digits, dots, dashes and underscores')
        .max(
          LONGEST_PREFIX,
          `takes ${LONGEST_PREFIX} characters at most, as Kafka takes topic names of ${LONGEST_TOPIC} characters`,
        ),
    )
    .default('colloquy')
    .describe('What every topic name begins with'),
  partitions: whole(1, 10_000).default(6).describe('Fixed for the life of the topics: it decides where a bot lives'),
  replicationFactor: whole(1, 32_767).nullable().default(null).describe("Absent: the broker's default"),
  create: yesNo.default(true).describe('false where topics are made by others'),
})

const HOST_NAMES = 'takes a list of host names without ports, or text with commas'

const Http = section({
  host: words().default('127.0.0.1').describe('Address to listen on; 0.0.0.0 for all'),
  port: whole(0, 65_535).default(8083).describe('0 takes a free one and logs it'),
  token: z
    .preprocess(
      asText,
      z
        .string('takes text: set the variable or file that it comes from, or take the key away')
        .regex(/^[\x21-\x7e]+$/, 'takes letters, digits and signs of ASCII, without blanks'),
    )
    .optional()
    .meta({ secret: true })
    .describe('What clients show as a bearer token, or as the password of Basic authentication; needed beyond the loopback'),
  names: z
    .preprocess(
      value => (typeof value === 'string' ? splitList(value) : value),
      z
        .array(
          z.string('takes host names').regex(/^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i, 'takes host names without a port'),
          HOST_NAMES,
        )
        .min(1, HOST_NAMES),
    )
    .optional()
    .describe('Host names that requests may carry beside those of the loopback, where there is no token'),
})

const kept = (what: string) => duration(86_400_000, 3_153_600_000_000).nullable().default(null).describe(what)
const TIERS = ['minutes', 'hours', 'days'] as const

const RETENTION_FORM =
  'takes a map with the keys minutes, hours and days, such as { minutes: 14d, hours: 400d, days: 5y }; a single duration, which said how far back everything was kept, is days'

const Retention = z
  .strictObject(
    {
      minutes: kept('How far back minutes are kept; what is older is rolled up to hours. Absent: the default of the aggregator'),
      hours: kept('How far back hours are kept; what is older is rolled up to days. Absent: the default of the aggregator'),
      days: kept('How far back days are kept; what is older is not counted. Absent: the default of the aggregator'),
    },
    { error: issue => (issue.code === 'invalid_type' ? RETENTION_FORM : undefined) },
  )
  .check(({ value, issues }) => {
    for (const [i, coarse] of TIERS.entries()) {
      const fine = TIERS.slice(0, i).findLast(tier => value[tier] !== null)
      if (fine === undefined || value[coarse] === null || (value[fine] ?? 0) <= value[coarse]) continue
      issues.push({ code: 'custom', input: value[coarse], path: [coarse], message: `must not be less than ${fine}` })
    }
  })

const Aggregator = section({
  groupId: words().optional().describe('Consumer group of the aggregators. Default: <prefix>-aggregator'),
  retention: Retention.default({ minutes: null, hours: null, days: null }).describe(
    'How far back minutes, hours and days are kept, none longer than the next',
  ),
  sessionTimeout: duration(1_000, 1_800_000)
    .nullable()
    .default(null)
    .describe(
      'After so long without a sign of life a process loses its partitions to others. Absent: the default of the aggregator',
    ),
  includeTest: yesNo
    .default(false)
    .describe('Whether sessions of developers and tests (is_test) count in series and counters; false leaves them out'),
  maxSeries: whole(1, 1_000_000)
    .nullable()
    .default(null)
    .describe(
      'Most series of an account, at least one a partition; what is beyond counts in series of "other". Absent: the default of the aggregator, 10000',
    ),
})

const ADDRESSES = 'takes a list of http or https addresses, or text with commas'
const ZONE = 'takes the IANA name of a time zone, such as America/Bogota'
const zone = z.string(ZONE).refine(isZone, ZONE)

const Alertmanager = section({
  urls: z
    .preprocess(
      value => (typeof value === 'string' ? splitList(value) : value),
      z.array(address(': they go to alerts.alertmanager.auth'), ADDRESSES).min(1, ADDRESSES),
    )
    .describe('Addresses of the Alertmanagers (v2 API), each with its route prefix; all of them are told'),
  auth: z
    .union(
      [section(Login), section({ token: words().meta({ secret: true }).describe('Bearer token') })],
      'takes {username, password} or {token}',
    )
    .optional()
    .describe('How to log in, the same for all'),
})

/** A rule's name is a label in Prometheus and Alertmanager, and part of URLs. */
const RULE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const RULE_NAMES =
  'the name of a rule takes letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 64 characters at most'

const Alerts = section({
  alertmanager: Alertmanager.optional().describe(
    'Who is told. Absent: alerts are on the topic, in /v1/alerts and in the metrics only',
  ),
  externalUrl: address('')
    .optional()
    .describe('Address at which people reach this product, for the links of alerts. Default: the address that it listens on'),
  timezone: zone.default('UTC').describe('Time zone in which hours of the week are counted'),
  timezones: z
    .record(z.string(), zone, 'takes a map: an account, and its time zone')
    .default({})
    .describe('The time zone of single accounts, by account'),
  groupId: words().optional().describe('Consumer group of the alerters. Default: <prefix>-alerter'),
  sessionTimeout: duration(1_000, 1_800_000)
    .nullable()
    .default(null)
    .describe(
      'After so long without a sign of life a process loses its share of the alerts to others. Absent: the default of the alerter',
    ),
  rules: z
    .record(z.string().regex(RULE_NAME, RULE_NAMES), RuleConfig, 'takes a map: the name of each rule, and its keys below')
    .optional()
    .describe('One map a rule, by name. Absent: the rule agent-transfer-spike; {}: none'),
})

function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== ''
  } catch {
    return false
  }
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const

const LogSettings = section({
  level: z
    .enum(LEVELS, `takes one of ${LEVELS.join(', ')}`)
    .default('info')
    .describe('Least level that is written'),
  summary: yesNo.default(true).describe('Whether each connector has a line a minute that says what was read, at level info'),
})

const State = section({
  dir: words()
    .optional()
    .describe(
      'Folder in which aggregator and server keep what they have read, each in a subfolder of its own, so that a start reads only what came since. Absent: they read their topics at each start',
    ),
})

/** The file. Key order is the order of the reference. */
export const ConfigFile = section({
  kafka: Kafka,
  registry: Registry,
  topics: Topics.prefault({}),
  http: Http.prefault({}),
  state: State.prefault({}),
  tls: Trust.prefault({}),
  plugins: z
    .array(words(), 'takes a list of npm packages and paths')
    .default([])
    .describe('npm packages or paths of connectors beside the built-in ones'),
  connectors: z.unknown().optional().describe('One flat map a connector, as in Kafka Connect'),
  aggregator: Aggregator.prefault({}),
  alerts: Alerts.prefault({}),
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
  /** `dir`: absolute path of the folder for the state of roles; absent: none. */
  readonly state: { readonly dir?: string }
  /** Certificates to trust beside the usual ones, PEM text. For vendors and registry; Kafka has its own. */
  readonly tls: { readonly ca?: string }
  /** npm package names, and paths made absolute. */
  readonly plugins: readonly string[]
  readonly connectors: Readonly<Record<string, ConnectorMap>>
  /** What the file does not say is the aggregator's to decide. */
  readonly aggregator: {
    readonly groupId: string
    readonly retention: { readonly minutesMs?: number; readonly hoursMs?: number; readonly daysMs?: number }
    readonly sessionTimeoutMs?: number
    readonly includeTest: boolean
    readonly maxSeries?: number
  }
  readonly alerts: {
    readonly alertmanager?: {
      readonly urls: readonly string[]
      readonly auth?: { readonly username: string; readonly password: string } | { readonly token: string } | undefined
    }
    readonly externalUrl?: string
    readonly timezone: string
    readonly timezones: Readonly<Record<string, string>>
    readonly groupId: string
    readonly sessionTimeoutMs?: number
    /** The rules in force, in the order of the file. */
    readonly rules: readonly Rule[]
  }
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error'; readonly summary: boolean }
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
  state: Object.keys(State.shape),
  tls: Object.keys(Trust.shape),
  aggregator: Object.keys(Aggregator.shape),
  alerts: Object.keys(Alerts.shape),
  'alerts.rules.*': Object.keys(RuleConfig.shape),
  'alerts.alertmanager': Object.keys(Alertmanager.shape),
  'alerts.alertmanager.auth': [...Object.keys(Login), 'token'],
  log: Object.keys(LogSettings.shape),
}

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
  const nothing = { connectors: {}, connectorsAsWritten: {}, plugins: [], lineOf: () => undefined }
  let text: string
  try {
    text = readSmallFile(file)
  } catch (error) {
    return { ok: false, faults: [{ path, message: `cannot be read: ${(error as Error).message}` }], ...nothing }
  }

  const { values, faults: yamlFaults, lineOf } = parseFile(text, path)
  if (values === undefined) return { ok: false, faults: yamlFaults, ...nothing }
  // A section whose entries are all commented out is null; so is a file.
  if (values !== null && !isRecord(values))
    return { ok: false, faults: [{ path, message: 'takes a map of sections such as kafka and connectors', line: 1 }], ...nothing }
  const written = Object.fromEntries(Object.entries(values ?? {}).filter(([, value]) => value !== null))

  const faults: Fault[] = [...yamlFaults]
  const report: Report = (at, message) => {
    const dotted = at.join('.')
    const place = dotted === '' ? path : at.map(key => shown(String(key))).join('.')
    if (faults.some(fault => fault.path === place)) return
    const line = lineOf(dotted)
    faults.push({ path: place, message: withoutSecrets(message), ...(line === undefined ? {} : { line }) })
  }

  const folder = dirname(file)
  const resolved = resolveReferences(written, [], { env, folder, report })
  hideSecrets(resolved)
  const connectorsAsWritten = flatMaps(connectorsIn(written), () => {})
  const connectors = flatMaps(connectorsIn(resolved), report)
  const { kafka, tls } = resolved as Record<string, unknown>
  readCertificates(isRecord(kafka) ? kafka['ssl'] : undefined, ['kafka', 'ssl'], folder, report)
  readCertificates(tls, ['tls'], folder, report)

  const parsed = ConfigFile.safeParse(resolved)
  if (!parsed.success) for (const issue of parsed.error.issues) reportIssue(issue, [], resolved, report)
  else reportBudget(parsed.data, report)
  const plugins = pluginsIn(resolved, folder)
  const ca = isRecord(tls) && typeof tls['ca'] === 'string' ? { ca: tls['ca'] } : {}
  const http = ConfigFile.shape.http.safeParse((resolved as Record<string, unknown>)['http'])
  const found = { connectors, connectorsAsWritten, plugins, ...ca, ...(http.success ? { http: http.data } : {}), lineOf }
  if (!parsed.success || faults.length > 0) return { ok: false, faults: faults.toSorted(byLine), ...found }
  return { ok: true, config: configOf(parsed.data, file, connectors, plugins), ...found }
}

/** Each partition has a share of the budget of series, of at least one. */
function reportBudget({ aggregator: { maxSeries }, topics: { partitions } }: z.output<typeof ConfigFile>, report: Report): void {
  if (maxSeries !== null && maxSeries < partitions)
    report(
      ['aggregator', 'maxSeries'],
      `is less than topics.partitions, ${partitions}: each partition needs at least one series of an account`,
    )
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
  plugins: readonly string[],
): ColloquyConfig {
  const { kafka, registry, topics, http, state, tls, aggregator, alerts, log } = data
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
    state: state.dir === undefined ? {} : { dir: resolve(folder, state.dir) },
    tls: withoutUndefined(tls),
    plugins,
    connectors,
    aggregator: {
      includeTest: aggregator.includeTest,
      groupId: aggregator.groupId ?? `${topics.prefix}-aggregator`,
      retention: retentionOf(aggregator.retention),
      ...(aggregator.sessionTimeout === null ? {} : { sessionTimeoutMs: aggregator.sessionTimeout }),
      ...(aggregator.maxSeries === null ? {} : { maxSeries: aggregator.maxSeries }),
    },
    alerts: {
      ...(alerts.alertmanager === undefined ? {} : { alertmanager: alerts.alertmanager }),
      ...(alerts.externalUrl === undefined ? {} : { externalUrl: alerts.externalUrl }),
      timezone: alerts.timezone,
      timezones: alerts.timezones,
      groupId: alerts.groupId ?? `${topics.prefix}-alerter`,
      ...(alerts.sessionTimeout === null ? {} : { sessionTimeoutMs: alerts.sessionTimeout }),
      rules: alerts.rules === undefined ? [DEFAULT_RULE] : Object.entries(alerts.rules).map(([name, rule]) => ruleOf(name, rule)),
    },
    log,
  }
}

function retentionOf({ minutes, hours, days }: z.output<typeof Retention>): ColloquyConfig['aggregator']['retention'] {
  return {
    ...(minutes === null ? {} : { minutesMs: minutes }),
    ...(hours === null ? {} : { hoursMs: hours }),
    ...(days === null ? {} : { daysMs: days }),
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
 * One connector's map with its references resolved, as those of the file are. What they stand for is hidden from the log.
 *
 * @param folder Where relative paths of `${file:…}` begin: that of the config file.
 * @returns `faults`: by key, what cannot be resolved, in words without values.
 */
export function resolveMap(
  written: ConnectorMap,
  source: { readonly env: Environment; readonly folder: string },
): { readonly map: ConnectorMap; readonly faults: ReadonlyMap<string, string> } {
  const faults = new Map<string, string>()
  const report: Report = ([key = ''], message) => {
    if (!faults.has(String(key))) faults.set(String(key), withoutSecrets(message))
  }
  const map = resolveReferences(written, [], { ...source, report }) as ConnectorMap
  hideSecrets(map)
  return { map, faults }
}

/** `${provider:…}` in any string value. What it stands for is hidden from the log, whatever it is. */
function resolveReferences(value: unknown, at: Path, source: { env: Environment; folder: string; report: Report }): unknown {
  if (Array.isArray(value)) return value.map((each, index) => resolveReferences(each, [...at, index], source))
  if (isRecord(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, resolveReferences(each, [...at, name], source)]))
  }
  if (typeof value !== 'string') return value
  const faults = new Set<string>()
  const resolved = value.replace(/\$\{(?!\})(?:([A-Za-z]\w*):([^}]*?)\})?/g, (reference, provider?: string, name = '') => {
    try {
      const found = referred(provider, name.trim(), source)
      hideSecret(found)
      return found
    } catch (error) {
      faults.add((error as Error).message)
      return reference
    }
  })
  if (faults.size > 0) source.report(at, [...faults].join('; '))
  return resolved
}

/** @throws Error with a sentence for a person. */
function referred(provider: string | undefined, name: string, source: { env: Environment; folder: string }): string {
  if (provider === undefined) throw new Error('${ begins a reference: write ${env:NAME} or ${file:PATH}, with the brace closed')
  if (provider !== 'env' && provider !== 'file')
    throw new Error(`nothing resolves \${${shown(provider)}:…}: env and file are known`)
  if (name === '')
    throw new Error(`a reference names ${provider === 'env' ? 'a variable: write ${env:NAME}' : 'a file: write ${file:PATH}'}`)
  if (name.includes('${')) throw new Error('a reference cannot stand inside another')
  if (provider === 'env') {
    const found = Object.hasOwn(source.env, name) ? source.env[name] : undefined
    if (found === undefined) throw new Error(`the environment has no ${shown(name)}`)
    return found
  }
  try {
    return readSmallFile(resolve(source.folder, name)).trim()
  } catch (error) {
    throw new Error(`the file ${shown(name)} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function hideSecrets(value: unknown, name = ''): void {
  if (Array.isArray(value)) for (const each of value) hideSecrets(each, name)
  else if (isRecord(value)) for (const [key, each] of Object.entries(value)) hideSecrets(each, key)
  else if ((typeof value === 'string' || typeof value === 'number') && SECRET_KEY.test(name)) hideSecret(String(value))
}

/** Puts the text of PEM files in the place of their paths. */
function readCertificates(section: unknown, at: Path, folder: string, report: Report): void {
  if (!isRecord(section)) return
  for (const part of ['ca', 'cert', 'key'] as const) {
    const value = section[part]
    if (typeof value !== 'string' || value === '' || value.includes('-----BEGIN')) continue
    try {
      const pem = readSmallFile(isAbsolute(value) ? value : resolve(folder, value))
      if (pem.includes('-----BEGIN')) section[part] = pem
      else report([...at, part], 'names a file that holds no PEM text')
      if (part === 'key') hideSecret(pem)
    } catch (error) {
      report([...at, part], `takes PEM text or the path of a PEM file: ${(error as Error).message}`)
    }
  }
}

function connectorsIn(value: unknown): unknown {
  return isRecord(value) ? value['connectors'] : undefined
}

/** The strings of the list `plugins`, paths made absolute; what is no list of strings is the schema's to refuse. */
function pluginsIn(value: unknown, folder: string): string[] {
  const plugins = isRecord(value) ? value['plugins'] : undefined
  if (!Array.isArray(plugins)) return []
  return (plugins as unknown[])
    .filter(each => typeof each === 'string')
    .filter(each => each !== '')
    .map(each => (/^\.{0,2}\//.test(each) ? resolve(folder, each) : each))
}

/** Names stand in topics' keys and in transactional ids, joined by `/`, and in URLs. */
export const CONNECTOR_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
export const CONNECTOR_NAMES =
  'a connector name takes letters, digits, dots, dashes and underscores, begins with a letter or digit, and has 128 characters at most'

/** Each connector as one flat map of plain values and lists of them. Reports what cannot be made one. */
function flatMaps(value: unknown, report: Report): Record<string, ConnectorMap> {
  // Without a prototype, so that a connector or key by the name of `__proto__` is one like others.
  const maps = Object.create(null) as Record<string, ConnectorMap>
  if (value === undefined) return maps
  if (!isRecord(value)) {
    report(['connectors'], 'takes a map: the name of each connector, and its keys below')
    return maps
  }
  for (const [name, entries] of Object.entries(value)) {
    const at = ['connectors', name]
    if (!CONNECTOR_NAME.test(name)) report(at, CONNECTOR_NAMES)
    if (!isRecord(entries)) {
      report(at, 'takes a flat map of keys such as connector.class')
      continue
    }
    const map = Object.create(null) as Record<string, Plain | readonly Plain[]>
    for (const [key, entry] of Object.entries(entries)) {
      const place = [...at, key]
      if (isPlain(entry)) map[key] = entry
      else if (entry === null) report(place, 'has no value: give it one, or take the key away')
      else if (Array.isArray(entry)) {
        if (entry.every(isPlain)) map[key] = entry
        else report(place, 'takes a list of plain values: text, numbers, true or false')
      } else {
        const [first = '…'] = isRecord(entry) ? Object.keys(entry) : []
        // Below a secret's key, what was read as a key may be the secret.
        const inner = SECRET_KEY.test(key) ? '…' : first
        report(place, `is a map, where keys are flat: write it as ${shown(key)}.${shown(inner)}`)
      }
    }
    maps[name] = map
  }
  return maps
}

const isPlain = (value: unknown): value is Plain =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'

function reportIssue(issue: z.core.$ZodIssue, above: Path, input: unknown, report: Report): void {
  const at = [...above, ...(issue.path as Path)]
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) report([...at, key], `is not a key of the config${hintFor(key, at.join('.'))}`)
    return
  }
  if (issue.code === 'invalid_key') {
    report(at, issue.issues[0]?.message ?? issue.message)
    return
  }
  if (issue.code === 'invalid_union') {
    // The branch that fits best: the one that did not fail on the value as a whole.
    const branch = issue.errors.find(
      issues => issues.length > 0 && issues.every(each => each.path.length > 0 || each.code === 'unrecognized_keys'),
    )
    if (branch) for (const each of branch) reportIssue(each, at, input, report)
    else report(at, isMissing(input, at) ? 'is required' : issue.message)
    return
  }
  report(at, isMissing(input, at) ? 'is required' : sentence(issue.message))
}

/** Not an item of a list that the schema has made of text. */
function isMissing(input: unknown, at: Path): boolean {
  const parent = valueAt(input, at.slice(0, -1))
  return valueAt(input, at) === undefined && (parent === undefined || isRecord(parent))
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
  const known = SECTIONS[section.replace(/^alerts\.rules\.[^.]+$/, 'alerts.rules.*')] ?? []
  const nearest = nearestOf(key, known)
  if (nearest !== undefined) return `; did you mean ${nearest}?`
  const home = Object.entries(SECTIONS).find(([, keys]) => keys.includes(key))
  if (home && home[0] !== section) return home[0] === '' ? `; ${key} stands at the top of the file` : `; it belongs to ${home[0]}`
  return known.length === 0 ? '' : `; known here: ${known.join(', ')}`
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function withoutUndefined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as never
}
