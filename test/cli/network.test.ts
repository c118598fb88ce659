import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readConnectorsOnly, readSetup } from '../../src/cli/setup.ts'
import { silentLog } from '../../src/log.ts'
import { createHttp } from '../../src/source/http.ts'
import { createQuota } from '../../src/source/quota.ts'
import { z } from 'zod'
import { handClock } from '../support/clock.ts'
import { secureServer } from '../support/proxy-server.ts'

const KAFKA = 'kafka: {brokers: [127.0.0.1:9092]}\nregistry: {url: http://127.0.0.1:8081}\n'

/** A config file with the text, beside a PEM file where one is given. */
function fileOf(text: string, pem?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-network-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  if (pem !== undefined) writeFileSync(join(folder, 'ca.pem'), pem)
  writeFileSync(join(folder, 'colloquy.yaml'), text)
  return join(folder, 'colloquy.yaml')
}

const ioWith = (env: Record<string, string>) => ({
  stdout: () => {},
  log: silentLog,
  signal: new AbortController().signal,
  env,
  entry: '',
})

test.each([
  ['run and check', KAFKA, readSetup],
  ['peek, which needs no Kafka', '', readConnectorsOnly],
] as const)('tls.ca is a file beside the config, and vendors are trusted by it, for %s', async (_, kafka, readFile) => {
  const vendor = await secureServer({ ok: true })
  const read = await readFile(fileOf(`${kafka}tls: {ca: ca.pem}\n`, vendor.ca), ioWith({}))
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  const network = 'setup' in read ? read.setup.network : read.network
  const clock = handClock(0)
  const spec = { baseUrl: `https://${vendor.place}`, tries: 1 }
  const signal = new AbortController().signal
  const http = createHttp(spec, { quota: createQuota({}, clock), priority: 0, signal, clock, log: silentLog, network })
  onTestFinished(() => http.close())
  expect(await http.getJson('/', {}, z.object({ ok: z.boolean() }))).toEqual({ ok: true })
})

test('the proxies of the environment are taken, and everything that is wrong is told at once', async () => {
  const good = await readSetup(fileOf(KAFKA), ioWith({ HTTPS_PROXY: 'http://proxy.example:3128', NO_PROXY: '.internal' }))
  if (!good.ok) throw new Error(JSON.stringify(good.faults))
  expect(good.setup.network.proxyFor(new URL('https://vendor.example'))?.host).toBe('proxy.example:3128')
  expect(good.setup.network.proxyFor(new URL('https://registry.internal'))).toBeNull()

  const bad = await readSetup(fileOf(`${KAFKA}tls: {ca: ca.pem}\n`, 'no PEM'), ioWith({ HTTP_PROXY: 'socks5://proxy.example' }))
  expect(bad).toMatchObject({ ok: false })
  expect(bad.ok ? [] : bad.faults.map(({ path }) => path).toSorted()).toEqual(['HTTP_PROXY', 'tls.ca'])
})

test.each([
  ['tls: {ca: none.pem}', 'tls.ca'],
  ['tls: {cert: x}', 'tls.cert'],
  ['tls: {ca: "-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----"}', 'tls.ca'],
  ['tls: [ca.pem]', 'tls'],
])('%s is refused, with its place', async (line, path) => {
  const read = await readSetup(fileOf(`${KAFKA}${line}\n`), ioWith({}))
  expect(read.ok ? [] : read.faults).toMatchObject([{ path, line: 3 }])
})
