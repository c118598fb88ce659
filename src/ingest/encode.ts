/**
 * From the drafts of changed rows to the bytes of one transaction: leave out what consumers have seen, encode, sort by partition.
 *
 * Whether a record is new is decided by its encoded content, as it leaves the door (`door.ts`).
 * This runs for every record: nothing in it spreads, awaits or makes a buffer of its own.
 */
import { hash } from 'node:crypto'
import { FlowError } from '../errors.ts'
import type { PartitionBatch, WriteRecord } from '../kafka/port.ts'
import { mostRecordBytes } from '../kafka/room.ts'
import { botKey, type Event, type Lane, type Message, type Session, sessionKeyOf } from '../records.ts'
import type { Draft, RecordKind, Window } from '../source/contract.ts'
import type { Transfers } from '../source/transfers.ts'
import type { TopicNames } from '../topics.ts'
import { type PartitionName, progressKey } from './cursor.ts'
import { type Drained, spreadThread } from './derived.ts'
import { cleanId, type Door, isLong, MOST_ID_BYTES } from './door.ts'
import type { Known } from './known-rows.ts'
import type { Piece } from './plan.ts'
import { markOf, type Reject, unmappable } from './reject.ts'
import { HEADERS, markText, windowText } from './rejects.ts'
import type { Row } from './rows.ts'
import { type InPlaceEncoder, Slab } from './slab.ts'
import type { ShownTransfer } from './transfer-delay.ts'
import {
  changedParts,
  contentHash,
  Items,
  keyHash,
  knownBytes,
  partBytes,
  REJECT_BYTES,
  spread,
  type Versions,
  writeKnown,
  writePart,
  writeReject,
} from './versions.ts'

/** Avro in Confluent framing, from the Kafka room. */
export interface RecordEncoder<T> extends InPlaceEncoder<T> {
  /** Of what was encoded last: where, in the buffer it was written to, the content after `observed_at` starts. */
  readonly lastTailStart: number
  encode(value: T): Buffer
}

export interface Outputs extends PartitionName {
  readonly vendor: string
  readonly account: string
  readonly task: number
  readonly names: TopicNames
  /** Of every topic that has a bot. */
  readonly partitions: number
  readonly partitionOf: (key: string, partitions: number) => number
  readonly encoders: {
    readonly session: RecordEncoder<Session>
    readonly message: RecordEncoder<Message>
    readonly event: RecordEncoder<Event>
  }
  /** `max.message.bytes` of each topic. */
  readonly maxBytes: ReadonlyMap<string, number>
  readonly door: Door
  /** The kinds of records that the stream gives, as Progress says them. */
  readonly feeds: readonly Feed[]
  /** Streams times scopes that the connector reads. */
  readonly sourcePartitions: number
  readonly transfers: Transfers
  /** How long rows are read again. */
  readonly lookbackMs: number
  /** False: a reject ends the task (`errors.tolerance: none`). */
  readonly tolerant: boolean
}

/** A stream that gives sessions says beside it whether their transfers are known. */
export type Feed = RecordKind | 'transfer' | 'no_transfer'

type Kind = Draft['kind']
const KIND_NUMBER = { session: 1, message: 2, event: 3 } as const
/** Of an item that holds the revision of a record: added to the number of the record's kind. */
const REVISION_OF = 8
/** In place of a session's content: only its messages and events were published so far. */
const MENTIONED = 0
/** In place of a session's content: it was published by a version that did not remember what it said. */
const PUBLISHED = 1
const DEFAULT_MAX_BYTES = 1_048_588
const MOST_HEADER_BYTES = 1000

interface Staged {
  readonly topic: string
  readonly partition: number
  readonly record: WriteRecord
}

/** Sessions of one row that belong to other bots than the row's first. */
const MOST_OTHER_BOTS = 10_000

