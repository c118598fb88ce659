/**
 * Parameters of a query, read by a zod schema: the same schema checks them, fills in defaults, and becomes their part of `/openapi.json`. A parameter whose
 * schema is an array takes a comma list, the parameter again, or both; any other takes one value, a number in decimal digits. An empty parameter is as absent.
 */
import { DateTime } from 'luxon'
import { z } from 'zod'
import { FlowError } from '../errors.ts'
import { CHANNELS } from '../records.ts'
import { type Zone, zoneOf } from './buckets.ts'
import { LABELS, type Label } from './store.ts'

/** Most values of one list, and characters of a parameter that is no list. */
const MOST_LISTED = 1000
const LONGEST_VALUE = 100

/**
 * @param path As in the message: `/v1/series`.
 * @throws FlowError QUERY_INVALID that names the parameter and what it takes.
 */
export function readParameters<S extends z.ZodObject>(
  path: string,
  schema: S,
  parameters: Readonly<Record<string, unknown>>,
): z.output<S> {
  const known = Object.keys(schema.shape)
  for (const name of Object.keys(parameters)) {
    if (known.includes(name)) continue
    const takes = known.length === 0 ? ', which takes none' : `; known are ${known.join(', ')}`
    throw invalidParameter(shortened(name), `is not a parameter of ${path}${takes}`)
  }
  const given: Record<string, unknown> = {}
  for (const name of known) {
    const values = [parameters[name]].flat().filter((value): value is string => typeof value === 'string' && value.trim() !== '')
    if (values.length > 0) given[name] = valueOf(name, schema.shape[name] as z.ZodType, values)
  }
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw invalidParameter(String(issue?.path[0] ?? ''), issue?.message ?? '')
}

function single(name: string, [value = '', ...more]: readonly string[]): string {
  if (more.length > 0) throw invalidParameter(name, 'is given more than once, and takes one value')
  if (value.length > LONGEST_VALUE) throw invalidParameter(name, `takes at most ${LONGEST_VALUE} characters`)
  return value.trim()
}

/** What the schema is given to check. No schema here transforms what it checks: defaults and examples would be lost from the document. */
function valueOf(name: string, schema: z.ZodType, values: readonly string[]): unknown {
  const inner = unwrapped(schema)
  if (!(inner instanceof z.ZodArray)) {
    const text = single(name, values)
    return inner instanceof z.ZodNumber && /^\d{1,9}$/.test(text) ? Number(text) : text
  }
  const all = values.flatMap(listOf)
  // People write a blank after a comma. Texts of vendors may have blanks of their own.
  return inner.element instanceof z.ZodEnum ? all.map(value => value.trim()) : all
}

function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodDefault ? unwrapped(schema.unwrap()) : schema
}

/** Whether a parameter with this schema takes a comma list. */
export const isList = (schema: z.core.$ZodType): boolean => unwrapped(schema) instanceof z.ZodArray

/** Parts of a comma list. A backslash before a comma or a backslash makes it part of the value. */
export function listOf(text: string): string[] {
  const values = ['']
  for (let at = 0; at < text.length; at++) {
    const here = text[at] ?? ''
    const next = text[at + 1]
    if (here === ',') values.push('')
    else if (here === '\\' && (next === ',' || next === '\\')) values[values.length - 1] += text[++at] ?? ''
    else values[values.length - 1] += here
  }
  return values
}

export const oneOf = <const T extends readonly [string, ...string[]]>(known: T) => {
  const takes = `it takes one of ${known.join(', ')}`
  return z.enum(known, { error: issue => (issue.input === undefined ? `is required; ${takes}` : `is not known; ${takes}`) })
}

export const listOfWords = <const T extends readonly [string, ...string[]]>(known: T) => {
  const takes = `takes one or more, as a comma list, of ${known.join(', ')}`
  return z
    .array(z.enum(known, takes), {
      error: issue => (issue.input === undefined ? `is required; it ${takes}` : takes),
    })
    .max(MOST_LISTED, `takes at most ${MOST_LISTED} values`)
}

export const listOfTexts = () => z.array(z.string()).max(MOST_LISTED, `takes at most ${MOST_LISTED} values`)

/** A whole number. */
export const count = (least: number, most: number, takes: string) => z.int(takes).min(least, takes).max(most, takes)

const LISTED = `as a comma list; \\, is a comma that belongs to a value`

/** Filters by label: each takes the values that the label may have. */
export const labelFilters = {
  vendor: valuesOf('acme-chat').describe(`Only these vendors, ${LISTED}`),
  account: valuesOf('acme').describe(`Only these accounts, ${LISTED}`),
  bot_id: valuesOf('bot-1').describe(`Only these bots, ${LISTED}`),
  channel: z
    .array(z.enum(CHANNELS, `takes a comma list of ${CHANNELS.join(', ')}`))
    .max(MOST_LISTED, `takes at most ${MOST_LISTED} values`)
    .optional()
    .describe('Only these channels, as a comma list'),
  language: z
    .array(z.string())
    .max(MOST_LISTED, `takes at most ${MOST_LISTED} values`)
    .optional()
    .describe('Only these languages, as a comma list; a list with an empty value (`,`, or `,es`) holds those without a language')
    .meta({ examples: [['es', 'pt-BR']] }),
} satisfies Record<Label, z.ZodType>

