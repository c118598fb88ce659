/**
 * The listener of a process: health and metrics in every one, series and the page where the server role runs.
 */
import type { Socket } from 'node:net'
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { Clock } from '../clock.ts'
import { CONSOLE_PAGES, type ConsoleSources } from '../console.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { errorFields, type Log, withoutSecrets } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { connectVersion } from '../version.ts'
import { createApi, type Serve } from './api.ts'
import { type Body, isKnown, jsonBody, packed } from './answer.ts'
import { botError, isBotPath } from './bot-analytics.ts'
import { createConsole } from './console.ts'
import { CONSOLE_POLICY, consoleFiles } from './console-files.ts'
import { docsPage } from './docs-page.ts'
import { accessOf, type Door, LONGEST_URL, openDoor } from './door.ts'
import { openApiDocument } from './openapi.ts'
import { finish } from '../slices.ts'

/** Whether one role can do its work. `why` says what it waits for, or what is wrong. */
export interface RoleHealth {
  readonly role: string
  readonly ok: boolean
  readonly why?: string
}

export interface HttpOptions {
  readonly host: string
  /** 0 takes a free one and logs it. */
  readonly port: number
  /** What clients must show, but for health and metrics; see `accessOf`. */
  readonly token?: string | undefined
  /** Host names beside the loopback's that requests may carry. */
  readonly names?: readonly string[] | undefined
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** Our own version, without a `v`. */
  readonly version: string
  /** Commit of the build, where it is known. */
  readonly commit?: string
  /** Asked for each `/readyz`; one entry a role. */
  readonly health: () => readonly RoleHealth[]
  /** Absent: the process has no server role. */
  readonly serve?: Serve
  /** What the console shows beside the series; together with `serve`. Absent: no console. */
  readonly sources?: ConsoleSources
  /** Adds Kafka Connect's REST API, in a context of its own. Absent: the process has no worker role. */
  readonly control?: (app: FastifyInstance) => void
}

export interface HttpServer {
  readonly port: number
  /** Such as `http://127.0.0.1:8083`. */
  readonly url: string
  /** Ends every connection, also those kept alive. */
  close(): Promise<void>
}

/** What only a process with the server role answers. */
const SERVED = /^\/(?:v1\/.*|ui(?:\/.*)?|docs|openapi\.json)$/

/** What only a process with the worker role answers; `/` is both's. */
const CONTROLLED = /^\/(?:connectors|connector-plugins|admin\/loggers|health)(?:\/|$)/

/** Never asked for a token: probes and scrapers have none. */
const PUBLIC: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics'])

