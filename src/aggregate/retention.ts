/** How long the topics keep what the aggregator counts from and writes to, and what follows of it for its state. */
import { FlowError } from '../errors.ts'
import type { Kafka } from '../kafka/port.ts'
import type { TopicNames } from '../topics.ts'
import type { Retention, StateOptions } from './state.ts'

const DAY_MS = 86_400_000
const DEFAULTS: Retention = { minutesMs: 14 * DAY_MS, hoursMs: 400 * DAY_MS, daysMs: 1_825 * DAY_MS }
const KEYS = [
  ['days', 'daysMs'],
  ['hours', 'hoursMs'],
  ['minutes', 'minutesMs'],
] as const
const SETTINGS = ['cleanup.policy', 'retention.ms', 'segment.ms']

/**
 * @param wanted What the config says. What it does not say is the default, or what it takes to be no less than a finer tier, no more than a coarser one, and
 *   no more than the series topic keeps.
 * @throws FlowError TOPIC_MISMATCH where points would be gone before what they count is: sessions would be taken back from buckets that are not there
 */
export async function keepsOf(
  kafka: Kafka,
  names: TopicNames,
  wanted: Partial<Retention> = {},
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
  for (const [key, tier] of KEYS) {
    const ms = wanted[tier]
    if (ms === undefined || ms <= seriesRetentionMs) continue
    throw new FlowError('TOPIC_MISMATCH', {
      hint:
        `aggregator.retention.${key} is ${days(ms)}, but ${names.series} keeps its points for ${days(seriesRetentionMs)}: ` +
        `set aggregator.retention.${key} to ${days(seriesRetentionMs)} or less, or raise retention.ms of the topic with kafka-configs.sh --alter`,
      topic: names.series,
      setting: 'retention.ms',
      found: seriesRetentionMs,
      wanted: ms,
    })
  }
  const retention = retentionOf(wanted, seriesRetentionMs)
  // The segment that is being written is not deleted before it is closed. A topic that is not there keeps nothing.
  const holdsMs = counted
    .filter(topic => settings.has(topic))
    .map(topic => keptMs(topic) + Math.max(0, numberOf(topic, 'segment.ms')))
  return {
    retention,
    seriesRetentionMs,
    rememberMs: Math.min(retention.daysMs, Math.max(0, ...holdsMs)) + DAY_MS,
  }
}

/** @param mostMs What the series topic keeps. */
function retentionOf(wanted: Partial<Retention>, mostMs: number): Retention {
  const daysMs = wanted.daysMs ?? Math.min(mostMs, Math.max(DEFAULTS.daysMs, wanted.hoursMs ?? 0, wanted.minutesMs ?? 0))
  const hoursMs = wanted.hoursMs ?? Math.min(daysMs, Math.max(DEFAULTS.hoursMs, wanted.minutesMs ?? 0))
  return { minutesMs: wanted.minutesMs ?? Math.min(hoursMs, DEFAULTS.minutesMs), hoursMs, daysMs }
}

function days(ms: number): string {
  return ms % DAY_MS === 0 ? `${ms / DAY_MS}d` : `${(ms / DAY_MS).toFixed(1)} days`
}
