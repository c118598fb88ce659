/**
 * An alert rule: what the config file says under `alerts.rules.NAME`, with defaults and units, and the shape that alerter, server and `backtest` use.
 *
 * Three kinds, told apart by their keys: with `per`, a share (transfers of sessions) against what is usual for the hour of the week; without `per`, a count
 * against what is usual; with `budget`, a share against a fixed budget over a long and a short window (burn rate).
 */
import { z } from 'zod'
import { asNumber } from './config-values.ts'
import { DURATION_FORM, parseDuration, shownDuration } from './durations.ts'
import { MEASURES, type Measure } from './records.ts'

const MINUTE_MS = 60_000

/** From the root of the tree to its leaves; a rule's groups are cut along these. */
export const LEVELS = ['vendor', 'account', 'bot_id', 'channel', 'language'] as const
export type Level = (typeof LEVELS)[number]

/** Values of the measures add up over minutes and series; sums of milliseconds are no counts. */
const COUNTS = MEASURES.filter(measure => measure !== 'duration_ms')

const MS = /^\d+$/
const minutes = (least: string, most: string) => {
  const takes = `takes ${DURATION_FORM}, in whole minutes, from ${least} to ${most}`
  return z.preprocess(
    value => (typeof value === 'string' && !MS.test(value) ? (parseDuration(value) ?? value) : String(value)),
    z
      .number(takes)
      .min(parseDuration(least) ?? 0, takes)
      .max(parseDuration(most) ?? 0, takes)
      .multipleOf(MINUTE_MS, takes),
  )
}
const number = (least: number, most: number) => {
  const takes = `takes a number from ${least} to ${most}`
  return z.preprocess(asNumber, z.number(takes).min(least, takes).max(most, takes))
}
const measure = z.enum(COUNTS as [Measure, ...Measure[]], `takes one of ${COUNTS.join(', ')}`)

const Burn = z.strictObject({
  long: minutes('15m', '3d').describe('Long window: how lasting the overspending is'),
  short: minutes('1m', '1d').describe('Short window: that it still goes on'),
  rate: number(1, 1000).describe('How many times the budget is spent, in both windows'),
})

/** One entry of `alerts.rules`. */
export const RuleConfig = z
  .strictObject({
    measure: measure.default('agent_transfers').describe('What is counted: any count measure of the series'),
    per: measure.optional().describe('The volume it is judged against. Absent: the count itself is judged'),
    by: z
      .array(z.enum(LEVELS, `takes ${LEVELS.join(', ')}`), `takes a list of ${LEVELS.join(', ')}`)
      .min(1, 'takes at least one label')
      .default(['vendor', 'account', 'bot_id', 'channel'])
      .describe('Labels of the smallest group that is judged; larger groups (bot, account, vendor) are judged as well'),
    windows: z
      .array(minutes('5m', '1h'), 'takes a list of durations')
      .min(1, 'takes at least one duration')
      .max(8, 'takes at most 8 durations')
      .default([15 * MINUTE_MS, 60 * MINUTE_MS])
      .describe('Shortest and longest time over which is counted; lengths between them are looked at as well'),
    alertsPerWeek: number(0.001, 100).default(0.1).describe('How many false alerts a week one smallest group may cause'),
    minCount: number(1, 1_000_000).default(5).describe('No alert below so many in the window'),
    minRatio: number(1, 100).default(1.5).describe('No alert below so many times what is expected, however sure the rise is'),
    refractory: minutes('1m', '1d')
      .default(30 * MINUTE_MS)
      .describe('How long after its end a group is not judged'),
    severity: z.string('takes text').min(1, 'takes text that is not empty').default('page').describe('Label on the alert'),
    budget: number(0.000_001, 1).optional().describe('Share of `per` that may be spent. With it, the rule is a burn-rate rule'),
    burn: z
      .array(Burn, 'takes a list of {long, short, rate}')
      .min(1, 'takes at least one entry')
      .default([
        { long: 60 * MINUTE_MS, short: 5 * MINUTE_MS, rate: 3 },
        { long: 360 * MINUTE_MS, short: 30 * MINUTE_MS, rate: 2 },
        { long: 4320 * MINUTE_MS, short: 360 * MINUTE_MS, rate: 1.25 },
      ])
      .describe('When a budget is overspent: any of these, each over both of its windows. Only with `budget`'),
    minSessions: number(1, 1_000_000)
      .default(30)
      .describe('No alert of a burn-rate rule below so much volume in the long window'),
  })
  .superRefine((rule, report) => {
    const fault = (path: (string | number)[], message: string) => report.addIssue({ code: 'custom', path, message })
    if (rule.budget !== undefined && rule.per === undefined) fault(['per'], 'is required with budget')
    if (rule.per === rule.measure) fault(['per'], 'is the measure itself')
    if (!rule.by.includes('vendor')) fault(['by'], 'needs vendor')
    if (rule.by.includes('bot_id') && !rule.by.includes('account')) fault(['by'], 'needs account where there is bot_id')
    if (!rule.by.includes('bot_id') && (rule.by.includes('channel') || rule.by.includes('language'))) {
      fault(['by'], 'needs bot_id where there is channel or language')
    }
    if (rule.budget === undefined) return
    for (const [at, { long, short, rate }] of rule.burn.entries()) {
      if (short >= long) fault(['burn', at, 'short'], 'must be shorter than long')
      if (rate * rule.budget >= 1)
        fault(['burn', at, 'rate'], `can never be reached: ${rate} times the budget is more than everything`)
    }
  })

