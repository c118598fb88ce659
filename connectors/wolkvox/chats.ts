/**
 * Assigns turns of `diagram_9` to chats, and chats of `chat_8` to sessions. A chat's id (`conn_id`) joins the two if both have it. If a turn has none (`0`, the
 * seed's sample), or a chat none (`-`, the sample of `chat_8`), the fields common to both do: routing point, `session_id` and time. The session of such turns
 * is named by the first of them, so a chat looks up which one that is. Nothing here keeps state between calls.
 */
import { contentId, FlowError, type Http, realTime, split, type Window } from '../../src/source/index.ts'
import { readReport, type ReportSpec } from './reports.ts'
import { asAsked, type Chat, ChatRow, idOfAsked, type Opening, transferIn, type Turn, TurnRow } from './rows.ts'
import { momentOf, type ReportedTime, zoneNamed } from './wall.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** The part of the connector's config that matters here. */
export interface ChatConfig {
  readonly timezone: string
  readonly streams: readonly string[]
  readonly maxRows: number
  readonly maxRowsTurns: number
  readonly findChats: boolean
  readonly findTransfers: boolean
  readonly sessionGapMs: number
  readonly transferAnswers?: readonly string[] | undefined
}

export interface Reading {
  readonly config: ChatConfig
  readonly window: Window
  readonly http: Http
}

/** Two reports may have different times for one thing. The vendor has one clock, so what comes after an end hardly belongs to that chat. */
const BEFORE_START_MS = MINUTE
const AFTER_END_MS = 10 * SECOND
/** A chat is closed 23 h after it began. One that ended longer ago than this was not followed live, and comes from a backfill. */
export const LONGEST_CHAT_MS = 26 * HOUR
/** A window that ended longer ago has no new transfers. */
const NEWS_MS = 2 * HOUR
/** Turns this long before the window show when a chat with a transfer began. */
const BEFORE_MS = 10 * MINUTE
/** The first turn of a chat comes within this time after its start. */
const FIRST_TURN_MS = 10 * MINUTE
/** The turn that handed a chat over is within this distance of the chat's transfer time. */
export const AROUND_TRANSFER_MS = 2 * MINUTE
/** Lookups closer than this are one call. */
const APART_MS = 20 * MINUTE
/** How often a chain of turns is followed back by one more silence. */
const MOST_STEPS = 6

export function atMs(reported: ReportedTime, { timezone }: Pick<ChatConfig, 'timezone'>): number {
  return momentOf(reported, zoneNamed(timezone)).atMs
}

/**
 * Chats for another report's rows, which are published without them if `chat_8` is refused, or has more in an hour than the vendor returns at once.
 *
 * @returns The window's rows of `chat_8`: by when chats closed, as far as is known.
 */
export async function chatsOf(reading: Reading): Promise<Chat[]> {
  const { config, window, http } = reading
  const how = { http, timezone: config.timezone, mostRows: config.maxRows }
  return lookUp(window, HOUR, async part => {
    const chats: Chat[] = []
    for await (const { rows } of readReport({ api: 'chat_8', row: ChatRow }, { ...how, window: part }))
      for (const raw of rows) {
        const row = ChatRow.safeParse(raw)
        if (row.success && row.data.kind === 'chat') chats.push(row.data)
      }
    return chats
  })
}

/** A turn with its time, epoch milliseconds. */
export interface Seen {
  readonly raw: unknown
  readonly turn: Turn
  readonly ms: number
}

/** Rows of `diagram_9`. */
export const TURNS: ReportSpec<Turn> = { api: 'diagram_9', row: TurnRow, timeOf: row => row.told, idOf: row => row.id }

/** Turns for rows of `chat_8`, oldest first, with the same two exceptions. */
export async function turnsOf(reading: Reading): Promise<Seen[]> {
  const { config, window, http } = reading
  const how = { http, timezone: config.timezone, mostRows: config.maxRowsTurns }
  const seen = await lookUp(window, MINUTE, async part => {
    const found: Seen[] = []
    for await (const { rows } of readReport(TURNS, { ...how, window: part }))
      for (const raw of rows) {
        const turn = TurnRow.safeParse(raw)
        if (turn.success) found.push({ raw, turn: turn.data, ms: atMs(turn.data.told, config) })
      }
    return found
  })
  return seen.sort((a, b) => a.ms - b.ms)
}

