import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { startRest } from '../../support/rest.ts'

const CONFIG = { 'connector.class': 'botmaker', 'access.token': '${env:TOKEN}' }
const NO_LEADER = 'Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway.'
const CONFLICT = 'Cannot complete request because of a conflicting operation (e.g. worker rebalance)'

type Rest = Awaited<ReturnType<typeof startRest>>

const start = (token?: string) => startRest({ clock: systemClock, http: { token } })

/** Makes `follower` believe that the worker at `url` leads. */
function follows(follower: Rest, url: string | null): void {
  follower.herder.view = {
    ...follower.herder.view,
    leader: url === null ? null : { workerId: new URL(url).host, url, isMe: false },
  }
}

/** A fake worker: it answers what the test says. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a change is forwarded to the leader, and its answer comes back unchanged', async () => {
  const [leader, follower] = [await start(), await start()]
  follows(follower, leader.url)
  const created = await follower.ask('PUT', '/connectors/ö%20b/config', { ...CONFIG, account: 'acme', 'tasks.max': 2 })
  expect(created).toMatchObject({ status: 201, body: { name: 'ö b', config: { 'tasks.max': '2' } } })
  expect(created.headers.get('location')).toBe('/connectors/%C3%B6%20b')
  expect(created.headers.get('content-type')).toBe('application/json; charset=utf-8')
  expect(leader.herder.names()).toEqual(['ö b'])

  leader.herder.add('c')
  const asked: [method: string, path: string, status: number, body?: unknown][] = [
    ['POST', '/connectors', 201, { name: 'd', config: CONFIG }],
    ['PATCH', '/connectors/d/config', 200, { 'tasks.max': null }],
    ['DELETE', '/connectors/d', 204],
    ['PUT', '/connectors/c/pause', 202],
    ['PUT', '/connectors/c/resume', 202],
    ['POST', '/connectors/c/restart', 204],
    ['POST', '/connectors/c/restart?includeTasks=true&onlyFailed=false', 202],
    ['POST', '/connectors/c/tasks/0/restart', 204],
    ['PUT', '/connectors/c/topics/reset', 202],
    ['PUT', '/connectors/c/stop', 204],
    ['PATCH', '/connectors/c/offsets?dryRun=true', 200, { offsets: [{ partition: { stream: 's' }, offset: null }] }],
    ['DELETE', '/connectors/c/offsets', 200],
    ['PUT', '/admin/loggers/root?scope=cluster', 204, { level: 'DEBUG' }],
    ['PUT', '/connectors/none/stop', 404],
    ['POST', '/connectors', 400, { name: 'd', config: {} }],
  ]
  for (const [method, path, status, body] of asked)
    expect({ method, path, status: (await follower.ask(method, path, body)).status }).toEqual({ method, path, status })
  expect(follower.herder.calls).toEqual([])
  expect(leader.herder.calls.map(call => (call as unknown[])[0])).toEqual([
    'put',
    'create',
    'create',
    'patch',
    'remove',
    'setTarget',
    'setTarget',
    'restart',
    'restart',
    'restartTask',
    'resetTopics',
    'setTarget',
    'alterOffsets',
    'alterOffsets',
    'setClusterLevel',
    'create',
  ])
})

test('a read is answered by the worker that receives it', async () => {
  const follower = await start()
  follows(follower, 'http://127.0.0.1:1')
  follower.herder.add('c')
  for (const path of ['/connectors', '/connectors/c', '/connectors/c/status', '/connectors/c/offsets', '/connector-plugins'])
    expect({ path, status: (await follower.ask('GET', path)).status }).toEqual({ path, status: 200 })
  expect((await follower.ask('PUT', '/admin/loggers/root', { level: 'WARN' })).status).toBe(200)
})

test('the credentials are forwarded, and the history has who asked which worker', async () => {
  const [leader, follower] = [await start('the-token'), await start('the-token')]
  follows(follower, leader.url)
  leader.herder.add('c', {}, { target: 'STOPPED' })
  const authorization = `Basic ${Buffer.from('ops:the-token').toString('base64')}`
  expect((await follower.ask('DELETE', '/connectors/c/offsets', undefined, { authorization })).status).toBe(200)
  expect(leader.herder.connectors.get('c')?.history[0]?.by).toBe('ops at 127.0.0.1 via 127.0.0.1')
})

test('a request makes at most two hops', async () => {
  const [first, second, third] = [await start(), await start(), await start()]
  follows(first, second.url)
  follows(second, third.url)
  third.herder.add('c')
  expect((await first.ask('PUT', '/connectors/c/pause')).status).toBe(202)
  // Each believes that another one leads.
  follows(third, first.url)
  expect(await first.ask('PUT', '/connectors/c/pause')).toMatchObject({
    status: 409,
    body: { error_code: 409, message: CONFLICT },
  })
  expect(third.herder.calls).toHaveLength(1)
})

test('without a leader, or with an unreachable one, the answer is 409', async () => {
  const follower = await start()
  follows(follower, null)
  expect(await follower.ask('PUT', '/connectors/c/pause')).toMatchObject({ status: 409, body: { message: NO_LEADER } })
  const gone = createTcpServer()
  await new Promise<void>(resolve => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as AddressInfo
  await new Promise(resolve => gone.close(resolve))
  follows(follower, `http://127.0.0.1:${port}`)
  expect(await follower.ask('PUT', '/connectors/c/pause')).toMatchObject({ status: 409, body: { message: NO_LEADER } })
})

test('a frozen leader delays the request only until the group has another one', async () => {
  const asked = Promise.withResolvers<void>()
  const frozen = await serve(() => asked.resolve())
  const follower = await start()
  follows(follower, frozen)
  const answer = follower.ask('PUT', '/connectors/c/pause')
  await asked.promise
  follows(follower, null)
  expect(await answer).toMatchObject({ status: 409, body: { message: CONFLICT } })
})

test('if the leader dies during a request, the answer says that it is unknown whether it has acted', async () => {
  const dying = await serve(request => request.socket.destroy())
  const follower = await start()
  follows(follower, dying)
  expect(await follower.ask('PUT', '/connectors/c/pause')).toMatchObject({
    status: 500,
    body: { message: expect.stringMatching(/^IO Error trying to forward REST request: /) as string },
  })
})

test('a base URL with a path keeps it', async () => {
  const paths: (string | undefined)[] = []
  const leader = await serve((request, response) => {
    paths.push(request.url)
    response.writeHead(204).end()
  })
  const follower = await start()
  follows(follower, `${leader}/behind/a/proxy/`)
  expect((await follower.ask('PUT', '/connectors/c/stop?x=1')).status).toBe(204)
  expect(paths).toEqual(['/behind/a/proxy/connectors/c/stop?x=1&forward=true'])
})
