import { Agent, createServer, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, createServer as createLine, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { connectRegistry, incompatibility } from '../../src/kafka/registry.ts'
import { createLog, silentLog } from '../../src/log.ts'
import { handClock } from '../support/clock.ts'

/** A registry with scripted answers; any other request fails the test. */
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

const ABSENT = { [`POST ${V7}/subjects/s-value`]: NOT_THERE }

describe('the newest version of a subject', () => {
  const path = `GET ${V7}/subjects/s-value/versions/latest`
  const newest = async (status: number, body: unknown) =>
    connectRegistry({ url: (await fake({ [path]: { status, body } })).url, log: silentLog }).newest('s-value')

  test('has its number and the id of its schema; null where the subject is not registered', async () => {
    expect(await newest(200, { subject: 's-value', version: 3, id: 17, schema: '{}' })).toEqual({ version: 3, id: 17 })
    expect(await newest(404, NOT_THERE.body)).toBeNull()
  })

  test('is an error where we may not look, or the answer has none', async () => {
    await expect(newest(403, { error_code: 403, message: 'no' })).rejects.toMatchObject({ code: 'CFG_INVALID' })
    await expect(newest(200, { subject: 's-value' })).rejects.toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
  })
})

describe('registering', () => {
  const register = (url: string, text: string) =>
    connectRegistry({ url, log: silentLog }).register('s-value', text, { wait: false })

  test('sends the text of the file, defaults and docs included, and makes a new subject compatible with all its versions', async () => {
    const text = schema([{ ...A, doc: 'kept', default: 'x' }])
    const bodies: string[] = []
    const { url, asked, headers } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: body => {
        bodies.push(body)
        return { status: 200, body: { id: 17 } }
      },
      [`PUT ${V7}/config/s-value`]: body => {
        bodies.push(body)
        return { status: 200, body: { compatibility: 'BACKWARD_TRANSITIVE' } }
      },
    })
    const registry = connectRegistry({ url, auth: { username: 'u', password: 'p' }, log: silentLog })
    expect(await registry.register('s-value', text)).toBe(17)
    expect(bodies.map(body => JSON.parse(body) as unknown)).toEqual([{ schema: text }, { compatibility: 'BACKWARD_TRANSITIVE' }])
    expect(asked.at(-1)).toBe(`PUT ${V7}/config/s-value`)
    expect(headers.every(({ authorization }) => authorization === `Basic ${Buffer.from('u:p').toString('base64')}`)).toBe(true)
  })

  test('does not register an existing schema again, so that read access is enough', async () => {
    const bodies: string[] = []
    const { url, asked } = await fake({
      [`POST ${V7}/subjects/s-value`]: body => {
        bodies.push(body)
        return { status: 200, body: { subject: 's-value', id: 12, version: 3 } }
      },
    })
    expect(await register(url, schema([A]))).toBe(12)
    expect(asked).toEqual([`POST ${V7}/subjects/s-value`])
    expect(JSON.parse(bodies[0] ?? '')).toEqual({ schema: schema([A]) })
  })

  test('a missing schema that we may not register is a config error that says how to fix it', async () => {
    const { url } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: { status: 403, body: { error_code: 40301, message: 'User lacks Write' } },
    })
    await expect(register(url, schema([A]))).rejects.toMatchObject({
      code: 'CFG_INVALID',
      message: expect.stringMatching(/s-value \(User lacks Write\).*register it from the folder schemas/) as string,
    })
  })

  test('continues with a warning where it may not set the compatibility of a new subject', async () => {
    const lines: string[] = []
    const { url } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: { status: 200, body: { id: 4 } },
      [`PUT ${V7}/config/s-value`]: { status: 403, body: { message: 'no' } },
    })
    const log = createLog('warn', line => lines.push(line))
    expect(await connectRegistry({ url, log }).register('s-value', schema([A]))).toBe(4)
    expect(lines.length).toBe(1)
    expect(lines[0]).toContain('BACKWARD_TRANSITIVE')
  })

  test.each(['NONE', 'FULL_TRANSITIVE'])('accepts a subject that others created with %s', async level => {
    const { url, asked } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: level } },
      [`GET ${V7}/subjects/s-value/versions/latest`]: { status: 200, body: { id: 1, schema: schema([A]) } },
      [`POST ${V7}/subjects/s-value/versions`]: { status: 200, body: { id: 2 } },
    })
    expect(await register(url, schema([A, { name: 'b', type: 'int', default: 0 }]))).toBe(2)
    expect(asked).not.toContain(`PUT ${V7}/config/s-value`)
  })

  test('rejects an incompatible change with subject and field, even where the registry would accept it', async () => {
    const before = { status: 200, body: { id: 1, schema: schema([A]) } }
    const wanted = schema([A, { name: 'b', type: 'int' }])
    for (const script of [
      { [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: 'NONE' } } },
      {
        [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: 'BACKWARD' } },
        [`POST ${V7}/subjects/s-value/versions`]: { status: 409, body: { error_code: 409, message: 'Incompatible' } },
      },
    ]) {
      const { url } = await fake({ ...ABSENT, ...script, [`GET ${V7}/subjects/s-value/versions/latest`]: before })
      const error = await register(url, wanted).catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code: 'REGISTRY_INCOMPATIBLE', details: { subject: 's-value', field: 'b' } })
      expect(String(error)).toMatch(/s-value, field b: it is new and has no default/)
    }
  })

  test.each([409, 422])('a rejection (%i) with an unknown cause is reported in the words of the registry', async status => {
    const { url } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: { status: 200, body: { compatibilityLevel: 'BACKWARD' } },
      [`GET ${V7}/subjects/s-value/versions/latest`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: { status, body: { error_code: 42201, message: 'Field doc breaks rule 7' } },
    })
    const clock = handClock('2026-11-01T12:00:00Z', { autoAdvance: true })
    const refused = connectRegistry({ url, log: silentLog, clock }).register('s-value', schema([A]))
    await expect(refused).rejects.toMatchObject({
      code: 'REGISTRY_INCOMPATIBLE',
      message: expect.stringContaining('the registry says: Field doc breaks rule 7') as string,
    })
  })

  test('retries after a rejection without a reason, as when another process registers the subject at the same moment', async () => {
    let posts = 0
    const { url } = await fake({
      ...ABSENT,
      [`GET ${V7}/config/s-value`]: NOT_THERE,
      [`PUT ${V7}/config/s-value`]: { status: 200, body: { compatibility: 'BACKWARD' } },
      [`GET ${V7}/subjects/s-value/versions/latest`]: NOT_THERE,
      [`POST ${V7}/subjects/s-value/versions`]: () =>
        ++posts < 3 ? { status: 409, body: { error_code: 409, message: 'Conflict' } } : { status: 200, body: { id: 7 } },
    })
    expect(await register(url, schema([A]))).toBe(7)
    expect(posts).toBe(3)
  })

  test('retries while the registry is down, from 1 s to 30 s apart, with a log line each time', async () => {
    let answers = 0
    const { url } = await fake({
      [`POST ${V7}/subjects/s-value`]: () =>
        ++answers < 8 ? { status: 503, body: { message: 'starting' } } : { status: 200, body: { id: 5 } },
    })
    const lines: { waitMs: number; code: string; error: string }[] = []
    const log = createLog('warn', line => lines.push(JSON.parse(line) as (typeof lines)[number]))
    const clock = handClock('2026-11-01T12:00:00Z', { autoAdvance: { quietMs: 50 } })
    expect(await connectRegistry({ url, log, clock }).register('s-value', schema([A]))).toBe(5)
    expect(lines.map(({ waitMs }) => waitMs)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000])
    expect(lines[0]).toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      error: expect.stringContaining('HTTP 503: starting') as string,
    })
  })

  test('waiting ends with the signal', async () => {
    const stop = new AbortController()
    const clock = handClock()
    const waiting = connectRegistry({ url: 'http://127.0.0.1:1', log: silentLog, clock, signal: stop.signal }).register('s', '{}')
    const ended = waiting.catch((error: unknown) => error)
    await clock.asleep(1)
    stop.abort()
    expect(await ended).toMatchObject({ code: 'STOPPED' })
  })

  test('wrong credentials are a config error, and are not shown', async () => {
    const { url } = await fake({ [`POST ${V7}/subjects/s-value`]: { status: 401, body: { message: 'who are you' } } })
    const registry = connectRegistry({ url, auth: { username: 'u', password: 'hunter22' }, log: silentLog })
    const error = await registry.register('s-value', schema([A])).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'CFG_INVALID', details: { path: 'registry.auth' } })
    expect(String(error)).not.toContain('hunter22')
  })

  test('credentials in the address go into the header, and into no message', async () => {
    const { url, headers } = await fake({ [`POST ${V7}/subjects/s-value`]: { status: 500, body: {} } })
    const error = await register(url.replace('http://', 'http://u:hunter22@'), schema([A])).catch((thrown: unknown) => thrown)
    expect(headers[0]?.authorization).toBe(`Basic ${Buffer.from('u:hunter22').toString('base64')}`)
    expect(error).toMatchObject({ code: 'REGISTRY_UNREACHABLE' })
    expect(String(error)).not.toContain('hunter22')
  })

  test('a missing registry is a connection failure', async () => {
    const registry = connectRegistry({ url: 'http://127.0.0.1:1', log: silentLog })
    const unreachable = {
      code: 'REGISTRY_UNREACHABLE',
      message: expect.stringContaining('cannot connect (ECONNREFUSED)') as string,
    }
    await expect(registry.register('s', schema([A]), { wait: false })).rejects.toMatchObject(unreachable)
    await expect(registry.schemaById(1)).rejects.toMatchObject(unreachable)
    await expect(registry.ping()).rejects.toMatchObject(unreachable)
  })
})

