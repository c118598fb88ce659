/** The Kafka room on three brokers that are reached by TLS and with a log-in. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { startBotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import type { Kafka, KafkaOptions, TopicPartition } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { createWorld } from '../../src/sim/index.ts'
import { topicNames } from '../../src/topics.ts'
import { closing, commit, fencedWriter, kafka, record, textOf, topic, unique, until, valuesOf } from '../kafka/fixture.ts'
import { setProducerQuota } from '../kill/admin.ts'
import { makeCertificates } from '../kill/certificates.ts'
import { type Broker, type Cluster, startCluster } from '../kill/cluster.ts'
import { expectedOf } from '../support/botmaker-truth.ts'
import { configFile, start } from '../support/product.ts'

const DAY_MS = 86_400_000
const MECHANISMS = ['scram-sha-512', 'scram-sha-256', 'plain'] as const

let cluster: Cluster
let ca: string
let foreignCa: string

beforeAll(async () => {
  cluster = await startCluster({
    env: process.env,
    registry: inject('stack').registry,
    say: line => process.stderr.write(`${line}\n`),
  })
  ca = readFileSync(cluster.config.ssl.ca, 'utf8')
  foreignCa = (await makeCertificates()).ca
}, 300_000)

afterAll(() => cluster.stop())

type Mechanism = (typeof MECHANISMS)[number]

function login(mechanism: Mechanism = 'scram-sha-512') {
  const found = cluster.logins.find(each => each.mechanism === mechanism)
  if (found === undefined) throw new Error(`no log-in with ${mechanism}`)
  return found
}

/** A client of the cluster, as its users configure it. */
function connected(options: Partial<KafkaOptions> = {}): Kafka {
  return kafka({ brokers: cluster.config.brokers, ssl: { ca }, sasl: login(), ...options })
}

describe('TLS and a log-in', () => {
  test.each(MECHANISMS)('by %s carry topics, writer, readers and group', async mechanism => {
    const k = connected({ sasl: login(mechanism) })
    expect((await k.describe()).brokers).toBe(3)
    const name = await topic(k, 2)
    expect(await k.partitionCount(name)).toBe(2)
    const place = { topic: name, partition: 1 }
    const writer = await fencedWriter(k, unique('tx'))
    await commit(writer, place, 'one', 'two')
    const group = unique('group')
    await writer.transact(tx => tx.commitGroupOffsets(group, [{ ...place, offset: 7 }]))
    expect(await valuesOf(k, place)).toEqual(['one', 'two'])
    expect(await k.watermarks([place])).toEqual([{ ...place, low: 0, high: 3 }])
    const stop = new AbortController()
    const tailed: string[] = []
    for await (const chunks of k.tail([{ ...place, offset: 0 }], { signal: stop.signal, maxWaitMs: 50 })) {
      tailed.push(...chunks.flatMap(chunk => chunk.records.map(textOf)))
      if (tailed.length === 2) stop.abort()
    }
    expect(tailed).toEqual(['one', 'two'])
    const assigned = Promise.withResolvers<readonly number[]>()
    const member = await k.joinGroup({
      groupId: group,
      topics: [name],
      onAssigned: async numbers => assigned.resolve(numbers),
      onRevoked: async () => {},
      onLost: assigned.reject,
    })
    expect(await assigned.promise).toEqual([0, 1])
    await member.leave()
    await until(async () => (await k.groupOffsets(group, [name])).some(({ offset }) => offset === 7))
    await k.ping({ topics: [name], timeoutMs: 5_000 })
  })

  /** Everything that the room can be asked for, so that none of it waits in vain. */
  const EVERYTHING: readonly [string, (k: Kafka) => Promise<unknown>][] = [
    ['describe', k => k.describe()],
    ['topics', k => topic(k)],
    ['watermarks', k => k.watermarks([{ topic: 'any', partition: 0 }])],
    ['offsets at a time', k => k.offsetsAt([{ topic: 'any', partition: 0 }], 1)],
    ['read to the end', k => k.readToEnd({ topic: 'any', partition: 0 }, () => {})],
    ['claim', k => fencedWriter(k, unique('tx'))],
    [
      'join',
      k =>
        k.joinGroup({ groupId: 'any', topics: ['any'], onAssigned: async () => {}, onRevoked: async () => {}, onLost: () => {} }),
    ],
  ]

  const failures = async (k: Kafka) =>
    await Promise.all(EVERYTHING.map(async ([what, ask]) => [what, await ask(k).catch((error: unknown) => error)] as const))

  test.each(MECHANISMS)(
    'with a wrong password (%s) are refused with place and cure, and without the password',
    async mechanism => {
      const sasl = { ...login(mechanism), password: 'not-the-password' }
      for (const [what, error] of await failures(connected({ sasl }))) {
        expect(error, what).toMatchObject({
          code: 'KAFKA_REFUSED',
          details: { path: 'kafka.sasl', hint: expect.stringMatching(/login|authentication/i) as string },
        })
        expect(String(error), what).not.toContain('not-the-password')
      }
    },
  )

  test('with a mechanism that the brokers do not take are refused at the same place', async () => {
    const sasl = { mechanism: 'oauthbearer' as const, token: async () => 'some-token' }
    for (const [what, error] of await failures(connected({ sasl })))
      expect(error, what).toMatchObject({ code: 'KAFKA_REFUSED', details: { path: 'kafka.sasl' } })
  })

  test.each<[string, () => KafkaOptions['ssl']]>([
    ["another's CA", () => ({ ca: foreignCa })],
    ['no CA at all', () => true],
  ])('with %s trust nobody, and say which key of the config does', async (_what, ssl) => {
    for (const [what, error] of await failures(connected({ ssl: ssl() ?? true }))) {
      expect(error, what).toMatchObject({
        code: 'KAFKA_UNREACHABLE',
        details: { path: 'kafka.ssl.ca', hint: expect.stringMatching(/certificate/) as string },
      })
    }
  })

  test('where the client comes without TLS, or without a log-in, end in an error and not in silence', async () => {
    const { sasl: _, ...noLogin } = { brokers: cluster.config.brokers, ssl: { ca }, sasl: login() }
    for (const k of [connected({ ssl: false }), kafka(noLogin)]) {
      await expect(k.describe()).rejects.toMatchObject({ code: expect.stringMatching(/KAFKA_(UNREACHABLE|REFUSED)/) as string })
    }
  }, 60_000)
})

