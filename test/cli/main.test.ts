import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { startBotmakerSimulator } from '../../connectors/botmaker/simulator.ts'
import { createWorld } from '../../src/sim/index.ts'
import { configFile, run, start, until } from '../support/product.ts'

const HOUR = 3_600_000
const SECRET = 'token-that-nobody-may-see'

function file(config: object): string {
  const written = configFile(config)
  onTestFinished(() => written.remove())
  return written.path
}

async function vendorWith(sessions: number) {
  const untilMs = Date.now() - HOUR
  const vendor = await startBotmakerSimulator({
    world: createWorld({ seed: 5, sessions, fromMs: untilMs - 12 * HOUR, untilMs }),
    quirks: { requestsPerSecond: 0 },
  })
  onTestFinished(() => vendor.stop())
  return vendor
}

test('a config with five faults: all five are named with their paths, nothing starts, exit code 2', async () => {
  const config = file({
    kafka: { brokers: ['no port here'] },
    registry: { url: 'ftp://127.0.0.1:8081' },
    topics: { partitons: 6 },
    connectors: {
      acme: { 'connector.class': 'botmaker', 'access.token': '${env:NOT_SET}', 'poll.interval.ms': 'often' },
    },
  })
  for (const command of [['run'], ['check']]) {
    const ended = await run([...command, '--config', config])
    expect(ended.code).toBe(2)
    expect(ended.stdout).toEqual([])
    expect(ended.log.map(line => [line['level'], line.code, line['path']])).toEqual([
      ['error', 'CFG_INVALID', 'kafka.brokers.0'],
      ['error', 'CFG_INVALID', 'registry.url'],
      ['error', 'CFG_INVALID', 'topics.partitons'],
      ['error', 'CFG_INVALID', 'connectors.acme.access.token'],
      ['error', 'CFG_INVALID', 'connectors.acme.poll.interval.ms'],
    ])
  }
})

test('a wrong call names what is wrong with it, exit code 2', async () => {
  const cases: [string[], string[]][] = [
    [['fly'], ['fly']],
    [['constructor'], ['constructor']],
    [['__proto__', '--help'], ['__proto__']],
    [[''], ['']],
    [['plugins', '__proto__'], ['__proto__']],
    [['plugins', 'fs'], ['fs']],
    [
      ['check', '--config', 'a', '--config', 'b', '--constructor'],
      ['--config', '--constructor'],
    ],
    [
      ['run', '--rols', 'worker'],
      ['--rols', '--config', 'worker'],
    ],
    [['run', '--config', '/nowhere.yaml'], ['/nowhere.yaml']],
    [['peek', '--config', 'x'], ['CONNECTOR']],
    [['simulate', 'nobody'], ['nobody']],
    [
      ['simulate', '--port', '99999', '--sessions', 'x'],
      ['--port', '--sessions'],
    ],
    [['stack', '--kafka-port', 'x'], ['--kafka-port']],
    [['pause'], ['NAME']],
    [['offsets', 'acme', '--url', 'nowhere'], ['--url']],
  ]
  const endings = cases.map(async ([argv, paths]) => ({ argv, paths, ended: await run(argv) }))
  for (const { argv, paths, ended } of await Promise.all(endings)) {
    expect({ argv, code: ended.code }).toEqual({ argv, code: 2 })
    expect(ended.log.map(line => String(line['path'])).toSorted()).toEqual(paths.toSorted())
    expect(ended.output).not.toContain('    at ')
  }
}, 60_000)

test('a log level that is none is told in one line', async () => {
  const ended = await run(['plugins'], { COLLOQUY_LOG_LEVEL: 'loud' })
  expect(ended).toMatchObject({ code: 2, stdout: [], log: [{ code: 'CALL_INVALID', path: 'COLLOQUY_LOG_LEVEL' }] })
  expect(ended.log).toHaveLength(1)
})

test('who reads our output may leave in the middle', async () => {
  const product = start(['plugins', 'botmaker'])
  product.process.stdout?.destroy()
  const ended = await product.ended
  expect(ended).toMatchObject({ code: 0, log: [] })
})

test('an older Node gets one line that says which is needed, before anything that it could not load', () => {
  // Stands for an old Node: another version in its place, and whatever a file of ours imports fails.
  const old = `data:text/javascript,${encodeURIComponent(
    `import { registerHooks } from 'node:module'
    Object.defineProperty(process.versions, 'node', { value: '20.19.0' })
    registerHooks({ resolve(name, context, next) {
      if (context.parentURL?.endsWith('/src/main.ts')) throw new Error('an older Node cannot load ' + name)
      return next(name, context)
    } })`,
  )}`
  const guard = fileURLToPath(new URL('../../scripts/require-node.mjs', import.meta.url))
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  for (const preload of [['--import', guard], []]) {
    const ended = spawnSync(process.execPath, ['--import', old, ...preload, main, '--help'], { encoding: 'utf8' })
    expect(ended.status).toBe(2)
    expect(ended.stdout).toBe('')
    const [line, ...more] = ended.stderr.trim().split('\n')
    expect(JSON.parse(line ?? '')).toMatchObject({
      level: 'error',
      msg: expect.stringMatching(/needs Node 24 or newer, this is v20\.19\.0: install/) as string,
    })
    expect(more).toEqual([])
  }
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    scripts: Record<string, string>
  }
  const ours = Object.entries(scripts).filter(([name, script]) => /\bnode .*\.ts\b/.test(script) && !name.endsWith('pack'))
  expect(ours.map(([name]) => name)).toEqual(expect.arrayContaining(['colloquy', 'demo', 'stack', 'generate']))
  for (const [name, script] of ours) expect(script, name).toContain('--import ./scripts/require-node.mjs')
  expect(scripts['precheck']).toBe('node scripts/require-node.mjs')
})

