/** What `colloquy new` writes passes the whole conformance suite before a line of it is changed. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { checkoutByLinks, ROOT } from '../support/checkout.ts'

test('what `new` wrote passes the conformance suite', () => {
  const { folder, colloquy, remove } = checkoutByLinks()
  onTestFinished(remove)
  expect(colloquy('new', 'sixth-vendor').status).toBe(0)

  const outcome = join(folder, 'outcome.json')
  const args = ['connectors/', '--root', folder, '--project', 'conformance', '--reporter', 'json', '--outputFile', outcome]
  execFileSync(process.execPath, [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...args], { cwd: folder, stdio: 'pipe' })
  const report = JSON.parse(readFileSync(outcome, 'utf8')) as { numTotalTests: number; numPassedTests: number }
  expect(report.numTotalTests).toBeGreaterThan(10)
  expect(report.numPassedTests).toBe(report.numTotalTests)
})
