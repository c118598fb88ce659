/** A running installation moves from the transactional ids of earlier versions to those of this one: never two owners, killed wherever it may be. */
import { describe, expect, test } from 'vitest'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { cursorKey, hasMoved, isUntold } from '../../src/ingest/cursor.ts'
import { doorOf } from '../../src/ingest/door.ts'
import { asGiven } from '../../src/ingest/mask.ts'
import { restore, type RestoreParts } from '../../src/ingest/restore.ts'
import { partitionOf } from '../../src/kafka/partition.ts'
import type { Kafka, Writer } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { names, PARTITIONS } from './world.ts'

const NOON = Date.parse('2026-11-20T12:00:00Z')
const NEW = 'tiny/acme-tiny/sessions/acme'
const FORMER = 'tiny-acme-tiny-sessions-acme'
const name = { connector: 'acme-tiny', stream: 'sessions', scope: 'acme' }
const key = cursorKey(name)
const place = { topic: names.offsets, partition: partitionOf(key, PARTITIONS) }
const former = (untilMs: number) => JSON.stringify({ format: 1, 'live.until': new Date(untilMs).toISOString() })

type Store = ReturnType<typeof memoryKafka>

const partsOf = (kafka: Pick<Kafka, 'openWriter' | 'readToEnd'>): RestoreParts => ({
  kafka,
  to: { ...name, names, partitions: PARTITIONS, partitionOf, door: doorOf(asGiven) } as RestoreParts['to'],
  spec: {
    startAtMs: null,
    pollIntervalMs: 60_000,
    lagMs: 0,
    lookbackMs: 3_600_000,
    lookbackIntervalMs: 60_000,
    hotMs: 0,
    mostPerHour: Infinity,
    settles: false,
    keepsCursor: false,
    longestMs: 3_600_000,
    smallestMs: 1000,
    durableResume: true,
    inOrder: false,
    followMs: 0,
  },
  stream: {},
  config: {},
  decodeProgress: () => expect.fail('there is no Progress'),
  log: silentLog,
  formerTransactionalId: FORMER,
})

async function claim(kafka: Store, transactionalId: string): Promise<Writer> {
  const writer = kafka.openWriter({ transactionalId })
  await writer.fence()
  return writer
}

/** What a process of an earlier version does at each commit. */
const writeFormer = (writer: Writer, untilMs: number) =>
  writer.transact(tx => tx.write([{ ...place, records: [{ key: Buffer.from(key), value: Buffer.from(former(untilMs)) }] }]))

const newest = (kafka: Store) => String(kafka.committed(names.offsets).at(-1)?.value)
const start = async (kafka: Store, parts = partsOf(kafka)) => {
  await claim(kafka, NEW)
  return await restore(parts, NOON, new AbortController().signal)
}

describe('a source partition with a cursor of an earlier version', () => {
  test('fences the owner of the former id, goes on where that one stood last, and does it once', async () => {
    const kafka = memoryKafka()
    const old = await claim(kafka, FORMER)
    await writeFormer(old, NOON - 7_200_000)
    const { cursor, isNew } = await start(kafka)
    expect([cursor.live.atMs, isNew]).toEqual([NOON - 7_200_000, false])
    await expect(writeFormer(old, NOON)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    expect(hasMoved(newest(kafka))).toBe(true)

    // Somebody else of that name: an installation whose names give the same former id.
    const namesake = await claim(kafka, FORMER)
    await start(kafka)
    await namesake.transact(async () => {})
  })

  test('sees what the former owner committed between the first reading and its fencing', async () => {
    const kafka = memoryKafka()
    const old = await claim(kafka, FORMER)
    await writeFormer(old, NOON - 7_200_000)
    const { cursor } = await start(
      kafka,
      partsOf({
        ...kafka,
        openWriter: of => {
          const writer = kafka.openWriter(of)
          return {
            ...writer,
            fence: async () => {
              await writeFormer(old, NOON - 3_600_000)
              await writer.fence()
            },
          }
        },
      }),
    )
    expect(cursor.live.atMs).toBe(NOON - 3_600_000)
  })

  test('does not start where an earlier version claimed the former id meanwhile, which then does not start either after the next try', async () => {
    const kafka = memoryKafka()
    await writeFormer(await claim(kafka, FORMER), NOON - 7_200_000)
    let late: Writer | null = null
    const racing = partsOf({
      ...kafka,
      openWriter: of => {
        const writer = kafka.openWriter(of)
        return {
          ...writer,
          transact: async work => {
            late = await claim(kafka, FORMER)
            return await writer.transact(work)
          },
        }
      },
    })
    await expect(start(kafka, racing)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
    expect(hasMoved(newest(kafka)), 'the cursor is still the former one').toBe(false)
    await start(kafka)
    await expect(writeFormer(late as unknown as Writer, NOON)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  })

  test('killed before the cursor is written anew, all of it is done again', async () => {
    const kafka = memoryKafka()
    await writeFormer(await claim(kafka, FORMER), NOON - 7_200_000)
    kafka.nextCommits('aborted')
    await expect(start(kafka)).rejects.toMatchObject({ code: 'KAFKA_ABORTED' })
    const old = await claim(kafka, FORMER)
    const { cursor } = await start(kafka)
    expect(cursor.live.atMs).toBe(NOON - 7_200_000)
    await expect(writeFormer(old, NOON)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  })
})

test('a source partition without a cursor moves over, too, and stays new until its first Progress, also when killed between', async () => {
  const kafka = memoryKafka()
  const old = await claim(kafka, FORMER)
  expect((await start(kafka)).isNew).toBe(true)
  expect([hasMoved(newest(kafka)), isUntold(newest(kafka))]).toEqual([true, true])
  await expect(writeFormer(old, NOON)).rejects.toMatchObject({ code: 'KAFKA_FENCED' })
  expect((await start(kafka)).isNew).toBe(true)
})
