import { expect, test } from 'vitest'
import { type Clock, systemClock } from '../../src/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { encoderFor } from '../../src/kafka/codec.ts'
import type { Event } from '../../src/records.ts'
import { schemaText } from '../../src/schemas.ts'
import { createEventIndex, type EventIndexParts } from '../../src/serve/event-index.ts'
import { handClock } from '../support/clock.ts'
import { seeded, T } from './points.ts'

const HOUR = 3_600_000
const START = T('2026-11-01T00:00:00Z')
const schema = schemaText('event')
const encoder = encoderFor<Event>(schema, 7)

const eventOf = (of: Partial<Event> & { event_id: string }): Event => {
  const { session_id = null, vendor = 'acme-chat', account = 'acme' } = of
  return {
    event_key: `${vendor}:${account}:${of.event_id}`,
    session_key: session_id === null ? null : `${vendor}:${account}:${session_id}`,
    vendor,
    account,
    bot_id: 'b1',
    session_id,
    connector: 'c',
    revision: 1,
    observed_at: START,
    occurred_at: START,
    occurred_at_estimated: false,
    type: 'flow_transition',
    name: 'step',
    channel: 'web',
    language: null,
    user_id: null,
    attributes: {},
    ...of,
  }
}

/** A topic in memory, and indexes over it that note what they read. */
async function world() {
  let nowMs = START
  const kafka = memoryKafka(() => nowMs)
  const writer = kafka.openWriter({ transactionalId: 'w' })
  await writer.fence()
  const recordOf = (event: Event) => ({
    key: Buffer.from(event.session_key ?? event.event_key),
    value: Buffer.from(encoder.encode(event)),
  })
  const ranges: [from: number, until: number][] = []
  const index = (limits: EventIndexParts['limits'] = {}, of: Partial<EventIndexParts> & { clock?: Clock } = {}) =>
    createEventIndex({
      kafka: {
        ...kafka,
        readRange: (place, ...rest) => {
          ranges.push([place.from, place.until])
          return kafka.readRange(place, ...rest)
        },
      },
      registry: { schemaById: async () => schema },
      topic: 'events',
      partitions: 2,
      clock: handClock(START),
      limits,
      ...of,
    })
  const write = (events: readonly Event[], partition = 1) =>
    writer.transact(tx => tx.write([{ topic: 'events', partition, records: events.map(recordOf) }]))
  /** What was read since this was asked last. */
  const read = () => ranges.splice(0)
  return { kafka, index, write, recordOf, read, at: (ms: number) => (nowMs = ms) }
}

const NEVER = new AbortController().signal
const ask = (index: ReturnType<typeof createEventIndex>, wanted: readonly string[], fromMs = START, signal = NEVER) =>
  index.find({ partition: 1, fromMs, wanted }, signal)
const ids = async (...of: Parameters<typeof ask>) => {
  const found = await ask(...of)
  return 'refused' in found ? found.refused : found.map(({ event_id }) => event_id)
}

test('events of a session are found among others, in their order, the newest record of each', async () => {
  const { index, write } = await world()
  await write([
    eventOf({ event_id: 'e1', session_id: 's1' }),
    eventOf({ event_id: 'e2', session_id: 's2' }),
    eventOf({ event_id: 'e3', session_id: 's1' }),
  ])
  await write([
    eventOf({ event_id: 'e1', session_id: 's1', revision: 2, name: 'step, as it is now' }),
    eventOf({ event_id: 'e4' }),
  ])
  await write([eventOf({ event_id: 'elsewhere', session_id: 's1' })], 0)
  const all = index({ block: 2 })
  expect(await ask(all, ['acme-chat:acme:s1'])).toMatchObject([
    { event_id: 'e1', name: 'step, as it is now', session_key: 'acme-chat:acme:s1' },
    { event_id: 'e3' },
  ])
  expect(await ids(all, ['acme-chat:acme:s2'])).toEqual(['e2'])
  expect(await ids(all, ['acme-chat:acme:s9'])).toEqual([])
  expect(await ids(all, ['acme-chat:acme:e4'])).toEqual(['e4'])
})

test('events are found by the attribute that names a conversation, with a session or without', async () => {
  const { index, write } = await world()
  await write([
    eventOf({ event_id: 'e1', attributes: { conversation_id: 'c1' } }),
    eventOf({ event_id: 'e2', attributes: { conversation_id: 'c2' } }),
    eventOf({ event_id: 'e3', session_id: 's1', attributes: { conversation_id: 'c1' } }),
    eventOf({ event_id: 'e4', session_id: 's1', attributes: { other: 'conversation_id c1' } }),
  ])
  const both = index()
  // The first time they are read; the second time they are known.
  for (let time = 0; time < 2; time++) {
    expect(await ids(both, ['c1'])).toEqual(['e1', 'e3'])
    expect(await ids(both, ['c2', 'acme-chat:acme:s1'])).toEqual(['e2', 'e3', 'e4'])
  }
})

