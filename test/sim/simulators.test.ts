import { expect, test } from 'vitest'
import { printedConfig } from '../../src/sim/simulators.ts'
import { parseTransferRules } from '../../src/source/transfers.ts'

test('simulate prints the rules of the world as one text that a config takes', () => {
  const config = { account: 'acme' }
  expect(printedConfig({ config })).toEqual({ account: 'acme' })
  const rules = ['flow~human; or agent=agent_transferred', 'tag~a,b=agent_transfer_requested']
  const printed = printedConfig({ config, transferRules: rules })
  expect(Object.keys(printed)).toEqual(['account', 'transfer.rules'])
  const { transfers, faults } = parseTransferRules((printed['transfer.rules'] ?? '').split(';'))
  expect(faults).toEqual([])
  expect(transfers.match('flow', 'to a human; or agent')).toBe('agent_transferred')
  expect(transfers.match('tag', 'a,b')).toBe('agent_transfer_requested')
})
