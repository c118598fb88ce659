import { systemClock } from '../clock.ts'
import type { Network } from '../dispatcher.ts'
import { asFlowError } from '../errors.ts'
import { durabilityWarnings } from '../kafka/durability.ts'
import type { Kafka } from '../kafka/port.ts'
import { factsOf, probesOf } from '../ingest/peek.ts'
import { type Daily, scheduleOf } from '../ingest/schedule.ts'
import { type ConnectorToRun, detectsTransfers } from '../ingest/source-partition.ts'
import { createLog, errorFields, type Log } from '../log.ts'
import { type QuotaPool, quotaPool } from '../source/quota.ts'
import { readArgs } from './args.ts'
import { backtestOf, figuresOf } from './backtest.ts'
import { type CheckReport, type Finding, jsonReport, textReport, verdictOf } from './check-report.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { type ConfiguredConnector, openKafka, openRegistry, readSetup, type Setup } from './setup.ts'

const DOES_NOT_FIT =
  'the steady state takes more than a third of the quota, which leaves too little for backfill and repeats; raise poll.interval.ms or lookback.interval.ms, or lower lookback.ms (hot.ms is shortened by itself)'

/** For everything: some vendors are read with seconds between requests. */
const TIMEOUT_MS = 180_000
const NO_TRANSFERS =
  "this connector cannot detect which conversations went to an agent, so agent_transfers and sessions_agent of its bots are null; set transfer.rules, or the keys that the connector's page names"

/**
 * `colloquy check`: the file first, then Kafka, the registry and every stream of every vendor with its real credentials. All are tried, also when one fails.
 * One line for each finding on stdout (`ok`, `info`, `warning` or `fault`), those of a section or connector one after another: text on a terminal, which ends
 * with the verdict; else JSON lines, and the verdict goes to the log.
 */
export async function checkCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.check.options)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const read = await readSetup(args.values.config ?? '', io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const { setup } = read
  const isText = io.terminal !== undefined && !args.values.json
  const report = isText ? textReport(io.stdout, { colours: io.terminal.colours }) : jsonReport(io.stdout)
  report.add('config', { finding: 'ok', what: 'config', connectors: setup.connectors.map(({ name }) => name) })

  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(TIMEOUT_MS)])
  await checkKafka(setup, report, signal)
  await attempt(report, 'registry', 'registry', async () => {
    await openRegistry(setup, quiet).ping()
    return { url: setup.config.registry.url }
  })
  const pool = quotaPool(systemClock)
  for (const connector of setup.connectors) await checkConnector(connector, { pool, network: setup.network, report, signal })

  const counts = report.counts()
  if (isText) for (const line of ['', verdictOf(counts)]) io.stdout(line)
  else io.log[counts.faults === 0 ? 'info' : 'error']({ ...counts }, `check: ${verdictOf(counts)}`)
  return counts.faults === 0 ? 0 : 1
}

/** The findings have what Kafka's client and others would log. */
const quiet = createLog('silent')

/** Adds the result of the check, or the error that it threw. */
async function attempt(
  report: CheckReport,
  section: string,
  what: string,
  ask: () => Promise<object>,
  place: object = {},
): Promise<void> {
  try {
    report.add(section, { finding: 'ok', what, ...place, ...(await ask()) })
  } catch (thrown) {
    report.add(section, { finding: 'fault', what, ...errorFields(asFlowError(thrown)), ...place })
  }
}

/** The cluster, its existing topics (`run` creates the others), and the results of the alert rules. */
async function checkKafka(setup: Setup, report: CheckReport, signal: AbortSignal): Promise<void> {
  const kafka = openKafka(setup, quiet)
  let brokers: number | null = null
  await attempt(report, 'kafka', 'kafka', async () => {
    const cluster = await kafka.describe()
    ;({ brokers } = cluster)
    return cluster
  })
  if (brokers !== null) {
    for (const warning of await warningsOf(kafka, setup, brokers)) report.add('kafka', warning)
    for (const finding of await lastWeekOf(setup, kafka, quiet, signal)) report.add('alerts', finding)
  }
  await kafka.close()
}

