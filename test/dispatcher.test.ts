import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { openNetwork } from '../src/dispatcher.ts'
import { FlowError } from '../src/errors.ts'
import { connectRegistry } from '../src/kafka/registry.ts'
import { createLog, silentLog, withoutSecrets } from '../src/log.ts'
import { createHttp } from '../src/source/http.ts'
import { createQuota } from '../src/source/quota.ts'
import { handClock } from './support/clock.ts'
import { proxyServer, secureServer } from './support/proxy-server.ts'
import { scriptedVendor } from './support/scripted-vendor.ts'

const Page = z.object({ items: z.array(z.number()) })
const page = { items: [1] }

/** What a vendor's client gets over the network; the code and details where it gets none. */
async function ask(baseUrl: string, network: ReturnType<typeof openNetwork>, lines: string[] = []) {
  const clock = handClock(0, { autoAdvance: true })
  const log = createLog('debug', line => lines.push(line))
  const signal = new AbortController().signal
  const http = createHttp({ baseUrl, tries: 1 }, { quota: createQuota({}, clock), priority: 0, signal, clock, log, network })
  try {
    return await http.getJson('/rows', {}, Page)
  } catch (thrown) {
    if (!(thrown instanceof FlowError)) throw thrown
    return { code: thrown.code, details: thrown.details, message: thrown.message }
  } finally {
    await http.close()
  }
}

