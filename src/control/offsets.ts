/** Cursors of a connector on `<prefix>-connect-offsets`: anybody may read them; they are written in transactions of the source partition itself. */
import { randomUUID } from 'node:crypto'
import { type Barrier, barrierOf } from '../ingest/barrier.ts'
import { cursorKey, hasMoved, type PartitionName, progressKey, REQUESTS_HEADER, requestsOf } from '../ingest/cursor.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka, Writer, WriteRecord } from '../kafka/port.ts'
import type { Progress } from '../records.ts'
import { formerTransactionalId, sourceTransactionalId, toolTransactionalId, type TopicNames } from '../topics.ts'
import type { SeenWindow } from './time-machine.ts'

export interface OffsetsOptions {
  readonly kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>
  readonly names: Pick<TopicNames, 'offsets' | 'progress'>
  readonly prefix: string
  readonly partitions: number
  readonly decodeProgress: (value: Buffer) => Progress | Promise<Progress>
  readonly signal: AbortSignal
}

export interface StoredOffset extends PartitionName {
  readonly text: string
}

/** The current cursor, or what is left of it. */
interface CurrentCursor extends PartitionName {
  /** null: it was reset. */
  readonly text: string | null
  /** Recent requests to the vendor, in a cursor's format; null: unknown. */
  readonly requests: string | null
}

/** How many source partitions' transactional ids are claimed at a time. */
const AT_ONCE = 16

/** Every cursor of the connector, by its record's key, including those of source partitions that are no longer configured. */
export async function readStored(options: OffsetsOptions, connector: string): Promise<Map<string, StoredOffset>> {
  const all = Array.from({ length: options.partitions }, (_, partition) => partition)
  const standing = await readCurrent(options, connector, all)
  return new Map([...standing].flatMap(([key, { text, ...name }]) => (text === null ? [] : [[key, { ...name, text }] as const])))
}

/** Including reset ones. */
async function readCurrent(
  { kafka, names, signal }: OffsetsOptions,
  connector: string,
  on: Iterable<number>,
  barrier?: Barrier,
): Promise<Map<string, CurrentCursor>> {
  const found = new Map<string, CurrentCursor>()
  const start = Buffer.from(`[${JSON.stringify(connector)},`)
  for (const partition of on) {
    const place = { topic: names.offsets, partition }
    const past = barrier === undefined ? {} : { past: await barrier(place) }
    await kafka.readToEnd(
      { ...place, ...past },
      ({ key, value, headers }) => {
        if (key === null || !key.subarray(0, start.length).equals(start)) return
        const name = nameOf(key.toString())
        if (name === null) return
        const text = value?.toString() ?? null
        const requests = text === null ? (headers[REQUESTS_HEADER]?.toString() ?? null) : requestsOf(text)
        found.set(cursorKey(name), { ...name, text, requests })
      },
      signal,
    )
  }
  return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** null: the key of another kind of record. */
function nameOf(key: string): PartitionName | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(key)
  } catch {
    return null
  }
  if (!Array.isArray(parsed)) return null
  const [connector, place] = parsed as unknown[]
  if (typeof connector !== 'string' || typeof place !== 'object' || place === null) return null
  const { stream, scope } = place as Record<string, unknown>
  return typeof stream === 'string' && typeof scope === 'string' ? { connector, stream, scope } : null
}

/**
 * Changes cursors: claims each source partition, so that its current owner can no longer write, reads its cursor, and writes the new one in a transaction of
 * its own. If somebody claims it meanwhile, this fails.
 *
 * @param change From the current cursor to the new one, null for none; undefined leaves it.
 * @throws FlowError KAFKA_FENCED, KAFKA_UNREACHABLE, …; what was written before stays.
 */
