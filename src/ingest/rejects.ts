/**
 * Dead letters: what is on `<prefix>.rejects` and has not been closed.
 *
 * A reject is closed by a record of the same key and partition with a null value, whose headers name it and say what became of it. So the topic is
 * its own ledger: nothing else must be kept in step with it, and both leave it by age together.
 */
import type { Kafka, ReadRecord, TopicPartition } from '../kafka/port.ts'

export type Outcome = 'mapped' | 'discarded'

/** One rejected row, open until it is mapped or discarded. */
export interface DeadLetter {
  /** `partition:offset` on the rejects topic. */
  readonly id: string
  readonly partition: number
  readonly offset: number
  /** When it was rejected, epoch milliseconds. */
  readonly atMs: number
  /** The vendor's row id, as it is shown; empty where it is not known. */
  readonly key: string
  readonly connector: string
  readonly stream: string
  readonly scope: string
  /** Error code. */
  readonly reason: string
  readonly stage: string
  readonly path: string
  readonly message: string
  /** The cursor before the row's page, JSON. */
  readonly cursor: string | null
  /** Window that the row was read in, epoch milliseconds; null: written by a version that did not keep it. */
  readonly window: { readonly fromMs: number; readonly untilMs: number } | null
  /** The vendor's row as JSON, masked by policy. */
  readonly row: string
  /** The row as it was, sealed with the connector's `pii.key`; null where `row` is all there is. */
  readonly sealed: string | null
  /** `row` is not what the vendor gave: persons are hidden in it. */
  readonly isMasked: boolean
  /** What stood published of the row when it was rejected (`markText` of its fingerprint, empty: nothing); null: not known. */
  readonly known: string | null
}

export const HEADERS = {
  connector: '__colloquy.connector',
  stream: '__colloquy.stream',
  scope: '__colloquy.scope',
  reason: '__colloquy.reason',
  path: '__colloquy.path',
  cursor: '__colloquy.cursor',
  window: '__colloquy.window',
  sealed: '__colloquy.sealed',
  masked: '__colloquy.masked',
  known: '__colloquy.known',
  closes: '__colloquy.closes',
  outcome: '__colloquy.outcome',
  published: '__colloquy.published',
} as const

/** Which dead letters; absent: all. */
export interface Wanted {
  readonly connector?: string | undefined
  readonly stream?: string | undefined
  readonly reason?: string | undefined
}

export function isWanted(letter: DeadLetter, { connector, stream, reason }: Wanted): boolean {
  return (
    (connector === undefined || letter.connector === connector) &&
    (stream === undefined || letter.stream === stream) &&
    (reason === undefined || letter.reason === reason)
  )
}

/** Every open dead letter, oldest first. @throws FlowError KAFKA_UNREACHABLE */
export async function readDeadLetters(
  kafka: Pick<Kafka, 'readToEnd'>,
  topic: string,
  partitions: number,
  signal: AbortSignal,
): Promise<DeadLetter[]> {
  const all = await Promise.all(Array.from({ length: partitions }, (_, partition) => openOf(kafka, { topic, partition }, signal)))
  return all.flat().sort((a, b) => a.atMs - b.atMs || a.partition - b.partition || a.offset - b.offset)
}

/** The open dead letters of one partition, in offset order. */
export async function openOf(
  kafka: Pick<Kafka, 'readToEnd'>,
  place: TopicPartition,
  signal?: AbortSignal,
): Promise<DeadLetter[]> {
  return (await ledgerOf(kafka, place, signal)).open
}

/** The dead letter at an offset, open or closed; null: there is none. @throws FlowError KAFKA_UNREACHABLE */
export async function readDeadLetter(
  kafka: Pick<Kafka, 'readRange' | 'watermarks'>,
  { topic, partition, offset }: TopicPartition & { readonly offset: number },
  signal: AbortSignal,
): Promise<DeadLetter | null> {
  const [ends] = await kafka.watermarks([{ topic, partition }])
  if (ends === undefined || offset < ends.low || offset >= ends.high) return null
  let found: DeadLetter | null = null
  const take = (record: ReadRecord) => {
    if (record.offset === offset && record.value !== null) found = letterOf(partition, record, record.value)
  }
  await kafka.readRange({ topic, partition, from: offset, until: offset + 1 }, take, signal)
  return found
}

export interface Ledger {
  /** In offset order. */
  readonly open: DeadLetter[]
  /** What was published of closed dead letters (`markText` of the row's fingerprint), with the offset of the dead letter. */
  readonly published: Map<string, number>
}

/** What the partition says of its dead letters. */
export async function ledgerOf(kafka: Pick<Kafka, 'readToEnd'>, place: TopicPartition, signal?: AbortSignal): Promise<Ledger> {
  const open = new Map<string, DeadLetter>()
  const closed = new Set<string>()
  const published = new Map<string, number>()
  const take = (record: ReadRecord) => {
    const closes = record.headers[HEADERS.closes]?.toString()
    if (closes !== undefined) {
      closed.add(closes)
      const mark = record.headers[HEADERS.published]?.toString()
      if (mark !== undefined) published.set(mark, Number(closes.split(':')[1]))
    } else if (record.value !== null) {
      const letter = letterOf(place.partition, record, record.value)
      open.set(letter.id, letter)
    }
  }
  await kafka.readToEnd(place, take, signal)
  return { open: [...open.values()].filter(letter => !closed.has(letter.id)), published }
}

/** A fingerprint (16 bytes as latin1) as a header holds it. */
export function markText(fingerprint: string): string {
  return Buffer.from(fingerprint, 'latin1').toString('base64url')
}

function letterOf(partition: number, { offset, timestamp, key, headers }: ReadRecord, value: Buffer): DeadLetter {
  const header = (name: string) => headers[name]?.toString() ?? ''
  return {
    id: `${partition}:${offset}`,
    partition,
    offset,
    atMs: timestamp,
    key: key?.toString() ?? '',
    connector: header(HEADERS.connector),
    stream: header(HEADERS.stream),
    scope: header(HEADERS.scope),
    reason: header(HEADERS.reason),
    stage: header('__connect.errors.stage').toLowerCase(),
    path: header(HEADERS.path),
    message: header('__connect.errors.exception.message'),
    cursor: headers[HEADERS.cursor]?.toString() ?? null,
    window: windowOf(header(HEADERS.window)),
    row: value.toString(),
    sealed: headers[HEADERS.sealed]?.toString() ?? null,
    isMasked: headers[HEADERS.masked] !== undefined,
    known: headers[HEADERS.known]?.toString() ?? null,
  }
}

/** `from/until`, ISO 8601. */
export function windowText({ fromMs, untilMs }: { fromMs: number; untilMs: number }): string {
  return `${new Date(fromMs).toISOString()}/${new Date(untilMs).toISOString()}`
}

function windowOf(text: string): DeadLetter['window'] {
  const [fromMs = Number.NaN, untilMs = Number.NaN] = text.split('/').map(each => Date.parse(each))
  return fromMs <= untilMs ? { fromMs, untilMs } : null
}

/**
 * The record that closes a dead letter: to the same partition, with its key.
 *
 * @param published `markText` of the row that was published of it; absent: nothing was.
 */
export function closing(letter: Pick<DeadLetter, 'id' | 'key'>, outcome: Outcome, published?: string) {
  return {
    key: Buffer.from(letter.key),
    value: null,
    headers: {
      [HEADERS.closes]: letter.id,
      [HEADERS.outcome]: outcome,
      ...(published === undefined ? {} : { [HEADERS.published]: published }),
    },
  }
}
