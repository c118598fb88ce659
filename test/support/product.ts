/** Colloquy as its users run it: the binary in a process of its own, asked over HTTP, stopped by signals. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'

const ENTRY = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly code?: string
  readonly [field: string]: unknown
}

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string[]
  readonly log: LogLine[]
  /** Everything it wrote, to look for what must not be there. */
  readonly output: string
}

export interface Running {
  readonly process: ChildProcess
  readonly log: readonly LogLine[]
  readonly stdout: readonly string[]
  output(): string
  readonly ended: Promise<Finished>
  kill(signal: NodeJS.Signals): Promise<Finished>
  /** `http://127.0.0.1:N` once it listens. */
  base(): Promise<string>
}

/** Those variables of this process that one of Colloquy's is started with: no proxy, no setting of whoever runs the tests. */
export function own(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}

/** PATH with the Node of the tests in front and without programs of the checkout's `node_modules`: as where the product is installed. */
export function pathOutside(): string {
  const others = (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return [dirname(process.execPath), ...others].join(delimiter)
}

/** What npm is started with, so that neither settings of whoever runs the tests nor those of `npm test` reach it, and it takes from its cache what is there. */
export function npmEnvironment(): Record<string, string> {
  return {
    ...own('HOME', 'npm_config_cache', 'npm_config_registry', 'npm_config_userconfig', 'NODE_EXTRA_CA_CERTS'),
    npm_config_prefer_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    PATH: pathOutside(),
  }
}

/** Starts the binary. */
export function start(argv: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [ENTRY, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...own('PATH', 'HOME', 'JAVA_HOME', 'NODE_COMPILE_CACHE'), ...env },
  })
  const log: LogLine[] = []
  const stdout: string[] = []
  const raw: string[] = []
  let onPort: ((port: number) => void) | undefined
  const listening = new Promise<number>(resolve => {
    onPort = resolve
  })
  createInterface({ input: child.stderr }).on('line', line => {
    raw.push(line)
    let parsed: LogLine
    try {
      parsed = JSON.parse(line) as LogLine
    } catch {
      parsed = { level: 'raw', msg: line }
    }
    log.push(parsed)
    if (typeof parsed['port'] === 'number' && parsed.level === 'info') onPort?.(parsed['port'])
  })
  createInterface({ input: child.stdout }).on('line', line => {
    raw.push(line)
    stdout.push(line)
  })
  const output = () => raw.join('\n')
  const ended = new Promise<Finished>(resolve => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, log, output: output() }))
  })
  return {
    process: child,
    log,
    stdout,
    output,
    ended,
    kill: signal => {
      child.kill(signal)
      return ended
    },
    base: async () => {
      const port = await Promise.race([
        listening,
        ended.then(({ output: text }) => {
          throw new Error(`ended before it listened:\n${text}`)
        }),
      ])
      return `http://127.0.0.1:${port}`
    },
  }
}

/** Runs the binary to its end. */
export function run(argv: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return start(argv, env).ended
}

/** A config file in a folder of its own. */
export function configFile(config: object): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-test-'))
  const path = join(folder, 'colloquy.yaml')
  writeFileSync(path, stringify(config))
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Asks until the answer suits, for as long as the test may take. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>, everyMs = 100, patienceMs = 90_000): Promise<T> {
  const endsMs = Date.now() + patienceMs
  for (;;) {
    const answer = await ask().catch(() => undefined)
    if (answer !== undefined) return answer
    if (Date.now() > endsMs) throw new Error(`waited in vain until ${what}`)
    await new Promise(resolve => {
      setTimeout(resolve, everyMs)
    })
  }
}

export interface SeriesAnswer {
  readonly data: {
    readonly series: {
      readonly labels: Record<string, string>
      readonly values: (number | null)[]
      readonly sum: number | null
    }[]
    readonly x_values: string[]
  }
  readonly complete_until: string | null
}

export async function querySeries(base: string, query: Record<string, string>): Promise<SeriesAnswer> {
  const answer = await fetch(`${base}/v1/series?${new URLSearchParams(query)}`)
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as SeriesAnswer
}
