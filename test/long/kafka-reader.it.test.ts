import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { lastOffsets } from '../../src/kafka/ends.ts'
import type { Chunk, Kafka, TailOptions, TopicPartition, Writer } from '../../src/kafka/port.ts'
import {
  brokers,
  closing,
  commit,
  fencedWriter,
  kafka,
  keptLog,
  proxy,
  record,
  textOf,
  topic,
  unique,
  until,
  valuesOf,
} from '../kafka/fixture.ts'
import { originalKafkajs } from '../kafka/original.ts'
import { API, withoutLeader } from '../kafka/proxy.ts'
import { runPython } from '../support/independent/read-topics.ts'

const theirs = originalKafkajs()
const theirClient = () =>
  new theirs.Kafka({
    brokers: [brokers()],
    logLevel: theirs.logLevel.NOTHING,
    retry: { initialRetryTime: 10, maxRetryTime: 200, retries: 15 },
  })

/** What a read-committed consumer of kafkajs as published is handed from the offset on, up to the value that ends it. */
async function theirConsumerSees(place: TopicPartition, from: number, last: string): Promise<string[]> {
  const consumer = theirClient().consumer({ groupId: unique('their-group'), maxWaitTimeInMs: 100 })
  closing({ close: () => consumer.disconnect() })
  await consumer.connect()
  await consumer.subscribe({ topic: place.topic, fromBeginning: true })
  const values: string[] = []
  const done = Promise.withResolvers<void>()
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      if (Number(message.offset) < from) return
      values.push(String(message.value))
      if (values.at(-1) === last) done.resolve()
    },
  })
  consumer.seek({ topic: place.topic, partition: place.partition, offset: String(from) })
  await done.promise
  return values
}

/** An open transaction that the test ends when it likes. */
async function openTransaction(writer: Writer) {
  const end = Promise.withResolvers<'commit' | 'abort'>()
  const ready = Promise.withResolvers<Parameters<Parameters<Writer['transact']>[0]>[0]>()
  const running = writer
    .transact(async tx => {
      ready.resolve(tx)
      if ((await end.promise) === 'abort') throw new Error('abort')
    })
    .catch((error: unknown) => {
      if (!(error instanceof Error) || error.message !== 'abort') throw error
    })
  const tx = await ready.promise
  return {
    write: (place: TopicPartition, ...values: string[]) => tx.write([{ ...place, records: values.map(value => record(value)) }]),
    end: async (how: 'commit' | 'abort') => {
      end.resolve(how)
      await running
    },
  }
}

/** Tails until so many values are there. */
async function tailed(
  k: Kafka,
  places: readonly (TopicPartition & { offset: number })[],
  count: number,
  options: Partial<TailOptions> = {},
): Promise<{ values: string[]; chunks: Chunk[] }> {
  const stop = new AbortController()
  const values: string[] = []
  const seen: Chunk[] = []
  for await (const chunks of k.tail(places, { maxWaitMs: 100, ...options, signal: stop.signal })) {
    seen.push(...chunks)
    for (const chunk of chunks) values.push(...chunk.records.map(textOf))
    if (values.length >= count) stop.abort()
  }
  return { values, chunks: seen }
}

describe('records of aborted transactions are never handed out', () => {
  test('to a reader that starts inside two of them', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const [a, b] = [await fencedWriter(k, unique('a')), await fencedWriter(k, unique('b'))]
    const [ta, tb] = [await openTransaction(a), await openTransaction(b)]
    await ta.write(place, 'a1')
    await tb.write(place, 'b1')
    await tb.write(place, 'b2')
    await ta.write(place, 'a2')
    await ta.end('abort')
    await tb.end('abort')
    await commit(a, place, 'good')

    expect(await valuesOf(k, { ...place, from: 2 })).toEqual(['good'])
    expect((await tailed(k, [{ ...place, offset: 2 }], 1)).values).toEqual(['good'])
    expect(await theirConsumerSees(place, 2, 'good')).toEqual(['b2', 'good'])
  })

  test('also when their keys look like a marker', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    const aborted = writer.transact(async tx => {
      await tx.write([
        { ...place, records: [{ key: Buffer.alloc(4), value: Buffer.from('zero') }, record('one'), record('two')] },
      ])
      throw new Error('abort')
    })
    await expect(aborted).rejects.toThrow('abort')
    await commit(writer, place, 'good')

    expect(await valuesOf(k, place)).toEqual(['good'])
    expect((await tailed(k, [{ ...place, offset: 0 }], 1)).values).toEqual(['good'])
    expect(await theirConsumerSees(place, 0, 'good')).toEqual(['zero', 'one', 'two', 'good'])
  })
})

