/**
 * The one door: every record and every rejected row passes here before anybody else sees it, in worker, `peek`, `check` and redrive alike.
 *
 * What leaves is well-formed Unicode without NUL (strict readers refuse the rest), has no placeholder for a time, has ids and labels of bounded
 * length and languages as BCP 47 tags, and is masked by the connector's policy.
 */
import { FlowError } from '../errors.ts'
import type { Event, Message, Session } from '../records.ts'
import type { Draft } from '../source/contract.ts'
import { languageOf } from '../source/languages.ts'
import { clean, cleanName, realTime } from '../source/lenient.ts'
import type { Mask } from './mask.ts'

export interface Door extends Omit<Mask, 'records'> {
  /**
   * The records of one row. Changes them in place.
   *
   * @throws FlowError ROW_UNMAPPABLE (with `path`) for a record that may not leave; then none of the row may.
   */
  records(drafts: readonly Draft[]): readonly Draft[]
}

export function doorOf(mask: Mask): Door {
  return {
    ...mask,
    sessionId: id => mask.sessionId(cleanId(id)),
    records: drafts => {
      for (const draft of drafts) checkDraft(draft)
      return mask.records(drafts)
    },
  }
}

/** Mends the record in place where it can be mended. @throws FlowError ROW_UNMAPPABLE (with `path`) for one that may not leave */
export function checkDraft(draft: Draft): void {
  if (draft.kind === 'session') checkSession(draft.record)
  else if (draft.kind === 'message') checkMessage(draft.record)
  else checkEvent(draft.record)
  normaliseLanguage(draft.record)
  bound(draft)
}

/** Longest id of a row, bot, session, message or event, UTF-8 bytes: they become keys, here and downstream. */
export const MOST_ID_BYTES = 1024
/** Longest channel, UTF-8 bytes: it becomes a label of series. */
const MOST_CHANNEL_BYTES = 128

/** @throws FlowError ROW_UNMAPPABLE for an id that is too long to be a key. */
function bound({ kind, record }: Draft): void {
  boundId(record.bot_id, 'bot_id')
  if (record.session_id !== null) boundId(record.session_id, 'session_id')
  if (kind === 'message') boundId(record.message_id, 'message_id')
  if (kind === 'event') boundId(record.event_id, 'event_id')
  if (record.channel === null || !isLong(record.channel, MOST_CHANNEL_BYTES)) return
  record.attributes['channel'] = record.channel
  record.channel = 'other'
}

/** Attributes that hold what the vendor wrote for `language`, and for `languages` as a JSON array, where the tags say less than that. */
export const LANGUAGE_RAW = 'language_raw'
export const LANGUAGES_RAW = 'languages_raw'

/** `language` and `languages` as BCP 47 tags; what is no language is left out. Done again, it changes nothing. */
function normaliseLanguage(record: Draft['record']): void {
  const { language } = record
  if (language !== null) {
    const { tag, isSame } = languageOf(language)
    if (tag !== language) record.language = tag
    if (!isSame) record.attributes[LANGUAGE_RAW] ??= language
  }
  if ('languages' in record) normaliseLanguages(record, language)
}

function normaliseLanguages(record: Session, language: string | null): void {
  const { languages } = record
  const read = languages.map(languageOf)
  if (read.every(({ tag }, i) => tag === languages[i])) return
  record.languages = [...new Set(read.flatMap(({ tag }) => tag ?? []))]
  // What stands in `language_raw` is not said twice.
  if (read.some(({ isSame }, i) => !isSame && languages[i] !== language))
    record.attributes[LANGUAGES_RAW] ??= JSON.stringify(languages)
}

