/**
 * `transfer.rules`: what in a vendor's data means that a conversation goes to a person, where the vendor has no word of its own for it. Each rule is
 * `SOURCE~REGEX=TYPE`. Patterns are RE2's: matching takes time linear in the text, whatever the pattern and the text.
 */
import { RE2JS } from 're2js'
import { contentId } from './content-id.ts'

export const TRANSFER_TYPES = ['agent_transfer_requested', 'agent_transferred'] as const
export type TransferType = (typeof TRANSFER_TYPES)[number]

const SOURCES = ['event', 'flow', 'step', 'tag', 'answer', 'intent', 'message.type', 'message.text'] as const
const ATTRIBUTE = 'attribute.'
/** Where a rule looks. `attribute.NAME` is an entry of a record's attributes. */
export type TransferSource = (typeof SOURCES)[number] | `attribute.${string}`

/** What a draft says beside its record, for the rules only: it is never published. */
export interface Said {
  readonly event?: string | readonly string[] | null | undefined
  readonly flow?: string | readonly string[] | null | undefined
  readonly step?: string | readonly string[] | null | undefined
  readonly tag?: string | readonly string[] | null | undefined
  readonly answer?: string | readonly string[] | null | undefined
  readonly intent?: string | readonly string[] | null | undefined
  /** When what a rule finds here happened, where the record's own time stands for another moment; null: nobody knows. Epoch milliseconds. */
  readonly atMs?: number | null | undefined
  /** With `atMs: null`: a later reading may show the time. A rule that matches makes the session AGENT, and the event only then, so that it does not move. */
  readonly isTimeDue?: boolean | undefined
}

/** The rules in force for a connector. */
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
/** Flows, steps, types and names of events come again and again: what matched them is kept. */
const LONGEST_KEPT = 200
const MOST_KEPT = 5_000
const NOTHING: readonly TransferType[] = []

/** Without rules. */
export const NO_TRANSFERS: Transfers = transfersOf([], [])

/** @returns The rules that can be read, and what is wrong with each of the others. */
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

/** A rule, or what is wrong with the text. Blanks around the three parts mean nothing. */
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
    return `${shown} looks at ${JSON.stringify(source)}, which is no source; a rule takes one of ${known}`
  }
  if (type === undefined)
    return `${shown} ends in no type that a rule makes; it takes one of ${TRANSFER_TYPES.join(', ')} after the last =`
  if (regex === '') return `${shown} has no pattern; .* matches any text`
  try {
    return { source, pattern: RE2JS.compile(regex, RE2JS.CASE_INSENSITIVE), type }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.replace('`(?i)', '`') : 'it cannot be read'
    return `${shown} has a pattern that cannot be used (${why}); it takes RE2 syntax, which has no look-around and no back-references`
  }
}

function isSource(text: string): text is TransferSource {
  return (SOURCES as readonly string[]).includes(text) || (text.startsWith(ATTRIBUTE) && text.length > ATTRIBUTE.length)
}

function transfersOf(rules: readonly Rule[], texts: readonly string[]): Transfers {
  const bySource = Map.groupBy(rules, rule => rule.source)
  const kept = new Map<TransferSource, Map<string, readonly TransferType[]>>()
  const found = (of: readonly Rule[], text: string): readonly TransferType[] => {
    const types = new Set(of.filter(({ pattern }) => pattern.test(text)).map(({ type }) => type))
    if (types.size === 0) return NOTHING
    return types.has('agent_transferred')
      ? ['agent_transferred', ...types.values().filter(t => t !== 'agent_transferred')]
      : [...types]
  }
  function matches(source: TransferSource, text: string | null | undefined): readonly TransferType[] {
    const of = bySource.get(source)
    if (of === undefined || text === null || text === undefined) return NOTHING
    if (text.length > LONGEST_KEPT) return found(of, text)
    let known = kept.get(source)
    if (known === undefined) kept.set(source, (known = new Map()))
    let types = known.get(text)
    if (types !== undefined) return types
    types = found(of, text)
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
