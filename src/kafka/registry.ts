/** The schema registry: at start-up, and for schema ids that have not been met before. Records are framed and encoded by `codec.ts`. */
import { setTimeout as pause } from 'node:timers/promises'
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import avsc from 'avsc'
import { FlowError } from '../errors.ts'
import type { Log } from '../log.ts'

export interface RegistryOptions {
  /** May carry a path. */
  readonly url: string
  readonly auth?: { readonly username: string; readonly password: string }
  readonly log: Log
}

export interface Registry {
  /**
   * Registers the schema as the newest version of the subject, or finds that it is there.
   * @param schemaText As it stands in its file: defaults and docs included.
   * @returns its id.
   * @throws FlowError REGISTRY_INCOMPATIBLE (names subject and, where it can be told, field), REGISTRY_UNREACHABLE, CFG_INVALID (credentials)
   */
  register(subject: string, schemaText: string): Promise<number>
  /** The schema's text; kept for ever. @throws FlowError NOT_FOUND (remembered for a minute), REGISTRY_UNREACHABLE */
  schemaById(id: number): Promise<string>
  /** Whether a schema registry answers. @throws FlowError REGISTRY_UNREACHABLE, CFG_INVALID (credentials, or another path than the registry's) */
  ping(): Promise<void>
}

/** The client has no limit of its own; it tries a GET three times. */
const TIMEOUT_MS = 10_000
const UNKNOWN_FOR_MS = 60_000
const REGISTER_TRIES = 5
const REGISTER_PAUSE_MS = 200

/** The routes that the client has but does not offer. */
interface Routes {
  readonly Schema: { find(of: { id: number }): Promise<Answer<{ schema: string }>> }
  readonly Subject: {
    all(): Promise<Answer<unknown>>
    config(of: { subject: string }): Promise<Answer<{ compatibilityLevel: string }>>
    latestVersion(of: { subject: string }): Promise<Answer<{ schema: string }>>
  }
}

interface Answer<T> {
  data(): T
}

/** Asks nothing yet. Retries are never set here: the client's retry options leak into all of its instances. */
export function connectRegistry(options: RegistryOptions): Registry {
  const host = options.url.replace(/\/+$/, '')
  const client = new SchemaRegistry({ host, clientId: 'colloquy', ...(options.auth === undefined ? {} : { auth: options.auth }) })
  const routes = (client as unknown as { api: Routes }).api
  const schemas = new Map<number, Promise<string>>()
  const unknownUntilMs = new Map<number, number>()

  /** Null for 404. */
  async function ask<T>(work: () => Promise<T>): Promise<T | null> {
    const late = Symbol('late')
    const { promise, resolve } = Promise.withResolvers<typeof late>()
    const timer = setTimeout(() => resolve(late), TIMEOUT_MS)
    try {
      const answer = await Promise.race([work(), promise])
      if (answer === late)
        throw new FlowError('REGISTRY_UNREACHABLE', { hint: `no answer within ${TIMEOUT_MS} ms`, registry: host })
      return answer
    } catch (error) {
      if (statusOf(error) === 404) return null
      throw failure(error)
    } finally {
      clearTimeout(timer)
    }
  }

  function failure(error: unknown): unknown {
    const status = statusOf(error)
    if (error instanceof FlowError || status === 409 || status === 422) return error
    if (status === 401 || status === 403) {
      return new FlowError('CFG_INVALID', {
        hint: `the schema registry does not take our credentials (HTTP ${status})`,
        path: 'registry.auth',
      })
    }
    // The message carries the address and the registry's own words, never our credentials, which go in a header.
    return new FlowError('REGISTRY_UNREACHABLE', { hint: error instanceof Error ? error.message : String(error), registry: host })
  }

  async function latest(subject: string): Promise<string | null> {
    const answer = await ask(() => routes.Subject.latestVersion({ subject }))
    return answer === null ? null : answer.data().schema
  }

  /** @param tries Left, this one included: who registers a subject at the same moment makes the registry refuse both, and the next try finds it there. */
  async function register(subject: string, schemaText: string, tries = REGISTER_TRIES): Promise<number> {
    const config = await ask(() => routes.Subject.config({ subject }))
    // The client registers nothing where the subject has another level than the one it is called with; so it is called with that one. A
    // subject that is new gets BACKWARD.
    const level = config?.data().compatibilityLevel.toUpperCase() ?? null
    if (level === 'NONE') {
      // Apicurio 2 says so of any subject without a rule of its own, whatever holds globally: so hold it to the latest version ourselves.
      const before = await latest(subject)
      const fault = before === null ? null : incompatibility(schemaText, before)
      if (fault !== null) throw incompatible(subject, fault)
    }
    try {
      const registered = await ask(() =>
        client.register({ type: SchemaType.AVRO, schema: schemaText }, { subject, compatibility: levelOf(level ?? 'BACKWARD') }),
      )
      if (registered === null)
        throw new FlowError('REGISTRY_UNREACHABLE', { hint: 'nothing of a schema registry at this address', registry: host })
      options.log.debug({ subject, schemaId: registered.id }, 'Schema registered')
      return registered.id
    } catch (error) {
      const status = statusOf(error)
      if (status !== 409 && status !== 422) throw error
      const before = await latest(subject)
      const fault = before === null ? null : incompatibility(schemaText, before)
      if (fault !== null || tries <= 1) throw incompatible(subject, fault)
      await pause(REGISTER_PAUSE_MS)
      return register(subject, schemaText, tries - 1)
    }
  }

  function incompatible(subject: string, fault: { field: string | null; reason: string } | null): FlowError {
    const what = fault === null ? 'the registry does not say why' : fault.reason
    return new FlowError('REGISTRY_INCOMPATIBLE', {
      hint: `${subject}${fault?.field ? `, field ${fault.field}` : ''}: ${what}; what was written with the latest version could not be read with ours`,
      subject,
      ...(fault?.field ? { field: fault.field } : {}),
    })
  }

  async function fetchSchema(id: number): Promise<string> {
    const answer = await ask(() => routes.Schema.find({ id }))
    if (answer !== null) return answer.data().schema
    unknownUntilMs.set(id, Date.now() + UNKNOWN_FOR_MS)
    throw unknown(id)
  }

  function unknown(id: number): FlowError {
    return new FlowError('NOT_FOUND', { hint: `the schema registry has no schema with id ${id}`, schemaId: id })
  }

  return {
    register: (subject, schemaText) => register(subject, schemaText),
    schemaById: async id => {
      if ((unknownUntilMs.get(id) ?? 0) > Date.now()) throw unknown(id)
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
      // A registry answers with a list; what stands at another path of the same server (a page of its console, say) does not.
      const answer = await ask(() => routes.Subject.all())
      if (answer !== null && isSubjects(answer.data())) return
      throw new FlowError('CFG_INVALID', {
        path: 'registry.url',
        hint: `${answer === null ? 'HTTP 404' : 'an answer that is no list of subjects'} from ${host}/subjects: no schema registry at this path; registry.url ends where /subjects begins, such as http://host:8080/apis/ccompat/v7`,
      })
    },
  }
}

function statusOf(error: unknown): number | null {
  return typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number'
    ? error.status
    : null
}

/** The client gives JSON that is announced as such as a value, and all else as text. */
function isSubjects(data: unknown): boolean {
  if (typeof data !== 'string') return Array.isArray(data)
  try {
    return Array.isArray(JSON.parse(data))
  } catch {
    return false
  }
}

/** The registry's word as the client's enum has it. */
function levelOf(level: string): COMPATIBILITY {
  return COMPATIBILITY[level as keyof typeof COMPATIBILITY]
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
