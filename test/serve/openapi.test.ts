/** `/openapi.json` against a validator, against the listener, and against the pages for people: what is documented is what is answered. */
import { readdirSync, readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inQuery } from '../../src/serve/docs-page.ts'
import { ENDPOINTS, type Endpoint } from '../../src/serve/endpoints.ts'
import type { HttpServer } from '../../src/serve/http.ts'
import { openApiDocument } from '../../src/serve/openapi.ts'
import type { IndexedEvent } from '../../src/serve/event-index.ts'
import { noEvents, point, T } from './points.ts'
import { NOW, startWorld } from './world.ts'

interface Operation {
  operationId: string
  parameters: { name: string; in: string; required: boolean; description: string; schema: Schema }[]
  responses: Record<string, { content?: Record<string, { schema: object }> }>
  'x-codeSamples': { source: string }[]
}
type Schema = { type?: string; enum?: unknown[]; items?: Schema; examples?: unknown[]; default?: unknown }

const document = openApiDocument('0.1.0') as { paths: Record<string, { get: Operation }> }
const operations = Object.entries(document.paths).map(([path, { get }]) => ({ path, ...get }))

/** Of the conversation of the examples. */
const EVENT: IndexedEvent = {
  event_key: 'acme-chat:acme:e1',
  session_key: 'acme-chat:acme:conversation-1',
  vendor: 'acme-chat',
  account: 'acme',
  bot_id: 'bot-1',
  session_id: 'conversation-1',
  event_id: 'e1',
  occurred_at: T(NOW) - 3_600_000,
  type: 'flow_transition',
  name: 'Welcome',
  user_id: null,
  attributes: { message_id: 'message-1' },
}

let server: HttpServer
beforeAll(async () => {
  const world = await startWorld({ events: { ...noEvents, find: async () => [EVENT] } })
  // The bot of the examples.
  world.serve.store.put(point({ at: T(NOW) - 3_600_000, vendor: 'acme-chat', bot_id: 'bot-1', sessions: 2 }))
  ;({ server } = world)
})
afterAll(() => server.close())

/** Answers may gain fields: the document leaves that open. Here every field must be in it. */
function closed(of: unknown): unknown {
  if (Array.isArray(of)) return of.map(closed)
  if (typeof of !== 'object' || of === null) return of
  const inside = Object.fromEntries(Object.entries(of).map(([key, value]) => [key, closed(value)]))
  return 'properties' in inside && !('additionalProperties' in inside) ? { ...inside, additionalProperties: false } : inside
}
const ajv = new Ajv2020({ strict: false, allErrors: true })
ajv.addSchema(closed(document) as object, 'document')

/** Asks, and holds the answer to what the document says of its status and content type. */
async function ask(path: string, pathInDocument: string, status: number): Promise<unknown> {
  const answer = await fetch(server.url + path)
  const text = await answer.text()
  expect({ path, status: answer.status, text: answer.status === status ? '' : text }).toEqual({ path, status, text: '' })
  const [type = ''] = (answer.headers.get('content-type') ?? '').split(';')
  const validate = validatorOf(pathInDocument, status, type)
  const value = type === 'application/json' ? (JSON.parse(text) as unknown) : text
  validate(value)
  expect({ path, errors: validate.errors ?? [] }).toEqual({ path, errors: [] })
  return value
}
const validators = new Map<string, ValidateFunction>()
function validatorOf(path: string, status: number, type: string): ValidateFunction {
  const own = document.paths[path]?.get.responses[status]
  const place = ['paths', path, 'get', 'responses', String(status), 'content', type, 'schema'].map(pointed).join('/')
  const ref = `document#/${own && '$ref' in own ? 'components/schemas/Error' : place}`
  const validate = validators.get(ref) ?? ajv.compile({ $ref: ref })
  validators.set(ref, validate)
  return validate
}
const pointed = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))

/** Parameters of one value that may be any. */
const ANY_TEXT: ReadonlySet<string> = new Set(['version', 'message_id'])

/** A call with what is required, and these parameters beside it. */
function callOf({ path, parameters }: (typeof operations)[number], given: Record<string, string> = {}): string {
  const required = Object.fromEntries(
    parameters
      .filter(each => each.required)
      .map(({ name, schema }) => [name, String((schema.enum ?? schema.items?.enum ?? schema.examples)?.[0])]),
  )
  const all = { ...required, ...given }
  const query = new URLSearchParams(Object.entries(all).filter(([name]) => !path.includes(`{${name}}`)))
  return `${path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(all[name] ?? ''))}?${query}`
}

test('the document is valid OpenAPI 3.1, and the one that is served', async () => {
  const result = await new Validator().validate(structuredClone(document))
  expect(result).toMatchObject({ valid: true })
  const broken = structuredClone(document)
  Object.assign(broken.paths['/v1/series']?.get ?? {}, { parameters: [{ name: 'measure' }] })
  expect(await new Validator().validate(broken), 'the validator looks').toMatchObject({ valid: false })
  expect(await (await fetch(`${server.url}/openapi.json`)).json()).toEqual(document)
})

