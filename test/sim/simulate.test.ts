import { expect, test } from 'vitest'
import { simulateCommand } from '../../src/cli/simulate.ts'
import { createLog } from '../../src/log.ts'
import { createWorld, findSimulators, serve, startSimulators } from '../../src/sim/index.ts'

const world = createWorld({ seed: 1, sessions: 10, fromMs: 0, untilMs: 86_400_000 })

function call(argv: string[]) {
  const stop = new AbortController()
  const stderr: string[] = []
  const ready = Promise.withResolvers<Record<string, Record<string, string>>>()
  const code = simulateCommand(argv, {
    stdout: line => ready.resolve(JSON.parse(line) as Record<string, Record<string, string>>),
    log: createLog('info', line => stderr.push(line)),
    signal: stop.signal,
  })
  return { stop, stderr, ready: ready.promise, code }
}

test('one line has the config of each connector; on the signal the command ends well and leaves nothing', async () => {
  const { stop, ready, code, stderr } = call(['--sessions', '50', '--seed', '3', '--live', '60'])
  const config = await ready
  expect(Object.keys(config)).toEqual([...(await findSimulators()).keys()])
  for (const vendor of Object.values(config)) expect(vendor['base.url']).toMatch(/^http:\/\/127\.0\.0\.1:\d+/)
  stop.abort()
  expect(await code).toBe(0)
  for (const vendor of Object.values(config)) await expect(fetch(vendor['base.url'] ?? '')).rejects.toThrow('fetch failed')
  expect(
    stderr.map(line => JSON.parse(line) as object),
    'the incident in the live conversations',
  ).toEqual([
    expect.objectContaining({
      level: 'info',
      incident: {
        channel: 'whatsapp',
        from: expect.stringMatching(/Z$/) as string,
        until: expect.stringMatching(/Z$/) as string,
        transferShare: 0.85,
        usualShare: 0.18,
      },
    }),
  ])
})

test('every fault of a call is reported, and nothing starts', async () => {
  const { code, stderr } = call(['nobody', '--port', 'x', '--live', '-1'])
  expect(await code).toBe(2)
  const faults = stderr.map(line => JSON.parse(line) as { code: string; path: string })
  expect(faults.every(fault => fault.code === 'CALL_INVALID')).toBe(true)
  expect(faults.map(({ path }) => path)).toContain('--port')
  const second = call(['nobody', 'nobody'])
  expect(await second.code).toBe(2)
  expect(second.stderr).toHaveLength(2)
})

test('a taken port ends the command with its code', async () => {
  const other = await serve({ handler: () => ({ status: 200 }) })
  const { code, stderr } = call(['--port', String(other.port), '--sessions', '1'])
  expect(await code).toBe(1)
  expect(stderr.map(line => (JSON.parse(line) as { code: string }).code)).toEqual(['PORT_TAKEN'])
  await other.stop()
})

test('every vendor listens on --host, and its config has it', async () => {
  const { stop, ready, code } = call(['--host', 'localhost', '--sessions', '5'])
  for (const [vendor, { 'base.url': url = '' }] of Object.entries(await ready)) {
    expect([vendor, url]).toEqual([vendor, expect.stringMatching(/^http:\/\/localhost:\d+/)])
    expect([vendor, (await fetch(url)).status]).toEqual([vendor, expect.any(Number)])
  }
  stop.abort()
  expect(await code).toBe(0)
})

test('an unknown vendor is rejected, and those before it are stopped', async () => {
  const [first = ''] = (await findSimulators()).keys()
  await expect(startSimulators({ world, vendors: [first, 'nobody'] })).rejects.toMatchObject({ code: 'PLUGIN_UNKNOWN' })
})

test('simulators of all vendors show the same world', async () => {
  const simulators = await startSimulators({ world, now: () => 86_400_000 })
  expect(simulators.all.map(({ vendor }) => vendor)).toEqual(Object.keys(simulators.config))
  await simulators.stop()
})

test('faults of the command line affect about the requested share of answers', async () => {
  const { stop, ready, code } = call(['--sessions', '5', '--faults', '40', '--seed', '5'])
  const [config] = Object.values(await ready)
  let spoilt = 0
  for (let number = 0; number < 100; number++) {
    const answer = await fetch(`${config?.['base.url']}/nowhere`).then(
      async ({ status, body }) => ({ status, text: await new Response(body).text().catch(() => null) }),
      () => null,
    )
    const isPlain = answer?.text?.startsWith('{"errors"') === true && answer.text.endsWith('}')
    if (!isPlain) spoilt++
  }
  stop.abort()
  expect(await code).toBe(0)
  expect(spoilt).toBeGreaterThan(20)
  expect(spoilt).toBeLessThan(55)
})
