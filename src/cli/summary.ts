/** Logs a line a minute for each connector that this process reads, with its counts. */
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { CounterName, LabelsOf, Metrics } from '../metrics.ts'

export interface Tally {
  /** Committed sessions, messages and events. */
  records: number
  sessions: number
  /** Rows and records that became dead letters. */
  rejects: number
  /** To the vendor, each try. */
  requests: number
}

/**
 * The metrics, with counts by connector in addition. Not read from the counters, because those fold connectors if a process has many.
 *
 * @returns `take` returns the counts since the last call.
 */
export function tallied<M extends Pick<Metrics, 'inc'>>(metrics: M): { metrics: M; take: () => ReadonlyMap<string, Tally> } {
  let tallies = new Map<string, Tally>()
  const tallyOf = (connector: string | number) => {
    const known = tallies.get(String(connector))
    if (known !== undefined) return known
    const tally = nothing()
    tallies.set(String(connector), tally)
    return tally
  }
  const count = (name: CounterName, labels: Readonly<Record<string, string | number>>, n: number) => {
    const { connector, kind } = labels
    if (connector === undefined) return
    if (name === 'ingest_records_total') tallyOf(connector).records += n
    if (name === 'ingest_records_total' && kind === 'session') tallyOf(connector).sessions += n
    if (name === 'ingest_rejects_total') tallyOf(connector).rejects += n
    if (name === 'vendor_requests_total') tallyOf(connector).requests += n
  }
  const inc = <N extends CounterName>(name: N, labels: LabelsOf<N>, n = 1) => {
    metrics.inc(name, labels, n)
    count(name, labels, n)
  }
  return {
    metrics: { ...metrics, inc },
    take: () => {
      const taken = tallies
      tallies = new Map()
      return taken
    },
  }
}

function nothing(): Tally {
  return { records: 0, sessions: 0, rejects: 0, requests: 0 }
}

export interface SummaryOptions {
  readonly take: () => ReadonlyMap<string, Tally>
  /** The connectors with a task here now; they have a line also when nothing was read. */
  readonly here: () => Iterable<string>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const EVERY_MS = 60_000

/** Resolves when the signal has aborted. */
export async function logSummaries({ take, here, clock, log, signal }: SummaryOptions): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS, signal)
    if (signal.aborted) return
    const tallies = take()
    for (const connector of [...new Set([...here(), ...tallies.keys()])].toSorted())
      log.child({ connector }).info({ ...(tallies.get(connector) ?? nothing()) }, 'read in the last minute')
  }
}
