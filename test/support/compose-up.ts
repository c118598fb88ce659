/** `docker compose up` without Docker: what the image holds is started as docker-compose.yml says, on free ports, with names of services resolved to them. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, extname, join } from 'node:path'
import { parseDocument } from 'yaml'
import { findSimulators } from '../../src/sim/index.ts'
import { freePort } from '../../src/stack/ports.ts'
import { programOf } from './alertmanager.ts'
import { Addresses, inOrder, readCompose, type Service } from './compose.ts'
import { type Image, pathIn } from './image.ts'
import { until } from './product.ts'

export interface Up {
  readonly services: ReadonlyMap<string, Service>
  /** `http://127.0.0.1:N` of a port that the service publishes or listens at. */
  url(service: string, port: number): string
  /** A file of the repository as this service sees it. */
  rewrite(text: string, service: string): string
  /** Whether the health check failed before the service was started, and how long it took to turn healthy. */
  readonly health: ReadonlyMap<string, { readonly before: boolean; readonly afterMs: number }>
  /** Ends a service as `docker compose stop` does. @returns its exit code; null where it took longer than its grace period */
  stop(service: string): Promise<number | null>
  output(service: string): string
  /** Ends everything. */
  down(): Promise<void>
}

interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  readonly output: string[]
}

/**
 * Kafka and registry are those of the stack, and Grafana is left out: its image is the only place where it is whole.
 *
 * @param repository Folder with docker-compose.yml.
 * @param prefix Of the topics: the stack may have those of others.
 */
