/**
 * Personal data, as the connector's rules want it (`src/source/pii.ts`): in records, in rejected rows, in ids that logs and topics carry.
 *
 * A value that a rule hides is hidden wherever it stands in the row's records: a hashed session id in keys, links and attributes, a person's name
 * in a text.
 */
import { createHmac, hash as digest } from 'node:crypto'
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
import { LANGUAGE_RAW, LANGUAGES_RAW } from './door.ts'
import { maskText } from './free-text.ts'
import { type Seal, sealOf, unsealed } from './seal.ts'

export interface Mask {
  /** The records of one row, together: what hides a value in one hides it in all. Changes them in place. */
  records(drafts: readonly Draft[]): readonly Draft[]
  /** A session's id as its records have it. */
  sessionId(id: string): string
  /** A vendor's row on its way to rejects. Never changes the row itself. */
  row(raw: unknown): unknown
  /** An id of a row as the rejects topic shows it. */
  shownId(rowId: string): string
  /** An id of a row as logs and errors show it: without what may be a name, a number or an address, whatever the rules. */
  loggedId(rowId: string): string
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
  loggedId,
  seal: unsealed,
  idSeal: unsealed,
  sealedRow: () => null,
}

/** As the connector's config wants it. */
export function maskFor({ manifest }: Connector, { pii }: Pick<BaseConfig, 'pii'>): Mask {
  return pii === null ? asGiven : maskOf(pii.rules, pii.key, manifest.pii?.row)
}

/** Ids that a machine made, and nobody is called by: hex, UUIDs, our hashes, short numbers. */
const OPAQUE = /^(?:[0-9a-f]{8,}(?:-[0-9a-f]+)*|[\w-]{22}(?:\.\d+)?|[a-z]{0,2}-?\d{1,6})$/i