async function lookUp<T>(window: Window, leastMs: number, read: (window: Window) => Promise<T[]>): Promise<T[]> {
  try {
    return await read(window)
  } catch (error) {
    const code = error instanceof FlowError ? error.code : null
    if (code === 'SRC_REFUSED') return []
    if (code !== 'SRC_WINDOW_TOO_LARGE') throw error
    const lengthMs = window.untilMs - window.fromMs
    if (lengthMs <= leastMs) return []
    const found: T[] = []
    for (const half of split(window, Math.ceil(lengthMs / 2))) found.push(...(await lookUp(half, leastMs, read)))
    return found
  }
}

/** What a turn gets when its chat is looked up: the chat's id, or when a chat of the same customer ended before it. */
export interface Belongs {
  readonly connId: string | null
  readonly afterMs: number | null
}

/** The chats that turns without an id may belong to, in a window: in a backfill those around it, else those that have ended within a silence. */
export function chatsAround(reading: Reading, nowMs: number): Promise<Chat[]> {
  const { fromMs, untilMs } = reading.window
  const window = isPast(reading.window, nowMs)
    ? { fromMs: fromMs - DAY, untilMs: Math.min(untilMs + DAY, nowMs) }
    : { fromMs: fromMs - reading.config.sessionGapMs, untilMs: nowMs }
  return chatsOf({ ...reading, window })
}

/** The live edge and its lookback are read in shorter windows than this, and most chats close after it. */
const PAST_MS = 6 * HOUR

function isPast({ fromMs, untilMs }: Window, nowMs: number): boolean {
  return untilMs <= nowMs - PAST_MS || untilMs - fromMs > PAST_MS
}

/**
 * A turn without an id belongs to the chat that was open at its time, if that ended so long ago that it was not followed live: otherwise its first turns may
 * have been published under the session derived from turns.
 *
 * @param chats Of the turn's `session_id`.
 */
export function belongs(turn: Turn, chats: readonly Chat[], config: ChatConfig, nowMs: number): Belongs {
  const turnMs = atMs(turn.told, config)
  const own = chats
    .filter(({ rpId }) => rpId === null || turn.rpId === null || rpId === turn.rpId)
    .map(chat => ({ chat, ...spanOf(chat, config) }))
  const [nearest] = own
    .map(each => ({ ...each, offMs: Math.max(each.startMs - turnMs, turnMs - each.endMs, 0) }))
    .filter(({ startMs, endMs }) => isWithin(turnMs, startMs, endMs))
    .sort((a, b) => a.offMs - b.offMs || b.startMs - a.startMs)
  const ends = own.filter(({ chat, endMs }) => chat !== nearest?.chat && endMs < turnMs).map(({ endMs }) => endMs)
  const isOld = nearest !== undefined && (nearest.chat.end === null ? nearest.startMs : nearest.endMs) < nowMs - LONGEST_CHAT_MS
  return { connId: isOld ? nearest.chat.connId : null, afterMs: ends.length === 0 ? null : Math.max(...ends) }
}

function isWithin(ms: number, startMs: number, endMs: number): boolean {
  return ms >= startMs - BEFORE_START_MS && ms <= endMs + AFTER_END_MS
}

function spanOf({ start, end }: Chat, config: ChatConfig): { startMs: number; endMs: number } {
  return { startMs: atMs(start, config), endMs: end === null ? Infinity : atMs(end, config) }
}

/** The thread of turns of one customer with one bot. */
export function threadOf(account: string, { rpId, sessionId, connId }: Pick<Turn, 'rpId' | 'sessionId' | 'connId'>): string {
  return contentId(account, rpId, sessionId ?? connId)
}

