/**
 * Fixes for kafkajs 2.2.4, applied in the module cache before anything else of it is loaded: always import this before kafkajs. If somebody has loaded kafkajs
 * before, they keep their copy, and we get our own.
 *
 * The package is pinned exactly, and a test compares the originals with the text that these fixes were written against. The fixes:
 * - the read-committed filter, which lets through records of aborted transactions (our own reader does not use it; every kafkajs consumer in this process gets
 *   the fixed one);
 * - the timer that every connection re-arms each millisecond for ever once it has had an answer;
 * - the framing of requests, which copies a produce request several times;
 * - metadata, which fails as a whole when one partition has no leader: here such a partition has leader −1, and the others have theirs;
 * - a connection whose broker does not answer (stopped, or network cut) is closed at the request's deadline, so that the next request goes to another broker.
 *   kafkajs keeps it and asks it first again;
 * - a login that a broker interrupts or does not answer is a connection failure. kafkajs reports it as rejected credentials. We avoid everything else that is
 *   wrong with the producer by not using it: see `writer.ts` and docs/decisions/0001-kafkajs-behind-a-port.md.
 */
import { createRequire } from 'node:module'
import { dirname, sep } from 'node:path'

const require = createRequire(import.meta.url)

/** The files whose text these fixes were written against. */
export const REPLACED = {
  filter: 'kafkajs/src/consumer/filterAbortedMessages',
  request: 'kafkajs/src/protocol/request',
  requestQueue: 'kafkajs/src/network/requestQueue',
  metadata: 'kafkajs/src/protocol/requests/metadata/v0/response',
  connection: 'kafkajs/src/network/connection',
} as const

interface Message {
  readonly offset: string
  readonly key: Buffer | null
  readonly isControlRecord: boolean
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean }
}

interface FilterInput {
  readonly messages: readonly Message[]
  readonly abortedTransactions?: readonly { readonly producerId: string; readonly firstOffset: string }[] | null
}

/** Type 0 in the key of a control record, after two bytes of version: the transaction was aborted. */
function isAbortMarker(message: Message): boolean {
  return message.isControlRecord && message.key !== null && message.key.length >= 4 && message.key.readInt16BE(2) === 0
}

/**
 * Drops the records of aborted transactions. Two differences to the original: every transaction that began at or before a record is opened before the record is
 * checked (a fetch may start inside several), and only control records are markers, whatever keys the data has.
 */
export function withoutAborted({ messages, abortedTransactions }: FilterInput): readonly Message[] {
  if (!abortedTransactions || abortedTransactions.length === 0) return messages
  const coming = abortedTransactions
    .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: BigInt(firstOffset) }))
    .sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1))
  const open = new Set<string>()
  let next = 0
  return messages.filter(message => {
    const offset = BigInt(message.offset)
    for (let aborted = coming[next]; aborted !== undefined && aborted.firstOffset <= offset; aborted = coming[++next]) {
      open.add(aborted.producerId)
    }
    const { producerId, inTransaction } = message.batchContext
    if (isAbortMarker(message)) open.delete(producerId)
    return !(inTransaction && !message.isControlRecord && open.has(producerId))
  })
}

/** A request that writes its own frame, length and header included, into one buffer. */
export interface FramedRequest {
  encodeFrame(correlationId: number, clientId: string | null): Buffer
}

interface RequestInput {
  readonly correlationId: number
  readonly clientId: string | null
  readonly request: object
}

type CreateRequest = (input: RequestInput) => Promise<{ readonly buffer: Buffer }>

/** The original for kafkajs's own requests; the request's own frame where it has one. */
function framing(original: CreateRequest): CreateRequest {
  return async input => {
    if (!('encodeFrame' in input.request)) return await original(input)
    return { buffer: (input.request as FramedRequest).encodeFrame(input.correlationId, input.clientId) }
  }
}

interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
}

/** The timer is for pending requests; without one there is nothing to check: an answer triggers the check itself. */
function withoutIdleTimer(queue: { prototype: { scheduleCheckPendingRequests: (this: RequestQueue) => void } }): void {
  const schedule = queue.prototype.scheduleCheckPendingRequests
  queue.prototype.scheduleCheckPendingRequests = function scheduleCheckPendingRequests(this: RequestQueue) {
    if (this.pending.length === 0) return
    schedule.call(this)
  }
}

interface MetadataAnswer {
  readonly topicMetadata: readonly { readonly topicErrorCode: number; readonly partitionMetadata: readonly object[] }[]
}

interface MetadataResponse {
  decode(rawData: Buffer): Promise<MetadataAnswer>
  parse(answer: MetadataAnswer): Promise<MetadataAnswer>
}

/** Keeps the partitions as the answer has them; still throws the error of a whole topic. Versions 1 to 6 use the parser of version 0. */
function withLeaderlessPartitions(original: MetadataResponse): MetadataResponse {
  return {
    ...original,
    parse: async answer => {
      await original.parse({ topicMetadata: answer.topicMetadata.map(topic => ({ ...topic, partitionMetadata: [] })) })
      return answer
    },
  }
}

