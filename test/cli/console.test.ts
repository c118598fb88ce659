import { describe, expect, test } from 'vitest'
import { countingVendors, createConsoleSources, type ConsoleOptions } from '../../src/cli/console.ts'
import { patientRead } from '../../src/cli/console-reads.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { FlowError } from '../../src/errors.ts'
import { Health } from '../../src/ingest/health.ts'
import { closing, HEADERS } from '../../src/ingest/rejects.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { createMetrics } from '../../src/metrics.ts'
import { topicNames } from '../../src/topics.ts'
import type { StreamProgress } from '../../src/watermark.ts'
import { handClock } from '../support/clock.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const names = topicNames('memory')
const { signal } = new AbortController()

describe('a read that may take long', () => {
  const setUp = (read: () => Promise<number>) => {
    const clock = handClock(NOW)
    return { clock, ask: patientRead({ read, clock, signal, holdsMs: 10_000, waitMs: 3000 }) }
  }

  test('holds for a while, and is done once for all who ask at the same time', async () => {
    let reads = 0
    const { clock, ask } = setUp(async () => ++reads)
    expect(await Promise.all([ask(), ask()])).toEqual(Array.from({ length: 2 }, () => ({ value: 1, readMs: NOW, problem: null })))
    await clock.advance(9_999)
    expect(await ask()).toMatchObject({ value: 1 })
    await clock.advance(1)
    expect(await ask()).toMatchObject({ value: 2, readMs: NOW + 10_000 })
  })

  test('that fails keeps the last value, says why, and is tried again at the next question', async () => {
    const results = [async () => 1, () => Promise.reject(new FlowError('KAFKA_UNREACHABLE')), async () => 3]
    const { clock, ask } = setUp(() => (results.shift() ?? (async () => 0))())
    await ask()
    await clock.advance(10_000)
    const failed = await ask()
    expect(failed).toMatchObject({ value: 1, readMs: NOW })
    expect(failed.problem).toContain('Kafka')
    expect(await ask()).toEqual({ value: 3, readMs: NOW + 10_000, problem: null })
  })

  test('that throws at once is tried again, too', async () => {
    let reads = 0
    const { ask } = setUp(() => {
      reads += 1
      throw new FlowError('KAFKA_UNREACHABLE')
    })
    await ask()
    await ask()
    expect(reads).toBe(2)
  })

  test('that hangs is answered in time with what is known, and not begun a second time', async () => {
    let reads = 0
    const { clock, ask } = setUp(() => {
      reads += 1
      return new Promise(() => {})
    })
    const first = ask()
    await clock.advance(3000)
    expect(await first).toEqual({ value: null, readMs: null, problem: 'no answer for 3 s' })
    const second = ask()
    await clock.advance(3000)
    expect(await second).toMatchObject({ problem: 'no answer for 6 s' })
    expect(reads).toBe(1)
  })
})

test('requests are counted for an hour by connector, restarts by stream, and both reach the metrics', async () => {
  const clock = handClock(NOW)
  const own = createMetrics({ processMetrics: false })
  const { metrics, counts } = countingVendors(own, clock)
  metrics.inc('vendor_requests_total', { connector: 'a', outcome: 'ok' }, 3)
  metrics.inc('task_restarts_total', { connector: 'a', stream: 's' })
  await clock.advance(30 * 60_000)
  metrics.inc('vendor_requests_total', { connector: 'a', outcome: 'SRC_TIMEOUT' })
  metrics.inc('vendor_requests_total', { connector: 'b', outcome: 'ok' })
  expect(counts.requests('a')).toEqual({ count: 4, sinceMs: NOW })
  await clock.advance(30 * 60_000)
  expect(counts.requests('a')).toEqual({ count: 1, sinceMs: NOW + 60_000 })
  expect([counts.requests('b').count, counts.requests('none').count]).toEqual([1, 0])
  expect([counts.restarts('a', 's'), counts.restarts('a', 't')]).toEqual([1, 0])
  expect((await own.render()).body).toContain('colloquy_vendor_requests_total{connector="a",outcome="ok"} 3')
})

function sourcesWith(of: Partial<ConsoleOptions> = {}) {
  const kafka = memoryKafka(() => NOW)
  const options = { kafka: kafka as unknown as Kafka, names, partitions: 1, clock: handClock(NOW), signal, aggregatorGroup: 'g' }
  return {
    kafka,
    sources: createConsoleSources({
      registry: {} as ConsoleOptions['registry'],
      streams: () => [],
      worker: null,
      ...options,
      ...of,
    }),
  }
}

