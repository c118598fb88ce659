import type { Judge, Minute, Read, Verdict } from '../../src/alert/judge.ts'
import { Random } from '../../src/sim/random.ts'

/** A small seeded world of channels for the engine's tests: minutes with sessions and transfers, and what goes wrong in them. */

export const MINUTE_MS = 60_000
/** A Monday. */
export const START = Date.parse('2026-06-01T00:00:00Z')
export const at = (day: number, hour = 0, minute = 0) => START + ((day * 24 + hour) * 60 + minute) * MINUTE_MS

export interface ChannelSpec {
  readonly account?: string
  readonly bot: string
  readonly channel: string
  /** Mean sessions a minute at noon. */
  readonly sessions: number
  readonly share?: number
}

export interface Change {
  readonly channel?: string
  readonly bot?: string
  readonly from: number
  readonly until: number
  /** Factors. */
  readonly share?: number
  readonly sessions?: number
}

/** Minutes of all channels, in time order. */
export function world(specs: readonly ChannelSpec[], days: number, changes: readonly Change[] = [], seed = 1): Minute[] {
  const out: Minute[] = []
  const draws = specs.map((_, i) => new Random(seed, i, 7))
  for (let minute = 0; minute < days * 1440; minute++) {
    const time = START + minute * MINUTE_MS
    const ofDay = (minute % 1440) / 1440
    for (const [i, spec] of specs.entries()) {
      const random = draws[i] as Random
      const active = changes.filter(
        each =>
          time >= each.from &&
          time < each.until &&
          (each.channel ?? spec.channel) === spec.channel &&
          (each.bot ?? spec.bot) === spec.bot,
      )
      const factor = (of: (each: Change) => number | undefined) => active.reduce((all, each) => all * (of(each) ?? 1), 1)
      const volume = spec.sessions * (0.55 - 0.45 * Math.cos(2 * Math.PI * ofDay)) * factor(each => each.sessions)
      const share = Math.min(0.9, (spec.share ?? 0.08) * factor(each => each.share))
      const sessions = poisson(random, volume)
      let transfers = 0
      for (let s = 0; s < sessions; s++) if (random.chance(share)) transfers++
      if (sessions > 0) out.push(minuteOf(spec, time, sessions, transfers))
    }
  }
  return out
}

export function minuteOf(spec: ChannelSpec, time: number, sessions: number, transfers: number | null): Minute {
  return {
    vendor: 'acme',
    account: spec.account ?? 'main',
    bot_id: spec.bot,
    channel: spec.channel,
    language: 'en',
    bucket_start: time,
    values: { sessions, agent_transfers: transfers },
  }
}

function poisson(random: Random, mean: number): number {
  let count = 0
  for (let left = mean - random.exponential(1); left > 0; left -= random.exponential(1)) count++
  return count
}

/** Marks of all bots that have minutes. */
export function marksOf(minutes: readonly Minute[]): (completeUntil: number | null) => Read[] {
  const bots = new Map(minutes.map(({ vendor, account, bot_id }) => [`${account}/${bot_id}`, { vendor, account, bot_id }]))
  return completeUntil => [...bots.values()].map(bot => ({ ...bot, completeUntil }))
}

/** Replays: a step of minutes, then a judgement, as `backtest` does. */
export function replay(judge: Judge, minutes: readonly Minute[], until: number, stepMs = 60 * MINUTE_MS): Verdict[] {
  const verdicts: Verdict[] = []
  const reads = marksOf(minutes)
  let next = 0
  for (let mark = START + stepMs; mark <= until; mark += stepMs) {
    for (; next < minutes.length && (minutes[next] as Minute).bucket_start < mark; next++) judge.put(minutes[next] as Minute)
    verdicts.push(...judge.judge(reads(mark), null))
  }
  return verdicts
}

/** Live: each minute put and judged as it ends. */
export function live(judge: Judge, minutes: readonly Minute[], from: number, until: number, stepMs = MINUTE_MS): Verdict[] {
  const verdicts: Verdict[] = []
  const reads = marksOf(minutes)
  let next = minutes.findIndex(minute => minute.bucket_start >= from)
  for (let mark = from + stepMs; mark <= until; mark += stepMs) {
    for (; next < minutes.length && (minutes[next] as Minute).bucket_start < mark; next++) judge.put(minutes[next] as Minute)
    verdicts.push(...judge.judge(reads(mark), mark))
  }
  return verdicts
}

export const brief = (verdicts: readonly Verdict[]) =>
  verdicts.map(({ state, bot_id, channel }) => `${state} ${[bot_id, channel].filter(Boolean).join('/')}`)

/** What the judge wrote for the next process, added to what is there. */
export function remember(judge: Judge, memory = new Map<string, string>()): Map<string, string> {
  for (const [key, value] of judge.memoryChanges()) {
    if (value === null) memory.delete(key)
    else memory.set(key, value)
  }
  return memory
}
