import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { onTestFinished } from 'vitest'

/** One request that must come next, and what it is answered. */
export interface Step {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  /** The whole query; a name that repeats has a list. Left out: any. */
  readonly query?: Readonly<Record<string, string | readonly string[]>>
  /** What the request must carry: headers that must have these values (null: must be absent), and the whole body as JSON. */
  readonly sent?: { readonly headers?: Readonly<Record<string, string | null>>; readonly body?: unknown }

  /** Default 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** Answered as JSON. */
  readonly body?: unknown
  /** Answered as it is, in place of `body`. */
  readonly raw?: string | Uint8Array
  /** The connection breaks off after this many bytes of the body; the length announced is the whole body's. */
  readonly cut?: number
  /** The connection breaks off without an answer. */
  readonly drop?: boolean
  /** Real milliseconds before the answer; Infinity: never. */
  readonly delayMs?: number
}

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string | string[]>>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

export interface ScriptedVendor {
  /** `http://127.0.0.1:N` */
  readonly url: string
  readonly requests: readonly SeenRequest[]
  /** Requests that came and are not answered yet. */
  readonly underWay: number
  /** Append to the script. */
  expect(...steps: readonly Step[]): void
  /** Resolves when `count` requests have come. */
  reached(count: number): Promise<void>
}

/**
 * A real HTTP server on a free port that plays a script. When the test ends, the server is closed, and the test fails where a request came that
 * was not next in the script, or one of the script never came. Call it inside a test.
 */
export async function scriptedVendor(script: readonly Step[]): Promise<ScriptedVendor> {
  const steps = [...script]
  const requests: SeenRequest[] = []
  const faults: string[] = []
  let watchers: { count: number; resolve(): void }[] = []
  let underWay = 0

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://vendor')
    const chunks: Uint8Array[] = []
    for await (const chunk of request) chunks.push(chunk as Uint8Array)
    const seen: SeenRequest = {
      method: request.method ?? '',
      path: url.pathname,
      query: queryOf(url),
      headers: request.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    }
    requests.push(seen)
    for (const watcher of watchers) if (requests.length >= watcher.count) watcher.resolve()
    watchers = watchers.filter(watcher => requests.length < watcher.count)

    const step = steps.shift()
    const fault = step === undefined ? 'nothing was expected' : mismatch(step, seen)
    if (step === undefined || fault !== null) {
      faults.push(`request ${requests.length}, ${seen.method} ${request.url}: ${fault}`)
      response.writeHead(418).end('not in the script')
      return
    }
    if (step.delayMs === Infinity) return
    if (step.delayMs !== undefined) await new Promise(resolve => setTimeout(resolve, step.delayMs))
    if (step.drop === true) {
      request.socket.destroy()
      return
    }
    const body = step.raw === undefined ? (step.body === undefined ? '' : JSON.stringify(step.body)) : step.raw
    const bytes = typeof body === 'string' ? Buffer.from(body) : body
    const status = step.status ?? 200
    response.writeHead(status, {
      ...(status === 204 || step.headers?.['transfer-encoding'] !== undefined ? {} : { 'content-length': String(bytes.length) }),
      ...(step.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...step.headers,
    })
    if (step.cut === undefined) response.end(bytes)
    else response.write(bytes.subarray(0, step.cut), () => setTimeout(() => request.socket.destroy(), 20))
  }

  const server = createServer((request, response) => {
    underWay++
    response.on('close', () => underWay--)
    answer(request, response).catch((error: unknown) => faults.push(`the script failed: ${String(error)}`))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))

  onTestFinished(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
    for (const step of steps) faults.push(`never came: ${step.method ?? 'GET'} ${step.path} ${JSON.stringify(step.query ?? {})}`)
    if (faults.length > 0) throw new Error(`the vendor's script was not kept:\n${faults.join('\n')}`)
  })

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get underWay() {
      return underWay
    },
    expect: (...more) => void steps.push(...more),
    reached: count => (requests.length >= count ? Promise.resolve() : new Promise(resolve => watchers.push({ count, resolve }))),
  }
}

function queryOf(url: URL): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = {}
  for (const name of new Set(url.searchParams.keys())) {
    const values = url.searchParams.getAll(name)
    query[name] = values.length === 1 ? (values[0] as string) : values
  }
  return query
}

/** What in the request is not as the script has it; null where all is. */
function mismatch(step: Step, seen: SeenRequest): string | null {
  const method = step.method ?? 'GET'
  if (seen.method !== method || seen.path !== step.path) return `expected ${method} ${step.path}`
  if (step.query !== undefined && !isDeepStrictEqual({ ...seen.query }, { ...step.query }))
    return `expected the query ${JSON.stringify(step.query)}, not ${JSON.stringify(seen.query)}`
  for (const [name, value] of Object.entries(step.sent?.headers ?? {}))
    if ((seen.headers[name] ?? null) !== value) return `expected ${name}: ${value}, not ${String(seen.headers[name])}`
  if (
    step.sent !== undefined &&
    'body' in step.sent &&
    !isDeepStrictEqual(seen.body === '' ? undefined : JSON.parse(seen.body), step.sent.body)
  )
    return `expected the body ${JSON.stringify(step.sent.body)}, not ${seen.body}`
  return null
}
