import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL('../connect-client', import.meta.url))

/** What the program in `test/connect-client` does with a connector, in order. */
export const STEPS = [
  'root',
  'plugins',
  'validate',
  'unknown',
  'create',
  'list',
  'config',
  'pause',
  'restart',
  'topics',
  'stop',
  'delete',
] as const

interface Life {
  /** Base URL of any worker of the group. */
  readonly url: string
  readonly token?: string
  readonly name: string
  readonly className: string
  /** Must allow two tasks, and need no further keys. */
  readonly config: Readonly<Record<string, unknown>>
  /** Longest time until a state is reached. */
  readonly waitSeconds?: number
}

/**
 * Takes a connector through its life with the Go client of Redpanda Console, as its module is published. Needs Go.
 *
 * @returns the steps that went well, all of `STEPS` where none did not, and what the program said of the one that did not
 */
export async function liveByGoClient(life: Life): Promise<{ readonly steps: readonly string[]; readonly error: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'connect-client-'))
  try {
    const binary = join(folder, 'client')
    const built = await run('go', ['build', '-mod=readonly', '-o', binary, '.'])
    if (built.code !== 0) throw new Error(`the Go client cannot be built: ${built.stderr}`)
    const { stdout, stderr } = await run(
      binary,
      [
        ['-url', life.url],
        life.token === undefined ? [] : ['-token', life.token],
        ['-name', life.name],
        ['-class', life.className],
        ['-wait', `${life.waitSeconds ?? 60}s`],
      ].flat(),
      JSON.stringify(life.config),
    )
    return { steps: stdout.split('\n').filter(Boolean), error: stderr.trim() }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function run(
  command: string,
  args: readonly string[],
  input = '',
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: FOLDER, stdio: 'pipe' })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()))
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()))
    child.on('error', reject)
    child.on('close', code => resolve({ code, stdout, stderr }))
    child.stdin.end(input)
  })
}