/** @throws FlowError PORT_TAKEN, or CFG_INVALID where the address cannot be listened on. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { log, metrics, serve, control } = options
  const access = accessOf(options)
  /** Paths that take GET only. */
  const paths: RegExp[] = []
  const doors: Door[] = []
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    bodyLimit: MOST_BODY,
    // Names of connectors are parts of paths, and may be longer than the 100 letters that a part has by default.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: LONGEST_URL },
    serverFactory: handle => {
      const door = openDoor(handle)
      doors.push(door)
      return door.server
    },
    frameworkErrors: (error, _request, reply) => {
      void sendError(reply, error.statusCode ?? 400, error.message)
    },
    clientErrorHandler: (error, socket) => refuseBytes(error, socket, doors),
  })
  app.addHook('onRequest', async (request, reply) => {
    if (request.headers.host === undefined && request.raw.httpVersion !== '1.0')
      return sendError(reply, 400, 'an HTTP/1.1 request needs a Host header')
    const refusal = access.check(request.headers, PUBLIC.has(request.routeOptions.url ?? ''))
    if (refusal !== null) {
      if (refusal.status === 401) void reply.header('www-authenticate', ['Bearer realm="colloquy"', 'Basic realm="colloquy"'])
      return sendError(reply, refusal.status, refusal.message)
    }
    if (request.url.length > LONGEST_URL) return sendError(reply, 414, `an address has at most ${LONGEST_URL} characters`)
    return undefined
  })
  const get = (
    path: string,
    answer: (
      query: Readonly<Record<string, unknown>>,
      reply: FastifyReply,
      headers: Headers,
      inPath: Readonly<Record<string, string>>,
    ) => unknown,
  ): void => {
    paths.push(new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`))
    app.get(path, async (request, reply) =>
      answer(request.query as Record<string, unknown>, reply, request.headers, request.params as Record<string, string>),
    )
  }

  function addConsole(sources: ConsoleSources, on: Serve): void {
    const { document, assets } = consoleFiles()
    const { clock, version, health } = options
    for (const [path, answer] of Object.entries(createConsole({ serve: on, sources, clock, version, health })))
      get(path, async (parameters, reply, headers) => {
        const gone = new AbortController()
        reply.raw.once('close', () => gone.abort())
        try {
          return sendBody(reply, finish(jsonBody(await answer(parameters, gone.signal))), headers)
        } catch (error) {
          if (error instanceof FlowError && /^(?:KAFKA|REGISTRY)_/.test(error.code)) return sendError(reply, 503, error.message)
          throw error
        }
      })
    get('/ui/assets/:name', (_query, reply, headers, { name = '' }) => {
      const body = assets.get(name)
      if (body === undefined) return sendError(reply, 404, 'there is no such file')
      return sendBody(reply, body, headers, 'public, max-age=31536000, immutable')
    })
    for (const path of ['/ui', ...CONSOLE_PAGES.map(name => `/ui/${name}`)])
      get(path, (_query, reply, headers) => {
        void reply.header('content-security-policy', CONSOLE_POLICY)
        return sendBody(reply, document, headers)
      })
  }

  get('/healthz', () => ({ status: 'ok' }))

  get('/readyz', (_query, reply) => {
    const roles = options.health()
    const unready = roles.filter(role => !role.ok)
    if (unready.length === 0) return { status: 'ready', roles }
    const message = unready.map(({ role, why }) => `${role}: ${why ?? 'not ready'}`).join('; ')
    return reply.code(503).send({ error_code: 503, message: withoutSecrets(message), roles })
  })

  get('/metrics', async (_query, reply, headers) => {
    for (const { role, ok } of options.health()) metrics.set('role_ready', { role }, ok ? 1 : 0)
    const { contentType, body } = await metrics.render(headers.accept)
    return reply.header('content-type', contentType).send(body)
  })

  if (control) void app.register(async child => control(child))
  else if (serve)
    get('/', () => ({
      version: connectVersion(options.version),
      commit: options.commit ?? 'unknown',
      kafka_cluster_id: serve.clusterId,
    }))

  if (serve) {
    const api = createApi({ serve, clock: options.clock, metrics })
    for (const [path, answer] of Object.entries(api)) {
      get(path.replaceAll(/\{(\w+)\}/g, ':$1'), async (parameters, reply, headers, inPath) => {
        const gone = new AbortController()
        reply.raw.once('close', () => gone.abort())
        if (reply.raw.destroyed) gone.abort()
        const answered = await answer({ parameters, inPath, gone: gone.signal, onOverdue: () => reply.raw.socket?.destroy() })
        if ('refused' in answered) {
          if (answered.retryAfterS !== undefined) void reply.header('retry-after', String(answered.retryAfterS))
          return sendError(reply, 503, answered.refused)
        }
        return sendBody(reply, answered, headers)
      })
    }

    const document = finish(jsonBody(openApiDocument(options.version)))
    get('/openapi.json', (_query, reply, headers) => sendBody(reply, document, headers))

    const docs = docsPage(options.version)
    get('/docs', (_query, reply) => sendPage(reply, docs, "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"))

    if (options.sources) addConsole(options.sources, serve)
  }

  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request)
    if (paths.some(each => each.test(path))) {
      void reply.header('allow', 'GET, HEAD')
      return sendError(reply, 405, `${path.slice(0, 200)} takes GET only`)
    }
    const hint = hintFor(path, { hasServer: serve !== undefined, hasWorker: control !== undefined })
    return sendError(reply, 404, `there is nothing at ${path.slice(0, 200)}${hint}`)
  })

  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    if (error instanceof FlowError && error.code === 'QUERY_INVALID')
      return sendError(reply, 400, error.details.hint ?? error.message)
    if (error instanceof FlowError && error.code === 'NOT_FOUND')
      return sendError(reply, 404, error.details.hint ?? error.message)
    // The client has gone: nobody reads this.
    if (error instanceof FlowError && error.code === 'STOPPED') return sendError(reply, 503, error.message)
    const status = 'statusCode' in error ? error.statusCode : undefined
    if (status !== undefined && status >= 400 && status < 500) {
      // A body that nobody takes on a path that takes GET only is first of all the wrong method.
      if (request.is404) return sendError(reply, 404, 'there is nothing here that takes this request')
      return sendError(reply, status, error.message)
    }
    // As the route has it: a part of the address may be the id of a conversation, and that a phone number.
    const path = request.routeOptions.url ?? pathOf(request).slice(0, 200)
    log.error({ ...errorFields(asFlowError(error)), path }, 'a request failed')
    return sendError(reply, 500, 'the request failed for a fault of ours; the log has more')
  })

  const { host, port } = options
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EADDRINUSE') {
      throw new FlowError(
        'PORT_TAKEN',
        { host, port, hint: 'stop what listens there, or set http.port (0 takes a free one)' },
        error,
      )
    }
    throw new FlowError(
      'CFG_INVALID',
      { path: 'http', host, port, hint: `http cannot be listened on there (${code ?? String(error)})` },
      error,
    )
  }
  const address = app.server.address()
  const taken = typeof address === 'object' && address !== null ? address.port : port
  const url = `http://${shownHost(host)}:${taken}`
  log.info({ host, port: taken, url }, 'listening')
  if (access.closed) {
    log.warn(
      { host, port: taken },
      'only /metrics, /healthz and /readyz are served: the address is not of the loopback, and http.token is not set',
    )
  }
  return { port: taken, url, close: () => app.close() }
}

type Headers = Readonly<Partial<Record<'accept' | 'accept-encoding' | 'if-none-match', string | undefined>>>

function hintFor(path: string, { hasServer, hasWorker }: { readonly hasServer: boolean; readonly hasWorker: boolean }): string {
  if (path === '/') return ': this process has neither the worker nor the server role'
  if (!hasServer && SERVED.test(path)) return ': this process does not have the server role'
  if (!hasWorker && CONTROLLED.test(path)) return ': this process does not have the worker role'
  return ''
}

/** No request of ours has a body worth more. */
const MOST_BODY = 1_048_576

/** The bytes, packed as the client can take them, or that it has them already. */
function sendBody(reply: FastifyReply, body: Body, headers: Headers, caching = 'private, no-cache'): FastifyReply {
  void reply.headers({
    etag: body.etag,
    vary: 'accept-encoding',
    'cache-control': caching,
    'x-content-type-options': 'nosniff',
  })
  if (isKnown(body.etag, headers['if-none-match'])) return reply.code(304).send()
  const { encoding, stream } = packed(body, headers['accept-encoding'])
  void (encoding === null ? reply.header('content-length', body.length) : reply.header('content-encoding', encoding))
  return reply.header('content-type', body.contentType).send(stream)
}

function sendPage(reply: FastifyReply, html: string, policy: string): FastifyReply {
  return reply
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    })
    .send(html)
}

