/**
 * Personal data, as the connector's rules want it (`src/source/pii.ts`): in records, in rejected rows, in ids that logs and topics carry.
 *
 * A value that a rule hides is hidden wherever it stands in the row's records: a hashed session id in keys, links and attributes, a person's name
 * in a text.
 */
import { createHmac } from 'node:crypto'
import {
  type Attachment,
  type Event,
  eventKeyOf,
  type Message,
  messageKeyOf,
  type Session,
  sessionKeyOf,
  type Tag,
} from '../records.ts'
import type { BaseConfig } from '../source/config.ts'
import type { Connector, Draft, RecordKind } from '../source/contract.ts'
import type { PiiAction, PiiRules, PiiSpec } from '../source/pii.ts'
import { maskText } from './free-text.ts'
import { type Seal, sealOf, unsealed } from './seal.ts'

export interface Mask {
  /** The records of one row, together: what hides a value in one hides it in all. Changes them in place. */
  records(drafts: readonly Draft[]): readonly Draft[]
  /** A session's id as its records have it. */
  sessionId(id: string): string
  /** A vendor's row on its way to rejects. Never changes the row itself. */
  row(raw: unknown): unknown
  /** An id of a row as logs, errors and the rejects topic show it. */
  shownId(rowId: string): string
  /** For what is kept on topics to be read again by us only. */
  readonly seal: Seal
  /** For ids of rows that are kept so: sealed only where rules hide them. */
  readonly idSeal: Seal
  /** The rejected row as it was, for `rejects redrive`; null: what `row` returns is enough. */
  sealedRow(raw: unknown): string | null
}

export const asGiven: Mask = {
  records: drafts => drafts,
  sessionId: id => id,
  row: raw => raw,
  shownId: rowId => rowId,
  seal: unsealed,
  idSeal: unsealed,
  sealedRow: () => null,
}

/** As the connector's config wants it. */
export function maskFor({ manifest }: Connector, { pii }: Pick<BaseConfig, 'pii'>): Mask {
  return pii === null ? asGiven : maskOf(pii.rules, pii.key, manifest.pii?.row)
}

const MASKED = '[masked]'
/** Shorter values are hidden only where they stand alone: a user `1` must not change every 1. */
const LEAST_INSIDE = 4

/**
 * @param key null: no rule hashes.
 * @param spec What the connector declares of its rows; absent: every text of a rejected row is hidden.
 */
export function maskOf(rules: PiiRules, key: string | null, spec: PiiSpec['row'] | undefined): Mask {
  const hash = hasher(key)
  const fieldsOf = { persons: setOf(spec?.persons), texts: setOf(spec?.texts), plain: setOf(spec?.plain) }
  const seal = key === null ? unsealed : sealOf(key)
  const hidesIds = rules.action('session', 'session_id') === 'hash'
  return {
    records: drafts => {
      const hidden = new Hidden()
      for (const draft of drafts) collect(draft, rules, hash, hidden)
      for (const draft of drafts) apply(draft, rules, hash, hidden)
      return drafts
    },
    sessionId: id => (hidesIds ? hash(id) : id),
    row: raw => maskRow(raw, fieldsOf, key === null ? null : hash),
    shownId: rowId => (hidesIds && rowId !== '' ? hash(rowId) : rowId),
    seal,
    idSeal: hidesIds ? seal : unsealed,
    sealedRow: raw => (key === null ? null : seal.seal(JSON.stringify(raw) ?? 'null')),
  }
}

type Hash = (value: string) => string

/** HMAC-SHA-256, the first 16 bytes in hex: the same for the same value, whatever field, connector or vendor it comes from. */
function hasher(key: string | null): Hash {
  const known = new Map<string, string>()
  return value => {
    let hashed = known.get(value)
    if (hashed !== undefined) return hashed
    hashed = createHmac('sha256', key ?? '')
      .update(value)
      .digest('hex')
      .slice(0, 32)
    if (known.size >= 50_000) known.clear()
    known.set(value, hashed)
    return hashed
  }
}

/** Values of a row that must not be seen, with what stands for each. */
class Hidden {
  readonly #by = new Map<string, string>()
  #inside: RegExp | null = null