function valuesOf(example: string) {
  const takes = 'takes a comma list of values, none of them empty; a comma inside a value is written \\,'
  return z
    .array(z.string().refine(value => value.trim() !== '', takes))
    .max(MOST_LISTED, `takes at most ${MOST_LISTED} values`)
    .optional()
    .meta({ examples: [[example]] })
}

export type Filters = Readonly<Partial<Record<Label, readonly string[]>>>

/** The filters that are given. Vendors may name a bot with blanks around it, and people write a blank after a comma: either is found. */
export function filtersOf(parameters: Partial<Record<Label, readonly string[] | undefined>>): Filters {
  const filters: Partial<Record<Label, readonly string[]>> = {}
  for (const label of LABELS) {
    const values = parameters[label]
    if (values !== undefined) filters[label] = [...new Set(values.flatMap(value => [value, value.trim()]))]
  }
  return filters
}

const TAKES_TIME =
  'takes a time as ISO 8601, such as 2026-11-01T00:00:00Z, as epoch milliseconds, or as now-24h (s, m, h, d, w, M, y)'
export const UTC: Zone = { name: 'UTC', offsetMs: () => 0 }

/** A time as text; `timeOf` says which, once zone and now are known. */
export const time = () =>
  z
    .string(`is required; it ${TAKES_TIME}`)
    .superRefine((text, report) => {
      const seconds = asSeconds(text)
      if (seconds !== null)
        report.addIssue({ code: 'custom', message: `takes epoch milliseconds, and ${text} looks like seconds: ${seconds}` })
      else if (timeOf(text, UTC, 0) === null) report.addIssue({ code: 'custom', message: TAKES_TIME })
    })
    .meta({ examples: ['2026-11-01T00:00:00Z', '1793491200000', 'now-24h'] })

/** Milliseconds below this were before 1974, years before there was anything to count; as seconds they are the times of today. */
const LEAST_MS = 100_000_000_000

/** What to write in place of epoch seconds; null: these are none. */
function asSeconds(text: string): string | null {
  return /^\d{5,11}$/.test(text) && Number(text) < LEAST_MS ? `${text}000` : null
}

/** Epoch milliseconds of ISO 8601 (without an offset: in the zone), epoch milliseconds, or a time from now on; null where it is none of these. */
export function timeOf(text: string, zone: Zone, nowMs: number): number | null {
  let ms = Number.NaN
  // A plus sign that was not percent-encoded arrives as a blank.
  const [isRelative, sign, steps, unit] = /^now(?:([-+ ])(\d{1,9})([smhdwMy]))?$/.exec(text) ?? []
  if (isRelative !== undefined) {
    const step = steps === undefined ? {} : { [STEPS[unit ?? ''] ?? '']: Number(steps) * (sign === '-' ? -1 : 1) }
    ms = DateTime.fromMillis(nowMs, { zone: zone.name }).plus(step).toMillis()
  } else if (/^\d{5,16}$/.test(text)) ms = Number(text)
  else if (/^\d{4}-/.test(text)) ms = DateTime.fromISO(text.replace(/ (\d\d:?\d\d)$/, '+$1'), { zone: zone.name }).toMillis()
  return Number.isFinite(ms) && Math.abs(ms) <= LATEST_MS ? ms : null
}

/** The same for a parameter; undefined where it is absent. @throws FlowError QUERY_INVALID */
export function timeParameter(name: string, text: string | undefined, zone: Zone, nowMs: number): number | undefined {
  if (text === undefined) return undefined
  const ms = timeOf(text, zone, nowMs)
  if (ms === null) throw invalidParameter(name, TAKES_TIME)
  return ms
}

const LATEST_MS = 8_000_000_000_000
const STEPS: Readonly<Record<string, string>> = {
  s: 'seconds',
  m: 'minutes',
  h: 'hours',
  d: 'days',
  w: 'weeks',
  M: 'months',
  y: 'years',
}

export const timeZone = () =>
  z
    .string()
    .refine(text => zoneOf(text) !== null, 'takes the IANA name of a time zone, such as Europe/Madrid')
    .meta({ examples: ['Europe/Madrid'] })

/** @throws FlowError QUERY_INVALID; a name that `timeZone` has let pass is known. */
export function zoneParameter(text: string): Zone {
  const zone = zoneOf(text)
  if (zone === null) throw invalidParameter('tz', 'takes the IANA name of a time zone, such as Europe/Madrid')
  return zone
}

const shortened = (text: string) => (text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text)

export const invalidParameter = (parameter: string, hint: string): FlowError =>
  new FlowError('QUERY_INVALID', { parameter, hint: `${parameter} ${hint}` })
