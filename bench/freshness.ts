/**
 * `npm run bench:freshness [-- --vendors a,b --rates 2400,12000,60000 --days N]`: how long transfers take to the topics, and what that costs the vendor, with default
 * settings and the quota that the connector knows, over days of simulated time: time jumps when nothing is under way, so answers take none. Each vendor's simulator
 * shows a world in which so many sessions begin a day. A day of warming up comes before, so that passes over old rows are under way. Prints a block for `results.md`, and
 * puts the figures into `freshness.json`, from which the connectors' pages have theirs (`npm run generate`).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { noConnectMetrics } from '../src/connect-metrics.ts'
import { withBench } from '../src/conformance/bench.ts'
import { transfersOf } from '../src/conformance/checks-prompt.ts'
import { Line, OWN_QUOTA } from '../src/conformance/pipeline.ts'
import { scheduleOf } from '../src/ingest/schedule.ts'
import type { IngestMetrics } from '../src/ingest/stages.ts'
import { findConnector } from '../src/source/registry.ts'
import { createWorld } from '../src/sim/index.ts'
import { launch } from '../test/support/fleet.ts'
import { startChild } from './child.ts'
import { dateAndCommit, figure } from './report.ts'

const { values } = parseArgs({
  options: {
    vendors: { type: 'string', default: 'botmaker,chatlayer,koreai,syntphony,wolkvox' },
    rates: { type: 'string', default: '2400,12000,60000' },
    days: { type: 'string', default: '3' },
    /** Of the day before, hours: how long the worker has run when measuring begins. */
    warm: { type: 'string', default: '24' },
    child: { type: 'string' },
  },
})