describe('reading a range', () => {
  test('gives the committed records in it, and passes over markers and what was aborted', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, place, '0', '1', '2')
    const aborted = await openTransaction(writer)
    await aborted.write(place, 'never')
    await aborted.end('abort')
    await commit(writer, place, '6')
    const found: string[] = []
    const read = (from: number, until: number) => k.readRange({ ...place, from, until }, one => found.push(textOf(one)))
    expect(await read(1, 2)).toBe(2)
    expect(found.splice(0)).toEqual(['1'])
    expect(await read(2, 8)).toBe(8)
    expect(found.splice(0)).toEqual(['2', '6'])
    expect(await read(3, 6)).toBe(6)
    expect(await read(5, 5)).toBe(5)
    expect(found).toEqual([])
  })

  test('ends where an open transaction begins, and does not wait for it', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, place, '0')
    const open = await openTransaction(await fencedWriter(k, unique('b')))
    await open.write(place, '2')
    await commit(writer, place, '3')
    const found: string[] = []
    const read = (from: number) => k.readRange({ ...place, from, until: 5 }, one => found.push(textOf(one)))
    expect(await read(0)).toBe(2)
    expect(found.splice(0)).toEqual(['0'])
    await open.end('commit')
    // The markers are written after the commit has been answered.
    for (let next = 2; next < 5; ) next = await read(next)
    expect(found).toEqual(['2', '3'])
  })

  test('hands over many records in pieces, all of them and none beyond, and stops when told to', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    // 3 MB: several fetches.
    for (let n = 0; n < 6; n++)
      await commit(writer, place, ...Array.from({ length: 100 }, (_, i) => `${n * 101 + i} ${'x'.repeat(5000)}`))
    const found: number[] = []
    expect(await k.readRange({ ...place, from: 50, until: 550 }, one => found.push(one.offset))).toBe(550)
    const expected = Array.from({ length: 606 }, (_, offset) => offset).filter(offset => offset % 101 !== 100)
    expect(found).toEqual(expected.filter(offset => offset >= 50 && offset < 550))
    await expect(k.readRange({ ...place, from: 0, until: 550 }, () => {}, AbortSignal.abort())).rejects.toMatchObject({
      code: 'STOPPED',
    })
  })
})

