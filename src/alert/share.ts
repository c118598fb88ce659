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
import { packMarks, packMemory, unpackMarks, unpackMemory } from './marks.ts'

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
  /**
   * Writes the verdicts, and with them how far the judging has come, in one transaction.
   *
   * @param offsets Of the topics that were read, for tools that show lag.
   * @throws FlowError after which the share is worth nothing any more: close it, and restore it anew.
   */
  publish(verdicts: readonly Alert[], offsets: Offsets): Promise<void>
  close(): Promise<void>
}

/** Next offsets of the partition number that were read. */
export interface Offsets {
  readonly series: number
  readonly progress: number
}

/** The number that a vendor belongs to. */
export function numberOf(vendor: string, partitions: number): number {
  return partitionOf(vendor, partitions)
}

/**
 * Fences older owners out, then reads what they left: alerts to the high watermark, and the marks that were committed with them.
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
    const committed = await parts.kafka.groupOffsets(parts.groupId, [parts.names.series, parts.names.progress])
    return numbers.map(number => {
      const words = (topic: string) => committed.find(each => each.topic === topic && each.partition === number)?.metadata ?? ''
      const own = alerts.filter(({ vendor }) => numberOf(vendor, parts.partitions) === number)
      return openShare(parts, number, writers.get(number) as Writer, own, {
        from: unpackMarks(words(parts.names.series)),
        memory: unpackMemory(words(parts.names.progress)),
      })
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
  { from, memory }: { from: Record<string, number> | null; memory: string | null },
): Share {
  const alerts = new Map(restored.map(alert => [alert.alert_id, alert]))
  const judge = createJudge({
    rules,
    zoneOf,
    ...(from === null ? {} : { from }),
    ...(memory === null ? {} : { memory }),
  })
  judge.restore(restored)

  return {
    number,
    judge,
    alerts,
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
      const marks: GroupOffset[] = [
        { topic: names.series, partition: number, offset: offsets.series, metadata: packMarks(judge.judgedUntil()) },
        { topic: names.progress, partition: number, offset: offsets.progress, metadata: packMemory(judge.memory()) },
      ]
      await writer.transact(async tx => {
        if (batches.size > 0)
          await tx.write([...batches].map(([partition, records]) => ({ topic: names.alerts, partition, records })))
        await tx.commitGroupOffsets(groupId, marks)
      })
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
