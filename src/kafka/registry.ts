/** The schema registry: at start-up, and for schema ids that have not been met before. Records are framed and encoded by `codec.ts`. */
import avsc from 'avsc'
import { type Dispatcher, request } from 'undici'
import { type Clock, systemClock } from '../clock.ts'
import { FlowError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'

export interface RegistryOptions {
  /** May carry a path. */
  readonly url: string
  readonly auth?: { readonly username: string; readonly password: string }
  readonly log: Log
  readonly clock?: Clock
  /** Ends waiting for a registry that is away: `register` then throws STOPPED. */
  readonly signal?: AbortSignal
  /** Where requests go out: a proxy, or certificates of one's own. */
  readonly dispatcher?: Dispatcher
}

export interface Registry {
  /**
   * Finds the schema among the versions of the subject, and registers it as the newest one where it is not there. So whoever may only read does
   * not need the right to register what others have. A new subject is made BACKWARD_TRANSITIVE.
   *
   * @param schemaText As it stands in its file: defaults and docs included.
   * @param options.wait Default true: while the registry is away, tries again, from 1 s to 30 s apart, and logs it. False: throws at once.
   * @returns its id.
   * @throws FlowError REGISTRY_INCOMPATIBLE (names subject, the registry's reason and, where it can be told, field), CFG_INVALID (credentials, or
   *   no right to register what is not there), STOPPED; REGISTRY_UNREACHABLE without `wait`
   */
  register(subject: string, schemaText: string, options?: { readonly wait?: boolean }): Promise<number>
  /** The schema's text; kept for ever. @throws FlowError NOT_FOUND (remembered for a minute), REGISTRY_UNREACHABLE */
  schemaById(id: number): Promise<string>
  /** @throws FlowError REGISTRY_UNREACHABLE (also where something else answers at the address), CFG_INVALID (credentials) */
  ping(): Promise<void>
}

const TIMEOUT_MS = 10_000
const UNKNOWN_FOR_MS = 60_000
const REGISTER_TRIES = 5
const REGISTER_PAUSE_MS = 200
const FIRST_WAIT_MS = 1_000
const LONGEST_WAIT_MS = 30_000
/** What a new subject is held to. */
const LEVEL = 'BACKWARD_TRANSITIVE'

type Answer =
  | { readonly is: 'good'; readonly body: unknown }
  /** There is no such subject, version or schema. */
  | { readonly is: 'absent' }
  /** The registry does not let us (403). */
  | { readonly is: 'forbidden'; readonly reason: string }
  /** The registry says no to the schema (409, 422), in its own words. */
  | { readonly is: 'refused'; readonly reason: string }

/** Asks nothing yet. */
export function connectRegistry(options: RegistryOptions): Registry {
  const { log, clock = systemClock, signal } = options
  const { url, headers } = addressOf(options)
  const schemas = new Map<number, Promise<string>>()
  const unknownUntilMs = new Map<number, number>()

  /** @throws FlowError REGISTRY_UNREACHABLE, CFG_INVALID (401) */
  async function ask(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<Answer> {
    let status: number
    let text: string
    try {
      const response = await request(`${url}${path}`, {
        method,
        headers: body === undefined ? headers : { ...headers, 'content-type': 'application/vnd.schemaregistry.v1+json' },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(options.dispatcher === undefined ? {} : { dispatcher: options.dispatcher }),
      })
      status = response.statusCode
      text = await response.body.text()
    } catch (error) {
      throw unreachable(reasonOf(error), error)
    }
    const told = parsed(text)
    const reason = wordsOf(told) ?? `HTTP ${status}`
    if (status >= 200 && status < 300) {
      if (told === null) throw unreachable('what answers is no schema registry: check the path of registry.url')
      return { is: 'good', body: told }
    }
    if (status === 409 || status === 422) return { is: 'refused', reason }
    if (status === 403) return { is: 'forbidden', reason }
    if (status === 401) {
      throw new FlowError('CFG_INVALID', {
        hint: 'the schema registry does not take our credentials (HTTP 401)',
        path: 'registry.auth',
      })
    }
    // A registry says with a code of its own what is not there; a 404 without one is somebody else's.
    if (status === 404 && isRegistryError(told)) return { is: 'absent' }
    if (status === 404) throw unreachable('what answers is no schema registry (HTTP 404): check the path of registry.url')
    throw unreachable(wordsOf(told) === null ? reason : `HTTP ${status}: ${reason}`)
  }

  function unreachable(hint: string, cause?: unknown): FlowError {
    return new FlowError('REGISTRY_UNREACHABLE', { hint, registry: url }, cause)
  }

  function forbidden(hint: string): FlowError {
    return new FlowError('CFG_INVALID', { hint, path: 'registry.auth' })
  }

  const of = (subject: string) => encodeURIComponent(subject)

  /** The id that the schema has under the subject; null where it is not there, or we may not look. */
  async function lookUp(subject: string, schemaText: string): Promise<number | null> {
    const answer = await ask('POST', `/subjects/${of(subject)}`, { schema: schemaText })
    return answer.is === 'good' ? idOf(answer.body, subject) : null
  }

  function idOf(body: unknown, subject: string): number {
    const id = (body as { id?: unknown }).id
    if (typeof id === 'number') return id
    throw unreachable(`the answer for ${subject} has no schema id`)
  }

  async function latest(subject: string): Promise<string | null> {
    const answer = await ask('GET', `/subjects/${of(subject)}/versions/latest`)
    const schema = answer.is === 'good' ? (answer.body as { schema?: unknown }).schema : null
    return typeof schema === 'string' ? schema : null
  }

  async function levelOf(subject: string): Promise<string | null> {
    const answer = await ask('GET', `/config/${of(subject)}`)
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
      // Apicurio 2 says so of any subject without a rule of its own, whatever holds globally: so hold it to the latest version ourselves.
      const fault = await faultAgainstLatest(subject, schemaText)
      if (fault !== null) throw incompatible(subject, fault, null)
    }
    for (let tries = 1; ; tries++) {
      const answer = await ask('POST', `/subjects/${of(subject)}/versions`, { schema: schemaText })
      if (answer.is === 'good') {
        const id = idOf(answer.body, subject)
        log.debug({ subject, schemaId: id }, 'Schema registered')
        if (level === null) await holdTo(subject)
        return id
      }
      if (answer.is === 'absent') throw unreachable('what answers is no schema registry: it registers nothing')
      if (answer.is === 'forbidden') {
        throw forbidden(
          `the schema registry does not let us register ${subject} (${answer.reason}), and our schema is not there: let somebody register it from the folder schemas, or give us the right`,
        )
      }
      // Who registers a subject at the same moment makes a registry refuse both: it is there then.
      const other = await lookUp(subject, schemaText)
      if (other !== null) return other
      const fault = await faultAgainstLatest(subject, schemaText)
      if (fault !== null || tries >= REGISTER_TRIES) throw incompatible(subject, fault, answer.reason)
      await clock.sleep(REGISTER_PAUSE_MS, signal)
    }
  }

  /** Schemas are found and written all the same where we may not say what later ones are held to. */
  async function holdTo(subject: string): Promise<void> {
    const answer = await ask('PUT', `/config/${of(subject)}`, { compatibility: LEVEL })
    if (answer.is === 'good') return
    const reason = 'reason' in answer ? answer.reason : 'HTTP 404'
    log.warn({ subject, level: LEVEL, reason }, 'The registry does not let us set the compatibility of a new subject')
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
        log.warn({ ...errorFields(error), subject, waitMs }, 'The schema registry is away; trying again')
      }
      await clock.sleep(waitMs, signal)
      if (signal?.aborted === true) throw new FlowError('STOPPED', { subject })
    }
  }

  async function fetchSchema(id: number): Promise<string> {
    const answer = await ask('GET', `/schemas/ids/${id}`)
    if (answer.is === 'good') {
      const { schema } = answer.body as { schema?: unknown }
      if (typeof schema !== 'string') throw unreachable(`the answer for schema ${id} has no schema`)
      return schema
    }
    if (answer.is === 'forbidden') throw forbidden(`the schema registry does not let us read schema ${id} (${answer.reason})`)
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
    ping: async () => {
      // Any answer of a registry will do, also that there is no such subject or that we may not ask.
      await ask('GET', '/config/colloquy-ping')
    },
  }
}