describe('a missing answer', () => {
  /** A server that handles each connection as the test says. */
  async function lineOf(onRequest: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>()
    const server = createLine(socket => {
      sockets.add(socket)
      socket.on('error', () => {}).once('data', () => onRequest(socket))
    })
    await new Promise<void>(resolve => {
      server.listen(0, '127.0.0.1', resolve)
    })
    closing.push(async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => {
        server.close(resolve)
      })
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  test.each<[string, (socket: Socket) => void]>([
    ['never begins', () => {}],
    ['never ends', socket => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"id": 1')],
    [
      'is cut off',
      socket =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"id": 1', () => setTimeout(() => socket.destroy(), 10)),
    ],
  ])('times out when it %s, and its connection is closed', async (_what, onRequest) => {
    const closed = Promise.withResolvers<void>()
    const url = await lineOf(socket => {
      socket.once('close', () => closed.resolve())
      onRequest(socket)
    })
    const registry = connectRegistry({ url, log: silentLog, timeoutMs: 200 })
    await expect(registry.schemaById(1)).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: expect.stringContaining('no answer within 200 ms') as string,
    })
    await closed.promise
  })

  test('because of a connection reset is reported as such', async () => {
    const url = await lineOf(socket => socket.destroy())
    await expect(connectRegistry({ url, log: silentLog }).ping()).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: expect.stringContaining('cannot connect (ECONNRESET)') as string,
    })
  })
})

