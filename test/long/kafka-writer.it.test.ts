import type { Producer } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { originalKafkajs } from '../kafka/original.ts'
import { API } from '../kafka/proxy.ts'
import { brokers, closing, commit, fencedWriter, kafka, proxy, record, topic, unique, until, valuesOf } from '../kafka/fixture.ts'

const { Kafka: Client, logLevel, Partitioners } = originalKafkajs()

/** kafkajs's own producer, which ours is held against. */
function theirProducer(transactionalId: string, address: string = brokers()): Producer {
  const client = new Client({
    brokers: [address],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 10, maxRetryTime: 50, retries: 2 },
  })
  const producer = client.producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    retry: { initialRetryTime: 10, maxRetryTime: 50, retries: 2 },
    createPartitioner: Partitioners.DefaultPartitioner,
  })
  closing({ close: () => producer.disconnect() })
  return producer
}

describe('a transaction', () => {
  test('puts records on several topics at once, tells their offsets, and brings nulls and headers through', async () => {
    const k = kafka()
    const [a, b] = [await topic(k, 3), await topic(k, 2)]
    const writer = await fencedWriter(k, unique('tx'))
    await commit(writer, { topic: a, partition: 2 }, 'before')
    const ranges = await writer.transact(async tx => {
      const first = await tx.write([
        {
          topic: a,
          partition: 2,
          records: [
            { key: null, value: Buffer.from('no key') },
            { key: Buffer.from('k'), value: null },
          ],
        },
        { topic: b, partition: 0, records: [{ ...record('with'), headers: { ünï: 'cødé' } }] },
        { topic: b, partition: 1, records: [] },
      ])
      const second = await tx.write([{ topic: a, partition: 2, records: [record('later')] }])
      return [first, second]
    })
    // Offset 1 is the marker of the first transaction.
    expect(ranges).toEqual([
      [
        { topic: a, partition: 2, firstOffset: 2, lastOffset: 3 },
        { topic: b, partition: 0, firstOffset: 0, lastOffset: 0 },
      ],
      [{ topic: a, partition: 2, firstOffset: 4, lastOffset: 4 }],
    ])
    const found: unknown[] = []
    await k.readToEnd({ topic: a, partition: 2, from: 2 }, ({ offset, key, value }) =>
      found.push([offset, String(key), String(value)]),
    )
    await k.readToEnd({ topic: b, partition: 0 }, ({ headers, timestamp }) =>
      found.push([headers, Math.abs(Date.now() - timestamp) < 60_000]),
    )
    expect(found).toEqual([
      [2, 'null', 'no key'],
      [3, 'k', 'null'],
      [4, 'later', 'later'],
      [{ ünï: Buffer.from('cødé') }, true],
    ])
  })

  test('whose work throws leaves nothing and passes the error on; the writer goes on', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('tx'))
    const oops = new Error('oops')
    const failed = writer.transact(async tx => {
      await tx.write([{ ...place, records: [record('never')] }])
      throw oops
    })
    await expect(failed).rejects.toBe(oops)
    await commit(writer, place, 'after')
    expect(await valuesOf(k, place)).toEqual(['after'])
  })

  test('refuses a record over the limit of its topic before anything is sent', async () => {
    const k = kafka()
    const place = { topic: await topic(k, 1, { 'max.message.bytes': '20000' }), partition: 0 }
    const writer = await fencedWriter(k, unique('tx'))
    const failed = writer.transact(tx => tx.write([{ ...place, records: [record('small'), record('x'.repeat(10_000))] }]))
    await expect(failed).rejects.toMatchObject({
      code: 'RECORD_TOO_LARGE',
      details: { topic: place.topic, partition: 0, index: 1 },
    })
    await commit(writer, place, 'y'.repeat(9_000), 'z'.repeat(9_000))
    expect((await valuesOf(k, place)).map(value => value.length)).toEqual([9_000, 9_000])
  })

  test('takes 50,000 records in one write, in order, in batches that the topic takes', async () => {
    const k = kafka()
    const name = await topic(k, 2, { 'max.message.bytes': '100000' })
    const writer = await fencedWriter(k, unique('tx'))
    const keys = Array.from({ length: 50_000 }, (_, n) => `key-${n}`)
    const ranges = await writer.transact(tx =>
      tx.write([
        { topic: name, partition: 0, records: keys.slice(0, 49_000).map(key => record(key)) },
        { topic: name, partition: 1, records: keys.slice(49_000).map(key => record(key)) },
      ]),
    )
    expect(ranges).toEqual([
      { topic: name, partition: 0, firstOffset: 0, lastOffset: 48_999 },
      { topic: name, partition: 1, firstOffset: 0, lastOffset: 999 },
    ])
    expect([
      ...(await valuesOf(k, { topic: name, partition: 0 })),
      ...(await valuesOf(k, { topic: name, partition: 1 })),
    ]).toEqual(keys)
  })

  test('commits group offsets with it, and the words that belong to them', async () => {
    const k = kafka()
    const name = await topic(k, 2)
    const group = unique('group')
    const writer = await fencedWriter(k, unique('tx'))
    await writer.transact(async tx => {
      await tx.write([{ topic: name, partition: 0, records: [record('a')] }])
      await tx.commitGroupOffsets(group, [{ topic: name, partition: 0, offset: 41, metadata: 'words' }])
    })
    await until(async () => (await k.groupOffsets(group, [name])).some(({ offset }) => offset !== null))
    expect(await k.groupOffsets(group, [name])).toEqual([
      { topic: name, partition: 0, offset: 41, metadata: 'words' },
      { topic: name, partition: 1, offset: null, metadata: '' },
    ])
  })

  test('that is open when the writer closes is aborted at once, not when its time is up', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const writer = await fencedWriter(k, unique('tx'), 600_000)
    const written = Promise.withResolvers<void>()
    const never = Promise.withResolvers<void>()
    const open = writer.transact(async tx => {
      await tx.write([{ ...place, records: [record('open')] }])
      written.resolve()
      await never.promise
    })
    await written.promise
    await writer.close()
    expect(await valuesOf(k, place)).toEqual([])
    never.resolve()
    await expect(open).rejects.toMatchObject({ code: 'STOPPED' })
  })

  test('to a topic that is not there is aborted and says so', async () => {
    const k = kafka()
    const writer = await fencedWriter(k, unique('tx'))
    const failed = commit(writer, { topic: unique('nowhere'), partition: 0 }, 'x')
    await expect(failed).rejects.toMatchObject({ code: expect.stringMatching(/KAFKA_(ABORTED|REFUSED)/) as string })
  })
})

