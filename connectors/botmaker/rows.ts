/**
 * Botmaker's two row shapes, and the common shape that both are parsed into.
 *
 * A schema requires only what no conversation can lack (its id, its times, lists that are lists); every other field is parsed leniently, because the vendor
 * writes `"true"` for true, `"null"` for nothing, numbers as text, and adds fields without notice. Unknown fields go to `attributes`. Shapes are from the
 * vendor's help page (v1) and from clients of the v2 API; nothing here is measured.
 */
import { z } from 'zod'
import {
  bool,
  clean,
  contentIds,
  instant,
  isObject,
  jsonOf,
  type Loose,
  looseObject,
  number,
  objectOf,
  put,
  text,
  timeFault,
} from '../../src/source/index.ts'

/** One conversation of either API version; key order is fixed, because the fingerprint is its JSON. Times are epoch milliseconds. */
export interface Conversation {
  readonly id: string
  readonly startedAtMs: number
  readonly userId: string | null
  readonly channelUserId: string | null
  readonly channelId: string | null
  readonly startingCause: string | null
  readonly link: string | null
  /** The vendor's own flag for whether the user said anything (v1). */
  readonly userHasTalked: boolean | null
  /** The vendor's own counters (v1); null: there are none. */
  readonly counters: Counters | null
  readonly topics: readonly string[]
  /** Variables of the session (v1); those of the chat are in `chat`. */
  readonly variables: Readonly<Record<string, unknown>>
  readonly attributes: Attributes
  /** In order of time, each id once. null: the row has no list. */
  readonly messages: readonly Turn[] | null
  /** In order of time, then name, then info, whatever the vendor's order. null: the row has no list. */
  readonly events: readonly Happening[] | null
  /** v2: the contact's chat in its current state, the same on every session of the contact. Not part of what counts as a change of a session. */
  readonly chat: Chat | null
  /** By id, of agents in this row, from the vendor's list of agents. Not part of what counts as a change of a session. */
  readonly agentNames?: ReadonlyMap<string, string>
}

export interface Counters {
  readonly user: number | null
  readonly bot: number | null
  readonly agent: number | null
  readonly total: number | null
}

export interface Turn {
  readonly id: string
  readonly atMs: number
  /** USER, BOT, AGENT, SYSTEM, or the vendor's word if it is another one; null: unknown. */
  readonly sender: string | null
  readonly type: string | null
  readonly text: string | null
  readonly attachments: readonly { readonly kind: string; readonly url: string; readonly caption: string | null }[]
  readonly intent: string | null
  readonly agentId: string | null
  readonly agentName: string | null
  readonly queue: string | null
  /** Whoever sent it, the message shows that the conversation is with a person, or waits for one. */
  readonly handsOver?: true
  readonly attributes: Attributes
}

export interface Happening {
  readonly id: string
  readonly atMs: number
  readonly name: string
  readonly info: Attributes
  /** A close by a person: it has an agent, or what the agent cut short. */
  readonly isManual?: true
  /** Fields of the event other than its name, time and info. */
  readonly attributes: Attributes
}

export interface Chat {
  readonly tags: readonly string[]
  readonly variables: Readonly<Record<string, unknown>>
  readonly queueId: string | null
  readonly agentId: string | null
  readonly isTester: boolean | null
  /** When the contact's newest session began, epoch milliseconds; null: unknown. */
  readonly lastSessionAtMs: number | null
  readonly attributes: Attributes
}

type Attributes = Loose

/** Epoch milliseconds, UTC. A time without a zone is UTC (v1's curl sample has none and is echoed with `Z`); a number is milliseconds, or seconds if small. */
const Instant = z.unknown().transform((raw, ctx): number => {
  const ms = instant(raw)
  if (ms !== null) return ms
  ctx.issues.push({ code: 'custom', input: raw, message: timeFault(raw) })
  return z.NEVER
})

const listOf = <S extends z.ZodType>(item: S) => z.array(item).nullish()

