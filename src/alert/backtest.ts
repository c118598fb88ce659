/**
 * What the rules would have done: the history of the series topic, replayed in event time through the same engine as live. Reads the topics, writes nothing.
 *
 * Minutes are judged. What was rolled up into hours teaches what is usual, and cannot be judged any more.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { startFollower } from '../follow/follower.ts'
import type { Kafka } from '../kafka/port.ts'
import type { Registry } from '../kafka/registry.ts'
import type { Log } from '../log.ts'
import { type Alert, botKey, type Measure } from '../records.ts'
import { LEVELS, type Rule } from '../rules.ts'
import type { TopicNames } from '../topics.ts'
import type { Judge, JudgeOptions, Read, SeriesKey } from './judge.ts'
import { type Bot, measuresOf, readingOf } from './reads.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** A minute that was rolled up, or has ended. */
const GONE = -1

export interface BacktestParts {
  readonly kafka: Kafka
  readonly registry: Pick<Registry, 'schemaById'>
  readonly names: TopicNames
  readonly partitions: number
  readonly rules: readonly Rule[]
  readonly zoneOf: (vendor: string, account: string) => string
  readonly createJudge: (options: JudgeOptions) => Judge
  /** Epoch milliseconds; null: all there is. Alerts that would have been raised before `fromMs` are left out. */
  readonly fromMs: number | null
  readonly untilMs: number | null
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface Backtest {
  /** As they would be on the topic, in this order: one record when it is raised, one when it is over. */
  readonly alerts: readonly Alert[]
  /** Half-open range of time that was judged; null: there is nothing to judge. */
  readonly fromMs: number | null
  readonly untilMs: number | null
  /** Since when there are hours that only taught, epoch milliseconds; null: all of the history is there by the minute. */
  readonly taughtFromMs: number | null
  /** Smallest groups (vendor, account, bot, channel), and the weeks that all of them were judged, together. */
  readonly channels: number
  readonly channelWeeks: number
}

/** @throws FlowError of Kafka or registry; STOPPED when the signal aborted before the end */
export async function backtest(parts: BacktestParts): Promise<Backtest> {
  const history = await readHistory(parts)
  const { rules, zoneOf, fromMs, signal } = parts
  const until = (read: Read) => Math.min(read.completeUntil ?? -Infinity, parts.untilMs ?? Infinity)
  const endMs = Math.max(-Infinity, ...history.reads.map(until))
  const startMs = Math.min(Infinity, ...history.series.map(({ minutes }) => minutes[0] ?? Infinity))
  const firstHourMs = Math.min(Infinity, ...history.series.map(each => each.firstHourMs))
  const taughtFromMs = Number.isFinite(firstHourMs) ? firstHourMs : null
  if (startMs >= endMs) return { alerts: [], fromMs: null, untilMs: null, taughtFromMs, channels: 0, channelWeeks: 0 }

  const judge = parts.createJudge({ rules, zoneOf })
  const alerts: Alert[] = []
  for (let dayMs = Math.floor(startMs / DAY_MS) * DAY_MS; dayMs < endMs; dayMs += DAY_MS) {
    if (signal.aborted) throw new FlowError('STOPPED')
    for (const series of history.series) series.putUntil(dayMs + DAY_MS, judge)
    const reads = history.reads.map(read => ({
      ...read,
      completeUntil: read.completeUntil === null ? null : Math.min(until(read), dayMs + DAY_MS),
    }))
    alerts.push(...judge.judge(reads, null))
    await nextTurn()
  }

  const judgedFromMs = Math.max(startMs, fromMs ?? -Infinity)
  const channels = Map.groupBy(history.series, ({ key }) => JSON.stringify([key.vendor, key.account, key.bot_id, key.channel]))
  const untilOf = new Map(history.reads.map(read => [botKey(read), until(read)]))
  let judgedMs = 0
  for (const [first, ...rest] of channels.values()) {
    if (first === undefined) continue
    const bornMs = Math.min(...[first, ...rest].map(({ minutes }) => minutes[0] ?? Infinity))
    judgedMs += Math.max(0, (untilOf.get(botKey(first.key)) ?? -Infinity) - Math.max(bornMs, judgedFromMs))
  }
  // All of the history is judged, as the alerter would have: what it raised before is known then, and not raised again.
  const raisedBefore = new Set(
    alerts.filter(({ state, updated_at }) => state === 'FIRING' && updated_at < judgedFromMs).map(({ alert_id }) => alert_id),
  )
  const shown = alerts.filter(({ alert_id }) => !raisedBefore.has(alert_id))
  return {
    alerts: shown,
    fromMs: judgedFromMs,
    untilMs: endMs,
    taughtFromMs,
    channels: channels.size,
    channelWeeks: judgedMs / WEEK_MS,
  }
}

interface History {
  readonly series: readonly SeriesHistory[]
  readonly reads: readonly Read[]
}

interface SeriesHistory {
  readonly key: SeriesKey
  /** Starts of its minutes that were not rolled up, ascending. */
  readonly minutes: readonly number[]
  /** Infinity: none was rolled up. */
  readonly firstHourMs: number
  /** Gives the engine what comes next, up to that time. Once each. */
  putUntil(endMs: number, judge: Judge): void
}

interface Row {
  readonly key: SeriesKey
  readonly minutes: number[]
  /** Of the measures, one after the other, beside the minutes. */
  readonly values: number[]
  /** By start. */
  readonly hours: Map<number, readonly number[]>
}

/** The newest value of every minute and hour, and what has been read of each bot. */
async function readHistory(parts: BacktestParts): Promise<History> {
  const measures = measuresOf(parts.rules)
  const rows = new Map<string, Row>()
  const stop = new AbortController()
  const follower = startFollower({
    ...parts,
    role: 'backtest',
    isPatient: false,
    signal: AbortSignal.any([parts.signal, stop.signal]),
    fields: ['series_key', ...LEVELS, 'bucket_start', 'bucket', ...measures],
    onPoint(point) {
      if (point.bucket !== '1m' && point.bucket !== '1h') return
      const { series_key, vendor, account, bot_id, channel, language } = point
      let row = rows.get(series_key)
      if (row === undefined) {
        row = { key: { vendor, account, bot_id, channel, language }, minutes: [], values: [], hours: new Map() }
        rows.set(series_key, row)
      }
      const values = measures.map(measure => point[measure])
      if (point.bucket === '1h') row.hours.set(point.bucket_start, values)
      else {
        row.minutes.push(point.bucket_start)
        row.values.push(...values)
      }
    },
    onRemoved(seriesKey, bucketStartMs, bucket) {
      const row = rows.get(seriesKey)
      if (row === undefined) return
      if (bucket === '1h') row.hours.delete(bucketStartMs)
      if (bucket !== '1m') return
      row.minutes.push(bucketStartMs)
      for (const _ of measures) row.values.push(GONE)
    },
    onInvalid() {},
  })
  try {
    await Promise.race([follower.ready, follower.done])
    if (parts.signal.aborted) throw new FlowError('STOPPED')
    const reading = readingOf(follower.watermarks, parts.rules)
    const bots = new Map<string, Bot>([...rows.values()].map(({ key }) => [botKey(key), botOf(key)]))
    return {
      reads: reading.reads(bots.values(), () => undefined),
      series: [...rows.values()].map(row => seriesOf(row, measures, (bot, measure) => reading.isUntold(bot, measure))),
    }
  } finally {
    stop.abort()
    await follower.done.catch(() => {})
  }
}

const botOf = ({ vendor, account, bot_id }: SeriesKey): Bot => ({ vendor, account, bot_id })

function seriesOf(row: Row, measures: readonly Measure[], isUntold: (bot: Bot, measure: Measure) => boolean): SeriesHistory {
  const { key } = row
  const untold = measures.map(measure => isUntold(key, measure))
  // By time, and within a minute by offset: the last one holds.
  const order = [...row.minutes.keys()].sort((a, b) => (row.minutes[a] ?? 0) - (row.minutes[b] ?? 0) || a - b)
  const isLast = (at: number, place: number) => row.minutes[order[place + 1] ?? -1] !== row.minutes[at]
  const isRolledUp = (at: number) => row.hours.has(Math.floor((row.minutes[at] ?? 0) / HOUR_MS) * HOUR_MS)
  const kept = order.filter((at, place) => isLast(at, place) && row.values[at * measures.length] !== GONE && !isRolledUp(at))
  const minutes = kept.map(at => row.minutes[at] ?? 0)
  const hours = [...row.hours].sort(([a], [b]) => a - b)
  const valuesOf = (valueAt: (index: number) => number | undefined) =>
    Object.fromEntries(measures.map((measure, index) => [measure, untold[index] === true ? null : (valueAt(index) ?? 0)]))
  let nextHour = 0
  let next = 0
  return {
    key,
    minutes,
    firstHourMs: hours[0]?.[0] ?? Infinity,
    putUntil(endMs, judge) {
      for (; nextHour < hours.length && (hours[nextHour]?.[0] ?? 0) + HOUR_MS <= endMs; nextHour++) {
        const [startMs, values] = hours[nextHour] as (typeof hours)[number]
        judge.putHour({ ...key, bucket_start: startMs, values: valuesOf(index => values[index]) })
      }
      for (; next < kept.length && (minutes[next] ?? 0) + MINUTE_MS <= endMs; next++) {
        const at = kept[next] ?? 0
        judge.put({
          ...key,
          bucket_start: minutes[next] ?? 0,
          values: valuesOf(index => row.values[at * measures.length + index]),
        })
      }
    },
  }
}