describe('fencing', () => {
  test('claims the id before any record, where connecting a kafkajs producer claims nothing', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const id = unique('tx')
    const older = await fencedWriter(k, id)
    await commit(older, place, '1')

    await theirProducer(id).connect()
    await commit(older, place, '2')

    const newer = await fencedWriter(k, id)
    await expect(commit(older, place, '3')).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    await expect(commit(older, place, '4')).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
    await commit(newer, place, '5')
    expect(await valuesOf(k, place)).toEqual(['1', '2', '5'])
  })

  test('ends what the older owner left open, and its commit does not go through', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const id = unique('tx')
    const older = await fencedWriter(k, id)
    const failed = older.transact(async tx => {
      await tx.write([{ ...place, records: [record('older')] }])
      const newer = await fencedWriter(k, id)
      await commit(newer, place, 'newer')
    })
    await expect(failed).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    expect(await valuesOf(k, place)).toEqual(['newer'])
  })

  test('a transaction that the broker ended on time is never taken for committed, nor for fenced', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const id = unique('tx')
    const slow = await fencedWriter(k, id, 1_000)
    const failed = slow.transact(async tx => {
      await tx.write([{ ...place, records: [record('late')] }])
      // The abort marker is the second record of the partition.
      await until(async () => (await k.watermarks([place]))[0]?.high === 2)
    })
    await expect(failed).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
    const next = await fencedWriter(k, id, 1_000)
    await commit(next, place, 'again')
    expect(await valuesOf(k, place)).toEqual(['again'])
  })

  test('who was fenced while its transaction was too old is fenced all the same', async () => {
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const id = unique('tx')
    const slow = await fencedWriter(k, id, 1_000)
    const failed = slow.transact(async tx => {
      await tx.write([{ ...place, records: [record('late')] }])
      await until(async () => (await k.watermarks([place]))[0]?.high === 2)
      // The last that the coordinator knows of is an abort again: this time by the new owner.
      const owner = await fencedWriter(k, id)
      const oops = new Error('oops')
      const given = owner.transact(async theirs => {
        await theirs.write([{ ...place, records: [record('given up')] }])
        throw oops
      })
      await expect(given).rejects.toBe(oops)
    })
    await expect(failed).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  })
})

