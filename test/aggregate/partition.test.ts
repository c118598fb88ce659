/** The life of a partition number when Kafka or the registry fails: what was not committed is published again, and nothing is restored. */
import { access, writeFile } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { NO_BUDGET } from '../../src/aggregate/budget.ts'
import { type Checkpoints, createCheckpoints } from '../../src/aggregate/checkpoint.ts'
import { createCounting } from '../../src/aggregate/decode.ts'
import { openOwner } from '../../src/aggregate/claim.ts'
import { type PartitionParts, workPartition } from '../../src/aggregate/partition.ts'
import { POINT_FIELDS, type RestoredPoint } from '../../src/aggregate/state.ts'
import { systemClock } from '../../src/clock.ts'
import { memoryKafka } from '../../src/conformance/memory-kafka.ts'
import { FlowError } from '../../src/errors.ts'
import { decoderFor, encoderFor } from '../../src/kafka/codec.ts'
import type { Kafka, Writer } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { readPointKey } from '../../src/point-key.ts'
import type { SeriesPoint } from '../../src/records.ts'
import { narrowSchema } from '../../src/schemas.ts'
import { createWatermarks } from '../../src/watermark.ts'
import { type Folder, folder, OWNER } from './checkpoint-history.ts'
import { feed, registry } from './inputs.ts'
import { makeMessage, type Random, random } from './make.ts'
import { compared, createSeriesReader } from './series-reader.ts'
import { DAY_MS, decoder, event, expectedOf, names, pointSchema, session, SHORT, type Step, tick } from './world.ts'

type Fault = 'lost' | 'aborted' | 'registry' | 'overtaken'

const ending: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ending.splice(0)) await end()
})

const NOW = Date.now()

