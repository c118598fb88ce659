import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createAdmin } from '../../src/kafka/kafkajs.ts'
import { createLog, type Log, silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { startHttp } from '../../src/serve/http.ts'
import { type RunningServer, startServer } from '../../src/serve/run.ts'
import { point } from '../serve/points.ts'
import { type SeriesWorld, seriesWorld } from '../support/series-world.ts'

const PARTITIONS = 2
const day = 'from=2026-11-01T00:00:00Z&until=2026-11-01T03:00:00Z'
const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end()
})

const world = (of: { create?: boolean } = {}) =>
  seriesWorld({ stack: inject('stack'), partitions: PARTITIONS, ending: end => endings.push(end), ...of })

async function serve(
  of: SeriesWorld,
  { stateDir, log = silentLog }: { stateDir?: string; log?: Log } = {},
): Promise<{
  server: RunningServer
  stop: () => Promise<void>
  get: (path: string) => Promise<{ status: number; body: Answer }>
  metrics: ReturnType<typeof createMetrics>
}> {
  const ending = new AbortController()
  const metrics = createMetrics({ processMetrics: false })
  const common = { log, metrics, clock: systemClock }
  const server = startServer({
    ...common,
    kafka: of.kafka,
    registry: of.registry,
    names: of.names,
    partitions: PARTITIONS,
    stateDir,
    signal: ending.signal,
  })
  const http = await startHttp({
    ...common,
    host: '127.0.0.1',
    port: 0,
    version: '0.0.0',
    health: () => [server.health()],
    serve: server.serve,
  })
  const stop = async () => {
    ending.abort()
    await server.done
    await http.close()
  }
  endings.push(stop)
  return {
    server,
    stop,
    metrics,
    get: async path => {
      const answer = await fetch(http.url + path)
      return { status: answer.status, body: (await answer.json()) as Answer }
    },
  }
}

interface Answer {
  message?: string
  kafka_cluster_id?: string
  complete_until: string | null
  data: { series: { labels: Record<string, string>; values: (number | null)[]; sum: number | null }[] }
}

const hours = `/v1/series?measure=sessions&bucket=1h&${day}`
const values = (body: Answer) => body.data.series[0]?.values

test('series, their revisions and withdrawals are answered over HTTP once all has been read', async () => {
  const of = await world()
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 1 })
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 5, revision: 2 })
  await of.point(1, { at: '2026-11-01T02:10:00Z', sessions: 7, bot_id: 'b2', channel: 'voice' })
  await of.point(1, { at: '2026-11-01T01:10:00Z', sessions: 9, bot_id: 'b3' })
  const gone = point({ at: '2026-11-01T01:10:00Z', bot_id: 'b3' })
  await of.write(of.names.series, 1, of.text(`${gone.series_key}@2026-11-01T01:10:00.000Z`, null))

  const { server, get } = await serve(of)
  await server.ready
  expect(await get('/readyz')).toMatchObject({ status: 200 })
  expect((await get('/')).body.kafka_cluster_id).toBe((await of.kafka.describe()).clusterId)
  const { body } = await get(hours)
  expect([values(body), body.complete_until]).toEqual([[5, null, 7], null])
  const grouped = (await get(`${hours}&group_by=channel`)).body.data.series
  expect(grouped.map(({ labels, sum }) => [labels['channel'], sum])).toEqual([
    ['voice', 7],
    ['web', 5],
  ])

  await of.point(0, { at: '2026-11-01T00:11:00Z', sessions: 2 })
  await vi.waitFor(async () => expect(values((await get(hours)).body)).toEqual([7, null, 7]), 10_000)
})

test('progress is believed only when the aggregator has counted what the commit wrote', async () => {
  const of = await world()
  const at = await of.session(1)
  const through = [{ topic: of.names.sessions, partition: 1, offset: at }]
  await of.progress({ completeUntil: '2026-11-01T02:00:00Z', through })
  const series = await of.point(1, { at: '2026-11-01T00:10:00Z', sessions: 1 })
  await of.counted(1, { [of.names.sessions]: at }, null) // up to the session, not past it

  const { server, get } = await serve(of)
  await server.ready
  const before = (await get(hours)).body
  expect([values(before), before.complete_until]).toEqual([[1, null, null], null])

  await of.counted(1, { [of.names.sessions]: at + 2 }, series)
  await vi.waitFor(async () => {
    const { body } = await get(hours)
    expect([values(body), body.complete_until]).toEqual([[1, 0, null], '2026-11-01T02:00:00.000Z'])
  }, 10_000)
})

test('progress is not believed before the series that were counted of it have arrived here', async () => {
  const of = await world()
  const at = await of.session(0)
  await of.progress({ completeUntil: '2026-11-01T02:00:00Z', through: [{ topic: of.names.sessions, partition: 0, offset: at }] })
  // The two topics become visible apart: here the offsets are there, the point that they speak of is not.
  await of.counted(0, { [of.names.sessions]: at + 2 }, 0)

  const { server, get } = await serve(of)
  await server.ready
  expect((await get(hours)).body.complete_until).toBeNull()

  expect(await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 3 })).toBe(0)
  await vi.waitFor(async () => {
    const { body } = await get(hours)
    expect([values(body), body.complete_until]).toEqual([[3, 0, null], '2026-11-01T02:00:00.000Z'])
  }, 10_000)
})

