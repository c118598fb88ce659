/** A roll-up of minutes into hours never fires, resolves or changes an alert. */
import { describe, expect, test } from 'vitest'
import { createJudge, type Hour, type Judge, type JudgeOptions, type Minute, type Verdict } from '../../src/alert/judge.ts'
import { DEFAULT_RULE, RuleConfig, ruleOf } from '../../src/rules.ts'
import {
  at,
  brief,
  type Change,
  type ChannelSpec,
  live,
  marksOf,
  MINUTE_MS,
  minuteOf,
  remember,
  replay,
  START,
  world,
} from '../alert/world.ts'

const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const BUSY: ChannelSpec = { bot: 'shop', channel: 'web', sessions: 6 }
const QUIET: ChannelSpec = { bot: 'shop', channel: 'sms', sessions: 1 }
const OTHER: ChannelSpec = { bot: 'bank', channel: 'web', sessions: 3 }
const rules = [
  DEFAULT_RULE,
  ruleOf('sessions', RuleConfig.parse({ measure: 'sessions' })),
  ruleOf('budget', RuleConfig.parse({ per: 'sessions', budget: 0.15, burn: [{ long: '1h', short: '5m', rate: 1.3 }] })),
]
const SPIKES: Change[] = [
  { bot: 'shop', channel: 'web', from: at(20, 12), until: at(20, 13), share: 4 },
  { bot: 'bank', from: at(20, 20), until: at(20, 22), sessions: 4 },
]
/** The weeks before are learnt and not judged. */
const FROM = at(19, 12)
const judgeOf = (options: Partial<JudgeOptions> = {}): Judge =>
  createJudge({
    rules,
    from: Object.fromEntries(['shop', 'bank'].map(bot => [JSON.stringify(['acme', 'main', bot]), FROM])),
    ...options,
  })

/** The hours of these minutes, as the aggregator rolls them up. */
function hoursOf(minutes: readonly Minute[]): Hour[] {
  const hours = new Map<string, Hour>()
  for (const minute of minutes) {
    const start = Math.floor(minute.bucket_start / HOUR_MS) * HOUR_MS
    const key = JSON.stringify([minute.bot_id, minute.channel, start])
    const { sessions = 0, agent_transfers = 0 } = hours.get(key)?.values ?? {}
    const add = (a: number | null, b: number | null | undefined) => (a === null || b === null ? null : a + (b ?? 0))
    const values = {
      sessions: add(sessions, minute.values.sessions),
      agent_transfers: add(agent_transfers, minute.values.agent_transfers),
    }
    hours.set(key, { ...minute, bucket_start: start, values })
  }
  return [...hours.values()]
}

const minutes = world([BUSY, QUIET, OTHER], 22, SPIKES, 3)
const before = minutes.filter(minute => minute.bucket_start < FROM)
const until = at(21, 12)
const of = (day: number) => minutes.filter(({ bucket_start }) => bucket_start >= at(day) && bucket_start < at(day + 1))

/** Live from `FROM` on; `meanwhile` is called before each hour. */
function onwards(judge: Judge, meanwhile: (now: number) => void = () => {}, end = until): Verdict[] {
  const verdicts: Verdict[] = []
  for (let now = FROM; now < end; now += HOUR_MS) {
    meanwhile(now)
    verdicts.push(...live(judge, minutes, now, now + HOUR_MS))
  }
  return verdicts
}

describe('the same alerts, bit by bit', { timeout: 120_000 }, () => {
  const plain = judgeOf()
  for (const minute of before) plain.put(minute)
  const whole = onwards(plain)
  const remembered = remember(plain)

  test('there is something to compare, of each kind of rule', () => {
    expect(new Set(whole.filter(({ state }) => state === 'RESOLVED').map(({ rule }) => rule))).toEqual(
      new Set(rules.map(({ name }) => name)),
    )
  })

  test.each([
    ['by days, as they become older than the minutes are kept', (now: number) => [Math.floor((now - START) / DAY_MS) - 14]],
    [
      'all that is older than a day, in the middle of an incident',
      (now: number) => (now === at(20, 13) ? [...Array(19).keys()] : []),
    ],
    ['the very day of the incident', (now: number) => (now === at(21, 1) ? [20] : [])],
  ])('in a process that goes on while minutes are rolled up: %s', (_, due) => {
    const judge = judgeOf()
    for (const minute of before) judge.put(minute)
    const verdicts = onwards(judge, now => {
      for (const day of due(now)) for (const hour of hoursOf(of(day))) judge.putHour(hour)
    })
    expect(verdicts).toEqual(whole)
    expect(judge.judgedUntil()).toEqual(plain.judgedUntil())
  })

  test.each([13, 14])('in a process that starts where the minutes of %i days are kept', days => {
    const horizon = at(19 - days)
    const judge = judgeOf()
    const rolled = hoursOf(before.filter(minute => minute.bucket_start < horizon))
    // The topic has the hours behind minutes that were written before them.
    for (const minute of before) if (minute.bucket_start >= horizon) judge.put(minute)
    for (const hour of rolled.toReversed()) judge.putHour(hour)
    expect(onwards(judge)).toEqual(whole)
    expect(remember(judge)).toEqual(remembered)
  })

  test('of a topic that still has the minutes, in front of their hours or behind them', () => {
    const old = before.filter(minute => minute.bucket_start < at(5))
    for (const [first, then] of [
      ['put', 'putHour'],
      ['putHour', 'put'],
    ] as const) {
      const judge = judgeOf()
      for (const name of [first, then]) for (const each of name === 'put' ? old : hoursOf(old)) judge[name](each)
      for (const minute of before) if (minute.bucket_start >= at(5)) judge.put(minute)
      expect(onwards(judge)).toEqual(whole)
    }
  })

  test('of hours that are put while it judges', () => {
    const judge = judgeOf()
    for (const minute of before) judge.put(minute)
    const verdicts: Verdict[] = []
    const reads = marksOf(minutes)
    for (let now = FROM + HOUR_MS; now <= until; now += HOUR_MS) {
      for (const minute of minutes) if (minute.bucket_start >= now - HOUR_MS && minute.bucket_start < now) judge.put(minute)
      const judging = judge.judging(reads(now), null)
      let step = judging.next()
      if (now === at(20, 13)) for (const day of [3, 4, 5]) for (const hour of hoursOf(of(day))) judge.putHour(hour)
      while (step.done !== true) step = judging.next()
      verdicts.push(...step.value)
    }
    const steady = judgeOf()
    for (const minute of before) steady.put(minute)
    expect(verdicts).toEqual(replayOn(steady))
  })

  function replayOn(judge: Judge): Verdict[] {
    const verdicts: Verdict[] = []
    const reads = marksOf(minutes)
    for (let now = FROM + HOUR_MS; now <= until; now += HOUR_MS) {
      for (const minute of minutes) if (minute.bucket_start >= now - HOUR_MS && minute.bucket_start < now) judge.put(minute)
      verdicts.push(...judge.judge(reads(now), null))
    }
    return verdicts
  }
})