test('help and version are no faults', async () => {
  const help = await run(['--help'])
  expect(help).toMatchObject({ code: 0, log: [] })
  for (const name of ['connectors', 'status', 'pause', 'resume', 'stop', 'restart', 'offsets'])
    expect(help.stdout.some(line => line.startsWith(`  ${name} `))).toBe(true)
  const version = await run(['--version'])
  expect(version.stdout).toEqual([expect.stringMatching(/^\d+\.\d+\.\d+( \([0-9a-f]{10}\))?$/)])
})

test('help of one command is asked for in three ways, and that of an unknown one is refused', async () => {
  const asked = await Promise.all(
    [
      ['check', '--help'],
      ['check', '--config', 'x', '-h'],
      ['help', 'check'],
    ].map(argv => run(argv)),
  )
  for (const ended of asked) {
    expect(ended).toMatchObject({ code: 0, log: [] })
    expect(ended.stdout[0]).toBe('Usage: colloquy check [options]')
  }
  expect(await run(['help', 'chekc'])).toMatchObject({ code: 2, stdout: [], log: [{ path: 'chekc' }] })
})

test('what was probably meant is asked for: a command, an option, a class, a vendor, a connector', async () => {
  const config = file({
    kafka: { brokers: ['127.0.0.1:1'] },
    registry: { url: 'http://127.0.0.1:1' },
    connectors: { acme: { 'connector.class': 'botmakr' } },
  })
  const good = file({ connectors: { acme: { 'connector.class': 'botmaker', 'access.token': SECRET } } })
  const cases: [argv: string[], path: string, meant: string][] = [
    [['chek', '--config', config], 'chek', 'check'],
    [['check', '--confg', config], '--confg', '--config'],
    [['check', '--config', config], 'connectors.acme.connector.class', 'botmaker'],
    [['plugins', 'botmakr'], 'botmakr', 'botmaker'],
    [['simulate', 'korai'], 'korai', 'koreai'],
    [['peek', 'acmee', '--config', good], 'CONNECTOR', 'acme'],
    [['rejects', 'lst', '--config', config], 'lst', 'list'],
  ]
  await Promise.all(
    cases.map(async ([argv, path, meant]) => {
      const ended = await run(argv)
      expect({ argv, code: ended.code }).toEqual({ argv, code: 2 })
      expect(ended.log.find(line => line['path'] === path)?.msg).toContain(`did you mean ${meant}?`)
      expect(ended.output).not.toContain('    at ')
    }),
  )
}, 60_000)

test('completion prints a script with the ids of the connectors, and nothing else', async () => {
  const ended = await run(['completion', 'bash'])
  expect(ended).toMatchObject({ code: 0, log: [] })
  expect(ended.stdout.join('\n')).toMatch(/complete -F _colloquy colloquy$/)
  expect(ended.stdout.join('\n')).toContain("'koreai'")
})

test('plugins lists the connectors, and shows one with the schema of its config, secrets marked', async () => {
  const list = await run(['plugins'])
  expect(list.stdout.map(line => (JSON.parse(line) as { id: string }).id)).toContain('botmaker')
  const one = JSON.parse((await run(['plugins', 'botmaker'])).stdout.join('\n')) as {
    manifest: { id: string }
    config: { required: string[]; properties: Record<string, { writeOnly?: boolean }> }
  }
  expect(one.manifest.id).toBe('botmaker')
  expect(one.config.required).toContain('access.token')
  expect(one.config.properties['access.token']).toMatchObject({ writeOnly: true })
  const none = await run(['plugins', 'nobody'])
  expect(none).toMatchObject({ code: 2, log: [expect.objectContaining({ code: 'PLUGIN_UNKNOWN' })] })
})

test('peek prints the newest records of a vendor without a Kafka in the file', async () => {
  const vendor = await vendorWith(40)
  const config = file({ connectors: { acme: { 'connector.class': 'botmaker', ...vendor.config } } })
  const ended = await run(['peek', 'acme', '--config', config, '--limit', '7'])
  expect(ended.code).toBe(0)
  const records = ended.stdout.map(line => JSON.parse(line) as { kind: string; record: Record<string, unknown> })
  expect(records).toHaveLength(7)
  expect(new Set(records.map(({ kind }) => kind))).toContain('session')
  const first = records.find(({ kind }) => kind === 'session')?.record['started_at'] as number
  const starts = Array.from({ length: 40 }, (_, index) => vendor.world.conversation(index).startedAtMs)
  expect(first).toBe(Math.max(...starts))
})