function withVariables(variables: Record<string, string>) {
  const before = Object.fromEntries(Object.keys(variables).map(name => [name, process.env[name]]))
  onTestFinished(() => {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  Object.assign(process.env, variables)
}

describe('a vendor behind a proxy', () => {
  test('is asked through it: plainly over http', async () => {
    const vendor = await scriptedVendor([{ path: '/rows', body: page }])
    const proxy = await proxyServer()
    expect(await ask(vendor.url, openNetwork({ env: { HTTP_PROXY: `http://${proxy.place}` } }))).toEqual(page)
    expect(proxy.seen).toEqual([`GET ${vendor.url}/rows`])
  })

  test('is asked through it: in a tunnel over https, with the CA of the file', async () => {
    const vendor = await secureServer(page)
    const proxy = await proxyServer()
    const network = openNetwork({ env: { https_proxy: proxy.place }, ca: vendor.ca })
    expect(await ask(`https://${vendor.place}`, network)).toEqual(page)
    expect(proxy.seen).toEqual([`CONNECT ${vendor.place}`])
  })

  test.each(['http', 'https'])('that wants credentials gets those of its address, and no line shows them (%s)', async scheme => {
    const vendor = scheme === 'http' ? await scriptedVendor([{ path: '/rows', body: page }]) : await secureServer(page)
    const proxy = await proxyServer({ credentials: 'scott:tiger@home' })
    const env = { [`${scheme}_proxy`]: `http://scott:tiger%40home@${proxy.place}` }
    const network = openNetwork({ env, ...('ca' in vendor ? { ca: vendor.ca } : {}) })
    const lines: string[] = []
    expect(await ask('ca' in vendor ? `https://${vendor.place}` : vendor.url, network, lines)).toEqual(page)
    for (const secret of ['tiger%40home', 'tiger@home', Buffer.from('scott:tiger@home').toString('base64')])
      expect(withoutSecrets(`x ${secret} y`)).not.toContain(secret)
  })

  test.each(['http', 'https'])('that refuses our credentials is named as the one that refuses (%s)', async scheme => {
    const proxy = await proxyServer({ credentials: 'scott:tiger' })
    const network = openNetwork({ env: { [`${scheme}_proxy`]: proxy.place } })
    const result = await ask(`${scheme}://vendor.example`, network)
    expect(result).toMatchObject({ code: 'SRC_UNREACHABLE' })
    expect('details' in result && result.details.hint).toMatch(/^the proxy asks for credentials/)
  })

  test.each(['http', 'https'])('that cannot reach the vendor is no answer of the vendor (%s)', async scheme => {
    const proxy = await proxyServer()
    const network = openNetwork({ env: { [`${scheme}_proxy`]: proxy.place } })
    const result = await ask(`${scheme}://127.0.0.1:1`, network)
    expect(result).toMatchObject({ code: scheme === 'http' ? 'SRC_SERVER_ERROR' : 'SRC_UNREACHABLE' })
  })

  test('that does not run is said to be unreachable', async () => {
    const network = openNetwork({ env: { http_proxy: '127.0.0.1:1' } })
    expect(await ask('http://vendor.example', network)).toMatchObject({
      code: 'SRC_UNREACHABLE',
      details: { hint: expect.stringContaining('cannot connect') as string },
    })
  })

  test('is asked directly where NO_PROXY names it, and where the process has variables that nobody handed over', async () => {
    withVariables({ HTTP_PROXY: 'http://127.0.0.1:1', http_proxy: 'http://127.0.0.1:1' })
    const proxy = await proxyServer()
    const vendor = await scriptedVendor([
      { path: '/rows', body: page },
      { path: '/rows', body: page },
    ])
    expect(await ask(vendor.url, openNetwork({ env: { HTTP_PROXY: proxy.place, NO_PROXY: '127.0.0.1' } }))).toEqual(page)
    expect(await ask(vendor.url, openNetwork())).toEqual(page)
    expect(proxy.seen).toEqual([])
  })
})

describe('a certificate', () => {
  test('of a CA that nobody named is refused at once, with the cure', async () => {
    const vendor = await secureServer(page)
    const result = await ask(`https://${vendor.place}`, openNetwork())
    expect(result).toMatchObject({ code: 'SRC_TLS' })
    expect('details' in result && result.details.hint).toContain('tls.ca')
  })

  test('of the CA in the file is taken, and the usual ones stay', async () => {
    const vendor = await secureServer(page)
    expect(await ask(`https://${vendor.place}`, openNetwork({ ca: vendor.ca }))).toEqual(page)
  })

  test('for another host name is refused', async () => {
    const vendor = await secureServer(page)
    const port = vendor.place.split(':')[1] ?? ''
    const result = await ask(`https://127.0.0.2:${port}`, openNetwork({ ca: vendor.ca }))
    expect(['SRC_TLS', 'SRC_UNREACHABLE']).toContain('code' in result ? result.code : 'none')
  })
})

describe('the schema registry', () => {
  test('is asked through the proxy, over http', async () => {
    const registry = await scriptedVendor([
      { path: '/apis/config/colloquy-ping', body: {} },
      { path: '/apis/subjects', body: [] },
    ])
    const proxy = await proxyServer({ credentials: 'scott:tiger' })
    const network = openNetwork({ env: { http_proxy: `http://scott:tiger@${proxy.place}` } })
    const url = `${registry.url}/apis`
    await connectRegistry({ url, log: silentLog, agent: network.agentFor(new URL(url)) }).ping()
    expect(proxy.seen).toEqual([`GET ${url}/config/colloquy-ping`, `GET ${url}/subjects`])
  })

  test('is asked in a tunnel over https, with the CA of the file', async () => {
    const registry = await secureServer([])
    const proxy = await proxyServer()
    const network = openNetwork({ env: { https_proxy: `http://${proxy.place}` }, ca: registry.ca })
    const url = `https://${registry.place}`
    await connectRegistry({ url, log: silentLog, agent: network.agentFor(new URL(url)) }).ping()
    expect(proxy.seen).toEqual([`CONNECT ${registry.place}`])
  })

  test('with a certificate of a CA in the file is taken directly, too; without it, it is not', async () => {
    const registry = await secureServer([])
    const url = `https://${registry.place}`
    const registryOver = (network: ReturnType<typeof openNetwork>) =>
      connectRegistry({ url, log: silentLog, agent: network.agentFor(new URL(url)) })
    await registryOver(openNetwork({ ca: registry.ca })).ping()
    await expect(registryOver(openNetwork()).ping()).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
  })
})

test('no error of the registry shows the credentials of the proxy', async () => {
  const proxy = await proxyServer({ credentials: 'other:credentials' })
  const network = openNetwork({ env: { https_proxy: `http://scott:lion%21heart@${proxy.place}` } })
  const url = 'https://registry.example'
  const asked = connectRegistry({ url, log: silentLog, agent: network.agentFor(new URL(url)) }).ping()
  const error = await asked.then(
    () => null,
    (thrown: FlowError) => JSON.stringify([thrown.code, thrown.message, thrown.details]),
  )
  expect(error).toContain('REGISTRY_UNREACHABLE')
  for (const secret of ['lion', Buffer.from('scott:lion!heart').toString('base64')]) expect(error).not.toContain(secret)
})

describe('which proxy is taken', () => {
  const proxyOf = (url: string, env: Record<string, string>) => openNetwork({ env }).proxyFor(new URL(url))?.href ?? null

  test.each([
    ['http://a.example', { HTTP_PROXY: 'http://upper:1' }, 'http://upper:1/'],
    ['http://a.example', { HTTP_PROXY: 'http://upper:1', http_proxy: 'http://lower:1' }, 'http://lower:1/'],
    ['http://a.example', { HTTP_PROXY: 'http://upper:1', http_proxy: '' }, null],
    ['https://a.example', { HTTP_PROXY: 'http://upper:1' }, null],
    ['https://a.example', { HTTP_PROXY: 'http://a:1', HTTPS_PROXY: 'https://b:2' }, 'https://b:2/'],
    ['http://127.0.0.1:80', { HTTP_PROXY: 'a:1' }, 'http://a:1/'],
    ['http://localhost', { HTTP_PROXY: ' a:1 ' }, 'http://a:1/'],
  ])('for %s with %j: %s', (url, env, proxy) => {
    expect(proxyOf(url, env as never)).toBe(proxy)
  })

  test.each([
    ['*', 'http://a.example', true],
    ['a.example', 'http://a.example', true],
    ['A.EXAMPLE', 'http://a.example', true],
    ['a.example', 'http://b.a.example', true],
    ['.a.example', 'http://a.example', true],
    ['*.a.example', 'http://b.a.example', true],
    ['a.example', 'http://ba.example', false],
    ['a.example:8080', 'http://a.example:8080', true],
    ['a.example:8080', 'http://a.example', false],
    ['a.example:443', 'https://a.example', true],
    ['b.example, a.example', 'http://a.example', true],
    ['b.example a.example', 'http://a.example', true],
    ['10.0.0.0/8', 'http://10.1.2.3', true],
    ['10.0.0.0/8', 'http://11.1.2.3', false],
    ['127.0.0.1', 'http://127.0.0.1:8081', true],
    ['0.0.1', 'http://127.0.0.1', false],
    ['::1', 'http://[::1]:8081', true],
    ['[::1]:8081', 'http://[::1]:8081', true],
    ['[::1]:8082', 'http://[::1]:8081', false],
    ['fd00::/8', 'http://[fd00::1]', true],
    ['', 'http://a.example', false],
    [',', 'http://a.example', false],
    ['10.0.0.0/99', 'http://10.0.0.1', false],
  ])('NO_PROXY %j: %s goes directly: %s', (list, url, directly) => {
    expect(proxyOf(url, { HTTP_PROXY: 'p:1', HTTPS_PROXY: 'p:1', NO_PROXY: list }) === null).toBe(directly)
  })

  test.each(['socks5://p:1', 'ftp://p', 'http://', 'http://p:port'])(
    '%s is no proxy of ours, and says which variable is wrong',
    told => {
      expect(() => openNetwork({ env: { HTTPS_PROXY: told } })).toThrow(
        expect.objectContaining({
          code: 'CFG_INVALID',
          details: expect.objectContaining({ path: 'HTTPS_PROXY' }) as object,
        }) as Error,
      )
    },
  )

  test.each(['', 'not a certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'])('%j is no CA', ca => {
    expect(() => openNetwork({ ca })).toThrow(
      expect.objectContaining({ code: 'CFG_INVALID', details: expect.objectContaining({ path: 'tls.ca' }) as object }) as Error,
    )
  })
})
