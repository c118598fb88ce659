/** Dead letters that the current mapping can map are published once and closed; the others stay. */
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { type MemoryKafka, memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { memoryRegistry } from '../../src/conformance/topics.ts'
import { redrive } from '../../src/ingest/redrive.ts'
import { isWanted, readDeadLetters } from '../../src/ingest/rejects.ts'
import { silentLog } from '../../src/log.ts'
import type { BaseConfig } from '../../src/source/config.ts'
import { type Connector, defineConnector, message, session } from '../../src/source/index.ts'
import { parsePiiRules } from '../../src/source/pii.ts'
import { handClock } from '../support/clock.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { base, names, PARTITIONS, startLife, topicsOf } from './world.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOON = Date.parse('2026-11-20T12:00:00Z')

/** What the connector takes for a number of stars: its author first thought of words only. */
type Version = 'first' | 'mended'

function connectorOf(rows: readonly unknown[], version: { now: Version }): Connector {
  return defineConnector({
    manifest: { ...TINY_MANIFEST, pii: { standard: [], row: { persons: ['user'], texts: ['say'], plain: ['id', 'at'] } } },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 6 * HOUR, lookbackIntervalMs: 10 * MINUTE, durableResume: true },
        row: z.unknown(),
        async *read() {
          yield { rows, resume: null }
        },
        identify: row => (row as { id: string }).id,
        normalise: (given, ctx) => {
          const row = z
            .object({
              id: z.string(),
              user: z.string().default('u'),
              stars: version.now === 'first' ? z.enum(['good', 'bad']) : z.union([z.string(), z.number()]),
              say: z.string().default('hello'),
            })
            .parse(given)
          const of = ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' })
          return [
            session(of, { startedAt: NOON - HOUR, userId: row.user, outcome: String(row.stars) }),
            message(of, { messageId: 'm', sentAt: NOON - HOUR, text: row.say }),
          ]
        },
      },
    },
  })
}

function placeOf(rows: unknown[], more: Partial<BaseConfig> = {}) {
  const version: { now: Version } = { now: 'first' }
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka: MemoryKafka = memoryKafka()
  const connector = connectorOf(rows, version)
  const own = { ...base, startAtMs: NOON - 2 * HOUR, ...more }
  const controller = new AbortController()
  const letters = () => readDeadLetters(kafka, names.rejects, PARTITIONS, controller.signal)
  const maxBytes = new Map<string, number>()
  return {
    version,
    kafka,
    /** `max.message.bytes` of topics, by name. */
    maxBytes,
    letters,
    /** Until the lookback is read again. */
    wait: () => clock.sleep(HOUR),
    run: async () => {
      const life = startLife({ kafka, connector, clock, base: own, maxBytes: new Map(maxBytes) })
      onTestFinished(() => life.stop())
      await clock.sleep(3 * MINUTE)
      await life.stop()
    },
    redrive: async (name = 'acme-tiny', found?: Awaited<ReturnType<typeof letters>>) => {
      const options = {
        kafka: { ...kafka, maxMessageBytes: async () => maxBytes } as never,
        registry: memoryRegistry,
        names,
        partitions: PARTITIONS,
        connectors: [{ name, connector, base: own, config: {} }],
        clock,
        log: silentLog,
        signal: controller.signal,
      }
      return await Array.fromAsync(redrive(found ?? (await letters()), options))
    },
  }
}

test('a row that the mended connector maps is published once and listed no more, however often it is driven', async () => {
  const place = placeOf([{ id: 'a', stars: 'good' }, { id: 'b', stars: 5 }, { id: 'c' }])
  await place.run()
  expect((await place.letters()).map(({ key, reason }) => [key, reason])).toEqual([
    ['b', 'ROW_UNMAPPABLE'],
    ['c', 'ROW_UNMAPPABLE'],
  ])
  place.version.now = 'mended'
  const outcomes = await place.redrive()
  expect(outcomes.map(({ outcome }) => outcome)).toEqual(['mapped', 'rejected'])
  expect((await place.letters()).map(({ key }) => key)).toEqual(['c'])
  expect(await place.redrive()).toMatchObject([{ outcome: 'rejected' }])
  await place.run()
  const { sessions, messages } = await topicsOf(place.kafka)
  expect(sessions.map(({ value }) => [value.session_id, value.revision])).toEqual([
    ['a', 1],
    ['b', 1],
  ])
  expect(messages).toHaveLength(2)
})

test('rows and closings are one transaction: killed before its end, nothing is done, and then all is done once', async () => {
  const place = placeOf([{ id: 'b', stars: 5 }])
  await place.run()
  place.version.now = 'mended'
  place.kafka.nextCommits('aborted')
  await expect(place.redrive()).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
  expect((await topicsOf(place.kafka)).sessions).toHaveLength(0)
  expect(await place.letters()).toHaveLength(1)
  place.kafka.nextCommits('lost')
  await expect(place.redrive()).rejects.toMatchObject({ code: 'KAFKA_OUTCOME_UNKNOWN' })
  expect(await place.redrive()).toEqual([])
  expect((await topicsOf(place.kafka)).sessions).toHaveLength(1)
})

test('what another redrive has closed meanwhile is not driven again', async () => {
  const place = placeOf([{ id: 'b', stars: 5 }])
  await place.run()
  place.version.now = 'mended'
  const found = await place.letters()
  expect(await place.redrive('acme-tiny', found)).toHaveLength(1)
  expect(await place.redrive('acme-tiny', found)).toEqual([])
})