export interface BurnWindow {
  readonly longMs: number
  readonly shortMs: number
  readonly rate: number
}

/** A rule in force. Durations in milliseconds, whole minutes. */
export interface Rule {
  readonly name: string
  readonly measure: Measure
  /** null: a count rule. */
  readonly per: Measure | null
  /** In the order of LEVELS. */
  readonly by: readonly Level[]
  /** Ascending. */
  readonly windowsMs: readonly number[]
  readonly alertsPerWeek: number
  readonly minCount: number
  readonly minRatio: number
  readonly refractoryMs: number
  readonly severity: string
  /** null: judged against what is usual. */
  readonly budget: number | null
  /** Empty without a budget. */
  readonly burn: readonly BurnWindow[]
  readonly minSessions: number
}

/** What an entry of the config file comes to. */
export function ruleOf(name: string, config: z.output<typeof RuleConfig>): Rule {
  const { budget = null } = config
  return {
    name,
    measure: config.measure,
    per: config.per ?? null,
    by: LEVELS.filter(level => config.by.includes(level)),
    windowsMs: [...new Set(config.windows)].sort((a, b) => a - b),
    alertsPerWeek: config.alertsPerWeek,
    minCount: config.minCount,
    minRatio: config.minRatio,
    refractoryMs: config.refractory,
    severity: config.severity,
    budget,
    burn: budget === null ? [] : config.burn.map(({ long, short, rate }) => ({ longMs: long, shortMs: short, rate })),
    minSessions: config.minSessions,
  }
}

/** The rule where the config file has none. */
export const DEFAULT_RULE: Rule = ruleOf(
  'agent-transfer-spike',
  RuleConfig.parse({ measure: 'agent_transfers', per: 'sessions' }),
)

/** A rule as people write it: durations with their unit. */
export function shownRule(rule: Rule): Record<string, unknown> {
  const { windowsMs, refractoryMs, burn, budget, minSessions, ...rest } = rule
  return {
    ...rest,
    windows: windowsMs.map(shownDuration),
    refractory: refractoryMs === 0 ? '0m' : shownDuration(refractoryMs),
    ...(budget === null
      ? {}
      : {
          budget,
          minSessions,
          burn: burn.map(({ longMs, shortMs, rate }) => ({ long: shownDuration(longMs), short: shownDuration(shortMs), rate })),
        }),
  }
}
