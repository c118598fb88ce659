/** How long the topics keep what the aggregator counts from and writes to, and what follows of it for its state. */
import { FlowError } from '../errors.ts'
import type { Kafka } from '../kafka/port.ts'
import type { TopicNames } from '../topics.ts'
import type { StateOptions } from './state.ts'

const DAY_MS = 86_400_000
const RETENTION_MS = 730 * DAY_MS
const SETTINGS = ['cleanup.policy', 'retention.ms', 'segment.ms']

/**
 * @param retentionMs What the config asks for; undefined: two years, or as long as the series topic keeps its points where that is less.
 * @throws FlowError TOPIC_MISMATCH where points would be gone before their minutes are: sessions would be taken back from minutes that are not there
 */
export async function keepsOf(
  kafka: Kafka,
  names: TopicNames,
  retentionMs: number | undefined,
): Promise<Required<Omit<StateOptions, 'includeTest'>>> {
  const counted = [names.messages, names.events, names.versions]
  const settings = await kafka.topicSettings([names.series, ...counted], SETTINGS)
  const numberOf = (topic: string, setting: string) => Number(settings.get(topic)?.get(setting) ?? -1)
  const keptMs = (topic: string) => {
    const deletes = settings.get(topic)?.get('cleanup.policy')?.includes('delete') ?? false
    const ms = numberOf(topic, 'retention.ms')
    return deletes && ms >= 0 ? ms : Infinity
  }
  const seriesRetentionMs = keptMs(names.series)
  if (retentionMs !== undefined && retentionMs > seriesRetentionMs) {
    throw new FlowError('TOPIC_MISMATCH', {
      hint:
        `aggregator.retention is ${days(retentionMs)}, but ${names.series} keeps its points for ${days(seriesRetentionMs)}: ` +
        `set aggregator.retention to ${days(seriesRetentionMs)} or less, or raise retention.ms of the topic with kafka-configs.sh --alter`,
      topic: names.series,
      setting: 'retention.ms',
      found: seriesRetentionMs,
      wanted: retentionMs,
    })
  }
  const keptMinutesMs = retentionMs ?? Math.min(RETENTION_MS, seriesRetentionMs)
  // The segment that is being written is not deleted before it is closed. A topic that is not there keeps nothing.
  const holdsMs = counted
    .filter(topic => settings.has(topic))
    .map(topic => keptMs(topic) + Math.max(0, numberOf(topic, 'segment.ms')))
  return { retentionMs: keptMinutesMs, seriesRetentionMs, rememberMs: Math.min(keptMinutesMs, Math.max(0, ...holdsMs)) + DAY_MS }
}

function days(ms: number): string {
  return ms % DAY_MS === 0 ? `${ms / DAY_MS}d` : `${(ms / DAY_MS).toFixed(1)} days`
}
