import { expect, test } from 'vitest'
import { emptyState, tableOf } from '../../src/cli/demo-table.ts'
import { AT, makeAlert } from '../alert/make.ts'

test('the table shows what fires first, and has as many lines with alerts as without', () => {
  const over = makeAlert({ alert_id: 'b', state: 'RESOLVED', ends_at: AT + 1, channel: 'web' })
  const alerts = [makeAlert(), over, makeAlert({ alert_id: 'c', channel: 'sms' })]
  const lines = tableOf({ ...emptyState, alerts }, 200)
  expect(lines.slice(-2)).toEqual([
    '  ALERT  agent-transfer-spike at botmaker / acme / b1 / whatsapp: 42 where 12.3 would be usual, probability 1.2e-7',
    '  was    agent-transfer-spike at botmaker / acme / b1 / web is over: 42 where 12.3 would be usual, probability 1.2e-7',
  ])
  expect(tableOf(emptyState, 200)).toHaveLength(lines.length)
  expect(tableOf({ ...emptyState, alerts: [over] }, 200)).toHaveLength(lines.length)
})