test('a process that starts with the minutes of two days learns what is usual from hours, and finds the same incidents', {
  timeout: 120_000,
}, () => {
  const horizon = at(18)
  const judge = judgeOf()
  for (const hour of hoursOf(before.filter(minute => minute.bucket_start < horizon))) judge.putHour(hour)
  for (const minute of before) if (minute.bucket_start >= horizon) judge.put(minute)
  const verdicts = onwards(judge)
  expect(brief(verdicts.filter(({ rule }) => rule === DEFAULT_RULE.name))).toEqual(['FIRING shop/web', 'RESOLVED shop/web'])
  expect(brief(verdicts.filter(({ rule }) => rule === 'sessions'))).toEqual(['FIRING bank/web', 'RESOLVED bank/web'])
})

test('a replay judges minutes, not hours: nothing fires in what was rolled up, and an incident behind it does', {
  timeout: 120_000,
}, () => {
  const again = [...SPIKES, { bot: 'shop', channel: 'web', from: at(17, 23), until: at(18, 1), share: 5 }]
  const all = world([BUSY, QUIET, OTHER], 22, again, 3)
  const judge = createJudge({ rules: [DEFAULT_RULE] })
  const horizon = at(18)
  for (const hour of hoursOf(all.filter(minute => minute.bucket_start < horizon))) judge.putHour(hour)
  const verdicts = replay(
    judge,
    all.filter(minute => minute.bucket_start >= horizon),
    at(22),
  )
  expect(verdicts.every(({ starts_at }) => starts_at >= horizon)).toBe(true)
  expect(brief(verdicts.filter(({ starts_at }) => starts_at >= at(20, 11) && starts_at < at(20, 14)))).toEqual([
    'FIRING shop/web',
    'RESOLVED shop/web',
  ])
})

test('a window that reaches into hours that were rolled up is judged by its minutes alone', () => {
  const horizon = at(18)
  const campaign: Change = { bot: 'shop', channel: 'web', from: horizon, until: at(18, 1), sessions: 8 }
  const all = world([BUSY], 19, [campaign], 3)
  const judge = createJudge({ rules: [ruleOf('sessions', RuleConfig.parse({ measure: 'sessions' }))] })
  for (const hour of hoursOf(all.filter(minute => minute.bucket_start < horizon))) judge.putHour(hour)
  const rest = all.filter(minute => minute.bucket_start >= horizon)
  const verdicts: Verdict[] = []
  for (let now = horizon + MINUTE_MS; now <= at(18, 0, 14); now += MINUTE_MS) {
    for (const minute of rest) if (minute.bucket_start === now - MINUTE_MS) judge.put(minute)
    verdicts.push(...judge.judge(marksOf(rest)(now), null))
  }
  const [fired] = verdicts
  const until = Date.parse(fired?.evidence['window_until'] ?? '')
  expect(Date.parse(fired?.evidence['window_from'] ?? '')).toBe(horizon)
  expect((fired?.updated_at ?? 0) - horizon).toBeLessThan(8 * MINUTE_MS)
  // At midnight there are .6 sessions a minute.
  expect((fired?.expected ?? 0) / ((until - horizon) / MINUTE_MS)).toBeLessThan(0.75)
})

test('a late revision of a rolled hour changes what is usual by its difference, and is not judged', { timeout: 120_000 }, () => {
  const hour = (sessions: number, transfers: number): Hour => ({ ...minuteOf(BUSY, at(5, 12), sessions, transfers) })
  const rateOf = (...puts: Hour[]) => {
    const judge = judgeOf()
    for (const each of before) if (each.bucket_start < at(5) || each.bucket_start >= at(6)) judge.put(each)
    for (const each of puts) judge.putHour(each)
    return onwards(judge, () => {}, at(20, 14)).map(({ expected, state, starts_at }) => [state, starts_at, expected])
  }
  expect(rateOf(hour(500, 400), hour(300, 24))).toEqual(rateOf(hour(300, 24)))
  expect(rateOf(hour(300, 24))).not.toEqual(rateOf(hour(300, 240)))
})
