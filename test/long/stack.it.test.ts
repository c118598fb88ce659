import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Kafka, logLevel, Partitioners } from 'kafkajs'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { silentLog } from '../../src/log.ts'
import { freePort } from '../../src/stack/ports.ts'
import { startStack } from '../../src/stack/stack.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const retry = { initialRetryTime: 20, maxRetryTime: 500, retries: 20 }
const schema = JSON.stringify({ type: 'record', name: 'Note', fields: [{ name: 'text', type: 'string' }] })
const clash = JSON.stringify({ type: 'record', name: 'Note', fields: [{ name: 'other', type: 'string' }] })

/** Temporary folder of the children of a test, so that what they leave behind can be seen. */
let scratch = ''
const children: ChildProcess[] = []
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'colloquy-it-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})

function client(brokers: string): Kafka {
  return new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING, retry })
}

async function produce(brokers: string, topic: string, value: string): Promise<void> {
  const admin = client(brokers).admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true })
  await admin.disconnect()
  const producer = client(brokers).producer({ createPartitioner: Partitioners.DefaultPartitioner, retry })
  await producer.connect()
  await producer.send({ topic, messages: [{ key: 'k', value }] })
  await producer.disconnect()
}

async function consumeFirst(brokers: string, topic: string): Promise<string | undefined> {
  const consumer = client(brokers).consumer({ groupId: `${topic}-readers`, maxWaitTimeInMs: 100, retry })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const value = await new Promise<string | undefined>(resolve => {
    void consumer.run({ eachMessage: ({ message }) => Promise.resolve(resolve(message.value?.toString())) })
  })
  await consumer.disconnect()
  return value
}

async function register(registry: string, subject: string, text: string): Promise<number> {
  const response = await fetch(`${registry}/subjects/${subject}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ schema: text }),
  })
  await response.arrayBuffer()
  return response.status
}

async function getJson(url: string): Promise<unknown> {
  return await (await fetch(url)).json()
}

/** Whether a port of loopback can be bound, so nothing listens there. */
async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

/** Command lines of running processes with this text in them. */
function processesWith(text: string): string[] {
  const all = execFileSync('ps', ['-A', '-ww', '-o', 'args='], { encoding: 'utf8', maxBuffer: 1e8 })
  return all.split('\n').filter(line => line.includes(text) && !line.startsWith('ps '))
}

/** Ids of running programs of this name with this text on their command line. */
function processIds(program: string, text: string): number[] {
  const all = execFileSync('ps', ['-A', '-ww', '-o', 'pid=,comm=,args='], { encoding: 'utf8', maxBuffer: 1e8 })
  const lines = all.split('\n').map(line => line.trim().split(/\s+/))
  return lines.filter(([, comm, ...args]) => comm?.endsWith(program) && args.join(' ').includes(text)).map(([pid]) => Number(pid))
}

const portOf = (address: string) => Number(/:(\d+)/.exec(address.replace('http://', ''))?.[1])

interface Line {
  code?: string
  msg: string
}

/** `colloquy stack` as a process of its own, with a temporary folder of its own. */
function command(args: readonly string[], env: Record<string, string | undefined> = process.env) {
  const child = spawn(process.execPath, [main, 'stack', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, TMPDIR: scratch },
  })
  children.push(child)
  const logged: Line[] = []
  const errors = createInterface({ input: child.stderr })
  errors.on('line', line => logged.push(JSON.parse(line) as Line))
  const ready = once(createInterface({ input: child.stdout }), 'line').then(
    ([line]) => JSON.parse(String(line)) as { brokers: string; registry: string },
  )
  ready.catch(() => {})
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, logged, errors, ready, ended }
}

test('the stack of the tests is warm, and the warm-up has left no topic and no group', async () => {
  const { brokers, registry } = inject('stack')
  const admin = client(brokers).admin()
  await admin.connect()
  const topics = await admin.listTopics()
  const { groups } = await admin.listGroups()
  await admin.disconnect()
  expect(topics).toEqual(expect.arrayContaining(['__consumer_offsets', '__transaction_state']))
  expect([...topics, ...groups.map(({ groupId }) => groupId)].filter(name => name.includes('warm-up'))).toEqual([])
  expect(await getJson(`${registry}/config`)).toMatchObject({ compatibilityLevel: 'BACKWARD' })
})

test('a stack starts on free ports, is used, and is stopped without leaving anything', async () => {
  const stack = await startStack({ log: silentLog, env: process.env })
  const mine = `colloquy-stack-${process.pid}-`
  const left = () => ({
    folders: readdirSync(tmpdir()).filter(name => name.startsWith(mine)),
    processes: [...processesWith(mine), ...processesWith(`quarkus.http.port=${portOf(stack.registry)}`)],
  })
  try {
    expect(stack.registry).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/apis\/ccompat\/v7$/)
    await produce(stack.brokers, 'notes', 'hello')
    expect(await consumeFirst(stack.brokers, 'notes')).toBe('hello')
    expect(await register(stack.registry, 'notes-value', schema)).toBe(200)
    expect(await register(stack.registry, 'notes-value', clash)).toBe(409)
    // That what is looked for below is found while the stack runs.
    expect(left().folders).toHaveLength(1)
    expect(left().processes.length).toBeGreaterThanOrEqual(3)
    expect(await isFree(portOf(stack.brokers))).toBe(false)
  } finally {
    await stack.stop()
  }
  expect(left()).toEqual({ folders: [], processes: [] })
  expect(await isFree(portOf(stack.brokers))).toBe(true)
  expect(await isFree(portOf(stack.registry))).toBe(true)
})

test('started again on kept data it has the record and the schema, and meanwhile nobody else gets the folder', async () => {
  const dataDir = join(scratch, 'data')
  const first = await startStack({ dataDir, profile: 'demo', log: silentLog, env: process.env })
  try {
    await produce(first.brokers, 'notes', 'kept')
    expect(await register(first.registry, 'notes-value', schema)).toBe(200)
    await expect(startStack({ dataDir, log: silentLog, env: process.env })).rejects.toMatchObject({
      code: 'STACK_FAILED',
      message: expect.stringContaining('is in use by another stack'),
    })
  } finally {
    await first.stop()
  }
  const second = await startStack({ dataDir, profile: 'demo', log: silentLog, env: process.env })
  try {
    expect(await consumeFirst(second.brokers, 'notes')).toBe('kept')
    expect(await getJson(`${second.registry}/subjects`)).toEqual(['notes-value'])
    expect(await getJson(`${second.registry}/subjects/notes-value/versions/latest`)).toMatchObject({ schema })
  } finally {
    await second.stop()
  }
})

test('the command prints one line, runs until SIGTERM, and leaves nothing', async () => {
  const [kafkaPort, registryPort] = [await freePort(), await freePort()]
  const { child, ready, ended } = command(['--kafka-port', String(kafkaPort), '--registry-port', String(registryPort)])
  expect(await ready).toEqual({
    brokers: `127.0.0.1:${kafkaPort}`,
    registry: `http://127.0.0.1:${registryPort}/apis/ccompat/v7`,
  })
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
  expect(readdirSync(scratch)).toEqual([])
  expect(processesWith(scratch)).toEqual([])
  expect(await isFree(kafkaPort)).toBe(true)
  expect(await isFree(registryPort)).toBe(true)
})

