/**
 * Following the other processes with this config: their cursors on `<prefix>-connect-offsets`, their signs of life on `<prefix>-connect-status`. One
 * for all source partitions of a process, so that being taken over costs no reading of its own.
 */
import { randomUUID } from 'node:crypto'
import { aborted } from '../abort.ts'
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka, ReadRecord, Writer } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { type TopicNames, workerTransactionalId } from '../topics.ts'
import { readOwner } from './cursor.ts'
import { HEARTBEAT_MS, Owners } from './owners.ts'

export interface StandbyOptions {
  readonly kafka: Pick<Kafka, 'openWriter' | 'tail' | 'watermarks'>
  readonly names: TopicNames
  readonly prefix: string
  readonly partitions: number
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

export interface Standby {
  /** Names this process in the cursors that it writes. */
  readonly worker: string
  /** Whether another process has shown of late that it lives. All that live are known some seconds after the start. */
  isAlive(worker: string): boolean
  /** Calls back once another process has written the cursor after this one did: it owns the source partition now. @returns what ends that. */
  onLost(key: string, lost: () => void): () => void
  /** Resolves when the source partition may be claimed again, or the signal aborts. */
  untilFree(key: string, pollIntervalMs: number, signal: AbortSignal): Promise<void>
  /** Resolves when the signal has aborted and everything is closed. */
  readonly done: Promise<void>
}

const LOOK_MS = 500
const END_PATIENCE_MS = 2_000
/** Records of workers that are gone are removed by those that live. */
const FORGET_MS = 3_600_000

export function startStandby(options: StandbyOptions): Standby {
  const { clock } = options
  const worker = randomUUID()
  const owners = new Owners(worker)
  const watched: Watched = new Map()
  const isFree = (key: string, since: { fencedAtMs: number; pollIntervalMs: number }) => owners.isFree(key, since, clock.now())
  return {
    worker,
    isAlive: other => other !== worker && owners.isAlive(other, clock.now()),
    onLost: (key, lost) => {
      watched.set(key, lost)
      return () => {
        if (watched.get(key) === lost) watched.delete(key)
      }
    },
    async untilFree(key, pollIntervalMs, ended) {
      const fencedAtMs = clock.now()
      while (!ended.aborted && !isFree(key, { fencedAtMs, pollIntervalMs })) await clock.sleep(LOOK_MS, ended)
    },
    done: Promise.race([
      Promise.all([
        untilAborted(options, 'following other workers', () => follow(options, owners, watched)),
        untilAborted(options, 'showing that this worker lives', () => showLife(options, worker, owners)),
      ]),
      endOf(options),
    ]).then(() => {}),
  }
}

/** Some time after the signal: where Kafka is away, nobody waits for the last sign of life. */
async function endOf({ clock, signal }: StandbyOptions): Promise<void> {
  await aborted(signal)
  await clock.sleep(END_PATIENCE_MS)
}

/** Again and again: what fails here must not end the worker. */
async function untilAborted({ clock, log, signal }: StandbyOptions, what: string, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work()
    } catch (thrown) {
      if (!signal.aborted) log.warn({ ...errorFields(asFlowError(thrown)), what }, 'failed, trying again')
    }
    await clock.sleep(HEARTBEAT_MS, signal)
  }
}

/** What to call when a source partition is lost, by the key of its cursor. */
type Watched = Map<string, () => void>

async function follow(
  { kafka, names, partitions, clock, signal }: StandbyOptions,
  owners: Owners,
  watched: Watched,
): Promise<void> {
  const all = Array.from({ length: partitions }, (_, partition) => partition)
  const ends = await kafka.watermarks(
    [names.offsets, names.status].flatMap(topic => all.map(partition => ({ topic, partition }))),
  )
  const places = ends.map(({ topic, partition, high }) => ({ topic, partition, offset: high }))
  for await (const chunks of kafka.tail(places, { signal })) {
    for (const { topic, records } of chunks)
      for (const record of records) take(record, topic === names.offsets, owners, watched, clock.now())
  }
}

function take({ key, value }: ReadRecord, isCursor: boolean, owners: Owners, watched: Watched, nowMs: number): void {
  if (key === null) return
  if (isCursor) {
    const place = key.toString()
    if (owners.cursor(place, value === null ? null : readOwner(value.toString()), nowMs)) watched.get(place)?.()
    return
  }
  const worker = workerOfKey(key)
  if (worker === null) return
  if (value === null) owners.ended(worker)
  else owners.alive(worker, nowMs)
}

const KEY_START = 'colloquy-worker'

function keyOf(worker: string): string {
  return JSON.stringify([KEY_START, worker])
}

function workerOfKey(key: Buffer): string | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(key.toString())
  } catch {
    return null
  }
  return Array.isArray(parsed) && parsed[0] === KEY_START && typeof parsed[1] === 'string' ? parsed[1] : null
}

async function showLife(options: StandbyOptions, worker: string, owners: Owners): Promise<void> {
  const { kafka, prefix, clock, signal } = options
  const writer = kafka.openWriter({ transactionalId: workerTransactionalId(prefix, worker) })
  try {
    await writer.fence()
    while (!signal.aborted) {
      const gone = owners.takeSilent(FORGET_MS, clock.now())
      await write(options, writer, [worker, JSON.stringify({ at: clock.now() })], ...gone.map(each => [each, null] as const))
      await clock.sleep(HEARTBEAT_MS, signal)
    }
    await write(options, writer, [worker, null])
  } finally {
    await writer.close()
  }
}

async function write(
  { names, partitions }: StandbyOptions,
  writer: Writer,
  ...records: (readonly [worker: string, value: string | null])[]
): Promise<void> {
  const batches = new Map<number, { key: Buffer; value: Buffer | null }[]>()
  for (const [worker, value] of records) {
    const key = keyOf(worker)
    const partition = partitionOf(key, partitions)
    const record = { key: Buffer.from(key), value: value === null ? null : Buffer.from(value) }
    batches.set(partition, [...(batches.get(partition) ?? []), record])
  }
  await writer.transact(tx => tx.write([...batches].map(([partition, of]) => ({ topic: names.status, partition, records: of }))))
}