/** An event with the time under its own version's name, or under the name of the other. */
const eventWith = (name: 'eventCreationTime' | 'creationTime', other: string) =>
  looseObject({}).transform((row, ctx): Loose => {
    const raw = row[name] ?? row[other]
    const ms = instant(raw)
    if (ms === null) ctx.issues.push({ code: 'custom', input: raw, path: [name], message: timeFault(raw) })
    return { ...row, [name]: ms }
  })

const V1Shape = looseObject({
  sessionDate: Instant,
  sessionMessages: listOf(looseObject({ creationTime: Instant })),
  events: listOf(eventWith('eventCreationTime', 'creationTime')),
})
const V1Row = V1Shape.transform(fromV1)

const V2Shape = looseObject({
  creationTime: Instant,
  messages: listOf(looseObject({ creationTime: Instant })),
  events: listOf(eventWith('creationTime', 'eventCreationTime')),
})
const V2Row = V2Shape.transform(fromV2)

/**
 * A row of either API version, recognised by its own fields, so that each fault is named by its path in the vendor's row. One message or event without a time
 * makes the whole row a dead letter: a session without some of its messages would look complete.
 */
export const Row = z.unknown().transform((raw, ctx): Conversation => {
  const old = isObject(raw) && ('sessionDate' in raw || 'sessionId' in raw || 'sessionMessages' in raw)
  const parsed = (old ? V1Row : V2Row).safeParse(raw)
  if (parsed.success) return parsed.data
  for (const issue of parsed.error.issues) ctx.issues.push({ ...issue, input: undefined })
  return z.NEVER
})

/** When the v1 row's session began; null if unknown, so that its row is rejected rather than skipped. */
export function sessionDateOf(row: unknown): number | null {
  return isObject(row) ? instant(row['sessionDate']) : null
}

function fromV2(row: z.output<typeof V2Shape>, ctx: z.RefinementCtx): Conversation {
  const { id: givenId, creationTime, startingCause, chat: givenChat, messages, events, aiAnalysis, variables: own, ...more } = row
  const { chat: ref, tags, variables, queueId, agentId, isTester, ...chatRest } = objectOf(givenChat)
  const { chatId, channelId, contactId, ...refRest } = isObject(ref) ? ref : chatRest
  // Clients have seen the three in the chat only; if it has none of them, the row itself is checked.
  const { chatId: rowChat, channelId: rowChannel, contactId: rowContact, ...withoutIds } = more
  const ids = [chatId, channelId, contactId]
  const none = ids.every(each => each === undefined)
  const [givenChatId, givenChannelId, givenContactId] = none ? [rowChat, rowChannel, rowContact] : ids
  const rest = none ? withoutIds : more

  const userId = text(givenChatId)
  const id = text(givenId) ?? derivedId(userId, creationTime, 'id', ctx)
  const happenings = events
    ? eventsOf(
        id,
        events,
        event => event['name'] ?? event['eventName'],
        event => event['creationTime'] as number,
      )
    : null
  return {
    id,
    startedAtMs: creationTime,
    userId,
    channelUserId: text(givenContactId),
    channelId: text(givenChannelId),
    startingCause: text(startingCause),
    link: userId === null ? null : `https://go.botmaker.com/#/chats/${userId}`,
    userHasTalked: null,
    counters: null,
    topics: [],
    variables: variablesOf(own),
    attributes: attributes(['', rest], ['chat.chat.', isObject(ref) ? refRest : {}], ['aiAnalysis.', aiAnalysis]),
    messages: messages ? inOrder(withIntents(messagesOf(id, messages), happenings ?? [])) : null,
    events: happenings,
    chat: isObject(givenChat)
      ? {
          tags: listOfTexts(tags, 'name'),
          variables: variablesOf(variables),
          queueId: text(queueId),
          agentId: text(agentId),
          isTester: bool(isTester),
          lastSessionAtMs: instant(chatRest['lastSessionCreationTime']),
          attributes: attributes(['chat.', isObject(ref) ? chatRest : refRest], ['chat.', { queueId, agentId }]),
        }
      : null,
  }
}

