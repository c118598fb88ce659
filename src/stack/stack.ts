/**
 * Kafka and a schema registry as child processes of ours.
 *
 * Check (Java, ports, Maven) → fetch what is missing → start both → warm Kafka up → ready. Everything that can be missing or taken is checked before anything
 * is fetched or started. On any failure, and however we end, no process and no temporary folder is left.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { cacheFolder, type DownloadProgress, fetchMissing, kafkaArtifact, registryArtifact } from './artifacts.ts'
import { type Child, startChild, type ThrowAwayFolder, throwAwayFolder } from './child.ts'
import { clusterId, type DataFolder, openDataFolder } from './data-folder.ts'
import { type Environment, type Java, newestJava } from './java.ts'
import { freePorts, requireFree } from './ports.ts'
import type { WarmUpMessage } from './warm-up.ts'
import {
  JAVA_FLAGS,
  KAFKA_HEAP_MB,
  KAFKA_LOG4J,
  KAFKA_VERSION,
  type Profile,
  REGISTRY_HEAP_MB,
  REGISTRY_PATH,
  REGISTRY_PROPERTIES,
  type RegistryRelease,
  newestRegistryFor,
  renderProperties,
  serverProperties,
} from './values.ts'

export interface StackOptions {
  /** 0 or absent takes a free one. */
  kafkaPort?: number
  registryPort?: number
  /** Kept over restarts: topics, schemas, cluster id. Absent: a throw-away folder. */
  dataDir?: string
  /** `test` when absent. */
  profile?: Profile
  log: Log
  /** Reports the progress of a download, several times a second. Absent: a log line every 2 s. */
  onProgress?: (progress: DownloadProgress) => void
  /** Cancels a start in progress, with `STOPPED`; `stop` ends a running stack. */
  signal?: AbortSignal
  /** Where tools, caches and the home of the user are looked up. */
  readonly env: Environment
  /** Folders of JVMs to look through, instead of the usual ones. */
  jvmFolders?: readonly string[]
}

export interface StackInfo {
  readonly kafkaVersion: string
  readonly registryVersion: string
  /** Version of the Java that runs both; null in containers. */
  readonly java: string | null
  readonly how: 'local' | 'container'
}

export interface Stack {
  /** `host:port` */
  readonly brokers: string
  /** Ends in `/apis/ccompat/v7`. */
  readonly registry: string
  readonly info: StackInfo
  /** Resolves when a part ends by itself; never rejects. Stop the stack then: the other part still runs. */
  readonly failed: Promise<FlowError>
  /** Ends both and removes temporary data. May be called again; resolves when nothing is left. */
  stop(): Promise<void>
}

const ATTEMPTS = 3
/** For one attempt, from the first process to ready. It takes 5 s when warm; a loaded machine gets much more. */
const ATTEMPT_MS = 90_000
/** Time from SIGTERM to SIGKILL for a part that keeps its data. */
const GRACE_MS = 6_000

export async function startStack(options: StackOptions): Promise<Stack> {
  const { log, dataDir, profile = 'test', env, onProgress } = options
  const signal = options.signal ?? new AbortController().signal
  try {
    signal.throwIfAborted()
    const java = await newestJava(env, options.jvmFolders)
    if (options.kafkaPort) await requireFree(options.kafkaPort, 'Kafka')
    if (options.registryPort) await requireFree(options.registryPort, 'the registry')
    const data = dataDir === undefined ? null : await openDataFolder(dataDir, java)
    try {
      const release = data?.registry ?? newestRegistryFor(java)
      const cache = cacheFolder(env)
      const kafka = kafkaArtifact(cache)
      const registry = registryArtifact(cache, release)
      await fetchMissing([kafka, registry], { cache, env, log, signal, ...(onProgress === undefined ? {} : { onProgress }) })
      const recipe: Recipe = { options, java, release, profile, env, log, kafka: kafka.path, registry: registry.path, data }
      return await startWithRetries(recipe, signal)
    } catch (thrown) {
      await data?.close()
      throw thrown
    }
  } catch (thrown) {
    if (signal.aborted) throw new FlowError('STOPPED', {}, thrown)
    throw thrown
  }
}

interface Recipe {
  readonly options: StackOptions
  readonly java: Java
  readonly release: RegistryRelease
  readonly profile: Profile
  readonly env: Environment
  readonly log: Log
  /** Cache folders of the two. */
  readonly kafka: string
  readonly registry: string
  readonly data: DataFolder | null
}

/** A busy machine can miss the first deadline, and a free port can be taken by the time it is bound: retrying helps with both. */
async function startWithRetries(recipe: Recipe, signal: AbortSignal): Promise<Stack> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(recipe, signal)
    } catch (thrown) {
      const failed = thrown instanceof FlowError && thrown.code === 'STACK_FAILED'
      if (signal.aborted || !failed || attempt === ATTEMPTS) throw thrown
      recipe.log.warn(
        { attempt, attempts: ATTEMPTS, code: thrown.code, error: thrown.message },
        'failed to start the stack, retrying',
      )
      if (recipe.options.kafkaPort) await requireFree(recipe.options.kafkaPort, 'Kafka')
      if (recipe.options.registryPort) await requireFree(recipe.options.registryPort, 'the registry')
    }
  }
}

