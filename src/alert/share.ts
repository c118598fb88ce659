/**
 * One partition number of the alerter: the vendors that are its own, fenced and restored, and every verdict on them written exactly once.
 *
 * Parents of a rule's tree span the partitions of a vendor's bots, so a number stands for whole vendors: those whose name falls on it.
 */
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { type Decoder, decoderFor, type Encoder } from '../kafka/codec.ts'
import { partitionOf } from '../kafka/partition.ts'
import type { GroupOffset, Kafka, ReadRecord, Writer } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import { errorFields, type Log } from '../log.ts'
import { type Alert, botKey } from '../records.ts'
import type { Rule } from '../rules.ts'
import { schemaText } from '../schemas.ts'
import { alertTransactionalId, type TopicNames } from '../topics.ts'
import type { Judge, JudgeOptions } from './judge.ts'
import { changesOf, formerMemory, type Memory, parsed, readKey, TAKEN_KEY, timeRecords, timesIn } from './memory.ts'

export interface ShareParts {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  readonly groupId: string
  readonly rules: readonly Rule[]
  readonly zoneOf: (vendor: string, account: string) => string
  readonly createJudge: (options: JudgeOptions) => Judge
  readonly encoder: Encoder<Alert>
  readonly log: Log
  readonly clock: Clock
}

export interface Share {
  readonly number: number
  readonly judge: Judge
  /** The alerts of its vendors as they stand on the topic, by id. */
  readonly alerts: ReadonlyMap<string, Alert>
  /** By partition, the next offset of series for the process before when it last judged: what lies before was known to it. null: nobody knows. */
  readonly taken: readonly number[] | null
  /**
   * Writes the verdicts, and with them how far the judging has come and what was learnt, in one transaction.
   *
   * @throws FlowError after which the share is worth nothing any more: close it, and restore it anew.
   */
  publish(verdicts: readonly Alert[], offsets: Offsets): Promise<void>
  close(): Promise<void>
}

/** How far the topics were read. */
export interface Offsets {
  /** Next offset of the partition number, for tools that show lag. */
  readonly series: number
  /** The same. */
  readonly progress: number
  /** By partition, the next offset of series when the judging began. null: nothing was read. */
  readonly taken: readonly number[] | null
}

/** The number that a vendor belongs to. */
export function numberOf(vendor: string, partitions: number): number {
  return partitionOf(vendor, partitions)
}

/**
 * Fences older owners out, then reads what they left, to the high watermark: alerts, and the state that was committed with them.
 *
 * @throws FlowError of Kafka or registry. Nothing stays open then.
 */
export async function claimShares(parts: ShareParts, numbers: readonly number[], signal: AbortSignal): Promise<Share[]> {
  const prefix = parts.names.alerts.slice(0, -'.alerts'.length)
  const writers = new Map(
    numbers.map(number => [number, parts.kafka.openWriter({ transactionalId: alertTransactionalId(prefix, number) })]),
  )
  try {
    await Promise.all([...writers.values()].map(writer => writer.fence()))
    const alerts = await readAlerts(parts, signal)
    const memories = await readMemories(parts, numbers, signal)
    return numbers.map(number => {
      const own = alerts.filter(({ vendor }) => numberOf(vendor, parts.partitions) === number)
      return openShare(parts, number, writers.get(number) as Writer, own, memories.get(number) as Restored)
    })
  } catch (error) {
    await Promise.all([...writers.values()].map(writer => writer.close()))
    throw error
  }
}