function v2Message(row: Loose): Omit<Turn, 'id'> & { id: string | null } {
  const { id: givenId, messageId, creationTime, from, agentId, queueId, content, ...rest } = row
  // Without a content object, its fields are looked for in the message itself.
  const flat = content === undefined
  const {
    type,
    text: words,
    media,
    originalText,
    originalAudioUrl,
    ...more
  } = isObject(content) ? content : flat ? rest : ({ text: content } as Loose)
  const kind = kindOf(text(type), words, more)
  const { attachments, left } = mediaOf(media, kind)
  // A voice message has its transcript as text, and the sound as attachment.
  const sound = text(originalAudioUrl)
  const sounds =
    sound === null || attachments.some(({ url }) => url === sound) ? [] : [{ kind: 'audio', url: sound, caption: null }]
  // A translated message has the translation as text, and the original in the attributes.
  const [shown, original] = [said(words), said(originalText)]
  const id = text(givenId)
  return {
    id: id ?? text(messageId),
    atMs: creationTime as number,
    sender: senderOf(text(from)),
    type: kind,
    text: shown ?? original,
    attachments: [...attachments, ...sounds],
    intent: null,
    agentId: text(agentId),
    agentName: null,
    queue: text(queueId),
    ...(isAgentOnCall(more['call']) && { handsOver: true }),
    attributes: attributes(
      ['', flat ? more : rest],
      ['', id === null ? {} : { messageId }],
      ['content.', flat ? {} : more],
      ['content.', shown === null ? {} : { originalText: original }],
      ['content.', left],
    ),
  }
}

/** The vendor's word; without one, or with `text` for a message that has none, what else the message contains. */
function kindOf(type: string | null, words: unknown, { location, call }: Loose): string | null {
  const kind = type?.toLowerCase() ?? null
  if (kind !== null && (kind !== 'text' || said(words) !== null)) return kind
  if (isObject(location)) return 'location'
  if (isObject(call)) return 'call'
  return kind ?? (typeof words === 'string' ? 'text' : null)
}

/** `user-joined`, `agent-joined`, `user-left`, `agent-left`, `recording`, `room-destroyed`: an agent who joins a call is a person who took over. */
function isAgentOnCall(call: unknown): boolean {
  return isObject(call) && text(call['event'])?.toLowerCase() === 'agent-joined'
}

function fromV1(row: z.output<typeof V1Shape>, ctx: z.RefinementCtx): Conversation {
  const {
    sessionId,
    sessionDate,
    customerId,
    platformContactId,
    channelId,
    sessionStartingCause,
    conversation,
    userHasTalked,
    userMessages,
    botMessages,
    operatorMessages,
    sessionMessagesQty,
    topics,
    variables,
    sessionMessages,
    events,
    ...rest
  } = row

  const userId = text(customerId)
  const id = text(sessionId) ?? derivedId(userId, sessionDate, 'sessionId', ctx)
  return {
    id,
    startedAtMs: sessionDate,
    userId,
    channelUserId: text(platformContactId),
    channelId: text(channelId),
    startingCause: text(sessionStartingCause),
    link: text(conversation),
    userHasTalked: bool(userHasTalked),
    counters: {
      user: number(userMessages),
      bot: number(botMessages),
      agent: number(operatorMessages),
      total: number(sessionMessagesQty),
    },
    topics: topicsOf(topics),
    variables: variablesOf(variables),
    attributes: attributes(['', rest], ['', isObject(topics) && !('topicKey' in topics) && saysMore(topics) ? { topics } : {}]),
    messages: sessionMessages ? inOrder(messagesOf(id, sessionMessages)) : null,
    events: events
      ? eventsOf(
          id,
          events,
          event => event['eventName'] ?? event['name'],
          event => event['eventCreationTime'] as number,
        )
      : null,
    chat: null,
  }
}