describe('reading to the end', () => {
  test('of a partition that ends with markers, or holds nothing else, comes to an end', async () => {
    const k = kafka()
    const name = await topic(k, 3)
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, { topic: name, partition: 0 }, '1', '2')
    const aborted = await openTransaction(writer)
    await aborted.write({ topic: name, partition: 0 }, 'never')
    await aborted.write({ topic: name, partition: 1 }, 'never')
    await aborted.end('abort')
    const found: string[] = []
    const read = (partition: number, from?: number) =>
      k.readToEnd({ topic: name, partition, ...(from === undefined ? {} : { from }) }, one => found.push(textOf(one)))
    expect(await read(0)).toBe(5)
    expect(await read(1)).toBe(2)
    expect(await read(2)).toBe(0)
    expect(await read(0, 5)).toBe(5)
    expect(found).toEqual(['1', '2'])
  })

  test("gives a successor all that its predecessor committed, while another's transaction is open on the partition", async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const idOfA = unique('a')
    const a = await fencedWriter(k, idOfA)
    await commit(a, place, 'page 1')
    const b = await openTransaction(await fencedWriter(k, unique('b')))
    await b.write(place, 'of b')
    await commit(a, place, 'page 2')

    await fencedWriter(k, idOfA)
    // What a reader would believe who stops at the last stable offset: page 2 lies behind it.
    const admin = theirClient().admin()
    await admin.connect()
    const [lastStable] = await admin.fetchTopicOffsets(place.topic)
    await admin.disconnect()
    expect(Number(lastStable?.offset)).toBe(2)

    const reader = kafka({ brokers: [line.address] })
    const found: string[] = []
    let done = false
    const reading = reader
      .readToEnd(place, one => found.push(textOf(one)))
      .then(next => {
        done = true
        return next
      })
    await until(() => line.count(API.fetch) >= 4)
    expect({ done, found }).toEqual({ done: false, found: ['page 1'] })
    await b.end('abort')
    expect(await reading).toBeGreaterThanOrEqual(5)
    expect(found).toEqual(['page 1', 'page 2'])
  })

  test('stops when told to, and says so', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const open = await openTransaction(await fencedWriter(k, unique('a')))
    await open.write(place, 'x')
    const stop = new AbortController()
    const reading = k.readToEnd(place, () => {}, stop.signal)
    stop.abort()
    await expect(reading).rejects.toMatchObject({ code: 'STOPPED' })
    await open.end('abort')
  })

  test('of a topic that is not there is an error, not an empty answer', async () => {
    await expect(kafka().readToEnd({ topic: unique('nowhere'), partition: 0 }, () => {})).rejects.toMatchObject({
      code: 'KAFKA_REFUSED',
    })
  })

  test('reads what is larger than a fetch', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    const big = Array.from({ length: 12 }, (_, n) => `${n}`.padEnd(900_000, '.'))
    await writer.transact(tx => tx.write([{ ...place, records: big.map(value => record('k', value)) }]))
    expect(await valuesOf(k, place)).toEqual(big)
  })

  test('of a compacted topic finds the newest of each key and the end, over what the cleaner has emptied', async () => {
    const k = kafka()
    const place = {
      topic: await topic(k, 1, {
        'cleanup.policy': 'compact',
        'min.cleanable.dirty.ratio': '0.001',
        'segment.ms': '200',
        'max.compaction.lag.ms': '200',
      }),
      partition: 0,
    }
    const [one, other] = [await fencedWriter(k, unique('a')), await fencedWriter(k, unique('b'))]
    const put = (writer: Writer, key: string, value: string) =>
      writer.transact(tx => tx.write([{ ...place, records: [record(key, value)] }]))
    for (let n = 0; n < 5; n++) await put(one, 'k', `old ${n}`)
    // The cleaner leaves the last segment alone; what is written next after 200 ms begins one.
    let newest = ''
    await until(async () => {
      newest = `new ${Date.now()}`
      await put(other, 'k', newest)
      return (await valuesOf(k, place)).every(value => !value.startsWith('old'))
    })
    const { high } = (await k.watermarks([place]))[0] ?? { high: 0 }
    const values: string[] = []
    expect(await k.readToEnd(place, found => values.push(textOf(found)))).toBe(high)
    expect(values.at(-1)).toBe(newest)
    // From inside the hole.
    expect(await k.readToEnd({ ...place, from: 3 }, () => {})).toBe(high)
  })
})

