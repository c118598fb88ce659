/**
 * `node bench/query.ts [--series N] [--days N] [--minute-days N] [--asks N] [--profile FILE]`: what a server costs. A history is written to the series topic of a real Kafka as
 * the aggregator writes it (minutes of the newest days, hours with their days before, all with sketches of a thousand sessions a day and series). A server in a process of
 * its own reads it from the topic, is stopped, and started again on its folder; another process asks it. Prints how long each start took, the memory, and the times of
 * answers with their JSON, and how long `/healthz` took beside hostile queries.
 */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/clock.ts'
import { binOf, createDurations } from '../src/duration-sketch.ts'
import { connectKafka } from '../src/kafka/client.ts'
import { encoderFor } from '../src/kafka/codec.ts'
import type { WriteRecord } from '../src/kafka/port.ts'
import { connectRegistry } from '../src/kafka/registry.ts'
import { createLog } from '../src/log.ts'
import { createMetrics } from '../src/metrics.ts'
import { type BucketSize, pointKey } from '../src/point-key.ts'
import type { SeriesPoint } from '../src/records.ts'
import { schemaText } from '../src/schemas.ts'
import { startHttp } from '../src/serve/http.ts'
import { startServer } from '../src/serve/run.ts'
import type { SeriesStore } from '../src/serve/store.ts'
import { finish } from '../src/slices.ts'
import { startStack } from '../src/stack/stack.ts'
import { topicNames, topicSpecs } from '../src/topics.ts'
import { createUsers } from '../src/users-sketch.ts'
import { random } from '../test/aggregate/make.ts'
import { point } from '../test/serve/points.ts'
import { peakKiBOf, startChild } from './child.ts'
import { type CpuProfile, profileText } from './profile.ts'
import { dateAndCommit, figure, machine } from './report.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const PARTITIONS = 6
const PREFIX = 'bench'
const SESSIONS_A_DAY = 1000
const CHANNELS = ['web', 'whatsapp', 'voice', 'other'] as const

const { values } = parseArgs({
  options: {
    series: { type: 'string', default: '100' },
    days: { type: 'string', default: '40' },
    'minute-days': { type: 'string', default: '14' },
    asks: { type: 'string', default: '50' },
    profile: { type: 'string' },
    child: { type: 'string' },
    load: { type: 'string' },
  },
})
const SERIES = Number(values.series)
const DAYS = Number(values.days)
const MINUTE_DAYS = Math.min(DAYS, Number(values['minute-days']))
const ASKS = Number(values.asks)
const log = createLog('warn')

interface Given {
  readonly brokers: string
  readonly registry: string
  readonly stateDir: string
}

if (values.child !== undefined) await serve(JSON.parse(values.child) as Given)
else if (values.load !== undefined) await load(values.load)
else await run()

/** The server's process. */
async function serve({ brokers, registry, stateDir }: Given): Promise<void> {
  const ending = new AbortController()
  process.once('SIGTERM', () => ending.abort())
  const common = { log, metrics: createMetrics(), clock: systemClock }
  const kafka = connectKafka({ brokers: [brokers], clientId: 'bench', log })
  const server = startServer({
    ...common,
    kafka,
    registry: connectRegistry({ url: registry, log }),
    names: topicNames(PREFIX),
    partitions: PARTITIONS,
    stateDir,
    signal: ending.signal,
  })
  const http = await startHttp({
    ...common,
    host: '127.0.0.1',
    port: 0,
    version: '0',
    health: () => [server.health()],
    serve: server.serve,
  })
  await server.ready
  process.on('message', asked => {
    if (asked !== 'memory') return
    const { rss, heapUsed, arrayBuffers } = process.memoryUsage()
    process.send?.({ rss, heapUsed, arrayBuffers, ...bytesIn(server.serve.store) })
  })
  process.stdout.write(
    `${JSON.stringify({ url: http.url, cells: server.serve.store.cells, series: server.serve.store.series.length })}\n`,
  )
  await server.done
  await http.close()
  await kafka.close()
  process.exit(0)
}

/** What the arrays of the store take, by what they are for. */
function bytesIn(store: SeriesStore): Record<'columns' | 'places' | 'words', number> {
  const bytes = { columns: 0, places: 0, words: 0 }
  for (const { tiers } of finish(store.freeze())) {
    for (const chunk of tiers.flat()) {
      const { slots, revisions, columns, sketches } = chunk.parts()
      for (const column of [slots, revisions, ...columns]) bytes.columns += column?.byteLength ?? 0
      for (const sketch of sketches) {
        bytes.places += sketch?.places.byteLength ?? 0
        bytes.words += sketch?.words.byteLength ?? 0
      }
    }
  }
  return bytes
}

