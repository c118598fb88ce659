/** The schema registry: used at start-up, and for schema ids not seen before. `codec.ts` frames and encodes records. */
import type { Agent } from 'node:http'
import { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import avsc from 'avsc'
import { type Clock, systemClock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'

export interface RegistryOptions {
  /** May carry a path. */
  readonly url: string
  readonly auth?: { readonly username: string; readonly password: string }
  readonly log: Log
  readonly clock?: Clock
  /** Stops waiting for a registry that is down: `register` then throws STOPPED. */
  readonly signal?: AbortSignal
  /** Opens the connections: a proxy, or certificates of one's own. For an https address an `https.Agent`. Default: direct. */
  readonly agent?: Agent
  /** Deadline for a whole answer, including its last byte. Default 10 s. */
  readonly timeoutMs?: number
}

export interface Registry {
  /**
   * Finds the schema among the versions of the subject, and registers it as the newest one if it is missing. So a process with read access only can use schemas
   * that others have registered. A new subject is set to BACKWARD_TRANSITIVE.
   *
   * @param schemaText Text of the schema file, with defaults and docs.
   * @param options.wait Default true: retries while the registry is down, from 1 s to 30 s apart, and logs it. False: throws at once.
   * @returns its id.
   * @throws FlowError REGISTRY_INCOMPATIBLE (names subject, the registry's reason and, where it can be determined, field), CFG_INVALID (credentials, or no
   *   right to register a missing schema), STOPPED; REGISTRY_UNREACHABLE without `wait`
   */
  register(subject: string, schemaText: string, options?: { readonly wait?: boolean }): Promise<number>
  /** The schema's text; cached for ever. @throws FlowError NOT_FOUND (remembered for a minute), REGISTRY_UNREACHABLE */
  schemaById(id: number): Promise<string>
  /** The newest version of the subject; null: it is not registered. @throws FlowError REGISTRY_UNREACHABLE, CFG_INVALID (credentials, or no right to read) */
  newest(subject: string): Promise<{ readonly version: number; readonly id: number } | null>
  /** @throws FlowError REGISTRY_UNREACHABLE, CFG_INVALID (credentials, or another server answers at the address) */
  ping(): Promise<void>
}

const TIMEOUT_MS = 10_000
const UNKNOWN_FOR_MS = 60_000
const REGISTER_TRIES = 5
const REGISTER_PAUSE_MS = 200
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 30_000
/** Codes that only registries return; 404 is also the answer for a path that does not exist. */
const OWN_CODES_FROM = 40_000
/** Compatibility level of a new subject. */
const LEVEL = 'BACKWARD_TRANSITIVE'

type Answer =
  | { readonly is: 'good'; readonly body: unknown }
  /** There is no such subject, version or schema; `code` is the registry's own, such as 40401. */
  | { readonly is: 'absent'; readonly code: number }
  /** The registry denies access (403). */
  | { readonly is: 'forbidden'; readonly reason: string }
  /** The registry rejects the schema (409, 422); `reason` is its message. */
  | { readonly is: 'refused'; readonly reason: string }

/** Another server answers, or the registry at another path. */
interface Foreign {
  readonly is: 'foreign'
  readonly reason: string
}

/** What the client has but does not export: its routes and their middleware. */
interface Routes {
  readonly _manifest: { readonly middleware: Middleware[] }
  readonly Schema: Readonly<Record<'find', Route<{ id: number }>>>
  readonly Subject: Readonly<Record<'all', Route<object>>> &
    Readonly<Record<'config' | 'latestVersion', Route<{ subject: string }>>> &
    Readonly<Record<'register' | 'registered' | 'updateConfig', Route<{ subject: string; body: object }>>>
}

type Route<P> = (parameters: P & { signal: AbortSignal }) => Promise<HttpAnswer>

interface HttpAnswer {
  status(): number
  rawData(): string | null
  /** Why there was no answer; the status is 400 then. */
  error(): Error | null
}

type Middleware = () => { response(next: () => Promise<HttpAnswer>): Promise<HttpAnswer> }

/**
 * Treats every HTTP response as an answer. The client's own errors have a status and one line, but not the registry's error code, which distinguishes its 404
 * from that of any other server; and they report a connection failure as a response with status 400.
 */
const everyAnswer: Middleware = () => ({
  response: next => next().catch((answer: HttpAnswer) => answer),
})

function routesOf(host: string, { auth, agent }: Pick<RegistryOptions, 'auth' | 'agent'>): Routes {
  const client = new SchemaRegistry({
    host,
    clientId: 'colloquy',
    ...(auth === undefined ? {} : { auth }),
    ...(agent === undefined ? {} : { agent }),
  })
  const routes = (client as unknown as { api: Routes }).api
  // The first one is next to the connection; `middlewares` of the options come last, after the client's own errors.
  routes._manifest.middleware.unshift(everyAnswer)
  return routes
}

/** Sends no request yet. */
export function connectRegistry(options: RegistryOptions): Registry {
  const { log, clock = systemClock, signal, agent, timeoutMs = TIMEOUT_MS } = options
  const { url, auth } = addressOf(options)
  const routes = routesOf(url, { ...(auth === undefined ? {} : { auth }), ...(agent === undefined ? {} : { agent }) })
  const schemas = new Map<number, Promise<string>>()
  const unknownUntilMs = new Map<number, number>()

  /** @throws FlowError REGISTRY_UNREACHABLE, CFG_INVALID (401) */
  async function ask<P>(route: Route<P>, parameters: P): Promise<Answer> {
    const answer = await hear(route, parameters)
    // Not necessarily a wrong config: a proxy before a starting registry answers like this too.
    if (answer.is === 'foreign') throw unreachable(`no schema registry at this path (${answer.reason}): check registry.url`)
    return answer
  }

  async function hear<P>(route: Route<P>, parameters: P): Promise<Answer | Foreign> {
    const answer = await inTime(route, parameters)
    const error = answer.error()
    if (error !== null) throw unreachable(reasonOf(error), error)
    const status = answer.status()
    const body = parsed(answer.rawData() ?? '')
    const reason = wordsOf(body) ?? `HTTP ${status}`
    if (status >= 200 && status < 300) {
      return body === null ? { is: 'foreign', reason: `HTTP ${status}, and no JSON` } : { is: 'good', body }
    }
    if (status === 409 || status === 422) return { is: 'refused', reason }
    if (status === 403) return { is: 'forbidden', reason }
    if (status === 401) {
      throw new FlowError('CFG_INVALID', {
        hint: 'the schema registry rejects our credentials (HTTP 401)',
        path: 'registry.auth',
      })
    }
    // A registry reports missing things with a code of its own; a 404 without one comes from another server.
    const code = codeOf(body)
    if (status === 404) return code === null ? { is: 'foreign', reason: 'HTTP 404' } : { is: 'absent', code }
    throw unreachable(wordsOf(body) === null ? reason : `HTTP ${status}: ${reason}`)
  }

  /** The client has no deadline, and never settles when an answer breaks off half way. */
  async function inTime<P>(route: Route<P>, parameters: P): Promise<HttpAnswer> {
    const limit = new AbortController()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      reject(unreachable(`no answer within ${timeoutMs} ms`))
      limit.abort()
    }, timeoutMs)
    try {
      return await Promise.race([route({ ...parameters, signal: limit.signal }), late])
    } finally {
      clearTimeout(timer)
    }
  }

  function unreachable(hint: string, cause?: unknown): FlowError {
    return new FlowError('REGISTRY_UNREACHABLE', { hint, registry: url }, cause)
  }

  function forbidden(hint: string): FlowError {
    return new FlowError('CFG_INVALID', { hint, path: 'registry.auth' })
  }

  /** Id of the schema under the subject; null where it is missing, or we have no access. */
  async function lookUp(subject: string, schemaText: string): Promise<number | null> {
    const answer = await ask(routes.Subject.registered, { subject, body: { schema: schemaText } })
    return answer.is === 'good' ? idOf(answer.body, subject) : null
  }

  function idOf(body: unknown, subject: string): number {
    const id = (body as { id?: unknown }).id
    if (typeof id === 'number') return id
    throw unreachable(`the answer for ${subject} has no schema id`)
  }

  async function latest(subject: string): Promise<string | null> {
    const answer = await ask(routes.Subject.latestVersion, { subject })
    const schema = answer.is === 'good' ? (answer.body as { schema?: unknown }).schema : null
    return typeof schema === 'string' ? schema : null
  }

  async function levelOf(subject: string): Promise<string | null> {
    const answer = await ask(routes.Subject.config, { subject })
    const level = answer.is === 'good' ? (answer.body as { compatibilityLevel?: unknown }).compatibilityLevel : null
    return typeof level === 'string' ? level.toUpperCase() : null
  }

  /** Why the newest version of the subject could not be read with ours. */
  async function faultAgainstLatest(subject: string, schemaText: string): Promise<ReturnType<typeof incompatibility>> {
    const before = await latest(subject)
    return before === null ? null : incompatibility(schemaText, before)
  }

  async function registerOnce(subject: string, schemaText: string): Promise<number> {
    const known = await lookUp(subject, schemaText)
    if (known !== null) return known
    const level = await levelOf(subject)
    if (level === 'NONE') {
      // Apicurio 2 answers this for any subject without a rule of its own, whatever the global rule: so check against the latest version here.
      const fault = await faultAgainstLatest(subject, schemaText)
      if (fault !== null) throw incompatible(subject, fault, null)
    }
    for (let tries = 1; ; tries++) {
      const answer = await ask(routes.Subject.register, { subject, body: { schema: schemaText } })
      if (answer.is === 'good') {
        const id = idOf(answer.body, subject)
        log.debug({ subject, schemaId: id }, 'registered schema')
        if (level === null) await holdTo(subject)
        return id
      }
      if (answer.is === 'absent') throw unreachable('the server at this address is not a schema registry: it registers nothing')
      if (answer.is === 'forbidden') {
        throw forbidden(
          `the schema registry denies us to register ${subject} (${answer.reason}), and our schema is missing: register it from the folder schemas, or grant us the right`,
        )
      }
      // If another process registers the subject at the same moment, a registry may reject both: then the schema exists now.
      const other = await lookUp(subject, schemaText)
      if (other !== null) return other
      const fault = await faultAgainstLatest(subject, schemaText)
      if (fault !== null || tries >= REGISTER_TRIES) throw incompatible(subject, fault, answer.reason)
      await clock.sleep(REGISTER_PAUSE_MS, signal)
    }
  }

  /** If we may not set the compatibility of a subject, its schemas are still read and registered. */
  async function holdTo(subject: string): Promise<void> {
    const answer = await ask(routes.Subject.updateConfig, { subject, body: { compatibility: LEVEL } })
    if (answer.is === 'good') return
    const reason = 'reason' in answer ? answer.reason : 'HTTP 404'
    log.warn({ subject, level: LEVEL, reason }, 'failed to set the compatibility of a new subject: the registry denies it')
  }

  function incompatible(subject: string, fault: { field: string | null; reason: string } | null, said: string | null): FlowError {
    const place = `${subject}${fault?.field ? `, field ${fault.field}` : ''}`
    const what = [fault?.reason, said === null ? null : `the registry says: ${said}`].filter(Boolean).join('; ')
    return new FlowError('REGISTRY_INCOMPATIBLE', {
      hint: `${place}: ${what}`,
      subject,
      ...(fault?.field ? { field: fault.field } : {}),
    })
  }

  async function register(subject: string, schemaText: string, wait: boolean): Promise<number> {
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
      try {
        return await registerOnce(subject, schemaText)
      } catch (error) {
        if (!wait || !(error instanceof FlowError) || error.code !== 'REGISTRY_UNREACHABLE') throw error
        log.warn({ ...errorFields(error), subject, waitMs }, 'failed to reach the schema registry, retrying')
      }
      await clock.sleep(waitMs, signal)
      if (signal?.aborted === true) throw new FlowError('STOPPED', { subject })
    }
  }

  async function fetchSchema(id: number): Promise<string> {
    const answer = await ask(routes.Schema.find, { id })
    if (answer.is === 'good') {
      const { schema } = answer.body as { schema?: unknown }
      if (typeof schema !== 'string') throw unreachable(`the answer for schema ${id} has no schema`)
      return schema
    }
    if (answer.is === 'forbidden') throw forbidden(`the schema registry denies us to read schema ${id} (${answer.reason})`)
    unknownUntilMs.set(id, clock.now() + UNKNOWN_FOR_MS)
    throw unknown(id)
  }

  function unknown(id: number): FlowError {
    return new FlowError('NOT_FOUND', { hint: `the schema registry has no schema with id ${id}`, schemaId: id })
  }

  return {
    register: (subject, schemaText, { wait = true } = {}) => register(subject, schemaText, wait),
    schemaById: async id => {
      if ((unknownUntilMs.get(id) ?? 0) > clock.now()) throw unknown(id)
      const known = schemas.get(id)
      if (known !== undefined) return await known
      const asked = fetchSchema(id)
      schemas.set(id, asked)
      try {
        return await asked
      } catch (error) {
        schemas.delete(id)
        throw error
      }
    },
    newest: async subject => {
      const answer = await ask(routes.Subject.latestVersion, { subject })
      if (answer.is === 'absent') return null
      if (answer.is !== 'good') throw forbidden(`the schema registry does not show us ${subject} (${answer.reason})`)
      const { version, id } = answer.body as { version?: unknown; id?: unknown }
      if (typeof version === 'number' && typeof id === 'number') return { version, id }
      throw unreachable(`the answer for ${subject} has no version`)
    },
    ping: async () => {
      // Any answer of a registry will do, also "no such subject" or "forbidden". The list can be long, so it is requested second.
      const config = await hear(routes.Subject.config, { subject: 'colloquy-ping' })
      if (config.is === 'forbidden' || (config.is === 'absent' && config.code >= OWN_CODES_FROM)) return
      if (config.is === 'good' && 'compatibilityLevel' in (config.body as object)) return
      const list = await hear(routes.Subject.all, {})
      if (list.is === 'forbidden' || (list.is === 'good' && Array.isArray(list.body))) return
      const reason = 'reason' in list ? list.reason : `${list.is === 'good' ? 'HTTP 200' : 'HTTP 404'}, and no list of subjects`
      throw new FlowError('CFG_INVALID', { hint: `no schema registry at this path (${reason}): ${url}`, path: 'registry.url' })
    },
  }
}