describe('tailing', () => {
  test('goes on from the given offsets, over several partitions, with what is written later', async () => {
    const k = kafka()
    const name = await topic(k, 3)
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, { topic: name, partition: 0 }, 'skipped', '0a')
    await commit(writer, { topic: name, partition: 1 }, '1a')
    const stop = new AbortController()
    const values: string[] = []
    let next = -1
    const places = [0, 1, 2].map(partition => ({ topic: name, partition, offset: partition === 0 ? 1 : 0 }))
    const wanted = ['0a', '1a', '2a', '0b']
    for await (const chunks of k.tail(places, { signal: stop.signal, maxWaitMs: 50 })) {
      for (const chunk of chunks) {
        values.push(...chunk.records.map(textOf))
        if (chunk.partition === 0) ({ next } = chunk)
        expect(chunk.high).toBeGreaterThanOrEqual(chunk.next)
      }
      if (values.length === 2 && !values.includes('2a')) {
        await commit(writer, { topic: name, partition: 2 }, '2a')
        await commit(writer, { topic: name, partition: 0 }, '0b')
      }
      if (values.length >= 4 && next === 5) stop.abort()
    }
    expect(values.toSorted()).toEqual(wanted.toSorted())
    // Records at 0, 1 and 3, markers at 2 and 4.
    expect(next).toBe(5)
  })

  test('hands out a chunk without records where only markers and aborted ones were passed', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const open = await openTransaction(await fencedWriter(k, unique('a')))
    await open.write(place, 'never')
    await open.end('abort')
    for await (const chunks of k.tail([{ ...place, offset: 0 }], { signal: new AbortController().signal })) {
      expect(chunks).toEqual([{ ...place, records: [], next: 2, high: 2 }])
      break
    }
  })

  test('gives nothing of an open transaction, nor what was committed behind it, before it has ended', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const [a, b] = [await fencedWriter(k, unique('a')), await fencedWriter(k, unique('b'))]
    const open = await openTransaction(a)
    await open.write(place, 'open')
    await commit(b, place, 'behind')
    const line = await proxy()
    const all = tailed(kafka({ brokers: [line.address] }), [{ ...place, offset: 0 }], 2)
    await until(() => line.count(API.fetch) >= 3)
    await open.end('commit')
    const { values, chunks } = await all
    expect(values).toEqual(['open', 'behind'])
    expect(chunks[0]?.records.length).toBe(2)
  })

  test('finds where a partition was at a time, and that nothing is newer', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, place, '0', '1')
    // The broker writes the marker of a transaction after it has answered, with a time of its own.
    const betweenMs = Date.now() + 500
    await until(async () => Date.now() > betweenMs)
    await commit(writer, place, '2')
    expect(await k.offsetsAt([place], 0)).toEqual([{ ...place, offset: 0 }])
    expect(await k.offsetsAt([place], betweenMs)).toEqual([{ ...place, offset: 3 }])
    expect(await k.offsetsAt([place], Date.now() + 60_000)).toEqual([{ ...place, offset: null }])
  })

  test('moves to the start where retention has removed its offset, and logs it', async () => {
    const { log, lines } = keptLog()
    const k = kafka({ log })
    const place = { topic: await topic(k), partition: 0 }
    await commit(await fencedWriter(k, unique('a')), place, '0', '1', '2', '3')
    const admin = theirClient().admin()
    await admin.connect()
    // It knows a topic only when it has asked for its offsets.
    await admin.fetchTopicOffsets(place.topic)
    await admin.deleteTopicRecords({ topic: place.topic, partitions: [{ partition: 0, offset: '2' }] })
    await admin.disconnect()
    expect(await k.watermarks([place])).toEqual([{ ...place, low: 2, high: 5 }])
    expect((await tailed(k, [{ ...place, offset: 0 }], 2)).values).toEqual(['2', '3'])
    expect(await valuesOf(k, { ...place, from: 0 })).toEqual(['2', '3'])
    const ranged: string[] = []
    const range = (until: number) => k.readRange({ ...place, from: 0, until }, one => ranged.push(textOf(one)))
    expect([await range(1), await range(3), ranged]).toEqual([1, 3, ['2']])
    expect(lines).toEqual([expect.objectContaining({ level: 'warn', topic: place.topic, partition: 0, wanted: 0, from: 2 })])
  })

  test('outlives the broker being away, and misses and repeats nothing', async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('a'))
    await commit(writer, place, '1')
    const stop = new AbortController()
    const values: string[] = []
    for await (const chunks of kafka({ brokers: [line.address] }).tail([{ ...place, offset: 0 }], {
      signal: stop.signal,
      maxWaitMs: 50,
    })) {
      for (const chunk of chunks) values.push(...chunk.records.map(textOf))
      if (values.length === 1) {
        line.breakOff()
        await commit(writer, place, '2')
        setTimeout(() => line.restore(), 300)
      }
      if (values.length >= 2) stop.abort()
    }
    expect(values).toEqual(['1', '2'])
  })

  test('ends quietly, at once, when the signal aborts while the broker holds its fetch', async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const stop = new AbortController()
    const ended = (async () => {
      for await (const chunks of kafka({ brokers: [line.address] }).tail([{ ...place, offset: 0 }], {
        signal: stop.signal,
        maxWaitMs: 60_000,
      })) {
        expect(chunks).toBe('nothing')
      }
    })()
    await until(() => line.count(API.fetch) === 1)
    stop.abort()
    await ended
  })
})

/** A small generator of its own: the same seed writes the same topic. */
function seeded(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** Tails every partition to its end as it is now; by partition what was handed out, and where the tail stands. */
async function tailedToEnds(k: Kafka, name: string, partitions: number, maxBytesPerPartition: number) {
  const places = Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition, offset: 0 }))
  const ends = new Map((await lastOffsets(k, places)).map(({ partition, offset }) => [partition, offset]))
  const values = new Map(places.map(({ partition }) => [partition, [] as string[]]))
  const left = new Set(ends.keys())
  const stop = new AbortController()
  if (left.size === 0) stop.abort()
  for await (const chunks of k.tail(places, { signal: stop.signal, maxWaitMs: 50, maxBytesPerPartition })) {
    for (const { partition, records, next } of chunks) {
      values.get(partition)?.push(...records.map(textOf))
      if (next > (ends.get(partition) ?? Infinity)) left.delete(partition)
    }
    if (left.size === 0) stop.abort()
  }
  return values
}

