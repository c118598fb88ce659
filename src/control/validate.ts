/**
 * Validates a config key by key, in the shape of Kafka Connect's `…/config/validate`: forms are built from it, and connectors that are created or changed are
 * checked by it.
 */
import { CONNECTOR_NAME, CONNECTOR_NAMES, type ConnectorMap } from '../config.ts'
import { without } from '../log.ts'
import { parseConnectorConfig } from '../source/config.ts'
import { CREDENTIALS, HIDDEN, isReference } from './check-config.ts'
import type { ConnectorClasses } from './classes.ts'
import { type Definition, type Key, keysOf } from './definitions.ts'
import { type Config, ControlError } from './port.ts'

/** Resolves references. A reference that cannot be resolved is an error of its key. */
export type Resolve = (written: Config) => {
  readonly map: ConnectorMap
  /** By key. */
  readonly faults: ReadonlyMap<string, string>
}

export interface ValidateAnswer {
  readonly name: string
  readonly error_count: number
  readonly groups: readonly string[]
  readonly configs: readonly ValidatedKey[]
}

export interface ValidatedKey {
  /** null: the connector has no such key. */
  readonly definition: Definition | null
  readonly value: {
    readonly name: string
    /** As written, secrets as `[hidden]`; null if invalid or missing. */
    readonly value: string | null
    readonly recommended_values: readonly string[]
    readonly errors: readonly string[]
    readonly visible: boolean
  }
}

export interface ValidateMeans {
  readonly classes: ConnectorClasses
  readonly resolve: Resolve
  /** The current config of the connector, for secrets that are kept; null: it is a new one. */
  readonly stored: Config | null
}

const CLASS = 'connector.class'
/** Errors of connectors that have no name yet are found under this name. */
const UNNAMED = 'unnamed'

/** `PUT /connector-plugins/PLUGIN/config/validate`. @throws ControlError where the request itself is invalid */
export async function validateFor(
  plugin: string,
  given: Readonly<Record<string, string | null>>,
  means: ValidateMeans,
): Promise<ValidateAnswer> {
  const className = given[CLASS] ?? null
  // Kafka Connect's code for it, and for an unknown class.
  if (className === null) throw new ControlError(500, 'Connector config contains no connector type')
  if (!short(className).endsWith(short(plugin)))
    throw new ControlError(400, `Included connector type ${className} does not match request type ${plugin}`)
  if ((await means.classes.find(className)) === null) throw await unknownClass(500, className, means.classes)
  return validate(given, means)
}

/**
 * Checks a whole config and reports the error of every key. Resolves references, and never shows their values.
 *
 * @throws ControlError 400 for a config without a class, or with an unknown one
 */
export async function validate(
  given: Readonly<Record<string, string | null>>,
  { classes, resolve, stored }: ValidateMeans,
): Promise<ValidateAnswer> {
  const className = given[CLASS] ?? ''
  if (className === '') throw new ControlError(400, 'Connector config contains no connector type')
  const connector = await classes.find(className)
  if (connector === null) throw await unknownClass(400, className, classes)
  const keys = keysOf(connector)
  const errors = errorsOf(given, keys, {
    resolve,
    stored,
    parse: (name, values) => parseConnectorConfig(name, values, connector),
  })
  const known = new Set(keys.map(({ definition }) => definition.name))
  const others = Object.keys(given).filter(name => !known.has(name))
  return {
    name: className,
    error_count: [...errors.values()].flat().length,
    groups: [...new Set(keys.map(({ definition }) => definition.group))],
    configs: [
      ...keys.map(key => validated(key, given, errors.get(key.definition.name) ?? [])),
      ...others.map(name => unknownKey(name, errors.get(name) ?? [])),
    ],
  }
}

/** The error answer for an invalid config, in Kafka Connect's words; null if it is valid. */
export function invalidConfig({ configs, error_count: count }: ValidateAnswer): ControlError | null {
  return count === 0 ? null : new ControlError(400, wrongConfig(configs.flatMap(({ value }) => value.errors)))
}

/** Kafka Connect's text for an invalid config. */
export function wrongConfig(errors: readonly string[]): string {
  return (
    `Connector configuration is invalid and contains the following ${errors.length} error(s):\n${errors.join('\n')}\n` +
    'You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`'
  )
}

/** `GET /connector-plugins`. */
export async function pluginsOf(classes: ConnectorClasses, version: string): Promise<object[]> {
  return (await classes.list()).map(({ className }) => ({ class: className, type: 'source', version }))
}

