/**
 * What `docker build` makes of our Dockerfile, as folders, without Docker: each stage is a folder, COPY copies with .dockerignore in force, RUN runs. It knows the
 * instructions that the Dockerfile has; another one is refused, so that nothing is passed over. Base images are not there: Node is the one that runs this, and USER
 * is not changed.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { basename, delimiter, dirname, join, posix, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

export interface Image {
  /** The folder that is `/` in the image. */
  readonly folder: string
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  /** The command of HEALTHCHECK. */
  readonly healthcheck: readonly string[]
}

interface Instruction {
  readonly name: string
  readonly words: string
}

export interface BuildOptions {
  readonly into: string
  /** Whether it was built there before, so that nothing is copied and run. */
  readonly isBuilt?: boolean
  readonly onStep?: (step: string) => void
}

/** Builds the last stage. Those before it are folders beside it. */
export function buildImage({ into, isBuilt = false, onStep = () => {} }: BuildOptions): Image {
  const stages = new Map<string, string>()
  let image: Image | null = null
  for (const { name, words } of instructionsOf(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))) {
    onStep(`${name} ${words}`)
    if (name === 'FROM') {
      const [, base = '', stage = String(stages.size)] = /^(\S+)(?: AS (\S+))?$/.exec(words) ?? []
      if (!base.startsWith('node:')) throw new Error(`FROM ${base}: only Node's image is known here`)
      const folder = join(into, stage)
      mkdirSync(folder, { recursive: true })
      stages.set(stage, folder)
      image = { folder, workdir: '/', env: {}, entrypoint: [], cmd: [], healthcheck: [] }
    } else if (image === null) throw new Error(`${name} comes before FROM`)
    else if (!isBuilt || (name !== 'COPY' && name !== 'RUN')) image = after(image, { name, words }, stages)
  }
  if (image === null) throw new Error('the Dockerfile has no stage')
  return image
}

function after(image: Image, { name, words }: Instruction, stages: ReadonlyMap<string, string>): Image {
  switch (name) {
    case 'WORKDIR': {
      const workdir = posix.resolve(image.workdir, words)
      mkdirSync(join(image.folder, workdir), { recursive: true })
      return { ...image, workdir }
    }
    case 'ENV': {
      const [, key = '', value = ''] = /^(\w+)=(.*)$/.exec(words) ?? []
      return { ...image, env: { ...image.env, [key]: value } }
    }
    case 'COPY':
      copy(image, words, stages)
      return image
    case 'RUN':
      runIn(image, words)
      return image
    case 'ENTRYPOINT':
      return { ...image, entrypoint: JSON.parse(words) as string[] }
    case 'CMD':
      return { ...image, cmd: JSON.parse(words) as string[] }
    case 'HEALTHCHECK':
      return { ...image, healthcheck: JSON.parse(words.slice(words.indexOf('['))) as string[] }
    case 'USER':
    case 'EXPOSE':
      return image
    default:
      throw new Error(`${name} is not known here: write it into scripts/docker-image.ts`)
  }
}

function instructionsOf(dockerfile: string): Instruction[] {
  return dockerfile
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .flatMap(line => {
      const [, name, words = ''] = /^([A-Z]+)\s+(.*)$/.exec(line.trim()) ?? []
      return name === undefined ? [] : [{ name, words: words.trim() }]
    })
}

function copy(image: Image, words: string, stages: ReadonlyMap<string, string>): void {
  const parts = words.split(/\s+/)
  const [, stage] = /^--from=(.*)$/.exec(parts[0] ?? '') ?? []
  const from = stage === undefined ? ROOT : stages.get(stage)
  if (from === undefined) throw new Error(`COPY ${words}: there is no stage ${stage}`)
  const sources = parts.slice(stage === undefined ? 0 : 1, -1)
  const target = parts.at(-1) ?? ''
  const isFolder = target.endsWith('/') || sources.length > 1
  // Only what comes from outside is filtered: what a stage has made is copied whole.
  const isSent = stage === undefined ? sentToDocker() : () => true
  for (const source of sources) {
    const at = join(from, source)
    if (!existsSync(at) || !isSent(relative(from, at)))
      throw new Error(`COPY ${source}: it is not there, or .dockerignore leaves it out`)
    const to = join(image.folder, posix.resolve(image.workdir, target))
    const isTree = statSync(at).isDirectory()
    cpSync(at, isFolder && !isTree ? join(to, basename(source)) : to, {
      recursive: true,
      verbatimSymlinks: true,
      filter: file => isSent(relative(from, file)),
    })
  }
}