function start(checkpoints: Checkpoints | null = null, kafka = memoryKafka(Date.now)) {
  const faults: Fault[] = []
  const restores: number[] = []
  const whyNots: string[] = []
  const counts: Record<string, number> = {}
  /** How much later it is than by the clock of the brokers. */
  const passed = { ms: 0 }
  let seriesReads = 0
  let seriesFrom = -1

  async function overtake(): Promise<void> {
    const last = kafka.committed(names.aggregateOffsets).at(-1)
    const other = kafka.openWriter({ transactionalId: 'other' })
    await other.fence()
    await other.transact(async tx => {
      await tx.write([
        { topic: names.aggregateOffsets, partition: 0, records: [{ key: last?.key ?? null, value: last?.value ?? null }] },
      ])
    })
  }

  const faulty = {
    ...kafka,
    tail: (...[places, options]: Parameters<Kafka['tail']>) => {
      const series = places.find(({ topic }) => topic === names.series)
      if (series !== undefined) {
        seriesReads++
        seriesFrom = series.offset
      }
      return kafka.tail(places, options)
    },
    openWriter: (options: Parameters<Kafka['openWriter']>[0]): Writer => {
      const writer = kafka.openWriter(options)
      let isSpent = false
      return {
        ...writer,
        transact: async work => {
          if (isSpent) throw new FlowError('KAFKA_ABORTED')
          const fault = faults[0] === 'registry' ? undefined : faults.shift()
          isSpent = fault !== undefined
          if (fault === 'overtaken') await overtake()
          const result = await writer.transact(async tx => {
            const made = await work(tx)
            if (fault === 'aborted') throw new FlowError('KAFKA_ABORTED')
            return made
          })
          if (fault === 'lost') throw new FlowError('KAFKA_OUTCOME_UNKNOWN')
          return result
        },
      }
    },
  } as unknown as Kafka
  const counting = createCounting(registry, names, silentLog)
  const parts: PartitionParts = {
    kafka: faulty,
    names,
    groupId: 'g',
    points: decoderFor<RestoredPoint>(registry, narrowSchema(pointSchema, POINT_FIELDS)),
    counting: {
      ...counting,
      apply: async (chunk, state, onClaim) => {
        const half = chunk.records.length >> 1
        if (faults[0] !== 'registry' || half === 0) return counting.apply(chunk, state, onClaim)
        faults.shift()
        await counting.apply({ ...chunk, records: chunk.records.slice(0, half) }, state, onClaim)
        throw new FlowError('REGISTRY_UNREACHABLE')
      },
    },
    checkpoints,
    checkpointRecords: 400_000,
    budgetOf: () => NO_BUDGET,
    keeps: { retention: SHORT, seriesRetentionMs: Infinity, rememberMs: Infinity, includeTest: false },
    log: silentLog,
    fencedWaitMs: 10,
    clock: { now: () => Date.now() + passed.ms, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal) },
    encoder: encoderFor<SeriesPoint>(pointSchema, 1),
    progress: { watermarksOf: async () => ({ marks: createWatermarks(() => true), release: () => {} }) } as never,
    metrics: {
      records: (topic, n) => void (counts[topic] = (counts[topic] ?? 0) + n),
      lag() {},
      restoreSeconds: seconds => void restores.push(seconds),
      firstSeen: (kind, _, __, n) => void (counts[kind] = (counts[kind] ?? 0) + n),
    },
    maxRecords: 100,
    rollUpCells: 200,
    lingerMs: 2,
  }
  const stop = new AbortController()
  const done = workPartition(parts, 0, stop.signal, whyNot => {
    const why = whyNot()
    if (why !== null) whyNots.push(why)
  })
  ending.push(async () => {
    stop.abort()
    await done
  })

  return {
    kafka,
    faults,
    restores,
    whyNots,
    counts,
    passed,
    get seriesReads() {
      return seriesReads
    },
    /** Offset of the series topic from which the state was restored last. */
    get seriesFrom() {
      return seriesFrom
    },
    async stop(): Promise<void> {
      stop.abort()
      await done
    },
    /** Until all of the topics has been counted, and rolled up. */
    async caughtUp(): Promise<void> {
      const inputs = () => {
        const last = kafka.committed(names.aggregateOffsets).at(-1)?.value ?? null
        return (last === null ? {} : JSON.parse(String(last)).inputs) as Record<string, number>
      }
      const ends = async () =>
        (await kafka.watermarks([names.sessions, names.messages, names.events].map(topic => ({ topic, partition: 0 })))).filter(
          ({ topic, high }) => (inputs()[topic] ?? 0) < high,
        )
      await expect.poll(ends, { timeout: 15_000, interval: 5 }).toEqual([])
    },
    async shown(steps: readonly Step[], fromMs = 0) {
      const records = kafka.committed(names.series)
      await decoder.prepare(records.map(({ value }) => value))
      const reader = createSeriesReader()
      for (const { key, value } of records) reader.apply(String(key), value && decoder.decode(value))
      return { ...compared(reader, expectedOf(steps), fromMs), disagreements: reader.disagreements() }
    },
  }
}

function step(r: Random, n: number): Step {
  const atMs = NOW - (r.chance(0.5) ? r.int(DAY_MS) : r.int(9 * DAY_MS))
  if (n % 3 === 0) return event(`${n}`, atMs)
  if (n % 3 === 1) return session(`s${r.int(30)}`, n, atMs, { user_id: `u${r.int(5)}`, observed_at: NOW })
  const record = {
    ...makeMessage(r, `${n}`, atMs, 1),
    channel: 'web' as const,
    language: 'en',
    bot_id: 'bot-0',
    observed_at: NOW,
  }
  return { kind: 'message', record }
}

const batchOf = (r: Random, from: number) => [...Array.from({ length: 30 }, (_, i) => step(r, from + i)), tick(NOW + from)]

