/**
 * Parses the dashboard API's rows leniently: a row must have its session code and its start, everything else may be absent, null, or a number written as text.
 * Unknown fields go to `attributes`. Names of fields are settings (`fields.ts`); nothing here is measured.
 */
import { z } from 'zod'
import {
  bool,
  clean,
  contentId,
  contentIds,
  FlowError,
  instant,
  isObject,
  jsonOf,
  type Loose,
  looseObject,
  number,
  objectOf,
  saysFault,
  text,
  texts,
  timeFault,
} from '../../src/source/index.ts'
import { type FieldNames, USUAL } from './fields.ts'

/** One row of `conversations/list`; key order is fixed, because the fingerprint is its JSON. Times are epoch milliseconds. */
export interface Conversation {
  readonly id: string
  readonly startedAtMs: number
  /** null: unknown. */
  readonly durationMs: number | null
  readonly userMessages: number | null
  readonly satisfaction: number | null
  /** In the order of visits; a flow that is entered again is listed again. null: the row has no such field. */
  readonly flows: readonly string[] | null
  /** null: the row has no such field. */
  readonly tags: readonly Tag[] | null
  readonly channel: ChannelInfo
  readonly attributes: Loose
  /** null: not read yet. Not part of what counts as a change of a row. */
  readonly content: Content | null
}

export interface Tag {
  readonly name: string
  readonly uuid: string | null
}

export interface ChannelInfo {
  readonly name: string | null
  readonly attributes: Loose
}

/** `conversations/details` and `messages/list` of one conversation, as the vendor sent them. */
export interface Content {
  /** null: the vendor no longer knows the conversation (404). */
  readonly details: Details | null
  /** Rows of `messages/list` that name the conversation; null: the vendor refused the list. */
  readonly delivered: readonly Loose[] | null
  /** `transferred_at` as it was published first, epoch milliseconds; null: it was not. Absent if nothing is remembered. */
  readonly publishedTransferMs?: number | null
}

export interface Turn {
  readonly id: string
  /** null: unknown. */
  readonly atMs: number | null
  readonly isUser: boolean
  readonly type: string | null
  readonly text: string | null
  readonly attachment: { readonly kind: string; readonly url: string } | null
  readonly intent: string | null
  /** 0 to 1. */
  readonly confidence: number | null
  readonly language: string | null
  readonly userId: string | null
  readonly responses: readonly Response[]
  /** Names of the answers to a message; without names, the text of the answer. */
  readonly answers: readonly string[]
  /** Names of what the engine found in it, besides `intent`. */
  readonly found: readonly string[]
  /** The answer hands the conversation over to a person. */
  readonly handover: Loose | null
  readonly attributes: Loose
}

/** What the engine delivered: an intent, an entity, a document, a question. */
export interface Response {
  readonly id: string
  readonly type: string | null
  readonly name: string | null
  /** Nothing was found, or nothing with enough confidence. */
  readonly missed: boolean
  readonly attributes: Loose
}

/** When the row's conversation began; null if unknown. */
export function startOf(row: unknown, names: FieldNames = USUAL): number | null {
  return instant(objectOf(row)[names.fieldStartedAt])
}

/** Identifies a row of `conversations/list` while pages are joined. */
export function keyOf(row: unknown, names: FieldNames = USUAL): string {
  return text(objectOf(row)[names.fieldSessionCode]) ?? jsonOf(row) ?? ''
}

/** A longer duration is invalid: the number means something else. A year. */
const MOST_SECONDS = 366 * 86_400

