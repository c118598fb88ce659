import { describe, expect, test } from 'vitest'
import { isConnectionFailure, kafkaError } from '../../src/kafka/failures.ts'

const named = (name: string, message: string, cause?: unknown) =>
  Object.assign(new Error(message, cause === undefined ? undefined : { cause }), { name })

describe('what kafkajs throws', () => {
  test.each([
    ['a request before the connection is made', new Error('Broker not connected')],
    ['a connection that is refused', named('KafkaJSConnectionError', 'Connection error: connect ECONNREFUSED')],
    [
      'retries that are spent',
      named('KafkaJSNumberOfRetriesExceeded', 'gone', named('KafkaJSConnectionError', 'Connection timeout')),
    ],
    [
      'what it calls not retriable, for want of a connection',
      named('KafkaJSNonRetriableError', 'x', new Error('Broker not connected')),
    ],
  ])('is no answer: %s', (_, error) => {
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
  ])('with code %i is %s: what a leader on the move says is no refusal', (code, expected) => {
    expect(kafkaError(Object.assign(new Error('said'), { code }))).toMatchObject({ code: expected, details: { kafkaCode: code } })
  })

  test('about our credentials is a refusal', () => {
    expect(kafkaError(named('KafkaJSSASLAuthenticationError', 'SASL PLAIN authentication failed'))).toMatchObject({
      code: 'KAFKA_REFUSED',
    })
  })

  test('that is a fault in the code is a BUG', () => {
    expect(kafkaError(new TypeError('x is not a function'))).toMatchObject({ code: 'BUG' })
  })
})