describe('when the line to the broker breaks', () => {
  test('a commit without an answer is of unknown outcome; a new writer with the same id goes on from what is there', async () => {
    const line = await proxy()
    const k = kafka({ brokers: [line.address] })
    const direct = kafka()
    const place = { topic: await topic(direct), partition: 0 }
    const id = unique('tx')
    const writer = await fencedWriter(k, id)
    line.onAnswer = (apiKey, payload) => {
      if (apiKey !== API.endTxn) return payload
      line.breakOff()
      return null
    }
    await expect(commit(writer, place, '1')).rejects.toMatchObject({ code: 'KAFKA_OUTCOME_UNKNOWN' })
    await expect(commit(writer, place, 'spent')).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
    await writer.close()

    line.restore()
    line.onAnswer = (_apiKey, payload) => payload
    const next = await fencedWriter(k, id)
    expect(await valuesOf(direct, place)).toEqual(['1'])
    await commit(next, place, '2')
    expect(await valuesOf(direct, place)).toEqual(['1', '2'])
  })

  test('a kafkajs producer is stuck for good after the same failure', async () => {
    const line = await proxy()
    const name = await topic(kafka())
    const producer = theirProducer(unique('tx'), line.address)
    await producer.connect()
    const tx = await producer.transaction()
    await tx.send({ topic: name, messages: [{ key: 'k', value: '1', partition: 0 }] })
    line.onAnswer = (apiKey, payload) => (apiKey === API.endTxn ? null : payload)
    await expect(tx.commit()).rejects.toThrow()
    line.onAnswer = (_apiKey, payload) => payload
    await expect(tx.abort()).rejects.toThrow()
    await expect(producer.transaction()).rejects.toThrow(/COMMITTING/)
  })

  test('a commit whose answer was lost on the way is asked for again: committed, once', async () => {
    const line = await proxy()
    const k = kafka({ brokers: [line.address] })
    const place = { topic: await topic(kafka()), partition: 0 }
    const writer = await fencedWriter(k, unique('tx'))
    line.onAnswer = (apiKey, payload, nth) => (apiKey === API.endTxn && nth === 1 ? null : payload)
    await commit(writer, place, '1')
    await commit(writer, place, '2')
    expect(line.count(API.endTxn)).toBeGreaterThanOrEqual(3)
    expect(await valuesOf(k, place)).toEqual(['1', '2'])
  })

  test('records whose answer was lost are sent again and stand once, at the offsets that are told', async () => {
    const line = await proxy()
    const k = kafka({ brokers: [line.address] })
    const name = await topic(kafka(), 2)
    const writer = await fencedWriter(k, unique('tx'))
    line.onAnswer = (apiKey, payload, nth) => (apiKey === API.produce && nth === 2 ? null : payload)
    await commit(writer, { topic: name, partition: 0 }, '1')
    const ranges = await writer.transact(tx =>
      tx.write([
        { topic: name, partition: 0, records: [record('2'), record('3')] },
        { topic: name, partition: 1, records: [record('4')] },
      ]),
    )
    await commit(writer, { topic: name, partition: 0 }, '5')
    expect(line.count(API.produce)).toBe(4)
    expect(ranges).toEqual([
      { topic: name, partition: 0, firstOffset: 2, lastOffset: 3 },
      { topic: name, partition: 1, firstOffset: 0, lastOffset: 0 },
    ])
    expect(await valuesOf(k, { topic: name, partition: 0 })).toEqual(['1', '2', '3', '5'])
    expect(await valuesOf(k, { topic: name, partition: 1 })).toEqual(['4'])
  })
})

describe('what the broker says while the transaction before is being finished', () => {
  const CONCURRENT_TRANSACTIONS = 51

  /** The first answers of the kind say so; the code is their last two bytes. */
  const busy = (apiKey: number, times: number) => (key: number, payload: Buffer, nth: number) => {
    if (key === apiKey && nth <= times) payload.writeInt16BE(CONCURRENT_TRANSACTIONS, payload.length - 2)
    return payload
  }

  test('partitions are added as soon as it may be', async () => {
    const line = await proxy()
    const k = kafka({ brokers: [line.address] })
    const place = { topic: await topic(kafka()), partition: 0 }
    const writer = await fencedWriter(k, unique('tx'))
    line.onAnswer = busy(API.addPartitions, 5)
    await commit(writer, place, '1')
    expect(line.count(API.addPartitions)).toBe(6)
    expect(await valuesOf(k, place)).toEqual(['1'])
  })

  test('group offsets too, where kafkajs gives up at the first', async () => {
    const line = await proxy()
    const name = await topic(kafka())
    const offsets = [{ topic: name, partition: 0, offset: 7 }]

    line.onAnswer = busy(API.addOffsets, 1)
    const producer = theirProducer(unique('tx'), line.address)
    await producer.connect()
    const theirs = await producer.transaction()
    await expect(
      theirs.sendOffsets({
        consumerGroupId: unique('group'),
        topics: [{ topic: name, partitions: [{ partition: 0, offset: '7' }] }],
      }),
    ).rejects.toThrow(/ongoing|concurrent/i)
    expect(line.count(API.addOffsets)).toBe(1)

    line.onAnswer = busy(API.addOffsets, 4)
    const writer = await fencedWriter(kafka({ brokers: [line.address] }), unique('tx'))
    await writer.transact(tx => tx.commitGroupOffsets(unique('group'), offsets))
    expect(line.count(API.addOffsets)).toBe(1 + 4)
  })
})