describe('several partitions at once', () => {
  test.each([1, 2, 3])(
    'are read without a record missing or twice, however little a fetch may bring (seed %i)',
    async seed => {
      const random = seeded(seed)
      const k = kafka()
      const partitions = 7
      const name = await topic(k, partitions, { 'max.message.bytes': '3000000' })
      const expected = new Map(Array.from({ length: partitions }, (_, partition) => [partition, [] as string[]]))
      const writer = await fencedWriter(k, unique('a'))
      // The last partition stays empty; transactions are aborted here and there, and at the ends of some partitions.
      for (let round = 0; round < 12; round++) {
        const batches = Array.from({ length: partitions - 1 }, (_, partition) => ({
          topic: name,
          partition,
          records: Array.from({ length: random(5) }, (__, n) => {
            const bytes = random(4) === 0 ? 20_000 + random(300_000) : 1 + random(2_000)
            return record('k', `${round}/${n}`.padEnd(bytes, '.'))
          }),
        })).filter(() => random(3) > 0)
        const isAborted = random(3) === 0 || round === 11
        const written = writer.transact(async tx => {
          await tx.write(batches)
          if (isAborted) throw new Error('abort')
        })
        if (isAborted) await expect(written).rejects.toThrow('abort')
        else {
          await written
          for (const { partition, records } of batches) expected.get(partition)?.push(...records.map(one => String(one.value)))
        }
      }
      for (const maxBytes of [1, 700, 40_000, 1_048_576])
        expect(await tailedToEnds(k, name, partitions, maxBytes)).toEqual(expected)
      for (const [partition, values] of expected) expect(await valuesOf(k, { topic: name, partition })).toEqual(values)
    },
    60_000,
  )

  test('that hold more than one fetch may bring are all read', async () => {
    const k = kafka()
    const partitions = 18
    const name = await topic(k, partitions)
    const writer = await fencedWriter(k, unique('a'))
    const value = Buffer.alloc(100_000, 'v')
    for (let round = 0; round < 2; round++) {
      await writer.transact(tx =>
        tx.write(
          Array.from({ length: partitions }, (_, partition) => ({
            topic: name,
            partition,
            records: Array.from({ length: 8 }, () => ({ key: null, value })),
          })),
        ),
      )
    }
    const found = await tailedToEnds(k, name, partitions, 3 * 1_048_576)
    expect([...found.values()].map(values => values.length)).toEqual(Array(partitions).fill(16))
  }, 60_000)

  test('go on while one of them has no leader; that one is read when it has one again', async () => {
    const line = await proxy()
    const k = kafka()
    const name = await topic(k, 3)
    const writer = await fencedWriter(k, unique('a'))
    for (const partition of [0, 1, 2]) await commit(writer, { topic: name, partition }, `early ${partition}`)
    let isLeaderless = true
    line.onAnswer = (apiKey, payload) => (apiKey === API.metadata && isLeaderless ? withoutLeader(payload, name, 1) : payload)

    const { log, lines } = keptLog()
    const reader = kafka({ brokers: [line.address], log })
    const stop = new AbortController()
    const values: string[] = []
    const led = until(() => lines.length > 0 && values.includes('late 2')).then(() => {
      isLeaderless = false
    })
    const places = [0, 1, 2].map(partition => ({ topic: name, partition, offset: 0 }))
    for await (const chunks of reader.tail(places, { signal: stop.signal, maxWaitMs: 50 })) {
      for (const chunk of chunks) values.push(...chunk.records.map(textOf))
      if (values.length === 2) {
        expect(values.toSorted()).toEqual(['early 0', 'early 2'])
        await commit(writer, { topic: name, partition: 2 }, 'late 2')
      }
      if (values.length === 4) stop.abort()
    }
    await led
    expect(values.toSorted()).toEqual(['early 0', 'early 1', 'early 2', 'late 2'])
    expect(lines).toEqual([expect.objectContaining({ topic: name, partition: 1, partitions: 1 })])
  })

  test('give their watermarks together, once the one without a leader has one; no answer is not 0', async () => {
    const line = await proxy()
    const k = kafka()
    const name = await topic(k, 2)
    await commit(await fencedWriter(k, unique('a')), { topic: name, partition: 1 }, 'x')
    let answers = 0
    line.onAnswer = (apiKey, payload) => {
      if (apiKey === API.metadata) return ++answers < 4 ? withoutLeader(payload, name, 1) : payload
      return payload
    }
    const places = [0, 1].map(partition => ({ topic: name, partition }))
    expect(await kafka({ brokers: [line.address] }).watermarks(places)).toEqual([
      { topic: name, partition: 0, low: 0, high: 0 },
      { topic: name, partition: 1, low: 0, high: 2 },
    ])
    expect(answers).toBeGreaterThanOrEqual(4)
  })

  // The last partition's error code, time and offset end the answer.
  const told = (code: number) => (payload: Buffer) => {
    const copy = Buffer.from(payload)
    copy.writeInt16BE(code, copy.length - 18)
    copy.writeBigInt64BE(-1n, copy.length - 8)
    return copy
  }
  test.each<[string, (payload: Buffer) => Buffer]>([
    ['an error', told(-1)],
    ['no offset, and no error either', told(0)],
    // Throttle time and no topics.
    ['nothing', () => Buffer.alloc(8)],
  ])('of which the leader says %s when asked for offsets are asked for again', async (_what, change) => {
    const line = await proxy()
    const k = kafka()
    const name = await topic(k, 1)
    await commit(await fencedWriter(k, unique('a')), { topic: name, partition: 0 }, 'x')
    line.onAnswer = (apiKey, payload, nth) => (apiKey === API.listOffsets && nth <= 3 ? change(payload) : payload)
    expect(await kafka({ brokers: [line.address] }).watermarks([{ topic: name, partition: 0 }])).toEqual([
      { topic: name, partition: 0, low: 0, high: 2 },
    ])
  })

  test('that an answer to a fetch leaves out are fetched again', async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    await commit(await fencedWriter(k, unique('a')), place, 'x', 'y')
    // Throttle time, error code, session and no topics.
    line.onAnswer = (apiKey, payload, nth) => (apiKey === API.fetch && nth % 3 !== 0 ? Buffer.alloc(14) : payload)
    const reader = kafka({ brokers: [line.address] })
    expect(await valuesOf(reader, place)).toEqual(['x', 'y'])
    expect((await tailed(reader, [{ ...place, offset: 0 }], 2)).values).toEqual(['x', 'y'])
  })
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'])('a topic that the broker compresses with %s is read like any other', async codec => {
  const k = kafka()
  const place = { topic: await topic(k, 1, { 'compression.type': codec }), partition: 0 }
  const values = Array.from({ length: 300 }, (_, n) => `value ${n} `.repeat(1 + (n % 40)))
  await commit(await fencedWriter(k, unique('a')), place, ...values)
  expect(await valuesOf(k, place)).toEqual(values)
  expect((await tailed(k, [{ ...place, offset: 0 }], values.length)).values).toEqual(values)
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'])(
  'records that another client compressed with %s are read like any other',
  async codec => {
    const k = kafka()
    const place = { topic: await topic(k, 1, { 'compression.type': 'producer' }), partition: 0 }
    await runPython(fileURLToPath(new URL('../kafka/write_compressed.py', import.meta.url)), [
      brokers(),
      place.topic,
      codec,
      '300',
    ])
    const values = Array.from({ length: 300 }, (_, n) => `value ${n} `.repeat(1 + (n % 40)))
    expect(await valuesOf(k, place)).toEqual(values)
    expect((await tailed(k, [{ ...place, offset: 0 }], values.length)).values).toEqual(values)
  },
)

test('the end of a partition is behind its markers, and behind aborted records', async () => {
  const k = kafka()
  const name = await topic(k, 3)
  const writer = await fencedWriter(k, unique('a'))
  await commit(writer, { topic: name, partition: 0 }, 'x')
  const open = await openTransaction(writer)
  await open.write({ topic: name, partition: 0 }, 'never')
  await open.write({ topic: name, partition: 1 }, 'never')
  await open.end('abort')
  const places = [0, 1, 2].map(partition => ({ topic: name, partition }))
  expect(await lastOffsets(k, places)).toEqual([
    { topic: name, partition: 0, offset: 3 },
    { topic: name, partition: 1, offset: 1 },
  ])
})
