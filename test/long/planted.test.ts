/**
 * Persons are planted in every row of every vendor's answers; then every byte that leaves is searched for them: keys, values and headers on all
 * topics, `peek` and `check`, log lines, errors, metrics. With the standard policy nothing may be found; without any, nothing in logs, errors and metrics.
 */
import { describe, expect, test } from 'vitest'
import { type Bench, withBench } from '../../src/conformance/bench.ts'
import { liveStill, NAMES, overAt, stillLine } from '../../src/conformance/pipeline.ts'
import type { Subject } from '../../src/conformance/subject.ts'
import { asFlowError } from '../../src/errors.ts'
import { peekConnector, probesOf } from '../../src/ingest/peek.ts'
import { readDeadLetters } from '../../src/ingest/rejects.ts'
import { createLog, errorFields } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { type BaseConfig, parseConnectorConfig } from '../../src/source/config.ts'
import { SUBJECT_FILES, subjectsOf } from '../support/all-subjects.ts'
import { found, marked } from '../pii/marks.ts'
import { plants } from '../pii/plant.ts'

const KEY = 'planted-test-key-7c1d0a'
const STANDARD = { 'pii.policy': 'standard', 'pii.key': KEY }

const subjects = (await Promise.all(SUBJECT_FILES.map(subjectsOf))).flat()

/** What a vendor says with an error: everything it knows of somebody. */
const REFUSAL = JSON.stringify({
  error: marked(3).first,
  code: marked(3).phone,
  message: marked(3).said,
  errors: [{ code: marked(3).name, message: marked(3).said }],
})

interface Left {
  readonly topics: readonly { readonly topic: string; readonly bytes: Buffer }[]
  readonly said: readonly string[]
}

/** Everything that leaves while the vendor is read whole, by a worker that dies once, and by `peek` and `check`. */
async function leftBy(subject: Subject, keys: Readonly<Record<string, string>>): Promise<Left> {
  return withBench(subject, null, async bench => {
    const planted = plants(bench.connector.manifest.id)
    bench.proxy.edit = body => planted.edit(body)
    let requests = 0
    bench.proxy.spoil = () =>
      ++requests % 13 === 5
        ? { kind: 'answer', status: requests % 2 === 0 ? 500 : 429, headers: { 'retry-after': '1' }, body: REFUSAL }
        : null
    const { pii } = baseWith(bench, keys)
    const said: string[] = []
    const log = createLog('debug', line => said.push(line))
    const metrics = createMetrics({ processMetrics: false })
    const maxBytes = new Map(Object.values(NAMES).map(topic => [topic, topic === NAMES.rejects ? 200_000 : 60_000]))
    const line = stillLine(bench, { base: { pii } })
    const how = { log, metrics, maxBytes }
    await liveStill(line, bench, { ...how, until: () => line.watch.sawPage })
    await liveStill(line, bench, how)
    for (const state of line.states) said.push(JSON.stringify(state))
    said.push((await metrics.render()).body)
    const letters = await readDeadLetters(line.kafka, NAMES.rejects, 3, new AbortController().signal)
    expect(letters.length, 'rejects').toBeGreaterThan(2)
    expect(planted.met.size).toBeGreaterThan(0)
    said.push(...(await peeked(bench, pii, log)))
    return { topics: bytesOf(line.kafka), said }
  })
}

function baseWith(bench: Bench, keys: Readonly<Record<string, string>>): BaseConfig {
  const parsed = parseConnectorConfig('planted', { ...bench.flat, ...keys }, bench.connector)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.base
}

/** What the two commands print, errors included. Records only where a policy hides persons in them. */
async function peeked(bench: Bench, pii: BaseConfig['pii'], log: ReturnType<typeof createLog>): Promise<string[]> {
  let nowMs = overAt(bench)
  bench.setTime(() => nowMs)
  const clock = {
    now: () => nowMs,
    sleep: async (ms: number) => {
      nowMs += Math.max(0, ms)
      await new Promise(resolve => setImmediate(resolve))
    },
  }
  const { connector, config, base } = bench
  const quota = { perSecond: 0, perMinute: 0, perHour: 0, concurrency: 0, gapMs: 0 }
  const of = {
    connector,
    config,
    base: { ...base, pii, quota, lookbackMs: overAt(bench) - bench.vendor.window.fromMs },
    clock,
    log,
    signal: new AbortController().signal,
  }
  const told: string[] = []
  try {
    for await (const { kind, record } of peekConnector({ ...of, name: 'planted', limit: 400 }))
      told.push(pii !== null ? JSON.stringify(record) : kind === 'reject' ? JSON.stringify({ ...record, row: null }) : '')
    for (const { look } of probesOf(of)) await look()
  } catch (thrown) {
    told.push(JSON.stringify(errorFields(asFlowError(thrown))))
  }
  return told
}

function bytesOf(kafka: {
  committed: (topic: string) => { key: Buffer | null; value: Buffer | null; headers: Readonly<Record<string, Buffer>> }[]
}) {
  return Object.values(NAMES).flatMap(topic =>
    kafka.committed(topic).map(({ key, value, headers }) => ({
      topic,
      bytes: Buffer.concat(
        [key, value, ...Object.entries(headers).flatMap(([name, text]) => [Buffer.from(name), text])].map(part =>
          Buffer.concat([part ?? Buffer.alloc(0), Buffer.from('\n')]),
        ),
      ),
    })),
  )
}

function leaksIn(texts: readonly (Buffer | string)[], where: string): string[] {
  const leaks = texts.flatMap(text => {
    const hits = found(text)
    return hits.length === 0
      ? []
      : [
          `${where}: ${hits.join(', ')} in ${String(text)
            .replace(/[^\x20-\x7e]+/g, '·')
            .slice(0, 3000)}`,
        ]
  })
  return leaks.slice(0, 4)
}

describe.each(subjects)('%s', (_title, subject) => {
  test('with the standard policy no person leaves', { timeout: 150_000 }, async () => {
    const { topics, said } = await leftBy(subject, STANDARD)
    const leaks = [...Map.groupBy(topics, ({ topic }) => topic)].flatMap(([topic, records]) =>
      leaksIn(
        records.map(({ bytes }) => bytes),
        topic,
      ),
    )
    expect([...leaks, ...leaksIn(said, 'said')]).toEqual([])
    expect(new Set(topics.map(({ topic }) => topic)).size).toBeGreaterThanOrEqual(5)
  })

  test('without a policy none is in logs, errors and metrics', { timeout: 150_000 }, async () => {
    const { topics, said } = await leftBy(subject, {})
    expect(leaksIn(said, 'said')).toEqual([])
    expect(
      topics.some(({ bytes }) => found(bytes).length > 0),
      'the marks are found where they may be',
    ).toBe(true)
  })
})