/** The process that asks: prints times in milliseconds, sorted, by what was asked. */
async function load(url: string): Promise<void> {
  const until = Math.floor(Date.now() / DAY) * DAY
  const all = 'group_by=vendor,account,bot_id,channel,language'
  const last = (days: number) => `from=${until - days * DAY}&until=${until}`
  const questions: Record<string, string> = {
    '30 days by the hour, all series as one': `/v1/series?measure=sessions&bucket=1h&${last(30)}`,
    '30 days by the hour, a line each series': `/v1/series?measure=sessions&bucket=1h&${last(30)}&${all}`,
    'a year by the day, all series as one': `/v1/series?measure=sessions&bucket=1d&${last(365)}`,
    'a year by the day, a line each series': `/v1/series?measure=sessions&bucket=1d&${last(365)}&${all}`,
    '30 days by the day, p90 of durations and users': `/v1/series?measure=duration_p90_ms,users&bucket=1d&${last(30)}`,
  }
  const ask = async (path: string): Promise<{ ms: number; bytes: number }> => {
    const began = performance.now()
    const answer = await fetch(url + path, { headers: { 'accept-encoding': 'identity' } })
    const text = await answer.text()
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${text.slice(0, 300)}`)
    return { ms: performance.now() - began, bytes: text.length }
  }
  const answers: Record<string, { ms: number[]; bytes: number }> = {}
  for (const [name, path] of Object.entries(questions)) {
    for (let warm = 0; warm < 3; warm++) await ask(path)
    const ms: number[] = []
    let bytes = 0
    for (let n = 0; n < ASKS; n++) {
      const one = await ask(path)
      ms.push(one.ms)
      bytes = one.bytes
    }
    answers[name] = { ms: ms.sort((a, b) => a - b), bytes }
  }
  const hostile = [
    `/v1/series?measure=sessions,events,duration_avg_ms&bucket=1m&${last(7)}&rolling=7d`,
    `/v1/series?measure=sessions&bucket=15m&${last(20)}&${all}&top=20`,
    `/v1/series?measure=duration_p99_ms,users&bucket=1d&${last(60)}&rolling=30d&group_by=bot_id&top=5`,
    `/v1/series?measure=sessions&bucket=1h&${last(30)}&${all}&shape=rows&top=50`,
  ]
  const ending = new AbortController()
  const asking = hostile.flatMap(path =>
    [1, 2, 3].map(async () => {
      while (!ending.signal.aborted) await (await fetch(url + path)).arrayBuffer()
    }),
  )
  const ms: number[] = []
  for (let n = 0; n < 200; n++) {
    ms.push((await ask('/healthz')).ms)
    await systemClock.sleep(20)
  }
  ending.abort()
  await Promise.all(asking)
  answers['/healthz beside twelve hostile clients'] = { ms: ms.sort((a, b) => a - b), bytes: 0 }
  process.stdout.write(`${JSON.stringify(answers)}\n`)
}

async function run(): Promise<void> {
  const stack = await startStack({ profile: 'demo', log, env: process.env })
  const stateDir = await mkdtemp(join(tmpdir(), 'query-'))
  try {
    const written = await fill(stack)
    const lines: string[] = []
    const given = JSON.stringify({ brokers: stack.brokers, registry: stack.registry, stateDir })
    for (const start of ['from the topic', 'from the snapshot']) {
      const began = performance.now()
      const profiling = values.profile !== undefined && start === 'from the snapshot'
      const server = profiling
        ? startChild('--import', [
            fileURLToPath(new URL('profiled.ts', import.meta.url)),
            fileURLToPath(import.meta.url),
            '--child',
            given,
          ])
        : startChild(fileURLToPath(import.meta.url), ['--child', given])
      const started = JSON.parse(await server.firstLine()) as { url: string; cells: number; series: number }
      const readyS = (performance.now() - began) / 1000
      const memory = await server.ask<Record<string, number>>('memory')
      const mib = (name: string) => figure((memory[name] ?? 0) / 2 ** 20)
      lines.push(
        `| Start ${start}: seconds until ready | ${readyS.toFixed(1)} |`,
        `| Memory then: resident, heap, arrays, MiB | ${mib('rss')}, ${mib('heapUsed')}, ${mib('arrayBuffers')} |`,
        `| In it: columns, places of sketches, sketches, MiB | ${mib('columns')}, ${mib('places')}, ${mib('words')} |`,
      )
      if (start === 'from the topic') {
        lines.unshift(`| Points written, cells held, series | ${figure(written)}, ${figure(started.cells)}, ${started.series} |`)
      } else {
        if (profiling) await server.ask({ profile: 'begin' })
        const asking = startChild(fileURLToPath(import.meta.url), ['--load', started.url, '--asks', values.asks])
        const times = JSON.parse(await asking.firstLine()) as Record<string, { ms: number[]; bytes: number }>
        if (profiling && values.profile !== undefined) {
          await server.ask({ profile: 'end', file: values.profile })
          process.stderr.write(
            profileText('server', values.profile, JSON.parse(await readFile(values.profile, 'utf8')) as CpuProfile),
          )
        }
        for (const [name, { ms, bytes }] of Object.entries(times)) {
          const at = (share: number) => (ms[Math.min(ms.length - 1, Math.floor(share * ms.length))] ?? 0).toFixed(1)
          lines.push(`| ${name}: p50, p99, ms${bytes > 0 ? ` (${figure(bytes / 1024)} KiB)` : ''} | ${at(0.5)}, ${at(0.99)} |`)
        }
        lines.push(`| Most memory, MiB | ${figure(peakKiBOf(server.process.pid ?? 0) / 1024)} |`)
      }
      server.process.kill('SIGTERM')
      await server.ended
    }
    const [file = ''] = await readdir(join(stateDir, 'server'))
    const { size } = await stat(join(stateDir, 'server', file))
    process.stdout.write(
      [
        `${machine(stack.info.kafkaVersion)}; ${dateAndCommit()}; \`node bench/query.ts --series ${SERIES} --days ${DAYS} --minute-days ${MINUTE_DAYS} --asks ${ASKS}\``,
        '',
        '| | |',
        '| --- | --- |',
        ...lines,
        `| Snapshot, MiB | ${figure(size / 2 ** 20)} |`,
        '',
      ].join('\n'),
    )
  } finally {
    await rm(stateDir, { recursive: true, force: true })
    await stack.stop()
  }
}

