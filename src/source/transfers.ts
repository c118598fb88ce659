/**
 * `transfer.rules`: what in a vendor's data means a transfer to a person, where the vendor has no field for it. Each rule is `SOURCE~REGEX=TYPE`. Patterns are
 * RE2's: matching takes linear time, whatever the pattern and the text.
 */
import { RE2JS } from 're2js'
import { contentId } from './content-id.ts'

export const TRANSFER_TYPES = ['agent_transfer_requested', 'agent_transferred'] as const
export type TransferType = (typeof TRANSFER_TYPES)[number]

const SOURCES = ['event', 'flow', 'step', 'tag', 'answer', 'intent', 'message.type', 'message.text'] as const
const ATTRIBUTE = 'attribute.'
/** The field that a rule looks at. `attribute.NAME` is an entry of a record's attributes. */
export type TransferSource = (typeof SOURCES)[number] | `attribute.${string}`

/** Content of a draft that is in no field, for the rules only: it is never published. */
export interface Said {
  readonly event?: string | readonly string[] | null | undefined
  readonly flow?: string | readonly string[] | null | undefined
  readonly step?: string | readonly string[] | null | undefined
  readonly tag?: string | readonly string[] | null | undefined
  readonly answer?: string | readonly string[] | null | undefined
  readonly intent?: string | readonly string[] | null | undefined
  /** Time of what a rule finds here, if it differs from the record's own time; null: unknown. Epoch milliseconds. */
  readonly atMs?: number | null | undefined
  /** With `atMs: null`: a later read may show the time. A matching rule makes the session AGENT, and creates the event only then, so that it does not move. */
  readonly isTimeDue?: boolean | undefined
}

/** The effective rules of a connector. */
export interface Transfers {
  readonly isEmpty: boolean
  /** The types of all rules that match the text, each once, `agent_transferred` first. No text matches nothing. */
  matches(source: TransferSource, text: string | null | undefined): readonly TransferType[]
  /** The first of `matches`: a transfer outweighs a request. */
  match(source: TransferSource, text: string | null | undefined): TransferType | null
  /** Whether a rule looks at one of these sources; `attribute` is any attribute. */
  hasAny(...sources: readonly (TransferSource | 'attribute')[]): boolean
  /** Names of the attributes that rules look at. */
  readonly attributes: readonly string[]
  /** The rules as they were written. */
  readonly texts: readonly string[]
  /** Changes with the rules; empty where there are none. */
  readonly hash: string
}

interface Rule {
  readonly source: TransferSource
  readonly pattern: RE2JS
  readonly type: TransferType
}

const TAKES = 'takes SOURCE~REGEX=TYPE, such as flow~talk to an agent=agent_transferred'
/** Flows, steps, types and names of events repeat: their matches are cached. */
const LONGEST_KEPT = 200
const MOST_KEPT = 5_000
const NOTHING: readonly TransferType[] = []

/** Without rules. */
export const NO_TRANSFERS: Transfers = transfersOf([], [])

/** @returns The valid rules, and what is wrong with each of the others. */
export function parseTransferRules(given: readonly string[]): {
  readonly transfers: Transfers
  readonly faults: readonly string[]
} {
  const rules: Rule[] = []
  const texts: string[] = []
  const faults: string[] = []
  for (const text of given.map(each => each.trim()).filter(each => each !== '')) {
    const rule = parseRule(text)
    if (typeof rule === 'string') faults.push(rule)
    else {
      rules.push(rule)
      texts.push(text)
    }
  }
  return { transfers: rules.length === 0 ? NO_TRANSFERS : transfersOf(rules, texts), faults }
}

/** A rule, or what is wrong with the text. Blanks around the three parts are ignored. */
function parseRule(text: string): Rule | string {
  const tilde = text.indexOf('~')
  const equals = text.lastIndexOf('=')
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
  if (tilde < 0 || equals < tilde) return `${shown} is no rule; it ${TAKES}`
  const source = text.slice(0, tilde).trim()
  const regex = text.slice(tilde + 1, equals).trim()
  const type = TRANSFER_TYPES.find(each => each === text.slice(equals + 1).trim())
  if (!isSource(source)) {
    const known = [...SOURCES, `${ATTRIBUTE}NAME`].join(', ')
    return `${shown} looks at ${JSON.stringify(source)}, which is not a source; a rule takes one of ${known}`
  }
  if (type === undefined)
    return `${shown} ends in no type that a rule makes; it takes one of ${TRANSFER_TYPES.join(', ')} after the last =`
  if (regex === '') return `${shown} has no pattern; .* matches any text`
  try {
    return { source, pattern: RE2JS.compile(regex, RE2JS.CASE_INSENSITIVE), type }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.replace('`(?i)', '`') : 'it cannot be parsed'
    return `${shown} has a pattern that cannot be used (${why}); it takes RE2 syntax, which has no look-around and no back-references`
  }
}

function isSource(text: string): text is TransferSource {
  return (SOURCES as readonly string[]).includes(text) || (text.startsWith(ATTRIBUTE) && text.length > ATTRIBUTE.length)
}

function transfersOf(rules: readonly Rule[], texts: readonly string[]): Transfers {
  const bySource = Map.groupBy(rules, rule => rule.source)
  const kept = new Map<TransferSource, Map<string, readonly TransferType[]>>()
  const found = (rules: readonly Rule[], text: string): readonly TransferType[] => {
    const types = new Set(rules.filter(({ pattern }) => pattern.test(text)).map(({ type }) => type))
    if (types.size === 0) return NOTHING
    return types.has('agent_transferred')
      ? ['agent_transferred', ...types.values().filter(t => t !== 'agent_transferred')]
      : [...types]
  }
  function matches(source: TransferSource, text: string | null | undefined): readonly TransferType[] {
    const rules = bySource.get(source)
    if (rules === undefined || text === null || text === undefined) return NOTHING
    if (text.length > LONGEST_KEPT) return found(rules, text)
    let known = kept.get(source)
    if (known === undefined) kept.set(source, (known = new Map()))
    let types = known.get(text)
    if (types !== undefined) return types
    types = found(rules, text)
    if (known.size >= MOST_KEPT) known.clear()
    known.set(text, types)
    return types
  }
  const attributes = [...bySource.keys()].filter(each => each.startsWith(ATTRIBUTE)).map(each => each.slice(ATTRIBUTE.length))
  return {
    isEmpty: rules.length === 0,
    matches,
    match: (source, text) => matches(source, text)[0] ?? null,
    hasAny: (...sources) => sources.some(each => (each === 'attribute' ? attributes.length > 0 : bySource.has(each))),
    attributes,
    texts,
    hash: rules.length === 0 ? '' : contentId(...texts),
  }
}
