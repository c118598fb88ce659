/** A server with a folder: what it takes from it, what it refuses, and that its answers are those of a server without. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import type { Kafka } from '../../src/kafka/port.ts'
import { createLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { answerQuery } from '../../src/serve/query.ts'
import { type RunningServer, startServer } from '../../src/serve/run.ts'
import { parseQuery } from '../../src/serve/series-query.ts'
import { finish } from '../../src/slices.ts'
import { type HandClock, handClock } from '../support/clock.ts'
import { type MemoryTopics, memoryTopics } from '../support/memory-topics.ts'
import { progressOf } from '../support/progress.ts'
import { T } from './points.ts'

const DAY = T('2026-10-20T00:00:00Z')
const HOUR = 3_600_000
const MINUTE = 60_000
const FILE = 'memory.series@memory.snapshot'

let folder: string
const endings: (() => Promise<unknown>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapshots-'))
})
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
  await rm(folder, { recursive: true, force: true })
})

/** What the cluster says of the topic. */
interface Cluster {
  readonly clusterId?: string
  readonly topicId?: string | null
  readonly nullsMs?: number
  readonly watermarks?: (of: { low: number; high: number }) => { low: number; high: number }
}

interface Started {
  readonly server: RunningServer
  readonly lines: string[]
  /** Points that were read from the topic. */
  readonly points: () => Promise<number>
  stop(): Promise<void>
}

function start(
  topics: MemoryTopics,
  {
    cluster = {},
    nowMs = DAY,
    clock = handClock(nowMs),
    ...options
  }: { cluster?: Cluster; nowMs?: number; clock?: HandClock; stateDir?: string; snapshotEveryPoints?: number } = {},
): Started {
  const { clusterId = 'memory', topicId = 'one', nullsMs = 24 * HOUR, watermarks = of => of } = cluster
  const ending = new AbortController()
  const lines: string[] = []
  const metrics = createMetrics({ processMetrics: false })
  const kafka: Partial<Kafka> = {
    ...topics.kafka,
    describe: async () => ({ clusterId, brokers: 1 }),
    topicId: async () => topicId,
    topicSettings: async ([topic = '']) => new Map([[topic, new Map([['delete.retention.ms', String(nullsMs)]])]]),
    watermarks: async places =>
      (await topics.kafka.watermarks(places)).map(place => ({
        ...place,
        ...(place.topic === topics.names.series ? watermarks(place) : {}),
      })),
  }
  const server = startServer({
    ...topics,
    kafka: kafka as Kafka,
    partitions: 1,
    log: createLog('info', line => lines.push(line)),
    metrics,
    clock,
    signal: ending.signal,
    ...options,
  })
  const stop = async () => {
    ending.abort()
    await server.done
  }
  endings.push(stop)
  const points = async () => Number(/colloquy_serve_points_total (\d+)/.exec((await metrics.render()).body)?.[1] ?? 0)
  return { server, lines, points, stop }
}

const answers = ({ server: { serve } }: Started) =>
  (['15m', '1h', '1d'] as const).map(bucket => {
    const asked = { measure: 'sessions,events', bucket, from: '2026-10-20', until: '2026-10-24', group_by: 'bot_id' }
    return finish(answerQuery(parseQuery(asked, DAY), serve.store, serve.completeness))
  })

const minutes = (n: number, sessions = 1, from = 0) =>
  Array.from({ length: n }, (_, at) => ({ at: DAY + (from + at) * MINUTE, sessions, revision: sessions, bot_id: `b${at % 3}` }))

/** A topic with 3,000 minutes, and a folder in which a server has left them. */
async function left(): Promise<MemoryTopics> {
  const topics = await memoryTopics()
  await topics.points(minutes(3000))
  const first = start(topics, { stateDir: folder })
  await first.server.ready
  await first.stop()
  expect(await readdir(join(folder, 'server'))).toEqual([FILE])
  return topics
}

/** Starts on the folder, and compares with a server without. */
async function startAgain(topics: MemoryTopics, options: { cluster?: Cluster; nowMs?: number } = {}): Promise<Started> {
  const again = start(topics, { ...options, stateDir: folder })
  const without = start(topics, options)
  await Promise.all([again.server.ready, without.server.ready])
  expect(again.server.serve.store.cells).toBe(without.server.serve.store.cells)
  expect(answers(again)).toEqual(answers(without))
  await without.stop()
  return again
}

