/** Counts over time and over bins, in the vendor's shape. Buckets are in UTC, weeks begin on Monday (assumed). */
import type { Quirks } from './quirks.ts'
import type { Part, Team, Version } from './team.ts'

export type Bucket = '1h' | '1d' | '1w' | '1m'
export type Stat = 'num_conversations' | 'duration_seconds' | 'num_messages'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** 1970-01-05 was a Monday. */
const MONDAY = 4 * DAY
const LENGTHS = { '1h': HOUR, '1d': DAY, '1w': 7 * DAY } as const

/** Shortest length that a bucket can have, milliseconds. */
export function shortestOf(bucket: Bucket): number {
  return bucket === '1m' ? 28 * DAY : LENGTHS[bucket]
}

/** The buckets that the range touches, each whole. */
export function bucketsOf(bucket: Bucket, fromMs: number, untilMs: number): { startMs: number; endMs: number }[] {
  const buckets = []
  for (let startMs = floorTo(bucket, fromMs); startMs < untilMs; ) {
    const endMs = bucket === '1m' ? monthAfter(startMs) : startMs + LENGTHS[bucket]
    buckets.push({ startMs, endMs })
    startMs = endMs
  }
  return buckets
}

function floorTo(bucket: Bucket, ms: number): number {
  if (bucket === '1m') return Date.UTC(new Date(ms).getUTCFullYear(), new Date(ms).getUTCMonth())
  const offset = bucket === '1w' ? MONDAY : 0
  return Math.floor((ms - offset) / LENGTHS[bucket]) * LENGTHS[bucket] + offset
}

function monthAfter(startMs: number): number {
  return Date.UTC(new Date(startMs).getUTCFullYear(), new Date(startMs).getUTCMonth() + 1)
}

export type Labels = Readonly<Record<string, string>>

/** What a series can be grouped by; the vendor also knows campaigns, which this world has none of. */
export interface Traits {
  readonly bot_id: string
  readonly bot_version: Version
  readonly team_id: string
  readonly channel_type: string
  readonly language: string
  readonly campaign_id: string
  readonly campaign_source: string
}

export function traitsOf(part: Part, team: Team): Traits {
  return {
    bot_id: part.botId,
    bot_version: part.version,
    team_id: team.id,
    channel_type: part.channelType,
    language: part.language,
    campaign_id: '',
    campaign_source: '',
  }
}

/** Every group of these traits: each has a series, even if it is all zeros. */
export function groupsOf(all: readonly Traits[], groupBy: readonly (keyof Traits)[]): Labels[] {
  const groups = all.map(traits => Object.fromEntries(groupBy.map(key => [key, traits[key]])))
  return [...new Map(groups.map(labels => [JSON.stringify(labels), labels])).values()]
}

export function isIn(traits: Traits, labels: Labels): boolean {
  return Object.entries(labels).every(([key, value]) => traits[key as keyof Traits] === value)
}

/** Lower bounds of the bins of a histogram; the vendor's x axis of insights is not documented. */
export const BINS: Readonly<Record<Stat, readonly number[]>> = {
  num_messages: [1, 2, 5, 10, 20],
  duration_seconds: [0, 60, 300, 900, 3600],
  num_conversations: [1, 2, 3],
}

/** The values of a histogram: one per conversation, or one per user. */
export function measured(stat: Stat, parts: readonly Part[]): number[] {
  if (stat === 'num_messages') return parts.map(({ messages }) => messages.length)
  if (stat === 'duration_seconds') return parts.map(({ startMs, endMs }) => Math.floor((endMs - startMs) / 1000))
  return [...Map.groupBy(parts, ({ userId }) => userId).values()].map(({ length }) => length)
}

export function histogram(bins: readonly number[], values: readonly number[]): number[] {
  return bins.map((least, place) => values.filter(value => least <= value && value < (bins[place + 1] ?? Infinity)).length)
}

export interface Counted {
  readonly labels: Labels
  readonly values: readonly number[]
}

/** `{"data":{"series":[…],"series_labels":[…],"x_values":[…]}}`, `xs` as they are written. */
export function seriesData(all: readonly Counted[], xs: readonly string[], quirks: Quirks): object {
  const [series, xValues] = quirks.emptyBuckets === 'zeros' ? [all, xs] : withoutEmpty(all, xs)
  const named = quirks.labels === 'labels'
  const list = series.map(({ labels, values }) => {
    const sum = values.reduce((total, value) => total + value, 0)
    return {
      values: values.map(value => written(value, quirks)),
      mean: written(values.length === 0 ? 0 : Math.round(sum / values.length), quirks),
      max: written(Math.max(0, ...values), quirks),
      min: written(values.length === 0 ? 0 : Math.min(...values), quirks),
      sum: written(sum, quirks),
      ...(named ? { labels } : {}),
    }
  })
  const seriesLabels = named ? Object.keys(series[0]?.labels ?? {}) : series.map(({ labels }) => Object.values(labels).join('/'))
  return { data: { ...lists({ series: list, series_labels: seriesLabels, x_values: xValues }, quirks) } }
}

function withoutEmpty(all: readonly Counted[], xs: readonly string[]): [series: Counted[], xs: string[]] {
  const hasData = (place: number) => all.some(({ values }) => values[place] !== 0)
  const shown = xs.filter((_, place) => hasData(place))
  return [
    shown.length === 0 ? [] : all.map(({ labels, values }) => ({ labels, values: values.filter((_, place) => hasData(place)) })),
    shown,
  ]
}

/** Empty lists in the form set by the quirks. */
export function lists(named: Readonly<Record<string, readonly unknown[]>>, { emptyLists }: Quirks): Record<string, unknown> {
  if (emptyLists === 'empty') return { ...named }
  return Object.fromEntries(
    Object.entries(named)
      .filter(([, list]) => list.length > 0 || emptyLists === 'null')
      .map(([name, list]) => [name, list.length > 0 ? list : null]),
  )
}

function written(value: number, { values }: Quirks): number | string {
  return values === 'text' ? String(value) : value
}

export function instantText(ms: number, { xValues }: Quirks): string {
  const text = new Date(ms).toISOString()
  if (xValues === 'date') return text.slice(0, 10)
  if (xValues === 'without zone') return text.slice(0, 19)
  return xValues === 'epoch' ? String(ms / 1000) : text.replace('.000Z', 'Z')
}