test('requests go through the agent: here a proxy, which gets the credentials of proxy and registry', async () => {
  const { url, headers } = await fake({ [`GET ${V7}/schemas/ids/5`]: { status: 200, body: { schema: schema([A]) } } })
  const asked: { url: string | undefined; proxyAuth: string | undefined }[] = []
  const proxy = createServer((incoming, response) => {
    asked.push({ url: incoming.url, proxyAuth: incoming.headers['proxy-authorization'] })
    const { 'proxy-authorization': _, ...rest } = incoming.headers
    const onward = request(incoming.url ?? '', { method: incoming.method, headers: rest }, answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    incoming.pipe(onward)
  })
  await new Promise<void>(resolve => {
    proxy.listen(0, '127.0.0.1', resolve)
  })
  closing.push(async () => {
    proxy.closeAllConnections()
    await new Promise(resolve => {
      proxy.close(resolve)
    })
  })
  const agent = new Agent({ proxyEnv: { HTTP_PROXY: `http://me:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}` } })
  const registry = connectRegistry({ url, agent, auth: { username: 'u', password: 'p' }, log: silentLog })
  expect(await registry.schemaById(5)).toBe(schema([A]))
  expect(asked).toEqual([{ url: `${url}schemas/ids/5`, proxyAuth: `Basic ${Buffer.from('me:secret').toString('base64')}` }])
  expect(headers[0]?.authorization).toBe(`Basic ${Buffer.from('u:p').toString('base64')}`)
})

describe('a ping', () => {
  const pinged = async (answer: { status: number; body: unknown }, list = answer) => {
    const { url } = await fake({ [`GET ${V7}/config/colloquy-ping`]: answer, [`GET ${V7}/subjects`]: list })
    return await connectRegistry({ url, log: silentLog }).ping()
  }

  test.each([
    { status: 200, body: { compatibilityLevel: 'BACKWARD' } },
    { status: 404, body: { error_code: 40408, message: 'Subject does not have subject-level compatibility configured' } },
    { status: 403, body: { message: 'not this one' } },
  ])('is answered by any registry ($status)', async answer => {
    await expect(pinged(answer)).resolves.toBeUndefined()
  })

  test.each([
    { status: 200, body: ['a-value'] },
    { status: 200, body: [] },
    { status: 403, body: { message: 'you may not list' } },
  ])(
    'is answered by a registry with an unclear answer about the subject, if it lists subjects or denies it ($status)',
    async list => {
      const unclear = { status: 404, body: { error_code: 404, message: 'HTTP 404 Not Found' } }
      await expect(pinged(unclear, list)).resolves.toBeUndefined()
    },
  )

  test.each([
    { status: 404, body: { message: 'no such page' } },
    { status: 404, body: '<html>' },
    { status: 404, body: { error_code: 404, message: 'HTTP 404 Not Found' } },
    { status: 200, body: 'welcome' },
    { status: 200, body: { version: '3' } },
  ])('is not answered by another server at the address ($status $body)', async answer => {
    await expect(pinged(answer)).rejects.toMatchObject({
      code: 'CFG_INVALID',
      details: { path: 'registry.url', hint: expect.stringContaining('no schema registry at this path') as string },
    })
  })

  test('distinguishes a failing registry from a missing one', async () => {
    await expect(pinged({ status: 500, body: { message: 'out of order' } })).rejects.toMatchObject({
      code: 'REGISTRY_UNREACHABLE',
      message: expect.stringContaining('HTTP 500: out of order') as string,
    })
  })
})

describe('schemas by id', () => {
  test('are requested once by parallel callers', async () => {
    const { url, asked } = await fake({ [`GET ${V7}/schemas/ids/5`]: { status: 200, body: { schema: schema([A]) } } })
    const registry = connectRegistry({ url, log: silentLog })
    const texts = await Promise.all([registry.schemaById(5), registry.schemaById(5)])
    expect([...texts, await registry.schemaById(5)]).toEqual(Array(3).fill(schema([A])))
    expect(asked).toEqual([`GET ${V7}/schemas/ids/5`])
  })

  test('that the registry does not know are not requested again and again', async () => {
    const { url, asked } = await fake({ [`GET ${V7}/schemas/ids/5`]: NOT_THERE })
    const registry = connectRegistry({ url, log: silentLog })
    for (let count = 0; count < 5; count++) await expect(registry.schemaById(5)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(asked.length).toBe(1)
  })

  test('are requested again after the registry failed', async () => {
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

test('the reason why two schemas are incompatible names the field', () => {
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
