/**
 * Sessions of a vendor that tells turns only, made by inactivity gap (see `Derive` in the contract). Plain state: rows go in, changed sessions come
 * out; what is remembered of a thread stands on the versions topic, written in the transaction of the rows that made it.
 *
 * A row counts when it is published and was not known before, so a window read again, or read again after a kill, changes nothing. Turns may come
 * in any order: which sessions there are depends on the turns alone; only their ids depend on which turn was seen first. That holds while they are
 * remembered: a turn that comes when its neighbours are forgotten begins a session of its own.
 */
import { FlowError } from '../errors.ts'
import type { ReadRecord } from '../kafka/port.ts'
import type { Session } from '../records.ts'
import { contentId } from '../source/content-id.ts'
import type { Derive, Turn } from '../source/contract.ts'
import { type RowContext, session, type SessionRef } from '../source/records.ts'
import type { PartitionName } from './cursor.ts'
import { boundId } from './door.ts'
import { type Seal, unsealed } from './seal.ts'

/** What the first turn that knows it tells: the value, and the time of that turn. */
type Told = Record<string, [value: string | boolean, atMs: number]>

/** One session, as it is kept. Times are epoch milliseconds. */
export interface Derived {
  /** Null until the rows that it was first seen with are sorted into sessions; then it stays. */
  id: string | null
  key: string
  part: string | null
  botId: string
  /** Of the turn that was the first when the session was first seen: what its id is made of. */
  firstAtMs: number
  /** A conversation before it ended then: it takes no turn from before, and is never one with that. Absent: none is known. */
  afterMs?: number
  /** Of its first and its last turn. */
  fromMs: number
  untilMs: number
  /** End of the newest window that a turn of it was read in: until that is forgotten, its rows may come again. */
  readUntilMs: number
  told: Told
  attributes: Told
  user: number | null
  bot: number | null
  agent: number | null
  /** Of the earliest turn with a transfer that was known when the session was first published with one; then it stays. */
  transferredAtMs: number | null
  /** Ids of sessions that were merged into this one after they were published. */
  merged: string[]
  /** Turns counted. */
  turns: number
  /** Began with a row that may have been counted long ago in a session that was forgotten since. */
  again: boolean
  /** As published last; 0: never. */
  revision: number
  /** Whether it was over when it was published last. */
  over: boolean
  /** What was published last, hashed; empty: never. What says the same is not said again. */
  mark: string
}

interface Thread {
  readonly sessions: Derived[]
  /** Whether they were published, or only named. */
  readonly publishes: boolean
}

const SEALED = /^[\w-]+$/
const NO_THREAD: Thread = { sessions: [], publishes: true }
const MOST_MERGED = 100

const TOLD = ['channel', 'language', 'userId', 'channelUserId', 'queue', 'agentId', 'agentName', 'isTest'] as const

/** A session to publish: `record` null withdraws it. */
export interface DerivedSession {
  readonly sessionId: string
  readonly botId: string
  readonly record: Session | null
}

/** A thread's state to write: one record of the versions topic, or a head and parts where it is more than one record takes. */
export interface ThreadState {
  readonly key: string
  readonly value: string
  /** @param part Counts from 0. */
  partKey(part: number): string
  /** How many parts are on the topic. */
  readonly standing: number
  /** Tells how many parts it was written in; 0: in one record. */
  wrote(parts: number): void
}

/** What a part's number adds to the key of its thread, and the least room beside the key for a head. */
const PART_NUMBER_BYTES = 12
const LEAST_ROOM = 64

/**
 * The records that a thread is written in: one, or a head and parts, given the bytes that key and value of one may take. Parts that are no more
 * have a null value. A topic that does not even take the head remembers nothing of the thread.
 */
export function spreadThread(thread: ThreadState, mostBytes: number): { key: string; value: Buffer | null }[] {
  const { key, standing } = thread
  const bytes = Buffer.from(thread.value)
  const room = mostBytes - Buffer.byteLength(key)
  if (room < LEAST_ROOM) return []
  const size = room - PART_NUMBER_BYTES
  const parts = bytes.length <= room ? 0 : Math.ceil(bytes.length / size)
  const records: { key: string; value: Buffer | null }[] = []
  for (let part = 0; part < parts; part++)
    records.push({ key: thread.partKey(part), value: bytes.subarray(part * size, (part + 1) * size) })
  for (let part = parts; part < standing; part++) records.push({ key: thread.partKey(part), value: null })
  records.push({ key, value: parts === 0 ? bytes : Buffer.from(JSON.stringify({ format: 2, parts })) })
  thread.wrote(parts)
  return records
}

