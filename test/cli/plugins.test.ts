import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { pluginsCommand } from '../../src/cli/plugins.ts'
import { readSetup } from '../../src/cli/setup.ts'
import { createLog } from '../../src/log.ts'

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
  expect(faults[3]).toContain('its default export is no connector')
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

test('the command with a file that has a wrong entry is refused', async () => {
  const { file, io, lines } = folderWith({ plugins: ['./none.mjs'] }, {})
  expect(await pluginsCommand(['--config', file], io)).toBe(2)
  expect(lines.map(line => JSON.parse(line) as object)).toMatchObject([{ code: 'CFG_INVALID', path: 'plugins.0' }])
})