/** The address without credentials and trailing slash: the client sends credentials in a header, also those in the address. */
function addressOf({ url, auth }: RegistryOptions): Pick<RegistryOptions, 'url' | 'auth'> {
  const parsedUrl = new URL(url)
  const user = auth ?? { username: decodeURIComponent(parsedUrl.username), password: decodeURIComponent(parsedUrl.password) }
  parsedUrl.username = ''
  parsedUrl.password = ''
  const isKnown = user.username !== '' || user.password !== ''
  return { url: parsedUrl.href.replace(/\/+$/, ''), ...(isKnown ? { auth: user } : {}) }
}

/** Null where it is not a JSON object. */
function parsed(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

function codeOf(body: object | null): number | null {
  return body !== null && 'error_code' in body && typeof body.error_code === 'number' ? body.error_code : null
}

function wordsOf(body: object | null): string | null {
  return body !== null && 'message' in body && typeof body.message === 'string' && body.message !== '' ? body.message : null
}

/** Why there was no answer, by Node's error code, without addresses that may be secret. */
function reasonOf(error: Error): string {
  const [inner = error] = error instanceof AggregateError ? (error.errors as Error[]) : []
  const code = 'code' in inner && typeof inner.code === 'string' ? inner.code : inner.message
  return `cannot connect (${code})`
}

interface RecordSchema {
  readonly type: string
  readonly fields?: readonly { readonly name: string; readonly type: avsc.Schema; readonly default?: unknown }[]
}

/** Why data written with `before` cannot be read with `now`, and in which field; null where it can. */
export function incompatibility(now: string, before: string): { field: string | null; reason: string } | null {
  const [ours, theirs] = [JSON.parse(now) as RecordSchema, JSON.parse(before) as RecordSchema]
  if (canRead(ours as avsc.Schema, theirs as avsc.Schema)) return null
  for (const field of ours.fields ?? []) {
    const old = theirs.fields?.find(({ name }) => name === field.name)
    if (old === undefined && field.default === undefined) return { field: field.name, reason: 'it is new and has no default' }
    if (old !== undefined && !canRead(field.type, old.type)) {
      return { field: field.name, reason: `its type was ${nameOf(old.type)} and is now ${nameOf(field.type)}` }
    }
  }
  return { field: null, reason: 'the schema has another name or shape' }
}

function canRead(now: avsc.Schema, before: avsc.Schema): boolean {
  try {
    const options = () => ({ wrapUnions: false as const, registry: {} })
    avsc.Type.forSchema(now, options()).createResolver(avsc.Type.forSchema(before, options()))
    return true
  } catch {
    return false
  }
}

function nameOf(type: avsc.Schema): string {
  return typeof type === 'string' ? type : JSON.stringify(type)
}
