/**
 * What the suites of `npm run bench` have in common: one role of the product, or one raw sender, in a process of its own whose CPU is read from outside (Linux);
 * and how many records and bytes stand on a topic.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Kafka } from '../src/kafka/port.ts'
import { cpuUsOf, peakKiBOf, startChild } from './child.ts'
import type { Profiling } from './profiled.ts'

/** What all suites of a run share. */
export interface Place {
  readonly brokers: string
  readonly registry: string
  readonly kafka: Kafka
  /** For config files; thrown away. */
  readonly folder: string
}

/** A line of the report in one round. */
export interface Line {
  readonly what: string
  /** What was counted in the round, warm-up included. */
  readonly count: number
  /** Of each of them: a row as the vendor sends it, or key and value of a record. */
  readonly bytes: number
  readonly sample: Sample
}

/** CPU is user and system time of the measured process alone. */
export interface Sample {
  readonly cpuUs: number
  readonly perSecond: number
  /** Null: not measured. */
  readonly peakMiB: number | null
}

export interface Suite {
  readonly name: string
  /** The product's lines of one round, one after the other. @param prefix Of topics that nobody has used. */
  measure(prefix: string, product: Product): AsyncIterable<Line>
  /** The raw lines of the round, with what `measure` wrote to the topics of this prefix. */
  raw(prefix: string): AsyncIterable<Line>
  /** What was measured, in words; after the last round. */
  about(): string
  stop(): void
}

/** What is measured, and how. */
export interface Product {
  /** Root of a checkout of this repository. */
  readonly root: URL
  /** Where the CPU profile of a line is to be written; null: no profile. */
  readonly profileOf: (what: string) => string | null
}

/** This part of what is counted comes before measuring begins. */
const WARM_UP = 0.1
const EVERY_MS = 100
/** So long nothing here takes, on a busy machine either. */
const PATIENCE_MS = 900_000
/** Records of a transaction of the raw lines; about what ingest commits at once. */
const PER_TRANSACTION = 5000

const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))

export interface Work {
  /** Of the checkout that is measured. */
  readonly root: URL
  readonly role: 'worker' | 'aggregator'
  /** Config file. */
  readonly config: string
  /** Name of the counter of its metrics that says how far it is, summed over all labels. */
  readonly counter: string
  /** Where that counter stands in the end. */
  readonly count: number
  /** Where the counter stands when measuring begins. Default: a tenth of the count. */
  readonly from?: number
  /** Null: no profile. */
  readonly profile: string | null
  /** Ends the process only when its stream has nothing left to read, which is not measured. Default false. */
  readonly untilLive?: boolean
}

/** Runs one role until its counter stands at the count. */
export async function measureRole({
  root,
  role,
  config,
  counter,
  count,
  from: begin = count * WARM_UP,
  profile,
  untilLive = false,
}: Work): Promise<Sample> {
  const loader = profile === null ? [] : ['--import', new URL('profiled.ts', import.meta.url).href]
  const main = [fileURLToPath(new URL('src/main.ts', root)), 'run', '--config', config, '--roles', role]
  const child = startChild('--max-semi-space-size=8', [...loader, ...main])
  const { pid = 0 } = child.process
  const ended = child.ended.then(() => Promise.reject(new Error(`${role} ended by itself: ${child.lastLine()}`)))
  const tell = (order: Profiling) => Promise.race([child.ask(order), ended])
  try {
    const port = await Promise.race([child.port, ended])
    const deadlineMs = performance.now() + PATIENCE_MS
    let before: Mark | null = null
    let began: Mark | null = null
    let sample: Sample | null = null
    for (;;) {
      const metrics = await Promise.race([metricsOf(port), ended])
      const now = { count: sumOf(metrics, counter), cpuUs: cpuUsOf(pid), wallMs: performance.now() }
      if (sample === null && now.count >= count) {
        // So little that all of it was there at once: then with the warm-up.
        const from: Mark | null = began ?? before
        if (from === null || (profile !== null && began === null)) throw new Error(`${count} are too few to measure`)
        const done = now.count - from.count
        const perSecond = done / ((now.wallMs - from.wallMs) / 1000)
        sample = { cpuUs: (now.cpuUs - from.cpuUs) / done, perSecond, peakMiB: peakKiBOf(pid) / 1024 }
        if (profile !== null) await tell({ profile: 'end', file: profile })
      }
      if (sample !== null && (!untilLive || isLive(metrics))) return sample
      if (began === null && now.count >= begin) {
        began = now
        if (profile !== null) await tell({ profile: 'begin' })
      }
      before = now
      if (now.wallMs > deadlineMs) throw new Error(`${role} stands at ${now.count} of ${count}: ${child.lastLine()}`)
      await new Promise(resolve => {
        setTimeout(resolve, EVERY_MS)
      })
    }
  } finally {
    child.process.kill('SIGTERM')
    await child.ended
  }
}

