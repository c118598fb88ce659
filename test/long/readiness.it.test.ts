import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { freePorts } from '../../src/stack/ports.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'
import { configFile, type Running, start, until } from '../support/product.ts'

/** A stack of its own, whose broker is stopped, killed and started again while one process with all roles runs. */
let folder: string
let ports: readonly number[]
let stack: Stack
let file: ReturnType<typeof configFile>
let running: Running
let base: string

async function launchStack(): Promise<void> {
  const [kafkaPort = 0, registryPort = 0] = ports
  stack = await startStack({ kafkaPort, registryPort, dataDir: folder, profile: 'test', log: silentLog, env: process.env })
}

/** The broker's process: the one whose settings name our data folder. */
function brokerPid(): number {
  const lines = execFileSync('ps', ['-axo', 'pid=,args='], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).split('\n')
  const ours = (settings: string) => {
    try {
      return readFileSync(settings, 'utf8').includes(folder)
    } catch {
      return false
    }
  }
  const found = lines
    .map(line => /^\s*(\d+) \S*java .* kafka\.Kafka (\S+)/.exec(line))
    .filter(match => match !== null && ours(match[2] ?? ''))
  expect(found).toHaveLength(1)
  return Number(found[0]?.[1])
}

interface Told {
  status: number
  message?: string
  roles: { role: string; ok: boolean; why?: string }[]
}

async function readyz(): Promise<Told> {
  const answer = await fetch(`${base}/readyz`)
  return { ...((await answer.json()) as Told), status: answer.status }
}

/** How long `/readyz` took to have this status, and what it says then. */
async function told(status: number): Promise<{ afterMs: number; said: Told }> {
  const began = performance.now()
  let said: Told | undefined
  const wanted = until(`/readyz is ${status}`, async () => {
    said = await readyz()
    return said.status === status ? said : undefined
  })
  const found = await wanted.catch((error: unknown) => {
    throw new Error(`${String(error)}; it said ${JSON.stringify(said)}; ${running.output().slice(-4000)}`)
  })
  return { afterMs: performance.now() - began, said: found }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'colloquy-readiness-'))
  ports = await freePorts(2)
  await launchStack()
  file = configFile({
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix: 'ready', partitions: 2, replicationFactor: 1 },
    http: { port: 0 },
    aggregator: { sessionTimeout: '6s' },
    // Nobody listens there: a vendor's failure is not unreadiness.
    connectors: {
      away: { 'connector.class': 'botmaker', account: 'acme', 'access.token': 'none', 'base.url': 'http://127.0.0.1:9/v2.0' },
    },
  })
  running = start(['run', '--config', file.path])
  base = await running.base()
})
afterAll(async () => {
  await running?.kill('SIGKILL')
  await stack?.stop()
  file?.remove()
  rmSync(folder, { recursive: true, force: true })
})

test('a process whose vendor is away is ready all the same', async () => {
  const { said } = await told(200)
  expect(said.roles.map(({ role, ok }) => [role, ok])).toEqual([
    ['worker', true],
    ['aggregator', true],
    ['server', true],
    ['alerter', true],
  ])
})

test('a broker that is frozen makes every role unready within 10 s, and ready within 30 s after it goes on', async () => {
  const broker = brokerPid()
  await told(200)
  process.kill(broker, 'SIGSTOP')
  try {
    const { afterMs, said } = await told(503)
    expect(afterMs).toBeLessThan(10_000)
    expect(said.message).toMatch(/worker: Kafka has not answered for \d+ s/)
    expect(said.roles.every(({ ok }) => !ok)).toBe(true)
    expect((await fetch(`${base}/healthz`)).status, 'the process is alive').toBe(200)
    // Longer than the group's session: the aggregator has to come back by itself.
    await new Promise(resolve => {
      setTimeout(resolve, 8000)
    })
  } finally {
    process.kill(broker, 'SIGCONT')
  }
  expect((await told(200)).afterMs).toBeLessThan(30_000)
})

test('a broker that is killed makes every role unready within 10 s, and ready within 30 s after it is back', async () => {
  await told(200)
  process.kill(brokerPid(), 'SIGKILL')
  const { afterMs, said } = await told(503)
  expect(afterMs).toBeLessThan(10_000)
  expect(said.roles.every(({ ok, why }) => !ok && why !== undefined && why !== '')).toBe(true)
  await stack.stop()
  await launchStack()
  expect((await told(200)).afterMs).toBeLessThan(30_000)
  expect(running.process.exitCode, 'it is the same process').toBeNull()
}, 240_000)