test('the last transaction says that the source partition is free', async () => {
  const place = placeOf([{ id: 'c' }])
  await place.run()
  await place.redrive()
  const last = (await topicsOf(place.kafka)).offsets.at(-1)
  expect(JSON.parse(String(last?.value))).toMatchObject({ worker: 'redrive', released: true })
})

test('a record that its topic takes by now is published, and not before: the row beside it was all the time', async () => {
  const place = placeOf([{ id: 'a', stars: 'good', say: 'x'.repeat(6000) }])
  place.maxBytes.set(names.messages, 5000)
  await place.run()
  expect((await place.letters()).map(({ reason }) => reason)).toEqual(['RECORD_TOO_LARGE'])
  expect(await place.redrive()).toMatchObject([{ outcome: 'rejected', reason: 'RECORD_TOO_LARGE' }])
  expect(await place.letters()).toHaveLength(1)
  place.maxBytes.set(names.messages, 50_000)
  expect(await place.redrive()).toMatchObject([{ outcome: 'mapped' }])
  expect(await place.letters()).toEqual([])
  const { sessions, messages } = await topicsOf(place.kafka)
  expect(sessions.map(({ value }) => value.revision)).toEqual([1])
  expect(messages.map(({ value }) => [value.text?.length, value.revision])).toEqual([[6000, 1]])
})

test('what the vendor has shown since is not replaced by what a dead letter says of the past', async () => {
  const rows: unknown[] = [{ id: 'b', stars: 5, say: 'old' }]
  const place = placeOf(rows)
  await place.run()
  rows[0] = { id: 'b', stars: 'good', say: 'new' }
  await place.wait()
  await place.run()
  place.version.now = 'mended'
  expect(await place.redrive()).toMatchObject([{ outcome: 'mapped' }])
  expect(await place.letters()).toEqual([])
  const { sessions, messages } = await topicsOf(place.kafka)
  expect(sessions.map(({ value }) => value.outcome)).toEqual(['good'])
  expect(messages.map(({ value }) => value.text)).toEqual(['new'])
})

test.each(['together', 'one by one', 'the newer one first'])(
  'of two dead letters of a row the newer one stays, driven %s',
  async how => {
    const rows: unknown[] = [{ id: 'b', stars: 4 }]
    const place = placeOf(rows)
    await place.run()
    rows[0] = { id: 'b', stars: 5 }
    await place.wait()
    await place.run()
    place.version.now = 'mended'
    const letters = await place.letters()
    expect(letters).toHaveLength(2)
    if (how === 'together') await place.redrive()
    else for (const letter of how === 'one by one' ? letters : letters.toReversed()) await place.redrive('acme-tiny', [letter])
    expect(await place.letters()).toEqual([])
    expect((await topicsOf(place.kafka)).sessions.at(-1)?.value.outcome).toBe('5')
  },
)

test('a record that fits by now is published without what its row said then', async () => {
  const rows: unknown[] = [{ id: 'a', stars: 'good', say: 'x'.repeat(6000) }]
  const place = placeOf(rows)
  place.maxBytes.set(names.messages, 5000)
  await place.run()
  rows[0] = { id: 'a', stars: 'bad', say: 'x'.repeat(6000) }
  await place.wait()
  await place.run()
  place.maxBytes.set(names.messages, 50_000)
  expect(await place.redrive()).toMatchObject([{ outcome: 'mapped' }])
  const { sessions, messages } = await topicsOf(place.kafka)
  expect(sessions.map(({ value }) => value.outcome)).toEqual(['good', 'bad'])
  expect(messages).toHaveLength(1)
})

test('a row of a connector that the config lacks is told so and stays', async () => {
  const place = placeOf([{ id: 'c' }])
  await place.run()
  expect(await place.redrive('another')).toMatchObject([{ outcome: 'impossible' }])
  expect(await place.letters()).toHaveLength(1)
})

test('a row that is masked on the topic is mapped as it was, because it is sealed there too', async () => {
  const pii = { rules: parsePiiRules(['*.user_id=hash', 'message.text=mask']).rules, key: 'a key' }
  const place = placeOf([{ id: 'b', user: 'Anamarca', stars: 5, say: 'mail ana@mail.example' }], { pii })
  await place.run()
  const bytes = place.kafka
    .committed(names.rejects)
    .map(({ key, value, headers }) => [key, value, ...Object.values(headers)].join(' '))
  expect(bytes.join(' ')).not.toMatch(/Anamarca|ana@/)
  place.version.now = 'mended'
  expect(await place.redrive()).toMatchObject([{ outcome: 'mapped' }])
  const { sessions, messages } = await topicsOf(place.kafka)
  expect(sessions[0]?.value.user_id).toMatch(/^[0-9a-f]{32}$/)
  expect(messages[0]?.value.text).toBe('mail [email]')
})

test('dead letters are chosen by connector, stream and reason', async () => {
  const place = placeOf([{ id: 'c' }])
  await place.run()
  const [letter] = await place.letters()
  if (letter === undefined) throw new Error('no letter')
  expect(isWanted(letter, {})).toBe(true)
  expect(isWanted(letter, { connector: 'acme-tiny', stream: 'sessions', reason: 'ROW_UNMAPPABLE' })).toBe(true)
  for (const other of [{ connector: 'x' }, { stream: 'x' }, { reason: 'ROW_INVALID' }])
    expect(isWanted(letter, other)).toBe(false)
})
