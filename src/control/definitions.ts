/** The keys of a connector's config in the form that Kafka Connect's tools build forms from, derived from the zod schemas that check the config. */
import { configJsonSchema, isBaseKey } from '../source/config.ts'
import type { Connector } from '../source/contract.ts'

/** A key, in Kafka Connect's shape. */
export interface Definition {
  readonly name: string
  readonly type: 'BOOLEAN' | 'DOUBLE' | 'INT' | 'LIST' | 'LONG' | 'PASSWORD' | 'STRING'
  readonly required: boolean
  readonly default_value: string | null
  readonly importance: 'HIGH' | 'MEDIUM' | 'LOW'
  readonly documentation: string
  readonly group: string
  readonly order: number
  /** Kafka Connect calls it `order`; some of its tools read one, some the other. */
  readonly order_in_group: number
  readonly width: 'SHORT' | 'MEDIUM' | 'LONG'
  readonly display_name: string
  readonly dependents: readonly string[]
}

/** A definition, and its allowed values where they are limited. */
export interface Key {
  readonly definition: Definition
  readonly recommended: readonly string[]
}

/** The part of `z.toJSONSchema`'s output that is used here. */
interface Property {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: string | number | boolean | readonly (string | number | boolean)[]
  readonly description?: string
  readonly maximum?: number
  readonly writeOnly?: boolean
  readonly anyOf?: readonly Property[]
}

const COMMON = 'Common'
/** Group and importance of the keys that every connector has. */
const GROUPS: readonly {
  readonly group: string
  readonly importance: Definition['importance']
  readonly keys: readonly string[]
}[] = [
  { group: COMMON, importance: 'HIGH', keys: ['name', 'connector.class', 'tasks.max', 'account'] },
  {
    group: 'Reading',
    importance: 'MEDIUM',
    keys: ['start.at', 'streams', 'poll.interval.ms', 'hot.ms', 'lookback.ms', 'lookback.interval.ms'],
  },
  { group: 'Transfers', importance: 'MEDIUM', keys: ['transfer.rules'] },
  { group: 'Personal Data', importance: 'MEDIUM', keys: ['pii.policy', 'pii.rules', 'pii.key'] },
  { group: 'Error Handling', importance: 'MEDIUM', keys: ['errors.tolerance'] },
  {
    group: 'Quota',
    importance: 'LOW',
    keys: ['quota.per.second', 'quota.per.minute', 'quota.per.hour', 'quota.concurrency', 'quota.gap.ms'],
  },
]
/** Largest number of Kafka Connect's type INT. */
const LARGEST_INT = 2_147_483_647

const NAME: Definition = {
  name: 'name',
  type: 'STRING',
  required: true,
  default_value: null,
  importance: 'HIGH',
  documentation: 'Globally unique name to use for this connector.',
  group: COMMON,
  order: 1,
  order_in_group: 1,
  width: 'MEDIUM',
  display_name: 'Connector name',
  dependents: [],
}

/** All keys, the connector's own first, group by group. Pure. */
export function keysOf(connector: Connector): readonly Key[] {
  const { properties, required } = configJsonSchema(connector) as {
    readonly properties: Readonly<Record<string, Property>>
    readonly required: readonly string[]
  }
  const mine = Object.keys(properties).filter(key => !isBaseKey(key))
  const key = (name: string, group: string, order: number, importance: Definition['importance']): Key => {
    if (name === NAME.name) return { definition: NAME, recommended: [] }
    const property = properties[name] ?? {}
    const isRequired = required.includes(name)
    const type = typeOf(property)
    const recommended = name === 'streams' ? Object.keys(connector.streams) : valuesOf(property)
    return {
      recommended,
      definition: {
        name,
        type,
        required: isRequired,
        default_value: shownValue(property.default),
        importance: isRequired ? 'HIGH' : importance,
        documentation: property.description ?? '',
        group,
        order,
        order_in_group: order,
        width:
          type === 'LIST' || /(^|\.)(url|class|rules)$/.test(name)
            ? 'LONG'
            : type === 'STRING' || type === 'PASSWORD'
              ? 'MEDIUM'
              : 'SHORT',
        display_name: displayName(name),
        dependents: [],
      },
    }
  }
  return [
    ...mine.map((name, index) => key(name, connector.manifest.title, index + 1, 'MEDIUM')),
    ...GROUPS.flatMap(({ group, importance, keys }) => keys.map((name, index) => key(name, group, index + 1, importance))),
  ]
}

function typeOf(property: Property): Definition['type'] {
  if (property.writeOnly === true) return 'PASSWORD'
  const kinds = property.anyOf ?? [property]
  if (kinds.some(({ type }) => type === 'array')) return 'LIST'
  const [{ type, maximum = Infinity } = {}] = kinds
  if (kinds.length > 1) return 'STRING'
  switch (type) {
    case 'boolean':
      return 'BOOLEAN'
    case 'integer':
      return maximum > LARGEST_INT ? 'LONG' : 'INT'
    case 'number':
      return 'DOUBLE'
    case undefined:
    default:
      return 'STRING'
  }
}

function valuesOf(property: Property): readonly string[] {
  if (property.type === 'boolean') return ['true', 'false']
  if (property.anyOf) return property.anyOf.flatMap(valuesOf)
  return (property.enum ?? (property.const === undefined ? [] : [property.const])).map(String)
}

/** A default as config text: lists joined by commas. */
function shownValue(value: Property['default']): string | null {
  if (value === undefined) return null
  return Array.isArray(value) ? value.map(each => String(each).replaceAll(',', '\\,')).join(',') : String(value)
}

/** `poll.interval.ms` → `Poll interval (ms)`. */
function displayName(key: string): string {
  const words = key.replace(/\.ms$/, ' (ms)').replaceAll('.', ' ')
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`
}
