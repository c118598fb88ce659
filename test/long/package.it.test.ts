/** The npm package: packed, installed in an empty folder, and made to do what the README shows. Calls and config are read from the README. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { parseDocument } from 'yaml'
import { freePort } from '../../src/stack/ports.ts'
import { headOf } from '../../src/version.ts'
import { type Alertmanager, startAlertmanager } from '../support/alertmanager.ts'
import { ROOT } from '../support/checkout.ts'
import { npmEnvironment, until } from '../support/product.ts'

/** A busy machine takes long to start a process at each call. */
const PATIENCE_MS = 900_000
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'colloquy-package-'))
/** Where it is installed. */
const home = join(folder, 'home')

interface Call {
  readonly output: () => string
  readonly stdout: () => string
  /** Exit code; null where a signal ended it. */
  readonly ended: Promise<number | null>
  /** As Ctrl-C does it: every process of the call gets the signal. */
  interrupt(): Promise<void>
}

function begin(program: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Call {
  const child = spawn(program, args, {
    cwd,
    env: { ...npmEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const parts: { of: 'stdout' | 'stderr'; text: string }[] = []
  for (const of of ['stdout', 'stderr'] as const)
    child[of].setEncoding('utf8').on('data', (text: string) => parts.push({ of, text }))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code))
  })
  return {
    output: () => parts.map(({ text }) => text).join(''),
    stdout: () =>
      parts
        .filter(({ of }) => of === 'stdout')
        .map(({ text }) => text)
        .join(''),
    ended,
    interrupt: async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGINT')
      await ended
    },
  }
}

/** @returns stdout of a call that must end well */
async function done(program: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const call = begin(program, args, cwd, env)
  const code = await call.ended
  expect({ call: args.join(' '), code, output: code === 0 ? '' : call.output() }).toEqual({
    call: args.join(' '),
    code: 0,
    output: '',
  })
  return call.stdout()
}

/** `npx colloquy …` where it is installed; --no: what is not installed is not fetched. */
const npx = (args: readonly string[]) => ['--no', '--', 'colloquy', ...args]

