/** The conformance suite as tests of a connector. */
import { expect, test } from 'vitest'
import { type Check, conformanceChecks, type Subject } from '../../src/conformance/index.ts'

/** Many lives, each read to its end: ten seconds of processor time where other checks take a fraction of one. It is part of `npm run test:long`. */
const LONG = 'topics: hold the same after kills as time goes on'

/** Registers a test for each check of the subject. @param part `long`: those that are long tests; else all others */
export function conforms(subject: Subject, part: 'short' | 'long' = 'short'): void {
  const checks = conformanceChecks(subject).filter(({ name }) => (name === LONG) === (part === 'long'))
  test.each(checks.map((check): [string, Check] => [check.name, check]))('%s', async (_name, check) => {
    await expect(check.run()).resolves.toHaveProperty('outcome')
  })
}
