import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { METRIC_PREFIX, METRICS } from '../../src/metrics.ts'
import {
  brokerProperties,
  KAFKA_HEAP_MB,
  KAFKA_IMAGE,
  kafkaImageVariable,
  REGISTRY_IMAGE,
  REGISTRY_PATH,
  REGISTRY_PROPERTIES,
  registryImageVariable,
  renderProperties,
  serverProperties,
} from '../../src/stack/values.ts'

interface Service {
  image: string
  environment: Record<string, string>
  ports: string[]
  volumes: string[]
  healthcheck?: { test: string[] }
  depends_on?: Record<string, { condition: string }>
  build?: string
  env_file?: unknown
}

const file = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const compose = parse(file('docker-compose.yml')) as { services: Record<string, Service>; volumes: Record<string, unknown> }
const service = (name: string): Service => {
  const found = compose.services[name]
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`)
  return found
}

/** What says where things are differs between a container and this machine; everything else must not. */
const KAFKA_PLACES = [
  'CLUSTER_ID',
  'KAFKA_ADVERTISED_LISTENERS',
  'KAFKA_CONTROLLER_QUORUM_VOTERS',
  'KAFKA_HEAP_OPTS',
  'KAFKA_LISTENERS',
  'KAFKA_LISTENER_SECURITY_PROTOCOL_MAP',
  'KAFKA_LOG_DIRS',
]

test("compose gives Kafka the demo profile's values, no more and no less", () => {
  const { image, environment } = service('kafka')
  const shared = Object.fromEntries(Object.entries(environment).filter(([name]) => !KAFKA_PLACES.includes(name)))
  expect(shared).toEqual(
    Object.fromEntries(Object.entries(brokerProperties('demo')).map(([name, value]) => [kafkaImageVariable(name), value])),
  )
  expect(Object.keys(environment)).toEqual(expect.arrayContaining(KAFKA_PLACES))
  expect(environment.KAFKA_HEAP_OPTS).toBe(`-Xms64m -Xmx${KAFKA_HEAP_MB.demo}m`)
  expect(image).toBe(KAFKA_IMAGE)
})

test('compose gives the registry the values of the local one', () => {
  const { image, environment } = service('registry')
  const { APICURIO_DATASOURCE_URL: database, ...shared } = environment
  expect(shared).toEqual(
    Object.fromEntries(Object.entries(REGISTRY_PROPERTIES).map(([name, value]) => [registryImageVariable(name), value])),
  )
  expect(database).toMatch(/^jdbc:h2:file:/)
  expect(image).toBe(REGISTRY_IMAGE)
})

test('compose is whole: what is named exists, every part is watched, nothing listens beyond loopback', () => {
  const names = Object.keys(compose.services)
  expect(names).toEqual(['kafka', 'registry', 'colloquy', 'prometheus', 'alertmanager', 'grafana'])
  for (const [name, { depends_on: needs = {}, ports, volumes, healthcheck }] of Object.entries(compose.services)) {
    for (const [needed, { condition }] of Object.entries(needs)) {
      expect(names).toContain(needed)
      expect(condition).toBe('service_healthy')
      expect(service(needed).healthcheck, `${needed}, which ${name} waits for`).toBeDefined()
    }
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
    for (const volume of volumes) {
      const [from = ''] = volume.replace('${COLLOQUY_CONFIG:-./deploy/colloquy.yaml}', './deploy/colloquy.yaml').split(':')
      if (!from.startsWith('./')) expect(Object.keys(compose.volumes)).toContain(from)
    }
    // Ours has its check in the image.
    if (name !== 'colloquy') expect(healthcheck?.test[0]).toBe('CMD')
  }
  expect(file('Dockerfile')).toContain('HEALTHCHECK')
})

test('the config that compose runs reaches the parts of compose', () => {
  const config = parse(file('deploy/colloquy.yaml')) as {
    kafka: { brokers: string[] }
    registry: { url: string }
    http: { host: string; port: number }
  }
  const [inside] = /\/\/kafka:\d+/.exec(service('kafka').environment.KAFKA_ADVERTISED_LISTENERS ?? '') ?? []
  expect(config.kafka.brokers.map(broker => `//${broker}`)).toEqual([inside])
  expect(config.registry.url).toBe(`http://registry:8080${REGISTRY_PATH}`)
  expect(service('colloquy').ports).toEqual([`127.0.0.1:${config.http.port}:${config.http.port}`])
  expect(file('deploy/prometheus/prometheus.yml')).toContain(`colloquy:${config.http.port}`)
})

test('every metric that the dashboard asks for is in the table of metrics', () => {
  const dashboard = file('deploy/grafana/dashboards/colloquy.json')
  const asked = new Set(dashboard.match(/\bcolloquy_[a-z_]+/g))
  const known = new Set(
    Object.entries(METRICS).map(([name, { kind }]) => `${METRIC_PREFIX}${name}${kind === 'histogram' ? '_bucket' : ''}`),
  )
  expect(asked.size).toBeGreaterThan(10)
  expect([...asked].filter(name => !known.has(name))).toEqual([])
})

test('server.properties of a local broker listens on loopback only, and tests notice timed-out transactions sooner', () => {
  const at = { port: 1001, controllerPort: 1002, logDir: '/data/with\\backslash' }
  const lines = renderProperties(serverProperties('test', at)).trimEnd().split('\n')
  expect(lines).toContain('listeners=PLAINTEXT://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002')
  expect(lines).toContain('advertised.listeners=PLAINTEXT://127.0.0.1:1001')
  expect(lines).toContain('controller.quorum.voters=1@127.0.0.1:1002')
  expect(lines).toContain('log.dirs=/data/with\\\\backslash')
  const onlyInTests = Object.keys(serverProperties('test', at)).filter(name => !(name in serverProperties('demo', at)))
  expect(onlyInTests).toEqual([
    'offsets.topic.num.partitions',
    'transaction.state.log.num.partitions',
    'transaction.abort.timed.out.transaction.cleanup.interval.ms',
  ])
})

test('properties are named for the images as their documents say', () => {
  expect(kafkaImageVariable('a.b-c_d')).toBe('KAFKA_A_B___C__D')
  expect(registryImageVariable('apicurio.datasource.jdbc.min-size')).toBe('APICURIO_DATASOURCE_JDBC_MIN_SIZE')
})