export interface Drained {
  readonly sessions: readonly DerivedSession[]
  readonly threads: readonly ThreadState[]
}

export class DerivedSessions {
  readonly #of: Derive
  readonly #publishes: boolean
  /** Sessions of one key, by their first turn. */
  readonly #threads = new Map<string, Derived[]>()
  /** What absorbed a session that is no more. */
  readonly #into = new Map<Derived, Derived>()
  readonly #changed = new Set<Derived>()
  readonly #written = new Set<string>()
  /** Keys of the turns assigned since the last `drain`. */
  readonly #placed = new Set<string>()
  readonly #open = new Set<Derived>()
  /** Sessions whose transfer is not published yet: the earliest turn with a transfer decides its time. Once published, the time stays. */
  readonly #handedOver = new Set<Derived>()
  #withdrawn: Derived[] = []
  #isOver: (untilMs: number) => boolean = () => false
  readonly #keyStart: string
  readonly #keyStartBytes: Buffer
  /** How many parts of a thread are on the topic, where it has some. */
  readonly #standing = new Map<string, number>()
  /** While loading: the parts of each thread by their number, and how many its newest head speaks of. */
  readonly #parts = new Map<string, Map<number, Buffer>>()
  readonly #heads = new Map<string, number>()

  readonly #seal: Seal

  /** @param seal Keeps the threads on the topic unreadable for others, where the connector hides ids. */
  constructor(of: Derive, place: PartitionName, seal: Seal = unsealed) {
    this.#seal = seal
    this.#of = of
    this.#publishes = of.publishes !== false
    this.#keyStart = `${JSON.stringify([place.connector, place.stream, place.scope]).slice(0, -1)},"","",`
    this.#keyStartBytes = Buffer.from(this.#keyStart)
  }