/** Writes the history. @returns how many points */
async function fill(stack: { readonly brokers: string; readonly registry: string }): Promise<number> {
  const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
  const registry = connectRegistry({ url: stack.registry, log })
  const names = topicNames(PREFIX)
  await kafka.ensureTopics(topicSpecs({ prefix: PREFIX, partitions: PARTITIONS, replicationFactor: 1, longestLookbackMs: 0 }), {
    create: true,
  })
  const schema = schemaText('series-point')
  const encoder = encoderFor<SeriesPoint>(schema, await registry.register(`${names.series}-value`, schema))
  const writer = kafka.openWriter({ transactionalId: 'bench' })
  await writer.fence()
  const today = Math.floor(Date.now() / DAY) * DAY
  let written = 0
  for (let series = 0; series < SERIES; series++) {
    const records: WriteRecord[] = []
    for (const made of historyOf(series, today)) {
      const key = Buffer.from(pointKey(made.series_key, made.bucket_start, made.bucket as BucketSize))
      records.push({ key, value: Buffer.from(encoder.encode(made)) })
    }
    written += records.length
    for (let from = 0; from < records.length; from += 5000) {
      const batch = { topic: names.series, partition: series % PARTITIONS, records: records.slice(from, from + 5000) }
      await writer.transact(tx => tx.write([batch]))
    }
    if (series % 10 === 9) process.stderr.write(`${series + 1} of ${SERIES} series are on the topic\n`)
  }
  await writer.close()
  await kafka.close()
  return written
}

/** A thousand sessions a day, more by day than by night; each counts in the minute that it starts in, with messages in two more. */
function* historyOf(series: number, today: number): Generator<SeriesPoint> {
  const r = random(series + 1)
  const durations = createDurations()
  const users = createUsers()
  const labels = {
    vendor: 'botmaker',
    account: `account-${series % 7}`,
    bot_id: `bot-${Math.floor(series / 4)}`,
    channel: CHANNELS[series % 4] ?? 'web',
    language: ['es', 'en-US', 'pt-BR'][series % 3] ?? 'es',
  }
  const make = (at: number, bucket: BucketSize, sessions: number, messages: number): SeriesPoint => {
    let total = 0
    durations.clear()
    users.clear()
    for (let n = 0; n < sessions; n++) {
      const durationMs = 5_000 + r.int(900_000)
      total += durationMs
      durations.add(binOf(durationMs), 1)
      const user = r.int(500_000)
      users.add(Math.imul(user, 0x9e3779b1) | 0, Math.imul(user ^ 0x5bd1e995, 0x85ebca6b) | 0)
    }
    return {
      ...point({ at, ...labels, bucket, revision: 1 + r.int(3) }),
      sessions,
      sessions_ended: sessions,
      sessions_agent: r.int(1 + sessions / 4),
      duration_ms: total,
      messages_user: messages,
      messages_bot: messages * 2,
      events: r.int(1 + messages),
      duration_sketch: sessions === 0 ? null : Buffer.from(durations.encode()),
      users_sketch: sessions === 0 ? null : Buffer.from(users.encode()),
    }
  }
  for (let day = DAYS; day > 0; day--) {
    const begins = today - day * DAY
    if (day > MINUTE_DAYS) {
      for (let hour = 0; hour < 24; hour++) yield make(begins + hour * HOUR, '1h', Math.round(SESSIONS_A_DAY / 24), 250)
      yield make(begins, '1d', SESSIONS_A_DAY, 6000)
      continue
    }
    for (let minute = 0; minute < 1440; minute++) {
      const isBusy = r.int(100) < 50
      if (isBusy || r.int(100) < 40)
        yield make(begins + minute * MINUTE, '1m', isBusy ? 1 + (r.int(3) === 0 ? 1 : 0) : 0, 1 + r.int(4))
    }
  }
}
