/** What Kafka's and the client's errors mean to us. */
import { FlowError, type ErrorDetails } from '../errors.ts'

/** Kafka's error code in what kafkajs threw, also where that is the cause of it; null where it is no answer of a broker. */
export function codeOf(error: unknown): number | null {
  if (!(error instanceof Error)) return null
  const { code } = error as Error & { code?: unknown }
  if (typeof code === 'number' && code > 0) return code
  // Codes that kafkajs does not know (all after 88) stand in the message alone.
  const told = /Unknown error code (\d+)/.exec(error.message)?.[1]
  if (told !== undefined) return Number(told)
  return error.cause === error ? null : codeOf(error.cause)
}

const CONNECTION_FAILURES = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSBrokerNotFound',
  'KafkaJSMetadataNotLoaded',
  'KafkaJSTopicMetadataNotLoaded',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSLockTimeout',
])

/** No answer was had: the broker may or may not have done what was asked. */
export function isConnectionFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return CONNECTION_FAILURES.has(error.name) || (error.cause !== error && isConnectionFailure(error.cause))
}

// Unknown topic, leader not available, not leader, replica or disk not available, leader epoch fenced or unknown, offset not available.
const STALE = new Set([3, 5, 6, 9, 56, 74, 75, 76, 78])

/** The leader of a partition has moved, or is being chosen: ask for metadata again. */
export function isStale(code: number): boolean {
  return STALE.has(code)
}

/** The coordinator has moved or is loading: look for it again. */
export function isCoordinatorMoved(code: number | null): boolean {
  return code === 14 || code === 15 || code === 16
}

/** Somebody else has the transactional id now, or the broker ended the transaction on time. 90 is what newer requests get for 47. */
export function isFenced(code: number | null): boolean {
  return code === 47 || code === 90
}

/** A second try can cure it: stale metadata, time-out, too few replicas (which is also said while the transaction is being verified). */
export function isProduceRetriable(code: number): boolean {
  return isStale(code) || code === 7 || code === 19 || code === 20
}

const HINTS: Readonly<Record<number, string>> = {
  3: 'the topic or partition does not exist',
  10: 'a record batch is larger than max.message.bytes of the topic',
  29: 'the ACLs do not let us use the topic',
  30: 'the ACLs do not let us use the consumer group',
  31: 'the ACLs do not let us do this to the cluster',
  50: 'the transaction timeout is above transaction.max.timeout.ms of the broker',
  53: 'the ACLs do not let us use the transactional id',
  87: 'a record without a key on a compacted topic, or without a time',
  58: 'Kafka does not take the user name or password (sasl)',
}

/** Anything that kafkajs throws as a FlowError: KAFKA_UNREACHABLE where there was no answer, else KAFKA_REFUSED. */
export function kafkaError(error: unknown, details: ErrorDetails = {}): FlowError {
  if (error instanceof FlowError) return error
  const code = codeOf(error)
  if (code !== null) return refused(code, details, error)
  const hint = error instanceof Error ? error.message : String(error)
  const unreachable = isConnectionFailure(error) && !/SASL|authentication/i.test(hint)
  return new FlowError(unreachable ? 'KAFKA_UNREACHABLE' : 'KAFKA_REFUSED', { hint, ...details }, error)
}

export function refused(code: number, details: ErrorDetails = {}, cause?: unknown): FlowError {
  const hint = HINTS[code] ?? (cause instanceof Error ? cause.message : undefined)
  return new FlowError('KAFKA_REFUSED', { ...(hint === undefined ? {} : { hint }), ...details, kafkaCode: code }, cause)
}

/** Delay before try `count` (from 0): from 2 ms, doubling, to 1 s. */
export function backoffMs(count: number): number {
  return Math.min(2 * 2 ** Math.min(count, 9), 1000)
}
