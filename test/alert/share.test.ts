import { deflateRawSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { createJudge, type Judge, type JudgeOptions } from '../../src/alert/judge.ts'
import { claimShares, type ShareParts } from '../../src/alert/share.ts'
import { systemClock } from '../../src/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { topicNames } from '../../src/topics.ts'
import { at, live, MINUTE_MS, world } from './world.ts'

const names = topicNames('share')
const signal = new AbortController().signal
const minutes = world([{ bot: 'shop', channel: 'web', sessions: 6 }], 3)
const BOT = JSON.stringify(['acme', 'main', 'shop'])

function surroundings(metadata: Readonly<Record<string, string>> = {}) {
  const memory = memoryKafka()
  const kafka = {
    ...memory,
    groupOffsets: async () =>
      Object.entries(metadata).map(([topic, words]) => ({ topic, partition: 0, offset: 1, metadata: words })),
  } as unknown as Kafka
  const given: JudgeOptions[] = []
  const parts: ShareParts = {
    kafka,
    registry: { schemaById: async () => '' },
    names,
    partitions: 1,
    groupId: 'g',
    rules: [DEFAULT_RULE],
    zoneOf: () => 'UTC',
    createJudge(options): Judge {
      given.push(options)
      return createJudge(options)
    },
    encoder: { encode: () => Buffer.alloc(0) } as Partial<ShareParts['encoder']> as ShareParts['encoder'],
    log: silentLog,
    clock: systemClock,
  }
  const claim = async () => {
    const [share] = await claimShares(parts, [0], signal)
    if (share === undefined) throw new Error('no share')
    return { share, options: given.at(-1) as JudgeOptions }
  }
  const records = async () => {
    const keys: string[] = []
    await memory.readToEnd({ topic: names.alertState, partition: 0 }, ({ key }) => keys.push(key?.toString() ?? ''))
    return keys
  }
  return { claim, records }
}

test('what a share has written is what its next owner begins with, and only what changed is written again', async () => {
  const { claim, records } = surroundings()
  const first = await claim()
  expect(first.share.taken).toBeNull()
  live(first.share.judge, minutes, at(0), at(2))
  await first.share.publish([], { series: 7, progress: 3, taken: [7] })
  const written = await records()
  await first.share.publish([], { series: 7, progress: 3, taken: [7] })
  expect(await records()).toEqual(written)
  await first.share.close()

  const second = await claim()
  expect(second.share.taken).toEqual([7])
  expect(second.options.from).toEqual({ [BOT]: at(2) })
  const kinds = new Set(
    [...(second.options.memory ?? new Map<string, string>()).keys()].map(key => (JSON.parse(key) as string[])[0]),
  )
  expect(kinds).toEqual(new Set(['read', 'delays', 'dispersion']))
  for (const minute of minutes) if (minute.bucket_start < at(2)) second.share.judge.put(minute)
  for (const _ of second.share.judge.resuming());
  await second.share.publish([], { series: 7, progress: 3, taken: [7] })
  expect(await records()).toEqual(written)
})

test('what earlier versions left in the metadata of offsets is carried over to the topic, once', async () => {
  const marks = `1${deflateRawSync(JSON.stringify([[at(1) / MINUTE_MS, BOT]])).toString('base64url')}`
  const { claim, records } = surroundings({ [names.series]: marks, [names.progress]: '' })
  const first = await claim()
  expect(first.options.from).toEqual({ [BOT]: at(1) })
  await first.share.publish([], { series: 1, progress: 1, taken: [1] })
  expect(await records()).toEqual(['["judged","acme","main"]', '["taken"]'])
  await first.share.close()
  expect((await claim()).options.from).toEqual({ [BOT]: at(1) })
})