/** One row of `conversations/list`, its fields under these names. */
export function rowSchema(names: FieldNames) {
  return looseObject({}).transform((row, ctx): Conversation => {
    const { [names.fieldSessionCode]: sessionCode, [names.fieldStartedAt]: startedAt, ...counted } = row as Loose
    const { [names.fieldDuration]: duration, [names.fieldUserMessages]: userMessages, ...rated } = counted
    const { [names.fieldSatisfaction]: satisfaction, [names.fieldFlows]: flows, ...more } = rated
    const { [names.fieldTags]: tags, [names.fieldChannel]: channel, ...rest } = more
    const id = text(sessionCode)
    const startedAtMs = instant(startedAt)
    const seconds = number(duration)
    const report = (name: string, message: string) => ctx.issues.push({ code: 'custom', input: undefined, path: [name], message })
    if (id === null) report(names.fieldSessionCode, 'is missing')
    if (startedAtMs === null) report(names.fieldStartedAt, timeFault(startedAt))
    if (id === null || startedAtMs === null) return z.NEVER
    return {
      id,
      startedAtMs,
      durationMs: seconds !== null && seconds >= 0 && seconds <= MOST_SECONDS ? Math.round(seconds * 1000) : null,
      userMessages: number(userMessages),
      satisfaction: number(satisfaction),
      flows: flows === undefined ? null : listOf(flows).flatMap(flow => text(isObject(flow) ? flow['name'] : flow) ?? []),
      tags: tags === undefined ? null : listOf(tags).flatMap(tagOf),
      channel: channelOf(channel),
      attributes: {
        ...rest,
        ...unread({ durationInSeconds: duration, userMessages, satisfaction }),
        ...(seconds !== null && seconds > MOST_SECONDS && { durationInSeconds: duration }),
      },
      content: null,
    }
  })
}

export const Row = rowSchema(USUAL)

/**
 * `conversations/details`. An answer with none of these names is not a conversation without messages, but something else. The vendor's page describes it as a
 * message, so it may be the bare list. The result has its messages in `messages`, whatever the vendor's name.
 */
function detailsUnder(names: FieldNames) {
  return z.preprocess(
    body => {
      if (Array.isArray(body)) return { messages: body as unknown[] }
      if (!isObject(body) || names.fieldMessages === 'messages') return body
      const { [names.fieldMessages]: messages, messages: others, ...rest } = body
      return { ...rest, ...(messages !== undefined && { messages }), ...(others !== undefined && { 'raw.messages': others }) }
    },
    looseObject({ messages: z.array(z.unknown()).nullish() }).refine(
      body =>
        ('messages' in body || names.fieldSessionCode in body || names.fieldChannel in body) &&
        ((body.messages ?? []).length > 0 || !saysFault(body)),
      'has none of the documented fields',
    ),
  )
}
export const Details = detailsUnder(USUAL)

/** The same under these names. */
export function detailsSchema(names: FieldNames): typeof Details {
  const isUsual = (['fieldMessages', 'fieldSessionCode', 'fieldChannel'] as const).every(name => names[name] === USUAL[name])
  return isUsual ? Details : detailsUnder(names)
}
export type Details = z.output<typeof Details>

/** The session's fields in the details that differ from the list row's. */
export function detailsAttributes(
  details: Details,
  names: FieldNames = USUAL,
): { readonly channel: ChannelInfo; readonly attributes: Loose } {
  const { messages: _, [names.fieldSessionCode]: _code, [names.fieldStartedAt]: _start, ...rest } = details as Loose
  const { [names.fieldChannel]: channel, ...attributes } = rest
  return { channel: channelOf(channel), attributes }
}

/**
 * The messages in conversation order, each with its row of the message list: rows are matched by message id if they have one, else by their text, the first of
 * equal texts to the first.
 *
 * @throws FlowError ROW_UNMAPPABLE when a message is not an object: a session without some of its messages would look complete.
 */