/** What the connector can detect, the facts of its account, each of its streams, and the cost of reading it. */
async function checkConnector(
  connector: ConfiguredConnector,
  parts: { readonly pool: QuotaPool; readonly network: Network; readonly report: CheckReport; readonly signal: AbortSignal },
): Promise<void> {
  const { report, ...others } = parts
  const options = { ...connector, ...others, clock: systemClock, log: quiet }
  const what = `connectors.${connector.name}`
  if (!detectsTransfers(connector)) report.add(what, { finding: 'warning', what, warning: NO_TRANSFERS })
  try {
    for (const info of (await factsOf(options)) ?? []) report.add(what, { finding: 'info', what, info })
  } catch (thrown) {
    // If the vendor does not answer, its streams report it.
    report.add(what, { finding: 'warning', what, ...errorFields(asFlowError(thrown)) })
  }
  for (const { stream, scope, look } of probesOf(options)) {
    const ask = async () => {
      const newest = await look()
      if (newest?.kind !== 'reject') return { answers: true, newest: newest?.kind ?? null }
      return { answers: true, newest: 'reject', reason: newest.record.reason, path: newest.record.path }
    }
    await attempt(report, what, what, ask, { stream, scope })
  }
  for (const finding of scheduleFindings(connector)) report.add(what, finding)
}

/** The cost of reading the connector, and why; a warning if that is more than its share of the quota, or of the daily limit. */
function scheduleFindings(connector: ConnectorToRun): Finding[] {
  const { fits, perHour: requestsPerHour, perDay: requestsPerDay, quotaPerHour, reasons, daily } = scheduleOf(connector)
  const what = `connectors.${connector.name}`
  const finding: Finding = { finding: fits ? 'ok' : 'warning', what, requestsPerHour, requestsPerDay, quotaPerHour, reasons }
  const schedule = fits ? finding : { ...finding, warning: DOES_NOT_FIT }
  return [schedule, ...(daily === null ? [] : dailyFindings(what, requestsPerDay, daily))]
}

/** Nothing if the schedule fits the known number of units. */
function dailyFindings(what: string, requestsPerDay: number, { perUnit, unit, key, units, needed }: Daily): Finding[] {
  const needs = `the schedule takes at least ${requestsPerDay} requests a day; a third of ${perUnit} for each ${unit} covers it from ${key}: ${needed} on`
  if (units === null) return [{ finding: 'info', what, info: `${needs}. Their number is unknown: set ${key}` }]
  if (units >= needed) return []
  const warning = `${needs}, and the config says ${units}; raise poll.interval.ms, name fewer streams, or buy more. Nothing is slowed down by itself`
  return [{ finding: 'warning', what: `${what}.${key}`, warning }]
}

/** Settings with which the topics can lose records, or stop. If Kafka does not return them, because of ACLs for example, that is a warning too. */
async function warningsOf(kafka: Kafka, { names }: Setup, brokers: number): Promise<Finding[]> {
  try {
    const found = durabilityWarnings(await kafka.durability(Object.values(names)), brokers)
    return found.map(({ topics, hint }) => ({ finding: 'warning', what: 'kafka', topics, error: hint }))
  } catch (thrown) {
    return [{ finding: 'warning', what: 'kafka', ...errorFields(asFlowError(thrown)) }]
  }
}

const WEEK_MS = 7 * 86_400_000
/** For reading the history; `backtest` has no limit. */
const HISTORY_MS = 60_000

/** What each alert rule would have done last week; nothing if there are no topics yet. */
async function lastWeekOf(setup: Setup, kafka: Kafka, log: Log, signal: AbortSignal): Promise<Finding[]> {
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
