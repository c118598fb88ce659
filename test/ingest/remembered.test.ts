/** What is remembered of rows of any size, and rows that are too much for keys and topics: nothing is cut, published twice, or in the way. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { type Connector, defineConnector, message, type Page, session } from '../../src/source/index.ts'
import { handClock } from '../support/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { TINY_MANIFEST } from './tiny.ts'
import { names, startLife, topicsOf } from './world.ts'

const HOUR = 3_600_000
const NOON = Date.parse('2026-11-20T12:00:00Z')

const Row = z.object({
  id: z.string(),
  bot: z.string().default('bot'),
  session: z.string().nullable().default(null),
  language: z.string().nullable().default(null),
  outcome: z.string().nullable().default(null),
  messages: z.array(z.string()).default([]),
  extra: z.unknown().optional(),
})
type Given = z.input<typeof Row>

function connectorOf(rows: () => readonly Given[]): Connector {
  return defineConnector({
    manifest: TINY_MANIFEST,
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'http://127.0.0.1:9' }),
    streams: {
      sessions: {
        window: { longestMs: 24 * HOUR, lagMs: 0, lookbackMs: 6 * HOUR, lookbackIntervalMs: 600_000, durableResume: true },
        row: Row,
        async *read(): AsyncGenerator<Page> {
          yield { rows: rows(), resume: null }
        },
        identify: row => row.id,
        fingerprint: ({ extra, messages, ...row }) =>
          JSON.stringify([row, messages.length, typeof extra === 'string' ? extra : null]),
        normalise: (row, ctx) => {
          const of = ctx.session({ botId: row.bot, sessionId: row.session ?? row.id, channel: 'web', language: row.language })
          return [
            session(of, { startedAt: '2026-11-20T11:00:00Z', outcome: row.outcome }),
            ...row.messages.map(id => message(of, { messageId: id, sentAt: '2026-11-20T11:00:00Z' })),
          ]
        },
      },
    },
  })
}

function placeOf(limits?: ReadonlyMap<string, number>) {
  let maxBytes = limits
  const clock = handClock(NOON, { autoAdvance: { quietMs: 2 } })
  const kafka = memoryKafka()
  let rows: readonly Given[] = []
  const connector = connectorOf(() => rows)
  return {
    kafka,
    clock,
    /** A life of an hour that is shown the rows. */
    async show(...given: Given[]) {
      rows = given
      const life = startLife({ kafka, connector, clock, base: { startAtMs: NOON - HOUR }, ...(maxBytes ? { maxBytes } : {}) })
      onTestFinished(() => life.stop())
      await clock.sleep(HOUR)
      await life.stop()
      return life
    },
    /** Of lives from now on. */
    limit(limits: ReadonlyMap<string, number>) {
      maxBytes = limits
    },
    topics: () => topicsOf(kafka),
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `m${index}`)
const bytesOf = (records: readonly { key: Buffer | null; value: Buffer | null }[]) =>
  records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
const header = (record: { headers: Readonly<Record<string, Buffer>> } | undefined, name: string) => String(record?.headers[name])

