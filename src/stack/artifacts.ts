import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'
import { startChild, throwAwayFolder } from './child.ts'
import { type Environment, findOnPath } from './java.ts'
import { KAFKA_FOLDER, KAFKA_POM, KAFKA_VERSION, MAVEN_PLUGIN, type RegistryRelease } from './values.ts'

/** How often the log shows the progress of a download. */
const PROGRESS_EVERY_MS = 2_000
/** The same for a progress display. */
const DRAW_EVERY_MS = 200

export interface DownloadProgress {
  readonly what: string
  /** 0: Maven is still resolving. */
  readonly megabytes: number
}

interface FetchOptions {
  readonly cache: string
  readonly env: Environment
  readonly log: Log
  readonly signal: AbortSignal
  readonly onProgress?: (progress: DownloadProgress) => void
}

/** Something that Maven fetches once into a folder of the cache. */
export interface Artifact {
  readonly name: string
  /** Its final path; it is never there incomplete. */
  readonly path: string
  fetch(into: string, tools: FetchTools): Promise<void>
}

interface FetchTools {
  /** Runs Maven in a folder; its progress goes to the log. */
  readonly maven: (args: readonly string[], cwd: string) => Promise<void>
  readonly unpack: (archive: string, into: string) => Promise<void>
}

export function cacheFolder(env: Environment): string {
  return env.COLLOQUY_CACHE ?? join(env.XDG_CACHE_HOME ?? join(env.HOME ?? homedir(), '.cache'), 'colloquy', 'stack')
}

export function kafkaArtifact(cache: string): Artifact {
  return {
    name: `Apache Kafka ${KAFKA_VERSION}`,
    path: join(cache, KAFKA_FOLDER),
    async fetch(into, { maven }) {
      writeFileSync(join(into, 'pom.xml'), KAFKA_POM)
      await maven([`${MAVEN_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${join(into, 'lib')}`], into)
    },
  }
}

export function registryArtifact(cache: string, release: RegistryRelease): Artifact {
  return {
    name: `Apicurio Registry ${release.version}`,
    path: join(cache, `apicurio-registry-${release.version}`),
    async fetch(into, { maven, unpack }) {
      const coordinates = `io.apicurio:apicurio-registry-app:${release.version}:tar.gz:all`
      const download = `${into}-download`
      await maven([`${MAVEN_PLUGIN}:copy`, `-Dartifact=${coordinates}`, `-DoutputDirectory=${download}`], into)
      await unpack(join(download, `apicurio-registry-app-${release.version}-all.tar.gz`), into)
    },
  }
}

/**
 * Brings what is missing into the cache. Each artifact is collected in a temporary folder next to its final path and renamed into it, so a kill leaves no
 * incomplete one, and of two processes that fetch at once the later one finds the path filled and drops its own copy.
 *
 * @throws FlowError `STACK_TOOL_MISSING` without Maven, before anything was fetched, and only when something is missing. `STACK_FAILED` with Maven's own words
 *   when it fails; `STOPPED` when the signal aborts.
 */
export async function fetchMissing(artifacts: readonly Artifact[], at: FetchOptions): Promise<void> {
  const missing = artifacts.filter(artifact => !existsSync(artifact.path))
  if (missing.length === 0) return
  const maven = requireTool('mvn', missing, at.env)
  const tar = requireTool('tar', missing, at.env)
  mkdirSync(at.cache, { recursive: true })
  for (const artifact of missing) {
    const work = throwAwayFolder(join(at.cache, `.fetching-${process.pid}-${randomBytes(4).toString('hex')}`))
    try {
      const into = join(work.path, 'content')
      mkdirSync(into)
      const run = (bin: string, args: readonly string[], cwd: string) => runTool(bin, args, cwd, artifact.name, at)
      await artifact.fetch(into, {
        maven: (args, cwd) => run(maven, ['-Dstyle.color=never', ...args], cwd),
        unpack: (archive, folder) => run(tar, ['-xzf', archive, '-C', folder], folder),
      })
      moveIntoPlace(into, artifact.path)
    } finally {
      await work.remove()
    }
  }
}

function requireTool(name: 'mvn' | 'tar', missing: readonly Artifact[], env: Environment): string {
  const found = findOnPath(name, env)
  if (found !== null) return found
  const what = missing.map(artifact => artifact.name).join(' and ')
  const title = name === 'mvn' ? 'Maven (mvn)' : name
  throw new FlowError('STACK_TOOL_MISSING', {
    tool: name,
    hint: `${title} is not on the path, and ${what} must be fetched with it; install it, or start the stack with Docker: docker compose up`,
  })
}

function moveIntoPlace(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (thrown) {
    // Another process was quicker: a filled folder cannot be renamed over, and its content is the same.
    if (!existsSync(to)) throw thrown
  }
}

async function runTool(
  bin: string,
  args: readonly string[],
  cwd: string,
  what: string,
  { env, log, signal, onProgress }: Omit<FetchOptions, 'cache'>,
): Promise<void> {
  signal.throwIfAborted()
  const progress = new Progress()
  const child = startChild(bin, args, { cwd, env, onLine: line => progress.read(line) })
  const report = () => {
    const now = { what, megabytes: progress.megabytes() }
    if (onProgress === undefined) log.info(now, now.megabytes === 0 ? 'preparing' : 'downloading')
    else onProgress(now)
  }
  report()
  const timer = setInterval(report, onProgress === undefined ? PROGRESS_EVERY_MS : DRAW_EVERY_MS)
  const stop = () => void child.stop(0)
  signal.addEventListener('abort', stop, { once: true })
  const code = await child.exited
  clearInterval(timer)
  signal.removeEventListener('abort', stop)
  signal.throwIfAborted()
  if (code === 0) return
  const said = child.lastLines().find(line => line.includes('ERROR'))
  throw new FlowError('STACK_FAILED', {
    what,
    hint: `fetching failed: ${(said ?? child.lastLines().at(-1) ?? `exit code ${code}`).replace(/^\[ERROR\]\s*/, '').slice(0, 400)}`,
    code,
  })
}

/** Reads Maven's console: how much has arrived so far. Unknown lines are ignored, so another Maven only makes it less exact. */
export class Progress {
  private done = 0
  private underWay = 0

  read(line: string): void {
    const finished = /^Downloaded from .*\(([\d.]+) (B|kB|MB|GB)\b/.exec(line)
    if (finished !== null) {
      this.done += megabytes(finished[1], finished[2])
      this.underWay = 0
      return
    }
    if (!line.startsWith('Progress (')) return
    // One entry a transfer: `158 MB`, `1.2/158 MB`, separated by ` | `.
    this.underWay = [...line.matchAll(/([\d.]+)(?:\/[\d.]+)? (B|kB|MB|GB)/g)].reduce(
      (sum, [, amount, unit]) => sum + megabytes(amount, unit),
      0,
    )
  }

  megabytes(): number {
    return Math.round((this.done + this.underWay) * 10) / 10
  }
}

function megabytes(amount: string | undefined, unit: string | undefined): number {
  const factor = { B: 1e-6, kB: 1e-3, MB: 1, GB: 1e3 }[unit ?? ''] ?? 0
  return Number(amount) * factor
}
