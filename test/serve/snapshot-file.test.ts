/** A store that was written to a file and read back is the store that it was: random histories with late revisions, roll-ups and nulls before and after. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MEASURES } from '../../src/records.ts'
import { BUCKETS } from '../../src/serve/buckets.ts'
import { answerQuery } from '../../src/serve/query.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { entryWords, NO_SKETCH, SKETCHES } from '../../src/serve/sketch-pool.ts'
import { readSnapshot, type SnapshotHead, Unusable, writeSnapshot } from '../../src/serve/snapshot-file.ts'
import { createStore, type SeriesStore } from '../../src/serve/store.ts'
import { finish } from '../../src/slices.ts'
import { nothingRead, point, seeded, T } from './points.ts'
import { DAY, HOUR, MINUTE, SeriesTopic, type TopicRecord } from './topic.ts'

const BEGIN = T('2026-10-20T00:00:00Z')
const BOTS = ['a', 'b@1h', 'c']
const head: SnapshotHead = { cluster: 'c', topic: 't', topicId: 'id', takenMs: 1, partitions: [{ low: 0, next: 7 }] }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapshot-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const take = (store: SeriesStore, { seriesKey, start, bucket, point: made }: TopicRecord) => {
  if (made === null) store.remove(seriesKey, start, bucket)
  else store.put(made)
}

/** Ten days of records, many of them late, with withdrawals and roll-ups. */
function recordsOf(seed: number): TopicRecord[] {
  const random = seeded(seed)
  const int = (below: number) => Math.floor(random() * below)
  const topic = new SeriesTopic(BOTS, { minutes: 2, hours: 4, days: 7 }, BEGIN + 1.5 * DAY)
  for (let now = BEGIN; now < BEGIN + 10 * DAY; now += int(80) * MINUTE) {
    const late = random() < 0.75 ? int(HOUR) : int(9 * DAY)
    const durationMs = random() < 0.3 ? null : int(900_000)
    topic.add({ bot: BOTS[int(3)] ?? 'a', at: now - late, user: int(30), durationMs, events: int(400) }, now)
    const all = random() < 0.2 ? [...topic.counted] : []
    const gone = all[int(all.length)]
    if (gone !== undefined) topic.withdraw(gone, now)
    if (random() < 0.15) for (const { bot, day } of topic.due(now)) if (random() < 0.6) topic.roll(bot, day)
  }
  return topic.records
}

/** Every cell with its revision, its values and the words of its sketches. */
function contentOf(store: SeriesStore): unknown {
  const series = finish(store.freeze()).map(({ key, labels, tiers }) => ({
    key,
    labels,
    tiers: tiers.map(tier =>
      tier.flatMap(chunk => {
        const { number, slots, revisions, columns, sketches } = chunk.parts()
        return [...slots].map((slot, at) => [
          number,
          slot,
          revisions[at],
          columns.map(column => column?.[at] ?? 0),
          sketches.map((sketch, i) => {
            const place = sketch?.places[at] ?? NO_SKETCH
            if (sketch === null || place === NO_SKETCH) return null
            const length = entryWords(SKETCHES[i] as 'users_sketch', sketch.words[place] as number)
            return [...sketch.words.subarray(place, place + 1 + length)]
          }),
        ])
      }),
    ),
  }))
  return series.sort((a, b) => (a.key < b.key ? -1 : 1))
}

const ASKED = ['sessions', 'events', 'duration_avg_ms', 'users', 'duration_p90_ms'].join(',')
const answersOf = (store: SeriesStore) =>
  BUCKETS.filter(bucket => bucket !== '1m').map(bucket =>
    finish(
      answerQuery(
        parseQuery(
          { measure: ASKED, bucket, from: '2026-10-18', until: '2026-10-31', group_by: 'bot_id', tz: 'Asia/Kathmandu' },
          BEGIN,
        ),
        store,
        nothingRead,
      ),
    ),
  )

