/**
 * The parts of kafkajs that we stand on: connections with TLS and SASL, metadata, and the protocol of everything that is not records.
 * Loaded after the repairs of `guards.ts`; its types stop here.
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
 * Given wherever kafkajs takes it, because it has other values of its own for producers, for consumers, and when NODE_ENV is `test`. The
 * first delay is what a transaction waits for the one before it to be finished by the broker.
 */
export const RETRY = { initialRetryTime: 10, maxRetryTime: 1000, multiplier: 2, factor: 0.2, retries: 8 } as const

/**
 * Deadlines of a connection, and of a request whose answer the broker has at hand; longer ones are given with the request. A broker that hangs is
 * given up after this, and another one is asked: the cluster itself takes 9 s (`broker.session.timeout.ms`) to move what it led.
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

/** Connections to the brokers, two to each: one for fetches, one for everything else. Requests on one connection are answered one by one. */
export interface Cluster {
  readonly brokerPool: { readonly brokers: Readonly<Record<string, Broker>>; readonly seedBroker?: Broker }
  connect(): Promise<void>
  disconnect(): Promise<void>
  refreshMetadata(): Promise<void>
  refreshMetadataIfNecessary(): Promise<void>
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[]
  findBroker(of: { nodeId: number }): Promise<Broker>
  findControllerBroker(): Promise<Broker>
  findGroupCoordinator(of: { groupId: string; coordinatorType: 0 | 1 }): Promise<Broker>
}

interface AssignerProtocol {
  readonly MemberMetadata: {
    encode(of: { version: number; topics: readonly string[]; userData: Buffer }): Buffer
    decode(buffer: Buffer): { topics: string[]; userData: Buffer }
  }
  readonly MemberAssignment: {
    encode(of: { version: number; assignment: Readonly<Record<string, readonly number[]>>; userData: Buffer }): Buffer
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

/** What kafkajs says is for those who look for trouble: we tell errors ourselves, with a code, to whoever asked. */
function logCreator(log: Log) {
  return () => (entry: { namespace: string; label: string; log: { message: string } }) => {
    log.debug({ client: 'kafkajs', part: entry.namespace, said: entry.log.message }, 'Kafka client')
  }
}

/** Each connection begins with another broker of the list, so that one that hangs does not delay all of them. */
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

function withoutUndefined<T extends object>(of: T): T {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined)) as T
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

/** Not connected yet. Topics are never made by asking for them. */
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

/** Closes the connections at once: requests that are under way fail. kafkajs alone would wait for a fetch that the broker holds. */
export async function hangUp(cluster: Cluster): Promise<void> {
  const { brokers, seedBroker } = cluster.brokerPool
  const closed = Object.assign(new Error('closed by us'), { name: 'KafkaJSConnectionClosedError', retriable: true })
  for (const broker of [...Object.values(brokers), ...(seedBroker === undefined ? [] : [seedBroker])]) {
    for (const connection of broker.connectionPool.pool) connection.requestQueue.rejectAll(closed)
  }
  await cluster.disconnect().catch(() => {})
}

/** What every answer has. */
export interface Answered {
  /** For so long the broker reads nothing more from the connection (a quota); requests after this one wait here until then. */
  readonly throttleMs: number
}

/**
 * Sends a request that is ours in both directions.
 *
 * @param apart On the broker's second connection, where fetches go, so that other requests need not wait for what holds it up.
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
