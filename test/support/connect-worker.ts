/**
 * A worker's REST API as Kafka Connect's reference has it, for tests of what asks it: paths, codes and words of Connect, connectors in memory. An
 * unexpected request is answered with 404 and stays in `requests`.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface FakeTask {
  state: string
  worker: string
  trace?: string
}

export interface FakeConnector {
  readonly config: Record<string, string>
  state: string
  worker: string
  tasks: FakeTask[]
  /** Its status is not known yet: the expanded list leaves it out. */
  readonly isNew?: boolean
  readonly offsets: { partition: Record<string, unknown>; offset: Record<string, unknown> | null }[]
  readonly changes?: object[]
  /** Called before its status is answered. */
  readonly onStatus?: () => void
}

export interface FakeWorker {
  readonly url: string
  /** `METHOD path`, with its body as JSON where there is one. */
  readonly requests: string[]
  readonly authorizations: (string | undefined)[]
  /** Answers in place of what would come, used up one by one. */
  readonly next: { status: number; body: string }[]
}

const PLAN = { rereads: { from: '2026-11-20T00:00:00.000Z', until: '2026-11-30T00:00:00.000Z' }, requests: 240, seconds: 61.2 }

export async function startFakeWorker(
  connectors: Record<string, FakeConnector>,
  { token, prefix = '' }: { token?: string; prefix?: string } = {},
): Promise<FakeWorker> {
  const requests: string[] = []
  const authorizations: (string | undefined)[] = []
  const next: FakeWorker['next'] = []
  const server = createServer((request, response) => void answer(request, response))

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { method = '', url = '', headers } = request
    requests.push([method, url, body].filter(Boolean).join(' '))
    authorizations.push(headers.authorization)
    const send = (status: number, value?: unknown) => {
      response.writeHead(status, value === undefined ? {} : { 'content-type': 'application/json' })
      response.end(value === undefined ? undefined : JSON.stringify(value))
    }
    const refuse = (status: number, message: string) => send(status, { error_code: status, message })
    const planned = next.shift()
    if (planned !== undefined) return void response.writeHead(planned.status).end(planned.body)
    if (token !== undefined && headers.authorization !== `Bearer ${token}`)
      return void response.writeHead(401).end('User cannot access the resource.')
    const { pathname, searchParams } = new URL(url.slice(prefix.length), 'http://worker')
    const [, root, name = '', ...rest] = pathname.split('/').map(decodeURIComponent)
    if (root !== 'connectors' || !url.startsWith(prefix)) return refuse(404, 'HTTP 404 Not Found')
    if (name === '') {
      if (!searchParams.has('expand')) return send(200, Object.keys(connectors))
      const known = Object.entries(connectors).filter(([, { isNew }]) => isNew !== true)
      return send(
        200,
        Object.fromEntries(known.map(([each, of]) => [each, { info: infoOf(each, of), status: statusOf(each, of) }])),
      )
    }
    const connector = connectors[name]
    if (connector === undefined) return refuse(404, `Unknown connector ${name}`)
    const call = `${method} ${rest.join('/')}`
    if (call === 'GET ') return send(200, infoOf(name, connector))
    if (call === 'GET status') {
      connector.onStatus?.()
      return send(200, statusOf(name, connector))
    }
    if (call === 'PUT pause') return send(202)
    if (call === 'PUT resume') return send(202)
    if (call === 'PUT stop') return send(204)
    if (call === 'POST restart') return send(202, statusOf(name, connector))
    if (/^POST tasks\/\d+\/restart$/.test(call))
      return connector.tasks[Number(rest[1])] === undefined ? refuse(404, `Unknown task: ${name}-${rest[1]}`) : send(204)
    if (call === 'GET offsets') return send(200, { offsets: connector.offsets })
    if (call === 'GET offsets/history') return send(200, { changes: connector.changes ?? [] })
    if (call !== 'PATCH offsets' && call !== 'DELETE offsets') return refuse(404, 'HTTP 404 Not Found')
    if (connector.state !== 'STOPPED')
      return refuse(400, 'Connectors must be in the STOPPED state before their offsets can be modified.')
    const { offsets } = call === 'DELETE offsets' ? connector : (JSON.parse(body) as Pick<FakeConnector, 'offsets'>)
    const verb = offsets.some(({ offset }) => offset !== null) && call !== 'DELETE offsets' ? 'altered' : 'reset'
    const plans = offsets.map(({ partition }) => ({ partition, ...PLAN }))
    return send(200, { message: `The offsets for this connector have been ${verb} successfully`, plans })
  }

  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise(resolve => {
      server.close(resolve)
    })
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`, requests, authorizations, next }
}

function infoOf(name: string, { config, tasks }: FakeConnector) {
  return { name, config: { name, ...config }, tasks: tasks.map((_, task) => ({ connector: name, task })), type: 'source' }
}

function statusOf(name: string, { state, worker, tasks }: FakeConnector) {
  return {
    name,
    connector: { state, worker_id: worker },
    tasks: tasks.map(({ state: each, worker: on, trace }, id) => ({
      id,
      state: each,
      worker_id: on,
      ...(trace === undefined ? {} : { trace }),
    })),
    type: 'source',
  }
}
