/**
 * The rows of the five reports that are read by default. A schema requires only what a record cannot lack; everything else is parsed leniently: all values are
 * text, also numbers and times, `-` and blanks mean nothing, names are misspelt, in capitals or with a trailing blank (`chanel`, `agent_anwers `). Unknown
 * fields go to `attributes`. Fields are from the vendor's docs of `diagram_9` and from its Postman collection; nothing here is measured.
 */
import { z } from 'zod'
import {
  channelOf,
  clean,
  contentId,
  contentIds,
  isObject,
  isPlaceholder,
  type Loose,
  number,
  put,
  text,
  timeFault,
} from '../../src/source/index.ts'
import { filesOrWords, type Said } from './files.ts'
import { type ReportedTime, reportedTimeOf } from './wall.ts'

type Attributes = Loose

/** `diagram_9`: one exchange with the bot. */
export interface Turn {
  readonly id: string
  readonly told: ReportedTime
  /** The chat's id; null if unknown (`0`). */
  readonly connId: string | null
  /** When another chat of the same customer ended before it, epoch milliseconds, as far as that was looked up. */
  readonly afterMs: number | null
  /** Customer, operation and connector: the same for all chats of a customer on a channel. Null only if there is a `connId`. */
  readonly sessionId: string | null
  readonly rpId: string | null
  readonly channel: string | null
  readonly query: string | null
  readonly answer: string | null
  readonly customerId: string | null
  readonly customerPhone: string | null
  readonly attributes: Attributes
}

/** `chat_8`: one chat from start to close. */
export interface Chat {
  readonly kind: 'chat'
  readonly id: string
  /** Null if the chat has none (`-`, the vendor's sample); then it has a `sessionId`. */
  readonly connId: string | null
  readonly sessionId: string | null
  readonly rpId: string | null
  readonly channel: string | null
  readonly start: ReportedTime
  /** Null: not closed. */
  readonly end: ReportedTime | null
  /** Seconds, as the next. */
  readonly timeOnChatbot: number | null
  readonly timeWithAgent: number | null
  readonly goToAgent: string | null
  readonly wentToAgent: boolean
  readonly agentId: string | null
  readonly agentName: string | null
  readonly timesChatted: number | null
  readonly customerChars: number | null
  readonly customerId: string | null
  readonly customerPhone: string | null
  /** Turns without a chat id were seen when the row was read. */
  readonly isUnnamed: boolean
  /** Null: not looked up, or no turn was found. */
  readonly opening: Opening | null
  readonly attributes: Attributes
}

/** A turn that asks for a person, as a row of `chat_8`, until that has the chat. */
export interface Asked {
  readonly kind: 'asked'
  readonly id: string
  readonly turn: Turn
  /** Time of the first turn of its session. */
  readonly first: ReportedTime
}

/** What the turns of a chat add to it. */
export interface Opening {
  /** Time of the first turn, if it names the session, epoch milliseconds; null: the chat's id names it. */
  readonly firstMs: number | null
  /** When a person was requested; null: in no turn. */
  readonly askedMs: number | null
  readonly skill: string | null
  /** Id of the turn's row (`Asked`), if it differs from the chat's. */
  readonly formerId: string | null
}

/** `chat_2`: one chat with its messages. */
export interface Conversation {
  readonly connId: string
  /** From `chat_8`; null: unknown. */
  readonly rpId: string | null
  readonly channel: string | null
  readonly lines: readonly Line[]
  readonly attributes: Attributes
}

export interface Line {
  readonly id: string
  readonly told: ReportedTime
  readonly channel: string | null
  /** USER, BOT, AGENT, or the vendor's word if it is another one. */
  readonly sender: string
  readonly fromName: string | null
  /** Whether it belongs to the bot's part of the chat: said by the bot, or to it. */
  readonly isWithBot: boolean
  readonly said: Said
  readonly attributes: Attributes
}

/** `diagram_13`: one menu option that was reached, in a call or a chat. */
export interface MenuOption {
  readonly id: string
  readonly told: ReportedTime
  readonly connId: string | null
  readonly rpId: string | null
  readonly channel: string | null
  readonly option: string | null
  /** The customer's id, else their number. */
  readonly userId: string | null
  readonly attributes: Attributes
}

/** `chat_11`: a chat passed on by an agent, to an agent, a skill or a routing point. */
export interface Transfer {
  readonly id: string
  /** Null: an agent or a skill. */
  readonly receiver: 'routing point' | null
  /** False if a bot or nobody passed it on, which the docs do not have: then an agent has it for the first time. */
  readonly isByAgent: boolean
  readonly told: ReportedTime
  readonly connId: string | null
  readonly channel: string | null
  readonly attributes: Attributes
}

