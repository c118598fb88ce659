import { describe, expect, test } from 'vitest'
import { createJudge, type Judge, type JudgeOptions, type Verdict } from '../../src/alert/judge.ts'
import { DEFAULT_RULE } from '../../src/rules.ts'
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
} from './world.ts'

const HOUR_MS = 60 * MINUTE_MS
const rules = [DEFAULT_RULE]
/** The first eight days are learnt and not judged: a budget of false alerts is not nothing, and these tests are of what is raised rightly. */
const SETTLED = Object.fromEntries(
  ['main/shop', 'main/bank', 'main/help', 'second/calm'].map(bot => [JSON.stringify(['acme', ...bot.split('/')]), at(8)]),
)
const judgeOf = (options: Partial<JudgeOptions> = {}): Judge => createJudge({ rules, from: SETTLED, ...options })

const BUSY: ChannelSpec = { bot: 'shop', channel: 'web', sessions: 6 }
const QUIET: ChannelSpec = { bot: 'shop', channel: 'sms', sessions: 1 }
const OTHER: ChannelSpec = { bot: 'bank', channel: 'web', sessions: 3 }
const SPIKE: Change = { bot: 'shop', channel: 'web', from: at(9, 12), until: at(9, 13), share: 4 }

/** Minute by minute, as a replay. */
function upTo(judge: Judge, minutes: ReturnType<typeof world>, from: number, until: number): Verdict[] {
  const verdicts: Verdict[] = []
  const reads = marksOf(minutes)
  const rest = minutes.filter(minute => minute.bucket_start >= from && minute.bucket_start < until)
  for (const minute of rest) judge.put(minute)
  for (let mark = from + MINUTE_MS; mark <= until; mark += MINUTE_MS) verdicts.push(...judge.judge(reads(mark), null))
  return verdicts
}

/** A judge that knows what came before, and the minutes from there on. */
function after(minutes: ReturnType<typeof world>, from: number): Judge {
  const judge = judgeOf(from < at(8) ? { from: {} } : {})
  replay(judge, minutes, from)
  return judge
}

test('a channel whose share of transfers rises fires once, with its figures, and is resolved when the share is back', () => {
  const verdicts = replay(judgeOf(), world([BUSY, QUIET, OTHER], 10, [SPIKE]), at(10))

  expect(brief(verdicts)).toEqual(['FIRING shop/web', 'RESOLVED shop/web'])
  const [fired, ended] = verdicts as [Verdict, Verdict]
  expect(fired.observed / fired.expected).toBeGreaterThan(2)
  expect(fired.probability).toBeLessThan(1e-4)
  expect(fired.updated_at - SPIKE.from).toBeLessThan(25 * MINUTE_MS)
  expect(Math.abs(fired.starts_at - SPIKE.from)).toBeLessThan(10 * MINUTE_MS)
  expect(fired.evidence).toMatchObject({
    observed: String(fired.observed),
    agent_transfers: String(fired.observed),
    complete_until: new Date(fired.updated_at).toISOString(),
    known_share: '1',
  })
  expect(ended.alert_id).toBe(fired.alert_id)
  expect(Math.abs((ended.ends_at ?? 0) - SPIKE.until)).toBeLessThan(20 * MINUTE_MS)
})

test('a campaign that brings four times the sessions is no alert', () => {
  const campaign: Change = { bot: 'shop', channel: 'web', from: at(9, 12), until: at(9, 15), sessions: 4 }
  expect(brief(replay(judgeOf(), world([BUSY, QUIET], 10, [campaign]), at(10)))).toEqual([])
})

test('channels too small to be sure of are told of as their bot, once', () => {
  const channels = ['web', 'sms', 'voice', 'email', 'slack', 'api', 'telegram', 'twitter', 'messenger', 'instagram']
  const specs = channels.map(channel => ({ bot: 'shop', channel, sessions: 0.4 }))
  const verdicts = replay(
    judgeOf(),
    world([...specs, OTHER], 10, [{ bot: 'shop', from: at(9, 12), until: at(9, 13), share: 5 }]),
    at(10),
  )

  expect(brief(verdicts)).toEqual(['FIRING shop', 'RESOLVED shop'])
  expect(verdicts[0]?.evidence['drivers']).toMatch(/^\w+: \d+ \(expected [\d.]+\); \w+: /)
})

