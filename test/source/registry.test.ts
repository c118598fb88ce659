import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { FlowError } from '../../src/errors.ts'
import { builtInConnectors, builtInIds, checked, deprecationsOf, findConnector } from '../../src/source/registry.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

/** A throw-away folder with these files. */
function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
  return folder
}

const zod = import.meta.resolve('zod')
const source = (id: string, more = '') => `
  import { z } from ${JSON.stringify(zod)}
  globalThis.imported = [...(globalThis.imported ?? []), ${JSON.stringify(id)}]
  export default {
    manifest: { id: ${JSON.stringify(id)}, title: 'T', apiVersion: '1', docs: 'https://docs.example', quota: {}, pollIntervalMs: 1000, sessionStream: 'rows' },
    config: z.strictObject({}),
    http: () => ({ baseUrl: 'https://api.example' }),
    streams: { rows: { window: { longestMs: Infinity, lagMs: 0, lookbackMs: 0, durableResume: false }, row: z.unknown(), async * read () {}, identify: () => '1', normalise: () => [] } },
    ${more}
  }`

async function faultOf(run: () => unknown): Promise<{ code: string; hint: string }> {
  try {
    await run()
    return { code: 'none', hint: '' }
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { code: thrown.code, hint: String(thrown.details.hint) }
  }
}

describe('built-in connectors', () => {
  test('are the folders of connectors/ that have an index, each under its own id', async () => {
    const folder = new URL('../../connectors/', import.meta.url)
    const ids = readdirSync(folder).filter(name => existsSync(new URL(`${name}/index.ts`, folder)))
    expect(builtInIds()).toEqual(ids.toSorted())
    expect((await builtInConnectors()).map(({ manifest }) => manifest.id)).toEqual(builtInIds())
  })
})

describe('a connector of others', () => {
  test.each(['./mine.js', './folder', 'acme-colloquy', '@acme/colloquy'])(
    'is found as %s, seen from the config file',
    async className => {
      const folder = folderWith({
        'mine.js': source('by-path'),
        'folder/index.js': source('by-path'),
        'node_modules/acme-colloquy/package.json': '{"name":"acme-colloquy","type":"module","exports":"./lib.js"}',
        'node_modules/acme-colloquy/lib.js': source('by-package'),
        'node_modules/@acme/colloquy/package.json': '{"name":"@acme/colloquy","type":"module","main":"lib.js"}',
        'node_modules/@acme/colloquy/lib.js': source('by-package'),
        'package.json': '{"type":"module"}',
      })
      expect((await findConnector(className, folder)).manifest.id).toMatch(/^by-/)
    },
  )

  test('is imported only on demand', async () => {
    const folder = folderWith({ 'a.mjs': source('asked'), 'b.mjs': source('not-asked') })
    await findConnector('./a.mjs', folder)
    const { imported } = globalThis as unknown as { imported: string[] }
    expect(imported).toContain('asked')
    expect(imported).not.toContain('not-asked')
  })

  test.each(['nobody', './nothing.js', 'file:///etc/passwd', 'data:text/javascript,1', 'node:fs', ''])(
    'named %j is unknown, and the known ones are listed',
    async className => {
      const { code, hint } = await faultOf(() => findConnector(className, folderWith({})))
      expect(code).toBe('PLUGIN_UNKNOWN')
      for (const id of builtInIds()) expect(hint).toContain(id)
    },
  )

  test('that cannot be loaded says why', async () => {
    const folder = folderWith({ 'broken.mjs': 'import "./missing.mjs"', 'empty.mjs': 'export const a = 1' })
    expect(await faultOf(() => findConnector('./broken.mjs', folder))).toMatchObject({
      code: 'PLUGIN_INVALID',
      hint: expect.stringContaining('missing.mjs') as string,
    })
    expect(await faultOf(() => findConnector('./empty.mjs', folder))).toEqual({
      code: 'PLUGIN_INVALID',
      hint: 'its default export is not a connector',
    })
  })

  test('that breaks the contract gets every fault', async () => {
    const folder = folderWith({ 'good.mjs': source('good') })
    const good = await findConnector('./good.mjs', folder)
    const { z } = await import('zod')
    const bad = {
      ...good,
      manifest: { ...good.manifest, id: 'Acme Chat', docs: 'nowhere' },
      http: undefined,
      streams: {
        rows: { ...good.streams.rows, normalise: 'no', window: { lagMs: -1 }, changes: { lagMs: 0 }, sharedId: 'id' },
      },
    }
    const { code, hint } = await faultOf(() => checked(bad, 'bad'))
    expect(code).toBe('PLUGIN_INVALID')
    const rows = ['normalise', 'window', 'changes.read', 'sharedId'].map(name => `streams.rows.${name}`)
    for (const place of ['manifest.id', 'manifest.docs', 'http', ...rows]) expect(hint).toContain(place)

    const odd = {
      ...good,
      manifest: { ...good.manifest, sessionStream: 'none', optionalStreams: ['nil'], quota: { sharedBy: 'nobody' } },
      config: z.strictObject({ accessToken: z.string(), token_url: z.string(), tokenId: z.string() }),
    }
    const { hint: faults } = await faultOf(() => checked(odd, 'odd'))
    expect(faults).toBe(
      'manifest.sessionStream names none, which is not a stream; manifest.optionalStreams names nil, which is not a stream; ' +
        'manifest.quota.sharedBy names nobody, which is not a key of config; config.accessToken sounds like a secret and is not marked .meta({ secret: true }); ' +
        'config.token_url is not written in camelCase',
    )
  })

  test.each(['plain', 'frozen'])('that uses earlier names of the contract is read by them, and reported (%s)', async kind => {
    const good = await findConnector('./good.mjs', folderWith({ 'good.mjs': source('good') }))
    class Rows {
      readonly #more = 'more'
      readonly gives = ['event']
      readonly expandRows = 7
      async expand({ rows }: { rows: readonly unknown[] }) {
        return rows.map(row => [row, this.#more])
      }
    }
    const rows = Object.assign(new Rows(), good.streams.rows)
    const old = { ...good, tellsTransfers: () => false, streams: { rows: kind === 'frozen' ? Object.freeze(rows) : rows } }
    const connector = checked(kind === 'frozen' ? Object.freeze(old) : old, 'old')
    expect(connector.detectsTransfers?.({} as never, {} as never)).toBe(false)
    expect(connector.streams.rows?.feeds).toEqual(['event'])
    expect(connector.streams.rows?.enrichRows).toBe(7)
    expect(await connector.streams.rows?.enrich?.({ rows: [1] } as never)).toEqual([[1, 'more']])
    expect(deprecationsOf(connector)).toEqual([
      'tellsTransfers is now detectsTransfers',
      'streams.rows.expand is now enrich',
      'streams.rows.expandRows is now enrichRows',
      'streams.rows.gives is now feeds',
    ])
    expect(deprecationsOf(good)).toEqual([])
  })

  test('whose earlier name has a wrong value is rejected by its new name', async () => {
    const good = await findConnector('./good.mjs', folderWith({ 'good.mjs': source('good') }))
    const { hint } = await faultOf(() => checked({ ...good, streams: { rows: { ...good.streams.rows, expandRows: 0 } } }, 'old'))
    expect(hint).toContain('streams.rows.enrichRows')
  })
})
