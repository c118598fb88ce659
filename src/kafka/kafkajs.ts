/**
 * The parts of kafkajs that we use: connections with TLS and SASL, metadata, and the protocol of everything except records. Loaded after the fixes in
 * `guards.ts`; the types of kafkajs do not leave this room.
 */
import './guards.ts'
import { createRequire } from 'node:module'
import type * as kafkajs from 'kafkajs'
import type { Admin, SASLOptions } from 'kafkajs'
import type { Log } from '../log.ts'
import type { FramedRequest } from './guards.ts'
import type { KafkaOptions } from './port.ts'

const require = createRequire(import.meta.url)

/**
 * Passed wherever kafkajs accepts it, because it has other defaults for producers, for consumers, and when NODE_ENV is `test`. A transaction waits the first
 * delay for the broker to finish the one before it.
 */
export const RETRY = { initialRetryTime: 10, maxRetryTime: 1000, multiplier: 2, factor: 0.2, retries: 8 } as const

/**
 * Deadlines of a connection, and of a request that the broker can answer at once; longer ones are given with the request. After this we give up on a hanging
 * broker and ask another one: the cluster itself takes 9 s (`broker.session.timeout.ms`) to move its partitions.
 */
export interface Deadlines {
  readonly connectMs: number
  readonly requestMs: number
}

const DEADLINES: Deadlines = { connectMs: 5_000, requestMs: 5_000 }
const METADATA_MAX_AGE_MS = 300_000

export interface PartitionMetadata {
  readonly partitionId: number
  readonly leader: number
}

export interface Connection extends Sender {
  readonly requestQueue: { rejectAll(error: Error): void }
}

interface Sender {
  send<T>(protocol: {
    request: FramedRequest & object
    response: { decode(payload: Buffer): Promise<T>; parse(decoded: T): Promise<T> }
    requestTimeout?: number
    logResponseError?: boolean
  }): Promise<T>
}

export interface Broker {
  readonly nodeId: number
  /** Versions of each request that the broker knows, by its key; null before it was connected. */
  readonly versions: Readonly<Record<number, { readonly maxVersion: number } | undefined>> | null
  readonly connectionPool: Sender & {
    readonly pool: readonly Connection[]
    getConnection(index: 0 | 1): Promise<Connection>
  }
  disconnect(): Promise<void>
  initProducerId(request: {
    transactionalId: string
    transactionTimeout: number
  }): Promise<{ producerId: string; producerEpoch: number }>
  addPartitionsToTxn(request: ProducerIdentity & { topics: { topic: string; partitions: number[] }[] }): Promise<unknown>
  addOffsetsToTxn(request: ProducerIdentity & { groupId: string }): Promise<unknown>
  txnOffsetCommit(
    request: ProducerIdentity & {
      groupId: string
      topics: { topic: string; partitions: { partition: number; offset: string; metadata?: string }[] }[]
    },
  ): Promise<unknown>
  endTxn(request: ProducerIdentity & { transactionResult: boolean }): Promise<unknown>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: { name: string; metadata: Buffer }[]
  }): Promise<{
    generationId: number
    leaderId: string
    memberId: string
    members: { memberId: string; memberMetadata: Buffer }[]
  }>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
}

export interface ProducerIdentity {
  readonly transactionalId: string
  readonly producerId: string
  readonly producerEpoch: number
}

/** Connections to the brokers, two for each: one for fetches, one for everything else. A connection answers its requests one by one. */
export interface Cluster {
  readonly brokerPool: { readonly brokers: Readonly<Record<string, Broker>>; readonly seedBroker?: Broker }
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  findBroker(node: { nodeId: number }): Promise<Broker>
  findControllerBroker(): Promise<Broker>
  findGroupCoordinator(group: { groupId: string; coordinatorType: 0 | 1 }): Promise<Broker>
}

interface AssignerProtocol {
  readonly MemberMetadata: {
    encode(payload: { version: number; topics: readonly string[]; userData: Buffer }): Buffer
    decode(buffer: Buffer): { topics: string[]; userData: Buffer }
  }
  readonly MemberAssignment: {
    encode(payload: { version: number; assignment: Readonly<Record<string, readonly number[]>>; userData: Buffer }): Buffer
    decode(buffer: Buffer): { assignment: Record<string, number[]>; userData: Buffer } | null
  }
}

