/**
 * Kore.ai's rows, and the shapes they are parsed into.
 *
 * A schema requires only what a row cannot lack (its id, its time); every other field is parsed leniently, and unknown fields go to `attributes`. Fields are
 * from the vendor's docs, whose versions disagree: in the oldest, `sessionType` has the values that `containmentType` has in the others, so the values decide.
 * Nothing here is measured.
 */
import { z } from 'zod'
import {
  bool,
  clean,
  contentId,
  instant,
  isObject,
  jsonOf,
  type Loose,
  looseObject,
  number,
  put,
  realTime,
  text,
  timeFault,
} from '../../src/source/index.ts'

/** One session. Key order is fixed, because the fingerprint is its JSON. Times are epoch milliseconds. */
export interface Conversation {
  readonly id: string
  readonly botId: string | null
  readonly startedAtMs: number
  /** While the session is active, this may be its newest activity. */
  readonly endTimeMs: number | null
  /** null: unknown (servers before v10), or an unknown word, which is in `attributes` then. */
  readonly state: 'active' | 'closed' | null
  readonly containment: 'DROP_OFF' | 'SELF_SERVICE' | 'AGENT' | null
  readonly interactive: boolean | null
  readonly channel: string | null
  readonly userId: string | null
  readonly languages: readonly string[]
  readonly isTest: boolean | null
  readonly tags: readonly Tag[]
  readonly totalMessages: number | null
  readonly tasks: number | null
  readonly attributes: Loose
  /** Read by its id, long after its start: of an old session the vendor leaves out session tags then. */
  readonly followed: boolean
  /** In order of time, each id once. null: not read. */
  readonly messages: readonly Turn[] | null
  /** `agentHandOffTime`, if it was requested and is known. */
  readonly handOffAtMs: number | null
  /** The contact center's conversation of the session, if it was requested and exists. */
  readonly contact: Contact | null
  /** Why that conversation was not read, though there may be one. null: it was, or was not requested. */
  readonly contactLack: 'refused' | 'too far down' | 'shifting' | null
  /** `transferred_at` as it was published first: it does not change, whatever is known by now. */
  readonly publishedTransferMs: number | null
}

/** The session in the contact center, from `GET conversations`. Times are epoch milliseconds. */
export interface Contact {
  readonly id: string
  readonly sessionId: string | null
  readonly startedAtMs: number
  /** When an agent first accepted or was handed the conversation. */
  readonly transferredAtMs: number | null
  /** Later ones. */
  readonly transfers: readonly { readonly atMs: number; readonly to: string | null; readonly attributes: Loose }[]
  readonly endedAtMs: number | null
  readonly queue: string | null
  readonly agentId: string | null
  readonly agentName: string | null
  readonly userId: string | null
  readonly channel: string | null
  readonly language: string | null
  readonly attributes: Loose
}

export interface Tag {
  readonly name: string
  readonly value: string | null
  readonly scope: 'user' | 'session'
}

export interface Turn {
  readonly id: string
  readonly sessionId: string | null
  /** null: the row has no readable time. */
  readonly atMs: number | null
  /** USER, BOT, AGENT, or the vendor's word if it is another one; null: unknown. */
  readonly sender: string | null
  readonly type: string | null
  readonly text: string | null
  readonly attachments: readonly { readonly kind: string; readonly url: string; readonly caption: string | null }[]
  readonly channelUserId: string | null
  readonly language: string | null
  readonly agentId: string | null
  readonly agentName: string | null
  readonly attributes: Loose
}

/** Set by us on rows that were read by id. */
export const FOLLOWED = 'colloquy:followed'

/** Epoch milliseconds, UTC ("Dates are GMT"): also for a time without a zone, and for a number, which is seconds if small. */
export const Instant = z.unknown().transform((raw, ctx): number => {
  const ms = instant(raw)
  if (ms !== null) return ms
  ctx.issues.push({ code: 'custom', input: raw, message: timeFault(raw) })
  return z.NEVER
})

const Id = z.unknown().transform((raw, ctx): string => {
  const id = typeof raw === 'string' || typeof raw === 'number' ? text(raw) : null
  if (id !== null) return id
  ctx.issues.push({ code: 'custom', input: raw, message: raw === undefined || raw === null ? 'is missing' : 'is no id' })
  return z.NEVER
})

