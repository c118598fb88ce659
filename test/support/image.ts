/**
 * Builds the image of the Dockerfile without Docker: each stage is a folder, each instruction does in it what Docker would do, as far as one can without a container.
 * Users, ports and layers have no effect here. An instruction, option or program that is not known here is an error, never left out.
 */
import { spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, matchesGlob, posix, relative, sep } from 'node:path'
import { npmEnvironment, pathOutside } from './product.ts'

export interface Instruction {
  readonly name: string
  readonly text: string
}

export interface Image {
  /** What is `/` in the image. */
  readonly root: string
  readonly environment: Readonly<Record<string, string>>
  readonly workdir: string
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly healthcheck: readonly string[]
  /** Removes every stage. */
  remove(): void
}

/** Instructions of a Dockerfile: without comments, and with continued lines as one. */
export function instructionsOf(dockerfile: string): Instruction[] {
  return dockerfile
    .split('\n')
    .filter(line => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const [, name = '', text = ''] = /^\s*(\S+)\s*(.*?)\s*$/.exec(line) ?? []
      return { name: name.toUpperCase(), text }
    })
}

/** Whether a path of the context, from its root, is kept from the image: the last pattern that matches it or a folder above it decides. */
export function ignoredBy(dockerignore: string): (path: string) => boolean {
  const patterns = dockerignore
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => ({
      keeps: line.startsWith('!'),
      glob: line
        .replace(/^!/, '')
        .replace(/^\.?\//, '')
        .replace(/\/$/, ''),
    }))
  return path => {
    const names = path.split('/')
    const above = names.map((_, i) => names.slice(0, i + 1).join('/'))
    const last = patterns.findLast(({ glob }) => above.some(each => matchesGlob(each, glob)))
    return last !== undefined && !last.keeps
  }
}

interface Stage {
  readonly name: string | null
  readonly root: string
  environment: Record<string, string>
  workdir: string
  entrypoint: readonly string[]
  command: readonly string[]
  healthcheck: readonly string[]
}

/**
 * @param context Folder with the Dockerfile and its .dockerignore.
 * @throws where Docker would fail, and at whatever is not known here
 */
export async function buildImage(context: string): Promise<Image> {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-image-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    const stages: Stage[] = []
    const isIgnored = ignoredBy(readFileSync(join(context, '.dockerignore'), 'utf8'))
    for (const { name, text } of instructionsOf(readFileSync(join(context, 'Dockerfile'), 'utf8'))) {
      if (name === 'FROM') stages.push(newStage(text, join(folder, String(stages.length))))
      else {
        const stage = stages.at(-1)
        if (stage === undefined) throw new Error(`${name} before FROM`)
        const step = STEPS[name]
        if (step === undefined) throw new Error(`instruction ${name} is not known: ${text}`)
        await step(text, stage, { context, isIgnored, stages })
      }
    }
    const last = stages.at(-1)
    if (last === undefined) throw new Error('the Dockerfile has no FROM')
    return { ...last, environment: { ...last.environment, PATH: pathOutside() }, remove }
  } catch (error) {
    remove()
    throw error
  }
}

/** A path of the image on this machine. */
export function pathIn(image: Pick<Image, 'root' | 'workdir'>, path: string): string {
  return join(image.root, posix.resolve(image.workdir, path))
}

/** Node of the base image is the one that runs the tests, so it must be of the same version. */
function newStage(text: string, root: string): Stage {
  const [, version, name = null] = /^node:(\d+)\.\d+\.\d+-slim(?: AS (\w+))?$/i.exec(text) ?? []
  if (version !== process.versions.node.split('.')[0]) throw new Error(`FROM ${text}: here runs Node ${process.versions.node}`)
  mkdirSync(root)
  return { name, root, environment: {}, workdir: '/', entrypoint: [], command: [], healthcheck: [] }
}

interface Build {
  readonly context: string
  readonly isIgnored: (path: string) => boolean
  readonly stages: readonly Stage[]
}