interface Mark {
  readonly count: number
  readonly cpuUs: number
  readonly wallMs: number
}

async function metricsOf(port: number): Promise<string[]> {
  return (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).split('\n')
}

function sumOf(metrics: readonly string[], counter: string): number {
  let sum = 0
  for (const line of metrics) if (line.startsWith(`${counter}{`)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  return sum
}

/** The one stream has read what there is. */
function isLive(metrics: readonly string[]): boolean {
  return metrics.some(line => line.startsWith('colloquy_stream_state{') && line.includes('state="live"') && line.endsWith(' 1'))
}

/**
 * The raw limit: what stands on `prefix`'s topics, encoded already, through kafkajs as it is (`plain`) and through our writer (`edge`), to as many partitions.
 *
 * @param bytes Of one of those records.
 */
export async function* rawLines(
  { brokers, kafka }: Place,
  prefix: string,
  { count, bytes, partitions }: { count: number; bytes: number; partitions: number },
): AsyncGenerator<Line> {
  for (const kind of ['plain', 'edge'] as const) {
    const target = `${prefix}-raw-${kind}`
    await kafka.ensureTopics([{ topic: target, partitions, replicationFactor: null, config: {} }], { create: true })
    const sizes = [count, PER_TRANSACTION, partitions].map(String)
    const child = startChild(here('raw.ts'), [kind, brokers, prefix, target, ...sizes])
    const told = JSON.parse(await child.firstLine()) as { records: number; cpuUs: number; wallMs: number }
    await child.ended
    const sample = { cpuUs: told.cpuUs / told.records, perSecond: told.records / (told.wallMs / 1000), peakMiB: null }
    yield { what: kind === 'plain' ? RAW_KAFKAJS : 'raw: through our writer', count, bytes, sample }
  }
}

/** The line that others are compared with. */
export const RAW_KAFKAJS = 'raw: kafkajs as it is'

export interface Size {
  readonly records: number
  /** Different keys. */
  readonly keys: number
  /** Of a record, key and value; 0 where there is none. */
  readonly bytes: number
}

/** What a reader of the topics sees who reads committed records only. */
export async function sizeOf(kafka: Kafka, topics: readonly string[], partitions: number): Promise<Size> {
  const keys = new Set<string>()
  let records = 0
  let bytes = 0
  for (const topic of topics)
    for (let partition = 0; partition < partitions; partition++)
      await kafka.readToEnd({ topic, partition }, ({ key, value }) => {
        records++
        bytes += (key?.length ?? 0) + (value?.length ?? 0)
        if (key !== null) keys.add(key.toString('latin1'))
      })
  return { records, keys: keys.size, bytes: records === 0 ? 0 : bytes / records }
}

/** A config file for the roles, with one connector. */
export function writeConfig(
  { brokers, registry, folder }: Place,
  {
    prefix,
    name = prefix,
    partitions,
    connector,
  }: { prefix: string; name?: string; partitions: number; connector: Readonly<Record<string, unknown>> },
): string {
  const file = join(folder, `${name}.yaml`)
  const config = {
    kafka: { brokers: [brokers] },
    registry: { url: registry },
    topics: { prefix, partitions },
    http: { port: 0 },
    log: { level: 'info' },
    connectors: { bench: connector },
  }
  writeFileSync(file, JSON.stringify(config))
  return file
}
