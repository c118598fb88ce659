import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { pluginsCommand } from '../../src/cli/plugins.ts'
import { readSetup } from '../../src/cli/setup.ts'
import { createLog } from '../../src/log.ts'
import { run } from '../support/product.ts'

const zod = import.meta.resolve('zod')
const plugin = (id: string) => `
  import { z } from ${JSON.stringify(zod)}
  export default {
    manifest: { id: ${JSON.stringify(id)}, title: 'T', apiVersion: '1', docs: 'https://docs.example', quota: {}, pollIntervalMs: 1000, sessionStream: 'rows' },
    config: z.strictObject({ region: z.string() }),
    http: () => ({ baseUrl: 'https://api.example' }),
    streams: { rows: { window: { longestMs: Infinity, lagMs: 0, lookbackMs: 0, durableResume: false }, row: z.unknown(), async * read () {}, identify: () => '1', normalise: () => [] } },
  }`

function folderWith(config: object, modules: Record<string, string>) {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-plugins-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  for (const [name, text] of Object.entries(modules)) writeFileSync(join(folder, name), text)
  const file = join(folder, 'config.yaml')
  writeFileSync(file, stringify({ kafka: { brokers: ['a:1'] }, registry: { url: 'http://r' }, ...config }))
  const lines: string[] = []
  const stdout: string[] = []
  const log = createLog('info', line => lines.push(line))
  const io = { stdout: (line: string) => void stdout.push(line), log, signal: new AbortController().signal, env: {}, entry: '' }
  return { file, io, lines, stdout }
}

const faultsOf = async (config: object, modules: Record<string, string>) => {
  const { file, io } = folderWith(config, modules)
  const read = await readSetup(file, io)
  return read.ok ? [] : read.faults.map(({ path, message }) => `${path}: ${message}`)
}

test('a connector of the list `plugins` can be named by its own id, and its config is checked', async () => {
  const connectors = { acme: { 'connector.class': 'acme-chat', region: 'eu' } }
  const { file, io } = folderWith({ plugins: ['./acme.mjs'], connectors }, { 'acme.mjs': plugin('acme-chat') })
  const read = await readSetup(file, io)
  expect(read.ok && read.setup.connectors.map(({ connector }) => connector.manifest.id)).toEqual(['acme-chat'])

  expect(await faultsOf({ connectors }, { 'acme.mjs': plugin('acme-chat') }), 'without the list it is unknown').toEqual([
    expect.stringMatching(/^connectors\.acme\.connector\.class: no connector has this id/),
  ])
  const wrong = { plugins: ['./acme.mjs'], connectors: { acme: { 'connector.class': 'acme-chat', regoin: 'eu' } } }
  expect(await faultsOf(wrong, { 'acme.mjs': plugin('acme-chat') })).toEqual([
    'connectors.acme.region: is required',
    'connectors.acme.regoin: is not a key of acme-chat; did you mean region?',
  ])
})

test('an entry that cannot be loaded, is no connector, or has an id that is taken, is named by its place', async () => {
  const faults = await faultsOf(
    { plugins: ['./acme.mjs', './none.mjs', './twin.mjs', './broken.mjs', './empty.mjs', './like-ours.mjs', 'no-such-package'] },
    {
      'acme.mjs': plugin('acme-chat'),
      'twin.mjs': plugin('acme-chat'),
      'broken.mjs': 'throw new Error("oh")',
      'empty.mjs': '',
      'like-ours.mjs': plugin('botmaker'),
    },
  )
  expect(faults.map(fault => fault.slice(0, 9))).toEqual([1, 2, 3, 4, 5, 6].map(index => `plugins.${index}`))
  expect(faults[0]).toContain('no connector has this id')
  expect(faults[1]).toContain('that of another plugin')
  expect(faults[2]).toContain('cannot be loaded: oh')
  expect(faults[3]).toContain('its default export is not a connector')
  expect(faults[4]).toContain('its id botmaker is built in')
})

test('the command lists them with a config file, and shows one', async () => {
  const { file, io, stdout } = folderWith({ plugins: ['./acme.mjs'] }, { 'acme.mjs': plugin('acme-chat') })
  expect(await pluginsCommand(['--config', file], io)).toBe(0)
  expect(stdout.map(line => (JSON.parse(line) as { id: string }).id)).toEqual(expect.arrayContaining(['botmaker', 'acme-chat']))
  stdout.length = 0
  expect(await pluginsCommand(['acme-chat', '--config', file], io)).toBe(0)
  expect(JSON.parse(stdout.join(''))).toMatchObject({
    manifest: { id: 'acme-chat' },
    config: { required: ['connector.class', 'region'] },
  })
})

