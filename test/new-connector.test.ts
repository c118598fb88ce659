/** The scaffold in a checkout of its own: one folder is written, nothing else is touched, and it passes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createWorld, type SimulatorPlugin } from '../src/sim/index.ts'
import { type Checkout, checkoutByLinks, ROOT } from './support/checkout.ts'
import { configFile, run, start, until } from './support/product.ts'

let checkout: Checkout
beforeAll(() => {
  checkout = checkoutByLinks()
})
afterAll(() => checkout.remove())

test('`new` writes one folder below connectors/ of the checkout, under one name throughout', () => {
  const { status, stdout } = checkout.colloquy('new', 'sixth-vendor')
  expect(status).toBe(0)
  const folder = join(checkout.folder, 'connectors/sixth-vendor')
  expect(readdirSync(join(checkout.folder, 'connectors'))).toEqual(['sixth-vendor'])
  expect(readdirSync(folder).sort()).toEqual(['index.ts', 'notes.md', 'simulator.ts', 'sixth-vendor.test.ts', 'subject.ts'])
  for (const file of readdirSync(folder)) {
    expect(readFileSync(join(folder, file), 'utf8')).not.toMatch(/acme-chat|AcmeChat|Acme Chat/)
    expect(stdout).toContain(join(folder, file))
  }
})

test.each([
  ['', 'lower case letters'],
  ['Acme Chat', 'lower case letters'],
  ['../up', 'lower case letters'],
  ['sixth-vendor', 'is there already'],
])('`new` refuses %j', (name, why) => {
  const { status, stderr } = checkout.colloquy('new', name)
  expect([status, stderr]).toEqual([2, expect.stringContaining(why)])
})

test('the guide shows what it writes', () => {
  const guide = readFileSync(join(ROOT, 'docs/writing-a-connector.md'), 'utf8')
  const scaffold = readFileSync(join(ROOT, 'scripts/scaffold/index.ts'), 'utf8')
  expect(guide).toContain(`\`\`\`ts\n${scaffold.replace("'../../src/source/index.ts'", "'colloquy'")}\`\`\`\n`)
})

test('the product reads it by its folder, with no change in src', async () => {
  const folder = join(checkout.folder, 'connectors/sixth-vendor')
  const { simulator } = (await import(pathToFileURL(join(folder, 'simulator.ts')).href)) as { simulator: SimulatorPlugin }
  const nowMs = Date.now()
  const vendor = await simulator.start({
    world: createWorld({ seed: 1, sessions: 40, fromMs: nowMs - 86_400_000, untilMs: nowMs }),
  })
  try {
    const connectors = { sixth: { 'connector.class': './connectors/sixth-vendor', ...vendor.config } }
    writeFileSync(
      join(checkout.folder, 'colloquy.yaml'),
      JSON.stringify({ kafka: { brokers: ['127.0.0.1:9'] }, registry: { url: 'http://127.0.0.1:9' }, connectors }),
    )
    const { code, stdout } = await run(['peek', 'sixth', '--config', join(checkout.folder, 'colloquy.yaml'), '--limit', '20'])
    expect(code).toBe(0)
    const peeked = stdout.map(line => JSON.parse(line) as { kind: string; record: { vendor: string } })
    expect(peeked).toHaveLength(20)
    expect(new Set(peeked.map(({ record }) => record.vendor))).toEqual(new Set(['sixth-vendor']))
    expect(new Set(peeked.map(({ kind }) => kind))).toContain('session')
  } finally {
    await vendor.stop()
  }
})

describe('a folder outside the checkout', () => {
  let outside: string
  beforeAll(() => {
    outside = mkdtempSync(join(tmpdir(), 'colloquy-outside-'))
    // As `npm init` writes it.
    writeFileSync(join(outside, 'package.json'), '{"type":"commonjs"}')
  })
  afterAll(() => rmSync(outside, { recursive: true, force: true }))

  test('`new --into` writes imports from the package', async () => {
    const { code, stdout } = await run(['new', 'far-vendor', '--into', outside])
    expect(code).toBe(0)
    expect(stdout).toContain(`  colloquy conformance ${join(outside, 'far-vendor')}   run the conformance suite`)
    const texts = readdirSync(join(outside, 'far-vendor')).map(file => readFileSync(join(outside, 'far-vendor', file), 'utf8'))
    expect(texts.join('\n')).not.toContain('../../')
  })

  test('`conformance` prints a line a check and a count, and fails with a connector that is wrong', async () => {
    const folder = join(outside, 'far-vendor')
    const good = await run(['conformance', folder, '--only', 'conversations: g'])
    expect(good).toMatchObject({ code: 0, log: [] })
    expect(good.stdout).toEqual([
      'passed  conversations: gives rows with ids, the same at a second read',
      'passed  conversations: goes on from any page as if it had not stopped',
      '',
      '2 passed, 0 waived, 0 failed',
    ])
    const index = join(folder, 'index.ts')
    const right = readFileSync(index, 'utf8')
    writeFileSync(index, right.replace('identify: row => row.id', 'identify: row => `${row.id}-${process.hrtime.bigint()}`'))
    const wrong = await run(['conformance', folder, '--only', 'conversations: gives', '--json'])
    writeFileSync(index, right)
    expect(wrong.code).toBe(1)
    expect(wrong.stdout.map(line => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ check: 'conversations: gives rows with ids, the same at a second read', outcome: 'failed' }),
    ])
  })

  test('`conformance` of a folder without a subject, and checks that are not there, are refused', async () => {
    const calls = [
      ['conformance', outside],
      ['conformance', join(outside, 'far-vendor'), '--only', 'nothing'],
    ]
    const ended = await Promise.all(calls.map(call => run(call)))
    expect(ended.map(({ code, log }) => [code, log.map(({ path }) => path)])).toEqual([
      [2, [outside]],
      [2, ['--only']],
    ])
  })

  test('`simulate` starts its simulator, and `peek` reads it', async () => {
    const folder = join(outside, 'far-vendor')
    const simulators = start(['simulate', folder, '--sessions', '30'])
    onTestFinished(() => void simulators.kill('SIGKILL'))
    const line = await until('it is ready', async () => simulators.stdout[0])
    const { 'far-vendor': keys } = JSON.parse(line) as Record<string, Record<string, string>>
    const config = configFile({ connectors: { far: { 'connector.class': folder, ...keys } } })
    onTestFinished(() => config.remove())
    const { code, stdout } = await run(['peek', 'far', '--config', config.path, '--limit', '5'])
    expect(code).toBe(0)
    expect(stdout).toHaveLength(5)
    expect((await simulators.kill('SIGTERM')).code).toBe(0)
  })
})