test('a start reads the folder, and of the topic only what came since', async () => {
  const topics = await left()
  const quiet = await startAgain(topics)
  expect(await quiet.points()).toBe(0)
  await quiet.stop()

  // A late revision, a new series, a roll-up with its nulls.
  await topics.points(minutes(10, 5))
  const hours = Array.from({ length: 24 }, (_, n) => ({ at: DAY + n * HOUR, bucket: '1h', sessions: 60, bot_id: 'b1' }))
  const rolledUp = minutes(1440).filter(({ bot_id }) => bot_id === 'b1')
  await topics.points(
    [...hours, { at: DAY, bucket: '1d', sessions: 1440, bot_id: 'b1' }, { at: DAY, sessions: 3, bot_id: 'new' }],
    rolledUp,
  )
  const again = await startAgain(topics)
  expect(await again.points()).toBe(10 + 26 + 480)
  expect(again.lines.filter(line => line.includes('snapshot read'))).toHaveLength(1)

  await topics.points(minutes(1, 9))
  await vi.waitFor(() => expect(answers(again)[2]?.data.series[0]?.values[0]).toBeGreaterThan(0))
  await vi.waitFor(async () => expect(await again.points()).toBe(10 + 26 + 480 + 1))
  await again.stop()
  expect(await (await startAgain(topics)).points(), 'written again by the stop').toBe(0)
})

test('progress is believed as by a server without a folder, also where no point comes after the snapshot', async () => {
  const topics = await left()
  const until = DAY + 48 * HOUR
  await topics.progress(
    progressOf({
      connector: 'acme',
      scope: 'acme',
      vendor: 'botmaker',
      account: 'acme',
      complete_until: until,
      committed_at: until,
      covered: [{ from: DAY, until }],
      through: [{ topic: topics.names.sessions, partition: 0, offset: 4 }],
    }),
  )
  const before = await startAgain(topics)
  expect(answers(before)[0]?.complete_until).toBeNull()
  await before.stop()
  // The aggregator has counted it, and its last point is the last of the snapshot.
  await topics.counted({ [topics.names.sessions]: 5 }, 2999)
  const again = await startAgain(topics)
  await vi.waitFor(() => expect(answers(again)[0]?.complete_until).toBe(new Date(until).toISOString()))
  expect(await again.points()).toBe(0)
})

test.each<[string, { cluster?: Cluster; nowMs?: number }, RegExp]>([
  ['of a topic that was created again', { cluster: { topicId: 'two' } }, /created again/],
  [
    'that goes beyond the end of the topic',
    { cluster: { watermarks: ({ low, high }) => ({ low, high: high - 2 }) } },
    /beyond the end/,
  ],
  ['of a topic that has lost its beginning', { cluster: { watermarks: ({ high }) => ({ low: 1, high }) } }, /oldest records/],
  ['that is older than nulls are kept for certain', { nowMs: DAY + 21 * HOUR }, /delete\.retention\.ms/],
  [
    'that is older than a topic with another setting keeps nulls',
    { nowMs: DAY + HOUR, cluster: { nullsMs: HOUR } },
    /delete\.retention\.ms/,
  ],
  ['of a time to come', { nowMs: DAY - HOUR }, /clock/],
])('a snapshot %s is refused, and the series are read from the topic', async (_, options, reason) => {
  const topics = await left()
  const again = await startAgain(topics, options)
  expect(await again.points()).toBe(reason.source.includes('oldest') ? 2999 : 3000)
  const refused = again.lines.filter(line => line.includes('snapshot is not used'))
  expect([refused.length, refused[0]]).toEqual([1, expect.stringMatching(reason)])
  // What it read takes the place of the other.
  await again.stop()
  const { watermarks, ...cluster } = options.cluster ?? {}
  const isShort = watermarks?.({ low: 0, high: 9 }).high === 7
  expect(await (await startAgain(topics, isShort ? { ...options, cluster } : options)).points()).toBe(0)
})

test('a server that does not keep up with the topic writes no file that seems younger than it is', async () => {
  const topics = await memoryTopics()
  await topics.points(minutes(10))
  const clock = handClock(DAY)
  let more = 0
  const cluster = { watermarks: ({ low, high }: { low: number; high: number }) => ({ low, high: high + more }) }
  const slow = start(topics, { stateDir: folder, clock, cluster, snapshotEveryPoints: 5 })
  await slow.server.ready
  await vi.waitFor(() => expect(slow.lines.some(line => line.includes('snapshot written'))).toBe(true))
  more = 3
  clock.jump(21 * HOUR)
  await topics.points(minutes(20, 2))
  await vi.waitFor(async () => expect(await slow.points()).toBe(30))
  await slow.stop()
  const again = await startAgain(topics, { nowMs: DAY + 21 * HOUR })
  expect([await again.points(), again.lines.some(line => line.includes('delete.retention.ms'))]).toEqual([30, true])
  // That one has read everything that there was.
  await again.stop()
  expect(await (await startAgain(topics, { nowMs: DAY + 22 * HOUR })).points()).toBe(0)
})

test('a quiet topic does not make a file older than its server', async () => {
  const topics = await left()
  for (const nowMs of [DAY + 15 * HOUR, DAY + 30 * HOUR, DAY + 45 * HOUR]) {
    const again = await startAgain(topics, { nowMs })
    expect(await again.points()).toBe(0)
    await again.stop()
  }
})

