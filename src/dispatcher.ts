/**
 * Outgoing HTTP of this process, for vendors and for the schema registry: proxies by `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, and the certificates of
 * `tls.ca` in addition to those that Node trusts (its own list, and `NODE_EXTRA_CA_CERTS`).
 *
 * The proxy for a request is chosen here, and not by undici or Node, so that vendors and registry follow one rule.
 */
import { X509Certificate } from 'node:crypto'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { isIPv4, isIPv6, BlockList } from 'node:net'
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls'
import { Agent, type Dispatcher, ProxyAgent } from 'undici'
import { FlowError } from './errors.ts'
import { hideSecret } from './log.ts'

export interface Network {
  /** The proxy for this address, or null: direct. */
  proxyFor(url: URL): URL | null
  /** Connections of one client; close them with it. */
  connections(): Connections
  /** For clients that take Node's own agents: requests to the address and to others with the same route. */
  agentFor(url: URL): HttpAgent
}

export interface Connections {
  dispatcherFor(url: URL): Dispatcher
  close(): Promise<void>
}

type Environment = Readonly<Record<string, string | undefined>>

const CONNECT_TIMEOUT_MS = 10_000

/**
 * @param options.env `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, each in lower case first, as curl reads them. Only `HTTPS_PROXY` counts for https. Loopback
 *   addresses are no exception: they go through the proxy unless `NO_PROXY` names them.
 * @param options.ca PEM text of certificates to trust in addition.
 * @throws FlowError CFG_INVALID for a proxy that is not an http or https address, and for `ca` without a readable certificate.
 */
export function openNetwork({ env = {}, ca }: { env?: Environment; ca?: string | undefined } = {}): Network {
  const proxies = { 'http:': proxyOf(env, 'http_proxy'), 'https:': proxyOf(env, 'https_proxy') }
  const exceptions = exceptionsOf(env['no_proxy'] ?? env['NO_PROXY'] ?? '')
  const secureContext = ca === undefined ? undefined : trusting(ca)
  const tls = { timeout: CONNECT_TIMEOUT_MS, ...(secureContext === undefined ? {} : { secureContext }) }

  const proxyFor = (url: URL): URL | null => {
    const proxy = proxies[url.protocol as keyof typeof proxies] ?? null
    return proxy === null || exceptions(url) ? null : proxy
  }

  return {
    proxyFor,
    connections: () => {
      const open = new Map<string, Dispatcher>()
      const limits = { headersTimeout: 0, bodyTimeout: 0 }
      return {
        dispatcherFor: url => {
          const proxy = proxyFor(url)
          const key = proxy?.href ?? ''
          let dispatcher = open.get(key)
          if (dispatcher === undefined) {
            dispatcher =
              proxy === null
                ? new Agent({ allowH2: false, ...limits, connect: tls })
                : new ProxyAgent({
                    uri: proxy.href,
                    ...tokenOf(proxy),
                    // A proxy gets plain requests whole, as curl and browsers send them, and a tunnel for https only.
                    proxyTunnel: false,
                    allowH2: false,
                    ...limits,
                    connectTimeout: CONNECT_TIMEOUT_MS,
                    requestTls: tls,
                    proxyTls: tls,
                  })
            open.set(key, dispatcher)
          }
          return dispatcher
        },
        close: async () => {
          await Promise.all([...open.values()].map(each => each.destroy()))
        },
      }
    },
    agentFor: url => {
      const proxy = proxyFor(url)
      const options = {
        keepAlive: true,
        // Node's agent talks to the proxy itself, and gets no exceptions: they were applied above.
        ...(proxy === null ? {} : { proxyEnv: { HTTP_PROXY: proxy.href, HTTPS_PROXY: proxy.href } }),
      }
      return url.protocol === 'https:'
        ? new HttpsAgent({ ...options, ...(secureContext === undefined ? {} : { secureContext }) })
        : new HttpAgent(options)
    },
  }
}

/** Direct, with the certificates that Node trusts. */
export const directNetwork: Network = openNetwork()

/** `http_proxy`, or in capitals. Its credentials are hidden from every log line and error. */
function proxyOf(env: Environment, name: string): URL | null {
  const upper = name.toUpperCase()
  const [key, value] = env[name] === undefined ? [upper, env[upper]] : [name, env[name]]
  const words = value?.trim() ?? ''
  if (words === '') return null
  const proxy = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(words) ? words : `http://${words}`)
  if (proxy === null || !/^https?:$/.test(proxy.protocol)) {
    throw new FlowError('CFG_INVALID', {
      path: key,
      hint: `the environment variable ${key} takes the address of an http or https proxy, such as http://proxy.example:3128`,
    })
  }
  if (proxy.password !== '' || proxy.username !== '') {
    for (const secret of [proxy.password, decoded(proxy.password), `${proxy.username}:${proxy.password}`]) hideSecret(secret)
    hideSecret(basicOf(proxy))
  }
  return proxy
}

function tokenOf(proxy: URL): { token?: string } {
  return proxy.username === '' && proxy.password === '' ? {} : { token: `Basic ${basicOf(proxy)}` }
}

function basicOf({ username, password }: URL): string {
  return Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')
}

/** Unchanged if a percent sign was not meant as an escape. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * `NO_PROXY`: a list by commas or blanks. `*` is every host; `example.com` and `.example.com` are the domain and what lies below it; an entry may carry a
 * port; addresses may be ranges (`10.0.0.0/8`).
 */
function exceptionsOf(list: string): (url: URL) => boolean {
  const entries = list.split(/[\s,]+/).filter(Boolean)
  const ranges = new BlockList()
  const hosts: { host: string; port: string | null }[] = []
  for (const entry of entries) {
    const [, network = '', bits = ''] = /^(.*)\/(\d{1,3})$/.exec(entry) ?? []
    const family = isIPv4(network) ? 'ipv4' : isIPv6(network) ? 'ipv6' : null
    if (family !== null && Number(bits) <= (family === 'ipv4' ? 32 : 128)) {
      ranges.addSubnet(network, Number(bits), family)
      continue
    }
    const [, bracketed, plain = '', port = null] = /^(?:\[([^\]]+)\]|([^:]*|.*:.*:.*?))(?::(\d+))?$/.exec(entry) ?? []
    const host = (bracketed ?? plain).toLowerCase().replace(/^\*?\./, '')
    if (host !== '') hosts.push({ host, port })
  }
  return ({ hostname, port, protocol }) => {
    const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
    const actual = port === '' ? (protocol === 'https:' ? '443' : '80') : port
    const family = isIPv4(host) ? 'ipv4' : isIPv6(host) ? 'ipv6' : null
    if (family !== null && ranges.check(host, family)) return true
    return hosts.some(
      each =>
        (each.port === null || each.port === actual) &&
        (each.host === '*' || each.host === host || (family === null && host.endsWith(`.${each.host}`))),
    )
  }
}

function trusting(ca: string): SecureContext {
  const certificates = ca.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? []
  try {
    if (certificates.length === 0) throw new Error('not a certificate')
    const readable = certificates.map(each => new X509Certificate(each).toString())
    return createSecureContext({ ca: [...getCACertificates('default'), ...readable] })
  } catch {
    throw new FlowError('CFG_INVALID', {
      path: 'tls.ca',
      hint: 'tls.ca takes PEM text with at least one certificate, all of them readable',
    })
  }
}