async function copyOf(store: SeriesStore): Promise<SeriesStore> {
  const path = join(folder, 'copy')
  await writeSnapshot(path, head, finish(store.freeze()))
  const copy = createStore()
  copy.adopt((await readSnapshot(path, () => {})).series)
  return copy
}

test.each([1, 2, 3, 4])('history %i: read back at any moment, it is the same, and stays so with all that follows', async seed => {
  const random = seeded(seed * 17)
  const records = recordsOf(seed)
  const nulls = records.filter(each => each.point === null).length
  expect([nulls > 100, records.length - nulls > 500]).toEqual([true, true])
  const store = createStore()
  const copies: SeriesStore[] = []
  for (const [at, record] of records.entries()) {
    take(store, record)
    for (const copy of copies) take(copy, record)
    if (random() > 6 / records.length && at !== records.length - 1) continue
    const copy = await copyOf(store)
    expect(contentOf(copy)).toEqual(contentOf(store))
    expect([copy.cells, copy.series.length]).toEqual([store.cells, store.series.length])
    copies.push(copy)
    // One that was read from a file is written as any other.
    if (random() < 0.5) copies[0] = await copyOf(copies[0] ?? copy)
  }
  expect(copies.length).toBeGreaterThan(1)
  for (const copy of copies) {
    expect(contentOf(copy)).toEqual(contentOf(store))
    expect(answersOf(copy)).toEqual(answersOf(store))
  }
})