test('a broker that is not there is unreachable', async () => {
  const k = kafka({ brokers: ['127.0.0.1:1'] })
  await expect(k.openWriter({ transactionalId: 'x' }).fence()).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' })
  await expect(k.describe()).rejects.toMatchObject({ code: 'KAFKA_UNREACHABLE' })
})

describe('a broker that asks to be spared (a quota)', () => {
  /** The last four bytes of a Produce answer say for how long. */
  const throttled = (payload: Buffer, throttleMs: number) => {
    const copy = Buffer.from(payload)
    copy.writeInt32BE(throttleMs, copy.length - 4)
    return copy
  }

  test('gets nothing more until the time is over; the transaction in hand is committed all the same', async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    const begunAtMs: number[] = []
    line.onAnswer = (apiKey, payload, nth) => {
      if (apiKey === API.addPartitions) begunAtMs.push(Date.now())
      return apiKey === API.produce && nth === 1 ? throttled(payload, 1_500) : payload
    }
    const writer = await fencedWriter(kafka({ brokers: [line.address] }), unique('tx'))
    await commit(writer, place, 'first')
    const spared = Date.now()
    expect(await valuesOf(k, place)).toEqual(['first'])
    await commit(writer, place, 'second')
    // Nobody's reading waits for a transaction that waits for its quota.
    expect((begunAtMs[1] ?? 0) - spared).toBeGreaterThan(1_000)
    expect(await valuesOf(k, place)).toEqual(['first', 'second'])
  })

  test('for longer than a transaction may be open ends it with the cure, and the next writer of the id has more time', async () => {
    const line = await proxy()
    const k = kafka()
    const place = { topic: await topic(k), partition: 0 }
    line.onAnswer = (apiKey, payload) => (apiKey === API.produce ? throttled(payload, 60_000) : payload)
    const slow = kafka({ brokers: [line.address] })
    const id = unique('tx')
    const twice = async () => {
      const writer = await fencedWriter(slow, id)
      const running = writer.transact(async tx => {
        await tx.write([{ ...place, records: [record('one')] }])
        await tx.write([{ ...place, records: [record('two')] }])
      })
      return { writer, running }
    }
    await expect((await twice()).running).rejects.toMatchObject({
      code: 'KAFKA_ABORTED',
      message: expect.stringContaining('producer_byte_rate') as string,
    })
    // 120 s now: it waits for its turn, until it is closed.
    const produced = line.count(API.produce)
    const { writer, running } = await twice()
    const ended = running.catch((error: unknown) => String(error))
    await until(() => line.count(API.produce) === produced + 1)
    const waiting = new Promise(resolve => {
      setTimeout(() => resolve('waiting'), 1_000)
    })
    expect(await Promise.race([ended, waiting])).toBe('waiting')
    await writer.close()
    expect(await ended).toMatch(/^FlowError/)
    expect(await ended).not.toContain('producer_byte_rate')
    expect(await valuesOf(k, place)).toEqual([])
  })
})

test('a topic that takes less than before is read anew: the next transaction keeps to it', async () => {
  const k = kafka()
  const place = { topic: await topic(k), partition: 0 }
  const id = unique('tx')
  const limits = await k.maxMessageBytes([place.topic])
  const writer = await fencedWriter(k, id)
  await k.alterTopicSettings([{ topic: place.topic, settings: { 'max.message.bytes': '20000' } }])
  await until(async () => (await kafka().maxMessageBytes([place.topic])).get(place.topic) === 20_000)
  const values = Array.from({ length: 30 }, (_, n) => `${n}`.padEnd(1_000, '.'))
  await expect(commit(writer, place, ...values)).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
  await writer.close()
  await commit(await fencedWriter(k, id), place, ...values)
  expect(await valuesOf(k, place)).toEqual(values)
  expect(limits.get(place.topic)).toBe(20_000)
})

test('a broker that hangs for a while is asked again on a new connection: the transaction is committed, its records stand once', async () => {
  const line = await proxy()
  const k = kafka()
  const place = { topic: await topic(k), partition: 0 }
  const writer = await fencedWriter(kafka({ brokers: [line.address] }), unique('tx'))
  await writer.transact(async tx => {
    await tx.write([{ ...place, records: [record('one')] }])
    const connections = line.connections()
    line.freeze()
    const writing = tx.write([{ ...place, records: [record('two')] }])
    // It is given up after a deadline of its own, not after half a minute, and asked for on another connection.
    await until(() => line.connections() > connections)
    line.thaw()
    await writing
  })
  expect(await valuesOf(k, place)).toEqual(['one', 'two'])
}, 40_000)
