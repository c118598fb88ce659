import { execFile } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { FlowError } from '../errors.ts'
import { OLDEST_JAVA } from './values.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Java {
  readonly bin: string
  /** As Java writes it: `17.0.15`, `25.0.3`, `1.8.0_402`. */
  readonly version: string
  /** Feature release: 17, 25; 8 for `1.8`. */
  readonly major: number
}

/** Folders whose subfolders are JVMs, by custom of Debian, Fedora and macOS. */
export const JVM_FOLDERS: readonly string[] = ['/usr/lib/jvm', '/usr/java', '/opt/java', '/Library/Java/JavaVirtualMachines']

/**
 * Every Java that runs: `JAVA_HOME`, the path, the usual folders, in this order, each binary once. One that exists but does not run (the stub that macOS
 * installs, another machine's binary) is left out.
 */
export async function findJavas(env: Environment, jvmFolders: readonly string[] = JVM_FOLDERS): Promise<Java[]> {
  const candidates = [
    ...(env.JAVA_HOME ? [join(env.JAVA_HOME, 'bin', 'java')] : []),
    ...foldersOnPath(env).map(folder => join(folder, 'java')),
    ...jvmFolders.flatMap(folder =>
      subfolders(folder).flatMap(jvm => [join(jvm, 'bin', 'java'), join(jvm, 'Contents', 'Home', 'bin', 'java')]),
    ),
  ]
  const bins = new Map(
    candidates.filter(candidate => existsSync(candidate)).map(candidate => [realpathSync(candidate), candidate]),
  )
  const found = await Promise.all([...bins.keys()].map(askVersion))
  return found.filter(java => java !== null)
}

/** The newest Java; of equals, the first one found. @throws FlowError `STACK_TOOL_MISSING` when there is none, or none new enough. */
export async function newestJava(env: Environment, jvmFolders: readonly string[] = JVM_FOLDERS): Promise<Java> {
  const javas = await findJavas(env, jvmFolders)
  const newest = javas.reduce<Java | null>((best, java) => (best === null || java.major > best.major ? java : best), null)
  if (newest === null) {
    throw new FlowError('STACK_TOOL_MISSING', {
      tool: 'java',
      hint: `no Java was found (JAVA_HOME, the path, ${jvmFolders.join(', ')}); install Java ${OLDEST_JAVA} or newer`,
    })
  }
  if (newest.major < OLDEST_JAVA) {
    throw new FlowError('STACK_TOOL_MISSING', {
      tool: 'java',
      hint: `the newest Java found is ${newest.version}; install Java ${OLDEST_JAVA} or newer`,
      bin: newest.bin,
    })
  }
  return newest
}

/** The first file of this name on the path, or null. System folders are searched even when the path is empty. */
export function findOnPath(name: string, env: Environment): string | null {
  return (
    foldersOnPath(env)
      .map(folder => join(folder, name))
      .find(file => existsSync(file)) ?? null
  )
}

function foldersOnPath(env: Environment): string[] {
  return (env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
}

function subfolders(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map(name => join(folder, name))
}

function askVersion(bin: string): Promise<Java | null> {
  return new Promise(resolve => {
    execFile(bin, ['-version'], { timeout: 10_000 }, (error, stdout, stderr) => {
      const version = /version "([^"]+)"/.exec(`${stderr}\n${stdout}`)?.[1]
      if (error !== null || version === undefined) resolve(null)
      else resolve({ bin, version, major: majorOf(version) })
    })
  })
}

function majorOf(version: string): number {
  const [first, second] = version.split(/[._+-]/).map(Number)
  return (first === 1 ? second : first) ?? 0
}