/** Added to a row by `reports.ts`: how many equal rows of the same second come before it in the answer. */
export const ORDINAL = 'colloquy:ordinal'
/** Added to a row of `chat_2`: the routing point of its chat. */
const ROUTING_POINT = 'colloquy:rp_id'
/** Added to a row of `diagram_9` without a chat: the chat that it was found to belong to. */
const CHAT = 'colloquy:conn_id'
/** Added to a row of `diagram_9` without a chat: when another chat of the customer ended before it, epoch milliseconds. */
const AFTER = 'colloquy:after'
/** Added to a row of `chat_8`: turns without a chat id were seen with it. */
const UNNAMED = 'colloquy:unnamed'
/** In a turn that is a row of `chat_8` (`Asked`): time of the first turn of its session, as text of this module's `Told`. */
const FIRST = 'colloquy:first'
/** Added to a row of `chat_11`: the receiver is among the routing points. */
const ROUTING_POINTS = 'colloquy:routing_point'
/** The single name in a row that `reports.ts` puts in place of what the vendor cut off; its value is the number of rows received. */
export const CUT_OFF = 'colloquy:rows_before_the_cut'

/**
 * No row has an id: it is computed from the row's content except what may be filled in later (the chat's id, the customer's data), with an ordinal among rows
 * that are equal in this within one second. The account is not in it, because it is part of every key.
 */
export const TurnRow = rowOf(turnOf)

function turnOf(cells: Cells): Turn {
  const ordinal = cells.ordinal()
  const told = cells.told('date')
  const [named, found] = [cells.keyId('conn_id'), cells.chatId(CHAT)]
  const [connId, sessionId, rpId] = [named ?? found, cells.peek('session_id'), cells.keyId('rp_id')]
  const afterMs = cells.number(AFTER)
  const [query, answer] = [cells.words('customer_query'), cells.words('routing_answer')]
  if (sessionId === null && connId === null) cells.fault('session_id', 'is missing, and there is no conn_id')
  return {
    id: numbered(contentId('diagram_9', rpId, sessionId, stampOf(told), query, answer), ordinal),
    told,
    connId,
    afterMs,
    sessionId,
    rpId,
    channel: cells.text('channel'),
    query,
    answer,
    customerId: cells.peek('customer_id'),
    customerPhone: cells.peek('customer_phone'),
    attributes: cells.rest(),
  }
}

/** A chat, or a turn that represents an open one. */
export const ChatRow = rowOf((cells): Chat | Asked => (cells.has(FIRST) ? askedOf(cells) : chatOf(cells)))

function chatOf(cells: Cells): Chat {
  const connId = cells.keyId('conn_id')
  const [sessionId, rpId, start] = [cells.peek('session_id'), cells.keyId('rp_id'), cells.told('start_date')]
  if (sessionId === null && connId === null) cells.fault('conn_id', 'is missing, and there is no session_id')
  const [goToAgent, agentId] = [cells.text('go_to_agent'), cells.chatId('agent_id')]
  const timeWithAgent = cells.seconds('time_with_agent')
  return {
    kind: 'chat',
    id: connId ?? idOfChat(rpId, sessionId, start),
    connId,
    sessionId,
    rpId,
    channel: cells.text('channel'),
    start,
    end: cells.timeIfAny('end_date'),
    timeOnChatbot: cells.seconds('time_on_chatbot'),
    timeWithAgent,
    goToAgent,
    wentToAgent: goToAgent === null ? agentId !== null || (timeWithAgent ?? 0) > 0 : YES.has(goToAgent.toLowerCase()),
    agentId,
    agentName: cells.text('agent_name'),
    timesChatted: cells.number('times_chatted'),
    customerChars: cells.number('customer_chars'),
    customerId: cells.peek('customer_id'),
    customerPhone: cells.peek('customer_phone'),
    isUnnamed: cells.take(UNNAMED) !== undefined,
    opening: null,
    attributes: cells.rest(),
  }
}

const YES: ReadonlySet<string> = new Set(['yes', 'si', 'sí', 'true', '1'])

/** For a chat without an id of its own. A turn that asks for a person has the same one, if the chat begins with the first turn. */
function idOfChat(rpId: string | null, sessionId: string | null, start: ReportedTime): string {
  return contentId('chat_8', rpId, sessionId, stampOf(start))
}

