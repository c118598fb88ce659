/**
 * Source partitions that are no more: their Progress is withdrawn (a null value), so that nobody waits for them to be read.
 *
 * Surely removed is a stream or scope that a connector of this config no longer has. A connector that is not in the file may be run by a process
 * with another file: it is removed only where the file says so (`removed`). The cursor stays: should the source partition come back, it goes on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { asFlowError } from '../errors.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { Kafka } from '../kafka/port.ts'
import { errorFields, type Log } from '../log.ts'
import { formerTransactionalId, sourceTransactionalId, type TopicNames } from '../topics.ts'
import type { PartitionName } from './cursor.ts'

export interface Removal {
  readonly kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>
  readonly names: TopicNames
  readonly prefix: string
  readonly partitions: number
  /** Every source partition of the config. */
  readonly configured: readonly PartitionName[]
  /** Connectors that are gone for good. */
  readonly removed: readonly string[]
  readonly log: Log
  readonly signal: AbortSignal
}

const PAUSE_MS = 30_000

/** Withdraws what is removed, trying again until it is done or the signal aborts. Never throws. */
export async function withdrawRemoved(of: Removal): Promise<void> {
  const { log, signal } = of
  while (!signal.aborted) {
    try {
      for (const name of await removedOf(of)) await withdraw(of, name)
      return
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (signal.aborted || error.code === 'STOPPED') return
      log.warn({ ...errorFields(error), againInMs: PAUSE_MS }, 'progress of removed source partitions could not be withdrawn')
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/** Source partitions with a Progress that the config says are no more. */
export async function removedOf({ kafka, names, partitions, configured, removed, signal }: Removal): Promise<PartitionName[]> {
  const connectors = new Set(configured.map(({ connector }) => connector))
  const keys = new Set(configured.map(progressKey))
  const gone = new Set(removed)
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
      if (isThere && !keys.has(key) && (connectors.has(connector) || gone.has(connector)))
        found.push({ connector, stream, scope })
    }
  }
  return found
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

function progressKey({ connector, stream, scope }: PartitionName): string {
  return `${connector}/${stream}/${scope}`
}
