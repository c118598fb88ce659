import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
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
let process_: Running
let base: string

async function launchStack(): Promise<void> {
  const [kafkaPort = 0, registryPort = 0] = ports
  stack = await startStack({ kafkaPort, registryPort, dataDir: folder, profile: 'test', log: silentLog, env: process.env })
}

/** The broker's process: the one of this data folder that runs Kafka. */
function brokerPid(): number {
  const lines = execFileSync('ps', ['-axo', 'pid=,args='], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }).split('\n')
  const found = lines.filter(line => line.includes(folder) && line.includes('kafka.Kafka'))
  expect(found).toHaveLength(1)
  return Number((found[0] ?? '').trim().split(' ')[0])
}

interface Told {
  status: number
  message?: string
  roles: { role: string; ok: boolean; why?: string }[]
}

async function readyz(): Promise<Told> {
  const answer = await fetch(`${base}/readyz`)
  return { status: answer.status, ...((await answer.json()) as Omit<Told, 'status'>) }
}

/** How long `/readyz` took to have this status, and what it says then. */
async function told(status: number): Promise<{ afterMs: number; said: Told }> {
  const began = performance.now()
  const said = await until(`/readyz is ${status}`, async () => {
    const now = await readyz()
    return now.status === status ? now : undefined
  })
  return { afterMs: performance.now() - began, said }
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
  process_ = start(['run', '--config', file.path])
  base = await process_.base()
})
afterAll(async () => {
  await process_?.kill('SIGKILL')
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
  expect(process_.process.exitCode, 'it is the same process').toBeNull()
}, 240_000)
