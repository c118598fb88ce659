/** `check` and `peek` against every simulator, as `simulate` starts them. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { findSimulators } from '../../src/sim/index.ts'
import { configFile, type Running, run, start, until } from '../support/product.ts'

const vendors = [...(await findSimulators()).keys()]
const stack = inject('stack')
let simulators: Running
let file: ReturnType<typeof configFile>

beforeAll(async () => {
  simulators = start(['simulate', '--sessions', '300', '--live', '6'])
  const line = await until('the simulators are up', async () => simulators.stdout[0])
  const config = JSON.parse(line) as Record<string, Record<string, string>>
  expect(Object.keys(config)).toEqual(vendors)
  file = configFile({
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    connectors: Object.fromEntries(
      Object.entries(config).map(([vendor, keys]) => [
        vendor,
        { 'connector.class': vendor, account: 'acme', ...keys, 'quota.gap.ms': 0 },
      ]),
    ),
  })
})
afterAll(async () => {
  file.remove()
  await simulators.kill('SIGTERM')
})

test('check finds every stream of every vendor good', async () => {
  const { code, stdout } = await run(['check', '--config', file.path])
  const findings = stdout.map(line => JSON.parse(line) as { finding: string; what: string; newest?: string })
  expect(findings.filter(({ finding, newest }) => !['ok', 'info'].includes(finding) || newest === 'reject')).toEqual([])
  expect(new Set(findings.map(({ what }) => what))).toEqual(
    new Set(['config', 'kafka', 'registry', ...vendors.map(vendor => `connectors.${vendor}`)]),
  )
  expect(code).toBe(0)
})

test.each(vendors)('peek shows records of %s, none of them rejected, and no secret', async vendor => {
  const { code, stdout, output } = await run(['peek', vendor, '--config', file.path, '--limit', '60'])
  const peeked = stdout.map(line => JSON.parse(line) as { kind: string; record: { vendor: string } })
  expect(code).toBe(0)
  expect(peeked.length).toBeGreaterThan(20)
  expect(new Set(peeked.map(({ record }) => record.vendor))).toEqual(new Set([vendor]))
  const kinds = new Set(peeked.map(({ kind }) => kind))
  expect(kinds).not.toContain('reject')
  expect(kinds).toContain('session')
  for (const [name, value] of Object.entries(JSON.parse(simulators.stdout[0] ?? '{}')[vendor] as Record<string, string>))
    if (/token|secret|password/.test(name) && !name.endsWith('.id') && !name.endsWith('.url')) expect(output).not.toContain(value)
})