/** Writes 0, 1, 2 … to all of the partitions, a transaction for each, as a worker does: after a failure with a new writer, from what is there. */
function startWriting(k: Kafka, name: string, partitions: number) {
  const transactionalId = unique('tx')
  const committedAtMs: number[] = []
  const codes: string[] = []
  const stopping = new AbortController()
  const first = { topic: name, partition: 0 }
  const done = (async () => {
    while (!stopping.signal.aborted) {
      const writer = k.openWriter({ transactionalId })
      try {
        await writer.fence()
        let next = (await valuesOf(k, first)).length
        while (!stopping.signal.aborted) {
          const value = String(next++)
          await writer.transact(tx =>
            tx.write(
              Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition, records: [record('k', value)] })),
            ),
          )
          committedAtMs.push(Date.now())
          await new Promise(resolve => {
            setTimeout(resolve, 50)
          })
        }
      } catch (error) {
        codes.push((error as { code: string }).code)
      } finally {
        await writer.close()
      }
    }
  })()
  return {
    committedAtMs,
    /** Why writers had to be opened anew. */
    codes,
    stop: async () => {
      stopping.abort()
      await done
    },
  }
}

/** Tails all of the partitions. */
function startTailing(k: Kafka, name: string, partitions: number) {
  const values = Array.from({ length: partitions }, () => [] as string[])
  const seenAtMs = Array.from({ length: partitions }, () => [] as number[])
  const stop = new AbortController()
  const done = (async () => {
    const places = values.map((_, partition): TopicPartition & { offset: number } => ({ topic: name, partition, offset: 0 }))
    for await (const chunks of k.tail(places, { signal: stop.signal })) {
      for (const { partition, records } of chunks) {
        values[partition]?.push(...records.map(textOf))
        if (records.length > 0) seenAtMs[partition]?.push(Date.now())
      }
    }
  })()
  return {
    values,
    seenAtMs,
    stop: async () => {
      stop.abort()
      await done
    },
  }
}

function longestPause(timesMs: readonly number[]): number {
  return Math.max(...timesMs.slice(1).map((time, index) => time - (timesMs[index] ?? time)))
}

/** All replicas of the topics are in sync, those of the transactions included. */
async function inSync(k: Kafka, names: readonly string[]): Promise<boolean> {
  const { createAdmin } = await import('../../src/kafka/kafkajs.ts')
  const admin = createAdmin({ brokers: cluster.config.brokers, clientId: 'test', ssl: { ca }, sasl: login(), log: silentLog })
  try {
    await admin.connect()
    const { topics } = await admin.fetchTopicMetadata({ topics: [...names] })
    return topics.every(each => each.partitions.every(({ isr }) => isr.length === 3)) && (await k.describe()).brokers === 3
  } catch {
    return false
  } finally {
    await admin.disconnect()
  }
}

