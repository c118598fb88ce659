/** Reads docker-compose.yml as `docker compose up` would, and gives its services addresses on this machine. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'

/** Keys that the file may use. Others are refused: what is not known here would not be replayed. */
const Service = z.strictObject({
  image: z.string(),
  build: z.literal('.').optional(),
  user: z.string().optional(),
  hostname: z.string().optional(),
  profiles: z.array(z.string()).default([]),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  env_file: z.array(z.strictObject({ path: z.string(), required: z.literal(false) })).default([]),
  ports: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  healthcheck: z
    .strictObject({
      test: z.tuple([z.literal('CMD')], z.string()),
      interval: z.string(),
      timeout: z.string(),
      retries: z.number().optional(),
      start_period: z.string().optional(),
      start_interval: z.string().optional(),
    })
    .optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.literal('service_healthy') })).default({}),
  stop_grace_period: z
    .string()
    .regex(/^\d+s$/)
    .default('10s'),
  restart: z.literal('unless-stopped').optional(),
})
const Compose = z.strictObject({
  name: z.string(),
  services: z.record(z.string(), Service),
  volumes: z.record(z.string(), z.null()),
})

export type Service = z.infer<typeof Service>

/**
 * Services that start in this folder where the shell sets nothing of its own, by name.
 *
 * @throws where the file has a key or a form of a value that is not known here
 */
export function readCompose(folder: string): ReadonlyMap<string, Service> {
  const settings = Object.fromEntries(
    readFileSync(join(folder, '.env'), 'utf8')
      .split('\n')
      .filter(line => /^\w/.test(line))
      .map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const file = Compose.parse(interpolated(parse(readFileSync(join(folder, 'docker-compose.yml'), 'utf8')), settings))
  const profiles = (settings['COMPOSE_PROFILES'] ?? '').split(',')
  return new Map(
    Object.entries(file.services).filter(
      ([, service]) => service.profiles.length === 0 || service.profiles.some(profile => profiles.includes(profile)),
    ),
  )
}

function interpolated(value: unknown, settings: Readonly<Record<string, string>>): unknown {
  if (Array.isArray(value)) return value.map(each => interpolated(each, settings))
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, interpolated(each, settings)]))
  if (typeof value !== 'string') return value
  return value.replaceAll(/\$\{(\w+):-([^}]*)\}|\$/g, (form, name: string | undefined, otherwise: string) => {
    if (name === undefined) throw new Error(`${value}: ${form} in this form is not known`)
    return settings[name] === undefined || settings[name] === '' ? otherwise : settings[name]
  })
}

/** Services in an order in which each comes after those that it waits for. */
export function inOrder(services: ReadonlyMap<string, Service>): string[] {
  const ordered: string[] = []
  const add = (name: string, waiting: readonly string[]) => {
    if (ordered.includes(name)) return
    const service = services.get(name)
    if (service === undefined || waiting.includes(name))
      throw new Error(`${waiting.at(-1)} waits for ${name}, which does not start`)
    for (const needed of Object.keys(service.depends_on)) add(needed, [...waiting, name])
    ordered.push(name)
  }
  for (const name of services.keys()) add(name, [])
  return ordered
}

/** Where `service:port` is on this machine. */
export class Addresses {
  readonly #known = new Map<string, string>()

  /** @param here `host:port` */
  set(service: string, port: number, here: string): void {
    this.#known.set(`${service}:${port}`, here)
  }

  /** @throws where nothing listens at this port of the service */
  of(service: string, port: number): string {
    const here = this.#known.get(`${service}:${port}`)
    if (here === undefined) throw new Error(`nothing listens at ${service}:${port}`)
    return here
  }

  portOf(service: string, port: number): number {
    return Number(this.of(service, port).split(':')[1])
  }

  /** A text of this service with each address of a service, and each of its own, as it is here. */
  rewrite(text: string, service: string): string {
    const names = new Set([...this.#known.keys()].map(key => key.split(':')[0] ?? ''))
    const address = new RegExp(`(?<![\\w.-])(${[...names, 'localhost', '127\\.0\\.0\\.1'].join('|')}):(\\d+)`, 'g')
    return text.replaceAll(address, (_, name: string, port: string) => this.of(names.has(name) ? name : service, Number(port)))
  }
}