/** A connector as a person writes it, with what it needs from us by name. */
const WRITTEN = `
  import { z } from 'zod'
  import { defineConnector } from 'colloquy'
  export default defineConnector({
    manifest: { id: 'acme-chat', title: 'T', apiVersion: '1', docs: 'https://docs.example', quota: {}, pollIntervalMs: 1000, sessionStream: 'rows' },
    config: z.strictObject({ region: z.string().describe('Where') }),
    http: () => ({ baseUrl: 'https://api.example' }),
    streams: { rows: { window: { longestMs: Infinity, lagMs: 0, lookbackMs: 0, durableResume: false }, row: z.unknown(), async * read () {}, identify: () => '1', normalise: () => [] } },
  })`

const asCommonJs = (text: string) =>
  text.replace(/import (.*) from (.*)/g, 'const $1 = require($2)').replace('export default', 'module.exports =')

/** Started as a user would, since here vitest loads modules. */
async function loaded(files: Readonly<Record<string, string>>, className: string) {
  const { file } = folderWith({}, files)
  const ended = await run(['plugins', className, '--config', file])
  return { ...ended, faults: ended.log.filter(line => line.code === 'PLUGIN_INVALID').map(({ msg }) => msg) }
}

describe('a folder anywhere, without colloquy and zod installed in it', () => {
  test.each<[string, string, Record<string, string>]>([
    ['no package.json, TypeScript', './acme.ts', { 'acme.ts': WRITTEN.replace('() => []', '(): never[] => []') }],
    ['no package.json, JavaScript', './acme.js', { 'acme.js': WRITTEN }],
    ['a package.json without a type', './acme.ts', { 'acme.ts': WRITTEN, 'package.json': '{"name":"acme"}' }],
    ['type commonjs, and a name that says module', './acme.mts', { 'acme.mts': WRITTEN, 'package.json': '{"type":"commonjs"}' }],
    ['type commonjs, and CommonJS', './acme.js', { 'acme.js': asCommonJs(WRITTEN), 'package.json': '{"type":"commonjs"}' }],
    [
      'compiled to CommonJS with a default export',
      './acme.cjs',
      { 'acme.cjs': asCommonJs(WRITTEN).replace('module.exports =', 'exports.__esModule = true; exports.default =') },
    ],
    ['type module', './acme.js', { 'acme.js': WRITTEN, 'package.json': '{"type":"module"}' }],
  ])('%s: works, and stderr has JSON lines only', async (_, className, files) => {
    const { code, stdout, log } = await loaded(files, className)
    expect({ code, log }).toEqual({ code: 0, log: [] })
    expect(JSON.parse(stdout.join(''))).toMatchObject({
      manifest: { id: 'acme-chat' },
      config: { required: ['connector.class', 'region'] },
    })
  })

  test('an ES module that its package.json calls CommonJS is refused with what to write', async () => {
    const ended = await loaded({ 'acme.ts': WRITTEN, 'package.json': '{"type":"commonjs"}' }, './acme.ts')
    expect(ended.code).toBe(2)
    expect(ended.faults).toEqual([
      expect.stringMatching(
        /^\.\/acme\.ts: .*package\.json says "type": "commonjs".*write "type": "module" there, or end the file's name in \.mts/,
      ),
    ])
    expect(ended.output).not.toContain('    at ')
  })

  test('a package that is not there is refused with how to install it', async () => {
    const { faults } = await loaded({ 'acme.ts': `import 'acme-sdk'\n${WRITTEN}` }, './acme.ts')
    expect(faults).toEqual([
      expect.stringMatching(/Cannot find package 'acme-sdk'.*install it next to the connector: npm install acme-sdk \(/),
    ])
  })
})

test('the command with a file that has a wrong entry is refused', async () => {
  const { file, io, lines } = folderWith({ plugins: ['./none.mjs'] }, {})
  expect(await pluginsCommand(['--config', file], io)).toBe(2)
  expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([{ code: 'CFG_INVALID', path: 'plugins.0' }])
})
