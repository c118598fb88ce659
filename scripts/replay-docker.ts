/**
 * `npm run replay:docker [-- --into DIR]`: what `docker compose up` would build and start of ours, without Docker. Builds the image of the Dockerfile in a folder
 * (DIR, or a temporary one that is removed), asks its entry point, starts the simulators with the command of docker-compose.yml, and runs `check` over the config
 * that compose mounts. Prints a line a step, and exits with 1 at the first one that fails.
 *
 * Kafka and the registry are not started, so `check` must find both away, and nothing else. test/long/compose.it.test.ts runs the image with both.
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import {
  buildImage,
  type Command,
  commandOf,
  composeServices,
  configHere,
  type Image,
  mountedAt,
  type Printed,
  type Service,
  simulateHere,
} from './docker-image.ts'

const { into } = parseArgs({ options: { into: { type: 'string' } } }).values
const folder = into ?? mkdtempSync(join(tmpdir(), 'colloquy-image-'))
let passed = 0

function step(name: string, isRight: boolean, detail = ''): void {
  process.stdout.write(`${isRight ? 'ok    ' : 'FAILED'}  ${name}${isRight || detail === '' ? '' : `\n${detail}`}\n`)
  if (!isRight) throw new Error(name)
  passed += 1
}

function ask({ file, args, cwd, env }: Command) {
  return spawnSync(file, args, { cwd, env, encoding: 'utf8', timeout: 240_000 })
}

function askEntrypoint(image: Image): void {
  const entrypoint = (...words: string[]) => ask(commandOf(image, [...image.entrypoint, ...words]))
  const { version } = JSON.parse(readFileSync(join(image.folder, image.workdir, 'package.json'), 'utf8')) as { version: string }
  const said = entrypoint('--version')
  step('the entry point answers --version', said.stdout.trim() === version, said.stdout + said.stderr)
  const help = entrypoint('run', '--help')
  step(
    'the entry point answers run --help',
    help.status === 0 && help.stdout.includes('--config <FILE>'),
    help.stdout + help.stderr,
  )
  const plugins = entrypoint('plugins')
  step(
    'the image has the connectors',
    plugins.status === 0 && plugins.stdout.includes('botmaker'),
    plugins.stdout + plugins.stderr,
  )
  rmSync(join(folder, 'replayed-vendor'), { recursive: true, force: true })
  const written = entrypoint('new', 'replayed-vendor', '--into', folder)
  step('the image has the scaffold', written.status === 0, written.stdout + written.stderr)
}

/** Starts the simulators as compose does, on loopback and free ports, and returns by connector what they printed. */
async function startSimulators(image: Image, service: Service) {
  const { file, args, cwd, env } = commandOf(image, [...image.entrypoint, ...simulateHere(service)])
  const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'inherit'] })
  const line = await new Promise<string | null>(done => {
    createInterface({ input: child.stdout }).once('line', done)
    child.once('exit', () => done(null))
  })
  step('the command of the service simulators starts them', line !== null)
  const printed = JSON.parse(line ?? '{}') as Printed
  const stop = () =>
    new Promise<void>(done => {
      child.once('exit', () => done())
      child.kill('SIGTERM')
    })
  return { printed, stop }
}

/** `check` over the config that the service colloquy has, with the simulators' addresses of now and nothing where Kafka and the registry are. */
function check(image: Image, services: { colloquy: Service; simulators: Service }, printed: Printed): void {
  const [, option = '', path = ''] = image.cmd
  const config = join(folder, 'config.yaml')
  const text = readFileSync(mountedAt(services.colloquy, path), 'utf8')
  const nowhere = configHere(text, services.simulators, printed).replaceAll(/\b(kafka|registry):\d+/g, '127.0.0.1:9')
  writeFileSync(config, nowhere)
  const words = [...image.entrypoint, 'check', option, path]
  const ended = ask(commandOf(image, words, { env: services.colloquy.environment ?? {}, mounts: { [path]: config } }))
  const findings = ended.stdout
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as { finding: string; what: string })
  const faults = findings.filter(({ finding }) => finding === 'fault').map(({ what }) => what)
  const isRight = faults.join() === 'kafka,registry' && findings.length > 10
  step('check of the config that compose mounts finds only Kafka and the registry away', isRight, ended.stdout + ended.stderr)
}

try {
  const image = buildImage({
    into: folder,
    onStep: words => {
      process.stdout.write(`build   ${words}\n`)
    },
  })
  passed += 1
  askEntrypoint(image)
  const { colloquy, simulators } = composeServices()
  if (colloquy === undefined || simulators === undefined) throw new Error('compose has no colloquy or no simulators')
  step('both services run this image', colloquy.build === '.' && simulators.build === '.' && colloquy.image === simulators.image)
  const { printed, stop } = await startSimulators(image, simulators)
  try {
    check(image, { colloquy, simulators }, printed)
  } finally {
    await stop()
  }
  process.stdout.write(`${passed} passed, 0 failed\n`)
} catch (error) {
  process.stdout.write(`${String(error)}\n${passed} passed, 1 failed\n`)
  process.exitCode = 1
} finally {
  if (into === undefined) rmSync(folder, { recursive: true, force: true })
}