const { Kafka, logLevel, ConfigResourceTypes } = require('kafkajs') as typeof kafkajs
const ClusterClass = require('kafkajs/src/cluster') as new (options: object) => Cluster
const { createLogger } = require('kafkajs/src/loggers') as { createLogger: (options: object) => unknown }
const socketFactory = require('kafkajs/src/network/socketFactory') as () => unknown

export const { MemberAssignment, MemberMetadata } = require('kafkajs/src/consumer/assignerProtocol') as AssignerProtocol

/** Resource type of DescribeConfigs. */
export const { TOPIC } = ConfigResourceTypes

/** kafkajs's own messages are for troubleshooting only: errors are returned to the caller, with a code. */
function logCreator(log: Log) {
  return () => (entry: { namespace: string; label: string; log: { message: string } }) => {
    log.debug({ client: 'kafkajs', part: entry.namespace, said: entry.log.message }, 'kafka client')
  }
}

/** Each connection starts with another broker of the list, so that a hanging one does not delay all of them. */
let turn = 0

function inTurn(brokers: readonly string[]): string[] {
  const first = turn++ % Math.max(brokers.length, 1)
  return [...brokers.slice(first), ...brokers.slice(0, first)]
}

function connectionOptions(options: KafkaOptions, { connectMs, requestMs }: Deadlines = DEADLINES) {
  return {
    brokers: inTurn(options.brokers),
    clientId: options.clientId,
    connectionTimeout: connectMs,
    requestTimeout: requestMs,
    ssl: typeof options.ssl === 'object' ? withoutUndefined(options.ssl) : (options.ssl ?? false),
    ...(options.sasl === undefined ? {} : { sasl: saslOptions(options.sasl) }),
    retry: { ...RETRY },
  }
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

function saslOptions(sasl: NonNullable<KafkaOptions['sasl']>): SASLOptions {
  if (sasl.mechanism === 'oauthbearer') {
    return { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: await sasl.token() }) }
  }
  return { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password }
}

export function createAdmin(options: KafkaOptions): Admin {
  return new Kafka({ ...connectionOptions(options), logLevel: logLevel.WARN, logCreator: logCreator(options.log) }).admin({
    retry: { ...RETRY },
  })
}

/** Does not connect yet. Never creates topics by asking for them. */
export function createCluster(options: KafkaOptions, deadlines?: Deadlines): Cluster {
  return new ClusterClass({
    ...connectionOptions(options, deadlines),
    logger: createLogger({ level: logLevel.WARN, logCreator: logCreator(options.log) }),
    socketFactory: socketFactory(),
    metadataMaxAge: METADATA_MAX_AGE_MS,
    allowAutoTopicCreation: false,
    enforceRequestTimeout: true,
    isolationLevel: 1,
  })
}

/** Closes the connections at once: pending requests fail. kafkajs alone would wait for a fetch that the broker holds. */
export async function hangUp(cluster: Cluster): Promise<void> {
  const { brokers, seedBroker } = cluster.brokerPool
  const closed = Object.assign(new Error('closed by us'), { name: 'KafkaJSConnectionClosedError', retriable: true })
  for (const broker of [...Object.values(brokers), ...(seedBroker === undefined ? [] : [seedBroker])]) {
    for (const connection of broker.connectionPool.pool) connection.requestQueue.rejectAll(closed)
  }
  await cluster.disconnect().catch(() => {})
}

/** Part of every answer. */
export interface Answered {
  /** For this long the broker reads nothing from the connection (a quota); later requests wait here until then. */
  readonly throttleMs: number
}

/**
 * Sends a request that we encode, and decodes its answer.
 *
 * @param apart Send it on the broker's second connection, the one for fetches, so that other requests need not wait for it.
 */
export async function sendFramed<T extends Answered>(
  broker: Broker,
  request: FramedRequest & object,
  decode: (payload: Buffer) => T,
  timeoutMs: number,
  apart = false,
): Promise<T> {
  const protocol = {
    request,
    response: {
      decode: async (payload: Buffer) => {
        const answer = decode(payload)
        return { answer, clientSideThrottleTime: answer.throttleMs }
      },
      parse: async (decoded: { answer: T }) => decoded,
    },
    requestTimeout: timeoutMs,
    logResponseError: false,
  }
  try {
    const to = apart ? await broker.connectionPool.getConnection(1) : broker.connectionPool
    return await to.send(protocol).then(({ answer }) => answer)
  } catch (error) {
    if (error instanceof Error && error.name === 'KafkaJSConnectionClosedError') await broker.disconnect()
    throw error
  }
}