function v1Message(row: Loose): Omit<Turn, 'id'> & { id: string | null } {
  const { messageId, creationTime, messageType, message, msgFrom, ruleName, operator, queue, ...more } = row
  const { imagesUrls, audiosUrls, videosUrls, filesUrls, ...rest } = more
  const from = text(msgFrom)
  const agentName = text(operator)
  const known = senderOf(from)
  const sender = known !== null && SENDER_WORDS.has(known) ? known : agentName === null ? known : 'AGENT'
  const type = text(messageType)?.toLowerCase() ?? null
  const queueName = text(queue)
  return {
    id: text(messageId),
    atMs: creationTime as number,
    sender,
    type,
    // "null" means no text next to a file; in a text message somebody may have written it.
    text: type === 'text' ? said(message) : text(message),
    attachments: [
      ...urlsOf(imagesUrls, 'image'),
      ...urlsOf(audiosUrls, 'audio'),
      ...urlsOf(videosUrls, 'video'),
      ...urlsOf(filesUrls, 'file'),
    ],
    intent: text(ruleName),
    agentId: null,
    agentName,
    queue: queueName,
    // Both are on the user's messages once the conversation is with a person, or waits for one.
    ...(sender === 'USER' && (agentName !== null || queueName !== null) && { handsOver: true }),
    attributes: attributes(['', rest], ['', sender === known ? {} : { msgFrom: from }]),
  }
}

/** Both versions build the session's id this way, so a row without one still has it. */
function derivedId(userId: string | null, startedAtMs: number, path: string, ctx: z.RefinementCtx): string {
  if (userId !== null) return `${userId}_${new Date(startedAtMs).toISOString()}`
  ctx.issues.push({
    code: 'custom',
    input: undefined,
    path: [path],
    message: 'is missing, and there is nothing to build it from',
  })
  return z.NEVER
}

const SENDERS: ReadonlyMap<string, string> = new Map([
  ['user', 'USER'],
  ['me', 'USER'],
  ['bot', 'BOT'],
  ['customer', 'USER'],
  ['contact', 'USER'],
  ['agent', 'AGENT'],
  ['operator', 'AGENT'],
  ['human', 'AGENT'],
  ['system', 'SYSTEM'],
])
const SENDER_WORDS: ReadonlySet<string> = new Set(SENDERS.values())

function senderOf(from: string | null): string | null {
  if (from === null) return null
  return SENDERS.get(from.toLowerCase()) ?? from
}

/** Recognised by its own fields, like rows. */
function isV1Message(row: Loose): boolean {
  return !('from' in row || 'content' in row) && ('messageId' in row || 'msgFrom' in row || 'message' in row)
}

/** Messages without an id get one computed from their content; equal ones get an ordinal, independent of the vendor's order. */
function messagesOf(sessionId: string, rows: readonly Loose[]): Turn[] {
  const derived = contentIds()
  return rows.map(row => {
    const turn = isV1Message(row) ? v1Message(row) : v2Message(row)
    if (turn.id !== null) return turn as Turn
    return { ...turn, id: derived(sessionId, turn.atMs, turn.sender, turn.type, turn.text) }
  })
}

/** By time, keeping the vendor's order of equal times (it may show whole seconds); of two with one id, the later copy. */
function inOrder(turns: Turn[]): Turn[] {
  for (let i = 1; i < turns.length; i++) {
    if ((turns[i - 1] as Turn).atMs > (turns[i] as Turn).atMs) {
      turns.sort((a, b) => a.atMs - b.atMs)
      break
    }
  }
  const ids = new Set<string>()
  for (const turn of turns) ids.add(turn.id)
  return ids.size === turns.length ? turns : [...new Map(turns.map(turn => [turn.id, turn])).values()]
}

/**
 * v2 has the intent in an event, `find-intent`, just before the message that it led to: the last one after the message before. A user's message of the same
 * instant is what was understood, not what followed, so for that the event must be earlier.
 */
function withIntents(turns: Turn[], events: readonly Happening[]): Turn[] {
  const intents = events.filter(event => event.name === 'find-intent')
  if (intents.length === 0) return turns
  let next = 0
  return inOrder(turns).map(turn => {
    let intent: string | null = null
    for (let found = intents[next]; found !== undefined; found = intents[++next]) {
      if (found.atMs > turn.atMs || (found.atMs === turn.atMs && turn.sender === 'USER')) break
      intent = text(found.info['intentName']) ?? text(found.info['intentId'])
    }
    return intent === null ? turn : { ...turn, intent }
  })
}

