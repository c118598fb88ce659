/** The scaffold in a checkout of its own: one folder is written, nothing else is touched, and it passes. */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWorld, type SimulatorPlugin } from '../src/sim/index.ts'
import { run } from './support/product.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
let checkout: string

const scaffold = (name: string) =>
  spawnSync(process.execPath, [join(root, 'scripts/new-connector.ts'), name, '--into', join(checkout, 'connectors')], {
    encoding: 'utf8',
  })

beforeAll(() => {
  checkout = mkdtempSync(join(tmpdir(), 'colloquy-sixth-'))
  mkdirSync(join(checkout, 'connectors'))
  for (const part of ['src', 'schemas', 'node_modules']) symlinkSync(join(root, part), join(checkout, part))
  for (const file of ['package.json', 'vitest.config.ts']) cpSync(join(root, file), join(checkout, file))
})
afterAll(() => rmSync(checkout, { recursive: true, force: true }))

test('writes one folder, named and in one voice', () => {
  const { status, stdout } = scaffold('sixth-vendor')
  expect(status).toBe(0)
  const folder = join(checkout, 'connectors/sixth-vendor')
  expect(readdirSync(join(checkout, 'connectors'))).toEqual(['sixth-vendor'])
  expect(readdirSync(folder).sort()).toEqual(['index.ts', 'notes.md', 'simulator.ts', 'sixth-vendor.test.ts'])
  for (const file of readdirSync(folder)) {
    expect(readFileSync(join(folder, file), 'utf8')).not.toMatch(/acme-chat|AcmeChat|Acme Chat/)
    expect(stdout).toContain(join(folder, file))
  }
})

test.each([
  ['', 'usage'],
  ['Acme Chat', 'usage'],
  ['../up', 'usage'],
  ['sixth-vendor', 'is there already'],
])('refuses %j', (name, why) => {
  const { status, stderr } = scaffold(name)
  expect([status, stderr]).toEqual([2, expect.stringContaining(why)])
})

test('the guide shows what it writes', () => {
  const guide = readFileSync(join(root, 'docs/writing-a-connector.md'), 'utf8')
  const scaffold = readFileSync(join(root, 'scripts/scaffold/index.ts'), 'utf8')
  expect(guide).toContain(`\`\`\`ts\n${scaffold.replace("'../../src/source/index.ts'", "'colloquy'")}\`\`\`\n`)
})

test('what it wrote passes the conformance suite', () => {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const outcome = join(checkout, 'outcome.json')
  const args = ['run', '--root', checkout, '--project', 'conformance', '--reporter', 'json', '--outputFile', outcome]
  execFileSync(process.execPath, [vitest, ...args], { cwd: checkout, stdio: 'pipe' })
  const report = JSON.parse(readFileSync(outcome, 'utf8')) as { numTotalTests: number; numPassedTests: number }
  expect(report.numTotalTests).toBeGreaterThan(10)
  expect(report.numPassedTests).toBe(report.numTotalTests)
}, 120_000)

test('the product reads it by its folder, with no change in src', async () => {
  const folder = join(checkout, 'connectors/sixth-vendor')
  const { simulator } = (await import(pathToFileURL(join(folder, 'simulator.ts')).href)) as { simulator: SimulatorPlugin }
  const nowMs = Date.now()
  const vendor = await simulator.start({
    world: createWorld({ seed: 1, sessions: 40, fromMs: nowMs - 86_400_000, untilMs: nowMs }),
  })
  try {
    const connectors = { sixth: { 'connector.class': './connectors/sixth-vendor', ...vendor.config } }
    writeFileSync(
      join(checkout, 'colloquy.yaml'),
      JSON.stringify({ kafka: { brokers: ['127.0.0.1:9'] }, registry: { url: 'http://127.0.0.1:9' }, connectors }),
    )
    const { code, stdout } = await run(['peek', 'sixth', '--config', join(checkout, 'colloquy.yaml'), '--limit', '20'])
    expect(code).toBe(0)
    const peeked = stdout.map(line => JSON.parse(line) as { kind: string; record: { vendor: string } })
    expect(peeked).toHaveLength(20)
    expect(new Set(peeked.map(({ record }) => record.vendor))).toEqual(new Set(['sixth-vendor']))
    expect(new Set(peeked.map(({ kind }) => kind))).toContain('session')
  } finally {
    await vendor.stop()
  }
})