function askedOf(cells: Cells): Asked {
  const first = toldFrom(cells.take(FIRST))
  const turn = turnOf(cells)
  return { kind: 'asked', id: idOfAsked(turn, first), turn, first }
}

/** Rejected rows go through JSON before they are redriven. */
function toldFrom(raw: unknown): ReportedTime {
  const [, kind, ms] = /^([wa])(-?\d+)$/.exec(typeof raw === 'string' ? raw : '') ?? []
  return kind === 'w' ? { wallMs: Number(ms) } : { atMs: Number(ms ?? 0) }
}

/** The id of a turn as a row of `chat_8`. */
export function idOfAsked(turn: Turn, first: ReportedTime): string {
  return turn.connId ?? idOfChat(turn.rpId, turn.sessionId, first)
}

/** A turn as a row of `chat_8`. */
export function asAsked(raw: unknown, first: ReportedTime): unknown {
  return { ...(raw as Loose), [FIRST]: stampOf(first) }
}

/** A row of `chat_8` with which turns without a chat id were seen. */
export function asUnnamed(raw: unknown): unknown {
  return isObject(raw) ? { ...raw, [UNNAMED]: true } : raw
}

export const ConversationRow = rowOf((cells): Conversation => {
  const connId = chatOfRow(cells)
  if (connId === null) cells.fault('conn_id', 'is missing')
  const lines = linesOf(connId ?? '', cells)
  return {
    connId: connId ?? '',
    rpId: cells.chatId(ROUTING_POINT) ?? cells.keyId('rp_id'),
    channel: lines.find(line => line.channel !== null)?.channel ?? cells.text('channel'),
    lines,
    attributes: cells.rest(),
  }
})

export const MenuOptionRow = rowOf((cells): MenuOption => {
  const ordinal = cells.ordinal()
  const told = cells.told('date')
  const [connId, rpId, option] = [cells.keyId('conn_id'), cells.keyId('rp_id'), cells.text('cod_opc_menu')]
  const [second, attempt] = [cells.peek('second_event'), cells.peek('attempt')]
  return {
    id: numbered(contentId('diagram_13', connId, rpId, stampOf(told), second, option, attempt), ordinal),
    told,
    connId,
    rpId,
    channel: cells.text('channel'),
    option,
    userId: cells.peek('customer_id') ?? cells.peek('telephone'),
    attributes: cells.rest(),
  }
})

export const TransferRow = rowOf((cells): Transfer => {
  const ordinal = cells.ordinal()
  const told = cells.told('date')
  const connId = cells.keyId('conn_id')
  const people = ['transfer', 'receiver'].flatMap(side => ['id', 'name', 'dni'].map(what => cells.peek(`${side}_agent_${what}`)))
  const channel = cells.text('channel')
  const isListed = cells.take(ROUTING_POINTS) !== undefined
  const [giver, taker] = [cells.peek('transfer_agent_name'), cells.peek('receiver_agent_name')]
  return {
    id: numbered(contentId('chat_11', connId, stampOf(told), channel, ...people), ordinal),
    receiver: isListed || isOfBot(taker) ? 'routing point' : null,
    isByAgent: !isOfBot(giver) && (cells.id('transfer_agent_id') !== null || cells.peek('transfer_agent_dni') !== null),
    told,
    connId,
    channel,
    attributes: cells.rest(),
  }
})

/** Words for a routing point instead of a name. */
function isOfBot(name: string | null): boolean {
  return name !== null && /^(?:chat)?bot$|^rp$|^routingpoint/.test(lettersOf(name))
}

/** A receiver without a person's number, whose id may be one of a routing point; else null. */
export function receiverOf(raw: unknown): string | null {
  if (!isObject(raw)) return null
  const cells = new Cells(raw, () => {})
  return cells.peek('receiver_agent_dni') === null ? cells.chatId('receiver_agent_id') : null
}

/** A row of `chat_11` whose receiver is a routing point. */
export function asReturned(raw: unknown): unknown {
  return { ...(raw as Loose), [ROUTING_POINTS]: true }
}

/** The id in a row of `information.php?api=routing_points`. */
export function routingPointOf(raw: unknown): string | null {
  return isObject(raw) ? new Cells(raw, () => {}).chatId('rp_id') : null
}