describe('a transaction that fails costs its batch and no more', () => {
  test.each([
    ['it was committed, and nobody said so', 'lost'],
    ['it was aborted', 'aborted'],
    ['the registry was away in the middle of the batch', 'registry'],
  ] as const)('when %s', async (_, fault) => {
    const h = start()
    const r = random(1)
    const steps: Step[] = []
    for (const [i, at] of [null, fault, null].entries()) {
      const batch = batchOf(r, i * 100)
      steps.push(...batch)
      if (at !== null) h.faults.push(at)
      await feed(h.kafka, batch)
      await h.caughtUp()
    }
    expect(h.faults).toEqual([])
    const { shown, should, disagreements } = await h.shown(steps)
    expect([shown, disagreements]).toEqual([should, []])
    expect([h.restores.length, h.seriesReads]).toEqual([1, 0])
    expect(h.whyNots.at(-1)).toMatch(/^failed: /)
    const of = (kind: Step['kind']) => steps.filter(each => each.kind === kind).length
    expect(h.counts).toMatchObject({
      [names.sessions]: of('session'),
      [names.messages]: of('message'),
      [names.events]: of('event'),
    })
  })

  test.each([1, 2, 3])('again and again, in the middle of roll-ups too (seed %i)', async seed => {
    const h = start()
    const r = random(seed)
    const steps: Step[] = []
    for (let i = 0; i < 12; i++) {
      const batch = batchOf(r, i * 100)
      steps.push(...batch)
      for (let n = r.int(4); n > 0; n--) h.faults.push(r.pick(['lost', 'aborted', 'registry']))
      await feed(h.kafka, batch)
      if (r.chance(0.6)) await h.caughtUp()
    }
    h.faults.length = 0
    await h.caughtUp()
    const { shown, should, disagreements } = await h.shown(steps)
    expect([shown, disagreements]).toEqual([should, []])
    expect([h.restores.length, h.seriesReads]).toEqual([1, 0])
  })

  test('but when somebody else has written since, all of the state is read again', async () => {
    const h = start()
    const r = random(1)
    const batches = [batchOf(r, 0), batchOf(r, 100)]
    await feed(h.kafka, batches[0] ?? [])
    await h.caughtUp()
    h.faults.push('overtaken')
    await feed(h.kafka, batches[1] ?? [])
    await expect.poll(() => h.restores.length, { timeout: 10_000 }).toBe(2)
    await h.caughtUp()
    const { shown, should } = await h.shown(batches.flat())
    expect(shown).toEqual(should)
    expect(h.seriesReads).toBe(1)
  })

  test('but when the last commit was 20 hours ago, all of the state is read again: withdrawals may be gone from their topic', async () => {
    const h = start()
    const r = random(1)
    const batches = [batchOf(r, 0), batchOf(r, 100)]
    await feed(h.kafka, batches[0] ?? [])
    await h.caughtUp()
    h.passed.ms = 21 * 3_600_000
    h.faults.push('aborted')
    await feed(h.kafka, batches[1] ?? [])
    await expect.poll(() => h.restores.length, { timeout: 10_000 }).toBe(2)
    await h.caughtUp()
    const { shown, should } = await h.shown(batches.flat())
    expect(shown).toEqual(should)
  })

  test('and who was fenced meanwhile reads all of it again when it has the number again', async () => {
    const h = start()
    const r = random(1)
    const batches = [batchOf(r, 0), batchOf(r, 100)]
    await feed(h.kafka, batches[0] ?? [])
    await h.caughtUp()
    const other = openOwner({ kafka: h.kafka as unknown as Kafka, names, groupId: 'g' }, 0)
    await other.fence()
    await feed(h.kafka, batches[1] ?? [])
    await expect.poll(() => h.restores.length, { timeout: 10_000 }).toBe(2)
    await h.caughtUp()
    const { shown, should } = await h.shown(batches.flat())
    expect(shown).toEqual(should)
  })
})