  /** Sessions remembered. */
  get size(): number {
    let size = 0
    for (const thread of this.#threads.values()) size += thread.length
    return size
  }

  /** Finds or opens the session of each turn; nothing is counted yet. All turns that are known together are given together, so that ids are made of the first of them. */
  assign(turns: readonly Turn[]): Derived[] {
    const ordered = [...turns.keys()].sort((a, b) => (turns[a] as Turn).atMs - (turns[b] as Turn).atMs)
    const found: Derived[] = Array.from({ length: turns.length })
    for (const index of ordered) found[index] = this.#place(turns[index] as Turn)
    return found.map(each => {
      const of = this.#resolve(each)
      of.id ??= this.#idOf(of)
      return of
    })
  }

  /** What the row says of its conversation. Throws what the connector throws. */
  turn(row: unknown, ctx: RowContext): Turn | null {
    const turn = this.#of.turn(row as never, ctx)
    // They become keys and ids.
    for (const name of ['key', 'part', 'botId'] as const) boundId(turn?.[name] ?? '', `turn.${name}`)
    return turn
  }

  /** A session of no name, to try whether a row can be told. */
  provisional(turn: Turn, ctx: RowContext): SessionRef {
    return ctx.session({ botId: turn.botId, sessionId: '-', channel: turn.channel, language: turn.language })
  }

  /** The session as the row's records refer to it: its id and bot, the row's own channel and language. */
  refer(of: Derived, turn: Turn, ctx: RowContext): SessionRef {
    const home = this.#resolve(of)
    const sessionId = !this.#publishes ? this.#idOf({ ...home, part: turn.part ?? home.part }) : (home.id ?? this.#idOf(home))
    return ctx.session({ botId: home.botId, sessionId, channel: turn.channel, language: turn.language })
  }

  /**
   * The row stands in the batch: its turn is part of the session.
   *
   * @param how.isNew false: the row was published before, so it adds to no count.
   * @param how.forgotten The row may have been counted before it was forgotten: then it counts only in a session that began with such a row.
   * @param how.firstRevision Of a session that was never published: 1, or the epoch second of a row that may have been published long ago.
   * @param how.readUntilMs End of the window that the row was read in.
   */
  count(of: Derived, turn: Turn, how: { isNew: boolean; forgotten?: boolean; firstRevision: number; readUntilMs: number }): void {
    const { isNew, forgotten = false, firstRevision, readUntilMs } = how
    const home = this.#resolve(of)
    if (home.turns === 0) home.again = forgotten
    const adds = isNew && (!forgotten || home.again)
    home.readUntilMs = Math.max(home.readUntilMs, readUntilMs)
    tell(home.told, turn, TOLD, turn.atMs, !isNew)
    if (turn.attributes) tell(home.attributes, turn.attributes, Object.keys(turn.attributes), turn.atMs, !isNew)
    if (turn.transferred === true && !this.#isTransferPublished(home)) {
      home.transferredAtMs = Math.min(home.transferredAtMs ?? Infinity, turn.transferredAtMs ?? turn.atMs)
      this.#handedOver.add(home)
    }
    if (adds) {
      home.user = sum(home.user, turn.userMessages)
      home.bot = sum(home.bot, turn.botMessages)
      home.agent = sum(home.agent, turn.agentMessages)
    }
    if (home.turns === 0 && home.revision === 0) home.revision = firstRevision - 1
    // A session that was forgotten while one of its rows was not begins anew with that row.
    if (adds || home.turns === 0) home.turns++
    this.#changed.add(home)
    this.#written.add(home.key)
  }

  /** Tells how far everything has been read: sessions whose last turn lies far enough back are over, and are published so. */
  settle(watermarkOf: (atMs: number) => number): void {
    this.#isOver = untilMs => untilMs + this.#of.gapMs < watermarkOf(untilMs)
    for (const of of this.#open) {
      if (!this.#isOver(of.untilMs)) continue
      this.#changed.add(of)
      this.#written.add(of.key)
    }
  }

  /** What changed since the last call: it belongs into the transaction of the rows counted since. */
  drain(ctx: RowContext): Drained {
    const sessions = this.#withdrawn.map((of): DerivedSession => ({ ...this.#identity(of), record: null }))
    for (const of of this.#changed) {
      if (of.turns === 0) continue
      of.over = this.#isOver(of.untilMs)
      if (of.over) this.#open.delete(of)
      else this.#open.add(of)
      const record = recordOf(of, this.#ref(of, ctx))
      const mark = contentId(JSON.stringify({ ...record, observed_at: 0, connector: '' }))
      if (mark === of.mark) continue
      of.mark = mark
      record.revision = ++of.revision
      if (this.#publishes) sessions.push({ ...this.#identity(of), record })
    }
    const threads = [...this.#written].map(key => ({
      key: `${this.#keyStart}${JSON.stringify(this.#seal.seal(key))}]`,
      value: this.#seal.seal(this.#stateOf(key)),
      partKey: (part: number) => `${this.#keyStart}${JSON.stringify(this.#seal.seal(key))},${part}]`,
      standing: this.#standing.get(key) ?? 0,
      wrote: (parts: number) => {
        if (parts > 0) this.#standing.set(key, parts)
        else this.#standing.delete(key)
      },
    }))
    // What only rows that were rejected had opened.
    for (const key of this.#placed) this.#keep(key, of => of.turns > 0)
    this.#withdrawn = []
    this.#changed.clear()
    this.#handedOver.clear()
    this.#written.clear()
    this.#placed.clear()
    this.#into.clear()
    return { sessions, threads }
  }

  /**
   * Forgets sessions that no turn can join any more.
   *
   * @param isNeeded Whether rows of windows that end then may be read again.
   * @param seamMs Where a backfill will end: turns before it may still join sessions around it. Absent: there is none.
   */
  forget(isNeeded: (untilMs: number) => boolean, seamMs?: number): void {
    const { gapMs } = this.#of
    const isAtSeam = (of: Derived) => seamMs !== undefined && of.fromMs - gapMs <= seamMs && seamMs <= of.untilMs + gapMs
    for (const key of this.#threads.keys())
      this.#keep(key, of => !of.over || this.#changed.has(of) || isNeeded(of.readUntilMs + gapMs) || isAtSeam(of))
  }

  #keep(key: string, isKept: (of: Derived) => boolean): void {
    const thread = this.#threads.get(key) ?? []
    const kept = thread.filter(isKept)
    if (kept.length === 0) this.#threads.delete(key)
    else if (kept.length < thread.length) this.#threads.set(key, kept)
  }

  /**
   * Takes in a record of the versions topic, in offset order. `loaded` is called after the last.
   *
   * @returns false when it is no thread of this source partition.
   * @throws FlowError CODEC_INVALID
   */
  load({ key, value, offset }: ReadRecord): boolean {
    if (key === null || !key.subarray(0, this.#keyStartBytes.length).equals(this.#keyStartBytes)) return false
    try {
      const [, , , , , sealed, part] = JSON.parse(key.toString()) as [...string[], string, number | undefined]
      // Not sealed: written before the connector had a `pii.key`.
      const thread = this.#seal.open(String(sealed)) ?? String(sealed)
      if (part === undefined) this.#loadThread(thread, value)
      else this.#loadPart(thread, Number(part), value)
    } catch (error) {
      throw new FlowError('CODEC_INVALID', { offset, hint: 'a thread of derived sessions is no JSON of ours' }, error)
    }
    return true
  }

  /** Puts the threads together that came in parts. @throws FlowError CODEC_INVALID */
  loaded(): void {
    for (const [thread, count] of this.#heads) {
      const parts = this.#parts.get(thread)
      try {
        const all = Array.from({ length: count }, (_, part) => parts?.get(part) ?? Buffer.alloc(0))
        this.#take(thread, this.#parsed(Buffer.concat(all)) as Thread)
      } catch (error) {
        throw new FlowError('CODEC_INVALID', { hint: 'parts of a thread of derived sessions are missing' }, error)
      }
    }
    this.#heads.clear()
    this.#parts.clear()
  }

  #loadPart(thread: string, part: number, value: Buffer | null): void {
    let parts = this.#parts.get(thread)
    if (parts === undefined) this.#parts.set(thread, (parts = new Map()))
    if (value === null) parts.delete(part)
    else parts.set(part, Buffer.from(value))
  }

  #loadThread(thread: string, value: Buffer | null): void {
    const state = value === null ? NO_THREAD : this.#parsed(value)
    if ('parts' in state) {
      this.#heads.set(thread, state.parts)
      this.#standing.set(thread, state.parts)
    } else {
      this.#heads.delete(thread)
      this.#standing.delete(thread)
      this.#take(thread, state)
    }
  }

  /** The head of a thread that is in parts is not sealed: it says only how many there are. What is sealed with another key is as forgotten. */
  #parsed(value: Buffer): Thread | { readonly parts: number } {
    const text = this.#seal.open(value.toString()) ?? value.toString()
    return SEALED.test(text) ? NO_THREAD : (JSON.parse(text) as Thread | { readonly parts: number })
  }

  #take(thread: string, { sessions, publishes }: Thread): void {
    for (const of of this.#threads.get(thread) ?? []) this.#open.delete(of)
    this.#threads.delete(thread)
    this.#withdrawn = this.#withdrawn.filter(of => of.key !== thread)
    if (publishes === this.#publishes) {
      if (sessions.length > 0) this.#threads.set(thread, sessions)
      for (const of of sessions) if (!of.over) this.#open.add(of)
    } else if (publishes && !this.#publishes) {
      // Another stream tells the sessions from now on: what is still open here would never be closed, and counts there.
      this.#withdrawn.push(...sessions.filter(of => !of.over && of.revision > 0))
      this.#written.add(thread)
    }
  }

  #place(turn: Turn): Derived {
    let thread = this.#threads.get(turn.key)
    if (thread === undefined) this.#threads.set(turn.key, (thread = []))
    this.#placed.add(turn.key)
    const part = turn.part ?? null
    let best: Derived | null = null
    for (const of of thread) if (this.#joins(of, turn, part) && (best === null || isBetter(of, best, turn.atMs, part))) best = of
    if (best === null) {
      best = opened(turn)
      thread.push(best)
    } else {
      best.fromMs = Math.min(best.fromMs, turn.atMs)
      best.untilMs = Math.max(best.untilMs, turn.atMs)
      if (best.id === null) best.firstAtMs = best.fromMs
      best.part ??= part
      best = this.#mergeAround(best, thread)
    }
    thread.sort((a, b) => a.fromMs - b.fromMs)
    return best
  }

  #joins(of: Derived, { atMs, afterMs }: Turn, part: string | null): boolean {
    if (distance(of, atMs) > this.#of.gapMs || !fits(of.part, part)) return false
    return of.untilMs > (afterMs ?? -Infinity) && atMs > (of.afterMs ?? -Infinity)
  }

  /** Two that have come within the gap of each other are one: what was published stays, of two such the one that began earlier. */
  #mergeAround(grown: Derived, thread: Derived[]): Derived {
    let home = grown
    for (let again = true; again; ) {
      again = false
      for (const other of thread) {
        const apart = Math.max(other.fromMs - home.untilMs, home.fromMs - other.untilMs)
        if (other === home || apart > this.#of.gapMs || !fits(other.part, home.part) || areCut(home, other)) continue
        const [first, second] = isOlder(home, other) ? [home, other] : [other, home]
        thread.splice(thread.indexOf(second), 1)
        this.#absorb(first, second)
        home = first
        again = true
        break
      }
    }
    return home
  }

  #absorb(of: Derived, gone: Derived): void {
    of.fromMs = Math.min(of.fromMs, gone.fromMs)
    of.untilMs = Math.max(of.untilMs, gone.untilMs)
    of.readUntilMs = Math.max(of.readUntilMs, gone.readUntilMs)
    if (of.id === null) of.firstAtMs = of.fromMs
    of.part ??= gone.part
    of.user = sum(of.user, gone.user)
    of.bot = sum(of.bot, gone.bot)
    of.agent = sum(of.agent, gone.agent)
    of.turns += gone.turns
    this.#absorbTransfer(of, gone)
    merge(of.told, gone.told)
    merge(of.attributes, gone.attributes)
    if (gone.turns > 0 && gone.id !== null) of.merged = [gone.id, ...gone.merged, ...of.merged].slice(0, MOST_MERGED)
    if (gone.revision > 0 && this.#publishes) this.#withdrawn.push(gone)
    this.#into.set(gone, of)
    this.#changed.delete(gone)
    this.#open.delete(gone)
    if (of.turns > 0) {
      this.#changed.add(of)
      this.#written.add(of.key)
    }
  }

  /** A published time stays, before all that of the session that goes on. */
  #absorbTransfer(of: Derived, gone: Derived): void {
    if (gone.transferredAtMs === null || this.#isTransferPublished(of)) return
    if (this.#isTransferPublished(gone)) {
      of.transferredAtMs = gone.transferredAtMs
      this.#handedOver.delete(of)
      return
    }
    of.transferredAtMs = Math.min(of.transferredAtMs ?? Infinity, gone.transferredAtMs)
    this.#handedOver.add(of)
  }

  #isTransferPublished(of: Derived): boolean {
    return of.transferredAtMs !== null && !this.#handedOver.has(of)
  }

  #resolve(of: Derived): Derived {
    let home = of
    for (let into = this.#into.get(home); into !== undefined; into = this.#into.get(home)) home = into
    return home
  }

  #idOf({ key, firstAtMs, part }: Derived): string {
    return this.#of.sessionId?.({ key, firstAtMs, part }) ?? contentId(key, firstAtMs, part)
  }

