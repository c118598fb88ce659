import { describe, expect, test } from 'vitest'
import { createJudge } from '../../src/alert/judge.ts'
import { RuleConfig, ruleOf } from '../../src/rules.ts'
import { at, brief, type Change, type ChannelSpec, MINUTE_MS, replay, world } from './world.ts'

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