interface Measured {
  readonly vendor: string
  readonly rate: number
  readonly days: number
  /** Transfers that happened at the vendor in the time measured, and those of them that are on no topic at its end. */
  readonly transfers: number
  readonly missing: number
  /** From the transfer to the commit of the first record that tells it, seconds. */
  readonly p50: number
  readonly p95: number
  readonly most: number
  readonly requestsPerHour: number
  readonly quotaPerHour: number | null
  /** How often a row of a session stream was read, for each session that began. */
  readonly readsPerSession: number
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

if (values.child === undefined) {
  const all: Measured[] = []
  for (const vendor of values.vendors.split(','))
    for (const rate of values.rates.split(',')) {
      const args = ['--child', `${vendor} ${rate}`, '--days', values.days, '--warm', values.warm]
      const line = await startChild(fileURLToPath(import.meta.url), args).firstLine()
      process.stderr.write(`${line}\n`)
      all.push(JSON.parse(line) as Measured)
    }
  keep(all)
  process.stdout.write(report(all))
} else {
  const [vendor = '', rate = ''] = values.child.split(' ')
  process.stdout.write(`${JSON.stringify(await measure(vendor, Number(rate), Number(values.days)))}\n`)
  process.exit(0)
}

async function measure(vendor: string, rate: number, days: number): Promise<Measured> {
  const warmMs = Number(values.warm) * HOUR_MS
  const startMs = Date.parse('2026-11-02T00:00:00Z')
  const fromMs = startMs + warmMs
  const untilMs = fromMs + days * DAY_MS
  const sessions = Math.round((rate * (untilMs - startMs)) / DAY_MS)
  // All are kept: simulators look days back at each request, and making a conversation takes longer than looking at it.
  const world = createWorld({ seed: 1, sessions, kept: sessions, fromMs: startMs, untilMs, incidents: [], transferShare: 0.2 })
  const connector = await findConnector(vendor, '.')
  const counted = new Map<string, number>()
  const count: IngestMetrics['inc'] = (name, labels, n = 1) => {
    const key = `${name} ${String(({ stream: '', ...labels } as { stream: string | number }).stream)}`
    counted.set(key, (counted.get(key) ?? 0) + n)
  }
  const metrics: IngestMetrics = {
    inc: count,
    observe: () => {},
    set: () => {},
    setStreamState: () => {},
    remove: () => {},
    connect: noConnectMetrics,
  }
  const subject = {
    connector,
    async start({ now }: { now: () => number }) {
      const [ship] = await launch({ world, now }, [vendor])
      if (ship === undefined) throw new Error(`there is no ${vendor}`)
      const config = Object.fromEntries(Object.entries(ship.keys).filter(([key]) => !key.startsWith('quota.')))
      return { config, window: { fromMs: startMs, untilMs }, truth: ship.truth, stop: () => ship.simulator.stop() }
    },
  }
  return withBench(subject, null, async bench => {
    const line = new Line(bench, { startMs, base: { startAtMs: null, quota: OWN_QUOTA } })
    let warmRequests: number | null = null
    let warmCounted = new Map<string, number>()
    await line.live({
      metrics,
      mostRequests: Infinity,
      longestMs: 24 * HOUR_MS,
      until: () => {
        const nowMs = line.clock.now()
        if (warmRequests === null && nowMs >= fromMs) {
          warmRequests = bench.proxy.requests
          warmCounted = new Map(counted)
        }
        return nowMs >= untilMs
      },
    })
    const hours = (untilMs - fromMs) / HOUR_MS
    const topics = await line.topics()
    // A subject's truth may leave out session keys, so sessions are matched by the time of their transfer.
    const told = new Map(transfersOf(topics.sessions).map(each => [each.atMs, each]))
    const truth = bench.vendor.truth?.(untilMs).sessions ?? []
    const isDue = (atMs: number, startedMs: number) => atMs >= fromMs && atMs < untilMs - HOUR_MS && startedMs >= startMs
    const due = truth.flatMap(({ transferred_at: at, started_at: startedAt }) =>
      at !== undefined && at !== null && isDue(at, startedAt ?? at) ? [at] : [],
    )
    const delays = due.flatMap(atMs => {
      const found = told.get(atMs)
      return found === undefined ? [] : [(found.writtenMs - found.atMs) / 1000]
    })
    delays.sort((a, b) => a - b)
    const at = (part: number) => delays[Math.min(delays.length - 1, Math.floor(part * delays.length))] ?? Number.NaN
    const stream = connector.manifest.sessionStream ?? bench.base.streams[0] ?? ''
    const since = (name: string) => (counted.get(`${name} ${stream}`) ?? 0) - (warmCounted.get(`${name} ${stream}`) ?? 0)
    const { quotaPerHour } = scheduleOf({ name: 'bench', connector, base: bench.base, config: bench.config })
    return {
      vendor,
      rate,
      days,
      transfers: due.length,
      missing: due.length - delays.length,
      p50: at(0.5),
      p95: at(0.95),
      most: at(1),
      requestsPerHour: (bench.proxy.requests - (warmRequests ?? 0)) / hours,
      quotaPerHour,
      readsPerSession: 1 + since('rereads_total') / (rate * days),
    }
  })
}

/** Those of other vendors and rates stay as they were measured. */
function keep(all: readonly Measured[]): void {
  const file = new URL('freshness.json', import.meta.url)
  const standing = JSON.parse(readFileSync(file, 'utf8')) as (Measured & { measured: string })[]
  const others = standing.filter(old => all.every(({ vendor, rate }) => old.vendor !== vendor || old.rate !== rate))
  const now = [...others, ...all.map(of => ({ measured: dateAndCommit(), ...of }))]
  const sorted = now.toSorted((a, b) => a.vendor.localeCompare(b.vendor) || a.rate - b.rate)
  writeFileSync(file, `${JSON.stringify(sorted, null, 2)}\n`)
}

function report(all: readonly Measured[]): string {
  const rows = all.map(of =>
    [
      of.vendor,
      figure(of.rate),
      figure(of.transfers),
      figure(of.missing),
      figure(of.p50),
      figure(of.p95),
      figure(of.most),
      figure(of.requestsPerHour),
      of.quotaPerHour === null ? 'none' : figure(of.quotaPerHour),
      figure(of.readsPerSession),
    ].join(' | '),
  )
  return `
## ${dateAndCommit()}: from a transfer to the topics

${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, Node ${process.versions.node}; \`npm run bench:freshness\`, ${all[0]?.days} days of simulated time after ${values.warm} hours of warming up, default settings; answers take no time.

| Vendor | Sessions a day | Transfers | Missing | p50, s | p95, s | Most, s | Requests an hour | Quota an hour | Reads a session |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${rows.map(row => `| ${row} |`).join('\n')}
`
}
