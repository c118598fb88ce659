import { systemClock } from '../clock.ts'
import { asFlowError } from '../errors.ts'
import { durabilityWarnings } from '../kafka/durability.ts'
import type { Kafka } from '../kafka/port.ts'
import { factsOf, probesOf } from '../ingest/peek.ts'
import { type Daily, scheduleOf } from '../ingest/schedule.ts'
import { type ConnectorToRun, tellsTransfers } from '../ingest/source-partition.ts'
import { createLog, errorFields, type Log } from '../log.ts'
import { quotaPool } from '../source/quota.ts'
import { readArgs } from './args.ts'
import { backtestOf, figuresOf } from './backtest.ts'
import { type Io, refuse } from './io.ts'
import { openKafka, openRegistry, readSetup, type Setup } from './setup.ts'

const DOES_NOT_FIT =
  'the steady state takes more than a third of the quota, which leaves too little for backfill and repeats; raise poll.interval.ms or lookback.interval.ms, or lower lookback.ms (hot.ms is shortened by itself)'

/** For everything: some vendors are asked seconds apart. */
const TIMEOUT_MS = 180_000
const NO_TRANSFERS =
  "nothing tells this connector which conversations went to an agent, so agent_transfers and sessions_agent of its bots are null; set transfer.rules, or the keys that the connector's page names"

/**
 * `colloquy check`: the file first, then Kafka, the registry and every stream of every vendor with its real credentials. One line a finding on stdout, `ok`, `info`, `warning` or `fault`;
 * all are tried, also when one fails.
 */
export async function checkCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, { config: { type: 'string', required: true } })
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const read = await readSetup(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const { setup } = read
  io.stdout(JSON.stringify({ finding: 'ok', what: 'config', connectors: setup.connectors.map(({ name }) => name) }))

  const quiet = createLog('silent')
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(TIMEOUT_MS)])
  let faults = 0
  const find = async (what: string, ask: () => Promise<object>, place: object = {}) => {
    try {
      io.stdout(JSON.stringify({ finding: 'ok', what, ...place, ...(await ask()) }))
    } catch (thrown) {
      faults += 1
      const error = asFlowError(thrown)
      io.stdout(JSON.stringify({ finding: 'fault', what, ...errorFields(error), ...place }))
    }
  }

  const kafka = openKafka(setup, quiet)
  let brokers: number | null = null
  await find('kafka', async () => {
    const cluster = await kafka.describe()
    ;({ brokers } = cluster)
    return cluster
  })
  // Of the topics that are there; `run` makes the others.
  if (brokers !== null) for (const warning of await warningsOf(kafka, setup, brokers)) io.stdout(JSON.stringify(warning))
  if (brokers !== null) for (const finding of await lastWeekOf(setup, kafka, quiet, signal)) io.stdout(JSON.stringify(finding))
  await kafka.close()
  await find('registry', async () => {
    await openRegistry(setup, quiet).ping()
    return { url: setup.config.registry.url }
  })
  for (const connector of setup.connectors.filter(each => !tellsTransfers(each)))
    io.stdout(JSON.stringify({ finding: 'warning', what: `connectors.${connector.name}`, warning: NO_TRANSFERS }))
  const pool = quotaPool(systemClock)
  const { network } = setup
  for (const connector of setup.connectors) {
    const options = { ...connector, pool, clock: systemClock, log: quiet, signal, network }
    const what = `connectors.${connector.name}`
    try {
      for (const info of (await factsOf(options)) ?? []) io.stdout(JSON.stringify({ finding: 'info', what, info }))
    } catch (thrown) {
      // Where the vendor does not answer, its streams say so.
      io.stdout(JSON.stringify({ finding: 'warning', what, ...errorFields(asFlowError(thrown)) }))
    }
    for (const { stream, scope, look } of probesOf(options))
      await find(
        what,
        async () => {
          const newest = await look()
          if (newest?.kind !== 'reject') return { answers: true, newest: newest?.kind ?? null }
          return { answers: true, newest: 'reject', reason: newest.record.reason, path: newest.record.path }
        },
        { stream, scope },
      )
  }
  for (const connector of setup.connectors) for (const finding of scheduleFindings(connector)) io.stdout(JSON.stringify(finding))
  return faults === 0 ? 0 : 1
}

/** What reading the connector takes of the vendor, and why; a warning where that is more than its part of the quota, or of what a day allows. */
function scheduleFindings(connector: ConnectorToRun): object[] {
  const { fits, perHour: requestsPerHour, perDay: requestsPerDay, quotaPerHour, reasons, daily } = scheduleOf(connector)
  const what = `connectors.${connector.name}`
  const finding = { finding: fits ? 'ok' : 'warning', what, requestsPerHour, requestsPerDay, quotaPerHour, reasons }
  const schedule = fits ? finding : { ...finding, warning: DOES_NOT_FIT }
  return [schedule, ...(daily === null ? [] : dailyFindings(what, requestsPerDay, daily))]
}

/** Nothing where the schedule fits into what is known to be bought. */
function dailyFindings(what: string, requestsPerDay: number, { perUnit, unit, key, units, needed }: Daily): object[] {
  const needs = `the schedule takes at least ${requestsPerDay} requests a day; a third of ${perUnit} for each ${unit} covers it from ${key}: ${needed} on`
  if (units === null) return [{ finding: 'info', what, info: `${needs}. How many there are is not known: set ${key}` }]
  if (units >= needed) return []
  const warning = `${needs}, and the config says ${units}; raise poll.interval.ms, name fewer streams, or buy more. Nothing is slowed down by itself`
  return [{ finding: 'warning', what: `${what}.${key}`, warning }]
}

/** What makes the topics lose records, or stop. Where Kafka does not say, because of ACLs say, that is a warning too. */
async function warningsOf(kafka: Kafka, { names }: Setup, brokers: number): Promise<object[]> {
  try {
    const found = durabilityWarnings(await kafka.durability(Object.values(names)), brokers)
    return found.map(({ topics, hint }) => ({ finding: 'warning', what: 'kafka', topics, error: hint }))
  } catch (thrown) {
    return [{ finding: 'warning', what: 'kafka', ...errorFields(asFlowError(thrown)) }]
  }
}

const WEEK_MS = 7 * 86_400_000
/** For reading the history; `backtest` takes as long as it takes. */
const HISTORY_MS = 60_000

/** What each alert rule would have done last week; nothing where there are no topics yet. */
async function lastWeekOf(setup: Setup, kafka: Kafka, log: Log, signal: AbortSignal): Promise<object[]> {
  const { rules } = setup.config.alerts
  const fromMs = systemClock.now() - WEEK_MS
  try {
    if (rules.length === 0 || (await kafka.durability([setup.names.series])).length === 0) return []
    const found = await backtestOf(setup, {
      kafka,
      registry: openRegistry(setup, log),
      rules,
      fromMs,
      untilMs: null,
      log,
      signal: AbortSignal.any([signal, AbortSignal.timeout(HISTORY_MS)]),
    })
    if (found.fromMs === null) return []
    return rules.map(rule => {
      const { alerts, channels, perChannelWeek } = figuresOf(found, rule)
      const info = `last week it would have raised ${alerts} alert${alerts === 1 ? '' : 's'} at ${channels} channels: ${perChannelWeek ?? 0} a channel and week, of ${rule.alertsPerWeek} that it may; \`colloquy backtest\` shows them`
      return { finding: 'info', what: `alerts.rules.${rule.name}`, alerts, channels, perChannelWeek, info }
    })
  } catch (thrown) {
    return [{ finding: 'warning', what: 'alerts', ...errorFields(asFlowError(thrown)) }]
  }
}