/** Whether a path of the checkout is part of what Docker is sent: the last line of .dockerignore that fits it or a folder above it decides. */
function sentToDocker(): (path: string) => boolean {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n').filter(Boolean)
  return path =>
    lines.reduce((isSent, line) => {
      const pattern = line.replace(/^!/, '')
      const fits = pattern === '*' || path === pattern || path.startsWith(`${pattern}/`)
      return fits ? line.startsWith('!') : isSent
    }, true)
}

function runIn(image: Image, command: string): void {
  const ended = spawnSync('sh', ['-c', command], {
    cwd: join(image.folder, image.workdir),
    env: { ...outside(), ...image.env },
    encoding: 'utf8',
  })
  if (ended.status !== 0) throw new Error(`RUN ${command} ended with ${ended.status}\n${ended.stdout}${ended.stderr}`)
}

/** Of this environment what a build needs: the way to programs, npm's own settings. Nothing of the checkout or of a test runner. */
function outside(): Record<string, string> {
  const path = (process.env['PATH'] ?? '').split(delimiter).filter(folder => !folder.endsWith(join('node_modules', '.bin')))
  const kept = ['HOME', 'TMPDIR', 'http_proxy', 'https_proxy', 'no_proxy', 'NODE_EXTRA_CA_CERTS', 'NODE_COMPILE_CACHE']
  return {
    ...Object.fromEntries(kept.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']]))),
    PATH: [dirname(process.execPath), ...path].join(delimiter),
    npm_config_prefer_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  }
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** A command as the image runs it. `mounts`: what is at these paths of the image. */
export function commandOf(
  image: Image,
  words: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly mounts?: Readonly<Record<string, string>> } = {},
): Command {
  const inside = (word: string) =>
    options.mounts?.[word] ?? (word.startsWith(`${image.workdir}/`) ? join(image.folder, word) : word)
  const [file = '', ...args] = words.map(inside)
  return {
    file: file === 'node' ? process.execPath : file,
    args,
    cwd: join(image.folder, image.workdir),
    env: { ...outside(), ...image.env, ...options.env },
  }
}

export interface Service {
  readonly image: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly hostname?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly volumes?: readonly string[]
  readonly healthcheck?: { readonly test: readonly string[] }
}

/** The services of docker-compose.yml, with the variables of .env put in. */
export function composeServices(): Readonly<Record<string, Service>> {
  const settings = Object.fromEntries(
    [...readFileSync(join(ROOT, '.env'), 'utf8').matchAll(/^(\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  )
  const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8').replaceAll(
    /\$\{(\w+):-([^}]*)\}/g,
    (_, name: string, otherwise: string) => settings[name] || otherwise,
  )
  return (parse(text) as { services: Record<string, Service> }).services
}

/** What `simulate` prints: by connector, what its config must say. */
export type Printed = Readonly<Record<string, Readonly<Record<string, string>>>>

/** How to start the simulators on loopback, at free ports: the command of their service with another place. */
export function simulateHere({ command = [] }: Service): string[] {
  const here: Readonly<Record<string, string>> = { '--host': '127.0.0.1', '--port': '0' }
  return command.map((word, place) => here[command[place - 1] ?? ''] ?? word)
}

/**
 * A config for compose with the simulators at the addresses of now.
 *
 * @throws where it lacks a key that a simulator printed: the file and the simulators are of different commits
 */
export function configHere(text: string, { command = [] }: Service, printed: Printed): string {
  const firstPort = Number(command[command.indexOf('--port') + 1])
  let here = text
  for (const [place, [vendor, keys]] of Object.entries(printed).entries()) {
    const { origin } = new URL(keys['base.url'] ?? '')
    const inCompose = `http://simulators:${firstPort + place}`
    for (const [key, value] of Object.entries(keys)) {
      const line = `    ${key}: ${value.replaceAll(origin, inCompose)}\n`
      if (!text.includes(line)) throw new Error(`the config has not what the simulator of ${vendor} printed: ${line.trim()}`)
    }
    here = here.replaceAll(inCompose, origin)
  }
  return here
}

/** The file of the checkout that a service has at this path. */
export function mountedAt(service: Service, path: string): string {
  const [from] = (service.volumes ?? []).map(volume => volume.split(':')).find(([, to]) => to === path) ?? []
  if (from === undefined) throw new Error(`nothing is mounted at ${path}`)
  return resolve(ROOT, from)
}
