import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { connectRegistry, incompatibility } from '../../src/kafka/registry.ts'
import { silentLog } from '../../src/log.ts'

/** A registry that answers what the test says; what it is asked beyond that fails the test. */
type Script = Record<string, { status: number; body: unknown } | ((body: string) => { status: number; body: unknown })>

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  await Promise.all(closing.splice(0).map(close => close()))
})

async function fake(script: Script) {
  const asked: string[] = []
  const headers: IncomingMessage['headers'][] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const call = `${request.method} ${request.url}`
      asked.push(call)
      headers.push(request.headers)
      const step = script[call] ?? { status: 500, body: { message: `not in the script: ${call}` } }
      const { status, body } = typeof step === 'function' ? step(Buffer.concat(chunks).toString()) : step
      response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' }).end(JSON.stringify(body))
    })
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  closing.push(async () => {
    server.closeAllConnections()
    await new Promise(resolve => {
      server.close(resolve)
    })
  })
  const { port } = server.address() as AddressInfo
  return { asked, headers, url: `http://127.0.0.1:${port}/apis/ccompat/v7/` }
}

const schema = (fields: unknown[]) => JSON.stringify({ type: 'record', name: 'R', namespace: 'n', fields }, null, 2)
const A = { name: 'a', type: 'string' }
const V7 = '/apis/ccompat/v7'
const NOT_THERE = { status: 404, body: { error_code: 40401, message: 'no such subject' } }

describe('registering', () => {
  test('sends the text of the file, defaults and docs included, and makes a new subject backward compatible', async () => {
    const text = schema([{ ...A, doc: 'kept', default: 'x' }])
    const bodies: string[] = []
    const { url, asked, headers } = await fake({
      [`GET ${V7}/config/s-value`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: body => {
        bodies.push(body)
        return { status: 200, body: { id: 17 } }
      },
      [`PUT ${V7}/config/s-value`]: { status: 200, body: { compatibility: 'BACKWARD' } },
    })
    const registry = connectRegistry({ url, auth: { username: 'u', password: 'p' }, log: silentLog })
    expect(await registry.register('s-value', text)).toBe(17)
    expect((JSON.parse(bodies[0] ?? '') as { schema: string }).schema).toBe(text)
    expect(asked.at(-1)).toBe(`PUT ${V7}/config/s-value`)
    expect(headers.every(({ authorization }) => authorization === `Basic ${Buffer.from('u:p').toString('base64')}`)).toBe(true)
  })

  test.each(['NONE', 'FULL_TRANSITIVE'])('goes through where the subject was made by others with %s', async level => {
    const { url } = await fake({
      [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: level } },
      [`GET ${V7}/subjects/s-value/versions/latest`]: { status: 200, body: { id: 1, schema: schema([A]) } },
      [`POST ${V7}/subjects/s-value/versions`]: { status: 200, body: { id: 2 } },
    })
    const registry = connectRegistry({ url, log: silentLog })
    expect(await registry.register('s-value', schema([A, { name: 'b', type: 'int', default: 0 }]))).toBe(2)
  })

  test('an incompatible change is refused with subject and field, also where the registry would take it', async () => {
    const before = { status: 200, body: { id: 1, schema: schema([A]) } }
    const wanted = schema([A, { name: 'b', type: 'int' }])
    for (const script of [
      { [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: 'NONE' } } },
      {
        [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: 'BACKWARD' } },
        [`POST ${V7}/subjects/s-value/versions`]: { status: 409, body: { error_code: 409, message: 'Incompatible' } },
      },
    ]) {
      const { url } = await fake({ ...script, [`GET ${V7}/subjects/s-value/versions/latest`]: before })
      const error = await connectRegistry({ url, log: silentLog })
        .register('s-value', wanted)
        .catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'REGISTRY_INCOMPATIBLE', details: { subject: 's-value', field: 'b' } })
      expect(String(error)).toMatch(/s-value, field b: it is new and has no default/)
    }
  })

  test('a refusal with no reason, as when another process registers the subject at the same moment, is asked for again', async () => {
    let posts = 0
    const { url } = await fake({
      [`GET ${V7}/config/s-value`]: { status: 404, body: { error_code: 40401, message: 'none' } },
      [`PUT ${V7}/config/s-value`]: { status: 200, body: { compatibility: 'BACKWARD' } },
      [`GET ${V7}/subjects/s-value/versions/latest`]: { status: 404, body: { error_code: 40401, message: 'none' } },
      [`POST ${V7}/subjects/s-value/versions`]: () =>
        ++posts < 3 ? { status: 409, body: { error_code: 409, message: 'Conflict' } } : { status: 200, body: { id: 7 } },
    })
    expect(await connectRegistry({ url, log: silentLog }).register('s-value', schema([A]))).toBe(7)
    expect(posts).toBe(3)
  })

  test('wrong credentials are a fault of the config, and are not told', async () => {
    const { url } = await fake({ [`GET ${V7}/config/s-value`]: { status: 401, body: { message: 'who are you' } } })
    const registry = connectRegistry({ url, auth: { username: 'u', password: 'hunter22' }, log: silentLog })
    const error = await registry.register('s-value', schema([A])).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'CFG_INVALID', details: { path: 'registry.auth' } })
    expect(String(error)).not.toContain('hunter22')
  })

  test('a registry that is not there is unreachable', async () => {
    const registry = connectRegistry({ url: 'http://127.0.0.1:1', log: silentLog })
    await expect(registry.register('s', schema([A]))).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
    await expect(registry.schemaById(1)).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
    await expect(registry.ping()).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
  })
})

describe('schemas by id', () => {
  test('are asked for once, by many at a time', async () => {
    const { url, asked } = await fake({ [`GET ${V7}/schemas/ids/5`]: { status: 200, body: { schema: schema([A]) } } })
    const registry = connectRegistry({ url, log: silentLog })
    const texts = await Promise.all([registry.schemaById(5), registry.schemaById(5)])
    expect([...texts, await registry.schemaById(5)]).toEqual(Array(3).fill(schema([A])))
    expect(asked).toEqual([`GET ${V7}/schemas/ids/5`])
  })

  test('that the registry does not know are not asked for again and again', async () => {
    const { url, asked } = await fake({ [`GET ${V7}/schemas/ids/5`]: NOT_THERE })
    const registry = connectRegistry({ url, log: silentLog })
    for (let count = 0; count < 5; count++) await expect(registry.schemaById(5)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(asked.length).toBe(1)
  })

  test('are asked for again after the registry failed', async () => {
    let failing = true
    const { url } = await fake({
      [`GET ${V7}/schemas/ids/5`]: () => (failing ? { status: 503, body: {} } : { status: 200, body: { schema: schema([A]) } }),
    })
    const registry = connectRegistry({ url, log: silentLog })
    await expect(registry.schemaById(5)).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
    failing = false
    expect(await registry.schemaById(5)).toBe(schema([A]))
  })
})

test('what makes two schemas incompatible is told by field', () => {
  expect(incompatibility(schema([A]), schema([A, { name: 'b', type: 'int' }]))).toBeNull()
  expect(incompatibility(schema([{ name: 'a', type: ['null', 'string'], default: null }]), schema([A]))).toBeNull()
  expect(incompatibility(schema([{ name: 'a', type: 'int' }]), schema([A]))).toEqual({
    field: 'a',
    reason: 'its type was string and is now int',
  })
  expect(incompatibility(JSON.stringify({ type: 'record', name: 'Other', fields: [] }), schema([A]))).toMatchObject({
    field: null,
  })
})