let alertmanager: Alertmanager
beforeAll(async () => {
  const checkout = join(folder, 'checkout')
  const left = new Set(['.git', 'node_modules', 'dist', '.stack'])
  cpSync(ROOT, checkout, { recursive: true, filter: path => !left.has(relative(ROOT, path)) })
  for (const name of ['.git', 'node_modules'])
    if (existsSync(join(ROOT, name))) symlinkSync(join(ROOT, name), join(checkout, name))
  // What an earlier build left must not be packed.
  mkdirSync(join(checkout, 'dist/connectors/gone'), { recursive: true })
  writeFileSync(join(checkout, 'dist/connectors/gone/index.js'), '')
  await done('npm', ['pack', '--pack-destination', folder], checkout)
  const tarball = readdirSync(folder).find(name => name.endsWith('.tgz')) ?? ''
  mkdirSync(home)
  for (let above = home; above !== dirname(above); above = dirname(above))
    expect(
      readdirSync(above).filter(name => name === 'node_modules' || name === 'package.json'),
      above,
    ).toEqual([])
  await done('npm', ['install', join(folder, tarball)], home)
  alertmanager = await startAlertmanager(await freePort())
}, PATIENCE_MS)
afterAll(async () => {
  await alertmanager?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** The first fenced block of this language below this heading of the README. */
function block(heading: string, language: string): string {
  const [, section = ''] = README.split(`\n## ${heading}\n`)
  const [, text] = new RegExp(`\\n\`\`\`${language}\\n([^]*?)\\n\`\`\``).exec(section.split('\n## ')[0] ?? '') ?? []
  if (text === undefined) throw new Error(`the README has no block of ${language} below ${heading}`)
  return text
}

const CALL = /npm run colloquy -- ([^`#\n]+)/g
const callsIn = (text: string) => [...text.matchAll(CALL)].map(([, words = '']) => words.trim())

test(
  'it says its version and commit, and has neither Node nor what only builds',
  async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }
    const commit = headOf(ROOT)?.slice(0, 10)
    expect((await done('npx', npx(['--version']), home)).trim()).toBe(commit === undefined ? version : `${version} (${commit})`)
    const installed = readdirSync(join(home, 'node_modules'))
    expect(installed.filter(name => /^node-linux|^typescript$|^vitest$/.test(name))).toEqual([])
  },
  PATIENCE_MS,
)

test(
  "the README's config runs, and so does each call below it, in their order",
  async () => {
    const simulators = begin('npx', npx(['simulate', 'botmaker', '--sessions', '100']), home)
    onTestFinished(() => simulators.interrupt())
    const vendor = await until('simulators are ready', async () => {
      const [line = ''] = simulators.stdout().split('\n')
      return (JSON.parse(line) as { botmaker: Record<string, string> }).botmaker
    })
    const port = await freePort()
    const config = parseDocument(block('Run it', 'yaml'))
    expect(config.getIn(['connectors', 'acme-botmaker', 'access.token'])).toBe('${env:BOTMAKER_TOKEN}')
    config.setIn(['kafka', 'brokers'], [inject('stack').brokers])
    config.setIn(['registry', 'url'], inject('stack').registry)
    config.setIn(['topics'], { prefix: `package-${randomUUID().slice(0, 8)}`, partitions: 2 })
    config.setIn(['http'], { port })
    config.setIn(['connectors', 'acme-botmaker', 'base.url'], vendor['base.url'])
    config.setIn(['connectors', 'acme-botmaker', 'start.at'], 'now-7d')
    config.setIn(['alerts', 'alertmanager', 'urls'], [alertmanager.url])
    writeFileSync(join(home, 'colloquy.yaml'), String(config))
    const environment = { BOTMAKER_TOKEN: vendor['access.token'] ?? '' }
    const base = `http://127.0.0.1:${port}`

    const answers = new Map<string, string>()
    for (const call of callsIn(block('Run it', 'sh'))) {
      const words = call.split(' ')
      // Without a config, a call asks the worker at the port that the README's config leaves as it is.
      if (words[0] === 'status') words.push('--url', base)
      if (words[0] !== 'run') answers.set(words[0] ?? '', await done('npx', npx(words), home, environment))
      else {
        const running = begin('npx', npx(words), home, environment)
        onTestFinished(async () => {
          await running.interrupt()
          expect(running.output()).not.toContain('"level":"error"')
        })
        await until('it is ready', async () => (await fetch(`${base}/readyz`)).ok || undefined)
      }
    }
    expect([...answers.keys()]).toEqual(['check', 'peek', 'backtest', 'rejects', 'status', 'help'])
    const lines = (name: string) => (answers.get(name) ?? '').trim().split('\n')
    expect(lines('check').map(line => (JSON.parse(line) as { finding: string }).finding)).not.toContain('fault')
    const kinds = lines('peek').map(line => (JSON.parse(line) as { kind: string }).kind)
    expect(kinds).toHaveLength(20)
    expect(kinds).toContain('session')
    expect(answers.get('status')).toMatch(/acme-botmaker.*RUNNING/)
    expect(answers.get('help')).toContain('colloquy check --config colloquy.yaml')

    const [, question = ''] = /curl 'http:\/\/127\.0\.0\.1:8083([^']+)'/.exec(block('What comes out', 'sh')) ?? []
    await until('the series are counted', async () => {
      const answer = await fetch(base + question)
      const { data } = (await answer.json()) as { data: { series: { sum: number | null }[] } }
      return data.series.some(({ sum }) => (sum ?? 0) > 0) || undefined
    })
  },
  PATIENCE_MS,
)

test(
  '`new` writes a connector that passes the suite, has a simulator and is read',
  async () => {
    const calls = callsIn(README.replace(block('Run it', 'sh'), ''))
    expect(calls, 'every other call of the README').toEqual(['…', 'plugins', 'new NAME'])
    const plugins = await done('npx', npx(['plugins']), home)
    const ids = plugins
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { id: string }).id)
    expect(ids).toEqual(readdirSync(join(ROOT, 'connectors')).toSorted())
    await done('npx', npx(['new', 'acme-chat']), home)
    expect(await done('npx', npx(['conformance', './acme-chat', '--only', 'conversations: g']), home)).toMatch(
      /[1-9]\d* passed, 0 waived, 0 failed/,
    )
    const simulators = begin('npx', npx(['simulate', './acme-chat', '--sessions', '30']), home)
    onTestFinished(() => simulators.interrupt())
    const keys = await until('its simulator is ready', async () => {
      const [line = ''] = simulators.stdout().split('\n')
      return (JSON.parse(line) as { 'acme-chat': Record<string, string> })['acme-chat']
    })
    writeFileSync(join(home, 'own.yaml'), JSON.stringify({ connectors: { own: { 'connector.class': './acme-chat', ...keys } } }))
    const peeked = await done('npx', npx(['peek', 'own', '--config', 'own.yaml', '--limit', '5']), home)
    expect(peeked.trim().split('\n')).toHaveLength(5)
  },
  PATIENCE_MS,
)

test(
  'the demo shows addresses, and then its table',
  async () => {
    const demo = begin('npx', npx(['demo']), home)
    onTestFinished(() => demo.interrupt())
    const lines = () => demo.stdout().split('\n')
    await until(
      'its table is there',
      async () => lines().some(line => line.startsWith('vendor ')) || undefined,
      100,
      PATIENCE_MS / 2,
    )
    expect(lines()[0]).toMatch(/^http:.*\/ui\/ /)
  },
  PATIENCE_MS,
)
