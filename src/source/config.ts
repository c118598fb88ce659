/**
 * The config of one connector: a flat map with dotted keys, as in Kafka Connect, split into the keys of every connector (`BaseConfig`) and the vendor's own
 * object. One rule maps the spellings: `accessToken` in code is `access.token` in the file.
 *
 * Values come typed (YAML) or as text (Kafka Connect's REST API, the environment), so text is parsed as the type that the schema expects.
 */
import { z } from 'zod'
import { asBoolean, asNumber, asText, shown, splitList, whatItTakes } from '../config-values.ts'
import { nearestOf } from '../did-you-mean.ts'
import { parseDuration } from '../durations.ts'
import { without } from '../log.ts'
import type { Connector, Quota, Scope } from './contract.ts'
import { EARLIEST_MS, LATEST_MS, time } from './lenient.ts'
import { parsePiiRules, PII_POLICIES, type PiiRules, STANDARD } from './pii.ts'
import { parseTransferRules, type Transfers } from './transfers.ts'

/** The config keys of every connector; null where the file has no value and the manifest or the stream decides. */
export interface BaseConfig {
  readonly connectorClass: string
  readonly tasksMax: number
  /** The customer's account at the vendor; by default the connector's name. */
  readonly account: string
  /** Backfill from here, epoch milliseconds; null: from now. */
  readonly startAtMs: number | null
  readonly pollIntervalMs: number | null
  readonly lookbackMs: number | null
  readonly lookbackIntervalMs: number | null
  readonly hotMs: number | null
  /** Names of the streams to read, each of which the connector has. */
  readonly streams: readonly string[]
  readonly errorsTolerance: 'all' | 'none'
  /** Rules for personal data; null: records are published as the vendor sends them. */
  readonly pii: { readonly rules: PiiRules; readonly key: string | null } | null
  /** What counts as a transfer to a person: the config's rules, else those of the manifest. */
  readonly transfers: Transfers
  readonly quota: {
    readonly perSecond: number | null
    readonly perMinute: number | null
    readonly perHour: number | null
    readonly concurrency: number | null
    readonly gapMs: number | null
  }
}

/** An error: where, as spelled in the file, and what. Never the value of a secret. */
export interface ConfigFault {
  readonly path: string
  readonly message: string
}

/** Five years: a longer span before now reaches back before there was anything to read. */
const LONGEST_MS = 157_680_000_000
const ms = () => z.int().min(1).max(LONGEST_MS).optional()
const limit = () => z.int().min(0).max(LONGEST_MS).optional()

/** Separate from the vendor's schema, so that a vendor cannot change the meaning of these keys. */
const Base = z.object({
  name: z.string().optional().describe("The connector's name, as Kafka Connect's REST API repeats it"),
  connectorClass: z
    .string()
    .min(1)
    .describe('Which connector: a built-in id, an npm package, or a path relative to the config file'),
  tasksMax: z
    .int()
    .min(1)
    .max(1000)
    .default(1)
    .describe('Into how many tasks the source partitions are cut at most; workers share tasks'),
  account: z
    .string()
    .regex(/^[^:|/\s\p{Cc}\p{Cs}]+$/u, "takes a name without ':', '|', '/' or blanks")
    .max(200, 'takes a name of 200 letters or fewer')
    .optional()
    .describe("The customer's account at the vendor, on every record; default: the connector's name"),
  startAt: z
    .string()
    .optional()
    .describe(
      'Backfill from this time (ISO 8601 with a zone, a day in UTC, or a span before the first start, such as now-7d); absent: from now',
    ),
  pollIntervalMs: ms().describe("How often the live edge is read, milliseconds; default: the connector's pace"),
  lookbackMs: limit().describe(
    'How far back rows are read again because they may have changed, milliseconds; default: as the stream needs',
  ),
  lookbackIntervalMs: ms().describe(
    'The longest time between two readings of a row that is older than hot.ms and inside the lookback, milliseconds; default: as the stream needs',
  ),
  hotMs: limit().describe(
    'How young a row must be to be read again at every poll, milliseconds; 0: none; default: as the stream needs. Shortened by itself where the quota asks for it',
  ),
  streams: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Streams to read, a list, or text with commas; default: all that need no extra permission'),
  errorsTolerance: z
    .enum(['all', 'none'])
    .default('all')
    .describe('all: a bad row goes to rejects and its page goes on; none: the task fails'),
  piiPolicy: z
    .enum(PII_POLICIES)
    .default('none')
    .describe("standard: the connector's own rules for personal data, before those of pii.rules; none: no rules but those"),
  piiRules: z
    .array(z.string())
    .optional()
    .describe('Rules for personal data, PATH=ACTION each, such as session.user_id=hash; a list, or text with ; between them'),
  piiKey: z
    .string()
    .min(1)
    .optional()
    .meta({ secret: true })
    .describe(
      'Key of hashes: the same value and key give the same hash, whatever the connector; rejected rows are sealed with it',
    ),
  transferRules: z
    .array(z.string())
    .optional()
    .describe(
      "What means a transfer to a person, SOURCE~REGEX=TYPE each, such as flow~human agent=agent_transferred; a list, or text with ; between them; default: the connector's own, where it has some",
    ),
  quotaPerSecond: limit().describe("Most requests in any second, in place of the connector's figure; 0: no limit"),
  quotaPerMinute: limit().describe("Most requests in any minute, in place of the connector's figure; 0: no limit"),
  quotaPerHour: limit().describe("Most requests in any hour, in place of the connector's figure; 0: no limit"),
  quotaConcurrency: limit().describe("Most requests under way at once, in place of the connector's figure; 0: no limit"),
  quotaGapMs: limit().describe(
    "Least time between the starts of two requests, milliseconds, in place of the connector's figure; 0: none",
  ),
})

