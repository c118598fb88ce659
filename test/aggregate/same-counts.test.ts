import { expect, test } from 'vitest'
import { blankContribution, sameCounts } from '../../src/aggregate/contribution.ts'

test('a session counts as before only where nothing that is counted of it has changed; its revision is not', () => {
  const before = blankContribution()
  const changed = Object.keys(before).filter(field => !sameCounts(before, { ...before, [field]: 7 }))
  expect(changed).toEqual(Object.keys(before).filter(field => field !== 'revision'))
})
