import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FlowError } from '../errors.ts'
import type { Java } from './java.ts'
import { newestRegistryFor, REGISTRY_RELEASES, type RegistryRelease } from './values.ts'

/** Data kept over restarts, used only by us until `close`. */
export interface DataFolder {
  readonly path: string
  readonly clusterId: string
  /** The registry that wrote the schemas here: another release could not read them. */
  readonly registry: RegistryRelease
  close(): Promise<void>
}

/**
 * Opens a folder, creating it if needed. `stack.json` remembers what must outlive a restart besides the data itself.
 *
 * @throws FlowError `STACK_FAILED` when another stack has it open, or it cannot be used; `STACK_TOOL_MISSING` when its registry needs a newer Java.
 */
export async function openDataFolder(folder: string, java: Java): Promise<DataFolder> {
  const path = usable(folder)
  const lock = await takeLock(path)
  try {
    const remembered = readRemembered(path)
    const registry = registryOf(remembered, java, path)
    const id = remembered?.clusterId ?? clusterId()
    if (remembered === null) writeFileSync(join(path, FILE), `${JSON.stringify({ clusterId: id, registry: registry.version })}\n`)
    return { path, clusterId: id, registry, close: () => closeLock(lock) }
  } catch (thrown) {
    await closeLock(lock)
    throw thrown
  }
}

/** 16 random bytes as base64url. Drawn again when it begins with a dash, which Kafka's tool would take for an option. */
export function clusterId(): string {
  for (;;) {
    const id = randomBytes(16).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

const FILE = 'stack.json'

interface Remembered {
  readonly clusterId: string
  readonly registry: string
}

function usable(folder: string): string {
  try {
    mkdirSync(folder, { recursive: true })
    return realpathSync(folder)
  } catch (thrown) {
    throw new FlowError(
      'STACK_FAILED',
      { hint: `the data folder ${folder} cannot be made: ${(thrown as Error).message}` },
      thrown,
    )
  }
}

function readRemembered(path: string): Remembered | null {
  const file = join(path, FILE)
  if (!existsSync(file)) return null
  try {
    const { clusterId, registry } = JSON.parse(readFileSync(file, 'utf8'))
    if (typeof clusterId === 'string' && typeof registry === 'string') return { clusterId, registry }
  } catch {
    // Reported below, like a file with other content.
  }
  throw new FlowError('STACK_FAILED', { hint: `${file} cannot be read; restore it, or choose another data folder` })
}

function registryOf(remembered: Remembered | null, java: Java, path: string): RegistryRelease {
  if (remembered === null) return newestRegistryFor(java)
  const release = REGISTRY_RELEASES.find(({ version }) => version === remembered.registry)
  if (release === undefined) {
    throw new FlowError('STACK_FAILED', {
      hint: `${path} was written with registry ${remembered.registry}, which is not known here; choose another data folder`,
    })
  }
  if (release.oldestJava > java.major) {
    throw new FlowError('STACK_TOOL_MISSING', {
      tool: 'java',
      hint: `${path} was written with registry ${release.version}, which needs Java ${release.oldestJava}; the newest found is ${java.version}`,
    })
  }
  return release
}

/**
 * A socket that we listen on while we have the folder open: unlike a file with a process id it cannot be left over in a way that looks alive. On Linux it has a
 * name and no file, so that a kill leaves nothing; elsewhere a file among the temporary ones, because its path must be short.
 */
async function takeLock(path: string): Promise<Server> {
  const name = `colloquy-${createHash('sha256').update(path).digest('hex').slice(0, 16)}`
  const onLinux = process.platform === 'linux'
  const socket = onLinux ? `\0${name}` : join(tmpdir(), `${name}.lock`)
  if (await answers(socket)) {
    throw new FlowError('STACK_FAILED', {
      hint: `the data folder ${path} is in use by another stack; stop that one, or choose another folder`,
    })
  }
  if (!onLinux) rmSync(socket, { force: true })
  const server = createServer(connection => connection.destroy())
  server.unref()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  return server
}

function closeLock(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
  })
}

function answers(socket: string): Promise<boolean> {
  return new Promise(resolve => {
    const probe = connect(socket)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