/** As much of the text as fits. */
function short(text: string, mostBytes: number): string {
  if (!isLong(text, mostBytes)) return text.toWellFormed()
  return Buffer.from(text.slice(0, mostBytes))
    .subarray(0, mostBytes - 3)
    .toString('utf8')
    .replace(/\uFFFD$/, '')
}

/** Stands for an id that is too long to be a key. */
function digestOf(id: string): string {
  return id === '' ? '' : hash('sha256', id, 'base64url').slice(0, 22)
}

/** A row may be nested deeper than the stack, or hold what JSON has no form for. */
function jsonOf(row: () => unknown): string {
  try {
    return JSON.stringify(row()) ?? 'null'
  } catch {
    return JSON.stringify({ left_out: 'the row cannot be written as JSON' })
  }
}

/** What the headers take in a record, rounded up. */
function headerBytes(headers: Readonly<Record<string, string>>): number {
  let bytes = 0
  for (const [name, value] of Object.entries(headers)) bytes += 6 + name.length + Buffer.byteLength(value)
  return bytes
}

/** When the record says that a person took over; null: it does not, or only about when. */
function transferredAtOf({ kind, record }: Draft): number | null {
  if (kind === 'session') return record.transferred_at
  return kind === 'event' && record.type === 'agent_transferred' && !record.occurred_at_estimated ? record.occurred_at : null
}

/** The revision of a row that is not remembered. */
export function firstRevisionOf({ forgotten }: Piece, observedAtMs: number): number {
  return forgotten ? Math.floor(observedAtMs / 1000) : 1
}

/** Opens the batches of one source partition, one at a time: they share buffers, so that a transaction leaves no garbage of its own. */
export class Batches {
  readonly to: Outputs
  readonly slab = new Slab()
  readonly items = new Items()
  readonly staged: Staged[] = []
  readonly partitionsOfBots = new Map<string, number>()
  readonly versionsPartition: number
  readonly rejectsPartition: number

  constructor(to: Outputs) {
    this.to = to
    this.versionsPartition = to.partitionOf(progressKey(to), to.partitions)
    this.rejectsPartition = to.partitionOf(`${to.vendor}:${to.account}:${to.scope}`, to.partitions)
  }

  /** A batch that begins with this piece. The one before it must be closed. */
  open(piece: Piece): Batch {
    return new Batch(this, piece)
  }
}

/** What goes into one transaction, and what Progress reports about it. Closed when the transaction is over. */
export class Batch {
  readonly #to: Outputs
  readonly #slab: Slab
  readonly #items: Items
  readonly #staged: Staged[]
  readonly #topics = new Map<string, WriteRecord[][]>()
  readonly #partitionsOfBots: Map<string, number>
  readonly #versionsPartition: number
  readonly #rejectsPartition: number

  readonly lane: Lane
  /** Of the windows read. Rows that were followed have no window: theirs counts only until another comes. */
  fromMs: number
  untilMs: number
  #hasWindow: boolean
  pages = 0
  rows = 0
  unchanged = 0
  /** Rows published again, because they had changed. */
  changed = 0
  sessions = 0
  messages = 0
  events = 0
  /** Rejects by code. */
  readonly rejects = new Map<string, number>()
  /** Rows and records that could not be published, those whose content was rejected before among them. */
  refused = 0
  newestAtMs: number | null = null
  /** Transfers to an agent that the records show. */
  readonly transfers: ShownTransfer[] = []
  /** Records of all topics. */
  records = 0

  constructor(batches: Batches, piece: Piece) {
    this.#to = batches.to
    this.#slab = batches.slab
    this.#items = batches.items
    this.#staged = batches.staged
    this.#partitionsOfBots = batches.partitionsOfBots
    this.#versionsPartition = batches.versionsPartition
    this.#rejectsPartition = batches.rejectsPartition
    this.lane = piece.lane
    this.fromMs = piece.window.fromMs
    this.untilMs = piece.window.untilMs
    this.#hasWindow = piece.followed !== true
  }

