/** What Kafka's and the client's errors mean to us. */
import { FlowError, type ErrorDetails } from '../errors.ts'

/** Kafka's error code in what kafkajs threw, also where that is the cause of it; null where it is no answer of a broker. */
export function codeOf(error: unknown): number | null {
  if (!(error instanceof Error)) return null
  const { code } = error as Error & { code?: unknown }
  if (typeof code === 'number' && code !== 0) return code
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

/** There was no answer: the broker may or may not have done what was asked. A broker that we do not trust is no lack of an answer. */
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
  /** No second try cures it. */
  readonly isFinal: boolean
}

/** Of a connection that TLS did not come to be on, by the code of Node or OpenSSL; null for any other error. */
function tlsFaultOf(error: unknown): TlsFault | null {
  if (!(error instanceof Error)) return null
  const { code } = error as Error & { code?: unknown }
  if (typeof code === 'string') {
    const { message } = error
    if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
      const hint = `${message}; kafka.brokers, and the brokers' advertised listeners, must be names that their certificates have`
      return { path: 'kafka.brokers', hint, isFinal: true }
    }
    // The broker's word on us: it wants a certificate of ours, say, or another version.
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

/** The leader of a partition has moved, is being chosen, or failed for reasons of its own: ask for metadata, then again. */
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
  19: 'fewer replicas are in sync than min.insync.replicas of the topic asks for: start the missing brokers',
  20: 'fewer replicas are in sync than min.insync.replicas of the topic asks for: start the missing brokers',
  10: 'a record batch is larger than max.message.bytes of the topic',
  29: 'the ACLs do not let us use the topic',
  30: 'the ACLs do not let us use the consumer group',
  31: 'the ACLs do not let us do this to the cluster',
  50: 'the transaction timeout is above transaction.max.timeout.ms of the broker',
  53: 'the ACLs do not let us use the transactional id',
  87: 'a record without a key on a compacted topic, or without a time',
  58: 'Kafka does not take the user name or password (sasl)',
}

const UNKNOWN_TOPIC = 3
const REQUEST_TIMED_OUT = 7

/** Not an answer of Kafka to what was asked, but no lack of a connection either. */
const REFUSALS = new Set(['KafkaJSServerDoesNotSupportApiKey', 'KafkaJSNotImplemented'])
/** Where the config says how to log in. */
const LOGIN_PATH = 'kafka.sasl'
/** The mechanism is not taken, a step of the log-in is out of order, the log-in was refused. */
const LOGIN_CODES = new Set([33, 34, 58])
const FAULTS_OF_OURS = new Set(['TypeError', 'RangeError', 'ReferenceError', 'SyntaxError'])

/** Anything that kafkajs throws as a FlowError: KAFKA_REFUSED where Kafka answered no; KAFKA_UNREACHABLE where it did not answer,
 * or answered that it cannot just now (a leader or coordinator on the move); BUG where our own code or the client's broke. */
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

/** Of the error and of what caused it. */
function namesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  return [error.name, ...(error.cause === error ? [] : namesOf(error.cause))]
}

export function refused(code: number, details: ErrorDetails = {}, cause?: unknown): FlowError {
  const hint = HINTS[code] ?? (cause instanceof Error ? cause.message : undefined)
  const path = LOGIN_CODES.has(code) ? { path: LOGIN_PATH } : {}
  return new FlowError('KAFKA_REFUSED', { ...(hint === undefined ? {} : { hint }), ...path, ...details, kafkaCode: code }, cause)
}

/** Delay before try `count` (from 0): from 2 ms, doubling, to 1 s. */
export function backoffMs(count: number): number {
  return Math.min(2 * 2 ** Math.min(count, 9), 1000)
}
