/** A real Prometheus as a process, with the config of `deploy/prometheus`. The Debian package prometheus has it; `.ci/run` installs it. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { programOf } from './alertmanager.ts'
import { until } from './product.ts'

const CONFIG = fileURLToPath(new URL('../../deploy/prometheus', import.meta.url))

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: number
}

export interface Prometheus {
  readonly url: string
  query(expression: string): Promise<Sample[]>
  /** What is scraped: the job, and whether it answered. */
  targets(): Promise<{ job: string; health: string }[]>
  stop(): Promise<void>
}

/** @param places What compose calls other containers → where they are here, such as `colloquy:8083` → `127.0.0.1:12345`. */
export async function startPrometheus(port: number, places: Readonly<Record<string, string>>): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-prometheus-'))
  cpSync(CONFIG, folder, { recursive: true })
  const file = join(folder, 'prometheus.yml')
  let config = readFileSync(file, 'utf8').replaceAll('15s', '1s').replace('localhost:9090', `127.0.0.1:${port}`)
  for (const [inCompose, here] of Object.entries(places)) {
    if (!config.includes(inCompose)) throw new Error(`prometheus.yml does not name ${inCompose}`)
    config = config.replaceAll(inCompose, here)
  }
  writeFileSync(file, config)
  const options = [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const child = spawn(programOf('prometheus'), options, { stdio: 'ignore' })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const url = `http://127.0.0.1:${port}`
  const ask = async (path: string) => {
    const answer = await fetch(url + path)
    const { status, data, error } = (await answer.json()) as { status: string; data: unknown; error?: string }
    if (status !== 'success') throw new Error(`${path}: ${error}`)
    return data
  }
  await until('Prometheus is ready', async () => ((await fetch(`${url}/-/ready`)).ok ? true : undefined))
  return {
    url,
    query: async expression => {
      const data = (await ask(`/api/v1/query?${new URLSearchParams({ query: expression })}`)) as {
        result: { metric: Record<string, string>; value: [number, string] }[]
      }
      return data.result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }))
    },
    targets: async () => {
      const { activeTargets } = (await ask('/api/v1/targets')) as {
        activeTargets: { labels: { job: string }; health: string }[]
      }
      return activeTargets.map(({ labels, health }) => ({ job: labels.job, health }))
    },
    stop: async () => {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