  add(value: string | null, shown: string): void {
    if (value === null || value === '' || value === shown || this.#by.has(value)) return
    this.#by.set(value, shown)
    this.#inside = null
  }

  /** The text with every hidden value replaced that stands in it as a whole word. */
  in(text: string): string {
    if (this.#by.size === 0 || text === '') return text
    const whole = this.#by.get(text)
    if (whole !== undefined) return whole
    this.#inside ??= this.#pattern()
    return text.replace(this.#inside, found => this.#by.get(found) ?? found)
  }

  #pattern(): RegExp {
    const values = [...this.#by.keys()].filter(value => value.length >= LEAST_INSIDE).sort((a, b) => b.length - a.length)
    if (values.length === 0) return /(?!)/
    return new RegExp(`(?<![\\p{L}\\p{N}])(?:${values.map(part => RegExp.escape(part)).join('|')})(?![\\p{L}\\p{N}])`, 'gu')
  }
}

function collect({ kind, record }: Draft, rules: PiiRules, hash: Hash, hidden: Hidden): void {
  const hide = (field: string, value: string | null) => {
    const action = rules.action(kind, field)
    if (action === 'hash') hidden.add(value, value === null ? '' : hash(value))
    else if (action !== 'keep') hidden.add(value, MASKED)
  }
  hide('session_id', record.session_id)
  if (kind === 'session') {
    for (const field of ['user_id', 'channel_user_id', 'agent_id', 'agent_name'] as const) hide(field, record[field])
    hideEntries(kind, 'variables', record.variables, rules, hash, hidden)
  } else if (kind === 'message') {
    for (const field of ['message_id', 'agent_id', 'agent_name'] as const) hide(field, record[field])
  } else for (const field of ['event_id', 'user_id'] as const) hide(field, record[field])
  hideEntries(kind, 'attributes', record.attributes, rules, hash, hidden)
}

/** Longer values are no names or numbers, but texts and nested data: those hide themselves only. */
const LONGEST_PERSON = 80

function hideEntries(
  kind: RecordKind,
  field: 'variables' | 'attributes',
  map: Readonly<Record<string, string>>,
  rules: PiiRules,
  hash: Hash,
  hidden: Hidden,
): void {
  for (const [name, value] of Object.entries(map)) {
    if (value.length < LEAST_INSIDE || value.length > LONGEST_PERSON || !isPersonal(name)) continue
    const action = rules.entryAction(kind, field, name)
    if (action === 'hash') hidden.add(value, hash(value))
    else if (action === 'drop') hidden.add(value, MASKED)
  }
}

/** Names of fields that hold persons with most vendors. */
function isPersonal(name: string): boolean {
  return /name|nombre|mail|correo|phone|telef|mobile|celular|msisdn|address|direcc|user|customer|cliente|contact|identi|document/i.test(
    name,
  )
}

function apply(draft: Draft, rules: PiiRules, hash: Hash, hidden: Hidden): void {
  const act = actor(draft.kind, rules, hash, hidden)
  if (draft.kind === 'session') maskSession(draft.record, act)
  else if (draft.kind === 'message') maskMessage(draft.record, act)
  else maskEvent(draft.record, act)
}

interface Act {
  id(field: string, value: string): string
  name(field: string, value: string | null): string | null
  text(field: string, value: string | null): string | null
  list(field: string, values: string[]): string[]
  entries(field: string, map: Record<string, string>): Record<string, string>
  action(field: string): PiiAction
  /** Free text under this action. */
  under(action: PiiAction, value: string): string
}

function actor(kind: RecordKind, rules: PiiRules, hash: Hash, hidden: Hidden): Act {
  const under = (action: PiiAction, value: string) =>
    action === 'hash' ? hash(value) : action === 'mask' ? maskText(hidden.in(value)) : action === 'drop' ? '' : hidden.in(value)
  const action = (field: string) => rules.action(kind, field)
  return {
    under,
    action,
    id: (field, value) => (action(field) === 'hash' ? hash(value) : hidden.in(value)),
    name: (field, value) => {
      if (value === null) return null
      const what = action(field)
      if (what === 'drop') return null
      return what === 'mask' ? MASKED : under(what, value)
    },
    text: (field, value) => (value === null || action(field) === 'drop' ? null : under(action(field), value)),
    list: (field, values) => {
      const what = action(field)
      return what === 'drop' ? [] : what === 'keep' && values.length === 0 ? values : values.map(value => under(what, value))
    },
    entries: (field, map) => {
      const masked = Object.create(null) as Record<string, string>
      for (const [name, value] of Object.entries(map)) {
        const what = rules.entryAction(kind, field, name)
        if (what !== 'drop') masked[hidden.in(name)] = under(what, value)
      }
      return masked
    },
  }
}

function maskSession(record: Session, act: Act): void {
  record.session_id = act.id('session_id', record.session_id)
  record.session_key = sessionKeyOf(record.vendor, record.account, record.session_id)
  record.user_id = act.name('user_id', record.user_id)
  record.channel_user_id = act.name('channel_user_id', record.channel_user_id)
  record.channel_raw = act.name('channel_raw', record.channel_raw)
  record.language = act.name('language', record.language)
  record.languages = act.list('languages', record.languages)
  record.queue = act.name('queue', record.queue)
  record.agent_id = act.name('agent_id', record.agent_id)
  record.agent_name = act.name('agent_name', record.agent_name)
  record.outcome = act.text('outcome', record.outcome)
  record.starting_cause = act.text('starting_cause', record.starting_cause)
  record.link = act.text('link', record.link)
  record.topics = act.list('topics', record.topics)
  record.tags = record.tags.length === 0 ? record.tags : tagsOf(record.tags, act)
  if (act.action('transferred_at') === 'drop') record.transferred_at = null
  if (act.action('satisfaction') === 'drop') record.satisfaction = null
  record.variables = act.entries('variables', record.variables)
  record.attributes = act.entries('attributes', record.attributes)
}

function maskMessage(record: Message, act: Act): void {
  record.session_id = act.id('session_id', record.session_id)
  record.session_key = sessionKeyOf(record.vendor, record.account, record.session_id)
  record.message_id = act.id('message_id', record.message_id)
  record.message_key = messageKeyOf(record.session_key, record.message_id)
  record.text = act.text('text', record.text)
  record.attachments = record.attachments.length === 0 ? record.attachments : attachmentsOf(record.attachments, act)
  record.language = act.name('language', record.language)
  record.intent = act.name('intent', record.intent)
  record.agent_id = act.name('agent_id', record.agent_id)
  record.agent_name = act.name('agent_name', record.agent_name)
  record.queue = act.name('queue', record.queue)
  record.attributes = act.entries('attributes', record.attributes)
}

function maskEvent(record: Event, act: Act): void {
  if (record.session_id !== null) {
    record.session_id = act.id('session_id', record.session_id)
    record.session_key = sessionKeyOf(record.vendor, record.account, record.session_id)
  }
  record.event_id = act.id('event_id', record.event_id)
  record.event_key = eventKeyOf(record.vendor, record.account, record.event_id)
  record.name = act.name('name', record.name) ?? ''
  record.language = act.name('language', record.language)
  record.user_id = act.name('user_id', record.user_id)
  record.attributes = act.entries('attributes', record.attributes)
}

function tagsOf(tags: readonly Tag[], act: Act): Tag[] {
  const action = act.action('tags')
  if (action === 'drop') return []
  const part = (value: string | null) => (value === null ? null : act.under(action, value))
  return tags.map(({ name, value, scope }) => ({ name: act.under(action, name), value: part(value), scope }))
}

function attachmentsOf(attachments: readonly Attachment[], act: Act): Attachment[] {
  const action = act.action('attachments')
  if (action === 'drop') return []
  return attachments.map(({ kind, url, caption }) => ({
    kind,
    url: act.under(action, url),
    caption: caption === null ? null : act.under(action, caption),
  }))
}

interface RowFields {
  readonly persons: ReadonlySet<string>
  readonly texts: ReadonlySet<string>
  readonly plain: ReadonlySet<string>
}

function setOf(names: readonly string[] | undefined): ReadonlySet<string> {
  return new Set((names ?? []).map(name => name.toLowerCase()))
}

type Treatment = 'person' | 'text' | 'plain' | 'unknown'

/** Digits enough for a telephone number or a document. */
const LEAST_NUMBER = 1_000_000

function maskRow(raw: unknown, fields: RowFields, hash: Hash | null): unknown {
  const hidden = new Hidden()
  const shownPerson = (value: string) => (hash === null ? MASKED : hash(value))
  each(raw, 'unknown', fields, (value, treatment) => {
    const text = String(value)
    if (treatment === 'person' && text.length >= LEAST_INSIDE && text.length <= LONGEST_PERSON)
      hidden.add(text, shownPerson(text))
    return value
  })
  return each(raw, 'unknown', fields, (value, treatment) => {
    if (treatment === 'person') return shownPerson(String(value))
    if (typeof value === 'number')
      return treatment === 'plain' || Math.abs(value) < LEAST_NUMBER
        ? value
        : treatment === 'text'
          ? maskText(String(value))
          : MASKED
    if (treatment === 'text') return maskText(hidden.in(value))
    if (treatment === 'plain') return hidden.in(value)
    return hash === null ? maskText(hidden.in(value)) : MASKED
  })
}

/** A copy of the value with each text and number in it replaced. Names of fields are as the vendor gives them. */
function each(
  value: unknown,
  treatment: Treatment,
  fields: RowFields,
  replaced: (value: string | number, treatment: Treatment) => unknown,
): unknown {
  if (typeof value === 'string' || typeof value === 'number') return replaced(value, treatment)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(one => each(one, treatment, fields, replaced))
  const copy = Object.create(null) as Record<string, unknown>
  for (const [name, one] of Object.entries(value)) copy[name] = each(one, treatmentOf(name, treatment, fields), fields, replaced)
  return copy
}

/** What lies inside a person's field is the person's, whatever it is called. */
function treatmentOf(name: string, outer: Treatment, { persons, texts, plain }: RowFields): Treatment {
  const known = name.toLowerCase()
  if (outer === 'person' || persons.has(known)) return 'person'
  if (texts.has(known)) return 'text'
  return plain.has(known) ? 'plain' : 'unknown'
}
