/**
 * The rules for personal data: `PATH=ACTION`, checked against the fields of the records. The last rule that matches a field wins. `src/ingest/mask.ts` applies
 * the actions.
 */
import type { RecordKind } from './contract.ts'

export const PII_ACTIONS = ['keep', 'drop', 'mask', 'hash'] as const
export type PiiAction = (typeof PII_ACTIONS)[number]
export const PII_POLICIES = ['none', 'standard'] as const
export type PiiPolicyName = (typeof PII_POLICIES)[number]

/** What a connector declares about the personal data in its vendor's rows. */
export interface PiiSpec {
  /** The rules of `pii.policy: standard`. The built-in ones (`STANDARD`) come before them. */
  readonly standard: readonly string[]
  /**
   * Fields of the vendor's rows, by name at any depth, for dead letters. A field in none of the lists is masked whole if the config has a `pii.key`, else as
   * text.
   */
  readonly row: {
    /** Persons' ids, names, numbers and addresses, with everything nested in them. */
    readonly persons: readonly string[]
    /** Free text. */
    readonly texts: readonly string[]
    /** Neither: times, enum values, ids of bots and conversations. */
    readonly plain: readonly string[]
  }
}

/**
 * How a field can be masked. `id`: links records, so it can be hashed only. `name`: a word or a name. `text`: free text. `list`: a list of texts.
 * `entries`: a map, whose entries are texts. `other`: can be left out only.
 */
type FieldKind = 'id' | 'name' | 'text' | 'list' | 'entries' | 'other'

/** Fields of each record that a rule may name; records are sorted and counted by the others. */
export const PII_FIELDS = {
  session: {
    session_id: 'id',
    user_id: 'name',
    channel_user_id: 'name',
    channel_raw: 'text',
    language: 'name',
    languages: 'list',
    transferred_at: 'other',
    queue: 'text',
    agent_id: 'name',
    agent_name: 'name',
    satisfaction: 'other',
    outcome: 'text',
    starting_cause: 'text',
    topics: 'list',
    tags: 'list',
    variables: 'entries',
    link: 'text',
    attributes: 'entries',
  },
  message: {
    session_id: 'id',
    message_id: 'id',
    text: 'text',
    attachments: 'list',
    language: 'name',
    intent: 'text',
    agent_id: 'name',
    agent_name: 'name',
    queue: 'text',
    attributes: 'entries',
  },
  event: {
    session_id: 'id',
    event_id: 'id',
    name: 'text',
    language: 'name',
    user_id: 'name',
    attributes: 'entries',
  },
} as const satisfies Record<RecordKind, Record<string, FieldKind>>

/** The first rules of every connector's standard policy. An attribute or variable that no rule of the connector keeps may contain personal data. */
export const STANDARD = [
  '*.user_id=hash',
  '*.channel_user_id=hash',
  '*.agent_id=hash',
  '*.agent_name=hash',
  '*.text=mask',
  '*.name=mask',
  '*.intent=mask',
  '*.queue=mask',
  '*.channel_raw=mask',
  '*.starting_cause=mask',
  '*.outcome=mask',
  '*.link=mask',
  '*.tags=mask',
  '*.topics=mask',
  '*.attachments=mask',
  '*.variables.*=hash',
  '*.attributes.*=hash',
] as const

export interface PiiRules {
  /** The action for a field of a record; for `variables` and `attributes` see `entryAction`. */
  action(kind: RecordKind, field: string): PiiAction
  /** The action for an entry of a map. */
  entryAction(kind: RecordKind, field: string, name: string): PiiAction
  /** Whether any rule hashes, which needs `pii.key`. */
  readonly hashes: boolean
}

interface Rule {
  readonly kinds: readonly RecordKind[]
  readonly field: RegExp
  /** Pattern of an entry; null: the rule names the field as a whole. */
  readonly entry: RegExp | null
  readonly action: PiiAction
}

const KINDS: readonly RecordKind[] = ['session', 'message', 'event']
const ENTRIES = new Set(['variables', 'attributes'])
const TAKES = 'takes PATH=ACTION, such as session.user_id=hash'

/** @returns The effective rules, or what is wrong with each invalid one. `rules` null: no field is changed. */
export function parsePiiRules(texts: readonly string[]): { readonly rules: PiiRules; readonly faults: readonly string[] } {
  const rules: Rule[] = []
  const faults: string[] = []
  for (const text of texts.map(each => each.trim()).filter(each => each !== '')) {
    const parsed = parseRule(text)
    if (typeof parsed === 'string') faults.push(parsed)
    else rules.push(parsed)
  }
  return { rules: rulesOf(rules), faults }
}