test('what all bots of an account share is told of as the account', () => {
  const specs = ['shop', 'bank', 'help'].flatMap(bot => [
    { bot, channel: 'web', sessions: 2 },
    { bot, channel: 'sms', sessions: 2 },
  ])
  const minutes = world(
    [...specs, { account: 'second', bot: 'calm', channel: 'web', sessions: 3 }],
    10,
    ['shop', 'bank', 'help'].map(bot => ({ bot, from: at(9, 12), until: at(9, 13), share: 5 })),
  )
  const [fired, ...rest] = replay(judgeOf(), minutes, at(10))
  expect(fired).toMatchObject({ state: 'FIRING', account: 'main', bot_id: '', channel: null })
  expect(brief(rest)).toEqual(['RESOLVED '])
})

describe('the same input gives the same alerts, bit by bit', () => {
  const specs = [BUSY, QUIET, OTHER]
  const minutes = world(specs, 10, [SPIKE, { bot: 'bank', from: at(9, 12, 30), until: at(9, 14), share: 5 }])
  const whole = replay(judgeOf(), minutes, at(10))

  test('there is something to compare', () => {
    expect(whole.length).toBeGreaterThanOrEqual(4)
  })

  test('whatever the steps in which marks move', () => {
    for (const step of [7 * MINUTE_MS, 24 * HOUR_MS]) expect(replay(judgeOf(), minutes, at(10), step)).toEqual(whole)
  })

  test('whatever the order in which minutes and series come', () => {
    const judge = judgeOf()
    for (const minute of minutes.toReversed()) judge.put(minute)
    expect(judge.judge(marksOf(minutes)(at(10)), null)).toEqual(whole)
  })

  test('also where a minute comes several times, the newest last', () => {
    const judge = judgeOf()
    for (const minute of minutes) {
      judge.put({ ...minute, values: { sessions: 1, agent_transfers: 1 } })
      judge.put(minute)
    }
    expect(judge.judge(marksOf(minutes)(at(10)), null)).toEqual(whole)
  })

  test('also where it is judged in steps, and minutes come and go between them', () => {
    const judge = judgeOf()
    const reads = marksOf(minutes)
    const verdicts: Verdict[] = []
    const [first] = minutes
    let steps = 0
    for (const minute of minutes) if (minute.bucket_start < at(9, 12, 40)) judge.put(minute)
    for (const mark of [at(9, 12, 40), at(10)]) {
      const judging = judge.judging(reads(mark), null)
      let step = judging.next()
      for (const minute of minutes) if (minute.bucket_start >= at(9, 12, 40)) judge.put(minute)
      if (first !== undefined) judge.put({ ...first, bucket_start: SPIKE.from, values: {} })
      for (; step.done !== true; step = judging.next()) steps++
      verdicts.push(...step.value)
      for (const minute of minutes) if (minute.bucket_start === SPIKE.from) judge.put(minute)
    }
    expect(verdicts).toEqual(whole)
    // Days of three channels: a step is at most a minute of one bot.
    expect(steps).toBeGreaterThan(2 * 1440)
  })

  test('wherever a process is killed and another goes on', () => {
    for (const killed of [at(9, 12, 9), at(9, 12, 41), at(9, 13, 20)]) {
      const first = judgeOf()
      const before = replay(first, minutes, at(9, 12))
      before.push(...upTo(first, minutes, at(9, 12), killed))
      const second = judgeOf({ from: first.judgedUntil(), memory: remember(first) })
      for (const minute of minutes) if (minute.bucket_start < killed) second.put(minute)
      second.restore(before)
      const rest: Verdict[] = []
      for (let mark = killed; mark <= at(10); mark += HOUR_MS) {
        for (const minute of minutes) if (minute.bucket_start >= mark - HOUR_MS && minute.bucket_start < mark) second.put(minute)
        rest.push(...second.judge(marksOf(minutes)(mark), null))
      }
      for (const minute of minutes) if (minute.bucket_start >= at(9, 23)) second.put(minute)
      rest.push(...second.judge(marksOf(minutes)(at(10)), null))
      expect([...before, ...rest]).toEqual(whole)
    }
  })
})

