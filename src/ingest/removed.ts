/**
 * Source partitions that are no more: their Progress is withdrawn (a null value), so that nobody waits for them to be read.
 *
 * Removed is what has a Progress, is not in this config, and is read by nobody: the process that wrote its cursor last shows no sign of life. So
 * processes with different files under one prefix leave each other's source partitions alone. A cursor that names no process was written by an
 * earlier version: it must have stood still for ten minutes. The cursor stays: should the source partition come back, it goes on.
 */
import type { Clock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { formerTransactionalId, sourceTransactionalId, type TopicNames } from '../topics.ts'
import { cursorKey, type PartitionName, progressKey, readOwner } from './cursor.ts'
import { ownReads } from './shared-read.ts'

export interface Removal {
  readonly kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>
  readonly names: TopicNames
  readonly prefix: string
  readonly partitions: number
  /** Every source partition of the config. */
  readonly configured: readonly PartitionName[]
  /** Whether a process still shows signs of life. */
  readonly isAlive: (worker: string) => boolean
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const PAUSE_MS = 30_000
/** So long a cursor that names no process must stand still. */
const STILL_MS = 600_000

/** Withdraws what is removed, trying again until it is done or the signal aborts. Never throws. */
export async function withdrawRemoved(of: Removal): Promise<void> {
  const { clock, log, signal } = of
  /** Cursors without an owner, as they were when they were looked at first. */
  const unowned = new Map<string, string | null>()
  for (let isDone = false; !isDone && !signal.aborted; ) {
    let pauseMs = STILL_MS
    try {
      isDone = await withdrawAll(of, unowned)
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (signal.aborted || error.code === 'STOPPED') return
      pauseMs = PAUSE_MS
      log.warn({ ...errorFields(error), againInMs: pauseMs }, 'progress of removed source partitions could not be withdrawn')
    }
    if (!isDone) await clock.sleep(pauseMs, signal)
  }
}

/** @returns false when some may be removed, and must be looked at again. */
async function withdrawAll(of: Removal, unowned: Map<string, string | null>): Promise<boolean> {
  let isDone = true
  for (const name of await unconfigured(of)) {
    const cursor = await cursorOf(of, name)
    const owner = cursor === null ? null : readOwner(cursor)
    if (owner !== null && of.isAlive(owner.worker)) continue
    const key = progressKey(name)
    if (owner !== null || (unowned.has(key) && unowned.get(key) === cursor)) await withdraw(of, name)
    else {
      unowned.set(key, cursor)
      isDone = false
    }
  }
  return isDone
}

/** Source partitions with a Progress that are not in the config. */
async function unconfigured({ kafka, names, partitions, configured, signal }: Removal): Promise<PartitionName[]> {
  const keys = new Set(configured.map(progressKey))
  const found: PartitionName[] = []
  for (let partition = 0; partition < partitions; partition++) {
    const stands = new Map<string, boolean>()
    await kafka.readToEnd(
      { topic: names.progress, partition },
      ({ key, value }) => key && stands.set(key.toString(), value !== null),
      signal,
    )
    for (const [key, isThere] of stands) {
      // Neither a connector nor a stream has a slash in its name.
      const [, connector = '', stream = '', scope = ''] = /^([^/]*)\/([^/]*)\/(.*)$/s.exec(key) ?? []
      if (isThere && !keys.has(key)) found.push({ connector, stream, scope })
    }
  }
  return found
}

async function cursorOf({ kafka, names, partitions, signal }: Removal, name: PartitionName): Promise<string | null> {
  const key = cursorKey(name)
  const { value } = await ownReads(kafka, signal).newest({ topic: names.offsets, partition: partitionOf(key, partitions) }, key)
  return value?.toString() ?? null
}

/** Fences whoever may still read it, so that no Progress comes after the null. */
async function withdraw({ kafka, names, prefix, partitions, log }: Removal, name: PartitionName): Promise<void> {
  const key = progressKey(name)
  const former = kafka.openWriter({ transactionalId: formerTransactionalId(prefix, name) })
  const writer = kafka.openWriter({ transactionalId: sourceTransactionalId(prefix, name) })
  try {
    await former.fence()
    await writer.fence()
    const records = [{ key: Buffer.from(key), value: null }]
    await writer.transact(tx => tx.write([{ topic: names.progress, partition: partitionOf(key, partitions), records }]))
    log.info({ ...name }, 'source partition was removed, its progress is withdrawn')
  } finally {
    await former.close()
    await writer.close()
  }
}