/** The session of turns without a chat id: `firstMs` is the time of the first of them. */
export function sessionOfTurns(thread: string, firstMs: number): string {
  return contentId(thread, firstMs)
}

/** The turns of a window that may show a new transfer, and those shortly before it; none for an old window. */
export async function turnsBefore(reading: Reading, nowMs: number): Promise<Seen[]> {
  const { config, window } = reading
  const asks = config.findTransfers && config.streams.includes('diagram_9')
  if (!asks || window.untilMs <= nowMs - NEWS_MS) return []
  return turnsOf({
    ...reading,
    window: { fromMs: Math.max(window.fromMs, nowMs - LONGEST_CHAT_MS) - BEFORE_MS, untilMs: window.untilMs },
  })
}

/**
 * Turns that ask for a person in a window, as rows of `chat_8`: their chats appear there when they have closed, up to 23 h later. None of a chat that `chat_8`
 * has, and none at all if it shows open chats: then it has the request itself.
 *
 * @param turns From `turnsBefore`, read before `chats`: so that a chat that closes meanwhile is among these.
 */
export async function asksOf(
  reading: Reading,
  turns: readonly Seen[],
  chats: readonly Chat[],
  nowMs: number,
): Promise<unknown[]> {
  const { config, window } = reading
  if (chats.some(chat => chat.end === null || atMs(chat.end, config) > window.untilMs + MINUTE)) return []
  const isShown = (seen: Seen, shown: readonly Chat[]) => shown.some(chat => isOf(chat, seen, config))
  let open = turns.filter(
    seen =>
      seen.ms >= window.fromMs &&
      realTime(seen.ms, { observedAtMs: nowMs }) !== null &&
      transferIn(seen.turn.answer, config.transferAnswers) !== null &&
      !isShown(seen, chats),
  )
  if (open.length > 0 && window.untilMs < nowMs - MINUTE) {
    const closed = await chatsOf({ ...reading, window: { fromMs: window.untilMs, untilMs: nowMs } })
    open = open.filter(seen => !isShown(seen, closed))
  }
  const asked: unknown[] = []
  for (const seen of open) {
    const first = seen.turn.connId === null ? await firstOf(reading, seen, turns) : firstIn(seen, turns, config, [])
    asked.push(asAsked(seen.raw, first.turn.told))
  }
  return asked
}

function isOf(chat: Chat, { turn, ms }: Seen, config: ChatConfig): boolean {
  if (turn.connId !== null) return chat.connId === turn.connId
  if (!isSameThread(chat, turn)) return false
  const { startMs, endMs } = spanOf(chat, config)
  return isWithin(ms, startMs, endMs)
}

type Thread = Pick<Turn, 'rpId' | 'sessionId'>

function isSameThread(a: Thread, b: Thread): boolean {
  return a.sessionId === b.sessionId && (a.rpId === b.rpId || a.rpId === null || b.rpId === null)
}

/** The first turn of the session of a turn without an id: back over its thread, to a silence or the end of another chat. */
async function firstOf(reading: Reading, seen: Seen, known: readonly Seen[]): Promise<Seen> {
  const { config } = reading
  let turns = known
  let fromMs = Math.min(...known.map(({ ms }) => ms))
  let ends: number[] = []
  for (let step = 0; ; step++) {
    const first = firstIn(seen, turns, config, ends)
    const needMs = first.ms - config.sessionGapMs
    if (step > MOST_STEPS || (step > 0 && needMs >= fromMs)) return first
    const chats = await chatsOf({ ...reading, window: { fromMs: needMs, untilMs: step === 0 ? seen.ms : fromMs } })
    ends = [
      ...ends,
      ...chats.flatMap(chat => (chat.end !== null && isSameThread(chat, seen.turn) ? [atMs(chat.end, config)] : [])),
    ]
    if (needMs < fromMs) {
      turns = [...(await turnsOf({ ...reading, window: { fromMs: needMs, untilMs: fromMs } })), ...turns]
      fromMs = needMs
    }
  }
}