test('peek of a connector that the file does not have names those it has', async () => {
  const config = file({ connectors: { acme: { 'connector.class': 'botmaker', 'access.token': SECRET } } })
  const ended = await run(['peek', 'other', '--config', config])
  expect(ended).toMatchObject({ code: 2, log: [{ msg: expect.stringContaining('acme') as string }] })
  expect(ended.output).not.toContain(SECRET)
})

test('check tries everything, tells a line a finding, shows no secret, and exits 1 when something is wrong', async () => {
  const vendor = await vendorWith(5)
  const taken = createServer()
  await new Promise<void>(resolve => {
    taken.listen(0, '127.0.0.1', resolve)
  })
  const { port } = taken.address() as AddressInfo
  taken.close()
  const config = file({
    kafka: { brokers: [`127.0.0.1:${port}`] },
    registry: { url: `http://127.0.0.1:${port}` },
    connectors: {
      good: { 'connector.class': 'botmaker', ...vendor.config },
      bad: { 'connector.class': 'botmaker', ...vendor.config, 'access.token': '${env:BAD_TOKEN}', 'quota.per.second': 0 },
    },
  })
  const ended = await run(['check', '--config', config], { BAD_TOKEN: SECRET })
  const findings = ended.stdout.map(line => JSON.parse(line) as { finding: string; what: string; code?: string })
  expect(findings.map(({ finding, what, code }) => [finding, what, code])).toEqual([
    ['ok', 'config', undefined],
    ['fault', 'kafka', 'KAFKA_UNREACHABLE'],
    ['fault', 'registry', 'REGISTRY_UNREACHABLE'],
    ['ok', 'connectors.good', undefined],
    ['ok', 'connectors.good', undefined],
    ['fault', 'connectors.bad', 'SRC_UNAUTHORISED'],
    ['ok', 'connectors.bad', undefined],
  ])
  expect(ended.log.at(-1)).toMatchObject({ level: 'error', faults: 3, warnings: 0, msg: 'check: 3 faults, 0 warnings' })
  expect(findings[4], 'what reading it takes of the vendor').toMatchObject({
    requestsPerHour: expect.any(Number),
    requestsPerDay: expect.any(Number),
    quotaPerHour: 3600,
    reasons: [{ stream: 'sessions', why: expect.stringContaining('at each poll') }],
  })
  expect(ended.code).toBe(1)
  expect(ended.output).not.toContain(SECRET)
  expect(ended.output).not.toContain(vendor.config['access.token'])
})

test('run says which port is taken, and starts nothing', async () => {
  const taken = createServer()
  await new Promise<void>(resolve => {
    taken.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void taken.close())
  const { port } = taken.address() as AddressInfo
  const config = file({
    kafka: { brokers: ['127.0.0.1:1'] },
    registry: { url: 'http://127.0.0.1:1' },
    http: { port },
  })
  const ended = await run(['run', '--config', config])
  expect(ended.code).toBe(1)
  expect(ended.log.filter(line => line.code === 'PORT_TAKEN')).toEqual([expect.objectContaining({ port })])
})

test('run without a Kafka waits for one, is alive but not ready, and ends on SIGTERM with 0', async () => {
  const config = file({
    kafka: { brokers: ['127.0.0.1:1'] },
    registry: { url: 'http://127.0.0.1:1' },
    http: { port: 0 },
    connectors: { acme: { 'connector.class': 'botmaker', 'access.token': SECRET } },
  })
  const product = start(['run', '--config', config, '--roles', 'server,worker'])
  onTestFinished(() => void product.kill('SIGKILL'))
  const base = await product.base()
  expect(product.log[0], 'the first line of the log says what runs').toMatchObject({
    level: 'info',
    msg: 'starting',
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
    roles: ['server', 'worker'],
    connectors: ['acme'],
  })
  expect(product.log[0]).toHaveProperty('commit')
  expect((await fetch(`${base}/healthz`)).status).toBe(200)
  const ready = await until('it tells why it is not ready', async () => {
    const answer = await fetch(`${base}/readyz`)
    const text = await answer.text()
    return text.includes('Kafka did not answer') ? { status: answer.status, text } : undefined
  })
  expect(ready.status).toBe(503)
  expect((await product.kill('SIGTERM')).code).toBe(0)
})

test('simulate prints what a connector needs, answers, and ends on SIGTERM with 0', async () => {
  const product = start(['simulate', 'botmaker', '--sessions', '20', '--seed', '3', '--live', '60'])
  onTestFinished(() => void product.kill('SIGKILL'))
  const line = await until('it is ready', async () => product.stdout[0])
  const { botmaker } = JSON.parse(line) as Record<string, Record<string, string>>
  const answer = await fetch(`${botmaker?.['base.url']}/sessions?include-open-sessions=true`, {
    headers: { 'access-token': botmaker?.['access.token'] ?? '' },
  })
  expect(((await answer.json()) as { items: unknown[] }).items.length).toBeGreaterThan(100)
  expect((await product.kill('SIGTERM')).code).toBe(0)
})