/** The address without credentials and last slash; credentials go in a header, also those that stand in the address. */
function addressOf({ url, auth }: RegistryOptions): { url: string; headers: Record<string, string> } {
  const parsedUrl = new URL(url)
  const user = auth ?? { username: decodeURIComponent(parsedUrl.username), password: decodeURIComponent(parsedUrl.password) }
  parsedUrl.username = ''
  parsedUrl.password = ''
  const isKnown = user.username !== '' || user.password !== ''
  return {
    url: parsedUrl.href.replace(/\/+$/, ''),
    headers: {
      accept: 'application/vnd.schemaregistry.v1+json, application/json',
      ...(isKnown ? { authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}` } : {}),
    },
  }
}

/** Null where it is no JSON object. */
function parsed(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

function isRegistryError(told: object | null): boolean {
  return told !== null && 'error_code' in told && typeof told.error_code === 'number'
}

function wordsOf(told: object | null): string | null {
  return told !== null && 'message' in told && typeof told.message === 'string' && told.message !== '' ? told.message : null
}

/** Why there was no answer, without addresses that may be secret: what Node calls the fault. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS} ms`
  const cause = error.cause instanceof Error ? error.cause : error
  const [inner = cause] = cause instanceof AggregateError ? (cause.errors as Error[]) : []
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
