/** Request bodies: JSON from other tools, turned into the `Herder`'s arguments, or rejected with a 400 that names the wrong place. */
import { shown } from '../../config-values.ts'
import { parseJson } from '../../source/json.ts'
import { type Config, ControlError, type OffsetEntry, type TargetState } from '../port.ts'
import { wrongConfig } from '../validate.ts'

/** A config as received, scalars as text. null where a tool sent null. */
export type GivenConfig = Readonly<Record<string, string | null>>

export interface NewConnector {
  readonly name: string
  readonly config: Config
  readonly target: TargetState
}

/** A requested change of offsets: partition by partition, or all of them back to one time. */
export type OffsetChanges = readonly OffsetEntry[] | { readonly from: string }

const STATES: readonly TargetState[] = ['RUNNING', 'PAUSED', 'STOPPED']
const NEEDED = 'Partitions / offsets need to be provided for an alter offsets request'

/** Body of `POST /connectors`. */
export function readNewConnector(text: string): NewConnector {
  const body = mapOf(inText(text), 'the body')
  const unknown = Object.keys(body).find(key => !['name', 'config', 'initial_state'].includes(key))
  if (unknown !== undefined)
    throw invalid(`${shown(unknown)} is not a field of the body, which takes name, config and initial_state`)
  const { name = null, config, initial_state: state = null } = body
  if (name !== null && typeof name !== 'string') throw invalid('name takes text')
  if (state !== null && (typeof state !== 'string' || !isState(state.toUpperCase())))
    throw invalid(`initial_state takes one of ${STATES.join(', ')}`)
  const given = scalars(mapOf(config, 'config'))
  const trimmed = (name ?? '').trim()
  return {
    name: trimmed,
    config: named(trimmed, withoutNull(given)),
    target: state === null ? 'RUNNING' : (state.toUpperCase() as TargetState),
  }
}

/** Body of `PUT /connectors/NAME/config`: the bare map. */
export function readConfig(name: string, text: string): Config {
  return named(name, withoutNull(scalars(mapOf(inText(text), 'the body'))))
}

/** Body of `PATCH /connectors/NAME/config`: null removes a key. */
export function readPatch(name: string, text: string): GivenConfig {
  const change = scalars(mapOf(inText(text), 'the body'))
  if (change['name'] === null) throw invalid('name cannot be removed')
  if (change['name'] !== undefined) named(name, { name: change['name'] })
  return change
}

/** Body of `…/config/validate`: the answer lists its errors, so null passes. */
export function readForValidation(text: string): GivenConfig {
  return scalars(mapOf(inText(text), 'the body'))
}

/** Body of `PUT /admin/loggers/NAME`. null: it names no level. */
export function readLevel(text: string): string | null {
  const { level = null } = mapOf(text.trim() === '' ? {} : inText(text), 'the body')
  return typeof level === 'string' ? level : null
}

/** Body of `PATCH /connectors/NAME/offsets`. */
export function readOffsets(text: string): OffsetChanges {
  const body = mapOf(parsed(text, parseJson), 'the body')
  const { offsets, from, ...others } = body
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`${shown(unknown)} is not a field of the body, which takes offsets, or from`)
  if (from !== undefined) {
    if (typeof from !== 'string' || offsets !== undefined)
      throw invalid('from takes a time such as 2026-11-01T00:00:00Z, and excludes offsets: it sets every source partition back')
    return { from }
  }
  if (offsets === undefined || offsets === null) throw invalid(NEEDED)
  if (!Array.isArray(offsets)) throw invalid('offsets takes a list')
  if (offsets.length === 0) throw invalid(NEEDED)
  const entries = (offsets as unknown[]).map((entry, index) => readEntry(entry, `offsets[${index}]`))
  const partitions = new Set(entries.map(({ partition }) => identityOf(partition)))
  if (partitions.size < entries.length) throw invalid('a partition is in offsets more than once')
  return entries
}

function readEntry(value: unknown, at: string): OffsetEntry {
  const entry = mapOf(value, at)
  const { partition, offset, ...others } = entry
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`${at}.${shown(unknown)} is not a field: an entry takes partition and offset`)
  // Kafka Connect resets the partition if the offset is missing; here a reset must be explicit.
  if (offset === undefined) throw invalid(`${at}.offset is missing: null resets the partition`)
  return {
    partition: flat(mapOf(partition, `${at}.partition`), `${at}.partition`),
    offset: offset === null ? null : flat(mapOf(offset, `${at}.offset`), `${at}.offset`),
  }
}

const identityOf = (map: Readonly<Record<string, unknown>>): string =>
  JSON.stringify(
    Object.keys(map)
      .toSorted()
      .map(key => [key, map[key]]),
  )

function flat(map: Readonly<Record<string, unknown>>, at: string): Readonly<Record<string, unknown>> {
  for (const [key, value] of Object.entries(map))
    if (typeof value === 'object' && value !== null)
      throw invalid(`${at}.${shown(key)} takes text, a number, true, false or null`)
  return map
}

/** @throws ControlError 400 if the config names another connector than the request. */
function named(name: string, config: Config): Config {
  const { name: inConfig } = config
  if (inConfig !== undefined && inConfig !== name)
    throw invalid(`Connector name configuration (${shown(inConfig)}) doesn't match connector name in the URL (${shown(name)})`)
  return { ...config, name }
}

function withoutNull(config: GivenConfig): Config {
  const empty = Object.keys(config).filter(key => config[key] === null)
  if (empty.length > 0)
    throw new ControlError(
      400,
      wrongConfig(
        empty.map(
          key => `Invalid value for configuration ${shown(key)}: Null value can not be supplied as the configuration value.`,
        ),
      ),
    )
  return config as Config
}

function scalars(map: Readonly<Record<string, unknown>>): GivenConfig {
  return Object.fromEntries(
    Object.entries(map).map(([key, value]) => {
      if (value === null || typeof value === 'string') return [key, value]
      if (typeof value === 'boolean') return [key, String(value)]
      throw invalid(`${shown(key)} takes text, a number, true or false; a list is text with commas`)
    }),
  )
}

/** JSON with numbers as the text that was sent: the id `12345678901234567890` keeps all its digits. */
function inText(text: string): unknown {
  return parsed(text, json => JSON.parse(json, asSent))
}

function asSent(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' ? (context?.source ?? String(value)) : value
}

function parsed(text: string, parse: (text: string) => unknown): unknown {
  if (text.trim() === '') throw invalid('the body is empty, and takes JSON')
  try {
    return parse(text)
  } catch {
    throw invalid('the body is not JSON')
  }
}

function mapOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw invalid(`${what} takes a map`)
}

const isState = (text: string): text is TargetState => (STATES as readonly string[]).includes(text)

const invalid = (message: string) => new ControlError(400, message)