describe('what was learnt of delays survives a restart', () => {
  // Of the transfers of a minute, every second becomes known ten minutes later.
  const minutes = world([BUSY, OTHER], 10, [SPIKE])
  const reads = marksOf(minutes)
  const asKnown = (minute: (typeof minutes)[number], mark: number) => {
    const transfers = minute.values.agent_transfers ?? 0
    const isAll = mark - minute.bucket_start > 10 * MINUTE_MS
    return { ...minute, values: { ...minute.values, agent_transfers: isAll ? transfers : Math.floor(transfers / 2) } }
  }
  const putRecent = (judge: Judge, mark: number) => {
    for (const minute of minutes) {
      if (minute.bucket_start >= mark - 12 * MINUTE_MS && minute.bucket_start < mark) judge.put(asKnown(minute, mark))
    }
  }
  const onwards = (judge: Judge, from: number, until: number): Verdict[] => {
    const verdicts: Verdict[] = []
    for (let mark = from + MINUTE_MS; mark <= until; mark += MINUTE_MS) {
      putRecent(judge, mark)
      verdicts.push(...judge.judge(reads(mark), mark))
    }
    return verdicts
  }
  const begun = at(9, 10)
  const until = at(9, 14, 30)
  const first = () => {
    const judge = judgeOf({
      from: Object.fromEntries(['shop', 'bank'].map(bot => [JSON.stringify(['acme', 'main', bot]), begun])),
    })
    for (const minute of minutes) if (minute.bucket_start < begun) judge.put(minute)
    return judge
  }
  const whole = first()
  const verdicts = onwards(whole, begun, until)

  test('there is something to compare: an alert that allowed for what was not known yet', () => {
    expect(brief(verdicts)).toEqual(['FIRING shop/web', 'RESOLVED shop/web'])
    expect(Number(verdicts[0]?.evidence['known_share'])).toBeLessThan(0.95)
  })

  test.each([at(9, 11, 30), at(9, 12, 9), at(9, 12, 41)])('the next process goes on bit by bit (killed at %i)', killed => {
    const before = first()
    const told = onwards(before, begun, killed)
    const next = judgeOf({ from: before.judgedUntil(), memory: remember(before) })
    for (const minute of minutes) if (minute.bucket_start < killed) next.put(asKnown(minute, killed))
    next.restore(told)
    told.push(...next.judge(reads(killed), killed), ...onwards(next, killed, until))
    expect(told).toEqual(verdicts)
    expect(next.judgedUntil()).toEqual(whole.judgedUntil())
  })
})