describe('dead letters', () => {
  test('are those that are open, counted by reason; one is read with its row and its cure', async () => {
    const { kafka, sources } = sourcesWith()
    const writer = kafka.openWriter({ transactionalId: 't' })
    await writer.fence()
    const letter = (key: string, reason: string) => ({
      key: Buffer.from(key),
      value: Buffer.from(`{"id":"${key}"}`),
      headers: {
        [HEADERS.connector]: 'acme',
        [HEADERS.stream]: 'chats',
        [HEADERS.scope]: 'b',
        [HEADERS.reason]: reason,
        [HEADERS.path]: 'at',
      },
    })
    const write = (records: { key: Buffer; value: Buffer | null; headers: Record<string, string> }[]) =>
      writer.transact(tx => tx.write([{ topic: names.rejects, partition: 0, records }]))
    await write([letter('one', 'ROW_INVALID'), letter('two', 'ROW_INVALID'), letter('three', 'RECORD_TOO_LARGE')])
    const all = await sources.letters()
    expect(all.value?.newest.map(each => each.rowId).toSorted()).toEqual(['one', 'three', 'two'])
    const closed = all.value?.newest.find(each => each.rowId === 'one')
    await write([closing({ id: closed?.id ?? '', key: 'one' }, 'discarded')])

    const again = await sourcesWith({ kafka: kafka as unknown as Kafka }).sources.letters()
    expect(again.value?.total).toBe(2)
    expect(again.value?.byReason).toEqual([
      { reason: 'ROW_INVALID', connector: 'acme', count: 1 },
      { reason: 'RECORD_TOO_LARGE', connector: 'acme', count: 1 },
    ])
    const [partition = 0, offset = 0] = (again.value?.newest.find(each => each.rowId === 'two')?.id ?? '').split(':').map(Number)
    const one = await sources.letter(partition, offset)
    expect(one).toMatchObject({ row: '{"id":"two"}', isMasked: false })
    expect(one.cure).not.toBeNull()
  })

  test('one that is not there is NOT_FOUND, on a partition that is not there as well', async () => {
    const { sources } = sourcesWith()
    await expect(sources.letter(0, 99)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(sources.letter(7, 0)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('connectors', () => {
  const told = (scope: string): StreamProgress => ({
    connector: 'acme',
    stream: 'chats',
    scope,
    vendor: 'v',
    account: 'a',
    bot_id: null,
    completeUntil: 5,
    covered: [],
    newestAt: null,
    committedAt: 6,
    lane: 'live',
    pending: 0,
  })

  test('without a worker role are those of the progress topic, without state and controls', () => {
    const { sources } = sourcesWith({ streams: () => [told('one')] })
    const { control, connectors } = sources.connectors()
    expect(control).toMatchObject({ isThere: false })
    expect(control.why).toContain('no worker role')
    expect(connectors).toMatchObject([
      { name: 'acme', state: null, requests: null, partitions: [{ scope: 'one', state: null, completeUntilMs: 5 }] },
    ])
  })

  test('have the state of what runs here, with error and cure, and what the progress topic says of the rest', () => {
    const clock = handClock(NOW)
    const health = new Health(clock, createMetrics({ processMetrics: false }))
    health
      .add({ connector: 'acme', stream: 'chats', scope: 'one', task: 3, pollIntervalMs: 1000 })
      .failed(new FlowError('SRC_TIMEOUT'), 'failed')
    const { sources } = sourcesWith({
      streams: () => [told('one'), told('two')],
      worker: {
        herder: () => null,
        starting: () => 'starting',
        states: () => health.states(),
        connectorOf: name => new FlowError('PLUGIN_UNKNOWN', { connector: name }),
        counts: countingVendors(createMetrics({ processMetrics: false }), clock).counts,
      },
    })
    const [acme, ...more] = sources.connectors().connectors
    expect(more).toEqual([])
    expect(acme?.partitions).toMatchObject([
      {
        scope: 'one',
        state: 'failed',
        task: 3,
        restarts: 0,
        error: { code: 'SRC_TIMEOUT', cure: new FlowError('SRC_TIMEOUT').cure },
      },
      { scope: 'two', state: null, restarts: null, committedAtMs: 6 },
    ])
  })
})
