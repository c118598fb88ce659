/**
 * What `docker compose up` shows, without Docker: the image that the Dockerfile builds runs with the config and the commands of docker-compose.yml, beside a real
 * Kafka, registry, Prometheus and Alertmanager with the configs of `deploy`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import {
  buildImage,
  type Command,
  commandOf,
  composeServices,
  configHere,
  type Image,
  mountedAt,
  type Printed,
  ROOT,
  type Service,
  simulateHere,
} from '../../scripts/docker-image.ts'
import { freePort } from '../../src/stack/ports.ts'
import { startAlertmanager } from '../support/alertmanager.ts'
import { dashboardQueries } from '../support/dashboard.ts'
import { type Prometheus, startPrometheus } from '../support/prometheus.ts'
import { until } from '../support/product.ts'

const MINUTE_MS = 60_000

let folder = ''
let image: Image
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'colloquy-compose-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(
  'the script replays what Docker would build and start',
  () => {
    const ended = spawnSync(process.execPath, [join(ROOT, 'scripts/replay-docker.ts'), '--into', folder], { encoding: 'utf8' })
    expect([ended.status, ended.stdout.split('\n').at(-2)], ended.stdout + ended.stderr).toEqual([
      0,
      expect.stringMatching(/^\d+ passed, 0 failed$/),
    ])
    image = buildImage({ into: folder, isBuilt: true })
  },
  8 * MINUTE_MS,
)

function start({ file, args, cwd, env }: Command): ChildProcess & { readonly stdout: NonNullable<ChildProcess['stdout']> } {
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

const firstLine = (child: { readonly stdout: NodeJS.ReadableStream }) =>
  new Promise<string>(resolve => {
    createInterface({ input: child.stdout }).once('line', resolve)
  })

function service(name: string): Service {
  const found = composeServices()[name]
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`)
  return found
}

/** Those of the dashboard that may be empty: on a good day there is nothing to show, or it was before the first scrape. */
const MAY_BE_EMPTY = new Set(['Alerts firing', 'Rejects a minute', 'Restarts of tasks, last 15 minutes', 'Time of a restore'])

/** By title, what the queries of the dashboard answer. */
async function dashboardOf(prometheus: Prometheus): Promise<Map<string, number[][]>> {
  const answers = new Map<string, number[][]>()
  for (const { title, expr } of dashboardQueries({ rateInterval: '20s', range: '5m' })) {
    const samples = await prometheus.query(expr)
    answers.set(title, [...(answers.get(title) ?? []), samples.map(({ value }) => value).filter(value => !Number.isNaN(value))])
  }
  return answers
}

test(
  'the first `up` fills every panel of the dashboard, and all that it starts is well',
  async () => {
    const { brokers, registry } = inject('stack')
    const colloquy = service('colloquy')
    const simulators = service('simulators')
    const [httpPort, prometheusPort, alertmanagerPort] = [await freePort(), await freePort(), await freePort()]

    const printed = JSON.parse(
      await firstLine(start(commandOf(image, [...image.entrypoint, ...simulateHere(simulators)]))),
    ) as Printed
    const path = image.cmd.at(-1) ?? ''
    const config = join(folder, 'config.yaml')
    writeFileSync(
      config,
      configHere(readFileSync(mountedAt(colloquy, path), 'utf8'), simulators, printed)
        .replace('kafka:19092', brokers)
        .replace(/http:\/\/registry:\d+\S+/, registry)
        .replace('prefix: colloquy', `prefix: it-${randomUUID().slice(0, 8)}`)
        .replace('host: 0.0.0.0, port: 8083', `host: 127.0.0.1, port: ${httpPort}`)
        .replace('alertmanager:9093', `127.0.0.1:${alertmanagerPort}`),
    )
    const alertmanager = await startAlertmanager(alertmanagerPort, join(ROOT, 'deploy/alertmanager/alertmanager.yml'))
    onTestFinished(() => alertmanager.stop())
    const product = start(
      commandOf(image, [...image.entrypoint, ...image.cmd], { env: colloquy.environment ?? {}, mounts: { [path]: config } }),
    )
    const ended = new Promise<number | null>(resolve => product.once('exit', resolve))
    const prometheus = await startPrometheus(prometheusPort, {
      'colloquy:8083': `127.0.0.1:${httpPort}`,
      'alertmanager:9093': `127.0.0.1:${alertmanagerPort}`,
    })
    onTestFinished(() => prometheus.stop())

    await until('both targets are scraped', async () => {
      const targets = await prometheus.targets()
      return targets.length === 2 && targets.every(({ health }) => health === 'up') ? true : undefined
    })
    const answers = await until(
      'every panel has values',
      async () => {
        const now = await dashboardOf(prometheus)
        const isFull = [...now].every(([title, of]) => of.every(values => values.length > 0) || MAY_BE_EMPTY.has(title))
        return isFull && (now.get('Transfers to agents')?.[0]?.[0] ?? 0) > 0 ? now : undefined
      },
      2000,
      6 * MINUTE_MS,
    )
    for (const title of ['Containment', 'Quota: share of waiting'])
      for (const value of answers.get(title)?.flat() ?? []) {
        expect([title, value]).toEqual([title, expect.any(Number)])
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThanOrEqual(1)
      }
    expect(answers.get('Rejects')).toEqual([[0]])
    expect(answers.get('Rejects a minute')).toEqual([[0], []])
    expect(
      (await prometheus.query('count by (connector_class) (kafka_connect_connector_connector_class)'))
        .map(({ metric }) => metric['connector_class'] ?? '')
        .toSorted(),
    ).toEqual(Object.keys(printed))
    const firing = await prometheus.query('ALERTS{alertstate="firing"}')
    expect(firing.map(({ metric }) => metric['alertname'])).toEqual([])

    const [healthFile, ...health] = image.healthcheck.map(word => word.replace('8083', String(httpPort)))
    expect(healthFile).toBe('node')
    expect(spawnSync(process.execPath, health).status).toBe(0)
    const token = colloquy.environment?.['COLLOQUY_HTTP_TOKEN'] ?? ''
    const series = `http://127.0.0.1:${httpPort}/v1/series?measure=sessions&bucket=1d&from=now-7d&group_by=vendor`
    expect((await fetch(series)).status).toBe(401)
    const answer = await fetch(series, { headers: { authorization: `Bearer ${token}` } })
    const { data } = (await answer.json()) as { data: { series: { labels: { vendor: string } }[] } }
    expect(data.series.map(({ labels }) => labels.vendor).toSorted()).toEqual(Object.keys(printed))

    product.kill('SIGTERM')
    expect(await ended).toBe(0)
  },
  10 * MINUTE_MS,
)