test('after a compaction the newest progress holds only beyond what older commits wrote', async () => {
  const of = await world()
  // The commit that wrote this session is compacted away; the newest progress speaks of partition 0 only.
  const older = await of.session(1)
  await of.aborted(of.names.sessions, 1)
  const newer = await of.session(0)
  await of.progress({
    completeUntil: '2026-11-01T02:00:00Z',
    through: [{ topic: of.names.sessions, partition: 0, offset: newer }],
  })
  await of.counted(0, { [of.names.sessions]: newer + 2 }, null)

  const { server, get } = await serve(of)
  await server.ready
  expect((await get(hours)).body.complete_until).toBeNull()

  // Behind the session and its marker there is a transaction that was aborted: the end is behind that.
  await of.counted(1, { [of.names.sessions]: older + 2 }, null)
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 5 })
  await vi.waitFor(async () => expect((await get(hours)).body.data.series[0]?.values[0]).toBe(5), 10_000)
  expect((await get(hours)).body.complete_until).toBeNull()
  await of.counted(1, { [of.names.sessions]: older + 4 }, null)
  await vi.waitFor(async () => expect((await get(hours)).body.complete_until).toBe('2026-11-01T02:00:00.000Z'), 10_000)
})

test('completeness is the least of the streams asked for, and a withdrawn stream holds nothing back', async () => {
  const of = await world()
  await of.progress({ completeUntil: '2026-11-01T02:00:00Z', through: [] })
  await of.progress({
    completeUntil: '2026-11-01T01:00:00Z',
    through: [],
    connector: 'kore',
    vendor: 'koreai',
    scope: 'st-1',
    bot_id: 'st-1',
  })
  const { server, get } = await serve(of)
  await server.ready
  expect((await get(hours)).body.complete_until).toBe('2026-11-01T01:00:00.000Z')
  expect((await get(`${hours}&vendor=botmaker`)).body.complete_until).toBe('2026-11-01T02:00:00.000Z')
  await of.write(of.names.progress, 1, of.text('kore/sessions/st-1', null))
  await vi.waitFor(async () => expect((await get(hours)).body.complete_until).toBe('2026-11-01T02:00:00.000Z'), 10_000)
})

test('a record that cannot be read is counted and passed over', async () => {
  const of = await world()
  await of.write(of.names.series, 0, of.text('x@2026-11-01T00:10:00.000Z', 'no Avro'))
  await of.write(of.names.aggregateOffsets, 0, of.text('0', '{"inputs":3}'))
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 4 })
  const { server, get, metrics } = await serve(of)
  await server.ready
  expect(values((await get(hours)).body)).toEqual([4, null, null])
  const { body } = await metrics.render()
  expect(body).toContain(`colloquy_serve_invalid_records_total{topic="${of.names.series}"} 1`)
  expect(body).toContain(`colloquy_serve_invalid_records_total{topic="${of.names.aggregateOffsets}"} 1`)
})

test('a server that is there before its topics waits for them, and says so', async () => {
  const of = await world({ create: false })
  const { server, get } = await serve(of)
  const { status, body } = await get('/readyz')
  expect([status, body.message]).toEqual([503, expect.stringMatching(/^server: /)])
  expect((await get(hours)).status).toBe(503)
  await of.createTopics()
  await server.ready
  await of.fence()
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 4 })
  await vi.waitFor(async () => expect(values((await get(hours)).body)).toEqual([4, null, null]), 10_000)
})

test('a stop ends the server at once and quietly', async () => {
  const of = await world()
  const { server, stop } = await serve(of)
  await server.ready
  const began = performance.now()
  await stop()
  expect(performance.now() - began).toBeLessThan(3000)
  await expect(server.done).resolves.toBeUndefined()
})

test('with a folder, a start reads only what came since; of a topic that was created again it reads everything', async () => {
  const of = await world()
  const stateDir = await mkdtemp(join(tmpdir(), 'serve-'))
  endings.push(() => rm(stateDir, { recursive: true }))
  const run = async (log?: Log) => {
    const running = await serve(of, { stateDir, ...(log === undefined ? {} : { log }) })
    await running.server.ready
    const shown = values((await running.get(hours)).body)
    await running.stop()
    const points = /colloquy_serve_points_total (\d+)/.exec((await running.metrics.render()).body)?.[1]
    return { shown, points: Number(points ?? 0) }
  }
  await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 1 })
  await of.point(1, { at: '2026-11-01T02:10:00Z', sessions: 7, bot_id: 'b2' })
  expect(await run()).toEqual({ shown: [1, null, 7], points: 2 })
  await of.point(0, { at: '2026-11-01T01:10:00Z', sessions: 4 })
  expect(await run()).toEqual({ shown: [1, 4, 7], points: 1 })
  expect(await run()).toEqual({ shown: [1, 4, 7], points: 0 })

  const before = await of.kafka.topicId(of.names.series)
  const admin = createAdmin({ brokers: inject('stack').brokers.split(','), clientId: 'test', log: silentLog })
  await admin.connect()
  await admin.deleteTopics({ topics: [of.names.series] })
  await admin.disconnect()
  await vi.waitFor(() => of.createTopics(), 30_000)
  const after = await of.kafka.topicId(of.names.series)
  expect([before, after]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/), expect.stringMatching(/^[0-9a-f]{32}$/)])
  expect(after).not.toBe(before)
  for (let n = 0; n < 3; n++) await of.point(0, { at: '2026-11-01T00:10:00Z', sessions: 2 + n, revision: 1 + n })
  await of.point(1, { at: '2026-11-01T00:10:00Z', sessions: 1, bot_id: 'b2' })
  const lines: string[] = []
  expect(await run(createLog('warn', line => lines.push(line)))).toEqual({ shown: [5, null, null], points: 4 })
  expect(lines.filter(line => line.includes('snapshot'))).toEqual([expect.stringContaining('created again')])
  await expect(of.kafka.topicId('no-such-topic')).rejects.toThrow()
})