/**
 * Deadlines longer than the connection's `requestTimeout`, by Kafka's request number: the broker creates or changes something (CreateTopics, DeleteRecords,
 * IncrementalAlterConfigs and AlterConfigs, DescribeConfigs), or waits for others (SyncGroup).
 */
const LONGER_MS: ReadonlyMap<number, number> = new Map([
  [14, 15_000],
  [19, 20_000],
  [20, 20_000],
  [21, 20_000],
  [32, 10_000],
  [33, 10_000],
  [44, 10_000],
])

/** Requests of the connection itself: ApiVersions, SaslHandshake, SaslAuthenticate. If one is not answered, the broker counts as unreachable. */
const CONNECTING: ReadonlySet<number> = new Set([18, 17, 36])

interface Protocol {
  readonly request: { readonly apiKey: number }
  readonly requestTimeout?: number | null
}

interface Connection {
  readonly broker: string
  readonly host: string
  readonly port: number
  readonly socket?: { destroy(): void }
  rejectRequests(error: Error): void
  disconnect(): Promise<unknown>
}

interface Errors {
  readonly KafkaJSConnectionError: new (message: string, details: { broker: string }) => Error
  readonly KafkaJSConnectionClosedError: new (message: string, details: { host: string; port: number }) => Error
}

interface ConnectionClass {
  readonly prototype: {
    send: (this: Connection, protocol: Protocol) => Promise<unknown>
    authenticate: (this: Connection) => Promise<void>
  }
}

function withDeadlines({ prototype: connection }: ConnectionClass, errors: Errors): void {
  const { send } = connection
  connection.send = async function sendWithDeadline(this: Connection, protocol: Protocol): Promise<unknown> {
    const { apiKey } = protocol.request
    try {
      const requestTimeout = protocol.requestTimeout ?? LONGER_MS.get(apiKey)
      return await send.call(this, requestTimeout === undefined ? protocol : { ...protocol, requestTimeout })
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'KafkaJSRequestTimeoutError') throw error
      const { broker, host, port } = this
      this.rejectRequests(new errors.KafkaJSConnectionClosedError('the broker did not answer in time', { host, port }))
      this.socket?.destroy()
      await this.disconnect()
      throw CONNECTING.has(apiKey) ? new errors.KafkaJSConnectionError('the broker did not answer in time', { broker }) : error
    }
  }
}

/** Requests of a login: SaslHandshake, SaslAuthenticate. */
const LOGGING_IN: ReadonlySet<number> = new Set([17, 36])

/**
 * A login without an answer is not a rejected login; kafkajs throws the same error for both, without the cause: from `connect`, and from the first request on a
 * connection that is not logged in yet.
 */
function withHonestLogin({ prototype: connection }: ConnectionClass, errors: Errors): void {
  const { send, authenticate } = connection
  const unanswered = new WeakSet<Connection>()
  const honest = (failed: Connection, error: unknown): unknown =>
    unanswered.has(failed) && error instanceof Error && error.name === 'KafkaJSSASLAuthenticationError'
      ? new errors.KafkaJSConnectionError('the broker did not answer the login', { broker: failed.broker })
      : error
  connection.send = async function sendHonestly(this: Connection, protocol: Protocol): Promise<unknown> {
    const isLogin = LOGGING_IN.has(protocol.request.apiKey)
    if (isLogin) unanswered.delete(this)
    try {
      return await send.call(this, protocol)
    } catch (error) {
      const isAnswer = error instanceof Error && 'code' in error && typeof error.code === 'number'
      if (isLogin && !isAnswer) unanswered.add(this)
      throw honest(this, error)
    }
  }
  connection.authenticate = async function authenticateHonestly(this: Connection): Promise<void> {
    try {
      await authenticate.call(this)
    } catch (error) {
      throw honest(this, error)
    }
  }
}

function replace<T>(file: string, repair: (original: T) => T): void {
  const original = require(file) as T
  const cached = require.cache[require.resolve(file)]
  if (cached !== undefined) cached.exports = repair(original)
}

const home = dirname(require.resolve('kafkajs/package.json')) + sep
for (const file of Object.keys(require.cache)) if (file.startsWith(home)) delete require.cache[file]

replace(REPLACED.filter, () => withoutAborted)
replace(REPLACED.request, framing)
withoutIdleTimer(require(REPLACED.requestQueue) as Parameters<typeof withoutIdleTimer>[0])
replace(REPLACED.metadata, withLeaderlessPartitions)
const errors = require('kafkajs/src/errors') as Errors
withDeadlines(require(REPLACED.connection) as ConnectionClass, errors)
withHonestLogin(require(REPLACED.connection) as ConnectionClass, errors)