export const Row = looseObject({ sessionId: Id, start_time: Instant }).transform((row): Conversation => {
  const { sessionId, botId, channel, userId, start_time, end_time, session_lang, ...more } = row
  const { sessionType, containmentType, sessionStatus, isDeveloper, tags, ...others } = more
  const { noOfMessagesExchanged, noOfTasksExecuted, [FOLLOWED]: followed, ...rest } = others
  const { userTags, sessionTags, ...otherTags } = isObject(tags) ? tags : ({ tags } as Loose)
  const endTimeMs = instant(end_time)
  const state = stateOf(sessionStatus)
  const isTest = bool(isDeveloper)
  const words = kindsOf({ containmentType, sessionType })
  return {
    id: sessionId,
    botId: text(botId),
    startedAtMs: start_time,
    endTimeMs,
    state,
    containment: words.containment,
    interactive: words.interactive,
    channel: text(channel),
    userId: text(userId),
    languages: languagesOf(session_lang),
    isTest,
    tags: [...tagsOf(userTags, 'user'), ...tagsOf(sessionTags, 'session')],
    totalMessages: number(noOfMessagesExchanged),
    tasks: number(noOfTasksExecuted),
    attributes: attributes({
      ...rest,
      ...prefixed('tags.', otherTags),
      ...words.unknown,
      ...(state === null ? { sessionStatus } : {}),
      ...(endTimeMs === null ? { end_time } : {}),
      ...(isTest === null ? { isDeveloper } : {}),
      ...(number(noOfMessagesExchanged) === null ? { noOfMessagesExchanged } : {}),
      ...(number(noOfTasksExecuted) === null ? { noOfTasksExecuted } : {}),
    }),
    followed: followed === true,
    messages: null,
    handOffAtMs: null,
    contact: null,
    contactLack: null,
    publishedTransferMs: null,
  }
})

/** Session tags that the platform sets at a transfer to an agent: the first is in samples, the other is its name in text channels. */
const TRANSFER_TAGS: ReadonlySet<string> = new Set(['voiceagenttransferstart', 'agenttransferstart'])

/** Whether something shows that a person was involved: the vendor's word, its tag, its time, or a person who wrote. */
export function isHandedOver(row: Conversation): boolean {
  return (
    row.containment === 'AGENT' ||
    row.publishedTransferMs !== null ||
    row.handOffAtMs !== null ||
    (row.contact !== null && (row.contact.transferredAtMs !== null || row.contact.agentId !== null)) ||
    firstAgentTurn(row) !== undefined ||
    row.tags.some(({ name, value, scope }) => scope === 'session' && TRANSFER_TAGS.has(lettersOf(name)) && bool(value) !== false)
  )
}

/**
 * When the session was handed over, epoch milliseconds: the published time, else the platform's, else the contact center's, else the first message of an agent.
 * null: unknown; nothing replaces it.
 */
export function transferOf(row: Conversation, at: { readonly observedAtMs: number }): number | null {
  const times = [row.publishedTransferMs, row.handOffAtMs, row.contact?.transferredAtMs, firstAgentTurn(row)?.atMs]
  return times.map(atMs => realTime(atMs, at)).find(atMs => atMs !== null) ?? null
}

function firstAgentTurn({ messages }: Conversation): Turn | undefined {
  return messages?.find(({ sender }) => sender === 'AGENT')
}

/** The id of a session row in the vendor's form. */
export function sessionIdOf(row: unknown): string | null {
  return isObject(row) ? text(row['sessionId']) : null
}

const STATES: ReadonlyMap<string, 'active' | 'closed'> = new Map([
  ['active', 'active'],
  ['open', 'active'],
  ['closed', 'closed'],
  ['inactive', 'closed'],
  ['ended', 'closed'],
])

function stateOf(raw: unknown): Conversation['state'] {
  return STATES.get(lettersOf(raw)) ?? null
}

const CONTAINMENTS: ReadonlyMap<string, NonNullable<Conversation['containment']>> = new Map([
  ['dropoff', 'DROP_OFF'],
  ['selfservice', 'SELF_SERVICE'],
  ['agent', 'AGENT'],
  ['agenttransfer', 'AGENT'],
])
const INTERACTIVE: ReadonlyMap<string, boolean> = new Map([
  ['interactive', true],
  ['noninteractive', false],
])

