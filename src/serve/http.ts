/**
 * The listener of a process: health and metrics in every one, series and the page where the server role runs.
 */
import type { Socket } from 'node:net'
import { type FastifyError, type FastifyReply, fastify } from 'fastify'
import type { Clock } from '../clock.ts'
import { asFlowError, FlowError } from '../errors.ts'
import { errorFields, type Log, withoutSecrets } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import { page } from './page.ts'
import { answerQuery, type Completeness, parseQuery } from './query.ts'
import type { SeriesStore } from './store.ts'

/** The release of Kafka Connect whose REST API the root path speaks; tools hide commands that are newer than it. */
const CONNECT_VERSION = '4.3.1'

/** Whether one role can do its work. `why` says what it waits for, or what is wrong. */
export interface RoleHealth {
  readonly role: string
  readonly ok: boolean
  readonly why?: string
}

/** What the server role adds to the listener. */
export interface Serve {
  readonly store: SeriesStore
  readonly completeness: Completeness
  /** null until Kafka has been reached. */
  readonly clusterId: string | null
  /** Why series cannot be answered yet: half of them would look like fewer conversations. null: they can. */
  unready(): string | null
}

export interface HttpOptions {
  readonly host: string
  /** 0 takes a free one and logs it. */
  readonly port: number
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
}

export interface HttpServer {
  readonly port: number
  /** Such as `http://127.0.0.1:8083`. */
  readonly url: string
  /** Ends every connection, also those kept alive. */
  close(): Promise<void>
}

/** @throws FlowError PORT_TAKEN, or CFG_INVALID where the address cannot be listened on. */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { log, metrics, serve } = options
  const paths = new Set<string>()
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
    frameworkErrors: (error, _request, reply) => {
      void sendError(reply, error.statusCode ?? 400, error.message)
    },
    clientErrorHandler: refuseBytes,
  })
  const get = (
    path: string,
    answer: (query: Readonly<Record<string, unknown>>, reply: FastifyReply, headers: Headers) => unknown,
  ): void => {
    paths.add(path)
    app.get(path, async (request, reply) => answer(request.query as Record<string, unknown>, reply, request.headers))
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
    const { contentType, body } = await metrics.render(headers.accept)
    return reply.header('content-type', contentType).send(body)
  })

  if (serve) {
    const started = `${CONNECT_VERSION}-colloquy-${options.version}`
    get('/', () => ({
      version: started,
      ...(options.commit === undefined ? {} : { commit: options.commit }),
      kafka_cluster_id: serve.clusterId,
    }))

    get('/v1/series', (query, reply) => {
      const unready = serve.unready()
      if (unready !== null) return sendError(reply, 503, unready)
      const began = performance.now()
      const answer = answerQuery(parseQuery(query, options.clock.now()), serve.store, serve.completeness)
      metrics.observe('serve_query_seconds', {}, (performance.now() - began) / 1000)
      return answer
    })

    get('/ui', (_query, reply) =>
      reply
        .headers({
          'content-type': 'text/html; charset=utf-8',
          'content-security-policy':
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
          'x-content-type-options': 'nosniff',
          'cache-control': 'no-cache',
        })
        .send(page),
    )
  }

  app.setNotFoundHandler((request, reply) => {
    const path = (request.url.split('?')[0] ?? '').replace(/(?<=.)\/+$/, '')
    if (paths.has(path)) {
      void reply.header('allow', 'GET, HEAD')
      return sendError(reply, 405, `${path} takes GET only`)
    }
    const hint =
      !serve && (path === '/' || path === '/v1/series' || path === '/ui') ? ': this process does not have the server role' : ''
    return sendError(reply, 404, `there is nothing at ${path}${hint}`)
  })

  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    if (error instanceof FlowError && error.code === 'QUERY_INVALID')
      return sendError(reply, 400, error.details.hint ?? error.message)
    if (error instanceof FlowError && error.code === 'NOT_FOUND')
      return sendError(reply, 404, error.details.hint ?? error.message)
    const status = 'statusCode' in error ? error.statusCode : undefined
    if (status !== undefined && status >= 400 && status < 500) {
      // A body that nobody takes on a path that takes GET only is first of all the wrong method.
      if (request.is404) return sendError(reply, 404, 'there is nothing here that takes this request')
      return sendError(reply, status, error.message)
    }
    log.error({ ...errorFields(asFlowError(error)), path: request.url.split('?')[0] }, 'a request failed')
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
  return { port: taken, url, close: () => app.close() }
}

type Headers = Readonly<{ accept?: string | undefined }>

function sendError(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error_code: status, message: withoutSecrets(message) })
}

/** What is no HTTP at all, or has headers too large. */
function refuseBytes(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const [status, text] =
    error.code === 'HPE_HEADER_OVERFLOW' ? [431, 'the headers are too large'] : [400, 'this is no HTTP request']
  const body = JSON.stringify({ error_code: status, message: text })
  socket.end(
    `HTTP/1.1 ${status} ${status === 431 ? 'Request Header Fields Too Large' : 'Bad Request'}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** An address that a browser on this machine can open. */
function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
