/** Topics: created with the settings of the contract; existing ones are checked, and altered where that is allowed and needed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, ITopicConfig } from 'kafkajs'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { backoffMs, codeOf, isStale, kafkaError, refused } from './failures.ts'
import { type Cluster, sendFramed, TOPIC } from './kafkajs.ts'
import type { TopicDurability, TopicSettings, TopicSpec } from './port.ts'
import { alterConfigsRequest, decodeAltered, decodeTopicId, TOPIC_ID_VERSION, topicIdRequest } from './wire.ts'

const CREATE_TIMEOUT_MS = 15_000
const ALTER_TIMEOUT_MS = 10_000

/**
 * See `Kafka.ensureTopics`.
 *
 * @param alter Changes settings of topics, each topic by itself. Returns what it could not change, with the error.
 */
export async function ensureTopics(
  admin: Admin,
  log: Log,
  specs: readonly TopicSpec[],
  options: { create: boolean },
  alter: (changes: readonly TopicSettings[]) => Promise<ReadonlyMap<string, FlowError>>,
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
  const made = new Set(missing.map(spec => spec.topic))
  const [counts, settings] = await inspect(admin, specs, made)
  const faults = partitionFaults(specs, counts)
  const deviations = specs.flatMap(spec => deviationsOf(spec, settings.get(spec.topic) ?? new Map<string, string>()))
  const left = options.create && faults.length === 0 ? await mend(log, deviations, alter) : deviations
  for (const deviation of left) {
    if (deviation.must) faults.push(faultOf(deviation))
    else if (!made.has(deviation.topic)) {
      const { topic, setting, found, wanted } = deviation
      log.warn({ topic, setting, found, wanted }, 'found a topic setting that differs from the recommended one')
    }
  }
  const [first, ...others] = faults
  if (first === undefined) return
  throw new FlowError('TOPIC_MISMATCH', { ...first, hint: [first, ...others].map(fault => fault.hint).join('; ') })
}

/** A topic created by another process meanwhile is fine: it is checked like all others. */
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
    // The client waits for the leaders of new topics, and may find none yet: `inspect` waits longer.
    const first = errors.find(one => (one as { type?: string }).type !== 'TOPIC_ALREADY_EXISTS' && !isStale(codeOf(one) ?? 0))
    if (first === undefined) return
    const topic = (first as { topic?: string }).topic
    throw kafkaError(first, topic === undefined ? {} : { topic })
  }
}

/** Partition counts and settings; waits for leaders of new topics. A new topic may be unknown for a moment, whatever the answer to its creation was. */
async function inspect(
  admin: Admin,
  specs: readonly TopicSpec[],
  made: ReadonlySet<string>,
): Promise<[Map<string, number>, Map<string, Map<string, string>>]> {
  const names = specs.map(spec => spec.topic)
  const settings = [...new Set(specs.flatMap(spec => Object.keys(spec.config)))]
  const untilMs = Date.now() + CREATE_TIMEOUT_MS
  for (let count = 0; ; count++) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: names })
      const counts = new Map(topics.map(topic => [topic.name, topic.partitions.length]))
      const isComing = (topic: (typeof topics)[number]) => topic.partitions.some(partition => partition.leader < 0)
      if (made.size > 0 && topics.some(topic => made.has(topic.name) && isComing(topic)) && Date.now() < untilMs) {
        await sleep(backoffMs(count + 3))
        continue
      }
      return [counts, await describe(admin, names, settings)]
    } catch (error) {
      if (!isStale(codeOf(error) ?? 0) || Date.now() >= untilMs) throw error
    }
    await sleep(backoffMs(count + 3))
  }
}

interface Fault {
  readonly topic: string
  readonly setting: string
  readonly found: string
  readonly wanted: string
  readonly hint: string
}

function partitionFaults(specs: readonly TopicSpec[], counts: ReadonlyMap<string, number>): Fault[] {
  return specs.flatMap(({ topic, partitions }) => {
    const found = counts.get(topic) ?? 0
    if (found === partitions) return []
    const hint = `${topic} has ${found} partitions, the config says ${partitions}: their number decides the partition of a bot and cannot be changed; set topics.partitions to ${found}, or use another topics.prefix`
    return [{ topic, setting: 'partitions', found: String(found), wanted: String(partitions), hint }]
  })
}

interface Deviation {
  readonly topic: string
  readonly setting: string
  readonly found: string
  readonly wanted: string
  /** Without it records would be lost or published twice. */
  readonly must: boolean
  /** We may change it: nobody sets it otherwise on purpose, or it is required. */
  readonly mendable: boolean
}

function deviationsOf(spec: TopicSpec, settings: ReadonlyMap<string, string>): Deviation[] {
  return Object.entries(spec.config).flatMap(([setting, wanted]) => {
    const found = settings.get(setting)
    if (found === undefined || isGoodEnough(setting, found, wanted)) return []
    const must = setting === 'cleanup.policy' || (spec.needs ?? []).includes(setting)
    return [{ topic: spec.topic, setting, found, wanted, must, mendable: must || setting.startsWith('segment.') }]
  })
}

