import { describe, expect, test } from 'vitest'
import { createJudge } from '../../src/alert/judge.ts'
import { RuleConfig, ruleOf } from '../../src/rules.ts'
import { at, brief, type Change, type ChannelSpec, live, marksOf, MINUTE_MS, replay, world } from './world.ts'

const BUSY: ChannelSpec = { bot: 'shop', channel: 'web', sessions: 6 }
const OTHER: ChannelSpec = { bot: 'bank', channel: 'web', sessions: 3 }
/** What lies before the day is learnt and not judged. */
const judgeOf = (config: object, day: number) => {
  const from = Object.fromEntries(['shop', 'bank'].map(bot => [JSON.stringify(['acme', 'main', bot]), at(day)]))
  return createJudge({ rules: [ruleOf('tried', RuleConfig.parse(config))], from })
}

describe('a burn-rate rule: a tenth of sessions may go to an agent', () => {
  const config = { per: 'sessions', budget: 0.1, burn: [{ long: '1h', short: '5m', rate: 3 }] }
  const overspending: Change = { bot: 'shop', from: at(2, 12), until: at(2, 14), share: 8 }

  test('fires when the budget is overspent over the long and the short window, and is over when the short one is back', () => {
    const verdicts = replay(judgeOf(config, 2), world([BUSY, OTHER], 3, [overspending]), at(3))

    expect(brief(verdicts)).toEqual(['FIRING shop/web', 'RESOLVED shop/web'])
    const [fired, ended] = verdicts
    // Three times the budget over an hour in which the share was .08 and then .64: after (.3 − .08) / (.64 − .08) of it, 24 minutes.
    const minutes = ((fired?.updated_at ?? 0) - overspending.from) / MINUTE_MS
    expect(minutes).toBeGreaterThan(15)
    expect(minutes).toBeLessThan(33)
    expect(fired?.probability).toBeNull()
    expect(fired?.expected).toBeCloseTo(0.1 * Number(fired?.evidence['sessions']), 0)
    expect(fired?.evidence).toMatchObject({ budget: '0.1', burn_rate: '3' })
    expect(Number(fired?.evidence['spent_long'])).toBeGreaterThan(3)
    expect(Number(fired?.evidence['spent_short'])).toBeGreaterThan(3)
    expect(Math.abs((ended?.ends_at ?? 0) - overspending.until)).toBeLessThan(15 * MINUTE_MS)
  })

  test('does not fire on calm, nor on an overspending that is over before it matters', () => {
    const short: Change = { ...overspending, until: at(2, 12, 15) }
    expect(replay(judgeOf(config, 2), world([BUSY, OTHER], 3), at(3))).toEqual([])
    expect(replay(judgeOf(config, 2), world([BUSY, OTHER], 3, [short]), at(3))).toEqual([])
  })

  test('does not fire below as many sessions as the rule wants', () => {
    const minutes = world([BUSY, OTHER], 3, [overspending])
    expect(replay(judgeOf({ ...config, minSessions: 10_000 }, 2), minutes, at(3))).toEqual([])
  })
})

describe('a burn-rate rule and what became known too late', () => {
  const config = { per: 'sessions', budget: 0.1, burn: [{ long: '6h', short: '5m', rate: 2 }] }
  const now = at(2, 12, 30)
  /** A process that was away from midnight to `now`, and judges what is less than an hour old then. */
  const briefOf = (changes: Change[], until: number) => {
    const minutes = world([BUSY, OTHER], 3, changes)
    const judge = judgeOf(config, 2)
    for (const minute of minutes) if (minute.bucket_start < now) judge.put(minute)
    const verdicts = judge.judge(marksOf(minutes)(now), now)
    return brief([...verdicts, ...live(judge, minutes, now, until)])
  }
  const backfilled: Change = { bot: 'shop', from: at(2, 6), until: at(2, 11, 30), share: 8 }
  const briefly: Change = { bot: 'shop', from: at(2, 11, 30), until: at(2, 12), share: 6 }

  test('history with many transfers does not fire together with some minutes that are judged, nor do these alone pass for hours', () => {
    expect(briefOf([backfilled, briefly], at(2, 13))).toEqual([])
    expect(briefOf([briefly], at(2, 13))).toEqual([])
  })

  test('an overspending that goes on behind it does', () => {
    expect(briefOf([{ ...backfilled, until: at(2, 15) }], at(2, 15))).toEqual(['FIRING shop/web'])
  })

  test('an alert is not over by minutes that became known too late, and is by those that did not', () => {
    const minutes = world([BUSY, OTHER], 3, [{ bot: 'shop', from: at(2, 2), until: at(2, 9), share: 8 }])
    const judge = judgeOf(config, 2)
    const reads = marksOf(minutes)
    for (const minute of minutes) if (minute.bucket_start < at(2, 8)) judge.put(minute)
    expect(brief(judge.judge(reads(at(2, 8)), null))).toEqual(['FIRING shop/web'])
    for (const minute of minutes) if (minute.bucket_start < now) judge.put(minute)
    expect(judge.judge(reads(at(2, 11, 35)), now)).toEqual([])
    expect(brief(judge.judge(reads(now), now))).toEqual(['RESOLVED shop/web'])
  })
})

describe('a count rule', () => {
  const config = { measure: 'sessions' }
  const campaign: Change = { bot: 'shop', from: at(9, 12), until: at(9, 13), sessions: 3 }

  test('fires on what a share lets pass, and is over when the count is usual again', () => {
    const verdicts = replay(judgeOf(config, 8), world([BUSY, OTHER], 10, [campaign]), at(10))

    expect(brief(verdicts)).toEqual(['FIRING shop/web', 'RESOLVED shop/web'])
    const [fired, ended] = verdicts
    expect((fired?.observed ?? 0) / (fired?.expected ?? 0)).toBeGreaterThan(1.5)
    expect(fired?.evidence).not.toHaveProperty('share')
    expect((fired?.updated_at ?? 0) - campaign.from).toBeLessThan(25 * MINUTE_MS)
    expect(Math.abs((ended?.ends_at ?? 0) - campaign.until)).toBeLessThan(20 * MINUTE_MS)
  })

  test('does not fire on calm, nor where only the share rises', () => {
    const share: Change = { bot: 'shop', from: at(9, 12), until: at(9, 13), share: 4 }
    expect(replay(judgeOf(config, 8), world([BUSY, OTHER], 10, [share]), at(10))).toEqual([])
  })
})
