import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { startSimulators } from '../../src/sim/index.ts'
import { createWorld } from '../../src/sim/world.ts'
import { readSetup } from '../../src/cli/setup.ts'
import { silentLog } from '../../src/log.ts'
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
  ports?: string[]
  volumes?: string[]
  profiles?: string[]
  hostname?: string
  command?: string[]
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

test('compose is complete: every name exists, every part is monitored, nothing listens beyond loopback', () => {
  const names = Object.keys(compose.services)
  expect(names).toEqual(['kafka', 'registry', 'colloquy', 'simulators', 'prometheus', 'alertmanager', 'grafana'])
  for (const [name, { depends_on: needs = {}, ports = [], volumes = [], healthcheck }] of Object.entries(compose.services)) {
    for (const [needed, { condition }] of Object.entries(needs)) {
      expect(names).toContain(needed)
      expect(condition).toBe('service_healthy')
      expect(service(needed).healthcheck, `${needed}, which ${name} waits for`).toBeDefined()
    }
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/)
    for (const volume of volumes) {
      const [from = ''] = volume.replace('${COLLOQUY_CONFIG:-./deploy/colloquy.yaml}', './deploy/colloquy.yaml').split(':')
      if (from.startsWith('./')) expect([from, existsSync(new URL(`../../${from}`, import.meta.url))]).toEqual([from, true])
      else expect(Object.keys(compose.volumes)).toContain(from)
    }
    // Ours has its check in the image.
    if (name !== 'colloquy') expect(healthcheck?.test[0]).toBe('CMD')
  }
  expect(file('Dockerfile')).toContain('HEALTHCHECK')
})

test('every image is pinned, by its exact version or by digest; Node is the one of package.json', () => {
  const nodes = [...file('Dockerfile').matchAll(/^FROM (\S+)/gm)].map(([, image = '']) => image)
  const images = Object.values(compose.services).map(({ image }) => image)
  for (const image of [...nodes, ...images].filter(image => image !== 'colloquy:local'))
    expect(image).toMatch(/:v?\d+\.\d+\.\d+(-slim)?$|@sha256:[0-9a-f]{64}$/)
  const { optionalDependencies } = JSON.parse(file('package.json')) as { optionalDependencies: Record<string, string> }
  const [version] = new Set(Object.values(optionalDependencies))
  expect(new Set(nodes)).toEqual(new Set([`node:${version}-slim`]))
})

/** What `.env` sets for compose. */
const settings = Object.fromEntries(
  file('.env')
    .split('\n')
    .filter(line => /^[A-Z]/.test(line))
    .map(line => line.split('=') as [string, string]),
)

test('simulators run by default: their profile is on, and Colloquy reads what they print', async () => {
  const simulators = service('simulators')
  expect([settings['COMPOSE_PROFILES']]).toEqual(simulators.profiles)
  const { connectors } = parse(file(settings['COLLOQUY_CONFIG'] ?? '')) as { connectors: Record<string, Record<string, unknown>> }
  const [command, ...options] = simulators.command ?? []
  const values = Object.fromEntries(options.flatMap((word, place) => (word.startsWith('--') ? [[word, options[place + 1]]] : [])))
  expect([command, values['--host']]).toEqual(['simulate', simulators.hostname])
  const world = createWorld({ seed: 1, sessions: 10, fromMs: 0, untilMs: 86_400_000 })
  const simulated = await startSimulators({ world })
  onTestFinished(() => simulated.stop())
  expect(Object.keys(connectors)).toEqual(simulated.all.map(({ vendor }) => `demo-${vendor}`))
  for (const [place, { vendor, url }] of simulated.all.entries()) {
    const there = `http://simulators:${Number(values['--port']) + place}`
    const keys = Object.entries(simulated.config[vendor] ?? {}).map(([key, value]) => [key, value.replaceAll(url, there)])
    expect(connectors[`demo-${vendor}`]).toMatchObject({ 'connector.class': vendor, ...Object.fromEntries(keys) })
  }
})

test('values of .env are read, and it is in git: secrets have a file that is not', () => {
  const text = file('docker-compose.yml')
  expect(Object.keys(settings)).toEqual(['COMPOSE_PROFILES', 'COLLOQUY_CONFIG'])
  expect(text).toContain('${COLLOQUY_CONFIG:-')
  expect(service('colloquy').env_file).toEqual([{ path: 'secrets.env', required: false }])
  expect(file('.gitignore').split('\n')).toContain('secrets.env')
})

test.each(['deploy/colloquy.yaml', 'deploy/simulators.yaml'])('%s reaches the parts of compose', async name => {
  const config = parse(file(name)) as {
    kafka: { brokers: string[] }
    registry: { url: string }
    http: { host: string; port: number }
    alerts: { alertmanager: { urls: string[] } }
  }
  const io = {
    stdout: () => {},
    log: silentLog,
    signal: new AbortController().signal,
    env: { COLLOQUY_HTTP_TOKEN: 't' },
    entry: '',
  }
  const read = await readSetup(fileURLToPath(new URL(`../../${name}`, import.meta.url)), io)
  expect(read.ok ? [] : read.faults).toEqual([])
  expect(config.alerts.alertmanager.urls).toEqual([`http://alertmanager:${service('alertmanager').ports?.[0]?.split(':')[2]}`])
  const [inside] = /\/\/kafka:\d+/.exec(service('kafka').environment.KAFKA_ADVERTISED_LISTENERS ?? '') ?? []
  expect(config.kafka.brokers.map(broker => `//${broker}`)).toEqual([inside])
  expect(config.registry.url).toBe(`http://registry:8080${REGISTRY_PATH}`)
  expect(service('colloquy').ports).toEqual([`127.0.0.1:${config.http.port}:${config.http.port}`])
  expect(file('deploy/prometheus/prometheus.yml')).toContain(`colloquy:${config.http.port}`)
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