test('what was looked through once is read again only where there is something', async () => {
  const { index, write, read } = await world()
  for (let n = 0; n < 5; n++)
    await write(Array.from({ length: 9 }, (_, i) => eventOf({ event_id: `e${n}-${i}`, session_id: `s${n}` })))
  // Ten offsets a transaction: nine records and a marker.
  const all = index({ block: 10 })
  expect(await ids(all, ['acme-chat:acme:s3'])).toHaveLength(9)
  expect(read()).toEqual([0, 10, 20, 30, 40].map(from => [from, from + 10]))
  expect(await ids(all, ['acme-chat:acme:s1'])).toHaveLength(9)
  expect(read()).toEqual([[10, 20]])
  expect(await ids(all, ['acme-chat:acme:s8'])).toEqual([])
  expect(read()).toEqual([])
})

test('what has come since is found, and only that is read', async () => {
  const { index, write, read } = await world()
  await write([eventOf({ event_id: 'e1', session_id: 's1' })])
  const all = index()
  expect(await ids(all, ['acme-chat:acme:s1'])).toEqual(['e1'])
  await write([eventOf({ event_id: 'e2', session_id: 's1' }), eventOf({ event_id: 'e3', session_id: 's2' })])
  read()
  expect(await ids(all, ['acme-chat:acme:s2'])).toEqual(['e3'])
  expect(read()).toEqual([[2, 5]])
  expect(await ids(all, ['acme-chat:acme:s1'])).toEqual(['e1', 'e2'])
})

test('what was published more than an hour before the range is not looked at', async () => {
  const { index, write, read, at } = await world()
  for (const hour of [0, 1, 2, 3]) {
    at(START + hour * HOUR)
    await write([eventOf({ event_id: `e${hour}`, session_id: 's1' })])
  }
  expect(await ids(index({ block: 2 }), ['acme-chat:acme:s1'], START + 3 * HOUR)).toEqual(['e2', 'e3'])
  expect(read()[0]).toEqual([4, 6])
  expect(await ids(index(), ['acme-chat:acme:s1'], START + 9 * HOUR)).toEqual([])
})

test('a topic that has lost its end is looked through again', async () => {
  const { index, kafka, write } = await world()
  await write([eventOf({ event_id: 'e1', session_id: 's1' })])
  let isLost = false
  const one = index(
    {},
    {
      kafka: {
        ...kafka,
        readRange: (place, onRecord, signal) => kafka.readRange({ ...place, partition: isLost ? 0 : 1 }, onRecord, signal),
        watermarks: async ([place]) => [{ topic: 'events', partition: place?.partition ?? 0, low: 0, high: isLost ? 1 : 2 }],
      },
    },
  )
  expect(await ids(one, ['acme-chat:acme:s1'])).toEqual(['e1'])
  isLost = true
  await write([eventOf({ event_id: 'e2', session_id: 's2' })], 0)
  expect(await ids(one, ['acme-chat:acme:s2'])).toEqual(['e2'])
})

test('what does not fit the memory is forgotten, and read again', async () => {
  const { index, write, read } = await world()
  for (let n = 0; n < 20; n++)
    await write(Array.from({ length: 9 }, (_, i) => eventOf({ event_id: `e${n}-${i}`, session_id: `s${n}-${i}` })))
  const small = index({ block: 10, mostBytes: 1000 })
  expect(await ids(small, ['acme-chat:acme:s3-1'])).toEqual(['e3-1'])
  expect(small.bytes).toBeGreaterThan(0)
  expect(small.bytes).toBeLessThanOrEqual(1000)
  read()
  expect(await ids(small, ['acme-chat:acme:s3-2'])).toEqual(['e3-2'])
  expect(read()).toHaveLength(20)
})

test('too much to look through or to answer is refused by the name of the parameter', async () => {
  const { index, write } = await world()
  for (let n = 0; n < 5; n++) await write([eventOf({ event_id: `e${n}`, session_id: 's1' })])
  const refused = (message: RegExp) => expect.objectContaining({ code: 'QUERY_INVALID', message: expect.stringMatching(message) })
  await expect(ask(index({ block: 2, mostBlocks: 4 }), ['acme-chat:acme:s1'])).rejects.toEqual(
    refused(/start_time asks to look through more than 8 events that were published since/),
  )
  await expect(ask(index({ mostEvents: 4 }), ['acme-chat:acme:s1'])).rejects.toEqual(
    refused(/start_time asks for more than 4 events/),
  )
  expect(await ids(index({ block: 2, mostBlocks: 5, mostEvents: 5 }), ['acme-chat:acme:s1'])).toHaveLength(5)
})