/** A row of `chat_2` with the routing point of its chat, where that is known. */
export function withBot(raw: unknown, bots: ReadonlyMap<string, string | null>): unknown {
  if (!isObject(raw) || bots.size === 0) return raw
  const rpId = bots.get(chatOfRow(new Cells(raw, () => {})) ?? '') ?? null
  return rpId === null ? raw : { ...raw, [ROUTING_POINT]: rpId }
}

/**
 * Rows of `chat_2` that are one message each, as the vendor's page lists their fields, grouped by chat; the form of its sample, with all messages of a chat in
 * `conversation`, stays as it is.
 */
export function gathered(raws: readonly unknown[]): unknown[] {
  const chats = new Map<string, unknown[]>()
  return raws.flatMap(raw => {
    const connId = isObject(raw) ? chatOfMessage(new Cells(raw, () => {})) : null
    if (connId === null) return [raw]
    const conversation = chats.get(connId)
    if (conversation !== undefined) {
      conversation.push(raw)
      return []
    }
    const first = [raw]
    chats.set(connId, first)
    return [{ conn_id: connId, conversation: first }]
  })
}

function chatOfRow(cells: Cells): string | null {
  return cells.keyId('conn_id') ?? cells.keyId('chat_id') ?? chatInside(cells)
}

/** Null for a row that is not a message. */
function chatOfMessage(cells: Cells): string | null {
  return cells.has('message') && !cells.has('conversation') ? (cells.keyId('conn_id') ?? cells.keyId('chat_id')) : null
}

/** In an older form the messages name the chat (`chat_id`, seen by a client), all of them the same. */
function chatInside(cells: Cells): string | null {
  const ids = listOf(cells.raw('conversation')).flatMap(item => {
    const inner = isObject(item) ? new Cells(item, () => {}) : null
    const id = inner === null ? null : (inner.keyId('conn_id') ?? inner.keyId('chat_id'))
    return id === null ? [] : [id]
  })
  return new Set(ids).size === 1 ? (ids[0] ?? null) : null
}

/** A row of `diagram_9` with its chat, and when another ended before it. */
export function withChat(raw: unknown, { connId, afterMs }: { connId: string | null; afterMs: number | null }): unknown {
  return { ...(raw as Loose), ...(connId !== null && { [CHAT]: connId }), ...(afterMs !== null && { [AFTER]: afterMs }) }
}

/** The vendor's word; without the prefix of `diagram_13` (`chat-web`) if that hides the channel. */
export function channelWord(raw: string | null): string | null {
  const bare = raw?.replace(/^chat[-_ ]+(?=.)/i, '') ?? null
  return channelOf(raw) === 'other' && channelOf(bare) !== 'other' ? bare : raw
}

/** The channel of a trial in Studio, where bots are made. */
export function isTrial(channel: string | null): boolean {
  return channel !== null && lettersOf(channel) === 'configurationbox'
}

/**
 * `transfer_skill` (documented), alone or followed by the skill, also in the words of the docs ("transfer to skill", "transferir a skill"): a pattern, because
 * nobody lists what flows write. Text that continues without a sign is said to the customer.
 */
