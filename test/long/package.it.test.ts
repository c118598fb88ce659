/** The npm package, packed and installed in an empty folder, does what the README shows. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { builtInIds } from '../../src/source/registry.ts'
import { freePort } from '../../src/stack/ports.ts'
import { headOf } from '../../src/version.ts'
import { ROOT } from '../support/checkout.ts'
import { type Installed, installPackage } from '../support/package.ts'
import { until } from '../support/product.ts'

const MINUTE_MS = 60_000
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')

let user: Installed
beforeAll(() => {
  user = installPackage()
}, 6 * MINUTE_MS)
afterAll(() => user.remove())

interface Started {
  readonly process: ChildProcess
  readonly stdout: readonly string[]
  readonly stderr: readonly string[]
  readonly ended: Promise<number | null>
  /** As Ctrl-C in a terminal: to npx and to what it started. */
  interrupt(): Promise<number | null>
}

/** `npx colloquy …` in the user's folder. */
function start(words: readonly string[], env: Record<string, string> = {}): Started {
  const child = spawn('npx', ['colloquy', ...words], {
    cwd: user.folder,
    env: { ...user.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const stdout: string[] = []
  const stderr: string[] = []
  createInterface({ input: child.stdout }).on('line', line => stdout.push(line))
  createInterface({ input: child.stderr }).on('line', line => stderr.push(line))
  const ended = new Promise<number | null>(resolve => child.once('close', code => resolve(code)))
  const signal = (name: NodeJS.Signals) => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, name)
    return ended
  }
  onTestFinished(() => void signal('SIGKILL'))
  return { process: child, stdout, stderr, ended, interrupt: () => signal('SIGINT') }
}

async function npx(words: readonly string[], env: Record<string, string> = {}) {
  const { ended, stdout, stderr } = start(words, env)
  return { code: await ended, stdout, stderr }
}

test('the package has what it needs and no more: no sources, tests or Node', () => {
  const tops = new Set(user.files.map(file => file.split('/')[0] ?? ''))
  expect([...tops].toSorted()).toEqual([
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'connectors',
    'deploy',
    'dist',
    'docs',
    'package.json',
    'schemas',
    'scripts',
  ])
  const isSource = (file: string) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !file.startsWith('scripts/scaffold/')
  expect(user.files.filter(file => isSource(file) || file.endsWith('.test.js'))).toEqual([])
  const { optionalDependencies, devDependencies, gitHead } = JSON.parse(
    readFileSync(join(user.folder, 'node_modules/colloquy/package.json'), 'utf8'),
  ) as Record<string, unknown>
  expect([optionalDependencies, devDependencies, gitHead]).toEqual([undefined, undefined, headOf(ROOT)])
})

test('`colloquy --version` says version and commit', async () => {
  const { code, stdout } = await npx(['--version'])
  expect([code, stdout]).toEqual([0, [expect.stringMatching(/^\d+\.\d+\.\d+ \([0-9a-f]{10}\)$/)]])
})

/** The config of the README, on this stack and with the simulator of its vendor. */
async function readmeConfig(simulator: Record<string, string>): Promise<{ file: string; base: string }> {
  const { brokers, registry } = inject('stack')
  const [, text = ''] = /```yaml\n# colloquy\.yaml\n([\s\S]*?)```/.exec(README) ?? []
  // Nothing here is an Alertmanager.
  const { alerts: _, ...config } = parse(text) as { connectors: Record<string, Record<string, unknown>>; alerts: object }
  const port = await freePort()
  const [name = ''] = Object.keys(config.connectors)
  Object.assign(config.connectors[name] ?? {}, {
    'base.url': simulator['base.url'],
    'start.at': 'now-1d',
    'poll.interval.ms': 1000,
  })
  const here = {
    ...config,
    kafka: { brokers: [brokers] },
    registry: { url: registry },
    http: { port },
    topics: { prefix: `it-${randomUUID().slice(0, 8)}`, partitions: 2 },
  }
  writeFileSync(join(user.folder, 'colloquy.yaml'), stringify(here))
  return { file: 'colloquy.yaml', base: `http://127.0.0.1:${port}` }
}

test(
  'every command that the README shows works',
  async () => {
    const shown = new Set([...README.matchAll(/npm run colloquy -- (\w+)/g)].map(([, command]) => command))
    expect(shown).toEqual(new Set(['check', 'peek', 'run', 'backtest', 'rejects', 'status', 'help', 'plugins', 'new']))

    expect((await npx(['help', 'check'])).stdout.join('\n')).toContain('colloquy check')
    const plugins = await npx(['plugins'])
    for (const id of builtInIds()) expect(plugins.stdout.join('\n')).toContain(id)

    const simulators = start(['simulate', 'botmaker', '--sessions', '300', '--live', '60'])
    const line = await until('the simulator is ready', async () => simulators.stdout[0])
    const { botmaker = {} } = JSON.parse(line) as Record<string, Record<string, string>>
    const { file, base } = await readmeConfig(botmaker)
    const env = { BOTMAKER_TOKEN: botmaker['access.token'] ?? '' }
    const config = ['--config', file]

    const check = await npx(['check', ...config], env)
    expect(check.stdout.filter(each => each.includes('"fault"'))).toEqual([])
    expect(check.code).toBe(0)
    const peek = await npx(['peek', 'acme-botmaker', ...config, '--limit', '5'], env)
    expect([peek.code, peek.stdout.length]).toEqual([0, 5])

    const running = start(['run', ...config], env)
    await until('series are there', async () => {
      const answer = await fetch(`${base}/v1/series?measure=sessions&bucket=1h&group_by=vendor,channel&rolling=24h`)
      const { data } = (await answer.json()) as { data: { series: unknown[] } }
      return data.series.length > 0 ? true : undefined
    })
    for (const path of ['/ui/', '/docs/', '/openapi.json', '/metrics', '/readyz'])
      expect([path, (await fetch(base + path)).status]).toEqual([path, 200])
    const status = await npx(['status', '--url', base])
    expect([status.code, status.stdout.join('\n')]).toEqual([0, expect.stringContaining('acme-botmaker')])
    expect((await npx(['backtest', ...config], env)).code).toBe(0)
    expect((await npx(['rejects', 'list', ...config], env)).code).toBe(0)
    await running.interrupt()
    await expect(fetch(base)).rejects.toThrow('fetch failed')
    await simulators.interrupt()
  },
  5 * MINUTE_MS,
)

test(
  'a connector that `new` wrote is compiled against the package, passes checks, and is simulated and read',
  async () => {
    const written = await npx(['new', 'acme-chat'])
    expect(written.code, written.stderr.join('\n')).toBe(0)
    writeFileSync(
      join(user.folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          module: 'nodenext',
          strict: true,
          noEmit: true,
          // Node runs TypeScript as it is, so imports name .ts files.
          allowImportingTsExtensions: true,
          skipLibCheck: true,
          types: [],
          lib: ['es2024', 'dom'],
        },
        files: ['index', 'simulator', 'subject'].map(name => `acme-chat/${name}.ts`),
      }),
    )
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    expect(execFileSync(tsc, ['-p', '.'], { cwd: user.folder, encoding: 'utf8' })).toBe('')

    const checks = await npx(['conformance', './acme-chat', '--only', 'conversations:'])
    expect([checks.code, checks.stdout.at(-1)], checks.stdout.join('\n')).toEqual([
      0,
      expect.stringMatching(/^\d+ passed, \d+ waived, 0 failed$/),
    ])
    const simulator = start(['simulate', './acme-chat', '--sessions', '30'])
    const line = await until('the simulator is ready', async () => simulator.stdout[0])
    const { 'acme-chat': keys } = JSON.parse(line) as Record<string, Record<string, string>>
    writeFileSync(
      join(user.folder, 'acme.yaml'),
      stringify({ connectors: { acme: { 'connector.class': './acme-chat', ...keys } } }),
    )
    const peek = await npx(['peek', 'acme', '--config', 'acme.yaml', '--limit', '5'])
    expect([peek.code, peek.stdout.length], peek.stderr.join('\n')).toEqual([0, 5])
    await simulator.interrupt()
  },
  5 * MINUTE_MS,
)

test(
  '`colloquy demo` starts the whole product, and Ctrl-C ends it',
  async () => {
    const demo = start(['demo'])
    const page = await until(
      'the addresses are printed',
      async () => demo.stdout.find(line => line.includes('/ui/'))?.split(' ')[0],
    )
    await until('sessions are shown', async () => demo.stdout.find(line => /^all +[1-9]/.test(line)))
    expect((await fetch(page)).status).toBe(200)
    await demo.interrupt()
    await expect(fetch(page)).rejects.toThrow('fetch failed')
  },
  5 * MINUTE_MS,
)
