import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { REPLACED, withoutAborted } from '../../src/kafka/guards.ts'
import { RETRY } from '../../src/kafka/kafkajs.ts'
import { original, sha256Of, used } from './original.ts'

type Filter = typeof withoutAborted

test('kafkajs is the release that the fixes were written against', () => {
  const files = {
    'kafkajs/src/consumer/filterAbortedMessages': '54ce50f2a41ee168',
    'kafkajs/src/protocol/request': '2270900ca6474026',
    'kafkajs/src/network/requestQueue': 'b55986089c14f8f7',
    'kafkajs/src/network/connection': '2a993b2e74421ca6',
    'kafkajs/src/network/connectionPool': 'ecba4ba6fc4f2a6e',
    'kafkajs/src/network/socketFactory': '1493fc580263350f',
    'kafkajs/src/cluster': '3831a6845e4e9fb0',
    'kafkajs/src/cluster/brokerPool': '9994863e891ac2ab',
    'kafkajs/src/broker': '9cbea8898528c439',
    'kafkajs/src/consumer/assignerProtocol': 'd35452ae300d0221',
    'kafkajs/src/loggers': '86c9e625c9310dca',
    'kafkajs/src/protocol/requests/metadata/v0/response': '9a1cbcfd0ac174b2',
    'kafkajs/src/protocol/requests/metadata/v6/response': '08626a1a2f73fbb4',
    'kafkajs/src/broker/saslAuthenticator': '535765470e117239',
  }
  expect(Object.fromEntries(Object.keys(files).map(file => [file, sha256Of(file)]))).toEqual(files)
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    dependencies: Record<string, string>
  }
  expect(manifest.dependencies.kafkajs).toBe('2.2.4')
})

const record = (offset: number, producerId: string, key: string) => ({
  offset: String(offset),
  key: Buffer.from(key),
  isControlRecord: false,
  batchContext: { producerId, inTransaction: true },
})
const marker = (offset: number, producerId: string, type: 0 | 1) => ({
  offset: String(offset),
  key: Buffer.from([0, 0, 0, type]),
  isControlRecord: true,
  batchContext: { producerId, inTransaction: true },
})
const offsets = (messages: readonly { offset: string; isControlRecord: boolean }[]) =>
  messages.filter(message => !message.isControlRecord).map(message => message.offset)

describe('the read-committed filter', () => {
  const theirs = original(REPLACED.filter) as Filter

  const insideTwo = {
    // a began at 0, b at 1; the fetch starts at 2.
    messages: [record(2, 'b', 'b2'), record(3, 'a', 'a2'), marker(4, 'a', 0), marker(5, 'b', 0), record(6, 'a', 'a3')],
    abortedTransactions: [
      { producerId: 'a', firstOffset: '0' },
      { producerId: 'b', firstOffset: '1' },
    ],
  }

  test('drops both transactions that a fetch starts inside', () => {
    expect(offsets(withoutAborted(insideTwo))).toEqual(['6'])
    expect(offsets(theirs(insideTwo))).toEqual(['2', '6'])
  })

  const zeroKey = {
    messages: [record(0, 'a', '\0\0\0\0'), record(1, 'a', 'k'), marker(2, 'a', 0), record(3, 'a', 'k')],
    abortedTransactions: [{ producerId: 'a', firstOffset: '0' }],
  }

  test('takes no data record for a marker, whatever its key', () => {
    expect(offsets(withoutAborted(zeroKey))).toEqual(['3'])
    expect(offsets(theirs(zeroKey))).toEqual(['0', '1', '3'])
  })

  test('lets everything through where nothing was aborted', () => {
    const messages = [record(0, 'a', 'k'), marker(1, 'a', 1)]
    expect(withoutAborted({ messages, abortedTransactions: [] })).toBe(messages)
  })

  test('is the one that kafkajs uses', () => {
    expect(used(REPLACED.filter)).toBe(withoutAborted)
  })
})

describe('the timer of a connection', () => {
  interface Queue {
    throttledUntil: number
    pending: unknown[]
    checkPendingRequests(): void
    fulfillRequest(answer: { correlationId: number; payload: Buffer; size: number }): void
    push(request: object): void
    destroy(): void
  }
  type QueueClass = new (options: object) => Queue
  const logger = { debug: () => {}, warn: () => {}, error: () => {}, info: () => {} }
  const queueOf = (queueClass: QueueClass) =>
    new queueClass({
      maxInFlightRequests: 1,
      requestTimeout: 1000,
      enforceRequestTimeout: false,
      clientId: 'c',
      broker: 'b',
      logger,
    })

  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('is off while no request is pending', () => {
    const ours = queueOf(used(REPLACED.requestQueue) as QueueClass)
    ours.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 })
    expect(vi.getTimerCount()).toBe(0)

    const theirs = queueOf(original(REPLACED.requestQueue) as QueueClass)
    theirs.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 })
    vi.advanceTimersByTime(100)
    expect(vi.getTimerCount()).toBe(1)
    theirs.destroy()
  })

  test('sends pending requests once the throttle time of the broker is over', () => {
    const queue = queueOf(used(REPLACED.requestQueue) as QueueClass)
    const sent: number[] = []
    queue.throttledUntil = Date.now() + 200
    queue.push({
      entry: { correlationId: 7, resolve: () => {}, reject: () => {}, apiKey: 0, apiName: 'x', apiVersion: 0 },
      expectResponse: true,
      requestTimeout: 1000,
      sendRequest: () => sent.push(7),
    })
    vi.advanceTimersByTime(199)
    expect(sent).toEqual([])
    vi.advanceTimersByTime(50)
    expect(sent).toEqual([7])
  })
})

test('retries begin after 10 ms, where kafkajs waits 300 before a transaction that follows another', () => {
  expect(original('kafkajs/src/retry/defaults')).toMatchObject({ initialRetryTime: 300 })
  expect(RETRY.initialRetryTime).toBe(10)
})