test('every path and parameter has a name, a meaning and its answers', () => {
  expect(operations.map(({ path }) => path)).toEqual([
    '/v1/series',
    '/v1/labels',
    '/v1/labels/{name}',
    '/v1/measures',
    '/v1/alerts',
    '/v1/rules',
    '/v1/bots/{bot_id}/conversations',
    '/v1/bots/{bot_id}/conversations/insights',
    '/v1/bots/{bot_id}/conversations/{conversation_id}/flow',
    '/v1/bots/{bot_id}/messages',
    '/v1/teams/{team_id}/conversations',
  ])
  expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
  for (const { path, parameters, responses } of operations) {
    expect({ path, unsaid: parameters.filter(({ description }) => description.length < 10).map(({ name }) => name) }).toEqual({
      path,
      unsaid: [],
    })
    expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '304', '400', '401', '503']))
  }
})

describe.each(operations)('$path', operation => {
  const { path, parameters } = operation

  test('each call that it shows is answered as it says', async () => {
    const calls = operation['x-codeSamples'].map(({ source }) => /^curl 'http:\/\/[^/]+(\/.*)'$/.exec(source)?.[1] ?? '')
    expect(calls.length).toBeGreaterThan(0)
    for (const call of calls) {
      const answer = await ask(call, path, 200)
      const [only] = [answer].flat()
      expect({ call, isEmpty: typeof only === 'object' && only !== null && Object.keys(only).length === 0 }).toEqual({
        call,
        isEmpty: false,
      })
    }
  })

  test('each value, default and example of a parameter is taken, one that it does not know is refused by name', async () => {
    for (const { name, schema, in: place } of parameters) {
      const words = [...(schema.enum ?? []), ...(schema.items?.enum ?? []), ...(schema.examples ?? [])]
      const values = [...words, ...(schema.default === undefined || schema.default === '' ? [] : [schema.default])].map(inQuery)
      for (const value of values) {
        const beside = name === 'until' ? { from: 'now-25h' } : name === 'from' ? { bucket: '1d' } : {}
        const others = Object.fromEntries(
          Object.entries(beside).filter(([other]) => parameters.some(each => each.name === other)),
        )
        await ask(callOf(operation, { ...others, [name]: value }), path, 200)
      }
      if (place === 'path') await ask(callOf(operation, { [name]: 'nonsense' }), path, 404)
      else if (ANY_TEXT.has(name)) await ask(callOf(operation, { [name]: '~nonsense~' }), path, 200)
      else if (schema.type !== 'array' || schema.items?.enum) {
        const { message } = (await ask(callOf(operation, { [name]: '~nonsense~' }), path, 400)) as { message: string }
        expect(message.startsWith(`${name} `)).toBe(true)
      }
    }
    await ask(callOf(operation, { nonsense: '1' }), path, 400)
  }, 120_000)
})

test('the pages for people show the calls, and each call that a document shows is answered', async () => {
  const root = new URL('../../', import.meta.url)
  const files = [
    'README.md',
    ...readdirSync(new URL('docs', root))
      .filter(name => name.endsWith('.md'))
      .map(name => `docs/${name}`),
  ]
  const calls = files.flatMap(file =>
    [...readFileSync(new URL(file, root), 'utf8').matchAll(/https?:\/\/[\w.:]+(\/v1\/[^'`\s]*)/g)].map(([, call]) => call ?? ''),
  )
  expect(calls.length).toBeGreaterThan(3)
  for (const call of calls) {
    const [given = ''] = call.split('?')
    const path = Object.keys(document.paths).find(each => new RegExp(`^${each.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(given))
    await ask(call, path ?? given, 200)
  }
})

test('the docs page needs no script and nothing from elsewhere, and has every path, parameter and call', async () => {
  const answer = await fetch(`${server.url}/docs/`)
  const html = await answer.text()
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'")
  expect(html).not.toMatch(/<script|src=|onclick|@import|url\(/)
  const text = html.replaceAll('&#39;', "'").replaceAll('&amp;', '&').replaceAll('&quot;', '"')
  const endpoints: readonly Endpoint[] = Object.values(ENDPOINTS)
  for (const { path, calls } of endpoints) {
    expect(text).toContain(`GET ${path}<`)
    for (const { call } of calls) expect(text).toContain(`href="${call}"`)
  }
  for (const { operationId, parameters } of operations) {
    const section = html.slice(html.indexOf(`<section id="${operationId}">`)).split('</section>')[0] ?? ''
    for (const { name } of parameters)
      expect({ operationId, has: section.includes(`<td><code>${name}</code>`) }).toEqual({ operationId, has: true })
  }
  // Its forms send all inputs, most of them empty.
  const form = /<form method="get">.*?formaction="\/v1\/series".*?<\/form>/s.exec(html)?.[0] ?? ''
  const names = [...form.matchAll(/name="(\w+)"/g)].map(([, name]) => name ?? '')
  expect(names).toEqual(operations[0]?.parameters.map(({ name }) => name))
  const sent = new URLSearchParams(Object.fromEntries(names.map(name => [name, name === 'measure' ? 'sessions' : ''])))
  await ask(`/v1/series?${sent}`, '/v1/series', 200)
})