/** @throws FlowError ROW_UNMAPPABLE */
export function boundId(id: string, path: string): void {
  if (isLong(id, MOST_ID_BYTES))
    throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is longer than ${MOST_ID_BYTES} bytes` })
}

/** Counts bytes only where the length alone does not tell. */
export function isLong(text: string, mostBytes: number): boolean {
  return text.length > mostBytes || (text.length * 3 > mostBytes && Buffer.byteLength(text) > mostBytes)
}

/** @throws FlowError ROW_UNMAPPABLE for a placeholder. */
export function requireTime(ms: number, observedAtMs: number, path: string): void {
  if (realTime(ms, { observedAtMs }) === null)
    throw new FlowError('ROW_UNMAPPABLE', { path, hint: `${path} is a placeholder, not a time` })
}

const SESSION_IDS = ['session_key', 'bot_id', 'session_id', 'user_id', 'channel_user_id', 'agent_id'] as const
const SESSION_TEXTS = ['channel_raw', 'language', 'queue', 'agent_name', 'outcome', 'starting_cause', 'link'] as const
const MESSAGE_IDS = ['message_key', 'session_key', 'bot_id', 'session_id', 'message_id', 'agent_id'] as const
const MESSAGE_TEXTS = ['type', 'text', 'language', 'intent', 'agent_name', 'queue'] as const
const EVENT_IDS = ['event_key', 'session_key', 'bot_id', 'session_id', 'event_id', 'user_id'] as const
const EVENT_TEXTS = ['name', 'language'] as const

function checkSession(record: Session): void {
  const { observed_at: observedAtMs } = record
  requireTime(record.started_at, observedAtMs, 'started_at')
  if (record.ended_at !== null && realTime(record.ended_at, { observedAtMs }) === null) {
    record.ended_at = null
    record.ended_at_estimated = false
  }
  record.transferred_at = realTime(record.transferred_at, { observedAtMs })
  cleanFields(record, SESSION_IDS, cleanId)
  cleanFields(record, SESSION_TEXTS, cleanText)
  if (record.languages.some(isUnclean)) record.languages = record.languages.map(cleanText)
  if (record.topics.some(isUnclean)) record.topics = record.topics.map(cleanText)
  for (const tag of record.tags) cleanFields(tag, ['name', 'value', 'scope'], cleanText)
  record.variables = cleanMap(record.variables)
  record.attributes = cleanMap(record.attributes)
}

function checkMessage(record: Message): void {
  requireTime(record.sent_at, record.observed_at, 'sent_at')
  cleanFields(record, MESSAGE_IDS, cleanId)
  cleanFields(record, MESSAGE_TEXTS, cleanText)
  for (const attachment of record.attachments) cleanFields(attachment, ['kind', 'url', 'caption'], cleanText)
  record.attributes = cleanMap(record.attributes)
}

function checkEvent(record: Event): void {
  requireTime(record.occurred_at, record.observed_at, 'occurred_at')
  cleanFields(record, EVENT_IDS, cleanId)
  cleanFields(record, EVENT_TEXTS, cleanText)
  record.attributes = cleanMap(record.attributes)
}

function isUnclean(text: string): boolean {
  return !text.isWellFormed() || text.includes('\0')
}

function cleanFields<Name extends string>(
  record: { [name in Name]: string | null },
  names: readonly Name[],
  cleaned: (text: string) => string,
): void {
  for (const name of names) {
    const text = record[name]
    if (text !== null && isUnclean(text)) record[name] = cleaned(text)
  }
}

/** For people to read: half a character becomes U+FFFD, NUL goes. */
function cleanText(text: string): string {
  return clean(text.toWellFormed())
}

/** For keys and ids, where two that differ must not become one: half a character becomes U+FFFD and its number, NUL the sign for it. */
export function cleanId(text: string): string {
  if (!isUnclean(text)) return text
  return cleanName(text.replace(/\p{Surrogate}/gu, half => `\uFFFD${half.charCodeAt(0).toString(16)}`))
}

/** The map itself where all of it is clean. Names are told apart like ids. */
function cleanMap(map: Record<string, string>): Record<string, string> {
  let isClean = true
  for (const name in map) {
    if (!isUnclean(name) && !isUnclean(map[name] as string)) continue
    isClean = false
    break
  }
  if (isClean) return map
  const copy = Object.create(null) as Record<string, string>
  for (const [name, value] of Object.entries(map)) copy[cleanId(name)] = cleanText(value)
  return copy
}