/** Events have no id: theirs is computed from session, name, time and info, with an ordinal among equal ones, so that their order does not matter. */
function eventsOf(
  sessionId: string,
  rows: readonly Loose[],
  nameOf: (row: Loose) => unknown,
  atOf: (row: Loose) => number,
): Happening[] {
  const sortable = rows.map(row => {
    const { name: _name, eventName: _eventName, creationTime: _at, eventCreationTime: _eventAt, info: given, ...rest } = row
    const fields = infoOf(given)
    const info = attributes(['', fields])
    const name = text(nameOf(row)) ?? 'other'
    return {
      name,
      atMs: atOf(row),
      info,
      isManual: name === 'conversation-close' && (holds(fields['agentId']) || holds(fields['executingIntents'])),
      attributes: attributes(['', rest]),
      order: `${name} ${canonical(info)} ${canonical(rest)}`,
    }
  })
  if (sortable.length > 1) sortable.sort((a, b) => a.atMs - b.atMs || (a.order < b.order ? -1 : a.order > b.order ? 1 : 0))
  const derived = contentIds()
  return sortable.map(({ name, atMs, info, isManual, attributes }) => ({
    id: derived(sessionId, name, atMs, canonical(info)),
    atMs,
    name,
    info,
    ...(isManual && { isManual }),
    attributes,
  }))
}

/** Whether the field is present, even as an empty list: the vendor adds it when somebody closes by hand, also if there was nothing to cut short. */
function holds(value: unknown): boolean {
  return Array.isArray(value) || text(value) !== null
}

/** v2: an object. v1: pairs of name and value, where a repeated name becomes a list. Anything else keeps its form, as `info`. */
function infoOf(info: unknown): Loose {
  if (isObject(info)) return info
  if (!Array.isArray(info)) return { info }
  const out: Record<string, unknown> = {}
  const met = new Map<string, unknown[]>()
  for (const pair of info) {
    const name = isObject(pair) ? text(pair['name']) : null
    const value = isObject(pair) && name !== null ? pair['value'] : pair
    const values = met.get(name ?? 'info')
    if (values) values.push(value)
    else met.set(name ?? 'info', [value])
  }
  for (const [name, values] of met) put(out, name, values.length === 1 ? values[0] : values)
  return out
}

/** Variables as a map (v2), strings `name:value` split at the first colon, pairs, or one-key objects. Values stay as they were set. */
function variablesOf(raw: unknown): Loose {
  const out: Record<string, unknown> = {}
  for (const item of Array.isArray(raw) ? raw : [raw]) {
    if (typeof item === 'string') {
      const colon = item.indexOf(':')
      const name = text(colon < 0 ? item : item.slice(0, colon))
      if (name !== null) put(out, name, colon < 0 ? '' : item.slice(colon + 1))
    } else if (isObject(item)) {
      const name = text(item['varKey'] ?? item['key'] ?? item['name'])
      const value = item['varValue'] ?? item['value']
      if (Array.isArray(raw) && name !== null && value !== undefined) put(out, name, value)
      else for (const key in item) put(out, key, item[key])
    }
  }
  return sorted(out)
}

/** Words of a list: plain, or in objects under `key` (else their first text). */
function listOfTexts(raw: unknown, key: string): string[] {
  if (raw === undefined || raw === null) return []
  const words = (Array.isArray(raw) ? raw : [raw]).map(item =>
    text(isObject(item) ? (item[key] ?? Object.values(item).find(value => typeof value === 'string')) : item),
  )
  return [...new Set(words.filter(word => word !== null))]
}

/**
 * v1's topics: words, objects under `topicKey`, or one object. An object with other names is a map by topic, as `variables` may be one by variable, unless its
 * names only count (`0`, `topic1`): then its values are the topics. A topic with a negative value is left out.
 */