test.each(['while it starts', 'when it is ready'])(
  'killed with SIGKILL %s, it leaves no process, no port and no folder',
  async moment => {
    const port = await freePort()
    const { child, errors, ready } = command(['--kafka-port', String(port)])
    if (moment === 'when it is ready') await ready
    else await once(errors, 'line')
    await expect.poll(() => processesWith(scratch).length, { timeout: 10_000 }).toBeGreaterThan(0)
    child.kill('SIGKILL')
    await expect.poll(() => processesWith(scratch), { timeout: 10_000, interval: 100 }).toEqual([])
    await expect.poll(() => readdirSync(scratch), { timeout: 10_000, interval: 100 }).toEqual([])
    expect(await isFree(port)).toBe(true)
  },
)

test('when npm, which started it, is killed with SIGKILL, the stack ends too', async () => {
  const npm = spawn('npm', ['run', '-s', 'stack'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, TMPDIR: scratch },
  })
  children.push(npm)
  await once(createInterface({ input: npm.stdout }), 'line')
  npm.kill('SIGKILL')
  await expect.poll(() => processesWith(scratch), { timeout: 15_000, interval: 100 }).toEqual([])
  // npm keeps a cache of its own there.
  const folders = () => readdirSync(scratch).filter(name => name.startsWith('colloquy-'))
  await expect.poll(folders, { timeout: 10_000, interval: 100 }).toEqual([])
})

test.each(['--kafka-port', '--registry-port'])(
  'a port already taken for %s is one line that names it, before anything is started',
  async option => {
    const taken: Server = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    try {
      const { logged, ended } = command([option, String(port)])
      expect(await ended).toBe(1)
      expect(logged).toEqual([expect.objectContaining({ code: 'PORT_TAKEN', msg: expect.stringContaining(`port ${port},`) })])
      expect(readdirSync(scratch)).toEqual([])
    } finally {
      taken.close()
    }
  },
)

test('without Maven, and with nothing cached, the command says so in one line', async () => {
  const { logged, ended } = command([], { PATH: '', HOME: scratch })
  expect(await ended).toBe(1)
  // Where the usual folders have no Java either, that is what is told.
  expect(logged).toEqual([
    expect.objectContaining({
      code: 'STACK_TOOL_MISSING',
      msg: expect.stringMatching(/Maven \(mvn\) is not on the path|no Java was found/),
    }),
  ])
  expect(readdirSync(scratch)).toEqual([])
})

test('without Java nothing is fetched or started', async () => {
  const env = { PATH: '', HOME: scratch }
  await expect(startStack({ log: silentLog, env, jvmFolders: [] })).rejects.toMatchObject({
    code: 'STACK_TOOL_MISSING',
    message: expect.stringContaining('no Java was found'),
  })
  expect(readdirSync(scratch)).toEqual([])
})

test('a start that is stopped half-way takes down what it had started', async () => {
  const stop = new AbortController()
  const stack = startStack({ log: silentLog, signal: stop.signal, env: process.env })
  const failure = stack.catch((thrown: unknown) => thrown)
  const mine = `colloquy-stack-${process.pid}-`
  await expect.poll(() => processesWith(mine).length, { timeout: 20_000 }).toBeGreaterThan(0)
  stop.abort()
  expect(await failure).toMatchObject({ code: 'STOPPED' })
  expect(processesWith(mine)).toEqual([])
  expect(readdirSync(tmpdir()).filter(name => name.startsWith(mine))).toEqual([])
})

test('when a part ends by itself the command says which, takes down the other and exits with 1', async () => {
  const { logged, ready, ended } = command([])
  const { registry } = await ready
  const [pid] = processIds('java', `quarkus.http.port=${portOf(registry)}`)
  if (pid === undefined) throw new Error('the registry is not among the running processes')
  process.kill(pid, 'SIGKILL')
  expect(await ended).toBe(1)
  expect(logged.at(-1)).toMatchObject({ code: 'STACK_FAILED', msg: expect.stringContaining('registry ended') })
  expect(processesWith(scratch)).toEqual([])
})