/** `GET /connector-plugins/PLUGIN/config`. @throws ControlError 404 */
export async function definitionsOf(classes: ConnectorClasses, plugin: string): Promise<Definition[]> {
  const found = (await classes.list()).find(({ className }) => className === plugin)
  if (found === undefined) throw new ControlError(404, `Unknown plugin ${plugin}.`)
  return keysOf(found.connector).map(({ definition }) => definition)
}

async function unknownClass(status: number, className: string, classes: ConnectorClasses): Promise<ControlError> {
  const there = (await classes.list()).map(each => each.className).join(', ')
  return new ControlError(
    status,
    `Failed to find any class that implements Connector and which name matches ${className}, available connectors are: ${there}`,
  )
}

interface ErrorParts {
  readonly resolve: Resolve
  readonly stored: Config | null
  readonly parse: (name: string, values: Config | ConnectorMap) => ReturnType<typeof parseConnectorConfig>
}

function errorsOf(
  given: Readonly<Record<string, string | null>>,
  keys: readonly Key[],
  { resolve, stored, parse }: ErrorParts,
): ReadonlyMap<string, string[]> {
  const errors = new Map<string, string[]>()
  const passwords = new Set(
    keys.filter(({ definition }) => definition.type === 'PASSWORD').map(({ definition }) => definition.name),
  )
  const required = new Set(keys.filter(({ definition }) => definition.required).map(({ definition }) => definition.name))
  const report = (key: string, what: string) => {
    errors.set(key, [...(errors.get(key) ?? []), `Invalid value for configuration ${key}: ${what}`])
  }
  const missing = (key: string) => errors.set(key, [`Missing required configuration "${key}" which has no default value.`])

  // Secrets that cannot be checked here: their error has been reported, or their value is unknown.
  const unseen = new Set<string>()
  // Without a prototype, so that a key named `__proto__` is like any other.
  const written = Object.create(null) as Record<string, string>
  for (const [key, value] of Object.entries(given)) {
    if (value === null) report(key, 'Null value can not be supplied as the configuration value.')
    else if (!passwords.has(key) || isReference(value)) written[key] = value
    else {
      unseen.add(key)
      if (value !== HIDDEN)
        report(key, 'takes a reference such as ${env:NAME} or ${file:PATH}, because a config by REST is stored on a topic')
      else if (stored?.[key] === undefined) report(key, `${HIDDEN} keeps the stored value, but there is none: give a reference`)
    }
  }
  const name = given['name'] ?? ''
  if (name === '') missing('name')
  else if (!CONNECTOR_NAME.test(name)) report('name', CONNECTOR_NAMES)
  for (const [key, value] of Object.entries(written))
    if (CREDENTIALS.test(value)) report(key, 'holds credentials: take them out of the address')

  const { map: values, faults } = resolve(written)
  for (const [key, message] of faults) report(key, message)
  const place = name === '' ? UNNAMED : name
  // A secret in any form counts as present.
  const parsed = parse(place, { ...values, ...Object.fromEntries([...unseen].map(key => [key, 'x'.repeat(32)])) })
  if (parsed.ok) return errors
  const behind = Object.keys(values)
    .filter(key => values[key] !== written[key])
    .flatMap(key => [values[key] ?? []].flat().map(String))
  for (const { path, message } of parsed.faults) {
    const key = path.slice(`connectors.${place}.`.length) || CLASS
    if (unseen.has(key) || errors.has(key)) continue
    if (message === 'is required' && (required.has(key) || passwords.has(key))) missing(key)
    // The value of a reference must not be readable over REST.
    else report(key, without(message, behind))
  }
  return errors
}

function validated(
  { definition, recommended }: Key,
  given: Readonly<Record<string, string | null>>,
  errors: readonly string[],
): ValidatedKey {
  const { name, type, default_value: byDefault } = definition
  const text = given[name]
  const value = errors.length > 0 || text === null ? null : text === undefined ? byDefault : type === 'PASSWORD' ? HIDDEN : text
  return { definition, value: { name, value, recommended_values: recommended, errors, visible: true } }
}

function unknownKey(name: string, errors: readonly string[]): ValidatedKey {
  return { definition: null, value: { name, value: null, recommended_values: [], errors, visible: true } }
}

const short = (className: string): string => className.replace(/Connector$/, '')