async function startOnce(recipe: Recipe, signal: AbortSignal): Promise<Stack> {
  const { options, data, log, release, java } = recipe
  const startedAt = performance.now()
  const [freeKafka = 0, controllerPort = 0, freeRegistry = 0, managementPort = 0] = await freePorts(4)
  const port = options.kafkaPort || freeKafka
  const registryPort = options.registryPort || freeRegistry
  const brokers = `127.0.0.1:${port}`
  const registry = `http://127.0.0.1:${registryPort}${REGISTRY_PATH}`
  const scratch = throwAwayFolder(join(tmpdir(), `colloquy-stack-${process.pid}-${randomBytes(4).toString('hex')}`))
  const children = new Map<string, Child>()
  // One signal for everything awaited below: stop requested, timeout, or a child that ended.
  const broken = new AbortController()
  const within = AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS), broken.signal])

  const start = (name: string, args: readonly string[], cwd: string): Child => {
    // Files that Java and Quarkus unpack for themselves are removed with the folder, too.
    const child = startChild(java.bin, [...JAVA_FLAGS, `-Djava.io.tmpdir=${scratch.path}`, ...args], {
      cwd,
      env: javaEnv(recipe.env),
      onLine: line => log.debug({ from: name }, line),
    })
    children.set(name, child)
    return child
  }

  try {
    log.info({ kafka: brokers, registry, java: java.version }, 'starting kafka and the registry')
    const logDir = join(data?.path ?? scratch.path, 'kafka')
    const kafkaFiles = writeKafkaFiles(recipe, { port, controllerPort, logDir, folder: scratch.path })
    const classpath = join(recipe.kafka, 'lib', '*')
    const startKafka = async () => {
      if (!existsSync(join(logDir, 'meta.properties'))) {
        mkdirSync(logDir, { recursive: true })
        const id = data === null ? clusterId() : data.clusterId
        const format = ['-Xmx128m', kafkaFiles.logging, '-cp', classpath, 'kafka.tools.StorageTool', 'format']
        const tool = start(
          'Kafka storage tool',
          [...format, '-t', id, '-c', kafkaFiles.properties, '--ignore-formatted'],
          scratch.path,
        )
        if ((await tool.exited) !== 0) throw childFailed('the Kafka storage tool', tool)
        children.delete('Kafka storage tool')
        within.throwIfAborted()
      }
      const heap = [`-Xms64m`, `-Xmx${KAFKA_HEAP_MB[recipe.profile]}m`]
      const child = start(
        'Kafka',
        [...heap, kafkaFiles.logging, '-cp', classpath, 'kafka.Kafka', kafkaFiles.properties],
        scratch.path,
      )
      void child.exited.then(() => broken.abort())
      await warmUp(brokers, within)
    }
    const startRegistry = async () => {
      const database = data === null ? undefined : join(data.path, 'registry', 'db')
      const at = {
        release,
        folder: recipe.registry,
        registryPort,
        managementPort,
        ...(database === undefined ? {} : { database }),
      }
      const child = start('registry', registryArgs(at), scratch.path)
      void child.exited.then(() => broken.abort())
      await registryAnswers(registry, release, within)
    }
    // Settled, not raced: when one part fails, the other has finished too before anything is stopped.
    let first: unknown = null
    const failed = (thrown: unknown) => {
      first ??= thrown
      broken.abort()
    }
    await Promise.allSettled([startKafka().catch(failed), startRegistry().catch(failed)])
    if (first !== null) throw first
    within.throwIfAborted()
  } catch (thrown) {
    const failure = asFailure(thrown, children)
    await Promise.all([...children.values()].map(child => child.stop(0)))
    await scratch.remove()
    throw failure
  }

  log.info({ kafka: brokers, registry, tookMs: Math.round(performance.now() - startedAt) }, 'started kafka and the registry')
  return runningStack({ recipe, brokers, registry, children, scratch })
}

function runningStack(parts: {
  recipe: Recipe
  brokers: string
  registry: string
  children: ReadonlyMap<string, Child>
  scratch: ThrowAwayFolder
}): Stack {
  const { recipe, brokers, registry, children, scratch } = parts
  let stopping: Promise<void> | null = null
  const failed = new Promise<FlowError>(resolve => {
    for (const [name, child] of children) {
      void child.exited.then(() => {
        if (stopping === null) resolve(childFailed(name, child))
      })
    }
  })
  const end = async () => {
    // Kept data is closed properly; temporary data need not be.
    await Promise.all([...children.values()].map(child => child.stop(recipe.data === null ? 0 : GRACE_MS)))
    await scratch.remove()
    await recipe.data?.close()
    recipe.log.info({ kafka: brokers, registry }, 'stopped kafka and the registry')
  }
  return {
    brokers,
    registry,
    info: { kafkaVersion: KAFKA_VERSION, registryVersion: recipe.release.version, java: recipe.java.version, how: 'local' },
    failed,
    stop: () => (stopping ??= end()),
  }
}

