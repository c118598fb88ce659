import { FlowError } from '../errors.ts'
import { isConnectionFailure, kafkaError } from './failures.ts'
import { join } from './group.ts'
import { groupsSharing, joinGroup } from './numbers.ts'
import { type Cluster, createAdmin, createCluster, type Deadlines, hangUp } from './kafkajs.ts'
import { ping, PING_DEADLINES } from './ping.ts'
import type { GroupMember, Kafka, KafkaOptions, TopicSettings, Writer } from './port.ts'
import { offsetsAt, patiently, readRange, readToEnd, tail, watermarks } from './reader.ts'
import { alterSettings, describe, durability, ensureTopics, numberOf, topicId } from './topics.ts'
import { openWriter, TRANSACTION_TIMEOUT_MS } from './writer.ts'

/** Idle connections kept for the next read to the end. */
const IDLE_READERS = 4
/** `max.message.bytes` may be changed at any time. */
const LIMITS_AGE_MS = 60_000
/** Brokers allow 15 min by default (`transaction.max.timeout.ms`). */
const LONGEST_TRANSACTION_MS = 600_000

/** Does not connect yet: connections are opened on demand, and closed by `close`. */
export function connectKafka(options: KafkaOptions): Kafka {
  const { log } = options
  const open = new Set<Cluster>()
  const idle: Cluster[] = []
  const writers = new Set<Writer>()
  const members = new Set<GroupMember>()
  const limits = new Map<string, number>()
  /** By transactional id; longer than the default where a producer quota needs it. */
  const timeouts = new Map<string, number>()
  const limitsReadAtMs = new Map<string, number>()
  let pinging: Cluster | null = null
  let admin: Promise<ReturnType<typeof createAdmin>> | null = null
  let closed = false

  function connect(deadlines?: Deadlines): Cluster {
    if (closed) throw new FlowError('BUG', { hint: 'the Kafka client is closed' })
    const cluster = createCluster(options, deadlines)
    open.add(cluster)
    return cluster
  }

  /** Closes the member with the client, if it has not left before. */
  function kept<T extends GroupMember>(member: T): T {
    const leaving: T = {
      ...member,
      leave: async () => {
        members.delete(leaving)
        await member.leave()
      },
    }
    members.add(leaving)
    return leaving
  }

  async function drop(cluster: Cluster): Promise<void> {
    open.delete(cluster)
    await hangUp(cluster)
  }

  /** Requests on one connection wait for each other, and the broker may hold a fetch: so each reader has its own connection. */
  async function withReader<T>(work: (cluster: Cluster) => Promise<T>): Promise<T> {
    const cluster = idle.pop() ?? connect()
    try {
      const result = await work(cluster)
      if (!closed && idle.length < IDLE_READERS) idle.push(cluster)
      else await drop(cluster)
      return result
    } catch (error) {
      await drop(cluster)
      throw error
    }
  }

  async function withAdmin<T>(work: (admin: ReturnType<typeof createAdmin>) => Promise<T>): Promise<T> {
    if (closed) throw new FlowError('BUG', { hint: 'the Kafka client is closed' })
    const connecting = (admin ??= (async () => {
      const made = createAdmin(options)
      await made.connect().catch((error: unknown) => {
        admin = null
        throw error
      })
      return made
    })())
    try {
      return await work(await connecting)
    } catch (error) {
      // The next call opens a new one. If Kafka has answered, the connection is good, and others may be using it.
      if (isConnectionFailure(error) && admin === connecting) {
        admin = null
        void connecting.then(made => made.disconnect()).catch(() => {})
      }
      throw kafkaError(error, { brokers: options.brokers.join(',') })
    }
  }

  async function maxMessageBytes(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const nowMs = Date.now()
    const old = topics.filter(topic => nowMs - (limitsReadAtMs.get(topic) ?? -Infinity) > LIMITS_AGE_MS)
    if (old.length === 0) return limits
    try {
      const settings = await withAdmin(admin => describe(admin, old, ['max.message.bytes']))
      for (const topic of old) {
        limits.set(topic, numberOf(settings, topic, 'max.message.bytes'))
        limitsReadAtMs.set(topic, nowMs)
      }
    } catch (error) {
      // Limits from a minute ago are good enough for now; the broker rejects what is too large.
      if (!old.every(topic => limits.has(topic))) throw error
      log.debug({ error: String(error) }, 'failed to refresh max.message.bytes')
    }
    return limits
  }

  async function alterTopicSettings(changes: readonly TopicSettings[]): Promise<ReadonlyMap<string, FlowError>> {
    return await withReader(cluster => patiently(cluster, () => alterSettings(cluster, changes)))
  }

  return {
    describe: () =>
      withAdmin(async admin => {
        const { clusterId, brokers } = await admin.describeCluster()
        return { clusterId, brokers: brokers.length }
      }),

    ensureTopics: (topics, { create }) => withAdmin(admin => ensureTopics(admin, log, topics, { create }, alterTopicSettings)),

    topicSettings: (topics, settings) => withAdmin(admin => describe(admin, topics, settings)),

    alterTopicSettings,

    durability: topics => withAdmin(admin => durability(admin, topics)),

    maxMessageBytes,

    partitionCount: topic =>
      withAdmin(async admin => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
        const [found] = topics
        if (found === undefined) throw new FlowError('KAFKA_UNREACHABLE', { hint: 'no answer for the topic', topic })
        return found.partitions.length
      }),

    topicId: topic => withReader(cluster => patiently(cluster, () => topicId(cluster, topic))),

    watermarks: async places => (places.length === 0 ? [] : await withReader(cluster => watermarks(cluster, places))),

    offsetsAt: async (places, timeMs) =>
      places.length === 0 ? [] : await withReader(cluster => offsetsAt(cluster, places, Math.max(0, timeMs))),

    ping: async ({ topics, timeoutMs }) => {
      pinging ??= connect(PING_DEADLINES)
      await ping(pinging, topics, timeoutMs)
    },

    openWriter: writerOptions => {
      const cluster = connect()
      const timeoutMs = writerOptions.transactionTimeoutMs ?? TRANSACTION_TIMEOUT_MS
      const writer = openWriter(
        {
          cluster,
          log,
          maxMessageBytes,
          onTooSlow: id => timeouts.set(id, Math.min(4 * (timeouts.get(id) ?? timeoutMs), LONGEST_TRANSACTION_MS)),
          onTooLarge: topic => limitsReadAtMs.delete(topic),
          onClose: () => {
            open.delete(cluster)
            writers.delete(writer)
          },
        },
        { ...writerOptions, transactionTimeoutMs: Math.max(timeoutMs, timeouts.get(writerOptions.transactionalId) ?? 0) },
      )
      writers.add(writer)
      return writer
    },

    readToEnd: (place, onRecord, signal) => withReader(cluster => readToEnd(cluster, place, onRecord, signal)),

    readRange: (place, onRecord, signal) => withReader(cluster => readRange(cluster, place, onRecord, signal)),

    tail: (places, tailOptions) => tail({ connect: () => connect(), drop, log }, places, tailOptions),

    joinGroup: async groupOptions => kept(await joinGroup({ connect: () => connect(), drop, log }, groupOptions)),

    joinMembers: async member =>
      kept(
        await join(
          { connect: () => connect(), drop, log },
          {
            ...member,
            topics: [],
            assign: claims => new Map([...member.assign(claims)].map(([id, data]) => [id, { partitions: {}, data }])),
            onAssignment: ({ data }, joined) => member.onAssignment(data, joined),
          },
        ),
      ),

    groupOffsets: (groupId, topics) =>
      withAdmin(async admin => {
        const found = await admin.fetchOffsets({ groupId, topics: [...topics] })
        return found.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset, metadata }) => ({
            topic,
            partition,
            offset: Number(offset) < 0 ? null : Number(offset),
            metadata: metadata ?? '',
          })),
        )
      }),

    groupsSharing: (topic, groupId) => withAdmin(admin => groupsSharing(admin, topic, groupId)),

    close: async () => {
      if (closed) return
      closed = true
      await Promise.all([...members].map(member => member.leave()))
      await Promise.all([...writers].map(writer => writer.close()))
      await Promise.all([...open].map(drop))
      await admin?.then(made => made.disconnect()).catch(() => {})
    },
  }
}