/** @param turns Oldest first. @param ends Of chats of the same thread. */
function firstIn(seen: Seen, turns: readonly Seen[], config: ChatConfig, ends: readonly number[]): Seen {
  let first = seen
  for (const each of turns.toReversed()) {
    const { turn, ms } = each
    if (ms > first.ms || !isSameThread(turn, seen.turn) || (turn.connId !== null && turn.connId !== seen.turn.connId)) continue
    if (first.ms - ms > config.sessionGapMs || ends.some(endMs => endMs >= ms && endMs < first.ms)) break
    first = each
  }
  return first
}

/**
 * What turns add to chats: the session of their messages, and when a person was requested. Looked up for chats without an id and chats with an agent, and, for
 * those that ended recently, if turns without an id were seen; the others keep the data of `chat_8`.
 */
export async function openingsOf(
  chats: readonly Chat[],
  reading: Omit<Reading, 'window'>,
  nowMs: number,
): Promise<ReadonlyMap<Chat, Opening>> {
  const { config } = reading
  const found = new Map<Chat, Opening>()
  if (!config.streams.includes('diagram_9')) return found
  const isLate = (chat: Chat) => spanOf(chat, config).endMs < nowMs - LONGEST_CHAT_MS
  const wanted = chats.filter(
    chat =>
      (config.findChats && (chat.connId === null || (chat.isUnnamed && !isLate(chat)))) ||
      (config.findTransfers && chat.wentToAgent),
  )
  const turns: Seen[] = []
  for (const window of joined(wanted.flatMap(chat => windowsFor(chat, config))))
    turns.push(...(await turnsOf({ ...reading, window })))
  const threads = Map.groupBy(turns, ({ turn }) => turn.sessionId)
  for (const chat of wanted) {
    const opening = openingOf(chat, threads.get(chat.sessionId) ?? [], isLate(chat), config)
    if (opening !== null) found.set(chat, opening)
  }
  return found
}

function openingOf(chat: Chat, turns: readonly Seen[], isLate: boolean, config: ChatConfig): Opening | null {
  const own = turns.filter(seen => isOf(chat, seen, config))
  const [first] = own
  if (first === undefined) return null
  const asked = own.find(({ turn }) => transferIn(turn.answer, config.transferAnswers) !== null)
  // If one turn has the chat's id, the others have it or go there; and old turns go to the chat that was open at their time (`belongs`).
  const isUnnamed = chat.connId === null || (!isLate && own.every(({ turn }) => turn.connId === null))
  return {
    firstMs: isUnnamed ? first.ms : null,
    askedMs: asked?.ms ?? null,
    skill: transferIn(asked?.turn.answer ?? null, config.transferAnswers)?.skill ?? null,
    formerId: asked === undefined || !isUnnamed ? null : idOfAsked(asked.turn, first.turn.told),
  }
}

function windowsFor(chat: Chat, config: ChatConfig): Window[] {
  const { startMs, endMs } = spanOf(chat, config)
  const beginning = {
    fromMs: startMs - BEFORE_START_MS,
    untilMs: Math.min(startMs + FIRST_TURN_MS, endMs + AFTER_END_MS + SECOND),
  }
  if (!chat.wentToAgent) return [beginning]
  if (chat.timeOnChatbot === null) return [beginning, { fromMs: startMs, untilMs: startMs + HOUR }]
  const handedMs = startMs + chat.timeOnChatbot * SECOND
  return [beginning, { fromMs: handedMs - AROUND_TRANSFER_MS, untilMs: handedMs + AROUND_TRANSFER_MS }]
}

/** Joins windows that are close to each other. */
function joined(windows: readonly Window[]): Window[] {
  const out: { fromMs: number; untilMs: number }[] = []
  for (const { fromMs, untilMs } of windows.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = out.at(-1)
    if (last !== undefined && fromMs <= last.untilMs + APART_MS) last.untilMs = Math.max(last.untilMs, untilMs)
    else out.push({ fromMs, untilMs: Math.max(untilMs, fromMs + SECOND) })
  }
  return out.flatMap(window => split(window, DAY))
}