/** Whether every connector has the key; spelled as in the file. */
export function isBaseKey(key: string): boolean {
  return Object.keys(Base.shape).some(name => dotted(name) === key)
}

/** `accessToken` → `access.token`. */
export function dotted(key: string): string {
  return key.replace(/[A-Z]/g, letter => `.${letter.toLowerCase()}`)
}

export type ParsedConnectorConfig =
  | { readonly ok: true; readonly base: BaseConfig; readonly config: object; readonly secrets: string[] }
  | { readonly ok: false; readonly faults: ConfigFault[] }

/**
 * Checks the whole map and reports every error at once.
 *
 * @param name The connector's name in the file; paths of errors begin with `connectors.<name>.`.
 * @param flat Dotted keys, references already resolved.
 * @param nowMs Base of spans such as `start.at: now-7d`.
 * @returns `secrets`: the values that must never be shown, for `hideSecret`.
 */
export function parseConnectorConfig(
  name: string,
  flat: Readonly<Record<string, unknown>>,
  connector: Connector,
  nowMs: number = Date.now(),
): ParsedConnectorConfig {
  const fields = fieldsOf(connector)
  const faults: ConfigFault[] = []
  const secrets = new Set<string>()
  const report = (key: string, message: string) =>
    faults.push({ path: ['connectors', name, key].filter(Boolean).join('.'), message })

  const baseInput: Record<string, unknown> = {}
  const vendorInput: Record<string, unknown> = {}
  for (const [key, raw] of Object.entries(flat)) {
    const field = fields.get(key)
    if (field === undefined) {
      report(key, `is not a key of ${connector.manifest.id}${hintFor(key, fields)}`)
      continue
    }
    if (raw === null || raw === undefined) continue
    if (field.secret) {
      for (const one of [raw].flat()) if (typeof one === 'string' || typeof one === 'number') secrets.add(`${one}`)
      const fault = secretFault(raw)
      if (fault !== null) {
        report(key, fault)
        continue
      }
    }
    const given = RULES.has(key) ? rulesIn(raw) : raw
    if (field.base !== undefined) baseInput[field.name] = coerce(given, field.base)
    if (field.vendor !== undefined) vendorInput[field.name] = coerce(given, field.vendor)
  }

  const base = Base.safeParse(baseInput)
  const vendor = safely(connector.config, vendorInput)
  const issues = [...(base.success ? [] : base.error.issues), ...(vendor.success ? [] : vendor.error.issues)]
  const refused = new Set(faults.map(fault => fault.path))
  for (const { key, message } of issues.map(issue => faultOf(issue, fields, baseInput, vendorInput)))
    if (!refused.has(`connectors.${name}.${key}`)) report(key, message)

  const { startAt, streams } = baseInput
  const startAtMs = typeof startAt === 'string' ? startOf(startAt, nowMs) : null
  if (typeof startAt === 'string' && startAtMs === null)
    report('start.at', 'takes a time with a zone, such as 2026-11-01T00:00:00Z, a day, or a span such as now-7d')
  // An earlier time is a placeholder, and would be read in windows for hours; a later one is never reached.
  if (startAtMs !== null && (startAtMs < EARLIEST_MS || startAtMs > LATEST_MS))
    report('start.at', 'takes a time from the year 2000 to 2200')
  const known = Object.keys(connector.streams)
  for (const stream of Array.isArray(streams) ? (streams as unknown[]) : [])
    if (typeof stream === 'string' && !known.includes(stream))
      report('streams', `${shown(stream)} is not a stream of ${connector.manifest.id}, which has ${known.join(', ')}`)
  if (baseInput.account === undefined && !Base.shape.account.safeParse(name).success)
    report('account', "is required, as the connector's name cannot be one: a name without ':', '|', '/' or blanks")
  if (baseInput.name !== undefined && baseInput.name !== name) report('name', `is not ${name}`)

  const pii = base.success ? piiOf(base.data, connector, report) : null
  const transfers = parseTransferRules((base.success && base.data.transferRules) || (connector.manifest.transferRules ?? []))
  for (const fault of transfers.faults) report('transfer.rules', fault)

  if (!base.success || !vendor.success || faults.length > 0) {
    return {
      ok: false,
      faults: distinct(faults).map(fault => ({
        path: fault.path,
        message: without(
          fault.message,
          secrets.values().filter(secret => secret.length >= 4),
        ),
      })),
    }
  }
  const common = base.data
  const optional = connector.manifest.optionalStreams ?? []
  return {
    ok: true,
    base: {
      connectorClass: common.connectorClass,
      tasksMax: common.tasksMax,
      account: common.account ?? name,
      startAtMs,
      pollIntervalMs: common.pollIntervalMs ?? null,
      lookbackMs: common.lookbackMs ?? null,
      lookbackIntervalMs: common.lookbackIntervalMs ?? null,
      hotMs: common.hotMs ?? null,
      streams: common.streams ? [...new Set(common.streams)] : known.filter(stream => !optional.includes(stream)),
      errorsTolerance: common.errorsTolerance,
      pii,
      transfers: transfers.transfers,
      quota: {
        perSecond: common.quotaPerSecond ?? null,
        perMinute: common.quotaPerMinute ?? null,
        perHour: common.quotaPerHour ?? null,
        concurrency: common.quotaConcurrency ?? null,
        gapMs: common.quotaGapMs ?? null,
      },
    },
    config: vendor.data,
    secrets: [...secrets],
  }
}

