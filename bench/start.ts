/**
 * `node bench/start.ts [--scopes N] [--polls N]`: how long a worker with many scopes takes until it is ready, on topics that hold a week of polls, and
 * the most memory it had. The topics are as they are before any compaction. Prints a line for `results.md`.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/clock.ts'
import { startIngest } from '../src/ingest/start.ts'
import { connectKafka } from '../src/kafka/client.ts'
import { connectRegistry } from '../src/kafka/registry.ts'
import { createLog } from '../src/log.ts'
import { createMetrics } from '../src/metrics.ts'
import type { BaseConfig } from '../src/source/config.ts'
import { NO_TRANSFERS } from '../src/source/transfers.ts'
import { startStack } from '../src/stack/stack.ts'
import { topicNames, topicSpecs } from '../src/topics.ts'
import { CONNECTOR, manyScopes, prefill } from '../test/support/many-scopes.ts'
import { peakKiBOf, startChild } from './child.ts'
import { dateAndCommit, machine } from './report.ts'

const { values } = parseArgs({
  options: {
    scopes: { type: 'string', default: '200' },
    polls: { type: 'string', default: '10080' },
    child: { type: 'string' },
  },
})
const scopes = Number(values.scopes)
const polls = Number(values.polls)
const prefix = 'bench'
const partitions = 6
const log = createLog('warn')

if (values.child === undefined) {
  const stack = await startStack({ profile: 'demo', log, env: process.env })
  const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
  await kafka.ensureTopics(topicSpecs({ prefix, partitions, replicationFactor: 1, longestLookbackMs: 172_800_000 }), {
    create: true,
  })
  process.stderr.write(`writing ${scopes * polls} cursors\n`)
  await prefill(kafka, { names: topicNames(prefix), partitions, scopes, polls, nowMs: Date.now() })
  for (let round = 0; round < 3; round++) {
    const beganMs = performance.now()
    const given = JSON.stringify({ brokers: stack.brokers, registry: stack.registry })
    const child = startChild(fileURLToPath(import.meta.url), [
      '--scopes',
      values.scopes,
      '--polls',
      values.polls,
      '--child',
      given,
    ])
    const line = await child.firstLine()
    const tookMs = performance.now() - beganMs
    const peakMiB = Math.round(peakKiBOf(child.process.pid ?? 0) / 1024)
    process.stdout.write(
      `${machine(stack.info.kafkaVersion)}; ${dateAndCommit()}: ${scopes} scopes, ${polls} polls each: ready ${(tookMs / 1000).toFixed(1)} s after the process began ` +
        `(${line} ms of them in startIngest), peak ${peakMiB} MiB\n`,
    )
    child.process.kill('SIGKILL')
    await child.ended
  }
  await kafka.close()
  await stack.stop()
} else {
  const { brokers, registry } = JSON.parse(values.child) as { brokers: string; registry: string }
  const base: BaseConfig = {
    connectorClass: 'many',
    tasksMax: 1,
    account: 'acme',
    startAtMs: null,
    pollIntervalMs: null,
    lookbackMs: null,
    lookbackIntervalMs: null,
    streams: ['sessions'],
    errorsTolerance: 'all',
    pii: null,
    transfers: NO_TRANSFERS,
    quota: { perSecond: null, perMinute: null, perHour: null, concurrency: null, gapMs: null },
  }
  const beganMs = performance.now()
  const ingest = await startIngest({
    kafka: connectKafka({ brokers: [brokers], clientId: 'bench', log }),
    registry: connectRegistry({ url: registry, log }),
    names: topicNames(prefix),
    partitions,
    connectors: [{ name: CONNECTOR, connector: manyScopes(scopes), base, config: {} }],
    clock: systemClock,
    log,
    metrics: createMetrics({ processMetrics: false }),
    signal: new AbortController().signal,
  })
  while (!ingest.ready().ok) await systemClock.sleep(10)
  process.stdout.write(`${Math.round(performance.now() - beganMs)}\n`)
}