test('days that are due are rolled up while nothing comes in', async () => {
  const h = start()
  const r = random(5)
  const steps = Array.from({ length: 200 }, (_, n) => event(`${n}`, NOW - r.int(9 * DAY_MS)))
  // The oldest first, so that all of it comes in as minutes; then time goes on.
  steps.sort((a, b) => (a.kind === 'event' && b.kind === 'event' ? a.record.occurred_at - b.record.occurred_at : 0))
  await feed(h.kafka, [...steps, tick(NOW)])
  await h.caughtUp()
  await feed(h.kafka, [event('again', NOW)])
  const horizon = Math.floor((NOW - SHORT.minutesMs) / DAY_MS) * DAY_MS
  const left = () => {
    return [...h.kafka.newest(names.series)].filter(([key, { value }]) => {
      const parts = readPointKey(key)
      return value !== null && parts?.bucket === '1m' && parts.startMs < horizon
    }).length
  }
  await expect.poll(left, { timeout: 15_000 }).toBe(0)
})

describe('with a folder', () => {
  const folders: Folder[] = []
  afterEach(async () => {
    for (const each of folders.splice(0)) await each.remove()
  })
  const opened = async (): Promise<{ of: Folder; checkpoints: Checkpoints }> => {
    const of = await folder()
    folders.push(of)
    const checkpoint = await of.checkpoint()
    return { of, checkpoints: { of: () => checkpoint } }
  }

  test('who was stopped and is started again has read what came later, and nothing before that', async () => {
    const { of, checkpoints } = await opened()
    const r = random(1)
    const batches = [batchOf(r, 0), batchOf(r, 100), batchOf(r, 200)]
    const first = start(checkpoints)
    await feed(first.kafka, batches[0] ?? [])
    await first.caughtUp()
    await first.stop()
    const end = first.kafka.committed(names.series).at(-1)?.offset ?? -1
    // Without a folder, and so not written to it.
    const other = start(null, first.kafka)
    await feed(first.kafka, batches[1] ?? [])
    await other.caughtUp()
    await other.stop()
    of.said()
    const again = start(checkpoints, first.kafka)
    await feed(first.kafka, batches[2] ?? [])
    await again.caughtUp()
    expect([again.seriesFrom, of.said()]).toEqual([end + 1, []])
    const { shown, should, disagreements } = await again.shown(batches.flat())
    expect([shown, disagreements]).toEqual([should, []])
  })

  test('what was not committed when it was stopped is not in the file', async () => {
    const { checkpoints } = await opened()
    const r = random(2)
    const batches = [batchOf(r, 0), batchOf(r, 100)]
    const first = start(checkpoints)
    await feed(first.kafka, batches[0] ?? [])
    await first.caughtUp()
    // A batch is cut short, and no transaction succeeds any more; then it is stopped.
    first.faults.push('registry', ...Array.from({ length: 10_000 }, () => 'aborted' as const))
    await feed(first.kafka, batches[1] ?? [])
    await expect.poll(() => first.whyNots.filter(why => why.startsWith('failed')).length, { timeout: 10_000 }).toBeGreaterThan(1)
    await first.stop()
    const again = start(checkpoints, first.kafka)
    await again.caughtUp()
    const { shown, should, disagreements } = await again.shown(batches.flat())
    expect([shown, disagreements]).toEqual([should, []])
  })

  test('what is new is written within the hour, also when nothing comes in any more', async () => {
    const { of, checkpoints } = await opened()
    const h = start(checkpoints)
    await feed(h.kafka, batchOf(random(3), 0))
    await h.caughtUp()
    await expect(access(of.file)).rejects.toThrow('ENOENT')
    h.passed.ms = 3_700_000
    await expect
      .poll(
        () =>
          access(of.file).then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true)
    await h.stop()
  })

  test('that nobody can write to, it counts on', async () => {
    const { of } = await opened()
    await writeFile(`${of.path}/file`, '')
    const checkpoints = await createCheckpoints(`${of.path}/file`, OWNER, systemClock, silentLog)
    const batch = batchOf(random(4), 0)
    const first = start(checkpoints)
    await feed(first.kafka, batch)
    await first.caughtUp()
    await first.stop()
    const again = start(checkpoints, first.kafka)
    const more = batchOf(random(4), 100)
    await feed(first.kafka, more)
    await again.caughtUp()
    const { shown, should } = await again.shown([...batch, ...more])
    expect([shown, again.seriesFrom]).toEqual([should, 0])
  })
})
