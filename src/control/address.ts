/** The address at which other workers and tools reach this worker's listener. */
import { networkInterfaces } from 'node:os'

export interface Address {
  /** `host:port`: Kafka Connect's worker id. */
  readonly workerId: string
  readonly url: string
}

const ANY = new Set(['0.0.0.0', '[::]', '::'])

/**
 * @param url Address to listen on.
 * @param hosts Addresses of this machine. A worker that listens on all of them is reached at the first one visible to others.
 */
export function addressOf(url: string, hosts: readonly string[] = ownHosts()): Address {
  const { hostname, port, protocol } = new URL(url)
  const host = ANY.has(hostname) ? (hosts[0] ?? '127.0.0.1') : hostname
  const workerId = `${host}:${port || (protocol === 'https:' ? '443' : '80')}`
  return { workerId, url: `${protocol}//${workerId}` }
}

/** Addresses other than loopback, IPv4 first. */
function ownHosts(): string[] {
  const all = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  const outer = all.filter(({ internal, scopeid }) => !internal && !scopeid)
  const ofFamily = (family: string) => outer.filter(each => each.family === family).map(({ address }) => address)
  return [...ofFamily('IPv4'), ...ofFamily('IPv6').map(address => `[${address}]`)]
}