function openShare(
  { names, partitions, groupId, rules, zoneOf, createJudge, encoder, log }: ShareParts,
  number: number,
  writer: Writer,
  restored: readonly Alert[],
  { memory, carried }: Restored,
): Share {
  const alerts = new Map(restored.map(alert => [alert.alert_id, alert]))
  const isOfKind = (kind: string) => (key: string) => readKey(key)?.[0] === kind
  /** The records that are the share's own, as they were written last. */
  const standing = pick(memory, key => isOfKind('judged')(key) || key === TAKEN_KEY)
  /** What is on the topic only once it has been written. */
  let unwritten = carried ? memory : null
  const taken = parsed(memory.get(TAKEN_KEY) ?? '') as number[] | null
  const judge = createJudge({
    rules,
    zoneOf,
    from: timesIn('judged', memory),
    memory: pick(memory, key => !standing.has(key)),
  })
  judge.restore(restored)

  return {
    number,
    judge,
    alerts,
    taken,
    async publish(verdicts, offsets) {
      const batches = new Map<number, { key: Buffer; value: Buffer }[]>()
      const written: Alert[] = []
      for (const alert of verdicts) {
        const record = encoded(alert)
        if (record === null) continue
        const partition = partitionOf(botKey(alert), partitions)
        batches.set(partition, [...(batches.get(partition) ?? []), record])
        written.push(alert)
      }
      const records = timeRecords('judged', judge.judgedUntil())
      if (offsets.taken !== null) records.set(TAKEN_KEY, JSON.stringify(offsets.taken))
      const changes = new Map([...(unwritten ?? []), ...judge.memoryChanges(), ...changesOf(standing, records)])
      const state = [...changes].map(([key, value]) => ({
        key: Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
      }))
      const read: GroupOffset[] = [
        { topic: names.series, partition: number, offset: offsets.series },
        { topic: names.progress, partition: number, offset: offsets.progress },
      ]
      await writer.transact(async tx => {
        const alertBatches = [...batches].map(([partition, records]) => ({ topic: names.alerts, partition, records }))
        const all = [...alertBatches, { topic: names.alertState, partition: number, records: state }]
        const filled = all.filter(({ records }) => records.length > 0)
        if (filled.length > 0) await tx.write(filled)
        await tx.commitGroupOffsets(groupId, read)
      })
      unwritten = null
      for (const alert of written) alerts.set(alert.alert_id, alert)
    },
    close: () => writer.close(),
  }

  /** Null: an alert that cannot be written must not keep the others from being told. */
  function encoded(alert: Alert): { key: Buffer; value: Buffer } | null {
    try {
      return { key: Buffer.from(alert.alert_id), value: encoder.encode(alert) }
    } catch (thrown) {
      const error = asFlowError(thrown)
      if (error.retry !== 'reject') throw error
      log.error({ ...errorFields(error), rule: alert.rule, alert: alert.alert_id }, 'alert cannot be written')
      return null
    }
  }
}

interface Restored {
  readonly memory: Memory
  /** It comes from where earlier versions kept it, and is not on the topic yet. */
  readonly carried: boolean
}

const pick = (memory: Memory, wanted: (key: string) => boolean) => new Map([...memory].filter(([key]) => wanted(key)))

/** What each number's last owner has left; earlier versions left it in the metadata of the group's offsets. */
async function readMemories(
  { kafka, names, groupId, log }: ShareParts,
  numbers: readonly number[],
  signal: AbortSignal,
): Promise<Map<number, Restored>> {
  const found = new Map<number, Restored>()
  const topic = names.alertState
  for (const partition of numbers) {
    const memory = new Map<string, string>()
    let isEmpty = true
    await kafka.readToEnd(
      { topic, partition },
      ({ key, value, offset }) => {
        isEmpty = false
        const name = key?.toString() ?? ''
        const text = value?.toString() ?? null
        if (text === null) memory.delete(name)
        else if (readKey(name) !== null && parsed(text) !== null) memory.set(name, text)
        else log.warn({ topic, partition, offset }, 'record left out')
      },
      signal,
    )
    found.set(partition, { memory, carried: false })
    if (!isEmpty) continue
    const committed = await kafka.groupOffsets(groupId, [names.series, names.progress])
    const words = (of: string) => committed.find(each => each.topic === of && each.partition === partition)?.metadata ?? ''
    found.set(partition, { memory: formerMemory(words(names.series), words(names.progress)), carried: true })
  }
  return found
}

/** Every alert that stands on the topic. */
async function readAlerts({ kafka, registry, names, partitions, log }: ShareParts, signal: AbortSignal): Promise<Alert[]> {
  const decoder: Decoder<Alert> = decoderFor(registry, schemaText('alert'))
  const found = new Map<string, Alert>()
  for (let partition = 0; partition < partitions; partition++) {
    const records: ReadRecord[] = []
    await kafka.readToEnd({ topic: names.alerts, partition }, record => records.push(record), signal)
    await decoder.prepare(records.map(({ value }) => value))
    for (const { key, value, offset } of records) {
      if (value === null) {
        found.delete(key?.toString() ?? '')
        continue
      }
      try {
        const alert = decoder.decode(value)
        found.set(alert.alert_id, alert)
      } catch (thrown) {
        if (!(thrown instanceof FlowError) || thrown.code !== 'CODEC_INVALID') throw thrown
        log.warn({ ...errorFields(thrown), topic: names.alerts, partition, offset }, 'record left out')
      }
    }
  }
  return [...found.values()]
}