describe('a session with 60,000 messages', () => {
  test('publishes each once, over changes and restarts, and writes again only what changed of what is remembered', {
    timeout: 90_000,
  }, async () => {
    const place = placeOf()
    await place.show({ id: 'a', messages: numbered(60_000) })
    const first = (await place.topics()).versions
    expect(bytesOf(first), 'all of it is remembered').toBeGreaterThan(600_000)
    await place.show({ id: 'a', messages: numbered(60_001) })
    await place.show({ id: 'a', messages: numbered(60_002), outcome: 'good' })
    const { sessions, messages, versions } = await place.topics()
    expect(sessions.map(({ value }) => value.revision)).toEqual([1, 2])
    expect(messages).toHaveLength(60_002)
    expect(new Set(messages.map(({ key, value }) => key + value.message_key)).size).toBe(60_002)
    expect(bytesOf(versions.slice(first.length))).toBeLessThan(30_000)
  })

  test('also where a record of the versions topic takes 2 kB', async () => {
    const place = placeOf(new Map([[names.versions, 2048]]))
    await place.show({ id: 'a', messages: numbered(5000) })
    await place.show({ id: 'a', messages: ['new', ...numbered(5000)] })
    const { messages, versions } = await place.topics()
    expect(messages).toHaveLength(5001)
    for (const { key, value } of versions) expect((key?.length ?? 0) + (value?.length ?? 0)).toBeLessThan(2048 - 256)
  })

  test('all its parts are written anew before the topic deletes the oldest of them', async () => {
    const place = placeOf()
    await place.show({ id: 'a', messages: numbered(2000) })
    const parts = async () => (await place.topics()).versions.filter(({ key }) => String(key).endsWith(',0]')).length
    expect(await parts()).toBe(1)
    for (let day = 0; day < 4; day++) {
      await place.clock.advance(24 * HOUR - HOUR)
      await place.show({ id: 'a', messages: numbered(2001 + day) })
    }
    expect(await parts()).toBe(2)
    expect((await place.topics()).messages).toHaveLength(2004)
  })

  test('where parts are gone from the topic, what they spoke of does not begin at revision 1 again', async () => {
    const place = placeOf()
    await place.show({ id: 'a', messages: numbered(2000) })
    const part = (await place.topics()).versions.find(({ key }) => String(key).endsWith(',1]'))
    const writer = place.kafka.openWriter({ transactionalId: 'somebody' })
    await writer.fence()
    await writer.transact(tx =>
      tx.write([{ topic: names.versions, partition: part?.partition ?? 0, records: [{ key: part?.key ?? null, value: null }] }]),
    )
    await place.show({ id: 'a', messages: numbered(2001) })
    const { messages } = await place.topics()
    const later = messages.slice(2000).map(({ value }) => value.revision)
    expect(later).toHaveLength(501)
    expect(Math.min(...later)).toBeGreaterThan(1_700_000_000)
    await place.show({ id: 'a', messages: numbered(2001), outcome: 'x' })
    expect((await place.topics()).messages, 'and then all is remembered again').toHaveLength(2501)
  })

  test('parts that are no more are taken away', async () => {
    const place = placeOf(new Map([[names.versions, 2048]]))
    await place.show({ id: 'a', messages: numbered(400) })
    const standing = async () => {
      const newest = new Map((await place.topics()).versions.map(({ key, value }) => [String(key), value]))
      return [...newest.values()].filter(value => value !== null).length
    }
    expect(await standing()).toBeGreaterThan(3)
    place.limit(new Map())
    await place.show({ id: 'a', messages: numbered(401) })
    expect(await standing()).toBe(1)
    await place.show({ id: 'a', messages: numbered(402) })
    expect((await place.topics()).messages).toHaveLength(402)
  })
})

describe('a session record', () => {
  test('is published again only when it says something new', async () => {
    const place = placeOf()
    await place.show({ id: 'a' })
    await place.show({ id: 'a', extra: 'not in the record' })
    await place.show({ id: 'a', messages: ['m'], outcome: 'good' })
    await place.show({ id: 'a', messages: ['m', 'n'], outcome: 'good' })
    const { sessions, messages } = await place.topics()
    expect(sessions.map(({ value }) => [value.revision, value.outcome])).toEqual([
      [1, null],
      [2, 'good'],
    ])
    expect(messages.map(({ value }) => value.revision)).toEqual([1, 1])
  })
})

describe('the language of a session', () => {
  test('in another spelling is nothing new', async () => {
    const place = placeOf()
    await place.show({ id: 'a', language: 'es-CO', messages: ['m'] })
    await place.show({ id: 'a', language: 'es_co', messages: ['m'] })
    await place.show({ id: 'a', language: 'es_MX', messages: ['m'] })
    const { sessions, messages } = await place.topics()
    const said = [
      [1, 'es-CO'],
      [2, 'es-MX'],
    ]
    expect(sessions.map(({ value }) => [value.revision, value.language])).toEqual(said)
    expect(messages.map(({ value }) => [value.revision, value.language])).toEqual(said)
  })

  test('as a version wrote it that did not normalise it stays until the row changes', async () => {
    const place = placeOf()
    await place.show({ id: 'a', language: 'es_CO', messages: ['m'] })
    await forgeContents(place.kafka)
    await place.show({ id: 'a', language: 'es_CO', messages: ['m'] })
    expect((await place.topics()).sessions, 'nothing is published for the sake of the spelling').toHaveLength(1)
    await place.show({ id: 'a', language: 'es_CO', messages: ['m'], outcome: 'good' })
    const { sessions, messages } = await place.topics()
    expect(sessions.map(({ value }) => [value.revision, value.language, value.outcome])).toEqual([
      [1, 'es-CO', null],
      [2, 'es-CO', 'good'],
    ])
    expect(messages.map(({ value }) => value.revision)).toEqual([1, 2])
  })

  /** What is remembered of the rows, as if their records had said something else. */
  async function forgeContents(kafka: ReturnType<typeof memoryKafka>): Promise<void> {
    const { versions } = await topicsOf(kafka)
    const writer = kafka.openWriter({ transactionalId: 'somebody' })
    await writer.fence()
    for (const { key, value, partition } of versions) {
      if (value === null) continue
      const forged = Buffer.from(value)
      // The items come last: 6 bytes of a key and 4 of a content each.
      for (let at = forged.length - 4; at >= forged.length - 20; at -= 10) forged.writeUInt32BE(4_711, at)
      await writer.transact(tx => tx.write([{ topic: names.versions, partition, records: [{ key, value: forged }] }]))
    }
    await writer.close()
  }
})

