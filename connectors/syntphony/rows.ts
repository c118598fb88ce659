/**
 * What the dashboard API tells, read liberally: a row must have its session code and its start, everything else may be absent, null, or a number
 * written as text. What is not known here goes to `attributes`. Names are those that a client of the API has used ("seen") or those of the
 * cockpit's columns, whose wire names are assumed; nothing here is measured.
 */
import { z } from 'zod'
import {
  bool,
  clean,
  contentIds,
  FlowError,
  instant,
  jsonOf,
  looseObject,
  number,
  saysFault,
  text,
  texts,
  timeFault,
} from '../../src/source/index.ts'

type Loose = Readonly<Record<string, unknown>>

/** One row of `conversations/list`; key order is fixed, because the fingerprint is its JSON. Times are epoch milliseconds. */
export interface Conversation {
  readonly id: string
  readonly startedAtMs: number
  /** null: not told. */
  readonly durationMs: number | null
  readonly userMessages: number | null
  readonly satisfaction: number | null
  /** In the order they were gone through; one that is entered again comes again. */
  readonly flows: readonly string[]
  readonly tags: readonly Tag[]
  readonly channel: ChannelInfo
  readonly attributes: Loose
  /** null: not read yet. No part of what counts as a change of a row. */
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

/** What `conversations/details` and `messages/list` tell of one conversation, as the vendor gave it. */
export interface Content {
  /** null: the vendor no longer knows the conversation (404). */
  readonly details: Details | null
  /** Rows of `messages/list` that name the conversation; null: the vendor refused the list. */
  readonly delivered: readonly Loose[] | null
}

export interface Turn {
  readonly id: string
  /** null: the vendor told no time. */
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

/** The time at which the row's conversation began; null where it does not say. */
export function startOf(row: unknown): number | null {
  return instant(objectOf(row)['conversationStartedAt'])
}

/** What a row of `conversations/list` is known by while pages are joined. */
export function keyOf(row: unknown): string {
  return text(objectOf(row)['sessionCode']) ?? jsonOf(row) ?? ''
}

/** A longer conversation is none: the number means something else. A year. */
const MOST_SECONDS = 366 * 86_400

export const Row = looseObject({ sessionCode: z.unknown().optional(), conversationStartedAt: z.unknown().optional() }).transform(
  (row, ctx): Conversation => {
    const { sessionCode, conversationStartedAt, durationInSeconds, userMessages, satisfaction, ...more } = row
    const { flowsTravelledNames, tags, channel, ...rest } = more
    const id = text(sessionCode)
    const startedAtMs = instant(conversationStartedAt)
    const seconds = number(durationInSeconds)
    if (id === null) ctx.issues.push({ code: 'custom', input: undefined, path: ['sessionCode'], message: 'is missing' })
    if (startedAtMs === null) {
      const message = timeFault(conversationStartedAt)
      ctx.issues.push({ code: 'custom', input: undefined, path: ['conversationStartedAt'], message })
    }
    if (id === null || startedAtMs === null) return z.NEVER
    return {
      id,
      startedAtMs,
      durationMs: seconds !== null && seconds >= 0 && seconds <= MOST_SECONDS ? Math.round(seconds * 1000) : null,
      userMessages: number(userMessages),
      satisfaction: number(satisfaction),
      flows: listOf(flowsTravelledNames).flatMap(flow => text(isObject(flow) ? flow['name'] : flow) ?? []),
      tags: listOf(tags).flatMap(tagOf),
      channel: channelOf(channel),
      attributes: {
        ...rest,
        ...unread({ durationInSeconds, userMessages, satisfaction }),
        ...(seconds !== null && seconds > MOST_SECONDS && { durationInSeconds }),
      },
      content: null,
    }
  },
)

/**
 * `conversations/details`. An answer that has none of these names is no conversation without messages, but something else. The vendor's page describes
 * it as a message, so it may be the bare list.
 */
export const Details = z.preprocess(
  body => (Array.isArray(body) ? { messages: body as unknown[] } : body),
  looseObject({ messages: z.array(z.unknown()).nullish() }).refine(
    body =>
      ('messages' in body || 'sessionCode' in body || 'channel' in body) &&
      ((body.messages ?? []).length > 0 || !saysFault(body)),
    'has none of the documented fields',
  ),
)
export type Details = z.output<typeof Details>

/** The session's fields in the details that are not the list row's. */
export function detailsAttributes(details: Details): { readonly channel: ChannelInfo; readonly attributes: Loose } {
  const { messages: _, sessionCode: _code, conversationStartedAt: _start, channel, ...attributes } = details
  return { channel: channelOf(channel), attributes }
}

/**
 * The messages in conversation order, each with what the message list tells of it: rows of the list are matched by message id where they have one,
 * else by their words, the first of equal words to the first.
 *
 * @throws FlowError ROW_UNMAPPABLE when a message is no object: a session that lacks some of its messages would look complete.
 */
export function turnsOf({ id: sessionCode, content }: Conversation): Turn[] {
  const ids = contentIds()
  const given = new Map<string, number>()
  const messages = inOrder(content?.details?.messages ?? [])
  const match = matcher(content?.delivered ?? [], new Set(messages.map(message => text(objectOf(message)['messageId']))))
  return messages.map((raw, place) => {
    if (!isObject(raw)) throw new FlowError('ROW_UNMAPPABLE', { path: `messages.${place}`, hint: 'is no object' })
    const { messageId, type, content: said, intent, nlpResponses, ...rest } = raw
    const words = wordsOf(said)
    const kind = text(type)
    const isUser = kind?.toLowerCase() === 'user_input'
    const vendorId = text(messageId)
    const id = vendorId === null ? ids(sessionCode, kind, words) : withOrdinal(vendorId, given)
    const told = isUser ? match(vendorId, words) : null
    const own = ownTimeOf(rest)
    return {
      id,
      atMs: own === undefined ? (told?.atMs ?? null) : instant(rest[own]),
      isUser,
      type: kind,
      text: words,
      attachment: attachmentOf(kind, words),
      intent: text(intent),
      confidence: told?.confidence ?? null,
      language: told?.language ?? null,
      userId: told?.userId ?? null,
      responses: responsesOf(sessionCode, id, nlpResponses),
      attributes: {
        ...told?.attributes,
        ...without(rest, own),
        ...(isObject(said) ? { content: said } : {}),
        ...(nlpResponses !== null && nlpResponses !== undefined && !Array.isArray(nlpResponses) ? { nlpResponses } : {}),
      },
    }
  })
}

/** Names under which a message may carry its time; none is documented. */
const TIMES = ['deliveredAt', 'createdAt', 'date', 'timestamp'] as const

function ownTimeOf(message: Loose): (typeof TIMES)[number] | undefined {
  return TIMES.find(name => instant(message[name]) !== null)
}

/** That they come in conversation order is assumed: where the time of each says that they come newest first, they are turned round. */
function inOrder(messages: readonly unknown[]): readonly unknown[] {
  const times = messages.map(raw => {
    const message = objectOf(raw)
    return instant(message[ownTimeOf(message) ?? ''])
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
  readonly attributes: Loose
}

/** Gives out each row of the message list once; one that names a message of the details to that message only. */
function matcher(
  rows: readonly Loose[],
  messageIds: ReadonlySet<string | null>,
): (messageId: string | null, words: string | null) => Delivered | null {
  const left = rows.map(deliveredOf).sort((a, b) => (a.atMs ?? Infinity) - (b.atMs ?? Infinity) || 0)
  return (messageId, words) => {
    const byId = messageId === null ? -1 : left.findIndex(row => row.messageId === messageId)
    const sought = (words ?? '').trim()
    const place =
      byId >= 0 ? byId : left.findIndex(row => row.words === sought && (row.messageId === null || !messageIds.has(row.messageId)))
    return place < 0 ? null : (left.splice(place, 1)[0] as Delivered)
  }
}

/** Names under which a row of the message list may carry what was said; which one is not documented. */
const WORDS = ['userMessage', 'message', 'text', 'content'] as const

function deliveredOf(row: Loose): Delivered {
  const { sessionCode: _, messageId, deliveredAt, confidence, language, businessKey, ...rest } = row
  const { channel: _channel, tags, translation, nlpResponse, answer, answerNames, ...more } = rest
  const said = WORDS.find(name => more[name] !== null && more[name] !== undefined)
  const share = number(confidence)
  return {
    messageId: text(messageId),
    words: (wordsOf(more[said ?? '']) ?? '').trim(),
    atMs: instant(deliveredAt),
    // 0 to 100 in the cockpit; the webhooks of the same product tell 0 to 1.
    confidence: share === null ? null : share > 1 ? Math.round(share * 1e6) / 1e8 : share,
    language: text(language) ?? text(more['detectedLanguage']),
    userId: text(businessKey) ?? text(objectOf(more['conversation'])['businessKey']),
    attributes: {
      ...without(more, said),
      ...(text(translation) === null ? {} : { translation }),
      ...(text(nlpResponse) === null ? {} : { nlpResponse }),
      ...(text(answer) === null ? {} : { answer }),
      ...(listOf(answerNames).length === 0 ? {} : { answerNames }),
      ...(listOf(tags).length === 0 ? {} : { tags }),
    },
  }
}

/** The session that a row of the message list names; the name of the field is assumed. */
export function sessionCodeOf(row: Loose): string | null {
  return text(row['sessionCode'] ?? row['sessionId'] ?? objectOf(row['conversation'])['sessionCode'])
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

const ATTACHED = new Set(['image', 'gif', 'video', 'audio', 'document', 'file', 'sticker'])

function attachmentOf(type: string | null, words: string | null): { kind: string; url: string } | null {
  const kind = type?.toLowerCase() ?? ''
  return ATTACHED.has(kind) && words !== null && /^https?:\/\/\S+$/.test(words) ? { kind, url: words } : null
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

/** The vendor may give one id to what was said and to what was answered: the second gets `.1` appended, or what is free of it. */
function withOrdinal(id: string, given: Map<string, number>): string {
  let ordinal = given.get(id) ?? 0
  let own = id
  while (ordinal > 0 && given.has((own = `${id}.${ordinal}`))) ordinal++
  given.set(id, ordinal + 1)
  if (own !== id) given.set(own, 1)
  return own
}

/** Words as they were said; of a structured message its text. */
function wordsOf(said: unknown, levels = 8): string | null {
  if (typeof said === 'string') return clean(said)
  if (isObject(said) && levels > 0) return wordsOf(said['text'] ?? said['content'] ?? null, levels - 1)
  return said === null || said === undefined ? null : (jsonOf(said) ?? null)
}

/** Numbers that could not be read, to be kept as they came. */
function unread(fields: Loose): Loose {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => text(value) !== null && number(value) === null))
}

function without(fields: Loose, name: string | undefined): Loose {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name))
}

/** A list, or one thing in place of a list; null and absent are an empty one. */
function listOf(raw: unknown): readonly unknown[] {
  if (Array.isArray(raw)) return raw as unknown[]
  return text(raw) === null ? [] : [raw]
}

export function objectOf(value: unknown): Loose {
  return isObject(value) ? value : {}
}

export function isObject(value: unknown): value is Loose {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * What paging needs of Spring's envelope. `number` is left alone: whether it counts from 0 or 1 is not known. A vendor that leaves empty lists out
 * leaves out `content`, too: then the counts must say that there is nothing, and as no document shows it, it is asked for twice.
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