function sendError(reply: FastifyReply, status: number, message: string): FastifyReply {
  const told = withoutSecrets(message)
  return reply
    .code(status)
    .send(isBotPath(pathOf(reply.request)) ? botError(status, told) : { error_code: status, message: told })
}

/** The path without slashes at its end. */
function pathOf(request: FastifyRequest): string {
  const path = request.url.split('?', 1)[0] ?? ''
  let end = path.length
  while (end > 1 && path[end - 1] === '/') end -= 1
  return path.slice(0, end)
}

/** What is no HTTP at all, has headers too large, or does not come to an end. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Socket, doors: readonly Door[]): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  // An answer to the request before this is on its way: words in between would be read as part of it.
  if (!socket.writable || doors.some(door => door.isBusy(socket))) {
    socket.destroy()
    return
  }
  const [status, reason, text] = REFUSED_BYTES[error.code ?? ''] ?? [400, 'Bad Request', 'this is no HTTP request']
  const body = JSON.stringify({ error_code: status, message: text })
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
}

const REFUSED_BYTES: Readonly<Record<string, readonly [number, string, string] | undefined>> = {
  HPE_HEADER_OVERFLOW: [431, 'Request Header Fields Too Large', 'the headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'Request Timeout', 'the request took too long to arrive'],
}

/** An address that a browser on this machine can open. */
function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