/** Fields of a derived session that are remembered from its turns. */
const REMEMBERED = ['user_id', 'channel_user_id', 'agent_id', 'agent_name', 'queue', 'attributes'] as const

/** Whether rules hide what a derived session remembers of its turns. */
function hidesThreads(rules: PiiRules): boolean {
  return REMEMBERED.some(field => rules.action('session', field) !== 'keep')
}

/** Lists of rules: as text they are separated by `;`, because names of attributes and patterns may contain commas. */
const RULES = new Set(['pii.rules', 'transfer.rules'])

function rulesIn(raw: unknown): unknown {
  return typeof raw === 'string' ? raw.split(';') : raw
}

/** The effective rules: those of the policy, then the config's own. */
function piiOf(
  { piiPolicy, piiRules, piiKey }: z.output<typeof Base>,
  { manifest, streams }: Connector,
  report: (key: string, message: string) => void,
): BaseConfig['pii'] {
  const own = (piiRules ?? []).filter(rule => rule.trim() !== '')
  for (const fault of parsePiiRules(own).faults) report('pii.rules', fault)
  const standard = piiPolicy === 'standard' ? [...STANDARD, ...(manifest.pii?.standard ?? [])] : []
  const { rules } = parsePiiRules([...standard, ...own])
  if (rules.hashes && piiKey === undefined)
    report('pii.key', 'is required, because rules hash: a long secret, kept for as long as hashes must stay the same')
  else if (piiKey === undefined && hidesThreads(rules) && Object.values(streams).some(stream => stream.derive !== undefined))
    report(
      'pii.key',
      'is required, because sessions are made of turns, and what is remembered of their persons is sealed with it',
    )
  const isEmpty = standard.length + own.length === 0
  if (isEmpty && piiKey !== undefined) report('pii.key', 'has no effect without pii.rules or pii.policy')
  return isEmpty ? null : { rules, key: piiKey ?? null }
}

/**
 * The time of a `start.at`; null: invalid. A span before now counts from each start of the process, which is harmless: a source partition keeps its first start
 * time, and a later one changes nothing.
 */