export function turnsOf({ id: sessionCode, content }: Conversation, names: FieldNames = USUAL): Turn[] {
  const ids = contentIds()
  const given = new Map<string, number>()
  const messages = inOrder(content?.details?.messages ?? [], names)
  const idOf = (message: Loose) => text(message[names.fieldMessageId])
  const match = matcher(content?.delivered ?? [], new Set(messages.map(message => idOf(objectOf(message)))), names)
  const turns: Turn[] = []
  for (const [place, raw] of messages.entries()) {
    if (!isObject(raw)) throw new FlowError('ROW_UNMAPPABLE', { path: `${names.fieldMessages}.${place}`, hint: 'is no object' })
    const { [names.fieldMessageId]: _id, [names.fieldMessageType]: type, [names.fieldMessageContent]: said, ...more } = raw
    const { [names.fieldMessageIntent]: intent, [names.fieldMessageNlp]: nlp, ...rest } = more
    const words = wordsOf(said)
    const kind = text(type)
    const isUser = isOfUser(raw, names)
    const vendorId = idOf(raw)
    const id = vendorId === null ? ids(sessionCode, kind, words) : withOrdinal(vendorId, given)
    const listed = isUser ? match(vendorId, words) : null
    const own = ownTimeOf(rest, names)
    const responses = responsesOf(sessionCode, id, nlp)
    const isNe = bool(rest[names.fieldMessageNe]) === true && responses.length === 0 && [null, 'none'].includes(wordOf(intent))
    // The mark may be on the message that was not understood, on the bot's answer, or on both: it was one miss.
    const since = isUser
      ? []
      : turns.slice(
          Math.max(
            0,
            turns.findLastIndex(turn => turn.isUser),
          ),
        )
    const isSaidBefore = since.some(turn => turn.responses.some(({ missed }) => missed))
    turns.push({
      id,
      atMs: own === undefined ? (listed?.atMs ?? null) : instant(rest[own]),
      isUser,
      type: kind,
      text: words,
      attachment: attachmentOf(kind, words),
      intent: text(intent),
      confidence: listed?.confidence ?? null,
      language: listed?.language ?? null,
      userId: listed?.userId ?? null,
      responses: isNe && !isSaidBefore ? [missedResponse(sessionCode, id)] : responses,
      answers: [...(listed?.answers ?? []), ...namesIn(rest[names.fieldAnswerNames])],
      found: [...(listed?.found ?? []), ...responses.flatMap(({ name, missed }) => (name === null || missed ? [] : name))],
      handover: isUser ? null : handoverOf(raw, names),
      attributes: {
        ...listed?.attributes,
        ...without(rest, own),
        ...(isObject(said) ? { content: said } : {}),
        ...(nlp !== null && nlp !== undefined && !Array.isArray(nlp) ? { nlpResponses: nlp } : {}),
      },
    })
  }
  return turns
}

/** Whether the user said it. */
export function isOfUser(message: unknown, names: FieldNames = USUAL): boolean {
  return wordOf(objectOf(message)[names.fieldMessageType]) === 'user_input'
}

function wordOf(raw: unknown): string | null {
  return text(raw)?.toLowerCase() ?? null
}

/**
 * When a person was handed the conversation with this turn: its own time, else that of the user message before it, which it answers. null: unknown. Earlier
 * user messages are not considered, unless the vendor lists no such message: the time would change when the list shows it.
 */
export function answeredAtOf(turns: readonly Turn[], place: number): number | null {
  for (const turn of turns.slice(0, place + 1).toReversed()) {
    if (turn.atMs !== null) return turn.atMs
    if (turn.isUser && !isAddress(turn.text)) return null
  }
  return null
}

/**
 * What the vendor's message broker treats as a transfer: an answer whose technical text is `{"type":"handover",…,"action":"connect"}`, as an object or written
 * as JSON. With action `disconnect` the conversation goes back to the bot.
 */
function handoverOf(message: Loose, names: FieldNames): Loose | null {
  const answers = [message, objectOf(message[names.fieldMessageContent]), ...listOf(message['answers']).map(objectOf)]
  for (const answer of answers)
    for (const technical of listOf(answer[names.fieldTechnicalText]).map(parsed)) {
      const command = objectOf(technical)
      if (wordOf(command['type']) === 'handover' && wordOf(command['action']) === 'connect') return command
    }
  return null
}

function parsed(raw: unknown): unknown {
  if (typeof raw !== 'string') return raw
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}

/** Names under which a message may have its time; none is documented. */
const TIMES = ['deliveredAt', 'createdAt', 'date', 'timestamp'] as const

function ownTimeOf(message: Loose, { fieldMessageTime }: FieldNames): string | undefined {
  return (fieldMessageTime === undefined ? TIMES : [fieldMessageTime]).find(name => instant(message[name]) !== null)
}

