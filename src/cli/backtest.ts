import { type Backtest, backtest } from '../alert/backtest.ts'
import { createJudge } from '../alert/judge.ts'
import { groupName } from '../alert/words.ts'
import { systemClock } from '../clock.ts'
import type { Fault } from '../config.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import type { Alert } from '../records.ts'
import type { Rule } from '../rules.ts'
import { didYouMean, readArgs } from './args.ts'
import { COMMANDS } from './commands.ts'
import { type Io, refuse } from './io.ts'
import { openKafka, openRegistry, readSetup, type Setup, zonesOf } from './setup.ts'
import { notATime, timeOf } from './times.ts'

/** `colloquy backtest`: runs the rules over the history of the series topic. Writes nothing. */
export async function backtestCommand(argv: string[], io: Io): Promise<number> {
  const args = readArgs(argv, COMMANDS.backtest.options)
  if (!args.ok) return refuse(io.log, 'CALL_INVALID', args.faults)
  const { config: file = '', rule, from, until, json } = args.values
  const faults: Fault[] = []
  const [fromMs, untilMs] = [
    ['--from', from],
    ['--until', until],
  ].map(([path = '', text]) => {
    if (text === undefined) return null
    const ms = timeOf(text)
    if (!Number.isFinite(ms)) faults.push({ path, message: notATime(text) })
    return ms
  })
  if (faults.length === 0 && (fromMs ?? -Infinity) >= (untilMs ?? Infinity))
    faults.push({ path: '--from', message: 'must be before --until' })
  if (faults.length > 0) return refuse(io.log, 'CALL_INVALID', faults)
  const read = await readSetup(file, io)
  if (!read.ok) return refuse(io.log, 'CFG_INVALID', read.faults)
  const { rules } = read.setup.config.alerts
  const chosen = rules.filter(({ name }) => rule === undefined || name === rule)
  if (chosen.length === 0) {
    const names = rules.map(({ name }) => name).join(', ')
    const message =
      rule === undefined
        ? 'has no rules (alerts.rules)'
        : `is not a rule of the config; there are ${names || 'none'}${didYouMean(
            rule,
            rules.map(({ name }) => name),
          )}`
    return refuse(io.log, 'CALL_INVALID', [{ path: rule === undefined ? file : '--rule', message }])
  }
  const kafka = openKafka(read.setup, io.log)
  try {
    const registry = openRegistry(read.setup, io.log, io.signal)
    const range = { fromMs: fromMs ?? null, untilMs: untilMs ?? null }
    const found = await backtestOf(read.setup, { kafka, registry, rules: chosen, ...range, log: io.log, signal: io.signal })
    if (json) for (const alert of found.alerts) io.stdout(JSON.stringify(alert))
    else for (const line of reportOf(found, chosen)) io.stdout(line)
    return 0
  } finally {
    await kafka.close()
  }
}

/** The same, for `check`. */
export function backtestOf(
  { config, names }: Setup,
  history: {
    readonly kafka: Kafka
    readonly registry: Registry
    readonly rules: readonly Rule[]
    readonly fromMs: number | null
    readonly untilMs: number | null
    readonly log: Log
    readonly signal: AbortSignal
  },
): Promise<Backtest> {
  return backtest({
    ...history,
    names,
    partitions: config.topics.partitions,
    zoneOf: zonesOf(config.alerts),
    createJudge,
    clock: systemClock,
  })
}

/** How often a rule would have raised an alert. */
export function figuresOf({ alerts, channels, channelWeeks }: Backtest, rule: Rule) {
  const raised = new Set(alerts.filter(alert => alert.rule === rule.name).map(({ alert_id }) => alert_id)).size
  const perChannelWeek = channelWeeks === 0 ? null : Number((raised / channelWeeks).toPrecision(3))
  return { alerts: raised, channels, channelWeeks: Number(channelWeeks.toFixed(1)), perChannelWeek }
}

function reportOf(found: Backtest, rules: readonly Rule[]): string[] {
  const taught =
    found.taughtFromMs === null
      ? []
      : [
          `From ${iso(found.taughtFromMs)} on there are hours whose minutes were rolled up (aggregator.retention.minutes): they taught what is usual, and were not judged`,
        ]
  if (found.fromMs === null || found.untilMs === null) return ['there is no history that could be judged', ...taught]
  const judged = rules.flatMap(rule => {
    const { alerts, channels, channelWeeks, perChannelWeek } = figuresOf(found, rule)
    const own = found.alerts.filter(alert => alert.rule === rule.name)
    const byId = Map.groupBy(own, ({ alert_id }) => alert_id)
    return [
      `${rule.name}: ${alerts} alert${alerts === 1 ? '' : 's'} from ${iso(found.fromMs ?? 0)} until ${iso(found.untilMs ?? 0)}`,
      `  ${channels} channels, ${channelWeeks} channel-weeks, ${perChannelWeek ?? 0} alerts per channel-week (budget ${rule.alertsPerWeek})`,
      ...[...byId.values()].map(records => `  ${lineOf(records)}`),
    ]
  })
  return [...judged, ...taught]
}

function lineOf(records: readonly Alert[]): string {
  const first = records[0] as Alert
  const last = records.at(-1) as Alert
  const { starts_at, updated_at, observed, expected, probability } = first
  const end = last.ends_at === null ? 'still firing' : `until ${iso(last.ends_at)}`
  const sure = probability === null ? '' : `, probability ${probability.toExponential(1)}`
  return `${iso(starts_at)} ${end}, raised ${iso(updated_at)}: ${groupName(first)}: ${rounded(observed)} where ${rounded(expected)} would be usual${sure}`
}

const rounded = (value: number) => String(Number(value.toPrecision(3)))
const iso = (ms: number) => new Date(ms).toISOString().replace(':00.000Z', 'Z')