function parseRule(text: string): Rule | string {
  const match = /^([^.=\s]+)\.([^=]+?)\s*=\s*(\S+)$/.exec(text)
  const [, kindWord = '', path = '', action = ''] = match ?? []
  if (match === null) return `"${text}": ${TAKES}`
  if (!isAction(action)) return `"${text}": ${action} is no action; there are ${PII_ACTIONS.join(', ')}`
  const kinds = KINDS.filter(kind => globOf(kindWord).test(kind))
  if (kinds.length === 0) return `"${text}": ${kindWord} is no record; there are session, message, event and *`
  const dot = path.indexOf('.')
  const fieldWord = dot < 0 ? path : path.slice(0, dot)
  const entryWord = dot < 0 ? null : path.slice(dot + 1)
  const field = globOf(fieldWord)
  const named = kinds.flatMap(kind => Object.entries(PII_FIELDS[kind]).filter(([name]) => field.test(name)))
  if (named.length === 0) {
    const known = [...new Set(kinds.flatMap(kind => Object.keys(PII_FIELDS[kind])))].join(', ')
    return `"${text}": there is no field ${fieldWord} that can be masked; there are ${known}`
  }
  if (entryWord !== null && !named.some(([name]) => ENTRIES.has(name)))
    return `"${text}": ${fieldWord} has no entries; attributes and variables have`
  const isPattern = fieldWord.includes('*')
  const unfit = isPattern ? undefined : named.find(([, fieldKind]) => entryWord === null && !canTake(fieldKind, action))
  if (unfit)
    return `"${text}": ${unfit[0]} cannot be ${PAST[action]}; ${unfit[1] === 'id' ? 'it can be hashed' : 'it can be dropped'}`
  return { kinds, field, entry: entryWord === null ? null : globOf(entryWord), action }
}

const PAST = { keep: 'kept', drop: 'dropped', mask: 'masked', hash: 'hashed' } as const

function canTake(field: FieldKind, action: PiiAction): boolean {
  if (action === 'keep') return true
  if (field === 'id') return action === 'hash'
  return field === 'other' ? action === 'drop' : true
}

function isAction(word: string): word is PiiAction {
  return (PII_ACTIONS as readonly string[]).includes(word)
}

/** `*` is any run of characters; everything else is literal. */
function globOf(word: string): RegExp {
  return new RegExp(
    `^${word
      .split(/\*+/)
      .map(part => RegExp.escape(part))
      .join('.*')}$`,
    's',
  )
}

function rulesOf(rules: readonly Rule[]): PiiRules {
  const fields = new Map<string, PiiAction>()
  for (const kind of KINDS) {
    for (const [field, fieldKind] of Object.entries(PII_FIELDS[kind])) {
      let action: PiiAction = 'keep'
      for (const rule of rules) {
        if (rule.entry !== null || !rule.kinds.includes(kind) || !rule.field.test(field)) continue
        if (canTake(fieldKind, rule.action)) action = rule.action
      }
      fields.set(`${kind}.${field}`, action)
    }
  }
  // These ids link records: if hashed on one, they are hashed on all, also on those of another stream. Stricter actions stay.
  for (const id of ['session_id', 'user_id'])
    if (KINDS.some(kind => fields.get(`${kind}.${id}`) === 'hash'))
      for (const kind of KINDS) if (fields.get(`${kind}.${id}`) === 'keep') fields.set(`${kind}.${id}`, 'hash')
  const entries = new Map<string, PiiAction>()
  return {
    action: (kind, field) => fields.get(`${kind}.${field}`) ?? 'keep',
    entryAction: (kind, field, name) => {
      const key = `${kind}.${field}.${name}`
      let action = entries.get(key)
      if (action !== undefined) return action
      action = 'keep'
      for (const rule of rules)
        if (rule.kinds.includes(kind) && rule.field.test(field) && (rule.entry?.test(name) ?? true)) action = rule.action
      // Names of entries come from the vendor: their number is unlimited.
      if (entries.size >= 10_000) entries.clear()
      entries.set(key, action)
      return action
    },
    hashes: rules.some(rule => rule.action === 'hash'),
  }
}