describe('what is not known neither fires nor resolves', () => {
  const minutes = world([BUSY, QUIET], 10, [SPIKE])

  test('minutes before the mark only are judged', () => {
    const judge = after(minutes, at(9, 11))
    for (const minute of minutes) judge.put(minute)
    expect(judge.judge(marksOf(minutes)(at(9, 12, 1)), at(9, 12, 40))).toEqual([])
    expect(judge.judge(marksOf(minutes)(null), at(9, 12, 40))).toEqual([])
    expect(brief(judge.judge(marksOf(minutes)(at(9, 12, 40)), at(9, 12, 40)))).toEqual(['FIRING shop/web'])
  })

  test('a vendor that does not tell transfers raises nothing, and a firing alert stays', () => {
    const silent = minutes.map(minute =>
      minute.bucket_start >= at(9, 12, 40) ? { ...minute, values: { ...minute.values, agent_transfers: null } } : minute,
    )
    expect(brief(replay(judgeOf(), silent, at(10)))).toEqual(['FIRING shop/web'])
  })

  test('a firing alert stays while nothing is read, and ends after it is read again', () => {
    const judge = after(minutes, at(9, 12))
    expect(brief(live(judge, minutes, at(9, 12), at(9, 12, 40)))).toEqual(['FIRING shop/web'])
    for (let gap = 1; gap <= 40; gap++) expect(judge.judge([], at(9, 12, 40 + gap))).toEqual([])
    const until = at(9, 14)
    const rest = minutes.filter(minute => minute.bucket_start >= at(9, 12, 40) && minute.bucket_start < until)
    for (const minute of rest) judge.put(minute)
    expect(brief(judge.judge(marksOf(minutes)(until), until))).toEqual(['RESOLVED shop/web'])
  })

  test('an outage of two hours, read all at once afterwards, is no alert, whatever happened in it', () => {
    const judge = after(minutes, at(9, 11, 55))
    for (const minute of minutes) if (minute.bucket_start < at(9, 14, 10)) judge.put(minute)
    expect(judge.judge(marksOf(minutes)(at(9, 14, 10)), at(9, 14, 10))).toEqual([])
    expect(live(judge, minutes, at(9, 14, 10), at(9, 20))).toEqual([])
  })

  test('a backfill of days in which transfers rose is no alert', () => {
    const spec: ChannelSpec = { bot: 'old', channel: 'web', sessions: 6 }
    const old = world([spec], 9, [{ from: at(7, 12), until: at(7, 14), share: 6 }])
    const judge = after(minutes, at(9, 15))
    for (const minute of old) judge.put(minute)
    const both = [...minutes, ...old]
    expect(judge.judge(marksOf(both)(at(9, 15, 1)), at(9, 15, 1))).toEqual([])
    expect(live(judge, both, at(9, 15, 1), at(9, 18))).toEqual([])
  })

  test('an incident in the hour behind an absence is found when a process that was there finds it, not sooner', () => {
    const began = at(9, 11, 5)
    const busy = world([BUSY], 10, [{ bot: 'shop', from: began, until: at(9, 12), share: 3 }], 6)
    const foundBy = (from: number, nowMs: number | null) => {
      const judge = judgeOf({ from: { [JSON.stringify(['acme', 'main', 'shop'])]: from } })
      for (const minute of busy) if (minute.bucket_start < at(9, 12)) judge.put(minute)
      return judge.judge(marksOf(busy)(at(9, 12)), nowMs).map(({ observed, evidence }) => [observed, evidence])
    }
    const present = foundBy(at(9, 10), null)
    expect(present).toHaveLength(1)
    // Away from 5 to 12 o'clock: what lies before 11 is not judged.
    expect(foundBy(at(9, 5), at(9, 12))).toEqual(present)
  })

  test('a rebuild that publishes every minute again is no alert', () => {
    const judge = after(minutes, at(9, 15))
    for (const minute of minutes) if (minute.bucket_start < at(9, 15)) judge.put(minute)
    expect(judge.judge(marksOf(minutes)(at(9, 15, 1)), at(9, 15, 1))).toEqual([])
  })
})

test('a late revision within the hour fires what was calm when it was judged', () => {
  const minutes = world([BUSY, QUIET], 10, [SPIKE])
  const judge = after(minutes, at(9, 12))
  const spike = minutes.filter(minute => minute.bucket_start >= at(9, 12) && minute.bucket_start < at(9, 12, 40))
  for (const minute of spike) judge.put({ ...minute, values: { ...minute.values, agent_transfers: 0 } })
  const reads = marksOf(minutes)(at(9, 12, 40))
  expect(judge.judge(reads, at(9, 12, 40))).toEqual([])
  for (const minute of spike) judge.put(minute)
  expect(brief(judge.judge(reads, at(9, 12, 41)))).toEqual(['FIRING shop/web'])
})

test('no alert in the first day of a bot', () => {
  const minutes = world([BUSY], 1, [{ from: at(0, 12), until: at(0, 14), share: 6 }])
  expect(replay(judgeOf({ from: {} }), minutes, at(1))).toEqual([])
})

test('an incident of last week does not raise the bar of this week', () => {
  const again = [2, 9].map(day => ({ ...SPIKE, from: at(day, 12), until: at(day, 13), share: 5 }))
  const verdicts = replay(judgeOf({ from: {} }), world([BUSY, QUIET], 10, again), at(10))
  expect(brief(verdicts)).toEqual(['FIRING shop/web', 'RESOLVED shop/web', 'FIRING shop/web', 'RESOLVED shop/web'])
})

test('a minute that is put back to nothing counts no more', () => {
  const judge = after(world([BUSY], 3), at(3))
  judge.put(minuteOf(BUSY, at(3, 0), 50, 50))
  judge.put(minuteOf(BUSY, at(3, 0), 0, 0))
  expect(judge.judge([{ vendor: 'acme', account: 'main', bot_id: 'shop', completeUntil: at(3, 0, 5) }], at(3, 0, 5))).toEqual([])
})

test('START is a Monday, so slots of the tests are those of the week', () => {
  expect(new Date(START).getUTCDay()).toBe(1)
})