test('a snapshot of another cluster is left alone, and refused under its name', async () => {
  const topics = await left()
  const cluster = { clusterId: 'other/cluster' }
  const other = await startAgain(topics, { cluster })
  expect(await other.points()).toBe(3000)
  await other.stop()
  const own = 'memory.series@other%2Fcluster.snapshot'
  expect((await readdir(join(folder, 'server'))).sort()).toEqual([FILE, own])
  await writeFile(join(folder, 'server', own), await readFile(join(folder, 'server', FILE)))
  const copied = await startAgain(topics, { cluster })
  expect([await copied.points(), copied.lines.some(line => line.includes('of another cluster'))]).toEqual([3000, true])
})

test('a damaged file is refused with one line', async () => {
  const topics = await left()
  const bytes = await readFile(join(folder, 'server', FILE))
  await writeFile(join(folder, 'server', FILE), bytes.subarray(0, bytes.length - 100))
  const again = await startAgain(topics)
  expect(await again.points()).toBe(3000)
  expect(again.lines.filter(line => line.includes('"level":"warn"'))).toEqual([expect.stringContaining('half written')])
})

test('without ids of topics nothing is read or written', async () => {
  const topics = await left()
  await rm(join(folder, 'server', FILE))
  const again = await startAgain(topics, { cluster: { topicId: null } })
  expect(again.lines.filter(line => line.includes('no snapshot'))).toHaveLength(1)
  await again.stop()
  expect(await readdir(join(folder, 'server'))).toEqual([])
})

test('files are written while points come, whoever is killed', async () => {
  const topics = await memoryTopics()
  await topics.points(minutes(100))
  const running = start(topics, { stateDir: folder, snapshotEveryPoints: 50 })
  await running.server.ready
  const written = () => running.lines.filter(line => line.includes('snapshot written')).length
  await vi.waitFor(() => expect(written()).toBe(1))
  await topics.points(minutes(20, 2))
  await topics.points(minutes(60, 3))
  await vi.waitFor(() => expect(written()).toBe(2))
  await topics.points(minutes(7, 4))
  await vi.waitFor(async () => expect(await running.points()).toBe(187))
  // The other has not ended, and its last points are in no file.
  const again = await startAgain(topics)
  expect(await again.points()).toBe(7)
})

test('two servers share a folder, and what either wrote is right for both', async () => {
  const topics = await memoryTopics()
  await topics.points(minutes(50))
  const both = [1, 2].map(() => start(topics, { stateDir: folder, snapshotEveryPoints: 10 }))
  for (let round = 2; round < 12; round++) {
    await topics.points(minutes(20, round, round))
    if (round % 3 === 0) await (await startAgain(topics)).stop()
  }
  await topics.points([{ at: DAY, bot_id: 'last', sessions: 1 }])
  for (const { server } of both) await vi.waitFor(() => expect(server.serve.store.values('bot_id')).toContain('last'))
  await Promise.all(both.map(each => each.stop()))
  expect(await readdir(join(folder, 'server'))).toEqual([FILE])
  expect(both.flatMap(({ lines }) => lines.filter(line => /"level":"(?:warn|error)"/.test(line)))).toEqual([])
  expect(await (await startAgain(topics)).points()).toBe(0)
})

test('what was being written when a server was killed is removed later, and not while another may be writing it', async () => {
  const topics = await left()
  const [old, young] = [join(folder, 'server', `${FILE}.old.part`), join(folder, 'server', `${FILE}.young.part`)]
  for (const path of [old, young]) await writeFile(path, 'half')
  await utimes(old, new Date(DAY - 2 * HOUR), new Date(DAY - 2 * HOUR))
  await utimes(young, new Date(DAY - MINUTE), new Date(DAY - MINUTE))
  await (await startAgain(topics)).stop()
  expect((await readdir(join(folder, 'server'))).sort()).toEqual([FILE, `${FILE}.young.part`])
})

test('a folder that cannot be made ends the start; one that cannot be written later is logged, and the server serves', async () => {
  const topics = await memoryTopics()
  await topics.points(minutes(10))
  await writeFile(join(folder, 'file'), '')
  expect(() => start(topics, { stateDir: join(folder, 'file') })).toThrow(FlowError)
  // Something stands where the file belongs.
  await mkdir(join(folder, 'server', FILE, 'in the way'), { recursive: true })
  await chmod(join(folder, 'server'), 0o755)
  const running = start(topics, { stateDir: folder, snapshotEveryPoints: 1 })
  await running.server.ready
  await vi.waitFor(() => expect(running.lines.some(line => line.includes('snapshot cannot be written'))).toBe(true))
  expect(running.server.health().ok).toBe(true)
  expect(await running.points()).toBe(10)
})