test('a question that takes too long is refused, and the next one goes on from there', async () => {
  const { index, kafka, write } = await world()
  for (let n = 0; n < 6; n++) await write([eventOf({ event_id: `e${n}`, session_id: `s${n}` })])
  let slowFrom = 8
  const slow = index(
    { block: 2, longestMs: 100 },
    {
      clock: systemClock,
      kafka: {
        ...kafka,
        readRange: async (place, onRecord, signal) => {
          if (place.from >= slowFrom) await new Promise(resolve => signal?.addEventListener('abort', resolve))
          return kafka.readRange(place, onRecord, signal)
        },
      },
    },
  )
  expect(await ids(slow, ['acme-chat:acme:s5'])).toMatch(/^events are looked through, 4 of 6 blocks so far; ask again/)
  slowFrom = 10
  expect(await ids(slow, ['acme-chat:acme:s5'])).toMatch(/5 of 6 blocks so far/)
  slowFrom = Number.POSITIVE_INFINITY
  expect(await ids(slow, ['acme-chat:acme:s5'])).toEqual(['e5'])
})

test('one question is worked on at a time; who has gone is not worked for, and of too many some are refused', async () => {
  const { index, kafka, write } = await world()
  await write([eventOf({ event_id: 'e1', session_id: 's1' })])
  const gate = Promise.withResolvers<void>()
  let open = 0
  let most = 0
  const one = index(
    {},
    {
      kafka: {
        ...kafka,
        watermarks: async places => {
          most = Math.max(most, ++open)
          await gate.promise
          open -= 1
          return kafka.watermarks(places)
        },
      },
    },
  )
  const leaving = new AbortController()
  const asked = [
    ids(one, ['acme-chat:acme:s1']),
    ask(one, ['acme-chat:acme:s1'], START, leaving.signal).catch((error: unknown) => (error as { code: string }).code),
    ...Array.from({ length: 7 }, () => ids(one, ['acme-chat:acme:s1'])),
  ]
  leaving.abort()
  gate.resolve()
  const answers = await Promise.all(asked)
  expect(answers.slice(0, 2)).toEqual([['e1'], 'STOPPED'])
  expect(answers.slice(2, 8)).toEqual(Array.from({ length: 6 }, () => ['e1']))
  expect(answers[8]).toMatch(/too many conversations are looked for/)
  expect(most).toBe(1)
  expect(await ids(one, ['acme-chat:acme:s1'])).toEqual(['e1'])
})

test('what is in an open transaction is not there yet, and does not hold up the answer', async () => {
  const { index, kafka, write, recordOf } = await world()
  await write([eventOf({ event_id: 'e1', session_id: 's1' })])
  const other = kafka.openWriter({ transactionalId: 'other' })
  await other.fence()
  const end = Promise.withResolvers<void>()
  const written = Promise.withResolvers<void>()
  const running = other.transact(async tx => {
    await tx.write([{ topic: 'events', partition: 1, records: [recordOf(eventOf({ event_id: 'e2', session_id: 's1' }))] }])
    written.resolve()
    await end.promise
  })
  await written.promise
  await write([eventOf({ event_id: 'e3', session_id: 's1' })])
  const all = index()
  expect(await ids(all, ['acme-chat:acme:s1'])).toEqual(['e1'])
  end.resolve()
  await running
  expect(await ids(all, ['acme-chat:acme:s1'])).toEqual(['e1', 'e2', 'e3'])
})

test.each([1, 2, 3, 4])('random events, questions and memories: as a plain search, also by two servers (seed %i)', async seed => {
  const { index, write, at } = await world()
  const random = seeded(seed)
  const int = (most: number) => Math.floor(random() * most)
  const written: { event: Event; atMs: number }[] = []
  const servers = [index({ block: 1 + int(20) }), index({ block: 1 + int(20), mostBytes: 500 + int(3000) })]
  let nowMs = START
  for (let turn = 0; turn < 30; turn++) {
    nowMs += int(HOUR)
    at(nowMs)
    const events = Array.from({ length: 1 + int(12) }, () =>
      eventOf({
        event_id: `e${int(60)}`,
        ...(random() < 0.7 ? { session_id: `s${int(8)}` } : {}),
        ...(random() < 0.4 ? { attributes: { conversation_id: `c${int(4)}` } } : {}),
        name: `${written.length}`,
      }),
    )
    await write(events)
    written.push(...events.map(event => ({ event, atMs: nowMs })))
    const fromMs = START + int(nowMs - START + HOUR)
    const wanted = random() < 0.5 ? [`acme-chat:acme:s${int(9)}`] : [`c${int(5)}`, `acme-chat:acme:s${int(9)}`]
    const server = servers[int(2)] as (typeof servers)[number]
    const isWanted = ({ session_key, attributes }: Event) =>
      wanted.includes(session_key ?? '') || wanted.includes(attributes['conversation_id'] ?? '')
    const found = await ask(server, wanted, fromMs)
    const names = 'refused' in found ? [] : found.filter(event => isWanted(event as Event)).map(({ name }) => name)
    const newest = new Map<string, string>()
    // Blocks begin earlier: more may be found of what was published before.
    const due = written.filter(({ event }) => isWanted(event))
    for (const { event } of due) newest.set(event.event_key, event.name)
    const must = due.filter(({ atMs }) => atMs >= fromMs - HOUR).map(({ event }) => newest.get(event.event_key) ?? '')
    expect([...new Set(must)].filter(name => !names.includes(name))).toEqual([])
    expect(names.filter(name => ![...newest.values()].includes(name))).toEqual([])
  }
})