test('while one of the three brokers hangs, whichever it is, writing and reading go on, and nothing is lost or comes twice', async () => {
  const k = connected()
  const partitions = 6
  const name = await topic(k, partitions)
  const writing = startWriting(k, name, partitions)
  const tailing = startTailing(connected(), name, partitions)
  closing({
    close: async () => {
      await Promise.all([writing.stop(), tailing.stop()])
    },
  })
  const pauses: Record<string, number>[] = []
  for (const broker of cluster.brokers) {
    await until(() => inSync(k, [name, '__transaction_state']))
    await until(() => writing.committedAtMs.length > 0 && tailing.seenAtMs.every(times => times.length > 0))
    const from = { written: writing.committedAtMs.length - 1, seen: tailing.seenAtMs.map(times => times.length - 1) }
    const frozenAtMs = Date.now()
    freezing(broker)
    // Each partition has been written and read after the freeze, beyond what was under way.
    await until(
      () =>
        (writing.committedAtMs[from.written + 20] ?? 0) > frozenAtMs &&
        tailing.seenAtMs.every((times, partition) => (times[(from.seen[partition] ?? 0) + 20] ?? 0) > frozenAtMs),
    )
    broker.thaw()
    pauses.push({
      broker: broker.id,
      writing: longestPause(writing.committedAtMs.slice(from.written)),
      reading: Math.max(...tailing.seenAtMs.map((times, partition) => longestPause(times.slice(from.seen[partition])))),
    })
  }
  await writing.stop()
  const committed = writing.committedAtMs.length
  const sizes = () => new Set(tailing.values.map(values => values.length))
  await until(() => sizes().size === 1 && Math.min(...sizes()) >= committed)
  const written = Math.max(...sizes())
  process.stderr.write(`pauses ${JSON.stringify({ pauses, anew: writing.codes })}\n`)
  const expected = Array.from({ length: written }, (_, n) => String(n))
  expect(tailing.values).toEqual(Array.from({ length: partitions }, () => expected))
}, 300_000)

function freezing(broker: Broker): void {
  broker.freeze()
  onTestFinished(() => broker.thaw())
}

test('a producer quota of 100 kB/s makes a worker slow, and aborts none of its transactions', async () => {
  const untilMs = Date.now() - 3 * DAY_MS
  const fromMs = untilMs - 2 * DAY_MS
  const world = createWorld({ seed: 5, sessions: 300, fromMs, untilMs })
  const vendor = await startBotmakerSimulator({ world, pageSize: 100, quirks: { requestsPerSecond: 0 } })
  onTestFinished(() => vendor.stop())
  const prefix = unique('quota')
  const file = configFile({
    kafka: { ...cluster.config },
    registry: { url: cluster.registry },
    topics: { prefix, partitions: 3 },
    http: { port: 0 },
    log: { level: 'debug' },
    connectors: {
      acme: {
        'connector.class': 'botmaker',
        ...vendor.config,
        'start.at': new Date(fromMs - DAY_MS).toISOString(),
        'poll.interval.ms': 500,
        'quota.per.second': 0,
        'quota.concurrency': 0,
      },
    },
  })
  onTestFinished(() => file.remove())
  await setProducerQuota(cluster.adminAddress(), cluster.user, 100_000)
  onTestFinished(() => setProducerQuota(cluster.adminAddress(), cluster.user, null))
  const worker = start(['run', '--config', file.path, '--roles', 'worker'])
  onTestFinished(() => worker.kill('SIGKILL').then(() => {}))
  const wanted = expectedOf(vendor, 'v2', Date.now()).messages.size
  const k = connected()
  const names = topicNames(prefix)
  await until(
    async () => (await k.describe()).brokers === 3 && worker.log.some(({ msg }) => /claimed transactional id/.test(msg)),
  )
  const found = async () => {
    const all = await Promise.all([0, 1, 2].map(partition => valuesOf(k, { topic: names.messages, partition })))
    return all.flat().length
  }
  await until(async () => (await found()) >= wanted)
  expect(await found()).toBe(wanted)
  // The quota was felt, and nothing was given up for it.
  expect(worker.log.filter(({ msg }) => msg === 'waiting for the producer quota').length).toBeGreaterThan(0)
  expect(worker.log.filter(({ code }) => code?.startsWith('KAFKA_'))).toEqual([])
}, 240_000)