describe('whatever a row holds, the rows beside it are published', () => {
  const long = (bytes: number) => 'é'.repeat(bytes / 2)
  const deep = () => JSON.parse(`${'['.repeat(6000)}${']'.repeat(6000)}`) as unknown

  test.each<[what: string, row: Given, path: string]>([
    ['a row id of 1.1 MB', { id: long(1_100_000) }, 'id'],
    ['a row id of 1,026 bytes', { id: long(1026) }, 'id'],
    ['a bot id of 70,000 bytes', { id: 'x', bot: long(70_000) }, 'bot_id'],
    ['a session id of 100 kB', { id: 'x', session: long(100_000) }, 'session_id'],
    ['a message id of 2 MB', { id: 'x', messages: ['fine', long(2_000_000)] }, 'message_id'],
  ])('%s is a reject with its path', async (_what, row, path) => {
    const place = placeOf()
    const life = await place.show({ id: 'before' }, row, { id: 'after' })
    await place.show({ id: 'before' }, row, { id: 'after' })
    const { sessions, rejects } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id)).toEqual(['before', 'after'])
    expect(rejects).toHaveLength(1)
    expect(header(rejects[0], '__colloquy.reason')).toBe('ROW_UNMAPPABLE')
    expect(header(rejects[0], '__colloquy.path')).toBe(path)
    expect(rejects[0]?.key?.length ?? 0).toBeLessThanOrEqual(1024)
    expect(life.health.states()).toMatchObject([{ error: null }])
  })

  test('ids of 1,024 bytes are as good as any', async () => {
    const place = placeOf()
    await place.show({ id: long(1024), bot: long(1024), messages: [long(1024)] })
    const { sessions, messages } = await place.topics()
    expect([sessions.length, messages.length]).toEqual([1, 1])
  })

  test('a long language is no language, and kept beside', async () => {
    const place = placeOf()
    await place.show({ id: 'a', language: long(5000) })
    const { sessions } = await place.topics()
    expect(sessions.map(({ value }) => [value.language, value.attributes['language_raw']?.length])).toEqual([[null, 2500]])
  })

  test.each([1024, 1500, 3000, 10_000])('topics that take %i bytes a record hold up nothing', async limit => {
    const place = placeOf(new Map([names.sessions, names.messages, names.rejects, names.versions].map(topic => [topic, limit])))
    await place.show(
      { id: 'a' },
      { id: 'b', outcome: 'x'.repeat(20_000) },
      { id: long(1000), messages: ['m'] },
      { id: 'c', extra: 'y'.repeat(20_000), messages: numbered(700) },
    )
    const { sessions, messages, rejects, versions } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id).filter(id => id.length === 1)).toEqual(['a', 'c'])
    expect(messages.filter(({ value }) => value.session_id === 'c')).toHaveLength(700)
    expect(rejects.map(reject => header(reject, '__colloquy.reason'))).toContain('RECORD_TOO_LARGE')
    for (const { key, value, headers } of [...rejects, ...versions]) {
      const words = Object.entries(headers).reduce((sum, [name, text]) => sum + name.length + text.length, 0)
      expect((key?.length ?? 0) + (value?.length ?? 0) + words).toBeLessThan(limit - limit / 8)
    }
  })

  test('a row that is nested deeper than the stack is no worse a reject', async () => {
    const place = placeOf()
    await place.show({ id: 'a' }, { id: long(2000), extra: deep() }, { id: 'b' })
    const { sessions } = await place.topics()
    expect(sessions.map(({ value }) => value.session_id)).toEqual(['a', 'b'])
  })
})

test('a row that a listing without times goes on showing is published once, and so is its reject, over lives longer than the lookback', async () => {
  const place = placeOf()
  const row = { id: 'old', messages: ['m1'] }
  const broken = { id: 'broken', messages: 7 } as unknown as Given
  for (let life = 0; life < 10; life++) await place.show(row, broken)
  const topics = await place.topics()
  expect(topics.sessions).toHaveLength(1)
  expect(topics.messages).toHaveLength(1)
  expect(topics.rejects).toHaveLength(1)
})
