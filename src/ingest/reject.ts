/** A row that cannot be published, with the reason in words that hold no value of the row. */
import { hash } from 'node:crypto'
import type { z } from 'zod'
import { asFlowError, type ErrorCode, framesOf } from '../errors.ts'
import type { Stream } from '../source/contract.ts'
import { cutDeep, textOf } from './depth.ts'
import { maskText } from './free-text.ts'

/** A row, or a record in one, that cannot be published. */
export interface Reject {
  /** Empty where the row's id is not known. */
  readonly rowId: string
  readonly raw: unknown
  readonly code: ErrorCode
  readonly stage: 'decode' | 'normalise' | 'encode'
  /** Where in the row: names and indices with dots. */
  readonly path: string
  /** Why, in words that hold no value of the row. */
  readonly message: string
  /** 16 bytes as latin1: the same for the same content. */
  readonly mark: string
  /** Where in the connector it threw; absent where the row is at fault. For logs at level debug. */
  readonly stack?: string
}

/** The reject for a row whose reading threw. Words of foreign errors are left out: they may hold what the row says. */
export function unmappable(raw: unknown, rowId: string, stage: Reject['stage'], thrown: unknown, mark?: string): Reject {
  const error = asFlowError(thrown)
  if (error.code === 'BUG') {
    const name = thrown instanceof Error ? thrown.name : 'a fault in the connector'
    const reject = rejectOf(raw, rowId, 'ROW_UNMAPPABLE', stage, '', name, mark)
    const stack = thrown instanceof Error ? framesOf(thrown) : ''
    return stack === '' ? reject : { ...reject, stack }
  }
  const path = typeof error.details['path'] === 'string' ? error.details['path'] : ''
  return rejectOf(raw, rowId, error.code, stage, path, error.details.hint ?? error.message, mark)
}

/** 128 bits of a text, as 16 latin1 characters: a third of the memory of a hex string, and quick to compare. */
export function markOf(text: string): string {
  return hash('sha256', text, 'binary').slice(0, 16)
}

/** A reject whose row may be of any depth: what is too deep for others to read is cut, and the mark is over the whole. */
export function rejectOf(
  raw: unknown,
  rowId: string,
  code: ErrorCode,
  stage: Reject['stage'],
  path: string,
  message: string,
  mark = markOf(textOf(raw)),
): Reject {
  return { rowId, raw: cutDeep(raw), code, stage, path: cutLong(path), message: cutLong(message), mark }
}

/** Longest path and message: a vendor's names may be of any length. */
const MOST_LETTERS = 1_000

function cutLong(text: string): string {
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)} …` : text
}

const MOST_ISSUES = 5
const MOST_WORDS = 8

/** Of alternatives that all failed, the issue of the one that came furthest: the one that was probably meant. */
function narrowed(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue
  const inner = issue.errors.flat().map(each => ({ ...each, path: [...issue.path, ...each.path] }))
  const [furthest] = inner.toSorted((a, b) => b.path.length - a.path.length)
  return furthest === undefined || furthest.path.length === issue.path.length ? issue : narrowed(furthest)
}

/** The rule that failed, in words that hold nothing of the row. A connector's own checks have fixed words; those of zod may repeat the value. */
function ruleOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'custom':
      return issue.message
    case 'invalid_type':
      return `${issue.code} (${issue.expected} expected)`
    case 'invalid_value': {
      const words = issue.values.slice(0, MOST_WORDS).map(String)
      return `${issue.code} (${words.join(', ')}${issue.values.length > MOST_WORDS ? ' …' : ''} expected)`
    }
    case 'invalid_format':
      return `${issue.code} (${issue.format} expected)`
    case 'too_small':
      return `${issue.code} (at least ${String(issue.minimum)} expected)`
    case 'too_big':
      return `${issue.code} (at most ${String(issue.maximum)} expected)`
    case 'invalid_union': {
      const expected = issue.errors.flat().flatMap(each => (each.code === 'invalid_type' ? [each.expected] : []))
      return expected.length === 0 ? issue.code : `${issue.code} (${[...new Set(expected)].join(' or ')} expected)`
    }
    case 'invalid_element':
    case 'invalid_key':
    case 'not_multiple_of':
    case 'unrecognized_keys':
      break
  }
  return issue.code
}

/** A key of a map is the vendor's word, or one of its users': `*` stands for it. */
const MAP_KEY = '*'

/** The path of an issue: names that the schema has, and indices. */
function shownPath(path: readonly PropertyKey[], schema: z.core.$ZodType): string {
  let inside: readonly z.core.$ZodType[] = [schema]
  const parts = path.map(part => {
    const steps = inside.flatMap(each => stepsInto(each, part))
    inside = steps.map(({ schema }) => schema)
    return steps.some(({ isMap }) => isMap) || maskText(String(part)) !== String(part) ? MAP_KEY : String(part)
  })
  return parts.join('.')
}

interface Step {
  readonly schema: z.core.$ZodType
  readonly isMap: boolean
}

/** What stands under this name in a value of the schema, in each of its forms. What only the connector's code knows has no step. */
function stepsInto(schema: z.core.$ZodType, part: PropertyKey): Step[] {
  const { def } = (schema as z.core.$ZodTypes)._zod
  if (def.type === 'object') {
    const inner = Object.hasOwn(def.shape, part) ? def.shape[String(part)] : undefined
    return inner === undefined ? [] : [{ schema: inner, isMap: false }]
  }
  if (def.type === 'record' || def.type === 'map') return [{ schema: def.valueType, isMap: true }]
  if (def.type === 'array') return [{ schema: def.element, isMap: false }]
  return formsOf(def).flatMap(form => stepsInto(form, part))
}

/** What a value of the schema may be read as on its way. */
function formsOf(def: z.core.$ZodTypes['_zod']['def']): readonly z.core.$ZodType[] {
  if (def.type === 'union') return def.options
  if (def.type === 'intersection') return [def.left, def.right]
  if (def.type === 'pipe') return [def.in, def.out]
  return 'innerType' in def ? [def.innerType] : []
}

/** The reject for a row that does not fit its schema, with the fields at fault. */
export function misfit(stream: Stream, raw: unknown, error: { readonly issues: readonly z.core.$ZodIssue[] }): Reject {
  const issues = error.issues
    .slice(0, MOST_ISSUES)
    .map(narrowed)
    .map(issue => ({ path: shownPath(issue.path, stream.row), why: ruleOf(issue) }))
  const words = issues.map(({ path, why }) => (path === '' ? why : `${path}: ${why}`)).join('; ')
  const paths = issues.map(({ path }) => path).join(' ')
  return rejectOf(raw, rowIdOf(stream, raw), 'ROW_INVALID', 'decode', paths, words)
}

/** The id of a row that may not fit its schema; empty when it has none. */
export function rowIdOf(stream: Stream, raw: unknown): string {
  try {
    const id: unknown = stream.identify(raw as never)
    return typeof id === 'string' ? id : ''
  } catch {
    return ''
  }
}
