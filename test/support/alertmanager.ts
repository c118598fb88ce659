/** A real Alertmanager as a process. The Debian packages prometheus and prometheus-alertmanager have it and its tools; `.ci/run` installs them. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const NAMES = { alertmanager: ['prometheus-alertmanager', 'alertmanager'], promtool: ['promtool'], amtool: ['amtool'] } as const

/** The program under the name that this machine has it by. @throws where it is not installed: a test that needs it must not pass without */
export function programOf(tool: keyof typeof NAMES): string {
  for (const name of NAMES[tool]) {
    try {
      execFileSync(name, ['--version'], { stdio: 'pipe' })
      return name
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
  throw new Error(`${tool} is not installed: apt-get install prometheus prometheus-alertmanager`)
}

/** An alert as Alertmanager answers it. */
export interface Heard {
  readonly labels: Record<string, string>
  readonly annotations: Record<string, string>
  readonly startsAt: string
  readonly endsAt: string
  readonly generatorURL: string
  readonly status: { readonly state: string }
}

export interface Alertmanager {
  readonly url: string
  /** Alerts that it holds for active. */
  active(): Promise<Heard[]>
  stop(): Promise<void>
}

export async function startAlertmanager(port: number): Promise<Alertmanager> {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-alertmanager-'))
  const config = join(folder, 'alertmanager.yml')
  writeFileSync(config, 'route: { receiver: none }\nreceivers: [{ name: none }]\n')
  const child: ChildProcess = spawn(
    programOf('alertmanager'),
    [
      `--config.file=${config}`,
      `--storage.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
    { stdio: 'ignore' },
  )
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const url = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries++) {
    const isReady = await fetch(`${url}/-/ready`).then(
      answer => answer.ok,
      () => false,
    )
    if (isReady) break
    if (tries > 300 || child.exitCode !== null) throw new Error('Alertmanager did not start')
    await new Promise(resolve => {
      setTimeout(resolve, 100)
    })
  }
  return {
    url,
    active: async () => (await (await fetch(`${url}/api/v2/alerts?active=true`)).json()) as Heard[],
    stop: async () => {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