const STEPS: Readonly<Record<string, (text: string, stage: Stage, build: Build) => void | Promise<void>>> = {
  WORKDIR: (text, stage) => {
    stage.workdir = posix.resolve(stage.workdir, text)
    mkdirSync(join(stage.root, stage.workdir), { recursive: true })
  },
  ENV: (text, stage) => {
    const [, name, value] = /^(\w+)=([^\s"'$]*)$/.exec(text) ?? []
    if (name === undefined || value === undefined) throw new Error(`ENV ${text}: one NAME=value is known`)
    stage.environment = { ...stage.environment, [name]: value }
  },
  COPY: copy,
  RUN: run,
  ENTRYPOINT: (text, stage) => {
    stage.entrypoint = words(text)
  },
  CMD: (text, stage) => {
    stage.command = words(text)
  },
  HEALTHCHECK: (text, stage) => {
    const [, check] = /^(?:--(?:interval|timeout|start-period|start-interval|retries)=\S+\s+)*CMD\s+(\[.*\])$/.exec(text) ?? []
    if (check === undefined) throw new Error(`HEALTHCHECK ${text}: options and CMD with a list are known`)
    stage.healthcheck = words(check)
  },
  USER: () => {},
  EXPOSE: () => {},
}

function words(text: string): string[] {
  if (!text.startsWith('[')) throw new Error(`${text}: a list of words is known`)
  return JSON.parse(text) as string[]
}

function copy(text: string, stage: Stage, { context, isIgnored, stages }: Build): void {
  const [, from, paths = ''] = /^(?:--from=(\w+)\s+)?((?!-)[^"[\]*?$]+)$/.exec(text) ?? []
  const named = paths.split(/\s+/)
  const to = named.pop()
  if (to === undefined || named.length === 0)
    throw new Error(`COPY ${text}: --from, paths without wildcards and a target are known`)
  const source = from === undefined ? null : stages.find(({ name }) => name === from)
  if (source === undefined) throw new Error(`COPY ${text}: there is no stage ${from}`)
  const root = source?.root ?? context
  for (const path of named) {
    const there = join(root, posix.resolve('/', path))
    const isKept = (file: string) => source !== null || statSync(file).isDirectory() || !isIgnored(fromContext(context, file))
    if (!existsSync(there) || !isKept(there)) throw new Error(`COPY ${text}: ${path} is missing, or .dockerignore keeps it out`)
    const isFolder = statSync(there).isDirectory()
    const target = pathIn(stage, to)
    const into = isFolder || !/(^|\/)\.?$/.test(to) ? target : join(target, basename(path))
    cpSync(there, into, { recursive: true, verbatimSymlinks: true, filter: isKept })
    if (isFolder && filesBelow(into) === 0) throw new Error(`COPY ${text}: .dockerignore keeps all of ${path} out`)
  }
}

const fromContext = (context: string, file: string) => relative(context, file).split(sep).join('/')

const filesBelow = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter(each => !each.isDirectory()).length

/** What RUN may call: nothing that would change the machine outside the stage's folder. */
const PROGRAMS = new Set(['npm', 'rm'])

async function run(text: string, stage: Stage): Promise<void> {
  const calls = text.split(/&&|\|\||[;|&]/).map(call => call.trim().split(/\s+/)[0] ?? '')
  const unknown = calls.find(program => !PROGRAMS.has(program))
  if (unknown !== undefined || /[`$~*'"<>]|\.\./.test(text))
    throw new Error(`RUN ${text}: not known here: ${unknown ?? 'its quotes or paths'}`)
  const rewritten = text.replaceAll(/(?<=\s)\/(?=\S)/g, `${stage.root}/`)
  const child = spawn('sh', ['-c', rewritten], {
    cwd: join(stage.root, stage.workdir),
    env: { ...npmEnvironment(), ...stage.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part: string) => (output += part))
  const code = await new Promise(resolve => child.once('close', resolve))
  if (code !== 0) throw new Error(`RUN ${text} ended with ${String(code)}:\n${output}`)
}