/** Vendors make ids of rows of what people are called by (numbers, names, addresses): a hash stands for what may be one. */
function loggedId(rowId: string): string {
  const isOpaque = OPAQUE.test(rowId) && !/\d{7}/.test(rowId)
  return rowId === '' || isOpaque ? rowId : `#${digest('sha256', rowId, 'base64url').slice(0, 12)}`
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
  const isSessionHashed = rules.action('session', 'session_id') === 'hash'
  // Vendors make ids of rows of the ids of people.
  const hidesIds =
    isSessionHashed || (['user_id', 'channel_user_id'] as const).some(field => rules.action('session', field) === 'hash')
  return {
    records: drafts => {
      const hidden = new Hidden()
      for (const draft of drafts) collect(draft, rules, hash, hidden)
      for (const draft of drafts) apply(draft, rules, hash, hidden)
      return drafts
    },
    sessionId: id => (isSessionHashed ? hash(id) : id),
    row: raw => maskRow(raw, fieldsOf, key === null ? null : hash),
    shownId: rowId => (hidesIds && rowId !== '' ? hash(rowId) : rowId),
    loggedId: rowId => (hidesIds && rowId !== '' ? hash(rowId) : loggedId(rowId)),
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
  /** Of values that are looked for inside of texts: their lengths by their first character, the longest first. */
  readonly #lengths = new Map<string, number[]>()

  add(value: string | null, shown: string): void {
    if (value === null || value === '' || value === shown || this.#by.has(value)) return
    this.#by.set(value, shown)
    if (value.length < LEAST_INSIDE) return
    const first = value.charAt(0)
    const lengths = this.#lengths.get(first)
    if (lengths === undefined) this.#lengths.set(first, [value.length])
    else if (!lengths.includes(value.length)) lengths.splice(placeIn(lengths, value.length), 0, value.length)
  }

  /** The text with every hidden value replaced that stands in it as a whole word. Takes time in proportion to the text. */
  in(text: string): string {
    if (this.#by.size === 0 || text === '') return text
    const whole = this.#by.get(text)
    if (whole !== undefined) return whole
    if (this.#lengths.size === 0) return text
    let shown = ''
    let from = 0
    for (let at = 0; at < text.length; at++) {
      const lengths = this.#lengths.get(text.charAt(at))
      if (lengths === undefined || isWordAt(text, at - 1)) continue
      for (const length of lengths) {
        const instead = isWordAt(text, at + length) ? undefined : this.#by.get(text.slice(at, at + length))
        if (instead === undefined || at + length > text.length) continue
        shown += text.slice(from, at) + instead
        from = at + length
        at = from - 1
        break
      }
    }
    return from === 0 ? text : shown + text.slice(from)
  }
}

function placeIn(descending: readonly number[], length: number): number {
  const place = descending.findIndex(each => each < length)
  return place < 0 ? descending.length : place
}

const WORD = /[\p{L}\p{N}]/u

/** Whether a letter or a digit stands there. Of a pair of surrogates either half is asked for. */
function isWordAt(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  if (Number.isNaN(code)) return false
  if (code < 128) return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122)
  const isLow = code >= 0xdc00 && code <= 0xdfff
  return WORD.test(String.fromCodePoint(text.codePointAt(isLow ? at - 1 : at) ?? code))
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
    if (rules.action(kind, 'agent_name') !== 'keep') hideParts(record.agent_name, hash, hidden)
    hideEntries(kind, 'variables', record.variables, rules, hash, hidden)
    if (rules.action(kind, 'tags') !== 'keep')
      for (const tag of record.tags) {
        if (!isOfUser(tag)) continue
        hidden.add(tag.value, MASKED)
        hideParts(tag.value, null, hidden)
      }
  } else if (kind === 'message') {
    for (const field of ['message_id', 'agent_id', 'agent_name'] as const) hide(field, record[field])
    if (rules.action(kind, 'agent_name') !== 'keep') hideParts(record.agent_name, hash, hidden)
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
  const hide = (action: PiiAction, value: string) => {
    if (value.length < LEAST_INSIDE || value.length > LONGEST_PERSON) return
    if (action === 'hash') hidden.add(value, hash(value))
    else if (action === 'drop') hidden.add(value, MASKED)
    else return
    hideParts(value, hash, hidden)
  }
  for (const [name, value] of Object.entries(map)) {
    const isNested = /^[{[]/.test(value) && value.length <= LONGEST_NESTED
    if (!isNested && !isPersonal(name)) continue
    const action = rules.entryAction(kind, field, name)
    if (isNested) hideNested(value, name, text => hide(action, text))
    else hide(action, value)
  }
}

/** Nested data stands in an entry as JSON. */
const LONGEST_NESTED = 10_000

function hideNested(json: string, name: string, hide: (text: string) => void): void {
  const walk = (value: unknown, isPerson: boolean): void => {
    if (typeof value === 'string' || typeof value === 'number') {
      if (isPerson) hide(String(value))
    } else if (Array.isArray(value)) for (const each of value) walk(each, isPerson)
    else if (typeof value === 'object' && value !== null)
      for (const [inner, each] of Object.entries(value)) walk(each, isPersonal(inner))
  }
  try {
    walk(JSON.parse(json), isPersonal(name))
  } catch {
    // Text that only begins like nested data.
  }
}

/** A name of several words is met by one of them, too: `Good morning, Ana-Maria`. */
function hideParts(value: string | null, hash: Hash | null, hidden: Hidden): void {
  if (value === null || !/\s/.test(value) || value.length > LONGEST_PERSON) return
  for (const part of value.split(/\s+/))
    if (/^\p{Lu}[\p{L}'-]+$/u.test(part)) hidden.add(part, hash === null ? MASKED : hash(part))
}

/** What a tag says of the user rather than of the conversation. */
function isOfUser({ name, scope }: Tag): boolean {
  return scope === 'user' || isPersonal(name)
}

/** Names of fields that hold persons with most vendors. */
function isPersonal(name: string): boolean {
  return /name|nombre|apellido|mail|correo|phone|telef|mobile|celular|msisdn|address|direcc|user|customer|cliente|contact|identi|document|uid$/i.test(
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
        if (what !== 'drop') masked[shownName(name, hidden)] = under(what, value)
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
  record.channel_raw = act.text('channel_raw', record.channel_raw)
  record.language = act.name('language', record.language)
  record.languages = act.list('languages', record.languages)
  record.queue = act.text('queue', record.queue)
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
  const merged = record.attributes['merged_sessions']
  if (merged !== undefined && act.action('session_id') === 'hash')
    record.attributes['merged_sessions'] = merged
      .split(',')
      .map(id => act.id('session_id', id))
      .join(',')
  maskRaw(record.attributes, LANGUAGE_RAW, 'language', act)
  maskRaw(record.attributes, LANGUAGES_RAW, 'languages', act)
  record.attributes = act.entries('attributes', record.attributes)
}

/** What a vendor wrote for a field is hidden as the field is. */
function maskRaw(attributes: Record<string, string>, name: string, field: string, act: Act): void {
  const raw = attributes[name]
  if (raw === undefined) return
  const shown = act.name(field, raw)
  if (shown === null) delete attributes[name]
  else attributes[name] = shown
}

function maskMessage(record: Message, act: Act): void {
  record.session_id = act.id('session_id', record.session_id)
  record.session_key = sessionKeyOf(record.vendor, record.account, record.session_id)
  record.message_id = act.id('message_id', record.message_id)
  record.message_key = messageKeyOf(record.session_key, record.message_id)
  record.text = act.text('text', record.text)
  record.attachments = record.attachments.length === 0 ? record.attachments : attachmentsOf(record.attachments, act)
  record.language = act.name('language', record.language)
  record.intent = act.text('intent', record.intent)
  record.agent_id = act.name('agent_id', record.agent_id)
  record.agent_name = act.name('agent_name', record.agent_name)
  record.queue = act.text('queue', record.queue)
  maskRaw(record.attributes, LANGUAGE_RAW, 'language', act)
  record.attributes = act.entries('attributes', record.attributes)
}

function maskEvent(record: Event, act: Act): void {
  if (record.session_id !== null) {
    record.session_id = act.id('session_id', record.session_id)
    record.session_key = sessionKeyOf(record.vendor, record.account, record.session_id)
  }
  record.event_id = act.id('event_id', record.event_id)
  record.event_key = eventKeyOf(record.vendor, record.account, record.event_id)
  record.name = act.text('name', record.name) ?? ''
  record.language = act.name('language', record.language)
  record.user_id = act.name('user_id', record.user_id)
  maskRaw(record.attributes, LANGUAGE_RAW, 'language', act)
  record.attributes = act.entries('attributes', record.attributes)
}

function tagsOf(tags: readonly Tag[], act: Act): Tag[] {
  const action = act.action('tags')
  if (action === 'drop') return []
  return tags.map(tag => {
    const { name, value, scope } = tag
    const isHidden = action === 'mask' && value !== null && isOfUser(tag)
    const shown = value === null ? null : isHidden ? MASKED : act.under(action, value)
    return { name: act.under(action, name), value: shown, scope }
  })
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

/** `root`: the row itself, whose fields are known. What lies in an unknown field is unknown, whatever it is called. */
type Treatment = 'person' | 'text' | 'plain' | 'unknown' | 'root'

/** Digits enough for a telephone number or a document. */
const LEAST_NUMBER = 1_000_000

function maskRow(raw: unknown, fields: RowFields, hash: Hash | null): unknown {
  const hidden = new Hidden()
  const shownPerson = (value: string) => (hash === null ? MASKED : hash(value))
  each(raw, 'root', fields, (value, treatment, name) => {
    const text = String(value)
    const isPerson = treatment === 'person' || (treatment === 'unknown' && isPersonal(name))
    if (isPerson && text.length >= LEAST_INSIDE && text.length <= LONGEST_PERSON) {
      hidden.add(text, shownPerson(text))
      hideParts(text, hash, hidden)
    }
    return value
  })
  const replaced = (value: string | number, treatment: Treatment) => {
    if (treatment === 'person') return shownPerson(String(value))
    if (typeof value === 'number')
      return treatment === 'plain' || Math.abs(value) < LEAST_NUMBER
        ? value
        : treatment === 'text'
          ? maskText(String(value))
          : MASKED
    if (treatment === 'text') return maskText(hidden.in(value))
    if (treatment === 'plain' && isPlain(value)) return hidden.in(value)
    return hash === null ? maskText(hidden.in(value)) : MASKED
  }
  return each(raw, 'root', fields, replaced, name => shownName(name, hidden))
}

/** A word, an id, a time or a few words without numbers: what a plain field holds. A row may be rejected because it holds something else. */
function isPlain(value: string): boolean {
  if (value.length > 80 || /[@\n]/.test(value)) return false
  return !/\s/.test(value) || /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d/.test(value) || !/\d(?:[ .()/-]{0,2}\d){4}/.test(value)
}

/** The name of a field or of a map's entry. Vendors have maps by their users' numbers and addresses, too. */
function shownName(name: string, hidden: Hidden): string {
  return maskText(hidden.in(name))
}

/** A copy of the value with each text and number in it replaced. */
function each(
  value: unknown,
  treatment: Treatment,
  fields: RowFields,
  replaced: (value: string | number, treatment: Treatment, name: string) => unknown,
  named: (name: string) => string = name => name,
  of = '',
): unknown {
  if (typeof value === 'string' || typeof value === 'number') return replaced(value, treatment, of)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(one => each(one, treatment, fields, replaced, named, of))
  const copy = Object.create(null) as Record<string, unknown>
  for (const [name, one] of Object.entries(value))
    copy[named(name)] = each(one, treatmentOf(name, treatment, fields), fields, replaced, named, name)
  return copy
}

/** What lies inside a person's field is the person's, whatever it is called. */
function treatmentOf(name: string, outer: Treatment, { persons, texts, plain }: RowFields): Treatment {
  const known = name.toLowerCase()
  if (outer === 'person' || persons.has(known)) return 'person'
  if (outer === 'unknown') return 'unknown'
  if (texts.has(known)) return 'text'
  return plain.has(known) ? 'plain' : 'unknown'
}
