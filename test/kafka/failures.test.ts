import { describe, expect, test } from 'vitest'
import { isConnectionFailure, kafkaError } from '../../src/kafka/failures.ts'

const named = (name: string, message: string, cause?: unknown) =>
  Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { name })

describe('what kafkajs throws', () => {
  test.each([
    ['a request before the connection is made', new Error('Broker not connected')],
    ['a connection that is refused', named('KafkaJSConnectionError', 'Connection error: connect ECONNREFUSED')],
    ['exhausted retries', named('KafkaJSNumberOfRetriesExceeded', 'gone', named('KafkaJSConnectionError', 'Connection timeout'))],
    [
      'a connection failure that kafkajs calls not retriable',
      named('KafkaJSNonRetriableError', 'x', new Error('Broker not connected')),
    ],
  ])('is a missing answer: %s', (_, error) => {
    expect(isConnectionFailure(error)).toBe(true)
    expect(kafkaError(error)).toMatchObject({ code: 'KAFKA_UNREACHABLE', retry: 'restart' })
  })

  test.each([
    [5, 'KAFKA_UNREACHABLE'],
    [6, 'KAFKA_UNREACHABLE'],
    [7, 'KAFKA_UNREACHABLE'],
    [15, 'KAFKA_UNREACHABLE'],
    [3, 'KAFKA_REFUSED'],
    [29, 'KAFKA_REFUSED'],
    [19, 'KAFKA_REFUSED'],
  ])('with code %i is %s: an error of a moving leader is not a refusal', (code, expected) => {
    expect(kafkaError(Object.assign(new Error('said'), { code }))).toMatchObject({ code: expected, details: { kafkaCode: code } })
  })

  test('about our credentials is a refusal', () => {
    expect(kafkaError(named('KafkaJSSASLAuthenticationError', 'SASL PLAIN authentication failed'))).toMatchObject({
      code: 'KAFKA_REFUSED',
      details: { path: 'kafka.sasl' },
    })
  })

  test.each([
    ['SELF_SIGNED_CERT_IN_CHAIN', 'kafka.ssl.ca', false],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'kafka.ssl.ca', false],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'kafka.ssl.ca', false],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'kafka.ssl.ca', false],
    ['CERT_HAS_EXPIRED', 'kafka.ssl.ca', false],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'kafka.brokers', false],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'kafka.ssl', true],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'kafka.ssl', true],
    ['ECONNRESET', undefined, true],
  ])('of TLS (%s) names the config key; it is final only where a retry cannot help', (code, path, again) => {
    const thrown = Object.assign(named('KafkaJSConnectionError', 'Connection error: said'), { code })
    const spent = named('KafkaJSNumberOfRetriesExceeded', 'Connection error: said', thrown)
    for (const error of [thrown, spent]) {
      expect(isConnectionFailure(error)).toBe(again)
      const { details } = kafkaError(error)
      expect(kafkaError(error).code).toBe('KAFKA_UNREACHABLE')
      expect(details['path']).toBe(path)
    }
  })

  test('that is a fault in the code is a BUG', () => {
    expect(kafkaError(new TypeError('x is not a function'))).toMatchObject({ code: 'BUG' })
  })
})