test('what comes while it is written is not in it, and is in the store', async () => {
  const records = recordsOf(9)
  const half = Math.floor(records.length / 2)
  const store = createStore()
  for (const record of records.slice(0, half)) take(store, record)
  const then = contentOf(store)
  const writing = writeSnapshot(join(folder, 'one'), head, finish(store.freeze()))
  for (const [at, record] of records.slice(half).entries()) {
    take(store, record)
    if (at % 50 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await writing
  const copy = createStore()
  copy.adopt((await readSnapshot(join(folder, 'one'), () => {})).series)
  expect(contentOf(copy)).toEqual(then)
  for (const record of records.slice(half)) take(copy, record)
  expect(contentOf(copy)).toEqual(contentOf(store))
})

test('values of every width, labels of any text, and an empty store', async () => {
  const store = createStore()
  expect(contentOf(await copyOf(store))).toEqual([])
  for (const [at, value] of [0, 1, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, -3].entries()) {
    store.put(
      point({ at: BEGIN + at * MINUTE, bot_id: 'ñ|"\n🙂', language: '', duration_ms: value, sessions: at, revision: 2 ** at }),
    )
  }
  const copy = await copyOf(store)
  expect(contentOf(copy)).toEqual(contentOf(store))
  expect(copy.series[0]?.labels).toEqual(store.series[0]?.labels)
  expect(copy.put(point({ at: BEGIN, bot_id: 'ñ|"\n🙂', language: '', sessions: 4 })), 'the revision is known').toBe(false)
})

test('a chunk that was read and one that goes on do not write into each other', async () => {
  const store = createStore()
  const make = (at: number, revision: number) => point({ at: BEGIN + at * MINUTE, revision, sessions: revision, events: 900 })
  for (let at = 0; at < 50; at++) store.put(make(at, 1))
  const path = join(folder, 'one')
  await writeSnapshot(path, head, finish(store.freeze()))
  const [first, second] = [createStore(), createStore()]
  const { series } = await readSnapshot(path, () => {})
  first.adopt(series)
  second.adopt((await readSnapshot(path, () => {})).series)
  for (let at = 0; at < 80; at++) first.put(make(at, 2))
  expect(contentOf(second)).toEqual(contentOf(store))
})

describe('a file that is not whole', () => {
  async function aFile(): Promise<{ path: string; bytes: Buffer }> {
    const store = createStore()
    for (const record of recordsOf(5).slice(0, 400)) take(store, record)
    const path = join(folder, 'damaged')
    await writeSnapshot(path, head, finish(store.freeze()))
    return { path, bytes: await readFile(path) }
  }
  const reading = async (path: string, bytes: Uint8Array) => {
    await writeFile(path, bytes)
    return readSnapshot(path, () => {})
  }

  test('is refused with any byte changed', async () => {
    const { path, bytes } = await aFile()
    await expect(reading(path, bytes)).resolves.toMatchObject({ head, bytes: bytes.length })
    const random = seeded(3)
    // All of the beginning and of the end, and some of what lies between.
    const places = [...Array(64).keys(), ...Array.from({ length: 32 }, (_, n) => bytes.length - 1 - n)]
    for (let n = 0; n < 400; n++) places.push(Math.floor(random() * bytes.length))
    for (const place of places) {
      const changed = Buffer.from(bytes)
      changed[place] = (changed[place] as number) ^ (1 + Math.floor(random() * 255))
      await expect(reading(path, changed), `byte ${place}`).rejects.toThrow(Unusable)
    }
  })

  test('is refused at any length, and with something behind it', async () => {
    const { path, bytes } = await aFile()
    const random = seeded(4)
    const lengths = [0, 1, 15, 16, 31, 32, bytes.length - 1, bytes.length - 16, bytes.length - 17]
    for (let n = 0; n < 200; n++) lengths.push(Math.floor(random() * bytes.length))
    for (const length of lengths)
      await expect(reading(path, bytes.subarray(0, length)), `${length} bytes`).rejects.toThrow(Unusable)
    await expect(reading(path, Buffer.concat([bytes, bytes.subarray(0, 16)]))).rejects.toThrow(Unusable)
    await expect(reading(path, Buffer.concat([bytes, Buffer.alloc(8)]))).rejects.toThrow(Unusable)
  })

  test('is refused where blocks were lost or put in for others', async () => {
    const { path, bytes } = await aFile()
    const ends = bytes.length - 16
    const first = 16 + 16 + bytes.readUInt32LE(20)
    await expect(reading(path, Buffer.concat([bytes.subarray(0, 16), bytes.subarray(first)])), 'no head').rejects.toThrow(
      Unusable,
    )
    const twice = Buffer.concat([bytes.subarray(0, first), bytes.subarray(16, first), bytes.subarray(ends)])
    await expect(reading(path, twice), 'a head for a series').rejects.toThrow(Unusable)
  })

  test('leaves nothing behind, and the one before as it was, when it cannot be written', async () => {
    const { path, bytes } = await aFile()
    const store = createStore()
    store.put(point({ at: BEGIN, sessions: 1 }))
    const frozen = finish(store.freeze())
    const failing = [...frozen, { ...frozen[0], tiers: null }] as unknown as typeof frozen
    await expect(writeSnapshot(path, head, failing)).rejects.toThrow(TypeError)
    expect([await readdir(folder), await readFile(path)]).toEqual([['damaged'], bytes])
  })
})

test('a file of another version says so', async () => {
  const path = join(folder, 'one')
  await writeSnapshot(path, head, [])
  const bytes = await readFile(path)
  const text = bytes.toString('latin1')
  expect(text).toContain('"format":1,')
  for (const [from, to] of [
    ['"format":1,', '"format":2,'],
    [`"${MEASURES[0]}"`, `"${MEASURES[0]?.replace(/./, '_')}"`],
  ] as const) {
    const other = Buffer.from(text.replace(from, to), 'latin1')
    const { crc32 } = await import('node:zlib')
    const length = other.readUInt32LE(20)
    other.writeUInt32LE(crc32(other.subarray(32, 32 + length), crc32(other.subarray(16, 24))), 24)
    await writeFile(path, other)
    await expect(readSnapshot(path, () => {})).rejects.toThrow(/another version of Colloquy/)
  }
})