/** The values of these fields, whichever field has them; an unknown value stays under its field's name. */
function kindsOf(fields: Loose): Pick<Conversation, 'containment' | 'interactive'> & { unknown: Loose } {
  let containment: Conversation['containment'] = null
  let interactive: boolean | null = null
  const unknown: Record<string, unknown> = {}
  for (const [name, raw] of Object.entries(fields)) {
    const word = lettersOf(raw)
    if (CONTAINMENTS.has(word)) containment ??= CONTAINMENTS.get(word) ?? null
    else if (INTERACTIVE.has(word)) interactive ??= INTERACTIVE.get(word) ?? null
    else unknown[name] = raw
  }
  return { containment, interactive, unknown }
}

export function lettersOf(raw: unknown): string {
  return (text(raw) ?? '').toLowerCase().replace(/[^a-z]/g, '')
}

function languagesOf(raw: unknown): string[] {
  const words = [raw].flat().map(text)
  return [...new Set(words.filter(word => word !== null))]
}

/**
 * `{name, value}` with values of mixed type; those that are not text are written as JSON, so that `true` and `"true"` are equal. An object without `name` is a
 * map of names and values.
 */
function tagsOf(raw: unknown, scope: Tag['scope']): Tag[] {
  return [raw].flat().flatMap(tag => {
    if (isObject(tag) && tag['name'] === undefined)
      return tagsOf(
        Object.entries(tag).map(([name, value]) => ({ name, value })),
        scope,
      )
    const { name, value } = isObject(tag) ? tag : { name: tag, value: null }
    const word = text(name)
    return word === null ? [] : [{ name: word, value: text(value), scope }]
  })
}

/** Control messages of the platform to its clients (typing, an agent who joins), in the field of a message's direction or of its component's type. */
const CONTROL = 'ctrlmsg'

/** Messages of one answer. Without an id they get one computed from the content; `seq` is their position in order of time. */
export function turnOf(raw: unknown): Turn {
  const row = isObject(raw) ? raw : ({ value: raw } as Loose)
  const { _id, sessionId, type, createdOn, chnl, channel, channels, lang, components, author, botId, ...rest } = row
  const parts = Array.isArray(components) ? components.filter(isObject) : []
  const way = text(type)?.toLowerCase() ?? null
  const isControl = way === CONTROL || (parts.length > 0 && parts.every(({ cT }) => text(cT)?.toLowerCase() === CONTROL))
  const agent = way === 'outgoing' && !isControl ? agentOf(author, text(botId)) : null
  const atMs = instant(createdOn)
  const words = parts.flatMap(part => wordsOf(part))
  const media = parts.flatMap(part => mediaOf(part))
  return {
    id: text(_id) ?? contentId(text(sessionId), atMs, way, jsonOf(components ?? null)),
    sessionId: text(sessionId),
    atMs,
    sender: isControl ? 'SYSTEM' : way === 'incoming' ? 'USER' : way === 'outgoing' ? (agent === null ? 'BOT' : 'AGENT') : way,
    type: text(parts[0]?.['cT'])?.toLowerCase() ?? (isControl ? CONTROL : null),
    text: words.length === 0 ? null : words.join('\n'),
    attachments: media,
    channelUserId:
      [channels]
        .flat()
        .map(each => (isObject(each) ? text(each['channelUId']) : null))
        .find(id => id !== null) ?? null,
    language: text(lang),
    agentId: agent?.id ?? null,
    agentName: agent?.name ?? null,
    attributes: attributes({
      ...rest,
      ...(isControl && way !== CONTROL ? { type: way } : {}),
      ...(chnl === undefined ? {} : { chnl }),
      ...(channel === undefined ? {} : { channel }),
      channels,
      components: parts.length === 0 ? components : parts.map(unsaid),
      ...(agent === null ? { author } : prefixed('author.', agent.rest)),
    }),
  }
}

const MEDIA: ReadonlySet<string> = new Set(['audio', 'video', 'image', 'attachment', 'filelink'])

function isMedia(part: Loose): boolean {
  return MEDIA.has(lettersOf(part['cT'])) && addressOf(part) !== null
}

/** What somebody said: NUL characters are removed, and everything else stays. */
function wordsOf(part: Loose): string[] {
  const data = part['data']
  const words = isObject(data) ? data['text'] : data
  return typeof words !== 'string' || clean(words) === '' || (isMedia(part) && words === addressOf(part)) ? [] : [clean(words)]
}

