/** Readers that share no code with us: a Python consumer with librdkafka and fastavro. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))

export interface IndependentRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: Record<string, unknown> | null
}

/** Fails where the reader could not run: a test that skipped itself would prove nothing. */
function needPython(): void {
  try {
    execFileSync('python3', ['-c', 'import pip, sys; assert sys.version_info >= (3, 9)'], { stdio: 'ignore' })
  } catch {
    throw new Error('the independent reader needs python3, 3.9 or newer, with pip: install them to run the integration tests')
  }
}

/** The pinned packages, fetched once and kept beside the stack's cache. */
async function python(): Promise<string> {
  const wanted = readFileSync(here('requirements.txt'), 'utf8')
  const cache = process.env['COLLOQUY_CACHE'] ?? join(homedir(), '.cache', 'colloquy')
  const home = join(cache, `python-${createHash('sha256').update(wanted).digest('hex').slice(0, 12)}`)
  if (!existsSync(home)) {
    needPython()
    const making = `${home}.${process.pid}`
    mkdirSync(cache, { recursive: true })
    // Packages in a folder of their own rather than a virtual environment: that one cannot be renamed into place.
    await run('python3', [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--disable-pip-version-check',
      '--target',
      making,
      '-r',
      here('requirements.txt'),
    ])
    try {
      renameSync(making, home)
    } catch {
      rmSync(making, { recursive: true, force: true }) // another run was quicker
    }
  }
  return home
}

/** Runs a program of ours in Python, with the pinned packages. */
export async function runPython(file: string, argv: readonly string[]): Promise<string> {
  const { stdout } = await run('python3', [file, ...argv], { env: { ...process.env, PYTHONPATH: await python() } })
  return stdout
}

/** Everything that a read_committed reader sees on the topics, in partition and offset order. */
export async function readIndependently(
  brokers: string,
  registry: string,
  topics: readonly string[],
): Promise<IndependentRecord[]> {
  const packages = await python()
  const { stdout } = await run('python3', [here('read_topics.py'), brokers, registry, ...topics], {
    env: { ...process.env, PYTHONPATH: packages },
    maxBuffer: 2 ** 30,
  })
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as IndependentRecord)
}

export interface Follower {
  /** Everything since the last call, to the ends that the topics have now. One call at a time. */
  readOn(): Promise<IndependentRecord[]>
  stop(): Promise<void>
}

/**
 * The same reader, kept: it reads on each time it is asked. It ends with us.
 *
 * @param of.client Further settings of librdkafka, such as TLS and SASL.
 */
export async function followIndependently(of: {
  readonly brokers: string
  readonly registry: string
  readonly topics: readonly string[]
  readonly client?: Readonly<Record<string, string>>
}): Promise<Follower> {
  const child = spawn('python3', [here('read_topics.py'), of.brokers, of.registry, ...of.topics], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONPATH: await python(), FOLLOW: '1', KAFKA_CLIENT: JSON.stringify(of.client ?? {}) },
  })
  child.stdin.on('error', () => {})
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = `${said}${text}`.slice(-2000)))
  const ended = new Promise<void>(resolve => {
    child.once('close', () => resolve())
  })
  let records: IndependentRecord[] = []
  let onEnd = Promise.withResolvers<void>()
  createInterface({ input: child.stdout }).on('line', line => {
    const record = JSON.parse(line) as IndependentRecord | { end: true }
    if ('end' in record) onEnd.resolve()
    else records.push(record)
  })
  let first = true
  return {
    async readOn() {
      if (!first) child.stdin.write('\n')
      first = false
      await Promise.race([
        onEnd.promise,
        ended.then(() => {
          throw new Error(`the independent reader has ended: ${said}`)
        }),
      ])
      onEnd = Promise.withResolvers<void>()
      const found = records
      records = []
      return found
    },
    async stop() {
      child.stdin.end()
      child.kill()
      await ended
    },
  }
}
