/** Topics: made with the settings of the contract, and checked where they exist. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, ITopicConfig } from 'kafkajs'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isStale, kafkaError } from './failures.ts'
import { TOPIC } from './kafkajs.ts'
import type { TopicSpec } from './port.ts'

const CREATE_TIMEOUT_MS = 15_000

/** See `Kafka.ensureTopics`. */
export async function ensureTopics(
  admin: Admin,
  log: Log,
  specs: readonly TopicSpec[],
  options: { create: boolean },
): Promise<void> {
  const existing = new Set(await admin.listTopics())
  const missing = specs.filter(spec => !existing.has(spec.topic))
  if (missing.length > 0 && !options.create) {
    const names = missing.map(spec => spec.topic).join(', ')
    throw new FlowError('TOPIC_MISSING', {
      hint: `${names}: make ${missing.length === 1 ? 'it' : 'them'}, or set topics.create to true`,
    })
  }
  if (missing.length > 0) await create(admin, missing)
  const [counts, settings] = await inspect(admin, specs)
  check(log, specs, counts, settings)
}

/** A topic that somebody else makes meanwhile is as good: it is checked like all others. */
async function create(admin: Admin, specs: readonly TopicSpec[]): Promise<void> {
  try {
    await admin.createTopics({
      waitForLeaders: true,
      timeout: CREATE_TIMEOUT_MS,
      topics: specs.map(
        (spec): ITopicConfig => ({
          topic: spec.topic,
          numPartitions: spec.partitions,
          // -1: the broker's default.
          replicationFactor: spec.replicationFactor ?? -1,
          configEntries: Object.entries(spec.config).map(([name, value]) => ({ name, value })),
        }),
      ),
    })
  } catch (error) {
    const errors =
      error instanceof AggregateError || (error instanceof Error && 'errors' in error) ? (error.errors as Error[]) : [error]
    // The client waits for the leaders after it has made them, and may find none yet: `inspect` waits longer.
    const first = errors.find(one => (one as { type?: string }).type !== 'TOPIC_ALREADY_EXISTS' && !isStale(codeOf(one) ?? 0))
    if (first === undefined) return
    const topic = (first as { topic?: string }).topic
    throw kafkaError(first, topic === undefined ? {} : { topic })
  }
}

/** Partition counts and settings. A topic that was made just now may be unknown for a moment, whatever the answer to its making said. */
async function inspect(
  admin: Admin,
  specs: readonly TopicSpec[],
): Promise<[Map<string, number>, Map<string, Map<string, string>>]> {
  const names = specs.map(spec => spec.topic)
  const settings = [...new Set(specs.flatMap(spec => Object.keys(spec.config)))]
  const untilMs = Date.now() + CREATE_TIMEOUT_MS
  for (let count = 0; ; count++) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: names })
      const counts = new Map(topics.map(topic => [topic.name, topic.partitions.length]))
      return [counts, await describe(admin, names, settings)]
    } catch (error) {
      if (!isStale(codeOf(error) ?? 0) || Date.now() >= untilMs) throw error
    }
    await sleep(backoffMs(count + 3))
  }
}

function check(
  log: Log,
  specs: readonly TopicSpec[],
  counts: ReadonlyMap<string, number>,
  settings: ReadonlyMap<string, ReadonlyMap<string, string>>,
): void {
  const faults: { topic: string; setting: string; found: string; wanted: string; hint: string }[] = []
  for (const spec of specs) {
    const found = counts.get(spec.topic) ?? 0
    if (found !== spec.partitions) {
      faults.push({
        topic: spec.topic,
        setting: 'partitions',
        found: String(found),
        wanted: String(spec.partitions),
        hint: `${spec.topic} has ${found} partitions, the config says ${spec.partitions}: their number decides where a bot lives and cannot be changed; set topics.partitions to ${found}, or use another topics.prefix`,
      })
    }
    for (const [setting, wanted] of Object.entries(spec.config)) {
      const value = settings.get(spec.topic)?.get(setting)
      if (value === undefined || sameSetting(setting, value, wanted)) continue
      if (setting === 'cleanup.policy') {
        faults.push({
          topic: spec.topic,
          setting,
          found: value,
          wanted,
          hint: `${spec.topic} has cleanup.policy=${value} and needs ${wanted}: set it with kafka-configs.sh --alter`,
        })
      } else log.warn({ topic: spec.topic, setting, found: value, wanted }, 'Topic has another setting than we would give it')
    }
  }
  const [first, ...others] = faults
  if (first === undefined) return
  throw new FlowError('TOPIC_MISMATCH', { ...first, hint: [first, ...others].map(fault => fault.hint).join('; ') })
}

function sameSetting(setting: string, found: string, wanted: string): boolean {
  if (setting !== 'cleanup.policy') return found === wanted
  const words = (text: string) =>
    text
      .split(',')
      .map(word => word.trim())
      .filter(Boolean)
      .sort()
      .join(',')
  return words(found) === words(wanted)
}

/** Values of the settings, by topic. */
export async function describe(
  admin: Admin,
  topics: readonly string[],
  settings: readonly string[],
): Promise<Map<string, Map<string, string>>> {
  if (topics.length === 0 || settings.length === 0) return new Map()
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(name => ({ type: TOPIC, name, configNames: [...settings] })),
  })
  return new Map(
    resources.map(({ resourceName, configEntries }) => [
      resourceName,
      new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])),
    ]),
  )
}
