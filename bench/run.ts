/**
 * `npm run bench [-- --sessions N --rounds N]`: what a record costs, from the simulator's page to the committed transaction (ingest), from topic to
 * series (aggregate), and at the raw limit: the same bytes, encoded already, in transactions of the same size, through kafkajs as it is and through
 * our writer. Each in a process of its own, whose CPU is read from outside (Linux), interleaved, all in one run. Prints a block for `results.md`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createLog } from '../src/log.ts'
import { connectKafka } from '../src/kafka/client.ts'
import { startStack } from '../src/stack/stack.ts'
import { cpuUsOf, peakKiBOf, startChild } from './child.ts'
import { dateAndCommit, machine, spread } from './report.ts'

const { values } = parseArgs({
  options: { sessions: { type: 'string', default: '20000' }, rounds: { type: 'string', default: '3' } },
})
const sessions = Number(values.sessions)
const rounds = Number(values.rounds)
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'colloquy-bench-'))
const log = createLog('warn')
const PER_TRANSACTION = 5000

interface Sample {
  readonly cpuUsPerRecord: number
  readonly recordsPerSecond: number
  readonly peakMiB: number
}
const samples = new Map<string, Sample[]>()
const note = (name: string, sample: Sample) => {
  samples.set(name, [...(samples.get(name) ?? []), sample])
  process.stderr.write(
    `${name}: ${sample.cpuUsPerRecord.toFixed(2)} us CPU a record, ${Math.round(sample.recordsPerSecond)} records/s\n`,
  )
}

const stack = await startStack({ profile: 'demo', log, env: process.env })
const vendor = startChild(here('vendor.ts'), [String(sessions)])
const world = JSON.parse(await vendor.firstLine()) as {
  config: Record<string, string>
  fromMs: number
  records: number
  messages: number
  sessions: number
}
process.stderr.write(`${world.records} records (${world.messages} messages) of ${world.sessions} sessions\n`)

for (let round = 0; round < rounds; round++) {
  const prefix = `bench${round}`
  const config = join(folder, `${prefix}.yaml`)
  writeFileSync(config, JSON.stringify(configOf(prefix)))
  note('ingest: page to commit', await measureRole('worker', config, 'colloquy_ingest_records_total'))
  note('aggregate: topic to series', await measureRole('aggregator', config, 'colloquy_aggregate_records_total'))
  for (const kind of ['plain', 'edge'] as const)
    note(kind === 'plain' ? 'raw: kafkajs as it is' : 'raw: through our writer', await measureRaw(kind, prefix))
}

vendor.process.kill('SIGKILL')
await stack.stop()
rmSync(folder, { recursive: true, force: true })
process.stdout.write(report())
process.exit(0)

function configOf(prefix: string): object {
  return {
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix, partitions: 6 },
    http: { port: 0 },
    log: { level: 'info' },
    connectors: {
      bench: {
        'connector.class': 'botmaker',
        ...world.config,
        'start.at': new Date(world.fromMs).toISOString(),
        'quota.per.second': 0,
        'quota.concurrency': 0,
        // One look at the live edge and none back: what is measured is the backfill.
        'poll.interval.ms': 600_000,
        'lookback.interval.ms': 3_600_000,
      },
    },
  }
}

/** Runs one role until the counter stands at the number of records; CPU from the first tenth to the last record. */
async function measureRole(role: string, config: string, counter: string): Promise<Sample> {
  const child = startChild('--max-semi-space-size=8', [here('../src/main.ts'), 'run', '--config', config, '--roles', role])
  const port = await child.port
  const count = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    return text
      .split('\n')
      .filter(line => line.startsWith(`${counter}{`))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }
  let began: { records: number; cpuUs: number; wall: number } | undefined
  let peakKiB = 0
  for (;;) {
    const records = await count()
    const { pid = 0 } = child.process
    const now = { records, cpuUs: cpuUsOf(pid), wall: performance.now() }
    peakKiB = Math.max(peakKiB, peakKiBOf(pid))
    if (began === undefined && records >= world.records / 10) began = now
    if (records >= world.records) {
      child.process.kill('SIGTERM')
      await child.ended
      if (began === undefined || began.records === records) throw new Error('too few records to measure')
      return {
        cpuUsPerRecord: (now.cpuUs - began.cpuUs) / (records - began.records),
        recordsPerSecond: (records - began.records) / ((now.wall - began.wall) / 1000),
        peakMiB: peakKiB / 1024,
      }
    }
    if (child.process.exitCode !== null) throw new Error(`${role} ended by itself: ${child.lastLine()}`)
    await new Promise(resolve => {
      setTimeout(resolve, 250)
    })
  }
}

async function measureRaw(kind: 'plain' | 'edge', prefix: string): Promise<Sample> {
  const target = `${prefix}-raw-${kind}`
  const kafka = connectKafka({ brokers: [stack.brokers], clientId: 'bench', log })
  await kafka.ensureTopics([{ topic: target, partitions: 6, replicationFactor: null, config: {} }], { create: true })
  await kafka.close()
  const child = startChild(here('raw.ts'), [kind, stack.brokers, prefix, target, String(world.records), String(PER_TRANSACTION)])
  const { records, cpuUs, wallMs } = JSON.parse(await child.firstLine()) as { records: number; cpuUs: number; wallMs: number }
  await child.ended
  return { cpuUsPerRecord: cpuUs / records, recordsPerSecond: records / (wallMs / 1000), peakMiB: Number.NaN }
}

function report(): string {
  const rows = [...samples].map(([name, list]) => {
    const cpuUs = list.map(sample => sample.cpuUsPerRecord)
    const perCpuSecond = cpuUs.map(us => 1e6 / us)
    const peaks = list.map(sample => sample.peakMiB).filter(peak => !Number.isNaN(peak))
    return `| ${name} | ${spread(cpuUs, 2)} | ${spread(perCpuSecond)} | ${spread(list.map(sample => sample.recordsPerSecond))} | ${spread(peaks)} |`
  })
  return `
## ${dateAndCommit()}

${machine(stack.info.kafkaVersion)}; ${rounds} rounds, interleaved;
${world.records} records (${world.messages} messages) of ${world.sessions} sessions a round, the first tenth not counted. Median (least to most).

| What | CPU µs a record | Records a CPU second | Records a second | Peak MiB |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`
}
