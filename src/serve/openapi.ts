/** `/openapi.json`: OpenAPI 3.1 of all of `/v1`, made from the schemas that check the requests. OpenAPI 3.1 takes JSON Schema as zod writes it. */
import { z } from 'zod'
import { ENDPOINTS, type Endpoint, ErrorAnswer } from './endpoints.ts'
import { isList } from './parameters.ts'

export interface Parameter {
  readonly name: string
  readonly in: 'query' | 'path'
  readonly required: boolean
  readonly description: string
  readonly schema: JsonSchema
}

type JsonSchema = Readonly<Record<string, unknown>>

/** Address that calls are shown at: the default of `http.host` and `http.port`. */
export const SHOWN_BASE = 'http://127.0.0.1:8083'

export function openApiDocument(version: string): JsonSchema {
  const endpoints: readonly Endpoint[] = Object.values(ENDPOINTS)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Colloquy',
      version,
      description:
        'Chatbot conversations from any vendor as series of measures. Every path takes GET and HEAD; errors are `{"error_code", "message"}`, below `/v1/bots` and `/v1/teams` with `code` and `details` beside them.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    // Without `http.token` nothing is asked for.
    security: [{}, { bearer: [] }, { basic: [] }],
    paths: Object.fromEntries(endpoints.map(endpoint => [endpoint.path, { get: operationOf(endpoint) }])),
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'The token of `http.token`' },
        basic: { type: 'http', scheme: 'basic', description: 'Any user name, with the token as password' },
      },
      schemas: Object.fromEntries(
        [...endpoints.flatMap(({ answers, errors = {} }) => [...Object.values(answers), errors]), { Error: ErrorAnswer }].flatMap(
          named => Object.entries(named).map(([name, schema]) => [name, jsonSchemaOf(schema)]),
        ),
      ),
      responses: Object.fromEntries(Object.entries(FAULTS).map(([name, description]) => [name, error(description, 'Error')])),
    },
  }
}

const FAULTS = {
  Invalid: 'A parameter does not parse; the message names it and what it takes',
  Unauthorised: '`http.token` is set, and the request does not carry it',
  NotFound: 'There is nothing of this name',
  Unready: 'Not everything has been read since the start, or too many queries wait; `Retry-After` says when to ask again',
} as const

const refersTo = (name: string) => ({ $ref: `#/components/schemas/${name}` })

function operationOf(endpoint: Endpoint): JsonSchema {
  const { operationId, summary, description, inPath, answers, errors, calls } = endpoint
  const [ownError] = Object.keys(errors ?? {})
  const fault = (name: keyof typeof FAULTS) =>
    ownError === undefined ? { $ref: `#/components/responses/${name}` } : error(FAULTS[name], ownError)
  return {
    operationId,
    summary,
    description,
    parameters: parametersOf(endpoint).map(({ schema, ...parameter }) => ({
      ...parameter,
      ...(schema['type'] === 'array' ? { style: 'form', explode: false } : {}),
      schema,
    })),
    responses: {
      200: {
        description: summary,
        headers: { ETag: { description: 'Of the content; the same as long as nothing changed', schema: { type: 'string' } } },
        content: Object.fromEntries(
          Object.entries(answers).map(([type, named]) => {
            const [first = '', ...more] = Object.keys(named)
            return [type, { schema: more.length === 0 ? refersTo(first) : { anyOf: [first, ...more].map(refersTo) } }]
          }),
        ),
      },
      304: { description: 'The answer is that of `If-None-Match`' },
      400: fault('Invalid'),
      401: fault('Unauthorised'),
      ...(Object.keys(inPath.shape).length > 0 ? { 404: fault('NotFound') } : {}),
      503: fault('Unready'),
    },
    'x-codeSamples': calls.map(({ call, shows }) => ({ lang: 'Shell', label: shows, source: `curl '${SHOWN_BASE}${call}'` })),
  }
}

export function parametersOf({ inPath, parameters }: Endpoint): Parameter[] {
  return [
    ...Object.entries(inPath.shape).map(([name, schema]) => parameterOf(name, 'path', schema)),
    ...Object.entries(parameters.shape).map(([name, schema]) => parameterOf(name, 'query', schema)),
  ]
}

function parameterOf(name: string, place: Parameter['in'], schema: z.core.$ZodType): Parameter {
  const { description = '', ...rest } = jsonSchemaOf(schema)
  const required = !z.safeParse(schema, undefined).success
  return {
    name,
    in: place,
    required,
    description: String(description),
    schema: isList(schema) ? { type: 'array', ...rest } : rest,
  }
}

/** What may be sent, or what is answered. */
function jsonSchemaOf(schema: z.core.$ZodType): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input' })
  return json
}

const error = (description: string, schema: string) => ({
  description,
  content: { 'application/json': { schema: refersTo(schema) } },
})
