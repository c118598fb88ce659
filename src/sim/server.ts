import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Fault, Faults } from './faults.ts'
import { type Stats, Traffic } from './traffic.ts'
import { FlowError } from '../errors.ts'

export interface Request {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** `http://HOST:N`, as the client sees it. */
  readonly origin: string
}

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** JSON, as text or as its bytes; absent: no body at all. */
  readonly body?: string | Buffer
  /** The reason phrase. */
  readonly reason?: string
}

export interface Served {
  /** `http://HOST:N` */
  readonly url: string
  readonly port: number
  readonly faults: Faults
  /** The newest requests, oldest first, at most a thousand. */
  readonly log: readonly Logged[]
  stats(): Stats
  /** Closes every connection; nothing listens afterwards. */
  stop(): Promise<void>
}

export interface Logged {
  readonly atMs: number
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** When the answer was complete, or the client gone; null: in progress. */
  readonly overMs: number | null
}

export interface ServeOptions {
  /** Default: a free one. */
  readonly port?: number
  /** Name or address to listen on, also in the URL for clients. Default 127.0.0.1. */
  readonly host?: string | undefined
  /** Clock for counting arrivals. Default: the system's. */
  readonly arrivalClock?: () => number
  readonly faults?: Faults
  readonly handler: (request: Request) => Reply | Promise<Reply>
}

const KEPT_IN_LOG = 1000

/**
 * A vendor's server: counts requests, passes them to `handler`, and applies the `faults` to its answers.
 *
 * @throws FlowError PORT_TAKEN, or CALL_INVALID for an address that cannot be listened on
 */
export async function serve(options: ServeOptions): Promise<Served> {
  const { handler, arrivalClock = Date.now, host = '127.0.0.1' } = options
  const faults = options.faults ?? new Faults()
  const traffic = new Traffic()
  const log: Logged[] = []
  let origin = ''

  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', origin)
    const method = incoming.method ?? 'GET'
    traffic.arrived(url.pathname, arrivalClock())
    const logged: { -readonly [K in keyof Logged]: Logged[K] } = {
      atMs: arrivalClock(),
      method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      overMs: null,
    }
    log.push(logged)
    if (log.length > KEPT_IN_LOG) log.shift()
    let bytes = 0
    outgoing.on('close', () => {
      logged.overMs = arrivalClock()
      traffic.answered(outgoing.headersSent ? outgoing.statusCode : null, bytes)
    })
    const answer = async () => {
      const body = await bodyOf(incoming)
      const fault = faults.take(method, url.pathname)
      if (fault?.kind === 'hang_up') {
        incoming.socket.destroy()
        return
      }
      if (fault?.kind === 'delay') await pause(fault.ms, outgoing)
      const reply =
        insteadOf(fault, arrivalClock()) ??
        spoilt(
          await handler({ method, path: url.pathname, query: url.searchParams, headers: incoming.headers, body, origin }),
          fault,
          origin,
        )
      bytes = await send(outgoing, reply, fault)
    }
    answer().catch((error: unknown) => {
      if (!outgoing.headersSent) outgoing.writeHead(500, { 'content-type': 'application/json' })
      outgoing.end(JSON.stringify({ simulator: String(error) }))
    })
  })
  server.keepAliveTimeout = 60_000

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, options.port ?? 0)))
    server.listen(options.port ?? 0, host, resolve)
  })
  const { port } = server.address() as AddressInfo
  origin = `http://${host.includes(':') ? `[${host}]` : host}:${port}`

  return {
    url: origin,
    port,
    faults,
    log,
    stats: () => traffic.stats(),
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): FlowError {
  if (error.code === 'EADDRINUSE') return new FlowError('PORT_TAKEN', { port }, error)
  return new FlowError('CALL_INVALID', { host, port, hint: `${host} is not an address of this machine (${error.code})` }, error)
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  if (incoming.method === 'GET') return ''
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

/** Faults that replace the simulator's answer. */
function insteadOf(fault: Fault | null, nowMs: number): Reply | null {
  if (fault?.kind === 'empty') return { status: 204 }
  if (fault?.kind !== 'status') return null
  const { status, retryAfter } = fault
  return {
    status,
    ...(retryAfter === undefined ? {} : { headers: { 'retry-after': retryAfterText(retryAfter, nowMs) } }),
    body: fault.body ?? JSON.stringify({ message: `simulated ${status}` }),
  }
}

/** `Retry-After` in HTTP's forms: whole seconds, or a date. */
export function retryAfterText(wait: { readonly seconds: number; readonly as: 'seconds' | 'date' }, nowMs: number): string {
  return wait.as === 'seconds'
    ? String(wait.seconds)
    : new Date(Math.ceil(nowMs / 1000) * 1000 + wait.seconds * 1000).toUTCString()
}

/** Faults that change the simulator's answer. */
function spoilt(reply: Reply, fault: Fault | null, origin: string): Reply {
  if (fault === null || reply.body === undefined) return reply
  const text = reply.body.toString()
  if (fault.kind === 'malformed') return { ...reply, body: text.slice(0, Math.max(1, Math.floor(text.length * 0.8))) }
  if (fault.kind === 'content_type') return { ...reply, headers: { ...reply.headers, 'content-type': fault.type } }
  if (fault.kind === 'foreign_link') return { ...reply, body: text.replaceAll(origin, fault.origin) }
  if (fault.kind === 'edit') return { ...reply, body: JSON.stringify(fault.edit(JSON.parse(text) as never)) }
  if (fault.kind === 'missing_field') {
    const body = JSON.parse(text) as Record<string, unknown>
    const rows = body[fault.rows]
    if (Array.isArray(rows)) removeAt(rows[fault.row ?? 0], fault.field.split('.'))
    return { ...reply, body: JSON.stringify(body) }
  }
  return reply
}

function removeAt(holder: unknown, [name = '', ...deeper]: readonly string[]) {
  if (typeof holder !== 'object' || holder === null) return
  if (deeper.length > 0) removeAt((holder as Record<string, unknown>)[name], deeper)
  else Reflect.deleteProperty(holder, name)
}

/** @returns How many bytes of the body were sent. */
async function send(outgoing: ServerResponse, reply: Reply, fault: Fault | null): Promise<number> {
  if (reply.reason !== undefined) outgoing.statusMessage = reply.reason
  if (reply.body === undefined) {
    outgoing.writeHead(reply.status, { ...(reply.status === 204 ? {} : { 'content-length': '0' }), ...reply.headers })
    outgoing.end()
    return 0
  }
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body
  outgoing.writeHead(reply.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(body.length),
    ...reply.headers,
  })
  if (fault?.kind === 'cut') {
    const bytes = Math.min(fault.bytes ?? Math.floor(body.length / 2), Math.max(0, body.length - 1))
    outgoing.flushHeaders()
    await new Promise<void>(resolve => {
      outgoing.write(body.subarray(0, bytes), () => resolve())
    })
    outgoing.socket?.destroy()
    return bytes
  }
  if (fault?.kind === 'drip') {
    const piece = Math.max(1, Math.ceil(body.length / fault.pieces))
    for (let from = 0; from < body.length && !outgoing.destroyed; from += piece) {
      outgoing.write(body.subarray(from, from + piece))
      await pause(fault.everyMs, outgoing)
    }
    outgoing.end()
    return body.length
  }
  outgoing.end(body)
  return body.length
}

/** Waits, or less when the client is gone. */
function pause(ms: number, outgoing: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      outgoing.off('close', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    outgoing.once('close', done)
  })
}