/** Whether the existing value serves as well as ours. */
function isGoodEnough(setting: string, found: string, wanted: string): boolean {
  switch (setting) {
    case 'cleanup.policy':
      return words(found) === words(wanted)
    case 'retention.ms':
      return Number(found) === -1 || (Number(wanted) !== -1 && Number(found) >= Number(wanted))
    case 'segment.ms':
    case 'segment.bytes':
      return Number(found) <= Number(wanted)
    case 'compression.type':
      return true
    default:
      return found === wanted
  }
}

function words(text: string): string {
  return text
    .split(',')
    .map(word => word.trim())
    .filter(Boolean)
    .sort()
    .join(',')
}

/** Changes what may be changed. @returns what could not be changed */
async function mend(
  log: Log,
  deviations: readonly Deviation[],
  alter: (changes: readonly TopicSettings[]) => Promise<ReadonlyMap<string, FlowError>>,
): Promise<Deviation[]> {
  const mendable = deviations.filter(deviation => deviation.mendable)
  if (mendable.length === 0) return [...deviations]
  const changes = [...Map.groupBy(mendable, deviation => deviation.topic)].map(([topic, mending]) => ({
    topic,
    settings: Object.fromEntries(mending.map(({ setting, wanted }) => [setting, wanted])),
  }))
  const refusals = await alter(changes)
  for (const { topic, setting, found, wanted } of mendable) {
    const refusal = refusals.get(topic)
    if (refusal === undefined) log.info({ topic, setting, found, wanted }, 'changed topic setting')
    else log.warn({ topic, setting, found, wanted, code: refusal.code, error: refusal.message }, 'failed to change topic setting')
  }
  return deviations.filter(deviation => !deviation.mendable || refusals.has(deviation.topic))
}

function faultOf({ topic, setting, found, wanted }: Deviation): Fault {
  const cure = `kafka-configs.sh --alter --topic ${topic} --add-config '${setting}=[${wanted}]'`
  const why =
    setting === 'retention.ms'
      ? ': with a shorter retention records would be published again or counted wrongly'
      : ': with another clean-up policy records would be lost, or kept for ever'
  return {
    topic,
    setting,
    found,
    wanted,
    hint: `${topic} has ${setting}=${found} and needs ${wanted}${why}; change it with ${cure}`,
  }
}

/** See `Kafka.alterTopicSettings`. Other settings of the topics stay as they are. */
export async function alterSettings(
  cluster: Cluster,
  changes: readonly TopicSettings[],
): Promise<ReadonlyMap<string, FlowError>> {
  await cluster.connect()
  await cluster.refreshMetadataIfNecessary()
  const broker = await cluster.findControllerBroker()
  const { resources } = await sendFramed(broker, alterConfigsRequest(changes), decodeAltered, ALTER_TIMEOUT_MS)
  const refusals = new Map<string, FlowError>()
  for (const { topic } of changes) {
    const answer = resources.find(resource => resource.name === topic)
    if (answer === undefined) refusals.set(topic, new FlowError('KAFKA_UNREACHABLE', { hint: 'no answer for the topic', topic }))
    else if (answer.errorCode !== 0)
      refusals.set(topic, refused(answer.errorCode, { topic }, answer.message === '' ? undefined : new Error(answer.message)))
  }
  return refusals
}

/** See `Kafka.durability`. */
export async function durability(admin: Admin, topics: readonly string[]): Promise<TopicDurability[]> {
  const existing = new Set(await admin.listTopics())
  const names = topics.filter(topic => existing.has(topic))
  if (names.length === 0) return []
  const { topics: metadata } = await admin.fetchTopicMetadata({ topics: names })
  const settings = await describe(admin, names, ['min.insync.replicas'])
  return metadata.map(({ name, partitions }) => ({
    topic: name,
    replicas: Math.min(...partitions.map(partition => partition.replicas.length)),
    minInsync: numberOf(settings, name, 'min.insync.replicas'),
  }))
}

/** @throws FlowError where Kafka does not say */
export function numberOf(settings: ReadonlyMap<string, ReadonlyMap<string, string>>, topic: string, setting: string): number {
  const value = settings.get(topic)?.get(setting)
  if (value === undefined || value === '' || !Number.isFinite(Number(value))) {
    throw new FlowError('KAFKA_UNREACHABLE', { hint: `Kafka does not say what ${setting} of ${topic} is`, topic, setting })
  }
  return Number(value)
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

/** See `Kafka.topicId`. */
export async function topicId(cluster: Cluster, topic: string): Promise<string | null> {
  await cluster.refreshMetadataIfNecessary()
  const broker = await cluster.findControllerBroker()
  const request = topicIdRequest(topic)
  if ((broker.versions?.[request.apiKey]?.maxVersion ?? 0) < TOPIC_ID_VERSION) return null
  const { errorCode, id } = await sendFramed(broker, request, decodeTopicId, TOPIC_ID_TIMEOUT_MS)
  if (errorCode !== 0) throw Object.assign(new Error(`${topic}: no id`), { code: errorCode })
  return /^0*$/.test(id) ? null : id
}

const TOPIC_ID_TIMEOUT_MS = 5_000