const TRANSFER =
  /^\s*(?:transfer_+skill(?![a-z])|transfer(?:ir|encia)?[\s_-]*(?:to|a|al)?[\s_-]*skill(?=\s*$|\s*[:=|(>#,;/–—-]|[\s_-]+\d+\s*$))[\s_:=|(>#,;/–—-]*([^)\]]*)/i
/** The target of a transfer, after a sign, or a number by itself. */
const TARGET = /\s*[:=|(>#,;/–—-]\s*([^)\]]*).*$|[\s_-]+(\d+)\s*$/s

/** The transfer to a person and its skill, if the answer is one; else null. @param words The config's replacements of the vendor's word. */
export function transferIn(answer: string | null, words?: readonly string[]): { readonly skill: string | null } | null {
  if (answer === null || answer.length > LONGEST_TRANSFER) return null
  if (words === undefined) {
    const found = TRANSFER.exec(answer)
    return found === null ? null : { skill: found[1]?.trim() || null }
  }
  if (words.some(word => lettersOf(word) === lettersOf(answer))) return { skill: null }
  const target = TARGET.exec(answer)
  const bare = target === null ? null : lettersOf(answer.slice(0, target.index))
  return bare !== null && words.some(word => lettersOf(word) === bare)
    ? { skill: (target?.[1] ?? target?.[2])?.trim() || null }
    : null
}

/** A control word is short. */
const LONGEST_TRANSFER = 500

/** `MaskedText: …`: the customer's answer, masked by the bot's flow. */
export function isMasked(words: string | null): boolean {
  return words !== null && /^\s*MaskedText:/i.test(words)
}

/** A word by its letters only: `chat_bot`, `chat bot` and `chat-bot` are equal. */
export function lettersOf(words: string): string {
  return words.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

export function rowOf<T>(read: (cells: Cells) => T): z.ZodType<T> {
  return z.unknown().transform((raw, ctx): T => {
    const faults: { path: string[]; message: string }[] = []
    if (!isObject(raw)) faults.push({ path: [], message: 'is no object' })
    else if (CUT_OFF in raw)
      faults.push({
        path: ['date_ini'],
        message: `the vendor cut this second off at ${Number(raw[CUT_OFF])} rows, and no less can be asked for`,
      })
    else {
      const row = read(new Cells(raw, (path, message) => faults.push({ path: [path], message })))
      if (faults.length === 0) return row
    }
    for (const fault of faults) ctx.issues.push({ code: 'custom', input: undefined, ...fault })
    return z.NEVER
  })
}

const MISSPELT: ReadonlyMap<string, string> = new Map([
  ['chanel', 'channel'],
  ['agent_anwers', 'agent_answers'],
  ['destinity', 'destiny'],
  ['from_name_phone', 'from_name'],
])

/** The cells of a row by their correct names; used ones are not among the `rest`. */
export class Cells {
  readonly #cells = new Map<string, unknown>()
  readonly fault: (path: string, message: string) => void

  constructor(raw: Loose, fault: (path: string, message: string) => void) {
    this.fault = fault
    for (const key in raw) {
      const name = nameOf(key)
      if (text(this.#cells.get(name)) === null) this.#cells.set(name, raw[key])
    }
  }

  raw(name: string): unknown {
    return this.#cells.get(name)
  }

  has(name: string): boolean {
    return this.#cells.has(name)
  }

  /** Left among the `rest`. */
  peek(name: string): string | null {
    return text(this.#cells.get(name))?.trim() ?? null
  }

  /** As `chatId`, left among the `rest`. */
  id(name: string): string | null {
    const id = this.peek(name)
    return id === null || /^0+$/.test(id) ? null : id
  }

  take(name: string): unknown {
    const value = this.#cells.get(name)
    this.#cells.delete(name)
    return value
  }

  text(name: string): string | null {
    return text(this.take(name))?.trim() ?? null
  }

  /** `0` means no chat, no routing point, no agent. */
  chatId(name: string): string | null {
    const id = this.text(name)
    return id === null || /^0+$/.test(id) ? null : id
  }

  /**
   * The id of a chat or a routing point, which decides the key of a session and its partition for good: an invalid one makes the row a dead letter, so that
   * nothing depends on it when the vendor has fixed the row.
   */
  keyId(name: string): string | null {
    const raw = this.#cells.get(name)
    const id = this.chatId(name)
    if (id === null || ((typeof raw === 'string' || Number.isInteger(raw)) && LIKE_AN_ID.test(id))) return id
    this.fault(name, 'is no id')
    return null
  }

  /** What somebody said; `-` means nothing (samples). */
  words(name: string): string | null {
    const raw = this.take(name)
    const words = typeof raw === 'string' ? clean(raw) : text(raw)
    return words === null || /^\s*-?\s*$/.test(words) ? null : words
  }

  number(name: string): number | null {
    const raw = this.#cells.get(name)
    const value = number(raw)
    if (value !== null || text(raw) === null) this.#cells.delete(name)
    return value
  }

  /** `HH:MM:SS`, or seconds. Also kept in the `rest` as it came: there is no field for a duration. */
  seconds(name: string): number | null {
    const raw = this.#cells.get(name)
    const clock = /^\s*(\d+):([0-5]?\d):([0-5]?\d)\s*$/.exec(text(raw) ?? '')
    return clock === null ? number(raw) : Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3])
  }

  told(name: string): ReportedTime {
    const raw = this.#cells.get(name)
    const reported = this.timeIfAny(name)
    if (reported === null) this.fault(name, timeFault(raw))
    return reported ?? NEVER
  }

  timeIfAny(name: string): ReportedTime | null {
    const raw = this.take(name)
    const reported = reportedTimeOf(raw)
    if (reported === null && isPlaceholder(raw)) return null
    if (reported === null) this.fault(name, 'is not a time')
    return reported ?? NEVER
  }

  ordinal(): number {
    return number(this.take(ORDINAL)) ?? 0
  }

  /** In order of their names, without those that mean nothing. */
  rest(): Attributes {
    const out: Record<string, unknown> = {}
    for (const name of [...this.#cells.keys()].sort()) {
      const raw = this.#cells.get(name)
      const value = typeof raw === 'object' && raw !== null ? raw : text(raw)
      if (value !== null) put(out, name, value)
    }
    return out
  }
}

/**
 * Digits, and other parts of ids in the samples (`6736.4628.1040.1768782812.1814`, `conversations-voice-61083`); no date, and no word that programs write for
 * nothing.
 */
const LIKE_AN_ID = /^(?!\d{4}-\d\d-\d\d|(?:nan|null|none|nil|undefined|true|false|infinity)$)[a-z0-9][\w.:@-]{0,127}$/i

/** Replaces an unreadable time; the row is rejected. */
const NEVER: ReportedTime = { atMs: 0 }

function nameOf(key: string): string {
  const name = key.trim().toLowerCase().replaceAll(/\s+/g, '_')
  return MISSPELT.get(name) ?? name
}

export function stampOf(reported: ReportedTime): string {
  return 'wallMs' in reported ? `w${reported.wallMs}` : `a${reported.atMs}`
}

function numbered(id: string, ordinal: number): string {
  return ordinal === 0 ? id : `${id}.${ordinal}`
}

/**
 * In order of time, keeping the vendor's order within a second. One message without a time makes the whole row a dead letter: a chat without some of its
 * messages would look complete.
 */
function linesOf(connId: string, cells: Cells): Line[] {
  if (!cells.has('conversation')) cells.fault('conversation', 'is missing')
  const raw = cells.take('conversation')
  const list = listOf(raw)
  if (raw !== undefined && raw !== null && raw !== '' && raw !== '-' && typeof raw !== 'object')
    cells.fault('conversation', 'is no list')
  const read = list.flatMap((item, place) => {
    const path = `conversation.${place}`
    if (!isObject(item)) cells.fault(path, 'is no object')
    return isObject(item) ? [lineOf(new Cells(item, (name, message) => cells.fault(`${path}.${name}`, message)))] : []
  })
  read.sort((a, b) => orderOf(a.told) - orderOf(b.told))
  const derived = contentIds()
  let isWithBot = true
  return read.map(({ from, toName, message, ...line }) => {
    if (line.sender === 'BOT' || line.sender === 'AGENT') isWithBot = line.sender === 'BOT'
    // The row has the addressee; if not, it is the last speaker, and the bot speaks first.
    const toBot = toName === null ? isWithBot : isBot(toName)
    return {
      ...line,
      id: derived('chat_2', connId, stampOf(line.told), from, line.fromName, message),
      isWithBot: line.sender === 'BOT' || (line.sender === 'USER' && toBot),
    }
  })
}

function lineOf(cells: Cells) {
  const told = cells.told('date')
  const [from, fromName, toName] = [cells.text('from'), cells.text('from_name'), cells.peek('to_name')]
  // A row that is one message names its chat too.
  cells.take('conn_id')
  const raw = cells.take('message')
  const message = typeof raw === 'string' ? clean(raw) : text(raw)
  return {
    told,
    from,
    fromName,
    toName,
    message,
    sender: senderOf(from, fromName),
    channel: cells.text('channel'),
    said: filesOrWords(message),
    attributes: cells.rest(),
  }
}

function senderOf(from: string | null, fromName: string | null): string {
  if (isBot(fromName) || isBot(from)) return 'BOT'
  const word = from?.toUpperCase() ?? 'UNKNOWN'
  return SENDERS.get(word) ?? word
}

/** The report's words, and those of a neighbouring one (`whatsapp.php`: `cliente`, `agente`). */
const SENDERS: ReadonlyMap<string, string> = new Map([
  ['CUSTOMER', 'USER'],
  ['CLIENTE', 'USER'],
  ['CLIENT', 'USER'],
  ['AGENTE', 'AGENT'],
])

function isBot(name: string | null): boolean {
  return name !== null && lettersOf(name) === 'chatbot'
}

function orderOf(reported: ReportedTime): number {
  return 'wallMs' in reported ? reported.wallMs : reported.atMs
}

/** A list; PHP's form of one with a missing index (`{"0":…,"2":…}`); or a single item. An empty object is empty. */
export function listOf(raw: unknown): readonly unknown[] {
  if (Array.isArray(raw)) return raw as unknown[]
  if (!isObject(raw)) return []
  return Object.keys(raw).every(name => /^\d+$/.test(name)) ? Object.values(raw) : [raw]
}