  get bytes(): number {
    return this.#slab.bytes
  }

  get emitted(): number {
    return this.sessions + this.messages + this.events
  }

  get rejected(): number {
    let sum = 0
    for (const count of this.rejects.values()) sum += count
    return sum
  }

  /** Counts the piece in: its window widens what this commit reports. */
  widen(piece: Piece): this {
    if (piece.followed === true) return this
    const { fromMs, untilMs } = piece.window
    // Passes go backwards in time.
    this.fromMs = this.#hasWindow ? Math.min(this.fromMs, fromMs) : fromMs
    this.untilMs = this.#hasWindow ? Math.max(this.untilMs, untilMs) : untilMs
    this.#hasWindow = true
    return this
  }

  /**
   * The records of one new or changed row that consumers have not seen. All of the row or, when one of its records does not fit its schema,
   * nothing of it but a reject.
   *
   * @param open Whether the vendor may still change the row when it has left the lookback.
   * @returns false when the row was rejected.
   */
  append(
    row: Row,
    drafts: readonly Draft[],
    piece: Piece,
    observedAtMs: number,
    versions: Versions,
    cursor: () => string,
    open = false,
  ): boolean {
    const rememberedId = row.sharedId ?? row.id
    const known = versions.get(rememberedId) ?? (row.formerId === undefined ? undefined : versions.get(row.formerId))
    const rowRevision = known?.revision ?? firstRevisionOf(piece, observedAtMs)
    const firstRevision = known ? (known.hasGaps ? Math.floor(observedAtMs / 1000) : 1) : rowRevision
    const items = this.#items
    items.open(known?.items ?? '')
    const publishedTransferMs = items.transfer()
    // The time of a transfer stays as it was first published, whatever the vendor shows later: else it would be counted again in another minute.
    const keepsTransfer = publishedTransferMs !== null && drafts.filter(({ kind }) => kind === 'session').length === 1
    this.#staged.length = 0
    const tooLarge: Reject[] = []
    let rowBot = known?.botId
    let otherBots: Map<number, string> | null = known?.otherBots ? new Map(known.otherBots) : null
    let ownerKey: string | null = null
    let ownerHash = 0
    let keyBuffer: Buffer | null = null
    let newestAtMs = this.newestAtMs
    let sessions = 0
    let messages = 0
    let events = 0
    const shown = this.transfers.length
    let now: Known

    try {
      for (const draft of drafts) {
        const { kind, record } = draft
        const itemKey = kind === 'session' ? record.session_key : kind === 'message' ? record.message_key : record.event_key
        const key = record.session_key ?? itemKey
        if (key !== ownerKey || keyBuffer === null) {
          ownerKey = key
          ownerHash = keyHash(record.session_key === null ? KIND_NUMBER.event : KIND_NUMBER.session, key)
          keyBuffer = this.#slab.text(key)
        }

        // A session's bot is fixed when it is first published, because it decides the partition.
        rowBot ??= record.bot_id
        let botId = record.bot_id
        if (items.get(ownerHash) !== undefined) botId = otherBots?.get(ownerHash) ?? rowBot
        else {
          if (botId !== rowBot) otherBots = (otherBots ?? new Map<number, string>()).set(ownerHash, botId)
          if (record.session_key !== null) items.put(ownerHash, MENTIONED)
        }
        if (record.bot_id !== botId) {
          record.attributes['bot_id'] = record.bot_id
          record.bot_id = botId
        }

        if (kind === 'session' && keepsTransfer && (record.transferred_at !== null || record.containment === 'AGENT'))
          record.transferred_at = publishedTransferMs

        const itemHash = kind === 'session' ? ownerHash : keyHash(KIND_NUMBER[kind], itemKey)
        const before = items.get(itemHash)
        record.revision = firstRevision
        let value = this.#encode(draft)
        const content = this.#contentOf(kind, value)
        if (before === content) {
          this.#slab.giveBack()
          continue
        }
        const isPublished = before !== undefined && !(kind === 'session' && before === MENTIONED)
        const revisionHash = isPublished || firstRevision !== rowRevision ? keyHash(REVISION_OF + KIND_NUMBER[kind], itemKey) : 0
        if (isPublished) {
          this.#slab.giveBack()
          record.revision = (items.get(revisionHash) ?? rowRevision) + 1
          value = this.#encode(draft)
        }

        const topic = this.#topicOf(kind)
        const bytes = value.length + keyBuffer.length
        if (bytes > this.#roomOf(topic)) {
          tooLarge.push(this.#tooLarge(row, kind, itemKey, value, bytes, topic))
          this.#slab.giveBack()
          continue
        }
        items.put(itemHash, content)
        if (record.revision !== rowRevision) items.put(revisionHash, record.revision)
        if (kind === 'session' && record.transferred_at !== null) items.putTransfer(record.transferred_at)
        const atMs = kind === 'session' ? record.started_at : kind === 'message' ? record.sent_at : record.occurred_at
        this.#staged.push({ topic, partition: this.#partitionOfBot(botId), record: { key: keyBuffer, value } })
        if (newestAtMs === null || atMs > newestAtMs) newestAtMs = atMs
        const transferredMs = transferredAtOf(draft)
        if (transferredMs !== null) this.transfers.push({ key, atMs: transferredMs })
        if (kind === 'session') sessions++
        else if (kind === 'message') messages++
        else events++
      }
      now = {
        revision: rowRevision,
        fingerprint: row.fingerprint,
        botId: rowBot ?? '',
        otherBots,
        items: items.close(),
        parts: null,
        hasGaps: known?.hasGaps ?? false,
        untilMs: known && piece.followed ? known.untilMs : Math.max(piece.window.untilMs, known?.untilMs ?? piece.window.untilMs),
        // Asked for by id are rows.
        open: open && rememberedId === row.id,
      }
      now = this.#spread(rememberedId, now, known, versions, observedAtMs)
    } catch (thrown) {
      this.transfers.length = shown
      this.reject(unmappable(row.raw, row.id, 'encode', thrown, row.fingerprint), piece, versions, cursor())
      return false
    }

    for (const staged of this.#staged) this.#add(staged.topic, staged.partition, staged.record)
    this.newestAtMs = newestAtMs
    this.sessions += sessions
    this.messages += messages
    this.events += events
    versions.set(rememberedId, now)
    this.#remember(rememberedId, now, known, versions)
    if (rememberedId !== row.id) this.#rememberView(row.id, { ...now, open }, piece, versions)
    for (const reject of tooLarge) this.reject(reject, piece, versions, cursor())
    return true
  }

  /**
   * A row that did not change. One that shows in windows long after its own (a listing that takes no times) is remembered for longer, so that it is not taken for
   * a new one when its own have left the lookback.
   */
  passOver(rowId: string, { window: { untilMs }, followed }: Piece, versions: Versions): void {
    this.unchanged++
    const knownMs = followed ? undefined : versions.untilMsOf(rowId)
    if (knownMs === undefined || !this.#isLongAfter(untilMs, knownMs)) return
    const known = versions.get(rowId)
    if (known === undefined) return
    const now = { ...known, untilMs }
    versions.set(rowId, now)
    this.remember(rowId, now, versions)
  }

  /** Writes the row's version, also where it stands already: the topic forgets what was not written for long. */
  remember(rowId: string, known: Known, versions: Versions): void {
    this.#remember(rowId, known, undefined, versions)
  }

  /** The row with its items spread over as many records as they need. @throws FlowError ROW_UNMAPPABLE where even its head is too large */
  #spread(rowId: string, now: Known, before: Known | undefined, versions: Versions, nowMs: number): Known {
    const room = this.#roomOf(this.#to.names.versions)
    const keyBytes = Buffer.byteLength(versions.rowKey(rowId))
    const parts = spread(now, before, room, keyBytes, nowMs)
    const spreadOut = parts === null ? now : { ...now, parts }
    const bytes = knownBytes(spreadOut) + keyBytes
    if (bytes > room || (now.otherBots?.size ?? 0) > MOST_OTHER_BOTS) {
      const hint = `what is remembered of the row takes ${bytes} bytes, and a record of ${this.#to.names.versions} takes ${room}`
      throw new FlowError('ROW_UNMAPPABLE', { path: 'id', hint })
    }
    return spreadOut
  }

  /** One of several views of what is remembered elsewhere: that it says this, and nothing of what was published. */
  #rememberView(rowId: string, shared: Known, { window, followed }: Piece, versions: Versions): void {
    const before = versions.get(rowId)
    const untilMs = before === undefined ? window.untilMs : followed ? before.untilMs : Math.max(window.untilMs, before.untilMs)
    const view: Known = { ...shared, otherBots: null, items: '', parts: null, hasGaps: false, untilMs }
    versions.set(rowId, view)
    this.#remember(rowId, view, before, versions)
  }

  #remember(rowId: string, now: Known, before: Known | undefined, versions: Versions): void {
    const topic = this.#to.names.versions
    this.#add(topic, this.#versionsPartition, {
      key: this.#slab.text(versions.rowKey(rowId)),
      value: this.#slab.take(knownBytes(now), (buffer, at) => writeKnown(now, buffer, at)),
    })
    if (now.parts === null && (before?.parts ?? null) === null) return
    for (const { part, items } of changedParts(now, before)) {
      this.#add(topic, this.#versionsPartition, {
        key: this.#slab.text(versions.partKey(rowId, part)),
        value: items === null ? null : this.#slab.take(partBytes(items), (buffer, at) => writePart(items, buffer, at)),
      })
    }
  }

  /** Sessions that were derived, and the threads that they are remembered by. */
  derived({ sessions, threads }: Drained): void {
    const topic = this.#to.names.sessions
    const { vendor, account, door } = this.#to
    for (const { sessionId, botId, record } of sessions) {
      if (record !== null) door.records([{ kind: 'session', record }])
      const sessionKey = record?.session_key ?? sessionKeyOf(vendor, account, door.sessionId(sessionId))
      const key = this.#slab.text(sessionKey)
      let value: Buffer | null = null
      if (record !== null) {
        value = this.#slab.encode(this.#to.encoders.session, record)
        if (value.length + key.length > this.#roomOf(topic)) {
          this.#slab.giveBack()
          const attributes = { left_out: 'attributes larger than the topic takes' }
          value = this.#slab.encode(this.#to.encoders.session, { ...record, attributes })
        }
        const bytes = value.length + key.length
        if (bytes > this.#roomOf(topic)) {
          this.#rejected(this.#tooLarge({ id: sessionKey, raw: record }, 'session', sessionKey, value, bytes, topic), '', null)
          this.rejects.set('RECORD_TOO_LARGE', (this.rejects.get('RECORD_TOO_LARGE') ?? 0) + 1)
          continue
        }
        this.sessions++
        if (record.transferred_at !== null) this.transfers.push({ key: sessionKey, atMs: record.transferred_at })
      }
      this.#add(topic, this.#partitionOfBot(botId), { key, value })
    }
    const versions = this.#to.names.versions
    for (const thread of threads) {
      for (const { key, value } of spreadThread(thread, this.#roomOf(versions))) {
        this.#add(versions, this.#versionsPartition, { key: this.#slab.text(key), value })
      }
    }
  }

  /**
   * One row or record that cannot be published goes to the rejects topic, once for the same content.
   *
   * @param cursor The cursor before the row's page: where to read it again.
   * @returns false when the same content was rejected before.
   * @throws FlowError with the reject's code when the connector tolerates none.
   */
  reject(reject: Reject, piece: Piece, versions: Versions, cursor: string): boolean {
    const to = this.#to
    if (!to.tolerant) {
      throw new FlowError(reject.code, {
        connector: to.connector,
        stream: to.stream,
        scope: to.scope,
        row: to.door.loggedId(reject.rowId),
        path: reject.path,
        hint: `${reject.message}; errors.tolerance is none`,
      })
    }
    this.refused++
    const rejectedUntilMs = versions.rejectedUntil(reject.mark)
    if (rejectedUntilMs !== undefined) {
      this.unchanged++
      if (this.#isLongAfter(piece.window.untilMs, rejectedUntilMs)) this.#rememberReject(reject, piece, versions)
      return false
    }
    // An id that is not known is of a row of which nothing is known either.
    const known = reject.rowId === '' ? undefined : markText(versions.get(reject.rowId)?.fingerprint ?? '')
    this.#rejected(reject, cursor, piece.window, known)
    this.#rememberReject(reject, piece, versions)
    this.rejects.set(reject.code, (this.rejects.get(reject.code) ?? 0) + 1)
    return true
  }

  /** Whether a window ends so long after the one that something was remembered from, that it has to be remembered anew. */
  #isLongAfter(untilMs: number, rememberedUntilMs: number): boolean {
    return untilMs > rememberedUntilMs + this.#to.lookbackMs / 2
  }

  #rememberReject({ mark }: Reject, { window: { untilMs } }: Piece, versions: Versions): void {
    versions.reject(mark, untilMs)
    const topic = this.#to.names.versions
    const key = versions.rejectKey(mark)
    if (Buffer.byteLength(key) + REJECT_BYTES > this.#roomOf(topic)) return
    this.#add(topic, this.#versionsPartition, {
      key: this.#slab.text(key),
      value: this.#slab.take(REJECT_BYTES, (buffer, at) => writeReject(mark, untilMs, buffer, at)),
    })
  }

  /** The reject's record: with less and less in it, until it fits. */
  #rejected(reject: Reject, cursor: string, window: Window | null, known?: string): void {
    const to = this.#to
    const topic = to.names.rejects
    const sealed = to.door.sealedRow(reject.raw)
    const own = {
      [HEADERS.connector]: to.connector,
      [HEADERS.stream]: to.stream,
      [HEADERS.scope]: to.scope,
      [HEADERS.reason]: reject.code,
      [HEADERS.path]: short(reject.path, MOST_HEADER_BYTES),
      ...(window === null ? {} : { [HEADERS.window]: windowText(window) }),
      ...(known === undefined ? {} : { [HEADERS.known]: known }),
      ...(sealed === null ? {} : { [HEADERS.masked]: 'true' }),
    }
    const headers = {
      '__connect.errors.topic': this.#topicOf(reject.path in KIND_NUMBER ? (reject.path as Kind) : 'session'),
      '__connect.errors.connector.name': to.connector,
      '__connect.errors.task.id': String(to.task),
      '__connect.errors.stage': reject.stage.toUpperCase(),
      '__connect.errors.exception.class.name': reject.code,
      '__connect.errors.exception.message': short(reject.message, MOST_HEADER_BYTES),
      ...own,
      [HEADERS.cursor]: cursor,
    }
    const id = isLong(reject.rowId, MOST_ID_BYTES) ? digestOf(reject.rowId) : cleanId(to.door.shownId(reject.rowId))
    const json = jsonOf(() => to.door.row(reject.raw))
    const summary = JSON.stringify({ left_out: 'the row is larger than the topic takes', bytes: Buffer.byteLength(json) })
    const { [HEADERS.cursor]: _, ...withoutCursor } = headers
    const shortened = Object.fromEntries(Object.entries(withoutCursor).map(([name, text]) => [name, short(text, 100)]))
    const forms: readonly (readonly [key: string, value: string, headers: Readonly<Record<string, string>>])[] = [
      ...(sealed === null
        ? []
        : [
            [id, json, { ...headers, [HEADERS.sealed]: sealed }] as const,
            [id, json, { ...withoutCursor, [HEADERS.sealed]: sealed }] as const,
          ]),
      [id, json, headers],
      [id, json, withoutCursor],
      [id, summary, headers],
      [id, summary, withoutCursor],
      [digestOf(id), summary, shortened],
      [digestOf(id), summary, { [HEADERS.reason]: reject.code, [HEADERS.path]: short(reject.path, 50) }],
    ]
    const room = this.#roomOf(topic)
    const form = forms.find(
      ([key, value, given]) => Buffer.byteLength(key) + Buffer.byteLength(value) + headerBytes(given) <= room,
    )
    // A topic that takes less than this takes nothing at all; the reject is counted all the same.
    if (!form) return
    const [key, value, given] = form
    this.#add(topic, this.#rejectsPartition, { key: this.#slab.text(key), value: this.#slab.text(value), headers: given })
  }

  /** One more record, as it is. */
  add(topic: string, partition: number, record: WriteRecord): void {
    this.#add(topic, partition, record)
  }

  batches(): PartitionBatch[] {
    const batches: PartitionBatch[] = []
    for (const [topic, partitions] of this.#topics) {
      for (const [partition, records] of partitions.entries()) {
        if (records !== undefined && records.length > 0) batches.push({ topic, partition, records })
      }
    }
    return batches
  }

  /** When the transaction is over: its memory serves the next batch. */
  close(): void {
    this.#topics.clear()
    this.#slab.reset()
  }

  /** The hash of what the record says, without how it was read; of the record that was encoded last. */
  #contentOf(kind: Kind, value: Buffer): number {
    const content = contentHash(value.subarray(this.#to.encoders[kind].lastTailStart - this.#slab.lastStart))
    return kind === 'session' && content <= PUBLISHED ? content + 2 : content
  }

  #encode({ kind, record }: Draft): Buffer {
    const { session, message, event } = this.#to.encoders
    if (kind === 'session') return this.#slab.encode(session, record)
    return kind === 'message' ? this.#slab.encode(message, record) : this.#slab.encode(event, record)
  }

  #topicOf(kind: Kind): string {
    const { names } = this.#to
    return kind === 'session' ? names.sessions : kind === 'message' ? names.messages : names.events
  }

  /** Bytes that key, value and headers of one record of the topic may take. */
  #roomOf(topic: string): number {
    return mostRecordBytes(this.#to.maxBytes.get(topic) ?? DEFAULT_MAX_BYTES)
  }

  #partitionOfBot(botId: string): number {
    let partition = this.#partitionsOfBots.get(botId)
    if (partition === undefined) {
      const { vendor, account, partitions } = this.#to
      partition = this.#to.partitionOf(botKey({ vendor, account, bot_id: botId }), partitions)
      if (this.#partitionsOfBots.size >= 10_000) this.#partitionsOfBots.clear()
      this.#partitionsOfBots.set(botId, partition)
    }
    return partition
  }

  #add(topic: string, partition: number, record: WriteRecord): void {
    let partitions = this.#topics.get(topic)
    if (partitions === undefined) this.#topics.set(topic, (partitions = []))
    const records = partitions[partition]
    if (records === undefined) partitions[partition] = [record]
    else records.push(record)
    this.records++
  }

  #tooLarge(row: Pick<Row, 'id' | 'raw'>, kind: Kind, itemKey: string, value: Buffer, bytes: number, topic: string): Reject {
    const content = this.#contentOf(kind, value)
    return {
      rowId: row.id,
      raw: row.raw,
      code: 'RECORD_TOO_LARGE',
      stage: 'encode',
      path: kind,
      message: `the ${kind} takes ${bytes} bytes, a record of ${topic} takes ${this.#roomOf(topic)}`,
      mark: markOf(`${kind}|${itemKey}|${content}`),
    }
  }
}