/** Conversation order is assumed: if their times show that they come newest first, they are reversed. */
function inOrder(messages: readonly unknown[], names: FieldNames): readonly unknown[] {
  const times = messages.map(raw => {
    const message = objectOf(raw)
    return instant(message[ownTimeOf(message, names) ?? ''])
  })
  const isNewestFirst = times.every((atMs, place) => atMs !== null && atMs <= (times[place - 1] ?? Infinity))
  return isNewestFirst && times[0] !== times.at(-1) ? messages.toReversed() : messages
}

interface Delivered {
  readonly messageId: string | null
  readonly words: string
  readonly atMs: number | null
  readonly confidence: number | null
  readonly language: string | null
  readonly userId: string | null
  readonly answers: readonly string[]
  readonly found: readonly string[]
  readonly attributes: Loose
}

/** Returns each row of the message list once; a row that names a message of the details is returned for that message only. */
function matcher(
  rows: readonly Loose[],
  messageIds: ReadonlySet<string | null>,
  names: FieldNames,
): (messageId: string | null, words: string | null) => Delivered | null {
  const left = rows.map(row => deliveredOf(row, names)).sort((a, b) => (a.atMs ?? Infinity) - (b.atMs ?? Infinity) || 0)
  return (messageId, words) => {
    const byId = messageId === null ? -1 : left.findIndex(row => row.messageId === messageId)
    const sought = (words ?? '').trim()
    const place =
      byId >= 0 ? byId : left.findIndex(row => row.words === sought && (row.messageId === null || !messageIds.has(row.messageId)))
    return place < 0 ? null : (left.splice(place, 1)[0] as Delivered)
  }
}

/** Names under which a row of the message list may have its text; which one is not documented. */
const WORDS = ['userMessage', 'message', 'text', 'content'] as const

function deliveredOf(row: Loose, names: FieldNames): Delivered {
  const { [names.fieldSessionCode]: _code, [names.fieldMessageId]: messageId, [names.fieldDeliveredAt]: at, ...rest } = row
  const { [names.fieldConfidence]: confidence, [names.fieldLanguage]: language, [names.fieldBusinessKey]: key, ...most } = rest
  const { [names.fieldChannel]: _channel, [names.fieldTags]: tags, [names.fieldTranslation]: translation, ...rather } = most
  const { [names.fieldNlpResponse]: nlp, [names.fieldAnswer]: answer, [names.fieldAnswerNames]: answerNames, ...more } = rather
  const { fieldUserMessage } = names
  const said = (fieldUserMessage === undefined ? WORDS : [fieldUserMessage]).find(name => (more[name] ?? null) !== null)
  const share = number(confidence)
  const answers = namesIn(answerNames)
  const found = text(nlp)
  return {
    messageId: text(messageId),
    words: (wordsOf(more[said ?? '']) ?? '').trim(),
    atMs: instant(at),
    // 0 to 100 in the cockpit; the webhooks of the same product use 0 to 1.
    confidence: share === null ? null : share > 1 ? Math.round(share * 1e6) / 1e8 : share,
    language: text(language) ?? text(more['detectedLanguage']),
    userId: text(key) ?? text(objectOf(more['conversation'])[names.fieldBusinessKey]),
    answers: answers.length > 0 ? answers : [text(answer) ?? []].flat(),
    found: found === null || found.toLowerCase() === 'none' ? [] : [found],
    attributes: {
      ...without(more, said),
      ...(text(translation) === null ? {} : { translation }),
      ...(found === null ? {} : { nlpResponse: nlp }),
      ...(text(answer) === null ? {} : { answer }),
      ...(listOf(answerNames).length === 0 ? {} : { answerNames }),
      ...(listOf(tags).length === 0 ? {} : { tags }),
    },
  }
}

/** Names in a list of words, or of objects with one. */
function namesIn(raw: unknown): string[] {
  return listOf(raw).flatMap(each => text(isObject(each) ? each['name'] : each) ?? [])
}

/** The session that a row of the message list names; null: none, in any known form. */
export function sessionCodeOf(row: Loose, names: FieldNames = USUAL): string | null {
  const code = row[names.fieldSessionCode] ?? row['sessionId'] ?? objectOf(row['conversation'])[names.fieldSessionCode]
  return typeof code === 'object' ? null : text(code)
}