function writeKafkaFiles(recipe: Recipe, at: { port: number; controllerPort: number; logDir: string; folder: string }) {
  const properties = join(at.folder, 'server.properties')
  writeFileSync(properties, renderProperties(serverProperties(recipe.profile, at)))
  const log4j = join(at.folder, 'log4j2.properties')
  writeFileSync(log4j, KAFKA_LOG4J)
  return { properties, logging: `-Dlog4j2.configurationFile=${log4j}` }
}

/**
 * Arguments for Java that start the registry.
 *
 * @param at.folder Where the release was unpacked.
 * @param at.database Path of the database's files; absent, the data is in memory.
 */
export function registryArgs(at: {
  readonly release: RegistryRelease
  readonly folder: string
  readonly registryPort: number
  readonly managementPort: number
  readonly database?: string
}): string[] {
  const { release } = at
  const properties: Record<string, string> = {
    ...REGISTRY_PROPERTIES,
    'quarkus.http.host': '127.0.0.1',
    'quarkus.http.port': String(at.registryPort),
    // A second port that it opens in any case: with the default, two runs on one machine collide.
    'quarkus.management.host': '127.0.0.1',
    'quarkus.management.port': String(at.managementPort),
    ...(at.database === undefined ? {} : { [release.databaseProperty]: `jdbc:h2:file:${at.database}` }),
  }
  return [
    `-Xmx${REGISTRY_HEAP_MB}m`,
    ...Object.entries(properties).map(([name, value]) => `-D${name}=${value}`),
    '-jar',
    join(at.folder, release.jar),
  ]
}

/** Leaves out variables that Java or Quarkus would use as settings, so that a start is the same in every shell. */
export function javaEnv(env: Environment): Environment {
  const meddling = /^(KAFKA_|QUARKUS_|APICURIO_|REGISTRY_|JAVA_TOOL_OPTIONS$|_JAVA_OPTIONS$|JDK_JAVA_OPTIONS$|CLASSPATH$)/
  return Object.fromEntries(Object.entries(env).filter(([name]) => !meddling.test(name)))
}

/** Resolves when Kafka answers and a transaction and a group join have gone through. */
async function warmUp(brokers: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  // The same file as source and as built.
  const file = new URL(`./warm-up${extname(import.meta.url)}`, import.meta.url)
  const worker = new Worker(file, { workerData: { brokers }, stdout: true, stderr: true, env: {}, execArgv: ['--no-warnings'] })
  let trouble = 'it does not answer'
  const abort = () => void worker.terminate()
  signal.addEventListener('abort', abort, { once: true })
  try {
    await new Promise<void>((resolve, reject) => {
      worker.on('message', (message: WarmUpMessage) => {
        if ('warm' in message) resolve()
        else trouble = message.trouble
      })
      worker.once('error', reject)
      worker.once('exit', () => reject(new Error(`Kafka did not warm up: ${trouble}`)))
    })
  } finally {
    signal.removeEventListener('abort', abort)
    await worker.terminate()
  }
}

const REGISTRY_POLL_MS = 100

/** Resolves when the registry lists its subjects, with BACKWARD as the compatibility that every subject starts with. */
export async function registryAnswers(registry: string, release: RegistryRelease, signal: AbortSignal): Promise<void> {
  for (;;) {
    if (await answersOk(`${registry}/subjects`, {}, signal)) break
    await systemClock.sleep(REGISTRY_POLL_MS, signal)
    signal.throwIfAborted()
  }
  if (release.heedsCompatibility) return
  const body = JSON.stringify({ compatibility: 'BACKWARD' })
  const set = await answersOk(
    `${registry}/config`,
    { method: 'PUT', body, headers: { 'content-type': 'application/json' } },
    signal,
  )
  if (!set) throw new FlowError('STACK_FAILED', { hint: 'the registry refused BACKWARD as its compatibility' })
}

async function answersOk(url: string, request: RequestInit, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.any([signal, AbortSignal.timeout(5_000)]) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    // Not listening yet; the caller looks at the signal.
    return false
  }
}

/** What went wrong with a start, with the last output of the children, so it must be called before they are stopped. */
function asFailure(thrown: unknown, children: ReadonlyMap<string, Child>): unknown {
  if (thrown instanceof FlowError) return thrown
  const ended = [...children].find(([, child]) => child.gone())
  if (ended !== undefined) return childFailed(ended[0], ended[1], thrown)
  const timedOut = thrown instanceof Error && thrown.name === 'TimeoutError'
  const what = timedOut ? `not ready after ${ATTEMPT_MS / 1000} s` : String(thrown)
  const lines = [...children].map(([name, child]) => `${name}: ${child.lastLines().slice(-3).join(' | ')}`)
  return new FlowError('STACK_FAILED', { hint: [what, ...lines].join('; ') }, thrown)
}

function childFailed(name: string, child: Child, cause?: unknown): FlowError {
  const lines = child.lastLines().slice(-8)
  return new FlowError(
    'STACK_FAILED',
    { hint: `${name} ended; its last lines: ${lines.length === 0 ? 'none' : lines.join(' | ')}` },
    cause,
  )
}