export async function composeUp(
  repository: string,
  image: Image,
  stack: { readonly brokers: string; readonly registry: string },
  prefix: string,
): Promise<Up> {
  const services = readCompose(repository)
  const addresses = await addressesFor(services, stack)
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-compose-'))
  const running = new Map<string, Started>()
  const health = new Map<string, { before: boolean; afterMs: number }>()
  const down = async () => {
    for (const { child } of running.values()) child.kill('SIGKILL')
    await Promise.all([...running.values()].map(({ ended }) => ended))
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const at = { repository, image, addresses, folder, prefix }
    for (const name of inOrder(services)) {
      const service = services.get(name)
      if (service === undefined || ['kafka', 'registry', 'grafana'].includes(name)) continue
      const container = containerOf(name, service, at)
      const before = await container.isHealthy()
      const sinceMs = Date.now()
      const started = startProcess(container)
      running.set(name, started)
      await until(
        `${name} is healthy`,
        async () => {
          if (started.child.exitCode !== null) throw new Error(`ended with ${started.child.exitCode}`)
          return (await container.isHealthy()) || undefined
        },
        250,
        300_000,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${started.output.join('')}`)
      })
      health.set(name, { before, afterMs: Date.now() - sinceMs })
    }
  } catch (error) {
    await down()
    throw error
  }
  const of = (name: string): Started => {
    const started = running.get(name)
    if (started === undefined) throw new Error(`${name} is not started`)
    return started
  }
  return {
    services,
    url: (service, port) => `http://${addresses.of(service, port)}`,
    rewrite: (text, service) => addresses.rewrite(text, service),
    health,
    stop: async name => {
      const { child, ended } = of(name)
      const graceMs = Number.parseInt(services.get(name)?.stop_grace_period ?? '', 10) * 1000
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      child.kill('SIGTERM')
      const code = await ended
      clearTimeout(timer)
      return code
    },
    output: name => of(name).output.join(''),
    down,
  }
}

async function addressesFor(
  services: ReadonlyMap<string, Service>,
  stack: { readonly brokers: string; readonly registry: string },
): Promise<Addresses> {
  const addresses = new Addresses()
  for (const [name, { ports, command = [] }] of services) {
    if (name === 'kafka') continue
    for (const port of ports) addresses.set(name, Number(port.split(':').at(-1)), `127.0.0.1:${await freePort()}`)
    // Simulators listen at one port each, from the first one on.
    if (command[0] !== 'simulate') continue
    const first = Number(command[command.indexOf('--port') + 1])
    const count = (await findSimulators()).size
    const here = await freeRow(count)
    for (let i = 0; i < count; i++) addresses.set(name, first + i, `127.0.0.1:${here + i}`)
  }
  const inside = /PLAINTEXT:\/\/kafka:(\d+)/.exec(services.get('kafka')?.environment['KAFKA_ADVERTISED_LISTENERS'] ?? '')?.[1]
  addresses.set('kafka', Number(inside), stack.brokers)
  const registry = services.get('registry')?.ports[0]?.split(':').at(-1)
  addresses.set('registry', Number(registry), new URL(stack.registry).host)
  return addresses
}

/** The first of so many ports in a row that are free, below those that systems give away by themselves. */
async function freeRow(count: number): Promise<number> {
  for (;;) {
    const first = 20_000 + Math.floor(Math.random() * 10_000)
    const free = await Promise.all(Array.from({ length: count }, (_, i) => isFree(first + i)))
    if (free.every(Boolean)) return first
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

interface Place {
  readonly repository: string
  readonly image: Image
  readonly addresses: Addresses
  /** For what is mounted. */
  readonly folder: string
  readonly prefix: string
}

interface Container {
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly cwd: string
  isHealthy(): Promise<boolean>
}

function containerOf(name: string, service: Service, place: Place): Container {
  const mounts = service.volumes.map(volume => mount(name, volume, place))
  const here = (text: string) => place.addresses.rewrite(text, name)
  const environment = Object.fromEntries(Object.entries(service.environment).map(([key, value]) => [key, here(value)]))
  const inside = (path: string) => {
    const found = mounts.find(({ target }) => path === target || path.startsWith(`${target}/`))
    return found === undefined ? null : found.source + path.slice(found.target.length)
  }
  const check = service.healthcheck?.test.slice(1)
  if (service.build === undefined) {
    const argv = [...programFor(service, place.addresses), ...(service.command ?? []).map(word => onPath(word, inside))]
    // The address is what the check of these images asks; their shells are not here.
    const address = here(check?.at(-1) ?? '')
    return {
      argv,
      environment: { ...environment, PATH: process.env['PATH'] ?? '' },
      cwd: place.folder,
      isHealthy: () => isOk(address),
    }
  }
  const { image } = place
  const inImage = (path: string) => inside(path) ?? pathIn(image, path)
  const words = (all: readonly string[]) => all.map(word => onPath(here(word), inImage))
  const command = service.command ?? image.command
  const container = {
    argv: words([
      ...image.entrypoint,
      ...command.map((word, i) => ownAddress(word, command[i - 1], name, service, place.addresses)),
    ]),
    environment: { ...image.environment, ...environment },
    cwd: pathIn(image, '.'),
  }
  const healthcheck = words(check ?? image.healthcheck)
  return { ...container, isHealthy: () => endsWell(healthcheck, container) }
}

/** A word that is a path, or an option whose value is one, as it is here. */
function onPath(word: string, inside: (path: string) => string | null): string {
  const [, option = '', path] = /^(--[\w.-]+=)?(\/[\w./-]+)$/.exec(word) ?? []
  return path === undefined ? word : option + (inside(path) ?? path)
}

/** The host name and the port that a service is told to listen at. */
function ownAddress(word: string, before: string | undefined, name: string, service: Service, addresses: Addresses): string {
  if (before === '--host' && word === service.hostname) return '127.0.0.1'
  return before === '--port' ? String(addresses.portOf(name, Number(word))) : word
}

/** Programs of Debian in the part of images that are not ours. */
function programFor({ image }: Service, addresses: Addresses): string[] {
  const listen = (name: string, port: number) => `--web.listen-address=${addresses.of(name, port)}`
  if (image.startsWith('prom/prometheus:')) return ['prometheus', listen('prometheus', 9090)]
  if (image.startsWith('prom/alertmanager:'))
    return [programOf('alertmanager'), listen('alertmanager', 9093), '--cluster.listen-address=']
  throw new Error(`${image}: no program of this machine does what it does`)
}

/** What is mounted, with addresses of this machine: files are copied, named volumes are empty folders. */
function mount(
  name: string,
  volume: string,
  { repository, folder, addresses, prefix }: Place,
): { source: string; target: string } {
  const [from = '', target = ''] = volume.split(':')
  const source = join(folder, name, target)
  if (!from.startsWith('./')) {
    mkdirSync(source, { recursive: true })
    return { source, target }
  }
  mkdirSync(dirname(source), { recursive: true })
  cpSync(join(repository, from), source, { recursive: true })
  const files = statSync(source).isDirectory()
    ? readdirSync(source, { recursive: true, encoding: 'utf8' }).map(file => join(source, file))
    : [source]
  for (const file of files.filter(each => /^\.ya?ml$/.test(extname(each)))) {
    const text = addresses.rewrite(readFileSync(file, 'utf8'), name)
    writeFileSync(file, name === 'colloquy' ? ownConfig(text, addresses, prefix) : text)
  }
  return { source, target }
}

/** A config file of Colloquy with its port here. */
function ownConfig(text: string, addresses: Addresses, prefix: string): string {
  const config = parseDocument(text)
  config.setIn(['http', 'port'], addresses.portOf('colloquy', Number(config.getIn(['http', 'port']))))
  config.setIn(['topics', 'prefix'], prefix)
  return String(config)
}

function startProcess({ argv: [program = '', ...args], environment, cwd }: Container): Started {
  const child = spawn(program, args, { cwd, env: { ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => output.push(part))
  const ended = new Promise<number | null>(resolve => {
    child.once('error', error => {
      output.push(String(error))
      resolve(null)
    })
    child.once('close', code => resolve(code))
  })
  return { child, ended, output }
}

function endsWell([program = '', ...args]: readonly string[], container: Omit<Container, 'isHealthy'>): Promise<boolean> {
  return new Promise(resolve => {
    execFile(program, args, { cwd: container.cwd, env: container.environment, timeout: 30_000 }, error => resolve(error === null))
  })
}

const isOk = (address: string) =>
  fetch(address).then(
    answer => answer.ok,
    () => false,
  )
