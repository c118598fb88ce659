/** Forwards a request to the group's leader, as Kafka Connect's workers do: at most two hops, marked by the parameter `forward`. */
import type { FastifyRequest } from 'fastify'
import { Agent } from 'undici'
import type { Clock } from '../../clock.ts'
import { shown } from '../../config-values.ts'
import { ControlError } from '../port.ts'

/** The leader's answer, unchanged. */
export interface Passed {
  readonly status: number
  readonly text: string
  readonly contentType?: string
  readonly location?: string
}

export interface Forwarder {
  /**
   * @param leader Base URL of the current leader's listener; null: there is none.
   * @throws ControlError 409 if there is no leader, it is unreachable, or another one took over meanwhile; 500 if it is unknown whether it has acted
   */
  pass(request: FastifyRequest, leader: () => string | null): Promise<Passed>
  close(): Promise<void>
}

const NO_LEADER = 'Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.'
const CONFLICT = 'Cannot complete request because of a conflicting operation (e.g. worker rebalance)'

const CONNECT_MS = 3_000
/** Interval of checking whether the leader still is the same: a frozen one accepts a connection, and never answers. */
const LOOK_MS = 250
/** The client of the worker that forwards. Trusted only together with `forward`, and shown with the address it came from. */
const ASKED_BY = 'x-colloquy-asked-by'

/** Nothing was sent yet. */
const NOT_REACHED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
])

export function forwarder({ clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number }): Forwarder {
  // A connection for each request: a kept one would fail when its worker has gone, with the request half sent.
  const agent = new Agent({ pipelining: 0, connect: { timeout: CONNECT_MS } })
  return {
    async pass(request, leader) {
      const base = leader()
      if (base === null) throw new ControlError(409, NO_LEADER)
      const hop = hopOf(request)
      // If the second hop is not the leader either, it knows of a rebalance that we have not seen.
      if (hop === null) throw new ControlError(409, CONFLICT)
      const url = new URL(base)
      const [path = '', search = ''] = request.url.split('?', 2)
      const query = new URLSearchParams(search)
      query.set('forward', String(hop))
      const ended = new AbortController()
      const changed = new AbortController()
      void watch(clock, () => leader() === base, ended.signal, changed)
      try {
        const { authorization } = request.headers
        const text = textOf(request)
        const { statusCode, headers, body } = await agent.request({
          origin: url.origin,
          path: `${url.pathname.replace(/\/+$/, '')}${path}?${query.toString()}`,
          method: request.method,
          headers: {
            'content-type': 'application/json',
            [ASKED_BY]: encodeURIComponent(askedBy(request)),
            ...(authorization === undefined ? {} : { authorization }),
          },
          body: text === '' ? null : text,
          signal: changed.signal,
          headersTimeout: timeoutMs,
          bodyTimeout: timeoutMs,
        })
        const contentType = headers['content-type']
        const { location } = headers
        return {
          status: statusCode,
          text: await body.text(),
          ...(typeof contentType === 'string' ? { contentType } : {}),
          ...(typeof location === 'string' ? { location } : {}),
        }
      } catch (error) {
        if (changed.signal.aborted) throw new ControlError(409, CONFLICT)
        const { code = 'an error' } = error as NodeJS.ErrnoException
        if (NOT_REACHED.has(code)) throw new ControlError(409, NO_LEADER)
        throw new ControlError(500, `IO Error trying to forward REST request: ${code}`)
      } finally {
        ended.abort()
      }
    },
    close: () => agent.destroy(),
  }
}

/** Whether the next hop may forward once more; null: this was the last one. */
function hopOf(request: FastifyRequest): boolean | null {
  const { forward } = request.query as { readonly forward?: string | string[] }
  if (forward === undefined) return true
  return [forward].flat()[0]?.toLowerCase() === 'true' ? false : null
}

async function watch(clock: Clock, isStill: () => boolean, ended: AbortSignal, changed: AbortController): Promise<void> {
  while (!ended.aborted) {
    if (!isStill()) return changed.abort()
    await clock.sleep(LOOK_MS, ended)
  }
}

/** The raw body. */
export function textOf({ body }: FastifyRequest): string {
  return typeof body === 'string' ? body : ''
}

/** Who asks: the address, and the name if the credentials have one. A forwarded request names its original client. */
export function askedBy(request: FastifyRequest): string {
  const address = request.socket.remoteAddress ?? 'unknown'
  const { [ASKED_BY]: asked } = request.headers
  if (typeof asked === 'string' && hopOf(request) !== true) return `${shown(decoded(asked), 200)} via ${address}`
  const user = userOf(request.headers.authorization)
  return user === '' ? address : `${shown(user)} at ${address}`
}

/** The name in Basic authentication; empty where there is none. */
function userOf(header = ''): string {
  const [, value] = /^basic (.*)$/i.exec(header) ?? []
  if (value === undefined) return ''
  const [user = ''] = Buffer.from(value, 'base64').toString().split(':', 1)
  return user
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return ''
  }
}