function responsesOf(sessionCode: string, messageId: string, raw: unknown): Response[] {
  const ids = contentIds()
  return listOf(raw).map(response => {
    const { responseType, responseName, ...attributes } = isObject(response) ? response : { responseName: response }
    const [type, name] = [text(responseType), text(responseName)]
    const missed = [type, name].some(word => word?.toLowerCase() === 'none') || name === null
    return { id: ids(sessionCode, messageId, type, name), type, name, missed, attributes }
  })
}

/** The engine found nothing, and only a mark on the message shows it. */
function missedResponse(sessionCode: string, messageId: string): Response {
  return { id: contentId(sessionCode, messageId, 'isNe'), type: null, name: null, missed: true, attributes: {} }
}

const ATTACHED = new Set(['image', 'gif', 'video', 'audio', 'document', 'file', 'sticker'])

function attachmentOf(type: string | null, words: string | null): { kind: string; url: string } | null {
  const kind = type?.toLowerCase() ?? ''
  return ATTACHED.has(kind) && words !== null && isAddress(words) ? { kind, url: words } : null
}

function isAddress(words: string | null): boolean {
  return words !== null && /^https?:\/\/\S+$/.test(words)
}

function tagOf(raw: unknown): Tag[] {
  const name = text(isObject(raw) ? raw['name'] : raw)
  return name === null ? [] : [{ name, uuid: isObject(raw) ? text(raw['uuid']) : null }]
}

function channelOf(raw: unknown): ChannelInfo {
  if (!isObject(raw)) return { name: text(raw), attributes: {} }
  const { name, ...rest } = raw
  return {
    name: text(name),
    attributes: Object.fromEntries(Object.entries(texts(rest)).map(([key, value]) => [`channel.${key}`, value])),
  }
}

/** The vendor may give one id to a message and its answer: the second gets `.1` appended, or the next free number. */
function withOrdinal(id: string, given: Map<string, number>): string {
  let ordinal = given.get(id) ?? 0
  let own = id
  while (ordinal > 0 && given.has((own = `${id}.${ordinal}`))) ordinal++
  given.set(id, ordinal + 1)
  if (own !== id) given.set(own, 1)
  return own
}

/** Text as it was said; for a structured message its text. */
function wordsOf(said: unknown, levels = 8): string | null {
  if (typeof said === 'string') return clean(said)
  if (isObject(said) && levels > 0) return wordsOf(said['text'] ?? said['content'] ?? null, levels - 1)
  return said === null || said === undefined ? null : (jsonOf(said) ?? null)
}

/** Unreadable numbers, kept as they came. */
function unread(fields: Loose): Loose {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => text(value) !== null && number(value) === null))
}

function without(fields: Loose, name: string | undefined): Loose {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name))
}

/** A list, or a single item instead of a list; null and absent mean empty. */
function listOf(raw: unknown): readonly unknown[] {
  if (Array.isArray(raw)) return raw as unknown[]
  return text(raw) === null ? [] : [raw]
}

/**
 * What paging needs of Spring's envelope. `number` is ignored: it is unknown whether it counts from 0 or 1. A vendor that leaves out empty lists leaves out
 * `content`, too: then the counts must say that there is nothing, and as no docs show it, it is requested twice.
 */
export const ListPage = z
  .looseObject({
    content: z.array(z.unknown()).nullish(),
    last: z.unknown().optional(),
    empty: z.unknown().optional(),
    totalElements: z.unknown().optional(),
    totalPages: z.unknown().optional(),
  })
  .refine(
    body =>
      (body.content ?? []).length > 0 ||
      (!saysFault(body) && (Array.isArray(body.content) || number(body.totalElements) === 0 || bool(body.empty) === true)),
    'has no content',
  )
  .transform(({ content, last, totalElements, totalPages }) => ({
    content: content ?? [],
    last: bool(last),
    total: number(totalElements),
    pages: number(totalPages),
    isOpen: (content ?? null) === null,
  }))
export type ListPage = z.output<typeof ListPage>
