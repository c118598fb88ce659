/** `colloquy rejects` beside a worker that goes on reading: dead letters are listed, shown, put through a mended connector, discarded. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { stringify } from 'yaml'
import { topicNames } from '../../src/topics.ts'
import { readIndependently } from '../support/independent/read-topics.ts'
import { run, type Running, start, until } from '../support/product.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const HOUR_MS = 3_600_000
const BEGAN = new Date(Date.now() - HOUR_MS).toISOString()

/** A connector whose author first thought of words only for `stars`. */
const connectorText = (stars: string) => `
import { z } from '${ROOT}node_modules/zod/index.js'
import { defineConnector, session } from '${ROOT}src/source/index.ts'
const Page = z.object({ rows: z.array(z.unknown()) })
export default defineConnector({
  manifest: { id: 'acme', title: 'Acme', apiVersion: '1', docs: 'https://acme.example', quota: {}, pollIntervalMs: 1000, sessionStream: 'sessions' },
  config: z.strictObject({ baseUrl: z.url().describe('API root') }),
  http: config => ({ baseUrl: config.baseUrl }),
  streams: {
    sessions: {
      window: { longestMs: 86_400_000, lagMs: 0, lookbackMs: 7_200_000, lookbackIntervalMs: 1000, durableResume: false },
      row: z.object({ id: z.string(), stars: ${stars} }),
      async *read({ http }) {
        const page = await http.getJson('/rows', {}, Page)
        yield { rows: page.rows, resume: null }
      },
      identify: row => row.id,
      normalise: (row, ctx) => [session(ctx.session({ botId: 'bot', sessionId: row.id, channel: 'web' }), { startedAt: '${BEGAN}', outcome: String(row.stars) })],
    },
  },
})
`

const stack = inject('stack')
const prefix = `test-${Math.random().toString(36).slice(2, 10)}`
const folder = mkdtempSync(join(tmpdir(), 'colloquy-rejects-'))
const file = join(folder, 'colloquy.yaml')
const rows: unknown[] = [{ id: 'good', stars: 'many' }]
let asked = 0
let vendor: Server
let worker: Running | undefined

beforeAll(async () => {
  vendor = createServer((_, response) => {
    asked++
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ rows }))
  })
  await new Promise<void>(resolve => vendor.listen(0, '127.0.0.1', resolve))
  writeFileSync(join(folder, 'acme.mjs'), connectorText('z.string()'))
  const config = {
    kafka: { brokers: [stack.brokers] },
    registry: { url: stack.registry },
    topics: { prefix, partitions: 3 },
    http: { port: 0 },
    connectors: {
      acme: {
        'connector.class': './acme.mjs',
        'base.url': `http://127.0.0.1:${(vendor.address() as AddressInfo).port}`,
        'start.at': new Date(Date.now() - 2 * HOUR_MS).toISOString(),
      },
    },
  }
  writeFileSync(file, stringify(config))
})

afterAll(async () => {
  await worker?.kill('SIGKILL')
  vendor.closeAllConnections()
  await new Promise(resolve => vendor.close(resolve))
  rmSync(folder, { recursive: true, force: true })
})

const rejects = async (...words: string[]) => await run(['rejects', ...words, '--config', file, '--json'])
const listed = async (...words: string[]) =>
  (await rejects('list', ...words)).stdout.map(line => JSON.parse(line) as { id: string; row_id: string })

test('a row is listed with its reason, mapped by the mended connector, and closed; the worker goes on', async () => {
  worker = start(['run', '--config', file, '--roles', 'worker'])
  const base = await worker.base()
  const isReady = async () => ((await fetch(`${base}/readyz`)).status === 200 ? true : undefined)
  rows.push({ id: 'bad', stars: 5 })
  const [letter] = await until('the bad row is a reject', async () => {
    const letters = await listed()
    return letters.length === 1 ? letters : undefined
  })
  if (letter === undefined) throw new Error('no letter')
  expect(letter).toMatchObject({
    row_id: 'bad',
    reason: 'ROW_INVALID',
    path: 'stars',
    message: expect.stringContaining('string expected') as string,
  })
  const shown = await rejects('show', letter.id)
  expect(JSON.parse(shown.stdout[0] ?? '')).toMatchObject({ row: { id: 'bad', stars: 5 } })
  expect((await run(['rejects', 'list', '--config', file])).stdout.join('\n')).toMatch(/^ID .*\n\d+:\d+ .*ROW_INVALID/)
  expect(await listed('--reason', 'ROW_UNMAPPABLE')).toEqual([])

  const still = await rejects('redrive')
  expect([still.code, JSON.parse(still.stdout[0] ?? '')]).toMatchObject([1, { id: letter.id, outcome: 'rejected' }])
  writeFileSync(join(folder, 'acme.mjs'), connectorText('z.union([z.string(), z.number()])'))
  const mended = await rejects('redrive', letter.id)
  expect([mended.code, mended.stdout.map(line => JSON.parse(line) as unknown)]).toEqual([
    0,
    [{ id: letter.id, outcome: 'mapped' }],
  ])
  expect(await listed()).toEqual([])

  // The worker was fenced, and has the source partition again.
  await until('the worker reads again', isReady)
  const before = asked
  await until('the worker asks again', async () => (asked > before + 2 ? true : undefined))
  rows.push({ id: 'worse', stars: null })
  const [other] = await until('another row is a reject', async () => {
    const letters = await listed()
    return letters.length === 1 ? letters : undefined
  })
  expect(other?.row_id).toBe('worse')
  const gone = await rejects('discard', other?.id ?? '')
  expect([gone.code, await listed()]).toEqual([0, []])

  const { sessions } = topicNames(prefix)
  const records = await readIndependently(stack.brokers, stack.registry, [sessions])
  expect(records.map(({ key }) => String(key)).sort()).toEqual(['acme:acme:bad', 'acme:acme:good'])
}, 240_000)

test('a call that is wrong is refused with what would be right', async () => {
  const calls = [['drop'], ['show'], ['show', '1:1', '1:2'], ['discard', 'seven'], ['show', '0:999999']]
  for (const words of calls) {
    const { code, stdout, output } = await rejects(...words)
    expect([code, stdout]).toEqual([2, []])
    expect(output).not.toMatch(/\.ts:\d+/)
  }
})