function topicsOf(raw: unknown): string[] {
  if (!isObject(raw) || 'topicKey' in raw) {
    const listed = isObject(raw) ? raw['topicKey'] : raw
    return listOfTexts(listed, 'topicKey')
  }
  const words = Object.entries(raw).flatMap(([name, value]) => {
    if (bool(value) === false) return []
    if (!/^(topic\D{0,4}|name|key|value)?\d*$/i.test(name)) return [text(name)]
    return listOfTexts(value, 'topicKey')
  })
  return [...new Set(words.filter(word => word !== null))]
}

/** Whether the values of a map carry information, besides that their names apply. */
function saysMore(map: Loose): boolean {
  return Object.values(map).some(value => value !== null && bool(value) === null)
}

function mediaOf(media: unknown, type: string | null): { attachments: Turn['attachments']; left: Loose } {
  if (media === undefined || media === null) return NO_MEDIA
  const attachments: { kind: string; url: string; caption: string | null }[] = []
  const left: unknown[] = []
  for (const item of Array.isArray(media) ? media : [media]) {
    const { type: kind, url, caption, ...rest } = isObject(item) ? item : ({ url: item } as Loose)
    const address = text(url)
    if (address !== null)
      attachments.push({ kind: text(kind)?.toLowerCase() ?? type ?? 'file', url: address, caption: said(caption) })
    const unread = address === null ? (isObject(item) ? item : {}) : attributes(['', rest])
    if (Object.keys(unread).length > 0) left.push(unread)
  }
  return { attachments, left: left.length === 0 ? {} : { media: left.length === 1 ? left[0] : left } }
}

const NO_MEDIA = { attachments: [], left: {} } as const

/** v1 has a plural name, a scalar type and `"null"`: nothing, one address, several in a text, or a list. */
function urlsOf(raw: unknown, kind: string): Turn['attachments'] {
  if (raw === undefined || raw === null || raw === 'null') return []
  const urls = Array.isArray(raw) ? raw.flatMap(item => splitUrls(text(item))) : splitUrls(text(raw))
  return urls.map(url => ({ kind, url, caption: null }))
}

function splitUrls(words: string | null): string[] {
  if (words === null) return []
  const inner = words.trim().replace(/^\[(.*)\]$/s, '$1')
  return inner
    .split(/[,;\s]+(?=["']?https?:)/)
    .map(url => text(url.replace(/^["'\s]+|["'\s]+$/g, '')))
    .filter(url => url !== null)
}

/** What somebody said: NUL characters are removed, and everything else stays, also `null` and `-`. */
function said(raw: unknown): string | null {
  const words = typeof raw === 'string' ? clean(raw) : text(raw)
  return words === '' ? null : words
}

/** The fields of some objects under a prefix, in order of their names, without those that mean nothing. */
function attributes(...parts: readonly (readonly [prefix: string, fields: unknown])[]): Attributes {
  let out: Record<string, unknown> | null = null
  for (const [prefix, fields] of parts) {
    if (!isObject(fields)) {
      const value = attribute(fields)
      if (value !== null) put((out ??= {}), prefix === '' ? 'value' : prefix.slice(0, -1), value)
      continue
    }
    for (const name in fields) {
      const value = attribute(fields[name])
      if (value !== null) put((out ??= {}), prefix + name, value)
    }
  }
  return out === null ? NONE : sorted(out)
}

const NONE: Attributes = {}

function attribute(value: unknown): unknown {
  if (value === undefined || value === null) return null
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'object') return value
  return Object.keys(value).length === 0 ? null : value
}

function sorted(fields: Record<string, unknown>): Attributes {
  const names = Object.keys(fields)
  if (names.length < 2) return fields
  const out: Record<string, unknown> = {}
  for (const name of names.sort()) put(out, name, fields[name])
  return out
}

/** JSON with the names of every object in order. Without nested objects, as in nearly every `info`, it skips the slow path. */
function canonical(value: unknown): string {
  if (isObject(value) && Object.values(value).every(inner => typeof inner !== 'object' || inner === null))
    return JSON.stringify(sorted(value))
  return jsonOf(value, { sorted: true }) ?? ''
}
