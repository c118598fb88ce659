import { describe, expect, test } from 'vitest'
import { conformanceChecks } from '../../src/conformance/index.ts'
import { subject } from './subject.ts'

describe('conformance', () => {
  test.each(conformanceChecks(subject).map(check => [check.name, check] as const))('%s', async (_, check) => {
    await expect(check.run()).resolves.toHaveProperty('outcome')
  })
})