function startOf(text: string, nowMs: number): number | null {
  const [, span] = /^now-(.+)$/.exec(text) ?? []
  if (span === undefined) return time(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  const spanMs = parseDuration(span)
  return spanMs === null ? null : nowMs - spanMs
}

/** The effective limits of a connector: the config's figures override the manifest's. */
export function quotaLimits({ quota }: Connector['manifest'], base: BaseConfig): Omit<Quota, 'sharedBy'> {
  return {
    perSecond: base.quota.perSecond ?? quota.perSecond ?? 0,
    perMinute: base.quota.perMinute ?? quota.perMinute ?? 0,
    perHour: base.quota.perHour ?? quota.perHour ?? 0,
    concurrency: base.quota.concurrency ?? quota.concurrency ?? 0,
    gapMs: base.quota.gapMs ?? quota.gapMs ?? 0,
  }
}

/** What the quota is counted by: the result of the manifest's `sharedBy`, else the connector's name. May be a secret. */
export function quotaShare({ quota }: Connector['manifest'], name: string, config: object, scope: Scope): string {
  const { sharedBy } = quota
  if (typeof sharedBy === 'object') return `${sharedBy.what} ${sharedBy.of(config as never, scope)}`
  const value = sharedBy === undefined ? undefined : (config as Readonly<Record<string, unknown>>)[sharedBy]
  return value === undefined || value === null ? `connector ${name}` : JSON.stringify(value)
}

/** JSON Schema of the flat map, for people and tools that write one: dotted keys, secrets `writeOnly`. */
export function configJsonSchema(connector: Connector): object {
  const properties: Record<string, object> = {}
  const required: string[] = ['connector.class']
  for (const [schema, isBase] of [
    [connector.config, false],
    [Base, true],
  ] as const) {
    const json = z.toJSONSchema(schema, {
      io: 'input',
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => {
        if (zodSchema._zod.def.type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' })
      },
    })
    for (const [name, property] of Object.entries(json.properties ?? {})) {
      if (isBase && name === 'name') continue
      const { secret: _, ...shown } = typeof property === 'object' ? (property as Record<string, unknown>) : {}
      properties[dotted(name)] = isSecret(schema.shape[name as never]) ? { ...shown, writeOnly: true } : shown
      if (!isBase && json.required?.includes(name) === true) required.push(dotted(name))
    }
  }
  const names = Object.keys(properties).toSorted(
    (a, b) => Number(required.includes(b)) - Number(required.includes(a)) || a.localeCompare(b),
  )
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `Config of the ${connector.manifest.title} connector`,
    type: 'object',
    properties: Object.fromEntries(names.map(name => [name, properties[name]])),
    required,
    additionalProperties: false,
  }
}

interface Field {
  /** camelCase. */
  readonly name: string
  readonly base: z.core.$ZodType | undefined
  readonly vendor: z.core.$ZodType | undefined
  readonly secret: boolean
}

/** By dotted key. A vendor's schema may declare a key that every connector has, such as `account`, to read it too. */
function fieldsOf(connector: Connector): Map<string, Field> {
  const base = Base.shape as Readonly<Record<string, z.core.$ZodType>>
  const vendor = connector.config.shape as Readonly<Record<string, z.core.$ZodType>>
  const fields = new Map<string, Field>()
  for (const name of new Set([...Object.keys(base), ...Object.keys(vendor)])) {
    const secret = isSecret(base[name]) || isSecret(vendor[name])
    fields.set(dotted(name), { name, base: base[name], vendor: vendor[name], secret })
  }
  return fields
}

/** Every dotted key of the connector's config, and whether it holds a secret. */
export function secretsByKey(connector: Connector): ReadonlyMap<string, boolean> {
  return new Map([...fieldsOf(connector)].map(([key, { secret }]) => [key, secret]))
}

/** Whether the schema, or one that it wraps, is marked `.meta({ secret: true })`. */
export function isSecret(schema: z.core.$ZodType | undefined): boolean {
  for (let inner = schema; inner !== undefined; inner = unwrapped(inner)) {
    if ((z.globalRegistry.get(inner) as { secret?: unknown } | undefined)?.secret === true) return true
  }
  return false
}

/** The schema inside an optional, default or similar schema; undefined at the core. */
function unwrapped(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  const def = schema._zod.def as { type: string; innerType?: z.core.$ZodType; in?: z.core.$ZodType; out?: z.core.$ZodType }
  // A preprocess accepts anything; its output schema is more specific.
  if (def.type === 'pipe') return def.in?._zod.def.type === 'transform' ? def.out : def.in
  return def.innerType
}

/** Parses text as the schema's type, and writes a plain value as text where the schema expects text; what does not fit is left for the schema to reject. */
function coerce(raw: unknown, schema: z.core.$ZodType): unknown {
  const inner = unwrapped(schema)
  if (inner !== undefined) return coerce(raw, inner)
  const def = schema._zod.def as { type: string; element?: z.core.$ZodType; options?: readonly z.core.$ZodType[] }
  switch (def.type) {
    case 'string':
    case 'enum':
      return asText(raw)
    case 'number':
      return asNumber(raw)
    case 'boolean':
      return asBoolean(raw)
    case 'date': {
      const atMs = typeof raw === 'string' ? time(/^\d{4}-\d\d-\d\d$/.test(raw) ? `${raw}T00:00:00Z` : raw) : null
      return atMs === null ? raw : new Date(atMs)
    }
    case 'array': {
      // A list is kept as it is, so that its values may contain commas; text is split at commas.
      const text = asText(raw)
      const items = Array.isArray(raw) ? (raw as unknown[]) : typeof text === 'string' ? splitList(text) : raw
      const { element } = def
      return element === undefined || !Array.isArray(items) ? items : items.map(item => coerce(item, element))
    }
    case 'union': {
      for (const option of def.options ?? []) {
        const value = coerce(raw, option)
        if (z.safeParse(option, value).success) return value
      }
      return raw
    }
    default:
      return raw
  }
}

/** A check of the vendor's schema that throws is a fault of the connector, reported like others. */
function safely(schema: Connector['config'], input: object): ReturnType<Connector['config']['safeParse']> {
  try {
    return schema.safeParse(input)
  } catch (thrown) {
    const what = thrown instanceof Error ? thrown.name : 'an error'
    const issue = {
      code: 'custom',
      path: [],
      message: `the connector's own check of its config failed (${what}): report it to its author`,
    }
    return { success: false, error: new z.ZodError([issue as never]) as never }
  }
}

/** Reason why the value cannot be a secret, whatever the schema; null if there is none. */
function secretFault(raw: unknown): string | null {
  for (const one of [raw].flat()) {
    if (one === '') return 'is empty: set the variable or file that it comes from, or remove the key'
    // A PEM key has line breaks; in a header, a line break would end it.
    if (typeof one === 'string' && /\p{Cc}/u.test(one) && !one.includes('-----BEGIN'))
      return 'holds a line break or another control character: a copied value may have brought it along'
  }
  return null
}

/** An issue of a schema, reported at the key as spelled in the file. */
function faultOf(
  issue: z.core.$ZodIssue,
  fields: ReadonlyMap<string, Field>,
  ...inputs: readonly Readonly<Record<string, unknown>>[]
): { key: string; message: string } {
  const [name, ...deeper] = issue.path
  if (name === undefined) return { key: '', message: issue.message }
  const key = dotted(String(name))
  const given = inputs.map(input => input[String(name)]).find(value => value !== undefined)
  if (given === undefined && deeper.length === 0 && issue.code !== 'custom') return { key, message: 'is required' }
  // A connector's own message is better than ours; the library's is not.
  if (issue.code === 'custom' || !/^(Invalid|Too small|Too big|Unrecognized)/.test(issue.message))
    return { key, message: issue.message }
  const field = fields.get(key)
  const schema = field?.base ?? field?.vendor
  if (schema === undefined) return { key, message: 'is not what the connector takes' }
  const wanted = unwrappedAll(schema)._zod.def.type
  if (Array.isArray(given) && wanted !== 'array' && wanted !== 'union') return { key, message: 'takes one value, not a list' }
  return { key, message: `takes ${whatItTakes(schema, key, given)}` }
}

function unwrappedAll(schema: z.core.$ZodType): z.core.$ZodType {
  const inner = unwrapped(schema)
  return inner === undefined ? schema : unwrappedAll(inner)
}

function distinct(faults: readonly ConfigFault[]): ConfigFault[] {
  return [...new Map(faults.map(fault => [`${fault.path} ${fault.message}`, fault])).values()]
}

/** The known key that was probably meant. */
function hintFor(key: string, fields: ReadonlyMap<string, Field>): string {
  const known = [...fields.keys()]
  const nearest = nearestOf(dotted(key), known)
  if (nearest !== undefined) return `; did you mean ${nearest}?`
  return `; its keys are ${known
    .filter(each => fields.get(each)?.vendor !== undefined)
    .toSorted()
    .join(', ')}, and those of every connector`
}
