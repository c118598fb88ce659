/** Maps errors of Kafka and of its client to ours. */
import { FlowError, type ErrorDetails } from '../errors.ts'

/** Kafka's error code in an error of kafkajs or in its cause; null where it is not the answer of a broker. */
export function codeOf(error: unknown): number | null {
  if (!(error instanceof Error)) return null
  const { code } = error as Error & { code?: unknown }
  if (typeof code === 'number' && code !== 0) return code
  // Codes unknown to kafkajs (all above 88) appear only in the message.
  const unknownCode = /Unknown error code (\d+)/.exec(error.message)?.[1]
  if (unknownCode !== undefined) return Number(unknownCode)
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

/** No answer: the broker may or may not have carried out the request. An untrusted broker does not count. */
export function isConnectionFailure(error: unknown): boolean {
  if (!(error instanceof Error) || tlsFaultOf(error)?.isFinal === true) return false
  if (CONNECTION_FAILURES.has(error.name)) return true
  // A plain Error of kafkajs: a request to a broker whose connection is still being made.
  if (error.message === 'Broker not connected') return true
  return error.cause !== error && isConnectionFailure(error.cause)
}

interface TlsFault {
  readonly path: string
  readonly hint: string
  /** Retrying does not help. */
  readonly isFinal: boolean
}

/** For a connection that failed at TLS, by the code of Node or OpenSSL; null for any other error. */
function tlsFaultOf(error: unknown): TlsFault | null {
  if (!(error instanceof Error)) return null
  const { code } = error as Error & { code?: unknown }
  if (typeof code === 'string') {
    const { message } = error
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      const hint = `${message}; kafka.brokers, and the brokers' advertised listeners, must be names that their certificates have`
      return { path: 'kafka.brokers', hint, isFinal: true }
    }
    // The broker rejects our side: it wants a client certificate or another version, for example.
    if (code.startsWith('ERR_SSL_')) return { path: 'kafka.ssl', hint: message, isFinal: false }
    if (/CERT|^UNABLE_TO_|^INVALID_(CA|PURPOSE)$/.test(code)) {
      const hint = `${message}; kafka.ssl.ca must hold the certificate of the authority that signed the brokers' certificates`
      return { path: 'kafka.ssl.ca', hint, isFinal: true }
    }
  }
  return error.cause === error ? null : tlsFaultOf(error.cause)
}

// Unknown server error, unknown topic, leader not available, not leader, replica or disk not available, leader epoch fenced or unknown, offset not available.
const STALE = new Set([-1, 3, 5, 6, 9, 56, 74, 75, 76, 78])

/** The leader of a partition has moved, is being elected, or failed for its own reasons: refresh metadata, then try again. */
export function isStale(code: number): boolean {
  return STALE.has(code)
}

/** The coordinator has moved or is loading: find it again. */
export function isCoordinatorMoved(code: number | null): boolean {
  return code === 14 || code === 15 || code === 16
}

/** Another process has claimed the transactional id, or the broker timed out the transaction. 90 is what newer requests return for 47. */
export function isFenced(code: number | null): boolean {
  return code === 47 || code === 90
}

/** Retrying can help: stale metadata, timeout, too few replicas (also returned while the broker verifies the transaction). */
export function isProduceRetriable(code: number): boolean {
  return isStale(code) || code === 7 || code === 19 || code === 20
}

const HINTS: Readonly<Record<number, string>> = {
  3: 'the topic or partition does not exist',
  19: 'fewer replicas are in sync than min.insync.replicas of the topic asks for: start the missing brokers',
  20: 'fewer replicas are in sync than min.insync.replicas of the topic asks for: start the missing brokers',
  10: 'a record batch is larger than max.message.bytes of the topic',
  29: 'the ACLs deny access to the topic',
  30: 'the ACLs deny access to the consumer group',
  31: 'the ACLs deny this operation on the cluster',
  50: 'the transaction timeout is above transaction.max.timeout.ms of the broker',
  53: 'the ACLs deny access to the transactional id',
  87: 'a record without a key on a compacted topic, or without a timestamp',
  58: 'Kafka rejects the user name or password (sasl)',
}

const UNKNOWN_TOPIC = 3
const REQUEST_TIMED_OUT = 7

/** Not a broker's answer to the request, but no connection failure either. */
const REFUSALS = new Set(['KafkaJSServerDoesNotSupportApiKey', 'KafkaJSNotImplemented'])
/** Config path of the credentials. */
const LOGIN_PATH = 'kafka.sasl'
/** Unsupported mechanism, illegal SASL state, authentication failed. */
const LOGIN_CODES = new Set([33, 34, 58])
const FAULTS_OF_OURS = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'])

/**
 * Turns any error of kafkajs into a FlowError: KAFKA_REFUSED where Kafka said no; KAFKA_UNREACHABLE where it did not answer, or cannot answer just now (a
 * leader or coordinator is moving); BUG where our code or the client's failed.
 */
export function kafkaError(error: unknown, details: ErrorDetails = {}): FlowError {
  if (error instanceof FlowError) return error
  const code = codeOf(error)
  const hint = error instanceof Error ? error.message : String(error)
  if (code !== null) {
    const isAway = (isStale(code) && code !== UNKNOWN_TOPIC) || isCoordinatorMoved(code) || code === REQUEST_TIMED_OUT
    return isAway
      ? new FlowError('KAFKA_UNREACHABLE', { hint, ...details, kafkaCode: code }, error)
      : refused(code, details, error)
  }
  const tls = tlsFaultOf(error)
  if (tls !== null) return new FlowError('KAFKA_UNREACHABLE', { hint: tls.hint, path: tls.path, ...details }, error)
  const names = namesOf(error)
  if (names.some(name => FAULTS_OF_OURS.has(name))) return new FlowError('BUG', { hint, ...details }, error)
  if (names.includes('KafkaJSSASLAuthenticationError') || /SASL|authentication/i.test(hint)) {
    return new FlowError('KAFKA_REFUSED', { hint, path: LOGIN_PATH, ...details }, error)
  }
  const isRefusal = names.some(name => REFUSALS.has(name))
  return new FlowError(isRefusal ? 'KAFKA_REFUSED' : 'KAFKA_UNREACHABLE', { hint, ...details }, error)
}

/** Names of the error and of its causes. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  return [error.name, ...(error.cause === error ? [] : namesOf(error.cause))]
}

export function refused(code: number, details: ErrorDetails = {}, cause?: unknown): FlowError {
  const hint = HINTS[code] ?? (cause instanceof Error ? cause.message : undefined)
  const path = LOGIN_CODES.has(code) ? { path: LOGIN_PATH } : {}
  return new FlowError('KAFKA_REFUSED', { ...(hint === undefined ? {} : { hint }), ...path, ...details, kafkaCode: code }, cause)
}

/** Delay before retry `count` (from 0): starts at 2 ms, doubles, up to 1 s. */
export function backoffMs(count: number): number {
  return Math.min(2 * 2 ** Math.min(count, 9), 1000)
}
