/**
 * `npm run bench:vendors [-- --sessions N --rounds N --vendors a,b]`: so many conversations of each vendor, read from start to end, one
 * vendor after the other, and all again in each round: time, requests against the least possible, records per CPU second of the worker, its peak
 * memory. Limits of ours are off, so what is measured is the work, not the waiting; what the vendor's documented limits would make of it is told beside
 * it. Linux. Prints a block for `results.md`.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createLog } from '../src/log.ts'
import { startStack } from '../src/stack/stack.ts'
import { cpuUsOf, peakKiBOf, startChild } from './child.ts'
import { dateAndCommit, figure, machine, spread } from './report.ts'
import type { Fleet, Told } from './vendor-child.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    vendors: { type: 'string', default: 'botmaker,chatlayer,koreai,syntphony,wolkvox' },
  },
})
const sessions = Number(values.sessions)
const rounds = Number(values.rounds)
const vendors = values.vendors.split(',')
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'colloquy-bench-'))

interface Sample extends Told {
  readonly vendor: string
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly peakMiB: number
}

const stack = await startStack({ profile: 'demo', log: createLog('warn'), env: process.env })
const samples: Sample[] = []
for (let round = 1; round <= rounds; round++)
  for (const vendor of vendors) {
    const sample = await measure(vendor, round)
    samples.push(sample)
    process.stderr.write(`${vendor}: ${sample.records} records in ${sample.seconds.toFixed(1)} s, ${sample.requests} requests\n`)
  }
await stack.stop()
rmSync(folder, { recursive: true, force: true })
process.stdout.write(report())
process.exit(0)

async function measure(vendor: string, round: number): Promise<Sample> {
  const simulator = startChild(here('vendor-child.ts'), [vendor, String(sessions)])
  const fleet = JSON.parse(await simulator.firstLine()) as Fleet
  const config = join(folder, `${vendor}.yaml`)
  writeFileSync(
    config,
    JSON.stringify({
      kafka: { brokers: [stack.brokers] },
      registry: { url: stack.registry },
      topics: { prefix: `bench-${vendor}-${round}`, partitions: 6 },
      http: { port: 0 },
      connectors: {
        bench: {
          'connector.class': vendor,
          ...fleet.keys,
          'start.at': new Date(fleet.fromMs).toISOString(),
          // One look at the live edge and none back: what is measured is the backfill.
          'poll.interval.ms': 3_600_000,
          'lookback.interval.ms': 86_400_000,
        },
      },
    }),
  )
  const began = performance.now()
  const child = startChild('--max-semi-space-size=8', [here('../src/main.ts'), 'run', '--config', config, '--roles', 'worker'])
  const port = await child.port
  const { pid = 0 } = child.process
  let peakKiB = 0
  for (;;) {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
    peakKiB = Math.max(peakKiB, peakKiBOf(pid))
    const streams = valuesOf(text, 'colloquy_ingest_complete_until_timestamp_seconds')
    if (streams.length >= fleet.streams && streams.every(seconds => seconds * 1000 > fleet.untilMs)) {
      const cpuSeconds = cpuUsOf(pid) / 1e6
      const seconds = (performance.now() - began) / 1000
      const records = valuesOf(text, 'colloquy_ingest_records_total').reduce((sum, value) => sum + value, 0)
      child.process.kill('SIGTERM')
      await child.ended
      const told = await simulator.ask<Told>()
      simulator.process.kill('SIGKILL')
      return { vendor, ...told, records, seconds, cpuSeconds, peakMiB: peakKiB / 1024 }
    }
    if (child.process.exitCode !== null) throw new Error(`the worker ended by itself: ${child.lastLine()}`)
    await new Promise(resolve => {
      setTimeout(resolve, 200)
    })
  }
}

function valuesOf(metrics: string, name: string): number[] {
  return metrics
    .split('\n')
    .filter(line => line.startsWith(`${name}{`))
    .map(line => Number(line.slice(line.lastIndexOf(' ') + 1)))
}

function report(): string {
  const rows = vendors.map(vendor => {
    const of = samples.filter(sample => sample.vendor === vendor)
    const told = (value: (sample: Sample) => number, digits = 0) => spread(of.map(value), digits)
    const [{ requests, least, quotaSeconds }] = of as [Sample]
    return [
      vendor,
      told(({ records }) => records),
      told(({ seconds }) => seconds, 1),
      told(sample => sample.requests),
      figure(least),
      figure(requests / least, 2),
      told(({ records, cpuSeconds }) => records / cpuSeconds),
      told(({ peakMiB }) => peakMiB),
      quotaSeconds === null ? '' : figure(quotaSeconds),
    ].join(' | ')
  })
  return `
## ${dateAndCommit()}: ${figure(sessions)} conversations of each vendor

${machine(stack.info.kafkaVersion)}; ${rounds} rounds, one vendor after the other in each; median (least to most).
Limits of ours are off but for requests under way at once; start-up is included. Simulator, broker and registry share the two cores.

| Vendor | Records | Seconds | Requests | Least possible | Requests / least | Records a CPU second | Peak MiB | Seconds its documented limits would take |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
${rows.map(row => `| ${row} |`).join('\n')}
`
}