export async function changeStored(
  options: OffsetsOptions,
  places: readonly PartitionName[],
  change: (place: PartitionName, stored: string | null) => string | null | undefined,
): Promise<void> {
  const { kafka, prefix, partitions } = options
  const barrier = barrierOf(kafka, toolTransactionalId(prefix, `barrier-${randomUUID()}`))
  try {
    for (let at = 0; at < places.length; at += AT_ONCE) {
      const some = places.slice(at, at + AT_ONCE).map(place => ({
        place,
        key: cursorKey(place),
        partition: partitionOf(cursorKey(place), partitions),
        writer: kafka.openWriter({ transactionalId: sourceTransactionalId(prefix, place) }),
      }))
      try {
        await Promise.all(some.map(({ writer }) => writer.fence()))
        const on = new Set(some.map(({ partition }) => partition))
        const connectors = new Set(some.map(({ place }) => place.connector))
        const standing = new Map<string, CurrentCursor>()
        for (const connector of connectors)
          for (const [key, each] of await readCurrent(options, connector, on, barrier.ask)) standing.set(key, each)
        await Promise.all(
          some.map(async each => {
            const before = standing.get(each.key) ?? { text: null, requests: null }
            const next = change(each.place, before.text)
            if (next !== undefined) await write(options, each, before, next)
          }),
        )
      } finally {
        await Promise.all(some.map(({ writer }) => writer.close()))
      }
    }
  } finally {
    await barrier.close()
  }
}

async function write(
  { kafka, names, prefix }: OffsetsOptions,
  { place, key, partition, writer }: { place: PartitionName; key: string; partition: number; writer: Writer },
  before: Pick<CurrentCursor, 'text' | 'requests'>,
  text: string | null,
): Promise<void> {
  // A process of version 0.1 claims it by another id.
  if (before.text !== null && !isMoved(before.text)) {
    const former = kafka.openWriter({ transactionalId: formerTransactionalId(prefix, place) })
    try {
      await former.fence()
    } finally {
      await former.close()
    }
  }
  const records = [{ key: Buffer.from(key), ...valueOf(before, text) }]
  await writer.transact(tx => tx.write([{ topic: names.offsets, partition, records }]))
}

/**
 * A reset has the null value that tools of Kafka Connect expect. Recent requests to the vendor are kept in a header, because the vendor counts them whatever is
 * read again; the first cursor after the reset takes them over.
 */
function valueOf(
  { text: before, requests }: Pick<CurrentCursor, 'text' | 'requests'>,
  text: string | null,
): Omit<WriteRecord, 'key'> {
  if (text === null) return { value: null, ...(requests === null ? {} : { headers: { [REQUESTS_HEADER]: requests } }) }
  if (before !== null || requests === null) return { value: Buffer.from(text) }
  return { value: Buffer.from(JSON.stringify({ ...(JSON.parse(text) as object), requests })) }
}

function isMoved(text: string): boolean {
  try {
    return hasMoved(text)
  } catch {
    // An unreadable cursor says nothing.
    return false
  }
}

/** What was read of source partitions recently, by `progressKey`. */
export async function readSeen(
  { kafka, names, partitions, decodeProgress, signal }: OffsetsOptions,
  places: readonly PartitionName[],
): Promise<Map<string, SeenWindow[]>> {
  const seen = new Map<string, SeenWindow[]>(places.map(place => [progressKey(place), []]))
  const on = new Set([...seen.keys()].map(key => partitionOf(key, partitions)))
  for (const partition of on) {
    const values: { key: string; value: Buffer }[] = []
    await kafka.readToEnd(
      { topic: names.progress, partition },
      ({ key, value }) => {
        const name = key?.toString() ?? ''
        if (value !== null && seen.has(name)) values.push({ key: name, value: Buffer.from(value) })
      },
      signal,
    )
    for (const { key, value } of values) {
      const { window_from: fromMs, window_until: untilMs, pages, rows } = await decodeProgress(value)
      seen.get(key)?.push({ fromMs, untilMs, pages, rows })
    }
  }
  return seen
}
