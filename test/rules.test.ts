import { expect, test } from 'vitest'
import { DEFAULT_RULE, RuleConfig, ruleOf, shownRule } from '../src/rules.ts'

test('the default rule is the one of the contract', () => {
  expect(shownRule(DEFAULT_RULE)).toMatchObject({
    name: 'agent-transfer-spike',
    measure: 'agent_transfers',
    per: 'sessions',
    by: ['vendor', 'account', 'bot_id', 'channel'],
    windows: ['15m', '1h'],
    alertsPerWeek: 0.1,
    minCount: 5,
    severity: 'page',
  })
})

test('labels and windows are put in order, and numbers may be text', () => {
  const rule = ruleOf('x', RuleConfig.parse({ by: ['account', 'vendor'], windows: ['1h', '30m'], minCount: '8' }))
  expect(rule).toMatchObject({ by: ['vendor', 'account'], windowsMs: [1_800_000, 3_600_000], minCount: 8, per: null })
})

test.each([
  [{ measure: 'duration_ms' }, 'measure'],
  [{ windows: ['90s'] }, 'windows.0'],
  [{ by: ['account'] }, 'by'],
  [{ by: ['vendor', 'channel'] }, 'by'],
  [{ budget: 0.1 }, 'per'],
  [{ per: 'sessions', budget: 0.5, burn: [{ long: '1h', short: '5m', rate: 3 }] }, 'burn.0.rate'],
  [{ per: 'sessions', budget: 0.1, burn: [{ long: '1h', short: '2h', rate: 3 }] }, 'burn.0.short'],
  [{ sigma: 3 }, ''],
])('%j is a fault', (config, path) => {
  const { error } = RuleConfig.safeParse(config)
  expect(error?.issues.map(issue => issue.path.join('.'))).toContain(path)
})
