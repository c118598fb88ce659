/** How values of the config are read where they come as text, and what a key takes, in words: shared by the config file and the connectors' maps. */
import { z } from 'zod'
import { parseDuration } from './durations.ts'

/** A decimal number as text, as YAML, the environment and Kafka Connect's REST API write it; anything else as it came. */
export function asNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(value) ? Number(value) : value
}

/** `true` and `false` as text, in any case; anything else as it came. */
export function asBoolean(value: unknown): unknown {
  const word = typeof value === 'string' ? value.trim().toLowerCase() : value
  return word === 'true' ? true : word === 'false' ? false : value
}

/** A number or boolean where text is asked for. */
export function asText(value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
}

/** The items of a comma list, trimmed, empty ones left out; a comma that belongs to an item stands as `\,`. */
export function splitList(text: string): string[] {
  return text
    .split(/(?<!\\),/)
    .map(item => item.trim().replaceAll('\\,', ','))
    .filter(item => item !== '')
}

/** Text of the config as it may be shown: a line break in it would forge a line of output, and a pasted file would fill the screen. */
export function shown(text: string, mostCharacters = 100): string {
  const escaped = JSON.stringify(text.toWellFormed()).slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\')
  return escaped.length > mostCharacters ? `${escaped.slice(0, mostCharacters)}…` : escaped
}

interface JsonSchema {
  readonly type?: string
  readonly format?: string
  readonly enum?: readonly unknown[]
  readonly const?: string | number | boolean | null
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly minItems?: number
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
}

/**
 * What a key takes, in words: `a whole number from 1 to 200`.
 *
 * @param key As it stands in the file; one that ends in `ms` takes milliseconds.
 * @param value What stands there now; only a duration is answered with the number that it stands for, nothing else is repeated.
 */
export function whatItTakes(schema: z.core.$ZodType, key: string, value?: unknown): string {
  const json = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      if (zodSchema._zod.def.type === 'date') Object.assign(jsonSchema, { type: 'string', format: 'date-time' })
    },
  }) as JsonSchema
  const isMs = /(^|\.)ms$/.test(key)
  const meant = isMs && typeof value === 'string' ? parseDuration(value) : null
  return `${inWords(json, isMs)}${meant === null ? '' : `; for ${String(value).trim()} write ${meant}`}`
}

function inWords(json: JsonSchema, isMs = false): string {
  if (json.anyOf) return [...new Set(json.anyOf.map(each => inWords(each, isMs)))].join(' or ')
  if (json.const !== undefined) return String(json.const)
  if (json.enum) return `one of ${json.enum.join(', ')}`
  switch (json.type) {
    case 'integer':
      return `${isMs ? 'milliseconds, ' : ''}a whole number${between(json)} in decimal digits`
    case 'number':
      return `a number${between(json)}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return `a list${json.minItems === undefined ? '' : ` of at least ${json.minItems}`}, or text with commas: ${inWords(json.items ?? {})} each`
    case 'object':
      return 'a map of keys'
    case undefined:
    default:
      if (json.format === 'uri') return 'an address such as https://host/path'
      if (json.format === 'date-time') return 'a time with a zone, such as 2026-11-01T00:00:00Z, or a day'
      return json.minLength === undefined
        ? 'text'
        : `text of at least ${json.minLength} character${json.minLength === 1 ? '' : 's'}`
  }
}

function between({ minimum, maximum }: JsonSchema): string {
  const least = minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER ? '' : ` from ${minimum}`
  const most = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? '' : ` up to ${maximum}`
  return least + most
}
