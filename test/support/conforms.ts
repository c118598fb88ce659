/** The conformance suite as tests of a connector. */
import { expect, test } from 'vitest'
import { type Check, conformanceChecks, type Subject } from '../../src/conformance/index.ts'

/** Many lives, each read to its end: ten seconds of processor time and more, where other checks take a fraction of one. They are part of `npm run test:long`. */
const LONG = ['topics: hold the same after kills as time goes on']
/** Of connectors with many source partitions, which all start in each life. */
const LONG_OF: Readonly<Record<string, readonly string[]>> = {
  chatlayer: ['topics: hold the same after a kill at every page and every commit'],
}

/** Registers a test for each check of the subject. @param part `long`: those that are long tests; else all others */
export function conforms(subject: Subject, part: 'short' | 'long' = 'short'): void {
  const long = new Set([...LONG, ...(LONG_OF[subject.connector.manifest.id] ?? [])])
  const checks = conformanceChecks(subject).filter(({ name }) => long.has(name) === (part === 'long'))
  test.each(checks.map((check): [string, Check] => [check.name, check]))('%s', async (_name, check) => {
    await expect(check.run()).resolves.toHaveProperty('outcome')
  })
}