/** Address of the file of a media component: only the `text` of `data` is documented. */
function addressOf({ data }: Loose): string | null {
  const component = isObject(data) ? data : { text: data }
  const named = [component['url'], component['fileUrl'], component['link'], component['src'], component['text']].map(text)
  return named.find(word => word !== null && /^https?:\/\//i.test(word)) ?? null
}

function mediaOf(part: Loose): Turn['attachments'] {
  const url = isMedia(part) ? addressOf(part) : null
  const data = isObject(part['data']) ? part['data'] : {}
  if (url === null) return []
  return [
    { kind: text(part['cT'])?.toLowerCase() ?? 'file', url, caption: text(data['caption'] ?? data['title'] ?? data['fileName']) },
  ]
}

/** A component without the text that is in the message's, and without empty fields. */
function unsaid(part: Loose): Loose {
  const { data, thumbnails, ...rest } = part
  const { text: _said, ...left } = isObject(data) ? data : ({} as Loose)
  return {
    ...rest,
    ...(Object.keys(left).length === 0 ? {} : { data: left }),
    ...(Array.isArray(thumbnails) && thumbnails.length > 0 ? { thumbnails } : {}),
  }
}

/** Who wrote an outgoing message, if it was a person. The form of `author` is not documented. */
function agentOf(author: unknown, botId: string | null): { id: string | null; name: string | null; rest: Loose } | null {
  if (!isObject(author) || lettersOf(author['type'] ?? author['role']).includes('bot')) return null
  if (Object.values(author).every(value => text(value) === null)) return null
  const { profile, ...own } = author
  const fields: Loose = { ...(isObject(profile) ? profile : { profile }), ...own }
  const { id, _id, userId, agentId, name, fullName, displayName, firstName, lastName, fName, lName, ...rest } = fields
  if (botId !== null && [agentId, id, _id, userId].map(text).includes(botId)) return null
  const whole = [firstName ?? fName, lastName ?? lName]
    .map(text)
    .filter(word => word !== null)
    .join(' ')
  // In samples of the contact center `userId` is the agent's id (`u-…`), and `_id` that of the note or message.
  const ids = { userId: text(userId), agentId: text(agentId), id: text(id), _id: text(_id) }
  const agent = Object.values(ids).find(each => each !== null) ?? null
  return {
    id: agent,
    name: text(name) ?? text(fullName) ?? text(displayName) ?? text(whole),
    rest: { ...rest, ...Object.fromEntries(Object.entries(ids).filter(([, each]) => each !== agent)) },
  }
}

/** A row of getAnalytics, with its list. */
export interface Finding {
  readonly list: string
  readonly id: string
  readonly atMs: number
  readonly sessionId: string | null
  readonly userId: string | null
  readonly channel: string | null
  readonly language: string | null
  /** For lists with both: whether it failed. */
  readonly failed: boolean
  readonly attributes: Loose
}

/** Set by us: the list of the row, as rows do not have it. */
export const LIST = 'colloquy:list'

export const FindingRow = looseObject({ [LIST]: z.string(), timestamp: Instant }).transform((row): Finding => {
  const { [LIST]: list, _id, timestamp, sessionId, userId, channel, language, ...rest } = row as Loose
  const name = list as string
  return {
    list: name,
    id: text(_id) ?? contentId(name, timestamp as number, text(sessionId), text(rest['messageId']), text(rest['utterance'])),
    atMs: timestamp as number,
    sessionId: text(sessionId),
    userId: text(userId),
    channel: text(channel),
    language: text(language),
    failed: /fail|error/i.test(text(rest['status']) ?? '') || (number(rest['statusCode']) ?? 0) >= 400,
    attributes: attributes(rest),
  }
})

/** The row as it may be kept: `NLAnalysis` is many times the size of all the rest, and repeats what users said. */
export function findingOf(row: unknown, list: string): unknown {
  if (!isObject(row)) return row
  const { NLAnalysis: _dropped, ...rest } = row
  return { ...rest, [LIST]: list }
}

export function findingIdOf(row: unknown): string | null {
  return isObject(row) ? text(row['_id']) : null
}

/** Fields in order of their names, without those that mean nothing. */
export function attributes(fields: Loose): Loose {
  const out: Record<string, unknown> = {}
  for (const name of Object.keys(fields).sort()) {
    const value = fields[name]
    if (value === undefined || value === null || (typeof value === 'string' && text(value) === null)) continue
    if (typeof value === 'object' && Object.keys(value).length === 0) continue
    put(out, name, value)
  }
  return out
}

function prefixed(prefix: string, fields: Loose): Loose {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [prefix + name, value]))
}
