/** Kafka Connect's REST API as routes of the process's listener: what every request goes through, before and after its route (`routes.ts`). */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../../clock.ts'
import { asFlowError, FlowError } from '../../errors.ts'
import { errorFields, type Log, withoutSecrets } from '../../log.ts'
import { connectVersion } from '../../version.ts'
import type { ConnectorClasses } from '../classes.ts'
import { ControlError, type Herder } from '../port.ts'
import type { Resolve } from '../validate.ts'
import { askedBy, forwarder, type Passed, textOf } from './forward.ts'
import { type Answer, type Ask, type Query, type Route, routes } from './routes.ts'

export interface RestOptions {
  /** null while the worker starts. */
  readonly herder: () => Herder | null
  /** What the worker waits for while there is no herder. */
  readonly starting: () => string
  readonly classes: ConnectorClasses
  readonly resolve: Resolve
  readonly clock: Clock
  readonly log: Log
  /** Our own version, without a `v`. */
  readonly version: string
  /** Commit of the build, if known. */
  readonly commit?: string | undefined
  /** Deadline of a request. */
  readonly timeoutMs?: number
}

/** Adds the routes. Call it in a context of its own (`app.register`): it parses bodies and formats errors in its own way. */
export function addControlRoutes(app: FastifyInstance, options: RestOptions): void {
  const { clock, log, starting, timeoutMs = 90_000 } = options
  const forward = forwarder({ clock, timeoutMs })
  app.addHook('onClose', () => forward.close())

  takeAnyBody(app)
  app.addHook('onRequest', async (request, reply) =>
    isOfAnotherSite(request)
      ? sendError(reply, 403, 'requests from pages of other sites are rejected')
      : hasHiddenSlash(request)
        ? sendError(reply, 400, 'a path cannot contain %2F: names have no slashes')
        : undefined,
  )
  app.setErrorHandler((error: FastifyError | Error, request, reply) => {
    const { status, message } = errorOf(error)
    if (status === 500 && !(error instanceof ControlError))
      log.error({ ...errorFields(asFlowError(error)), path: request.routeOptions.url ?? '' }, 'failed to handle request')
    return sendError(reply, status, message)
  })

  const herder = (): Herder => {
    const found = options.herder()
    if (found === null)
      throw new ControlError(409, `Cannot complete request momentarily: this worker is still starting up (${starting()})`)
    return found
  }

  async function answer(route: Route, request: FastifyRequest): Promise<Answer | Passed> {
    const ask = askOf(herder, request)
    const answeredBy = typeof route.answeredBy === 'string' ? route.answeredBy : route.answeredBy(ask.query)
    if (answeredBy === 'anyone') return route.answer(ask)
    const { leader } = ask.herder.group()
    if (leader?.isMe === true) return route.answer(ask)
    return forward.pass(request, () => ask.herder.group().leader?.url ?? null)
  }

  const table = [...routes({ ...options, levels: log.levels })]
  for (const route of table)
    app.route({
      method: route.method,
      url: route.path,
      handler: async (request, reply) => send(reply, await inTime(() => answer(route, request))),
    })

  app.get('/', () => ({
    version: connectVersion(options.version),
    commit: options.commit ?? 'unknown',
    kafka_cluster_id: options.herder()?.clusterId() ?? null,
  }))
  let hasStarted = false
  app.get('/health', (_request, reply) => {
    const worker = options.herder()
    const why = worker === null ? starting() : worker.whyNot()
    hasStarted ||= why === null
    const [status, state, message] =
      why === null
        ? ([200, 'healthy', 'Worker has completed startup and is ready to handle requests.'] as const)
        : hasStarted
          ? ([
              500,
              'unhealthy',
              `Worker was unable to handle this request and may be unable to handle other requests. ${why}`,
            ] as const)
          : ([503, 'starting', `Worker is still starting up. ${why}`] as const)
    return reply.code(status).send({ status: state, message: withoutSecrets(message) })
  })
  refuseOtherMethods(app, [...table, { method: 'GET', path: '/' }, { method: 'GET', path: '/health' }])

  async function inTime<T>(work: () => Promise<T>): Promise<T> {
    const began = new Date(clock.now()).toISOString()
    const done = new AbortController()
    try {
      return await Promise.race([
        work(),
        clock.sleep(timeoutMs, done.signal).then(() => {
          throw new ControlError(500, `Request timed out. The worker is currently handling the request, which began at ${began}.`)
        }),
      ])
    } finally {
      done.abort()
    }
  }
}

/** Bodies as text: routes parse them. Also without a content type, as tools send them; empty ones of any type. */
function takeAnyBody(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) => {
    const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
    const isJson = type === '' || type === 'application/json' || type === '*/*'
    if (isJson || body.length === 0) done(null, body)
    else done(new ControlError(415, 'HTTP 415 Unsupported Media Type: this takes application/json'))
  })
}

/** Whether a page of another site makes the browser send the request: without any permission it could restart connectors of a worker on the loopback. */
function isOfAnotherSite({ headers, method }: FastifyRequest): boolean {
  const { origin, host } = headers
  if (method === 'GET' || method === 'HEAD' || origin === undefined) return false
  return !URL.canParse(origin) || new URL(origin).host !== host
}

/** Kafka Connect's listener rejects them, too: some of its tools would see two segments in a name with a slash. */
const hasHiddenSlash = ({ url }: FastifyRequest): boolean => /%2f/i.test(url.split('?', 1)[0] ?? '')

function askOf(herder: () => Herder, request: FastifyRequest): Ask {
  return {
    get herder() {
      return herder()
    },
    query: request.query as Query,
    params: request.params as Ask['params'],
    text: textOf(request),
    by: askedBy(request),
  }
}

interface Paths {
  readonly method: string
  readonly path: string
}

/** 405 with the allowed methods. */
function refuseOtherMethods(app: FastifyInstance, table: readonly Paths[]): void {
  for (const [path, routes] of Map.groupBy(table, ({ path: each }) => each)) {
    const taken = new Set(routes.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method])))
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].filter(method => !taken.has(method))
    app.route({
      method: others,
      url: path,
      // Before the body is parsed: the method is wrong with any body.
      onRequest: (request, reply) => {
        void reply.header('allow', [...taken].join(', '))
        if (request.method === 'OPTIONS') void reply.code(200).send()
        else sendError(reply, 405, `HTTP 405 Method Not Allowed: ${path} takes ${[...taken].join(', ')}`)
      },
      handler: () => {},
    })
  }
}

async function send(reply: FastifyReply, answer: Answer | Passed): Promise<FastifyReply> {
  void reply.code(answer.status)
  if (answer.location !== undefined) void reply.header('location', answer.location)
  if ('text' in answer) {
    if (answer.contentType !== undefined) void reply.header('content-type', answer.contentType)
    return reply.send(answer.text)
  }
  return reply.send(answer.body)
}

function sendError(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send({ error_code: status, message: withoutSecrets(message) })
}

function errorOf(error: FastifyError | Error): { readonly status: number; readonly message: string } {
  if (error instanceof ControlError) return error
  // The message of Kafka or the registry, with the fix.
  if (error instanceof FlowError && error.code !== 'BUG') return { status: 500, message: `${error.message}. ${error.cure}` }
  const status = 'statusCode' in error ? error.statusCode : undefined
  if (status !== undefined && status >= 400 && status < 500) return { status, message: error.message }
  return { status: 500, message: 'the request failed because of a bug in Colloquy; see the log' }
}