  #ref(of: Derived, ctx: RowContext): SessionRef {
    const word = (name: string) => (of.told[name]?.[0] as string | undefined) ?? null
    return ctx.session({
      botId: of.botId,
      sessionId: of.id ?? this.#idOf(of),
      channel: word('channel'),
      language: word('language'),
    })
  }

  #identity(of: Derived): { sessionId: string; botId: string } {
    return { sessionId: of.id ?? this.#idOf(of), botId: of.botId }
  }

  #stateOf(key: string): string {
    const sessions = (this.#threads.get(key) ?? []).filter(of => of.turns > 0)
    return JSON.stringify({ format: 1, publishes: this.#publishes, sessions })
  }
}

function opened({ key, part, botId, atMs, afterMs }: Turn): Derived {
  return {
    ...(afterMs !== undefined && afterMs !== null && { afterMs }),
    id: null,
    key,
    part: part ?? null,
    botId,
    firstAtMs: atMs,
    fromMs: atMs,
    untilMs: atMs,
    readUntilMs: atMs,
    told: {},
    attributes: {},
    user: null,
    bot: null,
    agent: null,
    transferredAtMs: null,
    merged: [],
    turns: 0,
    again: false,
    revision: 0,
    over: false,
    mark: '',
  }
}

/** How far outside the session the moment lies, milliseconds. */
function distance({ fromMs, untilMs }: Derived, atMs: number): number {
  return Math.max(fromMs - atMs, atMs - untilMs, 0)
}

function fits(a: string | null, b: string | null): boolean {
  return a === null || b === null || a === b
}

/** A conversation ended between the two. */
function areCut(a: Derived, b: Derived): boolean {
  return (a.afterMs ?? -Infinity) >= b.untilMs || (b.afterMs ?? -Infinity) >= a.untilMs
}

/** The same part tells more than nearness, nearness more than age. */
function isBetter(of: Derived, than: Derived, atMs: number, part: string | null): boolean {
  if (part !== null && (of.part === part) !== (than.part === part)) return of.part === part
  return distance(of, atMs) < distance(than, atMs)
}

/** Which of two sessions that are one stays: what has an id already, then what began earlier. */
function isOlder(a: Derived, b: Derived): boolean {
  if (a.turns > 0 !== b.turns > 0) return a.turns > 0
  return a.firstAtMs < b.firstAtMs || (a.firstAtMs === b.firstAtMs && a.fromMs <= b.fromMs)
}

/** Most attributes of a session, and most characters of one: what more there is stands on the events. */
const MOST_ATTRIBUTES = 64
const LONGEST_VALUE = 1000

/** @param replaces The turn was told before: what it says now stands in place of what it said then. */
function tell(told: Told, from: object, names: readonly string[], atMs: number, replaces = false): void {
  for (const name of names) {
    const value = (from as Readonly<Record<string, string | boolean | null | undefined>>)[name]
    const known = told[name]
    if (value === null || value === undefined) continue
    if (known !== undefined && (known[1] < atMs || (known[1] === atMs && !replaces))) continue
    if (known === undefined && Object.keys(told).length >= MOST_ATTRIBUTES) continue
    told[name] = [typeof value === 'string' ? value.slice(0, LONGEST_VALUE) : value, atMs]
  }
}

function merge(told: Told, more: Told): void {
  for (const [name, [value, atMs]] of Object.entries(more)) tell(told, { [name]: value }, [name], atMs)
}

function sum(known: number | null, more: number | null | undefined): number | null {
  return more === null || more === undefined ? known : (known ?? 0) + more
}

function recordOf(of: Derived, ref: SessionRef): Session {
  const word = (name: string) => (of.told[name]?.[0] as string | undefined) ?? null
  const counts = [of.user, of.bot, of.agent].filter(count => count !== null)
  const attributes = Object.fromEntries(Object.entries(of.attributes).map(([name, [value]]) => [name, value]))
  return session(ref, {
    startedAt: of.fromMs,
    endedAt: of.over ? of.untilMs : null,
    endedAtEstimated: of.over,
    status: of.over ? 'CLOSED' : 'OPEN',
    containment: of.transferredAtMs === null ? 'UNKNOWN' : 'AGENT',
    interactive: of.user === null ? null : of.user > 0,
    userId: word('userId'),
    channelUserId: word('channelUserId'),
    transferredAt: of.transferredAtMs,
    queue: word('queue'),
    agentId: word('agentId'),
    agentName: word('agentName'),
    userMessages: of.user,
    botMessages: of.bot,
    agentMessages: of.agent,
    totalMessages: counts.length === 0 ? null : counts.reduce((all, count) => all + count, 0),
    isTest: (of.told['isTest']?.[0] as boolean | undefined) ?? null,
    attributes: of.merged.length === 0 ? attributes : { ...attributes, merged_sessions: of.merged.join(',') },
  }).record
}
