import { FlowError } from '../errors.ts'
import { isConnectionFailure, kafkaError } from './failures.ts'
import { groupsSharing, joinGroup } from './group.ts'
import { type Cluster, createAdmin, createCluster, hangUp } from './kafkajs.ts'
import type { GroupMember, Kafka, KafkaOptions, Writer } from './port.ts'
import { readToEnd, tail, watermarks } from './reader.ts'
import { describe, ensureTopics } from './topics.ts'
import { openWriter } from './writer.ts'

/** Idle connections that are kept for the next read to the end. */
const IDLE_READERS = 4

/** Connects nothing yet: connections are made when they are needed, and closed by `close`. */
export function connectKafka(options: KafkaOptions): Kafka {
  const { log } = options
  const open = new Set<Cluster>()
  const idle: Cluster[] = []
  const writers = new Set<Writer>()
  const members = new Set<GroupMember>()
  const limits = new Map<string, number>()
  let admin: Promise<ReturnType<typeof createAdmin>> | null = null
  let closed = false

  function connect(): Cluster {
    if (closed) throw new FlowError('BUG', { hint: 'the Kafka client is closed' })
    const cluster = createCluster(options)
    open.add(cluster)
    return cluster
  }

  async function drop(cluster: Cluster): Promise<void> {
    open.delete(cluster)
    await hangUp(cluster)
  }

  /** Requests on one connection wait for each other, and a fetch may be held by the broker: so each reader has its own. */
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

  async function withAdmin<T>(work: (of: ReturnType<typeof createAdmin>) => Promise<T>): Promise<T> {
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
      // The next call makes a new one. Where Kafka has answered, the connection is good, and others may be using it.
      if (isConnectionFailure(error) && admin === connecting) {
        admin = null
        void connecting.then(made => made.disconnect()).catch(() => {})
      }
      throw kafkaError(error, { brokers: options.brokers.join(',') })
    }
  }

  async function maxMessageBytes(topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const unknown = topics.filter(topic => !limits.has(topic))
    if (unknown.length > 0) {
      const settings = await withAdmin(of => describe(of, unknown, ['max.message.bytes']))
      for (const [topic, values] of settings) limits.set(topic, Number(values.get('max.message.bytes')))
    }
    return new Map(topics.map(topic => [topic, limits.get(topic) ?? 0]))
  }

  return {
    describe: () =>
      withAdmin(async of => {
        const { clusterId, brokers } = await of.describeCluster()
        return { clusterId, brokers: brokers.length }
      }),

    ensureTopics: (topics, { create }) => withAdmin(of => ensureTopics(of, log, topics, { create })),

    topicSettings: (topics, settings) => withAdmin(of => describe(of, topics, settings)),

    maxMessageBytes,

    partitionCount: topic =>
      withAdmin(async of => {
        const { topics } = await of.fetchTopicMetadata({ topics: [topic] })
        return topics[0]?.partitions.length ?? 0
      }),

    watermarks: places => withReader(cluster => watermarks(cluster, places)),

    openWriter: writerOptions => {
      const cluster = connect()
      const writer = openWriter(
        {
          cluster,
          log,
          maxMessageBytes,
          onClose: () => {
            open.delete(cluster)
            writers.delete(writer)
          },
        },
        writerOptions,
      )
      writers.add(writer)
      return writer
    },

    readToEnd: (place, onRecord, signal) => withReader(cluster => readToEnd(cluster, place, onRecord, signal)),

    tail: (places, tailOptions) => tail({ connect, drop, log }, places, tailOptions),

    joinGroup: async groupOptions => {
      const member = await joinGroup({ connect, drop, log }, groupOptions)
      const leaving: GroupMember = {
        problem: () => member.problem(),
        leave: async () => {
          members.delete(leaving)
          await member.leave()
        },
      }
      members.add(leaving)
      return leaving
    },

    groupOffsets: (groupId, topics) =>
      withAdmin(async of => {
        const found = await of.fetchOffsets({ groupId, topics: [...topics] })
        return found.flatMap(({ topic, partitions }) =>
          partitions.map(({ partition, offset }) => ({ topic, partition, offset: Number(offset) < 0 ? null : Number(offset) })),
        )
      }),

    groupsSharing: (topic, groupId) => withAdmin(of => groupsSharing(of, topic, groupId)),

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
